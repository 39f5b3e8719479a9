//! Finding disks and using them: what logical units say, refuse and take back.

use std::time::Duration;

use isboot::disk::{DiskId, RequestError, SubmitRequestError};
use isboot::pdu::bhs::opcode;
use isboot::pdu::request::{Request, TaskManagementRequest};
use isboot::pdu::response::{DataIn, Residual, Response, TaskManagementResponse};
use isboot::scsi::lun::LogicalUnitNumber;
use isboot::session::{Error, Session};
use isboot_tests::pair::{
    LargePair, MIB, NAME, NUMBERS, Pair, Random, Setting, scsi_response, target,
};
use isboot_tests::target::{Fate, Handling, Injection, Lun, Numbering, Pdu, Target};

/// CHECK CONDITION with fixed sense data.
fn check_condition(tag: u32, key: u8, code: u8, qualifier: u8) -> Handling {
    let mut sense = vec![0, 18, 0x70, 0, key, 0, 0, 0, 0, 10, 0, 0, 0, 0, code, qualifier];
    sense.resize(20, 0);
    status(tag, 2, Residual::None, sense)
}

fn status(tag: u32, status: u8, residual: Residual, data: Vec<u8>) -> Handling {
    Handling::Answer(vec![scsi_response(tag, status, residual, data)])
}

/// Data with GOOD status.
fn data(tag: u32, data: Vec<u8>, residual: Residual) -> Handling {
    let response = DataIn {
        last: true,
        acknowledge: false,
        status: Some(0),
        residual,
        lun: [0; 8],
        initiator_task_tag: tag,
        target_transfer_tag: u32::MAX,
        numbers: NUMBERS,
        data_sn: 0,
        buffer_offset: 0,
        data_segment_length: 0,
    };
    let pdu = Pdu::new(Response::DataIn(response).emit(), data);
    Handling::Answer(vec![Injection { pdu, numbering: Numbering::Status }])
}

/// Answers SCSI commands with this operation code by script.
fn on_command(target: &Target, code: u8, mut answer: impl FnMut(u32) -> Handling + Send + 'static) {
    target.on_request(move |_, pdu| match Request::parse(&pdu.header) {
        Ok(Request::ScsiCommand(command)) if command.cdb[0] == code => {
            answer(command.initiator_task_tag)
        }
        _ => Handling::Proceed,
    });
}

// --- finding disks ---

#[test]
fn unit_attentions_are_heard_out() {
    let lun = [(0x29, 0x00), (0x2a, 0x01), (0x3f, 0x0e), (0x2a, 0x09), (0x47, 0x7f)]
        .into_iter()
        .fold(Lun::memory(MIB), |lun, (code, qualifier)| lun.unit_attention(code, qualifier));
    let target = Target::builder(NAME).lun(lun).build();
    let mut pair = Pair::ready(&target, &[]);
    assert_eq!(pair.isboot.disks().len(), 1);
    pair.log_out();
}

#[test]
fn a_unit_attention_costs_a_request_nothing() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let bytes = Random(1).bytes(4096);
    target.raise_unit_attention(0, 0x29, 0);
    target.raise_unit_attention(0, 0x2a, 9);
    pair.write(0, 0, &bytes).unwrap();
    target.raise_unit_attention(0, 0x29, 0);
    assert_eq!(pair.read(0, 0, 4096).unwrap(), bytes);
    pair.log_out();
}

#[test]
fn a_unit_that_becomes_ready_is_waited_for() {
    let target = Target::builder(NAME).lun(Lun::memory(MIB).becoming_ready(50)).build();
    let mut pair = Pair::ready(&target, &[]);
    assert_eq!(pair.isboot.disks().len(), 1);
    assert!(pair.now().as_millis() >= 5_000, "asked every 100 ms");
    pair.log_out();
}

#[test]
fn a_unit_that_never_becomes_ready_is_left_out_in_time() {
    let never = Lun::memory(MIB).becoming_ready(u32::MAX);
    let target = Target::builder(NAME).lun(never).lun(Lun::memory(MIB)).build();
    let mut pair = Pair::ready(&target, &[("ready_timeout", "30")]);
    assert_eq!(pair.isboot.disks().len(), 1);
    assert_eq!(pair.isboot.disks()[0].lun, "1".parse().unwrap());
    assert!((30_000..32_000).contains(&pair.now().as_millis()));
    pair.log_out();
}

