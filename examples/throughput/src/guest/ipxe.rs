//! iPXE in a guest: a small program reads through its INT 13h, as a boot loader would.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use isboot_tests::scratch::Scratch;
use qemu_boot::disk_image;
use qemu_boot::plan::{HOST_ADDRESS, INITIATOR_NAME};

use super::machine::{Hardware, Machine};
use crate::contender::Contender;
use crate::rig::{BLOCK_LENGTH, CONTENT, READ_LUN};
use crate::sample::Sample;
use crate::workload::{Digests, Operation, Pattern, Workload};

/// iPXE with its drivers for all cards.
const IPXE: &str = "/usr/lib/ipxe/ipxe.lkrn";
/// What reads.
const SOURCE: &str = include_str!("ipxe/reads.s");
/// Where a network boot program starts.
const LOADED_AT: &str = "0x7c00";
/// Frequency of the PC's timer, and by how much it counts in a tick of the BIOS.
const TIMER_HZ: f64 = 1_193_182.0;
const TIMER_PER_TICK: f64 = 65_536.0;
/// Ticks in which the program counts, as it says itself.
const TICKS_COUNTED: f64 = 9.0;
/// The shift of the unit that the program counts its limit in.
const LIMIT_SHIFT: u32 = 20;
/// A BIOS takes 127 blocks at once at most.
const MOST_BLOCKS: u32 = 127;
/// Firmware, DHCP, a login of a second, and a loaded machine.
const BOOT: Duration = Duration::from_secs(90);
/// What a run may take beyond its time.
const GRACE: Duration = Duration::from_secs(30);

/// The guest, held while it is not its turn. It reads up to 63.5 KiB at once, one after the other,
/// without digests: INT 13h has nothing else.
#[derive(Debug)]
pub struct Ipxe {
    machine: Machine,
    /// By how much the processor's counter grows in a second.
    counts_a_second: f64,
    /// Blocks that take part.
    span: u64,
    // Last: iPXE has fetched the program from there.
    _files: Scratch,
}

impl Ipxe {
    /// Boots it on `hardware`, whose card is on QEMU's own network, for a target that listens on the
    /// host's loopback; returns when it takes orders, and is held. Reads stay within the first
    /// `span` bytes of the LUN.
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
        if !Path::new(IPXE).is_file() {
            return Err(format!("there is no {IPXE}: install the package ipxe"));
        }
        let files = Scratch::create(&std::env::temp_dir())
            .map_err(|error| format!("making a folder for iPXE's program: {error}"))?;
        assemble(files.path())?;
        let script = files.path().join("boot.ipxe");
        fs::write(&script, ipxe_script(portal.port(), target_name))
            .map_err(|error| format!("writing {script:?}: {error}"))?;
        let mut hardware = hardware.clone();
        hardware.network += &format!(",tftp={}", files.path().display());
        let mut command = hardware.command();
        command.args(["-kernel", IPXE]).arg("-initrd").arg(script);
        let mut machine = Machine::start("iPXE", command)?;
        let ready = machine.wait_for("@", BOOT)?;
        machine.pause()?;
        let Some([counted]) = numbers("@ready", &ready) else {
            return Err(machine.failed(&format!("began with «{ready}»")));
        };
        let counts_a_second = f64::from(counted) * TIMER_HZ / (TIMER_PER_TICK * TICKS_COUNTED);
        let span = span / u64::from(BLOCK_LENGTH);
        Ok(Self { machine, counts_a_second, span, _files: files })
    }

    /// Sends an order and gives the answer, a line.
    fn order(&mut self, order: &str, limit: Duration) -> Result<String, String> {
        self.machine.resume()?;
        self.machine.send(order)?;
        let answer = self.machine.wait_for("@", limit);
        self.machine.pause()?;
        answer
    }
}

impl Contender for Ipxe {
    fn name(&self) -> &str {
        "iPXE"
    }

    fn prepare(&mut self, workload: &Workload) -> Result<(), String> {
        blocks(workload).map(|_| ())
    }

    fn run(&mut self, workload: &Workload, limit: Duration) -> Result<Sample, String> {
        let blocks = blocks(workload)?;
        let counts = (limit.as_secs_f64() * self.counts_a_second) as u64 >> LIMIT_SHIFT;
        let order = format!("run {blocks:x} {:x} {:x}", counts.max(1), self.span);
        let answer = self.order(&order, limit + GRACE)?;
        let Some([reads, high, low, last, sum]) = numbers("@done", &answer) else {
            let what = format!("answered «{answer}» to «{order}»");
            return Err(self.machine.failed(&what));
        };
        let expected = sum_of(last, workload.block);
        if sum != expected {
            let what =
                format!("read block {last} wrong: its words' sum is {sum:#x}, not {expected:#x}");
            return Err(self.machine.failed(&what));
        }
        let counted = u64::from(high) << 32 | u64::from(low);
        Ok(Sample {
            bytes: u64::from(reads) * u64::from(workload.block),
            commands: u64::from(reads),
            elapsed: Duration::from_secs_f64(counted as f64 / self.counts_a_second),
            cpu: None,
        })
    }
}

