//! Mode parameters, as far as disks need them (SPC-4 §7.5, SBC-3 §6.4).

/// What the mode parameter header says of a direct access block device: its device-specific
/// parameter byte (SBC-3 §6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModeHeader {
    /// WP: the medium cannot be written.
    pub write_protected: bool,
    /// DPOFUA: the unit obeys the FUA bit of a write.
    pub force_unit_access: bool,
}

impl ModeHeader {
    /// Reads what MODE SENSE(6) returned, `None` when too little came.
    #[must_use]
    pub fn parse_6(parameter_data: &[u8]) -> Option<Self> {
        parameter_data.first_chunk().map(|&[_, _, device_specific]| Self::of(device_specific))
    }

    /// Reads what MODE SENSE(10) returned, `None` when too little came.
    #[must_use]
    pub fn parse_10(parameter_data: &[u8]) -> Option<Self> {
        parameter_data.first_chunk().map(|&[_, _, _, device_specific]| Self::of(device_specific))
    }

    const fn of(device_specific: u8) -> Self {
        Self {
            write_protected: device_specific & 0x80 != 0,
            force_unit_access: device_specific & 0x10 != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_device_specific_byte_is_read() {
        let header = |write_protected, force_unit_access| {
            Some(ModeHeader { write_protected, force_unit_access })
        };
        assert_eq!(ModeHeader::parse_6(&[3, 0, 0x80, 0]), header(true, false));
        assert_eq!(ModeHeader::parse_6(&[3, 0, 0x10, 0]), header(false, true));
        assert_eq!(ModeHeader::parse_6(&[3, 0]), None);
        assert_eq!(ModeHeader::parse_10(&[0, 6, 0, 0x80, 0, 0, 0, 0]), header(true, false));
        assert_eq!(ModeHeader::parse_10(&[0, 6, 0x80, 0x10, 0, 0, 0, 0]), header(false, true));
        assert_eq!(ModeHeader::parse_10(&[0, 6, 0]), None);
    }
}
