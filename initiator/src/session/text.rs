//! Text Requests: one exchange at a time (RFC 7143 §6.4, §11.10, §11.11).
//!
//! An answer of any length comes through a scratch that holds one pair: each line of a SendTargets
//! answer is told as soon as it is whole. What was told counts once the exchange has ended well;
//! a lost connection makes it void, and the question is asked again.

use heapless::Vec;

use super::arriving::Arriving;
use super::connection::Source;
use super::error::{Error, Waiting};
use super::event::{DiscoverError, Event};
use super::exchange::{Exchange, Purpose, REQUEST_LIMIT, Text, Turn};
use super::send_targets::{FoundTarget, SendTargets};
use super::session::{LogoutPurpose, Phase, Session};
use crate::login::text::{Pair, Pairs, TextError, TextWriter};
use crate::login::{Excerpt, FullFeatureKey, Host, SessionType, TargetAddress};
use crate::pdu::bhs::RESERVED_TAG;
use crate::pdu::request::{Request, TextRequest};
use crate::pdu::response::TextResponse;
use crate::time::{Duration, Instant};

/// Most bytes of one answer; a SendTargets answer that is longer is cut there.
pub const ANSWER_LIMIT: u32 = 4 << 20;

/// Responses without text in a row, none of them the last.
const EMPTY_LIMIT: u8 = 8;
/// Connections lost over one question before it is given up.
const ATTEMPT_LIMIT: u8 = 3;
/// A whole answer may take so many times as long as one part of it.
const PARTS_LIMIT: u32 = 8;
/// Times that a target may be short of resources (Reject 0Ah) for one question.
const REFUSAL_LIMIT: u8 = 2;
/// Pause after that.
const REFUSAL_PAUSE: Duration = Duration::from_secs(1);

/// Reject reasons after which the same request may be sent again (RFC 7143 §11.17.1).
const DATA_DIGEST_ERROR: u8 = 0x02;
const OUT_OF_RESOURCES: u8 = 0x0a;

const FOREIGN_KEY: Error = Error::PeerMisbehaved(
    "a SendTargets answer holds TargetName and TargetAddress alone (RFC 7143 appendix C)",
);
const TOO_MUCH: Error =
    Error::PeerMisbehaved("a target that negotiates says no more than there is to say");

impl<const TASKS: usize> Session<TASKS> {
    /// Asks for targets and their addresses, now or as soon as the session is up.
    ///
    /// The answer comes as one [`Event::TargetFound`] for each address and then
    /// [`Event::DiscoveryEnded`]. After an [`Event::Lost`] in between it starts again from its
    /// first line. A Discovery session logs out once it has the answer. Keep in mind that tgt
    /// drops a Normal session over any Text Request.
    ///
    /// # Errors
    /// [`DiscoverError`] says why it was not taken.
    pub fn discover(&mut self, now: Instant, what: SendTargets) -> Result<(), DiscoverError> {
        match self.phase {
            Phase::Ended(_) | Phase::LoggingOut { purpose: LogoutPurpose::End, .. } => {
                return Err(DiscoverError::Ended);
            }
            _ if self.text.wanted.is_some() => return Err(DiscoverError::Busy),
            _ => {}
        }
        match (&what, self.is_discovery()) {
            (SendTargets::All, false) | (SendTargets::Session, true) => {
                return Err(DiscoverError::WrongSessionType);
            }
            _ => {}
        }
        self.text.wanted = Some(what);
        self.text.attempts = 0;
        self.open_exchange(now);
        Ok(())
    }

    /// The target of the last [`Event::TargetFound`].
    #[must_use]
    pub fn found(&self) -> Option<&FoundTarget> {
        self.text.answer.found()
    }

    pub(super) fn is_discovery(&self) -> bool {
        self.config.login.session_type == SessionType::Discovery
    }

    /// The target wants to negotiate (§11.9.1, event 4). An exchange that is open will do.
    pub(super) fn negotiation_wanted(&mut self, now: Instant) {
        if self.text.exchange.is_none() {
            self.text.negotiation_wanted = true;
            self.open_exchange(now);
        }
    }

    /// Starts the exchange that is due, if none is open; at login and after each.
    pub(super) fn open_exchange(&mut self, now: Instant) {
        if self.text.exchange.is_some() || !matches!(self.phase, Phase::FullFeature { .. }) {
            return;
        }
        self.text.forget_exchange();
        let text = &mut self.text;
        let mut writer = TextWriter::new(&mut text.request);
        let purpose = if core::mem::take(&mut text.negotiation_wanted) {
            Purpose::Negotiation
        } else if let Some(wanted) = &text.wanted {
            // A name has at most 223 bytes: it fits.
            let _ = writer.pair("SendTargets", wanted);
            Purpose::SendTargets
        } else {
            return;
        };
        let timeout = self.config.timeouts.text;
        let initiator_task_tag = self.control_tag();
        self.text.exchange = Some(Exchange {
            purpose,
            initiator_task_tag,
            target_transfer_tag: RESERVED_TAG,
            lun: [0; 8],
            turn: Turn::Ours,
            cmd_sn: self.window.current().previous(),
            text_continues: false,
            deadline: now.after(timeout),
            ends: now.after(timeout.saturating_mul(PARTS_LIMIT)),
            received: 0,
            empty_responses: 0,
            refusals: 0,
        });
    }

