//! Command descriptor blocks, zero-padded to the 16 bytes of a SCSI Command PDU.

/// A command descriptor block of at most 16 bytes.
pub type Cdb = [u8; 16];

/// TEST UNIT READY (SPC-4 §6.47).
#[must_use]
pub fn test_unit_ready() -> Cdb {
    [0; 16]
}

/// START STOP UNIT that starts the unit, answered when it is ready (SBC-3 §5.25).
#[must_use]
pub fn start_unit() -> Cdb {
    let mut cdb = [0; 16];
    [cdb[0], cdb[4]] = [0x1b, 0x01];
    cdb
}

/// REQUEST SENSE in fixed format (SPC-4 §6.39).
#[must_use]
pub fn request_sense(allocation_length: u8) -> Cdb {
    let mut cdb = [0; 16];
    [cdb[0], cdb[4]] = [0x03, allocation_length];
    cdb
}

/// INQUIRY for the standard data (SPC-4 §6.6).
#[must_use]
pub fn inquiry(allocation_length: u16) -> Cdb {
    let mut cdb = [0; 16];
    cdb[0] = 0x12;
    [cdb[3], cdb[4]] = allocation_length.to_be_bytes();
    cdb
}

/// INQUIRY for a vital product data page (SPC-4 §6.6).
#[must_use]
pub fn inquiry_vital_product_data(page: u8, allocation_length: u16) -> Cdb {
    let mut cdb = inquiry(allocation_length);
    [cdb[1], cdb[2]] = [0x01, page];
    cdb
}

/// MODE SENSE(6) without block descriptors (SPC-4 §6.13).
#[must_use]
pub fn mode_sense_6(page: u8, allocation_length: u8) -> Cdb {
    let mut cdb = [0; 16];
    [cdb[0], cdb[1], cdb[2], cdb[4]] = [0x1a, 0x08, page, allocation_length];
    cdb
}

/// MODE SENSE(10) without block descriptors (SPC-4 §6.14), for units that refuse the short form.
#[must_use]
pub fn mode_sense_10(page: u8, allocation_length: u16) -> Cdb {
    let mut cdb = [0; 16];
    [cdb[0], cdb[1], cdb[2]] = [0x5a, 0x08, page];
    [cdb[7], cdb[8]] = allocation_length.to_be_bytes();
    cdb
}

/// REPORT LUNS, all but well-known ones (SPC-4 §6.33). `allocation_length` is at least 16.
#[must_use]
pub fn report_luns(allocation_length: u32) -> Cdb {
    let mut cdb = [0; 16];
    cdb[0] = 0xa0;
    [cdb[6], cdb[7], cdb[8], cdb[9]] = allocation_length.to_be_bytes();
    cdb
}

/// READ CAPACITY(10) (SBC-3 §5.16).
#[must_use]
pub fn read_capacity_10() -> Cdb {
    let mut cdb = [0; 16];
    cdb[0] = 0x25;
    cdb
}

/// READ CAPACITY(16) (SBC-3 §5.17).
#[must_use]
pub fn read_capacity_16(allocation_length: u32) -> Cdb {
    let mut cdb = [0; 16];
    [cdb[0], cdb[1]] = [0x9e, 0x10];
    [cdb[10], cdb[11], cdb[12], cdb[13]] = allocation_length.to_be_bytes();
    cdb
}

/// READ, in the 10-byte form when address and length fit it (SBC-3 §5.11, §5.13).
#[must_use]
pub fn read(logical_block_address: u64, blocks: u32) -> Cdb {
    transfer(0x28, 0x88, logical_block_address, blocks)
}

/// WRITE, in the 10-byte form when address and length fit it (SBC-3 §5.32, §5.34).
#[must_use]
pub fn write(logical_block_address: u64, blocks: u32) -> Cdb {
    transfer(0x2a, 0x8a, logical_block_address, blocks)
}

/// As [`write()`], on stable storage before its status (FUA, SBC-3 §5.32).
#[must_use]
pub fn write_force_unit_access(logical_block_address: u64, blocks: u32) -> Cdb {
    let mut cdb = write(logical_block_address, blocks);
    cdb[1] = 0x08;
    cdb
}

/// READ in the 16-byte form, for units that refuse the short one (SBC-3 §5.13).
#[must_use]
pub fn read_16(logical_block_address: u64, blocks: u32) -> Cdb {
    sixteen(0x88, logical_block_address, blocks)
}

