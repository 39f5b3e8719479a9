//! The keys' values in one login: ours, theirs, active (RFC 7143 §6.2).

use super::error::{Disagreement, KeyProblem, LoginError};
use super::keys::{KEY_COUNT, KEYS, Key, KeyId, ResultFunction, Senders, Stages, Value};
use super::text::{self, TextFull, TextWriter};

/// One key's values.
#[derive(Clone, Copy)]
struct Held {
    /// What this node wants, whether it was sent or not.
    ours: Value,
    /// `ours` was sent and awaits an answer, or was declared.
    offered: bool,
    /// The target sent this key: no second time (§6.3).
    heard: bool,
    /// The target's answer or declaration; `Unset` when it gave a reserved word or none.
    theirs: Value,
    /// What holds.
    active: Value,
}

/// All keys' values in one login attempt.
pub(super) struct Parameters {
    held: [Held; KEY_COUNT],
    discovery: bool,
}

impl Parameters {
    /// No login: nothing wanted, nothing agreed.
    pub(super) const NONE: Parameters =
        Parameters { held: [Held::UNSET; KEY_COUNT], discovery: false };

    /// Nothing said yet: defaults hold. `wanted` tells this node's value for each key that it has
    /// a wish for.
    pub(super) fn new(discovery: bool, wanted: &[(KeyId, Value)]) -> Parameters {
        let mut parameters = Parameters { discovery, ..Parameters::NONE };
        for (held, key) in parameters.held.iter_mut().zip(&KEYS) {
            held.active = key.default;
            let wish = wanted.iter().find(|(id, _)| *id == key.id);
            held.ours = wish.map_or(Value::Unset, |(_, value)| *value);
        }
        parameters
    }

    /// Writes this node's value of every key that it has one for, in the table's order: the
    /// offers and declarations of the operational stage.
    pub(super) fn offer_all(&mut self, writer: &mut TextWriter<'_>) -> Result<(), TextFull> {
        let (discovery, no_first_burst) = (self.discovery, self.no_first_burst());
        for (held, key) in self.held.iter_mut().zip(&KEYS) {
            let relevant = is_relevant(key, discovery, no_first_burst);
            if key.stage == Stages::Operational && relevant && is_worth_saying(key, held.ours) {
                held.offered = write_value(writer, key.name, held.ours)?;
            }
        }
        Ok(())
    }

    /// Whether this node's own offer rules unsolicited data out: FirstBurstLength then means
    /// nothing (§13.14).
    fn no_first_burst(&self) -> bool {
        self.held(KeyId::InitialR2T).ours == Value::Boolean(true)
            && self.held(KeyId::ImmediateData).ours == Value::Boolean(false)
    }

    /// Takes a pair from the target that concerns the parameters: an answer, a declaration, or a
    /// proposal, whose answer is written. `security` tells the stage, `transit` that the response
    /// ends it.
    pub(super) fn receive(
        &mut self,
        key: &'static Key,
        value: &[u8],
        security: bool,
        transit: bool,
        writer: &mut TextWriter<'_>,
    ) -> Result<(), LoginError> {
        let no_first_burst = self.no_first_burst();
        let relevant = is_relevant(key, self.discovery, no_first_burst);
        let Some(held) = self.held.get_mut(key.id as usize) else {
            return Err(key.problem(KeyProblem::BadValue, value));
        };
        if key.senders == Senders::Initiator {
            return Err(key.problem(KeyProblem::WrongSender, value));
        }
        match key.stage {
            Stages::Security if !security => {
                return Err(key.problem(KeyProblem::WrongStage, value));
            }
            Stages::Operational if security => {
                return Err(key.problem(KeyProblem::WrongStage, value));
            }
            _ => {}
        }
        if held.heard && key.id != KeyId::TargetAddress {
            return Err(key.problem(KeyProblem::Repeated, value));
        }
        held.heard = true;
        if key.result == ResultFunction::Declarative {
            held.theirs = key.read(value).map_err(|problem| key.problem(problem, value))?;
            return Ok(());
        }
        if held.offered {
            return held.take_answer(key, value);
        }
        // A proposal of the target's own.
        if matches!(value, b"Irrelevant" | b"NotUnderstood" | b"Reject") {
            return Err(key.problem(KeyProblem::ReservedWord, value));
        }
        let is_idle = no_first_burst && key.id == KeyId::FirstBurstLength;
        if transit && is_idle && key.answer(held.ours, value).is_some() {
            // LIO proposes FirstBurstLength with its last response when it was not offered: what
            // means nothing needs no answer.
            return Ok(());
        }
        if transit {
            return Err(key.problem(KeyProblem::ProposedWithTransit, value));
        }
        if key.result == ResultFunction::Obsolete {
            return Ok(writer.pair(key.name, "Reject")?);
        }
        match key.answer(held.ours, value) {
            Some(_) if !relevant => writer.pair(key.name, "Irrelevant")?,
            Some(agreed) => {
                held.theirs = agreed;
                held.active = agreed;
                write_value(writer, key.name, agreed)?;
            }
            None => writer.pair(key.name, "Reject")?,
        }
        Ok(())
    }

