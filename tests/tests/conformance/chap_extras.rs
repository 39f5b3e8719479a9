//! B-CH: CHAP beyond the suite: policy, secrets, encodings, what must not leak.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use isboot::login::{
    Authentication, AuthenticationFailure, ConfigurationError, KeyProblem, LoginError,
    Misbehaviour, Secret,
};
use isboot::session::{Error, SendTargets, SessionConfig};
use isboot_tests::pair::{Break, DiscoveryPair, Pair, Setting, target};
use isboot_tests::target::{Credentials, Handling, Target};

use crate::chap_script::{
    self, OURS, Step, THEIRS, answer_of, chap, credentials, good, instead, mutual, mutual_between,
    one_way, response, shared, steps,
};
use crate::scripted_login::{Play, login, text};

/// The login is given up after this many requests, for this reason of the authentication.
#[track_caller]
fn fails(play: Play, after: usize, failure: AuthenticationFailure) {
    let played = play.run();
    let requests = played.requests().len();
    let error = played.failed();
    assert_eq!(error, Error::Login(LoginError::AuthFailed(failure)));
    assert_eq!(requests, after, "{error}");
}

/// CHAP is offered, and so is going on without it.
fn optional(config: &mut SessionConfig) {
    let initiator = credentials(Some("user"), OURS);
    config.login.authentication = Authentication::Chap { initiator, required: false };
}

// --- downgrades ---

#[test]
fn b_ch_01_none_is_not_accepted_where_chap_is_required() {
    type Configure = fn(&mut SessionConfig);
    for (configure, offer) in
        [(one_way as Configure, "CHAP"), (mutual, "CHAP"), (optional, "CHAP,None")]
    {
        let played = chap(Step::Method, good).configured(configure).run();
        assert_eq!(played.requests()[0].value("AuthMethod").as_deref(), Some(offer));
    }
    for configure in [one_way, mutual] {
        for method in ["None", "CHAP,None", "none", "SRP", "KRB5", ""] {
            let play = instead(Step::Method, "0", &format!("AuthMethod={method}"));
            let played = play.configured(configure).run();
            assert_eq!(played.requests().len(), 1, "{method}");
            match played.failed() {
                Error::Login(LoginError::PeerMisbehaved(Misbehaviour::Key {
                    key: "AuthMethod",
                    problem: KeyProblem::NotOffered,
                    ..
                })) => {}
                error => panic!("{method}: {error}"),
            }
        }
        let play = instead(Step::Method, "0", "AuthMethod=Reject").configured(configure);
        fails(play, 1, AuthenticationFailure::MethodRejected);
    }
    // Where it is not required, None is a choice like the other.
    login(|seen| match seen.in_security_stage() {
        true if seen.value("AuthMethod").is_some() => seen.says("0", "AuthMethod=None"),
        true => seen.says("0>1", ""),
        false => seen.granted(),
    })
    .configured(optional)
    .succeeds();
}

#[test]
fn b_ch_02_chap_is_not_passed_over_in_silence() {
    for configure in [one_way, mutual] {
        // No method was chosen, and the stage stays or goes.
        let play = instead(Step::Method, "0", "TargetPortalGroupTag=1").configured(configure);
        fails(play, 1, AuthenticationFailure::MethodNotChosen);
        for (step, flags, pairs) in [
            (Step::Method, "0>1", ""),
            (Step::Method, "0>1", "AuthMethod=CHAP"),
            (Step::Method, "0>1", "AuthMethod=None"),
            (Step::Method, "0>3", ""),
            (Step::Challenge, "0>1", ""),
            (Step::Challenge, "0>1", "CHAP_A=5 CHAP_I=1 CHAP_C=0x00"),
            (Step::Challenge, "0>3", ""),
        ] {
            let played = instead(step, flags, pairs).configured(configure).run();
            let steps = steps(&played);
            assert_eq!(steps.last(), Some(&Some(step)), "{flags} {pairs}: {steps:?}");
            let error = played.failed();
            let misbehaved = Error::Login(LoginError::PeerMisbehaved(Misbehaviour::TransitUnasked));
            assert_eq!(error, misbehaved, "{flags} {pairs}");
        }
        // T=1 goes with the last CHAP item, and not before.
        let played = chap(Step::Method, good).configured(configure).run();
        played.logged_in();
        let flags: Vec<String> = played.requests().iter().map(|seen| seen.flags()).collect();
        assert_eq!(flags, ["0", "0", "0>1", "1>3"]);
    }
    // Not even when CHAP was a choice, and was chosen.
    let play = instead(Step::Method, "0>1", "AuthMethod=CHAP").configured(optional);
    assert_eq!(play.run().requests().len(), 1);
}

