//! Text Requests: SendTargets, and keys of the Full Feature Phase (RFC 7143 §11.10, 11.11,
//! appendix C).

use isboot::pdu::bhs::{RESERVED_TAG, opcode};
use isboot::pdu::request::TextRequest;
use isboot::pdu::response::{Response, TextResponse};

use super::link::Link;
use super::rules::{End, broken};
use super::session::FullFeature;
use super::text::{self, Pairs, number};

/// A text exchange that is not over.
#[derive(Debug)]
pub(super) struct TextExchange {
    pub(super) initiator_task_tag: u32,
    target_transfer_tag: u32,
    immediate: bool,
    /// Text of requests with C=1.
    gathered: Vec<u8>,
    /// What of the answer has not been sent.
    unsent: Vec<u8>,
}

impl FullFeature {
    pub(super) fn text_request(
        &mut self,
        link: &mut Link,
        request: &TextRequest,
        data: &[u8],
    ) -> Result<(), End> {
        self.check_new_tag(opcode::TEXT_REQUEST, request.initiator_task_tag)?;
        let mut exchange = self.enter_exchange(request)?;
        if !exchange.unsent.is_empty() {
            if !data.is_empty() {
                return broken("RFC 7143 §6.2", "text in answer to a Text Response with C=1");
            }
            self.answer(link, exchange, request.last);
            return Ok(());
        }
        exchange.gathered.extend_from_slice(data);
        if request.text_continues {
            self.respond(link, exchange, Vec::new(), false, false);
            return Ok(());
        }
        let pairs = text::parse(&std::mem::take(&mut exchange.gathered))?;
        exchange.unsent = text::emit(&self.converse(link, &pairs)?);
        self.answer(link, exchange, request.last);
        Ok(())
    }

    /// The exchange that a request belongs to (§11.10.3, 11.10.4).
    fn enter_exchange(&mut self, request: &TextRequest) -> Result<TextExchange, End> {
        match self.text.take() {
            Some(exchange) if request.initiator_task_tag != exchange.initiator_task_tag => {
                broken("RFC 7143 §11.10", "a second Text Request while one is open")
            }
            Some(exchange) if request.target_transfer_tag != exchange.target_transfer_tag => {
                broken("RFC 7143 §11.11.4", "Text Request without the Target Transfer Tag before")
            }
            Some(exchange) if request.immediate != exchange.immediate => {
                broken("RFC 7143 §11.10.3", "I changed within a text exchange")
            }
            Some(exchange) => Ok(exchange),
            None if request.target_transfer_tag != RESERVED_TAG => {
                broken("RFC 7143 §11.10.4", "a first Text Request with a Target Transfer Tag")
            }
            None => Ok(TextExchange {
                initiator_task_tag: request.initiator_task_tag,
                target_transfer_tag: RESERVED_TAG,
                immediate: request.immediate,
                gathered: Vec::new(),
                unsent: Vec::new(),
            }),
        }
    }

    fn converse(&mut self, link: &Link, pairs: &[(String, String)]) -> Result<Pairs, End> {
        let mut answers = Pairs::new();
        for (key, value) in pairs {
            match key.as_str() {
                "SendTargets" if pairs.len() != 1 => {
                    return broken("RFC 7143 appendix C", "SendTargets together with other keys");
                }
                "SendTargets" => answers = self.send_targets(link, value)?,
                "MaxRecvDataSegmentLength" => match number(value)
                    .and_then(|n| u32::try_from(n).ok())
                {
                    Some(length @ 512..=0xff_ffff) => self.parameters.initiator_max_recv = length,
                    _ => return broken("RFC 7143 §13.12", format!("{key}={value}")),
                },
                "InitiatorAlias" => {}
                _ if key.starts_with("X-") => {
                    answers.push((key.clone(), "NotUnderstood".to_owned()))
                }
                _ => {
                    return broken("RFC 7143 §13", format!("{key} in the Full Feature Phase"));
                }
            }
        }
        Ok(answers)
    }

    fn send_targets(&self, link: &Link, asked: &str) -> Result<Pairs, End> {
        let shared = &link.shared;
        let discovery = self.tsih.is_none();
        if asked.is_empty() && discovery {
            return broken(
                "RFC 7143 appendix C",
                "SendTargets without a value in a Discovery session",
            );
        }
        if asked == "All" && !discovery {
            return broken("RFC 7143 appendix C", "SendTargets=All in a Normal session");
        }
        let mut answers = Pairs::new();
        if asked.is_empty() || asked == "All" || asked == shared.name {
            answers.push(("TargetName".to_owned(), shared.name.clone()));
            for address in shared.policy.target_addresses(self.portal) {
                answers.push(("TargetAddress".to_owned(), address));
            }
        }
        for (name, address) in &shared.policy.also_known {
            if asked == "All" || asked == name {
                answers.push(("TargetName".to_owned(), name.clone()));
                answers.push(("TargetAddress".to_owned(), address.clone()));
            }
        }
        Ok(answers)
    }

    /// Sends as much of the answer as fits into one PDU. F=1 answers F=1 only (§11.11.1).
    fn answer(&mut self, link: &mut Link, mut exchange: TextExchange, may_end: bool) {
        let segment = self.parameters.initiator_max_recv as usize;
        let room = segment.min(link.shared.policy.text_piece).min(exchange.unsent.len());
        let piece: Vec<u8> = exchange.unsent.drain(..room).collect();
        let continues = !exchange.unsent.is_empty();
        self.respond(link, exchange, piece, may_end && !continues, continues);
    }

    fn respond(
        &mut self,
        link: &mut Link,
        mut exchange: TextExchange,
        data: Vec<u8>,
        last: bool,
        text_continues: bool,
    ) {
        let target_transfer_tag = if last { RESERVED_TAG } else { self.transfer_tag() };
        let response = TextResponse {
            last,
            text_continues,
            lun: [0; 8],
            initiator_task_tag: exchange.initiator_task_tag,
            target_transfer_tag,
            numbers: self.numbers(&link.shared, true),
            data_segment_length: 0,
        };
        if !last {
            exchange.target_transfer_tag = target_transfer_tag;
            self.text = Some(exchange);
        }
        link.respond(Response::Text(response), data);
    }
}
