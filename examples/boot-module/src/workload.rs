//! Reads and writes through the initiator, several requests at a time, in owned buffers.

use core::time::Duration;

use heapless::{Deque, Vec};
use isboot::disk::{DiskId, Finished, RequestId};
use sha2::{Digest, Sha256};

use crate::buffer::Buffer;
use crate::clock;
use crate::console::Event;
use crate::demo::{DEPTH, Demo, Job};
use crate::failure::{During, Failure};
use crate::idle::Idle;
use crate::pattern;
use crate::session::{self, Initiator, poll, rest};

/// Runs every job in turn, and tells how much of the processor they left over.
pub(crate) fn run(
    initiator: &mut Initiator,
    demo: &Demo,
    buffers: &mut Vec<Buffer, DEPTH>,
) -> Result<(), Failure> {
    let idle = Idle::begin();
    for job in &demo.jobs {
        match *job {
            Job::Read { disk } => read_disk(initiator, disk, demo, buffers)?,
            Job::Write { disk, offset, bytes, seed } => {
                let area = Area::new(initiator, disk, demo.chunk, "write", offset, bytes)?;
                write_pattern(initiator, &area, seed, buffers)?;
                flush(initiator, area.disk)?;
            }
            Job::Idle { seconds } => do_nothing(initiator, Duration::from_secs(seconds.into())),
        }
    }
    idle.tell();
    Ok(())
}

/// Reads a whole disk, and hashes it in order.
fn read_disk(
    initiator: &mut Initiator,
    disk: u16,
    demo: &Demo,
    buffers: &mut Vec<Buffer, DEPTH>,
) -> Result<(), Failure> {
    let whole = initiator.disks().get(usize::from(disk)).map_or(0, |disk| disk.bytes());
    let area = Area::new(initiator, disk, demo.chunk, "read", 0, whole)?;
    let mut hash = Sha256::new();
    let (mut hashing, mut hashed) = (Duration::ZERO, 0);
    let card = initiator.stream().stack().device().nic().address();
    let mut broken = false;
    let began = clock::now();
    in_chunks(
        initiator,
        &area,
        buffers,
        |initiator, lba, _, buffer| initiator.submit_read(area.disk, lba, buffer),
        |data| {
            let before = clock::now();
            hash.update(data);
            hashing += clock::now() - before;
            hashed += data.len() as u64;
            if let Some(breakage) = demo.breakage.filter(|_| hashed >= whole / 16) {
                breakage.strike(card, broken);
                broken = true;
            }
        },
    )?;
    let took = clock::now() - began;
    let digest = hash.finalize();
    Event::new("read")
        .field("disk", disk)
        .field("bytes", area.bytes)
        .field("took_us", took.as_micros())
        .field("hash_us", hashing.as_micros())
        .field("sha256", Hex(&digest));
    Ok(())
}

/// Keeps the session, and leaves the processor alone.
fn do_nothing(initiator: &mut Initiator, time: Duration) {
    let end = session::now().after(time);
    while session::now() < end {
        let next = poll(initiator);
        rest(initiator, Some(next.map_or(end, |at| at.min(end))));
    }
}

fn write_pattern(
    initiator: &mut Initiator,
    area: &Area,
    seed: u64,
    buffers: &mut Vec<Buffer, DEPTH>,
) -> Result<(), Failure> {
    let began = clock::now();
    in_chunks(
        initiator,
        area,
        buffers,
        |initiator, lba, done, mut buffer| {
            pattern::fill(buffer.as_mut(), seed, done);
            initiator.submit_write(area.disk, lba, buffer)
        },
        |_| (),
    )?;
    Event::new("write")
        .field("disk", area.disk.0)
        .field("offset", area.offset)
        .field("bytes", area.bytes)
        .field("seed", seed)
        .field("took_us", (clock::now() - began).as_micros());
    Ok(())
}

fn flush(initiator: &mut Initiator, disk: DiskId) -> Result<(), Failure> {
    let began = clock::now();
    initiator.submit_flush(disk).during("flush")?;
    let finished = loop {
        let next = poll(initiator);
        if let Some(finished) = initiator.take_completion() {
            break finished;
        }
        rest(initiator, next);
    };
    finished.outcome.during("flush")?;
    Event::new("flush").field("disk", disk.0).field("took_us", (clock::now() - began).as_micros());
    Ok(())
}

