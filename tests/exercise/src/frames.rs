//! Frames from anybody at all, given to a host that has an address or wants one.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use isboot_transport::device::{EthernetDevice, ReceivedFrame};
use isboot_transport::link::Link;
use isboot_transport::netstack::{
    AddressCheck, AddressState, Addressing, Configuration, NetStack, Sockets,
};
use isboot_transport::stream::ByteStream;
use isboot_transport::tcp::{TcpOptions, TcpStream};
use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::{Icmpv6Packet, IpProtocol, Ipv4Packet, TcpPacket, UdpPacket};

use crate::Script;

const OUR_MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
/// Ours, everyone's, a group's, nobody's, and two neighbours'.
const MACS: [[u8; 6]; 6] =
    [OUR_MAC, [0xff; 6], [0x33, 0x33, 0, 0, 0, 1], [0; 6], [2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 3]];
const V4: [[u8; 4]; 8] = [
    [10, 0, 2, 15],
    [10, 0, 2, 2],
    [10, 0, 2, 3],
    [10, 0, 2, 9],
    [0, 0, 0, 0],
    [255, 255, 255, 255],
    [224, 0, 0, 1],
    [10, 0, 2, 255],
];
const V6: [&str; 8] = [
    "2001:db8::15",
    "fe80::2",
    "fe80::5054:ff:fe12:3456",
    "::",
    "ff02::1",
    "ff02::1:ff00:15",
    "2001:db8::9",
    "::1",
];
/// Frames that wait at most: more than one poll takes.
const BATCH: usize = 80;
const DNS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 3));

/// A wire with one end.
#[derive(Default)]
struct Wire {
    coming: VecDeque<Vec<u8>>,
    /// It vouches for TCP checksums, so that data of segments which follow one another passes the stack by.
    is_verified: bool,
    /// Bytes of data in the segments that wait.
    waiting: u32,
    sent: u64,
    unplugged: bool,
    /// The latest of ours: what an answer to it needs to say.
    udp: Option<(u16, Vec<u8>)>,
    tcp: Option<[u8; 12]>,
}

struct Rx(Vec<u8>);

impl phy::RxToken for Rx {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0)
    }
}

impl ReceivedFrame for Rx {
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

struct Tx<'a>(&'a mut Wire);

impl phy::TxToken for Tx<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, f: F) -> R {
        let mut frame = vec![0; length];
        let result = f(&mut frame);
        self.0.sent += 1;
        if let Ok(packet) = Ipv4Packet::new_checked(frame.get(14..).unwrap_or_default()) {
            let payload = packet.payload();
            match packet.next_header() {
                IpProtocol::Udp if payload.len() >= 8 => {
                    let port = u16::from_be_bytes([payload[0], payload[1]]);
                    self.0.udp = Some((port, payload[8..].to_vec()));
                }
                IpProtocol::Tcp => self.0.tcp = payload.first_chunk().copied(),
                _ => {}
            }
        }
        result
    }
}

