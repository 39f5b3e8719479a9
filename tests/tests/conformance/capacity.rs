//! B-CP: capacity, geometry, write protection.

use std::time::Duration;

use isboot::disk::{DiskId, RequestError, SubmitRequestError, UnitFault};
use isboot::pdu::request::ScsiCommand;
use isboot::scsi::capacity::CapacityError;
use isboot::scsi::sense::{Sense, SenseKey};
use isboot_tests::pair::{MIB, NAME, Pair, Random, target};
use isboot_tests::target::{Lun, Target, Thin};

use crate::units::{
    Answer, BAD_FIELD, Commands, MODE_SENSE_6, MODE_SENSE_10, READ_10, READ_16, READ_CAPACITY_10,
    READ_CAPACITY_16, SYNCHRONIZE_CACHE, UNKNOWN, UNMAP, WRITE_10, WRITE_16,
};

/// READ CAPACITY(10) data.
fn capacity_10(last: u32, block_size: u32) -> Answer {
    Answer::Data([last.to_be_bytes(), block_size.to_be_bytes()].concat())
}

/// READ CAPACITY(16) data.
fn capacity_16(last: u64, block_size: u32) -> Vec<u8> {
    let mut data = [&last.to_be_bytes()[..], &block_size.to_be_bytes()].concat();
    data.resize(32, 0);
    data
}

/// A target whose READ CAPACITY commands are answered so.
fn measured(
    mut ten: impl FnMut() -> Option<Answer> + Send + 'static,
    mut sixteen: impl FnMut() -> Option<Answer> + Send + 'static,
) -> (Target, Commands) {
    let target = target().build();
    let commands = Commands::of(&target, move |command| match command.cdb[0] {
        READ_CAPACITY_10 => ten(),
        READ_CAPACITY_16 => sixteen(),
        _ => None,
    });
    (target, commands)
}

/// Why there is no disk to boot from.
#[track_caller]
fn fault(target: &Target, what: &str) -> UnitFault {
    let mut pair = Pair::ready(target, &[]);
    assert!(pair.isboot.disks().is_empty(), "{what}");
    let error = pair.isboot.boot_disk().unwrap_err();
    assert!(error.is_listed, "{what}");
    let fault = error.fault.unwrap();
    pair.log_out();
    fault
}

/// Blocks of a READ or WRITE.
fn blocks(command: &ScsiCommand) -> u32 {
    let cdb = &command.cdb;
    match cdb[0] {
        READ_16 | WRITE_16 => u32::from_be_bytes(cdb[10..14].try_into().unwrap()),
        _ => u32::from(u16::from_be_bytes([cdb[7], cdb[8]])),
    }
}

fn scsi(key: SenseKey, code: u8, qualifier: u8) -> RequestError {
    let sense = Sense { key, code, qualifier, deferred: false, information: None };
    RequestError::Scsi { status: 2, sense: Some(sense) }
}

#[test]
fn b_cp_01_the_last_block_of_read_capacity_10_is_one_less_than_the_size() {
    let (target, _) = measured(|| Some(capacity_10(0xffff, 512)), || Some(UNKNOWN));
    let mut pair = Pair::ready(&target, &[]);
    let disk = &pair.isboot.disks()[0];
    assert_eq!((disk.blocks, disk.block_size), (65_536, 512));
    pair.log_out();
}

#[test]
fn b_cp_02_beyond_32_bits_everything_has_16_bytes() {
    let blocks = (1u64 << 32) + 16;
    let target = Target::builder(NAME).lun(Lun::memory(blocks * 512)).build();
    let commands = Commands::of(&target, |command| {
        (command.cdb[0] == READ_CAPACITY_10).then(|| capacity_10(u32::MAX, 512))
    });
    let mut pair = Pair::ready(&target, &[]);
    assert_eq!(pair.isboot.disks()[0].blocks, blocks);
    let capacity = commands.with(&[READ_CAPACITY_16])[0].cdb;
    assert_eq!(capacity[1], 0x10);
    assert!(u32::from_be_bytes(capacity[10..14].try_into().unwrap()) >= 32);
    let content = Random(1).bytes(4096);
    commands.forget();
    pair.write(0, 1 << 32, &content).unwrap();
    assert_eq!(pair.read(0, 1 << 32, 4096).unwrap(), content);
    assert_eq!(target.read_lun(0, 512 << 32, 4096).unwrap(), content);
    let codes: Vec<u8> = commands.all().iter().map(|command| command.cdb[0]).collect();
    assert_eq!(codes, [WRITE_16, READ_16]);
    pair.log_out();
}

