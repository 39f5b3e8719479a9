//! Whole PDUs on the wire: framing and digests, written apart from the initiator's own so that
//! one mistake cannot be on both ends.

use isboot::pdu::bhs::{BASIC_HEADER_SEGMENT_LENGTH, BasicHeaderSegment};
use isboot::pdu::digest::Digests;

/// CRC32C of all the parts (RFC 7143 §13.1).
fn crc32c(parts: &[&[u8]]) -> u32 {
    let mut crc = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
    parts.iter().for_each(|part| crc.update(part));
    crc.finalize() as u32
}

/// One PDU: header, additional header segments, data without padding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pdu {
    /// Basic Header Segment, sent as it stands: its lengths may lie if a script wants it.
    pub header: BasicHeaderSegment,
    /// Additional Header Segments.
    pub additional: Vec<u8>,
    /// Data segment, without padding.
    pub data: Vec<u8>,
}

impl Pdu {
    /// A PDU whose header names the length of `data`.
    #[must_use]
    pub fn new(mut header: BasicHeaderSegment, data: Vec<u8>) -> Self {
        header.set_data_segment_length(u32::try_from(data.len()).unwrap_or(u32::MAX));
        Self { header, additional: Vec::new(), data }
    }

    /// Appends its bytes to `out`: padded with zeros, with these digests (RFC 7143 §11.2.3).
    pub fn encode(&self, digests: Digests, out: &mut Vec<u8>) {
        out.extend(self.head(digests));
        out.extend_from_slice(&self.data);
        out.extend(self.tail(digests));
    }

    /// What comes before its data: headers, and their digest.
    pub(super) fn head(&self, digests: Digests) -> Vec<u8> {
        let mut head = [self.header.as_bytes(), self.additional.as_slice()].concat();
        if digests.header {
            head.extend(crc32c(&[&head]).to_le_bytes());
        }
        head
    }

    /// What comes behind its data: padding, and the digest of both.
    pub(super) fn tail(&self, digests: Digests) -> Vec<u8> {
        let mut tail = vec![0; self.data.len().next_multiple_of(4) - self.data.len()];
        if digests.data && !self.data.is_empty() {
            tail.extend(crc32c(&[&self.data, &tail]).to_le_bytes());
        }
        tail
    }
}

/// Bytes in, PDUs out.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    buffer: Vec<u8>,
    /// Where the next PDU starts in `buffer`.
    start: usize,
}

/// Bytes that are no PDU.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FrameFault {
    HeaderDigest { opcode: u8 },
    DataDigest { opcode: u8 },
    TooLong { opcode: u8, length: u32, limit: u32 },
}

/// What came out of the decoder.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Framed {
    pub(super) pdu: Pdu,
    /// All padding bytes were zero.
    pub(super) clean_padding: bool,
}

