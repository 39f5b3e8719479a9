//! B-ST: SAM status and service response.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use isboot::disk::RequestError;
use isboot::pdu::bhs::{BasicHeaderSegment, opcode};
use isboot::pdu::response::{AsyncMessage, Response};
use isboot::session::{Reset, TaskError};
use isboot_tests::pair::{NUMBERS, Random, target};
use isboot_tests::target::{Fate, Injection, Numbering, Pdu};

use crate::unit_script::{
    INQUIRY, READ, READ_CAPACITY_16, SYNCHRONIZE_CACHE, Scripted, TEST_UNIT_READY, WRITE, counted,
    data, fixed, next, response,
};

const BUSY: u8 = 0x08;
const TASK_SET_FULL: u8 = 0x28;
const RESERVATION_CONFLICT: u8 = 0x18;
const TASK_ABORTED: u8 = 0x40;

/// As often as a command is issued when each issue is aborted or lost.
const ISSUES: usize = 9;

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Overwrites bytes of a header.
fn set(header: &mut BasicHeaderSegment, at: usize, bytes: &[u8]) {
    let mut all = *header.as_bytes();
    all[at..at + bytes.len()].copy_from_slice(bytes);
    *header = BasicHeaderSegment::from_bytes(all);
}

/// A read that is answered with this status three times goes again after 100, 200 and 400 ms.
#[track_caller]
fn assert_growing_pauses(segment: &[u8], tamper: fn(&mut BasicHeaderSegment), status: u8) {
    let mut unit = Scripted::new();
    let segment = segment.to_vec();
    unit.answer_next(READ, 3, move |tag| {
        let mut answer = response(tag, status, segment.clone());
        tamper(&mut answer.pdu.header);
        answer
    });
    unit.pair.submit_read(0, 5, 512);
    for (pause, issues) in [(99, 1), (2, 2), (197, 2), (3, 3), (396, 3), (4, 4)] {
        unit.pair.pass(millis(pause));
        assert_eq!(unit.log.count(READ), issues, "status {status:#x}, {pause} ms later");
    }
    unit.pair.finish_one().outcome.unwrap();
    unit.log.assert_new_tasks(READ, 4, "as a new task each time");
    unit.assert_untroubled("busy");
}

#[test]
fn b_st_01_busy_goes_again_after_growing_pauses() {
    assert_growing_pauses(&[], |_| {}, BUSY);
}

#[test]
fn b_st_02_busy_for_ever_is_an_error() {
    let mut unit = Scripted::new();
    unit.answer_next(READ, usize::MAX, |tag| response(tag, BUSY, Vec::new()));
    let (result, took) = unit.read();
    assert_eq!(result, Err(RequestError::Scsi { status: BUSY, sense: None }));
    assert!((Duration::from_secs(50)..=Duration::from_secs(60)).contains(&took), "{took:?}");
    assert!(unit.log.count(READ) < 20, "{} issues", unit.log.count(READ));
    unit.assert_untroubled("busy for ever");
}

#[test]
fn b_st_03_a_full_task_set_gets_fewer_tasks_and_the_rest_after_a_completion() {
    const ROOM: usize = 2;
    let mut unit = Scripted::new();
    // Tags that the unit has taken, and how often it had no room.
    let state = Arc::new(Mutex::new((Vec::new(), 0)));
    let seen = state.clone();
    unit.answer(move |command| {
        let (taken, refused) = &mut *seen.lock().unwrap();
        if taken.len() < ROOM {
            taken.push(command.initiator_task_tag);
            return None;
        }
        *refused += 1;
        Some(vec![response(command.initiator_task_tag, TASK_SET_FULL, Vec::new())])
    });
    let seen = state.clone();
    unit.target.on_response(move |_, pdu| {
        seen.lock().unwrap().0.retain(|&tag| tag != pdu.header.initiator_task_tag());
        Fate::Send
    });
    unit.target.pause();
    for lba in 0..8 {
        unit.pair.submit_read(0, lba, 512);
    }
    unit.pair.pass(Duration::from_secs(9));
    assert_eq!(unit.log.count(READ), 8, "nothing goes again before one of the two is done");
    unit.target.resume();
    for _ in 0..8 {
        unit.pair.finish_one().outcome.unwrap();
    }
    assert_eq!(state.lock().unwrap().1, 6, "no more than two at a time from then on");
    // Slowly there is more of it: one more after 64 that went well.
    for round in 0..10 {
        unit.target.pause();
        for lba in 0..20 {
            unit.pair.submit_read(0, lba, 512);
        }
        unit.pair.pass(millis(1));
        unit.target.resume();
        for _ in 0..20 {
            unit.pair.finish_one().outcome.unwrap();
        }
        let refused = state.lock().unwrap().1;
        assert!(refused <= 6 + 2 * (1 + round * 20 / 64), "round {round}: {refused}");
    }
    assert!(state.lock().unwrap().1 > 6, "more are tried again");
    unit.assert_untroubled("full");
}

