//! What routers say: addresses made of their prefixes, the way out, name servers, an MTU, each as
//! long as it holds; and what is not taken from anybody.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use isboot_transport::netstack::{Address, AddressCheck, AddressState, Addressing, Configuration};
use isboot_transport::netstack::{NetStack, Sockets};
use isboot_transport::stream::{ByteStream, StreamError, StreamState};

use crate::frames::{Mac, icmpv6, said};
use crate::wire::{End, cable};
use crate::{OUR_MAC, PEER_MAC, PORT, Peer, World, fixed, forever, ip, stack, stream};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const HOUR: u32 = 3600;
const ROUTER: &str = "fe80::2";
const SECOND_ROUTER: &str = "fe80::3";
/// The address that our MAC address makes of `2001:db8::/64`.
const OURS: &str = "2001:db8::5054:ff:fe12:3456";
const LINK_LOCAL: &str = "fe80::5054:ff:fe12:3456";

/// A router advertisement in the making.
#[derive(Clone)]
struct Advertisement<'a> {
    from: &'a str,
    to: &'a str,
    mac: Mac,
    hop_limit: u8,
    flags: u8,
    lifetime: u16,
    options: Vec<u8>,
}

const L: u8 = 0x80;
const A: u8 = 0x40;

impl Advertisement<'_> {
    fn new() -> Self {
        Self {
            from: ROUTER,
            to: "ff02::1",
            mac: PEER_MAC,
            hop_limit: 255,
            flags: 0,
            lifetime: 1800,
            options: vec![],
        }
    }

    fn option(mut self, kind: u8, data: &[u8]) -> Self {
        assert_eq!((data.len() + 2) % 8, 0);
        self.options.extend([kind, ((data.len() + 2) / 8) as u8]);
        self.options.extend(data);
        self
    }

    fn prefix(self, prefix: &str, length: u8, flags: u8, valid: u32, preferred: u32) -> Self {
        let address: Ipv6Addr = prefix.parse().unwrap();
        let (valid, preferred) = (valid.to_be_bytes(), preferred.to_be_bytes());
        let data = [&[length, flags][..], &valid, &preferred, &[0; 4], &address.octets()].concat();
        self.option(3, &data)
    }

    fn mtu(self, mtu: u32) -> Self {
        self.option(5, &[&[0, 0][..], &mtu.to_be_bytes()].concat())
    }

    fn name_servers(self, servers: &[&str], lifetime: u32) -> Self {
        let servers =
            servers.iter().flat_map(|server| server.parse::<Ipv6Addr>().unwrap().octets());
        let head = [&[0, 0][..], &lifetime.to_be_bytes()].concat();
        self.option(25, &head.into_iter().chain(servers).collect::<Vec<_>>())
    }

    fn frame(&self) -> Vec<u8> {
        let [a, b] = self.lifetime.to_be_bytes();
        let header = [134, 0, 0, 0, 64, self.flags, a, b, 0, 0, 0, 0, 0, 0, 0, 0];
        let message = [&header[..], &self.options].concat();
        icmpv6(self.mac, self.hop_limit, (self.from, self.to), &message)
    }
}

fn usual() -> Advertisement<'static> {
    Advertisement::new().prefix("2001:db8::", 64, L | A, 2 * HOUR, HOUR)
}

/// Our end, the other end of the cable, and the time.
struct Link {
    stack: NetStack<'static, End>,
    other: End,
    now: Duration,
}

impl Link {
    fn new(addressing: Addressing) -> Self {
        let (ours, other) = cable();
        Self { stack: stack(ours, addressing), other, now: Duration::ZERO }
    }

    fn slaac() -> Self {
        Self::new(Addressing::Slaac)
    }

