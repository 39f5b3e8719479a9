//! The five commands.

use std::fs::File;
use std::io::{self, BufReader, IsTerminal as _, Read as _};
use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use isboot::disk::Disk;
use isboot::scsi::lun::LogicalUnitNumber;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::initiator::{Access, Initiator};
use crate::login::LoginOptions;
use crate::options::{Command, ReadOptions, VerifyOptions, WriteOptions};
use crate::sink::Sink;
use crate::url::Url;
use crate::{print, report, transfer};

/// Runs a command: log in, do it, log out.
pub(crate) fn run(
    command: &Command,
    login: &LoginOptions,
    json: bool,
    verbose: bool,
) -> Result<(), Failure> {
    let (url, depth) = match command {
        Command::Ls { url } | Command::Info { url } => (url, 1),
        Command::Read(read) => (&read.url, read.pace.depth),
        Command::Write(write) => (&write.url, write.pace.depth),
        Command::Verify(verify) => (&verify.url, verify.pace.depth),
    };
    // Not an argument parser of clap's, which repeats the text that it refuses: there may be a
    // secret in it.
    let url: Url = url.parse().map_err(|error| Failure::Usage(format!("the URL: {error}")))?;
    let access = Access {
        initiator_name: login.initiator_name.clone(),
        authentication: login.authentication(&url)?,
        parameters: login.parameters(depth)?,
        url,
    };
    let mut job = Job { access: &access, json, verbose };
    match command {
        Command::Ls { .. } => job.logged_in(|job, initiator| job.ls(initiator)),
        Command::Info { .. } => job.logged_in(|job, initiator| {
            job.print(
                || report::terms(initiator, job.access),
                || report::terms_json(initiator, job.access),
            )
        }),
        Command::Read(read) => job.read(read),
        Command::Write(write) => job.write(write),
        Command::Verify(verify) => job.verify(verify),
    }
}

/// What all commands have in common.
struct Job<'a> {
    access: &'a Access,
    json: bool,
    verbose: bool,
}

