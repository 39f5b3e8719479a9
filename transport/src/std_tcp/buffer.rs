//! Memory that bytes pass through, in order.

use std::vec;
use std::vec::Vec;

/// A fixed piece of memory, filled at the end and taken from the start.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// An empty one of `length` bytes.
    pub(super) fn new(length: usize) -> Self {
        Self { bytes: vec![0; length], start: 0, end: 0 }
    }

    pub(super) fn emptied(self) -> Self {
        Self { start: 0, end: 0, ..self }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(super) fn is_full(&self) -> bool {
        self.start == 0 && self.end == self.bytes.len()
    }

    pub(super) fn content(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn taken(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Free space after the content, at most `most` bytes; the content moves to the front when the
    /// end is reached.
    pub(super) fn room(&mut self, most: usize) -> Option<&mut [u8]> {
        if self.end == self.bytes.len() && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end = self.end.saturating_sub(self.start);
            self.start = 0;
        }
        let end = self.end.saturating_add(most).min(self.bytes.len());
        self.bytes.get_mut(self.end..end).filter(|room| !room.is_empty())
    }

    pub(super) fn filled(&mut self, count: usize) {
        self.end = self.end.saturating_add(count).min(self.bytes.len());
    }
}