#[test]
fn b_cp_03_a_unit_too_large_for_the_only_command_it_knows_is_refused() {
    let (target, _) = measured(|| Some(capacity_10(u32::MAX, 512)), || Some(UNKNOWN));
    assert_eq!(fault(&target, "RC(16) refused"), UnitFault::TooLarge);
}

#[test]
fn b_cp_04_either_read_capacity_will_do() {
    let (target, _) = measured(|| Some(UNKNOWN), || None);
    let mut pair = Pair::ready(&target, &[]);
    assert_eq!(pair.isboot.disks()[0].bytes(), MIB);
    pair.log_out();
    let (target, commands) = measured(|| Some(UNKNOWN), || Some(UNKNOWN));
    let error = scsi(SenseKey::IllegalRequest, 0x20, 0);
    let failed = UnitFault::Failed { command: "READ CAPACITY(10)", error };
    assert_eq!(fault(&target, "both refused"), failed);
    assert_eq!(commands.with(&[READ_CAPACITY_10, READ_CAPACITY_16]).len(), 2, "once each");
}

#[test]
fn b_cp_05_blocks_of_4096_bytes_move_whole() {
    let target = Target::builder(NAME).lun(Lun::memory(MIB).block_size(4096)).build();
    let commands = Commands::to(&target);
    let mut pair = Pair::ready(&target, &[("transfer_limit", "16384")]);
    let content = Random(5).bytes(10 * 4096);
    pair.write(0, 3, &content).unwrap();
    assert_eq!(pair.read(0, 3, content.len()).unwrap(), content);
    let moving = commands.with(&[READ_10, WRITE_10]);
    assert_eq!(moving.len(), 6, "four blocks at most each");
    for command in moving {
        assert_eq!(command.expected_data_transfer_length, blocks(&command) * 4096);
    }
    for length in [512, 2048, 4097, 6144] {
        let rejected = pair.isboot.submit_read(DiskId(0), 0, vec![0; length]).unwrap_err();
        assert_eq!(rejected.reason, SubmitRequestError::BadLength, "{length} bytes");
    }
    pair.log_out();
}

#[test]
fn b_cp_06_how_physical_blocks_lie_is_told() {
    for aligned in [0, 7] {
        let lun = Lun::memory(MIB).physical_blocks(3, aligned);
        let target = Target::builder(NAME).lun(lun).build();
        let mut pair = Pair::ready(&target, &[]);
        let disk = &pair.isboot.disks()[0];
        assert_eq!(disk.block_size, 512);
        assert_eq!((disk.physical_block_exponent, disk.lowest_aligned_block), (3, aligned));
        pair.write(0, 1, &[1; 512]).unwrap();
        assert_eq!(pair.read(0, 1, 512).unwrap(), [1; 512]);
        pair.log_out();
    }
}

#[test]
fn b_cp_07_odd_block_sizes_are_refused_by_name() {
    for size in [0, 1, 511, 520, 524, 4160, 1 << 20, u32::MAX] {
        let wanted = UnitFault::Capacity(CapacityError::BlockSize(size));
        let (target, _) =
            measured(|| Some(UNKNOWN), move || Some(Answer::Data(capacity_16(2047, size))));
        assert_eq!(fault(&target, "RC(16)"), wanted);
        let (target, _) = measured(move || Some(capacity_10(2047, size)), || Some(UNKNOWN));
        assert_eq!(fault(&target, "RC(10)"), wanted);
    }
    for size in [512u32, 4096] {
        let (target, _) =
            measured(|| Some(UNKNOWN), move || Some(Answer::Data(capacity_16(7, size))));
        let mut pair = Pair::ready(&target, &[]);
        assert_eq!(pair.isboot.disks()[0].bytes(), 8 * u64::from(size));
        pair.log_out();
    }
}

