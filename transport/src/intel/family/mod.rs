//! How the families differ in the sequences that all of them share.
//!
//! One [`Quirks`] per family, in a file per generation: [`pci`] (8254x), [`express`] (8257x and
//! their kin), [`chipset`] (ICH and PCH) and [`advanced`] (82575 to I211). A new part of a known
//! family is only a row in [`ids`](crate::intel::ids).

pub mod advanced;
pub mod chipset;
pub mod express;
pub mod pci;

use core::time::Duration;

use crate::intel::descriptor::Format;
use crate::intel::interrupt::Design;

/// Parts which are programmed alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// 82543: the first with today's register layout; its PHY's bus is made of CTRL bits.
    I82543,
    /// 82544: PCI-X, reloads its EEPROM only when asked to.
    I82544,
    /// 82540: PCI.
    I82540,
    /// 82545EM, 82546EB: PCI-X.
    I82545,
    /// 82545GM, 82546GB: PCI-X, revision 3 of the two before.
    I82545Rev3,
    /// 82541EI, 82541ER LOM: PCI, IGP PHY inside.
    I82541,
    /// 82541ER, 82541GI, 82541PI: revision 2.
    I82541Rev2,
    /// 82547EI: as 82541, on the chipset's own port (CSA).
    I82547,
    /// 82547GI: revision 2.
    I82547Rev2,
    /// 82571EB: PCI Express, two ports.
    I82571,
    /// 82572EI: PCI Express, one port.
    I82572,
    /// 82573: PCI Express for desktops, flash behind the EEPROM's registers.
    I82573,
    /// 82574: PCI Express, two queues, MSI-X.
    I82574,
    /// 82583: 82574 without MSI-X.
    I82583,
    /// 80003ES2LAN (ESB2): two ports in a server chipset.
    I80003,
    /// ICH8: 82566, 82562V.
    Ich8,
    /// ICH9, and those of ICH10 that are alike: 82566-2, 82567, 82562-2.
    Ich9,
    /// ICH10: 82567-3, 82567-4.
    Ich10,
    /// PCH of the 5 series: 82577, 82578.
    Pch,
    /// PCH of the 6 and 7 series: 82579.
    Pch2,
    /// PCH of the 8 and 9 series: I217, and the I218 that are alike.
    Lpt,
    /// PCH of the 8 and 9 series: I218 with ultra low power.
    LptLp,
    /// PCH of the 100 and 200 series and Lewisburg: I219.
    Spt,
    /// PCH of the 300 and 400 series: I219.
    Cnp,
    /// PCH of the 500 to 700 series: I219.
    Tgp,
    /// Meteor Lake to Arrow Lake: I219.
    Mtp,
    /// Panther Lake and later: I219.
    Ptp,
    /// 82575: the first with advanced descriptors.
    I82575,
    /// 82576.
    I82576,
    /// 82580 and DH89xxCC.
    I82580,
    /// I350.
    I350,
    /// I354: I350 inside an Atom C2000.
    I354,
    /// I210.
    I210,
    /// I211: I210 without flash.
    I211,
}

impl Family {
    /// Every family, in the order of their appearance.
    pub const ALL: &[Self] = &[
        Self::I82543,
        Self::I82544,
        Self::I82540,
        Self::I82545,
        Self::I82545Rev3,
        Self::I82541,
        Self::I82541Rev2,
        Self::I82547,
        Self::I82547Rev2,
        Self::I82571,
        Self::I82572,
        Self::I82573,
        Self::I82574,
        Self::I82583,
        Self::I80003,
        Self::Ich8,
        Self::Ich9,
        Self::Ich10,
        Self::Pch,
        Self::Pch2,
        Self::Lpt,
        Self::LptLp,
        Self::Spt,
        Self::Cnp,
        Self::Tgp,
        Self::Mtp,
        Self::Ptp,
        Self::I82575,
        Self::I82576,
        Self::I82580,
        Self::I350,
        Self::I354,
        Self::I210,
        Self::I211,
    ];

