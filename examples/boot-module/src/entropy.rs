//! Randomness: the processor's, watched, where it has any.

use core::arch::x86_64::{__cpuid, __cpuid_count, _rdrand64_step, _rdseed64_step};

use isboot_transport::entropy::Watched;
use isboot_transport::hal::{Entropy, NoEntropy};
use sha2::{Digest, Sha256};

use crate::boot_cell::BootCell;
use crate::clock;

/// The kernel's one source, for everything.
static SOURCE: BootCell<Option<Source>> = BootCell::new(None);

/// Fills `bytes` from the processor's randomness, or says why there is none.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), NoEntropy> {
    SOURCE.with(|source| source.get_or_insert_with(Source::find).fill(bytes))
}

/// Entropy for CHAP challenges: the processor's, or none. The jitter of a clock would not do.
pub(crate) fn challenge(bytes: &mut [u8; 32]) -> bool {
    fill(bytes).is_ok()
}

/// The processor's instructions, the better first; one that fails is not asked again.
#[derive(Debug)]
struct Source {
    instructions: [Option<Watched<Instruction>>; 2],
    why: NoEntropy,
}

impl Source {
    fn find() -> Self {
        let instructions = [Instruction::Seed, Instruction::Random]
            .map(|instruction| instruction.is_there().then(|| Watched::new(instruction)));
        Self { instructions, why: NoEntropy::Missing }
    }
}

impl Entropy for Source {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        for place in &mut self.instructions {
            let Some(instruction) = place else { continue };
            match instruction.fill(bytes) {
                Ok(()) => return Ok(()),
                Err(why) => {
                    log::warn!("{instruction:?}: {why}");
                    self.why = why;
                    *place = None;
                }
            }
        }
        Err(self.why)
    }
}

/// RDSEED, which is made for seeding, and RDRAND.
#[derive(Clone, Copy, Debug)]
enum Instruction {
    Seed,
    Random,
}

impl Instruction {
    fn is_there(self) -> bool {
        match self {
            Self::Seed => __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ebx & 1 << 18 != 0,
            Self::Random => __cpuid(1).ecx & 1 << 30 != 0,
        }
    }

    fn word(self) -> Option<u64> {
        /// The instruction may have nothing to give for a moment (Intel SDM 1 §7.3.17).
        const ATTEMPTS: usize = 1000;
        (0..ATTEMPTS).find_map(|_| {
            let mut word = 0;
            let given = match self {
                // SAFETY: the processor says that it has the instruction, see `Source::find`.
                Self::Seed => unsafe { rdseed(&mut word) },
                // SAFETY: as above.
                Self::Random => unsafe { rdrand(&mut word) },
            };
            given.then_some(word)
        })
    }
}

impl Entropy for Instruction {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        for chunk in bytes.chunks_mut(8) {
            let word = self.word().ok_or(NoEntropy::Exhausted)?;
            chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// A seed for TCP sequence numbers and ports where there is no randomness: the jitter of the time
/// stamp counter. Too weak for anything that must stay secret.
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
