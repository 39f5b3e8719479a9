//! Which targets a portal has: a Discovery session (RFC 7143 §4.3) over one socket.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use isboot::boot::{Discovery, Found};
use isboot::login::{Authentication, Host, LoginConfig, Name, TargetAddress};
use isboot::pdu::digest::Crc32cFunction;
use isboot::pdu::serial::SerialNumber;
use isboot::session::{Discovered, Error, SendTargets, SessionConfig, Waiting};
use isboot_transport::std_tcp::StdTcp;

use crate::failure::Failure;
use crate::initiator::{Identity, NAP, at_first_of, check_interrupted, entropy, random_isid};
use crate::progress::Activity;
use crate::url::Portal;

/// A target of a portal, and where it can be reached.
pub(crate) struct Entry {
    pub(crate) name: Name,
    pub(crate) addresses: Vec<TargetAddress>,
}

/// What a portal told.
pub(crate) struct Answer {
    /// Where it was asked.
    pub(crate) portal: SocketAddr,
    pub(crate) entries: Vec<Entry>,
    pub(crate) about: Discovered,
    /// From nothing to the end of the session.
    pub(crate) took: Duration,
}

/// Asks a portal which targets there are.
///
/// Without authentication first: few portals want it for a list, though their targets do, and some
/// (istgt is one) refuse a CHAP name that only a target knows. A list is not believed for what it
/// gives away: each target proves itself at its own login.
pub(crate) fn discover(portal: &Portal, identity: &Identity) -> Result<Answer, Failure> {
    at_first_of(portal, "discover targets", |address| {
        match (discover_at(address, identity, &Authentication::None)?, &identity.authentication) {
            (Err(error), authentication) if wants_authentication(error) => match authentication {
                Authentication::None => Ok(Err(error)),
                authentication => discover_at(address, identity, authentication),
            },
            (outcome, _) => Ok(outcome),
        }
    })
}

fn wants_authentication(error: Error) -> bool {
    use isboot::login::LoginError;

    matches!(
        error,
        Error::Login(LoginError::AuthFailed(_) | LoginError::Rejected { class: 2, detail: 1 })
    )
}

fn discover_at(
    portal: SocketAddr,
    identity: &Identity,
    authentication: &Authentication,
) -> Result<Result<Answer, Error>, Failure> {
    let parameters = &identity.parameters;
    let mut login = LoginConfig::discovery(identity.initiator_name.clone(), random_isid()?);
    login.authentication = authentication.clone();
    login.chap_algorithms = parameters.chap_algorithms;
    login.allow_short_secrets = parameters.allow_short_secrets;
    login.header_digest = parameters.header_digest;
    login.data_digest = parameters.data_digest;
    let mut timeouts = parameters.timeouts;
    // Nobody at a prompt wants it tried again and again.
    timeouts.outage = Duration::ZERO;
    let config = SessionConfig {
        portal,
        login,
        timeouts,
        escalation: parameters.escalation.clone(),
        initial_cmd_sn: SerialNumber(1),
        crc32c: Crc32cFunction::default(),
    };
    let start = Instant::now();
    let now = || isboot::time::Instant::ZERO.after(start.elapsed());
    let stream = StdTcp::new();
    let mut discovery = Discovery::new(config, SendTargets::All, entropy, stream, now())
        .map_err(|error| Failure::doing("cannot ask for targets", format_args!("{error:?}")))?;
    let mut entries: Vec<Entry> = Vec::new();
    let mut activity = Activity::new(identity.quiet);
    let outcome = loop {
        let next = discovery.poll(now(), |found| match found {
            Found::Target(target) => {
                let (name, address) = (&target.name, target.address.clone());
                match entries.iter_mut().find(|entry| entry.name == *name) {
                    Some(entry) => entry.addresses.push(address),
                    None => entries.push(Entry { name: name.clone(), addresses: vec![address] }),
                }
            }
            Found::StartsAgain => entries.clear(),
        });
        if let Some(outcome) = discovery.outcome() {
            break outcome;
        }
        check_interrupted()?;
        if Instant::now() >= identity.give_up_at {
            break Err(Error::Timeout(Waiting::Text));
        }
        activity.is(|| format!("asking {portal} for its targets ({} so far)", entries.len()));
        let limit = next.map_or(NAP, |next| next.since(now())).min(NAP);
        discovery.stream().wait(limit);
    };
    Ok(outcome.map(|about| Answer { portal, entries, about, took: start.elapsed() }))
}

impl Entry {
    /// Where to log in: the portal that was asked when it is among the addresses, then the others
    /// in their order. A loopback address of a portal that is elsewhere would lead to this host's
    /// own services, and is left out, as it is in a redirection.
    pub(crate) fn portals(&self, asked: SocketAddr) -> Vec<Portal> {
        let leads_home = |address: &TargetAddress| {
            let ip = match &address.host {
                Host::Address(ip) => Some(*ip),
                Host::Name(_) => None,
            };
            ip.is_some_and(is_loopback) && !is_loopback(asked.ip())
        };
        let mut addresses: Vec<_> =
            self.addresses.iter().filter(|address| !leads_home(address)).collect();
        addresses.sort_by_key(|address| address.socket_address() != Some(asked));
        addresses.into_iter().map(Portal::of_address).collect()
    }
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_portal_that_answered_comes_first_and_no_address_leads_home() {
        let address = |text: &str| TargetAddress::parse(text.as_bytes()).unwrap();
        let entry = Entry {
            name: Name::new("iqn.2010-06.org.example:disk").unwrap(),
            addresses: ["127.0.0.1:3260,1", "10.0.0.1:3260,1", "[::1]:3260,1", "10.0.0.2:3260,1"]
                .map(address)
                .to_vec(),
        };
        let portals = |asked: &str| -> Vec<String> {
            entry.portals(asked.parse().unwrap()).iter().map(ToString::to_string).collect()
        };
        assert_eq!(portals("10.0.0.2:3260"), ["10.0.0.2:3260", "10.0.0.1:3260"]);
        assert_eq!(portals("10.0.0.3:3260"), ["10.0.0.1:3260", "10.0.0.2:3260"]);
        assert_eq!(portals("127.0.0.1:3260").len(), 4);
    }
}
