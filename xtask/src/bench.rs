//! `cargo xtask bench`: everything that the bench needs, then the bench.

use crate::images;
use crate::newer_qemu;
use crate::packages::{self, Purpose};
use crate::process::Task;

/// Sets up, builds what is measured and hands over to `throughput`, whose status is the result.
pub(crate) fn run(options: &[String]) -> Result<u8, String> {
    let only_asks = |option: &String| {
        ["--help", "-h", "--version", "-V"].contains(&option.as_str()) || is(option, "--from")
    };
    if !options.iter().any(only_asks) {
        prepare(options)?;
    }
    Ok(task(options).show()?.status)
}

/// A run of `throughput`, optimised as what it measures is.
pub(crate) fn task<I: AsRef<str>>(options: &[I]) -> Task {
    let mut task = Task::cargo("run --quiet --release --package throughput --bin throughput --");
    for option in options {
        task = task.argument(option.as_ref());
    }
    task
}

/// Installs and builds. What one part lacks is told by that part, while the others go on.
pub(crate) fn prepare(options: &[String]) -> Result<(), String> {
    if let Err(reason) = packages::ensure(Purpose::Bench) {
        eprintln!("{reason}\nGoing on with what there is.");
    }
    if has_guests(options) {
        if needs_igb(options)
            && let Err(reason) = newer_qemu::ensure()
        {
            eprintln!("{reason}\nGoing on with what there is.");
        }
        eprintln!("Building the kernel's images");
        images::build()?;
    }
    eprintln!("Building the bench");
    let build = Task::cargo("build --quiet --release --package throughput --bins");
    let ended = build.capture()?;
    if ended.is_success() {
        Ok(())
    } else {
        Err(format!("{}\n`{build}` failed", ended.output.trim_end()))
    }
}

/// Whether an option is this one, with its value in the next word or behind `=`.
fn is(option: &str, name: &str) -> bool {
    option.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
}

/// Every value that an option was given.
fn values<'a>(options: &'a [String], name: &'a str) -> impl Iterator<Item = &'a str> {
    let after = options.iter().skip(1).map(String::as_str).chain([""]);
    options.iter().zip(after).filter(move |(option, _)| is(option, name)).map(|(option, next)| {
        match option.split_once('=') {
            Some((_, value)) => value,
            None => next,
        }
    })
}

/// Whether a machine is to boot.
fn has_guests(options: &[String]) -> bool {
    let boots = |part: &str| matches!(part, "guest" | "start" | "dd");
    let mut parts = values(options, "--only").peekable();
    parts.peek().is_none() || parts.any(boots)
}

/// Whether one of them has the card that older QEMUs lack.
fn needs_igb(options: &[String]) -> bool {
    let mut cards = values(options, "--nic").peekable();
    match cards.peek() {
        Some(_) => cards.any(|card| card == "igb"),
        None => !options.iter().any(|option| option == "--quick"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn only_what_boots_needs_kernel_and_emulator() {
        assert!(has_guests(&words("")) && has_guests(&words("--quick")));
        assert!(has_guests(&words("--only host --only=dd")));
        assert!(!has_guests(&words("--only host --only=core --nic igb")));
    }

    #[test]
    fn the_newer_emulator_is_for_one_card() {
        assert!(needs_igb(&words("")) && needs_igb(&words("--quick --nic igb")));
        assert!(needs_igb(&words("--nic e1000 --nic=igb")));
        assert!(!needs_igb(&words("--quick")) && !needs_igb(&words("--nic e1000e")));
    }
}
