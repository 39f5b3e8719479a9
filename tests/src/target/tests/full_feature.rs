//! The Full Feature Phase: numbering, reading, pings, aborts, logout.

use super::*;
use crate::target::SenseFormat;
use isboot::pdu::request::{
    LogoutReason, LogoutRequest, NopOut, SnackRequest, TaskManagementFunction,
    TaskManagementRequest,
};
use isboot::pdu::response::{DataIn, Residual, ScsiResponse};

#[track_caller]
fn status(hand: &mut Hand) -> (ScsiResponse, Vec<u8>) {
    match hand.one() {
        (Response::Scsi(response), data) => (response, data),
        other => panic!("{other:?}"),
    }
}

fn nop_out(hand: &Hand, tag: u32, transfer: u32) -> NopOut {
    NopOut {
        immediate: true,
        lun: [0; 8],
        initiator_task_tag: tag,
        target_transfer_tag: transfer,
        cmd_sn: hand.cmd_sn,
        exp_stat_sn: hand.exp_stat_sn,
        data_segment_length: 0,
    }
}

fn management(hand: &Hand, function: TaskManagementFunction, task: u32) -> TaskManagementRequest {
    TaskManagementRequest {
        immediate: true,
        function,
        lun: [0; 8],
        initiator_task_tag: 0x77,
        referenced_task_tag: task,
        cmd_sn: hand.cmd_sn,
        exp_stat_sn: hand.exp_stat_sn,
        ref_cmd_sn: hand.cmd_sn.previous(),
        exp_data_sn: 0,
    }
}

#[track_caller]
fn management_response(hand: &mut Hand) -> u8 {
    match hand.one() {
        (Response::TaskManagement(response), _) => response.response,
        other => panic!("{other:?}"),
    }
}

/// Cut by the initiator's segment length and by MaxBurstLength: F at the end of each burst,
/// status with the last.
#[test]
fn data_in_is_cut_into_segments_and_bursts() {
    for collapsed in [true, false] {
        let builder = if collapsed { builder() } else { builder().separate_status() };
        let keys =
            ["MaxRecvDataSegmentLength=1024", "FirstBurstLength=2560", "MaxBurstLength=2560"];
        let mut hand = Hand::logged_in(builder, &keys);
        let bytes: Vec<u8> = (0..4096u32).map(|at| (at / 3) as u8).collect();
        hand.target.write_lun(0, 512, &bytes).unwrap();
        hand.read(1, &read_10(1, 8), 4096);
        let responses = hand.all();
        let data: Vec<(DataIn, Vec<u8>)> = responses
            .iter()
            .filter_map(|(response, data)| match response {
                Response::DataIn(header) => Some((*header, data.clone())),
                _ => None,
            })
            .collect();
        let seen: Vec<_> = data
            .iter()
            .map(|(h, data)| (h.data_sn, h.buffer_offset, data.len(), h.last, h.status))
            .collect();
        let good = collapsed.then_some(0);
        assert_eq!(
            seen,
            [
                (0, 0, 1024, false, None),
                (1, 1024, 1024, false, None),
                (2, 2048, 512, true, None),
                (3, 2560, 1024, false, None),
                (4, 3584, 512, true, good)
            ]
        );
        assert_eq!(data.concat_data(), bytes);
        // The command is in the window until its status is out.
        let limits = data.iter().map(|(header, _)| header.numbers.max_cmd_sn.0);
        assert_eq!(limits.collect::<Vec<_>>(), [29, 29, 29, 29, 29 + u32::from(collapsed)]);
        match responses.last() {
            Some((Response::Scsi(response), _)) if !collapsed => {
                assert_eq!((response.status, response.exp_data_sn), (0, 5));
                assert_eq!(response.residual, Residual::None);
            }
            last => assert!(collapsed, "{last:?}"),
        }
        hand.assert_content();
    }
}

trait ConcatData {
    fn concat_data(&self) -> Vec<u8>;
}

impl ConcatData for Vec<(DataIn, Vec<u8>)> {
    fn concat_data(&self) -> Vec<u8> {
        self.iter().flat_map(|(_, data)| data.clone()).collect()
    }
}

