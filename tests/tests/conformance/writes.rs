//! B-WX: Data-Out and R2T.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use isboot::disk::{CommandData, DiskId, RequestError};
use isboot::pdu::bhs::{RESERVED_TAG, opcode};
use isboot::pdu::request::Request;
use isboot::pdu::response::{ReadyToTransfer, Residual, Response, ScsiResponse};
use isboot::session::{Error, Waiting};
use isboot_tests::pair::{Chart, Pair, scsi_response, target};
use isboot_tests::target::{Builder, Fate, Handling, Injection, Pdu};

use crate::stall::{COMMAND_TIMEOUT, MANAGEMENT_TIMEOUT, managed, watch};
use crate::support::reject;
use crate::transfers::{Sent, Trial, answer, content, good, r2t};

/// The write of these rows.
const LENGTH: usize = 4096;

/// A target that asks for all data.
fn asks() -> Builder {
    target().immediate_data(false)
}

fn trial() -> Trial {
    Trial::of(asks(), &[])
}

/// A write with these R2Ts, of which the last breaks the rules, renews the session: nothing of
/// the last is answered, and the write is done in the end.
#[track_caller]
fn renews(what: &str, script: &[ReadyToTransfer]) {
    renews_in(trial(), what, script);
}

#[track_caller]
fn renews_in(mut trial: Trial, what: &str, script: &[ReadyToTransfer]) -> Sent {
    let sent = trial.answer_write(script, 1);
    trial.assert_writes(LENGTH, what);
    sent.assert_answers(&script[..script.len() - 1], u32::MAX, what);
    trial.assert_renewed(what);
    sent
}

/// A write of `length` bytes with these R2Ts, so many at a time, has all of them answered.
#[track_caller]
fn answers(
    mut trial: Trial,
    what: &str,
    length: usize,
    script: &[ReadyToTransfer],
    at_once: usize,
) {
    let sent = trial.answer_write(script, at_once);
    assert_eq!(trial.write(length), Ok(()), "{what}");
    sent.assert_answers(script, u32::MAX, what);
    trial.assert_untroubled(what);
}

#[test]
fn b_wx_01_an_r2t_past_the_end_is_not_answered() {
    renews("across the end", &[r2t(0, 0..4608)]);
    renews("by a byte", &[r2t(0, 0..2048), r2t(1, 2048..4097)]);
    renews("behind the end", &[r2t(0, 0..4096), r2t(1, 4096..4608)]);
}

#[test]
fn b_wx_02_an_r2ts_offset_and_length_do_not_wrap() {
    let wrapping = |offset, length| ReadyToTransfer {
        buffer_offset: offset,
        desired_data_transfer_length: length,
        ..r2t(0, 0..0)
    };
    for (offset, length) in [(0xffff_fe00, 1024), (0xffff_fe00, 512), (0xffff_ffff, 4096)] {
        let what = format!("{length} from {offset:#x} on");
        renews(&what, &[wrapping(offset, length)]);
        // Where any order was agreed on, the sum alone tells.
        let trial = Trial::configured(asks().data_in_order(true, false), &[], |config| {
            config.login.offer.data_sequence_in_order = false;
        });
        renews_in(trial, &what, &[wrapping(offset, length)]);
    }
}

#[test]
fn b_wx_03_an_r2t_for_nothing_is_a_protocol_error() {
    renews("first", &[r2t(0, 0..0)]);
    renews("second", &[r2t(0, 0..1024), r2t(1, 1024..1024)]);
}

#[test]
fn b_wx_04_an_r2t_above_max_burst_length_is_a_protocol_error() {
    for (length, burst) in [(1536, 1024), (1025, 1024), (4096, 4095)] {
        let builder = asks().first_burst_length(512).max_burst_length(burst);
        let what = format!("{length} above {burst}");
        renews_in(Trial::of(builder, &[]), &what, &[r2t(0, 0..length)]);
    }
}

#[test]
fn b_wx_05_the_reserved_tag_names_no_r2t() {
    let reserved = ReadyToTransfer { target_transfer_tag: RESERVED_TAG, ..r2t(0, 0..1024) };
    let sent = renews_in(trial(), "reserved tag", &[reserved]);
    assert!(sent.lock().data.is_empty(), "nothing was sent");
}

