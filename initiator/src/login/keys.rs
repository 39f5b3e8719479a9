//! The keys of RFC 7143 as one table.

use super::error::{KeyProblem, Limit, LoginError, Misbehaviour};
use super::excerpt::Excerpt;
use super::text::{self, Pair, TextFull, TextWriter};

/// A row of the table: everything RFC 7143 §12 and §13 say about a key.
pub(super) struct Key {
    pub(super) id: KeyId,
    pub(super) name: &'static str,
    values: Values,
    /// What holds when nothing is agreed.
    pub(super) default: Value,
    pub(super) result: ResultFunction,
    #[expect(dead_code, reason = "told apart only by a second connection of a session")]
    scope: Scope,
    pub(super) stage: Stages,
    pub(super) senders: Senders,
    /// Irrelevant in a Discovery session.
    pub(super) only_normal: bool,
    /// Defined after RFC 3720: `NotUnderstood` is a legal answer.
    pub(super) newer: bool,
}

/// What a value of the key looks like.
#[derive(Clone, Copy)]
enum Values {
    Number {
        from: u32,
        to: u32,
    },
    Boolean,
    /// Any of these, in a list when proposed.
    List(&'static [&'static str]),
    /// Read by whoever the key is for.
    Text,
}

/// How two values make one (§6.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum ResultFunction {
    Minimum,
    Maximum,
    And,
    Or,
    FirstMatch,
    /// Each side tells its own; nothing is agreed.
    Declarative,
    /// Obsolete: answered `Reject` (§13.25).
    Obsolete,
    /// By the steps of the authentication method (§12.1).
    ByStep,
}

/// How far a value reaches (§13).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Session,
    Connection,
}

/// Where in the login the key may stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stages {
    Security,
    Operational,
    Any,
    /// Full feature phase only.
    NotInLogin,
}

/// Who may send the key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Senders {
    Initiator,
    Target,
    Both,
}

/// A value of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Number(u32),
    Boolean(bool),
    Choice(&'static str),
    /// Acceptable choices, best first.
    Choices(&'static [&'static str]),
    Unset,
}

/// Every key by name, in the order of [`KEYS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyId {
    AuthMethod,
    ChapA,
    ChapI,
    ChapC,
    ChapN,
    ChapR,
    OtherMethod,
    HeaderDigest,
    DataDigest,
    MaxConnections,
    SendTargets,
    TargetName,
    InitiatorName,
    TargetAlias,
    InitiatorAlias,
    TargetAddress,
    TargetPortalGroupTag,
    InitialR2T,
    ImmediateData,
    MaxRecvDataSegmentLength,
    MaxBurstLength,
    FirstBurstLength,
    DefaultTime2Wait,
    DefaultTime2Retain,
    MaxOutstandingR2T,
    DataPduInOrder,
    DataSequenceInOrder,
    ErrorRecoveryLevel,
    SessionType,
    TaskReporting,
    IscsiProtocolLevel,
    NodeArchitecture,
    IfMarker,
    OfMarker,
    IfMarkInt,
    OfMarkInt,
}

pub(super) const KEY_COUNT: usize = KeyId::OfMarkInt as usize + 1;
const LENGTH: Values = Values::Number { from: 512, to: 0x00ff_ffff };
const SECONDS: Values = Values::Number { from: 0, to: 3600 };
const COUNT_16: Values = Values::Number { from: 1, to: 65535 };
const DIGESTS: Values = Values::List(&["CRC32C", "None"]);

#[expect(clippy::too_many_arguments, reason = "one for each column of the table")]
const fn key(
    id: KeyId,
    name: &'static str,
    values: Values,
    default: Value,
    result: ResultFunction,
    scope: Scope,
    stage: Stages,
    senders: Senders,
) -> Key {
    let (only_normal, newer) = (false, false);
    Key { id, name, values, default, result, scope, stage, senders, only_normal, newer }
}

const fn only_normal(key: Key) -> Key {
    Key { only_normal: true, ..key }
}

const fn newer(key: Key) -> Key {
    Key { newer: true, ..key }
}

