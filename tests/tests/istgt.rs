//! The initiator against the real istgt, over the host's own sockets.

use std::thread;
use std::time::{Duration, Instant};

use isboot::disk::{DiskId, RequestError, SubmitRequestError};
use isboot::login::{Authentication as InitiatorSide, Name};
use isboot::session::{Error, LinkFailure, SendTargets, TaskError};
use isboot_tests::host::{Access, Host, credentials, discover};
use isboot_tests::istgt::{Authentication, DigestPolicy, Istgt, Lun, Options, PRODUCT, VENDOR};
use isboot_tests::scratch::{Scratch, noise};

const MIB: usize = 1 << 20;

fn scratch() -> Scratch {
    Scratch::new(env!("CARGO_TARGET_TMPDIR"))
}

/// A LUN of pseudo-random content, different for each seed.
fn lun(scratch: &Scratch, seed: u64, length: usize) -> Lun {
    Lun { image: scratch.image(seed, length), serial: format!("SERIAL-{seed}") }
}

fn start(scratch: &Scratch, luns: &[Lun], options: &Options) -> Istgt {
    match Istgt::start(&scratch.path().join("istgt"), luns, options) {
        Ok(istgt) => istgt,
        Err(error) => panic!("{error}"),
    }
}

fn access(istgt: &Istgt, parameters: &[(&str, &str)]) -> Access {
    Access::new(istgt.portal(), istgt.target_name(), parameters)
}

