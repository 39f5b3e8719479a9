//! B-LU: REPORT LUNS, INQUIRY and vital product data.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use isboot::disk::UnitFault;
use isboot::pdu::bhs::opcode;
use isboot::scsi::lun::LogicalUnitNumber;
use isboot_tests::pair::{MIB, NAME, Pair, Random, target};
use isboot_tests::target::{Builder, Handling, Lun, Target};

use crate::units::{
    Answer, BAD_FIELD, Commands, INQUIRY, READ_10, REPORT_LUNS, UNKNOWN, boot_from, lun,
};

/// A target with LUNs 0 to `count` − 1.
fn units(count: u16) -> Builder {
    (0..count).fold(Target::builder(NAME), |builder, _| builder.lun(Lun::memory(MIB)))
}

/// REPORT LUNS data: this list length, whatever it is, and these LUNs.
fn list(length: u32, luns: &[u16]) -> Vec<u8> {
    let entries = luns.iter().flat_map(|&number| lun(number).to_bytes());
    length.to_be_bytes().into_iter().chain([0; 4]).chain(entries).collect()
}

/// Answers REPORT LUNS with this.
fn lists(target: &Target, data: Vec<u8>) -> Commands {
    Commands::of(target, move |command| {
        (command.cdb[0] == REPORT_LUNS).then(|| Answer::Data(data.clone()))
    })
}

/// A unit at this address, and no other, is found and used: the target knows only these bytes.
#[track_caller]
fn is_echoed(address: [u8; 8]) {
    let target = Target::builder(NAME).lun(Lun::memory(MIB).address(address)).build();
    let commands = Commands::to(&target);
    let mut pair = boot_from(&target, LogicalUnitNumber::from_bytes(address));
    let disks = pair.isboot.disks();
    assert_eq!(disks.len(), 1, "{address:02x?}");
    assert_eq!(disks[0].lun.to_bytes(), address);
    pair.write(0, 7, &[7; 70_000_usize.next_multiple_of(512)]).unwrap();
    assert_eq!(pair.read(0, 7, 512).unwrap(), [7; 512], "{address:02x?}");
    for command in commands.all() {
        let wanted = if command.cdb[0] == REPORT_LUNS { [0; 8] } else { address };
        assert_eq!(command.lun, wanted, "{address:02x?}: {:02x?}", command.cdb);
    }
    pair.log_out();
}

