//! UNH-IOL full feature phase 6 and 8–13: data both ways, R2T.

use isboot::pdu::bhs::{RESERVED_TAG, opcode};
use isboot::pdu::request::Request;
use isboot::pdu::response::{ReadyToTransfer, Residual, Response};
use isboot_tests::pair::{Chart, target};
use isboot_tests::target::{Builder, Fate, Handling};

use crate::transfers::{Sent, Trial, answer, content, good, last_part, part, r2t};

/// A target that asks for all data, in segments of 512 bytes.
fn asks() -> Builder {
    target().immediate_data(false).initial_r2t(true).max_recv_data_segment_length(512)
}

/// R2Ts for `length` bytes, each for `step` of them.
fn r2ts(length: u32, step: u32) -> Vec<ReadyToTransfer> {
    (0..length / step).map(|n| r2t(n, n * step..(n + 1) * step)).collect()
}

/// A write of `length` bytes with these R2Ts, one at a time: what the initiator sent.
fn write(trial: &mut Trial, length: usize, script: &[ReadyToTransfer]) -> Sent {
    let sent = trial.answer_write(script, 1);
    assert_eq!(trial.write(length), Ok(()));
    sent
}

#[test]
fn ffp_6_1_data_sn_counts_each_sequence_from_zero() {
    let mut trial = Trial::of(asks(), &[]);
    let mut tags = Vec::new();
    for _ in 0..2 {
        let script = r2ts(4096, 2048);
        let sent = write(&mut trial, 4096, &script);
        sent.assert_answers(&script, 512, "two sequences");
        let numbers: Vec<u32> = sent.lock().data.iter().map(|(data, _)| data.data_sn).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 0, 1, 2, 3]);
        tags.push(sent.commands()[0].initiator_task_tag);
    }
    assert_ne!(tags[0], tags[1]);
    trial.assert_untroubled("two writes");
}

/// Every way to write 512 to 4096 bytes with a first burst of 512 and bursts of 1024.
fn chart_of_writes(initial_r2t: bool, immediate: bool, charts: &[(usize, &[&str])]) {
    let builder = target()
        .initial_r2t(initial_r2t)
        .immediate_data(immediate)
        .first_burst_length(512)
        .max_burst_length(1024)
        .max_recv_data_segment_length(8192);
    let mut trial = Trial::of(builder, &[("initial_r2t", "no"), ("immediate_data", "yes")]);
    let chart = Chart::of(&trial.target);
    for &(length, lines) in charts {
        trial.assert_writes(length, "a write");
        chart.assert(lines);
    }
    trial.assert_untroubled("writes");
}

#[test]
fn ffp_8_1_unsolicited_data_ends_with_the_first_burst_and_the_rest_is_asked_for() {
    chart_of_writes(
        false,
        true,
        &[
            (512, &["> write 512, 512 immediate", "< good"]),
            (
                2560,
                &[
                    "> write 2560, 512 immediate",
                    "< r2t 512..1536",
                    "> data 512..1536, last",
                    "< r2t 1536..2560",
                    "> data 1536..2560, last",
                    "< good",
                ],
            ),
        ],
    );
    // Segments below the first burst: immediate and unsolicited data together.
    let builder = target()
        .initial_r2t(false)
        .first_burst_length(1536)
        .max_burst_length(2048)
        .max_recv_data_segment_length(512);
    let mut trial = Trial::of(builder, &[("initial_r2t", "no")]);
    let chart = Chart::of(&trial.target);
    trial.assert_writes(2560, "three parts");
    chart.assert(&[
        "> write 2560, 512 immediate, more follows",
        "> unsolicited 512..1024",
        "> unsolicited 1024..1536, last",
        "< r2t 1536..2560",
        "> data 1536..2048",
        "> data 2048..2560, last",
        "< good",
    ]);
    trial.assert_untroubled("three parts");
}

#[test]
fn ffp_8_2_without_leave_no_data_goes_before_its_r2t() {
    chart_of_writes(
        true,
        false,
        &[
            (512, &["> write 512", "< r2t 0..512", "> data 0..512, last", "< good"]),
            (
                2048,
                &[
                    "> write 2048",
                    "< r2t 0..1024",
                    "> data 0..1024, last",
                    "< r2t 1024..2048",
                    "> data 1024..2048, last",
                    "< good",
                ],
            ),
        ],
    );
}

