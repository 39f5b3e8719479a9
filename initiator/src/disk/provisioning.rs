//! What a unit says about releasing blocks, and how requests are cut to it (SBC-3 §4.7).

use crate::scsi::provisioning::{BlockLimits, LogicalBlockProvisioning};

/// Blocks of one WRITE SAME where the unit names no limit: as many as the 10-byte form counts, so
/// that one command does not take minutes.
const WRITE_SAME_BLOCKS: u32 = 0xffff;

/// How a disk stores blocks, and how it releases them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Provisioning {
    /// Whether blocks may be without storage behind them (LBPME).
    pub thin: bool,
    /// Whether released blocks read as zeros (LBPRZ).
    pub reads_zeros: bool,
    /// What UNMAP can do; `None` where the unit does not have it.
    pub unmap: Option<UnmapLimits>,
    /// The form of WRITE SAME that releases blocks, where there is one.
    pub write_same_unmaps: Option<WriteSameForm>,
    /// Most blocks of one WRITE SAME; `None` where the unit names no limit.
    pub write_same_blocks: Option<u64>,
}

/// A form of WRITE SAME.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteSameForm {
    /// WRITE SAME(10).
    Ten,
    /// WRITE SAME(16).
    Sixteen,
}

/// What one UNMAP can do (SBC-3 §6.6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnmapLimits {
    /// Most blocks of one command.
    pub blocks: u32,
    /// Blocks that the unit releases together: parts of such a granule may stay.
    pub granularity: u32,
    /// First block that starts a granule.
    pub alignment: u32,
}

impl Provisioning {
    /// Takes the limits that the unit sets. UNMAP is for thin units that name both of its limits.
    pub(super) fn limit(&mut self, limits: BlockLimits<'_>) {
        self.write_same_blocks = limits.maximum_write_same_length();
        let counts = limits.maximum_unmap_count().zip(limits.maximum_unmap_descriptors());
        // One descriptor a command is within every limit.
        self.unmap = counts.filter(|_| self.thin).map(|(blocks, _descriptors)| UnmapLimits {
            blocks,
            granularity: limits.unmap_granularity().unwrap_or(1),
            alignment: limits.unmap_alignment().unwrap_or(0),
        });
    }

    /// Takes what the unit says about its ways to release blocks; `blocks` is its size.
    pub(super) fn refine(&mut self, page: LogicalBlockProvisioning, blocks: u64) {
        self.unmap = self.unmap.filter(|_| page.unmap);
        self.write_same_unmaps = if !self.thin {
            None
        } else if page.write_same_16 {
            Some(WriteSameForm::Sixteen)
        } else {
            (page.write_same_10 && blocks <= 1 << 32).then_some(WriteSameForm::Ten)
        };
    }

    /// Most blocks of one WRITE SAME.
    pub(super) fn write_same_limit(&self, unmap: bool) -> u32 {
        let limit = match self.write_same_blocks {
            Some(blocks) => u32::try_from(blocks).unwrap_or(u32::MAX),
            None => WRITE_SAME_BLOCKS,
        };
        match self.write_same_unmaps {
            Some(WriteSameForm::Ten) if unmap => limit.min(WRITE_SAME_BLOCKS),
            _ => limit,
        }
    }
}

