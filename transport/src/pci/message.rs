//! Message signalled interrupts: an interrupt as a memory write of the function.
//!
//! MSI keeps its message in configuration space (PCI Local Bus 3.0 §6.8.1), MSI-X in a table in
//! one of the function's memory windows (§6.8.2). One message is used of either.

use core::fmt;

use super::{BarError, ConfigSpace, PciAddress, capability, capability_id, memory_bar};

/// What a function writes, and where, to interrupt a processor. The hosting kernel makes it up
/// from its interrupt controller: on x86, `0xfee0_0000 | destination << 12` and the vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Where to write, as the bus sees it: a multiple of 4.
    pub address: u64,
    /// What to write. MSI carries 16 bits of it.
    pub data: u32,
}

/// Why a message cannot be used with one of the two capabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MessageError {
    /// The function has no such capability.
    NoCapability,
    /// The message's address is no multiple of 4, or lies out of reach: above 4 GiB for an MSI
    /// capability of 32 bits.
    Address(u64),
    /// MSI carries 16 bits of data.
    Data(u32),
    /// The window with the MSI-X table cannot be used.
    Table(BarError),
}

impl fmt::Display for MessageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCapability => f.write_str("the function has no such capability"),
            Self::Address(address) => write!(f, "the function cannot write to {address:#x}"),
            Self::Data(data) => write!(f, "{data:#x} does not fit the 16 bits that MSI carries"),
            Self::Table(error) => write!(f, "the window with its table: {error}"),
        }
    }
}

/// Turns message signalled interrupts off in both forms.
pub fn disable_message_interrupts<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) {
    let forms =
        [(capability_id::MSI, msi_control::ENABLE), (capability_id::MSI_X, msi_x_control::ENABLE)];
    for (id, enable) in forms {
        if let Some(at) = capability(config, address, id) {
            update(config, address, at, enable, 0);
        }
    }
}

/// The MSI capability of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Msi {
    at: u16,
    is_64bit: bool,
    is_maskable: bool,
}

impl Msi {
    /// Looks for it.
    pub(crate) fn of<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) -> Option<Self> {
        let at = capability(config, address, capability_id::MSI)?;
        let control = config.read(address, at);
        Some(Self {
            at,
            is_64bit: control & msi_control::IS_64BIT != 0,
            is_maskable: control & msi_control::IS_MASKABLE != 0,
        })
    }

    /// Programs one message and turns MSI on.
    ///
    /// # Errors
    /// [`MessageError::Address`] and [`MessageError::Data`]: nothing was written then.
    pub(crate) fn enable<C: ConfigSpace + ?Sized>(
        &self,
        config: &C,
        address: PciAddress,
        message: Message,
    ) -> Result<(), MessageError> {
        let [low, high] = address_words(message.address)?;
        if high != 0 && !self.is_64bit {
            return Err(MessageError::Address(message.address));
        }
        if message.data > 0xffff {
            return Err(MessageError::Data(message.data));
        }
        // Off while it is half written, and one message however many firmware had chosen.
        let clear = msi_control::ENABLE | msi_control::MESSAGES_ENABLED;
        update(config, address, self.at, clear, 0);
        config.write(address, self.low(), low);
        if self.is_64bit {
            config.write(address, self.high(), high);
        }
        // The upper half is reserved, or the extended data that nothing here uses.
        config.write(address, self.data(), message.data);
        if let Some(mask) = self.mask() {
            update(config, address, mask, FIRST_VECTOR, 0);
        }
        update(config, address, self.at, 0, msi_control::ENABLE);
        Ok(())
    }

    /// What of it is no longer as [`enable`](Self::enable) left it.
    pub(crate) fn fault<C: ConfigSpace + ?Sized>(
        &self,
        config: &C,
        address: PciAddress,
        message: Message,
    ) -> Option<&'static str> {
        let [low, high] = address_words(message.address).ok()?;
        let read = |at| config.read(address, at);
        if read(self.at) & msi_control::ENABLE == 0 {
            Some("MSI enable")
        } else if read(self.low()) != low || (self.is_64bit && read(self.high()) != high) {
            Some("MSI message address")
        } else if read(self.data()) & 0xffff != message.data {
            Some("MSI message data")
        } else if self.mask().is_some_and(|mask| read(mask) & FIRST_VECTOR != 0) {
            Some("MSI mask")
        } else {
            None
        }
    }

    const fn low(&self) -> u16 {
        self.at.wrapping_add(4)
    }

    const fn high(&self) -> u16 {
        self.at.wrapping_add(8)
    }

    const fn data(&self) -> u16 {
        self.at.wrapping_add(if self.is_64bit { 12 } else { 8 })
    }

    fn mask(&self) -> Option<u16> {
        self.is_maskable.then_some(self.data().wrapping_add(4))
    }
}

