//! Who is at which MAC address: known while data flows, found again when it moves, and not to be
//! talked out of it.

use std::net::SocketAddr;
use std::time::Duration;

use isboot_transport::netstack::Addressing;
use isboot_transport::stream::{ByteStream, StreamState};
use smoltcp::wire::{EthernetAddress, HardwareAddress};

use crate::frames::{
    ALL_NODES, BROADCAST, Mac, OVERRIDE, SOLICITED, advertisement, all_said, arp, behind_options,
    gratuitous_arp, solicitation,
};
use crate::wire::cable;
use crate::{OUR_MAC, PEER_MAC, PORT, Peer, World, fixed, ip, stream};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const OTHER_MAC: Mac = [0x52, 0x55, 0x0a, 0, 2, 99];

/// A network, and where the target is in it.
struct Network {
    ours: Addressing,
    peer: &'static [(&'static str, u8)],
    portal: &'static str,
    /// Who has to be known at the MAC address of the peer.
    hop: &'static str,
}

fn networks() -> [Network; 4] {
    let router = Some("10.0.2.2");
    let near = fixed("10.0.2.15", 24, None);
    let far = fixed("10.0.2.15", 24, router);
    let near6 = fixed("fec0::15", 64, None);
    let far6 = fixed("fec0::15", 64, Some("fe80::2"));
    [
        Network { ours: near, peer: &[("10.0.2.2", 24)], portal: "10.0.2.2", hop: "10.0.2.2" },
        Network {
            ours: far,
            peer: &[("10.0.2.2", 24), ("192.168.7.9", 24)],
            portal: "192.168.7.9",
            hop: "10.0.2.2",
        },
        Network { ours: near6, peer: &[("fec0::2", 64)], portal: "fec0::2", hop: "fec0::2" },
        Network {
            ours: far6,
            peer: &[("2001:db8::9", 64), ("fe80::2", 64)],
            portal: "2001:db8::9",
            hop: "fe80::2",
        },
    ]
}

impl Network {
    fn open(&self) -> World {
        let (ours, theirs) = cable();
        let (stream, mut peer) = (stream(ours, self.ours), Peer::new(theirs, self.peer));
        if self.portal == "2001:db8::9" {
            // The way back: we are on its link under an address of another prefix.
            peer.interface.routes_mut().add_default_ipv6_route(link_local()).unwrap();
        }
        let mut world = World { now: SECOND, stream, peer };
        world.stream.connect(world.now, SocketAddr::new(ip(self.portal), PORT)).unwrap();
        world.run_until(3 * SECOND, |world| world.stream.state() == StreamState::Open);
        // Announced, and settled.
        world.run_until(5 * SECOND, |world| world.now > 5 * SECOND);
        world.peer.end.cable().sent.clear();
        world
    }
}

fn link_local() -> std::net::Ipv6Addr {
    "fe80::5054:ff:fe12:3456".parse().unwrap()
}

impl World {
    fn move_peer(&mut self, mac: Mac) {
        self.peer.interface.set_hardware_addr(HardwareAddress::Ethernet(EthernetAddress(mac)));
    }

    /// Sends a few bytes to be echoed; says how long it took them to leave, and to be back.
    fn echo(&mut self, limit: Duration) -> (Duration, Duration) {
        let start = self.now;
        let before = self.sent().len();
        self.stream.send(|room| {
            room[..48].fill(7);
            (48, ())
        });
        let (mut left, mut back) = (None, 0);
        self.run_until(limit, |world| {
            if left.is_none() && world.sent()[before..].iter().any(|(_, _, length)| *length == 48) {
                left = Some(world.now - start);
            }
            let peer = world.peer.tcp();
            if peer.can_recv() {
                let count = peer.recv(|bytes| (bytes.len(), bytes.len())).unwrap();
                peer.send_slice(&vec![8; count]).unwrap();
            }
            while let Some(count) = world.stream.recv(|bytes| (bytes.len(), bytes.len())) {
                back += count;
            }
            back == 48
        });
        (left.unwrap(), self.now - start)
    }

    fn step_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.step(MILLISECOND);
        }
    }
}

