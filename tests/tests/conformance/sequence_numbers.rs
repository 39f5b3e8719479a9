//! B-SN: CmdSN, StatSN, DataSN, R2TSN and the window.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use isboot::pdu::bhs::{BasicHeaderSegment, RESERVED_TAG, opcode};
use isboot::pdu::request::{Request, TaskAttribute};
use isboot::pdu::response::{
    DataIn, NopIn, ReadyToTransfer, Residual, Response, ScsiResponse, SequenceNumbers,
};
use isboot::pdu::serial::SerialNumber;
use isboot::session::{Command, Completion, Event, Transfer};
use isboot_tests::pair::{Direction, NUMBERS, Pair, Setting, target};
use isboot_tests::target::{Fate, Handling, Injection, Numbering, Pdu, Target};

use crate::bare::Bare;
use crate::transfers::{
    Trial, answer, content, data_in, exactly, good, last_part, numbers_after, part, r2t,
};

/// CmdSN of each SCSI command from now on.
fn record_cmd_sn(target: &Target) -> Arc<Mutex<Vec<u32>>> {
    let numbers = Arc::new(Mutex::new(Vec::new()));
    let record = numbers.clone();
    target.on_request(move |_, pdu| {
        if let Ok(Request::ScsiCommand(command)) = Request::parse(&pdu.header) {
            record.lock().unwrap().push(command.cmd_sn.0);
        }
        Handling::Proceed
    });
    numbers
}

/// Changes the numbers of every response from now on.
fn renumber(target: &Target, mut change: impl FnMut(&mut SequenceNumbers) + Send + 'static) {
    target.on_response(move |_, pdu| {
        let mut bytes = *pdu.header.as_bytes();
        let word =
            |at: usize| SerialNumber(u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()));
        let mut numbers =
            SequenceNumbers { stat_sn: word(24), exp_cmd_sn: word(28), max_cmd_sn: word(32) };
        change(&mut numbers);
        bytes[24..28].copy_from_slice(&numbers.stat_sn.0.to_be_bytes());
        bytes[28..32].copy_from_slice(&numbers.exp_cmd_sn.0.to_be_bytes());
        bytes[32..36].copy_from_slice(&numbers.max_cmd_sn.0.to_be_bytes());
        pdu.header = BasicHeaderSegment::from_bytes(bytes);
        Fate::Send
    });
}

/// A NOP-In that asks for nothing.
fn nop_in(numbers: SequenceNumbers) -> Response {
    Response::NopIn(NopIn {
        lun: [0; 8],
        initiator_task_tag: RESERVED_TAG,
        target_transfer_tag: RESERVED_TAG,
        numbers,
        data_segment_length: 0,
    })
}

#[test]
fn b_sn_01_cmd_sn_wraps_and_does_not_stall() {
    for first in [0xffff_fffe, 0x7fff_fffe] {
        let target = target().build();
        let numbers = record_cmd_sn(&target);
        let setting = Setting { initial_cmd_sn: first, ..Setting::new(&[]) };
        let mut pair = Pair::with(&target, &setting);
        pair.become_ready();
        for lba in 0..8 {
            pair.read(0, lba, 512).unwrap();
        }
        let numbers = numbers.lock().unwrap();
        let expected: Vec<u32> = (0..numbers.len() as u32).map(|n| first.wrapping_add(n)).collect();
        assert_eq!(*numbers, expected);
        assert!(numbers.len() > 8);
        assert_eq!(pair.isboot.last_error(), None);
        drop(numbers);
        pair.log_out();
    }
}

#[test]
fn b_sn_02_stat_sn_wraps_without_recovery() {
    for first in [0xffff_fffd, 0x7fff_fffd] {
        let mut trial = Trial::of(target().initial_stat_sn(first), &[]);
        let sent = trial.record();
        for _ in 0..20 {
            trial.assert_reads(512, "over zero");
        }
        let acknowledged: Vec<u32> = sent.commands().iter().map(|c| c.exp_stat_sn.0).collect();
        assert!(acknowledged.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1)));
        assert!(acknowledged.last().unwrap().wrapping_sub(first) > 20);
        trial.assert_untroubled("over zero");
    }
}

