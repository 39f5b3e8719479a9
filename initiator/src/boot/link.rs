//! Between a session and a byte stream: the one says what it wants, the other what happened.

use core::time::Duration;

use isboot_transport::stream::{ByteStream, Expected, StreamError, StreamState};

use crate::session::{DataOut, Event, LinkFailure, LinkWanted, Owed, Placement, Session};
use crate::time::Instant;

/// Fills 32 bytes with entropy, or says `false` when there is none. Asked once per login, for
/// the challenge of mutual CHAP.
pub type EntropySource = fn(&mut [u8; 32]) -> bool;

/// Rounds of receive and transmit in one poll: enough to drain a ring, few enough that a flood
/// of frames cannot hold the caller.
pub(super) const ROUNDS: usize = 8;

/// So many bytes go straight to their places before there is a chance to send: the target shall have
/// the next command while the rest of a long run is copied.
const PLACED_AT_ONCE: usize = 128 * 1024;

/// Who the events of a session are for.
pub(super) trait Receiver<const TASKS: usize> {
    /// Takes an event.
    fn take(&mut self, session: &mut Session<TASKS>, event: Event<'_>);

    /// The memory that read data belongs in, when it may be received straight into it.
    fn place(&mut self, placement: Placement) -> Option<&mut [u8]> {
        let _ = placement;
        None
    }
}

impl<const TASKS: usize, F: FnMut(&mut Session<TASKS>, Event<'_>)> Receiver<TASKS> for F {
    fn take(&mut self, session: &mut Session<TASKS>, event: Event<'_>) {
        self(session, event);
    }
}

/// The stream of a session.
#[derive(Debug)]
pub(super) struct Link<S> {
    stream: S,
    entropy: EntropySource,
    connecting: bool,
}

impl<S: ByteStream> Link<S> {
    pub(super) fn new(stream: S, entropy: EntropySource) -> Self {
        Self { stream, entropy, connecting: false }
    }

    pub(super) fn stream(&self) -> &S {
        &self.stream
    }

    pub(super) fn stream_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    pub(super) fn into_stream(self) -> S {
        self.stream
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.stream.state(), StreamState::Closed | StreamState::Failed(_))
    }

    /// The session begins anew, with another target.
    pub(super) fn start_over(&mut self) {
        self.connecting = false;
    }

    /// When to call again even if no frame arrives.
    pub(super) fn poll_at(&self, now: Instant) -> Option<Instant> {
        self.stream.poll_at(since_start(now)).map(from_start)
    }

    /// Moves the stream, does to the connection what the session wants, and tells the session
    /// what became of it.
    pub(super) fn follow<const TASKS: usize>(
        &mut self,
        now: Instant,
        session: &mut Session<TASKS>,
    ) {
        self.stream.poll(since_start(now));
        match session.link() {
            LinkWanted::Connect(portal) => {
                if !self.connecting {
                    self.stream.abort();
                    self.connecting = true;
                    if let Err(error) = self.stream.connect(since_start(now), portal) {
                        self.lost(now, session, error.into());
                        return;
                    }
                }
                match self.stream.state() {
                    StreamState::Open | StreamState::PeerClosed => {
                        // Whenever the session asks again, it is for another connection.
                        self.connecting = false;
                        let mut entropy = [0; 32];
                        let filled = (self.entropy)(&mut entropy);
                        session.link_up(now, filled.then_some(&entropy));
                    }
                    StreamState::Connecting => {}
                    StreamState::Closed => self.lost(now, session, LinkFailure::ClosedByTarget),
                    StreamState::Failed(error) => self.lost(now, session, error.into()),
                }
            }
            LinkWanted::Keep => {}
            LinkWanted::Close => {
                self.connecting = false;
                match (session.ended(), self.stream.state()) {
                    (_, StreamState::Closed | StreamState::Failed(_)) => {}
                    (Some(None), _) => self.stream.close(),
                    _ => self.stream.abort(),
                }
            }
        }
    }

