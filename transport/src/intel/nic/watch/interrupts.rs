//! Whether interrupts come, and what to do when they do not.
//!
//! An interrupt is due when frames are found while one may come, when the link has changed, or
//! when one was made by software. It is lost when it has not come 100 ms after the host went to
//! sleep: a host that keeps polling with its interrupts off proves nothing.

use core::time::Duration;

use crate::hal::Hal;
use crate::intel::interrupt::{Cause, Mode, read_and_clear};
use crate::intel::nic::Nic;
use crate::intel::nic::interrupts::PATIENCE;
use crate::pci::ConfigSpace;

use super::Notice;

/// Between two comparisons of the whole set-up.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// So many losses, each within [`FORGIVEN_AFTER`] of the one before, end a mode.
const STRIKES: u32 = 3;
const FORGIVEN_AFTER: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(in super::super) struct InterruptWatch {
    due: Option<Due>,
    strikes: u32,
    last_strike: Duration,
    next_check: Duration,
    link_was_up: Option<bool>,
    /// Masked at the last look, after so many interrupts.
    masked: Option<u32>,
}

/// An interrupt that should come, or have come.
#[derive(Clone, Copy)]
struct Due {
    why: Why,
    /// How many there were before it.
    before: u32,
    /// The host went to sleep since, so it can take interrupts.
    has_slept: bool,
    since: Option<Duration>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    Frame,
    Link {
        is_up: bool,
    },
    Kick,
    /// The first of a mode that another was given up for.
    NewMode,
}

impl InterruptWatch {
    fn expect(&mut self, why: Why, before: u32) {
        self.due = Some(Due { why, before, has_slept: false, since: None });
    }

    /// The host is about to sleep.
    pub(in super::super) const fn sleeps(&mut self) {
        if let Some(due) = &mut self.due {
            due.has_slept = true;
        }
    }

    /// Why the interrupt was due that has not come.
    fn lost(&mut self, count: u32, now: Duration) -> Option<Why> {
        let due = self.due.as_mut()?;
        if due.before != count {
            self.due = None;
            return None;
        }
        let since = match due.since {
            Some(since) => since,
            None if due.has_slept => *due.since.insert(now),
            None => return None,
        };
        let why = due.why;
        (now.saturating_sub(since) >= PATIENCE).then_some(why)
    }

    /// Counts a loss; says whether it was one too many.
    fn strike(&mut self, now: Duration) -> bool {
        if now.saturating_sub(self.last_strike) > FORGIVEN_AFTER {
            self.strikes = 0;
        }
        self.last_strike = now;
        self.strikes = self.strikes.saturating_add(1);
        self.strikes >= STRIKES
    }
}

impl<H: Hal + Clone, C: ConfigSpace> Nic<H, C> {
    /// Called where the host is about to look at the rings: frames that are there although an
    /// interrupt could have said so make one due. Touches no register.
    pub(in super::super) fn note_unannounced(&mut self) {
        let Some(line) = self.interrupts.line else { return };
        // Counted first: one that comes from here on makes a difference.
        let before = line.interrupts();
        let watch = &mut self.watchdog.interrupts;
        if watch.due.is_none() && line.is_armed() && self.receive.peek().is_some() {
            watch.expect(Why::Frame, before);
        }
    }

    pub(super) fn watch_interrupts(
        &mut self,
        link_is_up: bool,
        causes: Cause,
        now: Duration,
    ) -> Option<Notice> {
        let watch = &mut self.watchdog.interrupts;
        let link_changed =
            watch.link_was_up.replace(link_is_up).is_some_and(|was| was != link_is_up);
        let mode = self.interrupts.mode;
        let line = self.interrupts.line.filter(|_| mode != Mode::Polled)?;
        let count = line.interrupts();
        if link_changed && !causes.link_changed() && watch.due.is_none() && line.is_armed() {
            watch.expect(Why::Link { is_up: link_is_up }, count);
        }
        let lost = watch.lost(count, now);
        if lost.is_some() || now >= watch.next_check {
            watch.next_check = now.saturating_add(CHECK_INTERVAL);
            if let Some(what) = self.fault() {
                return Some(self.repair(what, now));
            }
        }
        if let Some(why) = lost {
            return Some(self.mend(why, now));
        }
        // A handler that runs meanwhile masks rightly, and so does a message under way, of a frame
        // that is in the ring or was found there.
        let is_mask_lost = line.is_armed()
            && !self.design().is_unmasked(&self.part.registers, self.interrupts.mask)
            && line.is_armed()
            && line.interrupts() == count
            && self.watchdog.interrupts.due.is_none()
            && self.receive.peek().is_none();
        // Twice in a row: the message may be under way of a frame that was taken out meanwhile.
        let masked_before = self.watchdog.interrupts.masked.take() == Some(count);
        if is_mask_lost && !masked_before {
            self.watchdog.interrupts.masked = Some(count);
        }
        if !is_mask_lost || !masked_before {
            return None;
        }
        if self.watchdog.interrupts.strike(now) {
            return Some(self.fall_back());
        }
        self.let_through();
        Some(Notice::MaskRestored)
    }

    /// After a reset of the part: the mode in use, or the best that can still be had.
    pub(super) fn use_mode_again(&mut self, wanted: Mode) {
        let mut mode = wanted;
        while mode != Mode::Polled
            && let Err(why) = self.program(mode)
        {
            self.say_unusable(mode, &why);
            mode = mode.next();
        }
        if mode != Mode::Polled {
            self.kick(if mode == wanted { Why::Kick } else { Why::NewMode });
        }
    }

    /// An interrupt did not come.
    fn mend(&mut self, why: Why, now: Duration) -> Notice {
        self.statistics.lost_interrupts = self.statistics.lost_interrupts.saturating_add(1);
        if self.watchdog.interrupts.strike(now) || why == Why::NewMode {
            return self.fall_back();
        }
        self.kick(Why::Kick);
        match why {
            Why::Link { is_up } => Notice::LinkChangeUnseen { is_up },
            _ => Notice::InterruptLost,
        }
    }

    /// A piece of the set-up was gone.
    fn repair(&mut self, what: &'static str, now: Duration) -> Notice {
        let mode = self.interrupts.mode;
        if self.watchdog.interrupts.strike(now) || self.program(mode).is_err() {
            return self.fall_back_from(mode);
        }
        // What is pending is not revived by writing the set-up again, only by a new cause.
        self.kick(Why::Kick);
        Notice::Repaired { what }
    }

    fn fall_back(&mut self) -> Notice {
        self.fall_back_from(self.interrupts.mode)
    }

    fn fall_back_from(&mut self, from: Mode) -> Notice {
        self.watchdog.interrupts = InterruptWatch {
            link_was_up: self.watchdog.interrupts.link_was_up,
            ..InterruptWatch::default()
        };
        let mut to = from.next();
        while self.program(to).is_err() {
            to = to.next();
        }
        if to != Mode::Polled {
            self.kick(Why::NewMode);
        }
        Notice::FellBack { from, to }
    }

    /// Makes an interrupt by software, and expects it.
    fn kick(&mut self, why: Why) {
        let Some(line) = self.interrupts.line else { return };
        let before = line.interrupts();
        self.watchdog.interrupts.expect(why, before);
        // With a cause pending that nobody read, an MSI is not sent again.
        let _ = read_and_clear(&self.part.registers);
        self.let_through();
        self.design().kick(&self.part.registers, self.interrupts.mode);
    }
}
