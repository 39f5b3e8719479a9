//! Framer and serializer: the stream's layout by hand, any split, any digests, any bytes.

use crate::pdu::bhs::BasicHeaderSegment;
use crate::pdu::digest::{Crc32cFunction, Digests};
use crate::pdu::framer::{Fragment, FrameError, Framer};
use crate::pdu::serializer::Serializer;
use proptest::prelude::*;
use std::vec::Vec;

const PORTABLE: Crc32cFunction = Crc32cFunction::PORTABLE;
const BOTH: Digests = Digests { header: true, data: true };
const LIMIT: u32 = 0x00ff_ffff;

/// A PDU as a framer reports it, its data put together.
#[derive(Clone, Debug, PartialEq)]
struct Pdu {
    header: BasicHeaderSegment,
    data: Vec<u8>,
    data_digest_ok: bool,
}

/// Feeds `stream` in portions of the given sizes, over and over.
fn frame(framer: &mut Framer, stream: &[u8], portions: &[usize]) -> Result<Vec<Pdu>, FrameError> {
    let mut pdus = Vec::new();
    let mut open: Option<Pdu> = None;
    let mut rest = stream;
    let mut portions = portions.iter().cycle();
    while !rest.is_empty() {
        let (mut input, later) = rest.split_at((*portions.next().unwrap()).clamp(1, rest.len()));
        rest = later;
        while let Some(fragment) = framer.next(&mut input)? {
            match fragment {
                Fragment::Header(header) => {
                    let pdu = Pdu { header, data: Vec::new(), data_digest_ok: false };
                    assert!(open.replace(pdu).is_none(), "a header inside a PDU");
                }
                Fragment::Data(piece) => {
                    assert!(!piece.is_empty());
                    open.as_mut().expect("data before a header").data.extend_from_slice(piece);
                }
                Fragment::End { data_digest_ok } => {
                    let pdu = open.take().expect("an end before a header");
                    pdus.push(Pdu { data_digest_ok, ..pdu });
                }
            }
        }
        assert!(input.is_empty(), "None means that all input is used up");
    }
    assert!(open.is_none() || !framer.is_between_pdus());
    Ok(pdus)
}

/// Writes PDUs through rooms of the given sizes, over and over.
fn serialize(digests: Digests, pdus: &[(BasicHeaderSegment, Vec<u8>)], rooms: &[usize]) -> Vec<u8> {
    let mut serializer = Serializer::new(PORTABLE);
    serializer.set_digests(digests);
    let mut rooms = rooms.iter().cycle();
    let mut stream = Vec::new();
    for (header, data) in pdus {
        assert!(serializer.begin(*header, data.len() as u32));
        let mut expected_offset = 0;
        while !serializer.is_idle() {
            // Bytes that nobody writes would show up as 0xee.
            let mut out = std::vec![0xee; (*rooms.next().unwrap()).max(1)];
            let count = serializer.write(&mut out, |offset, piece| {
                assert_eq!(offset as usize, expected_offset);
                expected_offset += piece.len();
                piece.copy_from_slice(&data[offset as usize..expected_offset]);
            });
            assert!(count != 0 || serializer.is_idle());
            assert!(out[count..].iter().all(|byte| *byte == 0xee));
            stream.extend_from_slice(&out[..count]);
        }
        assert_eq!(expected_offset, data.len());
    }
    assert_eq!(serializer.write(&mut [0; 8], |_, _| panic!("no PDU is open")), 0);
    stream
}

fn read_10() -> BasicHeaderSegment {
    BasicHeaderSegment::from_bytes([
        0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0,
        0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
    ])
}

