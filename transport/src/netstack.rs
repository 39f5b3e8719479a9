//! The IP interface of one device: addresses, routes, neighbours, and the order of work in a poll.

use core::net::IpAddr;
use core::time::Duration;

use heapless::Vec;
use smoltcp::iface::{Config, Interface, PollResult, SocketSet, SocketStorage};
use smoltcp::phy::Device;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};

use crate::coalesce::{Coalesce, Fate, Room};
use crate::device::{ETHERNET_MTU, EthernetDevice, ReceivedFrame};
use crate::link::Link;
use crate::loss_recovery::{LossRecovery, PROMPTS};
use crate::vlan::{VlanDevice, VlanDrops, VlanId};

mod configuration;
mod dhcp;
mod duplicate;
mod gate;
mod message;
mod neighbour;
mod own;
mod path;
mod random;
mod resolve;
mod router;
mod tend;

pub use configuration::{Addressing, Configuration, ConfigurationError, link_local};
pub use duplicate::{AddressCheck, Conflict};
pub use resolve::ResolveError;

use configuration::is_station;
use dhcp::Dhcp;
use gate::{Gate, Handing, Neighbourhood, Telling};
use message::Mac;
use random::Random;
use resolve::{Datagrams, Resolver};
use router::PREFIX_LIMIT;

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
    /// For segments that are put together.
    room: Room,
}

