//! How the controller made of memory interrupts: causes and masks as the datasheets have them,
//! messages, the MSI-X table, and a hosting kernel that runs the handler when it waits.

use isboot_transport::intel::interrupt::{Acknowledger, Cause, icr};
use isboot_transport::intel::registers::{
    CTRL_EXT, EIAC, IAM, ICR, ICS, IMC, IMS, IVAR, Register, ctrl_ext,
};
use isboot_transport::pci::Message;

use super::{Machine, State};

/// The MSI-X table, as the bus sees it: window 3.
pub(crate) const TABLE: u64 = 0xfebb_0000;
/// Vectors of the 82574.
pub(crate) const VECTORS: usize = 5;
/// What the hosting kernel made up.
pub(crate) const MESSAGE: Message = Message { address: 0xfee0_0000, data: 0x41 };

/// Where the capabilities of the 82574 are, as in QEMU.
pub(crate) mod at {
    pub(crate) const POWER: u16 = 0xc8;
    pub(crate) const MSI: u16 = 0xd0;
    pub(crate) const MSI_X: u16 = 0xa0;
}

/// What goes wrong with interrupts; nothing, by default.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// MSI-X messages leave and never arrive.
    pub(crate) msi_x_dead: bool,
    /// MSI messages leave and never arrive.
    pub(crate) msi_dead: bool,
    /// The line is connected to nothing.
    pub(crate) line_dead: bool,
    /// So many interrupts, from now on, never arrive.
    pub(crate) lost: u32,
    /// ICR reads as zero in MSI-X mode, as on VMware's model after a link change.
    pub(crate) icr_reads_zero: bool,
    /// Reading ICR clears nothing.
    pub(crate) icr_keeps: bool,
    /// INT_ASSERTED never shows.
    pub(crate) no_int_asserted: bool,
    /// Nothing masks itself, as on QEMU's models.
    pub(crate) no_auto_mask: bool,
    /// IVAR keeps only these bits of what is written.
    pub(crate) ivar_drops: u32,
}

#[derive(Default)]
pub(crate) struct Interrupts {
    handler: Option<Acknowledger<Machine>>,
    pub(crate) faults: Faults,
    /// Messages that were sent and not handled.
    messages: u32,
    /// Whether an enabled cause was pending when last looked.
    was_raised: bool,
    pub(crate) table: [[u32; 4]; VECTORS],
    /// Calls of the handler, and what the last one said.
    pub(crate) handled: u32,
    pub(crate) last: Cause,
    /// Register accesses of all calls of the handler.
    pub(crate) accesses: u64,
}

impl Machine {
    /// What the hosting kernel's handler calls.
    pub(crate) fn install(&self, acknowledger: Acknowledger<Self>) {
        self.state_mut().interrupts.handler = Some(acknowledger);
    }

    /// Runs the handler while an interrupt is pending; says how often that was. A line that
    /// never falls fails the test.
    pub(crate) fn interrupts(&self) -> u32 {
        for count in 0..100 {
            if !self.state_mut().take_interrupt() {
                return count;
            }
            self.handle();
        }
        panic!("the interrupt is never acknowledged");
    }

    /// Calls the handler, as for another device on the same line.
    pub(crate) fn handle(&self) -> Cause {
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
    pub(crate) fn raise(&self, causes: u32) {
        self.state_mut().raise(causes);
    }

    pub(crate) fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.state_mut().interrupts.faults);
    }
}

impl State {
    pub(super) fn interrupt_power_on(&mut self) {
        // Every vector of a function that was reset is masked (PCI Local Bus 3.0 §6.8.2.9).
        self.interrupts.table = [[0, 0, 0, 1]; VECTORS];
        self.interrupts.was_raised = false;
    }

    fn is_msi_x(&self) -> bool {
        self.is_82574() && self.config[usize::from(at::MSI_X) / 4] & 1 << 31 != 0
    }

    fn is_msi(&self) -> bool {
        self.is_82574() && self.config[usize::from(at::MSI) / 4] & 1 << 16 != 0
    }

    fn is_82574(&self) -> bool {
        self.behaviour.device_id == 0x10d3
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
        let is_line_off = self.config[1] & 1 << 10 != 0;
        let is_raised = self.get(ICR) & self.get(IMS) != 0;
        let is_message = self.is_msi() || self.is_msi_x();
        is_raised && !is_message && !is_line_off && !self.interrupts.faults.line_dead
    }

