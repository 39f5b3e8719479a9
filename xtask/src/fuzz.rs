//! `cargo xtask fuzz`: every fuzz target for a while, from its corpus, which stays as it is.

use std::fs;

use clap::Args;

use crate::packages::{self, Purpose};
use crate::process::{Task, build_folder, is_interrupted, root};

/// What to fuzz.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only these targets
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// How long each
    #[arg(long, value_name = "N", default_value_t = 60)]
    seconds: u32,
}

/// What came of a target.
#[derive(Debug, Default)]
struct Run {
    executions: u64,
    coverage: String,
}

/// Fuzzes; the status is 1 when something was found.
pub(crate) fn run(options: &Options) -> Result<u8, String> {
    Ok(u8::from(!fuzz(options)?.0))
}

/// Every target for a minute, as a step of the test.
pub(crate) fn check() -> Result<String, String> {
    let (is_good, executions) = fuzz(&Options { targets: Vec::new(), seconds: 60 })?;
    let words = format!("{executions} executions");
    if is_good {
        Ok(format!("nothing found in {words}"))
    } else {
        Err(format!("see above; {words}"))
    }
}

/// Whether nothing was found, and how many inputs were run.
fn fuzz(options: &Options) -> Result<(bool, u64), String> {
    let all = targets()?;
    for name in &options.targets {
        if !all.contains(name) {
            return Err(format!("there is no target `{name}`; there are {}", all.join(", ")));
        }
    }
    let wanted = if options.targets.is_empty() { &all } else { &options.targets };
    let with_fuzzer = has_nightly();
    if with_fuzzer {
        ensure_fuzzer()?;
    } else {
        println!(
            "There is no nightly toolchain, which the fuzzer needs (rustup toolchain install \
             nightly).\nInstead: the corpora and noise made of them, on the toolchain at hand, \
             without coverage to guide it."
        );
    }
    let seconds = options.seconds.min(25 * 60);
    let mut rows = Vec::new();
    let mut failed = false;
    for name in wanted {
        if is_interrupted() {
            break;
        }
        println!("{name} for {seconds} s");
        let task = if with_fuzzer { fuzzer(name, seconds)? } else { noise(name, seconds) };
        let ended = task.capture()?;
        if !ended.is_success() {
            failed = true;
            println!("{}\n        repeat: {task}", ended.output.trim_end());
        }
        rows.push((name, read(&ended.output), ended.is_success()));
    }
    println!("\n{:<14} {:>12} {:>9} {:>9}  result", "target", "executions", "exec/s", "coverage");
    let mut total = 0;
    for (name, Run { executions, coverage }, good) in rows {
        total += executions;
        let rate = executions / u64::from(seconds.max(1));
        let word = if good { "nothing found" } else { "FOUND SOMETHING" };
        println!("{name:<14} {executions:>12} {rate:>9} {coverage:>9}  {word}");
    }
    Ok((!failed, total))
}

/// The fuzz targets' names, from their files.
fn targets() -> Result<Vec<String>, String> {
    let folder = root().join("fuzz/fuzz_targets");
    let entries =
        fs::read_dir(&folder).map_err(|error| format!("reading {}: {error}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    Ok(names)
}

pub(crate) fn has_nightly() -> bool {
    let ask = Task::new("rustup", ["run", "nightly", "cargo", "--version"]).capture();
    ask.is_ok_and(|ended| ended.is_success())
}

/// Whether cargo-fuzz is missing, and could run: without a nightly toolchain it cannot.
pub(crate) fn lacks_cargo_fuzz() -> bool {
    let cargo_home = std::env::var_os("CARGO_HOME").map(std::path::PathBuf::from);
    let is_there = packages::has_program("cargo-fuzz")
        || cargo_home.is_some_and(|home| home.join("bin/cargo-fuzz").is_file());
    !is_there && has_nightly()
}

/// Installs what fuzzes and what that is compiled with, where it is missing and could run.
pub(crate) fn ensure_fuzzer() -> Result<(), String> {
    if has_nightly() {
        packages::ensure(Purpose::Fuzz)?;
    }
    if !lacks_cargo_fuzz() {
        return Ok(());
    }
    println!("Installing cargo-fuzz, which is compiled: a minute or two");
    let install = Task::cargo("install --locked cargo-fuzz");
    if install.show()?.is_success() { Ok(()) } else { Err(format!("`{install}` failed")) }
}

fn fuzzer(name: &str, seconds: u32) -> Result<Task, String> {
    let work = build_folder().join("fuzz/corpus").join(name);
    fs::create_dir_all(&work).map_err(|error| format!("making {}: {error}", work.display()))?;
    // What is found goes to the first folder; the second is only read.
    Ok(Task::new("rustup", ["run", "nightly", "cargo", "fuzz", "run", "--target-dir"])
        .argument(build_folder().join("fuzz"))
        .argument(name)
        .argument(work)
        .argument(root().join("fuzz/corpus").join(name))
        .argument("--")
        .argument(format!("-max_total_time={seconds}"))
        .argument("-print_final_stats=1"))
}

fn noise(name: &str, seconds: u32) -> Task {
    let run = Task::cargo("run --quiet --release --package isboot-exercise --");
    run.argument(name).argument(seconds.to_string())
}

/// The numbers in what the fuzzer, or the noise, printed.
fn read(output: &str) -> Run {
    let mut run = Run { coverage: "–".to_owned(), ..Run::default() };
    for line in output.lines() {
        let after = |words: &str| line.split_once(words).map(|(_, rest)| rest.trim());
        if let Some(number) = after("number_of_executed_units:").or(after("executed ")) {
            run.executions = number.parse().unwrap_or(run.executions);
        }
        if let Some(coverage) = after(" cov:").and_then(|rest| rest.split_whitespace().next()) {
            run.coverage = coverage.to_owned();
        }
    }
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fuzzers_numbers_are_read() {
        let output = "#12\tNEW    cov: 40 ft: 9\n#99\tDONE   cov: 41 ft: 12 corp: 3\n\
                      stat::number_of_executed_units: 99\n";
        let run = read(output);
        assert_eq!((run.executions, run.coverage.as_str()), (99, "41"));
        assert_eq!(read("executed 128\n").executions, 128);
    }
}
