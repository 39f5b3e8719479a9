//! What a command's status means for what is done next (SAM-5 §5.3, SPC-4 §4.5).

use super::request::RequestError;
use crate::pdu::response::Residual;
use crate::scsi::sense::{Sense, SenseKey};
use crate::session::{Completion, TaskError};

/// SAM-5 §5.3.1.
const GOOD: u8 = 0x00;
const CHECK_CONDITION: u8 = 0x02;
const CONDITION_MET: u8 = 0x04;
const BUSY: u8 = 0x08;
const RESERVATION_CONFLICT: u8 = 0x18;
const TASK_SET_FULL: u8 = 0x28;
const TASK_ABORTED: u8 = 0x40;

/// What to do about a command that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It did what it should; so many bytes more or less than expected were there to move.
    Good(Residual),
    /// It was not executed, and may be issued again; `error` counts once it had enough of that.
    Again { repeat: Repeat, news: News, error: RequestError },
    /// It failed.
    Failed(RequestError),
}

/// What a command waits for before it is issued again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Nothing: the unit told of something else in place of an answer.
    AfterEvent,
    /// A pause: somebody aborted it, or something failed between here and the unit.
    AfterAbort,
    /// A pause: the unit has no time.
    WhenFree,
    /// The end of another command, or a pause: the unit has no room.
    WithFewer,
    /// The unit becoming ready, which TEST UNIT READY tells.
    WhenReady,
    /// START STOP UNIT.
    WhenStarted,
}

/// What a unit told beyond the command that brought it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// Nothing that matters here.
    Nothing,
    /// Something is no longer as it was when the unit was looked at.
    UnitChanged,
    /// The target has other units than before.
    UnitsChanged,
    /// A thinly provisioned unit runs out of space.
    SpaceLow,
    /// An earlier command, reported as done, failed after all.
    Deferred(Sense),
}

/// Judges the end of a command.
pub(super) fn judge(completion: Completion, sense_data: &[u8]) -> Verdict {
    let again = |repeat, error| Verdict::Again { repeat, news: News::Nothing, error };
    let (status, residual) = match completion {
        Completion::Failed(TaskError::SessionEnded) => {
            return Verdict::Failed(RequestError::SessionEnded);
        }
        // The target, or the way to the unit, failed: the unit did not refuse it.
        Completion::Failed(error @ TaskError::TargetFailure { .. }) => {
            return again(Repeat::AfterAbort, RequestError::Task(error));
        }
        Completion::Failed(error) => return Verdict::Failed(RequestError::Task(error)),
        Completion::Status { status, residual } => (status, residual),
    };
    // Sense data that comes with another status is no reason to doubt the status.
    let sense = if status == CHECK_CONDITION { Sense::parse(sense_data) } else { None };
    let error = RequestError::Scsi { status, sense };
    match (status, sense) {
        (GOOD | CONDITION_MET, _) => Verdict::Good(residual),
        (BUSY, _) => again(Repeat::WhenFree, error),
        (TASK_SET_FULL, _) => again(Repeat::WithFewer, error),
        (TASK_ABORTED, _) => again(Repeat::AfterAbort, error),
        // Waiting for the other host to go away would be waiting to write to its disk.
        (RESERVATION_CONFLICT, _) => Verdict::Failed(RequestError::Reserved),
        (CHECK_CONDITION, Some(sense)) => judge_sense(sense, residual, error),
        (CHECK_CONDITION, None) => {
            log::warn!("a disk reports sense data of no known format: {sense_data:02x?}");
            Verdict::Failed(error)
        }
        _ => Verdict::Failed(error),
    }
}

fn judge_sense(sense: Sense, residual: Residual, error: RequestError) -> Verdict {
    let again = |repeat, news| Verdict::Again { repeat, news, error };
    match sense.key {
        // SPC-4 §4.5.7: the command that it came with was not executed, whatever the key.
        _ if sense.deferred => again(Repeat::AfterEvent, News::Deferred(sense)),
        _ if sense.is_harmless() => {
            log::info!("{error}");
            Verdict::Good(residual)
        }
        SenseKey::UnitAttention => {
            log::info!("{error}");
            again(Repeat::AfterEvent, news_of(sense))
        }
        // Aborted for a reason outside of the command, such as data damaged on the way.
        SenseKey::AbortedCommand => again(Repeat::AfterAbort, News::Nothing),
        _ if sense.is_out_of_space() => Verdict::Failed(RequestError::NoSpace),
        SenseKey::NotReady if sense.is_becoming_ready() => {
            again(Repeat::WhenReady, News::UnitChanged)
        }
        SenseKey::NotReady if sense.wants_start() => again(Repeat::WhenStarted, News::UnitChanged),
        _ => Verdict::Failed(error),
    }
}

/// What a unit attention is about (SPC-4 annex F.2).
pub(super) fn news_of(sense: Sense) -> News {
    if !sense.is_unit_attention() {
        return News::Nothing;
    }
    match (sense.code, sense.qualifier) {
        // Medium may have changed; parameters, mode parameters, asymmetric access state, capacity
        // changed; inquiry data, device identifier changed.
        (0x28, 0x00) | (0x2a, 0x00 | 0x01 | 0x06 | 0x09) | (0x3f, 0x03 | 0x05) => News::UnitChanged,
        (0x3f, 0x0e) => News::UnitsChanged,
        (0x38, 0x07) => News::SpaceLow,
        _ => News::Nothing,
    }
}
