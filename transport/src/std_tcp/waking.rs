//! For how many bytes it is worth waking up: a sleep costs as much as a dozen small answers.

use std::os::fd::OwnedFd;
use std::time::Duration;

use nix::sys::socket::setsockopt;
use nix::{libc, setsockopt_impl, sockopt_impl};

use crate::stream::Expected;

/// A half, a quarter or an eighth of what is expected is waited for, and then to the end of an answer:
/// the rest is under way meanwhile, and what ends nothing is not worth a wake-up.
const PARTS: [usize; 3] = [2, 4, 8];
/// Of answers without data a quarter: each of them lets us send as much as the peer wants for a write,
/// and what half of many ask for is more than it takes at once.
const PART_WITHOUT_DATA: usize = 4;
/// What an answer without data has at most: a header and digests.
const WITHOUT_DATA: usize = 64;
/// As many waits more in which the peer ran out of work than in which it had enough go to the next
/// smaller part.
const WAITS_OF_PART: u8 = 16;
/// The most of them.
const GREATEST_HASTE: u8 = WAITS_OF_PART * PARTS.len() as u8 - 1;
/// In sixteenths of what was expected: with no more than this missing the peer has run out of work, and
/// with no more than this beyond what was waited for it has enough.
const SIXTEENTH: usize = 16;
/// More is not waited for, but to the end of an answer: it is worth a sleep, and to be copied while it
/// is in the cache.
const MOST: usize = 512 * 1024;
/// Of so few answers the first byte wakes up: half of them is soon there, and would leave the peer
/// with nothing to do until we are awake and have asked for more.
const FEW: usize = 4;
/// Of a single answer only a longer one comes in pieces of which the first can be copied early.
const LONG: usize = 32 * 1024;
/// Whoever was woken up by the first byte of an answer and then sleeps for longer until the rest comes
/// was woken up in vain.
const LATE: Duration = Duration::from_micros(150);
/// So was whoever sleeps for no more than a digest, which takes the peer time of its own.
const DIGEST: usize = 4;
/// When that was so of this many answers, one after the other, …
const LATE_TIMES: u8 = 4;
/// … so many waits are for whole answers.
const WHOLE_WAITS: u8 = 250;
/// Less is not worth telling the kernel.
const LEAST: usize = 256;
/// More than one byte is waited for no longer than this: what is expected may be late.
///
/// Longer than a tick of the kernel's clock, mostly 4 ms: a timer that is due before has to be
/// programmed into the hardware for each sleep, and costs half as much as the sleep.
pub(super) const PATIENCE: Duration = Duration::from_millis(5);
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
    expected: Expected,
    /// What the socket was told.
    told: usize,
    /// Waits left that end with the first byte.
    careful: u8,
    /// Of how many answers in a row the rest was late.
    late: u8,
    /// So it was of this one, …
    is_late: bool,
    /// … of which so much was missing when it was waited for last.
    missing: usize,
    /// Waits left that are for whole answers.
    whole: u8,
    /// The last wait was for the first byte of few answers.
    early: bool,
    /// This one is for the rest of an answer that was begun so, which is late after so long.
    late_after: Option<Duration>,
    /// What the wait was for, if it was for a part of many answers with data: all that was expected, and
    /// the part.
    waited_for: Option<(usize, usize)>,
    /// Rises when the peer ran out of work until then, and falls when it had enough.
    haste: u8,
}

impl Waking {
    /// As a new socket has it: by any byte.
    pub(super) const ANY: Self = Self {
        expected: Expected { all: 0, first: 0, each: 0 },
        told: 1,
        careful: 0,
        late: 0,
        is_late: false,
        missing: 0,
        whole: 0,
        early: false,
        late_after: None,
        waited_for: None,
        haste: 0,
    };

    /// So much will come without anything more from us.
    pub(super) fn expect(&mut self, expected: Expected) {
        self.expected = expected;
    }

    /// What was said last to come.
    pub(super) fn expected(&self) -> Expected {
        self.expected
    }

    /// Whether the peer had no more than few answers left to give: it may well have nothing to do.
    pub(super) fn expects_few(&self) -> bool {
        self.behind() < FEW
    }

