//! UNH-IOL full feature phase 1–5 and 7: numbering, immediate delivery, the command window.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use isboot::pdu::bhs::opcode;
use isboot::pdu::request::Request;
use isboot::pdu::response::{Response, ScsiResponse};
use isboot::pdu::serial::SerialNumber;
use isboot_tests::pair::{Pair, Setting, target};
use isboot_tests::target::{Handling, Target};

use crate::stall::stall;
use crate::transfers::{Trial, exactly, numbers_after};

/// Opcode, I and CmdSN of each numbered request.
type Numbers = Arc<Mutex<Vec<(u8, bool, u32)>>>;

fn record_numbers(target: &Target) -> Numbers {
    let numbers = Numbers::default();
    let record = numbers.clone();
    target.on_request(move |_, pdu| {
        let cmd_sn = match Request::parse(&pdu.header) {
            Ok(Request::Login(login)) => login.cmd_sn,
            Ok(Request::ScsiCommand(command)) => command.cmd_sn,
            Ok(Request::NopOut(nop)) => nop.cmd_sn,
            Ok(Request::Logout(logout)) => logout.cmd_sn,
            _ => return Handling::Proceed,
        };
        record.lock().unwrap().push((pdu.header.opcode(), pdu.header.immediate(), cmd_sn.0));
        Handling::Proceed
    });
    numbers
}

#[test]
fn ffp_1_1_cmd_sn_counts_what_is_not_immediate() {
    for first in [0, 1, 0x7fff_fffe, 0xffff_fffd] {
        let target = target().login_piece(32).build();
        let numbers = record_numbers(&target);
        let setting = Setting { initial_cmd_sn: first, ..Setting::new(&[]) };
        let mut pair = Pair::with(&target, &setting);
        pair.become_ready();
        pair.read(0, 0, 512).unwrap();
        pair.write(0, 0, &[1; 512]).unwrap();
        pair.pass(Duration::from_secs(6));
        pair.read(0, 0, 512).unwrap();
        pair.log_out();
        let numbers = numbers.lock().unwrap();
        let is_login = |number: &&(u8, bool, u32)| number.0 == opcode::LOGIN_REQUEST;
        assert!(numbers.iter().filter(is_login).count() > 1, "several Login Requests");
        assert!(numbers.iter().any(|number| number.0 == opcode::NOP_OUT), "an immediate request");
        let mut expected = first;
        for &(code, immediate, cmd_sn) in &*numbers {
            assert_eq!(cmd_sn, expected, "opcode {code:#04x}");
            if !immediate {
                expected = expected.wrapping_add(1);
            }
        }
        assert!(expected.wrapping_sub(first) > 6, "commands were numbered");
    }
}

/// How many commands the target got, and their CmdSN.
fn commands(numbers: &Numbers) -> Vec<u32> {
    let numbers = numbers.lock().unwrap();
    numbers.iter().filter(|n| n.0 == opcode::SCSI_COMMAND).map(|n| n.2).collect()
}

#[test]
fn ffp_2_1_an_immediate_request_takes_no_cmd_sn() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[("ping_interval", "5")]);
    let numbers = record_numbers(&target);
    pair.read(0, 0, 512).unwrap();
    // Its own ping, then an answer to one of the target's.
    pair.pass(Duration::from_secs(6));
    pair.read(0, 0, 512).unwrap();
    target.ping(&[]);
    pair.pass(Duration::from_millis(1));
    pair.read(0, 0, 512).unwrap();
    let seen = numbers.lock().unwrap().clone();
    let first = seen[0].2;
    let (command, nop) = (opcode::SCSI_COMMAND, opcode::NOP_OUT);
    assert_eq!(
        seen,
        [
            (command, false, first),
            (nop, true, first + 1),
            (command, false, first + 1),
            (nop, true, first + 2),
            (command, false, first + 2),
        ]
    );
    pair.log_out();
}

