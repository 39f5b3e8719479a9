//! What several suites need: answers made by hand, and settings.

use std::sync::{Arc, Mutex};

use isboot::pdu::request::Request;
use isboot::pdu::response::{AsyncMessage, Reject, Residual, Response, ScsiResponse};
use isboot_tests::pair::NUMBERS;
use isboot_tests::target::{Handling, Injection, Numbering, Pdu, Target};

/// Requests as they came, each with the number of its connection.
#[derive(Clone, Default)]
pub(crate) struct Requests(Arc<Mutex<Vec<(u64, Request)>>>);

impl Requests {
    /// Records what `target` gets, which serves it as ever.
    pub(crate) fn of(target: &Target) -> Self {
        Self::scripted(target, |_, _| Handling::Proceed)
    }

    /// Records what `target` gets and `script` decides upon.
    pub(crate) fn scripted(
        target: &Target,
        mut script: impl FnMut(u64, &Request) -> Handling + Send + 'static,
    ) -> Self {
        let requests = Self::default();
        let record = requests.clone();
        target.on_request(move |wire, pdu| {
            let Ok(request) = Request::parse(&pdu.header) else { return Handling::Proceed };
            record.0.lock().unwrap().push((wire.connection, request));
            script(wire.connection, &request)
        });
        requests
    }

    /// What came over this connection.
    pub(crate) fn on(&self, connection: u64) -> Vec<Request> {
        let requests = self.0.lock().unwrap();
        requests.iter().filter(|(on, _)| *on == connection).map(|(_, request)| *request).collect()
    }

    /// What `pick` makes of everything that came.
    pub(crate) fn pick<T>(&self, pick: impl Fn(&Request) -> Option<T>) -> Vec<T> {
        self.0.lock().unwrap().iter().filter_map(|(_, request)| pick(request)).collect()
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

/// A response that takes a StatSN.
pub(crate) fn status_pdu(response: Response, data: impl Into<Vec<u8>>) -> Injection {
    Injection { pdu: Pdu::new(response.emit(), data.into()), numbering: Numbering::Status }
}

/// An Asynchronous Message for LUN 0.
pub(crate) fn asynchronous(event: u8, parameters: [u16; 3], data: impl Into<Vec<u8>>) -> Injection {
    let message = AsyncMessage {
        lun: [0; 8],
        numbers: NUMBERS,
        event,
        vendor_code: if event == 255 { 7 } else { 0 },
        parameters,
        data_segment_length: 0,
    };
    status_pdu(Response::AsyncMessage(message), data)
}

/// GOOD for a task, whatever became of its data.
#[allow(dead_code, reason = "the suites come one by one")]
pub(crate) fn good(initiator_task_tag: u32, residual: Residual) -> Injection {
    status(initiator_task_tag, 0, residual)
}

/// A SCSI Response with this SAM status, without data.
#[allow(dead_code, reason = "the suites come one by one")]
pub(crate) fn status(initiator_task_tag: u32, status: u8, residual: Residual) -> Injection {
    let response = ScsiResponse {
        response: 0,
        status,
        initiator_task_tag,
        snack_tag: 0,
        numbers: NUMBERS,
        exp_data_sn: 0,
        residual,
        bidirectional_read_residual: Residual::None,
        data_segment_length: 0,
    };
    let pdu = Pdu::new(Response::Scsi(response).emit(), Vec::new());
    Injection { pdu, numbering: Numbering::Status }
}

/// A Reject with this reason (RFC 7143 §11.17) and these bytes of what it rejects.
#[allow(dead_code, reason = "the suites come one by one")]
pub(crate) fn reject(reason: u8, rejected: &[u8]) -> Injection {
    let header = Reject { reason, numbers: NUMBERS, data_sn_or_r2t_sn: 0, data_segment_length: 0 };
    let pdu = Pdu::new(Response::Reject(header).emit(), rejected.to_vec());
    Injection { pdu, numbering: Numbering::Status }
}
