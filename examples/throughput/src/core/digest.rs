//! CRC32C: by the processor's instruction, by plain arithmetic, as feature `std` has it; and what the
//! memory allows, as the time that copying the same bytes takes.

use std::hint::black_box;
use std::time::Instant;

use isboot::pdu::digest::{Crc32cFunction, portable};
use isboot::time;

use super::Effort;
use crate::measurement::{Measurement, Quantity, Section};
use crate::progress::Tell;
use crate::sample::Series;
use crate::targets::names;

/// Bytes that are summed up at a time: a header, a block, a page, data segments, a large request.
pub const LENGTHS: [usize; 7] = [48, 512, 1460, 4096, 8192, 65_536, 1 << 20];

/// How a length is named in the setting of a figure.
pub fn setting(length: usize) -> String {
    match length {
        _ if length.is_multiple_of(1 << 20) => format!("CRC32C {} MiB", length >> 20),
        _ if length.is_multiple_of(1024) => format!("CRC32C {} KiB", length >> 10),
        _ => format!("CRC32C {length} B"),
    }
}

/// The names of those that are measured.
pub const CONTENDERS: [&str; 4] = [names::ISBOOT, "isboot, portable", "isboot, std", "memcpy"];

/// The function that a hosting kernel would be given here.
pub fn fastest() -> Crc32cFunction {
    let start = Instant::now();
    Crc32cFunction::fastest(|| time::Instant::ZERO.after(start.elapsed()))
}

/// What computing the CRC32C of 10⁹ bytes takes on a host, from the cache: the least of a few times.
#[must_use]
pub fn seconds_per_gigabyte() -> f64 {
    const TIMES: usize = 100;
    let Crc32cFunction(ours) = Crc32cFunction::default();
    let source = vec![0x5a; 64 << 10];
    let seconds = (0..TIMES).map(|_| {
        let began = Instant::now();
        black_box(ours(0, black_box(&source)));
        began.elapsed().as_secs_f64()
    });
    seconds.fold(f64::INFINITY, f64::min) * 1e9 / source.len() as f64
}

/// All of them at all lengths, in turns.
pub fn measure(effort: Effort, tell: Tell<'_>) -> Vec<Measurement> {
    let Crc32cFunction(ours) = fastest();
    let Crc32cFunction(of_std) = Crc32cFunction::default();
    let mut target = vec![0; 1 << 20];
    let mut all = Vec::new();
    for length in LENGTHS {
        tell(&format!("core: {}", setting(length)));
        // One more than a line of the cache: a data segment begins anywhere.
        let source: Vec<u8> = (0..length + 65).map(|at| (at * 7) as u8).collect();
        let source = &source[65..];
        let mut series = [const { Vec::new() }; CONTENDERS.len()];
        for round in 0..effort.rounds {
            for turn in 0..CONTENDERS.len() {
                let who = (turn + round) % CONTENDERS.len();
                let sum = |function: fn(u32, &[u8]) -> u32| {
                    bytes_per_second(effort, length, &mut || {
                        black_box(function(0, black_box(source)));
                    })
                };
                series[who].push(match who {
                    0 => sum(ours),
                    1 => sum(portable),
                    2 => sum(of_std),
                    _ => bytes_per_second(effort, length, &mut || {
                        black_box(&mut target)[..length].copy_from_slice(black_box(source));
                    }),
                });
            }
        }
        all.extend(CONTENDERS.into_iter().zip(series).map(|(contender, series)| Measurement {
            section: Section::Core,
            setting: setting(length),
            contender: contender.to_owned(),
            workload: None,
            quantity: Quantity::Throughput,
            series: Series(series),
        }));
    }
    all
}

/// How fast `work` goes through `length` bytes each time.
fn bytes_per_second(effort: Effort, length: usize, work: &mut dyn FnMut()) -> f64 {
    let times = (256 << 10) / length + 1;
    let mut run = || (0..times).for_each(|_| work());
    run();
    let (start, mut bytes) = (Instant::now(), 0);
    while start.elapsed() < effort.limit {
        run();
        bytes += times * length;
    }
    bytes as f64 / start.elapsed().as_secs_f64()
}
