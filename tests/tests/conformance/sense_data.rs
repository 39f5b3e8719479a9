//! B-SE: sense data of every form.

use isboot::disk::{DiskId, Notice, RequestError};
use isboot::scsi::sense::{Sense, SenseKey};
use isboot::session::TaskError;
use isboot_tests::pair::target;

use crate::unit_script::{
    CHECK_CONDITION, READ, Scripted, check, counted, data, fixed, response, scsi,
};

/// As often as a command is issued when each issue is aborted or lost.
const ISSUES: usize = 9;
/// ILLEGAL REQUEST, INVALID FIELD IN CDB.
const REFUSED: [u8; 3] = [0x05, 0x24, 0x00];

/// What a read comes to whose first answer is CHECK CONDITION with this data segment, and how
/// often it is issued.
#[track_caller]
fn outcome(what: &str, segment: Vec<u8>) -> (Result<(), RequestError>, usize) {
    let mut unit = Scripted::new();
    unit.answer_next(READ, 1, move |tag| response(tag, CHECK_CONDITION, segment.clone()));
    let (result, _) = unit.read();
    let issues = unit.log.count(READ);
    unit.assert_untroubled(what);
    (result.map(|_| ()), issues)
}

/// The error with sense data that tells nothing.
const UNKNOWN: RequestError = RequestError::Scsi { status: CHECK_CONDITION, sense: None };

#[test]
fn b_se_01_fixed_current_sense_is_understood() {
    let attention = fixed(0x70, 0x06, 0x29, 0x00);
    assert_eq!(outcome("29h/00h", counted(&attention)), (Ok(()), 2));
    let sense = Sense::parse(&attention).unwrap();
    assert_eq!((sense.key, sense.code, sense.qualifier), (SenseKey::UnitAttention, 0x29, 0x00));
}

/// A deferred error: the command goes again, a notice tells, and the next flush fails.
#[track_caller]
fn assert_deferred(block: Vec<u8>) {
    let mut unit = Scripted::new();
    let sense = Sense::parse(&block).unwrap();
    assert!(sense.deferred);
    unit.answer_next(READ, 1, move |tag| response(tag, CHECK_CONDITION, counted(&block)));
    assert_eq!(unit.read().0, Ok(vec![0; 512]));
    unit.log.assert_new_tasks(READ, 2, "deferred");
    let disk = DiskId(0);
    assert_eq!(unit.pair.isboot.take_notice(), Some(Notice::DeferredError { disk, sense }));
    assert_eq!(unit.pair.isboot.take_notice(), None);
    let error = RequestError::Scsi { status: CHECK_CONDITION, sense: Some(sense) };
    assert_eq!(unit.pair.flush(0), Err(error), "what was to be durable is not");
    assert_eq!(unit.pair.flush(0), Ok(()), "it is told once");
    unit.assert_untroubled("deferred");
}

#[test]
fn b_se_02_a_deferred_error_is_an_earlier_commands() {
    assert_deferred(fixed(0x71, 0x03, 0x0c, 0x00));
}

#[test]
fn b_se_02_a_deferred_error_that_was_got_over_spoils_no_flush() {
    let mut unit = Scripted::new();
    let block = fixed(0x71, 0x01, 0x0c, 0x01);
    unit.answer_next(READ, 1, move |tag| response(tag, CHECK_CONDITION, counted(&block)));
    unit.read().0.unwrap();
    assert_eq!(unit.log.count(READ), 2, "this command was not executed");
    assert_eq!(unit.pair.flush(0), Ok(()));
}

#[test]
fn b_se_03_descriptor_sense_is_understood_and_its_descriptors_are_skipped() {
    let attention = [0x72, 0x06, 0x29, 0x00, 0, 0, 0, 0];
    assert_eq!(outcome("29h/00h", counted(&attention)), (Ok(()), 2));
    let information = [0x00, 0x0a, 0x80, 0, 0, 0, 0, 1, 0, 0, 0, 9];
    let vendors = [0x80, 0x03, 1, 2, 3];
    for descriptors in [&information[..], &[&vendors[..], &information].concat()] {
        let block =
            [&[0x72, 0x03, 0x11, 0x00, 0, 0, 0, descriptors.len() as u8], descriptors].concat();
        let sense = Sense {
            key: SenseKey::MediumError,
            code: 0x11,
            qualifier: 0,
            deferred: false,
            information: Some(0x1_0000_0009),
        };
        let error = RequestError::Scsi { status: CHECK_CONDITION, sense: Some(sense) };
        assert_eq!(outcome("a medium error", counted(&block)), (Err(error), 1));
        assert!(error.to_string().ends_with("at block 4294967305"), "{error}");
    }
}

