//! B-DG: digests, right and wrong, on every kind of PDU.

use std::time::Duration;

use isboot::disk::RequestError;
use isboot::pdu::bhs::{RESERVED_TAG, opcode};
use isboot::pdu::digest::Digests;
use isboot::pdu::framer::FrameError;
use isboot::pdu::response::{
    AsyncMessage, Reject, Residual, Response, TaskManagementResponse, TextResponse,
};
use isboot::session::{Error, TaskError};
use isboot_tests::pair::{Direction, DiscoveryPair, NUMBERS, Pair, target};
use isboot_tests::target::{Builder, DigestPolicy, Fate, Injection, Numbering, Pdu, Target};

use crate::transfers::{Trial, answer, content, good, last_part, part, r2t};

const BOTH: Digests = Digests { header: true, data: true };

/// A target that insists on both digests.
fn digested() -> Builder {
    target().digests(DigestPolicy::Force)
}

/// The first response of this opcode that `pick` wants meets this fate.
fn on_first(
    target: &Target,
    mut pick: impl FnMut(&Pdu) -> bool + Send + 'static,
    mut fate: impl FnMut(&mut Pdu) -> Fate + Send + 'static,
) {
    let mut done = false;
    target.on_response(move |_, pdu| {
        if done || !pick(pdu) {
            return Fate::Send;
        }
        done = true;
        fate(pdu)
    });
}

fn is(code: u8) -> impl Fn(&Pdu) -> bool {
    move |pdu| pdu.header.opcode() == code
}

/// The PDU's bytes, changed.
fn bytes(pdu: &Pdu, change: impl FnOnce(&mut Vec<u8>)) -> Fate {
    let mut bytes = Vec::new();
    pdu.encode(BOTH, &mut bytes);
    change(&mut bytes);
    Fate::Bytes(bytes)
}

/// A PDU that the target would not send by itself.
fn unasked(code: u8) -> Option<Response> {
    Some(match code {
        opcode::TASK_MANAGEMENT_RESPONSE => Response::TaskManagement(TaskManagementResponse {
            response: 0,
            initiator_task_tag: 0,
            numbers: NUMBERS,
        }),
        opcode::TEXT_RESPONSE => Response::Text(TextResponse {
            last: true,
            text_continues: false,
            lun: [0; 8],
            initiator_task_tag: 0,
            target_transfer_tag: RESERVED_TAG,
            numbers: NUMBERS,
            data_segment_length: 0,
        }),
        opcode::ASYNC_MESSAGE => Response::AsyncMessage(AsyncMessage {
            lun: [0; 8],
            numbers: NUMBERS,
            event: 0,
            vendor_code: 0,
            parameters: [0; 3],
            data_segment_length: 0,
        }),
        opcode::REJECT => Response::Reject(Reject {
            reason: 0x09,
            numbers: NUMBERS,
            data_sn_or_r2t_sn: 0,
            data_segment_length: 0,
        }),
        _ => return None,
    })
}

fn inject(target: &Target, response: Response, data: &[u8]) {
    let pdu = Pdu::new(response.emit(), data.to_vec());
    target.inject(Injection { pdu, numbering: Numbering::Status });
}

/// A write, a read and a ping, so that every kind of PDU comes that the target sends by itself.
fn exercise(trial: &mut Trial, what: &str) {
    trial.assert_writes(1536, what);
    trial.target.ping(b"ping");
    trial.pair.pass(Duration::from_millis(100));
    trial.assert_reads(1536, what);
}

/// The digest's first bit, or a bit of the header: flags, length, tag, StatSN, what is its own.
#[test]
fn b_dg_01_a_wrong_header_digest_ends_the_connection_at_once() {
    for code in [
        opcode::NOP_IN,
        opcode::SCSI_RESPONSE,
        opcode::TASK_MANAGEMENT_RESPONSE,
        opcode::TEXT_RESPONSE,
        opcode::DATA_IN,
        opcode::READY_TO_TRANSFER,
        opcode::ASYNC_MESSAGE,
        opcode::REJECT,
    ] {
        for place in [48, 0, 1, 2, 7, 19, 27, 31, 39, 47] {
            let what = format!("opcode {code:#04x}, byte {place}");
            let mut trial = Trial::of(digested().immediate_data(false).separate_status(), &[]);
            on_first(&trial.target, is(code), move |pdu| bytes(pdu, |bytes| bytes[place] ^= 1));
            if let Some(response) = unasked(code) {
                inject(&trial.target, response, &[]);
            }
            let begin = trial.pair.now();
            exercise(&mut trial, &what);
            assert!(trial.pair.now().since(begin) < Duration::from_secs(4), "{what}: at once");
            let error = trial.pair.isboot.last_error();
            let expected = matches!(error, Some(Error::Frame(FrameError::HeaderDigest { .. })));
            assert!(expected, "{what}: {error:?}");
            trial.assert_renewed(&what);
        }
    }
}

