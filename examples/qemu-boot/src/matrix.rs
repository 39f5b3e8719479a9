//! Combinations of firmware, NIC and digests.

use std::path::Path;

use clap::ValueEnum;

use crate::plan::{Digest, Firmware, Nic, Plan};

/// Which combinations to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Matrix {
    /// All forty.
    All,
    /// Fourteen: every NIC under both firmwares and with both digests, every digest under both
    /// firmwares.
    Ci,
    /// Every NIC with both digests on every QEMU that has it: the one in PATH, and the newer one
    /// beside it. Nine where there are two.
    Qemu,
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
                    let is_first = firmware == Firmware::Bios && digest == Digest::Both;
                    let covers = match n {
                        _ if self == Self::Qemu => is_first,
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

/// `plan` on the QEMU in PATH, and on the newer one beside it, each only when it has the NIC.
#[must_use]
pub fn on_each_qemu(plan: &Plan) -> Vec<Plan> {
    let on = |program: &Path| Plan { qemu: Some(program.to_owned()), ..plan.clone() };
    let has_newer = plan.newer_qemu.is_file();
    let in_path = (plan.nic != Nic::Igb || !has_newer).then(|| on(Path::new("qemu-system-x86_64")));
    let newer = has_newer.then(|| on(&plan.newer_qemu));
    in_path.into_iter().chain(newer).collect()
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

    #[test]
    fn each_nic_meets_each_qemu_that_has_it() {
        let runs = |newer_qemu: &Path| {
            let plan = crate::plan::tests::plan();
            let of = |(_, nic, _)| Plan { nic, newer_qemu: newer_qemu.to_owned(), ..plan.clone() };
            let plans = Matrix::Qemu.combinations().into_iter().map(of);
            plans.map(|plan| on_each_qemu(&plan).len()).collect::<Vec<_>>()
        };
        let some_file = std::env::current_exe().unwrap();
        assert_eq!(runs(&some_file), [2, 2, 2, 2, 1]);
        assert_eq!(runs(Path::new("/nonexistent")), [1, 1, 1, 1, 1]);
    }
}