    /// Tells the socket what to wake up for; for how long that may be waited for.
    pub(super) fn prepare(&mut self, socket: &OwnedFd, limit: Duration) -> Duration {
        let wanted = self.wanted();
        if wanted != self.told && setsockopt(socket, ReceiveLowWater, &wanted).is_ok() {
            self.told = wanted;
        }
        let Expected { all, each, .. } = self.expected;
        let is_part = 1 < self.told && self.told < all;
        let counts = is_part && self.whole == 0 && each > WITHOUT_DATA;
        self.waited_for = counts.then_some((all, self.told));
        match self.told {
            ..=1 => limit,
            _ => limit.min(PATIENCE),
        }
    }

    /// Whether it matters how long the wait takes that was prepared.
    pub(super) fn is_timed(&self) -> bool {
        self.late_after.is_some()
    }

    /// A wait ended, because the socket was ready or with the time; how long it took, where that matters.
    pub(super) fn ended(&mut self, ready: bool, took: Duration) {
        self.careful = match ready {
            false if self.told > 1 => CAREFUL_WAITS,
            _ => self.careful.saturating_sub(1),
        };
        self.whole = self.whole.saturating_sub(1);
        if self.late_after.is_some_and(|limit| took > limit) && !self.is_late {
            self.is_late = true;
            self.late = self.late.saturating_add(1);
            if self.late == LATE_TIMES {
                (self.late, self.whole) = (0, WHOLE_WAITS);
            }
        }
    }

    /// The socket was emptied, the first time since the wait: so much had come.
    pub(super) fn emptied(&mut self, came: usize) {
        let Some((all, part)) = self.waited_for.take() else { return };
        let little = all / SIXTEENTH;
        // Where more came than was expected, the peer has got new work meanwhile.
        if (all.saturating_sub(little)..=all).contains(&came) {
            self.haste = self.haste.saturating_add(1).min(GREATEST_HASTE);
        } else if came <= part.saturating_add(little) {
            self.haste = self.haste.saturating_sub(1);
        }
    }

    #[cfg(test)]
    pub(super) fn haste(&self) -> u8 {
        self.haste
    }

    /// Bytes to wake up for.
    fn wanted(&mut self) -> usize {
        let late_after = self.rest_is_late_after();
        if late_after.is_none() || self.expected.first > self.missing {
            // Another answer than before.
            if !self.is_late {
                self.late = 0;
            }
            self.is_late = false;
        }
        self.missing = self.expected.first;
        self.late_after = late_after.filter(|_| self.early);
        self.early = self.is_early();
        if self.careful > 0 || self.early {
            return 1;
        }
        match self.whole_answers() {
            ..LEAST => 1,
            wanted => wanted,
        }
    }

    /// Whether the first byte is worth a wake-up.
    fn is_early(&self) -> bool {
        let few = if self.behind() == 0 { self.expected.all >= LONG } else { self.expects_few() };
        self.whole == 0 && few
    }

    /// How many answers come behind the first.
    fn behind(&self) -> usize {
        let Expected { all, first, each } = self.expected;
        all.saturating_sub(first).checked_div(each).unwrap_or(0)
    }

    /// After how long the rest of an answer is late, if we are in the middle of one.
    fn rest_is_late_after(&self) -> Option<Duration> {
        let Expected { first, each, .. } = self.expected;
        match first {
            0 => None,
            1..=DIGEST => Some(Duration::ZERO),
            _ if first < each || each == 0 => Some(LATE),
            _ => None,
        }
    }

    /// What part of the answers is waited for: of all of them, one divided by this.
    fn part(&self) -> usize {
        let [half, ..] = PARTS;
        let part = PARTS.get(usize::from(self.haste / WAITS_OF_PART));
        match self.expected.each {
            1..=WITHOUT_DATA => PART_WITHOUT_DATA,
            // Few answers of a peer that takes long for each.
            _ if self.whole > 0 => half,
            _ => part.copied().unwrap_or(half),
        }
    }

