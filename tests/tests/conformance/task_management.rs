//! B-TM: task management functions, and what the target says to them.
//!
//! A command that is not answered in time is what calls for them (docs/decisions.md).

use std::time::Duration;

use isboot::disk::RequestError;
use isboot::pdu::bhs::{BASIC_HEADER_SEGMENT_LENGTH, RESERVED_TAG, opcode};
use isboot::pdu::request::{Request, TaskManagementFunction as Function};
use isboot::pdu::response::{DataIn, ReadyToTransfer, Residual, Response};
use isboot::pdu::serial::SerialNumber;
use isboot::session::{Error, LinkFailure, Reset, SubmitError, TaskError, Waiting};
use isboot_tests::pair::{MIB, NUMBERS, Pair, Random, good, target};
use isboot_tests::target::{Fate, Handling, Injection, Lun, Numbering, Pdu};

use crate::stall::{
    COMMAND_TIMEOUT, MANAGEMENT_TIMEOUT, managed, managed_with, stall, stall_with, watch,
};

/// Data-In of 512 bytes for a task, with or without GOOD.
fn data_in(initiator_task_tag: u32, status: Option<u8>) -> Injection {
    let header = DataIn {
        last: true,
        acknowledge: false,
        status,
        residual: Residual::None,
        lun: [0; 8],
        initiator_task_tag,
        target_transfer_tag: RESERVED_TAG,
        numbers: NUMBERS,
        data_sn: 0,
        buffer_offset: 0,
        data_segment_length: 0,
    };
    let numbering = if status.is_some() { Numbering::Status } else { Numbering::Current };
    Injection { pdu: Pdu::new(Response::DataIn(header).emit(), vec![0xbb; 512]), numbering }
}

/// An R2T for all of a write.
fn r2t(initiator_task_tag: u32, length: u32) -> Injection {
    let header = ReadyToTransfer {
        lun: [0; 8],
        initiator_task_tag,
        target_transfer_tag: 0x77,
        numbers: NUMBERS,
        r2t_sn: 0,
        buffer_offset: 0,
        desired_data_transfer_length: length,
    };
    let pdu = Pdu::new(Response::ReadyToTransfer(header).emit(), Vec::new());
    Injection { pdu, numbering: Numbering::Current }
}

/// What the target may still say about a task that it has ended.
type Late = (&'static str, fn(u32) -> Vec<Injection>);

const LATE: [Late; 5] = [
    ("nothing", |_| vec![]),
    ("a SCSI Response", |tag| vec![good(tag, Residual::None)]),
    ("Data-In", |tag| vec![data_in(tag, None)]),
    ("Data-In with status", |tag| vec![data_in(tag, Some(0))]),
    ("an R2T", |tag| vec![r2t(tag, 512)]),
];

#[test]
fn b_tm_01_an_aborted_task_is_over_and_its_command_is_issued_again() {
    for (name, late) in LATE {
        for write in [false, true] {
            let target = target().immediate_data(false).build();
            let data = Random(1).bytes(512);
            target.write_lun(0, 0, &data).unwrap();
            let mut pair = Pair::ready(&target, &[]);
            let log = stall_with(&target, 1, move |management| {
                let answer = managed(management.initiator_task_tag, 0);
                [vec![answer], late(management.referenced_task_tag)].concat()
            });
            let begin = pair.now();
            if write {
                pair.write(0, 0, &[7; 512]).unwrap();
                assert_eq!(target.read_lun(0, 0, 512).unwrap(), [7; 512], "{name}");
            } else {
                assert_eq!(pair.read(0, 0, 512).unwrap(), data, "{name}");
            }
            assert_eq!(pair.now().since(begin), COMMAND_TIMEOUT, "{name}: aborted when it is due");
            assert_eq!(log.functions(), [Function::AbortTask], "{name}");
            let tags: Vec<u32> = log.commands().iter().map(|c| c.initiator_task_tag).collect();
            assert_eq!(tags.len(), 2, "{name}: issued again once");
            assert_ne!(tags[0], tags[1], "{name}: as a task of its own");
            assert!(pair.take_completion().is_none(), "{name}");
            assert_eq!(pair.isboot.last_error(), None, "{name}: the session goes on");
            pair.read(0, 8, 512).unwrap();
            pair.log_out();
        }
    }
}

/// On the host's wish the task ends with "aborted", and the session goes on.
#[test]
fn b_tm_01_a_request_that_the_host_aborts_ends_with_aborted() {
    for (name, late) in LATE {
        let target = target().immediate_data(false).build();
        let mut pair = Pair::ready(&target, &[]);
        let log = stall_with(&target, 1, move |management| {
            let answer = managed(management.initiator_task_tag, 0);
            [vec![answer], late(management.referenced_task_tag)].concat()
        });
        let id = pair.submit_write(0, 0, &[7; 512]);
        pair.pass(Duration::from_secs(1));
        pair.isboot.abort(id);
        let finished = pair.finish_one();
        assert_eq!(finished.outcome, Err(RequestError::Task(TaskError::Aborted)), "{name}");
        assert_eq!(finished.buffer.as_deref(), Some(&[7; 512][..]), "{name}: its buffer is back");
        assert_eq!(log.functions(), [Function::AbortTask], "{name}");
        assert_eq!(log.commands().len(), 1, "{name}: not issued again");
        pair.isboot.abort(id);
        pair.write(0, 0, &[8; 512]).unwrap();
        assert_eq!(log.functions().len(), 1, "{name}: a request that is done is not aborted");
        assert_eq!(pair.isboot.last_error(), None, "{name}");
        pair.log_out();
    }
}

/// A request that waits for others is given back at once: there is nothing to ask of the target.
#[test]
fn b_tm_01_a_request_that_was_never_sent_is_aborted_without_the_target() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[("queue_depth", "1")]);
    let log = stall(&target, 1, &[]);
    let stuck = pair.submit_read(0, 0, 512);
    let waiting = pair.submit_read(0, 1, 512);
    pair.pass(Duration::from_secs(1));
    pair.isboot.abort(waiting);
    let finished = pair.finish_one();
    assert_eq!(finished.id, waiting);
    assert_eq!(finished.outcome, Err(RequestError::Task(TaskError::Aborted)));
    assert!(log.functions().is_empty());
    pair.isboot.abort(stuck);
    pair.pass(Duration::from_secs(1));
    assert_eq!(log.functions(), [Function::AbortTask]);
}

