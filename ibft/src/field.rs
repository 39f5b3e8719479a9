//! The types of the table's fields: addresses, strings, secrets, MAC, PCI address, LUN, origin.

use core::fmt::{self, Write as _};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::Range;

use byteorder::{ByteOrder as _, LittleEndian};

/// A string of the table's heap: the initiator's name, a target's name, a CHAP name, a host name.
///
/// The bytes are what firmware wrote, up to the string's length or the first NUL: usually ASCII,
/// not always. [`Display`](fmt::Display) replaces what is not UTF-8 and control characters by
/// U+FFFD, so that a name can be logged as it stands.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// Wraps bytes, which end at the first NUL.
    pub fn new(bytes: &'a [u8]) -> Self {
        Text(bytes.split(|byte| *byte == 0).next().unwrap_or_default())
    }

    /// The bytes as firmware wrote them.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// The string, when it is UTF-8 throughout.
    pub fn as_str(&self) -> Option<&'a str> {
        core::str::from_utf8(self.0).ok()
    }

    /// Whether there is no string: firmware writes length 0 for a field it does not use.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                let shown =
                    if character.is_control() { char::REPLACEMENT_CHARACTER } else { character };
                f.write_char(shown)?;
            }
            if !chunk.invalid().is_empty() {
                f.write_char(char::REPLACEMENT_CHARACTER)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// A CHAP secret, which `Debug` and `Display` never show.
///
/// Trailing NULs are not part of it; NULs inside are, because a secret may be binary.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Secret<'a>(&'a [u8]);

impl<'a> Secret<'a> {
    /// Wraps the bytes of a secret.
    pub fn new(bytes: &'a [u8]) -> Self {
        let end =
            bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
        Secret(bytes.get(..end).unwrap_or_default())
    }

    /// The secret itself, for computing a CHAP response and for nothing else.
    pub fn expose(&self) -> &'a [u8] {
        self.0
    }

    /// Whether there is no secret.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_empty() { "[none]" } else { "[hidden]" })
    }
}

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A network interface's hardware address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct MacAddress(pub [u8; 6]);

impl MacAddress {
    /// Whether an interface can have this address: it is neither zero nor a group address.
    pub fn is_usable(&self) -> bool {
        let [first, ..] = self.0;
        self.0 != [0; 6] && first & 1 == 0
    }
}

impl fmt::Display for MacAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// The place of a function on the PCI bus. The table has no segment: it is always segment 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PciAddress {
    /// Bus, 0 to 255.
    pub bus: u8,
    /// Device, 0 to 31.
    pub device: u8,
    /// Function, 0 to 7.
    pub function: u8,
}

impl PciAddress {
    /// Splits the table's 16 bits: bus 15:8, device 7:3, function 2:0.
    pub fn from_bits(bits: u16) -> Self {
        let [low, bus] = bits.to_le_bytes();
        PciAddress { bus, device: low >> 3, function: low & 7 }
    }

    /// The 16 bits as they stand in the table.
    pub fn to_bits(self) -> u16 {
        u16::from_le_bytes([(self.device & 0x1f) << 3 | self.function & 7, self.bus])
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}:{:02x}.{:x}", self.bus, self.device, self.function)
    }
}

/// Where an interface's address came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// 0: something else.
    Other,
    /// 1: typed in.
    Manual,
    /// 2: well known.
    WellKnown,
    /// 3: DHCP.
    Dhcp,
    /// 4: IPv6 router advertisement.
    RouterAdvertisement,
    /// 15 or 16: unchanged.
    Unchanged,
    /// A value that nobody defines.
    Unknown(u8),
}

impl Origin {
    /// Reads the table's byte.
    pub fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Origin::Other,
            1 => Origin::Manual,
            2 => Origin::WellKnown,
            3 => Origin::Dhcp,
            4 => Origin::RouterAdvertisement,
            // The specification's text and the systems that read it disagree on the value.
            0x0f | 0x10 => Origin::Unchanged,
            other => Origin::Unknown(other),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Other => f.write_str("other"),
            Origin::Manual => f.write_str("manual"),
            Origin::WellKnown => f.write_str("well known"),
            Origin::Dhcp => f.write_str("DHCP"),
            Origin::RouterAdvertisement => f.write_str("router advertisement"),
            Origin::Unchanged => f.write_str("unchanged"),
            Origin::Unknown(byte) => write!(f, "unknown ({byte})"),
        }
    }
}

/// A logical unit number: eight bytes as SAM-5 §4.7 lays them out, or as firmware believes it does.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Lun([u8; 8]);

