//! A connection to a target that spoke once and is heard again: what it said is on tape, so that
//! afterwards only the initiator works.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use isboot_tests::target::{Connection, Target};
use isboot_transport::stream::{ByteStream, StreamError, StreamState};

/// What a target said, and when.
#[derive(Debug, Default)]
pub struct Tape {
    bytes: Vec<u8>,
    /// Once the initiator has said so many bytes, the target has said so many.
    cues: Vec<(u64, usize)>,
}

/// Room for what the initiator says; a power of two.
const ROOM: usize = 1 << 16;

/// A connection to a target or to a tape of one.
#[derive(Debug)]
pub struct TapeStream {
    target: Speaker,
    state: StreamState,
    out: Box<[u8]>,
    said: u64,
    /// Bytes that the initiator has taken, that the target has said, and that have arrived.
    heard: usize,
    said_to_us: usize,
    available: usize,
    /// Bytes are lent up to the next multiple of this, as a ring or a segment ends there.
    cut: usize,
    /// At one time so many bytes arrive at most.
    pace: usize,
    now: Option<Duration>,
}

#[derive(Debug)]
enum Speaker {
    Live { target: Target, connection: Option<Box<Connection>>, tape: Tape },
    Taped { tape: Rc<Tape>, next_cue: usize },
}

impl TapeStream {
    /// A connection to `target`, of which a tape is made.
    pub fn record(target: &Target, cut: usize, pace: usize) -> Self {
        Self::of(
            Speaker::Live { target: target.clone(), connection: None, tape: Tape::default() },
            cut,
            pace,
        )
    }

    /// A connection to what is on `tape`, for an initiator that does all that the first one did.
    pub fn play(tape: &Rc<Tape>, cut: usize, pace: usize) -> Self {
        Self::of(Speaker::Taped { tape: Rc::clone(tape), next_cue: 0 }, cut, pace)
    }

    fn of(target: Speaker, cut: usize, pace: usize) -> Self {
        let out = vec![0; ROOM].into_boxed_slice();
        let state = StreamState::Closed;
        Self {
            target,
            state,
            out,
            said: 0,
            heard: 0,
            said_to_us: 0,
            available: 0,
            cut,
            pace,
            now: None,
        }
    }

    /// The tape that was made; an empty one of a connection that played one.
    pub fn into_tape(self) -> Tape {
        match self.target {
            Speaker::Live { tape, .. } => tape,
            Speaker::Taped { .. } => Tape::default(),
        }
    }

    /// Bytes that the initiator said, and heard.
    pub fn carried(&self) -> (u64, u64) {
        (self.said, self.heard as u64)
    }
}

impl ByteStream for TapeStream {
    fn connect(&mut self, _: Duration, portal: SocketAddr) -> Result<(), StreamError> {
        if let Speaker::Live { target, connection, .. } = &mut self.target {
            *connection = Some(Box::new(target.connect(portal)));
        }
        self.state = StreamState::Open;
        Ok(())
    }

    fn poll(&mut self, now: Duration) {
        match &mut self.target {
            Speaker::Live { connection: Some(connection), tape, .. } => {
                let words = connection.take_output();
                if !words.is_empty() {
                    tape.bytes.extend(words);
                    tape.cues.push((self.said, tape.bytes.len()));
                    self.said_to_us = tape.bytes.len();
                }
            }
            Speaker::Live { connection: None, .. } => {}
            Speaker::Taped { tape, next_cue } => {
                while let Some(&(_, until)) =
                    tape.cues.get(*next_cue).filter(|(said, _)| *said <= self.said)
                {
                    self.said_to_us = until;
                    *next_cue += 1;
                }
            }
        }
        if self.now.replace(now) != Some(now) || self.pace == usize::MAX {
            self.available = self.said_to_us.min(self.available.saturating_add(self.pace));
        }
    }

    fn state(&self) -> StreamState {
        self.state
    }

    fn recv<R>(&mut self, take: impl FnOnce(&[u8]) -> (usize, R)) -> Option<R> {
        let bytes = match &self.target {
            Speaker::Live { tape, .. } => &tape.bytes,
            Speaker::Taped { tape, .. } => &tape.bytes,
        };
        let end = self.available.min((self.heard / self.cut + 1) * self.cut);
        if self.heard == end {
            return None;
        }
        let (count, result) = take(&bytes[self.heard..end]);
        self.heard += count;
        Some(result)
    }

    fn send<R>(&mut self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> Option<R> {
        let (count, result) = fill(&mut self.out);
        self.said += count as u64;
        if let Speaker::Live { connection: Some(connection), .. } = &mut self.target {
            connection.receive(&self.out[..count]);
        }
        Some(result)
    }

    fn close(&mut self) {
        self.state = StreamState::Closed;
    }

    fn abort(&mut self) {
        self.close();
    }

    fn poll_at(&self, _: Duration) -> Option<Duration> {
        None
    }
}
