//! Time since kernel entry, from the processor's time stamp counter.

use core::arch::x86_64::{__cpuid, _rdtsc};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;

use crate::port::Port;

/// The counter at kernel entry.
static START: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds per count, times 2³². Zero until [`start`] has run.
static SCALE: AtomicU64 = AtomicU64::new(0);

/// Finds out how fast the counter runs; `entry` is its value at kernel entry.
pub(crate) fn start(entry: u64) {
    START.store(entry, Relaxed);
    let (hertz, source) = match (measure_by_timer(), stated_by_processor()) {
        (Some(hertz), _) => (hertz, "measured by the interval timer"),
        (None, Some(hertz)) => (hertz, "as the processor states it"),
        (None, None) => (1_000_000_000, "a guess: times are wrong"),
    };
    SCALE.store(((1_000_000_000u128 << 32) / u128::from(hertz)) as u64, Relaxed);
    log::debug!("time stamp counter: {} MHz, {source}", hertz / 1_000_000);
}

/// Time since kernel entry; zero before [`start`].
pub(crate) fn now() -> Duration {
    span(counter().wrapping_sub(START.load(Relaxed)))
}

/// The time of so many counts.
pub(crate) fn span(counts: u64) -> Duration {
    let nanoseconds = (u128::from(counts) * u128::from(SCALE.load(Relaxed))) >> 32;
    Duration::from_nanos(nanoseconds as u64)
}

/// The counter itself.
pub(crate) fn counter() -> u64 {
    // SAFETY: every x86-64 processor has it, and nothing here forbids its use.
    unsafe { _rdtsc() }
}

/// Counts per second while channel 2 of the interval timer (8254) runs for 2 ms. A host that
/// takes the processor away makes an attempt too long, so the shortest of three is taken.
fn measure_by_timer() -> Option<u64> {
    const INPUT_HERTZ: u64 = 1_193_182;
    const TICKS: u16 = 2386;
    /// Looks at the timer's output: several times what 2 ms can need.
    const PATIENCE: u32 = 200_000;

    let control = CONTROL_B.read_u8() & 0xfc;
    let mut shortest = None;
    for _ in 0..3 {
        CONTROL_B.write_u8(control); // gate closed, speaker off
        TIMER_MODE.write_u8(0xb0); // channel 2, both bytes, mode 0: output rises at zero
        let [low, high] = TICKS.to_le_bytes();
        TIMER_2.write_u8(low);
        TIMER_2.write_u8(high);
        CONTROL_B.write_u8(control | 1); // gate open
        let begin = counter();
        let ended = (0..PATIENCE).any(|_| CONTROL_B.read_u8() & 0x20 != 0);
        let counts = counter().wrapping_sub(begin);
        CONTROL_B.write_u8(control);
        if ended {
            shortest = Some(shortest.map_or(counts, |other: u64| other.min(counts)));
        }
    }
    shortest.map(|counts| counts.saturating_mul(INPUT_HERTZ) / u64::from(TICKS)).filter(|&h| h > 0)
}

/// Leaf 15h: crystal frequency and its ratio to the counter.
fn stated_by_processor() -> Option<u64> {
    if __cpuid(0).eax < 0x15 {
        return None;
    }
    let leaf = __cpuid(0x15);
    let hertz = u64::from(leaf.ecx) * u64::from(leaf.ebx);
    hertz.checked_div(u64::from(leaf.eax)).filter(|&hertz| hertz > 0)
}

// SAFETY: the interval timer reaches no memory.
const TIMER_2: Port = unsafe { Port::new(0x42) };
// SAFETY: as above.
const TIMER_MODE: Port = unsafe { Port::new(0x43) };
// SAFETY: bits 0 and 1 gate the timer and the speaker; the others are written back as read.
const CONTROL_B: Port = unsafe { Port::new(0x61) };
