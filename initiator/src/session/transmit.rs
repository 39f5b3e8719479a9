//! What leaves: which PDU goes next, and its bytes.

use super::connection::{CONNECTION_ID, Control, Source, Unsolicited};
use super::event::DataOut;
use super::session::{Phase, Session};
use super::task::{TaskState, Transfer};
use crate::keep::drop_item;
use crate::pdu::bhs::RESERVED_TAG;
use crate::pdu::request::{DataOut as DataOutRequest, LoginRequest, NopOut, Request, ScsiCommand};
use crate::time::Instant;

impl<const TASKS: usize> Session<TASKS> {
    /// Writes bytes to send into `out` and tells how many; zero when there is nothing to send.
    ///
    /// Any size of `out` will do: a PDU goes on where it was cut. Write data is asked of `data`
    /// straight into `out`.
    pub fn transmit(&mut self, now: Instant, out: &mut [u8], data: &mut impl DataOut) -> usize {
        self.transmit_until(now, out, data, u32::MAX)
    }

    /// The same up to a data segment of which `long` bytes or more are left: those can be sent
    /// [from where they lie](Self::in_place).
    pub fn transmit_until(
        &mut self,
        now: Instant,
        out: &mut [u8],
        data: &mut impl DataOut,
        long: u32,
    ) -> usize {
        let mut written: usize = 0;
        while let Some(rest) = out.get_mut(written..).filter(|rest| !rest.is_empty()) {
            if self.connection.serializer.is_idle() && !self.begin_next(now) {
                break;
            }
            if self.write_data_left(data, long).is_some() {
                written = written.saturating_add(self.connection.serializer.write_head(rest));
                break;
            }
            let source = self.connection.source;
            let text = match source {
                Source::Text => self.text.request(),
                Source::LoginText | Source::Nothing | Source::Task { .. } => {
                    self.login.request().text
                }
            };
            let count = self.connection.serializer.write(rest, |position, piece| match source {
                Source::Nothing => {}
                Source::LoginText | Source::Text => copy_from(text, position, piece),
                Source::Task { tag, offset } => {
                    data.fill(tag, offset.wrapping_add(position), piece);
                }
            });
            written = written.saturating_add(count);
        }
        written
    }

