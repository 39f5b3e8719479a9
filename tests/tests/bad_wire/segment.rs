//! Both ends on stacks of their own, virtual time.

use std::time::Duration;

use isboot::disk::DiskId;
use isboot::session::{Error, LinkFailure};
use isboot_tests::faults::{Capacity, Faults, Side};
use isboot_tests::pair::{MIB, Random};
use isboot_tests::segment::Segment;
use isboot_tests::target::{Lun, Target};

const LUN: u64 = 2 * MIB;
const DIGESTS: [(&str, &str); 2] = [("header_digest", "crc32c"), ("data_digest", "crc32c")];
const NO_DIGESTS: [(&str, &str); 2] = [("header_digest", "none"), ("data_digest", "none")];

fn target() -> Target {
    Target::builder("iqn.2001-04.com.example:disks").lun(Lun::memory(LUN)).times(0, 20).build()
}

/// Everything that the LUN holds goes there and back, twice, and is there in the end.
fn whole_lun(parameters: &[(&str, &str)], faults: &Faults) -> (Target, Segment) {
    let target = target();
    let mut segment = Segment::new(&target, parameters, faults.clone());
    segment.become_ready();
    for seed in [3, 4] {
        let data = Random(seed).bytes(LUN as usize);
        segment.write_and_read(&data);
        assert!(target.read_lun(0, 0, data.len()).unwrap() == data, "{faults:?}");
    }
    // What the network made of a PDU is not the initiator's fault.
    assert!(faults.falsified > 0 || target.violations().is_empty(), "{faults:?}");
    (target, segment)
}

#[test]
fn whatever_is_lost_the_lun_is_right() {
    for lost in [0, 1, 5, 10, 30] {
        for (late, doubled) in [(0, 0), (10, 0), (0, 10), (10, 10)] {
            let faults = Faults {
                lost,
                late,
                doubled,
                capacity: Some(Capacity::GIGABIT),
                ..Faults::default()
            };
            whole_lun(&[], &faults);
        }
    }
}

/// The next question takes the acknowledgement of the answer before along.
#[test]
fn one_read_at_a_time_sends_one_frame_each() {
    const READS: usize = 100;
    let target = target();
    let mut segment = Segment::new(&target, &NO_DIGESTS, Faults::default());
    segment.become_ready();
    // What the examination of the units left behind is through.
    segment.pass(Duration::from_secs(1));
    let before = segment.sent(Side::Initiator).len();
    let mut left = READS;
    segment.run_until("reads", |isboot| {
        if let Some(finished) = isboot.take_completion() {
            assert_eq!(finished.outcome, Ok(()));
            left -= 1;
        }
        if isboot.outstanding() == 0 && left > 0 {
            isboot.submit_read(DiskId(0), 8, vec![0; 8192]).unwrap();
        }
        left == 0
    });
    let sent = segment.sent(Side::Initiator).len() - before;
    assert!((READS..READS + READS / 10).contains(&sent), "{sent} frames for {READS} reads");
    // And the last of them is acknowledged though nothing follows it.
    segment.pass(Duration::from_millis(1));
    assert_eq!(segment.sent(Side::Initiator).len(), before + sent + 1);
}

/// The target's stack is smoltcp as it comes: only what we send is lost here.
#[test]
fn one_lost_frame_of_a_hundred_costs_a_tenth_of_the_throughput() {
    let time = |lost| {
        let only_from = Some(Side::Initiator);
        let capacity = Some(Capacity::GIGABIT);
        let (_, mut segment) =
            whole_lun(&[], &Faults { lost, only_from, capacity, ..Faults::default() });
        segment.write(&Random(5).bytes(LUN as usize))
    };
    let (whole, lossy) = (time(0), time(1));
    assert!(lossy < whole * 5 / 4, "{whole:?}, {lossy:?}");
}