#[test]
fn b_st_03_a_full_task_set_with_none_of_ours_is_tried_again_after_a_pause() {
    assert_growing_pauses(&[], |_| {}, TASK_SET_FULL);
}

#[test]
fn b_st_04_a_reservation_conflict_is_an_error_of_that_name() {
    for code in [READ, WRITE] {
        let mut unit = Scripted::new();
        unit.answer_next(code, usize::MAX, |t| response(t, RESERVATION_CONFLICT, Vec::new()));
        let result = match code {
            READ => unit.read().0.map(|_| ()),
            _ => unit.pair.write(0, 5, &[1; 512]),
        };
        let error = result.unwrap_err();
        assert_eq!(error, RequestError::Reserved, "{code:#x}");
        assert!(error.to_string().contains("reservation"), "{error}");
        assert_eq!(unit.log.count(code), 1, "no loop");
        unit.assert_untroubled("reserved");
    }
}

#[test]
fn b_st_04_a_reserved_unit_is_found_all_the_same() {
    let conflict = |tag| response(tag, RESERVATION_CONFLICT, Vec::new());
    let script = next(TEST_UNIT_READY, usize::MAX, conflict);
    let mut unit = Scripted::fresh(target(), script);
    unit.pair.become_ready();
    assert_eq!(unit.pair.isboot.disks().len(), 1);
    assert_eq!(unit.log.count(TEST_UNIT_READY), 1);
    assert!(unit.log.count(INQUIRY) > 0 && unit.log.count(READ_CAPACITY_16) == 1);
    unit.assert_untroubled("reserved");
}

/// A status that ends a read with an error, once.
#[track_caller]
fn assert_error_once(status: u8) {
    let mut unit = Scripted::new();
    unit.answer_next(READ, usize::MAX, move |tag| response(tag, status, Vec::new()));
    let (result, took) = unit.read();
    assert_eq!(result, Err(RequestError::Scsi { status, sense: None }), "{status:#x}");
    assert_eq!((unit.log.count(READ), took), (1, Duration::ZERO), "{status:#x}");
    unit.assert_untroubled("an error");
}

#[test]
fn b_st_05_aca_active_is_an_error_and_none_is_asked_for() {
    assert_error_once(0x30);
    let mut unit = Scripted::new();
    unit.read().0.unwrap();
    unit.pair.write(0, 0, &[1; 512]).unwrap();
    unit.pair.flush(0).unwrap();
    for command in unit.log.all() {
        assert_eq!(command.cdb[9] & 0x04, 0, "NACA in {:02x?}", command.cdb);
    }
}

/// An answer after which a read is issued again: three times, and for ever.
#[track_caller]
fn assert_issued_again(
    what: &str,
    error: RequestError,
    make: impl Fn(u32) -> Injection + Clone + Send + 'static,
) {
    let mut unit = Scripted::new();
    unit.answer_next(READ, 3, make.clone());
    let (result, took) = unit.read();
    assert_eq!(result, Ok(vec![0; 512]), "{what}");
    assert_eq!(took, millis(700), "{what}");
    unit.log.assert_new_tasks(READ, 4, what);
    unit.answer_next(READ, usize::MAX, make);
    assert_eq!(unit.read().0, Err(error), "{what}");
    unit.log.assert_new_tasks(READ, ISSUES, what);
    unit.assert_untroubled(what);
}

#[test]
fn b_st_06_an_aborted_task_is_issued_again() {
    let error = RequestError::Scsi { status: TASK_ABORTED, sense: None };
    assert_issued_again("aborted", error, |tag| response(tag, TASK_ABORTED, Vec::new()));
}

#[test]
fn b_st_07_condition_met_is_a_success_and_the_obsolete_statuses_are_errors() {
    let mut unit = Scripted::new();
    unit.answer_next(SYNCHRONIZE_CACHE, 1, |tag| response(tag, 0x04, Vec::new()));
    unit.pair.flush(0).unwrap();
    assert_eq!(unit.log.count(SYNCHRONIZE_CACHE), 1);
    unit.answer(|command| {
        let tag = command.initiator_task_tag;
        (command.cdb[0] == READ)
            .then(|| vec![data(tag, vec![7; 512], None), response(tag, 0x04, Vec::new())])
    });
    assert_eq!(unit.read().0, Ok(vec![7; 512]));
    // But not without the data.
    unit.answer_next(READ, 1, |tag| response(tag, 0x04, Vec::new()));
    assert_eq!(unit.read().0, Err(RequestError::Short));
    unit.assert_untroubled("condition met");
    assert_error_once(0x10);
    assert_error_once(0x14);
}

#[test]
fn b_st_08_an_unknown_status_is_an_error() {
    assert_error_once(0x7f);
    assert_error_once(0x22);
}

/// A service response that is none, with status, flags and counts of nonsense.
fn assert_service_response(code: u8) {
    let error = RequestError::Task(TaskError::TargetFailure { response: code });
    for (seed, status) in [(1, 0x00), (2, 0x08), (3, 0x18), (4, 0x7f)] {
        assert_issued_again(&format!("response {code:#x}"), error, move |tag| {
            let mut answer = response(tag, status, Vec::new());
            let mut random = Random(seed);
            let flags = 0x80 | random.next_number() as u8 & 0x1e;
            set(&mut answer.pdu.header, 1, &[flags, code]);
            set(&mut answer.pdu.header, 40, &random.bytes(8));
            answer
        });
    }
}

