//! B-RJ: Reject of each reason.

use std::time::Duration;

use isboot::boot::State;
use isboot::disk::RequestError;
use isboot::pdu::bhs::{BasicHeaderSegment, RESERVED_TAG, opcode};
use isboot::pdu::request::{
    Request, SnackRequest, TaskManagementFunction as Function, TextRequest,
};
use isboot::pdu::response::{ReadyToTransfer, Residual, Response};
use isboot::pdu::serial::SerialNumber;
use isboot::session::{Error, TaskError, Waiting};
use isboot_tests::pair::{NUMBERS, Pair, Random, asynchronous, good, scsi_response, target};
use isboot_tests::target::{Fate, Handling, Injection, Numbering, Pdu, Target};

use crate::stall::{COMMAND_TIMEOUT, Log, MANAGEMENT_TIMEOUT, watch};
use crate::support::reject;

/// A target that rejects the first `count` commands; `shape` makes the data segment of a header.
fn reject_commands(
    target: &Target,
    reason: u8,
    mut count: usize,
    shape: fn(&[u8]) -> Vec<u8>,
) -> Log {
    watch(target, move |request, pdu| match request {
        Request::ScsiCommand(_) if count > 0 => {
            count -= 1;
            Handling::Answer(vec![reject(reason, &shape(pdu.header.as_bytes()))])
        }
        _ => Handling::Proceed,
    })
}

/// Connection and CmdSN of each command.
fn commands(log: &Log) -> Vec<(u64, SerialNumber)> {
    let command = |(connection, request)| match request {
        Request::ScsiCommand(command) => Some((connection, command.cmd_sn)),
        _ => None,
    };
    log.all().into_iter().filter_map(command).collect()
}

/// A command that is rejected is not sent again in that session, nor is any later one: the hole
/// that it leaves in CmdSN goes with the session. In the next session it is issued anew.
fn costs_the_session(reason: u8, shape: fn(&[u8]) -> Vec<u8>) {
    for write in [false, true] {
        let target = target().times(0, 0).build();
        let mut pair = Pair::ready(&target, &[]);
        let log = reject_commands(&target, reason, 1, shape);
        if write {
            pair.write(0, 0, &[5; 512]).unwrap();
            assert_eq!(target.read_lun(0, 0, 512).unwrap(), [5; 512], "{reason:#x}");
        } else {
            pair.read(0, 0, 512).unwrap();
        }
        let connections: Vec<u64> = commands(&log).iter().map(|(number, _)| *number).collect();
        assert_eq!(connections, [1, 2], "{reason:#x}: once in each session");
        assert_eq!(pair.isboot.last_error(), Some(Error::Rejected { reason }));
        assert_eq!(target.statistics().logins, 2, "{reason:#x}");
        pair.log_out();
    }
}

/// A command that is rejected again in the next session ends with the reason.
fn fails_when_it_recurs(reason: u8) {
    let target = target().times(0, 0).build();
    let mut pair = Pair::ready(&target, &[]);
    let log = reject_commands(&target, reason, usize::MAX, <[u8]>::to_vec);
    let error = pair.read(0, 0, 512).unwrap_err();
    assert_eq!(error, RequestError::Task(TaskError::Rejected { reason }), "{reason:#x}");
    assert_eq!(commands(&log).len(), 2, "{reason:#x}: bounded");
    target.clear_hooks();
    pair.become_ready();
    pair.read(0, 0, 512).unwrap();
    pair.log_out();
}

