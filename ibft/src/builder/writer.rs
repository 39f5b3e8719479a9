//! The room of a table that is being written: structures first, strings behind them.

use super::BuildError;
use crate::field::{self, Field};
use crate::structure::{HEADER_LENGTH, StructureKind};
use crate::table::{CONTROL, OFFSETS};

/// Structures start at multiples of this.
pub(super) const ALIGNMENT: usize = 16;

/// Hands out room for structures and, behind all of them, for strings.
pub(super) struct Writer<'b> {
    pub(super) out: &'b mut [u8],
    /// Where the next structure starts.
    pub(super) next: usize,
    /// Where the next string starts.
    pub(super) heap: usize,
}

impl Writer<'_> {
    /// The buffer from an offset on, empty when the offset is beyond it.
    pub(super) fn at(&mut self, offset: usize) -> &mut [u8] {
        self.out.get_mut(offset..).unwrap_or_default()
    }

    pub(super) fn header(
        &mut self,
        offset: usize,
        kind: StructureKind,
        index: u8,
        flags: u8,
        length: u16,
    ) {
        let [low, high] = length.to_le_bytes();
        let header = [kind.id(), 1, low, high, index, flags];
        field::write_bytes(self.at(offset), 0..HEADER_LENGTH, &header);
    }

    /// Takes room for a structure with `more` bytes behind its defined fields.
    pub(super) fn structure(
        &mut self,
        kind: StructureKind,
        index: u8,
        flags: u8,
        more: usize,
    ) -> Result<usize, BuildError> {
        let offset = self.next;
        let length = kind.defined_length().saturating_add(more);
        self.next = offset.saturating_add(length).next_multiple_of(ALIGNMENT);
        let length = u16::try_from(length).map_err(|_| BuildError::TooLong)?;
        self.header(offset, kind, index, flags, length);
        Ok(offset)
    }

    /// Lists a structure in the control structure.
    pub(super) fn offset(&mut self, place: usize, offset: usize) -> Result<(), BuildError> {
        let offset = u16::try_from(offset).map_err(|_| BuildError::TooLong)?;
        let at = OFFSETS.saturating_add(place.saturating_mul(2));
        field::write_u16(self.at(CONTROL), at..at.saturating_add(2), offset);
        Ok(())
    }

    /// Puts a string on the heap, with a NUL behind it, and its length and offset into a structure.
    pub(super) fn string(
        &mut self,
        structure: usize,
        field: Field,
        text: &[u8],
        name: &'static str,
    ) -> Result<(), BuildError> {
        if text.is_empty() {
            return Ok(());
        }
        if text.contains(&0) {
            return Err(BuildError::NulInString { field: name });
        }
        let length = u16::try_from(text.len()).map_err(|_| BuildError::TooLong)?;
        let offset = u16::try_from(self.heap).map_err(|_| BuildError::TooLong)?;
        field::write_bytes(self.at(usize::from(offset)), 0..text.len(), text);
        self.heap = self.heap.saturating_add(text.len()).saturating_add(1);
        let [l0, l1] = length.to_le_bytes();
        let [o0, o1] = offset.to_le_bytes();
        field::write_bytes(self.at(structure), field, &[l0, l1, o0, o1]);
        Ok(())
    }
}
