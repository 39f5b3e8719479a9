//! CHAP (RFC 1994, RFC 7143 §12.1.3): the responses, our challenges, and the two steps.

use core::fmt;

use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;
use sha3::Sha3_256;

use super::algorithms::{ChapAlgorithm, ChapAlgorithms};
use super::config::Credentials;
use super::error::{AuthenticationFailure, ConfigurationError, KeyProblem, LoginError};
use super::keys::{Key, KeyId, key_problem};
use super::secret::Secret;
use super::text::{self, BinaryError, Hex, TextWriter};

/// Longest challenge in bytes, in binary form (RFC 7143 §12.1.3).
const MAX_CHALLENGE_LENGTH: usize = 1024;

/// Longest response of any algorithm in bytes.
const MAX_RESPONSE_LENGTH: usize = 32;

impl ChapAlgorithm {
    /// hash(identifier, secret, challenge) (RFC 1994 §4.1).
    fn response(self, identifier: u8, secret: &Secret, challenge: &[u8]) -> Secret {
        let parts = [&[identifier], secret.expose(), challenge];
        match self {
            Self::Md5 => hash::<Md5>(parts),
            Self::Sha1 => hash::<Sha1>(parts),
            Self::Sha256 => hash::<Sha256>(parts),
            Self::Sha3_256 => hash::<Sha3_256>(parts),
        }
    }
}

fn hash<Hash: Digest>(parts: [&[u8]; 3]) -> Secret {
    Secret::of_digest(&parts.into_iter().fold(Hash::new(), Digest::chain_update).finalize())
}

/// A challenge of ours for the target: 128 fresh bits, and a mark of the same length by which
/// every session with the same secret knows it again.
///
/// A challenge of one connection must not be answered on another (RFC 7143 §9.2.1), and the
/// sessions of a host share no memory. What they share is the secret with which they would
/// answer, so the mark is made of it. It tells an eavesdropper no more than the CHAP_R that goes
/// out in the same PDU.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct OwnChallenge {
    identifier: u8,
    bytes: [u8; OwnChallenge::LENGTH],
}

impl OwnChallenge {
    const FRESH_LENGTH: usize = 16;
    const LENGTH: usize = 2 * OwnChallenge::FRESH_LENGTH;

    fn new(identifier: u8, fresh: &[u8; OwnChallenge::FRESH_LENGTH], secret: &Secret) -> Self {
        let mark = OwnChallenge::mark(fresh, secret);
        let mut bytes = [0; OwnChallenge::LENGTH];
        for (to, from) in bytes.iter_mut().zip(fresh.iter().chain(mark.expose())) {
            *to = *from;
        }
        OwnChallenge { identifier, bytes }
    }

    /// Whether a session with this secret made `challenge`: this one or another, now or earlier.
    fn is_marked(challenge: &[u8], secret: &Secret) -> bool {
        challenge.split_first_chunk().is_some_and(|(fresh, mark)| {
            Secret::of_digest(mark) == OwnChallenge::mark(fresh, secret)
        })
    }

    fn mark(fresh: &[u8; OwnChallenge::FRESH_LENGTH], secret: &Secret) -> Secret {
        let whole = hash::<Sha3_256>([b"isboot's own CHAP_C", secret.expose(), fresh]);
        let half = whole.expose().first_chunk::<{ OwnChallenge::FRESH_LENGTH }>();
        Secret::of_digest(half.map_or(&[], |half| half))
    }
}

/// The challenges sent so far: none is sent twice.
pub(super) struct Challenges {
    sent: [Option<OwnChallenge>; Challenges::REMEMBERED],
    next: usize,
    identifier: Option<u8>,
}

impl Challenges {
    /// Challenges remembered, the latest ones.
    const REMEMBERED: usize = 8;

    pub(super) const fn new() -> Challenges {
        Challenges { sent: [None; Challenges::REMEMBERED], next: 0, identifier: None }
    }