    // --- requests ---

    pub(super) fn has_text_to_send(&self) -> bool {
        self.window.is_open() && self.text.is_our_turn()
    }

    /// Starts the next Text Request. Never immediate: istgt misreads I there.
    pub(super) fn begin_text_request(&mut self) -> bool {
        if !self.text.is_our_turn() {
            return false;
        }
        let Some(exchange) = &mut self.text.exchange else { return false };
        let Some(cmd_sn) = self.window.take() else { return false };
        exchange.turn = Turn::Theirs;
        exchange.cmd_sn = cmd_sn;
        let length = match exchange.text_continues {
            true => 0,
            // At most REQUEST_LIMIT.
            false => u32::try_from(self.text.request.len()).unwrap_or(0),
        };
        let request = TextRequest {
            immediate: false,
            last: true,
            text_continues: false,
            lun: exchange.lun,
            initiator_task_tag: exchange.initiator_task_tag,
            target_transfer_tag: exchange.target_transfer_tag,
            cmd_sn,
            exp_stat_sn: self.connection.exp_stat_sn,
            data_segment_length: length,
        };
        self.begin(Request::Text(request), length, Source::Text);
        true
    }

    // --- responses ---

    pub(super) fn on_text_header(&mut self, header: TextResponse) -> Result<Arriving, Error> {
        let sending =
            self.connection.source == Source::Text && !self.connection.serializer.is_idle();
        let asked = self.text.exchange.as_ref().filter(|exchange| {
            exchange.initiator_task_tag == header.initiator_task_tag
                && exchange.turn == Turn::Theirs
                && !sending
        });
        let Some(exchange) = asked else {
            return Err(Error::PeerMisbehaved(
                "a Text Response answers the Text Request that was sent (RFC 7143 §11.11.3)",
            ));
        };
        if !exchange.text_continues {
            self.text.request.clear();
        }
        if !header.last && header.target_transfer_tag == RESERVED_TAG {
            return Err(Error::PeerMisbehaved(
                "a Text Response that is not the last has a Target Transfer Tag (RFC 7143 §11.11.4)",
            ));
        }
        Ok(Arriving::Text(header))
    }

