//! How much the target owes: what comes without anything more from us.

use super::task::{Task, TaskState, Transfer};
use crate::pdu::bhs::BASIC_HEADER_SEGMENT_LENGTH;

/// A response is a header at least.
const RESPONSE: u32 = BASIC_HEADER_SEGMENT_LENGTH as u32;

/// What the commands that are on the wire over one connection bring.
#[derive(Debug, Default)]
pub(super) struct Owed {
    /// Bytes that were asked for and have not begun to come.
    bytes: u64,
    /// Commands that the target asks for data first.
    soliciting: u16,
}

impl Owed {
    /// A command went on the wire, and so much of its write data goes without being asked for.
    pub(super) fn sent(&mut self, task: &mut Task, announced: u32) {
        task.owed = match task.command.transfer {
            Transfer::Read(length) => RESPONSE.saturating_add(length),
            Transfer::Write(length) if announced < length => 0,
            Transfer::Write(_) | Transfer::None => RESPONSE,
        };
        self.bytes = self.bytes.saturating_add(task.owed.into());
        self.soliciting = self.soliciting.saturating_add(u16::from(task.owed == 0));
    }

    /// So much of a task's read data begins to come.
    pub(super) fn came(&mut self, task: &mut Task, length: u32) {
        // Its response is still to come.
        let length = length.min(task.owed.saturating_sub(RESPONSE));
        task.owed = task.owed.saturating_sub(length);
        self.bytes = self.bytes.saturating_sub(length.into());
    }

    /// Nothing more comes for a task, if it was on the wire.
    pub(super) fn ended(&mut self, task: &mut Task) {
        if task.state == TaskState::Sent {
            let owed = core::mem::take(&mut task.owed);
            self.bytes = self.bytes.saturating_sub(owed.into());
            self.soliciting = self.soliciting.saturating_sub(u16::from(owed == 0));
        }
    }

    /// What comes at least before the target wants anything more, in bytes.
    pub(super) fn at_least(&self) -> usize {
        match self.soliciting {
            0 => usize::try_from(self.bytes).unwrap_or(usize::MAX),
            _ => 0,
        }
    }
}