/// The stack's own cache forgets everybody a minute after the last answer. Nobody notices: not
/// behind a router either, whose address no packet carries.
#[test]
fn data_never_waits_for_a_question_about_a_neighbour() {
    for network in networks() {
        let mut world = network.open();
        let mut asked = Vec::new();
        let mut longest = Duration::ZERO;
        for _ in 0..3000 {
            let (left, back) = world.echo(SECOND);
            // Leaves with the poll that follows, and is back two polls later.
            assert!(left <= MILLISECOND, "{left:?} at {:?}", world.now);
            longest = longest.max(back);
            world.step_for(Duration::from_millis(100));
            asked.extend(all_said(&world.peer.end).into_iter().filter(|said| said.contains("who")));
            world.peer.end.cable().sent.clear();
        }
        assert!(world.now > 300 * SECOND && longest <= 4 * MILLISECOND, "{longest:?}");
        let hop = network.hop;
        assert!(asked.iter().all(|said| !said.starts_with("all:")), "{hop}: {asked:?}");
        assert!(
            (8..=12).contains(&asked.len()),
            "{hop}: {} questions in five minutes",
            asked.len()
        );
    }
}

/// After hours without a byte the first one still leaves at once.
#[test]
fn an_idle_neighbour_is_not_forgotten() {
    for network in networks() {
        let mut world = network.open();
        for _ in 0..4 * 3600 {
            world.step(Duration::from_millis(250));
            if let Some(at) = world.stream.poll_at(world.now) {
                assert!(at >= world.now);
            }
        }
        let (left, _) = world.echo(SECOND);
        assert!(left <= MILLISECOND, "{left:?}");
    }
}

/// Another machine takes over the address, and nobody says so.
#[test]
fn a_neighbour_that_moved_silently_is_found_within_three_seconds() {
    for network in networks() {
        let mut world = network.open();
        world.move_peer(OTHER_MAC);
        let (_, back) = world.echo(10 * SECOND);
        println!("{}: back after {back:?}", network.hop);
        assert!(back < 4 * SECOND, "{back:?}");
        let (_, back) = world.echo(SECOND);
        assert!(back <= 4 * MILLISECOND, "{back:?}");
    }
}

/// Another machine takes over the address, and says so.
#[test]
fn a_neighbour_that_says_that_it_moved_is_found_within_a_second() {
    for network in networks() {
        for flags in [OVERRIDE, 0] {
            let mut world = network.open();
            world.move_peer(OTHER_MAC);
            let announcement = if network.hop.contains(':') {
                advertisement(OTHER_MAC, flags, network.hop, ALL_NODES)
            } else {
                gratuitous_arp(OTHER_MAC, network.hop)
            };
            world.peer.end.put(announcement);
            world.step_for(Duration::from_millis(700));
            let (_, back) = world.echo(10 * SECOND);
            assert!(back <= 4 * MILLISECOND, "{}: {back:?}", network.hop);
        }
    }
}

/// Unasked, as an answer, and in a question: who answers keeps its address.
#[test]
fn somebody_elses_word_does_not_move_a_neighbour_that_answers() {
    for network in networks() {
        let mut world = network.open();
        for round in 0..200_u8 {
            let liar = [2, 0, 0, 0, 9, round];
            let hop = network.hop;
            let lies = if hop.contains(':') {
                let us = match network.ours {
                    Addressing::Static { address, .. } => address.to_string(),
                    _ => unreachable!(),
                };
                vec![
                    advertisement(liar, OVERRIDE, hop, ALL_NODES),
                    advertisement(liar, OVERRIDE | SOLICITED, hop, &us),
                    solicitation(liar, hop, &us),
                    behind_options(advertisement(liar, OVERRIDE | SOLICITED, hop, &us)),
                ]
            } else {
                vec![
                    gratuitous_arp(liar, hop),
                    arp(OUR_MAC, 2, (liar, hop), "10.0.2.15"),
                    arp(BROADCAST, 1, (liar, hop), "10.0.2.15"),
                ]
            };
            lies.into_iter().for_each(|lie| world.peer.end.put(lie));
            world.peer.end.cable().sent.clear();
            let (left, back) = world.echo(SECOND);
            assert!(left <= MILLISECOND && back <= 4 * MILLISECOND, "{hop}: {left:?} {back:?}");
            world.step_for(Duration::from_millis(20));
            let cable = world.peer.end.cable();
            let strays =
                cable.sent.iter().filter(|frame| frame[0] & 1 == 0 && frame[..6] != PEER_MAC);
            // The liar gets an answer to its own question, and nothing else.
            let strays: Vec<_> =
                strays.filter(|frame| crate::frames::said(frame).is_none()).collect();
            assert!(strays.is_empty(), "{hop}: {strays:02x?}");
        }
    }
}

