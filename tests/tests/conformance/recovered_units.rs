//! B-RC-11, B-RC-13: what units tell, and who they are, after a session was renewed.

use std::time::Duration;

use isboot::disk::{DiskId, Notice, RequestError, SubmitRequestError};
use isboot::pdu::request::ScsiCommand;
use isboot::session::TaskError;
use isboot_tests::pair::{Break, MIB, NAME, Pair, Portal, Random};
use isboot_tests::target::{Lun, Target};

use crate::unit_script::{INQUIRY, READ, READ_CAPACITY_16, Scripted, WRITE};

/// What the target answers after the reset of the session is another unit's.
fn replaced(
    change: impl Fn(&ScsiCommand, &mut Vec<u8>) + Send + 'static,
) -> (Scripted, Result<(), RequestError>) {
    let mut unit = Scripted::new();
    unit.target.write_lun(0, 0, &[0xee; 4096]).unwrap();
    let mut swallow = true;
    unit.answer(move |command| {
        (command.cdb[0] == WRITE && std::mem::take(&mut swallow)).then(Vec::new)
    });
    unit.pair.submit_write(0, 0, &[0x11; 4096]);
    unit.pair.pass(Duration::from_millis(10));
    assert_eq!(unit.log.codes(), [WRITE]);
    unit.alter(change);
    unit.pair.wire.break_now(Break::Reset);
    let outcome = unit.pair.finish_one().outcome;
    assert_eq!(unit.target.statistics().logins, 2);
    (unit, outcome)
}

#[test]
fn b_rc_11_attentions_after_a_reinstatement_are_absorbed() {
    for loss in [(0x29, 0x00), (0x29, 0x07)] {
        let lun =
            |bytes| Lun::memory(bytes).unit_attention(loss.0, loss.1).unit_attention(0x47, 0x7f);
        let target = Target::builder(NAME).lun(lun(MIB)).lun(lun(2 * MIB)).times(0, 0).build();
        let mut pair = Pair::ready(&target, &[]);
        let content = Random(11).bytes(4096);
        target.pause();
        for disk in [0, 1] {
            pair.submit_write(disk, 8, &content);
        }
        pair.pass(Duration::from_millis(10));
        pair.wire.break_now(Break::Reset);
        target.resume();
        for _ in 0..2 {
            pair.finish_one().outcome.unwrap();
        }
        for number in [0, 1] {
            assert_eq!(target.read_lun(number, 4096, 4096).unwrap(), content, "{loss:x?}");
        }
        assert_eq!(target.statistics().logins, 2);
        assert_eq!(pair.isboot.take_notice(), None);
        pair.log_out();
    }
}

#[test]
fn b_rc_13_a_write_waits_until_the_unit_has_said_that_it_is_the_same() {
    let (mut unit, outcome) = replaced(|_, _| {});
    assert_eq!(outcome, Ok(()));
    let codes = unit.log.codes();
    let again = codes.iter().rposition(|&code| code == WRITE).unwrap();
    assert_eq!(unit.log.count(WRITE), 2);
    assert!(codes[1..again].contains(&READ_CAPACITY_16), "{codes:02x?}");
    assert!(unit.log.pages().contains(&0x83) && unit.log.pages().contains(&0x80));
    assert_eq!(codes.len(), again + 1, "nothing is asked behind the write's back");
    assert_eq!(unit.target.read_lun(0, 0, 4096).unwrap(), [0x11; 4096]);
    // Later requests know that it is.
    unit.log.clear();
    unit.read().0.unwrap();
    assert_eq!(unit.log.codes(), [READ]);
    unit.assert_renewed("the same unit");
}