#[test]
fn b_wx_06_an_r2t_with_data_or_additional_headers_is_a_format_error() {
    for (what, data, additional) in [("data", 4, 0), ("a header", 0, 4), ("both", 8, 8)] {
        let mut trial = trial();
        let sent = trial.record();
        let mut changed = false;
        trial.target.on_response(move |_, pdu| {
            if pdu.header.opcode() == opcode::READY_TO_TRANSFER
                && !std::mem::replace(&mut changed, true)
            {
                pdu.data = vec![0; data];
                pdu.additional = vec![0; additional];
                pdu.header.set_data_segment_length(data as u32);
                pdu.header.set_total_ahs_length((additional / 4) as u8);
            }
            Fate::Send
        });
        trial.assert_writes(LENGTH, what);
        assert!(matches!(trial.pair.isboot.last_error(), Some(Error::Malformed(_))), "{what}");
        let answered = sent.lock().data.len();
        assert_eq!(answered, 1, "{what}: only the second issue sends data");
        trial.assert_renewed(what);
    }
}

#[test]
fn b_wx_07_a_hole_in_r2t_sn_is_a_lost_r2t() {
    renews("0, 2", &[r2t(0, 0..1024), r2t(2, 1024..2048)]);
    renews("from 1", &[r2t(1, 0..4096)]);
}

#[test]
fn b_wx_08_an_r2t_that_comes_again_is_discarded() {
    // At once, after its answer, and after the next one.
    for again in 1..4 {
        let mut script = vec![r2t(0, 0..1024), r2t(1, 1024..2048), r2t(2, 2048..4096)];
        let unique = script.clone();
        script.insert(again, r2t(0, 0..1024));
        let mut trial = Trial::of(asks().max_outstanding_r2t(4), &[("max_outstanding_r2t", "4")]);
        let sent = trial.answer_write(&script, 4);
        assert_eq!(trial.write(LENGTH), Ok(()));
        sent.assert_answers(&unique, u32::MAX, "each once");
        trial.assert_untroubled("each once");
    }
}

#[test]
fn b_wx_09_more_r2ts_than_agreed_are_not_taken() {
    for (agreed, offered) in [(1, "1"), (1, "4"), (2, "4"), (4, "4")] {
        let builder = asks().max_outstanding_r2t(agreed);
        let mut trial = Trial::of(builder, &[("max_outstanding_r2t", offered)]);
        let script: Vec<_> = (0..agreed + 2).map(|n| r2t(n, n * 512..n * 512 + 512)).collect();
        // None is answered before the last has come.
        trial.pair.wire.set_room(0);
        let sent = trial.answer_write(&script, script.len());
        trial.pair.wire.set_room(48);
        trial.assert_writes(LENGTH, "too many");
        assert!(sent.lock().data.is_empty(), "the R2Ts came together");
        trial.assert_renewed("too many");
    }
}

#[test]
fn b_wx_10_as_many_r2ts_as_agreed_are_answered_in_their_order() {
    for agreed in [1, 2, 3, 4] {
        let script: Vec<_> = (0..agreed).map(|n| r2t(n, n * 1024..n * 1024 + 1024)).collect();
        let trial = Trial::of(asks().max_outstanding_r2t(agreed), &[("max_outstanding_r2t", "4")]);
        let length = 1024 * agreed as usize;
        answers(trial, &format!("{agreed} at once"), length, &script, script.len());
    }
}

#[test]
fn b_wx_11_a_storm_of_r2ts_ends_the_connection() {
    let mut trial = trial();
    let script: Vec<_> = (0..10_000).map(|n| r2t(n, 0..512)).collect();
    let sent = trial.answer_write(&script, script.len());
    trial.assert_writes(LENGTH, "a storm");
    assert!(sent.lock().data.len() <= 1, "one R2T may be outstanding");
    trial.assert_renewed("a storm");
}

#[test]
fn b_wx_12_a_range_that_was_sent_is_sent_again() {
    let script = [r2t(0, 0..2048), r2t(1, 1024..2048), r2t(2, 0..512), r2t(3, 2048..4096)];
    answers(trial(), "again", LENGTH, &script, 1);
    let script = [r2t(0, 0..4096), r2t(1, 0..4096)];
    answers(trial(), "all of it", LENGTH, &script, 1);
}

