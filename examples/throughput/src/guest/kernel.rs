//! Our hosting kernel in a guest: booted once, it moves data as its serial port tells it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use qemu_boot::event::Event;

use super::hosting::{GRACE, HostingKernel, number};
use super::machine::Hardware;
use crate::contender::Contender;
use crate::rig::{CONTENT, READ_LUN, WRITE_LUN};
use crate::sample::Sample;
use crate::workload::{Digests, Operation, Pattern, Workload};

/// The guest, held while it is not its turn.
#[derive(Debug)]
pub struct Kernel(HostingKernel);

impl Kernel {
    /// Boots `image` on `hardware`, whose card is on QEMU's own network, from a target that listens
    /// on the host's loopback; returns when it is logged in, with `digests`, and held. Loads stay
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
        digests: Digests,
    ) -> Result<Self, String> {
        let words = [&["demo.bench=yes"], words].concat();
        HostingKernel::boot(hardware, image, &words, portal, target_name, span, digests).map(Self)
    }

    /// What the guest said of its last run or of its session, if that is newer: of a run with
    /// `demo.profile=yes` among its words, also where the time went, in microseconds.
    #[must_use]
    pub fn last_answer(&self) -> Option<&Event> {
        self.0.last_answer()
    }

    /// Takes the guest away in good order: logout, and the card let go.
    ///
    /// # Errors
    ///
    /// It did not go, or not in good order, and what it said last.
    pub fn end(self) -> Result<(), String> {
        self.0.end()
    }

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
        let line = line(&workload, self.0.span, GRACE);
        let count = bytes / u64::from(BLOCK);
        let sample = self.load(&format!("{line} count={count}"), GRACE)?;
        if sample.bytes == bytes {
            return Ok(sample);
        }
        Err(format!("read {} of {bytes} bytes in {:?}", sample.bytes, sample.elapsed))
    }

    fn load(&mut self, line: &str, limit: Duration) -> Result<Sample, String> {
        let (sample, answer) = self.0.load(line, limit)?;
        // What was moved counts where some of it was looked at.
        number(answer, "checked")?;
        Ok(sample)
    }
}

impl Contender for Kernel {
    fn name(&self) -> &str {
        "isboot"
    }

    fn prepare(&mut self, workload: &Workload) -> Result<(), String> {
        self.0.prepare(workload.digests)
    }

    fn run(&mut self, workload: &Workload, limit: Duration) -> Result<Sample, String> {
        self.load(&line(workload, self.0.span, limit), limit)
    }
}

/// The line that asks the kernel for a load.
pub(super) fn line(workload: &Workload, span: u64, limit: Duration) -> String {
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
