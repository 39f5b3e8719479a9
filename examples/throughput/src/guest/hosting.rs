//! The hosting kernel in QEMU: booted once, it does what its serial port tells it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use isboot_tests::scratch::Scratch;
use qemu_boot::event::Event;
use qemu_boot::table;

use super::machine::{Hardware, Machine};
use crate::sample::Sample;
use crate::workload::Digests;

/// What every answer of the kernel begins with.
const ANSWER: &str = "@isboot stage=bench ";
/// From QEMU's start to a session, or from one session to the next; istgt takes a second for each
/// login, an emulated card up to another for its first frame.
pub(super) const SESSION: Duration = Duration::from_secs(60);
/// What a run may take beyond its time: the last requests, the check, on a busy machine.
pub(super) const GRACE: Duration = Duration::from_secs(60);

/// The kernel sleeps through long waits, as any kernel does that adapts to them: what it leaves of the
/// processors is the target's and the emulator's. A card without MSI-X interrupts in the next best way.
const WAITING: [&str; 2] = ["isboot.interrupts=msix", "demo.patience=yes"];

/// A running kernel, or one that is held.
#[derive(Debug)]
pub(super) struct HostingKernel {
    machine: Machine,
    last: Option<Event>,
    /// Of the session that it has.
    digests: Digests,
    /// Bytes of each LUN that take part.
    pub(super) span: u64,
    // Last: QEMU has read the table from there.
    _files: Scratch,
}

impl HostingKernel {
    /// Boots `image` on `hardware`, whose card is on QEMU's own network, with these words on its
    /// command line and a table that has this target on the host's loopback; returns when it is
    /// logged in, with `digests`, and held. Loads stay within the first `span` bytes of a LUN.
    ///
    /// # Errors
    ///
    /// What is missing, or what the guest said last.
    pub(super) fn boot(
        hardware: &Hardware,
        image: &Path,
        words: &[&str],
        portal: SocketAddr,
        target_name: &str,
        span: u64,
        digests: Digests,
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
        let words = [&WAITING, &words_for(digests)[..], words].concat().join(" ");
        command.arg("-kernel").arg(image).arg("-append").arg(words);
        command.arg("-acpitable").arg(format!("file={}", path.display()));
        // So that a guest that gives up ends, with what it said last.
        command.args(["-device", "isa-debug-exit,iobase=0xf4"]);
        let machine = Machine::start("isboot", command)?;
        let mut kernel = Self { machine, last: None, digests, span, _files: files };
        kernel.has_session()?;
        kernel.pause()?;
        Ok(kernel)
    }

    /// What it answered last.
    pub(super) fn last_answer(&self) -> Option<&Event> {
        self.last.as_ref()
    }

    /// Lets it go on with a line.
    pub(super) fn send(&mut self, line: &str) -> Result<(), String> {
        self.machine.resume()?;
        self.machine.send(line)
    }

    /// Holds it.
    pub(super) fn pause(&mut self) -> Result<(), String> {
        self.machine.pause()
    }

    /// Waits until it says that it is ready for lines.
    fn ready(&mut self) -> Result<Event, String> {
        let answer = self.answer(SESSION)?;
        if answer.field("ready") == Some("yes") {
            self.last = Some(answer.clone());
            return Ok(answer);
        }
        Err(self.failed(&format!("is not ready: {answer:?}")))
    }

    /// Waits until it has a session with its digests and is ready for lines.
    fn has_session(&mut self) -> Result<(), String> {
        let answer = self.ready()?;
        let has = |name| answer.field(name) == Some("CRC32C");
        let found = match (has("header_digest"), has("data_digest")) {
            (false, false) => Digests::None,
            (true, false) => Digests::Header,
            (true, true) => Digests::Both,
            (false, true) => return Err(self.failed("has a data digest alone")),
        };
        if found == self.digests {
            return Ok(());
        }
        Err(self.failed(&format!("has no session with {:?}: {answer:?}", self.digests)))
    }

    /// Lets it go on with a session that has these digests, where it has another, and holds it again.
    pub(super) fn prepare(&mut self, digests: Digests) -> Result<(), String> {
        if self.digests == digests {
            return Ok(());
        }
        self.digests = digests;
        self.send(match digests {
            Digests::None => "digests none",
            Digests::Header => "digests header",
            Digests::Both => "digests both",
        })?;
        self.has_session()?;
        self.pause()
    }

    /// Lets it run a load and holds it again: what it moved, and its answer.
    pub(super) fn load(&mut self, line: &str, limit: Duration) -> Result<(Sample, &Event), String> {
        self.send(line)?;
        let answer = self.answer(limit + GRACE);
        self.pause()?;
        let answer = self.last.insert(answer?);
        let sample = Sample {
            bytes: number(answer, "bytes")?,
            commands: number(answer, "commands")?,
            elapsed: Duration::from_nanos(number(answer, "nanoseconds")?),
            cpu: None,
        };
        Ok((sample, answer))
    }

    /// Takes it away in good order: logout, and the card let go.
    pub(super) fn end(mut self) -> Result<(), String> {
        self.send("end")?;
        self.machine.wait_for("@isboot stage=verdict ", SESSION).and_then(|line| {
            if line.ends_with("result=pass") { Ok(()) } else { Err(self.failed(&line)) }
        })
    }

    /// A sentence about it, and what it said last.
    pub(super) fn failed(&self, what: &str) -> String {
        self.machine.failed(what)
    }

    fn answer(&mut self, limit: Duration) -> Result<Event, String> {
        let line = self.machine.wait_for(ANSWER, limit)?;
        match Event::parse(&line) {
            Some(Ok(event)) => match event.field("error") {
                Some(error) => Err(error.to_owned()),
                None => Ok(event),
            },
            _ => Err(self.failed(&format!("answered «{line}»"))),
        }
    }
}

/// The words of a command line that ask for these digests and take no others.
fn words_for(digests: Digests) -> [&'static str; 2] {
    match digests {
        Digests::None => ["isboot.header_digest=none", "isboot.data_digest=none"],
        Digests::Header => ["isboot.header_digest=crc32c", "isboot.data_digest=none"],
        Digests::Both => ["isboot.header_digest=crc32c", "isboot.data_digest=crc32c"],
    }
}

/// A number of an answer that is not nothing.
pub(super) fn number(answer: &Event, name: &str) -> Result<u64, String> {
    let number = answer.number(name).filter(|&number| number > 0);
    number.ok_or_else(|| format!("{name} is missing in {answer:?}"))
}
