//! Task management: ending tasks at the target, because they hang or because the host wants it
//! (RFC 7143 §4.2.3, §11.5, §11.6).
//!
//! One function is under way at a time, always immediate: it passes a closed command window.
//! Until its response the tasks it is meant for go on as before: R2Ts are answered, and a status
//! that comes counts. With the response they are over; what comes for them later is discarded.

use super::error::{Error, ManagementError, TaskError, Waiting};
use super::escalation::TaskManagement;
use super::event::{Event, SubmitError};
use super::function::{Active, Reset, Stage};
use super::session::{ISSUE_LIMIT, LogoutPurpose, Phase, Session};
use super::task::{TaskState, TaskTag, Unwanted};
use crate::keep::keep;
use crate::pdu::bhs::RESERVED_TAG;
use crate::pdu::request::{Request, TaskManagementRequest};
use crate::pdu::response::TaskManagementResponse;
use crate::pdu::serial::SerialNumber;
use crate::time::{Duration, Instant};

/// Pause before a request is repeated that the target had no room for (reason 06h, §11.17.1).
pub(super) const ROOM_PAUSE: Duration = Duration::from_secs(1);

/// Response codes (§11.6.1).
const COMPLETE: u8 = 0;
const NO_SUCH_TASK: u8 = 1;
const NO_SUCH_LUN: u8 = 2;

impl<const TASKS: usize> Session<TASKS> {
    /// Ends one command, at the target too when it is there already. It completes with
    /// [`TaskError::Aborted`] once the target has confirmed, or as usual when its status comes
    /// first. [`Event::Managed`] tells of a target that refuses; the command then goes on.
    ///
    /// A tag that names no command changes nothing.
    pub fn abort(&mut self, task: TaskTag) {
        if self.tasks.tag(task.index) != Some(task) {
            return;
        }
        let Some(found) = self.tasks.at_mut(task.index) else { return };
        match found.state {
            TaskState::Queued => {
                keep(&mut self.queued, |&index| index != task.index);
                self.fail(task.index, TaskError::Aborted);
            }
            TaskState::Sent => {
                found.unwanted = Unwanted::Unsaid;
                self.next_scan = Instant::ZERO;
            }
            TaskState::Failed | TaskState::Free => {}
        }
    }

    /// Has the target reset a logical unit or itself, now or with the next session.
    /// [`Event::Managed`] reports the outcome. Commands that end by it are issued again, unless
    /// they are not [idempotent](super::Command::idempotent).
    ///
    /// # Errors
    /// [`SubmitError::Busy`] while another reset waits, [`SubmitError::Ended`] after the end, and
    /// in a Discovery session.
    pub fn reset(&mut self, reset: Reset) -> Result<(), SubmitError> {
        // A logout that the target asked for leads to the next session.
        let ends = matches!(
            self.phase,
            Phase::Ended(_) | Phase::LoggingOut { purpose: LogoutPurpose::End, .. }
        );
        if ends || self.is_discovery() {
            return Err(SubmitError::Ended);
        }
        if self.management.wanted.is_some() {
            return Err(SubmitError::Busy);
        }
        self.management.wanted = Some(reset);
        self.next_scan = Instant::ZERO;
        Ok(())
    }

    /// Starts what the host wants, in full feature phase with no function under way.
    pub(super) fn begin_wanted(&mut self, now: Instant) {
        use TaskManagement as Function;
        if let Some(reset) = self.management.wanted.take() {
            let (function, lun) = match reset {
                Reset::LogicalUnit(lun) => (Function::LogicalUnitReset, lun),
                Reset::TargetWarm => (Function::TargetWarmReset, [0; 8]),
                Reset::TargetCold => (Function::TargetColdReset, [0; 8]),
            };
            self.manage(now, function, lun, None, false);
            return;
        }
        let wanted = self
            .tasks
            .in_use()
            .find(|(_, task)| task.state == TaskState::Sent && task.unwanted == Unwanted::Unsaid)
            .map(|(index, task)| (index, task.command.lun));
        if let Some((index, lun)) = wanted {
            if let Some(task) = self.tasks.at_mut(index) {
                task.unwanted = Unwanted::Said;
            }
            let subject = self.tasks.initiator_task_tag(index);
            self.manage(now, Function::AbortTask, lun, subject, false);
        }
    }

