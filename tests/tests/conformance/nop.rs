//! B-NP: pings both ways.

use std::time::Duration;

use isboot::boot::State;
use isboot::pdu::bhs::RESERVED_TAG;
use isboot::pdu::request::{NopOut, Request};
use isboot::pdu::response::{DataIn, NopIn, Residual, Response};
use isboot::session::{Error, Waiting};
use isboot_tests::pair::{NUMBERS, Pair, good, status_pdu, target};
use isboot_tests::target::{Handling, Injection, Numbering, Pdu, Target};

use crate::support::Requests;

/// A NOP-In that asks or informs: it takes no StatSN.
pub(crate) fn question(target_transfer_tag: u32, lun: [u8; 8], data: &[u8]) -> Injection {
    let nop_in = NopIn {
        lun,
        initiator_task_tag: RESERVED_TAG,
        target_transfer_tag,
        numbers: NUMBERS,
        data_segment_length: 0,
    };
    let pdu = Pdu::new(Response::NopIn(nop_in).emit(), data.to_vec());
    Injection { pdu, numbering: Numbering::Current }
}

/// A NOP-In that answers.
fn answer(initiator_task_tag: u32, target_transfer_tag: u32) -> Injection {
    let nop_in = NopIn {
        lun: [0; 8],
        initiator_task_tag,
        target_transfer_tag,
        numbers: NUMBERS,
        data_segment_length: 0,
    };
    status_pdu(Response::NopIn(nop_in), [])
}

pub(crate) fn nops(requests: &Requests) -> Vec<NopOut> {
    requests.pick(|request| match request {
        Request::NopOut(nop) => Some(*nop),
        _ => None,
    })
}

/// Records requests; NOP-Outs are not answered.
pub(crate) fn without_answers(target: &Target) -> Requests {
    Requests::scripted(target, |_, request| match request {
        Request::NopOut(_) => Handling::Swallow,
        _ => Handling::Proceed,
    })
}

const INTERVALS: [(&str, &str); 2] = [("ping_interval", "5"), ("ping_timeout", "4")];

#[test]
fn b_np_01_a_silent_target_is_pinged_each_interval() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &INTERVALS);
    let requests = Requests::of(&target);
    pair.pass(Duration::from_secs(26));
    let pings = nops(&requests);
    assert_eq!(pings.len(), 5, "{pings:?}");
    for ping in &pings {
        assert_ne!(ping.initiator_task_tag, RESERVED_TAG);
        assert_eq!(ping.target_transfer_tag, RESERVED_TAG);
        assert_eq!(ping.lun, [0; 8]);
        assert!(ping.immediate);
    }
    pair.log_out();
    // Not while an earlier one is open.
    let target = isboot_tests::pair::target().build();
    let mut pair = Pair::ready(&target, &[("ping_interval", "5"), ("ping_timeout", "60")]);
    let requests = without_answers(&target);
    pair.pass(Duration::from_secs(60));
    assert_eq!(nops(&requests).len(), 1);
    target.clear_hooks();
    pair.run_until("the loss", |isboot| isboot.last_error().is_some());
    pair.run_until("the next session", |isboot| isboot.state() == State::Ready);
    pair.log_out();
}

#[test]
fn b_np_02_an_unanswered_ping_is_a_lost_connection() {
    let target = target().times(0, 0).build();
    let mut pair = Pair::ready(&target, &INTERVALS);
    pair.read(0, 0, 512).unwrap();
    without_answers(&target);
    let begin = pair.now();
    pair.run_until("the loss", |isboot| isboot.last_error().is_some());
    assert_eq!(pair.isboot.last_error(), Some(Error::Timeout(Waiting::Ping)));
    assert_eq!(pair.now().since(begin), Duration::from_secs(5 + 4));
    target.clear_hooks();
    pair.read(0, 0, 512).unwrap();
    assert_eq!(target.statistics().logins, 2);
    pair.log_out();
}

#[test]
fn b_np_03_a_target_that_sends_anything_lives() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[INTERVALS[0], INTERVALS[1], ("command_timeout", "60")]);
    let requests = Requests::scripted(&target, |_, request| match request {
        Request::NopOut(_) | Request::ScsiCommand(_) => Handling::Swallow,
        _ => Handling::Proceed,
    });
    pair.submit_read(0, 0, 512 * 12);
    pair.pass(Duration::from_millis(1));
    let [tag] = requests.pick(|request| match request {
        Request::ScsiCommand(command) => Some(command.initiator_task_tag),
        _ => None,
    })[..] else {
        panic!("one read")
    };
    // A ping is never answered, and data comes every three seconds.
    for data_sn in 0..12 {
        pair.pass(Duration::from_secs(3));
        let data_in = DataIn {
            last: data_sn == 11,
            acknowledge: false,
            status: None,
            residual: Residual::None,
            lun: [0; 8],
            initiator_task_tag: tag,
            target_transfer_tag: RESERVED_TAG,
            numbers: NUMBERS,
            data_sn,
            buffer_offset: data_sn * 512,
            data_segment_length: 0,
        };
        let pdu = Pdu::new(Response::DataIn(data_in).emit(), vec![data_sn as u8; 512]);
        target.inject(Injection { pdu, numbering: Numbering::Current });
    }
    target.inject(good(tag, Residual::None));
    let finished = pair.finish_one();
    assert_eq!(finished.outcome, Ok(()));
    assert_eq!(finished.buffer.unwrap()[512 * 11], 11);
    assert_eq!(pair.isboot.last_error(), None);
    assert_eq!(target.statistics().logins, 1);
    pair.target.clear_hooks();
    pair.log_out();
}

