//! B-RX: Data-In and residuals.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use isboot::disk::RequestError;
use isboot::pdu::bhs::{BasicHeaderSegment, opcode};
use isboot::pdu::request::Request;
use isboot::pdu::response::{DataIn, Residual, Response, ScsiResponse};
use isboot::session::{Error, TaskError};
use isboot_tests::pair::{Pair, Random, target};
use isboot_tests::target::{Fate, Handling, Injection, Pdu};

use crate::transfers::{Trial, answer, content, good, last_part, part};

/// The read of these rows: three segments of 512 bytes.
const LENGTH: usize = 1536;

/// A read answered by `script` renews the session; issued again it has the right bytes.
#[track_caller]
fn renews(what: &str, script: Vec<Response>) {
    let mut trial = Trial::new();
    trial.answer_read(script);
    trial.assert_reads(LENGTH, what);
    trial.assert_renewed(what);
}

/// A read answered by `script` has the right bytes at once.
#[track_caller]
fn is_taken(what: &str, script: Vec<Response>) {
    let mut trial = Trial::new();
    let reads = trial.target.statistics().command_count(0x28);
    trial.answer_read(script);
    trial.assert_reads(LENGTH, what);
    assert_eq!(trial.target.statistics().command_count(0x28), reads, "{what}: issued once");
    trial.assert_untroubled(what);
}

/// A read answered by `script` fails for itself alone: the session lives, the next read is right.
#[track_caller]
fn fails(what: &str, error: RequestError, script: Vec<Response>) {
    let mut trial = Trial::new();
    trial.answer_read(script);
    assert_eq!(trial.read(LENGTH), Err(error), "{what}");
    trial.assert_reads(LENGTH, what);
    trial.assert_untroubled(what);
}

fn with(response: Response, change: impl FnOnce(&mut DataIn)) -> Response {
    let Response::DataIn(mut data_in) = response else { panic!("Data-In") };
    change(&mut data_in);
    Response::DataIn(data_in)
}

fn whole() -> Vec<Response> {
    vec![part(0, 0..512), part(1, 512..1024), last_part(2, 1024..1536)]
}

#[test]
fn b_rx_01_data_past_the_end_is_not_taken() {
    renews("at the end", vec![part(0, 1536..1540), last_part(1, 0..1536)]);
    renews("after all of it", vec![part(0, 0..1536), last_part(1, 1536..1540)]);
}

#[test]
fn b_rx_02_data_across_the_end_is_not_taken() {
    for beyond in [1, 8192] {
        renews("from the start", vec![last_part(0, 0..1536 + beyond)]);
        renews("from the middle", vec![part(0, 0..1024), last_part(1, 1024..1536 + beyond)]);
    }
}

#[test]
fn b_rx_03_offset_and_length_do_not_wrap() {
    for offset in [0xffff_fff0, 0xffff_ffe0, 0xffff_ffff] {
        let wrapping = with(last_part(0, 0..32), |pdu| pdu.buffer_offset = offset);
        renews("first", vec![wrapping]);
        let wrapping = with(wrapping, |pdu| pdu.data_sn = 1);
        renews("second", vec![part(0, 0..1024), wrapping]);
        // Where any order was agreed on, the sum alone tells.
        let mut trial = any_order(false, false);
        trial.answer_read(vec![part(0, 512..1024), wrapping]);
        trial.assert_reads(LENGTH, "in any order");
        trial.assert_renewed("in any order");
    }
}

#[test]
fn b_rx_04_a_segment_above_the_declared_length_ends_the_connection() {
    let mut trial =
        Trial::configured(target(), &[], |c| c.login.offer.max_recv_data_segment_length = 512);
    trial.answer_read(vec![last_part(0, 0..516)]);
    trial.assert_reads(LENGTH, "516 bytes");
    let error = trial.pair.isboot.last_error();
    let rule = "PDU with opcode 0x25 announces 516 bytes of data, more than the 512 allowed";
    assert!(error.is_some_and(|error| error.to_string().contains(rule)), "{error:?}");
    trial.assert_renewed("516 bytes");
}

#[test]
fn b_rx_05_overlapping_data_is_not_taken() {
    renews("all of it", vec![part(0, 0..512), part(1, 0..512), last_part(2, 512..1536)]);
    renews("a byte", vec![part(0, 0..512), part(1, 511..1024), last_part(2, 1024..1536)]);
}