    /// The next step for a command that hangs: another function, at last another session.
    pub(super) fn escalate(&mut self, now: Instant, index: u16) {
        let subject = self.tasks.initiator_task_tag(index);
        let Some(task) = self.tasks.at_mut(index) else { return };
        let lun = task.command.lun;
        let step = self.config.escalation.step(task.steps);
        task.steps = task.steps.saturating_add(1);
        match step {
            Some(function) => {
                let lun = if function.has_lun() { lun } else { [0; 8] };
                self.manage(now, function, lun, subject, true);
            }
            // The command is issued again in a new session; no answer to the old one can reach
            // it, and the same ISID ends the old one's work at the target.
            None => self.lose(now, Error::Timeout(Waiting::Command)),
        }
    }

    fn manage(
        &mut self,
        now: Instant,
        function: TaskManagement,
        lun: [u8; 8],
        subject: Option<u32>,
        escalates: bool,
    ) {
        self.management.active = Some(Active {
            function,
            lun,
            subject,
            escalates,
            tag: self.control_tag(),
            stage: Stage::Due,
            deadline: now.after(self.config.timeouts.task_management),
        });
    }

    /// Lets time pass for the function under way.
    pub(super) fn check_management(&mut self, now: Instant) {
        self.drop_moot_management();
        let Some(active) = &mut self.management.active else { return };
        if matches!(active.stage, Stage::Postponed(until) if now >= until) {
            active.stage = Stage::Due;
        }
        if now >= active.deadline {
            self.lose(now, Error::Timeout(Waiting::TaskManagement));
        }
    }

    /// A task that ended before its function was sent needs none any more.
    fn drop_moot_management(&mut self) {
        if let Some(Active { stage: Stage::Due | Stage::Postponed(_), subject: Some(tag), .. }) =
            self.management.active
            && self.tasks.on_the_wire(tag).is_none()
        {
            self.management.active = None;
            self.next_scan = Instant::ZERO;
        }
    }

    /// The request that is due now, if any; it counts as sent.
    pub(super) fn next_management(&mut self) -> Option<Request> {
        self.drop_moot_management();
        let active = self.management.active.as_mut().filter(|active| active.stage == Stage::Due)?;
        active.stage = Stage::Sent;
        // Only ABORT TASK names a task (§11.5.4, §11.5.5).
        let subject = active.subject.filter(|_| active.function == TaskManagement::AbortTask);
        let named = subject.and_then(|tag| self.tasks.on_the_wire(tag));
        let ref_cmd_sn = named.and_then(|index| self.tasks.at(index)).map(|task| task.cmd_sn);
        Some(Request::TaskManagement(TaskManagementRequest {
            immediate: true,
            function: active.function.function(),
            lun: active.lun,
            initiator_task_tag: active.tag,
            referenced_task_tag: subject.unwrap_or(RESERVED_TAG),
            cmd_sn: self.window.current(),
            exp_stat_sn: self.connection.exp_stat_sn,
            ref_cmd_sn: ref_cmd_sn.unwrap_or(SerialNumber(0)),
            exp_data_sn: 0,
        }))
    }

    /// The target's answer. False when nobody asked.
    pub(super) fn on_management_response(
        &mut self,
        now: Instant,
        header: &TaskManagementResponse,
    ) -> bool {
        let Some(active) = self.take_active(header.initiator_task_tag) else { return false };
        if !matches!(self.phase, Phase::FullFeature { .. }) {
            // The logout ends every task anyway.
            return true;
        }
        match header.response {
            COMPLETE => self.conclude(now, &active),
            // Its status came before, or is lost; either way the target works on it no more.
            NO_SUCH_TASK if active.function == TaskManagement::AbortTask => {
                self.conclude(now, &active);
            }
            NO_SUCH_LUN if active.function.has_lun() => self.unit_gone(&active),
            response => self.refused(now, &active, ManagementError::Refused { response }),
        }
        true
    }

