//! Descriptors: 16 bytes, little-endian, two 64-bit words, in three formats.
//!
//! Plain values: the ring alone moves them to and from memory. Which format a part is given is a
//! matter of its family; what the rest of the driver sees of a descriptor is the same for all.

mod advanced;
mod extended;
mod legacy;

use crate::checksum::Insertion;
use crate::segmentation::Segmentation;

/// Bytes of one descriptor.
pub const SIZE: usize = 16;

/// The three formats of descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Status in the second word, the address stays: every part before 82571 (8254x §3.2.3,
    /// §3.3.3).
    Legacy,
    /// The write-back replaces the address: 82571 to 82583, ICH, PCH (82574 §7.1.5, §7.2.11).
    Extended,
    /// Two addresses, the write-back replaces both: 82575 and later (82576 §7.1.5, §7.2.2).
    Advanced,
}

impl Format {
    /// A descriptor that lends the part a buffer, given its bus address.
    ///
    /// The second word is zero in every format: fields of the write-back (legacy), reserved
    /// (extended), or the address of a header buffer, whose bit 0 lies where DD will be
    /// (advanced).
    #[must_use]
    pub const fn receive(self, address: u64) -> [u64; 2] {
        match self {
            Self::Legacy | Self::Extended | Self::Advanced => [address, 0],
        }
    }

    /// What the part wrote into the second word of a receive descriptor.
    #[must_use]
    pub const fn received(self, word: u64) -> Received {
        match self {
            Self::Legacy => legacy::received(word),
            Self::Extended => extended::received(word),
            Self::Advanced => advanced::received(word),
        }
    }

    /// A descriptor that says how checksums are computed in the frames behind it which ask for
    /// that (8254x §3.3.6, 82574 §7.2.11.1, 82576 §7.2.2.1).
    ///
    /// It reports nothing, so that a report always ends a frame.
    #[must_use]
    pub const fn context(self, insertion: Insertion) -> [u64; 2] {
        match self {
            Self::Legacy | Self::Extended => extended::context(insertion),
            Self::Advanced => advanced::context(insertion),
        }
    }

    /// A descriptor that says how one long frame is cut into segments: the frame whose descriptors
    /// follow (8254x §3.5.6, 82574 §7.3.6.3, 82576 §7.2.4.4).
    ///
    /// It reports nothing either.
    #[must_use]
    pub const fn segmentation(self, how: Segmentation) -> [u64; 2] {
        match self {
            Self::Legacy | Self::Extended => extended::segmentation(how),
            Self::Advanced => advanced::segmentation(how),
        }
    }

    /// A descriptor that sends a frame, or a piece of one.
    #[must_use]
    pub const fn transmit(self, frame: Transmit) -> [u64; 2] {
        match self {
            Self::Legacy if !frame.insert_checksum => legacy::transmit(frame),
            Self::Legacy | Self::Extended => extended::transmit(frame),
            Self::Advanced => advanced::transmit(frame),
        }
    }

    /// Whether the part says, in the second word of a transmit descriptor, that the frame is out
    /// (DD): bit 0 of the status, which begins the upper half in every format.
    #[must_use]
    pub const fn is_sent(self, word: u64) -> bool {
        word & (1 << 32) != 0
    }
}

/// The write-back of a receive descriptor. Hostile until checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    len: u16,
    status: u8,
    errors: u8,
}

impl Received {
    /// Whether the part is done with the descriptor (DD).
    #[must_use]
    pub const fn is_done(self) -> bool {
        self.status & 1 != 0
    }

    /// Whether the frame ends in this buffer (EOP).
    #[must_use]
    pub const fn is_end(self) -> bool {
        self.status & (1 << 1) != 0
    }

    /// Bytes written to the buffer, as the part says.
    #[must_use]
    pub const fn len(self) -> usize {
        self.len as usize
    }

    /// Whether no byte was written.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// Whether the frame is damaged: CRC, symbol, sequence, carrier extension or receive error.
    /// TCP and IP checksum errors are not among these: see [`checksum`](Self::checksum).
    #[must_use]
    pub const fn is_damaged(self) -> bool {
        const CE: u8 = 1 << 0;
        const SE: u8 = 1 << 1;
        const SEQ: u8 = 1 << 2;
        const CXE: u8 = 1 << 4;
        const RXE: u8 = 1 << 7;
        self.errors & (CE | SE | SEQ | CXE | RXE) != 0
    }

