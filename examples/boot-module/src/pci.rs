//! PCI configuration space through the ports 0xcf8 and 0xcfc (PCI Local Bus 3.0 §3.2.2.3.2).

use isboot_transport::pci::{ConfigSpace, PciAddress};

use crate::port::Port;

/// The first 256 bytes of every function of segment 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConfigPorts;

impl ConfigSpace for ConfigPorts {
    fn read(&self, address: PciAddress, offset: u16) -> u32 {
        if !select(address, offset) {
            return u32::MAX;
        }
        DATA.read_u32()
    }

    fn write(&self, address: PciAddress, offset: u16, value: u32) {
        if select(address, offset) {
            DATA.write_u32(value);
        }
    }
}

/// Says whether the ports reach the word at all.
fn select(address: PciAddress, offset: u16) -> bool {
    if address.segment != 0 || offset > 0xff {
        return false;
    }
    let function = u32::from(address.to_bus_device_function());
    ADDRESS.write_u32(1 << 31 | function << 8 | u32::from(offset & 0xfc));
    true
}

// SAFETY: selecting a word reaches no memory.
const ADDRESS: Port = unsafe { Port::new(0xcf8) };
// SAFETY: who writes configuration space through `ConfigSpace` answers for the device: the
// driver lets its NIC reach the memory that it was given, and none else.
const DATA: Port = unsafe { Port::new(0xcfc) };
