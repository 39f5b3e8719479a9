//! One exchange of Text Requests and Responses: what is asked, whose turn it is, what has come
//! (RFC 7143 §11.10, §11.11).

use heapless::Vec;

use super::send_targets::{Answer, SendTargets};
use crate::pdu::serial::SerialNumber;
use crate::time::Instant;

/// The longest pair that is looked at whole; a TargetAddress with its host name has 281 bytes.
const PAIR_LIMIT: usize = 512;
/// Longest text of a request: every target takes that much (RFC 7143 §13.12).
pub(super) const REQUEST_LIMIT: usize = 512;

/// What there is to ask, and the exchange in which it is asked.
#[derive(Debug, Default)]
pub(super) struct Text {
    /// Asked by the caller; stays until it is answered, over any number of connections.
    pub(super) wanted: Option<SendTargets>,
    /// Connections lost over it.
    pub(super) attempts: u8,
    /// The target wants to negotiate (asynchronous event 4).
    pub(super) negotiation_wanted: bool,
    pub(super) exchange: Option<Exchange>,
    /// What the next request says.
    pub(super) request: Vec<u8, REQUEST_LIMIT>,
    /// The pair that is arriving, as far as there is room.
    pub(super) pair: Vec<u8, PAIR_LIMIT>,
    pub(super) pair_is_cut: bool,
    pub(super) answer: Answer,
}

/// What an exchange is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    SendTargets,
    /// The target negotiates; nothing is asked.
    Negotiation,
}

#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) purpose: Purpose,
    /// One for the whole exchange (§11.10.3).
    pub(super) initiator_task_tag: u32,
    /// Of the response before (§11.11.4).
    pub(super) target_transfer_tag: u32,
    pub(super) lun: [u8; 8],
    pub(super) turn: Turn,
    /// CmdSN of the request that was sent last.
    pub(super) cmd_sn: SerialNumber,
    /// The response before ended in the middle of its text (C): the next request is empty.
    pub(super) text_continues: bool,
    /// For the next response, and for the last.
    pub(super) deadline: Instant,
    pub(super) ends: Instant,
    pub(super) received: u32,
    pub(super) empty_responses: u8,
    pub(super) refusals: u8,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Ours,
    Theirs,
    /// Ours again at that time.
    OursAt(Instant),
}

impl Text {
    /// The text of the request that is being sent.
    pub(super) fn request(&self) -> &[u8] {
        &self.request
    }

    /// Leaves what is asked, and forgets how far that has come.
    pub(super) fn forget_exchange(&mut self) {
        self.exchange = None;
        self.request.clear();
        self.pair.clear();
        self.pair_is_cut = false;
        self.answer.start_again();
    }

    /// Adds to the pair that is arriving: what does not fit is left out, but for the NUL.
    pub(super) fn gather(&mut self, bytes: &[u8]) {
        let (body, ends) = match bytes.split_last() {
            Some((0, body)) => (body, true),
            _ => (bytes, false),
        };
        let room = PAIR_LIMIT.saturating_sub(1).saturating_sub(self.pair.len());
        let fitting = body.get(..room.min(body.len())).unwrap_or_default();
        let _ = self.pair.extend_from_slice(fitting);
        self.pair_is_cut |= fitting.len() < body.len();
        if ends {
            let _ = self.pair.push(0);
        }
    }

    pub(super) fn is_our_turn(&self) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| exchange.turn == Turn::Ours)
    }
}
