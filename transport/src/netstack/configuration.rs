//! What an interface is made from.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};

use super::duplicate::AddressCheck;
use crate::vlan::VlanId;

/// How the interface gets its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// Given by the iBFT, by parameters, or by the hosting kernel. IPv4 or IPv6.
    Static {
        /// Our address.
        address: IpAddr,
        /// Its prefix length in bits.
        prefix: u8,
        /// The router for everything else, of the same family. IPv6 asks the link for routers
        /// when there is none.
        gateway: Option<IpAddr>,
        /// A name server.
        dns: Option<IpAddr>,
    },
    /// Asked of a DHCPv4 server, and renewed while polled.
    Dhcp,
    /// IPv6 from the prefixes that routers advertise (RFC 4862). The link-local address works
    /// without any.
    Slaac,
}

impl Addressing {
    /// Whether the interface speaks IPv6.
    pub(super) const fn is_ipv6(&self) -> bool {
        matches!(self, Self::Slaac | Self::Static { address: IpAddr::V6(_), .. })
    }
}

/// What an interface is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// The MAC address to speak from: the controller's own.
    pub mac: [u8; 6],
    /// The VLAN whose tag every frame carries, ours and those taken in; `None`: no tags.
    pub vlan: Option<VlanId>,
    /// How the interface gets its address.
    pub addressing: Addressing,
    /// How its address is checked for being somebody else's too.
    pub address_check: AddressCheck,
    /// A name server to ask before those that the address came with.
    pub dns: Option<IpAddr>,
    /// Largest IP packet, 576 bytes at least (1280 for IPv6), and at most what the device
    /// [carries](crate::device::EthernetDevice::max_mtu). `None`: 1500 on the link, and 1280 to a
    /// target behind a router.
    pub mtu: Option<u16>,
    /// Unpredictable: TCP sequence numbers, source ports and DNS identifiers come from it
    /// (CVE-2023-45236).
    pub random_seed: u64,
}

impl Configuration {
    /// Without a VLAN, with the MTU that each path surely has, and an address that is announced and used.
    #[must_use]
    pub const fn new(mac: [u8; 6], addressing: Addressing, random_seed: u64) -> Self {
        let address_check = AddressCheck::Announce;
        Self { mac, vlan: None, addressing, address_check, dns: None, mtu: None, random_seed }
    }

    /// Whether every value can be used.
    pub(super) fn check(&self, most: u16) -> Result<(), ConfigurationError> {
        let mac = self.mac;
        if mac[0] & 1 != 0 || mac == [0; 6] {
            return Err(ConfigurationError::Mac(mac));
        }
        let least = if self.addressing.is_ipv6() { 1280 } else { 576 };
        if let Some(mtu) = self.mtu.filter(|mtu| !(least..=most).contains(mtu)) {
            return Err(ConfigurationError::Mtu { mtu, least, most });
        }
        let Addressing::Static { address, prefix, gateway, .. } = self.addressing else {
            return Ok(());
        };
        if !is_station(address) {
            return Err(ConfigurationError::Address(address));
        }
        if prefix > if address.is_ipv4() { 32 } else { 128 } {
            return Err(ConfigurationError::Prefix(prefix));
        }
        match gateway {
            Some(gateway) if !is_station(gateway) || gateway.is_ipv4() != address.is_ipv4() => {
                Err(ConfigurationError::Gateway(gateway))
            }
            _ => Ok(()),
        }
    }
}

/// Why a [`Configuration`] cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigurationError {
    /// The MAC address is a group's or zero.
    Mac([u8; 6]),
    /// The address is not a station's.
    Address(IpAddr),
    /// The prefix is longer than an address.
    Prefix(u8),
    /// The gateway is not a station's address, or of the other family.
    Gateway(IpAddr),
    /// The MTU is outside what the family and the device allow.
    Mtu {
        /// What was asked for.
        mtu: u16,
        /// What the family asks of every link.
        least: u16,
        /// What the device carries.
        most: u16,
    },
}

impl fmt::Display for ConfigurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => write!(f, "{mac:02x?} is not the MAC address of a station"),
            Self::Address(address) => write!(f, "{address} is not the address of a station"),
            Self::Prefix(prefix) => {
                write!(f, "a prefix of {prefix} bits is longer than an address")
            }
            Self::Gateway(gateway) => {
                write!(f, "the gateway {gateway} is not a station's address of our family")
            }
            Self::Mtu { mtu, least, most } => {
                write!(f, "an MTU of {mtu}: {least} to {most} works with this device and address")
            }
        }
    }
}

impl core::error::Error for ConfigurationError {}

/// Whether an address can be one station's.
pub(super) fn is_station(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_unspecified() && !v4.is_multicast() && !v4.is_broadcast(),
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast(),
    }
}

/// The interface identifier made from a MAC address (RFC 4291 appendix A).
pub(super) const fn identifier(mac: [u8; 6]) -> [u8; 8] {
    let [a, b, c, d, e, f] = mac;
    [a ^ 2, b, c, 0xff, 0xfe, d, e, f]
}

/// The link-local address made from a MAC address (RFC 4862 §5.3).
#[must_use]
pub const fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f, g, h] = identifier(mac);
    Ipv6Addr::from_octets([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a, b, c, d, e, f, g, h])
}
