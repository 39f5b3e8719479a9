//! One connection: bytes in, bytes out, no socket and no clock.

use std::net::SocketAddr;
use std::sync::Arc;

use isboot::pdu::bhs::BasicHeaderSegment;

use super::frame::{Decoder, FrameFault, Pdu};
use super::hook::{Handling, Injection, Numbering};
use super::link::Link;
use super::login::{Login, Progress};
use super::output::Output;
use super::rules::{End, Violation, broken, opcode_name, reserved_bits};
use super::session::FullFeature;
use super::state::{Order, Shared};

/// One connection of a target, from [`Target::connect`](super::Target::connect).
#[derive(Debug)]
pub struct Connection {
    link: Link,
    decoder: Decoder,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Login(Box<Login>),
    FullFeature(Box<FullFeature>),
    /// Nothing more is served; output still goes out.
    Closed {
        after_logout: bool,
    },
}

/// During login a segment has at most 8192 bytes, whatever was declared (RFC 7143 §6.3).
const LOGIN_SEGMENT: u32 = 8192;

impl Connection {
    pub(super) fn new(shared: Arc<Shared>, number: u64, portal: SocketAddr) -> Self {
        let login = Login::new(&shared.policy, portal);
        let link = Link::new(shared, number);
        Self { link, decoder: Decoder::default(), phase: Phase::Login(Box::new(login)) }
    }

