//! B-RD: the target sends us elsewhere.

use std::net::SocketAddr;
use std::time::Duration;

use isboot::login::{AddressProblem, LoginError, Misbehaviour};
use isboot::pdu::bhs::BasicHeaderSegment;
use isboot::pdu::request::{LoginRequest, Request};
use isboot::pdu::response::{LoginResponse, Response};
use isboot::pdu::serial::SerialNumber;
use isboot::session::{Error, LinkFailure, SessionConfig, Waiting};
use isboot_tests::pair::{
    Break, DiscoveryPair, MIB, NAME, NUMBERS, Pair, Portal, Random, Setting, Wire, target,
};
use isboot_tests::target::{
    Builder, Credentials, Handling, Injection, Lun, Numbering, Pdu, Redirect, Target,
};

use crate::chap_script::{OURS, Shared, THEIRS, mutual, one_way, shared};

const HERE: SocketAddr = Wire::PORTAL;

fn at(portal: &str) -> SocketAddr {
    portal.parse().expect("a portal")
}

// --- the target's side ---

/// The request of a connection that is answered by a redirection.
type When = fn(&LoginRequest, &str) -> bool;

fn at_first(_: &LoginRequest, text: &str) -> bool {
    text.contains("InitiatorName=")
}

/// One redirection.
#[derive(Clone)]
struct Move {
    detail: u8,
    /// The whole text of the response.
    text: Vec<u8>,
    when: When,
    /// What the bytes of the header are that mean nothing in a redirection.
    junk: Option<u64>,
}

/// Moved for now, to these addresses.
fn to(addresses: &[&str]) -> Move {
    let pairs = addresses.iter().map(|address| format!("TargetAddress={address}\0"));
    Move { detail: 1, text: pairs.collect::<String>().into(), when: at_first, junk: None }
}

/// Moved for good.
fn for_good_to(address: &str) -> Move {
    Move { detail: 2, ..to(&[address]) }
}

impl Move {
    fn answer(&self, request: &LoginRequest) -> Injection {
        let response = LoginResponse {
            transit: false,
            text_continues: false,
            current_stage: request.current_stage,
            next_stage: request.current_stage,
            version_max: 0,
            version_active: 0,
            isid: request.isid,
            tsih: 0,
            initiator_task_tag: request.initiator_task_tag,
            numbers: NUMBERS,
            status_class: 1,
            status_detail: self.detail,
            data_segment_length: 0,
        };
        let mut pdu = Pdu::new(Response::Login(response).emit(), self.text.clone());
        if let Some(seed) = self.junk {
            let mut random = Random(seed);
            let mut bytes = *pdu.header.as_bytes();
            // T, C, CSG and NSG; StatSN, ExpCmdSN, MaxCmdSN.
            bytes[1] = random.bytes(1)[0] & 0b1000_1111;
            bytes[24..36].copy_from_slice(&random.bytes(12));
            pdu.header = BasicHeaderSegment::from_bytes(bytes);
        }
        Injection { pdu, numbering: Numbering::Exact }
    }
}

/// A Login Request with the number of its connection.
type Login = (u64, LoginRequest, String);

/// What came, for the test to look at.
type Logins = Shared<Vec<Login>>;

/// A target whose connections are sent elsewhere, each by what `moves` has for its number.
fn moving(target: &Target, mut moves: impl FnMut(u64) -> Option<Move> + Send + 'static) -> Logins {
    let logins: Logins = shared(Vec::new());
    let noted = logins.clone();
    target.on_request(move |wire, pdu| {
        let Ok(Request::Login(request)) = Request::parse(&pdu.header) else {
            return Handling::Proceed;
        };
        let text = String::from_utf8(pdu.data.clone()).expect("UTF-8");
        let answer = moves(wire.connection)
            .filter(|way| (way.when)(&request, &text))
            .map(|way| Handling::Answer(vec![way.answer(&request)]));
        noted.lock().unwrap().push((wire.connection, request, text));
        answer.unwrap_or(Handling::Proceed)
    });
    logins
}

/// The first connections go these ways, one after another; the next one stays.
fn by(moves: &[Move]) -> impl FnMut(u64) -> Option<Move> + Send + 'static {
    let moves = moves.to_vec();
    move |connection| moves.get(connection as usize - 1).cloned()
}

