//! The engine by hand-made PDUs: no socket, no clock.

mod full_feature;
mod login;
mod script;
mod write;

use isboot::pdu::bhs::{BasicHeaderSegment, RESERVED_TAG};
use isboot::pdu::digest::Digests;
use isboot::pdu::request::{
    DataOut, LoginRequest, Request, ScsiCommand, Stage, TaskAttribute, TextRequest,
};
use isboot::pdu::response::{LoginResponse, Response};
use isboot::pdu::serial::SerialNumber;

use super::frame::{Decoder, Pdu};
use super::{Builder, Connection, Lun, Target};

const NAME: &str = "iqn.2001-04.com.example:disks";
const INITIATOR: &str = "iqn.2001-04.com.example:host";
const ISID: [u8; 6] = [0x40, 0, 0, 1, 0, 0];
const LOGIN_TAG: u32 = 0x10;

/// One hand on the initiator's end.
struct Hand {
    target: Target,
    connection: Connection,
    decoder: Decoder,
    digests: Digests,
    cmd_sn: SerialNumber,
    exp_stat_sn: SerialNumber,
}

impl Hand {
    fn of(target: &Target) -> Self {
        Self {
            target: target.clone(),
            connection: target.connect("192.0.2.1:3260".parse().unwrap()),
            decoder: Decoder::default(),
            digests: Digests::default(),
            cmd_sn: SerialNumber(0xffff_fffe),
            exp_stat_sn: SerialNumber(0),
        }
    }

    /// Builds the target and logs in with nothing but names and these keys.
    fn logged_in(builder: Builder, keys: &[&str]) -> Self {
        Self::logged_in_to(&builder.build(), keys)
    }

    fn logged_in_to(target: &Target, keys: &[&str]) -> Self {
        let mut hand = Self::of(target);
        let names = [format!("InitiatorName={INITIATOR}"), format!("TargetName={NAME}")];
        let all: Vec<&str> = names.iter().map(String::as_str).chain(keys.iter().copied()).collect();
        let response = hand.login(login_request(Stage::OperationalNegotiation), &all);
        assert_eq!((response.status_class, response.status_detail), (0, 0));
        assert!(response.transit && response.tsih != 0);
        let parameters = target.statistics().last_login.unwrap().parameters;
        hand.digests = Digests { header: parameters.header_digest, data: parameters.data_digest };
        hand
    }

    /// Sends a Login Request with these keys and returns the answer to it.
    #[track_caller]
    fn login(&mut self, request: LoginRequest, keys: &[&str]) -> LoginResponse {
        self.login_text(request, keys).0
    }

    #[track_caller]
    fn login_text(&mut self, request: LoginRequest, keys: &[&str]) -> (LoginResponse, String) {
        self.send(Request::Login(request), text(keys));
        let (response, data) = self.one();
        let Response::Login(response) = response else { panic!("{response:?}") };
        (response, String::from_utf8(data).unwrap())
    }

    fn send(&mut self, request: Request, data: Vec<u8>) {
        self.send_pdu(&Pdu::new(request.emit(), data));
    }

    fn send_pdu(&mut self, pdu: &Pdu) {
        let mut bytes = Vec::new();
        pdu.encode(self.digests, &mut bytes);
        // In two pieces, so that every PDU is cut somewhere.
        let (head, tail) = bytes.split_at(bytes.len() / 3);
        self.connection.receive(head);
        self.connection.receive(tail);
    }

    /// Everything that came, each status acknowledged from the next request on.
    fn all(&mut self) -> Vec<(Response, Vec<u8>)> {
        self.decoder.push(&self.connection.take_output());
        let mut responses = Vec::new();
        while let Some(framed) = self.decoder.next(self.digests, u32::MAX).unwrap() {
            let response = Response::parse(&framed.pdu.header).unwrap();
            self.take_note(&response);
            responses.push((response, framed.pdu.data));
        }
        responses
    }

    #[track_caller]
    fn one(&mut self) -> (Response, Vec<u8>) {
        let mut all = self.all();
        assert_eq!(all.len(), 1, "{all:?} {:?}", self.target.violations());
        all.remove(0)
    }

