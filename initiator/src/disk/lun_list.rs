//! Which logical units are looked at: what the target lists, as far as there is room, and the
//! boot unit wherever it stands.

use heapless::Vec;

use crate::scsi::lun::LogicalUnitNumber;
use crate::scsi::report_luns::ListReader;

/// What is asked for at first: 511 units.
const FIRST_ALLOCATION: u32 = 4096;
/// More than any target has: 65536 units.
const LARGEST_ALLOCATION: u32 = 8 + 8 * 65_536;

/// Logical units to look at, in the target's order.
#[derive(Debug)]
pub(super) struct LunList<const LUNS: usize> {
    boot: LogicalUnitNumber,
    /// The boot unit as the target writes it.
    boot_as_listed: Option<LogicalUnitNumber>,
    units: Vec<LogicalUnitNumber, LUNS>,
    reader: ListReader,
    allocation: u32,
    /// Units that the list names, those without room here included.
    listed: u32,
}

impl<const LUNS: usize> LunList<LUNS> {
    pub(super) fn new(boot: LogicalUnitNumber) -> Self {
        Self {
            boot,
            boot_as_listed: None,
            units: Vec::new(),
            reader: ListReader::new(),
            allocation: FIRST_ALLOCATION,
            listed: 0,
        }
    }

    /// ALLOCATION LENGTH of the next REPORT LUNS.
    pub(super) fn allocation(&self) -> u32 {
        self.allocation
    }

    /// Takes a part of the list. One at offset 0 starts it again: the command was issued again.
    pub(super) fn take(&mut self, offset: u32, bytes: &[u8]) {
        if offset == 0 {
            self.forget();
        }
        let Self { boot, boot_as_listed, units, listed, reader, .. } = self;
        reader.take(bytes, |lun| {
            *listed = listed.saturating_add(1);
            if lun == *boot || (boot_as_listed.is_none() && lun.is_same_unit(*boot)) {
                *boot_as_listed = Some(lun);
            }
            if !units.contains(&lun) {
                // What has no room is not looked at, unless it is the boot unit.
                let _ = units.push(lun);
            }
        });
    }

    /// The list is over after `moved` bytes. Returns whether it must be asked for again, with room
    /// for all of it.
    pub(super) fn ended(&mut self, moved: u32) -> bool {
        if moved < self.reader.position() {
            // What came belongs to an issue of the command before the last.
            self.forget();
        }
        let whole = self.reader.whole().unwrap_or(0);
        let is_cut = whole > self.allocation && self.reader.position() >= self.allocation;
        if is_cut && self.allocation < LARGEST_ALLOCATION {
            // At least twice as much, so that a list that grows meanwhile is caught up with.
            self.allocation = whole.max(self.allocation.saturating_mul(2)).min(LARGEST_ALLOCATION);
            return true;
        }
        if self.units.is_full() {
            log::warn!("the target lists {} logical units; there is room for {LUNS}", self.listed);
        }
        if self.units.is_empty() {
            let _ = self.units.push(LogicalUnitNumber::ZERO);
        }
        self.make_room_for_boot();
        false
    }

    /// There is no list: only the boot unit is looked at.
    pub(super) fn without(&mut self) {
        self.forget();
        self.make_room_for_boot();
    }

    /// The boot unit in the target's form.
    pub(super) fn boot(&self) -> LogicalUnitNumber {
        self.boot_as_listed.unwrap_or(self.boot)
    }

    /// Whether the target listed the boot unit.
    pub(super) fn lists_boot(&self) -> bool {
        self.boot_as_listed.is_some()
    }

    pub(super) fn units(&self) -> &[LogicalUnitNumber] {
        &self.units
    }

    fn forget(&mut self) {
        self.reader = ListReader::new();
        self.units.clear();
        self.boot_as_listed = None;
        self.listed = 0;
    }

    fn make_room_for_boot(&mut self) {
        let boot = self.boot();
        if !self.units.contains(&boot) {
            if self.units.is_full() {
                let _ = self.units.pop();
            }
            let _ = self.units.push(boot);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn lun(number: u16) -> LogicalUnitNumber {
        LogicalUnitNumber::from_number(number).unwrap()
    }

    fn list(numbers: impl IntoIterator<Item = u16>) -> Vec<u8> {
        let entries: Vec<u8> =
            numbers.into_iter().flat_map(|number| lun(number).to_bytes()).collect();
        [&(entries.len() as u32).to_be_bytes()[..], &[0; 4], &entries].concat()
    }

    #[test]
    fn a_cut_list_is_asked_for_again_with_room_for_all_of_it() {
        let mut luns = LunList::<4>::new(lun(999));
        let data = list(0..1000);
        luns.take(0, &data[..4096]);
        assert!(luns.ended(4096));
        assert_eq!(luns.allocation(), 8192);
        luns.take(0, &data);
        assert!(!luns.ended(8008));
        assert_eq!(luns.units(), [lun(0), lun(1), lun(2), lun(999)]);
        assert!(luns.lists_boot());
    }

    #[test]
    fn a_length_that_lies_is_not_followed() {
        let mut luns = LunList::<4>::new(lun(0));
        let mut data = list([1]);
        data[..4].copy_from_slice(&0xffff_fff8u32.to_be_bytes());
        luns.take(0, &data);
        assert!(!luns.ended(16), "fewer bytes came than were asked for");
        assert_eq!(luns.units(), [lun(1), lun(0)]);
        assert!(!luns.lists_boot());
    }

    #[test]
    fn the_first_issue_of_a_command_leaves_nothing_behind() {
        let mut luns = LunList::<4>::new(lun(2));
        luns.take(0, &list([1, 2]));
        luns.take(0, &list([3]));
        assert!(!luns.ended(16));
        assert_eq!(luns.units(), [lun(3), lun(2)]);
        luns.take(0, &list([1, 2]));
        assert!(!luns.ended(0), "the second issue brought nothing");
        assert_eq!(luns.units(), [lun(0), lun(2)]);
        assert!(!luns.lists_boot());
    }

    #[test]
    fn the_boot_unit_is_taken_in_the_targets_form_and_exactly_if_there_are_both() {
        let flat = LogicalUnitNumber::from_bytes([0x40, 1, 0, 0, 0, 0, 0, 0]);
        let mut luns = LunList::<4>::new(lun(1));
        let mut data = list([0, 1]);
        data[16] = 0x40;
        luns.take(0, &data);
        luns.ended(24);
        assert_eq!((luns.boot(), luns.units()), (flat, &[lun(0), flat][..]));
        let mut both = list([0, 1, 1]);
        both[16] = 0x40;
        luns.take(0, &both);
        luns.ended(32);
        assert_eq!(luns.boot(), lun(1));
    }
}
