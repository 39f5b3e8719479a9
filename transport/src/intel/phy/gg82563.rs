//! 82563 beside the 80003ES2LAN (82563EB/82564EB datasheet, 631xESB/632xESB manual).

use core::time::Duration;

use super::{At, Phy, PhyError};
use crate::hal::Hal;
use crate::intel::registers::{CTRL_EXT, ctrl_ext, kmrn};

const SPEC_CTRL: At = At::page(0, 16);
const SPEC_CTRL_2: At = At::page(0, 26);
const MAC_SPEC_CTRL: At = At::page(2, 21);
const KMRN_MODE_CTRL: At = At::page(193, 16);
const PWR_MGMT_CTRL: At = At::page(193, 20);
const INBAND_CTRL: At = At::page(194, 18);

impl<H: Hal> Phy<'_, H> {
    /// Turns to a page. MDIC may say that it is ready before the page is turned: wait and look.
    pub(super) fn select_gg82563(&self, at: At) -> Result<(), PhyError> {
        const PAGE_SELECT: u8 = 22;
        /// For registers 30 and 31.
        const PAGE_SELECT_ALT: u8 = 29;
        const FIRST_ALT_REGISTER: u8 = 30;
        const TURNING: Duration = Duration::from_micros(200);
        let select = if at.register < FIRST_ALT_REGISTER { PAGE_SELECT } else { PAGE_SELECT_ALT };
        self.bus.write(self.address, select, at.page)?;
        self.bus.hal.wait(TURNING);
        let page = self.bus.read(self.address, select)?;
        self.bus.hal.wait(TURNING);
        if page == at.page { Ok(()) } else { Err(PhyError::Refused(u32::from(page))) }
    }

    pub(super) fn set_up_gg82563(&self) -> Result<(), PhyError> {
        const ASSERT_CRS_ON_TX: u16 = 1 << 4;
        const TX_CLK_1000_25: u16 = 7;
        const CROSSOVER_AUTO: u16 = 3 << 5;
        const POLARITY_FIXED: u16 = 1 << 1;
        const REVERSE_AUTONEGOTIATION: u16 = 1 << 13;
        const ELECTRICAL_IDLE: u16 = 1 << 0;
        const PASS_FALSE_CARRIER: u16 = 1 << 11;
        const NO_PADDING: u16 = 1 << 4;
        self.update(MAC_SPEC_CTRL, 0, ASSERT_CRS_ON_TX | TX_CLK_1000_25)?;
        self.update(SPEC_CTRL, POLARITY_FIXED, CROSSOVER_AUTO)?;
        self.commit()?;
        self.write_kumeran(kmrn::FIFO_CTRL, kmrn::FIFO_BYPASS);
        self.update_kumeran(kmrn::MAC2PHY_OPMODE, 0, kmrn::OPMODE_E_IDLE)?;
        self.update(SPEC_CTRL_2, REVERSE_AUTONEGOTIATION, 0)?;
        self.bus.registers.update(CTRL_EXT, ctrl_ext::LINK_MODE, 0);
        self.update(PWR_MGMT_CTRL, 0, ELECTRICAL_IDLE)?;
        self.update(KMRN_MODE_CTRL, PASS_FALSE_CARRIER, 0)?;
        // Padding on the way between controller and PHY makes check sequences wrong.
        self.update(INBAND_CTRL, 0, NO_PADDING)
    }

    /// Ends a loopback that a reset leaves behind.
    pub(super) fn end_loopback_80003(&self) -> Result<(), PhyError> {
        self.update_kumeran(kmrn::INBAND_PARAM, 0, kmrn::IBIST_DISABLE)
    }

    /// Half-duplex control and the gap follow the speed.
    pub(super) fn follow_speed_80003(&self, is_gigabit: bool) {
        let value = if is_gigabit { kmrn::HD_CTRL_1000 } else { kmrn::HD_CTRL_10_100 };
        self.write_kumeran(kmrn::HD_CTRL, value);
    }
}
