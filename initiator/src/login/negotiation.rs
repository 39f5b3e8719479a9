//! The login state machine (RFC 7143 §6.3): which stage, what to say next, what to accept.

use heapless::{String, Vec};

use super::address::TargetAddress;
use super::config::{Digest, LoginConfig};
use super::error::{ConfigurationError, LoginError};
use crate::pdu::request::Stage;
use crate::pdu::response::LoginResponse;

/// Longest data segment of a Login PDU, in either direction (RFC 7143 §6.3: the default
/// MaxRecvDataSegmentLength holds until full feature phase).
pub const LOGIN_SEGMENT_LIMIT: usize = 8192;

/// One login attempt after another: what to send, what came, what was agreed.
///
/// Kept in place for the life of a session, since it holds the text buffers; each
/// [`begin`](Login::begin) starts from nothing.
pub struct Login {
    received: Vec<u8, LOGIN_SEGMENT_LIMIT>,
}

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
    /// The data segment, at most [`LOGIN_SEGMENT_LIMIT`] bytes.
    pub text: &'t [u8],
}

/// Where the login stands after a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginProgress {
    /// Send [`Login::request`].
    SendNext,
    /// Full feature phase: these values hold from the next PDU on, in both directions.
    LoggedIn(Negotiated),
    /// Close this connection and log in at one of these addresses instead.
    Redirected(Redirection),
}

/// Where the target wants the login instead (RFC 7143 §11.13.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirection {
    /// Moved for good (0102h): later logins go there directly.
    pub permanent: bool,
    /// At least one, in the target's order. Whether a loopback address may be followed is the
    /// caller's choice.
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
    /// TargetPortalGroupTag, when the target named it.
    pub target_portal_group_tag: Option<u16>,
    /// TSIH, never 0.
    pub tsih: u16,
    /// TargetAlias: text for people.
    pub target_alias: Option<String<255>>,
}

impl Login {
    /// No attempt under way.
    #[must_use]
    pub const fn new() -> Login {
        Login { received: Vec::new() }
    }

    /// Starts an attempt on a new connection. Nothing of an earlier one is left, except the
    /// CHAP challenges sent so far, which are not to be used again.
    ///
    /// `entropy` is fresh for every attempt; only mutual CHAP needs it.
    ///
    /// # Errors
    /// [`LoginError::ApiMisuse`] when `config` cannot be used.
    pub fn begin(
        &mut self,
        config: &LoginConfig,
        entropy: Option<&[u8; 32]>,
    ) -> Result<(), LoginError> {
        let _ = entropy;
        self.received.clear();
        config.check().map_err(LoginError::ApiMisuse)
    }

    /// The request to send now. The same until the next [`on_response`](Login::on_response).
    #[must_use]
    pub fn request(&self) -> LoginPart<'_> {
        LoginPart {
            transit: false,
            text_continues: false,
            current_stage: Stage::SecurityNegotiation,
            next_stage: Stage::SecurityNegotiation,
            text: &[],
        }
    }

    /// Takes a piece of the response's data segment, without its padding.
    ///
    /// # Errors
    /// A text above the limits ends the login.
    pub fn receive_text(&mut self, bytes: &[u8]) -> Result<(), LoginError> {
        let _ = bytes;
        Ok(())
    }

    /// Takes a response, after its whole data segment.
    ///
    /// # Errors
    /// Any [`LoginError`] ends this attempt: close the connection.
    pub fn on_response(
        &mut self,
        config: &LoginConfig,
        response: &LoginResponse,
    ) -> Result<LoginProgress, LoginError> {
        let _ = (config, response);
        Err(LoginError::ApiMisuse(ConfigurationError::NoLoginUnderWay))
    }
}

impl Default for Login {
    fn default() -> Login {
        Login::new()
    }
}
