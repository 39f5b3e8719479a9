//! When to try again after a connection was lost, and when an outage has lasted too long.

use crate::time::{Duration, Instant};

/// First pause after a failed attempt; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// No pause is longer than this, so a target that comes back is found soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The clock of an outage: from the loss of a working session to the next full feature phase.
#[derive(Clone, Copy, Debug)]
pub(super) struct Recovery {
    down_since: Instant,
    attempts: u32,
    ever_logged_in: bool,
}

impl Recovery {
    pub(super) fn new(now: Instant) -> Self {
        Self { down_since: now, attempts: 0, ever_logged_in: false }
    }

    /// The session works (again).
    pub(super) fn logged_in(&mut self) {
        self.attempts = 0;
        self.ever_logged_in = true;
    }

    /// A working session was lost; the target wants `time2wait` of peace first (RFC 7143 §7.5.1).
    pub(super) fn lost(&mut self, now: Instant, time2wait: Duration) -> Instant {
        self.down_since = now;
        self.attempts = 0;
        now.after(time2wait)
    }

    /// An attempt failed: when to make the next.
    pub(super) fn failed(&mut self, now: Instant) -> Instant {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.attempts.min(10)).min(LONGEST_PAUSE);
        self.attempts = self.attempts.saturating_add(1);
        now.after(pause)
    }

    /// Whether there was ever a session to come back to.
    pub(super) fn ever_logged_in(&self) -> bool {
        self.ever_logged_in
    }

    /// When a command submitted at `submitted_at` has waited out `limit` of this outage.
    pub(super) fn expires(&self, submitted_at: Instant, limit: Duration) -> Instant {
        self.down_since.max(submitted_at).after(limit)
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
        recovery.logged_in();
        let next = recovery.lost(Instant::from_millis(500), Duration::from_secs(2));
        assert_eq!(next, Instant::from_millis(2_500));
        let limit = Duration::from_secs(10);
        assert_eq!(recovery.expires(Instant::ZERO, limit), Instant::from_millis(10_500));
        let late = Instant::from_millis(60_000);
        assert_eq!(recovery.expires(late, limit), Instant::from_millis(70_000));
    }
}
