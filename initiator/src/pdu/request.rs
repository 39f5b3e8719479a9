//! PDUs that an initiator sends (RFC 7143 §11.3, 11.5, 11.7, 11.10, 11.12, 11.14, 11.16, 11.18).

use super::bhs::{BasicHeaderSegment, opcode};
use super::parse::{ParseError, flag};
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

/// NOP-Out (§11.18): a ping, or the answer to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NopOut {
    /// I: do not advance CmdSN (§11.2.1.1).
    pub immediate: bool,
    /// LUN copied from the NOP-In that is answered, else zero (§11.18.2).
    pub lun: [u8; 8],
    /// Tag of the answer wanted, or [`RESERVED_TAG`](super::bhs::RESERVED_TAG) (§11.18.1).
    pub initiator_task_tag: u32,
    /// Tag of the NOP-In that is answered, or the reserved tag (§11.18.2).
    pub target_transfer_tag: u32,
    /// CmdSN (§4.2.2.1).
    pub cmd_sn: SerialNumber,
    /// ExpStatSN: every status before it has arrived (§4.2.2.2).
    pub exp_stat_sn: SerialNumber,
    /// Bytes of ping data (§11.18.3).
    pub data_segment_length: u32,
}

/// SCSI Command (§11.3), with a CDB of at most 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScsiCommand {
    /// I: deliver at once, outside the command order (§11.2.1.1).
    pub immediate: bool,
    /// F: no unsolicited Data-Out follows (§11.3.1).
    pub last: bool,
    /// R: data is expected to come in (§11.3.1).
    pub read: bool,
    /// W: data is expected to go out (§11.3.1).
    pub write: bool,
    /// Task attribute (§11.3.1).
    pub attribute: TaskAttribute,
    /// LUN addressed (§11.2.1.7).
    pub lun: [u8; 8],
    /// Tag of the task (§11.2.1.8).
    pub initiator_task_tag: u32,
    /// Bytes the command is expected to move (§11.3.4).
    pub expected_data_transfer_length: u32,
    /// CmdSN (§11.3.3).
    pub cmd_sn: SerialNumber,
    /// ExpStatSN (§11.3.3).
    pub exp_stat_sn: SerialNumber,
    /// Command descriptor block, padded with zeros (§11.3.5).
    pub cdb: [u8; 16],
    /// Bytes of immediate data in this PDU (§11.3.6).
    pub data_segment_length: u32,
}

/// Task attribute of a SCSI Command (§11.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum TaskAttribute {
    /// Code 0.
    Untagged,
    /// Code 1.
    #[default]
    Simple,
    /// Code 2.
    Ordered,
    /// Code 3.
    HeadOfQueue,
    /// Code 4.
    Aca,
}

/// Task Management Function Request (§11.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskManagementRequest {
    /// I: deliver at once, outside the command order (§11.2.1.1).
    pub immediate: bool,
    /// What to do (§11.5.1).
    pub function: TaskManagementFunction,
    /// LUN addressed, for the functions that have one (§11.5.3).
    pub lun: [u8; 8],
    /// Tag of this request itself (§11.2.1.8).
    pub initiator_task_tag: u32,
    /// Tag of the task meant, or the reserved tag (§11.5.4).
    pub referenced_task_tag: u32,
    /// CmdSN (§4.2.2.1).
    pub cmd_sn: SerialNumber,
    /// ExpStatSN (§4.2.2.2).
    pub exp_stat_sn: SerialNumber,
    /// CmdSN of the task meant, for ABORT TASK (§11.5.5).
    pub ref_cmd_sn: SerialNumber,
    /// ExpDataSN, for TASK REASSIGN (§11.5.6).
    pub exp_data_sn: u32,
}

/// Task management function (§11.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskManagementFunction {
    /// Code 1: abort the task that the Referenced Task Tag names.
    AbortTask,
    /// Code 2: abort all tasks of this session on the logical unit.
    AbortTaskSet,
    /// Code 3: clear the auto contingent allegiance.
    ClearAca,
    /// Code 4: abort all tasks of all sessions on the logical unit.
    ClearTaskSet,
    /// Code 5.
    LogicalUnitReset,
    /// Code 6.
    TargetWarmReset,
    /// Code 7.
    TargetColdReset,
    /// Code 8: error recovery level 2 only.
    TaskReassign,
    /// Any other seven-bit code, such as those of RFC 7144.
    Other(u8),
}

