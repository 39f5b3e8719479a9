//! The IP interface of one device: addresses, routes, neighbours, and the order of work in a poll.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use heapless::Vec;
use smoltcp::iface::{
    Config, Interface, PollIngressSingleResult, PollResult, Route, SocketSet, SocketStorage,
};
use smoltcp::phy::{Device, TxToken};
use smoltcp::socket::Socket;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};

use crate::device::{ETHERNET_MTU, EthernetDevice};
use crate::link::Link;
use crate::loss_recovery::{LossRecovery, PROMPTS};
use crate::vlan::{VlanDevice, VlanDrops, VlanId};

mod configuration;
mod dhcp;
mod duplicate;
mod gate;
mod message;
mod neighbour;
mod path;
mod random;
mod resolve;
mod router;

pub use configuration::{Addressing, Configuration, ConfigurationError, link_local};
pub use duplicate::{AddressCheck, Conflict};
pub use resolve::ResolveError;

use configuration::{identifier, is_station};
use dhcp::{Dhcp, Lease};
use gate::{Gate, Neighbourhood, Telling};
use message::{MESSAGE_LIMIT, Mac, Message};
use path::ROUTED_MTU;
use random::Random;
use resolve::{Datagrams, Resolver};
use router::{PREFIX_LIMIT, Routers};

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
    /// DHCP or a router has not answered yet, the lease ended without renewal, or nobody knows yet
    /// whether the address is free.
    Pending,
    /// There is one.
    Configured(Address),
    /// There is one, and somebody else has it: it is not used.
    Duplicate(Conflict),
}

/// Room for the sockets of one [`NetStack`], supplied by the hosting kernel.
#[derive(Debug)]
pub struct Sockets<'a> {
    /// For TCP, DHCP and DNS.
    storage: [SocketStorage<'a>; 3],
    datagrams: Datagrams,
}

impl Sockets<'_> {
    /// Empty room.
    #[must_use]
    pub const fn new() -> Self {
        Self { storage: [SocketStorage::EMPTY; 3], datagrams: Datagrams::new() }
    }
}

impl Default for Sockets<'_> {
    fn default() -> Self {
        Self::new()
    }
}

/// Addresses of ours at a time: a configured and a link-local one, and those that prefixes give.
const ADDRESS_LIMIT: usize = 2 + PREFIX_LIMIT;
/// Name servers remembered.
const NAME_SERVER_LIMIT: usize = 4;
/// Between two looks at a link that is up.
const LINK_UP_INTERVAL: Duration = Duration::from_millis(500);
/// Between two looks at a link that is down.
const LINK_DOWN_INTERVAL: Duration = Duration::from_millis(10);
/// Frames taken in one poll, so that a poll ends however fast they come.
const INGRESS_LIMIT: usize = 64;
/// Rounds of sending in one poll: more than any transmit ring holds.
const EGRESS_LIMIT: usize = 256;
/// At most this long between two looks at whom frames went to in vain.
const TEND_INTERVAL: Duration = Duration::from_millis(50);

/// The IP interface of one device.
pub struct NetStack<'a, D: EthernetDevice> {
    pub(crate) device: VlanDevice<D>,
    gate: Gate,
    pub(crate) interface: Interface,
    pub(crate) sockets: SocketSet<'a>,
    configuration: Configuration,
    mtu: u16,
    dhcp: Option<Dhcp>,
    resolver: Resolver,
    random: Random,
    /// What the addresses and routes of the interface were made for, and are.
    state: AddressState,
    name_servers: Vec<IpAddr, NAME_SERVER_LIMIT>,
    /// Where the latest connection went to.
    destination: Option<IpAddr>,
    /// That, when it is on the link though no address of ours says so.
    direct: Option<IpAddr>,
    link: Link,
    look_at_link: Duration,
    tend_at: Duration,
}

