//! Buffers for loads, one more than can be under way: what was written is read back into the last.

use heapless::Vec;

use super::request::{DEEPEST, LARGEST};
use crate::arena;
use crate::buffer::Buffer;

const MOST: usize = DEEPEST as usize + 1;

/// From one buffer to the next. An emulator finds a page by the low bits of its number: buffers, and
/// what is copied into them, must not have those in common. The odd bytes keep both ends of a copy
/// off the same place in a page.
const STRIDE: usize = LARGEST as usize + 5 * 4096 + 16;

/// Memory that all loads need, and the rest of the kernel beside them.
pub(crate) const MEMORY: u64 = (MOST * STRIDE) as u64 + (12 << 20);

/// Buffers of the largest request.
#[derive(Debug)]
pub(crate) struct Pool(pub(super) Vec<Buffer, MOST>);

impl Pool {
    /// As many as there is memory for.
    pub(crate) fn new() -> Self {
        let mut buffers = Vec::new();
        let memory = (1..=MOST).rev().find_map(|count| arena::buffer(count * STRIDE));
        for piece in memory.into_iter().flat_map(|memory| memory.chunks_exact_mut(STRIDE)) {
            drop(buffers.push(Buffer::over(&mut piece[..LARGEST as usize])));
        }
        Self(buffers)
    }
}
