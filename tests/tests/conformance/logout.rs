//! B-LO: logout responses.

use std::time::Duration;

use isboot::disk::RequestError;
use isboot::pdu::bhs::RESERVED_TAG;
use isboot::pdu::request::{LogoutReason, LogoutRequest, Request};
use isboot::pdu::response::{DataIn, LogoutResponse, Residual, Response};
use isboot::session::{Error, LinkFailure, Waiting};
use isboot_tests::pair::{Break, NUMBERS, Pair, asynchronous, good, status_pdu, target};
use isboot_tests::target::{Fate, Handling, Injection, Numbering, Pdu, Target};

use crate::nop::question;
use crate::support::Requests;

pub(crate) fn response(request: &LogoutRequest, response: u8, time2wait: u16) -> Injection {
    let response = LogoutResponse {
        response,
        initiator_task_tag: request.initiator_task_tag,
        numbers: NUMBERS,
        time2wait,
        time2retain: 9,
    };
    status_pdu(Response::Logout(response), [])
}

/// Answers Logout Requests by `script` and everything else as ever.
fn answer_logouts(
    target: &Target,
    mut script: impl FnMut(&LogoutRequest) -> Vec<Injection> + Send + 'static,
) -> Requests {
    Requests::scripted(target, move |_, request| match request {
        Request::Logout(logout) => Handling::Answer(script(logout)),
        _ => Handling::Proceed,
    })
}

/// Detaches a pair at work; what came of it, how long that took, and what the target got.
fn detach(
    script: impl FnMut(&LogoutRequest) -> Vec<Injection> + Send + 'static,
) -> (Option<Error>, Duration, Vec<Request>) {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    pair.write(0, 0, &[1; 512]).unwrap();
    let requests = answer_logouts(&target, script);
    let begin = pair.now();
    pair.isboot.detach(begin);
    let why = pair.end();
    let took = pair.now().since(begin);
    pair.run_until("the close", |isboot| isboot.is_detached());
    assert_eq!(pair.now().since(begin), took, "the connection goes with the session");
    // Nobody comes back.
    pair.pass(Duration::from_secs(300));
    assert_eq!(pair.wire.portals().len(), 1);
    (why, took, requests.on(1))
}

#[test]
fn b_lo_01_a_logout_is_a_success_and_the_end_of_the_connection() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    pair.log_out();
    assert_eq!(target.statistics().logouts, 1);
    assert!(pair.isboot.is_detached());
}

#[test]
fn b_lo_02_the_initiator_closes_when_the_target_does_not() {
    // Answered by hand, the built-in target goes on with the session.
    let (why, took, requests) = detach(|request| vec![response(request, 0, 7)]);
    assert_eq!(why, None);
    assert_eq!(took, Duration::ZERO);
    assert_eq!(requests.len(), 1);
}

#[test]
fn b_lo_03_no_such_connection_closes_it_all_the_same() {
    let (why, took, _) = detach(|request| vec![response(request, 1, 99)]);
    assert_eq!(why, Some(Error::LogoutRefused { response: 1, time2wait: 99 }));
    assert_eq!(took, Duration::ZERO, "the times mean nothing");
    // On the way to the next login neither.
    assert_eq!(pause_after(1, 99), Duration::ZERO);
}

#[test]
fn b_lo_04_an_answer_about_recovery_closes_too() {
    let (why, took, _) = detach(|request| vec![response(request, 2, 0)]);
    assert_eq!(why, Some(Error::LogoutRefused { response: 2, time2wait: 0 }));
    assert_eq!(took, Duration::ZERO);
}

/// A logout that the target asked for is answered so: the time until the next connection.
fn pause_after(code: u8, time2wait: u16) -> Duration {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    pair.read(0, 0, 512).unwrap();
    answer_logouts(&target, move |request| vec![response(request, code, time2wait)]);
    target.inject(asynchronous(1, [0, 0, 3], []));
    let begin = pair.now();
    let wire = pair.wire.clone();
    pair.run_until("the next connection", |_| wire.portals().len() == 2);
    let pause = pair.now().since(begin);
    target.clear_hooks();
    pair.write(0, 0, &[2; 512]).unwrap();
    pair.log_out();
    pause
}

#[test]
fn b_lo_05_a_target_that_could_not_clean_up_is_given_its_time() {
    assert_eq!(pause_after(3, 2), Duration::from_secs(2));
    assert_eq!(pause_after(3, 0), Duration::ZERO);
    assert_eq!(pause_after(2, 5), Duration::from_secs(5));
    assert_eq!(pause_after(0, 5), Duration::ZERO, "both times count for nothing after success");
    // At the end the caller is told of it.
    let (why, ..) = detach(|request| vec![response(request, 3, 2)]);
    assert_eq!(why, Some(Error::LogoutRefused { response: 3, time2wait: 2 }));
}

#[test]
fn b_lo_06_silence_is_waited_for_no_longer_than_the_limit() {
    let (why, took, _) = detach(|_| Vec::new());
    assert_eq!(why, Some(Error::Timeout(Waiting::Logout)));
    assert_eq!(took, Duration::from_secs(5));
    // Nor does a target that takes nothing in hold anybody up.
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    pair.wire.set_room(0);
    let begin = pair.now();
    pair.isboot.detach(begin);
    assert_eq!(pair.end(), Some(Error::Timeout(Waiting::Logout)));
    assert_eq!(pair.now().since(begin), Duration::from_secs(5));
    pair.run_until("the close", |isboot| isboot.is_detached());
}

