//! libiscsi's own measuring program, `iscsi-perf`, over the kernel's TCP.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use isboot_tests::process::{Process, within};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::Place;
use crate::contender::Contender;
use crate::rig::{BLOCK_LENGTH, READ_LUN};
use crate::sample::Sample;
use crate::workload::{Digests, Operation, Pattern, Workload};

/// Data must flow so soon after the start: istgt sleeps a second in every login.
const START: Duration = Duration::from_secs(10);
/// After it was let go, what waited in the network arrives at once; measured is what follows.
const SETTLE: Duration = Duration::from_millis(50);
/// User data that make sure that it is past its login.
const FLOWS: u64 = 1 << 20;

/// `iscsi-perf`, started once for a workload and held while it is not its turn.
///
/// It receives user data with readv(2) and everything else with recv(2), and the kernel counts only
/// the former in `/proc/<id>/io`; its processor time is the scheduler's own account.
pub struct Libiscsi {
    place: Place,
    running: Option<(Workload, Process)>,
}

impl Libiscsi {
    /// To be started against `place`, in the network of the thread that prepares it.
    #[must_use]
    pub fn new(place: &Place) -> Self {
        Self { place: place.clone(), running: None }
    }
}

impl Contender for Libiscsi {
    fn name(&self) -> &str {
        crate::targets::names::LIBISCSI
    }

    fn prepare(&mut self, workload: &Workload) -> Result<(), String> {
        if self.running.as_ref().is_some_and(|(known, _)| known == workload) {
            return Ok(());
        }
        self.end();
        let is_it = workload.operation == Operation::Read
            && workload.pattern == Pattern::Sequential
            && workload.digests == Digests::None;
        if !is_it {
            return Err("iscsi-perf only reads, and libiscsi has no data digests".to_owned());
        }
        let Place { portal, target_name, .. } = &self.place;
        let mut command = Command::new("iscsi-perf");
        command
            .args(["-m", &workload.depth.to_string()])
            .args(["-b", &(workload.block / BLOCK_LENGTH).to_string()])
            .arg(format!("iscsi://{portal}/{target_name}/{READ_LUN}"));
        let process = Process::spawn(command, "libiscsi-bin");
        let mut process = process.map_err(|error| error.to_string())?;
        let mut ended = None;
        let flows = within(START, || {
            ended = process.exited();
            ended.is_some() || counts(process.id()).is_ok_and(|(bytes, _)| bytes > FLOWS)
        });
        if let Some(status) = ended {
            return Err(process.failed(&format!("ended ({status})")).to_string());
        }
        if !flows {
            return Err(process.failed(&format!("moved no data within {START:?}")).to_string());
        }
        signal(&process, Signal::SIGSTOP)?;
        self.running = Some((*workload, process));
        Ok(())
    }

    fn run(&mut self, workload: &Workload, limit: Duration) -> Result<Sample, String> {
        let Some((_, process)) = &mut self.running else {
            return Err("it does not run: it was not prepared".to_owned());
        };
        signal(process, Signal::SIGCONT)?;
        thread::sleep(SETTLE);
        let ((bytes, processor), began) = (counts(process.id())?, Instant::now());
        thread::sleep(limit);
        let ((bytes_after, processor_after), elapsed) = (counts(process.id())?, began.elapsed());
        signal(process, Signal::SIGSTOP)?;
        let bytes = bytes_after.saturating_sub(bytes);
        if bytes < u64::from(workload.block) {
            let what = format!("moved {bytes} bytes in {elapsed:?}");
            return Err(process.failed(&what).to_string());
        }
        Ok(Sample {
            bytes,
            commands: bytes / u64::from(workload.block),
            elapsed,
            cpu: Some(processor_after.saturating_sub(processor)),
        })
    }
}

impl Libiscsi {
    fn end(&mut self) {
        if let Some((_, process)) = self.running.take() {
            // Held, it would not hear that it is to end.
            let _ = signal(&process, Signal::SIGCONT);
        }
    }
}

impl Drop for Libiscsi {
    fn drop(&mut self) {
        self.end();
    }
}

fn signal(process: &Process, signal: Signal) -> Result<(), String> {
    let id = i32::try_from(process.id()).map_err(|error| error.to_string())?;
    kill(Pid::from_raw(id), signal)
        .map_err(|error| format!("iscsi-perf did not take {signal}: {error}"))
}

/// User data and processor time of a process so far.
fn counts(id: u32) -> Result<(u64, Duration), String> {
    let read = |file: String| {
        fs::read_to_string(&file).map_err(|error| format!("reading {file}: {error}"))
    };
    let io = read(format!("/proc/{id}/io"))?;
    let account = read(format!("/proc/{id}/schedstat"))?;
    let bytes = bytes_read(&io).ok_or_else(|| format!("/proc/{id}/io holds no rchar"))?;
    let processor = time_on_processor(&account);
    Ok((bytes, processor.ok_or_else(|| format!("{account:?} is no schedstat"))?))
}

/// `rchar` of proc_pid_io(5).
fn bytes_read(io: &str) -> Option<u64> {
    io.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok())
}

/// The first number of `/proc/<id>/schedstat`: nanoseconds.
fn time_on_processor(account: &str) -> Option<Duration> {
    account.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_accounts_are_read() {
        let io = "rchar: 65536\nwchar: 48\nsyscr: 9\n";
        assert_eq!(bytes_read(io), Some(65536));
        assert_eq!(bytes_read("wchar: 48\n"), None);
        let time = time_on_processor("2500000000 17 99\n");
        assert_eq!(time, Some(Duration::from_millis(2500)));
        assert_eq!(time_on_processor(""), None);
        assert!(counts(std::process::id()).is_ok());
    }
}
