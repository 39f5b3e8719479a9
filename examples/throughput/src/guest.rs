//! In a guest: whoever moves data there takes turns with another guest in the same QEMU, each held
//! while it waits.

pub mod bare;
mod hosting;
pub mod ipxe;
pub mod kernel;
pub mod linux;
pub mod machine;