impl phy::Device for Wire {
    type RxToken<'a> = Rx;
    type TxToken<'a> = Tx<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Rx, Tx<'_>)> {
        let frame = self.coming.pop_front()?;
        self.waiting = 0;
        Some((Rx(frame), Tx(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Tx<'_>> {
        Some(Tx(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        if self.is_verified {
            capabilities.checksum.tcp = Checksum::None;
        }
        capabilities
    }
}

impl EthernetDevice for Wire {
    type Frame<'a> = Rx;

    fn flush(&mut self) {}

    fn link(&mut self) -> Link {
        if self.unplugged { Link::Down } else { Link::Up { megabits: 1000, full_duplex: true } }
    }

    fn receive_frames(&self) -> usize {
        64
    }

    fn set_mtu(&mut self, _: u16) {}
}

/// Gives a host frames, sound ones and others, in the order and at the times that the input says.
/// Whatever they are, it keeps to what it was told to be, stays within its bounds, and says little.
pub(crate) fn frames(input: &[u8]) {
    let mut script = Script(input);
    let kind = script.byte().unwrap_or(0);
    let fixed = |address: IpAddr, prefix| Addressing::Static {
        address,
        prefix,
        gateway: None,
        dns: Some(DNS),
    };
    let ours = IpAddr::V4(V4[0].into());
    let ours_v6: IpAddr = V6[0].parse().expect("an address");
    let addressing = match kind & 3 {
        0 => fixed(ours, 24),
        1 => fixed(ours_v6, 64),
        2 => Addressing::Dhcp,
        _ => Addressing::Slaac,
    };
    let address_check = if kind & 4 == 0 { AddressCheck::Announce } else { AddressCheck::Probe };
    let configuration =
        Configuration { address_check, ..Configuration::new(OUR_MAC, addressing, 42) };
    let mut sockets = Sockets::new();
    let wire = Wire { is_verified: kind & 8 != 0, ..Wire::default() };
    let stack = NetStack::new(wire, &mut sockets, &configuration, Duration::ZERO)
        .expect("a configuration that works");
    let (mut receive, mut transmit) = ([0; 2048], [0; 2048]);
    // As long as a place has to be, or longer.
    let mut place = vec![0; 8 << 10];
    let mut stream = TcpStream::new(stack, &mut receive, &mut transmit, TcpOptions::default())
        .expect("buffers that fit");
    let mut now = Duration::ZERO;
    let mut cause = Cause::default();
    let limit = (ours, ours_v6);
    while !script.is_at_its_end() {
        if turn(&mut script, &mut stream, &mut now, &mut cause) == Then::Follow {
            continue;
        }
        stream.poll(now);
        // The first segment comes by the stack and is read, those behind it may have a place; what a
        // reader leaves of a segment is the stack's.
        let parts = if kind & 16 == 0 { 1 } else { 2 };
        while stream.recv(|bytes| (bytes.len().div_ceil(parts), ())).is_some() {
            if kind & 32 != 0
                && let Some(count) = stream.recv_into(&mut place)
            {
                assert!((1..=place.len()).contains(&count), "{count} bytes in {}", place.len());
            }
        }
        check(&mut stream, addressing, limit, now, &cause);
    }
}

/// What may bring about that the host sends.
#[derive(Debug, Default)]
struct Cause {
    /// Frames that it was given.
    heard: u64,
    /// Connections and names that it was asked for, and data that it was given to send.
    asked: u64,
}

type Stream<'a> = TcpStream<'a, Wire>;

/// What comes after a turn.
#[derive(PartialEq)]
enum Then {
    /// A poll of the stream.
    Poll,
    /// Another frame, before the stream is polled.
    Follow,
}

fn turn(
    script: &mut Script<'_>,
    stream: &mut Stream<'_>,
    now: &mut Duration,
    cause: &mut Cause,
) -> Then {
    let mut byte = || script.byte().unwrap_or(0);
    let first = byte();
    let (operation, is_followed) = (first & 15, first & 16 != 0);
    let wire = stream.stack_mut().device_mut();
    let frame = match operation {
        0 => {
            let length = byte();
            script.take(length.into()).to_vec()
        }
        1 => {
            let (operation, to, mac) = (byte() & 3, pick(&MACS, byte()), pick(&MACS, byte()));
            let (sender, target) = (pick(&V4, byte()), pick(&V4, byte()));
            let head = [0, 1, 8, 0, 6, 4, 0, operation];
            let body = [&head[..], &mac, &sender, &[0; 6], &target].concat();
            ethernet(to, mac, 0x0806, &body)
        }
        2 | 3 => {
            let (mac, source, target) = (pick(&MACS, byte()), byte(), byte());
            let (kind, flags, length) = (133 + byte() % 5, byte(), byte());
            // The body of an advertisement that makes sense, and options of any kind.
            let head = if operation == 2 {
                let about: Ipv6Addr = pick(&V6, byte()).parse().expect("an address");
                [&[kind, 0, 0, 0, flags, 0, 0, 0][..], &about.octets()].concat()
            } else {
                vec![134, 0, 0, 0, 64, flags & 0xc0, 0, flags, 0, 0, 0, 0, 0, 0, 0, 0]
            };
            let body = [&head, script.take(length.into())].concat();
            icmpv6(mac, pick(&V6, source), pick(&V6, target), &body)
        }
        4 => {
            let (server, from, length) = (pick(&V4, byte()), byte(), byte());
            let (port, asked) = wire.udp.clone().unwrap_or((68, vec![0; 300]));
            let said = script.take(length.into());
            // The question comes back with an answer behind it, or the options are other ones.
            let (from, payload) = match from & 1 {
                0 => {
                    let mut bytes = asked;
                    if let Some(flags) = bytes.get_mut(2..4) {
                        flags.copy_from_slice(&[0x81, 0x80]);
                    }
                    if let Some(count) = bytes.get_mut(7) {
                        *count = 3;
                    }
                    (53, [&bytes, said].concat())
                }
                _ => {
                    let mut bytes = asked;
                    bytes.truncate(240);
                    if let Some(operation) = bytes.get_mut(0) {
                        *operation = 2;
                    }
                    if let Some(yours) = bytes.get_mut(16..20) {
                        yours.copy_from_slice(&V4[0]);
                    }
                    (67, [&bytes, said].concat())
                }
            };
            udp(server, V4[0], (from, port), &payload)
        }
        5 => {
            let (flags, shift) = (byte(), byte());
            let Some(ours) = wire.tcp else { return Then::Poll };
            let data = script.take(usize::from(shift & 31));
            let behind = wire.waiting;
            wire.waiting += data.len() as u32;
            tcp(&ours, behind, flags, shift, data)
        }
        6 | 7 => {
            *now += Duration::from_millis(1 << (byte() & 15));
            return Then::Poll;
        }
        8 => {
            cause.asked += 1;
            let _ = stream.stack_mut().resolve("disks.example.org");
            return Then::Poll;
        }
        9 => {
            cause.asked += 1;
            let portal: IpAddr = match byte() & 3 {
                0 => IpAddr::V4(V4[1].into()),
                1 => "2001:db8::9".parse().expect("an address"),
                2 => "192.0.2.1".parse().expect("an address"),
                _ => "fe80::2".parse().expect("an address"),
            };
            let _ = stream.connect(*now, SocketAddr::new(portal, 3260));
            return Then::Poll;
        }
        10 => {
            wire.unplugged = !wire.unplugged;
            return Then::Poll;
        }
        _ => {
            cause.asked += 1;
            let _ = stream.send(|room| (room.len().min(100), ()));
            return Then::Poll;
        }
    };
    cause.heard += 1;
    wire.coming.push_back(frame);
    if is_followed && wire.is_verified && wire.coming.len() < BATCH {
        Then::Follow
    } else {
        Then::Poll
    }
}

fn check(
    stream: &mut Stream<'_>,
    addressing: Addressing,
    (ours, ours_v6): (IpAddr, IpAddr),
    now: Duration,
    cause: &Cause,
) {
    let is_station = |address: IpAddr| match address {
        IpAddr::V4(v4) => !v4.is_unspecified() && !v4.is_multicast() && !v4.is_broadcast(),
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast() && !v6.is_loopback(),
    };
    let stack = stream.stack_mut();
    if let AddressState::Configured(address) = stack.address_state() {
        assert!(is_station(address.address), "{address:?}");
        assert!(address.gateway.is_none_or(is_station), "{address:?}");
        if let Addressing::Static { address: fixed, .. } = addressing {
            assert_eq!(address.address, fixed);
            assert!(fixed == ours || fixed == ours_v6);
        }
    }
    assert!((576..=1500).contains(&stack.mtu()));
    if let Some(Ok(address)) = stack.resolved() {
        assert!(is_station(address) && !address.is_loopback(), "{address}");
    }
    if let Some(conflict) = stack.conflict() {
        crate::shown(&conflict);
        assert_ne!(conflict.owner, OUR_MAC);
    }
    let at = stack.poll_at(now).expect("there is always a look at the link to come");
    assert!(at >= now && at <= now + Duration::from_millis(500), "{at:?} at {now:?}");
    // An answer for a frame, a few questions a second, and a window of data now and then; for a
    // connection the reset of the last, a question and a SYN.
    let asked_for = cause.heard * 8 + cause.asked * 4;
    let bound = 100 + asked_for + now.as_secs() * 40 + now.as_millis() as u64 / 10;
    let sent = stack.device().sent;
    assert!(sent <= bound, "{sent} frames after {cause:?} and {now:?}");
}

fn pick<T: Copy, const N: usize>(from: &[T; N], byte: u8) -> T {
    from[usize::from(byte) % N]
}

fn ethernet(to: [u8; 6], from: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to, &from, &kind.to_be_bytes()[..], payload].concat()
}

fn icmpv6(mac: [u8; 6], source: &str, destination: &str, message: &[u8]) -> Vec<u8> {
    let source: Ipv6Addr = source.parse().expect("an address");
    let destination: Ipv6Addr = destination.parse().expect("an address");
    let mut message = message.to_vec();
    Icmpv6Packet::new_unchecked(&mut message[..]).fill_checksum(&source, &destination);
    let length = u16::try_from(message.len()).expect("a short message").to_be_bytes();
    let header =
        [&[0x60, 0, 0, 0][..], &length, &[58, 255], &source.octets(), &destination.octets()];
    ethernet(OUR_MAC, mac, 0x86dd, &[&header.concat()[..], &message].concat())
}

fn ipv4(source: [u8; 4], destination: [u8; 4], protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 20).expect("a short packet").to_be_bytes();
    let header =
        [&[0x45, 0][..], &length, &[0, 0, 0, 0, 64, protocol, 0, 0], &source, &destination];
    let mut packet = [&header.concat()[..], payload].concat();
    Ipv4Packet::new_unchecked(&mut packet[..]).fill_checksum();
    ethernet(OUR_MAC, MACS[4], 0x0800, &packet)
}

fn udp(source: [u8; 4], destination: [u8; 4], ports: (u16, u16), payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len() + 8).expect("a short datagram").to_be_bytes();
    let (from, to) = (ports.0.to_be_bytes(), ports.1.to_be_bytes());
    let mut datagram = [&from[..], &to, &length, &[0, 0], payload].concat();
    let (from, to) = (Ipv4Addr::from(source).into(), Ipv4Addr::from(destination).into());
    UdpPacket::new_unchecked(&mut datagram[..]).fill_checksum(&from, &to);
    ipv4(source, destination, 17, &datagram)
}

/// A segment of the peer of the connection whose latest segment begins like this, `behind` so much
/// data of others.
fn tcp(ours: &[u8; 12], behind: u32, flags: u8, shift: u8, payload: &[u8]) -> Vec<u8> {
    let [s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3] = *ours;
    let next = u32::from_be_bytes([q0, q1, q2, q3]).wrapping_add(u32::from(shift >> 5));
    let begin = u32::from_be_bytes([a0, a1, a2, a3]).wrapping_add(behind);
    let mut segment = vec![d0, d1, s0, s1];
    segment.extend(begin.to_be_bytes());
    segment.extend(next.to_be_bytes());
    segment.extend([0x50, flags & 0x3f, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(payload);
    let (from, to) = (V4[1], V4[0]);
    let (source, destination) = (Ipv4Addr::from(from).into(), Ipv4Addr::from(to).into());
    TcpPacket::new_unchecked(&mut segment[..]).fill_checksum(&source, &destination);
    ipv4(from, to, 6, &segment)
}
