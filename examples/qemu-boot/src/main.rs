//! `qemu-boot`: the command line.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use isboot_tests::process::RigError;
use qemu_boot::boot::{self, End, Seen};
use qemu_boot::degraded::{DEGRADED, Degraded};
use qemu_boot::fault::{FAULTS, Fault};
use qemu_boot::interrupt;
use qemu_boot::judge::{Check, judge, judge_answer};
use qemu_boot::matrix::{Matrix, on_each_qemu};
use qemu_boot::plan::{
    Chap, Digest, Disturbance, Firmware, Interrupts, Ip, Nic, Plan, Start, TableFault, TargetChoice,
};
use qemu_boot::report::Report;
use qemu_boot::say;
use qemu_boot::screen::{Mode, Screen, row};

/// Boots the hosting kernel in QEMU from an iSCSI target and judges the run.
#[derive(Debug, Parser)]
#[command(name = "qemu-boot", after_help = EXAMPLES, version)]
struct Arguments {
    /// Firmware: SeaBIOS, or OVMF with iPXE's EFI driver
    #[arg(long, value_enum, default_value = "bios")]
    firmware: Firmware,
    /// Network card: e1000 is an 82540EM, e1000e an 82574L, igb an 82576
    #[arg(long, value_enum, default_value = "e1000")]
    nic: Nic,
    /// CRC32C digests that the session must have
    #[arg(long, value_enum, default_value = "none")]
    digest: Digest,
    /// How the card is to interrupt; `none` polls. The mode in use must then be this one
    #[arg(long, value_enum, default_value = "none")]
    interrupts: Interrupts,
    /// After the detach, attach, log in and read once more, as the next owner would
    #[arg(long)]
    twice: bool,
    /// What to boot from: istgt, builtin, or iscsi:ADDRESS::PORT:LUN:NAME (only read; the address
    /// as the guest sees it, 10.0.2.2 is this host's loopback)
    #[arg(long, default_value = "istgt")]
    target: TargetChoice,
    /// Who starts the kernel: firmware and iPXE, or QEMU itself with an iBFT of ours in ACPI
    #[arg(long, value_enum, default_value = "ipxe")]
    start: Start,
    /// CHAP; needs --start direct, because iPXE's script holds no secrets here
    #[arg(long, value_enum)]
    chap: Option<Chap>,
    /// IP version; v6 needs --start direct, and a host with the loopback address ::1
    #[arg(long, value_enum, default_value = "v4")]
    ip: Ip,
    /// 802.1Q VLAN that the guest must speak in, 1 to 4094; needs --start direct
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u16).range(1..=4094))]
    vlan: Option<u16>,
    /// Other NICs besides: one before, one of another vendor, and one on the same board; needs
    /// --start direct
    #[arg(long)]
    more_nics: bool,
    /// Memory of the machine in MiB [default: 32; 256 for UEFI, which needs it for itself]
    #[arg(long, value_name = "MIB")]
    memory: Option<u32>,
    /// Size of LUN 0, which is read whole: bytes, or with K, M or G
    #[arg(long, value_name = "SIZE", default_value = "64M", value_parser = size)]
    lun_size: u64,
    /// Bytes of a block at the target
    #[arg(long, value_name = "BYTES", default_value = "512", value_parser = block_size)]
    block_size: u32,
    /// Folder with the kernel's images: boot-module, boot-module.multiboot, boot-module.efi
    /// [default: boot-module in the build folder, where `cargo xtask boot` puts them]
    #[arg(long, value_name = "FOLDER")]
    images: Option<PathBuf>,
    /// QEMU to run [default: qemu-system-x86_64; for igb tools/qemu in the build folder, where
    /// `cargo xtask setup` puts a newer one when the system's is too old]
    #[arg(long, value_name = "PROGRAM")]
    qemu: Option<PathBuf>,
    /// Longest time of one run, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "300")]
    timeout: u64,
    /// Leave disk images, logs and the capture of all frames, and say where
    #[arg(long)]
    keep: bool,
    /// Write everything that was seen and judged to a file
    #[arg(long, value_name = "FILE.json")]
    report: Option<PathBuf>,
    /// JSON lines instead of text
    #[arg(long)]
    json: bool,
    /// One line for the run instead of its story
    #[arg(long, conflicts_with_all = ["json", "console"])]
    brief: bool,
    /// Show every line of the console too
    #[arg(long, conflicts_with = "json")]
    console: bool,
    /// Run all combinations of firmware, NIC and digest; `--matrix=ci` some that cover most pairs;
    /// `--matrix=qemu` each card on each QEMU that has it
    #[arg(long, value_enum, value_name = "WHICH", num_args = 0..=1, require_equals = true,
          default_missing_value = "all")]
    matrix: Option<Matrix>,
    /// Run a case that must fail, by name, or `all`; `list` names them
    #[arg(long, value_name = "NAME", conflicts_with = "matrix")]
    fault: Option<String>,
    /// Run a case that must succeed with less, by name, or `all`; `list` names them
    #[arg(long, value_name = "NAME", conflicts_with_all = ["matrix", "fault"])]
    degraded: Option<String>,
    /// More words for the kernel's command line
    #[arg(last = true, value_name = "WORDS")]
    words: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  qemu-boot                                    boot once and judge
  qemu-boot --firmware uefi --nic e1000e --digest both
  qemu-boot --matrix --report report.json      all forty combinations
  qemu-boot --fault list                       what must fail, and how
  qemu-boot --fault link-down                  one of them
  qemu-boot --degraded all                     what must be lived with
  qemu-boot --start direct --chap mutual       no firmware: an iBFT of ours, with CHAP
  qemu-boot --start direct --ip v6 --vlan 7 --chap mutual --digest both
  qemu-boot --nic e1000e --interrupts msix     sleep until the card interrupts
  qemu-boot --nic e1000e --twice               hand the card on, to ourselves
  qemu-boot --keep --console                   leave logs and frames, show the console
  qemu-boot --target iscsi:10.0.2.2::3260:0:iqn.2003-01.org.example:disk
  qemu-boot -- isboot.queue_depth=4            pass words to the kernel
  qemu-boot --console -- isboot.help           the kernel's own list of parameters

