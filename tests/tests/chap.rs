//! CHAP with every algorithm, end to end over sockets, against targets of every manner.

use isboot::disk::DiskId;
use isboot::login::{
    Authentication, AuthenticationFailure, ConfigurationError, KeyProblem, LoginError, Misbehaviour,
};
use isboot::session::Error;
use isboot_tests::host::{Access, Host, credentials};
use isboot_tests::target::{self, AlgorithmOffer, Chap, Lun, Server, Target};

const NAME: &str = "iqn.2001-04.com.example:disks";
const OURS: &str = "initiatorsecret1";
const THEIRS: &str = "targetsecret0002";
const ALGORITHMS: [(u8, &str); 4] = [(8, "sha3-256"), (7, "sha256"), (6, "sha1"), (5, "md5")];

/// A target that knows both secrets, changed in these points.
fn target(change: impl FnOnce(&mut Chap)) -> Target {
    let mut chap = Chap::new(
        target::Credentials::new("operator", OURS),
        Some(target::Credentials::new("disks", THEIRS)),
    );
    change(&mut chap);
    Target::builder(NAME).lun(Lun::memory(1 << 20)).chap_policy(chap).build()
}

fn one_way() -> Authentication {
    Authentication::Chap { initiator: credentials("operator", OURS), required: true }
}

fn mutual() -> Authentication {
    let (initiator, target) = (credentials("operator", OURS), credentials("disks", THEIRS));
    Authentication::MutualChap { initiator, target }
}

fn log_in(
    target: &Target,
    authentication: Authentication,
    parameters: &[(&str, &str)],
) -> Result<(Server, Host), Error> {
    let server = target.serve("127.0.0.1:0").unwrap();
    let mut access = Access::new(server.portal(), NAME, parameters);
    access.authentication = authentication;
    Host::log_in(&access).map(|host| (server, host))
}

/// Logs in, reads and logs out; returns algorithm and connections made.
#[track_caller]
fn chosen(
    target: &Target,
    authentication: Authentication,
    parameters: &[(&str, &str)],
) -> (Option<u8>, u64) {
    let mutual = matches!(authentication, Authentication::MutualChap { .. });
    let (_server, mut host) = log_in(target, authentication, parameters).unwrap();
    assert_eq!(host.read(DiskId(0), 0, 4096, 4096, 1).unwrap(), [0; 4096]);
    host.log_out().unwrap();
    assert_eq!(target.violations(), []);
    let login = target.statistics().last_login.unwrap();
    assert_eq!(login.mutual_chap, mutual);
    (login.chap_algorithm, target.statistics().connections)
}

#[test]
fn every_algorithm_logs_in_one_way_and_both_ways() {
    for (number, name) in ALGORITHMS {
        for authentication in [one_way, mutual] {
            // The target knows no other, then the initiator wants no other.
            let only = target(|chap| chap.algorithms = vec![number]);
            assert_eq!(chosen(&only, authentication(), &[]), (Some(number), 1));
            let wanted = [("chap_algorithms", name)];
            assert_eq!(chosen(&target(|_| {}), authentication(), &wanted), (Some(number), 1));
        }
    }
}

#[test]
fn the_best_that_both_know_is_used() {
    assert_eq!(chosen(&target(|_| {}), mutual(), &[]), (Some(8), 1));
    let old = target(|chap| chap.algorithms = vec![5, 6]);
    assert_eq!(chosen(&old, mutual(), &[]), (Some(6), 1));
    let wanted = [("chap_algorithms", "md5,sha256")];
    assert_eq!(chosen(&target(|_| {}), mutual(), &wanted), (Some(5), 1));
}

#[test]
fn a_wrong_secret_is_found_with_every_algorithm_at_the_first_try() {
    for (_, name) in ALGORITHMS {
        let wanted = [("chap_algorithms", name)];
        let target = target(|_| {});
        let initiator = credentials("operator", "initiatorsecret9");
        let wrong = Authentication::Chap { initiator, required: true };
        let error = log_in(&target, wrong, &wanted).unwrap_err();
        assert_eq!(error, Error::Login(LoginError::Rejected { class: 2, detail: 1 }));

        let (initiator, theirs) =
            (credentials("operator", OURS), credentials("disks", "targetsecret0009"));
        let wrong = Authentication::MutualChap { initiator, target: theirs };
        let error = log_in(&target, wrong, &wanted).unwrap_err();
        let failure = AuthenticationFailure::TargetResponse;
        assert_eq!(error, Error::Login(LoginError::AuthFailed(failure)));
        assert_eq!(target.statistics().connections, 2);
    }
}

