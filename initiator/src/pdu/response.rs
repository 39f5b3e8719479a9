//! PDUs that a target sends (RFC 7143 §11.4, 11.6–11.9, 11.11, 11.13, 11.15, 11.17, 11.19).

use super::request::Stage;
use super::serial::SerialNumber;

/// A response, decoded: one variant per target opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// Opcode 20h.
    NopIn(NopIn),
    /// Opcode 21h.
    Scsi(ScsiResponse),
    /// Opcode 22h.
    TaskManagement(TaskManagementResponse),
    /// Opcode 23h.
    Login(LoginResponse),
    /// Opcode 24h.
    Text(TextResponse),
    /// Opcode 25h.
    DataIn(DataIn),
    /// Opcode 26h.
    Logout(LogoutResponse),
    /// Opcode 31h.
    ReadyToTransfer(ReadyToTransfer),
    /// Opcode 32h.
    AsyncMessage(AsyncMessage),
    /// Opcode 3fh.
    Reject(Reject),
}

/// StatSN, ExpCmdSN and MaxCmdSN, which every response carries (§4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SequenceNumbers { pub stat_sn: SerialNumber, pub exp_cmd_sn: SerialNumber, pub max_cmd_sn: SerialNumber }

/// How many bytes a command moved less or more than expected (§11.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Residual { #[default] None, Underflow(u32), Overflow(u32) }

/// NOP-In (§11.19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NopIn { pub lun: [u8; 8], pub initiator_task_tag: u32, pub target_transfer_tag: u32, pub numbers: SequenceNumbers, pub data_segment_length: u32 }

/// SCSI Response (§11.4). The data segment is a big-endian u16 sense length and that many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScsiResponse {
    /// iSCSI service response (§11.4.3): 0 command completed at target, 1 target failure.
    pub response: u8,
    /// SAM status, meaningful when `response` is 0.
    pub status: u8,
    pub initiator_task_tag: u32,
    pub snack_tag: u32,
    pub numbers: SequenceNumbers,
    pub exp_data_sn: u32,
    pub residual: Residual,
    /// Residual of the read direction of a bidirectional command.
    pub bidirectional_read_residual: Residual,
    pub data_segment_length: u32,
}

/// Task Management Function Response (§11.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskManagementResponse { pub response: u8, pub initiator_task_tag: u32, pub numbers: SequenceNumbers }

/// Login Response (§11.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginResponse {
    pub transit: bool,
    pub text_continues: bool,
    pub current_stage: Stage,
    /// NSG; equal to `current_stage` when `transit` is not set.
    pub next_stage: Stage,
    pub version_max: u8,
    pub version_active: u8,
    pub isid: [u8; 6],
    pub tsih: u16,
    pub initiator_task_tag: u32,
    pub numbers: SequenceNumbers,
    pub status_class: u8,
    pub status_detail: u8,
    pub data_segment_length: u32,
}

/// Text Response (§11.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextResponse { pub last: bool, pub text_continues: bool, pub lun: [u8; 8], pub initiator_task_tag: u32, pub target_transfer_tag: u32, pub numbers: SequenceNumbers, pub data_segment_length: u32 }

/// SCSI Data-In (§11.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataIn {
    pub last: bool,
    pub acknowledge: bool,
    /// Status, when this PDU carries it (S). Then StatSN and the residual count too.
    pub status: Option<u8>,
    pub residual: Residual,
    pub lun: [u8; 8],
    pub initiator_task_tag: u32,
    pub target_transfer_tag: u32,
    pub numbers: SequenceNumbers,
    pub data_sn: u32,
    pub buffer_offset: u32,
    pub data_segment_length: u32,
}

/// Ready To Transfer (§11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadyToTransfer { pub lun: [u8; 8], pub initiator_task_tag: u32, pub target_transfer_tag: u32, pub numbers: SequenceNumbers, pub r2t_sn: u32, pub buffer_offset: u32, pub desired_data_transfer_length: u32 }

/// Logout Response (§11.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogoutResponse { pub response: u8, pub initiator_task_tag: u32, pub numbers: SequenceNumbers, pub time2wait: u16, pub time2retain: u16 }

/// Asynchronous Message (§11.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsyncMessage { pub lun: [u8; 8], pub numbers: SequenceNumbers, pub event: u8, pub vendor_code: u8, pub parameters: [u16; 3], pub data_segment_length: u32 }

/// Reject (§11.17). The data segment is the header of the rejected PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject { pub reason: u8, pub numbers: SequenceNumbers, pub data_sn_or_r2t_sn: u32, pub data_segment_length: u32 }
