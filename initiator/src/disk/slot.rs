//! One request in its slot, and the parts of it that commands move.

use core::ops::Range;

use super::disk::DiskId;
use super::patience::Patience;
use super::request::{RequestError, RequestKind};
use crate::scsi::cdb::Cdb;
use crate::session::{TaskTag, Transfer};
use crate::time::Instant;

/// One request.
#[derive(Debug)]
pub(super) struct Slot<B> {
    pub(super) generation: u16,
    pub(super) kind: RequestKind,
    pub(super) disk: DiskId,
    pub(super) lba: u64,
    /// Counts requests as they are submitted.
    pub(super) order: u64,
    /// When it was first seen: an outage counts from here, however long it waits for a command.
    pub(super) submitted_at: Instant,
    pub(super) buffer: Buffer<B>,
    /// Bytes to move, or blocks to release or to fill; and how many of them were given to commands
    /// so far.
    pub(super) length: u64,
    pub(super) issued: u64,
    /// Commands not yet completed, or to be issued again.
    pub(super) outstanding: u16,
    /// A command that is not part of `length` is due: a flush, or the host's own.
    pub(super) single_due: bool,
    /// A flush follows once the last of `length` is written.
    pub(super) flush_after: bool,
    /// The host's own command, and how much of its data moved.
    pub(super) command: (Cdb, Transfer),
    pub(super) moved: u32,
    /// No earlier request for the same blocks is under way any more.
    pub(super) is_first: bool,
    /// The slot stands in `issuing`.
    pub(super) is_issuing: bool,
    /// The host wants it ended: nothing of it is issued again.
    pub(super) unwanted: bool,
    pub(super) outcome: Result<(), RequestError>,
}

impl<B> Slot<B> {
    /// A slot without a request.
    pub(super) const EMPTY: Self = Self {
        generation: 0,
        kind: RequestKind::Flush,
        disk: DiskId(0),
        lba: 0,
        order: 0,
        submitted_at: Instant::ZERO,
        buffer: Buffer::None,
        length: 0,
        issued: 0,
        outstanding: 0,
        single_due: false,
        flush_after: false,
        command: ([0; 16], Transfer::None),
        moved: 0,
        is_first: false,
        is_issuing: false,
        unwanted: false,
        outcome: Ok(()),
    };

    /// Neither free nor done.
    pub(super) fn is_under_way(&self) -> bool {
        self.outstanding > 0 || self.is_issuing
    }

    pub(super) fn has_more_to_issue(&self) -> bool {
        self.outcome.is_ok() && (self.issued < self.length || self.single_due)
    }
}

#[derive(Debug)]
pub(super) enum Buffer<B> {
    Owned(B),
    /// The caller lends it with each step.
    Lent,
    None,
}

/// A part of a request that one command moves; without length a single command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) slot: u16,
    pub(super) offset: u64,
    pub(super) length: u32,
    /// The command is issued in its 16-byte form, whether or not the short one would do.
    pub(super) is_long: bool,
    pub(super) patience: Patience,
}

/// Whose a task is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    Nobody,
    BringUp(TaskTag),
    Request(TaskTag, Piece),
}

/// `length` bytes at `offset` of a piece that starts at `start` of its buffer.
pub(super) fn range(start: u64, offset: u32, length: usize) -> Option<Range<usize>> {
    let from = usize::try_from(start.checked_add(u64::from(offset))?).ok()?;
    Some(from..from.checked_add(length)?)
}