#[test]
fn b_dg_01_a_wrong_header_digest_of_a_logout_response_ends_it_with_an_error() {
    for place in [48, 1, 2, 19] {
        let mut trial = Trial::of(digested(), &[]);
        on_first(&trial.target, is(opcode::LOGOUT_RESPONSE), move |pdu| {
            bytes(pdu, |bytes| bytes[place] ^= 1)
        });
        let now = trial.pair.now();
        trial.pair.isboot.detach(now);
        let error = trial.pair.end();
        let expected = matches!(error, Some(Error::Frame(FrameError::HeaderDigest { .. })));
        assert!(expected, "byte {place}: {error:?}");
        trial.pair.run_until("the close", |isboot| isboot.is_detached());
    }
}

/// Reads 1536 bytes in three segments of which one is changed; how often it was issued.
fn read_with(
    change: fn(&mut Pdu) -> Fate,
    pick: impl FnMut(&Pdu) -> bool + Send + 'static,
    what: &str,
) -> (Trial, u64) {
    let mut trial =
        Trial::configured(digested(), &[], |c| c.login.offer.max_recv_data_segment_length = 512);
    on_first(&trial.target, pick, change);
    let before = trial.target.statistics().command_count(0x28);
    trial.assert_reads(1536, what);
    let issued = trial.target.statistics().command_count(0x28) - before;
    (trial, issued)
}

/// Data-In number `wanted` of a read.
fn data_number(wanted: u32) -> impl FnMut(&Pdu) -> bool + Send + 'static {
    move |pdu| match Response::parse(&pdu.header) {
        Ok(Response::DataIn(data)) => data.data_sn == wanted,
        _ => false,
    }
}

#[test]
fn b_dg_02_damaged_data_is_read_again() {
    for number in [0, 1] {
        let what = format!("Data-In {number}");
        let (trial, issued) = read_with(|_| Fate::CorruptData, data_number(number), &what);
        assert_eq!(issued, 2, "{what}");
        trial.assert_untroubled(&what);
    }
}

#[test]
fn b_dg_03_damaged_data_takes_its_status_along() {
    let (trial, issued) = read_with(|_| Fate::CorruptData, data_number(2), "with status");
    assert_eq!(issued, 2);
    assert_eq!(trial.pair.isboot.last_error(), Some(Error::Frame(FrameError::DataDigest)));
    trial.assert_renewed("with status");
}

#[test]
fn b_dg_04_damaged_sense_data_is_not_believed() {
    let mut trial = Trial::of(digested(), &[]);
    trial.target.set_bad_blocks(0, &[0..1, 7..8]);
    on_first(&trial.target, is(opcode::SCSI_RESPONSE), |pdu| {
        assert!(!pdu.data.is_empty(), "sense data");
        Fate::CorruptData
    });
    let error = trial.read(512).expect_err("a bad block");
    let RequestError::Scsi { status: 2, sense: Some(sense) } = error else { panic!("{error:?}") };
    assert_eq!(sense.code, 0x11, "the sense data of the second issue");
    assert_eq!(trial.pair.isboot.last_error(), Some(Error::Frame(FrameError::DataDigest)));
    trial.assert_renewed("sense data");
}