#[test]
fn b_se_04_a_deferred_error_in_descriptor_format_is_an_earlier_commands() {
    assert_deferred(vec![0x73, 0x03, 0x0c, 0x00, 0, 0, 0, 0]);
}

#[test]
fn b_se_05_truncated_sense_counts_as_far_as_it_came() {
    let block = fixed(0x70, 0x05, 0x24, 0x07);
    for length in 0..18 {
        let error = match length {
            0..3 => UNKNOWN,
            3..13 => scsi(SenseKey::IllegalRequest, 0x00, 0x00),
            13 => scsi(SenseKey::IllegalRequest, 0x24, 0x00),
            _ => scsi(SenseKey::IllegalRequest, 0x24, 0x07),
        };
        let what = format!("{length} bytes of 18");
        assert_eq!(outcome(&what, counted(&block[..length])), (Err(error), 1), "{what}");
    }
    let block = [0x72, 0x05, 0x24, 0x07, 0, 0, 0, 0];
    for length in 0..8 {
        let error = match length {
            0..2 => UNKNOWN,
            2 => scsi(SenseKey::IllegalRequest, 0x00, 0x00),
            3 => scsi(SenseKey::IllegalRequest, 0x24, 0x00),
            _ => scsi(SenseKey::IllegalRequest, 0x24, 0x07),
        };
        let what = format!("{length} bytes of 8");
        assert_eq!(outcome(&what, counted(&block[..length])), (Err(error), 1), "{what}");
    }
}

#[test]
fn b_se_06_a_sense_length_beyond_the_segment_counts_as_what_came() {
    let [key, code, qualifier] = REFUSED;
    let block = fixed(0x70, key, code, qualifier);
    for length in [19u16, 0xffff] {
        let segment = [&length.to_be_bytes()[..], &block].concat();
        let refused = Err(scsi(SenseKey::IllegalRequest, 0x24, 0x00));
        assert_eq!(outcome("a long SenseLength", segment), (refused, 1), "{length}");
    }
    // What is not there is not made up of what came before.
    let mut unit = Scripted::new();
    let mut segments = vec![vec![0xff, 0xff, 0x70, 0, 5], counted(&block)];
    unit.answer(move |command| {
        let tag = command.initiator_task_tag;
        let segment = (command.cdb[0] == READ).then(|| segments.pop()).flatten()?;
        Some(vec![response(tag, CHECK_CONDITION, segment)])
    });
    assert_eq!(unit.read().0, Err(scsi(SenseKey::IllegalRequest, 0x24, 0x00)));
    assert_eq!(unit.read().0, Err(scsi(SenseKey::IllegalRequest, 0x00, 0x00)));
}

/// CHECK CONDITION with this data segment costs the session once, and the command for ever.
#[track_caller]
fn assert_no_sense(segment: &[u8]) {
    let mut unit = Scripted::new();
    let bytes = segment.to_vec();
    unit.answer_next(READ, 1, move |tag| response(tag, CHECK_CONDITION, bytes.clone()));
    assert_eq!(unit.read().0, Ok(vec![0; 512]));
    assert_eq!(unit.log.count(READ), 2);
    unit.assert_renewed("no sense data");
    let mut unit = Scripted::new();
    let bytes = segment.to_vec();
    unit.answer_next(READ, usize::MAX, move |tag| response(tag, CHECK_CONDITION, bytes.clone()));
    let error = RequestError::Task(TaskError::RetriesExhausted);
    assert_eq!(unit.read().0, Err(error));
    assert_eq!(unit.log.count(READ), 8);
    unit.target.clear_hooks();
    unit.read().0.unwrap();
}

#[test]
fn b_se_07_half_a_sense_length_is_no_sense_data() {
    assert_no_sense(&[0]);
    assert_no_sense(&[0x70]);
}

#[test]
fn b_se_08_absent_sense_data_is_a_format_error() {
    assert_no_sense(&[]);
    // Nor can it come with the data.
    let mut unit = Scripted::new();
    unit.answer_next(READ, 1, |tag| data(tag, vec![1; 512], Some(CHECK_CONDITION)));
    assert_eq!(unit.read().0, Ok(vec![0; 512]));
    unit.assert_renewed("CHECK CONDITION in a Data-In");
}

#[test]
fn b_se_09_empty_sense_data_is_an_error_of_unknown_cause() {
    assert_eq!(outcome("nothing else", vec![0, 0]), (Err(UNKNOWN), 1));
    let response_data = [&[0, 0][..], &fixed(0x70, 6, 0x29, 0)].concat();
    assert_eq!(outcome("response data", response_data), (Err(UNKNOWN), 1));
}

