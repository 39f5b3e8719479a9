//! The IP interface of one device: addresses, routes, DHCP, and the order of work in a poll.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

use smoltcp::iface::{
    Config, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet, SocketStorage,
};
use smoltcp::socket::dhcpv4;
use smoltcp::time::{Duration as SmolDuration, Instant};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, Ipv4Cidr};

use crate::device::EthernetDevice;
use crate::link::Link;
use crate::vlan::{VlanDevice, VlanDrops, VlanId};
use crate::watch::Watch;

/// How the interface gets its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressing {
    /// Given by the iBFT, by parameters, or by the hosting kernel. IPv4 or IPv6.
    Static {
        /// Our address.
        address: IpAddr,
        /// Its prefix length in bits.
        prefix: u8,
        /// The router for everything else, of the same family.
        gateway: Option<IpAddr>,
        /// A name server, passed on in [`Address`].
        dns: Option<IpAddr>,
    },
    /// Asked of a DHCPv4 server, and renewed while polled.
    Dhcp,
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
    /// Largest IP packet, 576 to 1500 bytes (1280 at least for IPv6).
    pub mtu: u16,
    /// Unpredictable: TCP sequence numbers and source ports come from it (CVE-2023-45236).
    pub random_seed: u64,
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
    /// The MTU is outside what the family and Ethernet allow.
    Mtu(u16),
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
            Self::Mtu(mtu) => {
                write!(f, "an MTU of {mtu}: 576 to 1500 works, 1280 to 1500 for IPv6")
            }
        }
    }
}

impl core::error::Error for ConfigurationError {}

/// An address in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// Our address.
    pub address: IpAddr,
    /// Its prefix length in bits.
    pub prefix: u8,
    /// The router for everything else.
    pub gateway: Option<IpAddr>,
    /// A name server.
    pub dns: Option<IpAddr>,
    /// The DHCP server that gave all this, or `None` when it was configured.
    pub dhcp_server: Option<IpAddr>,
}

/// Whether the interface has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressState {
    /// DHCP has not answered yet, or the lease ended without renewal.
    Pending,
    /// There is one.
    Configured(Address),
}

/// Room for the sockets of one [`NetStack`], supplied by the hosting kernel.
#[derive(Default)]
pub struct Sockets<'a>([SocketStorage<'a>; 2]);

impl Sockets<'_> {
    /// Empty room.
    #[must_use]
    pub const fn new() -> Self {
        Self([SocketStorage::EMPTY; 2])
    }
}

/// The IP interface of one device.
pub struct NetStack<'a, D: EthernetDevice> {
    pub(crate) device: VlanDevice<D>,
    pub(crate) watch: Watch,
    pub(crate) interface: Interface,
    pub(crate) sockets: SocketSet<'a>,
    dhcp: Option<SocketHandle>,
    address: AddressState,
    mtu: u16,
    random: u64,
    link: Link,
    look_at_link: Duration,
}

/// Between two looks at a link that is up.
const LINK_UP_INTERVAL: Duration = Duration::from_millis(500);
/// Between two looks at a link that is down.
const LINK_DOWN_INTERVAL: Duration = Duration::from_millis(10);
/// Frames taken in one poll, so that a poll ends however fast they come.
const INGRESS_LIMIT: usize = 64;
/// Rounds of sending in one poll: more than any transmit ring holds.
const EGRESS_LIMIT: usize = 256;

impl<'a, D: EthernetDevice> NetStack<'a, D> {
    /// Brings the interface up; DHCP starts with the first poll.
    ///
    /// # Errors
    /// [`ConfigurationError`] says which value cannot be used.
    pub fn new(
        device: D,
        sockets: &'a mut Sockets<'a>,
        configuration: &Configuration,
        now: Duration,
    ) -> Result<Self, ConfigurationError> {
        let Configuration { mac, vlan, addressing, mtu, random_seed } = *configuration;
        let hardware = EthernetAddress(mac);
        if !hardware.is_unicast() || mac == [0; 6] {
            return Err(ConfigurationError::Mac(mac));
        }
        let is_ipv6 = matches!(addressing, Addressing::Static { address: IpAddr::V6(_), .. });
        let least = if is_ipv6 { 1280 } else { 576 };
        if !(least..=1500).contains(&mtu) {
            return Err(ConfigurationError::Mtu(mtu));
        }
        let mut device = VlanDevice::new(device, vlan);
        device.set_mtu(mtu);
        let mut config = Config::new(HardwareAddress::Ethernet(hardware));
        config.random_seed = random_seed;
        let interface = Interface::new(config, &mut device, instant(now));
        let link = device.link();
        let mut stack = Self {
            device,
            watch: Watch::default(),
            interface,
            sockets: SocketSet::new(sockets.0.as_mut_slice()),
            dhcp: None,
            address: AddressState::Pending,
            mtu,
            random: random_seed ^ 0x6973_626f_6f74_6970,
            link,
            look_at_link: now.saturating_add(LINK_UP_INTERVAL),
        };
        match addressing {
            Addressing::Static { address, prefix, gateway, dns } => {
                let address = Address { address, prefix, gateway, dns, dhcp_server: None };
                stack.set_address(address, mac)?;
            }
            Addressing::Dhcp => {
                let mut socket = dhcpv4::Socket::new();
                let mut retry = dhcpv4::RetryConfig::default();
                retry.discover_timeout = SmolDuration::from_secs(2);
                retry.initial_request_timeout = SmolDuration::from_secs(1);
                socket.set_retry_config(retry);
                stack.dhcp = Some(stack.sockets.add(socket));
            }
        }
        Ok(stack)
    }

