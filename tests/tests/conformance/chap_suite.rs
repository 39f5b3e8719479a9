//! CHAP suite: what the target may say in each step of CHAP, and what it may not.

use isboot::login::{AuthenticationFailure, LoginError};
use isboot::session::Error;
use isboot_tests::pair::Break;

use crate::chap_script::{
    self, OURS, Shared, Step, THEIRS, answer_of, chap, credentials, good, instead, log_in_again,
    mutual, mutual_between, one_way, response, shared, steps,
};
use crate::scripted_login::{self, Play, Played, Reply, Seen};

/// The login is given up at the answer to this step: no further request, no CHAP_R before its
/// time, no other connection, and an error that names CHAP.
#[track_caller]
fn rejects(what: &str, play: Play, at: Step) -> Error {
    let played = play.run();
    let steps = steps(&played);
    assert_eq!(steps.last(), Some(&Some(at)), "{what}: {steps:?}");
    let error = played.failed();
    assert!(error.to_string().contains("CHAP"), "{what}: {error}");
    error
}

/// The login is given up over the target's proof, before anything operational.
#[track_caller]
fn refuses_proof(what: &str, play: Play) {
    let error = rejects(what, play, Step::Proof);
    assert!(matches!(error, Error::Login(LoginError::AuthFailed(_))), "{what}: {error}");
}

/// The login succeeds with this CHAP_R.
#[track_caller]
fn answers(what: &str, play: Play, expected: &str) {
    let played = play.run();
    played.logged_in();
    assert_eq!(answer_of(&played, 1).as_deref(), Some(expected), "{what}");
}

const RISING: &str = "0x000102030405060708090a0b0c0d0e0f";

fn rising() -> Vec<u8> {
    (0..16).collect()
}

/// A step 2 with this identifier and challenge.
fn challenge(identifier: &str, challenge: &str) -> String {
    format!("CHAP_A=5 CHAP_I={identifier} CHAP_C={challenge}")
}

// --- CHAP_A ---

#[test]
fn chap_1_1_a_valid_algorithm_is_answered() {
    let played = instead(Step::Challenge, "0", &challenge("1", RISING)).configured(one_way).run();
    played.logged_in();
    let requests = played.requests();
    let offered = requests[1].value("CHAP_A").unwrap();
    assert!(offered.split(',').any(|number| number == "5"), "{offered}");
    assert_eq!(requests[2].value("CHAP_N").as_deref(), Some("user"));
    let known = "0xb5acf4353f7f990cd7cd8a562f75712e";
    assert_eq!(answer_of(&played, 1).as_deref(), Some(known));
}

#[test]
fn chap_1_2_1_an_algorithm_that_was_not_offered_is_refused() {
    for (offered, number) in [
        ("md5", "6"),
        ("md5", "7"),
        ("md5", "8"),
        ("sha256", "5"),
        ("sha3-256,sha256,sha1,md5", "0"),
        ("sha3-256,sha256,sha1,md5", "4"),
        ("sha3-256,sha256,sha1,md5", "9"),
        ("sha3-256,sha256,sha1,md5", "255"),
        ("sha3-256,sha256,sha1,md5", "261"),
        ("sha3-256,sha256,sha1,md5", "4294967301"),
    ] {
        let items = challenge("1", RISING).replace("CHAP_A=5", &format!("CHAP_A={number}"));
        let play = instead(Step::Challenge, "0", &items)
            .parameters(&[("chap_algorithms", offered)])
            .configured(one_way);
        rejects(&format!("{number} of {offered}"), play, Step::Challenge);
    }
}

#[test]
fn chap_1_2_2_an_algorithm_that_is_no_number_is_refused() {
    for algorithm in ["MD5", "", "5,6", "8,7,6,5", "05", "5%", "-5", "+5"] {
        let items = challenge("1", RISING).replace("CHAP_A=5", &format!("CHAP_A={algorithm}"));
        let play = instead(Step::Challenge, "0", &items).configured(one_way);
        rejects(algorithm, play, Step::Challenge);
    }
}

