//! How long commands take, and how fast data goes, when only the initiator works.

use std::time::{Duration, Instant};

use super::Effort;
use super::case::{Case, MSS, Recording};
use super::digest::fastest;
use crate::measurement::{Measurement, Quantity, Section};
use crate::progress::Tell;
use crate::sample::Series;
use crate::workload::{Digests, Workload};

const READ_4K: Workload = Workload::read(4096, 1);
const READ_256K: Workload = Workload::read(256 << 10, 1);

/// What is measured.
pub const CASES: [Case; 11] = [
    Case::new("read 4 KiB", READ_4K),
    Case::new("read 4 KiB, depth 32", Workload::read(4096, 32)),
    Case::new("read 4 KiB, both digests", READ_4K.with(Digests::Both)),
    Case::new("write 4 KiB", Workload::write(4096, 1)),
    Case::new("read 256 KiB", READ_256K),
    Case::new("read 256 KiB, both digests", READ_256K.with(Digests::Both)),
    Case::new("read 256 KiB, PDUs of 8 KiB", READ_256K).segment(8192),
    Case::new("read 256 KiB, PDUs of 8 KiB, both digests", READ_256K.with(Digests::Both))
        .segment(8192),
    Case::new("read 256 KiB, cut at segments", READ_256K).cut(MSS),
    Case::new("read 256 KiB, cut at segments, both digests", READ_256K.with(Digests::Both))
        .cut(MSS),
    Case::new("write 256 KiB, both digests", Workload::write(256 << 10, 1).with(Digests::Both)),
];

/// Every case, in turns.
pub fn measure(effort: Effort, tell: Tell<'_>) -> Vec<Measurement> {
    tell("core: a target speaks onto tapes");
    let recordings = CASES.map(record);
    let names = CASES.map(|case| (Section::Core, case.name.to_owned(), case.workload));
    take(effort, tell, &names, &recordings)
}

/// A tape with as many commands as stay in the caches.
pub(super) fn record(case: Case) -> Recording {
    let block = case.workload.block as usize;
    let commands = ((1 << 20) / block).clamp(usize::from(case.workload.depth), 256);
    case.record(commands, fastest())
}

/// Times what is on tape, in turns.
pub(super) fn take(
    effort: Effort,
    tell: Tell<'_>,
    names: &[(Section, String, Workload)],
    recordings: &[Recording],
) -> Vec<Measurement> {
    let mut nanoseconds = vec![Vec::new(); recordings.len()];
    for round in 0..effort.rounds {
        for (at, recording) in recordings.iter().enumerate() {
            tell(&format!("core: {}, {} of {}", names[at].1, round + 1, effort.rounds));
            nanoseconds[at].push(nanoseconds_per_command(recording, effort.limit));
        }
    }
    let mut all = Vec::new();
    for ((section, setting, workload), nanoseconds) in names.iter().zip(nanoseconds) {
        let rate = nanoseconds.iter().map(|each| f64::from(workload.block) * 1e9 / each).collect();
        let figures =
            [(Quantity::NanosecondsPerCommand, nanoseconds), (Quantity::Throughput, rate)];
        all.extend(figures.map(|(quantity, series)| Measurement {
            section: *section,
            setting: setting.clone(),
            contender: "isboot".to_owned(),
            workload: Some(*workload),
            quantity,
            series: Series(series),
        }));
    }
    all
}

/// Plays the tape over and over for about `limit`; the login does not count.
pub(super) fn nanoseconds_per_command(recording: &Recording, limit: Duration) -> f64 {
    let (start, mut busy, mut commands) = (Instant::now(), Duration::ZERO, 0);
    while start.elapsed() < limit {
        let mut played = recording.play();
        let begin = Instant::now();
        played.run(recording.commands());
        busy += begin.elapsed();
        commands += recording.commands();
        played.check();
    }
    busy.as_secs_f64() * 1e9 / commands as f64
}
