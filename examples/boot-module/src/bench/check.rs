//! Whether data is what it must be, looked at before and after the time is taken.

use heapless::{Deque, Vec};

use super::load::Target;
use super::pool::Pool;
use super::request::{DEEPEST, Operation, Run};
use crate::buffer::Buffer;
use crate::clock;
use crate::failure::{During, Failure};
use crate::pattern::{self, splitmix64};
use crate::session::{self, Initiator};

/// Of this many bytes the first and the last eight are looked at.
const SAMPLE: usize = 512;
/// So many requests that were written are read back.
const READ_BACK: usize = 4;
/// What no disk holds at the places of samples: words of read buffers before a run.
const NOT_READ: [u8; 8] = 0x6e6f_7420_7265_6164_u64.to_le_bytes();

/// Gives a buffer what is to be written, other than in any run before, or what cannot have been
/// read.
pub(super) fn prepare(buffer: &mut [u8], operation: Operation, number: u16) {
    match operation {
        Operation::Write => {
            let seed = clock::counter() ^ (u64::from(number) << 48);
            pattern::fill(buffer, seed, 0);
        }
        Operation::Read => {
            for sample in buffer.chunks_exact_mut(SAMPLE) {
                sample[..8].copy_from_slice(&NOT_READ);
                sample[SAMPLE - 8..].copy_from_slice(&NOT_READ);
            }
        }
    }
}

/// Which buffer went to which place last.
#[derive(Debug)]
pub(super) struct Recent(Deque<(u64, *const u8), { 2 * DEEPEST as usize }>);

impl Recent {
    pub(super) const fn new() -> Self {
        Self(Deque::new())
    }

    pub(super) fn note(&mut self, place: u64, buffer: &Buffer) {
        if self.0.is_full() {
            self.0.pop_front();
        }
        let _ = self.0.push_back((place, buffer.as_ref().as_ptr()));
    }

    /// The places whose data is in a buffer still, and came there by nothing older than what the
    /// place holds; newest first.
    fn known<'a>(&'a self, buffers: &'a [Buffer]) -> impl Iterator<Item = (u64, &'a Buffer)> {
        let newest_first = || self.0.iter().rev();
        newest_first().enumerate().filter_map(move |(age, &(place, start))| {
            let is_newer = |&&(other, at): &&(u64, *const u8)| other == place || at == start;
            if newest_first().take(age).any(|newer| is_newer(&newer)) {
                return None;
            }
            let buffer = buffers.iter().find(|buffer| buffer.as_ref().as_ptr() == start)?;
            Some((place, buffer))
        })
    }
}

/// Compares what the last requests read with what the disk holds, or what it holds with what they
/// wrote; how many bytes were looked at.
pub(super) fn afterwards(
    initiator: &mut Initiator,
    run: &Run,
    target: Target,
    buffers: &Vec<Buffer, { DEEPEST as usize }>,
    recent: &Recent,
    pool: &mut Pool,
) -> Result<u64, Failure> {
    let mut checked = 0;
    match run.operation {
        Operation::Read => {
            let Some(seed) = run.seed else { return Ok(0) };
            for (place, buffer) in recent.known(buffers) {
                let offset = place * u64::from(run.block);
                checked += read_right(buffer.as_ref(), seed, offset)?;
            }
        }
        Operation::Write => {
            let Some(spare) = pool.0.pop() else { return Ok(0) };
            let mut back = spare.resized(run.block as usize);
            let compared = recent.known(buffers).take(READ_BACK).try_for_each(|(place, buffer)| {
                let lba = place * target.per_request;
                initiator
                    .read_blocks(target.disk, lba, back.as_mut(), |_deadline| session::now())
                    .during("bench")?;
                checked += buffer.as_ref().len() as u64;
                if back.as_ref() == buffer.as_ref() {
                    return Ok(());
                }
                let why =
                    format_args!("request {place} of the disk does not hold what was written");
                Err(Failure::new("bench", why))
            });
            drop(pool.0.push(back.whole()));
            compared?;
        }
    }
    Ok(checked)
}

/// Looks at samples of what was read from byte `offset` of a disk on.
fn read_right(data: &[u8], seed: u64, offset: u64) -> Result<u64, Failure> {
    let mut checked = 0;
    for (sample, at) in data.chunks_exact(SAMPLE).zip((offset..).step_by(SAMPLE)) {
        for within in [0, SAMPLE - 8] {
            let byte = at + within as u64;
            let expected = splitmix64(seed.wrapping_add(byte / 8)).to_le_bytes();
            let found = &sample[within..within + 8];
            if found != expected {
                let why =
                    format_args!("byte {byte} of the disk reads {found:02x?}, not {expected:02x?}");
                return Err(Failure::new("bench", why));
            }
            checked += 8;
        }
    }
    Ok(checked)
}