    /// Moves frames both ways. [`TcpStream`](crate::tcp::TcpStream) does this in its own poll.
    pub fn poll(&mut self, now: Duration) {
        self.egress(now);
        self.ingress(now);
    }

    /// When [`poll`](Self::poll) wants to be called next even if no frame arrives.
    pub fn poll_at(&mut self, now: Duration) -> Option<Duration> {
        let look_at_link = self.look_at_link.max(now);
        if !self.link.is_up() {
            return Some(look_at_link);
        }
        let timer = self.interface.poll_at(instant(now), &self.sockets);
        let recovery = self.watch.recovery(|recovery| recovery.poll_at());
        let earliest = [timer.map(duration), recovery].into_iter().flatten().min();
        Some(earliest.map_or(look_at_link, |at| at.max(now).min(look_at_link)))
    }

    /// Whether there is an address, and which.
    #[must_use]
    pub const fn address_state(&self) -> AddressState {
        self.address
    }

    /// The state of the wire, as last looked at.
    #[must_use]
    pub const fn link(&self) -> Link {
        self.link
    }

    /// Largest IP packet.
    #[must_use]
    pub const fn mtu(&self) -> u16 {
        self.mtu
    }

    /// The VLAN that every frame carries the tag of.
    #[must_use]
    pub const fn vlan(&self) -> Option<VlanId> {
        self.device.vlan()
    }

    /// Frames that were dropped for their tag, or for want of it.
    #[must_use]
    pub const fn vlan_drops(&self) -> VlanDrops {
        self.device.drops()
    }

    /// The device.
    #[must_use]
    pub const fn device(&self) -> &D {
        self.device.device()
    }

    /// The device.
    pub const fn device_mut(&mut self) -> &mut D {
        self.device.device_mut()
    }

    /// Gives the device back; sockets are forgotten.
    #[must_use]
    pub fn into_device(self) -> D {
        self.device.into_device()
    }

    /// Whether `address` is on our network or behind a router.
    #[must_use]
    pub fn has_route(&self, address: IpAddr) -> bool {
        let address = IpAddress::from(address);
        let routes = self.interface.routes();
        let router = match address {
            IpAddress::Ipv4(_) => routes.get_default_ipv4_route(),
            IpAddress::Ipv6(_) => routes.get_default_ipv6_route(),
        };
        let is_ours = |cidr: &IpCidr| cidr.address().version() == address.version();
        let addresses = self.interface.ip_addrs();
        addresses.iter().any(|cidr| cidr.contains_addr(&address))
            || (router.is_some() && addresses.iter().any(is_ours))
    }

    /// The next number of our own sequence (splitmix64).
    pub(crate) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = self.random;
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Sends what the sockets want to send; says whether it could, which it cannot without link.
    pub(crate) fn egress(&mut self, now: Duration) -> bool {
        self.watch_link(now);
        if !self.link.is_up() {
            return false;
        }
        for _ in 0..EGRESS_LIMIT {
            let device = &mut self.watch.before(&mut self.device);
            let result = self.interface.poll_egress(instant(now), device, &mut self.sockets);
            if result == PollResult::None {
                break;
            }
        }
        self.device.flush();
        true
    }

    /// Takes in what arrived, one batch; says whether more may wait.
    pub(crate) fn ingress(&mut self, now: Duration) -> bool {
        self.interface.poll_maintenance(instant(now));
        let mut more = true;
        for _ in 0..INGRESS_LIMIT {
            let device = &mut self.watch.before(&mut self.device);
            let result =
                self.interface.poll_ingress_single(instant(now), device, &mut self.sockets);
            if result == PollIngressSingleResult::None {
                more = false;
                break;
            }
        }
        // Answers that the stack gave by itself: ARP, neighbour discovery, resets.
        self.device.flush();
        self.apply_dhcp();
        more
    }

