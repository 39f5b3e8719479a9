//! The security stage: AuthMethod and CHAP (RFC 7143 §12.1).

use md5::{Digest, Md5};

use super::policy::Chap;
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
    Challenged { identifier: u8, challenge: Vec<u8> },
    /// The initiator may go on.
    Done { chap: bool, mutual: bool },
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

    pub(super) fn chap(&self) -> (bool, bool) {
        match *self {
            Self::Done { chap, mutual } => (chap, mutual),
            _ => (false, false),
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
                if !offered.split(',').any(|algorithm| algorithm == "5") {
                    return broken(
                        CLAUSE,
                        format!("CHAP_A={offered} without 5, which is mandatory"),
                    );
                }
                let length = policy.map_or(16, |chap| chap.challenge_length);
                let mut random = challenge(length + 1);
                let identifier = random.pop().unwrap_or_default();
                let answer = vec![
                    ("CHAP_A".to_owned(), "5".to_owned()),
                    ("CHAP_I".to_owned(), identifier.to_string()),
                    ("CHAP_C".to_owned(), to_hexadecimal(&random)),
                ];
                *self = Self::Challenged { identifier, challenge: random };
                Ok(Step::Answer(answer))
            }
            Self::Challenged { identifier, challenge } => {
                let Some(policy) = policy else { return Ok(Step::Refuse(AUTHENTICATION_FAILURE)) };
                self.check(keys, policy, identifier, &challenge)
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
            None if lists("None") => ("None", Self::Done { chap: false, mutual: false }),
            _ => return Step::Refuse(AUTHENTICATION_FAILURE),
        };
        *self = state;
        Step::Answer(vec![("AuthMethod".to_owned(), chosen.to_owned())])
    }

    fn check(
        &mut self,
        keys: &[(String, String)],
        policy: &Chap,
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
        let expected = chap_response(identifier, &policy.initiator.secret, challenge);
        if name != policy.initiator.name || response != expected {
            return Ok(Step::Refuse(AUTHENTICATION_FAILURE));
        }
        let (their_identifier, their_challenge) = match (value("CHAP_I"), value("CHAP_C")) {
            (Some(identifier), Some(challenge)) => (identifier, challenge),
            (None, None) if !policy.require_mutual => {
                *self = Self::Done { chap: true, mutual: false };
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
        let response = chap_response(their_identifier, &target.secret, &their_challenge);
        *self = Self::Done { chap: true, mutual: true };
        Ok(Step::Answer(vec![
            ("CHAP_N".to_owned(), target.name.clone()),
            ("CHAP_R".to_owned(), to_hexadecimal(&response)),
        ]))
    }
}

/// RFC 1994 §4.1 with MD5.
pub(super) fn chap_response(identifier: u8, secret: &[u8], challenge: &[u8]) -> [u8; 16] {
    let mut hash = Md5::new();
    hash.update([identifier]);
    hash.update(secret);
    hash.update(challenge);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed apart from this code with coreutils' md5sum.
    #[test]
    fn known_responses() {
        let rising: Vec<u8> = (0..16).collect();
        let response = chap_response(1, b"initiatorsecret1", &rising);
        assert_eq!(to_hexadecimal(&response), "0xb5acf4353f7f990cd7cd8a562f75712e");
        let response = chap_response(255, b"initiatorsecret1", &[0xa5; 1024]);
        assert_eq!(to_hexadecimal(&response), "0x14a18dd0acb2e1eecfab36cfc55172d4");
        let rising: Vec<u8> = (16..32).collect();
        let response = chap_response(42, b"targetsecret0002", &rising);
        assert_eq!(to_hexadecimal(&response), "0x14596fd8b2bfc8bf4fb90cea382c84ba");
    }
}
