//! B-RC: session recovery at error recovery level 0.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use isboot::boot::State;
use isboot::disk::{CommandData, DiskId, RequestError};
use isboot::login::Authentication;
use isboot::pdu::bhs::{BasicHeaderSegment, opcode};
use isboot::pdu::request::{Request, ScsiCommand};
use isboot::scsi::persistent_reservation::ReserveOut;
use isboot::session::TaskError;
use isboot_tests::host::credentials;
use isboot_tests::pair::{Break, Direction, MIB, NAME, Pair, Portal, Random, Setting, target};
use isboot_tests::target::{self, Builder, DigestPolicy, Fate, Handling, Lun, Target, Thin};

use crate::support::Requests;
use crate::transfers::{Trial, content};
use crate::units::{Commands, PERSISTENT_RESERVE_OUT, UNMAP};

const READ: u8 = 0x28;
const WRITE: u8 = 0x2a;

/// SCSI commands with this operation code on a connection.
fn commands(requests: &Requests, connection: u64, code: u8) -> Vec<ScsiCommand> {
    let command = |request: &Request| match request {
        Request::ScsiCommand(command) if command.cdb[0] == code => Some(*command),
        _ => None,
    };
    requests.on(connection).iter().filter_map(command).collect()
}

/// A target that asks for no pause before the next login.
fn prompt() -> Builder {
    target().times(0, 20)
}

/// The next response with this opcode is cut after so many of its bytes, and the connection with it.
fn cut_next(target: &Target, code: u8, skip: usize, bytes: usize) {
    let mut left = Some(skip);
    target.on_response(move |_, pdu| match left {
        Some(0) if pdu.header.opcode() == code => {
            left = None;
            Fate::CutAfter(bytes)
        }
        Some(count) if pdu.header.opcode() == code => {
            left = Some(count - 1);
            Fate::Send
        }
        _ => Fate::Send,
    });
}

#[test]
fn b_rc_01_a_loss_when_idle_brings_a_new_login_by_the_same_names() {
    for how in [Break::Reset, Break::Close] {
        let target = prompt().build();
        let firsts = Arc::new(Mutex::new(BTreeMap::new()));
        let record = firsts.clone();
        target.on_request(move |wire, pdu| {
            let first = (Request::parse(&pdu.header), pdu.data.clone());
            record.lock().unwrap().entry(wire.connection).or_insert(first);
            Handling::Proceed
        });
        let mut pair = Pair::ready(&target, &[]);
        pair.wire.break_now(how);
        pair.read(0, 0, 512).unwrap();
        let first = |connection| match firsts.lock().unwrap().get(&connection) {
            Some((Ok(Request::Login(login)), text)) => (*login, text.clone()),
            other => panic!("{how:?}: {other:?}"),
        };
        let ((before, words_before), (after, words_after)) = (first(1), first(2));
        assert_eq!((after.isid, after.tsih), (before.isid, 0), "{how:?}");
        let names = |text: &[u8]| -> Vec<String> {
            let pairs = String::from_utf8(text.to_vec()).unwrap();
            let names = pairs.split('\0').filter(|pair| pair.contains("Name="));
            names.map(str::to_owned).collect()
        };
        assert_eq!(names(&words_after), names(&words_before), "{how:?}");
        assert_eq!(names(&words_after).len(), 2, "{how:?}");
        pair.log_out();
    }
}

#[test]
fn b_rc_02_no_attempt_comes_before_time2wait() {
    for seconds in [0, 2, 5] {
        let target = target().times(seconds, 20).build();
        let mut pair = Pair::ready(&target, &[("time2wait", "0")]);
        pair.read(0, 0, 512).unwrap();
        assert_eq!(pair.isboot.negotiated().unwrap().default_time2wait, seconds as u16);
        pair.wire.break_now(Break::Reset);
        let wire = pair.wire.clone();
        let took = pair.run_until("the next attempt", |_| wire.portals().len() == 2);
        assert_eq!(took, Duration::from_secs(seconds.into()));
        pair.read(0, 0, 512).unwrap();
        pair.log_out();
    }
}

