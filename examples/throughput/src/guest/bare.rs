//! What istgt, card, emulator, its user network and our stack leave to an initiator that costs nothing
//! itself: our hosting kernel asks istgt by commands that lie ready, and counts what comes.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use qemu_boot::event::Event;

use super::hosting::{HostingKernel, words_for};
use super::kernel::line;
use super::machine::Hardware;
use crate::contender::Contender;
use crate::sample::Sample;
use crate::targets::names;
use crate::workload::{Digests, Operation, Workload};

/// The guest, held while it is not its turn.
#[derive(Debug)]
pub struct Bare {
    kernel: HostingKernel,
    /// Of the session that it has.
    digests: Digests,
    /// Bytes of the LUN that take part.
    span: u64,
}

impl Bare {
    /// Boots `image` on `hardware` as [`Kernel::boot`](super::kernel::Kernel::boot) does; returns when
    /// it is logged in, with `digests`, and held.
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
        // Of all that have a session with the same target, each has one of its own.
        let isid = format!("isboot.isid=800000ba5e{:02x}", digests as u8);
        let words = [&["demo.bare=yes", &isid], &words_for(digests)[..], words].concat();
        let mut kernel = HostingKernel::boot(hardware, image, &words, portal, target_name)?;
        kernel.has_session(digests)?;
        kernel.pause()?;
        Ok(Self { kernel, digests, span })
    }

    /// What the guest said last, as of [`Kernel`](super::kernel::Kernel::last_answer).
    #[must_use]
    pub fn last_answer(&self) -> Option<&Event> {
        self.kernel.last_answer()
    }

    /// Takes the guest away in good order.
    ///
    /// # Errors
    ///
    /// It did not go, or not in good order, and what it said last.
    pub fn end(self) -> Result<(), String> {
        self.kernel.end()
    }
}

impl Contender for Bare {
    fn name(&self) -> &str {
        names::BARE
    }

    fn prepare(&mut self, workload: &Workload) -> Result<(), String> {
        if workload.operation == Operation::Write {
            return Err("bare iSCSI stands for reads only".to_owned());
        }
        if self.digests == workload.digests {
            return Ok(());
        }
        self.digests = workload.digests;
        self.kernel.change_session(workload.digests)
    }

    fn run(&mut self, workload: &Workload, limit: Duration) -> Result<Sample, String> {
        self.kernel.load(&line(workload, self.span, limit), limit).map(|(sample, _)| sample)
    }
}