    /// The first end of an answer at or behind the part that is waited for, unless that is far behind.
    fn whole_answers(&self) -> usize {
        let Expected { all, first, each } = self.expected;
        let part = all.checked_div(self.part()).unwrap_or(all).min(MOST);
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

    const FEW_ANSWERS: Expected = Expected { all: 4 * ANSWER, first: ANSWER, each: ANSWER };

    fn expecting(all: usize, first: usize, each: usize) -> Waking {
        Waking { expected: Expected { all, first, each }, ..Waking::ANY }
    }

    /// What wakes up while whole answers are waited for.
    fn wanted(all: usize, first: usize, each: usize) -> usize {
        Waking { whole: 1, ..expecting(all, first, each) }.wanted()
    }

    #[test]
    fn half_of_many_answers_wakes_up_and_each_is_whole() {
        assert_eq!(wanted(0, 0, 0), 1);
        // One response to a write, and many.
        assert_eq!(wanted(48, 48, 48), 1);
        assert_eq!(expecting(32 * 48, 48, 48).wanted(), 8 * 48);
        assert_eq!(wanted(ANSWER, ANSWER, ANSWER), ANSWER);
        assert_eq!(wanted(4 * ANSWER, ANSWER, ANSWER), 2 * ANSWER);
        // The rest of the first, and three behind it.
        assert_eq!(wanted(3 * ANSWER + 100, 100, ANSWER), 100 + 2 * ANSWER);
        assert_eq!(expecting(32 * ANSWER, ANSWER, ANSWER).wanted(), 8 * ANSWER);
        assert_eq!(expecting(5 * 4148, 4148, 4148).wanted(), 3 * 4148);
    }

    #[test]
    fn of_few_answers_and_of_a_long_one_the_first_byte_wakes_up() {
        for each in [4148, 16 * 1024, ANSWER] {
            for answers in 2..=FEW {
                assert_eq!(expecting(answers * each, each, each).wanted(), 1, "{answers}");
            }
        }
        assert_eq!(expecting(ANSWER, ANSWER, ANSWER).wanted(), 1);
        // A short one comes at once, and of many enough is under way.
        assert_eq!(expecting(4148, 4148, 4148).wanted(), 4148);
        assert_eq!(expecting(5 * MOST, MOST, MOST).wanted(), MOST);
    }

    /// Waits that each find `came` bytes of `all`, and what is waited for after them.
    fn after_waits(waking: &mut Waking, waits: u8, all: usize, came: usize) -> usize {
        waking.expect(Expected { all, first: ANSWER, each: ANSWER });
        for _ in 0..waits {
            waking.waited_for = Some((all, waking.wanted()));
            waking.emptied(came);
        }
        waking.wanted()
    }

    #[test]
    fn less_is_waited_for_while_the_peer_runs_out_of_work() {
        let all = 8 * ANSWER;
        let mut waking = Waking::ANY;
        assert_eq!(after_waits(&mut waking, WAITS_OF_PART - 1, all, all), 4 * ANSWER);
        assert_eq!(after_waits(&mut waking, 1, all, all - 100), 2 * ANSWER);
        // Neither is it idle nor far behind us, or it has got more to do.
        for came in [5 * ANSWER, 7 * ANSWER, all + 1] {
            assert_eq!(after_waits(&mut waking, 100, all, came), 2 * ANSWER);
        }
        assert_eq!(after_waits(&mut waking, u8::MAX, all, all), ANSWER);
        assert_eq!(after_waits(&mut waking, WAITS_OF_PART, all, ANSWER), 2 * ANSWER);
        assert_eq!(after_waits(&mut waking, WAITS_OF_PART, all, 2 * ANSWER + 100), 4 * ANSWER);
        assert_eq!(after_waits(&mut waking, u8::MAX, all, 4 * ANSWER), 4 * ANSWER);
    }

    #[test]
    fn of_few_answers_that_come_late_half_is_waited_for_however_idle_the_peer_was() {
        let mut waking = Waking::ANY;
        after_waits(&mut waking, u8::MAX, 8 * ANSWER, 8 * ANSWER);
        waking.whole = WHOLE_WAITS;
        waking.expect(FEW_ANSWERS);
        assert_eq!(waking.wanted(), 2 * ANSWER);
    }

    #[test]
    fn only_waits_for_a_part_say_how_busy_the_peer_is() {
        let all = 8 * ANSWER;
        let mut waking = Waking::ANY;
        waking.expect(Expected { all, first: ANSWER, each: ANSWER });
        waking.waited_for = Some((all, 4 * ANSWER));
        for _ in 0..=WAITS_OF_PART {
            waking.emptied(all);
        }
        assert_eq!(waking.haste, 1, "it was said once");
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
        // The rest of it, and none behind it.
        assert_eq!(wanted(3 * MOST, 3 * MOST, 0), MOST);
        assert_eq!(wanted(usize::MAX, usize::MAX, usize::MAX), MOST);
        assert_eq!(wanted(usize::MAX, 1, usize::MAX), MOST);
    }

    /// A wait for few answers, of the first of which `rest` is missing then, and comes after `took`.
    fn begin_early(waking: &mut Waking, rest: Expected, took: Duration) {
        waking.expect(FEW_ANSWERS);
        assert_eq!((waking.wanted(), waking.is_timed()), (1, false));
        waking.ended(true, Duration::ZERO);
        waking.expect(rest);
        waking.wanted();
        assert!(waking.is_timed());
        waking.ended(true, took);
    }

    #[test]
    fn where_the_rest_of_answers_is_late_whole_ones_are_waited_for_for_a_while() {
        // All but a digest, half of one of four, half of a single one.
        let tails = [(4, 4, 0), (3 * ANSWER + 4, 4, ANSWER)].map(|rest| (rest, Duration::ZERO));
        let halves = [(3 * ANSWER + 9000, 9000, ANSWER), (9000, 9000, 0)].map(|rest| (rest, LATE));
        for ((all, first, each), in_time) in tails.into_iter().chain(halves) {
            let rest = Expected { all, first, each };
            let late = in_time + Duration::from_micros(1);
            let mut waking = Waking::ANY;
            for took in [late, late, late, in_time, late, late, late] {
                begin_early(&mut waking, rest, took);
            }
            // Nothing was missing, nor the next time.
            for _ in 0..2 {
                waking.expect(FEW_ANSWERS);
                assert_eq!((waking.wanted(), waking.is_timed()), (1, false));
                waking.ended(true, Duration::ZERO);
            }
            for _ in 0..LATE_TIMES {
                begin_early(&mut waking, rest, late);
            }
            waking.expect(FEW_ANSWERS);
            for _ in 0..WHOLE_WAITS {
                assert_eq!((waking.wanted(), waking.is_timed()), (2 * ANSWER, false));
                waking.ended(true, Duration::ZERO);
            }
            begin_early(&mut waking, rest, late);
        }
    }

    /// What wakes up for a long answer of two PDUs, of which headers and data come soon, and the digest behind
    /// each after `took`.
    fn wanted_for_two(waking: &mut Waking, took: Duration) -> usize {
        const PDU: usize = MOST;
        let soon = Duration::from_micros(20);
        waking.expect(Expected { all: 2 * PDU, first: 2 * PDU, each: 2 * PDU });
        let wanted = waking.wanted();
        waking.ended(true, Duration::ZERO);
        let parts =
            [(2 * PDU - 52, soon), (PDU + 4, took), (PDU, soon), (PDU - 52, soon), (4, took)];
        for (missing, took) in parts {
            waking.expect(Expected { all: missing, first: missing, each: 0 });
            waking.wanted();
            waking.ended(true, took);
        }
        wanted
    }

    #[test]
    fn an_answer_is_late_if_any_part_of_it_is() {
        let late = Duration::from_micros(500);
        let in_time = Duration::ZERO;
        let mut waking = Waking { told: 1, ..Waking::ANY };
        for took in [late, late, late, in_time, late, late, late, late] {
            assert_eq!(wanted_for_two(&mut waking, took), 1);
        }
        assert_eq!(wanted_for_two(&mut waking, late), 2 * MOST);
    }

    #[test]
    fn after_a_wait_in_vain_any_byte_wakes_up_for_a_while() {
        let expected = Expected { all: 8 * ANSWER, first: ANSWER, each: ANSWER };
        let mut waking = Waking { expected, told: 4 * ANSWER, ..Waking::ANY };
        waking.ended(true, Duration::ZERO);
        assert_eq!(waking.wanted(), 4 * ANSWER);
        waking.ended(false, Duration::ZERO);
        waking.told = 1;
        for _ in 0..CAREFUL_WAITS {
            assert_eq!(waking.wanted(), 1);
            waking.ended(true, Duration::ZERO);
        }
        assert_eq!(waking.wanted(), 4 * ANSWER);
    }

    #[test]
    fn a_wait_for_any_byte_that_ends_with_the_time_says_nothing() {
        let expected = Expected { all: 8 * ANSWER, first: ANSWER, each: ANSWER };
        let mut waking = Waking { expected, ..Waking::ANY };
        waking.ended(false, Duration::ZERO);
        assert_eq!(waking.wanted(), 4 * ANSWER);
    }
}
