//! B-TG: whose answer is it?

use std::sync::{Arc, Mutex};
use std::time::Duration;

use isboot::pdu::bhs::{RESERVED_TAG, opcode};
use isboot::pdu::request::{Request, Stage};
use isboot::pdu::response::{
    LoginResponse, LogoutResponse, NopIn, ReadyToTransfer, Residual, Response,
    TaskManagementResponse, TextResponse,
};
use isboot_tests::pair::{Break, NUMBERS, target};
use isboot_tests::target::{Handling, Injection, Lun};

use crate::transfers::{Trial, answer, content, good, last_part, part, r2t};

/// The read of these rows is answered by this alone: the session is renewed, nobody's answer
/// does anything, and the second issue is served.
#[track_caller]
fn read_answered_by(what: &str, stray: impl FnOnce(u32) -> Injection + Send + 'static) {
    let mut trial = Trial::new();
    let sent = trial.record();
    trial.answer_read_with(move |tag, _| vec![stray(tag)]);
    trial.assert_reads(512, what);
    assert!(sent.lock().data.is_empty(), "{what}: no Data-Out");
    trial.assert_renewed(what);
}

/// Tags that name no outstanding command, next to the one that does.
fn strange_tags() -> [fn(u32) -> u32; 9] {
    [
        |tag| tag.wrapping_add(1 << 16),
        |tag| tag.wrapping_sub(1 << 16),
        |tag| tag ^ 1,
        |tag| tag | 0x8000,
        |tag| tag | 0xff00,
        |tag| tag ^ 0x8000_0000,
        |_| 0x0000_ff00,
        |_| 0x1234_5678,
        |_| 0xffff_fffe,
    ]
}

#[test]
fn b_tg_01_a_response_to_nobody_ends_the_connection() {
    for (n, strange) in strange_tags().into_iter().enumerate() {
        read_answered_by(&format!("tag {n}"), move |tag| {
            answer(strange(tag), good(0, Residual::None))
        });
    }
}

#[test]
fn b_tg_02_a_second_response_completes_nothing() {
    // At once, and while the next command waits.
    for later in [false, true] {
        let mut trial = Trial::new();
        let mut first = None;
        trial.target.on_request(move |_, pdu| {
            let tag = pdu.header.initiator_task_tag();
            let again = |tag| answer(tag, good(1, Residual::None));
            match (pdu.header.opcode(), first) {
                (opcode::SCSI_COMMAND, None) => {
                    first = Some(tag);
                    let mut answers = vec![answer(tag, part(0, 0..512)), again(tag)];
                    answers.extend((!later).then(|| again(tag)));
                    Handling::Answer(answers)
                }
                (opcode::SCSI_COMMAND, Some(old)) if later && old != RESERVED_TAG => {
                    first = Some(RESERVED_TAG);
                    Handling::Answer(vec![again(old)])
                }
                _ => Handling::Proceed,
            }
        });
        trial.assert_reads(512, "the first response counts");
        trial.pair.pass(Duration::from_millis(100));
        trial.assert_reads(512, "the next read");
        trial.assert_renewed("a second response");
    }
}

#[test]
fn b_tg_03_data_for_nobody_is_not_stored() {
    for (n, strange) in strange_tags().into_iter().enumerate() {
        read_answered_by(&format!("tag {n}"), move |tag| {
            answer(strange(tag), last_part(0, 0..512))
        });
    }
    // For the command that was finished just now, while the next is open.
    let mut trial = Trial::new();
    trial.answer_read_with(|tag, _| {
        vec![answer(tag, last_part(0, 0..512)), answer(tag, part(1, 0..4))]
    });
    let ids = [trial.pair.submit_read(0, 0, 512), trial.pair.submit_read(0, 1, 512)];
    for (id, start) in ids.into_iter().zip([0, 512]) {
        let finished = trial.pair.finish_one();
        assert_eq!(finished.id, id);
        assert_eq!(finished.buffer, Some(content(start + 512).split_off(start)));
    }
    trial.assert_renewed("a finished command");
}

