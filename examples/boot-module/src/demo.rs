//! What the command line's `demo.*` words ask for.

use core::str::FromStr;

use heapless::Vec;

use crate::breakage::Breakage;
use crate::buffer::Buffer;
use crate::command_line::CommandLine;
use crate::failure::Failure;

/// Requests under way at a time.
pub(crate) const DEPTH: usize = 4;

const CHUNK: usize = 256 * 1024;
const LARGEST_CHUNK: usize = 1024 * 1024;

/// The workload.
#[derive(Debug)]
pub(crate) struct Demo {
    /// In the order of the command line.
    pub(crate) jobs: Vec<Job, 16>,
    /// Bytes of one request.
    pub(crate) chunk: usize,
    /// `demo.twice=yes`: attach, log in and read once more after the detach.
    pub(crate) twice: bool,
    /// `demo.bench=yes`: lines on the serial port say what to move.
    pub(crate) bench: bool,
    /// `demo.bare=yes`: the same by an initiator that knows beforehand what will come.
    pub(crate) bare: bool,
    /// `demo.patience=yes`: waits are slept through where that is worth it, not all.
    pub(crate) patience: bool,
    /// `demo.profile=yes`: loads tell where their time went.
    pub(crate) profile: bool,
    /// `demo.silence=yes`: only tell how long the card hears nothing.
    pub(crate) silence: bool,
    /// `demo.break=<what>`: what breaks.
    pub(crate) breakage: Option<Breakage>,
}

/// One piece of work.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Job {
    /// `demo.read=<disk>`: the whole disk, hashed.
    Read { disk: u16 },
    /// `demo.write=<disk>,<offset>,<bytes>,<seed>`: the pattern, then SYNCHRONIZE CACHE.
    Write { disk: u16, offset: u64, bytes: u64, seed: u64 },
    /// `demo.idle=<seconds>`: nothing, while the session stays.
    Idle { seconds: u16 },
}

impl Demo {
    pub(crate) fn parse(line: &CommandLine) -> Result<Self, Failure> {
        let mut demo = Self {
            jobs: Vec::new(),
            chunk: CHUNK,
            twice: false,
            bench: false,
            bare: false,
            patience: false,
            profile: false,
            silence: false,
            breakage: None,
        };
        for word in line.words().filter_map(|word| word.strip_prefix("demo.")) {
            demo.take(word).ok_or_else(|| {
                Failure::new(
                    "kernel",
                    format_args!(
                        "demo.{word} is not understood; there are demo.read=DISK, \
                         demo.write=DISK,OFFSET,BYTES,SEED and demo.idle=SECONDS (at most 16 of \
                         these), demo.chunk=BYTES (512-{LARGEST_CHUNK}), demo.twice=yes, \
                         demo.bench=yes, demo.bare=yes, demo.patience=yes, demo.profile=yes, \
                         demo.silence=yes, \
                         demo.break=WHAT ({}) and demo.log=LEVEL",
                        Breakage::NAMES
                    ),
                )
            })?;
        }
        Ok(demo)
    }

    /// Memory for the requests; none when there is nothing to do.
    pub(crate) fn buffers(&self) -> Result<Vec<Buffer, DEPTH>, Failure> {
        let count = if self.jobs.is_empty() { 0 } else { DEPTH };
        let buffers: Option<_> = (0..count).map(|_| Buffer::new(self.chunk)).collect();
        buffers.ok_or_else(|| {
            Failure::new("kernel", format_args!("no memory for {count} buffers of {}", self.chunk))
        })
    }

    fn take(&mut self, word: &str) -> Option<()> {
        let (name, value) = word.split_once('=')?;
        match name {
            "read" => self.jobs.push(Job::Read { disk: value.parse().ok()? }).ok(),
            "write" => {
                let mut parts = value.split(',');
                let disk = parts.next()?.parse().ok()?;
                let mut number = || u64::from_str(parts.next()?).ok();
                let (offset, bytes, seed) = (number()?, number()?, number()?);
                if parts.next().is_some() {
                    return None;
                }
                self.jobs.push(Job::Write { disk, offset, bytes, seed }).ok()
            }
            "idle" => self.jobs.push(Job::Idle { seconds: value.parse().ok()? }).ok(),
            "twice" => is_yes(value).map(|yes| self.twice = yes),
            "bench" => is_yes(value).map(|yes| self.bench = yes),
            "bare" => is_yes(value).map(|yes| self.bare = yes),
            "patience" => is_yes(value).map(|yes| self.patience = yes),
            "profile" => is_yes(value).map(|yes| self.profile = yes),
            "silence" => is_yes(value).map(|yes| self.silence = yes),
            "break" => {
                self.breakage = Some(Breakage::named(value)?);
                Some(())
            }
            "chunk" => {
                let chunk = usize::from_str(value).ok()?;
                self.chunk = (512..=LARGEST_CHUNK).contains(&chunk).then_some(chunk)?;
                Some(())
            }
            "log" => {
                log::set_max_level(value.parse().ok()?);
                Some(())
            }
            _ => None,
        }
    }
}

/// Neither `yes` nor `no` is none.
fn is_yes(value: &str) -> Option<bool> {
    (value == "yes" || value == "no").then_some(value == "yes")
}
