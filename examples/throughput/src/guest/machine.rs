//! A guest under measure: started with the machine that all guests have in common, told what to do
//! on its serial port, and held while it is not its turn.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use isboot_tests::process::{Process, within};
use qemu_boot::event::plain_text;
use qemu_boot::machine::{NIC_SLOT, emulator, mac_text};
use qemu_boot::plan::{GUEST_MAC, Nic};
use qemu_boot::qmp::Qmp;

/// Lines of the serial port that an error can show.
const REMEMBERED: usize = 12;
/// QEMU listens within a tenth of a second; a loaded machine gets a hundred times that.
const START: Duration = Duration::from_secs(10);

/// The machine that every guest gets, so that no guest has the better one.
#[derive(Clone, Debug)]
pub struct Hardware {
    /// The QEMU to run.
    pub qemu: PathBuf,
    /// QEMU's processor model.
    pub processor: String,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// The network card.
    pub nic: Nic,
    /// What the card is plugged into, in QEMU's words without the id: `user` is its own network,
    /// where the host's loopback is 10.0.2.2.
    pub network: String,
}

impl Hardware {
    /// An emulated processor with random numbers, 512 MiB, and the card on QEMU's own network.
    pub fn new(qemu: &Path, nic: Nic) -> Self {
        Self {
            qemu: qemu.to_owned(),
            processor: "qemu64,+rdrand".to_owned(),
            memory_mib: 512,
            nic,
            network: "user".to_owned(),
        }
    }

    /// QEMU's command line up to what the guest itself needs: kernel, table, further devices.
    /// [`Machine::start`] adds serial port and monitor.
    pub fn command(&self) -> Command {
        let mut command = emulator(&self.qemu);
        command.args(["-accel", "tcg", "-cpu", &self.processor]);
        command.args(["-smp", "1", "-m", &self.memory_mib.to_string()]);
        command.args(["-display", "none", "-no-reboot", "-nodefaults"]);
        command.arg("-netdev").arg(format!("{},id=n", self.network));
        command.arg("-device").arg(format!(
            "{},netdev=n,addr={NIC_SLOT:#x},mac={},romfile=",
            self.nic.name(),
            mac_text(GUEST_MAC)
        ));
        command
    }
}

/// A running guest, or one that is held. Dropping it ends its QEMU.
#[derive(Debug)]
pub struct Machine {
    name: String,
    process: Process,
    monitor: Qmp,
    to_guest: UnixStream,
    lines: Receiver<String>,
    said: VecDeque<String>,
}

impl Machine {
    /// Starts `command`, a QEMU without serial port and monitor, and lets it run. `name` is for
    /// errors.
    ///
    /// # Errors
    ///
    /// What did not work, with QEMU's own words.
    pub fn start(name: &str, mut command: Command) -> Result<Self, String> {
        let sockets = Sockets::new();
        for (option, socket) in [("-serial", &sockets.serial), ("-qmp", &sockets.monitor)] {
            command.arg(option).arg(format!("unix:{},server=on,wait=off", socket.display()));
        }
        // Held until somebody listens: QEMU throws away what a port says to nobody.
        command.arg("-S");
        let mut process = Process::spawn(command, "qemu-system-x86")
            .map_err(|error| format!("{name}: {error}"))?;
        // A command line that QEMU refuses need not be waited for.
        within(START, || sockets.are_there() || process.exited().is_some());
        let connected = (|| {
            if !sockets.are_there() {
                return Err(io::Error::other("there are no sockets"));
            }
            let monitor = Qmp::connect(&sockets.monitor)?;
            let serial = UnixStream::connect(&sockets.serial)?;
            let lines = follow(serial.try_clone()?);
            Ok((monitor, serial, lines))
        })();
        let (monitor, to_guest, lines) = connected.map_err(|error: io::Error| {
            format!("{name}: {}", process.failed(&format!("took no orders: {error}")))
        })?;
        let said = VecDeque::new();
        let mut machine = Self { name: name.to_owned(), process, monitor, to_guest, lines, said };
        machine.resume()?;
        Ok(machine)
    }

    /// Holds the guest: from here to [`resume`](Self::resume) it takes no processor time, and for
    /// the guest no time passes.
    ///
    /// # Errors
    ///
    /// What QEMU said.
    pub fn pause(&mut self) -> Result<(), String> {
        self.monitor.pause().map_err(|error| self.failed(&format!("is not held: {error}")))
    }

