//! Every public entry of the core, exported with arguments that nothing is known of, so that the
//! optimiser can take nothing for granted and leave nothing out. No test runs this: it is linked.
#![no_std]

mod disks;
mod login;
mod pdu;
mod scsi;
mod session;
mod table;

use core::hint::black_box;
use core::panic::PanicInfo;

// What the compiler itself calls: memcpy and its like.
#[link(name = "c")]
unsafe extern "C" {}

unsafe extern "C" {
    /// Nowhere defined.
    fn a_path_to_a_panic_is_left() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: never run; that it is undefined is its purpose.
    unsafe { a_path_to_a_panic_is_left() }
}

/// The precompiled core names it; with `panic = "abort"` nobody calls it.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// Somebody needs it: it is computed to its end.
fn seen<T>(value: T) {
    black_box(value);
}

/// As `seen`, and in the texts for people its Debug form is made too.
fn told<T: core::fmt::Debug>(value: T) {
    #[cfg(feature = "texts")]
    {
        struct Anywhere;
        impl core::fmt::Write for Anywhere {
            fn write_str(&mut self, text: &str) -> core::fmt::Result {
                black_box(text);
                black_box(Ok(()))
            }
        }
        seen(core::fmt::write(&mut Anywhere, format_args!("{value:?}")));
    }
    seen(value);
}
