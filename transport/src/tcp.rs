//! [`ByteStream`] over a smoltcp socket.

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Duration as SmolDuration;
use smoltcp::wire::IpEndpoint;

use crate::device::EthernetDevice;
use crate::link::Link;
use crate::loss_recovery::LossRecovery;
use crate::netstack::{AddressState, NetStack, Taken};
use crate::stream::{ByteStream, StreamError, StreamState};

/// Timers of a connection. They are much shorter than RFC 1122 §4.2.3 and RFC 9293 §3.8.3 have them:
/// who waits is a guest's disk, and a connection that was given up too early costs a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpOptions {
    /// Longest wait for the peer to accept. SYNs go at 0, 1, 3 and 7 s: three may be lost.
    pub connect_timeout: Duration,
    /// An open connection whose peer is silent for this long, though asked, is given up. Only the
    /// peer's own frames count. Not told to it (RFC 5482 §3 allows that, and we need nothing of it).
    pub user_timeout: Duration,
    /// An idle connection asks the peer for a sign of life this often; shorter than the above.
    pub keep_alive: Duration,
    /// Longest wait for the peer's end after [`close`](ByteStream::close); then a reset ends it.
    pub close_timeout: Duration,
    /// How long an acknowledgement may wait for data to travel with; `None`: it never does.
    pub ack_delay: Option<Duration>,
}

impl Default for TcpOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            user_timeout: Duration::from_secs(20),
            keep_alive: Duration::from_secs(5),
            close_timeout: Duration::from_secs(5),
            ack_delay: Some(Duration::from_millis(10)),
        }
    }
}

/// Why the buffers of a [`TcpStream`] cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BufferError {
    /// A buffer is shorter than one segment.
    TooSmall {
        /// Its length.
        len: usize,
        /// The least that works.
        least: usize,
    },
    /// The peer may send more at once than the device can hold: frames would be lost.
    ReceiveTooLarge {
        /// Its length.
        len: usize,
        /// The most that the device's receive ring can hold as segments.
        most: usize,
    },
}

impl fmt::Display for BufferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSmall { len, least } => {
                write!(f, "a TCP buffer of {len} bytes; at least {least} are needed")
            }
            Self::ReceiveTooLarge { len, most } => write!(
                f,
                "a TCP receive buffer of {len} bytes, but the receive ring holds {most}: \
                 give the ring more descriptors or make the buffer smaller"
            ),
        }
    }
}

impl core::error::Error for BufferError {}

/// One TCP connection at a time over a [`NetStack`], which it owns and polls.
pub struct TcpStream<'a, D: EthernetDevice> {
    stack: NetStack<'a, D>,
    socket: SocketHandle,
    options: TcpOptions,
    phase: Phase,
    last_port: u16,
    /// The address that the connection leaves from.
    local: Option<IpAddr>,
    /// Bytes given to the socket since the connection began, modulo 2^32.
    written: u32,
    /// When frames could last be sent.
    last_egress: Duration,
    /// The user timeout, and what is added to it for time in which nobody polled, and until when.
    patience: Duration,
    grace: Duration,
    grace_until: Duration,
    link_lost: Option<Duration>,
    next_poll: Option<Duration>,
}

/// The largest receive buffer that a [`TcpStream`] takes: what the device's receive ring can hold as
/// segments. The smaller the MTU, the smaller it is.
#[must_use]
pub fn receive_limit<D: EthernetDevice>(stack: &NetStack<'_, D>) -> usize {
    stack.device().receive_frames().saturating_mul(segment_size(stack))
}

/// The data of one segment behind the larger headers: IPv6 and TCP without options.
fn segment_size<D: EthernetDevice>(stack: &NetStack<'_, D>) -> usize {
    usize::from(stack.mtu()).saturating_sub(60)
}

/// What the caller asked for and got so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Connecting {
        deadline: Duration,
    },
    Open,
    /// Until when; unknown before the first poll.
    Closing {
        deadline: Option<Duration>,
    },
    Failed(StreamError),
}

/// Shorter runs of data are lent, together with what follows them: who reads them there copies no
/// more, and no frame has to be split.
const PLACE_LEAST: usize = 8 * 1024;

/// A longer time without a poll must not count as the peer's silence.
const UNPOLLED: Duration = Duration::from_secs(1);