#[test]
fn b_rx_06_descending_offsets_are_not_taken() {
    renews("512, 0", vec![part(0, 512..1024), part(1, 0..512), last_part(2, 1024..1536)]);
}

#[test]
fn b_rx_07_a_hole_in_the_data_is_no_success() {
    renews("in the middle", vec![part(0, 0..512), last_part(1, 1024..1536)]);
    renews(
        "with a response of its own",
        vec![part(0, 0..512), part(1, 1024..1536), good(2, Residual::None)],
    );
}

/// A trial in which data may come in any order.
fn any_order(pdu: bool, sequence: bool) -> Trial {
    let builder = target().data_in_order(pdu, sequence);
    Trial::configured(builder, &[], |config| {
        config.login.offer.data_pdu_in_order = pdu;
        config.login.offer.data_sequence_in_order = sequence;
    })
}

#[test]
fn b_rx_08_data_comes_in_any_order_that_was_agreed_on() {
    for (pdu, sequence) in [(false, false), (false, true), (true, false)] {
        for seed in 0..20 {
            let mut trial = any_order(pdu, sequence);
            let mut order: Vec<u32> = (0..32).collect();
            order.sort_by_cached_key(|&n| Random(seed * 100 + u64::from(n)).next_number());
            let mut script: Vec<Response> =
                (0..).zip(&order).map(|(sn, &n)| part(sn, n * 512..(n + 1) * 512)).collect();
            script.push(good(32, Residual::None));
            trial.answer_read(script);
            let reads = trial.target.statistics().command_count(0x28);
            trial.assert_reads(32 * 512, "shuffled");
            assert_eq!(trial.target.statistics().command_count(0x28), reads, "issued once");
            trial.assert_untroubled("shuffled");
        }
    }
}

/// Also in any order every byte comes once, and GOOD without all of them is none.
#[test]
fn b_rx_08_any_order_is_not_any_data() {
    for (what, script) in [
        ("a byte twice", vec![part(0, 512..1024), part(1, 0..513), last_part(2, 1024..1536)]),
        ("all twice", vec![part(0, 512..1536), part(1, 0..512), last_part(2, 0..1536)]),
        ("past the end", vec![part(0, 1024..1537), last_part(1, 0..1024)]),
        ("one lost", vec![part(0, 1024..1536), part(1, 0..512), good(3, Residual::None)]),
        ("DataSN", vec![part(0, 1024..1536), last_part(2, 0..1024)]),
        ("too scattered", (0..60).map(|n| part(n, n * 20..n * 20 + 10)).collect()),
    ] {
        let mut trial = any_order(false, false);
        trial.answer_read(script);
        trial.assert_reads(LENGTH, what);
        trial.assert_renewed(what);
    }
    let mut trial = any_order(false, false);
    trial.answer_read(vec![part(0, 1024..1536), last_part(1, 0..512)]);
    assert_eq!(trial.read(LENGTH), Err(RequestError::Short), "a hole that nobody tells of");
    trial.assert_untroubled("a hole");
}

#[test]
fn b_rx_09_a_hole_in_data_sn_is_seen() {
    renews("0, 1, 3", vec![part(0, 0..512), part(1, 512..1024), last_part(3, 1024..1536)]);
    renews("from 1", vec![part(1, 0..512), last_part(2, 512..1536)]);
    renews(
        "0, 2, and a response",
        vec![part(0, 0..512), part(2, 512..1536), good(3, Residual::None)],
    );
}

#[test]
fn b_rx_10_fewer_pdus_than_counted_are_no_success() {
    renews("the last lost", vec![part(0, 0..512), part(1, 512..1024), good(3, Residual::None)]);
    renews("all lost", vec![good(1, Residual::None)]);
}

#[test]
fn b_rx_11_fewer_bytes_than_expected_are_no_success() {
    let short = RequestError::Short;
    fails("counted right", short, vec![part(0, 0..1024), good(1, Residual::None)]);
    fails("none", short, vec![good(0, Residual::None)]);
    fails("with status", short, vec![part(0, 0..512), last_part(1, 512..1535)]);
    fails("overflow", short, vec![part(0, 0..1024), good(1, Residual::Overflow(7))]);
}