fn exercise_with(options: &Options, parameters: &[(&str, &str)], check: impl Fn(&mut Host)) {
    let scratch = scratch();
    let luns = [lun(&scratch, 1, 9 * MIB), lun(&scratch, 2, 5 * MIB)];
    let istgt = start(&scratch, &luns, options);
    let mut host = Host::log_in(&access(&istgt, parameters)).unwrap();
    check(&mut host);
    host.exercise(&luns[0].image, &luns[1].image);
    host.log_out().unwrap();
    assert!(istgt.wait_for_log("Logout from ", Duration::from_secs(5)), "{}", istgt.log());
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
fn a_target_that_forces_digests_gets_them_when_they_are_acceptable() {
    let options = Options { digest: DigestPolicy::HeaderData, ..Options::default() };
    exercise_with(&options, &[], |host| {
        let terms = host.isboot().negotiated().unwrap();
        assert_eq!((terms.header_digest.name(), terms.data_digest.name()), ("CRC32C", "CRC32C"));
    });
}

#[test]
fn a_digest_that_the_target_refuses_is_an_error() {
    let scratch = scratch();
    let options = Options { digest: DigestPolicy::HeaderData, ..Options::default() };
    let istgt = start(&scratch, &[lun(&scratch, 1, MIB)], &options);
    let parameters = [("header_digest", "none"), ("data_digest", "none")];
    let error = Host::log_in(&access(&istgt, &parameters)).unwrap_err();
    assert!(matches!(error, Error::Login(_)), "{error:?}");
    assert!(error.to_string().contains("HeaderDigest"), "{error}");
}

/// istgt insists on InitialR2T=Yes; the builtin target's tests go through the other two ways.
#[test]
fn write_data_goes_with_the_command_or_when_asked_for() {
    for immediate_data in [true, false] {
        for offered in ["yes", "no"] {
            let options = Options { immediate_data, ..Options::default() };
            exercise_with(&options, &[("initial_r2t", offered)], |host| {
                let terms = host.isboot().negotiated().unwrap();
                assert_eq!((terms.immediate_data, terms.initial_r2t), (immediate_data, true));
            });
        }
    }
}

#[test]
fn small_bursts_segments_and_windows_work() {
    let options = Options {
        queue_depth: 2,
        first_burst_length: 4096,
        max_burst_length: 16_384,
        max_recv_data_segment_length: 8192,
        ..Options::default()
    };
    exercise_with(&options, &[("queue_depth", "32")], |_| {});
}

#[test]
fn blocks_of_4096_bytes_work() {
    let options = Options { block_length: 4096, ..Options::default() };
    exercise_with(&options, &[], |host| {
        assert_eq!(host.disks()[0].block_size, 4096);
        let rejected = host.isboot().submit_read(DiskId(0), 0, vec![0; 512]).unwrap_err();
        assert_eq!(rejected.reason, SubmitRequestError::BadLength);
    });
}

#[test]
fn disks_are_listed_with_what_they_say_of_themselves() {
    let scratch = scratch();
    let luns = [lun(&scratch, 1, MIB), lun(&scratch, 2, 2 * MIB), lun(&scratch, 3, 3 * MIB)];
    let istgt = start(&scratch, &luns, &Options { read_only: true, ..Options::default() });
    let mut host = Host::log_in(&access(&istgt, &[])).unwrap();
    let listed: Vec<_> = host
        .disks()
        .iter()
        .map(|disk| {
            assert_eq!((disk.vendor.as_str(), disk.product.as_str()), (VENDOR, PRODUCT));
            (disk.lun.to_string(), disk.serial.to_string(), disk.bytes(), disk.read_only)
        })
        .collect();
    let expected: Vec<_> = (0..3usize)
        .map(|n| (n.to_string(), luns[n].serial.clone(), ((n + 1) * MIB) as u64, true))
        .collect();
    assert_eq!(listed, expected);
    let rejected = host.isboot().submit_write(DiskId(0), 0, vec![0; 512]).unwrap_err();
    assert_eq!(rejected.reason, SubmitRequestError::ReadOnly);
    let rejected = host.isboot().submit_read(DiskId(0), 2047, vec![0; 1024]).unwrap_err();
    assert_eq!(rejected.reason, SubmitRequestError::OutOfRange);
}

#[test]
fn writes_go_through_and_reservations_are_made_told_and_given_back() {
    let scratch = scratch();
    let luns = [lun(&scratch, 1, 4 * MIB)];
    let istgt = start(&scratch, &luns, &Options::default());
    let mut host = Host::log_in(&access(&istgt, &[])).unwrap();
    host.exercise_write_through(DiskId(0), &luns[0].image);
    host.exercise_reservation(DiskId(0));
    host.log_out().unwrap();
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
    let istgt = start(&scratch, &[lun(&scratch, 1, MIB)], &options);
    let mut access = access(&istgt, &[]);
    let initiator = credentials("host", "sixteen-byte-key");
    access.authentication = InitiatorSide::Chap { initiator, required: true };
    let mut host = Host::log_in(&access).unwrap();
    assert!(host.read(DiskId(0), 0, MIB, 65_536, 4).unwrap() == noise(1, MIB));
    host.log_out().unwrap();

    let initiator = credentials("host", "another-byte-key");
    access.authentication = InitiatorSide::Chap { initiator, required: true };
    let error = Host::log_in(&access).unwrap_err();
    assert!(error.to_string().contains("authentication"), "{error}");
    assert!(!error.to_string().contains("byte-key"), "{error}");

    access.authentication = InitiatorSide::None;
    let error = Host::log_in(&access).unwrap_err();
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
    let istgt = start(&scratch, &[lun(&scratch, 1, MIB)], &options);
    let mut access = access(&istgt, &[]);
    access.authentication = InitiatorSide::MutualChap {
        initiator: credentials("host", "sixteen-byte-key"),
        target: credentials("disk", "the-targets-secret"),
    };
    Host::log_in(&access).unwrap().log_out().unwrap();

    access.authentication = InitiatorSide::MutualChap {
        initiator: credentials("host", "sixteen-byte-key"),
        target: credentials("disk", "not-the-targets-one"),
    };
    let error = Host::log_in(&access).unwrap_err();
    assert!(matches!(error, Error::Login(_)), "{error:?}");
}

#[test]
fn a_target_name_that_is_not_there_is_named_as_the_trouble() {
    let scratch = scratch();
    let istgt = start(&scratch, &[lun(&scratch, 1, MIB)], &Options::default());
    let access = Access::new(istgt.portal(), "iqn.2007-09.jp.ne.peach.istgt:nowhere", &[]);
    let error = Host::log_in(&access).unwrap_err();
    assert!(error.to_string().contains("not found"), "{error}");
}

#[test]
fn a_portal_that_refuses_is_given_up_after_the_outage_limit() {
    let port = isboot_tests::ports::free_port().unwrap();
    let access = Access::new(
        ([127, 0, 0, 1], port).into(),
        "iqn.2007-09.jp.ne.peach.istgt:disk1",
        &[("outage_limit", "1")],
    );
    let begin = Instant::now();
    let error = Host::log_in(&access).unwrap_err();
    assert_eq!(error, Error::Link(LinkFailure::Refused));
    assert!((Duration::from_secs(1)..Duration::from_secs(4)).contains(&begin.elapsed()));
}

#[test]
fn reads_and_writes_survive_a_target_that_is_killed_and_comes_back() {
    for digest in ["none", "crc32c"] {
        let scratch = scratch();
        let lun = lun(&scratch, 1, 16 * MIB);
        let mut istgt = start(&scratch, std::slice::from_ref(&lun), &Options::default());
        let parameters = [("header_digest", digest), ("data_digest", digest)];
        let mut host = Host::log_in(&access(&istgt, &parameters)).unwrap();
        host.survive(&lun.image, 7, || {
            istgt.kill();
            thread::sleep(Duration::from_millis(300));
            istgt.restart().unwrap();
        });
        host.log_out().unwrap();
    }
}

#[test]
fn requests_fail_when_the_target_stays_away_for_longer_than_the_outage_limit() {
    let scratch = scratch();
    let mut istgt = start(&scratch, &[lun(&scratch, 1, 8 * MIB)], &Options::default());
    let mut host = Host::log_in(&access(&istgt, &[("outage_limit", "2")])).unwrap();
    istgt.kill();
    let begin = Instant::now();
    let error = host.read(DiskId(0), 0, 8 * MIB, 64 * 1024, 4).unwrap_err();
    assert_eq!(error, RequestError::Task(TaskError::Outage));
    assert!((Duration::from_secs(1)..Duration::from_secs(5)).contains(&begin.elapsed()));
    // Later requests can succeed again.
    istgt.restart().unwrap();
    let mut read = || host.read(DiskId(0), 0, MIB, 64 * 1024, 4);
    let data = read().or_else(|_| read()).or_else(|_| read()).unwrap();
    assert!(data == noise(1, MIB));
}

#[test]
fn it_is_discovered() {
    let scratch = scratch();
    for digest in [DigestPolicy::Auto, DigestPolicy::HeaderData] {
        let options = Options { digest, ..Options::default() };
        let istgt = start(&scratch, &[lun(&scratch, 1, MIB)], &options);
        let access = access(&istgt, &[]);
        let own = Name::new(istgt.target_name()).unwrap();
        for what in [SendTargets::All, SendTargets::Name(own.clone())] {
            let found = discover(&access, what).unwrap_or_else(|e| panic!("{e}: {}", istgt.log()));
            let [target] = &found[..] else { panic!("{found:?}") };
            assert_eq!(target.name, own);
            assert_eq!(target.address.socket_address(), Some(istgt.portal()));
            assert_eq!(target.address.portal_group_tag, Some(1));
        }
    }
}
