//! Our hosting kernel in a guest: booted once, it moves data as its serial port tells it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use isboot_tests::scratch::Scratch;
use qemu_boot::event::Event;
use qemu_boot::table;

use super::machine::{Hardware, Machine};
use crate::contender::Contender;
use crate::rig::{CONTENT, READ_LUN, WRITE_LUN};
use crate::sample::Sample;
use crate::workload::{Digests, Operation, Pattern, Workload};

/// What every answer of the kernel begins with.
const ANSWER: &str = "@isboot stage=bench ";
/// From QEMU's start to a session, or from one session to the next; istgt takes a second for each
/// login, an emulated card up to another for its first frame.
const SESSION: Duration = Duration::from_secs(60);
/// What a run may take beyond its time: the last requests, the check, on a busy machine.
const GRACE: Duration = Duration::from_secs(60);

/// The guest, held while it is not its turn.
#[derive(Debug)]
pub struct Kernel {
    machine: Machine,
    /// Of the session that it has.
    digests: Digests,
    /// Bytes of each LUN that take part.
    span: u64,
    last: Option<Event>,
    // Last: QEMU has read the table from there.
    _files: Scratch,
}

impl Kernel {
    /// Boots `image` on `hardware`, whose card is on QEMU's own network, from a target that listens
    /// on the host's loopback; returns when it is logged in, without digests, and held. Loads stay
    /// within the first `span` bytes of a LUN. `words` are further words of its command line.
    ///
    /// # Errors
    ///
    /// What is missing, or what the guest said last.
    pub fn boot(
        hardware: &Hardware,
        image: &Path,
        words: &[&str],
        portal: SocketAddr,
        target_name: &str,
        span: u64,
    ) -> Result<Self, String> {
        if !image.is_file() {
            return Err(format!(
                "there is no kernel image {image:?}: `cargo xtask bench` builds it"
            ));
        }
        let files = Scratch::create(&std::env::temp_dir())
            .map_err(|error| format!("making a folder for the iBFT: {error}"))?;
        let path = files.path().join("ibft.bin");
        let table = table::for_loopback(portal.port(), target_name)
            .map_err(|error| format!("building the iBFT: {error}"))?;
        fs::write(&path, table).map_err(|error| format!("writing {path:?}: {error}"))?;

        let mut command = hardware.command();
        command.arg("-kernel").arg(image);
        command.arg("-append").arg(
            ["demo.bench=yes", "isboot.header_digest=none", "isboot.data_digest=none"]
                .iter()
                .chain(words)
                .copied()
                .collect::<Vec<_>>()
                .join(" "),
        );
        command.arg("-acpitable").arg(format!("file={}", path.display()));
        // So that a guest that gives up ends, with what it said last.
        command.args(["-device", "isa-debug-exit,iobase=0xf4"]);
        let machine = Machine::start("isboot", command)?;
        let mut kernel = Self { machine, digests: Digests::None, span, last: None, _files: files };
        kernel.listens()?;
        kernel.machine.pause()?;
        Ok(kernel)
    }

    /// What the guest said of its last run or of its session, if that is newer: of a run with `demo.profile=yes` among its words, also where the
    /// time went, in microseconds.
    #[must_use]
    pub fn last_answer(&self) -> Option<&Event> {
        self.last.as_ref()
    }

    /// Takes the guest away in good order: logout, and the card let go.
    ///
    /// # Errors
    ///
    /// It did not go, or not in good order, and what it said last.
    pub fn end(mut self) -> Result<(), String> {
        self.machine.resume()?;
        self.machine.send("end")?;
        self.machine.wait_for("@isboot stage=verdict ", SESSION).and_then(|line| {
            if line.ends_with("result=pass") { Ok(()) } else { Err(self.machine.failed(&line)) }
        })
    }

