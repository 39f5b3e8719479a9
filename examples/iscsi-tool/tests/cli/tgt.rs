//! Against the real tgt.

use std::time::{Duration, Instant};

use isboot_tests::scratch::Scratch;
use isboot_tests::tgt::{Lun, Options, TARGET_NAME, Tgt};

use crate::{complaint, hex_sha256, json, noise, text};

const MIB: usize = 1 << 20;

/// tgt numbers its controller 0, which is no disk: the disks are LUN 1, thin, and LUN 2, read-only.
fn start(scratch: &Scratch) -> Tgt {
    let lun = |seed, read_only, thin| {
        let (image, serial) = (scratch.image(seed, 2 * MIB), format!("SERIAL-{seed}"));
        Lun { image, serial, block_size: 512, read_only, thin }
    };
    let luns = [lun(1, false, true), lun(2, true, false)];
    Tgt::start(&scratch.path().join("tgt"), &luns, &Options::default())
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn every_command_works() {
    let scratch = Scratch::new(env!("CARGO_TARGET_TMPDIR"));
    let tgt = start(&scratch);
    let portal = format!("iscsi://{}", tgt.portal());
    let begin = Instant::now();
    let list = json(&["ls", &portal, "--json"]);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    let target = &list["targets"][0];
    assert_eq!(target["target"], TARGET_NAME);
    let disks = target["disks"].as_array().unwrap();
    let luns: Vec<_> = disks.iter().map(|disk| disk["lun"].as_str().unwrap()).collect();
    assert_eq!(luns, ["1", "2"]);
    assert_eq!((&disks[0]["thin"], &disks[1]["thin"]), (&true.into(), &false.into()));
    assert_eq!((&disks[0]["read_only"], &disks[1]["read_only"]), (&false.into(), &true.into()));

    let url = format!("{portal}/{TARGET_NAME}");
    let (first, second) = (format!("{url}/1"), format!("{url}/2"));
    let page = text(&["info", &first]);
    assert!(page.contains("Provisioning        thin; UNMAP"), "{page}");
    assert!(page.contains("Reservation         none"), "{page}");
    assert!(text(&["info", &second]).contains("Writable            no: write-protected"));
    // The old root path form, whose LUN is hexadecimal.
    let root_path = format!("iscsi:127.0.0.1:6:{}:1:{TARGET_NAME}", tgt.portal().port());
    assert!(text(&["ping", &root_path, "--count=1"]).contains("1 of 1 answered"));

    let data = noise(7, MIB);
    let file = scratch.path().join("data");
    std::fs::write(&file, &data).unwrap();
    let file = file.to_str().unwrap();
    let wrote = json(&["write", &first, file, "--yes", "--json", "--data-digest=crc32c"]);
    assert_eq!(wrote["bytes"], MIB);
    assert_eq!(json(&["verify", &first, file, "--json", "--queue-depth=1"])["equal"], true);
    let read = json(&["read", &first, "--length=1M", "--sha256", "--json"]);
    assert_eq!(read["sha256"], hex_sha256(&data));
    let sentence = complaint(1, &["write", &second, file, "--yes"]);
    assert!(sentence.contains("write-protected"), "{sentence}");
    let sentence = complaint(1, &["read", &format!("{url}/0"), "--sha256"]);
    assert!(sentence.contains("no disk with LUN 0; it has 1, 2"), "{sentence}");
}
