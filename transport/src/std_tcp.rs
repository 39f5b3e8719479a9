//! [`ByteStream`] over the host's own sockets, for tools, tests and hosts that have them.

mod buffer;
mod waking;

use core::cell::Cell;
use core::net::SocketAddr;
use core::time::Duration;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, readv};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown, SocketFlags, SocketType,
    connect, ipproto, recv, send, sendmsg, shutdown, socket_with, sockopt,
};

use self::buffer::Buffer;
use self::waking::Waking;
use crate::stream::{ByteStream, Expected, StreamError, StreamState};

/// Size of the receive buffer in bytes.
const BUFFER: usize = 512 * 1024;
/// Size of the transmit buffer in bytes. A full one goes to the socket at once: the peer has the
/// first of a long run while the last is still being copied, and what passes through the buffer
/// stays in the cache on its way. 64 KiB of data and what is around them go together: the peer
/// would else wake up for all but a few bytes of them, and again for those.
const STAGE: usize = 65 * 1024;
/// Shorter runs of data are read together with what follows them: copying costs less than a call.
const PLACE_LEAST: usize = 32 * 1024;
/// Shorter rests of data are sent with what is around them, for the same reason.
const REST_LEAST: usize = 8 * 1024;
/// Bytes read beyond data that goes straight to its place: the next headers.
const AHEAD_OF_PLACED: usize = 256;
/// How often a socket is asked again in the middle of a run before its rest is slept for: that
/// mostly follows within some microseconds, and asking so often takes less than a sleep.
const LOOKS: usize = 16;
/// A socket that had no more is asked again only after this long, or after a wait.
const LOOK_AGAIN: Duration = Duration::from_micros(20);
/// While the peer owes more than this it has enough to do, and what is sent meanwhile leaves together:
/// each piece that comes alone wakes it up.
const ENOUGH_OWED: usize = 512 * 1024;
/// But nothing is held back while more than this is read.
const HELD_AT_MOST: usize = 512 * 1024;
/// Longest wait for the peer to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for the peer's end after a close; then a reset ends the connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// An idle connection asks the peer for a sign of life this often.
const KEEP_ALIVE: Duration = Duration::from_secs(5);
/// An open connection whose peer is silent for this long, though asked, is given up.
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// One TCP connection of the host's, never blocking but in [`wait`](Self::wait).
#[derive(Debug)]
pub struct StdTcp {
    socket: Option<OwnedFd>,
    state: StreamState,
    received: Buffer,
    unsent: Buffer,
    closing: bool,
    /// Whether our end (FIN) was sent.
    ended: bool,
    /// The socket gave less than there was room for, and is not asked for now.
    drained: bool,
    /// When it was asked last, and whether somebody waited for it since.
    asked_at: Duration,
    waited: Cell<bool>,
    waking: Cell<Waking>,
    /// Bytes that were read since nothing was held back last.
    read: usize,
    /// Bytes that were read since somebody waited last.
    came: usize,
    /// What comes next belongs where the last [`recv_into`](ByteStream::recv_into) wanted it.
    placing: bool,
    /// How many bytes are read at once before it is known where they belong.
    ahead: usize,
    /// Until when the attempt, or the peer's end, is waited for; set by the poll that sees it.
    deadline: Option<Duration>,
}

impl Default for StdTcp {
    fn default() -> Self {
        Self::new()
    }
}

impl StdTcp {
    /// No connection yet.
    #[must_use]
    pub fn new() -> Self {
        Self::unconnected(Buffer::new(BUFFER), Buffer::new(STAGE))
    }

    fn unconnected(received: Buffer, unsent: Buffer) -> Self {
        Self {
            socket: None,
            state: StreamState::Closed,
            received,
            unsent,
            closing: false,
            ended: false,
            drained: false,
            asked_at: Duration::ZERO,
            waited: Cell::new(false),
            waking: Cell::new(Waking::ANY),
            read: 0,
            came: 0,
            placing: false,
            ahead: BUFFER,
            deadline: None,
        }
    }

    /// Sleeps until there is something worth to be done, at most for `limit`.
    ///
    /// That is a good part of what is [expected](ByteStream::expect), or any byte where that is little
    /// or takes longer than five milliseconds.
    pub fn wait(&self, limit: Duration) {
        let Some(socket) = &self.socket else {
            std::thread::sleep(limit);
            return;
        };
        self.waited.set(true);
        let mut waking = self.waking.get();
        let mut flags = PollFlags::empty();
        let mut limit = limit;
        if !self.received.is_full() && self.state == StreamState::Open {
            flags |= PollFlags::IN;
            limit = waking.prepare(socket, limit);
        }
        if !self.unsent.is_empty() || self.state == StreamState::Connecting {
            flags |= PollFlags::OUT;
        }
        let limit = Timespec::try_from(limit).ok();
        let began = waking.is_timed().then(Instant::now);
        // An early return is harmless: the caller polls and waits again.
        let ready = poll(&mut [PollFd::new(socket, flags)], limit.as_ref());
        if flags.contains(PollFlags::IN) {
            waking.ended(ready != Ok(0), began.map_or(Duration::ZERO, |began| began.elapsed()));
        }
        self.waking.set(waking);
    }

