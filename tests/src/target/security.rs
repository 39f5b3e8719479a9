//! The security stage: AuthMethod and CHAP (RFC 7143 §12.1).

use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use sha3::Sha3_256;

use super::policy::{AlgorithmOffer, Chap};
use super::rules::{End, broken};
use super::text::{Pairs, binary, number, to_hexadecimal};

/// How far authentication has come.
#[derive(Debug, Default)]
pub(super) enum Security {
    /// AuthMethod has not been offered.
    #[default]
    Start,
    /// CHAP was chosen; CHAP_A is awaited.
    ChapChosen,
    /// The challenge is out.
    Challenged { algorithm: u8, identifier: u8, challenge: Vec<u8> },
    /// The initiator may go on.
    Done { algorithm: Option<u8>, mutual: bool },
    /// Nobody else may try on this connection.
    Failed,
}

/// What a step brought.
#[derive(Debug)]
pub(super) enum Step {
    Answer(Pairs),
    /// The login ends with this status (class 2).
    Refuse(u8),
}

const AUTHENTICATION_FAILURE: u8 = 0x01;
const CLAUSE: &str = "RFC 7143 §12.1.3";

impl Security {
    /// Whether the stage may be left: authentication is over, or was neither offered nor needed.
    pub(super) fn may_leave(&self, policy: Option<&Chap>) -> bool {
        match self {
            Self::Done { .. } => true,
            Self::Start => policy.is_none(),
            _ => false,
        }
    }

    /// The number of CHAP's algorithm, and whether it was used in both directions.
    pub(super) fn chap(&self) -> (Option<u8>, bool) {
        match *self {
            Self::Done { algorithm, mutual } => (algorithm, mutual),
            _ => (None, false),
        }
    }

    /// Takes the security keys of one request. `challenge` makes so many unforeseeable bytes.
    pub(super) fn step(
        &mut self,
        keys: &[(String, String)],
        policy: Option<&Chap>,
        challenge: impl FnOnce(usize) -> Vec<u8>,
    ) -> Result<Step, End> {
        let names: Vec<&str> = keys.iter().map(|(key, _)| key.as_str()).collect();
        let value = |name: &str| keys.iter().find(|(key, _)| key == name).map(|(_, v)| v.as_str());
        match std::mem::replace(self, Self::Failed) {
            state if names.is_empty() => {
                *self = state;
                Ok(Step::Answer(Vec::new()))
            }
            Self::Start => {
                let (["AuthMethod"], Some(offered)) = (names.as_slice(), value("AuthMethod"))
                else {
                    return broken(CLAUSE, format!("{names:?} before a method was chosen"));
                };
                Ok(self.choose(offered, policy))
            }
            Self::ChapChosen => {
                let (["CHAP_A"], Some(offered)) = (names.as_slice(), value("CHAP_A")) else {
                    return broken(CLAUSE, format!("{names:?} where CHAP_A alone was due"));
                };
                let Some(policy) = policy else { return Ok(Step::Refuse(AUTHENTICATION_FAILURE)) };
                let algorithm = match choose_algorithm(offered, policy)? {
                    Choice::Algorithm(algorithm) => algorithm,
                    Choice::Instead(step) => return Ok(step),
                };
                let mut random = challenge(policy.challenge_length + 1);
                let identifier = random.pop().unwrap_or_default();
                let answer = vec![
                    ("CHAP_A".to_owned(), algorithm.to_string()),
                    ("CHAP_I".to_owned(), identifier.to_string()),
                    ("CHAP_C".to_owned(), to_hexadecimal(&random)),
                ];
                *self = Self::Challenged { algorithm, identifier, challenge: random };
                Ok(Step::Answer(answer))
            }
            Self::Challenged { algorithm, identifier, challenge } => {
                let Some(policy) = policy else { return Ok(Step::Refuse(AUTHENTICATION_FAILURE)) };
                self.check(keys, policy, algorithm, identifier, &challenge)
            }
            Self::Done { .. } | Self::Failed => {
                broken(CLAUSE, format!("{names:?} after authentication was over"))
            }
        }
    }

    fn choose(&mut self, offered: &str, policy: Option<&Chap>) -> Step {
        let lists = |method: &str| offered.split(',').any(|offer| offer == method);
        let (chosen, state) = match policy {
            Some(_) if lists("CHAP") => ("CHAP", Self::ChapChosen),
            None if lists("None") => ("None", Self::Done { algorithm: None, mutual: false }),
            _ => return Step::Refuse(AUTHENTICATION_FAILURE),
        };
        *self = state;
        Step::Answer(vec![("AuthMethod".to_owned(), chosen.to_owned())])
    }

