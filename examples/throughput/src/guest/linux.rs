//! Linux in a guest: Debian's kernel with open-iscsi, and fio on top, booted once.

mod fio;

use std::net::SocketAddr;
use std::time::Duration;

use isboot_tests::linux_guest::LinuxGuest;
use isboot_tests::scratch::Scratch;
use qemu_boot::disk_image;
use qemu_boot::plan::{GUEST_ADDRESS, HOST_ADDRESS, INITIATOR_NAME, Nic};

use sha2::{Digest, Sha256};

use super::machine::{Hardware, Machine};
use crate::contender::Contender;
use crate::rig::{CONTENT, READ_LUN, WRITE_LUN};
use crate::sample::Sample;
use crate::workload::{Digests, Operation, Pattern, Workload};

/// What the guest runs.
const SCRIPT: &str = include_str!("linux/guest.sh");
/// Storage that fio could reach and nobody here does: tens of megabytes, and half a second of every
/// start in an emulator.
const NEVER_CALLED: &[&str] =
    &["libgfapi", "libibverbs", "libnbd", "libpmem", "librados", "librbd", "librdmacm"];
/// A kernel's start under an emulator takes ten seconds; a loaded machine gets ten times that.
const BOOT: Duration = Duration::from_secs(120);
/// istgt takes a second for each login.
const SESSION: Duration = Duration::from_secs(60);
/// What a run may take beyond its time: fio's start and end, the last requests.
const GRACE: Duration = Duration::from_secs(60);
/// Bytes that are compared once in each session.
const CHECKED: u64 = 1 << 20;

/// The guest, held while it is not its turn.
///
/// It is set up as somebody would who wants it fast: a session with `queue_depth` 128, `cmds_max`
/// 256, `InitialR2T` No, `ImmediateData` Yes, bursts and segments of 256 KiB, no pings; disks with no
/// scheduler, no merging, no statistics, requests of up to 1 MiB; a kernel with `mitigations=off`,
/// without audit and watchdogs; fio with `libaio`, `direct`, in a thread, without the clock calls
/// that latencies take.
#[derive(Debug)]
pub struct Linux {
    machine: Machine,
    /// Of the session that it has.
    digests: Option<Digests>,
    /// Bytes of each LUN that take part.
    span: u64,
    // Last: QEMU has read the initramfs from there.
    _files: Scratch,
}

impl Linux {
    /// Boots it on `hardware`, whose card is on QEMU's own network, for a target that listens on the
    /// host's loopback; returns when it takes orders, and is held. Loads stay within the first
    /// `span` bytes of a LUN.
    ///
    /// # Errors
    ///
    /// What is missing, or what the guest said last.
    pub fn boot(
        hardware: &Hardware,
        portal: SocketAddr,
        target_name: &str,
        span: u64,
    ) -> Result<Self, String> {
        let files = Scratch::create(&std::env::temp_dir())
            .map_err(|error| format!("making a folder for the initramfs: {error}"))?;
        let guest = guest(hardware.nic, portal.port(), target_name);
        let boot = guest.boot_files(files.path()).map_err(|error| error.to_string())?;
        let mut command = hardware.command();
        command.arg("-kernel").arg(&boot.kernel).arg("-initrd").arg(&boot.initramfs);
        command.args(["-append", &boot.command_line]);
        let machine = Machine::start("Linux", command)?;
        let mut linux = Self { machine, digests: None, span, _files: files };
        linux.machine.wait_for("@ready", BOOT)?;
        linux.machine.pause()?;
        Ok(linux)
    }

    /// Sends an order and gives what follows the `@` and `word` of the answer.
    fn order(&mut self, order: &str, word: &str, limit: Duration) -> Result<String, String> {
        self.machine.resume()?;
        self.machine.send(order)?;
        let answer = self.machine.wait_for("@", limit);
        self.machine.pause()?;
        let answer = answer?;
        match answer.strip_prefix('@').and_then(|rest| rest.strip_prefix(word)) {
            Some(rest) => Ok(rest.trim().to_owned()),
            None => Err(self.machine.failed(&format!("answered «{answer}» to «{order}»"))),
        }
    }

    /// Logs in with these digests, out before where it is logged in, and compares what it reads.
    fn log_in(&mut self, digests: Digests) -> Result<(), String> {
        let wanted = match digests {
            Digests::None => "None None",
            Digests::Header => "CRC32C None",
            Digests::Both => "CRC32C CRC32C",
        };
        self.digests = None;
        let got = self.order(&format!("digests {wanted}"), "digests ", SESSION)?;
        // sysfs has it as 0 and 1.
        let expected = match digests {
            Digests::None => "0 0",
            Digests::Header => "1 0",
            Digests::Both => "1 1",
        };
        if got != expected {
            return Err(self.machine.failed(&format!("has digests «{got}», not «{wanted}»")));
        }
        self.check()?;
        self.digests = Some(digests);
        Ok(())
    }