#[test]
fn b_rx_12_a_data_sn_that_comes_again_is_discarded() {
    let other = with(part(0, 512..1024), |pdu| pdu.last = true);
    for (what, twice) in [("the same", part(0, 0..512)), ("another", other)] {
        is_taken(what, vec![part(0, 0..512), twice, part(1, 512..1024), last_part(2, 1024..1536)]);
    }
    // One that brings the status would be the end of the task.
    renews("with status", vec![part(0, 0..512), part(1, 512..1024), last_part(1, 1024..1536)]);
}

#[test]
fn b_rx_13_a_legal_underflow_is_a_success() {
    // The bring-up's INQUIRY has 252 bytes of room; 36 come.
    for with_status in [true, false] {
        let target = target().build();
        target.on_request(move |_, pdu| match Request::parse(&pdu.header) {
            Ok(Request::ScsiCommand(command)) if command.cdb[..2] == [0x12, 0] => {
                let tag = command.initiator_task_tag;
                let residual = Residual::Underflow(command.expected_data_transfer_length - 36);
                let mut data = match with_status {
                    true => answer(tag, with(last_part(0, 0..36), |pdu| pdu.residual = residual)),
                    false => answer(tag, part(0, 0..36)),
                };
                data.pdu.data =
                    [&[0, 0, 5, 2, 31, 0, 0, 2], &b"by hand disk            1"[..]].concat();
                data.pdu.data.resize(36, b' ');
                let status = (!with_status).then(|| answer(tag, good(1, residual)));
                Handling::Answer(std::iter::once(data).chain(status).collect())
            }
            _ => Handling::Proceed,
        });
        let mut pair = Pair::ready(&target, &[]);
        let [disk] = pair.isboot.disks() else { panic!("one disk") };
        assert_eq!((disk.vendor.trim(), disk.product.trim()), ("by hand", "disk"));
        assert_eq!(pair.isboot.last_error(), None);
        pair.log_out();
    }
}

#[test]
fn b_rx_14_underflow_of_a_block_read_is_an_error() {
    let short = RequestError::Short;
    fails("all", short, vec![good(0, Residual::Underflow(1536))]);
    fails("a block", short, vec![part(0, 0..1024), good(1, Residual::Underflow(512))]);
    let with_status = with(last_part(0, 0..1024), |pdu| pdu.residual = Residual::Underflow(512));
    fails("with the data", short, vec![with_status]);
}

#[test]
fn b_rx_15_overflow_of_a_block_read_is_an_error() {
    let long = RequestError::Long;
    fails("a response", long, vec![part(0, 0..1536), good(1, Residual::Overflow(512))]);
    let with_status = with(last_part(0, 0..1536), |pdu| pdu.residual = Residual::Overflow(512));
    fails("with the data", long, vec![with_status]);
}

/// The bits of a status: O is 04h, U 02h.
fn flagged(response: Response, bits: u8, count: u32) -> impl FnOnce(u32) -> Injection {
    move |tag| {
        let mut injection = answer(tag, response);
        let mut bytes = *injection.pdu.header.as_bytes();
        bytes[1] |= bits;
        bytes[44..48].copy_from_slice(&count.to_be_bytes());
        injection.pdu.header = BasicHeaderSegment::from_bytes(bytes);
        injection
    }
}

#[test]
fn b_rx_16_overflow_with_underflow_is_a_format_error() {
    for (what, status) in [("data", last_part(1, 512..1536)), ("response", good(2, Residual::None))]
    {
        let mut trial = Trial::new();
        let status = flagged(status, 0x06, 0);
        trial.answer_read_with(move |tag, _| vec![answer(tag, part(0, 0..512)), status(tag)]);
        trial.assert_reads(LENGTH, what);
        assert!(matches!(trial.pair.isboot.last_error(), Some(Error::Malformed(_))), "{what}");
        trial.assert_renewed(what);
    }
}

#[test]
fn b_rx_17_a_residual_above_the_expected_length_renews_the_session() {
    for count in [1537, u32::MAX] {
        renews("a response", vec![part(0, 0..1536), good(1, Residual::Underflow(count))]);
        let with_status =
            with(last_part(0, 0..1536), |pdu| pdu.residual = Residual::Underflow(count));
        renews("with the data", vec![with_status]);
    }
}

