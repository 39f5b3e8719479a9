//! Base address registers: where a function's memory windows are.

use core::fmt;

use super::{ConfigSpace, PciAddress, offset};

/// A memory window of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBar {
    /// Where the window starts, as the bus sees it.
    pub address: u64,
    /// Whether it may lie above 4 GiB.
    pub is_64bit: bool,
}

/// Why a base address register cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarError {
    /// There is no such register (0 to 5), or a 64-bit one would end outside the header.
    NoSuchBar,
    /// It is an I/O port window.
    NotMemory,
    /// Firmware gave it no address: it reads as zero.
    Unassigned,
    /// The type field holds a reserved value (bits 2:1 = 01 or 11).
    ReservedType,
}

impl fmt::Display for BarError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchBar => "there is no such base address register",
            Self::NotMemory => "the base address register is an I/O window, not memory",
            Self::Unassigned => {
                "firmware gave the base address register no address: \
                 let the hosting kernel assign PCI resources first"
            }
            Self::ReservedType => "the base address register has a reserved type",
        })
    }
}

impl core::error::Error for BarError {}

/// Decodes base address register `index` (PCI Local Bus 3.0 §6.2.5.1).
///
/// # Errors
/// See [`BarError`].
pub fn memory_bar<C: ConfigSpace + ?Sized>(
    config: &C,
    address: PciAddress,
    index: u8,
) -> Result<MemoryBar, BarError> {
    let register = |index: u8| offset::BAR0.wrapping_add(u16::from(index).wrapping_mul(4));
    if index > 5 {
        return Err(BarError::NoSuchBar);
    }
    let low = config.read(address, register(index));
    if low & 1 != 0 {
        return Err(BarError::NotMemory);
    }
    let base = u64::from(low & !0xf);
    let (base, is_64bit) = match (low >> 1) & 3 {
        0 => (base, false),
        2 if index == 5 => return Err(BarError::NoSuchBar),
        2 => {
            let high = config.read(address, register(index.wrapping_add(1)));
            (base | (u64::from(high) << 32), true)
        }
        _ => return Err(BarError::ReservedType),
    };
    if base == 0 { Err(BarError::Unassigned) } else { Ok(MemoryBar { address: base, is_64bit }) }
}

/// The first I/O window of a function: its first port, when firmware gave it one.
pub fn port_bar<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) -> Option<u16> {
    const IS_PORT: u32 = 1;
    const IS_64BIT: u32 = 2 << 1;
    let mut bars = offsets().take(6);
    while let Some(at) = bars.next() {
        let bar = config.read(address, at);
        if bar & IS_PORT != 0 {
            return u16::try_from(bar & !3).ok().filter(|port| *port != 0);
        }
        if bar & (3 << 1) == IS_64BIT {
            // The next one is the upper half.
            let _ = bars.next();
        }
    }
    None
}

/// Base address registers as they were, for a function that forgets them in a deep power state or
/// a reset of its bus (PCI Power Management 1.2 §5.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SavedBars([u32; 6]);

impl SavedBars {
    /// Reads all six.
    pub(crate) fn of<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) -> Self {
        let mut bars = [0; 6];
        for (bar, at) in bars.iter_mut().zip(offsets()) {
            *bar = config.read(address, at);
        }
        Self(bars)
    }

    /// Writes back those that differ; says whether there were any.
    pub(crate) fn restore<C: ConfigSpace + ?Sized>(&self, config: &C, address: PciAddress) -> bool {
        let mut was_lost = false;
        for (bar, at) in self.0.into_iter().zip(offsets()) {
            if config.read(address, at) != bar {
                config.write(address, at, bar);
                was_lost = true;
            }
        }
        was_lost
    }
}

fn offsets() -> impl Iterator<Item = u16> {
    (offset::BAR0..).step_by(4)
}

#[cfg(test)]
mod tests {
    use super::super::machine::{Machine, Words, at};
    use super::*;

    #[test]
    fn base_addresses() {
        let bar = |index, words: Words<'_>| {
            memory_bar(&Machine::with(&[(0, 3, 0, words)]), at(0, 3, 0), index)
        };
        let low = MemoryBar { address: 0xfebc_0000, is_64bit: false };
        assert_eq!(bar(0, &[(0x10, 0xfebc_0000)]), Ok(low));
        assert_eq!(bar(0, &[(0x10, 0xfebc_0008)]), Ok(low), "prefetchable");
        let high = MemoryBar { address: 0x12_febc_0000, is_64bit: true };
        assert_eq!(bar(2, &[(0x18, 0xfebc_0004), (0x1c, 0x12)]), Ok(high));
        assert_eq!(bar(0, &[(0x10, 0x4), (0x14, 0)]), Err(BarError::Unassigned));
        assert_eq!(bar(0, &[(0x10, 0xc001)]), Err(BarError::NotMemory));
        assert_eq!(bar(0, &[(0x10, 0xfebc_0006)]), Err(BarError::ReservedType));
        assert_eq!(bar(5, &[(0x24, 0xfebc_0004)]), Err(BarError::NoSuchBar));
        assert_eq!(bar(6, &[]), Err(BarError::NoSuchBar));
    }

    #[test]
    fn ports_are_found_behind_memory_windows() {
        let port = |words: Words<'_>| port_bar(&Machine::with(&[(0, 3, 0, words)]), at(0, 3, 0));
        assert_eq!(port(&[(0x10, 0xfebc_0000), (0x14, 0xc001)]), Some(0xc000));
        assert_eq!(port(&[(0x10, 0x4), (0x14, 0xc001), (0x18, 0xd001)]), Some(0xd000));
        assert_eq!(port(&[(0x10, 0xfebc_0000), (0x14, 1)]), None, "no address");
        assert_eq!(port(&[(0x14, 0x1_c001)]), None, "no such port");
        assert_eq!(port(&[(0x24, 0xc004)]), None);
    }

    #[test]
    fn windows_that_were_lost_come_back_and_others_are_not_written() {
        let machine = Machine::with(&[(0, 3, 0, &[(0x10, 0xfebc_0000), (0x1c, 0xfebe_0000)])]);
        let address = at(0, 3, 0);
        let saved = SavedBars::of(&machine, address);
        assert!(!saved.restore(&machine, address));
        machine.write(address, 0x1c, 0);
        assert!(saved.restore(&machine, address));
        assert_eq!(machine.read(address, 0x1c), 0xfebe_0000);
        assert_eq!(machine.read(address, 0x20), 0);
    }
}