#[test]
fn b_tm_02_a_response_just_before_no_such_task_completes_the_task_once() {
    for response in [0, 1] {
        let target = target().build();
        let mut pair = Pair::ready(&target, &[]);
        let log = stall_with(&target, 1, move |management| {
            vec![
                good(management.referenced_task_tag, Residual::None),
                managed(management.initiator_task_tag, response),
            ]
        });
        pair.write(0, 0, &[1; 512]).unwrap();
        pair.pass(Duration::from_secs(60));
        assert!(pair.take_completion().is_none());
        assert_eq!(log.commands().len(), 1, "the response counted");
        assert_eq!(log.functions(), [Function::AbortTask]);
        assert_eq!(pair.isboot.last_error(), None);
        pair.log_out();
    }
}

/// Lost with its StatSN the hole tells; lost without one, the target's word does.
#[test]
fn b_tm_03_no_such_task_without_a_response_issues_the_command_again() {
    for hole in [false, true] {
        let target = target().build();
        let mut pair = Pair::ready(&target, &[]);
        let log = stall_with(&target, 1, move |management| {
            let lost = good(management.referenced_task_tag, Residual::None);
            let answer = managed(management.initiator_task_tag, 1);
            if hole { vec![lost, answer] } else { vec![answer] }
        });
        let mut lost = hole;
        target.on_response(move |_, pdu| {
            let response = pdu.header.opcode() == opcode::SCSI_RESPONSE;
            if response && std::mem::take(&mut lost) { Fate::Drop } else { Fate::Send }
        });
        pair.write(0, 0, &[1; 512]).unwrap();
        assert_eq!(target.read_lun(0, 0, 512).unwrap(), [1; 512]);
        assert_eq!(log.commands().iter().filter(|c| c.write).count(), 2);
        assert_eq!(target.statistics().logins, if hole { 2 } else { 1 });
        pair.log_out();
    }
}