    pub(super) fn raise(&mut self, mut causes: u32) {
        if self.is_82574() {
            // Queue and other causes show besides their legacy ones.
            if causes & (icr::RXT0 | icr::RXDMT0) != 0 {
                causes |= icr::RXQ0;
            }
            if causes & (icr::LSC | icr::RXO | icr::RXSEQ) != 0 {
                causes |= icr::OTHER;
            }
        }
        let all = self.get(ICR) | causes;
        self.set(ICR, all);
        if self.is_msi_x() {
            self.send_msi_x(causes);
        } else {
            self.update_interrupt();
        }
    }

    /// MSI is like an edge: sent when an enabled cause becomes pending.
    fn update_interrupt(&mut self) {
        let is_raised = self.get(ICR) & self.get(IMS) != 0;
        if is_raised && !self.interrupts.was_raised && self.is_msi() {
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

    /// Each newly pending cause that is enabled, by its entry of IVAR.
    fn send_msi_x(&mut self, causes: u32) {
        let entries = [icr::RXQ0, icr::RXQ1, icr::TXQ0, icr::TXQ1, icr::OTHER];
        for (entry, cause) in entries.into_iter().enumerate() {
            if causes & self.get(IMS) & cause == 0 {
                continue;
            }
            let route = self.get(IVAR) >> (4 * entry);
            let vector = (route & 7) as usize;
            let is_masked = self.config[usize::from(at::MSI_X) / 4] & 1 << 30 != 0
                || self.interrupts.table.get(vector).is_none_or(|entry| entry[3] & 1 != 0);
            if route & 8 != 0 && !is_masked {
                let [low, high, data, _] = self.interrupts.table[vector];
                let goes_astray = (u64::from(low) | u64::from(high) << 32, data)
                    != (MESSAGE.address, MESSAGE.data);
                self.message(goes_astray || self.interrupts.faults.msi_x_dead);
            }
            // Cleared and masked even when no message left.
            if self.get(EIAC) & cause != 0 {
                let left = self.get(ICR) & !cause;
                self.set(ICR, left);
                let left = self.get(IMS) & !cause;
                self.set(IMS, left);
            }
            let masks = self.get(CTRL_EXT) & ctrl_ext::EIAME != 0;
            if masks && !self.interrupts.faults.no_auto_mask {
                let left = self.get(IMS) & !self.get(IAM);
                self.set(IMS, left);
            }
        }
    }

    pub(super) fn read_icr(&mut self) -> u32 {
        let causes = self.get(ICR);
        let is_enabled = causes & self.get(IMS) != 0;
        let mut value = causes;
        if self.is_82574() && is_enabled && !self.interrupts.faults.no_int_asserted {
            value |= icr::INT_ASSERTED;
        }
        if self.interrupts.faults.icr_reads_zero && self.is_msi_x() {
            self.set(ICR, 0);
            return 0;
        }
        let clears = !self.is_82574() || self.get(IMS) == 0 || is_enabled;
        if clears && !(self.interrupts.faults.icr_keeps && self.get(IMS) != 0) {
            self.set(ICR, 0);
        }
        let masks = self.is_82574() && self.get(CTRL_EXT) & ctrl_ext::IAME != 0 && is_enabled;
        if masks && !self.interrupts.faults.no_auto_mask {
            let left = self.get(IMS) & !self.get(IAM);
            self.set(IMS, left);
        }
        self.update_interrupt();
        value
    }

    /// Whether it was one of the interrupt's registers.
    pub(super) fn write_interrupt(&mut self, register: Register, value: u32) -> bool {
        match register {
            ICR => {
                let left = self.get(ICR) & !value;
                self.set(ICR, left);
            }
            ICS => {
                self.raise(value);
                return true;
            }
            IMS => {
                let newly = value & !self.get(IMS);
                let all = self.get(IMS) | value;
                self.set(IMS, all);
                if self.is_msi_x() {
                    let pending = self.get(ICR) & newly;
                    self.send_msi_x(pending);
                    return true;
                }
            }
            IMC => {
                let left = self.get(IMS) & !value;
                self.set(IMS, left);
            }
            IVAR => {
                let kept = value & !self.interrupts.faults.ivar_drops;
                self.set(IVAR, kept);
                return true;
            }
            _ => return false,
        }
        self.update_interrupt();
        true
    }
}
