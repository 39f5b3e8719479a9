//! From the firmware's table to disks: the plan, the parameters, and the whole thing at work.

mod crc32c;
mod discovery;
mod isboot;
mod link;
mod nic;
mod parameters;
mod plan;
mod root_path;
mod status;

pub use discovery::{Discovery, Found};
pub use isboot::{BlockError, Isboot, State, TargetInUse};
pub use link::EntropySource;
pub use nic::{NicFound, NoSuchNic, WantedNic};
pub use parameters::{
    AddressSource, NicChoice, ParameterError, ParameterInfo, Parameters, VlanChoice,
};
pub use plan::{BootPlan, BootTarget, HostName, PlanError};
pub use root_path::{RootPath, RootPathError};
pub use status::Status;