/// A read of four segments of 512 bytes, cut off somewhere: read again whole, with a new tag.
fn read_again(what: &str, target: &Target, code: u8, skip: usize, bytes: usize) {
    target.write_lun(0, 0, &content(2048)).unwrap();
    let requests = Requests::of(target);
    let mut pair = Pair::ready(target, &[("max_recv_data_segment_length", "512")]);
    cut_next(target, code, skip, bytes);
    assert!(pair.read(0, 0, 2048).as_ref() == Ok(&content(2048)), "{what}");
    let (before, after) = (commands(&requests, 1, READ), commands(&requests, 2, READ));
    assert_eq!((before.len(), after.len()), (1, 1), "{what}");
    let (before, after) = (before[0], after[0]);
    assert_eq!((before.cdb, before.lun), (after.cdb, after.lun), "{what}");
    assert_ne!(before.initiator_task_tag, after.initiator_task_tag, "{what}");
    assert!(pair.take_completion().is_none(), "{what}: completed twice");
    pair.log_out();
}

#[test]
fn b_rc_03_a_read_without_data_is_issued_again() {
    read_again("before any data", &prompt().build(), opcode::DATA_IN, 0, 0);
}

#[test]
fn b_rc_04_a_read_with_half_its_data_is_issued_again() {
    for (what, bytes) in
        [("at a border", 0), ("in a header", 20), ("at data", 48), ("in data", 300)]
    {
        read_again(what, &prompt().build(), opcode::DATA_IN, 2, bytes);
    }
}

#[test]
fn b_rc_05_a_read_without_its_status_is_issued_again() {
    let target = prompt().separate_status().build();
    read_again("all data, no status", &target, opcode::SCSI_RESPONSE, 0, 0);
    read_again("in the last data", &prompt().build(), opcode::DATA_IN, 3, 559);
}

#[test]
fn b_rc_06_a_write_without_an_r2t_waits_for_new_ones() {
    let mut trial = Trial::of(prompt().immediate_data(false), &[]);
    let requests = Requests::of(&trial.target);
    cut_next(&trial.target, opcode::READY_TO_TRANSFER, 0, 0);
    trial.assert_writes(4096, "issued again");
    assert_eq!((commands(&requests, 1, WRITE).len(), commands(&requests, 2, WRITE).len()), (1, 1));
    trial.pair.log_out();
}

/// A write's data comes in Data-Out PDUs of 512 bytes, eight for an R2T.
#[test]
fn b_rc_07_a_write_with_part_of_its_data_begins_at_its_start() {
    for how in [Break::Reset, Break::Close] {
        let builder = prompt().immediate_data(false).max_recv_data_segment_length(512);
        let mut trial = Trial::of(builder.r2t_length(4096), &[]);
        let requests = Requests::of(&trial.target);
        let data_out = |connection| -> Vec<(u32, u32)> {
            let place = |request: &Request| match request {
                Request::DataOut(data) => Some((data.target_transfer_tag, data.buffer_offset)),
                _ => None,
            };
            requests.on(connection).iter().filter_map(place).collect()
        };
        // A PDU at a time.
        trial.pair.wire.split(560);
        let id = trial.pair.submit_write(0, 128, &content(8192));
        trial.pair.run_until("three PDUs", |_| data_out(1).len() == 3);
        trial.pair.wire.break_now(how);
        trial.pair.wire.split(usize::MAX);
        let finished = trial.pair.finish_one();
        assert_eq!((finished.id, finished.outcome), (id, Ok(())), "{how:?}");
        assert_eq!(trial.target.read_lun(0, 128 * 512, 8192).unwrap(), content(8192), "{how:?}");
        let offsets: Vec<u32> = data_out(2).iter().map(|(_, offset)| *offset).collect();
        assert_eq!(offsets, (0..16).map(|part| part * 512).collect::<Vec<_>>(), "{how:?}");
        trial.pair.log_out();
    }
}

