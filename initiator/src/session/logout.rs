//! The end of a session in good order (RFC 7143 §11.14, §11.15).

use super::connection::{CONNECTION_ID, Source};
use super::error::{Error, LinkFailure, TaskError, UNASKED};
use super::session::{LogoutPurpose, Phase, Session};
use crate::pdu::request::{LogoutReason, LogoutRequest, Request};
use crate::pdu::response::LogoutResponse;
use crate::time::Instant;

impl<const TASKS: usize> Session<TASKS> {
    /// Ends the session: no new commands are taken, those outstanding fail, the target is told.
    /// [`Event::Ended`](super::Event::Ended) reports the end, within the logout time-out. Without
    /// a session there is nobody to tell, and the end comes at once.
    pub fn logout(&mut self, now: Instant) {
        match core::mem::replace(&mut self.phase, Phase::Ended(None)) {
            Phase::FullFeature { negotiated } => {
                let deadline = now.after(self.config.timeouts.logout);
                let purpose = LogoutPurpose::End;
                self.phase = Phase::LoggingOut { negotiated, requested: None, deadline, purpose };
                self.fail_queued();
            }
            Phase::LoggingOut { negotiated, requested, deadline, purpose: _ } => {
                let purpose = LogoutPurpose::End;
                self.phase = Phase::LoggingOut { negotiated, requested, deadline, purpose };
                self.fail_queued();
            }
            Phase::Ended(error) => self.phase = Phase::Ended(error),
            Phase::Connecting { .. } | Phase::LoggingIn { .. } | Phase::Waiting { .. } => {
                self.end(None);
            }
        }
    }

    /// Logs out and comes back: no new command is sent meanwhile, what is outstanding and does
    /// not end by itself is issued again.
    pub(super) fn leave_and_return(&mut self, now: Instant, why: Error) {
        match core::mem::replace(&mut self.phase, Phase::Ended(None)) {
            Phase::FullFeature { negotiated } => {
                let deadline = now.after(self.config.timeouts.logout);
                let purpose = LogoutPurpose::Return(why);
                self.phase = Phase::LoggingOut { negotiated, requested: None, deadline, purpose };
            }
            same => self.phase = same,
        }
    }

    pub(super) fn begin_logout(&mut self) -> bool {
        let initiator_task_tag = self.control_tag();
        let Phase::LoggingOut { requested, .. } = &mut self.phase else { return false };
        *requested = Some(initiator_task_tag);
        let request = LogoutRequest {
            immediate: true,
            reason: LogoutReason::CloseSession,
            initiator_task_tag,
            cid: CONNECTION_ID,
            cmd_sn: self.window.current(),
            exp_stat_sn: self.connection.exp_stat_sn,
        };
        self.begin(Request::Logout(request), 0, Source::Nothing);
        true
    }

    pub(super) fn on_logout_response(
        &mut self,
        now: Instant,
        header: &LogoutResponse,
    ) -> Result<(), Error> {
        self.count_status(&header.numbers)?;
        let purpose = match &self.phase {
            Phase::LoggingOut { requested: Some(tag), purpose, .. }
                if *tag == header.initiator_task_tag && self.connection.serializer.is_idle() =>
            {
                *purpose
            }
            _ => return Err(UNASKED),
        };
        let LogoutResponse { response, time2wait, .. } = *header;
        match purpose {
            LogoutPurpose::End if response == 0 => self.end(None),
            LogoutPurpose::End => self.end(Some(Error::LogoutRefused { response, time2wait })),
            LogoutPurpose::Return(why) => {
                // Both times count only when the target could not clean up (§11.15.3).
                let wait = if matches!(response, 2 | 3) { time2wait } else { 0 };
                self.connection.announced_wait = Some(wait);
                self.lose(now, why);
            }
        }
        Ok(())
    }

    /// Whether a connection lost for this reason while logging out is what was asked for: istgt
    /// now and then closes it on a Logout Request without answering, and a Discovery session has
    /// nothing left to lose.
    pub(super) fn is_logout_obeyed(&self, why: Error) -> bool {
        let closed = matches!(why, Error::Link(LinkFailure::ClosedByTarget | LinkFailure::Reset));
        let asked = matches!(self.phase, Phase::LoggingOut { requested: Some(_), .. })
            && self.connection.serializer.is_idle();
        closed && (asked || self.is_discovery())
    }

    fn fail_queued(&mut self) {
        while let Some(index) = self.queued.pop_front() {
            self.fail(index, TaskError::SessionEnded);
        }
    }
}
