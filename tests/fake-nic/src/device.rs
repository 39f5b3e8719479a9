//! The register file: what reading and writing do besides.

use std::collections::VecDeque;
use std::time::Duration;

use isboot_transport::intel::registers::Register;

use crate::behaviour::Behaviour;
use crate::config::Config;
use crate::event::Event;
use crate::family::{Bus, Nvm, Part, Traits};
use crate::interrupt::Interrupts;
use crate::memory::Memory;
use crate::nvm::{self, Microwire};
use crate::phy::Phy;
use crate::receive::Receive;
use crate::register::{
    CTRL, CTRL_DUP, CTRL_EXT, EECD, EECD_I210, EEMNGCTL, EERD, EERD_I210, ICR, INVM, KMRNCTRLSTA,
    MDIC, MDICNFG, PBA, QUEUE_ENABLE, RAH0, RAL0, RDBAL, RDH, RDLEN, RDT, RXCW, RXDCTL, SRRCTL,
    STATISTICS, STATUS, SWSM, TARC0, TARC1, TDBAL, TDH, TDLEN, TDT, TXCW, TXDCTL, ctrl, ctrl_ext,
    eecd, rxcw, status, txcw,
};
use crate::transmit::Transmit;
use crate::wires::Wires;

/// What one access of a register takes.
const ACCESS: Duration = Duration::from_micros(1);
/// From a reset to the end of its EEPROM read.
const EEPROM_READ: Duration = Duration::from_millis(5);
/// How long the PHY's settings take after that, where they are in flash (82573, 82574, 82583).
const FLASH_READ: Duration = Duration::from_millis(25);
/// In which a chipset's registers must not be read.
const CHIPSET_RESET: Duration = Duration::from_millis(20);

/// Everything there is: the controller, its memory and its hosting kernel.
pub struct State {
    /// How it behaves; may be changed at any time.
    pub behaviour: Behaviour,
    /// What happened, in order.
    pub events: Vec<Event>,
    /// Register reads and writes.
    pub accesses: u64,
    /// Frames that left.
    pub sent: Vec<Vec<u8>>,
    /// Its interrupts.
    pub interrupts: Interrupts,
    pub(crate) part: Part,
    pub(crate) traits: Traits,
    pub(crate) config: Config,
    pub(crate) memory: Memory,
    pub(crate) receive: Receive,
    pub(crate) transmit: Transmit,
    pub(crate) phy: Phy,
    pub(crate) now: Duration,
    pub(crate) violations: Vec<&'static str>,
    /// So many reads give all ones, from now on.
    pub all_ones_reads: u32,
    /// What the next reads give is turned over where these have ones.
    pub lies: VecDeque<u32>,
    /// Accesses of registers and of configuration space, which a removal counts.
    pub(crate) touches: u64,
    registers: Vec<u32>,
    microwire: Microwire,
    wires: Wires,
    words: [u16; 64],
    kumeran: [u16; 32],
    reset_reads_left: u32,
    mdic_reads_left: u32,
    /// When the last reset began; `None` before the first one.
    reset_at: Option<Duration>,
}

impl State {
    pub(crate) fn new(behaviour: Behaviour) -> Self {
        // An unknown device is a plain one with another id: for tests of who refuses whom.
        let part = Part::find(behaviour.device_id);
        let family = part.map_or(crate::family::Family::I82540, |part| part.family);
        let part = Part { device_id: behaviour.device_id, family };
        let traits = family.traits();
        let mut state = Self {
            events: Vec::new(),
            accesses: 0,
            sent: Vec::new(),
            interrupts: Interrupts::default(),
            part,
            traits,
            config: Config::new(part, &traits),
            memory: Memory::default(),
            receive: Receive::default(),
            transmit: Transmit::default(),
            phy: Phy::new(&traits),
            now: Duration::from_secs(7),
            violations: Vec::new(),
            all_ones_reads: 0,
            lies: VecDeque::new(),
            touches: 0,
            registers: vec![0; 0x8000],
            microwire: Microwire::default(),
            wires: Wires::default(),
            words: [0; 64],
            kumeran: [0; 32],
            reset_reads_left: 0,
            mdic_reads_left: 0,
            reset_at: None,
            behaviour,
        };
        let stale = u32::from(state.behaviour.holders.stale_smbi);
        state.set(SWSM, stale);
        state.power_on();
        state
    }

