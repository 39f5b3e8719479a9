//! The framer over any stream in any cut, against an oracle that has the whole stream before it;
//! and the serializer, which must give the same bytes into any room.

use isboot::pdu::bhs::{BASIC_HEADER_SEGMENT_LENGTH, BasicHeaderSegment};
use isboot::pdu::digest::{Crc32cFunction, Digests};
use isboot::pdu::framer::{Fragment, FrameError, Framer};
use isboot::pdu::request::Request;
use isboot::pdu::response::Response;
use isboot::pdu::serializer::Serializer;

use crate::Script;

/// Longer streams show nothing new.
const STREAM_LIMIT: usize = 4096;

/// The first byte: which digests, which limit, and whether the rest is the stream itself or a
/// script for one.
pub(crate) fn framer(input: &[u8]) {
    let mut script = Script(input);
    let flavour = script.byte().unwrap_or(0);
    let digests = Digests { header: flavour & 1 != 0, data: flavour & 2 != 0 };
    let limit = if flavour & 4 != 0 { 24 } else { 600 };
    let seed = script.byte().unwrap_or(0);
    let mut stream = Vec::with_capacity(512);
    if flavour & 8 != 0 {
        stream.extend_from_slice(script.take(STREAM_LIMIT));
    } else {
        while !script.is_at_its_end() && stream.len() < STREAM_LIMIT {
            write_pdu(&mut stream, &mut script, digests);
        }
    }
    let mut room = usize::from(seed);
    compare(&stream, digests, limit, |left| {
        // A cut of every size, and now and then all the rest.
        room = room.wrapping_mul(5).wrapping_add(3) % 251;
        if room % 17 == 0 { left } else { (room % 61).min(left) }
    });
    compare(&stream, digests, limit, |left| left);
}

/// A PDU of the script's making: right in all but what the script says.
fn write_pdu(stream: &mut Vec<u8>, script: &mut Script<'_>, digests: Digests) {
    let shape = script.byte().unwrap_or(0);
    let mut bytes = [0; BASIC_HEADER_SEGMENT_LENGTH];
    bytes[0] = script.byte().unwrap_or(0);
    bytes[1] = script.byte().unwrap_or(0);
    let additional = usize::from(shape >> 6);
    bytes[4] = additional as u8;
    let length = usize::from(script.byte().unwrap_or(0)) * if shape & 1 != 0 { 3 } else { 1 };
    let field = match shape & 0x30 {
        // A length that the stream does not hold.
        0x30 => 0x00ff_fff0 | length as u32,
        _ => length as u32,
    };
    bytes[5..8].copy_from_slice(&field.to_be_bytes()[1..]);
    for _ in 0..(shape >> 1) & 3 {
        let (at, value) = (script.byte().unwrap_or(0), script.byte().unwrap_or(0));
        if !(4..8).contains(&(at % 48)) {
            bytes[usize::from(at % 48)] = value;
        }
    }
    let header = BasicHeaderSegment::from_bytes(bytes);
    check_codecs(&header);
    let start = stream.len();
    stream.extend_from_slice(&bytes);
    stream.extend((0..additional * 4).map(|at| at as u8));
    let damage = u8::from(shape & 0x38 == 0x08);
    if digests.header {
        let mut digest = sum(&stream[start..]);
        digest[0] ^= damage;
        stream.extend_from_slice(&digest);
    }
    if length == 0 {
        return;
    }
    let start = stream.len();
    let data = script.take(length.min(8));
    stream.extend((0..length).map(|at| data.get(at % 8).copied().unwrap_or(at as u8)));
    stream.resize(start + length.next_multiple_of(4), 0);
    if digests.data {
        let mut digest = sum(&stream[start..]);
        digest[3] ^= u8::from(shape & 0x38 == 0x28);
        stream.extend_from_slice(&digest);
    }
}

/// A header that decodes says the same when it is written again and read again.
fn check_codecs(header: &BasicHeaderSegment) {
    match Response::parse(header) {
        Ok(response) => assert_eq!(Response::parse(&response.emit()), Ok(response)),
        Err(error) => crate::shown(&error),
    }
    match Request::parse(header) {
        Ok(request) => assert_eq!(Request::parse(&request.emit()), Ok(request)),
        Err(error) => crate::shown(&error),
    }
}

