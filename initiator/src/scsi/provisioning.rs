//! Blocks with or without storage behind them: the limits that a unit sets, UNMAP and WRITE SAME
//! (SBC-3 §4.7, §5.28, §5.40, §6.6).

use super::cdb::Cdb;
use super::inquiry::{page, page_content};

/// Bytes of the UNMAP parameter list with one block descriptor.
pub const UNMAP_LIST_LENGTH: u16 = 24;

/// UNMAP of the blocks in a parameter list of this many bytes.
#[must_use]
pub fn unmap(parameter_list_length: u16) -> Cdb {
    let mut cdb = [0; 16];
    cdb[0] = 0x42;
    [cdb[7], cdb[8]] = parameter_list_length.to_be_bytes();
    cdb
}

/// The UNMAP parameter list with one block descriptor.
#[must_use]
pub fn unmap_list(logical_block_address: u64, blocks: u32) -> [u8; UNMAP_LIST_LENGTH as usize] {
    let [a0, a1, a2, a3, a4, a5, a6, a7] = logical_block_address.to_be_bytes();
    let [b0, b1, b2, b3] = blocks.to_be_bytes();
    // UNMAP DATA LENGTH and UNMAP BLOCK DESCRIPTOR DATA LENGTH count what follows each of them.
    [0, 22, 0, 16, 0, 0, 0, 0, a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, 0, 0, 0, 0]
}

/// WRITE SAME(10): one block of data for all of them; with `unmap` they may be released instead,
/// if they read as that block afterwards. Zero blocks would mean all up to the last.
#[must_use]
pub fn write_same_10(logical_block_address: u32, blocks: u16, unmap: bool) -> Cdb {
    let [a0, a1, a2, a3] = logical_block_address.to_be_bytes();
    let [b0, b1] = blocks.to_be_bytes();
    [0x41, u8::from(unmap) << 3, a0, a1, a2, a3, 0, b0, b1, 0, 0, 0, 0, 0, 0, 0]
}

/// WRITE SAME(16), as [`write_same_10`].
#[must_use]
pub fn write_same_16(logical_block_address: u64, blocks: u32, unmap: bool) -> Cdb {
    let [a0, a1, a2, a3, a4, a5, a6, a7] = logical_block_address.to_be_bytes();
    let [b0, b1, b2, b3] = blocks.to_be_bytes();
    [0x93, u8::from(unmap) << 3, a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, 0, 0]
}

/// The Block Limits page (B0h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockLimits<'a>(&'a [u8]);

impl<'a> BlockLimits<'a> {
    /// Takes the bytes that came.
    #[must_use]
    pub fn parse(parameter_data: &'a [u8]) -> Option<Self> {
        page_content(parameter_data, page::BLOCK_LIMITS).map(Self)
    }

    /// MAXIMUM TRANSFER LENGTH in blocks, unless the unit names no limit.
    #[must_use]
    pub fn maximum_transfer_length(&self) -> Option<u32> {
        self.field(4)
    }

    /// OPTIMAL TRANSFER LENGTH in blocks, unless the unit names none.
    #[must_use]
    pub fn optimal_transfer_length(&self) -> Option<u32> {
        self.field(8)
    }

    /// MAXIMUM UNMAP LBA COUNT: blocks that one UNMAP may release; `None` where it is not
    /// implemented, all ones where there is no limit.
    #[must_use]
    pub fn maximum_unmap_count(&self) -> Option<u32> {
        self.field(16)
    }

    /// MAXIMUM UNMAP BLOCK DESCRIPTOR COUNT; `None` where UNMAP is not implemented.
    #[must_use]
    pub fn maximum_unmap_descriptors(&self) -> Option<u32> {
        self.field(20)
    }

    /// OPTIMAL UNMAP GRANULARITY in blocks, unless the unit names none.
    #[must_use]
    pub fn unmap_granularity(&self) -> Option<u32> {
        self.field(24)
    }

    /// UNMAP GRANULARITY ALIGNMENT: the first block that starts a granule, where the unit says
    /// that the field is valid.
    #[must_use]
    pub fn unmap_alignment(&self) -> Option<u32> {
        self.field(28).filter(|field| field & 1 << 31 != 0).map(|field| field & !(1 << 31))
    }

    /// MAXIMUM WRITE SAME LENGTH in blocks, unless the unit names no limit.
    #[must_use]
    pub fn maximum_write_same_length(&self) -> Option<u64> {
        let bytes: &[u8; 8] = self.0.get(32..)?.first_chunk()?;
        Some(u64::from_be_bytes(*bytes)).filter(|value| *value != 0)
    }

