//! The emulated machine: QEMU's command line, its serial port, and how it ended.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::mpsc::Receiver;

use isboot_tests::process::{Line, Process, RigError};
use serde::Serialize;

use crate::knock::{self, Knocker};
use crate::plan::{
    Disturbance, Firmware, GUEST_MAC, INITIATOR_NAME, Ip, Nic, Plan, Start, TableFault,
};
use crate::qmp::Qmp;
use crate::switch::{Port, Switch};
use crate::table;
use crate::target::Target;

/// Where a table goes that ACPI would repair: low memory, above what SeaBIOS clears.
const LOW_TABLE_ADDRESS: u32 = 0x9_8000;
/// The NIC's device number on bus 0.
pub const NIC_SLOT: u8 = 3;
/// That of a NIC which only firmware uses.
const FIRMWARE_SLOT: u8 = 5;
const FIRMWARE_MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x15, 0xb2, 0x01];
/// Hubs from here on are those of NICs that nobody is to use.
const FIRST_HUB: u8 = 8;
/// Captured bytes of each frame: the headers, unless the capture is kept for a person.
const CAPTURED_HEADERS: u32 = 128;
/// A line of iPXE's script that only a failure reaches.
pub const IPXE_FAILURE: &str = "isboot-script failed: ";

const OVMF: [&str; 3] = ["/usr/share/OVMF", "/usr/share/edk2/ovmf", "/usr/share/edk2/x64"];

/// A running machine.
#[derive(Debug)]
pub struct Machine {
    process: Process,
    serial: Receiver<Line>,
    monitor: PathBuf,
    /// The UDP port of the host that leads to the guest.
    knock_port: u16,
    /// Between the machine and its network, where user networking is not enough.
    switch: Option<Switch>,
}

/// How the machine ended, by the value that the guest wrote to the debug exit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// Value 0: the guest is content.
    Pass,
    /// Value 1: the guest reported an error.
    Fail,
    /// Value 2: the guest panicked.
    Panic,
    /// QEMU ended by itself: a reset (triple fault) or switched off.
    Reset,
    /// Another status.
    Status(i32),
    /// This signal ended QEMU, as an assertion of its own does (6), or somebody outside (9).
    Signal(i32),
}

impl Ending {
    /// Reads QEMU's exit status: the debug exit turns a value into `value * 2 + 1`.
    #[must_use]
    pub fn of(status: ExitStatus) -> Self {
        match status.code() {
            Some(1) => Self::Pass,
            Some(3) => Self::Fail,
            Some(5) => Self::Panic,
            Some(0) => Self::Reset,
            Some(code) => Self::Status(code),
            None => Self::Signal(status.signal().unwrap_or(0)),
        }
    }

    /// In words.
    #[must_use]
    pub fn describe(self) -> String {
        match self {
            Self::Pass => "the guest exited with pass".to_owned(),
            Self::Fail => "the guest exited with fail".to_owned(),
            Self::Panic => "the guest panicked".to_owned(),
            Self::Reset => "the machine was reset or switched off (a triple fault?)".to_owned(),
            Self::Status(code) => format!("QEMU ended with status {code}"),
            Self::Signal(number) => format!("signal {number} ended QEMU"),
        }
    }
}

/// Files of a run that the machine uses.
#[derive(Debug)]
pub struct Files {
    directory: PathBuf,
}

impl Files {
    /// Files in `directory`.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The capture.
    #[must_use]
    pub fn capture(&self) -> PathBuf {
        self.directory.join("frames.pcap")
    }

    /// What the serial port said.
    #[must_use]
    pub fn console(&self) -> PathBuf {
        self.directory.join("console.log")
    }

    /// What the target said.
    #[must_use]
    pub fn target_log(&self) -> PathBuf {
        self.directory.join("target.log")
    }

    fn tftp(&self) -> PathBuf {
        self.directory.join("tftp")
    }

    fn variables(&self) -> PathBuf {
        self.directory.join("OVMF_VARS.fd")
    }

    fn table(&self) -> PathBuf {
        self.directory.join("ibft.bin")
    }
}

