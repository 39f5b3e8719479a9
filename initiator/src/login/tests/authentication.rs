//! CHAP against scripted targets (RFC 7143 §9.2, §12.1). The responses in the scripts were
//! computed with Python's hashlib.

use super::*;

const SECRET: &[u8] = b"initiatorsecret1";
const TARGET_SECRET: &[u8] = b"targetsecret0002";

/// 00h..0Fh with identifier 1.
const CHALLENGE: &str = "CHAP_A=5 CHAP_I=1 CHAP_C=0x000102030405060708090a0b0c0d0e0f";
const ANSWER: &str = "CHAP_N=user CHAP_R=0xb5acf4353f7f990cd7cd8a562f75712e";
/// [`ANSWER`], and the challenge that [`entropy`] makes.
const MUTUAL_ANSWER: &str = "CHAP_N=user CHAP_R=0xb5acf4353f7f990cd7cd8a562f75712e \
     CHAP_I=42 CHAP_C=0x101112131415161718191a1b1c1d1e1f13d2efc39693408940472a8f75787e3d";
const PROOF: &str = "CHAP_N=target CHAP_R=0x77825b948206bd905d85ab8d82e93411";

pub(super) fn credentials(name: &str, secret: &[u8]) -> Credentials {
    Credentials { name: Some(name.try_into().unwrap()), secret: Secret::new(secret).unwrap() }
}

fn chap(required: bool) -> LoginConfig {
    let initiator = credentials("user", SECRET);
    LoginConfig { authentication: Authentication::Chap { initiator, required }, ..plain() }
}

/// `config` with these algorithms alone.
fn with(algorithms: &str, config: LoginConfig) -> LoginConfig {
    LoginConfig { chap_algorithms: algorithms.parse().unwrap(), ..config }
}

fn mutual() -> LoginConfig {
    let initiator = credentials("user", SECRET);
    let target = credentials("target", TARGET_SECRET);
    LoginConfig { authentication: Authentication::MutualChap { initiator, target }, ..plain() }
}

/// CHAP is chosen, CHAP_A offered.
fn at_challenge(config: LoginConfig) -> Rig {
    let mut rig = Rig::new(config);
    offers(&mut rig, "8,7,6,5");
    rig
}

/// The target chooses CHAP, and gets exactly this offer.
#[track_caller]
fn offers(rig: &mut Rig, numbers: &str) {
    rig.goes_on("0", "TargetPortalGroupTag=1 AuthMethod=CHAP");
    rig.sends("0", &format!("CHAP_A={numbers}"));
}

/// The initiator has proven itself and waits for the target to.
fn at_proof() -> Rig {
    let mut rig = at_challenge(mutual());
    rig.goes_on("0", CHALLENGE);
    rig.sends("0>1", MUTUAL_ANSWER);
    rig
}

fn failed(failure: AuthenticationFailure) -> Result<LoginProgress, LoginError> {
    Err(LoginError::AuthFailed(failure))
}

#[test]
fn the_offer_lists_only_what_is_configured() {
    for (config, flags, offer) in [
        (plain(), "0>1", "AuthMethod=None"),
        (chap(true), "0", "AuthMethod=CHAP"),
        (chap(false), "0", "AuthMethod=CHAP,None"),
        (mutual(), "0", "AuthMethod=CHAP"),
    ] {
        let (sent_flags, sent) = Rig::new(config).request();
        assert_eq!(sent_flags, flags);
        assert!(sent.ends_with(offer), "{sent}");
    }
}

#[test]
fn one_way_chap() {
    let mut rig = at_challenge(chap(true));
    rig.goes_on("0", CHALLENGE);
    rig.sends("0>1", ANSWER);
    rig.goes_on("0>1", "");
    rig.sends("1>3", OFFER);
}

#[test]
fn mutual_chap() {
    let mut rig = at_proof();
    rig.goes_on("0>1", PROOF);
    rig.sends("1>3", OFFER);
}

#[test]
fn the_target_may_prove_itself_before_it_changes_stage() {
    let mut rig = at_proof();
    rig.goes_on("0", "");
    rig.sends("0>1", "");
    rig.goes_on("0", PROOF);
    rig.sends("0>1", "");
    rig.goes_on("0>1", "");
    rig.sends("1>3", OFFER);
}

#[test]
fn the_initiator_name_stands_in_for_a_chap_name() {
    let mut config = chap(true);
    config.authentication = Authentication::Chap {
        initiator: Credentials { name: None, secret: Secret::new(SECRET).unwrap() },
        required: true,
    };
    let mut rig = at_challenge(config);
    rig.goes_on("0", CHALLENGE);
    rig.sends(
        "0>1",
        "CHAP_N=iqn.2026-01.org.example:boot CHAP_R=0xb5acf4353f7f990cd7cd8a562f75712e",
    );
}

