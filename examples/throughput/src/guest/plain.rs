//! What card, emulator, its user network and smoltcp leave to anybody, together: our hosting kernel asks
//! a server on the host over plain TCP, and drops the answers in place.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use qemu_boot::plan::HOST_ADDRESS;

use super::hosting::HostingKernel;
use super::kernel::line;
use super::machine::Hardware;
use crate::contender::Contender;
use crate::sample::Sample;
use crate::targets::names;
use crate::workload::{Digests, Operation, Workload};

/// The guest, held while it is not its turn.
#[derive(Debug)]
pub struct PlainTcp(HostingKernel);

impl PlainTcp {
    /// Boots `image` on `hardware`, whose card is on QEMU's own network, for a
    /// [server](crate::answers::Server) on the host's loopback; returns when it is connected, and
    /// held.
    ///
    /// # Errors
    ///
    /// What is missing, or what the guest said last.
    pub fn boot(hardware: &Hardware, image: &Path, server: SocketAddr) -> Result<Self, String> {
        let address = SocketAddr::from((HOST_ADDRESS, server.port()));
        let word = format!("demo.plain={address}");
        // Nobody logs in: of the table only the guest's own address is of use.
        let target_name = "iqn.2026-11.org.example:nobody";
        let mut kernel = HostingKernel::boot(hardware, image, &[&word], server, target_name)?;
        let answer = kernel.ready()?;
        if answer.field("plain") != Some(&address.to_string()) {
            let what = format!("is not connected to {address}: {answer:?}");
            return Err(kernel.failed(&what));
        }
        kernel.pause()?;
        Ok(Self(kernel))
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

impl Contender for PlainTcp {
    fn name(&self) -> &str {
        names::PLAIN_TCP
    }

    fn prepare(&mut self, workload: &Workload) -> Result<(), String> {
        if workload.operation == Operation::Read && workload.digests == Digests::None {
            return Ok(());
        }
        Err("plain TCP stands for reads without digests only".to_owned())
    }

    fn run(&mut self, workload: &Workload, limit: Duration) -> Result<Sample, String> {
        // There is no disk: one request is as good as another.
        let line = line(workload, u64::from(workload.block), limit);
        self.0.load(&line, limit).map(|(sample, _)| sample)
    }
}