/// While a read waits for its status, the target sends this Reject: nothing comes of it.
fn touches_no_task(name: &str, rejected: impl Fn(&BasicHeaderSegment) -> Injection) {
    let target = target().build();
    let data = Random(3).bytes(512);
    target.write_lun(0, 0, &data).unwrap();
    let mut pair = Pair::ready(&target, &[]);
    target.pause();
    let (sender, headers) = std::sync::mpsc::channel();
    let log = watch(&target, move |request, pdu| {
        if matches!(request, Request::ScsiCommand(_)) {
            sender.send(pdu.header).unwrap();
        }
        Handling::Proceed
    });
    let id = pair.submit_read(0, 0, 512);
    pair.pass(Duration::from_secs(1));
    target.inject(rejected(&headers.try_recv().expect("a command")));
    pair.pass(Duration::from_secs(1));
    assert!(pair.take_completion().is_none(), "{name}");
    // The Reject's StatSN is acknowledged with the next request.
    let before = log.commands()[0].exp_stat_sn;
    target.ping(&[]);
    pair.pass(Duration::from_secs(1));
    assert_eq!(log.nop_outs()[0].exp_stat_sn, before.next(), "{name}");
    target.resume();
    let finished = pair.finish_one();
    assert_eq!((finished.id, finished.outcome), (id, Ok(())), "{name}");
    assert_eq!(finished.buffer, Some(data), "{name}");
    pair.pass(COMMAND_TIMEOUT);
    assert_eq!(log.commands().len(), 1, "{name}: not sent again");
    assert_eq!(pair.isboot.last_error(), None, "{name}: the session goes on");
    pair.log_out();
}

/// A SNACK Request that nobody sent, as the header of a Reject.
fn snack() -> [u8; 48] {
    let request = SnackRequest {
        kind: 1,
        lun: [0; 8],
        initiator_task_tag: RESERVED_TAG,
        target_transfer_tag: RESERVED_TAG,
        exp_stat_sn: SerialNumber(1),
        beg_run: 0,
        run_length: 0,
    };
    *Request::Snack(request).emit().as_bytes()
}

#[test]
fn b_rj_01_a_reserved_reason_costs_the_session() {
    costs_the_session(0x01, <[u8]>::to_vec);
    fails_when_it_recurs(0x01);
}

/// A write whose first Data-Out is rejected; the target then does this.
enum Then {
    /// Asks for the same data again.
    AsksAgain,
    /// Ends it with GOOD.
    IsSatisfied,
    /// Ends it with CHECK CONDITION, aborted command, protocol service CRC error (47h/05h).
    Fails,
}

fn rejected_data_out(reason: u8, then: &Then) {
    let target = target().immediate_data(false).build();
    let mut pair = Pair::ready(&target, &[]);
    let (sender, rejected) = std::sync::mpsc::channel();
    let mut first = true;
    let log = watch(&target, move |request, pdu| match request {
        Request::DataOut(data_out) if std::mem::take(&mut first) => {
            sender.send(*data_out).unwrap();
            Handling::Answer(vec![reject(reason, pdu.header.as_bytes())])
        }
        _ => Handling::Proceed,
    });
    let data = Random(11).bytes(2048);
    let id = pair.submit_write(0, 0, &data);
    pair.pass(Duration::from_secs(3));
    assert!(pair.take_completion().is_none(), "{reason:#x}: the Reject alone ends nothing");
    assert_eq!(log.data_outs().len(), 1, "{reason:#x}: and nothing is sent again unasked");
    let data_out = rejected.try_recv().unwrap();
    let tag = data_out.initiator_task_tag;
    let issues = match then {
        Then::AsksAgain => {
            let again = ReadyToTransfer {
                lun: data_out.lun,
                initiator_task_tag: tag,
                target_transfer_tag: data_out.target_transfer_tag,
                numbers: NUMBERS,
                r2t_sn: 1,
                buffer_offset: 0,
                desired_data_transfer_length: 2048,
            };
            let pdu = Pdu::new(Response::ReadyToTransfer(again).emit(), Vec::new());
            target.inject(Injection { pdu, numbering: Numbering::Current });
            1
        }
        Then::IsSatisfied => {
            target.inject(good(tag, Residual::None));
            1
        }
        Then::Fails => {
            let mut check = scsi_response(tag, 2, Residual::None, []);
            let sense = [0x70, 0, 0x0b, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x47, 0x05, 0, 0, 0, 0];
            check.pdu = Pdu::new(check.pdu.header, [&[0, 18][..], &sense].concat());
            target.inject(check);
            2
        }
    };
    let finished = pair.finish_one();
    assert_eq!((finished.id, finished.outcome), (id, Ok(())), "{reason:#x}");
    if !matches!(then, Then::IsSatisfied) {
        assert_eq!(target.read_lun(0, 0, 2048).unwrap(), data, "{reason:#x}");
    }
    pair.pass(Duration::from_secs(1));
    assert!(pair.take_completion().is_none(), "{reason:#x}");
    assert_eq!(log.commands().len(), issues, "{reason:#x}");
    assert_eq!(pair.isboot.last_error(), None, "{reason:#x}");
}