    /// Settles the keys that the target did not answer, and the rules between keys, once both
    /// sides want full feature phase.
    pub(super) fn conclude(&mut self) -> Result<(), LoginError> {
        for (held, key) in self.held.iter_mut().zip(&KEYS) {
            if held.offered && !held.heard {
                held.active = match (key.result, held.ours) {
                    // Decided by the offer alone; an answer may be left out (§6.2.2).
                    (ResultFunction::And, Value::Boolean(false))
                    | (ResultFunction::Or, Value::Boolean(true)) => held.ours,
                    // Results come only from what was said (§6.2): the offer is not in force.
                    _ => key.default,
                };
            }
        }
        for id in [KeyId::HeaderDigest, KeyId::DataDigest] {
            let held = self.held(id);
            if let (Value::Choices(acceptable), Value::Choice(active)) = (held.ours, held.active)
                && !acceptable.contains(&active)
            {
                let name = KEYS.get(id as usize).map_or("", |key| key.name);
                return Err(LoginError::NotAgreed(Disagreement::DigestUnanswered(name)));
            }
        }
        Ok(())
    }

    /// What holds for a numeric key.
    pub(super) fn number(&self, id: KeyId) -> u32 {
        match self.held(id).active {
            Value::Number(number) => number,
            _ => 0,
        }
    }

    /// What holds for a boolean key.
    pub(super) fn boolean(&self, id: KeyId) -> bool {
        self.held(id).active == Value::Boolean(true)
    }

    /// Whether this choice holds for a list key.
    pub(super) fn chose(&self, id: KeyId, name: &str) -> bool {
        matches!(self.held(id).active, Value::Choice(active) if active == name)
    }

    /// What the target declared for a numeric key.
    pub(super) fn declared(&self, id: KeyId) -> Option<u32> {
        match self.held(id).theirs {
            Value::Number(number) => Some(number),
            _ => None,
        }
    }

    fn held(&self, id: KeyId) -> Held {
        self.held.get(id as usize).copied().unwrap_or(Held::UNSET)
    }
}

impl Held {
    const UNSET: Held = Held {
        ours: Value::Unset,
        offered: false,
        heard: false,
        theirs: Value::Unset,
        active: Value::Unset,
    };

    /// The answer to what was offered.
    fn take_answer(&mut self, key: &'static Key, value: &[u8]) -> Result<(), LoginError> {
        let digest = matches!(key.id, KeyId::HeaderDigest | KeyId::DataDigest);
        match value {
            // Some targets digest after all: going on would read CRCs as headers.
            b"Reject" if digest => {
                Err(LoginError::NotAgreed(Disagreement::DigestRejected(key.name)))
            }
            // The default holds (§6.2).
            b"Reject" | b"Irrelevant" if !digest => Ok(()),
            b"NotUnderstood" if key.newer => Ok(()),
            b"NotUnderstood" => Err(key.problem(KeyProblem::NotUnderstood, value)),
            _ => {
                let agreed = key
                    .read(value)
                    .and_then(|theirs| key.conclude(self.ours, theirs))
                    .map_err(|problem| key.problem(problem, value))?;
                self.theirs = agreed;
                self.active = agreed;
                Ok(())
            }
        }
    }
}

/// Whether a key means anything in this login (§13: "Irrelevant when").
fn is_relevant(key: &Key, discovery: bool, no_first_burst: bool) -> bool {
    let means_nothing =
        discovery && key.only_normal || no_first_burst && key.id == KeyId::FirstBurstLength;
    !means_nothing
}

/// Newer keys are said only where their default will not do: older targets do not know them.
fn is_worth_saying(key: &Key, ours: Value) -> bool {
    !key.newer || matches!(ours, Value::Number(_)) && ours != key.default
}

/// Writes a value; `false` when there is none to write.
fn write_value(writer: &mut TextWriter<'_>, key: &str, value: Value) -> Result<bool, TextFull> {
    match value {
        Value::Number(number) => writer.pair(key, number)?,
        Value::Boolean(boolean) => writer.pair(key, text::yes_or_no(boolean))?,
        Value::Choice(name) => writer.pair(key, name)?,
        Value::Choices(names) => writer.pair(key, text::List(names))?,
        Value::Unset => return Ok(false),
    }
    Ok(true)
}