Exit status: 0 when everything held, 1 when something did not, 2 when a run could not
start, 130 after Ctrl-C.";

const FAILED: u8 = 1;
const COULD_NOT_START: u8 = 2;
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    interrupt::watch();
    match run(&arguments) {
        Ok(reports) => {
            let written = write_report(&arguments, &reports);
            if interrupt::is_wanted() {
                eprintln!("qemu-boot: interrupted; everything that it started has ended");
                ExitCode::from(INTERRUPTED)
            } else if let Err(error) = written {
                eprintln!("qemu-boot: {error}");
                ExitCode::from(COULD_NOT_START)
            } else if reports.iter().all(|report| report.passed) {
                ExitCode::SUCCESS
            } else {
                ExitCode::from(FAILED)
            }
        }
        Err(error) => {
            eprintln!("qemu-boot: {error}");
            ExitCode::from(COULD_NOT_START)
        }
    }
}

fn run(arguments: &Arguments) -> Result<Vec<Report>, RigError> {
    let plan = arguments.plan()?;
    let mode = match (arguments.json, arguments.console) {
        (true, _) => Mode::Json,
        (_, true) => Mode::Console,
        _ => Mode::Stages,
    };
    if let Some(matrix) = arguments.matrix {
        let plans = matrix.combinations().into_iter().flat_map(|(firmware, nic, digest)| {
            let memory_mib = arguments.memory_for(firmware);
            let plan = Plan { firmware, nic, digest, memory_mib, ..plan.clone() };
            if matrix == Matrix::Qemu { on_each_qemu(&plan) } else { vec![plan] }
        });
        return several(arguments, mode, plans.map(|plan| (plan, Case::Boot)).collect());
    }
    match arguments.degraded.as_deref() {
        None => {}
        Some("list") => {
            for degraded in &DEGRADED {
                say!("{:<14} {}", degraded.name, degraded.what);
            }
            return Ok(Vec::new());
        }
        Some("all") => {
            let cases = DEGRADED.iter();
            let plans = cases.map(|it| (it.applied_to(&plan), Case::Degraded(it)));
            return several(arguments, mode, plans.collect());
        }
        Some(name) => {
            let degraded = Degraded::named(name).ok_or_else(|| {
                RigError::Failed(format!("there is no `{name}`; `--degraded list` names them"))
            })?;
            let plan = degraded.applied_to(&plan);
            return Ok(vec![one(&plan, Case::Degraded(degraded), mode)?]);
        }
    }
    match arguments.fault.as_deref() {
        None if arguments.brief => {
            let report = one(&plan, Case::Boot, Mode::Quiet)?;
            // A row that tells of a failure says how to repeat it.
            let options = if report.passed { plan.further_options() } else { String::new() };
            say!("{} {options}", row(&report));
            Ok(vec![report])
        }
        None => Ok(vec![one(&plan, Case::Boot, mode)?]),
        Some("list") => {
            for fault in &FAULTS {
                say!("{:<14} {} (noticed at stage `{}`)", fault.name, fault.what, fault.during);
            }
            Ok(Vec::new())
        }
        Some("all") => {
            let plans = FAULTS.iter().map(|fault| (fault.applied_to(&plan), Case::Fault(fault)));
            several(arguments, mode, plans.collect())
        }
        Some(name) => {
            let fault = Fault::named(name).ok_or_else(|| {
                RigError::Failed(format!("there is no fault `{name}`; `--fault list` names them"))
            })?;
            Ok(vec![one(&fault.applied_to(&plan), Case::Fault(fault), mode)?])
        }
    }
}

