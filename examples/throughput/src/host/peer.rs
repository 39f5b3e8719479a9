//! Another initiator that is a program of its own: started once for a workload, held while it is
//! not its turn, and measured by what the system counts for it.
//!
//! libiscsi moves user data with readv(2) and writev(2), everything else with recv(2) and send(2);
//! the kernel counts only the former in `/proc/<id>/io`. So the count is the user data, to the byte,
//! without headers (a test compares it with what `iscsi-perf` prints). Processor time is the
//! scheduler's own account of the process's threads. Both are read at the beginning and at the end
//! of the time that counts: start, login and ramp lie before it.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use isboot_tests::process::{Process, within};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::contender::Contender;
use crate::processor;
use crate::rig::{BLOCK_LENGTH, Place, READ_LUN};
use crate::sample::Sample;
use crate::targets::names;
use crate::workload::{Digests, Operation, Pattern, Workload};

/// Data must flow so soon after the start: istgt sleeps a second in every login.
const START: Duration = Duration::from_secs(10);
/// By then it has sent its login, which istgt sleeps on.
const KNOCK: Duration = Duration::from_millis(60);
/// What arrived while it was held is taken in this time, before the time that counts.
pub const SETTLE: Duration = Duration::from_millis(35);

/// Which program, and how it is told what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// `iscsi-perf` of libiscsi: it only reads, and always offers a header digest.
    IscsiPerf,
    /// `qemu-img bench` over QEMU's libiscsi driver: reads and writes, but in order only.
    QemuImg,
}

impl Program {
    /// The one that does this best: `iscsi-perf` wherever it can, since nothing but libiscsi is in
    /// it.
    #[must_use]
    pub fn for_a(workload: &Workload) -> Self {
        if Self::IscsiPerf.can(workload) { Self::IscsiPerf } else { Self::QemuImg }
    }

    /// Whether it can do this: libiscsi 1.19 has no data digests.
    #[must_use]
    pub fn can(self, workload: &Workload) -> bool {
        match self {
            Self::IscsiPerf => {
                workload.operation == Operation::Read && workload.digests == Digests::None
            }
            Self::QemuImg => {
                workload.pattern == Pattern::Sequential && workload.digests != Digests::Both
            }
        }
    }

    fn command(self, workload: &Workload, place: &Place) -> Command {
        let (portal, target) = (place.portal, &place.target_name);
        let depth = workload.depth.to_string();
        match self {
            Self::IscsiPerf => {
                let mut command = Command::new("iscsi-perf");
                command.args(["-m", &depth]);
                command.args(["-b", &(workload.block / BLOCK_LENGTH).to_string()]);
                if workload.pattern == Pattern::Random {
                    command.arg("-r");
                }
                command.arg(url(portal, target, READ_LUN));
                command
            }
            Self::QemuImg => {
                let mut command = Command::new("qemu-img");
                let (target, lun) = match workload.operation {
                    Operation::Read => (target, READ_LUN),
                    Operation::Write => (&place.others_target_name, 0),
                };
                let digest = match workload.digests {
                    Digests::None => "none",
                    Digests::Header | Digests::Both => "crc32c",
                };
                command.args(["bench", "-t", "none", "-d", &depth]);
                // It is ended, not waited for.
                command.args(["-c", &i32::MAX.to_string(), "-s", &workload.block.to_string()]);
                if workload.operation == Operation::Write {
                    command.args(["-w", "--pattern", "90"]);
                }
                command.arg("--image-opts").arg(format!(
                    "driver=iscsi,transport=tcp,portal={portal},target={target},lun={lun},\
                     header-digest={digest}"
                ));
                command
            }
        }
    }

    fn package(self) -> &'static str {
        match self {
            Self::IscsiPerf => "libiscsi-bin",
            Self::QemuImg => "qemu-utils",
        }
    }
}

fn url(portal: SocketAddr, target: &str, lun: u8) -> String {
    format!("iscsi://{portal}/{target}/{lun}")
}

/// One of the programs, running for the last workload.
pub struct Peer {
    program: Program,
    place: Place,
    running: Option<(Workload, Held)>,
    /// Held in its login.
    early: Option<(Workload, Held)>,
}

impl Peer {
    /// The program, to be started against `place`.
    #[must_use]
    pub fn new(program: Program, place: &Place) -> Self {
        Self { program, place: place.clone(), running: None, early: None }
    }
}

impl Contender for Peer {
    fn name(&self) -> &str {
        names::LIBISCSI
    }

    fn prepare(&mut self, workload: &Workload) -> Result<(), String> {
        if self.running.as_ref().is_some_and(|(known, _)| known == workload) {
            return Ok(());
        }
        self.running = None;
        let mut held = match self.early.take() {
            Some((known, held)) if known == *workload => {
                held.go_on()?;
                held
            }
            _ => self.start(workload)?,
        };
        held.wait_for_data()?;
        held.hold()?;
        self.running = Some((*workload, held));
        Ok(())
    }

    fn run(&mut self, workload: &Workload, limit: Duration) -> Result<Sample, String> {
        let Some((_, held)) = &mut self.running else {
            return Err("it does not run: it was not prepared".to_owned());
        };
        held.go_on()?;
        std::thread::sleep(SETTLE);
        // What TCP had to drop while it was held comes again only after a while.
        let settled = held.counts()?.bytes;
        if !within(START, || held.counts().is_ok_and(|counts| counts.bytes > settled)) {
            return Err(held.failed(&format!("was let go and moved no data within {START:?}")));
        }
        let (before, began) = (held.counts()?, Instant::now());
        std::thread::sleep(limit);
        let (after, elapsed) = (held.counts()?, began.elapsed());
        held.hold()?;
        let bytes = after.bytes - before.bytes;
        if bytes < u64::from(workload.block) {
            return Err(held.failed(&format!("moved {bytes} bytes in {elapsed:?}")));
        }
        Ok(Sample {
            bytes,
            commands: bytes / u64::from(workload.block),
            elapsed,
            cpu: Some(after.processor - before.processor),
        })
    }
}

