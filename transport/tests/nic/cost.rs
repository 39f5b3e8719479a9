//! What the registers cost: every access is a trap to a hypervisor, or a trip over the bus.
//!
//! A whole connection runs over the driver, its peer on a stack of its own at the other end of the
//! wire, and the accesses are counted.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use isboot_transport::device::NicDevice;
use isboot_transport::intel::nic::{Nic, Options};
use isboot_transport::netstack::{Addressing, Configuration, NetStack, Sockets};
use isboot_transport::stream::{ByteStream, StreamState};
use isboot_transport::tcp::{TcpOptions, TcpStream};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};

use crate::fake::{ADDRESS, Behaviour, Machine};

/// Bytes moved in each direction.
const VOLUME: usize = 4 << 20;
/// Between two polls.
const STEP: Duration = Duration::from_micros(50);

#[test]
fn a_bulk_read_costs_one_access_in_twenty_five_frames() {
    let mut connection = Connection::new();
    let cost = connection.counted(|connection| connection.read(VOLUME));
    println!("read: {cost:?}");
    assert!(cost.frames > VOLUME as u64 / 1460, "all of it came: {cost:?}");
    assert!(cost.accesses * 25 <= cost.frames, "{cost:?}");
}

#[test]
fn a_bulk_write_costs_one_access_in_fifteen_frames() {
    let mut connection = Connection::new();
    let cost = connection.counted(|connection| connection.write(VOLUME));
    println!("write: {cost:?}");
    assert!(cost.frames > VOLUME as u64 / 1460, "all of it went: {cost:?}");
    assert!(cost.accesses * 15 <= cost.frames, "{cost:?}");
}

#[test]
fn a_question_and_its_answer_cost_one_access() {
    const QUESTIONS: u64 = 100;
    let mut connection = Connection::new();
    let cost = connection.counted(|connection| {
        for _ in 0..QUESTIONS {
            connection.write(48);
            connection.read(48);
        }
    });
    println!("question and answer: {cost:?}");
    // The frame out; descriptors of frames in by the quarter of the ring, and the link a few times
    // a second.
    assert!(cost.accesses <= QUESTIONS + QUESTIONS / 10, "{cost:?}");
}

#[test]
fn an_idle_second_costs_a_look_at_the_part_now_and_then() {
    let mut connection = Connection::new();
    // The acknowledgement of the handshake is on its way still, and our address is announced twice.
    while connection.now < Duration::from_secs(3) {
        connection.turn();
    }
    let cost = connection.counted(|connection| {
        for _ in 0..1_000_000 / STEP.as_micros() {
            connection.turn();
        }
    });
    assert_eq!(cost.frames, 0, "{cost:?}");
    // Twice the link, and three registers of the watchdog's.
    assert!(cost.accesses <= 9, "{cost:?}");
}

/// Frames of both directions, and register accesses.
#[derive(Clone, Copy, Debug)]
struct Cost {
    frames: u64,
    accesses: u64,
}

/// Both ends of an open connection, and the time.
pub(crate) struct Connection {
    pub(crate) machine: Machine,
    pub(crate) stream: TcpStream<'static, NicDevice<Machine, Machine>>,
    peer: Interface,
    wire: Wire,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    pub(crate) now: Duration,
}

impl Connection {
    fn new() -> Self {
        Self::over(Behaviour::default())
    }

