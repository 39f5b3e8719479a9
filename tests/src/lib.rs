//! Rigs shared by the integration tests and the examples.

pub mod faults;
pub mod frames;
pub mod host;
pub mod istgt;
pub mod linux_guest;
pub mod lio;
pub mod pair;
pub mod ports;
pub mod process;
pub mod scratch;
pub mod segment;
pub mod standing;
pub mod tap;
pub mod target;
pub mod tgt;

/// The embedding example of the project's README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