/// Strangers by the hundred: questions, announcements, connections that we refuse. The target
/// stays known, and what we say to all that stays bounded.
#[test]
fn a_flood_of_strangers_pushes_nobody_out() {
    let network = &networks()[1];
    let mut world = network.open();
    for round in 0..200_u32 {
        for number in 0..40 {
            // Many, or so few that all of them get an answer and want to be known.
            let number =
                if round < 100 { (round * 40 + number) % 250 + 3 } else { 100 + number % 12 };
            let mac = [2, 1, 0, 0, 0, number as u8];
            let stranger = format!("10.0.2.{number}");
            if number == 15 {
                continue;
            }
            world.peer.end.put(syn(mac, &stranger));
            world.step(MILLISECOND);
            world.peer.end.put(gratuitous_arp(mac, &stranger));
            world.peer.end.put(arp(BROADCAST, 1, (mac, &stranger), "10.0.2.15"));
            world.peer.end.put(arp(OUR_MAC, 2, (mac, &stranger), "10.0.2.15"));
        }
        // The stack resolves one stranger a second, and has room for eight in all.
        world.step_for(Duration::from_millis(300));
        if round % 50 == 49 {
            // The flood is in front of everything: 64 frames are taken in a poll.
            let before = world.peer.end.cable().sent.len();
            let (left, back) = world.echo(SECOND);
            assert!(left <= MILLISECOND, "{left:?}");
            assert!(back <= 200 * MILLISECOND, "{back:?}");
            let answers = world.peer.end.cable().sent.len() - before;
            assert!(answers < 100, "{answers}");
        }
    }
    let asked = all_said(&world.peer.end);
    assert!(asked.iter().any(|said| said.starts_with("all: who has 10.0.2.")), "strangers are");
    assert!(!asked.iter().any(|said| said.starts_with("all: who has 10.0.2.2?")));
}

/// A connection can begin in the middle of it, too.
#[test]
fn a_connection_begins_in_a_flood_of_strangers() {
    let network = &networks()[1];
    let (ours, theirs) = cable();
    let (stream, peer) = (stream(ours, network.ours), Peer::new(theirs, network.peer));
    let mut world = World { now: SECOND, stream, peer };
    let flood = |world: &mut World| {
        for number in 100..120_u8 {
            world.peer.end.put(syn([2, 1, 0, 0, 0, number], &format!("10.0.2.{number}")));
        }
    };
    for _ in 0..1500 {
        flood(&mut world);
        world.step(MILLISECOND);
    }
    world.stream.connect(world.now, SocketAddr::new(ip(network.portal), PORT)).unwrap();
    let mut took = Duration::ZERO;
    while world.stream.state() != StreamState::Open {
        assert!(took < 2 * SECOND, "{:?}", world.stream.state());
        took += MILLISECOND;
        flood(&mut world);
        world.step(MILLISECOND);
    }
}

/// The first segment of a connection to a port where nobody listens.
fn syn(mac: Mac, from: &str) -> Vec<u8> {
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{
        EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol, Ipv4Packet, Ipv4Repr,
        TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
    };
    let (source, destination) = (from.parse().unwrap(), "10.0.2.15".parse().unwrap());
    let caps = ChecksumCapabilities::default();
    let tcp = TcpRepr {
        src_port: 1000,
        dst_port: 22,
        control: TcpControl::Syn,
        seq_number: TcpSeqNumber(1),
        ack_number: None,
        window_len: 1000,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    };
    let ip = Ipv4Repr {
        src_addr: source,
        dst_addr: destination,
        next_header: IpProtocol::Tcp,
        payload_len: tcp.buffer_len(),
        hop_limit: 64,
    };
    let mut bytes = vec![0; 34 + tcp.buffer_len()];
    EthernetRepr {
        src_addr: EthernetAddress(mac),
        dst_addr: EthernetAddress(OUR_MAC),
        ethertype: EthernetProtocol::Ipv4,
    }
    .emit(&mut EthernetFrame::new_unchecked(&mut bytes));
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut bytes[14..]), &caps);
    let mut packet = TcpPacket::new_unchecked(&mut bytes[34..]);
    tcp.emit(&mut packet, &source.into(), &destination.into(), &caps);
    bytes
}
