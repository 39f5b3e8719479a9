//! The functions that the compiler calls to copy, in place of libc's: they count bytes, and take the
//! same instructions on every processor.

use core::arch::asm;
use std::sync::atomic::{AtomicU64, Ordering};

static COPIED: AtomicU64 = AtomicU64::new(0);

/// Bytes that were copied by calls so far; what the compiler copies in place is not among them:
/// headers, and structures of less than 128 bytes.
pub(crate) fn copied() -> u64 {
    COPIED.load(Ordering::Relaxed)
}

/// # Safety
/// As C's: both valid for `count` bytes, not overlapping.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(target: *mut u8, source: *const u8, count: usize) -> *mut u8 {
    COPIED.fetch_add(count as u64, Ordering::Relaxed);
    // SAFETY: the caller's promise; the direction flag is clear, as the ABI says.
    unsafe {
        asm!("rep movsb", inout("rdi") target => _, inout("rsi") source => _,
             inout("rcx") count => _, options(nostack, preserves_flags));
    }
    target
}

/// # Safety
/// As C's: both valid for `count` bytes; they may overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(target: *mut u8, source: *const u8, count: usize) -> *mut u8 {
    if (target as usize).wrapping_sub(source as usize) >= count {
        // SAFETY: the caller's promise; going forward reads each byte before it is overwritten.
        return unsafe { memcpy(target, source, count) };
    }
    COPIED.fetch_add(count as u64, Ordering::Relaxed);
    // SAFETY: the caller's promise; going backward reads each byte before it is overwritten, and
    // the direction flag is cleared again.
    unsafe {
        asm!("std", "rep movsb", "cld", inout("rdi") target.wrapping_add(count).wrapping_sub(1) => _,
             inout("rsi") source.wrapping_add(count).wrapping_sub(1) => _, inout("rcx") count => _,
             options(nostack));
    }
    target
}