/// The MSI-X capability of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MsiX {
    at: u16,
    /// Entries of the table.
    pub(crate) vectors: u32,
    /// Where the table is, as the bus sees it.
    pub(crate) table: u64,
}

impl MsiX {
    /// Bytes of one entry of the table.
    pub(crate) const ENTRY: u64 = 16;

    /// Looks for it, and for the window that its table is in.
    ///
    /// # Errors
    /// [`MessageError::NoCapability`] and [`MessageError::Table`].
    pub(crate) fn of<C: ConfigSpace + ?Sized>(
        config: &C,
        address: PciAddress,
    ) -> Result<Self, MessageError> {
        let at =
            capability(config, address, capability_id::MSI_X).ok_or(MessageError::NoCapability)?;
        let last = (config.read(address, at) & msi_x_control::LAST_VECTOR) >> 16;
        let table = config.read(address, at.wrapping_add(4));
        let [window, ..] = (table & WINDOW_OF_TABLE).to_le_bytes();
        let bar = memory_bar(config, address, window).map_err(MessageError::Table)?;
        let offset = u64::from(table & !WINDOW_OF_TABLE);
        let table = bar.address.wrapping_add(offset);
        Ok(Self { at, vectors: last.saturating_add(1), table })
    }

    /// Turns MSI-X on with every vector masked, so that the table can be written.
    pub(crate) fn enable_masked<C: ConfigSpace + ?Sized>(&self, config: &C, address: PciAddress) {
        let both = msi_x_control::ENABLE | msi_x_control::FUNCTION_MASK;
        update(config, address, self.at, 0, both);
    }

    /// Lets the vectors through whose entries are not masked themselves.
    pub(crate) fn unmask<C: ConfigSpace + ?Sized>(&self, config: &C, address: PciAddress) {
        update(config, address, self.at, msi_x_control::FUNCTION_MASK, 0);
    }

    /// What of the capability is no longer as [`unmask`](Self::unmask) left it.
    pub(crate) fn fault<C: ConfigSpace + ?Sized>(
        &self,
        config: &C,
        address: PciAddress,
    ) -> Option<&'static str> {
        let control = config.read(address, self.at);
        if control & msi_x_control::ENABLE == 0 {
            Some("MSI-X enable")
        } else if control & msi_x_control::FUNCTION_MASK != 0 {
            Some("MSI-X function mask")
        } else {
            None
        }
    }

    /// An entry of the table: address, upper address, data, and a control word of zero, which
    /// lets the vector through.
    ///
    /// # Errors
    /// [`MessageError::Address`].
    pub(crate) fn entry(message: Message) -> Result<[u32; 4], MessageError> {
        let [low, high] = address_words(message.address)?;
        Ok([low, high, message.data, 0])
    }

    /// The control word of an entry whose vector is masked.
    pub(crate) const MASKED: u32 = 1;
}

/// Lower and upper half of a message's address.
fn address_words(address: u64) -> Result<[u32; 2], MessageError> {
    if address & 3 != 0 {
        return Err(MessageError::Address(address));
    }
    let low = (address & 0xffff_ffff) as u32;
    let high = (address >> 32) as u32;
    Ok([low, high])
}

fn update<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress, at: u16, clear: u32, set: u32) {
    let old = config.read(address, at);
    let new = (old & !clear) | set;
    if new != old {
        config.write(address, at, new);
    }
}

/// The vector in use, in the mask bits of MSI.
const FIRST_VECTOR: u32 = 1;

/// The base address register (BIR) in the word that says where the MSI-X table is.
const WINDOW_OF_TABLE: u32 = 7;

/// Message control of MSI, in the upper half of its first word (PCI Local Bus 3.0 §6.8.1.3).
mod msi_control {
    pub(super) const ENABLE: u32 = 1 << 16;
    /// How many messages software lets the function use, as a power of two.
    pub(super) const MESSAGES_ENABLED: u32 = 7 << 20;
    pub(super) const IS_64BIT: u32 = 1 << 23;
    pub(super) const IS_MASKABLE: u32 = 1 << 24;
}

/// Message control of MSI-X, in the upper half of its first word (PCI Local Bus 3.0 §6.8.2.3).
mod msi_x_control {
    /// The number of entries less one.
    pub(super) const LAST_VECTOR: u32 = 0x7ff << 16;
    pub(super) const FUNCTION_MASK: u32 = 1 << 30;
    pub(super) const ENABLE: u32 = 1 << 31;
}

#[cfg(test)]
mod tests {
    use super::super::machine::{Machine, Words, at};
    use super::*;

    const MESSAGE: Message = Message { address: 0xfee0_1000, data: 0x41 };

