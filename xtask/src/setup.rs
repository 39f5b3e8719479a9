//! `cargo xtask setup`: everything that boots and tests need.

use crate::packages::Purpose;
use crate::{fuzz, newer_qemu, packages};

/// Tells what is missing, and installs it unless it is `only_check`ed.
pub(crate) fn run(only_check: bool) -> Result<u8, String> {
    let mut missing = packages::missing(Purpose::Test);
    if fuzz::has_nightly() {
        missing.extend(packages::missing(Purpose::Fuzz));
    }
    let needs_fuzzer = fuzz::lacks_cargo_fuzz();
    let needs_qemu = !newer_qemu::is_there();
    if missing.is_empty() && !needs_fuzzer && !needs_qemu {
        println!("Nothing is missing.");
        return Ok(0);
    }
    for need in &missing {
        println!("missing: {:<16} {}", need.package, need.what_for);
    }
    if needs_fuzzer {
        println!("missing: {:<16} fuzzing, on the nightly toolchain", "cargo-fuzz");
    }
    if needs_qemu {
        println!("missing: {:<16} igb, which the one in PATH lacks", "a newer QEMU");
    }
    if only_check {
        return Ok(1);
    }
    packages::install(&missing)?;
    fuzz::ensure_fuzzer()?;
    newer_qemu::ensure()?;
    Ok(0)
}
