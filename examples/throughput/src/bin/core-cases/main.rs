//! Runs single cases of the core for whoever counts: callgrind, and a test of what is copied.

mod memory;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs};

use clap::{Parser, Subcommand};
use throughput::core::instructions::{Baseline, CASES, Counted, compare, count};

/// Instructions and copied bytes of the core, command by command.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:
  core-cases check examples/throughput/instructions.json
  core-cases renew examples/throughput/instructions.json
  core-cases run 'read 4 KiB' 1
  valgrind --tool=callgrind --dump-instr=yes core-cases run 'read 4 KiB' 2")]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Count every case and hold it against a baseline; exit status 1 when it differs
    Check { baseline: PathBuf },
    /// Count every case and make that the baseline
    Renew { baseline: PathBuf },
    /// Run one case and print how many bytes its commands copied
    Run {
        /// Its name
        case: String,
        /// Once or twice as many commands
        #[arg(value_parser = clap::value_parser!(u8).range(1..=2))]
        times: u8,
    },
    /// Name the cases
    List,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        What::Check { baseline } => check(&baseline),
        What::Renew { baseline } => renew(&baseline),
        What::Run { case, times } => run(&case, times == 2),
        What::List => {
            CASES.iter().for_each(|case| println!("{}", case.name));
            Ok(true)
        }
    };
    match outcome {
        Ok(is_fine) => ExitCode::from(u8::from(!is_fine)),
        Err(error) => {
            eprintln!("core-cases: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(name: &str, twice: bool) -> Result<bool, String> {
    let case = Counted::find(name)
        .ok_or_else(|| format!("there is no case `{name}`; `core-cases list` names them"))?;
    println!("{}", case.run(twice, memory::copied));
    Ok(true)
}

fn check(path: &Path) -> Result<bool, String> {
    let text = fs::read_to_string(path).map_err(|error| at(path, &error))?;
    let baseline: Baseline = serde_json::from_str(&text).map_err(|error| at(path, &error))?;
    let (table, is_fine) = compare(&baseline, &counted()?);
    print!("{table}");
    Ok(is_fine)
}

fn renew(path: &Path) -> Result<bool, String> {
    let now = counted()?;
    let old = fs::read_to_string(path).ok().and_then(|text| serde_json::from_str(&text).ok());
    print!("{}", compare(&old.unwrap_or_default(), &now).0);
    let text = serde_json::to_string_pretty(&now).map_err(|error| at(path, &error))?;
    fs::write(path, text + "\n").map_err(|error| at(path, &error))?;
    Ok(true)
}

fn counted() -> Result<Baseline, String> {
    let program = env::current_exe().map_err(|error| format!("finding this program: {error}"))?;
    let folder = program.with_extension("profiles");
    fs::create_dir_all(&folder).map_err(|error| at(&folder, &error))?;
    count(&program, &folder, env!("COMPILER"), &mut |line| eprintln!("{line}"))
}

fn at(path: &Path, error: &dyn std::error::Error) -> String {
    format!("{}: {error}", path.display())
}
