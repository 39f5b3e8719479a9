//! A network segment in memory: the initiator over its own TCP/IP stack, the built-in target over
//! another, and what happens to frames between them.
//!
//! Time is virtual, and goes to the next frame or deadline.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroUsize};
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use isboot::boot::{BootPlan, Isboot, State};
use isboot::disk::{DiskId, Rejected, RequestId};
use isboot::login::Name;
use isboot::pdu::digest::Crc32cFunction;
use isboot_transport::checksum;
use isboot_transport::device::{EthernetDevice, ReceivedFrame};
use isboot_transport::link::Link;
use isboot_transport::netstack::{Addressing, Configuration, NetStack, Sockets};
use isboot_transport::tcp::{TcpOptions, TcpStream};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium, PacketMeta};
use smoltcp::socket::tcp;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};

use crate::faults::{Faults, LATE, Side};
use crate::pair::{Random, Setting};
use crate::standing::{StandingChecks, Watched};
use crate::target::{Connection, Target};

const OUR_MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const TARGET_MAC: [u8; 6] = [0x52, 0x55, 0x0a, 0, 2, 2];

/// Both ends and the time.
pub struct Segment {
    /// The initiator.
    pub isboot: Box<SegmentIsboot>,
    /// What every PDU of the initiator must obey.
    pub standing: StandingChecks,
    cable: Rc<RefCell<Cable>>,
    portal: Portal,
    now: Duration,
}

/// An initiator over a segment.
pub type SegmentIsboot = Isboot<Watched<TcpStream<'static, End>>, Vec<u8>, 8, 64, 32>;