#[test]
fn ffp_8_3_unsolicited_data_goes_in_pdus_of_its_own() {
    chart_of_writes(
        false,
        false,
        &[
            (512, &["> write 512, more follows", "> unsolicited 0..512, last", "< good"]),
            (
                1536,
                &[
                    "> write 1536, more follows",
                    "> unsolicited 0..512, last",
                    "< r2t 512..1536",
                    "> data 512..1536, last",
                    "< good",
                ],
            ),
        ],
    );
}

#[test]
fn ffp_9_1_data_out_carries_its_r2ts_tag_and_the_commands_lun() {
    for target_transfer_tag in [0, 1, 0x0102_0304, 0x8000_0000, 0xffff_fffe] {
        let mut trial = Trial::of(asks(), &[]);
        let script = [ReadyToTransfer { target_transfer_tag, ..r2t(0, 0..2048) }];
        let sent = write(&mut trial, 2048, &script);
        sent.assert_answers(&script, 512, "a chosen tag");
        trial.assert_untroubled("a chosen tag");
    }
    // On another LUN than 0.
    let builder = asks().lun(isboot_tests::target::Lun::memory(1 << 16));
    let mut trial = Trial::of(builder, &[]);
    let sent = trial.record();
    trial.pair.write(1, 0, &content(1024)).unwrap();
    assert_eq!(sent.commands()[0].lun, [0, 1, 0, 0, 0, 0, 0, 0]);
    for (data_out, _) in &sent.lock().data {
        assert_eq!(data_out.lun, [0, 1, 0, 0, 0, 0, 0, 0]);
    }
    trial.assert_untroubled("LUN 1");
}

#[test]
fn ffp_10_1_status_in_the_last_data_in_ends_the_command() {
    let mut trial = Trial::new();
    for _ in 0..3 {
        trial.answer_read(vec![part(0, 0..512), last_part(1, 512..1536)]);
        trial.assert_reads(1536, "status with the data");
    }
    // The statuses are acknowledged by the next command.
    let sent = trial.record();
    let stat_sn = std::sync::Arc::new(std::sync::Mutex::new(0));
    let seen = stat_sn.clone();
    trial.target.on_response(move |_, pdu| {
        if let Ok(Response::DataIn(data_in)) = Response::parse(&pdu.header)
            && data_in.status.is_some()
        {
            *seen.lock().unwrap() = data_in.numbers.stat_sn.0;
        }
        Fate::Send
    });
    trial.assert_reads(512, "one more");
    trial.assert_reads(512, "and one");
    let acknowledged: Vec<u32> = sent.commands().iter().map(|c| c.exp_stat_sn.0).collect();
    assert_eq!(acknowledged[1], acknowledged[0] + 1);
    assert_eq!(acknowledged[1], *stat_sn.lock().unwrap());
    trial.assert_untroubled("status with the data");
}

#[test]
fn ffp_11_1_1_no_segment_is_longer_than_the_target_declares() {
    let builder = target()
        .immediate_data(true)
        .initial_r2t(false)
        .first_burst_length(65_536)
        .max_burst_length(262_144)
        .max_recv_data_segment_length(512);
    let mut trial = Trial::of(builder, &[("initial_r2t", "no")]);
    let sent = trial.record();
    trial.assert_writes(131_072, "in segments of 512");
    assert_eq!(sent.commands()[0].data_segment_length, 512);
    let lengths: Vec<u32> = sent.lock().data.iter().map(|(d, _)| d.data_segment_length).collect();
    assert_eq!(lengths, vec![512; 255]);
    trial.assert_untroubled("in segments of 512");
}