#[test]
fn b_rx_18_a_residual_count_without_flags_is_ignored() {
    for (what, sn, status) in
        [("data", 1, last_part(1, 512..1536)), ("response", 1, good(2, Residual::None))]
    {
        let mut trial = Trial::new();
        let status = flagged(status, 0, 512);
        trial.answer_read_with(move |tag, _| {
            let mut script = vec![answer(tag, part(0, 0..512))];
            if what == "response" {
                script.push(answer(tag, part(sn, 512..1536)));
            }
            script.push(status(tag));
            script
        });
        trial.assert_reads(LENGTH, what);
        trial.assert_untroubled(what);
    }
}

#[test]
fn b_rx_19_a_residual_that_the_bytes_belie_is_an_error() {
    let short = RequestError::Short;
    fails("a response", short, vec![part(0, 0..1536), good(1, Residual::Underflow(100))]);
    let with_status = with(last_part(0, 0..1536), |pdu| pdu.residual = Residual::Underflow(100));
    fails("with the data", short, vec![with_status]);
}

#[test]
fn b_rx_20_a_request_for_acknowledgement_is_ignored() {
    let script = whole().into_iter().map(|response| {
        with(response, |pdu| {
            (pdu.acknowledge, pdu.last) = (true, true);
            (pdu.lun, pdu.target_transfer_tag) = ([0; 8], 0x1234_5678);
        })
    });
    is_taken("A on each", script.collect());
}

#[test]
fn b_rx_21_status_in_a_pdu_that_is_not_the_last_is_a_format_error() {
    renews("S without F", vec![with(last_part(0, 0..1536), |pdu| pdu.last = false)]);
}

#[test]
fn b_rx_22_an_error_status_does_not_come_with_data() {
    for status in [0x02, 0x08, 0x18, 0x28] {
        renews(
            &format!("status {status:#04x}"),
            vec![with(last_part(0, 0..1536), |pdu| pdu.status = Some(status))],
        );
    }
}

#[test]
fn b_rx_23_a_response_after_the_status_answers_nobody() {
    let mut trial = Trial::new();
    let mut script = whole();
    script.push(good(3, Residual::None));
    trial.answer_read(script);
    trial.assert_reads(LENGTH, "the status counts");
    trial.pair.pass(Duration::from_secs(3));
    trial.assert_reads(LENGTH, "the next one");
    trial.assert_renewed("a response after the status");
}

#[test]
fn b_rx_24_a_read_of_several_sequences_ends_with_its_status() {
    // 8192 bytes in sequences of 1024, the status in its own time.
    let sequences = || (0..8).map(|n| with(part(n, n * 1024..(n + 1) * 1024), |p| p.last = true));
    let mut trial = Trial::of(target().max_burst_length(1024).first_burst_length(512), &[]);
    let tag = Arc::new(AtomicU32::new(0));
    let seen = tag.clone();
    trial.answer_read_with(move |tag, _| {
        seen.store(tag, Ordering::Relaxed);
        sequences().map(|response| answer(tag, response)).collect()
    });
    let id = trial.pair.submit_read(0, 0, 8192);
    trial.pair.pass(Duration::from_secs(1));
    assert!(trial.pair.take_completion().is_none(), "not done before the status");
    let status = good(8, Residual::None);
    trial.target.inject(answer(tag.load(Ordering::Relaxed), status));
    let finished = trial.pair.finish_one();
    assert_eq!((finished.id, finished.buffer), (id, Some(content(8192))));
    trial.assert_untroubled("8 sequences");
}

#[test]
fn b_rx_25_a_sequence_longer_than_a_burst_is_taken() {
    // istgt does not cut its sequences.
    let mut trial = Trial::of(target().max_burst_length(512).first_burst_length(512), &[]);
    let mut script: Vec<Response> = (0..15).map(|n| part(n, n * 512..(n + 1) * 512)).collect();
    script.push(last_part(15, 15 * 512..16 * 512));
    trial.answer_read(script);
    let reads = trial.target.statistics().command_count(0x28);
    trial.assert_reads(8192, "one sequence of 16 bursts");
    assert_eq!(trial.target.statistics().command_count(0x28), reads, "issued once");
    trial.assert_untroubled("one sequence of 16 bursts");
}

#[test]
fn b_rx_26_empty_pdus_are_taken_anywhere() {
    let script = vec![
        part(0, 0..0),
        part(1, 0..512),
        part(2, 512..512),
        part(3, 0..0),
        part(4, 512..1536),
        last_part(5, 1536..1536),
    ];
    is_taken("first, middle and last", script);
    is_taken("status at offset 0", vec![part(0, 0..1536), last_part(1, 0..0)]);
}

