//! B-UA: unit attentions, and units that are not ready.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use isboot::disk::{DiskId, Notice, RequestError, SubmitRequestError};
use isboot::pdu::request::{Request, ScsiCommand};
use isboot::scsi::sense::{Sense, SenseKey};
use isboot_tests::pair::{Break, MIB, NAME, Pair, Random, target};
use isboot_tests::target::{Builder, Handling, Lun, Target};

use crate::unit_script::{
    CHECK_CONDITION, INQUIRY, READ, READ_16, READ_CAPACITY_16, REPORT_LUNS, START_STOP_UNIT,
    SYNCHRONIZE_CACHE, SYNCHRONIZE_CACHE_16, Scripted, TEST_UNIT_READY, WRITE, WRITE_16, check,
    counted, next, response, scsi,
};

/// As often as a command is issued when each issue brings an event.
const ISSUES: usize = 9;
/// What stands in a stack of unit attentions.
const STACK: [(u8, u8); 5] = [(0x29, 0x00), (0x2a, 0x01), (0x3f, 0x0e), (0x2a, 0x09), (0x47, 0x7f)];

/// A target whose unit tells these to every new session.
fn telling(attentions: &[(u8, u8)]) -> Builder {
    let lun = attentions.iter().fold(Lun::memory(MIB), |lun, &(c, q)| lun.unit_attention(c, q));
    Target::builder(NAME).lun(lun)
}

#[test]
fn b_ua_01_an_attention_after_the_login_is_heard_out() {
    let mut unit = Scripted::fresh(telling(&[(0x29, 0x00)]), |_| None);
    unit.pair.become_ready();
    assert_eq!(unit.pair.isboot.disks().len(), 1);
    unit.log.assert_new_tasks(TEST_UNIT_READY, 2, "29h/00h");
    unit.assert_untroubled("29h/00h");
}

#[test]
fn b_ua_02_a_stack_of_attentions_is_heard_out() {
    let mut unit = Scripted::fresh(telling(&STACK), |_| None);
    unit.pair.become_ready();
    assert_eq!(unit.pair.isboot.disks().len(), 1);
    // And once more, to commands that are not asked while looking for disks.
    for (code, qualifier) in STACK {
        unit.target.raise_unit_attention(0, code, qualifier);
    }
    unit.read().0.unwrap();
    unit.assert_untroubled("a stack");
}

#[test]
fn b_ua_02_so_many_attentions_in_a_row_cost_a_command_nothing_and_more_its_patience() {
    for (count, result) in [(8, Ok(vec![0; 512])), (9, Err(scsi(SenseKey::UnitAttention, 0x29, 0)))]
    {
        let mut unit = Scripted::new();
        unit.answer_next(READ, count, |tag| check(tag, 6, 0x29, 0));
        assert_eq!(unit.read().0, result, "{count} attentions");
    }
}

#[test]
fn b_ua_03_an_attention_for_ever_is_an_error() {
    // Each kind: what is looked at again in between costs no patience.
    for (code, qualifier) in [(0x29, 0x00), (0x2a, 0x09), (0x3f, 0x0e)] {
        let mut unit = Scripted::new();
        unit.answer_next(READ, usize::MAX, move |tag| check(tag, 6, code, qualifier));
        let error = scsi(SenseKey::UnitAttention, code, qualifier);
        assert_eq!(unit.read().0, Err(error));
        assert_eq!(unit.log.count(READ), ISSUES);
        unit.assert_untroubled("for ever");
    }
    // To every command that is asked while looking for disks: there is none.
    for (code, qualifier) in [(0x29, 0x00), (0x2a, 0x09)] {
        let mut unit = Scripted::fresh(target(), move |command: &ScsiCommand| {
            let told = command.cdb[0] != INQUIRY && command.cdb[0] != REPORT_LUNS;
            told.then(|| vec![check(command.initiator_task_tag, 6, code, qualifier)])
        });
        unit.pair.become_ready();
        assert!(unit.pair.isboot.disks().is_empty());
        assert!(unit.log.all().len() < 40, "{} commands", unit.log.all().len());
    }
}

#[test]
fn b_ua_04_a_nexus_loss_is_heard_out_after_recovery() {
    let mut unit = Scripted::of(telling(&[(0x29, 0x07)]), &[]);
    unit.pair.wire.break_now(Break::Reset);
    unit.read().0.unwrap();
    unit.assert_renewed("29h/07h");
}