#[test]
fn b_ch_03_a_target_that_owes_its_proof_gets_no_further() {
    for flags in ["0>1", "0>3"] {
        let play = instead(Step::Proof, flags, "").configured(mutual);
        let played = play.run();
        assert_eq!(steps(&played).last(), Some(&Some(Step::Proof)), "{flags}");
        let failure = AuthenticationFailure::TargetNotProven;
        assert_eq!(played.failed(), Error::Login(LoginError::AuthFailed(failure)), "{flags}");
    }
    // It may take its time, and nothing more.
    let play = login(|seen| match Step::of(seen) {
        Some(Step::Proof) => seen.says("0", ""),
        None if seen.in_security_stage() => seen.says("0>1", ""),
        _ => good(seen),
    });
    fails(play.configured(mutual), 4, AuthenticationFailure::TargetNotProven);
}

#[test]
fn b_ch_04_a_proof_that_was_not_asked_for_fails_the_login() {
    for pairs in
        ["CHAP_N=target CHAP_R=0x77825b948206bd905d85ab8d82e93411", "CHAP_N=target", "CHAP_R=0x00"]
    {
        for flags in ["0>1", "0"] {
            let played = instead(Step::Proof, flags, pairs).configured(one_way).run();
            assert_eq!(played.requests().len(), 3, "{pairs}");
            match played.failed() {
                Error::Login(LoginError::PeerMisbehaved(Misbehaviour::Key {
                    problem: KeyProblem::OutOfStep,
                    ..
                })) => {}
                error => panic!("{pairs}: {error}"),
            }
        }
    }
}

#[test]
fn b_ch_05_our_own_response_is_no_proof() {
    for (algorithm, name) in [(5, "md5"), (6, "sha1"), (7, "sha256"), (8, "sha3-256")] {
        let play = login(move |seen| match Step::of(seen) {
            Some(Step::Challenge) => {
                seen.says("0", &format!("CHAP_A={algorithm} CHAP_I=1 CHAP_C=0x0001"))
            }
            Some(Step::Proof) => {
                let reflected = chap_script::right_response(seen, algorithm, OURS);
                seen.says("0>1", &format!("CHAP_N=target CHAP_R={reflected}"))
            }
            _ => good(seen),
        });
        let play = play.parameters(&[("chap_algorithms", name)]).configured(mutual);
        fails(play, 3, AuthenticationFailure::ResponseReflected);
    }
}

// --- secrets ---

/// The configuration is refused before anything is sent.
#[track_caller]
fn is_refused(play: Play, problem: ConfigurationError) {
    let played = play.run();
    assert!(played.requests().is_empty(), "{problem}: {:?}", played.conversation());
    assert_eq!(played.failed(), Error::Login(LoginError::ApiMisuse(problem)));
}

#[test]
fn b_ch_06_one_secret_for_both_directions_is_refused() {
    let same =
        || mutual_between(credentials(Some("user"), OURS), credentials(Some("target"), OURS));
    is_refused(chap(Step::Method, good).configured(same()), ConfigurationError::SameSecretBothWays);
}

#[test]
fn b_ch_07_a_secret_below_96_bits_is_refused_unless_it_is_allowed() {
    let short = b"elevenbytes";
    let one_way_with = |secret: &'static [u8]| {
        move |config: &mut SessionConfig| {
            let initiator = credentials(Some("user"), secret);
            config.login.authentication = Authentication::Chap { initiator, required: true };
        }
    };
    let play = chap(Step::Method, good).configured(one_way_with(short));
    is_refused(play, ConfigurationError::ShortSecret("initiator"));
    for (ours, theirs, whose) in [(&short[..], THEIRS, "initiator"), (OURS, short, "target")] {
        let (initiator, target) = (credentials(None, ours), credentials(None, theirs));
        let play = chap(Step::Method, good).configured(mutual_between(initiator, target));
        is_refused(play, ConfigurationError::ShortSecret(whose));
    }
    chap(Step::Method, good).configured(one_way_with(b"twelve bytes")).succeeds();
    let play = instead(Step::Challenge, "0", "CHAP_A=5 CHAP_I=1 CHAP_C=0x00");
    let allowed = play.parameters(&[("allow_short_secrets", "yes")]);
    let played = allowed.configured(one_way_with(short)).run();
    played.logged_in();
    assert_eq!(answer_of(&played, 1), Some(response(5, 1, short, &[0])));
}

