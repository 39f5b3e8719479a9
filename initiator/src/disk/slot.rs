//! One request in its slot, and the parts of it that commands move.

use core::ops::Range;

use super::disk::DiskId;
use super::request::{RequestError, RequestKind};
use crate::session::TaskTag;
use crate::time::Instant;

/// One request.
#[derive(Debug)]
pub(super) struct Slot<B> {
    pub(super) generation: u16,
    pub(super) kind: RequestKind,
    pub(super) disk: DiskId,
    pub(super) lba: u64,
    /// When it was first seen: an outage counts from here, however long it waits for a command.
    pub(super) submitted_at: Instant,
    pub(super) buffer: Buffer<B>,
    /// Bytes to move, and how many of them were given to commands so far.
    pub(super) length: u32,
    pub(super) issued: u32,
    /// Commands not yet completed, or to be issued again.
    pub(super) outstanding: u16,
    /// A flush moves nothing, but is issued once all the same.
    pub(super) flush_due: bool,
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
        submitted_at: Instant::ZERO,
        buffer: Buffer::None,
        length: 0,
        issued: 0,
        outstanding: 0,
        flush_due: false,
        is_issuing: false,
        unwanted: false,
        outcome: Ok(()),
    };

    pub(super) fn has_more_to_issue(&self) -> bool {
        self.outcome.is_ok() && (self.issued < self.length || self.flush_due)
    }
}

#[derive(Debug)]
pub(super) enum Buffer<B> {
    Owned(B),
    /// The caller lends it with each step.
    Lent,
    None,
}

/// A part of a request that one command moves.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    pub(super) slot: u16,
    pub(super) offset: u32,
    pub(super) length: u32,
    pub(super) tries: u8,
}

/// Whose a task is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Owner {
    Nobody,
    BringUp(TaskTag),
    Request(TaskTag, Piece),
}

/// `length` bytes at `offset` of a piece that starts at `start` of its buffer.
pub(super) fn range(start: u32, offset: u32, length: usize) -> Option<Range<usize>> {
    let from = usize::try_from(start.checked_add(offset)?).ok()?;
    Some(from..from.checked_add(length)?)
}
