//! `demo.bench=yes`: the kernel under measure. It waits for lines on the serial port, does what they
//! ask ([`request`]), and answers each with one event line:
//!
//! ```text
//! @isboot stage=bench us=… ready=yes copies=moves header_digest=None data_digest=None
//! @isboot stage=bench us=… bytes=… commands=… nanoseconds=… checked=…
//! @isboot stage=bench us=… error="depth is missing"
//! ```
//!
//! `ready` is the answer to `digests`, and what it says first. What is `checked` was compared after
//! the time was taken. With [`bare`] it is `ready=yes bare=…` and the digests, there are only reads, and
//! nothing is `checked`.

pub(crate) mod bare;
mod check;
mod line;
mod load;
mod pool;
mod request;

use core::fmt::Display;

use isboot::boot::{BootPlan, Parameters, State};
use isboot::login::DigestOffer;
use isboot::pdu::digest::Crc32cFunction;

use crate::console::Event;
use crate::entropy;
use crate::failure::Failure;
use crate::memory_functions;
use crate::serial;
use crate::session::{self, Initiator, poll, rest};

use line::{Line, Unreadable};
use load::Moved;
pub(crate) use pool::MEMORY;
use pool::Pool;
use request::{Digests, Request};

/// Answers lines until one wants the end; the session, as it is then.
pub(crate) fn run(
    mut initiator: Initiator,
    plan: &BootPlan,
    parameters: &Parameters,
    crc32c: Crc32cFunction,
) -> Result<Initiator, Failure> {
    let mut pool = Pool::new();
    let mut parameters = parameters.clone();
    while let Some(digests) = serve(&mut initiator, &mut pool)? {
        session::log_out(&mut initiator)?;
        digests.ask_for(&mut parameters);
        let (stream, now) = (initiator.into_stream(), session::now());
        initiator = Initiator::new(plan, &parameters, crc32c, entropy::challenge, stream, now);
        session::log_in(&mut initiator)?;
    }
    Ok(initiator)
}

/// Answers lines until one wants a session with other digests, or the end. The session is kept alive
/// meanwhile.
fn serve(initiator: &mut Initiator, pool: &mut Pool) -> Result<Option<Digests>, Failure> {
    let ready = Event::new(STAGE).field("ready", "yes").field("copies", memory_functions::way());
    match initiator.negotiated() {
        Some(terms) => drop(
            ready
                .field("header_digest", terms.header_digest)
                .field("data_digest", terms.data_digest),
        ),
        None => return Err(Failure::new(STAGE, "the session is gone")),
    }
    let mut line = Line::default();
    loop {
        let next = poll(initiator);
        if let State::Ended(_) = initiator.state() {
            return Err(Failure::new(STAGE, "the session ended while nobody asked for anything"));
        }
        let Some(byte) = serial::take() else {
            rest(initiator, next);
            continue;
        };
        match line.push(byte, |line| answer(initiator, line, pool)).transpose()? {
            None | Some(After::Listen) => {}
            Some(After::NewSession(digests)) => return Ok(Some(digests)),
            Some(After::End) => return Ok(None),
        }
    }
}

/// What follows the answer to a line.
enum After {
    Listen,
    NewSession(Digests),
    End,
}

/// Does what a line asks. Only what leaves no session to go on with is an error.
fn answer(
    initiator: &mut Initiator,
    line: Result<&str, Unreadable>,
    pool: &mut Pool,
) -> Result<After, Failure> {
    let event = |name, value: &dyn Display| Event::new(STAGE).field(name, value);
    let run = match line.map(Request::parse) {
        Ok(Ok(Request::Run(run))) => run,
        Ok(Ok(Request::Digests(digests))) => return Ok(After::NewSession(digests)),
        Ok(Ok(Request::End)) => return Ok(After::End),
        Ok(Err(why)) => {
            event("error", &why);
            return Ok(After::Listen);
        }
        Err(why) => {
            event("error", &why);
            return Ok(After::Listen);
        }
    };
    match load::run(initiator, &run, pool)? {
        Ok(moved) => tell(&moved),
        Err(failure) => drop(event("error", &failure.text)),
    }
    Ok(After::Listen)
}

/// Says what a load moved.
fn tell(moved: &Moved) {
    let mut event = Event::new(STAGE)
        .field("bytes", moved.bytes)
        .field("commands", moved.commands)
        .field("nanoseconds", moved.took.as_nanos());
    if let Some(checked) = moved.checked {
        event = event.field("checked", checked);
    }
    if let Some(profile) = moved.profile {
        profile.tell(event);
    }
}

const STAGE: &str = "bench";

impl Digests {
    /// What a session gets where the target takes every digest that it is offered.
    fn preferred(parameters: &Parameters) -> Self {
        let is_first = |offer: DigestOffer| offer.names().first() == Some(&"CRC32C");
        match (is_first(parameters.header_digest), is_first(parameters.data_digest)) {
            (_, true) => Self::Both,
            (true, false) => Self::Header,
            (false, false) => Self::None,
        }
    }

    /// The parameters of a session that has these digests or does not come about.
    fn ask_for(self, parameters: &mut Parameters) {
        let (header, data) = match self {
            Self::None => (DigestOffer::None, DigestOffer::None),
            Self::Header => (DigestOffer::Crc32c, DigestOffer::None),
            Self::Both => (DigestOffer::Crc32c, DigestOffer::Crc32c),
        };
        (parameters.header_digest, parameters.data_digest) = (header, data);
    }
}
