//! A QEMU that emulates Intel's igb, beside the system's where that one is too old.
//!
//! Debian 12 has QEMU 7.2; its backports have a newer one, whose packages need the same libraries.
//! They are unpacked into the build folder, so that the system keeps its own and boots can be
//! tried on both. `CARGO_TARGET_DIR` moves it along with everything else that is built.

use std::fs;
use std::path::{Path, PathBuf};

use crate::packages;
use crate::process::{Task, build_folder};

/// The program in PATH.
const SYSTEM: &str = "qemu-system-x86_64";
/// What is unpacked: the program, its modules, its firmware.
const PACKAGES: [&str; 4] =
    ["qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios"];

/// Whether the system's QEMU, or the one beside it, has igb.
pub(crate) fn is_there() -> bool {
    has_igb(Path::new(SYSTEM)) || has_igb(&program())
}

/// Fetches the one of Debian's backports, where it is needed and missing.
pub(crate) fn ensure() -> Result<(), String> {
    if is_there() {
        return Ok(());
    }
    println!("Fetching a QEMU with igb from Debian's backports: 13 MB");
    let fresh = build_folder().join("tools/qemu.unpacking");
    let _ = fs::remove_dir_all(&fresh);
    fetch(&fresh).map_err(|reason| {
        format!("{reason}\nigb needs QEMU 8 or newer; {SYSTEM} in PATH is older")
    })?;
    let folder = folder();
    let _ = fs::remove_dir_all(&folder);
    fs::rename(&fresh, &folder)
        .map_err(|error| format!("moving {} into place: {error}", fresh.display()))?;
    let program = program();
    if has_igb(&program) {
        return Ok(());
    }
    let libraries = Task::new("ldd", [program.to_string_lossy()]).capture().map(|ldd| ldd.output);
    Err(format!("{} does not run here:\n{}", program.display(), libraries.unwrap_or_default()))
}

/// qemu-boot looks there too.
fn folder() -> PathBuf {
    build_folder().join("tools/qemu")
}

fn program() -> PathBuf {
    folder().join("usr/bin").join(SYSTEM)
}

fn has_igb(program: &Path) -> bool {
    // Help on all devices would load every module, and find those of another build.
    let asked = Task::new(&program.to_string_lossy(), ["-device", "igb,help"]).capture();
    // The status is 0 in any case.
    asked.is_ok_and(|asked| asked.output.contains("igb options:"))
}

/// Downloads and unpacks the packages into `folder`; the system's own lists stay as they are.
fn fetch(folder: &Path) -> Result<(), String> {
    for program in ["apt-get", "dpkg-deb"] {
        if !packages::has_program(program) {
            return Err(format!("this is no Debian system: {program} is missing"));
        }
    }
    let (lists, packages) = (folder.join("lists"), folder.join("packages"));
    for needed in [lists.join("partial"), folder.join("archives/partial"), packages.clone()] {
        fs::create_dir_all(&needed)
            .map_err(|error| format!("creating {}: {error}", needed.display()))?;
    }
    let backports = Backports::find()?;
    let sources = folder.join("backports.list");
    fs::write(&sources, backports.source_line())
        .map_err(|error| format!("writing {}: {error}", sources.display()))?;

    let apt = |words: &[&str]| {
        // Downloads land where apt-get runs.
        let mut task = Task::new("env", ["-C"]).argument(&packages).argument("apt-get");
        for (name, value) in [
            ("Dir::Etc::SourceList", sources.as_path()),
            ("Dir::Etc::SourceParts", Path::new("-")),
            ("Dir::State::Lists", &lists),
            ("Dir::Cache", folder),
            // The user that apt would become cannot write here.
            ("APT::Sandbox::User", Path::new("root")),
        ] {
            task = task.argument("-o").argument(format!("{name}={}", value.display()));
        }
        expect(&words.iter().fold(task, |task, word| task.argument(word)))
    };
    apt(&["update"])?;
    let mut download = vec!["-t", &backports.suite, "download"];
    download.extend(PACKAGES);
    apt(&download)?;
    let downloaded = fs::read_dir(&packages)
        .map_err(|error| format!("reading {}: {error}", packages.display()))?;
    for package in downloaded.flatten() {
        expect(&Task::new("dpkg-deb", ["-x"]).argument(package.path()).argument(folder))?;
    }
    for used_up in [lists, packages, folder.join("archives")] {
        let _ = fs::remove_dir_all(used_up);
    }
    Ok(())
}

/// Where Debian's backports for this system are.
struct Backports {
    repository: String,
    suite: String,
}

impl Backports {
    /// Beside the suite that the system has its own packages from.
    fn find() -> Result<Self, String> {
        let format = "$(ORIGIN) $(COMPONENT) $(CODENAME) $(REPO_URI)";
        let targets =
            Task::new("apt-get", ["indextargets", "--format", format, "Created-By: Packages"]);
        let targets = expect(&targets)?;
        let found = targets.lines().find_map(|line| match *line.split(' ').collect::<Vec<_>>() {
            // Not one of updates, security or backports.
            ["Debian", "main", suite, repository] if !suite.contains('-') => Some(Self {
                repository: repository.to_owned(),
                suite: format!("{suite}-backports"),
            }),
            _ => None,
        });
        found.ok_or_else(|| format!("apt-get knows no suite of Debian's:\n{targets}"))
    }

    fn source_line(&self) -> String {
        format!("deb {} {} main\n", self.repository, self.suite)
    }
}

fn expect(task: &Task) -> Result<String, String> {
    let ended = task.capture()?;
    if ended.is_success() {
        Ok(ended.output)
    } else {
        Err(format!("`{task}` failed:\n{}", ended.output))
    }
}
