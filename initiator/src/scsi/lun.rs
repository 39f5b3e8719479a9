//! Logical unit numbers: eight bytes, four addressing methods (SAM-5 §4.7).

use core::fmt;
use core::str::FromStr;

/// A logical unit number as it travels: eight bytes, most significant level first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogicalUnitNumber([u8; 8]);

/// What a single-level logical unit number says (SAM-5 §4.7.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// Method 00b on bus 0: 0–255 (SAM-5 §4.7.7.2).
    Peripheral(u8),
    /// Method 01b: 0–16383 (SAM-5 §4.7.7.3).
    Flat(u16),
    /// Method 10b: bus, target, LUN of a controller (SAM-5 §4.7.7.4).
    LogicalUnit {
        /// Bus number.
        bus: u8,
        /// Target number.
        target: u8,
        /// Logical unit.
        lun: u8,
    },
    /// Method 11b, well-known logical unit (SAM-5 §4.7.7.5.2).
    WellKnown(u8),
    /// Method 11b, extended flat space (SAM-5 §4.7.7.5.3, §4.7.7.5.4).
    ExtendedFlat(u32),
    /// Several levels, or a form that no standard names.
    Other,
}

impl LogicalUnitNumber {
    /// LUN 0.
    pub const ZERO: Self = Self([0; 8]);

    /// The eight bytes of a PDU or table.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(bytes)
    }

    /// The eight bytes, to be sent.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0
    }

    /// A small number in the form that targets use: peripheral below 256, flat below 16384.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        let [high, low] = number.to_be_bytes();
        match high {
            0 => Some(Self([0, low, 0, 0, 0, 0, 0, 0])),
            1..=0x3f => Some(Self([0x40 | high, low, 0, 0, 0, 0, 0, 0])),
            _ => None,
        }
    }

    /// Which addressing method it uses, and what it says.
    #[must_use]
    pub const fn addressing(self) -> Addressing {
        match self.0 {
            [0, lun, 0, 0, 0, 0, 0, 0] => Addressing::Peripheral(lun),
            [b0 @ 0x40..=0x7f, low, 0, 0, 0, 0, 0, 0] => {
                Addressing::Flat(u16::from_be_bytes([b0 & 0x3f, low]))
            }
            [b0 @ 0x80..=0xbf, b1, 0, 0, 0, 0, 0, 0] => {
                Addressing::LogicalUnit { target: b0 & 0x3f, bus: b1 >> 5, lun: b1 & 0x1f }
            }
            [0xc1, well_known, 0, 0, 0, 0, 0, 0] => Addressing::WellKnown(well_known),
            [0xd2, a, b, c, 0, 0, 0, 0] => {
                Addressing::ExtendedFlat(u32::from_be_bytes([0, a, b, c]))
            }
            _ => Addressing::Other,
        }
    }

    /// The number, when it is one: peripheral, flat or extended flat.
    #[must_use]
    pub fn number(self) -> Option<u32> {
        match self.addressing() {
            Addressing::Peripheral(number) => Some(u32::from(number)),
            Addressing::Flat(number) => Some(u32::from(number)),
            Addressing::ExtendedFlat(number) => Some(number),
            Addressing::LogicalUnit { .. } | Addressing::WellKnown(_) | Addressing::Other => None,
        }
    }

    /// Whether both name the same unit: the same bytes, or one number in two forms, as `0001…` and
    /// `4001…`.
    #[must_use]
    pub fn is_same_unit(self, other: Self) -> bool {
        self == other || self.number().is_some_and(|number| other.number() == Some(number))
    }

    /// Whether it names a well-known logical unit: no disk.
    #[must_use]
    pub fn is_well_known(self) -> bool {
        matches!(self.addressing(), Addressing::WellKnown(_))
    }
}

/// A plain number where there is one, else the groups of RFC 4173 §5.
impl fmt::Display for LogicalUnitNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = self.number() {
            return fmt::Display::fmt(&number, f);
        }
        let (groups, _) = self.0.as_chunks::<2>();
        for (index, &group) in groups.iter().enumerate() {
            if index > 0 {
                f.write_str("-")?;
            }
            write!(f, "{:04x}", u16::from_be_bytes(group))?;
        }
        Ok(())
    }
}

