//! Static addresses of both families, and DHCP from the first question to the last renewal.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use isboot_transport::netstack::{
    Address, AddressState, Addressing, ConfigurationError, NetStack, Sockets,
};
use isboot_transport::stream::{ByteStream, StreamError, StreamState};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

use crate::wire::{End, cable};
use crate::{
    OUR_MAC, PEER_MAC, PORT, Peer, World, buffer, configuration, fixed, forever, ip, stack, stream,
};

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
        assert_eq!(make(&|c| c.mtu = mtu), Some(E::Mtu(mtu)));
    }
    let v6 = |mtu| make(&|c| (c.mtu, c.addressing) = (mtu, fixed("fec0::1", 64, None)));
    assert_eq!((v6(1279), v6(1280)), (Some(E::Mtu(1279)), None));
}

#[test]
fn a_smaller_mtu_limits_both_directions() {
    let (ours, theirs) = cable();
    let mut configuration = configuration(fixed("10.0.2.15", 24, None));
    configuration.mtu = 600;
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
    world.stream.send(|room| (room.len(), ()));
    world.run_until(SECOND, |world| world.peer.tcp().recv_queue() == 65536);
    let longest = world.peer.end.cable().sent.iter().map(Vec::len).max().unwrap();
    assert_eq!(longest, 614);
}

/// A DHCP server at frame level, written by hand.
struct Server {
    end: End,
    lease: u32,
    router: bool,
    /// Message types that came in.
    asked: Vec<DhcpMessageType>,
    answering: bool,
}

const OFFERED: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 77);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

impl Server {
    fn new(end: End) -> Self {
        Self { end, lease: 600, router: true, asked: Vec::new(), answering: true }
    }

    fn poll(&mut self) {
        while let Some(frame) = self.end.take() {
            if let Some(answer) = self.answer(&frame) {
                self.end.put(answer);
            }
        }
    }

    fn answer(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let frame = EthernetFrame::new_checked(frame).unwrap();
        if frame.ethertype() == EthernetProtocol::Arp {
            return (frame.payload()[24..28] == SERVER.octets())
                .then(|| arp_answer(frame.payload()));
        }
        let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
        let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
        let question = DhcpPacket::new_checked(datagram.payload()).ok()?;
        let question = DhcpRepr::parse(&question).ok()?;
        assert_eq!(question.client_hardware_address, EthernetAddress(OUR_MAC));
        self.asked.push(question.message_type);
        if !self.answering {
            return None;
        }
        let message_type = match question.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request => DhcpMessageType::Ack,
            other => panic!("{other:?}"),
        };
        let mut servers = heapless::Vec::new();
        servers.push(Ipv4Addr::new(10, 0, 2, 3)).unwrap();
        let reply = DhcpRepr {
            message_type,
            transaction_id: question.transaction_id,
            secs: 0,
            client_hardware_address: question.client_hardware_address,
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: OFFERED,
            server_ip: SERVER,
            router: self.router.then_some(SERVER),
            subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: false,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(SERVER),
            parameter_request_list: None,
            dns_servers: Some(servers),
            max_size: None,
            renew_duration: None,
            rebind_duration: None,
            lease_duration: Some(self.lease),
            additional_options: &[],
        };
        Some(udp_frame(&reply))
    }
}

fn arp_answer(question: &[u8]) -> Vec<u8> {
    let mut answer = vec![0; 42];
    answer[..6].copy_from_slice(&OUR_MAC);
    answer[6..12].copy_from_slice(&PEER_MAC);
    answer[12..14].copy_from_slice(&[0x08, 0x06]);
    answer[14..22].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, 2]);
    answer[22..28].copy_from_slice(&PEER_MAC);
    answer[28..32].copy_from_slice(&SERVER.octets());
    answer[32..42].copy_from_slice(&question[8..18]);
    answer
}

fn udp_frame(reply: &DhcpRepr<'_>) -> Vec<u8> {
    let caps = ChecksumCapabilities::default();
    let udp = UdpRepr { src_port: 67, dst_port: 68 };
    let ip = Ipv4Repr {
        src_addr: SERVER,
        dst_addr: OFFERED,
        next_header: IpProtocol::Udp,
        payload_len: 8 + reply.buffer_len(),
        hop_limit: 64,
    };
    let mut bytes = vec![0; 14 + 20 + 8 + reply.buffer_len()];
    EthernetRepr {
        src_addr: EthernetAddress(PEER_MAC),
        dst_addr: EthernetAddress(OUR_MAC),
        ethertype: EthernetProtocol::Ipv4,
    }
    .emit(&mut EthernetFrame::new_unchecked(&mut bytes));
    ip.emit(&mut Ipv4Packet::new_unchecked(&mut bytes[14..]), &caps);
    udp.emit(
        &mut UdpPacket::new_unchecked(&mut bytes[34..]),
        &SERVER.into(),
        &OFFERED.into(),
        reply.buffer_len(),
        |payload| reply.emit(&mut DhcpPacket::new_unchecked(payload)).unwrap(),
        &caps,
    );
    bytes
}

fn run(stack: &mut NetStack<'_, End>, server: &mut Server, now: &mut Duration, time: Duration) {
    let end = *now + time;
    while *now < end {
        *now += Duration::from_millis(50);
        stack.poll(*now);
        server.poll();
        stack.poll(*now);
    }
}

fn leased() -> AddressState {
    AddressState::Configured(Address {
        address: IpAddr::V4(OFFERED),
        prefix: 24,
        gateway: Some(IpAddr::V4(SERVER)),
        dns: Some(ip("10.0.2.3")),
        dhcp_server: Some(IpAddr::V4(SERVER)),
    })
}

