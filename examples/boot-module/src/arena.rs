//! Memory for DMA and for buffers: one piece below 4 GiB, given out from the front.

use core::alloc::Layout;
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::slice;

use crate::boot_cell::BootCell;

static ARENA: BootCell<Arena> = BootCell::new(Arena { range: 0..0, next: 0 });

struct Arena {
    range: Range<u64>,
    /// The first address that is not given out.
    next: u64,
}

/// Takes over the memory that the loader left for us.
pub(crate) fn start(range: Range<u64>) {
    ARENA.with(|arena| *arena = Arena { next: range.start, range });
}

/// All of it, given out or not; empty before [`start`].
pub(crate) fn range() -> Range<u64> {
    ARENA.with(|arena| arena.range.clone())
}

/// Gives out memory, content unspecified; its address is its physical address.
pub(crate) fn allocate(layout: Layout) -> Option<NonNull<u8>> {
    ARENA.with(|arena| {
        let start = arena.next.checked_next_multiple_of(layout.align() as u64)?;
        let end = start.checked_add(layout.size() as u64)?;
        if end > arena.range.end {
            return None;
        }
        arena.next = end;
        NonNull::new(start as *mut u8)
    })
}

/// Takes memory back. It can be given out again once all that was given out later is back too.
///
/// # Safety
/// `start` came from [`allocate`] with `length` bytes, and nobody uses it any more.
pub(crate) unsafe fn free(start: NonNull<u8>, length: usize) {
    ARENA.with(|arena| {
        let start = start.as_ptr() as u64;
        if start + length as u64 == arena.next {
            arena.next = start;
        }
    });
}

/// Gives out a zeroed buffer for good.
pub(crate) fn buffer(length: usize) -> Option<&'static mut [u8]> {
    let start = allocate(Layout::from_size_align(length, 4096).ok()?)?;
    // SAFETY: just given out: `length` bytes that are nobody else's.
    unsafe { ptr::write_bytes(start.as_ptr(), 0, length) };
    // SAFETY: as above, initialized, and never taken back.
    Some(unsafe { slice::from_raw_parts_mut(start.as_ptr(), length) })
}