impl Machine {
    /// Starts the machine of `plan` against `target`.
    ///
    /// # Errors
    /// What is missing, or what did not work.
    pub fn start(plan: &Plan, target: &Target, files: &Files) -> Result<Self, RigError> {
        // A socket's path may be 107 bytes long, which a build directory's may exceed.
        let monitor = std::env::temp_dir().join(format!(
            "qemu-boot-{}-{}.qmp",
            std::process::id(),
            target.port()
        ));
        let _ = fs::remove_file(&monitor);
        let knock_port = knock::free_port()
            .map_err(|error| RigError::Failed(format!("finding a free UDP port: {error}")))?;
        let switch = start_switch(plan, &monitor)?;
        let command = command(plan, target, files, &monitor, knock_port, switch.as_ref())?;
        let (process, serial) = Process::spawn_followed(command, "qemu-system-x86")?;
        let machine = Self { process, serial, monitor, knock_port, switch };
        if plan.disturbance == Disturbance::LinkDown {
            // It waits, paused, so that the cable is out before the first instruction.
            let unplug = |monitor: &Path| -> std::io::Result<()> {
                let mut qmp = Qmp::connect(monitor)?;
                qmp.set_link("n", false)?;
                qmp.resume()
            };
            unplug(&machine.monitor)
                .map_err(|error| machine.process.failed(&format!("took no orders: {error}")))?;
        }
        Ok(machine)
    }

    /// From now on frames come for the guest, until what this returns is dropped.
    #[must_use]
    pub fn knock(&self) -> Knocker {
        match &self.switch {
            Some(switch) => Knocker::start(switch.knock()),
            None => Knocker::start(knock::at_port(self.knock_port)),
        }
    }

    /// The lines of the serial port, as they come.
    #[must_use]
    pub fn serial(&self) -> &Receiver<Line> {
        &self.serial
    }

    /// How it ended, when it did.
    pub fn ended(&mut self) -> Option<Ending> {
        self.process.exited().map(Ending::of)
    }

    /// Ends it. Everything that it said is in [`log`](Self::log) afterwards.
    pub fn stop(&mut self) {
        self.process.stop();
    }

    /// The serial port and QEMU's own messages.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.log()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.process.stop();
        let _ = fs::remove_file(&self.monitor);
    }
}

/// A switch, where the plan asks for what QEMU's user networking cannot do.
fn start_switch(plan: &Plan, monitor: &Path) -> Result<Option<Switch>, RigError> {
    if plan.vlan.is_none() && plan.ip == Ip::V4 {
        return Ok(None);
    }
    let forgets_tag = plan.disturbance == Disturbance::TagForgotten;
    let port = Port { vlan: plan.vlan, forgets_tag };
    Switch::start(monitor, port)
        .map(Some)
        .map_err(|error| RigError::Failed(format!("starting the switch: {error}")))
}

