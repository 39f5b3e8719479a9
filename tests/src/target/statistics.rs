//! What a target counted, for tests to ask about.

use std::collections::BTreeMap;

/// Counters of a target since it was built.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    /// Connections made.
    pub connections: u64,
    /// Logins of Normal sessions that reached the Full Feature Phase.
    pub logins: u64,
    /// The same for Discovery sessions.
    pub discovery_logins: u64,
    /// Logins that the target ended with a status other than success, redirections included.
    pub failed_logins: u64,
    /// Logout Requests answered with success.
    pub logouts: u64,
    /// Sessions ended because the same initiator logged in again with the same ISID.
    pub reinstatements: u64,
    /// Requests by iSCSI opcode.
    pub requests: BTreeMap<u8, u64>,
    /// SCSI commands by operation code.
    pub commands: BTreeMap<u8, u64>,
    /// WRITEs with the FUA bit.
    pub forced_unit_accesses: u64,
    /// Blocks that UNMAP, or WRITE SAME with the UNMAP bit, was asked to release.
    pub unmapped_blocks: u64,
    /// Blocks that WRITE SAME wrote.
    pub same_blocks: u64,
    /// R2Ts sent.
    pub ready_to_transfers: u64,
    /// Bytes of immediate data received.
    pub immediate_bytes: u64,
    /// Bytes of unsolicited Data-Out received.
    pub unsolicited_bytes: u64,
    /// Bytes of solicited Data-Out received.
    pub solicited_bytes: u64,
    /// Bytes of Data-In sent.
    pub data_in_bytes: u64,
    /// Answers to pings of the target.
    pub ping_answers: u64,
    /// The most commands that one session had outstanding: received, and their status not yet
    /// acknowledged by ExpStatSN.
    pub most_outstanding: usize,
    /// What the last successful login of a Normal session agreed on.
    pub last_login: Option<Negotiated>,
}

/// What a login agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// InitiatorName.
    pub initiator: String,
    /// ISID.
    pub isid: [u8; 6],
    /// TSIH that the target gave out.
    pub tsih: u16,
    /// CHAP was used.
    pub chap: bool,
    /// CHAP was used in both directions.
    pub mutual_chap: bool,
    /// The number of CHAP's algorithm.
    pub chap_algorithm: Option<u8>,
    /// Every key that the initiator sent, in order, secrets excluded.
    pub offered: Vec<(String, String)>,
    /// The values in force.
    pub parameters: Parameters,
}

/// Operational values of a session (RFC 7143 §13).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the RFC's own")]
pub struct Parameters {
    pub header_digest: bool,
    pub data_digest: bool,
    pub initial_r2t: bool,
    pub immediate_data: bool,
    pub max_burst_length: u32,
    pub first_burst_length: u32,
    pub max_outstanding_r2t: u32,
    pub time2wait: u32,
    pub time2retain: u32,
    /// MaxRecvDataSegmentLength as the initiator declared it.
    pub initiator_max_recv: u32,
    /// MaxRecvDataSegmentLength as the target declared it.
    pub target_max_recv: u32,
}

impl Statistics {
    /// How many SCSI commands with this operation code came.
    #[must_use]
    pub fn command_count(&self, operation_code: u8) -> u64 {
        self.commands.get(&operation_code).copied().unwrap_or(0)
    }

    /// How many requests with this iSCSI opcode came.
    #[must_use]
    pub fn request_count(&self, opcode: u8) -> u64 {
        self.requests.get(&opcode).copied().unwrap_or(0)
    }
}