#[test]
fn b_tm_04_a_unit_that_does_not_exist_is_gone() {
    for responses in [&[2][..], &[5, 2]] {
        let target = target().lun(Lun::memory(MIB)).build();
        let mut pair = Pair::ready(&target, &[]);
        let log = stall(&target, 2, responses);
        let first = pair.submit_read(1, 0, 512);
        let second = pair.submit_write(1, 8, &[1; 512]);
        let mut done = [pair.finish_one(), pair.finish_one()];
        done.sort_by_key(|finished| finished.id != first);
        for (finished, id) in done.iter().zip([first, second]) {
            assert_eq!(finished.id, id);
            let gone = RequestError::Task(TaskError::NoSuchLogicalUnit);
            assert_eq!(finished.outcome, Err(gone), "{responses:?}");
        }
        assert_eq!(log.functions().len(), responses.len());
        let refused = pair.isboot.submit_read(isboot::disk::DiskId(1), 0, vec![0; 512]);
        let reason = refused.unwrap_err().reason;
        assert_eq!(reason, isboot::disk::SubmitRequestError::Gone, "{responses:?}");
        pair.read(0, 0, 512).unwrap();
        assert_eq!(pair.isboot.last_error(), None, "the other unit knows nothing of it");
        // What the target says in one session need not hold in the next.
        pair.wire.break_now(isboot_tests::pair::Break::Reset);
        pair.run_until("the loss", |isboot| isboot.last_error().is_some());
        pair.become_ready();
        pair.read(1, 0, 512).unwrap();
        pair.log_out();
    }
}

/// Any answer but "done" and "no such unit" leads to the next step.
fn is_as_good_as_a_refusal(refusal: u8) {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let log = stall(&target, 1, &[refusal, 0]);
    pair.read(0, 0, 512).unwrap();
    assert_eq!(log.functions(), [Function::AbortTask, Function::LogicalUnitReset], "{refusal}");
    assert_eq!(log.commands().len(), 2, "{refusal}");
    assert_eq!(pair.isboot.last_error(), None, "{refusal}");
    pair.log_out();
}

/// After the last step the session is renewed, and no step is taken twice.
fn leads_to_the_end_of(escalation: &str, functions: &[Function], refusal: u8) {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[("escalation", escalation)]);
    let log = stall(&target, 1, &vec![refusal; functions.len()]);
    let begin = pair.now();
    pair.read(0, 0, 512).unwrap();
    assert_eq!(log.functions(), functions, "{refusal}: each once");
    assert_eq!(target.statistics().logins, 2, "{refusal}");
    assert_eq!(pair.isboot.last_error(), Some(Error::Timeout(Waiting::Command)), "{refusal}");
    let took = pair.now().since(begin);
    assert!(took < COMMAND_TIMEOUT + Duration::from_secs(5), "{refusal}: {took:?}");
    pair.log_out();
}

#[test]
fn b_tm_05_allegiance_and_reassignment_are_no_answers() {
    is_as_good_as_a_refusal(3);
    is_as_good_as_a_refusal(4);
}

#[test]
fn b_tm_06_a_function_that_is_not_supported_leads_to_the_next_each_once() {
    let steps = [Function::AbortTask, Function::LogicalUnitReset];
    leads_to_the_end_of("abort-task,lun-reset", &steps, 5);
    is_as_good_as_a_refusal(5);
}

#[test]
fn b_tm_07_a_function_that_is_not_authorized_leads_to_the_next_without_a_loop() {
    leads_to_the_end_of("lun-reset", &[Function::LogicalUnitReset], 6);
    let all = "abort-task,abort-task-set,lun-reset,target-warm-reset,target-cold-reset";
    let steps = [
        Function::AbortTask,
        Function::AbortTaskSet,
        Function::LogicalUnitReset,
        Function::TargetWarmReset,
        Function::TargetColdReset,
    ];
    leads_to_the_end_of(all, &steps, 6);
    leads_to_the_end_of("none", &[], 6);
}

#[test]
fn b_tm_08_rejected_and_unknown_responses_are_refusals() {
    for refusal in [255, 7, 100] {
        is_as_good_as_a_refusal(refusal);
        leads_to_the_end_of("lun-reset", &[Function::LogicalUnitReset], refusal);
    }
}

#[test]
fn b_tm_09_a_function_without_a_response_renews_the_session_in_time() {
    for (escalation, function) in
        [("abort-task", Function::AbortTask), ("lun-reset,abort-task", Function::LogicalUnitReset)]
    {
        let target = target().times(0, 0).build();
        let mut pair = Pair::ready(&target, &[("escalation", escalation)]);
        let log = stall(&target, 1, &[]);
        let begin = pair.now();
        pair.submit_read(0, 0, 512);
        pair.run_until("the loss", |isboot| isboot.last_error().is_some());
        assert_eq!(pair.now().since(begin), COMMAND_TIMEOUT + MANAGEMENT_TIMEOUT);
        let silence = Error::Timeout(Waiting::TaskManagement);
        assert_eq!(pair.isboot.last_error(), Some(silence), "{escalation}");
        pair.finish_one().outcome.unwrap();
        assert_eq!(log.functions(), [function], "{escalation}: pinging went on meanwhile");
        assert!(!log.nop_outs().is_empty(), "{escalation}");
        pair.log_out();
    }
}