/// Login Request (§11.12); always immediate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginRequest {
    /// T: ready to leave the current stage (§11.12.1).
    pub transit: bool,
    /// C: the text goes on in the next PDU (§11.12.2).
    pub text_continues: bool,
    /// CSG (§11.12.3).
    pub current_stage: Stage,
    /// NSG (§11.12.3), meaningful when `transit`: emitted as zero otherwise, and parsed as
    /// `current_stage`.
    pub next_stage: Stage,
    /// Version-max (§11.12.4.1).
    pub version_max: u8,
    /// Version-min (§11.12.4.2).
    pub version_min: u8,
    /// ISID (§11.12.5).
    pub isid: [u8; 6],
    /// TSIH: zero for a new session (§11.12.6).
    pub tsih: u16,
    /// One tag for the whole login (§11.2.1.8).
    pub initiator_task_tag: u32,
    /// CID (§11.12.7).
    pub cid: u16,
    /// CmdSN: the initial one in a leading login (§11.12.8).
    pub cmd_sn: SerialNumber,
    /// ExpStatSN (§11.12.9).
    pub exp_stat_sn: SerialNumber,
    /// Bytes of text (§11.12.10).
    pub data_segment_length: u32,
}

/// Stage of a login (§11.12.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Code 0.
    SecurityNegotiation,
    /// Code 1.
    OperationalNegotiation,
    /// Code 3.
    FullFeaturePhase,
}

/// Text Request (§11.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextRequest {
    /// I: do not advance CmdSN (§11.2.1.1).
    pub immediate: bool,
    /// F: the initiator has nothing more to ask (§11.10.1).
    pub last: bool,
    /// C: the text goes on in the next PDU (§11.10.2).
    pub text_continues: bool,
    /// LUN copied from the Text Response before, else zero (§11.10.4).
    pub lun: [u8; 8],
    /// One tag for the whole exchange (§11.10.3).
    pub initiator_task_tag: u32,
    /// Tag of the Text Response before, else the reserved tag (§11.10.4).
    pub target_transfer_tag: u32,
    /// CmdSN (§4.2.2.1).
    pub cmd_sn: SerialNumber,
    /// ExpStatSN (§4.2.2.2).
    pub exp_stat_sn: SerialNumber,
    /// Bytes of text (§11.10.5).
    pub data_segment_length: u32,
}

/// SCSI Data-Out (§11.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataOut {
    /// F: last of its sequence (§11.7.1).
    pub last: bool,
    /// LUN copied from the R2T; zero or the command's in unsolicited data (§11.7.4).
    pub lun: [u8; 8],
    /// Tag of the command (§11.2.1.8).
    pub initiator_task_tag: u32,
    /// Tag of the R2T that is answered, the reserved tag in unsolicited data (§11.7.4).
    pub target_transfer_tag: u32,
    /// ExpStatSN (§4.2.2.2).
    pub exp_stat_sn: SerialNumber,
    /// Number of this PDU within its sequence, from 0 (§11.7.5).
    pub data_sn: u32,
    /// Where this data belongs in the command's transfer, in bytes (§11.7.6).
    pub buffer_offset: u32,
    /// Bytes of data (§11.7.7).
    pub data_segment_length: u32,
}

/// Logout Request (§11.14).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogoutRequest {
    /// I: do not advance CmdSN (§11.2.1.1).
    pub immediate: bool,
    /// What to close (§11.14.1).
    pub reason: LogoutReason,
    /// Tag of this request (§11.2.1.8).
    pub initiator_task_tag: u32,
    /// CID of the connection meant; reserved when the session is closed (§11.14.3).
    pub cid: u16,
    /// CmdSN (§4.2.2.1).
    pub cmd_sn: SerialNumber,
    /// ExpStatSN (§11.14.4).
    pub exp_stat_sn: SerialNumber,
}

/// What a Logout Request wants closed (§11.14.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutReason {
    /// Code 0.
    CloseSession,
    /// Code 1.
    CloseConnection,
    /// Code 2: error recovery level 2 only.
    RemoveForRecovery,
}

