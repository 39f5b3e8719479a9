//! A logical unit as the hosting kernel sees it.

use heapless::String;

use crate::scsi::lun::LogicalUnitNumber;

/// Names a disk: its place in [`Disks::list`](super::Disks::list), fixed for the session's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DiskId(pub u16);

/// What a logical unit said about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Its number within the target.
    pub lun: LogicalUnitNumber,
    /// T10 vendor identification, trimmed (SPC-4 §6.6.2).
    pub vendor: String<8>,
    /// Product identification, trimmed.
    pub product: String<16>,
    /// Product revision level, trimmed.
    pub revision: String<4>,
    /// Unit serial number, trimmed; empty when the unit tells none (SPC-4 §7.8.15).
    pub serial: String<64>,
    /// Bytes in a logical block.
    pub block_size: u32,
    /// Number of logical blocks.
    pub blocks: u64,
    /// Logical blocks in a physical one, as a power of two (SBC-3 §5.17).
    pub physical_block_exponent: u8,
    /// Whether the unit is write-protected.
    pub read_only: bool,
    /// Most blocks that one command may move.
    pub max_transfer_blocks: u32,
}

impl Disk {
    /// Capacity in bytes, saturating.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(u64::from(self.block_size))
    }
}
