//! What lies between the two ends: pieces, breaks, portals that do not accept.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use isboot_transport::stream::{ByteStream, Expected, StreamError, StreamState};

use super::Random;
use crate::target::{Connection, Target};

/// The way that bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the initiator.
    ToTarget,
    /// From the target.
    ToInitiator,
}

/// How a connection breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// Both ends see a reset; what was under way is gone.
    Reset,
    /// The target closes in good order; what it sent before arrives.
    Close,
    /// Nothing arrives any more, either way, and nobody is told. What the initiator sent reaches
    /// the old connection at the target once the next one is logged in.
    Silence,
}

/// What the portal does with a connection attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Portal {
    /// Accepts.
    Accepts,
    /// Refuses.
    Refuses,
    /// Does not answer.
    IsSilent,
}

/// A handle of the wire; the initiator's end is [`Wire::stream`].
#[derive(Clone)]
pub struct Wire(Rc<RefCell<State>>);

#[derive(Debug)]
struct State {
    target: Target,
    portal: Portal,
    /// Portals that do something else.
    others: Vec<(SocketAddr, Portal)>,
    /// Portals that were connected to.
    portals: Vec<SocketAddr>,
    stream: StreamState,
    connection: Option<Connection>,
    /// Connections that only the target still believes in, and what is still to reach them.
    ghosts: Vec<(Connection, Vec<u8>)>,
    /// Bytes on their way, and bytes that the initiator may take.
    up: VecDeque<u8>,
    down: VecDeque<u8>,
    arrived: VecDeque<u8>,
    /// Read data was lent the last time, rather than put into its place.
    lends: bool,
    /// The last that was offered to be sent from where it lay had to be copied.
    copies: bool,
    sent_in_place: u64,
    /// Bytes that were put straight into their place.
    placed: u64,
    /// Bytes that the initiator took.
    taken: u64,
    /// What the initiator said it expects, and how many bytes it had taken then.
    expected: Vec<(u64, Expected)>,
    /// The target has closed: nothing follows `down`.
    fin: bool,
    silent: bool,
    /// Room in the initiator's transmit buffer.
    room: usize,
    /// Largest pieces, one way and the other, and whether they vary.
    piece: usize,
    random: Option<Random>,
    /// Bytes carried so far, each way.
    carried: [u64; 2],
    /// A piece comes down so often, and when the next may.
    pace: Option<(Duration, Duration)>,
    breaks: Option<(Direction, u64, Break)>,
    broken: u32,
}

