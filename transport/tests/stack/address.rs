//! Static addresses of both families, on the link and behind a router.

use std::net::SocketAddr;
use std::time::Duration;

use isboot_transport::netstack::{
    Address, AddressState, Addressing, ConfigurationError, NetStack, Sockets,
};
use isboot_transport::stream::{ByteStream, StreamError, StreamState};

use crate::wire::cable;
use crate::{PORT, Peer, World, buffer, configuration, fixed, forever, ip, stack, stream};

const SECOND: Duration = Duration::from_secs(1);

fn world(addressing: Addressing, peer: &[(&str, u8)]) -> World {
    let (ours, theirs) = cable();
    World { now: SECOND, stream: stream(ours, addressing), peer: Peer::new(theirs, peer) }
}

fn opens(mut world: World, portal: &str) {
    let portal = SocketAddr::new(ip(portal), PORT);
    world.stream.connect(world.now, portal).unwrap();
    world.run_until(3 * SECOND, |world| world.stream.state() == StreamState::Open);
}

#[test]
fn static_ipv4_on_the_link_and_behind_a_router() {
    opens(world(fixed("10.0.2.15", 24, None), &[("10.0.2.2", 24)]), "10.0.2.2");
    let peer = [("10.0.2.2", 24), ("192.168.7.9", 24)];
    opens(world(fixed("10.0.2.15", 24, Some("10.0.2.2")), &peer), "192.168.7.9");
}

#[test]
fn static_ipv6_on_the_link_and_behind_a_router() {
    opens(world(fixed("fec0::15", 64, None), &[("fec0::2", 64)]), "fec0::2");
    let peer = [("fec0::2", 64), ("2001:db8::9", 64)];
    opens(world(fixed("fec0::15", 64, Some("fec0::2")), &peer), "2001:db8::9");
    // A router that only has a link-local address, as most do.
    let peer = [("fe80::2", 64), ("2001:db8::9", 32)];
    opens(world(fixed("2001:db8:1::15", 64, Some("fe80::2")), &peer), "2001:db8::9");
}

/// Each as the error that it is, before anything is sent.
#[test]
fn where_no_way_leads_is_told_at_once() {
    for (ours, peer, portal) in [
        (fixed("10.0.2.15", 24, None), "10.0.2.2", "192.168.7.9"),
        (fixed("10.0.2.15", 24, None), "10.0.2.2", "fe80::9"),
        // A gateway that is on no network of ours cannot be asked for.
        (fixed("10.0.2.15", 24, Some("10.0.3.1")), "10.0.2.2", "192.168.7.9"),
        (fixed("10.0.2.15", 32, Some("10.0.2.1")), "10.0.2.1", "192.168.7.9"),
        (fixed("fec0::15", 64, None), "fec0::2", "2001:db8::9"),
        (fixed("fec0::15", 64, None), "fec0::2", "10.0.2.2"),
    ] {
        let mut world = world(ours, &[(peer, 24)]);
        world.step(SECOND / 1000);
        world.peer.end.cable().sent.clear();
        let portal = SocketAddr::new(ip(portal), PORT);
        assert!(!world.stream.stack().has_route(portal.ip()));
        let refused = world.stream.connect(world.now, portal);
        assert_eq!(refused, Err(StreamError::NoRoute), "{ours:?}");
        world.step(SECOND / 1000);
        assert_eq!(world.sent(), []);
    }
}

#[test]
fn ipv6_has_its_link_local_address_too() {
    let (ours, _theirs) = cable();
    let stack = stack(ours, fixed("fec0::15", 64, None));
    assert!(stack.has_route(ip("fe80::1")));
    assert!(!stack.has_route(ip("fec1::1")));
}

#[test]
fn a_static_address_is_there_at_once() {
    let (ours, _theirs) = cable();
    let stack = stack(ours, fixed("10.0.2.15", 24, Some("10.0.2.2")));
    let expected = Address {
        address: ip("10.0.2.15"),
        prefix: 24,
        gateway: Some(ip("10.0.2.2")),
        dns: None,
        dhcp_server: None,
    };
    assert_eq!(stack.address_state(), AddressState::Configured(expected));
    assert!(stack.has_route(ip("8.8.8.8")) && !stack.has_route(ip("fec0::1")));
}

#[test]
fn values_that_cannot_be_used_are_named() {
    let make = |change: &dyn Fn(&mut isboot_transport::netstack::Configuration)| {
        let (ours, _theirs) = cable();
        let mut configuration = configuration(fixed("10.0.2.15", 24, None));
        change(&mut configuration);
        let sockets = forever(Sockets::new());
        NetStack::new(ours, sockets, &configuration, SECOND).err()
    };
    use ConfigurationError as E;
    assert_eq!(make(&|_| ()), None);
    for mac in [[0; 6], [0xff; 6], [1, 2, 3, 4, 5, 6]] {
        assert_eq!(make(&|c| c.mac = mac), Some(E::Mac(mac)));
    }
    for address in ["0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1"] {
        let error = Some(E::Address(ip(address)));
        assert_eq!(make(&|c| c.addressing = fixed(address, 0, None)), error);
    }
    assert_eq!(make(&|c| c.addressing = fixed("10.0.2.15", 33, None)), Some(E::Prefix(33)));
    assert_eq!(make(&|c| c.addressing = fixed("fec0::1", 129, None)), Some(E::Prefix(129)));
    for gateway in ["0.0.0.0", "255.255.255.255", "fec0::2"] {
        let error = Some(E::Gateway(ip(gateway)));
        assert_eq!(make(&|c| c.addressing = fixed("10.0.2.15", 24, Some(gateway))), error);
    }
    for mtu in [0, 575, 1501, 9000] {
        let expected = E::Mtu { mtu, least: 576, most: 1500 };
        assert_eq!(make(&|c| c.mtu = Some(mtu)), Some(expected));
    }
    let v6 = |mtu| make(&|c| (c.mtu, c.addressing) = (Some(mtu), fixed("fec0::1", 64, None)));
    assert_eq!((v6(1279), v6(1280)), (Some(E::Mtu { mtu: 1279, least: 1280, most: 1500 }), None));
}

#[test]
fn a_smaller_mtu_limits_both_directions() {
    let (ours, theirs) = cable();
    let mut configuration = configuration(fixed("10.0.2.15", 24, None));
    configuration.mtu = Some(600);
    let sockets = forever(Sockets::new());
    let stack = NetStack::new(ours, sockets, &configuration, SECOND).unwrap();
    let stream = isboot_transport::tcp::TcpStream::new(
        stack,
        buffer(65536),
        buffer(65536),
        Default::default(),
    );
    let peer = Peer::new(theirs, &[("10.0.2.2", 24)]);
    let mut world = World { now: SECOND, stream: stream.unwrap(), peer };
    world.connect();
    world.run_until(SECOND, |world| {
        world.stream.send(|room| (room.len(), ()));
        world.peer.tcp().recv_queue() >= 65536
    });
    let longest = world.peer.end.cable().sent.iter().map(Vec::len).max().unwrap();
    assert_eq!(longest, 614);
}
