//! A strict iSCSI target for tests and demonstrations.
//!
//! [`Target`] holds the LUNs and the policies; [`Connection`] turns bytes into bytes with no
//! socket and no clock, so that a test can drive both ends by hand; [`Server`] puts connections
//! on TCP. It shares only the PDU layouts with the initiator: framing, text, negotiation,
//! digests and SCSI are its own, so that one mistake cannot be on both ends.
//!
//! Whatever an initiator does against the standards ends its connection and is noted in
//! [`Target::violations`], in a sentence with the clause. Scripts change what the target does:
//! by policies of the [`Builder`], by what they tell a running target, and PDU by PDU with
//! [`Target::on_response`], [`Target::on_request`] and [`Target::inject`].
//!
//! ```
//! use isboot_tests::target::{DigestPolicy, Lun, Target};
//!
//! let target = Target::builder("iqn.2001-04.com.example:disks")
//!     .lun(Lun::memory(64 << 20))
//!     .lun(Lun::memory(1 << 40).block_size(4096).read_only())
//!     .digests(DigestPolicy::Force)
//!     .build();
//! let server = target.serve("127.0.0.1:0")?;
//! println!("iscsi://127.0.0.1:{}/{}/0", server.port(), target.name());
//! # Ok::<(), std::io::Error>(())
//! ```

mod backing;
mod builder;
mod connection;
mod frame;
mod hook;
mod link;
mod login;
mod lun;
mod management;
mod operational;
mod output;
mod policy;
mod rules;
mod scsi;
mod security;
mod server;
mod session;
mod state;
mod statistics;
#[expect(clippy::module_inception, reason = "the handle is what the module is named after")]
mod target;
mod task;
#[cfg(test)]
mod tests;
mod text;
mod text_request;
mod transfer;

pub use backing::{Backing, Disk, Memory};
pub use builder::Builder;
pub use connection::Connection;
pub use frame::Pdu;
pub use hook::{Fate, Handling, Injection, Numbering, Wire};
pub use lun::{Lun, Thin};
pub use policy::{AlgorithmOffer, Chap, Credentials, DigestPolicy, Redirect, SenseFormat};
pub use rules::Violation;
pub use server::Server;
pub use statistics::{Negotiated, Parameters, Statistics};
pub use target::Target;
