//! Configuration space: identity, windows, capabilities, and what writing does to each.

use crate::family::{Bus, Part, Traits};

/// The registers, as the bus sees them: window 0.
pub const BAR: u64 = 0xfeb8_0000;
/// Bytes of window 0.
pub(crate) const BAR_SIZE: u32 = 0x2_0000;
/// The MSI-X table, as the bus sees it: window 3.
pub const TABLE: u64 = 0xfebb_0000;

/// Where the capabilities are, as in QEMU's e1000e.
pub mod at {
    /// Power management.
    pub const POWER: u16 = 0xc8;
    /// MSI.
    pub const MSI: u16 = 0xd0;
    /// MSI-X.
    pub const MSI_X: u16 = 0xa0;
    /// PCI Express.
    pub const EXPRESS: u16 = 0xe0;
}

const COMMAND: u16 = 4;
pub(crate) const BUS_MASTER: u32 = 1 << 2;
const MEMORY: u32 = 1 << 1;
const INTERRUPT_DISABLE: u32 = 1 << 10;

/// The 256 bytes.
pub(crate) struct Config {
    words: [u32; 64],
}

impl Config {
    pub(crate) fn new(part: Part, traits: &Traits) -> Self {
        let mut config = Self { words: [0; 64] };
        config.put(0, u32::from(part.device_id) << 16 | 0x8086);
        config.put(8, 0x0200_0003);
        config.put(0x10, BAR as u32);
        if traits.bus == Bus::Pci {
            return config;
        }
        config.put(COMMAND, 1 << 20);
        config.put(0x34, u32::from(at::POWER));
        // Power management; MSI with 64 bits; PCI Express with both link power states on.
        config.put(at::POWER, 0x0022_0001 | u32::from(at::MSI) << 8);
        config.put(at::MSI, 0x0080_0005 | u32::from(at::EXPRESS) << 8);
        config.put(at::EXPRESS, 0x0001_0010);
        config.put(at::EXPRESS + 0x10, 0x1011_0043);
        if traits.vectors() != 0 {
            config.put(0x1c, TABLE as u32);
            config.put(at::EXPRESS, 0x0001_0010 | u32::from(at::MSI_X) << 8);
            config.put(at::MSI_X, (traits.vectors() as u32 - 1) << 16 | 0x11);
            // The table at the start of window 3, the pending bits behind it.
            config.put(at::MSI_X + 4, 3);
            config.put(at::MSI_X + 8, 0x2003);
        }
        config
    }

    pub(crate) fn word(&self, offset: u16) -> u32 {
        self.words.get(usize::from(offset) / 4).copied().unwrap_or(u32::MAX)
    }

    /// Makes a word hold a value, whatever writing would do.
    pub(crate) fn put(&mut self, offset: u16, value: u32) {
        self.words[usize::from(offset) / 4] = value;
    }

    /// What the bus does.
    pub(crate) fn write(&mut self, offset: u16, value: u32) {
        const POWER_STATE: u16 = at::POWER + 4;
        const MSI_LAST: u16 = at::MSI + 12;
        const LINK_CONTROL: u16 = at::EXPRESS + 0x10;
        // Capabilities that a test has moved elsewhere are plain words.
        let has_capabilities = self.word(COMMAND) & 1 << 20 != 0;
        // What a write reaches, and what it clears where it writes ones.
        let (writable, cleared): (u32, u32) = match offset {
            COMMAND => (0x0547, 0xf900_0000),
            0x10 => (!(BAR_SIZE - 1), 0),
            0x0c | 0x3c => (0xff, 0),
            0x14..=0x24 => (!0xf, 0),
            0..0x40 => (0, 0),
            POWER_STATE if has_capabilities => (0x0103, 1 << 15),
            at::MSI if has_capabilities => (0x0071_0000, 0),
            at::MSI_X if has_capabilities && self.word(offset) & 0xff == 0x11 => (0xc000_0000, 0),
            LINK_CONTROL if has_capabilities => (0x01ff, 0xc000_0000),
            at::POWER | at::EXPRESS if has_capabilities => (0, 0),
            MSI_LAST if has_capabilities => (0xffff, 0),
            _ => (u32::MAX, 0),
        };
        let old = self.word(offset);
        self.put(offset, ((old & !writable) | (value & writable)) & !(value & cleared));
    }

    fn command(&self) -> u32 {
        self.word(COMMAND)
    }

    pub(crate) fn is_bus_master(&self) -> bool {
        self.command() & BUS_MASTER != 0 && !self.is_asleep()
    }

    /// Whether window 0 answers.
    pub(crate) fn is_decoding(&self) -> bool {
        let is_placed = u64::from(self.word(0x10) & !0xf) == BAR;
        self.command() & MEMORY != 0 && is_placed && !self.is_asleep()
    }

    /// What a deep power state forgets: windows and command. The function sleeps, if it can.
    pub(crate) fn lose_power(&mut self) {
        if self.has(at::POWER, 0x01) {
            self.put(at::POWER + 4, self.word(at::POWER + 4) | 3);
        }
        self.put(COMMAND, self.command() & 0xffff_0000);
        for window in [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24] {
            self.put(window, 0);
        }
    }

    pub(crate) fn is_line_disabled(&self) -> bool {
        self.command() & INTERRUPT_DISABLE != 0
    }

    fn is_asleep(&self) -> bool {
        self.has(at::POWER, 0x01) && self.word(at::POWER + 4) & 3 != 0
    }

    fn has(&self, at: u16, id: u32) -> bool {
        self.command() & 1 << 20 != 0 && self.word(at) & 0xff == id
    }

    pub(crate) fn is_msi(&self) -> bool {
        self.has(at::MSI, 0x05) && self.word(at::MSI) & 1 << 16 != 0
    }

    pub(crate) fn is_msi_x(&self) -> bool {
        self.has(at::MSI_X, 0x11) && self.word(at::MSI_X) & 1 << 31 != 0
    }

    pub(crate) fn is_msi_x_masked(&self) -> bool {
        self.word(at::MSI_X) & 1 << 30 != 0
    }
}
