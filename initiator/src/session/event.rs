//! What a session tells and asks its caller.

use core::net::SocketAddr;

use super::error::{Error, ManagementError, TaskError};
use super::escalation::TaskManagement;
use super::send_targets::Discovered;
use super::task::TaskTag;
use crate::pdu::response::Residual;
use crate::time::Instant;

/// What the transport should do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkWanted {
    /// Drop any connection that there still is, connect to this portal, then say
    /// [`Session::link_up`](super::Session::link_up). After each `link_up` this asks for a new connection.
    Connect(SocketAddr),
    /// Keep the connection.
    Keep,
    /// Have no connection.
    Close,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'b> {
    /// Full feature phase reached; [`Session::negotiated`](super::Session::negotiated) tells on which terms.
    LoggedIn,
    /// A piece of read data, borrowed from the input. Not vouched for before `Completed`.
    DataIn {
        /// Whose data.
        task: TaskTag,
        /// Where it belongs in the command's data, in bytes. Offset and length are in bounds.
        offset: u32,
        /// The data.
        bytes: &'b [u8],
    },
    /// A command is done; its tag is stale from now on.
    Completed {
        /// The command.
        task: TaskTag,
        /// How it ended.
        completion: Completion,
    },
    /// A logical unit has something to say that no command brought about (asynchronous event 0);
    /// [`Session::sense`](super::Session::sense) holds the sense data.
    AsyncSense {
        /// The logical unit, eight SAM bytes.
        lun: [u8; 8],
    },
    /// A line of a SendTargets answer: [`Session::found`](super::Session::found) tells the target
    /// and its address until the next one.
    TargetFound,
    /// The whole answer to [`Session::discover`](super::Session::discover) has come, or none will.
    DiscoveryEnded(Result<Discovered, Error>),
    /// The connection was lost or could not be made; commands wait, and are issued again.
    Lost {
        /// Why.
        error: Error,
        /// When the next attempt will be made.
        retry_at: Instant,
    },
    /// A task management function is over: one that a hanging command called for, or that the
    /// host wanted.
    Managed {
        /// What the target was asked for.
        function: TaskManagement,
        /// The logical unit it was meant for; `None` for the whole target.
        lun: Option<[u8; 8]>,
        /// What became of it.
        outcome: Result<(), ManagementError>,
    },
    /// The session is over and all its commands with it: `None` after a logout that the target
    /// obeyed, by a Logout Response or by closing the connection in good order.
    Ended(Option<Error>),
}

/// Where bytes that are about to arrive belong: see [`Session::placement`](super::Session::placement).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The command.
    pub task: TaskTag,
    /// Offset of the first of them in the command's data.
    pub offset: u32,
    /// How many there are: at least one, no more than the command asked for.
    pub length: usize,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    /// The target executed it and gave this SAM status. [`Session::sense`](super::Session::sense) holds the sense data
    /// until the next call of [`Session::receive`](super::Session::receive).
    Status {
        /// SAM-5 §5.3.1.
        status: u8,
        /// Bytes that did not move, checked against what was counted for reads.
        residual: Residual,
    },
    /// No status will come.
    Failed(TaskError),
}

/// Why a command was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubmitError {
    /// All task slots are in use; try again after a completion.
    Busy,
    /// The session is over, or a Discovery session: those take no commands.
    Ended,
}

/// Why [`Session::discover`](super::Session::discover) does not ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscoverError {
    /// The question before has not been answered yet.
    Busy,
    /// The session is over.
    Ended,
    /// [`SendTargets::All`](super::SendTargets::All) is for Discovery sessions,
    /// [`SendTargets::Session`](super::SendTargets::Session) for Normal ones.
    WrongSessionType,
}

/// Where write data comes from: asked for when it is sent, never held by the session.
pub trait DataOut {
    /// Fills all of `out` with the data of `task` from byte `offset` on.
    fn fill(&mut self, task: TaskTag, offset: u32, out: &mut [u8]);

    /// The same bytes where they lie, if they lie somewhere.
    fn lend(&self, task: TaskTag, offset: u32, length: usize) -> Option<&[u8]> {
        let _ = (task, offset, length);
        None
    }
}

/// No command writes.
impl DataOut for () {
    fn fill(&mut self, _task: TaskTag, _offset: u32, out: &mut [u8]) {
        out.fill(0);
    }
}
