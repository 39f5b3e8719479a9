//! Configuration space made of words, for the tests of this module.

use core::cell::RefCell;
use std::collections::BTreeMap;

use super::{ConfigSpace, PciAddress};

/// Offsets and what is there.
pub(super) type Words<'a> = &'a [(u16, u32)];

/// Functions with 64 words each; everything else reads as all ones.
#[derive(Default)]
pub(super) struct Machine(RefCell<BTreeMap<PciAddress, [u32; 64]>>);

impl Machine {
    pub(super) fn with(functions: &[(u8, u8, u8, Words<'_>)]) -> Self {
        let machine = Self::default();
        for (bus, device, function, words) in functions {
            let mut config = [0; 64];
            for (offset, word) in *words {
                config[usize::from(*offset) / 4] = *word;
            }
            machine.0.borrow_mut().insert(at(*bus, *device, *function), config);
        }
        machine
    }
}

impl ConfigSpace for Machine {
    fn read(&self, address: PciAddress, offset: u16) -> u32 {
        let functions = self.0.borrow();
        functions.get(&address).map_or(u32::MAX, |config| config[usize::from(offset) / 4])
    }

    fn write(&self, address: PciAddress, offset: u16, value: u32) {
        if let Some(config) = self.0.borrow_mut().get_mut(&address) {
            config[usize::from(offset) / 4] = value;
        }
    }
}

pub(super) fn at(bus: u8, device: u8, function: u8) -> PciAddress {
    PciAddress { segment: 0, bus, device, function }
}
