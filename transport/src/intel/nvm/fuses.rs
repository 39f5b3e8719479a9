//! Words in the fuses of an I210 without flash, and of every I211 (I210 §3.4).

use crate::hal::Hal;
use crate::intel::registers::{INVM, Registers};

/// How many 32-bit records there are.
const RECORDS: u32 = 64;

/// The word at `address`, if a record of the fuses sets it.
pub(super) fn word<H: Hal>(registers: &Registers<H>, address: u8) -> Option<u16> {
    let mut index = 0;
    while index < RECORDS {
        let record = registers.read(INVM.nth(index, 4));
        match Record::of(record) {
            Record::End => return None,
            Record::Word { address: at, data } if at == address => return Some(data),
            Record::Word { .. } | Record::Other => index = index.saturating_add(1),
            Record::Long(more) => index = index.saturating_add(1).saturating_add(more),
        }
    }
    None
}

#[derive(Debug, PartialEq, Eq)]
enum Record {
    /// Nothing was burnt from here on.
    End,
    /// One word.
    Word { address: u8, data: u16 },
    /// So many more records belong to it.
    Long(u32),
    /// One that says nothing about words.
    Other,
}

impl Record {
    /// Type in bits 2:0, address in 15:9, data in 31:16.
    fn of(record: u32) -> Self {
        match record & 7 {
            0 => Self::End,
            1 => Self::Word { address: (record >> 9 & 0x7f) as u8, data: (record >> 16) as u16 },
            // A register and its value.
            2 => Self::Long(1),
            // An RSA key's SHA-256.
            4 => Self::Long(8),
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        assert_eq!(Record::of(0), Record::End);
        assert_eq!(Record::of(0x1234_0201), Record::Word { address: 1, data: 0x1234 });
        assert_eq!(Record::of(0xffff_fffa), Record::Long(1));
        assert_eq!(Record::of(4), Record::Long(8));
        assert_eq!(Record::of(7), Record::Other);
    }
}
