//! Megabytes a second under loss, for docs/wire.md:
//! `cargo test --release -p isboot-tests --test bad_wire -- --ignored --nocapture measure`.

use std::time::{Duration, Instant};

use isboot::disk::DiskId;
use isboot_tests::faults::{Capacity, Faults, Side};
use isboot_tests::pair::{MIB, Random};
use isboot_tests::scratch::noise;
use isboot_tests::segment::Segment;
use isboot_tests::target::{Lun, Target};

use crate::real::{Kernel, with_rig};

/// Where the target is, and how good the way there.
fn gigabit(lost: u64, delay: Duration) -> Faults {
    let only_from = Some(Side::Initiator);
    Faults { delay, lost, only_from, capacity: Some(Capacity::GIGABIT), ..Faults::default() }
}

fn rate(bytes: usize, time: Duration) -> f64 {
    bytes as f64 / time.as_secs_f64() / 1e6
}

/// Both ends on smoltcp, virtual time: writes show our sender, reads the target's.
#[test]
#[ignore = "a measurement"]
fn measure_both_ends_on_smoltcp() {
    let heads = ["lost", "one way", "cut", "write MB/s", "read MB/s"];
    println!("{:>6} {:>8} {:>6} {:>12} {:>12}", heads[0], heads[1], heads[2], heads[3], heads[4]);
    for delay in [50, 500, 5000].map(Duration::from_micros) {
        for (lost, cuts) in [0, 1, 5, 10].into_iter().flat_map(|lost| [(lost, false), (lost, true)])
        {
            let target = Target::builder("iqn.2001-04.com.example:disks")
                .lun(Lun::memory(16 * MIB))
                .times(0, 20)
                .build();
            let mut segment = Segment::new(&target, &[], Faults { cuts, ..gigabit(lost, delay) });
            segment.become_ready();
            let data = Random(3).bytes(16 * MIB as usize);
            let (write, read) = (segment.write(&data), segment.read(&data));
            println!(
                "{lost:>4} % {delay:>8?} {cuts:>6} {:>12.2} {:>12.2}  {:?}",
                rate(data.len(), write),
                rate(data.len(), read),
                segment.isboot.last_error()
            );
        }
    }
}

/// Against Linux and istgt, real time.
#[test]
#[ignore = "a measurement"]
fn measure_against_linux_and_istgt() {
    const LENGTH: usize = 32 << 20;
    println!("{:>6} {:>12} {:>12}", "lost", "write MB/s", "read MB/s");
    // Of what Linux waits for, seconds are enough.
    for (lost, left) in [(0, LENGTH), (1, LENGTH), (5, LENGTH / 16), (10, LENGTH / 32)] {
        let faults = Faults { lost, delay: Duration::from_micros(50), ..Faults::default() };
        with_rig(LENGTH, &[], &faults, Kernel::Usual, |rig| {
            let data = noise(2, LENGTH);
            let begin = Instant::now();
            rig.host.write(DiskId(0), 0, &data[..left], 64 * 1024, 8).unwrap();
            let write = begin.elapsed();
            let begin = Instant::now();
            rig.host.read(DiskId(0), 0, left, 64 * 1024, 8).unwrap();
            let read = begin.elapsed();
            println!(
                "{lost:>4} % {:>12.2} {:>12.2}  {:?}",
                rate(left, write),
                rate(left, read),
                rig.host.isboot().last_error()
            );
        });
    }
}

/// A switch port that is slower than ours, or one with a small buffer: what the writes reach, and
/// how many frames it had to drop for that.
#[test]
#[ignore = "a measurement"]
fn measure_a_narrow_way() {
    println!(
        "{:>12} {:>6} {:>8} {:>6} {:>12} {:>10} {:>10}",
        "bit/s", "queue", "one way", "lost", "write MB/s", "sent", "dropped"
    );
    for (rate_of_it, queue) in
        [(1_000_000_000, 128), (1_000_000_000, 16), (100_000_000, 128), (100_000_000, 16)]
    {
        for delay in [50, 2000].map(Duration::from_micros) {
            for lost in [0, 1] {
                let capacity = Some(Capacity { rate: rate_of_it, queue });
                let faults = Faults {
                    delay,
                    lost,
                    capacity,
                    only_from: Some(Side::Initiator),
                    ..Faults::default()
                };
                let target = Target::builder("iqn.2001-04.com.example:disks")
                    .lun(Lun::memory(16 * MIB))
                    .times(0, 20)
                    .build();
                let mut segment = Segment::new(&target, &[], faults);
                segment.become_ready();
                let data = Random(3).bytes(16 * MIB as usize);
                let (sent, dropped) = (segment.sent(Side::Initiator).len(), segment.harmed());
                let write = segment.write(&data);
                println!(
                    "{rate_of_it:>12} {queue:>6} {delay:>8?} {lost:>4} % {:>12.2} {:>10} {:>10}",
                    rate(data.len(), write),
                    segment.sent(Side::Initiator).len() - sent,
                    segment.harmed() - dropped
                );
            }
        }
    }
}
