//! CRC32C by an instruction of the processor, where there is one and it is the fastest way.
//!
//! Digests of iSCSI are CRC32C (RFC 7143 §13.1). `isboot` computes them with whatever function it
//! is given; its own is plain integer arithmetic. [`fastest`] says whether the processor has a
//! better one.
//!
//! That is measured, and never read from the processor's description alone: an emulator has the
//! instruction too, and runs it bit by bit (QEMU 7.2: 0.1 GB/s by the instruction, 3 GB/s by plain
//! arithmetic; a real processor: over 20 GB/s by the instruction, 5 GB/s by arithmetic).
//!
//! # Registers
//!
//! On x86-64 it is `crc32` of SSE4.2 on general registers: no vector register, no x87, no flag of
//! CR0, CR4 or XCR0 is touched or needed, the red zone is used no more than by any other function,
//! and interrupt handlers have nothing more to save. It is legal wherever integer code is. (A
//! combination by `pclmulqdq` would need XMM registers, which a hosting kernel may neither have
//! enabled nor save; small tables do it as well here, see [`fastest`].)
//!
//! On AArch64 it is `crc32cx` on general registers. It is used where the build may assume it
//! (`-C target-feature=+crc`, which Armv8.1 always has), and with feature `std` also where the
//! operating system says that it is there.

use core::time::Duration;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(any(target_arch = "x86_64", test))]
mod shift;
#[cfg(test)]
mod tests;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
use aarch64::processor as found;
#[cfg(target_arch = "x86_64")]
use x86_64::processor as found;

/// Continues a CRC32C over more bytes: `f(0, bytes)` is that of `bytes`, and `f(f(0, a), b)` that
/// of `a` followed by `b`.
pub type Function = fn(u32, &[u8]) -> u32;

/// The function that uses the processor's instruction, where the processor says that it has it.
/// Whether it is fast, only [`fastest`] says.
#[must_use]
pub fn processor() -> Option<Function> {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    return found();
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    return None;
}

/// The faster of `portable` and the processor's instruction, on this machine, now.
///
/// Takes turns between both on 2 KiB, and counts the shortest of three times each; where `now` has
/// not moved by [`ENOUGH`] for the slower of them, with twice the work. It ends in any case: after
/// 0.1 to 0.3 ms with a clock that counts microseconds, and with one that stands still after 1.5 MiB,
/// which take 10 ms in an emulator and 1 ms elsewhere; the instruction is taken then. One that
/// does not compute what `portable` does is never taken.
pub fn fastest(portable: Function, now: impl FnMut() -> Duration) -> Function {
    match processor() {
        Some(processor) => choose(portable, processor, now),
        None => portable,
    }
}

/// The longer of two times has to reach this, so that they can be told apart.
pub const ENOUGH: Duration = Duration::from_micros(20);

/// Times over the text at most in one turn.
const MOST_PASSES: u32 = 64;

fn choose(portable: Function, processor: Function, mut now: impl FnMut() -> Duration) -> Function {
    if !agree(portable, processor) {
        log::warn!("CRC32C: the processor's instruction computes something else: not used");
        return portable;
    }
    let mut passes = 1_u32;
    loop {
        let (mut by_arithmetic, mut by_instruction) = (Duration::MAX, Duration::MAX);
        for _ in 0..3 {
            by_arithmetic = by_arithmetic.min(time(portable, passes, &mut now));
            by_instruction = by_instruction.min(time(processor, passes, &mut now));
        }
        if by_arithmetic.max(by_instruction) >= ENOUGH || passes >= MOST_PASSES {
            let bytes = TEXT.len().saturating_mul(usize::try_from(passes).unwrap_or(usize::MAX));
            log::info!(
                "CRC32C: {} µs by plain arithmetic, {} µs by the processor's instruction, for {bytes} bytes",
                by_arithmetic.as_micros(),
                by_instruction.as_micros(),
            );
            return if by_instruction <= by_arithmetic { processor } else { portable };
        }
        passes = passes.saturating_mul(2);
    }
}

/// Whether both compute the same, of all of the text and of pieces at odd places. Warms both up.
fn agree(one: Function, other: Function) -> bool {
    let pieces = [(0, 2048), (1, 48), (3, 7), (5, 2001), (2, 0)];
    pieces.into_iter().all(|(start, length)| {
        let piece = TEXT.get(start..).and_then(|tail| tail.get(..length)).unwrap_or(&TEXT);
        one(0x5eed, piece) == other(0x5eed, piece)
    })
}

fn time(function: Function, passes: u32, now: &mut impl FnMut() -> Duration) -> Duration {
    let start = now();
    let mut crc = 0;
    for _ in 0..passes {
        crc = core::hint::black_box(function(crc, core::hint::black_box(&TEXT)));
    }
    now().saturating_sub(start)
}

/// What is summed to see how fast that goes: bytes without a pattern.
static TEXT: [u8; 2048] = text();

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "evaluated by the compiler: a mistake here does not build"
)]
const fn text() -> [u8; 2048] {
    let mut text = [0; 2048];
    let (mut at, mut word) = (0, 1_u32);
    while at < text.len() {
        word = word.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text[at] = (word >> 24) as u8;
        at += 1;
    }
    text
}
