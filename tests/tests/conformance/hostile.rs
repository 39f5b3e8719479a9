//! B-HX: hostile or broken PDUs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use isboot::boot::State;
use isboot::disk::DiskId;
use isboot::login::LoginError;
use isboot::login::text::TextError;
use isboot::pdu::bhs::{BasicHeaderSegment, RESERVED_TAG, opcode};
use isboot::pdu::framer::FrameError;
use isboot::pdu::response::{DataIn, NopIn, ReadyToTransfer, Residual, Response, SequenceNumbers};
use isboot::session::Error;
use isboot_tests::pair::{NUMBERS, Pair, Random, asynchronous, target};
use isboot_tests::target::{Fate, Injection, Numbering, Pdu};

use super::scripted_login::{Answer, KeyProblem, Play, Seen, in_pieces, login, text as text_of};
use super::support::reject;
use super::transfers::{Trial, answer, content, data_in, good, numbers_after, part, r2t};

/// Every opcode of a target (RFC 7143 §11.2.1.2).
const RESPONSES: [u8; 10] = [0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x31, 0x32, 0x3f];
const BOTH_DIGESTS: &[(&str, &str)] = &[("header_digest", "crc32c"), ("data_digest", "crc32c")];

/// A PDU with this opcode and F=1 that is otherwise in order.
fn pdu(code: u8, tag: u32, numbers: SequenceNumbers) -> Pdu {
    let of_a_task = !matches!(code, opcode::NOP_IN | opcode::ASYNC_MESSAGE | opcode::REJECT);
    let tag = if of_a_task { tag } else { RESERVED_TAG };
    let mut bytes = [0; 48];
    (bytes[0], bytes[1]) = (code, 0x80);
    let SequenceNumbers { stat_sn, exp_cmd_sn, max_cmd_sn } = numbers;
    let words = [tag, RESERVED_TAG, stat_sn.0, exp_cmd_sn.0, max_cmd_sn.0];
    for (at, word) in (16..).step_by(4).zip(words) {
        bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
    }
    Pdu::new(BasicHeaderSegment::from_bytes(bytes), Vec::new())
}

/// `pdu` with this as its Additional Header Segments.
fn with_additional(mut pdu: Pdu, additional: Vec<u8>) -> Pdu {
    pdu.header.set_total_ahs_length(u8::try_from(additional.len() / 4).unwrap());
    pdu.additional = additional;
    pdu
}

/// The connection is dropped as soon as `pdu` comes in answer to a read, which is then served by
/// the next session.
#[track_caller]
fn dropped_by(
    what: &str,
    parameters: &[(&str, &str)],
    pdu: impl FnOnce(u32, SequenceNumbers) -> Pdu + Send + 'static,
) -> Error {
    let mut trial = Trial::of(target(), parameters);
    trial.answer_read_with(move |tag, command| {
        vec![Injection { pdu: pdu(tag, numbers_after(command)), numbering: Numbering::Exact }]
    });
    let begun = trial.pair.now();
    trial.assert_reads(4096, what);
    // The next login waits for Time2Wait; a ping would come after five seconds.
    assert!(trial.pair.now().since(begun) < Duration::from_secs(5), "{what}: it was waited for");
    let error = trial.pair.isboot.last_error().expect("a reason");
    trial.assert_renewed(what);
    error
}

/// A login answered with a PDU that is none of it is dropped at once.
#[track_caller]
fn login_dropped_by(pdu: impl Fn(u32, SequenceNumbers) -> Pdu + Send + 'static) -> Error {
    login(move |seen| {
        let numbers = SequenceNumbers {
            stat_sn: isboot::pdu::serial::SerialNumber(1),
            exp_cmd_sn: seen.header.cmd_sn,
            max_cmd_sn: seen.header.cmd_sn,
        };
        pdu(seen.header.initiator_task_tag, numbers)
    })
    .drops()
}

// --- headers ---

#[test]
fn b_hx_01_an_impossible_length_is_refused_at_the_header() {
    let endless = |code| {
        move |tag, numbers| {
            let mut pdu = pdu(code, tag, numbers);
            pdu.header.set_data_segment_length(0xff_ffff);
            pdu
        }
    };
    for code in RESPONSES {
        for error in
            [dropped_by(&format!("{code:#x}"), &[], endless(code)), login_dropped_by(endless(code))]
        {
            let Error::Frame(FrameError::DataSegmentTooLong { opcode, length, .. }) = error else {
                panic!("{code:#x}: {error}");
            };
            assert_eq!((opcode, length), (code, 0xff_ffff));
        }
    }
}