impl Peer {
    /// Starts what [`prepare`](Contender::prepare) is going to wait for, and holds it while istgt
    /// sleeps on its login: others can be measured meanwhile.
    ///
    /// # Errors
    ///
    /// It cannot do this, or it does not start.
    pub fn knock(&mut self, workload: &Workload) -> Result<(), String> {
        let held = self.start(workload)?;
        std::thread::sleep(KNOCK);
        held.hold()?;
        self.early = Some((*workload, held));
        Ok(())
    }

    fn start(&self, workload: &Workload) -> Result<Held, String> {
        if !self.program.can(workload) {
            return Err(format!("{:?} cannot do this", self.program));
        }
        let command = self.program.command(workload, &self.place);
        let process = Process::spawn(command, self.program.package());
        let process = process.map_err(|error| error.to_string())?;
        Ok(Held { process, operation: workload.operation })
    }
}

/// A process that is stopped and continued.
struct Held {
    process: Process,
    operation: Operation,
}

/// What the system counted for a process so far.
struct Counts {
    bytes: u64,
    processor: Duration,
}

impl Held {
    fn wait_for_data(&mut self) -> Result<(), String> {
        let began = Instant::now();
        while began.elapsed() < START && self.process.exited().is_none() {
            // What the start itself reads, libraries and the like, is less.
            if self.counts().is_ok_and(|counts| counts.bytes > 1 << 20) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        match self.process.exited() {
            None => Err(self.failed(&format!("moved no data within {START:?}"))),
            Some(status) => Err(self.failed(&format!("ended ({status})"))),
        }
    }

    fn hold(&self) -> Result<(), String> {
        self.signal(Signal::SIGSTOP)
    }

    fn go_on(&self) -> Result<(), String> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<(), String> {
        let id = i32::try_from(self.process.id()).map_err(|error| error.to_string())?;
        kill(Pid::from_raw(id), signal)
            .map_err(|error| self.failed(&format!("did not take {signal}: {error}")))
    }

    fn counts(&self) -> Result<Counts, String> {
        let name = match self.operation {
            Operation::Read => "rchar: ",
            Operation::Write => "wchar: ",
        };
        let file = format!("/proc/{}/io", self.process.id());
        let io = fs::read_to_string(&file).map_err(|error| format!("reading {file}: {error}"))?;
        let bytes = counted(&io, name).ok_or_else(|| format!("{file} holds no {name}"))?;
        let processor = processor::time_of(self.process.id())?;
        Ok(Counts { bytes, processor })
    }

    fn failed(&self, what: &str) -> String {
        self.process.failed(what).to_string()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Held, it would not hear that it is to end.
        let _ = self.go_on();
    }
}

/// One count of proc_pid_io(5).
fn counted(io: &str, name: &str) -> Option<u64> {
    io.lines().find_map(|line| line.strip_prefix(name)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Rig;

    #[test]
    fn the_kernels_accounts_are_read() {
        let io = "rchar: 65536\nwchar: 48\nsyscr: 9\n";
        assert_eq!(counted(io, "rchar: "), Some(65536));
        assert_eq!(counted(io, "wchar: "), Some(48));
        assert_eq!(counted("wchar: 48\n", "rchar: "), None);
    }

    /// Otherwise a release of libiscsi that reads by other calls would look slow.
    #[test]
    fn what_the_system_counts_is_what_the_program_prints() {
        let rig = Rig::start(&std::env::temp_dir(), 64 << 20).unwrap();
        let place = rig.place();
        let workload = Workload::read(65536, 4);
        let mut command = Program::IscsiPerf.command(&workload, &place);
        command.args(["-t", "1"]);
        let process = Process::spawn(command, Program::IscsiPerf.package()).unwrap();
        let mut held = Held { process, operation: workload.operation };
        held.wait_for_data().unwrap();
        let mut last = 0;
        while held.process.exited().is_none() {
            last = held.counts().map_or(last, |counts| counts.bytes);
            std::thread::sleep(Duration::from_millis(1));
        }
        held.process.stop();
        let log = held.process.log();
        let printed = log.split("iops average ").last().and_then(|rest| rest.split(' ').next());
        let printed: u64 = printed.and_then(|digits| digits.parse().ok()).expect(&log);
        let counted = last / u64::from(workload.block);
        // It prints the average of a second and a bit, whose bit is not printed.
        let expected = printed * 9 / 10..=printed * 12 / 10;
        assert!(expected.contains(&counted), "{counted} counted, {printed} a second printed");
    }

    #[test]
    fn one_that_cannot_log_in_is_an_error_with_its_words() {
        let rig = Rig::start(&std::env::temp_dir(), 1 << 20).unwrap();
        let place =
            Place { target_name: "iqn.2026-11.org.example:nobody".to_owned(), ..rig.place() };
        let error = Peer::new(Program::IscsiPerf, &place).prepare(&Workload::read(4096, 1));
        let error = error.unwrap_err();
        assert!(error.contains("iscsi-perf") && error.contains("Login Failed"), "{error}");
    }
}