    /// Its number, from 1 in the order in which connections were made.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.link.wire.connection
    }

    /// Takes in bytes that arrived, any number at any border.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.look_outside();
        if let Phase::Closed { after_logout } = &mut self.phase {
            if std::mem::take(after_logout) && !bytes.is_empty() {
                self.note("RFC 7143 §11.14", "sent more after its Logout Request".to_owned());
            }
            return;
        }
        self.decoder.push(bytes);
        while let Some(result) = self.serve_next() {
            if let Err(end) = result {
                self.end(end);
            }
        }
    }

    /// Bytes to be sent. Looks first whether somebody told the connection to do something.
    pub fn take_output(&mut self) -> Vec<u8> {
        self.output().into_bytes()
    }

    /// The same, as it lies.
    pub(super) fn output(&mut self) -> Output {
        self.look_outside();
        if let Phase::FullFeature(session) = &mut self.phase {
            session.poll(&mut self.link);
        }
        self.link.take_output()
    }

    /// The connection is to be closed once the output is out.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.link.cut
            || matches!(self.phase, Phase::Closed { .. })
            || self.link.shared.state().connections.get(&self.number()).is_none_or(|c| c.closed)
    }

    /// Serves one PDU; `None` when there is no whole one or the connection is closed.
    fn serve_next(&mut self) -> Option<Result<(), End>> {
        let limit = match &self.phase {
            Phase::Login(_) => LOGIN_SEGMENT,
            Phase::FullFeature(session) => session.parameters.target_max_recv,
            Phase::Closed { after_logout } => {
                if *after_logout && self.decoder.holds_bytes() {
                    self.phase = Phase::Closed { after_logout: false };
                    self.note("RFC 7143 §11.14", "sent more after its Logout Request".to_owned());
                }
                return None;
            }
        };
        if self.link.cut {
            return None;
        }
        let framed = match self.decoder.next(self.link.wire.digests, limit) {
            Ok(Some(framed)) => framed,
            Ok(None) => return None,
            Err(fault) => return Some(frame_violation(&fault)),
        };
        if !framed.clean_padding {
            let name = opcode_name(framed.pdu.header.opcode());
            self.link.remark("RFC 7143 §11.1", format!("{name} with padding that is not zero"));
        }
        Some(self.serve(framed.pdu))
    }

    fn serve(&mut self, pdu: Pdu) -> Result<(), End> {
        let code = pdu.header.opcode();
        *self.link.shared.state().statistics.requests.entry(code).or_default() += 1;
        if let Some((at, bits)) = reserved_bits(&pdu.header) {
            let name = opcode_name(code);
            return broken(
                "RFC 7143 §11",
                format!("{name}: byte {at} has reserved bits {bits:#04x} set"),
            );
        }
        let answers = match self.link.handling(&pdu) {
            Handling::Proceed => None,
            Handling::Swallow => Some(Vec::new()),
            Handling::Answer(answers) => Some(answers),
        };
        match (&mut self.phase, answers) {
            (Phase::Login(login), None) => match login.serve(&mut self.link, pdu)? {
                Progress::Continues => Ok(()),
                Progress::Complete(session) => {
                    let parameters = &session.parameters;
                    self.link.wire.digests.header = parameters.header_digest;
                    self.link.wire.digests.data = parameters.data_digest;
                    self.phase = Phase::FullFeature(session);
                    Ok(())
                }
                Progress::Failed => Err(End::Closed),
            },
            (Phase::FullFeature(session), None) => session.serve(&mut self.link, pdu),
            (phase, answers) => {
                if let Phase::FullFeature(session) = phase {
                    session.account(&self.link, &pdu.header)?;
                }
                for answer in answers.unwrap_or_default() {
                    self.inject(answer);
                }
                Ok(())
            }
        }
    }

    /// Orders from outside, and the end by others.
    fn look_outside(&mut self) {
        let number = self.number();
        let orders = match self.link.shared.state().connections.get_mut(&number) {
            Some(control) if !control.closed => std::mem::take(&mut control.orders),
            _ => {
                self.phase = Phase::Closed { after_logout: false };
                return;
            }
        };
        for order in orders {
            match order {
                Order::Ping(data) => {
                    if let Phase::FullFeature(session) = &mut self.phase {
                        session.ping(&mut self.link, data);
                    }
                }
                Order::Inject(injection) => self.inject(injection),
                Order::ReleaseHeld => self.link.release_held(),
            }
        }
    }

    fn inject(&mut self, injection: Injection) {
        let Injection { mut pdu, numbering } = injection;
        if numbering != Numbering::Exact {
            let advance = numbering == Numbering::Status;
            let numbers = match &mut self.phase {
                Phase::Login(login) => Some(login.numbers(&self.link.shared, advance)),
                Phase::FullFeature(session) => Some(session.numbers(&self.link.shared, advance)),
                Phase::Closed { .. } => None,
            };
            if let Some(numbers) = numbers {
                let mut bytes = *pdu.header.as_bytes();
                bytes[24..28].copy_from_slice(&numbers.stat_sn.0.to_be_bytes());
                bytes[28..32].copy_from_slice(&numbers.exp_cmd_sn.0.to_be_bytes());
                bytes[32..36].copy_from_slice(&numbers.max_cmd_sn.0.to_be_bytes());
                pdu.header = BasicHeaderSegment::from_bytes(bytes);
            }
        }
        self.link.send(pdu);
    }

    fn end(&mut self, end: End) {
        let mut after_logout = false;
        match end {
            End::Violation { clause, what } => {
                self.note(clause, what);
                if let Phase::Login(login) = &mut self.phase {
                    login.fail(&mut self.link, 0x02, 0x00);
                }
            }
            End::LoggedOut => after_logout = true,
            End::Closed => {}
        }
        self.leave();
        self.phase = Phase::Closed { after_logout };
    }

    fn note(&mut self, clause: &'static str, what: String) {
        let connection = self.number();
        self.link.shared.state().violations.push(Violation { clause, what, connection });
    }

    /// Ends the session: its tasks are gone, its unit attentions forgotten.
    fn leave(&mut self) {
        let number = self.number();
        self.link.shared.state().sessions.retain(|_, nexus| nexus.connection != number);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A hook's assertion in a server's thread would otherwise pass unseen.
            self.note("no clause", "a hook or the target panicked".to_owned());
        }
        self.leave();
        let number = self.number();
        self.link.shared.state().connections.remove(&number);
    }
}

fn frame_violation(fault: &FrameFault) -> Result<(), End> {
    match fault {
        FrameFault::HeaderDigest { opcode } => broken(
            "RFC 7143 §13.1",
            format!("what reads as a {} has a wrong header digest", opcode_name(*opcode)),
        ),
        FrameFault::DataDigest { opcode } => {
            broken("RFC 7143 §13.1", format!("{} with a wrong data digest", opcode_name(*opcode)))
        }
        FrameFault::TooLong { opcode, length, limit } => broken(
            "RFC 7143 §13.12",
            format!(
                "{} with a data segment of {length} bytes, above MaxRecvDataSegmentLength {limit}",
                opcode_name(*opcode)
            ),
        ),
    }
}
