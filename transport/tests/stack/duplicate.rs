//! Whether somebody else has our address: announced and watched, or asked for before its use.

use std::net::SocketAddr;
use std::time::Duration;

use isboot_transport::netstack::{
    AddressCheck, AddressState, Addressing, Configuration, Conflict, NetStack, Sockets,
};
use isboot_transport::stream::{ByteStream, StreamError, StreamState};
use isboot_transport::tcp::{TcpOptions, TcpStream};

use crate::frames::{
    ALL_NODES, BROADCAST, Mac, OVERRIDE, SOLICITED, advertisement, all_said, arp, behind_options,
    gratuitous_arp, said, solicitation,
};
use crate::wire::{End, cable};
use crate::{OUR_MAC, PORT, buffer, fixed, forever, ip};

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);
const OTHER_MAC: Mac = [0x52, 0x55, 0x0a, 0, 2, 99];
const OURS: &str = "10.0.2.15";
const OURS_V6: &str = "2001:db8::15";
const LINK_LOCAL: &str = "fe80::5054:ff:fe12:3456";

fn v4() -> Addressing {
    fixed(OURS, 24, None)
}

fn v6() -> Addressing {
    fixed(OURS_V6, 64, None)
}

/// Our end, what is on the cable, and the time.
struct Rig {
    stream: TcpStream<'static, End>,
    other: End,
    now: Duration,
}

impl Rig {
    fn new(addressing: Addressing, address_check: AddressCheck) -> Self {
        Self::seeded(addressing, address_check, 42)
    }

    fn seeded(addressing: Addressing, address_check: AddressCheck, seed: u64) -> Self {
        let (ours, other) = cable();
        let configuration =
            Configuration { address_check, ..Configuration::new(OUR_MAC, addressing, seed) };
        let sockets = forever(Sockets::new());
        let stack = NetStack::new(ours, sockets, &configuration, Duration::ZERO).unwrap();
        let (receive, transmit) = (buffer(64 << 10), buffer(64 << 10));
        let stream = TcpStream::new(stack, receive, transmit, TcpOptions::default()).unwrap();
        Self { stream, other, now: Duration::ZERO }
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.now += MILLISECOND;
            self.stream.poll(self.now);
        }
    }

    /// What we said about addresses, and when, for so long.
    fn listen(&mut self, time: Duration) -> Vec<(Duration, String)> {
        let (start, mut heard) = (self.now, Vec::new());
        self.other.cable().sent.clear();
        while self.now < start + time {
            self.run(MILLISECOND);
            let sent = std::mem::take(&mut self.other.cable().sent);
            heard.extend(sent.iter().filter_map(|frame| said(frame)).map(|said| (self.now, said)));
        }
        heard
    }

    fn state(&self) -> AddressState {
        self.stream.stack().address_state()
    }

    fn is_ready(&self) -> bool {
        matches!(self.state(), AddressState::Configured(_))
    }

    fn conflict(&mut self) -> Option<Conflict> {
        self.stream.stack_mut().conflict()
    }
}

fn conflict(address: &str) -> Conflict {
    Conflict { address: ip(address), owner: OTHER_MAC }
}

fn lines(heard: &[(Duration, String)]) -> Vec<&str> {
    heard.iter().map(|(_, said)| said.as_str()).collect()
}

const ANNOUNCEMENT: &str = "all: who has 10.0.2.15? says 10.0.2.15";
const PROBE: &str = "all: who has 10.0.2.15? says 0.0.0.0";

#[test]
fn an_address_is_used_at_once_and_announced_twice() {
    let mut rig = Rig::new(v4(), AddressCheck::Announce);
    assert!(rig.is_ready());
    rig.stream.connect(rig.now, SocketAddr::new(ip("10.0.2.2"), PORT)).unwrap();
    let heard = rig.listen(8 * SECOND);
    let announced: Vec<_> = heard.iter().filter(|(_, said)| said == ANNOUNCEMENT).collect();
    let times: Vec<_> = announced.iter().map(|(at, _)| at.as_millis()).collect();
    assert_eq!(times, [1, 2001]);
    assert_eq!(heard[1], (MILLISECOND, "all: who has 10.0.2.2? says 10.0.2.15".into()));
}

