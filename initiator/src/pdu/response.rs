//! PDUs that a target sends (RFC 7143 §11.4, 11.6–11.9, 11.11, 11.13, 11.15, 11.17, 11.19).

use super::bhs::{BasicHeaderSegment, RESERVED_TAG, opcode};
use super::parse::{ParseError, flag};
use super::request::{Stage, Stages, emit_stages, parse_stages, parse_text_flags};
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
pub struct SequenceNumbers {
    /// StatSN: the number of this status, or of the next one in PDUs that carry none (§11.4.9).
    pub stat_sn: SerialNumber,
    /// ExpCmdSN: the next CmdSN the target wants to see (§11.4.10).
    pub exp_cmd_sn: SerialNumber,
    /// MaxCmdSN: the highest CmdSN the target takes (§11.4.11).
    pub max_cmd_sn: SerialNumber,
}

/// How many bytes a command moved less or more than expected (§11.4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Residual {
    /// Exactly what was expected, as far as the target says.
    #[default]
    None,
    /// U: this many of the expected bytes were not moved.
    Underflow(u32),
    /// O: this many bytes more were there to move.
    Overflow(u32),
}

/// NOP-In (§11.19): a ping, or the answer to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NopIn {
    /// LUN to be copied into the answer (§11.19.1).
    pub lun: [u8; 8],
    /// Tag of the NOP-Out that is answered, or the reserved tag (§11.19).
    pub initiator_task_tag: u32,
    /// Tag to be copied into the answer; the reserved tag wants none (§11.19.1).
    pub target_transfer_tag: u32,
    /// Counters; StatSN does not advance when the Initiator Task Tag is reserved (§11.19.2).
    pub numbers: SequenceNumbers,
    /// Bytes of ping data sent back.
    pub data_segment_length: u32,
}

/// SCSI Response (§11.4). The data segment is a big-endian u16 sense length and that many bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScsiResponse {
    /// iSCSI service response (§11.4.3): 0 command completed at target, 1 target failure.
    pub response: u8,
    /// SAM status (§11.4.2), meaningful when `response` is 0.
    pub status: u8,
    /// Tag of the task (§11.2.1.8).
    pub initiator_task_tag: u32,
    /// SNACK Tag (§11.4.4): error recovery level 1 and above.
    pub snack_tag: u32,
    /// Counters.
    pub numbers: SequenceNumbers,
    /// ExpDataSN: how many Data-In and R2T PDUs the target sent for the task (§11.4.8).
    pub exp_data_sn: u32,
    /// Residual count (§11.4.5); `None` when `response` is not 0.
    pub residual: Residual,
    /// Residual of the read direction of a bidirectional command (§11.4.6).
    pub bidirectional_read_residual: Residual,
    /// Bytes of sense length, sense and response data (§11.4.7).
    pub data_segment_length: u32,
}

/// Task Management Function Response (§11.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskManagementResponse {
    /// Outcome (§11.6.1): 0 complete, 1 no such task, 2 no such LUN, others refused.
    pub response: u8,
    /// Tag of the request (§11.2.1.8).
    pub initiator_task_tag: u32,
    /// Counters.
    pub numbers: SequenceNumbers,
}

/// Login Response (§11.13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginResponse {
    /// T: the target goes to the next stage too (§11.13.6).
    pub transit: bool,
    /// C: the text goes on in the next PDU (§11.13.7).
    pub text_continues: bool,
    /// CSG.
    pub current_stage: Stage,
    /// NSG; equal to `current_stage` when `transit` is not set.
    pub next_stage: Stage,
    /// Version-max (§11.13.1).
    pub version_max: u8,
    /// Version-active (§11.13.2).
    pub version_active: u8,
    /// ISID, as in the request.
    pub isid: [u8; 6],
    /// TSIH: assigned in the last response of a new session's login (§11.13.3).
    pub tsih: u16,
    /// Tag of the login.
    pub initiator_task_tag: u32,
    /// Counters; void when `status_class` is not 0 (§11.13.5).
    pub numbers: SequenceNumbers,
    /// Status-Class (§11.13.5).
    pub status_class: u8,
    /// Status-Detail (§11.13.5).
    pub status_detail: u8,
    /// Bytes of text.
    pub data_segment_length: u32,
}

