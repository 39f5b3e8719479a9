//! `verify`: does a disk hold what a file does?

use std::io::{BufReader, Read as _};
use std::ops::ControlFlow;

use serde_json::json;

use super::{Job, open, range_on};
use crate::failure::Failure;
use crate::options::VerifyOptions;
use crate::{print, transfer};

impl Job<'_> {
    pub(super) fn verify(&mut self, options: &VerifyOptions) -> Result<(), Failure> {
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
                let shape = options.pace.shape(&job.identity.parameters);
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
}
