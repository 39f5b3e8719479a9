//! Requests for the same blocks, in the order in which they were submitted.
//!
//! Commands may be issued again long after they were first sent: a busy unit, an abort, another
//! session. A write that comes again must not undo a later one that was acknowledged meanwhile, so
//! no request begins before the earlier ones for its blocks are done, unless all of them read.

use super::disks::Disks;
use super::request::RequestKind;
use super::slot::Slot;

impl<B, const LUNS: usize, const REQUESTS: usize, const TASKS: usize>
    Disks<B, LUNS, REQUESTS, TASKS>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    /// Whether an earlier request for blocks of this one is still under way. Once there is none
    /// there never will be: what is submitted later waits itself.
    pub(super) fn waits_for_another(&mut self, index: u16) -> bool {
        let is_first = self.slots.get(usize::from(index)).is_none_or(|slot| slot.is_first);
        // Readers do not wait for each other, and nobody waits alone.
        if is_first || self.changing == 0 || self.outstanding() == 1 {
            return false;
        }
        let waits = self.is_behind_another(index);
        if let Some(slot) = self.slots.get_mut(usize::from(index)) {
            slot.is_first = !waits;
        }
        waits
    }

    fn is_behind_another(&self, index: u16) -> bool {
        let Some(slot) = self.slots.get(usize::from(index)) else { return false };
        let Some((first, end)) = self.blocks_of(slot) else { return false };
        self.slots.iter().any(|other| {
            other.is_under_way()
                && other.order < slot.order
                && other.disk == slot.disk
                && (slot.kind != RequestKind::Read || other.kind != RequestKind::Read)
                && self
                    .blocks_of(other)
                    .is_some_and(|(other_first, other_end)| first < other_end && other_first < end)
        })
    }

    /// First block and the one after the last; `None` where no blocks are named: a flush, and the
    /// host's own commands, whose order is the host's.
    fn blocks_of(&self, slot: &Slot<B>) -> Option<(u64, u64)> {
        let blocks = match slot.kind {
            RequestKind::Flush | RequestKind::Command => return None,
            RequestKind::Read | RequestKind::Write | RequestKind::WriteThrough => {
                let disk = self.disk(slot.disk)?;
                slot.length.checked_div(u64::from(disk.block_size))?
            }
            RequestKind::Unmap | RequestKind::WriteSame { .. } => slot.length,
        };
        Some((slot.lba, slot.lba.saturating_add(blocks)))
    }
}
