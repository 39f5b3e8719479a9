//! Starting a part anew under a running stack.

use core::time::Duration;

use crate::hal::Hal;
use crate::intel::interrupt::Mode;
use crate::intel::nic::Nic;
use crate::intel::registers::STATUS;
use crate::pci::{self, ConfigSpace};

use super::{Notice, State, Trouble};

/// Resets keep a distance that doubles from the first of these to the last.
const SHORTEST_DISTANCE: Duration = Duration::from_secs(1);
const LONGEST_DISTANCE: Duration = Duration::from_secs(32);
/// After so long without a reset the distance is short again.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);
/// A part that cannot be started so many times in a row is given up.
const ATTEMPTS: u32 = 5;

/// A part that does not even answer in configuration space for so long was removed. A link or a
/// bridge that is reset is back before.
const REMOVED_AFTER: Duration = Duration::from_secs(2);

/// What is remembered of resets.
#[derive(Default)]
pub(super) struct Restarts {
    /// None before this.
    not_before: Duration,
    distance: Duration,
    /// Failures in a row.
    failures: u32,
    /// How it interrupted before.
    mode: Mode,
    /// Nothing answers at its address since.
    absent_since: Option<Duration>,
}

impl Restarts {
    /// Whether a reset may be made now; keeps the distance to the next.
    fn may_start(&mut self, now: Duration) -> bool {
        if now < self.not_before {
            return false;
        }
        let is_healthy = now.saturating_sub(self.not_before) > HEALTHY_AFTER;
        self.distance = if is_healthy || self.distance.is_zero() {
            SHORTEST_DISTANCE
        } else {
            self.distance.saturating_mul(2).min(LONGEST_DISTANCE)
        };
        self.not_before = now.saturating_add(self.distance);
        true
    }
}

impl<H: Hal + Clone, C: ConfigSpace> Nic<H, C> {
    /// Registers read as all ones once.
    pub(super) fn unanswered(&mut self, now: Duration) -> Option<Notice> {
        self.part.hal.wait(Duration::from_millis(1));
        if self.part.registers.read(STATUS) != u32::MAX {
            return None;
        }
        self.stop_using();
        self.watchdog.state = State::Trying;
        self.try_again(now)
    }

    pub(super) fn try_again(&mut self, now: Duration) -> Option<Notice> {
        let absent_since = &mut self.watchdog.restarts.absent_since;
        if !pci::is_present(&self.part.config, self.part.address) {
            let since = *absent_since.get_or_insert(now);
            if now.saturating_sub(since) < REMOVED_AFTER {
                return None;
            }
            self.watchdog.state = State::GivenUp;
            return Some(Notice::Removed);
        }
        *absent_since = None;
        self.restart(Trouble::Unanswered, now)
    }

    /// Stops and resets the part. It starts again once the frames that it had reported are
    /// taken, which is at once when there are none.
    pub(super) fn restart(&mut self, trouble: Trouble, now: Duration) -> Option<Notice> {
        if !self.watchdog.restarts.may_start(now) {
            return None;
        }
        self.stop_using();
        self.statistics.resets = self.statistics.resets.saturating_add(1);
        if self.part.take_over_again().is_err() {
            return Some(self.not_restarted(trouble));
        }
        self.forget_unsent();
        self.watchdog.state = State::Draining(trouble);
        self.start_again(trouble, now)
    }

    pub(super) fn start_again(&mut self, trouble: Trouble, now: Duration) -> Option<Notice> {
        if self.receive.peek().is_some() {
            if !self.transmit.has_room() {
                // Answers to what is delivered: without room the stack would take no more.
                self.forget_unsent();
            }
            return None;
        }
        self.receive.start_over();
        self.discarding = false;
        self.watchdog.transmit = None;
        self.watchdog.starved = 0;
        if self.start().is_err() {
            return Some(self.not_restarted(trouble));
        }
        // What the stack has queued since.
        self.transmit.tell_again();
        self.split().1.flush();
        self.watchdog.state = State::Running;
        self.watchdog.restarts.failures = 0;
        self.watchdog.next_look = now.saturating_add(super::INTERVAL);
        self.use_mode_again(self.watchdog.restarts.mode);
        Some(Notice::Restarted { why: trouble })
    }

    fn forget_unsent(&mut self) {
        let left = self.transmit.start_over();
        self.statistics.unsent = self.statistics.unsent.saturating_add(u64::from(left));
    }

    fn not_restarted(&mut self, why: Trouble) -> Notice {
        pci::disable_bus_master(&self.part.config, self.part.address);
        let restarts = &mut self.watchdog.restarts;
        restarts.failures = restarts.failures.saturating_add(1);
        if restarts.failures >= ATTEMPTS {
            self.watchdog.state = State::GivenUp;
            return Notice::GivenUp;
        }
        self.watchdog.state = State::Trying;
        Notice::NotRestarted { why }
    }

    /// Remembers how it interrupted, and turns handlers away: some parts must not be touched
    /// while they reset.
    fn stop_using(&mut self) {
        if self.watchdog.state == State::Running {
            self.watchdog.restarts.mode = self.interrupts.mode;
            self.use_mode(Mode::Polled);
        }
    }
}
