//! The requests of one run, and whether they moved what they were to move.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use isboot::disk::{DiskId, Finished, RequestId};
use isboot_tests::pair::Random;
use isboot_transport::stream::ByteStream;
use qemu_boot::disk_image::word;

use crate::buffer::Buffer;
use crate::initiator::{DEPTH, Initiator};
use crate::rig::{BLOCK_LENGTH, CONTENT, READ_LUN, WRITE_LUN};
use crate::workload::{Operation, Pattern, Workload};

/// How far a workload has come through the LUN, in requests. Each run goes on where the last ended, as
/// those of other programs do: what was read just now istgt answers in another time.
#[derive(Debug, Default)]
pub struct Walk {
    of: Option<Workload>,
    place: u64,
}

impl Walk {
    /// The places of the next run of `workload` on a LUN of `bytes`: from its begin, where the last run
    /// was of another.
    pub fn begin(&mut self, workload: &Workload, bytes: u64) -> Places {
        if self.of != Some(*workload) {
            *self = Self { of: Some(*workload), place: 0 };
        }
        Places { first: self.place, span: bytes / u64::from(workload.block) }
    }

    /// The run that was begun carried out so many requests.
    pub fn end(&mut self, requests: u64) {
        self.place = self.place.wrapping_add(requests);
    }
}

/// Places on a LUN, counted in requests, that follow each other and begin anew at its end.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    first: u64,
    /// Requests that fit the LUN.
    span: u64,
}

impl Places {
    /// Where a request belongs, by how many were before it.
    #[must_use]
    pub fn of(self, request: u64) -> u64 {
        self.first.wrapping_add(request) % self.span
    }

    /// The same, where each request is so many.
    #[must_use]
    pub fn in_pieces(self, pieces: u64) -> Self {
        Self { first: self.first.wrapping_mul(pieces), span: self.span * pieces }
    }
}

/// The requests of one run.
#[derive(Debug)]
pub struct Load {
    workload: Workload,
    places: Places,
    submitted: u64,
    random: Random,
    idle: Vec<Idle>,
    under_way: Vec<(RequestId, Request)>,
}

/// A buffer that waits for its next request, and which one it was for last.
#[derive(Debug)]
struct Idle {
    buffer: Buffer,
    last: Option<Request>,
}

/// What was asked for.
#[derive(Clone, Copy, Debug)]
struct Request {
    lba: u64,
    /// Counts requests as they are submitted.
    order: u64,
}

impl Load {
    /// As `workload` says, on LUNs of `bytes`. All requests share one piece of memory, as those of
    /// `iscsi-perf` and `qemu-img bench` do; each `run` writes other data.
    ///
    /// # Errors
    ///
    /// It does not fit the LUN or the initiator.
    pub fn new(workload: &Workload, bytes: u64, run: u64) -> Result<Self, String> {
        Self::of(workload, bytes, run, |block, depth| {
            // No block of the LUN that is read looks like this.
            let mut buffers = Buffer::sharing(block, depth, 0xa5)?;
            if workload.operation == Operation::Write
                && let Some(first) = buffers.first_mut()
            {
                first.as_mut().copy_from_slice(&Random(run << 32).bytes(block));
            }
            Ok(buffers)
        })
    }

    /// The same with memory of its own for each request, which writes data of its own: what lands in
    /// another's place is seen.
    ///
    /// # Errors
    ///
    /// It does not fit the LUN or the initiator.
    pub fn apart(workload: &Workload, bytes: u64, run: u64) -> Result<Self, String> {
        Self::of(workload, bytes, run, |block, depth| {
            let data = |index| Random(run << 32 | (index + 1) << 16).bytes(block);
            Ok((0..depth as u64).map(data).map(Buffer::Own).collect())
        })
    }

    fn of(
        workload: &Workload,
        bytes: u64,
        run: u64,
        buffers: impl FnOnce(usize, usize) -> std::io::Result<Vec<Buffer>>,
    ) -> Result<Self, String> {
        let block = workload.block;
        if block == 0 || !block.is_multiple_of(BLOCK_LENGTH) || u64::from(block) > bytes {
            return Err(format!("requests of {block} bytes do not fit the LUN"));
        }
        let depth = usize::from(workload.depth);
        if depth == 0 || depth > DEPTH {
            return Err(format!("{depth} requests at a time: 1 to {DEPTH} are possible"));
        }
        let buffers = buffers(block as usize, depth)
            .map_err(|error| format!("memory of {block} bytes: {error}"))?;
        Ok(Self {
            workload: *workload,
            places: Places { first: 0, span: bytes / u64::from(block) },
            submitted: 0,
            random: Random(run),
            idle: buffers.into_iter().map(|buffer| Idle { buffer, last: None }).collect(),
            under_way: Vec::with_capacity(depth),
        })
    }

