//! The IP interface of one device: addresses, routes, neighbours, and the order of work in a poll.

use core::net::IpAddr;
use core::time::Duration;

use heapless::Vec;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::{Checksum, Device};
use smoltcp::socket::tcp::Socket as TcpSocket;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};

use crate::bypass::Bypass;
use crate::device::{ETHERNET_MTU, EthernetDevice, ReceivedFrame};
use crate::link::Link;
use crate::loss_recovery::{LossRecovery, PROMPTS, Prompt};
use crate::run::Run;
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
use gate::{Gate, Handing, Neighbourhood};
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

/// What became of the next frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken<R> {
    /// None came.
    Nothing,
    /// The stack got it.
    ByStack,
    /// Its data was read, as far as it says; the rest is the stack's.
    PassedBy(R),
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
/// Before the first look at a link that was up from the start: its terms may have been settled since.
const LINK_SETTLED: Duration = Duration::from_millis(50);
/// Between two looks at a link that is down.
const LINK_DOWN_INTERVAL: Duration = Duration::from_millis(10);
/// Frames taken from one poll to the next, so that each ends however fast they come.
const INGRESS_LIMIT: usize = 64;
/// Rounds of sending in one poll: more than any transmit ring holds.
const EGRESS_LIMIT: usize = 256;
/// At most this long between two looks at whom frames went to in vain.
const TEND_INTERVAL: Duration = Duration::from_millis(50);

/// The IP interface of one device.
pub struct NetStack<'a, D: EthernetDevice> {
    pub(crate) device: VlanDevice<D>,
    gate: Gate,
    /// The connection's socket.
    stream: Option<SocketHandle>,
    /// What data that may pass the stack by goes on with.
    run: Option<Run>,
    /// Whether the device verifies TCP's checksums and computes them.
    is_vouched_for: bool,
    /// Frames that may be taken before the next poll.
    allowance: usize,
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
        let is_vouched_for = matches!(device.capabilities().checksum.tcp, Checksum::None);
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
            stream: None,
            run: None,
            is_vouched_for,
            allowance: 0,
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

    /// Takes a connection's socket, and what passes it by.
    pub(crate) fn add_stream(&mut self, socket: TcpSocket<'a>) -> SocketHandle {
        let window = socket.recv_capacity();
        self.gate.watch().bypass(|bypass| *bypass = Bypass::new(window));
        let handle = self.sockets.add(socket);
        self.stream = Some(handle);
        handle
    }

    /// Lets the socket believe that its oldest outstanding segment was lost.
    pub(crate) fn prompt(&mut self, now: Duration) {
        for number in 0..PROMPTS {
            let Some(prompt) = self.gate.watch().prompt(number) else { break };
            self.tell(now, &prompt);
        }
    }

    /// Whether data passed the socket by that the peer does not know to have come.
    pub(crate) fn owes_acknowledgement(&self) -> bool {
        self.gate.watch().bypass(|bypass| bypass.owes_acknowledgement())
    }

    /// Makes the socket acknowledge what came, `acknowledged` bytes of what it sent having been
    /// acknowledged themselves since the connection began.
    pub(crate) fn acknowledge(&mut self, now: Duration, acknowledged: u32) {
        if let Some(reminder) = self.gate.watch().reminder(acknowledged) {
            self.tell(now, &reminder);
            self.device.flush();
        }
    }

    /// Hands the stack a frame of our own as one of the peer's, if the device has room for an answer.
    fn tell(&mut self, now: Duration, prompt: &Prompt) {
        let at = instant(now);
        let Some(transmit) = self.device.transmit(at) else { return };
        self.gate.set_now(now);
        let mut telling = Handing::new(prompt.bytes(), self.gate.watched(transmit));
        self.interface.poll_ingress_single(at, &mut telling, &mut self.sockets);
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
        self.device.may_have_received()
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
        self.interface.poll_maintenance(instant(now));
        self.gate.set_now(now);
        (self.allowance, self.run) = (INGRESS_LIMIT, None);
        let more = self.take_frames();
        self.ask_name_servers(now);
        if self.link.is_up() {
            self.tend(now);
        }
        // Answers that the stack gave by itself, and ours.
        self.device.flush();
        more
    }

    /// Hands the stack a batch of frames, up to one with data behind which others may pass it by; says
    /// whether more may wait.
    fn take_frames(&mut self) -> bool {
        loop {
            let is_read = unread(&self.sockets, self.stream) == 0;
            match self.take_frame(|_| None::<(usize, ())>) {
                Taken::Nothing => return self.allowance == 0,
                _ if is_read && self.may_pass_by() => return true,
                _ => {}
            }
        }
    }

    /// Whether data that comes next may be [taken](Self::take_frame) without the stack, once what came
    /// before was read.
    pub(crate) const fn may_pass_by(&self) -> bool {
        self.run.is_some()
    }

    /// Takes the next frame, if one came and it is not one too many. Data of the connection behind which
    /// the stack has none is lent to `read`, which says how much of it it consumed, or that it wants none;
    /// all else is the stack's. Everything before it must have been read, and what it brings besides is
    /// worked out by the next poll.
    pub(crate) fn take_frame<R>(
        &mut self,
        read: impl FnOnce(&[u8]) -> Option<(usize, R)>,
    ) -> Taken<R> {
        let at = instant(self.gate.now());
        let Some(allowance) = self.allowance.checked_sub(1) else { return Taken::Nothing };
        let Some((frame, transmit)) = self.device.receive(at) else {
            self.run = None;
            return Taken::Nothing;
        };
        self.allowance = allowance;
        self.is_stirred = true;
        let mut frame = <VlanDevice<D> as EthernetDevice>::Frame::from(frame);
        let mut bytes = frame.bytes_mut();
        let watch = self.gate.watch();
        let mut result = Taken::ByStack;
        if let Some(mut run) = self.run.take()
            && let Some(data) = run.data(bytes)
            && watch.bypass(|bypass| bypass.is_granted(&run.following(data.len())))
            && let Some((count, read)) = bytes.get(data.clone()).and_then(read)
        {
            let count = count.min(data.len());
            let following = run.following(count);
            watch.passed_by(&following);
            run.go_on(&following);
            if count == data.len() {
                self.run = Some(run);
                return Taken::PassedBy(read);
            }
            result = Taken::PassedBy(read);
            bytes = run.cut(bytes, data.start.saturating_add(count)..data.end);
        }
        let begun = if self.is_vouched_for { Run::begin(bytes) } else { None };
        if bytes.is_empty() || self.gate.holds_back(bytes) {
            return result;
        }
        let before = unread(&self.sockets, self.stream);
        let mut handing = Handing::new(bytes, self.gate.watched(transmit));
        self.interface.poll_ingress_single(at, &mut handing, &mut self.sockets);
        let came = unread(&self.sockets, self.stream).saturating_sub(before);
        self.run = begun
            .filter(|(_, data)| data.len() == came)
            .map(|(run, _)| run)
            .filter(|run| watch.bypass(|bypass| bypass.may_begin(&run.following(0))));
        result
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

/// Bytes that came over the connection, in order, and wait in its socket.
fn unread(sockets: &SocketSet<'_>, stream: Option<SocketHandle>) -> usize {
    stream.map_or(0, |handle| sockets.get::<TcpSocket<'_>>(handle).recv_queue())
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
