//! SendTargets discovery over a byte stream (RFC 7143 appendix C).

use isboot_transport::stream::ByteStream;

use super::link::{EntropySource, Link, ROUNDS};
use crate::session::{
    DiscoverError, Discovered, Error, Event, FoundTarget, SendTargets, Session, SessionConfig,
};
use crate::time::Instant;

/// A Discovery session at work: asks a portal which targets there are, and logs out.
///
/// Nothing is gathered: each target is handed out as soon as its line of the answer has come, so
/// that no list is too long. Ends by itself, after the time-outs of the configuration at the
/// latest.
///
/// ```no_run
/// # use isboot::boot::{Discovery, Found};
/// # use isboot::login::{LoginConfig, Name};
/// # use isboot::pdu::digest::Crc32cFunction;
/// # use isboot::pdu::serial::SerialNumber;
/// # use isboot::session::{Escalation, SendTargets, SessionConfig, Timeouts};
/// # use isboot::time::Instant;
/// # use isboot_transport::stream::ByteStream;
/// # fn example<S: ByteStream>(
/// #     stream: S,
/// #     name: Name,
/// #     now: Instant,
/// #     wait: impl FnMut(&S, Option<Instant>) -> Instant,
/// # ) -> Result<(), isboot::session::Error> {
/// let config = SessionConfig {
///     portal: "192.0.2.1:3260".parse().unwrap(),
///     login: LoginConfig::discovery(name, [0x00, 0x02, 0x3d, 0x00, 0x00, 0x01]),
///     timeouts: Timeouts::default(),
///     escalation: Escalation::default(),
///     initial_cmd_sn: SerialNumber(1),
///     crc32c: Crc32cFunction::default(),
/// };
/// let no_entropy = |_: &mut [u8; 32]| false;
/// let mut discovery = Discovery::new(config, SendTargets::All, no_entropy, stream, now)
///     .expect("a Discovery session may ask for all");
/// let mut targets = Vec::new();
/// let discovered = discovery.finish(wait, |found| match found {
///     Found::Target(target) => targets.push(target.clone()),
///     Found::StartsAgain => targets.clear(),
/// })?;
/// assert_eq!(targets.len(), discovered.found as usize);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Discovery<S> {
    link: Link<S>,
    session: Session<1>,
    discovered: Option<Discovered>,
    error: Option<Error>,
}

/// What a [`Discovery`] has to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found<'f> {
    /// A target and an address of it. A target with several comes several times in a row.
    Target(&'f FoundTarget),
    /// The connection was lost, and the answer will begin again: what was told so far is void.
    StartsAgain,
}

impl<S: ByteStream> Discovery<S> {
    /// A discovery of `what` at the portal of `config`, whose login is that of a Discovery
    /// session ([`LoginConfig::discovery`](crate::login::LoginConfig::discovery)).
    ///
    /// # Errors
    /// [`DiscoverError::WrongSessionType`] when `what` cannot be asked in such a session.
    pub fn new(
        config: SessionConfig,
        what: SendTargets,
        entropy: EntropySource,
        stream: S,
        now: Instant,
    ) -> Result<Self, DiscoverError> {
        let mut session = Session::new(config, now);
        session.discover(now, what)?;
        Ok(Self { link: Link::new(stream, entropy), session, discovered: None, error: None })
    }

    /// Moves everything that can be moved now, hands out what was found, and says when to call
    /// again even if nothing arrives.
    pub fn poll(&mut self, now: Instant, mut take: impl FnMut(Found<'_>)) -> Option<Instant> {
        for _ in 0..ROUNDS {
            let wanted = self.session.link();
            self.link.follow(now, &mut self.session);
            let on_event = |session: &mut Session<1>, event: Event<'_>| {
                if let (Event::TargetFound, Some(target)) = (event, session.found()) {
                    take(Found::Target(target));
                }
            };
            let received = self.link.receive(now, &mut self.session, on_event);
            while let Some(event) = self.session.poll(now) {
                match event {
                    Event::DiscoveryEnded(Ok(discovered)) => self.discovered = Some(discovered),
                    Event::DiscoveryEnded(Err(error)) => self.error = Some(error),
                    Event::Lost { error, retry_at } => {
                        log::warn!(
                            "discovery at {} interrupted: {error}; next attempt in {} ms",
                            self.session.config().portal,
                            retry_at.since(now).as_millis()
                        );
                        take(Found::StartsAgain);
                    }
                    _ => {}
                }
            }
            let sent = self.link.transmit(now, &mut self.session, &mut ());
            if !received && !sent && self.session.link() == wanted {
                let deadlines = [self.session.poll_at(), self.link.poll_at(now)];
                return deadlines.into_iter().flatten().min();
            }
        }
        Some(now)
    }

    /// How the discovery ended, once the connection is closed too. A list that came whole counts,
    /// whatever became of the logout after it.
    #[must_use]
    pub fn outcome(&self) -> Option<Result<Discovered, Error>> {
        let ended = self.session.ended()?;
        if !self.link.is_closed() {
            return None;
        }
        match (self.discovered, self.error.or(ended)) {
            (Some(discovered), _) => Some(Ok(discovered)),
            (None, Some(error)) => Some(Err(error)),
            // Only a caller's logout ends a session without a word, and here is none.
            (None, None) => None,
        }
    }

    /// Polls until the end. `wait` is called with the transport and the time of the next deadline,
    /// may sleep until then or until something arrives, and returns the present time.
    ///
    /// # Errors
    /// What ended the discovery, after several attempts where that made sense.
    pub fn finish(
        &mut self,
        mut wait: impl FnMut(&S, Option<Instant>) -> Instant,
        mut take: impl FnMut(Found<'_>),
    ) -> Result<Discovered, Error> {
        let mut now = wait(self.stream(), Some(Instant::ZERO));
        loop {
            let next = self.poll(now, &mut take);
            if let Some(outcome) = self.outcome() {
                return outcome;
            }
            now = wait(self.stream(), next);
        }
    }

    /// The transport, to be used again.
    #[must_use]
    pub fn into_stream(self) -> S {
        self.link.into_stream()
    }

    /// The transport, to look at and to wait on.
    #[must_use]
    pub fn stream(&self) -> &S {
        self.link.stream()
    }
}