#[test]
fn b_hx_02_no_data_where_there_is_none() {
    for code in [0x31, 0x22, 0x26] {
        let error = dropped_by(&format!("{code:#x}"), &[], move |tag, numbers| {
            Pdu::new(pdu(code, tag, numbers).header, vec![0; 4])
        });
        let Error::Malformed(malformed) = error else { panic!("{code:#x}: {error}") };
        assert_eq!((malformed.field, malformed.value), ("DataSegmentLength", 4), "{code:#x}");
    }
}

#[track_caller]
fn refused_for_additional_header(error: Error, words: u32, what: &str) {
    let Error::Malformed(malformed) = error else { panic!("{what}: {error}") };
    assert_eq!((malformed.field, malformed.value), ("TotalAHSLength", words), "{what}");
}

#[test]
fn b_hx_03_no_response_has_an_additional_header() {
    for (words, digests) in [(1_u8, &[][..]), (255, &[]), (1, BOTH_DIGESTS), (255, BOTH_DIGESTS)] {
        for code in RESPONSES {
            let what = format!("{code:#x}, {words} words, {digests:?}");
            let error = dropped_by(&what, digests, move |tag, numbers| {
                let length = usize::from(words) * 4 - 3;
                let mut segment = u16::try_from(length).unwrap().to_be_bytes().to_vec();
                // A bidirectional read's length (§11.2.2.4).
                segment.push(2);
                segment.resize(usize::from(words) * 4, 0);
                with_additional(pdu(code, tag, numbers), segment)
            });
            refused_for_additional_header(error, words.into(), &what);
        }
    }
}

/// The header digest covers the Additional Header Segments: damage there is damage.
#[test]
fn b_hx_03_the_header_digest_covers_an_additional_header() {
    let mut trial = Trial::of(target(), BOTH_DIGESTS);
    let mut once = true;
    trial.target.on_response(move |wire, pdu| {
        if pdu.header.opcode() != opcode::DATA_IN || !std::mem::take(&mut once) {
            return Fate::Send;
        }
        let mut bytes = Vec::new();
        with_additional(pdu.clone(), vec![0, 1, 2, 0]).encode(wire.digests, &mut bytes);
        bytes[51] ^= 1;
        Fate::Bytes(bytes)
    });
    trial.assert_reads(4096, "damaged");
    let error = trial.pair.isboot.last_error();
    assert!(matches!(error, Some(Error::Frame(FrameError::HeaderDigest { .. }))), "{error:?}");
    trial.assert_renewed("damaged");
}

#[test]
fn b_hx_04_a_malformed_additional_header_is_read_no_further() {
    let segment = |length: u16, kind: u8| [&length.to_be_bytes()[..], &[kind, 0]].concat();
    let mut segments = vec![segment(0xffff, 1), segment(6, 2), segment(0, 1), segment(0, 0)];
    segments.extend((3..64).map(|kind| segment(1, kind)));
    for additional in segments {
        for code in RESPONSES {
            let (what, additional) = (format!("{code:#x}, {additional:02x?}"), additional.clone());
            let error = dropped_by(&what, &[], move |tag, numbers| {
                with_additional(pdu(code, tag, numbers), additional)
            });
            refused_for_additional_header(error, 1, &what);
        }
    }
}

#[track_caller]
fn refused_for_its_opcode(codes: impl Iterator<Item = u8>) {
    for code in codes {
        let what = format!("{code:#x}");
        let error = dropped_by(&what, &[], move |tag, numbers| pdu(code, tag, numbers));
        let Error::Malformed(malformed) = error else { panic!("{what}: {error}") };
        assert_eq!(malformed.opcode, code);
        let error = login_dropped_by(move |tag, numbers| pdu(code, tag, numbers));
        assert!(matches!(error, Error::Malformed(_) | Error::NotIscsi(_)), "{what}: {error}");
    }
}

#[test]
fn b_hx_05_an_unknown_opcode_ends_the_connection() {
    refused_for_its_opcode((0x27..=0x30).chain(0x33..=0x3b));
}

#[test]
fn b_hx_06_a_vendors_opcode_ends_the_connection() {
    refused_for_its_opcode(0x3c..=0x3e);
}

