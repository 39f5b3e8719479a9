//! The PHY behind MDIC: its id, its pages, and the link it makes.

use std::collections::BTreeMap;

use crate::family::{Paging, Traits};

const BMCR: u8 = 0;
const BMSR: u8 = 1;
const PARTNER_ABILITY: u8 = 5;
const RESET: u16 = 1 << 15;
const RESTART: u16 = 1 << 9;
const POWER_DOWN: u16 = 1 << 11;
const BMSR_LINK: u16 = 1 << 2;
const BMSR_COMPLETE: u16 = 1 << 5;

/// Registers by page and number; the standard ones are in page 0.
pub(crate) struct Phy {
    paging: Paging,
    registers: BTreeMap<(u16, u8), u16>,
    page: u16,
    /// The link bit of BMSR latches low.
    is_link_latched_down: bool,
    /// How often negotiation was started anew.
    pub(crate) negotiations: usize,
}

impl Phy {
    pub(crate) fn new(traits: &Traits) -> Self {
        let [high, low] = [(traits.phy_id >> 16) as u16, traits.phy_id as u16];
        let defaults = [
            (BMCR, 0x1140),
            // What every 10/100/1000 PHY can do (IEEE 802.3 §22.2.4.2).
            (BMSR, 0x7949),
            (2, high),
            (3, low),
            (4, 0x0de1),
            (PARTNER_ABILITY, 0x4de1),
            (9, 0x0300),
            (10, 0x3c00),
            (15, 0x3000),
        ];
        Self {
            paging: traits.paging,
            registers: defaults.map(|(register, value)| ((0, register), value)).into(),
            page: 0,
            is_link_latched_down: false,
            negotiations: 0,
        }
    }

    /// Whether a PHY answers at this address of the management bus.
    pub(crate) fn answers(&self, address: u8) -> bool {
        match self.paging {
            Paging::Chipset => address == 1 || address == 2,
            _ => address == 1,
        }
    }

    /// What a register holds, without side effects.
    pub(crate) fn peek(&self, page: u16, register: u8) -> u16 {
        self.registers.get(&(page, register)).copied().unwrap_or(0)
    }

    pub(crate) fn poke(&mut self, page: u16, register: u8, value: u16) {
        self.registers.insert((page, register), value);
    }

    pub(crate) fn read(&mut self, address: u8, register: u8, is_link_up: bool) -> u16 {
        let place = self.place(address, register);
        let value = self.peek(place.0, place.1);
        match place {
            (0, BMSR) => {
                let link = is_link_up && !self.is_link_latched_down;
                self.is_link_latched_down = !is_link_up;
                let complete = if is_link_up { BMSR_COMPLETE } else { 0 };
                value | complete | if link { BMSR_LINK } else { 0 }
            }
            (0, PARTNER_ABILITY) if !is_link_up => 0,
            _ => value,
        }
    }

    pub(crate) fn write(&mut self, address: u8, register: u8, value: u16) {
        match (self.paging, register) {
            (Paging::Register31, 31) => self.page = value >> 5,
            (Paging::Register22 | Paging::Register22Upper, 22) => self.page = value,
            (Paging::Chipset, 31) if address == 1 => self.page = value >> 5,
            _ => {}
        }
        let place = self.place(address, register);
        if place == (0, BMCR) {
            self.negotiations += usize::from(value & RESTART != 0);
            // Both clear themselves.
            self.poke(0, BMCR, value & !(RESET | RESTART));
        } else {
            self.poke(place.0, place.1, value);
        }
    }

    /// Whether the PHY can have a link at all.
    pub(crate) fn is_awake(&self) -> bool {
        self.peek(0, BMCR) & POWER_DOWN == 0
    }

    pub(crate) fn link_lost(&mut self) {
        self.is_link_latched_down = true;
    }

    /// The page that a register is in now.
    fn place(&self, address: u8, register: u8) -> (u16, u8) {
        let page = match self.paging {
            Paging::None => 0,
            Paging::Register31 if register > 15 && register != 31 => self.page,
            Paging::Register22 if register != 22 => self.page,
            Paging::Register22Upper if register > 15 && register != 22 => self.page,
            // Address 2 has the pages below 768.
            Paging::Chipset if register > 15 && register != 31 => match (address, self.page) {
                (1, 768..) | (2, ..768) => self.page,
                (1, _) => 768,
                _ => 0,
            },
            _ => 0,
        };
        (page, register)
    }
}
