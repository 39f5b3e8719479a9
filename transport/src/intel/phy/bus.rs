//! The bus to the PHY: MDIC, or two pins.

use core::time::Duration;

use super::PhyError;
use crate::hal::{Hal, wait_until};
use crate::intel::family::{PhyBus, PhyCare, Quirks};
use crate::intel::registers::{CTRL, MDIC, Registers, ctrl};

pub(super) struct Bus<'a, H: Hal> {
    pub(super) hal: &'a H,
    pub(super) registers: &'a Registers<H>,
    pub(super) quirks: &'a Quirks,
}

impl<H: Hal> Bus<'_, H> {
    pub(super) fn read(&self, phy: u8, register: u8) -> Result<u16, PhyError> {
        const READ: u32 = 2 << 26;
        if self.quirks.phy_bus == PhyBus::Wires {
            return Ok(self.read_by_wire(phy, register));
        }
        let value = self.transfer(READ | select(phy, register))?;
        Ok((value & 0xffff) as u16)
    }

    pub(super) fn write(&self, phy: u8, register: u8, value: u16) -> Result<(), PhyError> {
        const WRITE: u32 = 1 << 26;
        if self.quirks.phy_bus == PhyBus::Wires {
            self.write_by_wire(phy, register, value);
            return Ok(());
        }
        self.transfer(WRITE | select(phy, register) | u32::from(value)).map(drop)
    }

    /// One exchange through MDIC (8254x §13.4.6, 82574 §10.2.2.7): 64 bits at 2.5 MHz are 26 µs;
    /// 100 ms is far beyond any arbitration.
    fn transfer(&self, command: u32) -> Result<u32, PhyError> {
        const READY: u32 = 1 << 28;
        const ERROR: u32 = 1 << 30;
        const LIMIT: Duration = Duration::from_millis(100);
        /// Without it the next exchange may return this one's data.
        const RECOVERY_82579: Duration = Duration::from_micros(100);
        self.registers.write(MDIC, command);
        let mut value = 0;
        let ready = wait_until(self.hal, LIMIT, || {
            value = self.registers.read(MDIC);
            value & READY != 0
        });
        if self.quirks.phy_care == PhyCare::Pch2 {
            self.hal.wait(RECOVERY_82579);
        }
        let another_register = (value ^ command) & REGISTER_MASK != 0;
        if value & ERROR != 0 || (ready && another_register) {
            Err(PhyError::Refused(value))
        } else if ready {
            Ok(value)
        } else {
            Err(PhyError::Timeout(value))
        }
    }

    // The 82543 has no MDIC: software moves the two wires of the bus (802.3 §22.2.4.5).

    fn read_by_wire(&self, phy: u8, register: u8) -> u16 {
        const START_READ: u32 = 0b01_10;
        self.clock_out(u32::MAX, 32);
        self.clock_out(START_READ << 10 | u32::from(phy & 31) << 5 | u32::from(register & 31), 14);
        let control = self.registers.read(CTRL) & !(ctrl::MDIO_DIR | ctrl::MDIO);
        self.wires(control);
        // The turnaround.
        self.pulse(control);
        let value = (0..u16::BITS).fold(0, |value, _| {
            self.wires(control | ctrl::MDC);
            let bit = self.registers.read(CTRL) & ctrl::MDIO != 0;
            self.wires(control & !ctrl::MDC);
            value << 1 | u16::from(bit)
        });
        self.pulse(control);
        value
    }

    fn write_by_wire(&self, phy: u8, register: u8, value: u16) {
        const START_WRITE: u32 = 0b01_01;
        const TURNAROUND: u32 = 0b10;
        let head = START_WRITE << 12
            | u32::from(phy & 31) << 7
            | u32::from(register & 31) << 2
            | TURNAROUND;
        self.clock_out(u32::MAX, 32);
        self.clock_out(head << 16 | u32::from(value), 32);
    }

    fn clock_out(&self, bits: u32, count: u32) {
        let control = self.registers.read(CTRL) | ctrl::MDIO_DIR | ctrl::MDC_DIR;
        for bit in (0..count).rev() {
            let data = if bits >> bit & 1 != 0 { ctrl::MDIO } else { 0 };
            let control = control & !(ctrl::MDIO | ctrl::MDC) | data;
            self.wires(control);
            self.pulse(control);
        }
    }

    fn pulse(&self, control: u32) {
        self.wires(control | ctrl::MDC);
        self.wires(control & !ctrl::MDC);
    }

    fn wires(&self, control: u32) {
        const SETTLE: Duration = Duration::from_micros(10);
        self.registers.write(CTRL, control);
        self.registers.flush();
        self.hal.wait(SETTLE);
    }
}

const REGISTER_MASK: u32 = 0x1f << 16;

fn select(phy: u8, register: u8) -> u32 {
    u32::from(phy & 0x1f) << 21 | u32::from(register & 0x1f) << 16
}