/// A text that is no logical unit number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotALun;

impl fmt::Display for NotALun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a logical unit number is up to four groups of hex digits, as in 4752-3a4f-0-1")
    }
}

impl core::error::Error for NotALun {}

/// The form of RFC 4173 §5: up to four groups of up to four hex digits, trailing groups of zeros
/// left out.
impl FromStr for LogicalUnitNumber {
    type Err = NotALun;

    fn from_str(text: &str) -> Result<Self, NotALun> {
        let mut bytes = [0; 8];
        let (places, _) = bytes.as_chunks_mut::<2>();
        let mut places = places.iter_mut();
        for group in text.as_bytes().split(|byte| *byte == b'-') {
            let place = places.next().ok_or(NotALun)?;
            if group.is_empty() || group.len() > 4 {
                return Err(NotALun);
            }
            let number = group.iter().try_fold(0, |number: u16, digit| {
                let digit = char::from(*digit).to_digit(16).ok_or(NotALun)?;
                Ok(number << 4 | u16::try_from(digit).map_err(|_| NotALun)?)
            })?;
            *place = number.to_be_bytes();
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn four_methods_decode() {
        let lun = |b0, b1| LogicalUnitNumber::from_bytes([b0, b1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(lun(0, 255).addressing(), Addressing::Peripheral(255));
        assert_eq!(lun(0x41, 0x2c).addressing(), Addressing::Flat(300));
        assert_eq!(
            lun(0x83, 0x45).addressing(),
            Addressing::LogicalUnit { target: 3, bus: 2, lun: 5 }
        );
        assert_eq!(lun(0xc1, 1).addressing(), Addressing::WellKnown(1));
        assert!(lun(0xc1, 1).is_well_known());
        let extended = LogicalUnitNumber::from_bytes([0xd2, 1, 2, 3, 0, 0, 0, 0]);
        assert_eq!(extended.number(), Some(0x01_0203));
        let two_levels = LogicalUnitNumber::from_bytes([0, 1, 0, 2, 0, 0, 0, 0]);
        assert_eq!(two_levels.addressing(), Addressing::Other);
        assert_eq!(lun(1, 2).addressing(), Addressing::Other, "peripheral on another bus");
    }

    #[test]
    fn numbers_go_there_and_back() {
        for number in [0, 1, 255, 256, 300, 0x3fff] {
            let lun = LogicalUnitNumber::from_number(number).unwrap();
            assert_eq!(lun.number(), Some(u32::from(number)));
            assert_eq!(lun.to_string(), number.to_string());
        }
        assert_eq!(LogicalUnitNumber::from_number(0x4000), None);
    }

    #[test]
    fn one_number_in_two_forms_is_one_unit() {
        let lun =
            |bytes: [u8; 2]| LogicalUnitNumber::from_bytes([bytes[0], bytes[1], 0, 0, 0, 0, 0, 0]);
        assert!(lun([0, 1]).is_same_unit(lun([0x40, 1])));
        assert!(!lun([0, 1]).is_same_unit(lun([0x40, 2])));
        assert!(lun([0x80, 1]).is_same_unit(lun([0x80, 1])));
        assert!(!lun([0x80, 1]).is_same_unit(lun([0x81, 1])), "neither is a number");
    }

    #[test]
    fn boot_text_is_read_and_written() {
        let lun: LogicalUnitNumber = "4752-3A4F-6b7e-2F99".parse().unwrap();
        assert_eq!(lun.to_bytes(), [0x47, 0x52, 0x3a, 0x4f, 0x6b, 0x7e, 0x2f, 0x99]);
        assert_eq!(lun.to_string(), "4752-3a4f-6b7e-2f99");
        assert_eq!("1".parse(), Ok(LogicalUnitNumber::from_number(1).unwrap()));
        for bad in ["", "-", "1-", "12345", "0x1", "+1", "g", "1-2-3-4-5", "1 "] {
            assert_eq!(bad.parse::<LogicalUnitNumber>(), Err(NotALun), "{bad:?}");
        }
    }
}
