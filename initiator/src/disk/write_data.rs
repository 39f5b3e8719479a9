//! Write data, lent to the session while it sends.

use core::ops::Range;

use super::disks::Disks;
use super::request::Lent;
use super::slot::{Buffer, Owner};
use crate::session::{DataOut, TaskTag};

/// Lends the session the data it sends.
pub(super) struct WriteData<'d, 'l, B, const LUNS: usize, const REQUESTS: usize, const TASKS: usize>
{
    pub(super) disks: &'d Disks<B, LUNS, REQUESTS, TASKS>,
    pub(super) lent: &'d Lent<'l>,
}

impl<B, const LUNS: usize, const REQUESTS: usize, const TASKS: usize> DataOut
    for WriteData<'_, '_, B, LUNS, REQUESTS, TASKS>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    fn fill(&mut self, task: TaskTag, offset: u32, out: &mut [u8]) {
        let data = match self.disks.owner(task) {
            Owner::Request(_, piece) => {
                let slot = self.disks.slots.get(usize::from(piece.slot));
                let whole: &[u8] = match (slot.map(|slot| &slot.buffer), self.lent) {
                    (Some(Buffer::Owned(buffer)), _) => buffer.as_ref(),
                    (Some(Buffer::Lent), Lent::From(buffer)) => buffer,
                    _ => &[],
                };
                range(piece.offset, offset, out.len()).and_then(|range| whole.get(range))
            }
            Owner::Nobody | Owner::BringUp(_) => None,
        };
        match data {
            Some(data) => out.copy_from_slice(data),
            // The command ended while its data was being sent: the target discards the rest.
            None => out.fill(0),
        }
    }
}

/// `length` bytes at `offset` of a piece that starts at `start` of its buffer.
pub(super) fn range(start: u32, offset: u32, length: usize) -> Option<Range<usize>> {
    let from = usize::try_from(start.checked_add(offset)?).ok()?;
    Some(from..from.checked_add(length)?)
}
