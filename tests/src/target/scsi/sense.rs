//! Sense data (SPC-4 §4.5).

use crate::target::policy::SenseFormat;

/// Why a command did not end well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sense {
    key: u8,
    code: u8,
    qualifier: u8,
    /// The block that could not be moved.
    information: Option<u64>,
}

impl Sense {
    pub(super) const NONE: Self = Self::new(0x00, 0x00, 0x00);
    pub(super) const BECOMING_READY: Self = Self::new(0x02, 0x04, 0x01);
    pub(super) const HARDWARE: Self = Self::new(0x04, 0x44, 0x00);
    pub(super) const INVALID_OPERATION: Self = Self::new(0x05, 0x20, 0x00);
    pub(super) const OUT_OF_RANGE: Self = Self::new(0x05, 0x21, 0x00);
    pub(super) const INVALID_FIELD: Self = Self::new(0x05, 0x24, 0x00);
    pub(super) const PARAMETER_LIST_LENGTH: Self = Self::new(0x05, 0x1a, 0x00);
    pub(super) const INVALID_RELEASE: Self = Self::new(0x05, 0x26, 0x04);
    pub(super) const INVALID_PARAMETER: Self = Self::new(0x05, 0x26, 0x00);
    pub(super) const SPACE_ALLOCATION_FAILED: Self = Self::new(0x07, 0x27, 0x07);
    pub(super) const LUN_NOT_SUPPORTED: Self = Self::new(0x05, 0x25, 0x00);
    pub(super) const WRITE_PROTECTED: Self = Self::new(0x07, 0x27, 0x00);
    pub(super) const ABORTED: Self = Self::new(0x0b, 0x00, 0x00);

    const fn new(key: u8, code: u8, qualifier: u8) -> Self {
        Self { key, code, qualifier, information: None }
    }

    pub(super) const fn unit_attention(code: u8, qualifier: u8) -> Self {
        Self::new(0x06, code, qualifier)
    }

    /// UNRECOVERED READ ERROR at a block.
    pub(super) const fn unreadable(block: u64) -> Self {
        Self { information: Some(block), ..Self::new(0x03, 0x11, 0x00) }
    }

    /// WRITE ERROR at a block.
    pub(super) const fn unwritable(block: u64) -> Self {
        Self { information: Some(block), ..Self::new(0x03, 0x0c, 0x00) }
    }

    pub(super) fn encode(self, format: SenseFormat) -> Vec<u8> {
        match format {
            SenseFormat::Fixed => {
                let mut sense = vec![0; 18];
                // Fixed format holds four bytes; a block beyond them goes without (§4.5.3).
                if let Some(block) = self.information.and_then(|block| u32::try_from(block).ok()) {
                    sense[0] = 0x80;
                    sense[3..7].copy_from_slice(&block.to_be_bytes());
                }
                sense[0] |= 0x70;
                sense[2] = self.key;
                sense[7] = 10;
                sense[12] = self.code;
                sense[13] = self.qualifier;
                sense
            }
            SenseFormat::Descriptor => {
                let mut sense = vec![0x72, self.key, self.code, self.qualifier, 0, 0, 0, 0];
                if let Some(block) = self.information {
                    sense[7] = 12;
                    sense.extend_from_slice(&[0x00, 0x0a, 0x80, 0x00]);
                    sense.extend_from_slice(&block.to_be_bytes());
                }
                sense
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats() {
        let fixed = Sense::unreadable(0x1234).encode(SenseFormat::Fixed);
        assert_eq!(fixed, [0xf0, 0, 3, 0, 0, 0x12, 0x34, 10, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0]);
        let far = Sense::unreadable(1 << 32).encode(SenseFormat::Fixed);
        assert_eq!(far[0], 0x70);
        let descriptor = Sense::unwritable(1 << 32).encode(SenseFormat::Descriptor);
        assert_eq!(
            descriptor,
            [0x72, 3, 0x0c, 0, 0, 0, 0, 12, 0, 0x0a, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 0]
        );
        let attention = Sense::unit_attention(0x29, 0x01).encode(SenseFormat::Descriptor);
        assert_eq!(attention, [0x72, 6, 0x29, 1, 0, 0, 0, 0]);
    }
}
