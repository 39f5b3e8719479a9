//! Sense data, fixed and descriptor format (SPC-4 §4.5).

use core::fmt;

/// What a logical unit says about a command it did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sense {
    /// SENSE KEY (SPC-4 §4.5.6).
    pub key: SenseKey,
    /// ADDITIONAL SENSE CODE.
    pub code: u8,
    /// ADDITIONAL SENSE CODE QUALIFIER.
    pub qualifier: u8,
}

/// SENSE KEY (SPC-4 §4.5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the standard's own names say it all")]
pub enum SenseKey {
    NoSense,
    RecoveredError,
    NotReady,
    MediumError,
    HardwareError,
    IllegalRequest,
    UnitAttention,
    DataProtect,
    BlankCheck,
    VendorSpecific,
    CopyAborted,
    AbortedCommand,
    Reserved,
    VolumeOverflow,
    Miscompare,
    Completed,
}

impl SenseKey {
    /// From the low four bits of a sense key field.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 0x0f {
            0x0 => Self::NoSense,
            0x1 => Self::RecoveredError,
            0x2 => Self::NotReady,
            0x3 => Self::MediumError,
            0x4 => Self::HardwareError,
            0x5 => Self::IllegalRequest,
            0x6 => Self::UnitAttention,
            0x7 => Self::DataProtect,
            0x8 => Self::BlankCheck,
            0x9 => Self::VendorSpecific,
            0xa => Self::CopyAborted,
            0xb => Self::AbortedCommand,
            0xd => Self::VolumeOverflow,
            0xe => Self::Miscompare,
            0xf => Self::Completed,
            _ => Self::Reserved,
        }
    }
}

impl fmt::Display for SenseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoSense => "no sense",
            Self::RecoveredError => "recovered error",
            Self::NotReady => "not ready",
            Self::MediumError => "medium error",
            Self::HardwareError => "hardware error",
            Self::IllegalRequest => "illegal request",
            Self::UnitAttention => "unit attention",
            Self::DataProtect => "data protect",
            Self::BlankCheck => "blank check",
            Self::VendorSpecific => "vendor specific",
            Self::CopyAborted => "copy aborted",
            Self::AbortedCommand => "aborted command",
            Self::Reserved => "reserved sense key",
            Self::VolumeOverflow => "volume overflow",
            Self::Miscompare => "miscompare",
            Self::Completed => "completed",
        })
    }
}

impl Sense {
    /// Reads sense data in either format; `None` when there is none, or in a format that no
    /// standard names. A code that lies beyond the data's own length counts as 0.
    #[must_use]
    pub fn parse(sense_data: &[u8]) -> Option<Self> {
        let byte = |at: usize| sense_data.get(at).copied();
        match byte(0)? & 0x7f {
            // Fixed: key @2, ADDITIONAL SENSE LENGTH @7, code @12, qualifier @13.
            0x70 | 0x71 => {
                let key = SenseKey::from_bits(byte(2)?);
                let additional = usize::from(byte(7).unwrap_or(0));
                let at = |offset: usize| {
                    if additional.saturating_add(8) > offset {
                        byte(offset).unwrap_or(0)
                    } else {
                        0
                    }
                };
                Some(Self { key, code: at(12), qualifier: at(13) })
            }
            // Descriptor: key @1, code @2, qualifier @3.
            0x72 | 0x73 => Some(Self {
                key: SenseKey::from_bits(byte(1)?),
                code: byte(2).unwrap_or(0),
                qualifier: byte(3).unwrap_or(0),
            }),
            _ => None,
        }
    }

    /// Something happened to the unit that the command is not to blame for: repeat it.
    #[must_use]
    pub fn is_unit_attention(&self) -> bool {
        self.key == SenseKey::UnitAttention
    }

    /// The unit is not ready and says that it will be (04h/01h, 04h/0Ah asymmetric access state
    /// transition).
    #[must_use]
    pub fn is_becoming_ready(&self) -> bool {
        self.key == SenseKey::NotReady && self.code == 0x04 && matches!(self.qualifier, 0x01 | 0x0a)
    }

    /// The medium or the device failed on this very command; repeating it seldom helps.
    #[must_use]
    pub fn is_medium_failure(&self) -> bool {
        matches!(self.key, SenseKey::MediumError | SenseKey::HardwareError)
    }

    /// The unit refuses to be written.
    #[must_use]
    pub fn is_write_protected(&self) -> bool {
        self.key == SenseKey::DataProtect && self.code == 0x27
    }

