//! Intel 1 GbE controllers: one polled driver, the differences in tables.
//!
//! [`ids`] says which parts are served, [`family`] what each needs; [`nic`] is the life of one of
//! them. Nothing here knows the network stack: frames go in and come out as slices.
//!
//! Rings are the truth and interrupts are hints: every interrupt cause stays masked and
//! completion is read from the descriptors in memory, so losing an interrupt costs nothing.

pub mod descriptor;
pub mod family;
mod gate;
pub mod ids;
pub mod interrupt;
pub mod nic;
mod nvm;
mod phy;
pub mod registers;
pub mod ring;
mod semaphore;
