//! Puts a target together.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use super::lun::Lun;
use super::policy::{Chap, Credentials, DigestPolicy, Policy, SenseFormat};
use super::state::Shared;
use super::target::Target;

/// Puts a target together; see [`Target::builder`].
#[derive(Debug)]
#[must_use]
pub struct Builder {
    name: String,
    policy: Policy,
    luns: Vec<Lun>,
    window: u32,
    seed: Option<u64>,
}

impl Builder {
    pub(super) fn new(name: &str) -> Self {
        let (policy, luns) = (Policy::default(), Vec::new());
        Self { name: name.to_owned(), policy, luns, window: 32, seed: None }
    }

    /// One more LUN.
    pub fn lun(mut self, lun: Lun) -> Self {
        self.luns.push(lun);
        self
    }

    /// The same for both digests.
    pub fn digests(self, policy: DigestPolicy) -> Self {
        self.header_digest(policy).data_digest(policy)
    }

    /// HeaderDigest; free unless said.
    pub fn header_digest(mut self, policy: DigestPolicy) -> Self {
        self.policy.header_digest = policy;
        self
    }

    /// DataDigest; free unless said.
    pub fn data_digest(mut self, policy: DigestPolicy) -> Self {
        self.policy.data_digest = policy;
        self
    }

    /// The initiator must show by CHAP who it is.
    pub fn chap(mut self, initiator: Credentials) -> Self {
        self.policy.chap = Some(Chap::new(initiator, None));
        self
    }

    /// As [`chap`](Self::chap), and the target shows who it is when the initiator asks.
    pub fn mutual_chap(mut self, initiator: Credentials, target: Credentials) -> Self {
        self.policy.chap = Some(Chap::new(initiator, Some(target)));
        self
    }

    /// CHAP in every detail.
    pub fn chap_policy(mut self, chap: Chap) -> Self {
        assert!((1..=1024).contains(&chap.challenge_length), "RFC 7143 §12.1.3");
        self.policy.chap = Some(chap);
        self
    }

    /// InitialR2T; Yes unless said.
    pub fn initial_r2t(mut self, yes: bool) -> Self {
        self.policy.initial_r2t = yes;
        self
    }

    /// ImmediateData; Yes unless said.
    pub fn immediate_data(mut self, yes: bool) -> Self {
        self.policy.immediate_data = yes;
        self
    }

    /// MaxBurstLength in bytes; 256 KiB unless said.
    pub fn max_burst_length(mut self, bytes: u32) -> Self {
        self.policy.max_burst_length = bytes;
        self
    }

    /// FirstBurstLength in bytes; 64 KiB unless said.
    pub fn first_burst_length(mut self, bytes: u32) -> Self {
        self.policy.first_burst_length = bytes;
        self
    }

    /// MaxRecvDataSegmentLength that the target declares, in bytes; 256 KiB unless said.
    pub fn max_recv_data_segment_length(mut self, bytes: u32) -> Self {
        self.policy.max_recv_data_segment_length = bytes;
        self
    }

    /// MaxOutstandingR2T; 1 unless said.
    pub fn max_outstanding_r2t(mut self, count: u32) -> Self {
        self.policy.max_outstanding_r2t = count;
        self
    }

    /// DataPDUInOrder and DataSequenceInOrder; Yes unless said. The target itself keeps to the
    /// order all the same: a script need not.
    pub fn data_in_order(mut self, pdu: bool, sequence: bool) -> Self {
        self.policy.data_pdu_in_order = pdu;
        self.policy.data_sequence_in_order = sequence;
        self
    }

    /// Most bytes that one R2T asks for; MaxBurstLength unless said.
    pub fn r2t_length(mut self, bytes: u32) -> Self {
        self.policy.r2t_length = bytes.max(1);
        self
    }

    /// DefaultTime2Wait and DefaultTime2Retain in seconds; 2 and 0 unless said.
    pub fn times(mut self, wait: u32, retain: u32) -> Self {
        self.policy.time2wait = wait;
        self.policy.time2retain = retain;
        self
    }

    /// Commands that a session may have outstanding; 32 unless said.
    pub fn window(mut self, commands: u32) -> Self {
        self.window = commands;
        self
    }

    /// Good status comes in a SCSI Response of its own and not in the last Data-In.
    pub fn separate_status(mut self) -> Self {
        self.policy.phase_collapse = false;
        self
    }

    /// Form of sense data; fixed unless said.
    pub fn sense_format(mut self, format: SenseFormat) -> Self {
        self.policy.sense_format = format;
        self
    }

    /// Most blocks that one command may move; 32768 unless said.
    pub fn max_transfer_blocks(mut self, blocks: u32) -> Self {
        self.policy.max_transfer_blocks = blocks;
        self
    }

    /// TargetPortalGroupTag; 1 unless said.
    pub fn portal_group_tag(mut self, tag: u16) -> Self {
        self.policy.portal_group_tag = tag;
        self
    }

    /// TargetAlias; none unless said.
    pub fn alias(mut self, alias: &str) -> Self {
        self.policy.alias = Some(alias.to_owned());
        self
    }

    /// An address that SendTargets tells (`host:port`); that of the connection unless said.
    pub fn address(mut self, address: &str) -> Self {
        self.policy.addresses.push(address.to_owned());
        self
    }

    /// One more target that SendTargets tells, at `address` (`host:port,tag`).
    pub fn also_known(mut self, name: &str, address: &str) -> Self {
        self.policy.also_known.push((name.to_owned(), address.to_owned()));
        self
    }

    /// First StatSN of each connection; 1 unless said.
    pub fn initial_stat_sn(mut self, stat_sn: u32) -> Self {
        self.policy.initial_stat_sn = stat_sn;
        self
    }

    /// Login text goes out in PDUs of at most so many bytes, with C=1 but on the last.
    pub fn login_piece(mut self, bytes: usize) -> Self {
        self.policy.login_piece = bytes.clamp(1, 8192);
        self
    }

    /// Answers to Text Requests go out in PDUs of at most so many bytes, with C=1 but on the last.
    pub fn text_piece(mut self, bytes: usize) -> Self {
        self.policy.text_piece = bytes.max(1);
        self
    }

    /// A key that the target proposes or declares with its first operational answer, before the
    /// initiator said anything about it.
    pub fn propose(mut self, key: &str, value: &str) -> Self {
        self.policy.proposals.push((key.to_owned(), value.to_owned()));
        self
    }

    /// TMF Responses to multi-task aborts do not wait for data that the initiator still owes.
    pub fn answer_aborts_at_once(mut self) -> Self {
        self.policy.await_owed_data = false;
        self
    }

    /// An ExpStatSN that is one ahead is a remark and no violation: libiscsi takes the StatSN of
    /// an R2T for a status that it has received.
    pub fn tolerate_early_acknowledgement(mut self) -> Self {
        self.policy.tolerate_early_acknowledgement = true;
        self
    }

    /// Where challenges start from: the same ones in every run.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The target.
    ///
    /// # Panics
    /// Two LUNs have the same number, or blocks are not of 512 bytes times a power of two.
    #[must_use]
    pub fn build(mut self) -> Target {
        for Lun { block_size, .. } in &self.luns {
            assert!(
                *block_size >= 512 && block_size.is_power_of_two(),
                "blocks of {block_size} bytes"
            );
        }
        let policy = &mut self.policy;
        policy.first_burst_length = policy.first_burst_length.min(policy.max_burst_length);
        let seed = self.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
        let shared = Shared::new(self.name, self.policy, self.luns, self.window, seed);
        Target { shared: Arc::new(shared) }
    }
}
