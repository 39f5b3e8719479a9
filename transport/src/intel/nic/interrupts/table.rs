//! The MSI-X table of the part: in one of its own windows, mapped while it is used.

use super::{Part, Unusable};
use crate::hal::Hal;
use crate::intel::registers::{Mapping, Register};
use crate::pci::{ConfigSpace, Message, MsiX};

/// The MSI-X table of the part, mapped.
pub(super) struct Table<H: Hal> {
    capability: MsiX,
    mapping: Mapping<H>,
    /// Where vector 0 is in the mapping.
    first: Register,
}

impl<H: Hal + Clone> Table<H> {
    const PAGE: u64 = 4096;

    /// Turns MSI-X on with the message in the vectors in use and every other one masked.
    pub(super) fn write<C: ConfigSpace>(
        part: &Part<H, C>,
        mapped: Option<Self>,
        message: Message,
    ) -> Result<Self, Unusable> {
        let capability = MsiX::of(&part.config, part.address)?;
        let entry = MsiX::entry(message)?;
        let table = match mapped {
            Some(table) if table.capability == capability => table,
            _ => Self::map(part, capability)?,
        };
        capability.enable_masked(&part.config, part.address);
        for vector in 0..capability.vectors {
            table.mapping.write(table.word(vector, 3), MsiX::MASKED);
        }
        for vector in 0..Self::used(part).min(capability.vectors) {
            for (word, value) in (0..).zip(entry) {
                table.mapping.write(table.word(vector, word), value);
            }
        }
        capability.unmask(&part.config, part.address);
        Ok(table)
    }

    fn map<C: ConfigSpace>(part: &Part<H, C>, capability: MsiX) -> Result<Self, Unusable> {
        let into_page = capability.table % Self::PAGE;
        let page = capability.table.wrapping_sub(into_page);
        let bytes = u64::from(capability.vectors).saturating_mul(MsiX::ENTRY);
        let len = into_page.saturating_add(bytes).next_multiple_of(Self::PAGE);
        let unmapped = Unusable::Unmapped(capability.table);
        let Ok(len) = usize::try_from(len) else { return Err(unmapped) };
        let Some(mapping) = Mapping::new(part.hal.clone(), page, len) else {
            return Err(unmapped);
        };
        Ok(Self { capability, mapping, first: Register::at((into_page & 0xfff) as u32) })
    }

    /// What is no longer as it was written.
    pub(super) fn fault<C: ConfigSpace>(
        &self,
        part: &Part<H, C>,
        message: Message,
    ) -> Option<&'static str> {
        let [low, high, data, _] = MsiX::entry(message).ok()?;
        let fault_of = |vector| {
            let read = |word| self.mapping.read(self.word(vector, word));
            if (read(0), read(1)) != (low, high) {
                Some("MSI-X entry address")
            } else if read(2) != data {
                Some("MSI-X entry data")
            } else if read(3) & MsiX::MASKED != 0 {
                Some("MSI-X entry mask")
            } else {
                None
            }
        };
        let fault = self.capability.fault(&part.config, part.address);
        let used = 0..Self::used(part).min(self.capability.vectors);
        fault.or_else(|| used.into_iter().find_map(fault_of))
    }

    fn used<C: ConfigSpace>(part: &Part<H, C>) -> u32 {
        part.model.family.quirks().interrupts.vectors()
    }

    fn word(&self, vector: u32, word: u32) -> Register {
        let [entry, size] = [MsiX::ENTRY as u32, 4];
        self.first.nth(vector, entry).nth(word, size)
    }
}
