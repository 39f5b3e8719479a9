//! Whether to look on, or to sleep until the card interrupts.
//!
//! Who sleeps gives the processor to others and learns late of what comes; who looks on learns at once.
//! Which is better depends on how long waits are, and the next one is mostly like the last ones. A
//! bound alone, to look on for so long and then to sleep, has the worst of both where waits are long.

use core::time::Duration;

/// Waits for a single request that are longer than this on average are slept through. Beyond about a
/// fifth of a millisecond it matters little, to whoever waits, when exactly the sleep ends.
const LONG: Duration = Duration::from_micros(250);
/// The same with several under way: the target goes on with another one until the sleep ends.
const LONG_OF_SEVERAL: Duration = Duration::from_micros(120);
/// However short waits were of late, nobody looks on for longer.
const LONGEST_LOOK: Duration = LONG.saturating_mul(2);
/// One wait counts for no more, so that an idle hour is soon forgotten.
const COUNTS_AT_MOST: Duration = LONG.saturating_mul(4);
/// With so many requests under way nobody waits for the next one alone: waits are slept through, and
/// several are there when they end.
const MANY: usize = 16;
/// The last wait is this part of the average.
const WEIGHT: u32 = 8;

/// The waits so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience {
    /// Frames that had come when this wait began.
    received: u64,
    /// When it began.
    began: Duration,
    /// When nothing had come yet, last.
    seen: Duration,
    average: Duration,
}

impl Patience {
    /// Nothing is to be done at `now`, so many frames have come so far, and so many requests are under
    /// way: whether that is worth a sleep.
    pub(crate) fn is_over(&mut self, now: Duration, received: u64, requests: usize) -> bool {
        if received != self.received {
            let waited = self.seen.saturating_sub(self.began).min(COUNTS_AT_MOST);
            self.average = self.average - self.average / WEIGHT + waited / WEIGHT;
            (self.received, self.began) = (received, now);
        }
        self.seen = now;
        let long = if requests > 1 { LONG_OF_SEVERAL } else { LONG };
        requests >= MANY || self.average > long || now.saturating_sub(self.began) > LONGEST_LOOK
    }
}
