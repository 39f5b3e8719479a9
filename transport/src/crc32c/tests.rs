use std::cell::Cell;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// Bit by bit, as the polynomial says: shares nothing with what is tested.
fn bitwise(crc: u32, bytes: &[u8]) -> u32 {
    let mut state = !crc;
    for byte in bytes {
        state ^= u32::from(*byte);
        for _ in 0..8 {
            state = if state & 1 == 1 { (state >> 1) ^ 0x82f6_3b78 } else { state >> 1 };
        }
    }
    !state
}

/// Says so where there is nothing to test: no processor of the last fifteen years.
fn instruction() -> Function {
    processor().expect("this processor has no CRC32C instruction: these tests need one")
}

fn noise(length: usize) -> Vec<u8> {
    (0..length as u32).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect()
}

/// RFC 3720 B.4, which RFC 7143 A.4 repeats.
#[test]
fn vectors_of_the_standard() {
    let rising: Vec<u8> = (0..32).collect();
    let falling: Vec<u8> = (0..32).rev().collect();
    let scsi_read: [u8; 48] = [
        0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0,
        0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
    ];
    let vectors: [(&[u8], [u8; 4]); 6] = [
        (&[0; 32], [0xaa, 0x36, 0x91, 0x8a]),
        (&[0xff; 32], [0x43, 0xab, 0xa8, 0x62]),
        (&rising, [0x4e, 0x79, 0xdd, 0x46]),
        (&falling, [0x5c, 0xdb, 0x3f, 0x11]),
        (&scsi_read, [0x56, 0x3a, 0x96, 0xd9]),
        (b"123456789", [0x83, 0x92, 0x06, 0xe3]),
    ];
    for (bytes, digest) in vectors {
        assert_eq!(instruction()(0, bytes).to_le_bytes(), digest, "{bytes:02x?}");
        assert_eq!(bitwise(0, bytes).to_le_bytes(), digest, "{bytes:02x?}");
    }
}

/// Every way to cut a length into streams, at every place of a word.
#[test]
fn every_length_at_every_alignment() {
    let bytes = noise(1100 + 16);
    for start in 0..16 {
        let mut expected = 0;
        for length in 0..=1100 {
            let piece = &bytes[start..start + length];
            assert_eq!(instruction()(0, piece), expected, "{length} bytes from {start}");
            expected = bitwise(expected, &bytes[start + length..=start + length]);
        }
    }
}

/// Lengths around each number of longest streams.
#[test]
fn long_lengths() {
    let bytes = noise(70_000);
    for length in (1..=17).flat_map(|blocks| 4080 * blocks - 30..=4080 * blocks + 30) {
        let piece = &bytes[..length];
        assert_eq!(instruction()(7, piece), bitwise(7, piece), "{length}");
    }
}

proptest! {
    #[test]
    fn any_bytes_continued_from_any_crc(
        bytes in prop::collection::vec(any::<u8>(), 0..9000),
        crc: u32,
    ) {
        prop_assert_eq!(instruction()(crc, &bytes), bitwise(crc, &bytes));
    }

    #[test]
    fn fragments_sum_up_to_the_whole(
        bytes in prop::collection::vec(any::<u8>(), 0..20_000),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(bytes.len());
        let (mut start, mut crc) = (0, 0);
        for end in cuts {
            crc = instruction()(crc, &bytes[start..end]);
            start = end;
        }
        prop_assert_eq!(crc, bitwise(0, &bytes));
    }
}

// The choice, with functions that take as long on a clock of the test's own as the test says.

std::thread_local! {
    static NANOSECONDS: Cell<u64> = const { Cell::new(0) };
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

fn takes<const NANOSECONDS_EACH: u64>(crc: u32, bytes: &[u8]) -> u32 {
    NANOSECONDS.set(NANOSECONDS.get() + NANOSECONDS_EACH);
    CALLS.set(CALLS.get() + 1);
    bitwise(crc, bytes)
}

fn exact() -> Duration {
    Duration::from_nanos(NANOSECONDS.get())
}

/// Counts whole milliseconds, as a timer interrupt does.
fn coarse() -> Duration {
    Duration::from_millis(NANOSECONDS.get() / 1_000_000)
}

const SLOW: Function = takes::<20_000>;
const MIDDLING: Function = takes::<3_000>;
const FAST: Function = takes::<100>;

#[track_caller]
fn assert_same(chosen: Function, expected: Function) {
    assert!(core::ptr::fn_addr_eq(chosen, expected));
}

#[test]
fn the_faster_one_is_chosen_whichever_it_is() {
    assert_same(choose(MIDDLING, FAST, exact), FAST);
    assert_same(choose(MIDDLING, SLOW, exact), MIDDLING);
}

#[test]
fn an_emulated_instruction_costs_little_to_find_out() {
    choose(MIDDLING, SLOW, exact);
    assert!(exact() < Duration::from_micros(200), "{:?}", exact());
}

#[test]
fn a_coarse_clock_gets_more_work_and_a_stopped_one_ends_too() {
    assert_same(choose(SLOW, MIDDLING, coarse), MIDDLING);
    let calls = CALLS.get();
    assert_same(choose(FAST, SLOW, || Duration::ZERO), SLOW);
    assert!(CALLS.get() - calls < 1000, "{}", CALLS.get());
}

/// Interrupts and other guests only ever make a time longer.
#[test]
fn one_long_pause_does_not_decide() {
    let reads = Cell::new(0);
    let disturbed = || {
        reads.set(reads.get() + 1);
        if reads.get() == 4 {
            NANOSECONDS.set(NANOSECONDS.get() + 5_000_000);
        }
        exact()
    };
    assert_same(choose(MIDDLING, FAST, disturbed), FAST);
}

#[test]
fn an_instruction_that_computes_something_else_is_not_used() {
    fn wrong_by_a_bit(crc: u32, bytes: &[u8]) -> u32 {
        bitwise(crc, bytes) ^ u32::from(bytes.len() == 7)
    }
    assert_same(choose(SLOW, wrong_by_a_bit, exact), SLOW);
}

#[test]
fn where_it_is_fast_it_is_what_is_used_here() {
    let start = std::time::Instant::now();
    let chosen = fastest(bitwise, || start.elapsed());
    assert_same(chosen, instruction());
}
