//! Durable writes, and blocks that are released or filled: FUA, UNMAP, WRITE SAME.

use isboot::disk::{DiskId, RequestError, RequestKind, SubmitRequestError, WriteSameForm};
use isboot::pdu::request::Request;
use isboot_tests::pair::{Break, Direction, MIB, NAME, Pair, Random};
use isboot_tests::target::{Fate, Handling, Lun, Target, Thin};

const WRITE_10: u8 = 0x2a;
const SYNCHRONIZE_CACHE: u8 = 0x35;
const WRITE_SAME_10: u8 = 0x41;
const UNMAP: u8 = 0x42;
const WRITE_16: u8 = 0x8a;
const WRITE_SAME_16: u8 = 0x93;

const DISK: DiskId = DiskId(0);

fn of(lun: Lun) -> (Target, Pair) {
    let target = Target::builder(NAME).lun(lun).build();
    // Large writes take several commands.
    let pair = Pair::ready(&target, &[("transfer_limit", "262144")]);
    (target, pair)
}

fn thin(thin: Thin) -> Lun {
    Lun::memory(MIB).thin(thin)
}

/// Blocks of the LUN that are not all zero.
fn used(target: &Target, blocks: u64) -> Vec<u64> {
    let bytes = target.read_lun(0, 0, blocks as usize * 512).unwrap();
    let is_used = |block: &u64| bytes[*block as usize * 512..][..512].iter().any(|&byte| byte != 0);
    (0..blocks).filter(is_used).collect()
}

// --- durable writes ---

#[test]
fn a_write_through_has_fua_on_each_of_its_commands() {
    let (target, mut pair) = of(Lun::memory(MIB));
    assert!(pair.isboot.disks()[0].force_unit_access);
    let content = Random(1).bytes(600 * 1024);
    let submitted = pair.isboot.submit_write_through(DISK, 3, content.clone());
    let finished = pair.finish(submitted).unwrap();
    assert_eq!(finished.kind, RequestKind::WriteThrough);
    assert_eq!(finished.buffer.as_deref(), Some(&content[..]));
    assert_eq!(target.read_lun(0, 3 * 512, content.len()).unwrap(), content);
    let statistics = target.statistics();
    assert_eq!(statistics.command_count(WRITE_10), 3);
    assert_eq!(statistics.forced_unit_accesses, 3);
    assert_eq!(statistics.command_count(SYNCHRONIZE_CACHE), 0);
    // Ordinary writes stay ordinary.
    pair.write(0, 0, &[1; 512]).unwrap();
    assert_eq!(target.statistics().forced_unit_accesses, 3);
    pair.log_out();
}

#[test]
fn where_a_unit_lacks_fua_a_flush_follows_the_last_of_the_data() {
    let (target, mut pair) = of(Lun::memory(MIB).without_force_unit_access());
    assert!(!pair.isboot.disks()[0].force_unit_access);
    let order = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let log = std::sync::Arc::clone(&order);
    target.on_request(move |_, pdu| {
        if let Ok(Request::ScsiCommand(command)) = Request::parse(&pdu.header) {
            log.lock().unwrap().push(command.cdb[0]);
        }
        Handling::Proceed
    });
    let content = Random(1).bytes(600 * 1024);
    let submitted = pair.isboot.submit_write_through(DISK, 3, content.clone());
    pair.finish(submitted).unwrap();
    assert_eq!(*order.lock().unwrap(), [WRITE_10, WRITE_10, WRITE_10, SYNCHRONIZE_CACHE]);
    assert_eq!(target.statistics().forced_unit_accesses, 0);
    // A write that failed is not flushed, and its failure is what comes back.
    target.set_bad_blocks(0, std::slice::from_ref(&(0..1)));
    let submitted = pair.isboot.submit_write_through(DISK, 0, vec![1; 512]);
    assert!(matches!(pair.finish(submitted), Err(RequestError::Scsi { .. })));
    assert_eq!(target.statistics().command_count(SYNCHRONIZE_CACHE), 1);
    pair.log_out();
}

#[test]
fn a_flush_after_writes_outlives_a_lost_connection() {
    for after in [1, 60_000, 130_000] {
        let (target, mut pair) = of(Lun::memory(MIB).without_force_unit_access());
        let content = Random(1).bytes(120 * 1024);
        let carried = pair.wire.carried(Direction::ToTarget);
        pair.wire.break_after(Direction::ToTarget, carried + after, Break::Reset);
        // Others come and go meanwhile.
        let others: Vec<_> = (0..8).map(|number| pair.submit_read(0, number, 512)).collect();
        let submitted = pair.isboot.submit_write_through(DISK, 100, content.clone()).unwrap();
        let mut through = None;
        while through.is_none() {
            pair.run_until("the write", |isboot| isboot.finished() > 0);
            while let Some(finished) = pair.isboot.take_completion() {
                assert!(finished.outcome.is_ok(), "{:?}", finished.outcome);
                assert!(finished.id == submitted || others.contains(&finished.id));
                if finished.id == submitted {
                    through = finished.buffer;
                }
            }
        }
        assert_eq!(through.as_deref(), Some(&content[..]));
        assert_eq!(target.read_lun(0, 100 * 512, content.len()).unwrap(), content);
        assert!(target.statistics().command_count(SYNCHRONIZE_CACHE) >= 1, "{after}");
        pair.log_out();
    }
}

