//! Causes and masks as the datasheets have them, messages, the MSI-X table, and a hosting kernel
//! that runs the handler when it waits.

use isboot_transport::intel::interrupt::{Acknowledger, Cause};
use isboot_transport::pci::Message;

use crate::Machine;
use crate::device::State;
use crate::family::Interrupting;
use crate::register::{
    CTRL_EXT, EIAC, EIAC_82575, EIAM, EICR, EICS, EIMC, EIMS, GPIE, IAM, ICR, ICS, IMC, IMS, IVAR,
    IVAR_MISC, IVAR0, MSIXBM0, ctrl_ext, icr,
};

/// Vectors that the MSI-X tables have room for here.
pub const VECTORS: usize = 10;
/// What the hosting kernel made up.
pub const MESSAGE: Message = Message { address: 0xfee0_0000, data: 0x41 };

/// What goes wrong with interrupts; nothing, by default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// MSI-X messages leave and never arrive.
    pub msi_x_dead: bool,
    /// MSI messages leave and never arrive.
    pub msi_dead: bool,
    /// The line is connected to nothing.
    pub line_dead: bool,
    /// So many interrupts, from now on, never arrive.
    pub lost: u32,
    /// ICR reads as zero in MSI-X mode, as on VMware's model after a link change.
    pub icr_reads_zero: bool,
    /// Reading ICR clears nothing.
    pub icr_keeps: bool,
    /// INT_ASSERTED never shows.
    pub no_int_asserted: bool,
    /// Nothing masks itself, as on QEMU's models.
    pub no_auto_mask: bool,
    /// IVAR loses these bits of what is written.
    pub ivar_drops: u32,
    /// Another device interrupts all the time, on the same line.
    pub line_is_busy: bool,
    /// The hosting kernel cannot map the MSI-X table.
    pub table_unmapped: bool,
}

/// What the interrupts are doing.
#[derive(Default)]
pub struct Interrupts {
    handler: Option<Acknowledger<Machine>>,
    /// What goes wrong.
    pub faults: Faults,
    /// Messages that were sent and not handled.
    messages: u32,
    /// Whether an enabled cause was pending when last looked.
    was_raised: bool,
    /// The MSI-X table.
    pub table: [[u32; 4]; VECTORS],
    /// Calls of the handler.
    pub handled: u32,
    /// What its last call said.
    pub last: Cause,
    /// Register accesses of all its calls.
    pub accesses: u64,
}

impl Interrupts {
    /// The handler's handle.
    #[must_use]
    pub fn handler(&self) -> Option<Acknowledger<Machine>> {
        self.handler.clone()
    }
}

impl Machine {
    /// What the hosting kernel's handler calls.
    pub fn install(&self, acknowledger: Acknowledger<Self>) {
        self.state_mut().interrupts.handler = Some(acknowledger);
    }

    /// Runs the handler while an interrupt is pending; says how often that was.
    ///
    /// # Panics
    /// When a line never falls.
    pub fn interrupts(&self) -> u32 {
        for count in 0..100 {
            if !self.state_mut().take_interrupt() {
                return count;
            }
            self.handle();
        }
        assert!(self.state().behaviour.is_hostile, "the interrupt is never acknowledged");
        100
    }

    /// Calls the handler, as for another device on the same line.
    pub fn handle(&self) -> Cause {
        let handler = self.state().interrupts.handler.clone();
        let before = self.state().accesses;
        let cause = handler.map(|handler| handler.acknowledge()).unwrap_or_default();
        let mut state = self.state_mut();
        let accesses = state.accesses - before;
        state.interrupts.accesses += accesses;
        state.interrupts.handled += 1;
        state.interrupts.last = cause;
        cause
    }

    /// Makes causes pending, as an event on the wire does.
    pub fn raise(&self, causes: u32) {
        self.state_mut().raise(causes);
    }

    /// Changes what goes wrong with interrupts.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state_mut().interrupts.faults);
    }
}

impl State {
    pub(crate) fn interrupt_power_on(&mut self) {
        // Every vector of a function that was reset is masked (PCI Local Bus 3.0 §6.8.2.9).
        self.interrupts.table = [[0, 0, 0, 1]; VECTORS];
        self.interrupts.was_raised = false;
    }

    fn is_msi_x(&self) -> bool {
        self.traits.vectors() != 0 && self.config.is_msi_x()
    }