#[test]
fn b_tg_04_an_r2t_for_nobody_is_not_answered() {
    for (n, strange) in strange_tags().into_iter().enumerate() {
        let mut trial = Trial::of(target().immediate_data(false), &[]);
        let strangers = Arc::new(Mutex::new(0));
        let count = strangers.clone();
        let mut wanted = false;
        trial.target.on_request(move |wire, pdu| {
            let tag = pdu.header.initiator_task_tag();
            match pdu.header.opcode() {
                opcode::SCSI_COMMAND if !wanted => {
                    wanted = true;
                    let r2t = Response::ReadyToTransfer(r2t(0, 0..512));
                    Handling::Answer(vec![answer(strange(tag), r2t)])
                }
                opcode::DATA_OUT if wire.connection == 1 => {
                    *count.lock().unwrap() += 1;
                    Handling::Swallow
                }
                _ => Handling::Proceed,
            }
        });
        trial.assert_writes(512, &format!("tag {n}"));
        assert_eq!(*strangers.lock().unwrap(), 0, "no Data-Out for tag {n}");
        trial.assert_renewed(&format!("tag {n}"));
    }
    // For the command that was finished just now: all its data went along with it.
    let mut trial = Trial::new();
    let mut done = false;
    trial.target.on_request(move |_, pdu| match pdu.header.opcode() {
        opcode::SCSI_COMMAND if !std::mem::replace(&mut done, true) => {
            let tag = pdu.header.initiator_task_tag();
            let late = answer(tag, Response::ReadyToTransfer(r2t(0, 0..512)));
            Handling::Answer(vec![answer(tag, good(0, Residual::None)), late])
        }
        _ => Handling::Proceed,
    });
    trial.write(512).unwrap();
    trial.pair.pass(Duration::from_secs(3));
    assert_eq!(trial.target.statistics().request_count(opcode::DATA_OUT), 0);
    trial.assert_reads(512, "the next");
    trial.assert_renewed("a finished command");
}

#[test]
fn b_tg_05_an_r2t_for_a_read_is_not_answered() {
    read_answered_by("R2T", |tag| answer(tag, Response::ReadyToTransfer(r2t(0, 0..512))));
}

#[test]
fn b_tg_06_data_for_a_write_is_not_stored() {
    for data in [part(0, 0..512), last_part(0, 0..512), part(0, 0..0)] {
        let mut trial = Trial::of(target().immediate_data(false), &[]);
        let mut done = false;
        trial.target.on_request(move |_, pdu| match pdu.header.opcode() {
            opcode::SCSI_COMMAND if !std::mem::replace(&mut done, true) => {
                Handling::Answer(vec![answer(pdu.header.initiator_task_tag(), data)])
            }
            _ => Handling::Proceed,
        });
        let id = trial.pair.submit_write(0, 128, &[0x5a; 1024]);
        let finished = trial.pair.finish_one();
        assert_eq!((finished.id, finished.outcome), (id, Ok(())));
        assert_eq!(finished.buffer, Some(vec![0x5a; 1024]), "not a byte of it changed");
        assert_eq!(trial.target.read_lun(0, 128 * 512, 1024).unwrap(), [0x5a; 1024]);
        trial.assert_renewed("data for a write");
    }
}

