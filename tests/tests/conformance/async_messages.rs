//! B-AM: Asynchronous Messages.

use std::time::Duration;

use isboot::boot::State;
use isboot::disk::Notice;
use isboot::pdu::bhs::{RESERVED_TAG, opcode};
use isboot::pdu::request::{LogoutReason, Request, TextRequest};
use isboot::pdu::response::{LogoutResponse, Response};
use isboot::session::Error;
use isboot_tests::pair::{Break, NUMBERS, Pair, Portal, Setting, asynchronous, status_pdu, target};
use isboot_tests::target::{Fate, Handling, Injection, Target};

use crate::support::Requests;
use crate::text_requests::Part;

/// Fixed-format sense data with its length before it.
fn sense(key: u8, code: u8, qualifier: u8) -> Vec<u8> {
    let mut data = vec![0, 18, 0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code, qualifier];
    data.resize(20, 0);
    data
}

/// The next request acknowledges the message and the status before it, and work goes on. Returns
/// how many requests the target got after the message, besides the two reads that were asked for.
fn goes_on(what: &str, message: Injection) -> usize {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let requests = Requests::of(&target);
    let acknowledged = || {
        requests.pick(|request| match request {
            Request::ScsiCommand(command) => Some(command.exp_stat_sn.0),
            other => panic!("{what}: {other:?}"),
        })
    };
    pair.read(0, 0, 512).unwrap();
    let [before] = acknowledged()[..] else { panic!("one read") };
    target.inject(message);
    pair.pass(Duration::from_millis(1));
    pair.read(0, 0, 512).unwrap();
    pair.read(0, 1, 512).unwrap();
    let acknowledged = acknowledged();
    assert_eq!(acknowledged[1], before.wrapping_add(2), "{what}");
    assert_eq!(pair.isboot.last_error(), None, "{what}");
    pair.log_out();
    acknowledged.len() - 3
}

/// As [`goes_on`], and nothing else comes of the message.
fn is_noted(what: &str, message: Injection) {
    assert_eq!(goes_on(what, message), 0, "{what}");
}

#[test]
fn b_am_01_a_scsi_event_is_acknowledged_and_work_goes_on() {
    for (key, code, qualifier) in [(6, 0x3f, 0x0e), (6, 0x2a, 0x09), (0, 0, 0)] {
        goes_on("a SCSI event", asynchronous(0, [0; 3], sense(key, code, qualifier)));
    }
    // The host hears of what concerns it.
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    target.inject(asynchronous(0, [0; 3], sense(6, 0x3f, 0x0e)));
    pair.pass(Duration::from_millis(1));
    assert_eq!(pair.isboot.take_notice(), Some(Notice::UnitsChanged));
    pair.log_out();
    // With more data than sense (§11.9.4.1).
    let mut data = sense(6, 0x3f, 0x0e);
    data.extend([0xaa; 300]);
    goes_on("sense and more", asynchronous(0, [0; 3], data));
}

#[test]
fn b_am_02_a_scsi_event_with_bad_sense_is_noted_and_no_more() {
    for data in [
        Vec::new(),
        vec![0],
        vec![0, 18],
        vec![0, 0],
        vec![0xff, 0xff, 0x70],
        vec![0, 64, 0x70, 0, 6, 0, 0, 0],
        vec![0, 4, 1, 2, 3, 4],
    ] {
        is_noted(&format!("{data:x?}"), asynchronous(0, [0; 3], data));
    }
}

#[test]
fn b_am_03_another_session_is_not_concerned() {
    let target = target().build();
    let mut pairs = [1, 2].map(|number| {
        let mut pair = Pair::configured(&target, &Setting::new(&[]), |config| {
            config.login.isid[5] = number;
        });
        pair.become_ready();
        pair
    });
    let requests = Requests::of(&target);
    target.inject_on(1, asynchronous(1, [0, 0, 5], []));
    let [leaving, staying] = &mut pairs;
    leaving.run_until("the logout", |isboot| isboot.last_error().is_some());
    assert!(leaving.now().since(isboot::time::Instant::ZERO) < Duration::from_secs(5));
    assert_eq!(logouts(&requests), [LogoutReason::CloseSession]);
    staying.write(0, 0, &[3; 512]).unwrap();
    assert!(requests.on(2).iter().all(|request| matches!(request, Request::ScsiCommand(_))));
    assert_eq!(leaving.read(0, 0, 512).unwrap(), [3; 512]);
    assert_eq!(staying.isboot.last_error(), None);
    assert_eq!(target.statistics().connections, 3);
    for pair in &mut pairs {
        pair.log_out();
    }
}

fn logouts(requests: &Requests) -> Vec<LogoutReason> {
    requests.pick(|request| match request {
        Request::Logout(logout) => Some(logout.reason),
        _ => None,
    })
}

/// READ(10) and WRITE(10): after a renewal there are commands that ask what the unit is.
fn commands(requests: &[Request]) -> usize {
    let moves = |request: &&Request| matches!(request, Request::ScsiCommand(command) if matches!(command.cdb[0], 0x28 | 0x2a));
    requests.iter().filter(moves).count()
}

