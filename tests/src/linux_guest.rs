//! A small Linux in QEMU: Debian's own kernel and modules, never installed, with busybox around
//! them. For what only a Linux can judge (its iBFT reader) or offer (its iSCSI target).
//!
//! What of other packages goes in is not installed either. Packages are fetched once, into `linux-guest` below cargo's target directory.

mod archive;
mod kernel;
mod package;
mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use self::archive::Archive;
use self::kernel::Kernel;
use self::package::cache;
use self::program::Program;
use crate::process::{Process, RigError};
use crate::scratch::Scratch;

const BUSYBOX: &str = "/bin/busybox";
/// What the init script prints before and after the body of [`LinuxGuest::new`].
const BODY_STARTS: &str = "@guest body";
const BODY_ENDS: &str = "@guest status=";

/// A guest to be started: set it up, then [`start`](Self::start) it.
#[derive(Debug)]
pub struct LinuxGuest {
    script: String,
    modules: Vec<String>,
    files: Vec<(String, Vec<u8>)>,
    programs: Vec<Program>,
    kernel_arguments: String,
    qemu: Vec<String>,
    timeout: Duration,
}

/// What a QEMU starts a guest from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootFiles {
    /// The kernel's image.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initramfs: PathBuf,
    /// The kernel's command line.
    pub command_line: String,
}

impl LinuxGuest {
    /// A guest that runs `script` (busybox's sh, as root, with /proc, /sys and /dev) and powers
    /// off. It has 256 MiB, one processor and no network card.
    pub fn new(script: &str) -> Self {
        LinuxGuest {
            script: script.into(),
            modules: Vec::new(),
            files: Vec::new(),
            programs: Vec::new(),
            kernel_arguments: String::new(),
            qemu: Vec::new(),
            timeout: Duration::from_secs(120),
        }
    }

    /// Loads a kernel module, and what it depends on, before the script runs.
    #[must_use]
    pub fn module(mut self, name: &str) -> Self {
        self.modules.push(name.into());
        self
    }

    /// Puts a file into the guest; the path starts without a slash.
    #[must_use]
    pub fn file(mut self, path: &str, bytes: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.into(), bytes.into()));
        self
    }

    /// Puts a program of a Debian package into the guest, with its libraries: neither need be
    /// installed. `path` is the program's, in the package and in the guest, without a slash before
    /// it. Of libraries whose names begin with one of `never_called` there will be a stub.
    #[must_use]
    pub fn program(mut self, package: &str, path: &str, never_called: &[&str]) -> Self {
        self.programs.push(Program {
            package: package.into(),
            path: path.into(),
            never_called: never_called.iter().map(ToString::to_string).collect(),
        });
        self
    }

    /// Adds arguments to the kernel's command line.
    #[must_use]
    pub fn kernel_arguments(mut self, arguments: &str) -> Self {
        self.kernel_arguments.push(' ');
        self.kernel_arguments.push_str(arguments);
        self
    }

    /// Adds arguments for QEMU.
    #[must_use]
    pub fn qemu(mut self, arguments: &[&str]) -> Self {
        self.qemu.extend(arguments.iter().map(ToString::to_string));
        self
    }

    /// How long the guest may run, from its start to its power-off; two minutes unless said.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Makes what a QEMU starts it from, in `directory`, for who runs a QEMU of his own.
    ///
    /// # Errors
    /// [`RigError::Missing`] names the package that is not installed; [`RigError::Failed`] says
    /// what went wrong with fetching a package.
    pub fn boot_files(&self, directory: &Path) -> Result<BootFiles, RigError> {
        let kernel = Kernel::fetch()?;
        let initramfs = directory.join("initramfs");
        fs::write(&initramfs, self.initramfs(&kernel)?).map_err(failed("writing", &initramfs))?;
        // A loaded machine emulates too slowly for the kernel's test of its timer.
        let usual = "console=ttyS0 quiet panic=-1 no_timer_check";
        let command_line = format!("{usual}{}", self.kernel_arguments);
        Ok(BootFiles { kernel: kernel.image, initramfs, command_line })
    }

    /// Boots it.
    ///
    /// # Errors
    /// As [`boot_files`](Self::boot_files).
    pub fn start(self) -> Result<RunningGuest, RigError> {
        let scratch =
            Scratch::create(&cache()).map_err(failed("making a directory in", &cache()))?;
        let files = self.boot_files(scratch.path())?;
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-accel", "tcg", "-m", "256", "-nographic", "-no-reboot", "-nic", "none"])
            .args(["-append", &files.command_line])
            .arg("-kernel")
            .arg(&files.kernel)
            .arg("-initrd")
            .arg(&files.initramfs)
            .args(&self.qemu);
        let process = Process::spawn(command, "qemu-system-x86")?;
        let end = Instant::now() + self.timeout;
        Ok(RunningGuest { process, end, timeout: self.timeout, _scratch: scratch })
    }

    /// Boots it, waits for its power-off and returns what the script printed.
    ///
    /// # Errors
    /// As [`start`](Self::start) and [`RunningGuest::finish`].
    pub fn run(self) -> Result<String, RigError> {
        self.start()?.finish()
    }

    fn initramfs(&self, kernel: &Kernel) -> Result<Vec<u8>, RigError> {
        let busybox = fs::read(BUSYBOX).map_err(|_| busybox_missing())?;
        // An interpreter is named in a program that is linked dynamically: it would not start.
        if contains(&busybox, b"/ld-linux") {
            return Err(busybox_missing());
        }
        let mut archive = Archive::default();
        for directory in ["dev", "proc", "sys", "tmp"] {
            archive.add_directory(directory);
        }
        archive.add("bin/busybox", 0o100_755, &busybox);
        let mut load = String::new();
        for (name, path) in kernel.with_dependencies(&self.modules)? {
            let bytes = fs::read(&path).map_err(failed("reading", &path))?;
            archive.add(&format!("modules/{name}.ko"), 0o100_644, &bytes);
            load += &format!("insmod /modules/{name}.ko || echo '@guest cannot load {name}'\n");
        }
        let mut programs = BTreeMap::new();
        for program in &self.programs {
            programs.extend(program.files()?);
        }
        for (path, bytes) in
            programs.iter().chain(self.files.iter().map(|(path, bytes)| (path, bytes)))
        {
            archive.add(path, 0o100_755, bytes);
        }
        archive.add("body", 0o100_755, self.script.as_bytes());
        let init = format!(
            "#!{BUSYBOX} sh\n\
             export PATH=/bin:/sbin:/usr/bin:/usr/sbin\n\
             {BUSYBOX} --install -s /bin\n\
             mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev\n\
             {load}\
             echo '{BODY_STARTS}'\n\
             sh /body\n\
             echo \"{BODY_ENDS}$?\"\n\
             poweroff -f\n"
        );
        archive.add("init", 0o100_755, init.as_bytes());
        Ok(archive.finish())
    }
}

