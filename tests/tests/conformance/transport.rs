//! B-TP: what the connection does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use isboot::boot::RootPath;
use isboot::disk::RequestError;
use isboot::pdu::bhs::opcode;
use isboot::session::{Error, LinkFailure, TaskError, Waiting};
use isboot::time::Instant;
use isboot_tests::pair::{Break, Chart, Direction, Pair, Portal, Random, target};
use isboot_tests::target::{Builder, DigestPolicy, Fate, Handling, Target};

use crate::transfers::{Trial, content};

/// A target that asks for no pause before the next login, and has the content of these rows.
fn prompt() -> Builder {
    target().times(0, 20)
}

/// Start-up, a write in two bursts, a read of it, a flush and a logout; what was written is there.
fn workload(target: &Target, pair: &mut Pair, what: &str) {
    let data = Random(5).bytes(6000 / 512 * 512);
    pair.become_ready();
    assert_eq!(pair.write(0, 3, &data), Ok(()), "{what}");
    assert!(pair.read(0, 3, data.len()).as_ref() == Ok(&data), "{what}");
    assert_eq!(pair.flush(0), Ok(()), "{what}");
    assert!(target.read_lun(0, 3 * 512, data.len()).unwrap() == data, "{what}");
    assert!(pair.take_completion().is_none(), "{what}");
}

/// What both ends say in a workload over a wire that cuts the bytes in its way.
fn conversation(cut: impl FnOnce(&Pair)) -> Vec<String> {
    let target = prompt().immediate_data(false).r2t_length(2048).build();
    let chart = Chart::of(&target);
    let mut pair = Pair::new(&target, &[]);
    cut(&pair);
    workload(&target, &mut pair, "cut");
    pair.log_out();
    assert_eq!(target.statistics().connections, 1);
    chart.take()
}

#[test]
fn b_tp_01_byte_by_byte_all_goes_as_in_one_segment() {
    assert_eq!(conversation(|pair| pair.wire.split(1)), conversation(|_| {}));
}

/// The target sends a byte each second of a PDU that never ends, in its header and in its data.
#[test]
fn b_tp_02_a_pdu_that_comes_drop_by_drop_is_not_waited_for() {
    for header in [true, false] {
        let mut trial = Trial::of(prompt(), &[("pdu_timeout", "30"), ("command_timeout", "3600")]);
        trial.read(512).unwrap();
        // A header takes 48 s, the data of the read about an hour.
        trial.pair.wire.split(1);
        trial.pair.wire.slow_down(Duration::from_secs(1));
        let id = trial.pair.submit_read(0, 0, if header { 512 } else { 4096 });
        let begin = trial.pair.now();
        let mut lost = None;
        trial.pair.run_until("the end of the connection", |isboot| {
            lost = isboot.last_error();
            lost.is_some()
        });
        assert_eq!(lost, Some(Error::Timeout(Waiting::Pdu)), "header: {header}");
        let took = trial.pair.now().since(begin).as_secs();
        assert!((30..=32).contains(&took), "header: {header}, {took} s");
        trial.pair.wire.slow_down(Duration::ZERO);
        trial.pair.wire.split(usize::MAX);
        let finished = trial.pair.finish_one();
        assert_eq!((finished.id, finished.outcome), (id, Ok(())), "header: {header}");
        trial.pair.log_out();
    }
}

#[test]
fn b_tp_03_many_pdus_in_a_segment_are_taken_in_their_order() {
    let mut trial = Trial::of(prompt(), &[("queue_depth", "32")]);
    trial.target.pause();
    let ids: Vec<_> = (0..50).map(|lba| trial.pair.submit_read(0, lba, 512)).collect();
    trial.pair.pass(Duration::from_millis(10));
    trial.pair.wire.split(8191);
    trial.target.resume();
    for expected in ids {
        let finished = trial.pair.finish_one();
        assert_eq!((finished.id, finished.outcome), (expected, Ok(())));
    }
    trial.assert_untroubled("fifty at once");
}

