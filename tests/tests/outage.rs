//! Connections that break, targets that go away, bytes that arrive damaged.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use isboot::boot::State;
use isboot::disk::RequestError;
use isboot::pdu::bhs::opcode;
use isboot::pdu::framer::FrameError;
use isboot::pdu::response::{AsyncMessage, Reject, Response};
use isboot::session::{Error, TaskError, Waiting};
use isboot_tests::pair::{
    Break, Direction, MIB, NAME, NUMBERS, Pair, Portal, Random, asynchronous, target,
};
use isboot_tests::target::{
    Backing, DigestPolicy, Fate, Handling, Injection, Lun, Memory, Numbering, Pdu, Target,
};

/// Memory that notes the order in which writes land.
#[derive(Clone)]
struct Noted {
    memory: Arc<Memory>,
    landed: Arc<Mutex<Vec<u64>>>,
}

impl Noted {
    fn new() -> Self {
        Self { memory: Arc::new(Memory::new(MIB)), landed: Arc::default() }
    }

    fn landed(&self) -> Vec<u64> {
        self.landed.lock().unwrap().clone()
    }
}

impl Backing for Noted {
    fn length(&self) -> u64 {
        self.memory.length()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.memory.read(offset, out)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.landed.lock().unwrap().push(offset / 512);
        self.memory.write(offset, bytes)
    }

    fn flush(&self) -> io::Result<()> {
        self.memory.flush()
    }
}

// --- a break at every byte ---

/// Three writes and the read of them, one after another and then at once; what was acknowledged
/// never lands again, and everything is right in the end. Returns bytes carried each way.
fn short_workload(way: Direction, at: u64, how: Break) -> [u64; 2] {
    let noted = Noted::new();
    let target = Target::builder(NAME)
        .lun(Lun::over(Box::new(noted.clone())))
        .immediate_data(at.is_multiple_of(2))
        .times(0, 0)
        .build();
    let mut pair = Pair::new(&target, &[("ping_interval", "5"), ("ping_timeout", "5")]);
    let where_it_is = format!("{how:?} after {at} bytes {way:?}");
    pair.wire.break_after(way, at, how);
    pair.become_ready();
    let data = Random(at).bytes(512 * 3);
    for (lba, block) in data.chunks(512).enumerate() {
        pair.write(0, lba as u64, block).expect(&where_it_is);
        let landed = noted.landed();
        assert_eq!(landed.last(), Some(&(lba as u64)), "{where_it_is}");
        assert!(landed.is_sorted(), "{where_it_is}: {landed:?}");
    }
    let before = noted.landed();
    assert_eq!(pair.read(0, 0, data.len()).expect(&where_it_is), data, "{where_it_is}");
    assert_eq!(noted.landed(), before, "{where_it_is}: an acknowledged write landed again");
    // Now all at once: 8 writes of their own blocks, then reads.
    let mut wanted = HashMap::new();
    for lba in 8..16 {
        let block = Random(at ^ lba).bytes(512);
        pair.submit_write(0, lba, &block);
        wanted.insert(lba, block);
    }
    for _ in 8..16 {
        pair.finish_one().outcome.expect(&where_it_is);
    }
    // Each replay keeps the order of the first issue.
    let at_once = &noted.landed()[before.len()..];
    let descents = at_once.windows(2).filter(|pair| pair[1] < pair[0]).count();
    assert!(descents <= pair.wire.broken() as usize, "{where_it_is}: {at_once:?}");
    for lba in 8..16 {
        assert_eq!(target.read_lun(0, lba * 512, 512).unwrap(), wanted[&lba], "{where_it_is}");
    }
    assert_eq!(pair.take_completion().map(|_| ()), None, "{where_it_is}");
    let carried = [Direction::ToTarget, Direction::ToInitiator].map(|way| pair.wire.carried(way));
    // A break that nobody noticed yet is found by a ping.
    pair.wire.break_after(way, u64::MAX, how);
    pair.pass(Duration::from_secs(20));
    pair.log_out();
    let connections = u64::from(pair.wire.broken()) + 1;
    assert_eq!(target.statistics().connections, connections, "{where_it_is}");
    carried
}