#[test]
fn residuals_in_both_directions() {
    let mut hand = Hand::logged_in(builder(), &[]);
    // Less than expected: INQUIRY has 96 bytes here.
    hand.read(1, &[0x12, 0, 0, 0, 255, 0], 255);
    let (Response::DataIn(data), bytes) = hand.one() else { panic!("no data") };
    assert_eq!((bytes.len(), data.residual), (96, Residual::Underflow(159)));
    // More than expected.
    hand.read(2, &read_10(0, 2), 1000);
    let (Response::DataIn(data), bytes) = hand.one() else { panic!("no data") };
    assert_eq!((bytes.len(), data.residual), (1000, Residual::Overflow(24)));
    // An allocation length below what there is is no overflow.
    hand.read(3, &[0x12, 0, 0, 0, 5, 0], 5);
    let (Response::DataIn(data), _) = hand.one() else { panic!("no data") };
    assert_eq!((data.status, data.residual), (Some(0), Residual::None));
    // Nothing moved at all.
    hand.read(4, &read_10(9999, 1), 512);
    let (response, sense) = status(&mut hand);
    assert_eq!((response.status, response.residual), (2, Residual::Underflow(512)));
    assert_eq!((sense[..2].to_vec(), sense[4], sense[14]), (vec![0, 18], 5, 0x21));
    assert_eq!(hand.target.remarks().len(), 1, "the 1000 bytes");
    hand.assert_content();
}

#[test]
fn conditions_of_a_lun_are_told_in_turn() {
    let lun = Lun::memory(1 << 20).unit_attention(0x29, 0x01).becoming_ready(1);
    let builder = Target::builder(NAME).lun(lun).sense_format(SenseFormat::Descriptor);
    let mut hand = Hand::logged_in(builder, &[]);
    hand.target.force_status(0, 0x28, 1);
    hand.target.set_bad_blocks(0, std::slice::from_ref(&(5..7)));
    // INQUIRY passes by all of it.
    hand.read(1, &[0x12, 0, 0, 0, 36, 0], 36);
    assert!(matches!(hand.one().0, Response::DataIn(_)));
    let mut told = Vec::new();
    for tag in 2..7 {
        let cdb = if tag < 6 { vec![0; 6] } else { read_10(4, 2) };
        hand.read(tag, &cdb, if tag < 6 { 0 } else { 1024 });
        let (response, sense) = status(&mut hand);
        told.push((response.status, sense.get(3..6).map(<[u8]>::to_vec)));
        if tag == 6 {
            assert_eq!(sense.last(), Some(&5), "the bad block in {sense:?}");
        }
    }
    let sense = |bytes: [u8; 3]| Some(bytes.to_vec());
    assert_eq!(
        told,
        [
            (0x28, None),
            (2, sense([6, 0x29, 1])),
            (2, sense([2, 4, 1])),
            (0, None),
            (2, sense([3, 0x11, 0])),
        ]
    );
    hand.assert_content();
}

#[test]
fn luns_that_exist_and_one_that_does_not() {
    let mut builder = Target::builder(NAME);
    for _ in 0..258 {
        builder = builder.lun(Lun::memory(4096));
    }
    let mut hand = Hand::logged_in(builder, &[]);
    let mut report = vec![0xa0, 0, 0, 0, 0, 0];
    report.extend_from_slice(&4096u32.to_be_bytes());
    report.extend_from_slice(&[0, 0]);
    hand.read(1, &report, 4096);
    let (_, list) = hand.one();
    assert_eq!(list[..8], [0, 0, 0x08, 0x10, 0, 0, 0, 0]);
    assert_eq!(list.len(), 8 + 258 * 8);
    assert_eq!(list[8 + 257 * 8..], [0x41, 1, 0, 0, 0, 0, 0, 0]);
    let mut inquiry = hand.command(2, &[0x12, 0, 0, 0, 36, 0], 36, 0);
    inquiry.lun = [0x41, 2, 0, 0, 0, 0, 0, 0];
    hand.send(Request::ScsiCommand(inquiry), Vec::new());
    assert_eq!(hand.one().1[0], 0x7f);
    let mut ready = hand.command(3, &[0; 6], 0, 0);
    ready.lun = inquiry.lun;
    hand.send(Request::ScsiCommand(ready), Vec::new());
    let (response, sense) = status(&mut hand);
    assert_eq!((response.status, sense[4], sense[14]), (2, 5, 0x25));
    hand.assert_content();
}

