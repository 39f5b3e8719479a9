//! The link between controller and PHY (Kumeran) of ICH, PCH and 80003ES2LAN has registers too.

use core::time::Duration;

use super::{Phy, PhyError};
use crate::hal::Hal;
use crate::intel::registers::{KMRNCTRLSTA, kmrn};

/// How long an access takes.
const ACCESS: Duration = Duration::from_micros(2);

impl<H: Hal> Phy<'_, H> {
    pub(super) fn read_kumeran(&self, register: u32) -> Result<u16, PhyError> {
        let registers = self.bus.registers;
        registers.write(KMRNCTRLSTA, register << kmrn::OFFSET_SHIFT | kmrn::REN);
        registers.flush();
        self.bus.hal.wait(ACCESS);
        match registers.read(KMRNCTRLSTA) {
            u32::MAX => Err(PhyError::Timeout(u32::MAX)),
            value => Ok((value & 0xffff) as u16),
        }
    }

    pub(super) fn write_kumeran(&self, register: u32, value: u16) {
        let registers = self.bus.registers;
        registers.write(KMRNCTRLSTA, register << kmrn::OFFSET_SHIFT | u32::from(value));
        registers.flush();
        self.bus.hal.wait(ACCESS);
    }

    pub(super) fn update_kumeran(
        &self,
        register: u32,
        clear: u16,
        set: u16,
    ) -> Result<(), PhyError> {
        let value = self.read_kumeran(register)?;
        self.write_kumeran(register, (value & !clear) | set);
        Ok(())
    }
}
