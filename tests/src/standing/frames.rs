//! Bytes of one direction into PDUs (RFC 7143 §11.2).

/// A PDU as it stood on the wire.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) header: [u8; 48],
    pub(super) data: Vec<u8>,
    /// Padding bytes of the data segment.
    pub(super) padding: Vec<u8>,
    pub(super) header_digest_is_right: bool,
    pub(super) data_digest_is_right: bool,
}

impl Frame {
    pub(super) fn opcode(&self) -> u8 {
        self.header[0] & 0x3f
    }

    pub(super) fn is_immediate(&self) -> bool {
        self.header[0] & 0x40 != 0
    }

    /// The bits of byte 1.
    pub(super) fn flags(&self) -> u8 {
        self.header[1]
    }

    pub(super) fn additional_length(&self) -> u8 {
        self.header[4]
    }

    /// The four bytes at `at`, most significant first.
    pub(super) fn word(&self, at: usize) -> u32 {
        word(&self.header, at)
    }

    pub(super) fn tag(&self) -> u32 {
        self.word(16)
    }

    /// Target Transfer Tag, or whatever the PDU has in its place.
    pub(super) fn transfer_tag(&self) -> u32 {
        self.word(20)
    }

    pub(super) fn lun(&self) -> [u8; 8] {
        let mut lun = [0; 8];
        lun.copy_from_slice(&self.header[8..16]);
        lun
    }
}

/// The four bytes at `at`, most significant first.
pub(super) fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(word)
}

/// Gathers the bytes of one direction.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    bytes: Vec<u8>,
    pub(super) header_digest: bool,
    pub(super) data_digest: bool,
}

impl Assembler {
    /// At the border between two PDUs.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Takes bytes up to the end of the present PDU, and yields it when it is whole.
    pub(super) fn take(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        loop {
            let wanted = self.wanted();
            let count = wanted.saturating_sub(self.bytes.len()).min(bytes.len());
            let (now, later) = bytes.split_at(count);
            self.bytes.extend(now);
            *bytes = later;
            if self.bytes.len() < self.wanted() {
                if bytes.is_empty() {
                    return None;
                }
                continue;
            }
            return Some(self.frame());
        }
    }

    /// Length of the present PDU as far as it is known.
    fn wanted(&self) -> usize {
        if self.bytes.len() < 48 {
            return 48;
        }
        let (data, padding) = self.data_length();
        let data_digest = if self.data_digest && data > 0 { 4 } else { 0 };
        self.header_length() + data + padding + data_digest
    }

    /// With additional segments and digest.
    fn header_length(&self) -> usize {
        48 + 4 * usize::from(self.bytes[4]) + if self.header_digest { 4 } else { 0 }
    }

    fn data_length(&self) -> (usize, usize) {
        let data = (word(&self.bytes, 4) & 0x00ff_ffff) as usize;
        (data, data.next_multiple_of(4) - data)
    }

    fn frame(&mut self) -> Frame {
        let digest = |bytes: &[u8], at: usize| {
            let mut digest = [0; 4];
            digest.copy_from_slice(&bytes[at..at + 4]);
            u32::from_le_bytes(digest)
        };
        let bytes = &self.bytes;
        let (length, padding) = self.data_length();
        let begin = self.header_length();
        let covered = 48 + 4 * usize::from(bytes[4]);
        let end = begin + length + padding;
        let mut header = [0; 48];
        header.copy_from_slice(&bytes[..48]);
        let frame = Frame {
            header,
            data: bytes[begin..begin + length].to_vec(),
            padding: bytes[begin + length..end].to_vec(),
            header_digest_is_right: !self.header_digest
                || digest(bytes, covered) == crc32c::crc32c(&bytes[..covered]),
            data_digest_is_right: !self.data_digest
                || length == 0
                || digest(bytes, end) == crc32c::crc32c(&bytes[begin..end]),
        };
        self.bytes.clear();
        frame
    }
}
