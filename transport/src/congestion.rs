//! How much may be under way at once: what the network carries without losing more than it may.
//!
//! Without a bound each burst is the whole transmit buffer, and a switch port with room for less
//! drops a fifth of it for good. Reno (RFC 5681), which smoltcp has, halves at every loss, and is
//! left with a ninth of a gigabit at a millisecond when one frame of a hundred is lost otherwise: a bad
//! cable, a wireless bridge, a receiver that was late. So a loss is a sign of congestion only where
//! losses are many: more than two of a hundred, as BBR has it (draft-ietf-ccwg-bbr, BBRLossThresh),
//! and then the window shrinks to seven tenths (BBRBeta), not to a half.

/// Segments by which losses are judged.
const SAMPLE: u32 = 128;
/// Losses among them that are no sign: two of a hundred, and one more that chance may bring.
const TOLERATED: u32 = 3;
/// Segments at the begin (RFC 6928 §2).
const INITIAL: u32 = 10;
/// The least (BBRMinPipeCwnd): with fewer, a loss is not told by what follows it.
const LEAST: u32 = 4;
/// More than any transmit buffer that is worth its memory.
const MOST: u32 = 1 << 24;

/// The congestion window of one connection, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CongestionWindow {
    /// A full segment.
    segment: u32,
    window: u32,
    /// It grows by a window a round trip, not by a segment: nothing was too much yet.
    is_doubling: bool,
    /// Bytes delivered and segments lost since losses were last judged.
    delivered: u32,
    lost: u32,
}

impl CongestionWindow {
    /// That of a connection whose full segments have so many bytes of data.
    pub(crate) fn new(segment: u32) -> Self {
        let window = segment.saturating_mul(INITIAL);
        Self { segment, window, is_doubling: true, ..Self::default() }
    }

    /// Bytes that may be under way.
    pub(crate) const fn window(&self) -> u32 {
        self.window
    }

    /// So many bytes arrived; so many are under way still, or wait to be.
    pub(crate) fn delivered(&mut self, bytes: u32, outstanding: u32) {
        self.delivered = self.delivered.saturating_add(bytes);
        if self.delivered >= self.segment.saturating_mul(SAMPLE) {
            (self.delivered, self.lost) = (0, 0);
        }
        // What was not used was not tried (RFC 7661 §4.2).
        if bytes.saturating_add(outstanding) < self.window / 2 {
            return;
        }
        let growth = if self.is_doubling {
            bytes
        } else {
            let share = u64::from(self.segment).saturating_mul(u64::from(bytes));
            let share = share.checked_div(u64::from(self.window)).unwrap_or(0);
            u32::try_from(share).unwrap_or(0)
        };
        self.window = self.window.saturating_add(growth).min(MOST);
    }

    /// A segment was lost.
    pub(crate) fn lost(&mut self) {
        self.lost = self.lost.saturating_add(1);
        if self.lost > TOLERATED {
            self.shrink_to(self.window.saturating_mul(7) / 10);
            self.is_doubling = false;
        }
    }

    /// Nothing came back for so long that what is under way counts as lost (RFC 5681 §3.1).
    pub(crate) fn timed_out(&mut self) {
        self.shrink_to(0);
        self.is_doubling = true;
    }

    fn shrink_to(&mut self, window: u32) {
        self.window = window.max(self.segment.saturating_mul(LEAST));
        (self.delivered, self.lost) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENT: u32 = 1000;

    /// A window's worth arrives; of each hundred segments so many were lost.
    fn run(window: &mut CongestionWindow, segments: u32, lost_of_hundred: u32) {
        for number in 0..segments {
            if (number * lost_of_hundred) % 100 < lost_of_hundred {
                window.lost();
            }
            let outstanding = window.window();
            window.delivered(SEGMENT, outstanding);
        }
    }

    #[test]
    fn it_begins_with_ten_segments_and_doubles() {
        let mut window = CongestionWindow::new(SEGMENT);
        assert_eq!(window.window(), 10 * SEGMENT);
        run(&mut window, 10, 0);
        assert_eq!(window.window(), 20 * SEGMENT);
    }

    #[test]
    fn what_is_not_used_does_not_grow() {
        let mut window = CongestionWindow::new(SEGMENT);
        for _ in 0..1000 {
            window.delivered(SEGMENT, 0);
        }
        assert_eq!(window.window(), 10 * SEGMENT);
    }

    #[test]
    fn two_losses_of_a_hundred_are_no_congestion() {
        let mut window = CongestionWindow::new(SEGMENT);
        run(&mut window, 1000, 2);
        assert!(window.window() >= 1000 * SEGMENT);
    }

    #[test]
    fn many_losses_shrink_it_to_the_least_and_none_let_it_grow_again() {
        let mut window = CongestionWindow::new(SEGMENT);
        run(&mut window, 1000, 50);
        assert!(window.window() < 8 * SEGMENT, "{}", window.window());
        assert!(window.window() >= LEAST * SEGMENT);
        let before = window.window();
        run(&mut window, before / SEGMENT, 0);
        let grown = window.window() - before;
        assert!((SEGMENT / 2..=SEGMENT).contains(&grown), "a segment a round trip: {grown}");
    }

    #[test]
    fn after_a_timeout_it_begins_anew() {
        let mut window = CongestionWindow::new(SEGMENT);
        run(&mut window, 100, 0);
        window.timed_out();
        assert_eq!(window.window(), LEAST * SEGMENT);
        run(&mut window, LEAST, 0);
        assert_eq!(window.window(), 2 * LEAST * SEGMENT);
    }
}
