//! Who is at which MAC address: asked again before the stack forgets it, and corrected when it
//! changes, but not by whoever shouts loudest.
//!
//! A neighbour counts as reachable for a while after it answered (RFC 4861 §7.3). In use for
//! longer, or sent to without a frame coming back, it is asked itself; silent, everyone is asked,
//! and the first answer counts. Frames go to its last known MAC address all the while. Somebody else's
//! word for its address, asked for or not, only makes it be asked: who still answers keeps it.

use core::net::IpAddr;
use core::time::Duration;

use heapless::Vec;

use super::message::{Claim, Mac, Message};

/// Neighbours known at a time: one less than the stack's own cache, which so never throws out one
/// of these to make room.
const LIMIT: usize = 7;
/// How long an answer counts (REACHABLE_TIME, RFC 4861 §10).
const REACHABLE_TIME: Duration = Duration::from_secs(30);
/// How long frames may go to a neighbour with none coming back before it is asked.
const SILENCE: Duration = Duration::from_secs(1);
/// Between two questions to the neighbour itself.
const UNICAST_INTERVAL: Duration = Duration::from_millis(200);
/// Questions to the neighbour itself before everyone is asked (MAX_UNICAST_SOLICIT).
const UNICAST_LIMIT: u8 = 3;
/// Between two questions to everyone (RETRANS_TIMER).
const MULTICAST_INTERVAL: Duration = Duration::from_secs(1);
/// Questions to everyone for an address that we do not need any more (MAX_MULTICAST_SOLICIT).
const MULTICAST_LIMIT: u8 = 3;
/// The stack forgets what it was told after a minute; it is told again long before.
const TELL_INTERVAL: Duration = Duration::from_secs(20);
/// How long others' claims are not looked into after the neighbour itself has answered one.
const DOUBT: Duration = Duration::from_secs(1);

/// Those that frames go to.
#[derive(Debug, Default)]
pub(super) struct Neighbours(Vec<Neighbour, LIMIT>);

#[derive(Clone, Copy, Debug)]
struct Neighbour {
    address: IpAddr,
    mac: Option<Mac>,
    /// Somebody that a connection or a route needs: strangers do not push it out.
    is_needed: bool,
    /// When it answered a question last.
    confirmed: Duration,
    /// When a frame went there last.
    used: Duration,
    /// Since when frames have gone there with none coming back.
    unheard: Option<Duration>,
    asking: Option<Asking>,
    /// Somebody else who said to have the address.
    rival: Option<Mac>,
    /// Until when rivals are not looked into.
    settled_until: Duration,
    /// When the stack was told.
    told: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Asking {
    everyone: bool,
    asked: u8,
    next: Duration,
}

impl Neighbours {
    /// The stack asks for an address, or will: it is asked for until it is known.
    pub(super) fn want(&mut self, now: Duration, address: IpAddr, asked: bool) {
        let next = if asked { now.saturating_add(MULTICAST_INTERVAL) } else { now };
        let asking = Asking { everyone: true, asked: asked.into(), next };
        if let Some(known) = self.find(address) {
            // The stack has forgotten it.
            known.told = None;
            if known.mac.is_none() && asked {
                known.asking = Some(asking);
            }
            return;
        }
        if self.0.is_full() {
            let spare = self.0.iter().enumerate().filter(|(_, known)| !known.is_needed);
            let oldest = spare.min_by_key(|(_, known)| (known.mac.is_some(), known.used));
            let Some((index, _)) = oldest else { return };
            self.0.swap_remove(index);
        }
        let neighbour = Neighbour {
            address,
            mac: None,
            is_needed: false,
            confirmed: now,
            used: now,
            unheard: None,
            asking: Some(asking),
            rival: None,
            settled_until: Duration::ZERO,
            told: None,
        };
        let _ = self.0.push(neighbour);
    }

    /// These addresses, and no others, are the ones that must stay known.
    pub(super) fn need(&mut self, now: Duration, addresses: &[IpAddr]) {
        for known in &mut self.0 {
            known.is_needed = addresses.contains(&known.address);
        }
        for &address in addresses {
            if self.find(address).is_none() {
                self.want(now, address, false);
                if let Some(new) = self.find(address) {
                    new.is_needed = true;
                }
            }
        }
    }

    /// Somebody said who has an address.
    pub(super) fn heard_claim(&mut self, now: Duration, claim: &Claim) {
        let Some(known) = self.find(claim.address) else { return };
        match known.mac {
            None => known.adopt(now, claim.mac),
            Some(mac) if mac == claim.mac => {
                if claim.is_answer {
                    known.confirm(now);
                }
            }
            Some(mac) => match known.asking {
                Some(Asking { everyone: true, .. }) if claim.is_answer => {
                    log::info!("{} moved from {} to {}", claim.address, Hex(mac), Hex(claim.mac));
                    known.adopt(now, claim.mac);
                }
                Some(_) => {}
                None if now < known.settled_until => {}
                None => {
                    known.rival = Some(claim.mac);
                    known.ask(now);
                }
            },
        }
    }

    /// A frame of ours went to a MAC address.
    pub(super) fn sent_to(&mut self, now: Duration, mac: Mac) {
        for known in self.0.iter_mut().filter(|known| known.mac == Some(mac)) {
            known.used = now;
            known.unheard.get_or_insert(now);
        }
    }

