//! What can go wrong with a controller, in words that help.

use core::fmt;
use core::time::Duration;

use crate::intel::ids::Refused;
use crate::intel::registers::Register;
use crate::intel::ring::RingError;
use crate::pci::{BarError, PciAddress};

/// A step of taking over, starting or stopping a controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// First look at its registers.
    Identify,
    /// Stopping what firmware left running.
    Quiesce,
    /// Reset.
    Reset,
    /// Reading the EEPROM after the reset.
    ReadEeprom,
    /// Programming and starting it.
    Start,
    /// Stopping it for good.
    Stop,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identify => "looking at its registers",
            Self::Quiesce => "stopping what firmware left running",
            Self::Reset => "resetting it",
            Self::ReadEeprom => "waiting for it to read its EEPROM",
            Self::Start => "starting it",
            Self::Stop => "stopping it",
        })
    }
}

/// Why a controller could not be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttachError {
    /// No function answers at this address.
    Absent {
        /// Where we looked.
        address: PciAddress,
    },
    /// The function is not a part that this driver serves.
    Unsupported {
        /// Where it is.
        address: PciAddress,
        /// Its vendor id.
        vendor_id: u16,
        /// Its device id.
        device_id: u16,
    },
    /// The function is a part that resembles those served but is not.
    Refused {
        /// Where it is.
        address: PciAddress,
        /// Which, and why.
        part: &'static Refused,
    },
    /// Its register window has no usable address.
    Bar {
        /// Where it is.
        address: PciAddress,
        /// What is wrong.
        error: BarError,
    },
    /// The hosting kernel could not map its registers.
    Unmapped {
        /// Where it is.
        address: PciAddress,
        /// Where its registers are.
        bus_address: u64,
    },
    /// Its registers read as all ones.
    Gone {
        /// Where it is.
        address: PciAddress,
        /// During which step.
        step: Step,
    },
    /// A register did not become what it should in time.
    Stuck {
        /// Where it is.
        address: PciAddress,
        /// During which step.
        step: Step,
        /// The register.
        register: Register,
        /// Its last value.
        value: u32,
        /// How long we waited.
        waited: Duration,
    },
    /// Neither its registers nor its EEPROM hold a MAC address.
    NoMac {
        /// Where it is.
        address: PciAddress,
    },
    /// Its registers hold no MAC address; its EEPROM is the chipset's flash, which this driver
    /// leaves alone.
    MacInChipset {
        /// Where it is.
        address: PciAddress,
    },
    /// Its rings could not be made.
    Ring {
        /// Where it is.
        address: PciAddress,
        /// What is wrong.
        error: RingError,
    },
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent { address } => write!(f, "no PCI function at {address}"),
            Self::Unsupported { address, vendor_id, device_id } => write!(
                f,
                "{address} is {vendor_id:04x}:{device_id:04x}, which this driver does not serve"
            ),
            Self::Refused { address, part } => write!(
                f,
                "{address} is {} (8086:{:04x}), which this driver does not serve: {}",
                part.name, part.device_id, part.why
            ),
            Self::Bar { address, error } => write!(f, "NIC {address}: {error}"),
            Self::Unmapped { address, bus_address } => write!(
                f,
                "NIC {address}: the hosting kernel cannot map its registers at {bus_address:#x}"
            ),
            Self::Gone { address, step } => write!(
                f,
                "NIC {address} does not answer (all ones) while {step}: \
                 removed, in a deep power state, or behind a failed link; a power cycle helps"
            ),
            Self::Stuck { address, step, register, value, waited } => write!(
                f,
                "NIC {address}: while {step}, {} stayed {value:#010x} for {} ms; \
                 try again, then a power cycle",
                register.name(),
                waited.as_millis()
            ),
            Self::NoMac { address } => {
                write!(f, "NIC {address}: neither its registers nor its EEPROM hold a MAC address")
            }
            Self::MacInChipset { address } => write!(
                f,
                "NIC {address}: its registers hold no MAC address, and the chipset's flash is not \
                 read: let firmware initialise the controller (enable it for network boot)"
            ),
            Self::Ring { address, error } => write!(f, "NIC {address}: {error}"),
        }
    }
}

impl core::error::Error for AttachError {}

impl fmt::Display for RingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { count, most } => {
                write!(f, "{count} descriptors asked for; a power of two from 8 to {most} works")
            }
            Self::NoMemory(layout) => write!(
                f,
                "the hosting kernel has no {} bytes of DMA memory, aligned to {}, at or below {:#x}",
                layout.len, layout.align, layout.highest_address
            ),
            Self::BadMemory(layout, bus) => write!(
                f,
                "the hosting kernel gave DMA memory at {bus:#x} for {} bytes, aligned to {}, \
                 at or below {:#x}",
                layout.len, layout.align, layout.highest_address
            ),
        }
    }
}

impl core::error::Error for RingError {}

/// A controller that did not confirm that it stopped. Its bus mastering is off all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DetachError {
    /// Where it is.
    pub address: PciAddress,
    /// The register that did not become what it should.
    pub register: Register,
    /// Its last value.
    pub value: u32,
}

impl fmt::Display for DetachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "NIC {} did not confirm that it stopped: {} is {:#010x}; its bus mastering is off",
            self.address,
            self.register.name(),
            self.value
        )
    }
}

impl core::error::Error for DetachError {}
