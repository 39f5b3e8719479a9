//! One connection: what arrives on it, what leaves, and what is owed to the target.

use heapless::{Deque, Vec};

use super::arriving::Arriving;
use super::owed::Ledger;
use super::task::TaskTag;
use crate::login::Negotiated;
use crate::pdu::bhs::BASIC_HEADER_SEGMENT_LENGTH;
use crate::pdu::digest::Crc32cFunction;
use crate::pdu::framer::Framer;
use crate::pdu::serial::SerialNumber;
use crate::pdu::serializer::Serializer;
use crate::time::{Duration, Instant};

/// Requests of our own that wait to be sent besides commands; a target that makes us owe it
/// more answers than this at once is flooding us.
const CONTROL_LIMIT: usize = 32;
/// Answers and pings that wait for room at the target.
pub(super) const POSTPONED_LIMIT: usize = 4;
/// Default MaxRecvDataSegmentLength, which holds during login (RFC 7143 §13.12).
const LOGIN_SEGMENT_LIMIT: u32 = 8192;

/// An announced Time2Wait counts for no more than this.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// CID of the only connection of a session (RFC 7143 §11.12.7).
pub(super) const CONNECTION_ID: u16 = 0;

/// What belongs to one connection and starts afresh with the next.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) framer: Framer,
    pub(super) arriving: Arriving,
    pub(super) serializer: Serializer,
    pub(super) source: Source,
    pub(super) control: Deque<Control, CONTROL_LIMIT>,
    /// What the target had no room for, and when to try again; the earliest first.
    pub(super) postponed: Deque<(Instant, Control), POSTPONED_LIMIT>,
    /// How often it had no room since it last took something.
    pub(super) refusals: u8,
    /// The start of a Reject's data segment, which is the header that was rejected.
    pub(super) rejected: Vec<u8, { BASIC_HEADER_SEGMENT_LENGTH }>,
    pub(super) unsolicited: Option<Unsolicited>,
    pub(super) exp_stat_sn: SerialNumber,
    pub(super) last_heard: Instant,
    /// When a PDU began to come that has not ended.
    pub(super) pdu_since: Option<Instant>,
    /// Tag of the NOP-Out that waits for its answer, and when it was due to be sent.
    pub(super) ping: Option<(u32, Instant)>,
    /// Time2Wait that the target announced together with the end, in seconds.
    pub(super) announced_wait: Option<u16>,
    pub(super) ledger: Ledger,
}

impl Connection {
    pub(super) fn new(crc32c: Crc32cFunction, now: Instant) -> Self {
        Self {
            framer: Framer::new(crc32c, LOGIN_SEGMENT_LIMIT),
            arriving: Arriving::Nothing,
            serializer: Serializer::new(crc32c),
            source: Source::Nothing,
            control: Deque::new(),
            postponed: Deque::new(),
            refusals: 0,
            rejected: Vec::new(),
            unsolicited: None,
            exp_stat_sn: SerialNumber(0),
            last_heard: now,
            pdu_since: None,
            ping: None,
            announced_wait: None,
            ledger: Ledger::new(),
        }
    }
}

impl Connection {
    /// How long to wait before the next login: what the target announced with the end, else what
    /// was negotiated (RFC 7143 §7.5).
    pub(super) fn wait_before_login(&self, negotiated: &Negotiated) -> Duration {
        let announced = |seconds: u16| Duration::from_secs(seconds.into()).min(LONGEST_WAIT);
        self.announced_wait
            .map_or(Duration::from_secs(negotiated.default_time2wait.into()), announced)
    }
}

/// Where the data segment of the PDU being sent comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// There is none.
    Nothing,
    /// The login text.
    LoginText,
    /// The text of a Text Request.
    Text,
    /// Write data of a task, from this offset on.
    Task { tag: TaskTag, offset: u32 },
}

/// A request besides commands and their data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Control {
    /// Answers a NOP-In that asked for it (RFC 7143 §11.18).
    NopReply { lun: [u8; 8], target_transfer_tag: u32 },
    /// Asks for a sign of life.
    Ping { tag: u32 },
}

/// Unsolicited Data-Out that a command announced (F=0) and that is still to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unsolicited {
    pub(super) index: u16,
    pub(super) offset: u32,
    pub(super) end: u32,
    pub(super) data_sn: u32,
}