#[test]
fn b_hx_07_an_initiators_opcode_ends_the_connection() {
    refused_for_its_opcode((0x00..=0x06).chain([0x10]));
}

/// A start-up, a write by R2Ts, a read with a status of its own, a ping and a logout, in which
/// `change` is made to each header; nothing comes of it.
#[track_caller]
fn untroubled_by(what: &str, change: impl Fn(u8, &mut [u8; 48]) + Send + 'static) {
    let target = target().separate_status().initial_r2t(true).immediate_data(false).build();
    target.write_lun(0, 0, &content(1 << 16)).unwrap();
    target.on_response(move |_, pdu| {
        let mut bytes = *pdu.header.as_bytes();
        change(pdu.header.opcode(), &mut bytes);
        pdu.header = BasicHeaderSegment::from_bytes(bytes);
        Fate::Send
    });
    let mut pair = Pair::new(&target, &[]);
    pair.become_ready();
    let mut trial = Trial { target, pair };
    trial.assert_writes(8192, what);
    trial.assert_reads(8192, what);
    trial.pair.pass(Duration::from_secs(12));
    assert!(trial.target.statistics().request_count(opcode::NOP_OUT) > 0, "{what}: no ping");
    trial.assert_untroubled(what);
}

#[test]
fn b_hx_08_reserved_bits_beside_the_opcode_are_ignored() {
    for bits in [0x40, 0x80, 0xc0] {
        untroubled_by(&format!("{bits:#x}"), move |_, bytes| bytes[0] |= bits);
    }
}

#[test]
fn b_hx_09_a_missing_final_bit_that_says_nothing_is_ignored() {
    for wanted in [opcode::SCSI_RESPONSE, opcode::READY_TO_TRANSFER, opcode::NOP_IN] {
        untroubled_by(&format!("{wanted:#x}"), move |code, bytes| {
            if code == wanted {
                bytes[1] &= 0x7f;
            }
        });
    }
}

#[test]
fn b_hx_10_no_login_response_comes_after_the_login() {
    let error = dropped_by("23h", &[], |tag, numbers| {
        let mut bytes = *pdu(opcode::LOGIN_RESPONSE, tag, numbers).header.as_bytes();
        bytes[1] = 0x87;
        Pdu::new(BasicHeaderSegment::from_bytes(bytes), Vec::new())
    });
    assert!(matches!(error, Error::PeerMisbehaved(_)), "{error}");
}

#[test]
fn b_hx_11_no_logout_response_comes_unasked() {
    let error = dropped_by("26h", &[], |tag, numbers| pdu(opcode::LOGOUT_RESPONSE, tag, numbers));
    assert!(matches!(error, Error::PeerMisbehaved(_)), "{error}");
}

// --- text ---

/// What becomes of a login whose operational stage is answered with what `text` makes of a
/// willing answer.
fn answered(text: impl Fn(Vec<u8>) -> Vec<u8> + Send + 'static) -> Play {
    login(move |seen| {
        if seen.in_security_stage() {
            return seen.granted();
        }
        let whole = text_of(&seen.accepted_but(&[]));
        seen.says_bytes("1>3", &text(whole))
    })
}

/// A willing answer, after which these bytes come.
fn and_then(bytes: &[u8]) -> Play {
    let bytes = bytes.to_vec();
    answered(move |whole| [&whole[..], &bytes].concat())
}

#[track_caller]
fn malformed(play: Play) -> TextError {
    match play.fails() {
        Error::Login(LoginError::Malformed(error)) => error,
        error => panic!("{error}"),
    }
}

/// The padding is of zeros: it must not stand in for the NUL, nor must what the buffer held before.
#[test]
fn b_hx_12_a_text_ends_with_a_nul() {
    for length in 4..8 {
        let pair = &b"X-a=bcd"[..length];
        let error = malformed(and_then(pair));
        assert!(matches!(error, TextError::Unterminated(_)), "{length} bytes: {error}");
    }
    let error = malformed(answered(|mut whole| {
        whole.pop();
        whole
    }));
    assert!(matches!(error, TextError::Unterminated(_)), "{error}");
}

#[test]
fn b_hx_13_nuls_beyond_one_are_skipped() {
    for count in [1, 2, 3, 100] {
        and_then(&vec![0; count]).succeeds();
        answered(move |whole| [vec![0; count], whole].concat()).succeeds();
        answered(move |_| vec![0; count]).succeeds();
    }
    let spread = |whole: Vec<u8>| -> Vec<u8> {
        whole.iter().flat_map(|&byte| if byte == 0 { vec![0; 5] } else { vec![byte] }).collect()
    };
    let negotiated = answered(spread).succeeds();
    assert_eq!(negotiated.max_send_data_segment_length, 65536, "the pairs count all the same");
}

