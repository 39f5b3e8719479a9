//! Writes: immediate, unsolicited and solicited data, and every way to get it wrong.

use super::*;
use isboot::pdu::request::{TaskManagementFunction, TaskManagementRequest};
use isboot::pdu::response::{ReadyToTransfer, Residual};

const BURSTS: [&str; 4] = [
    "MaxBurstLength=2048",
    "FirstBurstLength=1024",
    "MaxOutstandingR2T=2",
    "MaxRecvDataSegmentLength=8192",
];

fn free() -> Builder {
    builder().initial_r2t(false).max_outstanding_r2t(2)
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 / 7) as u8).collect()
}

/// A WRITE(10) of so many blocks at block 3.
fn write(hand: &mut Hand, tag: u32, blocks: u16, immediate: &[u8], last: bool) {
    let mut command = hand.command(tag, &write_10(3, blocks), 0, u32::from(blocks) * 512);
    command.last = last;
    hand.send(Request::ScsiCommand(command), immediate.to_vec());
}

#[track_caller]
fn r2ts(hand: &mut Hand) -> Vec<ReadyToTransfer> {
    hand.all()
        .into_iter()
        .map(|(response, _)| match response {
            Response::ReadyToTransfer(r2t) => r2t,
            other => panic!("{other:?}"),
        })
        .collect()
}

/// Answers an R2T in PDUs of at most so many bytes.
fn answer(hand: &mut Hand, r2t: &ReadyToTransfer, bytes: &[u8], piece: usize) {
    let start = r2t.buffer_offset as usize;
    let range = &bytes[start..start + r2t.desired_data_transfer_length as usize];
    let count = range.chunks(piece).count();
    for (number, chunk) in range.chunks(piece).enumerate() {
        let offset = r2t.buffer_offset + (number * piece) as u32;
        let last = number + 1 == count;
        let (tag, transfer) = (r2t.initiator_task_tag, r2t.target_transfer_tag);
        let request = hand.data_out(tag, transfer, number as u32, offset, last);
        hand.send(Request::DataOut(request), chunk.to_vec());
    }
}

#[track_caller]
fn assert_good(hand: &mut Hand, tag: u32) {
    let (Response::Scsi(response), _) = hand.one() else { panic!("no status") };
    assert_eq!((response.initiator_task_tag, response.status), (tag, 0));
    assert_eq!(response.residual, Residual::None);
    hand.assert_content();
}

#[test]
fn all_three_kinds_of_data_in_one_write() {
    let mut hand = Hand::logged_in(
        free(),
        &BURSTS.map(|key| key).iter().copied().chain(["InitialR2T=No"]).collect::<Vec<_>>(),
    );
    let bytes = pattern(12 * 512);
    write(&mut hand, 1, 12, &bytes[..300], false);
    assert_eq!(hand.all(), []);
    for (number, (from, to)) in [(300, 700), (700, 1024)].into_iter().enumerate() {
        let request = hand.data_out(1, RESERVED_TAG, number as u32, from as u32, to == 1024);
        hand.send(Request::DataOut(request), bytes[from..to].to_vec());
    }
    let asked = r2ts(&mut hand);
    let seen: Vec<_> = asked
        .iter()
        .map(|r2t| (r2t.r2t_sn, r2t.buffer_offset, r2t.desired_data_transfer_length))
        .collect();
    assert_eq!(seen, [(0, 1024, 2048), (1, 3072, 2048)]);
    answer(&mut hand, &asked[0], &bytes, 1000);
    let more = r2ts(&mut hand);
    assert_eq!((more[0].r2t_sn, more[0].buffer_offset), (2, 5120));
    assert_eq!(more[0].desired_data_transfer_length, 1024);
    answer(&mut hand, &asked[1], &bytes, 2048);
    answer(&mut hand, &more[0], &bytes, 1);
    assert_good(&mut hand, 1);
    assert_eq!(hand.target.read_lun(0, 3 * 512, bytes.len()).unwrap(), bytes);
    let statistics = hand.target.statistics();
    assert_eq!(
        (statistics.immediate_bytes, statistics.unsolicited_bytes, statistics.solicited_bytes),
        (300, 724, 5120)
    );
}

