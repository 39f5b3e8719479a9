//! B-PL: iSCSIProtocolLevel and the newer keys.

use std::sync::mpsc;

use isboot::pdu::bhs::opcode;
use isboot::pdu::request::{Request, TaskManagementFunction as Function};
use isboot_tests::pair::{Pair, target};
use isboot_tests::target::Handling;

use crate::login_phase::edit_logins;
use crate::scripted_login::{KeyProblem, Play, Seen, login};
use crate::stall::{managed, watch};

const KEY: &str = "iSCSIProtocolLevel";

/// The target answers the offer of level 2 so; with nothing it does not.
fn answered(answer: &'static str) -> Play {
    login(move |seen| seen.granted_but(&[&format!("{KEY}={answer}")]))
}

/// The target says this by itself in the operational stage.
fn proposed(pair: &'static str) -> Play {
    login(move |seen| match seen.step {
        1 => seen.says("1", pair),
        _ => seen.granted(),
    })
}

#[test]
fn b_pl_01_the_lower_level_holds() {
    let played = answered("2").run();
    assert_eq!(played.logged_in().iscsi_protocol_level, 2);
    assert_eq!(played.requests()[1].value(KEY).as_deref(), Some("2"));
    for (answer, level) in
        [("0", 0), ("1", 1), ("2", 2), ("NotUnderstood", 1), ("Reject", 1), ("", 1)]
    {
        assert_eq!(answered(answer).succeeds().iscsi_protocol_level, level, "{answer}");
    }
    for (answer, problem) in [
        ("3", KeyProblem::BreaksResult),
        ("31", KeyProblem::BreaksResult),
        ("32", KeyProblem::OutOfRange),
        ("two", KeyProblem::BadValue),
    ] {
        assert_eq!(answered(answer).fails_over(KEY), problem, "{answer}");
    }
    // Level 1 is the default and not worth saying; a proposal is answered with the lower one.
    let plain = [("protocol_level", "1")];
    let played = login(Seen::granted).parameters(&plain).run();
    assert_eq!(played.logged_in().iscsi_protocol_level, 1);
    assert_eq!(played.requests()[1].value(KEY), None);
    for (proposal, answer, level) in [
        ("iSCSIProtocolLevel=2", "iSCSIProtocolLevel=1", 1),
        ("iSCSIProtocolLevel=1", "iSCSIProtocolLevel=1", 1),
        ("iSCSIProtocolLevel=0", "iSCSIProtocolLevel=0", 0),
        ("iSCSIProtocolLevel=32", "iSCSIProtocolLevel=Reject", 1),
    ] {
        let played = proposed(proposal).parameters(&plain).run();
        assert_eq!(played.logged_in().iscsi_protocol_level, level, "{proposal}");
        assert_eq!(played.pairs_of(2), answer, "{proposal}");
    }
}

#[test]
fn b_pl_02_what_is_new_stays_locked() {
    for answer in ["1", "NotUnderstood"] {
        let target = target().build();
        edit_logins(&target, move |pair| match pair.starts_with(KEY) {
            true => Some(format!("{KEY}={answer}")),
            false => Some(pair.to_owned()),
        });
        let every_step = "abort-task,abort-task-set,lun-reset,target-warm-reset,target-cold-reset";
        let mut pair = Pair::new(&target, &[("escalation", every_step)]);
        let (priorities, seen) = mpsc::channel();
        let mut hangs = true;
        let log = watch(&target, move |request, pdu| {
            if pdu.header.opcode() == opcode::SCSI_COMMAND {
                priorities.send(pdu.header.as_bytes()[2]).unwrap();
            }
            match request {
                // Every function is refused, and the next one tried.
                Request::TaskManagement(management) => {
                    Handling::Answer(vec![managed(management.initiator_task_tag, 5)])
                }
                Request::ScsiCommand(command) if command.write && hangs => {
                    hangs = false;
                    Handling::Swallow
                }
                _ => Handling::Proceed,
            }
        });
        pair.become_ready();
        assert_eq!(pair.isboot.negotiated().unwrap().iscsi_protocol_level, 1, "{answer}");
        pair.write(0, 0, &[1; 512]).unwrap();
        let functions = log.functions();
        assert_eq!(functions.len(), 5, "{answer}: {functions:?}");
        let new = |function: &Function| matches!(function, Function::Other(_));
        assert!(!functions.iter().any(new), "{answer}: {functions:?}");
        assert!(seen.try_iter().all(|priority| priority == 0), "{answer}: PRI");
        pair.log_out();
    }
}

/// TaskReporting is not offered: RFC3720 holds unless the target asks, whatever it says.
#[test]
fn b_pl_03_task_reporting_is_rfc3720() {
    let played = login(Seen::granted).run();
    played.logged_in();
    assert_eq!(played.requests()[1].value("TaskReporting"), None);
    for (said, answer) in [
        ("TaskReporting=RFC3720", "TaskReporting=RFC3720"),
        ("TaskReporting=ResponseFence", "TaskReporting=Reject"),
        ("TaskReporting=FastAbort", "TaskReporting=Reject"),
        ("TaskReporting=bogus", "TaskReporting=Reject"),
    ] {
        let played = proposed(said).run();
        played.logged_in();
        assert_eq!(played.pairs_of(2), answer, "{said}");
    }
    // Not an answer to anything.
    for word in ["TaskReporting=NotUnderstood", "TaskReporting=Irrelevant"] {
        assert_eq!(proposed(word).fails_over("TaskReporting"), KeyProblem::ReservedWord, "{word}");
    }
}

#[test]
fn b_pl_04_a_list_without_a_known_value_is_rejected() {
    for (list, answer) in [
        ("FastAbort,RFC3720", "RFC3720"),
        ("RFC3720,ResponseFence,FastAbort", "RFC3720"),
        ("X-new,RFC3720", "RFC3720"),
        ("ResponseFence,FastAbort", "Reject"),
        ("bogus", "Reject"),
        ("rfc3720", "Reject"),
        ("RFC3720x,,", "Reject"),
    ] {
        let played = login(move |seen| match seen.step {
            1 => seen.says("1", &format!("TaskReporting={list}")),
            _ => seen.granted(),
        })
        .run();
        played.logged_in();
        assert_eq!(played.pairs_of(2), format!("TaskReporting={answer}"), "{list}");
    }
}
