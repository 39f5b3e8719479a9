//! The EEPROM of parts without EERD, clocked bit by bit through EECD (8254x §5.3.1; 93C46).

use core::time::Duration;

use crate::hal::Hal;
use crate::intel::registers::{EECD, Registers, eecd};

/// Reads one word. Whether an EEPROM answers cannot be told: without one, the word is all ones.
pub(super) fn word<H: Hal>(hal: &H, registers: &Registers<H>, address: u8) -> u16 {
    /// Start bit, then the operation code of a read.
    const READ: u16 = 0b110;
    const ADDRESS_BITS: u32 = 6;
    let rest = registers.read(EECD) & !(eecd::SK | eecd::CS | eecd::DI | eecd::DO);
    let wires = Wires { hal, registers, rest };
    wires.set(0);
    wires.set(eecd::CS);
    wires.shift_out(READ, 3);
    wires.shift_out(u16::from(address), ADDRESS_BITS);
    let word = wires.shift_in();
    // Deselect, and one clock so that it is seen.
    wires.set(0);
    wires.set(eecd::SK);
    wires.set(0);
    word
}

struct Wires<'a, H: Hal> {
    hal: &'a H,
    registers: &'a Registers<H>,
    rest: u32,
}

impl<H: Hal> Wires<'_, H> {
    fn set(&self, wires: u32) {
        /// Half a clock.
        const SETTLE: Duration = Duration::from_micros(50);
        self.registers.write(EECD, self.rest | wires);
        self.registers.flush();
        self.hal.wait(SETTLE);
    }

    fn shift_out(&self, value: u16, bits: u32) {
        for bit in (0..bits).rev() {
            let data = if value >> bit & 1 != 0 { eecd::DI } else { 0 };
            self.set(eecd::CS | data);
            self.set(eecd::CS | data | eecd::SK);
            self.set(eecd::CS | data);
        }
    }

    fn shift_in(&self) -> u16 {
        (0..u16::BITS).fold(0, |value, _| {
            self.set(eecd::CS | eecd::SK);
            let bit = self.registers.read(EECD) & eecd::DO != 0;
            self.set(eecd::CS);
            value << 1 | u16::from(bit)
        })
    }
}