#[test]
fn b_tg_07_an_r2t_with_another_lun_is_not_answered() {
    // What the R2T says where the command is for LUN 0, or for LUN 1.
    for (disk, lun) in [
        (0, [0, 1, 0, 0, 0, 0, 0, 0]),
        (0, [0x40, 1, 0, 0, 0, 0, 0, 0]),
        (0, [0, 0, 0, 0, 0, 0, 0, 1]),
        (1, [0; 8]),
        (1, [0, 2, 0, 0, 0, 0, 0, 0]),
        (1, [0, 1, 0, 0, 0, 0, 0, 1]),
    ] {
        let mut trial = Trial::of(target().immediate_data(false).lun(Lun::memory(1 << 16)), &[]);
        let script = [ReadyToTransfer { lun, ..r2t(0, 0..1024) }];
        let sent = trial.answer_write(&script, 1);
        trial.pair.write(disk, 0, &[7; 1024]).unwrap();
        assert!(sent.lock().data.is_empty(), "no Data-Out for {lun:02x?}");
        assert_eq!(trial.target.read_lun(disk, 0, 1024).unwrap(), [7; 1024]);
        trial.assert_renewed(&format!("{lun:02x?} for disk {disk}"));
    }
}

/// One of each PDU that answers another request than a SCSI Command.
fn other_answers() -> Vec<(&'static str, Response)> {
    let tag = 0;
    vec![
        (
            "Text Response",
            Response::Text(TextResponse {
                last: true,
                text_continues: false,
                lun: [0; 8],
                initiator_task_tag: tag,
                target_transfer_tag: RESERVED_TAG,
                numbers: NUMBERS,
                data_segment_length: 0,
            }),
        ),
        (
            "Task Management Function Response",
            Response::TaskManagement(TaskManagementResponse {
                response: 0,
                initiator_task_tag: tag,
                numbers: NUMBERS,
            }),
        ),
        (
            "Logout Response",
            Response::Logout(LogoutResponse {
                response: 0,
                initiator_task_tag: tag,
                numbers: NUMBERS,
                time2wait: 0,
                time2retain: 0,
            }),
        ),
        (
            "NOP-In",
            Response::NopIn(NopIn {
                lun: [0; 8],
                initiator_task_tag: tag,
                target_transfer_tag: RESERVED_TAG,
                numbers: NUMBERS,
                data_segment_length: 0,
            }),
        ),
        (
            "Login Response",
            Response::Login(LoginResponse {
                transit: true,
                text_continues: false,
                current_stage: Stage::OperationalNegotiation,
                next_stage: Stage::FullFeaturePhase,
                version_max: 0,
                version_active: 0,
                isid: [0x00, 0x02, 0x3d, 0x00, 0x00, 0x01],
                tsih: 1,
                initiator_task_tag: tag,
                numbers: NUMBERS,
                status_class: 0,
                status_detail: 0,
                data_segment_length: 0,
            }),
        ),
    ]
}

#[test]
fn b_tg_08_an_answer_of_another_kind_answers_nothing() {
    for (what, response) in other_answers() {
        read_answered_by(what, move |tag| answer(tag, response));
    }
    // And what answers commands answers no NOP-Out.
    for (what, response) in [
        ("SCSI Response", good(0, Residual::None)),
        ("Data-In", last_part(0, 0..512)),
        ("R2T", Response::ReadyToTransfer(r2t(0, 0..512))),
        ("Text Response", other_answers()[0].1),
    ] {
        let mut trial = Trial::new();
        let mut done = false;
        trial.target.on_request(move |_, pdu| match pdu.header.opcode() {
            opcode::NOP_OUT if !std::mem::replace(&mut done, true) => {
                Handling::Answer(vec![answer(pdu.header.initiator_task_tag(), response)])
            }
            _ => Handling::Proceed,
        });
        trial.pair.pass(Duration::from_secs(6));
        trial.assert_reads(512, what);
        trial.assert_renewed(&format!("{what} for a NOP-Out"));
    }
}

#[test]
fn b_tg_09_the_reserved_tag_names_no_command() {
    for (what, response) in [
        ("SCSI Response", good(0, Residual::None)),
        ("Data-In", part(0, 0..512)),
        ("Data-In with status", last_part(0, 0..512)),
        ("R2T", Response::ReadyToTransfer(r2t(0, 0..512))),
    ] {
        read_answered_by(what, move |_| answer(RESERVED_TAG, response));
    }
}

