//! Whether somebody else has one of our addresses (RFC 5227, RFC 4862 §5.4).

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use heapless::Vec;

use super::ADDRESS_LIMIT;
use super::message::{Claim, Mac, Message, Question};

/// How an address is checked for being somebody else's too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressCheck {
    /// It is used at once, announced, and watched: firmware has just used it. An IPv6 address
    /// that somebody defends within the first second is given up all the same (RFC 4429); another
    /// conflict is reported, and the address defended (RFC 5227 §2.4 (c)).
    #[default]
    Announce,
    /// It is used when nobody has defended it: up to nine seconds for IPv4 (RFC 5227 §2.1), two
    /// for IPv6 (RFC 4862 §5.4).
    Probe,
}

/// Somebody else has an address of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The address.
    pub address: IpAddr,
    /// Who has it too, by MAC address.
    pub owner: [u8; 6],
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.owner;
        write!(f, "{} is in use by {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}", self.address)
    }
}

/// RFC 5227 §1.1.
const PROBE_WAIT: Duration = Duration::from_secs(1);
const PROBE_NUM: u8 = 3;
const PROBE_MIN: Duration = Duration::from_secs(1);
const PROBE_MAX: Duration = Duration::from_secs(2);
const ANNOUNCE_WAIT: Duration = Duration::from_secs(2);
const ANNOUNCE_NUM: u8 = 2;
const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(2);
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);
/// RFC 4862 §5.1, RFC 4861 §10.
const DUP_ADDR_DETECT_TRANSMITS: u8 = 1;
const RETRANS_TIMER: Duration = Duration::from_secs(1);

/// The checks of all our addresses.
#[derive(Debug, Default)]
pub(super) struct Checks {
    checks: Vec<Check, ADDRESS_LIMIT>,
    /// The latest that was seen; it outlives the address.
    conflict: Option<Conflict>,
}

#[derive(Clone, Copy, Debug)]
struct Check {
    address: IpAddr,
    stage: Stage,
    defended: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Not in use yet.
    Probing { sent: u8, next: Duration },
    /// In use, and others are told.
    Announcing { sent: u8, next: Duration },
    /// In use.
    Settled,
    /// Somebody else's.
    Duplicate(Mac),
}

impl Checks {
    /// These addresses are ours, and no others: checks begin for the new ones.
    pub(super) fn follow(
        &mut self,
        now: Duration,
        addresses: impl Iterator<Item = IpAddr> + Clone,
        how: AddressCheck,
        mut random: impl FnMut() -> u64,
    ) {
        self.checks.retain(|check| addresses.clone().any(|address| address == check.address));
        for address in addresses {
            if !self.checks.iter().any(|check| check.address == address) {
                let stage = match how {
                    AddressCheck::Announce => Stage::Announcing { sent: 0, next: now },
                    AddressCheck::Probe => {
                        let next = now.saturating_add(up_to(PROBE_WAIT, random()));
                        Stage::Probing { sent: 0, next }
                    }
                };
                let _ = self.checks.push(Check { address, stage, defended: None });
            }
        }
    }

    /// Whether frames may be sent from an address.
    pub(super) fn may_use(&self, address: IpAddr) -> bool {
        let check = self.checks.iter().find(|check| check.address == address);
        check.is_some_and(|check| matches!(check.stage, Stage::Announcing { .. } | Stage::Settled))
    }

    /// Who has an address that we must therefore not use.
    pub(super) fn duplicate(&self, address: IpAddr) -> Option<Conflict> {
        match self.checks.iter().find(|check| check.address == address)?.stage {
            Stage::Duplicate(owner) => Some(Conflict { address, owner }),
            _ => None,
        }
    }

    /// Who else has been seen to have an address of ours, last.
    pub(super) const fn conflict(&self) -> Option<Conflict> {
        self.conflict
    }

    /// Somebody else said to have an address: what to say to that.
    pub(super) fn heard_claim(&mut self, now: Duration, claim: &Claim) -> Option<Message> {
        let conflict = Conflict { address: claim.address, owner: claim.mac };
        let check = self.checks.iter_mut().find(|check| check.address == claim.address)?;
        self.conflict = Some(conflict);
        if check.is_on_trial() {
            log::error!("{conflict}: we do not use it");
            check.stage = Stage::Duplicate(claim.mac);
            return None;
        }
        if matches!(check.stage, Stage::Duplicate(_)) {
            return None;
        }
        let is_due = |defended| now.saturating_sub(defended) >= DEFEND_INTERVAL;
        if !check.defended.is_none_or(is_due) {
            return None;
        }
        log::warn!("{conflict} too: frames go astray until one of us has another");
        check.defended = Some(now);
        Some(Message::announcement(claim.address))
    }

