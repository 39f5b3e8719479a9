//! The session: commands in, events out, over one connection at a time (RFC 7143 §4, §7, §11).
//!
//! Sans-IO: the caller moves bytes and tells the time; nothing in here blocks, allocates or
//! panics. [`Session::link`] says what the transport should do, [`Session::receive`] takes what
//! came, [`Session::transmit`] gives what is to be sent, [`Session::poll`] lets time pass.

mod arriving;
mod asynchronous;
mod config;
mod connection;
mod deadlines;
mod error;
mod escalation;
mod event;
mod exchange;
mod extents;
mod function;
mod hold;
mod logout;
mod management;
mod owed;
mod portals;
mod receive;
mod recovery;
mod reject;
mod send_targets;
#[expect(clippy::module_inception, reason = "the struct that the module is named after")]
mod session;
mod task;
mod text;
mod transmit;
mod window;

pub use config::{SessionConfig, Timeouts};
pub use error::{Error, LinkFailure, ManagementError, TaskError, Waiting};
pub use escalation::{Escalation, EscalationError, TaskManagement};
pub use event::{Completion, DataOut, DiscoverError, Event, LinkWanted, Placement, SubmitError};
pub use function::Reset;
pub use owed::Owed;
pub use send_targets::{Discovered, FoundTarget, SendTargets};
pub use session::Session;
pub use task::{Command, OUTSTANDING_R2T_LIMIT, TaskTag, Transfer};
pub use text::ANSWER_LIMIT;
pub use window::CommandWindow;