#[test]
fn b_rc_08_a_write_with_immediate_data_goes_again_under_the_new_values() {
    for (what, changed) in [
        ("no immediate data", prompt().immediate_data(false)),
        ("a smaller first burst", prompt().first_burst_length(512)),
    ] {
        let mut trial = Trial::of(prompt(), &[]);
        let changed = changed.build();
        let requests = Requests::of(&changed);
        trial.pair.wire.replace_target(&changed);
        cut_next(&trial.target, opcode::SCSI_RESPONSE, 0, 0);
        assert_eq!(trial.write(4096), Ok(()), "{what}");
        assert_eq!(changed.read_lun(0, 128 * 512, 4096).unwrap(), content(4096), "{what}");
        // What went along is held to the new values by S-11.
        let command = commands(&requests, 1, WRITE)[0];
        assert!(command.data_segment_length <= 512, "{what}: {command:?}");
        assert_eq!(changed.violations(), [], "{what}");
        trial.pair.log_out();
    }
}

/// Harmless for the same bytes; a later write of the same blocks was not sent before it was done.
#[test]
fn b_rc_09_a_write_whose_status_was_lost_goes_again_before_any_later_one() {
    let mut trial = Trial::of(prompt(), &[]);
    let requests = Requests::of(&trial.target);
    cut_next(&trial.target, opcode::SCSI_RESPONSE, 0, 0);
    let later = Random(7).bytes(1024);
    trial.pair.submit_write(0, 128, &content(4096));
    trial.pair.submit_write(0, 130, &later);
    for _ in 0..2 {
        assert_eq!(trial.pair.finish_one().outcome, Ok(()));
    }
    let mut expected = content(4096);
    expected[1024..2048].copy_from_slice(&later);
    assert_eq!(trial.target.read_lun(0, 128 * 512, 4096).unwrap(), expected);
    assert_eq!(commands(&requests, 1, WRITE).len(), 1, "the later one waits");
    assert_eq!(commands(&requests, 2, WRITE).len(), 2);
    trial.pair.log_out();
}

#[test]
fn b_rc_10_a_mixed_queue_completes_each_once_and_in_order_where_blocks_meet() {
    for how in [Break::Reset, Break::Close, Break::Silence] {
        let mut trial = Trial::of(prompt(), &[("queue_depth", "8")]);
        trial.target.pause();
        let mut model = content(1 << 16);
        let mut wanted = Vec::new();
        // Each write is followed by a read and a write of blocks that meet its own.
        for step in 0..8u64 {
            let (lba, data) = (step * 2, Random(step).bytes(2048));
            let at = lba as usize * 512;
            trial.pair.submit_write(0, lba, &data);
            model[at..at + 2048].copy_from_slice(&data);
            let id = trial.pair.submit_read(0, lba + 1, 1024);
            wanted.push((id, model[at + 512..at + 1536].to_vec()));
        }
        trial.pair.pass(Duration::from_millis(100));
        trial.pair.wire.break_now(how);
        trial.target.resume();
        for _ in 0..16 {
            let finished = trial.pair.finish_one();
            assert_eq!(finished.outcome, Ok(()), "{how:?}");
            if let Some((_, data)) = wanted.iter().find(|(id, _)| *id == finished.id) {
                assert_eq!(finished.buffer.as_ref(), Some(data), "{how:?}: {:?}", finished.id);
            }
        }
        assert!(trial.pair.take_completion().is_none(), "{how:?}");
        assert_eq!(trial.target.read_lun(0, 0, 1 << 16).unwrap(), model, "{how:?}");
        trial.pair.log_out();
    }
}

#[test]
fn b_rc_12_a_target_that_remembers_the_old_session_is_waited_for() {
    // The new login is held for three seconds, then it is let in.
    let mut trial = Trial::of(prompt(), &[]);
    trial.read(512).unwrap();
    let held = trial.target.statistics().connections;
    trial.target.pause();
    trial.pair.wire.break_now(Break::Reset);
    trial.pair.submit_read(0, 0, 2048);
    trial.pair.pass(Duration::from_secs(3));
    assert_eq!(trial.target.statistics().connections, held + 1, "one login at a time");
    trial.target.resume();
    assert_eq!(trial.pair.finish_one().buffer, Some(content(2048)));
    assert_eq!(trial.target.statistics().connections, held + 1);
    trial.pair.log_out();

    // Out of resources, once.
    let mut trial = Trial::of(prompt(), &[]);
    trial.read(512).unwrap();
    trial.target.refuse_logins(3, 2, 1);
    trial.pair.wire.break_now(Break::Reset);
    trial.assert_reads(2048, "after 0302h");
    assert_eq!(trial.target.statistics().connections, 3);
    trial.pair.log_out();
}

