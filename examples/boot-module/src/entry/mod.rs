//! Kernel entry: from whatever loader there was to [`Handover`] and `main`.

mod handover;
mod multiboot;
mod pvh;
mod uefi;

use core::arch::global_asm;

pub(crate) use handover::{Handover, Loader};

use crate::{clock, console, exception, paging};

global_asm!(include_str!("start.s"), options(att_syntax));

/// The first Rust code for PVH and multiboot, and the second for UEFI: our stack, long mode,
/// interrupts off.
///
/// `information` is what the loader gave: a physical address for PVH and multiboot, unused for
/// UEFI, which has filled the handover already.
#[unsafe(no_mangle)]
extern "sysv64" fn kernel_start(loader: u64, information: u64, entry_time_stamp: u64) -> ! {
    console::start();
    exception::start();
    clock::start(entry_time_stamp);
    paging::start();
    let handover = match loader {
        // SAFETY: start.s passes on what the PVH loader gave.
        LOADER_PVH => unsafe { pvh::handover(information) },
        // SAFETY: start.s passes on what the multiboot loader gave.
        LOADER_MULTIBOOT => unsafe { multiboot::handover(information) },
        _ => uefi::handover(),
    };
    crate::main(&handover)
}

// As in start.s.
const LOADER_PVH: u64 = 1;
const LOADER_MULTIBOOT: u64 = 2;
const LOADER_UEFI: u64 = 3;