impl Sockets<'_> {
    /// Empty room.
    #[must_use]
    pub const fn new() -> Self {
        Self { storage: [SocketStorage::EMPTY; 3], datagrams: Datagrams::new(), room: Room::new() }
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
/// Before the first look at a link that was up from the start: its terms may have been settled since.
const LINK_SETTLED: Duration = Duration::from_millis(50);
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
    /// Where the device vouches for TCP checksums.
    coalesce: Option<Coalesce<'a>>,
    pub(crate) interface: Interface,
    pub(crate) sockets: SocketSet<'a>,
    configuration: Configuration,
    mtu: u16,
    /// What the device said of the longest frame that it cuts, when the interface was made.
    segmentation: Option<usize>,
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
    /// A frame was taken in, or somebody asked for something, since this was last taken note of.
    is_stirred: bool,
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
        let segmentation = device.longest_segmented();
        let interface = new_interface(mac, random.next(), &mut device, now);
        let Sockets { storage, datagrams, room } = sockets;
        let is_verified = !device.capabilities().checksum.tcp.rx();
        let coalesce = (is_verified && Room::fits(device.max_mtu())).then(|| Coalesce::new(room));
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
            coalesce,
            interface,
            sockets,
            configuration: *configuration,
            mtu,
            segmentation,
            dhcp,
            resolver,
            random,
            state: AddressState::Pending,
            name_servers: Vec::new(),
            destination: None,
            direct: None,
            link,
            look_at_link: now.saturating_add(LINK_SETTLED),
            tend_at: now,
            is_stirred: true,
        };
        stack.follow_addresses(now);
        if let Addressing::Static { address, prefix, gateway: Some(IpAddr::V4(gateway)), .. } =
            addressing
            && !IpCidr::new(address.into(), prefix).contains_addr(&gateway.into())
        {
            log::warn!(
                "the gateway {gateway} is not on our network {address}/{prefix}: nothing behind \
                 it can be reached"
            );
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
        self.is_stirred = true;
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
        self.is_stirred = true;
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

    /// Whether something was taken in or asked for since [`settle`](Self::settle), whose consequences
    /// nobody has worked out yet.
    pub(crate) const fn is_stirred(&self) -> bool {
        self.is_stirred
    }

    /// From here on only what comes anew counts.
    pub(crate) const fn settle(&mut self) {
        self.is_stirred = false;
    }

    /// Whether [`ingress`](Self::ingress) may find a frame.
    pub(crate) fn may_have_received(&mut self) -> bool {
        self.coalesce.as_ref().is_some_and(|coalesce| !coalesce.is_empty())
            || self.device.may_have_received()
    }

    /// Sends what the sockets want to send; says whether it could, which it cannot without link.
    pub(crate) fn egress(&mut self, now: Duration) -> bool {
        self.watch_link(now);
        self.ask_name_servers(now);
        if !self.link.is_up() {
            return false;
        }
        if self.segmentation.is_some() && self.recovery(|recovery| recovery.is_cut_in_vain()) {
            self.tend_at = now;
        }
        self.tend(now);
        let at = instant(now);
        for _ in 0..EGRESS_LIMIT {
            let device = &mut self.gate.before(&mut self.device, now);
            let result = self.interface.poll_egress(at, device, &mut self.sockets);
            if result == PollResult::None {
                break;
            }
        }
        self.device.flush();
        true
    }

    /// Takes in what arrived, one batch; says whether more may wait.
    pub(crate) fn ingress(&mut self, now: Duration) -> bool {
        let at = instant(now);
        self.interface.poll_maintenance(at);
        let more = self.take_frames(now);
        self.ask_name_servers(now);
        if self.link.is_up() {
            self.tend(now);
        }
        // Answers that the stack gave by itself, and ours.
        self.device.flush();
        more
    }

    /// One batch of frames, each past the gate to the stack, alone or with others; says whether more
    /// may wait.
    fn take_frames(&mut self, now: Duration) -> bool {
        let at = instant(now);
        if !self.hand_on(at) {
            return true;
        }
        let gate = &self.gate;
        gate.set_now(now);
        for _ in 0..INGRESS_LIMIT {
            let Some((frame, transmit)) = self.device.receive(at) else {
                return !self.hand_on(at);
            };
            self.is_stirred = true;
            let mut frame = <VlanDevice<D> as EthernetDevice>::Frame::from(frame);
            let bytes = frame.bytes_mut();
            // What its headers concern besides learned all of it from the run's first.
            if let Some(following) = self.coalesce.as_mut().and_then(|known| known.join(bytes)) {
                gate.goes_on(&following);
                continue;
            }
            if bytes.is_empty() || gate.holds_back(bytes) {
                continue;
            }
            let transmit = gate.watched(transmit);
            let mut give = |frame: &[u8], transmit| {
                let mut handing = Handing::new(frame, transmit);
                self.interface.poll_ingress_single(at, &mut handing, &mut self.sockets);
            };
            match &mut self.coalesce {
                None => give(bytes, transmit),
                Some(coalesce) => match coalesce.take(bytes) {
                    Fate::InPlace => give(bytes, transmit),
                    // An answer to either takes the room that there is for one.
                    Fate::Behind => {
                        give(coalesce.frame(), transmit);
                        coalesce.clear();
                        coalesce.hold(bytes);
                    }
                },
            }
        }
        self.hand_on(at);
        true
    }

    /// Gives the stack what was put together, and ends the run; says whether nothing is left, which
    /// is not so when the device has no room for an answer.
    fn hand_on(&mut self, at: Instant) -> bool {
        let Some(coalesce) = &mut self.coalesce else { return true };
        coalesce.end_run();
        if coalesce.is_empty() {
            return true;
        }
        let Some(transmit) = self.device.transmit(at) else { return false };
        let mut handing = Handing::new(coalesce.frame(), self.gate.watched(transmit));
        self.interface.poll_ingress_single(at, &mut handing, &mut self.sockets);
        coalesce.clear();
        true
    }

    fn watch_link(&mut self, now: Duration) {
        if now < self.look_at_link {
            return;
        }
        let was_up = self.link.is_up();
        self.link = self.device.link();
        let interval = if self.link.is_up() { LINK_UP_INTERVAL } else { LINK_DOWN_INTERVAL };
        self.look_at_link = now.saturating_add(interval);
        if self.device.longest_segmented() != self.segmentation {
            self.tend_at = now;
        }
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