#[test]
fn b_tm_10_every_field_of_a_function_is_right() {
    for (escalation, function, has_lun) in [
        ("abort-task", Function::AbortTask, true),
        ("abort-task-set", Function::AbortTaskSet, true),
        ("lun-reset", Function::LogicalUnitReset, true),
        ("target-warm-reset", Function::TargetWarmReset, false),
        ("target-cold-reset", Function::TargetColdReset, false),
    ] {
        let target = target().lun(Lun::memory(MIB).number(300)).build();
        let mut pair = Pair::ready(&target, &[("escalation", escalation)]);
        let mut lengths = Vec::new();
        let mut stuck = true;
        let log = watch(&target, move |request, pdu| match request {
            Request::ScsiCommand(_) if std::mem::take(&mut stuck) => Handling::Swallow,
            Request::TaskManagement(management) => {
                let header = pdu.header.as_bytes();
                lengths.extend_from_slice(&header[4..8]);
                assert_eq!(header.len(), BASIC_HEADER_SEGMENT_LENGTH);
                assert_eq!(lengths, [0; 4], "TotalAHSLength and DataSegmentLength");
                assert!(pdu.additional.is_empty() && pdu.data.is_empty());
                Handling::Answer(vec![managed(management.initiator_task_tag, 0)])
            }
            _ => Handling::Proceed,
        });
        pair.read(1, 0, 512).unwrap();
        let (connection, Request::ScsiCommand(command)) = log.all()[0] else { panic!("a read") };
        let [management] = log.managements()[..] else { panic!("one function") };
        assert_eq!(management.function, function);
        let lun = [0x41, 0x2c, 0, 0, 0, 0, 0, 0];
        assert_eq!(command.lun, lun);
        assert_eq!(management.lun, if has_lun { lun } else { [0; 8] }, "{escalation}");
        assert!(management.immediate, "{escalation}");
        let aborts_one = function == Function::AbortTask;
        let named = if aborts_one { command.initiator_task_tag } else { RESERVED_TAG };
        assert_eq!(management.referenced_task_tag, named, "{escalation}");
        let ref_cmd_sn = if aborts_one { command.cmd_sn } else { SerialNumber(0) };
        assert_eq!(management.ref_cmd_sn, ref_cmd_sn, "{escalation}");
        assert_ne!(management.initiator_task_tag, command.initiator_task_tag);
        assert_ne!(management.initiator_task_tag, RESERVED_TAG);
        assert_eq!(management.cmd_sn, command.cmd_sn.next(), "{escalation}");
        assert_eq!(management.exp_data_sn, 0);
        let connections: Vec<u64> = log.all().iter().map(|(connection, _)| *connection).collect();
        assert!(connections.iter().all(|&other| other == connection), "{escalation}");
        pair.log_out();
    }
}

#[test]
fn b_tm_11_r2ts_of_a_task_that_is_being_aborted_are_answered() {
    const LENGTH: u32 = 4096;
    for answered in [true, false] {
        let target = target().immediate_data(false).max_recv_data_segment_length(1024).build();
        let mut pair = Pair::ready(&target, &[]);
        let (mut stuck, mut function) = (true, None);
        let log = watch(&target, move |request, _| match request {
            Request::ScsiCommand(_) if std::mem::take(&mut stuck) => Handling::Swallow,
            Request::TaskManagement(management) => {
                function = Some(management.initiator_task_tag);
                let asks = r2t(management.referenced_task_tag, LENGTH);
                let done = managed(management.initiator_task_tag, 0);
                Handling::Answer(if answered { vec![asks] } else { vec![asks, done] })
            }
            Request::DataOut(data_out) if data_out.target_transfer_tag == 0x77 => {
                let function = function.filter(|_| data_out.last && answered);
                Handling::Answer(function.map(|tag| managed(tag, 0)).into_iter().collect())
            }
            _ => Handling::Proceed,
        });
        let data = Random(8).bytes(LENGTH as usize);
        let begin = pair.now();
        pair.write(0, 0, &data).unwrap();
        assert_eq!(pair.now().since(begin), COMMAND_TIMEOUT, "{answered}: no further wait");
        assert_eq!(target.read_lun(0, 0, LENGTH as usize).unwrap(), data);
        let sent: Vec<(u32, bool)> = log
            .data_outs()
            .iter()
            .filter(|data_out| data_out.target_transfer_tag == 0x77)
            .map(|data_out| (data_out.buffer_offset, data_out.last))
            .collect();
        if answered {
            assert_eq!(sent, [(0, false), (1024, false), (2048, false), (3072, true)]);
        }
        assert_eq!(pair.isboot.last_error(), None, "{answered}");
        pair.log_out();
    }
}

