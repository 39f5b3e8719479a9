//! Instructions for each command, as callgrind counts them: they do not wobble, so that a path that
//! became slower by a few per cent is found, on any machine.
//!
//! A case runs N commands and, in another run, 2 N: the difference is what N commands take, without
//! login and start. What differs between processors does not count: `memcpy` and its like (libc
//! chooses by processor; their bytes are counted apart, see [`Cost::copied`]), other functions of
//! libc, and CRC32C by instruction (the portable one is used). What differs between compilers
//! does: a baseline belongs to one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fs, thread};

use isboot::pdu::digest::Crc32cFunction;
use serde::{Deserialize, Serialize};

use super::case::{Case, MSS};
use crate::progress::Tell;
use crate::workload::{Digests, Workload};

/// What is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repeated {
    Commands,
    Logins,
    Pings,
}

/// A case whose instructions are counted.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// Name, as the table shows it.
    pub name: &'static str,
    case: Case,
    repeated: Repeated,
    /// How often, in the shorter run.
    times: usize,
}

const READ_4K: Workload = Workload::read(4096, 1);
const READ_256K: Workload = Workload::read(256 << 10, 1);
const WRITE_256K: Workload = Workload::write(256 << 10, 1);

/// What is counted.
pub const CASES: [Counted; 13] = [
    commands("login", READ_4K).repeated(Repeated::Logins, 2),
    commands("ping", READ_4K).repeated(Repeated::Pings, 100),
    commands("read 4 KiB", READ_4K),
    commands("read 4 KiB, both digests", READ_4K.with(Digests::Both)),
    commands("read 4 KiB, depth 32", Workload::read(4096, 32)),
    commands("read 4 KiB, depth 128", Workload::read(4096, 128)).times(256),
    commands("read 4 KiB, 300 LUNs", Workload::read(4096, 8)).on(300).times(304),
    commands("read 256 KiB", READ_256K).times(4),
    commands("read 256 KiB, both digests", READ_256K.with(Digests::Both)).times(4),
    commands("read 256 KiB, cut at frames", READ_256K).cut_at_frames().times(4),
    commands("write 4 KiB", Workload::write(4096, 1)),
    commands("write 256 KiB", WRITE_256K).times(4),
    commands("write 256 KiB, both digests", WRITE_256K.with(Digests::Both)).times(4),
];

const fn commands(name: &'static str, workload: Workload) -> Counted {
    let case = Case::new(name, workload).segment(8192);
    Counted { name, case, repeated: Repeated::Commands, times: 64 }
}

impl Counted {
    const fn repeated(self, repeated: Repeated, times: usize) -> Self {
        Self { repeated, times, ..self }
    }

    const fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    const fn on(self, luns: u16) -> Self {
        Self { case: self.case.luns(luns), ..self }
    }

    const fn cut_at_frames(self) -> Self {
        Self { case: self.case.cut(MSS), ..self }
    }

    /// Finds a case by its name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        CASES.into_iter().find(|case| case.name == name)
    }

    /// Runs it once or twice its times; `copied` says how many bytes were copied by calls so far.
    /// The answer is how many of them the commands copied.
    ///
    /// # Panics
    /// When a command fails.
    pub fn run(&self, twice: bool, copied: impl Fn() -> u64) -> u64 {
        let most = 2 * self.times;
        let times = if twice { most } else { self.times };
        let commands = if self.repeated == Repeated::Commands { most } else { 0 };
        let pings = if self.repeated == Repeated::Pings { most } else { 0 };
        let recording = self.case.record_with(commands, pings, Crc32cFunction::PORTABLE);
        let mut played = recording.play();
        let before = copied();
        match self.repeated {
            Repeated::Commands => played.run(times),
            Repeated::Pings => played.ping(times),
            Repeated::Logins => (0..times).for_each(|_| played = recording.play()),
        }
        copied() - before
    }
}

/// What one command takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Instructions, without those of copying.
    pub instructions: f64,
    /// Bytes that were copied by calls of `memcpy` and `memmove`.
    pub copied: f64,
}

/// What was counted before, and by which compiler it was built.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// As `rustc --version` says it.
    pub compiler: String,
    /// By name of the case.
    pub cases: BTreeMap<String, Cost>,
}

/// A share of the baseline by which a count may differ from it.
const TOLERANCE: f64 = 0.03;
/// The same, built by another compiler: it only shows what went badly wrong.
const TOLERANCE_OF_ANOTHER_COMPILER: f64 = 0.15;