    /// A new challenge out of fresh entropy, with an identifier of its own (RFC 1994 §4.1), for a
    /// session that answers with `secret` itself.
    ///
    /// A random source that fails often does so by giving the same word for ever. That two words in
    /// a row are the same by chance is so unlikely that it is taken for that (SP 800-90B §4.4.1).
    pub(super) fn issue(
        &mut self,
        entropy: Option<&[u8; 32]>,
        secret: &Secret,
    ) -> Result<OwnChallenge, ConfigurationError> {
        let (fresh, rest) = entropy
            .and_then(|entropy| entropy.split_first_chunk())
            .ok_or(ConfigurationError::NoEntropy)?;
        let words = entropy.map_or(&[] as &[[u8; 8]], |entropy| entropy.as_chunks().0);
        if words.windows(2).any(|pair| matches!(pair, [one, next] if one == next)) {
            return Err(ConfigurationError::EntropyStuck);
        }
        let identifier = match self.identifier {
            Some(previous) => previous.wrapping_add(1),
            None => rest.first().copied().unwrap_or_default(),
        };
        let challenge = OwnChallenge::new(identifier, fresh, secret);
        if self.sent.iter().flatten().any(|sent| sent.bytes == challenge.bytes) {
            return Err(ConfigurationError::EntropyRepeated);
        }
        if let Some(slot) = self.sent.get_mut(self.next) {
            *slot = Some(challenge);
        }
        self.next = self.next.wrapping_add(1) % Challenges::REMEMBERED;
        self.identifier = Some(identifier);
        Ok(challenge)
    }
}

/// The security keys of one response, each at most once.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Items<'t> {
    pub(super) auth_method: Option<&'t [u8]>,
    pub(super) algorithm: Option<&'t [u8]>,
    pub(super) identifier: Option<&'t [u8]>,
    pub(super) challenge: Option<&'t [u8]>,
    pub(super) name: Option<&'t [u8]>,
    pub(super) response: Option<&'t [u8]>,
}

impl<'t> Items<'t> {
    /// Keeps a security key of the response for its step.
    pub(super) fn take(
        &mut self,
        key: &'static Key,
        value: &'t [u8],
        security: bool,
    ) -> Result<(), LoginError> {
        if !security {
            return Err(key.problem(KeyProblem::WrongStage, value));
        }
        let item = match key.id {
            KeyId::AuthMethod => &mut self.auth_method,
            KeyId::ChapA => &mut self.algorithm,
            KeyId::ChapI => &mut self.identifier,
            KeyId::ChapC => &mut self.challenge,
            KeyId::ChapN => &mut self.name,
            KeyId::ChapR => &mut self.response,
            _ => return Err(key.problem(KeyProblem::OutOfStep, value)),
        };
        if item.replace(value).is_some() {
            return Err(key.problem(KeyProblem::Repeated, value));
        }
        Ok(())
    }

    fn named(&self) -> [(&'static str, Option<&'t [u8]>); 6] {
        [
            ("AuthMethod", self.auth_method),
            ("CHAP_A", self.algorithm),
            ("CHAP_I", self.identifier),
            ("CHAP_C", self.challenge),
            ("CHAP_N", self.name),
            ("CHAP_R", self.response),
        ]
    }

    pub(super) fn is_empty(&self) -> bool {
        self.named().iter().all(|(_, item)| item.is_none())
    }

    /// No item but these belongs to the step (RFC 7143 §9.2).
    pub(super) fn only(&self, expected: &[&str]) -> Result<(), LoginError> {
        for (key, item) in self.named() {
            if let Some(value) = item
                && !expected.contains(&key)
            {
                return Err(key_problem(key, KeyProblem::OutOfStep, value));
            }
        }
        Ok(())
    }
}

/// Step 1: the algorithms of this node, best first.
pub(super) fn offer_algorithms(
    offer: &ChapAlgorithms,
    writer: &mut TextWriter<'_>,
) -> Result<(), LoginError> {
    struct Numbers<'o>(&'o ChapAlgorithms);
    impl fmt::Display for Numbers<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            self.0.iter().enumerate().try_for_each(|(index, algorithm)| {
                write!(f, "{}{}", if index == 0 { "" } else { "," }, algorithm.number())
            })
        }
    }
    Ok(writer.pair("CHAP_A", Numbers(offer))?)
}

