//! What the PHYs of PCH chipsets need: waking up, after a reset, and when the link changes
//! (82577, 82578, 82579, I217, I218 and I219 datasheets and specification updates).

mod link_change;
pub(crate) mod wake;

use core::time::Duration;

use super::kind::Kind;
use super::{At, BMCR, Phy, PhyError};
use crate::hal::{Hal, wait_until};
use crate::intel::family::PhyCare;
use crate::intel::registers::{
    CTRL, CTRL_EXT, EXTCNF_CTRL, FEXTNVM, FEXTNVM3, FWSM, PHY_CTRL, ctrl, ctrl_ext, extcnf_ctrl,
    fextnvm, fextnvm3, fwsm, kmrn, phy_ctrl,
};

/// OEM bits.
const OEM_BITS: At = At::page(768, 25);
/// Kumeran mode control.
const KMRN_MODE_CTRL: At = At::page(769, 16);
/// Port general configuration: wake-up.
const PORT_GEN_CFG: At = At::page(769, 17);
/// Kumeran FIFO control.
const KMRN_FIFO_CTRLSTA: At = At::page(770, 16);
/// Power management control.
const PM_CTRL: At = At::page(770, 17);
/// PM_CTRL: the link to the controller may sleep (K1).
const PM_CTRL_K1_ENABLE: u16 = 1 << 14;
/// An undocumented register that keeps the link from stalling (82577, 82578).
const LINK_STALL: At = At::page(770, 19);

