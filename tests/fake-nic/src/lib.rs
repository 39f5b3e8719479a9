//! Intel controllers made of memory: registers with their side effects, rings that they own, and
//! a hosting kernel whose bus addresses are not its pointers.
//!
//! Written from the datasheets and the manuals, not from the driver, which shares nothing with it
//! but the traits of a hosting kernel: [`family`] has a table of its own for what each part does.
//! One file per area: [`register`], configuration space, memory, receive, transmit, interrupts,
//! PHY, EEPROM and semaphores. [`Machine`] is all of it under one handle, [`Behaviour`] how it
//! behaves and what is wrong with it.
//!
//! The device works inside register accesses, as an emulated one does, and only through bus
//! addresses. A test fails by itself when
//!
//! - the device is led to memory that is nobody's, freed, or out of its reach, or to any with bus
//!   mastering off;
//! - a descriptor changes while the device owns it, or is given back looking done;
//! - memory is freed twice, or with another size;
//! - a register is read while a chipset resets;
//! - an interrupt is never acknowledged.
//!
//! [`Machine::violations`] has what else the datasheets forbid.
//!
//! # What was measured, and what was read
//!
//! These behave as QEMU 7.2 and 10.0 were seen to, where the emulated and the real part are said
//! to be alike: the two layouts of EERD; MDIC that is READY with ERROR for a PHY that is not
//! there; reading SWSM takes SMBI; a cause without a valid IVAR entry is cleared and masked, and
//! interrupts nobody; a full receive ring that goes on with the next tail; done bits only where RS
//! asks. QEMU's departures are in [`Behaviour`] and [`Faults`], each named there.
//!
//! The rest was read: side effects of reads and writes, rules for clearing ICR, the automatic
//! masks, write-back formats, MPC and RNBC, the resets of chipsets, pages of PHYs, Microwire,
//! fuses. No real part has confirmed it.
//!
//! Not modelled: segmentation of anything but TCP over IPv4, and more than one queue; the flash of
//! chipsets; SerDes and fibre; I/O windows; order of writes on the bus, which needs real hardware to
//! go wrong.

mod behaviour;
mod config;
mod cut;
mod device;
mod event;
pub mod family;
mod interrupt;
mod machine;
mod memory;
mod nvm;
mod phy;
mod receive;
pub mod register;
mod semaphore;
mod transmit;
mod wires;

pub use behaviour::{Behaviour, MAC};
pub use config::{BAR, TABLE, at};
pub use cut::segments;
pub use device::State;
pub use event::Event;
pub use family::{Family, Part};
pub use interrupt::{Faults, Interrupts, MESSAGE, VECTORS};
pub use machine::{ADDRESS, Machine};
pub use memory::CANARY;
pub use semaphore::Holders;
