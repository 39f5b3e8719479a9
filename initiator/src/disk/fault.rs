//! Why a logical unit is no disk, and what that means for the boot unit.

use core::fmt;

use super::request::RequestError;
use crate::scsi::capacity::CapacityError;
use crate::scsi::lun::LogicalUnitNumber;

/// Why a logical unit is no disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitFault {
    /// INQUIRY tells of no device here, or of one that is no disk: the byte with peripheral
    /// qualifier and device type (SPC-4 §6.6.2).
    NoDisk(u8),
    /// INQUIRY data that is none.
    BadInquiry,
    /// A command that every disk obeys failed.
    Failed {
        /// Its name.
        command: &'static str,
        /// How.
        error: RequestError,
    },
    /// It has no size that can be worked with.
    Capacity(CapacityError),
    /// It is too large for READ CAPACITY(10) and refuses READ CAPACITY(16).
    TooLarge,
}

impl UnitFault {
    /// What it means for requests to a disk that was one before.
    pub(super) fn as_request_error(&self) -> RequestError {
        match self {
            Self::Failed { error, .. } => *error,
            Self::NoDisk(_) | Self::BadInquiry | Self::Capacity(_) | Self::TooLarge => {
                RequestError::OtherUnit
            }
        }
    }
}

impl fmt::Display for UnitFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoDisk(peripheral) if peripheral >> 5 != 0 => {
                write!(f, "no device is there (peripheral qualifier {:03b}b)", peripheral >> 5)
            }
            Self::NoDisk(peripheral) => write!(f, "it is no disk (device type {peripheral:02x}h)"),
            Self::BadInquiry => f.write_str("its INQUIRY data is too short to be any"),
            Self::Failed { command, error } => write!(f, "{command} failed: {error}"),
            Self::Capacity(error) => write!(f, "its capacity is unusable: {error}"),
            Self::TooLarge => {
                f.write_str("it is too large for READ CAPACITY(10) and refuses READ CAPACITY(16)")
            }
        }
    }
}

impl core::error::Error for UnitFault {}

/// Why there is no disk to boot from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoBootDisk<'a> {
    /// The logical unit that was asked for.
    pub lun: LogicalUnitNumber,
    /// Whether the target lists it.
    pub is_listed: bool,
    /// What is wrong with it; `None` while it was not looked at.
    pub fault: Option<UnitFault>,
    /// The logical units that were looked at, or will be.
    pub units: &'a [LogicalUnitNumber],
}

impl fmt::Display for NoBootDisk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(fault) = &self.fault else {
            return write!(f, "logical unit {} was not looked at yet", self.lun);
        };
        if self.is_listed {
            return write!(f, "logical unit {} cannot be used: {fault}", self.lun);
        }
        write!(f, "logical unit {} not found ({fault}); the target has", self.lun)?;
        let mut others = self.units.iter().filter(|unit| **unit != self.lun).peekable();
        if others.peek().is_none() {
            f.write_str(" no other")?;
        }
        for (at, unit) in others.enumerate() {
            match at {
                0 => write!(f, " {unit}")?,
                1..16 => write!(f, ", {unit}")?,
                _ => return f.write_str(", …"),
            }
        }
        Ok(())
    }
}

impl core::error::Error for NoBootDisk<'_> {}
