//! The commands, and what they have in common.

mod info;
mod list;
mod ping;
mod read;
mod verify;
mod write;

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use isboot::disk::Disk;
use isboot::login::Name;
use isboot::scsi::lun::LogicalUnitNumber;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::initiator::{Address, Identity, Initiator};
use crate::login::LoginOptions;
use crate::options::Command;
use crate::url::Url;
use crate::{print, progress, report};

/// Runs a command: log in, do it, log out.
pub(crate) fn run(
    command: &Command,
    login: &LoginOptions,
    json: bool,
    verbose: bool,
) -> Result<(), Failure> {
    let (url, depth) = match command {
        Command::Ls(list) => (&list.url, None),
        Command::Info { url } => (url, None),
        Command::Ping(ping) => (&ping.url, None),
        Command::Read(read) => (&read.url, read.pace.depth),
        Command::Write(write) => (&write.url, write.pace.depth),
        Command::Verify(verify) => (&verify.url, verify.pace.depth),
    };
    // Not an argument parser of clap's, which repeats the text that it refuses: there may be a
    // secret in it.
    let url: Url = url.parse().map_err(|error| Failure::Usage(format!("the URL: {error}")))?;
    let identity = login.identity(&url, depth, verbose)?;
    let mut job = Job { url: &url, identity: &identity, json };
    match command {
        Command::Ls(list) => job.list(list),
        Command::Info { .. } => job.info(),
        Command::Ping(ping) => job.ping(ping),
        Command::Read(read) => job.read(read),
        Command::Write(write) => job.write(write),
        Command::Verify(verify) => job.verify(verify),
    }
}

/// What all commands have in common.
struct Job<'a> {
    url: &'a Url,
    identity: &'a Identity,
    json: bool,
}

impl Job<'_> {
    /// Logs in to the target of the URL, works, and logs out.
    fn logged_in(
        &mut self,
        work: impl FnOnce(&mut Self, &mut Initiator) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let Url { portal, lun, .. } = self.url;
        let (portal, target) = (portal.clone(), self.target()?.clone());
        let address = Address { portal, target, lun: *lun };
        let mut initiator = Initiator::log_in(&address, self.identity)?;
        let result = work(self, &mut initiator);
        initiator.log_out();
        result
    }

    /// The target that the URL names.
    fn target(&self) -> Result<&Name, Failure> {
        self.url.target.as_ref().ok_or_else(|| {
            Failure::Usage(format!(
                "the URL names no target: add one, as in {0}/iqn.2010-06.org.example:disk; \
                 `iscsi-tool ls {0}` lists them",
                self.url
            ))
        })
    }

    /// The LUN that the URL names.
    fn lun(&self) -> Result<LogicalUnitNumber, Failure> {
        self.target()?;
        self.url.lun.ok_or_else(|| {
            Failure::Usage(format!(
                "the URL names no disk: add a LUN, as in {0}/0; `iscsi-tool ls {0}` lists them",
                self.url
            ))
        })
    }

    fn print(
        &self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> Result<(), Failure> {
        print(&if self.json { format!("{:#}\n", json()) } else { text() })
    }

    /// Times a transfer, under a progress bar.
    fn move_data(
        &self,
        verb: &'static str,
        length: u64,
        work: impl FnOnce(&ProgressBar) -> Result<(), Failure>,
    ) -> Result<Moved, Failure> {
        let start = Instant::now();
        let progress = progress::bar(verb, length, self.identity.quiet)?;
        let result = work(&progress);
        let bytes = progress.position();
        progress.finish_and_clear();
        result.map(|()| Moved { bytes, took: start.elapsed() })
    }

    fn moved_json(&self, disk: &Disk, start: u64, moved: &Moved) -> Value {
        json!({
            "target": self.url.target.as_ref().map(Name::as_str),
            "lun": disk.lun.to_string(),
            "offset": start,
            "bytes": moved.bytes,
            "seconds": moved.took.as_secs_f64(),
            "megabytes_per_second": report::megabytes_per_second(moved.bytes, moved.took),
        })
    }
}

/// What a transfer came to.
struct Moved {
    bytes: u64,
    took: Duration,
}

impl Moved {
    fn rate(&self) -> String {
        report::rate(self.bytes, self.took)
    }
}

/// The bytes of a transfer, which must be on the disk.
fn range_on(disk: &Disk, start: u64, length: u64) -> Result<Range<u64>, Failure> {
    match start.checked_add(length).filter(|end| *end <= disk.bytes() && start <= *end) {
        Some(end) => Ok(start..end),
        None => Err(Failure::Failed(format!(
            "LUN {} has {} bytes: there are no {length} bytes from byte {start} on",
            disk.lun,
            disk.bytes()
        ))),
    }
}

/// A file to be read, and its size.
fn open(path: &Path) -> Result<(File, u64), Failure> {
    let failed = |error| Failure::doing(format_args!("cannot read {}", path.display()), error);
    let mut file = File::open(path).map_err(failed)?;
    // Seeking tells the size of a block device too.
    let length = file.seek(SeekFrom::End(0)).map_err(failed)?;
    file.rewind().map_err(failed)?;
    Ok((file, length))
}
