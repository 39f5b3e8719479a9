//! Write data, lent to the session while it sends.

use super::disks::Disks;
use super::request::{Lent, RequestKind};
use super::slot::{Buffer, Owner, range};
use crate::scsi::provisioning::unmap_list;
use crate::session::{DataOut, TaskTag};

impl<B, const LUNS: usize, const REQUESTS: usize, const TASKS: usize>
    Disks<B, LUNS, REQUESTS, TASKS>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    /// The write data of all requests, for [`Session::transmit`](crate::session::Session::transmit).
    pub fn data_out<'d>(&'d self, lent: &'d Lent<'_>) -> impl DataOut + 'd {
        WriteData { disks: self, lent }
    }
}

/// Lends the session the data it sends.
struct WriteData<'d, 'l, B, const LUNS: usize, const REQUESTS: usize, const TASKS: usize> {
    disks: &'d Disks<B, LUNS, REQUESTS, TASKS>,
    lent: &'d Lent<'l>,
}

impl<B, const LUNS: usize, const REQUESTS: usize, const TASKS: usize> DataOut
    for WriteData<'_, '_, B, LUNS, REQUESTS, TASKS>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    fn fill(&mut self, task: TaskTag, offset: u32, out: &mut [u8]) {
        let Owner::Request(_, piece) = self.disks.owner(task) else { return out.fill(0) };
        let slot = self.disks.slots.get(usize::from(piece.slot));
        let kind = slot.map(|slot| slot.kind);
        let list = slot
            .filter(|_| kind == Some(RequestKind::Unmap))
            .and_then(|slot| Some(unmap_list(slot.lba.checked_add(piece.offset)?, piece.length)));
        let whole: &[u8] = match (slot.map(|slot| &slot.buffer), self.lent, &list) {
            (_, _, Some(list)) => list,
            (Some(Buffer::Owned(buffer)), _, _) => buffer.as_ref(),
            (Some(Buffer::Lent), Lent::From(buffer), _) => buffer,
            // Zeros are written without a buffer of them.
            _ => &[],
        };
        let start = match kind {
            Some(RequestKind::Write | RequestKind::WriteThrough) => piece.offset,
            // Every command takes the same data, from its start.
            _ => 0,
        };
        let data = range(start, offset, out.len()).and_then(|range| whole.get(range));
        match data {
            Some(data) => out.copy_from_slice(data),
            // The command ended while its data was being sent: the target discards the rest.
            None => out.fill(0),
        }
    }
}
