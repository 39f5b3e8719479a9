//! Byte-exact control for scripts: every PDU passes a hook on its way in and on its way out.

use std::fmt;

use isboot::pdu::digest::Digests;

use super::frame::Pdu;

/// The connection that a hook is looking at.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    /// Number of the connection, from 1 in the order in which they were made.
    pub connection: u64,
    /// Digests in force on it.
    pub digests: Digests,
}

/// What becomes of a PDU that the target is about to send.
#[derive(Debug)]
pub enum Fate {
    /// It is sent, as the hook left it.
    Send,
    /// It is never sent; its StatSN is used up all the same.
    Drop,
    /// It waits until [`Target::release_held`](super::Target::release_held).
    Hold,
    /// It is sent twice.
    Twice,
    /// It is sent with one bit of the header digest flipped (of the header where there is none).
    CorruptHeader,
    /// It is sent with one bit of the data segment flipped after its digest was made.
    CorruptData,
    /// These bytes go out in its place.
    Bytes(Vec<u8>),
    /// The first so many of its bytes go out, then the connection is closed.
    CutAfter(usize),
}

/// What becomes of a request that has arrived whole.
#[derive(Debug)]
pub enum Handling {
    /// The target serves it.
    Proceed,
    /// Its numbers are checked and taken into account, but it is never served.
    Swallow,
    /// As `Swallow`, and these go out.
    Answer(Vec<Injection>),
}

/// A PDU that a script wants sent.
#[derive(Clone, Debug)]
pub struct Injection {
    /// The PDU.
    pub pdu: Pdu,
    /// Who fills in its counters.
    pub numbering: Numbering,
}

/// Who fills in StatSN, ExpCmdSN and MaxCmdSN of an injected PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// The script did: every byte is sent as it stands.
    Exact,
    /// The target, and StatSN does not advance.
    Current,
    /// The target, and StatSN advances as it does for a status.
    Status,
}

pub(super) type ResponseHook = Box<dyn FnMut(&Wire, &mut Pdu) -> Fate + Send>;
pub(super) type RequestHook = Box<dyn FnMut(&Wire, &Pdu) -> Handling + Send>;

/// The hooks of a target; none until a script sets them.
#[derive(Default)]
pub(super) struct Hooks {
    pub(super) response: Option<ResponseHook>,
    pub(super) request: Option<RequestHook>,
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("response", &self.response.is_some())
            .field("request", &self.request.is_some())
            .finish()
    }
}