    /// What the family needs.
    #[must_use]
    pub const fn quirks(self) -> &'static Quirks {
        match self {
            Self::I82543 => &pci::I82543,
            Self::I82544 => &pci::I82544,
            Self::I82540 => &pci::I82540,
            Self::I82545 => &pci::I82545,
            Self::I82545Rev3 => &pci::I82545_REV3,
            Self::I82541 => &pci::I82541,
            Self::I82541Rev2 => &pci::I82541_REV2,
            Self::I82547 => &pci::I82547,
            Self::I82547Rev2 => &pci::I82547_REV2,
            Self::I82571 => &express::I82571,
            Self::I82572 => &express::I82572,
            Self::I82573 => &express::I82573,
            Self::I82574 => &express::I82574,
            Self::I82583 => &express::I82583,
            Self::I80003 => &express::I80003,
            Self::Ich8 => &chipset::ICH8,
            Self::Ich9 => &chipset::ICH9,
            Self::Ich10 => &chipset::ICH10,
            Self::Pch => &chipset::PCH,
            Self::Pch2 => &chipset::PCH2,
            Self::Lpt => &chipset::LPT,
            Self::LptLp => &chipset::LPT_LP,
            Self::Spt => &chipset::SPT,
            Self::Cnp => &chipset::CNP,
            Self::Tgp => &chipset::TGP,
            Self::Mtp => &chipset::MTP,
            Self::Ptp => &chipset::PTP,
            Self::I82575 => &advanced::I82575,
            Self::I82576 => &advanced::I82576,
            Self::I82580 => &advanced::I82580,
            Self::I350 => &advanced::I350,
            Self::I354 => &advanced::I354,
            Self::I210 => &advanced::I210,
            Self::I211 => &advanced::I211,
        }
    }
}

/// How one family differs in the sequences that all share. The comments name what it is for;
/// the values are the datasheets' and errata's.
///
/// A pair of masks is what to clear, then what to set, in a register that keeps its other bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quirks {
    // What it reaches and holds.
    /// Highest bus address that the part can put on the bus.
    pub highest_address: u64,
    /// The part is PCI Express, or looks like it inside a chipset: master requests must drain
    /// before a reset (CTRL.GIO_MASTER_DISABLE).
    pub express: bool,
    /// PCI Express link power states which fault on this part: 1 = L0s, 2 = L1.
    pub link_power_states_off: u8,
    /// Which descriptors its queues are given.
    pub format: Format,
    /// Most descriptors of one ring.
    pub most_descriptors: u32,
    /// It cuts long TCP segments into short ones, with nothing known against it: TSO.
    pub segmentation: bool,
    /// Longest frame it receives and sends, with its check sequence.
    pub longest_frame: u32,
    /// Receive address registers in use (RAL/RAH pairs).
    pub receive_addresses: u32,
    /// The last receive address register keeps a copy of ours: a reset of the other port clears
    /// the first.
    pub spare_receive_address: bool,
    /// 32-bit words of the multicast table (MTA).
    pub multicast_words: u32,

    // Who else has a hand in it.
    /// What is held while the PHY or the EEPROM must not be disturbed.
    pub lock: Lock,
    /// SWSM2 elects which of the ports may free SWSM from an owner who is gone.
    pub elects: bool,
    /// What is held around a reset.
    pub reset_lock: Lock,
    /// Where firmware is told that a driver owns the part.
    pub driver_loaded: DriverLoaded,
    /// Where firmware says that the PHY must not be reset.
    pub phy_reset_veto: Veto,

    // Reset.
    /// How CTRL.RST is written.
    pub reset_by: ResetBy,
    /// Whether, and when, the PHY is reset with the controller.
    pub phy_reset: PhyReset,
    /// How long a reset takes before registers may be read at all.
    pub reset_wait: Duration,
    /// The EEPROM is read after a reset only when CTRL_EXT.EE_RST asks for it.
    pub reload_eeprom: bool,
    /// What tells that the reset has read the EEPROM.
    pub eeprom_done: EepromDone,
    /// The EEPROM read goes on in the flash after that, without a sign of its end: for so long
    /// neither EEPROM nor PHY are touched.
    pub flash_wait: Duration,
    /// EEMNGCTL tells when firmware has configured the PHY, one bit per port.
    pub phy_configured_bit: bool,
    /// PBS, kilobytes, to be written before a reset; 0: none.
    pub packet_buffer_size: u32,

    // Where the MAC address comes from when the reset did not load it.
    /// How EEPROM words are read.
    pub eeprom: Eeprom,
    /// The second port's address is the first's with its last bit inverted.
    pub second_port_inverts: bool,
    /// EEPROM word 0x37 may point to addresses which replace the first ones.
    pub alternate_address: bool,

    // The PHY and what is between it and the controller.
    /// How the registers of a copper PHY are reached.
    pub phy_bus: PhyBus,
    /// What the PHY needs beyond what all of them do.
    pub phy_care: PhyCare,
    /// The PHY's identifier, where it cannot be read while firmware configures it; 0: read it.
    pub assumed_phy: u32,
    /// The PHY may be in ultra low power, out of which it must be helped.
    pub ultra_low_power: bool,
    /// The PHY's clock needs longer to come back (K1 exit).
    pub late_k1_exit: bool,
    /// A fresh link at 1000 Mbit/s needs 200 ms before it carries frames.
    pub link_settles: bool,
    /// KABGTXD needs another bias than the reset gives it.
    pub link_bias: bool,

    // Bits.
    /// CTRL.ASDE must be clear: speed comes from the PHY.
    pub no_auto_speed_detection: bool,
    /// Bits to clear in CTRL.
    pub ctrl_clear: u32,
    /// Bits to set in CTRL.
    pub ctrl_set: u32,
    /// Bits to clear, then to set, in CTRL_EXT.
    pub ctrl_ext: (u32, u32),
    /// Bits to clear in STATUS after a reset.
    pub status_clear: u32,
    /// Kilobytes of packet memory for reception (PBA), to be written before a reset, which does not
    /// change them; 0: as they are.
    pub receive_kilobytes: u32,
    /// CRC_OFFSET: what the check sequence of noise starts from, so that it is never right; 0: as
    /// it is.
    pub noise_offset: u32,
    /// Where the size of the packet memory for reception is found.
    pub packet_memory: PacketMemory,
    /// Bits to set in RFCTL.
    pub rfctl_set: u32,
    /// Bits to set in TXDCTL of both queues.
    pub txdctl_set: u32,
    /// Bits to clear, then to set, in TARC0.
    pub tarc0: (u32, u32),
    /// Bits to clear, then to set, in TARC1.
    pub tarc1: (u32, u32),
    /// TARC0 bit 21 follows the speed: set at 1000 Mbit/s, clear below.
    pub tarc0_speed_mode: bool,
    /// TIPG for copper.
    pub gap: u32,
    /// FCTTV: how long a pause frame of ours asks the other end to be silent, in slots.
    pub pause_time: u32,
    /// The address and type of pause frames are fixed: where others have FCAL there is FEXTNVM.
    pub fixed_pause_address: bool,
    /// The part cannot send pause frames.
    pub no_pause_sent: bool,
    /// Bits to clear, then to set, in GCR.
    pub gcr: (u32, u32),
    /// Bits to set in GCR2.
    pub gcr2_set: u32,
    /// PBA_ECC corrects single-bit errors of the packet memory.
    pub correct_packet_memory: bool,
    /// PBECCSTS corrects single-bit errors of the packet memory.
    pub packet_memory_ecc: bool,
    /// DVMOLR strips the check sequence besides RCTL.
    pub strips_per_queue: bool,
    /// PHPM may take the link down, or slow it, for less power.
    pub phy_power_management: bool,
    /// EEER: energy efficient Ethernet, whose idle link costs every answer its waking.
    pub energy_efficient: bool,
    /// Frames that firmware let in before the queues were there must be flushed out.
    pub flush_receive_memory: bool,
    /// FFLT_DBG: the wake-up clock must not be gated, or received frames are lost.
    pub wake_clock_on: bool,

    // Order.
    /// How causes become interrupts.
    pub interrupts: Design,
    /// RCTL.EN must not be cleared on a live port: reset instead.
    pub keep_receiver_until_reset: bool,
    /// Firmware may hold the registers: writes wait for FWSM.PCIM2PCI, tails are read back.
    pub firmware_holds_registers: bool,
    /// IOSFPC bit 16 must be set, or transmitted data is damaged.
    pub iosf_override: bool,
    /// Rings must be empty before a reset when configuration word 0xe4 says so.
    pub flush_rings: bool,
}

