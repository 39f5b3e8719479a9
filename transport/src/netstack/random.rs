//! Numbers that strangers cannot guess, out of one seed.

/// SipHash-2-4 of a counter, keyed by the seed: who has seen numbers, as ports and identifiers are
/// seen, learns nothing of the next (RFC 6056 §3.3, RFC 5452 §9.2).
#[derive(Clone, Debug)]
pub(super) struct Random {
    key: (u64, u64),
    counter: u64,
}

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        // The second half of the key only keeps other uses of the seed apart.
        Self { key: (seed, 0x6973_626f_6f74_6970), counter: 0 }
    }

    pub(super) fn next(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(1);
        siphash(self.key, self.counter)
    }

    pub(super) fn next_u16(&mut self) -> u16 {
        let [low, high, ..] = self.next().to_le_bytes();
        u16::from_le_bytes([low, high])
    }
}

/// SipHash-2-4 of the eight bytes of a number.
fn siphash((k0, k1): (u64, u64), number: u64) -> u64 {
    let mut state = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    // Then the length in the last block's highest byte.
    for block in [number, 8 << 56] {
        state[3] ^= block;
        state = rounds(state, 2);
        state[0] ^= block;
    }
    state[2] ^= 0xff;
    let [a, b, c, d] = rounds(state, 4);
    a ^ b ^ c ^ d
}

fn rounds([mut a, mut b, mut c, mut d]: [u64; 4], number: u8) -> [u64; 4] {
    for _ in 0..number {
        a = a.wrapping_add(b);
        b = b.rotate_left(13) ^ a;
        a = a.rotate_left(32);
        c = c.wrapping_add(d);
        d = d.rotate_left(16) ^ c;
        a = a.wrapping_add(d);
        d = d.rotate_left(21) ^ a;
        c = c.wrapping_add(b);
        b = b.rotate_left(17) ^ c;
        c = c.rotate_left(32);
    }
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the SipHash paper's reference code for eight bytes 00..07 under key 00..0f.
    #[test]
    fn siphash_is_siphash() {
        let key = (0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908);
        assert_eq!(siphash(key, 0x0706_0504_0302_0100), 0x93f5_f579_9a93_2462);
    }

    #[test]
    fn seeds_lead_to_other_numbers() {
        let numbers = |seed| [(); 4].map(|()| Random { counter: 0, ..Random::new(seed) }.next());
        assert_ne!(numbers(1), numbers(2));
        let mut random = Random::new(1);
        assert_ne!(random.next(), random.next());
    }
}