/// A part of a disk, and how it is cut into requests.
struct Area {
    what: &'static str,
    disk: DiskId,
    offset: u64,
    bytes: u64,
    block_size: u64,
    chunk: usize,
}

impl Area {
    fn new(
        initiator: &Initiator,
        index: u16,
        chunk: usize,
        what: &'static str,
        offset: u64,
        bytes: u64,
    ) -> Result<Self, Failure> {
        let count = initiator.disks().len();
        let disk = initiator.disks().get(usize::from(index)).ok_or_else(|| {
            Failure::new(what, format_args!("there is no disk {index}: the target has {count}"))
        })?;
        let block_size = u64::from(disk.block_size);
        if [offset, bytes, chunk as u64].iter().any(|number| !number.is_multiple_of(block_size)) {
            return Err(Failure::new(
                what,
                format_args!(
                    "offset {offset}, {bytes} bytes and requests of {chunk} bytes are not all \
                     multiples of the block size, {block_size}"
                ),
            ));
        }
        Ok(Self { what, disk: DiskId(index), offset, bytes, block_size, chunk })
    }
}

type Submitted = Result<RequestId, isboot::disk::Rejected<Buffer>>;

/// Moves an area in chunks, as many at a time as there are buffers, and shows `finish` each
/// chunk's bytes in order.
fn in_chunks(
    initiator: &mut Initiator,
    area: &Area,
    buffers: &mut Vec<Buffer, DEPTH>,
    mut submit: impl FnMut(&mut Initiator, u64, u64, Buffer) -> Submitted,
    mut finish: impl FnMut(&[u8]),
) -> Result<(), Failure> {
    let mut under_way = Deque::<RequestId, DEPTH>::new();
    let mut finished = Vec::<Finished<Buffer>, DEPTH>::new();
    let mut progress = Progress::new(area);
    let (mut submitted, mut done) = (0, 0);
    while done < area.bytes {
        while submitted < area.bytes
            && let Some(buffer) = buffers.pop()
        {
            let length = (area.bytes - submitted).min(area.chunk as u64);
            let lba = (area.offset + submitted) / area.block_size;
            match submit(initiator, lba, submitted, buffer.resized(length as usize)) {
                Ok(id) => drop(under_way.push_back(id)),
                Err(rejected) => {
                    let _ = buffers.push(rejected.buffer);
                    return Err(Failure::new(area.what, rejected.reason));
                }
            }
            submitted += length;
        }
        let next = poll(initiator);
        if initiator.finished() == 0 {
            rest(initiator, next);
            continue;
        }
        while let Some(one) = initiator.take_completion() {
            let _ = finished.push(one);
        }
        // The oldest first: a later one waits for its turn.
        while let Some(&oldest) = under_way.front()
            && let Some(place) = finished.iter().position(|one| one.id == oldest)
        {
            under_way.pop_front();
            let one = finished.swap_remove(place);
            if let Err(error) = one.outcome {
                return Err(match initiator.last_error() {
                    Some(last) => Failure::new(area.what, format_args!("{error} ({last})")),
                    None => Failure::new(area.what, error),
                }
                .with(format_args!("after {done} of {} bytes", area.bytes)));
            }
            if let Some(buffer) = one.buffer {
                finish(buffer.as_ref());
                done += buffer.as_ref().len() as u64;
                let _ = buffers.push(buffer);
            }
        }
        progress.tell(done);
    }
    Ok(())
}

/// Progress events, at most ten a second.
struct Progress<'a> {
    area: &'a Area,
    next: Duration,
}

impl<'a> Progress<'a> {
    const INTERVAL: Duration = Duration::from_millis(100);

    fn new(area: &'a Area) -> Self {
        Self { area, next: clock::now() + Self::INTERVAL }
    }

    fn tell(&mut self, done: u64) {
        let now = clock::now();
        if now < self.next {
            return;
        }
        self.next = now + Self::INTERVAL;
        Event::new("progress")
            .field("what", self.area.what)
            .field("done", done)
            .field("total", self.area.bytes);
    }
}

struct Hex<'a>(&'a [u8]);

impl core::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