/// SNACK Request (§11.16): parsed by targets that refuse it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnackRequest {
    /// Type (§11.16.1).
    pub kind: u8,
    /// LUN, in a DataACK (§11.16.5).
    pub lun: [u8; 8],
    /// Tag of the task meant, or the reserved tag (§11.16.4).
    pub initiator_task_tag: u32,
    /// Target Transfer Tag or SNACK Tag (§11.16.5).
    pub target_transfer_tag: u32,
    /// ExpStatSN (§4.2.2.2).
    pub exp_stat_sn: SerialNumber,
    /// BegRun: first number asked for (§11.16.6).
    pub beg_run: u32,
    /// RunLength: how many, zero for all (§11.16.7).
    pub run_length: u32,
}

/// F in byte 1; fixed to one in PDUs that have no sequence.
const FINAL: u8 = 0x80;
/// T of a login (§11.12.1), at the place of F.
const TRANSIT: u8 = 0x80;
/// C of text and login.
const CONTINUE: u8 = 0x40;
/// R of a SCSI Command.
const READ: u8 = 0x40;
/// W of a SCSI Command.
const WRITE: u8 = 0x20;

impl Request {
    /// The header of this request. Its TotalAHSLength is zero: CDBs have at most 16 bytes.
    #[must_use]
    pub fn emit(&self) -> BasicHeaderSegment {
        match self {
            Self::NopOut(request) => request.emit(),
            Self::ScsiCommand(request) => request.emit(),
            Self::TaskManagement(request) => request.emit(),
            Self::Login(request) => request.emit(),
            Self::Text(request) => request.emit(),
            Self::DataOut(request) => request.emit(),
            Self::Logout(request) => request.emit(),
            Self::Snack(request) => request.emit(),
        }
    }

    /// Decodes a header that an initiator sent.
    ///
    /// Reserved bits are ignored, as are additional header segments.
    ///
    /// # Errors
    /// The opcode is none of an initiator's, or a field holds a code that RFC 7143 reserves.
    pub fn parse(header: &BasicHeaderSegment) -> Result<Self, ParseError> {
        Ok(match header.opcode() {
            opcode::NOP_OUT => Self::NopOut(NopOut::parse(header)),
            opcode::SCSI_COMMAND => Self::ScsiCommand(ScsiCommand::parse(header)?),
            opcode::TASK_MANAGEMENT_REQUEST => {
                Self::TaskManagement(TaskManagementRequest::parse(header))
            }
            opcode::LOGIN_REQUEST => Self::Login(LoginRequest::parse(header)?),
            opcode::TEXT_REQUEST => Self::Text(TextRequest::parse(header)?),
            opcode::DATA_OUT => Self::DataOut(DataOut::parse(header)),
            opcode::LOGOUT_REQUEST => Self::Logout(LogoutRequest::parse(header)?),
            opcode::SNACK_REQUEST => Self::Snack(SnackRequest::parse(header)),
            unknown => return Err(ParseError::new(header, "opcode of a request", unknown)),
        })
    }
}

impl NopOut {
    fn emit(&self) -> BasicHeaderSegment {
        let mut header = BasicHeaderSegment::new(opcode::NOP_OUT);
        header.set_immediate(self.immediate);
        header.set_u8::<1>(FINAL);
        header.set_data_segment_length(self.data_segment_length);
        header.set_lun(self.lun);
        header.set_initiator_task_tag(self.initiator_task_tag);
        header.set_u32::<20>(self.target_transfer_tag);
        header.set_u32::<24>(self.cmd_sn.0);
        header.set_u32::<28>(self.exp_stat_sn.0);
        header
    }

    fn parse(header: &BasicHeaderSegment) -> Self {
        Self {
            immediate: header.immediate(),
            lun: header.lun(),
            initiator_task_tag: header.initiator_task_tag(),
            target_transfer_tag: header.u32::<20>(),
            cmd_sn: SerialNumber(header.u32::<24>()),
            exp_stat_sn: SerialNumber(header.u32::<28>()),
            data_segment_length: header.data_segment_length(),
        }
    }
}