impl<'a, D: EthernetDevice> TcpStream<'a, D> {
    /// Makes a socket with these buffers on the stack.
    ///
    /// # Errors
    /// [`BufferError`] when the receive buffer, which is the window that the peer may fill at
    /// once, is more than the device's receive ring can hold ([`receive_limit`]), or a buffer is
    /// tiny.
    pub fn new(
        mut stack: NetStack<'a, D>,
        receive: &'a mut [u8],
        transmit: &'a mut [u8],
        options: TcpOptions,
    ) -> Result<Self, BufferError> {
        let segment = segment_size(&stack);
        for len in [receive.len(), transmit.len()] {
            if len < segment {
                return Err(BufferError::TooSmall { len, least: segment });
            }
        }
        let most = receive_limit(&stack);
        if receive.len() > most {
            return Err(BufferError::ReceiveTooLarge { len: receive.len(), most });
        }
        let mut socket = Socket::new(SocketBuffer::new(receive), SocketBuffer::new(transmit));
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(options.ack_delay.map(SmolDuration::from));
        socket.set_keep_alive(Some(options.keep_alive.into()));
        socket.set_timeout(Some(options.user_timeout.into()));
        let socket = stack.add_stream(socket);
        Ok(Self {
            stack,
            socket,
            options,
            phase: Phase::Idle,
            last_port: 0,
            local: None,
            written: 0,
            last_egress: Duration::ZERO,
            patience: options.user_timeout,
            grace: Duration::ZERO,
            grace_until: Duration::ZERO,
            link_lost: None,
            next_poll: Some(Duration::ZERO),
        })
    }

    /// The stack underneath.
    #[must_use]
    pub const fn stack(&self) -> &NetStack<'a, D> {
        &self.stack
    }

    /// The stack underneath.
    pub const fn stack_mut(&mut self) -> &mut NetStack<'a, D> {
        &mut self.stack
    }

    /// Gives the device back, to be detached. A connection is reset first.
    #[must_use]
    pub fn into_device(mut self) -> D {
        self.abort();
        self.stack.into_device()
    }

    fn socket(&self) -> &Socket<'a> {
        self.stack.sockets.get(self.socket)
    }

    fn socket_mut(&mut self) -> &mut Socket<'a> {
        self.stack.sockets.get_mut(self.socket)
    }

    /// A source port of the dynamic range (RFC 6335 §6), unpredictable and not the last one
    /// (RFC 6056 §3.3.1), so that a peer which still remembers the last connection does not mind.
    fn source_port(&mut self) -> u16 {
        const FIRST: u16 = 49152;
        let [low, high, ..] = self.stack.random().to_le_bytes();
        let port = FIRST | u16::from_le_bytes([low, high]);
        let port = if port == self.last_port { FIRST | port.wrapping_add(1) } else { port };
        self.last_port = port;
        port
    }

    /// The user timeout measures the peer's silence. Time in which we neither asked nor listened
    /// is not silence: it is added until the peer had as long again to answer.
    fn allow_for_gap(&mut self, now: Duration) {
        let gap = now.saturating_sub(self.last_egress);
        let timeout = self.options.user_timeout;
        if gap >= UNPOLLED {
            self.grace = self.grace.saturating_add(gap);
            self.grace_until = now.saturating_add(timeout);
        } else if self.grace.is_zero() || now < self.grace_until {
            return;
        } else {
            self.grace = Duration::ZERO;
        }
        self.set_patience(timeout.saturating_add(self.grace));
    }

    fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
        self.socket_mut().set_timeout(Some(patience.into()));
    }

    /// What the socket takes for the peer's may be our own prompts: this is about the peer alone.
    fn is_silent(&self, now: Duration) -> bool {
        let heard = self.stack.recovery(|recovery| recovery.heard());
        now.saturating_sub(heard) >= self.patience
    }

    /// Compares what the socket became with what we wanted. A socket that closes while frames are
    /// taken in was reset by the peer; one that closes while frames are sent gave up by itself.
    fn notice(&mut self, closed: impl FnOnce(&Self) -> StreamError) {
        let state = self.socket().state();
        self.phase = match (self.phase, state) {
            (Phase::Connecting { .. }, State::Closed) => Phase::Failed(match closed(self) {
                StreamError::Reset => StreamError::Refused,
                other => other,
            }),
            (Phase::Connecting { .. }, State::SynSent | State::SynReceived) => return,
            (Phase::Connecting { .. }, _) => Phase::Open,
            (Phase::Open, State::Closed) => Phase::Failed(closed(self)),
            (Phase::Closing { .. }, State::Closed | State::TimeWait) => Phase::Idle,
            _ => return,
        };
    }

    /// Why a socket closed by itself while sending.
    fn gave_up(&self) -> StreamError {
        match self.stack.address_state() {
            AddressState::Configured(_)
                if self.local.is_none_or(|local| self.stack.has_address(local)) =>
            {
                StreamError::TimedOut
            }
            _ => StreamError::NoAddress,
        }
    }

    /// Bytes of our data that the peer acknowledged since the connection began, modulo 2^32.
    fn acknowledged(&self) -> u32 {
        let waits = u32::try_from(self.socket().send_queue()).unwrap_or(u32::MAX);
        self.written.wrapping_sub(waits)
    }

    /// Whether the socket is to hear now that its oldest segment was lost.
    fn has_lost(&self, now: Duration) -> bool {
        let is_open = matches!(self.phase, Phase::Open | Phase::Closing { .. });
        if !is_open || !self.stack.link().is_up() {
            return false;
        }
        let (acknowledged, outstanding) = (self.acknowledged(), self.socket().send_queue());
        self.stack.recovery(|recovery| recovery.look(now, acknowledged, outstanding))
    }

    fn send_out(&mut self, now: Duration) {
        if self.stack.egress(now) {
            self.last_egress = now;
            self.notice(Self::gave_up);
            if self.stack.owes_acknowledgement() && self.phase == Phase::Open {
                self.stack.acknowledge(now, self.acknowledged());
            }
        }
    }

    /// Lends data to `read` in the frame in which it came, all that the socket had having been read.
    fn receive_directly<R>(&mut self, read: impl FnOnce(&[u8]) -> Option<(usize, R)>) -> Taken<R> {
        if !self.stack.may_pass_by() || self.phase != Phase::Open {
            return Taken::Nothing;
        }
        // Its acknowledgement is due.
        self.next_poll = Some(Duration::ZERO);
        let taken = self.stack.take_frame(read);
        if let Taken::ByStack = taken {
            self.notice(|_| StreamError::Reset);
        }
        taken
    }

    fn take_in(&mut self, now: Duration) -> bool {
        let more = self.stack.ingress(now);
        self.notice(|_| StreamError::Reset);
        more
    }

    fn check_deadlines(&mut self, now: Duration) {
        let is_up = self.stack.link().is_up();
        if is_up {
            self.link_lost = None;
        }
        let is_silent = self.is_silent(now);
        let error = match &mut self.phase {
            Phase::Closing { deadline } => {
                let deadline =
                    *deadline.get_or_insert(now.saturating_add(self.options.close_timeout));
                if now >= deadline {
                    self.abort();
                }
                return;
            }
            Phase::Connecting { deadline } if now >= *deadline => {
                if is_up {
                    StreamError::TimedOut
                } else {
                    StreamError::LinkDown
                }
            }
            // Nothing will come any more, and waiting for it would only hide that.
            Phase::Connecting { .. } | Phase::Open if self.stack.link() == Link::Gone => {
                StreamError::LinkDown
            }
            Phase::Connecting { .. } | Phase::Open if !is_up => {
                let lost = *self.link_lost.get_or_insert(now);
                if now.saturating_sub(lost) < self.options.user_timeout {
                    return;
                }
                StreamError::LinkDown
            }
            Phase::Open if is_silent => self.gave_up(),
            _ => return,
        };
        self.socket_mut().abort();
        self.phase = Phase::Failed(error);
    }
}

