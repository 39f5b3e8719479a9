//! The locks between drivers and firmware.
//!
//! Who touches the PHY of a part without holding what guards it is noted: see
//! [`Machine::violations`](crate::Machine::violations).

use crate::device::State;
use crate::family::Lock;
use crate::register::{EXTCNF_CTRL, FWSM, SW_FW_SYNC, SWSM};

const SMBI: u32 = 1 << 0;
const SWESMBI: u32 = 1 << 1;
/// EXTCNF_CTRL: SWFLAG of the chipsets, MDIO_SW_OWNERSHIP of the 82573 and its kin.
const OWNED: u32 = 1 << 5;
/// FWSM.RSPCIPHY: the PHY may be reset.
const RSPCIPHY: u32 = 1 << 6;
/// SW_FW_SYNC: the copies for firmware.
const FIRMWARE_SHIFT: u32 = 16;
const PHYS: u32 = 0x66;

/// Who holds what, besides the driver.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holders {
    /// SMBI reads as taken from the start: another agent took it and died, as PXE may, or QEMU's
    /// e1000e.
    pub stale_smbi: bool,
    /// SWESMBI cannot be set: firmware never lets go.
    pub firmware_holds_swesmbi: bool,
    /// Resources in SW_FW_SYNC that firmware holds, in the low half.
    pub firmware_resources: u32,
    /// SWFLAG or MDIO_SW_OWNERSHIP cannot be set: firmware never lets go.
    pub firmware_holds_bus: bool,
    /// FWSM forbids to reset the PHY.
    pub firmware_forbids_phy_reset: bool,
}

impl State {
    /// What a reset leaves: SWSM is between agents that outlive it, of which the first to come
    /// finds it as `swsm` was.
    pub(crate) fn semaphores_reset(&mut self, swsm: u32) {
        let holders = self.behaviour.holders;
        self.set(SWSM, swsm);
        self.set(SW_FW_SYNC, holders.firmware_resources << FIRMWARE_SHIFT);
        self.set(EXTCNF_CTRL, 0);
        let is_allowed = !holders.firmware_forbids_phy_reset;
        self.set(FWSM, if is_allowed { RSPCIPHY } else { 0 });
    }

    /// Reading takes SMBI when it was free.
    pub(crate) fn read_swsm(&mut self) -> u32 {
        let value = self.get(SWSM);
        self.set(SWSM, value | SMBI);
        value
    }

    /// Whether it was one of the semaphores.
    pub(crate) fn write_semaphore(&mut self, register: u32, value: u32) -> bool {
        let holders = self.behaviour.holders;
        match register {
            SWSM => {
                let refused = if holders.firmware_holds_swesmbi { SWESMBI } else { 0 };
                self.set(SWSM, value & !refused);
            }
            SW_FW_SYNC => {
                if self.get(SWSM) & SWESMBI == 0 {
                    self.violation("SW_FW_SYNC was written without SWESMBI");
                }
                let firmware = holders.firmware_resources;
                if value & firmware & 0xffff != 0 {
                    self.violation("a resource was taken that firmware holds");
                }
                self.set(SW_FW_SYNC, (value & 0xffff) | firmware << FIRMWARE_SHIFT);
            }
            EXTCNF_CTRL => {
                let refused = if holders.firmware_holds_bus { OWNED } else { 0 };
                self.set(EXTCNF_CTRL, value & !refused);
            }
            _ => return false,
        }
        true
    }

    /// The PHY is used: by whoever must hold its lock.
    pub(crate) fn check_phy_lock(&mut self) {
        let is_held = match self.traits.lock {
            Lock::None => true,
            Lock::Swsm => self.get(SWSM) & SWESMBI != 0,
            Lock::SwFwSync => self.get(SW_FW_SYNC) & PHYS != 0,
            Lock::MdioOwnership | Lock::SwFlag => self.get(EXTCNF_CTRL) & OWNED != 0,
        };
        if !is_held {
            self.violation("the PHY was used without its lock");
        }
    }

    /// What is held on the driver's side: nothing, once it is gone.
    pub(crate) fn held(&self) -> u32 {
        let uses_swsm = matches!(self.traits.lock, Lock::Swsm | Lock::SwFwSync);
        (if uses_swsm { self.get(SWSM) & (SMBI | SWESMBI) } else { 0 })
            | (self.get(SW_FW_SYNC) & 0xffff) << 8
            | (self.get(EXTCNF_CTRL) & OWNED) << 24
    }
}