/// Tags are generation and slot: over more than a whole turn of the generations none is the
/// reserved one, and none is that of a task that is still open.
#[test]
fn b_sn_03_tags_wrap_past_the_reserved_one_and_those_in_use() {
    let ready = Command {
        lun: [0; 8],
        cdb: [0; 16],
        transfer: Transfer::None,
        attribute: TaskAttribute::Simple,
        idempotent: true,
    };
    let mut bare = Bare::<2>::logged_in(&target().build());
    bare.submit(ready);
    let old = bare.sent_tag();
    let mut seen = BTreeSet::new();
    for turn in 0..70_000u32 {
        let task = bare.submit(ready);
        let tag = bare.sent_tag();
        assert!(tag != RESERVED_TAG && tag != old, "turn {turn}");
        if turn < 65_536 {
            assert!(seen.insert(tag), "turn {turn}: not again before all were used");
        }
        let status = Completion::Status { status: 0, residual: Residual::None };
        assert_eq!(
            bare.answer(tag, good(0, Residual::None)),
            [Event::Completed { task, completion: status }]
        );
    }
    assert_eq!(bare.answer(old, good(0, Residual::None)).len(), 1, "the old one still is itself");
}

#[test]
fn b_sn_04_data_sn_counts_beyond_65535() {
    let mut trial = Trial::new();
    trial.answer_read_with(|tag, _| {
        let mut script: Vec<_> = (0..70_000).map(|n| answer(tag, part(n, 0..0))).collect();
        script.push(answer(tag, part(70_000, 0..512)));
        script.push(answer(tag, last_part(70_001, 512..1536)));
        script
    });
    let reads = trial.target.statistics().command_count(0x28);
    trial.assert_reads(1536, "70002 PDUs");
    assert_eq!(trial.target.statistics().command_count(0x28), reads, "issued once");
    trial.assert_untroubled("70002 PDUs");
    // In 16 bits this one would be the next.
    let mut trial = Trial::new();
    trial.answer_read(vec![part(0, 0..512), last_part(65_537, 512..1536)]);
    trial.assert_reads(1536, "65537 is not 1");
    trial.assert_renewed("65537 is not 1");
}

#[test]
fn b_sn_05_hundreds_of_r2ts_are_answered() {
    let mut trial =
        Trial::of(target().immediate_data(false).max_recv_data_segment_length(512), &[]);
    let script: Vec<_> = (0..600).map(|n| r2t(n, n * 100..(n + 1) * 100)).collect();
    let last = r2t(600, 60_000..60_416);
    let script = [script, vec![last]].concat();
    let sent = trial.answer_write(&script, 1);
    assert_eq!(trial.write(60_416), Ok(()));
    sent.assert_answers(&script, 512, "601 R2Ts");
    trial.assert_untroubled("601 R2Ts");
    // In 8 bits this one would be the next.
    let mut trial = Trial::of(target().immediate_data(false), &[]);
    let script = [r2t(0, 0..512), ReadyToTransfer { r2t_sn: 257, ..r2t(1, 512..1024) }];
    let sent = trial.answer_write(&script, 1);
    trial.assert_writes(1024, "257 is not 1");
    sent.assert_answers(&script[..1], 512, "257 is not 1");
    trial.assert_renewed("257 is not 1");
}

#[test]
fn b_sn_06_a_pair_that_contradicts_itself_is_ignored() {
    let mut trial = Trial::of(target().window(4), &[]);
    // MaxCmdSN far ahead, and yet before ExpCmdSN - 1: nobody knows what is meant.
    renumber(&trial.target, |numbers| {
        numbers.exp_cmd_sn = numbers.max_cmd_sn.plus(1002);
        numbers.max_cmd_sn = numbers.max_cmd_sn.plus(1000);
    });
    trial.assert_reads(512, "the PDU is used otherwise");
    trial.target.clear_hooks();
    // What the response before said: one of four was used since.
    assert_window(&mut trial, 3, "as before");
    trial.assert_untroubled("a pair that contradicts itself");
}

/// Of ten reads so many are sent; then all are answered.
#[track_caller]
fn assert_window(trial: &mut Trial, window: usize, what: &str) {
    trial.target.pause();
    let numbers = record_cmd_sn(&trial.target);
    for lba in 0..10 {
        trial.pair.submit_read(0, lba, 512);
    }
    trial.pair.pass(Duration::from_secs(1));
    assert_eq!(numbers.lock().unwrap().len(), window, "{what}");
    trial.target.resume();
    for _ in 0..10 {
        assert_eq!(trial.pair.finish_one().outcome, Ok(()), "{what}");
    }
}

