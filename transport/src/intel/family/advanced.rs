//! 82575 to I211: advanced descriptors (82575, 82576, 82580, I350, I354, I210 and I211
//! datasheets).

use core::time::Duration;

use super::express::COMMON;
use super::{Eeprom, EepromDone, Format, Lock, PacketMemory, Quirks, frame};
use crate::intel::interrupt::Design;
use crate::intel::registers::rfctl;

/// What all of them have in common: the 82576.
pub(super) const I82576: Quirks = Quirks {
    format: Format::Advanced,
    longest_frame: frame::JUMBO_ADVANCED,
    receive_addresses: 24,
    lock: Lock::SwFwSync,
    eeprom_done: EepromDone::Wished,
    alternate_address: true,
    // Packet memory is RXPBS's matter.
    receive_kilobytes: 0,
    packet_memory: PacketMemory::Rxpbs,
    // IPv6 extension headers are parsed wrongly (82575 and 82576 specification updates).
    rfctl_set: rfctl::IPV6_EX_DIS,
    txdctl_set: 0,
    interrupts: Design::I82576,
    ..COMMON
};

/// 82575.
pub(super) const I82575: Quirks = Quirks {
    receive_addresses: 16,
    receive_kilobytes: 32,
    packet_memory: PacketMemory::Pba,
    flush_receive_memory: true,
    interrupts: Design::I82575,
    ..I82576
};

/// 82580, DH89xxCC.
pub(super) const I82580: Quirks = Quirks {
    alternate_address: false,
    // A reset of the whole device, and of a port, takes longer than before.
    reset_wait: Duration::from_millis(5),
    packet_memory: PacketMemory::RxpbsIndex,
    phy_power_management: true,
    ..I82576
};

/// I350.
pub(super) const I350: Quirks =
    Quirks { receive_addresses: 32, strips_per_queue: true, energy_efficient: true, ..I82580 };

/// I354.
pub(super) const I354: Quirks = I350;

/// I210.
pub(super) const I210: Quirks = Quirks {
    receive_addresses: 16,
    eeprom: Eeprom::EerdOrFuses,
    packet_memory: PacketMemory::Written,
    strips_per_queue: true,
    energy_efficient: true,
    ..I82580
};

/// I211.
pub(super) const I211: Quirks = I210;
