//! What the loader told, copied out of its memory.

use core::ffi::CStr;
use core::fmt;
use core::ops::Range;

use heapless::Vec;

use crate::command_line::CommandLine;
use crate::physical;

/// Everything that depends on how the kernel was started.
#[derive(Debug)]
pub(crate) struct Handover {
    pub(crate) loader: Loader,
    pub(crate) command_line: CommandLine,
    pub(crate) memory: MemoryMap,
    /// Where the ACPI tables start, when the loader says so.
    pub(crate) rsdp: Option<u64>,
    /// Memory below 4 GiB for DMA and buffers, ours alone.
    pub(crate) arena: Option<Range<u64>>,
}

/// Who started the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loader {
    Pvh,
    Multiboot,
    Uefi,
}

impl fmt::Display for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pvh => "pvh",
            Self::Multiboot => "multiboot",
            Self::Uefi => "uefi",
        })
    }
}

/// Memory that is free to use, the image's own included.
#[derive(Debug, Default)]
pub(crate) struct MemoryMap(Vec<Range<u64>, 64>);

impl MemoryMap {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a piece, joined to the one before it where they touch. What does not fit is forgotten.
    pub(crate) fn add(&mut self, start: u64, length: u64) {
        let piece = start..start.saturating_add(length);
        match self.0.last_mut() {
            Some(last) if last.end == piece.start => last.end = piece.end,
            _ => drop(self.0.push(piece)),
        }
    }

    pub(crate) fn kib(&self) -> u64 {
        self.0.iter().map(|piece| (piece.end - piece.start) / 1024).sum()
    }

    /// `length` bytes behind the image and below 4 GiB, page-aligned.
    pub(crate) fn find(&self, length: u64) -> Option<Range<u64>> {
        let image_end = physical::image().end;
        self.0.iter().find_map(|piece| {
            let start = piece.start.max(image_end).checked_next_multiple_of(4096)?;
            let end = start.checked_add(length)?;
            (end <= piece.end.min(1 << 32)).then_some(start..end)
        })
    }
}

/// A value in the loader's memory.
///
/// # Safety
/// `address` is what a loader gave as the address of a `T`; `T` is plain data.
pub(super) unsafe fn value_at<T: Copy>(address: u64) -> T {
    // SAFETY: the caller's promise; all memory below 4 GiB is mapped, and any bytes are a `T`.
    unsafe { (address as *const T).read_unaligned() }
}

/// Text in the loader's memory; empty when `address` is zero.
///
/// # Safety
/// `address` is zero or what a loader gave as the address of zero-terminated text.
pub(super) unsafe fn text_at(address: u64) -> &'static [u8] {
    if address == 0 {
        return &[];
    }
    // SAFETY: the caller's promise. The text is copied before that memory is used.
    unsafe { CStr::from_ptr(address as *const _) }.to_bytes()
}
