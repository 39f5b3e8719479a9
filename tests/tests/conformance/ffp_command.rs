//! UNH-IOL full feature phase 16: the SCSI Command PDU and its failures.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use isboot::disk::RequestError;
use isboot::pdu::bhs::opcode;
use isboot::pdu::request::{Request, ScsiCommand};
use isboot::pdu::response::Response;
use isboot_tests::pair::{Chart, Pair, Setting, target};
use isboot_tests::target::{Builder, Fate, Handling, Injection};

use crate::transfers::Trial;
use crate::unit_script::{CHECK_CONDITION, READ, Scripted, WRITE, check, counted, response};

/// The first command of a session, and a write of 512 bytes, with their numbers checked against
/// the login before: both commands and their immediate data.
fn first_command_and_write(immediate: bool) -> [(ScsiCommand, usize); 2] {
    let target = target().immediate_data(immediate).initial_stat_sn(0x7654_3210).build();
    let logins = Arc::new(Mutex::new(Vec::new()));
    let seen = logins.clone();
    target.on_response(move |_, pdu| {
        if let Ok(Response::Login(login)) = Response::parse(&pdu.header) {
            seen.lock().unwrap().push(login);
        }
        Fate::Send
    });
    let commands = Arc::new(Mutex::new(Vec::new()));
    let seen = commands.clone();
    target.on_request(move |_, pdu| {
        if let Ok(Request::ScsiCommand(command)) = Request::parse(&pdu.header) {
            assert_eq!(pdu.header.total_ahs_length(), 0, "no CDB is longer than 16 bytes");
            assert_eq!(command.data_segment_length as usize, pdu.data.len());
            seen.lock().unwrap().push((command, pdu.data.len()));
        }
        Handling::Proceed
    });
    let mut pair =
        Pair::with(&target, &Setting { initial_cmd_sn: 0x89ab_cdef, ..Setting::new(&[]) });
    pair.become_ready();
    pair.write(0, 0, &[3; 512]).unwrap();
    let commands = commands.lock().unwrap().clone();
    let login = *logins.lock().unwrap().last().unwrap();
    let (first, _) = commands[0];
    assert_eq!(first.cmd_sn, login.numbers.exp_cmd_sn);
    assert_eq!(first.exp_stat_sn, login.numbers.stat_sn.next());
    for (command, _) in &commands {
        assert_ne!(command.initiator_task_tag, login.initiator_task_tag);
        assert!(matches!(command.cdb[0], 0x00 | 0x12 | 0x1a | 0x25 | 0x2a | 0x9e | 0xa0));
    }
    pair.log_out();
    [commands[0], *commands.last().unwrap()]
}

#[test]
fn ffp_16_1_1_a_command_with_immediate_data_has_its_fields_right() {
    let [(first, none), (write, data)] = first_command_and_write(true);
    assert_eq!((none, first.last), (0, true));
    assert_eq!((data, write.expected_data_transfer_length, write.last), (512, 512, true));
    assert!(write.write && !write.read && !write.immediate);
}

#[test]
fn ffp_16_1_2_a_command_without_immediate_data_has_its_fields_right() {
    let [(first, none), (write, data)] = first_command_and_write(false);
    assert_eq!((none, first.last), (0, true));
    assert_eq!((data, write.expected_data_transfer_length, write.last), (0, 512, true));
    assert!(write.write && !write.read && !write.immediate);
}

/// A write of each length, as a chart.
#[track_caller]
fn charts(builder: Builder, charts: &[(usize, &[&str])]) {
    let offer = [("initial_r2t", "no"), ("immediate_data", "yes"), ("transfer_limit", "1048576")];
    let mut trial = Trial::of(builder, &offer);
    let chart = Chart::of(&trial.target);
    for &(length, lines) in charts {
        trial.assert_writes(length, "a write");
        chart.assert(lines);
    }
    trial.assert_untroubled("writes");
}

