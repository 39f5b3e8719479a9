//! The proof that a card that was let go is quiet: it writes nothing to the memory that it had.

use core::fmt;
use core::time::Duration;

use isboot_transport::hal::Clock;
use isboot_transport::pci::{PciAddress, is_bus_master};

use crate::arena;
use crate::interrupt;
use crate::machine::Machine;
use crate::pci::ConfigPorts;

/// Long enough for frames on their way, and for the target's retransmissions.
const WATCH: Duration = Duration::from_millis(100);

/// What a card did after it was let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quiet {
    Yes,
    BusMaster,
    Interrupted,
    WroteTo { address: usize },
}

impl fmt::Display for Quiet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes => f.write_str("quiet"),
            Self::BusMaster => f.write_str("still bus master"),
            Self::Interrupted => f.write_str("still interrupts"),
            Self::WroteTo { address } => write!(f, "wrote to {address:#x}"),
        }
    }
}

/// Fills all free memory, the card's former rings and buffers among it, and watches it; the card's
/// right to write, and its messages, too.
pub(crate) fn watch(card: PciAddress) -> Quiet {
    if is_bus_master(&ConfigPorts, card) {
        return Quiet::BusMaster;
    }
    interrupt::forget_pending();
    arena::for_each_free(|memory| memory.fill(CANARY));
    Machine.wait(WATCH);
    let mut quiet = match (is_bus_master(&ConfigPorts, card), interrupt::is_pending()) {
        (true, _) => Quiet::BusMaster,
        (_, true) => Quiet::Interrupted,
        _ => Quiet::Yes,
    };
    arena::for_each_free(|memory| {
        // Volatile, since a device's writes are behind the compiler's back.
        for byte in memory {
            let place = &raw const *byte;
            // SAFETY: a byte that was just lent.
            if unsafe { place.read_volatile() } != CANARY {
                quiet = Quiet::WroteTo { address: place as usize };
            }
        }
    });
    quiet
}

const CANARY: u8 = 0xc5;
