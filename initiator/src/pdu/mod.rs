//! iSCSI protocol data units (RFC 7143 §11): their bytes, their framing, their digests.
//!
//! Used by both ends: the initiator emits requests and parses responses, a target does the
//! opposite. Nothing in here knows a session.
//!
//! On the way in, [`framer::Framer`] cuts a byte stream into headers and pieces of data, and
//! [`response::Response::parse`] decodes a header. On the way out, [`request::Request::emit`]
//! makes a header, and [`serializer::Serializer`] writes it with its data into whatever room
//! the transport has. Neither ever holds a whole PDU.

pub mod bhs;
pub mod digest;
pub mod framer;
mod parse;
pub mod request;
pub mod response;
pub mod serial;
pub mod serializer;

pub use parse::ParseError;

#[cfg(test)]
mod tests;