#[test]
fn b_ch_08_secrets_hold_any_bytes_up_to_255() {
    let with_zero = [&[0, 255][..], &[1; 14]].concat();
    let longest: Vec<u8> = (1..=255).collect();
    for (secret, known) in [
        (with_zero, "0x1197eb124a66a7055ef63a8a7a4992af"),
        (longest, "0x45071d1275fb1f86f53225d9e679ed6c"),
        (vec![0; 16], ""),
        (vec![255; 16], ""),
    ] {
        let bytes: Vec<u8> = (0..16).collect();
        let expected = response(5, 7, &secret, &bytes);
        assert!(known.is_empty() || known == expected);
        let items = format!("CHAP_A=5 CHAP_I=7 CHAP_C={}", chap_script::hexadecimal(&bytes));
        let initiator = credentials(Some("user"), &secret);
        let play = instead(Step::Challenge, "0", &items).configured(move |config| {
            config.login.authentication = Authentication::Chap { initiator, required: true };
        });
        let played = play.run();
        played.logged_in();
        assert_eq!(answer_of(&played, 1), Some(expected), "{secret:?}");
    }
    assert!(Secret::new(&[1; 256]).is_err());
}

// --- encodings, lists, pieces ---

#[test]
fn b_ch_09_challenges_in_every_form() {
    for (text, bytes) in [
        ("0xdeadbeef", &b"\xde\xad\xbe\xef"[..]),
        ("0XDEADBEEF", b"\xde\xad\xbe\xef"),
        ("0xdEaDbEeF", b"\xde\xad\xbe\xef"),
        ("0b3q2+7w==", b"\xde\xad\xbe\xef"),
        ("0B3q2+7w==", b"\xde\xad\xbe\xef"),
        ("0b3q0=", b"\xde\xad"),
        ("0b3q2+", b"\xde\xad\xbe"),
        ("0b////", b"\xff\xff\xff"),
        ("0xf", b"\x0f"),
    ] {
        let items = format!("CHAP_A=5 CHAP_I=1 CHAP_C={text}");
        let played = instead(Step::Challenge, "0", &items).configured(one_way).run();
        played.logged_in();
        assert_eq!(answer_of(&played, 1), Some(response(5, 1, OURS, bytes)), "{text}");
    }
    for text in [
        "123456789",
        "18446744073709551616",
        "340282366920938463463374607431768211455",
        "deadbeef",
        "0xzz",
        "0x0g",
        "0xdead%beef",
        "0x0xde",
        "0b3q2+7w",
        "0b3q2+7w=",
        "0b3q2+7w===",
        "0b3q==7w==",
        "0b3q2-7w==",
        "0b3r0=AAAA",
        "0bAB==",
        "0b====",
        "0b*",
        "x",
    ] {
        let items = format!("CHAP_A=5 CHAP_I=1 CHAP_C={text}");
        let play = instead(Step::Challenge, "0", &items).configured(one_way);
        fails(play, 2, AuthenticationFailure::BadItem("CHAP_C"));
    }
}

#[test]
fn b_ch_10_the_offer_has_md5_and_nothing_that_is_not_there() {
    for configure in [one_way, mutual] {
        let played = chap(Step::Method, good).configured(configure).run();
        let offered = played.requests()[1].value("CHAP_A").unwrap();
        let numbers: Vec<u8> = offered.split(',').map(|number| number.parse().unwrap()).collect();
        assert_eq!(numbers, [8, 7, 6, 5]);
    }
    // Each of them is there.
    for algorithm in [5, 6, 7, 8] {
        let items = format!("CHAP_A={algorithm} CHAP_I=9 CHAP_C=0x0102");
        let play = chap(Step::Challenge, move |seen| seen.says("0", &items));
        let played = play.configured(one_way).run();
        played.logged_in();
        assert_eq!(answer_of(&played, 1), Some(response(algorithm, 9, OURS, &[1, 2])));
    }
}