#[test]
fn b_am_04_commands_wait_for_the_next_login() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let requests = Requests::scripted(&target, |_, request| match request {
        Request::Logout(_) => Handling::Swallow,
        _ => Handling::Proceed,
    });
    target.pause();
    for lba in 0..8 {
        pair.submit_read(0, lba, 512);
    }
    pair.pass(Duration::from_millis(1));
    assert_eq!(commands(&requests.on(1)), 8);
    target.inject(asynchronous(1, [0, 0, 1], []));
    pair.pass(Duration::from_millis(900));
    let old = requests.on(1);
    let Some(Request::Logout(logout)) = old.last() else { panic!("{old:?}") };
    assert_eq!(old.len(), 9);
    // What is submitted now, and what is not done, waits for the next session.
    pair.submit_write(0, 100, &[7; 512]);
    pair.pass(Duration::from_millis(900));
    assert_eq!(requests.on(1).len(), 9);
    target.inject(logout_response(logout.initiator_task_tag, 0, 0));
    pair.run_until("the logout", |isboot| isboot.last_error().is_some());
    assert_eq!(pair.isboot.last_error(), Some(Error::TargetAskedToLeave { event: 1 }));
    target.clear_hooks();
    let requests = Requests::of(&target);
    target.resume();
    for _ in 0..9 {
        assert_eq!(pair.finish_one().outcome, Ok(()));
    }
    assert_eq!(commands(&requests.on(2)), 9);
    assert_eq!(target.read_lun(0, 100 * 512, 1).unwrap(), [7]);
    pair.log_out();
}

#[test]
fn b_am_05_no_time_at_all_means_at_once() {
    for time in [0, 1, 65535] {
        let target = target().build();
        let mut pair = Pair::ready(&target, &[]);
        let requests = Requests::of(&target);
        target.inject(asynchronous(1, [0, 0, time], []));
        let begin = pair.now();
        pair.run_until("the logout", |isboot| isboot.last_error().is_some());
        assert_eq!(pair.now(), begin, "{time} s");
        assert!(matches!(requests.on(1)[..], [Request::Logout(_)]), "{time} s");
        pair.run_until("the next session", |isboot| isboot.state() == State::Ready);
        assert_eq!(pair.now(), begin, "{time} s: a logout in good order needs no pause");
        pair.log_out();
    }
}

fn logout_response(initiator_task_tag: u32, response: u8, time2wait: u16) -> Injection {
    let response = LogoutResponse {
        response,
        initiator_task_tag,
        numbers: NUMBERS,
        time2wait,
        time2retain: 0,
    };
    status_pdu(Response::Logout(response), [])
}

#[test]
fn b_am_06_one_logout_is_enough() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let requests = Requests::scripted(&target, |_, request| match request {
        Request::Logout(logout) => Handling::Answer(vec![
            asynchronous(1, [0, 0, 1], []),
            asynchronous(4, [0, 0, 1], []),
            logout_response(logout.initiator_task_tag, 0, 0),
        ]),
        _ => Handling::Proceed,
    });
    let now = pair.now();
    pair.isboot.detach(now);
    assert_eq!(pair.end(), None);
    assert!(matches!(requests.on(1)[..], [Request::Logout(_)]), "{:?}", requests.on(1));
    pair.run_until("the close", |isboot| isboot.is_detached());
    assert_eq!(pair.wire.portals().len(), 1, "and no return");
}

/// The end of a connection is announced, and comes or does not; the next login begins after
/// `seconds`, and nothing is lost over it.
fn ends_the_session(message: &Injection, seconds: u64) {
    // Without a pause the next connection is there before anybody can cut the old one.
    let cuts = [None, Some(Break::Close), Some(Break::Reset)];
    for cut in cuts.into_iter().take(if seconds == 0 { 1 } else { 3 }) {
        let target = target().build();
        let mut pair = Pair::ready(&target, &[]);
        let requests = Requests::of(&target);
        target.pause();
        for lba in 0..4 {
            pair.submit_write(0, lba, &[lba as u8 + 1; 512]);
        }
        pair.pass(Duration::from_millis(1));
        requests.clear();
        let begin = pair.now();
        target.inject(message.clone());
        pair.run_until("the loss", |isboot| isboot.last_error().is_some());
        cut.into_iter().for_each(|how| pair.wire.break_now(how));
        target.resume();
        pair.run_until("the next connection", |isboot| isboot.state() == State::LoggingIn);
        let waited = pair.now().since(begin);
        assert_eq!(waited, Duration::from_secs(seconds), "{message:?}, {cut:?}");
        for _ in 0..4 {
            assert_eq!(pair.finish_one().outcome, Ok(()));
        }
        assert!(requests.on(1).is_empty(), "{message:?}, {cut:?}: {:?}", requests.on(1));
        let login = requests.pick(|request| match request {
            Request::Login(login) => Some((login.tsih, login.isid)),
            _ => None,
        });
        assert_eq!(login[0], (0, [0x00, 0x02, 0x3d, 0x00, 0x00, 0x01]));
        assert_eq!(target.statistics().connections, 2);
        for lba in 0..4 {
            assert_eq!(target.read_lun(0, lba * 512, 1).unwrap(), [lba as u8 + 1]);
        }
        pair.log_out();
    }
}

