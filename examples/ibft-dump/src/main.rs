//! Explains an iSCSI Boot Firmware Table, and makes one: `ibft-dump --help`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use ibft_dump::source::{self, Table};
use ibft_dump::{Secrets, build, explain, json, sysfs};

/// Explains an iSCSI Boot Firmware Table (iBFT).
///
/// Without a file it looks at the machine it runs on: the firmware's ACPI tables, then what Linux's
/// module iscsi_ibft found.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    dump: Dump,
}

const EXAMPLES: &str = "\
Examples:
  ibft-dump                              explain this machine's table
  ibft-dump ibft.bin                     explain the table in a file
  ibft-dump --sysfs ibft.bin             in Linux's names: ethernet0/ip-addr=10.0.2.15
  ibft-dump --memory /dev/mem            search memory as a kernel does (BIOS machines)
  ibft-dump build --initiator iqn.2010-06.org.example:client \\
      --nic mac=52:54:00:12:34:56,address=10.0.2.15/24,gateway=10.0.2.2 \\
      --target name=iqn.2010-06.org.example:disk1,address=10.0.2.2,lun=0 -o ibft.bin
  qemu-system-x86_64 -acpitable file=ibft.bin ...
                                         boot a machine that has it

Exit status: 0 when the table is sound, 1 when it is not or there is none (the reason is on
standard error), 2 when the command line is wrong.";

#[derive(Subcommand)]
enum Command {
    /// Makes a table from options
    Build(Build),
}

#[derive(Args)]
struct Dump {
    /// The table, as bytes; this machine's own when left out
    file: Option<PathBuf>,
    /// Take the firmware's ACPI table (/sys/firmware/acpi/tables/iBFT) and nothing else
    #[arg(long, conflicts_with_all = ["file", "memory"])]
    acpi: bool,
    /// Search physical memory, or a dump of it that starts at address 0
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    memory: Option<PathBuf>,
    /// Which of several tables in memory to take, from 0
    #[arg(long, value_name = "NUMBER", default_value_t = 0, requires = "memory")]
    instance: usize,
    /// Print path=value lines with Linux's names and values, as in /sys/firmware/ibft
    #[arg(long, conflicts_with = "json")]
    sysfs: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Print CHAP secrets, which are hidden otherwise
    #[arg(long)]
    show_secrets: bool,
}

#[derive(Args)]
struct Build {
    /// The initiator's iSCSI name
    #[arg(long, value_name = "NAME")]
    initiator: String,
    /// A network interface, as word=value,…; may be repeated
    #[arg(long, value_name = "WORDS", long_help = nic_help())]
    nic: Vec<String>,
    /// A target, as word=value,…; may be repeated
    #[arg(long, value_name = "WORDS", long_help = target_help())]
    target: Vec<String>,
    /// Where to write the table
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

fn nic_help() -> String {
    format!("A network interface, as word=value,…; may be repeated. Words: {}", build::NIC_WORDS)
}

fn target_help() -> String {
    format!(
        "A target, as word=value,…; may be repeated. Words: {}. With user there is CHAP, with \
         reverse-user mutual CHAP. Other users can read the command line while it runs",
        build::TARGET_WORDS
    )
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Some(Command::Build(options)) => write(&options),
        None => dump(&cli.dump),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("ibft-dump: {reason}");
            ExitCode::FAILURE
        }
    }
}

fn dump(options: &Dump) -> Result<(), String> {
    let table: Table = match options {
        Dump { file: Some(path), .. } => source::file(path)?,
        Dump { memory: Some(path), .. } => source::memory(path, options.instance)?,
        Dump { acpi: true, .. } => source::acpi(source::ACPI_TABLES.as_ref())?,
        _ => source::host()?,
    };
    let secrets = if options.show_secrets { Secrets::Show } else { Secrets::Hide };
    let ibft = table.ibft()?;
    let text = if options.sysfs {
        sysfs::attributes(&ibft, secrets)
            .iter()
            .map(|(path, value)| format!("{path}={value}\n"))
            .collect()
    } else if options.json {
        format!("{:#}\n", json::json(&ibft, &table.origin, secrets))
    } else {
        explain::explain(&ibft, &table.origin, secrets)
    };
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(format!("cannot write to standard output: {error}"))
        }
        _ => Ok(()),
    }
}

fn write(options: &Build) -> Result<(), String> {
    let bytes = build::build(&options.initiator, &options.nic, &options.target)?;
    std::fs::write(&options.output, bytes)
        .map_err(|error| format!("cannot write {}: {error}", options.output.display()))
}
