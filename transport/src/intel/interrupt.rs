//! Interrupts as hints.
//!
//! The rings are the truth: what is done is read from the descriptors in memory, in every mode.
//! An interrupt only says that looking is worth it, so losing one costs time and nothing else.
//! [`Nic::attach`](crate::intel::nic::Nic::attach) leaves every cause masked; whoever polls all the
//! time never needs this module.
//!
//! A kernel that wants to sleep has three things to do, and none of them is hard to get right:
//!
//! 1. *Start.* A [`Line`] in a `static`, one for each controller. Its
//!    [`Acknowledger`] into the handler, for the interrupt line and for the message alike. Then
//!    [`enable_interrupts`](crate::intel::nic::Nic::enable_interrupts), with the processor's
//!    interrupts on: it tries the mode, and falls back to one that works.
//! 2. *Handle.* [`Acknowledger::acknowledge`], note that there is work, end of interrupt. It reads
//!    one register and touches neither rings nor stack. An empty [`Cause`] was another device's
//!    interrupt.
//! 3. *Rest.* Poll until nothing is left to do, then
//!    [`rearm`](crate::intel::nic::Nic::rearm), and sleep unless it says that something waits or
//!    the handler has run since. No longer than some 10 ms: a timer is what makes a lost interrupt
//!    slow instead of fatal, and what lets the watchdog
//!    ([`watch`](crate::intel::nic::Nic::watch)) look.
//!
//! After an interrupt the controller keeps still until it is rearmed, so a fast sender cannot
//! drown the processor in interrupts. Once the controller was detached the handler's call does
//! nothing, for ever.
//!
//! ```
//! use core::sync::atomic::{AtomicBool, Ordering};
//! use isboot_transport::hal::Hal;
//! use isboot_transport::intel::interrupt::{Acknowledger, InterruptError, Line, Mode};
//! use isboot_transport::intel::nic::Nic;
//! use isboot_transport::pci::{ConfigSpace, Message};
//!
//! static LINE: Line = Line::new();
//! static WORK: AtomicBool = AtomicBool::new(false);
//!
//! fn start<H: Hal + Clone, C: ConfigSpace>(
//!     nic: &mut Nic<H, C>,
//!     message: Message,
//!     install: impl FnOnce(Acknowledger<H>),
//! ) -> Result<Mode, InterruptError> {
//!     install(nic.acknowledger(&LINE));
//!     // sti
//!     nic.enable_interrupts(Mode::Msix, Some(message))
//! }
//!
//! fn handle<H: Hal>(nic: &Acknowledger<H>) {
//!     if !nic.acknowledge().is_empty() {
//!         WORK.store(true, Ordering::Relaxed);
//!     }
//!     // end of interrupt
//! }
//!
//! fn rest<H: Hal + Clone, C: ConfigSpace>(nic: &mut Nic<H, C>, sleep: impl FnOnce()) {
//!     WORK.store(false, Ordering::Relaxed);
//!     if nic.rearm() {
//!         return; // poll again
//!     }
//!     // cli
//!     if !WORK.load(Ordering::Relaxed) {
//!         sleep(); // sti; hlt, with a timer of 10 ms at most
//!     }
//!     // sti
//! }
//! ```

mod cause;
mod design;
mod line;

use core::fmt;
use core::str::FromStr;

use crate::hal::Hal;
use crate::intel::registers::{ICR, Registers};
use crate::pci::PciAddress;

pub use cause::{Cause, icr};
pub use design::Design;
pub(crate) use design::Mask;
pub(crate) use line::acknowledge;
pub use line::{Acknowledger, Line};

/// How the controller interrupts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Not at all: every cause is masked.
    #[default]
    Polled,
    /// By the interrupt line, which it may share with others.
    Intx,
    /// By a message, kept in configuration space.
    Msi,
    /// By a message, kept in a table of the controller.
    Msix,
}

impl Mode {
    /// What to fall back to.
    pub(crate) const fn next(self) -> Self {
        match self {
            Self::Msix => Self::Msi,
            Self::Msi => Self::Intx,
            Self::Intx | Self::Polled => Self::Polled,
        }
    }

    /// The mode whose discriminant this is.
    const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Intx,
            2 => Self::Msi,
            3 => Self::Msix,
            _ => Self::Polled,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Polled => "none",
            Self::Intx => "intx",
            Self::Msi => "msi",
            Self::Msix => "msix",
        })
    }
}

impl FromStr for Mode {
    type Err = ModeError;

    fn from_str(text: &str) -> Result<Self, ModeError> {
        match text {
            "none" => Ok(Self::Polled),
            "intx" => Ok(Self::Intx),
            "msi" => Ok(Self::Msi),
            "msix" => Ok(Self::Msix),
            _ => Err(ModeError),
        }
    }
}

/// A text that names no [`Mode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeError;

impl fmt::Display for ModeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupts are none, intx, msi or msix")
    }
}

impl core::error::Error for ModeError {}

/// Why interrupts cannot be enabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterruptError {
    /// [`Nic::acknowledger`](crate::intel::nic::Nic::acknowledger) was not called: there can be
    /// no handler yet.
    NoHandler {
        /// Where the controller is.
        address: PciAddress,
    },
    /// The controller does not answer.
    Gone {
        /// Where it was.
        address: PciAddress,
    },
}

impl fmt::Display for InterruptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoHandler { address } => write!(
                f,
                "NIC {address}: interrupts are to be enabled without a handler: \
                 ask for its acknowledger and install that first"
            ),
            Self::Gone { address } => write!(
                f,
                "NIC {address} does not answer (all ones) while interrupts are enabled: \
                 removed, in a deep power state, or behind a failed link"
            ),
        }
    }
}

impl core::error::Error for InterruptError {}

/// Reads and clears the pending causes, by reading and by writing them back: with everything
/// masked, reading is enough on silicon, but not on every model.
pub(crate) fn read_and_clear<H: Hal>(registers: &Registers<H>) -> Cause {
    let causes = registers.read(ICR);
    if causes != 0 && causes != u32::MAX {
        registers.write(ICR, causes);
    }
    Cause::new(causes)
}
