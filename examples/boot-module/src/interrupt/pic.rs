//! The pair of 8259A interrupt controllers: the lines of PCI, as firmware routed them.

use crate::port::Port;

use super::PIC_VECTORS;

/// The lines of both.
const LINES: u8 = 16;
/// The master's line that the slave is on.
const CASCADE: u8 = 2;

/// Both controllers, every line masked until it is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pic(());

impl Pic {
    /// Sets them up, whatever firmware left: the vectors from [`PIC_VECTORS`] on, all masked.
    /// `None` on a machine that has none.
    pub(super) fn start() -> Option<Self> {
        const INITIALIZE: u8 = 0x11; // ICW1: cascaded, ICW4 follows
        const PROCESSOR_8086: u8 = 0x01; // ICW4: non-specific end of interrupt
        SLAVE_DATA.write_u8(0xff);
        // All but the cascade: nothing else reads back like a mask just written.
        let mask = !(1 << CASCADE);
        MASTER_DATA.write_u8(mask);
        if MASTER_DATA.read_u8() != mask {
            return None;
        }
        for (command, data, vectors, wiring) in [
            (MASTER_COMMAND, MASTER_DATA, PIC_VECTORS, 1 << CASCADE),
            (SLAVE_COMMAND, SLAVE_DATA, PIC_VECTORS + 8, CASCADE),
        ] {
            command.write_u8(INITIALIZE);
            data.write_u8(vectors);
            data.write_u8(wiring);
            data.write_u8(PROCESSOR_8086);
        }
        MASTER_DATA.write_u8(mask);
        SLAVE_DATA.write_u8(0xff);
        Some(Self(()))
    }

    /// Lets a line through, triggered by its level as PCI wants it. Says whether there is such a
    /// line that a PCI device can be on: not those of the timer, the cascade and the like.
    pub(super) fn unmask(self, line: u8) -> bool {
        if line >= LINES || matches!(line, 0 | 1 | CASCADE | 8 | 13) {
            return false;
        }
        let (data, levels, bit) = Self::ports(line);
        levels.write_u8(levels.read_u8() | bit);
        data.write_u8(data.read_u8() & !bit);
        true
    }

    pub(super) fn mask(self, line: u8) {
        let (data, _, bit) = Self::ports(line);
        data.write_u8(data.read_u8() | bit);
    }

    fn ports(line: u8) -> (Port, Port, u8) {
        let bit = 1 << (line % 8);
        if line < 8 { (MASTER_DATA, MASTER_LEVELS, bit) } else { (SLAVE_DATA, SLAVE_LEVELS, bit) }
    }
}

/// Whether a line that raised its vector is really in service: the last of each controller also
/// stands for an interrupt that went away meanwhile (8259A data sheet, "spurious").
pub(super) fn is_in_service(line: u8) -> bool {
    const READ_IN_SERVICE: u8 = 0x0b; // OCW3
    let command = if line < 8 { MASTER_COMMAND } else { SLAVE_COMMAND };
    command.write_u8(READ_IN_SERVICE);
    command.read_u8() & 1 << (line % 8) != 0
}

/// Says that the interrupt in service is done with; of a spurious one only the master knows.
pub(super) fn end_of_interrupt(line: u8, in_service: bool) {
    const NON_SPECIFIC: u8 = 0x20; // OCW2
    if line >= 8 {
        if in_service {
            SLAVE_COMMAND.write_u8(NON_SPECIFIC);
        }
        MASTER_COMMAND.write_u8(NON_SPECIFIC);
    } else if in_service {
        MASTER_COMMAND.write_u8(NON_SPECIFIC);
    }
}

// SAFETY: an interrupt controller reaches no memory. What it raises has a gate, once it is
// unmasked and let in.
const MASTER_COMMAND: Port = unsafe { Port::new(0x20) };
// SAFETY: as above.
const MASTER_DATA: Port = unsafe { Port::new(0x21) };
// SAFETY: as above.
const SLAVE_COMMAND: Port = unsafe { Port::new(0xa0) };
// SAFETY: as above.
const SLAVE_DATA: Port = unsafe { Port::new(0xa1) };
// SAFETY: as above: which lines are triggered by level (82371 §3.3.1.1, ELCR1 and ELCR2).
const MASTER_LEVELS: Port = unsafe { Port::new(0x4d0) };
// SAFETY: as above.
const SLAVE_LEVELS: Port = unsafe { Port::new(0x4d1) };