impl Wire {
    /// Where the target is.
    pub const PORTAL: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 3260);

    pub(super) fn new(target: &Target) -> Self {
        Self(Rc::new(RefCell::new(State {
            target: target.clone(),
            portal: Portal::Accepts,
            others: Vec::new(),
            portals: Vec::new(),
            stream: StreamState::Closed,
            connection: None,
            ghosts: Vec::new(),
            up: VecDeque::new(),
            down: VecDeque::new(),
            arrived: VecDeque::new(),
            lends: false,
            copies: false,
            sent_in_place: 0,
            placed: 0,
            taken: 0,
            expected: Vec::new(),
            fin: false,
            silent: false,
            room: 1 << 16,
            piece: usize::MAX,
            random: None,
            carried: [0; 2],
            pace: None,
            breaks: None,
            broken: 0,
        })))
    }

    /// The initiator's end.
    #[must_use]
    pub fn stream(&self) -> MemoryStream {
        MemoryStream(self.clone())
    }

    /// Bytes come in pieces of at most so many.
    pub fn split(&self, piece: usize) {
        self.0.borrow_mut().piece = piece;
    }

    /// Bytes come in pieces of any size up to that of [`split`](Self::split).
    pub fn split_at_random(&self, most: usize, seed: u64) {
        let mut state = self.0.borrow_mut();
        (state.piece, state.random) = (most, Some(Random(seed)));
    }

    /// The room in the initiator's transmit buffer; none at all while it is 0.
    pub fn set_room(&self, bytes: usize) {
        self.0.borrow_mut().room = bytes;
    }

    /// What the portal does from now on.
    pub fn set_portal(&self, portal: Portal) {
        self.0.borrow_mut().portal = portal;
    }

    /// What the portal at one address does from now on, whatever the others do.
    pub fn set_portal_at(&self, address: SocketAddr, portal: Portal) {
        let others = &mut self.0.borrow_mut().others;
        others.retain(|(other, _)| *other != address);
        others.push((address, portal));
    }

    /// From now on a piece comes from the target only so often.
    pub fn slow_down(&self, interval: Duration) {
        self.0.borrow_mut().pace = Some((interval, Duration::ZERO));
    }

    /// Connections from now on reach this target.
    pub fn replace_target(&self, target: &Target) {
        self.0.borrow_mut().target = target.clone();
    }

    /// The target sends FIN and still reads.
    pub fn close_half(&self) {
        self.0.borrow_mut().fin = true;
    }

    /// Portals that were connected to, in order.
    #[must_use]
    pub fn portals(&self) -> Vec<SocketAddr> {
        self.0.borrow().portals.clone()
    }

    /// The connection breaks once so many bytes in all were carried that way.
    pub fn break_after(&self, direction: Direction, bytes: u64, how: Break) {
        self.0.borrow_mut().breaks = Some((direction, bytes, how));
    }

    /// The connection breaks now.
    pub fn break_now(&self, how: Break) {
        self.0.borrow_mut().break_connection(how);
    }

    /// Bytes carried so far that way.
    #[must_use]
    pub fn carried(&self, direction: Direction) -> u64 {
        self.0.borrow().carried[direction as usize]
    }

    /// How often a connection broke.
    #[must_use]
    pub fn broken(&self) -> u32 {
        self.0.borrow().broken
    }

    /// Whether the initiator holds a connection, or makes one.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !matches!(self.0.borrow().stream, StreamState::Closed | StreamState::Failed(_))
    }

    /// Carries bytes to the target and back; whether there were any.
    pub fn exchange(&self) -> bool {
        self.0.borrow_mut().exchange()
    }
}

/// Where the bytes are, in a line.
impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.borrow();
        f.debug_struct("Wire")
            .field("stream", &state.stream)
            .field("portal", &state.portal)
            .field("carried", &state.carried)
            .field("waiting", &[state.up.len(), state.down.len(), state.arrived.len()])
            .field("broken", &state.broken)
            .finish_non_exhaustive()
    }
}

impl State {
    /// What the portal connected to last does.
    fn present_portal(&self) -> Portal {
        let last = self.portals.last();
        let other = self.others.iter().find(|(address, _)| Some(address) == last);
        other.map_or(self.portal, |(_, portal)| *portal)
    }

    /// Bytes that can be sent now.
    fn space(&mut self) -> usize {
        match self.stream {
            StreamState::Open => self.room.saturating_sub(self.up.len()).min(self.next_piece()),
            _ => 0,
        }
    }

    fn next_piece(&mut self) -> usize {
        let most = self.piece;
        self.random.as_mut().map_or(most, |random| 1 + random.below(most as u64) as usize)
    }

    fn exchange(&mut self) -> bool {
        if self.silent || self.connection.is_none() {
            return self.serve_ghosts();
        }
        let before = (self.carried, self.down.len(), self.fin);
        let wanted = self.next_piece().min(self.up.len());
        let count = self.count(Direction::ToTarget, wanted);
        let bytes: Vec<u8> = self.up.drain(..count).collect();
        if let Some(connection) = &mut self.connection {
            connection.receive(&bytes);
            self.down.extend(connection.take_output());
            self.fin |= connection.is_closed();
        }
        self.break_if_due();
        let ghosts = self.serve_ghosts();
        before != (self.carried, self.down.len(), self.fin) || ghosts
    }

