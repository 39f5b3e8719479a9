//! Write data, lent to the session while it sends.

use super::disks::Disks;
use super::request::{Lent, RequestKind};
use super::slot::{Buffer, Owner, Piece, Slot, range};
use crate::scsi::provisioning::{UNMAP_LIST_LENGTH, unmap_list};
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
        if let Some(data) = self.lend(task, offset, out.len()) {
            out.copy_from_slice(data);
            return;
        }
        let list = self.unmap_list(task);
        let list = list.as_ref().and_then(|list| list.get(range(0, offset, out.len())?));
        match list {
            Some(list) => out.copy_from_slice(list),
            // Zeros are written without a buffer of them; and when the command ended while its data
            // was being sent, the target discards the rest.
            None => out.fill(0),
        }
    }

    fn lend(&self, task: TaskTag, offset: u32, length: usize) -> Option<&[u8]> {
        let (slot, piece) = self.request(task)?;
        let start = match slot.kind {
            RequestKind::Write | RequestKind::WriteThrough => piece.offset,
            // Every command takes the same data, from its start.
            _ => 0,
        };
        let whole = match (&slot.buffer, self.lent) {
            (Buffer::Owned(buffer), _) => buffer.as_ref(),
            (Buffer::Lent, Lent::From(buffer)) => buffer,
            _ => return None,
        };
        whole.get(range(start, offset, length)?)
    }
}

impl<B, const LUNS: usize, const REQUESTS: usize, const TASKS: usize>
    WriteData<'_, '_, B, LUNS, REQUESTS, TASKS>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    fn request(&self, task: TaskTag) -> Option<(&Slot<B>, Piece)> {
        let Owner::Request(_, piece) = self.disks.owner(task) else { return None };
        Some((self.disks.slots.get(usize::from(piece.slot))?, piece))
    }

    /// What an UNMAP says to release.
    fn unmap_list(&self, task: TaskTag) -> Option<[u8; UNMAP_LIST_LENGTH as usize]> {
        let (slot, piece) =
            self.request(task).filter(|(slot, _)| slot.kind == RequestKind::Unmap)?;
        Some(unmap_list(slot.lba.checked_add(piece.offset)?, piece.length))
    }
}