/// Blocks of a read, where INT 13h can do the workload.
fn blocks(workload: &Workload) -> Result<u32, String> {
    let blocks = workload.block / BLOCK_LENGTH;
    let can = workload.operation == Operation::Read
        && workload.pattern == Pattern::Sequential
        && workload.depth == 1
        && workload.digests == Digests::None
        && workload.block.is_multiple_of(BLOCK_LENGTH)
        && (1..=MOST_BLOCKS).contains(&blocks);
    if can { Ok(blocks) } else { Err(format!("INT 13h has no {workload}")) }
}

/// The numbers after `word`, where the line is that and nothing else.
fn numbers<const COUNT: usize>(word: &str, line: &str) -> Option<[u32; COUNT]> {
    let words = line.strip_prefix(word)?.split_whitespace();
    let numbers: Option<Vec<u32>> = words.map(|one| u32::from_str_radix(one, 16).ok()).collect();
    numbers?.try_into().ok()
}

/// The sum of the 32-bit words that a read of `bytes` at a block gives.
fn sum_of(block: u32, bytes: u32) -> u32 {
    let first = u64::from(block) * u64::from(BLOCK_LENGTH) / 8;
    (first..first + u64::from(bytes) / 8)
        .map(|index| disk_image::word(CONTENT, index))
        .fold(0, |sum: u32, word| sum.wrapping_add(word as u32).wrapping_add((word >> 32) as u32))
}

/// What iPXE does: hooks the disk, and starts the program.
fn ipxe_script(port: u16, target_name: &str) -> String {
    let [a, b, c, d] = HOST_ADDRESS;
    format!(
        "#!ipxe\ndhcp || exit\nset initiator-iqn {INITIATOR_NAME}\n\
         sanhook --drive 0x80 iscsi:{a}.{b}.{c}.{d}::{port}:{READ_LUN}:{target_name} || exit\n\
         chain tftp://{a}.{b}.{c}.{d}/reads.bin\n"
    )
}

/// Makes the program's image, `reads.bin`, in `folder`.
fn assemble(folder: &Path) -> Result<PathBuf, String> {
    let [source, object, image] = ["reads.s", "reads.o", "reads.bin"].map(|name| folder.join(name));
    fs::write(&source, SOURCE).map_err(|error| format!("writing {source:?}: {error}"))?;
    let mut assembler = Command::new("as");
    assembler.args(["--32", "-o"]).arg(&object).arg(&source);
    let mut linker = Command::new("ld");
    linker.args(["-m", "elf_i386", "-Ttext", LOADED_AT, "--oformat", "binary", "-o"]);
    linker.arg(&image).arg(&object);
    for mut command in [assembler, linker] {
        let output = command
            .output()
            .map_err(|error| format!("{command:?}, of the package binutils: {error}"))?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{command:?} failed: {}", errors.trim()));
        }
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_numbers_and_nothing_else() {
        assert_eq!(numbers("@done", "@done 00000010 ffffffff 1"), Some([16, u32::MAX, 1]));
        for line in
            ["@done 1 2", "@done 1 2 3 4", "@done 1 2 g", "@failed 1 2 3", "@done 1 2 100000000"]
        {
            assert_eq!(numbers::<3>("@done", line), None, "{line}");
        }
    }

    #[test]
    fn what_int13_cannot_do_is_refused() {
        let read = Workload::read(32 << 10, 1);
        assert_eq!(blocks(&read), Ok(64));
        let others = [
            Workload::read(64 << 10, 1),
            Workload::read(32 << 10, 4),
            Workload::write(32 << 10, 1),
            Workload::random_read(4096, 1),
            read.with(Digests::Header),
            Workload::read(100, 1),
        ];
        for workload in others {
            let error = blocks(&workload).unwrap_err();
            assert_eq!(error, format!("INT 13h has no {workload}"));
        }
    }

    #[test]
    fn the_program_is_assembled_and_ends_before_the_buffer() {
        let folder = Scratch::new(std::env::current_exe().unwrap().parent().unwrap());
        let program = fs::read(assemble(folder.path()).unwrap()).unwrap();
        // xor ax, ax, at the very start: that is where iPXE jumps to.
        assert!(program.starts_with(&[0x31, 0xc0]), "{:x?}", &program[..8]);
        assert!(program.len() < 1024, "{} bytes", program.len());
    }

    #[test]
    fn the_sum_is_that_of_the_disks_words() {
        let words: Vec<u64> = (0..128).map(|index| disk_image::word(CONTENT, index)).collect();
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let sum = bytes[512..]
            .chunks_exact(4)
            .fold(0u32, |sum, four| sum.wrapping_add(u32::from_le_bytes(four.try_into().unwrap())));
        assert_eq!(sum_of(1, 512), sum);
    }
}