#[test]
fn b_ch_12_items_come_in_one_response_of_any_number_of_pdus() {
    // C=1, cut anywhere: one text.
    let whole = text("CHAP_A=5 CHAP_I=1 CHAP_C=0x000102030405060708090a0b0c0d0e0f");
    for cut in 0..=whole.len() {
        let (head, tail) = (whole[..cut].to_vec(), whole[cut..].to_vec());
        let play = login(move |seen| match Step::of(seen) {
            Some(Step::Challenge) => seen.says_bytes("0+", &head),
            None if seen.in_security_stage() && seen.step == 2 => seen.says_bytes("0", &tail),
            _ => good(seen),
        });
        let played = play.configured(one_way).run();
        played.logged_in();
        let known = "0xb5acf4353f7f990cd7cd8a562f75712e";
        assert_eq!(answer_of(&played, 1).as_deref(), Some(known), "cut at {cut}");
        assert_eq!(steps(&played)[3], Some(Step::Proof), "not before all is there");
    }
    // Without C=1 the first response is the whole answer.
    for (first, missing) in [
        ("CHAP_A=5", "CHAP_I"),
        ("CHAP_A=5 CHAP_I=1", "CHAP_C"),
        ("CHAP_I=1 CHAP_C=0x00", "CHAP_A"),
        ("", "CHAP_A"),
    ] {
        let play = instead(Step::Challenge, "0", first).configured(one_way);
        fails(play, 2, AuthenticationFailure::Missing(missing));
    }
}

#[test]
fn b_ch_13_an_item_twice_in_one_response_fails_the_login() {
    let items = "CHAP_A=5 CHAP_I=1 CHAP_C=0x0001";
    for item in ["CHAP_A=5", "CHAP_I=1", "CHAP_C=0x0001", "CHAP_C=0x0002"] {
        let play = instead(Step::Challenge, "0", &format!("{items} {item}")).configured(one_way);
        let (key, _) = item.split_once('=').unwrap();
        assert_eq!(play.fails_over(key), KeyProblem::Repeated, "{item}");
    }
    for key in ["CHAP_N", "CHAP_R"] {
        let play = chap(Step::Proof, move |seen| {
            let proof = chap_script::proof(seen, "target", THEIRS);
            let item = proof.split(' ').find(|item| item.starts_with(key)).unwrap();
            seen.says("0>1", &format!("{proof} {item}"))
        });
        assert_eq!(play.configured(mutual).fails_over(key), KeyProblem::Repeated);
    }
}

// --- what must not leak ---

#[test]
fn b_ch_11_a_refusal_after_a_good_exchange_is_final_and_tells_no_secret() {
    let log = Log::of_this_thread();
    for configure in [one_way, mutual] {
        let play = chap(Step::Proof, |seen| seen.ends(2, 1)).configured(configure);
        let played = play.run();
        let state = format!("{:?}", played.pair.isboot);
        assert_eq!(played.requests().len(), 3);
        let error = played.failed();
        assert_eq!(error, Error::Login(LoginError::Rejected { class: 2, detail: 1 }));
        let said = format!("{state} {error} {error:?} {}", log.said());
        assert!(said.contains("authentication failed"), "{said}");
        for secret in [OURS, THEIRS] {
            let plain = std::str::from_utf8(secret).unwrap();
            let hexadecimal = chap_script::hexadecimal(secret);
            let shown =
                [plain, &hexadecimal[2..], &format!("{secret:?}"), &format!("{secret:02x?}")];
            for secret in shown {
                assert!(!said.to_lowercase().contains(&secret.to_lowercase()), "{secret}: {said}");
            }
        }
    }
}

/// What is logged in this thread.
struct Log;

thread_local! {
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

impl Log {
    fn of_this_thread() -> Self {
        // Another test's thread may have been first.
        let _ = log::set_logger(&Log);
        log::set_max_level(log::LevelFilter::Trace);
        SAID.with_borrow_mut(String::clear);
        Self
    }

    fn said(&self) -> String {
        SAID.with_borrow(Clone::clone)
    }
}

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        SAID.with_borrow_mut(|said| *said += &format!("{}\n", record.args()));
    }

    fn flush(&self) {}
}

