//! What a login says and what comes of it.

use heapless::{String, Vec};

use super::address::TargetAddress;
use super::config::Digest;
use crate::pdu::request::Stage;

/// What the next Login Request says. The session adds ISID, TSIH 0, CID, Initiator Task Tag,
/// CmdSN and ExpStatSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoginPart<'t> {
    /// T.
    pub transit: bool,
    /// C.
    pub text_continues: bool,
    /// CSG.
    pub current_stage: Stage,
    /// NSG; equal to `current_stage` without `transit`.
    pub next_stage: Stage,
    /// The data segment, at most [`LOGIN_SEGMENT_LIMIT`](super::LOGIN_SEGMENT_LIMIT) bytes.
    pub text: &'t [u8],
}

/// Where the login stands after a response.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "without an allocator there is nothing to box in")]
pub enum LoginProgress {
    /// Send [`Login::request`](super::Login::request).
    SendNext,
    /// Full feature phase: these values hold from the next PDU on, in both directions.
    LoggedIn(Negotiated),
    /// Close this connection and log in at one of these addresses instead.
    Redirected(Redirection),
    /// Close this connection, connect to the same portal at once and begin again: the target did
    /// not take the CHAP algorithms offered, and the next attempt offers one of them alone.
    ///
    /// At most six times between two errors: after the algorithm of an earlier login, the whole
    /// list, and each of its four; the last of them only when the target misread it and MD5 was
    /// refused before.
    TryAgain,
}

/// Where the target wants the login instead (RFC 7143 §11.13.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirection {
    /// Moved for good (0102h): later logins go there directly.
    pub permanent: bool,
    /// At least one, in the target's order. A loopback address is followed by a session whose
    /// configured portal is one too, and by no other.
    pub addresses: Vec<TargetAddress, { Redirection::MAX_ADDRESSES }>,
}

impl Redirection {
    /// Addresses kept of one redirection; further ones are ignored.
    pub const MAX_ADDRESSES: usize = 4;
}

/// What a login agreed on (RFC 7143 §13).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// HeaderDigest.
    pub header_digest: Digest,
    /// DataDigest.
    pub data_digest: Digest,
    /// MaxRecvDataSegmentLength of this node: the longest data segment it accepts.
    pub max_recv_data_segment_length: u32,
    /// MaxRecvDataSegmentLength of the target: the longest data segment to send it.
    pub max_send_data_segment_length: u32,
    /// MaxBurstLength in bytes.
    pub max_burst_length: u32,
    /// FirstBurstLength in bytes, never above `max_burst_length`.
    pub first_burst_length: u32,
    /// ImmediateData.
    pub immediate_data: bool,
    /// InitialR2T.
    pub initial_r2t: bool,
    /// MaxOutstandingR2T.
    pub max_outstanding_r2t: u16,
    /// DefaultTime2Wait in seconds.
    pub default_time2wait: u16,
    /// DefaultTime2Retain in seconds.
    pub default_time2retain: u16,
    /// DataPDUInOrder.
    pub data_pdu_in_order: bool,
    /// DataSequenceInOrder.
    pub data_sequence_in_order: bool,
    /// ErrorRecoveryLevel: always 0, which is all that is offered.
    pub error_recovery_level: u8,
    /// iSCSIProtocolLevel: nothing of RFC 7144 is used below 2.
    pub iscsi_protocol_level: u8,
    /// TargetPortalGroupTag, when the target named it.
    pub target_portal_group_tag: Option<u16>,
    /// TSIH, never 0.
    pub tsih: u16,
    /// TargetAlias: text for people.
    pub target_alias: Option<String<255>>,
}
