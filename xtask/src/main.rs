//! The project's own commands: `cargo xtask setup | boot | bench | test | conformance | fuzz |
//! coverage`.

mod bench;
mod boot;
mod conformance;
mod coverage;
mod fuzz;
mod images;
mod instructions;
mod newer_qemu;
mod packages;
mod panics;
mod process;
mod proof;
mod setup;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Install what boots and tests need (Debian packages), or name it
    Setup {
        /// Only say what is missing; exit status 1 when something is
        #[arg(long)]
        check: bool,
    },
    /// Boot a kernel in QEMU from an iSCSI target and judge the run; options are qemu-boot's
    #[command(disable_help_flag = true)]
    Boot {
        /// Options of qemu-boot: `cargo xtask boot --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
        _options: Vec<String>,
    },
    /// Measure isboot beside Linux, iPXE and libiscsi, judge the targets, and draw the page
    #[command(disable_help_flag = true)]
    Bench {
        /// Options of the bench: `cargo xtask bench --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTIONS")]
        _options: Vec<String>,
    },
    /// Run every test: formatting, lints, docs, units, proofs, real targets, QEMU boots
    Test(test::Options),
    /// Run the conformance suites row by row, and write docs/CONFORMANCE.md
    Conformance(conformance::Options),
    /// Fuzz every target for a while, from its corpus, which stays as it is
    Fuzz(fuzz::Options),
    /// Say which lines of the core the tests run; exit status 1 below 95 %
    Coverage,
    /// Count the core's instructions by callgrind; exit status 1 when they are not the baseline's
    Instructions {
        /// Make what is counted now the baseline
        #[arg(long)]
        renew_baseline: bool,
    },
}

const EXAMPLES: &str = "\
Examples:
  cargo xtask boot                             the whole path once, as BIOS machine with an e1000
  cargo xtask boot --firmware uefi --nic e1000e --digest both
  cargo xtask boot --matrix                    all combinations
  cargo xtask boot --fault list                what must fail, and how
  cargo xtask bench --quick                    two minutes: ours beside what a user would pick
  cargo xtask bench                            all of it, in fifteen
  cargo xtask test                             everything; exit status 0 when all of it passed
  cargo xtask test --list                      the steps
  cargo xtask test --only clippy               one step
  cargo xtask test --skip boots --skip faults  without QEMU
  cargo xtask conformance                      every row, its tests, its verdict
  cargo xtask conformance B-RD                 one suite of rows
  cargo xtask fuzz                             every target, a minute each
  cargo xtask fuzz login --seconds 600         one of them, longer
  cargo xtask coverage                         percent of lines, file by file
  cargo xtask instructions                     of a command, beside the baseline
  cargo xtask instructions --renew-baseline    they are as they should be";

fn main() -> ExitCode {
    process::watch_signals();
    // The parser would keep a `--` for itself that is qemu-boot's.
    let handed_on = || std::env::args().skip(2).collect::<Vec<_>>();
    let outcome = match Arguments::parse().command {
        Command::Setup { check } => setup::run(check),
        Command::Boot { .. } => boot::run(&handed_on()),
        Command::Bench { .. } => bench::run(&handed_on()),
        Command::Test(options) => test::run(&options),
        Command::Conformance(options) => conformance::run(&options),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Coverage => coverage::run(),
        Command::Instructions { renew_baseline } => instructions::run(renew_baseline),
    };
    if process::is_interrupted() {
        return ExitCode::from(130);
    }
    match outcome {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::from(2)
        }
    }
}
