//! `crc32` of SSE4.2, in three streams: one takes three cycles, and three of them take three too.

use core::arch::asm;
use core::arch::x86_64::{__cpuid, CpuidResult};

use super::Function;
use super::shift::Shift;

/// Lengths of the three streams, longest first: what is left of one goes to the next. Three of the
/// second are the payload of an Ethernet frame; three of the third, a logical block.
static STREAMS: [Shift; 4] = [Shift::new(1360), Shift::new(480), Shift::new(168), Shift::new(56)];

/// [`append`], where CPUID reports SSE4.2.
pub(super) fn processor() -> Option<Function> {
    const SSE4_2: u32 = 1 << 20;
    // Leaf 0 says whether there is a leaf 1.
    (cpuid(0).eax >= 1 && cpuid(1).ecx & SSE4_2 != 0).then_some(append as Function)
}

fn cpuid(leaf: u32) -> CpuidResult {
    #[allow(unused_unsafe, reason = "safe since Rust 1.94")]
    // SAFETY: every x86-64 processor has the instruction.
    unsafe {
        __cpuid(leaf)
    }
}

/// Only [`processor`] hands this out.
fn append(crc: u32, bytes: &[u8]) -> u32 {
    // SAFETY: `processor` found SSE4.2 before anybody could have this function.
    let instruction = unsafe { Instruction::found() };
    let mut state = !crc;
    let mut rest = bytes;
    for shift in &STREAMS {
        while let Some((a, tail)) = rest.split_at_checked(shift.bytes)
            && let Some((b, tail)) = tail.split_at_checked(shift.bytes)
            && let Some((c, tail)) = tail.split_at_checked(shift.bytes)
        {
            state = side_by_side(instruction, shift, state, [a, b, c]);
            rest = tail;
        }
    }
    let (words, rest) = rest.as_chunks::<8>();
    let mut wide = u64::from(state);
    for word in words {
        wide = instruction.of_8(wide, u64::from_le_bytes(*word));
    }
    // The upper half is zero: the instruction makes it so.
    let mut state = wide as u32;
    let (words, rest) = rest.as_chunks::<4>();
    for word in words {
        state = instruction.of_4(state, u32::from_le_bytes(*word));
    }
    for byte in rest {
        state = instruction.of_1(state, *byte);
    }
    !state
}

/// The state after three streams of `shift.bytes` each, which is a multiple of 8.
#[inline(always)]
fn side_by_side(instruction: Instruction, shift: &Shift, state: u32, [a, b, c]: [&[u8]; 3]) -> u32 {
    let [(a, _), (b, _), (c, _)] = [a, b, c].map(<[u8]>::as_chunks::<8>);
    let [mut x, mut y, mut z] = [u64::from(state), 0, 0];
    for ((a, b), c) in a.iter().zip(b).zip(c) {
        x = instruction.of_8(x, u64::from_le_bytes(*a));
        y = instruction.of_8(y, u64::from_le_bytes(*b));
        z = instruction.of_8(z, u64::from_le_bytes(*c));
    }
    shift.apply(shift.apply(x as u32) ^ y as u32) ^ z as u32
}

/// That the processor has `crc32`.
///
/// By `asm!`, as the compiler's own function may stand only where it may use XMM registers too,
/// which a hosting kernel may not have.
#[derive(Clone, Copy)]
struct Instruction(());

impl Instruction {
    /// # Safety
    ///
    /// CPUID reported SSE4.2.
    #[inline(always)]
    const unsafe fn found() -> Self {
        Self(())
    }

    #[inline(always)]
    fn of_8(self, mut state: u64, word: u64) -> u64 {
        // SAFETY: the instruction is there, as `self` says, and touches the two registers only.
        unsafe {
            asm!("crc32 {0}, {1}", inout(reg) state, in(reg) word,
                 options(pure, nomem, nostack, preserves_flags));
        }
        state
    }

    #[inline(always)]
    fn of_4(self, mut state: u32, word: u32) -> u32 {
        // SAFETY: as above.
        unsafe {
            asm!("crc32 {0:e}, {1:e}", inout(reg) state, in(reg) word,
                 options(pure, nomem, nostack, preserves_flags));
        }
        state
    }

    #[inline(always)]
    fn of_1(self, mut state: u32, byte: u8) -> u32 {
        // SAFETY: as above.
        unsafe {
            asm!("crc32 {0:e}, {1}", inout(reg) state, in(reg_byte) byte,
                 options(pure, nomem, nostack, preserves_flags));
        }
        state
    }
}