#[test]
fn b_tm_12_a_unit_reset_ends_all_its_tasks_which_are_issued_again_once_in_their_order() {
    for escalation in ["lun-reset", "target-warm-reset", "abort-task-set"] {
        let target = target().lun(Lun::memory(MIB)).build();
        let mut pair = Pair::ready(&target, &[("escalation", escalation)]);
        target.pause();
        let resumes = target.clone();
        let log = watch(&target, move |request, _| {
            if matches!(request, Request::TaskManagement(_)) {
                resumes.resume();
            }
            Handling::Proceed
        });
        let mut random = Random(4);
        let data: Vec<Vec<u8>> = (0..3).map(|_| random.bytes(512)).collect();
        for (lba, data) in (0..).zip(&data) {
            pair.submit_write(0, lba, data);
        }
        for _ in 0..3 {
            pair.finish_one().outcome.unwrap();
        }
        pair.pass(Duration::from_secs(60));
        assert!(pair.take_completion().is_none());
        assert_eq!(target.read_lun(0, 0, 3 * 512).unwrap(), data.concat(), "{escalation}");
        assert_eq!(log.functions().len(), 1, "{escalation}");
        let blocks: Vec<u8> = log.commands().iter().map(|command| command.cdb[5]).collect();
        // The first command after a reset takes the unit attention 29h along, and comes again.
        let attention = escalation != "abort-task-set";
        let expected = if attention { &[0, 1, 2, 0, 1, 2, 0][..] } else { &[0, 1, 2, 0, 1, 2] };
        assert_eq!(blocks, expected, "{escalation}");
        assert_eq!(pair.isboot.last_error(), None, "{escalation}");
        assert_eq!(target.statistics().logins, 1);
        pair.log_out();
    }
}

/// Tasks of other units go on, and so do those of the same unit beside an ABORT TASK.
#[test]
fn b_tm_12_tasks_that_a_function_is_not_meant_for_go_on() {
    for (escalation, issues) in [("lun-reset", [2, 2, 1]), ("abort-task", [2, 1, 1])] {
        let target = target().lun(Lun::memory(MIB)).build();
        let mut pair = Pair::ready(&target, &[("escalation", escalation)]);
        let log =
            stall_with(&target, 3, |management| vec![managed(management.initiator_task_tag, 0)]);
        pair.submit_write(0, 10, &[1; 512]);
        pair.pass(Duration::from_secs(10));
        pair.submit_write(0, 11, &[2; 512]);
        pair.submit_write(1, 12, &[3; 512]);
        pair.finish_one().outcome.unwrap();
        pair.pass(Duration::from_secs(1));
        let count = |lba| log.commands().iter().filter(|command| command.cdb[5] == lba).count();
        assert_eq!([10, 11, 12].map(count), issues, "{escalation}");
    }
}

