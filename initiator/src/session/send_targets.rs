//! SendTargets: what is asked, and what a line of the answer says (RFC 7143 appendix C).

use core::fmt;

use crate::login::text::Pair;
use crate::login::{Name, TargetAddress};

/// What to ask a target for (RFC 7143 appendix C).
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "without an allocator there is nothing to box in")]
pub enum SendTargets {
    /// Every target that this initiator may know of. In a Discovery session only.
    All,
    /// The addresses of this target.
    Name(Name),
    /// The addresses of the target of this session. In a Normal session only.
    Session,
}

/// The value of the key.
impl fmt::Display for SendTargets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("All"),
            Self::Name(name) => name.fmt(f),
            Self::Session => Ok(()),
        }
    }
}

/// A target, and one of the addresses at which it can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundTarget {
    /// TargetName.
    pub name: Name,
    /// TargetAddress; where the question was asked when the answer holds none for the target.
    pub address: TargetAddress,
}

impl fmt::Display for FoundTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.name, self.address)
    }
}

/// What became of a whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Discovered {
    /// Addresses found: so many times was there an [`Event::TargetFound`](super::Event::TargetFound).
    pub found: u32,
    /// Names and addresses that cannot be used: too long, malformed, an address without a name.
    pub unusable: u32,
    /// The answer was longer than [`ANSWER_LIMIT`](super::ANSWER_LIMIT): there are more targets.
    pub truncated: bool,
}

/// An answer, line by line: a TargetName and then its addresses, if any.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The target that addresses belong to. `None` before the first, and after a name that
    /// cannot be used: its addresses are nobody's.
    target: Option<Name>,
    /// An address of that target has come, of use or not.
    has_address: bool,
    /// What was told last.
    found: Option<FoundTarget>,
    pub(super) so_far: Discovered,
}

/// A key that has no place in the answer.
pub(super) struct ForeignKey;

impl Answer {
    /// What was told last.
    pub(super) fn found(&self) -> Option<&FoundTarget> {
        self.found.as_ref()
    }

    /// Forgets a part of an answer; what was told last can still be looked at.
    pub(super) fn start_again(&mut self) {
        let found = self.found.take();
        *self = Self { found, ..Self::default() };
    }

    /// Takes the next pair, `whole` unless its end was cut off; whether there is something to
    /// tell.
    pub(super) fn take(
        &mut self,
        pair: Pair<'_>,
        whole: bool,
        asked: &TargetAddress,
    ) -> Result<bool, ForeignKey> {
        match pair.key {
            "TargetName" => {
                let told = self.end_target(asked);
                let name = core::str::from_utf8(pair.value).ok().filter(|_| whole);
                self.target = name.and_then(|name| Name::new(name).ok());
                self.has_address = false;
                if self.target.is_none() {
                    self.pass_over(pair);
                }
                Ok(told)
            }
            "TargetAddress" => {
                self.has_address = true;
                let address = TargetAddress::parse(pair.value).ok().filter(|_| whole);
                let Some((name, address)) = self.target.clone().zip(address) else {
                    self.pass_over(pair);
                    return Ok(false);
                };
                self.tell(FoundTarget { name, address });
                Ok(true)
            }
            _ => Err(ForeignKey),
        }
    }

    /// The target so far is complete; without an address it is where the question was `asked`.
    pub(super) fn end_target(&mut self, asked: &TargetAddress) -> bool {
        match self.target.take() {
            Some(name) if !self.has_address => {
                self.tell(FoundTarget { name, address: asked.clone() });
                true
            }
            _ => false,
        }
    }

    fn tell(&mut self, found: FoundTarget) {
        self.so_far.found = self.so_far.found.saturating_add(1);
        self.found = Some(found);
    }

    fn pass_over(&mut self, pair: Pair<'_>) {
        self.so_far.unusable = self.so_far.unusable.saturating_add(1);
        log::warn!("a {} that SendTargets told cannot be used", pair.key);
    }
}
