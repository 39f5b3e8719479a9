//! From the firmware's table to disks: the plan, the parameters, and the whole thing at work.

mod isboot;
mod parameters;
mod plan;
mod root_path;
mod status;

pub use isboot::{BlockError, EntropySource, Isboot, State};
pub use parameters::{AddressSource, NicChoice, ParameterError, ParameterInfo, Parameters};
pub use plan::{BootPlan, BootTarget, PlanError, WantedNic};
pub use root_path::{RootPath, RootPathError};
pub use status::Status;
