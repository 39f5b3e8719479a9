//! For how many bytes it is worth waking up: a sleep costs as much as a dozen small answers.

use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::{libc, setsockopt_impl, sockopt_impl};

use crate::stream::Expected;

/// Half of what is expected is waited for, and then to the end of an answer: the other half is under
/// way meanwhile, and what ends nothing is not worth a wake-up.
const PART: usize = 2;
/// More is not waited for, but to the end of an answer: it is worth a sleep, and to be copied while it
/// is in the cache.
const MOST: usize = 256 * 1024;
/// A longer answer that is the only one is begun to be copied when [`EARLY_PART`] of it is there: the
/// peer has nothing else to do meanwhile than to send the rest.
const EARLY_FROM: usize = 128 * 1024;
/// See [`EARLY_FROM`].
const EARLY_PART: usize = 4;
/// Less is not worth telling the kernel.
const LEAST: usize = 256;
/// More than one byte is waited for no longer than this: what is expected may be late.
///
/// Longer than a tick of the kernel's clock, mostly 4 ms: a timer that is due before has to be
/// programmed into the hardware for each sleep, and costs half as much as the sleep.
pub(super) const PATIENCE: Duration = Duration::from_millis(5);
/// So many waits end with the first byte after one for more was in vain: a target that serves some
/// commands late shall not hold up the others. So many are for whole answers, too, after one for a
/// part led to another for the last few bytes.
const CAREFUL_WAITS: u8 = 64;

sockopt_impl!(
    /// Bytes that must have come before a socket counts as readable (`SO_RCVLOWAT`).
    ReceiveLowWater,
    SetOnly,
    libc::SOL_SOCKET,
    libc::SO_RCVLOWAT,
    usize
);

/// What wakes up whoever sleeps on a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waking {
    expected: Expected,
    /// What the socket was told.
    told: usize,
    /// Waits left that end with the first byte.
    careful: u8,
    /// The last wait was for a part of an answer.
    began: bool,
    /// Waits left that are for whole answers.
    whole: u8,
}

impl Waking {
    /// As a new socket has it: by any byte.
    pub(super) const ANY: Self = Self {
        expected: Expected { all: 0, first: 0, each: 0 },
        told: 1,
        careful: 0,
        began: false,
        whole: 0,
    };

    /// So much will come without anything more from us.
    pub(super) fn expect(&mut self, expected: Expected) {
        self.expected = expected;
    }

    /// Tells the socket what to wake up for; for how long that may be waited for.
    pub(super) fn prepare(&mut self, socket: &OwnedFd, limit: Duration) -> Duration {
        let wanted = self.wanted();
        if wanted != self.told && setsockopt(socket, ReceiveLowWater, &wanted).is_ok() {
            self.told = wanted;
        }
        match self.told {
            ..=1 => limit,
            _ => limit.min(PATIENCE),
        }
    }

    /// A wait ended, because the socket was ready or with the time.
    pub(super) fn ended(&mut self, ready: bool) {
        self.careful = match ready {
            false if self.told > 1 => CAREFUL_WAITS,
            _ => self.careful.saturating_sub(1),
        };
    }

    /// Bytes to wake up for.
    fn wanted(&mut self) -> usize {
        let Expected { all, first, .. } = self.expected;
        // The last wait was for a part of this very answer, and all came but its digest or the like:
        // a wait for all of it would have done.
        let began = core::mem::take(&mut self.began);
        let again = began && (1..LEAST).contains(&first);
        self.whole = if again { CAREFUL_WAITS } else { self.whole.saturating_sub(1) };
        if self.careful > 0 {
            return 1;
        }
        let mut wanted = self.whole_answers();
        if wanted == all && wanted >= EARLY_FROM && self.whole == 0 {
            wanted /= EARLY_PART;
            self.began = true;
        }
        if wanted < LEAST { 1 } else { wanted }
    }

