//! The task table: which outstanding command a tag names (RFC 7143 §11.2.1.8).

use heapless::{Deque, Vec};

use super::extents::Extents;
use super::owed::Debt;
use crate::pdu::request::TaskAttribute;
use crate::pdu::serial::SerialNumber;
use crate::time::Instant;

/// R2Ts that a target may have outstanding for one task; the most that login ever offers.
pub const OUTSTANDING_R2T_LIMIT: usize = 4;

/// A SCSI command for one logical unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// The logical unit, eight SAM bytes.
    pub lun: [u8; 8],
    /// The command descriptor block, zero-padded.
    pub cdb: [u8; 16],
    /// What moves, and how many bytes of it are expected.
    pub transfer: Transfer,
    /// Task attribute; simple for disks.
    pub attribute: TaskAttribute,
    /// Whether executing it twice does what executing it once does. After a loss it is issued
    /// again; any other then ends with [`TaskError::OutcomeUnknown`](super::TaskError).
    pub idempotent: bool,
}

/// Direction and expected length of a command's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transfer {
    /// No data.
    None,
    /// This many bytes from the target.
    Read(u32),
    /// This many bytes to the target.
    Write(u32),
}

impl Transfer {
    /// ExpectedDataTransferLength in bytes.
    #[must_use]
    pub fn length(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Read(length) | Self::Write(length) => length,
        }
    }
}

/// Names a submitted command until its completion is reported; stale tags match nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TaskTag {
    pub(super) index: u16,
    pub(super) generation: u16,
}

impl TaskTag {
    /// Which of the session's task slots this is: below `TASKS`, free for the caller's own tables.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.index)
    }
}

/// An R2T that waits to be answered.
#[derive(Clone, Copy, Debug)]
pub(super) struct Burst {
    pub(super) target_transfer_tag: u32,
    pub(super) offset: u32,
    pub(super) end: u32,
    pub(super) data_sn: u32,
}

/// Where a task is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TaskState {
    /// The slot is free.
    Free,
    /// Waits for its turn, the window, or a connection.
    Queued,
    /// On the wire; the target owes a response.
    Sent,
    /// Ended without a response; the report to the caller is due.
    Failed,
}

/// Whether the host wants a task ended that is at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unwanted {
    /// It wants the status.
    No,
    /// It does, and the target is to be told.
    Unsaid,
    /// It does, and the target was told.
    Said,
}

/// One slot of the table.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) state: TaskState,
    pub(super) command: Command,
    /// Told to the caller; changes when the slot is freed.
    generation: u16,
    /// Told to the target; changes each time the command goes on the wire, so that an answer
    /// meant for an earlier connection names nothing.
    wire_generation: u16,
    pub(super) cmd_sn: SerialNumber,
    pub(super) submitted_at: Instant,
    pub(super) sent_at: Instant,
    /// How often the command was put on the wire.
    pub(super) issues: u8,
    pub(super) next_data_sn: u32,
    pub(super) next_r2t_sn: u32,
    /// Data-In bytes taken so far, or Data-Out bytes asked for or promised so far.
    pub(super) moved: Extents,
    /// What the target owes for it.
    pub(super) debt: Debt,
    /// A data digest failed: status to come does not count, the command is issued again.
    pub(super) damaged: bool,
    /// Steps of the escalation that were taken for it in this session.
    pub(super) steps: u8,
    /// How often the target rejected it.
    pub(super) rejections: u8,
    /// Whether the host wants it ended.
    pub(super) unwanted: Unwanted,
    /// Kept back by the caller.
    pub(super) is_held: bool,
    pub(super) bursts: Deque<Burst, OUTSTANDING_R2T_LIMIT>,
    /// The slot stands in the session's queue of those with bursts; outlives the task.
    pub(super) is_soliciting: bool,
    /// The wire generation that the target was made to end last over this connection; outlives
    /// the task.
    aborted: Option<u16>,
}

