//! Routers and what they say: the way out, prefixes, name servers (RFC 4861 §6.3, RFC 4862 §5.5,
//! RFC 8106). Nothing here is trusted further than its bounds.

use core::net::Ipv6Addr;
use core::time::Duration;

use heapless::Vec;

use super::message::{Advertisement, Message, options};

/// Routers, prefixes and name servers remembered; what comes beyond is ignored.
pub(super) const ROUTER_LIMIT: usize = 4;
pub(super) const PREFIX_LIMIT: usize = 4;
const DNS_LIMIT: usize = 3;
/// RFC 4861 §10.
const MAX_RTR_SOLICITATIONS: u8 = 3;
const RTR_SOLICITATION_INTERVAL: Duration = Duration::from_secs(4);
/// The least time that a prefix which is in use keeps, whatever an unproven word says (RFC 4862
/// §5.5.3 e).
const TWO_HOURS: Duration = Duration::from_secs(2 * 3600);
const INFINITE: u32 = u32::MAX;
/// The bits of an interface identifier on Ethernet (RFC 2464 §4).
const IDENTIFIER_PREFIX: u8 = 64;
/// The least MTU of IPv6 (RFC 8200 §5).
const LEAST_MTU: u16 = 1280;

/// What the routers of the link said.
#[derive(Debug, Default)]
pub(super) struct Routers {
    solicited: u8,
    next_solicitation: Option<Duration>,
    routers: Vec<Router, ROUTER_LIMIT>,
    prefixes: Vec<Prefix, PREFIX_LIMIT>,
    dns: Vec<(Ipv6Addr, Duration), DNS_LIMIT>,
    mtu: Option<u16>,
    named_dhcpv6: bool,
}

#[derive(Clone, Copy, Debug)]
struct Router {
    address: Ipv6Addr,
    until: Duration,
}

/// A prefix of the link.
#[derive(Clone, Copy, Debug)]
struct Prefix {
    prefix: Ipv6Addr,
    length: u8,
    /// Until when its addresses are on the link.
    on_link: Duration,
    /// Until when an address of ours is made from it, and is to be used for something new.
    valid: Duration,
    preferred: Duration,
}

/// An address made from a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Autoconfigured {
    pub(super) address: Ipv6Addr,
    /// 128 when the rest of the prefix is not on the link.
    pub(super) prefix: u8,
}

impl Routers {
    /// Asks for routers from now on.
    pub(super) fn solicit(&mut self, now: Duration) {
        self.solicited = 0;
        self.next_solicitation = Some(now);
    }

    /// The next solicitation, when it is due.
    pub(super) fn message(&mut self, now: Duration, source: Ipv6Addr) -> Option<Message> {
        if now < self.next_solicitation? {
            return None;
        }
        self.solicited = self.solicited.saturating_add(1);
        let more = self.solicited < MAX_RTR_SOLICITATIONS;
        self.next_solicitation = more.then_some(now.saturating_add(RTR_SOLICITATION_INTERVAL));
        Some(Message::RouterSolicitation { source })
    }

    /// When something is due to be sent, or runs out.
    pub(super) fn due(&self, now: Duration) -> Option<Duration> {
        let routers = self.routers.iter().map(|router| router.until);
        let prefixes = self.prefixes.iter().flat_map(|prefix| [prefix.on_link, prefix.valid]);
        let ends = routers.chain(prefixes).filter(|at| *at > now && *at != Duration::MAX);
        ends.chain(self.next_solicitation).min()
    }

