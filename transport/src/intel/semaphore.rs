//! What keeps the driver, the driver of the other port and firmware apart.
//!
//! Every wait has a bound, and what was taken is given back when its [`Held`] is dropped, so on
//! every path.

use core::time::Duration;

use crate::hal::{Hal, wait_until};
use crate::intel::family::Lock;
use crate::intel::registers::{
    EXTCNF_CTRL, Register, Registers, SW_FW_SYNC, SWSM, SWSM2, extcnf_ctrl, sw_fw_sync, swsm, swsm2,
};

/// What a lock is wanted for. Only SW_FW_SYNC tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Resource {
    /// The EEPROM.
    Eeprom,
    /// The PHY of a port, 0 to 3.
    Phy(u32),
}

impl Resource {
    /// Its bit in SW_FW_SYNC (82576 §8.16.2).
    const fn bit(self) -> u32 {
        match self {
            Self::Eeprom => sw_fw_sync::SW_EEP,
            Self::Phy(0) => sw_fw_sync::SW_PHY0,
            Self::Phy(1) => sw_fw_sync::SW_PHY1,
            Self::Phy(2) => sw_fw_sync::SW_PHY2,
            Self::Phy(_) => sw_fw_sync::SW_PHY3,
        }
    }
}

/// A lock that was not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy {
    /// The register that holds it.
    pub(crate) register: Register,
    /// Its last value.
    pub(crate) value: u32,
}

/// A lock that is ours until this is dropped.
#[must_use = "the lock is given back when this is dropped"]
pub(crate) struct Held<'a, H: Hal> {
    hal: &'a H,
    registers: &'a Registers<H>,
    lock: Lock,
    bit: u32,
}

/// Takes `lock` for `resource`.
///
/// # Errors
/// [`Busy`] when somebody else kept it for longer than anybody should. Nothing is held then.
pub(crate) fn take<'a, H: Hal>(
    hal: &'a H,
    registers: &'a Registers<H>,
    lock: Lock,
    resource: Resource,
) -> Result<Held<'a, H>, Busy> {
    match lock {
        Lock::None => {}
        Lock::Swsm => take_swsm(hal, registers)?,
        Lock::SwFwSync => take_sync(hal, registers, resource.bit())?,
        Lock::MdioOwnership => take_mdio(hal, registers)?,
        Lock::SwFlag => take_flag(hal, registers)?,
    }
    Ok(Held { hal, registers, lock, bit: resource.bit() })
}

impl<H: Hal> Drop for Held<'_, H> {
    fn drop(&mut self) {
        let registers = self.registers;
        match self.lock {
            Lock::None => {}
            Lock::Swsm => release_swsm(registers),
            Lock::SwFwSync => {
                // Whoever has SWSM has it for microseconds; if not, our bit must go all the same.
                let guarded = take_swsm(self.hal, registers).is_ok();
                registers.update(SW_FW_SYNC, self.bit, 0);
                if guarded {
                    release_swsm(registers);
                }
            }
            Lock::MdioOwnership => {
                registers.update(EXTCNF_CTRL, extcnf_ctrl::MDIO_SW_OWNERSHIP, 0);
            }
            Lock::SwFlag => registers.update(EXTCNF_CTRL, extcnf_ctrl::SWFLAG, 0),
        }
    }
}

/// Frees SWSM when an earlier owner forgot to: PXE drivers of the 82571 did. Once per take-over,
/// before the lock is first wanted.
///
/// On parts with SWSM2 (82571, 82572) only the first port to come may do so: the second would
/// take the lock from the first.
pub(crate) fn forget_stale<H: Hal>(hal: &H, registers: &Registers<H>, elects: bool) {
    if elects {
        if registers.read(SWSM2) & swsm2::LOCK != 0 {
            return;
        }
        registers.update(SWSM2, 0, swsm2::LOCK);
    }
    if take_smbi(hal, registers).is_err() {
        log::warn!("SWSM was held by somebody who is gone: freed");
    }
    release_swsm(registers);
}