impl Task {
    const FREE: Self = Self {
        state: TaskState::Free,
        command: Command {
            lun: [0; 8],
            cdb: [0; 16],
            transfer: Transfer::None,
            attribute: TaskAttribute::Simple,
            idempotent: true,
        },
        generation: 0,
        wire_generation: 0,
        cmd_sn: SerialNumber(0),
        submitted_at: Instant::ZERO,
        sent_at: Instant::ZERO,
        issues: 0,
        next_data_sn: 0,
        next_r2t_sn: 0,
        moved: Extents::EMPTY,
        debt: Debt::NONE,
        damaged: false,
        steps: 0,
        rejections: 0,
        unwanted: Unwanted::No,
        is_held: false,
        bursts: Deque::new(),
        is_soliciting: false,
        aborted: None,
    };

    /// Forgets everything that belongs to one issue of the command.
    pub(super) fn rewind(&mut self) {
        self.wire_generation = self.wire_generation.wrapping_add(1);
        self.next_data_sn = 0;
        self.next_r2t_sn = 0;
        self.moved.clear();
        self.debt = Debt::NONE;
        self.damaged = false;
        self.bursts.clear();
    }
}

/// Answers "whose is this tag?".
#[derive(Debug)]
pub(super) struct TaskTable<const TASKS: usize> {
    tasks: [Task; TASKS],
    /// Free slots, the longest free first: a tag rests as long as possible before it is reused.
    free: Deque<u16, TASKS>,
}

impl<const TASKS: usize> TaskTable<TASKS> {
    /// Slots above this carry the tags of requests that are not tasks.
    pub(super) const INDEX_LIMIT: u16 = 0xff00;

    pub(super) fn new() -> Self {
        const { assert!(TASKS > 0 && TASKS <= Self::INDEX_LIMIT as usize) }
        let mut free = Deque::new();
        for index in (0u16..).take(TASKS) {
            // The queue holds TASKS entries: it cannot be full.
            let _ = free.push_back(index);
        }
        Self { tasks: [const { Task::FREE }; TASKS], free }
    }

    /// Takes a free slot for `command`.
    pub(super) fn insert(&mut self, command: Command, now: Instant) -> Option<TaskTag> {
        let index = self.free.pop_front()?;
        let task = self.tasks.get_mut(usize::from(index))?;
        task.rewind();
        task.state = TaskState::Queued;
        task.command = command;
        task.submitted_at = now;
        task.issues = 0;
        task.steps = 0;
        task.rejections = 0;
        task.unwanted = Unwanted::No;
        task.is_held = false;
        Some(TaskTag { index, generation: task.generation })
    }

    /// Frees the slot; its tag is stale from now on.
    pub(super) fn remove(&mut self, index: u16) {
        if let Some(task) = self.tasks.get_mut(usize::from(index))
            && task.state != TaskState::Free
        {
            task.state = TaskState::Free;
            task.generation = task.generation.wrapping_add(1);
            task.bursts.clear();
            let _ = self.free.push_back(index);
        }
    }

    pub(super) fn at(&self, index: u16) -> Option<&Task> {
        self.tasks.get(usize::from(index)).filter(|task| task.state != TaskState::Free)
    }

    pub(super) fn at_mut(&mut self, index: u16) -> Option<&mut Task> {
        self.tasks.get_mut(usize::from(index)).filter(|task| task.state != TaskState::Free)
    }

    /// The caller's tag for a slot in use.
    pub(super) fn tag(&self, index: u16) -> Option<TaskTag> {
        self.at(index).map(|task| TaskTag { index, generation: task.generation })
    }

    /// The Initiator Task Tag of a slot's present issue: generation | index.
    pub(super) fn initiator_task_tag(&self, index: u16) -> Option<u32> {
        self.at(index).map(|task| u32::from(task.wire_generation) << 16 | u32::from(index))
    }

    /// The slot whose command is on the wire under `initiator_task_tag`.
    pub(super) fn on_the_wire(&self, initiator_task_tag: u32) -> Option<u16> {
        let [g1, g0, i1, i0] = initiator_task_tag.to_be_bytes();
        let (generation, index) = (u16::from_be_bytes([g1, g0]), u16::from_be_bytes([i1, i0]));
        self.at(index)
            .filter(|task| task.state == TaskState::Sent && task.wire_generation == generation)
            .map(|_| index)
    }

