//! PCI configuration space: finding Ethernet functions and preparing one for use.

use core::fmt;
use core::ops::RangeInclusive;

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

/// Lets the function answer at its memory windows.
pub fn enable_memory<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) {
    update_command(config, address, 0, command::MEMORY);
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

/// Whether the function may read and write memory by itself.
pub fn is_bus_master<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) -> bool {
    config.read(address, offset::COMMAND) & command::BUS_MASTER != 0
}

/// Where capability `id` is, or `None`.
///
/// The list is walked through at most 48 entries (all that fit), so that a list which points at
/// itself ends.
pub fn capability<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress, id: u8) -> Option<u16> {
    const STATUS_CAPABILITIES: u32 = 1 << 20;
    if config.read(address, offset::COMMAND) & STATUS_CAPABILITIES == 0 {
        return None;
    }
    let mut next = config.read(address, offset::CAPABILITIES) & 0xfc;
    for _ in 0..48 {
        if next < 0x40 {
            return None;
        }
        let at = u16::try_from(next).ok()?;
        let header = config.read(address, at);
        if header & 0xff == u32::from(id) {
            return Some(at);
        }
        next = (header >> 8) & 0xfc;
    }
    None
}

/// Capability ids (PCI Code and ID Assignment §2).
pub mod capability_id {
    /// Power management.
    pub const POWER_MANAGEMENT: u8 = 0x01;
    /// Message signalled interrupts.
    pub const MSI: u8 = 0x05;
    /// PCI Express.
    pub const EXPRESS: u8 = 0x10;
    /// Message signalled interrupts, extended.
    pub const MSI_X: u8 = 0x11;
}

/// Turns message signalled interrupts off in both forms.
pub fn disable_message_interrupts<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) {
    const MSI_ENABLE: u32 = 1 << 16;
    const MSI_X_ENABLE: u32 = 1 << 31;
    for (id, enable) in [(capability_id::MSI, MSI_ENABLE), (capability_id::MSI_X, MSI_X_ENABLE)] {
        if let Some(at) = capability(config, address, id) {
            let control = config.read(address, at);
            if control & enable != 0 {
                config.write(address, at, control & !enable);
            }
        }
    }
}

/// Asks for power state D0; says whether the function was in another one, in which case it needs
/// 10 ms (PCI Power Management 1.2 §5.4) and its registers have lost their content.
pub fn power_on<C: ConfigSpace + ?Sized>(config: &C, address: PciAddress) -> bool {
    const STATE: u32 = 3;
    const PME_STATUS: u32 = 1 << 15;
    let Some(at) = capability(config, address, capability_id::POWER_MANAGEMENT) else {
        return false;
    };
    let at = at.wrapping_add(4);
    let status = config.read(address, at);
    if status & STATE == 0 {
        return false;
    }
    // PME_STATUS is write-one-to-clear: leave it to whoever handles wake-up.
    config.write(address, at, status & !STATE & !PME_STATUS);
    true
}

/// Turns off the PCI Express link power states whose bits are set in `states`: 1 = L0s, 2 = L1.
pub fn disable_link_power_states<C: ConfigSpace + ?Sized>(
    config: &C,
    address: PciAddress,
    states: u8,
) {
    const LINK_CONTROL: u16 = 0x10;
    if let Some(at) = capability(config, address, capability_id::EXPRESS) {
        let at = at.wrapping_add(LINK_CONTROL);
        // The upper half is the link status, whose write-one-to-clear bits stay untouched.
        let control = config.read(address, at) & 0xffff;
        let wanted = control & !u32::from(states & 3);
        if wanted != control {
            config.write(address, at, wanted);
        }
    }
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
    use core::cell::RefCell;
    use std::collections::BTreeMap;
    use std::string::ToString;
    use std::vec::Vec;

    use super::*;

    /// Offsets and what is there.
    type Words<'a> = &'a [(u16, u32)];

    /// Functions with 64 words each; everything else reads as all ones.
    #[derive(Default)]
    struct Machine(RefCell<BTreeMap<PciAddress, [u32; 64]>>);

    impl Machine {
        fn with(functions: &[(u8, u8, u8, Words<'_>)]) -> Self {
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

    fn at(bus: u8, device: u8, function: u8) -> PciAddress {
        PciAddress { segment: 0, bus, device, function }
    }

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

    #[test]
    fn a_capability_list_that_runs_in_circles_ends() {
        let circle: Words<'_> = &[(4, 1 << 20), (0x34, 0x40), (0x40, 0x4809), (0x48, 0x4009)];
        let machine = Machine::with(&[(0, 3, 0, circle)]);
        assert_eq!(capability(&machine, at(0, 3, 0), capability_id::MSI), None);
        let list: Words<'_> = &[(4, 1 << 20), (0x34, 0x43), (0x40, 0x4809), (0x48, 0x0005)];
        let machine = Machine::with(&[(0, 3, 0, list)]);
        assert_eq!(capability(&machine, at(0, 3, 0), capability_id::MSI), Some(0x48));
        let none: Words<'_> = &[(4, 0), (0x34, 0x40), (0x40, 0x0005)];
        let machine = Machine::with(&[(0, 3, 0, none)]);
        assert_eq!(capability(&machine, at(0, 3, 0), capability_id::MSI), None);
    }

    #[test]
    fn link_power_states_are_turned_off_and_nothing_else() {
        let express: Words<'_> = &[(4, 1 << 20), (0x34, 0x40), (0x40, 0x0010), (0x50, 0xffff_0043)];
        let machine = Machine::with(&[(0, 3, 0, express)]);
        disable_link_power_states(&machine, at(0, 3, 0), 3);
        assert_eq!(machine.read(at(0, 3, 0), 0x50), 0x40);
    }

    #[test]
    fn waking_up_keeps_the_wake_event() {
        let asleep: Words<'_> = &[(4, 1 << 20), (0x34, 0x40), (0x40, 0x0001), (0x44, 0x8103)];
        let machine = Machine::with(&[(0, 3, 0, asleep)]);
        assert!(power_on(&machine, at(0, 3, 0)));
        assert_eq!(machine.read(at(0, 3, 0), 0x44), 0x0100);
        assert!(!power_on(&machine, at(0, 3, 0)), "awake already");
    }
}
