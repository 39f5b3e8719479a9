//! One connection, read along in both directions.

use std::collections::{BTreeMap, BTreeSet};

use super::Across;
use super::frames::{Assembler, Frame};
use super::negotiated::{Place, Terms, Texts, place};
use super::reserved;
use super::sequences::Task;

/// The reserved tag.
const NO_TAG: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Connection {
    number: u64,
    up: Assembler,
    down: Assembler,
    /// What the target sends makes no sense any more; tests make it so.
    blind: bool,
    login: Login,
    /// Set once full feature phase is reached.
    terms: Option<Terms>,
    next_cmd_sn: Option<u32>,
    exp_stat_sn: Option<u32>,
    /// ExpCmdSN and MaxCmdSN, the furthest of each.
    window: Option<(u32, u32)>,
    tasks: BTreeMap<u32, Task>,
    /// Target Transfer Tags of pings to be answered.
    pings: Vec<u32>,
    logout_is_requested: bool,
    /// PDUs received, as a clock for what crossed on the wire.
    received: u64,
    /// How much had been received, and what was expected, when the present request began.
    begun: Begun,
}

#[derive(Clone, Copy, Debug, Default)]
struct Begun {
    received: u64,
    exp_stat_sn: Option<u32>,
}

#[derive(Debug, Default)]
struct Login {
    requests: u32,
    /// A request is out and not answered.
    is_waiting: bool,
    /// Tag, ISID, CID and CmdSN of the first request.
    first: Option<(u32, [u8; 6], [u8; 2], u32)>,
    texts: Texts,
    keys: BTreeSet<String>,
}

impl Connection {
    pub(super) fn new(number: u64) -> Self {
        let mut login = Login::default();
        login.texts.theirs.is_lenient = true;
        Self {
            number,
            up: Assembler::default(),
            down: Assembler::default(),
            blind: false,
            login,
            terms: None,
            next_cmd_sn: None,
            exp_stat_sn: None,
            window: None,
            tasks: BTreeMap::new(),
            pings: Vec::new(),
            logout_is_requested: false,
            received: 0,
            begun: Begun::default(),
        }
    }

    pub(super) fn sent(&mut self, across: &mut Across, mut bytes: &[u8]) {
        // Without the terms of the login nobody can tell where a PDU ends.
        if self.blind && self.terms.is_none() {
            return;
        }
        while !bytes.is_empty() {
            if self.up.is_empty() {
                self.begun = Begun { received: self.received, exp_stat_sn: self.exp_stat_sn };
            }
            if let Some(frame) = self.up.take(&mut bytes) {
                let name =
                    reserved::name(frame.opcode()).unwrap_or("a PDU that no initiator sends");
                let number = self.number;
                let mut broken = Vec::new();
                self.check(across, &frame, &mut broken);
                for (id, what) in broken {
                    across.broken(id, format!("connection {number}, {name}: {what}"));
                }
            }
        }
    }

    pub(super) fn received(&mut self, across: &mut Across, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.blind {
            if let Some(frame) = self.down.take(&mut bytes) {
                self.received += 1;
                self.learn(across, &frame);
            }
        }
    }

    // --- what the initiator sent ---