    /// Those in use that are `wanted`. Collecting them would keep a path to a panic.
    pub(super) fn indices(&self, wanted: impl Fn(u16, &Task) -> bool) -> Vec<u16, TASKS> {
        let mut indices = Vec::new();
        for (index, _) in self.in_use().filter(|(index, task)| wanted(*index, task)) {
            // As long as the table: it cannot be full.
            let _ = indices.push(index);
        }
        indices
    }

    /// Every slot in use, in slot order.
    pub(super) fn in_use(&self) -> impl Iterator<Item = (u16, &Task)> {
        (0u16..).zip(&self.tasks).filter(|(_, task)| task.state != TaskState::Free)
    }

    /// The target was made to end the present issue of a slot's command: what still comes for it
    /// is late.
    pub(super) fn remember_aborted(&mut self, index: u16) {
        if let Some(task) = self.at_mut(index) {
            task.aborted = Some(task.wire_generation);
        }
    }

    /// Whether the target was made to end the task with this tag, and no other of its slot since.
    pub(super) fn was_aborted(&self, initiator_task_tag: u32) -> bool {
        let [g1, g0, i1, i0] = initiator_task_tag.to_be_bytes();
        let (generation, index) = (u16::from_be_bytes([g1, g0]), u16::from_be_bytes([i1, i0]));
        self.tasks.get(usize::from(index)).is_some_and(|task| task.aborted == Some(generation))
    }

    /// Forgets what belonged to a connection: places in the queue of those with bursts, steps
    /// taken, tags that may still come.
    pub(super) fn forget_connection(&mut self) {
        for task in &mut self.tasks {
            task.is_soliciting = false;
            task.steps = 0;
            task.aborted = None;
        }
    }

    /// Takes the mark off a slot, in use or not.
    pub(super) fn stop_soliciting(&mut self, index: u16) {
        if let Some(task) = self.tasks.get_mut(usize::from(index)) {
            task.is_soliciting = false;
        }
    }

    /// How many slots are in use.
    pub(super) fn len(&self) -> usize {
        TASKS.saturating_sub(self.free.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        Command {
            lun: [0; 8],
            cdb: [0; 16],
            transfer: Transfer::None,
            attribute: TaskAttribute::Simple,
            idempotent: true,
        }
    }

    #[test]
    fn a_stale_tag_names_nothing() {
        let mut table = TaskTable::<1>::new();
        let tag = table.insert(command(), Instant::ZERO).unwrap();
        assert_eq!(table.tag(0), Some(tag));
        table.remove(0);
        assert_eq!(table.tag(0), None);
        let again = table.insert(command(), Instant::ZERO).unwrap();
        assert_eq!(again.index(), tag.index());
        assert_ne!(again, tag);
        assert_eq!(table.tag(0), Some(again));
    }

    #[test]
    fn a_wire_tag_of_an_earlier_issue_or_of_an_unsent_command_names_nothing() {
        let mut table = TaskTable::<2>::new();
        table.insert(command(), Instant::ZERO).unwrap();
        let wire = table.initiator_task_tag(0).unwrap();
        assert_eq!(table.on_the_wire(wire), None, "not sent yet");
        table.at_mut(0).unwrap().state = TaskState::Sent;
        assert_eq!(table.on_the_wire(wire), Some(0));
        table.at_mut(0).unwrap().rewind();
        assert_eq!(table.on_the_wire(wire), None, "issued again since");
    }

    #[test]
    fn the_table_is_bounded_and_slots_come_back() {
        let mut table = TaskTable::<2>::new();
        table.insert(command(), Instant::ZERO).unwrap();
        table.insert(command(), Instant::ZERO).unwrap();
        assert!(table.insert(command(), Instant::ZERO).is_none());
        table.remove(1);
        table.remove(1); // a second time changes nothing
        assert!(table.insert(command(), Instant::ZERO).is_some());
        assert!(table.insert(command(), Instant::ZERO).is_none());
        assert_eq!(table.len(), 2);
    }
}