fn break_everywhere(how: Break) {
    let whole = short_workload(Direction::ToTarget, u64::MAX, how);
    for way in [Direction::ToTarget, Direction::ToInitiator] {
        for at in 0..whole[way as usize] {
            short_workload(way, at, how);
        }
    }
}

#[test]
fn a_reset_at_any_byte_costs_nothing() {
    break_everywhere(Break::Reset);
}

#[test]
fn a_close_at_any_byte_costs_nothing() {
    break_everywhere(Break::Close);
}

#[test]
fn silence_from_any_byte_on_costs_nothing() {
    break_everywhere(Break::Silence);
}

// --- outages ---

#[test]
fn commands_outlive_an_outage_shorter_than_the_limit() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[("outage_limit", "60")]);
    pair.wire.set_portal(Portal::Refuses);
    pair.wire.break_now(Break::Reset);
    let data = Random(1).bytes(4096);
    pair.submit_write(0, 0, &data);
    pair.pass(Duration::from_secs(50));
    assert_eq!(pair.isboot.outstanding(), 1);
    pair.wire.set_portal(Portal::Accepts);
    pair.finish_one().outcome.unwrap();
    assert_eq!(target.read_lun(0, 0, 4096).unwrap(), data);
    pair.log_out();
}

#[test]
fn commands_fail_when_the_outage_lasts_longer_and_later_ones_work() {
    for portal in [Portal::Refuses, Portal::IsSilent] {
        let target = target().build();
        let mut pair = Pair::ready(&target, &[("outage_limit", "60")]);
        target.pause();
        for lba in 0..40 {
            pair.submit_write(0, lba, &[1; 512]);
        }
        pair.pass(Duration::from_secs(1));
        pair.wire.set_portal(portal);
        pair.wire.break_now(Break::Reset);
        let begin = pair.now();
        for _ in 0..40 {
            let finished = pair.finish_one();
            assert_eq!(finished.outcome, Err(RequestError::Task(TaskError::Outage)));
        }
        let took = pair.now().since(begin);
        // Also those that waited for a free task.
        assert!((58..62).contains(&took.as_secs()), "{portal:?}: {took:?}");
        target.resume();
        pair.wire.set_portal(Portal::Accepts);
        pair.write(0, 0, &[2; 512]).unwrap();
        pair.log_out();
    }
}

#[test]
fn a_target_that_never_accepts_is_given_up_with_its_reason() {
    for (portal, timeout) in [(Portal::Refuses, false), (Portal::IsSilent, true)] {
        let target = target().build();
        let mut pair = Pair::new(&target, &[("outage_limit", "60")]);
        pair.wire.set_portal(portal);
        let error = pair.end().unwrap();
        assert_eq!(error == Error::Timeout(Waiting::Connect), timeout, "{error}");
        assert!((55..80).contains(&pair.now().since(isboot::time::Instant::ZERO).as_secs()));
    }
}

/// Login after login succeeds, and no command is ever answered.
#[test]
fn a_target_that_only_ever_logs_in_is_given_up() {
    let target = target().times(0, 0).build();
    let mut pair = Pair::new(&target, &[("outage_limit", "60")]);
    target.on_response(|_, pdu| match pdu.header.opcode() {
        opcode::LOGIN_RESPONSE => Fate::Send,
        _ => Fate::CutAfter(0),
    });
    assert!(matches!(pair.end(), Some(Error::Link(_))));
    let connections = target.statistics().connections;
    assert!(pair.now().as_millis() < 80_000);
    assert!(connections < 40, "{connections} attempts in a minute");
}

#[test]
fn a_target_that_stops_answering_after_a_good_start_fails_commands_in_bounded_time() {
    let target = target().times(0, 0).build();
    let mut pair = Pair::ready(&target, &[("outage_limit", "60")]);
    target.on_response(|_, pdu| match pdu.header.opcode() {
        opcode::LOGIN_RESPONSE => Fate::Send,
        _ => Fate::CutAfter(0),
    });
    let begin = pair.now();
    let error = pair.read(0, 0, 512).unwrap_err();
    assert!(matches!(error, RequestError::Task(_)), "{error}");
    assert!(pair.now().since(begin) < Duration::from_secs(90), "{:?}", pair.now());
    target.clear_hooks();
    pair.read(0, 0, 512).unwrap();
}