#[test]
fn b_sn_07_stale_numbers_do_not_shrink_the_window() {
    for behind in [1, 5, 1000, (1 << 31) - 9] {
        let mut trial = Trial::of(target().window(8), &[]);
        trial.target.inject(Injection {
            pdu: Pdu::new(nop_in(NUMBERS).emit(), Vec::new()),
            numbering: Numbering::Current,
        });
        renumber(&trial.target, move |numbers| {
            numbers.exp_cmd_sn = numbers.exp_cmd_sn.minus(behind);
            numbers.max_cmd_sn = numbers.max_cmd_sn.minus(behind);
        });
        trial.pair.pass(Duration::from_secs(1));
        trial.target.clear_hooks();
        assert_window(&mut trial, 8, &format!("{behind} behind"));
        trial.assert_untroubled("stale numbers");
    }
}

#[test]
fn b_sn_08_a_window_across_zero_is_used_in_full_and_no_more() {
    let read = Command {
        lun: [0; 8],
        cdb: isboot::scsi::cdb::read(0, 1),
        transfer: Transfer::Read(512),
        attribute: TaskAttribute::Simple,
        idempotent: true,
    };
    let target = target().window(32).build();
    target.pause();
    let numbers = record_cmd_sn(&target);
    let mut bare =
        Bare::<64>::with(&target, |config| config.initial_cmd_sn = SerialNumber(0xffff_fff0));
    for _ in 0..40 {
        bare.submit(read);
    }
    bare.exchange();
    let expected: Vec<u32> = (0..32).map(|n| 0xffff_fff0_u32.wrapping_add(n)).collect();
    assert_eq!(*numbers.lock().unwrap(), expected, "up to 0000000fh");
    target.resume();
    bare.exchange();
    let numbers = numbers.lock().unwrap();
    assert_eq!(numbers.last(), Some(&0x17), "the rest when the window moves");
    assert_eq!(target.violations().len(), 0);
}

#[test]
fn b_sn_09_a_window_at_half_the_numbers_has_no_order() {
    // The window is closed at MaxCmdSN; what a NOP-In names, from there on, decides.
    for (distance, opens) in [(1 << 31, false), ((1 << 31) - 1, true)] {
        let target = target().window(1).build();
        let mut pair = Pair::ready(&target, &[]);
        target.set_window(0);
        pair.read(0, 0, 512).unwrap();
        let numbers = record_cmd_sn(&target);
        pair.submit_read(0, 0, 512);
        pair.pass(Duration::from_millis(500));
        assert_eq!(*numbers.lock().unwrap(), [0u32; 0], "closed");
        // The target itself does not know of this window, and would call it a violation.
        target.on_request(|_, pdu| match pdu.header.opcode() {
            opcode::SCSI_COMMAND => Handling::Swallow,
            _ => Handling::Proceed,
        });
        renumber(&target, move |numbers| {
            numbers.max_cmd_sn = numbers.max_cmd_sn.plus(distance);
        });
        target.inject(Injection {
            pdu: Pdu::new(nop_in(NUMBERS).emit(), Vec::new()),
            numbering: Numbering::Current,
        });
        let before = pair.wire.carried(Direction::ToTarget);
        pair.pass(Duration::from_millis(500));
        let sent = pair.wire.carried(Direction::ToTarget) - before;
        assert_eq!(sent > 0, opens, "{distance:#x} ahead");
    }
}

#[test]
fn b_sn_10_acknowledging_what_was_not_sent_counts_for_nothing() {
    let mut trial = Trial::of(target().window(8), &[]);
    renumber(&trial.target, |numbers| {
        numbers.exp_cmd_sn = numbers.exp_cmd_sn.plus(5);
        numbers.max_cmd_sn = numbers.max_cmd_sn.plus(5);
    });
    let numbers = record_cmd_sn(&trial.target);
    for _ in 0..8 {
        trial.assert_reads(512, "answers count");
    }
    {
        let numbers = numbers.lock().unwrap();
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "none is left out");
    }
    trial.target.clear_hooks();
    trial.assert_reads(512, "and afterwards");
    trial.assert_untroubled("acknowledging the unsent");
}

#[test]
fn b_sn_13_answers_acknowledge_where_exp_cmd_sn_does_not() {
    let mut trial = Trial::of(target().window(8), &[]);
    let mut frozen = None;
    renumber(&trial.target, move |numbers| {
        numbers.exp_cmd_sn = *frozen.get_or_insert(numbers.exp_cmd_sn);
    });
    for lba in 0..100 {
        let expected =
            content(512 * (lba as usize % 100 + 1)).split_off(512 * (lba as usize % 100));
        assert_eq!(trial.pair.read(0, lba, 512).unwrap(), expected);
    }
    assert_window(&mut trial, 8, "inside MaxCmdSN");
    trial.assert_untroubled("ExpCmdSN frozen");
}