#[test]
fn b_dg_05_a_damaged_list_of_targets_is_asked_for_again() {
    // A letter of the list, or its digest; once, or every time.
    for (letter, damaged) in [(true, 1), (false, 1), (true, u32::MAX), (false, u32::MAX)] {
        let more = ("iqn.2001-04.com.example:more", "192.0.2.2:3260,1");
        let target = digested().also_known(more.0, more.1).build();
        let mut left = damaged;
        target.on_response(move |_, pdu| {
            if pdu.header.opcode() != opcode::TEXT_RESPONSE || left == 0 {
                return Fate::Send;
            }
            left -= 1;
            bytes(pdu, |bytes| {
                let at = if letter { 80 } else { bytes.len() - 1 };
                bytes[at] ^= 1;
            })
        });
        let mut pair = DiscoveryPair::new(&target);
        let outcome = pair.finish();
        if damaged == 1 {
            assert!(outcome.is_ok(), "{outcome:?}");
            assert_eq!(pair.found.len(), 2, "each target once");
            assert!(pair.found.iter().any(|found| found.name.as_str() == more.0));
            assert_eq!(target.statistics().connections, 2);
        } else {
            assert_eq!(outcome, Err(Error::Frame(FrameError::DataDigest)));
            assert!(target.statistics().connections <= 3, "bounded");
        }
        pair.assert_no_violations();
    }
}

#[test]
fn b_dg_06_a_damaged_message_or_reject_is_a_lost_one() {
    for (code, data) in [(opcode::ASYNC_MESSAGE, &[0; 20][..]), (opcode::REJECT, &[0x01; 48])] {
        let mut trial = Trial::of(digested(), &[]);
        on_first(&trial.target, is(code), |_| Fate::CorruptData);
        inject(&trial.target, unasked(code).unwrap(), data);
        exercise(&mut trial, "afterwards");
        assert_eq!(trial.pair.isboot.last_error(), Some(Error::Frame(FrameError::DataDigest)));
        trial.assert_renewed(&format!("opcode {code:#04x}"));
    }
}

#[test]
fn b_dg_07_a_damaged_answer_to_a_ping_is_a_lost_one() {
    let mut trial = Trial::of(digested(), &[]);
    on_first(&trial.target, is(opcode::NOP_IN), |pdu| {
        // Ping data that nobody sent; whole, it would be an answer.
        *pdu = Pdu::new(pdu.header, b"ping data".to_vec());
        Fate::CorruptData
    });
    trial.pair.pass(Duration::from_secs(6));
    trial.assert_reads(512, "afterwards");
    assert_eq!(trial.pair.isboot.last_error(), Some(Error::Frame(FrameError::DataDigest)));
    trial.assert_renewed("a ping");
}

/// A read of 512 bytes in two odd parts, of which number `wanted` is sent as `change` leaves it.
fn odd_read(wanted: u32, change: fn(&mut Vec<u8>)) -> Trial {
    let mut trial = Trial::of(digested(), &[]);
    on_first(&trial.target, data_number(wanted), move |pdu| bytes(pdu, change));
    trial.answer_read(vec![part(0, 0..509), last_part(1, 509..512)]);
    trial.assert_reads(512, "in odd parts");
    trial
}

/// The byte before the data digest, which is the last of the padding.
fn last_of_padding(bytes: &mut [u8]) -> &mut u8 {
    let at = bytes.len() - 5;
    &mut bytes[at]
}

#[test]
fn b_dg_08_damaged_padding_is_damaged_data() {
    odd_read(0, |bytes| *last_of_padding(bytes) ^= 1).assert_untroubled("read again");
    let trial = odd_read(1, |bytes| *last_of_padding(bytes) ^= 1);
    assert_eq!(trial.pair.isboot.last_error(), Some(Error::Frame(FrameError::DataDigest)));
    trial.assert_renewed("with status");
}

/// Fills the padding, and makes the digest right for it.
fn pad_with_ones(bytes: &mut Vec<u8>) {
    *last_of_padding(bytes) = 0xff;
    let digest = bytes.len() - 4;
    let crc = crc32c::crc32c(&bytes[52..digest]);
    bytes.truncate(digest);
    bytes.extend(crc.to_le_bytes());
}

#[test]
fn b_dg_09_padding_of_any_kind_is_taken_with_a_right_digest() {
    for number in [0, 1] {
        let trial = odd_read(number, pad_with_ones);
        let last = trial.target.statistics().command_count(0x28);
        assert_eq!(last, 0, "no second issue");
        trial.assert_untroubled("ones");
    }
}