#[test]
fn without_an_escalation_a_command_without_an_answer_is_issued_again_in_a_new_session() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[("command_timeout", "30"), ("escalation", "none")]);
    let mut swallowed = 0;
    target.on_request(move |_, pdu| {
        if pdu.header.opcode() == opcode::SCSI_COMMAND && swallowed < 1 {
            swallowed += 1;
            return Handling::Swallow;
        }
        Handling::Proceed
    });
    pair.write(0, 1, &[9; 512]).unwrap();
    assert_eq!(pair.isboot.last_error(), Some(Error::Timeout(Waiting::Command)));
    assert_eq!(target.statistics().reinstatements, 0, "the connection was closed before");
    assert_eq!(target.read_lun(0, 512, 512).unwrap(), [9; 512]);
    pair.log_out();
}

#[test]
fn a_target_that_does_not_read_is_left() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    pair.wire.set_room(0);
    pair.submit_write(0, 0, &[1; 4096]);
    pair.run_until("the loss", |isboot| isboot.last_error().is_some());
    pair.wire.set_room(4096);
    pair.finish_one().outcome.unwrap();
    pair.log_out();
}

#[test]
fn a_clock_that_jumps_ahead_costs_a_ping_and_no_session() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    for _ in 0..3 {
        pair.jump(Duration::from_secs(3600));
        assert_eq!(pair.read(0, 0, 512).unwrap(), vec![0; 512]);
    }
    assert_eq!(pair.isboot.last_error(), None);
    pair.log_out();
}

/// A broken rule with Time2Wait 0: the next login goes over a new connection all the same.
#[test]
fn a_session_given_up_for_a_broken_rule_is_renewed_over_a_new_connection() {
    let target = target().times(0, 0).build();
    let mut pair = Pair::ready(&target, &[("time2wait", "0")]);
    assert_eq!(pair.isboot.negotiated().unwrap().default_time2wait, 0);
    let mut once = true;
    target.on_response(move |_, pdu| {
        let mut bytes = *pdu.header.as_bytes();
        if pdu.header.opcode() == opcode::SCSI_RESPONSE && std::mem::take(&mut once) {
            bytes[27] = bytes[27].wrapping_add(1); // a hole in StatSN
            pdu.header = isboot::pdu::bhs::BasicHeaderSegment::from_bytes(bytes);
        }
        Fate::Send
    });
    pair.write(0, 0, &[3; 512]).unwrap();
    assert!(matches!(pair.isboot.last_error(), Some(Error::PeerMisbehaved(_))));
    assert_eq!(pair.wire.portals().len(), 2);
    pair.log_out();
}

/// What the target announces with the end of a connection counts more than what was negotiated.
#[test]
fn an_announced_end_is_followed_by_the_announced_pause() {
    for (event, pause) in [(2, 7), (3, 7), (1, 0)] {
        let target = target().times(2, 0).build();
        let mut pair = Pair::ready(&target, &[]);
        target.inject(asynchronous(event, [0, 7, 3], []));
        let begin = pair.now();
        pair.run_until("the loss", |isboot| isboot.last_error().is_some());
        assert_eq!(pair.isboot.last_error(), Some(Error::TargetAskedToLeave { event }));
        pair.run_until("the next session", |isboot| isboot.state() == State::Ready);
        assert_eq!(pair.now().since(begin), Duration::from_secs(pause), "event {event}");
        pair.log_out();
    }
}

#[test]
fn events_that_ask_for_nothing_change_nothing() {
    for event in [0, 4, 5, 6, 255] {
        let target = target().build();
        let mut pair = Pair::ready(&target, &[]);
        let message = AsyncMessage {
            lun: [0; 8],
            numbers: NUMBERS,
            event,
            vendor_code: 0,
            parameters: [0; 3],
            data_segment_length: 0,
        };
        let pdu = Pdu::new(Response::AsyncMessage(message).emit(), vec![1; 20]);
        target.inject(Injection { pdu, numbering: Numbering::Status });
        pair.read(0, 0, 512).unwrap();
        assert_eq!(pair.isboot.last_error(), None);
        pair.log_out();
    }
}

