//! UNH-IOL full feature phase 14, 15, 17–20: logout, NOP, text, task management, asynchronous messages.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use isboot::boot::State;
use isboot::login::{LoginConfig, Name};
use isboot::pdu::bhs::{RESERVED_TAG, opcode};
use isboot::pdu::digest::Crc32cFunction;
use isboot::pdu::request::{LogoutReason, Request, TaskManagementFunction as Function};
use isboot::pdu::response::{DataIn, ReadyToTransfer, Residual, Response};
use isboot::pdu::serial::SerialNumber;
use isboot::session::{
    DiscoverError, Discovered, Error, Escalation, Event, SendTargets, Session, SessionConfig,
    Timeouts,
};
use isboot::time::Instant;
use isboot_tests::pair::{
    Break, DiscoveryPair, MIB, NAME, NUMBERS, Pair, Random, Wire, asynchronous, good, target,
};
use isboot_tests::target::{Fate, Handling, Injection, Lun, Numbering, Pdu, Redirect};

use crate::logout::response;
use crate::nop::{nops, question, without_answers};
use crate::stall::{asking, managed, stall, watch};
use crate::support::Requests;
use crate::text_requests::{Part, answer};

const TARGET: &str = "TargetName=iqn.2001-04.com.example:a\0TargetAddress=192.0.2.1:3260,1\0";

#[test]
fn ffp_14_1_a_wish_for_a_logout_in_the_middle_of_a_write() {
    let target = target().immediate_data(false).build();
    let mut pair = Pair::ready(&target, &[]);
    pair.write(0, 0, &[1; 512]).unwrap();
    let teller = target.clone();
    let requests = Requests::scripted(&target, move |connection, request| match request {
        // Its data has come, its status never does.
        Request::DataOut(_) if connection == 1 => {
            teller.inject(asynchronous(1, [0, 0, 5], []));
            Handling::Swallow
        }
        _ => Handling::Proceed,
    });
    // StatSN of the last status on the first connection: the message's.
    let last = Arc::new(Mutex::new(0));
    let learned = Arc::clone(&last);
    target.on_response(move |wire, pdu| {
        if wire.connection == 1
            && matches!(Response::parse(&pdu.header), Ok(Response::AsyncMessage(_)))
        {
            *learned.lock().unwrap() =
                u32::from_be_bytes(pdu.header.as_bytes()[24..28].try_into().unwrap());
        }
        Fate::Send
    });
    pair.submit_write(0, 8, &[2; 512]);
    let begin = pair.now();
    pair.run_until("the logout", |isboot| isboot.last_error().is_some());
    assert!(pair.now().since(begin) < Duration::from_secs(5));
    assert_eq!(pair.finish_one().outcome, Ok(()));
    let requests = requests.on(1);
    let [Request::ScsiCommand(write), Request::DataOut(_), Request::Logout(logout)] = requests[..]
    else {
        panic!("{requests:?}")
    };
    assert_eq!(logout.reason, LogoutReason::CloseSession);
    assert_eq!(logout.exp_stat_sn.0, last.lock().unwrap().wrapping_add(1));
    assert_eq!(logout.cmd_sn, write.cmd_sn.next());
    assert_eq!(target.read_lun(0, 8 * 512, 1).unwrap(), [2], "issued again");
    pair.log_out();
}

#[test]
fn ffp_15_1_a_ping_is_answered() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    pair.read(0, 0, 512).unwrap();
    let requests = without_answers(&target);
    let lun = [0, 0, 0, 0, 0, 0, 0, 0];
    target.inject(question(0x1234_5678, lun, &[]));
    pair.pass(Duration::from_millis(1));
    pair.read(0, 0, 512).unwrap();
    let [reply] = nops(&requests)[..] else { panic!("{:?}", nops(&requests)) };
    assert_eq!((reply.target_transfer_tag, reply.lun), (0x1234_5678, lun));
    assert_eq!(reply.initiator_task_tag, RESERVED_TAG);
    assert!(reply.immediate);
    assert_eq!(reply.data_segment_length, 0);
    let [Request::NopOut(_), Request::ScsiCommand(command)] = requests.on(1)[..] else {
        panic!("{:?}", requests.on(1))
    };
    assert_eq!(command.cmd_sn, reply.cmd_sn);
    target.clear_hooks();
    pair.log_out();
}