#[test]
fn b_cp_08_one_block_is_a_disk_and_more_than_can_be_counted_is_none() {
    let target = Target::builder(NAME).lun(Lun::memory(512)).build();
    let mut pair = Pair::ready(&target, &[]);
    assert_eq!(pair.isboot.disks()[0].blocks, 1);
    pair.write(0, 0, &[3; 512]).unwrap();
    let beyond = pair.isboot.submit_read(DiskId(0), 1, vec![0; 512]).unwrap_err();
    assert_eq!(beyond.reason, SubmitRequestError::OutOfRange);
    pair.log_out();
    let all_ones = || Some(Answer::Data(capacity_16(u64::MAX, 512)));
    let (target, _) = measured(|| Some(capacity_10(u32::MAX, 512)), all_ones);
    assert_eq!(fault(&target, "all ones"), UnitFault::Capacity(CapacityError::TooManyBlocks));
}

#[test]
fn b_cp_09_twelve_bytes_are_a_capacity_and_four_are_none() {
    let twelve = || Some(Answer::Data(capacity_16(2047, 512)[..12].to_vec()));
    let (target, _) = measured(|| Some(UNKNOWN), twelve);
    let mut pair = Pair::ready(&target, &[]);
    assert_eq!(pair.isboot.disks()[0].blocks, 2048);
    pair.log_out();
    for short in 0..8 {
        let cut = move || Some(Answer::Data(vec![0; short]));
        let (target, _) = measured(cut, || Some(UNKNOWN));
        let truncated = UnitFault::Capacity(CapacityError::Truncated);
        assert_eq!(fault(&target, "RC(10) cut"), truncated, "{short} bytes");
    }
    // What is too short from the one command may be whole from the other.
    let (target, _) = measured(|| None, || Some(Answer::Data(vec![0; 11])));
    let mut pair = Pair::ready(&target, &[]);
    assert_eq!(pair.isboot.disks()[0].bytes(), MIB);
    pair.log_out();
}

#[test]
fn b_cp_10_thin_units_read_and_write_and_release_only_when_asked() {
    for reads_zeros in [true, false] {
        for unmap in [true, false] {
            let thin = Thin { unmap, reads_zeros, ..Thin::default() };
            let target = Target::builder(NAME).lun(Lun::memory(MIB).thin(thin)).build();
            let mut pair = Pair::ready(&target, &[]);
            let provisioning = pair.isboot.disks()[0].provisioning;
            assert!(provisioning.thin);
            assert_eq!(provisioning.reads_zeros, reads_zeros);
            assert_eq!(provisioning.unmap.is_some(), unmap);
            pair.write(0, 0, &[9; 4096]).unwrap();
            assert_eq!(pair.read(0, 0, 4096).unwrap(), [9; 4096]);
            pair.flush(0).unwrap();
            assert_eq!(target.statistics().command_count(UNMAP), 0, "nobody asked for it");
            let submitted = pair.isboot.submit_unmap(DiskId(0), 1, 6);
            if unmap {
                pair.finish(submitted).unwrap();
                assert_eq!(target.read_lun(0, 512, 6 * 512).unwrap(), [0; 6 * 512]);
                assert_eq!(target.read_lun(0, 7 * 512, 512).unwrap(), [9; 512]);
            } else {
                assert_eq!(submitted, Err(SubmitRequestError::Unsupported));
            }
            assert_eq!(target.statistics().command_count(UNMAP), u64::from(unmap));
            pair.log_out();
        }
    }
}

#[test]
fn b_cp_11_a_full_thin_pool_is_an_error_of_its_own_at_once() {
    for busy in [0, 3] {
        let lun = Lun::memory(MIB).thin(Thin::default());
        let target = Target::builder(NAME).lun(lun).build();
        let mut pair = Pair::ready(&target, &[]);
        target.set_pool_full(0, true);
        target.force_status(0, 0x08, busy);
        let error = pair.write(0, 0, &[1; 4096]).unwrap_err();
        assert_eq!(error, RequestError::NoSpace, "{busy} times BUSY");
        assert!(error.to_string().contains("thin pool is full"), "{error}");
        assert_eq!(target.statistics().command_count(WRITE_10), busy as u64 + 1);
        pair.read(0, 0, 4096).unwrap();
        target.set_pool_full(0, false);
        pair.write(0, 0, &[1; 4096]).unwrap();
        pair.log_out();
    }
}

