//! From kernel entry to the first block, on one card and once, against a real istgt.

mod image;

use std::path::Path;

use isboot_tests::scratch::Scratch;
use qemu_boot::plan::Nic;
use throughput::guest::machine::Hardware;
use throughput::measurement::{Quantity, Section, find};
use throughput::rig::Rig;
use throughput::start::measure;
use throughput::targets::{names, settings};

#[test]
fn every_card_has_its_first_block_and_its_limit() {
    let scratch = Scratch::new(env!("CARGO_TARGET_TMPDIR"));
    let rig = Rig::start(scratch.path(), 8 << 20).unwrap();
    let cards =
        [Nic::E1000, Nic::E1000e].map(|nic| Hardware::new(Path::new("qemu-system-x86_64"), nic));
    let mut told = Vec::new();
    let all =
        measure(&image::image(), &rig.place(), &cards, 1, &mut |what| told.push(what.to_owned()))
            .unwrap();
    assert_eq!(told.len(), 3, "{told:?}");
    let seconds = |section, setting: &str, contender| {
        let series = find(&all, section, setting, contender, None, Quantity::Seconds).unwrap();
        assert_eq!(series.0.len(), 1);
        series.median()
    };
    let login = seconds(Section::Limit, settings::LOGIN, names::ISTGT);
    assert!(login > 1.0, "istgt sleeps a second: {login}");
    for (nic, least) in [("e1000", 0.9), ("e1000e", 0.0)] {
        let silence = seconds(Section::Limit, &settings::silence(nic), names::QEMU);
        assert!(silence >= least, "{nic}: {silence}");
        let limit = seconds(Section::Limit, &settings::login_and_silence(nic), names::QEMU);
        assert!((limit - silence - login).abs() < 1e-6, "{nic}: {limit}");
        let first = seconds(Section::Start, nic, names::ISBOOT);
        assert!(first > login + least, "{nic}: {first} after a login of {login}");
    }
}

#[test]
fn a_disk_of_other_content_is_no_first_block() {
    let scratch = Scratch::new(env!("CARGO_TARGET_TMPDIR"));
    let rig = Rig::start(scratch.path(), 1 << 20).unwrap();
    std::fs::write(rig.image(throughput::rig::READ_LUN), vec![0; 1 << 20]).unwrap();
    let cards = [Hardware::new(Path::new("qemu-system-x86_64"), Nic::E1000e)];
    let error = measure(&image::image(), &rig.place(), &cards, 1, &mut |_| ()).unwrap_err();
    assert!(error.contains("read another block than"), "{error}");
}
