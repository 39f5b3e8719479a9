//! One run: target and machine are started, the serial port is followed to the verdict, everything
//! is ended again.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use isboot_tests::process::RigError;
use serde::Serialize;

use crate::disk_image;
use crate::event::Malformed;
use crate::interrupt;
use crate::machine::{Ending, Files, Machine};
use crate::pcap::{self, Frame};
use crate::plan::{Disturbance, LunPlan, Plan, TableFault};
use crate::stage::Stage;
use crate::target::{ExpectedLun, LoggedSession, Target, expected_luns, image_path};
use crate::watch::{GuestError, News, Progress, Sighting, Watch};

/// How often the run looks for signals and time limits while the serial port is silent.
const TICK: Duration = Duration::from_millis(50);
/// The target's log of the logout may come a moment after the guest's exit.
const LOGOUT_LOG: Duration = Duration::from_secs(2);

/// Follows a run while it happens.
pub trait Observer {
    /// A stage was reached.
    fn stage(&mut self, sighting: &Sighting);
    /// A transfer goes on.
    fn progress(&mut self, progress: &Progress);
    /// Any other line of the console.
    fn console(&mut self, line: &str);
}

/// How the run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum End {
    /// The machine did.
    Machine(Ending),
    /// Nothing happened for too long; the sentence says what was waited for.
    TimedOut(String),
    /// iPXE could not do its part; the sentence says which.
    Ipxe(String),
    /// The person wanted it to end.
    Interrupted,
}

/// What was found in the image of a LUN afterwards.
#[derive(Clone, Debug)]
pub struct ImageFinding {
    /// SHA-256 of the file.
    pub sha256: String,
    /// Whether every byte is what it must be after the pattern was written, or what is not.
    pub content: Result<(), String>,
}

/// The frames of the run.
#[derive(Clone, Debug)]
pub struct Capture {
    /// All of them.
    pub frames: Vec<Frame>,
    /// How long the file was when the detach was reported.
    pub bytes_at_detach: Option<u64>,
}

/// Everything that was seen in a run.
#[derive(Debug)]
pub struct Seen {
    /// Stages in their order of appearance, without progress.
    pub sightings: Vec<Sighting>,
    /// Errors that the guest reported.
    pub errors: Vec<GuestError>,
    /// Event lines that could not be read.
    pub malformed: Vec<Malformed>,
    /// How it ended.
    pub end: End,
    /// How long it took.
    pub seconds: f64,
    /// The target's name.
    pub target_name: String,
    /// The sessions that the target logged; `None` when it keeps no log that we can read.
    pub sessions: Option<Vec<LoggedSession>>,
    /// Rules of the protocol that the guest broke; `None` when nobody watched.
    pub violations: Option<Vec<String>>,
    /// What the guest had to find.
    pub luns: Vec<ExpectedLun>,
    /// What the images hold, one entry for each LUN.
    pub images: Vec<ImageFinding>,
    /// The frames, when there is a capture.
    pub capture: Option<Capture>,
    /// The last lines of the console.
    pub last_lines: Vec<String>,
    /// What the guest warned of, as its log lines say it.
    pub warnings: Vec<String>,
    /// Files that were left for the person.
    pub kept: Vec<PathBuf>,
}

impl Seen {
    /// The first sighting of a stage.
    #[must_use]
    pub fn stage(&self, stage: Stage) -> Option<&Sighting> {
        self.sightings.iter().find(|sighting| sighting.stage == stage)
    }

    /// The disks of the first attach.
    pub fn disks(&self) -> impl Iterator<Item = &Sighting> {
        let first = self.sightings.iter().take_while(|sighting| sighting.stage != Stage::Luns);
        first.filter(|sighting| sighting.stage == Stage::Disk)
    }

    /// All sightings of a stage.
    pub fn stages(&self, stage: Stage) -> impl Iterator<Item = &Sighting> {
        self.sightings.iter().filter(move |sighting| sighting.stage == stage)
    }
}