/// Text Response (§11.11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextResponse {
    /// F: the target has nothing more to say (§11.11.1).
    pub last: bool,
    /// C: the text goes on in the next PDU (§11.11.2).
    pub text_continues: bool,
    /// LUN to be copied into the next request (§11.11.4).
    pub lun: [u8; 8],
    /// Tag of the exchange (§11.11.3).
    pub initiator_task_tag: u32,
    /// Tag to be copied into the next request (§11.11.4).
    pub target_transfer_tag: u32,
    /// Counters.
    pub numbers: SequenceNumbers,
    /// Bytes of text (§11.11.6).
    pub data_segment_length: u32,
}

/// SCSI Data-In (§11.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataIn {
    /// F: last of its sequence (§11.7.1).
    pub last: bool,
    /// A: error recovery level 1 and above; ignored at level 0 (§11.7.2).
    pub acknowledge: bool,
    /// Status, when this PDU carries it (S, §11.7.3). Then StatSN and the residual count too;
    /// otherwise StatSN is reserved: emitted and parsed as zero.
    pub status: Option<u8>,
    /// Residual count (§11.4.5), only together with a status.
    pub residual: Residual,
    /// LUN, only together with A (§11.7.4).
    pub lun: [u8; 8],
    /// Tag of the command (§11.2.1.8).
    pub initiator_task_tag: u32,
    /// Tag, only together with A (§11.7.4).
    pub target_transfer_tag: u32,
    /// Counters.
    pub numbers: SequenceNumbers,
    /// Number of this PDU among the command's Data-In, from 0 (§11.7.5).
    pub data_sn: u32,
    /// Where this data belongs in the command's transfer, in bytes (§11.7.6).
    pub buffer_offset: u32,
    /// Bytes of data (§11.7.7).
    pub data_segment_length: u32,
}

/// Ready To Transfer (§11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadyToTransfer {
    /// LUN of the command, copied into the answers (§11.8.5).
    pub lun: [u8; 8],
    /// Tag of the command (§11.2.1.8).
    pub initiator_task_tag: u32,
    /// Tag to be copied into the answers; never the reserved one (§11.8.5).
    pub target_transfer_tag: u32,
    /// Counters; StatSN does not advance (§11.8.3).
    pub numbers: SequenceNumbers,
    /// Number of this R2T for the command, from 0 (§11.8.2).
    pub r2t_sn: u32,
    /// First byte wanted, in the command's transfer (§11.8.4).
    pub buffer_offset: u32,
    /// How many bytes are wanted; 1 to MaxBurstLength (§11.8.4).
    pub desired_data_transfer_length: u32,
}

/// Logout Response (§11.15).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogoutResponse {
    /// Outcome (§11.15.1): 0 closed.
    pub response: u8,
    /// Tag of the request (§11.2.1.8).
    pub initiator_task_tag: u32,
    /// Counters.
    pub numbers: SequenceNumbers,
    /// Seconds before the next try (§11.15.3).
    pub time2wait: u16,
    /// Seconds for which task state is kept after that (§11.15.4).
    pub time2retain: u16,
}

/// Asynchronous Message (§11.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AsyncMessage {
    /// LUN, in events 0 and 5 (§11.9.3).
    pub lun: [u8; 8],
    /// Counters.
    pub numbers: SequenceNumbers,
    /// AsyncEvent (§11.9.1).
    pub event: u8,
    /// AsyncVCode, in event 255 (§11.9.2).
    pub vendor_code: u8,
    /// Parameter1 to Parameter3, by event (§11.9.1).
    pub parameters: [u16; 3],
    /// Bytes of sense or vendor data (§11.9.4).
    pub data_segment_length: u32,
}

/// Reject (§11.17). The data segment is the header of the rejected PDU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Reason (§11.17.1).
    pub reason: u8,
    /// Counters.
    pub numbers: SequenceNumbers,
    /// DataSN or R2TSN, after a rejected SNACK (§11.17.2).
    pub data_sn_or_r2t_sn: u32,
    /// Bytes of the rejected header.
    pub data_segment_length: u32,
}