    /// Whether an interrupt reached the processor; takes a message.
    fn take_interrupt(&mut self) -> bool {
        if !self.is_reachable() {
            return false;
        }
        if self.interrupts.messages != 0 {
            self.interrupts.messages -= 1;
            return true;
        }
        let is_raised = self.get(ICR) & self.get(IMS) != 0;
        let is_message = self.config.is_msi() || self.is_msi_x();
        let is_line_dead = self.config.is_line_disabled() || self.interrupts.faults.line_dead;
        is_raised && !is_message && !is_line_dead
    }

    pub(crate) fn link_changed(&mut self) {
        if !self.is_link_up() {
            self.phy.link_lost();
        }
        self.raise(icr::LSC);
        self.advance_transmit();
    }

    pub(crate) fn raise(&mut self, mut causes: u32) {
        if self.traits.interrupting == Interrupting::I82574 {
            // Queue and other causes show besides their legacy ones.
            if causes & (icr::RXT0 | icr::RXDMT0) != 0 {
                causes |= icr::RXQ0;
            }
            if causes & icr::TXDW != 0 {
                causes |= icr::TXQ0;
            }
            if causes & (icr::LSC | icr::RXO | icr::RXSEQ) != 0 {
                causes |= icr::OTHER;
            }
        }
        let newly = causes & !self.get(ICR);
        let all = self.get(ICR) | causes;
        self.set(ICR, all);
        match self.traits.interrupting {
            Interrupting::I82574 if self.is_msi_x() => self.send_82574(newly),
            Interrupting::I82575 | Interrupting::I82576 if self.is_msi_x() => {
                let vectors = self.vectors_of(causes);
                self.raise_vectors(vectors);
            }
            _ => self.update_interrupt(),
        }
    }

    /// MSI is like an edge: sent when an enabled cause becomes pending.
    fn update_interrupt(&mut self) {
        let is_raised = self.get(ICR) & self.get(IMS) != 0;
        if is_raised && !self.interrupts.was_raised && self.config.is_msi() {
            self.message(self.interrupts.faults.msi_dead);
        }
        self.interrupts.was_raised = is_raised;
    }

    fn message(&mut self, is_dead: bool) {
        let faults = &mut self.interrupts.faults;
        if faults.lost != 0 {
            faults.lost -= 1;
        } else if !is_dead {
            self.interrupts.messages += 1;
        }
    }

    /// The message of a vector, if its entry lets it through.
    fn send(&mut self, vector: usize) {
        let entry = self.interrupts.table.get(vector).copied();
        let is_masked =
            self.config.is_msi_x_masked() || entry.is_none_or(|entry| entry[3] & 1 != 0);
        if let Some([low, high, data, _]) = entry
            && !is_masked
        {
            let target = (u64::from(low) | u64::from(high) << 32, data);
            let goes_astray = target != (MESSAGE.address, MESSAGE.data);
            self.message(goes_astray || self.interrupts.faults.msi_x_dead);
        }
    }

    /// 82574 §7.4: each newly pending cause that is enabled, by its entry of IVAR.
    fn send_82574(&mut self, causes: u32) {
        let entries = [icr::RXQ0, icr::RXQ1, icr::TXQ0, icr::TXQ1, icr::OTHER];
        for (entry, cause) in entries.into_iter().enumerate() {
            if causes & self.get(IMS) & cause == 0 {
                continue;
            }
            let route = self.get(IVAR) >> (4 * entry);
            if route & 8 != 0 {
                self.send((route & 7) as usize);
            }
            // Cleared and masked even when no message left.
            if self.get(EIAC) & cause != 0 {
                self.clear(ICR, cause);
                self.clear(IMS, cause);
            }
            let masks = self.get(CTRL_EXT) & ctrl_ext::EIAME != 0;
            if masks && !self.interrupts.faults.no_auto_mask {
                self.clear(IMS, self.get(IAM));
            }
        }
    }

    /// Which extended causes the causes show in: vectors from the 82576 on, queues on the 82575.
    fn vectors_of(&self, causes: u32) -> u32 {
        const VALID: u32 = 1 << 7;
        let is_other = causes & self.get(IMS) & (icr::LSC | icr::DRSTA | icr::RXO) != 0;
        let sources = [
            (causes & (icr::RXT0 | icr::RXDMT0) != 0, self.get(IVAR0), 1 << 0),
            (causes & icr::TXDW != 0, self.get(IVAR0) >> 8, 1 << 8),
            (is_other, self.get(IVAR_MISC) >> 8, 1 << 31),
        ];
        let is_82575 = self.traits.interrupting == Interrupting::I82575;
        let shown = sources.into_iter().filter(|(is_pending, ..)| *is_pending);
        shown.fold(0, |all, (_, entry, queue)| {
            all | match is_82575 {
                true => queue,
                false if entry & VALID != 0 => 1 << (entry & 0x1f),
                false => 0,
            }
        })
    }