#[test]
fn b_am_07_a_dropped_connection_is_one_that_failed() {
    ends_the_session(&asynchronous(2, [0, 3, 20], []), 3);
}

#[test]
fn b_am_08_another_connection_is_not_ours() {
    is_noted("CID 1", asynchronous(2, [1, 0, 20], []));
    is_noted("CID 65535", asynchronous(2, [0xffff, 3, 20], []));
}

#[test]
fn b_am_09_a_dropped_session_is_renewed_within_the_time_that_is_left() {
    ends_the_session(&asynchronous(3, [0, 1, 2], []), 1);
}

#[test]
fn b_am_10_a_session_without_a_trace_left_is_begun_anew() {
    ends_the_session(&asynchronous(3, [0, 0, 0], []), 0);
    ends_the_session(&asynchronous(3, [0, 7, 0], []), 7);
}

fn texts(requests: &Requests) -> Vec<TextRequest> {
    requests.pick(|request| match request {
        Request::Text(text) => Some(*text),
        _ => None,
    })
}

#[test]
fn b_am_11_one_text_request_at_a_time() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let requests = Requests::scripted(&target, |_, request| match request {
        Request::Text(_) => Handling::Swallow,
        _ => Handling::Proceed,
    });
    for _ in 0..3 {
        target.inject(asynchronous(4, [0, 0, 3], []));
        pair.pass(Duration::from_millis(500));
    }
    let [first] = texts(&requests)[..] else { panic!("{:?}", texts(&requests)) };
    assert_eq!(first.data_segment_length, 0);
    // Once it is answered, another may follow.
    target.inject(Part::last("").answer(first.initiator_task_tag));
    pair.pass(Duration::from_millis(500));
    assert_eq!(texts(&requests).len(), 1);
    target.inject(asynchronous(4, [0, 0, 3], []));
    pair.pass(Duration::from_millis(500));
    let [_, second] = texts(&requests)[..] else { panic!("{:?}", texts(&requests)) };
    assert_ne!(second.initiator_task_tag, first.initiator_task_tag);
    assert_eq!(second.target_transfer_tag, RESERVED_TAG);
    target.inject(Part::last("").answer(second.initiator_task_tag));
    pair.read(0, 0, 512).unwrap();
    assert_eq!(pair.isboot.last_error(), None);
    pair.log_out();
}

#[test]
fn b_am_12_event_5_without_fast_abort_stops_nothing() {
    is_noted("event 5", asynchronous(5, [0; 3], []));
}

#[test]
fn b_am_14_vendor_events_are_acknowledged_and_ignored() {
    for event in [248, 255] {
        for length in [0, 1, 40, 1000] {
            let what = format!("event {event}, {length} bytes");
            is_noted(&what, asynchronous(event, [1, 2, 3], vec![0xff; length]));
        }
    }
}

#[test]
fn b_am_15_unassigned_events_are_acknowledged_and_ignored() {
    for event in [6, 100, 247] {
        is_noted(&format!("event {event}"), asynchronous(event, [0, 60, 60], []));
    }
}

#[test]
fn b_am_16_no_announcement_is_waited_out_for_hours() {
    for event in [2, 3] {
        ends_the_session(&asynchronous(event, [0, u16::MAX, 0], []), 60);
    }
    // And the caller hears of it at the latest when commands fail.
    let target = target().build();
    let mut pair = Pair::ready(&target, &[("outage_limit", "30")]);
    target.inject(asynchronous(3, [0, u16::MAX, 0], []));
    pair.wire.set_portal(Portal::Refuses);
    let begin = pair.now();
    pair.read(0, 0, 512).unwrap_err();
    assert!(pair.now().since(begin) <= Duration::from_secs(31));
}

/// Sends a message in the middle of the login of the first connection.
fn interrupted_login(target: &Target, event: u8) {
    let messenger = target.clone();
    let mut once = true;
    target.on_response(move |_, pdu| {
        if pdu.header.opcode() == opcode::LOGIN_RESPONSE && std::mem::take(&mut once) {
            messenger.inject(asynchronous(event, [0, 0, 5], []));
        }
        Fate::Send
    });
}

#[test]
fn b_am_17_nothing_but_login_responses_in_a_login() {
    for event in [0, 1, 2, 3, 4, 255] {
        let target = target().times(0, 0).build();
        interrupted_login(&target, event);
        let mut pair = Pair::new(&target, &[("time2wait", "0")]);
        pair.become_ready();
        assert!(
            matches!(pair.isboot.last_error(), Some(Error::PeerMisbehaved(_))),
            "event {event}: {:?}",
            pair.isboot.last_error()
        );
        assert_eq!(target.statistics().connections, 2, "event {event}");
        assert_eq!(target.statistics().logouts, 0, "event {event}");
        pair.log_out();
    }
}