    /// A router spoke.
    pub(super) fn heard(&mut self, now: Duration, said: &Advertisement<'_>) {
        // Checked as a whole before anything of it counts (RFC 4861 §6.1.2).
        let (Some((header, rest)), Some(flags)) =
            (said.body.split_first_chunk::<16>(), said.body.get(5))
        else {
            return;
        };
        if options(rest).any(|option| option.is_none()) {
            return;
        }
        let [.., a, b, _, _, _, _, _, _, _, _] = *header;
        let lifetime = u32::from(u16::from_be_bytes([a, b]));
        self.heard_router(now, said.router, lifetime);
        for (kind, data) in options(rest).flatten() {
            match kind {
                PREFIX_INFORMATION => self.heard_prefix(now, data),
                MTU => self.heard_mtu(data),
                RECURSIVE_DNS_SERVER => self.heard_dns(now, data),
                _ => {}
            }
        }
        if flags & MANAGED != 0 && !core::mem::replace(&mut self.named_dhcpv6, true) {
            log::info!(
                "the router {} has addresses from DHCPv6 for us, which is not spoken here: its \
                 prefixes or a static address must do",
                said.router
            );
        }
        // An answer to an earlier question may still wait for its turn: one is enough.
        if lifetime != 0 {
            self.next_solicitation = None;
        }
    }

    /// Forgets what has run out.
    pub(super) fn expire(&mut self, now: Duration) {
        self.routers.retain(|router| now < router.until);
        self.prefixes.retain(|prefix| now < prefix.on_link || now < prefix.valid);
        self.dns.retain(|(_, until)| now < *until);
    }

    /// The router to use: the first that answered and is not lost, else the first.
    pub(super) fn default_router(&self, is_lost: impl Fn(Ipv6Addr) -> bool) -> Option<Ipv6Addr> {
        let mut addresses = self.routers.iter().map(|router| router.address);
        let first = addresses.clone().next();
        addresses.find(|address| !is_lost(*address)).or(first)
    }

    /// The addresses that the prefixes give us, those to be preferred first.
    pub(super) fn addresses(
        &self,
        now: Duration,
        identifier: [u8; 8],
    ) -> Vec<Autoconfigured, PREFIX_LIMIT> {
        let mut found = Vec::new();
        for preferred in [true, false] {
            for prefix in &self.prefixes {
                if now < prefix.valid && (now < prefix.preferred) == preferred {
                    let [a, b, c, d, e, f, g, h, ..] = prefix.prefix.octets();
                    let [i, j, k, l, m, n, o, p] = identifier;
                    let address = [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p];
                    let on_link = now < prefix.on_link;
                    let _ = found.push(Autoconfigured {
                        address: Ipv6Addr::from_octets(address),
                        prefix: if on_link { prefix.length } else { 128 },
                    });
                }
            }
        }
        found
    }

    /// Whether a prefix says that an address is on the link.
    pub(super) fn is_on_link(&self, now: Duration, address: Ipv6Addr) -> bool {
        let covers = |prefix: &Prefix| {
            now < prefix.on_link && masked(address, prefix.length) == prefix.prefix
        };
        self.prefixes.iter().any(covers)
    }