#[test]
fn b_wx_13_an_r2t_for_immediate_data_is_answered() {
    let mut trial = Trial::of(target(), &[]);
    let script = [r2t(0, 0..4096), r2t(1, 4096..8192)];
    let sent = trial.answer_write(&script, 1);
    // All of it is immediate: no R2T is needed, and yet they come.
    assert_eq!(trial.write(8192), Ok(()));
    assert_eq!(sent.commands()[0].data_segment_length, 8192);
    sent.assert_answers(&script, u32::MAX, "immediate data again");
    trial.assert_untroubled("immediate data again");
}

#[test]
fn b_wx_14_r2ts_that_leave_a_gap_are_not_answered_in_order() {
    let script = [r2t(0, 2048..4096), r2t(1, 0..2048)];
    let sent = renews_in(trial(), "descending", &script[..1]);
    assert!(sent.lock().data.is_empty());
    renews("a gap", &[r2t(0, 0..1024), r2t(1, 1025..2048)]);
}

#[test]
fn b_wx_15_tiny_r2ts_are_answered_to_the_byte() {
    for step in [1, 3, 513] {
        let starts: Vec<u32> = (0..4096).step_by(step as usize).collect();
        let script: Vec<_> =
            (0..).zip(&starts).map(|(n, &s)| r2t(n, s..(s + step).min(4096))).collect();
        let trial = trial();
        let target = trial.target.clone();
        answers(trial, &format!("{step} bytes"), LENGTH, &script, 1);
        assert!(target.remarks().is_empty(), "padding is zero: {:?}", target.remarks());
    }
}

#[test]
fn b_wx_16_good_before_all_data_was_asked_for_is_no_success() {
    for asked in [0, 512, 2048, 4095] {
        let mut trial = trial();
        let mut lies = 1;
        trial.target.on_request(move |_, pdu| {
            let (code, tag) = (pdu.header.opcode(), pdu.header.initiator_task_tag());
            match code {
                opcode::SCSI_COMMAND if lies == 1 => {
                    let first = match asked {
                        0 => good(0, Residual::None),
                        _ => Response::ReadyToTransfer(r2t(0, 0..asked)),
                    };
                    lies = if asked == 0 { 0 } else { 2 };
                    Handling::Answer(vec![answer(tag, first)])
                }
                opcode::DATA_OUT if lies == 2 => {
                    lies = 0;
                    Handling::Answer(vec![answer(tag, good(1, Residual::None))])
                }
                _ => Handling::Proceed,
            }
        });
        let what = format!("{asked} asked for");
        trial.assert_writes(LENGTH, &what);
        trial.assert_renewed(&what);
    }
}

#[test]
fn b_wx_17_a_short_write_is_an_error() {
    for sent in [0, 512, 4095] {
        let mut trial = trial();
        trial.target.on_request(move |_, pdu| match pdu.header.opcode() {
            opcode::SCSI_COMMAND => {
                let residual = Residual::Underflow(4096 - sent);
                let tag = pdu.header.initiator_task_tag();
                Handling::Answer(vec![answer(tag, good(0, residual))])
            }
            _ => Handling::Proceed,
        });
        assert_eq!(trial.write(LENGTH), Err(RequestError::Short), "{sent} bytes taken");
        trial.target.clear_hooks();
        trial.assert_writes(LENGTH, "the next");
        trial.assert_untroubled("a short write");
    }
}

/// CHECK CONDITION with MEDIUM ERROR, WRITE ERROR.
fn check_condition(tag: u32) -> Injection {
    let Response::Scsi(status) = good(0, Residual::None) else { unreachable!() };
    let mut injection = answer(tag, Response::Scsi(ScsiResponse { status: 2, ..status }));
    let sense = [0x70, 0, 3, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x0c, 0, 0, 0, 0, 0];
    let header = injection.pdu.header;
    injection.pdu = Pdu::new(header, [&[0, 18], &sense[..]].concat());
    injection
}

