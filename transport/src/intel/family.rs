//! How the families differ in the sequences that all of them share.
//!
//! One [`Quirks`] per family; a new part of a known family is only a row in
//! [`ids`](crate::intel::ids).

use core::time::Duration;

use crate::intel::interrupt::Design;

/// Parts which are programmed alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// 82544: PCI-X, reloads its EEPROM only when asked to.
    I82544,
    /// 82540, 82545: PCI and PCI-X.
    I82540,
    /// 82574, 82583: PCI Express.
    I82574,
}

impl Family {
    /// What the family needs.
    #[must_use]
    pub const fn quirks(self) -> &'static Quirks {
        match self {
            Self::I82544 => &I82544,
            Self::I82540 => &I82540,
            Self::I82574 => &I82574,
        }
    }
}

/// How one family differs in the sequences that all share. The comments name what it is for;
/// the values are the datasheets' and errata's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quirks {
    /// Highest bus address that the part can put on the bus.
    pub highest_address: u64,
    /// The part is PCI Express: master requests must drain before a reset (CTRL.GIO_MASTER_DISABLE),
    /// CTRL_EXT.DRV_LOAD tells firmware who owns the part.
    pub express: bool,
    /// How long a reset takes before registers may be trusted.
    pub reset_wait: Duration,
    /// EECD.AUTO_RD tells when the reset has read the EEPROM.
    pub auto_read_done: bool,
    /// The EEPROM read goes on in the flash after AUTO_RD, without a sign of its end.
    pub flash_wait: Duration,
    /// The EEPROM is read after a reset only when CTRL_EXT.EE_RST asks for it.
    pub reload_eeprom: bool,
    /// EXTCNF_CTRL.MDIO_SW_OWNERSHIP is held around a reset.
    pub mdio_ownership: bool,
    /// How EERD is laid out.
    pub eerd: Eerd,
    /// CTRL.ASDE must be clear: speed comes from the PHY.
    pub no_auto_speed_detection: bool,
    /// Bits to clear in CTRL.
    pub ctrl_clear: u32,
    /// Bits to clear, then to set, in CTRL_EXT.
    pub ctrl_ext: (u32, u32),
    /// Bits to set in TXDCTL of both queues.
    pub txdctl_set: u32,
    /// Bits to clear, then to set, in TARC0.
    pub tarc0: (u32, u32),
    /// Bits to set in GCR.
    pub gcr_set: u32,
    /// Bits to set in GCR2.
    pub gcr2_set: u32,
    /// PCI Express link power states which fault on this part: 1 = L0s, 2 = L1.
    pub link_power_states_off: u8,
    /// RCTL.EN must not be cleared on a live port: reset instead.
    pub keep_receiver_until_reset: bool,
    /// Receive address registers in use (RAL/RAH pairs).
    pub receive_addresses: u32,
    /// How causes become interrupts.
    pub interrupts: Design,
}

/// The two layouts of the EEPROM read register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eerd {
    /// DONE is bit 4, the word's address starts at bit 8.
    Small,
    /// DONE is bit 1, the word's address starts at bit 2.
    Large,
}

const BELOW_4_GIB: u64 = 0xffff_ffff;

const I82540: Quirks = Quirks {
    highest_address: BELOW_4_GIB,
    express: false,
    reset_wait: Duration::from_millis(5),
    auto_read_done: false,
    flash_wait: Duration::ZERO,
    reload_eeprom: false,
    mdio_ownership: false,
    eerd: Eerd::Small,
    no_auto_speed_detection: false,
    ctrl_clear: 0,
    ctrl_ext: (0, 0),
    txdctl_set: 0,
    tarc0: (0, 0),
    gcr_set: 0,
    gcr2_set: 0,
    link_power_states_off: 0,
    keep_receiver_until_reset: false,
    receive_addresses: 15,
    interrupts: Design::I8254x,
};

const I82544: Quirks = Quirks { reload_eeprom: true, ..I82540 };

const I82574: Quirks = Quirks {
    highest_address: u64::MAX,
    express: true,
    reset_wait: Duration::from_millis(10),
    auto_read_done: true,
    flash_wait: Duration::from_millis(25),
    reload_eeprom: false,
    mdio_ownership: true,
    eerd: Eerd::Large,
    no_auto_speed_detection: true,
    // Completions that come back damaged with link power states on stop transmission: GCR and
    // GCR2 below, CTRL bit 29, CTRL_EXT bits 23:22 (82574 specification update).
    ctrl_clear: 1 << 29,
    ctrl_ext: (1 << 23, 1 << 22),
    txdctl_set: 1 << 22,
    tarc0: (0xf << 27, 1 << 26),
    gcr_set: 1 << 22 | 1 << 27,
    gcr2_set: 1,
    link_power_states_off: 3,
    keep_receiver_until_reset: true,
    receive_addresses: 15,
    interrupts: Design::I82574,
};