#[test]
fn b_ua_05_commands_cleared_by_an_iscsi_event_are_issued_again() {
    let mut unit = Scripted::of(telling(&[(0x47, 0x7f)]), &[]);
    let content = Random(5).bytes(4096);
    let mut swallow = true;
    unit.answer(move |command| {
        (command.cdb[0] == WRITE && std::mem::take(&mut swallow)).then(Vec::new)
    });
    unit.pair.submit_write(0, 8, &content);
    unit.pair.pass(Duration::from_millis(10));
    unit.pair.wire.break_now(Break::Reset);
    unit.pair.finish_one().outcome.unwrap();
    assert_eq!(unit.target.read_lun(0, 4096, 4096).unwrap(), content);
    // The same in the middle of a session.
    unit.answer_next(WRITE, 1, |tag| check(tag, 6, 0x47, 0x7f));
    unit.pair.write(0, 16, &content).unwrap();
    unit.log.assert_new_tasks(WRITE, 2, "47h/7Fh");
    assert_eq!(unit.target.read_lun(0, 8192, 4096).unwrap(), content);
    unit.assert_renewed("47h/7Fh");
}

/// The unit has this many blocks from now on.
fn resize(unit: &Scripted, blocks: u64) {
    unit.alter(move |command, data| {
        if command.cdb[0] == READ_CAPACITY_16 {
            data[..8].copy_from_slice(&(blocks - 1).to_be_bytes());
        }
    });
}

#[test]
fn b_ua_06_a_changed_capacity_is_read_before_the_reissue_and_told() {
    for (code, qualifier) in [(0x2a, 0x01), (0x2a, 0x09)] {
        for blocks in [1024, 4096, 2048] {
            let mut unit = Scripted::new();
            assert_eq!(unit.pair.isboot.disks()[0].blocks, 2048);
            unit.answer_next(READ, 1, move |tag| check(tag, 6, code, qualifier));
            resize(&unit, blocks);
            unit.read().0.unwrap();
            let codes = unit.log.codes();
            let (first, last) = (codes[0], codes[codes.len() - 1]);
            assert_eq!((first, last, unit.log.count(READ)), (READ, READ, 2));
            assert!(codes.contains(&READ_CAPACITY_16) && codes.contains(&0x1a), "{codes:02x?}");
            let notice = Notice::CapacityChanged { disk: DiskId(0), blocks };
            let told = unit.pair.isboot.take_notice();
            assert_eq!(told, (blocks != 2048).then_some(notice));
            assert_eq!(unit.pair.isboot.disks()[0].blocks, blocks);
            let beyond = unit.pair.isboot.submit_read(DiskId(0), blocks, vec![0; 512]);
            assert_eq!(beyond.unwrap_err().reason, SubmitRequestError::OutOfRange);
            assert_eq!(unit.pair.isboot.last_error(), None);
        }
    }
}

#[test]
fn b_ua_06_what_waits_beyond_the_new_end_fails_and_is_not_sent() {
    // Four blocks a command, two commands at a time: the end is among what waits.
    let mut unit = Scripted::of(target().max_transfer_blocks(4), &[("queue_depth", "2")]);
    unit.answer_next(WRITE, 1, |tag| check(tag, 6, 0x2a, 0x09));
    resize(&unit, 1024);
    let across = unit.pair.submit_write(0, 1000, &[1; 48 * 512]);
    let within = unit.pair.submit_write(0, 0, &[2; 512]);
    let beyond = unit.pair.submit_write(0, 1500, &[3; 512]);
    for _ in 0..3 {
        let finished = unit.pair.finish_one();
        let expected = if finished.id == within { Ok(()) } else { Err(RequestError::OutOfRange) };
        assert!([across, within, beyond].contains(&finished.id));
        assert_eq!(finished.outcome, expected, "{finished:?}");
    }
    for command in unit.log.of(WRITE) {
        let lba = u32::from_be_bytes(command.cdb[2..6].try_into().unwrap());
        let blocks = u16::from_be_bytes(command.cdb[7..9].try_into().unwrap());
        // The two that went along with the first are at its beginning.
        assert!(lba + u32::from(blocks) <= 1024, "{lba} + {blocks}");
    }
    unit.target.clear_hooks();
    unit.pair.log_out();
}

