//! What the kernel breaks on purpose, to show that a boot survives it.

use isboot_transport::hal::Hal;
use isboot_transport::pci::{ConfigSpace, PciAddress, capability, capability_id, memory_bar};

use crate::interrupt;
use crate::machine::Machine;
use crate::pci::ConfigPorts;

/// A fault in the way that the card's interrupts take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breakage {
    /// Messages go where nobody listens, from the start.
    NoMessages,
    /// Neither messages nor the line reach the processor, from the start.
    Deaf,
    /// The MSI-X table's entries get masked, once: messages stay pending in the card.
    MaskedVector,
    /// The MSI-X table's entries name an address where nobody listens, as often as anybody mends
    /// them: messages get lost.
    LostVector,
    /// The handler no longer acknowledges: a line stays asserted.
    Storm,
}

impl Breakage {
    pub(crate) const NAMES: &str = "no-messages, deaf, masked-vector, lost-vector or storm";

    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "no-messages" => Some(Self::NoMessages),
            "deaf" => Some(Self::Deaf),
            "masked-vector" => Some(Self::MaskedVector),
            "lost-vector" => Some(Self::LostVector),
            "storm" => Some(Self::Storm),
            _ => None,
        }
    }

    /// Whether messages go astray from the start, and whether the line leads nowhere.
    pub(crate) fn at_start(self) -> (bool, bool) {
        (matches!(self, Self::NoMessages | Self::Deaf), self == Self::Deaf)
    }

    /// Breaks it under way, for the first time or `again`.
    pub(crate) fn strike(self, card: PciAddress, again: bool) {
        if !again {
            log::info!("breaking on purpose: {self:?}");
        }
        match self {
            Self::LostVector => {
                change_table(card, |entry| entry[MESSAGE_ADDRESS] = NOBODY as u32);
            }
            _ if again => {}
            Self::NoMessages | Self::Deaf => {}
            Self::MaskedVector => change_table(card, |entry| entry[VECTOR_CONTROL] |= 1),
            Self::Storm => interrupt::stop_acknowledging(),
        }
    }
}

/// Words of an entry of the table (PCI Local Bus 3.0 §6.8.2).
const ENTRY: usize = 4;
const MESSAGE_ADDRESS: usize = 0;
const VECTOR_CONTROL: usize = 3;

/// The address of a local APIC that no machine of ours has.
pub(crate) const NOBODY: u64 = 0xfee0_0000 | 0xe0 << 12;

/// Shows every entry of the card's MSI-X table to `change`; of a card without one, none.
fn change_table(card: PciAddress, change: impl Fn(&mut [u32; ENTRY])) {
    let Some(at) = capability(&ConfigPorts, card, capability_id::MSI_X) else { return };
    let entries = (ConfigPorts.read(card, at) >> 16 & 0x7ff) + 1;
    let table = ConfigPorts.read(card, at + 4);
    let Ok(bar) = memory_bar(&ConfigPorts, card, (table & 7) as u8) else { return };
    let length = entries as usize * size_of::<[u32; ENTRY]>();
    let Some(start) = Machine.map(bar.address + u64::from(table & !7), length) else { return };
    for index in 0..entries as usize {
        let words = core::array::from_fn::<_, ENTRY, _>(|word| {
            start.cast::<u32>().as_ptr().wrapping_add(index * ENTRY + word)
        });
        // SAFETY: inside the mapping; registers of the card that only route its interrupts.
        let old = words.map(|word| unsafe { word.read_volatile() });
        let mut new = old;
        change(&mut new);
        for ((word, new), old) in words.into_iter().zip(new).zip(old) {
            if new != old {
                // SAFETY: as above.
                unsafe { word.write_volatile(new) };
            }
        }
    }
}