    /// Compares the middle of the LUN that is read with what is known to be there.
    fn check(&mut self) -> Result<(), String> {
        let length = CHECKED.min(self.span);
        let offset = (self.span - length) / 2 / length * length;
        let order = format!("sum {READ_LUN} {offset} {length}");
        let sum = self.order(&order, "sum ", SESSION)?;
        let words = offset / 8..(offset + length) / 8;
        let bytes: Vec<u8> =
            words.flat_map(|word| disk_image::word(CONTENT, word).to_le_bytes()).collect();
        let expected = sha256(&bytes);
        if sum.starts_with(&expected) {
            return Ok(());
        }
        Err(self.machine.failed(&format!(
            "read {length} bytes at {offset} whose SHA-256 is {sum}, not {expected}"
        )))
    }
}

impl Contender for Linux {
    fn name(&self) -> &str {
        "Linux"
    }

    fn prepare(&mut self, workload: &Workload) -> Result<(), String> {
        if self.digests == Some(workload.digests) {
            return Ok(());
        }
        self.log_in(workload.digests)
    }

    fn run(&mut self, workload: &Workload, limit: Duration) -> Result<Sample, String> {
        let order = order(workload, self.span, limit);
        let report = self.order(&order, "fio ", limit + GRACE)?;
        fio::sample(&report, workload)
            .map_err(|error| self.machine.failed(&format!("ran fio, whose report {error}")))
    }
}

/// Everything that goes into the guest.
fn guest(nic: Nic, port: u16, target_name: &str) -> LinuxGuest {
    let module = module(nic);
    let [a, b, c, d] = GUEST_ADDRESS;
    let [e, f, g, h] = HOST_ADDRESS;
    let script = format!(
        "TARGET='{target_name}'\nPORTAL='{e}.{f}.{g}.{h}:{port}'\nADDRESS='{a}.{b}.{c}.{d}/24'\n\
         INITIATOR='{INITIATOR_NAME}'\nNIC='{module}'\n{SCRIPT}"
    );
    LinuxGuest::new(&script)
        .module(module)
        .module("crc32c_generic")
        .module("iscsi_tcp")
        .module("sd_mod")
        .program("open-iscsi", "sbin/iscsid", &[])
        .program("open-iscsi", "sbin/iscsiadm", &[])
        .program("fio", "usr/bin/fio", NEVER_CALLED)
        .kernel_arguments("mitigations=off audit=0 nowatchdog nmi_watchdog=0")
}

/// In hexadecimal digits, as `sha256sum` prints it.
fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Linux's driver for a card.
fn module(nic: Nic) -> &'static str {
    match nic {
        Nic::E1000 | Nic::I82544gc | Nic::I82545em => "e1000",
        Nic::E1000e => "e1000e",
        Nic::Igb => "igb",
    }
}

/// The line that asks the guest for a load.
fn order(workload: &Workload, span: u64, limit: Duration) -> String {
    let lun = match workload.operation {
        Operation::Read => READ_LUN,
        Operation::Write => WRITE_LUN,
    };
    let kind = match (workload.pattern, workload.operation) {
        (Pattern::Sequential, Operation::Read) => "read",
        (Pattern::Sequential, Operation::Write) => "write",
        (Pattern::Random, Operation::Read) => "randread",
        (Pattern::Random, Operation::Write) => "randwrite",
    };
    let milliseconds = limit.as_millis().max(1);
    format!("fio {lun} {kind} {} {} {milliseconds} {span}", workload.block, workload.depth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_an_order() {
        let limit = Duration::from_millis(500);
        let line = |workload| order(&workload, 1 << 20, limit);
        assert_eq!(line(Workload::random_read(4096, 32)), "fio 0 randread 4096 32 500 1048576");
        assert_eq!(line(Workload::write(1 << 20, 4)), "fio 1 write 1048576 4 500 1048576");
    }

    #[test]
    fn the_script_answers_every_order_that_is_sent() {
        for order in ["digests", "fio", "sum"] {
            assert!(SCRIPT.contains(&format!("        {order}) ")), "{order}");
            assert!(SCRIPT.contains(&format!("echo \"@{order} ")), "{order}");
        }
        assert!(SCRIPT.contains("echo '@ready'"));
    }
}