impl<H: Hal> Phy<'_, H> {
    /// After every reset of the controller, with or without the PHY's own. `phy_was_reset` tells.
    pub(crate) fn care_after_reset(&self, phy_was_reset: bool) -> Result<(), PhyError> {
        match self.quirks.phy_care {
            PhyCare::None | PhyCare::Igp1 => return Ok(()),
            PhyCare::Gg82563 => return self.end_loopback_80003(),
            PhyCare::Pch => self.settle_82577_82578(phy_was_reset)?,
            PhyCare::Pch2 => self.settle_82579()?,
            PhyCare::Lpt | PhyCare::Spt => {}
        }
        self.leave_wake_up()?;
        self.set_pause_time()?;
        if phy_was_reset { self.write_oem_bits() } else { Ok(()) }
    }

    /// MDIO at half speed: the PHY does not keep up with more.
    pub(super) fn use_slow_mode(&self) -> Result<(), PhyError> {
        const MDIO_SLOW: u16 = 1 << 10;
        self.update(KMRN_MODE_CTRL, 0, MDIO_SLOW)
    }

    /// Until the host's wake-up is off, the 82578's receive buffer stalls.
    fn leave_wake_up(&self) -> Result<(), PhyError> {
        const HOST_WAKE_UP: u16 = 1 << 4;
        self.update(PORT_GEN_CFG, HOST_WAKE_UP, 0)
    }

    /// In PCH chipsets the PHY makes the pause frames.
    fn set_pause_time(&self) -> Result<(), PhyError> {
        const PAUSE_TIME: At = At::page(769, 27);
        self.write(PAUSE_TIME, (self.quirks.pause_time & 0xffff) as u16)
    }

    fn settle_82577_82578(&self, phy_was_reset: bool) -> Result<(), PhyError> {
        const EARLY_PREAMBLE: At = At::page(769, 25);
        const EARLY_PREAMBLE_OFF: u16 = 0x4431;
        const PREAMBLE_FOR_SPREAD_CLOCK: u16 = 0xa204;
        const MSE_THRESHOLD: u16 = 0x0887;
        /// BMCR: 1000 Mbit/s full duplex, negotiation on.
        const DEFAULTS: u16 = 0x3140;
        let (kind, revision) = (self.kind(), self.id.revision());
        if kind == Kind::I82577 {
            self.use_slow_mode()?;
        }
        if phy_was_reset {
            let is_early = match kind {
                Kind::I82577 => matches!(revision, 1 | 2),
                Kind::I82578 => revision == 1,
                _ => false,
            };
            if is_early {
                self.write(EARLY_PREAMBLE, EARLY_PREAMBLE_OFF)?;
                self.write(KMRN_FIFO_CTRLSTA, PREAMBLE_FOR_SPREAD_CLOCK)?;
            }
            if kind == Kind::I82578 && revision < 2 {
                self.commit()?;
                self.write(BMCR, DEFAULTS)?;
            }
        }
        self.turn_k1_off()?;
        // A busy hub in half duplex makes the link drop otherwise.
        const KEPT: u16 = 0x00ff;
        self.update(PORT_GEN_CFG, !KEPT, 0)?;
        self.write_emi(MSE_THRESHOLD, NOISE_LIMIT)
    }

    fn settle_82579(&self) -> Result<(), PhyError> {
        const MSE_THRESHOLD: u16 = 0x084f;
        const MSE_LINK_DOWN: u16 = 0x2411;
        const TIMES: u16 = 5;
        const LPI_UPDATE_TIMER: u16 = 0x4805;
        /// 200 µs, in units of 40 ns above 40 ns.
        const LPI_200_US: u16 = 0x1387;
        self.use_slow_mode()?;
        self.write_emi(MSE_THRESHOLD, NOISE_LIMIT)?;
        self.write_emi(MSE_LINK_DOWN, TIMES)?;
        self.write_emi(LPI_UPDATE_TIMER, LPI_200_US)?;
        let registers = self.bus.registers;
        if registers.read(FWSM) & fwsm::FW_VALID == 0 {
            self.bus.hal.wait(Duration::from_millis(10));
            registers.update(EXTCNF_CTRL, extcnf_ctrl::GATE_PHY_CFG, 0);
        }
        Ok(())
    }

    /// Firmware's wish for low power and for no 1000 Mbit/s, which a reset of the PHY forgets.
    fn write_oem_bits(&self) -> Result<(), PhyError> {
        const LPLU: u16 = 1 << 2;
        const GBE_DIS: u16 = 1 << 6;
        const RESTART: u16 = 1 << 10;
        let registers = self.bus.registers;
        let by_hardware = self.quirks.phy_care == PhyCare::Pch
            && registers.read(EXTCNF_CTRL) & extcnf_ctrl::OEM_WRITE_ENABLE != 0;
        if by_hardware || registers.read(FEXTNVM) & fextnvm::SW_CONFIG == 0 {
            return Ok(());
        }
        let wish = registers.read(PHY_CTRL);
        let slow = if wish & phy_ctrl::GBE_DISABLE != 0 { GBE_DIS } else { 0 };
        let low = if wish & phy_ctrl::D0A_LPLU != 0 { LPLU } else { 0 };
        self.update(OEM_BITS, LPLU | GBE_DIS, slow | low | RESTART)
    }

    /// Keeps the link between controller and PHY awake. At 1000 Mbit/s it would lose frames asleep,
    /// and below it saves a little power; the NVM's opinion is in the chipset's flash.
    fn turn_k1_off(&self) -> Result<(), PhyError> {
        const SETTLE: Duration = Duration::from_micros(20);
        /// CTRL.SPEED, to be 10 Mbit/s for a moment.
        const SPEED: u32 = 3 << 8;
        let (hal, registers) = (self.bus.hal, self.bus.registers);
        self.update_kumeran(kmrn::K1_CONFIG, kmrn::K1_ENABLE, 0)?;
        hal.wait(SETTLE);
        // The setting is taken over with the next change of speed.
        let (control, extended) = (registers.read(CTRL), registers.read(CTRL_EXT));
        registers.write(CTRL, control & !SPEED | ctrl::FRCSPD);
        registers.write(CTRL_EXT, extended | ctrl_ext::SPD_BYPS);
        registers.flush();
        hal.wait(SETTLE);
        registers.write(CTRL, control);
        registers.write(CTRL_EXT, extended);
        registers.flush();
        hal.wait(SETTLE);
        Ok(())
    }

    /// Writes a register of the extended management interface: address, then data.
    fn write_emi(&self, register: u16, value: u16) -> Result<(), PhyError> {
        const EMI_ADDRESS: At = At::plain(16);
        const EMI_DATA: At = At::plain(17);
        self.write(EMI_ADDRESS, register)?;
        self.write(EMI_DATA, value)
    }

    /// Cuts the PHY's power for a millisecond (LANPHYPC).
    fn cycle_power(&self) {
        const FIRST: Duration = Duration::from_millis(50);
        const LIMIT: Duration = Duration::from_millis(100);
        const AFTER: Duration = Duration::from_millis(30);
        let (hal, registers) = (self.bus.hal, self.bus.registers);
        registers.update(FEXTNVM3, fextnvm3::PHY_CFG_COUNTER, fextnvm3::PHY_CFG_COUNTER_50_MS);
        registers.update(CTRL, ctrl::LANPHYPC_VALUE, ctrl::LANPHYPC_OVERRIDE);
        registers.flush();
        hal.wait(Duration::from_millis(1));
        registers.update(CTRL, ctrl::LANPHYPC_OVERRIDE, 0);
        registers.flush();
        match self.quirks.phy_care {
            PhyCare::Pch | PhyCare::Pch2 => hal.wait(FIRST),
            _ => {
                let _ = wait_until(hal, LIMIT, || registers.read(CTRL_EXT) & ctrl_ext::LPCD != 0);
                hal.wait(AFTER);
            }
        }
    }
}

/// Mean square error above which the link counts as bad: higher than the default, so that noise
/// does not drop it.
const NOISE_LIMIT: u16 = 0x0034;
