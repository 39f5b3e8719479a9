//! What a hosting kernel supplies: memory the NIC can reach, its registers, time, randomness.

use core::fmt;
use core::ptr::NonNull;
use core::time::Duration;

/// Monotonic time since a zero of the hosting kernel's choice, the same for every call.
pub trait Clock {
    /// The time now. Never goes back; microsecond resolution or better is wanted.
    fn now(&self) -> Duration;

    /// Called between two looks at something that is about to change.
    ///
    /// The default is the processor's spin hint. A hosting kernel with a scheduler may yield.
    fn spin(&self) {
        core::hint::spin_loop();
    }

    /// Returns after at least `time` has passed.
    fn wait(&self, time: Duration) {
        let _ = wait_until(self, time, || false);
    }
}

impl<T: Clock + ?Sized> Clock for &T {
    fn now(&self) -> Duration {
        (**self).now()
    }
    fn spin(&self) {
        (**self).spin();
    }
    fn wait(&self, time: Duration) {
        (**self).wait(time);
    }
}

/// Looks at `done` until it holds or `limit` has passed; says whether it held.
///
/// `done` is looked at once more after the limit, so that a hosting kernel which was not
/// scheduled for a while does not see a timeout that never happened.
pub fn wait_until<C: Clock + ?Sized>(
    clock: &C,
    limit: Duration,
    mut done: impl FnMut() -> bool,
) -> bool {
    let start = clock.now();
    loop {
        if done() {
            return true;
        }
        if clock.now().saturating_sub(start) >= limit {
            return done();
        }
        clock.spin();
    }
}

/// A source of unpredictable bytes: TCP sequence numbers, source ports, CHAP challenges.
pub trait Entropy {
    /// Fills `bytes` completely.
    ///
    /// # Errors
    /// [`NoEntropy`] when the source has none to give; `bytes` is then unspecified.
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy>;
}

impl<T: Entropy + ?Sized> Entropy for &mut T {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), NoEntropy> {
        (**self).fill(bytes)
    }
}

/// Why there is no randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoEntropy {
    /// The hosting kernel has no source.
    Missing,
    /// The source has nothing to give, for longer than it may.
    Exhausted,
    /// The source gives the same again and again, or nothing but zeros or ones: it is broken.
    Stuck,
}

impl fmt::Display for NoEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the hosting kernel has no source of randomness",
            Self::Exhausted => "the source of randomness has nothing to give",
            Self::Stuck => "the source of randomness gives the same again and again: it is broken",
        })
    }
}

impl core::error::Error for NoEntropy {}

/// What a piece of DMA memory must satisfy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaLayout {
    /// Bytes wanted; never zero.
    pub len: usize,
    /// Alignment of both addresses, a power of two.
    pub align: usize,
    /// Highest bus address that the device can reach, inclusive: the last byte may lie there.
    pub highest_address: u64,
}

/// Memory that both the processor and the device can reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DmaRegion {
    /// Where the processor finds it.
    pub pointer: NonNull<u8>,
    /// Where the device finds it. Differs from the physical address behind an IOMMU.
    pub bus_address: u64,
    /// Bytes, at least what was asked for.
    pub len: usize,
}

/// Memory and registers, supplied by the hosting kernel.
///
/// Every method takes `&self`, so an instance may carry the kernel's own allocator or the
/// identity of a device behind an IOMMU. The driver keeps clones of it: implement it for a
/// `Copy` handle, or pass a reference (`&T` implements it when `T` does).
///
/// # Safety
/// The driver turns what these methods return into memory accesses by the processor and by the
/// device. An implementation promises that:
///
/// - [`allocate`](Self::allocate) returns memory that is valid for reads and writes of `len`
///   bytes, is not used by anything else until it is passed to [`free`](Self::free), is
///   physically contiguous as the device sees it from `bus_address` on, satisfies the layout,
///   and stays mapped at both addresses until then;
/// - the memory is coherent: what the processor wrote before a release fence is what the device
///   reads, and the other way round after an acquire fence (true of ordinary write-back memory
///   on x86; elsewhere map it uncached unless the bus snoops);
/// - [`map`](Self::map) returns a pointer through which `len` bytes of device registers at
///   `bus_address` can be reached by [`read`](Self::read) and [`write`](Self::write), uncached
///   and never write-combined, until [`unmap`](Self::unmap);
/// - where the implementation is `Send`, memory and mappings are the same on every processor;
/// - [`read`](Self::read) and [`write`](Self::write) reach exactly the 32-bit register at the
///   pointer, once, in program order.
pub unsafe trait Hal: Clock {
    /// Allocates memory for DMA, its content unspecified, or `None` when there is none.
    fn allocate(&self, layout: DmaLayout) -> Option<DmaRegion>;

