//! READ CAPACITY parameter data (SBC-3 §5.16, §5.17).

use core::fmt;

/// How large a logical unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Number of logical blocks.
    pub blocks: u64,
    /// Bytes in a logical block: a power of two from 512 to 65536.
    pub block_size: u32,
    /// Logical blocks in a physical one, as a power of two.
    pub physical_block_exponent: u8,
    /// First logical block that starts a physical one.
    pub lowest_aligned_block: u16,
    /// Whether the unit is thinly provisioned (LBPME).
    pub thin: bool,
    /// Whether blocks that were released read as zeros (LBPRZ).
    pub reads_zeros: bool,
    /// Type of protection information that the unit keeps with each block: 1 to 3, 0 for none.
    /// It stays between unit and medium unless a command asks for it.
    pub protection_type: u8,
}

/// Why parameter data is no capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CapacityError {
    /// Fewer bytes came than the command defines.
    Truncated,
    /// The block size is no power of two from 512 to 65536.
    BlockSize(u32),
    /// More blocks than can be counted.
    TooManyBlocks,
}

impl fmt::Display for CapacityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Truncated => f.write_str("the capacity came incomplete"),
            Self::BlockSize(size) => write!(f, "blocks of {size} bytes are not supported"),
            Self::TooManyBlocks => f.write_str("it claims 2^64 blocks"),
        }
    }
}

impl core::error::Error for CapacityError {}

/// What READ CAPACITY(10) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadCapacity10 {
    /// This large.
    Capacity(Capacity),
    /// 2^32 blocks or more: READ CAPACITY(16) knows.
    TooLarge,
}

impl ReadCapacity10 {
    /// Reads the eight bytes of parameter data (SBC-3 §5.16.2).
    ///
    /// # Errors
    /// [`CapacityError`] when they are no capacity.
    pub fn parse(parameter_data: &[u8]) -> Result<Self, CapacityError> {
        let &[a0, a1, a2, a3, s0, s1, s2, s3] =
            parameter_data.first_chunk().ok_or(CapacityError::Truncated)?;
        let last = u32::from_be_bytes([a0, a1, a2, a3]);
        if last == u32::MAX {
            return Ok(Self::TooLarge);
        }
        Ok(Self::Capacity(Capacity {
            blocks: u64::from(last).saturating_add(1),
            block_size: block_size([s0, s1, s2, s3])?,
            physical_block_exponent: 0,
            lowest_aligned_block: 0,
            thin: false,
            reads_zeros: false,
            protection_type: 0,
        }))
    }
}

/// What READ CAPACITY(16) says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadCapacity16;

impl ReadCapacity16 {
    /// Reads the parameter data (SBC-3 §5.17.2); old targets send only its first 12 bytes.
    ///
    /// # Errors
    /// [`CapacityError`] when they are no capacity.
    pub fn parse(parameter_data: &[u8]) -> Result<Capacity, CapacityError> {
        let (&last, rest) = parameter_data.split_first_chunk().ok_or(CapacityError::Truncated)?;
        let (&size, rest) = rest.split_first_chunk().ok_or(CapacityError::Truncated)?;
        let [protection, exponent, aligned_high, aligned_low] =
            *rest.first_chunk().unwrap_or(&[0; 4]);
        Ok(Capacity {
            blocks: u64::from_be_bytes(last).checked_add(1).ok_or(CapacityError::TooManyBlocks)?,
            block_size: block_size(size)?,
            physical_block_exponent: exponent & 0x0f,
            lowest_aligned_block: u16::from_be_bytes([aligned_high & 0x3f, aligned_low]),
            thin: aligned_high & 0x80 != 0,
            reads_zeros: aligned_high & 0x40 != 0,
            // PROT_EN, and P_TYPE, which counts from type 1.
            protection_type: match protection & 0x0f {
                enabled if enabled & 0x01 != 0 => (enabled >> 1).saturating_add(1),
                _ => 0,
            },
        })
    }
}

fn block_size(bytes: [u8; 4]) -> Result<u32, CapacityError> {
    let size = u32::from_be_bytes(bytes);
    if size.is_power_of_two() && (512..=65536).contains(&size) {
        Ok(size)
    } else {
        Err(CapacityError::BlockSize(size))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_reads_and_points_to_sixteen() {
        let ReadCapacity10::Capacity(capacity) =
            ReadCapacity10::parse(&[0, 1, 0xff, 0xff, 0, 0, 2, 0]).unwrap()
        else {
            panic!("fits")
        };
        assert_eq!((capacity.blocks, capacity.block_size), (0x20000, 512));
        assert_eq!(
            ReadCapacity10::parse(&[0xff, 0xff, 0xff, 0xff, 0, 0, 2, 0]),
            Ok(ReadCapacity10::TooLarge)
        );
        assert_eq!(ReadCapacity10::parse(&[0; 7]), Err(CapacityError::Truncated));
    }

    #[test]
    fn sixteen_reads_geometry_and_provisioning() {
        let mut data = [0; 32];
        data[..8].copy_from_slice(&0x1_ffff_ffffu64.to_be_bytes());
        data[8..12].copy_from_slice(&512u32.to_be_bytes());
        data[12] = 0x03; // PROT_EN, type 2
        data[13] = 0xf3; // P_I_EXPONENT is not ours to count
        data[14..16].copy_from_slice(&[0xc0, 7]);
        assert_eq!(
            ReadCapacity16::parse(&data),
            Ok(Capacity {
                blocks: 0x2_0000_0000,
                block_size: 512,
                physical_block_exponent: 3,
                lowest_aligned_block: 7,
                thin: true,
                reads_zeros: true,
                protection_type: 2,
            })
        );
        assert_eq!(ReadCapacity16::parse(&data[..12]).unwrap().physical_block_exponent, 0);
        assert_eq!(ReadCapacity16::parse(&data[..11]), Err(CapacityError::Truncated));
    }

    #[test]
    fn impossible_sizes_are_refused() {
        for size in [0u32, 1, 256, 520, 4095, 131_072, u32::MAX] {
            let mut data = [0; 32];
            data[8..12].copy_from_slice(&size.to_be_bytes());
            assert_eq!(ReadCapacity16::parse(&data), Err(CapacityError::BlockSize(size)));
        }
        let mut data = [0xff; 32];
        data[8..12].copy_from_slice(&512u32.to_be_bytes());
        assert_eq!(ReadCapacity16::parse(&data), Err(CapacityError::TooManyBlocks));
    }
}