impl Segment {
    /// Where the target is.
    pub const PORTAL: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 2, 2)), 3260);

    /// Both ends; nothing has moved yet.
    ///
    /// # Panics
    /// When a parameter or the target's name is none.
    #[must_use]
    pub fn new(target: &Target, parameters: &[(&str, &str)], faults: Faults) -> Self {
        let mtu = faults.mtu;
        let cable = Rc::new(RefCell::new(Cable::new(faults)));
        let end =
            |side| End { cable: Rc::clone(&cable), side, unflushed: Vec::new(), may_cut: true };
        let name = |name: &str| Name::new(name).expect("an iSCSI name");
        let isid = [0x00, 0x02, 0x3d, 0x00, 0x00, 0x01];
        let host = name("iqn.2026-11.org.example:host");
        let plan = BootPlan::without_table(host, name(target.name()), Self::PORTAL, isid);
        let addressing = Addressing::Static {
            address: [10, 0, 2, 15].into(),
            prefix: 24,
            gateway: None,
            dns: None,
        };
        let mtu = u16::try_from(mtu).ok();
        let configuration = Configuration { mtu, ..Configuration::new(OUR_MAC, addressing, 42) };
        let sockets = Box::leak(Box::new(Sockets::new()));
        let stack = NetStack::new(end(Side::Initiator), sockets, &configuration, Duration::ZERO)
            .expect("a configuration that works");
        let buffer = |length: usize| vec![0; length].leak();
        let stream =
            TcpStream::new(stack, buffer(256 << 10), buffer(64 << 10), TcpOptions::default());
        let stream = Watched::new(stream.expect("buffers that fit"));
        let standing = stream.checks();
        let parameters = Setting::new(parameters).parameters;
        let start = isboot::time::Instant::ZERO;
        let isboot =
            Isboot::new(&plan, &parameters, Crc32cFunction::default(), |_| false, stream, start);
        Self {
            isboot: Box::new(isboot),
            standing,
            portal: Portal::new(end(Side::Target), target),
            cable,
            now: Duration::ZERO,
        }
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }

    /// What happens to frames from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.cable.borrow_mut().faults = faults;
    }

    /// Frames that `from` sent so far, in order.
    #[must_use]
    pub fn sent(&self, from: Side) -> Vec<Vec<u8>> {
        let cable = self.cable.borrow();
        let own = cable.sent.iter().filter(|(side, _)| *side == from);
        own.map(|(_, frame)| frame.clone()).collect()
    }

    /// Pulls the plug of the initiator, after a while and for a while.
    pub fn unplug_in(&self, after: Duration, time: Duration) {
        let begin = self.now + after;
        self.cable.borrow_mut().unplugged = begin..begin + time;
    }

    /// Frames that were lost, turned over or falsified so far.
    #[must_use]
    pub fn harmed(&self) -> u64 {
        self.cable.borrow().harmed
    }

    /// Sends a frame that neither end made to `to`.
    pub fn inject(&self, to: Side, frame: Vec<u8>) {
        let mut cable = self.cable.borrow_mut();
        let now = cable.now;
        cable.put(to, now, frame);
    }

    /// The target's interface answers by another hardware address from now on, as when another
    /// machine took over its address.
    pub fn change_target_mac(&mut self, mac: [u8; 6]) {
        self.portal.interface.set_hardware_addr(HardwareAddress::Ethernet(EthernetAddress(mac)));
    }

    /// Runs until the disks can be used.
    ///
    /// # Panics
    /// When the session ends instead.
    pub fn become_ready(&mut self) {
        self.run_until("the disks", |isboot| match isboot.state() {
            State::Ended(error) => panic!("ended: {error:?}"),
            state => state == State::Ready,
        });
    }

    /// Runs until `done`, and tells how long that took.
    ///
    /// # Panics
    /// After a virtual hour.
    pub fn run_until(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut SegmentIsboot) -> bool,
    ) -> Duration {
        let begin = self.now;
        loop {
            let at = isboot::time::Instant::ZERO.after(self.now);
            let ours = self.isboot.poll(at);
            if done(&mut self.isboot) {
                return self.now - begin;
            }
            self.portal.poll(self.now);
            let ours = ours.map(|at| at.since(isboot::time::Instant::ZERO));
            let theirs = self.portal.poll_at(self.now);
            let frames = self.cable.borrow().next_at();
            let next = [ours, theirs, frames].into_iter().flatten().min();
            // A deadline that has passed is one of the next round.
            let next = next.unwrap_or(self.now + Duration::from_secs(1));
            self.now = next.max(self.now + Duration::from_micros(10));
            self.cable.borrow_mut().now = self.now;
            assert!(
                self.now - begin < Duration::from_secs(3600),
                "{what} never comes: {:?}, last error {:?}",
                self.isboot.state(),
                self.isboot.last_error()
            );
        }
    }

    /// Lets `duration` pass.
    pub fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        // The closure cannot see the clock, the cable can.
        let cable = Rc::clone(&self.cable);
        self.run_until("the time", |_| cable.borrow().now >= until);
    }

    /// Writes `data` at the start of disk 0 and reads it back, eight requests at a time.
    ///
    /// # Panics
    /// When a request fails or a byte is wrong.
    pub fn write_and_read(&mut self, data: &[u8]) {
        self.write(data);
        self.read(data);
    }

    /// Writes `data` at the start of disk 0, eight requests at a time, and tells how long it took.
    ///
    /// # Panics
    /// When a request fails.
    pub fn write(&mut self, data: &[u8]) -> Duration {
        let chunks: Vec<&[u8]> = data.chunks(CHUNK).collect();
        self.transfer(
            chunks.len(),
            |isboot, number, lba| isboot.submit_write(DiskId(0), lba, chunks[number].to_vec()),
            |_, _| {},
        )
    }

    /// Reads what is `data` at the start of disk 0, and tells how long it took.
    ///
    /// # Panics
    /// When a request fails or a byte is wrong.
    pub fn read(&mut self, data: &[u8]) -> Duration {
        let (seen, took) = self.read_back(data.len());
        assert!(seen == data, "it reads as written");
        took
    }

    /// Reads so many bytes from the start of disk 0 on, eight requests at a time, and tells how
    /// long it took.
    ///
    /// # Panics
    /// When a request fails.
    pub fn read_back(&mut self, length: usize) -> (Vec<u8>, Duration) {
        let mut seen = vec![0; length];
        let took = self.transfer(
            length.div_ceil(CHUNK),
            |isboot, number, lba| {
                let buffer = vec![0xa5; CHUNK.min(length - number * CHUNK)];
                isboot.submit_read(DiskId(0), lba, buffer)
            },
            |number, buffer| {
                seen[number * CHUNK..][..buffer.len()].copy_from_slice(&buffer);
            },
        );
        (seen, took)
    }

    /// `count` requests of disk 0, eight at a time.
    fn transfer(
        &mut self,
        count: usize,
        submit: impl Fn(&mut SegmentIsboot, usize, u64) -> Result<RequestId, Rejected<Vec<u8>>>,
        mut take: impl FnMut(usize, Vec<u8>),
    ) -> Duration {
        let mut under_way: Vec<(RequestId, usize)> = Vec::new();
        let (mut submitted, mut done) = (0, 0);
        self.run_until("reads and writes", |isboot| {
            while let Some(finished) = isboot.take_completion() {
                assert_eq!(finished.outcome, Ok(()));
                let place = under_way.iter().position(|(id, _)| *id == finished.id);
                let (_, number) = under_way.swap_remove(place.expect("a request of ours"));
                take(number, finished.buffer.expect("both ways have a buffer"));
                done += 1;
            }
            while under_way.len() < 8 && submitted < count {
                let taken = submit(isboot, submitted, (submitted * CHUNK / 512) as u64);
                let id = taken.unwrap_or_else(|rejected| panic!("{}", rejected.reason));
                under_way.push((id, submitted));
                submitted += 1;
            }
            done == count
        })
    }
}