/// A guest that was started. Dropping it ends it.
#[derive(Debug)]
pub struct RunningGuest {
    process: Process,
    end: Instant,
    timeout: Duration,
    _scratch: Scratch,
}

impl RunningGuest {
    /// What the console showed so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until the console shows `text`, for instance because a service is up.
    ///
    /// # Errors
    /// [`RigError::Failed`] when the guest's time passed first.
    pub fn wait_for(&self, text: &str) -> Result<(), RigError> {
        self.wait_for_within(text, self.timeout)
    }

    /// As [`wait_for`](Self::wait_for), for at most `limit`.
    ///
    /// # Errors
    /// [`RigError::Failed`] when `limit` or the guest's time passed first.
    pub fn wait_for_within(&self, text: &str, limit: Duration) -> Result<(), RigError> {
        let left = self.end.saturating_duration_since(Instant::now());
        if self.process.wait_for_log(text, left.min(limit)) {
            return Ok(());
        }
        Err(self.process.failed(&format!("did not print \"{text}\" within {limit:?}")))
    }

    /// Waits for the power-off and returns what the script printed.
    ///
    /// # Errors
    /// [`RigError::Failed`] when the guest's time passed, when its kernel or a module failed, or
    /// when the script's status is not 0.
    pub fn finish(mut self) -> Result<String, RigError> {
        let left = self.end.saturating_duration_since(Instant::now());
        if !crate::process::within(left, || self.process.exited().is_some()) {
            return Err(self
                .process
                .failed(&format!("did not power off within {:?}", self.timeout)));
        }
        // Waits for the rest of the output.
        self.process.stop();
        let log = self.process.log().replace('\r', "");
        let body = log.split_once(&format!("{BODY_STARTS}\n")).map(|(_, body)| body);
        let Some((body, status)) = body.and_then(|body| body.split_once(BODY_ENDS)) else {
            return Err(self.process.failed("ended before the script was through"));
        };
        if log.contains("@guest cannot load") || !status.starts_with("0\n") {
            return Err(self.process.failed("ran a script that failed"));
        }
        Ok(body.to_owned())
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

fn busybox_missing() -> RigError {
    RigError::Missing { program: BUSYBOX.into(), package: "busybox-static".into() }
}

fn failed(doing: &str, path: &Path) -> impl Fn(std::io::Error) -> RigError + use<> {
    let what = format!("{doing} {}", path.display());
    move |error| RigError::Failed(format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_that_fails_and_a_module_that_is_not_there_are_errors() {
        let error = LinuxGuest::new("echo it did not work; exit 3").run().unwrap_err().to_string();
        assert!(error.contains("ran a script that failed"), "{error}");
        assert!(error.contains("it did not work"), "{error}");
        let error = LinuxGuest::new("").module("no-such-module").run().unwrap_err().to_string();
        assert!(error.contains("has no module no_such_module"), "{error}");
    }

    #[test]
    fn a_guest_that_does_not_end_is_ended_in_time() {
        let guest = LinuxGuest::new("echo ready; sleep 1000").timeout(Duration::from_secs(60));
        let mut guest = guest.start().unwrap();
        guest.wait_for("ready").unwrap();
        guest.end = Instant::now() + Duration::from_millis(100);
        let error = guest.wait_for("more").unwrap_err().to_string();
        assert!(error.contains("did not print \"more\""), "{error}");
        let scratch = guest._scratch.path().to_owned();
        let error = guest.finish().unwrap_err().to_string();
        assert!(error.contains("did not power off"), "{error}");
        assert!(!scratch.exists());
    }
}
