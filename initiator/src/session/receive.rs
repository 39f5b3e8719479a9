//! What arrives: PDUs judged against the session, turned into events.

use super::arriving::{Arriving, SensePrefix};
use super::connection::Control;
use super::error::{Error, TaskError, UNASKED};
use super::event::{Completion, Event, Placement};
use super::extents::TooManyGaps;
use super::session::{Phase, Session};
use super::task::{Burst, TaskTag, Transfer};
use crate::login::{Excerpt, LoginProgress};
use crate::pdu::bhs::{BasicHeaderSegment, RESERVED_TAG};
use crate::pdu::framer::{Fragment, FrameError};
use crate::pdu::response::{
    DataIn, LoginResponse, NopIn, ReadyToTransfer, Residual, Response, ScsiResponse,
    SequenceNumbers,
};
use crate::pdu::serial::SerialNumber;
use crate::time::Instant;

/// SAM-5 §5.3.1.
const GOOD: u8 = 0x00;
const CHECK_CONDITION: u8 = 0x02;

impl<const TASKS: usize> Session<TASKS> {
    /// Takes bytes that arrived, up to the next event; call until `None`, which means that
    /// `input` is used up.
    ///
    /// Whatever arrives, the worst is [`Event::Lost`] (reported by [`poll`](Self::poll)), after
    /// which [`link`](Self::link) wants the connection closed and the rest of `input` is void.
    pub fn receive<'b>(&mut self, now: Instant, input: &mut &'b [u8]) -> Option<Event<'b>> {
        if !input.is_empty() {
            self.connection.last_heard = now;
        }
        // Most calls bring the next piece of a data segment, or find that it has not come yet.
        if let Some(event) = self.more_data_in(input) {
            return Some(event);
        }
        if input.is_empty() && self.connection.framer.is_within_data() {
            self.connection.pdu_since.get_or_insert(now);
            return None;
        }
        self.receive_any(now, input)
    }

    /// The next piece of read data, in the middle of its PDU.
    #[inline]
    fn more_data_in<'b>(&mut self, input: &mut &'b [u8]) -> Option<Event<'b>> {
        let Arriving::Data { index, .. } = self.connection.arriving else { return None };
        let task = self.tasks.tag(index)?;
        let bytes = self.connection.framer.next_data(input)?;
        let Arriving::Data { position, .. } = &mut self.connection.arriving else { return None };
        Some(data_in(task, position, bytes))
    }

    /// Whatever comes, up to the next event.
    fn receive_any<'b>(&mut self, now: Instant, input: &mut &'b [u8]) -> Option<Event<'b>> {
        while self.is_listening() {
            match self.advance(now, input) {
                Ok(Step::Starved) => {
                    if !self.connection.framer.is_between_pdus() {
                        self.connection.pdu_since.get_or_insert(now);
                    }
                    return None;
                }
                Ok(Step::Went) => {}
                Ok(Step::Event(event)) => return Some(event),
                Err(error) => self.lose(now, error),
            }
        }
        *input = &[];
        None
    }

    /// Where the next bytes of the stream belong, when they are data of a command: a caller whose
    /// transport can put them there at once saves a copy. They go through
    /// [`receive`](Self::receive) all the same, from where they lie.
    #[must_use]
    pub fn placement(&self) -> Option<Placement> {
        let Arriving::Data { index, position, .. } = self.connection.arriving else { return None };
        let length = self.connection.framer.data_ahead();
        if length == 0 || !self.is_listening() {
            return None;
        }
        Some(Placement { task: self.tasks.tag(index)?, offset: position, length })
    }

    fn is_listening(&self) -> bool {
        matches!(
            self.phase,
            Phase::LoggingIn { .. } | Phase::FullFeature { .. } | Phase::LoggingOut { .. }
        )
    }

    fn advance<'b>(&mut self, now: Instant, input: &mut &'b [u8]) -> Result<Step<'b>, Error> {
        self.check_first_byte(input)?;
        match self.next_fragment(input).map_err(Error::Frame)? {
            None => Ok(Step::Starved),
            Some(Fragment::Header(header)) => {
                self.connection.arriving = self.on_header(&header)?;
                Ok(Step::Went)
            }
            Some(Fragment::Data(bytes)) => self.on_data(bytes),
            Some(Fragment::End { data_digest_ok }) => {
                self.connection.pdu_since = None;
                let arrived = core::mem::replace(&mut self.connection.arriving, Arriving::Nothing);
                self.on_end(now, arrived, data_digest_ok)
            }
        }
    }

    /// A web server's answer may be shorter than a header, and is never followed by more: the
    /// first byte tells, since only a target's opcodes have this bit (RFC 7143 §11.2.1.2).
    fn check_first_byte(&self, input: &[u8]) -> Result<(), Error> {
        const OF_A_TARGET: u8 = 0x20;
        let unanswered = matches!(self.phase, Phase::LoggingIn { answered: false, .. });
        match input.first() {
            Some(first)
                if unanswered
                    && self.connection.framer.is_between_pdus()
                    && first & OF_A_TARGET == 0 =>
            {
                Err(Error::NotIscsi(Excerpt::of(input)))
            }
            _ => Ok(()),
        }
    }

    /// Text comes in pieces that end where a pair does, so that each can be told on its own.
    fn next_fragment<'b>(
        &mut self,
        input: &mut &'b [u8],
    ) -> Result<Option<Fragment<'b>>, FrameError> {
        let framer = &mut self.connection.framer;
        if !matches!(self.connection.arriving, Arriving::Text(_)) {
            return framer.next(input);
        }
        loop {
            let whole: &'b [u8] = input;
            let Some(end) = whole.iter().position(|byte| *byte == 0) else {
                return framer.next(input);
            };
            let mut piece = whole.get(..=end).unwrap_or(whole);
            let length = piece.len();
            let fragment = framer.next(&mut piece)?;
            let used = length.saturating_sub(piece.len());
            *input = whole.get(used..).unwrap_or_default();
            // A zero in padding or a digest ends nothing.
            if fragment.is_some() {
                return Ok(fragment);
            }
        }
    }

    // --- the header: is this PDU allowed here, and whose is it? ---

    fn on_header(&mut self, header: &BasicHeaderSegment) -> Result<Arriving, Error> {
        let response = Response::parse(header).map_err(Error::Malformed)?;
        if let Phase::LoggingIn { tag, .. } = self.phase {
            return match response {
                Response::Login(login) if login.initiator_task_tag != tag => {
                    Err(Error::PeerMisbehaved("a Login Response answers the login's own tag"))
                }
                Response::Login(login) => Ok(Arriving::Login(login)),
                Response::Reject(reject) => Err(Error::Rejected { reason: reject.reason }),
                _ => Err(Error::PeerMisbehaved(
                    "only Login Responses come before full feature phase (RFC 7143 §4.2.4)",
                )),
            };
        }
        let for_a_task = matches!(
            response,
            Response::DataIn(_) | Response::Scsi(_) | Response::ReadyToTransfer(_)
        );
        if for_a_task && self.tasks.was_aborted(header.initiator_task_tag()) {
            return Ok(Arriving::Late(response));
        }
        match response {
            Response::DataIn(data_in) => self.on_data_in_header(data_in),
            Response::Scsi(scsi) => {
                let index = self.task_of(scsi.initiator_task_tag)?;
                self.sense.clear();
                Ok(Arriving::Status { header: scsi, index, prefix: SensePrefix::None })
            }
            Response::Login(_) => Err(Error::PeerMisbehaved(
                "no Login Response comes in full feature phase (RFC 7143 §4.2.4)",
            )),
            Response::Reject(reject) => {
                self.connection.rejected.clear();
                Ok(Arriving::Reject(reject))
            }
            Response::Text(text) => self.on_text_header(text),
            Response::AsyncMessage(header) => {
                self.sense.clear();
                Ok(Arriving::Async { header, prefix: SensePrefix::None })
            }
            other => Ok(Arriving::Other(other)),
        }
    }

    /// Bounds are checked here, before a byte of the data is handed on.
    fn on_data_in_header(&mut self, header: DataIn) -> Result<Arriving, Error> {
        let Some(negotiated) = self.negotiated() else { return Err(UNASKED) };
        let in_order = negotiated.data_pdu_in_order && negotiated.data_sequence_in_order;
        let index = self.task_of(header.initiator_task_tag)?;
        let Some(task) = self.tasks.at_mut(index) else { return Err(UNKNOWN_TASK) };
        let Transfer::Read(expected) = task.command.transfer else {
            return Err(Error::PeerMisbehaved("Data-In answers only a command that reads"));
        };
        if header.status.is_some_and(|status| status != GOOD) {
            return Err(Error::PeerMisbehaved(
                "only GOOD status comes with Data-In (RFC 7143 §11.7.3)",
            ));
        }
        if header.data_sn != task.next_data_sn {
            if header.data_sn < task.next_data_sn && header.status.is_none() {
                // A duplicate: nothing of it is kept (§7.9).
                return Ok(Arriving::Other(Response::DataIn(header)));
            }
            return Err(Error::PeerMisbehaved("DataSN counts up from 0 (RFC 7143 §4.2.2.4)"));
        }
        let start = header.buffer_offset;
        let Some(end) =
            start.checked_add(header.data_segment_length).filter(|end| *end <= expected)
        else {
            return Err(Error::PeerMisbehaved(
                "Data-In stays within ExpectedDataTransferLength (RFC 7143 §11.7.6)",
            ));
        };
        if in_order && start != end && start != task.moved.contiguous() {
            return Err(Error::PeerMisbehaved(
                "Data-In comes in order and without gaps (DataPDUInOrder, DataSequenceInOrder)",
            ));
        }
        if task.moved.overlap(start, end) {
            return Err(Error::PeerMisbehaved("no byte of Data-In comes twice (RFC 7143 §13.18)"));
        }
        task.moved.add(start, end).map_err(|TooManyGaps| SCATTERED)?;
        task.next_data_sn = task.next_data_sn.wrapping_add(1);
        self.connection.ledger.came(task, header.data_segment_length, header.status.is_some());
        Ok(Arriving::Data { header, index, position: start })
    }

    // --- the data segment, piece by piece ---

    fn on_data<'b>(&mut self, bytes: &'b [u8]) -> Result<Step<'b>, Error> {
        match &mut self.connection.arriving {
            Arriving::Login(_) => {
                self.login.receive_text(bytes).map_err(Error::Login)?;
                Ok(Step::Went)
            }
            Arriving::Text(_) => Ok(Step::of(self.on_text(bytes)?)),
            Arriving::Data { index, position, .. } => {
                let task = self.tasks.tag(*index).ok_or(UNKNOWN_TASK)?;
                Ok(Step::Event(data_in(task, position, bytes)))
            }
            Arriving::Status { prefix, .. } | Arriving::Async { prefix, .. } => {
                let mut rest = bytes;
                while let Some((&byte, tail)) = rest.split_first() {
                    match *prefix {
                        SensePrefix::None => *prefix = SensePrefix::One(byte),
                        SensePrefix::One(high) => {
                            *prefix = SensePrefix::Length(u16::from_be_bytes([high, byte]));
                        }
                        SensePrefix::Length(length) => {
                            let wanted = usize::from(length)
                                .min(self.sense.capacity())
                                .saturating_sub(self.sense.len())
                                .min(rest.len());
                            let _ = self
                                .sense
                                .extend_from_slice(rest.get(..wanted).unwrap_or_default());
                            break;
                        }
                    }
                    rest = tail;
                }
                Ok(Step::Went)
            }
            Arriving::Reject(_) => {
                let rejected = &mut self.connection.rejected;
                let room = rejected.capacity().saturating_sub(rejected.len());
                let (wanted, _) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
                let _ = rejected.extend_from_slice(wanted);
                Ok(Step::Went)
            }
            Arriving::Nothing | Arriving::Late(_) | Arriving::Other(_) => Ok(Step::Went),
        }
    }

    // --- the end: the PDU counts now ---

    fn on_end<'b>(
        &mut self,
        now: Instant,
        arrived: Arriving,
        data_digest_ok: bool,
    ) -> Result<Step<'b>, Error> {
        if !data_digest_ok {
            return self.on_damaged(&arrived);
        }
        match arrived {
            Arriving::Nothing => Ok(Step::Went),
            Arriving::Login(header) => self.on_login_response(now, &header),
            Arriving::Data { header, index, .. } => {
                let Some(status) = header.status else {
                    self.learn_window(&header.numbers);
                    return Ok(Step::Went);
                };
                self.count_status(&header.numbers)?;
                self.sense.clear();
                if status == CHECK_CONDITION {
                    return Err(WITHOUT_SENSE);
                }
                // DataSN had no gap: whatever was sent has come.
                self.on_status(now, index, status, header.residual, 0)
            }
            Arriving::Status { header, index, .. } => self.on_scsi_response(now, index, &header),
            Arriving::Reject(header) => self.on_reject(now, &header).map(|()| Step::Went),
            Arriving::Late(response) => self.on_late(&response).map(|()| Step::Went),
            Arriving::Text(header) => {
                self.count_status(&header.numbers)?;
                Ok(Step::of(self.on_text_end(now, &header)?))
            }
            Arriving::Async { header, prefix } => {
                Ok(Step::of(self.on_async_message(now, &header, prefix)?))
            }
            Arriving::Other(response) => self.on_other(now, response),
        }
    }

    /// A data digest failed (§7.8). Read data: the command is issued again once its status has
    /// come. Anything else, or data that brought its status: the PDU is lost, and at error
    /// recovery level 0 so is the connection.
    fn on_damaged<'b>(&mut self, arrived: &Arriving) -> Result<Step<'b>, Error> {
        match *arrived {
            Arriving::Late(Response::DataIn(DataIn { status: None, .. })) => Ok(Step::Went),
            Arriving::Data { header: DataIn { status: None, .. }, index, .. } => {
                if let Some(task) = self.tasks.at_mut(index) {
                    task.damaged = true;
                }
                Ok(Step::Went)
            }
            _ => Err(Error::Frame(FrameError::DataDigest)),
        }
    }

    fn on_login_response<'b>(
        &mut self,
        now: Instant,
        header: &LoginResponse,
    ) -> Result<Step<'b>, Error> {
        let Phase::LoggingIn { request_due, answered, .. } = &mut self.phase else {
            return Ok(Step::Went);
        };
        if *request_due || !self.connection.serializer.is_idle() {
            return Err(Error::PeerMisbehaved("a Login Response answers a Login Request"));
        }
        let first = !core::mem::replace(answered, true);
        let progress = self.login.on_response(&self.config.login, header).map_err(Error::Login)?;
        // With a status class other than 0 the numbers are void (§11.13.5).
        if header.status_class == 0 {
            if first {
                self.connection.exp_stat_sn = header.numbers.stat_sn;
            }
            self.count_status(&header.numbers)?;
        }
        match progress {
            LoginProgress::SendNext => {
                if let Phase::LoggingIn { request_due, .. } = &mut self.phase {
                    *request_due = true;
                }
                Ok(Step::Went)
            }
            LoginProgress::LoggedIn(negotiated) => {
                self.logged_in(now, negotiated);
                Ok(Step::Event(Event::LoggedIn))
            }
            LoginProgress::Redirected(redirection) => {
                self.redirected(now, &redirection);
                Ok(Step::Went)
            }
            LoginProgress::TryAgain => {
                // To the same portal, also after a redirection; the login bounds how often.
                self.phase = Phase::Waiting { until: now };
                Ok(Step::Went)
            }
        }
    }

    fn on_scsi_response<'b>(
        &mut self,
        now: Instant,
        index: u16,
        header: &ScsiResponse,
    ) -> Result<Step<'b>, Error> {
        self.count_status(&header.numbers)?;
        if header.response != 0 {
            // Status and flags are void (§11.4.3).
            let error = TaskError::TargetFailure { response: header.response };
            return self.complete(index, Completion::Failed(error));
        }
        // SenseLength itself takes two bytes (§11.4.7).
        if header.status == CHECK_CONDITION && header.data_segment_length < 2 {
            return Err(WITHOUT_SENSE);
        }
        self.on_status(now, index, header.status, header.residual, header.exp_data_sn)
    }

    /// A status came: is the command done, and did its data come or go with it?
    fn on_status<'b>(
        &mut self,
        now: Instant,
        index: u16,
        status: u8,
        residual: Residual,
        exp_data_sn: u32,
    ) -> Result<Step<'b>, Error> {
        let Some(task) = self.tasks.at(index) else { return Err(UNKNOWN_TASK) };
        if task.damaged {
            self.issue_again(index);
            return Ok(Step::Went);
        }
        let expected = task.command.transfer.length();
        let missing = match residual {
            Residual::Underflow(count) => count,
            Residual::None | Residual::Overflow(_) => 0,
        };
        let Some(claimed) = expected.checked_sub(missing) else {
            return Err(Error::PeerMisbehaved(
                "a residual is no larger than ExpectedDataTransferLength (RFC 7143 §11.4.5)",
            ));
        };
        let moved = match task.command.transfer {
            Transfer::None => claimed,
            Transfer::Read(_) | Transfer::Write(_) => task.moved.contiguous(),
        };
        if matches!(task.command.transfer, Transfer::Read(_))
            && moved < claimed
            && exp_data_sn > task.next_data_sn
        {
            return Err(Error::PeerMisbehaved(
                "status comes after the Data-In that it counts (RFC 7143 §11.4.8)",
            ));
        }
        if matches!(task.command.transfer, Transfer::Write(_))
            && status == GOOD
            && missing == 0
            && (moved < expected || self.is_owed_data(index))
        {
            return Err(Error::PeerMisbehaved(
                "GOOD status for a write comes after its data was asked for and sent",
            ));
        }
        // What did not move is missing, whatever the target says of it.
        let unsent =
            matches!(task.command.transfer, Transfer::Write(_)) && self.is_owed_data(index);
        let residual = if unsent {
            Residual::Underflow(expected)
        } else if moved < claimed {
            Residual::Underflow(expected.saturating_sub(moved))
        } else {
            residual
        };
        self.recovery.completed(now);
        self.complete(index, Completion::Status { status, residual })
    }

    /// Whether data that the target asked for, or was promised, is still unsent.
    fn is_owed_data(&self, index: u16) -> bool {
        self.tasks.at(index).is_some_and(|task| !task.bursts.is_empty())
            || self.connection.unsolicited.is_some_and(|unsolicited| unsolicited.index == index)
            || self.is_sending_data_of(index)
    }

    fn complete<'b>(&mut self, index: u16, completion: Completion) -> Result<Step<'b>, Error> {
        let tag = self.tasks.tag(index).ok_or(UNKNOWN_TASK)?;
        if let Some(task) = self.tasks.at_mut(index) {
            self.connection.ledger.ended(task);
        }
        self.tasks.remove(index);
        Ok(Step::Event(Event::Completed { task: tag, completion }))
    }

    // --- PDUs without data of interest ---

    /// What comes for a task after the target ended it is counted and discarded (§4.2.3.3).
    fn on_late(&mut self, response: &Response) -> Result<(), Error> {
        match response {
            Response::Scsi(header) => self.count_status(&header.numbers),
            Response::DataIn(header) if header.status.is_some() => {
                self.count_status(&header.numbers)
            }
            Response::DataIn(DataIn { numbers, .. })
            | Response::ReadyToTransfer(ReadyToTransfer { numbers, .. }) => {
                self.learn_window(numbers);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn on_other<'b>(&mut self, now: Instant, response: Response) -> Result<Step<'b>, Error> {
        match response {
            Response::NopIn(header) => self.on_nop_in(&header)?,
            Response::ReadyToTransfer(header) => self.on_ready_to_transfer(&header)?,
            Response::Logout(header) => self.on_logout_response(now, &header)?,
            Response::TaskManagement(header) => {
                self.count_status(&header.numbers)?;
                if !self.on_management_response(now, &header) {
                    return Err(UNASKED);
                }
            }
            // Told apart by their headers already.
            Response::Login(_)
            | Response::DataIn(_)
            | Response::Scsi(_)
            | Response::Text(_)
            | Response::Reject(_)
            | Response::AsyncMessage(_) => {}
        }
        Ok(Step::Went)
    }

    fn on_nop_in(&mut self, header: &NopIn) -> Result<(), Error> {
        if header.initiator_task_tag == RESERVED_TAG {
            // Does not count in StatSN (§11.19.2), but names the next: a higher one than that
            // means that a status was lost (§7.9).
            if header.numbers.stat_sn.is_after(self.connection.exp_stat_sn) {
                return Err(STATUS_LOST);
            }
            self.learn_window(&header.numbers);
        } else {
            self.count_status(&header.numbers)?;
            if header.target_transfer_tag != RESERVED_TAG {
                return Err(Error::PeerMisbehaved(
                    "a NOP-In answers or asks, not both (RFC 7143 §7.7)",
                ));
            }
            match self.connection.ping {
                Some((tag, _)) if tag == header.initiator_task_tag => {
                    self.connection.ping = None;
                    self.connection.refusals = 0;
                }
                _ => return Err(UNASKED),
            }
        }
        if header.target_transfer_tag == RESERVED_TAG {
            return Ok(());
        }
        // After a Logout Request nothing is sent any more (§11.14).
        if matches!(self.phase, Phase::LoggingOut { requested: Some(_), .. }) {
            return Ok(());
        }
        let reply =
            Control::NopReply { lun: header.lun, target_transfer_tag: header.target_transfer_tag };
        self.connection
            .control
            .push_back(reply)
            .map_err(|_| Error::PeerMisbehaved("a target does not flood with NOP-Ins"))
    }

    fn on_ready_to_transfer(&mut self, header: &ReadyToTransfer) -> Result<(), Error> {
        self.learn_window(&header.numbers);
        let Some(negotiated) = self.negotiated() else { return Err(UNASKED) };
        let max_burst = negotiated.max_burst_length;
        let max_outstanding = usize::from(negotiated.max_outstanding_r2t);
        let in_order = negotiated.data_sequence_in_order;
        let index = self.task_of(header.initiator_task_tag)?;
        let Some(task) = self.tasks.at_mut(index) else { return Err(UNKNOWN_TASK) };
        let Transfer::Write(expected) = task.command.transfer else {
            return Err(Error::PeerMisbehaved("R2T answers only a command that writes"));
        };
        if header.lun != task.command.lun {
            return Err(Error::PeerMisbehaved("the LUN of an R2T is its command's"));
        }
        if header.target_transfer_tag == RESERVED_TAG {
            return Err(Error::PeerMisbehaved(
                "an R2T has a Target Transfer Tag (RFC 7143 §11.8.5)",
            ));
        }
        if header.r2t_sn < task.next_r2t_sn {
            // A duplicate (§7.9): what it asks for was asked for, and is sent once.
            return Ok(());
        }
        if header.r2t_sn != task.next_r2t_sn {
            return Err(Error::PeerMisbehaved("R2TSN counts up from 0 (RFC 7143 §11.8.3)"));
        }
        let length = header.desired_data_transfer_length;
        if length == 0 || length > max_burst {
            return Err(Error::PeerMisbehaved(
                "an R2T asks for 1 to MaxBurstLength bytes (RFC 7143 §11.8.4)",
            ));
        }
        let Some(end) = header.buffer_offset.checked_add(length).filter(|end| *end <= expected)
        else {
            return Err(Error::PeerMisbehaved(
                "an R2T stays within ExpectedDataTransferLength (RFC 7143 §11.8.4)",
            ));
        };
        // A gap would never be asked for again (DataSequenceInOrder); what was sent before may be.
        if in_order && header.buffer_offset > task.moved.contiguous() {
            return Err(Error::PeerMisbehaved(
                "R2Ts ask for the data in order (DataSequenceInOrder, RFC 7143 §13.19)",
            ));
        }
        let burst = Burst {
            target_transfer_tag: header.target_transfer_tag,
            offset: header.buffer_offset,
            end,
            data_sn: 0,
        };
        if task.bursts.len() >= max_outstanding || task.bursts.push_back(burst).is_err() {
            return Err(Error::PeerMisbehaved(
                "no more R2Ts are outstanding than MaxOutstandingR2T (RFC 7143 §13.17)",
            ));
        }
        task.moved.add(header.buffer_offset, end).map_err(|TooManyGaps| SCATTERED)?;
        task.next_r2t_sn = task.next_r2t_sn.wrapping_add(1);
        if !core::mem::replace(&mut task.is_soliciting, true) {
            // As long as the table, and each task at most once: it cannot be full.
            let _ = self.soliciting.push_back(index);
        }
        Ok(())
    }

    // --- what every response carries ---

    fn task_of(&self, initiator_task_tag: u32) -> Result<u16, Error> {
        self.tasks.on_the_wire(initiator_task_tag).ok_or(UNKNOWN_TASK)
    }

    fn learn_window(&mut self, numbers: &SequenceNumbers) {
        self.window.update(numbers.exp_cmd_sn, numbers.max_cmd_sn);
    }

    /// Counts a response with a StatSN of its own; a hole means that one was lost (§7.9).
    pub(super) fn count_status(&mut self, numbers: &SequenceNumbers) -> Result<(), Error> {
        let expected: SerialNumber = self.connection.exp_stat_sn;
        if numbers.stat_sn != expected {
            return Err(STATUS_LOST);
        }
        self.connection.exp_stat_sn = expected.next();
        self.learn_window(numbers);
        Ok(())
    }
}

/// The piece of read data at `position`, which goes on to the next.
#[inline]
fn data_in<'b>(task: TaskTag, position: &mut u32, bytes: &'b [u8]) -> Event<'b> {
    let offset = *position;
    // The framer yields no more than DataSegmentLength, which the header check bound.
    *position = position.saturating_add(u32::try_from(bytes.len()).unwrap_or(0));
    Event::DataIn { task, offset, bytes }
}

enum Step<'b> {
    /// The input is used up.
    Starved,
    /// Something was taken; there may be more.
    Went,
    Event(Event<'b>),
}

impl<'b> Step<'b> {
    fn of(event: Option<Event<'b>>) -> Self {
        event.map_or(Step::Went, Step::Event)
    }
}

const UNKNOWN_TASK: Error =
    Error::PeerMisbehaved("a response names a command that is outstanding (RFC 7143 §4.2.5.3)");
const WITHOUT_SENSE: Error = Error::PeerMisbehaved(
    "CHECK CONDITION comes with sense data, in a SCSI Response (RFC 7143 §11.4.7)",
);
const STATUS_LOST: Error = Error::PeerMisbehaved("StatSN counts up by one (RFC 7143 §4.2.2.2)");
const SCATTERED: Error =
    Error::PeerMisbehaved("data out of order leaves no more gaps than can be kept in mind");