/// Bytes of one request.
const CHUNK: usize = 16 * 1024;

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("now", &self.now).finish_non_exhaustive()
    }
}

/// The standing checks hold over a real stack too.
impl Drop for Segment {
    fn drop(&mut self) {
        let violations = self.standing.violations();
        if !std::thread::panicking() {
            assert!(violations.is_empty(), "standing checks: {violations:#?}");
        }
    }
}

// --- the target's end ---

/// The target behind a stack of its own, with room for old connections beside the present one.
struct Portal {
    end: End,
    interface: Interface,
    sockets: SocketSet<'static>,
    served: Vec<Served>,
    target: Target,
}

/// A socket, the target's connection behind it, and what waits for room in it.
struct Served {
    socket: SocketHandle,
    connection: Option<Connection>,
    output: Vec<u8>,
}

impl Portal {
    fn new(mut end: End, target: &Target) -> Self {
        let mac = HardwareAddress::Ethernet(EthernetAddress(TARGET_MAC));
        let mut interface =
            Interface::new(Config::new(mac), &mut end, smoltcp::time::Instant::ZERO);
        interface.update_ip_addrs(|own| {
            let _ = own.push(IpCidr::new(IpAddress::v4(10, 0, 2, 2), 24));
        });
        let mut sockets = SocketSet::new(Vec::new());
        let served = (0..4).map(|_| {
            let buffer = || tcp::SocketBuffer::new(vec![0; 256 << 10]);
            let mut socket = tcp::Socket::new(buffer(), buffer());
            // As targets do: their answers end where they end.
            socket.set_nagle_enabled(false);
            let _ = socket.listen(Segment::PORTAL.port());
            Served { socket: sockets.add(socket), connection: None, output: Vec::new() }
        });
        let served = served.collect();
        Self { end, interface, sockets, served, target: target.clone() }
    }

