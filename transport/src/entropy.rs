//! A watch over a source of randomness.
//!
//! Processors have had random instructions that succeed and give all ones for ever after a sleep,
//! and hosts hand out what a broken device gave them. Whatever asks for entropy here relies on it:
//! a predictable CHAP challenge proves nothing, and predictable TCP numbers let strangers write
//! into the connection. So a source is looked at before it is used, and while it is.

use crate::hal::{Entropy, NoEntropy};

/// Bytes that are looked at together.
const WORD: usize = 8;

/// Words that are drawn and thrown away before the first that counts.
const START_UP: usize = 4;

/// Passes on what a source gives, until it fails once; from then on there is no entropy.
///
/// Of a good source, a word equal to the one before it, or all zeros or all ones, comes once in
/// 2⁶² words: it is taken for a source that is stuck (the repetition count test of NIST SP 800-90B
/// §4.4.1, with a cutoff of 2 for words of full entropy). A source that is merely weak passes.
#[derive(Clone, Debug)]
pub struct Watched<E> {
    source: E,
    last: [u8; WORD],
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    New,
    Working,
    Failed(NoEntropy),
}

impl<E: Entropy> Watched<E> {
    /// Watches `source`, which nobody else should draw from.
    #[must_use]
    pub const fn new(source: E) -> Self {
        Self { source, last: [0; WORD], state: State::New }
    }

    fn word(&mut self) -> Result<[u8; WORD], NoEntropy> {
        if let State::Failed(why) = self.state {
            return Err(why);
        }
        let mut word = [0; WORD];
        let filled = self.source.fill(&mut word);
        let stuck = word == self.last || word == [0; WORD] || word == [0xff; WORD];
        let result = match filled {
            Ok(()) if stuck => Err(NoEntropy::Stuck),
            other => other,
        };
        if let Err(why) = result {
            self.state = State::Failed(why);
            self.last = [0; WORD];
            return Err(why);
        }
        self.last = word;
        Ok(word)
    }
}

impl<E: Entropy> Entropy for Watched<E> {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        if matches!(self.state, State::New) {
            self.state = State::Working;
            for _ in 0..START_UP {
                self.word()?;
            }
        }
        for chunk in bytes.chunks_mut(WORD) {
            let word = self.word()?;
            for (to, from) in chunk.iter_mut().zip(word) {
                *to = from;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// Gives these words one after the other, then nothing.
    struct Script(Vec<u64>);

    impl Entropy for Script {
        fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
            if self.0.is_empty() {
                return Err(NoEntropy::Exhausted);
            }
            bytes.copy_from_slice(&self.0.remove(0).to_le_bytes());
            Ok(())
        }
    }

    /// What is got, eight bytes at a time, until there is no more.
    fn drawn(words: impl IntoIterator<Item = u64>) -> (Vec<u64>, NoEntropy) {
        let mut watched = Watched::new(Script(words.into_iter().collect()));
        let mut got = Vec::new();
        loop {
            let mut bytes = [0; 8];
            match watched.fill(&mut bytes) {
                Ok(()) => got.push(u64::from_le_bytes(bytes)),
                Err(why) => {
                    assert_eq!(watched.fill(&mut bytes), Err(why), "it stays failed");
                    return (got, why);
                }
            }
        }
    }

    #[test]
    fn a_good_source_is_passed_on_after_its_start() {
        assert_eq!(drawn(1..=8), (std::vec![5, 6, 7, 8], NoEntropy::Exhausted));
    }

    #[test]
    fn a_source_that_fails_at_once_gives_nothing() {
        assert_eq!(drawn([]), (std::vec![], NoEntropy::Exhausted));
        assert_eq!(drawn([1, 2, 3]), (std::vec![], NoEntropy::Exhausted), "within its start");
    }

    #[test]
    fn a_source_that_is_stuck_gives_nothing() {
        for word in [0, u64::MAX, 0x0123_4567_89ab_cdef] {
            assert_eq!(drawn([word; 64]), (std::vec![], NoEntropy::Stuck), "{word:#x}");
        }
    }

    #[test]
    fn a_source_that_gets_stuck_later_ends_for_good() {
        let good = [1, 2, 3, 4, 5, 6];
        for stuck in [0, u64::MAX, 6] {
            let words = good.into_iter().chain([stuck, 7, 8, 9]);
            assert_eq!(drawn(words), (std::vec![5, 6], NoEntropy::Stuck), "{stuck:#x}");
        }
        // The same word later is chance.
        assert_eq!(drawn(good.into_iter().chain([5])).0, [5, 6, 5]);
    }

    #[test]
    fn any_length_is_filled_and_nothing_is_given_twice() {
        let mut watched = Watched::new(Script((1..=7).collect()));
        let mut bytes = [0; 12];
        assert_eq!(watched.fill(&mut bytes), Ok(()));
        assert_eq!(bytes, [5, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0]);
        let mut bytes = [0; 3];
        assert_eq!(watched.fill(&mut bytes), Ok(()));
        assert_eq!(bytes, [7, 0, 0]);
        assert_eq!(watched.fill(&mut []), Ok(()));
        assert_eq!(watched.fill(&mut bytes), Err(NoEntropy::Exhausted));
    }
}
