//! Combinations of firmware, NIC and digests.

use clap::ValueEnum;

use crate::plan::{Digest, Firmware, Nic};

/// Which combinations to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Matrix {
    /// All sixteen.
    All,
    /// Eight that cover every pair of values.
    Ci,
}

/// One combination.
pub type Combination = (Firmware, Nic, Digest);

const FIRMWARES: [Firmware; 2] = [Firmware::Bios, Firmware::Uefi];
const NICS: [Nic; 2] = [Nic::E1000, Nic::E1000e];
const DIGESTS: [Digest; 4] = [Digest::None, Digest::Header, Digest::Data, Digest::Both];

impl Matrix {
    /// The combinations, those of a firmware together.
    #[must_use]
    pub fn combinations(self) -> Vec<Combination> {
        let mut combinations = Vec::new();
        for (f, firmware) in FIRMWARES.into_iter().enumerate() {
            for (n, nic) in NICS.into_iter().enumerate() {
                for (d, digest) in DIGESTS.into_iter().enumerate() {
                    // Half of them, with each pair of values at least once.
                    if self == Self::All || (f + n + d) % 2 == 0 {
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
    fn the_covering_half_has_every_pair_of_values() {
        let half = Matrix::Ci.combinations();
        assert_eq!((half.len(), Matrix::All.combinations().len()), (8, 16));
        for firmware in FIRMWARES {
            for nic in NICS {
                assert!(half.iter().any(|(f, n, _)| (*f, *n) == (firmware, nic)));
            }
            for digest in DIGESTS {
                assert!(half.iter().any(|(f, _, d)| (*f, *d) == (firmware, digest)));
            }
        }
        for nic in NICS {
            for digest in DIGESTS {
                assert!(half.iter().any(|(_, n, d)| (*n, *d) == (nic, digest)));
            }
        }
    }
}