    /// Lets the guest run.
    ///
    /// # Errors
    ///
    /// What QEMU said.
    pub fn resume(&mut self) -> Result<(), String> {
        self.monitor.resume().map_err(|error| self.failed(&format!("does not go on: {error}")))
    }

    /// Sends a line to the guest's serial port.
    ///
    /// # Errors
    ///
    /// QEMU is gone.
    pub fn send(&mut self, line: &str) -> Result<(), String> {
        let sent = self.to_guest.write_all(format!("{line}\n").as_bytes());
        sent.map_err(|error| self.failed(&format!("does not take the line «{line}»: {error}")))
    }

    /// Waits until the guest says a line that begins with `prefix`, and returns it, without line
    /// end and terminal escapes. Lines before it are passed over.
    ///
    /// # Errors
    ///
    /// `limit` passed, or QEMU ended, with what the guest said last.
    pub fn wait_for(&mut self, prefix: &str, limit: Duration) -> Result<String, String> {
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    if self.said.len() == REMEMBERED {
                        self.said.pop_front();
                    }
                    self.said.push_back(line.clone());
                    if line.starts_with(prefix) {
                        return Ok(line);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(self.failed(&format!("said no «{prefix}» within {limit:?}")));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(self.failed(&format!("ended before it said «{prefix}»")));
                }
            }
        }
    }

    /// Processor time that QEMU took so far, user and system, all its threads.
    ///
    /// # Errors
    ///
    /// The process is gone.
    pub fn processor_time(&self) -> Result<Duration, String> {
        let path = format!("/proc/{}/stat", self.process.id());
        let taken = fs::read_to_string(&path).ok().and_then(|text| ticks(&text));
        // The unit of /proc is 1/100 s on every Linux that Rust runs on.
        taken
            .map(|ticks| Duration::from_millis(ticks * 10))
            .ok_or_else(|| self.failed(&format!("has no times in {path}")))
    }

    /// A sentence about this guest, followed by what it said last and by what QEMU said.
    pub fn failed(&self, what: &str) -> String {
        let mut text = format!("the guest {} {what}", self.name);
        for line in self.process.log().lines().chain(self.said.iter().map(String::as_str)) {
            text.push_str("\n  ");
            text.push_str(line);
        }
        text
    }
}

/// utime + stime (proc_pid_stat(5)); the name before them may hold anything but the last ')'.
fn ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11);
    let mut time = || times.next()?.parse::<u64>().ok();
    Some(time()? + time()?)
}

/// The lines that come on `serial`, until its other end is closed.
fn follow(serial: UnixStream) -> Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let mut serial = BufReader::new(serial);
        let mut line = Vec::new();
        while matches!(serial.read_until(b'\n', &mut line), Ok(count) if count > 0) {
            if sender.send(plain_text(&String::from_utf8_lossy(&line))).is_err() {
                return;
            }
            line.clear();
        }
    });
    lines
}

/// Names of sockets, in the folder for such, as a socket's path may have 107 bytes only. Nobody
/// needs them any more once both are connected.
struct Sockets {
    serial: PathBuf,
    monitor: PathBuf,
}

