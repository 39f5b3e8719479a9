//! What a login is to say and to insist on.

use core::fmt;

use heapless::String;

use super::algorithms::ChapAlgorithms;
use super::error::ConfigurationError;
use super::names::Name;
use super::secret::Secret;

/// Everything a login needs to know. Made once per session; every attempt reads it afresh.
#[derive(Clone, Debug)]
pub struct LoginConfig {
    /// This node's name (RFC 7143 §13.5).
    pub initiator_name: Name,
    /// Text for people, sent once when present (§13.7).
    pub initiator_alias: Option<String<255>>,
    /// The target to log in to; a Discovery session may leave it out (§13.4).
    pub target_name: Option<Name>,
    /// Normal or Discovery (§13.21).
    pub session_type: SessionType,
    /// Initiator part of the session identifier, in wire order (§11.12.5). Never all zeros.
    pub isid: [u8; 6],
    /// Who proves what to whom.
    pub authentication: Authentication,
    /// Acceptable CHAP algorithms, in order. One outside the list is never used.
    pub chap_algorithms: ChapAlgorithms,
    /// Whether secrets below 96 bits are acceptable (§9.2.1); they can be guessed from the wire.
    pub allow_short_secrets: bool,
    /// Acceptable header digests, in order.
    pub header_digest: DigestOffer,
    /// Acceptable data digests, in order.
    pub data_digest: DigestOffer,
    /// Values offered in the operational stage.
    pub offer: OperationalOffer,
    /// The portal group that discovery or configuration named; another one fails the login
    /// (§6.3.1). `None` takes any.
    pub target_portal_group_tag: Option<u16>,
}

impl LoginConfig {
    /// A Normal session without authentication, `None` before CRC32C, and the default offer.
    #[must_use]
    pub fn new(initiator_name: Name, target_name: Name, isid: [u8; 6]) -> LoginConfig {
        LoginConfig {
            initiator_name,
            initiator_alias: None,
            target_name: Some(target_name),
            session_type: SessionType::Normal,
            isid,
            authentication: Authentication::None,
            chap_algorithms: ChapAlgorithms::default(),
            allow_short_secrets: false,
            header_digest: DigestOffer::NoneThenCrc32c,
            data_digest: DigestOffer::NoneThenCrc32c,
            offer: OperationalOffer::default(),
            target_portal_group_tag: None,
        }
    }

    /// A Discovery session, for SendTargets alone (§4.3), and otherwise as [`new`](Self::new).
    #[must_use]
    pub fn discovery(initiator_name: Name, isid: [u8; 6]) -> LoginConfig {
        LoginConfig {
            target_name: None,
            session_type: SessionType::Discovery,
            ..LoginConfig::new(initiator_name.clone(), initiator_name, isid)
        }
    }

    /// Whether an ISID can be used: not all zeros, which some targets refuse, and not of type 11b,
    /// which is reserved (RFC 7143 §11.12.5).
    #[must_use]
    pub fn can_be_isid(isid: [u8; 6]) -> bool {
        let [first, ..] = isid;
        isid != [0; 6] && first >> 6 != 0b11
    }

    /// Checks what the types do not: done by every `begin`, and worth doing once at start-up.
    ///
    /// # Errors
    /// [`ConfigurationError`] names the first thing that cannot be used.
    pub fn check(&self) -> Result<(), ConfigurationError> {
        if self.session_type == SessionType::Normal && self.target_name.is_none() {
            return Err(ConfigurationError::TargetNameMissing);
        }
        if !Self::can_be_isid(self.isid) {
            return Err(ConfigurationError::IsidUnusable);
        }
        check_text(self.initiator_alias.as_deref(), "initiator alias")?;
        self.authentication.check(self.allow_short_secrets)?;
        self.offer.check()
    }
}

/// SessionType (RFC 7143 §13.21).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SessionType {
    /// SCSI commands.
    #[default]
    Normal,
    /// SendTargets and Logout only (§4.3).
    Discovery,
}

/// Who proves what to whom (RFC 7143 §12.1). Never lowered by what the target answers.
#[derive(Clone, Debug, Default)]
#[expect(clippy::large_enum_variant, reason = "without an allocator there is nothing to box in")]
pub enum Authentication {
    /// `AuthMethod=None` is all that is offered; a target that demands CHAP refuses.
    #[default]
    None,
    /// This node proves itself to the target.
    Chap {
        /// This node's CHAP name and secret.
        initiator: Credentials,
        /// `AuthMethod=CHAP` alone; otherwise `CHAP,None`, and the target may do without.
        required: bool,
    },
    /// Both prove themselves; always required.
    MutualChap {
        /// This node's CHAP name and secret.
        initiator: Credentials,
        /// The target's CHAP name and secret. Must not be the same secret (§9.2.1).
        target: Credentials,
    },
}

impl Authentication {
    fn check(&self, allow_short_secrets: bool) -> Result<(), ConfigurationError> {
        let length_fits = |credentials: &Credentials, whose| {
            if credentials.secret.is_short() && !allow_short_secrets {
                return Err(ConfigurationError::ShortSecret(whose));
            }
            Ok(())
        };
        match self {
            Authentication::None => Ok(()),
            Authentication::Chap { initiator, .. } => {
                check_text(initiator.name.as_deref(), "initiator's CHAP name")?;
                length_fits(initiator, "initiator")
            }
            Authentication::MutualChap { initiator, target } => {
                check_text(initiator.name.as_deref(), "initiator's CHAP name")?;
                check_text(target.name.as_deref(), "target's CHAP name")?;
                length_fits(initiator, "initiator")?;
                length_fits(target, "target")?;
                if initiator.secret == target.secret {
                    return Err(ConfigurationError::SameSecretBothWays);
                }
                Ok(())
            }
        }
    }
}