#[test]
fn ffp_15_2_a_silent_target_is_pinged() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let requests = Requests::of(&target);
    pair.pass(Duration::from_secs(6));
    pair.read(0, 0, 512).unwrap();
    let [Request::NopOut(ping), Request::ScsiCommand(command)] = requests.on(1)[..] else {
        panic!("{:?}", requests.on(1))
    };
    assert_ne!(ping.initiator_task_tag, RESERVED_TAG);
    assert_eq!((ping.target_transfer_tag, ping.lun), (RESERVED_TAG, [0; 8]));
    assert!(ping.immediate);
    assert_eq!(command.cmd_sn, ping.cmd_sn);
    pair.log_out();
}

#[test]
fn ffp_15_3_the_ping_acknowledges_the_last_status() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let status = Arc::new(Mutex::new(0));
    let learned = Arc::clone(&status);
    target.on_response(move |_, pdu| {
        if let Ok(Response::Scsi(response)) = Response::parse(&pdu.header) {
            *learned.lock().unwrap() = response.numbers.stat_sn.0;
        }
        Fate::Send
    });
    pair.write(0, 0, &[1; 512]).unwrap();
    let requests = Requests::of(&target);
    pair.pass(Duration::from_secs(6));
    let [ping] = nops(&requests)[..] else { panic!("{:?}", nops(&requests)) };
    assert_eq!(ping.exp_stat_sn.0, status.lock().unwrap().wrapping_add(1));
    assert!(ping.immediate);
    assert_eq!(ping.lun, [0; 8]);
    pair.write(0, 0, &[1; 512]).unwrap();
    let [_, Request::ScsiCommand(command)] = requests.on(1)[..] else {
        panic!("{:?}", requests.on(1))
    };
    assert_eq!(command.cmd_sn, ping.cmd_sn);
    pair.log_out();
}

#[test]
fn ffp_17_1_after_the_logout_the_way_leads_to_the_first_address() {
    for moved in [false, true] {
        let target = target().build();
        if moved {
            let redirect =
                Redirect { address: "192.0.2.7:3261".to_owned(), permanent: false, times: 1 };
            target.set_redirect(Some(redirect));
        }
        let mut pair = Pair::ready(&target, &[]);
        let before = pair.wire.portals().len();
        let requests = Requests::scripted(&target, |_, request| match request {
            Request::Logout(logout) => Handling::Answer(vec![response(logout, 0, 0)]),
            _ => Handling::Proceed,
        });
        target.pause();
        pair.submit_read(0, 0, 512);
        pair.pass(Duration::from_millis(1));
        target.inject(asynchronous(1, [0, 0, 3], []));
        target.resume();
        let outcome = pair.finish_one().outcome;
        assert_eq!(outcome, Ok(()));
        let wire = pair.wire.clone();
        pair.run_until("the next connection", |_| wire.portals().len() > before);
        assert_eq!(wire.portals().last(), Some(&Wire::PORTAL), "moved {moved}");
        let connection = if moved { 2 } else { 1 };
        let old = requests.on(connection);
        assert!(matches!(old.last(), Some(Request::Logout(_))), "{old:?}");
        target.clear_hooks();
        pair.read(0, 0, 512).unwrap();
        pair.log_out();
    }
}

#[test]
fn ffp_18_1_the_fields_of_a_text_request() {
    let named = SendTargets::Name(Name::new(NAME).unwrap());
    for (what, value) in [(SendTargets::All, "All"), (named, NAME)] {
        let target = target().build();
        // (ExpCmdSN of the last Login Response, tags of Login Requests)
        let login = Arc::<Mutex<(u32, Vec<u32>)>>::default();
        let learned = Arc::clone(&login);
        target.on_response(move |_, pdu| {
            if let Ok(Response::Login(response)) = Response::parse(&pdu.header) {
                let mut learned = learned.lock().unwrap();
                learned.0 = response.numbers.exp_cmd_sn.0;
                learned.1.push(response.initiator_task_tag);
            }
            Fate::Send
        });
        let seen = Arc::new(Mutex::new(0));
        let count = Arc::clone(&seen);
        target.on_request(move |_, pdu| {
            if let Ok(Request::Text(request)) = Request::parse(&pdu.header) {
                let (exp_cmd_sn, tags) = &*login.lock().unwrap();
                assert_eq!(pdu.data, format!("SendTargets={value}\0").into_bytes());
                assert_eq!(request.cmd_sn.0, *exp_cmd_sn);
                assert_eq!(request.target_transfer_tag, RESERVED_TAG);
                assert!(!tags.contains(&request.initiator_task_tag));
                assert!(request.last && !request.text_continues);
                assert_eq!(request.lun, [0; 8]);
                *count.lock().unwrap() += 1;
            }
            Handling::Proceed
        });
        let mut pair = DiscoveryPair::configured(&target, what, |_| {});
        assert_eq!(pair.finish().map(|discovered| discovered.found), Ok(1), "{value}");
        assert_eq!(*seen.lock().unwrap(), 1, "{value}");
        pair.assert_no_violations();
    }
}

