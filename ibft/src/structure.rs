//! Views of the table's structures: initiator, network interface, target, extensions.
//!
//! A view borrows the table and reads a field when it is asked for it. Its structure was checked to
//! lie within the table and to be at least as long as its fields; strings are checked when read.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use crate::Error;
use crate::field::{
    self, Field, Lun, MacAddress, Origin, PciAddress, Secret, Text, is_host_address,
};
use crate::table::Ibft;

/// The port of an iSCSI target when the table has none (RFC 7143 §16).
const DEFAULT_PORT: u16 = 3260;

/// The bits of a structure's flags byte.
pub mod flag {
    /// Control structure: fail over to the next boot attempt.
    pub const BOOT_FAILOVER: u8 = 1;
    /// Any other structure: the block is valid.
    pub const VALID: u8 = 1;
    /// Any other structure: firmware selected this block to boot from.
    pub const BOOT_SELECTED: u8 = 2;
    /// NIC: the address is global, not link-local.
    pub const GLOBAL: u8 = 4;
    /// Target: CHAP is to be checked by a RADIUS server.
    pub const RADIUS_CHAP: u8 = 4;
    /// Target: reverse CHAP is to be checked by a RADIUS server.
    pub const RADIUS_REVERSE_CHAP: u8 = 8;
}

/// What a structure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StructureKind {
    /// Id 1: lists the offsets of the others.
    Control,
    /// Id 2.
    Initiator,
    /// Id 3.
    Nic,
    /// Id 4.
    Target,
    /// Id 5: vendor data.
    Extensions,
}

impl StructureKind {
    /// The kind with this id.
    pub fn from_id(id: u8) -> Option<Self> {
        Some(match id {
            1 => StructureKind::Control,
            2 => StructureKind::Initiator,
            3 => StructureKind::Nic,
            4 => StructureKind::Target,
            5 => StructureKind::Extensions,
            _ => return None,
        })
    }

    /// The id in the structure's header.
    pub const fn id(self) -> u8 {
        match self {
            StructureKind::Control => 1,
            StructureKind::Initiator => 2,
            StructureKind::Nic => 3,
            StructureKind::Target => 4,
            StructureKind::Extensions => 5,
        }
    }

    /// How many bytes the header and the defined fields take. Structures may be longer.
    pub const fn defined_length(self) -> usize {
        match self {
            StructureKind::Control => 18,
            StructureKind::Initiator => 74,
            StructureKind::Nic => 102,
            StructureKind::Target => 54,
            StructureKind::Extensions => HEADER_LENGTH,
        }
    }
}

impl fmt::Display for StructureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StructureKind::Control => "control",
            StructureKind::Initiator => "initiator",
            StructureKind::Nic => "NIC",
            StructureKind::Target => "target",
            StructureKind::Extensions => "extensions",
        })
    }
}

/// Length of a structure's header in bytes.
pub(crate) const HEADER_LENGTH: usize = 6;

/// The header that every structure starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StructureHeader {
    /// What the structure is: see [`StructureKind::from_id`].
    pub id: u8,
    /// Version of its layout: 1.
    pub version: u8,
    /// Its length in bytes, this header included.
    pub length: u16,
    /// The number other structures refer to it by; not an index into anything.
    pub index: u8,
    /// Bits of [`flag`].
    pub flags: u8,
}

impl StructureHeader {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let [id, version, l0, l1, index, flags] = *bytes.first_chunk::<HEADER_LENGTH>()?;
        let length = u16::from_le_bytes([l0, l1]);
        Some(StructureHeader { id, version, length, index, flags })
    }

    /// Whether the structure is meant to be used. Some firmware sets only one of the two bits, so
    /// any flag counts.
    pub fn is_usable(&self) -> bool {
        self.flags != 0
    }

    /// Whether the structure is valid *and* selected for booting, as the specification wants it of
    /// what was booted from.
    pub fn is_preferred(&self) -> bool {
        self.flags & (flag::VALID | flag::BOOT_SELECTED) == flag::VALID | flag::BOOT_SELECTED
    }
}