/// How the eight bytes of a [`Lun`] are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LunEncoding {
    /// A single-level SAM LUN: peripheral device, flat space or extended flat space addressing.
    Sam(u32),
    /// Not a single-level SAM LUN, but a small number when read as little-endian, which is how some
    /// firmware writes it. Worth a warning.
    LittleEndian(u32),
    /// Neither: a hierarchical LUN, to be passed on as it stands.
    Opaque,
}

impl Lun {
    /// Wraps the eight bytes as they stand in the table.
    pub const fn new(raw: [u8; 8]) -> Self {
        Lun(raw)
    }

    /// Encodes a number as SAM wants it: peripheral device addressing up to 255, flat space up to
    /// 16383, extended flat space up to 2²⁴ − 1; `None` beyond.
    pub fn from_number(number: u32) -> Option<Self> {
        let [high, upper, lower, low] = number.to_be_bytes();
        match number {
            0..=0xff => Some(Lun([0, low, 0, 0, 0, 0, 0, 0])),
            0x100..=0x3fff => Some(Lun([0x40 | lower, low, 0, 0, 0, 0, 0, 0])),
            _ if high == 0 => Some(Lun([0xd2, upper, lower, low, 0, 0, 0, 0])),
            _ => None,
        }
    }

    /// The eight bytes as they stand in the table.
    pub fn raw(&self) -> [u8; 8] {
        self.0
    }

    /// How the bytes are to be read: SAM first, a small little-endian number when that is
    /// impossible.
    pub fn encoding(&self) -> LunEncoding {
        match self.0 {
            [0, number, 0, 0, 0, 0, 0, 0] => LunEncoding::Sam(u32::from(number)),
            [first @ 0x40..=0x7f, second, 0, 0, 0, 0, 0, 0] => {
                LunEncoding::Sam(u32::from_be_bytes([0, 0, first & 0x3f, second]))
            }
            [0xd2, a, b, c, 0, 0, 0, 0] => LunEncoding::Sam(u32::from_be_bytes([0, a, b, c])),
            [number, 0, 0, 0, 0, 0, 0, 0] => LunEncoding::LittleEndian(u32::from(number)),
            _ => LunEncoding::Opaque,
        }
    }

    /// The logical unit's number, when the bytes hold a single one.
    pub fn number(&self) -> Option<u32> {
        match self.encoding() {
            LunEncoding::Sam(number) | LunEncoding::LittleEndian(number) => Some(number),
            LunEncoding::Opaque => None,
        }
    }

    /// The eight bytes to put into a PDU: [`raw`](Self::raw), except that a little-endian number is
    /// encoded as SAM wants it.
    pub fn to_wire(&self) -> [u8; 8] {
        match self.encoding() {
            LunEncoding::LittleEndian(number) => Lun::from_number(number).unwrap_or(*self).0,
            LunEncoding::Sam(_) | LunEncoding::Opaque => self.0,
        }
    }
}

impl fmt::Display for Lun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number() {
            Some(number) => write!(f, "{number}"),
            None => {
                let [a, b, c, d, e, g, h, i] = self.0;
                write!(f, "{a:02x}{b:02x}-{c:02x}{d:02x}-{e:02x}{g:02x}-{h:02x}{i:02x}")
            }
        }
    }
}

impl fmt::Debug for Lun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lun({:02x?}, {:?})", self.0, self.encoding())
    }
}

/// Whether a host on a network can have this address.
///
/// Firmware that knows only IPv4 writes the remains of an IPv6 address (`0.0.32.1`); such, and
/// multicast, broadcast and reserved addresses, are not worth a connection attempt.
pub fn is_host_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, ..] = address.octets();
            first != 0 && first < 224
        }
        // ::/96 holds the unspecified, the loopback and the deprecated IPv4-compatible addresses.
        IpAddr::V6(address) => {
            !address.is_multicast() && !matches!(address.segments(), [0, 0, 0, 0, 0, 0, _, _])
        }
    }
}

/// Where a field stands in its structure, in bytes.
pub(crate) type Field = Range<usize>;

// The lenses check a structure's length once; a field that is absent all the same reads as zero.

