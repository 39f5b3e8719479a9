//! The initiator against the real tgt, over the host's own sockets.

use std::collections::HashMap;
use std::fs;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use isboot::boot::Parameters;
use isboot::disk::{DiskId, Finished, RequestKind, SubmitRequestError};
use isboot::login::Authentication as InitiatorSide;
use isboot::session::Error;
use isboot_tests::host::{Access, Host, credentials};
use isboot_tests::pair::Random;
use isboot_tests::process::within;
use isboot_tests::scratch::{Scratch, noise};
use isboot_tests::tgt::{
    Authentication, Lun, Options, PRODUCT, REVISION, TARGET_NAME, Tgt, VENDOR,
};

const MIB: usize = 1 << 20;

fn scratch() -> Scratch {
    Scratch::new(env!("CARGO_TARGET_TMPDIR"))
}

/// A LUN of pseudo-random content, different for each seed.
fn lun(scratch: &Scratch, seed: u64, length: usize) -> Lun {
    let (image, serial) = (scratch.image(seed, length), format!("SERIAL-{seed}"));
    Lun { image, serial, block_size: 512, read_only: false }
}

fn start(scratch: &Scratch, luns: &[Lun], options: &Options) -> Tgt {
    match Tgt::start(&scratch.path().join("tgt"), luns, options) {
        Ok(tgt) => tgt,
        Err(error) => panic!("{error}"),
    }
}

fn access(tgt: &Tgt, parameters: &[(&str, &str)]) -> Access {
    Access::new(tgt.portal(), TARGET_NAME, parameters)
}

fn log_in(tgt: &Tgt, parameters: &[(&str, &str)]) -> Host {
    Host::log_in(&access(tgt, parameters)).unwrap_or_else(|error| panic!("{error}: {}", tgt.log()))
}

/// Why the login fails, as it must.
#[track_caller]
fn refusal(access: &Access) -> Error {
    match Host::log_in(access) {
        Ok(_) => panic!("logged in to {}", access.target_name),
        Err(error) => error,
    }
}

/// Logs out, and looks whether the target has no connection left.
fn log_out(host: Host, tgt: &Tgt) {
    assert_eq!(tgt.connections().unwrap(), 1);
    host.log_out().unwrap();
    assert!(within(Duration::from_secs(5), || tgt.connections().unwrap() == 0), "{}", tgt.log());
}

fn exercise_with(options: &Options, parameters: &[(&str, &str)], check: impl Fn(&mut Host)) {
    let scratch = scratch();
    let luns = [lun(&scratch, 1, 9 * MIB), lun(&scratch, 2, 5 * MIB)];
    let tgt = start(&scratch, &luns, options);
    let mut host = log_in(&tgt, parameters);
    check(&mut host);
    host.exercise(&luns[0].image, &luns[1].image);
    log_out(host, &tgt);
}

#[test]
fn digests_are_exactly_those_asked_for() {
    for (header, data) in
        [("none", "none"), ("crc32c", "none"), ("none", "crc32c"), ("crc32c", "crc32c")]
    {
        let parameters = [("header_digest", header), ("data_digest", data)];
        exercise_with(&Options::default(), &parameters, |host| {
            let terms = host.isboot().negotiated().unwrap();
            assert_eq!(terms.header_digest.name().to_lowercase(), header);
            assert_eq!(terms.data_digest.name().to_lowercase(), data);
        });
    }
}

#[test]
fn a_digest_that_the_target_does_without_is_an_error_when_demanded() {
    let scratch = scratch();
    let options = Options::with(&[("HeaderDigest", "None"), ("DataDigest", "None")]);
    let tgt = start(&scratch, &[lun(&scratch, 1, MIB)], &options);
    for digest in ["header_digest", "data_digest"] {
        let error = refusal(&access(&tgt, &[(digest, "crc32c")]));
        assert!(matches!(error, Error::Login(_)), "{error:?}");
        assert!(error.to_string().contains("Digest"), "{error}");
    }
    let host = log_in(&tgt, &[("header_digest", "crc32c,none"), ("data_digest", "crc32c,none")]);
    log_out(host, &tgt);
}