#[test]
fn b_rj_02_a_data_out_with_a_bad_digest_waits_for_an_r2t_or_the_status() {
    rejected_data_out(0x02, &Then::AsksAgain);
    rejected_data_out(0x02, &Then::Fails);
}

#[test]
fn b_rj_03_a_command_with_a_bad_digest_leaves_no_hole() {
    costs_the_session(0x02, <[u8]>::to_vec);
    fails_when_it_recurs(0x02);
}

/// Commands that were under way beside the rejected one come again too, in their order.
#[test]
fn b_rj_03_commands_behind_the_rejected_one_are_issued_again_in_order() {
    let target = target().times(0, 0).build();
    let mut pair = Pair::ready(&target, &[]);
    target.pause();
    let log = reject_commands(&target, 0x02, 1, <[u8]>::to_vec);
    for lba in 0..3 {
        pair.submit_write(0, lba, &[lba as u8 + 1; 512]);
    }
    pair.run_until("the loss", |isboot| isboot.last_error().is_some());
    target.resume();
    for _ in 0..3 {
        pair.finish_one().outcome.unwrap();
    }
    let blocks: Vec<u8> = log.commands().iter().map(|command| command.cdb[5]).collect();
    assert_eq!(blocks, [0, 1, 2, 0, 1, 2]);
    assert_eq!(target.read_lun(0, 512, 512).unwrap(), [2; 512]);
    pair.log_out();
}

#[test]
fn b_rj_04_a_rejected_snack_that_nobody_sent_is_noted() {
    touches_no_task("SNACK reject", |_| reject(0x03, &snack()));
}

#[test]
fn b_rj_05_a_protocol_error_costs_the_session_and_fails_when_it_recurs() {
    costs_the_session(0x04, <[u8]>::to_vec);
    fails_when_it_recurs(0x04);
}

#[test]
fn b_rj_06_a_command_that_is_not_supported_costs_the_session_and_fails_when_it_recurs() {
    costs_the_session(0x05, <[u8]>::to_vec);
    fails_when_it_recurs(0x05);
}

#[test]
fn b_rj_06_a_function_that_is_not_supported_counts_as_refused() {
    for reason in [0x05, 0x04, 0x09] {
        let target = target().build();
        let mut pair = Pair::ready(&target, &[]);
        let mut stuck = true;
        let log = watch(&target, move |request, pdu| match request {
            Request::ScsiCommand(_) if std::mem::take(&mut stuck) => Handling::Swallow,
            Request::TaskManagement(management) if management.function == Function::AbortTask => {
                Handling::Answer(vec![reject(reason, pdu.header.as_bytes())])
            }
            _ => Handling::Proceed,
        });
        let begin = pair.now();
        pair.read(0, 0, 512).unwrap();
        assert_eq!(pair.now().since(begin), COMMAND_TIMEOUT, "{reason:#x}: at once");
        let steps = [Function::AbortTask, Function::LogicalUnitReset];
        assert_eq!(log.functions(), steps, "{reason:#x}");
        assert_eq!(pair.isboot.last_error(), None, "{reason:#x}");
        pair.log_out();
    }
}

#[test]
fn b_rj_07_a_ping_that_finds_no_room_is_sent_again_later_and_bounded() {
    for (refusals, lost) in [(3, false), (8, false), (9, true)] {
        let target = target().times(0, 0).build();
        let mut pair = Pair::ready(&target, &[]);
        let mut left = refusals;
        let log = watch(&target, move |request, pdu| match request {
            Request::NopOut(_) if left > 0 => {
                left -= 1;
                Handling::Answer(vec![reject(0x06, pdu.header.as_bytes())])
            }
            _ => Handling::Proceed,
        });
        pair.pass(Duration::from_millis(5_500 + refusals * 1000));
        let sent = log.nop_outs().len() as u64;
        assert_eq!(sent, if lost { refusals } else { refusals + 1 }, "a second apart");
        let loss = lost.then_some(Error::Rejected { reason: 0x06 });
        assert_eq!(pair.isboot.last_error(), loss, "{refusals}");
        pair.become_ready();
        pair.read(0, 0, 512).unwrap();
        pair.log_out();
    }
}