/// In a Normal session nothing is named: the answer is about its own target.
#[test]
fn ffp_18_1_a_normal_session_asks_for_its_own_target() {
    let target = target().also_known("iqn.2001-04.com.example:other", "192.0.2.9:3260,1").build();
    let name = |name| Name::new(name).unwrap();
    let login =
        LoginConfig::new(name("iqn.2026-11.org.example:host"), name(NAME), [0, 2, 61, 0, 0, 1]);
    let config = SessionConfig {
        portal: Wire::PORTAL,
        login,
        timeouts: Timeouts::default(),
        escalation: Escalation::default(),
        initial_cmd_sn: SerialNumber(1),
        crc32c: Crc32cFunction::default(),
    };
    let now = Instant::ZERO;
    let mut session = Session::<1>::new(config, now);
    assert_eq!(session.discover(now, SendTargets::All), Err(DiscoverError::WrongSessionType));
    assert_eq!(session.discover(now, SendTargets::Session), Ok(()));
    assert_eq!(session.discover(now, SendTargets::Session), Err(DiscoverError::Busy));
    session.link_up(now, None);
    let mut connection = target.connect(Wire::PORTAL);
    let (mut found, mut ended) = (Vec::new(), None);
    for _ in 0..10 {
        let mut out = [0; 4096];
        let count = session.transmit(now, &mut out, &mut ());
        connection.receive(&out[..count]);
        let bytes = connection.take_output();
        let mut input = bytes.as_slice();
        while let Some(event) = session.receive(now, &mut input) {
            if event == Event::TargetFound {
                found.push(session.found().unwrap().to_string());
            }
        }
        while let Some(event) = session.poll(now) {
            match event {
                Event::DiscoveryEnded(outcome) => ended = Some(outcome),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(found, [format!("{NAME} at {}", Wire::PORTAL)]);
    assert_eq!(ended, Some(Ok(Discovered { found: 1, unusable: 0, truncated: false })));
    assert!(session.negotiated().is_some(), "the session goes on");
    assert!(target.violations().is_empty(), "{:?}", target.violations());
}

#[test]
fn ffp_18_2_the_next_text_request_copies_tags_and_lun() {
    let target = target().build();
    let (first, second) = TARGET.split_at(37);
    let lun = [0x41, 0x2c, 1, 2, 3, 4, 5, 6];
    let parts = [Part { lun, ..Part::pairs(first, 0xabba_abba) }, Part::last(second)];
    let requests = answer(&target, &parts);
    let mut pair = DiscoveryPair::new(&target);
    assert_eq!(pair.finish().map(|discovered| discovered.found), Ok(1));
    assert_eq!(pair.lines(), ["iqn.2001-04.com.example:a 192.0.2.1:3260,1"]);
    let requests = requests.lock().unwrap();
    let [(first, _), (second, text)] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(second.initiator_task_tag, first.initiator_task_tag);
    assert_eq!((second.target_transfer_tag, second.lun), (0xabba_abba, lun));
    assert!(second.last && text.is_empty());
    assert_eq!(second.cmd_sn, first.cmd_sn.next());
    pair.assert_no_violations();
}

#[test]
fn ffp_18_3_1_a_tag_in_the_last_part_means_nothing() {
    let target = target().build();
    let last = Part { target_transfer_tag: 0x1234, ..Part::last(TARGET) };
    let requests = answer(&target, &[last]);
    let mut pair = DiscoveryPair::new(&target);
    assert_eq!(pair.finish(), Ok(Discovered { found: 1, unusable: 0, truncated: false }));
    assert_eq!(requests.lock().unwrap().len(), 1);
    assert_eq!(target.statistics().logouts, 1);
    pair.assert_no_violations();
}

#[test]
fn ffp_18_3_2_a_part_that_is_not_the_last_has_a_tag() {
    let target = target().build();
    let requests = answer(&target, &[Part::pairs(TARGET, RESERVED_TAG)]);
    let mut pair = DiscoveryPair::new(&target);
    assert!(matches!(pair.finish(), Err(Error::PeerMisbehaved(_))));
    assert_eq!(requests.lock().unwrap().len(), 3, "one on each of three connections");
    assert_eq!(target.statistics().connections, 3);
}

#[test]
fn ffp_18_4_a_foreign_key_in_a_send_targets_answer_ends_the_connection() {
    for key in [
        "MaxRecvDataSegmentLength=512",
        "TargetAlias=disks",
        "X-vendor=1",
        "TargetPortalGroupTag=1",
    ] {
        for text in [format!("{key}\0{TARGET}"), format!("{TARGET}{key}\0")] {
            let target = target().build();
            let requests = answer(&target, &[Part::last(&text)]);
            let mut pair = DiscoveryPair::new(&target);
            assert!(matches!(pair.finish(), Err(Error::PeerMisbehaved(_))), "{text}");
            assert_eq!(requests.lock().unwrap().len(), 3, "{text}: tried again, a few times");
            assert_eq!(target.statistics().connections, 3, "{text}");
        }
    }
}

// --- 19: task management ---

#[test]
fn ffp_19_1_an_immediate_function_uses_up_no_cmd_sn() {
    for escalation in ["abort-task", "abort-task-set", "lun-reset", "target-warm-reset"] {
        let target = target().build();
        let mut pair = Pair::ready(&target, &[("escalation", escalation)]);
        let log = stall(&target, 1, &[0]);
        pair.read(0, 0, 512).unwrap();
        let [management] = log.managements()[..] else { panic!("{escalation}: one function") };
        assert!(management.immediate, "{escalation}");
        let after = log.commands()[1];
        assert_eq!(management.cmd_sn, after.cmd_sn, "{escalation}: the next command's");
        assert!(!after.immediate, "{escalation}");
        pair.log_out();
    }
}

#[test]
fn ffp_19_2_a_function_names_the_unit_of_the_stuck_command() {
    for number in [0, 5, 300] {
        for escalation in ["abort-task", "abort-task-set", "lun-reset"] {
            let target = target().lun(Lun::memory(MIB).number(5)).lun(Lun::memory(MIB).number(300));
            let target = target.build();
            let mut pair = Pair::ready(&target, &[("escalation", escalation)]);
            let log = stall(&target, 1, &[0]);
            let disk = [0, 5, 300].iter().position(|&other| other == number).unwrap();
            pair.read(u16::try_from(disk).unwrap(), 0, 512).unwrap();
            let lun = log.commands()[0].lun;
            let flat = u8::from(number == 300);
            assert_eq!(
                lun,
                [0x41 * flat, if flat == 1 { 0x2c } else { number as u8 }, 0, 0, 0, 0, 0, 0]
            );
            assert_eq!(log.managements()[0].lun, lun, "{escalation} of {number}");
            pair.log_out();
        }
    }
}

#[test]
fn ffp_19_3_abort_task_names_the_stuck_command_by_tag_and_number() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    // The second of three is the one that hangs.
    let log = watch(&target, |request, _| match request {
        Request::ScsiCommand(command) if command.cdb[5] == 7 => Handling::Swallow,
        Request::TaskManagement(management) => {
            Handling::Answer(vec![managed(management.initiator_task_tag, 1)])
        }
        _ => Handling::Proceed,
    });
    for lba in [6, 7, 8] {
        pair.submit_read(0, lba, 512);
    }
    pair.run_until("the function", |_| !log.managements().is_empty());
    let stuck = log.commands()[1];
    let management = log.managements()[0];
    assert_eq!(management.function, Function::AbortTask);
    assert_eq!(management.referenced_task_tag, stuck.initiator_task_tag);
    assert_eq!(management.ref_cmd_sn, stuck.cmd_sn);
    assert_eq!(management.cmd_sn, log.commands()[2].cmd_sn.next());
}

/// Target Transfer Tag of the ping that comes while a task set is being aborted.
const PING: u32 = 0x0bad_cafe;

#[test]
fn ffp_19_4_1_a_task_set_that_is_being_aborted_still_answers_pings_and_r2ts() {
    const LENGTH: u32 = 8192;
    let target = target().immediate_data(false).max_recv_data_segment_length(4096).build();
    let mut pair = Pair::ready(&target, &[("escalation", "abort-task-set")]);
    let (mut stuck, mut function, mut owed) = (true, 0, 2);
    let log = watch(&target, move |request, _| {
        match request {
            Request::ScsiCommand(_) if std::mem::take(&mut stuck) => return Handling::Swallow,
            Request::TaskManagement(management) => {
                function = management.initiator_task_tag;
                let r2t = ReadyToTransfer {
                    lun: [0; 8],
                    // Whose tag is the only one outstanding, below.
                    initiator_task_tag: RESERVED_TAG,
                    target_transfer_tag: 0x77,
                    numbers: NUMBERS,
                    r2t_sn: 0,
                    buffer_offset: 0,
                    desired_data_transfer_length: LENGTH,
                };
                return Handling::Answer(vec![asking(PING), r2t_injection(r2t)]);
            }
            Request::NopOut(nop) if nop.target_transfer_tag == PING => {}
            Request::DataOut(data) if data.target_transfer_tag == 0x77 && data.last => {}
            Request::DataOut(data) if data.target_transfer_tag == 0x77 => return Handling::Swallow,
            _ => return Handling::Proceed,
        }
        // The function is answered once the target has what it asked for.
        owed -= 1;
        Handling::Answer(if owed == 0 { vec![managed(function, 0)] } else { vec![] })
    });
    // The R2T names the write by its tag, which is known once it was sent.
    let seen = log.clone();
    target.on_response(move |_, pdu| {
        if pdu.header.opcode() == opcode::READY_TO_TRANSFER
            && pdu.header.initiator_task_tag() == RESERVED_TAG
        {
            pdu.header.set_initiator_task_tag(seen.commands()[0].initiator_task_tag);
        }
        Fate::Send
    });
    let data = Random(2).bytes(LENGTH as usize);
    pair.write(0, 0, &data).unwrap();
    assert_eq!(log.functions(), [Function::AbortTaskSet]);
    let answers: Vec<_> =
        log.data_outs().into_iter().filter(|data| data.target_transfer_tag == 0x77).collect();
    assert_eq!(answers.iter().map(|data| data.last).collect::<Vec<_>>(), [false, true]);
    assert_eq!(log.commands().len(), 2);
    assert_eq!(target.read_lun(0, 0, LENGTH as usize).unwrap(), data);
    assert_eq!(pair.isboot.last_error(), None);
    pair.log_out();
}

fn r2t_injection(r2t: ReadyToTransfer) -> Injection {
    let pdu = Pdu::new(Response::ReadyToTransfer(r2t).emit(), Vec::new());
    Injection { pdu, numbering: Numbering::Current }
}

#[test]
fn ffp_19_4_2_a_task_set_that_is_being_aborted_still_takes_data() {
    let target = target().build();
    let data = Random(2).bytes(1024);
    target.write_lun(0, 0, &data).unwrap();
    let mut pair = Pair::ready(&target, &[("escalation", "abort-task-set")]);
    let (mut stuck, mut function) = (None, 0);
    let log = watch(&target, move |request, _| match request {
        Request::ScsiCommand(command) if stuck.is_none() => {
            stuck = Some(command.initiator_task_tag);
            Handling::Swallow
        }
        Request::TaskManagement(management) => {
            function = management.initiator_task_tag;
            let part = DataIn {
                last: true,
                acknowledge: true,
                status: None,
                residual: Residual::None,
                lun: [0; 8],
                initiator_task_tag: stuck.unwrap(),
                target_transfer_tag: 0x99,
                numbers: NUMBERS,
                data_sn: 0,
                buffer_offset: 0,
                data_segment_length: 0,
            };
            let pdu = Pdu::new(Response::DataIn(part).emit(), vec![0xdd; 512]);
            let part = Injection { pdu, numbering: Numbering::Current };
            Handling::Answer(vec![asking(PING), part])
        }
        Request::NopOut(nop) if nop.target_transfer_tag == PING => {
            Handling::Answer(vec![managed(function, 0)])
        }
        Request::Snack(_) => panic!("no SNACK at error recovery level 0"),
        _ => Handling::Proceed,
    });
    assert_eq!(pair.read(0, 0, 1024).unwrap(), data, "nothing of the first issue counts");
    assert_eq!(log.functions(), [Function::AbortTaskSet]);
    assert_eq!(pair.isboot.last_error(), None);
    pair.log_out();
}

#[test]
fn ffp_19_4_3_a_completion_before_the_function_response_counts_once() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[("escalation", "abort-task-set")]);
    let mut stuck = None;
    let log = watch(&target, move |request, _| match request {
        Request::ScsiCommand(command) if stuck.is_none() => {
            stuck = Some(command.initiator_task_tag);
            Handling::Swallow
        }
        Request::TaskManagement(management) => Handling::Answer(vec![
            good(stuck.unwrap(), Residual::None),
            managed(management.initiator_task_tag, 0),
        ]),
        _ => Handling::Proceed,
    });
    pair.write(0, 0, &[3; 512]).unwrap();
    pair.pass(Duration::from_secs(60));
    assert!(pair.take_completion().is_none());
    assert_eq!(log.commands().len(), 1, "not issued again");
    assert_eq!(log.functions(), [Function::AbortTaskSet]);
    assert_eq!(pair.isboot.last_error(), None);
    pair.read(0, 0, 512).unwrap();
    pair.log_out();
}