/// What a peer sends is compared as secrets are, and that takes the same time wherever the
/// difference is.
#[test]
fn b_ch_14_a_comparison_takes_the_same_time_wherever_the_difference_is() {
    // Every place is looked at …
    for (at, bit) in (0..16).flat_map(|at| [(at, 1), (at, 0x80)]) {
        let play = chap(Step::Proof, move |seen| {
            let mut wrong = chap_script::bytes(&chap_script::right_response(seen, 5, THEIRS));
            wrong[at] ^= bit;
            let wrong = chap_script::hexadecimal(&wrong);
            seen.says("0>1", &format!("CHAP_N=target CHAP_R={wrong}"))
        });
        fails(play.configured(mutual), 3, AuthenticationFailure::TargetResponse);
    }
    // … and none of them ends it.
    let secret = |change: Option<usize>| {
        let mut bytes = [0x5a; Secret::MAX_LENGTH];
        if let Some(at) = change {
            bytes[at] ^= 1;
        }
        Secret::new(&bytes).unwrap()
    };
    let right = secret(None);
    let [first, last] = [0, Secret::MAX_LENGTH - 1].map(|at| {
        let wrong = secret(Some(at));
        // The least of many is free of what else the machine does.
        let times = (0..200).map(|_| {
            let begin = Instant::now();
            for _ in 0..50 {
                assert!(std::hint::black_box(&right) != std::hint::black_box(&wrong));
            }
            begin.elapsed()
        });
        times.min().unwrap_or(Duration::MAX)
    });
    // An early exit is faster by two orders of magnitude.
    assert!(first * 3 > last && last * 3 > first, "{first:?} and {last:?}");
}

#[test]
fn b_ch_15_every_recovery_has_a_challenge_and_an_identifier_of_its_own() {
    let target = target_with_both_secrets();
    let sent = shared(Vec::new());
    let noted = sent.clone();
    target.on_request(move |_, pdu| {
        let text = String::from_utf8_lossy(&pdu.data).into_owned();
        let value =
            |key: &str| text.split('\0').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        if let (Some(identifier), Some(challenge)) = (value("CHAP_I"), value("CHAP_C")) {
            noted.lock().unwrap().push((identifier.to_owned(), challenge.to_owned()));
        }
        Handling::Proceed
    });
    let setting = Setting::new(&[("outage_limit", "3600")]);
    let mut pair = Pair::configured(&target, &setting, |config| {
        mutual_between(credentials(Some("user"), OURS), credentials(Some("target"), THEIRS))(
            config,
        );
    });
    pair.become_ready();
    for _ in 0..100 {
        pair.wire.break_now(Break::Reset);
        pair.read(0, 0, 512).unwrap();
    }
    pair.log_out();
    let sent = sent.lock().unwrap();
    assert_eq!(sent.len(), 101);
    for (place, (identifier, challenge)) in sent.iter().enumerate() {
        // The half that is fresh; the other half is made of it.
        let fresh = &challenge[..2 + 32];
        let earlier = &sent[..place];
        assert!(earlier.iter().all(|(_, other)| !other.starts_with(fresh)), "{place}: {fresh}");
        if let Some((before, _)) = earlier.last() {
            assert_ne!(identifier, before, "{place}");
        }
    }
    let last = target.statistics().last_login.unwrap();
    assert!(last.mutual_chap);
}

fn target_with_both_secrets() -> Target {
    target().mutual_chap(Credentials::new("user", OURS), Credentials::new("target", THEIRS)).build()
}

// --- discovery ---

#[test]
fn b_ch_16_a_discovery_proves_who_asks_with_credentials_of_its_own() {
    let ours = || Credentials::new("user", OURS);
    let theirs = || Credentials::new("target", THEIRS);
    let find = |target: &Target, configure: fn(&mut SessionConfig)| {
        let mut pair = DiscoveryPair::configured(target, SendTargets::All, configure);
        let outcome = pair.finish();
        assert_eq!(outcome.is_ok(), pair.found.len() == 1, "{outcome:?}");
        (outcome, target.statistics().connections)
    };
    let one_sided = target().chap(ours()).build();
    assert!(matches!(find(&one_sided, one_way), (Ok(_), 1)));
    let both_sided = target().mutual_chap(ours(), theirs()).build();
    assert!(matches!(find(&both_sided, mutual), (Ok(_), 1)));
    // Those of the Normal session are not taken by themselves, and nothing goes on without.
    for configure in [
        |_: &mut SessionConfig| {},
        |config: &mut SessionConfig| {
            let initiator = credentials(Some("user"), b"anothersecret123");
            config.login.authentication = Authentication::Chap { initiator, required: true };
        },
    ] {
        let (outcome, connections) = find(&target().chap(ours()).build(), configure);
        assert!(matches!(outcome, Err(Error::Login(_))), "{outcome:?}");
        assert!(connections <= 4, "{connections} attempts with what will never do");
    }
}