#[test]
fn challenges_and_identifiers_of_every_form() {
    let long = "a5".repeat(1024);
    let base64 = format!("{}pQ==", "paWl".repeat(341));
    for (identifier, challenge, response) in [
        ("1", "0x000102030405060708090a0b0c0d0e0f", "b5acf4353f7f990cd7cd8a562f75712e"),
        ("0x1", "0X000102030405060708090A0B0C0D0E0F", "b5acf4353f7f990cd7cd8a562f75712e"),
        ("0x01", "0bAAECAwQFBgcICQoLDA0ODw==", "b5acf4353f7f990cd7cd8a562f75712e"),
        ("1", "0BAAECAwQFBgcICQoLDA0ODw==", "b5acf4353f7f990cd7cd8a562f75712e"),
        ("0", "0x000102030405060708090a0b0c0d0e0f", "75d80c23e196294382a4ec09a4aa50da"),
        ("0xff", "0x000102030405060708090a0b0c0d0e0f", "423d21c44bda6bc4ce3c6bec346c5590"),
        ("255", &format!("0x{long}"), "14a18dd0acb2e1eecfab36cfc55172d4"),
        ("255", &format!("0b{base64}"), "14a18dd0acb2e1eecfab36cfc55172d4"),
        ("0", "0x00", "572f9813e6a1b0e08e94a609ffc7c514"),
        ("1", "0x123", "11e3766c84fc4e0aaa3f48665e5495d9"),
        ("1", "0x1", "8d1aedf1f5fec49685683db7cd8886a6"),
    ] {
        let mut rig = at_challenge(chap(true));
        rig.goes_on("0", &format!("CHAP_A=5 CHAP_I={identifier} CHAP_C={challenge}"));
        rig.sends("0>1", &format!("CHAP_N=user CHAP_R=0x{response}"));
    }
}

#[test]
fn secrets_hold_any_bytes_up_to_255() {
    let with_zero = [&[0, 255][..], &[1; 14]].concat();
    let longest: Vec<u8> = (1..=255).collect();
    for (secret, response) in [
        (with_zero, "1197eb124a66a7055ef63a8a7a4992af"),
        (longest, "45071d1275fb1f86f53225d9e679ed6c"),
    ] {
        let mut config = plain();
        config.authentication =
            Authentication::Chap { initiator: credentials("user", &secret), required: true };
        let mut rig = at_challenge(config);
        rig.goes_on("0", "CHAP_A=5 CHAP_I=7 CHAP_C=0x000102030405060708090a0b0c0d0e0f");
        rig.sends("0>1", &format!("CHAP_N=user CHAP_R=0x{response}"));
    }
    assert_eq!(Secret::new(b""), Err(SecretError::Empty));
    assert_eq!(Secret::new(&[1; 256]), Err(SecretError::TooLong(256)));
    assert!(Secret::new(&[1; 11]).unwrap().is_short());
    assert!(!Secret::new(&[1; 12]).unwrap().is_short());
}

/// Number, name, answer to [`CHALLENGE`], proof for the challenge that [`entropy`] makes, and what
/// the initiator's own secret would make of that.
const ALGORITHMS: [(&str, &str, &str, &str, &str); 4] = [
    (
        "5",
        "md5",
        "b5acf4353f7f990cd7cd8a562f75712e",
        "77825b948206bd905d85ab8d82e93411",
        "24a68e7acabe620bc360803a8117e709",
    ),
    (
        "6",
        "sha1",
        "4ca3d4bb072c577b7036ab463e4291fbb2954f47",
        "b41585cbfc0a26d131865d59dc357a6e114ec419",
        "8252ee79f12792d33a7cc7dda11246371e2b5a05",
    ),
    (
        "7",
        "sha256",
        "37c56179e222cc9dad13a34ee4d2866f957e1eb8185c4e072a067a17ba0abf6c",
        "7939a2297061947651d27e579f380770a89690c863f9df0d7b2e42b8b0cbd10c",
        "59754a30507eb2af0465ce8403478ad8bdaab80ea90314d95294f11c05cd5e08",
    ),
    (
        "8",
        "sha3-256",
        "cbb852f9f94c5d7d76182e26c5245834944ae665db9b8586cf44c13e7da4b340",
        "38b465ee4bc53ccf60470bc43c8c342cfa0013fa2a46c516fee3b296278570c4",
        "1919859b4e3fa20b64743d4713f68b67629cd40b9693228b9129c9229a409d67",
    ),
];

