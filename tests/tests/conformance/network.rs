//! B-TP-15 to 20: what the network below a connection does.

use std::time::Duration;

use isboot_tests::faults::{Faults, Side};
use isboot_tests::frames::{
    forged, is_tcp, mend_ip_checksum, mend_tcp_checksum, payload, sequence,
};
use isboot_tests::pair::{MIB, Random, target};
use isboot_tests::segment::Segment;
use isboot_tests::target::Target;

fn prompt() -> Target {
    target().times(0, 20).build()
}

/// Everything that one LUN holds goes there and back.
fn whole_lun(target: &Target, segment: &mut Segment) {
    let data = Random(3).bytes(MIB as usize);
    segment.become_ready();
    segment.write_and_read(&data);
    assert!(target.read_lun(0, 0, data.len()).unwrap() == data, "the LUN holds what was written");
}

#[test]
fn b_tp_15_loss_reordering_and_duplicates_cost_time_and_nothing_else() {
    for faults in [
        Faults { lost: 5, ..Faults::default() },
        Faults { late: 5, ..Faults::default() },
        Faults { doubled: 5, ..Faults::default() },
        Faults { lost: 5, late: 5, doubled: 5, ..Faults::default() },
    ] {
        let target = prompt();
        let mut segment = Segment::new(&target, &[], faults.clone());
        whole_lun(&target, &mut segment);
        assert_eq!(segment.isboot.last_error(), None, "{faults:?}");
        assert_eq!(target.statistics().connections, 1, "{faults:?}");
        assert_eq!(target.violations(), [], "{faults:?}");
    }
}

#[test]
fn b_tp_16_a_round_trip_of_half_a_second_is_within_every_limit() {
    let faults = Faults { delay: Duration::from_millis(250), ..Faults::default() };
    let target = prompt();
    let mut segment = Segment::new(&target, &[], faults);
    whole_lun(&target, &mut segment);
    // Idle for a while: pings come back in time as well.
    segment.pass(Duration::from_secs(60));
    segment.write_and_read(&[7; 4096]);
    assert_eq!(segment.isboot.last_error(), None);
    assert_eq!(target.statistics().connections, 1);
}

#[test]
fn b_tp_17_small_packets_and_fragments_are_borne() {
    for mtu in [576, 1280] {
        let faults = Faults { mtu, ..Faults::default() };
        let target = prompt();
        let mut segment = Segment::new(&target, &[], faults);
        segment.become_ready();
        // The first and the last part of an IPv4 packet that somebody cut.
        let whole = segment.sent(Side::Target).into_iter().rfind(|frame| is_tcp(frame)).unwrap();
        for (more, offset) in [(0x20, 0), (0, 3)] {
            let mut fragment = whole.clone();
            (fragment[20], fragment[21]) = (more, offset);
            mend_ip_checksum(&mut fragment);
            segment.inject(Side::Initiator, fragment);
        }
        whole_lun(&target, &mut segment);
        let longest = segment.sent(Side::Initiator).iter().map(Vec::len).max().unwrap();
        assert!(longest <= mtu + 14, "{mtu}: {longest}");
        assert_eq!(segment.isboot.last_error(), None, "{mtu}");
    }
}

#[test]
fn b_tp_18_what_an_earlier_connection_left_behind_is_ignored() {
    let target = prompt();
    let mut segment = Segment::new(&target, &[], Faults::default());
    whole_lun(&target, &mut segment);
    let old: Vec<Vec<u8>> =
        segment.sent(Side::Target).into_iter().filter(|frame| is_tcp(frame)).collect();
    let mut begins = vec![first_syn(&segment.sent(Side::Initiator))];
    for _ in 0..4 {
        let before = segment.sent(Side::Initiator).len();
        target.on_response(|_, _| isboot_tests::target::Fate::CutAfter(0));
        target.ping(&[]);
        segment.pass(Duration::from_millis(100));
        target.clear_hooks();
        segment.pass(Duration::from_secs(6));
        begins.push(first_syn(&segment.sent(Side::Initiator)[before..]));
        // SYN/ACK, data and all.
        for frame in old.iter().take(40) {
            segment.inject(Side::Initiator, frame.clone());
        }
        segment.write_and_read(&Random(9).bytes(65_536));
    }
    assert_eq!(target.statistics().connections, 5);
    let (mut ports, mut numbers): (Vec<u16>, Vec<u32>) = begins.into_iter().unzip();
    let steps: Vec<u32> = numbers.windows(2).map(|two| two[1].wrapping_sub(two[0])).collect();
    assert!(steps.windows(2).all(|two| two[0] != two[1]), "they cannot be told: {steps:?}");
    ports.sort_unstable();
    ports.dedup();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!((ports.len(), numbers.len()), (5, 5), "fresh each time");
}

