//! I/O ports.

use core::arch::asm;

/// One I/O port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port(u16);

impl Port {
    /// # Safety
    /// No access to this port may change memory that Rust code uses, or take the processor away:
    /// true of the console, the timer, configuration space and the debug exit.
    pub(crate) const unsafe fn new(number: u16) -> Self {
        Self(number)
    }

    pub(crate) fn read_u8(self) -> u8 {
        let value;
        // SAFETY: harmless to memory, as promised to `new`.
        unsafe { asm!("in al, dx", in("dx") self.0, out("al") value, options(nomem, nostack)) };
        value
    }

    pub(crate) fn write_u8(self, value: u8) {
        // SAFETY: harmless to memory, as promised to `new`.
        unsafe { asm!("out dx, al", in("dx") self.0, in("al") value, options(nomem, nostack)) };
    }

    pub(crate) fn read_u32(self) -> u32 {
        let value;
        // SAFETY: harmless to memory, as promised to `new`.
        unsafe { asm!("in eax, dx", in("dx") self.0, out("eax") value, options(nomem, nostack)) };
        value
    }

    pub(crate) fn write_u32(self, value: u32) {
        // SAFETY: harmless to memory, as promised to `new`. Not `nomem`: a write may let a
        // device loose on memory, so earlier stores must be done.
        unsafe { asm!("out dx, eax", in("dx") self.0, in("eax") value, options(nostack)) };
    }
}