#[test]
fn every_algorithm_answers_and_is_verified() {
    for (number, _, answer, proof, reflected) in ALGORITHMS {
        let challenge = CHALLENGE.replace("CHAP_A=5", &format!("CHAP_A={number}"));
        let mut rig = at_challenge(chap(true));
        rig.goes_on("0", &challenge);
        rig.sends("0>1", &format!("CHAP_N=user CHAP_R=0x{answer}"));

        let at_proof = || {
            let mut rig = at_challenge(mutual());
            rig.goes_on("0", &challenge);
            rig
        };
        let (_, own) = MUTUAL_ANSWER.split_once(" CHAP_I").unwrap();
        at_proof().sends("0>1", &format!("CHAP_N=user CHAP_R=0x{answer} CHAP_I{own}"));
        let mut rig = at_proof();
        rig.goes_on("0>1", &format!("CHAP_N=target CHAP_R=0x{proof}"));
        rig.sends("1>3", OFFER);
        let outcome = at_proof().answers("0>1", &format!("CHAP_N=target CHAP_R=0x{reflected}"));
        assert_eq!(outcome, failed(AuthenticationFailure::ResponseReflected));
        // What another algorithm makes of the right secret, or the right response cut short.
        let others = ALGORITHMS.iter().filter(|(other, ..)| *other != number);
        for wrong in others.map(|(.., proof, _)| *proof).chain([&proof[..proof.len() - 2]]) {
            let outcome = at_proof().answers("0>1", &format!("CHAP_N=target CHAP_R=0x{wrong}"));
            assert_eq!(outcome, failed(AuthenticationFailure::TargetResponse), "{number} {wrong}");
        }
    }
}

#[test]
fn the_policy_says_which_algorithms_are_offered() {
    for (algorithms, numbers) in [
        ("sha3-256,sha256,sha1,md5", "8,7,6,5"),
        ("md5,sha256", "5,7"),
        ("sha256,sha3-256", "7,8"),
        ("sha1", "6"),
    ] {
        offers(&mut Rig::new(with(algorithms, chap(true))), numbers);
    }
}

#[test]
fn an_algorithm_that_was_not_offered_is_refused() {
    let refused = |mut rig: Rig, algorithm: &str| {
        let items = CHALLENGE.replace("CHAP_A=5", &format!("CHAP_A={algorithm}"));
        let outcome = rig.answers("0", &items);
        assert_eq!(key_error(outcome), ("CHAP_A", KeyProblem::NotOffered), "{algorithm}");
    };
    for algorithm in
        ["0", "4", "9", "255", "261", "4294967301", "MD5", "", "5,6", "8,7,6,5", "05", "5%"]
    {
        refused(at_challenge(chap(true)), algorithm);
    }
    // Known, and not wanted.
    for (number, name, ..) in ALGORITHMS {
        for (other, ..) in ALGORITHMS.iter().filter(|(other, ..)| *other != number) {
            let mut rig = Rig::new(with(name, chap(true)));
            offers(&mut rig, number);
            refused(rig, other);
        }
    }
    // Nor does one come back that was in the list before.
    let mut rig = at_challenge(chap(true));
    assert_eq!(ends(&mut rig, 2, 1), Ok(LoginProgress::TryAgain));
    rig.login.begin(&rig.config, None).unwrap();
    offers(&mut rig, "8");
    refused(rig, "5");
}

/// The target ends the login with this status.
fn ends(rig: &mut Rig, class: u8, detail: u8) -> Result<LoginProgress, LoginError> {
    let status = LoginResponse { status_class: class, status_detail: detail, ..response("0") };
    rig.answers_bytes(status, b"")
}

#[test]
fn a_target_that_takes_no_list_gets_one_algorithm_a_try() {
    type Refusal = fn(&mut Rig) -> Option<Result<LoginProgress, LoginError>>;
    let rejected = |detail| Err(LoginError::Rejected { class: 2, detail });
    let refusals: [(Refusal, _); 5] = [
        (|rig| Some(ends(rig, 2, 0)), rejected(0)),
        (|rig| Some(ends(rig, 2, 1)), rejected(1)),
        (|rig| Some(ends(rig, 2, 11)), rejected(11)),
        (
            |rig| Some(rig.answers("0", "CHAP_A=Reject")),
            failed(AuthenticationFailure::AlgorithmRejected),
        ),
        // The connection is closed without an answer.
        (|_| None, Ok(LoginProgress::TryAgain)),
    ];
    for (refuse, last) in refusals {
        let mut rig = at_challenge(chap(true));
        for number in ["8", "7", "6", "5"] {
            let outcome = refuse(&mut rig);
            assert!(outcome.is_none_or(|outcome| outcome == Ok(LoginProgress::TryAgain)));
            rig.login.begin(&rig.config, None).unwrap();
            offers(&mut rig, number);
        }
        // The last one's refusal is an error; a later login starts from the list.
        assert_eq!(refuse(&mut rig).unwrap_or_else(|| last.clone()), last);
        rig.login.begin(&rig.config, None).unwrap();
        offers(&mut rig, "8,7,6,5");
    }
}

