//! Combinations of firmware, NIC and digests.

use clap::ValueEnum;

use crate::plan::{Digest, Firmware, Nic};

/// Which combinations to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Matrix {
    /// All forty.
    All,
    /// Fourteen: every NIC under both firmwares and with both digests, every digest under both
    /// firmwares.
    Ci,
}

/// One combination.
pub type Combination = (Firmware, Nic, Digest);

const FIRMWARES: [Firmware; 2] = [Firmware::Bios, Firmware::Uefi];
const NICS: [Nic; 5] = [Nic::E1000, Nic::E1000e, Nic::I82544gc, Nic::I82545em, Nic::Igb];
const DIGESTS: [Digest; 4] = [Digest::None, Digest::Header, Digest::Data, Digest::Both];

impl Matrix {
    /// The combinations, those of a firmware together.
    #[must_use]
    pub fn combinations(self) -> Vec<Combination> {
        let mut combinations = Vec::new();
        for (f, firmware) in FIRMWARES.into_iter().enumerate() {
            for (n, nic) in NICS.into_iter().enumerate() {
                for (d, digest) in DIGESTS.into_iter().enumerate() {
                    let covers = match n {
                        // Half of them, with each pair of values at least once.
                        0 | 1 => (f + n + d) % 2 == 0,
                        // Both digests under BIOS, one of the others under UEFI.
                        _ if firmware == Firmware::Bios => digest == Digest::Both,
                        _ => d == n % 3,
                    };
                    if self == Self::All || covers {
                        combinations.push((firmware, nic, digest));
                    }
                }
            }
        }
        combinations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_covering_part_has_the_pairs_that_it_claims() {
        let part = Matrix::Ci.combinations();
        assert_eq!((part.len(), Matrix::All.combinations().len()), (14, 40));
        for firmware in FIRMWARES {
            for nic in NICS {
                assert!(part.iter().any(|(f, n, _)| (*f, *n) == (firmware, nic)));
            }
            for digest in DIGESTS {
                assert!(part.iter().any(|(f, _, d)| (*f, *d) == (firmware, digest)));
            }
        }
        for nic in NICS {
            assert!(part.iter().any(|(_, n, d)| (*n, *d) == (nic, Digest::Both)));
        }
    }
}
