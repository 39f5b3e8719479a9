//! A session at the mercy of any bytes: a script of calls in any order, with PDUs that are nearly
//! right and bytes that are nothing, held to what must be true whatever comes.

use std::collections::HashMap;

use isboot::login::{LoginConfig, Name};
use isboot::pdu::bhs::{BasicHeaderSegment, opcode};
use isboot::pdu::digest::{Crc32cFunction, Digests};
use isboot::pdu::framer::{Fragment, Framer};
use isboot::pdu::request::{Request, ScsiCommand, Stage, TaskAttribute};
use isboot::pdu::response::{
    DataIn, LoginResponse, ReadyToTransfer, Residual, Response, ScsiResponse, SequenceNumbers,
};
use isboot::pdu::serial::SerialNumber;
use isboot::pdu::serializer::Serializer;
use isboot::session::{
    Command, Completion, DataOut, Escalation, Event, LinkFailure, LinkWanted, Reset, SendTargets,
    Session, SessionConfig, SubmitError, TaskTag, Timeouts, Transfer,
};
use isboot::time::{Duration, Instant};

const TASKS: usize = 4;
const ISID: [u8; 6] = [0x00, 0x02, 0x3d, 0x00, 0x00, 0x01];

/// How often something happened: scripts that get nowhere prove nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) logins: u64,
    pub(crate) reads: u64,
    pub(crate) writes: u64,
    pub(crate) statuses: u64,
    pub(crate) failures: u64,
    pub(crate) losses: u64,
    pub(crate) managed: u64,
}

/// Runs a script.
pub(crate) fn session(script: &[u8]) -> Tally {
    let mut world = World::new();
    let mut script = Script(script);
    while let Some(operation) = script.byte() {
        world.step(operation, &mut script);
        world.check();
    }
    world.finish();
    world.tally
}

/// Bytes that say what to do.
struct Script<'s>(&'s [u8]);

impl<'s> Script<'s> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn take(&mut self, count: usize) -> &'s [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

struct World {
    session: Box<Session<TASKS>>,
    now: Instant,
    /// Every task ever submitted: what it moves, and whether it is still to be completed.
    tasks: HashMap<TaskTag, (Transfer, bool)>,
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
    stat_sn: u32,
    digests: Digests,
    logged_out: bool,
    ended: bool,
    /// SendTargets was asked, and no end of the answer was told.
    asked: bool,
    tally: Tally,
}

/// A command as a target knows it: what moved, and how many Data-In or R2Ts that took.
struct Sent {
    command: ScsiCommand,
    moved: u32,
    sn: u32,
}

/// Write data that no task may ask for beyond its end.
struct Data<'w>(&'w HashMap<TaskTag, (Transfer, bool)>);

impl DataOut for Data<'_> {
    fn fill(&mut self, task: TaskTag, offset: u32, out: &mut [u8]) {
        let Some((Transfer::Write(length), _)) = self.0.get(&task) else {
            panic!("write data of a task that does not write");
        };
        let end = u64::from(offset) + out.len() as u64;
        assert!(end <= u64::from(*length), "write data beyond the end of the command");
        out.fill(0x5a);
    }
}

