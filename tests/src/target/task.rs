//! One SCSI command from its arrival to its status.

use std::sync::Arc;

use isboot::pdu::bhs::opcode;
use isboot::pdu::request::ScsiCommand;
use isboot::pdu::response::{DataIn, Residual, Response, ScsiResponse};
use isboot::pdu::serial::SerialNumber;

use super::frame::Pdu;
use super::link::Link;
use super::rules::{End, broken};
use super::scsi::{self, Outcome, Start};
use super::session::FullFeature;
use super::transfer::Sequence;

/// Reason of a Reject (§11.17.1).
const COMMAND_NOT_SUPPORTED: u8 = 0x05;

/// A live task.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) lun: [u8; 8],
    pub(super) initiator_task_tag: u32,
    pub(super) cmd_sn: SerialNumber,
    pub(super) cdb: [u8; 16],
    read: bool,
    pub(super) expected: u32,
    /// Bytes that the command itself wants to move out.
    wanted: u64,
    /// The outcome when it was clear on arrival; data still owed is thrown away.
    outcome: Option<Outcome>,
    /// Resets of the LUN when the command came.
    pub(super) resets: u64,
    /// Data of a write, filled from its start.
    pub(super) data: Vec<u8>,
    pub(super) received: u32,
    /// Unsolicited data being received.
    pub(super) unsolicited: Option<Sequence>,
    /// R2Ts not answered in full, in order.
    pub(super) solicited: std::collections::VecDeque<Sequence>,
    /// Up to where data was asked for.
    pub(super) asked: u32,
    pub(super) r2t_sn: u32,
}

impl Task {
    /// Data that the target takes for the command.
    pub(super) fn to_receive(&self) -> u32 {
        match self.outcome {
            Some(_) => 0,
            None => u32::try_from(self.wanted).unwrap_or(u32::MAX).min(self.expected),
        }
    }

    /// No data is on its way.
    pub(super) fn owes_nothing(&self) -> bool {
        self.unsolicited.is_none() && self.solicited.is_empty()
    }
}

impl FullFeature {
    pub(super) fn scsi_command(
        &mut self,
        link: &mut Link,
        command: &ScsiCommand,
        pdu: &Pdu,
    ) -> Result<(), End> {
        self.check_new_tag(opcode::SCSI_COMMAND, command.initiator_task_tag)?;
        check_flags(command)?;
        if command.read && command.write {
            // Bidirectional: legal, and no command of these disks is.
            self.reject(link, COMMAND_NOT_SUPPORTED, pdu);
            return Ok(());
        }
        let immediate = command.data_segment_length;
        self.check_unsolicited(command)?;
        let shared = Arc::clone(&link.shared);
        let start = scsi::start(&shared, self.tsih.unwrap_or(0), command.lun, &command.cdb);
        check_cdb(link, command);
        let (wanted, outcome) = match start {
            Start::Done(outcome) => (0, Some(outcome)),
            Start::WantsData(length) if command.write => (length, None),
            // Nothing was announced, so nothing is asked for: all of it is overflow (§11.4.5.2).
            Start::WantsData(length) => (length, Some(Outcome::good(Vec::new()))),
            Start::Ready => (0, None),
        };
        let mut task = Task {
            lun: command.lun,
            initiator_task_tag: command.initiator_task_tag,
            cmd_sn: command.cmd_sn,
            cdb: command.cdb,
            read: command.read,
            expected: command.expected_data_transfer_length,
            wanted,
            outcome,
            resets: scsi::resets(&shared, command.lun),
            data: Vec::new(),
            received: 0,
            unsolicited: None,
            solicited: std::collections::VecDeque::new(),
            asked: 0,
            r2t_sn: 0,
        };
        task.data = vec![0; task.to_receive() as usize];
        let kept = pdu.data.len().min(task.data.len());
        task.data[..kept].copy_from_slice(&pdu.data[..kept]);
        task.received = immediate;
        if command.write && !command.last {
            let first_burst = self.parameters.first_burst_length.min(task.expected);
            task.unsolicited = Some(Sequence::unsolicited(immediate, first_burst));
            self.unsolicited.push_back(task.initiator_task_tag);
        }
        let tag = task.initiator_task_tag;
        self.tasks.insert(tag, task);
        let mut state = shared.state();
        state.statistics.immediate_bytes += u64::from(immediate);
        let outstanding = self.outstanding();
        let most = &mut state.statistics.most_outstanding;
        *most = outstanding.max(*most);
        drop(state);
        self.advance(link, tag);
        Ok(())
    }

