//! Why a mode cannot be used, in words that help.

use core::fmt;

use super::PATIENCE;
use crate::pci::MessageError;

/// Why a mode cannot be used.
pub(in crate::intel::nic) enum Unusable {
    /// No part of this kind can.
    NotOffered,
    /// The hosting kernel gave no message.
    NoMessage,
    /// The capability or the message.
    Message(MessageError),
    /// The hosting kernel could not map the MSI-X table.
    Unmapped(u64),
    /// The part did not take its set-up.
    Refused(&'static str),
    /// No interrupt came.
    Silent,
}

impl From<MessageError> for Unusable {
    fn from(error: MessageError) -> Self {
        Self::Message(error)
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOffered => f.write_str("parts of this kind have none"),
            Self::NoMessage => f.write_str("there is no message to send"),
            Self::Message(error) => error.fmt(f),
            Self::Unmapped(bus_address) => {
                write!(f, "the hosting kernel cannot map its table at {bus_address:#x}")
            }
            Self::Refused(what) => write!(f, "{what} does not read as it was written"),
            Self::Silent => {
                let patience = PATIENCE.as_millis();
                write!(f, "no interrupt reached the handler within {patience} ms")
            }
        }
    }
}
