//! The initiator against the real istgt, over the host's own sockets.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use isboot::disk::{DiskId, RequestError, SubmitRequestError};
use isboot::login::{Authentication as InitiatorSide, Credentials, Secret};
use isboot::session::{Error, LinkFailure, TaskError};
use isboot_tests::host::{Access, Host};
use isboot_tests::istgt::{Authentication, DigestPolicy, Istgt, Lun, Options, PRODUCT, VENDOR};

const MIB: usize = 1 << 20;

/// Files of one test: gone when it ends.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("istgt-{}-{number}", std::process::id());
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    /// A file of pseudo-random content, different for each seed.
    fn image(&self, seed: u64, length: usize) -> Lun {
        let image = self.0.join(format!("{seed}.img"));
        fs::write(&image, noise(seed, length)).unwrap();
        Lun { image, serial: format!("SERIAL-{seed}") }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// splitmix64 over the word's number.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let words = (0u64..).map(|index| {
        let mut z = seed.wrapping_add(index).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    });
    words.flat_map(u64::to_le_bytes).take(length).collect()
}

fn start(scratch: &Scratch, luns: &[Lun], options: &Options) -> Istgt {
    match Istgt::start(&scratch.0.join("istgt"), luns, options) {
        Ok(istgt) => istgt,
        Err(error) => panic!("{error}"),
    }
}

fn access(istgt: &Istgt, parameters: &[(&str, &str)]) -> Access {
    Access::new(istgt.portal(), istgt.target_name(), parameters)
}

/// Reads a whole LUN, writes unaligned to any burst, and looks at the file from the host.
fn exercise(mut host: Host, istgt: &Istgt, read: &Lun, written: &Lun) {
    let content = fs::read(&read.image).unwrap();
    let back = host.read(DiskId(0), 0, content.len(), 384 * 1024, 8).unwrap();
    assert!(back == content, "the LUN reads as the file is");

    let before = fs::read(&written.image).unwrap();
    let block = host.disks()[1].block_size as usize;
    let (offset, data) = (7 * block, noise(99, 3 * MIB + 5 * block));
    host.write(DiskId(1), offset as u64, &data, 400 * 1024 / block * block, 8).unwrap();
    let after = fs::read(&written.image).unwrap();
    let end = offset + data.len();
    assert!(after[offset..end] == data, "what was written is in the file");
    assert!(
        after[..offset] == before[..offset] && after[end..] == before[end..],
        "nothing else is"
    );
    let back = host.read(DiskId(1), offset as u64, data.len(), MIB, 2).unwrap();
    assert!(back == data, "what was written reads back");

    host.log_out().unwrap();
    assert!(istgt.wait_for_log("Logout from ", Duration::from_secs(5)), "{}", istgt.log());
}

fn exercise_with(options: &Options, parameters: &[(&str, &str)], check: impl Fn(&mut Host)) {
    let scratch = Scratch::new();
    let luns = [scratch.image(1, 9 * MIB), scratch.image(2, 5 * MIB)];
    let istgt = start(&scratch, &luns, options);
    let mut host = Host::log_in(&access(&istgt, parameters)).unwrap();
    check(&mut host);
    exercise(host, &istgt, &luns[0], &luns[1]);
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
    let scratch = Scratch::new();
    let options = Options { digest: DigestPolicy::HeaderData, ..Options::default() };
    let istgt = start(&scratch, &[scratch.image(1, MIB)], &options);
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
    let scratch = Scratch::new();
    let luns = [scratch.image(1, MIB), scratch.image(2, 2 * MIB), scratch.image(3, 3 * MIB)];
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

fn credentials(name: &str, secret: &str) -> Credentials {
    Credentials {
        name: Some(name.try_into().unwrap()),
        secret: Secret::new(secret.as_bytes()).unwrap(),
    }
}

#[test]
fn chap_lets_in_who_knows_the_secret_and_nobody_else() {
    let scratch = Scratch::new();
    let options = Options {
        authentication: Authentication::Chap {
            user: "host".to_owned(),
            secret: "sixteen-byte-key".to_owned(),
        },
        ..Options::default()
    };
    let istgt = start(&scratch, &[scratch.image(1, MIB)], &options);
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
    let scratch = Scratch::new();
    let options = Options {
        authentication: Authentication::MutualChap {
            user: "host".to_owned(),
            secret: "sixteen-byte-key".to_owned(),
            target_user: "disk".to_owned(),
            target_secret: "the-targets-secret".to_owned(),
        },
        ..Options::default()
    };
    let istgt = start(&scratch, &[scratch.image(1, MIB)], &options);
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
    let scratch = Scratch::new();
    let istgt = start(&scratch, &[scratch.image(1, MIB)], &Options::default());
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
fn a_read_survives_a_target_that_is_killed_and_comes_back() {
    let scratch = Scratch::new();
    let lun = scratch.image(1, 48 * MIB);
    let mut istgt = start(&scratch, std::slice::from_ref(&lun), &Options::default());
    let mut host = Host::log_in(&access(&istgt, &[])).unwrap();
    let reader = thread::spawn(move || {
        let data = host.read(DiskId(0), 0, 48 * MIB, 64 * 1024, 4);
        (host, data)
    });
    thread::sleep(Duration::from_millis(20));
    istgt.kill();
    thread::sleep(Duration::from_millis(300));
    istgt.restart().unwrap();
    let (mut host, data) = reader.join().unwrap();
    assert!(data.unwrap() == fs::read(&lun.image).unwrap());
    assert!(host.isboot().last_error().is_some(), "the target was killed while the read ran");
    host.log_out().unwrap();
}

#[test]
fn requests_fail_when_the_target_stays_away_for_longer_than_the_outage_limit() {
    let scratch = Scratch::new();
    let mut istgt = start(&scratch, &[scratch.image(1, 8 * MIB)], &Options::default());
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
