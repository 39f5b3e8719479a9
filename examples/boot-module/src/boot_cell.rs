//! Statics that are written while booting.

use core::cell::UnsafeCell;

/// A static of a kernel with one processor, which no interrupt handler uses.
#[derive(Debug)]
pub(crate) struct BootCell<T>(UnsafeCell<T>);

// SAFETY: one processor runs this kernel, an interrupt handler uses no `BootCell` (it has what is
// in src/interrupt), and an exception never returns: no access can come between two instructions
// of another.
unsafe impl<T> Sync for BootCell<T> {}

impl<T> BootCell<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Lends the value to `use_it`, which must not come back here for the same cell.
    pub(crate) fn with<R>(&self, use_it: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: nothing runs at the same time (see `Sync`), the reference ends with the
        // closure, and no closure in this kernel uses its own cell again.
        use_it(unsafe { &mut *self.0.get() })
    }

    /// The address, for tables that the processor reads.
    pub(crate) const fn as_mut_ptr(&self) -> *mut T {
        self.0.get()
    }
}