#[test]
fn b_se_10_response_data_behind_the_sense_is_ignored() {
    let mut segment = counted(&fixed(0x70, 0x06, 0x29, 0x00));
    segment.resize(2 + 18 + 40, 0xff);
    assert_eq!(outcome("40 more bytes", segment), (Ok(()), 2));
}

#[test]
fn b_se_11_unknown_formats_are_errors_and_the_valid_bit_is_not_part_of_it() {
    assert_eq!(outcome("F0h", counted(&fixed(0xf0, 0x06, 0x29, 0x00))), (Ok(()), 2));
    for code in [0x7f, 0x00, 0xff, 0x80, 0x74] {
        let segment = counted(&fixed(code, 0x06, 0x29, 0x00));
        assert_eq!(outcome("a vendor's", segment), (Err(UNKNOWN), 1), "{code:#x}");
    }
}

#[test]
fn b_se_12_an_additional_length_that_lies_hides_or_invents_nothing() {
    let [key, code, qualifier] = REFUSED;
    let mut block = fixed(0x70, key, code, qualifier);
    block[7] = 0xff;
    let refused = Err(scsi(SenseKey::IllegalRequest, 0x24, 0x00));
    assert_eq!(outcome("FFh", counted(&block)), (refused, 1));
    block[7] = 0;
    let bare = Err(scsi(SenseKey::IllegalRequest, 0x00, 0x00));
    assert_eq!(outcome("0", counted(&block)), (bare, 1));
}

#[test]
fn b_se_13_sense_up_to_the_largest_segment_is_read_and_more_is_not_taken() {
    const LARGEST: usize = 512;
    for (length, above) in [(LARGEST, false), (LARGEST + 4, true)] {
        let limit = LARGEST.to_string();
        let mut unit = Scripted::of(target(), &[("max_recv_data_segment_length", &limit)]);
        unit.answer_next(READ, 1, move |tag| {
            let mut segment = counted(&fixed(0x70, 0x05, 0x24, 0x00));
            segment.resize(length, 0);
            let count = (length - 2) as u16;
            segment[..2].copy_from_slice(&count.to_be_bytes());
            response(tag, CHECK_CONDITION, segment)
        });
        let (result, _) = unit.read();
        if above {
            assert_eq!(result, Ok(vec![0; 512]));
            unit.assert_renewed("above");
        } else {
            assert_eq!(result, Err(scsi(SenseKey::IllegalRequest, 0x24, 0x00)));
            unit.assert_untroubled("as large as allowed");
        }
    }
}

#[test]
fn b_se_14_each_key_is_what_it_is() {
    for key in 0x0..=0xf {
        let mut unit = Scripted::new();
        unit.answer(move |command| {
            let tag = command.initiator_task_tag;
            // All the data comes first.
            (command.cdb[0] == READ)
                .then(|| vec![data(tag, vec![key; 512], None), check(tag, key, 0x00, 0x00)])
        });
        let (result, _) = unit.read();
        let issues = unit.log.count(READ);
        let what = format!("key {key:x}h");
        match key {
            0x0 | 0x1 => assert_eq!((result, issues), (Ok(vec![key; 512]), 1), "{what}"),
            0x6 | 0xb => {
                let error = scsi(SenseKey::from_bits(key), 0, 0);
                assert_eq!((result, issues), (Err(error), ISSUES), "{what}");
            }
            // Not ready without a cause is neither waited for nor started: B-UA-12 to B-UA-14.
            _ => {
                let error = scsi(SenseKey::from_bits(key), 0, 0);
                assert_eq!((result, issues), (Err(error), 1), "{what}");
            }
        }
        unit.assert_untroubled(&what);
    }
}

#[test]
fn b_se_15_conditions_of_iscsi_are_issued_again_as_new_tasks() {
    for (code, qualifier) in [(0x0c, 0x0c), (0x0c, 0x0d), (0x47, 0x05), (0x11, 0x13)] {
        let what = format!("{code:02x}h/{qualifier:02x}h");
        let mut unit = Scripted::new();
        unit.answer_next(READ, 2, move |tag| check(tag, 0x0b, code, qualifier));
        unit.read().0.unwrap();
        unit.log.assert_new_tasks(READ, 3, &what);
        unit.answer_next(READ, usize::MAX, move |tag| check(tag, 0x0b, code, qualifier));
        let error = scsi(SenseKey::AbortedCommand, code, qualifier);
        assert_eq!(unit.read().0, Err(error), "{what}");
        unit.log.assert_new_tasks(READ, ISSUES, &what);
        unit.assert_untroubled(&what);
    }
}