/// What a run is held to.
#[derive(Clone, Copy)]
enum Case {
    Boot,
    Fault(&'static Fault),
    Degraded(&'static Degraded),
}

impl Case {
    const fn what(self) -> &'static str {
        match self {
            Self::Boot => "Boot",
            Self::Fault(fault) => fault.what,
            Self::Degraded(degraded) => degraded.what,
        }
    }

    fn judge(self, plan: &Plan, seen: &Seen) -> Vec<Check> {
        match self {
            Self::Boot if plan.words.iter().any(|word| word == "isboot.help") => judge_answer(seen),
            Self::Boot => judge(plan, seen),
            Self::Fault(fault) => fault.judge(seen),
            Self::Degraded(degraded) => degraded.judge(plan, seen),
        }
    }
}

fn one(plan: &Plan, case: Case, mode: Mode) -> Result<Report, RigError> {
    let mut screen = Screen::new(mode);
    screen.heading(plan, case.what());
    let seen = boot::run(plan, &mut screen)?;
    let checks = case.judge(plan, &seen);
    let mut report = Report::new(plan, &seen, checks);
    match case {
        Case::Boot => {}
        Case::Fault(fault) => report.is_fault(fault.name),
        Case::Degraded(degraded) => report.is_degraded(degraded.name),
    }
    if seen.end != End::Interrupted {
        screen.judgement(&seen, &report);
    }
    Ok(report)
}

/// Runs one after the other, with a row for each and a count at the end.
fn several(
    arguments: &Arguments,
    mode: Mode,
    plans: Vec<(Plan, Case)>,
) -> Result<Vec<Report>, RigError> {
    let start = Instant::now();
    let mode = if mode == Mode::Stages { Mode::Quiet } else { mode };
    let mut reports: Vec<Report> = Vec::new();
    for (number, (plan, case)) in plans.iter().enumerate() {
        let plan = Plan { directory: plan.directory.join(number.to_string()), ..plan.clone() };
        let report = one(&plan, *case, mode)?;
        if interrupt::is_wanted() {
            break;
        }
        if mode != Mode::Json {
            say!("{}", row(&report));
        }
        reports.push(report);
    }
    // Each run removed its own folder; the one around them goes when nothing was kept.
    let _ = fs::remove_dir(arguments.directory()?);
    if mode != Mode::Json {
        let passed = reports.iter().filter(|report| report.passed).count();
        say!(
            "{passed} passed, {} failed, {} not run, in {:.0} s",
            reports.len() - passed,
            plans.len() - reports.len(),
            start.elapsed().as_secs_f64()
        );
    }
    Ok(reports)
}

fn write_report(arguments: &Arguments, reports: &[Report]) -> Result<(), RigError> {
    let Some(path) = &arguments.report else { return Ok(()) };
    let failed = |what: String| RigError::Failed(format!("writing {}: {what}", path.display()));
    let text = serde_json::to_string_pretty(reports).map_err(|error| failed(error.to_string()))?;
    fs::write(path, text + "\n").map_err(|error| failed(error.to_string()))
}

impl Arguments {
    fn plan(&self) -> Result<Plan, RigError> {
        if self.chap.is_some() && self.start == Start::Ipxe {
            return Err(RigError::Failed("--chap needs --start direct".to_owned()));
        }
        let needs_table = self.ip == Ip::V6 || self.vlan.is_some() || self.more_nics;
        if needs_table && self.start == Start::Ipxe {
            return Err(RigError::Failed(
                "--ip v6, --vlan and --more-nics need --start direct".to_owned(),
            ));
        }
        if self.ip == Ip::V6 && std::net::TcpListener::bind("[::1]:0").is_err() {
            return Err(RigError::Failed(
                "--ip v6: this host has no IPv6 loopback address ::1, where QEMU's user \
                 networking looks for the target; `sysctl net.ipv6.conf.lo.disable_ipv6=0` gives \
                 it one"
                    .to_owned(),
            ));
        }
        if self.start == Start::Direct && self.firmware == Firmware::Uefi {
            return Err(RigError::Failed("--start direct passes no UEFI firmware".to_owned()));
        }
        let images = match &self.images {
            Some(images) => images.clone(),
            None => build_folder()?.join("boot-module"),
        };
        Ok(Plan {
            firmware: self.firmware,
            nic: self.nic,
            digest: self.digest,
            interrupts: self.interrupts,
            twice: self.twice,
            start: self.start,
            target: self.target.clone(),
            chap: self.chap,
            ip: self.ip,
            vlan: self.vlan,
            more_nics: self.more_nics,
            memory_mib: self.memory_for(self.firmware),
            lun_bytes: self.lun_size,
            block_bytes: self.block_size,
            words: self.words.clone(),
            images,
            qemu: self.qemu.clone(),
            newer_qemu: build_folder()?.join("tools/qemu/usr/bin/qemu-system-x86_64"),
            directory: self.directory()?,
            keep: self.keep,
            limit: Duration::from_secs(self.timeout),
            table_fault: TableFault::Right,
            disturbance: Disturbance::Nothing,
        })
    }