#[test]
fn b_lu_01_peripheral_addresses_are_echoed() {
    is_echoed([0, 1, 0, 0, 0, 0, 0, 0]);
    is_echoed([0, 255, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn b_lu_02_flat_addresses_are_echoed_and_never_encoded_again() {
    is_echoed([0x41, 0x2c, 0, 0, 0, 0, 0, 0]);
    is_echoed([0x40, 0x01, 0, 0, 0, 0, 0, 0]);
    // The host asks for LUN 1, and the target has it in the other form.
    let address = [0x40, 0x01, 0, 0, 0, 0, 0, 0];
    let target = target().lun(Lun::memory(2 * MIB).address(address)).build();
    let mut pair = boot_from(&target, lun(1));
    let id = pair.isboot.boot_disk().unwrap();
    assert_eq!(pair.isboot.disks().len(), 2);
    assert_eq!(pair.isboot.disks()[usize::from(id.0)].lun.to_bytes(), address);
    pair.read(id.0, 0, 512).unwrap();
    pair.log_out();
}

#[test]
fn b_lu_03_other_methods_are_echoed_and_well_known_units_are_no_disks() {
    is_echoed([0x83, 0x45, 0, 0, 0, 0, 0, 0]);
    is_echoed([0xd2, 0, 0, 1, 0, 0, 0, 0]);
    is_echoed([0xe2, 0, 0, 0, 0, 1, 0, 0]);
    let well_known = [0xc1, 0x01, 0, 0, 0, 0, 0, 0];
    let target = target().lun(Lun::memory(MIB).address(well_known)).build();
    let commands = Commands::to(&target);
    let mut pair = Pair::ready(&target, &[]);
    assert_eq!(pair.isboot.disks().len(), 1);
    assert!(commands.all().iter().all(|command| command.lun != well_known));
    pair.log_out();
}

#[test]
fn b_lu_04_more_levels_are_eight_opaque_bytes() {
    is_echoed([0, 1, 0, 2, 0, 0, 0, 0]);
    is_echoed([0x40, 1, 0x40, 2, 0x80, 3, 0xff, 0xff]);
}

#[test]
fn b_lu_05_without_lun_0_its_list_is_asked_for_and_it_is_no_disk() {
    for boot in [5, 0] {
        let target = Target::builder(NAME).lun(Lun::memory(MIB).number(5)).build();
        let commands = Commands::to(&target);
        let mut pair = boot_from(&target, lun(boot));
        let disks: Vec<_> = pair.isboot.disks().iter().map(|disk| disk.lun).collect();
        assert_eq!(disks, [lun(5)], "boot LUN {boot}");
        assert_eq!(commands.with(&[REPORT_LUNS])[0].lun, [0; 8]);
        match boot {
            5 => assert_eq!(pair.isboot.boot_disk().unwrap().0, 0),
            _ => assert_eq!(
                pair.isboot.boot_disk().unwrap_err().fault,
                Some(UnitFault::NoDisk(0x7f))
            ),
        }
        pair.log_out();
    }
}

#[test]
fn b_lu_06_a_boot_unit_that_is_absent_is_an_error_with_the_list() {
    let target = units(3).build();
    let commands = Commands::to(&target);
    let mut pair = boot_from(&target, lun(7));
    assert_eq!(commands.inquired().last(), Some(&lun(7).to_bytes()), "it is tried all the same");
    let error = pair.isboot.boot_disk().unwrap_err();
    assert_eq!((error.lun, error.is_listed), (lun(7), false));
    assert_eq!(error.fault, Some(UnitFault::NoDisk(0x7f)));
    let text = error.to_string();
    assert!(text.starts_with("logical unit 7 not found"), "{text}");
    assert!(text.ends_with("the target has 0, 1, 2"), "{text}");
    pair.log_out();
    // A target that does not list it may have it.
    let target = units(3).build();
    lists(&target, list(8, &[0]));
    let mut pair = boot_from(&target, lun(2));
    assert_eq!(pair.isboot.boot_disk().unwrap().0, 1);
    pair.log_out();
}

#[test]
fn b_lu_07_of_a_thousand_units_the_wanted_one_is_found_wherever_it_stands() {
    let target = units(1000).build();
    for boot in [0, 7, 8, 255, 256, 510, 511, 999] {
        let mut pair = boot_from(&target, lun(boot));
        assert_eq!(pair.isboot.disks().len(), 8, "there is room for eight");
        let id = pair.isboot.boot_disk().unwrap();
        assert_eq!(pair.isboot.disks()[usize::from(id.0)].lun, lun(boot));
        let content = Random(u64::from(boot)).bytes(512);
        pair.write(id.0, 0, &content).unwrap();
        assert_eq!(target.read_lun(boot, 0, 512).unwrap(), content, "{boot}");
        pair.log_out();
    }
}

#[test]
fn b_lu_08_a_list_that_was_cut_is_asked_for_with_room_for_all_of_it() {
    let target = units(1000).build();
    let commands = Commands::to(&target);
    let mut pair = boot_from(&target, lun(999));
    let asked: Vec<u32> = commands
        .with(&[REPORT_LUNS])
        .iter()
        .map(|command| u32::from_be_bytes(command.cdb[6..10].try_into().unwrap()))
        .collect();
    assert_eq!(asked.len(), 2, "{asked:?}");
    assert!(asked[0] < 8008 && asked[1] >= 8008, "{asked:?}");
    let known: Vec<_> = (0..1000).map(|number| lun(number).to_bytes()).collect();
    assert!(commands.inquired().iter().all(|lun| known.contains(lun)), "none is invented");
    pair.log_out();
    // A list that grows whenever it is asked for is not run after for ever.
    let target = units(2).build();
    let mut length = 4096;
    let commands = Commands::of(&target, move |command| {
        (command.cdb[0] == REPORT_LUNS).then(|| {
            let asked = command.expected_data_transfer_length;
            length = asked + 8;
            let mut data = list(length, &[0, 1]);
            while data.len() < asked as usize {
                data.extend_from_slice(&lun(1).to_bytes());
            }
            data.truncate(65_536);
            Answer::Data(data)
        })
    });
    let mut pair = Pair::ready(&target, &[]);
    assert!(commands.with(&[REPORT_LUNS]).len() < 10);
    assert_eq!(pair.isboot.disks().len(), 2);
    pair.log_out();
}

#[test]
fn b_lu_09_only_whole_entries_inside_the_received_bytes_count() {
    let variants: [(&str, Vec<u8>, &[u16]); 6] = [
        ("length 7", list(7, &[1, 2]), &[0]),
        ("length 12", list(12, &[1, 2]), &[1, 0]),
        ("length FFFFFFF8h", list(0xffff_fff8, &[1, 2]), &[1, 2, 0]),
        ("fewer bytes than the length", list(16, &[1, 2])[..20].to_vec(), &[1, 0]),
        ("a header of four bytes", list(16, &[1, 2])[..4].to_vec(), &[0]),
        ("seven bytes", list(16, &[1, 2])[..7].to_vec(), &[0]),
    ];
    for (what, data, looked_at) in variants {
        let target = units(4).build();
        let commands = lists(&target, data);
        let mut pair = Pair::ready(&target, &[]);
        let looked_at: Vec<_> = looked_at.iter().map(|&number| lun(number).to_bytes()).collect();
        assert_eq!(commands.inquired(), looked_at, "{what}");
        assert_eq!(commands.with(&[REPORT_LUNS]).len(), 1, "{what}");
        pair.log_out();
    }
}

#[test]
fn b_lu_10_with_an_empty_list_lun_0_is_tried() {
    for boot in [0, 3] {
        let target = units(4).build();
        lists(&target, list(0, &[]));
        let mut pair = boot_from(&target, lun(boot));
        let disks: Vec<_> = pair.isboot.disks().iter().map(|disk| disk.lun).collect();
        assert!(disks.contains(&lun(0)) && disks.contains(&lun(boot)), "{disks:?}");
        pair.log_out();
    }
    let target = Target::builder(NAME).lun(Lun::memory(MIB).number(1)).build();
    lists(&target, list(0, &[]));
    let mut pair = Pair::ready(&target, &[]);
    assert_eq!(pair.isboot.boot_disk().unwrap_err().fault, Some(UnitFault::NoDisk(0x7f)));
    pair.log_out();
}

#[test]
fn b_lu_11_where_the_list_is_refused_the_boot_unit_is_looked_at() {
    for boot in [0, 2] {
        let target = units(4).build();
        let commands =
            Commands::of(&target, |command| (command.cdb[0] == REPORT_LUNS).then_some(UNKNOWN));
        let mut pair = boot_from(&target, lun(boot));
        assert_eq!(commands.inquired(), [lun(boot).to_bytes()]);
        assert_eq!(pair.isboot.boot_disk().unwrap().0, 0);
        pair.log_out();
    }
}

#[test]
fn b_lu_12_a_unit_listed_twice_is_used_once() {
    let target = units(2).build();
    let commands = lists(&target, list(32, &[1, 1, 0, 1]));
    let mut pair = Pair::ready(&target, &[]);
    assert_eq!(commands.inquired(), [lun(1).to_bytes(), lun(0).to_bytes()]);
    assert_eq!(pair.isboot.disks().len(), 2);
    pair.log_out();
}

#[test]
fn b_lu_13_only_a_connected_disk_is_bootable() {
    for (peripheral, removable, is_disk) in [
        (0x00, false, true),
        (0x00, true, true),
        (0x20, false, false),
        (0x60, false, false),
        (0x7f, false, false),
        (0x05, true, false),
        (0x0c, false, false),
        (0x0d, false, false),
        (0x1f, false, false),
    ] {
        let target = target().build();
        let commands = Commands::of(&target, move |command| {
            let is_standard = command.cdb[0] == INQUIRY && command.cdb[1] & 1 == 0;
            is_standard.then(|| {
                let mut data = vec![b' '; 36];
                data[..5].copy_from_slice(&[peripheral, u8::from(removable) << 7, 6, 2, 31]);
                data[5..8].fill(0);
                Answer::Data(data)
            })
        });
        let mut pair = Pair::ready(&target, &[]);
        match pair.isboot.boot_disk() {
            Ok(_) => assert!(is_disk, "{peripheral:02x}h"),
            Err(error) => {
                assert!(!is_disk, "{peripheral:02x}h");
                assert_eq!(error.fault, Some(UnitFault::NoDisk(peripheral)));
                assert_eq!(commands.all().len(), 2, "it is asked nothing more");
            }
        }
        pair.log_out();
    }
}

#[test]
fn b_lu_14_fields_of_a_short_inquiry_are_empty() {
    for (length, vendor, product, revision) in [
        (5, "", "", ""),
        (8, "", "", ""),
        (12, "vend", "", ""),
        (35, "vendor-8", "product-of-16-by", "rev"),
        (36, "vendor-8", "product-of-16-by", "rev4"),
    ] {
        for additional in [length as u8 - 5, 0xff] {
            let target = target().build();
            Commands::of(&target, move |command| {
                let is_standard = command.cdb[0] == INQUIRY && command.cdb[1] & 1 == 0;
                is_standard.then(|| {
                    let mut data = vec![0, 0, 6, 2, additional, 0, 0, 0];
                    data.extend_from_slice(b"vendor-8product-of-16-byrev4");
                    data.truncate(length);
                    Answer::Data(data)
                })
            });
            let mut pair = Pair::ready(&target, &[]);
            let disk = &pair.isboot.disks()[0];
            let told = (disk.vendor.as_str(), disk.product.as_str(), disk.revision.as_str());
            assert_eq!(told, (vendor, product, revision), "{length} bytes, {additional} said");
            pair.read(0, 0, 512).unwrap();
            pair.log_out();
        }
    }
    // Four bytes do not tell what they are.
    let target = target().build();
    Commands::of(&target, |command| {
        (command.cdb[0] == INQUIRY).then(|| Answer::Data(vec![0, 0, 6, 2]))
    });
    let mut pair = Pair::ready(&target, &[]);
    assert_eq!(pair.isboot.boot_disk().unwrap_err().fault, Some(UnitFault::BadInquiry));
    pair.log_out();
}

#[test]
fn b_lu_15_a_page_that_is_refused_or_bad_is_done_without() {
    type Damage = fn(u8) -> Answer;
    let damages: [(&str, Damage); 6] = [
        ("refused", |_| BAD_FIELD),
        ("another page", |page| Answer::Data(vec![0, page ^ 1, 0, 4, 1, 2, 3, 4])),
        ("a length beyond the data", |page| Answer::Data(vec![0, page, 0xff, 0xff, 1, 2, 3, 4])),
        ("nothing in it", |page| Answer::Data(vec![0, page, 0, 0])),
        ("three bytes", |page| Answer::Data(vec![0, page, 0])),
        ("no bytes", |_| Answer::Data(Vec::new())),
    ];
    for page in [0x00, 0x80, 0x83, 0xb0, 0xb2] {
        for (what, damage) in damages {
            let target = target().build();
            let commands = Commands::of(&target, move |command| {
                let is_page = command.cdb[..3] == [INQUIRY, 1, page];
                is_page.then(|| damage(page))
            });
            let mut pair = Pair::ready(&target, &[]);
            assert_eq!(pair.isboot.disks().len(), 1, "page {page:02x}h: {what}");
            let asked = commands.with(&[INQUIRY]);
            let pages = asked.iter().filter(|command| command.cdb[..3] == [INQUIRY, 1, page]);
            assert_eq!(pages.count(), 1, "page {page:02x}h: {what}");
            pair.write(0, 0, &[1; 1024]).unwrap();
            pair.log_out();
        }
    }
}

#[test]
fn b_lu_16_the_units_own_designator_is_its_identity() {
    const NAA_6: (u8, &[u8]) = (3, &[0x60, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    const NAA_5: (u8, &[u8]) = (3, &[0x50, 1, 2, 3, 4, 5, 6, 7]);
    const NAA_3: (u8, &[u8]) = (3, &[0x30, 1, 2, 3, 4, 5, 6, 7]);
    const NAA_2: (u8, &[u8]) = (3, &[0x20, 1, 2, 3, 4, 5, 6, 7]);
    const EUI: (u8, &[u8]) = (2, &[1, 2, 3, 4, 5, 6, 7, 8]);
    const T10: (u8, &[u8]) = (1, b"VENDOR  serial");
    const NAME: (u8, &[u8]) = (8, b"iqn.2001-04.com.example:unit\0\0\0\0");
    const PORT: (u8, &[u8]) = (4, &[0, 0, 0, 1]);
    type Named = [(u8, (u8, &'static [u8]))];
    let pages: [(&Named, &str); 9] = [
        (&[(1, NAA_6), (1, PORT), (0, NAA_5)], "naa.5001020304050607"),
        (&[(1, NAA_5), (0, NAA_6)], "naa.600102030405060708090a0b0c0d0e0f"),
        (&[(0, NAA_3)], "naa.3001020304050607"),
        (&[(0, T10), (0, NAA_2)], "naa.2001020304050607"),
        (&[(2, NAA_6), (0, EUI)], "eui.0102030405060708"),
        (&[(0, T10)], "t10.VENDOR__serial"),
        (&[(1, NAA_6), (2, NAME)], ""),
        (&[(0, NAME), (0, T10)], "iqn.2001-04.com.example:unit"),
        (&[(1, PORT)], ""),
    ];
    for (designators, identity) in pages {
        let target = target().build();
        let mut page = vec![0, 0x83, 0, 0];
        for (association, (kind, bytes)) in designators {
            page.extend_from_slice(&[1, association << 4 | kind, 0, bytes.len() as u8]);
            page.extend_from_slice(bytes);
        }
        page[3] = page.len() as u8 - 4;
        Commands::of(&target, move |command| {
            (command.cdb[..3] == [INQUIRY, 1, 0x83]).then(|| Answer::Data(page.clone()))
        });
        let mut pair = Pair::ready(&target, &[]);
        let told = pair.isboot.disks()[0].identity.as_ref();
        assert_eq!(told.map_or(String::new(), ToString::to_string), identity);
        pair.log_out();
    }
}

#[test]
fn b_lu_17_every_pdu_of_a_unit_carries_its_eight_bytes() {
    let address = [0x41, 0x2c, 0x40, 3, 0, 0, 0, 9];
    let target =
        Target::builder(NAME).lun(Lun::memory(MIB).address(address)).immediate_data(false).build();
    let mut pair = boot_from(&target, LogicalUnitNumber::from_bytes(address));
    let seen = Arc::new(Mutex::new(Vec::<(u8, [u8; 8])>::new()));
    let log = Arc::clone(&seen);
    let mut lose = true;
    target.on_request(move |_, pdu| {
        let header = pdu.header.as_bytes();
        let code = pdu.header.opcode();
        if [opcode::SCSI_COMMAND, opcode::DATA_OUT, opcode::TASK_MANAGEMENT_REQUEST].contains(&code)
        {
            log.lock().unwrap().push((code, header[8..16].try_into().unwrap()));
        }
        // The first read hangs, until it is aborted.
        let is_read = code == opcode::SCSI_COMMAND && header[32] == READ_10;
        match is_read && std::mem::take(&mut lose) {
            true => Handling::Swallow,
            false => Handling::Proceed,
        }
    });
    pair.write(0, 0, &[1; 8192]).unwrap();
    pair.read(0, 0, 8192).unwrap();
    pair.flush(0).unwrap();
    pair.pass(Duration::from_secs(1));
    let seen = seen.lock().unwrap().clone();
    for code in [opcode::SCSI_COMMAND, opcode::DATA_OUT, opcode::TASK_MANAGEMENT_REQUEST] {
        assert!(seen.iter().any(|&(other, _)| other == code), "opcode {code:#04x}: {seen:?}");
    }
    assert!(seen.iter().all(|&(_, lun)| lun == address), "{seen:02x?}");
    pair.log_out();
}
