//! DHCP from the first question to the last renewal, with servers that do what servers do.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use isboot_transport::netstack::{
    Address, AddressCheck, AddressState, Addressing, Configuration, Conflict, NetStack, Sockets,
};
use isboot_transport::stream::{ByteStream, StreamError, StreamState};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    DhcpMessageType, DhcpOption, DhcpPacket, DhcpRepr, EthernetAddress, EthernetFrame,
    EthernetProtocol, EthernetRepr, IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

use crate::frames::{all_said, arp};
use crate::wire::{End, cable};
use crate::{OUR_MAC, PEER_MAC, PORT, Peer, World, forever, ip, stack, stream};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const OFFERED: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 77);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// A DHCP server at frame level, written by hand.
struct Server {
    end: End,
    offered: Ipv4Addr,
    server: Ipv4Addr,
    lease: u32,
    /// T1 and T2, if it gives them.
    times: Option<(u32, u32)>,
    router: bool,
    name_server: Ipv4Addr,
    /// Requests are refused.
    refusing: bool,
    answering: bool,
    /// Its packets come from 0.0.0.0.
    nameless: bool,
    /// Somebody else on the wire answers for neighbours.
    has_peer: bool,
    /// Message types that came in, whether to everyone, and when.
    asked: Vec<DhcpMessageType>,
    heard: Vec<(Duration, DhcpMessageType, bool)>,
    now: Duration,
}

impl Server {
    fn new(end: End) -> Self {
        Self {
            end,
            offered: OFFERED,
            server: SERVER,
            lease: 600,
            times: None,
            router: true,
            name_server: Ipv4Addr::new(10, 0, 2, 3),
            refusing: false,
            answering: true,
            nameless: false,
            has_peer: false,
            asked: Vec::new(),
            heard: Vec::new(),
            now: Duration::ZERO,
        }
    }

    fn poll(&mut self) {
        let mut others = Vec::new();
        while let Some(frame) = self.end.take() {
            match self.answer(&frame) {
                Some(answer) => self.end.put(answer),
                None if self.has_peer => others.push(frame),
                None => {}
            }
        }
        self.end.give_back(others);
    }

    fn answer(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let frame = EthernetFrame::new_checked(bytes).unwrap();
        if frame.ethertype() == EthernetProtocol::Arp {
            let for_us = frame.payload()[24..28] == self.server.octets() && !self.has_peer;
            let asker = Ipv4Addr::from(*frame.payload()[14..].first_chunk::<4>().unwrap());
            let (us, asker) = (self.server.to_string(), asker.to_string());
            return for_us.then(|| arp(OUR_MAC, 2, (PEER_MAC, &us), &asker));
        }
        let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
        let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
        let question = DhcpPacket::new_checked(datagram.payload()).ok()?;
        let question = DhcpRepr::parse(&question).ok()?;
        assert_eq!(question.client_hardware_address, EthernetAddress(OUR_MAC));
        self.asked.push(question.message_type);
        let to_all = frame.dst_addr().is_broadcast();
        self.heard.push((self.now, question.message_type, to_all));
        if !self.answering {
            return None;
        }
        let message_type = match question.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            DhcpMessageType::Request if self.refusing => DhcpMessageType::Nak,
            DhcpMessageType::Request => DhcpMessageType::Ack,
            DhcpMessageType::Decline => {
                assert_eq!(question.requested_ip, Some(self.offered));
                assert_eq!(question.server_identifier, Some(self.server));
                return None;
            }
            other => panic!("{other:?}"),
        };
        let mut servers = heapless::Vec::new();
        servers.push(self.name_server).unwrap();
        // smoltcp reads them and does not write them.
        let (renew, rebind) = self.times.unwrap_or_default();
        let (renew, rebind) = (renew.to_be_bytes(), rebind.to_be_bytes());
        let options =
            [DhcpOption { kind: 58, data: &renew }, DhcpOption { kind: 59, data: &rebind }];
        let reply = DhcpRepr {
            message_type,
            transaction_id: question.transaction_id,
            secs: 0,
            client_hardware_address: question.client_hardware_address,
            client_ip: Ipv4Addr::UNSPECIFIED,
            your_ip: self.offered,
            server_ip: self.server,
            router: self.router.then_some(self.server),
            subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
            relay_agent_ip: Ipv4Addr::UNSPECIFIED,
            broadcast: false,
            requested_ip: None,
            client_identifier: None,
            server_identifier: Some(self.server),
            parameter_request_list: None,
            dns_servers: Some(servers),
            max_size: None,
            renew_duration: None,
            rebind_duration: None,
            lease_duration: Some(self.lease),
            additional_options: if self.times.is_some() { &options } else { &[] },
        };
        let from = if self.nameless { Ipv4Addr::UNSPECIFIED } else { self.server };
        Some(udp_frame(from, self.offered, &reply))
    }
}

