//! A small Linux in QEMU: Debian's own kernel and modules, never installed, with busybox around
//! them. For what only a Linux can judge (its iBFT reader) or offer (its iSCSI target).
//!
//! The kernel's package is fetched once, into `linux-guest` below cargo's target directory.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::process::{Process, RigError};
use crate::scratch::Scratch;

/// Debian's package that depends on the newest kernel's.
const META_PACKAGE: &str = "linux-image-amd64";
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
    qemu: Vec<String>,
    timeout: Duration,
}

impl LinuxGuest {
    /// A guest that runs `script` (busybox's sh, as root, with /proc, /sys and /dev) and powers
    /// off. It has 256 MiB, one processor and no network card.
    pub fn new(script: &str) -> Self {
        LinuxGuest {
            script: script.into(),
            modules: Vec::new(),
            files: Vec::new(),
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

    /// Boots it.
    ///
    /// # Errors
    /// [`RigError::Missing`] names the package that is not installed; [`RigError::Failed`] says
    /// what went wrong with fetching the kernel.
    pub fn start(self) -> Result<RunningGuest, RigError> {
        let kernel = Kernel::fetch()?;
        let initramfs = self.initramfs(&kernel)?;
        let scratch =
            Scratch::create(&cache()).map_err(failed("making a directory in", &cache()))?;
        let path = scratch.path().join("initramfs");
        fs::write(&path, initramfs).map_err(failed("writing", &path))?;

        let mut command = Command::new("qemu-system-x86_64");
        command
            .args(["-accel", "tcg", "-m", "256", "-nographic", "-no-reboot", "-nic", "none"])
            // A loaded machine emulates too slowly for the kernel's test of its timer.
            .args(["-append", "console=ttyS0 quiet panic=-1 no_timer_check"])
            .arg("-kernel")
            .arg(&kernel.image)
            .arg("-initrd")
            .arg(&path)
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
        for directory in ["bin", "dev", "proc", "sys", "tmp", "modules"] {
            archive.add(directory, 0o040_755, &[]);
        }
        archive.add("bin/busybox", 0o100_755, &busybox);
        let mut load = String::new();
        for (name, path) in kernel.with_dependencies(&self.modules)? {
            let bytes = fs::read(&path).map_err(failed("reading", &path))?;
            archive.add(&format!("modules/{name}.ko"), 0o100_644, &bytes);
            load += &format!("insmod /modules/{name}.ko || echo '@guest cannot load {name}'\n");
        }
        for (path, bytes) in &self.files {
            archive.add(path, 0o100_755, bytes);
        }
        archive.add("body", 0o100_755, self.script.as_bytes());
        let init = format!(
            "#!{BUSYBOX} sh\n\
             export PATH=/bin\n\
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

/// Debian's kernel, unpacked.
#[derive(Debug)]
struct Kernel {
    image: PathBuf,
    modules: PathBuf,
}

impl Kernel {
    /// Fetches and unpacks the package, unless that was done before.
    fn fetch() -> Result<Self, RigError> {
        let cache = cache();
        fs::create_dir_all(&cache).map_err(failed("making", &cache))?;
        // Tests run at the same time: one fetches, the others wait for it.
        let lock_path = cache.join("lock");
        let lock = File::create(&lock_path).map_err(failed("making", &lock_path))?;
        lock.lock().map_err(failed("locking", &lock_path))?;
        let root = cache.join("kernel");
        if !root.exists() {
            let partial = cache.join("partial");
            if partial.exists() {
                fs::remove_dir_all(&partial).map_err(failed("removing", &partial))?;
            }
            fs::create_dir(&partial).map_err(failed("making", &partial))?;
            unpack(&partial)?;
            fs::rename(&partial, &root).map_err(failed("renaming", &partial))?;
        }
        let image = only_entry(&root.join("boot"), "vmlinuz-")?;
        let modules = only_entry(&root.join("lib/modules"), "")?;
        Ok(Kernel { image, modules })
    }

    /// The modules' files in the order to load them, dependencies first.
    fn with_dependencies(&self, names: &[String]) -> Result<Vec<(String, PathBuf)>, RigError> {
        let mut files = Vec::new();
        list(&self.modules.join("kernel"), &mut files)?;
        let builtin = fs::read_to_string(self.modules.join("modules.builtin")).unwrap_or_default();
        let builtin: Vec<_> = builtin.lines().map(|line| module_name(Path::new(line))).collect();
        let mut order = Vec::new();
        for name in names {
            self.add(name, &files, &builtin, &mut order)?;
        }
        Ok(order)
    }

    fn add(
        &self,
        name: &str,
        files: &[PathBuf],
        builtin: &[String],
        order: &mut Vec<(String, PathBuf)>,
    ) -> Result<(), RigError> {
        let name = name.replace('-', "_");
        if builtin.contains(&name) || order.iter().any(|(earlier, _)| *earlier == name) {
            return Ok(());
        }
        let path = files.iter().find(|path| module_name(path) == name).ok_or_else(|| {
            RigError::Failed(format!("{} has no module {name}", self.modules.display()))
        })?;
        let bytes = fs::read(path).map_err(failed("reading", path))?;
        for dependency in dependencies(&bytes) {
            self.add(&dependency, files, builtin, order)?;
        }
        order.push((name, path.clone()));
        Ok(())
    }
}

/// Where the kernel is kept: below cargo's target directory.
fn cache() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    // A relative path counts from where cargo was started, which is the workspace.
    workspace.join(target).join("linux-guest")
}

fn unpack(directory: &Path) -> Result<(), RigError> {
    let depends = output(Command::new("apt-cache").args(["depends", META_PACKAGE]), "apt")?;
    let package = depends
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: "))
        .find(|name| name.starts_with("linux-image-"))
        .ok_or_else(|| {
            RigError::Failed(format!(
                "apt knows no {META_PACKAGE}, whose kernel this test boots: run apt-get update"
            ))
        })?;
    let mut download = Command::new("apt-get");
    download.args(["download", package]).current_dir(directory);
    output(&mut download, "apt")?;
    let archive = only_entry(directory, package)?;
    output(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(directory), "dpkg")?;
    fs::remove_file(&archive).map_err(failed("removing", &archive))
}

/// Runs a command to its end and returns its standard output.
fn output(command: &mut Command, package: &str) -> Result<String, RigError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            RigError::Missing { program: program.clone(), package: package.into() }
        }
        _ => RigError::Failed(format!("starting {program}: {error}")),
    })?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(RigError::Failed(format!(
            "{program}, which fetches the kernel of {META_PACKAGE} for a guest, failed ({}): {}",
            output.status,
            errors.trim()
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The names after `depends=` in a module's own description.
fn dependencies(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let Some(start) = module.windows(key.len()).position(|window| window == key) else {
        return Vec::new();
    };
    let value = module[start + key.len()..].split(|byte| *byte == 0).next().unwrap_or_default();
    let value = String::from_utf8_lossy(value);
    value.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn module_name(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().replace('-', "_")
}

fn list(directory: &Path, files: &mut Vec<PathBuf>) -> Result<(), RigError> {
    for entry in fs::read_dir(directory).map_err(failed("listing", directory))?.flatten() {
        let path = entry.path();
        if path.is_dir() {
            list(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "ko") {
            files.push(path);
        }
    }
    Ok(())
}

fn only_entry(directory: &Path, prefix: &str) -> Result<PathBuf, RigError> {
    let entries = fs::read_dir(directory).map_err(failed("listing", directory))?;
    entries
        .flatten()
        .find(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .ok_or_else(|| RigError::Failed(format!("no {prefix}* in {}", directory.display())))
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

/// A cpio archive in the "newc" format, which the kernel unpacks as its first file system.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    fn add(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let size = u32::try_from(content.len()).expect("a file of less than 4 GiB");
        let name_size = u32::try_from(path.len() + 1).expect("a short name");
        // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor,
        // namesize, check.
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.add("TRAILER!!!", 0, &[]);
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_are_read_from_a_module() {
        let module = b"\x7fELF..\0license=GPL\0depends=iscsi_boot_sysfs,scsi-mod\0intree=Y\0";
        assert_eq!(dependencies(module), ["iscsi_boot_sysfs", "scsi-mod"]);
        assert!(dependencies(b"\0depends=\0retpoline=Y\0").is_empty());
        assert!(dependencies(b"no description").is_empty());
    }

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

    #[test]
    fn the_archive_is_one_that_cpio_reads() {
        let mut archive = Archive::default();
        archive.add("bin", 0o040_755, &[]);
        archive.add("bin/hello", 0o100_755, b"hello");
        let bytes = archive.finish();
        assert!(bytes.starts_with(b"070701"));
        assert_eq!(bytes.len() % 4, 0);
        let text = String::from_utf8(bytes).unwrap().replace('\0', ".");
        assert!(text.contains("000000050000"), "the size of a file of five bytes");
        assert!(text.contains("bin/hello.hello...070701"), "{text:?}");
    }
}