    pub(crate) fn over(behaviour: Behaviour) -> Self {
        let machine = Machine::new(behaviour);
        let options = Options::default();
        let nic = Nic::attach(machine, machine, ADDRESS, &options).unwrap();
        let addressing = Addressing::Static {
            address: "10.0.2.15".parse().unwrap(),
            prefix: 24,
            gateway: None,
            dns: None,
        };
        let configuration = Configuration::new(nic.mac(), addressing, 42);
        let sockets = forever(Sockets::new());
        let stack =
            NetStack::new(NicDevice::new(nic), sockets, &configuration, Duration::ZERO).unwrap();
        let (receive, transmit) = (forever(vec![0; 256 << 10]), forever(vec![0; 64 << 10]));
        let mut stream = TcpStream::new(stack, receive, transmit, TcpOptions::default()).unwrap();

        let mut wire = Wire { machine, received: VecDeque::new(), frames: 0, may_lose: false };
        let config = Config::new(HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, 2])));
        let mut peer = Interface::new(config, &mut wire, Instant::ZERO);
        peer.update_ip_addrs(|own| {
            own.push(IpCidr::new(IpAddress::v4(10, 0, 2, 2), 24)).unwrap();
        });
        let buffer = || tcp::SocketBuffer::new(forever(vec![0; 256 << 10]).as_mut_slice());
        let mut sockets = SocketSet::new(forever(vec![SocketStorage::EMPTY]).as_mut_slice());
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.listen(3260).unwrap();
        let socket = sockets.add(socket);

        let portal: SocketAddr = "10.0.2.2:3260".parse().unwrap();
        stream.connect(Duration::ZERO, portal).unwrap();
        let now = Duration::ZERO;
        let mut connection = Self { machine, stream, peer, wire, sockets, socket, now };
        while connection.stream.state() != StreamState::Open {
            connection.turn();
            assert!(connection.now < Duration::from_secs(5), "{:?}", connection.stream.state());
        }
        connection
    }

    /// From now on the part may not be there to take a frame.
    pub(crate) const fn may_lose(&mut self) {
        self.wire.may_lose = true;
    }

    /// What `work` costs.
    fn counted(&mut self, work: impl FnOnce(&mut Self)) -> Cost {
        let before = (self.machine.state().accesses, self.wire.frames);
        work(self);
        Cost {
            accesses: self.machine.state().accesses - before.0,
            frames: self.wire.frames - before.1,
        }
    }

    /// One poll of ours, one of the peer's.
    pub(crate) fn turn(&mut self) {
        self.now += STEP;
        self.machine.advance(STEP);
        self.stream.poll(self.now);
        let now = Instant::from_micros(self.now.as_micros() as i64);
        self.peer.poll(now, &mut self.wire, &mut self.sockets);
    }

    fn peer(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.socket)
    }

    /// Takes `volume` bytes that the peer sends.
    pub(crate) fn read(&mut self, volume: usize) {
        let (mut sent, mut received) = (0, 0);
        let limit = self.now + Duration::from_secs(60);
        while received < volume {
            while sent < volume && self.peer().can_send() {
                let len = (volume - sent).min(16 << 10);
                sent += self.peer().send_slice(&vec![0x5a; len]).unwrap();
            }
            self.turn();
            while let Some(len) = self.stream.recv(|bytes| (bytes.len(), bytes.len())) {
                received += len;
            }
            assert!(self.now < limit, "{received} of {volume} bytes read");
        }
    }

    /// Sends `volume` bytes that the peer takes.
    pub(crate) fn write(&mut self, volume: usize) {
        let (mut sent, mut received) = (0, 0);
        let limit = self.now + Duration::from_secs(60);
        while received < volume {
            while sent < volume {
                let wanted = volume - sent;
                let len = self.stream.send(|room| (room.len().min(wanted), room.len().min(wanted)));
                match len {
                    None | Some(0) => break,
                    Some(len) => sent += len,
                }
            }
            self.turn();
            while self.peer().can_recv() {
                received += self.peer().recv(|bytes| (bytes.len(), bytes.len())).unwrap();
            }
            assert!(self.now < limit, "{received} of {volume} bytes written");
        }
    }
}

/// The other end of the controller's wire.
struct Wire {
    machine: Machine,
    received: VecDeque<Vec<u8>>,
    frames: u64,
    /// The part may not be there to take a frame: it is lost then.
    may_lose: bool,
}

impl phy::Device for Wire {
    type RxToken<'a> = Incoming;
    type TxToken<'a> = Outgoing<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Incoming, Outgoing<'_>)> {
        self.received.extend(std::mem::take(&mut self.machine.state_mut().sent));
        let frame = self.received.pop_front()?;
        self.frames += 1;
        Some((Incoming(frame), Outgoing(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

struct Incoming(Vec<u8>);

impl phy::RxToken for Incoming {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

struct Outgoing<'a>(&'a mut Wire);

impl phy::TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        self.0.frames += 1;
        assert!(
            self.0.machine.deliver(&frame) || self.0.may_lose,
            "no descriptor for a frame: the window is too large"
        );
        result
    }
}

/// Memory for good, as a kernel has it, kept where a leak checker finds it.
pub(crate) fn forever<T>(value: T) -> &'static mut T {
    static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let value = Box::leak(Box::new(value));
    KEPT.lock().unwrap().push(std::ptr::from_ref(value) as usize);
    value
}