/// Gives the stream to a framer in pieces, and holds what it says to the oracle.
fn compare(stream: &[u8], digests: Digests, limit: u32, mut cut: impl FnMut(usize) -> usize) {
    let mut framer = Framer::new(Crc32cFunction::PORTABLE, limit);
    framer.set_digests(digests);
    let mut oracle = Oracle { rest: stream, digests, limit };
    let mut pdu: Option<Pdu<'_>> = None;
    let mut data = 0;
    let mut rest = stream;
    loop {
        assert_eq!(framer.is_between_pdus(), pdu.is_none() && oracle.rest.len() == rest.len());
        let length = cut(rest.len());
        let (mut piece, after) = rest.split_at(length);
        rest = after;
        loop {
            let before = piece.len();
            match framer.next(&mut piece) {
                Ok(None) => {
                    assert!(piece.is_empty(), "all input is taken");
                    break;
                }
                Ok(Some(Fragment::Header(header))) => {
                    assert!(pdu.is_none(), "one PDU after another");
                    let next = oracle.next().expect("a whole header").expect("a right header");
                    assert_eq!(header, next.header);
                    (pdu, data) = (Some(next), 0);
                }
                Ok(Some(Fragment::Data(bytes))) => {
                    let pdu = pdu.as_ref().expect("a header comes first");
                    assert!(!bytes.is_empty() && bytes.len() <= before);
                    assert_eq!(pdu.data.get(data..data + bytes.len()), Some(bytes));
                    data += bytes.len();
                }
                Ok(Some(Fragment::End { data_digest_ok })) => {
                    let pdu = pdu.take().expect("a header comes first");
                    assert_eq!(data as u32, pdu.header.data_segment_length(), "all data came");
                    assert_eq!(Some(data_digest_ok), pdu.data_digest_ok);
                    // What follows stands where the oracle says.
                    assert_eq!(piece.len() + rest.len(), oracle.rest.len());
                    assert!(framer.is_between_pdus());
                    write_again(&pdu, digests, stream.len() - oracle.rest.len(), stream);
                }
                Err(error) => {
                    crate::shown(&error);
                    assert!(pdu.is_none(), "nothing of a wrong PDU is reported");
                    assert_eq!(oracle.next(), Some(Err(error)));
                    let mut more: &[u8] = &[0; 48];
                    assert_eq!(framer.next(&mut more), Err(error), "an error stays");
                    return;
                }
            }
        }
        if rest.is_empty() {
            break;
        }
    }
    match pdu {
        // Cut in its data, padding or digest.
        Some(pdu) => assert_eq!(pdu.data_digest_ok, None),
        None => assert_eq!(oracle.next(), None, "a whole header is reported"),
    }
}

/// A PDU that came whole is what the serializer makes of its header and its data.
fn write_again(pdu: &Pdu<'_>, digests: Digests, end: usize, stream: &[u8]) {
    if pdu.header.total_ahs_length() != 0 || pdu.data_digest_ok != Some(true) || !pdu.zero_padded {
        return;
    }
    let mut serializer = Serializer::new(Crc32cFunction::PORTABLE);
    serializer.set_digests(digests);
    let length = pdu.header.data_segment_length();
    assert!(serializer.begin(pdu.header, length));
    let mut out = [0; 1024];
    let (mut written, mut room) = (0, 1 + end % 59);
    while !serializer.is_idle() {
        room = (room * 7 + 1) % 97;
        written += serializer.write(&mut out[written..written + room], |offset, piece| {
            let start = offset as usize;
            piece.copy_from_slice(&pdu.data[start..start + piece.len()]);
        });
    }
    assert_eq!(&out[..written], &stream[end - written..end]);
}

/// A PDU as the oracle sees it; `data` is as long as the stream goes.
#[derive(Debug, PartialEq)]
struct Pdu<'s> {
    header: BasicHeaderSegment,
    data: &'s [u8],
    /// `None` when the stream ends before the PDU does.
    data_digest_ok: Option<bool>,
    zero_padded: bool,
}

struct Oracle<'s> {
    rest: &'s [u8],
    digests: Digests,
    limit: u32,
}

impl<'s> Oracle<'s> {
    /// `None` when there is no whole header any more.
    fn next(&mut self) -> Option<Result<Pdu<'s>, FrameError>> {
        let stream = self.rest;
        let header = BasicHeaderSegment::from_bytes(*stream.first_chunk()?);
        let head = 48 + usize::from(stream[4]) * 4;
        let mut at = head;
        if self.digests.header {
            let received: [u8; 4] = stream.get(head..head + 4)?.try_into().ok()?;
            let computed = sum(&stream[..head]);
            if received != computed {
                return Some(Err(FrameError::HeaderDigest { header, received, computed }));
            }
            at += 4;
        } else if stream.len() < head {
            return None;
        }
        let length = u32::from_be_bytes([0, stream[5], stream[6], stream[7]]);
        if length > self.limit {
            let (opcode, limit) = (stream[0] & 0x3f, self.limit);
            return Some(Err(FrameError::DataSegmentTooLong { opcode, length, limit }));
        }
        let length = length as usize;
        let padded = length.next_multiple_of(4);
        let rest = &stream[at..];
        let data = &rest[..length.min(rest.len())];
        let tail = if self.digests.data && length != 0 { 4 } else { 0 };
        let whole = rest.get(..padded + tail);
        self.rest = &rest[whole.map_or(rest.len(), <[u8]>::len)..];
        let data_digest_ok =
            whole.map(|whole| tail == 0 || whole[padded..] == sum(&whole[..padded]));
        let zero_padded = whole.is_some_and(|whole| whole[length..padded].iter().all(|b| *b == 0));
        Some(Ok(Pdu { header, data, data_digest_ok, zero_padded }))
    }
}

/// CRC32C, byte by byte and bit by bit, as it goes on the wire (RFC 7143 §13.1).
fn sum(bytes: &[u8]) -> [u8; 4] {
    const TABLE: [u32; 256] = {
        let mut table = [0; 256];
        let mut at = 0;
        while at < 256 {
            let mut value = at as u32;
            let mut bit = 0;
            while bit < 8 {
                value = if value & 1 == 0 { value >> 1 } else { value >> 1 ^ 0x82f6_3b78 };
                bit += 1;
            }
            table[at] = value;
            at += 1;
        }
        table
    };
    let crc =
        bytes.iter().fold(u32::MAX, |crc, byte| crc >> 8 ^ TABLE[usize::from(crc as u8 ^ byte)]);
    (!crc).to_le_bytes()
}
