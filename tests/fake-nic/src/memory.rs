//! Memory that both sides reach, the device only by bus addresses, which are nobody's pointers:
//! as behind an IOMMU.
//!
//! What was freed is filled with canaries and kept. What firmware had taken is marked, and
//! every write to it is an event.

use std::alloc::{Layout, alloc, dealloc};
use std::ptr::NonNull;

use isboot_transport::hal::{DmaLayout, DmaRegion};

/// What fills memory that was given back.
pub const CANARY: u8 = 0xa5;
/// What fills memory that is handed out: never zero.
const DIRT: u8 = 0xee;

/// The lower one of two ranges of bus addresses: for whoever cannot reach more than 4 GiB.
const BELOW_4_GIB: u64 = 0x1_0000_0000 - (192 << 20);
/// The upper one: neither half of an address is what it would be by accident.
const ABOVE_4_GIB: u64 = 0x009a_bcde_f000_0000;

/// One piece of memory.
pub(crate) struct Region {
    pointer: NonNull<u8>,
    layout: Layout,
    pub(crate) bus: u64,
    pub(crate) is_freed: bool,
    pub(crate) is_foreign: bool,
}

impl Region {
    fn contains(&self, bus: u64, len: usize) -> bool {
        let last = self.bus + self.layout.size() as u64;
        (self.bus..last).contains(&bus) && len as u64 <= last - bus
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: as many bytes, initialised when allocated; nobody writes while they are looked
        // at, since driver and device share a thread.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.layout.size()) }
    }

    fn fill(&self, byte: u8) {
        // SAFETY: the region's own memory; the driver has no reference to it, which it either
        // never had or gave up.
        unsafe { self.pointer.write_bytes(byte, self.layout.size()) };
    }
}

/// All of it.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) regions: Vec<Region>,
}

impl Memory {
    /// Takes memory where `layout` wants it, or from `first` on, whatever the layout says.
    pub(crate) fn allocate(&mut self, layout: DmaLayout, first: Option<u64>) -> DmaRegion {
        let arena = match first {
            Some(first) => first,
            None if layout.highest_address == u64::MAX => ABOVE_4_GIB,
            None => BELOW_4_GIB,
        };
        let is_above = arena >= ABOVE_4_GIB;
        let here = self.regions.iter().filter(|region| (region.bus >= ABOVE_4_GIB) == is_above);
        let end = here.map(|region| region.bus + region.layout.size() as u64).max();
        // A gap between pieces: who runs past the end of one must not land in the next.
        let bus = end.map_or(arena, |end| end + 64).next_multiple_of(layout.align as u64);
        let memory = Layout::from_size_align(layout.len, layout.align).expect("a layout");
        // SAFETY: the layout has a size: the driver never asks for nothing, as `Hal` says.
        let pointer = NonNull::new(unsafe { alloc(memory) }).expect("memory");
        let region = Region { pointer, layout: memory, bus, is_freed: false, is_foreign: false };
        region.fill(DIRT);
        self.regions.push(region);
        DmaRegion { pointer, bus_address: bus, len: layout.len }
    }

    pub(crate) fn free(&mut self, region: DmaRegion) {
        let known = self.regions.iter_mut().find(|known| known.bus == region.bus_address);
        let known = known.expect("freed memory was never allocated");
        assert!(!known.is_freed, "freed twice");
        assert!(!known.is_foreign, "freed memory is firmware's");
        assert_eq!((known.pointer, known.layout.size()), (region.pointer, region.len));
        known.is_freed = true;
        known.fill(CANARY);
    }

    /// Whether every byte of freed memory still is what freeing left.
    pub(crate) fn freed_is_untouched(&self) -> bool {
        let mut freed = self.regions.iter().filter(|region| region.is_freed);
        freed.all(|region| region.bytes().iter().all(|byte| *byte == CANARY))
    }

    pub(crate) fn live(&self) -> usize {
        self.regions.iter().filter(|region| !region.is_freed && !region.is_foreign).count()
    }

    /// What firmware's memory holds.
    pub(crate) fn foreign(&self) -> Vec<u8> {
        let foreign = self.regions.iter().filter(|region| region.is_foreign);
        foreign.flat_map(|region| region.bytes().iter().copied()).collect()
    }

    pub(crate) fn contains_pointer(&self, pointer: *const u8) -> bool {
        self.regions.iter().any(|region| {
            let start = region.pointer.addr().get();
            (start..start + region.layout.size()).contains(&pointer.addr())
        })
    }

    /// Where the device's `len` bytes at `bus` are, and whether they are firmware's.
    ///
    /// # Panics
    /// When they are nobody's, or freed.
    fn locate(&self, bus: u64, len: usize) -> (NonNull<u8>, bool) {
        let found = self.regions.iter().find(|region| region.contains(bus, len));
        let Some(region) = found else { panic!("DMA to {bus:#x}, {len} bytes, which is nobody's") };
        assert!(!region.is_freed, "DMA to freed memory at {bus:#x}");
        // SAFETY: the offset lies inside the region, as was just seen.
        (unsafe { region.pointer.add((bus - region.bus) as usize) }, region.is_foreign)
    }

    /// Whether the device may use all of `len` bytes at `bus`.
    pub(crate) fn has(&self, bus: u64, len: usize) -> bool {
        self.regions.iter().any(|region| region.contains(bus, len) && !region.is_freed)
    }

    /// Fails the test unless the device may use all of `len` bytes at `bus`.
    pub(crate) fn check(&self, bus: u64, len: usize) {
        self.locate(bus, len);
    }

    pub(crate) fn read(&self, bus: u64, len: usize) -> Vec<u8> {
        let (pointer, _) = self.locate(bus, len);
        // SAFETY: `len` initialised bytes of a live region; the driver does not write meanwhile.
        unsafe { std::slice::from_raw_parts(pointer.as_ptr(), len) }.to_vec()
    }

    /// Writes; says whether the memory is firmware's.
    pub(crate) fn write(&self, bus: u64, bytes: &[u8]) -> bool {
        let (pointer, is_foreign) = self.locate(bus, bytes.len());
        // SAFETY: as many bytes of a live region; the driver holds no reference to what the
        // device owns.
        unsafe { pointer.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
        is_foreign
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        for region in &self.regions {
            // SAFETY: from `alloc` with this layout, and nobody uses it any more: a machine is
            // renewed only when its driver is gone.
            unsafe { dealloc(region.pointer.as_ptr(), region.layout) };
        }
    }
}