/// The unit was looked at again before the reissue: what it is, and its names.
#[track_caller]
fn assert_identified(unit: &Scripted, code: u8, what: &str) {
    let codes = unit.log.codes();
    let first = codes.iter().position(|&c| c == code).unwrap();
    let last = codes.iter().rposition(|&c| c == code).unwrap();
    let between = &codes[first + 1..last];
    assert!(between.contains(&INQUIRY), "{what}: {codes:02x?}");
    assert!(unit.log.pages().contains(&0x83), "{what}: {:02x?}", unit.log.pages());
}

#[test]
fn b_ua_07_other_units_are_told_of_and_found_by_a_rescan() {
    let builder = Target::builder(NAME).lun(Lun::memory(MIB)).lun(Lun::memory(2 * MIB));
    let hidden = Arc::new(AtomicBool::new(true));
    let hides = hidden.clone();
    let mut unit = Scripted::fresh(builder, |_| None);
    unit.alter(move |command, data| {
        if command.cdb[0] == REPORT_LUNS && hides.load(Ordering::Relaxed) {
            data[3] = 8;
            data[16..].fill(0);
        }
    });
    unit.pair.become_ready();
    assert_eq!(unit.pair.isboot.disks().len(), 1);
    unit.answer_next(READ, 1, |tag| check(tag, 6, 0x3f, 0x0e));
    unit.read().0.unwrap();
    assert_identified(&unit, READ, "3Fh/0Eh");
    assert_eq!(unit.pair.isboot.take_notice(), Some(Notice::UnitsChanged));
    assert_eq!(unit.pair.isboot.take_notice(), None);
    hidden.store(false, Ordering::Relaxed);
    unit.log.clear();
    unit.pair.isboot.rescan();
    unit.pair.become_ready();
    assert_eq!(unit.log.count(REPORT_LUNS), 1);
    let sizes: Vec<u64> = unit.pair.isboot.disks().iter().map(|disk| disk.bytes()).collect();
    assert_eq!(sizes, [MIB, 2 * MIB]);
    unit.pair.write(1, 4000, &[6; 512]).unwrap();
    assert_eq!(unit.target.read_lun(1, 4000 * 512, 512).unwrap(), [6; 512]);
    unit.assert_untroubled("another unit");
}

/// What another unit says of itself: page 83h, the serial number, the product.
const OTHERS: [(&str, u8, u8, usize); 3] =
    [("page 83h", 1, 0x83, 8), ("serial number", 1, 0x80, 4), ("product", 0, 0, 20)];

/// The unit is another one while `is_other`, by one of its names.
fn disguise(unit: &Scripted, other: (&str, u8, u8, usize), is_other: &Arc<AtomicBool>) {
    let is_other = is_other.clone();
    let (_, vital, page, at) = other;
    unit.alter(move |command, data| {
        let asked = command.cdb[0] == INQUIRY && command.cdb[1..3] == [vital, page];
        if asked && is_other.load(Ordering::Relaxed) {
            data[at] ^= 1;
        }
    });
}

#[test]
fn b_ua_08_inquiry_data_that_changed_is_read_again() {
    for (code, qualifier) in [(0x3f, 0x03), (0x3f, 0x05)] {
        let mut unit = Scripted::new();
        unit.answer_next(WRITE, 1, move |tag| check(tag, 6, code, qualifier));
        unit.pair.write(0, 0, &[9; 512]).unwrap();
        assert_identified(&unit, WRITE, "the same unit");
        assert_eq!(unit.pair.isboot.take_notice(), None);
        assert_eq!(unit.target.read_lun(0, 0, 512).unwrap(), [9; 512]);
        unit.assert_untroubled("the same unit");
    }
}

#[test]
fn b_ua_08_another_unit_is_not_written_to() {
    for other in OTHERS {
        for (code, qualifier) in [(0x3f, 0x03), (0x3f, 0x05)] {
            let mut unit = Scripted::new();
            let is_other = Arc::new(AtomicBool::new(true));
            disguise(&unit, other, &is_other);
            unit.answer_next(WRITE, 1, move |tag| check(tag, 6, code, qualifier));
            let what = other.0;
            let result = unit.pair.write(0, 0, &[9; 512]);
            assert_eq!(result, Err(RequestError::OtherUnit), "{what}");
            assert_eq!(unit.log.count(WRITE), 1, "{what}");
            let notice = Notice::OtherUnit { disk: DiskId(0) };
            assert_eq!(unit.pair.isboot.take_notice(), Some(notice), "{what}");
            let refused = unit.pair.isboot.submit_write(DiskId(0), 0, vec![9; 512]).unwrap_err();
            assert_eq!(refused.reason, SubmitRequestError::OtherUnit, "{what}");
            // Once it is itself again, a rescan tells.
            is_other.store(false, Ordering::Relaxed);
            unit.pair.isboot.rescan();
            unit.pair.become_ready();
            unit.pair.write(0, 0, &[8; 512]).unwrap();
            assert_eq!(unit.target.read_lun(0, 0, 512).unwrap(), [8; 512], "{what}");
            unit.assert_untroubled(what);
        }
    }
}