#[test]
fn a_target_that_takes_no_list_gets_one_algorithm_a_try() {
    for manner in
        [AlgorithmOffer::ListRefused, AlgorithmOffer::ListRejected, AlgorithmOffer::ListHungUpOn]
    {
        for (tries, (number, _)) in (1..).zip(ALGORITHMS) {
            for authentication in [one_way, mutual] {
                let target = target(|chap| {
                    chap.algorithms = vec![number];
                    chap.algorithm_offer = manner;
                });
                let found = chosen(&target, authentication(), &[]);
                assert_eq!(found, (Some(number), 1 + tries), "{manner:?}");
            }
        }
    }
}

#[test]
fn what_is_not_acceptable_is_never_tried() {
    for (manner, error) in [
        (AlgorithmOffer::ListRefused, LoginError::Rejected { class: 2, detail: 1 }),
        (
            AlgorithmOffer::ListRejected,
            LoginError::AuthFailed(AuthenticationFailure::AlgorithmRejected),
        ),
    ] {
        for (wanted, connections) in [("sha3-256,sha256", 3), ("sha256", 1)] {
            let target = target(|chap| {
                chap.algorithms = vec![5];
                chap.algorithm_offer = manner;
            });
            let found = log_in(&target, mutual(), &[("chap_algorithms", wanted)]).unwrap_err();
            assert_eq!(found, Error::Login(error), "{wanted}");
            assert_eq!(target.statistics().connections, connections, "{manner:?} {wanted}");
            assert_eq!((target.statistics().logins, target.violations()), (0, vec![]));
        }
    }
}

#[test]
fn a_target_that_hangs_up_on_every_offer_is_given_up_after_the_outage_limit() {
    let target = target(|chap| {
        chap.algorithms = vec![];
        chap.algorithm_offer = AlgorithmOffer::ListHungUpOn;
    });
    let error = log_in(&target, one_way(), &[("outage_limit", "1")]).unwrap_err();
    assert!(matches!(error, Error::Link(_)), "{error:?}");
    assert!((3..9).contains(&target.statistics().connections));
}

#[test]
fn an_algorithm_that_was_not_offered_is_refused() {
    for (answer, wanted) in [(5, "sha3-256,sha256,sha1"), (6, "md5"), (8, "md5"), (7, "sha3-256")] {
        let target = target(|chap| chap.algorithm_offer = AlgorithmOffer::AnsweredWith(answer));
        let error = log_in(&target, mutual(), &[("chap_algorithms", wanted)]).unwrap_err();
        let Error::Login(LoginError::PeerMisbehaved(Misbehaviour::Key { key, problem, .. })) =
            error
        else {
            panic!("{error:?}");
        };
        assert_eq!((key, problem), ("CHAP_A", KeyProblem::NotOffered));
        // Nothing was said in answer, and nothing else is tried.
        assert_eq!((target.statistics().connections, target.statistics().logins), (1, 0));
    }
}

#[test]
fn the_next_login_of_a_session_goes_straight_to_the_algorithm_that_worked() {
    let target = target(|chap| {
        chap.algorithms = vec![6, 5];
        chap.algorithm_offer = AlgorithmOffer::ListRefused;
    });
    let (server, mut host) = log_in(&target, mutual(), &[]).unwrap();
    assert_eq!(target.statistics().connections, 4);
    server.drop_connections();
    assert_eq!(host.read(DiskId(0), 0, 4096, 4096, 1).unwrap(), [0; 4096]);
    host.log_out().unwrap();
    assert_eq!(target.statistics().connections, 5);
    assert_eq!(target.statistics().last_login.unwrap().chap_algorithm, Some(6));
}

#[test]
fn one_secret_for_both_directions_never_leaves() {
    let target = target(|_| {});
    let (initiator, theirs) = (credentials("operator", OURS), credentials("disks", OURS));
    let same = Authentication::MutualChap { initiator, target: theirs };
    let error = log_in(&target, same, &[]).unwrap_err();
    let problem = ConfigurationError::SameSecretBothWays;
    assert_eq!(error, Error::Login(LoginError::ApiMisuse(problem)));
}
