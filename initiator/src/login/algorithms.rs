//! The CHAP algorithms: which are acceptable, and which the next attempt offers.

use core::fmt;
use core::str::FromStr;

/// A CHAP algorithm (CHAP_A, RFC 7143 §12.1.3; the numbers are IANA's "PPP Authentication
/// Algorithms").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChapAlgorithm {
    /// 5: MD5, the one that every target knows.
    Md5,
    /// 6: SHA1.
    Sha1,
    /// 7: SHA-256.
    Sha256,
    /// 8: SHA3-256.
    Sha3_256,
}

impl ChapAlgorithm {
    const ALL: [ChapAlgorithm; 4] = [Self::Sha3_256, Self::Sha256, Self::Sha1, Self::Md5];

    /// The number on the wire.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Md5 => 5,
            Self::Sha1 => 6,
            Self::Sha256 => 7,
            Self::Sha3_256 => 8,
        }
    }

    /// The name for people: `md5`, `sha1`, `sha256`, `sha3-256`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha3_256 => "sha3-256",
        }
    }
}

impl fmt::Display for ChapAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The CHAP algorithms that are acceptable, in order of preference: at least one, each once.
///
/// RFC 7143 §12.1.3 wants MD5 in every list, and the default has it, last. A list without it is
/// a policy: a target that knows nothing better is refused.
///
/// Its text form is names with commas between, such as `sha256,md5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChapAlgorithms([Option<ChapAlgorithm>; ChapAlgorithm::ALL.len()]);

impl ChapAlgorithms {
    /// These algorithms, best first.
    ///
    /// # Errors
    /// [`ChapAlgorithmsError`] when there is none, or one twice.
    pub fn new(best_first: &[ChapAlgorithm]) -> Result<ChapAlgorithms, ChapAlgorithmsError> {
        Self::collect(best_first.iter().map(|algorithm| Ok(*algorithm)))
    }

    /// The algorithms, best first.
    pub fn iter(&self) -> impl Iterator<Item = ChapAlgorithm> + '_ {
        self.0.iter().flatten().copied()
    }

    fn collect(
        best_first: impl Iterator<Item = Result<ChapAlgorithm, ChapAlgorithmsError>>,
    ) -> Result<ChapAlgorithms, ChapAlgorithmsError> {
        let mut list = ChapAlgorithms([None; ChapAlgorithm::ALL.len()]);
        for algorithm in best_first {
            let algorithm = algorithm?;
            // Full only when every algorithm is in it.
            match list.0.iter_mut().find(|slot| slot.is_none_or(|known| known == algorithm)) {
                Some(slot @ None) => *slot = Some(algorithm),
                _ => return Err(ChapAlgorithmsError::Repeated(algorithm)),
            }
        }
        if list.iter().next().is_none() { Err(ChapAlgorithmsError::Empty) } else { Ok(list) }
    }
}

impl Default for ChapAlgorithms {
    fn default() -> ChapAlgorithms {
        ChapAlgorithms(ChapAlgorithm::ALL.map(Some))
    }
}

impl FromStr for ChapAlgorithms {
    type Err = ChapAlgorithmsError;

    fn from_str(names: &str) -> Result<ChapAlgorithms, ChapAlgorithmsError> {
        let known = |name: &[u8]| {
            let known =
                ChapAlgorithm::ALL.into_iter().find(|known| known.name().as_bytes() == name);
            known.ok_or(ChapAlgorithmsError::Unknown)
        };
        Self::collect(names.as_bytes().split(|byte| *byte == b',').map(known))
    }
}

impl fmt::Display for ChapAlgorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().enumerate().try_for_each(|(index, algorithm)| {
            write!(f, "{}{algorithm}", if index == 0 { "" } else { "," })
        })
    }
}

/// Why a list of CHAP algorithms cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChapAlgorithmsError {
    /// No algorithm in it.
    Empty,
    /// A name that is none of the four.
    Unknown,
    /// The same one twice.
    Repeated(ChapAlgorithm),
}

impl fmt::Display for ChapAlgorithmsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the list of CHAP algorithms is empty"),
            Self::Unknown => {
                f.write_str("the CHAP algorithms are ")?;
                fmt::Display::fmt(&ChapAlgorithms::default(), f)
            }
            Self::Repeated(algorithm) => {
                write!(f, "{algorithm} is twice in the list of CHAP algorithms")
            }
        }
    }
}

impl core::error::Error for ChapAlgorithmsError {}

/// What the next attempt offers of the acceptable algorithms.
///
/// Some targets take no list (LIO before Linux 3.15, Synology). They get one algorithm an
/// attempt, best first, so that nothing is lost by a connection that broke at the wrong moment:
/// the outcome is still the best that both sides know, and never one that is not acceptable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Offering {
    /// The whole list.
    #[default]
    List,
    /// The one at this place of the list. `proven`: a login with it succeeded.
    Only { place: usize, proven: bool },
    /// MD5, at this place of the list, after the target misread another number. Nothing follows.
    Instead { place: usize },
}

