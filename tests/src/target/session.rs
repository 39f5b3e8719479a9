//! The Full Feature Phase of one session: numbering, and who serves what.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use isboot::pdu::bhs::{BasicHeaderSegment, RESERVED_TAG, opcode};
use isboot::pdu::request::{LoginRequest, Request};
use isboot::pdu::response::{NopIn, Response, SequenceNumbers};
use isboot::pdu::serial::SerialNumber;

use super::frame::Pdu;
use super::link::Link;
use super::management::PendingManagement;
use super::rules::{End, broken, opcode_name};
use super::state::Shared;
use super::statistics::Parameters;
use super::task::Task;
use super::text_request::TextExchange;

/// A session in the Full Feature Phase, with its one connection.
#[derive(Debug)]
pub(super) struct FullFeature {
    pub(super) portal: SocketAddr,
    /// `None` in a Discovery session.
    pub(super) tsih: Option<u16>,
    pub(super) cid: u16,
    pub(super) parameters: Parameters,
    stat_sn: SerialNumber,
    exp_cmd_sn: SerialNumber,
    /// Highest MaxCmdSN ever sent: it never goes back.
    max_cmd_sn: SerialNumber,
    /// Highest ExpStatSN seen.
    exp_stat_sn: SerialNumber,
    /// Live tasks by Initiator Task Tag.
    pub(super) tasks: BTreeMap<u32, Task>,
    /// Tasks whose data is complete, waiting for execution, in order.
    pub(super) ready: VecDeque<u32>,
    /// Tasks that still owe unsolicited data, in order.
    pub(super) unsolicited: VecDeque<u32>,
    /// Aborted tasks whose data is still on its way.
    pub(super) ghosts: BTreeMap<u32, Task>,
    pub(super) pending_management: Option<PendingManagement>,
    /// Commands whose data is going out before their status: still in the window.
    pub(super) ending: u32,
    /// StatSN of command statuses that the initiator has not acknowledged.
    unacknowledged: VecDeque<SerialNumber>,
    /// Pings that were not answered yet, by Target Transfer Tag.
    pub(super) pings: Vec<u32>,
    pub(super) text: Option<TextExchange>,
    next_transfer_tag: u32,
}

impl FullFeature {
    pub(super) fn new(
        portal: SocketAddr,
        tsih: Option<u16>,
        parameters: Parameters,
        login: &LoginRequest,
        stat_sn: SerialNumber,
        window: u32,
    ) -> Self {
        Self {
            portal,
            tsih,
            cid: login.cid,
            parameters,
            stat_sn,
            exp_cmd_sn: login.cmd_sn,
            max_cmd_sn: login.cmd_sn.plus(window).previous(),
            exp_stat_sn: login.exp_stat_sn,
            tasks: BTreeMap::new(),
            ready: VecDeque::new(),
            unsolicited: VecDeque::new(),
            ghosts: BTreeMap::new(),
            pending_management: None,
            ending: 0,
            unacknowledged: VecDeque::new(),
            pings: Vec::new(),
            text: None,
            next_transfer_tag: 1,
        }
    }

    /// Serves one PDU.
    pub(super) fn serve(&mut self, link: &mut Link, pdu: Pdu) -> Result<(), End> {
        let request = self.account(link, &pdu.header)?;
        let bidirectional =
            matches!(&request, Request::ScsiCommand(command) if command.read && command.write);
        if !pdu.additional.is_empty() && !bidirectional {
            let name = opcode_name(pdu.header.opcode());
            return broken("RFC 7143 §11.2.2", format!("{name} with an additional header segment"));
        }
        if self.tsih.is_none() && !matches!(request, Request::Text(_) | Request::Logout(_)) {
            let name = opcode_name(pdu.header.opcode());
            return broken("RFC 7143 §4.3", format!("{name} in a Discovery session"));
        }
        let no_data = |name: &str| match pdu.data.is_empty() {
            true => Ok(()),
            false => broken("RFC 7143 §11", format!("{name} with a data segment")),
        };
        match request {
            Request::NopOut(request) => self.nop_out(link, &request, &pdu.data),
            Request::ScsiCommand(command) => self.scsi_command(link, &command, &pdu),
            Request::DataOut(request) => self.data_out(link, &request, &pdu.data),
            Request::TaskManagement(request) => {
                no_data("Task Management Function Request")?;
                self.task_management(link, &request)
            }
            Request::Text(request) => self.text_request(link, &request, &pdu.data),
            Request::Logout(request) => {
                no_data("Logout Request")?;
                self.logout(link, &request)
            }
            Request::Login(_) => broken("RFC 7143 §4.2.4", "a second login on one connection"),
            Request::Snack(_) => {
                broken("RFC 7143 §11.16", "SNACK Request at error recovery level 0")
            }
        }
    }

