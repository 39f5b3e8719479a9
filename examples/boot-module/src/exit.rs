//! The end of the run: QEMU's isa-debug-exit device at port 0xf4, else the processor halts.

use core::arch::asm;
use core::panic::PanicInfo;

use crate::port::Port;

/// What is written to the port; QEMU's own exit status is `2 * value + 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitValue {
    Pass = 0,
    Fail = 1,
    Panic = 2,
}

/// Ends the machine.
pub(crate) fn exit(value: ExitValue) -> ! {
    // SAFETY: the device there ends the emulator; on a machine without it nothing happens.
    let port = unsafe { Port::new(0xf4) };
    port.write_u8(value as u8);
    loop {
        // SAFETY: halting with interrupts off is the end, which is what is wanted.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) };
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    match info.location() {
        Some(place) => log::error!("panic at {place}: {}", info.message()),
        None => log::error!("panic: {}", info.message()),
    }
    exit(ExitValue::Panic)
}

/// The precompiled `core` names it; with `panic = "abort"` nothing calls it.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
