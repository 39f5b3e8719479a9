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
/// that of the `crc-fast` crate; with the feature `boot`, `Crc32cFunction::fastest` finds what the
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
        Self(by_vectors)
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

/// CRC32C by the `crc-fast` crate: as wide as the processor multiplies without carry. Continues `crc`.
#[cfg(feature = "std")]
fn by_vectors(crc: u32, bytes: &[u8]) -> u32 {
    let state = u64::from(!crc);
    let mut digest =
        crc_fast::Digest::new_with_init_state(crc_fast::CrcAlgorithm::Crc32Iscsi, state);
    digest.update(bytes);
    // A CRC of 32 bits in the crate's one type for all of them.
    digest.finalize() as u32
}

/// The polynomial 11EDC6F41h (§13.1), bits reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// CRC32C in plain integer arithmetic, for any CPU. Continues `crc`, which is 0 at the start.
///
/// What is long is folded into 32 bytes of the same remainder, by shifts and exclusive ors alone;
/// these, and what is short, go by tables. An emulator is five times as quick with that as with tables
/// for all, as it translates the address of every look-up in software.
#[must_use]
pub fn portable(crc: u32, bytes: &[u8]) -> u32 {
    match bytes.as_chunks::<BLOCK>() {
        ([first, middle @ .., last], rest) if !middle.is_empty() => {
            !by_tables(by_tables(0, &fold(!crc, first, middle, last)), rest)
        }
        _ => !by_tables(!crc, bytes),
    }
}

/// A multiple of the polynomial with few terms: a bit of a message leaves the same remainder as do
/// five bits that are so many bits behind it (the least significant bit of a byte comes first). Of
/// all of six terms whose first two are 64 bits or more apart it is the shortest, by search; there
/// is none of five, and of four none shorter than 5,000 bits.
const DISTANCES: [u32; 5] = [65, 155, 170, 195, 209];

/// Bytes that [`fold`] takes in a step, and leaves: as many words as [`DISTANCES`] reach.
const BLOCK: usize = 32;

type Block = [u8; BLOCK];

/// A block with the remainder that `state` and all these blocks have. A word after the other is taken out
/// and put in again behind itself, where [`DISTANCES`] say, until all is in the last block. (Folding by
/// a sparse multiple, without tables, is Russell's, in "Chorba", arXiv 2412.16398.)
fn fold(state: u32, first: &Block, middle: &[Block], last: &Block) -> Block {
    let [w0, w1, w2, w3] = words(first);
    let mut a = w0 ^ u64::from(state);
    let mut b = w1 ^ behind([0, 0, 0, a]);
    let mut c = w2 ^ behind([0, 0, a, b]);
    let mut d = w3 ^ behind([0, a, b, c]);
    for block in middle {
        let [w0, w1, w2, w3] = words(block);
        a = w0 ^ behind([a, b, c, d]);
        b = w1 ^ behind([b, c, d, a]);
        c = w2 ^ behind([c, d, a, b]);
        d = w3 ^ behind([d, a, b, c]);
    }
    let [w0, w1, w2, w3] = words(last);
    let folded = [
        w0 ^ behind([a, b, c, d]),
        w1 ^ behind([b, c, d, 0]),
        w2 ^ behind([c, d, 0, 0]),
        w3 ^ behind([d, 0, 0, 0]),
    ];
    let mut block = [0; BLOCK];
    for (part, word) in block.as_chunks_mut().0.iter_mut().zip(folded) {
        *part = word.to_le_bytes();
    }
    block
}

/// The words of a block, whose first bit is the least significant of the first word.
#[inline(always)]
fn words(block: &Block) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, part) in words.iter_mut().zip(block.as_chunks().0) {
        *word = u64::from_le_bytes(*part);
    }
    words
}

/// What four words put into the one behind them. The last of them comes last: the one behind it waits
/// for nothing else.
#[inline(always)]
fn behind([a, b, c, d]: [u64; 4]) -> u64 {
    let moved = |distance: u32| {
        let (near, far) = match distance / u64::BITS {
            1 => (d, c),
            2 => (c, b),
            _ => (b, a),
        };
        let bits = distance % u64::BITS;
        near.wrapping_shl(bits) | far.wrapping_shr(u64::BITS.wrapping_sub(bits))
    };
    let [last, others @ ..] = DISTANCES;
    others.into_iter().fold(0, |sum, distance| sum ^ moved(distance)) ^ moved(last)
}

/// `TABLES[n][byte]`: what `byte` adds to the remainder when `n` more bytes of its step follow it.
static TABLES: [[u32; 256]; 8] = tables();

/// The remainder that `state` becomes with these bytes, 8 at a step.
fn by_tables(mut state: u32, bytes: &[u8]) -> u32 {
    let (steps, rest) = bytes.as_chunks();
    let [t0, t1, t2, t3, t4, t5, t6, t7] = &TABLES;
    for step in steps {
        let [b0, b1, b2, b3, b4, b5, b6, b7] =
            (u64::from_le_bytes(*step) ^ u64::from(state)).to_le_bytes();
        state = ((at(t7, b0) ^ at(t6, b1)) ^ (at(t5, b2) ^ at(t4, b3)))
            ^ ((at(t3, b4) ^ at(t2, b5)) ^ (at(t1, b6) ^ at(t0, b7)));
    }
    for &byte in rest {
        let [low, ..] = state.to_le_bytes();
        state = (state >> 8) ^ at(t0, low ^ byte);
    }
    state
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
const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
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
    while following < 8 {
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

    #[cfg(feature = "std")]
    #[test]
    fn that_of_the_host_agrees_with_the_instruction_at_every_length_and_goes_on_from_any_crc() {
        let bytes: Vec<u8> =
            (0..5000u32).map(|i| (i.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
        for (length, start) in (0..=bytes.len() - 64).zip((0..64).cycle()) {
            let piece = &bytes[start..start + length];
            for crc in [0, 1, 0x8000_0000, !0] {
                let expected = crc32c::crc32c_append(crc, piece);
                assert_eq!(by_vectors(crc, piece), expected, "{crc:#x} {start} {length}");
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