fn command(
    plan: &Plan,
    target: &Target,
    files: &Files,
    monitor: &Path,
    knock_port: u16,
    switch: Option<&Switch>,
) -> Result<Command, RigError> {
    let io = |what: &str, path: &Path| {
        let (what, path) = (what.to_owned(), path.display().to_string());
        move |error: std::io::Error| RigError::Failed(format!("{what} {path}: {error}"))
    };
    let mut command = qemu(plan);
    // RDRAND: mutual CHAP needs a source of randomness for its challenge.
    let processor = match plan.disturbance {
        Disturbance::NoEntropy | Disturbance::FirmwareEntropy => "qemu64,-rdrand,-rdseed",
        Disturbance::NoLocalApic => "qemu64,+rdrand,-apic",
        _ => "qemu64,+rdrand",
    };
    command.args(["-accel", "tcg", "-cpu", processor, "-m", &plan.memory_mib.to_string()]);
    if plan.disturbance == Disturbance::FirmwareEntropy {
        command.args(["-object", "rng-random,id=random,filename=/dev/urandom"]);
        command.args(["-device", "virtio-rng-pci,rng=random"]);
    }
    command.args(["-nographic", "-no-reboot", "-nodefaults", "-serial", "stdio"]);
    command.args(["-device", "isa-debug-exit,iobase=0xf4"]);
    command.arg("-qmp").arg(format!("unix:{},server=on,wait=off", monitor.display()));
    if plan.disturbance == Disturbance::LinkDown {
        command.arg("-S");
    }
    let forward = format!("hostfwd=udp:127.0.0.1:{knock_port}-:{}", knock::PORT);
    let capture = files.capture();
    let kept = if plan.keep { 65_536 } else { CAPTURED_HEADERS };
    command
        .arg("-object")
        .arg(format!("filter-dump,id=capture,netdev=n,maxlen={kept},file={}", capture.display()));
    if plan.more_nics {
        add_others(&mut command, plan);
    }
    let device = format!(
        "{},id=nic,netdev=n,addr={NIC_SLOT:#x}.{:#x},mac={}",
        plan.nic.name(),
        plan.nic_function(),
        mac_text(GUEST_MAC)
    );
    match plan.start {
        Start::Ipxe => {
            let tftp = files.tftp();
            fs::create_dir_all(&tftp).map_err(io("creating", &tftp))?;
            let image = match plan.firmware {
                Firmware::Bios => "boot-module.multiboot",
                Firmware::Uefi => "boot-module.efi",
            };
            let from = image_path(plan, image)?;
            fs::copy(&from, tftp.join(image)).map_err(io("copying", &from))?;
            let script = ipxe_script(plan, target, image);
            fs::write(tftp.join("boot.ipxe"), script).map_err(io("writing into", &tftp))?;
            let boot = format!("tftp={},bootfile=boot.ipxe", tftp.display());
            if plan.firmware == Firmware::Uefi {
                let code = find(&OVMF, "OVMF_CODE_4M.fd", "ovmf")?;
                let fresh = find(&OVMF, "OVMF_VARS_4M.fd", "ovmf")?;
                let variables = files.variables();
                fs::copy(&fresh, &variables).map_err(io("copying", &fresh))?;
                command
                    .arg("-drive")
                    .arg(format!("if=pflash,format=raw,readonly=on,file={}", code.display()));
                command
                    .arg("-drive")
                    .arg(format!("if=pflash,format=raw,file={}", variables.display()));
            }
            // QEMU knows which of iPXE's ROMs is its model's, and for BIOS and UEFI alike.
            if plan.has_firmware_nic() {
                let mac = mac_text(FIRMWARE_MAC);
                command.args(["-netdev", &format!("user,id=firmware,{boot}")]);
                command.arg("-device").arg(format!(
                    "e1000,netdev=firmware,addr={FIRMWARE_SLOT:#x},mac={mac},bootindex=0"
                ));
                command.args(["-netdev", &format!("user,id=n,{forward}")]);
                command.arg("-device").arg(format!("{device},romfile="));
            } else {
                command.args(["-netdev", &format!("user,id=n,{forward},{boot}")]);
                command.arg("-device").arg(format!("{device},bootindex=0"));
            }
        }
        Start::Direct => {
            let netdevs = match (plan.disturbance, switch) {
                // A hub with one port: link, and nobody there.
                (Disturbance::NobodyAnswers, _) => vec!["hubport,id=n,hubid=1".to_owned()],
                (_, Some(switch)) => switch.netdevs("user"),
                (_, None) => vec![format!("user,id=n,{forward}")],
            };
            for netdev in netdevs {
                command.arg("-netdev").arg(netdev);
            }
            command.arg("-device").arg(format!("{device},romfile="));
            command.arg("-kernel").arg(image_path(plan, "boot-module")?);
            command.arg("-append").arg(plan.kernel_words().join(" "));
            if plan.table_fault != TableFault::Absent {
                let table = files.table();
                let bytes = table::for_plan(plan, target)
                    .map_err(|error| RigError::Failed(format!("building the iBFT: {error}")))?;
                fs::write(&table, bytes).map_err(io("writing", &table))?;
                // QEMU mends the checksum of a table that it puts into ACPI.
                if plan.table_fault == TableFault::BadChecksum {
                    command.arg("-device").arg(format!(
                        "loader,file={},addr={LOW_TABLE_ADDRESS:#x},force-raw=on",
                        table.display()
                    ));
                } else {
                    command.arg("-acpitable").arg(format!("file={}", table.display()));
                }
            }
        }
    }
    Ok(command)
}

