//! Logical units as disks: blocks in, blocks out, over the tasks of a session.
//!
//! [`Disks`] finds the logical units, splits requests into commands that the unit and the
//! session can take, repeats what a unit asks to be repeated, and hands buffers back with the
//! outcome. Requests own their buffers; the blocking facade lends them.

mod bring_up;
#[expect(clippy::module_inception, reason = "the struct that the module is named after")]
mod disk;
mod disks;
mod examine;
mod fault;
mod identity;
mod issue;
mod lun_list;
mod notice;
mod order;
mod patience;
mod pieces;
mod provisioning;
mod request;
mod slot;
mod submit;
mod unit;
mod verdict;
mod watch;
mod write_data;

pub use bring_up::BringUpState;
pub use disk::{Disk, DiskId};
pub use disks::Disks;
pub use fault::{NoBootDisk, UnitFault};
pub use identity::{Identity, IdentityKind};
pub use notice::Notice;
pub use pieces::{READ_LIMIT, TransferLimit};
pub use provisioning::{Provisioning, UnmapLimits, WriteSameForm};
pub use request::{
    CommandData, Finished, Lent, Rejected, RequestError, RequestId, RequestKind, SubmitRequestError,
};