#[test]
fn chap_1_3_an_algorithm_out_of_order_is_refused() {
    let play = instead(Step::Method, "0", "AuthMethod=CHAP CHAP_A=5").configured(one_way);
    rejects("with the method", play, Step::Method);
    let play = instead(Step::Challenge, "0", &format!("CHAP_I=1 CHAP_C={RISING}"));
    rejects("missing", play.configured(one_way), Step::Challenge);
    again_in_the_last_step("CHAP_A=5");
}

/// An item of step 2 once more in the final response, one way and both ways.
#[track_caller]
fn again_in_the_last_step(item: &'static str) {
    let play = instead(Step::Proof, "0>1", item).configured(one_way);
    rejects(item, play, Step::Proof);
    let play = chap(Step::Proof, move |seen| {
        let proof = chap_script::proof(seen, "target", THEIRS);
        seen.says("0>1", &format!("{proof} {item}"))
    });
    rejects(item, play.configured(mutual), Step::Proof);
}

// --- CHAP_I ---

#[test]
fn chap_2_1_every_identifier_of_eight_bits_is_answered() {
    for (text, identifier) in
        [("0", 0), ("1", 1), ("255", 255), ("0x0", 0), ("0x1", 1), ("0xff", 255), ("0XFF", 255)]
    {
        let expected = response(5, identifier, OURS, &rising());
        for configure in [one_way, mutual] {
            let play = instead(Step::Challenge, "0", &challenge(text, RISING));
            answers(text, play.configured(configure), &expected);
        }
    }
    let played = chap(Step::Method, good).configured(mutual).run();
    let own: u32 = played.requests()[2].value("CHAP_I").unwrap().parse().unwrap();
    assert!(own <= 255, "{own}");
}

#[test]
fn chap_2_2_an_identifier_of_more_than_eight_bits_is_refused() {
    for identifier in ["256", "-1", "abc", "", "4294967297", "0x100", "0x", "1.0"] {
        let play = instead(Step::Challenge, "0", &challenge(identifier, RISING));
        rejects(identifier, play.configured(one_way), Step::Challenge);
    }
}

#[test]
fn chap_2_3_an_identifier_out_of_order_is_refused() {
    let play = instead(Step::Method, "0", "AuthMethod=CHAP CHAP_I=1").configured(one_way);
    rejects("with the method", play, Step::Method);
    let play = instead(Step::Challenge, "0", "CHAP_A=5 CHAP_I=1").configured(one_way);
    rejects("without CHAP_C", play, Step::Challenge);
    again_in_the_last_step("CHAP_I=1");
}

#[test]
fn chap_2_4_one_identifier_in_several_logins_is_answered() {
    let mut login = 0;
    let play = chap(Step::Challenge, move |seen| {
        login += 1;
        seen.says("0", &challenge("7", &format!("0x{login:032x}")))
    });
    let mut played = play.configured(one_way).run();
    log_in_again(&mut played, 3);
    for login in 1..=4_u128 {
        let expected = response(5, 7, OURS, &login.to_be_bytes());
        assert_eq!(answer_of(&played, login as u64), Some(expected), "login {login}");
    }
}

#[test]
fn chap_2_5_our_own_identifier_may_come_back() {
    let own = shared(String::from("9"));
    let taken = own.clone();
    let play = chap(Step::Challenge, move |seen| {
        seen.says("0", &challenge(&taken.lock().unwrap(), &format!("0x{:032x}", seen.connection)))
    });
    let mut played = play.configured(mutual).run();
    for login in 2..=3 {
        let identifier = played.requests().last().unwrap().connection;
        assert_eq!(identifier, login - 1);
        let sent = chap_script::sent(&played, login - 1, "CHAP_I").unwrap();
        own.lock().unwrap().clone_from(&sent);
        log_in_again(&mut played, 1);
        let expected = response(5, sent.parse().unwrap(), OURS, &u128::from(login).to_be_bytes());
        assert_eq!(answer_of(&played, login), Some(expected));
    }
}

