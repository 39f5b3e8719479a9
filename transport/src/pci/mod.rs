//! PCI configuration space: finding Ethernet functions and preparing one for use.

mod bar;
mod capability;
#[cfg(test)]
mod machine;
mod message;

use core::fmt;
use core::ops::RangeInclusive;

pub(crate) use bar::SavedBars;
pub use bar::{BarError, MemoryBar, memory_bar, port_bar};
pub use capability::{
    capability, capability_id, disable_link_power_states, is_powered_on, power_on,
};
pub use message::{Message, disable_message_interrupts};
pub(crate) use message::{MessageError, Msi, MsiX};

/// Access to configuration space, supplied by the hosting kernel (ports 0xcf8/0xcfc, ECAM, …).
///
/// `&self`: an implementation over an index/data port pair keeps the two accesses together
/// itself. A function that is not there reads as all ones.
pub trait ConfigSpace {
    /// Reads the 32-bit word at `offset`, a multiple of 4 (up to 0xffc with ECAM).
    fn read(&self, address: PciAddress, offset: u16) -> u32;

    /// Writes the 32-bit word at `offset`, a multiple of 4.
    fn write(&self, address: PciAddress, offset: u16, value: u32);
}

impl<T: ConfigSpace + ?Sized> ConfigSpace for &T {
    fn read(&self, address: PciAddress, offset: u16) -> u32 {
        (**self).read(address, offset)
    }
    fn write(&self, address: PciAddress, offset: u16, value: u32) {
        (**self).write(address, offset, value);
    }
}

/// Segment, bus, device and function of one PCI function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciAddress {
    /// Segment group; 0 on most machines.
    pub segment: u16,
    /// Bus number.
    pub bus: u8,
    /// Device number, 0 to 31.
    pub device: u8,
    /// Function number, 0 to 7.
    pub function: u8,
}

impl PciAddress {
    /// The address from the 16-bit form of the iBFT and of many firmware tables:
    /// bus 15:8, device 7:3, function 2:0.
    #[must_use]
    pub const fn from_bus_device_function(value: u16) -> Self {
        let [bus, low] = value.to_be_bytes();
        Self { segment: 0, bus, device: low >> 3, function: low & 7 }
    }

    /// The 16-bit form: bus 15:8, device 7:3, function 2:0.
    #[must_use]
    pub const fn to_bus_device_function(self) -> u16 {
        u16::from_be_bytes([self.bus, (self.device << 3) | (self.function & 7)])
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.segment != 0 {
            write!(f, "{:04x}:", self.segment)?;
        }
        write!(f, "{:02x}:{:02x}.{:x}", self.bus, self.device, self.function)
    }
}

/// One function, as its configuration space describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PciFunction {
    /// Where it is.
    pub address: PciAddress,
    /// Vendor id, 0x8086 for Intel.
    pub vendor_id: u16,
    /// Device id.
    pub device_id: u16,
    /// Class code 23:16, subclass 15:8, programming interface 7:0.
    pub class: u32,
    /// Revision id.
    pub revision: u8,
}

impl PciFunction {
    /// Looks at one address; `None` when nothing answers there.
    pub fn at<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) -> Option<Self> {
        let [device_id, vendor_id] = halves(config.read(address, offset::ID));
        if vendor_id == 0xffff || vendor_id == 0 {
            return None;
        }
        let class = config.read(address, offset::CLASS);
        let [revision, ..] = class.to_le_bytes();
        Some(Self { address, vendor_id, device_id, class: class >> 8, revision })
    }

    /// Whether it is an Ethernet controller (class 02, subclass 00).
    #[must_use]
    pub const fn is_ethernet(&self) -> bool {
        self.class >> 8 == 0x0200
    }
}

/// Every Ethernet function of segment 0: all buses, devices and functions, in address order.
///
/// About 8200 configuration reads: do it once. When the firmware says which function it booted
/// from, [`PciFunction::at`] is one.
pub fn ethernet_functions<C: ConfigSpace + ?Sized>(
    config: &C,
) -> impl Iterator<Item = PciFunction> + '_ {
    functions(config, 0..=255).filter(PciFunction::is_ethernet)
}

/// Every function on `buses` of segment 0.
pub fn functions<C: ConfigSpace + ?Sized>(
    config: &C,
    buses: RangeInclusive<u8>,
) -> impl Iterator<Item = PciFunction> + '_ {
    let slots = buses.flat_map(|bus| (0..32).map(move |device| (bus, device)));
    slots.flat_map(move |(bus, device)| {
        let address = PciAddress { segment: 0, bus, device, function: 0 };
        let last = match PciFunction::at(config, address) {
            None => None,
            Some(_) if config.read(address, offset::HEADER) & MULTI_FUNCTION != 0 => Some(7),
            Some(_) => Some(0),
        };
        let numbers = last.into_iter().flat_map(|last| 0..=last);
        numbers
            .filter_map(move |function| PciFunction::at(config, PciAddress { function, ..address }))
    })
}

/// Lets the function answer at its memory windows.
pub fn enable_memory<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) {
    update_command(config, address, 0, command::MEMORY);
}

/// Keeps the function from answering at its memory windows.
pub fn disable_memory<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) {
    update_command(config, address, command::MEMORY, 0);
}