#[test]
fn b_rj_07_an_answer_that_finds_no_room_is_sent_again_later() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let mut left = 2;
    let log = watch(&target, move |request, pdu| match request {
        Request::NopOut(_) if left > 0 => {
            left -= 1;
            Handling::Answer(vec![reject(0x06, pdu.header.as_bytes())])
        }
        _ => Handling::Proceed,
    });
    target.ping(&[]);
    pair.pass(Duration::from_secs(4));
    let answers = log.nop_outs();
    assert_eq!(answers.len(), 3);
    assert!(answers.iter().all(|nop| nop.target_transfer_tag == answers[0].target_transfer_tag));
    assert_eq!(target.statistics().ping_answers, 1);
    assert_eq!(pair.isboot.last_error(), None);
    pair.log_out();
}

#[test]
fn b_rj_07_a_function_that_finds_no_room_is_sent_again_later_and_bounded() {
    for (refusals, lost) in [(3, false), (100, true)] {
        let target = target().times(0, 0).build();
        let mut pair = Pair::ready(&target, &[]);
        let (mut stuck, mut left) = (true, refusals);
        let log = watch(&target, move |request, pdu| match request {
            Request::ScsiCommand(_) if std::mem::take(&mut stuck) => Handling::Swallow,
            Request::TaskManagement(_) if left > 0 => {
                left -= 1;
                Handling::Answer(vec![reject(0x06, pdu.header.as_bytes())])
            }
            _ => Handling::Proceed,
        });
        let begin = pair.now();
        pair.read(0, 0, 512).unwrap();
        let took = pair.now().since(begin);
        let functions = log.functions();
        assert!(functions.iter().all(|&function| function == Function::AbortTask));
        if lost {
            assert!(functions.len() <= 15, "{functions:?}");
            assert!(took >= COMMAND_TIMEOUT + MANAGEMENT_TIMEOUT, "{took:?}");
            let bound = Error::Timeout(Waiting::TaskManagement);
            assert_eq!(pair.isboot.last_error(), Some(bound));
        } else {
            assert_eq!(functions.len(), 4);
            assert_eq!(took, COMMAND_TIMEOUT + Duration::from_secs(3), "a second apart");
            assert_eq!(pair.isboot.last_error(), None);
        }
        pair.log_out();
    }
}

#[test]
fn b_rj_08_a_task_in_progress_is_waited_for() {
    touches_no_task("task in progress", |header| reject(0x07, header.as_bytes()));
}

#[test]
fn b_rj_09_a_rejected_acknowledgement_that_nobody_sent_is_noted() {
    touches_no_task("invalid data ACK", |_| reject(0x08, &snack()));
}

#[test]
fn b_rj_10_an_invalid_field_in_a_data_out_waits_and_in_a_command_costs_the_session() {
    rejected_data_out(0x09, &Then::Fails);
    rejected_data_out(0x09, &Then::AsksAgain);
    costs_the_session(0x09, <[u8]>::to_vec);
    fails_when_it_recurs(0x09);
}

#[test]
fn b_rj_12_a_negotiation_reset_fails_the_login() {
    let target = target().build();
    let mut pair = Pair::new(&target, &[]);
    let mut once = true;
    target.on_request(move |_, pdu| {
        if pdu.header.opcode() == opcode::LOGIN_REQUEST && std::mem::take(&mut once) {
            return Handling::Answer(vec![reject(0x0b, pdu.header.as_bytes())]);
        }
        Handling::Proceed
    });
    pair.run_until("the failure", |isboot| isboot.last_error().is_some());
    assert_eq!(pair.isboot.last_error(), Some(Error::Rejected { reason: 0x0b }));
    assert_eq!(pair.isboot.state(), State::Connecting, "the connection is given up");
    pair.become_ready();
    assert_eq!(target.statistics().connections, 2);
    pair.log_out();
}

