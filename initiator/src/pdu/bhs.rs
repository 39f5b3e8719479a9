//! The Basic Header Segment: 48 bytes, big-endian (RFC 7143 §11.2.1).

use byteorder::{BigEndian, ByteOrder};
use core::fmt;

/// Length of a Basic Header Segment in bytes.
pub const BASIC_HEADER_SEGMENT_LENGTH: usize = 48;

/// The tag that names no task (RFC 7143 §11.2.1.8).
pub const RESERVED_TAG: u32 = 0xffff_ffff;

/// The longest data segment that the 24-bit field can name (RFC 7143 §11.2.1.6).
pub const MAX_DATA_SEGMENT_LENGTH: u32 = 0x00ff_ffff;

/// Operation codes (RFC 7143 §11.2.1.2).
#[expect(missing_docs, reason = "the names are the RFC's own")]
pub mod opcode {
    pub const NOP_OUT: u8 = 0x00;
    pub const SCSI_COMMAND: u8 = 0x01;
    pub const TASK_MANAGEMENT_REQUEST: u8 = 0x02;
    pub const LOGIN_REQUEST: u8 = 0x03;
    pub const TEXT_REQUEST: u8 = 0x04;
    pub const DATA_OUT: u8 = 0x05;
    pub const LOGOUT_REQUEST: u8 = 0x06;
    pub const SNACK_REQUEST: u8 = 0x10;
    pub const NOP_IN: u8 = 0x20;
    pub const SCSI_RESPONSE: u8 = 0x21;
    pub const TASK_MANAGEMENT_RESPONSE: u8 = 0x22;
    pub const LOGIN_RESPONSE: u8 = 0x23;
    pub const TEXT_RESPONSE: u8 = 0x24;
    pub const DATA_IN: u8 = 0x25;
    pub const LOGOUT_RESPONSE: u8 = 0x26;
    pub const READY_TO_TRANSFER: u8 = 0x31;
    pub const ASYNC_MESSAGE: u8 = 0x32;
    pub const REJECT: u8 = 0x3f;
}

/// Set in byte 0 of a request for immediate delivery (RFC 7143 §11.2.1.1).
const IMMEDIATE: u8 = 0x40;
/// The opcode's share of byte 0.
const OPCODE: u8 = 0x3f;

/// A Basic Header Segment as it is on the wire.
///
/// Accessors read and write fields in place; all of them are total, whatever the bytes are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct BasicHeaderSegment([u8; BASIC_HEADER_SEGMENT_LENGTH]);

impl BasicHeaderSegment {
    /// A header of zeros with this opcode, for delivery in order.
    #[must_use]
    pub fn new(opcode: u8) -> Self {
        let mut header = Self([0; BASIC_HEADER_SEGMENT_LENGTH]);
        header.set_u8::<0>(opcode & OPCODE);
        header
    }

