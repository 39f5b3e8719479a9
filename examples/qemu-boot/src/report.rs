//! The report of runs, for machines: what was asked, what was seen, what held.

use std::path::PathBuf;

use serde::Serialize;

use crate::boot::Seen;
use crate::judge::Check;
use crate::plan::{Chap, Digest, Firmware, Interrupts, Ip, Nic, Plan, Start};
use crate::stage::Stage;
use crate::watch::{GuestError, Sighting};

/// One run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The fault case, for a run that had to fail.
    pub fault: Option<&'static str>,
    /// The case, for a run that had to succeed with less.
    pub degraded: Option<&'static str>,
    /// The command that repeats it.
    pub command: String,
    /// Where the machine started.
    pub firmware: Firmware,
    /// Its NIC.
    pub nic: Nic,
    /// The QEMU that was asked for by name.
    pub qemu: Option<PathBuf>,
    /// The digests asked for.
    pub digest: Digest,
    /// CHAP in the table.
    pub chap: Option<Chap>,
    /// The version of IP.
    pub ip: Ip,
    /// The VLAN.
    pub vlan: Option<u16>,
    /// How the NIC was to interrupt.
    pub interrupts: Interrupts,
    /// Who started the kernel.
    pub start: Start,
    /// What it booted from.
    pub target: String,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// Whether everything held.
    pub passed: bool,
    /// From power-on to the end.
    pub seconds: f64,
    /// From kernel entry to the first block.
    pub first_block_seconds: Option<f64>,
    /// Rate of the read, in megabytes (10⁶ bytes) a second.
    pub read_mb_per_second: Option<f64>,
    /// Rate of the write.
    pub write_mb_per_second: Option<f64>,
    /// Share of the time of all work that the processor slept, in percent.
    pub idle_percent: Option<f64>,
    /// What had to hold.
    pub checks: Vec<Check>,
    /// Errors that the guest reported.
    pub errors: Vec<GuestError>,
    /// The stages as they came.
    pub stages: Vec<Sighting>,
    /// The last lines of the console, for a run in which something did not hold.
    pub last_lines: Vec<String>,
}

impl Report {
    /// The report of a run.
    #[must_use]
    pub fn new(plan: &Plan, seen: &Seen, checks: Vec<Check>) -> Self {
        let passed = checks.iter().all(|check| check.passed);
        Self {
            fault: None,
            degraded: None,
            command: plan.command(),
            firmware: plan.firmware,
            nic: plan.nic,
            qemu: plan.qemu.clone(),
            digest: plan.digest,
            chap: plan.chap,
            ip: plan.ip,
            vlan: plan.vlan,
            interrupts: plan.interrupts,
            start: plan.start,
            target: plan.target.to_string(),
            memory_mib: plan.memory_mib,
            passed,
            seconds: seen.seconds,
            first_block_seconds: seen
                .stage(Stage::FirstBlock)
                .and_then(|block| block.guest_micros)
                .map(|micros| micros as f64 / 1e6),
            read_mb_per_second: seen.stage(Stage::Read).and_then(rate),
            write_mb_per_second: seen.stage(Stage::Write).and_then(rate),
            idle_percent: seen
                .stage(Stage::Idle)
                .and_then(|idle| idle.field("share")?.parse().ok()),
            checks,
            errors: seen.errors.clone(),
            stages: seen.sightings.clone(),
            last_lines: if passed { Vec::new() } else { seen.last_lines.clone() },
        }
    }

    /// Says that the run had to fail, by which case.
    pub fn is_fault(&mut self, name: &'static str) {
        self.fault = Some(name);
        self.command = format!("cargo xtask boot --fault {name} --nic {}", self.nic.name());
    }

    /// Says that the run had to succeed with less, by which case.
    pub fn is_degraded(&mut self, name: &'static str) {
        self.degraded = Some(name);
        self.command = format!("cargo xtask boot --degraded {name}");
    }
}

/// Megabytes a second of a finished transfer, by the guest's clock.
#[must_use]
pub fn rate(transfer: &Sighting) -> Option<f64> {
    let bytes = transfer.number("bytes")?;
    let micros = transfer.number("took_us").filter(|micros| *micros > 0)?;
    Some(bytes as f64 / micros as f64)
}