#[test]
fn b_lo_07_what_comes_before_the_response_is_taken_and_not_answered() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let mut reads = Vec::new();
    let requests = Requests::scripted(&target, move |_, request| match request {
        Request::ScsiCommand(command) => {
            reads.push(command.initiator_task_tag);
            Handling::Swallow
        }
        Request::Logout(logout) => {
            let data_in = DataIn {
                last: true,
                acknowledge: false,
                status: Some(0),
                residual: Residual::None,
                lun: [0; 8],
                initiator_task_tag: reads[0],
                target_transfer_tag: RESERVED_TAG,
                numbers: NUMBERS,
                data_sn: 0,
                buffer_offset: 0,
                data_segment_length: 0,
            };
            let pdu = Pdu::new(Response::DataIn(data_in).emit(), vec![0x77; 512]);
            let mut answers = vec![
                Injection { pdu, numbering: Numbering::Status },
                good(reads[1], Residual::Underflow(512)),
            ];
            // More than would be borne elsewhere: nobody owes an answer now.
            answers.extend((0..100).map(|tag| question(tag, [0; 8], &[])));
            answers.push(response(logout, 0, 0));
            Handling::Answer(answers)
        }
        _ => Handling::Proceed,
    });
    let first = pair.submit_read(0, 0, 512);
    pair.submit_read(0, 1, 512);
    pair.pass(Duration::from_millis(1));
    let now = pair.now();
    pair.isboot.detach(now);
    assert_eq!(pair.end(), None);
    assert!(matches!(requests.on(1).last(), Some(Request::Logout(_))), "{:?}", requests.on(1));
    assert_eq!(requests.on(1).len(), 3);
    // The read that was answered in full is a success; the other brought no data.
    let finished = [pair.finish_one(), pair.finish_one()];
    let done = finished.iter().find(|finished| finished.id == first).unwrap();
    assert_eq!((&done.outcome, &done.buffer), (&Ok(()), &Some(vec![0x77; 512])));
    pair.run_until("the close", |isboot| isboot.is_detached());
    assert_eq!(pair.take_completion().map(|_| ()), None);
}

#[test]
fn b_lo_08_the_fields_of_a_logout_request() {
    for outstanding in [false, true] {
        let target = target().build();
        let mut pair = Pair::ready(&target, &[]);
        let requests = Requests::of(&target);
        let last = std::sync::Arc::new(std::sync::Mutex::new(0));
        let learned = last.clone();
        target.on_response(move |_, pdu| {
            if let Ok(Response::Scsi(response)) = Response::parse(&pdu.header) {
                *learned.lock().unwrap() = response.numbers.stat_sn.0;
            }
            Fate::Send
        });
        pair.write(0, 0, &[1; 512]).unwrap();
        if outstanding {
            target.pause();
            pair.submit_read(0, 0, 512);
            pair.pass(Duration::from_millis(1));
        }
        let now = pair.now();
        pair.isboot.detach(now);
        assert_eq!(pair.end(), None);
        if outstanding {
            let given_up = RequestError::SessionEnded;
            assert_eq!(pair.finish_one().outcome, Err(given_up));
        }
        let requests = requests.on(1);
        let [.., Request::ScsiCommand(command), Request::Logout(logout)] = requests[..] else {
            panic!("{requests:?}")
        };
        assert_eq!(logout.reason, LogoutReason::CloseSession);
        assert_eq!(logout.cmd_sn, command.cmd_sn.next());
        assert_eq!(logout.exp_stat_sn.0, last.lock().unwrap().wrapping_add(1));
        assert_ne!(logout.initiator_task_tag, RESERVED_TAG);
        assert_ne!(logout.initiator_task_tag, command.initiator_task_tag);
        pair.run_until("the close", |isboot| isboot.is_detached());
        pair.assert_no_violations();
    }
}

#[test]
fn b_lo_09_a_reset_for_an_answer_is_an_end() {
    for how in [Break::Reset, Break::Close] {
        let target = target().build();
        let mut pair = Pair::ready(&target, &[]);
        let requests = answer_logouts(&target, |_| Vec::new());
        let now = pair.now();
        pair.isboot.detach(now);
        pair.run_until("the request", |_| !requests.on(1).is_empty());
        pair.wire.break_now(how);
        assert_eq!(pair.end(), None, "{how:?}");
        pair.run_until("the close", |isboot| isboot.is_detached());
        pair.pass(Duration::from_secs(300));
        assert_eq!(pair.wire.portals().len(), 1, "{how:?}: no recovery");
    }
    // Before the request is out, it is a loss; but nobody comes back for it.
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    pair.wire.set_room(0);
    let now = pair.now();
    pair.isboot.detach(now);
    pair.pass(Duration::from_millis(1));
    pair.wire.break_now(Break::Reset);
    assert_eq!(pair.end(), Some(Error::Link(LinkFailure::Reset)));
    pair.pass(Duration::from_secs(300));
    assert_eq!(pair.wire.portals().len(), 1);
}

#[test]
fn b_lo_10_a_response_code_that_nobody_assigned_is_an_end() {
    for code in [4, 255] {
        let (why, took, _) = detach(move |request| vec![response(request, code, 60)]);
        assert_eq!(why, Some(Error::LogoutRefused { response: code, time2wait: 60 }));
        assert_eq!(took, Duration::ZERO);
        assert_eq!(pause_after(code, 60), Duration::ZERO);
    }
}