#[test]
fn a_unit_that_is_no_disk_is_left_out() {
    let target = target().lun(Lun::memory(MIB)).build();
    target.on_response(|_, pdu| {
        // The first INQUIRY answer becomes that of a CD drive.
        if pdu.header.opcode() == opcode::DATA_IN && pdu.data.get(8..14) == Some(b"ISBOOT") {
            pdu.data[0] = 5;
        }
        Fate::Send
    });
    let mut pair = Pair::ready(&target, &[]);
    assert_eq!(pair.isboot.disks().len(), 0);
    pair.log_out();
}

#[test]
fn without_a_list_of_units_the_boot_unit_is_looked_at() {
    let target = target().lun(Lun::memory(2 * MIB)).build();
    on_command(&target, 0xa0, |tag| check_condition(tag, 5, 0x20, 0));
    let boot_lun: LogicalUnitNumber = "1".parse().unwrap();
    let mut pair = Pair::with(&target, &Setting { boot_lun, ..Setting::new(&[]) });
    pair.become_ready();
    assert_eq!(pair.isboot.disks().len(), 1);
    assert_eq!(pair.isboot.disks()[0].bytes(), 2 * MIB);
    pair.log_out();
}

#[test]
fn a_unit_listed_twice_is_one_disk() {
    let target = target().build();
    on_command(&target, 0xa0, |tag| {
        let mut list = vec![0; 24];
        list[3] = 16;
        data(tag, list, Residual::Underflow(4096 - 24))
    });
    let mut pair = Pair::ready(&target, &[]);
    assert_eq!(pair.isboot.disks().len(), 1);
    pair.log_out();
}

/// More units than there is room for, and the boot unit, number 11h, is none of the first.
#[test]
fn the_boot_unit_has_a_place_whatever_the_list_says() {
    let target = (0..20).fold(Target::builder(NAME), |b, _| b.lun(Lun::memory(MIB))).build();
    let boot_lun: LogicalUnitNumber = "11".parse().unwrap();
    let mut pair = Pair::with(&target, &Setting { boot_lun, ..Setting::new(&[]) });
    pair.become_ready();
    assert_eq!(pair.isboot.disks().len(), 8);
    assert!(pair.isboot.disks().iter().any(|disk| disk.lun == boot_lun));
    pair.log_out();
}

#[test]
fn the_short_capacity_does_where_the_long_one_is_refused() {
    let target = target().build();
    on_command(&target, 0x9e, |tag| check_condition(tag, 5, 0x20, 0));
    let mut pair = Pair::ready(&target, &[]);
    assert_eq!(pair.isboot.disks()[0].bytes(), MIB);
    pair.log_out();
}

#[test]
fn answers_shorter_than_asked_for_need_no_residual() {
    let target = target().build();
    on_command(&target, 0x12, |tag| {
        let mut inquiry = vec![0; 36];
        inquiry[4] = 31;
        inquiry[8..16].copy_from_slice(b"OLD     ");
        data(tag, inquiry, Residual::None)
    });
    let mut pair = Pair::ready(&target, &[]);
    assert_eq!(pair.isboot.disks()[0].vendor, "OLD");
    assert_eq!(pair.isboot.last_error(), None);
    pair.log_out();
}

#[test]
fn disks_beyond_two_tib_are_read_and_written_at_their_end() {
    for block in [512u32, 4096] {
        let bytes = 9u64 << 40;
        let target = Target::builder(NAME).lun(Lun::memory(bytes).block_size(block)).build();
        let mut pair = Pair::ready(&target, &[]);
        let disk = &pair.isboot.disks()[0];
        assert_eq!((disk.block_size, disk.bytes()), (block, bytes));
        let last = bytes / u64::from(block) - 1;
        let content = Random(1).bytes(block as usize);
        pair.write(0, last, &content).unwrap();
        assert_eq!(target.read_lun(0, bytes - u64::from(block), block as usize).unwrap(), content);
        assert_eq!(pair.read(0, last, block as usize).unwrap(), content);
        let beyond = pair.isboot.submit_read(DiskId(0), last, vec![0; 2 * block as usize]);
        assert_eq!(beyond.unwrap_err().reason, SubmitRequestError::OutOfRange);
        let half = pair.isboot.submit_read(DiskId(0), 0, vec![0; block as usize / 2]);
        assert_eq!(half.unwrap_err().reason, SubmitRequestError::BadLength);
        pair.log_out();
    }
}