#[test]
fn b_cp_12_a_protected_medium_is_known_by_its_mode_page_or_by_its_refusal() {
    for ten_only in [false, true] {
        let target = Target::builder(NAME).lun(Lun::memory(MIB).read_only()).build();
        let commands = Commands::of(&target, move |command| {
            (ten_only && command.cdb[0] == MODE_SENSE_6).then_some(UNKNOWN)
        });
        let mut pair = Pair::ready(&target, &[]);
        assert!(pair.isboot.disks()[0].read_only, "MODE SENSE(10) {ten_only}");
        assert_eq!(commands.with(&[MODE_SENSE_10]).len(), usize::from(ten_only));
        let rejected = pair.isboot.submit_write(DiskId(0), 0, vec![7; 512]).unwrap_err();
        assert_eq!(rejected.reason, SubmitRequestError::ReadOnly);
        pair.read(0, 0, 512).unwrap();
        pair.log_out();
    }
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let commands = Commands::of(&target, |command| {
        (command.cdb[0] == WRITE_10).then_some(Answer::Sense(0x07, 0x27, 0x00))
    });
    let error = pair.write(0, 0, &[7; 512]).unwrap_err();
    assert_eq!(error, scsi(SenseKey::DataProtect, 0x27, 0));
    assert_eq!(commands.with(&[WRITE_10]).len(), 1);
    pair.read(0, 0, 512).unwrap();
    pair.log_out();
}

#[test]
fn b_cp_13_where_mode_sense_fails_the_medium_counts_as_not_protected() {
    type Script = fn(usize) -> Option<Answer>;
    let scripts: [(&str, Script); 6] = [
        ("unknown command", |_| Some(UNKNOWN)),
        ("bad field", |_| Some(BAD_FIELD)),
        ("unit attention once", |count| (count == 0).then_some(Answer::Sense(6, 0x29, 0))),
        ("four bytes", |_| Some(Answer::Data(vec![3, 0, 0, 0]))),
        ("no bytes", |_| Some(Answer::Data(Vec::new()))),
        ("a block descriptor beyond the data", |_| {
            Some(Answer::Data(vec![0xff, 0, 0, 0xff, 0, 0, 0, 0]))
        }),
    ];
    for (what, script) in scripts {
        let target = target().build();
        let mut count = 0;
        let commands = Commands::of(&target, move |command| {
            let asked = matches!(command.cdb[0], MODE_SENSE_6 | MODE_SENSE_10);
            asked.then(|| script(std::mem::replace(&mut count, 1))).flatten()
        });
        let mut pair = Pair::ready(&target, &[]);
        assert!(!pair.isboot.disks()[0].read_only, "{what}");
        assert!(commands.with(&[MODE_SENSE_6, MODE_SENSE_10]).len() <= 2, "{what}");
        pair.write(0, 0, &[1; 512]).unwrap();
        pair.log_out();
    }
}

#[test]
fn b_cp_14_protection_information_stays_at_the_unit() {
    for kind in 1..=3 {
        let target = Target::builder(NAME).lun(Lun::memory(MIB).protection(kind)).build();
        let commands = Commands::to(&target);
        let mut pair = Pair::ready(&target, &[]);
        let disk = &pair.isboot.disks()[0];
        assert_eq!((disk.protection_type, disk.block_size), (kind, 512));
        pair.write(0, 0, &[1; 4096]).unwrap();
        assert_eq!(pair.read(0, 0, 4096).unwrap(), [1; 4096]);
        for command in commands.with(&[READ_10, WRITE_10]) {
            assert_eq!(command.cdb[1] & 0xe0, 0, "RDPROTECT, WRPROTECT");
            assert_eq!(command.expected_data_transfer_length, 4096);
        }
        pair.log_out();
    }
}

#[test]
fn b_cp_15_no_command_moves_more_than_the_unit_takes() {
    let target = target().max_transfer_blocks(128).build();
    let mut pair = Pair::ready(&target, &[]);
    let commands = Commands::to(&target);
    let content = Random(1).bytes(1000 * 512);
    pair.write(0, 5, &content).unwrap();
    assert_eq!(pair.read(0, 5, content.len()).unwrap(), content);
    let moved: Vec<u32> = commands.with(&[READ_10, WRITE_10]).iter().map(blocks).collect();
    assert!(moved.iter().all(|&blocks| blocks <= 128), "{moved:?}");
    assert_eq!(moved.iter().sum::<u32>(), 2000);
    pair.log_out();
}