    fn memory_for(&self, firmware: Firmware) -> u32 {
        self.memory.unwrap_or(firmware.least_memory_mib())
    }

    fn directory(&self) -> Result<PathBuf, RigError> {
        Ok(build_folder()?.join("qemu-boot").join(std::process::id().to_string()))
    }
}

/// Cargo's target folder: this program is in its debug or release folder.
fn build_folder() -> Result<PathBuf, RigError> {
    if let Some(folder) = std::env::var_os("CARGO_TARGET_DIR") {
        return Ok(folder.into());
    }
    let program = std::env::current_exe()
        .map_err(|error| RigError::Failed(format!("finding this program's folder: {error}")))?;
    Ok(program.ancestors().nth(2).map(PathBuf::from).unwrap_or_default())
}

fn size(text: &str) -> Result<u64, String> {
    let (digits, shift) = match text.strip_suffix(['K', 'M', 'G']) {
        Some(digits) if text.ends_with('K') => (digits, 10),
        Some(digits) if text.ends_with('M') => (digits, 20),
        Some(digits) => (digits, 30),
        None => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|error| format!("{error}"))?;
    let bytes = number.checked_mul(1 << shift).ok_or("too large")?;
    if bytes == 0 || bytes % 4096 != 0 {
        return Err("a LUN is a multiple of 4096 bytes".to_owned());
    }
    Ok(bytes)
}

fn block_size(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(bytes @ (512 | 1024 | 2048 | 4096)) => Ok(bytes),
        _ => Err("a block is 512, 1024, 2048 or 4096 bytes".to_owned()),
    }
}