    /// The late bytes of silent connections arrive once there is a new session.
    fn serve_ghosts(&mut self) -> bool {
        if self.target.live_sessions() == 0 || self.silent || self.connection.is_none() {
            return false;
        }
        let ghosts = std::mem::take(&mut self.ghosts);
        let any = !ghosts.is_empty();
        for (mut connection, bytes) in ghosts {
            if self.target.statistics().logins < 2 {
                continue;
            }
            connection.receive(&bytes);
            let _ = connection.take_output();
        }
        any
    }

    /// How many of `wanted` bytes go before the wire breaks; counts them.
    fn count(&mut self, direction: Direction, wanted: usize) -> usize {
        let carried = &mut self.carried[direction as usize];
        let count = match self.breaks {
            Some((way, at, _)) if way == direction => {
                wanted.min(usize::try_from(at.saturating_sub(*carried)).unwrap_or(usize::MAX))
            }
            _ => wanted,
        };
        *carried += count as u64;
        count
    }

    fn break_if_due(&mut self) {
        if let Some((direction, at, how)) = self.breaks
            && self.carried[direction as usize] >= at
            && self.connection.is_some()
        {
            self.breaks = None;
            self.break_connection(how);
        }
    }

    fn break_connection(&mut self, how: Break) {
        self.broken += 1;
        match how {
            Break::Reset => {
                self.forget();
                self.stream = StreamState::Failed(StreamError::Reset);
            }
            Break::Close => {
                self.connection = None;
                self.up.clear();
                self.fin = true;
            }
            Break::Silence => self.silent = true,
        }
    }

    fn forget(&mut self) {
        if let Some(connection) = self.connection.take()
            && self.silent
        {
            self.ghosts.push((connection, self.up.iter().copied().collect()));
        }
        (self.fin, self.silent) = (false, false);
        self.up.clear();
        self.down.clear();
        self.arrived.clear();
    }

    /// One piece from the wire into the receive buffer.
    fn ingest(&mut self, now: Duration) {
        if self.silent {
            return;
        }
        if let Some((interval, next)) = &mut self.pace {
            if now < *next || self.down.is_empty() {
                return;
            }
            *next = now + *interval;
        }
        let wanted = self.next_piece().min(self.down.len());
        let count = self.count(Direction::ToInitiator, wanted);
        let bytes: Vec<u8> = self.down.drain(..count).collect();
        self.arrived.extend(bytes);
        self.break_if_due();
        if self.fin && self.down.is_empty() && self.stream == StreamState::Open {
            self.stream = StreamState::PeerClosed;
        }
    }
}

/// Most bytes that are lent at once, so that the rest of a long run can go to its place.
const LENT: usize = 4096;

/// The initiator's end of a [`Wire`].
///
/// As with a network interface, bytes get from the wire into the receive buffer only by
/// [`poll`](ByteStream::poll), a piece each time, and no deadline tells of bytes in that buffer.
#[derive(Debug)]
pub struct MemoryStream(Wire);

impl MemoryStream {
    /// Bytes carried so far that way.
    #[must_use]
    pub fn carried(&self, direction: Direction) -> u64 {
        self.0.carried(direction)
    }

    /// Bytes of read data that went straight to their place.
    #[must_use]
    pub fn placed(&self) -> u64 {
        self.0.0.borrow().placed
    }

    /// Bytes of write data that were sent from where they lay.
    #[must_use]
    pub fn sent_in_place(&self) -> u64 {
        self.0.0.borrow().sent_in_place
    }

    /// Bytes that the initiator expects at least without sending anything more.
    #[must_use]
    pub fn expected(&self) -> usize {
        self.0.0.borrow().expected.last().map_or(0, |(_, expected)| expected.all)
    }

    /// Each time since this was asked last that it said what it expects: how many bytes it had taken
    /// by then, and what it said.
    #[must_use]
    pub fn expectations(&self) -> Vec<(u64, Expected)> {
        let state = &mut *self.0.0.borrow_mut();
        let last = state.expected.last().copied();
        core::mem::replace(&mut state.expected, last.into_iter().collect())
    }