#[test]
fn chap_2_6_identifiers_change_from_login_to_login() {
    let play = chap(Step::Challenge, |seen| {
        seen.says("0", &challenge(&seen.connection.to_string(), RISING))
    });
    let mut played = play.configured(mutual).run();
    log_in_again(&mut played, 4);
    let mut before = None;
    for login in 1..=5 {
        let expected = response(5, login as u8, OURS, &rising());
        assert_eq!(answer_of(&played, login), Some(expected), "login {login}");
        let own = chap_script::sent(&played, login, "CHAP_I");
        assert!(own.is_some() && own != before, "login {login}: {own:?} after {before:?}");
        before = own;
    }
}

// --- CHAP_C ---

#[test]
fn chap_3_1_a_challenge_of_1024_bytes_is_answered() {
    let known = "0x14a18dd0acb2e1eecfab36cfc55172d4";
    let hexadecimal = format!("0x{}", "a5".repeat(1024));
    assert_eq!(hexadecimal.len(), 2050);
    let base64 = format!("0b{}pQ==", "paWl".repeat(341));
    for text in [&hexadecimal, &base64] {
        let play = instead(Step::Challenge, "0", &challenge("255", text));
        answers(&text[..8], play.configured(one_way), known);
    }
}

#[test]
fn chap_3_2_a_challenge_of_one_byte_is_answered() {
    let known = "0x572f9813e6a1b0e08e94a609ffc7c514";
    let play = instead(Step::Challenge, "0", &challenge("0", "0x00")).configured(one_way);
    answers("0x00", play, known);
    for (text, bytes) in [("0x123", &[0x01, 0x23][..]), ("0x1", &[0x01])] {
        let play = instead(Step::Challenge, "0", &challenge("1", text)).configured(one_way);
        answers(text, play, &response(5, 1, OURS, bytes));
    }
}

#[test]
fn chap_3_3_a_challenge_of_more_than_1024_bytes_is_refused() {
    for text in [
        format!("0x{}", "a5".repeat(1025)),
        format!("0b{}", "paWl".repeat(342)),
        format!("0b{}pQ==", "paWl".repeat(1365)),
    ] {
        let play = instead(Step::Challenge, "0", &challenge("1", &text)).configured(one_way);
        rejects(&format!("{} characters", text.len()), play, Step::Challenge);
    }
}

#[test]
fn chap_3_4_an_empty_challenge_is_refused() {
    for text in ["0x", "0X", "0b", "0B", ""] {
        let play = instead(Step::Challenge, "0", &challenge("1", text)).configured(one_way);
        rejects(text, play, Step::Challenge);
    }
}

#[test]
fn chap_3_5_a_challenge_out_of_order_is_refused() {
    let play = instead(Step::Method, "0", "AuthMethod=CHAP CHAP_C=0x00").configured(one_way);
    rejects("with the method", play, Step::Method);
    let play = instead(Step::Challenge, "0", "CHAP_A=5 CHAP_C=0x00").configured(one_way);
    rejects("without CHAP_I", play, Step::Challenge);
    again_in_the_last_step("CHAP_C=0x00");
}

/// A mutual login that the target leaves waiting for its proof; what the initiator sent with its
/// own challenge.
fn left_waiting(items: String) -> (Played, Shared<Option<Seen>>) {
    let waiting = shared(None);
    let noted = waiting.clone();
    let play = scripted_login::login(move |seen| match Step::of(seen) {
        Some(Step::Challenge) => Reply::from(seen.says("0", &items)),
        Some(Step::Proof) => {
            *noted.lock().unwrap() = Some(seen.clone());
            Reply::silence()
        }
        _ => Reply::from(good(seen)),
    });
    let mut played = play.configured(mutual).begin();
    played.pair.run_until("CHAP_R", |_| waiting.lock().unwrap().is_some());
    (played, waiting)
}