    fn open(&mut self, portal: SocketAddr) -> Result<(), Errno> {
        let family = if portal.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        sockopt::set_socket_keepalive(&socket, true)?;
        sockopt::set_tcp_keepidle(&socket, KEEP_ALIVE)?;
        sockopt::set_tcp_keepintvl(&socket, KEEP_ALIVE)?;
        #[cfg(target_os = "linux")]
        sockopt::set_tcp_user_timeout(&socket, USER_TIMEOUT.as_millis().try_into().unwrap_or(0))?;
        match connect(&socket, &portal) {
            Ok(()) => self.state = StreamState::Open,
            Err(Errno::INPROGRESS) => self.state = StreamState::Connecting,
            Err(error) => return Err(error),
        }
        self.socket = Some(socket);
        Ok(())
    }

    fn fail(&mut self, error: Errno) {
        self.socket = None;
        self.state = StreamState::Failed(stream_error(error));
    }

    /// Whether the connection attempt has ended, and how.
    fn check_connecting(&mut self) {
        let Some(socket) = &self.socket else { return };
        let ready = poll(&mut [PollFd::new(socket, PollFlags::OUT)], Some(&Timespec::default()));
        if ready == Ok(0) {
            return;
        }
        match sockopt::socket_error(socket) {
            Ok(Ok(())) => self.state = StreamState::Open,
            Ok(Err(error)) | Err(error) => self.fail(error),
        }
    }

    /// Reads what the socket holds, up to `ahead` bytes.
    fn read_ahead(&mut self) {
        if self.state != StreamState::Open || self.drained {
            return;
        }
        let (Some(socket), Some(room)) = (&self.socket, self.received.room(self.ahead)) else {
            return;
        };
        let wanted = room.len();
        let read = recv(socket, room, RecvFlags::empty()).map(|(_, count)| count);
        if let Some(count) = self.note_read(read, wanted) {
            self.received.filled(count);
            if count == wanted {
                self.ahead = self.ahead.saturating_mul(2).min(BUFFER);
            }
        }
    }

    /// What a read that had room for `wanted` bytes says of the socket; how many bytes came.
    fn note_read(&mut self, read: Result<usize, Errno>, wanted: usize) -> Option<usize> {
        // Asking again what gave less than there was room for would only cost a call.
        self.drained = read != Ok(wanted);
        let count = read.unwrap_or(0);
        self.read = self.read.saturating_add(count);
        self.came = self.came.saturating_add(count);
        if self.drained {
            self.waking.get_mut().emptied(self.came);
        }
        match read {
            Ok(0) => self.state = StreamState::PeerClosed,
            Ok(count) => return Some(count),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => self.fail(error),
        }
        None
    }

    fn takes_data(&self) -> bool {
        matches!(self.state, StreamState::Open | StreamState::PeerClosed) && !self.closing
    }

    /// Whether what is to be sent can wait until what the socket holds has been read.
    fn holds_back(&self) -> bool {
        !self.drained
            && !self.closing
            && self.read < HELD_AT_MOST
            && self.waking.get().expected().all > ENOUGH_OWED
    }

    /// What sending says of the connection; how many bytes left.
    fn note_send(&mut self, sent: Result<usize, Errno>) -> Option<usize> {
        match sent {
            Ok(count) => return Some(count),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // What the peer sent before it closed may still be there to be read.
            Err(Errno::PIPE | Errno::CONNRESET) if !self.received.is_empty() => {}
            Err(error) => self.fail(error),
        }
        None
    }

    fn drain_unsent(&mut self) {
        self.read = 0;
        while let Some(socket) = &self.socket
            && !self.unsent.is_empty()
        {
            let sent = send(socket, self.unsent.content(), SendFlags::NOSIGNAL);
            match self.note_send(sent) {
                Some(count) => self.unsent.taken(count),
                None => return,
            }
        }
        if self.closing && !self.ended && self.unsent.is_empty() {
            self.ended = true;
            if let Some(socket) = &self.socket {
                let _ = shutdown(socket, Shutdown::Write);
            }
        }
    }

    /// Gives up what takes too long, and lets go of what has ended on both sides.
    fn check_ends(&mut self, now: Duration) {
        let limit = match self.state {
            StreamState::Connecting => CONNECT_TIMEOUT,
            StreamState::PeerClosed if self.ended => return self.abort(),
            StreamState::Open | StreamState::PeerClosed if self.closing => CLOSE_TIMEOUT,
            _ => {
                self.deadline = None;
                return;
            }
        };
        let deadline = *self.deadline.get_or_insert(now.saturating_add(limit));
        if now >= deadline {
            if self.state == StreamState::Connecting {
                self.fail(Errno::TIMEDOUT);
            } else {
                self.abort();
            }
        }
    }
}