#[test]
fn b_ua_09_other_events_cost_an_issue_and_are_told_where_that_helps() {
    for (code, qualifier) in [(0x2f, 0x00), (0x28, 0x00), (0x38, 0x07), (0x2a, 0x06)] {
        let what = format!("{code:02x}h/{qualifier:02x}h");
        let mut unit = Scripted::new();
        unit.answer_next(READ, 1, move |tag| check(tag, 6, code, qualifier));
        unit.read().0.unwrap();
        unit.log.assert_new_tasks(READ, 2, &what);
        match code {
            // The medium, the state of the path: looked at again.
            0x28 | 0x2a => assert_identified(&unit, READ, &what),
            _ => assert_eq!(unit.log.codes(), [READ, READ], "{what}"),
        }
        let notice = (code == 0x38).then_some(Notice::SpaceLow { disk: DiskId(0) });
        assert_eq!(unit.pair.isboot.take_notice(), notice, "{what}");
        unit.assert_untroubled(&what);
    }
}

#[test]
fn b_ua_10_a_write_with_data_in_flight_is_issued_again_from_its_start() {
    let builder = target().initial_r2t(false).first_burst_length(4096).times(0, 0);
    let target = builder.max_recv_data_segment_length(1024).build();
    let offers = [("initial_r2t", "no"), ("immediate_data", "yes")];
    let mut pair = Pair::ready(&target, &offers);
    let offsets = Arc::new(Mutex::new(Vec::new()));
    let (seen, mut failing) = (offsets.clone(), None);
    target.on_request(move |_, pdu| {
        let tag = pdu.header.initiator_task_tag();
        match (Request::parse(&pdu.header), failing) {
            (Ok(Request::ScsiCommand(command)), None) if command.cdb[0] == WRITE => {
                failing = Some(tag);
                seen.lock().unwrap().push(0);
                Handling::Swallow
            }
            (Ok(Request::DataOut(data)), Some(failed)) => {
                seen.lock().unwrap().push(data.buffer_offset);
                match (failed == tag, data.last) {
                    (true, true) => Handling::Answer(vec![check(tag, 6, 0x29, 0)]),
                    (true, false) => Handling::Swallow,
                    _ => Handling::Proceed,
                }
            }
            (Ok(Request::ScsiCommand(command)), _) if command.cdb[0] == WRITE => {
                seen.lock().unwrap().push(0);
                Handling::Proceed
            }
            _ => Handling::Proceed,
        }
    });
    let content = Random(10).bytes(8192);
    pair.write(0, 0, &content).unwrap();
    assert_eq!(target.read_lun(0, 0, 8192).unwrap(), content);
    let unsolicited = [0, 1024, 2048, 3072];
    let solicited = [4096, 5120, 6144, 7168];
    let expected = [&unsolicited[..], &unsolicited, &solicited].concat();
    assert_eq!(*offsets.lock().unwrap(), expected);
    assert_eq!(target.statistics().logins, 1);
    target.clear_hooks();
    pair.log_out();
}

#[test]
fn b_ua_11_attentions_against_the_standard_are_heard_out_too() {
    let mut left = [(REPORT_LUNS, 2), (INQUIRY, 3)];
    let mut unit = Scripted::fresh(target(), move |command| {
        let (_, count) = left.iter_mut().find(|(code, _)| *code == command.cdb[0])?;
        *count = (*count > 0).then(|| *count - 1)?;
        Some(vec![check(command.initiator_task_tag, 6, 0x29, 0)])
    });
    unit.pair.become_ready();
    assert_eq!(unit.pair.isboot.disks().len(), 1);
    assert_eq!(unit.log.count(REPORT_LUNS), 3);
    unit.assert_untroubled("against SPC");
}

