//! Moving data: owned requests, `depth` of them under way, their buffers used again and again.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};

use indicatif::ProgressBar;
use isboot::disk::{Disk, DiskId, Finished, RequestError, RequestId};
use isboot::session::TaskError;

use crate::failure::Failure;
use crate::initiator::{HostIsboot, Initiator, Step};

/// How data is moved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Requests under way at a time.
    pub(crate) depth: usize,
    /// Bytes of one request, rounded to whole blocks.
    pub(crate) chunk: u64,
}

/// Blocks of the disk, and a buffer of their size.
type Piece = (Range<u64>, Vec<u8>);

/// One request under way: what it moves, and its buffer once it is done.
struct Pending {
    id: RequestId,
    blocks: Range<u64>,
    done: Option<(Vec<u8>, Result<(), RequestError>)>,
}

/// Buffers and requests of one transfer: never more than `depth` of either.
struct Pipeline<'a> {
    about: &'a Disk,
    depth: usize,
    /// Blocks of one request, and those that are still to be asked for.
    step: u64,
    left: Range<u64>,
    pending: VecDeque<Pending>,
    spare: Vec<Vec<u8>>,
}

/// Reads the bytes of `range` and gives them to `consume`, in order, until it breaks.
///
/// Neither end needs to lie on a block's boundary: the blocks around are read, and cut.
pub(crate) fn read(
    initiator: &mut Initiator,
    (id, disk): (DiskId, &Disk),
    range: Range<u64>,
    shape: Shape,
    progress: &ProgressBar,
    mut consume: impl FnMut(&[u8]) -> Result<ControlFlow<()>, Failure>,
) -> Result<(), Failure> {
    let block = u64::from(disk.block_size);
    let mut pipeline = Pipeline::new(disk, &range, shape);
    initiator.run(|isboot| {
        pipeline.collect(isboot);
        while let Some((blocks, buffer)) = pipeline.take_first(isboot, "read")? {
            let at = blocks.start * block;
            let from = range.start.saturating_sub(at) as usize;
            let to = (range.end - at).min(buffer.len() as u64) as usize;
            let bytes = &buffer[from..to];
            let flow = consume(bytes)?;
            progress.inc(bytes.len() as u64);
            pipeline.spare.push(buffer);
            if flow.is_break() {
                return Ok(Step::Done(()));
            }
        }
        let mut step = Step::Wait;
        while let Some((blocks, buffer)) = pipeline.next() {
            match isboot.submit_read(id, blocks.start, buffer) {
                Ok(id) => pipeline.pending.push_back(Pending { id, blocks, done: None }),
                Err(rejected) => return Err(failed("read", &blocks, disk, rejected.reason)),
            }
            step = Step::Again;
        }
        Ok(if pipeline.pending.is_empty() { Step::Done(()) } else { step })
    })
}