    /// What a reset leaves.
    pub(crate) fn power_on(&mut self) {
        let swsm = self.get(SWSM);
        self.registers.fill(0);
        self.interrupt_power_on();
        self.semaphores_reset(swsm);
        self.receive = Receive::default();
        self.transmit = Transmit::default();
        let [a, b, c, d, e, f] = self.behaviour.receive_address;
        self.set(RAL0, u32::from_le_bytes([a, b, c, d]));
        self.set(RAH0, u32::from_le_bytes([e, f, 0, 0x80]));
        self.set(PBA, 0x0010_0030);
        self.words = self.behaviour.eeprom.map_or([0xffff; 64], nvm::words);
        if self.traits.bus != Bus::Pci {
            // Reset values with the queue enabled (82574 §10.2.6.10).
            self.set(TARC0, 0x0403);
            self.set(TARC1, 0x0403);
        }
        if self.traits.is_advanced() {
            self.set(MDICNFG, 1 << 21);
        }
        if self.traits.nvm == Nvm::EerdOrFuses && !self.behaviour.has_flash {
            for word in 0..3 {
                let fuse = nvm::fuse(word, self.words[word]);
                self.set(INVM + 4 * word as u32, fuse);
            }
        }
    }

    pub(crate) fn get(&self, register: u32) -> u32 {
        self.registers[self.index(register)]
    }

    pub(crate) fn set(&mut self, register: u32, value: u32) {
        let index = self.index(register);
        self.registers[index] = value;
    }

    pub(crate) fn base(&self, low: u32) -> u64 {
        u64::from(self.get(low)) | u64::from(self.get(low + 4)) << 32
    }

    /// Where a register is kept: one place for all of its addresses.
    fn index(&self, offset: u32) -> usize {
        let is_advanced = self.traits.is_advanced();
        let offset = match offset {
            CTRL_DUP => CTRL,
            EECD_I210 if self.traits.nvm == Nvm::EerdOrFuses => EECD,
            EERD_I210 if self.traits.nvm == Nvm::EerdOrFuses => EERD,
            // ICR, ICS, IMS, IMC and IAM, at intervals of 4 and of 8.
            0x1500..0x1514 if is_advanced => ICR + (offset - 0x1500) * 2,
            0xc000..0xc040 if is_advanced => RDBAL + (offset - 0xc000),
            0xe000..0xe040 if is_advanced => TDBAL + (offset - 0xe000),
            _ => offset,
        };
        offset as usize / 4 % self.registers.len()
    }

    fn canonical(&self, offset: u32) -> u32 {
        (self.index(offset) * 4) as u32
    }

    pub(crate) fn violation(&mut self, what: &'static str) {
        self.violations.push(what);
    }

    /// Counts an access; whether nobody answers it.
    pub(crate) fn is_gone(&mut self) -> bool {
        self.touches += 1;
        self.touches > self.behaviour.gone_after
    }

    pub(crate) fn has_gone(&self) -> bool {
        self.touches >= self.behaviour.gone_after
    }

    /// Powered, there, and its window where the driver found it.
    pub(crate) fn is_reachable(&self) -> bool {
        !self.has_gone() && self.all_ones_reads == 0 && self.config.is_decoding()
    }

    pub(crate) fn read(&mut self, offset: u32) -> u32 {
        let truth = self.read_truly(offset);
        truth ^ self.lies.pop_front().unwrap_or(0)
    }