impl World {
    fn new() -> Self {
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
            initial_cmd_sn: SerialNumber(u32::MAX - 3),
            crc32c: Crc32cFunction::default(),
        };
        Self {
            session: Box::new(Session::new(config, Instant::ZERO)),
            now: Instant::ZERO,
            tasks: HashMap::new(),
            framer: Framer::new(Crc32cFunction::default(), u32::MAX),
            sent: Vec::new(),
            tags: vec![0],
            login_tag: 0,
            logins_due: 0,
            answered: 0,
            next_cmd_sn: None,
            stat_sn: 1,
            digests: Digests::default(),
            logged_out: false,
            ended: false,
            asked: false,
            tally: Tally::default(),
        }
    }

    fn step(&mut self, operation: u8, script: &mut Script<'_>) {
        match operation % 16 {
            0 => self.receive(script.take(usize::from(operation >> 4) * 8 + 1)),
            1 | 2 => {
                let room = script.byte().map_or(1, |byte| usize::from(byte) * 4 + 1);
                self.transmit(room);
            }
            3 => self.transmit(1 << 16),
            4 => self.submit(script),
            5 => self.link_up(),
            6 => self.session.link_down(self.now, LinkFailure::Reset),
            7 if operation == 7 => {
                self.logged_out = true;
                self.session.logout(self.now);
            }
            8 if operation == 8 => {
                self.asked |= self.session.discover(self.now, SendTargets::Session).is_ok();
            }
            7 | 8 => self.pass(script),
            9 if operation >> 4 > 11 => self.manage(operation >> 4),
            9 => self.poll(),
            10 => self.answer_login(operation >> 4),
            11 => {
                self.link_up();
                for _ in 0..3 {
                    self.transmit(1 << 16);
                    self.answer_login(operation >> 4);
                }
            }
            12 | 13 => self.right(operation, script),
            _ => self.nearly_right(operation, script),
        }
    }

    fn link_up(&mut self) {
        let wanted = matches!(self.session.link(), LinkWanted::Connect(_));
        self.session.link_up(self.now, None);
        if wanted {
            self.framer = Framer::new(Crc32cFunction::default(), u32::MAX);
            (self.digests, self.stat_sn) = (Digests::default(), 1);
            self.sent.clear();
            (self.logins_due, self.answered, self.next_cmd_sn) = (0, 0, None);
        }
    }

    fn submit(&mut self, script: &mut Script<'_>) {
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
                let before = self.tasks.insert(tag, (transfer, true));
                assert_eq!(before, None, "a tag names one task");
            }
            Err(error) => assert!(!free || !matches!(error, SubmitError::Busy)),
        }
    }

    /// The host wants something ended.
    fn manage(&mut self, choice: u8) {
        let taken = match choice {
            12 | 13 => {
                // Also of tasks that are long gone.
                let mut tags: Vec<TaskTag> = self.tasks.keys().copied().collect();
                tags.sort_unstable_by_key(|tag| (self.tasks[tag].1, tag.index()));
                let place = if choice == 12 { 0 } else { tags.len().saturating_sub(1) };
                if let Some(&tag) = tags.get(place) {
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
            let Some(event) = self.session.poll(self.now) else { return };
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
            }
            Event::DataIn { task, offset, bytes } => {
                let Some(&(Transfer::Read(length), true)) = self.tasks.get(&task) else {
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
                let live = &mut self.tasks.get_mut(&task).expect("a task that was submitted").1;
                assert!(std::mem::take(live), "a task is completed once");
            }
            Event::AsyncSense { .. } => assert!(!self.session.sense().is_empty()),
            Event::TargetFound => assert!(self.session.found().is_some()),
            Event::DiscoveryEnded(_) => {
                assert!(std::mem::take(&mut self.asked), "an answer to one question");
            }
            Event::Lost { .. } => self.tally.losses += 1,
            Event::Managed { .. } => self.tally.managed += 1,
            Event::Ended(_) => assert!(!std::mem::replace(&mut self.ended, true), "one end"),
        }
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

    fn transmit(&mut self, room: usize) {
        let mut out = vec![0; room];
        let wants = self.session.wants_to_transmit();
        let count = self.session.transmit(self.now, &mut out, &mut Data(&self.tasks));
        assert!(count <= room);
        assert!(wants || count == 0, "something to send that was not announced");
        assert!(count == room || !self.session.wants_to_transmit(), "room left and more to say");
        let mut sent = &out[..count];
        while let Ok(Some(fragment)) = self.framer.next(&mut sent) {
            match fragment {
                Fragment::Header(header) => self.on_request(&header),
                Fragment::End { data_digest_ok } => assert!(data_digest_ok),
                Fragment::Data(_) => {}
            }
        }
        assert!(sent.is_empty(), "what is sent frames");
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
            Request::DataOut(_) => self.tally.writes += 1,
            Request::Text(request) => self.count(request.cmd_sn),
            Request::ScsiCommand(command) => {
                self.count(command.cmd_sn);
                self.sent.push(Sent { command, moved: command.data_segment_length, sn: 0 });
            }
            _ => {}
        }
    }

    fn count(&mut self, cmd_sn: SerialNumber) {
        let next = self.next_cmd_sn.unwrap_or(SerialNumber(u32::MAX - 3));
        assert_eq!(cmd_sn, next, "CmdSN counts up by one");
        self.next_cmd_sn = Some(next.next());
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
        let exp_cmd_sn = self.next_cmd_sn.unwrap_or(SerialNumber(u32::MAX - 3));
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
        self.receive(&bytes[..count]);
    }

    /// What holds after every step.
    fn check(&self) {
        let live = self.tasks.values().filter(|(_, live)| *live).count();
        assert_eq!(self.session.outstanding(), live, "every task is accounted for");
        if self.session.poll_at().is_none() {
            assert!(self.session.ended().is_some() && live == 0, "a wait without a bound");
        }
    }

    /// Whatever happened, the end comes, and every task with it.
    fn finish(&mut self) {
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