    /// Name servers.
    pub(super) fn dns(&self) -> impl Iterator<Item = Ipv6Addr> + '_ {
        self.dns.iter().map(|(address, _)| *address)
    }

    /// The largest packet that the link takes, if a router limits it.
    pub(super) const fn mtu(&self) -> Option<u16> {
        self.mtu
    }

    fn heard_router(&mut self, now: Duration, address: Ipv6Addr, lifetime: u32) {
        let until = now.saturating_add(Duration::from_secs(lifetime.into()));
        match self.routers.iter_mut().find(|router| router.address == address) {
            Some(known) => known.until = until,
            None if lifetime == 0 => {}
            None => {
                if self.routers.push(Router { address, until }).is_err() {
                    log::debug!("a fifth router, {address}, is ignored");
                }
            }
        }
    }

    /// RFC 4861 §6.3.4 and RFC 4862 §5.5.3.
    fn heard_prefix(&mut self, now: Duration, data: &[u8]) {
        let Some((option, rest)) = data.split_first_chunk::<14>() else { return };
        let Some(prefix) = rest.first_chunk::<16>() else { return };
        let [length, flags, v0, v1, v2, v3, p0, p1, p2, p3, _, _, _, _] = *option;
        let valid = u32::from_be_bytes([v0, v1, v2, v3]);
        let preferred = u32::from_be_bytes([p0, p1, p2, p3]);
        let address = Ipv6Addr::from_octets(*prefix);
        let is_odd = length > 128
            || length == 0
            || address.is_multicast()
            || address.is_unicast_link_local()
            || address.is_unspecified()
            || address.is_loopback();
        if is_odd || preferred > valid {
            return;
        }
        let prefix = masked(address, length);
        let on_link = flags & ON_LINK != 0;
        let autonomous = flags & AUTONOMOUS != 0 && length == IDENTIFIER_PREFIX;
        if !on_link && !autonomous {
            return;
        }
        let known = self.prefixes.iter_mut();
        let mut known = known.filter(|known| (known.prefix, known.length) == (prefix, length));
        if let Some(known) = known.next() {
            if on_link {
                known.on_link = end(now, valid);
            }
            if autonomous {
                known.preferred = end(now, preferred);
                let left = known.valid.saturating_sub(now);
                known.valid = if left.is_zero() || lasts(valid) > left.min(TWO_HOURS) {
                    end(now, valid)
                } else {
                    known.valid.min(now.saturating_add(TWO_HOURS))
                };
            }
        } else if valid != 0 {
            let never = Duration::ZERO;
            let new = Prefix {
                prefix,
                length,
                on_link: if on_link { end(now, valid) } else { never },
                valid: if autonomous { end(now, valid) } else { never },
                preferred: if autonomous { end(now, preferred) } else { never },
            };
            if self.prefixes.push(new).is_err() {
                log::debug!("a fifth prefix, {prefix}/{length}, is ignored");
            }
        }
    }

    /// RFC 4861 §6.3.4: between the least and what we use anyhow, which the caller sees to.
    fn heard_mtu(&mut self, data: &[u8]) {
        let [_, _, a, b, c, d] = *data else { return };
        if let Ok(mtu) = u16::try_from(u32::from_be_bytes([a, b, c, d]))
            && mtu >= LEAST_MTU
        {
            self.mtu = Some(mtu);
        }
    }

    /// RFC 8106 §5.1.
    fn heard_dns(&mut self, now: Duration, data: &[u8]) {
        let Some(([_, _, a, b, c, d], servers)) = data.split_first_chunk::<6>() else { return };
        let lifetime = u32::from_be_bytes([*a, *b, *c, *d]);
        let (servers, _) = servers.as_chunks::<16>();
        for server in servers {
            let server = Ipv6Addr::from_octets(*server);
            if server.is_multicast() || server.is_unspecified() || server.is_loopback() {
                continue;
            }
            let until = end(now, lifetime);
            match self.dns.iter_mut().find(|(known, _)| *known == server) {
                Some(known) => known.1 = until,
                None if lifetime != 0 => {
                    let _ = self.dns.push((server, until));
                }
                None => {}
            }
        }
    }
}

/// Option types (RFC 4861 §4.6, RFC 8106 §5.1).
const PREFIX_INFORMATION: u8 = 3;
const MTU: u8 = 5;
const RECURSIVE_DNS_SERVER: u8 = 25;
/// Flags of a router advertisement and of prefix information (RFC 4861 §4.2, §4.6.2).
const MANAGED: u8 = 0x80;
const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;

fn lasts(lifetime: u32) -> Duration {
    if lifetime == INFINITE { Duration::MAX } else { Duration::from_secs(lifetime.into()) }
}

fn end(now: Duration, lifetime: u32) -> Duration {
    now.saturating_add(lasts(lifetime))
}

fn masked(address: Ipv6Addr, length: u8) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128_u32.saturating_sub(length.into())).unwrap_or(0);
    Ipv6Addr::from_bits(address.to_bits() & mask)
}