#[test]
fn b_np_04_an_answer_counts_up_to_the_limit() {
    for (wait, in_time) in [(3_999, true), (4_001, false)] {
        let target = target().times(0, 0).build();
        let mut pair = Pair::ready(&target, &INTERVALS);
        pair.read(0, 0, 512).unwrap();
        let requests = without_answers(&target);
        pair.run_until("the ping", |_| !nops(&requests).is_empty());
        pair.pass(Duration::from_millis(wait));
        target.clear_hooks();
        target.inject_on(1, answer(nops(&requests)[0].initiator_task_tag, RESERVED_TAG));
        pair.pass(Duration::from_secs(3));
        pair.read(0, 0, 512).unwrap();
        assert_eq!(pair.isboot.last_error().is_none(), in_time, "after {wait} ms");
        assert_eq!(target.statistics().logins, if in_time { 1 } else { 2 }, "after {wait} ms");
        pair.log_out();
    }
}

/// The session is renewed over what `script` injects at an idle moment, and work goes on.
fn is_renewed(what: &str, provoke: impl FnOnce(&Target, &mut Pair)) {
    let target = target().times(0, 0).build();
    let mut pair = Pair::ready(&target, &INTERVALS);
    pair.read(0, 0, 512).unwrap();
    provoke(&target, &mut pair);
    pair.run_until("the loss", |isboot| isboot.last_error().is_some());
    let error = pair.isboot.last_error();
    assert!(matches!(error, Some(Error::PeerMisbehaved(_))), "{what}: {error:?}");
    target.clear_hooks();
    pair.write(0, 0, &[1; 512]).unwrap();
    assert_eq!(target.statistics().logins, 2, "{what}");
    pair.log_out();
}

#[test]
fn b_np_06_a_nop_in_asks_or_answers() {
    is_renewed("both tags", |target, pair| {
        let requests = without_answers(target);
        pair.run_until("the ping", |_| !nops(&requests).is_empty());
        target.inject(answer(nops(&requests)[0].initiator_task_tag, 7));
    });
}

#[test]
fn b_np_07_a_question_about_a_lun_that_is_not_there_is_answered() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    for lun in [[0, 99, 0, 0, 0, 0, 0, 0], [0xff; 8]] {
        let requests = without_answers(&target);
        target.inject(question(5, lun, &[]));
        pair.pass(Duration::from_millis(1));
        let [reply] = nops(&requests)[..] else { panic!("{:?}", nops(&requests)) };
        assert_eq!((reply.lun, reply.target_transfer_tag), (lun, 5));
    }
    target.clear_hooks();
    pair.read(0, 0, 512).unwrap();
    assert_eq!(pair.isboot.last_error(), None);
    pair.log_out();
}

#[test]
fn b_np_08_what_a_question_brings_along_is_ignored() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let requests = without_answers(&target);
    for length in [1, 64, 8192] {
        requests.clear();
        target.inject(question(5, [0; 8], &vec![0xa5; length]));
        target.inject(question(RESERVED_TAG, [0; 8], &vec![0xa5; length]));
        pair.pass(Duration::from_millis(1));
        let [reply] = nops(&requests)[..] else { panic!("{:?}", nops(&requests)) };
        assert_eq!((reply.target_transfer_tag, reply.data_segment_length), (5, 0), "{length}");
    }
    // Nor does an answer bring anything that was asked for.
    let pings = Requests::scripted(&target, |_, request| match request {
        Request::NopOut(nop) => {
            let mut answer = answer(nop.initiator_task_tag, RESERVED_TAG);
            answer.pdu = Pdu::new(answer.pdu.header, vec![0xa5; 64]);
            Handling::Answer(vec![answer])
        }
        _ => Handling::Proceed,
    });
    pair.pass(Duration::from_secs(11));
    assert_eq!(nops(&pings).len(), 2);
    target.clear_hooks();
    pair.read(0, 0, 512).unwrap();
    assert_eq!(pair.isboot.last_error(), None);
    pair.log_out();
}