/// Recorded: both are answered. The repetition harms the target, not us.
#[test]
fn chap_3_6_1_one_challenge_for_two_logins_at_once_is_answered_twice() {
    let (first, waiting) = left_waiting(challenge("1", RISING));
    let second = instead(Step::Challenge, "0", &challenge("1", RISING)).configured(mutual).run();
    second.logged_in();
    first.check();
    let known = "0xb5acf4353f7f990cd7cd8a562f75712e".to_owned();
    assert_eq!(waiting.lock().unwrap().as_ref().unwrap().value("CHAP_R"), Some(known.clone()));
    assert_eq!(answer_of(&second, 1), Some(known));
}

/// Recorded: it is answered again. A target that is started anew may repeat itself.
#[test]
fn chap_3_6_2_the_challenge_of_an_earlier_login_is_answered_again() {
    for configure in [one_way, mutual] {
        let play = instead(Step::Challenge, "0", &challenge("1", RISING));
        let mut played = play.configured(configure).run();
        log_in_again(&mut played, 2);
        let known = "0xb5acf4353f7f990cd7cd8a562f75712e".to_owned();
        for login in 1..=3 {
            assert_eq!(answer_of(&played, login).as_ref(), Some(&known), "login {login}");
        }
    }
}

/// Our challenge in a request.
fn own_challenge(seen: &Seen) -> Vec<u8> {
    chap_script::bytes(&seen.value("CHAP_C").expect("mutual CHAP"))
}

#[test]
fn chap_3_6_3_two_logins_at_once_make_challenges_of_their_own() {
    let (_first, one) = left_waiting(challenge("1", RISING));
    let (_second, other) = left_waiting(challenge("1", RISING));
    let [one, other] =
        [one, other].map(|seen| own_challenge(seen.lock().unwrap().as_ref().unwrap()));
    assert_ne!(one, other);
    assert_ne!(one[..16], other[..16], "the fresh half");
}

#[test]
fn chap_3_6_4_no_challenge_is_ever_made_twice() {
    let mut seen: Vec<Vec<u8>> = Vec::new();
    // Each start is at the same time; later logins follow in the same session.
    for start in 0..10 {
        let mut played = chap(Step::Method, good).configured(mutual).run();
        log_in_again(&mut played, 4);
        for request in played.requests().iter().filter(|seen| Step::of(seen) == Some(Step::Proof)) {
            let own = own_challenge(request);
            assert!(own.len() >= 16, "{own:02x?}");
            let fresh = own[..16].to_vec();
            assert!(!seen.contains(&fresh), "start {start}: {own:02x?}");
            seen.push(fresh);
        }
    }
    assert_eq!(seen.len(), 50);
}

#[test]
fn chap_3_7_our_challenge_is_not_the_targets() {
    for theirs in [RISING.to_owned(), format!("0x{}", "5a".repeat(32))] {
        let play = instead(Step::Challenge, "0", &challenge("1", &theirs));
        let played = play.configured(mutual).run();
        played.logged_in();
        let own = own_challenge(&played.requests()[2]);
        let theirs = chap_script::bytes(&theirs);
        assert_ne!(own, theirs);
        assert!(!own.windows(theirs.len()).any(|part| part == theirs));
    }
}

