//! Segment sizes on the wire: the link's, those of a path behind a router, and what routers say.

use std::net::SocketAddr;
use std::time::Duration;

use isboot_transport::netstack::{Configuration, NetStack, Sockets};
use isboot_transport::stream::{ByteStream, StreamState};
use isboot_transport::tcp::{TcpOptions, TcpStream};

use crate::wire::{Cutting, cable};
use crate::{OUR_MAC, PEER_MAC, PORT, Peer, World, buffer, configuration, fixed, forever, ip};

const SECOND: Duration = Duration::from_secs(1);
/// Behind the router.
const FAR: &str = "192.0.2.9";
const FAR_V6: &str = "2001:db8::9";
const LINK_HEADER: usize = 14;

/// The peer is the router, and the far target too.
fn world(mtu: Option<u16>) -> World {
    let near = fixed("10.0.2.15", 24, Some("10.0.2.2"));
    make(Configuration { mtu, ..configuration(near) }, &[("10.0.2.2", 24), (FAR, 32)])
}

fn world_v6(mtu: Option<u16>) -> World {
    let near = fixed("fec0::15", 64, Some("fec0::2"));
    make(Configuration { mtu, ..configuration(near) }, &[("fec0::2", 64), (FAR_V6, 128)])
}

fn make(configuration: Configuration, peer: &[(&str, u8)]) -> World {
    let (ours, theirs) = cable();
    let stack = NetStack::new(ours, forever(Sockets::new()), &configuration, Duration::ZERO);
    let options = TcpOptions::default();
    let stream = TcpStream::new(stack.unwrap(), buffer(128 << 10), buffer(64 << 10), options);
    World { now: SECOND, stream: stream.unwrap(), peer: Peer::new(theirs, peer) }
}

/// Connects, moves 100000 bytes both ways, and says how long the longest packets of each side were.
fn longest_packets(world: &mut World, target: &str) -> (usize, usize) {
    connect(world, target);
    world.exchange(100_000);
    let cable = world.peer.end.cable();
    let longest = |frames: &[Vec<u8>]| frames.iter().map(Vec::len).max().unwrap() - LINK_HEADER;
    (longest(&cable.sent), longest(&cable.came))
}

fn connect(world: &mut World, target: &str) {
    world.peer.end.cable().sent.clear();
    world.peer.end.cable().came.clear();
    world.peer.listen();
    let portal = SocketAddr::new(ip(target), PORT);
    world.stream.connect(world.now, portal).unwrap();
    world.run_until(SECOND * 5, |world| {
        world.stream.state() == StreamState::Open && world.peer.tcp().may_send()
    });
}

#[test]
fn on_the_link_packets_are_as_long_as_the_link_takes_both_ways() {
    assert_eq!(longest_packets(&mut world(None), "10.0.2.2"), (1500, 1500));
    assert_eq!(longest_packets(&mut world_v6(None), "fec0::2"), (1500, 1500));
    assert_eq!(longest_packets(&mut world(Some(900)), "10.0.2.2"), (900, 900));
}

#[test]
fn behind_a_router_they_fit_every_path_unless_configured_otherwise() {
    assert_eq!(longest_packets(&mut world(None), FAR), (1280, 1280));
    assert_eq!(longest_packets(&mut world_v6(None), FAR_V6), (1280, 1280));
    assert_eq!(longest_packets(&mut world(Some(1500)), FAR), (1500, 1500));
    assert_eq!(longest_packets(&mut world(Some(1400)), FAR), (1400, 1400));
}

#[test]
fn each_connection_has_the_size_of_its_own_path() {
    let mut world = world(None);
    for (target, size) in [("10.0.2.2", 1500), (FAR, 1280), ("10.0.2.2", 1500)] {
        assert_eq!(longest_packets(&mut world, target), (size, size), "{target}");
        assert_eq!(usize::from(world.stream.stack().mtu()), size);
    }
}