/// F in byte 1; fixed to one in PDUs that have no sequence.
const FINAL: u8 = 0x80;
/// A of a Data-In; C of a Text Response.
const ACKNOWLEDGE: u8 = 0x40;
const CONTINUE: u8 = 0x40;
/// S of a Data-In.
const STATUS: u8 = 0x01;
/// The shift of o and u against O and U.
const BIDIRECTIONAL: u8 = 2;

impl Response {
    /// The header of this response.
    #[must_use]
    pub fn emit(&self) -> BasicHeaderSegment {
        match self {
            Self::NopIn(response) => response.emit(),
            Self::Scsi(response) => response.emit(),
            Self::TaskManagement(response) => response.emit(),
            Self::Login(response) => response.emit(),
            Self::Text(response) => response.emit(),
            Self::DataIn(response) => response.emit(),
            Self::Logout(response) => response.emit(),
            Self::ReadyToTransfer(response) => response.emit(),
            Self::AsyncMessage(response) => response.emit(),
            Self::Reject(response) => response.emit(),
        }
    }

    /// Decodes a header that a target sent.
    ///
    /// Reserved bits are ignored. Additional header segments are a command's (§11.2.2): skipped in
    /// a response they would cost bytes of whatever a length in error made them.
    ///
    /// # Errors
    /// The opcode is none of a target's, a field holds a code that RFC 7143 reserves, O and U
    /// are both set (§11.4.1), S without F (§11.7.3), C together with F or T, additional header
    /// segments, or data in a PDU that has none (§11.6.2, §11.8.1, §11.15.2).
    pub fn parse(header: &BasicHeaderSegment) -> Result<Self, ParseError> {
        expect_none(header, "TotalAHSLength", header.total_ahs_length().into())?;
        Ok(match header.opcode() {
            opcode::NOP_IN => Self::NopIn(NopIn::parse(header)),
            opcode::SCSI_RESPONSE => Self::Scsi(ScsiResponse::parse(header)?),
            opcode::TASK_MANAGEMENT_RESPONSE => {
                Self::TaskManagement(TaskManagementResponse::parse(header)?)
            }
            opcode::LOGIN_RESPONSE => Self::Login(LoginResponse::parse(header)?),
            opcode::TEXT_RESPONSE => Self::Text(TextResponse::parse(header)?),
            opcode::DATA_IN => Self::DataIn(DataIn::parse(header)?),
            opcode::LOGOUT_RESPONSE => Self::Logout(LogoutResponse::parse(header)?),
            opcode::READY_TO_TRANSFER => Self::ReadyToTransfer(ReadyToTransfer::parse(header)?),
            opcode::ASYNC_MESSAGE => Self::AsyncMessage(AsyncMessage::parse(header)),
            opcode::REJECT => Self::Reject(Reject::parse(header)),
            unknown => return Err(ParseError::new(header, "opcode of a response", unknown)),
        })
    }
}

/// For PDUs of nothing but a Basic Header Segment.
fn expect_bare(header: &BasicHeaderSegment) -> Result<(), ParseError> {
    expect_none(header, "DataSegmentLength", header.data_segment_length())
}

fn expect_none(
    header: &BasicHeaderSegment,
    field: &'static str,
    value: u32,
) -> Result<(), ParseError> {
    if value == 0 { Ok(()) } else { Err(ParseError { opcode: header.opcode(), field, value }) }
}

impl SequenceNumbers {
    fn emit(&self, header: &mut BasicHeaderSegment) {
        header.set_u32::<24>(self.stat_sn.0);
        header.set_u32::<28>(self.exp_cmd_sn.0);
        header.set_u32::<32>(self.max_cmd_sn.0);
    }

    fn parse(header: &BasicHeaderSegment) -> Self {
        Self {
            stat_sn: SerialNumber(header.u32::<24>()),
            exp_cmd_sn: SerialNumber(header.u32::<28>()),
            max_cmd_sn: SerialNumber(header.u32::<32>()),
        }
    }
}