/// Carries out a plan.
///
/// # Errors
/// When the run could not even start: something is missing, or the host refused something.
pub fn run(plan: &Plan, observer: &mut dyn Observer) -> Result<Seen, RigError> {
    let directory = Directory::create(plan)?;
    let files = Files::new(&directory.path);
    let mut target = Target::start(plan, &directory.path)?;
    let start = Instant::now();
    let mut machine = Machine::start(plan, &target, &files)?;
    let mut watch = Watch::new(start);
    let mut bytes_at_detach = None;
    let mut target_is_dead = false;
    let mut knocker = None;

    let end = loop {
        let line = machine.serial().recv_timeout(TICK);
        if let Ok(line) = &line {
            let news = watch.line(&line.text, line.at);
            if plan.disturbance == Disturbance::TargetDies
                && matches!(&news, News::Progress(progress) if progress.what == "read")
                && !target_is_dead
            {
                target.kill();
                target_is_dead = true;
            }
            match &news {
                News::Stage(sighting) => {
                    // From the last transfer on the NIC gets frames that nobody asked for: that
                    // it is quiet after the detach shall mean something.
                    if sighting.stage == Stage::Flush && knocker.is_none() {
                        knocker = Some(machine.knock());
                    }
                    if sighting.stage == Stage::Detach {
                        bytes_at_detach = fs::metadata(files.capture()).ok().map(|file| file.len());
                    }
                    observer.stage(sighting);
                }
                News::Progress(progress) => observer.progress(progress),
                News::Other(text) => observer.console(text),
                News::Nothing => {}
            }
            if let Some(what) = &watch.ipxe_failure {
                break End::Ipxe(what.clone());
            }
        }
        if interrupt::is_wanted() {
            break End::Interrupted;
        }
        if let Err(RecvTimeoutError::Disconnected) = line {
            // The serial port is closed: QEMU is on its way out.
            if let Some(ending) = machine.ended() {
                break End::Machine(ending);
            }
            std::thread::sleep(TICK);
        }
        if let Some(sentence) = watch.overdue(Instant::now(), plan.limit) {
            break End::TimedOut(sentence);
        }
    };
    drop(knocker);
    machine.stop();
    let seconds = start.elapsed().as_secs_f64();

    let sessions = settled_sessions(&target, &end);
    let violations = target.violations(plan.start);
    // As a crash would: what the guest flushed is in the images, whatever the target still held.
    target.kill();
    let _ = fs::write(files.console(), machine.log());
    let _ = fs::write(files.target_log(), target.log());
    let images = match end {
        End::Machine(_) if plan.table_fault == TableFault::Right => {
            inspect_images(plan, &directory.path)
        }
        _ => Vec::new(),
    };
    let capture =
        pcap::read(&files.capture()).ok().map(|frames| Capture { frames, bytes_at_detach });
    let kept = directory.leave();
    Ok(Seen {
        sightings: watch.sightings,
        errors: watch.errors,
        malformed: watch.malformed,
        end,
        seconds,
        target_name: target.name().to_owned(),
        sessions,
        violations,
        luns: expected_luns(plan),
        images,
        capture,
        last_lines: watch.last_lines,
        warnings: watch.warnings,
        kept,
    })
}

/// The sessions in the target's log, once the guest's has its logout or a bounded wait is over.
fn settled_sessions(target: &Target, end: &End) -> Option<Vec<LoggedSession>> {
    let until = Instant::now() + LOGOUT_LOG;
    loop {
        let sessions = target.sessions()?;
        let settled = sessions.last().is_none_or(|session| session.logged_out);
        if settled || *end != End::Machine(Ending::Pass) || Instant::now() >= until {
            return Some(sessions);
        }
        std::thread::sleep(TICK);
    }
}

fn inspect_images(plan: &Plan, directory: &Path) -> Vec<ImageFinding> {
    let inspect = |(number, lun): (usize, &LunPlan)| {
        let path = image_path(directory, number);
        let content = match disk_image::verify(&path, lun.bytes, lun.seed, lun.write) {
            Ok(verdict) => verdict.map_err(|mismatch| mismatch.to_string()),
            Err(error) => Err(format!("reading the image: {error}")),
        };
        ImageFinding { sha256: disk_image::sha256(&path).unwrap_or_default(), content }
    };
    plan.luns().iter().enumerate().map(inspect).collect()
}

/// The directory of the run; removed unless the plan keeps it.
#[derive(Debug)]
struct Directory {
    path: PathBuf,
    keep: bool,
}

impl Directory {
    fn create(plan: &Plan) -> Result<Self, RigError> {
        let path = plan.directory.clone();
        let failed = |error: std::io::Error| {
            RigError::Failed(format!("creating {}: {error}", path.display()))
        };
        fs::create_dir_all(&path).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        Ok(Self { path, keep: plan.keep })
    }

    /// What is left for the person when the directory is kept.
    fn leave(&self) -> Vec<PathBuf> {
        if !self.keep {
            return Vec::new();
        }
        let Ok(entries) = fs::read_dir(&self.path) else { return Vec::new() };
        let mut left: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect();
        left.sort();
        left
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
