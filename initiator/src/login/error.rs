//! Why a login ended, and whose fault it was.

use core::fmt;

use super::excerpt::Excerpt;
use super::text::TextError;

/// Why a login ended (RFC 7143 §6, §7.12, §11.13.5): every one of them ends the connection too.
///
/// The variant says whose fault it is; the value says what was being done and what came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginError {
    /// The configuration cannot be used, or a call came out of order. Nothing was sent.
    ApiMisuse(ConfigurationError),
    /// The target's text breaks the `key=value` format (§6.1).
    Malformed(TextError),
    /// The target's response is well formed and breaks a rule of the login phase.
    PeerMisbehaved(Misbehaviour),
    /// Both sides keep the rules and cannot meet: a digest, a portal group.
    NotAgreed(Disagreement),
    /// The target ended the login with this status (§11.13.5); see [`status_meaning`].
    Rejected {
        /// Status-Class: 2 initiator error, 3 target error.
        class: u8,
        /// Status-Detail, which refines the class.
        detail: u8,
    },
    /// Authentication did not succeed, in either direction (§9.2, §12.1.3).
    AuthFailed(AuthenticationFailure),
    /// The login went on longer, or said more, than the limits allow.
    LimitReached(Limit),
}

impl LoginError {
    /// Whether the same login may succeed later without anything being changed.
    ///
    /// True for status class 3 alone (§11.13.5: "may be tried later"); wait before doing so. A
    /// connection that was lost is not an error of the login and not covered here.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, LoginError::Rejected { class: 3, .. })
    }
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoginError::ApiMisuse(error) => write!(f, "cannot log in: {error}"),
            LoginError::Malformed(error) => {
                write!(f, "the target's login text is malformed: {error}")
            }
            LoginError::PeerMisbehaved(error) => {
                write!(f, "the target broke the login rules: {error}")
            }
            LoginError::NotAgreed(error) => write!(f, "no agreement with the target: {error}"),
            LoginError::Rejected { class, detail } => write!(
                f,
                "the target refused the login with status {class:02x}{detail:02x}h: {}",
                status_meaning(*class, *detail)
            ),
            LoginError::AuthFailed(error) => write!(f, "authentication failed: {error}"),
            LoginError::LimitReached(limit) => write!(f, "the login was given up: {limit}"),
        }
    }
}

impl core::error::Error for LoginError {}

/// What a login status says and what to try next (RFC 7143 §11.13.5).
///
/// The class alone is enough to act: an unknown detail reads like its class.
#[must_use]
pub fn status_meaning(class: u8, detail: u8) -> &'static str {
    match (class, detail) {
        (0, _) => "the login goes on",
        (1, 1) => "the target moved for now, to the address it names",
        (1, 2) => "the target moved for good, to the address it names",
        (1, _) => "the target moved, to the address it names",
        (2, 0) => "initiator error; the target gives no closer reason",
        (2, 1) => {
            "authentication failed; check the CHAP name and secret on both sides, and whether \
             the target demands CHAP"
        }
        (2, 2) => "this initiator is not authorized; add its name to the target's access list",
        (2, 3) => "target not found; check the target name and the portal",
        (2, 4) => "the target was removed and left no new address; check the configuration",
        (2, 5) => "the target does not speak iSCSI protocol version 0",
        (2, 6) => "too many connections in this session for the target",
        (2, 7) => "the target misses a parameter in the login request",
        (2, 8) => "the target cannot include this connection in the session",
        (2, 9) => "the target does not support this session type",
        (2, 10) => "the session to be joined does not exist on the target",
        (2, 11) => "the target calls the request invalid during login",
        (2, _) => "initiator error with an unknown detail; the same login will fail again",
        (3, 0) => "target error; try again later",
        (3, 1) => "the target's service is not available now; try again later",
        (3, 2) => "the target is out of resources; try again later",
        (3, _) => "target error with an unknown detail; try again later",
        _ => "a status class that the standard does not define",
    }
}