/// A read whose status has this StatSN, counted from the right one, is not done by it.
fn status_with_stat_sn(ahead: u32) {
    let mut trial = Trial::new();
    trial.answer_read_with(move |tag, command| {
        let mut numbers = numbers_after(command);
        numbers.stat_sn = numbers.stat_sn.plus(ahead);
        let Response::DataIn(data) = last_part(0, 0..512) else { unreachable!() };
        vec![exactly(tag, Response::DataIn(DataIn { numbers, ..data }))]
    });
    let ended = trial.pair.now();
    trial.assert_reads(512, "the status is not final");
    assert!(trial.pair.now().since(ended) < Duration::from_secs(5), "recovered at once");
    trial.assert_renewed("a hole in StatSN");
}

#[test]
fn b_sn_14_a_status_after_a_hole_is_not_final() {
    status_with_stat_sn(1);
    // The same in a SCSI Response.
    let mut trial = Trial::new();
    trial.answer_read_with(|tag, command| {
        let mut numbers = numbers_after(command);
        numbers.stat_sn = numbers.stat_sn.next();
        let Response::Scsi(status) = good(1, Residual::None) else { unreachable!() };
        let status = ScsiResponse { numbers, ..status };
        vec![answer(tag, part(0, 0..512)), exactly(tag, Response::Scsi(status))]
    });
    trial.assert_reads(512, "the status is not final");
    trial.assert_renewed("a hole in StatSN");
}

#[test]
fn b_sn_15_a_stat_sn_that_comes_again_completes_nothing() {
    // The same status for the same task, and for the next one.
    for same in [true, false] {
        let mut trial = Trial::new();
        let mut old: Option<(u32, SequenceNumbers)> = None;
        trial.target.on_request(move |_, pdu| {
            let Ok(Request::ScsiCommand(command)) = Request::parse(&pdu.header) else {
                return Handling::Proceed;
            };
            let tag = command.initiator_task_tag;
            let status = |tag, numbers| {
                let Response::DataIn(data) = last_part(0, 0..512) else { unreachable!() };
                exactly(tag, Response::DataIn(DataIn { numbers, ..data }))
            };
            match old {
                None => {
                    old = Some((tag, numbers_after(&command)));
                    Handling::Answer(vec![answer(tag, last_part(0, 0..512))])
                }
                Some((first, numbers)) if numbers.stat_sn.next() == command.exp_stat_sn => {
                    Handling::Answer(vec![status(if same { first } else { tag }, numbers)])
                }
                Some(_) => Handling::Proceed,
            }
        });
        trial.assert_reads(512, "the first");
        trial.assert_reads(512, "the second");
        trial.assert_renewed("a StatSN again");
    }
}

#[test]
fn b_sn_16_a_nop_in_that_asks_nothing_does_not_advance_stat_sn() {
    let mut trial = Trial::new();
    for _ in 0..3 {
        let pdu = Pdu::new(nop_in(NUMBERS).emit(), Vec::new());
        trial.target.inject(Injection { pdu, numbering: Numbering::Current });
        trial.pair.pass(Duration::from_millis(10));
    }
    trial.assert_reads(512, "the next status");
    trial.assert_untroubled("three NOP-Ins");
}

#[test]
fn b_sn_17_a_nop_in_shows_that_a_status_was_lost() {
    for ahead in [1, 2, 1000] {
        let mut trial = Trial::new();
        // The status is lost, and the NOP-In behind it names the next.
        trial.answer_read_with(move |_, command| {
            let mut numbers = numbers_after(command);
            numbers.stat_sn = numbers.stat_sn.plus(ahead);
            vec![exactly(RESERVED_TAG, nop_in(numbers))]
        });
        let begin = trial.pair.now();
        trial.assert_reads(512, "issued again");
        assert!(
            trial.pair.now().since(begin) < Duration::from_secs(5),
            "no time-out was waited for"
        );
        trial.assert_renewed("a lost status");
    }
    // One behind is late news.
    let mut trial = Trial::new();
    trial.answer_read_with(move |tag, command| {
        let mut numbers = numbers_after(command);
        numbers.stat_sn = numbers.stat_sn.previous();
        vec![exactly(RESERVED_TAG, nop_in(numbers)), answer(tag, last_part(0, 0..512))]
    });
    trial.assert_reads(512, "late news");
    trial.assert_untroubled("late news");
}