    /// Waits until the guest has a session and listens.
    fn listens(&mut self) -> Result<(), String> {
        let answer = self.answer(SESSION)?;
        let has = |name| answer.field(name) == Some("CRC32C");
        let found = match (has("header_digest"), has("data_digest")) {
            (false, false) => Digests::None,
            (true, false) => Digests::Header,
            (true, true) => Digests::Both,
            (false, true) => return Err(self.machine.failed("has a data digest alone")),
        };
        if answer.field("ready") != Some("yes") || found != self.digests {
            let what = format!("has no session with {:?}: {answer:?}", self.digests);
            return Err(self.machine.failed(&what));
        }
        self.last = Some(answer);
        Ok(())
    }

    fn answer(&mut self, limit: Duration) -> Result<Event, String> {
        let line = self.machine.wait_for(ANSWER, limit)?;
        match Event::parse(&line) {
            Some(Ok(event)) => match event.field("error") {
                Some(error) => Err(error.to_owned()),
                None => Ok(event),
            },
            _ => Err(self.machine.failed(&format!("answered «{line}»"))),
        }
    }

    fn change_session(&mut self, digests: Digests) -> Result<(), String> {
        self.machine.resume()?;
        self.digests = digests;
        self.machine.send(match digests {
            Digests::None => "digests none",
            Digests::Header => "digests header",
            Digests::Both => "digests both",
        })?;
        self.listens()?;
        self.machine.pause()
    }
}

impl Contender for Kernel {
    fn name(&self) -> &str {
        "isboot"
    }

    fn prepare(&mut self, workload: &Workload) -> Result<(), String> {
        if self.digests == workload.digests {
            return Ok(());
        }
        self.change_session(workload.digests)
    }

    fn run(&mut self, workload: &Workload, limit: Duration) -> Result<Sample, String> {
        self.load(&line(workload, self.span, limit), limit)
    }
}

impl Kernel {
    /// Reads `bytes` from the start of the LUN as dd does: in blocks of 1 MiB, one after the other,
    /// over a session with these digests.
    ///
    /// # Errors
    ///
    /// What did not work, or did not end.
    pub fn dd(&mut self, digests: Digests, bytes: u64) -> Result<Sample, String> {
        const BLOCK: u32 = 1 << 20;
        let workload = Workload::read(BLOCK, 1).with(digests);
        self.prepare(&workload)?;
        let line = line(&workload, self.span, GRACE);
        let count = bytes / u64::from(BLOCK);
        let sample = self.load(&format!("{line} count={count}"), GRACE)?;
        if sample.bytes == bytes {
            return Ok(sample);
        }
        Err(format!("read {} of {bytes} bytes in {:?}", sample.bytes, sample.elapsed))
    }

    fn load(&mut self, line: &str, limit: Duration) -> Result<Sample, String> {
        self.machine.resume()?;
        self.machine.send(line)?;
        let answer = self.answer(limit + GRACE);
        self.machine.pause()?;
        let answer = self.last.insert(answer?);
        let number = |name| {
            answer
                .number(name)
                .filter(|&number| number > 0)
                .ok_or_else(|| format!("{name} is missing in {answer:?}"))
        };
        number("checked")?;
        Ok(Sample {
            bytes: number("bytes")?,
            commands: number("commands")?,
            elapsed: Duration::from_nanos(number("nanoseconds")?),
            cpu: None,
        })
    }
}

/// The line that asks the kernel for a load.
fn line(workload: &Workload, span: u64, limit: Duration) -> String {
    let (operation, lun) = match workload.operation {
        Operation::Read => ("read", READ_LUN),
        Operation::Write => ("write", WRITE_LUN),
    };
    let pattern = match workload.pattern {
        Pattern::Sequential => "sequential",
        Pattern::Random => "random",
    };
    format!(
        "run {operation} {pattern} disk={lun} block={} depth={} span={span} milliseconds={} \
         seed={CONTENT}",
        workload.block,
        workload.depth,
        limit.as_millis().max(1)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_a_line() {
        let workload = Workload::write(4096, 32).with(Digests::Both);
        assert_eq!(
            line(&workload, 1 << 20, Duration::from_millis(500)),
            format!(
                "run write sequential disk=1 block=4096 depth=32 span=1048576 milliseconds=500 \
                 seed={CONTENT}"
            )
        );
    }
}
