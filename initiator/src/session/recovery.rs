//! When to try again after a connection was lost, and when an outage has lasted too long.

use crate::time::{Duration, Instant};

/// First pause after a failed attempt; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// No pause is longer than this, so a target that comes back is found soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The clock of an outage: since when no command was completed although one could have been.
///
/// A login alone ends no outage: a target that accepts logins and does nothing else is as good as
/// none, and is given up as soon.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recovery {
    quiet_since: Instant,
    attempts: u32,
    /// The present session completed a command.
    proven: bool,
    ever_worked: bool,
    /// When a session that never worked is given up, instead of after an outage's limit.
    give_up_at: Option<Instant>,
}

impl Recovery {
    pub(super) fn new(now: Instant) -> Self {
        Self { quiet_since: now, attempts: 0, proven: false, ever_worked: false, give_up_at: None }
    }

    /// The target completed a command.
    pub(super) fn completed(&mut self, now: Instant) {
        *self = Self { proven: true, ever_worked: true, ..Self::new(now) };
    }

    /// A session was lost; the target wants `time2wait` of peace first (RFC 7143 §7.5.1).
    pub(super) fn lost(&mut self, now: Instant, time2wait: Duration) -> Instant {
        if core::mem::take(&mut self.proven) {
            self.quiet_since = now;
            return now.after(time2wait);
        }
        self.failed(now).max(now.after(time2wait))
    }

    /// An attempt failed: when to make the next.
    pub(super) fn failed(&mut self, now: Instant) -> Instant {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.attempts.min(10)).min(LONGEST_PAUSE);
        self.attempts = self.attempts.saturating_add(1);
        now.after(pause)
    }

    /// Whether there was ever a session worth coming back to.
    pub(super) fn ever_worked(&self) -> bool {
        self.ever_worked
    }

    /// A session that does not work by then is given up.
    pub(super) fn give_up_at(&mut self, at: Instant) {
        self.give_up_at = Some(at);
    }

    /// Whether there was no session worth coming back to for as long as is allowed.
    pub(super) fn is_hopeless(&self, now: Instant, limit: Duration) -> bool {
        !self.ever_worked && self.give_up_at.unwrap_or(self.quiet_since.after(limit)) <= now
    }

    /// When a command submitted at `submitted_at` has waited out `limit` of this outage.
    pub(super) fn expires(&self, submitted_at: Instant, limit: Duration) -> Instant {
        self.quiet_since.max(submitted_at).after(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut recovery = Recovery::new(Instant::ZERO);
        let pauses: [u64; 9] = core::array::from_fn(|_| recovery.failed(Instant::ZERO).as_millis());
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
    }

    #[test]
    fn time2wait_is_obeyed_and_a_command_counts_from_its_own_submission() {
        let mut recovery = Recovery::new(Instant::ZERO);
        recovery.completed(Instant::from_millis(400));
        let next = recovery.lost(Instant::from_millis(500), Duration::from_secs(2));
        assert_eq!(next, Instant::from_millis(2_500));
        let limit = Duration::from_secs(10);
        assert_eq!(recovery.expires(Instant::ZERO, limit), Instant::from_millis(10_500));
        let late = Instant::from_millis(60_000);
        assert_eq!(recovery.expires(late, limit), Instant::from_millis(70_000));
    }

    #[test]
    fn sessions_that_complete_nothing_neither_end_the_outage_nor_come_at_once() {
        let mut recovery = Recovery::new(Instant::ZERO);
        recovery.completed(Instant::ZERO);
        let at = Instant::from_millis(1000);
        let pauses: [u64; 4] = core::array::from_fn(|_| {
            recovery.lost(at, Duration::ZERO).since(at).as_millis() as u64
        });
        assert_eq!(pauses, [0, 100, 200, 400]);
        let later = Instant::from_millis(9000);
        recovery.lost(later, Duration::ZERO);
        let limit = Duration::from_secs(10);
        assert_eq!(recovery.expires(Instant::ZERO, limit), Instant::from_millis(11_000));
    }
}
