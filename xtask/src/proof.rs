//! The proof that the core is `no_std` and free of input and output: what it may depend on, and a
//! build for a target that has no operating system.

use std::path::Path;

use crate::process::{Task, build_folder};

const TARGET: &str = "x86_64-unknown-none";

/// Hashes by plain instructions: the target has no vector registers, and without optimisation
/// LLVM gives up on the code that would use them.
const PLAIN_HASHES: &str = r#"--cfg sha1_backend="soft" --cfg sha2_backend="soft""#;

/// Everything that the core may depend on, and why each is harmless: all are `no_std`, none does
/// input or output, none knows a clock.
const ALLOWED: &[&str] = &[
    "isboot",
    // Bytes and bounded collections.
    "byteorder",
    "heapless",
    "hash32",
    "stable_deref_trait",
    // The facade; the hosting kernel supplies the logger.
    "log",
    // MD5, SHA1, SHA-256 and SHA3-256 for CHAP.
    "md-5",
    "sha1",
    "sha2",
    "sha3",
    "keccak",
    "sponge-cursor",
    // Finds the CPU's instructions for them, and none where there is no operating system.
    "cpufeatures",
    "digest",
    "block-buffer",
    "crypto-common",
    "hybrid-array",
    "typenum",
    "const-oid",
    "cfg-if",
    // Comparing and wiping secrets.
    "subtle",
    "zeroize",
];

/// What lists the core's dependencies.
pub(crate) fn tree_task() -> Task {
    Task::cargo("tree --package isboot --no-default-features --edges normal,build --prefix none")
        .argument("--format")
        .argument("{p}")
}

/// Compares the core's dependencies with the list.
pub(crate) fn check_tree(tree: &str) -> Result<String, String> {
    let names = || tree.lines().filter_map(|line| line.split_whitespace().next());
    if !names().any(|name| name == "isboot") {
        return Err(format!("cargo tree did not list the core:\n{tree}"));
    }
    let mut strangers: Vec<&str> = names().filter(|name| !ALLOWED.contains(name)).collect();
    strangers.sort_unstable();
    strangers.dedup();
    if strangers.is_empty() {
        Ok("only what is on the list".to_owned())
    } else {
        Err(format!("the core depends on what is not on the list: {}", strangers.join(", ")))
    }
}

/// Whether the toolchain at hand has a precompiled core for the bare-metal target.
pub(crate) fn toolchain_has_bare_metal_target() -> bool {
    let ask = Task::new("rustc", ["--print", "target-libdir", "--target", TARGET]).capture();
    ask.is_ok_and(|ended| ended.is_success() && Path::new(ended.output.trim()).is_dir())
}

/// Whether Debian's toolchain can build the crates: bookworm has an old one too, before its updates.
pub(crate) fn debian_toolchain_is_new_enough() -> bool {
    let version = Task::new("/usr/bin/rustc", ["--version"]).capture();
    version.is_ok_and(|ended| is_new_enough(&ended.output, env!("CARGO_PKG_RUST_VERSION")))
}

/// Whether what `rustc --version` printed is `wanted`, such as `1.91`, or newer.
fn is_new_enough(printed: &str, wanted: &str) -> bool {
    let numbers = |version: &str| -> Option<(u32, u32)> {
        let mut parts = version.split('.').map(|part| part.parse().ok());
        Some((parts.next()??, parts.next()??))
    };
    let found = printed.split_whitespace().nth(1).and_then(numbers);
    matches!((found, numbers(wanted)), (Some(found), Some(wanted)) if found >= wanted)
}

/// What builds the three crates for the target, each as a hosting kernel may take it. The core
/// alone comes first: features would unify.
pub(crate) fn bare_metal_tasks() -> Vec<Task> {
    [
        "--package isboot --no-default-features",
        "--package isboot --package isboot-ibft --package isboot-transport",
    ]
    .into_iter()
    .map(bare_metal_task)
    .collect()
}

fn bare_metal_task(packages: &str) -> Task {
    let folder = build_folder().join("bare-metal");
    let line = format!("build --quiet --lib --target {TARGET} {packages}");
    if toolchain_has_bare_metal_target() {
        return Task::cargo(&line)
            .argument("--target-dir")
            .argument(folder)
            .variable("RUSTFLAGS", PLAIN_HASHES);
    }
    // Debian's toolchain has the sources of core, and may build them.
    let words = line.split_whitespace();
    Task::new("/usr/bin/cargo", words)
        .argument("-Zbuild-std=core,alloc,compiler_builtins")
        .argument("--target-dir")
        .argument(folder)
        // Unoptimised: core is compiled too, and nobody runs the result.
        .variable("CARGO_PROFILE_DEV_OPT_LEVEL", "0")
        .variable("RUSTFLAGS", PLAIN_HASHES)
        .variable("RUSTC_BOOTSTRAP", "1")
        .variable("RUSTC", "/usr/bin/rustc")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_toolchain_of_years_ago_is_not_new_enough() {
        assert!(!is_new_enough("rustc 1.85.0 (4d91de4e4 2025-02-17)", "1.91"));
        assert!(is_new_enough("rustc 1.91.0 (x 2025-10-28)", "1.91"));
        assert!(is_new_enough("rustc 1.100.0-nightly (x 2026-12-01)", "1.91"));
        assert!(!is_new_enough("", "1.91") && !is_new_enough("rustc new", "1.91"));
    }

    #[test]
    fn a_stranger_among_the_dependencies_is_named() {
        assert!(check_tree("isboot v0.1.0 (/x)\nlog v0.4.29\nlog v0.4.29 (*)\n").is_ok());
        let error = check_tree("isboot v0.1.0\nsmoltcp v0.14.0\nlog v0.4.29\n").unwrap_err();
        assert!(error.contains("smoltcp") && !error.contains("log"), "{error}");
        assert!(check_tree("").is_err());
    }
}