#[test]
fn b_rj_12_a_negotiation_reset_in_full_feature_phase_changes_no_terms() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let terms = pair.isboot.negotiated().cloned();
    target.inject(reject(0x0b, &text_request()));
    pair.pass(Duration::from_secs(1));
    assert_eq!(pair.isboot.negotiated().cloned(), terms);
    pair.read(0, 0, 512).unwrap();
    assert_eq!(pair.isboot.last_error(), None);
    pair.log_out();
}

/// A session in which the target asks for a negotiation (Async event 4), and whose Text Request is
/// then rejected for these reasons in turn; the next one is served.
fn negotiate(reasons: &'static [u8]) -> (Pair, Log) {
    let target = target().times(0, 0).build();
    let mut pair = Pair::ready(&target, &[]);
    let mut reasons = reasons.iter();
    let log = watch(&target, move |request, pdu| match (request, reasons.as_slice().first()) {
        (Request::Text(_), Some(&reason)) => {
            reasons.next();
            Handling::Answer(vec![reject(reason, pdu.header.as_bytes())])
        }
        _ => Handling::Proceed,
    });
    target.inject(event(4));
    pair.pass(Duration::from_secs(4));
    (pair, log)
}

/// An Asynchronous Message that asks for something within three seconds.
fn event(event: u8) -> Injection {
    asynchronous(event, [0, 0, 3], [])
}

fn texts(log: &Log) -> Vec<TextRequest> {
    let text = |(_, request)| match request {
        Request::Text(text) => Some(text),
        _ => None,
    };
    log.all().into_iter().filter_map(text).collect()
}

/// The exchange is over, and nothing else: the terms hold, and commands go on.
fn ends_the_exchange(reason: &'static [u8]) {
    let (mut pair, log) = negotiate(reason);
    let terms = pair.isboot.negotiated().cloned();
    assert!(terms.is_some());
    assert_eq!(texts(&log).len(), reason.len(), "{reason:x?}");
    let data = Random(5).bytes(512);
    pair.write(0, 0, &data).unwrap();
    assert_eq!(pair.read(0, 0, 512).unwrap(), data);
    assert_eq!(pair.isboot.negotiated().cloned(), terms, "{reason:x?}");
    assert_eq!(pair.isboot.last_error(), None, "{reason:x?}");
    // It may be started anew when it is wanted again.
    pair.target.inject(event(4));
    pair.pass(Duration::from_secs(1));
    let again = texts(&log);
    assert_eq!(again.len(), reason.len() + 1, "{reason:x?}");
    let last = again.last().unwrap();
    assert_eq!(last.target_transfer_tag, RESERVED_TAG, "{reason:x?}: from its start");
    pair.log_out();
}

#[test]
fn b_rj_06_a_text_request_that_is_not_supported_ends_its_exchange() {
    ends_the_exchange(&[0x05]);
    ends_the_exchange(&[0x04]);
}

/// The target did not count the Text Request, and a command was sent after it: only a new session
/// fills the hole.
#[test]
fn b_rj_06_a_rejected_text_request_leaves_no_hole() {
    for counted in [true, false] {
        let target = target().times(0, 0).build();
        let mut pair = Pair::ready(&target, &[]);
        let (sender, headers) = std::sync::mpsc::channel();
        let log = watch(&target, move |request, pdu| match request {
            Request::Text(_) => {
                sender.send(pdu.header).unwrap();
                Handling::Swallow
            }
            _ => Handling::Proceed,
        });
        target.pause();
        target.inject(event(4));
        pair.pass(Duration::from_millis(10));
        let text = headers.try_recv().expect("a Text Request");
        pair.submit_read(0, 0, 512);
        pair.pass(Duration::from_millis(10));
        assert_eq!(log.commands().len(), 1);
        target.on_response(move |_, pdu| {
            if pdu.header.opcode() == opcode::REJECT && !counted {
                let mut bytes = *pdu.header.as_bytes();
                bytes[28..32].copy_from_slice(&text.as_bytes()[24..28]);
                pdu.header = BasicHeaderSegment::from_bytes(bytes);
            }
            Fate::Send
        });
        target.inject(reject(0x05, text.as_bytes()));
        pair.pass(Duration::from_millis(10));
        target.resume();
        pair.finish_one().outcome.unwrap();
        let loss = (!counted).then_some(Error::Rejected { reason: 0x05 });
        assert_eq!(pair.isboot.last_error(), loss, "counted: {counted}");
        pair.log_out();
    }
}