/// Counts every case of `program`, which runs one when it is called with `run`, its name and 1 or
/// 2; two cases at a time.
///
/// # Errors
///
/// Valgrind is not there or failed, or its profile is not understood.
pub fn count(
    program: &Path,
    folder: &Path,
    compiler: &str,
    tell: Tell<'_>,
) -> Result<Baseline, String> {
    let mut cases = BTreeMap::new();
    for (number, pair) in CASES.chunks(2).enumerate() {
        let names: Vec<&str> = pair.iter().map(|case| case.name).collect();
        tell(&format!("{} of {}: {}", 2 * number + 1, CASES.len(), names.join("; ")));
        let costs = thread::scope(|scope| {
            let counting: Vec<_> = pair
                .iter()
                .map(|case| scope.spawn(move || count_case(program, folder, case)))
                .collect();
            counting
                .into_iter()
                .map(|thread| thread.join().map_err(|_| "a thread panicked".to_owned())?)
                .collect::<Result<Vec<Cost>, String>>()
        })?;
        cases.extend(names.into_iter().map(str::to_owned).zip(costs));
    }
    Ok(Baseline { compiler: compiler.to_owned(), cases })
}

fn count_case(program: &Path, folder: &Path, case: &Counted) -> Result<Cost, String> {
    let times = case.times as f64;
    let [once, twice] = ["1", "2"].map(|runs| profile(program, folder, case.name, runs));
    let ((once, copied), (twice, copied_twice)) = (once?, twice?);
    Ok(Cost {
        instructions: (twice as f64 - once as f64) / times,
        copied: (copied_twice as f64 - copied as f64) / times,
    })
}

/// Instructions of a run that are ours, and the bytes that it says it copied.
fn profile(program: &Path, folder: &Path, name: &str, runs: &str) -> Result<(u64, u64), String> {
    let file: PathBuf = folder.join(format!("{}-{runs}.callgrind", name.replace([' ', ','], "-")));
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--compress-strings=no", "--compress-pos=no"])
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(program)
        .args(["run", name, runs]);
    let failed = |what: &dyn std::fmt::Display| format!("`{command:?}`: {what}");
    let output = Command::new("valgrind")
        .args(command.get_args())
        .output()
        .map_err(|error| failed(&format_args!("{error}; Debian's package is `valgrind`")))?;
    let (said, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        return Err(failed(&format_args!("{}\n{errors}", output.status)));
    }
    let copied = said.trim().parse().map_err(|_| failed(&format_args!("it said {said:?}")))?;
    let text = fs::read_to_string(&file)
        .map_err(|error| format!("reading {}: {error}", file.display()))?;
    let instructions = instructions(&text, program)
        .ok_or_else(|| format!("{} is no profile of callgrind's", file.display()))?;
    Ok((instructions, copied))
}

/// Functions that copy, compare and fill.
const COPYING: [&str; 5] = ["memcpy", "memmove", "memset", "memcmp", "bcmp"];

/// Sums up what a profile counts in the functions of `program` itself, without those that copy.
fn instructions(profile: &str, program: &Path) -> Option<u64> {
    let program = program.to_str()?;
    let (mut is_ours, mut copies, mut is_call) = (false, false, false);
    let mut sum: Option<u64> = None;
    for line in profile.lines() {
        if let Some(object) = line.strip_prefix("ob=") {
            is_ours = object == program;
        } else if let Some(function) = line.strip_prefix("fn=") {
            copies = COPYING.contains(&function);
        } else if line.starts_with("calls=") {
            // The next line counts what is called, which has lines of its own.
            is_call = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit()) {
            if is_ours && !copies && !is_call {
                let count: u64 = line.split_once(' ')?.1.parse().ok()?;
                sum = Some(sum.unwrap_or(0) + count);
            }
            is_call = false;
        }
    }
    sum
}

