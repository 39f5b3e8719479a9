//! Memory for DMA and for buffers: one piece below 4 GiB, at its physical address.

use core::alloc::Layout;
use core::ops::Range;
use core::ptr::{self, NonNull};
use core::slice;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use heapless::Vec;

use crate::boot_cell::BootCell;

/// What is free, in order of address, no two pieces touching.
static FREE: BootCell<Vec<Range<u64>, 32>> = BootCell::new(Vec::new());

/// All that the loader left for us.
static SIZE: AtomicU64 = AtomicU64::new(0);

/// Takes over the memory that the loader left for us.
///
/// # Safety
/// The range is mapped memory that nobody else uses, and this is called once.
pub(crate) unsafe fn start(range: Range<u64>) {
    SIZE.store(range.end - range.start, Relaxed);
    FREE.with(|free| drop(free.push(range)));
}

/// Gives out memory, content unspecified, none of it above `highest`.
pub(crate) fn allocate(layout: Layout, highest: u64) -> Option<NonNull<u8>> {
    FREE.with(|free| {
        let fits = |piece: &Range<u64>| {
            let start = piece.start.checked_next_multiple_of(layout.align() as u64)?;
            let end = start.checked_add(layout.size() as u64)?;
            (end <= piece.end && end.checked_sub(1)? <= highest).then_some(start..end)
        };
        let (place, taken) =
            free.iter().enumerate().find_map(|(place, piece)| Some((place, fits(piece)?)))?;
        let piece = free[place].clone();
        free[place] = taken.end..piece.end;
        if piece.start < taken.start {
            free.insert(place, piece.start..taken.start).ok()?;
        }
        free.retain(|piece| !piece.is_empty());
        NonNull::new(taken.start as *mut u8)
    })
}

/// Takes memory back.
///
/// # Safety
/// `start` came from [`allocate`] with `length` bytes, and nobody uses it any more.
pub(crate) unsafe fn free(start: NonNull<u8>, length: usize) {
    let start = start.as_ptr() as u64;
    FREE.with(|free| {
        let place = free.partition_point(|piece| piece.start < start);
        if free.insert(place, start..start + length as u64).is_err() {
            log::warn!("arena: no room to remember {length} free bytes at {start:#x}");
            return;
        }
        let mut place = 1;
        while place < free.len() {
            if free[place - 1].end == free[place].start {
                free[place - 1].end = free[place].end;
                free.remove(place);
            } else {
                place += 1;
            }
        }
    });
}

/// Bytes that are given out.
pub(crate) fn used() -> u64 {
    let left: u64 = FREE.with(|free| free.iter().map(|piece| piece.end - piece.start).sum());
    SIZE.load(Relaxed) - left
}

/// Gives out a zeroed buffer for good.
pub(crate) fn buffer(length: usize) -> Option<&'static mut [u8]> {
    let start = allocate(Layout::from_size_align(length, 4096).ok()?, u64::MAX)?;
    // SAFETY: just given out: `length` bytes that are nobody else's.
    unsafe { ptr::write_bytes(start.as_ptr(), 0, length) };
    // SAFETY: as above, initialized, and never taken back.
    Some(unsafe { slice::from_raw_parts_mut(start.as_ptr(), length) })
}

/// Gives a value a place for good.
pub(crate) fn place<T>(value: T) -> Option<&'static mut T> {
    let start = allocate(Layout::new::<T>(), u64::MAX)?.cast::<T>();
    // SAFETY: just given out, aligned for a `T`, nobody else's.
    unsafe { start.write(value) };
    // SAFETY: as above, initialized, and never taken back.
    Some(unsafe { &mut *start.as_ptr() })
}

/// Shows all that is free, piece by piece; `look` must not come back here.
pub(crate) fn for_each_free(mut look: impl FnMut(&mut [u8])) {
    FREE.with(|free| {
        for piece in free.iter() {
            let length = (piece.end - piece.start) as usize;
            // SAFETY: memory of ours that is given to nobody; `start` promises that it is there.
            look(unsafe { slice::from_raw_parts_mut(piece.start as *mut u8, length) });
        }
    });
}