    fn poll(&mut self, now: Duration) {
        let now = smoltcp::time::Instant::from_micros(now.as_micros() as i64);
        loop {
            self.interface.poll(now, &mut self.end, &mut self.sockets);
            let mut moved = false;
            for served in &mut self.served {
                let socket = self.sockets.get_mut::<tcp::Socket<'static>>(served.socket);
                moved |= served.exchange(socket, &self.target);
            }
            self.end.flush();
            if !moved {
                return;
            }
        }
    }

    fn poll_at(&mut self, now: Duration) -> Option<Duration> {
        let now = smoltcp::time::Instant::from_micros(now.as_micros() as i64);
        let at = self.interface.poll_at(now, &self.sockets)?;
        Some(Duration::from_micros(u64::try_from(at.total_micros()).unwrap_or(0)))
    }
}

impl Served {
    /// Carries bytes between the socket and the target; whether there were any.
    fn exchange(&mut self, socket: &mut tcp::Socket<'static>, target: &Target) -> bool {
        if !socket.is_active() {
            if !socket.is_listening() {
                (self.connection, self.output) = (None, Vec::new());
                socket.abort();
                let _ = socket.listen(Segment::PORTAL.port());
            }
            return false;
        }
        if self.connection.is_none() && socket.may_send() {
            self.connection = Some(target.connect(Segment::PORTAL));
        }
        let Some(connection) = &mut self.connection else { return false };
        let mut moved = false;
        while socket.can_recv() {
            let _ = socket.recv(|bytes| {
                connection.receive(bytes);
                (bytes.len(), ())
            });
            moved = true;
        }
        self.output.extend(connection.take_output());
        while let Ok(count @ 1..) = socket.send_slice(&self.output) {
            self.output.drain(..count);
            moved = true;
        }
        if self.output.is_empty() && connection.is_closed() || !socket.may_recv() {
            socket.close();
        }
        moved
    }
}

// --- the cable ---

#[derive(Debug)]
struct Cable {
    faults: Faults,
    /// Nothing goes through in this time.
    unplugged: Range<Duration>,
    random: Random,
    now: Duration,
    /// Frames on their way by the time of their arrival, and in order of it.
    on_the_way: BTreeMap<(Duration, u64), (Side, Vec<u8>)>,
    /// When each way is free of the frames before, and when each of these is through.
    busy: [VecDeque<Duration>; 2],
    count: u64,
    harmed: u64,
    sent: Vec<(Side, Vec<u8>)>,
}

impl Cable {
    fn new(faults: Faults) -> Self {
        Self {
            faults,
            unplugged: Duration::ZERO..Duration::ZERO,
            random: Random(7),
            now: Duration::ZERO,
            on_the_way: BTreeMap::new(),
            busy: Default::default(),
            count: 0,
            harmed: 0,
            sent: Vec::new(),
        }
    }

    fn send(&mut self, from: Side, mut frame: Vec<u8>) {
        self.sent.push((from, frame.clone()));
        let to = match from {
            Side::Initiator => Side::Target,
            Side::Target => Side::Initiator,
        };
        let Some(begin) = self.through(from, &frame) else { return };
        if self.unplugged.contains(&self.now) {
            return;
        }
        let befallen = self.faults.befall(from, &mut frame, &mut self.random);
        self.harmed += u64::from(befallen.is_harmed);
        if befallen.copies > 0 {
            let late = if befallen.is_late { LATE } else { Duration::ZERO };
            let at = begin + self.faults.delay + late;
            for _ in 1..befallen.copies {
                self.put(to, at, frame.clone());
            }
            self.put(to, at, frame);
        }
    }

    /// When a frame that comes now has left the narrow end of its way; never, if that is full.
    fn through(&mut self, from: Side, frame: &[u8]) -> Option<Duration> {
        let Some(capacity) = self.faults.capacity else { return Some(self.now) };
        let busy = &mut self.busy[from as usize];
        while busy.front().is_some_and(|end| *end <= self.now) {
            busy.pop_front();
        }
        if busy.len() > capacity.queue {
            self.harmed += 1;
            return None;
        }
        let end = busy.back().copied().unwrap_or(self.now) + capacity.time_of(frame);
        busy.push_back(end);
        Some(end)
    }

