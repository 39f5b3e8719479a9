//! Addresses and byte streams over a cable in memory, under a virtual clock.

mod address;
mod bypass;
mod connection;
mod dhcp;
mod duplicate;
mod frames;
mod mtu;
mod neighbour;
mod resolve;
mod router;
mod segmentation;
mod vlan;
mod wire;

use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::Duration;

use isboot_transport::device::EthernetDevice;
use isboot_transport::netstack::{Addressing, Configuration, NetStack, Sockets};
use isboot_transport::stream::{ByteStream, StreamState};
use isboot_transport::tcp::{TcpOptions, TcpStream};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr};
use wire::{End, cable};

const OUR_MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const PEER_MAC: [u8; 6] = [0x52, 0x55, 0x0a, 0, 2, 2];
const PORT: u16 = 3260;

/// Memory for good, as a kernel has it, kept where a leak checker finds it.
fn forever<T>(value: T) -> &'static mut T {
    static KEPT: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let value = Box::leak(Box::new(value));
    KEPT.lock().unwrap().push(std::ptr::from_ref(value) as usize);
    value
}

fn buffer(len: usize) -> &'static mut [u8] {
    forever(vec![0; len])
}

/// Bytes that differ from their neighbours.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 + at / 253) as u8).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn fixed(address: &str, prefix: u8, gateway: Option<&str>) -> Addressing {
    Addressing::Static { address: ip(address), prefix, gateway: gateway.map(ip), dns: None }
}

fn configuration(addressing: Addressing) -> Configuration {
    Configuration::new(OUR_MAC, addressing, 42)
}

fn stack(device: End, addressing: Addressing) -> NetStack<'static, End> {
    let sockets = forever(Sockets::new());
    NetStack::new(device, sockets, &configuration(addressing), Duration::ZERO).unwrap()
}

fn stream(device: End, addressing: Addressing) -> TcpStream<'static, End> {
    let stack = stack(device, addressing);
    TcpStream::new(stack, buffer(256 << 10), buffer(64 << 10), TcpOptions::default()).unwrap()
}

/// A peer with a stack of its own and one listening socket.
struct Peer {
    end: End,
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
}

impl Peer {
    fn new(mut end: End, addresses: &[(&str, u8)]) -> Self {
        let config = Config::new(HardwareAddress::Ethernet(EthernetAddress(PEER_MAC)));
        let mut interface = Interface::new(config, &mut end, Instant::ZERO);
        interface.update_ip_addrs(|own| {
            for (address, prefix) in addresses {
                own.push(IpCidr::new(IpAddress::from(ip(address)), *prefix)).unwrap();
            }
        });
        let buffer = || tcp::SocketBuffer::new(buffer(256 << 10));
        let mut sockets = SocketSet::new(forever(vec![SocketStorage::EMPTY]).as_mut_slice());
        let socket = sockets.add(tcp::Socket::new(buffer(), buffer()));
        let mut peer = Self { end, interface, sockets, socket };
        peer.listen();
        peer
    }

    fn tcp(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.socket)
    }

    fn listen(&mut self) {
        self.tcp().abort();
        self.tcp().listen(PORT).unwrap();
    }

    fn poll(&mut self, now: Duration) {
        let now = Instant::from_micros(now.as_micros() as i64);
        self.interface.poll(now, &mut self.end, &mut self.sockets);
        self.end.flush();
    }
}

/// Both ends and the time.
struct World {
    now: Duration,
    stream: TcpStream<'static, End>,
    peer: Peer,
}

impl World {
    fn v4() -> Self {
        let (ours, theirs) = cable();
        Self {
            now: Duration::from_secs(1),
            stream: stream(ours, fixed("10.0.2.15", 24, None)),
            peer: Peer::new(theirs, &[("10.0.2.2", 24)]),
        }
    }

    fn portal(&self) -> SocketAddr {
        SocketAddr::new(ip("10.0.2.2"), PORT)
    }

    fn step(&mut self, time: Duration) {
        self.now += time;
        self.stream.poll(self.now);
        self.peer.poll(self.now);
        self.stream.poll(self.now);
    }

    /// Milliseconds pass until `done`, at most `limit`; says how many.
    fn run_until(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> Duration {
        let start = self.now;
        while !done(self) {
            assert!(
                self.now - start < limit,
                "still {:?} after {limit:?}, peer {:?}",
                self.stream.state(),
                self.peer.tcp().state()
            );
            self.step(Duration::from_millis(1));
        }
        self.now - start
    }

    fn connect(&mut self) {
        let portal = self.portal();
        self.stream.connect(self.now, portal).unwrap();
        self.run_until(Duration::from_secs(2), |world| {
            world.stream.state() == StreamState::Open && world.peer.tcp().may_send()
        });
    }

    /// TCP segments that we sent: source port, flags, payload length.
    fn sent(&self) -> Vec<(u16, u8, usize)> {
        let cable = self.peer.end.cable();
        let segments = cable.sent.iter().filter_map(|frame| {
            let tcp = match frame[12..14] {
                [0x08, 0x00] if frame[23] == 6 => 34,
                [0x86, 0xdd] if frame[20] == 6 => 54,
                _ => return None,
            };
            let port = u16::from_be_bytes([frame[tcp], frame[tcp + 1]]);
            let header = usize::from(frame[tcp + 12] >> 4) * 4;
            Some((port, frame[tcp + 13], frame.len() - tcp - header))
        });
        segments.collect()
    }

    /// Moves `length` bytes both ways.
    fn exchange(&mut self, length: usize) {
        let payload: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
        let (mut to_send, mut to_answer) = (&payload[..], &payload[..]);
        let (mut theirs, mut ours) = (Vec::new(), Vec::new());
        self.run_until(Duration::from_secs(30), |world| {
            let sent = world.stream.send(|space| {
                let length = to_send.len().min(space.len());
                space[..length].copy_from_slice(&to_send[..length]);
                (length, length)
            });
            to_send = &to_send[sent.unwrap_or(0)..];
            to_answer = &to_answer[world.peer.tcp().send_slice(to_answer).unwrap()..];
            while world.peer.tcp().can_recv() {
                world
                    .peer
                    .tcp()
                    .recv(|bytes| (bytes.len(), theirs.extend_from_slice(bytes)))
                    .unwrap();
            }
            while let Some(bytes) = world.stream.recv(|bytes| (bytes.len(), bytes.to_vec())) {
                ours.extend(bytes);
            }
            theirs.len() == length && ours.len() == length
        });
        assert!(theirs == payload && ours == payload, "the bytes are others");
    }
}

const SYN: u8 = 2;
const RST: u8 = 4;