pub(crate) fn read_u8(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

pub(crate) fn read_u16(bytes: &[u8], field: Field) -> u16 {
    bytes.get(field).and_then(<[u8]>::first_chunk::<2>).map_or(0, |b| LittleEndian::read_u16(b))
}

pub(crate) fn read_u32(bytes: &[u8], field: Field) -> u32 {
    bytes.get(field).and_then(<[u8]>::first_chunk::<4>).map_or(0, |b| LittleEndian::read_u32(b))
}

pub(crate) fn read_array<const N: usize>(bytes: &[u8], field: Field) -> [u8; N] {
    bytes.get(field).and_then(<[u8]>::first_chunk).copied().unwrap_or([0; N])
}

/// Reads a 16-byte address: all zeros and `::ffff:0.0.0.0` both mean that there is none.
pub(crate) fn read_address(bytes: &[u8], field: Field) -> Option<IpAddr> {
    let address = Ipv6Addr::from(read_array::<16>(bytes, field));
    match address.to_ipv4_mapped() {
        Some(Ipv4Addr::UNSPECIFIED) => None,
        Some(mapped) => Some(IpAddr::V4(mapped)),
        None if address.is_unspecified() => None,
        None => Some(IpAddr::V6(address)),
    }
}

pub(crate) fn write_u8(bytes: &mut [u8], at: usize, value: u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = value;
    }
}

pub(crate) fn write_u16(bytes: &mut [u8], field: Field, value: u16) {
    write_bytes(bytes, field, &value.to_le_bytes());
}

pub(crate) fn write_bytes(bytes: &mut [u8], field: Field, value: &[u8]) {
    if let Some(place) = bytes.get_mut(field)
        && place.len() == value.len()
    {
        place.copy_from_slice(value);
    }
}

pub(crate) fn write_address(bytes: &mut [u8], field: Field, address: Option<IpAddr>) {
    let address = match address {
        None => Ipv6Addr::UNSPECIFIED,
        Some(IpAddr::V4(address)) => address.to_ipv6_mapped(),
        Some(IpAddr::V6(address)) => address,
    };
    write_bytes(bytes, field, &address.octets());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString;

    #[test]
    fn text_ends_at_the_first_nul_and_shows_no_control_characters() {
        assert_eq!(Text::new(b"iqn.x\0rest").as_bytes(), b"iqn.x");
        assert_eq!(Text::new(b"caf\xe9\n\x1b[31m").to_string(), "caf\u{fffd}\u{fffd}\u{fffd}[31m");
        assert_eq!(format!("{:?}", Text::new(b"a\"\xe9")), r#""a\"\xe9""#);
        assert_eq!(Text::new(b"").as_str(), Some(""));
    }

    #[test]
    fn secret_keeps_inner_nuls_and_shows_nothing() {
        let secret = Secret::new(b"a\0b\0\0");
        assert_eq!(secret.expose(), b"a\0b");
        assert_eq!(
            format!("{secret} {secret:?} {:?}", Secret::new(b"\0")),
            "[hidden] [hidden] [none]"
        );
    }

    #[test]
    fn pci_address_splits_and_joins() {
        let address = PciAddress::from_bits(0x02_18 | 1);
        assert_eq!(address, PciAddress { bus: 2, device: 3, function: 1 });
        assert_eq!(address.to_string(), "02:03.1");
        for bits in 0..=u16::MAX {
            assert_eq!(PciAddress::from_bits(bits).to_bits(), bits);
        }
    }

    #[test]
    fn lun_numbers_survive_encoding() {
        for number in [0, 1, 255, 256, 16383, 16384, 0xff_ffff] {
            let lun = Lun::from_number(number).unwrap();
            assert_eq!(lun.encoding(), LunEncoding::Sam(number), "{lun:?}");
            assert_eq!(lun.to_wire(), lun.raw());
        }
        assert_eq!(Lun::from_number(0x100_0000), None);
        assert_eq!(Lun::new([0x40, 1, 0, 2, 0, 0, 0, 0]).to_string(), "4001-0002-0000-0000");
    }

    #[test]
    fn host_addresses() {
        for good in ["10.0.2.2", "192.0.2.1", "127.0.0.1", "2001:db8::1", "fe80::1"] {
            assert!(is_host_address(good.parse().unwrap()), "{good}");
        }
        for bad in ["0.0.32.1", "224.0.0.1", "255.255.255.255", "ff02::1", "::1", "::10.0.2.2"] {
            assert!(!is_host_address(bad.parse().unwrap()), "{bad}");
        }
    }

    #[test]
    fn origins_have_names() {
        assert_eq!(Origin::from_byte(3), Origin::Dhcp);
        assert_eq!(Origin::from_byte(15), Origin::from_byte(16));
        assert_eq!(Origin::from_byte(9).to_string(), "unknown (9)");
    }
}