/// NICs that are not the table's, each with link, and nobody there: one at a place before it, one of
/// another vendor, and the first function of its own board.
fn add_others(command: &mut Command, plan: &Plan) {
    let board = format!("{},addr={NIC_SLOT:#x}.0x0,multifunction=on", plan.nic.name());
    let others = ["e1000,addr=0x2", "virtio-net-pci,addr=0x4", &board];
    for (number, device) in (1..).zip(others) {
        let mac = mac_text([0x52, 0x54, 0x00, 0x15, 0xb1, number]);
        let hub = FIRST_HUB + number;
        command.arg("-netdev").arg(format!("hubport,id=other{number},hubid={hub}"));
        command.arg("-device").arg(format!("{device},netdev=other{number},mac={mac},romfile="));
    }
}

/// The program for the machine of `plan`.
fn qemu(plan: &Plan) -> Command {
    let program = match &plan.qemu {
        Some(program) => program.clone(),
        None if plan.nic == Nic::Igb && plan.newer_qemu.is_file() => plan.newer_qemu.clone(),
        None => PathBuf::from("qemu-system-x86_64"),
    };
    emulator(&program)
}

/// A command line that begins with `program`, a QEMU that is installed or was only unpacked.
#[must_use]
pub fn emulator(program: &Path) -> Command {
    let mut command = Command::new(program);
    // One that was only unpacked looks for its files where another version's are: its own come
    // first, and modules, which no machine here needs, from nowhere.
    let unpacked = program.ancestors().nth(2).filter(|usr| usr.join("share/qemu").is_dir());
    if let Some(usr) = unpacked.filter(|usr| *usr != Path::new("/usr")) {
        for files in ["share/qemu", "share/seabios"] {
            command.arg("-L").arg(usr.join(files));
        }
        command.env("QEMU_MODULE_DIR", usr.join("lib/qemu"));
    }
    command
}

fn image_path(plan: &Plan, name: &str) -> Result<PathBuf, RigError> {
    let path = plan.images.join(name);
    if path.is_file() {
        return Ok(path);
    }
    Err(RigError::Failed(format!(
        "there is no kernel image {}: `cargo xtask boot` builds it",
        path.display()
    )))
}

fn find(directories: &[&str], name: &str, package: &str) -> Result<PathBuf, RigError> {
    let paths = directories.iter().map(|directory| Path::new(directory).join(name));
    paths
        .into_iter()
        .find(|path| path.is_file())
        .ok_or_else(|| RigError::Missing { program: name.to_owned(), package: package.to_owned() })
}

fn ipxe_script(plan: &Plan, target: &Target, image: &str) -> String {
    let lun = match &plan.target {
        crate::plan::TargetChoice::External(target) => target.lun.as_str(),
        _ => "0",
    };
    let mut script = String::from("#!ipxe\n");
    let _ = writeln!(script, "set initiator-iqn {INITIATOR_NAME}");
    let _ = writeln!(
        script,
        "sanhook --drive 0x80 iscsi:{}::{}:{lun}:{} || goto unhooked",
        target.address(),
        target.port(),
        target.name()
    );
    let _ = writeln!(
        script,
        "kernel tftp://10.0.2.2/{image} {} || goto unloaded",
        plan.kernel_words().join(" ")
    );
    let _ = writeln!(script, "boot || goto unstarted");
    for (label, what) in [
        ("unhooked", "sanhook of the target"),
        ("unloaded", "loading the kernel"),
        ("unstarted", "starting the kernel"),
    ] {
        let _ = write!(script, ":{label}\necho {IPXE_FAILURE}{what}: ${{errno:hexraw}}\nexit 1\n");
    }
    script
}

/// A MAC address as people write it.
#[must_use]
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
