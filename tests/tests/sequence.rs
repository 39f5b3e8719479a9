//! Sequences of PDUs between initiator and target, under a virtual clock.

use std::time::Duration;

use isboot::boot::State;
use isboot::pdu::bhs::{RESERVED_TAG, opcode};
use isboot::pdu::response::Response;
use isboot::session::{Error, Waiting};
use isboot_tests::pair::{Chart, NUMBERS, Pair, Random, Setting, target};
use isboot_tests::target::{DigestPolicy, Handling, Injection, Numbering, Pdu};

// --- write data: what goes when (RFC 7143 §13.10, §13.11, §13.14) ---

/// First burst 2048, bursts of 1024 by R2T, segments of 512 or whole bursts: 4096 bytes.
fn write_chart(immediate_data: bool, initial_r2t: bool, segment: u32, r2ts: u32) -> Vec<String> {
    let target = target()
        .immediate_data(immediate_data)
        .initial_r2t(initial_r2t)
        .first_burst_length(2048)
        .max_burst_length(1024 * 2)
        .r2t_length(1024)
        .max_outstanding_r2t(r2ts)
        .max_recv_data_segment_length(segment)
        .build();
    let offer = [("initial_r2t", "no"), ("immediate_data", "yes"), ("max_outstanding_r2t", "4")];
    let mut pair = Pair::ready(&target, &offer);
    let chart = Chart::of(&target);
    let data = Random(7).bytes(4096);
    pair.write(0, 5, &data).unwrap();
    let lines = chart.take();
    assert_eq!(pair.read(0, 5, 4096).unwrap(), data);
    pair.log_out();
    lines
}

#[test]
fn with_neither_all_data_is_asked_for() {
    assert_eq!(
        write_chart(false, true, 1024, 1),
        [
            "> write 4096",
            "< r2t 0..1024",
            "> data 0..1024, last",
            "< r2t 1024..2048",
            "> data 1024..2048, last",
            "< r2t 2048..3072",
            "> data 2048..3072, last",
            "< r2t 3072..4096",
            "> data 3072..4096, last",
            "< good",
        ]
    );
}

#[test]
fn immediate_data_comes_with_the_command_as_far_as_a_segment_holds() {
    assert_eq!(
        write_chart(true, true, 1024, 1),
        [
            "> write 4096, 1024 immediate",
            "< r2t 1024..2048",
            "> data 1024..2048, last",
            "< r2t 2048..3072",
            "> data 2048..3072, last",
            "< r2t 3072..4096",
            "> data 3072..4096, last",
            "< good",
        ]
    );
}

#[test]
fn unsolicited_data_follows_its_command_up_to_the_first_burst() {
    assert_eq!(
        write_chart(false, false, 1024, 1),
        [
            "> write 4096, more follows",
            "> unsolicited 0..1024",
            "> unsolicited 1024..2048, last",
            "< r2t 2048..3072",
            "> data 2048..3072, last",
            "< r2t 3072..4096",
            "> data 3072..4096, last",
            "< good",
        ]
    );
}

#[test]
fn with_both_the_first_burst_is_immediate_and_unsolicited() {
    assert_eq!(
        write_chart(true, false, 1024, 1),
        [
            "> write 4096, 1024 immediate, more follows",
            "> unsolicited 1024..2048, last",
            "< r2t 2048..3072",
            "> data 2048..3072, last",
            "< r2t 3072..4096",
            "> data 3072..4096, last",
            "< good",
        ]
    );
}

#[test]
fn several_r2ts_are_answered_in_their_order_in_segments() {
    assert_eq!(
        write_chart(false, true, 512, 4),
        [
            "> write 4096",
            "< r2t 0..1024",
            "< r2t 1024..2048",
            "< r2t 2048..3072",
            "< r2t 3072..4096",
            "> data 0..512",
            "> data 512..1024, last",
            "> data 1024..1536",
            "> data 1536..2048, last",
            "> data 2048..2560",
            "> data 2560..3072, last",
            "> data 3072..3584",
            "> data 3584..4096, last",
            "< good",
        ]
    );
}