#[test]
fn immediate_data_alone_and_a_write_without_any() {
    let mut hand = Hand::logged_in(builder(), &[]);
    let bytes = pattern(1024);
    write(&mut hand, 1, 2, &bytes, true);
    assert_good(&mut hand, 1);
    write(&mut hand, 2, 2, &[], true);
    let asked = r2ts(&mut hand);
    assert_eq!((asked.len(), asked[0].desired_data_transfer_length), (1, 1024));
    answer(&mut hand, &asked[0], &bytes, 512);
    assert_good(&mut hand, 2);
    // Zero blocks are no error and move nothing.
    let command = hand.command(3, &write_10(0, 0), 0, 0);
    hand.send(Request::ScsiCommand(command), Vec::new());
    assert_good(&mut hand, 3);
}

/// A refused write still takes the unsolicited data that is on its way, then tells why.
#[test]
fn data_of_a_refused_write_is_thrown_away() {
    let lun = Lun::memory(1 << 20).read_only();
    let builder = Target::builder(NAME).lun(lun).initial_r2t(false);
    let mut hand = Hand::logged_in(builder, &["InitialR2T=No", "FirstBurstLength=1024"]);
    write(&mut hand, 1, 4, &[1; 512], false);
    assert_eq!(hand.all(), []);
    let request = hand.data_out(1, RESERVED_TAG, 0, 512, true);
    hand.send(Request::DataOut(request), vec![1; 512]);
    let (Response::Scsi(response), sense) = hand.one() else { panic!("no status") };
    assert_eq!((response.status, sense[4], sense[14]), (2, 7, 0x27));
    assert_eq!(response.residual, Residual::Underflow(2048));
    assert_eq!(hand.target.read_lun(0, 3 * 512, 512).unwrap(), [0; 512]);
    hand.assert_content();
}

#[test]
fn small_r2ts_on_demand() {
    let mut hand = Hand::logged_in(builder().r2t_length(700), &[]);
    let bytes = pattern(1024);
    write(&mut hand, 1, 2, &[], true);
    let asked = r2ts(&mut hand);
    assert_eq!(asked[0].desired_data_transfer_length, 700);
    answer(&mut hand, &asked[0], &bytes, 700);
    let asked = r2ts(&mut hand);
    assert_eq!((asked[0].buffer_offset, asked[0].desired_data_transfer_length), (700, 324));
    answer(&mut hand, &asked[0], &bytes, 700);
    assert_good(&mut hand, 1);
    assert_eq!(hand.target.read_lun(0, 3 * 512, 1024).unwrap(), bytes);
}

/// RFC 7143 §4.2.3.3: the answer to a multi-task abort waits for data that is still owed, and
/// nothing of it is written.
#[test]
fn a_reset_waits_for_data_on_its_way() {
    let mut hand = Hand::logged_in(builder(), &[]);
    let bytes = pattern(1024);
    write(&mut hand, 1, 2, &[], true);
    let asked = r2ts(&mut hand);
    let reset = TaskManagementRequest {
        immediate: true,
        function: TaskManagementFunction::AbortTaskSet,
        lun: [0; 8],
        initiator_task_tag: 2,
        referenced_task_tag: RESERVED_TAG,
        cmd_sn: hand.cmd_sn,
        exp_stat_sn: hand.exp_stat_sn,
        ref_cmd_sn: SerialNumber(0),
        exp_data_sn: 0,
    };
    hand.send(Request::TaskManagement(reset), Vec::new());
    assert_eq!(hand.all(), []);
    answer(&mut hand, &asked[0], &bytes, 512);
    let (Response::TaskManagement(response), _) = hand.one() else { panic!("no response") };
    assert_eq!((response.response, response.initiator_task_tag), (0, 2));
    assert_eq!(hand.target.read_lun(0, 3 * 512, 4).unwrap(), [0; 4]);
    hand.assert_content();
}

