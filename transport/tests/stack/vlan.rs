//! One VLAN on the cable: every frame with its tag, none without.

use std::time::Duration;

use isboot_transport::netstack::{Configuration, NetStack, Sockets};
use isboot_transport::stream::{ByteStream, StreamError, StreamState};
use isboot_transport::tcp::{TcpOptions, TcpStream};
use isboot_transport::vlan::{VlanDrops, VlanId};

use crate::wire::cable;
use crate::{Peer, World, buffer, configuration, fixed, forever};

const SECOND: Duration = Duration::from_secs(1);
const TAG_7: [u8; 4] = [0x81, 0, 0, 7];

/// We speak in `vlan`; the peer is behind a port with this tag.
fn world(vlan: Option<u16>, access_port: Option<[u8; 4]>) -> World {
    let (ours, theirs) = cable();
    theirs.cable().access_port = access_port;
    let vlan = vlan.map(|number| VlanId::new(number).unwrap());
    let configuration = Configuration { vlan, ..configuration(fixed("10.0.2.15", 24, None)) };
    let stack = NetStack::new(ours, forever(Sockets::new()), &configuration, Duration::ZERO);
    let options = TcpOptions::default();
    let stream = TcpStream::new(stack.unwrap(), buffer(256 << 10), buffer(64 << 10), options);
    World { now: SECOND, stream: stream.unwrap(), peer: Peer::new(theirs, &[("10.0.2.2", 24)]) }
}

#[test]
fn everything_is_tagged_and_full_segments_fit() {
    let mut world = world(Some(7), Some(TAG_7));
    world.connect();
    world.exchange(200_000);
    let cable = world.peer.end.cable();
    assert!(cable.sent.iter().all(|frame| frame[12..16] == TAG_7));
    let longest = cable.sent.iter().map(Vec::len).max();
    assert_eq!(longest, Some(1518), "1500 bytes of IP, 14 of header, 4 of tag");
    drop(cable);
    assert_eq!(world.stream.stack().vlan_drops(), VlanDrops::default());
}

/// What came back in another VLAN, or in none, is not for us.
#[test]
fn answers_with_another_tag_or_none_are_dropped_and_counted() {
    for (access_port, expected) in [
        (None, VlanDrops { untagged: 1, ..VlanDrops::default() }),
        (Some([0x81, 0, 0, 8]), VlanDrops { other_vlan: 1, ..VlanDrops::default() }),
        (Some([0x81, 0, 0xe0, 0]), VlanDrops { untagged: 1, ..VlanDrops::default() }),
        (Some([0x88, 0xa8, 0, 7]), VlanDrops { stacked: 1, ..VlanDrops::default() }),
    ] {
        let mut world = world(Some(7), access_port);
        let portal = world.portal();
        world.stream.connect(world.now, portal).unwrap();
        world.peer.end.put(arp_reply());
        let failed = StreamState::Failed(StreamError::TimedOut);
        world.run_until(SECOND * 15, |world| world.stream.state() == failed);
        assert_eq!(world.stream.stack().vlan_drops(), expected, "{access_port:02x?}");
    }
}

#[test]
fn without_a_vlan_a_priority_tag_is_taken_off_and_any_other_refused() {
    let mut world = world(None, None);
    world.connect();
    let priority = |frame: &[u8]| [&frame[..12], &[0x81, 0, 0xa0, 0], &frame[12..]].concat();
    world.peer.end.put(priority(&arp_reply()));
    let mut other = priority(&arp_reply());
    other[15] = 7;
    world.peer.end.put(other);
    world.step(SECOND);
    let expected = VlanDrops { other_vlan: 1, ..VlanDrops::default() };
    assert_eq!(world.stream.stack().vlan_drops(), expected);
    world.exchange(1000);
}

/// The peer's answer to a question that is not asked: for our MAC address, so that only the tag
/// decides.
fn arp_reply() -> Vec<u8> {
    let mut frame = [&crate::OUR_MAC[..], &crate::PEER_MAC, &[8, 6]].concat();
    frame.extend([0, 1, 8, 0, 6, 4, 0, 2]);
    frame.extend([&crate::PEER_MAC[..], &[10, 0, 2, 2], &crate::OUR_MAC, &[10, 0, 2, 15]].concat());
    frame
}
