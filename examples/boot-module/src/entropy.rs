//! Randomness: the processor's or firmware's, watched, where there is any.

use core::arch::x86_64::{__cpuid, __cpuid_count, _rdrand64_step, _rdseed64_step};

use heapless::Vec;
use isboot_transport::entropy::Watched;
use isboot_transport::hal::{Entropy, NoEntropy};
use sha2::{Digest, Sha256};

use crate::boot_cell::BootCell;
use crate::clock;

/// The kernel's one place to ask, for everything.
static SOURCES: BootCell<Option<Sources>> = BootCell::new(None);

/// What firmware gave before it was left.
static FIRMWARE: BootCell<Option<[u8; 32]>> = BootCell::new(None);

/// Fills `bytes` from the best source that works, or says why there is none.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), NoEntropy> {
    SOURCES.with(|sources| sources.get_or_insert_with(Sources::find).fill(bytes))
}

/// Entropy for CHAP challenges, or none. The jitter of a clock would not do.
pub(crate) fn challenge(bytes: &mut [u8; 32]) -> bool {
    fill(bytes).is_ok()
}

/// Takes what firmware has for us, before anything is asked for.
pub(crate) fn take_from_firmware(seed: [u8; 32]) {
    FIRMWARE.with(|firmware| *firmware = Some(seed));
}

/// Everything that there is, the best first; one that fails is not asked again.
struct Sources {
    sources: Vec<Watched<Source>, 3>,
    why: NoEntropy,
}

impl Sources {
    fn find() -> Self {
        let firmware = FIRMWARE.with(Option::take).map(|seed| Source::Firmware { state: seed });
        let seed = has_rdseed().then_some(Source::Seed);
        let random = has_rdrand().then_some(Source::Random);
        if seed.is_none() && random.is_none() && firmware.is_some() {
            log::warn!("the processor has no randomness: all comes from the 32 bytes of firmware");
        }
        let sources = [seed, random, firmware].into_iter().flatten().map(Watched::new).collect();
        Self { sources, why: NoEntropy::Missing }
    }
}

impl Entropy for Sources {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        while let Some(source) = self.sources.first_mut() {
            match source.fill(bytes) {
                Ok(()) => return Ok(()),
                Err(why) => {
                    log::warn!("{why}: it is not asked again");
                    self.why = why;
                    self.sources.remove(0);
                }
            }
        }
        Err(self.why)
    }
}

enum Source {
    /// RDSEED, which is made for seeding.
    Seed,
    /// RDRAND.
    Random,
    /// A generator out of what firmware gave.
    Firmware { state: [u8; 32] },
}

impl Source {
    fn word(&mut self) -> Option<[u8; 8]> {
        /// The instruction may have nothing to give for a moment (Intel SDM 1 §7.3.17).
        const ATTEMPTS: usize = 1000;
        if let Self::Firmware { state } = self {
            let word = Sha256::new().chain_update(*state).chain_update(b"word").finalize();
            // Who learns the state later learns nothing of what was given before.
            *state = Sha256::new().chain_update(*state).chain_update(b"next").finalize().into();
            return word.first_chunk().copied();
        }
        (0..ATTEMPTS).find_map(|_| {
            let mut word = 0;
            let given = match self {
                // SAFETY: the processor says that it has the instruction, see `Sources::find`.
                Self::Seed => unsafe { rdseed(&mut word) },
                // SAFETY: as above.
                Self::Random => unsafe { rdrand(&mut word) },
                Self::Firmware { .. } => false,
            };
            given.then_some(word.to_le_bytes())
        })
    }
}

impl Entropy for Source {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        for chunk in bytes.chunks_mut(8) {
            let word = self.word().ok_or(NoEntropy::Exhausted)?;
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        Ok(())
    }
}

fn has_rdseed() -> bool {
    __cpuid(0).eax >= 7 && __cpuid_count(7, 0).ebx & 1 << 18 != 0
}

fn has_rdrand() -> bool {
    __cpuid(1).ecx & 1 << 30 != 0
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
