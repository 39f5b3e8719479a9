//! Sense data, fixed and descriptor format (SPC-4 §4.5).

use core::fmt;

/// What a logical unit says about a command it did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sense {
    /// SENSE KEY (SPC-4 §4.5.6).
    pub key: SenseKey,
    /// ADDITIONAL SENSE CODE.
    pub code: u8,
    /// ADDITIONAL SENSE CODE QUALIFIER.
    pub qualifier: u8,
    /// It is about an earlier command; the one that it came with was not executed (SPC-4 §4.5.7).
    pub deferred: bool,
    /// INFORMATION, where it is valid; of a medium error, the block that failed (SBC-3 §4.18.1).
    pub information: Option<u64>,
}

/// SENSE KEY (SPC-4 §4.5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the standard's own names say it all")]
pub enum SenseKey {
    NoSense,
    RecoveredError,
    NotReady,
    MediumError,
    HardwareError,
    IllegalRequest,
    UnitAttention,
    DataProtect,
    BlankCheck,
    VendorSpecific,
    CopyAborted,
    AbortedCommand,
    Reserved,
    VolumeOverflow,
    Miscompare,
    Completed,
}

impl SenseKey {
    /// From the low four bits of a sense key field.
    #[must_use]
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 0x0f {
            0x0 => Self::NoSense,
            0x1 => Self::RecoveredError,
            0x2 => Self::NotReady,
            0x3 => Self::MediumError,
            0x4 => Self::HardwareError,
            0x5 => Self::IllegalRequest,
            0x6 => Self::UnitAttention,
            0x7 => Self::DataProtect,
            0x8 => Self::BlankCheck,
            0x9 => Self::VendorSpecific,
            0xa => Self::CopyAborted,
            0xb => Self::AbortedCommand,
            0xd => Self::VolumeOverflow,
            0xe => Self::Miscompare,
            0xf => Self::Completed,
            _ => Self::Reserved,
        }
    }
}

impl fmt::Display for SenseKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoSense => "no sense",
            Self::RecoveredError => "recovered error",
            Self::NotReady => "not ready",
            Self::MediumError => "medium error",
            Self::HardwareError => "hardware error",
            Self::IllegalRequest => "illegal request",
            Self::UnitAttention => "unit attention",
            Self::DataProtect => "data protect",
            Self::BlankCheck => "blank check",
            Self::VendorSpecific => "vendor specific",
            Self::CopyAborted => "copy aborted",
            Self::AbortedCommand => "aborted command",
            Self::Reserved => "reserved sense key",
            Self::VolumeOverflow => "volume overflow",
            Self::Miscompare => "miscompare",
            Self::Completed => "completed",
        })
    }
}

impl Sense {
    /// Reads sense data in either format; `None` when there is none, or in a format that no
    /// standard names. A code that lies beyond the data's own length counts as 0.
    #[must_use]
    pub fn parse(sense_data: &[u8]) -> Option<Self> {
        let byte = |at: usize| sense_data.get(at).copied();
        let response_code = byte(0)? & 0x7f;
        let deferred = matches!(response_code, 0x71 | 0x73);
        match response_code {
            // Fixed: key @2, INFORMATION @3, ADDITIONAL SENSE LENGTH @7, code @12, qualifier @13.
            0x70 | 0x71 => {
                let key = SenseKey::from_bits(byte(2)?);
                let additional = usize::from(byte(7).unwrap_or(0));
                let at = |offset: usize| {
                    if additional.saturating_add(8) > offset {
                        byte(offset).unwrap_or(0)
                    } else {
                        0
                    }
                };
                let field: Option<&[u8; 4]> = sense_data.get(3..).and_then(<[u8]>::first_chunk);
                let is_valid = byte(0).is_some_and(|first| first & VALID != 0);
                let information =
                    field.filter(|_| is_valid).map(|field| u64::from(u32::from_be_bytes(*field)));
                Some(Self { key, code: at(12), qualifier: at(13), deferred, information })
            }
            // Descriptor: key @1, code @2, qualifier @3, ADDITIONAL SENSE LENGTH @7.
            0x72 | 0x73 => Some(Self {
                key: SenseKey::from_bits(byte(1)?),
                code: byte(2).unwrap_or(0),
                qualifier: byte(3).unwrap_or(0),
                deferred,
                information: information_descriptor(sense_data),
            }),
            _ => None,
        }
    }

    /// Something happened to the unit that the command is not to blame for: repeat it.
    #[must_use]
    pub fn is_unit_attention(&self) -> bool {
        self.key == SenseKey::UnitAttention
    }

