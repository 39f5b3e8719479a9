//! The management bus of the 82543: two of CTRL's software-defined pins (8254x §13.4.1; IEEE 802.3
//! §22.2.4.5). A PHY at address 1 listens.

use crate::phy::Phy;

/// SWDPIN2: data.
const MDIO: u32 = 1 << 20;
/// SWDPIN3: clock.
const MDC: u32 = 1 << 21;
/// SWDPIO2: software drives the data pin.
const MDIO_DIRECTION: u32 = 1 << 24;

const PREAMBLE: u32 = 32;
/// Start, operation, address, register.
const HEAD: u32 = 14;
const START_READ: u32 = 0b01_10;
const START_WRITE: u32 = 0b01_01;
const ADDRESS: u32 = 1;

/// Where a transfer is.
#[derive(Clone, Copy, Debug, Default)]
enum Phase {
    /// So many ones were seen.
    #[default]
    Idle,
    /// So many bits of the head, which are these.
    Head { count: u32, bits: u32 },
    /// The turnaround and the word from the PHY: so many clocks, this word.
    Read { count: u32, word: u16 },
    /// The turnaround and the word to the PHY: so many bits, which are these.
    Write { count: u32, bits: u32, register: u8 },
    /// Another PHY's: so many clocks.
    Other { count: u32 },
}

/// The two wires.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wires {
    phase: Phase,
    ones: u32,
    was_high: bool,
    /// What the PHY puts on the data wire.
    out: bool,
}

impl Wires {
    /// CTRL as it reads after `value` was written to it.
    pub(crate) fn write(&mut self, value: u32, phy: &mut Phy, is_link_up: bool) -> u32 {
        let is_high = value & MDC != 0;
        if is_high && !self.was_high {
            let bit = value & MDIO_DIRECTION != 0 && value & MDIO != 0;
            self.clock(bit, phy, is_link_up);
        }
        self.was_high = is_high;
        if value & MDIO_DIRECTION != 0 {
            value
        } else {
            (value & !MDIO) | if self.out { MDIO } else { 0 }
        }
    }

    fn clock(&mut self, bit: bool, phy: &mut Phy, is_link_up: bool) {
        let one = u32::from(bit);
        self.phase = match self.phase {
            Phase::Idle if bit => {
                self.ones += 1;
                Phase::Idle
            }
            Phase::Idle if self.ones < PREAMBLE => {
                self.ones = 0;
                Phase::Idle
            }
            Phase::Idle => Phase::Head { count: 1, bits: 0 },
            Phase::Head { count, bits } if count + 1 < HEAD => {
                Phase::Head { count: count + 1, bits: bits << 1 | one }
            }
            Phase::Head { bits, .. } => {
                let bits = bits << 1 | one;
                let register = (bits & 0x1f) as u8;
                match (bits >> 10, bits >> 5 & 0x1f) {
                    (START_READ, ADDRESS) => {
                        Phase::Read { count: 0, word: phy.read(1, register, is_link_up) }
                    }
                    (START_WRITE, ADDRESS) => Phase::Write { count: 0, bits: 0, register },
                    _ => Phase::Other { count: 0 },
                }
            }
            // The first clock is the turnaround, in which the PHY drives a zero.
            Phase::Read { count: 0, word } => {
                self.out = false;
                Phase::Read { count: 1, word }
            }
            Phase::Read { count: 17, .. } => self.end(),
            Phase::Read { count, word } => {
                self.out = word >> (16 - count) & 1 != 0;
                Phase::Read { count: count + 1, word }
            }
            Phase::Write { count: 17, bits, register } => {
                phy.write(1, register, (bits << 1 | one) as u16);
                self.end()
            }
            Phase::Write { count, bits, register } => {
                Phase::Write { count: count + 1, bits: bits << 1 | one, register }
            }
            Phase::Other { count: 17 } => self.end(),
            Phase::Other { count } => Phase::Other { count: count + 1 },
        };
    }

    fn end(&mut self) -> Phase {
        self.ones = 0;
        self.out = true;
        Phase::Idle
    }
}