#[test]
fn b_tp_04_borders_of_segments_change_nothing() {
    let whole = conversation(|_| {});
    for seed in 0..1000 {
        let cut =
            conversation(|pair| pair.wire.split_at_random(1 + (seed as usize * 7) % 300, seed));
        assert_eq!(cut, whole, "seed {seed}");
    }
}

/// How a session ends that never gets to work, and when.
fn never_works(
    parameters: &[(&str, &str)],
    trouble: impl FnOnce(&Target, &Pair),
) -> (Error, u64, usize) {
    let target = prompt().build();
    let mut pair = Pair::new(&target, parameters);
    trouble(&target, &pair);
    let error = pair.end().expect("an error");
    (error, pair.now().since(Instant::ZERO).as_secs(), pair.wire.portals().len())
}

const OUTAGE: [(&str, &str); 1] = [("outage_limit", "60")];

#[test]
fn b_tp_05_a_refused_connection_is_tried_again_for_a_while() {
    let (error, seconds, attempts) =
        never_works(&OUTAGE, |_, pair| pair.wire.set_portal(Portal::Refuses));
    assert_eq!(error, Error::Link(LinkFailure::Refused));
    assert!(error.to_string().contains("address and port"), "{error}");
    assert!((55..=65).contains(&seconds) && (10..30).contains(&attempts), "{seconds}, {attempts}");
}

#[test]
fn b_tp_06_a_connection_that_nobody_answers_ends_at_its_limit() {
    let limit = [OUTAGE[0], ("connect_timeout", "10")];
    let (error, seconds, attempts) =
        never_works(&limit, |_, pair| pair.wire.set_portal(Portal::IsSilent));
    assert_eq!(error, Error::Timeout(Waiting::Connect));
    assert!((55..=72).contains(&seconds) && (5..=7).contains(&attempts), "{seconds}, {attempts}");
}

#[test]
fn b_tp_07_a_target_that_accepts_and_says_nothing_ends_at_the_login_limit() {
    let limit = [OUTAGE[0], ("login_timeout", "15")];
    let (error, seconds, attempts) =
        never_works(&limit, |target, _| target.on_response(|_, _| Fate::Drop));
    assert_eq!(error, Error::Timeout(Waiting::Login));
    assert!((55..=78).contains(&seconds) && (4..=5).contains(&attempts), "{seconds}, {attempts}");
}

#[test]
fn b_tp_08_an_end_before_any_byte_is_a_failed_login() {
    for how in [Break::Close, Break::Reset] {
        // Once: the next attempt works.
        let target = prompt().build();
        let mut pair = Pair::new(&target, &[]);
        pair.wire.break_after(Direction::ToTarget, 0, how);
        workload(&target, &mut pair, "after one");
        assert_eq!(target.statistics().connections, 2, "{how:?}");
        pair.log_out();
    }
    // For ever: bounded.
    let (error, seconds, attempts) = never_works(&OUTAGE, |target, _| {
        target.on_response(|_, _| Fate::CutAfter(0));
    });
    assert_eq!(error, Error::Link(LinkFailure::ClosedByTarget));
    assert!((55..=65).contains(&seconds) && (10..30).contains(&attempts), "{seconds}, {attempts}");
}

/// Where PDUs begin and end in the workload, in bytes each way.
fn borders(builder: &dyn Fn() -> Builder) -> [Vec<u64>; 2] {
    let target = builder().build();
    let sizes: [Arc<Mutex<Vec<u64>>>; 2] = Default::default();
    let [up, down] = sizes.clone();
    let size = |digests: isboot::pdu::digest::Digests, data: usize| {
        let header = 48 + if digests.header { 4 } else { 0 };
        let digest = if digests.data && data > 0 { 4 } else { 0 };
        (header + data.next_multiple_of(4) + digest) as u64
    };
    target.on_request(move |wire, pdu| {
        up.lock().unwrap().push(size(wire.digests, pdu.data.len()));
        Handling::Proceed
    });
    target.on_response(move |wire, pdu| {
        down.lock().unwrap().push(size(wire.digests, pdu.data.len()));
        Fate::Send
    });
    let mut pair = Pair::new(&target, &[]);
    workload(&target, &mut pair, "whole");
    pair.log_out();
    let carried = [Direction::ToTarget, Direction::ToInitiator].map(|way| pair.wire.carried(way));
    let sums = sizes.map(|sizes| {
        let sum = |at: &mut u64, size: &u64| {
            *at += size;
            Some(*at)
        };
        sizes.lock().unwrap().iter().scan(0, sum).collect::<Vec<u64>>()
    });
    for (way, carried) in carried.iter().enumerate() {
        assert_eq!(sums[way].last(), Some(carried), "the sizes are those of the wire");
    }
    sums
}