    /// Somebody else asked who has an address: what to say to that.
    pub(super) fn heard_question(&mut self, question: &Question) -> Option<Message> {
        let check = self.checks.iter_mut().find(|check| check.address == question.target)?;
        if question.asker.is_none() && check.is_on_trial() {
            // Both want it, neither has it (RFC 5227 §2.1.1, RFC 4862 §5.4.3).
            self.conflict = Some(Conflict { address: check.address, owner: question.mac });
            check.stage = Stage::Duplicate(question.mac);
        }
        if matches!(check.stage, Stage::Probing { .. } | Stage::Duplicate(_)) {
            return None;
        }
        Message::answer(question)
    }

    /// The wire is back, maybe in another place: everything is said again.
    pub(super) fn link_is_back(&mut self, now: Duration) {
        for check in &mut self.checks {
            if check.stage == Stage::Settled {
                check.stage = Stage::Announcing { sent: 0, next: now };
            }
        }
    }

    /// The next message that is due.
    pub(super) fn message(
        &mut self,
        now: Duration,
        mut random: impl FnMut() -> u64,
    ) -> Option<Message> {
        self.checks.iter_mut().find_map(|check| check.message(now, &mut random))
    }

    /// When [`message`](Self::message) has something to say next, or a probed address is free.
    pub(super) fn due(&self) -> Option<Duration> {
        let due = |check: &Check| match check.stage {
            Stage::Probing { next, .. } | Stage::Announcing { next, .. } => Some(next),
            _ => None,
        };
        self.checks.iter().filter_map(due).min()
    }
}

impl Check {
    /// Whether a claim takes the address away: before its use, and an IPv6 address in its first
    /// second (RFC 4429 §3.3).
    fn is_on_trial(&self) -> bool {
        match self.stage {
            Stage::Probing { .. } => true,
            Stage::Announcing { sent, .. } => {
                self.address.is_ipv6() && sent <= DUP_ADDR_DETECT_TRANSMITS
            }
            _ => false,
        }
    }

    fn message(&mut self, now: Duration, random: &mut impl FnMut() -> u64) -> Option<Message> {
        let (Stage::Probing { next, .. } | Stage::Announcing { next, .. }) = self.stage else {
            return None;
        };
        if now < next {
            return None;
        }
        let is_ipv4 = self.address.is_ipv4();
        let after = |time| now.saturating_add(time);
        match &mut self.stage {
            Stage::Probing { sent, next } => {
                let number = if is_ipv4 { PROBE_NUM } else { DUP_ADDR_DETECT_TRANSMITS };
                if *sent >= number {
                    // Nobody has it. What IPv6 says at first in the other mode is said.
                    let sent = if is_ipv4 { 0 } else { DUP_ADDR_DETECT_TRANSMITS };
                    self.stage = Stage::Announcing { sent, next: now };
                    return self.message(now, random);
                }
                *sent = sent.saturating_add(1);
                let last = *sent >= number;
                *next = after(match (is_ipv4, last) {
                    (true, true) => ANNOUNCE_WAIT,
                    (true, false) => {
                        let spread = PROBE_MAX.saturating_sub(PROBE_MIN);
                        PROBE_MIN.saturating_add(up_to(spread, random()))
                    }
                    (false, _) => RETRANS_TIMER,
                });
                Some(Message::probe(self.address))
            }
            Stage::Announcing { sent, next } => {
                *sent = sent.saturating_add(1);
                // IPv6 asks first whether somebody has it, and tells when nobody answered.
                let asks = !is_ipv4 && *sent <= DUP_ADDR_DETECT_TRANSMITS;
                *next = after(if is_ipv4 { ANNOUNCE_INTERVAL } else { RETRANS_TIMER });
                if *sent >= ANNOUNCE_NUM {
                    self.stage = Stage::Settled;
                }
                Some(if asks {
                    Message::probe(self.address)
                } else {
                    Message::announcement(self.address)
                })
            }
            _ => None,
        }
    }
}

/// A random time of up to `most`.
fn up_to(most: Duration, random: u64) -> Duration {
    let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
    Duration::from_micros(random.checked_rem(most.saturating_add(1)).unwrap_or(0))
}
