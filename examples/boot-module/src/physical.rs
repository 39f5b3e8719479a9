//! Physical memory as firmware left it: the low-memory iBFT, the ACPI tables.

use core::ops::Range;
use core::ptr;

use isboot_ibft::locate::{PhysicalMemory, Unreadable};

use crate::paging;

unsafe extern "C" {
    // Three places in the image, from image.ld: its first byte, the end of what the loader read
    // from the file, and the end of .bss.
    static image_start: u8;
    static data_end: u8;
    static image_end: u8;
}

/// Where the kernel itself lies, .bss and stack included.
pub(crate) fn image() -> Range<u64> {
    &raw const image_start as u64..&raw const image_end as u64
}

/// How much of it the loader read from the file.
pub(crate) fn loaded_bytes() -> u64 {
    &raw const data_end as u64 - &raw const image_start as u64
}

/// All memory, by physical address.
#[derive(Debug)]
pub(crate) struct FirmwareMemory;

impl PhysicalMemory for FirmwareMemory {
    fn read(&mut self, address: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        let end = address.checked_add(into.len() as u64).ok_or(Unreadable)?;
        // A null pointer is none to read from; nothing that firmware leaves for us lies there.
        if address == 0 {
            return Err(Unreadable);
        }
        paging::map_memory(&(address..end)).ok_or(Unreadable)?;
        // SAFETY: mapped, and not null; where there is no memory, the bus answers with ones.
        // Source and target may overlap, should firmware name our own memory.
        unsafe { ptr::copy(address as *const u8, into.as_mut_ptr(), into.len()) };
        Ok(())
    }
}