#[test]
fn only_what_is_acceptable_is_tried() {
    let mut rig = Rig::new(with("sha256,sha1", mutual()));
    offers(&mut rig, "7,6");
    for (attempt, number) in (1..).zip(["7", "6"]) {
        assert_eq!(ends(&mut rig, 2, 1), Ok(LoginProgress::TryAgain));
        rig.login.begin(&rig.config, Some(&entropy_of(attempt))).unwrap();
        offers(&mut rig, number);
    }
    let refused = Err(LoginError::Rejected { class: 2, detail: 1 });
    assert_eq!(ends(&mut rig, 2, 1), refused);
    // With one algorithm there is nothing else to try.
    let mut rig = Rig::new(with("sha3-256", chap(true)));
    offers(&mut rig, "8");
    assert_eq!(ends(&mut rig, 2, 1), refused);
}

#[test]
fn a_refusal_of_something_else_is_no_refusal_of_the_list() {
    for (class, detail) in [(2, 2), (2, 3), (2, 6), (2, 9), (3, 0), (3, 1)] {
        let mut rig = at_challenge(chap(true));
        let outcome = ends(&mut rig, class, detail);
        assert_eq!(outcome, Err(LoginError::Rejected { class, detail }));
        rig.login.begin(&rig.config, None).unwrap();
        offers(&mut rig, "8,7,6,5");
    }
    // Before the offer, and after the answer: a wrong secret.
    let refused = Err(LoginError::Rejected { class: 2, detail: 1 });
    assert_eq!(ends(&mut Rig::new(chap(true)), 2, 1), refused);
    let mut rig = at_challenge(chap(true));
    rig.goes_on("0", CHALLENGE);
    assert_eq!(ends(&mut rig, 2, 1), refused);
}

/// tgt and IET take 7 for SHA1: the response is too long for them, which is an error of its own.
#[test]
fn a_target_that_misreads_sha256_gets_md5() {
    let misread = |rig: &mut Rig| {
        rig.goes_on("0", &CHALLENGE.replace("CHAP_A=5", "CHAP_A=7"));
        ends(rig, 2, 0)
    };
    for config in [chap(true), mutual()] {
        let mut rig = at_challenge(config);
        assert_eq!(misread(&mut rig), Ok(LoginProgress::TryAgain));
        rig.login.begin(&rig.config, Some(&entropy_of(1))).unwrap();
        offers(&mut rig, "5");
        // Nothing follows it, and a later login starts from the list.
        let refused = Err(LoginError::Rejected { class: 2, detail: 1 });
        assert_eq!(ends(&mut rig, 2, 1), refused);
        rig.login.begin(&rig.config, Some(&entropy_of(2))).unwrap();
        offers(&mut rig, "8,7,6,5");
    }
    // A login by MD5 is remembered.
    let mut rig = at_challenge(chap(true));
    assert_eq!(misread(&mut rig), Ok(LoginProgress::TryAgain));
    for _ in 0..2 {
        rig.login.begin(&rig.config, None).unwrap();
        offers(&mut rig, "5");
        rig.goes_on("0", CHALLENGE);
        rig.goes_on("0>1", "");
        logged_in(rig.answers("1>3", ACCEPT));
    }
    // A wrong answer is no misread one, and MD5 is not tried when it is not acceptable.
    let refused = |detail| Err(LoginError::Rejected { class: 2, detail });
    let mut rig = at_challenge(chap(true));
    rig.goes_on("0", &CHALLENGE.replace("CHAP_A=5", "CHAP_A=7"));
    assert_eq!(ends(&mut rig, 2, 1), refused(1));
    let mut rig = at_challenge(chap(true));
    rig.goes_on("0", &CHALLENGE.replace("CHAP_A=5", "CHAP_A=8"));
    assert_eq!(ends(&mut rig, 2, 0), refused(0));
    let mut rig = Rig::new(with("sha3-256,sha256,sha1", chap(true)));
    offers(&mut rig, "8,7,6");
    assert_eq!(misread(&mut rig), refused(0));
}

#[test]
fn the_algorithm_of_a_login_is_offered_alone_by_the_next() {
    let mut rig = at_challenge(chap(true));
    for number in ["8", "7"] {
        assert_eq!(ends(&mut rig, 2, 1), Ok(LoginProgress::TryAgain));
        rig.login.begin(&rig.config, None).unwrap();
        offers(&mut rig, number);
    }
    rig.goes_on("0", &CHALLENGE.replace("CHAP_A=5", "CHAP_A=7"));
    rig.goes_on("0>1", "");
    logged_in(rig.answers("1>3", ACCEPT));
    rig.login.begin(&rig.config, None).unwrap();
    offers(&mut rig, "7");
    // The target has changed: from the list on.
    assert_eq!(ends(&mut rig, 2, 1), Ok(LoginProgress::TryAgain));
    rig.login.begin(&rig.config, None).unwrap();
    offers(&mut rig, "8,7,6,5");
}