#[test]
fn three_hundred_units_are_found_and_told_apart() {
    let target = (0..300u64).fold(Target::builder(NAME), |b, n| b.lun(Lun::memory((n + 1) << 12)));
    let target = target.build();
    let mut pair = LargePair::ready(&target, &[]);
    assert_eq!(pair.isboot.disks().len(), 300);
    for (number, disk) in pair.isboot.disks().iter().enumerate() {
        assert_eq!(disk.lun.number(), Some(number as u32));
        assert_eq!(disk.bytes(), (number as u64 + 1) << 12);
    }
    for number in [0, 255, 256, 299] {
        pair.write(number, 1, &[number as u8; 512]).unwrap();
        assert_eq!(target.read_lun(number, 512, 512).unwrap(), [number as u8; 512]);
    }
    pair.log_out();
}

#[test]
fn a_protected_disk_is_read_only() {
    let target = Target::builder(NAME).lun(Lun::memory(MIB).read_only()).build();
    let mut pair = Pair::ready(&target, &[]);
    assert!(pair.isboot.disks()[0].read_only);
    let rejected = pair.isboot.submit_write(DiskId(0), 0, vec![7; 512]).unwrap_err();
    assert_eq!((rejected.reason, rejected.buffer), (SubmitRequestError::ReadOnly, vec![7; 512]));
    pair.read(0, 0, 512).unwrap();
    pair.log_out();
}

// --- using them ---

#[test]
fn requests_are_split_to_the_limits_and_flushed() {
    let target = target().max_transfer_blocks(3).build();
    let mut pair = Pair::ready(&target, &[]);
    let content = Random(1).bytes(100 * 512);
    pair.write(0, 11, &content).unwrap();
    assert_eq!(target.statistics().command_count(0x2a), 34);
    pair.flush(0).unwrap();
    assert_eq!(target.statistics().command_count(0x35), 1);
    assert_eq!(pair.read(0, 11, content.len()).unwrap(), content);
    pair.log_out();
}

/// Far more commands than the session has room for are sent away with BUSY: each is repeated.
#[test]
fn read_data_goes_straight_to_its_place_with_digests_too() {
    for digest in ["none", "crc32c"] {
        let lun = Lun::memory(MIB);
        let target = target().lun(lun).build();
        let content = Random(9).bytes(600 * 1024);
        target.write_lun(0, 0, &content).unwrap();
        let offer = [("header_digest", digest), ("data_digest", digest)];
        let mut pair = Pair::ready(&target, &offer);
        assert!(pair.read(0, 0, content.len()).as_ref() == Ok(&content), "{digest}");
        let placed = pair.isboot.stream().stream().placed();
        assert!(0 < placed && placed < content.len() as u64, "{placed}: some of it was lent");
        pair.log_out();
    }
}

#[test]
fn write_data_leaves_from_where_it_lies_with_digests_too() {
    for digest in ["none", "crc32c"] {
        let target = target().lun(Lun::memory(MIB)).build();
        let content = Random(9).bytes(600 * 1024);
        let offer = [("header_digest", digest), ("data_digest", digest)];
        let mut pair = Pair::ready(&target, &offer);
        pair.write(0, 0, &content).unwrap();
        let sent = pair.isboot.stream().stream().sent_in_place();
        assert!(0 < sent && sent < content.len() as u64, "{digest}: {sent}: some of it was copied");
        assert!(target.read_lun(0, 0, content.len()).unwrap() == content, "{digest}");
        pair.log_out();
    }
}

