//! Reserved bits of requests: they are sent as zero (RFC 7143 §11).

use super::frames::Frame;

/// Bytes of a request's header that may be other than zero: first, last and which bits.
type Fields = &'static [(usize, usize, u8)];

/// Bytes 4 to 7 (lengths) and 16 to 19 (the tag) are in every request.
const EVERYWHERE: Fields = &[(0, 0, 0x7f), (4, 7, 0xff), (16, 19, 0xff)];

fn fields(opcode: u8) -> Option<(&'static str, Fields)> {
    Some(match opcode {
        0x00 => ("NOP-Out", &[(1, 1, 0x80), (8, 15, 0xff), (20, 31, 0xff)]),
        0x01 => ("SCSI Command", &[(1, 1, 0xe7), (8, 15, 0xff), (20, 47, 0xff)]),
        0x02 => ("Task Management Request", &[(1, 1, 0xff), (8, 15, 0xff), (20, 35, 0xff)]),
        0x03 => ("Login Request", &[(1, 3, 0xff), (8, 15, 0xff), (20, 21, 0xff), (24, 31, 0xff)]),
        0x04 => ("Text Request", &[(1, 1, 0xc0), (8, 15, 0xff), (20, 31, 0xff)]),
        0x05 => (
            "Data-Out",
            &[(1, 1, 0x80), (8, 15, 0xff), (20, 23, 0xff), (28, 31, 0xff), (36, 43, 0xff)],
        ),
        0x06 => ("Logout Request", &[(1, 1, 0xff), (20, 21, 0xff), (24, 31, 0xff)]),
        _ => return None,
    })
}

/// The request's name; `None` when no initiator at error recovery level 0 sends it.
pub(super) fn name(opcode: u8) -> Option<&'static str> {
    fields(opcode).map(|(name, _)| name)
}

/// The first byte with a reserved bit set.
pub(super) fn reserved_byte(frame: &Frame) -> Option<usize> {
    let (_, own) = fields(frame.opcode())?;
    let allowed = |at: usize| {
        let fields = EVERYWHERE.iter().chain(own);
        fields
            .filter(|(first, last, _)| (*first..=*last).contains(&at))
            .fold(0, |bits, f| bits | f.2)
    };
    let login_stages = frame.opcode() == 0x03 && frame.flags() & 0x30 != 0;
    let stray = (0..48).find(|&at| frame.header[at] & !allowed(at) != 0);
    stray.or(login_stages.then_some(1))
}
