//! A TCP connection as the initiator sees it: bytes in, bytes out, lent in place.

use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

/// One TCP connection, polled, never blocking.
///
/// Times are durations since the zero of the hosting kernel's [`Clock`](crate::hal::Clock).
/// One connection at a time: [`connect`](Self::connect) after [`abort`](Self::abort) starts anew.
pub trait ByteStream {
    /// Runs of data from this many bytes on are offered to [`send_from`](Self::send_from); none are by
    /// itself.
    const SENDS_IN_PLACE: u32 = u32::MAX;

    /// Starts a connection to `portal`; [`state`](Self::state) tells how it goes.
    ///
    /// # Errors
    /// When no attempt can be made at all: no address yet, no route, no socket.
    fn connect(&mut self, now: Duration, portal: SocketAddr) -> Result<(), StreamError>;

    /// Moves frames both ways. Call before and after a batch of [`recv`](Self::recv) and
    /// [`send`](Self::send); costs little when there is nothing to do.
    fn poll(&mut self, now: Duration);

    /// Where the connection stands.
    fn state(&self) -> StreamState;

    /// Lends received bytes to `take`, which says how many of them it consumed.
    ///
    /// Only the contiguous part is lent: call again until `None`, which means that nothing
    /// waits. `take` is never called with an empty slice.
    fn recv<R>(&mut self, take: impl FnOnce(&[u8]) -> (usize, R)) -> Option<R>;

    /// Receives into `place` what would otherwise be lent by [`recv`](Self::recv), if that saves a
    /// copy: how many bytes came, which are the next of the connection, and at least one.
    ///
    /// `None` says only that `recv` is to be asked: because nothing came, because something waits
    /// there already, or because nothing would be saved.
    fn recv_into(&mut self, place: &mut [u8]) -> Option<usize> {
        let _ = place;
        None
    }

    /// So much will come without anything more from this side: one that sleeps on the connection may
    /// do so until a good part of it is there, rather than the first byte.
    fn expect(&mut self, expected: Expected) {
        let _ = expected;
    }

    /// Lends free transmit space to `fill`, which says how many bytes it wrote.
    ///
    /// Only the contiguous part is lent: call again until `None`, which means that no space
    /// is left or the connection does not take data. `fill` never sees an empty slice.
    fn send<R>(&mut self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> Option<R>;

    /// Sends `bytes` from where they lie, behind everything that was written, if that saves copying them
    /// into the space that [`send`](Self::send) lends: how many of them, and at least one.
    ///
    /// `None` says only that `send` is to be asked.
    fn send_from(&mut self, bytes: &[u8]) -> Option<usize> {
        let _ = bytes;
        None
    }

    /// Sends FIN after everything that was written.
    fn close(&mut self);

    /// Drops the connection at once (RST when it was open) and forgets unsent bytes.
    fn abort(&mut self);

    /// When [`poll`](Self::poll) wants to be called next even if no frame arrives.
    fn poll_at(&self, now: Duration) -> Option<Duration>;
}

/// What the peer sends without anything more from this side, unless something fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Bytes, at least.
    pub all: usize,
    /// How many of them end the answer that comes first. Fewer complete nothing.
    pub first: usize,
    /// How many each answer that has not begun has, in the mean; 0 where there is none.
    pub each: usize,
}

/// Where a [`ByteStream`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamState {
    /// No connection, none wanted.
    Closed,
    /// Waiting for the peer to accept.
    Connecting,
    /// Bytes flow both ways.
    Open,
    /// The peer sent FIN: what it sent before can still be received.
    PeerClosed,
    /// The connection ended with an error; [`ByteStream::connect`] may be tried again.
    Failed(StreamError),
}

/// Why a connection could not be made or was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamError {
    /// The peer answered the SYN with RST.
    Refused,
    /// An open connection was reset by the peer.
    Reset,
    /// No answer in time.
    TimedOut,
    /// The interface has no address to speak from yet, or no longer the connection's.
    NoAddress,
    /// No route to the portal's network, or an address family the interface does not have.
    NoRoute,
    /// The link is down.
    LinkDown,
    /// The stack or the host refused for another reason (errno on hosts that have one, else 0).
    Other(i32),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::Reset => f.write_str("connection reset by the target"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::NoAddress => f.write_str("the interface has no address, or no longer the same"),
            Self::NoRoute => f.write_str("no route to the target"),
            Self::LinkDown => f.write_str("the link is down"),
            Self::Other(errno) => write!(f, "network error {errno}"),
        }
    }
}

impl core::error::Error for StreamError {}
