//! How long commands take, and how fast data goes, when only the initiator works.

use std::time::{Duration, Instant};

use super::Effort;
use super::case::{Case, MSS, Recording};
use super::digest::fastest;
use crate::measurement::{Measurement, Quantity, Section};
use crate::progress::Tell;
use crate::sample::Series;
use crate::targets::{names, settings};
use crate::workload::{Digests, Workload};

const READ_4K: Workload = Workload::read(4096, 1);
const READ_256K: Workload = Workload::read(256 << 10, 1);

/// What is measured.
pub const CASES: [Case; 11] = [
    Case::new(settings::COMMAND, READ_4K),
    Case::new(settings::COMMAND, Workload::read(4096, 32)),
    Case::new(settings::COMMAND, READ_4K.with(Digests::Both)),
    Case::new(settings::COMMAND, Workload::write(4096, 1)),
    Case::new(settings::COMMAND, Workload::write(256 << 10, 1).with(Digests::Both)),
    Case::new(settings::DATA_IN, READ_256K).segment(8192),
    Case::new(settings::DATA_IN, READ_256K.with(Digests::Both)).segment(8192),
    Case::new("data-in, PDUs of 64 KiB", READ_256K),
    Case::new("data-in, PDUs of 64 KiB", READ_256K.with(Digests::Both)),
    Case::new("data-in, cut at frames", READ_256K).segment(8192).cut(MSS),
    Case::new("data-in, cut at frames", READ_256K.with(Digests::Both)).segment(8192).cut(MSS),
];

/// Every case, in turns.
pub fn measure(effort: Effort, tell: Tell<'_>) -> Vec<Measurement> {
    tell("core: a target speaks onto tapes");
    let recordings = CASES.map(record);
    let titles = CASES.map(|case| (Section::Core, case.name.to_owned(), case.workload));
    take(effort, tell, &titles, &recordings)
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
    titles: &[(Section, String, Workload)],
    recordings: &[Recording],
) -> Vec<Measurement> {
    let mut nanoseconds = vec![Vec::new(); recordings.len()];
    for round in 0..effort.rounds {
        for (at, recording) in recordings.iter().enumerate() {
            tell(&format!("core: {}, {} of {}", title(&titles[at]), round + 1, effort.rounds));
            nanoseconds[at].push(nanoseconds_per_command(recording, effort.limit));
        }
    }
    let mut all = Vec::new();
    for ((section, setting, workload), nanoseconds) in titles.iter().zip(nanoseconds) {
        let block = f64::from(workload.block);
        let rate = nanoseconds.iter().map(|each| block * 1e9 / each).collect();
        let figures =
            [(Quantity::NanosecondsPerCommand, nanoseconds), (Quantity::Throughput, rate)];
        all.extend(figures.map(|(quantity, series)| Measurement {
            section: *section,
            setting: setting.clone(),
            contender: names::ISBOOT.to_owned(),
            workload: Some(*workload),
            quantity,
            series: Series(series),
        }));
    }
    all
}

fn title((_, setting, workload): &(Section, String, Workload)) -> String {
    format!("{setting}, {workload}")
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