    /// Asks for more data, or gets the task executed when it has all of it.
    pub(super) fn advance(&mut self, link: &mut Link, tag: u32) {
        self.ask(link, tag);
        let Some(task) = self.tasks.get(&tag) else { return };
        if task.owes_nothing() && task.received >= task.to_receive() {
            self.ready.push_back(tag);
            self.run_ready(link);
        }
    }

    /// Executes what is ready, in order, unless the target is paused.
    pub(super) fn run_ready(&mut self, link: &mut Link) {
        while !self.ready.is_empty() && !link.shared.state().paused {
            let Some(task) = self.ready.pop_front().and_then(|tag| self.tasks.remove(&tag)) else {
                continue;
            };
            let shared = Arc::clone(&link.shared);
            let nexus = self.tsih.unwrap_or(0);
            if scsi::resets(&shared, task.lun) != task.resets {
                // Aborted by somebody else's reset: no response (SAM-5 §5.6, TAS=0).
                continue;
            }
            let outcome = match &task.outcome {
                Some(outcome) => outcome.clone(),
                None => scsi::finish(&shared, nexus, task.lun, &task.cdb, &task.data),
            };
            self.complete(link, &task, outcome);
        }
    }

    /// Data-In and status.
    fn complete(&mut self, link: &mut Link, task: &Task, outcome: Outcome) {
        let Outcome { status, sense, mut data } = outcome;
        let expected = task.expected;
        let room = if task.read { expected as usize } else { 0 };
        let moves_in = data.len() as u64;
        let sent = data.len().min(room);
        let moved = if task.read { moves_in } else { task.wanted };
        let residual = match moved.cmp(&u64::from(expected)) {
            std::cmp::Ordering::Equal => Residual::None,
            std::cmp::Ordering::Less => Residual::Underflow(expected - moved as u32),
            std::cmp::Ordering::Greater => {
                let over = moved - u64::from(expected);
                Residual::Overflow(u32::try_from(over).unwrap_or(u32::MAX))
            }
        };
        // Only good status may come with the data (§11.7.3).
        let collapse = status == 0 && sent != 0 && link.shared.policy.phase_collapse;
        data.truncate(sent);
        let data_sn = self.send_data_in(link, task, data, collapse.then_some(residual));
        if collapse {
            return;
        }
        self.ending = 0;
        let numbers = self.numbers(&link.shared, true);
        self.status_sent(numbers);
        let response = ScsiResponse {
            response: 0,
            status,
            initiator_task_tag: task.initiator_task_tag,
            snack_tag: 0,
            numbers,
            exp_data_sn: data_sn + task.r2t_sn,
            residual,
            bidirectional_read_residual: Residual::None,
            data_segment_length: 0,
        };
        let segment = match u16::try_from(sense.len()) {
            Ok(length @ 1..) => [&length.to_be_bytes()[..], &sense].concat(),
            _ => Vec::new(),
        };
        link.respond(Response::Scsi(response), segment);
    }