/// A write error while a burst of eight segments goes out.
#[test]
fn b_wx_18_an_error_status_ends_a_burst_and_is_delivered_once() {
    for after in 1..8 {
        let mut trial = Trial::of(asks().max_recv_data_segment_length(512), &[]);
        let (mut failed, mut parts) = (None, 0);
        let late = Arc::new(Mutex::new(Vec::new()));
        let seen = late.clone();
        trial.target.on_request(move |_, pdu| {
            let tag = pdu.header.initiator_task_tag();
            match Request::parse(&pdu.header) {
                Ok(Request::ScsiCommand(_)) if failed.is_none() => {
                    failed = Some(tag);
                    Handling::Answer(vec![answer(tag, Response::ReadyToTransfer(r2t(0, 0..4096)))])
                }
                Ok(Request::ScsiCommand(_)) => {
                    seen.lock().unwrap().clear();
                    Handling::Proceed
                }
                Ok(Request::DataOut(_)) if failed == Some(tag) => {
                    parts += 1;
                    seen.lock().unwrap().push(tag);
                    match parts == after {
                        true => Handling::Answer(vec![check_condition(tag)]),
                        false => Handling::Swallow,
                    }
                }
                _ => Handling::Proceed,
            }
        });
        // Room for one segment: the status comes in the middle of the burst.
        trial.pair.wire.set_room(600);
        let error = trial.write(LENGTH).expect_err("the unit says so");
        let RequestError::Scsi { status: 2, sense: Some(sense) } = error else {
            panic!("{error:?}")
        };
        assert_eq!((sense.code, sense.qualifier), (0x0c, 0x00));
        trial.assert_writes(LENGTH, "the next");
        assert!(late.lock().unwrap().is_empty(), "no Data-Out of it after the next command");
        trial.assert_untroubled("a failed write");
    }
}

#[test]
fn b_wx_19_all_data_modes_send_what_they_may() {
    const FIRST_BURST: u32 = 2048;
    for (initial_r2t, immediate) in [(true, true), (true, false), (false, true), (false, false)] {
        for segment in [512, 1024, 65_536] {
            for length in [1024, 2048, 4096] {
                let builder = target()
                    .initial_r2t(initial_r2t)
                    .immediate_data(immediate)
                    .first_burst_length(FIRST_BURST)
                    .max_recv_data_segment_length(segment);
                let mut trial = Trial::of(builder, &[("initial_r2t", "no")]);
                let what = format!("{initial_r2t} {immediate} {segment} {length}");
                let before = trial.target.statistics();
                let sent = trial.record();
                trial.assert_writes(length as usize, &what);
                let after = trial.target.statistics();
                // The table of RFC 7143 §13.11.
                let allowed = length.min(FIRST_BURST);
                let with_command = if immediate { allowed.min(segment) } else { 0 };
                let unsolicited = if initial_r2t { 0 } else { allowed - with_command };
                let bytes = u64::from;
                assert_eq!(
                    after.immediate_bytes - before.immediate_bytes,
                    bytes(with_command),
                    "{what}"
                );
                assert_eq!(
                    after.unsolicited_bytes - before.unsolicited_bytes,
                    bytes(unsolicited),
                    "{what}"
                );
                assert_eq!(
                    after.solicited_bytes - before.solicited_bytes,
                    bytes(length - with_command - unsolicited),
                    "{what}"
                );
                assert_eq!(sent.commands()[0].last, unsolicited == 0, "{what}: F");
                trial.assert_untroubled(&what);
            }
        }
    }
}

#[test]
fn b_wx_20_a_segment_bounds_immediate_data() {
    let builder = target().first_burst_length(65_536).max_recv_data_segment_length(512);
    let mut trial = Trial::of(builder.immediate_data(true).initial_r2t(true), &[]);
    let chart = Chart::of(&trial.target);
    trial.assert_writes(1536, "segments of 512");
    chart.assert(&[
        "> write 1536, 512 immediate",
        "< r2t 512..1536",
        "> data 512..1024",
        "> data 1024..1536, last",
        "< good",
    ]);
    trial.assert_untroubled("segments of 512");
}