/// One structure of the table, by kind.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Structure<'a> {
    /// Who boots.
    Initiator(Initiator<'a>),
    /// Through which interface.
    Nic(Nic<'a>),
    /// From where.
    Target(Target<'a>),
    /// Vendor data.
    Extensions(Extensions<'a>),
}

/// Declares a view: the table, the structure's offset and its bytes.
macro_rules! view {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name<'a> {
            table: Ibft<'a>,
            offset: usize,
            header: StructureHeader,
            bytes: &'a [u8],
        }

        impl<'a> $name<'a> {
            pub(crate) fn new(
                table: Ibft<'a>,
                offset: usize,
                header: StructureHeader,
                bytes: &'a [u8],
            ) -> Self {
                $name { table, offset, header, bytes }
            }

            /// Where the structure starts, in bytes from the start of the table.
            pub fn offset(&self) -> usize {
                self.offset
            }

            /// The structure's header.
            pub fn header(&self) -> StructureHeader {
                self.header
            }

            /// The number other structures refer to this one by.
            pub fn index(&self) -> u8 {
                self.header.index
            }

            /// Bits of [`flag`].
            pub fn flags(&self) -> u8 {
                self.header.flags
            }
        }
    };
}

view! {
    /// The initiator structure: who boots.
    Initiator
}

pub(crate) mod initiator {
    use super::Field;
    pub(crate) const ISNS_SERVER: Field = 6..22;
    pub(crate) const SLP_SERVER: Field = 22..38;
    pub(crate) const PRIMARY_RADIUS_SERVER: Field = 38..54;
    pub(crate) const SECONDARY_RADIUS_SERVER: Field = 54..70;
    pub(crate) const NAME: Field = 70..74;
}

impl<'a> Initiator<'a> {
    /// The iSNS server, if any.
    pub fn isns_server(&self) -> Option<IpAddr> {
        field::read_address(self.bytes, initiator::ISNS_SERVER)
    }

    /// The SLP server, if any.
    pub fn slp_server(&self) -> Option<IpAddr> {
        field::read_address(self.bytes, initiator::SLP_SERVER)
    }

    /// The first RADIUS server, if any.
    pub fn primary_radius_server(&self) -> Option<IpAddr> {
        field::read_address(self.bytes, initiator::PRIMARY_RADIUS_SERVER)
    }

    /// The second RADIUS server, if any.
    pub fn secondary_radius_server(&self) -> Option<IpAddr> {
        field::read_address(self.bytes, initiator::SECONDARY_RADIUS_SERVER)
    }

    /// The initiator's iSCSI name.
    ///
    /// # Errors
    /// [`Error::StringBounds`] when it points outside the table.
    pub fn name(&self) -> Result<Text<'a>, Error> {
        self.table.text(self.offset, self.bytes, initiator::NAME, "initiator name")
    }
}

impl fmt::Debug for Initiator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Initiator")
            .field("offset", &self.offset)
            .field("header", &self.header)
            .field("name", &self.name())
            .field("isns_server", &self.isns_server())
            .field("slp_server", &self.slp_server())
            .field("primary_radius_server", &self.primary_radius_server())
            .field("secondary_radius_server", &self.secondary_radius_server())
            .finish()
    }
}

view! {
    /// A NIC structure: one interface and its addresses.
    Nic
}

pub(crate) mod nic {
    use super::Field;
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
        field::read_address(self.bytes, nic::ADDRESS)
    }

    /// The subnet's prefix length as it stands in the table: any byte. See [`prefix`](Self::prefix).
    pub fn prefix_length(&self) -> u8 {
        field::read_u8(self.bytes, nic::PREFIX_LENGTH)
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
        field::read_u8(self.bytes, nic::ORIGIN)
    }

    /// The default gateway, if any.
    pub fn gateway(&self) -> Option<IpAddr> {
        field::read_address(self.bytes, nic::GATEWAY)
    }

    /// The first DNS server, if any.
    pub fn primary_dns(&self) -> Option<IpAddr> {
        field::read_address(self.bytes, nic::PRIMARY_DNS)
    }

    /// The second DNS server, if any.
    pub fn secondary_dns(&self) -> Option<IpAddr> {
        field::read_address(self.bytes, nic::SECONDARY_DNS)
    }

    /// The DHCP server that gave the address, if any.
    pub fn dhcp_server(&self) -> Option<IpAddr> {
        field::read_address(self.bytes, nic::DHCP_SERVER)
    }

    /// Whether the address is leased, so that the lease has to be renewed: the origin says so, or
    /// the table names the server.
    pub fn uses_dhcp(&self) -> bool {
        self.origin() == Origin::Dhcp || self.dhcp_server().is_some()
    }

    /// The VLAN field as it stands in the table. See [`vlan`](Self::vlan).
    pub fn vlan_tag(&self) -> u16 {
        field::read_u16(self.bytes, nic::VLAN)
    }

    /// The VLAN to tag frames with, 1 to 4094; `None` for untagged frames.
    ///
    /// The lower twelve bits of the field: priority bits may stand above them.
    pub fn vlan(&self) -> Option<u16> {
        Some(self.vlan_tag() & 0x0fff).filter(|id| (1..=4094).contains(id))
    }

    /// The interface's MAC address.
    pub fn mac(&self) -> MacAddress {
        MacAddress(field::read_array(self.bytes, nic::MAC))
    }

    /// Where the interface is on the PCI bus, in segment 0.
    pub fn pci_address(&self) -> PciAddress {
        PciAddress::from_bits(field::read_u16(self.bytes, nic::PCI_ADDRESS))
    }

    /// The machine's host name; empty when firmware knows none.
    ///
    /// # Errors
    /// [`Error::StringBounds`] when it points outside the table.
    pub fn host_name(&self) -> Result<Text<'a>, Error> {
        self.table.text(self.offset, self.bytes, nic::HOST_NAME, "host name")
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

