//! The name of a unit, the same through every port and for every host (SPC-4 §7.8.6).

use core::fmt;

use heapless::Vec;

use crate::scsi::inquiry::{Designator, DeviceIdentification};

/// Longest name kept, in bytes.
const LONGEST: usize = 64;

/// What a designator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityKind {
    /// NAA: an IEEE company's number for the unit.
    Naa,
    /// EUI-64, of 8, 12 or 16 bytes.
    Eui64,
    /// SCSI name string, such as one that begins with `iqn.`
    ScsiName,
    /// T10 vendor identification and what the vendor added.
    T10Vendor,
}

/// A name of the logical unit itself, not of a port or of the device around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What kind of name it is.
    pub kind: IdentityKind,
    /// The name as the unit tells it.
    pub bytes: Vec<u8, LONGEST>,
}

impl Identity {
    /// The best name on the page: made to be unique, and whole.
    pub(super) fn best(page: &DeviceIdentification<'_>) -> Option<Self> {
        let named = page.designators().filter(|designator| designator.association == 0);
        let ranked = named.filter_map(|designator| Some((rank(&designator)?, designator)));
        let (_, best) = ranked.min_by_key(|(rank, _)| *rank)?;
        let kind = kind(best.kind)?;
        let bytes = if kind == IdentityKind::ScsiName { text(best.bytes) } else { best.bytes };
        Some(Self { kind, bytes: Vec::from_slice(bytes).ok()? })
    }
}

/// `naa.6001405…`, `eui.…`, `t10.…` or the SCSI name string, as other systems write them.
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            IdentityKind::Naa => f.write_str("naa.")?,
            IdentityKind::Eui64 => f.write_str("eui.")?,
            IdentityKind::T10Vendor => f.write_str("t10.")?,
            IdentityKind::ScsiName => {}
        }
        let is_text = matches!(self.kind, IdentityKind::T10Vendor | IdentityKind::ScsiName);
        for &byte in &self.bytes {
            match byte {
                byte if !is_text => write!(f, "{byte:02x}")?,
                b' ' => f.write_str("_")?,
                byte if byte.is_ascii_graphic() => write!(f, "{}", char::from(byte))?,
                _ => f.write_str("?")?,
            }
        }
        Ok(())
    }
}

/// The lower, the better; `None` for what is no name, or too long to be kept whole.
fn rank(designator: &Designator<'_>) -> Option<u8> {
    let length = designator.bytes.len();
    let first = designator.bytes.first()? >> 4;
    Some(match (kind(designator.kind)?, first) {
        // Registered numbers are unique in the world, a locally assigned one (3h) is not.
        (IdentityKind::Naa, 0x6) if length == 16 => 0,
        (IdentityKind::Naa, 0x5 | 0x2) if length == 8 => 1,
        (IdentityKind::Eui64, _) if matches!(length, 8 | 12 | 16) => 2,
        (IdentityKind::ScsiName, _) if (1..=LONGEST).contains(&text(designator.bytes).len()) => 3,
        (IdentityKind::Naa, 0x3) if length == 8 => 4,
        (IdentityKind::T10Vendor, _) if (8..=LONGEST).contains(&length) => 5,
        _ => return None,
    })
}

fn kind(designator_type: u8) -> Option<IdentityKind> {
    Some(match designator_type {
        1 => IdentityKind::T10Vendor,
        2 => IdentityKind::Eui64,
        3 => IdentityKind::Naa,
        8 => IdentityKind::ScsiName,
        _ => return None,
    })
}

/// A SCSI name string ends with NULs.
fn text(bytes: &[u8]) -> &[u8] {
    bytes.iter().position(|&byte| byte == 0).and_then(|end| bytes.get(..end)).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};
    use std::vec::Vec;

    use super::*;

    /// The name on a page of these designators: association, type, bytes.
    fn best(designators: &[(u8, u8, &[u8])]) -> Option<String> {
        let mut page = Vec::from([0, 0x83, 0, 0]);
        for (association, kind, bytes) in designators {
            page.extend_from_slice(&[1, association << 4 | kind, 0, bytes.len() as u8]);
            page.extend_from_slice(bytes);
        }
        page[3] = (page.len() - 4) as u8;
        Identity::best(&DeviceIdentification::parse(&page).unwrap()).map(|name| name.to_string())
    }

    const NAA_6: &[u8] = &[0x60, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
    const NAA_5: &[u8] = &[0x50, 1, 2, 3, 4, 5, 6, 7];
    const NAA_3: &[u8] = &[0x30, 0, 0, 0, 0, 0, 0, 1];
    const EUI: &[u8] = &[1, 2, 3, 4, 5, 6, 7, 8];
    const NAME: &[u8] = b"iqn.2001-04.com.example:disk\0\0\0\0";
    const T10: &[u8] = b"VENDOR  disk 1";

    #[test]
    fn the_best_name_wins_wherever_it_stands() {
        let ranked: [(u8, &[u8], &str); 7] = [
            (3, NAA_6, "naa.600102030405060708090a0b0c0d0e0f"),
            (3, NAA_5, "naa.5001020304050607"),
            (3, &[0x20, 1, 2, 3, 4, 5, 6, 7], "naa.2001020304050607"),
            (2, EUI, "eui.0102030405060708"),
            (8, NAME, "iqn.2001-04.com.example:disk"),
            (3, NAA_3, "naa.3000000000000001"),
            (1, T10, "t10.VENDOR__disk_1"),
        ];
        for (at, &(kind, bytes, name)) in ranked.iter().enumerate() {
            assert_eq!(best(&[(0, kind, bytes)]).as_deref(), Some(name));
            let worse = ranked[at..].iter().rev().map(|&(kind, bytes, _)| (0, kind, bytes));
            let found = best(&worse.collect::<Vec<_>>()).unwrap();
            // Of two equally good ones the first.
            assert!(found == name || (at == 1 && found.starts_with("naa.2")), "{found}");
        }
    }

    #[test]
    fn names_of_ports_and_devices_are_not_the_units() {
        assert_eq!(best(&[(1, 3, NAA_6), (2, 8, NAME)]), None);
        assert_eq!(best(&[(1, 3, NAA_6), (0, 1, T10)]).unwrap(), "t10.VENDOR__disk_1");
        assert_eq!(best(&[]), None);
    }

    #[test]
    fn what_is_empty_odd_or_too_long_to_be_kept_whole_is_no_name() {
        for (kind, bytes) in [
            (3, &[][..]),
            (3, &NAA_6[..15]),
            (3, &[0xf0; 8]),
            (2, &EUI[..7]),
            (8, &[0; 8]),
            (1, b"SHORT"),
            (1, &[b'x'; 65]),
            (5, &[0, 0, 0, 1]),
        ] {
            assert_eq!(best(&[(0, kind, bytes)]), None, "{kind} {bytes:?}");
        }
    }
}
