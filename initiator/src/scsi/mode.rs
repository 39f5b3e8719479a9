//! Mode parameters, as far as disks need them (SPC-4 §7.5, SBC-3 §6.4).

/// The WP bit in the mode parameter header of MODE SENSE(6), `None` when too little came.
#[must_use]
pub fn write_protected(parameter_data: &[u8]) -> Option<bool> {
    parameter_data.first_chunk().map(|&[_, _, device_specific]| device_specific & 0x80 != 0)
}

/// The WP bit in the mode parameter header of MODE SENSE(10), `None` when too little came.
#[must_use]
pub fn write_protected_10(parameter_data: &[u8]) -> Option<bool> {
    parameter_data.first_chunk().map(|&[_, _, _, device_specific]| device_specific & 0x80 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_write_protect_bit_is_read() {
        assert_eq!(write_protected(&[3, 0, 0x80, 0]), Some(true));
        assert_eq!(write_protected(&[3, 0, 0x10, 0]), Some(false));
        assert_eq!(write_protected(&[3, 0]), None);
        assert_eq!(write_protected_10(&[0, 6, 0, 0x80, 0, 0, 0, 0]), Some(true));
        assert_eq!(write_protected_10(&[0, 6, 0x80, 0x10, 0, 0, 0, 0]), Some(false));
        assert_eq!(write_protected_10(&[0, 6, 0]), None);
    }
}