impl ScsiCommand {
    fn emit(&self) -> BasicHeaderSegment {
        let mut header = BasicHeaderSegment::new(opcode::SCSI_COMMAND);
        header.set_immediate(self.immediate);
        header.set_u8::<1>(
            flag(FINAL, self.last)
                | flag(READ, self.read)
                | flag(WRITE, self.write)
                | self.attribute.code(),
        );
        header.set_data_segment_length(self.data_segment_length);
        header.set_lun(self.lun);
        header.set_initiator_task_tag(self.initiator_task_tag);
        header.set_u32::<20>(self.expected_data_transfer_length);
        header.set_u32::<24>(self.cmd_sn.0);
        header.set_u32::<28>(self.exp_stat_sn.0);
        header.set_bytes::<32, 16>(self.cdb);
        header
    }

    fn parse(header: &BasicHeaderSegment) -> Result<Self, ParseError> {
        let flags = header.u8::<1>();
        Ok(Self {
            immediate: header.immediate(),
            last: flags & FINAL != 0,
            read: flags & READ != 0,
            write: flags & WRITE != 0,
            attribute: TaskAttribute::from_code(flags & 0x07)
                .ok_or_else(|| ParseError::new(header, "ATTR", flags & 0x07))?,
            lun: header.lun(),
            initiator_task_tag: header.initiator_task_tag(),
            expected_data_transfer_length: header.u32::<20>(),
            cmd_sn: SerialNumber(header.u32::<24>()),
            exp_stat_sn: SerialNumber(header.u32::<28>()),
            cdb: header.bytes::<32, 16>(),
            data_segment_length: header.data_segment_length(),
        })
    }
}

impl TaskAttribute {
    const fn code(self) -> u8 {
        match self {
            Self::Untagged => 0,
            Self::Simple => 1,
            Self::Ordered => 2,
            Self::HeadOfQueue => 3,
            Self::Aca => 4,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::Untagged,
            1 => Self::Simple,
            2 => Self::Ordered,
            3 => Self::HeadOfQueue,
            4 => Self::Aca,
            _ => return None,
        })
    }
}

impl TaskManagementRequest {
    fn emit(&self) -> BasicHeaderSegment {
        let mut header = BasicHeaderSegment::new(opcode::TASK_MANAGEMENT_REQUEST);
        header.set_immediate(self.immediate);
        header.set_u8::<1>(FINAL | self.function.code());
        header.set_lun(self.lun);
        header.set_initiator_task_tag(self.initiator_task_tag);
        header.set_u32::<20>(self.referenced_task_tag);
        header.set_u32::<24>(self.cmd_sn.0);
        header.set_u32::<28>(self.exp_stat_sn.0);
        header.set_u32::<32>(self.ref_cmd_sn.0);
        header.set_u32::<36>(self.exp_data_sn);
        header
    }

    fn parse(header: &BasicHeaderSegment) -> Self {
        Self {
            immediate: header.immediate(),
            function: TaskManagementFunction::from_code(header.u8::<1>()),
            lun: header.lun(),
            initiator_task_tag: header.initiator_task_tag(),
            referenced_task_tag: header.u32::<20>(),
            cmd_sn: SerialNumber(header.u32::<24>()),
            exp_stat_sn: SerialNumber(header.u32::<28>()),
            ref_cmd_sn: SerialNumber(header.u32::<32>()),
            exp_data_sn: header.u32::<36>(),
        }
    }
}

impl TaskManagementFunction {
    const fn code(self) -> u8 {
        match self {
            Self::AbortTask => 1,
            Self::AbortTaskSet => 2,
            Self::ClearAca => 3,
            Self::ClearTaskSet => 4,
            Self::LogicalUnitReset => 5,
            Self::TargetWarmReset => 6,
            Self::TargetColdReset => 7,
            Self::TaskReassign => 8,
            Self::Other(code) => code & 0x7f,
        }
    }

    const fn from_code(code: u8) -> Self {
        match code & 0x7f {
            1 => Self::AbortTask,
            2 => Self::AbortTaskSet,
            3 => Self::ClearAca,
            4 => Self::ClearTaskSet,
            5 => Self::LogicalUnitReset,
            6 => Self::TargetWarmReset,
            7 => Self::TargetColdReset,
            8 => Self::TaskReassign,
            code => Self::Other(code),
        }
    }
}