    /// The request itself was rejected, for this reason (§11.17.1).
    pub(super) fn on_management_rejected(&mut self, now: Instant, tag: u32, reason: u8) {
        if let Some(active) = self.take_active(tag) {
            self.refused(now, &active, ManagementError::Rejected { reason });
        }
    }

    /// The target has no room for the request now: it is repeated until its time is up.
    pub(super) fn postpone_management(&mut self, now: Instant, tag: u32) {
        if let Some(active) = &mut self.management.active
            && active.tag == tag
            && active.stage == Stage::Sent
        {
            active.stage = Stage::Postponed(now.after(ROOM_PAUSE));
        }
    }

    /// The connection is gone, and with it the tasks that were to be ended.
    pub(super) fn lose_management(&mut self) {
        if let Some(active) = self.management.active.take() {
            self.report(&active, Err(ManagementError::SessionLost));
        }
    }

    fn take_active(&mut self, tag: u32) -> Option<Active> {
        let sent = |active: &&mut Active| active.tag == tag && active.stage == Stage::Sent;
        let active = *self.management.active.as_mut().filter(sent)?;
        self.management.active = None;
        // Whatever waits comes next.
        self.next_scan = Instant::ZERO;
        Some(active)
    }

    /// The tasks are over (§4.2.3.3): they go back to the queue in the order of their CmdSN,
    /// unless nobody wants them any more or the target had its chances.
    fn conclude(&mut self, now: Instant, active: &Active) {
        let patience = self.config.timeouts.outage;
        if active.escalates
            && let Some(index) = active.subject.and_then(|tag| self.tasks.on_the_wire(tag))
            && let Some(task) = self.tasks.at(index)
            && (task.issues >= ISSUE_LIMIT || now >= task.submitted_at.after(patience))
            && task.unwanted == Unwanted::No
        {
            self.tasks.remember_aborted(index);
            self.fail(index, TaskError::Unanswered);
        }
        let covered = self.covered(active);
        for &index in &covered {
            self.tasks.remember_aborted(index);
        }
        self.requeue(&covered);
        self.report(active, Ok(()));
    }

    /// The unit is not there any more, and no command for it has a chance.
    fn unit_gone(&mut self, active: &Active) {
        for index in (0u16..).take(TASKS) {
            let Some(task) = self.tasks.at(index) else { continue };
            if task.command.lun != active.lun {
                continue;
            }
            if task.state == TaskState::Sent {
                self.tasks.remember_aborted(index);
            }
            keep(&mut self.queued, |&queued| queued != index);
            self.fail(index, TaskError::NoSuchLogicalUnit);
        }
        self.report(active, Err(ManagementError::Refused { response: NO_SUCH_LUN }));
    }

    fn refused(&mut self, now: Instant, active: &Active, error: ManagementError) {
        self.report(active, Err(error));
        let subject = active.subject.and_then(|tag| self.tasks.on_the_wire(tag));
        if let Some(index) = subject.filter(|_| active.escalates) {
            self.escalate(now, index);
        }
    }

    /// Tasks at the target that a function has ended.
    fn covered(&self, active: &Active) -> heapless::Vec<u16, TASKS> {
        let named = active.subject.and_then(|tag| self.tasks.on_the_wire(tag));
        self.tasks.indices(|index, task| {
            task.state == TaskState::Sent
                && match active.function {
                    TaskManagement::AbortTask => Some(index) == named,
                    TaskManagement::AbortTaskSet | TaskManagement::LogicalUnitReset => {
                        task.command.lun == active.lun
                    }
                    TaskManagement::TargetWarmReset | TaskManagement::TargetColdReset => true,
                }
        })
    }

    fn report(&mut self, active: &Active, outcome: Result<(), ManagementError>) {
        let lun = active.function.has_lun().then_some(active.lun);
        self.notify(Event::Managed { function: active.function, lun, outcome });
    }
}