#[test]
fn b_sn_18_stat_sn_counts_only_where_there_is_a_status() {
    // Data-In without status: the field is reserved.
    let mut trial = Trial::new();
    trial.answer_read_with(|tag, command| {
        let numbers = numbers_after(command);
        let parts = (0..3u32).map(|n| {
            let data = data_in(n, n * 512..(n + 1) * 512);
            let mut injection = exactly(tag, Response::DataIn(DataIn { numbers, ..data }));
            let mut bytes = *injection.pdu.header.as_bytes();
            bytes[24..28].copy_from_slice(&[0xde, 0xad, 0xbe, n as u8]);
            injection.pdu.header = BasicHeaderSegment::from_bytes(bytes);
            injection
        });
        parts.chain([answer(tag, good(3, Residual::None))]).collect()
    });
    trial.assert_reads(1536, "reserved");
    trial.assert_untroubled("reserved");
    // R2Ts show the next StatSN and do not take it: four of them, and then a status.
    let mut trial = Trial::of(target().immediate_data(false), &[]);
    let script: Vec<_> = (0..4).map(|n| r2t(n, n * 512..(n + 1) * 512)).collect();
    let sent = trial.answer_write(&script, 1);
    assert_eq!(trial.write(2048), Ok(()));
    let command = sent.commands()[0];
    assert!(
        sent.lock().data.iter().all(|(data, _)| data.exp_stat_sn == command.exp_stat_sn),
        "nothing was acknowledged by R2Ts"
    );
    trial.assert_untroubled("R2Ts");
}

#[test]
fn b_sn_19_no_hole_in_stat_sn_is_small_enough_to_be_lived_with() {
    // The constant of RFC 7143 §4.2.2.2 is 0 here.
    for ahead in [1, 2, 1000, (1 << 31) - 1] {
        status_with_stat_sn(ahead);
    }
}

mod closed_windows {
    use std::time::Duration;

    use isboot::disk::RequestError;
    use isboot::pdu::request::{Request, TaskManagementFunction as Function};
    use isboot::session::{Error, TaskError, Waiting};
    use isboot_tests::pair::{Pair, target};
    use isboot_tests::target::Handling;

    use crate::stall::{COMMAND_TIMEOUT, watch};

    #[test]
    fn b_sn_11_immediate_requests_pass_a_closed_window() {
        let target = target().window(1).build();
        let mut pair = Pair::ready(&target, &[]);
        target.pause();
        let resumes = target.clone();
        let log = watch(&target, move |request, _| {
            if matches!(request, Request::TaskManagement(_)) {
                resumes.resume();
            }
            Handling::Proceed
        });
        pair.submit_read(0, 0, 512);
        pair.submit_read(0, 1, 512);
        pair.pass(Duration::from_secs(1));
        target.ping(&[]);
        pair.pass(Duration::from_secs(1));
        assert_eq!(log.commands().len(), 1, "the window is closed");
        assert_eq!(target.statistics().ping_answers, 1, "a NOP-In is answered all the same");
        pair.pass(COMMAND_TIMEOUT);
        assert_eq!(log.functions(), [Function::AbortTask], "and a task is aborted");
        let closed = log.commands()[0].cmd_sn;
        for nop in log.nop_outs() {
            assert!(nop.immediate);
            assert_eq!(nop.cmd_sn, closed.next());
        }
        assert_eq!(log.managements()[0].cmd_sn, closed.next());
        pair.finish_one().outcome.unwrap();
        pair.finish_one().outcome.unwrap();
        assert_eq!(pair.isboot.last_error(), None);
        pair.log_out();
    }

    #[test]
    fn b_sn_12_a_window_that_never_reopens_is_pinged_and_then_an_error() {
        let target = target().window(1).times(0, 0).build();
        let mut pair = Pair::ready(&target, &[]);
        target.set_window(0);
        pair.read(0, 0, 512).unwrap();
        let log = watch(&target, |_, _| Handling::Proceed);
        let id = pair.submit_read(0, 1, 512);
        let begin = pair.now();
        pair.pass(COMMAND_TIMEOUT);
        assert!(log.commands().is_empty(), "the window is closed");
        assert!(log.nop_outs().len() > 3, "the target is asked whether it lives");
        let finished = pair.finish_one();
        assert_eq!(
            (finished.id, finished.outcome),
            (id, Err(RequestError::Task(TaskError::Outage)))
        );
        assert_eq!(pair.now().since(begin), Duration::from_secs(120), "no silent hang");
        assert_eq!(pair.isboot.last_error(), Some(Error::Timeout(Waiting::Window)));
        // The next session's window is open.
        target.set_window(8);
        pair.become_ready();
        pair.read(0, 1, 512).unwrap();
        pair.log_out();
    }
}
