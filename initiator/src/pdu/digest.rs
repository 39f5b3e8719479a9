//! Digests: CRC32C over headers and data (RFC 7143 §13.1).

use core::fmt;

/// Bytes that a digest takes on the wire.
pub const DIGEST_LENGTH: usize = 4;

/// Which digests a connection carries; none until the login has agreed on them (§11.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Digests {
    /// HeaderDigest=CRC32C.
    pub header: bool,
    /// DataDigest=CRC32C.
    pub data: bool,
}

/// How CRC32C is computed: the hosting kernel may bring its own, such as one that uses its
/// CPU's instructions.
///
/// The function continues the CRC `crc` (0 for a fresh one) over more bytes, so that
/// `f(f(0, a), b)` equals `f(0, ab)`. The default is [`portable`], and with the feature `std`
/// that of the `crc32c` crate; with the feature `boot`, `Crc32cFunction::fastest` finds what the
/// processor does best.
#[derive(Clone, Copy)]
pub struct Crc32cFunction(pub fn(u32, &[u8]) -> u32);

impl Crc32cFunction {
    /// [`portable`].
    pub const PORTABLE: Self = Self(portable);

    /// The CRC of `bytes`, continued from `crc`.
    #[must_use]
    pub fn append(self, crc: u32, bytes: &[u8]) -> u32 {
        (self.0)(crc, bytes)
    }
}

impl Default for Crc32cFunction {
    #[cfg(not(feature = "std"))]
    fn default() -> Self {
        Self::PORTABLE
    }

    #[cfg(feature = "std")]
    fn default() -> Self {
        Self(crc32c::crc32c_append)
    }
}

impl fmt::Debug for Crc32cFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Crc32cFunction")
    }
}

/// A CRC32C that is being summed up.
#[derive(Clone, Copy, Debug)]
pub struct Crc32c {
    function: Crc32cFunction,
    value: u32,
}

impl Crc32c {
    /// The CRC of no bytes.
    #[must_use]
    pub const fn new(function: Crc32cFunction) -> Self {
        Self { function, value: 0 }
    }

    /// Takes in more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.value = self.function.append(self.value, bytes);
    }

    /// The CRC of everything taken in so far.
    #[must_use]
    pub const fn value(&self) -> u32 {
        self.value
    }

    /// The CRC in the byte order of the wire: the least significant byte first (§13.1).
    #[must_use]
    pub const fn wire_bytes(&self) -> [u8; DIGEST_LENGTH] {
        self.value.to_le_bytes()
    }
}

/// The polynomial 11EDC6F41h (§13.1), bits reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// `TABLES[n][byte]`: what `byte` adds to the CRC when `n` more bytes of its block follow it.
static TABLES: [[u32; 256]; 16] = tables();

/// CRC32C in plain integer arithmetic, 16 bytes at a step, for any CPU. Continues `crc`, which
/// is 0 at the start.
///
/// Bytes are read eight at a time, and those that the step before has no part in come first: only
/// four look-ups wait for each other from step to step.
#[must_use]
pub fn portable(crc: u32, bytes: &[u8]) -> u32 {
    let (steps, rest) = bytes.as_chunks::<16>();
    let [t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, t10, t11, t12, t13, t14, t15] = &TABLES;
    let mut state = !crc;
    for step in steps {
        let ([low, high], _) = step.as_chunks::<8>() else { continue };
        let (low, high) = (u64::from_le_bytes(*low), u64::from_le_bytes(*high));
        let [b8, b9, b10, b11, b12, b13, b14, b15] = high.to_le_bytes();
        let second = ((at(t7, b8) ^ at(t6, b9)) ^ (at(t5, b10) ^ at(t4, b11)))
            ^ ((at(t3, b12) ^ at(t2, b13)) ^ (at(t1, b14) ^ at(t0, b15)));
        let [_, _, _, _, b4, b5, b6, b7] = low.to_le_bytes();
        let first = (at(t11, b4) ^ at(t10, b5)) ^ (at(t9, b6) ^ at(t8, b7));
        let [s0, s1, s2, s3, ..] = (low ^ u64::from(state)).to_le_bytes();
        state = ((at(t15, s0) ^ at(t14, s1)) ^ (at(t13, s2) ^ at(t12, s3))) ^ (first ^ second);
    }
    let [bytewise, ..] = &TABLES;
    for &byte in rest {
        let [low, ..] = state.to_le_bytes();
        state = (state >> 8) ^ at(bytewise, low ^ byte);
    }
    !state
}

/// One table entry. A `u8` cannot miss a table of 256, so the other arm vanishes.
#[inline(always)]
fn at(table: &[u32; 256], index: u8) -> u32 {
    match table.get(usize::from(index)) {
        Some(entry) => *entry,
        None => 0,
    }
}

#[expect(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "evaluated by the compiler: a mistake here does not build"
)]
const fn tables() -> [[u32; 256]; 16] {
    let mut tables = [[0; 256]; 16];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut following = 1;
    while following < 16 {
        let mut byte = 0;
        while byte < 256 {
            let shorter = tables[following - 1][byte];
            tables[following][byte] = (shorter >> 8) ^ tables[0][(shorter & 0xff) as usize];
            byte += 1;
        }
        following += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn wire(bytes: &[u8]) -> [u8; 4] {
        let mut crc = Crc32c::new(Crc32cFunction::PORTABLE);
        crc.update(bytes);
        crc.wire_bytes()
    }

    /// RFC 7143 appendix A.4.
    #[test]
    fn rfc_vectors() {
        let rising: Vec<u8> = (0..32).collect();
        let falling: Vec<u8> = (0..32).rev().collect();
        assert_eq!(wire(&[0; 32]), [0xaa, 0x36, 0x91, 0x8a]);
        assert_eq!(wire(&[0xff; 32]), [0x43, 0xab, 0xa8, 0x62]);
        assert_eq!(wire(&rising), [0x4e, 0x79, 0xdd, 0x46]);
        assert_eq!(wire(&falling), [0x5c, 0xdb, 0x3f, 0x11]);
        let scsi_read: [u8; 48] = [
            0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 4, 0, 0, 0,
            0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0,
        ];
        assert_eq!(wire(&scsi_read), [0x56, 0x3a, 0x96, 0xd9]);
    }

    #[test]
    fn the_check_value_of_the_catalogue() {
        assert_eq!(portable(0, b"123456789"), 0xe306_9283);
        assert_eq!(portable(0, b""), 0);
    }

    #[test]
    fn agrees_with_the_crc32c_crate_at_every_length_and_alignment() {
        let bytes: Vec<u8> =
            (0..600u32).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
        for start in 0..17 {
            for length in 0..=(bytes.len() - start) {
                let piece = &bytes[start..start + length];
                assert_eq!(portable(0, piece), crc32c::crc32c(piece), "{start} {length}");
            }
        }
    }

    #[test]
    fn the_function_can_be_swapped() {
        fn constant(_: u32, _: &[u8]) -> u32 {
            0x0403_0201
        }
        let mut crc = Crc32c::new(Crc32cFunction(constant));
        crc.update(b"anything");
        assert_eq!(crc.wire_bytes(), [1, 2, 3, 4]);
        let default = Crc32cFunction::default();
        assert_eq!(default.append(0, b"123456789"), 0xe306_9283);
    }

    proptest! {
        #[test]
        fn summing_up_in_pieces_is_the_same(bytes: Vec<u8>, cut: prop::sample::Index) {
            let (a, b) = bytes.split_at(cut.index(bytes.len() + 1));
            prop_assert_eq!(portable(portable(0, a), b), crc32c::crc32c(&bytes));
        }
    }
}
