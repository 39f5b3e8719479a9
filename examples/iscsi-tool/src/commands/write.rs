//! `write`: a file onto a disk, and durable.

use std::io::Read as _;

use indicatif::HumanBytes;

use super::{Job, open, range_on};
use crate::failure::Failure;
use crate::options::WriteOptions;
use crate::transfer;

impl Job<'_> {
    pub(super) fn write(&mut self, options: &WriteOptions) -> Result<(), Failure> {
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
                let shape = options.pace.shape(&job.identity.parameters);
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
}
