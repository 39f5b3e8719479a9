//! INQUIRY data: the standard page and vital product data (SPC-4 §6.6, §7.8; SBC-3 §6.6).

/// Vital product data page codes.
pub mod page {
    /// Supported VPD Pages (SPC-4 §7.8.14).
    pub const SUPPORTED_PAGES: u8 = 0x00;
    /// Unit Serial Number (SPC-4 §7.8.15).
    pub const UNIT_SERIAL_NUMBER: u8 = 0x80;
    /// Device Identification (SPC-4 §7.8.6).
    pub const DEVICE_IDENTIFICATION: u8 = 0x83;
    /// Block Limits (SBC-3 §6.6.4).
    pub const BLOCK_LIMITS: u8 = 0xb0;
    /// Logical Block Provisioning (SBC-3 §6.6).
    pub const LOGICAL_BLOCK_PROVISIONING: u8 = 0xb2;
}

/// Standard INQUIRY data (SPC-4 §6.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandardInquiry<'a>(&'a [u8]);

impl<'a> StandardInquiry<'a> {
    /// Takes the bytes that came, as far as ADDITIONAL LENGTH says. The first five must be there;
    /// fields beyond what came are empty.
    #[must_use]
    pub fn parse(parameter_data: &'a [u8]) -> Option<Self> {
        let &[_, _, _, _, additional] = parameter_data.first_chunk()?;
        let length = usize::from(additional).saturating_add(5).min(parameter_data.len());
        parameter_data.get(..length).map(Self)
    }

    /// Peripheral qualifier: 000b means that a device is there.
    #[must_use]
    pub fn peripheral_qualifier(&self) -> u8 {
        self.byte(0) >> 5
    }

    /// Peripheral device type: 00h for direct access block devices.
    #[must_use]
    pub fn peripheral_device_type(&self) -> u8 {
        self.byte(0) & 0x1f
    }

    /// Whether a disk answers at this LUN.
    #[must_use]
    pub fn is_direct_access(&self) -> bool {
        self.byte(0) == 0
    }

    /// TPGS: whether the unit has target port groups to report (SPC-4 §5.11).
    #[must_use]
    pub fn has_target_port_groups(&self) -> bool {
        self.byte(5) & 0x30 != 0
    }

    /// T10 vendor identification without the blanks around it.
    #[must_use]
    pub fn vendor(&self) -> &'a [u8] {
        self.text(8, 16)
    }

    /// Product identification without the blanks around it.
    #[must_use]
    pub fn product(&self) -> &'a [u8] {
        self.text(16, 32)
    }

    /// Product revision level without the blanks around it.
    #[must_use]
    pub fn revision(&self) -> &'a [u8] {
        self.text(32, 36)
    }

    fn byte(&self, at: usize) -> u8 {
        self.0.get(at).copied().unwrap_or(0)
    }

    fn text(&self, from: usize, to: usize) -> &'a [u8] {
        trim(self.0.get(from..to.min(self.0.len())).unwrap_or_default())
    }
}

/// The Supported VPD Pages page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SupportedPages<'a>(&'a [u8]);

impl<'a> SupportedPages<'a> {
    /// Takes the bytes that came.
    #[must_use]
    pub fn parse(parameter_data: &'a [u8]) -> Option<Self> {
        page_content(parameter_data, page::SUPPORTED_PAGES).map(Self)
    }

    /// Whether the unit has this page.
    #[must_use]
    pub fn contains(&self, page: u8) -> bool {
        self.0.contains(&page)
    }
}

/// The Unit Serial Number page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitSerialNumber<'a>(&'a [u8]);

impl<'a> UnitSerialNumber<'a> {
    /// Takes the bytes that came.
    #[must_use]
    pub fn parse(parameter_data: &'a [u8]) -> Option<Self> {
        page_content(parameter_data, page::UNIT_SERIAL_NUMBER).map(Self)
    }

    /// The serial number without the blanks around it.
    #[must_use]
    pub fn text(&self) -> &'a [u8] {
        trim(self.0)
    }
}

/// The Device Identification page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceIdentification<'a>(&'a [u8]);

/// One name of a device or port (SPC-4 §7.8.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Designator<'a> {
    /// CODE SET: 1 binary, 2 ASCII, 3 UTF-8.
    pub code_set: u8,
    /// ASSOCIATION: 0 logical unit, 1 target port, 2 target device.
    pub association: u8,
    /// DESIGNATOR TYPE: 1 T10 vendor, 2 EUI-64, 3 NAA, 4 relative target port, 5 target port
    /// group, 8 SCSI name string.
    pub kind: u8,
    /// The name itself.
    pub bytes: &'a [u8],
}

impl<'a> DeviceIdentification<'a> {
    /// Takes the bytes that came.
    #[must_use]
    pub fn parse(parameter_data: &'a [u8]) -> Option<Self> {
        page_content(parameter_data, page::DEVICE_IDENTIFICATION).map(Self)
    }