#[test]
fn b_rc_13_another_unit_is_neither_read_nor_written() {
    type Change = fn(&ScsiCommand, &mut Vec<u8>);
    let changes: [(&str, Change); 6] = [
        ("page 83h", |c, data| flip(c, &[INQUIRY, 1, 0x83], data, 8)),
        ("serial number", |c, data| flip(c, &[INQUIRY, 1, 0x80], data, 4)),
        ("vendor", |c, data| flip(c, &[INQUIRY, 0, 0], data, 8)),
        ("product", |c, data| flip(c, &[INQUIRY, 0, 0], data, 16)),
        ("no disk", |c, data| {
            if c.cdb[..3] == [INQUIRY, 0, 0] {
                data[0] = 0x7f;
            }
        }),
        ("block size", |c, data| {
            if c.cdb[0] == READ_CAPACITY_16 {
                data[8..12].copy_from_slice(&4096u32.to_be_bytes());
            }
        }),
    ];
    for (what, change) in changes {
        let (mut unit, outcome) = replaced(change);
        assert_eq!(outcome, Err(RequestError::OtherUnit), "{what}");
        assert_eq!(unit.log.count(WRITE), 1, "{what}: not in the new session");
        let disk = DiskId(0);
        assert_eq!(unit.pair.isboot.take_notice(), Some(Notice::OtherUnit { disk }), "{what}");
        for refused in [
            unit.pair.isboot.submit_read(disk, 0, vec![0; 512]).unwrap_err().reason,
            unit.pair.isboot.submit_write(disk, 0, vec![0; 512]).unwrap_err().reason,
            unit.pair.isboot.submit_flush(disk).unwrap_err(),
        ] {
            assert_eq!(refused, SubmitRequestError::OtherUnit, "{what}");
        }
        assert_eq!(unit.target.read_lun(0, 0, 4096).unwrap(), [0xee; 4096], "{what}");
        // Once the old unit is back, so is the disk: with the next session.
        unit.target.clear_hooks();
        unit.pair.wire.break_now(Break::Reset);
        unit.pair.pass(Duration::from_secs(5));
        unit.pair.write(0, 0, &[0x22; 512]).unwrap();
        assert_eq!(unit.target.read_lun(0, 0, 512).unwrap(), [0x22; 512], "{what}");
        unit.pair.log_out();
    }
}

/// Changes a bit of what the target says to a command that begins so.
fn flip(command: &ScsiCommand, begins: &[u8], data: &mut [u8], at: usize) {
    if command.cdb.starts_with(begins) {
        data[at] ^= 1;
    }
}

#[test]
fn b_rc_13_a_capacity_that_changed_is_told_and_what_is_beyond_it_fails() {
    for blocks in [4u64, 4096] {
        let (mut unit, outcome) = replaced(move |command, data| {
            if command.cdb[0] == READ_CAPACITY_16 {
                data[..8].copy_from_slice(&(blocks - 1).to_be_bytes());
            }
        });
        let notice = Notice::CapacityChanged { disk: DiskId(0), blocks };
        assert_eq!(unit.pair.isboot.take_notice(), Some(notice));
        if blocks < 8 {
            assert_eq!(outcome, Err(RequestError::OutOfRange));
            assert_eq!(unit.log.count(WRITE), 1);
            assert_eq!(unit.target.read_lun(0, 0, 4096).unwrap(), [0xee; 4096]);
        } else {
            assert_eq!(outcome, Ok(()));
            assert_eq!(unit.target.read_lun(0, 0, 4096).unwrap(), [0x11; 4096]);
        }
        unit.pair.read(0, 0, 512).unwrap();
        unit.target.clear_hooks();
        unit.pair.log_out();
    }
}

#[test]
fn b_rc_13_commands_that_waited_keep_their_order_and_end_with_the_outage_limit() {
    let mut unit = Scripted::new();
    let mut left = 4;
    unit.answer(move |command| {
        left = if command.cdb[0] == WRITE && left > 0 { left - 1 } else { return None };
        Some(Vec::new())
    });
    for lba in [30, 10, 20, 40] {
        unit.pair.submit_write(0, lba, &[lba as u8; 512]);
    }
    unit.pair.pass(Duration::from_millis(10));
    unit.pair.wire.break_now(Break::Reset);
    for _ in 0..4 {
        unit.pair.finish_one().outcome.unwrap();
    }
    let blocks: Vec<u8> = unit.log.of(WRITE).iter().map(|command| command.cdb[5]).collect();
    assert_eq!(blocks, [30, 10, 20, 40, 30, 10, 20, 40]);
    // A unit that does not say what it is, and no further session.
    unit.answer(|command| matches!(command.cdb[0], WRITE | INQUIRY).then(Vec::new));
    unit.pair.submit_write(0, 0, &[1; 512]);
    unit.pair.pass(Duration::from_millis(10));
    unit.pair.wire.break_now(Break::Reset);
    unit.pair.pass(Duration::from_secs(5));
    assert_eq!(unit.log.codes(), [WRITE, INQUIRY]);
    unit.pair.wire.set_portal(Portal::Refuses);
    unit.pair.wire.break_now(Break::Reset);
    let error = RequestError::Task(TaskError::Outage);
    assert_eq!(unit.pair.finish_one().outcome, Err(error));
}