impl<'a, D: EthernetDevice> NetStack<'a, D> {
    /// Brings the interface up; what has to be asked for is asked for with the first poll.
    ///
    /// # Errors
    /// [`ConfigurationError`] says which value cannot be used.
    pub fn new(
        device: D,
        sockets: &'a mut Sockets<'a>,
        configuration: &Configuration,
        now: Duration,
    ) -> Result<Self, ConfigurationError> {
        configuration.check(device.max_mtu())?;
        let Configuration { mac, vlan, addressing, mtu, random_seed, .. } = *configuration;
        let mut device = VlanDevice::new(device, vlan);
        let mtu = mtu.unwrap_or(usual_mtu(&device));
        device.set_mtu(mtu);
        let mut random = Random::new(random_seed);
        let interface = new_interface(mac, random.next(), &mut device, now);
        let Sockets { storage, datagrams } = sockets;
        let mut sockets = SocketSet::new(storage.as_mut_slice());
        let resolver = Resolver::new(&mut sockets, datagrams);
        let dhcp = (addressing == Addressing::Dhcp).then(|| Dhcp::start(&mut sockets));
        let mut neighbourhood = Neighbourhood::new(mac, addressing.is_ipv6());
        if let Some(routers) = &mut neighbourhood.routers {
            routers.solicit(now);
        }
        let link = device.link();
        let mut stack = Self {
            device,
            gate: Gate::new(neighbourhood),
            interface,
            sockets,
            configuration: *configuration,
            mtu,
            dhcp,
            resolver,
            random,
            state: AddressState::Pending,
            name_servers: Vec::new(),
            destination: None,
            direct: None,
            link,
            look_at_link: now.saturating_add(LINK_UP_INTERVAL),
            tend_at: now,
        };
        stack.follow_addresses(now);
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
        let timer = self.interface.poll_at(instant(now), &self.sockets).map(duration);
        let lost = self.recovery(|recovery| recovery.poll_at());
        let due = [timer, self.due(now), lost, Some(look_at_link)].into_iter().flatten().min();
        due.map(|at| at.max(now))
    }

    /// Whether there is an address, and which.
    #[must_use]
    pub const fn address_state(&self) -> AddressState {
        self.state
    }

    /// Somebody else who was seen to have an address of ours.
    #[must_use]
    pub fn conflict(&mut self) -> Option<Conflict> {
        self.gate.neighbourhood().checks.conflict()
    }

    /// Begins to ask the name servers for the address of a host: an IPv4 address when ours is one,
    /// else IPv6. An earlier question is forgotten.
    ///
    /// # Errors
    /// [`ResolveError::BadName`] when it is no host name.
    pub fn resolve(&mut self, name: &str) -> Result<(), ResolveError> {
        self.resolver.start(name)
    }

    /// What came of [`resolve`](Self::resolve); `None` while servers are asked, for 28 seconds at
    /// most, and after it was taken.
    #[must_use]
    pub fn resolved(&mut self) -> Option<Result<IpAddr, ResolveError>> {
        self.resolver.take_result()
    }

    /// The state of the wire, as last looked at.
    #[must_use]
    pub const fn link(&self) -> Link {
        self.link
    }

    /// Largest IP packet: as configured, or as a router limits it.
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

    /// Whether `address` is on our network or behind a router, as far as is known.
    #[must_use]
    pub fn has_route(&self, address: IpAddr) -> bool {
        self.next_hop(address).is_some()
    }

    /// Makes the way to `address` ready, for a connection to come.
    pub(crate) fn prepare(&mut self, now: Duration, address: IpAddr) {
        self.destination = Some(address);
        self.tend_at = now;
        self.configure(now);
        self.limit_mtu(now);
        self.configure(now);
    }

    /// The address that frames to `address` leave from.
    pub(crate) fn source(&self, address: IpAddr) -> Option<IpAddr> {
        self.interface.get_source_address(&address.into()).map(IpAddr::from)
    }