#[test]
fn b_hx_14_a_nul_inside_a_pair_ends_it() {
    let error = malformed(and_then(b"TargetAl\0ias=x\0"));
    assert!(matches!(error, TextError::NoEquals(_)), "{error}");
    assert!(error.to_string().contains("TargetAl"), "{error}");
}

#[test]
fn b_hx_15_what_is_no_pair_fails_the_login() {
    let error = malformed(and_then(b"ImmediateData\0"));
    assert!(matches!(error, TextError::NoEquals(_)), "{error}");
    let error = malformed(and_then(b"=Yes\0"));
    assert!(matches!(error, TextError::BadKey(_)), "{error}");
    let empty = login(|seen: &Seen| {
        if seen.in_security_stage() {
            return seen.granted();
        }
        let rest = seen.accepted_but(&["MaxBurstLength="]);
        let text = [text_of(&rest), b"MaxBurstLength=\0".to_vec()].concat();
        seen.says_bytes("1>3", &text)
    });
    assert_eq!(empty.fails_over("MaxBurstLength"), KeyProblem::BadValue);
}

/// Says this text first in the operational stage; what the initiator answers to it.
fn answer_to(text: Vec<u8>) -> String {
    let played = login(move |seen| match (seen.in_security_stage(), seen.step) {
        (true, _) => seen.granted(),
        (false, 1) => seen.says_bytes("1", &text),
        (false, _) => seen.granted(),
    })
    .run();
    played.logged_in();
    played.pairs_of(2)
}

#[test]
fn b_hx_16_a_value_may_hold_equals_signs() {
    assert_eq!(answer_to(b"X-a=b=c\0".to_vec()), "X-a=NotUnderstood");
    let alias = and_then(b"TargetAlias=b=c\0").succeeds().target_alias;
    assert_eq!(alias.as_deref(), Some("b=c"));
}

#[test]
fn b_hx_17_a_key_has_at_most_63_bytes() {
    let key = |length: usize| format!("X-{}", "k".repeat(length - 2));
    let longest = key(63);
    let answer = answer_to(format!("{longest}=1\0").into_bytes());
    assert_eq!(answer, format!("{longest}=NotUnderstood"));
    for length in [64, 8000 - 800] {
        let error = malformed(and_then(format!("{}=1\0", key(length)).as_bytes()));
        assert!(matches!(error, TextError::BadKey(_)), "{length}: {error}");
    }
    let error = malformed(answered(move |_| format!("{}=1\0", key(8000)).into_bytes()));
    assert!(matches!(error, TextError::BadKey(_)), "{error}");
}

#[test]
fn b_hx_18_a_value_has_at_most_255_bytes() {
    let alias = |length: usize| {
        let text = format!("TargetAlias={}\0", "a".repeat(length)).into_bytes();
        answered(move |_| text.clone()).succeeds().target_alias.map(|alias| alias.len())
    };
    assert_eq!([alias(255), alias(256), alias(8000)], [Some(255), None, None]);

    let number = |length: usize| {
        let text = format!("MaxBurstLength=0x{:0>1$}\0", "2000", length - 2).into_bytes();
        answered(move |_| text.clone())
    };
    assert_eq!(number(255).succeeds().max_burst_length, 8192);
    for length in [256, 8000] {
        assert_eq!(number(length).fails_over("MaxBurstLength"), KeyProblem::BadValue, "{length}");
    }

    for length in [255, 256, 8000] {
        let text = format!("TargetPortalGroupTag=1\0AuthMethod={}\0", "N".repeat(length));
        let play = login(move |seen: &Seen| seen.says_bytes("0>1", text.as_bytes()));
        play.fails_over("AuthMethod");
    }
}

