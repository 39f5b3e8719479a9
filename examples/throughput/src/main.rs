//! `throughput`: the command line of the bench.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum as _};
use qemu_boot::interrupt;
use qemu_boot::plan::Nic;
use throughput::facts;
use throughput::plan::{Part, Plan};
use throughput::report::{Report, table};
use throughput::run::{Equipment, run};
use throughput::targets::Verdict;

/// Measures isboot beside what a user would pick instead: same target, same machine, in turns.
#[derive(Debug, Parser)]
#[command(name = "throughput", bin_name = "cargo xtask bench", after_help = EXAMPLES, version)]
struct Arguments {
    /// Two minutes instead of fifteen: what the targets read, on one card, few sizes and depths
    ///
    /// Every target has its row, but for those of the cards e1000 and igb. Left out are, on the host,
    /// every size between 4 KiB and 1 MiB and every depth between 1 and 32; in the guest all loads that
    /// no target reads, and so their plots; all but 32 MiB of the dd.
    #[arg(long)]
    quick: bool,
    /// Measure only this part. May be given several times
    #[arg(long, value_enum, value_name = "PART")]
    only: Vec<Part>,
    /// Guests have only this network card. May be given several times
    #[arg(long, value_enum, value_name = "CARD")]
    nic: Vec<Nic>,
    /// How often each takes its turn; medians are of so many
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Everything as JSON on standard output, instead of the table
    #[arg(long)]
    json: bool,
    /// Where the page, the plots and the JSON go [default: bench in the build folder]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// A target that is not met is a failure too
    #[arg(long)]
    strict: bool,
    /// Measure nothing: make table, page and plots again from the report of an earlier run
    #[arg(long, value_name = "FILE.json")]
    from: Option<PathBuf>,
    /// The hosting kernel [default: where `cargo xtask bench` builds it]
    #[arg(long, value_name = "IMAGE")]
    kernel: Option<PathBuf>,
    /// QEMU to run [default: qemu-system-x86_64; for igb tools/qemu in the build folder, where there
    /// is one]
    #[arg(long, value_name = "PROGRAM")]
    qemu: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask bench                            everything: table, page, plots, JSON; under 15 minutes
  cargo xtask bench --quick                    what the targets read, on one card; under 2
  cargo xtask bench --only guest --nic e1000   ours beside Linux and iPXE on one card
  cargo xtask bench --only host --only link    without QEMU
  cargo xtask bench --only dd                  1 GiB in blocks of 1 MiB, as in the announcement
  cargo xtask bench --rounds 15                narrower spreads, for three times as long
  cargo xtask bench --json > report.json       for programs
  cargo xtask bench --from report.json --output page    the page of an earlier run
  cargo xtask bench --strict                   exit status 1 where a target is not met

Exit status: 0 when everything was measured, whether targets are met or not (with --strict: 1 when
one is not met or not measured); 1 when something could not be measured, which is told while the rest
goes on; 2 when nothing could; 130 after Ctrl-C.";

const FAILED: u8 = 1;
const COULD_NOT_START: u8 = 2;
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    interrupt::watch();
    let report = match &arguments.from {
        Some(file) => again(file),
        None => measured(&arguments),
    };
    if interrupt::is_wanted() {
        eprintln!("bench: interrupted; everything that it started has ended");
        return ExitCode::from(INTERRUPTED);
    }
    let shown = report.and_then(|report| show(&arguments, &report).map(|()| report));
    match shown {
        Ok(report) if !report.failures.is_empty() => ExitCode::from(FAILED),
        Ok(report) if arguments.strict && !is_all_met(&report) => ExitCode::from(FAILED),
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::from(COULD_NOT_START)
        }
    }
}

fn is_all_met(report: &Report) -> bool {
    report.count(Verdict::NotMet) + report.count(Verdict::NotMeasured) == 0
}

fn measured(arguments: &Arguments) -> Result<Report, String> {
    let plan = arguments.plan();
    let equipment = arguments.equipment()?;
    let begin = Instant::now();
    let found = run(&plan, &equipment)?;
    // To the second: nobody needs more.
    let elapsed = Duration::from_secs(begin.elapsed().as_secs());
    let facts = facts::collect(&[&equipment.qemu, &equipment.newer_qemu]);
    Ok(Report::new(&plan, facts, elapsed, found.measurements, found.dd, found.failures))
}

fn again(file: &Path) -> Result<Report, String> {
    let text =
        fs::read_to_string(file).map_err(|error| format!("reading {}: {error}", file.display()))?;
    serde_json::from_str(&text).map_err(|error| {
        format!("{} is no report of this version of the bench: {error}", file.display())
    })
}

fn show(arguments: &Arguments, report: &Report) -> Result<(), String> {
    let folder = match &arguments.output {
        Some(folder) => folder.clone(),
        None => build_folder()?.join("bench"),
    };
    report.write(&folder)?;
    let text = if arguments.json {
        serde_json::to_string_pretty(report)
            .map_err(|error| format!("making JSON of the report: {error}"))?
            + "\n"
    } else {
        table::table(report)
    };
    // A reader that has seen enough is no error.
    let _ = std::io::stdout().write_all(text.as_bytes());
    eprintln!("page, plots and JSON: {}", folder.join("report.html").display());
    Ok(())
}

impl Arguments {
    fn plan(&self) -> Plan {
        let mut plan = if self.quick { Plan::quick() } else { Plan::full() };
        if !self.only.is_empty() {
            let asked = |part: &Part| self.only.contains(part);
            plan.parts = Part::value_variants().iter().copied().filter(asked).collect();
        }
        if !self.nic.is_empty() {
            plan.nics.clone_from(&self.nic);
            plan.nics.dedup();
        }
        if let Some(rounds) = self.rounds {
            (plan.rounds, plan.host_rounds) = (rounds.into(), rounds.into());
        }
        plan
    }

    fn equipment(&self) -> Result<Equipment, String> {
        let folder = build_folder()?;
        let kernel = match &self.kernel {
            Some(kernel) => kernel.clone(),
            None => folder.join("boot-module/boot-module"),
        };
        let newer_qemu = match &self.qemu {
            Some(qemu) => qemu.clone(),
            None => folder.join("tools/qemu/usr/bin/qemu-system-x86_64"),
        };
        let qemu = self.qemu.clone().unwrap_or_else(|| PathBuf::from("qemu-system-x86_64"));
        Ok(Equipment { kernel, qemu, newer_qemu, folder })
    }
}

/// Cargo's target folder: where it is told to build, or where this program was built.
fn build_folder() -> Result<PathBuf, String> {
    if let Some(folder) = std::env::var_os("CARGO_TARGET_DIR") {
        return Ok(folder.into());
    }
    let program = std::env::current_exe()
        .map_err(|error| format!("finding this program's folder: {error}"))?;
    Ok(program.ancestors().nth(2).map(PathBuf::from).unwrap_or_default())
}
