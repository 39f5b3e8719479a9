//! What a target insists on, and what it offers.

use std::net::SocketAddr;

/// Whether the target takes a digest (RFC 7143 §13.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DigestPolicy {
    /// The first of the initiator's list that is CRC32C or None.
    #[default]
    Free,
    /// None only; `Reject` when the initiator does not list it.
    Refuse,
    /// CRC32C only: proposed when the initiator says nothing; without it the login fails.
    Force,
}

/// A CHAP name with its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// CHAP_N.
    pub name: String,
    /// The secret.
    pub secret: Vec<u8>,
}

impl Credentials {
    /// A name with its secret.
    #[must_use]
    pub fn new(name: &str, secret: impl AsRef<[u8]>) -> Self {
        Self { name: name.to_owned(), secret: secret.as_ref().to_vec() }
    }
}

/// Without the secret.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("name", &self.name).finish_non_exhaustive()
    }
}

/// CHAP as the target wants it (RFC 7143 §12.1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chap {
    /// Who the initiator must be.
    pub initiator: Credentials,
    /// Who the target is, when the initiator asks.
    pub target: Option<Credentials>,
    /// Refuse an initiator that does not ask.
    pub require_mutual: bool,
    /// Bytes of the challenge; 1 to 1024.
    pub challenge_length: usize,
    /// Numbers of the algorithms that the target knows; the first of the initiator's list that
    /// is among them is chosen.
    pub algorithms: Vec<u8>,
    /// How offers of algorithms are received.
    pub algorithm_offer: AlgorithmOffer,
}

impl Chap {
    /// One way or, with `target`, both ways when asked; every algorithm is known.
    #[must_use]
    pub fn new(initiator: Credentials, target: Option<Credentials>) -> Self {
        Self {
            initiator,
            target,
            require_mutual: false,
            challenge_length: 16,
            algorithms: vec![5, 6, 7, 8],
            algorithm_offer: AlgorithmOffer::Taken,
        }
    }
}

/// What a target does with an offer of CHAP algorithms (RFC 7143 §12.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum AlgorithmOffer {
    /// The first that it knows is chosen; none: `CHAP_A=Reject`.
    #[default]
    Taken,
    /// More than one, or one unknown, ends the login with status 0201, as LIO before Linux 3.15
    /// does.
    ListRefused,
    /// More than one, or one unknown, is answered `CHAP_A=Reject`.
    ListRejected,
    /// More than one, or one unknown, and the connection is closed without a word.
    ListHungUpOn,
    /// Answered with this number, offered or not.
    AnsweredWith(u8),
}

/// Form of sense data (SPC-4 §4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SenseFormat {
    /// Response code 70h.
    #[default]
    Fixed,
    /// Response code 72h.
    Descriptor,
}

/// Where a login is sent instead (RFC 7143 §11.13.5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// TargetAddress, such as `192.0.2.1:3260`.
    pub address: String,
    /// 0102h (moved for good) rather than 0101h.
    pub permanent: bool,
    /// How many logins are sent away; then the target takes them itself.
    pub times: u32,
}

/// Everything that a target was built with; what can change later is in its state.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    pub(super) header_digest: DigestPolicy,
    pub(super) data_digest: DigestPolicy,
    pub(super) chap: Option<Chap>,
    pub(super) initial_r2t: bool,
    pub(super) immediate_data: bool,
    pub(super) max_burst_length: u32,
    pub(super) first_burst_length: u32,
    pub(super) max_recv_data_segment_length: u32,
    pub(super) max_outstanding_r2t: u32,
    pub(super) data_pdu_in_order: bool,
    pub(super) data_sequence_in_order: bool,
    /// One R2T asks for no more than this.
    pub(super) r2t_length: u32,
    pub(super) time2wait: u32,
    pub(super) time2retain: u32,
    /// Status in the last Data-In.
    pub(super) phase_collapse: bool,
    pub(super) sense_format: SenseFormat,
    pub(super) portal_group_tag: u16,
    pub(super) alias: Option<String>,
    /// Addresses told by SendTargets; that of the connection when empty.
    pub(super) addresses: Vec<String>,
    /// More target names that SendTargets tells.
    pub(super) also_known: Vec<(String, String)>,
    /// First StatSN of a connection.
    pub(super) initial_stat_sn: u32,
    /// Login text goes out in PDUs of at most so many bytes.
    pub(super) login_piece: usize,
    /// Text answers go out in PDUs of at most so many bytes.
    pub(super) text_piece: usize,
    /// Keys proposed with the first operational answer.
    pub(super) proposals: Vec<(String, String)>,
    /// Largest transfer of one command, in blocks.
    pub(super) max_transfer_blocks: u32,
    /// A TMF Response to a multi-task abort waits for data still owed (RFC 7143 §4.2.3.3).
    pub(super) await_owed_data: bool,
    /// ExpStatSN one ahead is only a remark.
    pub(super) tolerate_early_acknowledgement: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            header_digest: DigestPolicy::Free,
            data_digest: DigestPolicy::Free,
            chap: None,
            initial_r2t: true,
            immediate_data: true,
            max_burst_length: 262_144,
            first_burst_length: 65_536,
            max_recv_data_segment_length: 262_144,
            max_outstanding_r2t: 1,
            data_pdu_in_order: true,
            data_sequence_in_order: true,
            r2t_length: u32::MAX,
            time2wait: 2,
            time2retain: 0,
            phase_collapse: true,
            sense_format: SenseFormat::Fixed,
            portal_group_tag: 1,
            alias: None,
            addresses: Vec::new(),
            also_known: Vec::new(),
            initial_stat_sn: 1,
            login_piece: 8192,
            text_piece: usize::MAX,
            proposals: Vec::new(),
            max_transfer_blocks: 32_768,
            await_owed_data: true,
            tolerate_early_acknowledgement: false,
        }
    }
}

impl Policy {
    /// What SendTargets tells as the address of the target, with the portal group tag
    /// (RFC 7143 appendix C).
    pub(super) fn target_addresses(&self, portal: SocketAddr) -> Vec<String> {
        let tag = self.portal_group_tag;
        match self.addresses.as_slice() {
            [] => vec![format!("{portal},{tag}")],
            told => told.iter().map(|address| format!("{address},{tag}")).collect(),
        }
    }
}
