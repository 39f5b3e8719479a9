//! Requests beyond reading, writing and flushing: releasing and filling blocks, and commands of the
//! host's own.

use super::disk::{Disk, DiskId};
use super::disks::Disks;
use super::request::{CommandData, Rejected, RequestId, RequestKind, SubmitRequestError};
use super::slot::Buffer;
use crate::scsi::cdb::Cdb;
use crate::session::Transfer;

/// Most bytes that move with a command of the host's own.
const COMMAND_LIMIT: u32 = 65_536;

impl<B, const LUNS: usize, const REQUESTS: usize, const TASKS: usize>
    Disks<B, LUNS, REQUESTS, TASKS>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    /// Releases `blocks` blocks from block `lba` on (UNMAP): the disk's
    /// [`Provisioning`](super::Provisioning) says what they read as afterwards, and which of them
    /// may stay.
    ///
    /// # Errors
    /// Says why it was not taken.
    pub fn submit_unmap(
        &mut self,
        disk: DiskId,
        lba: u64,
        blocks: u64,
    ) -> Result<RequestId, SubmitRequestError> {
        let unit = self.present(disk)?;
        check_blocks(unit, lba, blocks)?;
        unit.provisioning.unmap.ok_or(SubmitRequestError::Unsupported)?;
        let index = self.free.pop_front().ok_or(SubmitRequestError::Busy)?;
        Ok(self.occupy(index, RequestKind::Unmap, disk, lba, blocks, Buffer::None))
    }

    /// Writes the same block of data to `blocks` blocks from block `lba` on (WRITE SAME). With
    /// `unmap` the unit may release them instead, if they read as that data afterwards.
    ///
    /// # Errors
    /// [`Rejected`] returns the buffer and says why.
    pub fn submit_write_same(
        &mut self,
        disk: DiskId,
        lba: u64,
        blocks: u64,
        block: B,
        unmap: bool,
    ) -> Result<RequestId, Rejected<B>> {
        if let Err(reason) = self.check_write_same(disk, lba, blocks, unmap, block.as_ref().len()) {
            return Err(Rejected { buffer: block, reason });
        }
        match self.free.pop_front() {
            Some(index) => {
                let kind = RequestKind::WriteSame { unmap };
                Ok(self.occupy(index, kind, disk, lba, blocks, Buffer::Owned(block)))
            }
            None => Err(Rejected { buffer: block, reason: SubmitRequestError::Busy }),
        }
    }

    /// As [`submit_write_same`](Self::submit_write_same), with a block of zeros that takes no
    /// buffer.
    ///
    /// # Errors
    /// Says why it was not taken.
    pub fn submit_write_zeros(
        &mut self,
        disk: DiskId,
        lba: u64,
        blocks: u64,
        unmap: bool,
    ) -> Result<RequestId, SubmitRequestError> {
        let block_size = self.disk(disk).map_or(0, |disk| disk.block_size);
        let block_size = usize::try_from(block_size).unwrap_or(usize::MAX);
        self.check_write_same(disk, lba, blocks, unmap, block_size)?;
        let index = self.free.pop_front().ok_or(SubmitRequestError::Busy)?;
        let kind = RequestKind::WriteSame { unmap };
        Ok(self.occupy(index, kind, disk, lba, blocks, Buffer::None))
    }

    /// Gives the unit a command of the host's own. Whatever it answers is handed back, also what
    /// other requests would be repeated for; and it is never issued again once it was sent: see
    /// [`TaskError::OutcomeUnknown`](crate::session::TaskError::OutcomeUnknown).
    ///
    /// # Errors
    /// [`Rejected`] returns the data and says why.
    pub fn submit_command(
        &mut self,
        disk: DiskId,
        cdb: Cdb,
        data: CommandData<B>,
    ) -> Result<RequestId, Rejected<CommandData<B>>> {
        let transfer = match self.check_command(disk, &data) {
            Ok(transfer) => transfer,
            Err(reason) => return Err(Rejected { buffer: data, reason }),
        };
        let Some(index) = self.free.pop_front() else {
            return Err(Rejected { buffer: data, reason: SubmitRequestError::Busy });
        };
        let buffer = data.into_buffer().map_or(Buffer::None, Buffer::Owned);
        let id = self.occupy(index, RequestKind::Command, disk, 0, 0, buffer);
        if let Some(slot) = self.slots.get_mut(usize::from(index)) {
            slot.command = (cdb, transfer);
        }
        Ok(id)
    }

    fn check_write_same(
        &self,
        disk: DiskId,
        lba: u64,
        blocks: u64,
        unmap: bool,
        length: usize,
    ) -> Result<(), SubmitRequestError> {
        let disk = self.present(disk)?;
        check_blocks(disk, lba, blocks)?;
        if u32::try_from(length) != Ok(disk.block_size) {
            return Err(SubmitRequestError::BadLength);
        }
        if unmap && disk.provisioning.write_same_unmaps.is_none() {
            return Err(SubmitRequestError::Unsupported);
        }
        Ok(())
    }

    fn check_command(
        &self,
        disk: DiskId,
        data: &CommandData<B>,
    ) -> Result<Transfer, SubmitRequestError> {
        self.present(disk)?;
        let length = |buffer: &B| match u32::try_from(buffer.as_ref().len()) {
            Ok(length @ 1..=COMMAND_LIMIT) => Ok(length),
            _ => Err(SubmitRequestError::BadLength),
        };
        Ok(match data {
            CommandData::None => Transfer::None,
            CommandData::In(buffer) => Transfer::Read(length(buffer)?),
            CommandData::Out(buffer) => Transfer::Write(length(buffer)?),
        })
    }
}

/// Whether these blocks of the disk may be changed.
fn check_blocks(disk: &Disk, lba: u64, blocks: u64) -> Result<(), SubmitRequestError> {
    if disk.read_only {
        return Err(SubmitRequestError::ReadOnly);
    }
    match lba.checked_add(blocks) {
        _ if blocks == 0 => Err(SubmitRequestError::BadLength),
        Some(end) if end <= disk.blocks => Ok(()),
        _ => Err(SubmitRequestError::OutOfRange),
    }
}