#[test]
fn ffp_16_2_1_immediate_data_ends_with_the_smaller_first_burst() {
    // The target offers 2^24 - 1 for everything; 256 KiB is the initiator's first burst.
    let builder = target()
        .first_burst_length(0xff_ffff)
        .max_burst_length(0xff_ffff)
        .max_recv_data_segment_length(0xff_ffff);
    charts(
        builder,
        &[
            (512, &["> write 512, 512 immediate", "< good"]),
            (262_144, &["> write 262144, 262144 immediate", "< good"]),
            (
                393_216,
                &[
                    "> write 393216, 262144 immediate",
                    "< r2t 262144..393216",
                    "> data 262144..393216, last",
                    "< good",
                ],
            ),
        ],
    );
}

#[test]
fn ffp_16_2_2_without_leave_all_data_waits_for_its_r2t() {
    let builder = target().immediate_data(false).max_recv_data_segment_length(1024);
    charts(
        builder,
        &[(
            2048,
            &[
                "> write 2048",
                "< r2t 0..2048",
                "> data 0..1024",
                "> data 1024..2048, last",
                "< good",
            ],
        )],
    );
}

#[test]
fn ffp_16_2_3_announced_data_is_the_first_burst() {
    let builder = target()
        .immediate_data(false)
        .initial_r2t(false)
        .first_burst_length(1024)
        .max_recv_data_segment_length(512);
    charts(
        builder,
        &[
            (512, &["> write 512, more follows", "> unsolicited 0..512, last", "< good"]),
            (
                1536,
                &[
                    "> write 1536, more follows",
                    "> unsolicited 0..512",
                    "> unsolicited 512..1024, last",
                    "< r2t 1024..1536",
                    "> data 1024..1536, last",
                    "< good",
                ],
            ),
        ],
    );
}

#[test]
fn ffp_16_2_4_immediate_and_announced_data_are_the_first_burst() {
    let builder =
        target().initial_r2t(false).first_burst_length(1024).max_recv_data_segment_length(512);
    charts(
        builder,
        &[
            (512, &["> write 512, 512 immediate", "< good"]),
            (
                1024,
                &[
                    "> write 1024, 512 immediate, more follows",
                    "> unsolicited 512..1024, last",
                    "< good",
                ],
            ),
            (
                1536,
                &[
                    "> write 1536, 512 immediate, more follows",
                    "> unsolicited 512..1024, last",
                    "< r2t 1024..1536",
                    "> data 1024..1536, last",
                    "< good",
                ],
            ),
        ],
    );
}

#[test]
fn ffp_16_3_1_f_is_set_in_the_command_and_in_the_last_pdu_of_each_sequence() {
    let builder = target()
        .immediate_data(false)
        .first_burst_length(1024)
        .max_burst_length(1024)
        .max_recv_data_segment_length(512);
    charts(
        builder,
        &[(
            2560,
            &[
                "> write 2560",
                "< r2t 0..1024",
                "> data 0..512",
                "> data 512..1024, last",
                "< r2t 1024..2048",
                "> data 1024..1536",
                "> data 1536..2048, last",
                "< r2t 2048..2560",
                "> data 2048..2560, last",
                "< good",
            ],
        )],
    );
}

#[test]
fn ffp_16_5_a_response_that_closes_the_window_holds_commands_back() {
    let target = target().window(1).immediate_data(false).build();
    let mut pair = Pair::ready(&target, &[]);
    target.set_window(0);
    pair.write(0, 0, &[1; 2048]).unwrap();
    let count = || target.statistics().request_count(opcode::SCSI_COMMAND);
    let before = count();
    for lba in 0..3 {
        pair.submit_read(0, lba, 512);
    }
    pair.pass(Duration::from_secs(2));
    assert_eq!(count(), before, "ExpCmdSN = MaxCmdSN + 1");
    target.pause();
    target.set_window(1);
    pair.pass(Duration::from_secs(2));
    assert_eq!(count(), before + 1, "the NOP-In let one through");
    target.resume();
    for _ in 0..3 {
        assert_eq!(pair.finish_one().outcome, Ok(()));
    }
    assert_eq!(pair.isboot.last_error(), None);
    pair.log_out();
}