#[test]
fn ffp_11_1_2_an_empty_data_in_is_no_error() {
    for empty in 0..3 {
        let mut trial = Trial::of(asks(), &[]);
        let mut script = vec![part(0, 0..512), part(1, 512..1024), last_part(2, 1024..1536)];
        let at = empty * 512;
        script.insert(empty as usize, part(0, at..at));
        let script = (0..).zip(script).map(|(data_sn, response)| match response {
            Response::DataIn(data) => {
                Response::DataIn(isboot::pdu::response::DataIn { data_sn, ..data })
            }
            other => other,
        });
        trial.answer_read(script.collect());
        let reads = trial.target.statistics().command_count(0x28);
        trial.assert_reads(1536, "with an empty PDU");
        assert_eq!(trial.target.statistics().command_count(0x28), reads, "issued once");
        trial.assert_untroubled("with an empty PDU");
    }
}

#[test]
fn ffp_11_2_1_f_marks_the_last_unsolicited_pdu() {
    for (length, segment, parts) in [(512, 512, 0), (4096, 4096, 0), (4096, 1024, 3)] {
        let builder = target()
            .immediate_data(true)
            .initial_r2t(false)
            .first_burst_length(65_536)
            .max_burst_length(262_144)
            .max_recv_data_segment_length(segment);
        let mut trial = Trial::of(builder, &[("initial_r2t", "no")]);
        let sent = trial.record();
        trial.assert_writes(length, "a first burst");
        let mut last: Vec<bool> = vec![sent.commands()[0].last];
        last.extend(sent.lock().data.iter().map(|(data, _)| data.last));
        let mut expected = vec![false; parts];
        expected.push(true);
        assert_eq!(last, expected, "{length} in segments of {segment}");
        let unsolicited =
            |(d, _): &(isboot::pdu::request::DataOut, _)| d.target_transfer_tag == RESERVED_TAG;
        assert!(sent.lock().data.iter().all(unsolicited));
        trial.assert_untroubled("a first burst");
    }
}

#[test]
fn ffp_11_2_2_f_marks_the_last_pdu_of_an_answer() {
    let mut trial = Trial::of(asks().max_recv_data_segment_length(8192), &[]);
    let script = r2ts(65_536, 65_536);
    let sent = write(&mut trial, 65_536, &script);
    sent.assert_answers(&script, 8192, "65536 bytes");
    let last: Vec<bool> = sent.lock().data.iter().map(|(data, _)| data.last).collect();
    assert_eq!(last, [false, false, false, false, false, false, false, true]);
    trial.assert_untroubled("65536 bytes");
}

#[test]
fn ffp_11_3_data_sn_starts_again_with_each_r2t() {
    let mut trial = Trial::of(asks().max_recv_data_segment_length(1024), &[]);
    let script = r2ts(8192, 2048);
    let sent = write(&mut trial, 8192, &script);
    let numbers: Vec<u32> = sent.lock().data.iter().map(|(data, _)| data.data_sn).collect();
    assert_eq!(numbers, [0, 1, 0, 1, 0, 1, 0, 1]);
    trial.assert_untroubled("four R2Ts");
}

#[test]
fn ffp_11_4_offsets_go_on_from_the_r2ts() {
    let mut trial = Trial::of(asks().max_recv_data_segment_length(1024), &[]);
    let script = r2ts(8192, 2048);
    let sent = write(&mut trial, 8192, &script);
    let expected: Vec<_> = (0..8).map(|n| n * 1024..(n + 1) * 1024).collect();
    assert_eq!(sent.ranges(), expected);
    sent.assert_answers(&script, 1024, "four R2Ts");
    trial.assert_untroubled("four R2Ts");
}

#[test]
fn ffp_12_1_every_part_of_an_answer_has_the_r2ts_tag() {
    let mut trial = Trial::of(asks(), &[]);
    let script = [ReadyToTransfer { target_transfer_tag: 0xabba_abba, ..r2t(0, 0..2048) }];
    let sent = write(&mut trial, 2048, &script);
    let tags: Vec<u32> = sent.lock().data.iter().map(|(d, _)| d.target_transfer_tag).collect();
    assert_eq!(tags, [0xabba_abba; 4]);
    trial.assert_untroubled("four parts");
}

