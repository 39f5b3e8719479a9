//! The data of one write: what went along, what was asked for, what came (RFC 7143 §11.7, §11.8).

use std::collections::VecDeque;

use super::frames::Frame;
use super::negotiated::Terms;

/// A live task, and one that ended a moment ago.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) opcode: u8,
    pub(super) lun: [u8; 8],
    pub(super) cdb: [u8; 16],
    /// Data of a read, in order of arrival.
    pub(super) data_in: Vec<u8>,
    /// PDUs that had been received when it ended.
    pub(super) ended_at: Option<u64>,
    /// An abort is under way: sequences may end early.
    pub(super) is_being_aborted: bool,
    expected: u32,
    unsolicited: Option<Sequence>,
    solicited: VecDeque<Sequence>,
    next_r2t_sn: u32,
}

/// Data-Out PDUs up to one with F.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    transfer_tag: u32,
    next: u32,
    end: u32,
    data_sn: u32,
}

/// The tag of unsolicited data.
const NO_TAG: u32 = u32::MAX;

impl Task {
    /// A task that is not a SCSI command.
    pub(super) fn other(frame: &Frame) -> Self {
        Self {
            opcode: frame.opcode(),
            lun: frame.lun(),
            cdb: [0; 16],
            data_in: Vec::new(),
            ended_at: None,
            is_being_aborted: false,
            expected: 0,
            unsolicited: None,
            solicited: VecDeque::new(),
            next_r2t_sn: 0,
        }
    }

    /// A SCSI command, with what is wrong about its unsolicited data.
    pub(super) fn command(frame: &Frame, terms: &Terms) -> (Self, Option<String>) {
        let mut task = Self::other(frame);
        task.cdb.copy_from_slice(&frame.header[32..48]);
        task.expected = frame.word(20);
        let last = frame.flags() & 0x80 != 0;
        let writes = frame.flags() & 0x20 != 0;
        let immediate = frame.data.len() as u32;
        let burst = terms.first_burst_length.min(task.expected);
        if !last {
            task.unsolicited =
                Some(Sequence { transfer_tag: NO_TAG, next: immediate, end: burst, data_sn: 0 });
        }
        let mistake = if immediate > 0 && !writes {
            Some("data goes along with a command that does not write".to_owned())
        } else if immediate > 0 && !terms.immediate_data {
            Some("immediate data, and ImmediateData=No".to_owned())
        } else if immediate > burst {
            Some(format!("{immediate} bytes of immediate data, {burst} may be unsolicited"))
        } else if !last && terms.initial_r2t {
            Some("unsolicited data is announced, and InitialR2T=Yes".to_owned())
        } else if !last && immediate == burst {
            Some("unsolicited data is announced, and none may follow".to_owned())
        } else {
            None
        };
        (task, mistake)
    }

    /// An R2T was received; one that asks for too much, or comes again (§7.9), is not to be
    /// answered.
    pub(super) fn ask(&mut self, frame: &Frame, terms: &Terms) {
        let (offset, length) = (frame.word(40), frame.word(44));
        let end = offset.checked_add(length).filter(|end| *end <= self.expected);
        if frame.word(36) != self.next_r2t_sn {
            return;
        }
        self.next_r2t_sn += 1;
        if let Some(end) = end.filter(|_| length <= terms.max_burst_length) {
            let transfer_tag = frame.transfer_tag();
            self.solicited.push_back(Sequence { transfer_tag, next: offset, end, data_sn: 0 });
        }
    }

    /// Some unsolicited data was announced and has not come.
    pub(super) fn owes_unsolicited(&self) -> bool {
        self.unsolicited.is_some()
    }

    /// Takes a Data-Out PDU; the rule that it breaks, with what is wrong.
    pub(super) fn data_out(&mut self, frame: &Frame) -> Result<(), (&'static str, String)> {
        if frame.lun() != self.lun {
            return Err((
                "S-10",
                format!("LUN {:02x?} in the data of {:02x?}", frame.lun(), self.lun),
            ));
        }
        let tag = frame.transfer_tag();
        let sequence = match tag {
            NO_TAG => self
                .unsolicited
                .as_mut()
                .ok_or(("S-11", "unsolicited data that nobody announced".to_owned()))?,
            // In the order in which they were asked for (§11.8).
            _ => match self.solicited.front_mut() {
                Some(sequence) if sequence.transfer_tag == tag => sequence,
                other => {
                    let due = other.map(|sequence| sequence.transfer_tag);
                    return Err(("S-12", format!("data for tag {tag:#x}, due is {due:x?}")));
                }
            },
        };
        let rule = if tag == NO_TAG { "S-11" } else { "S-12" };
        let (data_sn, offset, length) = (frame.word(36), frame.word(40), frame.data.len() as u32);
        if data_sn != sequence.data_sn {
            return Err(("S-10", format!("DataSN {data_sn}, due is {}", sequence.data_sn)));
        }
        if offset != sequence.next {
            return Err(("S-10", format!("offset {offset}, due is {}", sequence.next)));
        }
        if length > sequence.end - sequence.next {
            return Err((
                rule,
                format!("{offset}..{} goes beyond {}", offset + length, sequence.end),
            ));
        }
        sequence.next += length;
        sequence.data_sn += 1;
        let last = frame.flags() & 0x80 != 0;
        let is_whole = sequence.next == sequence.end;
        if last != is_whole && !(last && self.is_being_aborted) {
            return Err((
                "S-10",
                format!("F is {last} at byte {} of {}", sequence.next, sequence.end),
            ));
        }
        if last && tag == NO_TAG {
            self.unsolicited = None;
        } else if last {
            self.solicited.pop_front();
        }
        Ok(())
    }
}