#[test]
fn write_data_goes_in_all_four_ways() {
    for immediate_data in [true, false] {
        for initial_r2t in [true, false] {
            let yes_no = |on: bool| if on { "Yes" } else { "No" };
            let options = Options::with(&[
                ("ImmediateData", yes_no(immediate_data)),
                ("InitialR2T", yes_no(initial_r2t)),
            ]);
            exercise_with(&options, &[("initial_r2t", "no")], |host| {
                let terms = host.isboot().negotiated().unwrap();
                assert_eq!(
                    (terms.immediate_data, terms.initial_r2t),
                    (immediate_data, initial_r2t)
                );
            });
        }
    }
}

#[test]
fn small_bursts_segments_and_windows_work() {
    let options = Options::with(&[
        ("InitialR2T", "No"),
        ("FirstBurstLength", "4096"),
        ("MaxBurstLength", "16384"),
        ("MaxRecvDataSegmentLength", "8192"),
        ("MaxOutstandingR2T", "1"),
        ("MaxQueueCmd", "2"),
    ]);
    exercise_with(&options, &[("initial_r2t", "no"), ("queue_depth", "32")], |host| {
        let terms = host.isboot().negotiated().unwrap();
        assert_eq!((terms.first_burst_length, terms.max_burst_length), (4096, 16_384));
        assert_eq!(terms.max_send_data_segment_length, 8192);
    });
}

#[test]
fn blocks_of_4096_bytes_work() {
    let scratch = scratch();
    let luns = [1, 2].map(|seed| Lun { block_size: 4096, ..lun(&scratch, seed, 5 * MIB) });
    let tgt = start(&scratch, &luns, &Options::default());
    let mut host = log_in(&tgt, &[]);
    assert_eq!((host.disks()[0].block_size, host.disks()[0].blocks), (4096, 5 * 256));
    let rejected = host.isboot().submit_read(DiskId(0), 0, vec![0; 512]).unwrap_err();
    assert_eq!(rejected.reason, SubmitRequestError::BadLength);
    host.exercise(&luns[0].image, &luns[1].image);
    log_out(host, &tgt);
}

/// tgt's LUN 0 is a controller: the disks begin at LUN 1.
#[test]
fn disks_are_listed_with_what_they_say_of_themselves_and_the_controller_is_not() {
    let scratch = scratch();
    let luns = [
        lun(&scratch, 1, MIB),
        Lun { read_only: true, ..lun(&scratch, 2, 2 * MIB) },
        Lun { block_size: 4096, ..lun(&scratch, 3, 3 * MIB) },
    ];
    let tgt = start(&scratch, &luns, &Options::default());
    let mut host = log_in(&tgt, &[]);
    let listed: Vec<_> = host
        .disks()
        .iter()
        .map(|disk| {
            let strings = [disk.vendor.as_str(), disk.product.as_str(), disk.revision.as_str()];
            assert_eq!(strings, [VENDOR, PRODUCT, REVISION]);
            let serial = disk.serial.to_string();
            (disk.lun.to_string(), serial, disk.bytes(), disk.block_size, disk.read_only)
        })
        .collect();
    let expected: Vec<_> = luns
        .iter()
        .zip(1usize..)
        .map(|(lun, n)| {
            let bytes = (n * MIB) as u64;
            (n.to_string(), lun.serial.clone(), bytes, lun.block_size, lun.read_only)
        })
        .collect();
    assert_eq!(listed, expected);

    for (index, lun) in luns.iter().enumerate() {
        let length = (index + 1) * MIB;
        let data = host.read(DiskId(index as u16), 0, length, 65_536, 4).unwrap();
        assert!(data == fs::read(&lun.image).unwrap(), "disk {index} is its own file");
    }
    let rejected = host.isboot().submit_write(DiskId(1), 0, vec![0; 512]).unwrap_err();
    assert_eq!(rejected.reason, SubmitRequestError::ReadOnly);
    let rejected = host.isboot().submit_read(DiskId(0), 2047, vec![0; 1024]).unwrap_err();
    assert_eq!(rejected.reason, SubmitRequestError::OutOfRange);
    log_out(host, &tgt);
}

/// A request to come: bytes to read, or to write when there is a seed for them.
struct Operation {
    range: Range<usize>,
    write: Option<u64>,
}

/// The whole disk in pieces of 64 KiB, one after the other.
fn sequence(length: usize, write: bool) -> impl Iterator<Item = Operation> {
    (0..length).step_by(65_536).map(move |start| Operation {
        range: start..length.min(start + 65_536),
        write: write.then_some(start as u64 + 7),
    })
}