/// The target shall have the next command while the rest of a long run is copied.
#[test]
fn commands_may_leave_in_the_middle_of_a_long_run() {
    const READ: usize = 64 * 1024;
    const READS: u64 = 24;
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let expectations = |pair: &Pair| pair.isboot.stream().stream().expectations();
    expectations(&pair);
    for number in 0..READS {
        pair.submit_read(0, number % 4 * 128, READ);
    }
    for _ in 0..READS {
        pair.finish_one().outcome.unwrap();
    }
    let said = expectations(&pair);
    // What the stream lends in between does not count as put into its place.
    let runs = said.windows(2).map(|two| (two[1].0 - two[0].0) as usize);
    let most = runs.max().unwrap();
    assert!((128 * 1024..128 * 1024 + 3 * READ).contains(&most), "{most} bytes in one go");
    pair.log_out();
}

/// A target answers a read once all of it came from its disk.
#[test]
fn a_large_write_is_one_command_and_a_large_read_several_unless_told_otherwise() {
    let content = Random(5).bytes(600 * 1024);
    for (parameters, writes, reads) in [
        (&[][..], 1, 3),
        (&[("read_limit", "1048576")], 1, 1),
        (&[("read_limit", "204800")], 1, 3),
        (&[("transfer_limit", "204800"), ("read_limit", "1048576")], 3, 3),
    ] {
        let target = target().build();
        let mut pair = Pair::ready(&target, parameters);
        pair.write(0, 0, &content).unwrap();
        assert_eq!(pair.read(0, 0, content.len()).unwrap(), content);
        let count = |code| target.statistics().command_count(code);
        assert_eq!((count(0x2a), count(0x28)), (writes, reads), "{parameters:?}");
        pair.log_out();
    }
}

#[test]
fn the_stream_is_told_what_is_owed_until_it_has_come() {
    const RESPONSE: usize = 48;
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let expected = |pair: &Pair| {
        let stream = pair.isboot.stream().stream();
        let left = stream.expected();
        let said = stream.expectations();
        (said.iter().map(|(_, expected)| expected.all).max().unwrap_or(0), left)
    };
    assert_eq!(expected(&pair).1, 0, "everything has come that was owed for finding disks");
    pair.read(0, 0, 8192).unwrap();
    assert_eq!(expected(&pair), (8192 + RESPONSE, 0));
    // The bytes go with the command.
    pair.write(0, 0, &[7; 512]).unwrap();
    assert_eq!(expected(&pair), (RESPONSE, 0));
    // The target asks for the rest: who waits for answers must not wait for many.
    pair.submit_read(0, 0, 4096);
    pair.submit_write(0, 0, &Random(3).bytes(MIB as usize / 2));
    pair.finish_one().outcome.unwrap();
    pair.finish_one().outcome.unwrap();
    let (most, left) = expected(&pair);
    assert!(most <= 4096 + RESPONSE && left == 0, "{most}, {left}");
    pair.log_out();
}

/// A sleep can end with the last byte of an answer only if every byte is counted.
#[test]
fn what_is_owed_is_counted_to_the_byte_with_headers_digests_and_padding() {
    let both = [("header_digest", "crc32c"), ("data_digest", "crc32c")];
    let short_segments = [("max_recv_data_segment_length", "4096")];
    for parameters in [&[][..], &both, &short_segments, &[both[0], both[1], short_segments[0]]] {
        let target = target().build();
        let mut pair = Pair::ready(&target, parameters);
        let _ = pair.isboot.stream().stream().expectations();
        pair.wire.split_at_random(1000, 3);
        let digest = if parameters.contains(&both[0]) { 4 } else { 0 };
        let segment = if parameters.contains(&short_segments[0]) { 4096 } else { 1 << 18 };
        let mut end = pair.isboot.stream().stream().taken();
        let lengths = [8192, 4096, 10_752];
        let mut last_began = 0;
        let ends = lengths.map(|length: usize| {
            pair.submit_read(0, 0, length);
            last_began = end + 48 + digest as u64;
            end += (length + length.div_ceil(segment) * (48 + 2 * digest)) as u64;
            end
        });
        for _ in lengths {
            pair.finish_one().outcome.unwrap();
        }
        assert_eq!(pair.isboot.stream().stream().taken(), end);
        let said = pair.isboot.stream().stream().expectations();
        let (mut said_all, mut said_first) = (0, 0);
        for (taken, expected) in said.iter().filter(|(_, expected)| expected.all > 0) {
            let until = |bytes: usize| taken + bytes as u64;
            assert_eq!(until(expected.all), end, "{parameters:?}: {expected:?} at {taken}");
            assert!(expected.first <= expected.all && expected.each <= expected.all);
            let is_last = *taken >= last_began;
            assert_eq!(expected.each == 0, is_last, "{parameters:?}: {expected:?} at {taken}");
            said_all += 1;
            said_first += usize::from(ends.contains(&until(expected.first)));
        }
        // Before an answer has begun that is not like the others, their mean is the best guess.
        assert!(said_first > said_all * 3 / 4, "{parameters:?}: {said_first} of {said_all}");
        pair.log_out();
    }
}