#[test]
fn b_ua_12_a_unit_that_becomes_ready_is_polled() {
    let mut unit = Scripted::new();
    // The read, and a TEST UNIT READY each 100 ms.
    unit.target.become_ready_after(0, 101);
    let (result, took) = unit.read();
    assert_eq!(result, Ok(vec![0; 512]));
    let ten_seconds = Duration::from_millis(9_900)..Duration::from_millis(10_500);
    assert!(ten_seconds.contains(&took), "{took:?}");
    assert_eq!((unit.log.count(READ), unit.log.count(TEST_UNIT_READY)), (2, 101));
    // For ever.
    unit.log.clear();
    unit.target.become_ready_after(0, u32::MAX);
    let (result, took) = unit.read();
    assert_eq!(result, Err(scsi(SenseKey::NotReady, 0x04, 0x01)));
    let ready_timeout = Duration::from_secs(30)..Duration::from_secs(32);
    assert!(ready_timeout.contains(&took), "{took:?}");
    assert_eq!(unit.log.count(READ), 1);
    unit.target.become_ready_after(0, 0);
    unit.assert_untroubled("becoming ready");
}

/// Answers 04h/02h to whatever is asked until it is started.
fn asleep(command: &ScsiCommand, awake: &mut bool, wakes: bool) -> crate::unit_script::Answer {
    match command.cdb[0] {
        INQUIRY | REPORT_LUNS => None,
        START_STOP_UNIT => {
            *awake |= wakes;
            None
        }
        _ => (!*awake).then(|| vec![check(command.initiator_task_tag, 2, 0x04, 0x02)]),
    }
}

#[test]
fn b_ua_13_a_unit_that_wants_to_be_started_is_started_once() {
    let mut awake = false;
    let mut unit = Scripted::fresh(target(), move |c| asleep(c, &mut awake, true));
    unit.pair.become_ready();
    assert_eq!(unit.pair.isboot.disks().len(), 1, "started while looking for disks");
    assert_eq!(unit.log.count(START_STOP_UNIT), 1);
    for wakes in [true, false] {
        let mut awake = false;
        unit.answer(move |c| asleep(c, &mut awake, wakes));
        let (result, _) = unit.read();
        let starts = unit.log.of(START_STOP_UNIT);
        assert_eq!(starts.len(), 1);
        assert_eq!(starts[0].cdb[..6], [0x1b, 0, 0, 0, 1, 0], "Start=1");
        let expected = if wakes { Ok(vec![0; 512]) } else { Err(scsi(SenseKey::NotReady, 4, 2)) };
        assert_eq!(result, expected);
    }
    // It says so even when it is started, and to the list of units.
    let mut lists = next(REPORT_LUNS, 1, |tag| check(tag, 2, 0x04, 0x02));
    let mut starts = next(START_STOP_UNIT, usize::MAX, |tag| check(tag, 2, 0x04, 0x02));
    let mut other = Scripted::fresh(target(), move |c| {
        lists(c).or_else(|| starts(c)).or_else(|| asleep(c, &mut false, false))
    });
    other.pair.become_ready();
    assert!(other.pair.isboot.disks().is_empty());
    assert_eq!(other.log.count(START_STOP_UNIT), 1);
    // It says so to reads only.
    let mut awake = false;
    unit.answer(
        move |c| if c.cdb[0] == TEST_UNIT_READY { None } else { asleep(c, &mut awake, true) },
    );
    unit.read().0.unwrap();
    assert_eq!(unit.log.count(START_STOP_UNIT), 1);
    unit.assert_untroubled("started");
}

/// Sense data with which a read fails at once, and nothing else is tried.
#[track_caller]
fn assert_fails_once(key: u8, code: u8, qualifier: u8) {
    let mut unit = Scripted::new();
    unit.answer_next(READ, usize::MAX, move |tag| check(tag, key, code, qualifier));
    let (result, took) = unit.read();
    assert_eq!(result, Err(scsi(SenseKey::from_bits(key), code, qualifier)));
    assert_eq!((unit.log.codes(), took), (vec![READ], Duration::ZERO));
    unit.assert_untroubled("an error");
}

#[test]
fn b_ua_13_without_a_medium_nothing_is_started() {
    assert_fails_once(2, 0x3a, 0x00);
}