#[test]
fn b_st_09_a_target_failure_is_one_of_delivery() {
    assert_service_response(0x01);
}

#[test]
fn b_st_10_a_vendors_response_is_a_failure_of_delivery() {
    assert_service_response(0x80);
    assert_service_response(0xff);
}

#[test]
fn b_st_11_a_reserved_response_is_a_failure_of_delivery() {
    assert_service_response(0x02);
    assert_service_response(0x7f);
}

#[test]
fn b_st_12_sense_data_with_another_status_changes_nothing() {
    let medium_error = counted(&fixed(0x70, 3, 0x11, 0));
    assert_growing_pauses(&medium_error, |_| {}, BUSY);
    let mut unit = Scripted::new();
    unit.answer(move |command| {
        let tag = command.initiator_task_tag;
        let good = response(tag, 0, medium_error.clone());
        match command.cdb[0] {
            READ => Some(vec![data(tag, vec![7; 512], None), good]),
            SYNCHRONIZE_CACHE => Some(vec![good]),
            _ => None,
        }
    });
    assert_eq!(unit.read().0, Ok(vec![7; 512]));
    unit.pair.flush(0).unwrap();
    unit.assert_untroubled("good, with sense");
}

#[test]
fn b_st_13_a_status_qualifier_that_was_not_agreed_on_is_ignored() {
    assert_growing_pauses(&[], |header| set(header, 8, &[0xbf, 0xff]), BUSY);
    assert_growing_pauses(&[], |header| set(header, 8, &[0x40, 0x01]), BUSY);
}

/// Random bits wherever a response reserves them (RFC 7143 §11).
fn fill_reserved(header: &mut BasicHeaderSegment, random: &mut Random) {
    let mut bytes = *header.as_bytes();
    let bits = |mask: u8, random: &mut Random| random.next_number() as u8 & mask;
    bytes[0] |= bits(0xc0, random);
    // First flags, then whole bytes.
    let (flags, whole): (u8, Vec<usize>) = match header.opcode() {
        opcode::NOP_IN => (0x7f, vec![2, 3]),
        opcode::SCSI_RESPONSE => (0x61, (8..16).collect()),
        opcode::TASK_MANAGEMENT_RESPONSE => (0x7f, (3..4).chain(8..16).chain(20..24).collect()),
        opcode::LOGIN_RESPONSE => (0x30, (20..24).chain(38..48).collect()),
        opcode::DATA_IN => (0x38, vec![2]),
        opcode::LOGOUT_RESPONSE => (0x7f, (3..4).chain(8..16).chain(20..24).collect()),
        opcode::READY_TO_TRANSFER => (0x7f, vec![2, 3]),
        opcode::ASYNC_MESSAGE => (0x7f, (2..4).chain(20..24).chain(44..48).collect()),
        other => panic!("a response of kind {other:#x}"),
    };
    bytes[1] |= bits(flags, random);
    for at in whole {
        bytes[at] = bits(0xff, random);
    }
    *header = BasicHeaderSegment::from_bytes(bytes);
}

#[test]
fn b_st_14_reserved_bits_of_every_response_are_ignored() {
    for seed in 0..8 {
        let target = target().immediate_data(false).times(0, 0).build();
        let kinds = Arc::new(Mutex::new(std::collections::BTreeSet::new()));
        let (seen, mut random) = (kinds.clone(), Random(seed));
        target.on_response(move |_, pdu| {
            seen.lock().unwrap().insert(pdu.header.opcode());
            fill_reserved(&mut pdu.header, &mut random);
            Fate::Send
        });
        let mut pair = isboot_tests::pair::Pair::ready(&target, &[]);
        let content = Random(seed).bytes(4096);
        pair.write(0, 0, &content).unwrap();
        assert_eq!(pair.read(0, 0, 4096).unwrap(), content);
        target.ping(b"are you there");
        pair.isboot.reset(Reset::LogicalUnit([0; 8])).unwrap();
        let vendors = AsyncMessage {
            lun: [0; 8],
            numbers: NUMBERS,
            event: 255,
            vendor_code: 0,
            parameters: [0; 3],
            data_segment_length: 0,
        };
        let pdu = Pdu::new(Response::AsyncMessage(vendors).emit(), Vec::new());
        target.inject(Injection { pdu, numbering: Numbering::Status });
        pair.pass(Duration::from_secs(1));
        pair.flush(0).unwrap();
        assert_eq!(pair.isboot.last_error(), None, "seed {seed}");
        pair.log_out();
        let kinds: Vec<u8> = kinds.lock().unwrap().iter().copied().collect();
        assert_eq!(kinds, [0x20, 0x21, 0x22, 0x23, 0x25, 0x26, 0x31, 0x32]);
    }
}
