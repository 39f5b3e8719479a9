//! Answers made by hand, for scripts that say what the target would not.

use isboot::pdu::response::{AsyncMessage, Residual, Response, ScsiResponse};

use super::NUMBERS;
use crate::target::{Injection, Numbering, Pdu};

/// A response that takes a StatSN.
#[must_use]
pub fn status_pdu(response: Response, data: impl Into<Vec<u8>>) -> Injection {
    Injection { pdu: Pdu::new(response.emit(), data.into()), numbering: Numbering::Status }
}

/// A SCSI Response with this SAM status and data segment.
#[must_use]
pub fn scsi_response(
    initiator_task_tag: u32,
    status: u8,
    residual: Residual,
    segment: impl Into<Vec<u8>>,
) -> Injection {
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
    status_pdu(Response::Scsi(response), segment)
}

/// GOOD for a task, whatever became of its data.
#[must_use]
pub fn good(initiator_task_tag: u32, residual: Residual) -> Injection {
    scsi_response(initiator_task_tag, 0, residual, [])
}

/// An Asynchronous Message for LUN 0.
#[must_use]
pub fn asynchronous(event: u8, parameters: [u16; 3], data: impl Into<Vec<u8>>) -> Injection {
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
