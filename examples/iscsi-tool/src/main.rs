//! Lists, reads, writes and verifies the disks of iSCSI targets: `iscsi-tool --help`.
//!
//! It is also the crate `isboot` at work in a plain process, for those who embed it:
//!
//! - [`initiator`] makes the plan, polls, and sleeps on the socket: the whole event loop.
//! - [`discovery`] asks a portal which targets it has.
//! - [`transfer`] keeps a number of owned requests under way with a fixed number of buffers.
//! - [`login`] turns names and values from outside into the library's parameters.

mod amount;
mod commands;
mod discovery;
mod failure;
mod initiator;
mod login;
mod options;
mod progress;
mod report;
mod sink;
mod transfer;
mod url;

use std::io::Write as _;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory as _, Parser};
use log::LevelFilter;

use crate::failure::Failure;
use crate::login::LoginOptions;
use crate::options::Command;

/// Lists, reads, writes and verifies the disks of iSCSI targets.
///
/// A URL says which: `iscsi://[user[%secret]@]host[:port][/target-name[/lun]]`.
/// The port is 3260 when left out; an IPv6 address goes in brackets; the LUN is what `ls` prints.
/// A root path as in RFC 4173 does as well: `iscsi:host:protocol:port:lun:target-name`.
#[derive(Parser)]
#[command(version, after_help = EXAMPLES, disable_help_subcommand = true, verbatim_doc_comment)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    login: LoginOptions,
    /// Print JSON
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
    /// Show the log on standard error; twice or three times for more of it
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Output")]
    verbose: u8,
}

const EXAMPLES: &str = "\
Examples:
  iscsi-tool ls iscsi://10.0.2.2
                                         which targets there are, and their disks
  iscsi-tool ls iscsi://10.0.2.2/iqn.2010-06.org.example:disk
                                         the disks of one target
  iscsi-tool info iscsi://[fd00::1]:3261/iqn.2010-06.org.example:disk
                                         what the login agreed on, how long it took, and
                                         everything about the disks
  iscsi-tool ping iscsi://san/iqn.2010-06.org.example:disk/0 --count 10
                                         how long LUN 0 takes to answer
  iscsi-tool read iscsi://san/iqn.2010-06.org.example:disk/0 -o disk.img
                                         copy LUN 0 to a file
  iscsi-tool read iscsi://san/iqn.2010-06.org.example:disk/0 --length 512 | xxd
                                         look at its first block
  iscsi-tool read iscsi://san/iqn.2010-06.org.example:disk/0 --sha256
                                         its hash, as sha256sum prints it
  iscsi-tool write iscsi://san/iqn.2010-06.org.example:disk/1 --offset 1M boot.img --yes
                                         put a file onto LUN 1, and make it durable
  iscsi-tool verify iscsi://san/iqn.2010-06.org.example:disk/1 --offset 1M boot.img
                                         is it there?
  iscsi-tool ls iscsi://me@san/iqn.2010-06.org.example:disk --secret-file chap.secret
                                         log in with CHAP
  ISBOOT_CHAP_SECRET=… iscsi-tool ls iscsi://me@san --mutual-secret-file target.secret
                                         mutual CHAP: the target proves itself, too
  iscsi-tool read iscsi://san/iqn.2010-06.org.example:disk/0 --sha256 --data-digest crc32c
                                         with a checksum on everything that moves
  iscsi-tool info iscsi://san/iqn.2010-06.org.example:disk -p initial_r2t=no
                                         with a parameter of the library; -p help lists them

Numbers of bytes take K, M, G and T, powers of 1024. Rates are in millions of bytes per second.

With --json every command prints one JSON value on standard output; reasons for failures are text
on standard error in any case.

Exit status: 0 when all went well; 1 when it did not, verify found a difference, or a target of
those to be listed did not answer (the reason is on standard error); 2 when the command line is
wrong; 130 after Ctrl-C.";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        _ if cli.login.wants_parameter_help() => print(&login::parameter_help()),
        Some(command) => {
            log_to_stderr(cli.verbose);
            initiator::catch_interrupts()
                .and_then(|()| commands::run(command, &cli.login, cli.json, cli.verbose > 0))
        }
        None => Cli::command()
            .error(
                ErrorKind::MissingSubcommand,
                "one of ls, info, ping, read, write and verify is needed",
            )
            .exit(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("iscsi-tool: {failure}");
            failure.exit_code()
        }
    }
}

/// Silent until the login, unless asked: what goes wrong there is the tool's own error.
fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => LevelFilter::Off,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    env_logger::Builder::new()
        .filter_level(LevelFilter::Trace)
        .format(|out, record| {
            writeln!(out, "{}: {}", record.level().as_str().to_lowercase(), record.args())
        })
        .init();
    log::set_max_level(level);
}

/// Prints to standard output; a reader that has had enough is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::doing("cannot write to standard output", error))
        }
        _ => Ok(()),
    }
}