    fn hear(&mut self, advertisement: &Advertisement<'_>) {
        self.other.put(advertisement.frame());
        self.run(MILLISECOND);
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now = end.min(self.now + 10 * MILLISECOND);
            self.stack.poll(self.now);
        }
    }

    /// Time passes as it does for a host that sleeps until there is something to do.
    fn sleep(&mut self, time: Duration) {
        let (end, mut turns) = (self.now + time, 0);
        while self.now < end {
            let next = self.stack.poll_at(self.now).unwrap();
            self.now = next.max(self.now + MILLISECOND).min(end);
            self.stack.poll(self.now);
            turns += 1;
        }
        assert!(turns as u64 <= time.as_secs() * 3 + 20, "{turns} turns in {time:?}");
    }

    fn address(&self) -> Option<Address> {
        match self.stack.address_state() {
            AddressState::Configured(address) => Some(address),
            AddressState::Pending => None,
            AddressState::Duplicate(conflict) => panic!("{conflict}"),
        }
    }

    fn is_ours(&self, address: &str) -> bool {
        self.address().is_some_and(|ours| ours.address == ip(address))
    }

    fn gateway(&self) -> Option<std::net::IpAddr> {
        self.address().and_then(|address| address.gateway)
    }
}

#[test]
fn an_advertisement_gives_address_router_and_name_server_at_once() {
    let mut link = Link::slaac();
    link.run(10 * MILLISECOND);
    assert_eq!(link.stack.address_state(), AddressState::Pending);
    assert!(!link.stack.has_route(ip("2001:db8:1::9")));
    link.hear(&usual().name_servers(&["2001:db8::53", "2001:db8::54"], 600));
    let expected = Address {
        address: ip(OURS),
        prefix: 64,
        gateway: Some(ip(ROUTER)),
        dns: Some(ip("2001:db8::53")),
        dhcp_server: None,
    };
    assert_eq!(link.address(), Some(expected));
    assert!(link.stack.has_route(ip("2001:db8:1::9")));
}

/// RFC 4861 §6.3.7: three times, four seconds apart, and none when a router has spoken.
#[test]
fn routers_are_asked_three_times_and_no_more() {
    let asked = |link: &Link| {
        let sent = &link.other.cable().sent;
        let about = sent.iter().filter_map(|frame| said(frame));
        about.filter(|said| said.contains("routers?")).collect::<Vec<_>>()
    };
    let mut link = Link::slaac();
    let mut times = Vec::new();
    for _ in 0..60_000 {
        let before = asked(&link).len();
        link.run(MILLISECOND);
        if asked(&link).len() > before {
            times.push(link.now.as_millis());
        }
    }
    assert_eq!(times, [1, 4001, 8001]);
    assert_eq!(asked(&link), vec![format!("all: routers? says {LINK_LOCAL}"); 3]);
    let mut link = Link::slaac();
    link.run(SECOND);
    link.hear(&usual());
    link.run(30 * SECOND);
    assert_eq!(asked(&link).len(), 1);
    // A new link may have other routers.
    link.other.cable().unplugged = true;
    link.run(SECOND);
    link.other.cable().unplugged = false;
    link.run(SECOND);
    assert_eq!(asked(&link).len(), 2);
}

/// From the first packet to the last over a router, and to a target on the link.
#[test]
fn connections_open_from_an_address_that_was_made() {
    for (peer, portal) in [
        (&[("2001:db8::9", 64), ("fe80::2", 64)], "2001:db8::9"),
        (&[("2001:db8:7::9", 16), ("fe80::2", 64)], "2001:db8:7::9"),
    ] {
        let (ours, theirs) = cable();
        let stream = stream(ours, Addressing::Slaac);
        let mut world = World { now: SECOND, stream, peer: Peer::new(theirs, peer) };
        world.step(MILLISECOND);
        let portal = SocketAddr::new(ip(portal), PORT);
        assert_eq!(world.stream.connect(world.now, portal), Err(StreamError::NoAddress));
        world.peer.end.put(usual().frame());
        world.step(MILLISECOND);
        world.stream.connect(world.now, portal).unwrap();
        world.run_until(2 * SECOND, |world| world.stream.state() == StreamState::Open);
        let from = world.peer.tcp().remote_endpoint().unwrap().addr;
        assert_eq!(std::net::IpAddr::from(from), ip(OURS));
    }
}

