//! A child process that never outlives its rig: output captured, waits bounded, ended on drop.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a process may take to end after SIGTERM before SIGKILL follows.
const GRACE: Duration = Duration::from_secs(3);
/// How often a bounded wait looks again.
const STEP: Duration = Duration::from_millis(10);

/// Why a rig could not be set up.
#[derive(Debug)]
pub enum RigError {
    /// The program is not installed; `package` is Debian's name for what holds it.
    Missing {
        /// The program looked for.
        program: String,
        /// The Debian package to install.
        package: String,
    },
    /// Something was tried and did not work: what, and what came back.
    Failed(String),
}

impl fmt::Display for RigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { program, package } => write!(
                out,
                "`{program}` is not installed: install the package `{package}` (`cargo xtask setup` does)"
            ),
            Self::Failed(what) => out.write_str(what),
        }
    }
}

impl std::error::Error for RigError {}

/// One line of a followed program's stdout.
#[derive(Clone, Debug)]
pub struct Line {
    /// When its end came.
    pub at: Instant,
    /// The line with its line end.
    pub text: String,
}

/// A running program with its output captured line by line.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts `command` with stdin closed and stdout and stderr captured into one log.
    ///
    /// It gets a process group of its own: Ctrl-C at the terminal reaches the rig alone, which
    /// then ends its children in order.
    ///
    /// # Errors
    /// [`RigError::Missing`] naming `package` when there is no such program.
    pub fn spawn(command: Command, package: &str) -> Result<Self, RigError> {
        Self::start(command, package, None)
    }

    /// As [`spawn`](Self::spawn), and hands out each line of stdout when it comes.
    ///
    /// # Errors
    /// As [`spawn`](Self::spawn).
    pub fn spawn_followed(
        command: Command,
        package: &str,
    ) -> Result<(Self, mpsc::Receiver<Line>), RigError> {
        let (sender, lines) = mpsc::channel();
        Ok((Self::start(command, package, Some(sender))?, lines))
    }

    fn start(
        mut command: Command,
        package: &str,
        follower: Option<mpsc::Sender<Line>>,
    ) -> Result<Self, RigError> {
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0);
        let mut child = command.spawn().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => {
                RigError::Missing { program: program.clone(), package: package.to_owned() }
            }
            _ => RigError::Failed(format!("starting `{program}`: {error}")),
        })?;
        let log = Arc::new(Mutex::new(String::new()));
        let mut readers = Vec::new();
        if let Some(stdout) = child.stdout.take() {
            readers.push(capture(stdout, Arc::clone(&log), follower));
        }
        if let Some(stderr) = child.stderr.take() {
            readers.push(capture(stderr, Arc::clone(&log), None));
        }
        Ok(Self { name: program, child, log, readers })
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything that it printed so far, stdout and stderr mixed by line.
    #[must_use]
    pub fn log(&self) -> String {
        self.log.lock().map(|log| log.clone()).unwrap_or_default()
    }

    /// Whether its output holds `text` so far.
    #[must_use]
    pub fn log_contains(&self, text: &str) -> bool {
        self.log.lock().is_ok_and(|log| log.contains(text))
    }

    /// Waits until its output holds `text`; false when `limit` passed first.
    #[must_use]
    pub fn wait_for_log(&self, text: &str, limit: Duration) -> bool {
        within(limit, || self.log_contains(text))
    }

    /// The exit status, when it has ended.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Ends it: SIGTERM, and SIGKILL when it does not go within three seconds.
    pub fn stop(&mut self) {
        if self.exited().is_none() {
            self.signal(Signal::SIGTERM);
            within(GRACE, || self.child.try_wait().ok().flatten().is_some());
        }
        self.kill();
    }

    /// Ends it at once (SIGKILL), as a crash would.
    pub fn kill(&mut self) {
        if self.exited().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        // The pipes are at their end now, so the readers are too, unless a grandchild holds them.
        for reader in self.readers.drain(..) {
            if within(Duration::from_millis(500), || reader.is_finished()) {
                let _ = reader.join();
            }
        }
    }

    /// A failure that names this process and quotes the end of its log.
    #[must_use]
    pub fn failed(&self, what: &str) -> RigError {
        let log = self.log();
        let tail: Vec<&str> = log.lines().rev().take(8).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        RigError::Failed(format!(
            "`{}` {what}; its last words:\n  {}",
            self.name,
            tail.join("\n  ")
        ))
    }

    fn signal(&self, signal: Signal) {
        if let Ok(id) = i32::try_from(self.child.id()) {
            let _ = kill(Pid::from_raw(id), signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Looks every 10 ms until `done` holds; false when `limit` passed first.
pub fn within(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(STEP);
    }
}

fn capture(
    from: impl Read + Send + 'static,
    log: Arc<Mutex<String>>,
    follower: Option<mpsc::Sender<Line>>,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while matches!(from.read_until(b'\n', &mut line), Ok(count) if count > 0) {
            let at = Instant::now();
            let text = String::from_utf8_lossy(&line);
            if let Ok(mut log) = log.lock() {
                log.push_str(&text);
            }
            if let Some(follower) = &follower {
                // Nobody follows any more: the log still grows.
                let _ = follower.send(Line { at, text: text.into_owned() });
            }
            line.clear();
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script);
        Process::spawn(command, "dash").unwrap()
    }

    #[test]
    fn a_missing_program_names_its_package() {
        let error = Process::spawn(Command::new("no-such-program"), "some-package").unwrap_err();
        assert!(matches!(&error, RigError::Missing { program, package }
            if program == "no-such-program" && package == "some-package"));
        assert!(error.to_string().contains("some-package"));
    }

    #[test]
    fn both_outputs_are_captured() {
        let process = shell("echo one; echo two >&2; sleep 5");
        assert!(process.wait_for_log("one\n", Duration::from_secs(5)));
        assert!(process.wait_for_log("two\n", Duration::from_secs(5)));
        assert!(!process.log_contains("three"));
    }

    #[test]
    fn dropping_ends_a_process_that_ignores_sigterm() {
        let process = shell("trap '' TERM; echo ready; while :; do sleep 0.1; done");
        assert!(process.wait_for_log("ready", Duration::from_secs(5)));
        let id = Pid::from_raw(process.id().try_into().unwrap());
        assert!(kill(id, None).is_ok());
        drop(process);
        assert!(kill(id, None).is_err(), "still there after drop");
    }
}
