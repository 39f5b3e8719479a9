//! Which bytes of a transfer have moved, in whatever order they did.

use heapless::Vec;

/// Ranges kept apart at a time. Any order of 32 segments leaves no more, which is what a command
/// of 256 KiB has at the default MaxRecvDataSegmentLength of 8192 (RFC 7143 §13.12); data in
/// order needs one.
const EXTENT_LIMIT: usize = 16;

/// Ranges of a transfer's bytes: none empty, none touching another, in no order.
#[derive(Debug)]
pub(super) struct Extents(Vec<(u32, u32), EXTENT_LIMIT>);

/// More gaps than can be remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooManyGaps;

impl Extents {
    pub(super) const EMPTY: Self = Self(Vec::new());

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// How many bytes there are before the first gap: all of the transfer, once all has moved.
    pub(super) fn contiguous(&self) -> u32 {
        self.0.iter().find(|(start, _)| *start == 0).map_or(0, |(_, end)| *end)
    }

    /// Whether any byte from `start` to `end` has moved.
    pub(super) fn overlap(&self, start: u32, end: u32) -> bool {
        self.0.iter().any(|range| range.0 < end && start < range.1)
    }

    /// The bytes from `start` to `end` move, whether or not some of them did before.
    pub(super) fn add(&mut self, start: u32, end: u32) -> Result<(), TooManyGaps> {
        if start >= end {
            return Ok(());
        }
        // What is absorbed touches the new range itself: touching one another they would have
        // been one.
        let mut whole = (start, end);
        self.0.retain(|range| {
            let apart = range.1 < whole.0 || whole.1 < range.0;
            if !apart {
                whole = (whole.0.min(range.0), whole.1.max(range.1));
            }
            apart
        });
        self.0.push(whole).map_err(|_| TooManyGaps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_join_in_any_order() {
        let pieces = [(0, 10), (10, 11), (11, 64), (64, 100)];
        for rotation in 0..4 {
            for swap in 0..3 {
                let mut order = pieces;
                order.rotate_left(rotation);
                order.swap(swap, swap + 1);
                let mut extents = Extents::EMPTY;
                for (start, end) in order {
                    assert!(!extents.overlap(start, end));
                    assert!(extents.contiguous() < 100);
                    extents.add(start, end).unwrap();
                    assert!(extents.overlap(start, end));
                }
                assert_eq!((extents.contiguous(), extents.0.len()), (100, 1));
            }
        }
    }

    #[test]
    fn a_gap_hides_what_lies_behind_it() {
        let mut extents = Extents::EMPTY;
        extents.add(512, 1024).unwrap();
        assert_eq!(extents.contiguous(), 0);
        extents.add(0, 511).unwrap();
        assert_eq!(extents.contiguous(), 511);
        assert!(!extents.overlap(511, 512));
        extents.add(100, 600).unwrap();
        assert_eq!(extents.contiguous(), 1024);
        extents.add(7, 7).unwrap();
        assert_eq!(extents.0.len(), 1);
    }

    #[test]
    fn every_second_of_thirty_two_segments_can_come_first() {
        let mut extents = Extents::EMPTY;
        for segment in (1..32).step_by(2) {
            extents.add(segment * 8, segment * 8 + 8).unwrap();
        }
        assert_eq!(extents.add(1000, 1001), Err(TooManyGaps));
        let mut extents = Extents::EMPTY;
        for segment in (1..32).step_by(2).chain((0..32).step_by(2)) {
            extents.add(segment * 8, segment * 8 + 8).unwrap();
        }
        assert_eq!(extents.contiguous(), 256);
    }
}