#[test]
fn b_rc_14_attempts_that_fail_come_at_growing_intervals_and_end() {
    // Refused eight times, then it works.
    let mut trial = Trial::of(prompt(), &[]);
    trial.read(512).unwrap();
    trial.pair.wire.set_portal(Portal::Refuses);
    trial.pair.wire.break_now(Break::Reset);
    trial.pair.submit_read(0, 0, 2048);
    let wire = trial.pair.wire.clone();
    let mut times = Vec::new();
    for attempts in 2..=9 {
        trial.pair.run_until("an attempt", |_| wire.portals().len() == attempts);
        times.push(trial.pair.now());
    }
    let pauses: Vec<u128> = times.windows(2).map(|two| two[1].since(two[0]).as_millis()).collect();
    assert!(pauses.is_sorted() && pauses[0] < pauses[6], "{pauses:?}");
    trial.pair.wire.set_portal(Portal::Accepts);
    assert_eq!(trial.pair.finish_one().buffer, Some(content(2048)));
    trial.pair.log_out();

    // Never: each outstanding request ends.
    let mut trial = Trial::of(prompt(), &[("outage_limit", "60")]);
    trial.read(512).unwrap();
    trial.pair.wire.set_portal(Portal::Refuses);
    trial.pair.wire.break_now(Break::Reset);
    for lba in 0..8 {
        trial.pair.submit_read(0, lba, 512);
    }
    let begin = trial.pair.now();
    for _ in 0..8 {
        let outcome = trial.pair.finish_one().outcome;
        assert_eq!(outcome, Err(RequestError::Task(TaskError::Outage)));
    }
    assert!((59..70).contains(&trial.pair.now().since(begin).as_secs()));
    assert_eq!(trial.pair.isboot.outstanding(), 0);
}

/// Cut in the security stage, in the operational stage, after the last response, and at the first
/// answer to what was issued again.
#[test]
fn b_rc_15_a_loss_during_recovery_begins_it_anew() {
    for nth in 0..5 {
        let target =
            prompt().chap(target::Credentials::new("operator", "initiatorsecret1")).build();
        target.write_lun(0, 0, &content(2048)).unwrap();
        let mut pair = Pair::configured(&target, &Setting::new(&[]), |config| {
            config.login.authentication = Authentication::Chap {
                initiator: credentials("operator", "initiatorsecret1"),
                required: true,
            };
        });
        pair.become_ready();
        pair.read(0, 0, 512).unwrap();
        let mut left = nth;
        target.on_response(move |wire, _| {
            if wire.connection < 2 || wire.connection > 4 {
                return Fate::Send;
            }
            // On three connections in a row.
            left -= 1;
            if left < 0 {
                left = nth;
                return Fate::CutAfter(0);
            }
            Fate::Send
        });
        pair.wire.break_now(Break::Reset);
        assert_eq!(pair.read(0, 0, 2048).as_ref(), Ok(&content(2048)), "response {nth}");
        assert_eq!(target.statistics().connections, 5, "response {nth}");
        pair.pass(Duration::from_secs(60));
        pair.log_out();
    }
    // Over and over: bounded.
    let mut trial = Trial::of(prompt(), &[("outage_limit", "60")]);
    trial.read(512).unwrap();
    trial.target.on_response(|_, _| Fate::CutAfter(0));
    trial.pair.wire.break_now(Break::Reset);
    assert_eq!(trial.read(512), Err(RequestError::Task(TaskError::Outage)));
}

