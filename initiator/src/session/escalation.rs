//! What a target is asked for when a command hangs, and in which order.

use core::fmt;
use core::str::FromStr;

use heapless::Vec;

use crate::pdu::request::TaskManagementFunction;

/// A task management function that ends tasks (RFC 7143 §11.5.1).
///
/// Tasks that end by it and that nobody wants ended are issued again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskManagement {
    /// Ends one task.
    AbortTask,
    /// Ends every task of this session on a logical unit.
    AbortTaskSet,
    /// Ends every task on a logical unit, whoever's it is, and resets the unit.
    LogicalUnitReset,
    /// Ends every task at the target and resets all its units.
    TargetWarmReset,
    /// As the warm reset; the target also closes every connection.
    TargetColdReset,
}

impl TaskManagement {
    /// All of them, the mildest first.
    pub const ALL: [Self; 5] = [
        Self::AbortTask,
        Self::AbortTaskSet,
        Self::LogicalUnitReset,
        Self::TargetWarmReset,
        Self::TargetColdReset,
    ];

    /// The name by which it is configured.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::AbortTask => "abort-task",
            Self::AbortTaskSet => "abort-task-set",
            Self::LogicalUnitReset => "lun-reset",
            Self::TargetWarmReset => "target-warm-reset",
            Self::TargetColdReset => "target-cold-reset",
        }
    }

    pub(super) fn function(self) -> TaskManagementFunction {
        match self {
            Self::AbortTask => TaskManagementFunction::AbortTask,
            Self::AbortTaskSet => TaskManagementFunction::AbortTaskSet,
            Self::LogicalUnitReset => TaskManagementFunction::LogicalUnitReset,
            Self::TargetWarmReset => TaskManagementFunction::TargetWarmReset,
            Self::TargetColdReset => TaskManagementFunction::TargetColdReset,
        }
    }

    /// Whether it is meant for one logical unit (RFC 7143 §11.5.3).
    pub(super) fn has_lun(self) -> bool {
        !matches!(self, Self::TargetWarmReset | Self::TargetColdReset)
    }
}

impl fmt::Display for TaskManagement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What is asked of the target, step by step, for a command that it does not answer in time.
///
/// The next step is taken when the target refuses one, and when the command hangs again after
/// one. After the last the session is renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalation(Vec<TaskManagement, { TaskManagement::ALL.len() }>);

impl Escalation {
    /// These steps in this order; none at all renews the session at once. `None` when one of
    /// them stands there twice.
    #[must_use]
    pub fn new(steps: &[TaskManagement]) -> Option<Self> {
        let mut list = Vec::new();
        for &step in steps {
            if list.contains(&step) {
                return None;
            }
            list.push(step).ok()?;
        }
        Some(Self(list))
    }

    pub(super) fn step(&self, place: u8) -> Option<TaskManagement> {
        self.0.get(usize::from(place)).copied()
    }
}

/// ABORT TASK, then LOGICAL UNIT RESET.
impl Default for Escalation {
    fn default() -> Self {
        let steps = [TaskManagement::AbortTask, TaskManagement::LogicalUnitReset];
        Self::new(&steps).unwrap_or(Self(Vec::new()))
    }
}

/// Reads `none`, or names separated by commas.
impl FromStr for Escalation {
    type Err = EscalationError;

    fn from_str(names: &str) -> Result<Self, EscalationError> {
        let mut list: Vec<TaskManagement, { TaskManagement::ALL.len() }> = Vec::new();
        if names != "none" {
            for name in names.split(',') {
                let known = TaskManagement::ALL.into_iter().find(|step| step.name() == name);
                list.push(known.ok_or(EscalationError)?).map_err(|_| EscalationError)?;
            }
        }
        Self::new(&list).ok_or(EscalationError)
    }
}

impl fmt::Display for Escalation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        self.0
            .iter()
            .enumerate()
            .try_for_each(|(index, step)| write!(f, "{}{step}", if index == 0 { "" } else { "," }))
    }
}

/// A list of steps with a name that is none, or with the same name twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EscalationError;

impl fmt::Display for EscalationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the steps are none, or each at most once of")?;
        TaskManagement::ALL.iter().try_for_each(|step| write!(f, " {step}"))
    }
}

impl core::error::Error for EscalationError {}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn lists_read_and_print_alike() {
        let all = "target-cold-reset,target-warm-reset,lun-reset,abort-task-set,abort-task";
        for text in ["none", "abort-task", "abort-task,lun-reset", all] {
            assert_eq!(text.parse::<Escalation>().unwrap().to_string(), text);
        }
        assert_eq!(Escalation::default().to_string(), "abort-task,lun-reset");
    }

    #[test]
    fn lists_that_make_no_sense_are_refused() {
        for text in ["", ",", "abort-task,", "none,abort-task", "abort-task,abort-task", "reset"] {
            assert_eq!(text.parse::<Escalation>(), Err(EscalationError), "{text}");
        }
    }
}
