//! REPORT LUNS parameter data (SPC-4 §6.33), read as it comes: a list may be longer than any
//! buffer.

use super::lun::LogicalUnitNumber;

/// Bytes before the first entry.
const HEADER: u32 = 8;

/// Reads a list in pieces of any size: as many entries as its length says and as came whole.
#[derive(Clone, Debug, Default)]
pub struct ListReader {
    /// Header or entry that has come in part.
    partial: [u8; 8],
    /// Bytes taken so far, none of them beyond the list's own length.
    position: u32,
    /// LUN LIST LENGTH in bytes, once the header has come.
    list_length: Option<u32>,
}

impl ListReader {
    /// Nothing has come yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { partial: [0; 8], position: 0, list_length: None }
    }

    /// Takes the next bytes and hands on each logical unit that they complete.
    ///
    /// Well-known logical units are left out: they are no disks.
    pub fn take(&mut self, bytes: &[u8], mut each: impl FnMut(LogicalUnitNumber)) {
        for &byte in bytes {
            if self.list_length.is_some_and(|length| self.position >= HEADER.saturating_add(length))
            {
                return;
            }
            let [_, b1, b2, b3, b4, b5, b6, b7] = self.partial;
            self.partial = [b1, b2, b3, b4, b5, b6, b7, byte];
            self.position = self.position.saturating_add(1);
            if !self.position.is_multiple_of(8) {
                continue;
            }
            if self.list_length.is_none() {
                let [l0, l1, l2, l3, ..] = self.partial;
                self.list_length = Some(u32::from_be_bytes([l0, l1, l2, l3]));
                continue;
            }
            let lun = LogicalUnitNumber::from_bytes(self.partial);
            if !lun.is_well_known() {
                each(lun);
            }
        }
    }

    /// Bytes of the list, header included, that have come.
    #[must_use]
    pub const fn position(&self) -> u32 {
        self.position
    }

    /// The ALLOCATION LENGTH that takes the whole list, when the header has come.
    #[must_use]
    pub fn whole(&self) -> Option<u32> {
        self.list_length.map(|length| length.saturating_add(HEADER))
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// What is read, however the bytes are cut.
    #[track_caller]
    fn numbers(data: &[u8]) -> Vec<u32> {
        let read = |piece| {
            let (mut reader, mut found) = (ListReader::new(), Vec::new());
            for bytes in data.chunks(piece) {
                reader.take(bytes, |lun| found.extend(lun.number()));
            }
            found
        };
        let whole = read(usize::MAX);
        for piece in 1..=data.len() {
            assert_eq!(read(piece), whole, "pieces of {piece}");
        }
        whole
    }

    const TWO: [u8; 24] =
        [0, 0, 0, 16, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0x41, 0, 0, 0, 0, 0, 0, 0];

    #[test]
    fn the_list_is_read_in_pieces_of_any_size() {
        assert_eq!(numbers(&TWO), [3, 256]);
    }

    #[test]
    fn a_length_beyond_what_came_is_bounded_by_what_came() {
        let mut data = TWO;
        data[..4].copy_from_slice(&u32::MAX.to_be_bytes());
        assert_eq!(numbers(&data), [3, 256]);
        assert_eq!(numbers(&data[..20]), [3], "an entry cut in the middle is none");
        let mut reader = ListReader::new();
        reader.take(&data, |_| {});
        assert_eq!(reader.whole(), Some(u32::MAX));
    }

    #[test]
    fn bytes_beyond_the_length_are_no_entries() {
        let mut data = TWO;
        data[3] = 8;
        assert_eq!(numbers(&data), [3]);
        data[3] = 12;
        assert_eq!(numbers(&data), [3]);
        data[3] = 7;
        assert_eq!(numbers(&data), []);
    }

    #[test]
    fn too_short_a_header_is_an_empty_list() {
        assert_eq!(numbers(&TWO[..7]), []);
        assert_eq!(numbers(&[]), []);
        let mut reader = ListReader::new();
        reader.take(&TWO[..7], |_| {});
        assert_eq!((reader.whole(), reader.position()), (None, 7));
    }

    #[test]
    fn well_known_units_are_left_out() {
        let mut data = TWO;
        data[8..10].copy_from_slice(&[0xc1, 0x01]);
        assert_eq!(numbers(&data), [256]);
    }
}