    /// The designators that came whole, in the target's order.
    pub fn designators(&self) -> impl Iterator<Item = Designator<'a>> + use<'a> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (&[code_set, kind, _, length], tail) = rest.split_first_chunk()?;
            let (bytes, tail) = tail.split_at_checked(usize::from(length))?;
            rest = tail;
            Some(Designator {
                code_set: code_set & 0x0f,
                association: (kind >> 4) & 0x03,
                kind: kind & 0x0f,
                bytes,
            })
        })
    }
}

/// What follows the four header bytes of a VPD page: as long as PAGE LENGTH says and as came.
pub(super) fn page_content(parameter_data: &[u8], expected: u8) -> Option<&[u8]> {
    let (&[_, code, l0, l1], content) = parameter_data.split_first_chunk()?;
    if code != expected {
        return None;
    }
    let length = usize::from(u16::from_be_bytes([l0, l1])).min(content.len());
    content.get(..length)
}

/// Cuts blanks and NULs, with which targets fill their text fields, from both ends.
fn trim(text: &[u8]) -> &[u8] {
    let is_filler = |byte: &u8| matches!(byte, b' ' | 0);
    let Some(first) = text.iter().position(|byte| !is_filler(byte)) else { return &[] };
    let end =
        text.iter().rposition(|byte| !is_filler(byte)).map_or(first, |last| last.saturating_add(1));
    text.get(first..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_data_is_read_and_trimmed() {
        let mut data = [b' '; 36];
        (data[0], data[4], data[5]) = (0, 31, 0);
        data[8..14].copy_from_slice(b"FreeBS");
        data[16..26].copy_from_slice(b"iSCSI DISK");
        data[32..36].copy_from_slice(b"\x0001\x00");
        let inquiry = StandardInquiry::parse(&data).unwrap();
        assert!(inquiry.is_direct_access());
        assert_eq!(inquiry.vendor(), b"FreeBS");
        assert_eq!(inquiry.product(), b"iSCSI DISK");
        assert_eq!(inquiry.revision(), b"01");
        assert!(!inquiry.has_target_port_groups());
        data[5] = 0x10;
        assert!(StandardInquiry::parse(&data).unwrap().has_target_port_groups());
    }

    #[test]
    fn fields_that_did_not_come_are_empty() {
        let mut data = [b'x'; 36];
        (data[0], data[4]) = (0, 0xff);
        assert_eq!(StandardInquiry::parse(&data[..4]), None);
        for (length, vendor, product, revision) in
            [(5, 0, 0, 0), (10, 2, 0, 0), (16, 8, 0, 0), (31, 8, 15, 0), (35, 8, 16, 3)]
        {
            let inquiry = StandardInquiry::parse(&data[..length]).unwrap();
            let came = (inquiry.vendor().len(), inquiry.product().len(), inquiry.revision().len());
            assert_eq!(came, (vendor, product, revision), "{length} bytes");
            assert!(inquiry.is_direct_access());
        }
        data[4] = 11; // 16 bytes, whatever follows
        assert_eq!(StandardInquiry::parse(&data).unwrap().product(), b"");
        assert_eq!(StandardInquiry::parse(&data).unwrap().vendor(), b"xxxxxxxx");
    }

    #[test]
    fn no_device_or_another_kind_is_no_disk() {
        let mut data = [0; 36];
        for first in [0x20, 0x7f, 0x05, 0x1f] {
            data[0] = first;
            assert!(!StandardInquiry::parse(&data).unwrap().is_direct_access(), "{first:#x}");
        }
    }

    #[test]
    fn page_length_is_bounded_by_what_came_and_bounds_what_counts() {
        let pages = SupportedPages::parse(&[0, 0, 0xff, 0xff, 0x80, 0xb0]).unwrap();
        assert!(pages.contains(0xb0));
        let pages = SupportedPages::parse(&[0, 0, 0, 1, 0x80, 0xb0]).unwrap();
        assert!(pages.contains(0x80) && !pages.contains(0xb0));
        assert_eq!(SupportedPages::parse(&[0, 0x83, 0, 1, 0x80]), None, "another page");
        assert_eq!(SupportedPages::parse(&[0, 0, 0]), None);
    }

    #[test]
    fn serial_numbers_are_trimmed() {
        let serial = UnitSerialNumber::parse(b"\x00\x80\x00\x08  ab c\x00 ").unwrap();
        assert_eq!(serial.text(), b"ab c");
        assert_eq!(UnitSerialNumber::parse(b"\x00\x80\x00\x02  ").unwrap().text(), b"");
    }

    #[test]
    fn designators_are_listed_while_they_came_whole() {
        let data =
            b"\x00\x83\x00\x13\x01\x03\x00\x08\x60\x01\x02\x03\x04\x05\x06\x07\x53\x98\x00\x03iqn";
        let collect = |data| {
            DeviceIdentification::parse(data).unwrap().designators().collect::<std::vec::Vec<_>>()
        };
        let naa = Designator {
            code_set: 1,
            association: 0,
            kind: 3,
            bytes: &[0x60, 1, 2, 3, 4, 5, 6, 7],
        };
        let name = Designator { code_set: 3, association: 1, kind: 8, bytes: b"iqn" };
        assert_eq!(collect(data), [naa, name]);
        assert_eq!(collect(&data[..22]), [naa], "the second is cut");
        assert_eq!(collect(&data[..4]), []);
    }
}