impl LoginRequest {
    fn emit(&self) -> BasicHeaderSegment {
        let mut header = BasicHeaderSegment::new(opcode::LOGIN_REQUEST);
        header.set_immediate(true);
        header.set_u8::<1>(emit_stages(
            self.transit,
            self.text_continues,
            self.current_stage,
            self.next_stage,
        ));
        header.set_u8::<2>(self.version_max);
        header.set_u8::<3>(self.version_min);
        header.set_data_segment_length(self.data_segment_length);
        header.set_bytes::<8, 6>(self.isid);
        header.set_u16::<14>(self.tsih);
        header.set_initiator_task_tag(self.initiator_task_tag);
        header.set_u16::<20>(self.cid);
        header.set_u32::<24>(self.cmd_sn.0);
        header.set_u32::<28>(self.exp_stat_sn.0);
        header
    }

    fn parse(header: &BasicHeaderSegment) -> Result<Self, ParseError> {
        let stages = parse_stages(header)?;
        Ok(Self {
            transit: stages.transit,
            text_continues: stages.text_continues,
            current_stage: stages.current,
            next_stage: stages.next,
            version_max: header.u8::<2>(),
            version_min: header.u8::<3>(),
            isid: header.bytes::<8, 6>(),
            tsih: header.u16::<14>(),
            initiator_task_tag: header.initiator_task_tag(),
            cid: header.u16::<20>(),
            cmd_sn: SerialNumber(header.u32::<24>()),
            exp_stat_sn: SerialNumber(header.u32::<28>()),
            data_segment_length: header.data_segment_length(),
        })
    }
}

impl Stage {
    const fn code(self) -> u8 {
        match self {
            Self::SecurityNegotiation => 0,
            Self::OperationalNegotiation => 1,
            Self::FullFeaturePhase => 3,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::SecurityNegotiation,
            1 => Self::OperationalNegotiation,
            3 => Self::FullFeaturePhase,
            _ => return None,
        })
    }
}

/// Byte 1 of a Login Request or Response (§11.12.1–11.12.3).
pub(super) struct Stages {
    pub(super) transit: bool,
    pub(super) text_continues: bool,
    pub(super) current: Stage,
    pub(super) next: Stage,
}

impl Stages {
    /// Where every login starts, and nothing about where it goes.
    pub(super) const NONE: Self = Self {
        transit: false,
        text_continues: false,
        current: Stage::SecurityNegotiation,
        next: Stage::SecurityNegotiation,
    };
}

pub(super) fn parse_stages(header: &BasicHeaderSegment) -> Result<Stages, ParseError> {
    let byte = header.u8::<1>();
    let transit = byte & TRANSIT != 0;
    let text_continues = byte & CONTINUE != 0;
    if transit && text_continues {
        return Err(ParseError::new(header, "T together with C", byte));
    }
    let (csg, nsg) = ((byte >> 2) & 0x03, byte & 0x03);
    let current = Stage::from_code(csg).ok_or_else(|| ParseError::new(header, "CSG", csg))?;
    // Without T the field is reserved, so whatever it holds is ignored.
    let next = match transit {
        true => Stage::from_code(nsg).ok_or_else(|| ParseError::new(header, "NSG", nsg))?,
        false => current,
    };
    Ok(Stages { transit, text_continues, current, next })
}

pub(super) fn emit_stages(transit: bool, text_continues: bool, current: Stage, next: Stage) -> u8 {
    flag(TRANSIT, transit)
        | flag(CONTINUE, text_continues)
        | current.code() << 2
        | flag(next.code(), transit)
}

impl TextRequest {
    fn emit(&self) -> BasicHeaderSegment {
        let mut header = BasicHeaderSegment::new(opcode::TEXT_REQUEST);
        header.set_immediate(self.immediate);
        header.set_u8::<1>(flag(FINAL, self.last) | flag(CONTINUE, self.text_continues));
        header.set_data_segment_length(self.data_segment_length);
        header.set_lun(self.lun);
        header.set_initiator_task_tag(self.initiator_task_tag);
        header.set_u32::<20>(self.target_transfer_tag);
        header.set_u32::<24>(self.cmd_sn.0);
        header.set_u32::<28>(self.exp_stat_sn.0);
        header
    }

    fn parse(header: &BasicHeaderSegment) -> Result<Self, ParseError> {
        let (last, text_continues) = parse_text_flags(header)?;
        Ok(Self {
            immediate: header.immediate(),
            last,
            text_continues,
            lun: header.lun(),
            initiator_task_tag: header.initiator_task_tag(),
            target_transfer_tag: header.u32::<20>(),
            cmd_sn: SerialNumber(header.u32::<24>()),
            exp_stat_sn: SerialNumber(header.u32::<28>()),
            data_segment_length: header.data_segment_length(),
        })
    }
}