#[test]
fn identifiers_are_not_cut_to_eight_bits() {
    for identifier in ["256", "-1", "abc", "", "4294967297", "0x100", "1.0"] {
        let items = CHALLENGE.replace("CHAP_I=1", &format!("CHAP_I={identifier}"));
        let outcome = at_challenge(chap(true)).answers("0", &items);
        assert_eq!(outcome, failed(AuthenticationFailure::BadItem("CHAP_I")), "{identifier}");
    }
}

/// CVE-2021-38575: the hex decoder did not know how long its buffer was.
#[test]
fn challenges_that_cannot_be_read_are_refused() {
    let above = "a5".repeat(1025);
    let far_above = "a5".repeat(3000);
    let base64 = "paWl".repeat(342);
    for challenge in [
        "",
        "0x",
        "0b",
        "1",
        "123456789",
        "0xzz",
        "0x0g",
        "0b*",
        "0bAA",
        "abcd",
        &format!("0x{above}"),
        &format!("0x{far_above}"),
        &format!("0b{base64}"),
    ] {
        let items = format!("CHAP_A=5 CHAP_I=1 CHAP_C={challenge}");
        let outcome = at_challenge(chap(true)).answers("0", &items);
        assert_eq!(outcome, failed(AuthenticationFailure::BadItem("CHAP_C")), "{challenge}");
    }
}

#[test]
fn items_missing_from_the_challenge_are_named() {
    for (items, missing) in [
        ("", "CHAP_A"),
        ("CHAP_I=1 CHAP_C=0x00", "CHAP_A"),
        ("CHAP_A=5 CHAP_C=0x00", "CHAP_I"),
        ("CHAP_A=5 CHAP_I=1", "CHAP_C"),
    ] {
        let outcome = at_challenge(chap(true)).answers("0", items);
        assert_eq!(outcome, failed(AuthenticationFailure::Missing(missing)), "{items}");
    }
}

#[test]
fn items_out_of_step_are_refused() {
    let out_of_step = |outcome, key| {
        assert_eq!(key_error(outcome), (key, KeyProblem::OutOfStep));
    };
    // Step 1: the answer to AuthMethod.
    for (pair, key) in [
        ("CHAP_A=5", "CHAP_A"),
        ("CHAP_I=1", "CHAP_I"),
        ("CHAP_C=0x00", "CHAP_C"),
        ("CHAP_N=a", "CHAP_N"),
    ] {
        let mut rig = Rig::new(chap(true));
        out_of_step(rig.answers("0", &format!("AuthMethod=CHAP {pair}")), key);
    }
    // Step 2: the challenge.
    for (pair, key) in [("CHAP_N=a", "CHAP_N"), ("CHAP_R=0x00", "CHAP_R")] {
        let mut rig = at_challenge(mutual());
        out_of_step(rig.answers("0", &format!("{CHALLENGE} {pair}")), key);
    }
    // Step 3: the proof.
    for (pair, key) in [("CHAP_A=5", "CHAP_A"), ("CHAP_I=1", "CHAP_I"), ("CHAP_C=0x00", "CHAP_C")] {
        out_of_step(at_proof().answers("0>1", &format!("{PROOF} {pair}")), key);
    }
    // Nothing was asked of the target.
    let mut rig = at_challenge(chap(true));
    rig.goes_on("0", CHALLENGE);
    out_of_step(rig.answers("0>1", PROOF), "CHAP_N");
    // No CHAP at all, and other methods' items.
    out_of_step(
        Rig::new(plain()).answers("0>1", &format!("AuthMethod=None {CHALLENGE}")),
        "CHAP_A",
    );
    let mut rig = Rig::new(chap(true));
    out_of_step(rig.answers("0", "AuthMethod=CHAP SRP_s=0x00"), "Kerberos or SRP key");
}

#[test]
fn an_item_twice_is_refused() {
    let outcome = at_challenge(chap(true)).answers("0", &format!("{CHALLENGE} CHAP_C=0x00"));
    assert_eq!(key_error(outcome), ("CHAP_C", KeyProblem::Repeated));
    let mut rig = at_challenge(chap(true));
    let outcome = rig.answers("0", &format!("AuthMethod=CHAP {CHALLENGE}"));
    assert_eq!(key_error(outcome), ("AuthMethod", KeyProblem::OutOfStep));
}

#[test]
fn chap_in_the_operational_stage_is_refused() {
    for pair in ["CHAP_A=5", "AuthMethod=None", "CHAP_R=0x00"] {
        let outcome = operational(plain()).answers("1", pair);
        assert_eq!(key_error(outcome).1, KeyProblem::WrongStage, "{pair}");
    }
}

