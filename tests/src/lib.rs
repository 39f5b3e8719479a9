//! Rigs shared by the integration tests and the examples.

pub mod istgt;
pub mod linux_guest;
pub mod ports;
pub mod process;