#[test]
fn b_ua_14_an_access_state_in_transition_is_waited_for_and_others_are_errors() {
    let mut unit = Scripted::new();
    let mut left = 20;
    unit.answer(move |command| {
        let asked = command.cdb[0] == READ || command.cdb[0] == TEST_UNIT_READY;
        left = if asked && left > 0 { left - 1 } else { return None };
        Some(vec![check(command.initiator_task_tag, 2, 0x04, 0x0a)])
    });
    let (result, took) = unit.read();
    assert_eq!(result, Ok(vec![0; 512]));
    let two_seconds = Duration::from_millis(1_800)..Duration::from_millis(2_300);
    assert!(two_seconds.contains(&took), "{took:?}");
    assert_eq!(unit.log.count(READ), 2, "polled by TEST UNIT READY");
    unit.answer(|command| {
        let asked = command.cdb[0] == READ || command.cdb[0] == TEST_UNIT_READY;
        asked.then(|| vec![check(command.initiator_task_tag, 2, 0x04, 0x0a)])
    });
    let (result, took) = unit.read();
    assert_eq!(result, Err(scsi(SenseKey::NotReady, 0x04, 0x0a)));
    assert!(took < Duration::from_secs(32), "{took:?}");
    unit.assert_untroubled("in transition");
    assert_fails_once(2, 0x04, 0x0b);
    assert_fails_once(2, 0x04, 0x0c);
}

#[test]
fn b_ua_15_a_refused_command_is_not_repeated() {
    assert_fails_once(5, 0x25, 0x00);
    assert_fails_once(5, 0x24, 0x00);
    assert_fails_once(5, 0x21, 0x00);
}

#[test]
fn b_ua_15_a_unit_without_short_commands_gets_long_ones() {
    let mut unit = Scripted::new();
    let unknown = |code: u8| code == READ || code == WRITE || code == SYNCHRONIZE_CACHE;
    unit.answer(move |command| {
        let tag = command.initiator_task_tag;
        unknown(command.cdb[0]).then(|| vec![check(tag, 5, 0x20, 0)])
    });
    // Two at a time: both are told so in the short form.
    unit.pair.submit_write(0, 3, &[7; 512]);
    unit.pair.submit_write(0, 4, &[8; 512]);
    unit.pair.finish_one().outcome.unwrap();
    unit.pair.finish_one().outcome.unwrap();
    assert_eq!(unit.pair.read(0, 3, 1024).unwrap(), [[7; 512], [8; 512]].concat());
    unit.pair.flush(0).unwrap();
    unit.pair.flush(0).unwrap();
    let counts = [WRITE, WRITE_16, READ, READ_16, SYNCHRONIZE_CACHE, SYNCHRONIZE_CACHE_16]
        .map(|code| unit.log.count(code));
    assert_eq!(counts, [2, 2, 0, 1, 1, 2]);
    assert_eq!(unit.target.read_lun(0, 3 * 512, 512).unwrap(), [7; 512]);
    // The long form can be unknown too.
    unit.answer_next(READ_16, usize::MAX, |tag| check(tag, 5, 0x20, 0));
    assert_eq!(unit.read().0, Err(scsi(SenseKey::IllegalRequest, 0x20, 0x00)));
    assert_eq!(unit.log.codes(), [READ_16]);
    unit.target.clear_hooks();
    unit.pair.log_out();
    let mut unit = Scripted::new();
    let mut both = next(READ, usize::MAX, |tag| check(tag, 5, 0x20, 0));
    let mut long = next(READ_16, usize::MAX, |tag| check(tag, 5, 0x20, 0));
    unit.answer(move |command| both(command).or_else(|| long(command)));
    assert_eq!(unit.read().0, Err(scsi(SenseKey::IllegalRequest, 0x20, 0x00)));
    assert_eq!(unit.log.codes(), [READ, READ_16]);
}

#[test]
fn b_ua_16_an_error_of_medium_or_hardware_names_the_block() {
    for (key, code) in [(SenseKey::MediumError, 0x11), (SenseKey::HardwareError, 0x44)] {
        let mut unit = Scripted::new();
        let bits = if key == SenseKey::MediumError { 3 } else { 4 };
        unit.answer_next(READ, usize::MAX, move |tag| {
            let block = [0xf0, 0, bits, 0, 0, 0, 5, 10, 0, 0, 0, 0, code, 0, 0, 0, 0, 0];
            response(tag, CHECK_CONDITION, counted(&block))
        });
        let (result, took) = unit.read();
        let sense = Sense { key, code, qualifier: 0, deferred: false, information: Some(5) };
        let error = RequestError::Scsi { status: CHECK_CONDITION, sense: Some(sense) };
        assert_eq!(result, Err(error));
        assert!(error.to_string().ends_with("at block 5"), "{error}");
        assert_eq!((unit.log.codes(), took), (vec![READ], Duration::ZERO));
        unit.assert_untroubled("an error");
    }
}