/// Holds `now` against `baseline`: the table, and whether everything is as it was.
#[must_use]
pub fn compare(baseline: &Baseline, now: &Baseline) -> (String, bool) {
    let same_compiler = baseline.compiler == now.compiler;
    let tolerance = if same_compiler { TOLERANCE } else { TOLERANCE_OF_ANOTHER_COMPILER };
    let mut table = format!(
        "{:<30} {:>12} {:>12} {:>7}   {:>12} {:>12} {:>7}\n",
        "case", "instructions", "now", "", "bytes copied", "now", ""
    );
    let mut is_fine = true;
    let names = baseline
        .cases
        .keys()
        .chain(now.cases.keys().filter(|name| !baseline.cases.contains_key(*name)));
    for name in names {
        let (Some(before), Some(after)) = (baseline.cases.get(name), now.cases.get(name)) else {
            let _ = writeln!(table, "{name:<30} is only in one of the two   WRONG");
            is_fine = false;
            continue;
        };
        let mut row = format!("{name:<30}");
        let mut is_right = true;
        for (before, after) in
            [(before.instructions, after.instructions), (before.copied, after.copied)]
        {
            let change = if before == after { 0.0 } else { after / before - 1.0 };
            is_right &= change.abs() <= tolerance;
            let _ = write!(row, " {before:>12.0} {after:>12.0} {:>+6.1}%  ", change * 100.0);
        }
        is_fine &= is_right;
        let _ = writeln!(table, "{}{}", row.trim_end(), if is_right { "" } else { "   WRONG" });
    }
    if !same_compiler {
        let _ = writeln!(
            table,
            "The baseline was built by {}, this by {}: another compiler makes other instructions, \
             so {:.0} % are tolerated instead of {:.0} %.",
            baseline.compiler,
            now.compiler,
            TOLERANCE_OF_ANOTHER_COMPILER * 100.0,
            TOLERANCE * 100.0
        );
    }
    (table, is_fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(compiler: &str, cases: &[(&str, f64, f64)]) -> Baseline {
        let cost = |&(name, instructions, copied): &(&str, f64, f64)| {
            (name.to_owned(), Cost { instructions, copied })
        };
        Baseline { compiler: compiler.to_owned(), cases: cases.iter().map(cost).collect() }
    }

    #[test]
    fn three_per_cent_either_way_are_tolerated_and_more_is_not() {
        let before = baseline("1", &[("read", 1000.0, 4096.0), ("write", 1000.0, 4096.0)]);
        for (instructions, copied, fine) in [
            (1000.0, 4096.0, true),
            (1029.0, 4096.0, true),
            (1050.0, 4096.0, false),
            (950.0, 4096.0, false),
            (1000.0, 8192.0, false),
        ] {
            let now = baseline("1", &[("read", instructions, copied), ("write", 1000.0, 4096.0)]);
            let (table, is_fine) = compare(&before, &now);
            assert_eq!(is_fine, fine, "{table}");
            assert_eq!(table.matches("WRONG").count(), usize::from(!fine), "{table}");
        }
    }

    #[test]
    fn another_compiler_is_told_and_may_differ_by_more() {
        let before = baseline("rustc 1", &[("read", 1000.0, 0.0)]);
        let (table, is_fine) = compare(&before, &baseline("rustc 2", &[("read", 1100.0, 0.0)]));
        assert!(is_fine && table.contains("built by rustc 1, this by rustc 2"), "{table}");
        assert!(!compare(&before, &baseline("rustc 2", &[("read", 1200.0, 0.0)])).1);
    }

    #[test]
    fn a_case_that_came_or_went_is_wrong() {
        let (one, other) = (baseline("1", &[("a", 1.0, 0.0)]), baseline("1", &[("b", 1.0, 0.0)]));
        let (table, is_fine) = compare(&one, &other);
        assert!(!is_fine && table.matches("only in one").count() == 2, "{table}");
    }

    #[test]
    fn only_our_own_functions_count_and_copies_do_not() {
        let profile = "version: 1\nevents: Ir\n\nob=/p\nfl=a.rs\nfn=isboot::read\n0 100\ncfn=memcpy\n\
                       calls=3 0\n0 900\n0 11\n\nfn=memcpy\n0 900\n\nob=/lib/libc.so.6\nfn=malloc\n\
                       0 5000\n\nob=/p\nfn=isboot::write\n0 7\n\ntotals: 6018\n";
        assert_eq!(instructions(profile, Path::new("/p")), Some(118));
        assert_eq!(instructions("", Path::new("/p")), None);
    }

    /// A batch of commands is answered as a whole: half of one would wait for ever.
    #[test]
    fn every_case_has_a_name_and_whole_batches() {
        for case in CASES {
            assert!(case.times.is_multiple_of(case.case.workload.depth.into()), "{}", case.name);
            assert_eq!(Counted::find(case.name).map(|found| found.name), Some(case.name));
        }
        assert!(Counted::find("nothing").is_none());
    }
}
