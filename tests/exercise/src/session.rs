//! A session at the mercy of any bytes: a script of calls in any order, with PDUs that are nearly
//! right and bytes that are nothing, held to what must be true whatever comes.

use isboot::login::{LoginConfig, Name};
use isboot::pdu::bhs::{BasicHeaderSegment, opcode};
use isboot::pdu::digest::{Crc32cFunction, Digests};
use isboot::pdu::framer::{Fragment, Framer};
use isboot::pdu::request::{DataOut as DataOutRequest, Request, ScsiCommand, Stage, TaskAttribute};
use isboot::pdu::response::{
    AsyncMessage, DataIn, LoginResponse, LogoutResponse, NopIn, ReadyToTransfer, Reject, Residual,
    Response, ScsiResponse, SequenceNumbers, TaskManagementResponse, TextResponse,
};
use isboot::pdu::serial::SerialNumber;
use isboot::pdu::serializer::Serializer;
use isboot::session::{
    Command, Completion, DataOut, Escalation, Event, LinkFailure, LinkWanted, Reset, SendTargets,
    Session, SessionConfig, SubmitError, TaskTag, Timeouts, Transfer,
};
use isboot::time::{Duration, Instant};

use crate::Script;

const TASKS: usize = 4;
const ISID: [u8; 6] = [0x00, 0x02, 0x3d, 0x00, 0x00, 0x01];

/// How often something happened: scripts that get nowhere prove nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// How often.
    pub logins: u64,
    /// How often.
    pub reads: u64,
    /// How often.
    pub writes: u64,
    /// How often.
    pub statuses: u64,
    /// How often.
    pub failures: u64,
    /// How often.
    pub losses: u64,
    /// How often.
    pub managed: u64,
}

/// The longest wait that a target can ask for, Time2Wait, and all of ours besides.
const LONGEST_WAIT: Duration = Duration::from_secs(65_535 + 300);
/// What all write data consists of.
const DATA: u8 = 0x5a;
/// More than is ever transmitted at a time.
const ROOM: usize = 1 << 14;
const INITIAL_CMD_SN: SerialNumber = SerialNumber(u32::MAX - 3);

/// Runs a script; for those who do not count.
pub(crate) fn run(script: &[u8]) {
    session(script);
}

/// Runs a script.
pub fn session(script: &[u8]) -> Tally {
    let mut world = World::new();
    let mut script = Script(script);
    while let Some(operation) = script.byte() {
        world.step(operation, &mut script);
        world.check();
    }
    world.finish();
    world.tally
}

pub(crate) struct World {
    session: Box<Session<TASKS>>,
    now: Instant,
    /// Every task ever submitted: what it moves, and whether it is still to be completed.
    tasks: Tasks,
    /// Parses what the session sends.
    framer: Framer,
    /// Commands that the session sent over this connection, as a target knows them.
    sent: Vec<Sent>,
    /// The last requests' tags, and those that the next response could answer.
    tags: Vec<u32>,
    login_tag: u32,
    logins_due: u32,
    answered: u32,
    next_cmd_sn: Option<SerialNumber>,
    /// What a target may have allowed and asked for; unknown after bytes of any kind.
    max_cmd_sn: SerialNumber,
    granted: Vec<ReadyToTransfer>,
    anything_said: bool,
    first_burst: u32,
    /// Size of the pieces in which the next PDU comes; 0 is whole.
    cut: usize,
    /// The latest time there was: a clock may step back.
    latest: Instant,
    out: Vec<u8>,
    stat_sn: u32,
    digests: Digests,
    logged_out: bool,
    ended: bool,
    /// How often SendTargets was asked and no end of the answer was told.
    asked: u32,
    tally: Tally,
}

/// A command as a target knows it: what moved, and how many Data-In or R2Ts that took.
struct Sent {
    command: ScsiCommand,
    moved: u32,
    sn: u32,
}

/// Every task ever submitted: what it moves, and whether it is still to be completed.
#[derive(Default)]
struct Tasks {
    all: Vec<(TaskTag, Transfer, bool)>,
    live: usize,
}

impl Tasks {
    fn insert(&mut self, tag: TaskTag, transfer: Transfer) {
        assert_eq!(self.get(tag), None, "a tag names one task");
        self.all.push((tag, transfer, true));
        self.live += 1;
    }

