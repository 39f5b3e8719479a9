//! A logical unit as the hosting kernel sees it.

use heapless::String;

use super::identity::Identity;
use super::provisioning::Provisioning;
use crate::scsi::lun::LogicalUnitNumber;
use crate::scsi::target_port_groups::AccessState;

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
    /// The unit's name in the world, when it tells one (SPC-4 §7.8.6).
    pub identity: Option<Identity>,
    /// Bytes in a logical block.
    pub block_size: u32,
    /// Number of logical blocks.
    pub blocks: u64,
    /// Logical blocks in a physical one, as a power of two (SBC-3 §5.17).
    pub physical_block_exponent: u8,
    /// First logical block that starts a physical one.
    pub lowest_aligned_block: u16,
    /// Type of protection information that the unit keeps, 0 for none. Nothing of it is
    /// transferred: blocks are of `block_size` bytes.
    pub protection_type: u8,
    /// Whether the unit is write-protected; a unit that does not tell is not.
    pub read_only: bool,
    /// Whether the unit obeys the FUA bit of a write (DPOFUA, SBC-3 §6.4.1).
    pub force_unit_access: bool,
    /// Most blocks that one command may move.
    pub max_transfer_blocks: u32,
    /// Blocks that a command moves best, when the unit names a number.
    pub optimal_transfer_blocks: Option<u32>,
    /// How blocks are stored and released.
    pub provisioning: Provisioning,
    /// How the port in use served the unit when it was found; `None` where the unit tells of no
    /// target port groups (SPC-4 §5.11).
    pub access_state: Option<AccessState>,
}

impl Disk {
    /// Nothing known yet.
    pub(super) const fn unknown(lun: LogicalUnitNumber) -> Self {
        Self {
            lun,
            vendor: String::new(),
            product: String::new(),
            revision: String::new(),
            serial: String::new(),
            identity: None,
            block_size: 0,
            blocks: 0,
            physical_block_exponent: 0,
            lowest_aligned_block: 0,
            protection_type: 0,
            read_only: false,
            force_unit_access: false,
            max_transfer_blocks: u32::MAX,
            optimal_transfer_blocks: None,
            provisioning: Provisioning {
                thin: false,
                reads_zeros: false,
                unmap: None,
                write_same_unmaps: None,
                write_same_blocks: None,
            },
            access_state: None,
        }
    }

    /// Capacity in bytes, saturating.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blocks.saturating_mul(u64::from(self.block_size))
    }

    /// Whether both are the same unit, whatever its size; with other blocks it is another.
    pub(super) fn is_same_unit_as(&self, other: &Self) -> bool {
        self.vendor == other.vendor
            && self.product == other.product
            && self.serial == other.serial
            && self.identity == other.identity
            && self.block_size == other.block_size
    }
}