/// What a router answers that can pass on 1400 bytes.
fn narrow_router(frame: &[u8]) -> Option<Vec<u8>> {
    (frame.len() > LINK_HEADER + 1400).then(|| too_big(frame, 1400))
}

#[test]
fn what_a_router_cannot_pass_on_is_sent_again_in_smaller_segments() {
    for (mut world, far) in [(world(Some(1500)), FAR), (world_v6(Some(1500)), FAR_V6)] {
        connect(&mut world, far);
        world.peer.end.cable().router = Some(narrow_router);
        world.exchange(100_000);
        assert_eq!(world.stream.stack().mtu(), 1400, "{far}");
        let cable = world.peer.end.cable();
        let refused = cable.sent.iter().filter(|frame| frame.len() > LINK_HEADER + 1400);
        let refused = refused.count();
        assert!(refused <= (64 << 10) / 1440 + 1, "{refused} are more than were under way");
        drop(cable);
        // The next connection knows.
        world.peer.end.cable().router = None;
        assert_eq!(longest_packets(&mut world, far).0, 1400);
        // After a while the path may be another.
        world.now += SECOND * 600;
        assert_eq!(longest_packets(&mut world, far).0, 1500);
    }
}

/// What is under way cannot be taken back; what is sent again and what follows is cut as the router
/// wants it.
#[test]
fn a_device_that_cuts_is_told_what_a_router_can_pass_on() {
    let mut world = world(Some(1500));
    world.peer.end.cable().cutting = Cutting::Right;
    connect(&mut world, FAR);
    world.exchange(100_000);
    assert!(!world.peer.end.cable().cut.is_empty());
    world.peer.end.cable().router = Some(narrow_router);
    world.exchange(100_000);
    assert_eq!(world.stream.stack().mtu(), 1400);
    world.peer.end.cable().cut.clear();
    assert_eq!(longest_of_next(&mut world), 1400);
    let cable = world.peer.end.cable();
    assert!(cable.cut.iter().any(|length| *length > 10_000), "{:?}", cable.cut);
}

/// Moves 100000 bytes more, and says how long our longest packet was.
fn longest_of_next(world: &mut World) -> usize {
    world.peer.end.cable().sent.clear();
    world.exchange(100_000);
    let cable = world.peer.end.cable();
    cable.sent.iter().map(Vec::len).max().unwrap() - LINK_HEADER
}

/// A message like [`narrow_router`]'s, to which this was done.
fn after(world: &mut World, change: impl Fn(&mut Vec<u8>)) -> u16 {
    let mut message = {
        let cable = world.peer.end.cable();
        too_big(cable.sent.iter().rfind(|frame| frame.len() > 1000).unwrap(), 1300)
    };
    change(&mut message);
    world.peer.end.put(message);
    world.stream.poll(world.now);
    world.stream.stack().mtu()
}

/// A world in which segments are under way.
fn under_way(mut world: World, far: &str) -> World {
    connect(&mut world, far);
    world.stream.send(|space| (space.len(), ()));
    world.stream.poll(world.now);
    world
}

type Change<'a> = &'a dyn Fn(&mut Vec<u8>);

