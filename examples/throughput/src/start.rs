//! From kernel entry to the first block, and what nobody gets below here.
//!
//! istgt sleeps a second in each login, whoever logs in: [`login`] takes it from this host, with
//! the same initiator over the host's own sockets. QEMU's cards are silent for a while after they
//! were started, whoever starts them: a second for its 8254x after RCTL was written, half of one
//! for its igb while it negotiates; a kernel that only asks for a MAC address tells how long.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use isboot_tests::scratch::Scratch;
use isboot_transport::std_tcp::StdTcp;
use qemu_boot::disk_image::word;
use qemu_boot::event::Event;
use qemu_boot::plan::Nic;
use qemu_boot::table;

use crate::guest::machine::{Hardware, Machine};
use crate::initiator::LoggedIn;
use crate::measurement::{Measurement, Quantity, Section};
use crate::progress::Tell;
use crate::rig::{CONTENT, Place, READ_LUN};
use crate::sample::Series;
use crate::targets::{names, settings};
use crate::workload::Digests;

/// From QEMU's start to the end of a guest: two silent seconds, and a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Boots `image` from `place` on each card in turns with a login from the host, `rounds` times: the first block of
/// each, istgt's login, how long each card is silent, and the sum of both, which is each card's
/// limit.
///
/// # Errors
///
/// What could not be started, or what did not come in a bounded time, with the guest's last words.
pub fn measure(
    image: &Path,
    place: &Place,
    cards: &[Hardware],
    rounds: usize,
    tell: Tell<'_>,
) -> Result<Vec<Measurement>, String> {
    let guests = Guests::new(image, place)?;
    let mut logins = Vec::new();
    let mut seen: Vec<Card<'_>> = cards.iter().map(Card::new).collect();
    for round in 1..=rounds {
        tell(&format!("start: a login from the host, and silent cards, {round} of {rounds}"));
        // The login sleeps on one processor while cards are silent on the other.
        let (login, silences) = thread::scope(|scope| {
            let login = scope.spawn(|| login(place));
            let silences: Result<Vec<Duration>, String> =
                seen.iter().map(|card| guests.silence(card.hardware)).collect();
            (login.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), silences)
        });
        let login = login?;
        logins.push(login);
        for (card, silence) in seen.iter_mut().zip(silences?) {
            tell(&format!("start: {}, {round} of {rounds}", card.nic.name()));
            card.first_blocks.push(guests.first_block(card.hardware)?);
            card.limits.push(login + silence);
            card.silences.push(silence);
        }
    }
    let mut all = vec![one(Section::Limit, settings::LOGIN, names::ISTGT, logins)];
    for Card { nic, first_blocks, silences, limits, .. } in seen {
        let nic = nic.name();
        all.push(one(Section::Start, nic, names::ISBOOT, first_blocks));
        all.push(one(Section::Limit, &settings::silence(nic), names::QEMU, silences));
        all.push(one(Section::Limit, &settings::login_and_silence(nic), names::QEMU, limits));
    }
    Ok(all)
}

fn one(section: Section, setting: &str, contender: &str, times: Vec<Duration>) -> Measurement {
    Measurement {
        section,
        setting: setting.to_owned(),
        contender: contender.to_owned(),
        workload: None,
        quantity: Quantity::Seconds,
        series: Series(times.iter().map(Duration::as_secs_f64).collect()),
    }
}

/// What was seen on one card.
struct Card<'a> {
    hardware: &'a Hardware,
    nic: Nic,
    first_blocks: Vec<Duration>,
    silences: Vec<Duration>,
    limits: Vec<Duration>,
}

impl<'a> Card<'a> {
    fn new(hardware: &'a Hardware) -> Self {
        let (first_blocks, silences, limits) = Default::default();
        Self { hardware, nic: hardware.nic, first_blocks, silences, limits }
    }
}

/// Guests that boot, tell one figure, and end.
struct Guests {
    image: PathBuf,
    table: PathBuf,
    _files: Scratch,
}

impl Guests {
    fn new(image: &Path, place: &Place) -> Result<Self, String> {
        if !image.is_file() {
            return Err(format!("no kernel image {image:?}: `cargo xtask bench` builds it"));
        }
        let files = Scratch::create(&std::env::temp_dir())
            .map_err(|error| format!("making a folder for the iBFT: {error}"))?;
        let table = files.path().join("ibft.bin");
        let bytes = table::for_loopback(place.portal.port(), &place.target_name)
            .map_err(|error| format!("building the iBFT: {error}"))?;
        fs::write(&table, bytes).map_err(|error| format!("writing {table:?}: {error}"))?;
        Ok(Self { image: image.to_owned(), table, _files: files })
    }

    /// From kernel entry to the first block, which is looked at, by the kernel's clock.
    fn first_block(&self, hardware: &Hardware) -> Result<Duration, String> {
        let words = "isboot.header_digest=none isboot.data_digest=none";
        let (mut machine, event) = self.boot(hardware, words, "first-block")?;
        let expected = format!("{:#x}", word(CONTENT, 0));
        if event.field("begins") != Some(&expected) {
            return Err(machine.failed(&format!("read another block than {expected}: {event:?}")));
        }
        let took = Duration::from_micros(event.micros);
        // Logged out, so that the next login has nothing to end.
        ends(&mut machine)?;
        Ok(took)
    }

    /// How long the card hears nothing.
    fn silence(&self, hardware: &Hardware) -> Result<Duration, String> {
        let (mut machine, event) = self.boot(hardware, "demo.silence=yes", "silence")?;
        let took = event.number("took_us").map(Duration::from_micros);
        let took = took.ok_or_else(|| machine.failed(&format!("said no time: {event:?}")))?;
        ends(&mut machine)?;
        Ok(took)
    }

    /// Boots the kernel and waits for one event of its.
    fn boot(
        &self,
        hardware: &Hardware,
        words: &str,
        stage: &str,
    ) -> Result<(Machine, Event), String> {
        let mut command = hardware.command();
        command.arg("-kernel").arg(&self.image).args(["-append", words]);
        command.arg("-acpitable").arg(format!("file={}", self.table.display()));
        // So that a guest that gives up ends, with what it said last.
        command.args(["-device", "isa-debug-exit,iobase=0xf4"]);
        let mut machine = Machine::start("isboot", command)?;
        let line = machine.wait_for(&format!("@isboot stage={stage} "), PATIENCE)?;
        match Event::parse(&line) {
            Some(Ok(event)) => Ok((machine, event)),
            _ => Err(machine.failed(&format!("said «{line}»"))),
        }
    }
}

fn ends(machine: &mut Machine) -> Result<(), String> {
    let line = machine.wait_for("@isboot stage=verdict ", PATIENCE)?;
    if line.ends_with("result=pass") { Ok(()) } else { Err(machine.failed(&line)) }
}

/// From the connect to the first block, over the host's own sockets.
///
/// # Errors
///
/// What did not come, and the session's last error.
pub fn login(place: &Place) -> Result<Duration, String> {
    let began = Instant::now();
    let mut session = LoggedIn::new(place, StdTcp::new(), StdTcp::wait, Digests::None)?;
    session.first_block(READ_LUN)?;
    let took = began.elapsed();
    session.log_out()?;
    Ok(took)
}
