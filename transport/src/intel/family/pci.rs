//! 8254x: PCI and PCI-X, legacy descriptors (8254x Family of Gigabit Ethernet Controllers
//! Software Developer's Manual; §§ are its).

use core::time::Duration;

use super::{
    BELOW_4_GIB, COPPER_GAP, DriverLoaded, Eeprom, EepromDone, Format, Lock, PAUSE_TIME,
    PacketMemory, PhyBus, PhyCare, PhyReset, Quirks, ResetBy, Veto, frame,
};
use crate::intel::interrupt::Design;

/// What the whole generation has in common: the 82540.
pub(super) const I82540: Quirks = Quirks {
    // A 64-bit address goes out as a dual address cycle, which not every bridge forwards.
    highest_address: BELOW_4_GIB,
    express: false,
    link_power_states_off: 0,
    format: Format::Legacy,
    most_descriptors: 4096,
    segmentation: true,
    longest_frame: frame::JUMBO_PCI,
    receive_addresses: 15,
    spare_receive_address: false,
    multicast_words: 128,
    lock: Lock::None,
    elects: false,
    reset_lock: Lock::None,
    driver_loaded: DriverLoaded::Nowhere,
    phy_reset_veto: Veto::Nobody,
    // The part cannot finish the memory write that resets it (82540EM specification update).
    reset_by: ResetBy::Ports,
    phy_reset: PhyReset::Apart,
    reset_wait: Duration::from_millis(5),
    reload_eeprom: false,
    eeprom_done: EepromDone::Silent,
    flash_wait: Duration::ZERO,
    phy_configured_bit: false,
    packet_buffer_size: 0,
    eeprom: Eeprom::Eerd,
    second_port_inverts: false,
    alternate_address: false,
    phy_bus: PhyBus::Mdic,
    phy_care: PhyCare::None,
    assumed_phy: 0,
    ultra_low_power: false,
    late_k1_exit: false,
    link_settles: false,
    link_bias: false,
    no_auto_speed_detection: false,
    ctrl_clear: 0,
    ctrl_set: 0,
    ctrl_ext: (0, 0),
    status_clear: 0,
    // 48 of 64 (§13.4.35).
    receive_kilobytes: 48,
    noise_offset: 0,
    packet_memory: PacketMemory::Pba,
    rfctl_set: 0,
    txdctl_set: 0,
    tarc0: (0, 0),
    tarc1: (0, 0),
    tarc0_speed_mode: false,
    gap: COPPER_GAP,
    pause_time: PAUSE_TIME,
    fixed_pause_address: false,
    no_pause_sent: false,
    gcr: (0, 0),
    gcr2_set: 0,
    correct_packet_memory: false,
    packet_memory_ecc: false,
    strips_per_queue: false,
    phy_power_management: false,
    energy_efficient: false,
    flush_receive_memory: false,
    wake_clock_on: false,
    interrupts: Design::I8254x,
    keep_receiver_until_reset: false,
    firmware_holds_registers: false,
    iosf_override: false,
    flush_rings: false,
};

/// 82543: no segmentation, no EERD, no MDIC (§13.4.4, §13.4.1: SWDPIN), 256 descriptors a ring.
pub(super) const I82543: Quirks = Quirks {
    most_descriptors: 256,
    segmentation: false,
    reset_by: ResetBy::Memory,
    reload_eeprom: true,
    eeprom: Eeprom::Microwire,
    phy_bus: PhyBus::Wires,
    ..I82540
};

/// 82544: no EERD either. On PCI-X it hangs at buffers that end in some places (82544 specification
/// update), and where the pieces of a frame end is not chosen here.
pub(super) const I82544: Quirks =
    Quirks { segmentation: false, reload_eeprom: true, eeprom: Eeprom::Microwire, ..I82540 };

/// 82545EM, 82546EB. Their buffers and rings must not cross 64 KiB, which aligned powers of two
/// never do.
pub(super) const I82545: Quirks = Quirks { second_port_inverts: true, ..I82540 };

/// 82545GM, 82546GB: the reset is finished at CTRL's second address (§13.4.2).
pub(super) const I82545_REV3: Quirks = Quirks { reset_by: ResetBy::Shadow, ..I82545 };

/// 82541EI: the PHY inside must be reset before the controller.
pub(super) const I82541: Quirks =
    Quirks { phy_reset: PhyReset::Before, reset_wait: Duration::from_millis(20), ..I82540 };

/// 82541ER, GI, PI.
pub(super) const I82541_REV2: Quirks = Quirks { phy_reset: PhyReset::Apart, ..I82541 };

/// 82547EI: on the chipset's own port, where a memory write does reset it; 30 of 40 KiB. Its transmit
/// memory must not wrap within a frame that is cut.
pub(super) const I82547: Quirks =
    Quirks { segmentation: false, reset_by: ResetBy::Memory, receive_kilobytes: 30, ..I82541 };

/// 82547GI.
pub(super) const I82547_REV2: Quirks = Quirks { phy_reset: PhyReset::Apart, ..I82547 };