#[test]
fn the_window_closes_and_opens() {
    let mut hand = Hand::logged_in(builder().window(2), &[]);
    hand.target.pause();
    hand.read(1, &[0; 6], 0);
    hand.read(2, &[0; 6], 0);
    assert_eq!(hand.all(), []);
    assert_eq!(hand.target.statistics().most_outstanding, 2);
    hand.target.resume();
    let responses = hand.all();
    let (Response::Scsi(first), Response::Scsi(second)) = (responses[0].0, responses[1].0) else {
        panic!("{responses:?}")
    };
    // Both are in, so ExpCmdSN is 0; the window grows as they end.
    assert_eq!(first.numbers.exp_cmd_sn, SerialNumber(0));
    assert_eq!(first.numbers.max_cmd_sn, SerialNumber(0));
    assert_eq!(second.numbers.max_cmd_sn, SerialNumber(1));
    hand.target.set_window(0);
    hand.read(3, &[0; 6], 0);
    hand.read(4, &[0; 6], 0);
    assert_eq!(hand.all().len(), 2);
    // ExpCmdSN is 2 and MaxCmdSN 1: closed, until the NOP-In says otherwise.
    hand.target.set_window(3);
    let (Response::NopIn(nop), _) = hand.one() else { panic!("no NOP-In") };
    assert_eq!((nop.initiator_task_tag, nop.target_transfer_tag), (RESERVED_TAG, RESERVED_TAG));
    assert_eq!(nop.numbers.max_cmd_sn, SerialNumber(4));
    hand.target.pause();
    for tag in 5..9 {
        hand.read(tag, &[0; 6], 0);
    }
    hand.assert_violation("§4.2.2.1", "above MaxCmdSN 4");
}

#[test]
fn depth_is_counted_by_what_is_not_acknowledged() {
    let mut hand = Hand::logged_in(builder(), &[]);
    for tag in 0..5 {
        hand.read(tag, &[0; 6], 0);
        hand.all();
    }
    assert_eq!(hand.target.statistics().most_outstanding, 1);
    for tag in 5..8 {
        hand.read(tag, &[0; 6], 0);
    }
    assert_eq!(hand.target.statistics().most_outstanding, 3);
}

#[test]
fn pings_both_ways() {
    let mut hand = Hand::logged_in(builder(), &["MaxRecvDataSegmentLength=512"]);
    hand.send(Request::NopOut(nop_out(&hand, 9, RESERVED_TAG)), vec![7; 600]);
    let (Response::NopIn(nop), echo) = hand.one() else { panic!("no NOP-In") };
    assert_eq!((nop.initiator_task_tag, echo), (9, vec![7; 512]));
    hand.target.ping(b"hello");
    let (Response::NopIn(ping), data) = hand.one() else { panic!("no NOP-In") };
    assert_eq!((ping.initiator_task_tag, data.as_slice()), (RESERVED_TAG, &b"hello"[..]));
    let answer = nop_out(&hand, RESERVED_TAG, ping.target_transfer_tag);
    hand.send(Request::NopOut(answer), Vec::new());
    assert_eq!((hand.all(), hand.target.statistics().ping_answers), (Vec::new(), 1));
    hand.assert_content();
    hand.send(Request::NopOut(answer), Vec::new());
    hand.assert_violation("§11.18.2", "which no NOP-In has");
}