#[test]
fn a_rejected_command_is_issued_again_in_a_new_session() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let mut once = true;
    target.on_request(move |_, pdu| {
        if pdu.header.opcode() != opcode::SCSI_COMMAND || !std::mem::take(&mut once) {
            return Handling::Proceed;
        }
        let reject =
            Reject { reason: 2, numbers: NUMBERS, data_sn_or_r2t_sn: 0, data_segment_length: 0 };
        let header = pdu.header.as_bytes().to_vec();
        let pdu = Pdu::new(Response::Reject(reject).emit(), header);
        Handling::Answer(vec![Injection { pdu, numbering: Numbering::Status }])
    });
    pair.write(0, 0, &[4; 512]).unwrap();
    assert_eq!(pair.isboot.last_error(), Some(Error::Rejected { reason: 2 }));
    assert_eq!(target.statistics().logins, 2);
    pair.log_out();
}

/// The only Data-In is lost; the Response's ExpDataSN tells.
#[test]
fn data_that_was_counted_and_never_came_renews_the_session() {
    let (target, mut pair) = damaging(opcode::DATA_IN, || Fate::Drop, 1);
    assert_eq!(pair.read(0, 0, 512).unwrap(), Random(5).bytes(8192)[..512]);
    assert!(matches!(pair.isboot.last_error(), Some(Error::PeerMisbehaved(_))));
    assert_eq!(target.statistics().logins, 2);
    pair.log_out();
}

// --- damage ---

/// A target with both digests that damages the `count` next PDUs of an opcode.
fn damaging(code: u8, fate: fn() -> Fate, count: u32) -> (Target, Pair) {
    let target = target().digests(DigestPolicy::Force).separate_status().times(0, 0).build();
    let mut pair = Pair::new(&target, &[("time2wait", "0")]);
    pair.become_ready();
    let data = Random(5).bytes(8192);
    target.write_lun(0, 0, &data).unwrap();
    let mut left = count;
    target.on_response(move |_, pdu| {
        if pdu.header.opcode() == code && left > 0 {
            left -= 1;
            return fate();
        }
        Fate::Send
    });
    (target, pair)
}

#[test]
fn damaged_read_data_is_read_again_in_the_same_session() {
    let (target, mut pair) = damaging(opcode::DATA_IN, || Fate::CorruptData, 3);
    assert_eq!(pair.read(0, 0, 8192).unwrap(), Random(5).bytes(8192));
    assert_eq!(target.statistics().command_count(0x28), 4);
    assert_eq!(target.statistics().logins, 1);
    assert_eq!(pair.isboot.last_error(), None);
    pair.log_out();
}

#[test]
fn read_data_that_is_always_damaged_is_an_error() {
    let (_, mut pair) = damaging(opcode::DATA_IN, || Fate::CorruptData, u32::MAX);
    let error = pair.read(0, 0, 8192).unwrap_err();
    assert_eq!(error, RequestError::Task(TaskError::RetriesExhausted));
}

#[test]
fn a_damaged_header_renews_the_session() {
    for code in [opcode::DATA_IN, opcode::SCSI_RESPONSE] {
        let (target, mut pair) = damaging(code, || Fate::CorruptHeader, 1);
        assert_eq!(pair.read(0, 0, 8192).unwrap(), Random(5).bytes(8192));
        assert_eq!(target.statistics().logins, 2);
        assert!(matches!(pair.isboot.last_error(), Some(Error::Frame(_))));
        pair.log_out();
    }
}

#[test]
fn damaged_sense_renews_the_session() {
    let (target, mut pair) = damaging(opcode::SCSI_RESPONSE, || Fate::CorruptData, 1);
    target.raise_unit_attention(0, 0x29, 0);
    assert_eq!(pair.read(0, 0, 512).unwrap(), Random(5).bytes(512));
    assert_eq!(target.statistics().logins, 2);
    assert_eq!(pair.isboot.last_error(), Some(Error::Frame(FrameError::DataDigest)));
    pair.log_out();
}