#[test]
fn b_rc_16_values_are_those_of_the_new_login() {
    let mut trial = Trial::of(prompt(), &[]);
    trial.read(512).unwrap();
    let changed = prompt()
        .max_recv_data_segment_length(1024)
        .max_burst_length(2048)
        .first_burst_length(512)
        .digests(DigestPolicy::Force)
        .build();
    changed.write_lun(0, 0, &content(8192)).unwrap();
    trial.pair.wire.replace_target(&changed);
    trial.pair.wire.break_now(Break::Reset);
    trial.assert_reads(8192, "under the new values");
    assert_eq!(trial.write(8192), Ok(()));
    assert_eq!(changed.read_lun(0, 128 * 512, 8192).unwrap(), content(8192));
    let terms = trial.pair.isboot.negotiated().unwrap();
    assert_eq!(terms.max_send_data_segment_length, 1024);
    assert_eq!((terms.max_burst_length, terms.first_burst_length), (2048, 512));
    assert_eq!((terms.header_digest.name(), terms.data_digest.name()), ("CRC32C", "CRC32C"));
    assert_eq!(changed.violations(), []);
    trial.pair.log_out();
}

#[test]
fn b_rc_17_numbers_are_those_of_the_new_login() {
    let target = prompt().initial_stat_sn(0x1234_5678).build();
    let requests = Requests::of(&target);
    let setting = Setting { initial_cmd_sn: 0xffff_fff0, ..Setting::new(&[]) };
    let mut pair = Pair::with(&target, &setting);
    pair.become_ready();
    for lba in 0..40 {
        pair.read(0, lba, 512).unwrap();
    }
    pair.wire.break_now(Break::Reset);
    pair.read(0, 0, 512).unwrap();
    // Each request on its own is held to its login by S-05 and S-07.
    let second = requests.on(2);
    let Some(Request::Login(login)) = second.first() else { panic!("{second:?}") };
    assert_eq!(login.cmd_sn.0, 0xffff_fff0);
    let first = second.iter().find_map(|request| match request {
        Request::ScsiCommand(command) => Some(*command),
        _ => None,
    });
    let first = first.unwrap();
    assert_eq!(first.cmd_sn.0, 0xffff_fff0);
    assert!((0x1234_5678..0x1234_5680).contains(&first.exp_stat_sn.0), "{first:?}");
    pair.log_out();
}

/// One of each kind that RFC 7143 §7.7 names, in the place of a read's first Data-In.
#[test]
fn b_rc_18_a_format_error_ends_the_connection_and_the_session_comes_back() {
    type Change = fn(&mut [u8; 48]);
    let kinds: [(&str, Change); 7] = [
        ("an opcode that does not exist", |header| header[0] = 0x2f),
        ("an initiator's opcode", |header| header[0] = 0x05),
        ("status without F", |header| header[1] = 0x01),
        ("overflow and underflow", |header| header[1] = 0x87),
        ("an additional header segment", |header| header[4] = 1),
        ("an offset beyond the end", |header| header[40] = 0xff),
        ("an R2T with data", |header| (header[0], header[1]) = (0x31, 0x80)),
    ];
    for (what, change) in kinds {
        let mut trial = Trial::of(prompt(), &[]);
        let mut changes = Some(change);
        trial.target.on_response(move |_, pdu| {
            if pdu.header.opcode() == opcode::DATA_IN
                && let Some(change) = changes.take()
            {
                let mut bytes = *pdu.header.as_bytes();
                change(&mut bytes);
                pdu.header = BasicHeaderSegment::from_bytes(bytes);
            }
            Fate::Send
        });
        trial.assert_reads(2048, what);
        assert_eq!(trial.target.statistics().connections, 2, "{what}");
        trial.assert_renewed(what);
    }
}

/// The connection breaks with the next byte that way.
fn break_on_next(pair: &Pair, direction: Direction) {
    pair.wire.break_after(direction, pair.wire.carried(direction) + 1, Break::Reset);
}

