//! What each kind of PHY is told before it negotiates.

use core::time::Duration;

use super::kind::Kind;
use super::{At, Phy, PhyError};
use crate::hal::Hal;
use crate::intel::family::{PhyBus, PhyCare, PhyReset};
use crate::intel::registers::{PHY_CTRL, kmrn, phy_ctrl};

impl<H: Hal> Phy<'_, H> {
    /// Finds the cable's crossing by itself, gives up 1000 Mbit/s on bad cables, and stays awake.
    pub(super) fn set_up(&self) -> Result<(), PhyError> {
        if self.is_in_chipset() {
            self.be_patient_with_phy()?;
        }
        match self.kind() {
            Kind::M88 => self.set_up_m88(),
            Kind::Igp => self.set_up_igp(),
            Kind::Bm => self.set_up_bm(),
            Kind::Gg82563 => self.set_up_gg82563(),
            Kind::Ife => self.set_up_ife(),
            Kind::I82578 => self.set_up_82578(),
            Kind::I82577 | Kind::I82579 | Kind::I217 | Kind::I82580 => self.set_up_82577(),
            Kind::Unknown => Ok(()),
        }
    }

    const fn is_in_chipset(&self) -> bool {
        matches!(self.quirks.phy_bus, PhyBus::MdicScanned | PhyBus::MdicTwoAddresses)
    }

    /// The controller waits as long as it can for the PHY: at 10 Mbit/s it would give up too soon.
    fn be_patient_with_phy(&self) -> Result<(), PhyError> {
        const LONGEST: u16 = 0xffff;
        const MOST_ITERATIONS: u16 = 0x3f;
        self.write_kumeran(kmrn::TIMEOUTS, LONGEST);
        self.update_kumeran(kmrn::INBAND_PARAM, 0, MOST_ITERATIONS)
    }

    /// 88E1000 to 88E1111 (Marvell Alaska datasheets; 8254x §13.4 calls them by their registers).
    fn set_up_m88(&self) -> Result<(), PhyError> {
        /// Extended PHY specific control.
        const EPSCR: At = At::plain(20);
        const TX_CLK_25: u16 = 7 << 4;
        const DOWNSHIFT_MASK: u16 = 0xf << 8;
        /// After one failed attempt, as either end of the clock.
        const DOWNSHIFT_ONCE: u16 = 1 << 8;
        const DOWNSHIFT_COUNTER_MASK: u16 = 7 << 9;
        /// 82573L: after five.
        const DOWNSHIFT_5X: u16 = 4 << 9;
        /// From here on the PHY derives the clock itself.
        const WITHOUT_TX_CLK: u32 = 4;
        self.update(M88_PSCR, M88_POLARITY, M88_CRS_ON_TX | M88_AUTO_CROSSOVER)?;
        if self.id.revision() < WITHOUT_TX_CLK {
            let (clear, set) = if self.id.is_88e1111() && self.id.revision() == 2 {
                (DOWNSHIFT_COUNTER_MASK, DOWNSHIFT_5X)
            } else {
                (DOWNSHIFT_MASK, DOWNSHIFT_ONCE)
            };
            self.update(EPSCR, clear, set | TX_CLK_25)?;
        }
        self.commit()
    }

    /// Inside the 82574 (82574 §8) and beside ICH9 and ICH10.
    fn set_up_bm(&self) -> Result<(), PhyError> {
        /// Here the bit which asserts carrier on transmission in others.
        const DOWNSHIFT: u16 = M88_CRS_ON_TX;
        let settings = (M88_POLARITY, M88_AUTO_CROSSOVER);
        if self.id.is_bm_of_82574() {
            // Only a change of the bit changes anything.
            self.update(M88_PSCR, settings.0 | DOWNSHIFT, settings.1)?;
            self.commit()?;
        }
        self.update(M88_PSCR, settings.0, settings.1 | DOWNSHIFT)?;
        if self.id.is_bm_of_82574() {
            // A class A/B setting without a name (82574 specification update).
            self.write(At::page(0, 29), 3)?;
            self.write(At::page(0, 30), 0)?;
        }
        self.commit()
    }

    fn set_up_82578(&self) -> Result<(), PhyError> {
        /// Extended PHY specific control.
        const EPSCR: At = At::plain(20);
        const DOWNSHIFT: u16 = 1 << 5;
        const COUNTER_MASK: u16 = 7 << 2;
        self.update(M88_PSCR, M88_POLARITY, M88_CRS_ON_TX | M88_AUTO_CROSSOVER)?;
        self.commit()?;
        self.update(EPSCR, COUNTER_MASK, DOWNSHIFT)
    }

    /// 82577, 82579, I217 and later; 82580 and I350.
    fn set_up_82577(&self) -> Result<(), PhyError> {
        const CFG: At = At::plain(22);
        const ASSERT_CRS_ON_TX: u16 = 1 << 15;
        const DOWNSHIFT: u16 = 3 << 10;
        const CTRL_2: At = At::plain(18);
        const CROSSOVER_MASK: u16 = 3 << 9;
        const AUTO_CROSSOVER: u16 = 1 << 10;
        self.update(CFG, 0, ASSERT_CRS_ON_TX | DOWNSHIFT)?;
        self.update(CTRL_2, CROSSOVER_MASK, AUTO_CROSSOVER)
    }

    /// IGP: low power states off, crossing by itself.
    fn set_up_igp(&self) -> Result<(), PhyError> {
        const POWER_MANAGEMENT: At = At::plain(25);
        const SMART_POWER_DOWN: u16 = 1 << 0;
        const D0_LPLU: u16 = 1 << 1;
        const PORT_CTRL: At = At::plain(18);
        const AUTO_CROSSOVER: u16 = 1 << 12;
        if self.quirks.phy_care == PhyCare::Igp1 {
            self.initialise_igp1()?;
        } else if self.is_in_chipset() {
            self.bus.registers.update(PHY_CTRL, phy_ctrl::D0A_LPLU, 0);
            self.update(POWER_MANAGEMENT, SMART_POWER_DOWN, 0)?;
        } else {
            self.update(POWER_MANAGEMENT, D0_LPLU | SMART_POWER_DOWN, 0)?;
        }
        self.update(PORT_CTRL, 0, AUTO_CROSSOVER)
    }

    /// The PHY inside 82541 and 82547 needs other analogue settings than it wakes up with
    /// (82541/82547 specification update). Page and register are one number there: page times 32
    /// plus register.
    fn initialise_igp1(&self) -> Result<(), PhyError> {
        const SETTINGS: &[(u16, u16)] = &[
            (0x1f95, 0x0001),
            (0x1f71, 0xbd21),
            (0x1f79, 0x0018),
            (0x1f30, 0x1600),
            (0x1f31, 0x0014),
            (0x1f32, 0x161c),
            (0x1f94, 0x0003),
            (0x1f96, 0x003f),
            (0x2010, 0x0008),
        ];
        const SETTINGS_REV2: &[(u16, u16)] = &[(0x1f73, 0x0099)];
        const TRANSMITTER: At = numbered(0x2f5b);
        const OFF: u16 = 3;
        const CALM: Duration = Duration::from_millis(20);
        /// BMCR at 1000 Mbit/s, negotiation off.
        const FIXED: u16 = 0x0140;
        /// BMCR with negotiation on and restarted.
        const AGAIN: u16 = 0x3300;
        let settings =
            if self.quirks.phy_reset == PhyReset::Before { SETTINGS } else { SETTINGS_REV2 };
        let before = self.read(TRANSMITTER)?;
        self.write(TRANSMITTER, OFF)?;
        self.bus.hal.wait(CALM);
        self.write(super::BMCR, FIXED)?;
        self.bus.hal.wait(Duration::from_millis(5));
        for (number, value) in settings {
            self.write(numbered(*number), *value)?;
        }
        self.write(super::BMCR, AGAIN)?;
        self.bus.hal.wait(CALM);
        self.write(TRANSMITTER, before)
    }

    fn set_up_ife(&self) -> Result<(), PhyError> {
        const MDIX_CONTROL: At = At::plain(28);
        const AUTO: u16 = 1 << 7;
        self.update(MDIX_CONTROL, 0, AUTO)
    }
}

/// A register of an IGP by its one number.
const fn numbered(number: u16) -> At {
    At::page(number >> 5, (number & 0x1f) as u8)
}

/// PHY specific control.
const M88_PSCR: At = At::plain(16);
/// Carrier is asserted on transmission, as half duplex needs.
const M88_CRS_ON_TX: u16 = 1 << 11;
/// Crossing found by itself at every speed.
const M88_AUTO_CROSSOVER: u16 = 3 << 5;
/// Reversed polarity is not corrected.
const M88_POLARITY: u16 = 1 << 1;