#[test]
fn ffp_16_6_immediate_data_is_all_or_up_to_the_first_burst() {
    charts(
        target().first_burst_length(1024),
        &[
            (512, &["> write 512, 512 immediate", "< good"]),
            (1024, &["> write 1024, 1024 immediate", "< good"]),
            (
                2048,
                &[
                    "> write 2048, 1024 immediate",
                    "< r2t 1024..2048",
                    "> data 1024..2048, last",
                    "< good",
                ],
            ),
        ],
    );
}

/// A command that was answered so is issued again as a new task, after `pause`: its answer is
/// neither a success nor the end of the session.
#[track_caller]
fn assert_new_task(unit: &mut Scripted, pause: Duration, make: fn(u32) -> Injection) {
    for code in [READ, WRITE] {
        unit.answer_next(code, 1, make);
        let begin = unit.pair.now();
        let content = [code; 512];
        match code {
            READ => assert_eq!(unit.pair.read(0, 5, 512), Ok(vec![0; 512])),
            _ => assert_eq!(unit.pair.write(0, 6, &content), Ok(())),
        }
        unit.log.assert_new_tasks(code, 2, "a new task");
        assert_eq!(unit.pair.now().since(begin), pause);
    }
    assert_eq!(unit.target.read_lun(0, 6 * 512, 512).unwrap(), [WRITE; 512]);
    unit.assert_untroubled("a failure of the target");
}

#[test]
fn ffp_16_4_1_a_failure_by_a_crc_error_is_issued_again_as_a_new_task() {
    assert_new_task(&mut Scripted::new(), Duration::from_millis(100), |tag| {
        let mut sense = vec![0x70, 0, 0x0b, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0x47, 0x05];
        sense.resize(24, 0);
        response(tag, CHECK_CONDITION, counted(&sense))
    });
}

/// Unsolicited data is answered with this condition of iSCSI (RFC 7143 §11.4.7.2).
#[track_caller]
fn assert_unsolicited_data_refused(qualifier: u8) {
    let builder = target().initial_r2t(false).first_burst_length(4096);
    let offers = [("initial_r2t", "no"), ("immediate_data", "yes")];
    let mut unit = Scripted::of(builder, &offers);
    unit.answer_next(WRITE, 1, move |tag| check(tag, 0x0b, 0x0c, qualifier));
    assert_eq!(unit.pair.write(0, 0, &[4; 4096]), Ok(()));
    unit.log.assert_new_tasks(WRITE, 2, "a new task");
    assert!(unit.log.of(WRITE)[0].data_segment_length > 0, "unsolicited data came");
    assert_eq!(unit.target.read_lun(0, 0, 4096).unwrap(), [4; 4096]);
    unit.assert_untroubled("unsolicited data refused");
}

#[test]
fn ffp_16_4_3_a_failure_by_unexpected_unsolicited_data_is_issued_again_as_a_new_task() {
    assert_unsolicited_data_refused(0x0c);
}

#[test]
fn ffp_16_4_4_a_failure_by_an_incorrect_amount_of_data_is_issued_again_as_a_new_task() {
    assert_unsolicited_data_refused(0x0d);
}

#[test]
fn ffp_16_4_5_busy_is_tried_again() {
    assert_new_task(&mut Scripted::new(), Duration::from_millis(100), |tag| {
        response(tag, 0x08, Vec::new())
    });
}

#[test]
fn ffp_16_4_6_a_reservation_conflict_is_passed_up() {
    for code in [READ, WRITE] {
        let mut unit = Scripted::new();
        unit.answer_next(code, usize::MAX, |tag| response(tag, 0x18, Vec::new()));
        let result = match code {
            READ => unit.pair.read(0, 5, 512).map(|_| ()),
            _ => unit.pair.write(0, 6, &[1; 512]),
        };
        assert_eq!(result, Err(RequestError::Reserved));
        assert_eq!(unit.log.count(code), 1, "no loop");
        unit.assert_untroubled("reserved");
    }
}