// --- 20: asynchronous messages ---

/// A session with a read under way that the target does not answer, and what it gets from then on.
fn reading() -> (isboot_tests::target::Target, Pair, Requests) {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    target.pause();
    pair.submit_read(0, 0, 512);
    pair.pass(Duration::from_millis(1));
    let requests = Requests::of(&target);
    (target, pair, requests)
}

#[test]
fn ffp_20_1_a_logout_that_is_asked_for_comes_in_time() {
    let (target, mut pair, requests) = reading();
    target.inject(asynchronous(1, [0, 0, 1], []));
    let begin = pair.now();
    pair.run_until("the logout", |isboot| isboot.last_error().is_some());
    assert!(pair.now().since(begin) < Duration::from_secs(1));
    let [Request::Logout(logout)] = requests.on(1)[..] else { panic!("{:?}", requests.on(1)) };
    assert_eq!(logout.reason, LogoutReason::CloseSession);
    target.resume();
    assert_eq!(pair.finish_one().outcome, Ok(()));
    pair.log_out();
}

#[test]
fn ffp_20_2_a_dropped_connection_is_made_again() {
    let (target, mut pair, requests) = reading();
    target.inject(asynchronous(2, [0, 0, 1], []));
    let begin = pair.now();
    pair.run_until("the loss", |isboot| isboot.last_error().is_some());
    target.resume();
    assert_eq!(pair.finish_one().outcome, Ok(()));
    assert!(pair.now().since(begin) < Duration::from_secs(1));
    assert!(requests.on(1).is_empty());
    let Some(Request::Login(login)) = requests.on(2).first().copied() else {
        panic!("{:?}", requests.on(2))
    };
    assert_eq!((login.tsih, login.isid), (0, [0x00, 0x02, 0x3d, 0x00, 0x00, 0x01]));
    pair.log_out();
}