/// Whoever did not see a segment of ours must not slow us down (RFC 5927 §4).
#[test]
fn a_made_up_word_of_a_router_changes_nothing() {
    const QUOTED: usize = LINK_HEADER + 20 + 8;
    let mend = |message: &mut Vec<u8>| mend_icmp(message);
    let changes: [(&str, Change<'_>); 10] = [
        ("its checksum is wrong", &|m| m[LINK_HEADER + 20 + 2] ^= 1),
        ("another code", &|m| (m[LINK_HEADER + 21] = 3, mend(m)).1),
        ("another type", &|m| (m[LINK_HEADER + 20] = 11, mend(m)).1),
        ("not about TCP", &|m| (m[QUOTED + 9] = 17, mend(m)).1),
        ("another port of ours", &|m| (m[QUOTED + 20] ^= 1, mend(m)).1),
        ("another port of the target", &|m| (m[QUOTED + 23] ^= 1, mend(m)).1),
        ("a segment to come", &|m| (m[QUOTED + 24] ^= 0x40, mend(m)).1),
        ("another target", &|m| (m[QUOTED + 19] ^= 1, mend(m)).1),
        ("cut in the quoted header", &|m| m.truncate(QUOTED + 19)),
        ("a quoted header beyond its end", &|m| (m[QUOTED] = 0x4f, mend(m)).1),
    ];
    for (what, change) in changes {
        let mut world = under_way(world(Some(1500)), FAR);
        assert_eq!(after(&mut world, change), 1500, "{what}");
        assert_eq!(after(&mut world, |_| ()), 1300, "the same without that, {what}");
    }
}

#[test]
fn a_word_of_a_router_makes_packets_smaller_only_and_not_tiny() {
    let said = |world: &mut World, mtu: u16| {
        after(world, |message| {
            message[LINK_HEADER + 26..][..2].copy_from_slice(&mtu.to_be_bytes());
            mend_icmp(message);
        })
    };
    let mut world = under_way(world(Some(1500)), FAR);
    assert_eq!(said(&mut world, 1501), 1500);
    assert_eq!(said(&mut world, 1450), 1450);
    assert_eq!(said(&mut world, 1480), 1450);
    assert_eq!(said(&mut world, 68), 576);
    // Old routers do not say how much they can pass on.
    let mut world = under_way(self::world(Some(1500)), FAR);
    assert_eq!(said(&mut world, 0), 576);
    let mut world = under_way(world_v6(Some(1500)), FAR_V6);
    let tiny = after(&mut world, |message| {
        message[LINK_HEADER + 44..][..4].copy_from_slice(&68_u32.to_be_bytes());
        mend_icmp(message);
    });
    assert_eq!(tiny, 1280);
}

/// A router's answer to a packet that is larger than `mtu` (RFC 1191 §4, RFC 4443 §3.2).
fn too_big(frame: &[u8], mtu: u16) -> Vec<u8> {
    let packet = &frame[LINK_HEADER..];
    let mut message = [&OUR_MAC[..], &PEER_MAC, &frame[12..14]].concat();
    if frame[12] == 8 {
        message.extend([0x45, 0, 0, 56, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 2, 2]);
        message.extend(&packet[12..16]);
        let sum = sum(&message[LINK_HEADER..]);
        message[LINK_HEADER + 10..][..2].copy_from_slice(&sum.to_be_bytes());
        message.extend([3, 4, 0, 0, 0, 0]);
        message.extend(mtu.to_be_bytes());
        message.extend(&packet[..28]);
    } else {
        message.extend([0x60, 0, 0, 0, 0, 100, 58, 64]);
        message.extend(ip_bytes("fec0::2"));
        message.extend(&packet[8..24]);
        message.extend([2, 0, 0, 0, 0, 0]);
        message.extend(mtu.to_be_bytes());
        message.extend(&packet[..92]);
    }
    mend_icmp(&mut message);
    message
}

fn ip_bytes(text: &str) -> [u8; 16] {
    text.parse::<std::net::Ipv6Addr>().unwrap().octets()
}

/// Computes the ICMP checksum of a message of ours anew.
fn mend_icmp(frame: &mut [u8]) {
    let (header, mut covered) = match frame[12] {
        8 => (20, Vec::new()),
        _ => {
            (40, [&frame[LINK_HEADER + 8..LINK_HEADER + 40], &[0, 0, 0, 100, 0, 0, 0, 58]].concat())
        }
    };
    let message = &mut frame[LINK_HEADER + header..];
    message[2..4].fill(0);
    covered.extend_from_slice(message);
    message[2..4].copy_from_slice(&sum(&covered).to_be_bytes());
}

/// The internet checksum (RFC 1071).
fn sum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(*word.get(1).unwrap_or(&0)));
    let total: u32 = words.sum();
    let folded = (total & 0xffff) + (total >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}