#[test]
fn b_hx_19_bytes_outside_the_character_set_reach_nobody_unescaped() {
    let is_clean = |error: &dyn std::fmt::Display| {
        let text = error.to_string();
        assert!(
            !text.chars().any(|c| c.is_control() || c == char::REPLACEMENT_CHARACTER),
            "{text}"
        );
    };
    for strange in [&b"\x01"[..], b"\x1b[2J", b"\x7f", b"\xff", b"\xc0\x80", b"\xe0\x80\xaf"] {
        let key = [b"X-", strange, b"=1\0"].concat();
        let error = malformed(and_then(&key));
        assert!(matches!(error, TextError::BadKey(_)), "{error}");
        is_clean(&error);

        let number = [b"MaxBurstLength=", strange, b"8192\0"].concat();
        let error = answered(move |_| number.clone()).fails();
        is_clean(&error);

        let unknown = [b"X-a=", strange, b"\0"].concat();
        assert_eq!(answer_to(unknown), "X-a=NotUnderstood");

        let alias = [b"TargetAlias=", strange, b"\0"].concat();
        assert_eq!(and_then(&alias).succeeds().target_alias, None, "{strange:02x?}");
    }
}

// --- bombs ---

/// Text that fills `length` bytes with pairs of unknown keys.
fn unknown_keys(length: usize) -> Vec<u8> {
    let mut text = Vec::new();
    for index in 0.. {
        let room = length - text.len();
        if room == 0 {
            break;
        }
        let size = if room < 2 * 256 { room } else { 256 };
        let key = format!("X-{index}=");
        text.extend(key.as_bytes());
        text.resize(text.len() + size - key.len() - 1, b'v');
        text.push(0);
    }
    text
}

#[test]
fn b_hx_20_a_negotiation_is_bounded() {
    let of = |length: usize| {
        let script = move |seen: &Seen| match (seen.in_security_stage(), seen.text.is_empty()) {
            (true, _) => seen.granted(),
            (false, false) if !seen.pairs().contains("NotUnderstood") => {
                seen.says_bytes("1", &unknown_keys(length))
            }
            (false, _) => seen.granted(),
        };
        login(in_pieces(script, |text| (4096..text.len()).step_by(4096).collect()))
    };
    of(8192).run().logged_in();
    for length in [8193, 1 << 16, (1 << 16) + 1, 1 << 24] {
        let played = of(length).run();
        assert!(played.requests().len() <= 5, "{length}: the bomb goes on");
        let error = played.failed();
        assert!(matches!(error, Error::Login(LoginError::LimitReached(_))), "{length}: {error}");
    }
}

#[test]
fn b_hx_21_a_login_that_never_ends_is_ended() {
    for (piece, most) in [(&b"X"[..], 8194), (b"\0", 8194), (b"", 66)] {
        let mut sent = 0;
        let play = login(move |seen: &Seen| -> Answer {
            if seen.in_security_stage() {
                return seen.granted();
            }
            sent += 1;
            assert!(sent < 100_000);
            seen.says_bytes("1+", piece)
        });
        let played = play.run();
        let (requests, piece) = (played.requests().len(), piece.escape_ascii());
        assert!(requests <= most, "{piece}: {requests} requests");
        let error = played.failed();
        assert!(matches!(error, Error::Login(LoginError::LimitReached(_))), "{piece}: {error}");
    }
}

// --- noise ---

#[test]
fn b_hx_22_random_bytes_from_the_first_on() {
    for seed in 0..64 {
        let target = target().build();
        let mut random = Random(seed);
        target.on_response(move |_, _| {
            let length = 1 + random.next_number() as usize % 600;
            Fate::Bytes(random.bytes(length))
        });
        let mut pair = Pair::new(&target, &[]);
        // Each attempt gets other bytes.
        let why = pair.end();
        assert!(why.is_some(), "seed {seed}");
        assert!(pair.now().since(isboot::time::Instant::ZERO) < Duration::from_secs(300));
    }
}

