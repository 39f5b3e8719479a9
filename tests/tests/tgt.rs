//! The initiator against the real tgt, over the host's own sockets.

use std::fs;
use std::thread;
use std::time::Duration;

use isboot::boot::Parameters;
use isboot::disk::{DiskId, SubmitRequestError};
use isboot::login::{Authentication as InitiatorSide, Name};
use isboot::session::{Error, SendTargets};
use isboot_tests::host::{Access, Host, credentials, discover};
use isboot_tests::process::within;
use isboot_tests::scratch::Scratch;
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
    Lun { image, serial, block_size: 512, read_only: false, thin: false }
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

#[test]
fn thin_disks_release_blocks_and_all_disks_are_filled_and_written_through() {
    let scratch = scratch();
    let luns = [Lun { thin: true, ..lun(&scratch, 1, 4 * MIB) }, lun(&scratch, 2, 4 * MIB)];
    let tgt = start(&scratch, &luns, &Options::default());
    let mut host = log_in(&tgt, &[]);
    let [thin, thick] = [0, 1].map(|disk| host.disks()[disk].provisioning);
    assert!(thin.thin && thin.unmap.is_some(), "{thin:?}");
    assert!(!thick.thin && thick.unmap.is_none(), "{thick:?}");
    let before = fs::read(&luns[0].image).unwrap();
    host.request(|isboot| isboot.submit_unmap(DiskId(0), 16, 4000)).unwrap();
    let mut after = before.clone();
    after[16 * 512..4016 * 512].fill(0);
    assert!(fs::read(&luns[0].image).unwrap() == after, "these blocks, and no others");
    let refused = host.isboot().submit_unmap(DiskId(1), 0, 8);
    assert_eq!(refused, Err(SubmitRequestError::Unsupported));
    for (disk, lun) in (0..).zip(&luns) {
        host.exercise_filling(DiskId(disk), &lun.image);
        host.exercise_write_through(DiskId(disk), &lun.image);
    }
    log_out(host, &tgt);
}

#[test]
fn reservations_are_made_told_and_given_back() {
    let scratch = scratch();
    let tgt = start(&scratch, &[lun(&scratch, 1, MIB)], &Options::default());
    let mut host = log_in(&tgt, &[]);
    host.exercise_reservation(DiskId(0));
    log_out(host, &tgt);
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
        host.random_io(&lun.image, 1500, depth, depth as u64, |_| {});
        assert!(host.isboot().last_error().is_none());
        log_out(host, &tgt);
    }
}

#[test]
fn reads_and_writes_survive_a_target_that_is_killed_and_comes_back() {
    for digest in ["none", "crc32c"] {
        let scratch = scratch();
        let lun = lun(&scratch, 1, 16 * MIB);
        let mut tgt = start(&scratch, std::slice::from_ref(&lun), &Options::default());
        let mut host = log_in(&tgt, &[("header_digest", digest), ("data_digest", digest)]);
        host.survive(&lun.image, 7, || {
            tgt.kill();
            thread::sleep(Duration::from_millis(300));
            tgt.restart().unwrap();
        });
        log_out(host, &tgt);
    }
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

#[test]
fn it_is_discovered() {
    let scratch = scratch();
    let tgt = start(&scratch, &[lun(&scratch, 1, MIB)], &Options::default());
    let access = access(&tgt, &[]);
    let own = Name::new(TARGET_NAME).unwrap();
    for what in [SendTargets::All, SendTargets::Name(own.clone())] {
        let found = discover(&access, what).unwrap_or_else(|e| panic!("{e}: {}", tgt.log()));
        let [target] = &found[..] else { panic!("{found:?}") };
        assert_eq!(target.name, own);
        assert_eq!(target.address.socket_address(), Some(tgt.portal()));
        assert_eq!(target.address.portal_group_tag, Some(1));
    }
}