    /// A function with one capability at 40.
    fn with(words: Words<'_>) -> Machine {
        let list: Words<'_> = &[(4, 1 << 20), (0x34, 0x40)];
        Machine::with(&[(0, 3, 0, &[list, words].concat())])
    }

    #[test]
    fn the_four_layouts_of_msi() {
        let address = at(0, 3, 0);
        // Control, where the data is, where the mask is.
        let layouts = [
            (0x0000_0005, 0x48, None),
            (0x0080_0005, 0x4c, None),
            (0x0100_0005, 0x48, Some(0x4c)),
            (0x0180_0005, 0x4c, Some(0x50)),
        ];
        for (control, data, mask) in layouts {
            // Firmware left three message bits, a foreign message and every vector masked.
            let words = [(0x40, control | 0x0030_0000), (0x48, 7), (0x4c, 7), (0x50, 7)];
            let machine = with(&words);
            let msi = Msi::of(&machine, address).unwrap();
            msi.enable(&machine, address, MESSAGE).unwrap();
            assert_eq!(machine.read(address, 0x40), control | 1 << 16);
            assert_eq!(machine.read(address, 0x44), 0xfee0_1000);
            assert_eq!(machine.read(address, data), 0x41);
            if data == 0x4c {
                assert_eq!(machine.read(address, 0x48), 0, "upper half of the address");
            }
            if let Some(mask) = mask {
                assert_eq!(machine.read(address, mask), 6, "the other vectors stay masked");
            }
            assert_eq!(msi.fault(&machine, address, MESSAGE), None);
            let damage = [
                (0x40, "MSI enable"),
                (0x44, "MSI message address"),
                (data, "MSI message data"),
                (
                    mask.unwrap_or(0x44),
                    if mask.is_some() { "MSI mask" } else { "MSI message address" },
                ),
            ];
            for (offset, name) in damage {
                let was = machine.read(address, offset);
                machine.write(address, offset, was ^ 0x0001_0001);
                assert_eq!(msi.fault(&machine, address, MESSAGE), Some(name));
                machine.write(address, offset, was);
            }
            disable_message_interrupts(&machine, address);
            assert_eq!(machine.read(address, 0x40), control);
        }
    }

    #[test]
    fn messages_that_msi_cannot_carry_are_refused_untouched() {
        let address = at(0, 3, 0);
        let machine = with(&[(0x40, 0x0000_0005)]);
        let msi = Msi::of(&machine, address).unwrap();
        let high = Message { address: 0x1_0000_0000, data: 0 };
        assert_eq!(msi.enable(&machine, address, high), Err(MessageError::Address(high.address)));
        let odd = Message { address: 0xfee0_0002, data: 0 };
        assert_eq!(msi.enable(&machine, address, odd), Err(MessageError::Address(odd.address)));
        let wide = Message { data: 0x1_0000, ..MESSAGE };
        assert_eq!(msi.enable(&machine, address, wide), Err(MessageError::Data(0x1_0000)));
        assert_eq!(machine.read(address, 0x40), 0x0000_0005);
        let machine = with(&[(0x40, 0x0080_0005)]);
        let msi = Msi::of(&machine, address).unwrap();
        msi.enable(&machine, address, high).unwrap();
        assert_eq!((machine.read(address, 0x44), machine.read(address, 0x48)), (0, 1));
    }

    #[test]
    fn the_table_of_msi_x_is_found_by_its_window() {
        let address = at(0, 3, 0);
        let words: Words<'_> = &[(0x40, 0x0004_0011), (0x44, 0x0000_2003), (0x1c, 0xfebb_0000)];
        let machine = with(words);
        let msi_x = MsiX::of(&machine, address).unwrap();
        assert_eq!((msi_x.vectors, msi_x.table), (5, 0xfebb_2000));
        assert_eq!(msi_x.fault(&machine, address), Some("MSI-X enable"));
        msi_x.enable_masked(&machine, address);
        assert_eq!(machine.read(address, 0x40), 0xc004_0011);
        assert_eq!(msi_x.fault(&machine, address), Some("MSI-X function mask"));
        msi_x.unmask(&machine, address);
        assert_eq!(msi_x.fault(&machine, address), None);
        disable_message_interrupts(&machine, address);
        assert_eq!(machine.read(address, 0x40), 0x0004_0011);
        for (window, error) in [(3, BarError::Unassigned), (6, BarError::NoSuchBar)] {
            let machine = with(&[(0x40, 0x0004_0011), (0x44, window)]);
            assert_eq!(MsiX::of(&machine, address), Err(MessageError::Table(error)));
        }
        let machine = with(&[(0x40, 0x0005)]);
        assert_eq!(MsiX::of(&machine, address), Err(MessageError::NoCapability));
    }
}