/// A port with room for a third of what we could send at once: it is not flooded.
#[test]
fn a_small_switch_is_not_flooded() {
    let capacity = Some(Capacity { queue: 16, ..Capacity::GIGABIT });
    let target = target();
    let mut segment = Segment::new(&target, &[], Faults { capacity, ..Faults::default() });
    segment.become_ready();
    let dropped = segment.harmed();
    let sent = segment.sent(Side::Initiator).len();
    let mut took = Duration::ZERO;
    for seed in 0..8 {
        took += segment.write(&Random(seed).bytes(LUN as usize));
    }
    let dropped = (segment.harmed() - dropped) as usize;
    let sent = segment.sent(Side::Initiator).len() - sent;
    assert!(dropped * 20 < sent, "{dropped} of {sent} frames");
    // 16 MiB at a gigabit take an eighth of a second.
    assert!(took < Duration::from_millis(500), "{took:?}");
}

/// A sum that does not hold is a lost frame, and nothing worse.
#[test]
fn bits_that_turn_over_on_the_way_cost_time() {
    for flipped in [1, 10] {
        let (target, segment) = whole_lun(&NO_DIGESTS, &Faults { flipped, ..Faults::default() });
        assert!(segment.harmed() > 30);
        if flipped == 1 {
            assert_eq!(segment.isboot.last_error(), None);
            assert_eq!(target.statistics().connections, 1);
        }
    }
}

/// Every sum of the network holds, and the data are wrong: the digests alone tell.
#[test]
fn digests_find_what_no_checksum_tells() {
    for from in [Side::Initiator, Side::Target] {
        let faults = Faults { falsified: 1, only_from: Some(from), ..Faults::default() };
        let (target, segment) = whole_lun(&DIGESTS, &faults);
        assert!(segment.harmed() > 10, "{from:?}: {}", segment.harmed());
        if from == Side::Initiator {
            assert!(target.statistics().connections > 1, "the target rejects or leaves");
        }
    }
}

/// What digests are worth: without them the same fault is silent corruption.
#[test]
fn without_digests_what_no_checksum_tells_is_believed() {
    let target = target();
    let mut segment = Segment::new(&target, &NO_DIGESTS, Faults::default());
    segment.become_ready();
    let data = Random(3).bytes(LUN as usize);
    segment.write(&data);
    // One bit of one frame, in the midst of data.
    segment.set_faults(Faults { falsified: 1, only_from: Some(Side::Target), ..Faults::default() });
    let mut attempts = 0;
    let wrong = loop {
        attempts += 1;
        assert!(attempts < 20, "some bit of the data, not of a header, is turned over");
        let (seen, _) = segment.read_back(data.len());
        if seen != data {
            break seen.iter().zip(&data).filter(|(seen, sent)| seen != sent).count();
        }
    };
    assert!(wrong > 0);
    assert!(target.read_lun(0, 0, data.len()).unwrap() == data);
}

/// The plug is out for a while, in the midst of reads and of writes.
#[test]
fn a_plug_that_is_pulled_costs_as_long_as_it_is_out() {
    // Longer than the user timeout means a new connection.
    for (seconds, error) in [(1, None), (30, Some(Error::Link(LinkFailure::Unreachable)))] {
        for is_write in [true, false] {
            let target = target();
            let capacity = Some(Capacity::GIGABIT);
            let mut segment =
                Segment::new(&target, &DIGESTS, Faults { capacity, ..Faults::default() });
            segment.become_ready();
            let data = Random(6).bytes(LUN as usize);
            segment.write(&data);
            segment.unplug_in(Duration::from_millis(5), Duration::from_secs(seconds));
            let took = if is_write {
                segment.write(&Random(7).bytes(LUN as usize))
            } else {
                segment.read(&data)
            };
            let left = took - Duration::from_secs(seconds);
            assert!(left < Duration::from_secs(5), "{seconds} s, write: {is_write}: {left:?}");
            assert_eq!(segment.isboot.last_error(), error, "{seconds} s, write: {is_write}");
            let held = if is_write { Random(7).bytes(LUN as usize) } else { data };
            segment.read(&held);
            assert!(target.read_lun(0, 0, held.len()).unwrap() == held);
        }
    }
}