impl Residual {
    /// The O and U bits, and the count.
    const fn emit(self) -> (u8, u32) {
        match self {
            Self::None => (0x00, 0),
            Self::Underflow(count) => (0x02, count),
            Self::Overflow(count) => (0x04, count),
        }
    }

    fn parse(
        header: &BasicHeaderSegment,
        field: &'static str,
        bits: u8,
        count: u32,
    ) -> Result<Self, ParseError> {
        match bits & 0x06 {
            0x00 => Ok(Self::None),
            0x02 => Ok(Self::Underflow(count)),
            0x04 => Ok(Self::Overflow(count)),
            both => Err(ParseError::new(header, field, both)),
        }
    }
}

impl NopIn {
    fn emit(&self) -> BasicHeaderSegment {
        let mut header = BasicHeaderSegment::new(opcode::NOP_IN);
        header.set_u8::<1>(FINAL);
        header.set_data_segment_length(self.data_segment_length);
        header.set_lun(self.lun);
        header.set_initiator_task_tag(self.initiator_task_tag);
        header.set_u32::<20>(self.target_transfer_tag);
        self.numbers.emit(&mut header);
        header
    }

    fn parse(header: &BasicHeaderSegment) -> Self {
        Self {
            lun: header.lun(),
            initiator_task_tag: header.initiator_task_tag(),
            target_transfer_tag: header.u32::<20>(),
            numbers: SequenceNumbers::parse(header),
            data_segment_length: header.data_segment_length(),
        }
    }
}

impl ScsiResponse {
    fn emit(&self) -> BasicHeaderSegment {
        let (bits, count) = self.residual.emit();
        let (read_bits, read_count) = self.bidirectional_read_residual.emit();
        let mut header = BasicHeaderSegment::new(opcode::SCSI_RESPONSE);
        header.set_u8::<1>(FINAL | bits | read_bits << BIDIRECTIONAL);
        header.set_u8::<2>(self.response);
        header.set_u8::<3>(self.status);
        header.set_data_segment_length(self.data_segment_length);
        header.set_initiator_task_tag(self.initiator_task_tag);
        header.set_u32::<20>(self.snack_tag);
        self.numbers.emit(&mut header);
        header.set_u32::<36>(self.exp_data_sn);
        header.set_u32::<40>(read_count);
        header.set_u32::<44>(count);
        header
    }

    fn parse(header: &BasicHeaderSegment) -> Result<Self, ParseError> {
        let response = header.u8::<2>();
        // Status and flags count only for a command that completed (§11.4.3).
        let bits = flag(header.u8::<1>(), response == 0);
        Ok(Self {
            response,
            status: header.u8::<3>(),
            initiator_task_tag: header.initiator_task_tag(),
            snack_tag: header.u32::<20>(),
            numbers: SequenceNumbers::parse(header),
            exp_data_sn: header.u32::<36>(),
            residual: Residual::parse(header, "O together with U", bits, header.u32::<44>())?,
            bidirectional_read_residual: Residual::parse(
                header,
                "o together with u",
                bits >> BIDIRECTIONAL,
                header.u32::<40>(),
            )?,
            data_segment_length: header.data_segment_length(),
        })
    }
}

impl TaskManagementResponse {
    fn emit(&self) -> BasicHeaderSegment {
        let mut header = BasicHeaderSegment::new(opcode::TASK_MANAGEMENT_RESPONSE);
        header.set_u8::<1>(FINAL);
        header.set_u8::<2>(self.response);
        header.set_initiator_task_tag(self.initiator_task_tag);
        self.numbers.emit(&mut header);
        header
    }

    fn parse(header: &BasicHeaderSegment) -> Result<Self, ParseError> {
        expect_bare(header)?;
        Ok(Self {
            response: header.u8::<2>(),
            initiator_task_tag: header.initiator_task_tag(),
            numbers: SequenceNumbers::parse(header),
        })
    }
}