/// All keys. Columns: values, default, result function, scope, stage, senders.
#[rustfmt::skip]
pub(super) static KEYS: [Key; KEY_COUNT] = {
    use KeyId as Id;
    use ResultFunction::{And, ByStep, Declarative, FirstMatch, Maximum, Minimum, Obsolete, Or};
    use Scope::{Connection, Session};
    use Senders::{Both, Initiator, Target};
    use Stages::{Any, NotInLogin, Operational, Security};
    use Value::{Boolean as B, Choice, Number as N, Unset};
    use Values::{Boolean, List, Number, Text};
    [
        key(Id::AuthMethod, "AuthMethod", Text, Unset, ByStep, Connection, Security, Both),
        key(Id::ChapA, "CHAP_A", Text, Unset, ByStep, Connection, Security, Both),
        key(Id::ChapI, "CHAP_I", Text, Unset, ByStep, Connection, Security, Both),
        key(Id::ChapC, "CHAP_C", Text, Unset, ByStep, Connection, Security, Both),
        key(Id::ChapN, "CHAP_N", Text, Unset, ByStep, Connection, Security, Both),
        key(Id::ChapR, "CHAP_R", Text, Unset, ByStep, Connection, Security, Both),
        // Kerberos and SRP (§12.1.1, §12.1.2): OTHER_METHODS, none of which is ever offered.
        key(Id::OtherMethod, "", Text, Unset, ByStep, Connection, Security, Both),
        key(Id::HeaderDigest, "HeaderDigest", DIGESTS, Choice("None"), FirstMatch, Connection, Operational, Both),
        key(Id::DataDigest, "DataDigest", DIGESTS, Choice("None"), FirstMatch, Connection, Operational, Both),
        only_normal(key(Id::MaxConnections, "MaxConnections", COUNT_16, N(1), Minimum, Session, Operational, Both)),
        key(Id::SendTargets, "SendTargets", Text, Unset, Declarative, Session, NotInLogin, Initiator),
        key(Id::TargetName, "TargetName", Text, Unset, Declarative, Session, Any, Initiator),
        key(Id::InitiatorName, "InitiatorName", Text, Unset, Declarative, Session, Any, Initiator),
        key(Id::TargetAlias, "TargetAlias", Text, Unset, Declarative, Session, Any, Target),
        key(Id::InitiatorAlias, "InitiatorAlias", Text, Unset, Declarative, Session, Any, Initiator),
        key(Id::TargetAddress, "TargetAddress", Text, Unset, Declarative, Session, Any, Target),
        key(Id::TargetPortalGroupTag, "TargetPortalGroupTag", Number { from: 0, to: 65535 }, Unset, Declarative, Session, Any, Target),
        only_normal(key(Id::InitialR2T, "InitialR2T", Boolean, B(true), Or, Session, Operational, Both)),
        only_normal(key(Id::ImmediateData, "ImmediateData", Boolean, B(true), And, Session, Operational, Both)),
        key(Id::MaxRecvDataSegmentLength, "MaxRecvDataSegmentLength", LENGTH, N(8192), Declarative, Connection, Operational, Both),
        only_normal(key(Id::MaxBurstLength, "MaxBurstLength", LENGTH, N(262_144), Minimum, Session, Operational, Both)),
        only_normal(key(Id::FirstBurstLength, "FirstBurstLength", LENGTH, N(65_536), Minimum, Session, Operational, Both)),
        key(Id::DefaultTime2Wait, "DefaultTime2Wait", SECONDS, N(2), Maximum, Session, Operational, Both),
        key(Id::DefaultTime2Retain, "DefaultTime2Retain", SECONDS, N(20), Minimum, Session, Operational, Both),
        only_normal(key(Id::MaxOutstandingR2T, "MaxOutstandingR2T", COUNT_16, N(1), Minimum, Session, Operational, Both)),
        only_normal(key(Id::DataPduInOrder, "DataPDUInOrder", Boolean, B(true), Or, Session, Operational, Both)),
        only_normal(key(Id::DataSequenceInOrder, "DataSequenceInOrder", Boolean, B(true), Or, Session, Operational, Both)),
        key(Id::ErrorRecoveryLevel, "ErrorRecoveryLevel", Number { from: 0, to: 2 }, N(0), Minimum, Session, Operational, Both),
        key(Id::SessionType, "SessionType", Text, Unset, Declarative, Session, Any, Initiator),
        newer(only_normal(key(Id::TaskReporting, "TaskReporting", List(&["RFC3720", "ResponseFence", "FastAbort"]), Choice("RFC3720"), FirstMatch, Session, Operational, Both))),
        newer(only_normal(key(Id::IscsiProtocolLevel, "iSCSIProtocolLevel", Number { from: 0, to: 31 }, N(1), Minimum, Session, Operational, Both))),
        newer(key(Id::NodeArchitecture, "X#NodeArchitecture", Text, Unset, Declarative, Session, Any, Both)),
        key(Id::IfMarker, "IFMarker", Text, Unset, Obsolete, Session, Operational, Both),
        key(Id::OfMarker, "OFMarker", Text, Unset, Obsolete, Session, Operational, Both),
        key(Id::IfMarkInt, "IFMarkInt", Text, Unset, Obsolete, Session, Operational, Both),
        key(Id::OfMarkInt, "OFMarkInt", Text, Unset, Obsolete, Session, Operational, Both),
    ]
};