#[test]
fn a_method_that_was_not_offered_is_refused() {
    for (config, methods) in [
        (plain(), &["CHAP", "SRP", "bogus", "none", "", "None,CHAP", "KRB5"][..]),
        (chap(true), &["None", "SRP", "bogus", "CHAP,None", "chap"]),
        (mutual(), &["None", "SRP"]),
    ] {
        for method in methods {
            let outcome = Rig::new(config.clone()).answers("0", &format!("AuthMethod={method}"));
            assert_eq!(key_error(outcome), ("AuthMethod", KeyProblem::NotOffered), "{method}");
        }
    }
}

#[test]
fn a_rejected_method_says_who_wants_what() {
    let outcome = Rig::new(plain()).answers("0", "AuthMethod=Reject");
    assert_eq!(outcome, failed(AuthenticationFailure::ChapDemanded));
    for config in [chap(true), chap(false), mutual()] {
        let outcome = Rig::new(config).answers("0", "AuthMethod=Reject");
        assert_eq!(outcome, failed(AuthenticationFailure::MethodRejected));
    }
}

#[test]
fn required_chap_cannot_be_passed_over_in_silence() {
    for config in [chap(true), mutual()] {
        let outcome = Rig::new(config).answers("0", "TargetPortalGroupTag=1");
        assert_eq!(outcome, failed(AuthenticationFailure::MethodNotChosen));
    }
    // T=1 was never sent before the last CHAP item, so it cannot be granted.
    for answer in ["", "AuthMethod=CHAP"] {
        let outcome = Rig::new(chap(true)).answers("0>1", answer);
        assert_eq!(outcome, Err(LoginError::PeerMisbehaved(Misbehaviour::TransitUnasked)));
    }
    let outcome = at_challenge(chap(true)).answers("0>1", CHALLENGE);
    assert_eq!(outcome, Err(LoginError::PeerMisbehaved(Misbehaviour::TransitUnasked)));
}

#[test]
fn optional_chap_goes_on_without_it() {
    let mut rig = Rig::new(chap(false));
    rig.goes_on("0", "AuthMethod=None");
    rig.sends("0>1", "");
    rig.goes_on("0>1", "");
    rig.sends("1>3", OFFER);
    // A target that does not answer the key at all.
    let mut rig = Rig::new(chap(false));
    rig.goes_on("0", "");
    rig.sends("0>1", "");
    rig.goes_on("0>1", "");
    rig.sends("1>3", OFFER);
    // A target that answers it late.
    let mut rig = Rig::new(chap(false));
    rig.goes_on("0", "TargetPortalGroupTag=1");
    rig.goes_on("0", "AuthMethod=CHAP");
    rig.sends("0", "CHAP_A=8,7,6,5");
    rig.goes_on("0", CHALLENGE);
    rig.sends("0>1", ANSWER);
}

#[test]
fn a_late_choice_of_chap_cannot_skip_its_steps() {
    let mut rig = Rig::new(chap(false));
    rig.goes_on("0", "");
    let outcome = rig.answers("0>1", "AuthMethod=CHAP");
    assert_eq!(outcome, failed(AuthenticationFailure::MethodNotChosen));
}

#[test]
fn a_target_that_does_not_prove_itself_is_left() {
    assert_eq!(at_proof().answers("0>1", ""), failed(AuthenticationFailure::TargetNotProven));
    let outcome = at_proof().answers("0>1", "CHAP_N=target");
    assert_eq!(outcome, failed(AuthenticationFailure::Missing("CHAP_R")));
    let response = PROOF.split_once(' ').unwrap().1;
    let outcome = at_proof().answers("0>1", response);
    assert_eq!(outcome, failed(AuthenticationFailure::Missing("CHAP_N")));
}

#[test]
fn a_wrong_proof_is_refused() {
    for (response, failure) in [
        // First bit, last bit.
        ("0xf7825b948206bd905d85ab8d82e93411", AuthenticationFailure::TargetResponse),
        ("0x77825b948206bd905d85ab8d82e93410", AuthenticationFailure::TargetResponse),
        // One byte short, one byte more, far more.
        ("0x77825b948206bd905d85ab8d82e934", AuthenticationFailure::TargetResponse),
        ("0x77825b948206bd905d85ab8d82e9341100", AuthenticationFailure::TargetResponse),
        ("0x0077825b948206bd905d85ab8d82e93411", AuthenticationFailure::TargetResponse),
        (&format!("0x{}", "14".repeat(1025)), AuthenticationFailure::TargetResponse),
        ("0x", AuthenticationFailure::BadItem("CHAP_R")),
        ("", AuthenticationFailure::BadItem("CHAP_R")),
        ("77825b948206bd905d85ab8d82e93411", AuthenticationFailure::BadItem("CHAP_R")),
        // MD5(42, the initiator's own secret, the initiator's challenge).
        ("0x24a68e7acabe620bc360803a8117e709", AuthenticationFailure::ResponseReflected),
    ] {
        let outcome = at_proof().answers("0>1", &format!("CHAP_N=target CHAP_R={response}"));
        assert_eq!(outcome, failed(failure), "{response}");
    }
}

