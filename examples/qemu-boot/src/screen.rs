//! What a person sees of a run: stages as they happen, a bar for transfers, tables, a verdict.

use std::io::{IsTerminal, stdout};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::boot::{Observer, Seen};
use crate::judge::Check;
use crate::plan::Plan;
use crate::report::{Report, rate};
use crate::stage::Stage;
use crate::watch::{Progress, Sighting};

/// Prints a line. A reader that went away (`| head`) is no reason to panic: the run goes on.
#[macro_export]
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($words)*);
    }};
}

/// How much is shown, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Stages, for people.
    Stages,
    /// Stages and every line of the console.
    Console,
    /// JSON lines, for machines.
    Json,
    /// Nothing while it runs.
    Quiet,
}

/// Shows one run.
#[derive(Debug)]
pub struct Screen {
    mode: Mode,
    bar: Option<ProgressBar>,
    /// Quarters of the present transfer that were shown, where no bar can move.
    quarters: u64,
    last_seconds: f64,
}

impl Screen {
    /// Shows in this mode.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self { mode, bar: None, quarters: 0, last_seconds: 0.0 }
    }

    /// What is about to run.
    pub fn heading(&self, plan: &Plan, what: &str) {
        if matches!(self.mode, Mode::Stages | Mode::Console) {
            say!(
                "{what}: {} firmware, {}, digest {}, target {}, {} MiB of memory",
                plan.firmware.name(),
                plan.nic.name(),
                plan.digest.name(),
                plan.target,
                plan.memory_mib
            );
            say!("   time     step  stage");
        }
    }

    /// What was found, and the verdict.
    pub fn judgement(&self, seen: &Seen, report: &Report) {
        match self.mode {
            Mode::Quiet => {}
            Mode::Json => emit("report", json!(report)),
            Mode::Stages | Mode::Console => {
                print_disks(seen);
                print_checks(&report.checks);
                if !report.passed && !report.last_lines.is_empty() {
                    say!("\nThe console's last lines:");
                    for line in &report.last_lines {
                        say!("  {line}");
                    }
                }
                for path in &seen.kept {
                    say!("kept: {}", path.display());
                }
                say!("\n{}", verdict(report));
            }
        }
    }
}

impl Observer for Screen {
    fn stage(&mut self, sighting: &Sighting) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.quarters = 0;
        let step = sighting.seconds - self.last_seconds;
        self.last_seconds = sighting.seconds;
        match self.mode {
            Mode::Json => emit("stage", json!(sighting)),
            Mode::Stages | Mode::Console => say!(
                "{:7.2} s {:+7.2}  {:<12} {}",
                sighting.seconds,
                step,
                sighting.stage.name(),
                describe(sighting)
            ),
            Mode::Quiet => {}
        }
    }

    fn progress(&mut self, progress: &Progress) {
        match self.mode {
            Mode::Json => emit("progress", json!(progress)),
            Mode::Quiet => {}
            Mode::Stages | Mode::Console if stdout().is_terminal() => {
                let bar = self.bar.get_or_insert_with(|| bar(progress));
                bar.set_length(progress.total);
                bar.set_position(progress.done);
            }
            Mode::Stages | Mode::Console => {
                let quarters = progress.done * 4 / progress.total.max(1);
                if quarters > self.quarters {
                    self.quarters = quarters;
                    say!("                    {} {} %", progress.what, quarters * 25);
                }
            }
        }
    }

    fn console(&mut self, line: &str) {
        if self.mode == Mode::Console {
            say!("                    | {line}");
        }
    }
}

/// The one line at the end of a run.
#[must_use]
pub fn verdict(report: &Report) -> String {
    let held = report.checks.iter().filter(|check| check.passed).count();
    let all = report.checks.len();
    let combination = format!(
        "{} / {} / digest {}",
        report.firmware.name(),
        report.nic.name(),
        report.digest.name()
    );
    if report.passed {
        format!("PASS  {combination}: {held} of {all} checks held in {:.1} s", report.seconds)
    } else {
        format!(
            "FAIL  {combination}: {held} of {all} checks held in {:.1} s; repeat: {}",
            report.seconds, report.command
        )
    }
}

/// A row for each run of several, when it ends.
#[must_use]
pub fn row(report: &Report) -> String {
    let number = |value: Option<f64>, decimals: usize| match value {
        Some(value) => format!("{value:.decimals$}"),
        None => "–".to_owned(),
    };
    let what = match (report.fault, report.degraded) {
        (Some(name), _) => format!("fault {name}"),
        (_, Some(name)) => format!("degraded {name}"),
        _ => format!(
            "{:<5} {:<13} {:<7}",
            report.firmware.name(),
            report.nic.name(),
            report.digest.name()
        ),
    };
    let mut row = format!(
        "{}  {what:<27} {:>6.1} s  first block {:>6} s  read {:>6}  write {:>6} MB/s",
        if report.passed { "pass" } else { "FAIL" },
        report.seconds,
        number(report.first_block_seconds, 3),
        number(report.read_mb_per_second, 1),
        number(report.write_mb_per_second, 1),
    );
    if report.fault.is_some() {
        let sentence = report.errors.first().map_or("no error was reported", |error| &error.text);
        row = format!(
            "{}  {what:<27} {:>6.1} s  {sentence}",
            if report.passed { "pass" } else { "FAIL" },
            report.seconds,
        );
    }
    if let Some(qemu) = &report.qemu {
        row.push_str(&format!("  by {}", qemu.display()));
    }
    for check in report.checks.iter().filter(|check| !check.passed) {
        row.push_str(&format!("\n      {}: {}", check.name, check.detail));
    }
    if !report.passed {
        row.push_str(&format!("\n      repeat: {}", report.command));
    }
    row
}