#[test]
fn b_rj_11_a_text_request_without_resources_is_over_in_the_end_and_may_be_started_anew() {
    // Sent again a second later each time, and then given up.
    ends_the_exchange(&[0x0a, 0x0a, 0x0a]);
    let (mut pair, log) = negotiate(&[0x0a]);
    assert_eq!(texts(&log).len(), 2, "sent again, and answered");
    pair.read(0, 0, 512).unwrap();
    assert_eq!(pair.isboot.last_error(), None);
    pair.log_out();
}

#[test]
fn b_rj_12_a_negotiation_reset_of_an_exchange_changes_no_terms() {
    ends_the_exchange(&[0x0b]);
}

/// The target asked for a logout, and refuses what reaches it after that.
#[test]
fn b_rj_13_what_a_target_that_waits_for_a_logout_refuses_comes_after_the_next_login() {
    for asked in [true, false] {
        let target = target().times(0, 0).build();
        let mut pair = Pair::ready(&target, &[]);
        let mut once = true;
        let log = watch(&target, move |request, pdu| match request {
            Request::ScsiCommand(_) if std::mem::take(&mut once) => {
                let refusal = reject(0x0c, pdu.header.as_bytes());
                // The message that asks has crossed the command on the way, or is still to come.
                Handling::Answer(if asked { vec![event(1), refusal] } else { vec![refusal] })
            }
            _ => Handling::Proceed,
        });
        pair.write(0, 0, &[6; 512]).unwrap();
        assert_eq!(target.read_lun(0, 0, 512).unwrap(), [6; 512]);
        let logouts: Vec<u64> = log
            .all()
            .iter()
            .filter(|(_, request)| matches!(request, Request::Logout(_)))
            .map(|(connection, _)| *connection)
            .collect();
        assert_eq!(logouts, [1], "asked: {asked}: a Logout Request");
        let connections: Vec<u64> = commands(&log).iter().map(|(number, _)| *number).collect();
        assert_eq!(connections, [1, 2], "asked: {asked}: issued after the next login");
        pair.log_out();
    }
}

/// The header of a Text Request that nobody sent.
fn text_request() -> [u8; 48] {
    let mut header = BasicHeaderSegment::new(opcode::TEXT_REQUEST);
    header.set_initiator_task_tag(0x1234_ff00);
    *header.as_bytes()
}

#[test]
fn b_rj_14_an_unassigned_reason_costs_the_session_and_fails_when_it_recurs() {
    for reason in [0x00, 0x0d, 0xff] {
        costs_the_session(reason, <[u8]>::to_vec);
        fails_when_it_recurs(reason);
    }
}

#[test]
fn b_rj_15_less_than_a_header_names_nobody_and_more_is_ignored() {
    for length in [0, 16, 47] {
        let name = format!("{length} bytes");
        touches_no_task(&name, |header| reject(0x04, &header.as_bytes()[..length]));
    }
    costs_the_session(0x04, |header| [header, &[0xee; 20]].concat());
    costs_the_session(0x04, |header| [header, &[0xee; 1]].concat());
}

#[test]
fn b_rj_16_the_header_of_a_pdu_that_was_never_sent_is_noted() {
    // Another generation of the same slot, another slot, no slot.
    for bit in [0x0001_0000, 0x0000_0001, 0x8000_8000] {
        touches_no_task("unknown tag", |header| {
            let mut header = *header;
            header.set_initiator_task_tag(header.initiator_task_tag() ^ bit);
            reject(0x04, header.as_bytes())
        });
    }
    touches_no_task("another CmdSN", |header| {
        let mut bytes = *header.as_bytes();
        bytes[27] ^= 1;
        reject(0x04, &bytes)
    });
    touches_no_task("no request at all", |_| reject(0x04, &[0x3f; 48]));
}

#[test]
fn b_rj_17_a_response_after_the_reject_of_a_data_out_completes_the_task_once() {
    rejected_data_out(0x02, &Then::IsSatisfied);
    rejected_data_out(0x09, &Then::IsSatisfied);
}