impl Sockets {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let socket = |kind| {
            let path = std::env::temp_dir()
                .join(format!("throughput-{}-{number}.{kind}", std::process::id()));
            let _ = fs::remove_file(&path);
            path
        };
        Self { serial: socket("serial"), monitor: socket("qmp") }
    }

    fn are_there(&self) -> bool {
        self.serial.exists() && self.monitor.exists()
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        for path in [&self.serial, &self.monitor] {
            let _ = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use isboot_tests::scratch::Scratch;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(20);

    /// Real-mode code for the first bytes of a ROM: sends back on COM1 what comes there, and for
    /// each `?` the time stamp counter divided by 2²⁰, in eight hexadecimal digits.
    ///
    /// ```text
    /// wait:  mov dx, 0x3fd; in al, dx; test al, 1; jz wait; mov dx, 0x3f8; in al, dx
    ///        cmp al, '?'; je ticks; out dx, al; jmp wait
    /// ticks: rdtsc; shrd eax, edx, 20; mov ebx, eax; mov cx, 8; mov dx, 0x3f8
    /// digit: rol ebx, 4; mov al, bl; and al, 15; cmp al, 10; jb small; add al, 39
    /// small: add al, '0'; out dx, al; loop digit; jmp wait
    /// ```
    const ECHO: [u8; 56] = [
        0xba, 0xfd, 0x03, 0xec, 0xa8, 0x01, 0x74, 0xf8, 0xba, 0xf8, 0x03, 0xec, 0x3c, 0x3f, 0x74,
        0x03, 0xee, 0xeb, 0xed, 0x0f, 0x31, 0x66, 0x0f, 0xac, 0xd0, 0x14, 0x66, 0x89, 0xc3, 0xb9,
        0x08, 0x00, 0xba, 0xf8, 0x03, 0x66, 0xc1, 0xc3, 0x04, 0x88, 0xd8, 0x24, 0x0f, 0x3c, 0x0a,
        0x72, 0x02, 0x04, 0x27, 0x04, 0x30, 0xee, 0xe2, 0xed, 0xeb, 0xc8,
    ];

    fn scratch() -> Scratch {
        Scratch::new(std::env::current_exe().unwrap().parent().unwrap())
    }

    /// A guest that says what it is told, and spins all the while.
    fn parrot(scratch: &Scratch) -> Machine {
        let mut rom = vec![0; 64 << 10];
        rom[..ECHO.len()].copy_from_slice(&ECHO);
        // The reset vector: a far jump to the start of the ROM, F000:0000.
        rom[0xfff0..][..5].copy_from_slice(&[0xea, 0, 0, 0, 0xf0]);
        let path = scratch.path().join("parrot.rom");
        fs::write(&path, rom).unwrap();
        let hardware = Hardware::new(Path::new("qemu-system-x86_64"), Nic::E1000);
        let mut command = hardware.command();
        command.arg("-bios").arg(path);
        Machine::start("parrot", command).unwrap()
    }

    fn counter(parrot: &mut Machine) -> u64 {
        parrot.send("=?").unwrap();
        let answer = parrot.wait_for("=", LIMIT).unwrap();
        u64::from_str_radix(&answer[1..], 16).unwrap()
    }

    #[test]
    fn a_guest_says_lines_and_what_was_said_last_is_in_the_error() {
        let scratch = scratch();
        let mut parrot = parrot(&scratch);
        parrot.send("one\ntwo\nthree").unwrap();
        assert_eq!(parrot.wait_for("tw", LIMIT).unwrap(), "two");
        let error = parrot.wait_for("four", Duration::from_millis(200)).unwrap_err();
        assert!(error.starts_with("the guest parrot said no «four» within 200ms"), "{error}");
        assert!(error.ends_with("\n  one\n  two\n  three"), "{error}");
    }

    #[test]
    fn a_guest_that_is_held_takes_no_processor_time_and_its_counter_stands_still() {
        let scratch = scratch();
        let mut parrot = parrot(&scratch);
        let nap = Duration::from_millis(500);
        let begun = (counter(&mut parrot), parrot.processor_time().unwrap());
        std::thread::sleep(nap);
        let ran = (counter(&mut parrot), parrot.processor_time().unwrap());
        parrot.pause().unwrap();
        let held = parrot.processor_time().unwrap();
        std::thread::sleep(nap);
        let slept = parrot.processor_time().unwrap();
        parrot.resume().unwrap();
        let after = counter(&mut parrot);
        // A busy machine gives the guest less of the processor, and no less time.
        assert!(ran.1 - begun.1 > nap / 10, "it spins: {:?}", ran.1 - begun.1);
        assert!(slept - held <= Duration::from_millis(10), "{:?} while held", slept - held);
        let (running, holding) = (ran.0 - begun.0, after - ran.0);
        assert!(holding * 2 < running, "{running} counts while it ran, {holding} while held");
    }

    #[test]
    fn the_guest_ends_with_its_owner_and_one_that_cannot_start_says_why() {
        let scratch = scratch();
        let machine = parrot(&scratch);
        let process = PathBuf::from(format!("/proc/{}", machine.process.id()));
        assert!(process.exists());
        drop(machine);
        assert!(within(Duration::from_secs(5), || !process.exists()), "it outlived its owner");

        let mut command = Command::new("qemu-system-x86_64");
        command.args(["-machine", "no-such-machine"]);
        let error = Machine::start("broken", command).unwrap_err();
        assert!(error.starts_with("broken: `qemu-system-x86_64` took no orders"), "{error}");
        assert!(error.contains("unsupported machine type"), "{error}");
    }

    #[test]
    fn times_are_read_behind_any_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 21 4 0 0 20 0 3 0 5";
        assert_eq!(ticks(stat), Some(25));
        assert_eq!(ticks("7 (qemu) S 1 7"), None);
    }
}
