//! The proof that no path of the core leads to a panic: a library of all its entries whose panic
//! handler names a symbol that is nowhere defined. Where a path is left, the library needs it.

use crate::process::{Task, build_folder};

const MANIFEST: &str = "tests/panic-free/Cargo.toml";
/// What the panic handler calls.
const SYMBOL: &str = "a_path_to_a_panic_is_left";

/// Builds the library, and says what in it leads to a panic.
pub(crate) fn check() -> Result<String, String> {
    let folder = build_folder().join("panic-free");
    let build = Task::cargo("build --quiet --release --manifest-path")
        .argument(MANIFEST)
        .argument("--target-dir")
        .argument(&folder);
    let library = folder.join("release/libisboot_panic_free.so");
    output(&build)?;
    let undefined = output(&Task::new("nm", ["--undefined-only"]).argument(&library))?;
    if !undefined.contains(SYMBOL) {
        return Ok("none is left in the core, the iBFT reader and the hashes".to_owned());
    }
    let assembly = Task::new("objdump", ["-d", "-C", "--no-show-raw-insn"]).argument(&library);
    let mut report = "a panic can be reached:\n".to_owned();
    for address in calls(&output(&assembly)?) {
        let place = Task::new("addr2line", ["-i", "-f", "-C", "-p", "-e"])
            .argument(&library)
            .argument(format!("0x{address}"));
        report.push_str(&own_frames(&output(&place)?));
    }
    Err(format!("{report}        repeat: {build}"))
}

fn output(task: &Task) -> Result<String, String> {
    let ended = task.capture()?;
    if ended.is_success() { Ok(ended.output) } else { Err(format!("{task}:\n{}", ended.output)) }
}

/// Addresses of the calls of what panics.
fn calls(assembly: &str) -> Vec<&str> {
    const PANICS: [&str; 4] = ["panicking::", "_failed>", "_fail>", "_fail_rt>"];
    assembly
        .lines()
        .filter(|line| line.contains("call") || line.contains("jmp"))
        .filter(|line| line.contains("<core::") && PANICS.iter().any(|name| line.contains(name)))
        .filter_map(|line| Some(line.split_once(':')?.0.trim()))
        .collect()
}

/// The call stack from the panic outwards, down to the first function of ours.
fn own_frames(place: &str) -> String {
    let frames: Vec<&str> = place.lines().collect();
    let ours = frames.iter().position(|frame| frame.contains("isboot"));
    match ours {
        Some(last) => frames.iter().take(last + 1).map(|frame| format!("  {frame}\n")).collect(),
        // A function of its own: whoever calls it is in the list too, or nobody.
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_what_panics_are_found() {
        let assembly = "\
  10a: call   2000 <core::option::expect_failed>
  10f: call   3000 <isboot::session::fail>
  114: jmp    2000 <core::panicking::panic_fmt>
0000000000002000 <core::option::expect_failed>:
";
        assert_eq!(calls(assembly), ["10a", "114"]);
    }
}
