//! PDUs that an initiator sends (RFC 7143 §11.3, 11.5, 11.7, 11.10, 11.12, 11.14, 11.16, 11.18).

use super::serial::SerialNumber;

/// A request, decoded: one variant per initiator opcode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Opcode 00h.
    NopOut(NopOut),
    /// Opcode 01h.
    ScsiCommand(ScsiCommand),
    /// Opcode 02h.
    TaskManagement(TaskManagementRequest),
    /// Opcode 03h.
    Login(LoginRequest),
    /// Opcode 04h.
    Text(TextRequest),
    /// Opcode 05h.
    DataOut(DataOut),
    /// Opcode 06h.
    Logout(LogoutRequest),
    /// Opcode 10h; an initiator at error recovery level 0 never sends one.
    Snack(SnackRequest),
}

/// NOP-Out (§11.18).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NopOut {
    pub immediate: bool,
    pub lun: [u8; 8],
    pub initiator_task_tag: u32,
    pub target_transfer_tag: u32,
    pub cmd_sn: SerialNumber,
    pub exp_stat_sn: SerialNumber,
    pub data_segment_length: u32,
}

/// Task attribute of a SCSI Command (§11.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TaskAttribute { Untagged, #[default] Simple, Ordered, HeadOfQueue, Aca }

/// SCSI Command (§11.3), with a CDB of at most 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScsiCommand {
    pub immediate: bool,
    /// F: no unsolicited Data-Out follows.
    pub last: bool,
    pub read: bool,
    pub write: bool,
    pub attribute: TaskAttribute,
    pub lun: [u8; 8],
    pub initiator_task_tag: u32,
    pub expected_data_transfer_length: u32,
    pub cmd_sn: SerialNumber,
    pub exp_stat_sn: SerialNumber,
    pub cdb: [u8; 16],
    /// Immediate data carried by this PDU.
    pub data_segment_length: u32,
}

/// Task management function (§11.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskManagementFunction { AbortTask, AbortTaskSet, ClearAca, ClearTaskSet, LogicalUnitReset, TargetWarmReset, TargetColdReset, TaskReassign, Other(u8) }

/// Task Management Function Request (§11.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskManagementRequest {
    pub immediate: bool,
    pub function: TaskManagementFunction,
    pub lun: [u8; 8],
    pub initiator_task_tag: u32,
    pub referenced_task_tag: u32,
    pub cmd_sn: SerialNumber,
    pub exp_stat_sn: SerialNumber,
    pub ref_cmd_sn: SerialNumber,
    pub exp_data_sn: u32,
}

/// Stage of a login (§11.12.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage { SecurityNegotiation, OperationalNegotiation, FullFeaturePhase }

/// Login Request (§11.12); always immediate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginRequest {
    /// T.
    pub transit: bool,
    /// C: the text goes on in the next PDU.
    pub text_continues: bool,
    pub current_stage: Stage,
    /// NSG; meaningful when `transit`. Emitted as zero otherwise.
    pub next_stage: Stage,
    pub version_max: u8,
    pub version_min: u8,
    pub isid: [u8; 6],
    pub tsih: u16,
    pub initiator_task_tag: u32,
    pub cid: u16,
    pub cmd_sn: SerialNumber,
    pub exp_stat_sn: SerialNumber,
    pub data_segment_length: u32,
}

/// Text Request (§11.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextRequest {
    pub immediate: bool,
    /// F.
    pub last: bool,
    /// C.
    pub text_continues: bool,
    pub lun: [u8; 8],
    pub initiator_task_tag: u32,
    pub target_transfer_tag: u32,
    pub cmd_sn: SerialNumber,
    pub exp_stat_sn: SerialNumber,
    pub data_segment_length: u32,
}

/// SCSI Data-Out (§11.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataOut {
    /// F: last of its sequence.
    pub last: bool,
    pub lun: [u8; 8],
    pub initiator_task_tag: u32,
    pub target_transfer_tag: u32,
    pub exp_stat_sn: SerialNumber,
    pub data_sn: u32,
    pub buffer_offset: u32,
    pub data_segment_length: u32,
}

/// What a Logout Request wants closed (§11.14.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutReason { CloseSession, CloseConnection, RemoveForRecovery }

/// Logout Request (§11.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogoutRequest {
    pub immediate: bool,
    pub reason: LogoutReason,
    pub initiator_task_tag: u32,
    pub cid: u16,
    pub cmd_sn: SerialNumber,
    pub exp_stat_sn: SerialNumber,
}

/// SNACK Request (§11.16): parsed by targets, so that tests can refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnackRequest {
    pub kind: u8,
    pub lun: [u8; 8],
    pub initiator_task_tag: u32,
    pub target_transfer_tag: u32,
    pub exp_stat_sn: SerialNumber,
    pub beg_run: u32,
    pub run_length: u32,
}
