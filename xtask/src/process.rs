//! Runs other programs: shown or captured, interruptible, and never longer than a bound.

use std::ffi::OsStr;
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A program that runs longer than this hangs.
const LIMIT: Duration = Duration::from_secs(30 * 60);
/// Between a request to end and the end by force.
const GRACE: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(20);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on, Ctrl-C and SIGTERM end the running program first.
pub(crate) fn watch_signals() {
    // Fails only when a handler is installed already.
    let _ = ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed));
}

/// Whether the person wants everything to end.
pub(crate) fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// A program to run, with its place and the variables that matter to repeat it by hand.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    program: String,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: u8,
    /// What it printed, when that was captured.
    pub(crate) output: String,
}

impl Ended {
    pub(crate) fn is_success(&self) -> bool {
        self.status == 0
    }
}

impl Task {
    pub(crate) fn new<I: AsRef<str>>(
        program: &str,
        arguments: impl IntoIterator<Item = I>,
    ) -> Self {
        let arguments = arguments.into_iter().map(|argument| argument.as_ref().to_owned());
        Self { program: program.to_owned(), arguments: arguments.collect(), variables: Vec::new() }
    }

    /// The cargo that runs us.
    pub(crate) fn cargo(arguments: &str) -> Self {
        Self::new("cargo", arguments.split_whitespace())
    }

    pub(crate) fn argument(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_string_lossy().into_owned());
        self
    }

    pub(crate) fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        let value = value.as_ref().to_string_lossy().into_owned();
        self.variables.push((name.to_owned(), value));
        self
    }

    /// Runs it with its output on the terminal.
    pub(crate) fn show(&self) -> Result<Ended, String> {
        let child = self.command().spawn().map_err(|error| self.not_started(&error))?;
        Ok(Ended { status: wait(child), output: String::new() })
    }

    /// Runs it with its output kept.
    pub(crate) fn capture(&self) -> Result<Ended, String> {
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| self.not_started(&error))?;
        let stdout = child.stdout.take().map(read);
        let stderr = child.stderr.take().map(read);
        let status = wait(child);
        let texts = [stderr, stdout].into_iter().flatten();
        let output = texts.map(|text| text.join().unwrap_or_default()).collect();
        Ok(Ended { status, output })
    }

    fn command(&self) -> Command {
        // Under `cargo xtask`, CARGO names the cargo that runs us.
        let program = match (self.program.as_str(), std::env::var_os("CARGO")) {
            ("cargo", Some(cargo)) => cargo,
            (program, _) => program.into(),
        };
        let mut command = Command::new(program);
        command.args(&self.arguments).current_dir(root());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn not_started(&self, error: &std::io::Error) -> String {
        format!("starting `{}`: {error}", self.program)
    }
}

/// As typed into a shell in the workspace's folder.
impl fmt::Display for Task {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.variables {
            write!(out, "{name}={} ", quoted(value))?;
        }
        out.write_str(&self.program)?;
        for argument in &self.arguments {
            write!(out, " {}", quoted(argument))?;
        }
        Ok(())
    }
}

fn quoted(word: &str) -> String {
    if word.contains([' ', '"', '$', '\'']) {
        format!("'{}'", word.replace('\'', r"'\''"))
    } else {
        word.to_owned()
    }
}

/// The exit status; 128 and the signal's number for a program that a signal ended, as shells say.
fn wait(mut child: Child) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let end = Instant::now() + LIMIT;
    let mut asked: Option<Instant> = None;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                let code = status.code().or(status.signal().map(|signal| 128 + signal));
                return code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX);
            }
            Ok(None) => {}
            Err(_) => return u8::MAX,
        }
        match asked {
            None if is_interrupted() || Instant::now() > end => {
                // From a terminal, Ctrl-C reached it already; a second request does no harm.
                if let Ok(id) = i32::try_from(child.id()) {
                    let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
                }
                asked = Some(Instant::now());
            }
            Some(asked) if asked.elapsed() > GRACE => {
                let _ = child.kill();
            }
            _ => {}
        }
        std::thread::sleep(STEP);
    }
}

fn read(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The workspace's folder.
pub(crate) fn root() -> &'static Path {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own)
}

/// Cargo's target folder.
pub(crate) fn build_folder() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_both_outputs_are_kept() {
        let ended = Task::new("sh", ["-c", "echo out; echo err >&2; exit 3"]).capture().unwrap();
        assert_eq!(ended.status, 3);
        assert!(ended.output.contains("out\n") && ended.output.contains("err\n"));
        assert_eq!(Task::new("sh", ["-c", "kill -9 $$"]).capture().unwrap().status, 137);
        assert!(Task::new("no-such-program", [""; 0]).capture().is_err());
    }

    #[test]
    fn a_task_reads_as_it_is_typed() {
        let task =
            Task::cargo("doc --no-deps").variable("RUSTDOCFLAGS", "-D warnings").argument("it's");
        assert_eq!(task.to_string(), r"RUSTDOCFLAGS='-D warnings' cargo doc --no-deps 'it'\''s'");
    }
}