/// What guards the parts of a controller that its firmware uses too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Nothing.
    None,
    /// SWSM: SMBI between drivers, SWESMBI against firmware (82571 §13.4.4).
    Swsm,
    /// SW_FW_SYNC, changed under SWSM: one bit per resource.
    SwFwSync,
    /// EXTCNF_CTRL.MDIO_SW_OWNERSHIP (82574 §10.2.2.20).
    MdioOwnership,
    /// EXTCNF_CTRL.SWFLAG: taken when clear, and cleared by a reset.
    SwFlag,
}

/// Where DRV_LOAD is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DriverLoaded {
    /// Nowhere.
    Nowhere,
    /// CTRL_EXT bit 28.
    CtrlExt,
    /// SWSM bit 3.
    Swsm,
}

/// Where the size of the packet memory for reception is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketMemory {
    /// PBA, in kilobytes.
    Pba,
    /// RXPBS, in kilobytes (82576 §8.3.2).
    Rxpbs,
    /// RXPBS, as an index of [`SIZES`](Self::SIZES) (I350 §8.3).
    RxpbsIndex,
    /// RXPBS and TXPBS, which a reset does not restore: written with the defaults (I210 §8.3).
    Written,
}

impl PacketMemory {
    /// Kilobytes by the index that RXPBS holds.
    pub const SIZES: [u32; 11] = [36, 72, 144, 1, 2, 4, 8, 16, 35, 70, 140];
}