    fn watch_link(&mut self, now: Duration) {
        if now < self.look_at_link {
            return;
        }
        let was_up = self.link.is_up();
        self.link = self.device.link();
        let interval = if self.link.is_up() { LINK_UP_INTERVAL } else { LINK_DOWN_INTERVAL };
        self.look_at_link = now.saturating_add(interval);
        if !was_up && self.link.is_up() && self.address == AddressState::Pending {
            // Do not wait for the retry of a request that went nowhere.
            if let Some(dhcp) = self.dhcp {
                self.sockets.get_mut::<dhcpv4::Socket<'_>>(dhcp).reset();
            }
        }
    }

    fn apply_dhcp(&mut self) {
        let Some(dhcp) = self.dhcp else { return };
        let lease = match self.sockets.get_mut::<dhcpv4::Socket<'_>>(dhcp).poll() {
            None => return,
            Some(dhcpv4::Event::Deconfigured) => None,
            Some(dhcpv4::Event::Configured(lease)) => Some(Address {
                address: IpAddr::V4(lease.address.address()),
                prefix: lease.address.prefix_len(),
                gateway: lease.router.map(IpAddr::V4),
                dns: lease.dns_servers.first().copied().map(IpAddr::V4),
                dhcp_server: Some(IpAddr::V4(lease.server.identifier)),
            }),
        };
        self.clear_address();
        if let Some(mut address) = lease {
            // A router outside the station range is no reason to do without the address.
            address.gateway = address.gateway.filter(|gateway| is_station(*gateway));
            if let Err(error) = self.set_address(address, [0; 6]) {
                log::warn!("DHCP: {error}");
            }
        }
    }

    fn clear_address(&mut self) {
        self.address = AddressState::Pending;
        self.interface.update_ip_addrs(|addresses| addresses.clear());
        self.interface.routes_mut().remove_default_ipv4_route();
    }

    fn set_address(&mut self, address: Address, mac: [u8; 6]) -> Result<(), ConfigurationError> {
        let bits = if address.address.is_ipv4() { 32 } else { 128 };
        if !is_station(address.address) {
            return Err(ConfigurationError::Address(address.address));
        }
        if address.prefix > bits {
            return Err(ConfigurationError::Prefix(address.prefix));
        }
        if let Some(gateway) = address.gateway
            && (!is_station(gateway) || gateway.is_ipv4() != address.address.is_ipv4())
        {
            return Err(ConfigurationError::Gateway(gateway));
        }
        let own = match address.address {
            IpAddr::V4(v4) => IpCidr::Ipv4(Ipv4Cidr::new(v4, address.prefix)),
            IpAddr::V6(_) => IpCidr::new(address.address.into(), address.prefix),
        };
        self.interface.update_ip_addrs(|addresses| {
            addresses.clear();
            let _ = addresses.push(own);
            if address.address.is_ipv6() {
                // Routers speak from link-local addresses and expect us to have one.
                let _ = addresses.push(IpCidr::new(IpAddr::V6(link_local(mac)).into(), 64));
            }
        });
        let routes = self.interface.routes_mut();
        let added = match address.gateway {
            Some(IpAddr::V4(gateway)) => routes.add_default_ipv4_route(gateway).map(drop),
            Some(IpAddr::V6(gateway)) => routes.add_default_ipv6_route(gateway).map(drop),
            None => Ok(()),
        };
        if added.is_err() {
            log::warn!("no room for the default route");
        }
        self.address = AddressState::Configured(address);
        Ok(())
    }
}

/// Whether an address can be one station's.
fn is_station(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_unspecified() && !v4.is_multicast() && !v4.is_broadcast(),
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast(),
    }
}

/// The link-local address made from a MAC address (RFC 4291 appendix A).
fn link_local(mac: [u8; 6]) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac;
    Ipv6Addr::from_octets([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

/// smoltcp's time, microseconds in an `i64`.
pub(crate) fn instant(time: Duration) -> Instant {
    let micros =
        time.as_secs().saturating_mul(1_000_000).saturating_add(time.subsec_micros().into());
    // Leaves room for every timer that is added to it.
    Instant::from_micros(i64::try_from(micros).unwrap_or(i64::MAX).min(i64::MAX / 4))
}

pub(crate) fn duration(time: Instant) -> Duration {
    Duration::from_micros(u64::try_from(time.total_micros()).unwrap_or(0))
}