#[test]
fn chap_3_8_our_own_challenge_is_not_answered() {
    // At once: another session, both ways and one way.
    let (first, waiting) = left_waiting(challenge("1", RISING));
    let own = waiting.lock().unwrap().as_ref().unwrap().value("CHAP_C").unwrap();
    let base64 = chap_script::base64(&chap_script::bytes(&own));
    for text in [own.clone(), own.to_uppercase().replace("0X", "0x"), base64] {
        for configure in [one_way, mutual] {
            let play = instead(Step::Challenge, "0", &challenge("1", &text)).configured(configure);
            let error = rejects("at once", play, Step::Challenge);
            let failure = AuthenticationFailure::ChallengeReflected;
            assert_eq!(error, Error::Login(LoginError::AuthFailed(failure)), "{text}");
        }
    }
    first.check();
    // One after another: the session that made it.
    let reflected = shared(None::<String>);
    let noted = reflected.clone();
    let play =
        scripted_login::login(move |seen| match (Step::of(seen), &mut *noted.lock().unwrap()) {
            (Some(Step::Challenge), Some(own)) => seen.says("0", &challenge("1", own)),
            (Some(Step::Proof), own) => {
                *own = seen.value("CHAP_C");
                good(seen)
            }
            _ => good(seen),
        });
    let mut played = play.configured(mutual).run();
    played.logged_in();
    played.pair.wire.break_now(Break::Reset);
    let failure = AuthenticationFailure::ChallengeReflected;
    assert_eq!(played.pair.end(), Some(Error::Login(LoginError::AuthFailed(failure))));
    assert!(reflected.lock().unwrap().is_some());
    let last = played.requests().pop().unwrap();
    assert_eq!((last.connection, Step::of(&last)), (2, Some(Step::Challenge)));
}

// --- CHAP_N ---

/// A target that proves itself under this name.
fn proves_itself_as(name: &str) -> Play {
    let name = name.to_owned();
    chap(Step::Proof, move |seen| seen.says("0>1", &chap_script::proof(seen, &name, THEIRS)))
}

#[test]
fn chap_4_1_names_are_those_that_are_configured() {
    for (configured, sent) in [
        (Some("user"), "user"),
        (Some("some%user/and:more"), "some%user/and:more"),
        (None, "iqn.2026-11.org.example:host"),
    ] {
        let initiator = credentials(configured, OURS);
        let play = proves_itself_as("the-array");
        let target = credentials(Some("the-array"), THEIRS);
        let played = play.configured(mutual_between(initiator, target)).run();
        played.logged_in();
        assert_eq!(played.requests()[2].value("CHAP_N").as_deref(), Some(sent));
    }
}

#[test]
fn chap_4_2_names_of_255_bytes_go_through() {
    names_of(255);
}

#[test]
fn chap_4_3_names_of_one_byte_go_through() {
    names_of(1);
}

#[track_caller]
fn names_of(length: usize) {
    let (ours, theirs) = ("i".repeat(length), "t".repeat(length));
    for configured in [Some(theirs.as_str()), None] {
        let (initiator, target) = (credentials(Some(&ours), OURS), credentials(configured, THEIRS));
        let play = proves_itself_as(&theirs).configured(mutual_between(initiator, target));
        let played = play.run();
        played.logged_in();
        assert_eq!(played.requests()[2].value("CHAP_N").as_deref(), Some(ours.as_str()));
    }
}

#[test]
fn chap_4_4_a_name_of_more_than_255_bytes_is_refused() {
    for length in [256, 4096] {
        let name = "t".repeat(length);
        let (initiator, target) = (credentials(Some("user"), OURS), credentials(None, THEIRS));
        let play = proves_itself_as(&name).configured(mutual_between(initiator, target));
        refuses_proof(&format!("{length} bytes"), play);
    }
}

#[test]
fn chap_4_5_a_name_out_of_order_is_refused() {
    for configure in [one_way, mutual] {
        let play = instead(Step::Method, "0", "AuthMethod=CHAP CHAP_N=target");
        rejects("with the method", play.configured(configure), Step::Method);
        let items = format!("{} CHAP_N=target", challenge("1", RISING));
        let play = instead(Step::Challenge, "0", &items).configured(configure);
        rejects("with the challenge", play, Step::Challenge);
        let play = instead(Step::Proof, "0>1", "CHAP_N=target").configured(configure);
        rejects("without CHAP_R", play, Step::Proof);
    }
}