    /// What the part found out about the TCP or UDP checksum.
    #[must_use]
    pub const fn checksum(self) -> Checksum {
        const IXSM: u8 = 1 << 2;
        const UDPCS: u8 = 1 << 4;
        const TCPCS: u8 = 1 << 5;
        const TCPE: u8 = 1 << 5;
        if self.status & IXSM != 0 || self.status & (TCPCS | UDPCS) == 0 {
            Checksum::Unchecked
        } else if self.errors & TCPE != 0 {
            Checksum::Bad
        } else {
            Checksum::Good
        }
    }
}

/// What is known about a frame's TCP or UDP checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Nobody looked.
    Unchecked,
    /// It is right.
    Good,
    /// It is wrong.
    Bad,
}

/// One frame, or a piece of it, to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Bus address of the piece.
    pub address: u64,
    /// Bytes of the piece, without the check sequence.
    pub len: u16,
    /// Bytes of the frame, without the check sequence; of one that the part cuts into segments,
    /// bytes of its data.
    pub frame_len: u16,
    /// Whether the frame ends here (EOP).
    pub end: bool,
    /// Whether the part computes the TCP checksum, as the last context says; the same in all pieces
    /// of a frame.
    pub insert_checksum: bool,
    /// Whether the part cuts the frame into segments, as the context right before it says; the same
    /// in all pieces of a frame.
    pub is_cut: bool,
    /// Whether the part reports when the frame is out (RS); only where one ends.
    pub report: bool,
}

impl Transmit {
    /// A whole frame of `len` bytes, complete as it is.
    #[must_use]
    pub const fn whole(address: u64, len: u16) -> Self {
        Self {
            address,
            len,
            frame_len: len,
            end: true,
            insert_checksum: false,
            is_cut: false,
            report: false,
        }
    }
}

impl Transmit {
    /// The command that every frame has, where every format keeps it: the part inserts the check
    /// sequence, and EOP and RS as asked for.
    const fn command(self) -> u64 {
        const EOP: u64 = 1 << 24;
        const IFCS: u64 = 1 << 25;
        const RS: u64 = 1 << 27;
        IFCS | if self.end { EOP } else { 0 } | if self.report { RS } else { 0 }
    }

    /// POPTS, where extended and advanced descriptors keep it: TXSM when a checksum is asked for,
    /// and IXSM where every segment has an IPv4 header of its own.
    const fn options(self) -> u64 {
        const IXSM: u64 = 1 << 40;
        const TXSM: u64 = 1 << 41;
        let of_header = if self.is_cut { IXSM } else { 0 };
        of_header | if self.insert_checksum { TXSM } else { 0 }
    }
}