impl LoginResponse {
    fn emit(&self) -> BasicHeaderSegment {
        let mut header = BasicHeaderSegment::new(opcode::LOGIN_RESPONSE);
        header.set_u8::<1>(emit_stages(
            self.transit,
            self.text_continues,
            self.current_stage,
            self.next_stage,
        ));
        header.set_u8::<2>(self.version_max);
        header.set_u8::<3>(self.version_active);
        header.set_data_segment_length(self.data_segment_length);
        header.set_bytes::<8, 6>(self.isid);
        header.set_u16::<14>(self.tsih);
        header.set_initiator_task_tag(self.initiator_task_tag);
        self.numbers.emit(&mut header);
        header.set_u8::<36>(self.status_class);
        header.set_u8::<37>(self.status_detail);
        header
    }

    fn parse(header: &BasicHeaderSegment) -> Result<Self, ParseError> {
        // A login that ends here goes to no stage: what a target leaves in those fields when it
        // redirects or refuses is no reason to miss what it says.
        let status_class = header.u8::<36>();
        let stages = match parse_stages(header) {
            Err(_) if status_class != 0 => Stages::NONE,
            stages => stages?,
        };
        Ok(Self {
            transit: stages.transit,
            text_continues: stages.text_continues,
            current_stage: stages.current,
            next_stage: stages.next,
            version_max: header.u8::<2>(),
            version_active: header.u8::<3>(),
            isid: header.bytes::<8, 6>(),
            tsih: header.u16::<14>(),
            initiator_task_tag: header.initiator_task_tag(),
            numbers: SequenceNumbers::parse(header),
            status_class,
            status_detail: header.u8::<37>(),
            data_segment_length: header.data_segment_length(),
        })
    }
}

impl TextResponse {
    fn emit(&self) -> BasicHeaderSegment {
        let mut header = BasicHeaderSegment::new(opcode::TEXT_RESPONSE);
        header.set_u8::<1>(flag(FINAL, self.last) | flag(CONTINUE, self.text_continues));
        header.set_data_segment_length(self.data_segment_length);
        header.set_lun(self.lun);
        header.set_initiator_task_tag(self.initiator_task_tag);
        header.set_u32::<20>(self.target_transfer_tag);
        self.numbers.emit(&mut header);
        header
    }

    fn parse(header: &BasicHeaderSegment) -> Result<Self, ParseError> {
        let (last, text_continues) = parse_text_flags(header)?;
        Ok(Self {
            last,
            text_continues,
            lun: header.lun(),
            initiator_task_tag: header.initiator_task_tag(),
            target_transfer_tag: header.u32::<20>(),
            numbers: SequenceNumbers::parse(header),
            data_segment_length: header.data_segment_length(),
        })
    }
}

impl DataIn {
    fn emit(&self) -> BasicHeaderSegment {
        let mut header = BasicHeaderSegment::new(opcode::DATA_IN);
        let mut flags = flag(FINAL, self.last) | flag(ACKNOWLEDGE, self.acknowledge);
        self.numbers.emit(&mut header);
        match self.status {
            Some(status) => {
                let (bits, count) = self.residual.emit();
                flags |= STATUS | bits;
                header.set_u8::<3>(status);
                header.set_u32::<44>(count);
            }
            None => header.set_u32::<24>(0),
        }
        header.set_u8::<1>(flags);
        header.set_data_segment_length(self.data_segment_length);
        header.set_lun(self.lun);
        header.set_initiator_task_tag(self.initiator_task_tag);
        header.set_u32::<20>(self.target_transfer_tag);
        header.set_u32::<36>(self.data_sn);
        header.set_u32::<40>(self.buffer_offset);
        header
    }

    fn parse(header: &BasicHeaderSegment) -> Result<Self, ParseError> {
        let flags = header.u8::<1>();
        let last = flags & FINAL != 0;
        let mut numbers = SequenceNumbers::parse(header);
        let (status, residual) = if flags & STATUS != 0 {
            if !last {
                return Err(ParseError::new(header, "S without F", flags));
            }
            let residual = Residual::parse(header, "O together with U", flags, header.u32::<44>())?;
            (Some(header.u8::<3>()), residual)
        } else {
            numbers.stat_sn = SerialNumber(0);
            (None, Residual::None)
        };
        Ok(Self {
            last,
            acknowledge: flags & ACKNOWLEDGE != 0,
            status,
            residual,
            lun: header.lun(),
            initiator_task_tag: header.initiator_task_tag(),
            target_transfer_tag: header.u32::<20>(),
            numbers,
            data_sn: header.u32::<36>(),
            buffer_offset: header.u32::<40>(),
            data_segment_length: header.data_segment_length(),
        })
    }
}

