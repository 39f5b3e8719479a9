//! 8257x, 82583 and 80003ES2LAN: PCI Express (82571EB/82572EI Software Developer's Manual,
//! 82573 and 82574 datasheets, 631xESB/632xESB manual).

use core::time::Duration;

use super::pci::I82540;
use super::{
    COUNT_DESC, DriverLoaded, Eeprom, EepromDone, Format, Lock, PhyCare, Quirks, ResetBy, Veto,
    frame, tarc,
};
use crate::intel::interrupt::Design;
use crate::intel::registers::rfctl;

/// L0s and L1.
const ALL_LINK_POWER_STATES: u8 = 3;
const L1: u8 = 2;

/// What all of them have in common.
pub(super) const COMMON: Quirks = Quirks {
    highest_address: u64::MAX,
    express: true,
    // The format whose write-back carries everything, and the one that other drivers have given
    // these parts for a decade: what the specification updates say of descriptors is about it.
    format: Format::Extended,
    longest_frame: frame::JUMBO,
    lock: Lock::Swsm,
    driver_loaded: DriverLoaded::CtrlExt,
    phy_reset_veto: Veto::Manc,
    reset_by: ResetBy::Memory,
    // Registers may be read after 1 µs (8254x §13.4.1); RST, and then AUTO_RD, tell when it is over.
    reset_wait: Duration::from_millis(1),
    eeprom_done: EepromDone::Required,
    eeprom: Eeprom::Eerd,
    no_auto_speed_detection: true,
    txdctl_set: COUNT_DESC,
    interrupts: Design::I8257x,
    ..I82540
};

/// 82571EB.
pub(super) const I82571: Quirks = Quirks {
    // The reset of one port clears the other's first receive address.
    spare_receive_address: true,
    alternate_address: true,
    correct_packet_memory: true,
    ..I82572
};

/// 82572EI.
pub(super) const I82572: Quirks = Quirks {
    // Completions are lost while the link leaves L1 (82571/82572 specification update).
    link_power_states_off: L1,
    elects: true,
    phy_configured_bit: true,
    assumed_phy: IGP_OF_82571,
    ctrl_ext: (DMA_DYN_CLK_EN, 0),
    receive_kilobytes: 32,
    rfctl_set: rfctl::IPV6_EX_DIS | rfctl::NEW_IPV6_EXT_DIS,
    tarc0: (tarc::MULTIPLE_REQUESTS, 0xf << 23),
    tarc1: (3 << 29, 1 << 22 | 7 << 24 | tarc::SINGLE_REQUEST),
    tarc0_speed_mode: true,
    ..COMMON
};

/// 82573. Nobody had one to try segmentation on, and its packet memory is small.
pub(super) const I82573: Quirks = Quirks {
    segmentation: false,
    longest_frame: frame::STANDARD,
    reset_lock: Lock::MdioOwnership,
    driver_loaded: DriverLoaded::Swsm,
    eeprom_done: EepromDone::Wished,
    receive_kilobytes: 12,
    rfctl_set: rfctl::IPV6_EX_DIS | rfctl::NEW_IPV6_EXT_DIS,
    tarc0: (tarc::MULTIPLE_REQUESTS, 0),
    ..SMALL
};

/// 82574.
pub(super) const I82574: Quirks = Quirks {
    lock: Lock::MdioOwnership,
    reset_lock: Lock::MdioOwnership,
    eeprom_done: EepromDone::Wished,
    receive_kilobytes: 20,
    tarc0: (tarc::MULTIPLE_REQUESTS, 1 << 26),
    // Completions that come back damaged with link power states on stop transmission (82574
    // specification update): GCR and GCR2.
    gcr: (0, 1 << 22 | 1 << 27),
    gcr2_set: 1,
    interrupts: Design::I82574,
    keep_receiver_until_reset: true,
    ..SMALL
};

/// 82583.
pub(super) const I82583: Quirks = I82574;

/// What 82573, 82574 and 82583 share: flash behind the EEPROM's registers, and bits which the
/// specification updates give without a name.
const SMALL: Quirks = Quirks {
    link_power_states_off: ALL_LINK_POWER_STATES,
    flash_wait: Duration::from_millis(25),
    ctrl_clear: 1 << 29,
    ctrl_ext: (1 << 23, 1 << 22),
    ..COMMON
};

/// 80003ES2LAN. Nobody had one to try segmentation on.
pub(super) const I80003: Quirks = Quirks {
    segmentation: false,
    lock: Lock::SwFwSync,
    reset_lock: Lock::SwFwSync,
    phy_configured_bit: true,
    alternate_address: true,
    phy_care: PhyCare::Gg82563,
    receive_kilobytes: 32,
    rfctl_set: rfctl::IPV6_EX_DIS | rfctl::NEW_IPV6_EXT_DIS,
    // Both queues in unweighted turns.
    tarc0: (tarc::MULTIPLE_REQUESTS, 1),
    tarc1: (0, 1 | tarc::SINGLE_REQUEST),
    // IPGT 8, IPGR1 2, IPGR2 7.
    gap: 0x0070_2008,
    pause_time: 0xffff,
    ..COMMON
};

/// What the PHY inside 82571 and 82572 would say.
const IGP_OF_82571: u32 = 0x02a8_0380;
/// CTRL_EXT.DMA_DYN_CLK_EN: clock gating which loses descriptors.
const DMA_DYN_CLK_EN: u32 = 1 << 19;