#[test]
fn dhcp_gives_address_router_and_name_server_at_once() {
    let (ours, theirs) = cable();
    let mut server = Server::new(theirs);
    let mut stack = stack(ours, Addressing::Dhcp);
    assert_eq!(stack.address_state(), AddressState::Pending);
    let mut now = Duration::ZERO;
    run(&mut stack, &mut server, &mut now, Duration::from_millis(150));
    assert_eq!(stack.address_state(), leased());
    assert_eq!(server.asked, [DhcpMessageType::Discover, DhcpMessageType::Request]);
    assert!(stack.has_route(ip("8.8.8.8")));
}

#[test]
fn a_lease_is_renewed_while_running() {
    let (ours, theirs) = cable();
    let mut server = Server::new(theirs);
    let mut stack = stack(ours, Addressing::Dhcp);
    let mut now = Duration::ZERO;
    run(&mut stack, &mut server, &mut now, 3600 * SECOND);
    assert_eq!(stack.address_state(), leased());
    let renewals = server.asked.len() - 2;
    assert!((9..=13).contains(&renewals), "{renewals} in an hour of 600 s leases");
}

#[test]
fn a_lease_without_renewal_ends_and_comes_back() {
    let (ours, theirs) = cable();
    let mut server = Server::new(theirs);
    let mut stack = stack(ours, Addressing::Dhcp);
    let mut now = Duration::ZERO;
    run(&mut stack, &mut server, &mut now, SECOND);
    server.answering = false;
    run(&mut stack, &mut server, &mut now, 700 * SECOND);
    assert_eq!(stack.address_state(), AddressState::Pending);
    assert!(!stack.has_route(ip("10.0.2.2")));
    server.answering = true;
    run(&mut stack, &mut server, &mut now, 5 * SECOND);
    assert_eq!(stack.address_state(), leased());
}

#[test]
fn a_connection_over_a_lost_lease_fails_as_such() {
    let (ours, theirs) = cable();
    let mut server = Server::new(theirs.clone());
    let mut stream = stream(ours, Addressing::Dhcp);
    let mut now = Duration::ZERO;
    let step = |stream: &mut crate::TcpStream<'_, End>, server: &mut Server, now: &mut Duration| {
        *now += Duration::from_millis(50);
        stream.poll(*now);
        server.poll();
        stream.poll(*now);
    };
    while stream.stack().address_state() == AddressState::Pending {
        step(&mut stream, &mut server, &mut now);
    }
    server.answering = false;
    while now < 599 * SECOND {
        step(&mut stream, &mut server, &mut now);
    }
    stream.connect(now, SocketAddr::new(IpAddr::V4(SERVER), PORT)).unwrap();
    while stream.state() == StreamState::Connecting {
        step(&mut stream, &mut server, &mut now);
    }
    assert_eq!(stream.state(), StreamState::Failed(StreamError::NoAddress));
}

#[test]
fn a_lease_without_router_reaches_the_network_only() {
    let (ours, theirs) = cable();
    let mut server = Server { router: false, ..Server::new(theirs) };
    let mut stack = stack(ours, Addressing::Dhcp);
    let mut now = Duration::ZERO;
    run(&mut stack, &mut server, &mut now, SECOND);
    assert!(stack.has_route(ip("10.0.2.2")) && !stack.has_route(ip("8.8.8.8")));
}

#[test]
fn lost_questions_are_asked_again_within_seconds() {
    let (ours, theirs) = cable();
    let mut server = Server { answering: false, ..Server::new(theirs) };
    let mut stack = stack(ours, Addressing::Dhcp);
    let mut now = Duration::ZERO;
    run(&mut stack, &mut server, &mut now, 7 * SECOND);
    assert!((3..=5).contains(&server.asked.len()), "{:?}", server.asked);
    server.answering = true;
    run(&mut stack, &mut server, &mut now, 3 * SECOND);
    assert_eq!(stack.address_state(), leased());
}

#[test]
fn dhcp_waits_for_the_link_and_starts_with_it() {
    let (ours, theirs) = cable();
    theirs.cable().unplugged = true;
    let mut server = Server::new(theirs.clone());
    let mut stack = stack(ours, Addressing::Dhcp);
    let mut now = Duration::ZERO;
    run(&mut stack, &mut server, &mut now, 5 * SECOND);
    assert!(theirs.cable().sent.is_empty(), "nothing is sent into a dead link");
    assert!(stack.poll_at(now).unwrap() <= now + Duration::from_millis(10));
    theirs.cable().unplugged = false;
    run(&mut stack, &mut server, &mut now, Duration::from_millis(300));
    assert_eq!(stack.address_state(), leased());
}

#[test]
fn a_question_lost_with_the_link_is_asked_again_when_it_is_back() {
    let (ours, theirs) = cable();
    let mut server = Server { answering: false, ..Server::new(theirs.clone()) };
    let mut stack = stack(ours, Addressing::Dhcp);
    let mut now = Duration::ZERO;
    run(&mut stack, &mut server, &mut now, Duration::from_millis(100));
    assert_eq!(server.asked, [DhcpMessageType::Discover]);
    theirs.cable().unplugged = true;
    run(&mut stack, &mut server, &mut now, Duration::from_millis(600));
    theirs.cable().unplugged = false;
    server.answering = true;
    run(&mut stack, &mut server, &mut now, Duration::from_millis(300));
    assert_eq!(stack.address_state(), leased());
}