impl Offering {
    /// What to offer now.
    pub(super) fn of(self, acceptable: &ChapAlgorithms) -> ChapAlgorithms {
        let only = match self {
            Offering::List => None,
            Offering::Only { place, .. } | Offering::Instead { place } => {
                acceptable.iter().nth(place)
            }
        };
        only.and_then(|only| ChapAlgorithms::new(&[only]).ok()).unwrap_or(*acceptable)
    }

    /// The target did not go along with the offer. Whether there is another one to make; after
    /// the last, a later login starts with the list again.
    pub(super) fn refused(&mut self, acceptable: &ChapAlgorithms) -> bool {
        let count = acceptable.iter().count();
        let next = match *self {
            Offering::List if count > 1 => Some(Offering::Only { place: 0, proven: false }),
            Offering::List | Offering::Instead { .. } => None,
            // The target has changed.
            Offering::Only { proven: true, .. } => Some(Offering::List),
            Offering::Only { place, .. } => Some(place.saturating_add(1))
                .filter(|place| *place < count)
                .map(|place| Offering::Only { place, proven: false }),
        };
        *self = next.unwrap_or_default();
        next.is_some()
    }

    /// The target chose `answered` and finds an answer by it in error: not wrong, which would be
    /// a failed authentication, but none at all. Whether there is another offer to make.
    ///
    /// tgt and IET take 7 for SHA1, and a response of SHA-256 is too long for them. MD5 they know.
    pub(super) fn misread(&mut self, answered: ChapAlgorithm, acceptable: &ChapAlgorithms) -> bool {
        let place = acceptable.iter().position(|algorithm| algorithm == ChapAlgorithm::Md5);
        match place {
            Some(place) if answered == ChapAlgorithm::Sha256 => {
                *self = Offering::Instead { place };
                true
            }
            _ => false,
        }
    }

    /// The login succeeded: the next one offers the same at once.
    pub(super) fn succeeded(&mut self) {
        if let Offering::Only { place, .. } | Offering::Instead { place } = *self {
            *self = Offering::Only { place, proven: true };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn lists_read_and_print_alike() {
        for text in ["sha3-256,sha256,sha1,md5", "md5", "md5,sha3-256", "sha256,sha1"] {
            assert_eq!(text.parse::<ChapAlgorithms>().unwrap().to_string(), text);
        }
        assert_eq!("sha3-256,sha256,sha1,md5".parse(), Ok(ChapAlgorithms::default()));
        let numbers: Vec<u8> =
            ChapAlgorithms::default().iter().map(ChapAlgorithm::number).collect();
        assert_eq!(numbers, [8, 7, 6, 5]);
    }

    #[test]
    fn lists_that_say_nothing_or_the_same_twice_are_refused() {
        assert_eq!(ChapAlgorithms::new(&[]), Err(ChapAlgorithmsError::Empty));
        for text in ["", ",", "md5,", "MD5", "sha512", "5", "md5 ,sha1"] {
            assert_eq!(text.parse::<ChapAlgorithms>(), Err(ChapAlgorithmsError::Unknown), "{text}");
        }
        for text in ["md5,md5", "md5,sha1,md5", "sha3-256,sha256,sha1,md5,md5"] {
            let repeated = ChapAlgorithmsError::Repeated(ChapAlgorithm::Md5);
            assert_eq!(text.parse::<ChapAlgorithms>(), Err(repeated), "{text}");
        }
    }

    /// Everything offered to a target that refuses it all, until there is nothing left.
    fn offers(mut offering: Offering, acceptable: &str) -> Vec<std::string::String> {
        let acceptable = acceptable.parse().unwrap();
        let mut offers = Vec::new();
        loop {
            offers.push(offering.of(&acceptable).to_string());
            if !offering.refused(&acceptable) {
                assert_eq!(offering, Offering::List);
                return offers;
            }
        }
    }

    #[test]
    fn a_refused_list_is_followed_by_each_alone_and_then_by_nothing() {
        let list = "sha3-256,sha256,md5";
        let fresh = [list, "sha3-256", "sha256", "md5"];
        assert_eq!(offers(Offering::List, list), fresh);
        assert_eq!(offers(Offering::List, "sha256"), ["sha256"]);
        let mut known = Offering::Only { place: 1, proven: false };
        known.succeeded();
        assert_eq!(offers(known, list), [&["sha256"][..], &fresh].concat());
    }

    #[test]
    fn a_shorter_list_of_another_configuration_is_never_left() {
        let acceptable = "sha256".parse().unwrap();
        let offering = Offering::Only { place: 3, proven: true };
        assert_eq!(offering.of(&acceptable), acceptable);
    }
}