/// WRITE in the 16-byte form, for units that refuse the short one; on stable storage before its
/// status if wanted so (FUA, SBC-3 §5.34).
#[must_use]
pub fn write_16(logical_block_address: u64, blocks: u32, force_unit_access: bool) -> Cdb {
    let mut cdb = sixteen(0x8a, logical_block_address, blocks);
    cdb[1] = if force_unit_access { 0x08 } else { 0 };
    cdb
}

/// SYNCHRONIZE CACHE(10); zero blocks mean all from the address on (SBC-3 §5.23).
#[must_use]
pub fn synchronize_cache_10(logical_block_address: u32, blocks: u16) -> Cdb {
    ten(0x35, logical_block_address, blocks)
}

/// SYNCHRONIZE CACHE(16); zero blocks mean all from the address on (SBC-3 §5.24).
#[must_use]
pub fn synchronize_cache_16(logical_block_address: u64, blocks: u32) -> Cdb {
    sixteen(0x91, logical_block_address, blocks)
}

/// Old targets know only the 10-byte forms, so these are preferred.
fn transfer(code_10: u8, code_16: u8, logical_block_address: u64, blocks: u32) -> Cdb {
    match (u32::try_from(logical_block_address), u16::try_from(blocks)) {
        (Ok(short_address), Ok(short_blocks)) => ten(code_10, short_address, short_blocks),
        _ => sixteen(code_16, logical_block_address, blocks),
    }
}

fn ten(code: u8, logical_block_address: u32, blocks: u16) -> Cdb {
    let [a0, a1, a2, a3] = logical_block_address.to_be_bytes();
    let [b0, b1] = blocks.to_be_bytes();
    [code, 0, a0, a1, a2, a3, 0, b0, b1, 0, 0, 0, 0, 0, 0, 0]
}

fn sixteen(code: u8, logical_block_address: u64, blocks: u32) -> Cdb {
    let [a0, a1, a2, a3, a4, a5, a6, a7] = logical_block_address.to_be_bytes();
    let [b0, b1, b2, b3] = blocks.to_be_bytes();
    [code, 0, a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_is_short_while_it_fits() {
        assert_eq!(read(0x0102_0304, 0x0506), [0x28, 0, 1, 2, 3, 4, 0, 5, 6, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(read(0xffff_ffff, 0xffff)[0], 0x28);
        assert_eq!(
            read(0x1_0000_0000, 1),
            [0x88, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0],
            "the address needs 33 bits"
        );
        assert_eq!(
            write(0, 0x1_0000),
            [0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0],
            "the length needs 17 bits"
        );
        assert_eq!(write(7, 1)[0], 0x2a);
    }

    #[test]
    fn the_long_forms_can_be_asked_for() {
        assert_eq!(read_16(7, 1), [0x88, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0]);
        assert_eq!(write_16(7, 1, true)[..2], [0x8a, 0x08]);
        assert_eq!(write_16(7, 1, false)[..2], [0x8a, 0]);
        assert_eq!(start_unit()[..6], [0x1b, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn force_unit_access_is_a_bit_of_both_forms() {
        assert_eq!(
            write_force_unit_access(7, 1),
            [0x2a, 0x08, 0, 0, 0, 7, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
        );
        assert_eq!(write_force_unit_access(1 << 32, 1)[..2], [0x8a, 0x08]);
    }

    #[test]
    fn synchronize_cache_names_a_range() {
        assert_eq!(synchronize_cache_10(0, 0), [0x35, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(
            synchronize_cache_16(0x0102, 3),
            [0x91, 0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 3, 0, 0]
        );
    }

    #[test]
    fn allocation_lengths_stand_where_the_standards_say() {
        assert_eq!(inquiry(0x0124)[..6], [0x12, 0, 0, 0x01, 0x24, 0]);
        assert_eq!(inquiry_vital_product_data(0xb0, 64)[..6], [0x12, 1, 0xb0, 0, 64, 0]);
        assert_eq!(report_luns(0x1000)[..12], [0xa0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0]);
        assert_eq!(read_capacity_16(32)[10..14], [0, 0, 0, 32]);
        assert_eq!(mode_sense_6(0x3f, 252)[..6], [0x1a, 0x08, 0x3f, 0, 252, 0]);
        assert_eq!(mode_sense_10(0x3f, 0x1fc)[..10], [0x5a, 8, 0x3f, 0, 0, 0, 0, 1, 0xfc, 0]);
        assert_eq!(request_sense(252)[..6], [0x03, 0, 0, 0, 252, 0]);
    }
}