#[test]
fn ffp_12_2_the_parts_of_an_answer_are_its_range() {
    let mut trial = Trial::of(asks(), &[]);
    let script = [r2t(0, 0..4096)];
    let sent = write(&mut trial, 4096, &script);
    let expected: Vec<_> = (0..8).map(|n| n * 512..(n + 1) * 512).collect();
    assert_eq!(sent.ranges(), expected);
    sent.assert_answers(&script, 512, "eight parts");
    trial.assert_untroubled("eight parts");
}

/// A trial with R2Ts in any order, four at a time.
fn any_order() -> Trial {
    let builder = asks().max_outstanding_r2t(4).data_in_order(true, false);
    Trial::configured(builder, &[("max_outstanding_r2t", "4")], |config| {
        config.login.offer.data_sequence_in_order = false;
    })
}

#[test]
fn ffp_12_3_r2ts_in_any_order_are_answered_as_they_came() {
    let starts = [[3072, 2048, 1024, 0], [1024, 0, 3072, 2048], [0, 3072, 1024, 2048]];
    for starts in starts {
        let script: Vec<_> = (0..).zip(starts).map(|(n, s)| r2t(n, s..s + 1024)).collect();
        let mut trial = any_order();
        let sent = trial.answer_write(&script, 4);
        assert_eq!(trial.write(4096), Ok(()));
        sent.assert_answers(&script, 512, "any order");
        trial.assert_untroubled("any order");
    }
}

/// In any order, too, GOOD counts only when all of the data was asked for.
#[test]
fn ffp_12_3_any_order_leaves_nothing_out() {
    for gap in 0..4 {
        let script: Vec<_> = [3072, 2048, 1024, 0]
            .into_iter()
            .filter(|&start| start != gap * 1024)
            .zip(0..)
            .map(|(start, n)| r2t(n, start..start + 1024))
            .collect();
        let mut trial = any_order();
        let sent = trial.answer_write(&script, 4);
        trial.assert_writes(4096, "with a gap");
        sent.assert_answers(&script, 512, "with a gap");
        trial.assert_renewed("with a gap");
    }
}

#[test]
fn ffp_12_4_r2ts_for_two_commands_are_both_answered() {
    let mut trial = Trial::of(asks(), &[]);
    let sent = Sent::default();
    let record = sent.clone();
    let mut tags = Vec::new();
    trial.target.on_request(move |_, pdu| {
        let tag = pdu.header.initiator_task_tag();
        match Request::parse(&pdu.header) {
            Ok(Request::ScsiCommand(_)) => {
                tags.push(tag);
                let ask = |&tag: &u32| answer(tag, Response::ReadyToTransfer(r2t(0, 0..2048)));
                // The second command's R2T first.
                match tags.len() {
                    2 => Handling::Answer(tags.iter().rev().map(ask).collect()),
                    _ => Handling::Swallow,
                }
            }
            Ok(Request::DataOut(data)) => {
                record.lock().data.push((data, pdu.data.clone()));
                match data.last {
                    true => Handling::Answer(vec![answer(tag, good(1, Residual::None))]),
                    false => Handling::Swallow,
                }
            }
            _ => Handling::Proceed,
        }
    });
    for lba in [0, 8] {
        trial.pair.submit_write(0, lba, &content(2048));
    }
    for _ in 0..2 {
        assert_eq!(trial.pair.finish_one().outcome, Ok(()));
    }
    let mut data = std::mem::take(&mut sent.lock().data);
    assert_eq!(data.len(), 8);
    // Whose turn it is, is the initiator's choice; each sequence is whole.
    data.sort_by_key(|(data, _)| data.initiator_task_tag);
    for sequence in data.chunks(4) {
        for (n, (part, bytes)) in (0..).zip(sequence) {
            assert_eq!(part.initiator_task_tag, sequence[0].0.initiator_task_tag);
            assert_eq!((part.data_sn, part.buffer_offset, part.last), (n, n * 512, n == 3));
            assert_eq!(*bytes, content(2048)[n as usize * 512..][..512]);
        }
    }
    trial.target.clear_hooks();
    assert_eq!(trial.target.statistics().request_count(opcode::TASK_MANAGEMENT_REQUEST), 0);
    trial.assert_untroubled("two commands");
}