impl UnmapLimits {
    /// How many of `blocks` blocks from `lba` on go into one command: up to the limit, and up to
    /// the border of a granule where a further command follows.
    pub(super) fn piece(&self, lba: u64, blocks: u64) -> u32 {
        let limit = u64::from(self.blocks);
        if blocks <= limit {
            return u32::try_from(blocks).unwrap_or(self.blocks);
        }
        let past_border = lba
            .saturating_add(limit)
            .checked_sub(u64::from(self.alignment))
            .and_then(|past| past.checked_rem(u64::from(self.granularity)))
            // No command reaches over a granule that is larger than the limit.
            .filter(|_| self.granularity <= self.blocks)
            .unwrap_or(0);
        let aligned = limit.checked_sub(past_border).filter(|&blocks| blocks > 0);
        aligned.and_then(|blocks| u32::try_from(blocks).ok()).unwrap_or(self.blocks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_at_granules_where_more_follows() {
        let limits = UnmapLimits { blocks: 100, granularity: 8, alignment: 3 };
        assert_eq!(limits.piece(0, 100), 100, "all of it at once");
        assert_eq!(limits.piece(0, 101), 99, "99 = 3 + 12 × 8");
        assert_eq!(limits.piece(99, 1000), 96);
        assert_eq!(limits.piece(1 << 40, 1 << 40), 99);
        let coarse = UnmapLimits { blocks: 4, granularity: 64, alignment: 0 };
        assert_eq!(coarse.piece(1, 100), 4);
        assert_eq!(coarse.piece(62, 100), 4, "a granule is out of reach");
        let unlimited = UnmapLimits { blocks: u32::MAX, granularity: 1, alignment: 0 };
        assert_eq!(unlimited.piece(0, 1 << 33), u32::MAX);
    }

    fn limits(unmap_blocks: u32, descriptors: u32, write_same: u64) -> [u8; 64] {
        let mut page = [0; 64];
        page[..4].copy_from_slice(&[0, 0xb0, 0, 60]);
        page[20..24].copy_from_slice(&unmap_blocks.to_be_bytes());
        page[24..28].copy_from_slice(&descriptors.to_be_bytes());
        page[36..44].copy_from_slice(&write_same.to_be_bytes());
        page
    }

    fn completed(thin: bool, limits: &[u8], flags: Option<u8>, blocks: u64) -> Provisioning {
        let mut provisioning = Provisioning { thin, ..Provisioning::default() };
        if let Some(limits) = BlockLimits::parse(limits) {
            provisioning.limit(limits);
        }
        let page = flags.map(|flags| [0, 0xb2, 0, 4, 0, flags, 2, 0]);
        if let Some(page) = page.and_then(|page| LogicalBlockProvisioning::parse(&page)) {
            provisioning.refine(page, blocks);
        }
        provisioning
    }

    #[test]
    fn unmap_needs_a_thin_unit_its_limits_and_no_word_against_it() {
        let unmap = |thin, limits: &[u8], flags| completed(thin, limits, flags, 1).unmap.is_some();
        assert!(unmap(true, &limits(9, 1, 0), Some(0x80)));
        assert!(unmap(true, &limits(9, 1, 0), None), "page B2h is young");
        assert!(!unmap(true, &limits(9, 1, 0), Some(0x40)));
        assert!(!unmap(false, &limits(9, 1, 0), Some(0x80)));
        assert!(!unmap(true, &limits(0, 1, 0), Some(0x80)));
        assert!(!unmap(true, &limits(9, 0, 0), Some(0x80)));
        assert!(!unmap(true, &[], Some(0x80)));
    }

    #[test]
    fn write_same_releases_in_the_form_that_the_unit_names() {
        let form = |flags, blocks| completed(true, &[], Some(flags), blocks).write_same_unmaps;
        assert_eq!(form(0x60, 1), Some(WriteSameForm::Sixteen));
        assert_eq!(form(0x20, 1 << 32), Some(WriteSameForm::Ten));
        assert_eq!(form(0x20, (1 << 32) + 1), None, "beyond what ten bytes address");
        assert_eq!(form(0x80, 1), None);
        assert_eq!(completed(false, &[], Some(0x60), 1).write_same_unmaps, None);
    }

    #[test]
    fn write_same_is_bounded_by_the_unit_by_its_form_and_by_us() {
        let unnamed = completed(true, &[], Some(0x60), 1);
        assert_eq!(unnamed.write_same_limit(false), 0xffff);
        let large = completed(true, &limits(0, 0, 1 << 40), Some(0x20), 1);
        assert_eq!(large.write_same_limit(false), u32::MAX);
        assert_eq!(large.write_same_limit(true), 0xffff);
        assert_eq!(completed(true, &limits(0, 0, 7), Some(0), 1).write_same_limit(true), 7);
    }
}