    /// Takes bytes of an answer, at most one pair's: the NUL that ends it comes last.
    pub(super) fn on_text(&mut self, bytes: &[u8]) -> Result<Option<Event<'static>>, Error> {
        let asked = self.asked_address();
        let text = &mut self.text;
        let Some(exchange) = &mut text.exchange else { return Ok(None) };
        exchange.received =
            exchange.received.saturating_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        if exchange.received > ANSWER_LIMIT {
            return match exchange.purpose {
                Purpose::SendTargets => {
                    text.answer.so_far.truncated = true;
                    Ok(None)
                }
                Purpose::Negotiation => Err(TOO_MUCH),
            };
        }
        let purpose = exchange.purpose;
        text.gather(bytes);
        if bytes.last() != Some(&0) {
            return Ok(None);
        }
        let Text { pair, pair_is_cut, answer, request, .. } = text;
        let whole = !core::mem::take(pair_is_cut);
        let told = match Pairs::new(pair).next() {
            None => false,
            Some(Err(error)) => return Err(Error::Text(error)),
            Some(Ok(pair)) => match purpose {
                Purpose::SendTargets => {
                    answer.take(pair, whole, &asked).map_err(|_| FOREIGN_KEY)?
                }
                Purpose::Negotiation => {
                    let segment = negotiate(pair, request)?;
                    if let (Some(bytes), Some(terms)) = (segment, self.phase.negotiated_mut()) {
                        terms.max_send_data_segment_length = bytes;
                    }
                    false
                }
            },
        };
        self.text.pair.clear();
        Ok(told.then_some(Event::TargetFound))
    }

    /// A Text Response is complete, its numbers are counted.
    pub(super) fn on_text_end(
        &mut self,
        now: Instant,
        header: &TextResponse,
    ) -> Result<Option<Event<'static>>, Error> {
        let asked = self.asked_address();
        let timeout = self.config.timeouts.text;
        let text = &mut self.text;
        let Some(exchange) = &mut text.exchange else { return Ok(None) };
        let truncated = text.answer.so_far.truncated;
        if !header.text_continues && !truncated && !text.pair.is_empty() {
            return Err(Error::Text(TextError::Unterminated(Excerpt::of(&text.pair))));
        }
        if !header.last && !truncated {
            exchange.text_continues = header.text_continues;
            exchange.target_transfer_tag = header.target_transfer_tag;
            exchange.lun = header.lun;
            exchange.turn = Turn::Ours;
            exchange.deadline = now.after(timeout).min(exchange.ends);
            exchange.empty_responses = match header.data_segment_length {
                0 => exchange.empty_responses.saturating_add(1),
                _ => 0,
            };
            if exchange.empty_responses > EMPTY_LIMIT {
                return Err(Error::PeerMisbehaved("a text exchange comes to an end"));
            }
            return Ok(None);
        }
        let purpose = exchange.purpose;
        let mut told = false;
        if purpose == Purpose::SendTargets {
            // A target whose addresses were cut off may be elsewhere.
            told = !truncated && text.answer.end_target(&asked);
            let discovered = text.answer.so_far;
            text.wanted = None;
            self.notify(Event::DiscoveryEnded(Ok(discovered)));
        }
        self.text.forget_exchange();
        if self.is_discovery() && purpose == Purpose::SendTargets {
            self.logout(now);
        } else {
            self.open_exchange(now);
        }
        Ok(told.then_some(Event::TargetFound))
    }

    /// The target rejected the request with this tag (§11.17.1). When it was short of resources,
    /// or took the request in damaged, it is sent again after a while, at most twice. Otherwise
    /// its CmdSN must not stay a hole: the next request has it, or else the next session begins.
    pub(super) fn on_text_rejected(
        &mut self,
        now: Instant,
        tag: u32,
        reason: u8,
    ) -> Result<(), Error> {
        let cmd_sn = match &self.text.exchange {
            Some(exchange)
                if exchange.initiator_task_tag == tag && exchange.turn == Turn::Theirs =>
            {
                exchange.cmd_sn
            }
            _ => return Ok(()),
        };
        if matches!(reason, DATA_DIGEST_ERROR | OUT_OF_RESOURCES) && self.postpone_text(now) {
            return Ok(());
        }
        let lost = Error::Rejected { reason };
        self.text.forget_exchange();
        self.give_up_discovery(lost);
        if !self.window.give_back(cmd_sn) {
            return Err(lost);
        }
        if self.is_discovery() {
            self.logout(now);
        }
        Ok(())
    }

    fn postpone_text(&mut self, now: Instant) -> bool {
        let timeout = self.config.timeouts.text;
        let Some(exchange) = &mut self.text.exchange else { return false };
        // In the middle of an answer a Reject ends it (§6.4): there is no going on.
        let fresh = exchange.target_transfer_tag == RESERVED_TAG;
        if !fresh || exchange.refusals >= REFUSAL_LIMIT || !self.window.give_back(exchange.cmd_sn) {
            return false;
        }
        exchange.refusals = exchange.refusals.saturating_add(1);
        exchange.turn = Turn::OursAt(now.after(REFUSAL_PAUSE));
        exchange.deadline = now.after(timeout).min(exchange.ends);
        true
    }

    // --- time, and the end of connections ---

    /// Checks the exchange's own deadlines.
    pub(super) fn check_text(&mut self, now: Instant) {
        let Some(exchange) = &mut self.text.exchange else { return };
        if let Turn::OursAt(at) = exchange.turn
            && now >= at
        {
            exchange.turn = Turn::Ours;
        }
        if now >= exchange.deadline {
            self.lose(now, Error::Timeout(Waiting::Text));
        }
    }

    pub(super) fn text_deadline(&self) -> Option<Instant> {
        self.text.exchange.as_ref().map(|exchange| match exchange.turn {
            Turn::OursAt(at) => at.min(exchange.deadline),
            Turn::Ours | Turn::Theirs => exchange.deadline,
        })
    }

    /// The connection was lost: the exchange is void. `false` when the question has been asked as
    /// often as it may be.
    pub(super) fn may_ask_again(&mut self) -> bool {
        let text = &mut self.text;
        let purpose = text.exchange.as_ref().map(|exchange| exchange.purpose);
        text.forget_exchange();
        text.negotiation_wanted = false;
        if purpose != Some(Purpose::SendTargets) {
            return true;
        }
        text.attempts = text.attempts.saturating_add(1);
        text.attempts < ATTEMPT_LIMIT
    }

    /// Nobody will answer any more.
    pub(super) fn give_up_discovery(&mut self, error: Error) {
        if self.text.wanted.take().is_some() {
            self.notify(Event::DiscoveryEnded(Err(error)));
        }
    }

    /// Where the question is asked.
    fn asked_address(&self) -> TargetAddress {
        TargetAddress {
            host: Host::Address(self.portals.present().ip()),
            port: self.portals.present().port(),
            portal_group_tag: self.negotiated().and_then(|terms| terms.target_portal_group_tag),
        }
    }
}

/// Takes a key that the target sent in a negotiation of its own; a MaxRecvDataSegmentLength is
/// handed on.
fn negotiate(pair: Pair<'_>, answers: &mut Vec<u8, REQUEST_LIMIT>) -> Result<Option<u32>, Error> {
    match FullFeatureKey::of(pair) {
        FullFeatureKey::MaxRecvDataSegmentLength(bytes) => Ok(Some(bytes)),
        FullFeatureKey::Declared => Ok(None),
        FullFeatureKey::Unknown => TextWriter::new(answers)
            .pair(pair.key, "NotUnderstood")
            .map(|()| None)
            .map_err(|_| TOO_MUCH),
        FullFeatureKey::NotAllowed => Err(Error::PeerMisbehaved(
            "only a few keys may be negotiated in full feature phase (RFC 7143 §13)",
        )),
    }
}