impl Decoder {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        } else if self.start > 1 << 20 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether bytes of an unfinished PDU, or of PDUs not looked at yet, are held.
    pub(super) fn holds_bytes(&self) -> bool {
        self.start < self.buffer.len()
    }

    /// The next PDU, when all of it is there. `limit` is what the target declared as
    /// MaxRecvDataSegmentLength.
    pub(super) fn next(
        &mut self,
        digests: Digests,
        limit: u32,
    ) -> Result<Option<Framed>, FrameFault> {
        let mut rest = &self.buffer[self.start..];
        let Some(header) = rest.first_chunk::<BASIC_HEADER_SEGMENT_LENGTH>() else {
            return Ok(None);
        };
        let header = BasicHeaderSegment::from_bytes(*header);
        let opcode = header.opcode();
        let header_length =
            BASIC_HEADER_SEGMENT_LENGTH + usize::from(header.total_ahs_length()) * 4;
        let Some(head) = take(&mut rest, header_length) else { return Ok(None) };
        if digests.header {
            let Some(digest) = take(&mut rest, 4) else { return Ok(None) };
            if digest != crc32c(&[head]).to_le_bytes() {
                return Err(FrameFault::HeaderDigest { opcode });
            }
        }
        let length = header.data_segment_length();
        if length > limit {
            return Err(FrameFault::TooLong { opcode, length, limit });
        }
        let length = length as usize;
        let Some(segment) = take(&mut rest, length.next_multiple_of(4)) else { return Ok(None) };
        if digests.data && length != 0 {
            let Some(digest) = take(&mut rest, 4) else { return Ok(None) };
            if digest != crc32c(&[segment]).to_le_bytes() {
                return Err(FrameFault::DataDigest { opcode });
            }
        }
        let (data, padding) = segment.split_at(length);
        let framed = Framed {
            pdu: Pdu {
                header,
                additional: head[BASIC_HEADER_SEGMENT_LENGTH..].to_vec(),
                data: data.to_vec(),
            },
            clean_padding: padding.iter().all(|&byte| byte == 0),
        };
        self.start = self.buffer.len() - rest.len();
        Ok(Some(framed))
    }
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (head, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;
    use isboot::pdu::bhs::opcode;

    const BOTH: Digests = Digests { header: true, data: true };

    fn pdu(length: usize) -> Pdu {
        let mut pdu = Pdu::new(BasicHeaderSegment::new(opcode::NOP_OUT), vec![0xa5; length]);
        pdu.additional = vec![1, 2, 3, 4];
        pdu.header.set_total_ahs_length(1);
        pdu
    }

    #[test]
    fn what_is_encoded_is_decoded_however_it_is_cut() {
        for digests in [Digests::default(), BOTH] {
            for length in 0..6 {
                let mut bytes = Vec::new();
                pdu(length).encode(digests, &mut bytes);
                pdu(0).encode(digests, &mut bytes);
                let mut decoder = Decoder::default();
                let mut seen = Vec::new();
                for byte in bytes {
                    decoder.push(&[byte]);
                    while let Some(framed) = decoder.next(digests, 8192).unwrap() {
                        seen.push(framed.pdu);
                    }
                }
                assert_eq!(seen, [pdu(length), pdu(0)]);
                assert!(!decoder.holds_bytes());
            }
        }
    }

    /// The header of RFC 7143 appendix A.4, with the digest printed there.
    #[test]
    fn the_header_digest_is_the_rfcs() {
        let mut header = [0; 48];
        header[..4].copy_from_slice(&[0x01, 0xc0, 0, 0]);
        header[16] = 0x14;
        header[22] = 0x04;
        header[27] = 0x14;
        header[31] = 0x18;
        header[32] = 0x28;
        header[40] = 0x02;
        let mut bytes = Vec::new();
        Pdu::new(BasicHeaderSegment::from_bytes(header), Vec::new()).encode(BOTH, &mut bytes);
        assert_eq!(bytes[48..], [0x56, 0x3a, 0x96, 0xd9]);
    }

    #[test]
    fn damage_is_seen_where_it_is() {
        let mut whole = Vec::new();
        pdu(5).encode(BOTH, &mut whole);
        for (at, expected) in [
            (20, FrameFault::HeaderDigest { opcode: 0 }),
            (50, FrameFault::HeaderDigest { opcode: 0 }),
            (60, FrameFault::DataDigest { opcode: 0 }),
            (62, FrameFault::DataDigest { opcode: 0 }),
            (64, FrameFault::DataDigest { opcode: 0 }),
        ] {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            assert_eq!(decoder.next(BOTH, 8192), Err(expected), "byte {at}");
        }
    }

    #[test]
    fn a_segment_above_the_limit_is_refused_before_it_arrives() {
        let mut bytes = Vec::new();
        pdu(600).encode(Digests::default(), &mut bytes);
        let mut decoder = Decoder::default();
        decoder.push(&bytes[..52]);
        let fault = FrameFault::TooLong { opcode: 0, length: 600, limit: 599 };
        assert_eq!(decoder.next(Digests::default(), 599), Err(fault));
    }

    #[test]
    fn dirty_padding_is_told() {
        let mut bytes = Vec::new();
        pdu(5).encode(Digests::default(), &mut bytes);
        *bytes.last_mut().unwrap() = 1;
        let mut decoder = Decoder::default();
        decoder.push(&bytes);
        assert!(!decoder.next(Digests::default(), 8192).unwrap().unwrap().clean_padding);
    }
}
