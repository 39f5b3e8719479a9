//! The MAC address: from the receive address registers, or from the EEPROM behind them.

mod fuses;
mod microwire;

use core::time::Duration;

use crate::hal::{Hal, wait_until};
use crate::intel::family::{Eeprom, Quirks};
use crate::intel::registers::{EECD, EERD, RAH0, RAL0, Registers, STATUS, eecd, status};
use crate::intel::semaphore::{self, Resource};

/// The MAC address: the alternate one of the EEPROM, where the family has such; what the reset
/// loaded into the first receive address registers; or words 0 to 2 of the EEPROM. `None` when
/// none of them holds a station's address.
pub(crate) fn mac_address<H: Hal>(
    hal: &H,
    registers: &Registers<H>,
    quirks: &Quirks,
) -> Option<[u8; 6]> {
    let port = port(registers);
    if quirks.alternate_address
        && let Some(mac) = alternate(hal, registers, quirks, port)
    {
        return Some(mac);
    }
    if let Some(loaded) = loaded_address(registers) {
        return Some(loaded);
    }
    let [a, b, c, d, e, mut f] = address_at(hal, registers, quirks, FIRST_ADDRESS)?;
    if quirks.second_port_inverts && port == 1 {
        f ^= 1;
    }
    Some([a, b, c, d, e, f]).filter(|mac| is_station(*mac))
}

/// What the first receive address registers hold; `None` when it is no station's address.
pub(crate) fn loaded_address<H: Hal>(registers: &Registers<H>) -> Option<[u8; 6]> {
    let [a, b, c, d] = registers.read(RAL0).to_le_bytes();
    let [e, f, ..] = registers.read(RAH0).to_le_bytes();
    Some([a, b, c, d, e, f]).filter(|mac| is_station(*mac))
}

/// Which port of its package the part is, 0 to 3.
pub(crate) fn port<H: Hal>(registers: &Registers<H>) -> u32 {
    registers.read(STATUS) >> status::FUNCTION_SHIFT & 3
}

/// Word of the first port's address.
const FIRST_ADDRESS: u8 = 0;

/// The address that replaces a port's first one (82576 §6.2.21): word 0x37 points to three words
/// for each port.
fn alternate<H: Hal>(
    hal: &H,
    registers: &Registers<H>,
    quirks: &Quirks,
    port: u32,
) -> Option<[u8; 6]> {
    const POINTER: u8 = 0x37;
    let pointer = read_words::<1, H>(hal, registers, quirks, POINTER)?[0];
    if pointer == 0 || pointer == 0xffff {
        return None;
    }
    let words = u8::try_from(port).ok()?.checked_mul(3)?;
    let first = u8::try_from(pointer).ok()?.checked_add(words)?;
    address_at(hal, registers, quirks, first).filter(|mac| is_station(*mac))
}

fn address_at<H: Hal>(
    hal: &H,
    registers: &Registers<H>,
    quirks: &Quirks,
    first: u8,
) -> Option<[u8; 6]> {
    let words = read_words::<3, H>(hal, registers, quirks, first)?;
    let [[a, b], [c, d], [e, f]] = words.map(u16::to_le_bytes);
    Some([a, b, c, d, e, f])
}

/// Whether it can be the address of one station: unicast and not zero.
pub(crate) fn is_station(mac: [u8; 6]) -> bool {
    let [first, ..] = mac;
    first & 1 == 0 && mac != [0; 6]
}

/// Reads `N` words under the part's lock; `None` when they are not to be had.
fn read_words<const N: usize, H: Hal>(
    hal: &H,
    registers: &Registers<H>,
    quirks: &Quirks,
    first: u8,
) -> Option<[u16; N]> {
    let _held = match quirks.eeprom {
        Eeprom::ChipsetFlash => return None,
        _ => semaphore::take(hal, registers, quirks.lock, Resource::Eeprom).ok()?,
    };
    let in_fuses =
        quirks.eeprom == Eeprom::EerdOrFuses && registers.read(EECD) & eecd::FLASH_DETECTED == 0;
    // Every layout asks for word 0 in the same way, so that it shows which one the part has.
    let layout = match quirks.eeprom {
        Eeprom::Eerd | Eeprom::EerdOrFuses if !in_fuses => Some(layout(hal, registers)?),
        _ => None,
    };
    let mut words = [0; N];
    // A pointer of the EEPROM's own may lead past its end.
    let last = u8::try_from(N).ok()?.checked_sub(1)?.checked_add(first)?;
    for (word, address) in words.iter_mut().zip(first..=last) {
        *word = match layout {
            Some(layout) => read_word(hal, registers, address, &[layout])?.0,
            None if in_fuses => fuses::word(registers, address)?,
            None => microwire::word(hal, registers, address),
        };
    }
    Some(words)
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

fn layout<H: Hal>(hal: &H, registers: &Registers<H>) -> Option<Layout> {
    Some(read_word(hal, registers, 0, &[SMALL, LARGE])?.1)
}

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
