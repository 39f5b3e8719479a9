//! Buffers for disk requests: they move into the initiator with a request and come back with it.

use crate::arena;

/// Memory from the arena, of which the first `length` bytes take part.
#[derive(Debug)]
pub(crate) struct Buffer {
    memory: &'static mut [u8],
    length: usize,
}

impl Buffer {
    /// `size` bytes, for good; `None` when the arena has no more.
    pub(crate) fn new(size: usize) -> Option<Self> {
        Some(Self { memory: arena::buffer(size)?, length: size })
    }

    /// All of `memory`.
    pub(crate) fn over(memory: &'static mut [u8]) -> Self {
        let length = memory.len();
        Self { memory, length }
    }

    /// All of it takes part again.
    pub(crate) fn whole(self) -> Self {
        let length = self.memory.len();
        self.resized(length)
    }

    /// Takes the first `length` bytes, as far as there are so many.
    pub(crate) fn resized(mut self, length: usize) -> Self {
        self.length = length.min(self.memory.len());
        self
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

impl AsMut<[u8]> for Buffer {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.memory[..self.length]
    }
}
