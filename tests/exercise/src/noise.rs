//! Fuzzing without a fuzzer: known inputs, changed at random, for a time.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::Target;

/// A seeded stream of numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Noise(pub u64);

impl Noise {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ value >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ value >> 31
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.bits() % bound as u64).unwrap_or(0)
    }

    /// Changes an input a little.
    pub fn bend(&mut self, input: &mut Vec<u8>, longest: usize) {
        for _ in 0..=self.below(4) {
            let at = self.below(input.len() + 1);
            let byte = self.bits() as u8;
            match (self.below(5), input.get_mut(at)) {
                (0, Some(place)) => *place = byte,
                (1, Some(place)) => *place ^= 1 << (byte & 7),
                (2, Some(_)) => drop(input.remove(at)),
                (3, Some(_)) => input.truncate(at),
                _ => input.insert(at, byte),
            }
        }
        input.truncate(longest);
    }
}

/// The committed inputs of a target, in the order of their names.
///
/// # Errors
/// When there are none, or they cannot be read.
pub fn corpus(target: &Target) -> std::io::Result<Vec<(PathBuf, Vec<u8>)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target.name);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    paths.sort();
    if paths.is_empty() {
        return Err(std::io::Error::other(format!("{} is empty", folder.display())));
    }
    paths.into_iter().map(|path| std::fs::read(&path).map(|bytes| (path, bytes))).collect()
}

/// Feeds bent inputs for `time`; how many there were.
///
/// An input that makes the target panic is printed.
pub fn run(target: &Target, inputs: &[Vec<u8>], seed: u64, time: Duration) -> u64 {
    let end = Instant::now() + time;
    let mut noise = Noise(seed);
    let mut count = 0;
    while Instant::now() < end {
        for _ in 0..64 {
            let mut input =
                inputs.get(noise.below(inputs.len().max(1))).cloned().unwrap_or_default();
            noise.bend(&mut input, target.longest);
            let shown = Shown(&input);
            (target.run)(&input);
            drop(shown);
            count += 1;
        }
    }
    count
}

/// Says which input it was when a target panics.
struct Shown<'i>(&'i [u8]);

impl Drop for Shown<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input was {:02x?}", self.0);
        }
    }
}