/// Writes `range`, which lies on blocks' boundaries, with what `fill` puts into each buffer, in
/// order; then makes it durable (SYNCHRONIZE CACHE).
pub(crate) fn write(
    initiator: &mut Initiator,
    (id, disk): (DiskId, &Disk),
    range: Range<u64>,
    shape: Shape,
    progress: &ProgressBar,
    mut fill: impl FnMut(&mut [u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut pipeline = Pipeline::new(disk, &range, shape);
    initiator.run(|isboot| {
        pipeline.collect(isboot);
        while let Some((_, buffer)) = pipeline.take_first(isboot, "write")? {
            progress.inc(buffer.len() as u64);
            pipeline.spare.push(buffer);
        }
        let mut step = Step::Wait;
        while let Some((blocks, mut buffer)) = pipeline.next() {
            fill(&mut buffer)?;
            match isboot.submit_write(id, blocks.start, buffer) {
                Ok(id) => pipeline.pending.push_back(Pending { id, blocks, done: None }),
                Err(rejected) => return Err(failed("write", &blocks, disk, rejected.reason)),
            }
            step = Step::Again;
        }
        Ok(if pipeline.pending.is_empty() { Step::Done(()) } else { step })
    })?;
    progress.set_message("making it durable");
    let mut flush = None;
    initiator.run(|isboot| match (&flush, isboot.take_completion()) {
        (None, _) => {
            let failed =
                |reason| Failure::doing(format_args!("cannot flush LUN {}", disk.lun), reason);
            flush = Some(isboot.submit_flush(id).map_err(failed)?);
            Ok(Step::Again)
        }
        (Some(id), Some(finished)) if finished.id == *id => match finished.outcome {
            Ok(()) => Ok(Step::Done(())),
            Err(error) => Err(Failure::doing(
                format_args!("cannot flush LUN {}; what was written may be lost", disk.lun),
                explained(isboot, error),
            )),
        },
        (Some(_), Some(_)) => Ok(Step::Again),
        (Some(_), None) => Ok(Step::Wait),
    })
}

impl<'a> Pipeline<'a> {
    fn new(about: &'a Disk, range: &Range<u64>, shape: Shape) -> Self {
        let block = u64::from(about.block_size);
        Self {
            about,
            depth: shape.depth,
            step: (shape.chunk / block).max(1),
            left: range.start / block..range.end.div_ceil(block),
            pending: VecDeque::with_capacity(shape.depth),
            spare: Vec::with_capacity(shape.depth),
        }
    }

    /// What to ask for next, and a buffer of that size; nothing when enough is under way.
    fn next(&mut self) -> Option<Piece> {
        if self.left.is_empty() || self.pending.len() >= self.depth {
            return None;
        }
        let end = self.left.end.min(self.left.start.saturating_add(self.step));
        let blocks = std::mem::replace(&mut self.left.start, end)..end;
        let mut buffer = self.spare.pop().unwrap_or_default();
        let length = (blocks.end - blocks.start) * u64::from(self.about.block_size);
        buffer.resize(length as usize, 0);
        Some((blocks, buffer))
    }

    /// Takes what is done, whatever its place in the order.
    fn collect(&mut self, isboot: &mut HostIsboot) {
        while let Some(Finished { id, buffer, outcome, .. }) = isboot.take_completion() {
            if let Some(pending) = self.pending.iter_mut().find(|pending| pending.id == id) {
                pending.done = Some((buffer.unwrap_or_default(), outcome));
            }
        }
    }

    /// The first request in order, once it is done.
    fn take_first(&mut self, isboot: &HostIsboot, verb: &str) -> Result<Option<Piece>, Failure> {
        let Some(Pending { done: Some(_), .. }) = self.pending.front() else { return Ok(None) };
        match self.pending.pop_front() {
            Some(Pending { blocks, done: Some((buffer, Ok(()))), .. }) => {
                Ok(Some((blocks, buffer)))
            }
            Some(Pending { blocks, done: Some((_, Err(error))), .. }) => {
                let error = explained(isboot, error);
                Err(failed(verb, &blocks, self.about, error))
            }
            _ => Ok(None),
        }
    }
}

fn failed(verb: &str, blocks: &Range<u64>, disk: &Disk, why: impl std::fmt::Display) -> Failure {
    let which = match (blocks.start, blocks.end - 1) {
        (first, last) if first == last => format!("block {first}"),
        (first, last) => format!("blocks {first} to {last}"),
    };
    Failure::doing(format_args!("cannot {verb} {which} of LUN {}", disk.lun), why)
}

/// The error with what became of the session, when that is why.
fn explained(isboot: &HostIsboot, error: RequestError) -> String {
    match (error, isboot.last_error()) {
        (
            RequestError::SessionEnded
            | RequestError::Task(TaskError::Outage | TaskError::SessionEnded),
            Some(reason),
        ) => {
            let advice = match error {
                RequestError::Task(TaskError::Outage) => "; -p outage_limit=SECONDS waits longer",
                _ => "",
            };
            format!("{error}: {reason}{advice}")
        }
        _ => error.to_string(),
    }
}
