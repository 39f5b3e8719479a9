//! Bytes that say what to do.

/// Read from the front; at its end it says zero for ever.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script<'s>(pub(crate) &'s [u8]);

impl<'s> Script<'s> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    /// At most `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> &'s [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// So many bytes, zeroes where there are none.
    pub(crate) fn array<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.byte().unwrap_or(0))
    }

    pub(crate) fn is_at_its_end(&self) -> bool {
        self.0.is_empty()
    }
}
