//! REPORT LUNS parameter data (SPC-4 §6.33).

use super::lun::LogicalUnitNumber;

/// The logical units in the list: as many as its length says and as came.
///
/// Well-known logical units are left out: they are no disks.
pub fn luns(parameter_data: &[u8]) -> impl Iterator<Item = LogicalUnitNumber> + '_ {
    let (length, list) = match parameter_data.split_first_chunk::<8>() {
        Some((&[l0, l1, l2, l3, ..], list)) => (u32::from_be_bytes([l0, l1, l2, l3]), list),
        None => (0, &[][..]),
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX).min(list.len());
    let (entries, _) = list.get(..length).unwrap_or_default().as_chunks::<8>();
    entries.iter().map(|&entry| LogicalUnitNumber::from_bytes(entry)).filter(|l| !l.is_well_known())
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn numbers(data: &[u8]) -> Vec<u32> {
        luns(data).filter_map(LogicalUnitNumber::number).collect()
    }

    const TWO: [u8; 24] =
        [0, 0, 0, 16, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0x41, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn the_list_is_read() {
        assert_eq!(numbers(&TWO), [3, 256]);
    }

    #[test]
    fn a_length_beyond_what_came_is_bounded_by_what_came() {
        let mut data = TWO;
        data[..4].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(numbers(&data), [3, 256]);
        assert_eq!(numbers(&data[..20]), [3], "an entry cut in the middle is none");
    }

    #[test]
    fn bytes_beyond_the_length_are_no_entries() {
        let mut data = TWO;
        data[3] = 8;
        assert_eq!(numbers(&data), [3]);
        data[3] = 7;
        assert_eq!(numbers(&data), []);
    }

    #[test]
    fn too_short_a_header_is_an_empty_list() {
        assert_eq!(numbers(&TWO[..7]), []);
        assert_eq!(numbers(&[]), []);
    }

    #[test]
    fn well_known_units_are_left_out() {
        let mut data = TWO;
        data[8..10].copy_from_slice(&[0xc1, 0x01]);
        assert_eq!(numbers(&data), [256]);
    }
}