/// RFC 5227 §2.1: up to a second, three probes one to two seconds apart, two seconds, announced.
#[test]
fn an_address_that_is_asked_for_first_is_used_within_nine_seconds() {
    let mut waits = Vec::new();
    for seed in 0..20 {
        let mut rig = Rig::seeded(v4(), AddressCheck::Probe, seed);
        assert_eq!(rig.state(), AddressState::Pending);
        let portal = SocketAddr::new(ip("10.0.2.2"), PORT);
        let early = rig.stream.connect(rig.now, portal);
        assert_eq!(early, Err(StreamError::NoAddress));
        let heard = rig.listen(15 * SECOND);
        assert_eq!(lines(&heard), [PROBE, PROBE, PROBE, ANNOUNCEMENT, ANNOUNCEMENT]);
        let at = |index: usize| heard[index].0.as_millis();
        assert!(at(0) <= 1001);
        assert!((1000..=2001).contains(&(at(1) - at(0))), "{}", at(1) - at(0));
        assert!((1000..=2001).contains(&(at(2) - at(1))), "{}", at(2) - at(1));
        assert!((2000..=2001).contains(&(at(3) - at(2))), "{}", at(3) - at(2));
        assert!(at(3) <= 9000);
        waits.push(at(0));
        assert!(rig.is_ready());
    }
    waits.dedup();
    assert!(waits.len() > 10, "hosts that start at once do not ask at once: {waits:?}");
}

#[test]
fn an_address_that_somebody_defends_is_not_used() {
    let defences = [
        arp(OUR_MAC, 2, (OTHER_MAC, OURS), "0.0.0.0"),
        arp(BROADCAST, 1, (OTHER_MAC, OURS), "10.0.2.7"),
        gratuitous_arp(OTHER_MAC, OURS),
        // Somebody who asks for it at the same time.
        arp(BROADCAST, 1, (OTHER_MAC, "0.0.0.0"), OURS),
    ];
    for defence in defences {
        let mut rig = Rig::new(v4(), AddressCheck::Probe);
        rig.run(2 * SECOND);
        rig.other.put(defence);
        let heard = rig.listen(20 * SECOND);
        assert_eq!(lines(&heard), [] as [&str; 0], "nothing more is said");
        assert_eq!(rig.state(), AddressState::Duplicate(conflict(OURS)));
        let text = conflict(OURS).to_string();
        assert_eq!(text, "10.0.2.15 is in use by 52:55:0a:00:02:63");
        let portal = SocketAddr::new(ip("10.0.2.2"), PORT);
        assert_eq!(rig.stream.connect(rig.now, portal), Err(StreamError::NoAddress));
        // Nor is a question for it answered.
        rig.other.put(arp(BROADCAST, 1, ([2; 6], "10.0.2.2"), OURS));
        assert_eq!(lines(&rig.listen(SECOND)), [] as [&str; 0]);
    }
}

/// RFC 5227 §2.4 (c): an address with a disk behind it is kept, and defended once in ten seconds.
#[test]
fn a_conflict_that_comes_later_is_reported_and_defended_once_in_ten_seconds() {
    for check in [AddressCheck::Announce, AddressCheck::Probe] {
        let mut rig = Rig::new(v4(), check);
        rig.run(15 * SECOND);
        assert_eq!(rig.conflict(), None);
        rig.other.cable().sent.clear();
        for _ in 0..250 {
            rig.other.put(gratuitous_arp(OTHER_MAC, OURS));
            rig.run(100 * MILLISECOND);
        }
        assert_eq!(all_said(&rig.other), [ANNOUNCEMENT; 3]);
        assert_eq!(rig.conflict(), Some(conflict(OURS)));
        assert!(rig.is_ready());
    }
}