/// Bytes that a flush, a read of 512 bytes and a write of 512 bytes take, each way.
fn bytes_on_the_wire(header: DigestPolicy, data: DigestPolicy) -> [[u64; 2]; 3] {
    let mut trial = Trial::of(target().header_digest(header).data_digest(data), &[]);
    let terms = trial.pair.isboot.negotiated().unwrap();
    assert_eq!(terms.header_digest.name() == "CRC32C", header == DigestPolicy::Force);
    assert_eq!(terms.data_digest.name() == "CRC32C", data == DigestPolicy::Force);
    let mut carried = |act: fn(&mut Pair)| {
        let [up, down] = [Direction::ToTarget, Direction::ToInitiator];
        let before = [up, down].map(|way| trial.pair.wire.carried(way));
        act(&mut trial.pair);
        let after = [up, down].map(|way| trial.pair.wire.carried(way));
        [after[0] - before[0], after[1] - before[1]]
    };
    let bytes = [
        carried(|pair| pair.flush(0).unwrap()),
        carried(|pair| _ = pair.read(0, 0, 512).unwrap()),
        carried(|pair| pair.write(0, 0, &[1; 512]).unwrap()),
    ];
    trial.assert_untroubled("a flush, a read, a write");
    bytes
}

#[test]
fn b_dg_10_one_digest_alone_is_there_both_ways() {
    let [flush, read, write] = bytes_on_the_wire(DigestPolicy::Force, DigestPolicy::Refuse);
    assert_eq!((flush, read, write), ([52, 52], [52, 52 + 512], [52 + 512, 52]));
    let [flush, read, write] = bytes_on_the_wire(DigestPolicy::Refuse, DigestPolicy::Force);
    assert_eq!((flush, read, write), ([48, 48], [48, 48 + 516], [48 + 516, 48]));
}

#[test]
fn b_dg_11_no_data_has_no_digest() {
    let [flush, read, write] = bytes_on_the_wire(DigestPolicy::Force, DigestPolicy::Force);
    assert_eq!((flush, read, write), ([52, 52], [52, 52 + 516], [52 + 516, 52]));
    // An empty Data-In has none either.
    let mut trial = Trial::of(digested(), &[]);
    trial.answer_read(vec![part(0, 0..0), part(1, 0..512), last_part(2, 512..512)]);
    trial.assert_reads(512, "empty PDUs");
    trial.assert_untroubled("empty PDUs");
}

#[test]
fn b_dg_12_the_initiators_digests_are_right_on_every_kind_of_pdu() {
    let builder = digested().max_recv_data_segment_length(512);
    let mut trial = Trial::of(builder, &[("ping_interval", "5")]);
    // Immediate data, then Data-Out of 1 to 5 bytes, and the rest.
    let (mut script, mut offset) = (Vec::new(), 512);
    for length in 1..6 {
        script.push(r2t(length - 1, offset..offset + length));
        offset += length;
    }
    script.push(r2t(5, offset..1024));
    let sent = trial.answer_write(&script, 1);
    assert_eq!(trial.write(1024), Ok(()));
    assert_eq!(sent.commands()[0].data_segment_length, 512);
    sent.assert_answers(&script, 512, "odd lengths");
    trial.target.clear_hooks();
    // NOP-Out both ways; the logout comes at the end. The target checks each digest, by code of
    // its own.
    trial.target.ping(b"who is there");
    trial.pair.pass(Duration::from_secs(6));
    assert_eq!(trial.target.statistics().ping_answers, 1);
    assert_eq!(trial.target.statistics().request_count(opcode::NOP_OUT), 2);
    trial.assert_untroubled("every kind");
}

#[test]
fn b_dg_13_without_digests_there_are_none() {
    let [flush, read, write] = bytes_on_the_wire(DigestPolicy::Refuse, DigestPolicy::Refuse);
    assert_eq!((flush, read, write), ([48, 48], [48, 48 + 512], [48 + 512, 48]));
}

