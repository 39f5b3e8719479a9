//! `demo.profile=yes`: where the time of a load goes, by the time stamp counter at the seams that a
//! hosting kernel has anyway: its byte stream, its registers, its digest function.
//!
//! Each moment counts for the innermost seam that is open. Without the word a seam costs one look at
//! a flag.

use core::net::SocketAddr;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use core::time::Duration;

use isboot::pdu::digest::Crc32cFunction;
use isboot_transport::stream::{ByteStream, Expected, StreamError, StreamState};

use crate::boot_cell::BootCell;
use crate::clock;
use crate::console::Event;

/// What the time is spent on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Stage {
    /// The loop around the initiator, and its bookkeeping of requests.
    Kernel,
    /// TCP/IP, the driver's rings, and the copies into and out of the socket's buffers.
    Stack,
    /// Registers of the card: in an emulator, its device model.
    Registers,
    /// The session: framing, and the copy into or out of a request's buffer.
    Session,
    /// CRC32C.
    Digest,
    /// Polls that moved nothing, all of their stages.
    Waiting,
}

const NAMES: [&str; 6] = ["kernel", "stack", "registers", "session", "digest", "waiting"];

static ON: AtomicBool = AtomicBool::new(false);
static STAGE: AtomicUsize = AtomicUsize::new(Stage::Kernel as usize);
/// The counter when the stage began or was come back to.
static SINCE: AtomicU64 = AtomicU64::new(0);
static SPENT: [AtomicU64; NAMES.len()] = [const { AtomicU64::new(0) }; NAMES.len()];
/// Times that bytes were moved, and that a register was written or read.
static MOVED: AtomicU64 = AtomicU64::new(0);
static REGISTERS: AtomicU64 = AtomicU64::new(0);
static CRC32C: BootCell<Crc32cFunction> = BootCell::new(Crc32cFunction::PORTABLE);

/// Turns it on, for good.
pub(crate) fn start() {
    ON.store(true, Relaxed);
}

/// The same function, with its time counted where that is wanted.
pub(crate) fn watched(function: Crc32cFunction) -> Crc32cFunction {
    fn append(crc: u32, bytes: &[u8]) -> u32 {
        let _span = enter(Stage::Digest);
        CRC32C.with(|function| *function).append(crc, bytes)
    }
    if !ON.load(Relaxed) {
        return function;
    }
    CRC32C.with(|known| *known = function);
    Crc32cFunction(append)
}

/// From here to the end of what is returned, time counts for `stage`.
pub(crate) fn enter(stage: Stage) -> Span {
    if !ON.load(Relaxed) {
        return Span(None);
    }
    if stage == Stage::Registers {
        REGISTERS.fetch_add(1, Relaxed);
    }
    Span(Some(change(stage as usize)))
}

/// Time of a stage; the stage around it goes on when it is dropped.
#[must_use]
pub(crate) struct Span(Option<usize>);

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(outer) = self.0 {
            change(outer);
        }
    }
}

/// Ends one stage and begins another; says which ended.
fn change(stage: usize) -> usize {
    let now = clock::counter();
    let before = STAGE.swap(stage, Relaxed);
    let since = SINCE.swap(now, Relaxed);
    if let Some(spent) = SPENT.get(before) {
        spent.fetch_add(now.wrapping_sub(since), Relaxed);
    }
    before
}

/// What was at a moment, to be compared with later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    spent: [u64; NAMES.len()],
    moved: u64,
    registers: u64,
}

impl Mark {
    /// `None` where nothing is counted.
    pub(crate) fn here() -> Option<Self> {
        ON.load(Relaxed).then(|| {
            change(Stage::Kernel as usize);
            let mut spent = [0; NAMES.len()];
            for (copy, spent) in spent.iter_mut().zip(&SPENT) {
                *copy = spent.load(Relaxed);
            }
            Self { spent, moved: MOVED.load(Relaxed), registers: REGISTERS.load(Relaxed) }
        })
    }

    /// Where nothing was moved since, all the time since was spent waiting.
    pub(crate) fn look_back(self) {
        if MOVED.load(Relaxed) != self.moved {
            return;
        }
        change(Stage::Kernel as usize);
        let mut waited = 0;
        for (spent, before) in SPENT.iter().zip(self.spent) {
            waited += spent.swap(before, Relaxed).wrapping_sub(before);
        }
        if let Some(waiting) = SPENT.get(Stage::Waiting as usize) {
            waiting.fetch_add(waited, Relaxed);
        }
    }

    /// What came since `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        let mut spent = self.spent;
        for (spent, before) in spent.iter_mut().zip(before.spent) {
            *spent = spent.wrapping_sub(before);
        }
        let moved = self.moved.wrapping_sub(before.moved);
        Self { spent, moved, registers: self.registers.wrapping_sub(before.registers) }
    }

    /// Adds to an event how many microseconds went to each stage, and how often a register was
    /// reached.
    pub(crate) fn tell(self, event: Event) -> Event {
        let event = event.field("register_accesses", self.registers);
        NAMES
            .iter()
            .zip(self.spent)
            .fold(event, |event, (name, spent)| event.field(name, clock::span(spent).as_micros()))
    }
}

/// A byte stream with its seams.
#[derive(Debug)]
pub(crate) struct Watched<S>(pub(crate) S);

impl<S> Deref for Watched<S> {
    type Target = S;
    fn deref(&self) -> &S {
        &self.0
    }
}

impl<S> DerefMut for Watched<S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.0
    }
}

impl<S: ByteStream> ByteStream for Watched<S> {
    fn connect(&mut self, now: Duration, portal: SocketAddr) -> Result<(), StreamError> {
        self.0.connect(now, portal)
    }

    fn poll(&mut self, now: Duration) {
        let _span = enter(Stage::Stack);
        self.0.poll(now);
    }

    fn state(&self) -> StreamState {
        self.0.state()
    }

    fn recv<R>(&mut self, take: impl FnOnce(&[u8]) -> (usize, R)) -> Option<R> {
        let _span = enter(Stage::Stack);
        self.0.recv(|bytes| {
            let _span = enter(Stage::Session);
            MOVED.fetch_add(1, Relaxed);
            take(bytes)
        })
    }

    fn recv_into(&mut self, place: &mut [u8]) -> Option<usize> {
        let _span = enter(Stage::Stack);
        let count = self.0.recv_into(place)?;
        MOVED.fetch_add(1, Relaxed);
        Some(count)
    }

    fn expect(&mut self, expected: Expected) {
        self.0.expect(expected);
    }

    fn send<R>(&mut self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> Option<R> {
        self.0.send(|room| {
            let _span = enter(Stage::Session);
            MOVED.fetch_add(1, Relaxed);
            fill(room)
        })
    }

    fn close(&mut self) {
        self.0.close();
    }

    fn abort(&mut self) {
        self.0.abort();
    }

    fn poll_at(&self, now: Duration) -> Option<Duration> {
        self.0.poll_at(now)
    }
}
