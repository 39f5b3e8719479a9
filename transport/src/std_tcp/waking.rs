//! For how many bytes it is worth waking up: a sleep costs as much as a dozen answers.

use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::{libc, setsockopt_impl, sockopt_impl};

/// A quarter of what is expected is waited for: that takes no more than a quarter of the time that the
/// target takes for all of it, and keeps three quarters under way meanwhile.
const PART: usize = 4;
/// More is not waited for: it is worth a sleep, and to be copied while it is in the cache.
const MOST: usize = 256 * 1024;
/// Less is not worth telling the kernel.
const LEAST: usize = 256;
/// More than one byte is waited for no longer than this: what is expected may be late.
pub(super) const PATIENCE: Duration = Duration::from_millis(2);
/// So many waits end with the first byte after one for more was in vain: a target that serves some
/// commands late shall not hold up the others.
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
    /// Bytes that will come without anything more from us.
    expected: usize,
    /// What the socket was told.
    told: usize,
    /// Waits left that end with the first byte.
    careful: u8,
}

impl Waking {
    /// As a new socket has it: by any byte.
    pub(super) const ANY: Self = Self { expected: 0, told: 1, careful: 0 };

    /// So many bytes will come without anything more from us.
    pub(super) fn expect_at_least(&mut self, bytes: usize) {
        self.expected = bytes;
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

    /// Bytes to wake up for: powers of two, so that the socket need not be told often.
    fn wanted(&self) -> usize {
        match self.expected / PART {
            part if part >= LEAST && self.careful == 0 => 1 << part.min(MOST).ilog2(),
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_what_is_expected_wakes_up_and_never_all_of_it() {
        for (expected, wanted) in [
            (0, 1),
            (1000, 1),
            (4 * LEAST, LEAST),
            (32 * 4144, 32 * 1024),
            (32 * 1024 * 1024, MOST),
        ] {
            assert_eq!(Waking { expected, ..Waking::ANY }.wanted(), wanted);
        }
        for expected in 2..100_000 {
            assert!(Waking { expected, ..Waking::ANY }.wanted() <= expected / 2);
        }
    }

    #[test]
    fn after_a_wait_in_vain_any_byte_wakes_up_for_a_while() {
        let mut waking = Waking { expected: 1 << 20, told: 1 << 16, careful: 0 };
        waking.ended(true);
        assert_eq!(waking.wanted(), MOST);
        waking.ended(false);
        waking.told = 1;
        for _ in 0..CAREFUL_WAITS {
            assert_eq!(waking.wanted(), 1);
            waking.ended(true);
        }
        assert_eq!(waking.wanted(), MOST);
    }

    #[test]
    fn a_wait_for_any_byte_that_ends_with_the_time_says_nothing() {
        let mut waking = Waking { expected: 1 << 20, ..Waking::ANY };
        waking.ended(false);
        assert_eq!(waking.wanted(), MOST);
    }
}