    /// The unit is not ready and says that it will be without being asked to (SPC-4 annex F.2).
    #[must_use]
    pub fn is_becoming_ready(&self) -> bool {
        self.key == SenseKey::NotReady
            && matches!(
                (self.code, self.qualifier),
                // Becoming ready; formatting, rebuilding and the like; asymmetric access state
                // transition; waiting for its turn to spin up.
                (0x04, 0x01 | 0x04..=0x0a | 0x11 | 0x14 | 0x1a | 0x1b | 0x1c)
                    // Has not configured itself yet.
                    | (0x3e, 0x00)
            )
    }

    /// The unit waits for START STOP UNIT (04h/02h, initializing command required).
    #[must_use]
    pub fn wants_start(&self) -> bool {
        self.key == SenseKey::NotReady && (self.code, self.qualifier) == (0x04, 0x02)
    }

    /// Nothing failed: no sense, or an error that the unit got over.
    #[must_use]
    pub fn is_harmless(&self) -> bool {
        matches!(self.key, SenseKey::NoSense | SenseKey::RecoveredError)
    }

    /// The medium or the device failed on this very command; repeating it seldom helps.
    #[must_use]
    pub fn is_medium_failure(&self) -> bool {
        matches!(self.key, SenseKey::MediumError | SenseKey::HardwareError)
    }

    /// The unit refuses to be written.
    #[must_use]
    pub fn is_write_protected(&self) -> bool {
        self.key == SenseKey::DataProtect && self.code == 0x27
    }

    /// The unit has no storage left for the blocks to be written (SBC-3 §4.7.3.6).
    #[must_use]
    pub fn is_out_of_space(&self) -> bool {
        self.key == SenseKey::DataProtect && (self.code, self.qualifier) == (0x27, 0x07)
    }

    /// The unit does not know the command.
    #[must_use]
    pub fn is_unknown_command(&self) -> bool {
        self.key == SenseKey::IllegalRequest && (self.code, self.qualifier) == (0x20, 0x00)
    }

    /// What the codes mean, for those that disks are known to send (SPC-4 annex F.2).
    #[must_use]
    pub fn meaning(&self) -> Option<&'static str> {
        Some(match (self.code, self.qualifier) {
            (0x04, 0x00) => "not ready, cause not reported",
            (0x04, 0x01) => "becoming ready",
            (0x04, 0x02) => "initializing command required",
            (0x04, 0x03) => "manual intervention required",
            (0x04, 0x0a) => "asymmetric access state transition",
            (0x04, 0x0b) => "target port in standby state",
            (0x04, 0x0c) => "target port in unavailable state",
            (0x08, 0x00) => "communication failure",
            (0x0c, 0x0c) => "unexpected unsolicited data",
            (0x0c, 0x0d) => "not enough unsolicited data",
            (0x0c, _) => "write error",
            (0x11, 0x13) => "failed retransmission request",
            (0x11, _) => "unrecovered read error",
            (0x20, 0x00) => "invalid command operation code",
            (0x21, 0x00) => "logical block address out of range",
            (0x24, 0x00) => "invalid field in CDB",
            (0x25, 0x00) => "logical unit not supported",
            (0x26, _) => "invalid field in parameter list",
            (0x27, 0x07) => "space allocation failed: the thin pool is full",
            (0x27, _) => "write protected",
            (0x28, 0x00) => "medium may have changed",
            (0x29, 0x07) => "I_T nexus loss occurred",
            (0x29, _) => "power on, reset, or bus device reset",
            (0x2a, 0x01) => "mode parameters changed",
            (0x2a, 0x06) => "asymmetric access state changed",
            (0x2a, 0x09) => "capacity data has changed",
            (0x2a, _) => "parameters changed",
            (0x2f, _) => "commands cleared by another initiator",
            (0x38, 0x07) => "thin provisioning soft threshold reached",
            (0x3a, _) => "medium not present",
            (0x3f, 0x03) => "inquiry data has changed",
            (0x3f, 0x05) => "device identifier changed",
            (0x3f, 0x0e) => "reported LUNs data has changed",
            (0x44, _) => "internal target failure",
            (0x47, 0x05) => "protocol service CRC error",
            (0x47, 0x7f) => "some commands cleared by iSCSI protocol event",
            (0x47, _) => "SCSI parity error",
            _ => return None,
        })
    }
}

impl fmt::Display for Sense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:02x}h/{:02x}h", self.key, self.code, self.qualifier)?;
        match self.meaning() {
            Some(meaning) => write!(f, ", {meaning})")?,
            None => f.write_str(")")?,
        }
        if let Some(block) = self.information.filter(|_| self.is_medium_failure()) {
            write!(f, " at block {block}")?;
        }
        if self.deferred { f.write_str(" about an earlier command") } else { Ok(()) }
    }
}

/// VALID: the INFORMATION field counts (SPC-4 §4.5.2.2, §4.5.3).
const VALID: u8 = 0x80;

