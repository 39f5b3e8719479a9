//! The functions that the compiler calls for copies, fills and comparisons.
//!
//! The data path stands on `memcpy`: eight 64-bit moves per turn are the fastest way under
//! emulation (an emulator runs `rep movsb` byte by byte and SSE moves by helper calls) and good
//! everywhere else, and `rep movsb` the fastest for much at a time on most real processors: which it
//! is, [`choose`] measures. The turn is written in assembly because the compiler would make of such a loop
//! SSE moves, or a call to `memcpy`.
//!
//! Host tests call the functions by path and leave libc's in place.

use core::arch::asm;
use core::hint::black_box;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// From so many bytes on the start of `rep movsb` pays off, where it does.
const MUCH: usize = 1024;

/// Whether `rep movsb` copies faster here.
static BY_STRING: AtomicBool = AtomicBool::new(false);

/// Measures which way of copying is the faster one, by a `counter` of time, and says whether it is
/// `rep movsb`. Takes some ten microseconds; before, copies go the way that suits everybody.
pub(crate) fn choose(counter: impl Fn() -> u64) -> bool {
    const BYTES: usize = 4096;
    /// Not at the same place in a page.
    const DISTANCE: usize = BYTES + BYTES / 2;
    let mut memory = [0x5a_u8; DISTANCE + BYTES];
    let from = memory.as_mut_ptr();
    let to = from.wrapping_add(DISTANCE);
    let (mut by_moves, mut by_string) = (u64::MAX, u64::MAX);
    // A loop in truth: an emulator translates what runs for the first time, and every round of an
    // unrolled one would measure that.
    for _ in 0..black_box(8) {
        let begin = counter();
        // SAFETY: `BYTES` at each, and nothing in common.
        unsafe { copy_forward(to, from, BYTES) };
        let between = counter();
        // SAFETY: as above.
        unsafe { copy_string(to, from, BYTES) };
        by_string = by_string.min(counter().wrapping_sub(between));
        by_moves = by_moves.min(between.wrapping_sub(begin));
    }
    log::debug!("a copy of {BYTES} bytes: {by_moves} counts by moves, {by_string} by rep movsb");
    BY_STRING.store(by_string < by_moves, Relaxed);
    by_string < by_moves
}

/// How much is copied at a time: `moves` of 64 bits, or by the `string` instruction.
pub(crate) fn way() -> &'static str {
    if BY_STRING.load(Relaxed) { "string" } else { "moves" }
}

/// # Safety
/// As C's: both valid for `count` bytes, not overlapping.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn memcpy(
    target: *mut u8,
    source: *const u8,
    count: usize,
) -> *mut u8 {
    if count >= MUCH && BY_STRING.load(Relaxed) {
        // SAFETY: the caller's promise.
        unsafe { copy_string(target, source, count) };
    } else {
        // SAFETY: the caller's promise.
        unsafe { copy_forward(target, source, count) };
    }
    target
}

/// # Safety
/// As C's: both valid for `count` bytes; they may overlap.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn memmove(
    target: *mut u8,
    source: *const u8,
    count: usize,
) -> *mut u8 {
    if (target as usize).wrapping_sub(source as usize) >= count {
        // SAFETY: the caller's promise; the target does not begin inside the source, so that
        // going forward reads each byte before it is overwritten.
        unsafe { copy_forward(target, source, count) };
    } else {
        // SAFETY: the caller's promise; the target begins inside the source.
        unsafe { copy_backward(target, source, count) };
    }
    target
}

/// # Safety
/// As C's: valid for `count` bytes.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn memset(target: *mut u8, value: i32, count: usize) -> *mut u8 {
    let word = u64::from(value as u8) * 0x0101_0101_0101_0101;
    // SAFETY: writes `count` bytes from `target` on, all the caller's.
    unsafe {
        asm!(
            "cmp {left}, 64",
            "jb 3f",
            "2:",
            "mov [{to}], {word}",
            "mov [{to} + 8], {word}",
            "mov [{to} + 16], {word}",
            "mov [{to} + 24], {word}",
            "mov [{to} + 32], {word}",
            "mov [{to} + 40], {word}",
            "mov [{to} + 48], {word}",
            "mov [{to} + 56], {word}",
            "add {to}, 64",
            "sub {left}, 64",
            "cmp {left}, 64",
            "jae 2b",
            "3:",
            "sub {left}, 8",
            "jb 5f",
            "4:",
            "mov [{to}], {word}",
            "add {to}, 8",
            "sub {left}, 8",
            "jae 4b",
            "5:",
            "add {left}, 8",
            "jz 7f",
            "6:",
            "mov [{to}], {word:l}",
            "inc {to}",
            "dec {left}",
            "jnz 6b",
            "7:",
            to = inout(reg) target => _,
            left = inout(reg) count => _,
            word = in(reg) word,
            options(nostack),
        );
    }
    target
}

