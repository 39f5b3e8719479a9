//! What a Reject means for the request that it names (RFC 7143 §7.3, §11.17).
//!
//! A rejected command leaves a hole in the order of CmdSN, which a new session fills; a command
//! that is rejected again there has failed. Any other rejected request leaves the tasks alone.

use super::connection::Control;
use super::error::{Error, TaskError};
use super::management::ROOM_PAUSE;
use super::session::{Phase, Session};
use crate::pdu::bhs::{BasicHeaderSegment, RESERVED_TAG};
use crate::pdu::request::{NopOut, Request, ScsiCommand};
use crate::pdu::response::Reject;
use crate::time::Instant;

/// Reasons (§11.17.1).
const IMMEDIATE_COMMAND: u8 = 0x06;
const TASK_IN_PROGRESS: u8 = 0x07;
const LONG_OPERATION: u8 = 0x0a;
const WAITING_FOR_LOGOUT: u8 = 0x0c;

/// A command that is rejected this often has failed.
const REJECTION_LIMIT: u8 = 2;
/// How often in a row a target may have no room for an answer or a ping.
const REFUSAL_LIMIT: u8 = 8;

impl<const TASKS: usize> Session<TASKS> {
    /// Takes a Reject whose data segment has come.
    pub(super) fn on_reject(&mut self, now: Instant, header: &Reject) -> Result<(), Error> {
        self.count_status(&header.numbers)?;
        let reason = header.reason;
        let lost = Error::Rejected { reason };
        // Less than a header names nobody; what follows it is the target's own business.
        let named = <[u8; _]>::try_from(self.connection.rejected.as_slice())
            .ok()
            .and_then(|bytes| Request::parse(&BasicHeaderSegment::from_bytes(bytes)).ok());
        log::warn!("{lost}: {named:?}");
        if !matches!(self.phase, Phase::FullFeature { .. }) {
            // The end of the logout bounds whatever waits.
            return Ok(());
        }
        let may_repeat = matches!(reason, IMMEDIATE_COMMAND | LONG_OPERATION);
        match named {
            // What the target does not take any more goes to the next session.
            _ if reason == WAITING_FOR_LOGOUT => {
                self.leave_and_return(now, lost);
                Ok(())
            }
            Some(Request::ScsiCommand(command)) => self.on_command_rejected(&command, reason),
            Some(Request::TaskManagement(request)) => {
                let tag = request.initiator_task_tag;
                if may_repeat {
                    self.postpone_management(now, tag);
                } else {
                    self.on_management_rejected(now, tag, reason);
                }
                Ok(())
            }
            Some(Request::NopOut(request)) if may_repeat => self.postpone_nop(now, &request, lost),
            Some(Request::NopOut(request)) => {
                // An odd one, but a sign of life.
                self.connection.ping.take_if(|(tag, _)| *tag == request.initiator_task_tag);
                Ok(())
            }
            Some(Request::Text(request)) => {
                self.on_text_rejected(now, request.initiator_task_tag, reason)
            }
            // A task goes on without its data, until an R2T or the status says more.
            _ => Ok(()),
        }
    }

    fn on_command_rejected(&mut self, command: &ScsiCommand, reason: u8) -> Result<(), Error> {
        let Some(index) = self.tasks.on_the_wire(command.initiator_task_tag) else { return Ok(()) };
        let Some(task) = self.tasks.at_mut(index) else { return Ok(()) };
        if reason == TASK_IN_PROGRESS || task.cmd_sn != command.cmd_sn {
            return Ok(());
        }
        task.rejections = task.rejections.saturating_add(1);
        if task.rejections >= REJECTION_LIMIT {
            self.fail(index, TaskError::Rejected { reason });
        }
        Err(Error::Rejected { reason })
    }

    /// The target has no room for an answer or a ping now.
    fn postpone_nop(&mut self, now: Instant, nop: &NopOut, lost: Error) -> Result<(), Error> {
        let due = now.after(ROOM_PAUSE);
        let again = match &mut self.connection.ping {
            Some((tag, sent_at)) if *tag == nop.initiator_task_tag => {
                *sent_at = due;
                Control::Ping { tag: *tag }
            }
            _ if nop.target_transfer_tag != RESERVED_TAG => {
                Control::NopReply { lun: nop.lun, target_transfer_tag: nop.target_transfer_tag }
            }
            _ => return Ok(()),
        };
        let connection = &mut self.connection;
        connection.refusals = connection.refusals.saturating_add(1);
        if connection.refusals > REFUSAL_LIMIT {
            return Err(lost);
        }
        connection.postponed.push_back((due, again)).map_err(|_| lost)
    }

    /// Tries again what the target had no room for.
    pub(super) fn check_postponed(&mut self, now: Instant) {
        while let Some((_, control)) =
            self.connection.postponed.pop_front_if(|(due, _)| *due <= now)
        {
            // Full when the target takes nothing: then it has asked for too much.
            let _ = self.connection.control.push_back(control);
        }
    }
}
