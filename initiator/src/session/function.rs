//! The task management function that is under way, and what the host wants reset next.

use super::escalation::TaskManagement;
use crate::time::Instant;

/// What the host can have reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// One logical unit, by its eight SAM bytes.
    LogicalUnit([u8; 8]),
    /// The whole target; its connections stay.
    TargetWarm,
    /// The whole target; it closes its connections.
    TargetCold,
}

/// The function that is under way, and the one that the host wants next.
#[derive(Debug, Default)]
pub(super) struct Management {
    pub(super) active: Option<Active>,
    pub(super) wanted: Option<Reset>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Active {
    pub(super) function: TaskManagement,
    pub(super) lun: [u8; 8],
    /// Initiator Task Tag of the task that hangs, or that the host wants aborted; a reset that
    /// the host wants has none.
    pub(super) subject: Option<u32>,
    /// After a refusal the next step of the escalation follows.
    pub(super) escalates: bool,
    /// Initiator Task Tag of the request itself.
    pub(super) tag: u32,
    pub(super) stage: Stage,
    pub(super) deadline: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Due,
    Postponed(Instant),
    Sent,
}

impl Management {
    pub(super) fn is_active(&self) -> bool {
        self.active.is_some()
    }

    pub(super) fn is_wanted(&self) -> bool {
        self.wanted.is_some()
    }

    pub(super) fn is_due(&self) -> bool {
        self.active.is_some_and(|active| active.stage == Stage::Due)
    }

    /// While several tasks are being ended no new ones are sent: which of them the target ends is
    /// then no question.
    pub(super) fn holds_commands(&self) -> bool {
        self.active.is_some_and(|active| active.function != TaskManagement::AbortTask)
    }

    /// When time alone changes something.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.active.map(|active| match active.stage {
            Stage::Postponed(until) => until.min(active.deadline),
            Stage::Due | Stage::Sent => active.deadline,
        })
    }

    /// The session is over, and with it what the host wanted.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}