/// Follows these ways to the disks, and tells where it came by.
#[track_caller]
fn portals_by(moves: &[Move]) -> Vec<SocketAddr> {
    let target = target().build();
    let _logins = moving(&target, by(moves));
    let mut pair = Pair::new(&target, &[]);
    pair.become_ready();
    let portals = pair.wire.portals();
    pair.log_out();
    portals
}

/// The first redirection ends the login for good: nobody is connected to any more.
#[track_caller]
fn refused(way: Move) -> Error {
    refused_by(way, |_| {})
}

#[track_caller]
fn refused_by(way: Move, configure: impl FnOnce(&mut SessionConfig)) -> Error {
    let target = target().build();
    let _logins = moving(&target, move |_| Some(way.clone()));
    let mut pair = Pair::configured(&target, &Setting::new(&[]), configure);
    let error = pair.end().expect("an error");
    assert!(pair.now().as_millis() < 1000, "{error}");
    pair.pass(Duration::from_secs(600));
    assert_eq!(pair.wire.portals().len(), 1, "{error}: {:?}", pair.wire.portals());
    pair.assert_no_violations();
    error
}

// --- where to ---

#[test]
fn b_rd_01_a_temporary_move_is_followed() {
    let target = target().initial_stat_sn(0x1234_5678).build();
    let logins = moving(&target, by(&[to(&["192.0.2.2:3261"])]));
    let mut pair = Pair::new(&target, &[]);
    pair.become_ready();
    assert_eq!(pair.wire.portals(), [HERE, at("192.0.2.2:3261")]);
    {
        let logins = logins.lock().unwrap();
        let of = |connection| logins.iter().filter(move |login| login.0 == connection);
        // The old connection heard nothing more.
        assert_eq!(of(1).count(), 1);
        let (_, before, first) = of(1).next().unwrap();
        let (_, after, again) = of(2).next().unwrap();
        let names = |text: &str| {
            let names = ["InitiatorName=", "TargetName=", "SessionType="];
            let named = |pair: &&str| names.iter().any(|name| pair.starts_with(name));
            text.split('\0').filter(named).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(names(first).len(), 3);
        assert_eq!(names(first), names(again));
        assert_eq!((before.isid, before.tsih), (after.isid, 0));
        // Numbers begin anew: the target checks those that follow.
        assert_eq!((before.cmd_sn, after.cmd_sn), (SerialNumber(1), SerialNumber(1)));
    }
    assert_eq!(pair.read(0, 0, 512).unwrap(), [0; 512]);
    pair.log_out();
}

#[test]
fn b_rd_02_a_permanent_move_is_remembered() {
    let target = target().build();
    let _logins = moving(&target, by(&[for_good_to("192.0.2.2:3261")]));
    let mut pair = Pair::new(&target, &[]);
    pair.become_ready();
    let there = at("192.0.2.2:3261");
    for _ in 0..3 {
        pair.wire.break_now(Break::Reset);
        pair.read(0, 0, 512).unwrap();
    }
    assert_eq!(pair.wire.portals(), [HERE, there, there, there, there]);
    pair.log_out();
    // A way of moves for good and for now leads back to the end of the first part.
    let moves = [for_good_to("192.0.2.2"), for_good_to("192.0.2.3"), to(&["192.0.2.4"])];
    let target = self::target().build();
    let _logins = moving(&target, by(&moves));
    let mut pair = Pair::new(&target, &[]);
    pair.become_ready();
    pair.wire.break_now(Break::Reset);
    pair.read(0, 0, 512).unwrap();
    assert_eq!(pair.wire.portals()[3..], [at("192.0.2.4:3260"), at("192.0.2.3:3260")]);
}

fn in_answer_to_chap_r(_: &LoginRequest, text: &str) -> bool {
    text.contains("CHAP_R=")
}

#[test]
fn b_rd_03_a_move_after_chap_is_followed_by_all_of_chap() {
    for (configure, is_mutual) in
        [(one_way as fn(&mut SessionConfig), false), (mutual as fn(&mut SessionConfig), true)]
    {
        let target = target()
            .mutual_chap(Credentials::new("user", OURS), Credentials::new("target", THEIRS))
            .build();
        let way = Move { when: in_answer_to_chap_r, ..to(&["192.0.2.2:3261"]) };
        let logins = moving(&target, by(&[way]));
        let mut pair = Pair::configured(&target, &Setting::new(&[]), configure);
        pair.become_ready();
        assert_eq!(pair.wire.portals(), [HERE, at("192.0.2.2:3261")]);
        let value = |connection, key: &str| {
            logins.lock().unwrap().iter().find_map(|(number, _, text)| {
                let value = text.split('\0').find_map(|pair| pair.strip_prefix(key));
                value.filter(|_| *number == connection).map(str::to_owned)
            })
        };
        for key in ["AuthMethod=", "CHAP_A=", "CHAP_N="] {
            assert_eq!(value(1, key), value(2, key), "{key}");
            assert!(value(2, key).is_some(), "{key}");
        }
        assert!(value(2, "CHAP_R=").is_some());
        assert_eq!(value(2, "CHAP_C=").is_some(), is_mutual);
        assert!(!is_mutual || value(1, "CHAP_C=") != value(2, "CHAP_C="), "a new challenge");
        assert_eq!(target.statistics().last_login.unwrap().mutual_chap, is_mutual);
        pair.log_out();
    }
    // Nor does another portal get less: one without CHAP is refused.
    let target = target().build();
    let way = Move { when: |_, _| true, ..to(&["192.0.2.2:3261"]) };
    let _logins = moving(&target, by(&[way]));
    let mut pair = Pair::configured(&target, &Setting::new(&[]), mutual);
    assert!(matches!(pair.end(), Some(Error::Login(_))));
    assert_eq!((pair.wire.portals().len(), target.statistics().logins), (2, 0));
}

#[test]
fn b_rd_04_a_move_from_the_operational_stage_is_followed() {
    let way = Move { when: |_, text| text.contains("MaxBurstLength="), ..to(&["192.0.2.2:3261"]) };
    assert_eq!(portals_by(&[way]), [HERE, at("192.0.2.2:3261")]);
}

#[test]
fn b_rd_05_an_ipv6_address_with_a_port_is_followed() {
    let way = to(&["[2001:db8::5]:3261"]);
    assert_eq!(portals_by(&[way]), [HERE, at("[2001:db8::5]:3261")]);
}

#[test]
fn b_rd_06_without_a_port_it_is_3260() {
    assert_eq!(portals_by(&[to(&["[2001:db8::5]"])]), [HERE, at("[2001:db8::5]:3260")]);
    assert_eq!(portals_by(&[to(&["192.0.2.2"])]), [HERE, at("192.0.2.2:3260")]);
}

#[test]
fn b_rd_07_a_host_name_is_refused_by_name() {
    let error = refused(to(&["store.example.com:3261"]));
    assert!(matches!(error, Error::RedirectedToAName(_)), "{error:?}");
    assert!(error.to_string().contains("store.example.com"), "{error}");
    // An address next to it is followed.
    let way = to(&["store.example.com", "192.0.2.2:3261"]);
    assert_eq!(portals_by(&[way]), [HERE, at("192.0.2.2:3261")]);
}

#[test]
fn b_rd_08_a_portal_group_tag_is_ignored() {
    for address in ["192.0.2.2:3261,1", "192.0.2.2:3261,65535"] {
        assert_eq!(portals_by(&[to(&[address])]), [HERE, at("192.0.2.2:3261")]);
    }
}

#[test]
fn b_rd_09_a_move_to_nowhere_fails_the_login() {
    let nowhere = Error::Login(LoginError::PeerMisbehaved(Misbehaviour::RedirectedNowhere));
    assert_eq!(refused(to(&[])), nowhere);
    assert_eq!(refused(Move { text: b"TargetAlias=disks\0".to_vec(), ..to(&[]) }), nowhere);
    // A session that worked comes back, but not in a tight loop.
    let target = target().build();
    let _logins = moving(&target, |connection| (connection > 1).then(|| to(&[])));
    let mut pair = Pair::ready(&target, &[]);
    pair.wire.break_now(Break::Reset);
    pair.pass(Duration::from_secs(60));
    assert!(pair.wire.portals().len() < 25, "{}", pair.wire.portals().len());
}

#[test]
fn b_rd_10_several_addresses_are_tried_in_order() {
    let addresses = ["192.0.2.2:3261", "192.0.2.3", "[2001:db8::5]:3262"];
    let there = [at("192.0.2.2:3261"), at("192.0.2.3:3260"), at("[2001:db8::5]:3262")];
    for closed in [Portal::Refuses, Portal::IsSilent] {
        for dead in 0..=2 {
            let target = target().build();
            let _logins = moving(&target, by(&[to(&addresses)]));
            let mut pair = Pair::new(&target, &[]);
            there[..dead].iter().for_each(|&portal| pair.wire.set_portal_at(portal, closed));
            pair.become_ready();
            let wanted = [&[HERE][..], &there[..=dead]].concat();
            assert_eq!(pair.wire.portals(), wanted, "{closed:?}");
            pair.log_out();
        }
    }
}

// --- circles ---

/// A chain of so many redirections, over portals of its own.
fn chain(hops: usize) -> Vec<Move> {
    (0..hops).map(|hop| to(&[&format!("192.0.2.{}", 10 + hop)])).collect()
}

#[test]
fn b_rd_11_a_portal_that_redirects_to_itself_is_left() {
    for detail in [1, 2] {
        let target = target().build();
        let way = Move { detail, ..to(&["192.0.2.1:3260"]) };
        let _logins = moving(&target, move |_| Some(way.clone()));
        let mut pair = Pair::new(&target, &[]);
        let error = pair.end().unwrap();
        assert_eq!(error, Error::TooManyRedirections);
        assert!(error.to_string().contains("redirects in circles"), "{error}");
        assert_eq!(pair.wire.portals(), [HERE; 9]);
        pair.pass(Duration::from_secs(600));
        assert_eq!(pair.wire.portals().len(), 9);
    }
}

#[test]
fn b_rd_12_two_portals_that_redirect_to_each_other_are_left() {
    for detail in [1, 2] {
        let target = target().build();
        let _logins = moving(&target, move |connection| {
            let other = if connection % 2 == 1 { "192.0.2.2" } else { "192.0.2.1" };
            Some(Move { detail, ..to(&[other]) })
        });
        let mut pair = Pair::new(&target, &[]);
        assert_eq!(pair.end(), Some(Error::TooManyRedirections));
        assert_eq!(pair.wire.portals().len(), 9, "hops are counted over both");
    }
}

#[test]
fn b_rd_13_eight_hops_are_followed_and_nine_are_not() {
    let portals = portals_by(&chain(8));
    assert_eq!((portals.len(), portals[8]), (9, at("192.0.2.17:3260")));
    let target = target().build();
    let _logins = moving(&target, by(&chain(9)));
    let mut pair = Pair::new(&target, &[]);
    assert_eq!(pair.end(), Some(Error::TooManyRedirections));
    assert_eq!(pair.wire.portals().len(), 9);
    // The count begins anew with each login.
    let moves = chain(8);
    let target = self::target().build();
    let _logins =
        moving(&target, move |connection| moves.get((connection as usize - 1) % 9).cloned());
    let mut pair = Pair::new(&target, &[]);
    pair.become_ready();
    pair.wire.break_now(Break::Reset);
    pair.read(0, 0, 512).unwrap();
    assert_eq!(pair.wire.portals().len(), 18);
    pair.log_out();
}

// --- what no target should say ---

#[test]
fn b_rd_14_a_malformed_address_fails_the_login() {
    let long = format!("{}.example.com", "a.".repeat(145));
    assert!(long.len() >= 300);
    for (address, problem) in [
        ("[2001:db8::5", AddressProblem::BadHost),
        ("2001:db8::5:3260", AddressProblem::BadHost),
        (":3260", AddressProblem::BadHost),
        ("192.0.2.2:0", AddressProblem::BadPort),
        ("192.0.2.2:65536", AddressProblem::BadPort),
        ("192.0.2.256", AddressProblem::BadHost),
        ("", AddressProblem::BadHost),
        (&long, AddressProblem::BadHost),
        ("192.0.2 .2", AddressProblem::BadHost),
        ("store example.com", AddressProblem::BadHost),
        ("192.0.2.2:+1", AddressProblem::BadPort),
        ("192.0.2.2,x", AddressProblem::BadPortalGroupTag),
    ] {
        // Alone, and after a good one.
        for way in [to(&[address]), to(&["192.0.2.3", address])] {
            match refused(way) {
                Error::Login(LoginError::PeerMisbehaved(Misbehaviour::RedirectedTo(error))) => {
                    assert_eq!(error.problem, problem, "{address}");
                }
                error => panic!("{address}: {error}"),
            }
        }
    }
    let text = b"TargetAddress=192.0.2.2".to_vec();
    let error = refused(Move { text, ..to(&[]) });
    assert!(matches!(error, Error::Login(LoginError::Malformed(_))), "{error}");
}

#[test]
fn b_rd_15_a_forbidden_destination_is_refused_by_name() {
    for address in [
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "239.255.255.250:3260",
        "[::]",
        "[ff02::1]",
        "[::ffff:0.0.0.0]",
        "[::ffff:224.0.0.1]",
        "127.0.0.1",
        "127.1.2.3:3261",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ] {
        for way in [to(&[address]), for_good_to(address), to(&["192.0.2.3", address])] {
            let error = refused(way);
            let host = address.split(":326").next().unwrap();
            assert!(error.to_string().contains(host), "{address}: {error}");
        }
    }
    // A process that logs in to its own host may be sent around there.
    for (configured, address) in
        [("127.0.0.1:3260", "127.0.0.2:3261"), ("[::1]:3260", "[::1]:3261")]
    {
        let target = target().build();
        let _logins = moving(&target, by(&[to(&[address])]));
        let mut pair = Pair::configured(&target, &Setting::new(&[]), |config| {
            config.portal = at(configured);
        });
        pair.become_ready();
        assert_eq!(pair.wire.portals(), [at(configured), at(address)]);
        pair.log_out();
        // From elsewhere there is no way back to it.
        let moves = [to(&["192.0.2.2"]), to(&[address])];
        let error = {
            let target = self::target().build();
            let _logins = moving(&target, by(&moves));
            Pair::new(&target, &[]).end()
        };
        assert_eq!(error, Some(Error::RedirectedToLoopback(at(address))));
    }
}

#[test]
fn b_rd_16_a_link_local_address_is_on_the_link_of_the_configured_portal() {
    assert_eq!(portals_by(&[to(&["[fe80::5]:3260"])]), [HERE, at("[fe80::5]:3260")]);
    let target = target().build();
    let _logins = moving(&target, by(&[to(&["[fe80::5]:3261"]), to(&["[2001:db8::5]"])]));
    let mut pair = Pair::configured(&target, &Setting::new(&[]), |config| {
        config.portal = at("[fe80::1%7]:3260");
    });
    pair.become_ready();
    let portals = [at("[fe80::1%7]:3260"), at("[fe80::5%7]:3261"), at("[2001:db8::5]:3260")];
    assert_eq!(pair.wire.portals(), portals);
    pair.log_out();
}

#[test]
fn b_rd_17_junk_in_a_redirection_means_nothing() {
    for seed in 0..64 {
        let way = Move { junk: Some(seed), ..to(&["192.0.2.2:3261"]) };
        assert_eq!(portals_by(&[way]), [HERE, at("192.0.2.2:3261")], "seed {seed}");
    }
}

#[test]
fn b_rd_18_an_unknown_detail_is_followed_on_the_class_alone() {
    for detail in [0, 3, 0xff] {
        let target = target().build();
        let way = Move { detail, ..to(&["192.0.2.2:3261"]) };
        let _logins = moving(&target, by(&[way]));
        let mut pair = Pair::new(&target, &[]);
        pair.become_ready();
        // And for now: only 0102h is for good.
        pair.wire.break_now(Break::Reset);
        pair.read(0, 0, 512).unwrap();
        assert_eq!(pair.wire.portals(), [HERE, at("192.0.2.2:3261"), HERE], "{detail:#x}");
        pair.log_out();
    }
}

// --- portals that are dead ---

#[test]
fn b_rd_19_after_dead_portals_the_first_one_is_asked_again() {
    let there = [at("192.0.2.2:3261"), at("192.0.2.3:3260")];
    for closed in [Portal::Refuses, Portal::IsSilent] {
        for detail in [1, 2] {
            let way = Move { detail, ..to(&["192.0.2.2:3261", "192.0.2.3"]) };
            // Once: the first portal lets us in the next time.
            let target = target().build();
            let _logins = moving(&target, by(std::slice::from_ref(&way)));
            let mut pair = Pair::new(&target, &[]);
            there.iter().for_each(|&portal| pair.wire.set_portal_at(portal, closed));
            pair.become_ready();
            assert_eq!(
                pair.wire.portals(),
                [HERE, there[0], there[1], HERE],
                "{closed:?} {detail}"
            );
            // Two connect limits at most, and short pauses.
            assert!(pair.now().as_millis() < 21_000, "{closed:?}: {}", pair.now().as_millis());
            pair.log_out();
            // For ever: given up after the outage limit, with what is wrong.
            let target = self::target().build();
            let _logins = moving(&target, move |_| Some(way.clone()));
            let mut pair = Pair::new(&target, &[("outage_limit", "60")]);
            there.iter().for_each(|&portal| pair.wire.set_portal_at(portal, closed));
            let error = pair.end().unwrap();
            let wanted = match closed {
                Portal::Refuses => Error::Link(LinkFailure::Refused),
                _ => Error::Timeout(Waiting::Connect),
            };
            assert_eq!(error, wanted);
            let took = pair.now().as_millis();
            assert!((55_000..80_000).contains(&took), "{took} ms");
            assert!(pair.wire.portals().len() < 80, "{}", pair.wire.portals().len());
            for order in pair.wire.portals().chunks_exact(3) {
                assert_eq!(order, [HERE, there[0], there[1]], "{closed:?} {detail}");
            }
        }
    }
}

#[test]
fn b_rd_20_recovery_after_a_temporary_move_begins_at_the_first_portal() {
    let target = disk().build();
    let there = at("192.0.2.2:3261");
    let logins = moving(&target, by(&[to(&["192.0.2.2:3261"])]));
    let mut pair = Pair::ready(&target, &[]);
    assert_eq!(pair.wire.portals(), [HERE, there]);
    target.pause();
    let data = Random(20).bytes(4096);
    pair.submit_write(0, 8, &data);
    pair.submit_write(0, 16, &data);
    pair.pass(Duration::from_millis(100));
    pair.wire.set_portal_at(there, Portal::IsSilent);
    pair.wire.break_now(Break::Reset);
    target.resume();
    for _ in 0..2 {
        pair.finish_one().outcome.unwrap();
    }
    assert_eq!(pair.wire.portals(), [HERE, there, HERE]);
    for lba in [8, 16] {
        assert_eq!(target.read_lun(0, lba * 512, 4096).unwrap(), data);
    }
    let isids: Vec<[u8; 6]> = logins.lock().unwrap().iter().map(|login| login.1.isid).collect();
    assert!(isids.iter().all(|isid| *isid == isids[0]), "{isids:?}");
    assert!(logins.lock().unwrap().iter().all(|login| login.1.tsih == 0));
    pair.log_out();
}

fn disk() -> Builder {
    Target::builder(NAME).lun(Lun::memory(MIB)).times(0, 0)
}

#[test]
fn b_rd_21_a_discovery_is_redirected_too() {
    for permanent in [false, true] {
        let target = target().build();
        let address = "192.0.2.7:3261".to_owned();
        target.set_redirect(Some(Redirect { address, permanent, times: 1 }));
        let requests = shared(Vec::new());
        let noted = requests.clone();
        target.on_request(move |_, pdu| {
            let text = String::from_utf8(pdu.data.clone()).unwrap();
            if text.contains("InitiatorName=") {
                noted.lock().unwrap().push(text);
            }
            Handling::Proceed
        });
        let mut pair = DiscoveryPair::new(&target);
        assert_eq!(pair.finish().map(|discovered| discovered.found), Ok(1));
        assert_eq!(pair.wire.portals(), [HERE, at("192.0.2.7:3261")]);
        assert_eq!(pair.lines(), [format!("{NAME} 192.0.2.7:3261,1")]);
        let requests = requests.lock().unwrap();
        assert_eq!(requests.len(), 2);
        assert!(requests.iter().all(|text| text.contains("SessionType=Discovery\0")));
        pair.assert_no_violations();
    }
}
