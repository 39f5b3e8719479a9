//! What is read after a reset, and word by word: EERD in both layouts, Microwire bit by bit,
//! and the fuses of the I210.

use crate::family::Nvm;
use crate::register::eecd;

/// 64 words: the MAC address first, and a checksum last.
pub(crate) fn words(mac: [u8; 6]) -> [u16; 64] {
    const SUM: u16 = 0xbaba;
    let mut words = [0; 64];
    for (word, pair) in words.iter_mut().zip(mac.chunks(2)) {
        *word = u16::from_le_bytes([pair[0], pair[1]]);
    }
    // No alternate addresses.
    words[0x37] = 0xffff;
    let sum = words.iter().fold(0_u16, |sum, word| sum.wrapping_add(*word));
    words[0x3f] = SUM.wrapping_sub(sum);
    words
}

/// The word that a write to EERD asks for, and what to answer with it.
pub(crate) fn eerd(nvm: Nvm, value: u32) -> Option<(usize, u32)> {
    const START: u32 = 1;
    if value & START == 0 {
        return None;
    }
    match nvm {
        Nvm::EerdSmall => Some(((value >> 8 & 0xff) as usize, 1 << 4)),
        Nvm::EerdLarge | Nvm::EerdOrFuses => Some(((value >> 2 & 0x3fff) as usize, 1 << 1)),
        Nvm::Microwire | Nvm::ChipsetFlash => None,
    }
}

/// A fuse which holds one word to be loaded (I210 §6.2.3): type, address, data.
pub(crate) fn fuse(word: usize, data: u16) -> u32 {
    const WORD_AUTOLOAD: u32 = 1;
    WORD_AUTOLOAD | (word as u32) << 9 | u32::from(data) << 16
}

/// A Microwire EEPROM of 64 words (8254x §5.4): three bits of command, six of address, then the
/// word, highest bit first, each at a rising clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Microwire {
    last: u32,
    /// Bits taken in since it was selected.
    taken: u32,
    shifted: u32,
    out: u32,
}

impl Microwire {
    const READ: u32 = 0b110;
    const COMMAND_AND_ADDRESS: u32 = 9;

    /// EECD as it reads after `value` was written to it.
    pub(crate) fn write(&mut self, value: u32, words: &[u16; 64]) -> u32 {
        let rises = value & !self.last & eecd::SK != 0;
        if value & eecd::CS == 0 {
            *self = Self::default();
        } else if rises && self.taken < Self::COMMAND_AND_ADDRESS {
            // Leading zeroes before the start bit do not count.
            let bit = u32::from(value & eecd::DI != 0);
            if self.taken != 0 || bit != 0 {
                self.shifted = self.shifted << 1 | bit;
                self.taken += 1;
            }
            if self.taken == Self::COMMAND_AND_ADDRESS && self.shifted >> 6 == Self::READ {
                self.out = u32::from(words[(self.shifted & 0x3f) as usize]) << 16;
            }
        } else if rises {
            self.taken += 1;
        }
        self.last = value;
        let sent = self.taken.saturating_sub(Self::COMMAND_AND_ADDRESS);
        // A dummy zero precedes the word.
        let bit = if sent == 0 { 0 } else { self.out >> (32 - sent.min(32)) & 1 };
        let granted = if value & eecd::REQ != 0 { eecd::GNT } else { 0 };
        let kept = value & (eecd::SK | eecd::CS | eecd::DI | eecd::REQ);
        kept | granted | eecd::PRES | if bit != 0 { eecd::DO } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_sum_up() {
        let words = words([1, 2, 3, 4, 5, 6]);
        assert_eq!(words[..3], [0x0201, 0x0403, 0x0605]);
        assert_eq!(words.iter().fold(0_u16, |sum, word| sum.wrapping_add(*word)), 0xbaba);
    }

    #[test]
    fn microwire_gives_the_word_asked_for() {
        let words = words([1, 2, 3, 4, 5, 6]);
        for wanted in 0..3 {
            let mut wire = Microwire::default();
            let mut clock = |bit: u32| {
                let data = if bit != 0 { eecd::DI } else { 0 };
                wire.write(eecd::CS | data, &words);
                wire.write(eecd::CS | data | eecd::SK, &words)
            };
            for at in (0..9).rev() {
                clock((Microwire::READ << 6 | wanted) >> at & 1);
            }
            let word = (0..16).fold(0, |word, _| word << 1 | u32::from(clock(0) & eecd::DO != 0));
            assert_eq!(word, u32::from(words[wanted as usize]));
        }
    }
}
