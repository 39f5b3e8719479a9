//! What can go wrong with a session or a task, and whose fault it is.

use core::fmt;
use core::net::SocketAddr;

use crate::login::{Excerpt, LoginError};
use crate::pdu::ParseError;
use crate::pdu::framer::FrameError;

/// Why a connection was given up, or why the session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The target's bytes do not frame: a bad header digest, an impossible length.
    Frame(FrameError),
    /// A PDU arrived that does not decode (RFC 7143 §7.7).
    Malformed(ParseError),
    /// A well-formed PDU that the protocol does not allow here; the text names the rule.
    PeerMisbehaved(&'static str),
    /// The login was refused or went wrong.
    Login(LoginError),
    /// A wait ended without its event.
    Timeout(Waiting),
    /// The transport lost the connection or could not make it.
    Link(LinkFailure),
    /// The target rejected a PDU (RFC 7143 §11.17.1).
    Rejected {
        /// The Reject reason code.
        reason: u8,
    },
    /// The target asked for the connection to end (asynchronous message, RFC 7143 §11.9.1).
    TargetAskedToLeave {
        /// The AsyncEvent code.
        event: u8,
    },
    /// More redirections than are followed in a row.
    TooManyRedirections,
    /// A redirection to a host name, this one; nobody here can resolve it.
    RedirectedToAName(Excerpt),
    /// A redirection to this loopback address, while the configured portal is elsewhere: the
    /// target would send the login to this host's own services.
    RedirectedToLoopback(SocketAddr),
}

impl Error {
    /// Whether trying the same again is pointless until somebody changes the configuration.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Login(error) => !error.is_transient(),
            Self::TooManyRedirections
            | Self::RedirectedToAName(_)
            | Self::RedirectedToLoopback(_) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => write!(f, "the target's bytes do not frame: {error}"),
            Self::Malformed(error) => write!(f, "the target sent a malformed PDU: {error}"),
            Self::PeerMisbehaved(rule) => write!(f, "the target broke the protocol: {rule}"),
            Self::Login(error) => write!(f, "login failed: {error}"),
            Self::Timeout(waiting) => write!(f, "timed out waiting for {waiting}"),
            Self::Link(failure) => write!(f, "{failure}"),
            Self::Rejected { reason } => {
                write!(f, "the target rejected a PDU, reason {reason:#04x}")?;
                match reason {
                    0x02 => f.write_str(" (data digest error)"),
                    0x03 => f.write_str(" (SNACK)"),
                    0x04 => f.write_str(" (protocol error)"),
                    0x05 => f.write_str(" (command not supported)"),
                    0x06 => f.write_str(" (too many immediate commands)"),
                    0x07 => f.write_str(" (task in progress)"),
                    0x09 => f.write_str(" (invalid PDU field)"),
                    0x0a => f.write_str(" (long operation, out of resources)"),
                    0x0c => f.write_str(" (waiting for logout)"),
                    _ => Ok(()),
                }
            }
            Self::TargetAskedToLeave { event } => {
                write!(f, "the target asked to end the connection (asynchronous event {event})")
            }
            Self::TooManyRedirections => {
                f.write_str("the target redirects in circles; check its portal configuration")
            }
            Self::RedirectedToAName(name) => write!(
                f,
                "the target redirects to the host name {name}; configure it to redirect to an \
                 address"
            ),
            Self::RedirectedToLoopback(portal) => write!(
                f,
                "the target redirects to {portal}, which is this host itself; configure it to \
                 redirect to an address of its own"
            ),
        }
    }
}

impl core::error::Error for Error {}

/// What a bounded wait was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// TCP to be accepted.
    Connect,
    /// The login phase to end.
    Login,
    /// The answer to a NOP-Out.
    Ping,
    /// The response to a command.
    Command,
    /// The command window to open.
    Window,
    /// The Logout Response.
    Logout,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "the target to accept the connection",
            Self::Login => "the login to finish",
            Self::Ping => "the answer to a NOP-Out",
            Self::Command => "the response to a command",
            Self::Window => "the target to open its command window",
            Self::Logout => "the logout response",
        })
    }
}

/// How the transport failed, in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkFailure {
    /// The portal refused the connection.
    Refused,
    /// The target reset the connection.
    Reset,
    /// The target closed the connection.
    ClosedByTarget,
    /// No answer in time.
    TimedOut,
    /// No address of our own, no route to the portal, or no link.
    Unreachable,
    /// Anything else, with the transport's own number.
    Other(i32),
}

impl fmt::Display for LinkFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => f.write_str(
                "the target refused the connection; is it running, and on this address and port?",
            ),
            Self::Reset => f.write_str("the target reset the connection"),
            Self::ClosedByTarget => f.write_str("the target closed the connection"),
            Self::TimedOut => f.write_str("the target did not answer in time"),
            Self::Unreachable => {
                f.write_str("the target cannot be reached: no link, no address or no route")
            }
            Self::Other(number) => write!(f, "network error {number}"),
        }
    }
}

/// Why a task ended without a SCSI status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskError {
    /// The target was out of reach for longer than the outage limit.
    Outage,
    /// Issued as often as is allowed, and never answered or never intact.
    RetriesExhausted,
    /// The session ended first.
    SessionEnded,
    /// iSCSI service response other than "completed at target" (RFC 7143 §11.4.3).
    TargetFailure {
        /// The Response field.
        response: u8,
    },
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outage => f.write_str("the target was out of reach for longer than allowed"),
            Self::RetriesExhausted => f.write_str("the command failed as often as it may be tried"),
            Self::SessionEnded => f.write_str("the session ended"),
            Self::TargetFailure { response } => {
                write!(f, "the target failed to execute the command (response {response:#04x})")
            }
        }
    }
}

impl core::error::Error for TaskError {}