#[test]
fn b_np_09_information_is_taken_without_an_answer() {
    let target = target().window(1).build();
    let mut pair = Pair::ready(&target, &[]);
    target.set_window(0);
    pair.read(0, 0, 512).unwrap();
    let requests = Requests::of(&target);
    pair.submit_read(0, 0, 512);
    pair.pass(Duration::from_secs(1));
    assert!(requests.on(1).is_empty(), "the window is closed");
    // The built-in target tells of it by such a NOP-In.
    target.set_window(4);
    assert_eq!(pair.finish_one().outcome, Ok(()));
    target.inject(question(RESERVED_TAG, [0; 8], &[]));
    pair.pass(Duration::from_millis(1));
    assert!(nops(&requests).is_empty());
    pair.log_out();
}

#[test]
fn b_np_10_a_storm_is_left() {
    is_renewed("a storm", |target, pair| {
        without_answers(target);
        pair.wire.set_room(0);
        for tag in 0..100_000 {
            target.inject(question(tag, [0; 8], &[]));
        }
        pair.run_until("the loss", |isboot| isboot.last_error().is_some());
        pair.wire.set_room(1 << 16);
    });
    // Of a few, none is lost, and each is answered once.
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let requests = without_answers(&target);
    for _ in 0..100 {
        for tag in 0..20 {
            target.inject(question(tag, [0; 8], &[]));
        }
        pair.pass(Duration::from_millis(1));
    }
    let tags: Vec<u32> = nops(&requests).iter().map(|nop| nop.target_transfer_tag).collect();
    assert!(tags.iter().copied().eq((0..2000).map(|number| number % 20)), "{tags:?}");
    target.clear_hooks();
    pair.log_out();
}

#[test]
fn b_np_11_an_answer_to_no_ping_ends_the_connection() {
    for tag in [0, 0x0001_ff00, 0xdead_beef] {
        is_renewed(&format!("{tag:#x}"), |target, _| target.inject(answer(tag, RESERVED_TAG)));
    }
}

#[test]
fn b_np_12_so_does_a_second_answer() {
    is_renewed("twice", |target, pair| {
        let requests = Requests::scripted(target, |_, request| match request {
            Request::NopOut(nop) => Handling::Answer(vec![
                answer(nop.initiator_task_tag, RESERVED_TAG),
                answer(nop.initiator_task_tag, RESERVED_TAG),
            ]),
            _ => Handling::Proceed,
        });
        pair.run_until("the ping", |_| !nops(&requests).is_empty());
    });
}

#[test]
fn b_np_13_a_question_in_a_burst_is_answered_between_two_pdus() {
    for (initial_r2t, room) in [(true, 4096), (true, 100), (false, 4096)] {
        let target = target()
            .initial_r2t(initial_r2t)
            .first_burst_length(262_144)
            .max_recv_data_segment_length(8192)
            .build();
        let mut pair =
            Pair::new(&target, &[("initial_r2t", if initial_r2t { "yes" } else { "no" })]);
        pair.become_ready();
        pair.wire.set_room(room);
        let asked = target.clone();
        let mut seen = 0;
        let requests = Requests::scripted(&target, move |_, request| match request {
            Request::NopOut(_) => Handling::Swallow,
            Request::DataOut(_) => {
                seen += 1;
                if seen == 3 {
                    asked.inject(question(77, [0; 8], &[]));
                }
                Handling::Proceed
            }
            _ => Handling::Proceed,
        });
        pair.write(0, 0, &vec![0x5a; 262_144]).unwrap();
        let order = requests.on(1);
        let place = order.iter().position(|request| matches!(request, Request::NopOut(_)));
        let place = place.expect("an answer");
        let before = order[..place].iter().filter(|r| matches!(r, Request::DataOut(_))).count();
        assert!(
            (3..=6).contains(&before),
            "initial_r2t {initial_r2t}, room {room}: after {before}"
        );
        assert!(order[place..].iter().any(|r| matches!(r, Request::DataOut(data) if !data.last)));
        assert_eq!(target.read_lun(0, 262_143, 1).unwrap(), [0x5a]);
        target.clear_hooks();
        pair.wire.set_room(1 << 16);
        pair.log_out();
    }
}

#[test]
fn b_np_14_all_eight_bytes_of_the_lun_come_back() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let requests = without_answers(&target);
    let lun = [0x41, 0x2c, 0, 0, 0, 0, 0, 0];
    target.inject(question(0xabba_abba, lun, &[]));
    target.inject(question(0, [1, 2, 3, 4, 5, 6, 7, 8], &[]));
    pair.pass(Duration::from_millis(1));
    let [first, second] = nops(&requests)[..] else { panic!("{:?}", nops(&requests)) };
    assert_eq!((first.lun, first.target_transfer_tag), (lun, 0xabba_abba));
    assert_eq!((second.lun, second.target_transfer_tag), ([1, 2, 3, 4, 5, 6, 7, 8], 0));
    target.clear_hooks();
    pair.log_out();
}