    fn check(
        &mut self,
        across: &mut Across,
        frame: &Frame,
        broken: &mut Vec<(&'static str, String)>,
    ) {
        let mut rule = |id, holds, what: &str| note(broken, id, holds, what);
        let opcode = frame.opcode();
        let flags = frame.flags();
        rule("S-01", reserved::name(opcode).is_some(), &format!("opcode {opcode:#04x}"));
        rule("S-01", opcode != 0x02 || flags & 0x7f != 8, "TASK REASSIGN");
        rule("S-01", opcode != 0x06 || flags & 0x7f != 2, "logout for recovery");
        if let Some(at) = reserved::reserved_byte(frame) {
            rule("S-02", false, &format!("byte {at} has reserved bits: {:02x?}", frame.header));
        }
        rule("S-02", frame.padding.iter().all(|byte| *byte == 0), "padding is not zero");
        rule("S-03", frame.additional_length() == 0, "an additional header segment");
        rule("S-15", frame.header_digest_is_right, "header digest");
        rule("S-15", frame.data_digest_is_right, "data digest");
        rule("S-16", !self.logout_is_requested, "a request after the Logout Request");
        let limit = match &self.terms {
            None => 8192,
            Some(terms) => terms.max_recv_data_segment_length,
        };
        rule(
            "S-04",
            frame.data.len() <= limit as usize,
            &format!("{} bytes of data, the target takes {limit}", frame.data.len()),
        );
        let stat_sn = frame.word(28);
        if let Some(due) = self.begun.exp_stat_sn.filter(|_| !self.blind) {
            rule("S-07", stat_sn == due, &format!("ExpStatSN {stat_sn:#x}, due is {due:#x}"));
        }
        match (opcode, self.terms.clone()) {
            (0x03, None) => self.check_login(across, frame, broken),
            (0x03, Some(_)) => rule("S-13", false, "in full feature phase"),
            (_, None) => rule("S-01", false, "before full feature phase"),
            (_, Some(terms)) => {
                self.check_numbers(frame, broken);
                self.check_request(across, frame, &terms, broken);
            }
        }
    }

    fn check_login(
        &mut self,
        across: &mut Across,
        frame: &Frame,
        broken: &mut Vec<(&'static str, String)>,
    ) {
        let mut rule = |id, holds, what: &str| note(broken, id, holds, what);
        let login = &mut self.login;
        let flags = frame.flags();
        let [transit, more] = [0x80, 0x40].map(|bit| flags & bit != 0);
        let (stage, next) = (flags >> 2 & 3, flags & 3);
        rule("S-13", !login.is_waiting, "the one before is not answered");
        rule("S-13", !(transit && more), "T and C");
        rule("S-01", frame.is_immediate(), "without I");
        rule("S-02", stage < 2, "CSG is 0 or 1");
        rule("S-02", !transit || matches!((stage, next), (0, 1 | 3) | (1, 3)), "NSG");
        let [major, minor] = [frame.header[2], frame.header[3]];
        rule("S-02", (major, minor) == (0, 0), "version");
        rule("S-02", frame.header[8] >> 6 != 3, "type of the ISID");
        rule("S-02", frame.header[14..16] == [0, 0], "TSIH of a new session is 0");
        let mut isid = [0; 6];
        isid.copy_from_slice(&frame.header[8..14]);
        let own = (frame.tag(), isid, [frame.header[20], frame.header[21]], frame.word(24));
        let first = *login.first.get_or_insert(own);
        rule("S-13", own.0 == first.0, "another tag than the first request's");
        rule("S-05", own.3 == first.3, "another CmdSN than the first request's");
        rule("S-02", (own.1, own.2) == (first.1, first.2), "another ISID or CID");
        self.next_cmd_sn = Some(own.3);
        let is_first = login.requests == 0;
        login.requests += 1;
        login.is_waiting = true;
        let pairs = login.texts.ours.take(&frame.data, more).unwrap_or_else(|what| {
            rule("S-14", false, &what);
            Vec::new()
        });
        for (key, value) in pairs {
            rule("S-14", login.keys.insert(key.clone()), &format!("{key} twice"));
            rule("S-14", key.len() <= 63, &format!("the key {key} has over 63 bytes"));
            let is_answer = matches!(value.as_str(), "NotUnderstood" | "Reject" | "Irrelevant");
            let is_in_place = match place(&key) {
                Place::FirstRequest => is_first || (login.requests == 1 || more),
                Place::Security => stage == 0,
                Place::Operational => stage == 1,
                Place::Anywhere => true,
            };
            rule("S-14", is_answer || is_in_place, &format!("{key} in stage {stage}"));
            if key == "CHAP_C" {
                let is_new = across.challenges.insert(value.clone());
                rule("S-17", is_new, "a challenge of an earlier login");
            }
            login.texts.ours.pairs.insert(key, value);
        }
        let says = |key: &str| login.texts.ours.pairs.contains_key(key);
        let is_discovery =
            login.texts.ours.pairs.get("SessionType").is_some_and(|value| value == "Discovery");
        if is_first && !more {
            rule("S-14", says("InitiatorName"), "the first request has no InitiatorName");
            rule("S-14", says("TargetName") || is_discovery, "the first request has no TargetName");
        }
    }

    /// CmdSN and the window.
    fn check_numbers(&mut self, frame: &Frame, broken: &mut Vec<(&'static str, String)>) {
        if frame.opcode() == 0x05 {
            return;
        }
        let cmd_sn = frame.word(24);
        let Some(due) = self.next_cmd_sn else { return };
        if cmd_sn != due {
            broken.push(("S-05", format!("CmdSN {cmd_sn:#x}, due is {due:#x}")));
        }
        if frame.is_immediate() {
            return;
        }
        self.next_cmd_sn = Some(cmd_sn.wrapping_add(1));
        if let Some((_, most)) = self.window.filter(|_| !self.blind)
            && is_after(cmd_sn, most)
        {
            broken.push(("S-06", format!("CmdSN {cmd_sn:#x}, MaxCmdSN is {most:#x}")));
        }
    }

    fn check_request(
        &mut self,
        across: &mut Across,
        frame: &Frame,
        terms: &Terms,
        broken: &mut Vec<(&'static str, String)>,
    ) {
        let tag = frame.tag();
        if frame.opcode() == 0x05 {
            return self.check_data_out(frame, broken);
        }
        if frame.opcode() == 0x00 && tag == NO_TAG {
            let transfer_tag = frame.transfer_tag();
            let asked = self.pings.iter().position(|ping| *ping == transfer_tag);
            if let Some(at) = asked {
                self.pings.remove(at);
            } else if transfer_tag != NO_TAG && !self.blind {
                broken
                    .push(("S-08", format!("answers a ping {transfer_tag:#x} that was not sent")));
            }
            return;
        }
        let is_live = self.tasks.get(&tag).is_some_and(|task| {
            task.ended_at.is_none() && !(task.opcode == 0x04 && frame.opcode() == 0x04)
        });
        if is_live || tag == NO_TAG {
            broken.push(("S-08", format!("tag {tag:#x} is reserved or of a live task")));
        }
        match frame.opcode() {
            0x01 => {
                if let Some(what) = across.luns.mistake(frame) {
                    broken.push(("S-09", what));
                }
                let owing = self.tasks.values().any(|task| {
                    task.ended_at.is_none() && task.owes_unsolicited() && !task.is_being_aborted
                });
                if owing {
                    broken.push((
                        "S-11",
                        "a command before the unsolicited data of another".to_owned(),
                    ));
                }
                let (task, mistake) = Task::command(frame, terms);
                broken.extend(mistake.map(|what| ("S-11", what)));
                self.tasks.insert(tag, task);
            }
            0x02 => {
                let (function, lun, named) =
                    (frame.flags() & 0x7f, frame.lun(), frame.transfer_tag());
                for (tag, task) in &mut self.tasks {
                    task.is_being_aborted |= match function {
                        1 => *tag == named,
                        // The resets of the whole target.
                        6 | 7 => true,
                        _ => task.lun == lun,
                    };
                }
                self.tasks.insert(tag, Task::other(frame));
            }
            0x04 => {
                let [last, more] = [0x80, 0x40].map(|bit| frame.flags() & bit != 0);
                if last && more {
                    broken.push(("S-13", "F and C".to_owned()));
                }
                let texts = self.tasks.iter().filter(|(other, task)| {
                    **other != tag && task.opcode == 0x04 && task.ended_at.is_none()
                });
                if texts.count() > 0 {
                    broken.push(("S-13", "a second Text Request".to_owned()));
                }
                self.tasks.insert(tag, Task::other(frame));
            }
            0x06 => {
                self.logout_is_requested = true;
                self.tasks.insert(tag, Task::other(frame));
            }
            _ => {
                self.tasks.insert(tag, Task::other(frame));
            }
        }
    }

    fn check_data_out(&mut self, frame: &Frame, broken: &mut Vec<(&'static str, String)>) {
        match self.tasks.get_mut(&frame.tag()) {
            None => broken.push(("S-10", format!("tag {:#x} is of no task", frame.tag()))),
            // What was begun before the end was known goes to its own end.
            Some(task) if task.ended_at.is_some_and(|at| at <= self.begun.received) => {
                broken.push(("S-10", format!("the task {:#x} has ended", frame.tag())));
            }
            Some(task) if self.blind => {
                let _ = task.data_out(frame);
            }
            Some(task) => broken.extend(task.data_out(frame).err()),
        }
    }

    // --- what the target sent ---

    fn learn(&mut self, across: &mut Across, frame: &Frame) {
        if !frame.header_digest_is_right {
            self.blind = true;
            return;
        }
        if self.terms.is_none() {
            return self.learn_login(frame);
        }
        let opcode = frame.opcode();
        let has_status = match opcode {
            0x25 => frame.flags() & 1 != 0,
            0x31 => false,
            0x20 => frame.tag() != NO_TAG,
            _ => true,
        };
        if !frame.data_digest_is_right {
            // Data without a status may be damaged; anything else ends the connection.
            self.blind |= opcode != 0x25 || has_status;
            return;
        }
        if has_status {
            let stat_sn = frame.word(24);
            if self.exp_stat_sn == Some(stat_sn) {
                self.exp_stat_sn = Some(stat_sn.wrapping_add(1));
            } else {
                self.blind = true;
                return;
            }
        }
        self.learn_window(frame);
        let tag = frame.tag();
        match opcode {
            0x20 if frame.transfer_tag() != NO_TAG => self.pings.push(frame.transfer_tag()),
            0x25 => {
                if let Some(task) = self.tasks.get_mut(&tag) {
                    task.data_in.extend(&frame.data);
                }
                if has_status {
                    self.end_task(across, tag, frame.header[3]);
                }
            }
            0x31 => {
                if let (Some(task), Some(terms)) = (self.tasks.get_mut(&tag), &self.terms) {
                    task.ask(frame, terms);
                }
            }
            0x21 => self.end_task(across, tag, frame.header[3] | frame.header[2]),
            0x22 => {
                self.end_task(across, tag, 0xff);
                // Done, or nothing left to do; any other answer lets the tasks go on.
                let over = matches!(frame.header[2], 0 | 1).then_some(self.received);
                self.conclude_aborted(over);
            }
            0x24 => {
                if let Ok(pairs) =
                    self.login.texts.theirs.take(&frame.data, frame.flags() & 0x40 != 0)
                    && let Some((_, value)) =
                        pairs.iter().find(|(key, _)| key == "MaxRecvDataSegmentLength")
                    && let (Some(terms), Ok(value)) = (&mut self.terms, value.parse())
                {
                    terms.max_recv_data_segment_length = value;
                }
                if frame.flags() & 0x80 != 0 {
                    self.end_task(across, tag, 0xff);
                }
            }
            // The header of what was refused is in the data.
            0x3f if frame.data.len() >= 48 => {
                let refused = super::frames::word(&frame.data, 16);
                match frame.data[0] & 0x3f {
                    // Neither ends its task (§7.3), nor does "task in progress".
                    0x05 => {}
                    _ if frame.header[2] == 0x07 => {}
                    // An answer that may be given again.
                    0x00 if refused == NO_TAG => {
                        self.pings.push(super::frames::word(&frame.data, 20));
                    }
                    0x02 => {
                        self.end_task(across, refused, 0xff);
                        self.conclude_aborted(None);
                    }
                    _ => self.end_task(across, refused, 0xff),
                }
            }
            0x3f => {}
            _ => self.end_task(across, tag, 0xff),
        }
    }

    /// The function under way is over: its tasks ended, or go on.
    fn conclude_aborted(&mut self, ended_at: Option<u64>) {
        for task in self.tasks.values_mut().filter(|task| task.is_being_aborted) {
            task.is_being_aborted = false;
            task.ended_at = task.ended_at.or(ended_at);
        }
    }

    fn learn_login(&mut self, frame: &Frame) {
        let status = frame.header[36];
        if frame.opcode() != 0x23 || status != 0 {
            self.blind = true;
            return;
        }
        let stat_sn = frame.word(24);
        if self.exp_stat_sn.is_some_and(|due| due != stat_sn) {
            self.blind = true;
            return;
        }
        self.exp_stat_sn = Some(stat_sn.wrapping_add(1));
        self.learn_window(frame);
        self.login.is_waiting = false;
        let flags = frame.flags();
        let theirs = &mut self.login.texts.theirs;
        let Ok(pairs) = theirs.take(&frame.data, flags & 0x40 != 0) else {
            self.blind = true;
            return;
        };
        theirs.pairs.extend(pairs);
        if flags & 0x80 != 0 && flags & 3 == 3 {
            let terms = self.login.texts.terms();
            for assembler in [&mut self.up, &mut self.down] {
                assembler.header_digest = terms.header_digest;
                assembler.data_digest = terms.data_digest;
            }
            self.terms = Some(terms);
        }
    }

    /// RFC 7143 §4.2.2.1: neither goes back, and a pair that contradicts itself is no pair.
    fn learn_window(&mut self, frame: &Frame) {
        let (least, most) = (frame.word(28), frame.word(32));
        if is_after(least.wrapping_sub(1), most) {
            return;
        }
        self.window = Some(match self.window {
            None => (least, most),
            Some((old_least, old_most)) => (later(old_least, least), later(old_most, most)),
        });
    }

    fn end_task(&mut self, across: &mut Across, tag: u32, status: u8) {
        let count = self.received;
        if let Some(task) = self.tasks.get_mut(&tag) {
            task.ended_at = Some(count);
            if status == 0 && task.opcode == 0x01 {
                across.luns.learn(task.lun, &task.cdb, &task.data_in);
            }
        }
    }
}

/// Notes that a rule does not hold.
fn note(broken: &mut Vec<(&'static str, String)>, id: &'static str, holds: bool, what: &str) {
    if !holds {
        broken.push((id, what.to_owned()));
    }
}

/// RFC 1982, 32 bits.
fn is_after(this: u32, that: u32) -> bool {
    let distance = this.wrapping_sub(that);
    distance != 0 && distance < 1 << 31
}

fn later(this: u32, that: u32) -> u32 {
    if is_after(that, this) { that } else { this }
}
