//! From the firmware's table to disks: the plan, the parameters, and the whole thing at work.

mod isboot;
mod parameters;
mod plan;
mod status;

pub use isboot::{BlockError, EntropySource, Isboot, State};
pub use parameters::{AddressSource, NicChoice, ParameterError, ParameterInfo, Parameters};
pub use plan::{BootPlan, PlanError, WantedNic};
pub use status::Status;