/// Without any router, at once: the scope of a link-local address is the interface.
#[test]
fn a_target_at_a_link_local_address_needs_no_router() {
    for addressing in
        [Addressing::Slaac, fixed("2001:db8::15", 64, None), fixed("fe80::15", 64, None)]
    {
        let (ours, theirs) = cable();
        let stream = stream(ours, addressing);
        let mut world = World { now: SECOND, stream, peer: Peer::new(theirs, &[("fe80::9", 64)]) };
        world.step(MILLISECOND);
        world.stream.connect(world.now, SocketAddr::new(ip("fe80::9"), PORT)).unwrap();
        world.run_until(SECOND, |world| world.stream.state() == StreamState::Open);
    }
}

/// A prefix with L and without A: its addresses are on the link, and none of them is ours.
#[test]
fn what_a_prefix_says_to_be_on_the_link_is_reached_without_a_router() {
    let (ours, theirs) = cable();
    let stream = stream(ours, fixed("2001:db8:1::15", 64, None));
    let peer = Peer::new(theirs, &[("2001:db8:2::9", 32)]);
    let mut world = World { now: SECOND, stream, peer };
    world.step(MILLISECOND);
    let portal = SocketAddr::new(ip("2001:db8:2::9"), PORT);
    assert_eq!(world.stream.connect(world.now, portal), Err(StreamError::NoRoute));
    let said = Advertisement { lifetime: 0, ..Advertisement::new() };
    world.peer.end.put(said.prefix("2001:db8:2::", 64, L, HOUR, 0).frame());
    world.step(MILLISECOND);
    world.stream.connect(world.now, portal).unwrap();
    world.run_until(2 * SECOND, |world| world.stream.state() == StreamState::Open);
}

/// A prefix with A and without L: an address, and everything else of it behind the router.
#[test]
fn a_prefix_that_is_not_on_the_link_is_behind_the_router() {
    let mut link = Link::slaac();
    link.hear(&Advertisement::new().prefix("2001:db8::", 64, A, HOUR, HOUR));
    let address = link.address().unwrap();
    assert_eq!((address.address, address.prefix), (ip(OURS), 128));
    link.hear(&Advertisement { lifetime: 0, ..Advertisement::new() });
    assert!(!link.stack.has_route(ip("2001:db8::9")));
}

#[test]
fn a_static_address_takes_its_router_from_the_link_when_it_names_none() {
    let mut link = Link::new(fixed("2001:db8:1::15", 64, None));
    assert!(!link.stack.has_route(ip("2001:db8:2::9")));
    link.hear(&usual().name_servers(&["2001:db8::53"], 600));
    let address = link.address().unwrap();
    assert_eq!(address.address, ip("2001:db8:1::15"));
    assert_eq!((address.gateway, address.dns), (Some(ip(ROUTER)), Some(ip("2001:db8::53"))));
    assert!(link.stack.has_route(ip("2001:db8:2::9")));
    let mut link = Link::new(fixed("2001:db8:1::15", 64, Some("fe80::77")));
    link.hear(&usual());
    assert_eq!(link.gateway(), Some(ip("fe80::77")), "what is configured is not talked over");
}

#[test]
fn a_router_is_used_as_long_as_it_says() {
    let mut link = Link::slaac();
    link.hear(&usual());
    assert_eq!(link.gateway(), Some(ip(ROUTER)));
    link.sleep(1799 * SECOND);
    assert_eq!(link.gateway(), Some(ip(ROUTER)));
    link.sleep(2 * SECOND);
    assert_eq!(link.gateway(), None);
    assert!(link.is_ours(OURS) && !link.stack.has_route(ip("2001:db8:1::9")));
    link.hear(&usual());
    link.hear(&Advertisement { lifetime: 0, ..usual() });
    assert_eq!(link.gateway(), None);
}