    fn check(
        &mut self,
        keys: &[(String, String)],
        policy: &Chap,
        algorithm: u8,
        identifier: u8,
        challenge: &[u8],
    ) -> Result<Step, End> {
        let value = |name: &str| keys.iter().find(|(key, _)| key == name).map(|(_, v)| v.as_str());
        if let Some((key, _)) = keys
            .iter()
            .find(|(key, _)| !["CHAP_N", "CHAP_R", "CHAP_I", "CHAP_C"].contains(&key.as_str()))
        {
            return broken(CLAUSE, format!("{key} in answer to a challenge"));
        }
        let (Some(name), Some(response)) = (value("CHAP_N"), value("CHAP_R")) else {
            return broken(CLAUSE, "an answer to a challenge without CHAP_N and CHAP_R");
        };
        let Some(response) = binary(response) else {
            return broken(CLAUSE, "CHAP_R that is neither hexadecimal nor Base64");
        };
        let expected = chap_response(algorithm, identifier, &policy.initiator.secret, challenge);
        if name != policy.initiator.name || response != expected {
            return Ok(Step::Refuse(AUTHENTICATION_FAILURE));
        }
        let (their_identifier, their_challenge) = match (value("CHAP_I"), value("CHAP_C")) {
            (Some(identifier), Some(challenge)) => (identifier, challenge),
            (None, None) if !policy.require_mutual => {
                *self = Self::Done { algorithm: Some(algorithm), mutual: false };
                return Ok(Step::Answer(Vec::new()));
            }
            (None, None) => return Ok(Step::Refuse(AUTHENTICATION_FAILURE)),
            _ => return broken(CLAUSE, "CHAP_I and CHAP_C only come together"),
        };
        let Some(their_identifier) = number(their_identifier).and_then(|n| u8::try_from(n).ok())
        else {
            return broken(CLAUSE, format!("CHAP_I={their_identifier} is not 0 to 255"));
        };
        let their_challenge = match binary(their_challenge) {
            Some(bytes) if (1..=1024).contains(&bytes.len()) => bytes,
            _ => return broken(CLAUSE, "CHAP_C that is not 1 to 1024 bytes of binary"),
        };
        if their_challenge == challenge {
            return broken("RFC 7143 §9.2.1", "the target's own challenge came back as CHAP_C");
        }
        let Some(target) = &policy.target else { return Ok(Step::Refuse(AUTHENTICATION_FAILURE)) };
        let response = chap_response(algorithm, their_identifier, &target.secret, &their_challenge);
        *self = Self::Done { algorithm: Some(algorithm), mutual: true };
        Ok(Step::Answer(vec![
            ("CHAP_N".to_owned(), target.name.clone()),
            ("CHAP_R".to_owned(), to_hexadecimal(&response)),
        ]))
    }
}

/// What becomes of an offer of algorithms.
enum Choice {
    Algorithm(u8),
    /// No challenge follows.
    Instead(Step),
}

/// Judges the offer and chooses from it as the policy has it.
fn choose_algorithm(offered: &str, policy: &Chap) -> Result<Choice, End> {
    let mut numbers = Vec::new();
    for algorithm in offered.split(',') {
        match number(algorithm).and_then(|number| u8::try_from(number).ok()) {
            Some(number) if !numbers.contains(&number) => numbers.push(number),
            _ => return broken(CLAUSE, format!("CHAP_A={offered} is no list of algorithms")),
        }
    }
    let known = numbers.iter().find(|number| policy.algorithms.contains(number));
    let rejected = || Step::Answer(vec![("CHAP_A".to_owned(), "Reject".to_owned())]);
    let refused = match (policy.algorithm_offer, known) {
        (AlgorithmOffer::AnsweredWith(number), _) => return Ok(Choice::Algorithm(number)),
        (AlgorithmOffer::Taken, Some(&known)) => return Ok(Choice::Algorithm(known)),
        (_, Some(&known)) if numbers.len() == 1 => return Ok(Choice::Algorithm(known)),
        (AlgorithmOffer::Taken | AlgorithmOffer::ListRejected, _) => rejected(),
        (AlgorithmOffer::ListRefused, _) => Step::Refuse(AUTHENTICATION_FAILURE),
        (AlgorithmOffer::ListHungUpOn, _) => return Err(End::Closed),
    };
    Ok(Choice::Instead(refused))
}

/// RFC 1994 §4.1 with the algorithm of this number (RFC 7143 §12.1.3).
///
/// # Panics
/// When there is no such algorithm.
pub(super) fn chap_response(
    algorithm: u8,
    identifier: u8,
    secret: &[u8],
    challenge: &[u8],
) -> Vec<u8> {
    fn hash<Hash: Digest>(parts: [&[u8]; 3]) -> Vec<u8> {
        parts.into_iter().fold(Hash::new(), Digest::chain_update).finalize().to_vec()
    }
    let parts = [&[identifier], secret, challenge];
    match algorithm {
        5 => hash::<Md5>(parts),
        6 => hash::<Sha1>(parts),
        7 => hash::<Sha256>(parts),
        8 => hash::<Sha3_256>(parts),
        _ => panic!("no CHAP algorithm {algorithm}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed apart from this code: MD5 with coreutils' md5sum, the others with Python's
    /// hashlib.
    #[test]
    fn known_responses() {
        let rising: Vec<u8> = (0..16).collect();
        for (algorithm, response) in [
            (5, "0xb5acf4353f7f990cd7cd8a562f75712e"),
            (6, "0x4ca3d4bb072c577b7036ab463e4291fbb2954f47"),
            (7, "0x37c56179e222cc9dad13a34ee4d2866f957e1eb8185c4e072a067a17ba0abf6c"),
            (8, "0xcbb852f9f94c5d7d76182e26c5245834944ae665db9b8586cf44c13e7da4b340"),
        ] {
            let ours = chap_response(algorithm, 1, b"initiatorsecret1", &rising);
            assert_eq!(to_hexadecimal(&ours), response);
        }
        for (algorithm, response) in [
            (5, "0x14a18dd0acb2e1eecfab36cfc55172d4"),
            (6, "0x3741d005e1e70d5983bfedc1bc0793a04ca6b4bb"),
            (7, "0xae59af2a06ab9cb9065a0552877255a84df8f736ad2ca900584056e82998190a"),
            (8, "0x1f2db087390efcfdcd432da3200f2ae2b1c9b7724720868d3f4509ad83cb1924"),
        ] {
            let ours = chap_response(algorithm, 255, b"initiatorsecret1", &[0xa5; 1024]);
            assert_eq!(to_hexadecimal(&ours), response);
        }
        let rising: Vec<u8> = (16..32).collect();
        let response = chap_response(5, 42, b"targetsecret0002", &rising);
        assert_eq!(to_hexadecimal(&response), "0x14596fd8b2bfc8bf4fb90cea382c84ba");
    }
}
