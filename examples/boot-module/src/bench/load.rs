//! One load: requests of one size, so many under way at a time, for some time.

use core::time::Duration;

use heapless::Vec;
use isboot::boot::State;
use isboot::disk::DiskId;

use super::check::{self, Recent};
use super::pool::Pool;
use super::request::{DEEPEST, Operation, Pattern, Run};
use crate::buffer::Buffer;
use crate::clock;
use crate::failure::Failure;
use crate::pattern::splitmix64;
use crate::profile::Mark;
use crate::session::{Initiator, poll, rest};

/// How long after the last request was begun all must have ended. The initiator's own bounds are
/// shorter.
const PATIENCE: Duration = Duration::from_secs(300);

/// What a run moved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moved {
    pub(crate) bytes: u64,
    pub(crate) commands: u64,
    /// From the first request to the last completion.
    pub(crate) took: Duration,
    /// Bytes that were compared afterwards with what they must be, where any can be.
    pub(crate) checked: Option<u64>,
    /// Where the time went, where that is counted.
    pub(crate) profile: Option<Mark>,
}

/// Runs the load. The inner failure is the run's; after the outer one there is no session to go on
/// with.
pub(crate) fn run(
    initiator: &mut Initiator,
    run: &Run,
    pool: &mut Pool,
) -> Result<Result<Moved, Failure>, Failure> {
    let disk = match fits(initiator, run, pool) {
        Ok(disk) => disk,
        Err(refused) => return Ok(Err(refused)),
    };
    let mut ready = Vec::<Buffer, { DEEPEST as usize }>::new();
    for number in 0..run.depth {
        let Some(buffer) = pool.0.pop() else { break };
        let mut buffer = buffer.resized(run.block as usize);
        check::prepare(buffer.as_mut(), run.operation, number);
        drop(ready.push(buffer));
    }
    let mut recent = Recent::new();
    let moved = go(initiator, run, disk, &mut ready, &mut recent)?;
    let outcome = moved.and_then(|moved| {
        let checked = check::afterwards(initiator, run, disk, &ready, &recent, pool)?;
        Ok(Moved { checked: Some(checked), ..moved })
    });
    for buffer in ready {
        drop(pool.0.push(buffer.whole()));
    }
    Ok(outcome)
}

/// The disk, where the load fits it and there is memory for it.
fn fits(initiator: &Initiator, run: &Run, pool: &Pool) -> Result<Target, Failure> {
    let refuse = |why: core::fmt::Arguments<'_>| Err(Failure::new("bench", why));
    let index = run.disk;
    let Some(disk) = initiator.disks().get(usize::from(index)) else {
        let count = initiator.disks().len();
        return refuse(format_args!("there is no disk {index}: the target has {count}"));
    };
    let (block_size, bytes) = (disk.block_size, disk.bytes());
    if !run.block.is_multiple_of(block_size) || run.span > bytes {
        return refuse(format_args!(
            "disk {index} has {bytes} bytes in blocks of {block_size}: block={} span={} is not of it",
            run.block, run.span
        ));
    }
    if usize::from(run.depth) >= pool.0.len() {
        let most = pool.0.len().saturating_sub(1);
        return refuse(format_args!("there is memory for {most} requests under way"));
    }
    let per_request = u64::from(run.block / block_size);
    Ok(Target { disk: DiskId(index), per_request })
}

/// The disk under load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    pub(super) disk: DiskId,
    /// Its blocks in a request.
    pub(super) per_request: u64,
}

/// The measured part.
fn go(
    initiator: &mut Initiator,
    run: &Run,
    target: Target,
    ready: &mut Vec<Buffer, { DEEPEST as usize }>,
    recent: &mut Recent,
) -> Result<Result<Moved, Failure>, Failure> {
    let mut places = Places::new(run);
    let (mut begun, mut commands, mut failed) = (0, 0, None);
    let profile = Mark::here();
    let began = clock::now();
    let end = began + run.limit;
    loop {
        let now = clock::now();
        while now < end
            && begun < run.count
            && failed.is_none()
            && let Some(buffer) = ready.pop()
        {
            begun += 1;
            let place = places.next();
            recent.note(place, &buffer);
            let lba = place * target.per_request;
            let submitted = match run.operation {
                Operation::Read => initiator.submit_read(target.disk, lba, buffer),
                Operation::Write => initiator.submit_write(target.disk, lba, buffer),
            };
            if let Err(rejected) = submitted {
                drop(ready.push(rejected.buffer));
                failed = Some(Failure::new("bench", rejected.reason));
            }
        }
        if initiator.outstanding() == 0 {
            break;
        }
        if now > end + PATIENCE {
            return Err(Failure::new("bench", "requests under way do not end"));
        }
        let mark = Mark::here();
        let next = poll(initiator);
        if initiator.finished() == 0 {
            if let Some(mark) = mark {
                mark.look_back();
            }
            if initiator.state() != State::Ready && failed.is_none() {
                // It comes back, and what it took until then is no measurement.
                failed = Some(match initiator.last_error() {
                    Some(error) => Failure::new("bench", format_args!("lost the session: {error}")),
                    None => Failure::new("bench", "lost the session"),
                });
            }
            rest(initiator, next);
            continue;
        }
        while let Some(one) = initiator.take_completion() {
            match one.outcome {
                Ok(()) => commands += 1,
                Err(error) => failed = Some(Failure::new("bench", error)),
            }
            if let Some(buffer) = one.buffer {
                drop(ready.push(buffer));
            }
        }
    }
    let took = clock::now() - began;
    let profile = Mark::here().zip(profile).map(|(after, before)| after.since(before));
    let bytes = commands * u64::from(run.block);
    Ok(match failed {
        Some(failure) => Err(failure),
        None => Ok(Moved { bytes, commands, took, checked: None, profile }),
    })
}

/// Where the next request lies, counted in requests.
pub(super) struct Places {
    pattern: Pattern,
    count: u64,
    next: u64,
}

impl Places {
    pub(super) fn new(run: &Run) -> Self {
        let count = run.span / u64::from(run.block);
        // Not the same sequence in every run.
        let next = if run.pattern == Pattern::Random { clock::counter() } else { 0 };
        Self { pattern: run.pattern, count, next }
    }

    pub(super) fn next(&mut self) -> u64 {
        let next = self.next;
        match self.pattern {
            Pattern::Sequential => {
                self.next = if next + 1 == self.count { 0 } else { next + 1 };
                next
            }
            Pattern::Random => {
                self.next = next.wrapping_add(1);
                ((u128::from(splitmix64(next)) * u128::from(self.count)) >> 64) as u64
            }
        }
    }
}