/// RFC 7143 §11.7.7: only the last PDU of a sequence may end in the middle of a word.
#[test]
fn segments_are_cut_at_words() {
    let target = target().max_recv_data_segment_length(1023).initial_r2t(false).build();
    let mut pair = Pair::ready(&target, &[("initial_r2t", "no")]);
    let chart = Chart::of(&target);
    pair.write(0, 0, &[5; 2560]).unwrap();
    chart.assert(&[
        "> write 2560, 1020 immediate, more follows",
        "> unsolicited 1020..2040",
        "> unsolicited 2040..2560, last",
        "< good",
    ]);
    pair.log_out();
}

/// Every mode with the data below, at and above the first burst, in segments that divide it and
/// in those that do not.
#[test]
fn all_modes_bursts_and_segments_carry_the_data() {
    for (immediate, initial_r2t) in [(true, true), (true, false), (false, true), (false, false)] {
        for first_burst in [512, 4096, 65_536] {
            for segment in [512, 513, 3000, 65_536] {
                for r2ts in [1, 4] {
                    let target = target()
                        .immediate_data(immediate)
                        .initial_r2t(initial_r2t)
                        .first_burst_length(first_burst)
                        .max_burst_length(first_burst.max(8192))
                        .max_outstanding_r2t(r2ts)
                        .r2t_length(5000)
                        .max_recv_data_segment_length(segment)
                        .build();
                    let offer = [("initial_r2t", "no"), ("max_outstanding_r2t", "4")];
                    let mut pair = Pair::ready(&target, &offer);
                    for blocks in [1, 8, 9, 100] {
                        let data = Random(blocks).bytes(512 * blocks as usize);
                        pair.write(0, blocks, &data).unwrap();
                        assert_eq!(target.read_lun(0, 512 * blocks, data.len()).unwrap(), data);
                    }
                    pair.log_out();
                }
            }
        }
    }
}

// --- digests and pieces ---

#[test]
fn all_digests_in_all_pieces() {
    for header in [DigestPolicy::Refuse, DigestPolicy::Force] {
        for data in [DigestPolicy::Refuse, DigestPolicy::Force] {
            for split in [1, 2, 3, 5, 47, 48, 49, 4096] {
                let target = target().header_digest(header).data_digest(data).build();
                let mut pair = Pair::new(&target, &[("initial_r2t", "no")]);
                pair.wire.split(split);
                pair.become_ready();
                let terms = pair.isboot.negotiated().unwrap();
                assert_eq!(terms.header_digest.name() == "CRC32C", header == DigestPolicy::Force);
                assert_eq!(terms.data_digest.name() == "CRC32C", data == DigestPolicy::Force);
                let bytes = Random(split as u64).bytes(1536);
                pair.write(0, 9, &bytes).unwrap();
                assert_eq!(pair.read(0, 9, 1536).unwrap(), bytes);
                pair.log_out();
            }
        }
    }
}

// --- numbers and windows (RFC 7143 §4.2.2) ---

#[test]
fn command_and_status_numbers_wrap() {
    for (cmd_sn, stat_sn) in [(u32::MAX - 12, u32::MAX - 12), (0x7fff_fff8, 0x7fff_fff8)] {
        let target = target().initial_stat_sn(stat_sn).build();
        let mut pair =
            Pair::with(&target, &Setting { initial_cmd_sn: cmd_sn, ..Setting::new(&[]) });
        pair.become_ready();
        for number in 0..20 {
            let data = Random(number).bytes(512);
            pair.write(0, number, &data).unwrap();
            assert_eq!(pair.read(0, number, 512).unwrap(), data);
        }
        pair.log_out();
    }
}

#[test]
fn commands_fill_the_window_and_never_more() {
    for window in [1, 3, 8, 64] {
        let target = target().window(window).build();
        let mut pair = Pair::ready(&target, &[]);
        target.pause();
        for lba in 0..40 {
            pair.submit_read(0, lba, 512);
        }
        pair.pass(Duration::from_secs(1));
        let most = window.min(32) as usize;
        let statistics = target.statistics();
        assert_eq!(statistics.command_count(0x28), most as u64, "window {window}");
        target.resume();
        for _ in 0..40 {
            pair.finish_one().outcome.unwrap();
        }
        assert_eq!(target.statistics().most_outstanding, most.max(1), "window {window}");
        pair.log_out();
    }
}