#[test]
fn the_stream_is_laid_out_as_the_rfc_draws_it() {
    let stream = serialize(BOTH, &[(read_10(), Vec::new())], &[7]);
    assert_eq!(stream[..48], read_10().as_bytes()[..]);
    // The digest of appendix A.4; an empty data segment has none (§11.2.3).
    assert_eq!(stream[48..], [0x56, 0x3a, 0x96, 0xd9]);

    // 31 zeros and one of padding are the 32 zeros of appendix A.4.
    let stream = serialize(BOTH, &[(read_10(), std::vec![0; 31])], &[1]);
    assert_eq!(stream.len(), 48 + 4 + 32 + 4);
    assert_eq!(stream[4..8], [0, 0, 0, 31]);
    assert_eq!(stream[52..84], [0; 32]);
    assert_eq!(stream[84..], [0xaa, 0x36, 0x91, 0x8a]);

    let stream = serialize(Digests::default(), &[(read_10(), std::vec![9; 5])], &[1000]);
    assert_eq!(stream[48..], [9, 9, 9, 9, 9, 0, 0, 0]);
}

#[test]
fn data_is_lent_from_the_input_as_large_as_it_is() {
    let stream = serialize(BOTH, &[(read_10(), (0..250).collect())], &[1000]);
    let mut framer = Framer::new(PORTABLE, LIMIT);
    framer.set_digests(BOTH);
    let mut input = &stream[..];
    assert!(matches!(framer.next(&mut input), Ok(Some(Fragment::Header(_)))));
    match framer.next(&mut input) {
        Ok(Some(Fragment::Data(piece))) => {
            assert_eq!(piece.len(), 250);
            assert!(std::ptr::eq(piece, &raw const stream[52..302]));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(framer.next(&mut input), Ok(Some(Fragment::End { data_digest_ok: true })));
    assert_eq!(framer.next(&mut input), Ok(None));
}

#[test]
fn a_busy_serializer_does_not_begin_again() {
    let mut serializer = Serializer::new(PORTABLE);
    assert!(serializer.begin(read_10(), 3));
    assert!(!serializer.begin(read_10(), 0));
    let mut out = [0; 64];
    assert_eq!(serializer.write(&mut out, |_, piece| piece.fill(7)), 52);
    assert_eq!(out[4..8], [0, 0, 0, 3]);
    assert!(serializer.begin(read_10(), 0));
}

#[test]
fn data_may_leave_from_where_it_lies_in_any_pieces() {
    for length in [1, 2, 3, 4, 250] {
        let data: Vec<u8> = (0..length).collect();
        let whole = serialize(BOTH, &[(read_10(), data.clone())], &[1000]);
        for (head, piece, copied) in [(7, 1, 0), (52, 99, 0), (200, 250, 0), (50, 3, 2)] {
            let mut serializer = Serializer::new(PORTABLE);
            serializer.set_digests(BOTH);
            assert!(serializer.begin(read_10(), u32::from(length)));
            let mut out = [0xee; 1000];
            let mut stream = Vec::new();
            while !serializer.is_at_data() {
                assert_eq!(serializer.data_left(), Some((0, u32::from(length))));
                let count = serializer.write_head(&mut out[..head]);
                stream.extend_from_slice(&out[..count]);
            }
            assert_eq!((stream.len(), serializer.write_head(&mut out)), (52, 0));
            while serializer.is_at_data() {
                let (offset, left) = serializer.data_left().unwrap();
                let rest = &data[offset as usize..];
                assert_eq!(left as usize, rest.len());
                let sent = &rest[..rest.len().min(piece)];
                stream.extend_from_slice(sent);
                serializer.sent_in_place(sent);
                let count = serializer.write(&mut out[..copied], |offset, piece| {
                    let start = offset as usize;
                    piece.copy_from_slice(&data[start..start + piece.len()]);
                });
                stream.extend_from_slice(&out[..count]);
            }
            assert_eq!(serializer.data_left(), None);
            let count = serializer.write(&mut out, |_, _| panic!("all of it was sent"));
            stream.extend_from_slice(&out[..count]);
            assert!(serializer.is_idle() && stream == whole, "{length} {head} {piece} {copied}");
            serializer.sent_in_place(&data);
            assert!(serializer.is_idle());
        }
    }
}

#[test]
fn a_wrong_header_digest_ends_the_stream() {
    for bit in 0..8 * 52 {
        let mut stream = serialize(BOTH, &[(read_10(), std::vec![1; 6])], &[1000]);
        stream[bit / 8] ^= 1 << (bit % 8);
        let mut framer = Framer::new(PORTABLE, LIMIT);
        framer.set_digests(BOTH);
        let mut input = &stream[..];
        match framer.next(&mut input) {
            // A flipped TotalAHSLength makes the digest come later.
            Ok(None) => assert_eq!(bit / 8, 4),
            Err(error @ FrameError::HeaderDigest { .. }) => {
                let mut more = &stream[..];
                assert_eq!(framer.next(&mut more), Err(error), "an error stays");
            }
            other => panic!("bit {bit}: {other:?}"),
        }
    }
}

#[test]
fn a_wrong_data_digest_is_told_at_the_end() {
    let sound = serialize(BOTH, &[(read_10(), std::vec![1; 6])], &[1000]);
    for byte in 52..sound.len() {
        let mut stream = sound.clone();
        stream[byte] ^= 0x10;
        stream.extend_from_slice(&sound);
        let mut framer = Framer::new(PORTABLE, LIMIT);
        framer.set_digests(BOTH);
        let pdus = frame(&mut framer, &stream, &[5]).unwrap();
        let verdicts: Vec<bool> = pdus.iter().map(|pdu| pdu.data_digest_ok).collect();
        assert_eq!(verdicts, [false, true], "byte {byte}");
    }
}

#[test]
fn padding_is_not_data_whatever_it_holds() {
    let mut stream = serialize(Digests::default(), &[(read_10(), std::vec![1; 6])], &[1000]);
    stream[54..56].fill(0xff);
    let pdus = frame(&mut Framer::new(PORTABLE, LIMIT), &stream, &[1]).unwrap();
    assert_eq!(pdus[0].data, [1; 6]);
    assert!(pdus[0].data_digest_ok);
}

#[test]
fn too_long_a_data_segment_is_refused_before_its_data() {
    let at_limit = serialize(Digests::default(), &[(read_10(), std::vec![1; 512])], &[1000]);
    let mut framer = Framer::new(PORTABLE, 512);
    assert_eq!(frame(&mut framer, &at_limit, &[100]).unwrap().len(), 1);
    let above = serialize(Digests::default(), &[(read_10(), std::vec![1; 513])], &[1000]);
    let mut input = &above[..];
    assert_eq!(
        framer.next(&mut input),
        Err(FrameError::DataSegmentTooLong { opcode: 1, length: 513, limit: 512 })
    );
    assert_eq!(input.len(), 516, "nothing of the data is taken");

    // The limit moves between PDUs, as after a login.
    let mut framer = Framer::new(PORTABLE, 512);
    framer.set_limit(513);
    assert_eq!(frame(&mut framer, &above, &[100]).unwrap().len(), 1);
}

#[test]
fn a_wrong_header_digest_counts_before_a_wrong_length() {
    let mut stream = serialize(BOTH, &[(read_10(), std::vec![1; 6])], &[1000]);
    stream[5] = 0xff;
    let mut framer = Framer::new(PORTABLE, 512);
    framer.set_digests(BOTH);
    assert!(matches!(framer.next(&mut &stream[..]), Err(FrameError::HeaderDigest { .. })));
}

#[test]
fn additional_header_segments_are_digested_and_skipped() {
    for words in [1u8, 3, 255] {
        let mut header = read_10();
        header.set_total_ahs_length(words);
        header.set_data_segment_length(2);
        let mut stream = header.as_bytes().to_vec();
        stream.extend((0..usize::from(words) * 4).map(|index| index as u8));
        let digest = crc32c::crc32c(&stream);
        stream.extend_from_slice(&digest.to_le_bytes());
        stream.extend_from_slice(&[7, 8, 0, 0]);
        for portion in [1, 50, 5000] {
            let mut framer = Framer::new(PORTABLE, LIMIT);
            framer.set_digests(Digests { header: true, data: false });
            let pdus = frame(&mut framer, &stream, &[portion]).unwrap();
            assert_eq!(pdus, [Pdu { header, data: std::vec![7, 8], data_digest_ok: true }]);
        }
        stream[50] ^= 1;
        let mut framer = Framer::new(PORTABLE, LIMIT);
        framer.set_digests(Digests { header: true, data: false });
        assert!(matches!(frame(&mut framer, &stream, &[9]), Err(FrameError::HeaderDigest { .. })));
    }
}

#[test]
fn digests_begin_between_two_pdus() {
    let mut stream = serialize(Digests::default(), &[(read_10(), std::vec![1; 2])], &[1000]);
    let plain = stream.len();
    stream.extend(serialize(BOTH, &[(read_10(), std::vec![2; 3])], &[1000]));
    let mut framer = Framer::new(PORTABLE, LIMIT);
    let mut pdus = frame(&mut framer, &stream[..plain], &[3]).unwrap();
    framer.set_digests(BOTH);
    pdus.extend(frame(&mut framer, &stream[plain..], &[3]).unwrap());
    assert_eq!(pdus.len(), 2);
    assert!(pdus.iter().all(|pdu| pdu.data_digest_ok));
    assert_eq!(pdus[1].data, [2; 3]);
}

fn digests() -> impl Strategy<Value = Digests> {
    any::<(bool, bool)>().prop_map(|(header, data)| Digests { header, data })
}

/// Portions as a network would make them: single bytes, odd sizes, everything at once.
fn portions() -> impl Strategy<Value = Vec<usize>> {
    let size = prop_oneof![Just(1), 1usize..20, 20usize..200, Just(100_000)];
    prop::collection::vec(size, 1..8)
}

fn pdus() -> impl Strategy<Value = Vec<(BasicHeaderSegment, Vec<u8>)>> {
    let header = any::<[[u8; 24]; 2]>().prop_map(|halves| {
        let mut bytes = [0; 48];
        bytes[..24].copy_from_slice(&halves[0]);
        bytes[24..].copy_from_slice(&halves[1]);
        let mut header = BasicHeaderSegment::from_bytes(bytes);
        header.set_total_ahs_length(0);
        header
    });
    let data = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..9),
        prop::collection::vec(any::<u8>(), 0..300)
    ];
    prop::collection::vec((header, data), 1..6)
}

