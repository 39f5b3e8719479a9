//! What makes a header unacceptable, and the small fields that several PDUs share.

use super::bhs::BasicHeaderSegment;
use core::fmt;

/// A header that breaks RFC 7143: a reserved code in a defined field, or fields that contradict
/// each other (§7.7 calls either a format error).
///
/// Reserved bits are no reason: they are ignored on receipt (§11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Opcode of the header.
    pub opcode: u8,
    /// The field in the RFC's words.
    pub field: &'static str,
    /// What the field held.
    pub value: u32,
}

impl ParseError {
    pub(super) fn new(header: &BasicHeaderSegment, field: &'static str, value: u8) -> Self {
        Self { opcode: header.opcode(), field, value: value.into() }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { opcode, field, value } = self;
        write!(f, "PDU with opcode {opcode:#04x}: {field} is {value:#x}, which RFC 7143 forbids")
    }
}

impl core::error::Error for ParseError {}

/// `bit` when `set`, else nothing: flags are added up with it.
pub(super) const fn flag(bit: u8, set: bool) -> u8 {
    if set { bit } else { 0 }
}
