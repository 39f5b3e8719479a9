//! What each family does: a table of its own, from the datasheets.

/// One device id that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// PCI device id.
    pub device_id: u16,
    /// Whose manners it has.
    pub family: Family,
}

/// Parts that behave alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the parts' own names")]
pub enum Family {
    I82543,
    I82544,
    I82540,
    I82545,
    I82541,
    I82547,
    I82571,
    I82572,
    I82573,
    I82574,
    I82583,
    I80003,
    Ich8,
    Ich9,
    Ich10,
    Pch,
    Pch2,
    Lpt,
    I219,
    I82575,
    I82576,
    I82580,
    I350,
    I210,
    I211,
}

/// How it sits on the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bus {
    /// PCI or PCI-X: 32 bits of address, no master disable.
    Pci,
    /// PCI Express.
    Express,
    /// Inside a chipset: as PCI Express, and registers must not be read while it is reset.
    Chipset,
}

/// How its non-volatile memory is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nvm {
    /// EECD, bit by bit.
    Microwire,
    /// EERD with DONE in bit 4 and the word's address from bit 8.
    EerdSmall,
    /// EERD with DONE in bit 1 and the word's address from bit 2.
    EerdLarge,
    /// As before, at 0x12014; or fuses, when there is no flash.
    EerdOrFuses,
    /// The chipset's flash, behind window 1: not modelled. RAL0 and RAH0 are loaded from it.
    ChipsetFlash,
}

/// What must be held to use the PHY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the datasheets' own names")]
pub enum Lock {
    None,
    /// SWSM.SWESMBI.
    Swsm,
    /// A bit of SW_FW_SYNC, itself written under SWSM.SWESMBI.
    SwFwSync,
    /// EXTCNF_CTRL.MDIO_SW_OWNERSHIP.
    MdioOwnership,
    /// EXTCNF_CTRL.SWFLAG.
    SwFlag,
}

/// How pages of PHY registers are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// Not at all.
    None,
    /// Register 31 holds the page of registers 16 to 30, times 32.
    Register31,
    /// Register 22 holds the page of every register.
    Register22,
    /// Register 22 holds the page of registers 16 to 31.
    Register22Upper,
    /// Register 31 of address 1 holds the page, times 32; pages from 768 on answer at address 1,
    /// others at address 2.
    Chipset,
}

/// How causes become interrupts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the first part that does it so")]
pub enum Interrupting {
    I8254x,
    I8257x,
    I82574,
    I82575,
    I82576,
}

/// What a family does.
#[derive(Clone, Copy, Debug)]
pub struct Traits {
    /// How it sits on the bus.
    pub bus: Bus,
    /// How its memory is read.
    pub nvm: Nvm,
    /// What guards its PHY.
    pub lock: Lock,
    /// PHY registers 2 and 3.
    pub phy_id: u32,
    /// How PHY pages are chosen.
    pub paging: Paging,
    /// How it interrupts.
    pub interrupting: Interrupting,
    /// Longest frame with LPE set, with check sequence.
    pub longest: u32,
    /// PHY behind CTRL's software-defined pins instead of MDIC.
    pub wires: bool,
    /// STATUS.LAN_INIT_DONE comes after a reset.
    pub lan_init_done: bool,
    /// EECD.AUTO_RD comes after a reset.
    pub auto_read: bool,
    /// After that the PHY's settings are read from flash, without a sign of its end.
    pub reads_flash: bool,
    /// EEMNGCTL tells when firmware has configured the PHY.
    pub configuration_done: bool,
}

impl Traits {
    /// 82575 and later: advanced descriptors, queues with an enable bit of their own.
    #[must_use]
    pub const fn is_advanced(&self) -> bool {
        matches!(self.interrupting, Interrupting::I82575 | Interrupting::I82576)
    }

    /// Highest bus address that it can drive.
    #[must_use]
    pub const fn highest_address(&self) -> u64 {
        match self.bus {
            Bus::Pci => 0xffff_ffff,
            Bus::Express | Bus::Chipset => u64::MAX,
        }
    }

    /// Whether extended descriptors exist (RFCTL.EXTEN).
    #[must_use]
    pub const fn has_extended(&self) -> bool {
        !matches!(self.bus, Bus::Pci) && !self.is_advanced()
    }