    fn read_truly(&mut self, offset: u32) -> u32 {
        self.accesses += 1;
        self.now += ACCESS;
        if self.is_gone() || !self.config.is_decoding() {
            return u32::MAX;
        }
        if let Some(left) = self.all_ones_reads.checked_sub(1) {
            self.all_ones_reads = left;
            return u32::MAX;
        }
        if let Some(at) = self.reset_at
            && self.traits.bus == Bus::Chipset
            && self.now - at < CHIPSET_RESET
            && !self.behaviour.is_hostile
        {
            panic!("register {offset:#x} was read while the chipset resets: it hangs");
        }
        self.foreign_traffic();
        let register = self.canonical(offset);
        let value = self.get(register);
        match register {
            STATUS => self.read_status(),
            RXCW if self.behaviour.link_up => {
                rxcw::SYNCH | if self.behaviour.partner_negotiates { rxcw::C } else { 0 }
            }
            CTRL => {
                if value & ctrl::RST != 0 && self.reset_reads_left != u32::MAX {
                    match self.reset_reads_left.checked_sub(1) {
                        Some(left) => self.reset_reads_left = left,
                        None => self.set(CTRL, value & !ctrl::RST),
                    }
                }
                self.get(CTRL) & !ctrl::PHY_RST
            }
            EECD => self.read_eecd(value),
            EEMNGCTL if self.traits.configuration_done && self.behaviour.phy_configured => {
                value | 3 << 18
            }
            ICR => self.read_icr(),
            SWSM => self.read_swsm(),
            MDIC => {
                const READY: u32 = 1 << 28;
                if self.behaviour.phy_dead {
                    return value & !READY;
                }
                match self.mdic_reads_left.checked_sub(1) {
                    Some(left) => {
                        self.mdic_reads_left = left;
                        value & !READY
                    }
                    None => value,
                }
            }
            _ if STATISTICS.contains(&register) => {
                self.set(register, 0);
                value
            }
            _ => self.read_interrupt(register).unwrap_or(value),
        }
    }

    fn read_status(&self) -> u32 {
        let link = if self.is_link_up() { status::LU } else { 0 };
        let function = u32::from(self.behaviour.function) << status::FUNCTION_SHIFT;
        let is_express = self.traits.bus != Bus::Pci;
        let is_draining = self.get(CTRL) & ctrl::GIO_MASTER_DISABLE != 0;
        let is_busy = is_express && (self.behaviour.master_stuck || !is_draining);
        let busy = if is_busy { status::GIO_MASTER_ENABLE } else { 0 };
        // What a reset sets and a driver clears is kept.
        let kept = self.get(STATUS) & (status::LAN_INIT_DONE | status::PHYRA);
        status::FD | status::SPEED_1000 | link | function | busy | kept
    }

    fn read_eecd(&self, value: u32) -> u32 {
        let is_read = self.reset_at.is_none_or(|at| self.now - at >= EEPROM_READ);
        let has_read = self.traits.auto_read && self.behaviour.auto_read && is_read;
        let flash = self.traits.nvm == Nvm::EerdOrFuses && self.behaviour.has_flash;
        value
            | eecd::PRES
            | if has_read { eecd::AUTO_RD } else { 0 }
            | if flash { eecd::FLASH_DETECTED } else { 0 }
    }

    /// The other end is there, and both PHY and MAC want it.
    pub(crate) fn is_link_up(&self) -> bool {
        // Fibre: by negotiation, or because software says so.
        let negotiated = self.get(TXCW) & txcw::ANE != 0 && self.behaviour.partner_negotiates;
        let wanted = negotiated || self.get(CTRL) & ctrl::SLU != 0;
        let claimed = self.behaviour.link_needs_negotiation && self.phy.negotiations == 0;
        self.behaviour.link_up && wanted && !claimed && self.phy.is_awake()
    }

