//! Reaching a PHY that firmware or an operating system left asleep.

use core::time::Duration;

use super::super::{At, Phy, PhyError};
use super::{PM_CTRL, PM_CTRL_K1_ENABLE};
use crate::hal::{Hal, wait_until};
use crate::intel::family::{PhyCare, Quirks};
use crate::intel::registers::{
    CTRL_EXT, EXTCNF_CTRL, FEXTNVM7, FEXTNVM12, FWSM, H2ME, Registers, ctrl_ext, extcnf_ctrl,
    fextnvm7, fextnvm12, fwsm, h2me, kmrn,
};

/// The link to the PHY may be SMBus instead of its own.
const SMB_CTRL: At = At::page(769, 23);
const FORCE_SMBUS: u16 = 1 << 0;

/// Makes the PHY of a PCH chipset answer: before the reset of a take-over, with its link down.
/// `may_reset` says whether firmware lets its power be cut.
pub(crate) fn wake<H: Hal>(
    hal: &H,
    registers: &Registers<H>,
    quirks: &Quirks,
    may_reset: bool,
) -> Result<(), PhyError> {
    let has_firmware = registers.read(FWSM) & fwsm::FW_VALID != 0;
    match quirks.phy_care {
        PhyCare::None | PhyCare::Igp1 | PhyCare::Gg82563 => return Ok(()),
        PhyCare::Pch => {}
        // Hardware would configure it under our hands.
        _ => registers.update(EXTCNF_CTRL, 0, extcnf_ctrl::GATE_PHY_CFG),
    }
    if quirks.ultra_low_power && has_firmware {
        ask_firmware_to_wake(hal, registers);
    }
    let phy = Phy::open_unidentified(hal, registers, quirks)?;
    if quirks.late_k1_exit {
        phy.lengthen_k1_exit();
    }
    if phy.answers() {
        if quirks.ultra_low_power && !has_firmware {
            phy.leave_ultra_low_power();
        }
        return Ok(());
    }
    if matches!(quirks.phy_care, PhyCare::Lpt | PhyCare::Spt) {
        registers.update(CTRL_EXT, 0, ctrl_ext::FORCE_SMBUS);
        hal.wait(SMBUS_RETRIES);
        if phy.answers() {
            phy.leave_smbus();
            return Ok(());
        }
    }
    // The management engine of the 82577 and 82578 wakes its PHY itself.
    let waits_for_firmware = quirks.phy_care == PhyCare::Pch && has_firmware;
    if may_reset && !waits_for_firmware {
        phy.cycle_power();
        registers.update(CTRL_EXT, ctrl_ext::FORCE_SMBUS, 0);
        if quirks.ultra_low_power && !has_firmware {
            phy.leave_ultra_low_power();
        }
    }
    Ok(())
}

/// How long the controller keeps trying to be heard on the wrong bus.
const SMBUS_RETRIES: Duration = Duration::from_millis(50);

/// Ultra low power is firmware's where firmware runs (I218 §: H2ME).
fn ask_firmware_to_wake<H: Hal>(hal: &H, registers: &Registers<H>) {
    const LIMIT: Duration = Duration::from_secs(1);
    registers.update(H2ME, h2me::ULP, h2me::ENFORCE_SETTINGS);
    let woken = wait_until(hal, LIMIT, || registers.read(FWSM) & fwsm::ULP_CFG_DONE == 0);
    if !woken {
        log::warn!("firmware did not wake the PHY up within {} ms", LIMIT.as_millis());
    }
    registers.update(H2ME, h2me::ENFORCE_SETTINGS, 0);
}

impl<H: Hal> Phy<'_, H> {
    fn answers(&self) -> bool {
        matches!(self.read_id(), Ok(id) if id.0 != 0 && id.0 != u32::MAX)
    }

    /// Both ends of the link away from SMBus. The first access after the change may fail.
    fn leave_smbus(&self) {
        let _ = self.update(SMB_CTRL, FORCE_SMBUS, 0);
        self.bus.registers.update(CTRL_EXT, ctrl_ext::FORCE_SMBUS, 0);
    }

    /// Ends ultra low power where no firmware does (I218, I219).
    fn leave_ultra_low_power(&self) {
        const ULP_CONFIG1: At = At::page(779, 16);
        const START: u16 = 1 << 0;
        /// Indication, sticky, in-band exit, wake-up of the host, SMBus after reset, ULP by
        /// LANPHYPC, sticky through PERST, SMBus through PERST.
        const ALL: u16 = 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11 | 1 << 12;
        let steps = || {
            self.update_kumeran(kmrn::MAC2PHY_OPMODE, kmrn::OPMODE_LSC2CSC, 0)?;
            self.leave_smbus();
            self.update(PM_CTRL, 0, PM_CTRL_K1_ENABLE)?;
            self.update(ULP_CONFIG1, ALL, 0)?;
            self.update(ULP_CONFIG1, 0, START)
        };
        if let Err(error) = steps() {
            log::warn!("the PHY stays in ultra low power: {error}");
        }
        self.bus.registers.update(FEXTNVM7, fextnvm7::DISABLE_SMB_PERST, 0);
    }

    /// From Meteor Lake on the PHY's clock needs longer to come back. The PHY may not answer yet.
    fn lengthen_k1_exit(&self) {
        const PHY_TIMEOUTS: At = At::page(770, 21);
        const K1_EXIT: u16 = 0x0fc0;
        const LONGER: u16 = 0x0f00;
        self.bus.registers.update(FEXTNVM12, fextnvm12::PHYPD_CTRL, fextnvm12::PHYPD_CTRL_P1);
        self.bus.hal.wait(Duration::from_millis(1));
        let _ = self.update(PHY_TIMEOUTS, K1_EXIT, LONGER);
    }
}
