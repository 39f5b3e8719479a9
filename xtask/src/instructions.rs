//! Instructions of the core's hot paths against a baseline: what became slower is found, on any
//! machine.

use crate::packages::{self, Purpose};
use crate::process::Task;

/// What was counted when it was last said to be right.
const BASELINE: &str = "examples/throughput/instructions.json";

/// Holds every case against the baseline.
pub(crate) fn check() -> Result<String, String> {
    packages::ensure(Purpose::Bench)?;
    let task = task("check");
    let ended = task.capture()?;
    let said = ended.output.trim_end();
    if !ended.is_success() {
        return Err(format!(
            "{said}\n        repeat: {task}\n        if that is as it should be: \
             cargo xtask instructions --renew-baseline, and commit {BASELINE}"
        ));
    }
    println!("{said}");
    Ok("as in the baseline".to_owned())
}

/// `cargo xtask instructions`.
pub(crate) fn run(renew: bool) -> Result<u8, String> {
    packages::ensure(Purpose::Bench)?;
    Ok(task(if renew { "renew" } else { "check" }).show()?.status)
}

fn task(what: &str) -> Task {
    Task::cargo("run --quiet --profile counted --package throughput --bin core-cases --")
        .argument(what)
        .argument(BASELINE)
}