fn udp_frame(server: Ipv4Addr, client: Ipv4Addr, reply: &DhcpRepr<'_>) -> Vec<u8> {
    let caps = ChecksumCapabilities::default();
    let udp = UdpRepr { src_port: 67, dst_port: 68 };
    let ip = Ipv4Repr {
        src_addr: server,
        dst_addr: client,
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
        &server.into(),
        &client.into(),
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
        server.now = *now;
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

fn kinds(server: &Server) -> Vec<(u64, bool)> {
    let requests = server.heard.iter().filter(|(_, kind, _)| *kind == DhcpMessageType::Request);
    requests.map(|(at, _, to_all)| (at.as_secs(), *to_all)).collect()
}

/// RFC 2131 §4.4.5: from T1 the server is asked, from T2 everyone, to the end of the lease.
#[test]
fn a_lease_is_renewed_at_its_servers_times() {
    let (ours, theirs) = cable();
    let mut server = Server { times: Some((100, 300)), ..Server::new(theirs) };
    let mut stack = stack(ours, Addressing::Dhcp);
    let mut now = Duration::ZERO;
    run(&mut stack, &mut server, &mut now, SECOND);
    server.answering = false;
    server.heard.clear();
    run(&mut stack, &mut server, &mut now, 610 * SECOND);
    let requests = kinds(&server);
    let (renewing, rebinding): (Vec<_>, Vec<_>) = requests.iter().partition(|(_, to_all)| !to_all);
    assert_eq!(renewing.iter().map(|(at, _)| *at).collect::<Vec<_>>()[..3], [100, 200, 250]);
    assert!(renewing.iter().all(|(at, _)| *at < 300), "{renewing:?}");
    assert_eq!(rebinding.iter().map(|(at, _)| *at).collect::<Vec<_>>()[..3], [300, 450, 525]);
    assert_eq!(stack.address_state(), AddressState::Pending);
    // The next question leaves with the end of the lease.
    let discover = server.heard.iter().find(|(_, kind, _)| *kind == DhcpMessageType::Discover);
    assert_eq!(discover.unwrap().0.as_secs(), 600);
}

/// An offer from no address: smoltcp would renew the lease there, and panic.
#[test]
fn a_server_without_an_address_is_not_heard() {
    let (ours, theirs) = cable();
    let mut server = Server { nameless: true, ..Server::new(theirs) };
    let mut stack = stack(ours, Addressing::Dhcp);
    let mut now = Duration::ZERO;
    run(&mut stack, &mut server, &mut now, 400 * SECOND);
    assert_eq!(stack.address_state(), AddressState::Pending);
    server.nameless = false;
    run(&mut stack, &mut server, &mut now, 5 * SECOND);
    assert_eq!(stack.address_state(), leased());
}

/// A lease of two minutes outlives the loss of more than two frames.
#[test]
fn a_short_lease_is_asked_for_often_enough() {
    let (ours, theirs) = cable();
    let mut server = Server { lease: 120, ..Server::new(theirs) };
    let mut stack = stack(ours, Addressing::Dhcp);
    let mut now = Duration::ZERO;
    run(&mut stack, &mut server, &mut now, SECOND);
    server.answering = false;
    server.heard.clear();
    run(&mut stack, &mut server, &mut now, 117 * SECOND);
    assert!(kinds(&server).len() >= 5, "{:?}", kinds(&server));
    assert_eq!(stack.address_state(), leased());
}

/// Leases of no time, or that are refused as soon as they are given, are no reason for a storm.
#[test]
fn a_lease_of_no_time_does_not_make_a_storm() {
    for lease in [0, 1, 3] {
        let (ours, theirs) = cable();
        let mut server = Server { lease, ..Server::new(theirs) };
        let mut stack = stack(ours, Addressing::Dhcp);
        let mut now = Duration::ZERO;
        run(&mut stack, &mut server, &mut now, 60 * SECOND);
        assert!(server.asked.len() <= 60 * 3, "{lease} s: {}", server.asked.len());
    }
    let (ours, theirs) = cable();
    let mut server = Server { lease: u32::MAX, times: Some((1, 0)), ..Server::new(theirs) };
    let mut stack = stack(ours, Addressing::Dhcp);
    let mut now = Duration::ZERO;
    run(&mut stack, &mut server, &mut now, 600 * SECOND);
    assert_eq!((stack.address_state(), server.asked.len()), (leased(), 2));
}

/// Another server knows the leases, too, and answers when everyone is asked.
#[test]
fn another_server_keeps_the_lease_when_the_first_is_gone() {
    let (ours, theirs) = cable();
    let mut server = Server::new(theirs.clone());
    let mut stack = stack(ours, Addressing::Dhcp);
    let mut now = Duration::ZERO;
    run(&mut stack, &mut server, &mut now, SECOND);
    server.answering = false;
    run(&mut stack, &mut server, &mut now, 500 * SECOND);
    let other = Ipv4Addr::new(10, 0, 2, 4);
    let mut server = Server { server: other, ..Server::new(theirs) };
    run(&mut stack, &mut server, &mut now, 3600 * SECOND);
    let AddressState::Configured(address) = stack.address_state() else {
        panic!("{:?}", stack.address_state());
    };
    assert_eq!(address.address, IpAddr::V4(OFFERED));
    assert!(!server.asked.contains(&DhcpMessageType::Discover));
}

/// A connection, its target, and a server on one cable.
struct Net {
    world: World,
    server: Server,
}

impl Net {
    fn connected(lease: u32) -> Self {
        let (ours, theirs) = cable();
        let server = Server { lease, has_peer: true, ..Server::new(theirs.clone()) };
        let stream = stream(ours, Addressing::Dhcp);
        let peer = Peer::new(theirs, &[("10.0.2.2", 24)]);
        let mut net = Self { world: World { now: SECOND, stream, peer }, server };
        while net.world.stream.stack().address_state() == AddressState::Pending {
            net.step(MILLISECOND);
        }
        net.connect();
        net
    }

    fn connect(&mut self) {
        let portal = SocketAddr::new(IpAddr::V4(SERVER), PORT);
        self.world.peer.listen();
        self.world.stream.connect(self.world.now, portal).unwrap();
        while self.world.stream.state() == StreamState::Connecting {
            self.step(MILLISECOND);
        }
        assert_eq!(self.world.stream.state(), StreamState::Open);
    }

    fn step(&mut self, time: Duration) {
        self.world.now += time;
        self.world.stream.poll(self.world.now);
        self.server.now = self.world.now;
        self.server.poll();
        self.world.peer.poll(self.world.now);
        self.world.stream.poll(self.world.now);
    }

    fn step_for(&mut self, time: Duration) {
        let end = self.world.now + time;
        while self.world.now < end {
            self.step(5 * MILLISECOND);
        }
    }

    /// Some bytes; says for how long they were on their way.
    fn exchange(&mut self) -> Duration {
        let start = self.world.now;
        self.world.stream.send(|room| (48.min(room.len()), ()));
        while self.world.peer.tcp().recv_queue() < 48 {
            assert!(self.world.now - start < 5 * SECOND, "{:?}", self.world.stream.state());
            self.step(MILLISECOND);
        }
        self.world.peer.tcp().recv(|bytes| (bytes.len(), ())).unwrap();
        self.world.now - start
    }
}

#[test]
fn a_connection_lives_through_renewals() {
    let mut net = Net::connected(60);
    for round in 0..120 {
        // What else the server says may change: that costs the connection nothing, either.
        net.server.name_server = Ipv4Addr::new(10, 0, 2, 200 + round / 30);
        net.server.router = round % 20 < 10;
        net.step_for(5 * SECOND);
        assert!(net.exchange() <= 2 * MILLISECOND, "round {round}");
    }
    let renewals = net.server.asked.len() - 2;
    assert!((18..=22).contains(&renewals), "{renewals}");
    let sent = all_said(&net.world.peer.end);
    let asked_all = sent.iter().filter(|said| said.starts_with("all: who has 10.0.2.2?")).count();
    assert!(asked_all <= 2, "{sent:?}");
}

/// The session hears at once that its connection cannot go on, and the next one works.
#[test]
fn another_address_ends_the_connection_as_such() {
    let other = Ipv4Addr::new(10, 0, 2, 78);
    // Given in the answer to the renewal, or after that was refused.
    for refusing in [false, true] {
        let mut net = Net::connected(60);
        net.server.offered = other;
        net.server.refusing = refusing;
        let changed = |net: &Net| match net.world.stream.stack().address_state() {
            AddressState::Configured(address) => address.address == IpAddr::V4(other),
            _ => {
                assert!(refusing);
                false
            }
        };
        let mut failed_after = None;
        while !changed(&net) {
            net.step(5 * MILLISECOND);
            if net.world.stream.state() != StreamState::Open {
                failed_after.get_or_insert(net.world.now);
                net.server.refusing = false;
            }
        }
        net.step(5 * MILLISECOND);
        let state = net.world.stream.state();
        assert_eq!(state, StreamState::Failed(StreamError::NoAddress), "{refusing}");
        net.connect();
        assert!(net.exchange() <= 2 * MILLISECOND);
        let leaves_from = net.world.peer.tcp().remote_endpoint().unwrap().addr;
        assert_eq!(IpAddr::from(leaves_from), IpAddr::V4(other));
        assert_eq!(refusing, failed_after.is_some());
    }
}

/// Half a second or half of the lease without a link: the address is the same, nothing is asked
/// anew, and the lease is renewed when it would have been.
#[test]
fn a_lease_outlives_a_flap_of_the_link() {
    for flap in [SECOND / 2, 200 * SECOND] {
        let (ours, theirs) = cable();
        let mut server = Server::new(theirs.clone());
        let mut stack = stack(ours, Addressing::Dhcp);
        let mut now = Duration::ZERO;
        run(&mut stack, &mut server, &mut now, 50 * SECOND);
        theirs.cable().unplugged = true;
        run(&mut stack, &mut server, &mut now, flap);
        theirs.cable().unplugged = false;
        run(&mut stack, &mut server, &mut now, 290 * SECOND - flap);
        assert_eq!(stack.address_state(), leased(), "{flap:?}");
        run(&mut stack, &mut server, &mut now, 60 * SECOND);
        let renewed = kinds(&server);
        assert_eq!(renewed.len(), 2, "{renewed:?}");
        assert!((300..302).contains(&renewed[1].0) && !renewed[1].1, "{renewed:?}");
        assert_eq!(stack.address_state(), leased(), "{flap:?}");
    }
}

/// One that ended meanwhile is not used when the link is back.
#[test]
fn a_lease_does_not_outlive_its_end_without_a_link() {
    let (ours, theirs) = cable();
    let mut server = Server::new(theirs.clone());
    let mut stack = stack(ours, Addressing::Dhcp);
    let mut now = Duration::ZERO;
    run(&mut stack, &mut server, &mut now, SECOND);
    theirs.cable().unplugged = true;
    run(&mut stack, &mut server, &mut now, 700 * SECOND);
    theirs.cable().unplugged = false;
    theirs.cable().sent.clear();
    server.answering = false;
    run(&mut stack, &mut server, &mut now, SECOND);
    assert_eq!(stack.address_state(), AddressState::Pending);
    server.answering = true;
    run(&mut stack, &mut server, &mut now, 3 * SECOND);
    assert_eq!(stack.address_state(), leased());
}

/// RFC 2131 §3.1.5: the address that somebody else has goes back to the server.
#[test]
fn a_lease_of_somebodys_address_is_declined() {
    let (ours, theirs) = cable();
    let mut server = Server::new(theirs.clone());
    let configuration = Configuration {
        address_check: AddressCheck::Probe,
        ..Configuration::new(OUR_MAC, Addressing::Dhcp, 42)
    };
    let sockets = forever(Sockets::new());
    let mut stack = NetStack::new(ours, sockets, &configuration, Duration::ZERO).unwrap();
    let mut now = Duration::ZERO;
    run(&mut stack, &mut server, &mut now, 2 * SECOND);
    assert_eq!(stack.address_state(), AddressState::Pending, "still asked for");
    let owner = [2, 0, 0, 0, 0, 9];
    theirs.put(arp(OUR_MAC, 2, (owner, &OFFERED.to_string()), "0.0.0.0"));
    run(&mut stack, &mut server, &mut now, SECOND);
    assert_eq!(server.asked.last(), Some(&DhcpMessageType::Decline));
    assert_eq!(stack.conflict(), Some(Conflict { address: IpAddr::V4(OFFERED), owner }));
    let asked = server.asked.len();
    server.offered = Ipv4Addr::new(10, 0, 2, 78);
    run(&mut stack, &mut server, &mut now, 8 * SECOND);
    assert_eq!(server.asked.len(), asked, "ten seconds of silence");
    run(&mut stack, &mut server, &mut now, 12 * SECOND);
    assert!(matches!(stack.address_state(), AddressState::Configured(_)));
}