    /// The unit has no storage left for the blocks to be written (SBC-3 §4.7.3.6).
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        self.key == SenseKey::DataProtect && (self.code, self.qualifier) == (0x27, 0x07)
    }

    /// The unit does not know the command.
    #[must_use]
    pub fn is_unknown_command(&self) -> bool {
        self.key == SenseKey::IllegalRequest && (self.code, self.qualifier) == (0x20, 0x00)
    }

    /// What the codes mean, for those that disks are known to send (SPC-4 annex F.2).
    #[must_use]
    pub fn meaning(&self) -> Option<&'static str> {
        Some(match (self.code, self.qualifier) {
            (0x04, 0x00) => "not ready, cause not reported",
            (0x04, 0x01) => "becoming ready",
            (0x04, 0x02) => "initializing command required",
            (0x04, 0x03) => "manual intervention required",
            (0x04, 0x0a) => "asymmetric access state transition",
            (0x04, 0x0b) => "target port in standby state",
            (0x04, 0x0c) => "target port in unavailable state",
            (0x08, 0x00) => "communication failure",
            (0x0c, _) => "write error",
            (0x11, _) => "unrecovered read error",
            (0x20, 0x00) => "invalid command operation code",
            (0x21, 0x00) => "logical block address out of range",
            (0x24, 0x00) => "invalid field in CDB",
            (0x25, 0x00) => "logical unit not supported",
            (0x26, _) => "invalid field in parameter list",
            (0x27, 0x07) => "space allocation failed: the thin pool is full",
            (0x27, _) => "write protected",
            (0x28, 0x00) => "medium may have changed",
            (0x29, _) => "power on, reset, or bus device reset",
            (0x2a, 0x01) => "mode parameters changed",
            (0x2a, 0x09) => "capacity data has changed",
            (0x2a, _) => "parameters changed",
            (0x2f, _) => "commands cleared by another initiator",
            (0x3a, _) => "medium not present",
            (0x3f, 0x0e) => "reported LUNs data has changed",
            (0x44, _) => "internal target failure",
            (0x47, _) => "transport CRC error",
            _ => return None,
        })
    }
}

impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:02x}h/{:02x}h", self.key, self.code, self.qualifier)?;
        match self.meaning() {
            Some(meaning) => write!(f, ", {meaning})"),
            None => f.write_str(")"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn both_formats_are_read() {
        let mut fixed = [0; 18];
        (fixed[0], fixed[2], fixed[7], fixed[12], fixed[13]) = (0xf0, 0x06, 10, 0x29, 0x01);
        let sense = Sense::parse(&fixed).unwrap();
        assert!(sense.is_unit_attention());
        assert_eq!(
            sense.to_string(),
            "unit attention (29h/01h, power on, reset, or bus device reset)"
        );
        let descriptor = Sense::parse(&[0x72, 0x07, 0x27, 0x00, 0, 0, 0, 0]).unwrap();
        assert!(descriptor.is_write_protected());
    }

    #[test]
    fn codes_beyond_the_length_count_as_zero() {
        let mut fixed = [0; 18];
        (fixed[0], fixed[2], fixed[7], fixed[12], fixed[13]) = (0x70, 0x05, 5, 0x24, 0x01);
        let sense = Sense::parse(&fixed).unwrap();
        assert_eq!((sense.code, sense.qualifier), (0x24, 0));
        assert_eq!(Sense::parse(&fixed[..8]).unwrap().code, 0);
    }

    #[test]
    fn what_is_no_sense_data_is_none() {
        for bytes in [&[][..], &[0x70], &[0x70, 0], &[0x72], &[0x00, 0, 5], &[0x7f, 0, 5]] {
            assert_eq!(Sense::parse(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn failures_of_the_medium_are_told_from_the_rest() {
        let sense = |key| Sense { key, code: 0x11, qualifier: 0 };
        assert!(sense(SenseKey::MediumError).is_medium_failure());
        assert!(sense(SenseKey::HardwareError).is_medium_failure());
        assert!(!sense(SenseKey::RecoveredError).is_medium_failure());
        assert!(!sense(SenseKey::AbortedCommand).is_medium_failure());
    }

    #[test]
    fn becoming_ready_is_told_from_never_ready() {
        let not_ready = |qualifier| Sense { key: SenseKey::NotReady, code: 4, qualifier };
        assert!(not_ready(1).is_becoming_ready());
        assert!(!not_ready(3).is_becoming_ready());
    }
}