impl ReadyToTransfer {
    fn emit(&self) -> BasicHeaderSegment {
        let mut header = BasicHeaderSegment::new(opcode::READY_TO_TRANSFER);
        header.set_u8::<1>(FINAL);
        header.set_lun(self.lun);
        header.set_initiator_task_tag(self.initiator_task_tag);
        header.set_u32::<20>(self.target_transfer_tag);
        self.numbers.emit(&mut header);
        header.set_u32::<36>(self.r2t_sn);
        header.set_u32::<40>(self.buffer_offset);
        header.set_u32::<44>(self.desired_data_transfer_length);
        header
    }

    fn parse(header: &BasicHeaderSegment) -> Result<Self, ParseError> {
        expect_bare(header)?;
        Ok(Self {
            lun: header.lun(),
            initiator_task_tag: header.initiator_task_tag(),
            target_transfer_tag: header.u32::<20>(),
            numbers: SequenceNumbers::parse(header),
            r2t_sn: header.u32::<36>(),
            buffer_offset: header.u32::<40>(),
            desired_data_transfer_length: header.u32::<44>(),
        })
    }
}

impl LogoutResponse {
    fn emit(&self) -> BasicHeaderSegment {
        let mut header = BasicHeaderSegment::new(opcode::LOGOUT_RESPONSE);
        header.set_u8::<1>(FINAL);
        header.set_u8::<2>(self.response);
        header.set_initiator_task_tag(self.initiator_task_tag);
        self.numbers.emit(&mut header);
        header.set_u16::<40>(self.time2wait);
        header.set_u16::<42>(self.time2retain);
        header
    }

    fn parse(header: &BasicHeaderSegment) -> Result<Self, ParseError> {
        expect_bare(header)?;
        Ok(Self {
            response: header.u8::<2>(),
            initiator_task_tag: header.initiator_task_tag(),
            numbers: SequenceNumbers::parse(header),
            time2wait: header.u16::<40>(),
            time2retain: header.u16::<42>(),
        })
    }
}

impl AsyncMessage {
    fn emit(&self) -> BasicHeaderSegment {
        let [parameter1, parameter2, parameter3] = self.parameters;
        let mut header = BasicHeaderSegment::new(opcode::ASYNC_MESSAGE);
        header.set_u8::<1>(FINAL);
        header.set_data_segment_length(self.data_segment_length);
        header.set_lun(self.lun);
        header.set_initiator_task_tag(RESERVED_TAG);
        self.numbers.emit(&mut header);
        header.set_u8::<36>(self.event);
        header.set_u8::<37>(self.vendor_code);
        header.set_u16::<38>(parameter1);
        header.set_u16::<40>(parameter2);
        header.set_u16::<42>(parameter3);
        header
    }

    fn parse(header: &BasicHeaderSegment) -> Self {
        Self {
            lun: header.lun(),
            numbers: SequenceNumbers::parse(header),
            event: header.u8::<36>(),
            vendor_code: header.u8::<37>(),
            parameters: [header.u16::<38>(), header.u16::<40>(), header.u16::<42>()],
            data_segment_length: header.data_segment_length(),
        }
    }
}

impl Reject {
    fn emit(&self) -> BasicHeaderSegment {
        let mut header = BasicHeaderSegment::new(opcode::REJECT);
        header.set_u8::<1>(FINAL);
        header.set_u8::<2>(self.reason);
        header.set_data_segment_length(self.data_segment_length);
        header.set_initiator_task_tag(RESERVED_TAG);
        self.numbers.emit(&mut header);
        header.set_u32::<36>(self.data_sn_or_r2t_sn);
        header
    }

    fn parse(header: &BasicHeaderSegment) -> Self {
        Self {
            reason: header.u8::<2>(),
            numbers: SequenceNumbers::parse(header),
            data_sn_or_r2t_sn: header.u32::<36>(),
            data_segment_length: header.data_segment_length(),
        }
    }
}
