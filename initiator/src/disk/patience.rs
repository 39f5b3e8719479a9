//! How often, how fast and for how long a command that a unit put off is issued again.

use super::verdict::Repeat;
use crate::time::{Duration, Instant};

/// How often one command is issued again because an event was told in its place.
const EVENT_LIMIT: u8 = 8;
/// How often one command is issued again because it was aborted, or the target failed it.
const ABORT_LIMIT: u8 = 8;
/// First pause before a command is issued again; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// No pause is longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A busy unit is asked for so long.
const BUSY_LIMIT: Duration = Duration::from_secs(60);

/// What one command has been through.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Patience {
    events: u8,
    aborts: u8,
    pauses: u8,
    started: bool,
    busy_since: Option<Instant>,
}

impl Patience {
    /// Nothing yet.
    pub(super) const FRESH: Self =
        Self { events: 0, aborts: 0, pauses: 0, started: false, busy_since: None };

    /// When to issue the command again; `None` when it had enough.
    pub(super) fn again(&mut self, now: Instant, repeat: Repeat) -> Option<Instant> {
        match repeat {
            Repeat::AfterEvent => {
                self.events = self.events.saturating_add(1);
                (self.events <= EVENT_LIMIT).then_some(now)
            }
            Repeat::WhenStarted => (!core::mem::replace(&mut self.started, true)).then_some(now),
            Repeat::AfterAbort => {
                let due = now.after(pause(self.aborts));
                self.aborts = self.aborts.saturating_add(1);
                (self.aborts <= ABORT_LIMIT).then_some(due)
            }
            Repeat::WhenFree | Repeat::WithFewer | Repeat::WhenReady => {
                let due = now.after(pause(self.pauses));
                self.pauses = self.pauses.saturating_add(1);
                let since = *self.busy_since.get_or_insert(now);
                (due <= since.after(BUSY_LIMIT)).then_some(due)
            }
        }
    }

    /// As [`again`](Self::again) for a full task set, when another command of the unit is under
    /// way: its end is what to wait for, not a time.
    pub(super) fn again_after_another(&mut self, now: Instant) -> Option<Instant> {
        let since = *self.busy_since.get_or_insert(now);
        (now <= since.after(BUSY_LIMIT)).then_some(now)
    }
}

fn pause(earlier: u8) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << earlier.min(10)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// The pauses that a command is given until it had enough, in milliseconds.
    fn pauses(repeat: Repeat) -> Vec<u64> {
        let (mut patience, mut now) = (Patience::FRESH, Instant::from_millis(7));
        let next = || {
            let due = patience.again(now, repeat)?;
            let pause = due.as_millis() - now.as_millis();
            now = due;
            Some(pause)
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn pauses_double_and_end_after_a_minute() {
        for repeat in [Repeat::WhenFree, Repeat::WithFewer, Repeat::WhenReady] {
            let pauses = pauses(repeat);
            assert_eq!(pauses[..8], [100, 200, 400, 800, 1600, 3200, 5000, 5000], "{repeat:?}");
            let total: u64 = pauses.iter().sum();
            assert!((55_000..=60_000).contains(&total), "{total}");
        }
    }

    #[test]
    fn events_and_aborts_are_counted() {
        assert_eq!(pauses(Repeat::AfterEvent), [0; 8]);
        assert_eq!(pauses(Repeat::AfterAbort), [100, 200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(pauses(Repeat::WhenStarted), [0]);
    }

    #[test]
    fn waiting_for_another_command_ends_too() {
        let mut patience = Patience::FRESH;
        assert!(patience.again_after_another(Instant::ZERO).is_some());
        assert!(patience.again_after_another(Instant::from_millis(60_000)).is_some());
        assert!(patience.again_after_another(Instant::from_millis(60_001)).is_none());
    }
}
