//! What the target notes about an initiator, and the checks that every request passes.

use std::fmt;

use isboot::pdu::bhs::{BasicHeaderSegment, opcode};

/// A rule that the initiator broke, or a habit of it that is worth knowing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where the rule stands, such as `RFC 7143 §11.12`.
    pub clause: &'static str,
    /// What was seen, and what should have been.
    pub what: String,
    /// Number of the connection.
    pub connection: u64,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "connection {}: {} ({})", self.connection, self.what, self.clause)
    }
}

/// Why a connection comes to its end.
#[derive(Debug)]
pub(super) enum End {
    /// The initiator broke a rule.
    Violation { clause: &'static str, what: String },
    /// The initiator has logged out: the last bytes go out, then the connection is closed.
    LoggedOut,
    /// The target closes the connection once the last bytes are out.
    Closed,
}

/// Shorthand for leaving with a violation.
pub(super) fn broken<T>(clause: &'static str, what: impl Into<String>) -> Result<T, End> {
    Err(End::Violation { clause, what: what.into() })
}

/// The name of an initiator's opcode, for sentences.
pub(super) fn opcode_name(code: u8) -> &'static str {
    match code {
        opcode::NOP_OUT => "NOP-Out",
        opcode::SCSI_COMMAND => "SCSI Command",
        opcode::TASK_MANAGEMENT_REQUEST => "Task Management Function Request",
        opcode::LOGIN_REQUEST => "Login Request",
        opcode::TEXT_REQUEST => "Text Request",
        opcode::DATA_OUT => "SCSI Data-Out",
        opcode::LOGOUT_REQUEST => "Logout Request",
        opcode::SNACK_REQUEST => "SNACK Request",
        _ => "PDU that no initiator sends",
    }
}

/// The first reserved byte of a request that is not zero, with its reserved bits (§11: reserved
/// fields are sent as zero). `None` when all is well.
pub(super) fn reserved_bits(header: &BasicHeaderSegment) -> Option<(usize, u8)> {
    let masks: &[(usize, usize, u8)] = match header.opcode() {
        opcode::NOP_OUT => &[(1, 1, 0x7f), (2, 4, 0xff), (32, 48, 0xff)],
        opcode::SCSI_COMMAND => &[(1, 1, 0x18), (2, 4, 0xff)],
        opcode::TASK_MANAGEMENT_REQUEST => &[(2, 4, 0xff), (40, 48, 0xff)],
        opcode::LOGIN_REQUEST => &[(1, 1, 0x30), (22, 24, 0xff), (32, 48, 0xff)],
        opcode::TEXT_REQUEST => &[(1, 1, 0x3f), (2, 4, 0xff), (32, 48, 0xff)],
        opcode::DATA_OUT => {
            &[(1, 1, 0x7f), (2, 4, 0xff), (24, 28, 0xff), (32, 36, 0xff), (44, 48, 0xff)]
        }
        opcode::LOGOUT_REQUEST => &[(2, 4, 0xff), (8, 16, 0xff), (22, 24, 0xff), (32, 48, 0xff)],
        _ => &[],
    };
    let bytes = header.as_bytes();
    // Bit 7 of byte 0 is reserved in every request (§11.2.1).
    let in_every_pdu = (0, 1, 0x80);
    masks.iter().chain([&in_every_pdu]).find_map(|&(start, end, mask)| {
        (start..end.max(start + 1))
            .find(|&at| bytes[at] & mask != 0)
            .map(|at| (at, bytes[at] & mask))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_bits_are_found_in_their_byte() {
        let mut bytes = [0; 48];
        bytes[0] = opcode::DATA_OUT;
        bytes[1] = 0x80;
        assert_eq!(reserved_bits(&BasicHeaderSegment::from_bytes(bytes)), None);
        bytes[26] = 7;
        assert_eq!(reserved_bits(&BasicHeaderSegment::from_bytes(bytes)), Some((26, 7)));
        bytes[1] = 0x81;
        assert_eq!(reserved_bits(&BasicHeaderSegment::from_bytes(bytes)), Some((1, 1)));
        let mut login = [0; 48];
        login[0] = 0xc3;
        assert_eq!(reserved_bits(&BasicHeaderSegment::from_bytes(login)), Some((0, 0x80)));
    }

    #[test]
    fn a_violation_reads_as_a_sentence() {
        let violation = Violation {
            clause: "RFC 7143 §11.12",
            what: "Login Request without I".to_owned(),
            connection: 2,
        };
        assert_eq!(
            violation.to_string(),
            "connection 2: Login Request without I (RFC 7143 §11.12)"
        );
    }
}