// --- UNMAP ---

#[test]
fn an_unmap_keeps_to_the_limits_and_leaves_no_granule_behind() {
    for (unmap_blocks, granularity, alignment) in
        [(u32::MAX, 1, 0), (64, 1, 0), (100, 8, 3), (7, 8, 0), (64, 64, 5)]
    {
        let limits = Thin { unmap_blocks, granularity, alignment, ..Thin::default() };
        let (target, mut pair) = of(thin(limits));
        target.write_lun(0, 0, &[7; 1000 * 512]).unwrap();
        let submitted = pair.isboot.submit_unmap(DISK, 10, 900);
        let finished = pair.finish(submitted).unwrap();
        assert_eq!((finished.kind, finished.buffer), (RequestKind::Unmap, None));
        let used = used(&target, 1000);
        let outside = |block: &u64| !(10..910).contains(block);
        assert!((0..1000).filter(outside).all(|block| used.contains(&block)), "{limits:?}");
        if unmap_blocks >= granularity {
            // Only what is no whole granule stays, at either end.
            let stays = used.len() - 100;
            assert!(stays < 2 * granularity as usize, "{limits:?}: {stays} blocks stay");
        }
        let least = 900u64.div_ceil(u64::from(unmap_blocks));
        let count = target.statistics().command_count(UNMAP);
        assert!((least..=least + 2).contains(&count), "{limits:?}: {count} commands");
        assert_eq!(target.statistics().unmapped_blocks, 900);
        pair.log_out();
    }
}

#[test]
fn an_unmap_of_more_blocks_than_32_bits_count_is_split() {
    let blocks = (1u64 << 33) + 5;
    let (target, mut pair) = of(Lun::memory(blocks * 512).thin(Thin::default()));
    target.write_lun(0, (1 << 33) * 512, &[1; 5 * 512]).unwrap();
    let submitted = pair.isboot.submit_unmap(DISK, 0, blocks);
    pair.finish(submitted).unwrap();
    assert_eq!(target.statistics().unmapped_blocks, blocks);
    assert_eq!(target.read_lun(0, (1 << 33) * 512, 5 * 512).unwrap(), [0; 5 * 512]);
    pair.log_out();
}

/// The unit changes while parts of a request wait, and tells of no UNMAP any more: the rest is for
/// the unit to refuse.
#[test]
fn an_unmap_under_way_ends_when_the_unit_tells_no_limits_any_more() {
    let (target, mut pair) = of(thin(Thin { unmap_blocks: 1, ..Thin::default() }));
    target.on_response(|_, pdu| {
        if pdu.data.starts_with(&[0, 0xb0, 0, 60]) {
            pdu.data[20..28].fill(0);
        }
        Fate::Send
    });
    target.raise_unit_attention(0, 0x3f, 0x03);
    let submitted = pair.isboot.submit_unmap(DISK, 0, 200);
    let refused = pair.finish(submitted).unwrap_err();
    assert!(matches!(refused, RequestError::Scsi { status: 2, .. }), "{refused}");
    assert_eq!(pair.isboot.disks()[0].provisioning.unmap, None);
    assert_eq!(pair.isboot.submit_unmap(DISK, 0, 1), Err(SubmitRequestError::Unsupported));
    pair.read(0, 0, 512).unwrap();
}

