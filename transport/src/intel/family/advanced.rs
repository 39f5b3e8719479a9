//! 82575 to I211: advanced descriptors (82575, 82576, 82580, I350, I354, I210 and I211
//! datasheets).

use super::express::COMMON;
use super::{Eeprom, EepromDone, Format, Lock, Quirks, frame};
use crate::intel::interrupt::Design;

/// What all of them have in common: the 82576.
pub(super) const I82576: Quirks = Quirks {
    format: Format::Advanced,
    longest_frame: frame::JUMBO_ADVANCED,
    receive_addresses: 24,
    lock: Lock::SwFwSync,
    eeprom_done: EepromDone::Wished,
    alternate_address: true,
    txdctl_set: 0,
    interrupts: Design::I82576,
    ..COMMON
};

/// 82575.
pub(super) const I82575: Quirks =
    Quirks { receive_addresses: 16, receive_kilobytes: 32, interrupts: Design::I82575, ..I82576 };

/// 82580, DH89xxCC.
pub(super) const I82580: Quirks = Quirks { alternate_address: false, ..I82576 };

/// I350.
pub(super) const I350: Quirks = Quirks { receive_addresses: 32, ..I82580 };

/// I354.
pub(super) const I354: Quirks = I350;

/// I210.
pub(super) const I210: Quirks =
    Quirks { receive_addresses: 16, eeprom: Eeprom::EerdOrFuses, ..I82580 };

/// I211.
pub(super) const I211: Quirks = I210;
