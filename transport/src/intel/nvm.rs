//! The MAC address: from the receive address registers, or from the EEPROM behind them.

use core::time::Duration;

use crate::hal::{Hal, wait_until};
use crate::intel::family::{Eerd, Quirks};
use crate::intel::registers::{EERD, RAH0, RAL0, Registers};

/// The MAC address that the reset loaded into the first receive address registers, or else words
/// 0 to 2 of the EEPROM; `None` when neither holds a station's address.
pub(crate) fn mac_address<H: Hal>(
    hal: &H,
    registers: &Registers<H>,
    quirks: &Quirks,
) -> Option<[u8; 6]> {
    let [a, b, c, d] = registers.read(RAL0).to_le_bytes();
    let [e, f, ..] = registers.read(RAH0).to_le_bytes();
    let loaded = [a, b, c, d, e, f];
    if is_station(loaded) {
        return Some(loaded);
    }
    let [a, b] = read_word(hal, registers, quirks, 0)?.to_le_bytes();
    let [c, d] = read_word(hal, registers, quirks, 1)?.to_le_bytes();
    let [e, f] = read_word(hal, registers, quirks, 2)?.to_le_bytes();
    Some([a, b, c, d, e, f]).filter(|mac| is_station(*mac))
}

/// Whether it can be the address of one station: unicast and not zero.
fn is_station(mac: [u8; 6]) -> bool {
    let [first, ..] = mac;
    first & 1 == 0 && mac != [0; 6]
}

/// Reads one EEPROM word, or `None` when the part never finishes.
fn read_word<H: Hal>(hal: &H, registers: &Registers<H>, quirks: &Quirks, word: u8) -> Option<u16> {
    const START: u32 = 1;
    let (shift, done) = match quirks.eerd {
        Eerd::Small => (8, 1 << 4),
        Eerd::Large => (2, 1 << 1),
    };
    registers.write(EERD, START | u32::from(word) << shift);
    let mut value = 0;
    let finished = wait_until(hal, Duration::from_millis(10), || {
        value = registers.read(EERD);
        value & done != 0 && value != u32::MAX
    });
    finished.then_some((value >> 16) as u16)
}