/// What is wrong with the configuration or with the order of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigurationError {
    /// A Normal session needs a target name (§13.4).
    TargetNameMissing,
    /// All zeros, or T field 11b, which is not used (§11.12.5).
    IsidUnusable,
    /// An alias or CHAP name is empty, or holds a NUL byte.
    BadText(&'static str),
    /// An offered value is outside the key's range (§13).
    OfferOutOfRange(&'static str),
    /// FirstBurstLength is above MaxBurstLength (§13.14).
    FirstBurstAboveMaxBurst,
    /// Mutual CHAP without entropy for a challenge: a predictable one proves nothing.
    NoEntropy,
    /// The entropy given makes a challenge that was already used (RFC 1994 §2.3).
    EntropyRepeated,
    /// The entropy given is one 64-bit word again and again: its source is stuck.
    EntropyStuck,
    /// One secret for both directions (§9.2.1).
    SameSecretBothWays,
    /// A secret below 96 bits, and such are not allowed (§9.2.1): whose.
    ShortSecret(&'static str),
    /// `request` or `on_response` without an attempt under way.
    NoLoginUnderWay,
    /// The response announces another number of bytes than were handed over.
    TextLengthDiffers,
}

impl fmt::Display for ConfigurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TargetNameMissing => "a Normal session needs a target name",
            Self::IsidUnusable => {
                "the ISID is all zeros or of the unused type 11b; choose another one"
            }
            Self::BadText(what) => return write!(f, "the {what} is empty or holds a NUL byte"),
            Self::OfferOutOfRange(key) => {
                return write!(f, "the value to offer for {key} is outside the key's range");
            }
            Self::FirstBurstAboveMaxBurst => "FirstBurstLength is above MaxBurstLength",
            Self::NoEntropy => "mutual CHAP needs entropy for its challenge, and there is none",
            Self::EntropyRepeated => {
                "the entropy for the CHAP challenge repeats; the random source is broken"
            }
            Self::EntropyStuck => {
                "the entropy for the CHAP challenge is one word again and again; the random source \
                 is broken"
            }
            Self::SameSecretBothWays => {
                "the initiator's and the target's CHAP secret are the same; they must differ"
            }
            Self::ShortSecret(whose) => {
                return write!(
                    f,
                    "the {whose}'s CHAP secret is shorter than 12 bytes and can be guessed; use a \
                     longer one on both sides, or allow short secrets"
                );
            }
            Self::NoLoginUnderWay => "no login is under way",
            Self::TextLengthDiffers => {
                "the text handed over and the response's DataSegmentLength differ"
            }
        })
    }
}

/// How the target broke the rules of the login phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misbehaviour {
    /// Version-active is not 0 (§11.13.2).
    Version(u8),
    /// The response's ISID is not ours (§11.13).
    Isid,
    /// CSG is not that of the request (§6.3).
    CurrentStage,
    /// T=1 in answer to T=0 (§11.13.6).
    TransitUnasked,
    /// NSG beyond the one asked for, or not ahead of CSG (§6.3).
    NextStage,
    /// T=1 together with C=1 (§11.13.7).
    TransitWithContinue,
    /// Text in answer to a request with C=1 (§6.2).
    TextBeforeRequestEnds,
    /// TSIH 0 in the final response of a new session (§11.13.3).
    TsihZero,
    /// A Login Response longer than 8192 bytes, the limit before full feature phase (§6.3).
    SegmentTooLong,
    /// Status-Class 04h–FFh, which is reserved (§11).
    StatusClass(u8),
    /// A redirection without a TargetAddress (§11.13.5).
    RedirectedNowhere,
    /// A redirection to an address that cannot be used.
    RedirectedTo(super::AddressError),
    /// A key, and what is wrong with it.
    Key {
        /// The key's name; an unknown key is shown in `value`.
        key: &'static str,
        /// What is wrong.
        problem: KeyProblem,
        /// The value that came, cut to a few bytes.
        value: Excerpt,
    },
}

impl fmt::Display for Misbehaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Version(version) => {
                return write!(f, "it answered with protocol version {version}, not 0");
            }
            Self::Isid => "its response carries another ISID",
            Self::CurrentStage => "its response is for another stage than the request",
            Self::TransitUnasked => "it changes stage (T=1) without being asked",
            Self::NextStage => "it changes to a stage that was not asked for",
            Self::TransitWithContinue => "its response has T=1 and C=1 together",
            Self::TextBeforeRequestEnds => "it sent text before the request was complete (C=1)",
            Self::TsihZero => "it ended the login of a new session with TSIH 0",
            Self::SegmentTooLong => "a login response is longer than 8192 bytes",
            Self::StatusClass(class) => {
                return write!(f, "status class {class:02x}h is reserved");
            }
            Self::RedirectedNowhere => "it redirects and names no TargetAddress",
            Self::RedirectedTo(error) => return write!(f, "it redirects to {error}"),
            Self::Key { key, problem, value } => {
                return write!(f, "{key}={value}: {problem}");
            }
        })
    }
}

