//! A block request's public face: what it asks, what can go wrong, what comes back.

use core::fmt;

use crate::scsi::sense::Sense;
use crate::session::TaskError;

/// Names a request until its [`Finished`] is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId {
    pub(super) slot: u16,
    pub(super) generation: u16,
}

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Blocks from the disk into the buffer.
    Read,
    /// The buffer onto the disk.
    Write,
    /// The buffer onto the disk, durable when it is done.
    WriteThrough,
    /// Everything acknowledged before reaches the medium (SYNCHRONIZE CACHE, SBC-3 §5.23).
    Flush,
    /// Blocks are released (UNMAP, SBC-3 §5.28).
    Unmap,
    /// One block's data, or zeros, onto many blocks (WRITE SAME, SBC-3 §5.40).
    WriteSame {
        /// The unit may release them instead, if they read as that data afterwards.
        unmap: bool,
    },
    /// A command of the host's own.
    Command,
}

/// What moves with a command of the host's own, at most 65536 bytes.
#[derive(Debug)]
pub enum CommandData<B> {
    /// Nothing.
    None,
    /// As many bytes as there is room for, from the unit.
    In(B),
    /// All of this to the unit.
    Out(B),
}

impl<B> CommandData<B> {
    /// The buffer, if there is one.
    #[must_use]
    pub fn into_buffer(self) -> Option<B> {
        match self {
            Self::None => None,
            Self::In(buffer) | Self::Out(buffer) => Some(buffer),
        }
    }
}

/// A request that is done: the buffer comes back, whatever the outcome.
#[derive(Debug)]
pub struct Finished<B> {
    /// The request.
    pub id: RequestId,
    /// What it did.
    pub kind: RequestKind,
    /// Its buffer; `None` for a request without one.
    pub buffer: Option<B>,
    /// Bytes that moved with a command of the host's own, which may be fewer than there was room
    /// for; 0 for other requests, which move all or fail.
    pub moved: u32,
    /// How it went. After an error the buffer of a read holds nothing to rely on, and a write
    /// may have reached the disk in part.
    pub outcome: Result<(), RequestError>,
}

/// A request that was not taken, and its buffer.
#[derive(Debug)]
pub struct Rejected<B> {
    /// The buffer, untouched.
    pub buffer: B,
    /// Why.
    pub reason: SubmitRequestError,
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmitRequestError {
    /// All request slots are in use; try again after a completion.
    Busy,
    /// No such disk.
    NoSuchDisk,
    /// The target says that the disk is not there any more; a later session may find it again.
    Gone,
    /// The buffer is empty, no whole number of blocks, or 4 GiB or more; or there are no blocks to
    /// release, or more bytes than one command of the host's own may move.
    BadLength,
    /// The request reaches beyond the last block.
    OutOfRange,
    /// The disk is write-protected.
    ReadOnly,
    /// The disk does not have what was asked for: see [`Provisioning`](super::Provisioning).
    Unsupported,
    /// Another unit than the disk answers under its number.
    OtherUnit,
}

impl fmt::Display for SubmitRequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "all request slots are in use",
            Self::NoSuchDisk => "there is no such disk",
            Self::Gone => "the target says that the disk is not there any more",
            Self::BadLength => "the length is not one or more whole blocks",
            Self::OutOfRange => "the request reaches beyond the last block",
            Self::ReadOnly => "the disk is write-protected",
            Self::Unsupported => "the disk does not support that",
            Self::OtherUnit => OTHER_UNIT,
        })
    }
}

impl core::error::Error for SubmitRequestError {}

/// Why a request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// The logical unit refused or failed it; sense data as far as it came.
    Scsi {
        /// SAM status.
        status: u8,
        /// Decoded sense data of a CHECK CONDITION.
        sense: Option<Sense>,
    },
    /// The command ended without a status.
    Task(TaskError),
    /// The unit does not know the command.
    Unsupported,
    /// The unit has no storage left to write to (07h/27h/07h).
    NoSpace,
    /// The unit moved fewer bytes than asked and called it GOOD.
    Short,
    /// The unit has more bytes for the command than were asked for: its blocks are not of the
    /// size that it told.
    Long,
    /// Another host holds a reservation (RESERVATION CONFLICT, SPC-4 §5.13).
    Reserved,
    /// The disk became smaller: the request reaches beyond its new end.
    OutOfRange,
    /// Another unit than the disk answers under its number; nothing was written to that.
    OtherUnit,
    /// The session was over before.
    SessionEnded,
}

/// What to do about a unit that is another one.
const OTHER_UNIT: &str = "another unit answers under the disk's number; check what the target \
     exports under it";

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scsi { sense: Some(sense), .. } => write!(f, "the disk reports {sense}"),
            Self::Scsi { status, sense: None } => {
                write!(f, "the disk answers with status {status:#04x}")
            }
            Self::Task(error) => write!(f, "{error}"),
            Self::Unsupported => f.write_str("the disk does not know the command for that"),
            Self::NoSpace => f.write_str(
                "the disk has no storage left for these blocks: its thin pool is full; add space \
                 at the target",
            ),
            Self::Short => f.write_str("the disk moved fewer bytes than asked for"),
            Self::Long => {
                f.write_str("the disk has more bytes than asked for; did its block size change?")
            }
            Self::Reserved => {
                f.write_str("reservation conflict: another host holds a reservation of the disk")
            }
            Self::OutOfRange => {
                f.write_str("the disk became smaller: the request reaches beyond its last block")
            }
            Self::OtherUnit => f.write_str(OTHER_UNIT),
            Self::SessionEnded => f.write_str("the session is over"),
        }
    }
}

impl core::error::Error for RequestError {}

/// A buffer that is lent for the time of a call instead of moved in: the blocking facade's.
#[derive(Debug)]
pub enum Lent<'a> {
    /// None.
    Nothing,
    /// Takes what the lent request reads.
    Into(&'a mut [u8]),
    /// Gives what the lent request writes.
    From(&'a [u8]),
}