    fn get(&self, tag: TaskTag) -> Option<(Transfer, bool)> {
        let (_, transfer, live) = self.all.iter().rfind(|(known, ..)| *known == tag)?;
        Some((*transfer, *live))
    }

    fn complete(&mut self, tag: TaskTag) {
        let task = self.all.iter_mut().rfind(|(known, ..)| *known == tag);
        let (.., live) = task.expect("a task that was submitted");
        assert!(std::mem::take(live), "a task is completed once");
        self.live -= 1;
    }
}

/// Write data that no task may ask for beyond its end.
struct Data<'w>(&'w Tasks);

impl DataOut for Data<'_> {
    fn fill(&mut self, task: TaskTag, offset: u32, out: &mut [u8]) {
        self.check(task, offset, out.len());
        out.fill(DATA);
    }

    fn lend(&self, task: TaskTag, offset: u32, length: usize) -> Option<&[u8]> {
        self.check(task, offset, length);
        [DATA; ROOM].get(..length)
    }
}

impl Data<'_> {
    fn check(&self, task: TaskTag, offset: u32, length: usize) {
        let Some((Transfer::Write(whole), _)) = self.0.get(task) else {
            panic!("write data of a task that does not write");
        };
        let end = u64::from(offset) + length as u64;
        assert!(end <= u64::from(whole), "write data beyond the end of the command");
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let name = |name: &str| Name::new(name).expect("a name");
        let mut login = LoginConfig::new(
            name("iqn.2026-11.org.example:host"),
            name("iqn.2026-11.org.example:t"),
            ISID,
        );
        login.offer.default_time2wait = 0;
        login.offer.initial_r2t = false;
        login.offer.max_outstanding_r2t = 4;
        let config = SessionConfig {
            portal: ([192, 0, 2, 1], 3260).into(),
            login,
            timeouts: Timeouts::default(),
            escalation: Escalation::default(),
            initial_cmd_sn: INITIAL_CMD_SN,
            crc32c: Crc32cFunction::default(),
        };
        Self {
            session: Box::new(Session::new(config, Instant::ZERO)),
            now: Instant::ZERO,
            tasks: Tasks::default(),
            framer: Framer::new(Crc32cFunction::default(), u32::MAX),
            sent: Vec::new(),
            tags: vec![0],
            login_tag: 0,
            logins_due: 0,
            answered: 0,
            next_cmd_sn: None,
            max_cmd_sn: INITIAL_CMD_SN.previous(),
            granted: Vec::new(),
            anything_said: false,
            first_burst: 0,
            cut: 0,
            latest: Instant::ZERO,
            out: vec![0; ROOM],
            stat_sn: 1,
            digests: Digests::default(),
            logged_out: false,
            ended: false,
            asked: 0,
            tally: Tally::default(),
        }
    }

    fn step(&mut self, operation: u8, script: &mut Script<'_>) {
        match operation % 16 {
            0 => self.receive_anything(script.take(usize::from(operation >> 4) * 8 + 1)),
            1 | 2 => {
                let room = script.byte().map_or(1, |byte| usize::from(byte) * 4 + 1);
                self.transmit(room);
            }
            3 => self.transmit(ROOM),
            4 => self.submit(script),
            5 => self.link_up(),
            6 => self.session.link_down(self.now, LinkFailure::Reset),
            7 if operation == 7 => {
                self.logged_out = true;
                self.session.logout(self.now);
            }
            8 if operation == 8 => {
                self.asked +=
                    u32::from(self.session.discover(self.now, SendTargets::Session).is_ok());
            }
            7 | 8 => self.pass(script),
            9 if operation >> 4 > 11 => self.manage(operation >> 4),
            9 => self.poll(),
            10 => self.answer_login(operation >> 4),
            11 => {
                self.link_up();
                for _ in 0..3 {
                    self.transmit(ROOM);
                    self.answer_login(operation >> 4);
                }
            }
            12 | 13 => self.right(operation, script),
            _ => self.nearly_right(operation, script),
        }
    }

    /// Whatever the session waits for, it is logged in after this, unless it has ended.
    pub(crate) fn log_in(&mut self, flavour: u8) {
        for _ in 0..4 {
            if matches!(self.session.link(), LinkWanted::Connect(_)) {
                break;
            }
            self.session.link_down(self.now, LinkFailure::Reset);
            self.now = self.session.poll_at().map_or(self.now, |at| at.max(self.now));
            self.poll();
        }
        self.link_up();
        for _ in 0..2 {
            self.transmit(ROOM);
            self.answer_login(flavour);
        }
    }

    pub(crate) fn is_logged_in(&self) -> bool {
        self.session.negotiated().is_some()
    }

    /// As [`step`](Self::step), with most steps those of a target in full feature phase.
    pub(crate) fn full_feature_step(&mut self, operation: u8, script: &mut Script<'_>) {
        match operation % 16 {
            0 => {
                let room = script.byte().map_or(1, |byte| usize::from(byte) + 1);
                self.transmit(room);
            }
            1 => self.transmit(ROOM),
            2 => self.submit(script),
            3 => self.pass(script),
            4..=7 => self.right(operation, script),
            8..=10 => self.nearly_right(operation, script),
            11 | 12 => self.any_response(operation, script),
            13 => self.receive_anything(script.take(usize::from(operation >> 4) * 4 + 1)),
            14 => self.cut = usize::from(script.byte().unwrap_or(1) % 64),
            _ if !self.is_logged_in() => self.log_in(operation >> 4),
            _ if operation == 0xff => {
                self.logged_out = true;
                self.session.logout(self.now);
            }
            _ if operation == 0xdf => {
                self.asked +=
                    u32::from(self.session.discover(self.now, SendTargets::Session).is_ok());
            }
            _ if operation & 0x80 == 0 => self.manage(12 + (operation >> 4) % 4),
            _ if operation == 0xef => self.session.link_down(self.now, LinkFailure::Reset),
            _ => self.poll(),
        }
    }

    /// A response of any kind with any numbers that are near the right ones.
    fn any_response(&mut self, operation: u8, script: &mut Script<'_>) {
        let mut bytes = [0; 48];
        bytes[0] = script.byte().unwrap_or(0x21);
        bytes[1] = script.byte().unwrap_or(0x80);
        let numbers = self.numbers(operation & 0x10 != 0);
        let tag = self.tags[usize::from(operation >> 5) % self.tags.len()];
        bytes[16..20].copy_from_slice(&tag.to_be_bytes());
        bytes[20..24].fill(0xff);
        bytes[24..28].copy_from_slice(&numbers.stat_sn.0.to_be_bytes());
        bytes[28..32].copy_from_slice(&numbers.exp_cmd_sn.0.to_be_bytes());
        bytes[32..36].copy_from_slice(&numbers.max_cmd_sn.0.to_be_bytes());
        for _ in 0..script.byte().unwrap_or(0) % 4 {
            let at = usize::from(script.byte().unwrap_or(0) % 48);
            let value = script.byte().unwrap_or(0);
            if !(4..8).contains(&at) {
                bytes[at] = bytes[at].wrapping_add(value);
            }
        }
        let length = usize::from(script.byte().unwrap_or(0) % 32);
        self.deliver(&BasicHeaderSegment::from_bytes(bytes), script.take(length));
    }

    fn link_up(&mut self) {
        let wanted = matches!(self.session.link(), LinkWanted::Connect(_));
        self.session.link_up(self.now, None);
        if wanted {
            self.framer = Framer::new(Crc32cFunction::default(), u32::MAX);
            (self.digests, self.stat_sn) = (Digests::default(), 1);
            self.sent.clear();
            (self.logins_due, self.answered, self.next_cmd_sn) = (0, 0, None);
            (self.max_cmd_sn, self.anything_said) = (INITIAL_CMD_SN.previous(), false);
            self.granted.clear();
        }
    }

    pub(crate) fn submit(&mut self, script: &mut Script<'_>) {
        let (kind, size) = (script.byte().unwrap_or(0), script.byte().unwrap_or(0));
        let length = u32::from(size) * 37;
        let transfer = match kind % 3 {
            0 => Transfer::None,
            1 => Transfer::Read(length),
            _ => Transfer::Write(length),
        };
        let lun = [0, kind & 1, 0, 0, 0, 0, 0, 0];
        let command = Command {
            lun,
            cdb: [0; 16],
            transfer,
            attribute: TaskAttribute::Simple,
            idempotent: true,
        };
        let free = self.session.outstanding() < TASKS;
        match self.session.submit(self.now, command) {
            Ok(tag) => {
                assert!(free, "no more tasks than there is room for");
                self.tasks.insert(tag, transfer);
            }
            Err(error) => assert!(!free || !matches!(error, SubmitError::Busy)),
        }
    }

    /// The host wants something ended.
    fn manage(&mut self, choice: u8) {
        let taken = match choice {
            12 | 13 => {
                // Also of tasks that are long gone.
                let place = if choice == 12 { 0 } else { self.tasks.all.len().saturating_sub(1) };
                if let Some(&(tag, ..)) = self.tasks.all.get(place) {
                    self.session.abort(tag);
                }
                return;
            }
            14 => self.session.reset(Reset::LogicalUnit([0; 8])),
            _ => self.session.reset(Reset::TargetWarm),
        };
        assert!(
            taken != Err(SubmitError::Ended) || self.logged_out || self.session.ended().is_some()
        );
    }

    fn pass(&mut self, script: &mut Script<'_>) {
        match script.byte() {
            Some(byte @ 0..200) => {
                self.now = self.now.after(Duration::from_millis(1 << (byte % 18)));
            }
            // A clock that steps back breaks nothing.
            Some(200..210) => self.now = Instant::from_micros(self.now.as_micros() / 2),
            _ => self.now = self.session.poll_at().map_or(self.now, |at| at.max(self.now)),
        }
        self.poll();
    }

    fn poll(&mut self) {
        for _ in 0..100 {
            let Some(event) = self.session.poll(self.now) else {
                let next = self.session.poll_at();
                assert!(next.is_none_or(|at| at > self.now), "time that is over comes again");
                return;
            };
            self.on_event(event);
        }
        panic!("poll has news for ever");
    }

    fn on_event(&mut self, event: Event<'_>) {
        match event {
            Event::LoggedIn => {
                self.tally.logins += 1;
                let terms = self.session.negotiated().expect("terms with the login");
                let crc32c = |digest| digest == isboot::login::Digest::Crc32c;
                self.digests = Digests {
                    header: crc32c(terms.header_digest),
                    data: crc32c(terms.data_digest),
                };
                self.framer.set_digests(self.digests);
                self.first_burst = terms.first_burst_length;
            }
            Event::DataIn { task, offset, bytes } => {
                let Some((Transfer::Read(length), true)) = self.tasks.get(task) else {
                    panic!("data of no task that reads");
                };
                self.tally.reads += 1;
                let end = u64::from(offset) + bytes.len() as u64;
                assert!(!bytes.is_empty() && end <= u64::from(length), "data out of bounds");
            }
            Event::Completed { task, completion } => {
                match completion {
                    Completion::Status { .. } => self.tally.statuses += 1,
                    Completion::Failed(_) => self.tally.failures += 1,
                }
                self.tasks.complete(task);
            }
            Event::AsyncSense { .. } => assert!(!self.session.sense().is_empty()),
            Event::TargetFound => assert!(self.session.found().is_some()),
            Event::DiscoveryEnded(_) => {
                self.asked = self.asked.checked_sub(1).expect("an answer to one question");
            }
            Event::Lost { .. } => self.tally.losses += 1,
            Event::Managed { .. } => self.tally.managed += 1,
            Event::Ended(_) => assert!(!std::mem::replace(&mut self.ended, true), "one end"),
        }
    }

    /// Bytes that may be PDUs: what they allow and ask for is not known here.
    fn receive_anything(&mut self, bytes: &[u8]) {
        self.anything_said = true;
        self.receive(bytes);
    }

    fn receive(&mut self, bytes: &[u8]) {
        let mut input = bytes;
        // The borrow of the events ends before the world is looked at.
        loop {
            let before = input.len();
            let Some(event) = self.session.receive(self.now, &mut input) else { break };
            assert!(input.len() <= before);
            self.on_event(event);
        }
        assert!(input.is_empty(), "all input is taken");
    }

    pub(crate) fn transmit(&mut self, room: usize) {
        let mut out = std::mem::take(&mut self.out);
        let count = self.transmit_into(&mut out[..room]);
        let mut sent = &out[..count];
        while let Ok(Some(fragment)) = self.framer.next(&mut sent) {
            match fragment {
                Fragment::Header(header) => self.on_request(&header),
                Fragment::End { data_digest_ok } => assert!(data_digest_ok),
                Fragment::Data(_) => {}
            }
        }
        assert!(sent.is_empty(), "what is sent frames");
        self.out = out;
    }

    fn transmit_into(&mut self, out: &mut [u8]) -> usize {
        let room = out.len();
        let wants = self.session.wants_to_transmit();
        let count = if room.is_multiple_of(2) {
            self.session.transmit(self.now, out, &mut Data(&self.tasks))
        } else {
            self.transmit_in_place(out)
        };
        assert!(count <= room);
        assert!(wants || count == 0, "something to send that was not announced");
        assert!(count == room || !self.session.wants_to_transmit(), "room left and more to say");
        count
    }

    /// As a stream does that sends long runs of data from where they lie.
    fn transmit_in_place(&mut self, out: &mut [u8]) -> usize {
        const LONG: u32 = 100;
        let mut data = Data(&self.tasks);
        let mut rest = out;
        let room = rest.len();
        while !rest.is_empty() && self.session.wants_to_transmit() {
            let mut long = LONG;
            if let Some(bytes) = self.session.in_place(&data) {
                if bytes.len() >= 8 {
                    let count = bytes.len().min(rest.len());
                    let (sent, place) = (&bytes[..count], rest.split_off_mut(..count));
                    place.expect("as much room").copy_from_slice(sent);
                    self.session.sent_in_place(sent);
                    continue;
                }
                long = u32::MAX;
            }
            let count = self.session.transmit_until(self.now, rest, &mut data, long);
            if count == 0 {
                break;
            }
            let _ = rest.split_off_mut(..count);
        }
        room - rest.len()
    }

    fn on_request(&mut self, header: &BasicHeaderSegment) {
        let request = Request::parse(header).expect("requests decode");
        self.tags.push(header.initiator_task_tag());
        if self.tags.len() > 8 {
            self.tags.remove(0);
        }
        match request {
            Request::Login(request) => {
                self.login_tag = request.initiator_task_tag;
                self.logins_due += 1;
            }
            Request::DataOut(data) => {
                self.tally.writes += 1;
                self.check_data_out(&data);
            }
            Request::Text(request) => self.count(request.cmd_sn),
            Request::ScsiCommand(command) => {
                self.count(command.cmd_sn);
                self.sent.push(Sent { command, moved: command.data_segment_length, sn: 0 });
            }
            _ => {}
        }
    }

    fn count(&mut self, cmd_sn: SerialNumber) {
        let next = self.next_cmd_sn.unwrap_or(INITIAL_CMD_SN);
        assert_eq!(cmd_sn, next, "CmdSN counts up by one");
        self.next_cmd_sn = Some(next.next());
        let allowed = next.is_at_or_before(self.max_cmd_sn);
        assert!(allowed || self.anything_said, "CmdSN stays within the window");
    }

    /// Data goes out as a burst that was asked for, or as what may come unasked.
    fn check_data_out(&self, data: &DataOutRequest) {
        let DataOutRequest { buffer_offset: offset, data_segment_length: length, .. } = *data;
        let end = offset + length;
        let unasked = data.target_transfer_tag == u32::MAX && end <= self.first_burst;
        let asked = self.granted.iter().any(|r2t| {
            r2t.initiator_task_tag == data.initiator_task_tag
                && r2t.target_transfer_tag == data.target_transfer_tag
                && r2t.buffer_offset <= offset
                && end <= r2t.buffer_offset.saturating_add(r2t.desired_data_transfer_length)
        });
        assert!(unasked || asked || self.anything_said, "data that nobody asked for");
    }

    /// A good answer to the login's present request.
    fn answer_login(&mut self, flavour: u8) {
        if self.answered >= self.logins_due {
            return;
        }
        self.answered += 1;
        let first = self.answered == 1;
        let digest = if flavour & 1 == 0 { "None" } else { "CRC32C" };
        let yes_no = |bit: u8| if flavour & bit == 0 { "No" } else { "Yes" };
        let text = if first {
            "AuthMethod=None\0TargetPortalGroupTag=1\0".to_owned()
        } else {
            format!(
                "HeaderDigest={digest}\0DataDigest={digest}\0InitialR2T={}\0ImmediateData={}\0\
                 MaxRecvDataSegmentLength=512\0MaxBurstLength=2048\0FirstBurstLength=1024\0\
                 MaxOutstandingR2T=4\0DefaultTime2Wait=0\0DefaultTime2Retain=0\0\
                 MaxConnections=1\0DataPDUInOrder=Yes\0DataSequenceInOrder=Yes\0\
                 ErrorRecoveryLevel=0\0",
                yes_no(2),
                yes_no(4)
            )
        };
        let response = LoginResponse {
            transit: true,
            text_continues: false,
            current_stage: if first {
                Stage::SecurityNegotiation
            } else {
                Stage::OperationalNegotiation
            },
            next_stage: if first { Stage::OperationalNegotiation } else { Stage::FullFeaturePhase },
            version_max: 0,
            version_active: 0,
            isid: ISID,
            tsih: u16::from(!first),
            initiator_task_tag: self.login_tag,
            numbers: self.numbers(true),
            status_class: 0,
            status_detail: 0,
            data_segment_length: 0,
        };
        self.deliver(&Response::Login(response).emit(), text.as_bytes());
    }

    fn numbers(&mut self, advance: bool) -> SequenceNumbers {
        let stat_sn = SerialNumber(self.stat_sn);
        self.stat_sn = self.stat_sn.wrapping_add(u32::from(advance));
        let exp_cmd_sn = self.next_cmd_sn.unwrap_or(INITIAL_CMD_SN);
        SequenceNumbers { stat_sn, exp_cmd_sn, max_cmd_sn: exp_cmd_sn.plus(2) }
    }

    /// What a good target could answer to one of the commands.
    fn right(&mut self, operation: u8, script: &mut Script<'_>) {
        let choice = usize::from(operation >> 4);
        if self.sent.is_empty() {
            return;
        }
        let place = choice % self.sent.len();
        let Sent { command, moved, sn } = &mut self.sent[place];
        let (tag, lun) = (command.initiator_task_tag, command.lun);
        let left = command.expected_data_transfer_length.saturating_sub(*moved);
        let (offset, number) = (*moved, *sn);
        let (read, write) = (command.read, command.write);
        let length = left.min(u32::from(script.byte().unwrap_or(255)) + 1);
        if (read || write) && left > 0 {
            *moved += length;
            *sn += 1;
        }
        if read && left > 0 {
            let status = (length == left && choice % 2 == 0).then_some(0);
            if status.is_some() {
                self.sent.remove(place);
            }
            let data = DataIn {
                last: true,
                acknowledge: false,
                status,
                residual: Residual::None,
                lun: [0; 8],
                initiator_task_tag: tag,
                target_transfer_tag: u32::MAX,
                numbers: self.numbers(status.is_some()),
                data_sn: number,
                buffer_offset: offset,
                data_segment_length: 0,
            };
            self.deliver(&Response::DataIn(data).emit(), &vec![1; length as usize]);
        } else if write && left > 0 {
            let r2t = ReadyToTransfer {
                lun,
                initiator_task_tag: tag,
                target_transfer_tag: 7,
                numbers: self.numbers(false),
                r2t_sn: number,
                buffer_offset: offset,
                desired_data_transfer_length: length,
            };
            self.deliver(&Response::ReadyToTransfer(r2t).emit(), &[]);
        } else {
            self.sent.remove(place);
            let response = ScsiResponse {
                response: 0,
                status: if choice == 15 { 2 } else { 0 },
                initiator_task_tag: tag,
                snack_tag: 0,
                numbers: self.numbers(true),
                exp_data_sn: number,
                residual: Residual::None,
                bidirectional_read_residual: Residual::None,
                data_segment_length: 0,
            };
            self.deliver(&Response::Scsi(response).emit(), &[]);
        }
    }

    /// A response of the script's making with a likely tag and the right numbers.
    fn nearly_right(&mut self, operation: u8, script: &mut Script<'_>) {
        const CODES: [u8; 10] = [
            opcode::SCSI_RESPONSE,
            opcode::DATA_IN,
            opcode::READY_TO_TRANSFER,
            opcode::NOP_IN,
            opcode::LOGOUT_RESPONSE,
            opcode::ASYNC_MESSAGE,
            opcode::REJECT,
            opcode::LOGIN_RESPONSE,
            opcode::TASK_MANAGEMENT_RESPONSE,
            opcode::TEXT_RESPONSE,
        ];
        let choice = script.byte().unwrap_or(0);
        let code = CODES[usize::from(choice % 16).min(12) % 10];
        let flags = script.byte().unwrap_or(0x80);
        let mut bytes = [0; 48];
        bytes[0] = code;
        bytes[1] = flags;
        // A few fields may differ from zero.
        for _ in 0..operation >> 6 {
            let (at, value) = (script.byte().unwrap_or(0), script.byte().unwrap_or(0));
            if !(4..8).contains(&(at % 48)) {
                bytes[usize::from(at % 48)] = value;
            }
        }
        let tag = self.tags[usize::from(choice >> 4) % self.tags.len()];
        bytes[16..20].copy_from_slice(&tag.to_be_bytes());
        let with_status = match code {
            opcode::DATA_IN => flags & 1 != 0,
            opcode::READY_TO_TRANSFER => false,
            opcode::NOP_IN => tag != u32::MAX,
            _ => true,
        };
        let numbers = self.numbers(with_status);
        bytes[24..28].copy_from_slice(&numbers.stat_sn.0.to_be_bytes());
        bytes[28..32].copy_from_slice(&numbers.exp_cmd_sn.0.to_be_bytes());
        bytes[32..36].copy_from_slice(&numbers.max_cmd_sn.0.to_be_bytes());
        if code == opcode::READY_TO_TRANSFER && bytes[44..48] == [0; 4] {
            bytes[46] = 1;
        }
        let data = script.take(usize::from(operation >> 4 & 3) * 37);
        self.deliver(&BasicHeaderSegment::from_bytes(bytes), data);
    }

    fn deliver(&mut self, header: &BasicHeaderSegment, data: &[u8]) {
        let mut serializer = Serializer::new(Crc32cFunction::default());
        serializer.set_digests(self.digests);
        assert!(serializer.begin(*header, data.len() as u32));
        let mut bytes = vec![0; data.len() + 64];
        let count = serializer.write(&mut bytes, |offset, piece| {
            let start = offset as usize;
            piece.copy_from_slice(&data[start..start + piece.len()]);
        });
        match Response::parse(header) {
            Ok(Response::ReadyToTransfer(r2t)) => {
                self.learn(r2t.numbers);
                self.granted.push(r2t);
            }
            Ok(
                Response::Login(LoginResponse { numbers, .. })
                | Response::DataIn(DataIn { numbers, .. })
                | Response::Scsi(ScsiResponse { numbers, .. })
                | Response::NopIn(NopIn { numbers, .. })
                | Response::AsyncMessage(AsyncMessage { numbers, .. })
                | Response::Text(TextResponse { numbers, .. })
                | Response::Reject(Reject { numbers, .. })
                | Response::Logout(LogoutResponse { numbers, .. })
                | Response::TaskManagement(TaskManagementResponse { numbers, .. }),
            ) => self.learn(numbers),
            _ => {}
        }
        match std::mem::take(&mut self.cut) {
            0 => self.receive(&bytes[..count]),
            size => bytes[..count].chunks(size).for_each(|piece| self.receive(piece)),
        }
    }

    /// The window as a response allows it at most (RFC 7143 §4.2.2.1).
    fn learn(&mut self, numbers: SequenceNumbers) {
        if !numbers.max_cmd_sn.next().is_before(numbers.exp_cmd_sn) {
            self.max_cmd_sn = self.max_cmd_sn.advanced_to(numbers.max_cmd_sn);
        }
    }

    /// What holds after every step.
    pub(crate) fn check(&mut self) {
        let live = self.tasks.live;
        self.latest = self.latest.max(self.now);
        assert_eq!(self.session.outstanding(), live, "every task is accounted for");
        match self.session.poll_at() {
            None => {
                assert!(self.session.ended().is_some() && live == 0, "a wait without a bound");
            }
            Some(at) => assert!(at <= self.latest.after(LONGEST_WAIT), "a wait without a bound"),
        }
    }

    /// Whatever happened, the end comes, and every task with it.
    pub(crate) fn finish(&mut self) {
        self.session.logout(self.now);
        for _ in 0..1000 {
            self.poll();
            let Some(at) = self.session.poll_at() else { break };
            self.now = self.now.max(at);
        }
        assert!(self.session.ended().is_some(), "the end comes");
        assert!(self.ended, "and is told");
        assert!(!self.session.wants_to_transmit());
        assert_eq!(self.session.link(), LinkWanted::Close);
        self.check();
        assert_eq!(self.session.outstanding(), 0);
    }
}