/// Recorded: with a name configured for the target it decides; without, the response does.
#[test]
fn chap_4_6_our_own_name_comes_back() {
    refuses_proof("configured otherwise", proves_itself_as("user").configured(mutual));
    let (initiator, target) = (credentials(Some("user"), OURS), credentials(None, THEIRS));
    proves_itself_as("user").configured(mutual_between(initiator, target)).succeeds();
}

#[test]
fn chap_4_7_the_same_name_in_every_login() {
    let mut played = chap(Step::Method, good).configured(mutual).run();
    log_in_again(&mut played, 3);
    assert_eq!(played.requests().last().unwrap().connection, 4);
    played.logged_in();
}

#[test]
fn chap_4_8_another_name_in_each_login() {
    let another = || {
        chap(Step::Proof, |seen| {
            let name = format!("target{}", seen.connection);
            seen.says("0>1", &chap_script::proof(seen, &name, THEIRS))
        })
    };
    let (initiator, target) = (credentials(Some("user"), OURS), credentials(None, THEIRS));
    let mut played = another().configured(mutual_between(initiator, target)).run();
    log_in_again(&mut played, 3);
    // The second login is with another name than the configured one.
    let target = credentials(Some("target1"), THEIRS);
    let initiator = credentials(Some("user"), OURS);
    let mut played = another().configured(mutual_between(initiator, target)).run();
    played.logged_in();
    played.pair.wire.break_now(Break::Reset);
    let failure = AuthenticationFailure::TargetName;
    assert_eq!(played.pair.end(), Some(Error::Login(LoginError::AuthFailed(failure))));
    assert_eq!(steps(&played).last(), Some(&Some(Step::Proof)));
}

// --- CHAP_R ---

/// The target's proof is refused when its right response is replaced by this one.
#[track_caller]
fn refuses_response(what: &str, replace: fn(&Seen, Vec<u8>) -> String) {
    let play = chap(Step::Proof, move |seen| {
        let right = chap_script::right_response(seen, 5, THEIRS);
        let response = replace(seen, chap_script::bytes(&right));
        seen.says("0>1", &format!("CHAP_N=target CHAP_R={response}"))
    });
    refuses_proof(what, play.configured(mutual));
}

fn hexadecimal(bytes: &[u8]) -> String {
    chap_script::hexadecimal(bytes)
}

#[test]
fn chap_5_1_a_wrong_response_is_refused() {
    fn flipped<const BYTE: usize, const BIT: u8>(_: &Seen, mut right: Vec<u8>) -> String {
        right[BYTE] ^= BIT;
        hexadecimal(&right)
    }
    refuses_response("the first bit", flipped::<0, 0x80>);
    refuses_response("a bit amid", flipped::<7, 0x10>);
    refuses_response("the last bit", flipped::<15, 1>);
    refuses_response("zeros", |_, right| hexadecimal(&vec![0; right.len()]));
    refuses_response("what we would have said", |seen, _| {
        chap_script::right_response(seen, 5, OURS)
    });
    refuses_response("our own CHAP_R", |seen, _| seen.value("CHAP_R").unwrap());
}

#[test]
fn chap_5_2_a_response_that_is_too_long_is_refused() {
    refuses_response("one byte more", |_, right| hexadecimal(&[&right[..], &[0]].concat()));
    refuses_response("one byte ahead", |_, right| hexadecimal(&[&[0], &right[..]].concat()));
    refuses_response("1025 bytes", |_, right| hexadecimal(&[&right[..], &[0; 1025 - 16]].concat()));
}

#[test]
fn chap_5_3_a_response_that_is_too_short_is_refused() {
    refuses_response("15 bytes", |_, right| hexadecimal(&right[..15]));
    refuses_response("nothing in hex", |_, _| "0x".to_owned());
    refuses_response("nothing", |_, _| String::new());
}