/// Runs `operations`, `depth` at a time, on the first disk, whose content is `model`: each read
/// is compared with it, each write goes into it. Nothing that overlaps is under way at once.
/// Tells `progress` how many are done.
fn run(
    host: &mut Host,
    model: &mut [u8],
    operations: impl Iterator<Item = Operation>,
    depth: usize,
    mut progress: impl FnMut(usize),
) {
    let block = u64::from(host.disks()[0].block_size);
    let mut operations = operations.peekable();
    let (mut under_way, mut done) = (HashMap::new(), 0);
    host.run_until(|isboot| {
        while let Some(Finished { id, kind, buffer, outcome, .. }) = isboot.take_completion() {
            let range: Range<usize> = under_way.remove(&id).expect("a request of ours");
            assert_eq!(outcome, Ok(()), "{kind:?} of {range:?}");
            if kind == RequestKind::Read {
                assert!(buffer.unwrap() == model[range.clone()], "{range:?} reads as written");
            }
            done += 1;
            progress(done);
        }
        while under_way.len() < depth {
            let overlaps = |next: &Operation| {
                let next = &next.range;
                under_way.values().any(|other| next.start < other.end && other.start < next.end)
            };
            let Some(Operation { range, write }) = operations.next_if(|next| !overlaps(next))
            else {
                break;
            };
            let at = range.start as u64 / block;
            let id = match write {
                None => isboot.submit_read(DiskId(0), at, vec![0xa5; range.len()]).unwrap(),
                Some(seed) => {
                    model[range.clone()].copy_from_slice(&noise(seed, range.len()));
                    isboot.submit_write(DiskId(0), at, model[range.clone()].to_vec()).unwrap()
                }
            };
            under_way.insert(id, range);
        }
        under_way.is_empty() && operations.peek().is_none()
    });
    host.isboot().submit_flush(DiskId(0)).unwrap();
    host.run_until(|isboot| {
        isboot.take_completion().is_some_and(|flush| {
            assert_eq!(flush.outcome, Ok(()));
            true
        })
    });
}

#[test]
fn random_reads_and_writes_at_depth_agree_with_a_model() {
    for (depth, digest) in [(1, "none"), (32, "none"), (32, "crc32c")] {
        let scratch = scratch();
        let lun = lun(&scratch, 1, 8 * MIB);
        let options = Options::with(&[("InitialR2T", "No")]);
        let tgt = start(&scratch, std::slice::from_ref(&lun), &options);
        let parameters =
            [("initial_r2t", "no"), ("header_digest", digest), ("data_digest", digest)];
        let mut host = log_in(&tgt, &parameters);
        let mut model = fs::read(&lun.image).unwrap();
        let blocks = model.len() / 512;
        let mut random = Random(depth as u64);
        let mut below = |limit: usize| random.below(limit as u64) as usize;
        let mut seed = 1000;
        let operations = std::iter::repeat_with(|| {
            // Small ones and, now and then, one of many bursts.
            let length = if below(20) == 0 { 1 + below(2048) } else { 1 + below(64) };
            let start = below(blocks - length);
            seed += 1;
            Operation {
                range: start * 512..(start + length) * 512,
                write: (below(2) == 0).then_some(seed),
            }
        });
        run(&mut host, &mut model, operations.take(1500), depth, |_| {});
        assert!(fs::read(&lun.image).unwrap() == model, "the file is what the model says");
        assert!(host.isboot().last_error().is_none());
        log_out(host, &tgt);
    }
}

/// Reads or writes a disk in whole while the target is killed in the middle and stays away for
/// some tenths of a second.
fn survive_a_crash(write: bool) {
    let scratch = scratch();
    let lun = lun(&scratch, 1, 48 * MIB);
    let tgt = start(&scratch, std::slice::from_ref(&lun), &Options::default());
    let mut host = log_in(&tgt, &[]);
    let mut model = fs::read(&lun.image).unwrap();
    let (mut tgt, mut restarted) = (Some(tgt), None);
    run(&mut host, &mut model, sequence(48 * MIB, write), 8, |done| {
        if done == 200 {
            let mut tgt = tgt.take().unwrap();
            tgt.kill();
            restarted = Some(thread::spawn(move || {
                thread::sleep(Duration::from_millis(300));
                tgt.restart().unwrap();
                tgt
            }));
        }
    });
    let tgt = restarted.unwrap().join().unwrap();
    assert!(host.isboot().last_error().is_some(), "the target was killed under way");
    assert!(fs::read(&lun.image).unwrap() == model, "the file is what the model says");
    run(&mut host, &mut model, sequence(48 * MIB, false), 8, |_| {});
    log_out(host, &tgt);
}