#[test]
fn one_task_is_aborted_and_then_all() {
    let mut hand = Hand::logged_in(builder(), &[]);
    hand.target.pause();
    hand.read(1, &read_10(0, 1), 512);
    let abort = management(&hand, TaskManagementFunction::AbortTask, 1);
    hand.send(Request::TaskManagement(abort), Vec::new());
    assert_eq!(management_response(&mut hand), 0);
    let abort = management(&hand, TaskManagementFunction::AbortTask, 1);
    hand.send(Request::TaskManagement(abort), Vec::new());
    assert_eq!(management_response(&mut hand), 1);
    hand.read(2, &read_10(0, 1), 512);
    hand.read(3, &read_10(0, 1), 512);
    let reset = management(&hand, TaskManagementFunction::LogicalUnitReset, RESERVED_TAG);
    hand.send(Request::TaskManagement(reset), Vec::new());
    assert_eq!(management_response(&mut hand), 0);
    hand.target.resume();
    assert_eq!(hand.all(), []);
    hand.read(4, &[0; 6], 0);
    let (response, sense) = status(&mut hand);
    assert_eq!((response.status, sense[4], sense[14], sense[15]), (2, 6, 0x29, 3));
    let reassign = management(&hand, TaskManagementFunction::TaskReassign, 4);
    hand.send(Request::TaskManagement(reassign), Vec::new());
    assert_eq!(management_response(&mut hand), 4);
    hand.assert_content();
}

#[test]
fn a_reset_reaches_the_tasks_of_other_sessions() {
    let target = builder().build();
    let mut one = Hand::logged_in_to(&target, &[]);
    let mut two = Hand::of(&target);
    let mut request = login_request(Stage::OperationalNegotiation);
    request.isid[5] = 2;
    let names = [format!("InitiatorName={INITIATOR}"), format!("TargetName={NAME}")];
    two.login(request, &[&names[0], &names[1]]);
    target.pause();
    one.read(1, &read_10(0, 1), 512);
    let reset = management(&two, TaskManagementFunction::LogicalUnitReset, RESERVED_TAG);
    two.send(Request::TaskManagement(reset), Vec::new());
    assert_eq!(management_response(&mut two), 0);
    target.resume();
    assert_eq!(one.all(), []);
    for hand in [&mut one, &mut two] {
        hand.read(8, &[0; 6], 0);
        let (response, sense) = status(hand);
        assert_eq!((response.status, sense[14]), (2, 0x29));
    }
}

#[test]
fn a_cold_reset_closes_the_connection() {
    let mut hand = Hand::logged_in(builder(), &[]);
    let reset = management(&hand, TaskManagementFunction::TargetColdReset, RESERVED_TAG);
    hand.send(Request::TaskManagement(reset), Vec::new());
    assert_eq!(management_response(&mut hand), 0);
    assert!(hand.connection.is_closed());
    hand.read(1, &[0; 6], 0);
    assert_eq!(hand.target.violations(), []);
}

#[test]
fn a_bidirectional_command_is_rejected_and_counted() {
    let mut hand = Hand::logged_in(builder(), &[]);
    let command = hand.command(1, &[0; 6], 512, 512);
    hand.send(Request::ScsiCommand(command), Vec::new());
    let (Response::Reject(reject), data) = hand.one() else { panic!("no Reject") };
    assert_eq!((reject.reason, data.len(), data[0]), (5, 48, 0x01));
    assert_eq!(reject.numbers.exp_cmd_sn, hand.cmd_sn);
    hand.read(2, &[0; 6], 0);
    assert_eq!(status(&mut hand).0.status, 0);
    hand.assert_content();
}

fn logout(hand: &Hand, reason: LogoutReason, cid: u16) -> Request {
    Request::Logout(LogoutRequest {
        immediate: true,
        reason,
        initiator_task_tag: 0x55,
        cid,
        cmd_sn: hand.cmd_sn,
        exp_stat_sn: hand.exp_stat_sn,
    })
}

#[test]
fn logouts() {
    let mut hand = Hand::logged_in(builder().times(3, 4), &["DefaultTime2Wait=0"]);
    let cases = [
        (LogoutReason::RemoveForRecovery, 3, 2),
        (LogoutReason::CloseConnection, 4, 1),
        (LogoutReason::CloseConnection, 3, 0),
    ];
    for (reason, cid, expected) in cases {
        assert!(!hand.connection.is_closed());
        hand.send(logout(&hand, reason, cid), Vec::new());
        let (Response::Logout(response), _) = hand.one() else { panic!("no logout response") };
        assert_eq!((response.response, response.time2wait), (expected, 3));
    }
    assert!(hand.connection.is_closed());
    assert_eq!((hand.target.statistics().logouts, hand.target.live_sessions()), (1, 0));
    assert_eq!(hand.target.violations(), []);
    hand.read(1, &[0; 6], 0);
    hand.assert_violation("§11.14", "after its Logout Request");
    assert_eq!(hand.target.violations().len(), 1);
}

