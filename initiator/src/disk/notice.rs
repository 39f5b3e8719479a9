//! What units tell that no request asked for.

use heapless::Deque;

use super::disk::DiskId;
use crate::scsi::sense::Sense;

/// Notices kept until the host takes them; the oldest makes room.
const KEPT: usize = 8;

/// Something about the disks that no request asked for, for the hosting kernel to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A disk has another size now. Requests beyond the new end are refused.
    CapacityChanged {
        /// The disk.
        disk: DiskId,
        /// Its logical blocks.
        blocks: u64,
    },
    /// Another unit than before answers under the disk's number, or none that is a disk. Nothing
    /// is read from it or written to it until it is itself again.
    OtherUnit {
        /// The disk.
        disk: DiskId,
    },
    /// The target has units that it had not before, or lacks some:
    /// [`Disks::rescan`](super::Disks::rescan) finds new ones.
    UnitsChanged,
    /// A write that the disk had reported as done failed later. The next flush fails too.
    DeferredError {
        /// The disk.
        disk: DiskId,
        /// What it says of the error.
        sense: Sense,
    },
    /// A thinly provisioned disk is about to run out of space.
    SpaceLow {
        /// The disk.
        disk: DiskId,
    },
}

/// Notices that wait to be taken.
#[derive(Debug, Default)]
pub(super) struct Notices(Deque<Notice, KEPT>);

impl Notices {
    pub(super) const fn new() -> Self {
        Self(Deque::new())
    }

    /// Keeps a notice; one that waits already is not kept twice.
    pub(super) fn push(&mut self, notice: Notice) {
        log::warn!("{notice:?}");
        if self.0.iter().any(|waiting| *waiting == notice) {
            return;
        }
        if self.0.is_full() {
            let _ = self.0.pop_front();
        }
        let _ = self.0.push_back(notice);
    }

    pub(super) fn take(&mut self) -> Option<Notice> {
        self.0.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_kept_each_once() {
        let mut notices = Notices::new();
        for disk in (0..20).chain([19]).map(DiskId) {
            notices.push(Notice::SpaceLow { disk });
        }
        for disk in (12..20).map(DiskId) {
            assert_eq!(notices.take(), Some(Notice::SpaceLow { disk }));
        }
        assert_eq!(notices.take(), None);
    }
}
