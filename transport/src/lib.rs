//! Intel Ethernet driver, smoltcp network stack and byte streams for an iSCSI initiator.
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

pub mod hal;
pub mod intel;
pub mod pci;
pub mod stream;