/// The workload with a break after so many bytes one way: before full feature phase the login
/// fails and is made again, in it the session comes back, after the Logout Request it is over.
fn broken_workload(builder: &dyn Fn() -> Builder, way: Direction, at: u64, how: Break) {
    let what = format!("{how:?} after {at} bytes {way:?}");
    let target = builder().build();
    let mut pair = Pair::new(&target, &[]);
    pair.wire.break_after(way, at, how);
    workload(&target, &mut pair, &what);
    // A break at the very end of it is noticed too.
    pair.pass(Duration::from_secs(3));
    let broken_before_logout = pair.wire.broken();
    let now = pair.now();
    pair.isboot.detach(now);
    let end = pair.end();
    // A reset that crosses the logout is an end without an answer; no session comes after it.
    assert!(end.is_none() || pair.wire.broken() > broken_before_logout, "{what}: {end:?}");
    pair.run_until("the close", |isboot| isboot.is_detached());
    let connections = u64::from(broken_before_logout) + 1;
    assert_eq!(target.statistics().connections, connections, "{what}");
    assert_eq!(target.violations(), [], "{what}");
}

fn break_at_borders(how: Break) {
    let builder: &dyn Fn() -> Builder = &|| prompt().immediate_data(false).r2t_length(2048);
    let borders = borders(builder);
    for way in [Direction::ToTarget, Direction::ToInitiator] {
        for &at in &borders[way as usize] {
            broken_workload(builder, way, at, how);
        }
    }
}

#[test]
fn b_tp_09_a_reset_at_any_border_between_pdus_costs_nothing() {
    break_at_borders(Break::Reset);
}

#[test]
fn b_tp_10_a_close_at_any_border_between_pdus_costs_nothing() {
    break_at_borders(Break::Close);
}

/// In the header, at its end, in its digest, in data, padding and data digest of every PDU.
#[test]
fn b_tp_11_part_of_a_pdu_is_never_acted_on() {
    let builder: &dyn Fn() -> Builder = &|| prompt().digests(DigestPolicy::Force);
    let borders = borders(builder);
    for way in [Direction::ToTarget, Direction::ToInitiator] {
        let ends = &borders[way as usize];
        let begins = std::iter::once(0).chain(ends.iter().copied());
        for (begin, &end) in begins.zip(ends) {
            let places = [1, 5, 47, 48, 50].map(|offset| begin + offset);
            let from_end = [1, 3, 4, 5, 7].map(|offset| end - offset);
            for at in places.into_iter().chain(from_end).filter(|at| (begin..end).contains(at)) {
                for how in [Break::Reset, Break::Close] {
                    broken_workload(builder, way, at, how);
                }
            }
        }
    }
}

#[test]
fn b_tp_12_a_target_that_lost_its_power_is_noticed() {
    let mut trial = Trial::of(
        prompt(),
        &[("ping_interval", "5"), ("ping_timeout", "5"), ("command_timeout", "60")],
    );
    trial.read(512).unwrap();
    trial.pair.wire.break_now(Break::Silence);
    let begin = trial.pair.now();
    trial.assert_reads(2048, "after the silence");
    let took = trial.pair.now().since(begin).as_secs();
    assert!((10..=12).contains(&took), "{took} s");
    assert_eq!(trial.pair.isboot.last_error(), Some(Error::Timeout(Waiting::Ping)));
    // What the old connection still says, a minute later, meets nobody.
    trial.pair.pass(Duration::from_secs(60));
    trial.assert_reads(2048, "a minute later");
    trial.pair.log_out();
}