/// Whether the function answers at its memory windows.
pub fn is_memory_enabled<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) -> bool {
    config.read(address, offset::COMMAND) & command::MEMORY != 0
}

/// Lets the function answer at its I/O windows.
pub fn enable_ports<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) {
    update_command(config, address, 0, command::PORTS);
}

/// Keeps the function from answering at its I/O windows.
pub fn disable_ports<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) {
    update_command(config, address, command::PORTS, 0);
}

/// Lets the function read and write memory by itself.
pub fn enable_bus_master<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) {
    update_command(config, address, 0, command::BUS_MASTER);
}

/// Stops the function from reading or writing memory, and reads back so that it is done.
pub fn disable_bus_master<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) {
    update_command(config, address, command::BUS_MASTER, 0);
    let _ = config.read(address, offset::COMMAND);
}

/// Keeps the function from raising its interrupt line.
pub fn disable_interrupt_line<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) {
    update_command(config, address, 0, command::INTERRUPT_DISABLE);
}

/// Lets the function raise its interrupt line.
pub fn enable_interrupt_line<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) {
    update_command(config, address, command::INTERRUPT_DISABLE, 0);
}

/// Whether anything answers at an address.
pub(crate) fn is_present<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) -> bool {
    PciFunction::at(config, address).is_some()
}

/// Whether the function may raise its interrupt line.
pub fn is_interrupt_line_enabled<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) -> bool {
    config.read(address, offset::COMMAND) & command::INTERRUPT_DISABLE == 0
}

/// Whether the function may read and write memory by itself.
pub fn is_bus_master<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) -> bool {
    config.read(address, offset::COMMAND) & command::BUS_MASTER != 0
}

/// Offsets in the configuration header (PCI Local Bus 3.0 §6.1).
mod offset {
    pub(super) const ID: u16 = 0x00;
    pub(super) const COMMAND: u16 = 0x04;
    pub(super) const CLASS: u16 = 0x08;
    pub(super) const HEADER: u16 = 0x0c;
    pub(super) const BAR0: u16 = 0x10;
    pub(super) const CAPABILITIES: u16 = 0x34;
}

mod command {
    pub(super) const PORTS: u32 = 1 << 0;
    pub(super) const MEMORY: u32 = 1 << 1;
    pub(super) const BUS_MASTER: u32 = 1 << 2;
    pub(super) const INTERRUPT_DISABLE: u32 = 1 << 10;
}

const MULTI_FUNCTION: u32 = 1 << 23;

fn update_command<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress, clear: u32, set: u32) {
    // The upper half is the status register, whose bits are write-one-to-clear: write zeros.
    let command = config.read(address, offset::COMMAND) & 0xffff;
    config.write(address, offset::COMMAND, (command & !clear) | set);
}

/// The upper and the lower half of a word.
fn halves(word: u32) -> [u16; 2] {
    let [a, b, c, d] = word.to_be_bytes();
    [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])]
}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::vec::Vec;

    use super::machine::{Machine, Words, at};
    use super::*;

    const NIC: Words<'_> = &[(0, 0x100e_8086), (8, 0x0200_0003)];
    const DISK: Words<'_> = &[(0, 0x7010_8086), (8, 0x0101_8000)];
    const MULTI: Words<'_> = &[(0, 0x7000_8086), (8, 0x0601_0000), (0xc, 0x0080_0000)];

    #[test]
    fn every_ethernet_function_is_found_in_order() {
        let machine = Machine::with(&[
            (0, 1, 0, MULTI),
            (0, 1, 7, NIC),
            (0, 3, 0, NIC),
            (0, 4, 0, DISK),
            (0, 4, 1, NIC), // not multi-function: other functions may be ghosts of function 0
            (255, 31, 0, NIC),
            (7, 2, 3, NIC), // without function 0 there is no device
        ]);
        let found: Vec<_> = ethernet_functions(&machine).map(|f| f.address).collect();
        assert_eq!(found, [at(0, 1, 7), at(0, 3, 0), at(255, 31, 0)]);
        let nic = PciFunction::at(&machine, at(0, 3, 0)).unwrap();
        assert_eq!((nic.vendor_id, nic.device_id, nic.revision), (0x8086, 0x100e, 3));
        assert_eq!(functions(&machine, 0..=0).count(), 4);
    }

    #[test]
    fn addresses_have_two_forms() {
        let address = PciAddress::from_bus_device_function(0x12fd);
        assert_eq!(address, at(0x12, 0x1f, 5));
        assert_eq!(address.to_bus_device_function(), 0x12fd);
        assert_eq!(address.to_string(), "12:1f.5");
        assert_eq!(PciAddress { segment: 1, ..address }.to_string(), "0001:12:1f.5");
    }

    #[test]
    fn commands_leave_the_status_bits_alone() {
        let machine = Machine::with(&[(0, 3, 0, &[(4, 0xf900_0400)])]);
        let address = at(0, 3, 0);
        enable_memory(&machine, address);
        assert_eq!(machine.read(address, 4), 0x0402, "the status half is write-one-to-clear");
        enable_bus_master(&machine, address);
        assert!(is_bus_master(&machine, address));
        disable_bus_master(&machine, address);
        assert_eq!(machine.read(address, 4), 0x0402);
    }
}