    /// I210 §7.3: an extended cause that is newly pending and enabled sends its vector's message.
    fn raise_vectors(&mut self, causes: u32) {
        const EIAME: u32 = 1 << 30;
        let newly = causes & self.get(EIMS);
        let all = self.get(EICR) | causes;
        self.set(EICR, all);
        let is_82575 = self.traits.interrupting == Interrupting::I82575;
        for vector in 0..self.traits.vectors() {
            let ours = if is_82575 { self.get(MSIXBM0 + 4 * vector as u32) } else { 1 << vector };
            let pending = newly & ours;
            if pending == 0 {
                continue;
            }
            self.send(vector);
            let cleared = pending & self.get(EIAC_82575);
            self.clear(EICR, cleared);
            let masks = match is_82575 {
                true => self.get(CTRL_EXT) & ctrl_ext::EIAME != 0,
                false => self.get(GPIE) & EIAME != 0,
            };
            if masks && !self.interrupts.faults.no_auto_mask {
                self.clear(EIMS, pending & self.get(EIAM));
            }
        }
    }

    fn clear(&mut self, register: u32, bits: u32) {
        let left = self.get(register) & !bits;
        self.set(register, left);
    }

    /// 82574 §10.2.4.1, I210 §8.8.9.
    pub(crate) fn read_icr(&mut self) -> u32 {
        let causes = self.get(ICR);
        let is_8254x = self.traits.interrupting == Interrupting::I8254x;
        let is_enabled = causes & self.get(IMS) != 0;
        let mut value = causes;
        if !is_8254x && is_enabled && !self.interrupts.faults.no_int_asserted {
            value |= icr::INT_ASSERTED;
        }
        if self.interrupts.faults.icr_reads_zero && self.is_msi_x() {
            self.set(ICR, 0);
            return 0;
        }
        // GPIE.NSICR: every read clears.
        let always =
            is_8254x || self.traits.interrupting == Interrupting::I82576 && self.get(GPIE) & 1 != 0;
        let clears = always || self.get(IMS) == 0 || is_enabled;
        if clears && !(self.interrupts.faults.icr_keeps && self.get(IMS) != 0) {
            self.set(ICR, 0);
        }
        let masks = self.traits.is_advanced() || self.get(CTRL_EXT) & ctrl_ext::IAME != 0;
        if !is_8254x && masks && is_enabled && !self.interrupts.faults.no_auto_mask {
            self.clear(IMS, self.get(IAM));
        }
        self.update_interrupt();
        value
    }

    /// What one of the interrupt's registers reads as.
    pub(crate) fn read_interrupt(&mut self, register: u32) -> Option<u32> {
        match register {
            EICR if self.traits.is_advanced() => {
                let value = self.get(EICR);
                self.set(EICR, 0);
                Some(value)
            }
            // Written only.
            ICS | IMC => Some(0),
            _ => None,
        }
    }

    /// Whether it was one of the interrupt's registers.
    pub(crate) fn write_interrupt(&mut self, register: u32, value: u32) -> bool {
        let is_advanced = self.traits.is_advanced();
        match register {
            ICR => self.clear(ICR, value & !icr::INT_ASSERTED),
            ICS => {
                self.raise(value);
                return true;
            }
            IMS => {
                let newly = value & !self.get(IMS);
                let all = self.get(IMS) | value;
                self.set(IMS, all);
                if self.traits.interrupting == Interrupting::I82574 && self.is_msi_x() {
                    let pending = self.get(ICR) & newly;
                    self.send_82574(pending);
                    return true;
                }
            }
            IMC => self.clear(IMS, value),
            IVAR => {
                let kept = value & !self.interrupts.faults.ivar_drops;
                self.set(IVAR, kept);
                return true;
            }
            EICS if is_advanced => {
                self.raise_vectors(value);
                return true;
            }
            EIMS if is_advanced => {
                let newly = value & !self.get(EIMS);
                let all = self.get(EIMS) | value;
                self.set(EIMS, all);
                if self.is_msi_x() {
                    let pending = self.get(EICR) & newly;
                    self.raise_vectors(pending);
                }
                return true;
            }
            EIMC if is_advanced => {
                self.clear(EIMS, value);
                return true;
            }
            EICR if is_advanced => {
                self.clear(EICR, value);
                return true;
            }
            _ => return false,
        }
        self.update_interrupt();
        true
    }
}