    /// Takes back memory from [`allocate`](Self::allocate).
    ///
    /// # Safety
    /// `region` came from `allocate` of the same instance (or a clone of it), is freed once, and
    /// neither the processor nor the device uses it from now on.
    unsafe fn free(&self, region: DmaRegion);

    /// Makes `len` bytes of device registers at `bus_address` reachable, or `None` when it cannot.
    fn map(&self, bus_address: u64, len: usize) -> Option<NonNull<u8>>;

    /// Takes back a mapping. The default does nothing, which fits an identity map.
    ///
    /// # Safety
    /// `pointer` and `len` are of one successful [`map`](Self::map), and no register is reached
    /// through it from now on.
    unsafe fn unmap(&self, pointer: NonNull<u8>, len: usize) {
        let _ = (pointer, len);
    }

    /// Reads a device register. The default is a volatile load, which is right wherever
    /// registers are memory; a confidential guest replaces it by a call to its hypervisor.
    ///
    /// # Safety
    /// `register` is 4-byte aligned and inside a live mapping of [`map`](Self::map).
    unsafe fn read(&self, register: NonNull<u32>) -> u32 {
        // SAFETY: the caller promises an aligned register inside a live mapping.
        u32::from_le(unsafe { register.read_volatile() })
    }

    /// Writes 32 bits to an I/O port of a device, or says that there are no ports, as the default
    /// does. Some old controllers can only be reset through theirs; without ports it is tried
    /// through memory.
    ///
    /// The ports written to are those that configuration space gives the controller, decoding
    /// enabled.
    fn write_port(&self, port: u16, value: u32) -> bool {
        let _ = (port, value);
        false
    }

    /// Writes a device register; see [`read`](Self::read).
    ///
    /// # Safety
    /// `register` is 4-byte aligned and inside a live mapping of [`map`](Self::map).
    unsafe fn write(&self, register: NonNull<u32>, value: u32) {
        // SAFETY: the caller promises an aligned register inside a live mapping.
        unsafe { register.write_volatile(value.to_le()) }
    }
}

// SAFETY: every promise is kept by the instance behind the reference.
unsafe impl<T: Hal + ?Sized> Hal for &T {
    fn allocate(&self, layout: DmaLayout) -> Option<DmaRegion> {
        (**self).allocate(layout)
    }
    unsafe fn free(&self, region: DmaRegion) {
        // SAFETY: the caller's promise, passed on.
        unsafe { (**self).free(region) }
    }
    fn map(&self, bus_address: u64, len: usize) -> Option<NonNull<u8>> {
        (**self).map(bus_address, len)
    }
    unsafe fn unmap(&self, pointer: NonNull<u8>, len: usize) {
        // SAFETY: the caller's promise, passed on.
        unsafe { (**self).unmap(pointer, len) }
    }
    fn write_port(&self, port: u16, value: u32) -> bool {
        (**self).write_port(port, value)
    }
    unsafe fn read(&self, register: NonNull<u32>) -> u32 {
        // SAFETY: the caller's promise, passed on.
        unsafe { (**self).read(register) }
    }
    unsafe fn write(&self, register: NonNull<u32>, value: u32) {
        // SAFETY: the caller's promise, passed on.
        unsafe { (**self).write(register, value) }
    }
}
