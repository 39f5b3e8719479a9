//! The fuzzer's script runner over scripts made at random, for those who have no fuzzer at hand.

use isboot_exercise::noise::Noise;
use isboot_exercise::session::{Tally, session};

#[test]
fn a_session_keeps_its_promises_whatever_comes() {
    let mut all = Tally::default();
    for seed in 0..20_000 {
        let one = session(&script(seed));
        all.logins += one.logins;
        all.reads += one.reads;
        all.writes += one.writes;
        all.statuses += one.statuses;
        all.failures += one.failures;
        all.losses += one.losses;
        all.managed += one.managed;
    }
    println!("{all:?}");
    for count in [all.logins, all.reads, all.writes, all.statuses, all.failures, all.losses] {
        assert!(count > 2_000, "{all:?}");
    }
    assert!(all.managed > 200, "{all:?}");
}

/// Mostly a login and commands that are answered well; now and then anything.
fn script(seed: u64) -> Vec<u8> {
    const USUAL: [u8; 16] = [4, 4, 4, 3, 3, 3, 12, 12, 12, 12, 12, 12, 2, 8, 9, 14];
    let mut random = Noise(seed);
    if seed.is_multiple_of(8) {
        let length = random.below(400);
        return (0..length).map(|_| random.bits() as u8).collect();
    }
    let mut script = vec![11 | (seed as u8) << 4];
    for _ in 0..random.below(80) {
        let operation = match random.below(60) {
            0 => random.below(16) as u8,
            1 => 11,
            _ => USUAL[random.below(16)],
        };
        script.push(operation | (random.below(16) as u8) << 4);
        // As many bytes as each of these takes at least.
        let count = match operation {
            1 | 2 | 8 | 12 | 13 => 1,
            4 | 14 | 15 => 2,
            _ => 0,
        };
        script.extend((0..count).map(|_| random.bits() as u8));
    }
    script
}