#[test]
fn a_read_survives_a_target_that_is_killed_and_comes_back() {
    survive_a_crash(false);
}

#[test]
fn a_write_survives_a_target_that_is_killed_and_comes_back() {
    survive_a_crash(true);
}

#[test]
fn chap_lets_in_who_knows_the_secret_and_nobody_else() {
    let scratch = scratch();
    let options = Options {
        authentication: Authentication::Chap {
            user: "host".to_owned(),
            secret: "sixteen-byte-key".to_owned(),
        },
        ..Options::default()
    };
    let lun = lun(&scratch, 1, MIB);
    let tgt = start(&scratch, std::slice::from_ref(&lun), &options);
    let mut access = access(&tgt, &[]);
    let initiator = credentials("host", "sixteen-byte-key");
    access.authentication = InitiatorSide::Chap { initiator, required: true };
    let mut host = Host::log_in(&access).unwrap();
    let data = host.read(DiskId(0), 0, MIB, 65_536, 4).unwrap();
    assert!(data == fs::read(&lun.image).unwrap());
    log_out(host, &tgt);

    // tgt takes 7, SHA-256, for SHA1: the default list ends at MD5 by way of a refusal.
    for (algorithms, lets_in) in [("md5", true), ("sha256", false), ("sha1", false)] {
        access.parameters.set("chap_algorithms", algorithms).unwrap();
        match Host::log_in(&access) {
            Ok(host) if lets_in => log_out(host, &tgt),
            Err(Error::Login(_)) if !lets_in => {}
            Ok(_) => panic!("logged in with {algorithms}"),
            Err(error) => panic!("{algorithms}: {error}"),
        }
    }
    access.parameters = Parameters::default();

    for (name, secret) in [("host", "another-byte-key"), ("guest", "sixteen-byte-key")] {
        let initiator = credentials(name, secret);
        access.authentication = InitiatorSide::Chap { initiator, required: true };
        let error = refusal(&access);
        assert!(matches!(error, Error::Login(_)), "{error:?}");
        assert!(error.to_string().contains("authentication"), "{error}");
        assert!(!error.to_string().contains("byte-key"), "{error}");
    }

    access.authentication = InitiatorSide::None;
    let error = refusal(&access);
    assert!(matches!(error, Error::Login(_)), "{error:?}");
}

#[test]
fn mutual_chap_lets_in_only_to_the_target_that_knows_its_secret() {
    let scratch = scratch();
    let options = Options {
        authentication: Authentication::MutualChap {
            user: "host".to_owned(),
            secret: "sixteen-byte-key".to_owned(),
            target_user: "disk".to_owned(),
            target_secret: "the-targets-secret".to_owned(),
        },
        ..Options::default()
    };
    let lun = lun(&scratch, 1, MIB);
    let tgt = start(&scratch, std::slice::from_ref(&lun), &options);
    let mut access = access(&tgt, &[]);
    let mut log_in = |initiator: &str, target_user: &str, target: &str| {
        access.authentication = InitiatorSide::MutualChap {
            initiator: credentials("host", initiator),
            target: credentials(target_user, target),
        };
        Host::log_in(&access)
    };
    let mut host = log_in("sixteen-byte-key", "disk", "the-targets-secret").unwrap();
    let data = host.read(DiskId(0), 0, MIB, 65_536, 4).unwrap();
    assert!(data == fs::read(&lun.image).unwrap());
    log_out(host, &tgt);

    for (initiator, target_user, target) in [
        ("another-byte-key", "disk", "the-targets-secret"),
        ("sixteen-byte-key", "disk", "not-the-targets-one"),
        ("sixteen-byte-key", "tape", "the-targets-secret"),
    ] {
        let error = log_in(initiator, target_user, target).map(drop).unwrap_err();
        assert!(matches!(error, Error::Login(_)), "{error:?}");
    }
}

#[test]
fn a_target_name_that_is_not_there_is_named_as_the_trouble() {
    let scratch = scratch();
    let tgt = start(&scratch, &[lun(&scratch, 1, MIB)], &Options::default());
    let access = Access::new(tgt.portal(), "iqn.2026-11.org.example:nowhere", &[]);
    let error = refusal(&access);
    assert!(error.to_string().contains("not found"), "{error}");
}