    /// Whether `address` is ours.
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        self.interface.has_ip_addr(IpAddress::from(address))
    }

    /// The next unpredictable number.
    pub(crate) fn random(&mut self) -> u64 {
        self.random.next()
    }

    /// What is known of segments that were lost.
    pub(crate) fn recovery<R>(&self, change: impl FnOnce(&mut LossRecovery) -> R) -> R {
        self.gate.watch().recovery(change)
    }

    /// Lets the socket believe that its oldest outstanding segment was lost.
    pub(crate) fn prompt(&mut self, now: Duration) {
        for number in 0..PROMPTS {
            let Some(prompt) = self.gate.watch().prompt(number) else { break };
            let frame = Some(prompt.bytes());
            let mut telling = Telling { frame, device: &mut self.device };
            self.interface.poll_ingress_single(instant(now), &mut telling, &mut self.sockets);
        }
    }

    /// Sends what the sockets want to send; says whether it could, which it cannot without link.
    pub(crate) fn egress(&mut self, now: Duration) -> bool {
        self.watch_link(now);
        self.ask_name_servers(now);
        if !self.link.is_up() {
            return false;
        }
        self.tend(now);
        for _ in 0..EGRESS_LIMIT {
            let device = &mut self.gate.before(&mut self.device, now);
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
            let device = &mut self.gate.before(&mut self.device, now);
            let result =
                self.interface.poll_ingress_single(instant(now), device, &mut self.sockets);
            if result == PollIngressSingleResult::None {
                more = false;
                break;
            }
        }
        self.ask_name_servers(now);
        if self.link.is_up() {
            self.tend(now);
        }
        // Answers that the stack gave by itself, and ours.
        self.device.flush();
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
        if was_up || !self.link.is_up() {
            return;
        }
        if let Some(dhcp) = &mut self.dhcp {
            dhcp.link_is_back(&mut self.sockets);
        }
        let neighbourhood = self.gate.neighbourhood();
        neighbourhood.neighbours.link_is_back(now);
        neighbourhood.checks.link_is_back(now);
        if let Some(routers) = &mut neighbourhood.routers {
            routers.solicit(now);
        }
        self.tend_at = now;
    }

    /// Goes on with a name that is asked for; time passes for that without a link, too.
    fn ask_name_servers(&mut self, now: Duration) {
        let is_ipv6 = match self.state {
            AddressState::Configured(Address { address, .. }) => Some(address.is_ipv6()),
            _ => None,
        };
        let (sockets, servers) = (&mut self.sockets, &self.name_servers);
        self.resolver.poll(now, sockets, servers, is_ipv6, &mut self.random);
    }

    /// Does what the neighbourhood wants done: whatever a frame or the clock brought about.
    fn tend(&mut self, now: Duration) {
        let changed = self.dhcp.as_mut().is_some_and(|dhcp| dhcp.poll(now, &mut self.sockets));
        let touched = core::mem::take(&mut self.gate.neighbourhood().touched);
        if !changed && !touched && now < self.tend_at {
            return;
        }
        if let Some(routers) = &mut self.gate.neighbourhood().routers {
            routers.expire(now);
        }
        self.limit_mtu(now);
        self.follow_addresses(now);
        self.send_messages(now);
        self.decline_duplicate(now);
        self.configure(now);
        self.need_next_hops(now);
        self.tell_stack(now);
        let latest = now.saturating_add(TEND_INTERVAL);
        self.tend_at = self.due(now).map_or(latest, |due| due.min(latest));
    }

    /// smoltcp takes the MTU once, when an interface is made: another one needs another interface.
    /// Sockets live outside of it; its addresses and routes come back with the next look at them.
    fn limit_mtu(&mut self, now: Duration) {
        let mtu = self.path_mtu(now);
        if mtu != self.mtu {
            self.mtu = mtu;
            self.device.set_mtu(mtu);
            self.begin_anew(now);
        }
    }

    /// The largest packet that may go to the target, and come from there.
    fn path_mtu(&mut self, now: Duration) -> u16 {
        let is_near = match self.destination {
            Some(target) => self.is_on_link(now, target),
            None => true,
        };
        let unknown = match self.configuration.mtu {
            Some(mtu) => mtu,
            None if is_near => usual_mtu(&self.device),
            None => usual_mtu(&self.device).min(ROUTED_MTU),
        };
        let neighbourhood = self.gate.neighbourhood();
        let advertised = neighbourhood.routers.as_ref().and_then(Routers::mtu);
        let said = self.destination.and_then(|target| neighbourhood.path.limit(now, target));
        [advertised, said].into_iter().flatten().fold(unknown, u16::min)
    }

    /// Before a connection: what smoltcp's numbers were so far, such as those of DHCP that the
    /// whole network hears, tells nothing of the next initial sequence number (RFC 6528 §3).
    pub(crate) fn renew_numbers(&mut self, now: Duration) {
        self.begin_anew(now);
        self.configure(now);
    }

    fn begin_anew(&mut self, now: Duration) {
        let seed = self.random.next();
        self.interface = new_interface(self.configuration.mac, seed, &mut self.device, now);
    }

    /// When something of the neighbourhood is due.
    fn due(&mut self, now: Duration) -> Option<Duration> {
        let neighbourhood = self.gate.neighbourhood();
        let routers = neighbourhood.routers.as_ref().and_then(|routers| routers.due(now));
        let (neighbours, checks) = (neighbourhood.neighbours.due(), neighbourhood.checks.due());
        let dhcp = self.dhcp.as_ref().and_then(Dhcp::due);
        [routers, neighbours, checks, dhcp, self.resolver.due()].into_iter().flatten().min()
    }

    /// Begins checks for the addresses that are ours by now.
    fn follow_addresses(&mut self, now: Duration) {
        let addresses = self.own_addresses(now);
        let random = &mut self.random;
        let checks = &mut self.gate.neighbourhood().checks;
        let how = self.configuration.address_check;
        checks.follow(now, addresses.iter().map(|(address, _)| *address), how, || random.next());
        self.configure(now);
    }

    /// The addresses that we are to have, with their prefix lengths; what names us comes first.
    fn own_addresses(&mut self, now: Duration) -> Vec<(IpAddr, u8), ADDRESS_LIMIT> {
        let mac = self.configuration.mac;
        let link_local = (IpAddr::V6(link_local(mac)), 64);
        let mut own = Vec::new();
        match self.configuration.addressing {
            Addressing::Static { address, prefix, .. } => {
                let _ = own.push((address, prefix));
                // Routers speak from link-local addresses and expect us to have one.
                let is_link_local = |v6: &Ipv6Addr| v6.is_unicast_link_local();
                if matches!(&address, IpAddr::V6(v6) if !is_link_local(v6)) {
                    let _ = own.push(link_local);
                }
            }
            Addressing::Dhcp => {
                if let Some(lease) = self.lease() {
                    let _ = own.push((IpAddr::V4(lease.address), lease.prefix));
                }
            }
            Addressing::Slaac => {
                if let Some(routers) = &self.gate.neighbourhood().routers {
                    for made in routers.addresses(now, identifier(mac)) {
                        let _ = own.push((IpAddr::V6(made.address), made.prefix));
                    }
                }
                let _ = own.push(link_local);
            }
        }
        own
    }

    fn lease(&self) -> Option<&Lease> {
        self.dhcp.as_ref().and_then(Dhcp::lease)
    }

    /// Sends what is due: answers, checks, questions for neighbours, questions for routers.
    fn send_messages(&mut self, now: Duration) {
        let own = self.own_addresses(now);
        let neighbourhood = self.gate.neighbourhood();
        let mac = neighbourhood.mac;
        for _ in 0..EGRESS_LIMIT {
            // Room first: what is taken out of its queue is sent.
            let Some(token) = self.device.transmit(instant(now)) else { break };
            let random = &mut self.random;
            let message = neighbourhood
                .answers
                .pop()
                .or_else(|| neighbourhood.checks.message(now, || random.next()));
            let checks = &neighbourhood.checks;
            // Of the target's own network, or else the link-local one, which is the last.
            let usable = |target: IpAddr| {
                let mut usable = own
                    .iter()
                    .filter(|(own, _)| own.is_ipv4() == target.is_ipv4() && checks.may_use(*own));
                let is_near = |(own, prefix): &&(IpAddr, u8)| {
                    IpCidr::new((*own).into(), *prefix).contains_addr(&target.into())
                };
                let source = usable.clone().find(is_near).or_else(|| usable.next_back());
                source.map(|(own, _)| *own)
            };
            let neighbours = &mut neighbourhood.neighbours;
            let message = message.or_else(|| neighbours.question(now, usable)).or_else(|| {
                let IpAddr::V6(source) = usable(Ipv6Addr::UNSPECIFIED.into())? else { return None };
                neighbourhood.routers.as_mut()?.message(now, source)
            });
            let Some(message) = message else { break };
            token.consume(message.length(mac), |frame| message.write(mac, frame));
        }
    }

    /// A lease of an address that somebody else has is given back, for another one.
    fn decline_duplicate(&mut self, now: Duration) {
        let Some(lease) = self.lease() else { return };
        let address = IpAddr::V4(lease.address);
        if self.gate.neighbourhood().checks.duplicate(address).is_none() {
            return;
        }
        let Some(token) = self.device.transmit(instant(now)) else { return };
        let lease = self.dhcp.as_mut().and_then(|dhcp| dhcp.give_up(now, &mut self.sockets));
        if let Some(lease) = lease {
            let [a, b, c, d, ..] = self.random.next().to_le_bytes();
            let transaction = u32::from_le_bytes([a, b, c, d]);
            let (length, write) = dhcp::decline(&lease, self.configuration.mac, transaction);
            token.consume(length, write);
        }
    }

    /// Gives the interface the addresses and routes that it is to have by now. What is the same
    /// stays as it is: a change of addresses costs the stack all its neighbours.
    fn configure(&mut self, now: Duration) {
        let own = self.own_addresses(now);
        let checks = &self.gate.neighbourhood().checks;
        let usable = own.iter().filter(|(address, _)| checks.may_use(*address));
        let usable = usable.map(|(address, prefix)| IpCidr::new((*address).into(), *prefix));
        let usable: Vec<IpCidr, ADDRESS_LIMIT> = usable.collect();
        let duplicate = own.iter().find_map(|(address, _)| checks.duplicate(*address));
        if self.interface.ip_addrs() != usable.as_slice() {
            self.interface.update_ip_addrs(|addresses| {
                addresses.clear();
                let _ = addresses.extend_from_slice(&usable);
            });
            self.gate.neighbourhood().neighbours.forget_told();
        }
        self.configure_routes(now);
        self.name_servers = self.known_name_servers();
        self.state = match (self.main_address(&usable), duplicate) {
            (_, Some(conflict)) => AddressState::Duplicate(conflict),
            (Some(address), None) => AddressState::Configured(address),
            (None, None) => AddressState::Pending,
        };
    }

    fn configure_routes(&mut self, now: Duration) {
        let mut wanted: Vec<Route, 3> = Vec::new();
        match self.gateway() {
            Some(IpAddr::V4(gateway)) if self.is_on_our_network(gateway.into()) => {
                let _ = wanted.push(Route::new_ipv4_gateway(gateway));
            }
            Some(IpAddr::V6(gateway)) => {
                let _ = wanted.push(Route::new_ipv6_gateway(gateway));
            }
            _ => {}
        }
        // What is on the link by a router's word, and by no address of ours, is its own next hop.
        self.direct = None;
        if let Some(IpAddr::V6(destination)) = self.destination
            && !self.is_on_our_network(destination.into())
            && let Some(routers) = &self.gate.neighbourhood().routers
            && routers.is_on_link(now, destination)
        {
            let mut route = Route::new_ipv6_gateway(destination);
            route.cidr = IpCidr::new(destination.into(), 128);
            let _ = wanted.push(route);
            self.direct = Some(destination.into());
        }
        self.interface.routes_mut().update(|routes| {
            let key = |route: &Route| (route.cidr, route.via_router);
            if !routes.iter().map(key).eq(wanted.iter().map(key)) {
                routes.clear();
                let _ = routes.extend_from_slice(&wanted);
            }
        });
    }

    /// The router for what is not on the link.
    fn gateway(&mut self) -> Option<IpAddr> {
        if let Addressing::Static { gateway: Some(gateway), .. } = self.configuration.addressing {
            return Some(gateway);
        }
        if let Some(lease) = self.lease() {
            return lease.router.map(IpAddr::V4);
        }
        let neighbourhood = self.gate.neighbourhood();
        let neighbours = &neighbourhood.neighbours;
        let is_lost = |router: Ipv6Addr| neighbours.is_lost(router.into());
        let router = neighbourhood.routers.as_ref()?.default_router(is_lost);
        router.map(IpAddr::V6)
    }

    fn known_name_servers(&mut self) -> Vec<IpAddr, NAME_SERVER_LIMIT> {
        let mut known = Vec::new();
        if let Some(dns) = self.configuration.dns {
            let _ = known.push(dns);
        }
        if let Addressing::Static { dns: Some(dns), .. } = self.configuration.addressing {
            let _ = known.push(dns);
        }
        if let Some(lease) = self.lease() {
            for server in &lease.name_servers {
                let _ = known.push(IpAddr::V4(*server));
            }
        }
        if let Some(routers) = &self.gate.neighbourhood().routers {
            for server in routers.dns() {
                let _ = known.push(IpAddr::V6(server));
            }
        }
        known
    }

    /// The address that names us, if it can be used.
    fn main_address(&mut self, usable: &[IpCidr]) -> Option<Address> {
        let (address, prefix) = match self.configuration.addressing {
            Addressing::Static { address, prefix, .. } => (address, prefix),
            Addressing::Dhcp => {
                let lease = self.lease()?;
                (IpAddr::V4(lease.address), lease.prefix)
            }
            Addressing::Slaac => {
                let cidr = usable.iter().find(|cidr| {
                    matches!(cidr.address(), IpAddress::Ipv6(v6) if !v6.is_unicast_link_local())
                })?;
                (cidr.address().into(), cidr.prefix_len())
            }
        };
        let is_usable = usable.iter().any(|cidr| IpAddr::from(cidr.address()) == address);
        is_usable.then_some(Address {
            address,
            prefix,
            gateway: self.gateway(),
            dns: self.name_servers.first().copied(),
            dhcp_server: self.lease().map(|lease| IpAddr::V4(lease.server)),
        })
    }

    /// Whether frames to `address` need no router, by our addresses or by a router's word.
    fn is_on_link(&mut self, now: Duration, address: IpAddr) -> bool {
        if self.is_on_our_network(address) {
            return true;
        }
        let routers = self.gate.neighbourhood().routers.as_ref();
        match (address, routers) {
            (IpAddr::V6(v6), Some(routers)) => routers.is_on_link(now, v6),
            _ => false,
        }
    }

    fn is_on_our_network(&self, address: IpAddr) -> bool {
        let address = IpAddress::from(address);
        self.interface.ip_addrs().iter().any(|cidr| cidr.contains_addr(&address))
    }

    /// Whom frames to `address` are handed to.
    fn next_hop(&self, address: IpAddr) -> Option<IpAddr> {
        let addresses = self.interface.ip_addrs();
        let family = |own: &IpCidr| IpAddr::from(own.address()).is_ipv4() == address.is_ipv4();
        if !addresses.iter().any(family) {
            return None;
        }
        if self.is_on_our_network(address) || self.direct == Some(address) {
            return Some(address);
        }
        let routes = self.interface.routes();
        let router = match address {
            IpAddr::V4(_) => routes.get_default_ipv4_route(),
            IpAddr::V6(_) => routes.get_default_ipv6_route(),
        };
        router.map(|route| route.via_router.into())
    }

    /// Those whom a connection goes through stay known, whoever else wants room.
    fn need_next_hops(&mut self, now: Duration) {
        let mut needed: Vec<IpAddr, 4> = Vec::new();
        for (_, socket) in self.sockets.iter() {
            if let Socket::Tcp(socket) = socket
                && let Some(remote) = socket.remote_endpoint()
                && let Some(hop) = self.next_hop(remote.addr.into())
            {
                let _ = needed.push(hop);
            }
        }
        if let Some(hop) = self.resolver.server().and_then(|server| self.next_hop(server)) {
            let _ = needed.push(hop);
        }
        self.gate.neighbourhood().neighbours.need(now, &needed);
    }

    /// Tells the stack who is where, in the only words that it understands: an answer.
    fn tell_stack(&mut self, now: Duration) {
        let our_mac = self.configuration.mac;
        for _ in 0..EGRESS_LIMIT {
            let Some((address, mac)) = self.gate.neighbourhood().neighbours.untold(now) else {
                break;
            };
            let Some(answer) = self.made_up_answer(address, our_mac) else { continue };
            let mut buffer = [0; MESSAGE_LIMIT];
            let Some(frame) = buffer.get_mut(..answer.length(mac)) else { continue };
            answer.write(mac, frame);
            let mut telling = Telling { frame: Some(frame), device: &mut self.device };
            self.interface.poll_ingress_single(instant(now), &mut telling, &mut self.sockets);
            if telling.frame.is_some() {
                // No room to answer, says the device: again with the next poll.
                self.gate.neighbourhood().neighbours.forget_told();
                break;
            }
        }
    }

    /// What a neighbour would answer if we had asked it from an address of the same network.
    fn made_up_answer(&self, neighbour: IpAddr, our_mac: Mac) -> Option<Message> {
        match neighbour {
            IpAddr::V4(address) => {
                let asker: Ipv4Addr = self.interface.ipv4_addr()?;
                Some(Message::ArpReply { address, asker, to: our_mac })
            }
            IpAddr::V6(address) => {
                let asker: Ipv6Addr = self.interface.ipv6_addr()?;
                Some(Message::NeighbourAdvertisement { address, to: Some((asker, our_mac)) })
            }
        }
    }
}

/// The MTU of a link where nothing else is configured: Ethernet's, since others on it may not take
/// more even where the device does.
fn usual_mtu(device: &impl EthernetDevice) -> u16 {
    device.max_mtu().min(ETHERNET_MTU)
}

/// An interface without addresses. smoltcp's random numbers can be run backwards by who sees enough
/// of them, so its seed is one of our numbers, never our key.
fn new_interface(mac: Mac, seed: u64, device: &mut impl Device, now: Duration) -> Interface {
    let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac)));
    config.random_seed = seed;
    Interface::new(config, device, instant(now))
}

/// smoltcp's time, microseconds in an `i64`.
pub(crate) fn instant(time: Duration) -> Instant {
    let micros =
        time.as_secs().saturating_mul(1_000_000).saturating_add(time.subsec_micros().into());
    // Leaves room for every timer that is added to it.
    Instant::from_micros(i64::try_from(micros).unwrap_or(i64::MAX).min(i64::MAX / 4))
}

fn duration(time: Instant) -> Duration {
    Duration::from_micros(u64::try_from(time.total_micros()).unwrap_or(0))
}