/// One side's CHAP identity.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// CHAP_N. For this node, `None` sends the initiator name; for the target, `None` accepts
    /// any name with the right response.
    pub name: Option<String<255>>,
    /// The secret that both sides know.
    pub secret: Secret,
}

/// A digest that guards headers or data in full feature phase (RFC 7143 §13.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Digest {
    /// No digest.
    #[default]
    None,
    /// CRC32C.
    Crc32c,
}

impl Digest {
    /// The value on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Digest::None => "None",
            Digest::Crc32c => "CRC32C",
        }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The digests that are acceptable, in order of preference (RFC 7143 §6.2.1, §13.1).
///
/// Whatever the target answers outside the list, and `Reject`, ends the login: some targets
/// digest all the same after rejecting an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DigestOffer {
    /// `None` alone.
    None,
    /// `CRC32C` alone.
    Crc32c,
    /// `CRC32C,None`.
    Crc32cThenNone,
    /// `None,CRC32C`: no digest unless the target insists.
    #[default]
    NoneThenCrc32c,
}

impl DigestOffer {
    /// The list on the wire, first choice first.
    #[must_use]
    pub fn names(self) -> &'static [&'static str] {
        match self {
            DigestOffer::None => &["None"],
            DigestOffer::Crc32c => &["CRC32C"],
            DigestOffer::Crc32cThenNone => &["CRC32C", "None"],
            DigestOffer::NoneThenCrc32c => &["None", "CRC32C"],
        }
    }
}

/// The values offered in the operational stage, every one of them sent but where it says otherwise
/// (RFC 7143 §13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationalOffer {
    /// MaxRecvDataSegmentLength that this node declares, 512–16777215 bytes (§13.12).
    pub max_recv_data_segment_length: u32,
    /// MaxBurstLength, 512–16777215 bytes (§13.13).
    pub max_burst_length: u32,
    /// FirstBurstLength, 512 bytes to MaxBurstLength (§13.14). Not sent when `initial_r2t` without
    /// `immediate_data` leaves it without a meaning.
    pub first_burst_length: u32,
    /// ImmediateData (§13.11).
    pub immediate_data: bool,
    /// InitialR2T (§13.10).
    pub initial_r2t: bool,
    /// MaxOutstandingR2T, 1–65535 (§13.17).
    pub max_outstanding_r2t: u16,
    /// DefaultTime2Wait, 0–3600 seconds (§13.15).
    pub default_time2wait: u16,
    /// DefaultTime2Retain, 0–3600 seconds (§13.16).
    pub default_time2retain: u16,
    /// DataPDUInOrder (§13.18). With `false` here or below, and a target that agrees, data comes
    /// in any order; what leaves more than 15 gaps at a time in a transfer renews the session.
    pub data_pdu_in_order: bool,
    /// DataSequenceInOrder (§13.19).
    pub data_sequence_in_order: bool,
    /// iSCSIProtocolLevel (§13.24): 2 is RFC 7144; 1, RFC 7143 alone, is the default and not sent.
    pub iscsi_protocol_level: u8,
}

impl Default for OperationalOffer {
    fn default() -> OperationalOffer {
        OperationalOffer {
            max_recv_data_segment_length: 256 * 1024,
            max_burst_length: 1024 * 1024,
            first_burst_length: 256 * 1024,
            immediate_data: true,
            initial_r2t: true,
            max_outstanding_r2t: 1,
            default_time2wait: 2,
            default_time2retain: 20,
            data_pdu_in_order: true,
            data_sequence_in_order: true,
            iscsi_protocol_level: 2,
        }
    }
}

impl OperationalOffer {
    fn check(&self) -> Result<(), ConfigurationError> {
        let lengths = 512..=0x00ff_ffff;
        let seconds = 0..=3600;
        for (key, fits) in [
            ("MaxRecvDataSegmentLength", lengths.contains(&self.max_recv_data_segment_length)),
            ("MaxBurstLength", lengths.contains(&self.max_burst_length)),
            ("FirstBurstLength", lengths.contains(&self.first_burst_length)),
            ("MaxOutstandingR2T", self.max_outstanding_r2t != 0),
            ("DefaultTime2Wait", seconds.contains(&self.default_time2wait)),
            ("DefaultTime2Retain", seconds.contains(&self.default_time2retain)),
            ("iSCSIProtocolLevel", (1..=2).contains(&self.iscsi_protocol_level)),
        ] {
            if !fits {
                return Err(ConfigurationError::OfferOutOfRange(key));
            }
        }
        if self.first_burst_length > self.max_burst_length {
            return Err(ConfigurationError::FirstBurstAboveMaxBurst);
        }
        Ok(())
    }
}

fn check_text(text: Option<&str>, what: &'static str) -> Result<(), ConfigurationError> {
    match text {
        Some(text) if text.is_empty() || text.contains('\0') => {
            Err(ConfigurationError::BadText(what))
        }
        _ => Ok(()),
    }
}
