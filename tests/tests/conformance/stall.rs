//! Targets that leave commands unanswered, and what they say to task management.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use isboot::pdu::bhs::RESERVED_TAG;
use isboot::pdu::request::{
    DataOut, NopOut, Request, ScsiCommand, TaskManagementFunction, TaskManagementRequest,
};
use isboot::pdu::response::{NopIn, Response, TaskManagementResponse};
use isboot_tests::pair::NUMBERS;
use isboot_tests::target::{Handling, Injection, Numbering, Pdu, Target};

/// The default command time-out.
pub(crate) const COMMAND_TIMEOUT: Duration = Duration::from_secs(30);
/// The default time-out of a task management function.
pub(crate) const MANAGEMENT_TIMEOUT: Duration = Duration::from_secs(15);

/// Requests that a target saw since it was watched, each with its connection.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<(u64, Request)>>>);

impl Log {
    fn pick<T>(&self, pick: impl FnMut(&(u64, Request)) -> Option<T>) -> Vec<T> {
        self.0.lock().unwrap().iter().filter_map(pick).collect()
    }

    pub(crate) fn all(&self) -> Vec<(u64, Request)> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn commands(&self) -> Vec<ScsiCommand> {
        self.pick(|(_, request)| match request {
            Request::ScsiCommand(command) => Some(*command),
            _ => None,
        })
    }

    pub(crate) fn managements(&self) -> Vec<TaskManagementRequest> {
        self.pick(|(_, request)| match request {
            Request::TaskManagement(management) => Some(*management),
            _ => None,
        })
    }

    pub(crate) fn functions(&self) -> Vec<TaskManagementFunction> {
        self.managements().iter().map(|management| management.function).collect()
    }

    pub(crate) fn data_outs(&self) -> Vec<DataOut> {
        self.pick(|(_, request)| match request {
            Request::DataOut(data_out) => Some(*data_out),
            _ => None,
        })
    }

    pub(crate) fn nop_outs(&self) -> Vec<NopOut> {
        self.pick(|(_, request)| match request {
            Request::NopOut(nop_out) => Some(*nop_out),
            _ => None,
        })
    }
}

/// Commands by which a unit is looked at: after a loss each is looked at again before it is used.
fn looks_at_a_unit(request: &Request) -> bool {
    const CODES: [u8; 8] = [0x00, 0x12, 0x1a, 0x25, 0x5a, 0x9e, 0xa0, 0xa3];
    matches!(request, Request::ScsiCommand(command) if CODES.contains(&command.cdb[0]))
}

/// Shows every request to `handle` from now on, and keeps a log of them; but for those by which a
/// unit is looked at.
pub(crate) fn watch(
    target: &Target,
    mut handle: impl FnMut(&Request, &Pdu) -> Handling + Send + 'static,
) -> Log {
    let log = Log::default();
    let seen = log.clone();
    target.on_request(move |wire, pdu| {
        let Ok(request) = Request::parse(&pdu.header) else { return Handling::Proceed };
        if looks_at_a_unit(&request) {
            return Handling::Proceed;
        }
        seen.0.lock().unwrap().push((wire.connection, request));
        handle(&request, pdu)
    });
    log
}

/// The target takes the next `commands` commands and never answers them; to task management
/// functions it gives these responses in turn, and then none either.
pub(crate) fn stall(target: &Target, commands: usize, responses: &[u8]) -> Log {
    let mut responses = VecDeque::from(responses.to_vec());
    stall_with(target, commands, move |management| match responses.pop_front() {
        Some(response) => vec![managed(management.initiator_task_tag, response)],
        None => Vec::new(),
    })
}

/// As [`stall`], with everything that goes out after a task management function.
pub(crate) fn stall_with(
    target: &Target,
    mut commands: usize,
    mut answer: impl FnMut(&TaskManagementRequest) -> Vec<Injection> + Send + 'static,
) -> Log {
    watch(target, move |request, _| match request {
        Request::ScsiCommand(_) if commands > 0 => {
            commands -= 1;
            Handling::Swallow
        }
        Request::TaskManagement(management) => Handling::Answer(answer(management)),
        _ => Handling::Proceed,
    })
}

/// A Task Management Function Response.
pub(crate) fn managed(initiator_task_tag: u32, response: u8) -> Injection {
    managed_with(initiator_task_tag, response, Vec::new())
}

/// A Task Management Function Response with a data segment, which none has.
pub(crate) fn managed_with(initiator_task_tag: u32, response: u8, data: Vec<u8>) -> Injection {
    let response = TaskManagementResponse { response, initiator_task_tag, numbers: NUMBERS };
    let pdu = Pdu::new(Response::TaskManagement(response).emit(), data);
    Injection { pdu, numbering: Numbering::Status }
}

/// A NOP-In that wants to be answered with this tag.
pub(crate) fn asking(target_transfer_tag: u32) -> Injection {
    let header = NopIn {
        lun: [0; 8],
        initiator_task_tag: RESERVED_TAG,
        target_transfer_tag,
        numbers: NUMBERS,
        data_segment_length: 0,
    };
    let pdu = Pdu::new(Response::NopIn(header).emit(), Vec::new());
    Injection { pdu, numbering: Numbering::Current }
}