    /// The same at other places, where requests follow each other.
    #[must_use]
    pub fn at(self, places: Places) -> Self {
        Self { places, ..self }
    }

    /// The LUN that it is for.
    #[must_use]
    pub fn lun(&self) -> u8 {
        match self.workload.operation {
            Operation::Read => READ_LUN,
            Operation::Write => WRITE_LUN,
        }
    }

    /// Submits as many requests as there are idle buffers.
    ///
    /// # Errors
    ///
    /// One was not taken, and why.
    pub fn submit_all<S: ByteStream>(
        &mut self,
        isboot: &mut Initiator<S>,
        disk: DiskId,
    ) -> Result<(), String> {
        while let Some(Idle { buffer, .. }) = self.idle.pop() {
            let place = match self.workload.pattern {
                Pattern::Sequential => self.places.of(self.submitted),
                Pattern::Random => self.random.below(self.places.span),
            };
            let lba = place * u64::from(self.workload.block / BLOCK_LENGTH);
            let taken = match self.workload.operation {
                Operation::Read => isboot.submit_read(disk, lba, buffer),
                Operation::Write => isboot.submit_write(disk, lba, buffer),
            };
            let id = taken.map_err(|rejected| format!("block {lba}: {}", rejected.reason))?;
            self.under_way.push((id, Request { lba, order: self.submitted }));
            self.submitted += 1;
        }
        Ok(())
    }

    /// Takes a request that is done; how many bytes it moved.
    ///
    /// # Errors
    ///
    /// It failed, or it is none of this load.
    pub fn take(&mut self, finished: Finished<Buffer>) -> Result<u64, String> {
        let place = self.under_way.iter().position(|(id, _)| *id == finished.id);
        let place = place.ok_or("a request was completed that was not under way")?;
        let (_, request) = self.under_way.swap_remove(place);
        finished.outcome.map_err(|error| format!("block {}: {error}", request.lba))?;
        let Some(buffer) = finished.buffer else {
            return Err(format!("block {}: its buffer did not come back", request.lba));
        };
        let bytes = buffer.as_ref().len() as u64;
        self.idle.push(Idle { buffer, last: Some(request) });
        Ok(bytes)
    }

    /// Whether the last that was read is in the buffer that all reads share, or what was last
    /// written to each place is in the file `written`: in every place, where all requests wrote the
    /// same. Not for the time that counts.
    ///
    /// # Errors
    ///
    /// The first byte that is another one.
    pub fn check(&self, written: &Path) -> Result<(), String> {
        if (self.workload.operation, self.workload.pattern)
            == (Operation::Write, Pattern::Sequential)
        {
            self.check_every_place(written)?;
        }
        let used = || self.idle.iter().filter_map(|idle| Some((idle.buffer.as_ref(), idle.last?)));
        for (buffer, request) in used() {
            let offset = request.lba * u64::from(BLOCK_LENGTH);
            let different = match self.workload.operation {
                // What was read before has been written over: answers come in order.
                Operation::Read if used().any(|(_, other)| other.order > request.order) => continue,
                Operation::Read => differs_from_content(buffer, offset),
                Operation::Write => {
                    let later =
                        |other: Request| other.lba == request.lba && other.order > request.order;
                    if used().any(|(_, other)| later(other)) {
                        continue;
                    }
                    let mut found = vec![0; buffer.len()];
                    File::open(written)
                        .and_then(|file| file.read_exact_at(&mut found, offset))
                        .map_err(|error| format!("reading {written:?}: {error}"))?;
                    first_difference(buffer, &found)
                }
            };
            if let Some(at) = different {
                return Err(format!("byte {} is not what it must be", offset + at as u64));
            }
        }
        Ok(())
    }

    /// Whether every place that was written, whenever that was, holds what all requests wrote.
    fn check_every_place(&self, written: &Path) -> Result<(), String> {
        let Some(Idle { buffer: Buffer::Shared(data), .. }) = self.idle.first() else {
            return Ok(());
        };
        let failed = |error| format!("reading {written:?}: {error}");
        let file = File::open(written).map_err(failed)?;
        let mut found = vec![0; data.len()];
        for request in 0..self.submitted.min(self.places.span) {
            let offset = self.places.of(request) * data.len() as u64;
            file.read_exact_at(&mut found, offset).map_err(failed)?;
            if let Some(at) = first_difference(data, &found) {
                return Err(format!("byte {} is not what it must be", offset + at as u64));
            }
        }
        Ok(())
    }
}