/// # Safety
/// As C's: both valid for `count` bytes.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
    let mut done = 0;
    while count - done >= 8 {
        // SAFETY: eight bytes from `done` on lie within `count`, the caller's promise.
        let a = unsafe { one.wrapping_add(done).cast::<u64>().read_unaligned() };
        // SAFETY: as above.
        let b = unsafe { other.wrapping_add(done).cast::<u64>().read_unaligned() };
        if a != b {
            return if u64::from_be(a) < u64::from_be(b) { -1 } else { 1 };
        }
        done += 8;
    }
    while done < count {
        // SAFETY: `done` lies within `count`. Volatile: no loop here may become a call of us.
        let a = unsafe { one.wrapping_add(done).read_volatile() };
        // SAFETY: as above.
        let b = unsafe { other.wrapping_add(done).read_volatile() };
        if a != b {
            return i32::from(a) - i32::from(b);
        }
        done += 1;
    }
    0
}

/// # Safety
/// As [`memcmp`].
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { memcmp(one, other, count) }
}

/// The compiler may make a call of a loop that looks for a zero byte.
///
/// # Safety
/// As C's: a zero byte ends the text.
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: the caller promises a zero byte, and the loop ends there. Volatile, or this
    // function would be compiled into a call of itself.
    while unsafe { text.wrapping_add(length).read_volatile() } != 0 {
        length += 1;
    }
    length
}

/// # Safety
/// Both valid for `count` bytes, not overlapping.
unsafe fn copy_string(target: *mut u8, source: *const u8, count: usize) {
    // SAFETY: reads and writes `count` bytes, all the caller's; the direction flag is clear at every
    // call (System V ABI §3.2.1).
    unsafe {
        asm!(
            "rep movsb",
            inout("rdi") target => _,
            inout("rsi") source => _,
            inout("rcx") count => _,
            options(nostack, preserves_flags),
        );
    }
}

/// # Safety
/// Both valid for `count` bytes; the target does not begin inside the source.
#[inline(always)]
unsafe fn copy_forward(target: *mut u8, source: *const u8, count: usize) {
    // SAFETY: reads and writes `count` bytes, all the caller's. With less than 64 bytes between
    // an overlapping source and target, a turn's loads all come before its stores, and a later
    // turn reads only what lies further on.
    unsafe {
        asm!(
            "cmp {left}, 64",
            "jb 3f",
            "2:",
            "mov {a}, [{from}]",
            "mov {b}, [{from} + 8]",
            "mov {c}, [{from} + 16]",
            "mov {d}, [{from} + 24]",
            "mov {e}, [{from} + 32]",
            "mov {f}, [{from} + 40]",
            "mov {g}, [{from} + 48]",
            "mov {h}, [{from} + 56]",
            "mov [{to}], {a}",
            "mov [{to} + 8], {b}",
            "mov [{to} + 16], {c}",
            "mov [{to} + 24], {d}",
            "mov [{to} + 32], {e}",
            "mov [{to} + 40], {f}",
            "mov [{to} + 48], {g}",
            "mov [{to} + 56], {h}",
            "add {from}, 64",
            "add {to}, 64",
            "sub {left}, 64",
            "cmp {left}, 64",
            "jae 2b",
            "3:",
            "sub {left}, 8",
            "jb 5f",
            "4:",
            "mov {a}, [{from}]",
            "mov [{to}], {a}",
            "add {from}, 8",
            "add {to}, 8",
            "sub {left}, 8",
            "jae 4b",
            "5:",
            "add {left}, 8",
            "jz 7f",
            "6:",
            "mov {a:l}, [{from}]",
            "mov [{to}], {a:l}",
            "inc {from}",
            "inc {to}",
            "dec {left}",
            "jnz 6b",
            "7:",
            to = inout(reg) target => _,
            from = inout(reg) source => _,
            left = inout(reg) count => _,
            a = out(reg) _,
            b = out(reg) _,
            c = out(reg) _,
            d = out(reg) _,
            e = out(reg) _,
            f = out(reg) _,
            g = out(reg) _,
            h = out(reg) _,
            options(nostack),
        );
    }
}

/// # Safety
/// Both valid for `count` bytes.
unsafe fn copy_backward(target: *mut u8, source: *const u8, count: usize) {
    // SAFETY: reads and writes `count` bytes, all the caller's, from the end down: each is read
    // before the bytes that reach over it are written.
    unsafe {
        asm!(
            "2:",
            "sub {left}, 8",
            "jb 3f",
            "mov {a}, [{from} + {left}]",
            "mov [{to} + {left}], {a}",
            "jmp 2b",
            "3:",
            "add {left}, 8",
            "jz 5f",
            "4:",
            "mov {a:l}, [{from} + {left} - 1]",
            "mov [{to} + {left} - 1], {a:l}",
            "dec {left}",
            "jnz 4b",
            "5:",
            to = in(reg) target,
            from = in(reg) source,
            left = inout(reg) count => _,
            a = out(reg) _,
            options(nostack),
        );
    }
}
