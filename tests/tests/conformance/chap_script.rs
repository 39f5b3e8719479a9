//! The target's side of CHAP, step by step, over a scripted login.

use std::sync::{Arc, Mutex};

use isboot::login::{Authentication, Credentials, Secret};
use isboot::session::SessionConfig;
use isboot_tests::pair::Break;
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use sha3::Sha3_256;

use crate::scripted_login::{Answer, Play, Played, Seen, login};

/// The initiator's secret.
pub(crate) const OURS: &[u8] = b"initiatorsecret1";
/// The target's secret.
pub(crate) const THEIRS: &[u8] = b"targetsecret0002";

/// What a script leaves behind for its test, and the other way round.
pub(crate) type Shared<T> = Arc<Mutex<T>>;

pub(crate) fn shared<T>(value: T) -> Shared<T> {
    Arc::new(Mutex::new(value))
}

// --- who proves what to whom ---

pub(crate) fn credentials(name: Option<&str>, secret: &[u8]) -> Credentials {
    Credentials {
        name: name.map(|name| name.try_into().expect("at most 255 bytes")),
        secret: Secret::new(secret).expect("a secret"),
    }
}

pub(crate) fn one_way(config: &mut SessionConfig) {
    let initiator = credentials(Some("user"), OURS);
    config.login.authentication = Authentication::Chap { initiator, required: true };
}

pub(crate) fn mutual(config: &mut SessionConfig) {
    mutual_between(credentials(Some("user"), OURS), credentials(Some("target"), THEIRS))(config);
}

pub(crate) fn mutual_between(
    initiator: Credentials,
    target: Credentials,
) -> impl FnOnce(&mut SessionConfig) {
    move |config| config.login.authentication = Authentication::MutualChap { initiator, target }
}

// --- the steps ---

/// The step that a request asks the target to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Answering AuthMethod.
    Method,
    /// Answering CHAP_A.
    Challenge,
    /// Answering CHAP_R.
    Proof,
}

impl Step {
    pub(crate) fn of(seen: &Seen) -> Option<Step> {
        [("AuthMethod", Self::Method), ("CHAP_A", Self::Challenge), ("CHAP_R", Self::Proof)]
            .into_iter()
            .find(|(key, _)| seen.value(key).is_some())
            .map(|(_, step)| step)
    }
}

/// What a target with both secrets says. It chooses MD5.
pub(crate) fn good(seen: &Seen) -> Answer {
    match Step::of(seen) {
        Some(Step::Method) => seen.says("0", "TargetPortalGroupTag=1 AuthMethod=CHAP"),
        Some(Step::Challenge) => {
            let challenge = format!("0x{:032x}", 0xc0de_0000 + seen.connection);
            seen.says("0", &format!("CHAP_A=5 CHAP_I=1 CHAP_C={challenge}"))
        }
        Some(Step::Proof) if seen.value("CHAP_C").is_some() => {
            seen.says("0>1", &proof(seen, "target", THEIRS))
        }
        Some(Step::Proof) => seen.says("0>1", ""),
        None if seen.in_security_stage() => seen.says("0>1", ""),
        None => seen.granted(),
    }
}

/// A good target, but for one step.
pub(crate) fn chap(at: Step, mut says: impl FnMut(&Seen) -> Answer + Send + 'static) -> Play {
    login(move |seen| if Step::of(seen) == Some(at) { says(seen) } else { good(seen) })
}

/// A good target, but for what it says in one step.
pub(crate) fn instead(at: Step, flags: &'static str, pairs: &str) -> Play {
    let pairs = pairs.to_owned();
    chap(at, move |seen| seen.says(flags, &pairs))
}

/// Loses the connection so many times; each time the initiator logs in again.
#[track_caller]
pub(crate) fn log_in_again(played: &mut Played, times: usize) {
    for _ in 0..times {
        played.logged_in();
        played.pair.wire.break_now(Break::Reset);
        played.pair.run_until("the loss", |isboot| isboot.negotiated().is_none());
        played.pair.run_until("the next login", |isboot| isboot.negotiated().is_some());
    }
    played.check();
}

// --- what came ---

/// The steps that the initiator's requests asked for.
pub(crate) fn steps(played: &Played) -> Vec<Option<Step>> {
    played.requests().iter().map(Step::of).collect()
}

/// What was sent as this key on a connection.
pub(crate) fn sent(played: &Played, connection: u64, key: &str) -> Option<String> {
    let requests = played.requests();
    requests.iter().filter(|seen| seen.connection == connection).find_map(|seen| seen.value(key))
}

/// CHAP_R of a connection.
pub(crate) fn answer_of(played: &Played, connection: u64) -> Option<String> {
    sent(played, connection, "CHAP_R")
}

// --- values ---

/// CHAP_N and CHAP_R for the challenge in a request, by MD5.
pub(crate) fn proof(seen: &Seen, name: &str, secret: &[u8]) -> String {
    format!("CHAP_N={name} CHAP_R={}", right_response(seen, 5, secret))
}

/// CHAP_R for the challenge in a request.
pub(crate) fn right_response(seen: &Seen, algorithm: u8, secret: &[u8]) -> String {
    let value = |key| seen.value(key).expect("mutual CHAP");
    let identifier = value("CHAP_I").parse().expect("an identifier");
    response(algorithm, identifier, secret, &bytes(&value("CHAP_C")))
}

/// RFC 1994 §4.1, computed apart from either end.
pub(crate) fn response(algorithm: u8, identifier: u8, secret: &[u8], challenge: &[u8]) -> String {
    let text = [&[identifier], secret, challenge].concat();
    hexadecimal(&match algorithm {
        5 => Md5::digest(text).to_vec(),
        6 => Sha1::digest(text).to_vec(),
        7 => Sha256::digest(text).to_vec(),
        8 => Sha3_256::digest(text).to_vec(),
        other => panic!("no algorithm {other}"),
    })
}

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::from("0x"), |text, byte| text + &format!("{byte:02x}"))
}

/// The bytes of a value in hex.
pub(crate) fn bytes(value: &str) -> Vec<u8> {
    let digits = value.strip_prefix("0x").expect("hex");
    assert!(digits.len().is_multiple_of(2), "{value}");
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hex digits"))
        .collect()
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let groups = bytes.chunks(3).map(|group| {
        let bits = group
            .iter()
            .chain(&[0, 0])
            .take(3)
            .fold(0, |bits, &byte| bits << 8 | usize::from(byte));
        let digit = |place: usize| match place <= group.len() {
            true => char::from(DIGITS[bits >> (18 - 6 * place) & 63]),
            false => '=',
        };
        (0..4).map(digit).collect::<String>()
    });
    format!("0b{}", groups.collect::<String>())
}