/// What is wrong with a key that the target sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyProblem {
    /// Negotiated or declared twice in one login (§6.3).
    Repeated,
    /// Not allowed in this stage (§6.3, §12).
    WrongStage,
    /// Only an initiator sends this key, or only in full feature phase.
    WrongSender,
    /// Not a value of this key's type (§6.1).
    BadValue,
    /// Outside the key's range (§13).
    OutOfRange,
    /// Breaks the key's result function: above a minimum, below a maximum, not AND, not OR.
    BreaksResult,
    /// An answer that was not in the list offered (§6.2.1).
    NotOffered,
    /// `NotUnderstood` for a key that every implementation must understand (§6.2).
    NotUnderstood,
    /// `Reject`, `Irrelevant` or `NotUnderstood` for something never offered (§6.2).
    ReservedWord,
    /// A proposal inside a response that already changes stage (§11.13.6).
    ProposedWithTransit,
    /// Does not belong to this step of the authentication (§9.2).
    OutOfStep,
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Repeated => "negotiated or declared twice in one login",
            Self::WrongStage => "not allowed in this stage",
            Self::WrongSender => "not for a target to send during login",
            Self::BadValue => "not a value of this key's type",
            Self::OutOfRange => "outside the range of the key",
            Self::BreaksResult => "an answer that the result function does not allow",
            Self::NotOffered => "not in the list that was offered",
            Self::NotUnderstood => "every implementation must understand this key",
            Self::ReservedWord => "a reserved word for something never offered",
            Self::ProposedWithTransit => "needs an answer, yet the stage ends with it",
            Self::OutOfStep => "does not belong to this step of the authentication",
        })
    }
}

/// What the two sides could not agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disagreement {
    /// The target rejected this digest key. Some targets digest all the same: never go on.
    DigestRejected(&'static str),
    /// The target did not answer this digest key, and no digest was not acceptable.
    DigestUnanswered(&'static str),
    /// The target is of another portal group than expected (§6.3.1).
    PortalGroup {
        /// The group that the configuration names.
        expected: u16,
        /// The group that the target named.
        found: u16,
    },
    /// The target named no portal group, and one was expected (§6.3.1).
    PortalGroupMissing {
        /// The group that the configuration names.
        expected: u16,
    },
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DigestRejected(key) => write!(
                f,
                "it rejects every {key} offered; offer both CRC32C and None, or change the target"
            ),
            Self::DigestUnanswered(key) => {
                write!(f, "it did not answer {key}, and None is not acceptable here")
            }
            Self::PortalGroup { expected, found } => write!(
                f,
                "wrong portal group: {expected} expected, {found} found; discover the target again"
            ),
            Self::PortalGroupMissing { expected } => {
                write!(f, "it names no portal group, and group {expected} is expected")
            }
        }
    }
}

/// How authentication failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationFailure {
    /// The target rejects `AuthMethod=None`, and no CHAP is configured.
    ChapDemanded,
    /// The target rejects every method offered, CHAP among them.
    MethodRejected,
    /// CHAP is required and the target chose no method, or went on without it.
    MethodNotChosen,
    /// The target accepts none of the CHAP algorithms offered.
    AlgorithmRejected,
    /// A CHAP item of this step is missing.
    Missing(&'static str),
    /// A CHAP item cannot be read: not a number, bad hex or Base64, empty, too long.
    BadItem(&'static str),
    /// The target's challenge is one of ours, sent back (§9.2.1).
    ChallengeReflected,
    /// The target's CHAP_R is what this end would have sent for the same challenge (§9.2.1).
    ResponseReflected,
    /// The target's CHAP_N is not the configured one.
    TargetName,
    /// The target's CHAP_R is wrong: it does not hold the target secret.
    TargetResponse,
    /// The target went on without proving that it holds the target secret (§12.1.3).
    TargetNotProven,
}

impl fmt::Display for AuthenticationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ChapDemanded => {
                "the target does not let anyone in without authentication; configure a CHAP \
                 name and secret"
            }
            Self::MethodRejected => "the target does not take CHAP, the method offered",
            Self::MethodNotChosen => "CHAP is required, and the target did not choose it",
            Self::AlgorithmRejected => {
                "the target accepts none of the CHAP algorithms offered; allow one that it knows"
            }
            Self::Missing(key) => return write!(f, "the target left out {key}"),
            Self::BadItem(key) => return write!(f, "the target's {key} cannot be read"),
            Self::ChallengeReflected => "the target sent our own CHAP challenge back",
            Self::ResponseReflected => "the target sent our own CHAP response back",
            Self::TargetName => "the target's CHAP name is not the configured one",
            Self::TargetResponse => {
                "the target's CHAP response is wrong; check the target's secret on both sides"
            }
            Self::TargetNotProven => "the target did not prove its identity, as mutual CHAP asks",
        })
    }
}

/// Which limit was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// More exchanges than the limit.
    Exchanges(u16),
    /// More text in one logical response than the limit, in bytes.
    ReceivedText(usize),
    /// More to answer than one logical request holds, in bytes.
    SentText(usize),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exchanges(limit) => write!(f, "no end after {limit} exchanges"),
            Self::ReceivedText(limit) => {
                write!(f, "the target sent more than {limit} bytes of text at once")
            }
            Self::SentText(limit) => {
                write!(f, "the answers to the target's keys exceed {limit} bytes")
            }
        }
    }
}