    /// Vectors of its MSI-X capability; 0 when there is none.
    #[must_use]
    pub const fn vectors(&self) -> usize {
        match self.interrupting {
            Interrupting::I8254x | Interrupting::I8257x => 0,
            Interrupting::I82574 => 5,
            Interrupting::I82575 | Interrupting::I82576 => 10,
        }
    }
}

const PCI: Traits = Traits {
    bus: Bus::Pci,
    nvm: Nvm::EerdSmall,
    lock: Lock::None,
    phy_id: 0x0141_0c20,
    paging: Paging::None,
    interrupting: Interrupting::I8254x,
    longest: 0x3f00,
    wires: false,
    lan_init_done: false,
    auto_read: false,
    reads_flash: false,
    configuration_done: false,
};

const EXPRESS: Traits = Traits {
    bus: Bus::Express,
    nvm: Nvm::EerdLarge,
    lock: Lock::Swsm,
    phy_id: 0x02a8_0380,
    paging: Paging::Register31,
    interrupting: Interrupting::I8257x,
    longest: 9234,
    auto_read: true,
    configuration_done: true,
    ..PCI
};

const ICH: Traits = Traits {
    bus: Bus::Chipset,
    nvm: Nvm::ChipsetFlash,
    lock: Lock::SwFlag,
    phy_id: 0x02a8_0390,
    auto_read: false,
    configuration_done: false,
    ..EXPRESS
};

const PCH: Traits = Traits { paging: Paging::Chipset, lan_init_done: true, ..ICH };

const IGB: Traits = Traits {
    lock: Lock::SwFwSync,
    phy_id: 0x02a8_0391,
    interrupting: Interrupting::I82576,
    longest: 9728,
    ..EXPRESS
};

impl Family {
    /// What it does.
    #[must_use]
    pub const fn traits(self) -> Traits {
        match self {
            Self::I82543 => Traits { nvm: Nvm::Microwire, phy_id: 0x0141_0c50, wires: true, ..PCI },
            Self::I82544 => Traits { nvm: Nvm::Microwire, phy_id: 0x0141_0c30, ..PCI },
            Self::I82540 | Self::I82545 => PCI,
            Self::I82541 | Self::I82547 => Traits {
                nvm: Nvm::EerdLarge,
                phy_id: 0x02a8_0380,
                paging: Paging::Register31,
                ..PCI
            },
            Self::I82571 | Self::I82572 => EXPRESS,
            Self::I82573 => {
                Traits { phy_id: 0x0141_0cc0, paging: Paging::None, reads_flash: true, ..EXPRESS }
            }
            Self::I82574 => Traits {
                lock: Lock::MdioOwnership,
                phy_id: 0x0141_0cb1,
                paging: Paging::Register22Upper,
                interrupting: Interrupting::I82574,
                reads_flash: true,
                ..EXPRESS
            },
            Self::I82583 => Traits {
                lock: Lock::MdioOwnership,
                phy_id: 0x0141_0cb1,
                paging: Paging::Register22Upper,
                reads_flash: true,
                ..EXPRESS
            },
            Self::I80003 => Traits {
                lock: Lock::SwFwSync,
                phy_id: 0x0141_0ca0,
                paging: Paging::Register22,
                ..EXPRESS
            },
            Self::Ich8 => Traits { longest: 1518, ..ICH },
            Self::Ich9 => ICH,
            Self::Ich10 => Traits { lan_init_done: true, ..ICH },
            Self::Pch => Traits { phy_id: 0x004d_d041, longest: 4096, ..PCH },
            Self::Pch2 => Traits { phy_id: 0x0154_0090, ..PCH },
            Self::Lpt | Self::I219 => Traits { phy_id: 0x0154_00a0, ..PCH },
            Self::I82575 => Traits { interrupting: Interrupting::I82575, ..IGB },
            Self::I82576 => IGB,
            Self::I82580 | Self::I350 => {
                Traits { phy_id: 0x0154_03a0, paging: Paging::None, ..IGB }
            }
            Self::I210 | Self::I211 => Traits {
                nvm: Nvm::EerdOrFuses,
                phy_id: 0x0141_0c00,
                paging: Paging::Register22,
                ..IGB
            },
        }
    }
}

impl Part {
    /// The part with this id, if Intel made one that is modelled.
    #[must_use]
    pub fn find(device_id: u16) -> Option<Self> {
        let (_, family) = PARTS.iter().find(|(ids, _)| ids.contains(&device_id))?;
        Some(Self { device_id, family: *family })
    }