/// Keys of authentication methods that are never offered (§12.1.1, §12.1.2).
const OTHER_METHODS: [&str; 12] = [
    "KRB_AP_REQ",
    "KRB_AP_REP",
    "TargetAuth",
    "SRP_U",
    "SRP_GROUP",
    "SRP_N",
    "SRP_g",
    "SRP_s",
    "SRP_A",
    "SRP_B",
    "SRP_M",
    "SRP_HM",
];

impl Key {
    /// The row of a key that came in, `None` for one that RFC 7143 does not define.
    pub(super) fn named(name: &str) -> Option<&'static Key> {
        let other = OTHER_METHODS.contains(&name);
        KEYS.iter().find(|key| match key.id {
            KeyId::OtherMethod => other,
            _ => key.name == name,
        })
    }

    /// Whether the key belongs to a step of the authentication, not to the parameters.
    pub(super) fn is_by_step(&self) -> bool {
        self.result == ResultFunction::ByStep
    }

    pub(super) fn problem(&self, problem: KeyProblem, value: &[u8]) -> LoginError {
        let name = if self.id == KeyId::OtherMethod { "Kerberos or SRP key" } else { self.name };
        key_problem(name, problem, value)
    }

    /// Reads a single value of this key, as an answer or a declaration.
    pub(super) fn read(&self, value: &[u8]) -> Result<Value, KeyProblem> {
        match self.values {
            Values::Number { from, to } => {
                let number = text::number(value).ok_or(KeyProblem::BadValue)?;
                let number = u32::try_from(number).map_err(|_| KeyProblem::OutOfRange)?;
                if (from..=to).contains(&number) {
                    Ok(Value::Number(number))
                } else {
                    Err(KeyProblem::OutOfRange)
                }
            }
            Values::Boolean => text::boolean(value).map(Value::Boolean).ok_or(KeyProblem::BadValue),
            Values::List(known) => known
                .iter()
                .find(|name| name.as_bytes() == value)
                .map(|name| Value::Choice(name))
                .ok_or(KeyProblem::NotOffered),
            Values::Text => Ok(Value::Unset),
        }
    }

    /// What `ours`, offered, and `theirs`, answered, come to; an answer that the result function
    /// cannot give is an error (§6.2.1, §6.2.2).
    pub(super) fn conclude(&self, ours: Value, theirs: Value) -> Result<Value, KeyProblem> {
        let allowed = match (self.result, ours, theirs) {
            (ResultFunction::Minimum, Value::Number(ours), Value::Number(theirs)) => theirs <= ours,
            (ResultFunction::Maximum, Value::Number(ours), Value::Number(theirs)) => theirs >= ours,
            (ResultFunction::And, Value::Boolean(ours), Value::Boolean(theirs)) => ours || !theirs,
            (ResultFunction::Or, Value::Boolean(ours), Value::Boolean(theirs)) => !ours || theirs,
            (ResultFunction::FirstMatch, Value::Choices(ours), Value::Choice(theirs)) => {
                return if ours.contains(&theirs) {
                    Ok(Value::Choice(theirs))
                } else {
                    Err(KeyProblem::NotOffered)
                };
            }
            _ => false,
        };
        if allowed { Ok(theirs) } else { Err(KeyProblem::BreaksResult) }
    }

    /// The answer to a proposal: what both come to, `None` for `Reject` (§6.2.1, §6.2.2).
    pub(super) fn answer(&self, ours: Value, proposal: &[u8]) -> Option<Value> {
        if let (ResultFunction::FirstMatch, Value::Choices(ours)) = (self.result, ours) {
            let mut known = text::list(proposal)
                .filter_map(|value| ours.iter().find(|name| name.as_bytes() == value));
            return known.next().map(|name| Value::Choice(name));
        }
        match (self.result, ours, self.read(proposal).ok()?) {
            (ResultFunction::Minimum, Value::Number(ours), Value::Number(theirs)) => {
                Some(Value::Number(ours.min(theirs)))
            }
            (ResultFunction::Maximum, Value::Number(ours), Value::Number(theirs)) => {
                Some(Value::Number(ours.max(theirs)))
            }
            (ResultFunction::And, Value::Boolean(ours), Value::Boolean(theirs)) => {
                Some(Value::Boolean(ours && theirs))
            }
            (ResultFunction::Or, Value::Boolean(ours), Value::Boolean(theirs)) => {
                Some(Value::Boolean(ours || theirs))
            }
            _ => None,
        }
    }
}