#[test]
fn a_command_that_the_target_never_answers_is_not_owed_for_ever() {
    const DONE: u8 = 0;
    const NO_SUCH_LUN: u8 = 2;
    for response in [DONE, NO_SUCH_LUN] {
        let target = target().build();
        let mut pair = Pair::ready(&target, &[]);
        target.on_request(move |_, pdu| match Request::parse(&pdu.header) {
            Ok(Request::ScsiCommand(_)) => Handling::Swallow,
            Ok(Request::TaskManagement(TaskManagementRequest { initiator_task_tag, .. })) => {
                let numbers = NUMBERS;
                let answer = TaskManagementResponse { response, initiator_task_tag, numbers };
                let pdu = Pdu::new(Response::TaskManagement(answer).emit(), Vec::new());
                Handling::Answer(vec![Injection { pdu, numbering: Numbering::Status }])
            }
            _ => Handling::Proceed,
        });
        let read = pair.submit_read(0, 0, 4096);
        pair.pass(Duration::from_millis(1));
        assert_eq!(pair.isboot.stream().stream().expected(), 4096 + 48);
        pair.isboot.abort(read);
        pair.finish_one().outcome.unwrap_err();
        assert_eq!(pair.isboot.stream().stream().expected(), 0, "{response}");
        pair.log_out();
    }
}

#[test]
fn a_storm_of_busy_loses_no_request() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[("transfer_limit", "4096")]);
    target.force_status(0, 0x08, 300);
    let mut wanted = Vec::new();
    for number in 0..16 {
        let content = Random(number).bytes(16 * 1024);
        pair.submit_write(0, number * 32, &content);
        wanted.extend(content);
    }
    for _ in 0..16 {
        pair.finish_one().outcome.unwrap();
    }
    assert_eq!(target.read_lun(0, 0, wanted.len()).unwrap(), wanted);
    pair.log_out();
}

#[test]
fn a_unit_that_is_busy_for_some_seconds_is_waited_for_and_for_ever_is_an_error() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    target.force_status(0, 0x28, 10);
    pair.read(0, 0, 512).unwrap();
    target.force_status(0, 0x08, 1000);
    let begin = pair.now();
    let error = pair.read(0, 0, 512).unwrap_err();
    assert_eq!(error, RequestError::Scsi { status: 8, sense: None });
    let took = pair.now().since(begin);
    assert!((Duration::from_secs(50)..Duration::from_secs(65)).contains(&took), "{took:?}");
    pair.log_out();
}

#[test]
fn an_aborted_command_is_repeated_and_a_medium_error_is_not() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    let mut aborts = 2;
    on_command(&target, 0x28, move |tag| {
        if aborts == 0 {
            return Handling::Proceed;
        }
        aborts -= 1;
        check_condition(tag, 0x0b, 0x47, 0x05)
    });
    pair.read(0, 0, 512).unwrap();
    target.clear_hooks();
    target.set_bad_blocks(0, std::slice::from_ref(&(5..6)));
    let before = target.statistics().command_count(0x28);
    let error = pair.read(0, 0, 8192).unwrap_err();
    assert!(error.to_string().contains("unrecovered read error"), "{error}");
    assert_eq!(target.statistics().command_count(0x28), before + 1);
    pair.log_out();
}

#[test]
fn a_recovered_error_is_a_success_only_with_all_the_data() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    on_command(&target, 0x28, |tag| check_condition(tag, 1, 0x17, 0));
    assert_eq!(pair.read(0, 0, 512).unwrap_err(), RequestError::Short);
    pair.log_out();
}