#[test]
fn what_a_unit_does_not_have_is_refused_before_it_is_asked() {
    let no_unmap = Thin { unmap: false, ..Thin::default() };
    let no_limits = Thin { unmap_blocks: 0, ..Thin::default() };
    for lun in [Lun::memory(MIB), thin(no_unmap), thin(no_limits)] {
        let (target, mut pair) = of(lun);
        assert_eq!(pair.isboot.submit_unmap(DISK, 0, 1), Err(SubmitRequestError::Unsupported));
        assert_eq!(target.statistics().command_count(UNMAP), 0);
        pair.log_out();
    }
    let (_, mut pair) = of(thin(Thin::default()).read_only());
    assert_eq!(pair.isboot.submit_unmap(DISK, 0, 1), Err(SubmitRequestError::ReadOnly));
    let zeros = pair.isboot.submit_write_zeros(DISK, 0, 1, false);
    assert_eq!(zeros, Err(SubmitRequestError::ReadOnly));
    pair.log_out();
    let (_, mut pair) = of(thin(Thin::default()));
    let blocks = MIB / 512;
    for (disk, lba, count, reason) in [
        (DISK, 0, 0, SubmitRequestError::BadLength),
        (DISK, 0, blocks + 1, SubmitRequestError::OutOfRange),
        (DISK, blocks, 1, SubmitRequestError::OutOfRange),
        (DISK, u64::MAX, 2, SubmitRequestError::OutOfRange),
        (DiskId(1), 0, 1, SubmitRequestError::NoSuchDisk),
    ] {
        assert_eq!(pair.isboot.submit_unmap(disk, lba, count), Err(reason));
        assert_eq!(pair.isboot.submit_write_zeros(disk, lba, count, true), Err(reason));
    }
    for length in [0, 511, 1024] {
        let rejected = pair.isboot.submit_write_same(DISK, 0, 1, vec![0; length], false);
        assert_eq!(rejected.unwrap_err().reason, SubmitRequestError::BadLength);
    }
    pair.log_out();
}

// --- WRITE SAME ---

#[test]
fn one_block_fills_many_within_the_limits_of_the_unit() {
    for (limit, commands) in [(0, 1), (2000, 1), (64, 16), (1, 1000)] {
        let (target, mut pair) = of(Lun::memory(MIB).write_same_blocks(limit));
        let block = Random(1).bytes(512);
        let submitted = pair.isboot.submit_write_same(DISK, 5, 1000, block.clone(), false);
        let finished = pair.finish(submitted).unwrap();
        assert_eq!(finished.buffer.as_ref(), Some(&block));
        assert_eq!(target.read_lun(0, 5 * 512, 1000 * 512).unwrap(), block.repeat(1000));
        assert_eq!(used(&target, 1010).len(), 1000);
        let statistics = target.statistics();
        assert_eq!(statistics.command_count(WRITE_SAME_10), commands);
        assert_eq!(statistics.command_count(WRITE_10) + statistics.command_count(WRITE_16), 0);
        pair.log_out();
    }
}

#[test]
fn zeros_are_written_without_a_buffer_and_released_where_that_is_wanted() {
    for (ten, sixteen, form) in [
        (true, true, Some(WriteSameForm::Sixteen)),
        (true, false, Some(WriteSameForm::Ten)),
        (false, false, None),
    ] {
        let forms = Thin { write_same_10: ten, write_same_16: sixteen, ..Thin::default() };
        let (target, mut pair) = of(thin(forms));
        assert_eq!(pair.isboot.disks()[0].provisioning.write_same_unmaps, form);
        target.write_lun(0, 0, &[7; 100 * 512]).unwrap();
        let submitted = pair.isboot.submit_write_zeros(DISK, 10, 20, false);
        pair.finish(submitted).unwrap();
        assert_eq!(target.statistics().same_blocks, 20);
        let submitted = pair.isboot.submit_write_zeros(DISK, 50, 20, true);
        if form.is_none() {
            assert_eq!(submitted, Err(SubmitRequestError::Unsupported));
            pair.log_out();
            continue;
        }
        pair.finish(submitted).unwrap();
        let statistics = target.statistics();
        assert_eq!(statistics.unmapped_blocks, 20);
        let long = u64::from(form == Some(WriteSameForm::Sixteen));
        assert_eq!(statistics.command_count(WRITE_SAME_16), long);
        assert_eq!(statistics.command_count(WRITE_SAME_10), 2 - long);
        let filled: Vec<u64> =
            (0..100).filter(|at| !(10..30).contains(at) && !(50..70).contains(at)).collect();
        assert_eq!(used(&target, 100), filled);
        pair.log_out();
    }
}

#[test]
fn write_same_beyond_32_bits_is_long() {
    let (target, mut pair) = of(Lun::memory(512 * ((1 << 32) + 100)));
    let submitted = pair.isboot.submit_write_same(DISK, 1 << 32, 3, vec![9; 512], false);
    pair.finish(submitted).unwrap();
    assert_eq!(target.read_lun(0, 512 << 32, 4 * 512).unwrap()[..3 * 512], [9; 3 * 512]);
    assert_eq!(target.statistics().command_count(WRITE_SAME_16), 1);
    pair.log_out();
}

#[test]
fn a_unit_without_write_same_says_so_by_name() {
    let (target, mut pair) = of(Lun::memory(MIB));
    target.refuse_commands(&[WRITE_SAME_10, WRITE_SAME_16]);
    let submitted = pair.isboot.submit_write_zeros(DISK, 0, 8, false);
    let error = pair.finish(submitted).unwrap_err();
    assert_eq!(error, RequestError::Unsupported);
    assert_eq!(target.statistics().command_count(WRITE_SAME_10), 1);
    pair.log_out();
}
