//! `read`: a disk, or a part of it, to a file, to standard output, or into a hash.

use std::io::{self, IsTerminal as _};

use serde_json::json;

use super::{Job, range_on};
use crate::failure::Failure;
use crate::options::ReadOptions;
use crate::sink::Sink;
use crate::{print, transfer};

impl Job<'_> {
    pub(super) fn read(&mut self, options: &ReadOptions) -> Result<(), Failure> {
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
                let shape = options.pace.shape(&job.identity.parameters);
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
            hash.map_or(Ok(()), |hash| print(&format!("{hash}  {}\n", job.url)))
        })
    }
}