#[test]
fn a_window_that_closes_and_opens_again_holds_commands_back_meanwhile() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    target.set_window(0);
    // What was granted before is used up first: MaxCmdSN never goes back.
    for lba in 0..32 {
        pair.submit_read(0, lba, 512);
    }
    for _ in 0..31 {
        pair.finish_one().outcome.unwrap();
    }
    let before = target.statistics().command_count(0x28);
    pair.pass(Duration::from_secs(10));
    assert_eq!(target.statistics().command_count(0x28), before, "the window is closed");
    assert_eq!(pair.isboot.last_error(), None);
    target.set_window(4);
    pair.finish_one().outcome.unwrap();
    pair.log_out();
}

#[test]
fn a_window_closed_since_the_login_stays_closed() {
    let target = target().window(0).build();
    let mut pair = Pair::new(&target, &[]);
    pair.pass(Duration::from_secs(3));
    assert_eq!(pair.isboot.state(), State::FindingDisks);
    assert_eq!(target.statistics().request_count(opcode::SCSI_COMMAND), 0);
    target.set_window(1);
    pair.become_ready();
    pair.assert_no_violations();
}

#[test]
fn a_window_that_never_opens_is_an_error_in_bounded_time() {
    let target = target().window(0).build();
    let mut pair = Pair::new(&target, &[("outage_limit", "60")]);
    assert_eq!(pair.end(), Some(Error::Timeout(Waiting::Window)));
    assert!((60_000..100_000).contains(&pair.now().as_millis()), "{:?}", pair.now());
    pair.assert_no_violations();
}

// --- NOP (RFC 7143 §11.18, §11.19) ---

#[test]
fn a_ping_that_asks_is_answered_and_one_that_does_not_is_not() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let chart = Chart::of(&target);
    target.ping(b"are you there?");
    pair.pass(Duration::from_millis(10));
    chart.assert(&["< ping", "> pong"]);
    let nop = isboot::pdu::response::NopIn {
        lun: [0; 8],
        initiator_task_tag: RESERVED_TAG,
        target_transfer_tag: RESERVED_TAG,
        numbers: NUMBERS,
        data_segment_length: 0,
    };
    let pdu = Pdu::new(Response::NopIn(nop).emit(), Vec::new());
    target.inject(Injection { pdu, numbering: Numbering::Current });
    pair.pass(Duration::from_millis(10));
    chart.assert(&["< nop"]);
    pair.log_out();
}

#[test]
fn silence_is_pinged() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[("ping_interval", "5")]);
    let chart = Chart::of(&target);
    pair.pass(Duration::from_secs(16));
    chart.assert(&["> ping", "< pong", "> ping", "< pong", "> ping", "< pong"]);
    pair.log_out();
}

#[test]
fn a_ping_without_an_answer_ends_the_connection_unless_something_else_comes() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[("ping_interval", "5"), ("ping_timeout", "5")]);
    // No pongs; but every other second the target says something.
    target.on_request(|_, pdu| match pdu.header.initiator_task_tag() {
        RESERVED_TAG => Handling::Proceed,
        _ => Handling::Swallow,
    });
    pair.pass(Duration::from_millis(6_000));
    for _ in 0..10 {
        target.ping(&[]);
        pair.pass(Duration::from_secs(2));
    }
    assert_eq!(pair.isboot.last_error(), None, "the target is alive");
    pair.run_until("the loss", |isboot| isboot.last_error().is_some());
    assert_eq!(pair.isboot.last_error(), Some(Error::Timeout(Waiting::Ping)));
}

#[test]
fn a_flood_of_pings_that_cannot_be_answered_ends_the_connection() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    pair.wire.set_room(0);
    for _ in 0..32 {
        target.ping(&[]);
    }
    pair.pass(Duration::from_secs(1));
    assert_eq!(pair.isboot.last_error(), None);
    target.ping(&[]);
    pair.pass(Duration::from_secs(1));
    assert!(matches!(pair.isboot.last_error(), Some(Error::PeerMisbehaved(_))));
    pair.wire.set_room(1 << 16);
    pair.read(0, 0, 512).unwrap();
    pair.log_out();
}