#[test]
fn b_wx_21_unsolicited_data_of_a_command_goes_before_that_of_the_next() {
    for immediate in [true, false] {
        let builder = target()
            .initial_r2t(false)
            .immediate_data(immediate)
            .first_burst_length(2048)
            .max_recv_data_segment_length(512);
        let mut trial = Trial::of(builder, &[("initial_r2t", "no")]);
        let chart = Chart::of(&trial.target);
        let ids: Vec<_> =
            (0..2).map(|n| trial.pair.submit_write(0, n * 8, &content(LENGTH))).collect();
        for _ in &ids {
            assert_eq!(trial.pair.finish_one().outcome, Ok(()));
        }
        let sent: Vec<String> = chart.take();
        let unsolicited: Vec<&str> = sent
            .iter()
            .map(String::as_str)
            .filter(|line| line.starts_with("> write") || line.starts_with("> unsolicited"))
            .collect();
        let one: &[&str] = match immediate {
            true => &[
                "> write 4096, 512 immediate, more follows",
                "> unsolicited 512..1024",
                "> unsolicited 1024..1536",
                "> unsolicited 1536..2048, last",
            ],
            false => &[
                "> write 4096, more follows",
                "> unsolicited 0..512",
                "> unsolicited 512..1024",
                "> unsolicited 1024..1536",
                "> unsolicited 1536..2048, last",
            ],
        };
        assert_eq!(unsolicited, [one, one].concat());
        trial.assert_untroubled("two writes");
    }
}

#[test]
fn b_wx_22_an_r2t_begins_where_unsolicited_data_ends() {
    for immediate in [true, false] {
        let builder = target()
            .initial_r2t(false)
            .immediate_data(immediate)
            .first_burst_length(2048)
            .max_recv_data_segment_length(1024);
        let mut trial = Trial::of(builder, &[("initial_r2t", "no")]);
        let script = [r2t(0, 2048..4096)];
        let sent = trial.answer_write(&script, 1);
        assert_eq!(trial.write(LENGTH), Ok(()));
        sent.assert_answers(&script, 1024, "the rest");
        trial.assert_untroubled("the rest");
    }
}

/// A target that reads nothing for ten seconds while a burst goes out, and then goes on.
#[test]
fn b_wx_24_a_burst_that_was_held_up_goes_on_to_the_byte() {
    let held_up = |pings: bool| {
        let mut trial = Trial::of(asks().max_recv_data_segment_length(512), &[]);
        let id = trial.pair.submit_write(0, 128, &content(LENGTH));
        trial.pair.wire.set_room(700);
        let begin = trial.target.statistics().solicited_bytes;
        let target = trial.target.clone();
        trial.pair.run_until("the burst", |_| target.statistics().solicited_bytes > begin);
        trial.pair.wire.set_room(0);
        for _ in 0..5 {
            if pings {
                trial.target.ping(b"still here");
            }
            trial.pair.pass(Duration::from_secs(2));
        }
        assert!(trial.pair.take_completion().is_none());
        trial.pair.wire.set_room(1 << 16);
        assert_eq!(trial.pair.finish_one().id, id);
        let held = trial.target.read_lun(0, 128 * 512, LENGTH).unwrap();
        assert_eq!(held, content(LENGTH));
        trial
    };
    // The target speaks meanwhile: it is alive, and its pings are answered in the end.
    let mut trial = held_up(true);
    trial.pair.pass(Duration::from_secs(1));
    assert_eq!(trial.target.statistics().ping_answers, 5);
    trial.assert_untroubled("ten seconds");
    // It does not: the session is renewed after the ping's time, and the write is done then.
    let mut trial = held_up(false);
    assert_eq!(trial.pair.isboot.last_error(), Some(Error::Timeout(Waiting::Ping)));
    assert_eq!(trial.target.statistics().logins, 2);
    trial.pair.log_out();
}