#[test]
fn b_tg_12_a_tag_of_the_old_session_names_nothing_in_the_new_one() {
    for (what, late) in [
        ("Data-In", part(0, 0..512)),
        ("Data-In with status", last_part(0, 0..512)),
        ("SCSI Response", good(0, Residual::None)),
        ("R2T", Response::ReadyToTransfer(r2t(0, 0..512))),
    ] {
        let mut trial = Trial::new();
        let tags = Arc::new(Mutex::new(Vec::new()));
        let seen = tags.clone();
        trial.target.on_request(move |_, pdu| match Request::parse(&pdu.header) {
            // Not the commands by which the unit is looked at again.
            Ok(Request::ScsiCommand(command)) if command.cdb[0] == 0x28 => {
                let mut seen = seen.lock().unwrap();
                seen.push(command.initiator_task_tag);
                match seen.len() {
                    1 => Handling::Swallow,
                    2 => Handling::Answer(vec![answer(seen[0], late)]),
                    _ => Handling::Proceed,
                }
            }
            _ => Handling::Proceed,
        });
        let id = trial.pair.submit_read(0, 0, 512);
        trial.pair.pass(Duration::from_secs(1));
        trial.pair.wire.break_now(Break::Reset);
        let finished = trial.pair.finish_one();
        assert_eq!((finished.id, finished.buffer), (id, Some(content(512))), "{what}");
        assert_eq!(trial.target.statistics().logins, 3, "{what}: renewed by the late answer");
        let tags = tags.lock().unwrap();
        assert!(tags.len() == 3 && tags[0] != tags[1] && tags[1] != tags[2], "{tags:x?}");
        assert_ne!(tags[0], tags[2]);
        trial.pair.log_out();
    }
}

#[test]
fn b_tg_13_a_tag_the_other_way_round_is_another_tag() {
    read_answered_by("SCSI Response", |tag| {
        assert_ne!(tag, tag.swap_bytes());
        answer(tag.swap_bytes(), good(0, Residual::None))
    });
    read_answered_by("Data-In", |tag| answer(tag.swap_bytes(), last_part(0, 0..512)));
}

mod aborts {
    use std::time::Duration;

    use isboot::disk::RequestError;
    use isboot::pdu::request::Request;
    use isboot::pdu::response::Residual;
    use isboot::session::TaskError;
    use isboot_tests::pair::{Pair, Random, target};
    use isboot_tests::target::Handling;

    use crate::stall::{COMMAND_TIMEOUT, managed, stall, stall_with, watch};
    use isboot_tests::pair::good;

    /// The answer of an aborted task comes after all: while its command is issued again, once that
    /// is done, and when others have run since.
    #[test]
    fn b_tg_10_a_late_answer_after_an_abort_is_counted_and_discarded() {
        for commands_between in [0, 1, 5] {
            let target = target().build();
            let data = Random(6).bytes(512);
            target.write_lun(0, 0, &data).unwrap();
            let mut pair = Pair::ready(&target, &[]);
            let log = stall(&target, 1, &[0]);
            if commands_between == 0 {
                target.pause();
            }
            let id = pair.submit_read(0, 0, 512);
            pair.pass(COMMAND_TIMEOUT + Duration::from_secs(1));
            let aborted = log.commands()[0].initiator_task_tag;
            assert_eq!(log.commands().len(), 2, "issued again");
            for lba in 1..commands_between {
                pair.submit_read(0, lba, 512);
            }
            pair.pass(Duration::from_secs(1));
            let before = log.commands().last().unwrap().exp_stat_sn;
            target.inject(good(aborted, Residual::None));
            pair.pass(Duration::from_secs(1));
            if commands_between == 0 {
                assert!(pair.take_completion().is_none(), "another issue's answer is none");
                target.resume();
            }
            let finished = pair.finish_one();
            assert_eq!((finished.id, finished.outcome), (id, Ok(())));
            assert_eq!(finished.buffer, Some(data));
            for _ in 1..commands_between {
                pair.finish_one().outcome.unwrap();
            }
            assert!(pair.take_completion().is_none(), "{commands_between}: nothing twice");
            target.ping(&[]);
            pair.pass(Duration::from_secs(1));
            let acknowledged = log.nop_outs().last().unwrap().exp_stat_sn;
            assert!(
                before.next().is_at_or_before(acknowledged),
                "{commands_between}: StatSN counted"
            );
            assert_eq!(pair.isboot.last_error(), None, "{commands_between}: the session goes on");
            pair.log_out();
        }
    }

