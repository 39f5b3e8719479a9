//! The initiator against the real LIO in a Linux guest, over the host's own sockets.
//!
//! A guest takes seconds to boot: one for everything that changes at login, one that is killed.

use isboot::login::{Authentication as InitiatorSide, LoginError};
use isboot::session::Error;
use isboot_tests::host::{Access, Host, credentials};
use isboot_tests::lio::{Authentication, Lio, Lun, Options, TARGET_NAME};
use isboot_tests::scratch::Scratch;

const MIB: usize = 1 << 20;

fn scratch() -> Scratch {
    Scratch::new(env!("CARGO_TARGET_TMPDIR"))
}

fn lun(scratch: &Scratch, seed: u64, length: usize) -> Lun {
    Lun { image: scratch.image(seed, length), serial: format!("SERIAL-{seed}") }
}

fn start(luns: &[Lun], options: &Options) -> Lio {
    match Lio::start(luns, options) {
        Ok(lio) => lio,
        Err(error) => panic!("{error}"),
    }
}

fn access(lio: &Lio, parameters: &[(&str, &str)]) -> Access {
    Access::new(lio.portal(), TARGET_NAME, parameters)
}

/// Every way that write data may go, with and without digests.
#[test]
fn data_goes_every_way_with_and_without_digests() {
    let scratch = scratch();
    let luns = [lun(&scratch, 1, 9 * MIB), lun(&scratch, 2, 5 * MIB)];
    let options = Options { parameters: vec![("InitialR2T", "No")], ..Options::default() };
    let lio = start(&luns, &options);
    for digest in ["none", "crc32c"] {
        for immediate_data in ["yes", "no"] {
            for initial_r2t in ["yes", "no"] {
                let parameters = [
                    ("header_digest", digest),
                    ("data_digest", digest),
                    ("immediate_data", immediate_data),
                    ("initial_r2t", initial_r2t),
                ];
                let mut host = Host::log_in(&access(&lio, &parameters)).unwrap();
                let terms = host.isboot().negotiated().unwrap();
                assert_eq!(terms.header_digest.name().to_lowercase(), digest);
                assert_eq!(terms.data_digest.name().to_lowercase(), digest);
                assert_eq!(terms.immediate_data, immediate_data == "yes");
                assert_eq!(terms.initial_r2t, initial_r2t == "yes");
                host.exercise(&luns[0].image, &luns[1].image);
                host.log_out().unwrap();
            }
        }
    }
}

/// Linux 6.1 knows all algorithms but takes the first of the list that it does know.
#[test]
fn chap_lets_in_who_knows_the_secret_with_every_algorithm() {
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
    let lio = start(&[lun(&scratch, 1, MIB)], &options);
    let initiator = || credentials("host", "sixteen-byte-key");
    let mutual = || InitiatorSide::MutualChap {
        initiator: initiator(),
        target: credentials("disk", "the-targets-secret"),
    };
    for algorithms in ["sha3-256,sha256,sha1,md5", "sha3-256", "sha256", "sha1", "md5"] {
        for authentication in
            [InitiatorSide::Chap { initiator: initiator(), required: true }, mutual()]
        {
            let mut access = access(&lio, &[("chap_algorithms", algorithms)]);
            access.authentication = authentication;
            let host = Host::log_in(&access).unwrap_or_else(|e| panic!("{algorithms}: {e}"));
            host.log_out().unwrap();
        }
    }

    let mut access = access(&lio, &[]);
    access.authentication = InitiatorSide::MutualChap {
        initiator: initiator(),
        target: credentials("disk", "not-the-targets-one"),
    };
    let error = Host::log_in(&access).unwrap_err();
    assert!(matches!(error, Error::Login(LoginError::AuthFailed(_))), "{error:?}");
    access.authentication =
        InitiatorSide::Chap { initiator: credentials("host", "another-byte-key"), required: true };
    let error = Host::log_in(&access).unwrap_err();
    assert_eq!(error, Error::Login(LoginError::Rejected { class: 2, detail: 1 }));
}

/// The plug is pulled in the middle of reads and writes, and the machine boots again.
#[test]
fn reads_and_writes_survive_a_machine_that_loses_power_and_boots_again() {
    let scratch = scratch();
    let lun = lun(&scratch, 1, 16 * MIB);
    let mut lio = start(std::slice::from_ref(&lun), &Options::default());
    let digests = [("header_digest", "crc32c"), ("data_digest", "crc32c")];
    let mut host = Host::log_in(&access(&lio, &digests)).unwrap();
    host.survive(&lun.image, 7, || {
        lio.pull_the_plug();
        lio.plug_in().unwrap_or_else(|error| panic!("{error}"));
    });
    host.log_out().unwrap();
}
