//! How much the target owes: what comes without anything more from us.

use super::task::{Task, TaskState, Transfer};
use crate::login::Negotiated;
use crate::pdu::bhs::BASIC_HEADER_SEGMENT_LENGTH;
use crate::pdu::digest::{DIGEST_LENGTH, Digests};

/// A header and a digest, in bytes.
const HEADER: u32 = BASIC_HEADER_SEGMENT_LENGTH as u32;
const DIGEST: u32 = DIGEST_LENGTH as u32;

/// What the target sends without anything more from us, in bytes as they come over the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owed {
    /// All of it, at least.
    pub all: usize,
    /// How many of them end the answer to the command that is answered first.
    pub first: usize,
    /// How many each answer that has not begun has, in the mean; 0 where there is none.
    pub each: usize,
}

/// What a command on the wire brings without anything more from us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Debt {
    /// Bytes of its data.
    data: u32,
    /// Bytes on the wire, its status included: 0 when nothing more comes.
    wire: u32,
    /// The target wants to be given data first.
    solicits: bool,
}

impl Debt {
    pub(super) const NONE: Self = Self { data: 0, wire: 0, solicits: false };
}

/// What all commands bring that are on the wire over one connection, but for the PDU that is
/// arriving.
#[derive(Debug)]
pub(super) struct Ledger {
    /// A header with its digest, and the digest of data, in bytes.
    header: u32,
    data_digest: u32,
    /// The longest data segment that the target may send, in bytes.
    segment: u32,
    /// Bytes owed.
    bytes: u64,
    /// Commands that owe them.
    answers: u16,
    /// Of the bytes, those of the command whose data came last.
    under_way: u32,
    /// Commands that the target asks for data first.
    soliciting: u16,
}

impl Ledger {
    /// Of a connection without digests.
    pub(super) fn new() -> Self {
        Self {
            header: HEADER,
            data_digest: 0,
            segment: u32::MAX,
            bytes: 0,
            answers: 0,
            under_way: 0,
            soliciting: 0,
        }
    }

    /// What PDUs look like from now on.
    pub(super) fn agreed(&mut self, negotiated: &Negotiated, digests: Digests) {
        self.header = if digests.header { HEADER + DIGEST } else { HEADER };
        self.data_digest = if digests.data { DIGEST } else { 0 };
        self.segment = negotiated.max_recv_data_segment_length;
    }

    /// A command went on the wire, and so much of its write data goes without being asked for.
    pub(super) fn sent(&mut self, task: &mut Task, announced: u32) {
        let (data, solicits) = match task.command.transfer {
            Transfer::Read(length) => (length, false),
            Transfer::Write(length) => (0, announced < length),
            Transfer::None => (0, false),
        };
        let wire = if solicits { 0 } else { self.on_wire(data) };
        task.debt = Debt { data, wire, solicits };
        self.bytes = self.bytes.saturating_add(wire.into());
        let count = if solicits { &mut self.soliciting } else { &mut self.answers };
        *count = count.saturating_add(1);
    }

    /// So much of a task's read data begins to come, with its status or without.
    #[inline]
    pub(super) fn came(&mut self, task: &mut Task, length: u32, with_status: bool) {
        if with_status || task.debt.wire == 0 {
            return self.settle(task);
        }
        let before = task.debt.wire;
        task.debt.data = task.debt.data.saturating_sub(length);
        task.debt.wire = self.on_wire(task.debt.data);
        let came = before.saturating_sub(task.debt.wire);
        self.bytes = self.bytes.saturating_sub(came.into());
        self.under_way = task.debt.wire;
    }

    /// Nothing more comes for a task, if it was on the wire.
    pub(super) fn ended(&mut self, task: &mut Task) {
        if task.state == TaskState::Sent {
            self.settle(task);
        }
    }

    fn settle(&mut self, task: &mut Task) {
        let Debt { wire, solicits, .. } = core::mem::replace(&mut task.debt, Debt::NONE);
        self.bytes = self.bytes.saturating_sub(wire.into());
        self.answers = self.answers.saturating_sub(u16::from(wire > 0));
        self.soliciting = self.soliciting.saturating_sub(solicits.into());
        self.under_way = 0;
    }

    /// What is owed, and `rest` bytes of the PDU that is arriving.
    pub(super) fn with_rest(&self, rest: usize) -> Owed {
        if self.soliciting != 0 {
            return Owed::default();
        }
        let begun = u16::from(self.under_way > 0);
        let others = self.answers.saturating_sub(begun);
        let of_others = self.bytes.saturating_sub(self.under_way.into());
        let each = of_others.checked_div(others.into()).unwrap_or(0);
        let [all, each, under_way] = [self.bytes, each, self.under_way.into()]
            .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX));
        let first = match rest.saturating_add(under_way) {
            0 => each,
            first => first,
        };
        Owed { all: all.saturating_add(rest), first, each }
    }

    /// What a response takes on the wire at least, behind so much data: the longest segments, and the
    /// status with the last.
    #[inline]
    fn on_wire(&self, data: u32) -> u32 {
        if data == 0 {
            return self.header;
        }
        let mut around = self.header.saturating_add(self.data_digest);
        if data > self.segment {
            // No segment is shorter than 512 bytes (RFC 7143 §13.12).
            let whole = data.checked_div(self.segment).unwrap_or(0);
            let segments = if whole.saturating_mul(self.segment) < data {
                whole.saturating_add(1)
            } else {
                whole
            };
            around = around.saturating_mul(segments);
        }
        let padding = data.wrapping_neg() & 3;
        data.saturating_add(padding).saturating_add(around)
    }
}