    fn put(&mut self, to: Side, at: Duration, frame: Vec<u8>) {
        self.count += 1;
        self.on_the_way.insert((at, self.count), (to, frame));
    }

    fn take(&mut self, to: Side) -> Option<Vec<u8>> {
        let due = self.on_the_way.range(..=(self.now, u64::MAX));
        let (&key, _) = due.into_iter().find(|(_, (side, _))| *side == to)?;
        self.on_the_way.remove(&key).map(|(_, frame)| frame)
    }

    fn next_at(&self) -> Option<Duration> {
        self.on_the_way.first_key_value().map(|((at, _), _)| *at)
    }
}

/// One end of the cable.
#[derive(Debug)]
pub struct End {
    cable: Rc<RefCell<Cable>>,
    side: Side,
    unflushed: Vec<Vec<u8>>,
    may_cut: bool,
}

/// Bytes of the longest frame that the initiator's device cuts.
const LONGEST_CUT: usize = 32 << 10;

impl End {
    fn cuts(&self) -> bool {
        self.side == Side::Initiator && self.cable.borrow().faults.cuts
    }
}

impl EthernetDevice for End {
    type Frame<'a> = Received;

    fn flush(&mut self) {
        for frame in std::mem::take(&mut self.unflushed) {
            self.cable.borrow_mut().send(self.side, frame);
        }
    }

    fn longest_segmented(&self) -> Option<usize> {
        (self.cuts() && self.may_cut).then_some(LONGEST_CUT)
    }

    fn allow_segmentation(&mut self, is_allowed: bool) {
        self.may_cut = is_allowed;
    }

    fn link(&mut self) -> Link {
        let cable = self.cable.borrow();
        if self.side == Side::Initiator && cable.unplugged.contains(&cable.now) {
            Link::Down
        } else {
            Link::Up { megabits: 1000, full_duplex: true }
        }
    }

    fn receive_frames(&self) -> usize {
        1024
    }

    fn set_mtu(&mut self, mtu: u16) {
        self.cable.borrow_mut().faults.mtu = mtu.into();
    }
}

impl phy::Device for End {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Received, Sending<'_>)> {
        loop {
            let frame = self.cable.borrow_mut().take(self.side)?;
            // As the driver does it.
            if checksum::is_good(&frame) {
                return Some((Received(frame), Sending { end: self, size: None }));
            }
        }
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Sending<'_>> {
        (self.unflushed.len() < 64).then_some(Sending { end: self, size: None })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = self.cable.borrow().faults.mtu + 14;
        capabilities.checksum.tcp = match self.side {
            Side::Initiator => Checksum::None,
            Side::Target => Checksum::Tx,
        };
        capabilities.checksum.udp = Checksum::Tx;
        if self.cuts() {
            let longest = self.longest_segmented();
            capabilities.segmentation.tcpv4 = longest.and_then(NonZeroUsize::new);
        }
        capabilities
    }
}

/// A frame that came.
#[derive(Debug)]
pub struct Received(pub(crate) Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

impl ReceivedFrame for Received {
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

/// Room for a frame to be sent.
#[derive(Debug)]
pub struct Sending<'a> {
    end: &'a mut End,
    /// Most bytes of data of one segment, of a frame that is to be cut.
    size: Option<NonZeroU16>,
}

impl phy::TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        if let Some(size) = self.size {
            self.end.unflushed.extend(isboot_fake_nic::segments(&frame, size.get().into()));
            return result;
        }
        if self.end.side == Side::Initiator {
            checksum::complete(&mut frame);
        }
        self.end.unflushed.push(frame);
        result
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.size = meta.segmentation_offload_size;
    }
}