#[test]
fn the_target_name_is_compared_when_configured() {
    let other = PROOF.replace("CHAP_N=target", "CHAP_N=other");
    assert_eq!(at_proof().answers("0>1", &other), failed(AuthenticationFailure::TargetName));
    let own = PROOF.replace("CHAP_N=target", "CHAP_N=user");
    assert_eq!(at_proof().answers("0>1", &own), failed(AuthenticationFailure::TargetName));

    let any_name = || {
        let mut config = mutual();
        if let Authentication::MutualChap { target, .. } = &mut config.authentication {
            target.name = None;
        }
        let mut rig = at_challenge(config);
        rig.goes_on("0", CHALLENGE);
        rig
    };
    any_name().goes_on("0>1", &other);
    any_name().goes_on("0>1", &PROOF.replace("target", &"n".repeat(255)));
    for name in [String::new(), "n".repeat(256), "n".repeat(4096)] {
        let outcome = any_name().answers("0>1", &PROOF.replace("target", &name));
        assert_eq!(outcome, failed(AuthenticationFailure::BadItem("CHAP_N")));
    }
}

#[test]
fn chap_names_of_1_and_255_bytes_go_through() {
    for name in ["n".to_string(), "n".repeat(255)] {
        let mut config = mutual();
        config.authentication = Authentication::MutualChap {
            initiator: credentials(&name, SECRET),
            target: credentials(&name, TARGET_SECRET),
        };
        let mut rig = at_challenge(config);
        rig.goes_on("0", CHALLENGE);
        rig.sends("0>1", &MUTUAL_ANSWER.replace("CHAP_N=user", &format!("CHAP_N={name}")));
        rig.goes_on("0>1", &PROOF.replace("CHAP_N=target", &format!("CHAP_N={name}")));
    }
}

#[test]
fn our_own_challenge_sent_back_is_refused() {
    let reflected = "CHAP_A=5 CHAP_I=1 CHAP_C=0x101112131415161718191a1b1c1d1e1f13d2efc39693408940472a8f75787e3d";
    let outcome = at_challenge(mutual()).answers("0", reflected);
    assert_eq!(outcome, failed(AuthenticationFailure::ChallengeReflected));
}

/// The challenge of one connection, handed back on a later one of the same session.
#[test]
fn an_earlier_challenge_sent_back_is_refused() {
    let mut rig = at_proof();
    rig.login.begin(&rig.config, Some(&entropy_of(7))).unwrap();
    rig.goes_on("0", "AuthMethod=CHAP");
    let outcome = rig.answers("0", "CHAP_A=5 CHAP_I=1 CHAP_C=0x101112131415161718191a1b1c1d1e1f13d2efc39693408940472a8f75787e3d");
    assert_eq!(outcome, failed(AuthenticationFailure::ChallengeReflected));
}

/// The challenge of one session, handed back to another that answers with the same secret.
#[test]
fn the_challenge_of_another_session_sent_back_is_refused() {
    let handed = at_proof().request().1;
    let (_, challenge) = handed.rsplit_once("CHAP_C=").unwrap();
    for config in [mutual(), chap(true)] {
        let mut login = Login::new();
        login.begin(&config, Some(&entropy_of(7))).unwrap();
        let mut rig = Rig { config, login };
        rig.goes_on("0", "AuthMethod=CHAP");
        let outcome = rig.answers("0", &format!("CHAP_A=5 CHAP_I=1 CHAP_C={challenge}"));
        assert_eq!(outcome, failed(AuthenticationFailure::ChallengeReflected));
    }
    // Nobody else's challenge is taken for it.
    for other in [&challenge[..challenge.len() - 2], &format!("{challenge}00")] {
        at_challenge(mutual()).goes_on("0", &format!("CHAP_A=5 CHAP_I=1 CHAP_C={other}"));
    }
}

