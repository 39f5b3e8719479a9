//! The processor's own interrupt controller: takes messages of PCI devices, and has a timer
//! (Intel SDM 3A chapter 10).
//!
//! Its registers are memory (xAPIC). Firmware that switched to x2APIC, which no machine of fewer
//! than 256 processors needs, is told apart and left alone.

use core::arch::asm;
use core::arch::x86_64::__cpuid;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;

use crate::{clock, paging};

use super::{SPURIOUS_VECTOR, TIMER_VECTOR};

/// Why there is none to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unusable {
    Missing,
    X2Apic,
    Unreachable,
    NoTimer,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the processor has no local APIC",
            Self::X2Apic => "firmware left the local APIC in x2APIC mode, which is not driven here",
            Self::Unreachable => "the local APIC's registers cannot be mapped",
            Self::NoTimer => "the local APIC's timer does not run",
        })
    }
}

/// Where the registers are; zero until [`LocalApic::start`].
static BASE: AtomicU64 = AtomicU64::new(0);

/// The local APIC, enabled.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalApic {
    /// Timer counts of a second.
    timer_hertz: u64,
}

impl LocalApic {
    /// Enables it with everything masked, and finds out how fast its timer is.
    pub(super) fn start() -> Result<Self, Unusable> {
        const CPUID_APIC: u32 = 1 << 9;
        if __cpuid(1).edx & CPUID_APIC == 0 {
            return Err(Unusable::Missing);
        }
        let base = read_apic_base();
        if base & APIC_BASE_X2APIC != 0 {
            return Err(Unusable::X2Apic);
        }
        if base & APIC_BASE_ENABLE == 0 {
            write_apic_base(base | APIC_BASE_ENABLE);
        }
        let address = base & APIC_BASE_ADDRESS;
        paging::map_registers(&(address..address + 4096)).ok_or(Unusable::Unreachable)?;
        BASE.store(address, Relaxed);

        write(TASK_PRIORITY, 0);
        for entry in [LVT_TIMER, LVT_LINT0, LVT_ERROR] {
            write(entry, LVT_MASKED | u32::from(SPURIOUS_VECTOR));
        }
        write(LVT_LINT1, DELIVERY_NMI);
        write(SPURIOUS, SPURIOUS_ENABLE | u32::from(SPURIOUS_VECTOR));
        // What firmware left in service would hold back all that is of lower priority.
        end_of_interrupt();
        let timer_hertz = measure_timer().ok_or(Unusable::NoTimer)?;
        write(LVT_TIMER, u32::from(TIMER_VECTOR));
        Ok(Self { timer_hertz })
    }

    /// Whom messages name: 8 bits.
    pub(super) fn id(self) -> u8 {
        (read(ID) >> 24) as u8
    }

    /// Takes what the 8259 pair raises (virtual wire mode, MultiProcessor Specification §3.6.2.2).
    pub(super) fn accept_pic(self) {
        write(LVT_LINT0, DELIVERY_EXTINT);
    }

    /// Has the timer's interrupt come once, in `time`, instead of whenever it was to come.
    pub(super) fn arm_timer(self, time: Duration) {
        let counts = time.as_nanos() * u128::from(self.timer_hertz) / 1_000_000_000;
        write(TIMER_INITIAL, counts.clamp(1, u128::from(u32::MAX)) as u32);
    }

    /// Nothing comes from here any more.
    pub(super) fn stop(self) {
        write(TIMER_INITIAL, 0);
        for entry in [LVT_TIMER, LVT_LINT0] {
            write(entry, LVT_MASKED | u32::from(SPURIOUS_VECTOR));
        }
    }
}

/// Whether there is one that was started.
pub(super) fn is_started() -> bool {
    BASE.load(Relaxed) != 0
}

/// Whether a vector was raised and waits to be let in.
pub(super) fn is_requested(vector: u8) -> bool {
    let word = u64::from(vector / 32) * 0x10;
    read(INTERRUPT_REQUEST + word) & 1 << (vector % 32) != 0
}

/// Says that the interrupt in service is done with.
pub(super) fn end_of_interrupt() {
    write(END_OF_INTERRUPT, 0);
}

/// Counts of the timer per second, by the kernel's clock.
fn measure_timer() -> Option<u64> {
    const TIME: Duration = Duration::from_millis(2);
    write(TIMER_DIVIDE, DIVIDE_BY_16);
    write(TIMER_INITIAL, u32::MAX);
    let (begin, first) = (clock::now(), read(TIMER_CURRENT));
    while clock::now() - begin < TIME {}
    let (end, last) = (clock::now(), read(TIMER_CURRENT));
    write(TIMER_INITIAL, 0);
    let counts = u128::from(first.checked_sub(last)?);
    let hertz = (counts * 1_000_000_000).checked_div((end - begin).as_nanos())?;
    u64::try_from(hertz).ok().filter(|&hertz| hertz > 0)
}

fn read(register: u64) -> u32 {
    let address = BASE.load(Relaxed) + register;
    // SAFETY: a register of the local APIC, mapped by `start` before anything else is called.
    unsafe { (address as *const u32).read_volatile() }
}

fn write(register: u64, value: u32) {
    let address = BASE.load(Relaxed) + register;
    // SAFETY: as above; it reaches no memory.
    unsafe { (address as *mut u32).write_volatile(value) };
}

/// IA32_APIC_BASE.
const APIC_BASE: u32 = 0x1b;
const APIC_BASE_X2APIC: u64 = 1 << 10;
const APIC_BASE_ENABLE: u64 = 1 << 11;
const APIC_BASE_ADDRESS: u64 = 0x000f_ffff_ffff_f000;

fn read_apic_base() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: every processor with a local APIC has this register, as `start` has made sure.
    unsafe {
        asm!("rdmsr", in("ecx") APIC_BASE, out("eax") low, out("edx") high,
             options(nomem, nostack, preserves_flags))
    };
    u64::from(high) << 32 | u64::from(low)
}

fn write_apic_base(value: u64) {
    // SAFETY: as above; only turns the local APIC on where it is.
    unsafe {
        asm!("wrmsr", in("ecx") APIC_BASE, in("eax") value as u32, in("edx") (value >> 32) as u32,
             options(nostack, preserves_flags))
    };
}

// Registers (Intel SDM 3A table 10-1).
const ID: u64 = 0x20;
const TASK_PRIORITY: u64 = 0x80;
const END_OF_INTERRUPT: u64 = 0xb0;
const SPURIOUS: u64 = 0xf0;
const INTERRUPT_REQUEST: u64 = 0x200; // to 0x270, a bit for each vector
const LVT_TIMER: u64 = 0x320;
const LVT_LINT0: u64 = 0x350;
const LVT_LINT1: u64 = 0x360;
const LVT_ERROR: u64 = 0x370;
const TIMER_INITIAL: u64 = 0x380;
const TIMER_CURRENT: u64 = 0x390;
const TIMER_DIVIDE: u64 = 0x3e0;

const SPURIOUS_ENABLE: u32 = 1 << 8;
const LVT_MASKED: u32 = 1 << 16;
const DELIVERY_NMI: u32 = 4 << 8;
const DELIVERY_EXTINT: u32 = 7 << 8;
const DIVIDE_BY_16: u32 = 3;
