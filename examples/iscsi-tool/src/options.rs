//! What follows the commands on the command line.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use isboot::disk::Disk;

use crate::amount;
use crate::failure::Failure;
use crate::initiator::MAX_DEPTH;
use crate::transfer::Shape;

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Lists the disks of a target
    Ls {
        /// The target; with a LUN, this disk alone
        url: String,
    },
    /// Tells what the login agreed on, and how long each step took
    Info {
        /// The target
        url: String,
    },
    /// Copies a disk, or a part of it, to a file or to standard output
    Read(ReadOptions),
    /// Writes a file onto a disk, and makes it durable
    Write(WriteOptions),
    /// Compares a disk with a file, and tells the first difference
    Verify(VerifyOptions),
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
    /// Requests under way at a time
    #[arg(long, value_name = "NUMBER", default_value_t = 8,
          value_parser = clap::value_parser!(u16).range(1..=i64::from(MAX_DEPTH)))]
    pub(crate) depth: u16,
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
    pub(crate) fn shape(&self) -> Shape {
        Shape { depth: usize::from(self.depth), chunk: self.chunk }
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