/// RFC 4862 §5.5.3, §5.5.4: the preferred one first, none after its end.
#[test]
fn an_address_is_used_as_long_as_its_prefix_holds() {
    let mut link = Link::slaac();
    link.hear(&Advertisement::new().prefix("2001:db8::", 64, L | A, 600, 300));
    link.hear(&Advertisement::new().prefix("2001:db8:1::", 64, L | A, 3000, 3000));
    assert!(link.is_ours(OURS));
    link.sleep(301 * SECOND);
    assert!(link.is_ours("2001:db8:1::5054:ff:fe12:3456"), "deprecated, but there");
    assert!(link.stack.has_route(ip("2001:db8::9")));
    link.hear(&Advertisement { lifetime: 0, ..Advertisement::new() });
    link.sleep(300 * SECOND);
    assert!(!link.stack.has_route(ip("2001:db8::9")));
    link.sleep(2400 * SECOND);
    assert_eq!(link.stack.address_state(), AddressState::Pending);
    // Without end.
    link.hear(&Advertisement::new().prefix("2001:db8::", 64, L | A, u32::MAX, u32::MAX));
    link.sleep(100_000 * SECOND);
    assert!(link.is_ours(OURS));
}

/// RFC 4862 §5.5.3 e: who can send frames must not be able to take addresses away by one.
#[test]
fn a_prefix_is_not_ended_by_a_word() {
    let mut link = Link::slaac();
    link.hear(&Advertisement::new().prefix("2001:db8::", 64, L | A, 10 * HOUR, 10 * HOUR));
    for valid in [0, 1, 60] {
        link.hear(&Advertisement::new().prefix("2001:db8::", 64, L | A, valid, 0));
    }
    link.sleep(7100 * SECOND);
    assert!(link.is_ours(OURS));
    link.hear(&Advertisement::new().prefix("2001:db8::", 64, L | A, 0, 0));
    link.sleep(200 * SECOND);
    assert_eq!(link.stack.address_state(), AddressState::Pending, "two hours are its end");
}

/// The one in use does not answer any more: the other one.
#[test]
fn a_silent_router_is_left_for_another() {
    let (ours, theirs) = cable();
    let stream = stream(ours, Addressing::Slaac);
    let peer = Peer::new(theirs, &[("2001:db8:7::9", 16), (SECOND_ROUTER, 64)]);
    let mut world = World { now: SECOND, stream, peer };
    world.peer.end.put(usual().frame());
    world.peer.end.put(Advertisement { from: SECOND_ROUTER, ..usual() }.frame());
    world.step(MILLISECOND);
    let portal = SocketAddr::new(ip("2001:db8:7::9"), PORT);
    world.stream.connect(world.now, portal).unwrap();
    let took = world.run_until(5 * SECOND, |world| world.stream.state() == StreamState::Open);
    println!("open after {took:?}");
}

/// RFC 4861 §6.1.2 and what else could only do harm.
#[test]
fn hostile_and_malformed_advertisements_are_ignored() {
    let prefix =
        |prefix: &str, length| Advertisement::new().prefix(prefix, length, L | A, HOUR, HOUR);
    let mut cut = usual();
    cut.options.truncate(20);
    let mut none = usual();
    none.options[1] = 0;
    let mut long = usual();
    long.options[1] = 200;
    let bad = [
        Advertisement { hop_limit: 254, ..usual() },
        Advertisement { from: "2001:db8::2", ..usual() },
        Advertisement { from: "::", ..usual() },
        Advertisement { from: "ff02::2", ..usual() },
        cut,
        none,
        long,
    ];
    for advertisement in &bad {
        let mut link = Link::slaac();
        link.hear(advertisement);
        assert_eq!(link.stack.address_state(), AddressState::Pending);
        assert!(!link.stack.has_route(ip("2001:db8::9")));
    }
    let mut wrong_sum = usual().frame();
    wrong_sum[60] ^= 1;
    let mut link = Link::slaac();
    link.other.put(wrong_sum);
    link.run(MILLISECOND);
    assert_eq!(link.stack.address_state(), AddressState::Pending);
    // A router, and prefixes that nobody makes an address of.
    let useless = [
        prefix("fe80::", 64),
        prefix("ff02::", 64),
        prefix("::", 64),
        prefix("::", 0),
        prefix("2001:db8::", 63),
        prefix("2001:db8::", 65),
        prefix("2001:db8::", 129),
        prefix("2001:db8::", 255),
        Advertisement::new().prefix("2001:db8::", 64, L | A, 60, 61),
        Advertisement::new().prefix("2001:db8::", 64, L | A, 0, 0),
        Advertisement::new().prefix("2001:db8::", 64, 0, HOUR, HOUR),
        Advertisement::new().prefix("2001:db8::", 64, L, HOUR, HOUR),
    ];
    for advertisement in &useless {
        let mut link = Link::slaac();
        link.hear(advertisement);
        assert_eq!(link.stack.address_state(), AddressState::Pending);
    }
}