#[test]
fn data_that_may_not_be_sent() {
    type Case = (&'static [&'static str], fn(&mut Hand), &'static str, &'static str);
    let cases: &[Case] = &[
        (&["ImmediateData=No"], |h| write(h, 1, 2, &[1; 512], true), "§13.11", "ImmediateData=No"),
        (&[], |h| write(h, 1, 2, &[], false), "§13.10", "InitialR2T=Yes"),
        (&["FirstBurstLength=512"], |h| write(h, 1, 2, &[1; 513], true), "§13.14", "513 bytes"),
        (&[], |h| write(h, 1, 1, &[1; 600], true), "§13.14", "600 bytes"),
        (
            &["InitialR2T=No", "FirstBurstLength=512"],
            |h| write(h, 1, 2, &[1; 512], false),
            "§11.3.1",
            "no unsolicited data is left",
        ),
        (
            &["InitialR2T=No", "FirstBurstLength=1024"],
            |h| {
                write(h, 1, 4, &[], false);
                let request = h.data_out(1, RESERVED_TAG, 0, 0, true);
                h.send(Request::DataOut(request), vec![1; 1500]);
            },
            "§13.14",
            "beyond its sequence's end 1024",
        ),
        (
            &["InitialR2T=No"],
            |h| {
                write(h, 1, 4, &[], false);
                write(h, 2, 4, &[], false);
                let request = h.data_out(2, RESERVED_TAG, 0, 0, true);
                h.send(Request::DataOut(request), vec![1; 2048]);
            },
            "§4.2.5.2",
            "before that of an earlier one",
        ),
        (
            &[],
            |h| {
                let request = h.data_out(9, 1, 0, 0, true);
                h.send(Request::DataOut(request), vec![1; 512]);
            },
            "§11.7",
            "unknown tag 0x9",
        ),
    ];
    for (keys, play, clause, words) in cases {
        let mut hand = Hand::logged_in(free(), keys);
        play(&mut hand);
        hand.assert_violation(clause, words);
    }
}

#[test]
fn answers_to_an_r2t_that_are_wrong() {
    type Case = (fn(&mut DataOut), usize, &'static str, &'static str);
    let cases: &[Case] = &[
        (|d| d.target_transfer_tag += 1, 1024, "§11.8", "Target Transfer Tag"),
        (|d| d.target_transfer_tag = RESERVED_TAG, 1024, "§13.10", "may not be sent"),
        (|d| d.lun[1] = 1, 1024, "§11.7.4", "another LUN"),
        (|d| d.data_sn = 1, 1024, "§11.7.5", "DataSN 1 where 0 is due"),
        (|d| d.buffer_offset = 512, 512, "§11.7.6", "offset 512 where 0 is due"),
        (|_| {}, 1025, "§11.8.4", "beyond its sequence's end 1024"),
        (|_| {}, 1000, "§11.7.1", "F=1 at offset 1000"),
        (|d| d.last = false, 1024, "§11.7.1", "F=0 on the Data-Out that completes"),
        (|d| d.exp_stat_sn = d.exp_stat_sn.next(), 1024, "§4.2.2.2", "next StatSN"),
    ];
    for (change, length, clause, words) in cases {
        let mut hand = Hand::logged_in(builder(), &[]);
        write(&mut hand, 1, 2, &[], true);
        let asked = r2ts(&mut hand);
        let mut request = hand.data_out(1, asked[0].target_transfer_tag, 0, 0, true);
        change(&mut request);
        hand.send(Request::DataOut(request), vec![1; *length]);
        hand.assert_violation(clause, words);
        assert_eq!(hand.target.read_lun(0, 3 * 512, 4).unwrap(), [0; 4]);
    }
}