/// Step 3: answers the target's CHAP_A, CHAP_I and CHAP_C, and sends `own` after it when the
/// target is to prove itself. Returns the algorithm that the target chose.
pub(super) fn answer_challenge(
    items: &Items<'_>,
    offer: &ChapAlgorithms,
    initiator_name: &str,
    initiator: &Credentials,
    own: Option<&OwnChallenge>,
    writer: &mut TextWriter<'_>,
) -> Result<ChapAlgorithm, LoginError> {
    items.only(&["CHAP_A", "CHAP_I", "CHAP_C"])?;
    let chosen = items.algorithm.ok_or_else(|| missing("CHAP_A"))?;
    if chosen == b"Reject" {
        return Err(LoginError::AuthFailed(AuthenticationFailure::AlgorithmRejected));
    }
    let number = text::number(chosen);
    let algorithm = offer
        .iter()
        .find(|algorithm| number == Some(algorithm.number().into()))
        .ok_or_else(|| key_problem("CHAP_A", KeyProblem::NotOffered, chosen))?;
    let identifier = items.identifier.ok_or_else(|| missing("CHAP_I"))?;
    let identifier = text::number(identifier)
        .and_then(|identifier| u8::try_from(identifier).ok())
        .ok_or_else(|| bad_item("CHAP_I"))?;
    let challenge = items.challenge.ok_or_else(|| missing("CHAP_C"))?;
    let mut buffer = [0; MAX_CHALLENGE_LENGTH];
    let challenge = text::decode_binary(challenge, &mut buffer).map_err(|_| bad_item("CHAP_C"))?;
    if OwnChallenge::is_marked(challenge, &initiator.secret) {
        return Err(LoginError::AuthFailed(AuthenticationFailure::ChallengeReflected));
    }
    writer.pair("CHAP_N", initiator.name.as_deref().unwrap_or(initiator_name))?;
    let response = algorithm.response(identifier, &initiator.secret, challenge);
    writer.pair("CHAP_R", Hex(response.expose()))?;
    if let Some(own) = own {
        writer.pair("CHAP_I", own.identifier)?;
        writer.pair("CHAP_C", Hex(&own.bytes))?;
    }
    Ok(algorithm)
}

/// Step 4: judges the target's CHAP_N and CHAP_R for our challenge.
pub(super) fn verify_target(
    items: &Items<'_>,
    algorithm: ChapAlgorithm,
    own: &OwnChallenge,
    initiator: &Credentials,
    target: &Credentials,
) -> Result<(), LoginError> {
    items.only(&["CHAP_N", "CHAP_R"])?;
    let name = items.name.ok_or_else(|| missing("CHAP_N"))?;
    let response = items.response.ok_or_else(|| missing("CHAP_R"))?;
    if name.is_empty() || name.len() > 255 {
        return Err(bad_item("CHAP_N"));
    }
    if target.name.as_ref().is_some_and(|configured| configured.as_bytes() != name) {
        return Err(LoginError::AuthFailed(AuthenticationFailure::TargetName));
    }
    let mut buffer = [0; MAX_RESPONSE_LENGTH];
    let response = text::decode_binary(response, &mut buffer).map_err(|error| match error {
        BinaryError::TooLong => LoginError::AuthFailed(AuthenticationFailure::TargetResponse),
        _ => bad_item("CHAP_R"),
    })?;
    // Compared as secrets are: in constant time.
    let response = Secret::of_digest(response);
    let ours = algorithm.response(own.identifier, &initiator.secret, &own.bytes);
    if response == ours {
        return Err(LoginError::AuthFailed(AuthenticationFailure::ResponseReflected));
    }
    let expected = algorithm.response(own.identifier, &target.secret, &own.bytes);
    if response != expected {
        return Err(LoginError::AuthFailed(AuthenticationFailure::TargetResponse));
    }
    Ok(())
}

fn missing(key: &'static str) -> LoginError {
    LoginError::AuthFailed(AuthenticationFailure::Missing(key))
}

fn bad_item(key: &'static str) -> LoginError {
    LoginError::AuthFailed(AuthenticationFailure::BadItem(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's hashlib.
    #[test]
    fn known_responses() {
        let rising: [u8; 16] = core::array::from_fn(|index| index as u8);
        let initiator = Secret::new(b"initiatorsecret1").unwrap();
        let target = Secret::new(b"targetsecret0002").unwrap();
        for (identifier, secret, challenge, response) in [
            (1, &initiator, &rising[..], "0xb5acf4353f7f990cd7cd8a562f75712e"),
            (255, &initiator, &[0xa5; 1024], "0x14a18dd0acb2e1eecfab36cfc55172d4"),
            (0, &initiator, &[0], "0x572f9813e6a1b0e08e94a609ffc7c514"),
            (42, &target, &rising.map(|byte| byte + 16), "0x14596fd8b2bfc8bf4fb90cea382c84ba"),
        ] {
            let ours = ChapAlgorithm::Md5.response(identifier, secret, challenge);
            assert_eq!(std::format!("{}", Hex(ours.expose())), response);
        }
    }
}
