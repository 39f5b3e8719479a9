//! What a command's status means for what is done next (SAM-5 §5.3, SPC-4 §4.5).

use super::request::RequestError;
use crate::pdu::response::Residual;
use crate::scsi::sense::{Sense, SenseKey};
use crate::session::{Completion, TaskError};
use crate::time::Duration;

/// SAM-5 §5.3.1.
const GOOD: u8 = 0x00;
const CHECK_CONDITION: u8 = 0x02;
const CONDITION_MET: u8 = 0x04;
const BUSY: u8 = 0x08;
const TASK_SET_FULL: u8 = 0x28;
const TASK_ABORTED: u8 = 0x40;

/// Pause before a busy unit is asked again.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// Pause before a unit that becomes ready is asked again.
const NOT_READY_PAUSE: Duration = Duration::from_millis(100);

/// What to do about a command that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It did what it should; so many bytes more or less than expected were there to move.
    Good(Residual),
    /// The unit wants it again, after this pause; the error counts if it wants it too often.
    Again(Duration, RequestError),
    /// It failed.
    Failed(RequestError),
}

/// Judges the end of a command.
pub(super) fn judge(completion: Completion, sense: &[u8]) -> Verdict {
    let (status, residual) = match completion {
        Completion::Failed(TaskError::SessionEnded) => {
            return Verdict::Failed(RequestError::SessionEnded);
        }
        Completion::Failed(error) => return Verdict::Failed(RequestError::Task(error)),
        Completion::Status { status, residual } => (status, residual),
    };
    let sense = Sense::parse(sense);
    let error = RequestError::Scsi { status, sense };
    match status {
        GOOD | CONDITION_MET => Verdict::Good(residual),
        BUSY | TASK_SET_FULL | TASK_ABORTED => Verdict::Again(BUSY_PAUSE, error),
        CHECK_CONDITION => match sense {
            Some(Sense { key: SenseKey::NoSense | SenseKey::RecoveredError, .. }) => {
                log::info!("a disk reports {error}");
                Verdict::Good(residual)
            }
            // Aborted for a reason outside of the command, such as data damaged on the way.
            Some(Sense { key: SenseKey::AbortedCommand, .. }) => Verdict::Again(BUSY_PAUSE, error),
            Some(sense) if sense.is_unit_attention() => Verdict::Again(Duration::ZERO, error),
            Some(sense) if sense.is_out_of_space() => Verdict::Failed(RequestError::NoSpace),
            Some(sense) if sense.is_becoming_ready() => Verdict::Again(NOT_READY_PAUSE, error),
            _ => Verdict::Failed(error),
        },
        _ => Verdict::Failed(error),
    }
}
