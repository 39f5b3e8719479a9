//! What several suites need: answers made by hand, and settings.

use isboot::pdu::response::{Reject, Residual, Response, ScsiResponse};
use isboot_tests::pair::NUMBERS;
use isboot_tests::target::{Injection, Numbering, Pdu};

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