#[test]
fn b_tp_13_a_half_closed_connection_is_closed_and_replaced() {
    let mut trial = Trial::of(prompt(), &[]);
    trial.read(512).unwrap();
    trial.target.pause();
    trial.pair.submit_read(0, 0, 2048);
    trial.pair.pass(Duration::from_millis(10));
    trial.pair.wire.close_half();
    trial.target.resume();
    let finished = trial.pair.finish_one();
    assert_eq!(finished.buffer, Some(content(2048)));
    assert_eq!(trial.pair.isboot.last_error(), Some(Error::Link(LinkFailure::ClosedByTarget)));
    assert_eq!(trial.target.statistics().connections, 2);
    trial.pair.log_out();
}

/// The target takes nothing; what it sends is still heard, and in the end it is left.
#[test]
fn b_tp_14_a_window_that_stays_shut_is_left_and_what_comes_is_heard() {
    let mut trial = Trial::of(prompt(), &[("command_timeout", "30")]);
    trial.read(512).unwrap();
    trial.pair.wire.set_room(0);
    let id = trial.pair.submit_write(0, 128, &content(2048));
    // Its pings keep the connection alive, until there is no room left to owe it answers.
    for _ in 0..20 {
        trial.target.ping(&[]);
        trial.pair.pass(Duration::from_secs(1));
        assert_eq!(trial.pair.isboot.last_error(), None, "it is heard");
    }
    let begin = trial.pair.now();
    let mut lost = None;
    trial.pair.run_until("the end of the connection", |isboot| {
        lost = isboot.last_error();
        lost.is_some()
    });
    assert!(matches!(lost, Some(Error::Timeout(_))), "{lost:?}");
    assert!(trial.pair.now().since(begin) <= Duration::from_secs(40));
    trial.pair.wire.set_room(1 << 16);
    let finished = trial.pair.finish_one();
    assert_eq!((finished.id, finished.outcome), (id, Ok(())));
    trial.pair.log_out();
}

/// Every connection is accepted just in time, and every login is held just below its limit.
#[test]
fn b_tp_21_steps_that_each_end_in_time_do_not_go_on_for_ever() {
    let target = prompt().build();
    let mut pair = Pair::new(&target, &[("outage_limit", "120")]);
    target.on_response(|_, pdu| match pdu.header.opcode() {
        opcode::LOGIN_RESPONSE => Fate::CutAfter(0),
        _ => Fate::Send,
    });
    for attempt in 1.. {
        if matches!(pair.isboot.state(), isboot::boot::State::Ended(_)) {
            break;
        }
        assert!(attempt < 20, "it goes on and on");
        pair.wire.set_portal(Portal::IsSilent);
        target.pause();
        pair.pass(Duration::from_millis(9_900));
        pair.wire.set_portal(Portal::Accepts);
        pair.pass(Duration::from_millis(14_900));
        target.resume();
        pair.pass(Duration::from_millis(100));
    }
    let took = pair.now().since(Instant::ZERO).as_secs();
    assert!((110..=150).contains(&took), "{took} s");
    // The same for a session that worked before: its requests end.
    let mut trial = Trial::of(prompt(), &[("outage_limit", "120")]);
    trial.read(512).unwrap();
    trial.target.on_response(|_, _| Fate::CutAfter(0));
    let begin = trial.pair.now();
    assert_eq!(trial.read(512), Err(RequestError::Task(TaskError::Outage)));
    assert!(trial.pair.now().since(begin).as_secs() <= 121);
}

#[test]
fn b_tp_22_a_portal_without_a_port_has_the_well_known_one() {
    for (path, port) in [
        ("iscsi:192.0.2.2::::iqn.2001-04.com.example:d1", 3260),
        ("iscsi:192.0.2.2::860::iqn.2001-04.com.example:d1", 860),
        ("iscsi:[2001:db8::2]::::iqn.2001-04.com.example:d1", 3260),
    ] {
        let path: RootPath = path.parse().unwrap();
        assert_eq!(path.port, port);
    }
}