view! {
    /// A target structure: one place to boot from, and how to authenticate there.
    Target
}

pub(crate) mod target {
    use super::Field;
    pub(crate) const ADDRESS: Field = 6..22;
    pub(crate) const PORT: Field = 22..24;
    pub(crate) const LUN: Field = 24..32;
    pub(crate) const CHAP_TYPE: usize = 32;
    pub(crate) const NIC_ASSOCIATION: usize = 33;
    pub(crate) const NAME: Field = 34..38;
    pub(crate) const CHAP_NAME: Field = 38..42;
    pub(crate) const CHAP_SECRET: Field = 42..46;
    pub(crate) const REVERSE_CHAP_NAME: Field = 46..50;
    pub(crate) const REVERSE_CHAP_SECRET: Field = 50..54;
}

/// Who has to prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChapType {
    /// 0: nobody.
    None,
    /// 1: the initiator.
    OneWay,
    /// 2: the initiator and the target.
    Mutual,
    /// A value that nobody defines. Do not read it as "none".
    Unknown(u8),
}

impl ChapType {
    /// Reads the table's byte.
    pub fn from_byte(byte: u8) -> Self {
        match byte {
            0 => ChapType::None,
            1 => ChapType::OneWay,
            2 => ChapType::Mutual,
            other => ChapType::Unknown(other),
        }
    }
}

impl fmt::Display for ChapType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ChapType::None => f.write_str("none"),
            ChapType::OneWay => f.write_str("CHAP"),
            ChapType::Mutual => f.write_str("mutual CHAP"),
            ChapType::Unknown(byte) => write!(f, "unknown ({byte})"),
        }
    }
}

/// Why a target structure cannot be booted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetProblem {
    /// No flag is set: firmware did not fill it in.
    NotValid,
    /// It has no address.
    NoAddress,
    /// No host can have its address. Firmware that knows only IPv4 writes such for an IPv6 target.
    UnusableAddress(IpAddr),
    /// It has no name.
    NoName,
    /// Its name points outside the table.
    Name(Error),
}

impl fmt::Display for TargetProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TargetProblem::NotValid => f.write_str("no flag marks it as valid"),
            TargetProblem::NoAddress => f.write_str("it has no address"),
            TargetProblem::UnusableAddress(address) => write!(
                f,
                "no host can have its address {address} (firmware without IPv6 writes such for an \
                 IPv6 target)"
            ),
            TargetProblem::NoName => f.write_str("it has no target name"),
            TargetProblem::Name(error) => error.fmt(f),
        }
    }
}

impl<'a> Target<'a> {
    /// The portal's address, if any. It may be one that no host can have: see
    /// [`problem`](Self::problem).
    pub fn address(&self) -> Option<IpAddr> {
        field::read_address(self.bytes, target::ADDRESS)
    }

    /// The portal's port as it stands in the table.
    pub fn port(&self) -> u16 {
        field::read_u16(self.bytes, target::PORT)
    }

    /// Where to connect to: the address, when a host can have it, and the port, or iSCSI's own
    /// when the table has none.
    pub fn portal(&self) -> Option<SocketAddr> {
        let address = self.address().filter(|address| is_host_address(*address))?;
        let port = if self.port() == 0 { DEFAULT_PORT } else { self.port() };
        Some(SocketAddr::new(address, port))
    }