#[test]
fn b_rc_19_what_may_not_be_done_twice_is_never_issued_again() {
    let register = ReserveOut::Register { key: 0, new: 7, persist: false };
    let submit = |pair: &mut Pair| {
        let data = CommandData::Out(register.parameter_list().to_vec());
        pair.isboot.submit_command(DiskId(0), register.cdb(), data)
    };
    let mode_select = |pair: &mut Pair| {
        let mut cdb = [0; 16];
        (cdb[0], cdb[1], cdb[4]) = (0x15, 0x10, 4);
        pair.isboot.submit_command(DiskId(0), cdb, CommandData::Out(vec![0; 4]))
    };
    for lost in [Direction::ToInitiator, Direction::ToTarget] {
        let target = Target::builder(NAME).lun(Lun::memory(MIB)).build();
        let commands = Commands::to(&target);
        let mut pair = Pair::ready(&target, &[]);
        for (code, select) in [(PERSISTENT_RESERVE_OUT, false), (0x15, true)] {
            break_on_next(&pair, lost);
            let submitted = if select { mode_select(&mut pair) } else { submit(&mut pair) };
            let error = pair.finish(submitted).unwrap_err();
            assert_eq!(error, RequestError::Task(TaskError::OutcomeUnknown), "{lost:?}");
            assert!(error.to_string().contains("unknown"), "{error}");
            // The session comes back, and the command does not.
            pair.read(0, 0, 512).unwrap();
            let heard = usize::from(lost == Direction::ToInitiator);
            assert_eq!(commands.with(&[code]).len(), heard, "{lost:?} {code:02x}h");
        }
        pair.log_out();
    }
    // What was never sent is no riddle.
    let target = Target::builder(NAME).lun(Lun::memory(MIB)).build();
    let commands = Commands::to(&target);
    let mut pair = Pair::ready(&target, &[]);
    pair.wire.break_now(Break::Reset);
    let submitted = submit(&mut pair);
    pair.finish(submitted).unwrap();
    assert_eq!(commands.with(&[PERSISTENT_RESERVE_OUT]).len(), 1);
    pair.log_out();
}

#[test]
fn b_rc_19_what_may_be_done_twice_is_issued_again() {
    let target = Target::builder(NAME).lun(Lun::memory(MIB).thin(Thin::default())).build();
    target.write_lun(0, 0, &[7; 4096]).unwrap();
    let commands = Commands::to(&target);
    let mut pair = Pair::ready(&target, &[]);
    break_on_next(&pair, Direction::ToInitiator);
    let submitted = pair.isboot.submit_unmap(DiskId(0), 0, 8);
    pair.finish(submitted).unwrap();
    assert_eq!(commands.with(&[UNMAP]).len(), 2);
    assert_eq!(target.read_lun(0, 0, 4096).unwrap(), [0; 4096]);
    pair.log_out();
}

/// The caller hands over while the session is between two connections: nothing is left of it.
#[test]
fn b_rc_20_a_handover_during_recovery_leaves_nothing_behind() {
    for portal in [Portal::Refuses, Portal::IsSilent, Portal::Accepts] {
        let mut trial = Trial::of(target().times(5, 20), &[]);
        trial.read(512).unwrap();
        trial.pair.wire.set_portal(portal);
        trial.pair.wire.break_now(Break::Reset);
        trial.pair.submit_read(0, 0, 512);
        trial.pair.pass(Duration::from_secs(2));
        let now = trial.pair.now();
        trial.pair.isboot.detach(now);
        trial.pair.end();
        assert!(trial.pair.now().since(now) <= Duration::from_secs(5), "{portal:?}");
        trial.pair.run_until("the close", |isboot| isboot.is_detached());
        let outcome = trial.pair.finish_one().outcome;
        assert_eq!(outcome, Err(RequestError::SessionEnded), "{portal:?}");
        let attempts = trial.pair.wire.portals().len();
        trial.pair.pass(Duration::from_secs(300));
        assert_eq!(trial.pair.wire.portals().len(), attempts, "{portal:?}");
        assert_eq!(trial.target.live_sessions(), 0, "{portal:?}");
        assert!(matches!(trial.pair.isboot.state(), State::Ended(_)), "{portal:?}");
    }
}