    /// Every one of them.
    pub fn all() -> impl Iterator<Item = Self> {
        PARTS.iter().flat_map(|(ids, family)| {
            ids.iter().map(|device_id| Self { device_id: *device_id, family: *family })
        })
    }
}

/// Device ids by family.
const PARTS: &[(&[u16], Family)] = &[
    (&[0x1001, 0x1004], Family::I82543),
    (&[0x1008, 0x1009, 0x100c, 0x100d], Family::I82544),
    (&[0x100e, 0x1015, 0x1016, 0x1017, 0x101e], Family::I82540),
    (
        &[
            0x100f, 0x1011, 0x1026, 0x1027, 0x1028, 0x1010, 0x1012, 0x101d, 0x1079, 0x107a, 0x107b,
            0x108a, 0x1099, 0x10b5,
        ],
        Family::I82545,
    ),
    (&[0x1013, 0x1018, 0x1014, 0x1076, 0x1077, 0x1078, 0x107c], Family::I82541),
    (&[0x1019, 0x101a, 0x1075], Family::I82547),
    (&[0x105e, 0x105f, 0x1060, 0x10d9, 0x10da, 0x10a4, 0x10d5, 0x10a5, 0x10bc], Family::I82571),
    (&[0x107d, 0x107e, 0x107f, 0x10b9], Family::I82572),
    (&[0x108b, 0x108c, 0x109a], Family::I82573),
    (&[0x10d3, 0x10f6], Family::I82574),
    (&[0x150c], Family::I82583),
    (&[0x1096, 0x1098, 0x10ba, 0x10bb], Family::I80003),
    (&[0x1049, 0x104a, 0x104b, 0x104d, 0x104c, 0x10c4, 0x10c5, 0x1501], Family::Ich8),
    (
        &[
            0x10bd, 0x294c, 0x10bf, 0x10cb, 0x10e5, 0x10f5, 0x10c0, 0x10c2, 0x10c3, 0x10cc, 0x10cd,
            0x10ce,
        ],
        Family::Ich9,
    ),
    (&[0x10de, 0x10df, 0x1525], Family::Ich10),
    (&[0x10ea, 0x10eb, 0x10ef, 0x10f0], Family::Pch),
    (&[0x1502, 0x1503], Family::Pch2),
    (&[0x153a, 0x153b, 0x155a, 0x1559, 0x15a0, 0x15a1, 0x15a2, 0x15a3], Family::Lpt),
    (
        &[
            0x156f, 0x1570, 0x15b7, 0x15b8, 0x15b9, 0x15d6, 0x15d7, 0x15d8, 0x15e3, 0x0d53, 0x0d55,
            0x15bb, 0x15bc, 0x15bd, 0x15be, 0x15df, 0x15e0, 0x15e1, 0x15e2, 0x0d4c, 0x0d4d, 0x0d4e,
            0x0d4f, 0x15f4, 0x15f5, 0x15f9, 0x15fa, 0x15fb, 0x15fc, 0x1a1c, 0x1a1d, 0x1a1e, 0x1a1f,
            0x0dc5, 0x0dc6, 0x0dc7, 0x0dc8, 0x550a, 0x550b, 0x550c, 0x550d, 0x550e, 0x550f, 0x57a0,
            0x57a1, 0x57b3, 0x57b4, 0x57b7, 0x57b8, 0x57b9, 0x57ba,
        ],
        Family::I219,
    ),
    (&[0x10a7, 0x10a9, 0x10d6], Family::I82575),
    (&[0x10c9, 0x10e6, 0x10e7, 0x10e8, 0x1526, 0x150a, 0x1518, 0x150d], Family::I82576),
    (
        &[0x150e, 0x150f, 0x1510, 0x1511, 0x1516, 0x1527, 0x0438, 0x043a, 0x043c, 0x0440],
        Family::I82580,
    ),
    (&[0x1521, 0x1522, 0x1523, 0x1524, 0x1546, 0x1f40, 0x1f41, 0x1f45], Family::I350),
    (&[0x1533, 0x1534, 0x1535, 0x1536, 0x1537, 0x1538, 0x157b, 0x157c, 0x15f6], Family::I210),
    (&[0x1539], Family::I211),
];
