//! What logical units say to commands, by script, and which commands they got.

use std::sync::{Arc, Mutex};

use isboot::pdu::request::{Request, ScsiCommand};
use isboot::pdu::response::{DataIn, Residual, Response, ScsiResponse};
use isboot::scsi::lun::LogicalUnitNumber;
use isboot_tests::pair::{NUMBERS, Pair, Setting};
use isboot_tests::target::{Handling, Injection, Numbering, Pdu, Target};

/// How a command is answered.
pub(crate) enum Answer {
    /// Data and GOOD, cut to what the command expects, with the residual that belongs to it.
    Data(Vec<u8>),
    /// CHECK CONDITION with key, code and qualifier.
    Sense(u8, u8, u8),
}

/// The command is not known, or a field of it.
pub(crate) const UNKNOWN: Answer = Answer::Sense(0x05, 0x20, 0x00);
pub(crate) const BAD_FIELD: Answer = Answer::Sense(0x05, 0x24, 0x00);

/// Operation codes.
pub(crate) const INQUIRY: u8 = 0x12;
pub(crate) const MODE_SENSE_6: u8 = 0x1a;
pub(crate) const READ_CAPACITY_10: u8 = 0x25;
pub(crate) const READ_10: u8 = 0x28;
pub(crate) const WRITE_10: u8 = 0x2a;
pub(crate) const SYNCHRONIZE_CACHE: u8 = 0x35;
pub(crate) const UNMAP: u8 = 0x42;
pub(crate) const MODE_SENSE_10: u8 = 0x5a;
pub(crate) const PERSISTENT_RESERVE_OUT: u8 = 0x5f;
pub(crate) const READ_16: u8 = 0x88;
pub(crate) const WRITE_16: u8 = 0x8a;
pub(crate) const READ_CAPACITY_16: u8 = 0x9e;
pub(crate) const REPORT_LUNS: u8 = 0xa0;

/// Commands that a target got, in order.
#[derive(Clone, Default)]
pub(crate) struct Commands(Arc<Mutex<Vec<ScsiCommand>>>);

impl Commands {
    /// Listens to a target, and answers what `answer` has an answer to.
    pub(crate) fn of(
        target: &Target,
        mut answer: impl FnMut(&ScsiCommand) -> Option<Answer> + Send + 'static,
    ) -> Self {
        let commands = Self::default();
        let seen = commands.clone();
        target.on_request(move |_, pdu| match Request::parse(&pdu.header) {
            Ok(Request::ScsiCommand(command)) => {
                seen.0.lock().unwrap().push(command);
                answer(&command).map_or(Handling::Proceed, |answer| {
                    Handling::Answer(vec![injection(&command, answer)])
                })
            }
            _ => Handling::Proceed,
        });
        commands
    }

    /// Listens only.
    pub(crate) fn to(target: &Target) -> Self {
        Self::of(target, |_| None)
    }

    pub(crate) fn all(&self) -> Vec<ScsiCommand> {
        self.0.lock().unwrap().clone()
    }

    /// Those with one of these operation codes.
    pub(crate) fn with(&self, codes: &[u8]) -> Vec<ScsiCommand> {
        self.all().into_iter().filter(|command| codes.contains(&command.cdb[0])).collect()
    }

    /// LUNs that were asked for standard INQUIRY data, in order.
    pub(crate) fn inquired(&self) -> Vec<[u8; 8]> {
        let inquiries = self.with(&[INQUIRY]);
        let standard = inquiries.iter().filter(|command| command.cdb[1] & 1 == 0);
        standard.map(|command| command.lun).collect()
    }

    pub(crate) fn forget(&self) {
        self.0.lock().unwrap().clear();
    }
}

fn injection(command: &ScsiCommand, answer: Answer) -> Injection {
    let expected = command.expected_data_transfer_length;
    let (status, data, sense) = match answer {
        Answer::Data(data) => (0, data, Vec::new()),
        Answer::Sense(key, code, qualifier) => {
            let mut sense = vec![0, 18, 0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code, qualifier];
            sense.resize(20, 0);
            (2, Vec::new(), sense)
        }
    };
    let residual = match (data.len() as u32).cmp(&expected) {
        std::cmp::Ordering::Less => Residual::Underflow(expected - data.len() as u32),
        std::cmp::Ordering::Equal => Residual::None,
        std::cmp::Ordering::Greater => Residual::Overflow(data.len() as u32 - expected),
    };
    let pdu = if data.is_empty() {
        let response = ScsiResponse {
            response: 0,
            status,
            initiator_task_tag: command.initiator_task_tag,
            snack_tag: 0,
            numbers: NUMBERS,
            exp_data_sn: 0,
            residual,
            bidirectional_read_residual: Residual::None,
            data_segment_length: 0,
        };
        Pdu::new(Response::Scsi(response).emit(), sense)
    } else {
        let response = DataIn {
            last: true,
            acknowledge: false,
            status: Some(status),
            residual,
            lun: [0; 8],
            initiator_task_tag: command.initiator_task_tag,
            target_transfer_tag: u32::MAX,
            numbers: NUMBERS,
            data_sn: 0,
            buffer_offset: 0,
            data_segment_length: 0,
        };
        Pdu::new(
            Response::DataIn(response).emit(),
            data[..data.len().min(expected as usize)].to_vec(),
        )
    };
    Injection { pdu, numbering: Numbering::Status }
}

/// Both ends, all disks found, to boot from this LUN.
pub(crate) fn boot_from(target: &Target, boot_lun: LogicalUnitNumber) -> Pair {
    let mut pair = Pair::with(target, &Setting { boot_lun, ..Setting::new(&[]) });
    pair.become_ready();
    pair
}

/// A LUN by its number.
pub(crate) fn lun(number: u16) -> LogicalUnitNumber {
    LogicalUnitNumber::from_number(number).expect("a number that LUNs have")
}
