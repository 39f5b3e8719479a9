//! What istgt, card, emulator, its user network and our stack leave to an initiator that costs nothing
//! itself: our hosting kernel asks istgt by commands that lie ready, and counts what comes.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use qemu_boot::event::Event;

use super::hosting::HostingKernel;
use super::kernel::line;
use super::machine::Hardware;
use crate::contender::Contender;
use crate::sample::Sample;
use crate::targets::names;
use crate::workload::{Digests, Operation, Workload};

/// The guest, held while it is not its turn.
#[derive(Debug)]
pub struct Bare(HostingKernel);

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
        let words = [&["demo.bare=yes", isid.as_str()], words].concat();
        HostingKernel::boot(hardware, image, &words, portal, target_name, span, digests).map(Self)
    }

    /// What the guest said last, as of [`Kernel`](super::kernel::Kernel::last_answer).
    #[must_use]
    pub fn last_answer(&self) -> Option<&Event> {
        self.0.last_answer()
    }

    /// Takes the guest away in good order.
    ///
    /// # Errors
    ///
    /// It did not go, or not in good order, and what it said last.
    pub fn end(self) -> Result<(), String> {
        self.0.end()
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
        self.0.prepare(workload.digests)
    }

    fn run(&mut self, workload: &Workload, limit: Duration) -> Result<Sample, String> {
        self.0.load(&line(workload, self.0.span, limit), limit).map(|(sample, _)| sample)
    }
}