#[test]
fn b_rx_27_odd_lengths_are_taken_without_their_padding() {
    for length in [1, 2, 3, 5, 511] {
        let starts: Vec<u32> = (0..1536).step_by(length as usize).collect();
        let script = (0..).zip(&starts).map(|(sn, &start)| match start + length {
            end if end >= 1536 => last_part(sn, start..1536),
            end => part(sn, start..end),
        });
        is_taken(&format!("segments of {length}"), script.collect());
    }
}

/// A command without data: FLUSH, answered by data.
#[test]
fn b_rx_28_data_for_a_command_without_data_is_not_taken() {
    for data in [part(0, 0..4), last_part(0, 0..4), last_part(0, 0..0), part(0, 0..512)] {
        let mut trial = Trial::new();
        let mut done = false;
        trial.target.on_request(move |_, pdu| {
            if pdu.header.opcode() != opcode::SCSI_COMMAND || std::mem::replace(&mut done, true) {
                return Handling::Proceed;
            }
            Handling::Answer(vec![answer(pdu.header.initiator_task_tag(), data)])
        });
        trial.pair.flush(0).unwrap();
        trial.assert_renewed(&format!("{data:?}"));
    }
}

#[test]
fn b_rx_29_data_after_the_response_is_missed_by_the_response() {
    renews("all after", vec![good(2, Residual::None), part(0, 0..512), part(1, 512..1536)]);
    renews(
        "one after",
        vec![part(0, 0..512), good(3, Residual::None), part(1, 512..1024), part(2, 1024..1536)],
    );
}

#[test]
fn b_rx_30_reads_mixed_pdu_by_pdu_each_have_their_bytes() {
    let mut trial = Trial::new();
    let mut tags = Vec::new();
    trial.target.on_request(move |_, pdu| {
        if pdu.header.opcode() != opcode::SCSI_COMMAND || tags.len() == 8 {
            return Handling::Proceed;
        }
        tags.push(pdu.header.initiator_task_tag());
        if tags.len() < 8 {
            return Handling::Swallow;
        }
        // Read n has its bytes from block n on: PDU by PDU, the tasks in turn.
        let mut answers = Vec::new();
        for sn in 0..8 {
            for (n, &tag) in (0..).zip(&tags) {
                let range = sn * 512..(sn + 1) * 512;
                let response = if sn == 7 { last_part(sn, range) } else { part(sn, range) };
                let mut injection = answer(tag, response);
                let start = (n + sn as usize) * 512;
                injection.pdu.data = content(start + 512).split_off(start);
                answers.push(injection);
            }
        }
        Handling::Answer(answers)
    });
    let ids: Vec<_> = (0..8).map(|lba| trial.pair.submit_read(0, lba, 4096)).collect();
    for _ in 0..8 {
        let finished = trial.pair.finish_one();
        let lba = ids.iter().position(|&id| id == finished.id).unwrap();
        let expected = content(lba * 512 + 4096).split_off(lba * 512);
        assert_eq!(finished.outcome, Ok(()));
        assert_eq!(finished.buffer, Some(expected), "block {lba}");
    }
    trial.assert_untroubled("eight reads");
}

#[test]
fn b_rx_31_a_count_of_data_that_was_not_due_is_ignored() {
    for exp_data_sn in [1, 7, u32::MAX] {
        let mut trial = Trial::new();
        trial.target.on_response(move |_, pdu| {
            if let Ok(Response::Scsi(response)) = Response::parse(&pdu.header) {
                let response = Response::Scsi(ScsiResponse { exp_data_sn, ..response });
                *pdu = Pdu::new(response.emit(), pdu.data.clone());
            }
            Fate::Send
        });
        trial.pair.flush(0).unwrap();
        trial.assert_untroubled("a flush");
    }
}

/// What never comes right is an error in the end.
#[test]
fn b_rx_09_a_hole_every_time_is_an_error() {
    let mut trial = Trial::new();
    trial.target.on_request(|_, pdu| match pdu.header.opcode() {
        opcode::SCSI_COMMAND => {
            let tag = pdu.header.initiator_task_tag();
            Handling::Answer(vec![answer(tag, last_part(1, 0..1536))])
        }
        _ => Handling::Proceed,
    });
    let error = RequestError::Task(TaskError::RetriesExhausted);
    assert_eq!(trial.read(LENGTH), Err(error));
}