impl<D: EthernetDevice> ByteStream for TcpStream<'_, D> {
    fn connect(&mut self, now: Duration, portal: SocketAddr) -> Result<(), StreamError> {
        self.abort();
        if !self.stack.link().is_up() {
            return Err(StreamError::LinkDown);
        }
        // What was learned of the last connection is not true of this one.
        self.stack.recovery(LossRecovery::forget);
        self.stack.prepare(now, portal.ip());
        self.stack.renew_numbers(now);
        if !self.stack.has_route(portal.ip()) {
            return Err(match self.stack.address_state() {
                AddressState::Configured(_) => StreamError::NoRoute,
                _ => StreamError::NoAddress,
            });
        }
        self.local = self.stack.source(portal.ip());
        let port = self.source_port();
        let stack = &mut self.stack;
        let socket = stack.sockets.get_mut::<Socket<'_>>(self.socket);
        socket
            .connect(stack.interface.context(), IpEndpoint::from(portal), port)
            .map_err(|_| StreamError::Other(0))?;
        self.set_patience(self.options.user_timeout);
        self.grace = Duration::ZERO;
        self.last_egress = now;
        self.written = 0;
        self.link_lost = None;
        let deadline = now.saturating_add(self.options.connect_timeout);
        self.phase = Phase::Connecting { deadline };
        self.next_poll = Some(now);
        Ok(())
    }

    /// Sends first, then takes in: what the caller read in between is acknowledged once, after
    /// the whole batch. Only what is due is sent: who waits polls without a pause, and is to see
    /// the frame that it waits for as soon as it is there.
    fn poll(&mut self, now: Duration) {
        self.allow_for_gap(now);
        let is_up = self.stack.link().is_up();
        let is_due =
            !is_up || self.stack.is_stirred() || self.next_poll.is_some_and(|at| at <= now);
        if is_due {
            self.stack.settle();
            self.send_out(now);
        } else {
            // Nothing was to be sent; it could have been.
            self.last_egress = now;
        }
        let more = if self.stack.may_have_received() {
            self.take_in(now)
        } else if is_due {
            false
        } else {
            return;
        };
        if self.has_lost(now) {
            self.stack.prompt(now);
            self.send_out(now);
        }
        self.check_deadlines(now);
        if let Phase::Idle | Phase::Failed(_) = self.phase {
            self.stack.recovery(LossRecovery::forget);
        }
        // What frames brought about is seen at the next poll, which is to come at once.
        let is_settled = !more && !self.stack.is_stirred() && !self.stack.owes_acknowledgement();
        self.next_poll = if is_settled { self.stack.poll_at(now) } else { Some(now) };
        if let Phase::Connecting { deadline } | Phase::Closing { deadline: Some(deadline) } =
            self.phase
        {
            self.next_poll = self.next_poll.map(|at| at.min(deadline));
        }
    }

    fn state(&self) -> StreamState {
        match self.phase {
            Phase::Idle => StreamState::Closed,
            Phase::Connecting { .. } => StreamState::Connecting,
            Phase::Failed(error) => StreamState::Failed(error),
            Phase::Open | Phase::Closing { .. } => match self.socket().state() {
                State::CloseWait | State::LastAck | State::Closing => StreamState::PeerClosed,
                State::TimeWait | State::Closed => StreamState::Closed,
                _ => StreamState::Open,
            },
        }
    }

    fn recv<R>(&mut self, take: impl FnOnce(&[u8]) -> (usize, R)) -> Option<R> {
        let mut take = Some(take);
        let mut lend = |bytes: &[u8]| take.take().map(|take| take(bytes));
        while !self.socket().can_recv() {
            match self.receive_directly(&mut lend) {
                Taken::PassedBy(result) => return Some(result),
                Taken::ByStack => {}
                Taken::Nothing => return None,
            }
        }
        let result = self.socket_mut().recv(|bytes| match lend(bytes) {
            Some((taken, result)) => (taken.min(bytes.len()), Some(result)),
            None => (0, None),
        });
        // Room for the peer to fill: tell it soon.
        self.next_poll = Some(Duration::ZERO);
        result.ok().flatten()
    }

    fn recv_into(&mut self, place: &mut [u8]) -> Option<usize> {
        if place.len() < PLACE_LEAST {
            return None;
        }
        let mut filled: usize = 0;
        while filled < place.len() && !self.socket().can_recv() {
            let room = place.get_mut(filled..).unwrap_or_default();
            let placed = self.receive_directly(|bytes| {
                let count = room.len().min(bytes.len());
                let (room, bytes) = (room.get_mut(..count)?, bytes.get(..count)?);
                room.copy_from_slice(bytes);
                Some((count, count))
            });
            match placed {
                Taken::PassedBy(count) => filled = filled.saturating_add(count),
                Taken::ByStack => {}
                Taken::Nothing => break,
            }
        }
        (filled > 0).then_some(filled)
    }

    fn send<R>(&mut self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> Option<R> {
        let window = self.stack.recovery(|recovery| recovery.congestion_window());
        let window = usize::try_from(window).unwrap_or(usize::MAX);
        let socket = self.socket_mut();
        let before = socket.send_queue();
        // What the socket has it sends at once.
        let most = window.saturating_sub(before);
        if !socket.can_send() || most == 0 {
            return None;
        }
        let result = socket.send(|room| {
            let len = room.len().min(most);
            let (filled, result) = fill(room.get_mut(..len).unwrap_or_default());
            (filled.min(len), result)
        });
        let filled = socket.send_queue().saturating_sub(before);
        self.written = self.written.wrapping_add(u32::try_from(filled).unwrap_or(0));
        self.next_poll = Some(Duration::ZERO);
        result.ok()
    }

    fn close(&mut self) {
        self.socket_mut().close();
        self.next_poll = Some(Duration::ZERO);
        self.phase = match self.phase {
            Phase::Connecting { .. } => Phase::Idle,
            Phase::Open => Phase::Closing { deadline: None },
            other => other,
        };
    }

    fn abort(&mut self) {
        if self.socket().is_open() {
            self.socket_mut().abort();
            // The reset leaves now: the next connection would forget it.
            self.stack.egress(self.last_egress);
        }
        self.phase = Phase::Idle;
        self.next_poll = Some(Duration::ZERO);
    }

    fn poll_at(&self, now: Duration) -> Option<Duration> {
        self.next_poll.map(|at| at.max(now))
    }
}
