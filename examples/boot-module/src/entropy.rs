//! Randomness: the processor's, where it has any.

use core::arch::x86_64::{__cpuid, __cpuid_count, _rdrand64_step, _rdseed64_step};

use isboot_transport::hal::{Entropy, NoEntropy};
use sha2::{Digest, Sha256};

use crate::clock;

/// RDSEED or RDRAND.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ProcessorEntropy {
    Seed,
    Random,
    Missing,
}

impl ProcessorEntropy {
    pub(crate) fn find() -> Self {
        if __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ebx & 1 << 18 != 0 {
            Self::Seed
        } else if __cpuid(1).ecx & 1 << 30 != 0 {
            Self::Random
        } else {
            Self::Missing
        }
    }

    fn word(self) -> Option<u64> {
        /// The instruction may have nothing to give for a moment (Intel SDM 1 §7.3.17).
        const ATTEMPTS: usize = 1000;
        (0..ATTEMPTS).find_map(|_| {
            let mut word = 0;
            let given = match self {
                // SAFETY: the processor says that it has the instruction.
                Self::Seed => unsafe { rdseed(&mut word) },
                // SAFETY: as above.
                Self::Random => unsafe { rdrand(&mut word) },
                Self::Missing => false,
            };
            given.then_some(word)
        })
    }
}

impl Entropy for ProcessorEntropy {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        for chunk in bytes.chunks_mut(8) {
            let word = self.word().ok_or(NoEntropy)?;
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// Entropy for CHAP challenges: the processor's, or none. The jitter of a clock would not do.
pub(crate) fn challenge(bytes: &mut [u8; 32]) -> bool {
    ProcessorEntropy::find().fill(bytes).is_ok()
}

/// A seed for TCP sequence numbers and ports where the processor has no randomness: the jitter of
/// the time stamp counter. Too weak for anything that must stay secret.
pub(crate) fn jitter() -> u64 {
    let mut hash = Sha256::new();
    for _ in 0..256 {
        let begin = clock::counter();
        // What takes a varying time: a round trip to a device model, or a cache miss.
        core::hint::black_box(clock::now());
        hash.update(begin.to_le_bytes());
        hash.update(clock::counter().to_le_bytes());
    }
    let digest = hash.finalize();
    digest.iter().take(8).fold(0, |seed, &byte| seed << 8 | u64::from(byte))
}

#[target_feature(enable = "rdseed")]
fn rdseed(word: &mut u64) -> bool {
    _rdseed64_step(word) == 1
}

#[target_feature(enable = "rdrand")]
fn rdrand(word: &mut u64) -> bool {
    _rdrand64_step(word) == 1
}
