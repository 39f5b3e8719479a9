//! Debian's packages: fetched and unpacked into the build folder, never installed.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::failed;
use crate::process::RigError;

/// Where packages are kept: below cargo's target directory.
pub(super) fn cache() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    // A relative path counts from where cargo was started, which is the workspace.
    workspace.join(target).join("linux-guest")
}

/// The files of a package, kept as `name`; `which` tells its name when it is to be fetched.
pub(super) fn unpacked(
    name: &str,
    which: impl FnOnce() -> Result<String, RigError>,
) -> Result<PathBuf, RigError> {
    let cache = cache();
    fs::create_dir_all(&cache).map_err(failed("making", &cache))?;
    // Tests run at the same time: one fetches, the others wait for it.
    let lock_path = cache.join("lock");
    let lock = File::create(&lock_path).map_err(failed("making", &lock_path))?;
    lock.lock().map_err(failed("locking", &lock_path))?;
    let root = cache.join(name);
    if !root.exists() {
        let partial = cache.join("partial");
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(failed("removing", &partial))?;
        }
        fs::create_dir(&partial).map_err(failed("making", &partial))?;
        unpack(&which()?, &partial)?;
        fs::rename(&partial, &root).map_err(failed("renaming", &partial))?;
    }
    Ok(root)
}

/// What a package depends on, in apt's words.
pub(super) fn dependencies(package: &str) -> Result<Vec<String>, RigError> {
    let depends = output(Command::new("apt-cache").args(["depends", package]), "apt")?;
    // The first of alternatives has a bar before it.
    let names = depends.lines().filter_map(|line| {
        line.trim().trim_start_matches('|').strip_prefix("Depends: ").map(str::to_owned)
    });
    Ok(names.collect())
}

fn unpack(package: &str, directory: &Path) -> Result<(), RigError> {
    let mut download = Command::new("apt-get");
    download.args(["download", package]).current_dir(directory);
    output(&mut download, "apt")?;
    let archive = only_entry(directory, package)?;
    output(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(directory), "dpkg")?;
    fs::remove_file(&archive).map_err(failed("removing", &archive))
}

/// Runs a command to its end and returns its standard output.
pub(super) fn output(command: &mut Command, package: &str) -> Result<String, RigError> {
    command.env("LC_ALL", "C");
    let line = format!("{command:?}");
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => RigError::Missing {
            program: command.get_program().to_string_lossy().into_owned(),
            package: package.into(),
        },
        _ => RigError::Failed(format!("starting {line}: {error}")),
    })?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(RigError::Failed(format!(
            "{line}, for what a Linux guest is made of, failed ({}): {}",
            output.status,
            errors.trim()
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first entry of a directory that begins with `prefix`.
pub(super) fn only_entry(directory: &Path, prefix: &str) -> Result<PathBuf, RigError> {
    let entries = fs::read_dir(directory).map_err(failed("listing", directory))?;
    entries
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .ok_or_else(|| RigError::Failed(format!("no {prefix}* in {}", directory.display())))
}