#[test]
fn a_short_or_long_read_is_an_error_never_data() {
    for (bytes, residual, error) in [
        (512, Residual::Underflow(512), RequestError::Short),
        (512, Residual::None, RequestError::Short),
        (0, Residual::Underflow(1024), RequestError::Short),
        (1024, Residual::Underflow(100), RequestError::Short),
        (1024, Residual::Overflow(512), RequestError::Long),
    ] {
        let target = target().build();
        let mut pair = Pair::ready(&target, &[]);
        on_command(&target, 0x28, move |tag| data(tag, vec![1; bytes], residual));
        assert_eq!(pair.read(0, 0, 1024).unwrap_err(), error, "{bytes} {residual:?}");
        pair.log_out();
    }
}

#[test]
fn a_short_write_is_an_error() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[]);
    on_command(&target, 0x2a, |tag| status(tag, 0, Residual::Underflow(512), Vec::new()));
    assert_eq!(pair.write(0, 0, &[1; 1024]).unwrap_err(), RequestError::Short);
    pair.log_out();
}

#[test]
fn read_data_that_lies_about_its_place_is_never_stored() {
    type Lie = fn(&mut [u8; 48]);
    let lies: [Lie; 7] = [
        |header| header[5..8].copy_from_slice(&[0, 8, 0]), // more than was asked for
        |header| header[36..40].copy_from_slice(&7u32.to_be_bytes()), // DataSN
        |header| {
            header[5..8].copy_from_slice(&[0, 2, 0]);
            header[40..44].copy_from_slice(&512u32.to_be_bytes()); // a gap
        },
        |header| header[40..44].copy_from_slice(&1024u32.to_be_bytes()), // past the end
        |header| header[40..44].copy_from_slice(&0xffff_fff0u32.to_be_bytes()),
        |header| header[16..20].copy_from_slice(&0x1234_0001u32.to_be_bytes()), // whose?
        |header| header[16..20].copy_from_slice(&u32::MAX.to_be_bytes()),
    ];
    for lie in lies {
        let target = target().times(0, 0).build();
        let mut pair = Pair::ready(&target, &[]);
        target.write_lun(0, 0, &[9; 1024]).unwrap();
        let mut once = true;
        target.on_response(move |_, pdu| {
            if pdu.header.opcode() == opcode::DATA_IN && std::mem::take(&mut once) {
                let mut bytes = *pdu.header.as_bytes();
                lie(&mut bytes);
                pdu.header = isboot::pdu::bhs::BasicHeaderSegment::from_bytes(bytes);
                pdu.data.resize(pdu.header.data_segment_length() as usize, 6);
            }
            Fate::Send
        });
        assert_eq!(pair.read(0, 0, 1024).unwrap(), [9; 1024]);
        assert!(matches!(pair.isboot.last_error(), Some(Error::PeerMisbehaved(_))));
        assert_eq!(target.statistics().logins, 2);
    }
}

#[test]
fn r2ts_that_ask_for_what_they_may_not_have_end_the_connection() {
    type Lie = fn(&mut [u8; 48]);
    let lies: [Lie; 8] = [
        |header| header[36..40].copy_from_slice(&1u32.to_be_bytes()), // R2TSN
        |header| {
            header[40..44].copy_from_slice(&512u32.to_be_bytes()); // a gap
            header[44..48].copy_from_slice(&512u32.to_be_bytes());
        },
        |header| header[40..44].copy_from_slice(&0xffff_fe00u32.to_be_bytes()),
        |header| header[44..48].copy_from_slice(&8193u32.to_be_bytes()), // past the end
        |header| header[44..48].copy_from_slice(&0u32.to_be_bytes()),
        |header| header[20..24].copy_from_slice(&u32::MAX.to_be_bytes()), // reserved tag
        |header| header[15] = 1,                                          // LUN
        |header| header[16..20].copy_from_slice(&0x1234_0001u32.to_be_bytes()),
    ];
    for lie in lies {
        let target = target().immediate_data(false).times(0, 0).build();
        let mut pair = Pair::ready(&target, &[]);
        let mut once = true;
        target.on_response(move |_, pdu| {
            if pdu.header.opcode() == opcode::READY_TO_TRANSFER && std::mem::take(&mut once) {
                let mut bytes = *pdu.header.as_bytes();
                lie(&mut bytes);
                pdu.header = isboot::pdu::bhs::BasicHeaderSegment::from_bytes(bytes);
            }
            Fate::Send
        });
        let content = Random(1).bytes(8192);
        pair.write(0, 0, &content).unwrap();
        assert!(matches!(pair.isboot.last_error(), Some(Error::PeerMisbehaved(_))));
        assert_eq!(target.read_lun(0, 0, 8192).unwrap(), content);
        pair.assert_no_violations();
    }
}

