//! [`ByteStream`] over the host's own sockets, for tools, tests and hosts that have them.

use core::net::SocketAddr;
use core::time::Duration;
use std::io::IoSliceMut;
use std::os::fd::OwnedFd;
use std::vec;
use std::vec::Vec;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, readv};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, connect, ipproto, recv,
    send, shutdown, socket_with, sockopt,
};

use crate::stream::{ByteStream, StreamError, StreamState};

/// Size of each direction's buffer in bytes.
const BUFFER: usize = 512 * 1024;
/// Shorter runs of data are read together with what follows them: copying costs less than a call.
const PLACE_LEAST: usize = 8 * 1024;
/// Bytes read beyond data that goes straight to its place: the next headers.
const AHEAD_OF_PLACED: usize = 256;
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
    /// The socket gave less than there was room for; asked again with the next poll.
    drained: bool,
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
        Self {
            socket: None,
            state: StreamState::Closed,
            received: Buffer::new(),
            unsent: Buffer::new(),
            closing: false,
            ended: false,
            drained: false,
            placing: false,
            ahead: BUFFER,
            deadline: None,
        }
    }

    /// Sleeps until there is something to do, at most for `limit`.
    pub fn wait(&self, limit: Duration) {
        let Some(socket) = &self.socket else {
            std::thread::sleep(limit);
            return;
        };
        let mut flags = PollFlags::empty();
        if !self.received.is_full() && self.state == StreamState::Open {
            flags |= PollFlags::IN;
        }
        if !self.unsent.is_empty() || self.state == StreamState::Connecting {
            flags |= PollFlags::OUT;
        }
        let limit = Timespec::try_from(limit).ok();
        // An early return is harmless: the caller polls and waits again.
        let _ = poll(&mut [PollFd::new(socket, flags)], limit.as_ref());
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
        match read {
            Ok(0) => self.state = StreamState::PeerClosed,
            Ok(count) => return Some(count),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => self.fail(error),
        }
        None
    }

    fn drain_unsent(&mut self) {
        while let Some(socket) = &self.socket
            && !self.unsent.is_empty()
        {
            match send(socket, self.unsent.content(), SendFlags::NOSIGNAL) {
                Ok(count) => self.unsent.taken(count),
                Err(Errno::AGAIN | Errno::INTR) => return,
                // What the peer sent before it closed may still be there to be read.
                Err(Errno::PIPE | Errno::CONNRESET) if !self.received.is_empty() => return,
                Err(error) => return self.fail(error),
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
    fn connect(&mut self, _now: Duration, portal: SocketAddr) -> Result<(), StreamError> {
        self.abort();
        self.open(portal).map_err(stream_error)
    }

    fn poll(&mut self, now: Duration) {
        if self.state == StreamState::Connecting {
            self.check_connecting();
        }
        if matches!(self.state, StreamState::Open | StreamState::PeerClosed) {
            self.drain_unsent();
        }
        self.drained = false;
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
        let read = readv(socket, &mut [IoSliceMut::new(place), IoSliceMut::new(room)]);
        let count = self.note_read(read, all)?;
        self.received.filled(count.saturating_sub(wanted));
        self.placing = count < wanted;
        Some(count.min(wanted))
    }

    fn send<R>(&mut self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> Option<R> {
        if !matches!(self.state, StreamState::Open | StreamState::PeerClosed) || self.closing {
            return None;
        }
        let (count, result) = fill(self.unsent.room(BUFFER)?);
        self.unsent.filled(count);
        Some(result)
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
        *self = Self {
            received: core::mem::take(&mut self.received).emptied(),
            unsent: core::mem::take(&mut self.unsent).emptied(),
            socket: None,
            state: StreamState::Closed,
            closing: false,
            ended: false,
            drained: false,
            placing: false,
            ahead: BUFFER,
            deadline: None,
        };
    }

    fn poll_at(&self, now: Duration) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.max(now))
    }
}

/// A fixed piece of memory, filled at the end and taken from the start.
#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    fn new() -> Self {
        Self { bytes: vec![0; BUFFER], start: 0, end: 0 }
    }

    fn emptied(self) -> Self {
        Self { start: 0, end: 0, ..self }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn is_full(&self) -> bool {
        self.start == 0 && self.end == self.bytes.len()
    }

    fn content(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    fn taken(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Free space after the content, at most `most` bytes; the content moves to the front when the
    /// end is reached.
    fn room(&mut self, most: usize) -> Option<&mut [u8]> {
        if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end = self.end.saturating_sub(self.start);
            self.start = 0;
        }
        let end = self.end.saturating_add(most).min(self.bytes.len());
        self.bytes.get_mut(self.end..end).filter(|room| !room.is_empty())
    }

    fn filled(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.bytes.len());
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
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;
    use std::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn poll_until(stream: &mut StdTcp, mut done: impl FnMut(&mut StdTcp) -> bool) {
        let start = Instant::now();
        while !done(stream) {
            assert!(start.elapsed() < LIMIT, "still {:?} after {LIMIT:?}", stream.state());
            stream.wait(Duration::from_millis(20));
            stream.poll(Duration::ZERO);
        }
    }

    fn open(listener: &TcpListener) -> (StdTcp, std::net::TcpStream) {
        let mut stream = StdTcp::new();
        stream.connect(Duration::ZERO, listener.local_addr().unwrap()).unwrap();
        let (peer, _) = listener.accept().unwrap();
        poll_until(&mut stream, |stream| stream.state() == StreamState::Open);
        (stream, peer)
    }

    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|index| (index * 7 + index / 251) as u8).collect()
    }

    #[test]
    fn a_closed_port_refuses() {
        let portal = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut stream = StdTcp::new();
        if stream.connect(Duration::ZERO, portal).is_ok() {
            poll_until(&mut stream, |stream| stream.state() != StreamState::Connecting);
            assert_eq!(stream.state(), StreamState::Failed(StreamError::Refused));
        }
    }

    #[test]
    fn what_came_before_the_peers_end_can_be_read_after_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut stream, mut peer) = open(&listener);
        peer.write_all(b"last words").unwrap();
        drop(peer);
        poll_until(&mut stream, |stream| stream.state() == StreamState::PeerClosed);
        assert_eq!(stream.recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap(), b"last words");
        assert_eq!(stream.recv(|bytes| (bytes.len(), ())), None);
    }

    #[test]
    fn a_reset_is_told_from_an_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut stream, peer) = open(&listener);
        sockopt::set_socket_linger(&peer, Some(Duration::ZERO)).unwrap();
        drop(peer);
        poll_until(&mut stream, |stream| stream.state() != StreamState::Open);
        assert_eq!(stream.state(), StreamState::Failed(StreamError::Reset));
        assert_eq!(stream.send(|out| (out.len(), ())), None);
    }

    #[test]
    fn twenty_megabytes_cross_both_ways_unharmed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut stream, mut peer) = open(&listener);
        let data = pattern(20 << 20);
        let echo = thread::spawn(move || {
            let mut all = vec![0; 20 << 20];
            peer.read_exact(&mut all).unwrap();
            peer.write_all(&all).unwrap();
        });
        let (mut sent, mut back) = (0, Vec::new());
        poll_until(&mut stream, |stream| {
            while sent < data.len() {
                let wrote = stream.send(|out| {
                    let count = out.len().min(data.len() - sent).min(70_001);
                    out[..count].copy_from_slice(&data[sent..sent + count]);
                    (count, count)
                });
                match wrote {
                    Some(count) => sent += count,
                    None => break,
                }
            }
            // Not everything at once: what is left must stay in order.
            while stream
                .recv(|bytes| {
                    let count = bytes.len().min(50_021);
                    back.extend_from_slice(&bytes[..count]);
                    (count, ())
                })
                .is_some()
            {}
            back.len() == data.len()
        });
        assert!(back == data);
        echo.join().unwrap();
    }

    #[test]
    fn a_long_run_goes_to_its_place_and_what_follows_it_is_lent() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut stream, mut peer) = open(&listener);
        let data = pattern(3 * PLACE_LEAST);
        let (head, run) = (100, 2 * PLACE_LEAST);
        // The start is known first, as a header is; the rest comes in two parts.
        peer.write_all(&data[..head]).unwrap();
        poll_until(&mut stream, |stream| !stream.received.is_empty());
        let mut short = vec![0; PLACE_LEAST];
        assert_eq!(stream.recv_into(&mut short), None, "what waits there comes first");
        assert_eq!(stream.recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap(), &data[..head]);

        let mut place = vec![0; run];
        assert_eq!(
            stream.recv_into(&mut place),
            None,
            "nothing came yet, and it is known where to"
        );
        let mut placed = 0;
        for part in [&data[head..head + PLACE_LEAST], &data[head + PLACE_LEAST..]] {
            peer.write_all(part).unwrap();
            let wanted = (placed + part.len()).min(run);
            poll_until(&mut stream, |stream| {
                placed += stream.recv_into(&mut place[placed..]).unwrap_or(0);
                placed == wanted
            });
        }
        assert!(place == data[head..head + run]);
        let mut rest = Vec::new();
        poll_until(&mut stream, |stream| {
            while stream.recv(|bytes| (bytes.len(), rest.extend_from_slice(bytes))).is_some() {}
            rest.len() == data.len() - head - run
        });
        assert!(rest == data[head + run..]);
    }

    #[test]
    fn a_short_run_is_lent_and_the_peers_end_is_found_in_the_middle_of_a_long_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut stream, mut peer) = open(&listener);
        peer.write_all(b"short").unwrap();
        let mut place = vec![0; PLACE_LEAST];
        poll_until(&mut stream, |stream| !stream.received.is_empty());
        assert_eq!(stream.recv_into(&mut place[..5]), None);
        assert_eq!(stream.recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap(), b"short");

        assert_eq!(
            stream.recv_into(&mut place),
            None,
            "nothing came yet, and it is known where to"
        );
        peer.write_all(b"half").unwrap();
        let mut placed = 0;
        poll_until(&mut stream, |stream| {
            placed += stream.recv_into(&mut place[placed..]).unwrap_or(0);
            placed == 4
        });
        drop(peer);
        poll_until(&mut stream, |stream| {
            assert_eq!(stream.recv_into(&mut place[placed..]), None);
            stream.state() == StreamState::PeerClosed
        });
        assert_eq!(&place[..4], b"half");
    }

    #[test]
    fn after_an_abort_it_connects_again_with_nothing_left_over() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut stream, mut peer) = open(&listener);
        peer.write_all(b"old").unwrap();
        poll_until(&mut stream, |stream| !stream.received.is_empty());
        stream.abort();
        assert_eq!(stream.state(), StreamState::Closed);
        stream.connect(Duration::ZERO, listener.local_addr().unwrap()).unwrap();
        let (mut peer, _) = listener.accept().unwrap();
        peer.write_all(b"new").unwrap();
        poll_until(&mut stream, |stream| !stream.received.is_empty());
        assert_eq!(stream.recv(|bytes| (bytes.len(), bytes.to_vec())).unwrap(), b"new");
    }

    #[test]
    fn close_sends_everything_first() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut stream, mut peer) = open(&listener);
        stream.send(|out| {
            out[..4].copy_from_slice(b"tail");
            (4, ())
        });
        // What the peer sent and nobody read must not turn our end into a reset.
        peer.write_all(b"unread").unwrap();
        poll_until(&mut stream, |stream| !stream.received.is_empty());
        stream.close();
        assert_eq!(stream.send(|out| (out.len(), ())), None);
        let mut all = Vec::new();
        peer.read_to_end(&mut all).unwrap();
        assert_eq!(all, b"tail");
        assert_eq!(stream.state(), StreamState::Open, "the peer has not ended");
        drop(peer);
        poll_until(&mut stream, |stream| stream.state() == StreamState::Closed);
    }

    #[test]
    fn a_peer_that_never_ends_is_not_waited_for_long() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (mut stream, _peer) = open(&listener);
        stream.close();
        let now = Duration::from_secs(100);
        stream.poll(now);
        assert_eq!(stream.poll_at(now), Some(now + CLOSE_TIMEOUT));
        stream.poll(now + CLOSE_TIMEOUT - Duration::from_millis(1));
        assert_eq!(stream.state(), StreamState::Open);
        stream.poll(now + CLOSE_TIMEOUT);
        assert_eq!(stream.state(), StreamState::Closed);
    }

    #[test]
    fn a_peer_that_never_accepts_times_out() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let portal = listener.local_addr().unwrap();
        // Fill the queue of connections that wait to be accepted: no further SYN is answered.
        shorten_queue(&listener);
        let waiting: Vec<_> = (0..3).map(|_| stream_to(portal)).collect();
        thread::sleep(Duration::from_millis(100));
        let mut stream = stream_to(portal);
        let now = Duration::from_secs(100);
        stream.poll(now);
        assert_eq!(stream.state(), StreamState::Connecting);
        stream.poll(now + CONNECT_TIMEOUT);
        assert_eq!(stream.state(), StreamState::Failed(StreamError::TimedOut));
        drop(waiting);
    }

    /// Makes the queue of unaccepted connections as short as it gets.
    fn shorten_queue(listener: &TcpListener) {
        rustix::net::listen(listener, 0).unwrap();
    }

    fn stream_to(portal: SocketAddr) -> StdTcp {
        let mut stream = StdTcp::new();
        stream.connect(Duration::ZERO, portal).unwrap();
        stream
    }
}