/// After a good login: bytes of any kind, and PDUs whose opcode and tag are right and nothing else.
#[test]
fn b_hx_22_random_bytes_after_a_good_login() {
    for seed in 0..200_u64 {
        let mut trial = Trial::new();
        trial.answer_read_with(move |tag, command| {
            let mut random = Random(seed);
            let numbers = numbers_after(command);
            let mut noise = |_| {
                let mut bytes = [0; 48];
                bytes.copy_from_slice(&random.bytes(48));
                if seed % 4 != 0 {
                    let code = RESPONSES[random.next_number() as usize % RESPONSES.len()];
                    let right = *pdu(code, tag, numbers).header.as_bytes();
                    (bytes[0], bytes[4], bytes[5], bytes[6]) = (right[0], 0, 0, 0);
                    bytes[16..20].copy_from_slice(&right[16..20]);
                }
                if seed % 4 > 1 {
                    let right = *pdu(0, tag, numbers).header.as_bytes();
                    bytes[20..36].copy_from_slice(&right[20..36]);
                }
                let mut pdu = Pdu::new(BasicHeaderSegment::from_bytes(bytes), Vec::new());
                pdu.header = BasicHeaderSegment::from_bytes(bytes);
                pdu.data = random.bytes(usize::from(bytes[7]));
                Injection { pdu, numbering: Numbering::Exact }
            };
            (0..8).map(&mut noise).collect()
        });
        let begun = trial.pair.now();
        // What noise said may be an answer; then the next read is served, by this session or another.
        let _ = trial.read(4096);
        trial.assert_reads(4096, &format!("seed {seed}"));
        let waited = trial.pair.now().since(begun);
        assert!(waited < Duration::from_secs(600), "seed {seed}: {waited:?}");
    }
}

// --- what is not iSCSI ---

#[test]
fn b_hx_24_another_protocol_on_the_port_is_told_as_such() {
    for (banner, shown) in [
        (&b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"[..], "HTTP/1.1 400"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "\\x15\\x03\\x03"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH-2.0"),
    ] {
        let target = target().build();
        target.on_response(move |_, _| Fate::Bytes(banner.to_vec()));
        let mut pair = Pair::new(&target, &[]);
        let waited = pair.run_until("the drop", |isboot| isboot.last_error().is_some());
        assert!(waited < Duration::from_secs(1), "{shown}: it was waited for");
        assert!(!pair.wire.is_open(), "{shown}");
        let error = pair.isboot.last_error().unwrap();
        assert!(matches!(error, Error::NotIscsi(_)), "{error}");
        assert!(error.to_string().contains(shown), "{error}");
        assert!(!matches!(pair.isboot.state(), State::Ready));
    }
}

// --- extremes ---

#[test]
fn b_hx_25_extremes_are_errors_and_overflow_nothing() {
    let most = u32::MAX;
    let read = |what: &str, script: Vec<Response>| {
        let mut trial = Trial::new();
        trial.answer_read(script);
        trial.assert_reads(4096, what);
        trial.assert_renewed(what);
    };
    read("underflow", vec![part(0, 0..4096), good(1, Residual::Underflow(most))]);
    read("underflow without data", vec![good(0, Residual::Underflow(most))]);
    let ends = DataIn { last: true, status: Some(0), ..data_in(0, 0..4096) };
    let residual = Residual::Underflow(most);
    read("underflow in Data-In", vec![Response::DataIn(DataIn { residual, ..ends })]);
    read("ExpDataSN", vec![part(0, 0..2048), good(most, Residual::None)]);
    read("DataSN", vec![part(most, 0..4096)]);
    let beyond = DataIn { buffer_offset: most - 511, ..data_in(0, 0..512) };
    read("Buffer Offset", vec![Response::DataIn(beyond)]);
    let last = DataIn { buffer_offset: most, ..data_in(0, 0..4096) };
    read("Buffer Offset, beyond 2^32", vec![Response::DataIn(last)]);

    // More to move than was asked for is no success, and no fault of the session.
    for script in [
        vec![part(0, 0..4096), good(1, Residual::Overflow(most))],
        vec![Response::DataIn(DataIn { residual: Residual::Overflow(most), ..ends })],
    ] {
        let mut trial = Trial::new();
        trial.answer_read(script);
        assert!(trial.read(4096).is_err(), "overflow");
        trial.assert_reads(4096, "after the overflow");
        trial.assert_untroubled("overflow");
    }

    for (what, asked) in [
        ("length", ReadyToTransfer { desired_data_transfer_length: most, ..r2t(0, 0..512) }),
        (
            "length and offset",
            ReadyToTransfer {
                desired_data_transfer_length: most,
                buffer_offset: most,
                ..r2t(0, 0..512)
            },
        ),
        ("offset", ReadyToTransfer { buffer_offset: most, ..r2t(0, 0..512) }),
        ("R2TSN", ReadyToTransfer { r2t_sn: most, ..r2t(0, 0..512) }),
    ] {
        let builder = target().initial_r2t(true).immediate_data(false);
        let mut trial = Trial::of(builder, &[]);
        trial.answer_write(&[asked], 1);
        trial.assert_writes(4096, what);
        trial.assert_renewed(what);
    }
}

// --- damage ---