#[test]
fn ffp_3_1_a_closed_window_holds_commands_back() {
    let target = target().window(1).build();
    let mut pair = Pair::ready(&target, &[]);
    target.set_window(0);
    pair.read(0, 0, 512).unwrap();
    let numbers = record_numbers(&target);
    pair.submit_write(0, 0, &[2; 512]);
    pair.pass(Duration::from_secs(2));
    assert_eq!(commands(&numbers), [0u32; 0], "MaxCmdSN = ExpCmdSN - 1");
    target.set_window(4);
    assert_eq!(pair.finish_one().outcome, Ok(()));
    assert_eq!(commands(&numbers).len(), 1);
    assert_eq!(pair.isboot.last_error(), None);
    pair.log_out();
}

#[test]
fn ffp_3_2_a_large_window_is_used() {
    let target = target().window(100).build();
    let mut pair = Pair::ready(&target, &[]);
    target.pause();
    let numbers = record_numbers(&target);
    for lba in 0..50 {
        pair.submit_read(0, lba, 512);
    }
    pair.pass(Duration::from_secs(1));
    let seen = commands(&numbers);
    assert_eq!(seen.len(), 32, "as many as there are slots");
    assert!(seen.windows(2).all(|pair| pair[1] == pair[0] + 1), "{seen:?}");
    target.resume();
    for _ in 0..50 {
        assert_eq!(pair.finish_one().outcome, Ok(()));
    }
    pair.log_out();
}

#[test]
fn ffp_3_3_a_window_of_one_lets_one_command_through() {
    let target = target().window(1).build();
    let mut pair = Pair::ready(&target, &[]);
    target.pause();
    let numbers = record_numbers(&target);
    pair.submit_read(0, 0, 512);
    pair.submit_read(0, 1, 512);
    pair.pass(Duration::from_secs(2));
    assert_eq!(commands(&numbers).len(), 1, "MaxCmdSN = ExpCmdSN");
    // The NOP-In that tells of more.
    target.set_window(2);
    pair.pass(Duration::from_secs(1));
    assert_eq!(commands(&numbers).len(), 2);
    target.resume();
    for _ in 0..2 {
        assert_eq!(pair.finish_one().outcome, Ok(()));
    }
    pair.log_out();
}

#[test]
fn ffp_5_1_a_stat_sn_half_the_numbers_away_is_not_taken() {
    for distance in [1 << 31, (1 << 31) - 1, (1 << 31) + 1] {
        let mut trial = Trial::new();
        trial.answer_read_with(move |tag, command| {
            let mut numbers = numbers_after(command);
            numbers.stat_sn = SerialNumber(numbers.stat_sn.0.wrapping_add(distance));
            let Response::Scsi(status) = crate::transfers::good(0, Default::default()) else {
                unreachable!()
            };
            vec![exactly(tag, Response::Scsi(ScsiResponse { numbers, ..status }))]
        });
        trial.assert_reads(512, "the status is not accepted");
        trial.assert_renewed("half the numbers away");
    }
}

#[test]
fn ffp_2_2_an_immediate_function_carries_the_number_of_the_next_command() {
    for first in [1, 0xffff_fff0] {
        let target = target().build();
        let setting = Setting { initial_cmd_sn: first, ..Setting::new(&[]) };
        let mut pair = Pair::with(&target, &setting);
        pair.become_ready();
        let log = stall(&target, 1, &[0]);
        pair.read(0, 0, 512).unwrap();
        pair.read(0, 1, 512).unwrap();
        let [stuck, next, later] = log.commands()[..] else { panic!("three commands") };
        let [management] = log.managements()[..] else { panic!("one function") };
        assert!(management.immediate);
        assert_eq!(management.cmd_sn, stuck.cmd_sn.next());
        assert_eq!(next.cmd_sn, management.cmd_sn, "the function used nothing up");
        assert_eq!(later.cmd_sn, next.cmd_sn.next());
        pair.log_out();
    }
}
