//! What a CRC32C becomes when a known number of zero bytes follows: the way to put together the
//! CRCs of parts that were computed side by side.

/// The polynomial 11EDC6F41h (RFC 7143 §13.1), bits reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// Multiplies a CRC by x^(8·bytes) modulo the polynomial, by a table for each half-byte: 512 bytes,
/// where tables for whole bytes would take 4 KiB away from the data in the first-level cache.
#[derive(Debug)]
pub(super) struct Shift {
    pub(super) bytes: usize,
    nibbles: [[u32; 16]; 8],
}

impl Shift {
    #[expect(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        reason = "evaluated by the compiler: a mistake here does not build"
    )]
    pub(super) const fn new(bytes: usize) -> Self {
        let factor = power(8 * bytes as u64);
        let mut nibbles = [[0; 16]; 8];
        let mut place = 0;
        while place < 8 {
            let mut value = 0;
            while value < 16 {
                nibbles[place][value] = multiply(factor, (value as u32) << (4 * place));
                value += 1;
            }
            place += 1;
        }
        Self { bytes, nibbles }
    }

    /// The state after [`Self::bytes`] zero bytes more.
    #[inline(always)]
    pub(super) fn apply(&self, state: u32) -> u32 {
        let [n0, n1, n2, n3, n4, n5, n6, n7] = &self.nibbles;
        at(n0, state)
            ^ at(n1, state >> 4)
            ^ at(n2, state >> 8)
            ^ at(n3, state >> 12)
            ^ at(n4, state >> 16)
            ^ at(n5, state >> 20)
            ^ at(n6, state >> 24)
            ^ at(n7, state >> 28)
    }
}

/// The entry of the lowest half-byte, which cannot miss a table of 16: the other arm vanishes.
#[inline(always)]
fn at(table: &[u32; 16], state: u32) -> u32 {
    match table.get((state & 15) as usize) {
        Some(entry) => *entry,
        None => 0,
    }
}

/// `a`·`b` modulo the polynomial; the highest bit is x⁰.
const fn multiply(a: u32, b: u32) -> u32 {
    let (mut product, mut rest, mut shifted) = (0, a, b);
    while rest != 0 {
        if rest >> 31 == 1 {
            product ^= shifted;
        }
        rest <<= 1;
        shifted = if shifted & 1 == 1 { (shifted >> 1) ^ POLYNOMIAL } else { shifted >> 1 };
    }
    product
}

/// x^`exponent` modulo the polynomial.
const fn power(exponent: u64) -> u32 {
    let (mut result, mut square, mut rest) = (1 << 31, 1 << 30, exponent);
    while rest != 0 {
        if rest & 1 == 1 {
            result = multiply(result, square);
        }
        square = multiply(square, square);
        rest >>= 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bit by bit, as the polynomial says.
    fn by_zero_bytes(mut state: u32, bytes: usize) -> u32 {
        for _ in 0..8 * bytes {
            state = if state & 1 == 1 { (state >> 1) ^ POLYNOMIAL } else { state >> 1 };
        }
        state
    }

    #[test]
    fn a_shift_is_what_so_many_zero_bytes_do() {
        for bytes in [0, 1, 7, 56, 168, 480, 1360, 65536] {
            let shift = Shift::new(bytes);
            assert_eq!(shift.bytes, bytes);
            for bit in 0..32 {
                assert_eq!(shift.apply(1 << bit), by_zero_bytes(1 << bit, bytes), "{bytes} {bit}");
            }
            assert_eq!(shift.apply(0xdead_beef), by_zero_bytes(0xdead_beef, bytes));
        }
    }
}