#[test]
fn questions_for_our_address_are_answered() {
    let mut rig = Rig::new(v4(), AddressCheck::Announce);
    rig.run(3 * SECOND);
    rig.other.cable().sent.clear();
    rig.other.put(arp(BROADCAST, 1, (OTHER_MAC, "10.0.2.2"), OURS));
    // Somebody who wants to have it (RFC 5227 §2.1.1).
    rig.other.put(arp(BROADCAST, 1, (OTHER_MAC, "0.0.0.0"), OURS));
    rig.other.put(arp(BROADCAST, 1, (OTHER_MAC, "10.0.2.2"), "10.0.2.3"));
    rig.run(MILLISECOND);
    assert_eq!(all_said(&rig.other), ["52:55:0a:00:02:63: 10.0.2.15 is here"; 2]);
    assert_eq!(rig.conflict(), None);
}

#[test]
fn our_own_words_thrown_back_are_no_conflict() {
    for addressing in [v4(), v6()] {
        for check in [AddressCheck::Announce, AddressCheck::Probe] {
            let mut rig = Rig::new(addressing, check);
            for _ in 0..15_000 {
                rig.run(MILLISECOND);
                let sent = std::mem::take(&mut rig.other.cable().sent);
                sent.into_iter().for_each(|frame| rig.other.put(frame));
            }
            assert_eq!(rig.conflict(), None);
            assert!(rig.is_ready());
        }
    }
}

#[test]
fn a_new_link_hears_of_the_address_again() {
    let mut rig = Rig::new(v4(), AddressCheck::Announce);
    rig.run(5 * SECOND);
    rig.other.cable().unplugged = true;
    rig.run(SECOND);
    rig.other.cable().unplugged = false;
    assert_eq!(lines(&rig.listen(5 * SECOND)), [ANNOUNCEMENT; 2]);
}

/// RFC 4862 §5.4, for both addresses; RFC 4429: used meanwhile.
#[test]
fn ipv6_addresses_are_asked_for_while_they_are_used() {
    let mut rig = Rig::new(v6(), AddressCheck::Announce);
    assert!(rig.is_ready());
    let heard = rig.listen(3 * SECOND);
    let about: Vec<_> = heard.into_iter().filter(|(_, said)| !said.contains("router")).collect();
    let (asked, told) = about.split_at(2);
    let who = |address| format!("all: who has {address}? says ::");
    assert_eq!(lines(asked), [who(OURS_V6), who(LINK_LOCAL)]);
    assert!(asked.iter().all(|(at, _)| *at == MILLISECOND));
    let here = |address| format!("all: {address} is here");
    assert_eq!(lines(told), [here(OURS_V6), here(LINK_LOCAL)]);
    assert!(told.iter().all(|(at, _)| *at == MILLISECOND + SECOND), "{told:?}");
}

#[test]
fn ipv6_addresses_that_are_asked_for_first_are_used_within_two_seconds() {
    let mut rig = Rig::new(v6(), AddressCheck::Probe);
    assert_eq!(rig.state(), AddressState::Pending);
    let start = rig.now;
    while !rig.is_ready() {
        rig.run(MILLISECOND);
        let early = rig.other.cable().sent.iter().any(|frame| said(frame).is_none());
        assert!(!early && rig.now - start <= 2 * SECOND + MILLISECOND);
    }
    assert!(rig.now - start >= SECOND);
}

