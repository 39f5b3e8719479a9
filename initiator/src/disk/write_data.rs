//! Write data, lent to the session while it sends.

use super::disks::Disks;
use super::request::Lent;
use super::slot::{Buffer, Owner, range};
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