fn emit(kind: &str, value: Value) {
    say!("{}", json!({ "type": kind, "value": value }));
}

fn bar(progress: &Progress) -> ProgressBar {
    let template = "                    {msg} [{bar:32}] {percent:>3} %  {decimal_bytes_per_sec}";
    let style = ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    ProgressBar::new(progress.total).with_style(style).with_message(progress.what.clone())
}

/// A stage in a few words.
fn describe(sighting: &Sighting) -> String {
    let field = |name: &str| sighting.field(name).unwrap_or("?");
    let at_rate = || rate(sighting).map_or(String::new(), |rate| format!(", {rate:.1} MB/s"));
    let mib = || sighting.number("bytes").map_or(0.0, |bytes| bytes as f64 / f64::from(1 << 20));
    match sighting.stage {
        Stage::Firmware | Stage::Ipxe | Stage::Hook => sighting.text.clone(),
        Stage::Kernel => format!(
            "by {}, image {} bytes, {} KiB of memory",
            field("loader"),
            field("image_bytes"),
            field("memory_kib")
        ),
        Stage::Ibft => format!(
            "by {}, at {}, {} bytes, from {}",
            field("via"),
            field("address"),
            field("length"),
            field("oem")
        ),
        Stage::Nic => format!("{} at {}, {}", field("name"), field("bdf"), field("mac")),
        Stage::Link => format!("{} Mb/s, {} duplex", field("speed"), field("duplex")),
        Stage::Interrupts => match (field("wanted"), field("mode")) {
            ("none", _) => "none: polled".to_owned(),
            (wanted, mode) if wanted == mode => mode.to_owned(),
            (wanted, mode) => format!("{mode}, though {wanted} was wanted"),
        },
        Stage::Address => {
            format!("{} by {}, gateway {}", field("ip"), field("origin"), field("gateway"))
        }
        Stage::Tcp => field("portal").to_owned(),
        Stage::Login => format!(
            "{}, header digest {}, data digest {}",
            field("target"),
            field("header_digest"),
            field("data_digest")
        ),
        Stage::Disk => format!(
            "LUN {}: {} {}, {} blocks of {} bytes",
            field("lun"),
            field("vendor"),
            field("product"),
            field("blocks"),
            field("block_size")
        ),
        Stage::Luns => format!("{} of them", field("count")),
        Stage::FirstBlock => sighting.guest_micros.map_or(String::new(), |micros| {
            format!("{:.3} s after kernel entry", micros as f64 / 1e6)
        }),
        Stage::Read => format!(
            "{:.1} MiB{}, SHA-256 {}…",
            mib(),
            at_rate(),
            field("sha256").get(..16).unwrap_or("?")
        ),
        Stage::Write => format!("{:.1} MiB at byte {}{}", mib(), field("offset"), at_rate()),
        Stage::Idle => format!(
            "{} % of the time, {} interrupts, {} missed, {}",
            field("share"),
            field("interrupts"),
            field("overslept"),
            field("mode")
        ),
        Stage::Detach => format!("logout {}, NIC {}", field("logout"), field("nic")),
        Stage::Verdict => field("result").to_owned(),
        Stage::Flush | Stage::Progress => String::new(),
    }
}

fn print_disks(seen: &Seen) {
    let mut rows = vec![
        [
            "disk", "LUN", "vendor", "product", "revision", "serial", "block", "blocks", "MiB",
            "writable",
        ]
        .map(str::to_owned),
    ];
    for disk in seen.disks() {
        let field = |name: &str| disk.field(name).unwrap_or("?").trim().to_owned();
        let bytes = disk.number("block_size").zip(disk.number("blocks"));
        let mib = bytes.map_or(0, |(block, blocks)| block.saturating_mul(blocks) >> 20);
        rows.push([
            field("index"),
            field("lun"),
            field("vendor"),
            field("product"),
            field("revision"),
            field("serial"),
            field("block_size"),
            field("blocks"),
            mib.to_string(),
            if field("read_only") == "yes" { "no" } else { "yes" }.to_owned(),
        ]);
    }
    if rows.len() > 1 {
        say!();
        print_table(&rows);
    }
}

fn print_table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) {
    let widths: [usize; COLUMNS] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    for row in rows {
        let cells: Vec<String> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        say!("  {}", cells.join("  ").trim_end());
    }
}

fn print_checks(checks: &[Check]) {
    say!();
    for check in checks {
        let mark = if check.passed { "held" } else { "FAIL" };
        say!("  {mark}  {}: {}", check.name, check.detail);
    }
}