    /// Checks and takes over the counters of a request (§4.2.2).
    pub(super) fn account(
        &mut self,
        link: &Link,
        header: &BasicHeaderSegment,
    ) -> Result<Request, End> {
        let name = opcode_name(header.opcode());
        let request = match Request::parse(header) {
            Ok(request) => request,
            Err(error) => return broken("RFC 7143 §11", error.to_string()),
        };
        let (cmd_sn, exp_stat_sn) = match &request {
            Request::NopOut(request) => (Some(request.cmd_sn), request.exp_stat_sn),
            Request::ScsiCommand(request) => (Some(request.cmd_sn), request.exp_stat_sn),
            Request::TaskManagement(request) => (Some(request.cmd_sn), request.exp_stat_sn),
            Request::Login(request) => (Some(request.cmd_sn), request.exp_stat_sn),
            Request::Text(request) => (Some(request.cmd_sn), request.exp_stat_sn),
            Request::Logout(request) => (Some(request.cmd_sn), request.exp_stat_sn),
            Request::DataOut(request) => (None, request.exp_stat_sn),
            Request::Snack(request) => (None, request.exp_stat_sn),
        };
        if exp_stat_sn.is_after(self.stat_sn) {
            let what = format!(
                "{name} with ExpStatSN {exp_stat_sn}, but the next StatSN is {}",
                self.stat_sn
            );
            let tolerated = link.shared.policy.tolerate_early_acknowledgement
                && exp_stat_sn == self.stat_sn.next();
            if !tolerated {
                return broken("RFC 7143 §4.2.2.2", what);
            }
            link.remark("RFC 7143 §4.2.2.2", what);
        }
        if exp_stat_sn.is_before(self.exp_stat_sn) {
            let what =
                format!("{name} with ExpStatSN {exp_stat_sn} after {} before", self.exp_stat_sn);
            return broken("RFC 7143 §4.2.2.2", what);
        }
        self.exp_stat_sn = exp_stat_sn;
        while self.unacknowledged.front().is_some_and(|sn| sn.is_before(exp_stat_sn)) {
            self.unacknowledged.pop_front();
        }
        let Some(cmd_sn) = cmd_sn else {
            return match header.immediate() {
                true => broken("RFC 7143 §11.2.1.1", format!("{name} with I")),
                false => Ok(request),
            };
        };
        if cmd_sn != self.exp_cmd_sn {
            let what = format!("{name} with CmdSN {cmd_sn} where {} is due", self.exp_cmd_sn);
            return broken("RFC 7143 §4.2.2.1", what);
        }
        if !header.immediate() {
            if cmd_sn.is_after(self.max_cmd_sn) {
                let what = format!("{name} with CmdSN {cmd_sn} above MaxCmdSN {}", self.max_cmd_sn);
                return broken("RFC 7143 §4.2.2.1", what);
            }
            self.exp_cmd_sn = cmd_sn.next();
        }
        Ok(request)
    }

    /// Counters of the next response; `advance` when it takes a StatSN.
    pub(super) fn numbers(&mut self, shared: &Shared, advance: bool) -> SequenceNumbers {
        let limit = self.wanted_max_cmd_sn(shared);
        self.max_cmd_sn = self.max_cmd_sn.advanced_to(limit);
        let stat_sn = self.stat_sn;
        if advance {
            self.stat_sn = stat_sn.next();
        }
        SequenceNumbers { stat_sn, exp_cmd_sn: self.exp_cmd_sn, max_cmd_sn: self.max_cmd_sn }
    }

    /// Remembers the status of a command until the initiator acknowledges it.
    pub(super) fn status_sent(&mut self, numbers: SequenceNumbers) {
        self.unacknowledged.push_back(numbers.stat_sn);
    }

    /// Commands received and not known to be answered.
    pub(super) fn outstanding(&self) -> usize {
        self.tasks.len() + self.unacknowledged.len()
    }

    /// A tag for an R2T, a ping or a text exchange: never the reserved one.
    pub(super) fn transfer_tag(&mut self) -> u32 {
        let tag = self.next_transfer_tag;
        self.next_transfer_tag = match tag.wrapping_add(1) {
            RESERVED_TAG => 1,
            next => next,
        };
        tag
    }

    /// Does what became possible without a request: executes what waited, and tells of a window
    /// that opened.
    pub(super) fn poll(&mut self, link: &mut Link) {
        self.run_ready(link);
        let closed = self.max_cmd_sn.next() == self.exp_cmd_sn;
        if closed && self.wanted_max_cmd_sn(&link.shared).is_after(self.max_cmd_sn) {
            let numbers = self.numbers(&link.shared, false);
            self.nop_in(link, RESERVED_TAG, RESERVED_TAG, numbers, Vec::new());
        }
    }

    /// Asks for an answer (§11.19).
    pub(super) fn ping(&mut self, link: &mut Link, data: Vec<u8>) {
        let tag = self.transfer_tag();
        self.pings.push(tag);
        let numbers = self.numbers(&link.shared, false);
        self.nop_in(link, RESERVED_TAG, tag, numbers, data);
    }

    pub(super) fn nop_in(
        &mut self,
        link: &mut Link,
        initiator_task_tag: u32,
        target_transfer_tag: u32,
        numbers: SequenceNumbers,
        data: Vec<u8>,
    ) {
        let response = NopIn {
            lun: [0; 8],
            initiator_task_tag,
            target_transfer_tag,
            numbers,
            data_segment_length: 0,
        };
        link.respond(Response::NopIn(response), data);
    }

    /// Whether a new task may have this tag (§11.2.1.8).
    pub(super) fn check_new_tag(&self, code: u8, tag: u32) -> Result<(), End> {
        let name = opcode_name(code);
        if tag == RESERVED_TAG {
            return broken("RFC 7143 §11.2.1.8", format!("{name} with the reserved tag"));
        }
        let in_text = code != opcode::TEXT_REQUEST
            && self.text.as_ref().is_some_and(|text| text.initiator_task_tag == tag);
        let in_management =
            self.pending_management.as_ref().is_some_and(|pending| pending.tag() == tag);
        if self.tasks.contains_key(&tag) || in_text || in_management {
            return broken(
                "RFC 7143 §11.2.1.8",
                format!("{name} reuses the tag {tag:#x} of a live task"),
            );
        }
        Ok(())
    }

    /// The window less what is live in it.
    fn wanted_max_cmd_sn(&self, shared: &Shared) -> SerialNumber {
        let live = u32::try_from(self.tasks.len()).unwrap_or(u32::MAX) + self.ending;
        let room = shared.state().window.saturating_sub(live);
        self.exp_cmd_sn.plus(room).previous()
    }
}