/// A start-up, a write and a read, while the target's `wanted`-th bit from the start is flipped;
/// how many bits the target sent.
fn run_with_a_flip(digests: bool, wanted: Option<usize>) -> usize {
    let target = target().build();
    target.write_lun(0, 0, &content(1024)).unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    target.on_response(move |wire, pdu| {
        let mut bytes = Vec::new();
        pdu.encode(wire.digests, &mut bytes);
        let before = count.fetch_add(bytes.len() * 8, Ordering::Relaxed);
        if let Some(at) = wanted.and_then(|wanted| wanted.checked_sub(before))
            && let Some(byte) = bytes.get_mut(at / 8)
        {
            *byte ^= 1 << (at % 8);
        }
        Fate::Bytes(bytes)
    });
    let mut pair = Pair::new(&target, if digests { BOTH_DIGESTS } else { &[] });
    pair.run_until("the disks", |isboot| matches!(isboot.state(), State::Ready | State::Ended(_)));
    let what = format!("bit {wanted:?}, digests {digests}");
    if let Ok(id) = pair.isboot.submit_write(DiskId(0), 1, content(1024).split_off(512)) {
        let written = pair.finish(Ok::<_, ()>(id)).is_ok();
        if digests && written {
            assert_eq!(target.read_lun(0, 512, 512).unwrap(), content(1024)[512..], "{what}");
        }
    }
    if let Ok(id) = pair.isboot.submit_read(DiskId(0), 0, vec![0; 512]) {
        let read = pair.finish(Ok::<_, ()>(id));
        if let (true, Ok(finished)) = (digests, read) {
            assert_eq!(finished.buffer, Some(content(512)), "{what}");
        }
    }
    let waited = pair.now().since(isboot::time::Instant::ZERO);
    assert!(waited < Duration::from_secs(900), "{what}: {waited:?}");
    sent.load(Ordering::Relaxed)
}

#[test]
fn b_hx_23_no_flipped_bit_does_harm() {
    for bit in 0..run_with_a_flip(false, None) {
        run_with_a_flip(false, Some(bit));
    }
}

#[test]
fn b_hx_23_no_flipped_bit_makes_wrong_data_with_digests() {
    for bit in 0..run_with_a_flip(true, None) {
        run_with_a_flip(true, Some(bit));
    }
}

/// While a read waits, `flood` of these come, one every millisecond, and a ping among them: it is
/// answered, the read is ended in its time, and afterwards everything is as before.
#[track_caller]
fn lives_through(what: &str, flood: impl Fn(u32, u32) -> Injection + Send + 'static) {
    const FLOOD: u32 = 100_000;
    let mut trial = Trial::new();
    let ping = NopIn {
        lun: [0; 8],
        initiator_task_tag: RESERVED_TAG,
        target_transfer_tag: 77,
        numbers: NUMBERS,
        data_segment_length: 0,
    };
    let ping = Injection {
        pdu: Pdu::new(Response::NopIn(ping).emit(), Vec::new()),
        numbering: Numbering::Current,
    };
    trial.answer_read_with(move |tag, _| {
        let mut flood: Vec<Injection> = (0..FLOOD).map(|index| flood(tag, index)).collect();
        flood.insert(1000, ping);
        flood
    });
    trial.pair.wire.split(48);
    trial.pair.wire.slow_down(Duration::from_millis(1));
    trial.pair.submit_read(0, 0, 4096);
    trial.pair.pass(Duration::from_secs(3));
    let answers = trial.target.statistics().request_count(opcode::NOP_OUT);
    assert_eq!(answers, 1, "{what}: the ping is answered");
    trial.pair.pass(Duration::from_secs(57));
    let statistics = trial.target.statistics();
    let ended =
        statistics.request_count(opcode::TASK_MANAGEMENT_REQUEST) > 0 || statistics.logins > 1;
    assert!(ended, "{what}: the command's time-out never came");
    let finished = trial.pair.finish_one();
    assert_eq!(finished.buffer, Some(content(4096)), "{what}");
    trial.assert_reads(4096, what);
}

#[test]
fn b_hx_26_a_flood_stops_neither_timers_nor_work() {
    lives_through("Asynchronous Messages", |_, _| asynchronous(255, [0; 3], Vec::new()));
    lives_through("Rejects", |_, _| reject(0x04, &[0; 48]));
    lives_through("empty Data-In", |tag, index| answer(tag, part(index, 0..0)));
}
