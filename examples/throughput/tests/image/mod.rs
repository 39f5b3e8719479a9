//! The hosting kernel that the tests boot.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Built as `cargo xtask` builds it and in the same place, so that this takes no
/// time where it is there.
pub(crate) fn image() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("kernel");
    // There for its options.
    let kernel = concat!(env!("CARGO_MANIFEST_DIR"), "/../boot-module");
    let status = Command::new(env!("CARGO"))
        .current_dir(kernel)
        .args(["build", "--quiet", "--release", "--target-dir"])
        .arg(&folder)
        .status();
    assert!(status.is_ok_and(|status| status.success()), "the kernel does not build");
    folder.join("release/boot-module")
}