#[test]
fn b_dg_14_a_missing_digest_is_a_wrong_one() {
    for without in [Digests { header: false, data: false }, Digests { header: false, data: true }] {
        let mut trial = Trial::of(digested(), &[]);
        on_first(&trial.target, is(opcode::DATA_IN), move |pdu| {
            let mut bytes = Vec::new();
            pdu.encode(without, &mut bytes);
            Fate::Bytes(bytes)
        });
        trial.assert_reads(1536, "no digest");
        let error = trial.pair.isboot.last_error();
        assert!(matches!(error, Some(Error::Frame(FrameError::HeaderDigest { .. }))), "{error:?}");
        trial.assert_renewed("no digest");
    }
}

#[test]
fn b_dg_15_a_digest_the_other_way_round_is_a_wrong_one() {
    let mut trial = Trial::of(digested(), &[]);
    on_first(&trial.target, is(opcode::DATA_IN), |pdu| bytes(pdu, |b| b[48..52].reverse()));
    trial.assert_reads(512, "of the header");
    let error = trial.pair.isboot.last_error();
    assert!(matches!(error, Some(Error::Frame(FrameError::HeaderDigest { .. }))), "{error:?}");
    trial.assert_renewed("of the header");
    let mut trial = Trial::of(digested(), &[]);
    on_first(&trial.target, is(opcode::DATA_IN), |pdu| {
        bytes(pdu, |bytes| {
            let digest = bytes.len() - 4;
            bytes[digest..].reverse();
        })
    });
    trial.assert_reads(512, "of the data");
    assert_eq!(trial.pair.isboot.last_error(), Some(Error::Frame(FrameError::DataDigest)));
    trial.assert_renewed("of the data");
}

#[test]
fn b_dg_16_damage_for_ever_is_an_error_in_the_end() {
    for builder in [digested(), digested().separate_status()] {
        let mut trial = Trial::of(builder, &[]);
        trial.target.on_response(|_, pdu| match pdu.header.opcode() {
            // Not what tells after each renewal that it is the same unit.
            opcode::DATA_IN if pdu.data.len() == 512 => Fate::CorruptData,
            _ => Fate::Send,
        });
        let before = trial.target.statistics().command_count(0x28);
        let error = RequestError::Task(TaskError::RetriesExhausted);
        assert_eq!(trial.read(512), Err(error));
        assert_eq!(trial.target.statistics().command_count(0x28) - before, 8, "bounded");
        trial.target.clear_hooks();
        trial.assert_reads(512, "once it is over");
        trial.pair.log_out();
    }
}

#[test]
fn b_dg_17_digests_come_in_pieces() {
    for piece in [1, 2, 3, 5, 7, 50, 51] {
        let mut trial = Trial::of(digested().immediate_data(false), &[]);
        trial.pair.wire.split(piece);
        exercise(&mut trial, &format!("pieces of {piece}"));
        trial.assert_untroubled("in pieces");
    }
}

#[test]
fn b_dg_18_a_shortened_pdu_with_right_digests_is_a_hole() {
    for length in [0, 100, 508] {
        let shorten = move |pdu: &mut Pdu| {
            let data = pdu.data[..length].to_vec();
            *pdu = Pdu::new(pdu.header, data);
            Fate::Send
        };
        for number in [0, 1] {
            let mut trial = Trial::configured(digested(), &[], |config| {
                config.login.offer.max_recv_data_segment_length = 512;
            });
            on_first(&trial.target, data_number(number), shorten);
            trial.assert_reads(1536, "shortened");
            trial.assert_renewed("shortened");
        }
        // Nothing comes behind the last one: what is missing is seen all the same.
        let mut trial = Trial::configured(digested(), &[], |config| {
            config.login.offer.max_recv_data_segment_length = 512;
        });
        on_first(&trial.target, data_number(2), shorten);
        assert_eq!(trial.read(1536), Err(RequestError::Short));
        trial.assert_reads(1536, "the next");
        trial.assert_untroubled("shortened");
    }
    // Shortened before a status of its own.
    let mut trial = Trial::of(digested(), &[]);
    trial.answer_read_with(|tag, _| {
        vec![answer(tag, part(0, 0..500)), answer(tag, good(1, Residual::None))]
    });
    assert_eq!(trial.read(512), Err(RequestError::Short));
    assert_eq!(trial.read(512), Ok(content(512)));
    trial.assert_untroubled("shortened");
}