impl Job<'_> {
    fn logged_in(
        &mut self,
        work: impl FnOnce(&mut Self, &mut Initiator) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut initiator = Initiator::log_in(self.access)?;
        let result = work(self, &mut initiator);
        initiator.log_out();
        result
    }

    fn ls(&self, initiator: &Initiator) -> Result<(), Failure> {
        let one;
        let disks = match self.access.url.lun {
            Some(lun) => {
                one = [initiator.disk(lun)?.1];
                &one[..]
            }
            None => initiator.disks(),
        };
        self.print(|| report::table(disks), || report::disks_json(initiator, self.access, disks))
    }

    fn read(&mut self, options: &ReadOptions) -> Result<(), Failure> {
        let lun = self.lun()?;
        let to_stdout = options.output.is_none() && !options.sha256;
        if to_stdout && self.json {
            return Err(Failure::Usage(
                "standard output cannot take both the data and JSON: give -o FILE or --sha256"
                    .to_owned(),
            ));
        }
        if to_stdout && io::stdout().is_terminal() {
            return Err(Failure::Usage(
                "a terminal is no place for a disk's bytes: give -o FILE or --sha256, or redirect"
                    .to_owned(),
            ));
        }
        self.logged_in(|job, initiator| {
            let (id, disk) = initiator.disk(lun)?;
            let start = options.place.on(&disk)?;
            let length = match options.length {
                Some(length) => length,
                None => disk.bytes().saturating_sub(start),
            };
            let range = range_on(&disk, start, length)?;
            let mut sink = Sink::open(options, to_stdout)?;
            let moved = job.move_data("read", length, |progress| {
                let shape = options.pace.shape();
                transfer::read(initiator, (id, &disk), range, shape, progress, |bytes| {
                    sink.take(bytes)
                })
            })?;
            let hash = sink.finish()?;
            if job.json {
                let mut value = job.moved_json(&disk, start, &moved);
                value["sha256"] = json!(hash);
                value["output"] = json!(options.output);
                return print(&format!("{value:#}\n"));
            }
            eprintln!("read {} from byte {start} of LUN {lun}", moved.rate());
            hash.map_or(Ok(()), |hash| print(&format!("{hash}  {}\n", job.access.url)))
        })
    }

    fn write(&mut self, options: &WriteOptions) -> Result<(), Failure> {
        let lun = self.lun()?;
        let (mut file, length) = open(&options.file)?;
        let shown = options.file.display();
        self.logged_in(|job, initiator| {
            let (id, disk) = initiator.disk(lun)?;
            let start = options.place.on(&disk)?;
            let range = range_on(&disk, start, length)?;
            let what = format!("{shown} onto LUN {lun}");
            if disk.read_only {
                return Err(Failure::doing(
                    format_args!("cannot write {what}"),
                    "it is write-protected",
                ));
            }
            for (name, value) in [("place", start), ("size of the file", length)] {
                if value % u64::from(disk.block_size) != 0 {
                    return Err(Failure::doing(
                        format_args!("cannot write {what}"),
                        format_args!(
                            "the {name}, {value}, is no multiple of the disk's block size, {}; \
                             truncate -s %{0} pads a file",
                            disk.block_size
                        ),
                    ));
                }
            }
            if !options.yes {
                return Err(Failure::Usage(format!(
                    "this would overwrite {} from byte {start} on of LUN {lun} ({} {}, serial \
                     number {}, {}); add --yes to do it",
                    HumanBytes(length),
                    disk.vendor,
                    disk.product,
                    if disk.serial.is_empty() { "unknown" } else { &disk.serial },
                    HumanBytes(disk.bytes()),
                )));
            }
            let moved = job.move_data("write", length, |progress| {
                let shape = options.pace.shape();
                transfer::write(initiator, (id, &disk), range, shape, progress, |buffer| {
                    file.read_exact(buffer)
                        .map_err(|error| Failure::doing(format_args!("cannot read {shown}"), error))
                })
            })?;
            job.print(
                || format!("wrote {} at byte {start} of LUN {lun}, and flushed\n", moved.rate()),
                || job.moved_json(&disk, start, &moved),
            )
        })
    }

    fn verify(&mut self, options: &VerifyOptions) -> Result<(), Failure> {
        let lun = self.lun()?;
        let (file, length) = open(&options.file)?;
        let shown = options.file.display();
        self.logged_in(|job, initiator| {
            let (id, disk) = initiator.disk(lun)?;
            let start = options.place.on(&disk)?;
            let range = range_on(&disk, start, length)?;
            let mut file = BufReader::new(file);
            let (mut expected, mut at, mut difference) = (Vec::new(), start, None);
            let moved = job.move_data("verify", length, |progress| {
                let shape = options.pace.shape();
                transfer::read(initiator, (id, &disk), range, shape, progress, |found| {
                    expected.resize(found.len(), 0);
                    file.read_exact(&mut expected)
                        .map_err(|error| Failure::doing(format_args!("cannot read {shown}"), error))?;
                    if found != expected {
                        let pairs = found.iter().zip(&expected);
                        difference = (at..)
                            .zip(pairs)
                            .find(|(_, (found, expected))| found != expected)
                            .map(|(place, (found, expected))| (place, *found, *expected));
                        return Ok(ControlFlow::Break(()));
                    }
                    at += found.len() as u64;
                    Ok(ControlFlow::Continue(()))
                })
            })?;
            let Some((place, found, expected)) = difference else {
                return job.print(
                    || format!("LUN {lun} holds {shown} at byte {start}: {}\n", moved.rate()),
                    || {
                        let mut value = job.moved_json(&disk, start, &moved);
                        value["equal"] = json!(true);
                        value
                    },
                );
            };
            if job.json {
                let mut value = job.moved_json(&disk, start, &moved);
                value["equal"] = json!(false);
                value["first_difference"] =
                    json!({ "byte": place, "disk": found, "file": expected });
                print(&format!("{value:#}\n"))?;
            }
            let block = u64::from(disk.block_size);
            Err(Failure::Failed(format!(
                "LUN {lun} and {shown} differ, first at byte {place} of the disk (block {}, byte \
                 {} in it; byte {} of the file): the disk has {found:#04x}, the file {expected:#04x}",
                place / block,
                place % block,
                place - start,
            )))
        })
    }

    /// The LUN that the URL names.
    fn lun(&self) -> Result<LogicalUnitNumber, Failure> {
        self.access.url.lun.ok_or_else(|| {
            Failure::Usage(format!(
                "the URL names no disk: add a LUN, as in {}/0; `iscsi-tool ls` lists them",
                self.access.url
            ))
        })
    }

    /// Times a transfer, under a progress bar.
    fn move_data(
        &self,
        verb: &'static str,
        length: u64,
        work: impl FnOnce(&ProgressBar) -> Result<(), Failure>,
    ) -> Result<Moved, Failure> {
        let start = Instant::now();
        // The log and the bar would write over each other. Without a terminal it hides itself.
        let progress = if self.verbose {
            ProgressBar::hidden()
        } else {
            let template = "{msg} {wide_bar} {bytes}/{total_bytes} {decimal_bytes_per_sec} {eta}";
            let style = ProgressStyle::with_template(template)
                .map_err(|error| Failure::doing("cannot draw a progress bar", error))?;
            ProgressBar::new(length).with_style(style).with_message(verb)
        };
        let result = work(&progress);
        let bytes = progress.position();
        progress.finish_and_clear();
        result.map(|()| Moved { bytes, took: start.elapsed() })
    }

    fn moved_json(&self, disk: &Disk, start: u64, moved: &Moved) -> Value {
        json!({
            "target": self.access.url.target.as_str(),
            "lun": disk.lun.to_string(),
            "offset": start,
            "bytes": moved.bytes,
            "seconds": moved.took.as_secs_f64(),
            "megabytes_per_second": report::megabytes_per_second(moved.bytes, moved.took),
        })
    }

    fn print(
        &self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> Result<(), Failure> {
        print(&if self.json { format!("{:#}\n", json()) } else { text() })
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
    let length = io::Seek::seek(&mut file, io::SeekFrom::End(0)).map_err(failed)?;
    io::Seek::rewind(&mut file).map_err(failed)?;
    Ok((file, length))
}
