//! The NIC structure: one interface and its addresses.

use core::fmt;
use core::net::IpAddr;

use super::StructureHeader;
use crate::field::{self, MacAddress, Origin, PciAddress, Text};
use crate::{Error, Ibft};

view! {
    /// A NIC structure: one interface and its addresses.
    Nic
}

/// Where the fields stand.
pub(crate) mod layout {
    use crate::field::Field;
    pub(crate) const ADDRESS: Field = 6..22;
    pub(crate) const PREFIX_LENGTH: usize = 22;
    pub(crate) const ORIGIN: usize = 23;
    pub(crate) const GATEWAY: Field = 24..40;
    pub(crate) const PRIMARY_DNS: Field = 40..56;
    pub(crate) const SECONDARY_DNS: Field = 56..72;
    pub(crate) const DHCP_SERVER: Field = 72..88;
    pub(crate) const VLAN: Field = 88..90;
    pub(crate) const MAC: Field = 90..96;
    pub(crate) const PCI_ADDRESS: Field = 96..98;
    pub(crate) const HOST_NAME: Field = 98..102;
}

/// What an interface of the machine has in common with a NIC structure. Greater is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MatchedBy {
    /// The PCI address. Offload cards put a MAC into the table that is not the network function's.
    PciAddress,
    /// The MAC address.
    MacAddress,
}

impl<'a> Nic<'a> {
    /// The interface's address, if any.
    pub fn address(&self) -> Option<IpAddr> {
        field::read_address(self.bytes, layout::ADDRESS)
    }

    /// The subnet's prefix length as it stands in the table: any byte. See [`prefix`](Self::prefix).
    pub fn prefix_length(&self) -> u8 {
        field::read_u8(self.bytes, layout::PREFIX_LENGTH)
    }

    /// The subnet's prefix length, when there is an address that it fits: 1 to 32 for IPv4, 1 to
    /// 128 for IPv6.
    pub fn prefix(&self) -> Option<u8> {
        let longest = if self.address()?.is_ipv4() { 32 } else { 128 };
        Some(self.prefix_length()).filter(|length| (1..=longest).contains(length))
    }

    /// Where the address came from.
    pub fn origin(&self) -> Origin {
        Origin::from_byte(self.origin_byte())
    }

    /// [`origin`](Self::origin) as it stands in the table.
    pub fn origin_byte(&self) -> u8 {
        field::read_u8(self.bytes, layout::ORIGIN)
    }

    /// The default gateway, if any.
    pub fn gateway(&self) -> Option<IpAddr> {
        field::read_address(self.bytes, layout::GATEWAY)
    }

    /// The first DNS server, if any.
    pub fn primary_dns(&self) -> Option<IpAddr> {
        field::read_address(self.bytes, layout::PRIMARY_DNS)
    }

    /// The second DNS server, if any.
    pub fn secondary_dns(&self) -> Option<IpAddr> {
        field::read_address(self.bytes, layout::SECONDARY_DNS)
    }

    /// The DHCP server that gave the address, if any.
    pub fn dhcp_server(&self) -> Option<IpAddr> {
        field::read_address(self.bytes, layout::DHCP_SERVER)
    }

    /// Whether the address is leased, so that the lease has to be renewed: the origin says so, or
    /// the table names the server.
    pub fn uses_dhcp(&self) -> bool {
        self.origin() == Origin::Dhcp || self.dhcp_server().is_some()
    }

    /// The VLAN field as it stands in the table. See [`vlan`](Self::vlan).
    pub fn vlan_tag(&self) -> u16 {
        field::read_u16(self.bytes, layout::VLAN)
    }

    /// The VLAN to tag frames with, 1 to 4094; `None` for untagged frames.
    ///
    /// The lower twelve bits of the field: priority bits may stand above them.
    pub fn vlan(&self) -> Option<u16> {
        Some(self.vlan_tag() & 0x0fff).filter(|id| (1..=4094).contains(id))
    }

    /// The interface's MAC address.
    pub fn mac(&self) -> MacAddress {
        MacAddress(field::read_array(self.bytes, layout::MAC))
    }

    /// Where the interface is on the PCI bus, in segment 0.
    pub fn pci_address(&self) -> PciAddress {
        PciAddress::from_bits(field::read_u16(self.bytes, layout::PCI_ADDRESS))
    }

    /// The machine's host name; empty when firmware knows none.
    ///
    /// # Errors
    /// [`Error::StringBounds`] when it points outside the table.
    pub fn host_name(&self) -> Result<Text<'a>, Error> {
        self.table.text(self.offset, self.bytes, layout::HOST_NAME, "host name")
    }

    /// Whether an interface of the machine is the one this structure describes.
    ///
    /// Ask it of every interface and take the best answer: the MAC decides, the PCI address is for
    /// when no interface has that MAC. 00:00.0 is the host bridge and therefore means "not given".
    pub fn matches(&self, mac: MacAddress, pci_address: PciAddress) -> Option<MatchedBy> {
        if mac.is_usable() && mac == self.mac() {
            Some(MatchedBy::MacAddress)
        } else if pci_address != PciAddress::default() && pci_address == self.pci_address() {
            Some(MatchedBy::PciAddress)
        } else {
            None
        }
    }
}

impl fmt::Debug for Nic<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Nic")
            .field("offset", &self.offset)
            .field("header", &self.header)
            .field("address", &self.address())
            .field("prefix_length", &self.prefix_length())
            .field("origin", &self.origin())
            .field("gateway", &self.gateway())
            .field("primary_dns", &self.primary_dns())
            .field("secondary_dns", &self.secondary_dns())
            .field("dhcp_server", &self.dhcp_server())
            .field("vlan_tag", &self.vlan_tag())
            .field("mac", &format_args!("{}", self.mac()))
            .field("pci_address", &format_args!("{}", self.pci_address()))
            .field("host_name", &self.host_name())
            .finish()
    }
}
