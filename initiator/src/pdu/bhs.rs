//! The Basic Header Segment: 48 bytes, big-endian (RFC 7143 §11.2.1).

/// Length of a Basic Header Segment in bytes.
pub const BASIC_HEADER_SEGMENT_LENGTH: usize = 48;

/// The tag that names no task (RFC 7143 §11.2.1.8).
pub const RESERVED_TAG: u32 = 0xffff_ffff;
