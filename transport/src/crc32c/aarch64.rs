//! `crc32cx` and `crc32cb` of FEAT_CRC32, one after the other.

use core::arch::aarch64::{__crc32cb, __crc32cd};

use super::Function;

/// [`append`], where the build may assume the instruction or the operating system reports it. A
/// register would tell a kernel (ID_AA64ISAR0_EL1), and end a process.
pub(super) fn processor() -> Option<Function> {
    #[cfg(feature = "std")]
    let is_there = std::arch::is_aarch64_feature_detected!("crc");
    #[cfg(not(feature = "std"))]
    let is_there = cfg!(target_feature = "crc");
    is_there.then_some(append as Function)
}

/// Only [`processor`] hands this out.
fn append(crc: u32, bytes: &[u8]) -> u32 {
    // SAFETY: `processor` found the instruction before anybody could have this function.
    unsafe { append_by_instruction(crc, bytes) }
}

#[target_feature(enable = "crc")]
fn append_by_instruction(crc: u32, bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<8>();
    let state = words.iter().fold(!crc, |crc, word| __crc32cd(crc, u64::from_le_bytes(*word)));
    !rest.iter().fold(state, |crc, byte| __crc32cb(crc, *byte))
}