/// DEXT, bit 29: the descriptor is not a legacy one.
const DEXT: u64 = 1 << 29;
/// Where DTYP is.
const DTYP_SHIFT: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    const FORMATS: [Format; 3] = [Format::Legacy, Format::Extended, Format::Advanced];

    /// The write-back of each format, byte by byte as the datasheets draw it.
    fn written_back(format: Format, len: u16, status: u8, errors: u8) -> [u8; 16] {
        let [l0, l1] = len.to_le_bytes();
        match format {
            // Address; length, checksum, status, errors, special.
            Format::Legacy => {
                [0x00, 0x08, 0x20, 0, 0, 0, 0, 0, l0, l1, 0xcd, 0xab, status, errors, 0x34, 0x12]
            }
            // MRQ, RSS hash; status and errors (20 + 12 bits), length, VLAN tag.
            Format::Extended => [
                0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, status, 0, 0, errors, l0, l1, 0x34,
                0x12,
            ],
            // RSS type and packet type, header length, RSS hash; as extended.
            Format::Advanced => [
                0x10, 0x01, 0x02, 0x03, 0x55, 0x66, 0x77, 0x88, status, 0, 0, errors, l0, l1, 0x34,
                0x12,
            ],
        }
    }

    fn second_word(bytes: [u8; 16]) -> u64 {
        u64::from_le_bytes(bytes[8..].try_into().unwrap())
    }

    fn received(format: Format, len: u16, status: u8, errors: u8) -> Received {
        format.received(second_word(written_back(format, len, status, errors)))
    }

    #[test]
    fn receive_fields() {
        for format in FORMATS {
            let whole = received(format, 1514, 0x03, 0);
            assert!(whole.is_done() && whole.is_end() && !whole.is_damaged(), "{format:?}");
            assert_eq!(whole.len(), 1514, "{format:?}");
            assert_eq!(received(format, 0xffff, 0x03, 0).len(), 0xffff, "{format:?}");
            assert!(!received(format, 64, 0x01, 0).is_end());
            assert!(!received(format, 64, 0xfe, 0xff).is_done(), "{format:?}");
            for bit in [0, 1, 2, 4, 7] {
                let damaged = received(format, 64, 0x03, 1 << bit);
                assert!(damaged.is_damaged(), "{format:?}, error bit {bit}");
            }
            for bit in [5, 6] {
                let intact = received(format, 64, 0x03, 1 << bit);
                assert!(!intact.is_damaged(), "{format:?}, checksum bit {bit}");
            }
        }
    }

    #[test]
    fn checksum_is_trusted_only_when_checked() {
        for format in FORMATS {
            let checksum = |status, errors| received(format, 64, status, errors).checksum();
            assert_eq!(checksum(0x07, 0), Checksum::Unchecked, "{format:?}: IXSM");
            assert_eq!(checksum(0x27, 0), Checksum::Unchecked, "{format:?}: IXSM wins");
            assert_eq!(checksum(0x03, 0), Checksum::Unchecked, "{format:?}: neither TCP nor UDP");
            assert_eq!(checksum(0x23, 0), Checksum::Good, "{format:?}");
            assert_eq!(checksum(0x13, 0), Checksum::Good, "{format:?}");
            assert_eq!(checksum(0x23, 0x20), Checksum::Bad, "{format:?}");
        }
    }

    #[test]
    fn an_armed_descriptor_is_not_done_whatever_stood_there() {
        for format in FORMATS {
            let words = format.receive(0x1_0020_0800);
            let bytes = words.map(u64::to_le_bytes);
            assert_eq!(bytes, [[0x00, 0x08, 0x20, 0x00, 0x01, 0, 0, 0], [0; 8]], "{format:?}");
            assert!(!format.received(words[1]).is_done());
        }
    }

    #[test]
    fn transmit_bytes() {
        let bytes = |format: Format, report| {
            let frame = Transmit { report, ..Transmit::whole(0x1234_5678_9abc, 60) };
            let words = format.transmit(frame);
            words.map(u64::to_le_bytes)
        };
        let address = [0xbc, 0x9a, 0x78, 0x56, 0x34, 0x12, 0, 0];
        for (format, second) in [
            // Length, CSO, command (RS, IFCS, EOP), status, CSS, special.
            (Format::Legacy, [60, 0, 0, 0x0b, 0, 0, 0, 0]),
            // Length and DTYP 1, DCMD (DEXT, RS, IFCS, EOP), status, POPTS, VLAN.
            (Format::Extended, [60, 0, 0x10, 0x2b, 0, 0, 0, 0]),
            // Length, DTYP 3, DCMD (DEXT, RS, IFCS, EOP), PAYLEN 60 from bit 46 on.
            (Format::Advanced, [60, 0, 0x30, 0x2b, 0, 0, 0x0f, 0]),
        ] {
            assert_eq!(bytes(format, true)[0], address, "{format:?}");
            assert_eq!(bytes(format, true)[1], second, "{format:?}");
            let mut silent = second;
            silent[3] &= !0x08;
            assert_eq!(bytes(format, false)[1], silent, "{format:?}: no RS");
            let word = u64::from_le_bytes(second);
            assert!(!format.is_sent(word), "{format:?}");
            assert!(format.is_sent(word | 1 << 32), "{format:?}");
        }
    }

    #[test]
    fn context_bytes() {
        let insertion = Insertion { ip: 14, tcp: 34, is_ipv4: true };
        let bytes = |format: Format, insertion| {
            let words: [u64; 2] = format.context(insertion);
            words.map(u64::to_le_bytes)
        };
        for format in [Format::Legacy, Format::Extended] {
            // IPCSS, IPCSO, IPCSE, TUCSS, TUCSO, TUCSE; PAYLEN, DTYP 0, TUCMD (DEXT, IP, TCP).
            let wanted = [[14, 24, 33, 0, 34, 50, 0, 0], [0, 0, 0, 0x23, 0, 0, 0, 0]];
            assert_eq!(bytes(format, insertion), wanted, "{format:?}");
        }
        // IPLEN 20 and MACLEN 14; TUCMD (L4T TCP, IPV4), DTYP 2, DEXT.
        let wanted = [[20, 28, 0, 0, 0, 0, 0, 0], [0, 0x0c, 0x20, 0x20, 0, 0, 0, 0]];
        assert_eq!(bytes(Format::Advanced, insertion), wanted);
        let tagged = Insertion { ip: 18, tcp: 58, is_ipv4: false };
        let wanted = [[18, 28, 57, 0, 58, 74, 0, 0], [0, 0, 0, 0x21, 0, 0, 0, 0]];
        assert_eq!(bytes(Format::Extended, tagged), wanted);
        let wanted = [[40, 36, 0, 0, 0, 0, 0, 0], [0, 0x08, 0x20, 0x20, 0, 0, 0, 0]];
        assert_eq!(bytes(Format::Advanced, tagged), wanted);
    }

    #[test]
    fn segmentation_bytes() {
        let how = Segmentation {
            insertion: Insertion { ip: 18, tcp: 38, is_ipv4: true },
            header: 58,
            size: 1460,
            payload: 0x7abc,
        };
        for format in [Format::Legacy, Format::Extended] {
            let bytes = format.segmentation(how).map(u64::to_le_bytes);
            // As for a checksum; PAYLEN, DTYP 0, TUCMD (DEXT, TSE, IP, TCP), status, HDRLEN, MSS.
            let wanted = [[18, 28, 37, 0, 38, 54, 0, 0], [0xbc, 0x7a, 0, 0x27, 0, 58, 0xb4, 0x05]];
            assert_eq!(bytes, wanted, "{format:?}");
        }
        // IPLEN 20 and MACLEN 18; TUCMD (L4T TCP, IPV4), DTYP 2, DEXT, L4LEN 20, MSS.
        let wanted = [[20, 36, 0, 0, 0, 0, 0, 0], [0, 0x0c, 0x20, 0x20, 0, 20, 0xb4, 0x05]];
        assert_eq!(Format::Advanced.segmentation(how).map(u64::to_le_bytes), wanted);
    }

    #[test]
    fn a_piece_of_a_frame_that_the_part_cuts() {
        let piece = Transmit {
            end: false,
            insert_checksum: true,
            is_cut: true,
            frame_len: 0x7abc,
            ..Transmit::whole(0, 2048)
        };
        for format in [Format::Legacy, Format::Extended] {
            let [_, word] = format.transmit(piece);
            // Length and DTYP 1, DCMD (DEXT, TSE, IFCS), status, POPTS (TXSM, IXSM), VLAN.
            assert_eq!(word.to_le_bytes(), [0, 0x08, 0x10, 0x26, 0, 0x03, 0, 0], "{format:?}");
        }
        let [_, word] = Format::Advanced.transmit(piece);
        // Length and DTYP 3, DCMD (TSE, DEXT, IFCS), POPTS (TXSM, IXSM).
        assert_eq!(word & 0x3fff_ffff_ffff, 0x0300_a230_0800);
        assert_eq!(word >> 46, 0x7abc, "PAYLEN is the data's");
    }

    #[test]
    fn a_piece_of_a_frame_whose_checksum_the_part_computes() {
        let piece = Transmit {
            end: false,
            insert_checksum: true,
            frame_len: 9014,
            ..Transmit::whole(0, 8192)
        };
        // A legacy part is given a data descriptor too.
        for format in [Format::Legacy, Format::Extended] {
            let [_, word] = format.transmit(piece);
            assert_eq!(word.to_le_bytes(), [0, 0x20, 0x10, 0x22, 0, 0x02, 0, 0], "{format:?}");
        }
        let [_, word] = Format::Advanced.transmit(piece);
        assert_eq!(word & 0x3fff_ffff_ffff, 0x0200_2230_2000, "TXSM, DEXT, IFCS, DTYP 3");
        assert_eq!(word >> 46, 9014, "PAYLEN is the whole frame's");
    }

    #[test]
    fn the_longest_frame_of_a_buffer_fits_its_fields() {
        for format in FORMATS {
            let [_, word] = format.transmit(Transmit::whole(0, 2048));
            assert_eq!(word & 0xffff, 2048, "{format:?}");
            assert!(!format.is_sent(word), "{format:?}");
        }
        let [_, word] = Format::Advanced.transmit(Transmit::whole(0, 2048));
        assert_eq!(word >> 46, 2048, "PAYLEN");
    }
}