/// F and C of a Text Request or Response, which exclude each other (§11.10.2, 11.11.2).
pub(super) fn parse_text_flags(header: &BasicHeaderSegment) -> Result<(bool, bool), ParseError> {
    let byte = header.u8::<1>();
    match (byte & FINAL != 0, byte & CONTINUE != 0) {
        (true, true) => Err(ParseError::new(header, "F together with C", byte)),
        flags => Ok(flags),
    }
}

impl DataOut {
    fn emit(&self) -> BasicHeaderSegment {
        let mut header = BasicHeaderSegment::new(opcode::DATA_OUT);
        header.set_u8::<1>(flag(FINAL, self.last));
        header.set_data_segment_length(self.data_segment_length);
        header.set_lun(self.lun);
        header.set_initiator_task_tag(self.initiator_task_tag);
        header.set_u32::<20>(self.target_transfer_tag);
        header.set_u32::<28>(self.exp_stat_sn.0);
        header.set_u32::<36>(self.data_sn);
        header.set_u32::<40>(self.buffer_offset);
        header
    }

    fn parse(header: &BasicHeaderSegment) -> Self {
        Self {
            last: header.u8::<1>() & FINAL != 0,
            lun: header.lun(),
            initiator_task_tag: header.initiator_task_tag(),
            target_transfer_tag: header.u32::<20>(),
            exp_stat_sn: SerialNumber(header.u32::<28>()),
            data_sn: header.u32::<36>(),
            buffer_offset: header.u32::<40>(),
            data_segment_length: header.data_segment_length(),
        }
    }
}

impl LogoutRequest {
    fn emit(&self) -> BasicHeaderSegment {
        let mut header = BasicHeaderSegment::new(opcode::LOGOUT_REQUEST);
        header.set_immediate(self.immediate);
        header.set_u8::<1>(FINAL | self.reason.code());
        header.set_initiator_task_tag(self.initiator_task_tag);
        header.set_u16::<20>(self.cid);
        header.set_u32::<24>(self.cmd_sn.0);
        header.set_u32::<28>(self.exp_stat_sn.0);
        header
    }

    fn parse(header: &BasicHeaderSegment) -> Result<Self, ParseError> {
        let reason = header.u8::<1>() & 0x7f;
        Ok(Self {
            immediate: header.immediate(),
            reason: LogoutReason::from_code(reason)
                .ok_or_else(|| ParseError::new(header, "Reason Code", reason))?,
            initiator_task_tag: header.initiator_task_tag(),
            cid: header.u16::<20>(),
            cmd_sn: SerialNumber(header.u32::<24>()),
            exp_stat_sn: SerialNumber(header.u32::<28>()),
        })
    }
}

impl LogoutReason {
    const fn code(self) -> u8 {
        match self {
            Self::CloseSession => 0,
            Self::CloseConnection => 1,
            Self::RemoveForRecovery => 2,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            0 => Self::CloseSession,
            1 => Self::CloseConnection,
            2 => Self::RemoveForRecovery,
            _ => return None,
        })
    }
}

impl SnackRequest {
    fn emit(&self) -> BasicHeaderSegment {
        let mut header = BasicHeaderSegment::new(opcode::SNACK_REQUEST);
        header.set_u8::<1>(FINAL | (self.kind & 0x0f));
        header.set_lun(self.lun);
        header.set_initiator_task_tag(self.initiator_task_tag);
        header.set_u32::<20>(self.target_transfer_tag);
        header.set_u32::<28>(self.exp_stat_sn.0);
        header.set_u32::<40>(self.beg_run);
        header.set_u32::<44>(self.run_length);
        header
    }

    fn parse(header: &BasicHeaderSegment) -> Self {
        Self {
            kind: header.u8::<1>() & 0x0f,
            lun: header.lun(),
            initiator_task_tag: header.initiator_task_tag(),
            target_transfer_tag: header.u32::<20>(),
            exp_stat_sn: SerialNumber(header.u32::<28>()),
            beg_run: header.u32::<40>(),
            run_length: header.u32::<44>(),
        }
    }
}