#[test]
fn what_breaks_a_session_is_told() {
    type Case = (fn(&mut Hand), &'static str, &'static str);
    fn ready(hand: &mut Hand, change: impl FnOnce(&mut ScsiCommand)) {
        let mut command = hand.command(1, &[0; 6], 0, 0);
        change(&mut command);
        hand.send(Request::ScsiCommand(command), Vec::new());
    }
    let cases: &[Case] = &[
        (|h| ready(h, |c| c.cmd_sn = c.cmd_sn.next()), "§4.2.2.1", "4294967294 is due"),
        (
            |h| ready(h, |c| c.exp_stat_sn = c.exp_stat_sn.next()),
            "§4.2.2.2",
            "the next StatSN is 2",
        ),
        (
            |h| {
                ready(h, |_| {});
                h.all();
                h.exp_stat_sn = h.exp_stat_sn.previous().previous();
                ready(h, |_| {});
                h.exp_stat_sn = h.exp_stat_sn.next();
                ready(h, |_| {});
                h.exp_stat_sn = h.exp_stat_sn.previous();
                ready(h, |_| {});
            },
            "§4.2.2.2",
            "ExpStatSN 1 after 2",
        ),
        (|h| ready(h, |c| c.last = false), "§11.3.1", "neither W nor F"),
        (|h| ready(h, |c| c.expected_data_transfer_length = 1), "§11.3.1", "neither R nor W"),
        (|h| ready(h, |c| c.initiator_task_tag = RESERVED_TAG), "§11.2.1.8", "reserved tag"),
        (
            |h| {
                h.target.pause();
                ready(h, |_| {});
                ready(h, |_| {});
            },
            "§11.2.1.8",
            "reuses the tag 0x1",
        ),
        (
            |h| h.send(Request::Login(login_request(Stage::OperationalNegotiation)), Vec::new()),
            "§4.2.4",
            "second login",
        ),
        (
            |h| {
                let snack = SnackRequest {
                    kind: 0,
                    lun: [0; 8],
                    initiator_task_tag: 1,
                    target_transfer_tag: RESERVED_TAG,
                    exp_stat_sn: h.exp_stat_sn,
                    beg_run: 0,
                    run_length: 0,
                };
                h.send(Request::Snack(snack), Vec::new());
            },
            "§11.16",
            "SNACK",
        ),
        (
            |h| {
                let nop = nop_out(h, 1, RESERVED_TAG);
                h.send_pdu(&altered(Request::NopOut(nop), &[(0, 0x5c)]));
            },
            "§11",
            "opcode of a request",
        ),
        (
            |h| {
                let nop = NopOut { immediate: false, ..nop_out(h, RESERVED_TAG, RESERVED_TAG) };
                h.send(Request::NopOut(nop), Vec::new());
            },
            "§11.18.1",
            "without I",
        ),
        (
            |h| {
                let mut abort = management(h, TaskManagementFunction::LogicalUnitReset, 5);
                abort.ref_cmd_sn = SerialNumber(0);
                h.send(Request::TaskManagement(abort), Vec::new());
            },
            "§11.5.4",
            "Referenced Task Tag",
        ),
        (
            |h| {
                h.target.pause();
                ready(h, |_| {});
                let mut abort = management(h, TaskManagementFunction::AbortTask, 1);
                abort.ref_cmd_sn = h.cmd_sn;
                h.send(Request::TaskManagement(abort), Vec::new());
            },
            "§11.5.5",
            "RefCmdSN",
        ),
        (
            |h| {
                let request = h.text_request(1, RESERVED_TAG);
                h.send(Request::Text(request), text(&["SendTargets=All"]));
            },
            "appendix C",
            "in a Normal session",
        ),
    ];
    for (play, clause, words) in cases {
        let mut hand = Hand::logged_in(builder(), &[]);
        play(&mut hand);
        hand.assert_violation(clause, words);
        assert_eq!(hand.target.violations().len(), 1);
        assert_eq!(hand.target.live_sessions(), 0);
    }
}