// --- requests for the same blocks ---

/// The first write hangs and is issued again much later: what was written after it stays.
#[test]
fn a_write_that_is_issued_again_undoes_no_later_one() {
    for escalation in ["abort-task", "lun-reset", "none"] {
        let target = target().times(0, 0).build();
        let mut pair = Pair::ready(&target, &[("escalation", escalation)]);
        let mut stuck = true;
        target.on_request(move |_, pdu| match Request::parse(&pdu.header) {
            Ok(Request::ScsiCommand(_)) if std::mem::take(&mut stuck) => Handling::Swallow,
            Ok(Request::TaskManagement(management)) => {
                let answer = TaskManagementResponse {
                    response: 0,
                    initiator_task_tag: management.initiator_task_tag,
                    numbers: NUMBERS,
                };
                let pdu = Pdu::new(Response::TaskManagement(answer).emit(), Vec::new());
                Handling::Answer(vec![Injection { pdu, numbering: Numbering::Status }])
            }
            _ => Handling::Proceed,
        });
        let first = pair.submit_write(0, 4, &[1; 2048]);
        let apart = pair.submit_write(0, 8, &[2; 512]);
        let read = pair.submit_read(0, 7, 512);
        let second = pair.submit_write(0, 6, &[3; 1024]);
        let beside = pair.submit_read(0, 0, 2048);
        let mut order = Vec::new();
        let mut seen = Vec::new();
        for _ in 0..5 {
            let finished = pair.finish_one();
            finished.outcome.unwrap();
            if finished.id == read {
                seen = finished.buffer.unwrap();
            }
            order.push(finished.id);
        }
        assert_eq!(order, [apart, beside, first, read, second], "{escalation}");
        assert_eq!(seen, [1; 512], "{escalation}: the read came between the writes");
        let expected = [[1; 1024], [3; 1024]].concat();
        assert_eq!(target.read_lun(0, 4 * 512, 2048).unwrap(), expected, "{escalation}");
        pair.log_out();
    }
}

/// Requests that wait for another one cost the others nothing, also when there are more of them
/// than commands at a time, and an abort in front lets them go.
#[test]
fn requests_that_wait_for_others_are_served_in_their_order() {
    let target = target().build();
    let mut pair = Pair::ready(&target, &[("queue_depth", "2")]);
    let writes: Vec<_> = (0..20u8).map(|n| pair.submit_write(0, 0, &[n; 512])).collect();
    let beside = pair.submit_read(0, 9, 512);
    pair.isboot.abort(writes[19]);
    let mut order = Vec::new();
    for _ in 0..21 {
        order.push(pair.finish_one().id);
    }
    assert_eq!(order.iter().position(|id| *id == writes[19]), Some(0), "never sent");
    assert!(order.iter().position(|id| *id == beside).unwrap() < 4, "not behind all the writes");
    order.retain(|id| *id != beside && *id != writes[19]);
    assert_eq!(order, writes[..19]);
    assert_eq!(target.read_lun(0, 0, 512).unwrap(), [18; 512]);
    pair.log_out();
}

// --- what it takes ---

#[test]
fn the_core_without_buffers_takes_less_than_64_kib() {
    let session = size_of::<Session<33>>();
    let disks = size_of::<isboot::disk::Disks<Box<[u8]>, 8, 64, 33>>();
    println!("Session<33> {session} bytes, Disks<8 LUNs, 64 requests> {disks} bytes");
    assert!(session + disks < 64 << 10, "{session} + {disks}");
}