#[test]
fn short_secrets_are_refused_unless_they_are_allowed() {
    let refused = |whose| Err(ConfigurationError::ShortSecret(whose));
    let with = |initiator: &[u8], target: &[u8], allow_short_secrets| LoginConfig {
        authentication: Authentication::MutualChap {
            initiator: credentials("user", initiator),
            target: credentials("target", target),
        },
        allow_short_secrets,
        ..plain()
    };
    assert_eq!(with(&[1; 11], TARGET_SECRET, false).check(), refused("initiator"));
    assert_eq!(with(SECRET, &[1; 11], false).check(), refused("target"));
    assert_eq!(with(&[1; 12], &[2; 12], false).check(), Ok(()));
    assert_eq!(with(&[1; 1], &[2; 1], true).check(), Ok(()));
    let initiator = credentials("user", &[1; 11]);
    let authentication = Authentication::Chap { initiator, required: true };
    let one_way = LoginConfig { authentication, ..plain() };
    let error = Login::new().begin(&one_way, None).unwrap_err();
    assert_eq!(error, LoginError::ApiMisuse(ConfigurationError::ShortSecret("initiator")));
}

#[test]
fn the_identifier_alone_may_come_back() {
    let mut rig = at_challenge(mutual());
    rig.goes_on("0", "CHAP_A=5 CHAP_I=42 CHAP_C=0x00");
}

#[test]
fn every_attempt_has_its_own_challenge_and_identifier() {
    let mut rig = Rig::new(mutual());
    let mut seen = Vec::new();
    for attempt in 0..100 {
        let mut fresh = entropy();
        fresh[0] = attempt;
        fresh[1] = 0xee;
        rig.login.begin(&rig.config, Some(&fresh)).unwrap();
        rig.goes_on("0", "AuthMethod=CHAP");
        rig.goes_on("0", CHALLENGE);
        let sent = rig.request().1;
        let (_, own) = sent.split_once("CHAP_I=").unwrap();
        let (identifier, challenge) = own.split_once(' ').unwrap();
        // The rig's own `begin` took 42.
        assert_eq!(identifier.parse(), Ok(43_u8.wrapping_add(attempt)));
        assert!(!seen.contains(&challenge.to_string()), "{challenge}");
        seen.push(challenge.to_string());
    }
}

/// Entropy like no other's.
fn entropy_of(number: u8) -> [u8; 32] {
    entropy().map(|byte| byte ^ number << 4)
}

#[test]
fn mutual_chap_without_good_entropy_is_refused() {
    let config = mutual();
    let refused = |error| Err(LoginError::ApiMisuse(error));
    let mut login = Login::new();
    assert_eq!(login.begin(&config, None), refused(ConfigurationError::NoEntropy));
    assert_eq!(login.begin(&config, Some(&entropy_of(1))), Ok(()));
    assert_eq!(
        login.begin(&config, Some(&entropy_of(1))),
        refused(ConfigurationError::EntropyRepeated)
    );
    // A source that is stuck: at once, or from some word on; any of four words may be the first.
    for stuck_from in 0..3 {
        for stuck in [[0x00; 8], [0xff; 8], *b"the same"] {
            let mut bytes = entropy_of(3);
            bytes.as_chunks_mut().0[stuck_from..].fill(stuck);
            let outcome = Login::new().begin(&config, Some(&bytes));
            assert_eq!(outcome, refused(ConfigurationError::EntropyStuck), "{bytes:02x?}");
        }
    }
    // Without a challenge to make, none is needed.
    assert_eq!(login.begin(&chap(true), None), Ok(()));
    assert_eq!(login.begin(&plain(), None), Ok(()));
}

#[test]
fn one_secret_for_both_directions_is_refused() {
    let mut config = mutual();
    config.authentication = Authentication::MutualChap {
        initiator: credentials("user", SECRET),
        target: credentials("target", SECRET),
    };
    assert_eq!(config.check(), Err(ConfigurationError::SameSecretBothWays));
}

/// Authentication state must not survive into the next login.
#[test]
fn an_attempt_starts_from_nothing() {
    let mut rig = at_proof();
    rig.goes_on("0>1", PROOF);
    rig.sends("1>3", OFFER);
    rig.login.begin(&rig.config, Some(&entropy_of(9))).unwrap();
    let (flags, sent) = rig.request();
    assert_eq!(flags, "0");
    assert!(sent.ends_with("AuthMethod=CHAP"), "{sent}");
    let outcome = rig.answers("0>1", "");
    assert_eq!(outcome, Err(LoginError::PeerMisbehaved(Misbehaviour::TransitUnasked)));
}

#[test]
fn secrets_are_never_shown() {
    let config = mutual();
    let mut rig = at_proof();
    let mut shown = format!("{config:?} {:?} {:?}", rig.login, Secret::new(SECRET));
    if let Err(error) = rig.answers("0>1", "CHAP_N=target CHAP_R=0x00") {
        shown += &format!("{error} {error:?}");
    }
    for secret in [SECRET, TARGET_SECRET] {
        assert!(!shown.contains(core::str::from_utf8(secret).unwrap()), "{shown}");
        assert!(!shown.contains(&format!("{secret:?}")), "{shown}");
        assert!(!shown.contains(&format!("{secret:02x?}")), "{shown}");
    }
    assert!(shown.contains("hidden"));
}