/// What a key means that the target sends in full feature phase (RFC 7143 §6.4, §13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FullFeatureKey {
    /// The longest data segment that the target takes from now on, in bytes.
    MaxRecvDataSegmentLength(u32),
    /// Told, and nothing to answer.
    Declared,
    /// Not defined by RFC 7143: answered `NotUnderstood`.
    Unknown,
    /// For the login alone, not the target's to send, or with a value that it cannot have.
    NotAllowed,
}

impl FullFeatureKey {
    pub(crate) fn of(pair: Pair<'_>) -> FullFeatureKey {
        let Some(key) = Key::named(pair.key) else {
            return match pair.value {
                b"NotUnderstood" | b"Reject" | b"Irrelevant" => FullFeatureKey::NotAllowed,
                _ => FullFeatureKey::Unknown,
            };
        };
        if key.id == KeyId::MaxRecvDataSegmentLength {
            return match key.read(pair.value) {
                Ok(Value::Number(bytes)) => FullFeatureKey::MaxRecvDataSegmentLength(bytes),
                _ => FullFeatureKey::NotAllowed,
            };
        }
        match (key.stage, key.senders) {
            (Stages::Any, Senders::Target | Senders::Both) => FullFeatureKey::Declared,
            _ => FullFeatureKey::NotAllowed,
        }
    }
}

/// The error for a key that the target sent.
pub(super) fn key_problem(key: &'static str, problem: KeyProblem, value: &[u8]) -> LoginError {
    let value = Excerpt::of(value);
    LoginError::PeerMisbehaved(Misbehaviour::Key { key, problem, value })
}

impl From<TextFull> for LoginError {
    fn from(full: TextFull) -> LoginError {
        LoginError::LimitReached(Limit::SentText(full.capacity))
    }
}

/// Takes a key that RFC 7143 does not define: it is answered `NotUnderstood` (§6.2), if need be
/// in the next stage.
pub(super) fn answer_unknown(
    pair: Pair<'_>,
    writer: &mut TextWriter<'_>,
) -> Result<(), LoginError> {
    match pair.value {
        b"NotUnderstood" | b"Reject" | b"Irrelevant" => {
            Err(key_problem("unknown key", KeyProblem::ReservedWord, pair.key.as_bytes()))
        }
        _ => Ok(writer.pair(pair.key, "NotUnderstood")?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_its_names() {
        for (index, key) in KEYS.iter().enumerate() {
            assert_eq!(key.id as usize, index, "{}", key.name);
            let named = Key::named(key.name).map(|named| named.id);
            assert!(named == Some(key.id) || key.id == KeyId::OtherMethod);
        }
        assert_eq!(Key::named("SRP_U").map(|key| key.id), Some(KeyId::OtherMethod));
        for name in ["", "headerdigest", "HeaderDiges", "HeaderDigestX", "X-vendor"] {
            assert!(Key::named(name).is_none(), "{name}");
        }
    }

    #[test]
    fn every_default_is_a_legal_value() {
        for key in &KEYS {
            let legal = match (key.values, key.default) {
                (Values::Number { from, to }, Value::Number(number)) => {
                    (from..=to).contains(&number)
                }
                (Values::Boolean, Value::Boolean(_)) => true,
                (Values::List(known), Value::Choice(name)) => known.contains(&name),
                (_, default) => default == Value::Unset,
            };
            assert!(legal, "{}", key.name);
        }
    }
}
