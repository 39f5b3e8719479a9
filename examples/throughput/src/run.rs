//! Carries a plan out. What fails is written down, and the rest goes on.

mod dd;
mod guest;
pub(crate) mod start;

use std::path::PathBuf;
use std::time::Duration;

use qemu_boot::interrupt;
use qemu_boot::plan::Nic;

use crate::contender::{Turn, take_turns};
use crate::core::{self, Effort};
use crate::guest::machine::Hardware;
use crate::host;
use crate::link;
use crate::measurement::{Measurement, Quantity, Section};
use crate::network;
use crate::plan::{Part, Plan};
use crate::progress::Screen;
use crate::report::dd::Dd;
use crate::report::{Failure, figure};
use crate::rig::Rig;
use crate::sample::Series;
use crate::targets::{names, settings};
use crate::workload::{Pattern, Workload};

/// What was built for the bench.
#[derive(Clone, Debug)]
pub struct Equipment {
    /// The hosting kernel, as QEMU starts it.
    pub kernel: PathBuf,
    /// The QEMU of the machine.
    pub qemu: PathBuf,
    /// One that has igb, where that one has not.
    pub newer_qemu: PathBuf,
    /// A folder that may be written to.
    pub folder: PathBuf,
}

impl Equipment {
    fn hardware(&self, nic: Nic) -> Hardware {
        let needs_newer = nic == Nic::Igb && self.newer_qemu.is_file();
        Hardware::new(if needs_newer { &self.newer_qemu } else { &self.qemu }, nic)
    }
}

/// What was found on the way.
#[derive(Debug, Default)]
pub struct Found {
    /// Figures.
    pub measurements: Vec<Measurement>,
    /// Reads of dd.
    pub dd: Vec<Dd>,
    /// What did not work.
    pub failures: Vec<Failure>,
}

/// A plan under way.
struct Run<'a> {
    plan: &'a Plan,
    equipment: &'a Equipment,
    rig: Rig,
    screen: Screen,
    found: Found,
}

/// Does what the plan says, until it is done or a signal asks for the end.
///
/// # Errors
///
/// There is no target to measure against.
pub fn run(plan: &Plan, equipment: &Equipment) -> Result<Found, String> {
    let mut screen = Screen::new(plan.estimate().as_secs());
    if let Err(error) = network::leave_for_an_unpaced_one() {
        screen.found(&format!("{error}. Sessions differ more here: TCP is paced"));
    }
    screen.tell("making the target's disks");
    let rig = Rig::start(&equipment.folder, plan.lun_bytes)?;
    let mut run = Run { plan, equipment, rig, screen, found: Found::default() };
    for &part in &plan.parts {
        if interrupt::is_wanted() {
            break;
        }
        match part {
            Part::Guest => run.guests(),
            Part::Core => run.core(),
            Part::Link => run.link(),
            Part::Host => run.host(),
            Part::Start => run.start(),
            Part::Dd => run.dd(),
        }
    }
    Ok(run.found)
}

impl Run<'_> {
    fn fail(&mut self, part: Part, error: String) {
        self.screen.found(&format!("{}: FAILED: {error}", part.name()));
        self.found.failures.push(Failure { part, error });
    }

    /// The core alone.
    fn core(&mut self) {
        let effort = Effort { rounds: self.plan.rounds, limit: self.plan.core_limit };
        let screen = &mut self.screen;
        let measured = core::measure(effort, &mut |line| screen.tell(line));
        self.keep(Part::Core, measured);
    }

    /// Over a shaped link.
    fn link(&mut self) {
        let Plan { rounds, limit, .. } = *self.plan;
        let screen = &mut self.screen;
        let tell = &mut |line: &str| screen.tell(line);
        let measured = link::measure(&self.equipment.folder, rounds, limit, tell);
        self.keep(Part::Link, measured);
    }

    /// The host's sockets.
    fn host(&mut self) {
        let effort = host::Effort { rounds: self.plan.host_rounds, limit: self.plan.host_limit };
        let (screen, workloads) = (&mut self.screen, self.plan.host_workloads());
        let tell = &mut |line: &str| screen.tell(line);
        let mut measured = Vec::new();
        let ended = host::measure(&self.rig, &workloads, effort, tell, &mut measured);
        self.keep(Part::Host, Ok(measured));
        if let Err(error) = ended {
            self.fail(Part::Host, error);
        }
    }

    /// What a part measured by itself.
    fn keep(&mut self, part: Part, measured: Result<Vec<Measurement>, String>) {
        match measured {
            Ok(all) => {
                let is_same = |a: &Measurement, b: &Measurement| {
                    (&a.setting, a.workload) == (&b.setting, b.workload)
                };
                for same in all.chunk_by(is_same) {
                    let words: Vec<String> = same.iter().map(words).collect();
                    let what = format!("{} {}", part.name(), same[0].setting);
                    self.screen.found(&format!("{what:<52} {}", words.join(", ")));
                }
                self.found.measurements.extend(all);
            }
            Err(error) => self.fail(part, error),
        }
        self.screen.advance(self.plan.estimate_of(part));
    }

    /// Lets contenders take turns, and keeps what they reach. The setting is where ours is found
    /// again; bare iSCSI is a limit of it. Returns which of them still stand.
    fn turns(
        &mut self,
        (part, section, setting): (Part, Section, &str),
        turns: &mut [Turn<'_>],
        limit: Duration,
    ) -> Vec<bool> {
        let Some(of_first) = turns.first().map(|first| first.workload) else { return Vec::new() };
        let what = point(part, setting, &of_first);
        self.screen.tell(&what);
        take_turns(turns, self.plan.rounds, limit);
        let mut words = Vec::new();
        let mut rates: Vec<Series> = Vec::new();
        for turn in turns.iter() {
            let name = turn.contender.name();
            let is_limit = name == names::BARE;
            let figures = match is_limit {
                true => turn.figures(Section::Limit, &settings::bare(setting)),
                false => turn.figures(section, setting),
            };
            match figures {
                Ok(all) => {
                    let quantity = match turn.workload.pattern {
                        Pattern::Sequential => Quantity::Throughput,
                        Pattern::Random => Quantity::Rate,
                    };
                    if let Some(one) = all.iter().find(|one| one.quantity == quantity) {
                        let median = one.series.median();
                        let digests = match turn.workload.digests {
                            same if same == of_first.digests => String::new(),
                            other => format!(" with {}", figure::digests(other)),
                        };
                        let figure = figure::with_unit(median, quantity);
                        words.push(format!("{name}{digests} {figure}"));
                        if !is_limit {
                            rates.push(one.series.clone());
                        }
                    }
                    self.found.measurements.extend(all);
                }
                Err(error) => {
                    self.fail(part, format!("{setting}: {error}"));
                }
            }
        }
        if let [ours, theirs] = rates.as_slice() {
            let ratio = figure::digits(ours.ratio(theirs).median());
            words.push(format!("{ratio} ×"));
        }
        self.screen.found(&format!("{what:<52} {}", words.join(", ")));
        turns.iter().map(|turn| turn.seen.is_ok()).collect()
    }
}

/// `guest e1000: read 1 MiB ×4`
fn point(part: Part, setting: &str, workload: &Workload) -> String {
    format!("{} {setting}: {workload}", part.name())
}

/// `isboot 263 MB/s`
fn words(one: &Measurement) -> String {
    format!("{} {}", one.contender, figure::with_unit(one.series.median(), one.quantity))
}
