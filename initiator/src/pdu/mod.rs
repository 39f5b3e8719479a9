//! iSCSI protocol data units (RFC 7143 §11): their bytes, their framing, their digests.
//!
//! Used by both ends: the initiator emits requests and parses responses, the targets in tests
//! do the opposite. Nothing in here knows a session.

pub mod bhs;
pub mod request;
pub mod response;
