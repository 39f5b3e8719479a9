//! What can go wrong with a session or a task, and whose fault it is.

use core::fmt;
use core::net::SocketAddr;

use crate::login::text::TextError;
use crate::login::{Excerpt, LoginError};
use crate::pdu::ParseError;
use crate::pdu::framer::FrameError;

/// Why a connection was given up, or why the session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The target's bytes do not frame: a bad header digest, an impossible length.
    Frame(FrameError),
    /// The login was answered with these bytes, and they are not a target's: something else
    /// listens on the port.
    NotIscsi(Excerpt),
    /// A PDU arrived that does not decode (RFC 7143 §7.7).
    Malformed(ParseError),
    /// A well-formed PDU that the protocol does not allow here; the text names the rule.
    PeerMisbehaved(&'static str),
    /// The login was refused or went wrong.
    Login(LoginError),
    /// The target's answer to a Text Request breaks the `key=value` format (RFC 7143 §6.1).
    Text(TextError),
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
    /// The target answered a Logout Request with something else than success (RFC 7143 §11.15.1).
    LogoutRefused {
        /// The Response field.
        response: u8,
        /// Seconds that the target wants to pass before the next login (§11.15.3).
        time2wait: u16,
    },
    /// More redirections than are followed in a row.
    TooManyRedirections,
    /// A redirection to a host name, this one; nobody here can resolve it.
    RedirectedToAName(Excerpt),
    /// A redirection to this loopback address, while the configured portal is elsewhere: the
    /// target would send the login to this host's own services.
    RedirectedToLoopback(SocketAddr),
}

/// A response that answers nothing.
pub(super) const UNASKED: Error =
    Error::PeerMisbehaved("a response answers a request that was sent");

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
            Self::NotIscsi(start) => write!(
                f,
                "what listens on the port is no iSCSI target, it answers \"{start}\"; check \
                 address and port"
            ),
            Self::Malformed(error) => write!(f, "the target sent a malformed PDU: {error}"),
            Self::PeerMisbehaved(rule) => write!(f, "the target broke the protocol: {rule}"),
            Self::Login(error) => write!(f, "login failed: {error}"),
            Self::Text(error) => write!(f, "the target's text is malformed: {error}"),
            Self::Timeout(waiting) => write!(f, "timed out waiting for {waiting}"),
            Self::Link(failure) => write!(f, "{failure}"),
            Self::Rejected { reason } => {
                write!(f, "the target rejected a PDU, reason {reason:#04x}")?;
                f.write_str(reject_reason(*reason))
            }
            Self::TargetAskedToLeave { event } => {
                write!(f, "the target asked to end the connection (asynchronous event {event})")
            }
            Self::LogoutRefused { response, time2wait } => {
                write!(f, "the target answered the logout with response {response:#04x}")?;
                match response {
                    1 => f.write_str(" (no such connection)"),
                    2 => f.write_str(" (recovery not supported)"),
                    3 => write!(f, " (cleanup failed); log in again after {time2wait} s"),
                    _ => Ok(()),
                }
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

/// A Reject reason in words (RFC 7143 §11.17.1).
fn reject_reason(reason: u8) -> &'static str {
    match reason {
        0x02 => " (data digest error)",
        0x03 => " (SNACK)",
        0x04 => " (protocol error)",
        0x05 => " (command not supported)",
        0x06 => " (too many immediate commands)",
        0x07 => " (task in progress)",
        0x08 => " (invalid data acknowledgement)",
        0x09 => " (invalid PDU field)",
        0x0a => " (long operation, out of resources)",
        0x0b => " (negotiation reset)",
        0x0c => " (waiting for logout)",
        _ => "",
    }
}

/// What a bounded wait was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// TCP to be accepted.
    Connect,
    /// The login phase to end.
    Login,
    /// The answer to a NOP-Out.
    Ping,
    /// The rest of a PDU.
    Pdu,
    /// The response to a command.
    Command,
    /// The response to a task management function.
    TaskManagement,
    /// The command window to open.
    Window,
    /// The response to a Text Request.
    Text,
    /// The Logout Response.
    Logout,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "the target to accept the connection",
            Self::Login => "the login to finish",
            Self::Ping => "the answer to a NOP-Out",
            Self::Pdu => "the rest of a PDU that has begun",
            Self::Command => "the response to a command",
            Self::TaskManagement => "the response to a task management function",
            Self::Window => "the target to open its command window",
            Self::Text => "the response to a Text Request",
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
    /// The connection was lost, or the answer damaged, after a command was sent that may not be
    /// executed twice: whether it was executed once, nobody can tell. Ask the unit.
    OutcomeUnknown,
    /// The session ended first.
    SessionEnded,
    /// The target answers everything but this command, however often it is aborted and issued
    /// again.
    Unanswered,
    /// Aborted on request of the host.
    Aborted,
    /// The target rejected the command each time (RFC 7143 §11.17.1).
    Rejected {
        /// The Reject reason code.
        reason: u8,
    },
    /// The target says that there is no such logical unit any more (RFC 7143 §11.6.1).
    NoSuchLogicalUnit,
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
            Self::OutcomeUnknown => f.write_str(
                "the answer was lost with the connection: whether the command was executed is \
                 unknown; ask the unit",
            ),
            Self::SessionEnded => f.write_str("the session ended"),
            Self::Unanswered => f.write_str(
                "the target does not answer the command, aborted and issued again though it was; \
                 look at the health of its medium, or raise command_timeout",
            ),
            Self::Aborted => f.write_str("the command was aborted on request"),
            Self::Rejected { reason } => {
                write!(f, "the target rejects the command, reason {reason:#04x}")?;
                f.write_str(reject_reason(*reason))
            }
            Self::NoSuchLogicalUnit => {
                f.write_str("the target says that the logical unit is not there any more")
            }
            Self::TargetFailure { response } => {
                write!(f, "the target failed to execute the command (response {response:#04x})")
            }
        }
    }
}

impl core::error::Error for TaskError {}

/// Why a task management function did not do what it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManagementError {
    /// The target said no (RFC 7143 §11.6.1).
    Refused {
        /// The Response field.
        response: u8,
    },
    /// The target rejected the request itself.
    Rejected {
        /// The Reject reason code.
        reason: u8,
    },
    /// The session was lost before the answer, which ended the tasks as well.
    SessionLost,
}

impl fmt::Display for ManagementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { response } => {
                write!(f, "the target refuses, response {response}")?;
                f.write_str(match response {
                    1 => " (no such task)",
                    2 => " (no such logical unit)",
                    5 => " (function not supported)",
                    6 => " (authorization failed)",
                    255 => " (function rejected)",
                    _ => "",
                })
            }
            Self::Rejected { reason } => {
                write!(f, "the target rejects the request, reason {reason:#04x}")?;
                f.write_str(reject_reason(*reason))
            }
            Self::SessionLost => f.write_str("the session was lost first"),
        }
    }
}

impl core::error::Error for ManagementError {}
