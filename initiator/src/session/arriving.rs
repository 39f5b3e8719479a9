//! What the session remembers of a PDU while its data segment arrives.

use crate::pdu::response::{
    AsyncMessage, DataIn, LoginResponse, Reject, Response, ScsiResponse, TextResponse,
};

/// The PDU whose header has arrived and whose end has not.
#[derive(Clone, Copy, Debug)]
pub(super) enum Arriving {
    Nothing,
    Login(LoginResponse),
    /// Read data of the task in slot `index`; `position` is where the next byte belongs.
    Data {
        header: DataIn,
        index: u16,
        position: u32,
    },
    /// Status; `sense_length` is known once two bytes of the data segment have come.
    Status {
        header: ScsiResponse,
        index: u16,
        prefix: SensePrefix,
    },
    /// The header of what was rejected is gathered in the connection.
    Reject(Reject),
    /// Comes for a task that the target was made to end; nobody wants it.
    Late(Response),
    Text(TextResponse),
    /// An Asynchronous Message; a SCSI event brings sense data in the form of a status'.
    Async {
        header: AsyncMessage,
        prefix: SensePrefix,
    },
    /// A PDU whose data segment is of no interest.
    Other(Response),
}

/// The two length bytes ahead of sense data, as far as they have come (RFC 7143 §11.4.7.2).
#[derive(Clone, Copy, Debug)]
pub(super) enum SensePrefix {
    None,
    One(u8),
    Length(u16),
}
