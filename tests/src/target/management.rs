//! Pings, task management and logout (RFC 7143 §11.5, 11.6, 11.14, 11.15, 11.18, 11.19).

use std::sync::Arc;

use isboot::pdu::bhs::{RESERVED_TAG, opcode};
use isboot::pdu::request::{
    LogoutReason, LogoutRequest, NopOut, TaskManagementFunction, TaskManagementRequest,
};
use isboot::pdu::response::{LogoutResponse, Reject, Response, TaskManagementResponse};

use super::frame::Pdu;
use super::link::Link;
use super::rules::{End, broken};
use super::session::FullFeature;

/// A multi-task abort that waits for data still owed before it is answered (§4.2.3.3).
#[derive(Debug)]
pub(super) struct PendingManagement {
    initiator_task_tag: u32,
    /// Aborted tasks that still owe data.
    waits_for: Vec<u32>,
}

impl PendingManagement {
    pub(super) fn tag(&self) -> u32 {
        self.initiator_task_tag
    }
}

/// Response codes (§11.6.1).
const COMPLETE: u8 = 0;
const NO_SUCH_TASK: u8 = 1;
const NO_SUCH_LUN: u8 = 2;
const REASSIGN_NOT_SUPPORTED: u8 = 4;
const NOT_SUPPORTED: u8 = 5;

impl FullFeature {
    pub(super) fn nop_out(
        &mut self,
        link: &mut Link,
        request: &NopOut,
        data: &[u8],
    ) -> Result<(), End> {
        let answered = request.target_transfer_tag;
        if answered != RESERVED_TAG {
            let before = self.pings.len();
            self.pings.retain(|&tag| tag != answered);
            if self.pings.len() == before {
                return broken(
                    "RFC 7143 §11.18.2",
                    format!("NOP-Out answers {answered:#x}, which no NOP-In has"),
                );
            }
            if request.lun != [0; 8] {
                return broken("RFC 7143 §11.18.2", "NOP-Out with another LUN than its NOP-In");
            }
            link.shared.state().statistics.ping_answers += 1;
        }
        if request.initiator_task_tag == RESERVED_TAG {
            if !request.immediate {
                return broken("RFC 7143 §11.18.1", "NOP-Out that wants no answer, without I");
            }
            return Ok(());
        }
        self.check_new_tag(opcode::NOP_OUT, request.initiator_task_tag)?;
        let room = self.parameters.initiator_max_recv as usize;
        let echo = data[..data.len().min(room)].to_vec();
        let numbers = self.numbers(&link.shared, true);
        self.nop_in(link, request.initiator_task_tag, RESERVED_TAG, numbers, echo);
        Ok(())
    }

    pub(super) fn task_management(
        &mut self,
        link: &mut Link,
        request: &TaskManagementRequest,
    ) -> Result<(), End> {
        use TaskManagementFunction as Function;
        self.check_new_tag(opcode::TASK_MANAGEMENT_REQUEST, request.initiator_task_tag)?;
        let names_a_task = matches!(request.function, Function::AbortTask | Function::TaskReassign);
        if !names_a_task && request.referenced_task_tag != RESERVED_TAG {
            return broken(
                "RFC 7143 §11.5.4",
                format!("{:?} with a Referenced Task Tag", request.function),
            );
        }
        let place = link.shared.place(request.lun);
        let mut waits_for = Vec::new();
        let response = match request.function {
            Function::AbortTask => self.abort_task(request)?,
            Function::AbortTaskSet | Function::ClearTaskSet => match place {
                None => NO_SUCH_LUN,
                Some(_) => {
                    waits_for = self.abort_all(Some(request.lun));
                    COMPLETE
                }
            },
            Function::LogicalUnitReset => match place {
                None => NO_SUCH_LUN,
                Some(place) => {
                    waits_for = self.abort_all(Some(request.lun));
                    reset(link, place);
                    COMPLETE
                }
            },
            Function::TargetWarmReset | Function::TargetColdReset => {
                waits_for = self.abort_all(None);
                for place in 0..link.shared.luns.len() {
                    reset(link, place);
                }
                COMPLETE
            }
            Function::TaskReassign => REASSIGN_NOT_SUPPORTED,
            Function::ClearAca | Function::Other(_) => NOT_SUPPORTED,
        };
        if !waits_for.is_empty() && link.shared.policy.await_owed_data {
            let initiator_task_tag = request.initiator_task_tag;
            self.pending_management = Some(PendingManagement { initiator_task_tag, waits_for });
            return Ok(());
        }
        self.respond_management(link, request.initiator_task_tag, response);
        if request.function == Function::TargetColdReset {
            return Err(End::Closed);
        }
        Ok(())
    }

