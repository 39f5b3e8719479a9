//! Interrupts as hints.
//!
//! The rings are the truth: what is done is read from the descriptors in memory, in every mode.
//! An interrupt only says that looking is worth it, so losing one costs time and nothing else.
//! [`Nic::attach`](crate::intel::nic::Nic::attach) leaves every cause masked; whoever polls all the
//! time never needs this module.

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