    /// A 32-bit field at this offset of the page's content; 0 means "not reported".
    fn field(&self, at: usize) -> Option<u32> {
        let bytes: &[u8; 4] = self.0.get(at..)?.first_chunk()?;
        Some(u32::from_be_bytes(*bytes)).filter(|value| *value != 0)
    }
}

/// The Logical Block Provisioning page (B2h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogicalBlockProvisioning {
    /// LBPU: UNMAP releases blocks.
    pub unmap: bool,
    /// LBPWS: WRITE SAME(16) with the UNMAP bit releases blocks.
    pub write_same_16: bool,
    /// LBPWS10: WRITE SAME(10) with the UNMAP bit releases blocks.
    pub write_same_10: bool,
}

impl LogicalBlockProvisioning {
    /// Takes the bytes that came.
    #[must_use]
    pub fn parse(parameter_data: &[u8]) -> Option<Self> {
        let content = page_content(parameter_data, page::LOGICAL_BLOCK_PROVISIONING)?;
        let &[_threshold, flags] = content.first_chunk()?;
        Some(Self {
            unmap: flags & 0x80 != 0,
            write_same_16: flags & 0x40 != 0,
            write_same_10: flags & 0x20 != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_as_the_standard_has_them() {
        assert_eq!(unmap(24), [0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(
            unmap_list(0x0102_0304_0506_0708, 0x090a_0b0c),
            [0, 22, 0, 16, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0, 0, 0]
        );
        assert_eq!(
            write_same_10(0x0102_0304, 0x0506, false),
            [0x41, 0, 1, 2, 3, 4, 0, 5, 6, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(write_same_10(0, 1, true)[1], 0x08);
        assert_eq!(
            write_same_16(0x0102, 0x0304, true),
            [0x93, 0x08, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 3, 4, 0, 0]
        );
    }

    #[test]
    fn a_limit_of_zero_is_none() {
        let mut data = [0; 64];
        data[..4].copy_from_slice(&[0, 0xb0, 0, 0x3c]);
        let limits = BlockLimits::parse(&data).unwrap();
        assert_eq!(limits.maximum_transfer_length(), None);
        assert_eq!(limits.maximum_unmap_count(), None);
        assert_eq!(limits.maximum_write_same_length(), None);
        data[8..12].copy_from_slice(&128u32.to_be_bytes());
        assert_eq!(BlockLimits::parse(&data).unwrap().maximum_transfer_length(), Some(128));
        assert_eq!(BlockLimits::parse(&data[..11]).unwrap().maximum_transfer_length(), None);
    }

    #[test]
    fn limits_of_unmap_and_write_same_are_read() {
        let mut data = [0; 64];
        data[..4].copy_from_slice(&[0, 0xb0, 0, 0x3c]);
        data[20..24].copy_from_slice(&u32::MAX.to_be_bytes());
        data[24..28].copy_from_slice(&7u32.to_be_bytes());
        data[28..32].copy_from_slice(&8u32.to_be_bytes());
        data[32..36].copy_from_slice(&3u32.to_be_bytes());
        data[36..44].copy_from_slice(&(1u64 << 33).to_be_bytes());
        let limits = BlockLimits::parse(&data).unwrap();
        assert_eq!(limits.maximum_unmap_count(), Some(u32::MAX));
        assert_eq!(limits.maximum_unmap_descriptors(), Some(7));
        assert_eq!(limits.unmap_granularity(), Some(8));
        assert_eq!(limits.unmap_alignment(), None, "UGAVALID is not set");
        assert_eq!(limits.maximum_write_same_length(), Some(1 << 33));
        data[32] = 0x80;
        assert_eq!(BlockLimits::parse(&data).unwrap().unmap_alignment(), Some(3));
        data[3] = 12; // as long as SBC-2 had it
        assert_eq!(BlockLimits::parse(&data).unwrap().maximum_unmap_count(), None);
    }

    #[test]
    fn what_releases_blocks_is_told_apart() {
        let parse = |flags| LogicalBlockProvisioning::parse(&[0, 0xb2, 0, 4, 0, flags, 2, 0]);
        let is = |unmap, write_same_16, write_same_10| {
            Some(LogicalBlockProvisioning { unmap, write_same_16, write_same_10 })
        };
        assert_eq!(parse(0x80), is(true, false, false));
        assert_eq!(parse(0x44), is(false, true, false));
        assert_eq!(parse(0x20), is(false, false, true));
        assert_eq!(LogicalBlockProvisioning::parse(&[0, 0xb2, 0, 1, 0, 0xff]), None);
        assert_eq!(LogicalBlockProvisioning::parse(&[0, 0xb0, 0, 4, 0, 0xff, 0, 0]), None);
    }
}