    /// Answers a multi-task abort once nothing is owed any more.
    pub(super) fn answer_management(&mut self, link: &mut Link) {
        let owed = |tag: &u32| self.ghosts.contains_key(tag);
        if self
            .pending_management
            .as_ref()
            .is_some_and(|pending| !pending.waits_for.iter().any(owed))
            && let Some(pending) = self.pending_management.take()
        {
            self.respond_management(link, pending.initiator_task_tag, COMPLETE);
        }
    }

    pub(super) fn logout(&mut self, link: &mut Link, request: &LogoutRequest) -> Result<(), End> {
        /// Response codes (§11.15.1).
        const NO_SUCH_CONNECTION: u8 = 1;
        const RECOVERY_NOT_SUPPORTED: u8 = 2;
        self.check_new_tag(opcode::LOGOUT_REQUEST, request.initiator_task_tag)?;
        if self.tsih.is_none() && request.reason != LogoutReason::CloseSession {
            return broken(
                "RFC 7143 §4.3",
                "Logout of a Discovery session with a reason other than 0",
            );
        }
        let response = match request.reason {
            LogoutReason::CloseSession => COMPLETE,
            LogoutReason::CloseConnection if request.cid == self.cid => COMPLETE,
            LogoutReason::CloseConnection => NO_SUCH_CONNECTION,
            LogoutReason::RemoveForRecovery => RECOVERY_NOT_SUPPORTED,
        };
        let response = LogoutResponse {
            response,
            initiator_task_tag: request.initiator_task_tag,
            numbers: self.numbers(&link.shared, true),
            time2wait: u16::try_from(self.parameters.time2wait).unwrap_or(u16::MAX),
            time2retain: u16::try_from(self.parameters.time2retain).unwrap_or(u16::MAX),
        };
        link.respond(Response::Logout(response), Vec::new());
        if response.response != COMPLETE {
            return Ok(());
        }
        link.shared.state().statistics.logouts += 1;
        Err(End::LoggedOut)
    }

    /// Refuses a PDU that breaks no rule (§11.17); its header goes back.
    pub(super) fn reject(&mut self, link: &mut Link, reason: u8, pdu: &Pdu) {
        let numbers = self.numbers(&link.shared, true);
        let response = Reject { reason, numbers, data_sn_or_r2t_sn: 0, data_segment_length: 0 };
        link.respond(Response::Reject(response), pdu.header.as_bytes().to_vec());
    }

    fn respond_management(&mut self, link: &mut Link, initiator_task_tag: u32, response: u8) {
        let numbers = self.numbers(&link.shared, true);
        let response = TaskManagementResponse { response, initiator_task_tag, numbers };
        link.respond(Response::TaskManagement(response), Vec::new());
    }

    fn abort_task(&mut self, request: &TaskManagementRequest) -> Result<u8, End> {
        let tag = request.referenced_task_tag;
        let Some(task) = self.tasks.get(&tag) else { return Ok(NO_SUCH_TASK) };
        if task.cmd_sn != request.ref_cmd_sn {
            let what =
                format!("RefCmdSN {} for a task with CmdSN {}", request.ref_cmd_sn, task.cmd_sn);
            return broken("RFC 7143 §11.5.5", what);
        }
        if task.lun != request.lun {
            return broken("RFC 7143 §11.5.3", "ABORT TASK with another LUN than its task");
        }
        self.abort(tag);
        Ok(COMPLETE)
    }

    /// Returns the tasks that still owe data.
    fn abort_all(&mut self, lun: Option<[u8; 8]>) -> Vec<u32> {
        let tags: Vec<u32> = self
            .tasks
            .values()
            .filter(|task| lun.is_none_or(|lun| task.lun == lun))
            .map(|task| task.initiator_task_tag)
            .collect();
        tags.into_iter().filter(|&tag| self.abort(tag)).collect()
    }

    /// Ends a task without status; data on its way is still taken in. True when there is such.
    fn abort(&mut self, tag: u32) -> bool {
        self.ready.retain(|&other| other != tag);
        self.unsolicited.retain(|&other| other != tag);
        match self.tasks.remove(&tag) {
            Some(task) if !task.owes_nothing() => {
                self.ghosts.insert(tag, task);
                true
            }
            _ => false,
        }
    }
}

/// SAM-5 §6.3.3: tasks of every session end, and every session is told.
fn reset(link: &Link, place: usize) {
    let shared = Arc::clone(&link.shared);
    let mut state = shared.state();
    state.luns[place].resets += 1;
    state.raise_attention(place, 0x29, 0x03);
}
