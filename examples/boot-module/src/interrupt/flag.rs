//! The processor's interrupt flag, and what is shared with handlers.

use core::arch::asm;
use core::cell::UnsafeCell;

/// RFLAGS.IF.
pub(super) const INTERRUPT_FLAG: u64 = 1 << 9;

/// Lets interrupts in: what is pending comes before this returns.
///
/// # Safety
/// Every vector that may come has its gate, and interrupt stack 2 is there.
pub(super) unsafe fn enable() {
    // SAFETY: the caller's promise; a handler changes nothing but what is shared with it. Not
    // `nomem`: what was prepared for the handlers must be in memory by now.
    unsafe { asm!("sti", "nop", options(nostack)) };
}

/// Keeps interrupts out.
pub(super) fn disable() {
    // SAFETY: the kernel can do without. Not `nomem`, so that nothing moves across it.
    unsafe { asm!("cli", options(nostack)) };
}

/// Lets interrupts in and halts until one comes; they are in afterwards.
///
/// `sti` takes effect after the next instruction (Intel SDM 2B, STI): what is pending, or comes
/// now, ends the halt instead of being served before it.
///
/// # Safety
/// As [`enable`]; interrupts are off, and one will come.
pub(super) unsafe fn enable_and_halt() {
    // SAFETY: the caller's promise.
    unsafe { asm!("sti", "hlt", options(nostack)) };
}

/// Whether interrupts are let in.
fn is_enabled() -> bool {
    let flags: u64;
    // SAFETY: reads the flags by way of the stack.
    unsafe { asm!("pushfq", "pop {}", out(reg) flags, options(nomem, preserves_flags)) };
    flags & INTERRUPT_FLAG != 0
}

/// What the kernel gives to its handlers, exchanged while none can run.
#[derive(Debug)]
pub(super) struct HandlerCell<T>(UnsafeCell<Option<T>>);

// SAFETY: one processor runs this kernel, and both methods reach the value with interrupts off:
// no access can come between two instructions of another.
unsafe impl<T: Send> Sync for HandlerCell<T> {}

impl<T> HandlerCell<T> {
    pub(super) const fn empty() -> Self {
        Self(UnsafeCell::new(None))
    }

    pub(super) fn set(&self, value: Option<T>) {
        let enabled = is_enabled();
        disable();
        // SAFETY: interrupts are off, see `Sync`; no reference to the value ever leaves here.
        unsafe { *self.0.get() = value };
        if enabled {
            // SAFETY: they were, so everything for them is there.
            unsafe { enable() };
        }
    }

    /// Lends the value to a handler, which runs with interrupts off and must not come here again.
    pub(super) fn with<R>(&self, use_it: impl FnOnce(&T) -> R) -> Option<R> {
        // SAFETY: nothing runs at the same time, see `Sync`; the reference ends with the closure.
        unsafe { &*self.0.get() }.as_ref().map(use_it)
    }
}