#[test]
fn b_wx_23_a_length_that_is_no_multiple_of_four_is_padded_and_not_counted() {
    // PERSISTENT RESERVE OUT with a list that no standard has: only its length matters.
    let command = |length: u32| {
        let mut cdb = [0; 16];
        cdb[0] = 0x5f;
        cdb[5..9].copy_from_slice(&length.to_be_bytes());
        cdb
    };
    for immediate in [true, false] {
        for length in [1, 23, 511, 1030, 2047] {
            let target = target().immediate_data(immediate).max_recv_data_segment_length(513);
            let target = target.build();
            let mut pair = Pair::ready(&target, &[]);
            let seen: Arc<Mutex<Vec<Pdu>>> = Arc::default();
            let log = Arc::clone(&seen);
            target.on_request(move |_, pdu| {
                if !pdu.data.is_empty() {
                    log.lock().unwrap().push(pdu.clone());
                }
                Handling::Proceed
            });
            let content = content(length);
            let data = CommandData::Out(content.clone());
            let submitted = pair.isboot.submit_command(DiskId(0), command(length as u32), data);
            // The unit does not want it, and got all of it.
            pair.finish(submitted).unwrap_err();
            let pdus = seen.lock().unwrap().clone();
            let what = format!("{length} bytes, immediate {immediate}");
            let (last, others) = pdus.split_last().expect("data went out");
            assert!(others.iter().all(|pdu| pdu.data.len() % 4 == 0), "{what}");
            assert_eq!(last.data.len() % 4, length % 4, "{what}");
            let sent: Vec<u8> = pdus.iter().flat_map(|pdu| pdu.data.clone()).collect();
            assert_eq!(sent, content, "{what}");
            // Padding that is not zero would be one.
            assert!(target.remarks().is_empty(), "{what}: {:?}", target.remarks());
            pair.log_out();
        }
    }
}

/// A write that the target takes in, and for which it never asks for data.
#[test]
fn b_wx_25_a_write_whose_r2t_never_comes_is_aborted_and_issued_again() {
    for aborts in [true, false] {
        let mut trial = Trial::of(asks(), &[]);
        let mut stuck = true;
        let log = watch(&trial.target, move |request, _| match request {
            Request::ScsiCommand(_) if std::mem::take(&mut stuck) => Handling::Swallow,
            Request::TaskManagement(management) => {
                let done = managed(management.initiator_task_tag, 0);
                Handling::Answer(if aborts { vec![done] } else { vec![] })
            }
            _ => Handling::Proceed,
        });
        let begin = trial.pair.now();
        assert_eq!(trial.write(LENGTH), Ok(()), "aborts: {aborts}");
        let took = trial.pair.now().since(begin);
        let [management] = log.managements()[..] else { panic!("one function") };
        let [first, again] = log.commands()[..] else { panic!("issued again once") };
        assert_eq!(management.referenced_task_tag, first.initiator_task_tag);
        assert_eq!(management.ref_cmd_sn, first.cmd_sn);
        assert_eq!(again.cdb, first.cdb);
        if aborts {
            assert_eq!(took, COMMAND_TIMEOUT);
            trial.assert_untroubled("aborted");
        } else {
            assert!(took >= COMMAND_TIMEOUT + MANAGEMENT_TIMEOUT, "{took:?}");
            let silence = Error::Timeout(Waiting::TaskManagement);
            assert_eq!(trial.pair.isboot.last_error(), Some(silence));
            assert_eq!(trial.target.statistics().logins, 2);
        }
    }
}

/// Data that the target could not read is data that it did not get: the Reject says so, the
/// status ends the task, and the write is done again.
#[test]
fn b_wx_26_a_rejected_data_out_ends_nothing_and_its_status_leads_to_another_issue() {
    let mut trial = Trial::of(asks(), &[("data_digest", "crc32c")]);
    let mut first = true;
    let log = watch(&trial.target, move |request, pdu| match request {
        Request::DataOut(_) if std::mem::take(&mut first) => {
            Handling::Answer(vec![reject(0x02, pdu.header.as_bytes())])
        }
        _ => Handling::Proceed,
    });
    let id = trial.pair.submit_write(0, 128, &content(LENGTH));
    trial.pair.pass(Duration::from_secs(3));
    assert!(trial.pair.take_completion().is_none(), "the Reject alone completes nothing");
    assert_eq!(log.data_outs().len(), 1);
    let mut check = scsi_response(log.commands()[0].initiator_task_tag, 2, Residual::None, []);
    let sense = [0, 18, 0x70, 0, 0x0b, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x47, 0x05, 0, 0, 0, 0];
    check.pdu = Pdu::new(check.pdu.header, sense.to_vec());
    trial.target.inject(check);
    let finished = trial.pair.finish_one();
    assert_eq!((finished.id, finished.outcome), (id, Ok(())));
    assert_eq!(log.commands().len(), 2, "issued again once");
    assert_eq!(trial.target.read_lun(0, 128 * 512, LENGTH).unwrap(), content(LENGTH));
    assert_eq!(trial.pair.isboot.last_error(), None);
}