/// What the host wants reset is reset; its outcome is no error of anybody's.
#[test]
fn b_tm_12_a_reset_that_the_host_wants_disturbs_no_request() {
    let lun = [0; 8];
    for (reset, function) in [
        (Reset::LogicalUnit(lun), Function::LogicalUnitReset),
        (Reset::TargetWarm, Function::TargetWarmReset),
        (Reset::TargetCold, Function::TargetColdReset),
    ] {
        let target = target().times(0, 0).build();
        let mut pair = Pair::ready(&target, &[]);
        target.pause();
        let resumes = target.clone();
        let log = watch(&target, move |request, _| {
            if matches!(request, Request::TaskManagement(_)) {
                resumes.resume();
            }
            Handling::Proceed
        });
        pair.submit_write(0, 0, &[1; 512]);
        pair.submit_write(0, 1, &[2; 512]);
        pair.pass(Duration::from_secs(1));
        pair.isboot.reset(reset).unwrap();
        assert_eq!(pair.isboot.reset(reset), Err(SubmitError::Busy), "one at a time");
        pair.finish_one().outcome.unwrap();
        pair.finish_one().outcome.unwrap();
        assert_eq!(target.read_lun(0, 0, 1024).unwrap(), [[1; 512], [2; 512]].concat());
        assert_eq!(log.functions(), [function]);
        let closed =
            (reset == Reset::TargetCold).then_some(Error::Link(LinkFailure::ClosedByTarget));
        assert_eq!(pair.isboot.last_error(), closed, "only the cold reset closes connections");
        pair.log_out();
        assert_eq!(pair.isboot.reset(reset), Err(SubmitError::Ended));
    }
}

#[test]
fn b_tm_13_the_abort_of_an_unacknowledged_command_fills_its_place() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let log = stall(&target, 1, &[0]);
    // Whatever the target says before it aborted the command, it says as if that never came.
    let (seen, mut frozen) = (log.clone(), true);
    target.on_response(move |_, pdu| {
        frozen &= pdu.header.opcode() != opcode::TASK_MANAGEMENT_RESPONSE;
        if let (true, Some(command)) = (frozen, seen.commands().first()) {
            let mut bytes = *pdu.header.as_bytes();
            bytes[28..32].copy_from_slice(&command.cmd_sn.0.to_be_bytes());
            pdu.header = isboot::pdu::bhs::BasicHeaderSegment::from_bytes(bytes);
        }
        Fate::Send
    });
    pair.read(0, 0, 512).unwrap();
    pair.read(0, 1, 512).unwrap();
    let numbers: Vec<SerialNumber> = log.commands().iter().map(|command| command.cmd_sn).collect();
    let first = numbers[0];
    assert_eq!(numbers, [first, first.next(), first.next().next()], "no number is used again");
    assert_eq!(log.managements()[0].ref_cmd_sn, first);
    assert!(!log.nop_outs().is_empty(), "the target said something meanwhile");
    assert_eq!(pair.isboot.last_error(), None);
    pair.log_out();
}

#[test]
fn b_tm_14_data_in_a_function_response_is_a_format_error() {
    let target = target().times(0, 0).build();
    let mut pair = Pair::ready(&target, &[]);
    let log = stall_with(&target, 1, |management| {
        vec![managed_with(management.initiator_task_tag, 0, vec![0xff; 4])]
    });
    pair.read(0, 0, 512).unwrap();
    let reads = log.commands().iter().filter(|command| command.cdb[0] == 0x28).count();
    assert_eq!(reads, 2, "issued again once");
    assert!(matches!(pair.isboot.last_error(), Some(Error::Malformed(_))));
    assert_eq!(target.statistics().logins, 2);
    pair.log_out();
}

/// The bound of it all: a command that is never answered fails, with the reason, while others are
/// served.
#[test]
fn b_tm_06_a_command_that_is_never_answered_fails_in_the_end() {
    let target = target().times(0, 0).build();
    let mut pair = Pair::ready(&target, &[]);
    let log = watch(&target, |request, _| match request {
        Request::ScsiCommand(command) if command.cdb[5] == 99 => Handling::Swallow,
        Request::TaskManagement(management) => {
            Handling::Answer(vec![managed(management.initiator_task_tag, 0)])
        }
        _ => Handling::Proceed,
    });
    let begin = pair.now();
    let stuck = pair.submit_read(0, 99, 512);
    let finished = loop {
        pair.pass(Duration::from_secs(3));
        if let Some(finished) = pair.take_completion() {
            if finished.id == stuck {
                break finished;
            }
            finished.outcome.unwrap();
        }
        pair.submit_read(0, 0, 512);
        let took = pair.now().since(begin);
        assert!(took < Duration::from_secs(200), "no end");
    };
    assert_eq!(finished.outcome, Err(RequestError::Task(TaskError::Unanswered)));
    // Step by step, a session, and from the first step on again.
    let steps = [Function::AbortTask, Function::LogicalUnitReset, Function::AbortTask];
    assert_eq!(log.functions(), steps);
    let words = finished.outcome.unwrap_err().to_string();
    assert!(words.contains("does not answer the command"), "{words}");
}
