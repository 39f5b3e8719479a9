//! The kernel's pieces that run anywhere, held to what they promise, on the host.

#![allow(clippy::multiple_unsafe_ops_per_block, reason = "one promise covers the calls of a test")]

#[allow(dead_code, reason = "the kernel uses more of it")]
#[path = "../src/command_line.rs"]
mod command_line;
#[path = "../src/bench/line.rs"]
mod line;
#[path = "../src/memory_functions.rs"]
mod memory_functions;
#[path = "../src/interrupt/patience.rs"]
mod patience;
#[path = "../src/pattern.rs"]
mod pattern;
#[path = "../src/bench/request.rs"]
mod request;

use std::time::Duration;

use command_line::CommandLine;
use line::{Line, Unreadable};
use patience::Patience;
use request::{Digests, NotUnderstood, Operation, Pattern, Request, Run};

fn words(line: &str) -> Vec<String> {
    CommandLine::parse(line.as_bytes()).words().map(String::from).collect()
}

#[test]
fn spaces_separate_words_and_quotes_keep_them() {
    assert_eq!(words("  image a=b\t isboot.help "), ["image", "a=b", "isboot.help"]);
    assert_eq!(words(r#"a="b c" "d e"=f"#), ["a=b c", "d e=f"]);
    assert_eq!(words(r#"a=\"b\\ c\ d"#), [r#"a="b\"#, "c d"]);
    assert_eq!(words(r#"a="" """#), ["a=", ""]);
    assert_eq!(words(""), [""; 0]);
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let line = CommandLine::parse(b"a=\xffb c");
    assert_eq!(line.words().collect::<Vec<_>>(), ["a=\u{fffd}b", "c"]);
}

#[test]
fn a_line_that_is_too_long_says_so_and_loses_whole_words() {
    let fits = "word ".repeat(400);
    assert!(!CommandLine::parse(fits.as_bytes()).is_cut());
    let long = "word ".repeat(500);
    let line = CommandLine::parse(long.as_bytes());
    assert!(line.is_cut());
    assert!(line.words().all(|word| word == "word"));
}

#[test]
fn the_pattern_is_splitmix64_and_the_same_from_any_offset() {
    let mut whole = [0; 64];
    pattern::fill(&mut whole, 0, 0);
    // The first outputs of splitmix64 from state 0, published with the generator, are those of
    // states advanced by its own increment; word 0 is the first of them.
    assert_eq!(whole[..8], 0xe220_a839_7b1d_cdaf_u64.to_le_bytes());
    let mut part = [0; 24];
    pattern::fill(&mut part, 0, 16);
    assert_eq!(part, whole[16..40]);
}

/// Lengths around every turn of the copy loops.
const LENGTHS: [usize; 16] = [0, 1, 3, 7, 8, 9, 15, 16, 63, 64, 65, 71, 72, 127, 128, 1460];

fn numbered(length: usize) -> Vec<u8> {
    (0..length).map(|index| (index * 7 + index / 251) as u8).collect()
}

#[test]
fn memcpy_copies_what_it_should_and_nothing_else() {
    for (length, skew) in LENGTHS.into_iter().flat_map(|length| (0..9).map(move |s| (length, s))) {
        let source = numbered(length + 32);
        let mut target = vec![0xee; length + 32];
        // SAFETY: both lie within their vectors.
        unsafe {
            memory_functions::memcpy(
                target.as_mut_ptr().add(16 - skew),
                source.as_ptr().add(skew),
                length,
            )
        };
        let mut expected = vec![0xee; length + 32];
        expected[16 - skew..][..length].copy_from_slice(&source[skew..][..length]);
        assert_eq!(target, expected, "{length} bytes, skew {skew}");
    }
}

#[test]
fn the_faster_way_to_copy_is_taken_and_copies_the_same() {
    use std::cell::Cell;
    // A clock by which one of the two takes ten times as long as the other.
    let clock = |odd: bool| {
        let calls = Cell::new(0_u64);
        move || {
            calls.set(calls.get() + 1);
            // Calls come in threes: before the moves, between, behind the string.
            match (calls.get() % 3, odd) {
                (1, _) => 0,
                (2, true) => 10,
                (2, false) => 1,
                (_, true) => 11,
                (_, false) => 11,
            }
        }
    };
    for string_is_faster in [true, false] {
        assert_eq!(memory_functions::choose(clock(string_is_faster)), string_is_faster);
        assert_eq!(memory_functions::way(), if string_is_faster { "string" } else { "moves" });
        for length in [1023, 1024, 1025, 4096 + 7] {
            let source = numbered(length + 16);
            let mut target = vec![0xee; length + 32];
            // SAFETY: both lie within their vectors.
            unsafe {
                memory_functions::memcpy(target.as_mut_ptr().add(5), source.as_ptr().add(3), length)
            };
            let mut expected = vec![0xee; length + 32];
            expected[5..][..length].copy_from_slice(&source[3..][..length]);
            assert_eq!(target, expected, "{length} bytes, string {string_is_faster}");
        }
    }
}

#[test]
fn memmove_copies_over_itself_in_both_directions() {
    for length in LENGTHS {
        for (from, to) in [(0, 0), (0, 1), (1, 0), (0, 8), (8, 0), (3, 67), (67, 3), (0, 63)] {
            let mut bytes = numbered(length + 128);
            let mut expected = bytes.clone();
            expected.copy_within(from..from + length, to);
            let start = bytes.as_mut_ptr();
            // SAFETY: both lie within the vector.
            unsafe { memory_functions::memmove(start.add(to), start.add(from), length) };
            assert_eq!(bytes, expected, "{length} bytes from {from} to {to}");
        }
    }
}

#[test]
fn memset_fills_what_it_should_and_nothing_else() {
    for length in LENGTHS {
        let mut bytes = vec![0xee; length + 32];
        // SAFETY: within the vector. Only the low byte of the value counts.
        unsafe { memory_functions::memset(bytes.as_mut_ptr().add(5), 0x1_5a, length) };
        let mut expected = vec![0xee; length + 32];
        expected[5..][..length].fill(0x5a);
        assert_eq!(bytes, expected, "{length} bytes");
    }
}

#[test]
fn memcmp_orders_by_the_first_difference() {
    for length in LENGTHS {
        let one = numbered(length);
        // SAFETY: within the vectors.
        let compare = |a: &[u8], b: &[u8]| unsafe {
            memory_functions::memcmp(a.as_ptr(), b.as_ptr(), length).signum()
        };
        assert_eq!(compare(&one, &one), 0);
        for place in 0..length {
            let mut other = one.clone();
            other[place] = one[place].wrapping_add(1);
            other[place + 1..].fill(0);
            assert_eq!(compare(&one, &other), one.cmp(&other) as i32, "{length}, {place}");
            assert_eq!(compare(&other, &one), other.cmp(&one) as i32, "{length}, {place}");
        }
    }
}

#[test]
fn bcmp_and_strlen_do_as_they_say() {
    // SAFETY: within the literals, the text ends with zero.
    unsafe {
        assert_eq!(memory_functions::bcmp(b"same".as_ptr(), b"same".as_ptr(), 4), 0);
        assert_ne!(memory_functions::bcmp(b"same".as_ptr(), b"sane".as_ptr(), 4), 0);
        assert_eq!(memory_functions::strlen(c"four".as_ptr().cast()), 4);
        assert_eq!(memory_functions::strlen(c"".as_ptr().cast()), 0);
    }
}

/// What comes of bytes on the serial port: each line's text, or why it is none.
fn lines(bytes: &[u8]) -> Vec<Result<String, Unreadable>> {
    let mut line = Line::default();
    bytes.iter().filter_map(|&byte| line.push(byte, |text| text.map(String::from))).collect()
}

#[test]
fn lines_end_with_cr_or_lf_and_empty_ones_are_none() {
    assert_eq!(lines(b"\r\n\n one\r\ntwo\rthr"), [Ok(" one".into()), Ok("two".into())]);
}

#[test]
fn a_line_without_end_or_sense_does_not_disturb_the_next() {
    let mut flood = vec![b'x'; 100_000];
    flood.extend(b"\nend\nend\xff\nend\n");
    assert_eq!(
        lines(&flood),
        [Err(Unreadable::TooLong), Ok("end".into()), Err(Unreadable::NoText), Ok("end".into())]
    );
    let longest = "y".repeat(200);
    assert_eq!(lines(format!("{longest}\n{longest}y\n").as_bytes())[0], Ok(longest));
}

const RUN: &str = "run read sequential disk=0 block=4096 depth=4 span=65536 milliseconds=500";

#[test]
fn a_load_is_what_its_line_says() {
    let expected = Run {
        operation: Operation::Read,
        pattern: Pattern::Sequential,
        disk: 0,
        block: 4096,
        depth: 4,
        span: 65536,
        limit: Duration::from_millis(500),
        count: u64::MAX,
        seed: None,
    };
    assert_eq!(Request::parse(RUN), Ok(Request::Run(expected)));
    let other = "run write random seed=18446744073709551615 milliseconds=60000 span=1048576 \
                 depth=32 block=1048576 disk=65535 count=3";
    let expected = Run {
        operation: Operation::Write,
        pattern: Pattern::Random,
        disk: u16::MAX,
        block: 1 << 20,
        depth: 32,
        span: 1 << 20,
        limit: Duration::from_secs(60),
        count: 3,
        seed: Some(u64::MAX),
    };
    assert_eq!(Request::parse(other), Ok(Request::Run(expected)));
    assert_eq!(Request::parse("digests both"), Ok(Request::Digests(Digests::Both)));
    assert_eq!(Request::parse(" end "), Ok(Request::End));
}

#[test]
fn a_hostile_line_asks_for_nothing() {
    use NotUnderstood::{Missing, NoRequest, Value, Word};
    for line in ["", " ", "stop", "end now", "digests", "digests crc", "digests both both", "run"] {
        assert_eq!(Request::parse(line), Err(NoRequest), "{line}");
    }
    for line in ["run erase sequential", "run read", "run read backwards", "RUN READ RANDOM"] {
        assert_eq!(Request::parse(line), Err(NoRequest), "{line}");
    }
    for (word, why) in [
        ("depth=4", Word),
        ("depth", Word),
        ("=4", Word),
        ("offset=0", Word),
        ("seed=-1", Value("seed")),
        ("seed=", Value("seed")),
        ("seed=18446744073709551616", Value("seed")),
    ] {
        assert_eq!(Request::parse(&format!("{RUN} {word}")), Err(why), "{word}");
    }
    for (from, to, why) in [
        ("disk=0 ", "", Missing("disk")),
        ("block=4096", "", Missing("block")),
        ("span=65536", "", Missing("span")),
        ("disk=0", "disk=65536", Value("disk")),
        ("block=4096", "block=0", Value("block")),
        ("block=4096", "block=4095", Value("block")),
        ("block=4096", "block=1049088", Value("block")),
        ("depth=4", "depth=0", Value("depth")),
        ("depth=4", "depth=33", Value("depth")),
        ("span=65536", "span=4095", Value("span")),
        ("milliseconds=500", "milliseconds=0", Value("milliseconds")),
        ("milliseconds=500", "milliseconds=60001", Value("milliseconds")),
        ("milliseconds=500", "milliseconds=1e3", Value("milliseconds")),
    ] {
        assert_eq!(Request::parse(&RUN.replace(from, to)), Err(why), "{to}");
    }
}

/// Looks each 10 µs, and a frame comes each `wait`; how often of all looks there is a sleep.
fn sleeps(patience: &mut Patience, start: Duration, frames: u64, wait: Duration) -> (u32, u32) {
    let (mut looks, mut sleeps) = (0, 0);
    for frame in 0..frames {
        let began = start + wait * u32::try_from(frame).unwrap();
        for step in 0..u32::try_from(wait.as_micros() / 10).unwrap() {
            looks += 1;
            let now = began + Duration::from_micros(10) * step;
            sleeps += u32::from(patience.is_over(now, start.as_micros() as u64 + frame, 1));
        }
    }
    (sleeps, looks)
}

#[test]
fn short_waits_are_looked_through_and_long_ones_slept_through() {
    let mut patience = Patience::default();
    let (short, long) = (Duration::from_micros(100), Duration::from_micros(400));
    let begin = Duration::from_secs(1);
    assert_eq!(sleeps(&mut patience, begin, 50, short).0, 0);
    // It learns within some waits, and is then asleep all of the time.
    sleeps(&mut patience, begin * 2, 20, long);
    let (slept, looks) = sleeps(&mut patience, begin * 3, 50, long);
    assert_eq!(slept, looks);
    // And back again.
    sleeps(&mut patience, begin * 4, 30, short);
    assert_eq!(sleeps(&mut patience, begin * 5, 50, short).0, 0);
}

#[test]
fn nobody_looks_on_for_ever_and_an_idle_hour_is_forgotten() {
    let mut patience = Patience::default();
    let begin = Duration::from_secs(1);
    assert!(!patience.is_over(begin, 1, 1));
    assert!(!patience.is_over(begin + Duration::from_micros(500), 1, 1));
    assert!(patience.is_over(begin + Duration::from_micros(501), 1, 1));
    let later = begin + Duration::from_secs(3600);
    assert!(patience.is_over(later, 1, 1));
    assert!(!patience.is_over(later, 2, 1), "one long wait is no rule");
    assert!(patience.is_over(later, 3, 16), "nobody waits for one of many");
}
