//! The watchdog: notices what interrupts did not say and what the part did not do, and mends it.
//!
//! What is mended, and what that leaves of the frames:
//!
//! - *Interrupts* are mended without touching a ring: kicked, programmed again, then given up for
//!   a simpler mode, down to none. No frame is lost in either direction, whatever happens to them.
//! - *The part* is reset when it was reset under us, lost its power state or its windows, or stands
//!   still. A frame that it had reported as received before is promised: it is delivered before the
//!   ring starts over. A frame that was queued and not reported as sent is not: it may have left or
//!   not, as on any wire, and is counted ([`Statistics::unsent`](super::Statistics::unsent)). TCP
//!   sends again.
//!
//! Nothing here waits longer than a reset takes, and nothing is tried more than a few times: a mode
//! that was given up stays so until the host asks for it again, resets keep a distance that doubles,
//! and a part that does not answer five times is given up.

mod interrupts;
mod notice;
mod restart;

use core::time::Duration;

use super::{Nic, decode_link};
use crate::hal::Hal;
use crate::intel::interrupt::Cause;
use crate::intel::registers::{RCTL, RDH, RDT, STATUS, rctl, status};
use crate::link::Link;
use crate::pci::ConfigSpace;

pub(super) use interrupts::InterruptWatch;
pub use notice::{Notice, Trouble};
use restart::Restarts;

/// Between two looks; calls in between do nothing.
const INTERVAL: Duration = Duration::from_millis(100);

/// What the watchdog remembers between two looks.
#[derive(Default)]
pub(super) struct Watchdog {
    next_look: Duration,
    state: State,
    pub(super) interrupts: InterruptWatch,
    restarts: Restarts,
    /// The oldest frame under way, and since when it is.
    transmit: Option<(u32, Duration)>,
    /// Looks in a row at which the receiver had dropped frames and no descriptor.
    starved: u32,
    said: [u32; Notice::KINDS],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Running,
    /// Stopped and reset; frames that the ring holds are delivered before it starts over.
    Draining(Trouble),
    /// It does not answer, and will be taken over again.
    Trying,
    /// For good.
    GivenUp,
}

impl Watchdog {
    pub(super) fn is_running(&self) -> bool {
        self.state == State::Running
    }

    /// Whether a part that does not answer may come back.
    pub(super) fn is_trying(&self) -> bool {
        matches!(self.state, State::Trying | State::Draining(_))
    }

    pub(super) fn has_given_up(&self) -> bool {
        self.state == State::GivenUp
    }
}

impl<H: Hal + Clone, C: ConfigSpace> Nic<H, C> {
    /// Looks whether interrupts still come and the part still works, and mends what it can; says
    /// and logs what it did. To be called from where the stack is polled, at least a few times a
    /// second; [`NicDevice`](crate::device::NicDevice) does. More than ten times a second costs
    /// nothing.
    ///
    /// Reads three to five registers; about ten more once a second while interrupts are used.
    pub fn watch(&mut self, now: Duration) -> Option<Notice> {
        let state = self.watchdog.state;
        if now < self.watchdog.next_look && !matches!(state, State::Draining(_)) {
            return None;
        }
        self.watchdog.next_look = now.saturating_add(INTERVAL);
        let notice = match state {
            State::Running => self.look(now),
            State::Draining(trouble) => self.start_again(trouble, now),
            State::Trying => self.try_again(now),
            State::GivenUp => None,
        }?;
        self.say(notice);
        Some(notice)
    }

    /// The same, however short ago it looked.
    pub(crate) fn watch_at_once(&mut self, now: Duration) -> Option<Notice> {
        self.watchdog.next_look = now;
        self.watch(now)
    }

    /// The time, as the hosting kernel has it.
    pub(crate) fn now(&self) -> Duration {
        self.part.hal.now()
    }

    /// Whether the next [`watch`](Self::watch) is to come as soon as nothing is received.
    pub(crate) fn is_draining(&self) -> bool {
        matches!(self.watchdog.state, State::Draining(_))
    }

    fn look(&mut self, now: Duration) -> Option<Notice> {
        let value = self.part.registers.read(STATUS);
        if value == u32::MAX {
            return self.unanswered(now);
        }
        let link = decode_link(value);
        let causes = self.interrupts.line.map_or(Cause::default(), |line| line.take_causes());
        match self.trouble(value, link, causes, now) {
            Some(trouble) => self.restart(trouble, now),
            None => self.watch_interrupts(link.is_up(), causes, now),
        }
    }

    /// Why the part must be reset.
    fn trouble(&mut self, value: u32, link: Link, causes: Cause, now: Duration) -> Option<Trouble> {
        let is_receiving = self.part.registers.read(RCTL) & rctl::EN != 0;
        if !is_receiving || self.design().says_reset(causes) {
            return Some(Trouble::Reset);
        }
        let is_paused = value & status::TXOFF != 0;
        if self.is_transmit_stalled(link, is_paused, now) {
            return Some(Trouble::TransmitStall);
        }
        self.is_receive_stalled().then_some(Trouble::ReceiveStall)
    }

    /// Whether the oldest frame has been under way longer than a full ring takes to leave.
    fn is_transmit_stalled(&mut self, link: Link, is_paused: bool, now: Duration) -> bool {
        let limit = match link {
            Link::Up { megabits: 10, .. } => Duration::from_secs(16),
            Link::Up { megabits: 100, .. } => Duration::from_secs(10),
            _ => Duration::from_secs(1),
        };
        let oldest = self.transmit.oldest_under_way();
        match (oldest, self.watchdog.transmit) {
            // Without a link, or while the peer wants a pause, nothing is due.
            (Some(oldest), Some((known, since)))
                if oldest == known && link.is_up() && !is_paused =>
            {
                now.saturating_sub(since) > limit
            }
            _ => {
                self.watchdog.transmit = oldest.map(|oldest| (oldest, now));
                false
            }
        }
    }

    /// Whether the receiver drops frames for want of descriptors although it was given all of
    /// them. The first time it is told again.
    fn is_receive_stalled(&mut self) -> bool {
        let missed = self.count_missed();
        let registers = &self.part.registers;
        let is_starved = missed != 0
            && self.receive.peek().is_none()
            && registers.read(RDH) == registers.read(RDT);
        if !is_starved {
            self.watchdog.starved = 0;
            return false;
        }
        self.watchdog.starved = self.watchdog.starved.saturating_add(1);
        let tail = self.receive.tail();
        registers.write(RDT, tail);
        self.watchdog.starved > 1
    }

    /// Logs a notice the first, second, fourth, eighth … time that its kind comes.
    fn say(&mut self, notice: Notice) {
        let Some(count) = self.watchdog.said.get_mut(notice.kind()) else { return };
        *count = count.saturating_add(1);
        if count.is_power_of_two() {
            let (name, address) = (self.part.model.name, self.part.address);
            log::warn!("{name} {address}: {notice} ({count} so far)");
        }
    }
}
