//! The MAC address: from the receive address registers, or from the EEPROM behind them.

use core::time::Duration;

use crate::hal::{Hal, wait_until};
use crate::intel::registers::{EERD, RAH0, RAL0, Registers};

/// The MAC address that the reset loaded into the first receive address registers, or else words
/// 0 to 2 of the EEPROM; `None` when neither holds a station's address.
pub(crate) fn mac_address<H: Hal>(hal: &H, registers: &Registers<H>) -> Option<[u8; 6]> {
    if let Some(loaded) = loaded_address(registers) {
        return Some(loaded);
    }
    // Word 0 is asked for in the same way in both layouts.
    let (word, layout) = read_word(hal, registers, 0, &[SMALL, LARGE])?;
    let [a, b] = word.to_le_bytes();
    let [c, d] = read_word(hal, registers, 1, &[layout])?.0.to_le_bytes();
    let [e, f] = read_word(hal, registers, 2, &[layout])?.0.to_le_bytes();
    Some([a, b, c, d, e, f]).filter(|mac| is_station(*mac))
}

/// What the first receive address registers hold; `None` when it is no station's address.
pub(crate) fn loaded_address<H: Hal>(registers: &Registers<H>) -> Option<[u8; 6]> {
    let [a, b, c, d] = registers.read(RAL0).to_le_bytes();
    let [e, f, ..] = registers.read(RAH0).to_le_bytes();
    Some([a, b, c, d, e, f]).filter(|mac| is_station(*mac))
}

/// Whether it can be the address of one station: unicast and not zero.
fn is_station(mac: [u8; 6]) -> bool {
    let [first, ..] = mac;
    first & 1 == 0 && mac != [0; 6]
}

/// How EERD is laid out.
#[derive(Clone, Copy)]
struct Layout {
    /// Where the word's address starts.
    shift: u32,
    /// The bit that says that the word is there.
    done: u32,
}

/// 82540, 82545, 82546 (8254x §13.4.4).
const SMALL: Layout = Layout { shift: 8, done: 1 << 4 };
/// 82541, 82547 and later (82574 §10.2.2.4).
const LARGE: Layout = Layout { shift: 2, done: 1 << 1 };

/// Reads one EEPROM word and finds out which of `layouts`, alike for this word, the part has;
/// `None` when it never finishes.
fn read_word<H: Hal>(
    hal: &H,
    registers: &Registers<H>,
    word: u8,
    layouts: &[Layout],
) -> Option<(u16, Layout)> {
    const START: u32 = 1;
    let shift = layouts.first()?.shift;
    registers.write(EERD, START | u32::from(word) << shift);
    let mut found = None;
    let _ = wait_until(hal, Duration::from_millis(10), || {
        let value = registers.read(EERD);
        if value != u32::MAX {
            let layout = layouts.iter().find(|layout| value & layout.done != 0);
            found = layout.map(|layout| ((value >> 16) as u16, *layout));
        }
        found.is_some()
    });
    found
}