proptest! {
    #[test]
    fn framing_undoes_serializing(
        digests in digests(), pdus in pdus(), rooms in portions(), portions in portions(),
    ) {
        let stream = serialize(digests, &pdus, &rooms);
        let mut framer = Framer::new(PORTABLE, LIMIT);
        framer.set_digests(digests);
        let framed = frame(&mut framer, &stream, &portions).unwrap();
        let expected: Vec<Pdu> = pdus
            .into_iter()
            .map(|(mut header, data)| {
                header.set_data_segment_length(data.len() as u32);
                Pdu { header, data, data_digest_ok: true }
            })
            .collect();
        prop_assert_eq!(framed, expected);
    }

    #[test]
    fn the_split_of_output_does_not_matter(
        digests in digests(), pdus in pdus(), a in portions(), b in portions(),
    ) {
        prop_assert_eq!(serialize(digests, &pdus, &a), serialize(digests, &pdus, &b));
    }

    #[test]
    fn the_split_of_input_does_not_matter_and_nothing_panics(
        digests in digests(),
        limit in prop_oneof![Just(LIMIT), 0u32..2000],
        // Small lengths, so that a stream of noise holds several PDUs.
        noise in prop::collection::vec(prop_oneof![3 => Just(0u8), 1 => any::<u8>()], 0..1500),
        portions in portions(),
    ) {
        let run = |portions: &[usize]| {
            let mut framer = Framer::new(PORTABLE, limit);
            framer.set_digests(digests);
            frame(&mut framer, &noise, portions)
        };
        prop_assert_eq!(run(&portions), run(&[usize::MAX]));
    }
}