#[test]
fn damaged_data_that_brings_its_status_renews_the_session() {
    let target = target().digests(DigestPolicy::Force).build();
    let mut pair = Pair::ready(&target, &[]);
    let mut once = true;
    target.on_response(move |_, pdu| {
        let damage = pdu.header.opcode() == opcode::DATA_IN && std::mem::take(&mut once);
        if damage { Fate::CorruptData } else { Fate::Send }
    });
    assert_eq!(pair.read(0, 0, 512).unwrap(), [0; 512]);
    assert_eq!(target.statistics().logins, 2);
    assert_eq!(pair.isboot.last_error(), Some(Error::Frame(FrameError::DataDigest)));
    pair.log_out();
}

// --- random everything ---

/// Random requests in random pieces over a wire that breaks at random: every read sees what was
/// acknowledged before it was submitted, nothing is done twice, nothing hangs.
#[test]
fn random_workloads_over_a_random_wire_equal_a_model() {
    for seed in 0..150 {
        random_workload(seed);
    }
}

fn random_workload(seed: u64) {
    const BLOCKS: usize = 64;
    let mut random = Random(seed);
    let yes = |random: &mut Random| random.below(2) == 0;
    let digests =
        [DigestPolicy::Free, DigestPolicy::Force, DigestPolicy::Refuse][random.below(3) as usize];
    let window = 1 + random.below(12) as u32;
    let first_burst = 512 << random.below(5);
    let mut builder = target()
        .immediate_data(yes(&mut random))
        .initial_r2t(yes(&mut random))
        .digests(digests)
        .window(window)
        .first_burst_length(first_burst)
        .max_burst_length(first_burst.max(2048))
        .r2t_length(700 + random.below(4000) as u32)
        .max_outstanding_r2t(1 + random.below(4) as u32)
        .max_recv_data_segment_length(512 + random.below(3000) as u32)
        .initial_stat_sn(u32::MAX - 20)
        .times(0, 0);
    if yes(&mut random) {
        builder = builder.separate_status();
    }
    let target = builder.build();
    let parameters = [
        ("initial_r2t", "no"),
        ("max_outstanding_r2t", "4"),
        ("transfer_limit", "4096"),
        ("time2wait", "0"),
        ("ping_interval", "5"),
    ];
    let mut pair = Pair::new(&target, &parameters);
    pair.wire.split_at_random(1 + random.below(3000) as usize, seed);
    pair.wire.set_room(1 + random.below(5000) as usize);
    pair.become_ready();
    let mut model = vec![0u8; BLOCKS * 512];
    for round in 0..12 {
        if random.below(3) == 0 {
            let way = [Direction::ToTarget, Direction::ToInitiator][random.below(2) as usize];
            let at = pair.wire.carried(way) + random.below(20_000);
            let how = [Break::Reset, Break::Close, Break::Silence][random.below(3) as usize];
            pair.wire.break_after(way, at, how);
        }
        if random.below(4) == 0 {
            target.raise_unit_attention(0, 0x29, 0);
        }
        // Requests of one round touch blocks of their own: their order does not matter.
        let mut reads = HashMap::new();
        let mut at = 0;
        while at < BLOCKS {
            let count = (1 + random.below(16) as usize).min(BLOCKS - at);
            let place = at * 512..(at + count) * 512;
            match random.below(3) {
                0 => {
                    let data = random.bytes(count * 512);
                    pair.submit_write(0, at as u64, &data);
                    model[place].copy_from_slice(&data);
                }
                1 => {
                    let id = pair.submit_read(0, at as u64, count * 512);
                    reads.insert(id, model[place].to_vec());
                }
                _ => {}
            }
            at += count;
        }
        while pair.isboot.outstanding() > 0 {
            let finished = pair.finish_one();
            finished.outcome.unwrap_or_else(|error| panic!("seed {seed} round {round}: {error}"));
            if let Some(wanted) = reads.remove(&finished.id) {
                assert!(finished.buffer == Some(wanted), "seed {seed} round {round}");
            }
        }
    }
    assert!(target.read_lun(0, 0, BLOCKS * 512).unwrap() == model, "seed {seed}");
    assert_eq!(pair.isboot.state(), State::Ready);
    pair.wire.break_after(Direction::ToTarget, u64::MAX, Break::Reset);
    pair.log_out();
}