/// Where a buffer is not what the LUN that is read holds from byte `offset` on, a multiple of 8.
fn differs_from_content(buffer: &[u8], offset: u64) -> Option<usize> {
    // Blocks are whole words.
    let (words, _) = buffer.as_chunks::<8>();
    let mut pairs = words.iter().zip(offset / 8..);
    let index = pairs.position(|(found, k)| u64::from_le_bytes(*found) != word(CONTENT, k))?;
    let expected = word(CONTENT, offset / 8 + index as u64).to_le_bytes();
    Some(index * 8 + first_difference(&words[index], &expected)?)
}

fn first_difference(one: &[u8], other: &[u8]) -> Option<usize> {
    if one == other {
        return None;
    }
    one.iter().zip(other).position(|(one, other)| one != other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_byte_is_seen_wherever_it_is() {
        let nowhere = Path::new("/nowhere");
        let mut load = Load::new(&Workload::read(4096, 1), 1 << 20, 1).unwrap();
        assert_eq!(load.check(nowhere), Ok(()), "nothing was read yet");
        let content = (512..1024).flat_map(|k| word(CONTENT, k).to_le_bytes());
        load.idle[0] = Idle {
            buffer: Buffer::Own(content.collect()),
            last: Some(Request { lba: 8, order: 0 }),
        };
        assert_eq!(load.check(nowhere), Ok(()));
        for at in [0, 2049, 4095] {
            load.idle[0].buffer.as_mut()[at] ^= 1;
            let error = load.check(nowhere).unwrap_err();
            assert_eq!(error, format!("byte {} is not what it must be", 4096 + at));
            load.idle[0].buffer.as_mut()[at] ^= 1;
        }
    }

    #[test]
    fn only_what_was_written_last_to_a_place_must_be_there() {
        let mut load = Load::apart(&Workload::write(512, 2), 1 << 20, 1).unwrap();
        let file = std::env::temp_dir().join(format!("load-{}", std::process::id()));
        let mut blocks = vec![0; 1024];
        blocks[512..].copy_from_slice(load.idle[1].buffer.as_ref());
        std::fs::write(&file, &blocks).unwrap();
        for (idle, order) in load.idle.iter_mut().zip(0..) {
            idle.last = Some(Request { lba: 1, order });
        }
        assert_eq!(load.check(&file), Ok(()), "the first was written over");
        load.idle[0].last = Some(Request { lba: 1, order: 2 });
        assert!(load.check(&file).is_err());
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn where_all_write_the_same_it_must_be_in_every_place() {
        let mut load = Load::new(&Workload::write(512, 1), 2048, 1).unwrap();
        let other = Load::apart(&Workload::write(512, 1), 2048, 1).unwrap();
        assert_ne!(load.idle[0].buffer.as_ref(), other.idle[0].buffer.as_ref());
        let file = std::env::temp_dir().join(format!("places-{}", std::process::id()));
        let mut places = load.idle[0].buffer.as_ref().repeat(3);
        places.resize(2048, 0);
        (load.submitted, load.idle[0].last) = (3, Some(Request { lba: 2, order: 2 }));
        std::fs::write(&file, &places).unwrap();
        assert_eq!(load.check(&file), Ok(()), "the fourth place was not written");
        load.places.first = 2;
        assert_eq!(load.check(&file), Err("byte 1536 is not what it must be".to_owned()));
        load.places.first = 0;
        places[100] ^= 1;
        std::fs::write(&file, &places).unwrap();
        assert_eq!(load.check(&file), Err("byte 100 is not what it must be".to_owned()));
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn a_workload_goes_on_where_it_ended_and_another_begins_anew() {
        let mut walk = Walk::default();
        let (read, write) = (Workload::read(4096, 4), Workload::write(4096, 4));
        let begin = |walk: &mut Walk, workload| walk.begin(workload, 1 << 20).of(0);
        assert_eq!(begin(&mut walk, &read), 0);
        walk.end(10);
        assert_eq!(begin(&mut walk, &read), 10);
        walk.end(5);
        assert_eq!(begin(&mut walk, &read), 15);
        assert_eq!(begin(&mut walk, &write), 0);
        assert_eq!(begin(&mut walk, &read), 0);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for workload in [
            Workload::read(0, 1),
            Workload::read(4096, 0),
            Workload::read(4096, 1000),
            Workload::read(100, 1),
            Workload::read(2 << 20, 1),
        ] {
            assert!(Load::new(&workload, 1 << 20, 1).is_err(), "{workload}");
        }
    }
}