    /// A frame came from a MAC address.
    pub(super) fn heard_from(&mut self, mac: Mac) {
        for known in self.0.iter_mut().filter(|known| known.mac == Some(mac)) {
            known.unheard = None;
        }
    }

    /// The wire is back, maybe in another place: everyone known is asked.
    pub(super) fn link_is_back(&mut self, now: Duration) {
        for known in &mut self.0 {
            if known.mac.is_some() {
                known.ask(now);
            } else if let Some(asking) = &mut known.asking {
                asking.next = now;
            }
        }
    }

    /// The next question that is due. `source` gives an address of ours to ask from.
    pub(super) fn question(
        &mut self,
        now: Duration,
        source: impl Fn(IpAddr) -> Option<IpAddr>,
    ) -> Option<Message> {
        self.0.retain(|known| !known.is_forgotten(now));
        for known in &mut self.0 {
            if known.asking.is_none() && known.doubtful_at().is_some_and(|at| at <= now) {
                known.ask(now);
            }
            let Some(asking) = &mut known.asking else { continue };
            if now < asking.next {
                continue;
            }
            if !asking.everyone && asking.asked >= UNICAST_LIMIT {
                *asking = Asking { everyone: true, asked: 0, next: now };
            }
            asking.asked = asking.asked.saturating_add(1);
            let interval = if asking.everyone { MULTICAST_INTERVAL } else { UNICAST_INTERVAL };
            asking.next = now.saturating_add(interval);
            let to = known.mac.filter(|_| !asking.everyone);
            let source = source(known.address);
            if let Some(question) =
                source.and_then(|source| Message::question(source, known.address, to))
            {
                return Some(question);
            }
        }
        None
    }

    /// When [`question`](Self::question) has something to say next.
    pub(super) fn due(&self) -> Option<Duration> {
        let due = |known: &Neighbour| match known.asking {
            Some(asking) => Some(asking.next),
            None => known.doubtful_at(),
        };
        self.0.iter().filter_map(due).min()
    }

    /// A neighbour that the stack has to be told of. Those that are needed come after the others,
    /// since the stack forgets the oldest when it has no room.
    pub(super) fn untold(&mut self, now: Duration) -> Option<(IpAddr, Mac)> {
        let is_stale = |known: &&mut Neighbour| {
            let fresh = |told| now.saturating_sub(told) < TELL_INTERVAL;
            known.mac.is_some() && !known.told.is_some_and(fresh)
        };
        let known = self.0.iter_mut().filter(is_stale).min_by_key(|known| known.is_needed)?;
        known.told = Some(now);
        let (address, mac, is_needed) = (known.address, known.mac?, known.is_needed);
        if !is_needed {
            for needed in self.0.iter_mut().filter(|known| known.is_needed) {
                needed.told = None;
            }
        }
        Some((address, mac))
    }

    /// The stack has forgotten everyone.
    pub(super) fn forget_told(&mut self) {
        for known in &mut self.0 {
            known.told = None;
        }
    }

    /// Whether an address is asked for in vain.
    pub(super) fn is_lost(&self, address: IpAddr) -> bool {
        let known = self.0.iter().find(|known| known.address == address);
        let asking = known.and_then(|known| known.asking);
        asking.is_some_and(|asking| asking.everyone && asking.asked > 1)
    }

    fn find(&mut self, address: IpAddr) -> Option<&mut Neighbour> {
        self.0.iter_mut().find(|known| known.address == address)
    }
}

impl Neighbour {
    fn ask(&mut self, now: Duration) {
        self.asking = Some(Asking { everyone: false, asked: 0, next: now });
    }

    fn confirm(&mut self, now: Duration) {
        if let (Some(rival), Some(mac)) = (self.rival.take(), self.mac) {
            log::warn!(
                "{} says that it is {}, and {}, which is, still answers: not believed",
                Hex(rival),
                self.address,
                Hex(mac)
            );
            self.settled_until = now.saturating_add(DOUBT);
        }
        self.confirmed = now;
        self.unheard = None;
        self.asking = None;
    }

    fn adopt(&mut self, now: Duration, mac: Mac) {
        self.mac = Some(mac);
        self.told = None;
        self.rival = None;
        self.confirm(now);
    }

    /// From when on it has to be asked whether it is still there.
    fn doubtful_at(&self) -> Option<Duration> {
        self.mac?;
        let silent = self.unheard.map(|since| since.saturating_add(SILENCE));
        let stale = self.confirmed.saturating_add(REACHABLE_TIME);
        let stale = (self.used > self.confirmed).then_some(stale.max(self.used));
        [silent, stale].into_iter().flatten().min()
    }

    /// Asked for in vain, and nobody needs it.
    fn is_forgotten(&self, now: Duration) -> bool {
        let unused = now.saturating_sub(self.used) >= REACHABLE_TIME;
        let in_vain = |asking: Asking| {
            asking.everyone && asking.asked >= MULTICAST_LIMIT && now >= asking.next
        };
        !self.is_needed && self.asking.is_some_and(in_vain) && (self.mac.is_none() || unused)
    }
}

/// A MAC address as people write it.
struct Hex(Mac);

impl core::fmt::Display for Hex {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}
