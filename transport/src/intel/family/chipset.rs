//! The controllers inside ICH and PCH chipsets (I/O Controller Hub 8/9/10 GbE manuals, 82577,
//! 82578, 82579, I217, I218 and I219 datasheets).

use core::time::Duration;

use super::express::COMMON;
use super::{Eeprom, EepromDone, Lock, PhyBus, PhyCare, PhyReset, Quirks, Veto, frame, tarc};
use crate::intel::registers::{rfctl, status};

/// What all of them have in common: ICH9.
pub(super) const ICH9: Quirks = Quirks {
    // I219 cuts segments at six tenths of the wire's speed, and no emulator has these parts.
    segmentation: false,
    receive_addresses: 7,
    multicast_words: 32,
    lock: Lock::SwFlag,
    reset_lock: Lock::SwFlag,
    phy_reset_veto: Veto::Fwsm,
    phy_reset: PhyReset::Together,
    // No register may be read before: the chipset would hang.
    reset_wait: Duration::from_millis(20),
    eeprom_done: EepromDone::Wished,
    eeprom: Eeprom::ChipsetFlash,
    phy_bus: PhyBus::MdicScanned,
    ctrl_ext: (0, 1 << 22 | RO_DIS),
    status_clear: status::PHYRA,
    link_bias: true,
    receive_kilobytes: 10,
    fixed_pause_address: true,
    // NFS filters damage descriptors (ICH8 specification update).
    rfctl_set: rfctl::NFSW_DIS | rfctl::NFSR_DIS,
    tarc0: (0, 3 << 23 | 3 << 26),
    tarc1: (0, 1 << 24 | 1 << 26 | tarc::SINGLE_REQUEST | 1 << 30),
    gcr: (NO_SNOOP_ALL, 0),
    ..COMMON
};

/// ICH8.
pub(super) const ICH8: Quirks = Quirks {
    longest_frame: frame::STANDARD,
    receive_addresses: 6,
    // Its packet memory loses bits unless both halves are 8 KiB.
    packet_buffer_size: 16,
    // Bit 31 has no name; drivers clear it.
    status_clear: 1 << 31 | status::PHYRA,
    receive_kilobytes: 8,
    rfctl_set: rfctl::NFSW_DIS | rfctl::NFSR_DIS | rfctl::IPV6_EX_DIS | rfctl::NEW_IPV6_EXT_DIS,
    tarc0: (0, 3 << 23 | 0xf << 26),
    // These bits mean the opposite here: set, memory is snooped.
    gcr: (0, NO_SNOOP_ALL),
    ..ICH9
};

/// ICH10: the reset says when it is done.
pub(super) const ICH10: Quirks = Quirks {
    eeprom_done: EepromDone::LanInitDone,
    status_clear: status::PHYRA | status::LAN_INIT_DONE,
    ..ICH9
};

/// 82577, 82578.
pub(super) const PCH: Quirks = Quirks {
    longest_frame: frame::FOUR_KILOBYTES,
    phy_bus: PhyBus::MdicTwoAddresses,
    phy_care: PhyCare::Pch,
    link_settles: true,
    ctrl_ext: (0, PHYPDEN | 1 << 22 | RO_DIS),
    receive_kilobytes: 26,
    noise_offset: 0x6565_6565,
    no_pause_sent: true,
    ..ICH10
};

/// 82579.
pub(super) const PCH2: Quirks = Quirks {
    longest_frame: frame::JUMBO,
    // The others belong to the management engine.
    receive_addresses: 1,
    phy_care: PhyCare::Pch2,
    link_settles: false,
    pause_time: 0x0650,
    no_pause_sent: false,
    noise_offset: 0,
    firmware_holds_registers: true,
    ..PCH
};

/// I217, I218.
pub(super) const LPT: Quirks = Quirks {
    phy_care: PhyCare::Lpt,
    ctrl_set: MEHE,
    packet_memory_ecc: true,
    pause_time: super::PAUSE_TIME,
    firmware_holds_registers: false,
    ..PCH2
};

/// I218 with ultra low power.
pub(super) const LPT_LP: Quirks = Quirks { ultra_low_power: true, ..LPT };

/// I219 of the 100 and 200 series.
pub(super) const SPT: Quirks = Quirks {
    phy_care: PhyCare::Spt,
    // With three requests under way transmission stops: two.
    tarc0: (3 << 28, 3 << 23 | 3 << 26 | 2 << 28),
    iosf_override: true,
    flush_rings: true,
    ..LPT_LP
};

/// I219 of the 300 and 400 series.
pub(super) const CNP: Quirks = Quirks { tarc0: ICH9.tarc0, iosf_override: false, ..SPT };

/// I219 of the 500 to 700 series.
pub(super) const TGP: Quirks = Quirks { wake_clock_on: true, ..CNP };

/// I219 of Meteor Lake to Arrow Lake.
pub(super) const MTP: Quirks = Quirks { late_k1_exit: true, ..CNP };

/// I219 of Panther Lake and later: no dynamic power gating.
pub(super) const PTP: Quirks = Quirks { ctrl_ext: (DPG_EN, PHYPDEN | 1 << 22 | RO_DIS), ..MTP };

/// CTRL_EXT.DPG_EN: dynamic power gating.
const DPG_EN: u32 = 1 << 3;
/// CTRL_EXT.RO_DIS: no relaxed ordering.
const RO_DIS: u32 = 1 << 17;
/// CTRL_EXT.PHYPDEN: the PHY sleeps when the controller does.
const PHYPDEN: u32 = 1 << 20;
/// CTRL.MEHE: memory errors are handled.
const MEHE: u32 = 1 << 19;
/// The six no-snoop bits of GCR: descriptors and data, both ways.
const NO_SNOOP_ALL: u32 = 0x3f;