    /// Sends data, cut by the initiator's segment length and by MaxBurstLength (§11.7). Returns
    /// how many PDUs it took.
    fn send_data_in(
        &mut self,
        link: &mut Link,
        task: &Task,
        mut data: Vec<u8>,
        collapsed: Option<Residual>,
    ) -> u32 {
        let length = data.len();
        link.shared.state().statistics.data_in_bytes += length as u64;
        let segment = self.parameters.initiator_max_recv as usize;
        let burst = self.parameters.max_burst_length as usize;
        let (mut offset, mut data_sn) = (0, 0);
        while offset < length {
            let burst_end = (offset / burst + 1) * burst;
            let end = (offset + segment).min(burst_end).min(length);
            let residual = collapsed.filter(|_| end == length);
            self.ending = u32::from(residual.is_none());
            let numbers = self.numbers(&link.shared, residual.is_some());
            if residual.is_some() {
                self.status_sent(numbers);
            }
            let response = DataIn {
                last: end == burst_end || end == length,
                acknowledge: false,
                status: residual.map(|_| 0),
                residual: residual.unwrap_or_default(),
                lun: [0; 8],
                initiator_task_tag: task.initiator_task_tag,
                target_transfer_tag: isboot::pdu::bhs::RESERVED_TAG,
                numbers,
                data_sn,
                buffer_offset: offset as u32,
                data_segment_length: 0,
            };
            let segment = match end - offset == length {
                true => std::mem::take(&mut data),
                false => data[offset..end].to_vec(),
            };
            link.respond(Response::DataIn(response), segment);
            offset = end;
            data_sn += 1;
        }
        data_sn
    }

    /// Whether data may come with the command, and after it (§11.3.1, 11.3.4, 13.10, 13.11).
    fn check_unsolicited(&self, command: &ScsiCommand) -> Result<(), End> {
        let Self { parameters, .. } = self;
        let immediate = command.data_segment_length;
        let first_burst = parameters.first_burst_length.min(command.expected_data_transfer_length);
        if immediate != 0 {
            if !command.write {
                return broken("RFC 7143 §11.3.6", "SCSI Command with data but without W");
            }
            if !parameters.immediate_data {
                return broken("RFC 7143 §13.11", "immediate data with ImmediateData=No");
            }
            if immediate > first_burst {
                let what = format!(
                    "{immediate} bytes of immediate data where FirstBurstLength and the command \
                     allow {first_burst}"
                );
                return broken("RFC 7143 §13.14", what);
            }
        }
        if command.write && !command.last {
            if parameters.initial_r2t {
                return broken("RFC 7143 §13.10", "F=0 on a write with InitialR2T=Yes");
            }
            if immediate == first_burst {
                return broken(
                    "RFC 7143 §11.3.1",
                    "F=0 although no unsolicited data is left to send",
                );
            }
        }
        Ok(())
    }
}

/// Flags of a SCSI Command (§11.3.1).
fn check_flags(command: &ScsiCommand) -> Result<(), End> {
    const CLAUSE: &str = "RFC 7143 §11.3.1";
    if !command.write && !command.last {
        return broken(CLAUSE, "SCSI Command with neither W nor F");
    }
    if !command.read && !command.write && command.expected_data_transfer_length != 0 {
        let expected = command.expected_data_transfer_length;
        return broken(CLAUSE, format!("{expected} bytes expected with neither R nor W"));
    }
    Ok(())
}

/// What is allowed and yet worth knowing: the CDB says another length than the header, or the
/// bytes after a short CDB are not zero.
fn check_cdb(link: &Link, command: &ScsiCommand) {
    let code = command.cdb[0];
    if let Some((read, length)) = scsi::announced(&link.shared, command.lun, &command.cdb) {
        let expected = u64::from(command.expected_data_transfer_length);
        let direction = length == 0 || (command.read == read && command.write != read);
        if expected != length || !direction {
            link.remark(
                "RFC 7143 §11.3.4",
                format!(
                    "operation {code:#04x} moves {length} bytes, the SCSI Command expects \
                     {expected} (R={}, W={})",
                    u8::from(command.read),
                    u8::from(command.write)
                ),
            );
        }
    }
    let length = match code >> 5 {
        0 => 6,
        1 | 2 => 10,
        5 => 12,
        _ => 16,
    };
    if command.cdb[length..].iter().any(|&byte| byte != 0) {
        link.remark(
            "RFC 7143 §11.3.5",
            format!("operation {code:#04x}: CDB not padded with zeros"),
        );
    }
}
