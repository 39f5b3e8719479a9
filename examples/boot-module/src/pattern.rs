//! The pattern that is written: its 64-bit word `k`, little-endian, is `splitmix64(seed + k)`.

/// Fills `bytes` with the pattern from its byte `offset` on, a multiple of 8.
pub(crate) fn fill(bytes: &mut [u8], seed: u64, offset: u64) {
    let first = seed.wrapping_add(offset / 8);
    for (k, word) in (0..).zip(bytes.chunks_mut(8)) {
        let value = splitmix64(first.wrapping_add(k)).to_le_bytes();
        word.copy_from_slice(&value[..word.len()]);
    }
}

/// The word of one number.
pub(crate) const fn splitmix64(x: u64) -> u64 {
    let z = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