/// INFORMATION of the first information descriptor (type 00h) among those that came whole.
fn information_descriptor(sense_data: &[u8]) -> Option<u64> {
    const INFORMATION: u8 = 0x00;
    let additional = usize::from(*sense_data.get(7)?);
    let mut rest = sense_data.get(8..)?;
    rest = rest.get(..additional.min(rest.len()))?;
    while let Some((&[kind, length], tail)) = rest.split_first_chunk() {
        let (body, tail) = tail.split_at_checked(usize::from(length))?;
        if kind == INFORMATION {
            let (&[flags, _], field) = body.split_first_chunk()?;
            let field: &[u8; 8] = field.first_chunk()?;
            return (flags & VALID != 0).then(|| u64::from_be_bytes(*field));
        }
        rest = tail;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    fn of(key: SenseKey, code: u8, qualifier: u8) -> Sense {
        Sense { key, code, qualifier, deferred: false, information: None }
    }

    #[test]
    fn both_formats_are_read() {
        let mut fixed = [0; 18];
        (fixed[0], fixed[2], fixed[7], fixed[12], fixed[13]) = (0xf0, 0x06, 10, 0x29, 0x01);
        let sense = Sense::parse(&fixed).unwrap();
        assert!(sense.is_unit_attention());
        assert_eq!(
            sense.to_string(),
            "unit attention (29h/01h, power on, reset, or bus device reset)"
        );
        let descriptor = Sense::parse(&[0x72, 0x07, 0x27, 0x00, 0, 0, 0, 0]).unwrap();
        assert!(descriptor.is_write_protected());
    }

    #[test]
    fn codes_beyond_the_length_count_as_zero() {
        let mut fixed = [0; 18];
        (fixed[0], fixed[2], fixed[7], fixed[12], fixed[13]) = (0x70, 0x05, 5, 0x24, 0x01);
        let sense = Sense::parse(&fixed).unwrap();
        assert_eq!((sense.code, sense.qualifier), (0x24, 0));
        assert_eq!(Sense::parse(&fixed[..8]).unwrap().code, 0);
    }

    #[test]
    fn what_is_no_sense_data_is_none() {
        for bytes in [&[][..], &[0x70], &[0x70, 0], &[0x72], &[0x00, 0, 5], &[0x7f, 0, 5]] {
            assert_eq!(Sense::parse(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn failures_of_the_medium_are_told_from_the_rest() {
        let sense = |key| of(key, 0x11, 0);
        assert!(sense(SenseKey::MediumError).is_medium_failure());
        assert!(sense(SenseKey::HardwareError).is_medium_failure());
        assert!(!sense(SenseKey::RecoveredError).is_medium_failure());
        assert!(!sense(SenseKey::AbortedCommand).is_medium_failure());
    }

    #[test]
    fn becoming_ready_is_told_from_never_ready() {
        let not_ready = |qualifier| of(SenseKey::NotReady, 4, qualifier);
        assert!(not_ready(1).is_becoming_ready());
        assert!(!not_ready(3).is_becoming_ready());
        assert!(not_ready(2).wants_start() && !not_ready(2).is_becoming_ready());
    }

    #[test]
    fn a_deferred_error_is_told_from_a_current_one() {
        for (code, deferred) in [(0x70, false), (0x71, true), (0x72, false), (0x73, true)] {
            let sense = Sense::parse(&[code, 3, 3, 0, 0, 0, 0, 0]).unwrap();
            assert_eq!((sense.key, sense.deferred), (SenseKey::MediumError, deferred));
        }
    }

    #[test]
    fn the_block_that_failed_is_read_where_it_is_valid() {
        let fixed = [0xf0, 0, 3, 0, 1, 2, 3, 10, 0, 0, 0, 0, 0x11, 0, 0, 0, 0, 0];
        assert_eq!(Sense::parse(&fixed).unwrap().information, Some(0x01_0203));
        assert_eq!(Sense::parse(&fixed[..6]).unwrap().information, None, "cut");
        let said = Sense::parse(&fixed).unwrap().to_string();
        assert_eq!(said, "medium error (11h/00h, unrecovered read error) at block 66051");
        let mut invalid = fixed;
        invalid[0] = 0x70;
        assert_eq!(Sense::parse(&invalid).unwrap().information, None);
        // A vendor's descriptor first, then that of the information.
        let descriptors = [
            0x72, 3, 0x11, 0, 0, 0, 0, 15, 0x80, 1, 9, 0x00, 0x0a, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 5,
        ];
        assert_eq!(Sense::parse(&descriptors).unwrap().information, Some(0x1_0000_0005));
        for cut in 0..descriptors.len() {
            let sense = Sense::parse(&descriptors[..cut]);
            assert_eq!(sense.and_then(|sense| sense.information), None, "{cut}");
        }
        let mut short = descriptors;
        short[7] = 14;
        assert_eq!(Sense::parse(&short).unwrap().information, None, "ADDITIONAL SENSE LENGTH");
    }
}