    /// The write data that goes next, to the end of its segment, if `data` lends it.
    #[must_use]
    pub fn in_place<'d>(&self, data: &'d impl DataOut) -> Option<&'d [u8]> {
        let is_next = self.connection.serializer.is_at_data();
        is_next.then(|| self.write_data_left(data, 0)).flatten()
    }

    /// What is left of the write data of the PDU that was begun, if that is `least` bytes or more.
    fn write_data_left<'d>(&self, data: &'d impl DataOut, least: u32) -> Option<&'d [u8]> {
        let (position, left) = self.connection.serializer.data_left()?;
        let Source::Task { tag, offset } = self.connection.source else { return None };
        if left < least {
            return None;
        }
        data.lend(tag, offset.checked_add(position)?, usize::try_from(left).ok()?)
    }

    /// This much of the front of [`in_place`](Self::in_place) was sent.
    pub fn sent_in_place(&mut self, piece: &[u8]) {
        self.connection.serializer.sent_in_place(piece);
    }

    /// Whether [`transmit`](Self::transmit) has something to say.
    #[must_use]
    pub fn wants_to_transmit(&self) -> bool {
        if !self.connection.serializer.is_idle() {
            return true;
        }
        match &self.phase {
            Phase::LoggingIn { request_due, .. } => *request_due,
            Phase::FullFeature { .. } => {
                !self.connection.control.is_empty()
                    || self.management.is_due()
                    || self.connection.unsolicited.is_some()
                    || self.has_text_to_send()
                    || !self.soliciting.is_empty()
                    || (self.window.is_open()
                        && !self.management.holds_commands()
                        && self.next_queued().is_some())
            }
            Phase::LoggingOut { requested, .. } => requested.is_none(),
            _ => false,
        }
    }

    /// Starts the next PDU, if any. Unsolicited data follows its command before any later
    /// command's (§4.2.5.2); commands go before solicited data, so that the target has work.
    fn begin_next(&mut self, now: Instant) -> bool {
        match &self.phase {
            Phase::LoggingIn { request_due: true, .. } => self.begin_login_request(),
            Phase::FullFeature { .. } => {
                self.begin_control()
                    || self.begin_management()
                    || self.begin_unsolicited()
                    || self.begin_text_request()
                    || self.begin_command(now)
                    || self.begin_solicited()
            }
            Phase::LoggingOut { requested: None, .. } => {
                self.begin_control() || self.begin_unsolicited() || self.begin_logout()
            }
            _ => false,
        }
    }

    pub(super) fn begin(&mut self, request: Request, data_segment_length: u32, source: Source) {
        self.connection.source = source;
        // Callers begin a PDU only when the one before is complete: the serializer is idle.
        let _ = self.connection.serializer.begin(request.emit(), data_segment_length);
    }

    fn begin_login_request(&mut self) -> bool {
        let Phase::LoggingIn { tag, request_due, .. } = &mut self.phase else { return false };
        *request_due = false;
        let tag = *tag;
        let part = self.login.request();
        let length = u32::try_from(part.text.len()).unwrap_or(0);
        let request = LoginRequest {
            transit: part.transit,
            text_continues: part.text_continues,
            current_stage: part.current_stage,
            next_stage: part.next_stage,
            version_max: 0,
            version_min: 0,
            isid: self.config.login.isid,
            tsih: 0,
            initiator_task_tag: tag,
            cid: CONNECTION_ID,
            cmd_sn: self.window.current(),
            exp_stat_sn: self.connection.exp_stat_sn,
            data_segment_length: length,
        };
        self.begin(Request::Login(request), length, Source::LoginText);
        true
    }

    fn begin_control(&mut self) -> bool {
        let Some(control) = self.connection.control.pop_front() else { return false };
        let (lun, initiator_task_tag, target_transfer_tag) = match control {
            Control::NopReply { lun, target_transfer_tag } => {
                (lun, RESERVED_TAG, target_transfer_tag)
            }
            Control::Ping { tag } => ([0; 8], tag, RESERVED_TAG),
        };
        let request = NopOut {
            immediate: true,
            lun,
            initiator_task_tag,
            target_transfer_tag,
            cmd_sn: self.window.current(),
            exp_stat_sn: self.connection.exp_stat_sn,
            data_segment_length: 0,
        };
        self.begin(Request::NopOut(request), 0, Source::Nothing);
        true
    }

    fn begin_management(&mut self) -> bool {
        let Some(request) = self.next_management() else { return false };
        self.begin(request, 0, Source::Nothing);
        true
    }

    fn begin_command(&mut self, now: Instant) -> bool {
        if self.management.holds_commands() {
            return false;
        }
        let Phase::FullFeature { negotiated } = &self.phase else { return false };
        let (immediate_data, initial_r2t) = (negotiated.immediate_data, negotiated.initial_r2t);
        let first_burst = negotiated.first_burst_length;
        let segment_limit = whole_words(negotiated.max_send_data_segment_length);
        let Some(index) = self.next_queued() else { return false };
        let Some(tag) = self.tasks.tag(index) else {
            drop_item(&mut self.queued, &index);
            return false;
        };
        let Some(cmd_sn) = self.window.take() else { return false };
        drop_item(&mut self.queued, &index);
        let Some(initiator_task_tag) = self.tasks.initiator_task_tag(index) else { return false };
        let Some(task) = self.tasks.at_mut(index) else { return false };
        task.state = TaskState::Sent;
        task.cmd_sn = cmd_sn;
        task.sent_at = now;
        task.issues = task.issues.saturating_add(1);
        let command = task.command;
        let (immediate, announced) = match command.transfer {
            Transfer::Write(length) => {
                let allowed = length.min(first_burst);
                let immediate = if immediate_data { allowed.min(segment_limit) } else { 0 };
                (immediate, if initial_r2t { immediate } else { allowed })
            }
            Transfer::None | Transfer::Read(_) => (0, 0),
        };
        // The first range of an issue: there is room.
        let _ = task.moved.add(0, announced);
        self.connection.ledger.sent(task, announced);
        if announced > immediate {
            self.connection.unsolicited =
                Some(Unsolicited { index, offset: immediate, end: announced, data_sn: 0 });
        }
        let request = ScsiCommand {
            immediate: false,
            last: announced == immediate,
            read: matches!(command.transfer, Transfer::Read(_)),
            write: matches!(command.transfer, Transfer::Write(_)),
            attribute: command.attribute,
            lun: command.lun,
            initiator_task_tag,
            expected_data_transfer_length: command.transfer.length(),
            cmd_sn,
            exp_stat_sn: self.connection.exp_stat_sn,
            cdb: command.cdb,
            data_segment_length: immediate,
        };
        self.begin(Request::ScsiCommand(request), immediate, Source::Task { tag, offset: 0 });
        true
    }

    fn begin_unsolicited(&mut self) -> bool {
        let Some(unsolicited) = self.connection.unsolicited else { return false };
        let Unsolicited { index, offset, end, data_sn } = unsolicited;
        // A task that ended early takes its announced data with it (§11.7.1 ends with F, and a
        // target that gave its status expects no more).
        if !self.is_sent(index) {
            self.connection.unsolicited = None;
            return false;
        }
        let next = self.begin_data_out(index, RESERVED_TAG, offset, end, data_sn);
        self.connection.unsolicited = (next < end).then(|| Unsolicited {
            offset: next,
            data_sn: data_sn.wrapping_add(1),
            ..unsolicited
        });
        true
    }

    /// Answers R2Ts in the order of their arrival, one task's sequence after another's.
    fn begin_solicited(&mut self) -> bool {
        while let Some(&index) = self.soliciting.front() {
            let burst = match self.tasks.at(index) {
                Some(task) if task.state == TaskState::Sent => task.bursts.front().copied(),
                _ => None,
            };
            let Some(burst) = burst else {
                let _ = self.soliciting.pop_front();
                self.tasks.stop_soliciting(index);
                continue;
            };
            let next = self.begin_data_out(
                index,
                burst.target_transfer_tag,
                burst.offset,
                burst.end,
                burst.data_sn,
            );
            if let Some(task) = self.tasks.at_mut(index) {
                if next >= burst.end {
                    let _ = task.bursts.pop_front();
                } else if let Some(front) = task.bursts.front_mut() {
                    front.offset = next;
                    front.data_sn = burst.data_sn.wrapping_add(1);
                }
            }
            return true;
        }
        false
    }

    /// Starts one Data-Out PDU of a sequence and returns the offset after it.
    fn begin_data_out(
        &mut self,
        index: u16,
        target_transfer_tag: u32,
        offset: u32,
        end: u32,
        data_sn: u32,
    ) -> u32 {
        let limit =
            self.negotiated().map_or(0, |terms| whole_words(terms.max_send_data_segment_length));
        let (Some(tag), Some(initiator_task_tag), Some(task)) =
            (self.tasks.tag(index), self.tasks.initiator_task_tag(index), self.tasks.at(index))
        else {
            return end;
        };
        let length = end.saturating_sub(offset).min(limit);
        let next = offset.saturating_add(length);
        let request = DataOutRequest {
            last: next >= end,
            lun: task.command.lun,
            initiator_task_tag,
            target_transfer_tag,
            exp_stat_sn: self.connection.exp_stat_sn,
            data_sn,
            buffer_offset: offset,
            data_segment_length: length,
        };
        self.begin(Request::DataOut(request), length, Source::Task { tag, offset });
        next
    }

    /// Whether a PDU with data of this task is cut in the middle.
    pub(super) fn is_sending_data_of(&self, index: u16) -> bool {
        !self.connection.serializer.is_idle()
            && match self.connection.source {
                Source::Task { tag, .. } => tag.index == index,
                Source::Nothing | Source::LoginText | Source::Text => false,
            }
    }

    fn is_sent(&self, index: u16) -> bool {
        self.tasks.at(index).is_some_and(|task| task.state == TaskState::Sent)
    }
}

/// Segments that are not the last of their sequence are whole four-byte words (§11.7.7).
fn whole_words(segment_limit: u32) -> u32 {
    segment_limit & !3
}

/// Copies the part of `text` at `position`; the caller never asks beyond its end.
fn copy_from(text: &[u8], position: u32, piece: &mut [u8]) {
    let part = usize::try_from(position)
        .ok()
        .and_then(|start| text.get(start..))
        .and_then(|rest| rest.get(..piece.len()));
    match part {
        Some(part) => piece.copy_from_slice(part),
        None => piece.fill(0),
    }
}
