//! Requests cut into the commands that a unit takes, and what their ends mean for each kind.

use super::disk::Disk;
use super::disks::Disks;
use super::patience::Patience;
use super::provisioning::WriteSameForm;
use super::request::{RequestError, RequestKind};
use super::slot::{Piece, Slot};
use super::verdict::Verdict;
use crate::pdu::request::TaskAttribute;
use crate::pdu::response::Residual;
use crate::scsi::cdb::{self, Cdb};
use crate::scsi::provisioning::{UNMAP_LIST_LENGTH, unmap, write_same_10, write_same_16};
use crate::session::{Command, Transfer};

/// Most bytes that a READ moves unless said otherwise, see [`TransferLimit::read`].
pub const READ_LIMIT: u32 = 256 * 1024;

/// Most bytes that one command moves; longer requests are cut into several.
#[derive(Clone, Copy, Debug)]
pub struct TransferLimit {
    /// Of a READ. Targets answer once all of it came from their disk, and in pieces the disk works
    /// while the network does; with a network and a disk as fast as memory each piece only costs more.
    pub read: u32,
    /// Of a WRITE. One that is cut into pieces only has more questions asked (R2T) and answered.
    pub write: u32,
}

impl<B, const LUNS: usize, const REQUESTS: usize, const TASKS: usize>
    Disks<B, LUNS, REQUESTS, TASKS>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    /// The part of a request that the next command moves.
    pub(super) fn next_piece(&self, index: u16) -> Option<Piece> {
        let slot = self.slots.get(usize::from(index)).filter(|slot| slot.has_more_to_issue())?;
        let disk = self.disk(slot.disk)?;
        let rest = slot.length.saturating_sub(slot.issued);
        let length = match slot.kind {
            _ if rest == 0 => 0,
            RequestKind::Flush | RequestKind::Command => 0,
            RequestKind::Read | RequestKind::Write | RequestKind::WriteThrough => {
                let limit = match slot.kind {
                    RequestKind::Read => self.transfer_limit.read,
                    _ => self.transfer_limit.write,
                };
                let blocks = limit.checked_div(disk.block_size)?;
                let blocks = blocks.min(disk.max_transfer_blocks).max(1);
                at_most(rest, blocks.saturating_mul(disk.block_size))
            }
            RequestKind::Unmap => {
                let first = slot.lba.checked_add(slot.issued)?;
                // A unit that does not have it any more says so itself.
                let limits = disk.provisioning.unmap;
                limits.map_or_else(|| at_most(rest, u32::MAX), |limits| limits.piece(first, rest))
            }
            RequestKind::WriteSame { unmap } => {
                at_most(rest, disk.provisioning.write_same_limit(unmap))
            }
        };
        let unit = self.unit(slot.disk);
        let piece = Piece {
            slot: index,
            offset: slot.issued,
            length,
            is_long: unit.only_long,
            patience: Patience::FRESH,
        };
        let is_long = if is_flush(slot, piece) { unit.long_flush } else { unit.only_long };
        Some(Piece { is_long, ..piece })
    }

    pub(super) fn command_for(&self, piece: Piece) -> Option<Command> {
        let slot = self.slots.get(usize::from(piece.slot))?;
        let disk = self.disk(slot.disk)?;
        let (cdb, transfer) = match slot.kind {
            _ if is_flush(slot, piece) && piece.is_long => {
                (cdb::synchronize_cache_16(0, 0), Transfer::None)
            }
            _ if is_flush(slot, piece) => (cdb::synchronize_cache_10(0, 0), Transfer::None),
            RequestKind::Command | RequestKind::Flush => slot.command,
            RequestKind::Unmap => {
                (unmap(UNMAP_LIST_LENGTH), Transfer::Write(u32::from(UNMAP_LIST_LENGTH)))
            }
            RequestKind::WriteSame { unmap } => {
                let first = slot.lba.checked_add(piece.offset)?;
                let cdb = write_same(disk, first, piece.length, unmap);
                (cdb, Transfer::Write(disk.block_size))
            }
            RequestKind::Read | RequestKind::Write | RequestKind::WriteThrough => {
                let first = piece.offset.checked_div(u64::from(disk.block_size))?;
                let lba = slot.lba.checked_add(first)?;
                let blocks = piece.length.checked_div(disk.block_size)?;
                // As was decided when it was taken, whatever the unit says meanwhile.
                let through = slot.kind == RequestKind::WriteThrough && !slot.flush_after;
                match slot.kind {
                    RequestKind::Read if piece.is_long => {
                        (cdb::read_16(lba, blocks), Transfer::Read(piece.length))
                    }
                    RequestKind::Read => (cdb::read(lba, blocks), Transfer::Read(piece.length)),
                    _ if piece.is_long => {
                        (cdb::write_16(lba, blocks, through), Transfer::Write(piece.length))
                    }
                    _ if through => {
                        let cdb = cdb::write_force_unit_access(lba, blocks);
                        (cdb, Transfer::Write(piece.length))
                    }
                    _ => (cdb::write(lba, blocks), Transfer::Write(piece.length)),
                }
            }
        };
        Some(Command {
            lun: disk.lun.to_bytes(),
            cdb,
            transfer,
            attribute: TaskAttribute::Simple,
            // What a command of the host's own does, only the host knows.
            idempotent: slot.kind != RequestKind::Command,
        })
    }

    /// Whether the part lies within its disk, whose end may have come nearer since the request was
    /// taken.
    pub(super) fn is_within(&self, piece: Piece) -> bool {
        let Some(slot) = self.slots.get(usize::from(piece.slot)) else { return false };
        let Some(disk) = self.disk(slot.disk) else { return false };
        let size = match slot.kind {
            RequestKind::Flush | RequestKind::Command => return true,
            RequestKind::Read | RequestKind::Write | RequestKind::WriteThrough => disk.block_size,
            RequestKind::Unmap | RequestKind::WriteSame { .. } => 1,
        };
        let end = piece.offset.saturating_add(u64::from(piece.length));
        let blocks = end.checked_div(u64::from(size)).unwrap_or(u64::MAX);
        piece.length == 0 || slot.lba.saturating_add(blocks) <= disk.blocks
    }

    /// A unit that does not know the 10-byte form of a command gets the 16-byte form from now on:
    /// the part to issue in that form, if there is one and it was not this.
    pub(super) fn in_long_form(&mut self, piece: Piece, verdict: &Verdict) -> Option<Piece> {
        const READ_10: u8 = 0x28;
        const WRITE_10: u8 = 0x2a;
        const SYNCHRONIZE_CACHE_10: u8 = 0x35;
        let Verdict::Failed(RequestError::Scsi { sense: Some(sense), .. }) = verdict else {
            return None;
        };
        let slot = self.slots.get(usize::from(piece.slot))?;
        if !sense.is_unknown_command() || slot.kind == RequestKind::Command || slot.unwanted {
            return None;
        }
        let [code, ..] = self.command_for(piece)?.cdb;
        let unit = self.unit_of(piece.slot)?;
        match code {
            READ_10 | WRITE_10 => unit.only_long = true,
            SYNCHRONIZE_CACHE_10 => unit.long_flush = true,
            _ => return None,
        }
        Some(Piece { is_long: true, ..piece })
    }

    /// What the end of a command means for the kind of its request.
    pub(super) fn settled_verdict(&mut self, piece: Piece, verdict: Verdict) -> Verdict {
        let Some(slot) = self.slots.get_mut(usize::from(piece.slot)) else { return verdict };
        match (slot.kind, verdict) {
            (RequestKind::Command, Verdict::Good(residual)) => {
                let (_, transfer) = slot.command;
                slot.moved = match residual {
                    Residual::Underflow(count) => transfer.length().saturating_sub(count),
                    Residual::None | Residual::Overflow(_) => transfer.length(),
                };
                Verdict::Good(Residual::None)
            }
            // tgt releases the blocks, and calls their list data that it did not take.
            (RequestKind::Unmap, Verdict::Good(_)) => Verdict::Good(Residual::None),
            // The host hears everything, and decides.
            (RequestKind::Command, Verdict::Again { error, .. }) => Verdict::Failed(error),
            (kind, Verdict::Failed(RequestError::Scsi { sense: Some(sense), .. }))
                if sense.is_unknown_command() =>
            {
                match kind {
                    // A unit without the command has no cache to empty with it.
                    _ if is_flush(slot, piece) => {
                        log::debug!("a disk does not know SYNCHRONIZE CACHE");
                        Verdict::Good(Residual::None)
                    }
                    RequestKind::Unmap | RequestKind::WriteSame { .. } => {
                        Verdict::Failed(RequestError::Unsupported)
                    }
                    _ => verdict,
                }
            }
            _ => verdict,
        }
    }
}

/// Whether the piece is the flush of its request.
pub(super) fn is_flush<B>(slot: &Slot<B>, piece: Piece) -> bool {
    match slot.kind {
        RequestKind::Flush => true,
        RequestKind::WriteThrough => piece.length == 0,
        _ => false,
    }
}

/// WRITE SAME in the form that releases blocks where they may be released, else in the short form
/// where that fits: old units know only it.
fn write_same(disk: &Disk, lba: u64, blocks: u32, unmap: bool) -> Cdb {
    let long = unmap && disk.provisioning.write_same_unmaps == Some(WriteSameForm::Sixteen);
    match (u32::try_from(lba), u16::try_from(blocks)) {
        (Ok(short_lba), Ok(short_blocks)) if !long => write_same_10(short_lba, short_blocks, unmap),
        _ => write_same_16(lba, blocks, unmap),
    }
}

fn at_most(rest: u64, limit: u32) -> u32 {
    u32::try_from(rest).map_or(limit, |rest| rest.min(limit))
}
