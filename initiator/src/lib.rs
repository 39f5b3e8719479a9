#![doc = include_str!("../README.md")]
#![no_std]
#![deny(missing_docs)]
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::unreachable,
    clippy::todo
)]
#![cfg_attr(
    test,
    allow(clippy::arithmetic_side_effects, reason = "tests compute on their own numbers")
)]
#![forbid(unsafe_code)]
#[cfg(any(test, feature = "std"))]
extern crate std;

#[cfg(feature = "boot")]
pub mod boot;
pub mod disk;
mod keep;
pub mod login;
pub mod pdu;
pub mod scsi;
pub mod session;
pub mod time;