    /// The logical unit to boot from.
    pub fn lun(&self) -> Lun {
        Lun::new(field::read_array(self.bytes, target::LUN))
    }

    /// Who has to prove who they are.
    pub fn chap_type(&self) -> ChapType {
        ChapType::from_byte(self.chap_type_byte())
    }

    /// [`chap_type`](Self::chap_type) as it stands in the table.
    pub fn chap_type_byte(&self) -> u8 {
        field::read_u8(self.bytes, target::CHAP_TYPE)
    }

    /// The [`index`](Nic::index) of the NIC structure to reach this target through. See
    /// [`Ibft::nic_for`].
    pub fn nic_association(&self) -> u8 {
        field::read_u8(self.bytes, target::NIC_ASSOCIATION)
    }

    /// The target's iSCSI name.
    ///
    /// # Errors
    /// [`Error::StringBounds`] when it points outside the table.
    pub fn name(&self) -> Result<Text<'a>, Error> {
        self.table.text(self.offset, self.bytes, target::NAME, "target name")
    }

    /// The name that the initiator proves itself by; empty without CHAP.
    ///
    /// # Errors
    /// [`Error::StringBounds`] when it points outside the table.
    pub fn chap_name(&self) -> Result<Text<'a>, Error> {
        self.table.text(self.offset, self.bytes, target::CHAP_NAME, "CHAP name")
    }

    /// The secret that the initiator proves itself with; empty without CHAP.
    ///
    /// # Errors
    /// [`Error::StringBounds`] when it points outside the table.
    pub fn chap_secret(&self) -> Result<Secret<'a>, Error> {
        self.table.secret(self.offset, self.bytes, target::CHAP_SECRET, "CHAP secret")
    }

    /// The name that the target proves itself by; empty without mutual CHAP.
    ///
    /// # Errors
    /// [`Error::StringBounds`] when it points outside the table.
    pub fn reverse_chap_name(&self) -> Result<Text<'a>, Error> {
        self.table.text(self.offset, self.bytes, target::REVERSE_CHAP_NAME, "reverse CHAP name")
    }

    /// The secret that the target proves itself with; empty without mutual CHAP.
    ///
    /// # Errors
    /// [`Error::StringBounds`] when it points outside the table.
    pub fn reverse_chap_secret(&self) -> Result<Secret<'a>, Error> {
        let field = target::REVERSE_CHAP_SECRET;
        self.table.secret(self.offset, self.bytes, field, "reverse CHAP secret")
    }

    /// Why this target cannot be booted from; `None` when it can.
    pub fn problem(&self) -> Option<TargetProblem> {
        if !self.header.is_usable() {
            return Some(TargetProblem::NotValid);
        }
        match self.address() {
            None => return Some(TargetProblem::NoAddress),
            Some(address) if !is_host_address(address) => {
                return Some(TargetProblem::UnusableAddress(address));
            }
            Some(_) => {}
        }
        match self.name() {
            Ok(name) if name.is_empty() => Some(TargetProblem::NoName),
            Ok(_) => None,
            Err(error) => Some(TargetProblem::Name(error)),
        }
    }
}

impl fmt::Debug for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("offset", &self.offset)
            .field("header", &self.header)
            .field("address", &self.address())
            .field("port", &self.port())
            .field("lun", &self.lun())
            .field("chap_type", &self.chap_type())
            .field("nic_association", &self.nic_association())
            .field("name", &self.name())
            .field("chap_name", &self.chap_name())
            .field("chap_secret", &self.chap_secret())
            .field("reverse_chap_name", &self.reverse_chap_name())
            .field("reverse_chap_secret", &self.reverse_chap_secret())
            .field("problem", &self.problem())
            .finish()
    }
}

view! {
    /// An extensions structure: a header, and data that only its vendor knows.
    Extensions
}

impl<'a> Extensions<'a> {
    /// What follows the header.
    pub fn data(&self) -> &'a [u8] {
        let end = usize::from(self.header.length);
        self.bytes.get(HEADER_LENGTH..end).unwrap_or_default()
    }

    /// The table the structure is of.
    pub fn table(&self) -> Ibft<'a> {
        self.table
    }
}

impl fmt::Debug for Extensions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extensions")
            .field("offset", &self.offset)
            .field("header", &self.header)
            .field("data_length", &self.data().len())
            .finish()
    }
}