/// Ten thousand routers, prefixes and name servers: the first few stay what they are.
#[test]
fn a_flood_of_advertisements_changes_nothing() {
    let mut link = Link::slaac();
    link.hear(&usual().name_servers(&["2001:db8::53"], 6000));
    let before = link.address();
    for number in 1..10_000_u32 {
        let [_, _, a, b] = number.to_be_bytes();
        let router = format!("fe80::{a:x}:{b:x}:99");
        let other = Advertisement { from: &router, lifetime: u16::MAX, ..Advertisement::new() }
            .prefix(&format!("2001:{a:x}:{b:x}:1::"), 64, L | A, u32::MAX, u32::MAX)
            .prefix(&format!("2001:{a:x}:{b:x}:2::"), 64, L | A, u32::MAX, u32::MAX)
            .name_servers(
                &["2001:db8::66", "2001:db8::67", "2001:db8::68", "2001:db8::69"],
                u32::MAX,
            );
        link.hear(&other);
    }
    assert_eq!(link.address(), before);
    let sent = link.other.cable().sent.len();
    assert!(sent < 60, "{sent} frames of ours");
}

#[test]
fn an_mtu_of_the_link_is_kept_to_within_bounds() {
    for (said, expected) in
        [(1400, 1400), (1280, 1280), (1279, 1500), (0, 1500), (9000, 1500), (u32::MAX, 1500)]
    {
        let mut link = Link::slaac();
        link.hear(&usual().mtu(said));
        assert_eq!(link.stack.mtu(), expected, "{said}");
        assert!(link.is_ours(OURS) && link.gateway() == Some(ip(ROUTER)));
    }
    // An open connection goes on with smaller packets.
    let (ours, theirs) = cable();
    let stream = stream(ours, Addressing::Slaac);
    let peer = Peer::new(theirs, &[("2001:db8::9", 64), ("fe80::2", 64)]);
    let mut world = World { now: SECOND, stream, peer };
    world.peer.end.put(usual().frame());
    world.step(MILLISECOND);
    world.stream.connect(world.now, SocketAddr::new(ip("2001:db8::9"), PORT)).unwrap();
    world.run_until(SECOND, |world| world.stream.state() == StreamState::Open);
    let longest = |world: &mut World| {
        world.peer.end.cable().sent.clear();
        let length = world.stream.send(|room| (room.len(), room.len())).unwrap();
        assert!(length > 3000);
        world.run_until(SECOND, |world| world.peer.tcp().recv_queue() == length);
        while world.peer.tcp().can_recv() {
            world.peer.tcp().recv(|bytes| (bytes.len(), ())).unwrap();
        }
        world.peer.end.cable().sent.iter().map(Vec::len).max().unwrap() - 14
    };
    assert_eq!(longest(&mut world), 1500);
    world.peer.end.put(usual().mtu(1300).frame());
    world.step(MILLISECOND);
    assert_eq!(longest(&mut world), 1300);
}

/// Asked for first, as the operator wants it: the made address, too.
#[test]
fn a_made_address_is_asked_for_first_where_that_is_wanted() {
    let (ours, other) = cable();
    let configuration = Configuration {
        address_check: AddressCheck::Probe,
        ..Configuration::new(OUR_MAC, Addressing::Slaac, 42)
    };
    let sockets = forever(Sockets::new());
    let stack = NetStack::new(ours, sockets, &configuration, Duration::ZERO).unwrap();
    let mut link = Link { stack, other, now: Duration::ZERO };
    link.hear(&usual());
    assert_eq!(link.stack.address_state(), AddressState::Pending);
    link.run(3 * SECOND);
    assert!(link.is_ours(OURS));
}
