//! `cargo xtask coverage`: which lines of the core the tests run.

use std::fs;
use std::path::PathBuf;

use crate::packages;
use crate::process::{Task, build_folder};

/// Percent of lines below which it fails.
const BOUND: f64 = 95.0;
/// What is measured: the core and the iBFT reader.
const MEASURED: [&str; 2] = ["initiator/src/", "ibft/src/"];
const LEFT_OUT: &str = "/tests/|/tests\\.rs|\\.cargo|/rustc/";

/// Runs the tests with counters, and prints the share of lines that each file had run.
pub(crate) fn run() -> Result<u8, String> {
    let version = llvm_version()?;
    packages::ensure_llvm(&version)?;
    let folder = build_folder().join("coverage");
    let profiles = folder.join("profiles");
    let _ = fs::remove_dir_all(&profiles);
    let packages = "--package isboot --package isboot-ibft --package isboot-exercise \
                    --package isboot-tests --lib --test firmware --test locate \
                    --test properties --test replay --test session --test sequence \
                    --test sequence_faults --test outage --test disks --test provisioning \
                    --test reservations --test chap --test builtin_target --test conformance";
    let instrumented = |line: &str| {
        Task::cargo(&format!("test {line} {packages}"))
            .argument("--target-dir")
            .argument(&folder)
            .variable("RUSTFLAGS", "-C instrument-coverage")
            .variable(
                "LLVM_PROFILE_FILE",
                profiles.join("%m-%p.profraw").to_string_lossy().as_ref(),
            )
    };
    // Real targets and guests take long and reach nothing more.
    let mut tests = instrumented("--quiet --no-fail-fast").argument("--");
    for rig in ["istgt::", "tgt::", "lio::", "linux_guest::"] {
        tests = tests.argument("--skip").argument(rig);
    }
    let ended = tests.capture()?;
    if !ended.is_success() {
        return Err(format!("{}\n        repeat: {tests}", ended.output));
    }
    let listed = instrumented("--no-run").capture()?;
    let merged = folder.join("all.profdata");
    let merge = Task::new(&format!("llvm-profdata-{version}"), ["merge", "--sparse", "-o"])
        .argument(&merged)
        .argument(&profiles);
    let ended = merge.capture()?;
    if !ended.is_success() {
        return Err(format!("{merge}:\n{}", ended.output));
    }
    let mut report = Task::new(&format!("llvm-cov-{version}"), ["export", "--summary-only"])
        .argument("--format=lcov")
        .argument(format!("--ignore-filename-regex={LEFT_OUT}"))
        .argument("--instr-profile")
        .argument(&merged);
    for binary in binaries(&listed.output) {
        report = report.argument("--object").argument(binary);
    }
    let ended = report.capture()?;
    if !ended.is_success() {
        return Err(format!("{report}:\n{}", ended.output));
    }
    let (mut run, mut all) = (0, 0);
    for (file, hit, found) in files(&ended.output) {
        println!("{:>6.1} %  {file}", percent(hit, found));
        run += hit;
        all += found;
    }
    println!("{:>6.1} %  of {all} lines in all; {BOUND} % are wanted", percent(run, all));
    Ok(u8::from(percent(run, all) < BOUND))
}

fn percent(part: u32, whole: u32) -> f64 {
    if whole == 0 { 100.0 } else { f64::from(part) * 100.0 / f64::from(whole) }
}

/// The major version of the compiler's LLVM, which reads its own profiles.
fn llvm_version() -> Result<String, String> {
    let said = Task::new("rustc", ["--version", "--verbose"]).capture()?.output;
    let version = said.lines().find_map(|line| line.strip_prefix("LLVM version: "));
    let major = version.and_then(|version| version.split('.').next());
    major.map(str::to_owned).ok_or_else(|| format!("rustc does not name its LLVM:\n{said}"))
}

/// The test programs, which cargo names in parentheses.
fn binaries(output: &str) -> Vec<PathBuf> {
    let names = output.lines().filter(|line| line.trim_start().starts_with("Executable"));
    names.filter_map(|line| Some(line.rsplit_once('(')?.1.strip_suffix(')')?.into())).collect()
}

/// Each measured file with its lines run and its lines in all.
fn files(lcov: &str) -> Vec<(String, u32, u32)> {
    let mut files = Vec::new();
    let (mut name, mut found, mut hit) = (None, 0, 0);
    for line in lcov.lines() {
        let (key, value) = line.split_once(':').unwrap_or((line, ""));
        match key {
            "SF" => {
                let start = MEASURED.iter().find_map(|folder| value.find(folder));
                name = start.and_then(|start| value.get(start..)).map(str::to_owned);
            }
            "LF" => found = value.parse().unwrap_or(0),
            "LH" => hit = value.parse().unwrap_or(0),
            "end_of_record" => files.extend(name.take().map(|name| (name, hit, found))),
            _ => {}
        }
    }
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_is_read() {
        let lcov = "SF:/x/ibft/src/a.rs\nLF:4\nLH:3\nend_of_record\nSF:/y/b.rs\nLF:1\nLH:0\n\
                    end_of_record\n";
        assert_eq!(files(lcov), [("ibft/src/a.rs".to_owned(), 3, 4)]);
        let output = "  Executable unittests src/lib.rs (/t/debug/deps/isboot-1)\nwarning (x)\n";
        assert_eq!(binaries(output), [PathBuf::from("/t/debug/deps/isboot-1")]);
    }
}