#[test]
fn an_ipv6_address_that_somebody_has_is_not_used() {
    let owner = || advertisement(OTHER_MAC, OVERRIDE, OURS_V6, ALL_NODES);
    let rival = || solicitation(OTHER_MAC, "::", OURS_V6);
    for (check, frame) in [
        (AddressCheck::Announce, owner()),
        (AddressCheck::Announce, rival()),
        (AddressCheck::Probe, owner()),
        (AddressCheck::Probe, rival()),
    ] {
        let mut rig = Rig::new(v6(), check);
        rig.stream.connect(rig.now, SocketAddr::new(ip("2001:db8::2"), PORT)).ok();
        rig.run(500 * MILLISECOND);
        rig.other.put(frame);
        rig.run(10 * SECOND);
        assert_eq!(rig.state(), AddressState::Duplicate(conflict(OURS_V6)), "{check:?}");
        if check == AddressCheck::Announce {
            assert_eq!(rig.stream.state(), StreamState::Failed(StreamError::NoAddress));
        }
        rig.other.cable().sent.clear();
        rig.other.put(solicitation([2; 6], "2001:db8::2", OURS_V6));
        rig.run(SECOND);
        assert_eq!(all_said(&rig.other), [] as [&str; 0], "{check:?}");
    }
}

#[test]
fn an_ipv6_conflict_that_comes_later_is_reported_and_defended() {
    let mut rig = Rig::new(v6(), AddressCheck::Announce);
    rig.run(20 * SECOND);
    rig.other.cable().sent.clear();
    for _ in 0..150 {
        rig.other.put(advertisement(OTHER_MAC, OVERRIDE, OURS_V6, ALL_NODES));
        rig.run(100 * MILLISECOND);
    }
    assert_eq!(all_said(&rig.other), ["all: 2001:db8::15 is here"; 2]);
    assert_eq!(rig.conflict(), Some(conflict(OURS_V6)));
    assert!(rig.is_ready());
}

/// Somebody asks from no address, which smoltcp does not answer: so it would get ours.
#[test]
fn an_ipv6_address_of_ours_is_defended_against_those_who_want_it() {
    let mut rig = Rig::new(v6(), AddressCheck::Announce);
    rig.run(20 * SECOND);
    rig.other.cable().sent.clear();
    rig.other.put(solicitation(OTHER_MAC, "::", OURS_V6));
    rig.other.put(solicitation(OTHER_MAC, "fe80::99", OURS_V6));
    rig.run(MILLISECOND);
    let mut answers = all_said(&rig.other);
    answers.sort();
    let expected = ["52:55:0a:00:02:63: 2001:db8::15 is here", "all: 2001:db8::15 is here"];
    assert_eq!(answers, expected);
    assert!(rig.is_ready());
}

/// What RFC 4861 §7.1 does not allow says nothing: not from another link, not with a wrong sum.
#[test]
fn malformed_neighbour_discovery_is_not_heard() {
    let good = || advertisement(OTHER_MAC, OVERRIDE, OURS_V6, ALL_NODES);
    let mut routed = good();
    routed[21] = 254;
    let mut wrong_sum = good();
    wrong_sum[56] ^= 1;
    let cut = |length: usize| {
        let mut frame = good();
        frame.truncate(54 + length);
        let length = u16::try_from(length).unwrap().to_be_bytes();
        frame[18..20].copy_from_slice(&length);
        frame
    };
    let to_all_as_an_answer = advertisement(OTHER_MAC, SOLICITED, OURS_V6, ALL_NODES);
    let group = advertisement([1, 0, 0x5e, 0, 0, 1], OVERRIDE, OURS_V6, ALL_NODES);
    let frames =
        [routed, wrong_sum, cut(20), cut(26), to_all_as_an_answer, group, behind_options(good())];
    let mut rig = Rig::new(v6(), AddressCheck::Announce);
    for frame in frames {
        rig.other.put(frame);
    }
    rig.run(5 * SECOND);
    assert_eq!(rig.conflict(), None);
    assert!(rig.is_ready());
    rig.other.put(good());
    rig.run(MILLISECOND);
    assert_eq!(rig.conflict(), Some(conflict(OURS_V6)));
}
