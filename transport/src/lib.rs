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

#[cfg(any(test, feature = "std"))]
extern crate std;

pub mod checksum;
pub mod device;
pub mod hal;
pub mod intel;
pub mod link;
pub mod netstack;
pub mod pci;
#[cfg(feature = "std")]
pub mod std_tcp;
pub mod stream;
pub mod tcp;