impl ByteStream for StdTcp {
    const SENDS_IN_PLACE: u32 = 32 * 1024;

    fn connect(&mut self, _now: Duration, portal: SocketAddr) -> Result<(), StreamError> {
        self.abort();
        self.open(portal).map_err(stream_error)
    }

    fn poll(&mut self, now: Duration) {
        if self.state == StreamState::Connecting {
            self.check_connecting();
        }
        let waited = self.waited.take();
        if waited {
            self.came = 0;
        }
        let is_open = matches!(self.state, StreamState::Open | StreamState::PeerClosed);
        if is_open && (waited || !self.holds_back()) {
            self.drain_unsent();
        }
        if waited || now.abs_diff(self.asked_at) >= LOOK_AGAIN {
            (self.drained, self.asked_at) = (false, now);
        }
        if !self.placing {
            self.read_ahead();
        }
        self.check_ends(now);
    }

    fn state(&self) -> StreamState {
        self.state
    }

    fn recv<R>(&mut self, take: impl FnOnce(&[u8]) -> (usize, R)) -> Option<R> {
        if self.received.is_empty() {
            self.read_ahead();
        }
        if self.received.is_empty() {
            return None;
        }
        let (count, result) = take(self.received.content());
        self.received.taken(count);
        Some(result)
    }

    fn recv_into(&mut self, place: &mut [u8]) -> Option<usize> {
        let goes_on = core::mem::take(&mut self.placing);
        if self.state != StreamState::Open || !self.received.is_empty() {
            return None;
        }
        let wanted = place.len();
        if wanted < PLACE_LEAST && !goes_on {
            self.ahead = BUFFER;
            return None;
        }
        // Whether or not there is something by now: the next poll leaves it to the next call.
        (self.placing, self.ahead) = (true, AHEAD_OF_PLACED);
        if self.drained {
            return None;
        }
        let (Some(socket), Some(room)) = (&self.socket, self.received.room(self.ahead)) else {
            return None;
        };
        let all = wanted.saturating_add(room.len());
        let mut read = Err(Errno::AGAIN);
        for _ in 0..LOOKS {
            read = readv(socket, &mut [IoSliceMut::new(place), IoSliceMut::new(room)]);
            if read != Err(Errno::AGAIN) {
                break;
            }
        }
        let count = self.note_read(read, all)?;
        self.received.filled(count.saturating_sub(wanted));
        self.placing = count < wanted;
        Some(count.min(wanted))
    }

    fn expect(&mut self, expected: Expected) {
        self.waking.get_mut().expect(expected);
    }

    fn send<R>(&mut self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> Option<R> {
        if !self.takes_data() {
            return None;
        }
        if self.unsent.is_full() {
            self.drain_unsent();
        }
        let (count, result) = fill(self.unsent.room(STAGE)?);
        self.unsent.filled(count);
        Some(result)
    }

    fn send_from(&mut self, bytes: &[u8]) -> Option<usize> {
        if bytes.len() < REST_LEAST || !self.takes_data() {
            return None;
        }
        if self.waking.get().expects_few() {
            // Whoever has nothing to do wakes up for the header while the data is being copied.
            self.drain_unsent();
        }
        self.read = 0;
        let socket = self.socket.as_ref()?;
        let unsent = self.unsent.content();
        let waiting = unsent.len();
        let pieces = [IoSlice::new(unsent), IoSlice::new(bytes)];
        let mut nothing = SendAncillaryBuffer::default();
        let sent = sendmsg(socket, &pieces, &mut nothing, SendFlags::NOSIGNAL);
        let count = self.note_send(sent)?;
        self.unsent.taken(count.min(waiting));
        count.checked_sub(waiting).filter(|count| *count > 0)
    }

    fn close(&mut self) {
        match self.state {
            StreamState::Connecting => self.abort(),
            StreamState::Open | StreamState::PeerClosed => {
                self.closing = true;
                self.drain_unsent();
            }
            StreamState::Closed | StreamState::Failed(_) => {}
        }
    }

    fn abort(&mut self) {
        let [received, unsent] =
            [&mut self.received, &mut self.unsent].map(|buffer| core::mem::take(buffer).emptied());
        *self = Self::unconnected(received, unsent);
    }

    fn poll_at(&self, now: Duration) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.max(now))
    }
}

fn stream_error(error: Errno) -> StreamError {
    match error {
        Errno::CONNREFUSED => StreamError::Refused,
        Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED => StreamError::Reset,
        Errno::TIMEDOUT => StreamError::TimedOut,
        Errno::NETUNREACH | Errno::HOSTUNREACH => StreamError::NoRoute,
        Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT => StreamError::NoAddress,
        Errno::NETDOWN => StreamError::LinkDown,
        other => StreamError::Other(other.raw_os_error()),
    }
}

#[cfg(test)]
mod tests;