#[test]
fn ffp_20_3_a_dropped_session_is_made_again_in_its_time() {
    let (target, mut pair, requests) = reading();
    target.inject(asynchronous(3, [0, 1, 2], []));
    let begin = pair.now();
    pair.run_until("the loss", |isboot| isboot.last_error().is_some());
    pair.wire.break_now(Break::Close);
    target.resume();
    pair.run_until("the next login", |isboot| isboot.state() == State::LoggingIn);
    let waited = pair.now().since(begin);
    assert!((1000..=2000).contains(&waited.as_millis()), "{waited:?}");
    assert_eq!(pair.finish_one().outcome, Ok(()));
    assert!(requests.on(1).is_empty());
    pair.log_out();
}

#[test]
fn ffp_20_4_a_negotiation_that_is_asked_for_begins() {
    let (target, mut pair, requests) = reading();
    target.inject(asynchronous(4, [0, 0, 3], []));
    pair.pass(Duration::from_secs(1));
    let [Request::Text(text)] = requests.on(1)[..] else { panic!("{:?}", requests.on(1)) };
    assert!(text.last && !text.text_continues && !text.immediate);
    assert_eq!((text.target_transfer_tag, text.lun), (RESERVED_TAG, [0; 8]));
    assert_eq!(text.data_segment_length, 0);
    target.resume();
    assert_eq!(pair.finish_one().outcome, Ok(()));
    assert_eq!(pair.isboot.last_error(), None);
    pair.log_out();
}
