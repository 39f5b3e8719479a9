//! What follows the commands on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use isboot::boot::Parameters;
use isboot::disk::Disk;

use crate::amount;
use crate::failure::Failure;
use crate::initiator::MAX_DEPTH;
use crate::transfer::Shape;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Lists the targets of a portal and their disks, or the disks of one target
    Ls(ListOptions),
    /// Tells what the login agreed on, how long it took, and everything about the disks
    Info {
        /// The target; with a LUN, this disk alone
        url: String,
    },
    /// Measures how long a disk, or a portal, takes to answer
    Ping(PingOptions),
    /// Copies a disk, or a part of it, to a file or to standard output
    Read(ReadOptions),
    /// Writes a file onto a disk, and makes it durable
    Write(WriteOptions),
    /// Compares a disk with a file, and tells the first difference
    Verify(VerifyOptions),
}

#[derive(Args)]
pub(crate) struct ListOptions {
    /// A portal, a target (with its name), or a disk (with a LUN too)
    pub(crate) url: String,
    /// Only the names and addresses of the portal's targets: log in to none of them
    #[arg(short, long)]
    pub(crate) targets: bool,
}

#[derive(Args)]
pub(crate) struct PingOptions {
    /// A disk, a target (its first disk), or a portal (a login for discovery each time)
    pub(crate) url: String,
    /// How often
    #[arg(short, long, value_name = "NUMBER", default_value_t = 4,
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) count: u32,
    /// Seconds from one to the next
    #[arg(short, long, value_name = "SECONDS", default_value_t = 1.0, value_parser = seconds)]
    pub(crate) interval: f64,
}

#[derive(Args)]
pub(crate) struct ReadOptions {
    /// The disk: a URL with a LUN
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) place: Place,
    /// How many bytes; up to the end of the disk when left out
    #[arg(long, value_name = "BYTES", value_parser = amount::bytes)]
    pub(crate) length: Option<u64>,
    /// Where to write them; standard output when left out
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print the SHA-256 hash; without -o, nothing else is done with the data
    #[arg(long)]
    pub(crate) sha256: bool,
    #[command(flatten)]
    pub(crate) pace: Pace,
}

#[derive(Args)]
pub(crate) struct WriteOptions {
    /// The disk: a URL with a LUN
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) place: Place,
    /// What to write: whole blocks
    pub(crate) file: PathBuf,
    /// Overwrite what is there; without it, only say what would be overwritten
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) pace: Pace,
}

#[derive(Args)]
pub(crate) struct VerifyOptions {
    /// The disk: a URL with a LUN
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) place: Place,
    /// What it is to hold, from the place on
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) pace: Pace,
}

/// Where on the disk it begins.
#[derive(Args)]
pub(crate) struct Place {
    /// Begin at this byte of the disk
    #[arg(long, value_name = "BYTES", value_parser = amount::bytes, conflicts_with = "lba")]
    pub(crate) offset: Option<u64>,
    /// Begin at this block of the disk
    #[arg(long, value_name = "NUMBER")]
    pub(crate) lba: Option<u64>,
}

#[derive(Args)]
#[command(next_help_heading = "Pace")]
pub(crate) struct Pace {
    /// Requests under way at a time; as many as the queue depth takes when left out
    #[arg(long, value_name = "NUMBER",
          value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_DEPTH)))]
    pub(crate) depth: Option<u16>,
    /// Size of one request; memory for data is DEPTH times this
    #[arg(long, value_name = "BYTES", default_value = "1M", value_parser = chunk)]
    pub(crate) chunk: u64,
}

impl Place {
    /// The first byte.
    pub(crate) fn on(&self, disk: &Disk) -> Result<u64, Failure> {
        match (self.offset, self.lba) {
            (Some(offset), _) => Ok(offset),
            (None, Some(lba)) => lba
                .checked_mul(u64::from(disk.block_size))
                .ok_or_else(|| Failure::Failed(format!("LUN {} has no block {lba}", disk.lun))),
            (None, None) => Ok(0),
        }
    }
}

impl Pace {
    /// With as many requests as it takes to have `queue_depth` reads outstanding, when the command
    /// line does not say.
    pub(crate) fn shape(&self, parameters: &Parameters) -> Shape {
        let command = parameters.transfer_limit().read;
        let outstanding = u64::from(parameters.queue_depth) * u64::from(command);
        let enough = (outstanding / self.chunk).clamp(1, u64::from(MAX_DEPTH));
        let depth = self.depth.map_or(enough as usize, usize::from);
        Shape { depth, chunk: self.chunk }
    }
}

/// Largest request, in bytes.
const LARGEST_CHUNK: u64 = 64 << 20;

fn chunk(text: &str) -> Result<u64, String> {
    let range = 512..=LARGEST_CHUNK;
    match amount::bytes(text)? {
        size if range.contains(&size) => Ok(size),
        _ => Err("a request has 512 bytes to 64M".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=3600.0).contains(seconds));
    seconds.ok_or_else(|| "an interval is 0 to 3600 seconds, such as 0.2".to_owned())
}
