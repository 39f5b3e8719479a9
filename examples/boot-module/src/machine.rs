//! What the transport asks of a hosting kernel: memory that the NIC can reach, its registers, time.

use core::alloc::Layout;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::time::Duration;

use isboot_transport::hal::{Clock, DmaLayout, DmaRegion, Hal};

use crate::port::Port;
use crate::profile::{self, Stage};
use crate::{arena, clock, paging};

/// This machine: memory at its physical address, coherent DMA, no IOMMU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine;

/// Bytes that the card may reach.
static DMA: AtomicUsize = AtomicUsize::new(0);

/// Bytes that the card may reach now.
pub(crate) fn dma_bytes() -> usize {
    DMA.load(Relaxed)
}

impl Clock for Machine {
    fn now(&self) -> Duration {
        clock::now()
    }

    /// Nothing: a `pause` leaves the processor to the hypervisor, and that costs latency.
    fn spin(&self) {}
}

// SAFETY: the arena gives out memory below 4 GiB that is mapped at its physical address and
// given to nobody else until it is freed; x86 keeps it coherent with the bus; registers are
// mapped uncached at their address, and reached by the trait's volatile accesses.
unsafe impl Hal for Machine {
    fn allocate(&self, layout: DmaLayout) -> Option<DmaRegion> {
        let size = Layout::from_size_align(layout.len, layout.align).ok()?;
        let pointer = arena::allocate(size, layout.highest_address)?;
        DMA.fetch_add(layout.len, Relaxed);
        Some(DmaRegion { pointer, bus_address: pointer.as_ptr() as u64, len: layout.len })
    }

    unsafe fn free(&self, region: DmaRegion) {
        // SAFETY: the caller's promise.
        unsafe { arena::free(region.pointer, region.len) };
        DMA.fetch_sub(region.len, Relaxed);
    }

    fn map(&self, bus_address: u64, len: usize) -> Option<NonNull<u8>> {
        let end = bus_address.checked_add(u64::try_from(len).ok()?)?;
        paging::map_registers(&(bus_address..end))?;
        NonNull::new(bus_address as *mut u8)
    }

    unsafe fn read(&self, register: NonNull<u32>) -> u32 {
        let _span = profile::enter(Stage::Registers);
        // SAFETY: the caller promises an aligned register inside a live mapping.
        u32::from_le(unsafe { register.read_volatile() })
    }

    unsafe fn write(&self, register: NonNull<u32>, value: u32) {
        let _span = profile::enter(Stage::Registers);
        // SAFETY: as above.
        unsafe { register.write_volatile(value.to_le()) }
    }

    fn write_port(&self, port: u16, value: u32) -> bool {
        // SAFETY: the driver asks for ports of the card's own window only, and while the card may
        // not touch memory.
        unsafe { Port::new(port) }.write_u32(value);
        true
    }
}