    /// The first end of an answer at or behind the part that is waited for, unless that is far behind.
    fn whole_answers(&self) -> usize {
        let Expected { all, first, each } = self.expected;
        let part = (all / PART).min(MOST);
        let more = part.saturating_sub(first).div_ceil(each.max(1)).saturating_mul(each);
        let end = first.saturating_add(more).min(all);
        if (part..=2 * MOST).contains(&end) { end } else { part }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header and its digest, data and its digest.
    const ANSWER: usize = 52 + (64 << 10) + 4;

    fn wanted(all: usize, first: usize, each: usize) -> usize {
        Waking { expected: Expected { all, first, each }, ..Waking::ANY }.wanted()
    }

    #[test]
    fn half_of_the_answers_wake_up_and_each_is_whole() {
        assert_eq!(wanted(0, 0, 0), 1);
        // One response to a write, and many.
        assert_eq!(wanted(48, 48, 48), 1);
        assert_eq!(wanted(32 * 48, 48, 48), 16 * 48);
        assert_eq!(wanted(ANSWER, ANSWER, ANSWER), ANSWER);
        assert_eq!(wanted(4 * ANSWER, ANSWER, ANSWER), 2 * ANSWER);
        // The rest of the first, and three behind it.
        assert_eq!(wanted(3 * ANSWER + 100, 100, ANSWER), 100 + 2 * ANSWER);
        assert_eq!(wanted(32 * ANSWER, ANSWER, ANSWER), 4 * ANSWER);
    }

    #[test]
    fn no_more_is_waited_for_than_is_expected_nor_much_at_a_time() {
        for all in (0..3_000_000).step_by(4099) {
            for answers in 1..5 {
                let first = all / answers;
                for first in [first, first / 3, all] {
                    let wanted = wanted(all, first, all / answers);
                    assert!(wanted <= all.max(1) && wanted <= 2 * MOST, "{all}, {answers}");
                }
            }
        }
        // An answer that is longer than what is copied at a time.
        assert_eq!(wanted(8 * MOST, 4 * MOST, 4 * MOST), MOST);
        assert_eq!(wanted(usize::MAX, usize::MAX, usize::MAX), MOST);
        assert_eq!(wanted(usize::MAX, 1, usize::MAX), MOST);
    }

    #[test]
    fn a_long_answer_that_is_the_only_one_is_begun_to_be_copied_as_it_comes() {
        let all = 256 * 1024 + 48;
        let mut waking =
            Waking { expected: Expected { all, first: all, each: all }, ..Waking::ANY };
        for _ in 0..3 {
            assert_eq!(waking.wanted(), all / EARLY_PART, "all of it came meanwhile");
        }
        waking.expect(Expected { all: 1000, first: 1000, each: 0 });
        assert_eq!(waking.wanted(), 1000, "the target was interrupted");
        waking.expect(Expected { all, first: all, each: all });
        assert_eq!(waking.wanted(), all / EARLY_PART);
        // The target takes its time for the rest, such as a digest: that took a sleep of its own.
        waking.expect(Expected { all: 4, first: 4, each: 0 });
        assert_eq!(waking.wanted(), 1);
        waking.expect(Expected { all, first: all, each: all });
        for _ in 1..CAREFUL_WAITS {
            assert_eq!(waking.wanted(), all);
        }
        assert_eq!(waking.wanted(), all / EARLY_PART, "tried again");
    }

    #[test]
    fn after_a_wait_in_vain_any_byte_wakes_up_for_a_while() {
        let expected = Expected { all: 4 * ANSWER, first: ANSWER, each: ANSWER };
        let mut waking = Waking { expected, told: 2 * ANSWER, ..Waking::ANY };
        waking.ended(true);
        assert_eq!(waking.wanted(), 2 * ANSWER);
        waking.ended(false);
        waking.told = 1;
        for _ in 0..CAREFUL_WAITS {
            assert_eq!(waking.wanted(), 1);
            waking.ended(true);
        }
        assert_eq!(waking.wanted(), 2 * ANSWER);
    }

    #[test]
    fn a_wait_for_any_byte_that_ends_with_the_time_says_nothing() {
        let expected = Expected { all: 4 * ANSWER, first: ANSWER, each: ANSWER };
        let mut waking = Waking { expected, ..Waking::ANY };
        waking.ended(false);
        assert_eq!(waking.wanted(), 2 * ANSWER);
    }
}