    /// Bytes that the initiator took.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.0.0.borrow().taken
    }
}

impl ByteStream for MemoryStream {
    const SENDS_IN_PLACE: u32 = 1024;

    fn connect(&mut self, _now: Duration, portal: SocketAddr) -> Result<(), StreamError> {
        let state = &mut *self.0.0.borrow_mut();
        state.forget();
        state.portals.push(portal);
        state.stream = StreamState::Connecting;
        Ok(())
    }

    fn poll(&mut self, now: Duration) {
        let state = &mut *self.0.0.borrow_mut();
        if state.stream == StreamState::Connecting {
            match (state.present_portal(), state.portals.last()) {
                (Portal::Accepts, Some(&portal)) => {
                    state.connection = Some(state.target.connect(portal));
                    state.stream = StreamState::Open;
                }
                (Portal::Refuses, _) => state.stream = StreamState::Failed(StreamError::Refused),
                _ => {}
            }
        }
        state.ingest(now);
    }

    fn state(&self) -> StreamState {
        self.0.0.borrow().stream
    }

    fn recv<R>(&mut self, take: impl FnOnce(&[u8]) -> (usize, R)) -> Option<R> {
        let state = &mut *self.0.0.borrow_mut();
        let (bytes, _) = state.arrived.as_slices();
        if bytes.is_empty() {
            return None;
        }
        let (count, result) = take(&bytes[..bytes.len().min(LENT)]);
        state.arrived.drain(..count);
        state.taken += count as u64;
        Some(result)
    }

    /// Every other time: what is lent and what goes straight to its place must come to the same.
    fn recv_into(&mut self, place: &mut [u8]) -> Option<usize> {
        let state = &mut *self.0.0.borrow_mut();
        state.lends = !state.lends;
        let count = state.arrived.len().min(place.len());
        if state.lends || count == 0 {
            return None;
        }
        for (to, from) in place.iter_mut().zip(state.arrived.drain(..count)) {
            *to = from;
        }
        state.placed += count as u64;
        state.taken += count as u64;
        Some(count)
    }

    fn expect(&mut self, expected: Expected) {
        let state = &mut *self.0.0.borrow_mut();
        let said = (state.taken, expected);
        if state.expected.last() != Some(&said) {
            state.expected.push(said);
        }
    }

    fn send<R>(&mut self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> Option<R> {
        let state = &mut *self.0.0.borrow_mut();
        let space = state.space();
        if space == 0 {
            return None;
        }
        // Whatever is not filled must not be sent.
        let mut out = vec![0xee; space];
        let (count, result) = fill(&mut out);
        state.up.extend(&out[..count]);
        Some(result)
    }

    /// Every other time, as with [`recv_into`](Self::recv_into).
    fn send_from(&mut self, bytes: &[u8]) -> Option<usize> {
        let state = &mut *self.0.0.borrow_mut();
        state.copies = !state.copies;
        let count = state.space().min(bytes.len());
        if state.copies || count == 0 {
            return None;
        }
        state.up.extend(&bytes[..count]);
        state.sent_in_place += count as u64;
        Some(count)
    }

    fn close(&mut self) {
        let state = &mut *self.0.0.borrow_mut();
        while !state.up.is_empty() && state.connection.is_some() && !state.silent {
            state.exchange();
        }
        state.forget();
        state.stream = StreamState::Closed;
    }

    fn abort(&mut self) {
        let state = &mut *self.0.0.borrow_mut();
        state.forget();
        state.stream = StreamState::Closed;
    }

    fn poll_at(&self, now: Duration) -> Option<Duration> {
        let state = self.0.0.borrow();
        let connecting =
            state.stream == StreamState::Connecting && state.present_portal() != Portal::IsSilent;
        let waiting = !state.down.is_empty() && !state.silent;
        let next = state.pace.map_or(now, |(_, next)| next.max(now));
        if connecting { Some(now) } else { waiting.then_some(next) }
    }
}