    pub(crate) fn write(&mut self, offset: u32, value: u32) {
        self.accesses += 1;
        self.now += ACCESS;
        self.events.push(Event::Write(Register::at(offset), value));
        if self.is_gone() || !self.config.is_decoding() {
            return;
        }
        let register = self.canonical(offset);
        match register {
            CTRL => self.write_ctrl(value),
            STATUS => {
                let kept = self.get(STATUS) & value;
                self.set(STATUS, kept);
            }
            CTRL_EXT => {
                if value & ctrl_ext::EE_RST != 0 {
                    self.load_receive_address();
                }
                self.set(CTRL_EXT, value & !ctrl_ext::EE_RST);
            }
            EECD if self.traits.nvm == Nvm::Microwire => {
                let words = self.words;
                let value = self.microwire.write(value, &words);
                self.set(EECD, value);
            }
            MDIC => self.mdic(value),
            EERD => self.eerd(value),
            KMRNCTRLSTA => self.kumeran(value),
            RDBAL | TDBAL => {
                // A ring starts at a multiple of 16; of 128 from the 82575 on.
                let low = if self.traits.is_advanced() { 0x7f } else { 0xf };
                self.set(register, value & !low);
            }
            RDLEN | TDLEN => self.set(register, value & 0x000f_ff80),
            RDH | TDH => self.set(register, value & 0xffff),
            RDT => {
                self.set(RDT, value & 0xffff);
                self.prefetch_receive();
            }
            TDT => {
                self.set(TDT, value & 0xffff);
                self.prefetch_transmit();
                self.advance_transmit();
            }
            // A queue takes its tail only when enabled.
            RXDCTL if value & 1 << 25 == 0 => {
                self.set(RXDCTL, value);
                self.receive = Receive::default();
            }
            TXDCTL if value & 1 << 25 == 0 && self.traits.is_advanced() => {
                self.set(TXDCTL, value);
                self.transmit = Transmit::default();
            }
            RXDCTL | TXDCTL if self.behaviour.queues_stuck && self.traits.is_advanced() => {
                self.set(register, value & !QUEUE_ENABLE);
            }
            RXDCTL | TXDCTL | SRRCTL => self.set(register, value),
            _ if self.write_interrupt(register, value) => {}
            _ if self.write_semaphore(register, value) => {}
            _ => self.set(register, value),
        }
    }

    fn write_ctrl(&mut self, value: u32) {
        if value & ctrl::RST == 0 {
            let was_up = self.is_link_up();
            self.set(CTRL, value);
            if self.traits.wires && !self.behaviour.phy_dead && !self.behaviour.phy_refuses {
                let is_up = self.behaviour.link_up;
                let pins = self.wires.write(value, &mut self.phy, is_up);
                self.set(CTRL, pins);
            }
            if self.is_link_up() != was_up {
                self.link_changed();
            }
            return;
        }
        if self.behaviour.reset_clears {
            self.power_on();
        } else if self.behaviour.reset_clears_address {
            self.load_receive_address();
        }
        self.events.push(Event::Reset);
        self.reset_at = Some(self.now);
        self.reset_reads_left = self.behaviour.reset_reads;
        if self.traits.lan_init_done && self.behaviour.auto_read {
            let mut done = self.get(STATUS) | status::LAN_INIT_DONE;
            if value & ctrl::PHY_RST != 0 {
                done |= status::PHYRA;
            }
            self.set(STATUS, done);
        }
        // What a chipset's reset leaves readable is CTRL without RST, once the time is up.
        let clears_itself =
            self.traits.bus == Bus::Chipset && self.behaviour.reset_reads != u32::MAX;
        let kept = if self.behaviour.reset_clears { ctrl::RST } else { value };
        self.set(CTRL, if clears_itself { kept & !ctrl::RST } else { kept });
    }

    fn load_receive_address(&mut self) {
        let [a, b, c, d, e, f] = self.behaviour.receive_address;
        self.set(RAL0, u32::from_le_bytes([a, b, c, d]));
        self.set(RAH0, u32::from_le_bytes([e, f, 0, 0x80]));
    }

    /// What neither EEPROM nor PHY forgive.
    fn check_flash(&mut self) {
        let is_reading = self.reset_at.is_some_and(|at| self.now - at < EEPROM_READ + FLASH_READ);
        if self.traits.reads_flash && is_reading {
            self.violation("the PHY or the EEPROM was used while the flash was read");
        }
    }