/// SMBI between drivers, then SWESMBI against firmware (82571 §13.4.4, 82576 §8.16.1).
fn take_swsm<H: Hal>(hal: &H, registers: &Registers<H>) -> Result<(), Busy> {
    take_smbi(hal, registers)?;
    let mut value = 0;
    let ours = wait_until(hal, HARDWARE, || {
        registers.update(SWSM, 0, swsm::SWESMBI);
        value = registers.read(SWSM);
        value & swsm::SWESMBI != 0 && value != u32::MAX
    });
    if ours {
        return Ok(());
    }
    release_swsm(registers);
    Err(Busy { register: SWSM, value })
}

/// Reading SMBI as clear sets it, and it is ours.
fn take_smbi<H: Hal>(hal: &H, registers: &Registers<H>) -> Result<(), Busy> {
    let mut value = 0;
    let ours = wait_until(hal, HARDWARE, || {
        value = registers.read(SWSM);
        value & swsm::SMBI == 0
    });
    if ours { Ok(()) } else { Err(Busy { register: SWSM, value }) }
}

fn release_swsm<H: Hal>(registers: &Registers<H>) {
    registers.update(SWSM, swsm::SMBI | swsm::SWESMBI, 0);
}

fn take_sync<H: Hal>(hal: &H, registers: &Registers<H>, bit: u32) -> Result<(), Busy> {
    const ATTEMPTS: u32 = 200;
    const BETWEEN: Duration = Duration::from_millis(5);
    let wanted = bit | bit << sw_fw_sync::FIRMWARE_SHIFT;
    let mut value = 0;
    for _ in 0..ATTEMPTS {
        take_swsm(hal, registers)?;
        value = registers.read(SW_FW_SYNC);
        if value & wanted == 0 {
            registers.write(SW_FW_SYNC, value | bit);
        }
        release_swsm(registers);
        if value & wanted == 0 {
            return Ok(());
        }
        hal.wait(BETWEEN);
    }
    Err(Busy { register: SW_FW_SYNC, value })
}

/// 82573, 82574, 82583 (82574 §10.2.2.20): the bit stays when firmware lets it.
fn take_mdio<H: Hal>(hal: &H, registers: &Registers<H>) -> Result<(), Busy> {
    const ATTEMPTS: u32 = 10;
    const BETWEEN: Duration = Duration::from_millis(2);
    const OWN: u32 = extcnf_ctrl::MDIO_SW_OWNERSHIP;
    let mut value = 0;
    for _ in 0..ATTEMPTS {
        registers.update(EXTCNF_CTRL, 0, OWN);
        value = registers.read(EXTCNF_CTRL);
        if value & OWN != 0 && value != u32::MAX {
            return Ok(());
        }
        hal.wait(BETWEEN);
    }
    registers.update(EXTCNF_CTRL, OWN, 0);
    Err(Busy { register: EXTCNF_CTRL, value })
}

/// ICH and PCH: wait until it is clear, set it, wait until it stays (82579 §10.2.1.13).
fn take_flag<H: Hal>(hal: &H, registers: &Registers<H>) -> Result<(), Busy> {
    const UNTIL_CLEAR: Duration = Duration::from_millis(100);
    const UNTIL_SET: Duration = Duration::from_secs(1);
    const FLAG: u32 = extcnf_ctrl::SWFLAG;
    let mut value = 0;
    let free = wait_until(hal, UNTIL_CLEAR, || {
        value = registers.read(EXTCNF_CTRL);
        value & FLAG == 0
    });
    if !free {
        return Err(Busy { register: EXTCNF_CTRL, value });
    }
    registers.write(EXTCNF_CTRL, value | FLAG);
    let ours = wait_until(hal, UNTIL_SET, || {
        value = registers.read(EXTCNF_CTRL);
        value & FLAG != 0
    });
    if ours && value != u32::MAX {
        return Ok(());
    }
    registers.update(EXTCNF_CTRL, FLAG, 0);
    Err(Busy { register: EXTCNF_CTRL, value })
}

/// How long hardware and well-behaved drivers hold SWSM at most: 2000 looks, 50 µs apart.
const HARDWARE: Duration = Duration::from_millis(100);
