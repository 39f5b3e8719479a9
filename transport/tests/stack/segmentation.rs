//! Long segments that the device cuts: as long as it takes, cut as the peer and the path want it, and
//! given up where nothing of them arrives.

use std::net::SocketAddr;
use std::time::Duration;

use isboot_transport::netstack::{Configuration, NetStack, Sockets};
use isboot_transport::stream::{ByteStream, StreamState};
use isboot_transport::tcp::{TcpOptions, TcpStream};
use isboot_transport::vlan::VlanId;
use smoltcp::wire::{EthernetFrame, Ipv4Packet, TcpOption, TcpPacket};

use crate::wire::{Cutting, LONGEST_CUT, cable};
use crate::{PORT, Peer, World, buffer, configuration, fixed, forever, ip};

const SECOND: Duration = Duration::from_secs(1);
const LINK_HEADER: usize = 14;

fn world(cutting: Cutting, change: impl FnOnce(&mut Configuration), address: &str) -> World {
    let (ours, theirs) = cable();
    ours.cable().cutting = cutting;
    let v6 = address.contains(':');
    let (own, prefix) = if v6 { ("fec0::15", 64) } else { ("10.0.2.15", 24) };
    let mut configuration = configuration(fixed(own, prefix, None));
    change(&mut configuration);
    let stack = NetStack::new(ours, forever(Sockets::new()), &configuration, Duration::ZERO);
    let options = TcpOptions::default();
    let stream = TcpStream::new(stack.unwrap(), buffer(128 << 10), buffer(64 << 10), options);
    World { now: SECOND, stream: stream.unwrap(), peer: Peer::new(theirs, &[(address, prefix)]) }
}

fn connect(world: &mut World, target: &str) {
    world.peer.listen();
    let portal = SocketAddr::new(ip(target), PORT);
    world.stream.connect(world.now, portal).unwrap();
    world.run_until(SECOND * 5, |world| {
        world.stream.state() == StreamState::Open && world.peer.tcp().may_send()
    });
}

/// The longest frame that was given to be cut, and the longest packet on the wire.
fn longest(world: &World) -> (usize, usize) {
    let cable = world.peer.end.cable();
    let on_wire = cable.sent.iter().map(Vec::len).max().unwrap_or(0);
    (cable.cut.iter().copied().max().unwrap_or(0), on_wire)
}

#[test]
fn frames_are_as_long_as_the_device_takes_and_packets_as_the_link_does() {
    let mut world = world(Cutting::Right, |_| {}, "10.0.2.2");
    connect(&mut world, "10.0.2.2");
    world.exchange(1_000_000);
    let (given, on_wire) = longest(&world);
    assert!((LONGEST_CUT - 1460..=LONGEST_CUT).contains(&given), "{given}");
    assert_eq!(on_wire, LINK_HEADER + 1500);
}

#[test]
fn the_tag_of_a_vlan_has_room() {
    let mut world = world(Cutting::Right, |c| c.vlan = VlanId::new(7), "10.0.2.2");
    world.peer.end.cable().access_port = Some([0x81, 0, 0, 7]);
    connect(&mut world, "10.0.2.2");
    world.exchange(1_000_000);
    let (given, on_wire) = longest(&world);
    assert!(given > 20_000, "{given}");
    assert_eq!(on_wire, LINK_HEADER + 4 + 1500);
    assert!(world.peer.end.cable().sent.iter().all(|frame| frame[12..14] == [0x81, 0]));
}

#[test]
fn over_ipv6_nothing_is_cut() {
    let mut world = world(Cutting::Right, |_| {}, "fec0::2");
    connect(&mut world, "fec0::2");
    world.exchange(300_000);
    assert_eq!(longest(&world), (0, LINK_HEADER + 1500));
}

/// The most that the peer said it takes, wherever that is in its options: nothing is longer.
#[test]
fn a_peer_that_takes_less_gets_less_and_one_that_takes_too_little_nothing_cut() {
    for (said, wanted) in [(1460, 1460), (1000, 1000), (536, 536), (535, 535), (100, 100), (1, 48)]
    {
        let mut world = world(Cutting::Right, |_| {}, "10.0.2.2");
        world.peer.end.cable().largest_segment = Some(said);
        connect(&mut world, "10.0.2.2");
        world.exchange(100_000);
        let (given, on_wire) = longest(&world);
        assert_eq!(on_wire, LINK_HEADER + 40 + wanted, "{said}");
        assert_eq!(given > 0, said >= 536, "{said}: {given}");
    }
}

/// Zero counts as nothing said; more than the link takes counts as what the link takes.
#[test]
fn a_peer_that_says_nonsense_gets_what_everybody_takes() {
    for (said, wanted) in [(0, 536), (65535, 1460)] {
        let mut world = world(Cutting::Right, |_| {}, "10.0.2.2");
        world.peer.end.cable().largest_segment = Some(said);
        connect(&mut world, "10.0.2.2");
        world.exchange(100_000);
        assert_eq!(longest(&world).1, LINK_HEADER + 40 + wanted, "{said}");
    }
}

#[test]
fn where_nothing_arrives_that_is_cut_nothing_is_cut_any_more() {
    let mut world = world(Cutting::InVain, |_| {}, "10.0.2.2");
    connect(&mut world, "10.0.2.2");
    let begin = world.now;
    world.exchange(1_000_000);
    assert!(world.now - begin < SECOND * 4, "{:?}", world.now - begin);
    let given = world.peer.end.cable().cut.len();
    assert!((1..=24).contains(&given), "{given}");
    // Another connection may go another way.
    world.peer.end.cable().cutting = Cutting::Right;
    connect(&mut world, "10.0.2.2");
    world.exchange(1_000_000);
    assert!(world.peer.end.cable().cut.len() > given + 20);
}

/// What the peer says in its SYN of how much it takes.
pub(crate) fn say_largest(frame: &mut [u8], largest: u16) {
    let Ok(mut frame) = EthernetFrame::new_checked(frame) else { return };
    let Ok(mut packet) = Ipv4Packet::new_checked(frame.payload_mut()) else { return };
    let (source, target) = (packet.src_addr().into(), packet.dst_addr().into());
    let Ok(mut segment) = TcpPacket::new_checked(packet.payload_mut()) else { return };
    if !segment.syn() {
        return;
    }
    let options = segment.options_mut();
    assert!(matches!(TcpOption::parse(options), Ok((_, TcpOption::MaxSegmentSize(_)))));
    options[2..4].copy_from_slice(&largest.to_be_bytes());
    segment.fill_checksum(&source, &target);
}