/// Resets and data that somebody guesses, all over the sequence space but at the exact number.
#[test]
fn b_tp_19_a_blind_attacker_ends_nothing() {
    let target = prompt();
    let mut segment = Segment::new(&target, &[], Faults::default());
    whole_lun(&target, &mut segment);
    // Outside the window of 256 KiB, near and far.
    for distance in [
        1 << 31,
        (1 << 31) - 1,
        (1 << 31) + 1,
        1 << 30,
        3 << 30,
        300_000,
        u32::MAX - 10,
        u32::MAX - 100_000,
    ] {
        for (flags, data) in [(0x04, &b""[..]), (0x18, b"evil"), (0x02, b"")] {
            let (last, next) = latest(&mut segment);
            segment
                .inject(Side::Initiator, forged(&last, next.wrapping_add(distance), flags, data));
            segment.write_and_read(&Random(11).bytes(65_536));
        }
    }
    // At the exact number, but from another address.
    let (last, next) = latest(&mut segment);
    let mut foreign = forged(&last, next, 0x04, &[]);
    foreign[29] = 99;
    mend_ip_checksum(&mut foreign);
    mend_tcp_checksum(&mut foreign);
    segment.inject(Side::Initiator, foreign);
    segment.pass(Duration::from_millis(10));
    segment.write_and_read(&Random(11).bytes(65_536));
    assert_eq!(segment.isboot.last_error(), None);
    assert_eq!(target.statistics().connections, 1);

    for distance in [1, 1000, 100_000] {
        let (last, next) = latest(&mut segment);
        segment.inject(Side::Initiator, forged(&last, next + distance, 0x04, &[]));
        segment.write_and_read(&Random(11).bytes(65_536));
    }
    assert_eq!(segment.isboot.last_error(), None, "in the window is not enough");

    // The exact one is a reset like any other: the session comes back.
    let (last, next) = latest(&mut segment);
    segment.inject(Side::Initiator, forged(&last, next, 0x14, &[]));
    segment.pass(Duration::from_secs(3));
    segment.write_and_read(&Random(12).bytes(65_536));
    assert_eq!(target.statistics().connections, 2);
}

/// The target's last segment, once all is quiet, and the sequence number that follows it.
fn latest(segment: &mut Segment) -> (Vec<u8>, u32) {
    segment.pass(Duration::from_millis(100));
    let last = segment.sent(Side::Target).into_iter().rfind(|frame| is_tcp(frame)).unwrap();
    let next = sequence(&last).wrapping_add(payload(&last) as u32);
    (last, next)
}

/// Another machine took over the target's address, and says nothing of it.
#[test]
fn b_tp_20_a_target_that_moved_to_another_interface_is_found_again() {
    let target = prompt();
    let mut segment = Segment::new(&target, &[], Faults::default());
    segment.become_ready();
    segment.change_target_mac([0x52, 0x55, 0x0a, 0, 2, 9]);
    let before = segment.now();
    segment.write_and_read(&Random(13).bytes(65_536));
    let took = segment.now() - before;
    assert!(took <= Duration::from_secs(90), "{took:?}");
    assert_eq!(target.read_lun(0, 0, 65_536).unwrap(), Random(13).bytes(65_536));
}

/// Port and sequence number of the first SYN.
fn first_syn(frames: &[Vec<u8>]) -> (u16, u32) {
    let syn = frames.iter().find(|frame| is_tcp(frame) && frame[47] & 2 != 0).unwrap();
    (u16::from_be_bytes([syn[34], syn[35]]), sequence(syn))
}