    fn mdic(&mut self, value: u32) {
        const READ: u32 = 2 << 26;
        const READY: u32 = 1 << 28;
        const ERROR: u32 = 1 << 30;
        if self.traits.wires {
            self.violation("MDIC was used where there is none");
            return;
        }
        self.check_phy_lock();
        self.check_flash();
        self.mdic_reads_left = self.behaviour.mdic_reads;
        let register = (value >> 16 & 0x1f) as u8;
        // From the 82580 on the address is MDICNFG's.
        let address = match self.traits.is_advanced() {
            true if self.traits.phy_id & !0xf == 0x0154_03a0 => 1,
            _ => (value >> 21 & 0x1f) as u8,
        };
        if self.behaviour.phy_refuses || !self.phy.answers(address) {
            self.set(MDIC, value | READY | ERROR);
            return;
        }
        let mut result = value & !0xffff & !ERROR;
        if value & 3 << 26 == READ {
            let is_up = self.behaviour.link_up;
            result |= u32::from(self.phy.read(address, register, is_up));
        } else {
            self.phy.write(address, register, value as u16);
            result |= value & 0xffff;
        }
        self.set(MDIC, result | READY);
    }

    fn eerd(&mut self, value: u32) {
        self.check_flash();
        let nvm = self.traits.nvm;
        let is_there = nvm != Nvm::EerdOrFuses || self.behaviour.has_flash;
        if self.behaviour.eeprom.is_none() || !is_there {
            self.set(EERD, value);
            return;
        }
        match nvm::eerd(nvm, value) {
            Some((word, done)) => {
                let data = self.words.get(word).copied().unwrap_or(0xffff);
                self.set(EERD, u32::from(data) << 16 | done);
            }
            None => self.set(EERD, value),
        }
    }

    /// Registers between MAC and PHY: bit 21 reads, the offset is in bits 20:16.
    fn kumeran(&mut self, value: u32) {
        const READ: u32 = 1 << 21;
        let at = (value >> 16 & 0x1f) as usize;
        if value & READ != 0 {
            let data = u32::from(self.kumeran[at]);
            self.set(KMRNCTRLSTA, (value & !0xffff) | data);
        } else {
            self.kumeran[at] = value as u16;
            self.set(KMRNCTRLSTA, value);
        }
    }

    /// Whether the device may use memory now.
    pub(crate) fn may_dma(&self) -> bool {
        let is_disabled =
            self.get(CTRL) & ctrl::GIO_MASTER_DISABLE != 0 && self.traits.bus != Bus::Pci;
        self.config.is_bus_master()
            && !self.has_gone()
            && (!is_disabled || self.behaviour.master_stuck)
    }

    fn check_reach(&self, bus: u64, len: usize) {
        assert!(self.config.is_bus_master(), "DMA with bus mastering off");
        let highest = self.traits.highest_address();
        let last = bus + len.max(1) as u64 - 1;
        assert!(last <= highest, "DMA to {bus:#x}, which this part cannot put on the bus");
    }

    /// Whether an IOMMU stops it.
    fn is_stopped(&self, bus: u64, len: usize) -> bool {
        self.behaviour.is_hostile && !(self.config.is_bus_master() && self.memory.has(bus, len))
    }

    pub(crate) fn dma_check(&self, bus: u64, len: usize) {
        if !self.behaviour.is_hostile {
            self.check_reach(bus, len);
            self.memory.check(bus, len);
        }
    }

    pub(crate) fn dma_read(&self, bus: u64, len: usize) -> Vec<u8> {
        if self.is_stopped(bus, len) {
            return vec![0; len];
        }
        self.check_reach(bus, len);
        self.memory.read(bus, len)
    }

    pub(crate) fn dma_write(&mut self, bus: u64, bytes: &[u8]) {
        if self.is_stopped(bus, bytes.len()) {
            return;
        }
        self.check_reach(bus, bytes.len());
        if self.memory.write(bus, bytes) {
            self.events.push(Event::ForeignWrite);
        }
    }
}
