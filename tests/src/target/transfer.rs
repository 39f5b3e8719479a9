//! Data of writes: unsolicited, and asked for by R2T (RFC 7143 §11.7, 11.8).

use isboot::pdu::bhs::RESERVED_TAG;
use isboot::pdu::request::DataOut;
use isboot::pdu::response::{ReadyToTransfer, Response};

use super::link::Link;
use super::rules::{End, broken};
use super::session::FullFeature;
use super::task::Task;

/// A sequence of Data-Out: what an R2T asked for, or the unsolicited part.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sequence {
    target_transfer_tag: u32,
    /// Where the next PDU must start.
    next: u32,
    end: u32,
    data_sn: u32,
}

impl Sequence {
    /// From the end of immediate data to the end of the first burst.
    pub(super) fn unsolicited(start: u32, end: u32) -> Self {
        Self { target_transfer_tag: RESERVED_TAG, next: start, end, data_sn: 0 }
    }
}

impl FullFeature {
    pub(super) fn data_out(
        &mut self,
        link: &mut Link,
        request: &DataOut,
        data: &[u8],
    ) -> Result<(), End> {
        let tag = request.initiator_task_tag;
        let ghost = !self.tasks.contains_key(&tag);
        let tasks = if ghost { &mut self.ghosts } else { &mut self.tasks };
        let Some(task) = tasks.get_mut(&tag) else {
            return broken("RFC 7143 §11.7", format!("Data-Out for the unknown tag {tag:#x}"));
        };
        let finished = take_in(task, request, data)?;
        let unsolicited = request.target_transfer_tag == RESERVED_TAG;
        if unsolicited {
            if !ghost && self.unsolicited.front() != Some(&tag) {
                return broken(
                    "RFC 7143 §4.2.5.2",
                    "unsolicited data of a command before that of an earlier one",
                );
            }
            if finished {
                self.unsolicited.retain(|&other| other != tag);
            }
        }
        {
            let statistics = &mut link.shared.state().statistics;
            let length = data.len() as u64;
            match unsolicited {
                true => statistics.unsolicited_bytes += length,
                false => statistics.solicited_bytes += length,
            }
        }
        if ghost {
            if self.ghosts.get(&tag).is_some_and(Task::owes_nothing) {
                self.ghosts.remove(&tag);
                self.answer_management(link);
            }
        } else if finished {
            self.advance(link, tag);
        }
        Ok(())
    }

    /// Sends as many R2Ts as are allowed at once.
    pub(super) fn ask(&mut self, link: &mut Link, tag: u32) {
        loop {
            let Some(task) = self.tasks.get_mut(&tag) else { return };
            let from = task.asked.max(task.received);
            let end = task.to_receive();
            let limit = self.parameters.max_outstanding_r2t as usize;
            if from >= end || task.unsolicited.is_some() || task.solicited.len() >= limit {
                return;
            }
            let most = self.parameters.max_burst_length.min(link.shared.policy.r2t_length);
            let length = (end - from).min(most);
            let (lun, r2t_sn) = (task.lun, task.r2t_sn);
            task.r2t_sn += 1;
            task.asked = from + length;
            let target_transfer_tag = self.transfer_tag();
            if let Some(task) = self.tasks.get_mut(&tag) {
                let end = from + length;
                task.solicited.push_back(Sequence {
                    target_transfer_tag,
                    next: from,
                    end,
                    data_sn: 0,
                });
            }
            link.shared.state().statistics.ready_to_transfers += 1;
            let response = ReadyToTransfer {
                lun,
                initiator_task_tag: tag,
                target_transfer_tag,
                numbers: self.numbers(&link.shared, false),
                r2t_sn,
                buffer_offset: from,
                desired_data_transfer_length: length,
            };
            link.respond(Response::ReadyToTransfer(response), Vec::new());
        }
    }
}

/// Checks one Data-Out against its sequence and keeps its bytes; true when the sequence is over.
fn take_in(task: &mut Task, request: &DataOut, data: &[u8]) -> Result<bool, End> {
    let unsolicited = request.target_transfer_tag == RESERVED_TAG;
    let sequence = match unsolicited {
        true => task.unsolicited.as_mut(),
        false => task.solicited.front_mut(),
    };
    let Some(sequence) = sequence else {
        return match unsolicited {
            true => broken("RFC 7143 §13.10", "unsolicited Data-Out that may not be sent"),
            false => broken("RFC 7143 §11.7.4", "Data-Out although no R2T is open for the task"),
        };
    };
    if request.target_transfer_tag != sequence.target_transfer_tag {
        let what = format!(
            "Data-Out with Target Transfer Tag {:#x} where the oldest R2T has {:#x}",
            request.target_transfer_tag, sequence.target_transfer_tag
        );
        return broken("RFC 7143 §11.8", what);
    }
    let reserved_lun = unsolicited && request.lun == [0; 8];
    if request.lun != task.lun && !reserved_lun {
        return broken("RFC 7143 §11.7.4", "Data-Out with another LUN than its command");
    }
    if request.data_sn != sequence.data_sn {
        let what =
            format!("Data-Out with DataSN {} where {} is due", request.data_sn, sequence.data_sn);
        return broken("RFC 7143 §11.7.5", what);
    }
    if request.buffer_offset != sequence.next {
        let what =
            format!("Data-Out at offset {} where {} is due", request.buffer_offset, sequence.next);
        return broken("RFC 7143 §11.7.6", what);
    }
    let end = u64::from(sequence.next) + data.len() as u64;
    if end > u64::from(sequence.end) {
        let what =
            format!("Data-Out up to offset {end}, beyond its sequence's end {}", sequence.end);
        let clause = if unsolicited { "RFC 7143 §13.14" } else { "RFC 7143 §11.8.4" };
        return broken(clause, what);
    }
    let complete = end == u64::from(sequence.end);
    if request.last != complete {
        let what = match request.last {
            true => format!("F=1 at offset {end}, before the sequence's end {}", sequence.end),
            false => format!("F=0 on the Data-Out that completes its sequence at {end}"),
        };
        return broken("RFC 7143 §11.7.1", what);
    }
    sequence.data_sn += 1;
    sequence.next = end as u32;
    let start = request.buffer_offset as usize;
    // Data beyond what the command wants is thrown away.
    if let Some(room) = task.data.get_mut(start..) {
        let kept = data.len().min(room.len());
        room[..kept].copy_from_slice(&data[..kept]);
    }
    task.received = task.received.max(end as u32);
    if complete {
        match unsolicited {
            true => task.unsolicited = None,
            false => _ = task.solicited.pop_front(),
        }
    }
    Ok(complete)
}