    /// As above, of a request that the host gave up, and that is back with it already.
    #[test]
    fn b_tg_10_a_late_answer_to_a_request_that_was_given_up_is_discarded() {
        let target = target().build();
        let mut pair = Pair::ready(&target, &[]);
        let log = stall(&target, 1, &[0]);
        let id = pair.submit_write(0, 0, &[1; 512]);
        pair.pass(Duration::from_secs(1));
        pair.isboot.abort(id);
        let finished = pair.finish_one();
        assert_eq!(finished.outcome, Err(RequestError::Task(TaskError::Aborted)));
        target.inject(good(log.commands()[0].initiator_task_tag, Residual::None));
        pair.pass(Duration::from_secs(1));
        assert!(pair.take_completion().is_none());
        assert_eq!(pair.isboot.last_error(), None);
        pair.log_out();
    }

    /// The answer comes when the time is up and the function on its way, but not yet answered: it is
    /// the task's answer, and the only one.
    #[test]
    fn b_tg_11_an_answer_between_the_time_out_and_the_function_response_is_consumed_once() {
        for by_host in [false, true] {
            for response in [0, 1] {
                let target = target().build();
                let mut pair = Pair::ready(&target, &[]);
                let log = stall_with(&target, 1, |_| Vec::new());
                let id = pair.submit_write(0, 0, &[1; 512]);
                if by_host {
                    pair.pass(Duration::from_secs(1));
                    pair.isboot.abort(id);
                } else {
                    pair.pass(COMMAND_TIMEOUT);
                }
                pair.pass(Duration::from_secs(1));
                let [management] = log.managements()[..] else { panic!("one function") };
                assert!(
                    pair.take_completion().is_none(),
                    "no error before the function's response"
                );
                target.inject(good(management.referenced_task_tag, Residual::None));
                let finished = pair.finish_one();
                assert_eq!((finished.id, finished.outcome), (id, Ok(())), "{by_host}, {response}");
                target.inject(managed(management.initiator_task_tag, response));
                target.ping(&[]);
                pair.pass(Duration::from_secs(3));
                assert!(pair.take_completion().is_none(), "{by_host}, {response}: nothing twice");
                assert_eq!(log.commands().len(), 1, "{by_host}, {response}: nor issued again");
                let acknowledged = log.nop_outs().last().unwrap().exp_stat_sn;
                let both = management.exp_stat_sn.next().next();
                assert!(both.is_at_or_before(acknowledged), "both StatSN counted");
                assert_eq!(pair.isboot.last_error(), None, "{by_host}, {response}");
                pair.log_out();
            }
        }
    }

    /// A function that nobody asked for, or whose answer comes twice, is an answer to nobody.
    #[test]
    fn b_tg_11_the_function_response_itself_counts_once() {
        let target = target().times(0, 0).build();
        let mut pair = Pair::ready(&target, &[]);
        let mut stuck = true;
        let log = watch(&target, move |request, _| match request {
            Request::ScsiCommand(_) if std::mem::take(&mut stuck) => Handling::Swallow,
            Request::TaskManagement(management) => {
                let answer = managed(management.initiator_task_tag, 0);
                Handling::Answer(vec![answer.clone(), answer])
            }
            _ => Handling::Proceed,
        });
        pair.read(0, 0, 512).unwrap();
        assert!(pair.take_completion().is_none());
        assert_eq!(log.functions().len(), 1);
        assert_eq!(target.statistics().logins, 2);
        pair.log_out();
    }
}