    fn take_note(&mut self, response: &Response) {
        let numbered = match response {
            Response::NopIn(nop) if nop.initiator_task_tag == RESERVED_TAG => None,
            Response::NopIn(nop) => Some(nop.numbers),
            Response::Scsi(response) => Some(response.numbers),
            Response::TaskManagement(response) => Some(response.numbers),
            Response::Login(response) => Some(response.numbers),
            Response::Text(response) => Some(response.numbers),
            Response::DataIn(data) => data.status.map(|_| data.numbers),
            Response::Logout(response) => Some(response.numbers),
            Response::AsyncMessage(message) => Some(message.numbers),
            Response::Reject(reject) => Some(reject.numbers),
            Response::ReadyToTransfer(_) => None,
        };
        if let Some(numbers) = numbered {
            self.exp_stat_sn = numbers.stat_sn.next();
        }
    }

    /// A command with the next CmdSN.
    fn command(&mut self, tag: u32, cdb: &[u8], read: u32, write: u32) -> ScsiCommand {
        let mut padded = [0; 16];
        padded[..cdb.len()].copy_from_slice(cdb);
        let cmd_sn = self.cmd_sn;
        self.cmd_sn = cmd_sn.next();
        ScsiCommand {
            immediate: false,
            last: true,
            read: read != 0,
            write: write != 0,
            attribute: TaskAttribute::Simple,
            lun: [0; 8],
            initiator_task_tag: tag,
            expected_data_transfer_length: read + write,
            cmd_sn,
            exp_stat_sn: self.exp_stat_sn,
            cdb: padded,
            data_segment_length: 0,
        }
    }

    fn read(&mut self, tag: u32, cdb: &[u8], length: u32) {
        let command = self.command(tag, cdb, length, 0);
        self.send(Request::ScsiCommand(command), Vec::new());
    }

    fn data_out(&self, tag: u32, transfer: u32, data_sn: u32, offset: u32, last: bool) -> DataOut {
        DataOut {
            last,
            lun: [0; 8],
            initiator_task_tag: tag,
            target_transfer_tag: transfer,
            exp_stat_sn: self.exp_stat_sn,
            data_sn,
            buffer_offset: offset,
            data_segment_length: 0,
        }
    }

    fn text_request(&mut self, tag: u32, transfer: u32) -> TextRequest {
        let cmd_sn = self.cmd_sn;
        self.cmd_sn = cmd_sn.next();
        TextRequest {
            immediate: false,
            last: true,
            text_continues: false,
            lun: [0; 8],
            initiator_task_tag: tag,
            target_transfer_tag: transfer,
            cmd_sn,
            exp_stat_sn: self.exp_stat_sn,
            data_segment_length: 0,
        }
    }

    /// The connection is closed, for a reason in this clause and in words like these.
    #[track_caller]
    fn assert_violation(&self, clause: &str, words: &str) {
        let violations = self.target.violations();
        let last = violations.last().unwrap_or_else(|| panic!("no violation"));
        assert!(last.clause.contains(clause) && last.what.contains(words), "{last}");
        assert!(self.connection.is_closed());
    }

    #[track_caller]
    fn assert_content(&self) {
        assert_eq!(self.target.violations(), []);
        assert!(!self.connection.is_closed());
    }
}

fn builder() -> Builder {
    Target::builder(NAME).lun(Lun::memory(1 << 20)).seed(7)
}

fn text(keys: &[&str]) -> Vec<u8> {
    keys.iter().flat_map(|key| [key.as_bytes(), &[0]].concat()).collect()
}

fn login_request(stage: Stage) -> LoginRequest {
    LoginRequest {
        transit: true,
        text_continues: false,
        current_stage: stage,
        next_stage: Stage::FullFeaturePhase,
        version_max: 0,
        version_min: 0,
        isid: ISID,
        tsih: 0,
        initiator_task_tag: LOGIN_TAG,
        cid: 3,
        cmd_sn: SerialNumber(0xffff_fffe),
        exp_stat_sn: SerialNumber(0),
        data_segment_length: 0,
    }
}

/// A header with some bytes changed.
fn altered(request: Request, changes: &[(usize, u8)]) -> Pdu {
    let mut bytes = *request.emit().as_bytes();
    for &(at, value) in changes {
        bytes[at] = value;
    }
    Pdu::new(BasicHeaderSegment::from_bytes(bytes), Vec::new())
}

fn read_10(block: u32, count: u16) -> Vec<u8> {
    let (b, c) = (block.to_be_bytes(), count.to_be_bytes());
    vec![0x28, 0, b[0], b[1], b[2], b[3], 0, c[0], c[1], 0]
}

fn write_10(block: u32, count: u16) -> Vec<u8> {
    let mut cdb = read_10(block, count);
    cdb[0] = 0x2a;
    cdb
}
