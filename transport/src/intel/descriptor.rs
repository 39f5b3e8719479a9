//! Legacy descriptors: 16 bytes, little-endian, two 64-bit words (8254x §3.2.3 and §3.3.3,
//! 82574 §7.1.4 and §7.2.10).
//!
//! Plain values: the ring alone moves them to and from memory.

/// Bytes of one descriptor.
pub const SIZE: usize = 16;

/// A receive descriptor as given to the part: where to put a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveBuffer {
    /// Bus address of the buffer.
    pub address: u64,
}

impl ReceiveBuffer {
    /// The two words; everything but the address is written by the part.
    #[must_use]
    pub const fn to_words(self) -> [u64; 2] {
        [self.address, 0]
    }
}

/// The second word of a receive descriptor as the part writes it back. Hostile until checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received(pub u64);

impl Received {
    /// Whether the part is done with the descriptor (DD).
    #[must_use]
    pub const fn is_done(self) -> bool {
        self.status() & 1 != 0
    }

    /// Whether the frame ends in this buffer (EOP).
    #[must_use]
    pub const fn is_end(self) -> bool {
        self.status() & (1 << 1) != 0
    }

    /// Bytes written to the buffer, as the part says.
    #[must_use]
    pub const fn len(self) -> usize {
        (self.0 & 0xffff) as usize
    }

    /// Whether no byte was written.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.len() == 0
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
        self.errors() & (CE | SE | SEQ | CXE | RXE) != 0
    }

    /// What the part found out about the TCP or UDP checksum.
    #[must_use]
    pub const fn checksum(self) -> Checksum {
        const IXSM: u8 = 1 << 2;
        const UDPCS: u8 = 1 << 4;
        const TCPCS: u8 = 1 << 5;
        const TCPE: u8 = 1 << 5;
        if self.status() & IXSM != 0 || self.status() & (TCPCS | UDPCS) == 0 {
            Checksum::Unchecked
        } else if self.errors() & TCPE != 0 {
            Checksum::Bad
        } else {
            Checksum::Good
        }
    }

    const fn status(self) -> u8 {
        (self.0 >> 32) as u8
    }

    const fn errors(self) -> u8 {
        (self.0 >> 40) as u8
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

/// A transmit descriptor: one whole frame in one buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit {
    /// Bus address of the frame.
    pub address: u64,
    /// Bytes of the frame, without the check sequence.
    pub len: u16,
    /// Whether the part reports when the frame is out (RS).
    pub report: bool,
}

impl Transmit {
    /// The two words: end of packet, insert check sequence, DD clear.
    #[must_use]
    pub const fn to_words(self) -> [u64; 2] {
        const EOP: u64 = 1 << 24;
        const IFCS: u64 = 1 << 25;
        const RS: u64 = 1 << 27;
        let report = if self.report { RS } else { 0 };
        [self.address, self.len as u64 | EOP | IFCS | report]
    }

    /// Whether the part says that the frame of this second word is out (DD).
    #[must_use]
    pub const fn is_done(word: u64) -> bool {
        word & (1 << 32) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// length, checksum, status, errors, special, as memory holds them.
    fn received(len: u16, status: u8, errors: u8) -> Received {
        let [l0, l1] = len.to_le_bytes();
        Received(u64::from_le_bytes([l0, l1, 0, 0, status, errors, 0, 0]))
    }

    #[test]
    fn receive_fields() {
        let word = received(1514, 0x03, 0);
        assert!(word.is_done() && word.is_end() && !word.is_damaged());
        assert_eq!(word.len(), 1514);
        assert!(!received(64, 0x01, 0).is_end());
        assert!(!received(64, 0x02, 0).is_done());
        for bit in [0, 1, 2, 4, 7] {
            assert!(received(64, 0x03, 1 << bit).is_damaged(), "error bit {bit}");
        }
        for bit in [5, 6] {
            assert!(!received(64, 0x03, 1 << bit).is_damaged(), "checksum bit {bit}");
        }
    }

    #[test]
    fn checksum_is_trusted_only_when_checked() {
        assert_eq!(received(64, 0x07, 0).checksum(), Checksum::Unchecked, "IXSM");
        assert_eq!(received(64, 0x27, 0).checksum(), Checksum::Unchecked, "IXSM wins");
        assert_eq!(received(64, 0x03, 0).checksum(), Checksum::Unchecked, "neither TCP nor UDP");
        assert_eq!(received(64, 0x23, 0).checksum(), Checksum::Good);
        assert_eq!(received(64, 0x13, 0).checksum(), Checksum::Good);
        assert_eq!(received(64, 0x23, 0x20).checksum(), Checksum::Bad);
    }

    #[test]
    fn transmit_words() {
        let words = Transmit { address: 0x1234_5678_9abc, len: 60, report: true }.to_words();
        assert_eq!(words, [0x1234_5678_9abc, 0x0b00_003c]);
        let words = Transmit { address: 0, len: 60, report: false }.to_words();
        assert_eq!(words[1], 0x0300_003c);
        assert!(!Transmit::is_done(words[1]));
        assert!(Transmit::is_done(words[1] | 1 << 32));
    }
}