#[test]
fn b_cp_16_requests_beyond_the_disk_never_reach_it() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let commands = Commands::to(&target);
    let last = MIB / 512 - 1;
    for (lba, length, reason) in [
        (last, 1024, SubmitRequestError::OutOfRange),
        (last + 1, 512, SubmitRequestError::OutOfRange),
        (u64::MAX, 512, SubmitRequestError::OutOfRange),
        (u64::MAX - 1, 4096, SubmitRequestError::OutOfRange),
        (0, 0, SubmitRequestError::BadLength),
        (0, 511, SubmitRequestError::BadLength),
    ] {
        let read = pair.isboot.submit_read(DiskId(0), lba, vec![0; length]).unwrap_err();
        let write = pair.isboot.submit_write(DiskId(0), lba, vec![0; length]).unwrap_err();
        assert_eq!((read.reason, write.reason), (reason, reason), "{length} bytes at {lba}");
    }
    pair.pass(Duration::from_secs(1));
    assert_eq!(commands.all().len(), 0);
    pair.log_out();
}

#[test]
fn b_cp_17_commands_are_long_where_short_ones_do_not_reach() {
    let lun = Lun::memory(512 * ((1 << 32) + 4096));
    let target = Target::builder(NAME).lun(lun).build();
    let mut pair = Pair::ready(&target, &[]);
    let commands = Commands::to(&target);
    for (lba, blocks, code) in
        [(0xffff_fffe, 1, READ_10), (0xffff_ffff, 1, READ_10), (0x1_0000_0000, 1, READ_16)]
    {
        commands.forget();
        pair.read(0, lba, blocks * 512).unwrap();
        assert_eq!(commands.all()[0].cdb[0], code, "{blocks} blocks at {lba:#x}");
    }
    pair.log_out();
    // More blocks than 16 bits count are more bytes than `transfer_limit` allows.
    for (blocks, code) in [(65_535u32, WRITE_10), (65_536, WRITE_16)] {
        assert_eq!(isboot::scsi::cdb::write(0, blocks)[0], code);
        assert_eq!(isboot::scsi::cdb::read(0, blocks)[0], code - 2);
    }
}

#[test]
fn b_cp_18_a_flush_is_sent_awaited_and_not_missed_where_there_is_none() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let commands = Commands::to(&target);
    pair.flush(0).unwrap();
    assert_eq!(commands.with(&[SYNCHRONIZE_CACHE]).len(), 1);
    // Twenty seconds are within its limit.
    target.pause();
    let submitted = pair.isboot.submit_flush(DiskId(0));
    pair.pass(Duration::from_secs(20));
    assert!(pair.take_completion().is_none());
    target.resume();
    pair.finish(submitted).unwrap();
    assert_eq!(commands.with(&[SYNCHRONIZE_CACHE]).len(), 2);
    assert_eq!(pair.isboot.last_error(), None);
    let is_flush = |command: &ScsiCommand| matches!(command.cdb[0], SYNCHRONIZE_CACHE | 0x91);
    Commands::of(&target, move |command| is_flush(command).then_some(UNKNOWN));
    pair.flush(0).unwrap();
    Commands::of(&target, move |command| {
        is_flush(command).then_some(Answer::Sense(0x04, 0x44, 0x00))
    });
    assert_eq!(pair.flush(0).unwrap_err(), scsi(SenseKey::HardwareError, 0x44, 0));
    pair.log_out();
}

#[test]
fn b_cp_19_what_lies_above_a_shrunken_end_fails_cleanly() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let shrunken = MIB / 1024;
    target.raise_unit_attention(0, 0x2a, 0x09);
    let commands = Commands::of(&target, move |command| {
        let lba = u64::from(u32::from_be_bytes(command.cdb[2..6].try_into().unwrap()));
        match command.cdb[0] {
            READ_CAPACITY_16 => Some(Answer::Data(capacity_16(shrunken - 1, 512))),
            READ_CAPACITY_10 => Some(capacity_10(shrunken as u32 - 1, 512)),
            READ_10 | WRITE_10 if lba + u64::from(blocks(command)) > shrunken => {
                Some(Answer::Sense(0x05, 0x21, 0x00))
            }
            _ => None,
        }
    });
    pair.submit_read(0, 0, 512);
    pair.submit_read(0, shrunken, 512);
    pair.submit_write(0, shrunken - 1, &[1; 1024]);
    let outcomes: Vec<_> = (0..3).map(|_| pair.finish_one().outcome).collect();
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 2, "{outcomes:?}");
    assert!(commands.with(&[READ_10, WRITE_10]).len() <= 6, "no storm");
    assert_eq!(pair.isboot.last_error(), None, "the session goes on");
    pair.write(0, 0, &[1; 512]).unwrap();
    pair.log_out();
}