/// Who may forbid that the PHY is reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Veto {
    /// Nobody.
    Nobody,
    /// MANC.BLK_PHY_RST, when set.
    Manc,
    /// FWSM.RSPCIPHY, when clear.
    Fwsm,
}

/// How a reset is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetBy {
    /// CTRL in the memory window.
    Memory,
    /// CTRL through the I/O window (IOADDR, IODATA): the part cannot finish a memory write that
    /// resets it. CTRL in the memory window where the hosting kernel has no I/O ports.
    Ports,
    /// CTRL's second address, CTRL_DUP.
    Shadow,
}

/// When CTRL.PHY_RST is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhyReset {
    /// Never by the reset of the controller.
    Apart,
    /// Before the controller's own.
    Before,
    /// In the same write, when firmware allows it.
    Together,
}

/// What tells that the EEPROM was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EepromDone {
    /// Nothing: the time is up.
    Silent,
    /// EECD.AUTO_RD, which some never set: go on without.
    Wished,
    /// EECD.AUTO_RD, without which registers must not be used.
    Required,
    /// STATUS.LAN_INIT_DONE, to be cleared then.
    LanInitDone,
}

/// How EEPROM words are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eeprom {
    /// EECD, bit by bit (Microwire).
    Microwire,
    /// EERD, in either layout: the part shows which.
    Eerd,
    /// EERD, or the fuses inside when no flash is there (I210, I211).
    EerdOrFuses,
    /// The chipset's flash controller, which this driver leaves alone.
    ChipsetFlash,
}

/// How a copper PHY is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhyBus {
    /// MDIC, PHY address 1.
    Mdic,
    /// MDIC; the PHY is wherever one answers.
    MdicScanned,
    /// MDIC; address 1 for pages 768 and above, else 2.
    MdicTwoAddresses,
    /// CTRL bits which are the bus's two wires.
    Wires,
}

/// What a PHY needs beyond what all of them do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhyCare {
    /// Nothing.
    None,
    /// Inside 82541 and 82547: analogue settings after its reset.
    Igp1,
    /// 82563 beside the 80003ES2LAN.
    Gg82563,
    /// 82577, 82578.
    Pch,
    /// 82579.
    Pch2,
    /// I217, I218.
    Lpt,
    /// I219.
    Spt,
}

/// Frame limits, with check sequence.
pub mod frame {
    /// No jumbo frames: an Ethernet frame.
    pub const STANDARD: u32 = 1518;
    /// 4 KiB.
    pub const FOUR_KILOBYTES: u32 = 4096;
    /// What PCI Express parts take.
    pub const JUMBO: u32 = 9234;
    /// What parts with advanced descriptors take.
    pub const JUMBO_ADVANCED: u32 = 9728;
    /// What 8254x take.
    pub const JUMBO_PCI: u32 = 0x3f00;
}

/// TARC0 and TARC1 bits. Those which stand as numbers in the tables have no name in any manual;
/// the specification updates ask for them.
pub mod tarc {
    /// TARC0 30:27: how requests of several queues go out side by side.
    pub const MULTIPLE_REQUESTS: u32 = 0xf << 27;
    /// TARC1: one request at a time, to be set while TCTL.MULR is clear, as we leave it.
    pub const SINGLE_REQUEST: u32 = 1 << 28;
    /// TARC0: arbitration for 1000 Mbit/s.
    pub const SPEED_MODE: u32 = 1 << 21;
}

/// The 32-bit bus addresses.
pub(crate) const BELOW_4_GIB: u64 = 0xffff_ffff;

/// TXDCTL.COUNT_DESC: count descriptors still to be processed; the parts after 8254x misbehave
/// without it.
pub(crate) const COUNT_DESC: u32 = 1 << 22;

/// TIPG for copper, IEEE 802.3 gap: IPGT 8, IPGR1 8, IPGR2 6 (8254x §13.4.34).
pub(crate) const COPPER_GAP: u32 = 0x0060_2008;

/// FCTTV for everybody who has no reason for another.
pub(crate) const PAUSE_TIME: u32 = 0x0680;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_family_is_listed_once() {
        for (index, family) in Family::ALL.iter().enumerate() {
            assert_eq!(Family::ALL.iter().position(|other| other == family), Some(index));
        }
        assert_eq!(Family::ALL.len(), Family::I211 as usize + 1);
    }
}