    /// A header made of received bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; BASIC_HEADER_SEGMENT_LENGTH]) -> Self {
        Self(bytes)
    }

    /// The bytes in wire order.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; BASIC_HEADER_SEGMENT_LENGTH] {
        &self.0
    }

    /// Opcode (§11.2.1.2), without the immediate bit.
    #[must_use]
    pub fn opcode(&self) -> u8 {
        self.u8::<0>() & OPCODE
    }

    /// I: immediate delivery (§11.2.1.1); reserved in responses.
    #[must_use]
    pub fn immediate(&self) -> bool {
        self.u8::<0>() & IMMEDIATE != 0
    }

    /// Sets or clears I.
    pub fn set_immediate(&mut self, immediate: bool) {
        let opcode = self.opcode();
        self.set_u8::<0>(if immediate { opcode | IMMEDIATE } else { opcode });
    }

    /// TotalAHSLength (§11.2.1.5), in four-byte words: additional header segments between this
    /// header and its digest.
    #[must_use]
    pub fn total_ahs_length(&self) -> u8 {
        self.u8::<4>()
    }

    /// Sets TotalAHSLength, in four-byte words.
    pub fn set_total_ahs_length(&mut self, words: u8) {
        self.set_u8::<4>(words);
    }

    /// DataSegmentLength (§11.2.1.6), in bytes, without padding.
    #[must_use]
    pub fn data_segment_length(&self) -> u32 {
        BigEndian::read_u24(&self.bytes::<5, 3>())
    }

    /// Sets DataSegmentLength; more than [`MAX_DATA_SEGMENT_LENGTH`] becomes that.
    pub fn set_data_segment_length(&mut self, bytes: u32) {
        let mut field = [0; 3];
        BigEndian::write_u24(&mut field, bytes.min(MAX_DATA_SEGMENT_LENGTH));
        self.set_bytes::<5, 3>(field);
    }

    /// LUN in its eight-byte form (§11.2.1.7); other PDUs use these bytes otherwise.
    #[must_use]
    pub fn lun(&self) -> [u8; 8] {
        self.bytes::<8, 8>()
    }

    /// Sets the LUN.
    pub fn set_lun(&mut self, lun: [u8; 8]) {
        self.set_bytes::<8, 8>(lun);
    }

    /// Initiator Task Tag (§11.2.1.8).
    #[must_use]
    pub fn initiator_task_tag(&self) -> u32 {
        self.u32::<16>()
    }

    /// Sets the Initiator Task Tag.
    pub fn set_initiator_task_tag(&mut self, tag: u32) {
        self.set_u32::<16>(tag);
    }

    /// The byte at `AT`.
    pub(super) fn u8<const AT: usize>(&self) -> u8 {
        let [byte] = self.bytes::<AT, 1>();
        byte
    }

    /// The big-endian 16-bit field at `AT`.
    pub(super) fn u16<const AT: usize>(&self) -> u16 {
        BigEndian::read_u16(&self.bytes::<AT, 2>())
    }

    /// The big-endian 32-bit field at `AT`.
    pub(super) fn u32<const AT: usize>(&self) -> u32 {
        BigEndian::read_u32(&self.bytes::<AT, 4>())
    }

    /// The `N` bytes at `AT`. A field outside the header does not compile.
    pub(super) fn bytes<const AT: usize, const N: usize>(&self) -> [u8; N] {
        const { assert!(AT + N <= BASIC_HEADER_SEGMENT_LENGTH) };
        self.0.get(AT..).and_then(|tail| tail.first_chunk()).copied().unwrap_or([0; N])
    }

    /// Sets the byte at `AT`.
    pub(super) fn set_u8<const AT: usize>(&mut self, value: u8) {
        self.set_bytes::<AT, 1>([value]);
    }

    /// Sets the big-endian 16-bit field at `AT`.
    pub(super) fn set_u16<const AT: usize>(&mut self, value: u16) {
        let mut field = [0; 2];
        BigEndian::write_u16(&mut field, value);
        self.set_bytes::<AT, 2>(field);
    }

    /// Sets the big-endian 32-bit field at `AT`.
    pub(super) fn set_u32<const AT: usize>(&mut self, value: u32) {
        let mut field = [0; 4];
        BigEndian::write_u32(&mut field, value);
        self.set_bytes::<AT, 4>(field);
    }

    /// Sets the `N` bytes at `AT`.
    pub(super) fn set_bytes<const AT: usize, const N: usize>(&mut self, value: [u8; N]) {
        const { assert!(AT + N <= BASIC_HEADER_SEGMENT_LENGTH) };
        if let Some(field) = self.0.get_mut(AT..).and_then(|tail| tail.first_chunk_mut()) {
            *field = value;
        }
    }
}

/// Hexadecimal in groups of four bytes, as the RFC draws headers.
impl fmt::Debug for BasicHeaderSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BasicHeaderSegment(")?;
        let (words, _) = self.0.as_chunks::<4>();
        for (index, word) in words.iter().enumerate() {
            if index != 0 {
                f.write_str(" ")?;
            }
            write!(f, "{:08x}", BigEndian::read_u32(word))?;
        }
        f.write_str(")")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    #[test]
    fn fields_are_where_the_rfc_draws_them() {
        let mut bytes = [0; 48];
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = index as u8;
        }
        bytes[0] = 0x41;
        let header = BasicHeaderSegment::from_bytes(bytes);
        assert_eq!(header.opcode(), opcode::SCSI_COMMAND);
        assert!(header.immediate());
        assert_eq!(header.total_ahs_length(), 4);
        assert_eq!(header.data_segment_length(), 0x05_06_07);
        assert_eq!(header.lun(), [8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(header.initiator_task_tag(), 0x10_11_12_13);
    }

    #[test]
    fn setters_touch_their_field_alone() {
        let mut header = BasicHeaderSegment::new(0x3f);
        header.set_immediate(true);
        header.set_total_ahs_length(0xa4);
        header.set_data_segment_length(0x0005_0607);
        header.set_lun([8; 8]);
        header.set_initiator_task_tag(0x1011_1213);
        let mut expected = [0; 48];
        expected[..8].copy_from_slice(&[0x7f, 0, 0, 0, 0xa4, 5, 6, 7]);
        expected[8..16].copy_from_slice(&[8; 8]);
        expected[16..20].copy_from_slice(&[0x10, 0x11, 0x12, 0x13]);
        assert_eq!(header.as_bytes(), &expected);
        header.set_immediate(false);
        assert_eq!(header.as_bytes()[0], 0x3f);
    }

    #[test]
    fn data_segment_length_saturates() {
        let mut header = BasicHeaderSegment::new(0);
        header.set_data_segment_length(0x0100_0000);
        assert_eq!(header.data_segment_length(), MAX_DATA_SEGMENT_LENGTH);
        assert_eq!(header.total_ahs_length(), 0);
    }

    #[test]
    fn debug_shows_words() {
        let text = format!("{:?}", BasicHeaderSegment::new(0x21));
        assert!(text.starts_with("BasicHeaderSegment(21000000 00000000 "), "{text}");
    }
}