    /// Hands what arrived to the session, and its events to `receiver`; whether anything had
    /// arrived. Where much goes straight to its place, not all of it at once.
    pub(super) fn receive<const TASKS: usize>(
        &mut self,
        now: Instant,
        session: &mut Session<TASKS>,
        mut receiver: impl Receiver<TASKS>,
    ) -> bool {
        let (mut any, mut placed) = (false, 0_usize);
        while placed < PLACED_AT_ONCE {
            let count = self.receive_in_place(now, session, &mut receiver);
            placed = placed.saturating_add(count);
            let took = count > 0
                || self
                    .stream
                    .recv(|bytes| {
                        let mut input = bytes;
                        while let Some(event) = session.receive(now, &mut input) {
                            receiver.take(session, event);
                        }
                        (bytes.len().saturating_sub(input.len()), ())
                    })
                    .is_some();
            if !took {
                break;
            }
            any = true;
        }
        if !any && session.link() == LinkWanted::Keep {
            // Everything that came before the end of the connection has been read.
            match self.stream.state() {
                StreamState::Open | StreamState::Connecting => {}
                StreamState::Failed(error) => self.lost(now, session, error.into()),
                StreamState::PeerClosed | StreamState::Closed => {
                    self.lost(now, session, LinkFailure::ClosedByTarget);
                }
            }
        }
        any
    }

    /// Lets the stream put the data that comes next where it belongs; how many bytes it put there.
    fn receive_in_place<const TASKS: usize>(
        &mut self,
        now: Instant,
        session: &mut Session<TASKS>,
        receiver: &mut impl Receiver<TASKS>,
    ) -> usize {
        let Some(placement) = session.placement() else { return 0 };
        let Some(place) = receiver.place(placement) else { return 0 };
        let placed = self.stream.recv_into(place).and_then(|count| place.get(..count));
        let Some(mut placed) = placed else { return 0 };
        let count = placed.len();
        // The event tells of the bytes that lie where it wants them.
        let _ = session.receive(now, &mut placed);
        // The last of them may have brought the status with it.
        while let Some(event) = session.receive(now, &mut &[][..]) {
            receiver.take(session, event);
        }
        count
    }

    /// Lets the session write what it has to say; whether it said anything.
    pub(super) fn transmit<const TASKS: usize>(
        &mut self,
        now: Instant,
        session: &mut Session<TASKS>,
        data: &mut impl DataOut,
    ) -> bool {
        let mut any = false;
        while session.wants_to_transmit() {
            let mut long = S::SENDS_IN_PLACE;
            if long < u32::MAX
                && let Some(bytes) = session.in_place(data)
            {
                let sent = self.stream.send_from(bytes).and_then(|count| bytes.get(..count));
                if let Some(sent) = sent {
                    session.sent_in_place(sent);
                    any = true;
                    continue;
                }
                long = u32::MAX;
            }
            let sent = self.stream.send(|out| {
                let count = session.transmit_until(now, out, data, long);
                (count, count)
            });
            match sent {
                Some(1..) => any = true,
                Some(0) | None => break,
            }
        }
        let Owed { all, first, each } = session.owed();
        self.stream.expect(Expected { all, first, each });
        any
    }

    fn lost<const TASKS: usize>(
        &mut self,
        now: Instant,
        session: &mut Session<TASKS>,
        why: LinkFailure,
    ) {
        self.connecting = false;
        session.link_down(now, why);
    }
}

impl From<StreamError> for LinkFailure {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Refused => Self::Refused,
            StreamError::Reset => Self::Reset,
            StreamError::TimedOut => Self::TimedOut,
            StreamError::NoAddress | StreamError::NoRoute | StreamError::LinkDown => {
                Self::Unreachable
            }
            StreamError::Other(number) => Self::Other(number),
        }
    }
}

fn since_start(now: Instant) -> Duration {
    Duration::from_micros(now.as_micros())
}

fn from_start(time: Duration) -> Instant {
    Instant::ZERO.after(time)
}
