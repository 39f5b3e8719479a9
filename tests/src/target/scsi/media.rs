//! Blocks: capacity, reading, writing, flushing (SBC-3 §5).

use std::ops::Range;

use super::sense::Sense;
use super::{allocated, be16, be32, operation};
use crate::target::lun::Lun;

/// The blocks that a READ or WRITE is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    write: bool,
    /// FUA: done when it is durable.
    through: bool,
    blocks: Range<u64>,
}

impl Extent {
    pub(super) fn is_write(&self) -> bool {
        self.write
    }

    pub(super) fn bytes(&self, lun: &Lun) -> u64 {
        (self.blocks.end - self.blocks.start) * u64::from(lun.block_size)
    }

    /// Whether the write is to be durable.
    pub(super) fn is_through(&self) -> bool {
        self.write && self.through
    }

    fn offset(&self, lun: &Lun) -> u64 {
        self.blocks.start * u64::from(lun.block_size)
    }

    fn first_bad(&self, bad: &[Range<u64>]) -> Option<u64> {
        let overlaps =
            |range: &&Range<u64>| range.start < self.blocks.end && self.blocks.start < range.end;
        bad.iter().filter(overlaps).map(|range| range.start.max(self.blocks.start)).min()
    }
}

/// What a READ or WRITE asks for, when the LUN can do it.
pub(super) fn judge(lun: &Lun, cdb: &[u8; 16], most: u32) -> Result<Extent, Sense> {
    let write = matches!(cdb[0], operation::WRITE_10 | operation::WRITE_16);
    let (start, count) = extent_of(cdb);
    // RDPROTECT, WRPROTECT: no protection information here.
    if cdb[1] & 0xe0 != 0 || count > most {
        return Err(Sense::INVALID_FIELD);
    }
    let end = start.checked_add(u64::from(count)).ok_or(Sense::OUT_OF_RANGE)?;
    if end > lun.blocks() {
        return Err(Sense::OUT_OF_RANGE);
    }
    if write && lun.read_only {
        return Err(Sense::WRITE_PROTECTED);
    }
    // FUA where it is not obeyed (SBC-3 §6.4.1).
    if cdb[1] & 0x08 != 0 && !lun.force_unit_access {
        return Err(Sense::INVALID_FIELD);
    }
    Ok(Extent { write, through: cdb[1] & 0x08 != 0, blocks: start..end })
}

pub(super) fn read(lun: &Lun, extent: &Extent, bad: &[Range<u64>]) -> Result<Vec<u8>, Sense> {
    if let Some(block) = extent.first_bad(bad) {
        return Err(Sense::unreadable(block));
    }
    let mut data = vec![0; extent.bytes(lun) as usize];
    let read = lun.backing.read(extent.offset(lun), &mut data);
    read.map_err(|_| Sense::unreadable(extent.blocks.start))?;
    Ok(data)
}

/// Writes as much of the extent as there is data for.
pub(super) fn write(
    lun: &Lun,
    extent: &Extent,
    bad: &[Range<u64>],
    data: &[u8],
) -> Result<(), Sense> {
    if let Some(block) = extent.first_bad(bad) {
        return Err(Sense::unwritable(block));
    }
    let written = lun.backing.write(extent.offset(lun), data);
    written.map_err(|_| Sense::unwritable(extent.blocks.start))?;
    match extent.through {
        true => lun.backing.flush().map_err(|_| Sense::HARDWARE),
        false => Ok(()),
    }
}

pub(super) fn synchronize(lun: &Lun, cdb: &[u8; 16]) -> Result<(), Sense> {
    let (start, count) = extent_of(cdb);
    let end = start.checked_add(u64::from(count)).ok_or(Sense::OUT_OF_RANGE)?;
    if end > lun.blocks() {
        return Err(Sense::OUT_OF_RANGE);
    }
    lun.backing.flush().map_err(|_| Sense::HARDWARE)
}

/// The last block, or FFFFFFFFh when it takes READ CAPACITY(16) to say it.
pub(super) fn read_capacity_10(lun: &Lun) -> Vec<u8> {
    let last = u32::try_from(lun.blocks().saturating_sub(1)).unwrap_or(u32::MAX);
    [last.to_be_bytes(), lun.block_size.to_be_bytes()].concat()
}

pub(super) fn read_capacity_16(lun: &Lun, cdb: &[u8; 16]) -> Vec<u8> {
    let mut data = lun.blocks().saturating_sub(1).to_be_bytes().to_vec();
    data.extend_from_slice(&lun.block_size.to_be_bytes());
    // P_TYPE and PROT_EN.
    data.push(lun.protection.checked_sub(1).map_or(0, |kind| kind << 1 | 1));
    let (exponent, aligned) = lun.physical;
    data.push(exponent & 0x0f);
    let [high, low] = (aligned & 0x3fff).to_be_bytes();
    let reads_zeros = lun.thin.is_some_and(|thin| thin.reads_zeros);
    data.push(u8::from(lun.thin.is_some()) << 7 | u8::from(reads_zeros) << 6 | high);
    data.push(low);
    data.resize(32, 0);
    allocated(data, be32(cdb, 10))
}

/// First block and count of a 10- or 16-byte CDB.
pub(super) fn extent_of(cdb: &[u8; 16]) -> (u64, u32) {
    match cdb[0] {
        operation::READ_16
        | operation::WRITE_16
        | operation::WRITE_SAME_16
        | operation::SYNCHRONIZE_CACHE_16 => {
            (u64::from(be32(cdb, 2)) << 32 | u64::from(be32(cdb, 6)), be32(cdb, 10))
        }
        _ => (u64::from(be32(cdb, 2)), u32::from(be16(cdb, 7))),
    }
}
