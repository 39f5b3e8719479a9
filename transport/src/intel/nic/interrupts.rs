//! Interrupts of a controller: from polled to a mode that works, and back to sleep.

mod table;
mod unusable;

use core::time::Duration;

use super::Nic;
use super::part::Part;
use super::watch::InterruptWatch;
use crate::hal::{Hal, wait_until};
use crate::intel::interrupt::{
    self, Acknowledger, Cause, Design, InterruptError, Line, Mask, Mode, read_and_clear,
};
use crate::intel::registers::STATUS;
use crate::pci::{self, ConfigSpace, Message, MessageError, Msi};

use table::Table;
use unusable::Unusable;

/// How long an interrupt may take to reach its handler before it counts as lost.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

/// What was set up, and what watching it needs to know.
pub(super) struct Interrupts<H: Hal> {
    pub(super) line: Option<&'static Line>,
    pub(super) mode: Mode,
    message: Option<Message>,
    spacing: Duration,
    /// Where the MSI-X table is mapped.
    table: Option<Table<H>>,
    /// What the last [`rearm`](Nic::rearm) let through.
    pub(super) mask: Mask,
}

impl<H: Hal> Interrupts<H> {
    pub(super) const fn new(spacing: Duration) -> Self {
        let mask = Mask { causes: 0, vectors: 0 };
        Self { line: None, mode: Mode::Polled, message: None, spacing, table: None, mask }
    }
}

impl<H: Hal + Clone, C: ConfigSpace> Nic<H, C> {
    /// What the hosting kernel's handler calls. It counts in `line`, a `static` for this
    /// controller alone; a handle of an earlier call with another line no longer works.
    ///
    /// Install it before [`enable_interrupts`](Self::enable_interrupts), for the line and for the
    /// message: whatever mode is in use, the handler is the same.
    pub fn acknowledger(&mut self, line: &'static Line) -> Acknowledger<H> {
        line.use_mode(self.interrupts.mode);
        self.interrupts.line = Some(line);
        let reach = self.part.registers.reach(line.gate());
        Acknowledger::new(reach, line, self.design())
    }

    /// Makes the controller interrupt as `wanted`, or as well as it can: MSI-X falls back to MSI,
    /// that to the line, and that to being polled. Returns the mode in use.
    ///
    /// A mode is in use when an interrupt made by software has reached the handler within
    /// 100 ms: the processor that handles it must take interrupts meanwhile. With no `message`,
    /// only the line can be used. May be called again, to change the mode or the message.
    ///
    /// # Errors
    /// [`InterruptError`]; the controller is polled then.
    pub fn enable_interrupts(
        &mut self,
        wanted: Mode,
        message: Option<Message>,
    ) -> Result<Mode, InterruptError> {
        let address = self.part.address;
        if !self.watchdog.is_running() {
            return Err(InterruptError::Gone { address });
        }
        self.interrupts.message = message;
        self.watchdog.interrupts = InterruptWatch::default();
        self.use_mode(Mode::Polled);
        if wanted == Mode::Polled {
            return Ok(Mode::Polled);
        }
        let Some(line) = self.interrupts.line else {
            return Err(InterruptError::NoHandler { address });
        };
        let mut mode = wanted;
        while mode != Mode::Polled {
            match self.program(mode) {
                Err(why) => self.say_unusable(mode, &why),
                Ok(()) => {
                    let before = line.interrupts();
                    line.write_back(false);
                    self.let_through();
                    self.design().kick(&self.part.registers, mode);
                    self.part.registers.flush();
                    let came = || line.interrupts() != before;
                    if wait_until(&self.part.hal, PATIENCE, came) {
                        // What the handler left of it shows whether reading clears.
                        let left = read_and_clear(&self.part.registers);
                        line.write_back(self.design().was_kicked(mode, left));
                        self.let_through();
                        return Ok(mode);
                    }
                    self.say_unusable(mode, &Unusable::Silent);
                }
            }
            mode = mode.next();
        }
        self.use_mode(Mode::Polled);
        if self.part.registers.read(STATUS) == u32::MAX {
            return Err(InterruptError::Gone { address });
        }
        Ok(Mode::Polled)
    }

    /// How it interrupts now, after what [`enable_interrupts`](Self::enable_interrupts) or the
    /// watchdog fell back to.
    #[must_use]
    pub const fn interrupt_mode(&self) -> Mode {
        self.interrupts.mode
    }

    /// Lets the next interrupt through, once the rings were drained and before sleeping; says
    /// whether something waits already, in which case: do not sleep, poll.
    ///
    /// What came between the last poll and this call is either seen by the look at the ring
    /// here, or raises its interrupt. One register write; none when polled.
    pub fn rearm(&mut self) -> bool {
        if let Some(mask) = self.arm() {
            self.design().unmask_again(&self.part.registers, mask);
        }
        let waits = self.receive.peek().is_some();
        if !waits {
            self.watchdog.interrupts.sleeps();
        }
        waits
    }

    /// As [`rearm`](Self::rearm), whatever was masked and why; the host does not sleep.
    pub(super) fn let_through(&mut self) {
        if let Some(mask) = self.arm() {
            self.design().unmask(&self.part.registers, mask);
        }
    }

    /// Tells the handler what is about to be let through.
    fn arm(&mut self) -> Option<Mask> {
        let mode = self.interrupts.mode;
        let line = self.interrupts.line.filter(|_| mode != Mode::Polled)?;
        // What has left is news only to who waits for room.
        let is_full = !self.transmit.has_room();
        let mask = self.design().mask(mode, is_full);
        self.interrupts.mask = mask;
        line.arm(mask.causes);
        Some(mask)
    }

    /// Reads and clears the causes of an interrupt, where no handler can run: a kernel with a
    /// handler calls [`Acknowledger::acknowledge`] there.
    pub fn acknowledge(&self) -> Cause {
        match self.interrupts.line {
            Some(line) if self.interrupts.mode != Mode::Polled => {
                interrupt::acknowledge(&self.part.registers, line, self.design())
            }
            _ => read_and_clear(&self.part.registers),
        }
    }

    pub(super) const fn design(&self) -> Design {
        self.part.model.family.quirks().interrupts
    }

    /// Sets a mode up, everything masked; polled when it cannot be.
    pub(super) fn program(&mut self, mode: Mode) -> Result<(), Unusable> {
        self.use_mode(Mode::Polled);
        let design = self.design();
        if !design.offers(mode) {
            return Err(Unusable::NotOffered);
        }
        let part = &self.part;
        let (config, address) = (&part.config, part.address);
        design.program(&part.registers, mode, self.interrupts.spacing);
        match (mode, self.interrupts.message) {
            (Mode::Polled, _) => {}
            (Mode::Intx, _) => pci::enable_interrupt_line(config, address),
            (Mode::Msi | Mode::Msix, None) => return Err(Unusable::NoMessage),
            (Mode::Msi, Some(message)) => {
                let msi = Msi::of(config, address).ok_or(MessageError::NoCapability)?;
                pci::disable_interrupt_line(config, address);
                msi.enable(config, address, message)?;
            }
            (Mode::Msix, Some(message)) => {
                let table = self.interrupts.table.take();
                let table = Table::write(part, table, message)?;
                pci::disable_interrupt_line(config, address);
                self.interrupts.table = Some(table);
            }
        }
        self.use_line_mode(mode);
        // Also makes posted writes reach the part and its table before they are used.
        match self.fault() {
            Some(what) => {
                self.use_mode(Mode::Polled);
                Err(Unusable::Refused(what))
            }
            None => Ok(()),
        }
    }

    /// What of the set-up of the mode in use is no longer there.
    pub(super) fn fault(&self) -> Option<&'static str> {
        let Interrupts { mode, message, table, .. } = &self.interrupts;
        let part = &self.part;
        let (config, address) = (&part.config, part.address);
        if let Some(register) = self.design().fault(&part.registers, *mode) {
            return Some(register.name());
        }
        match (mode, message) {
            (Mode::Intx, _) if !pci::is_interrupt_line_enabled(config, address) => {
                Some("interrupt line")
            }
            (Mode::Msi, Some(message)) => match Msi::of(config, address) {
                Some(msi) => msi.fault(config, address, *message),
                None => Some("MSI capability"),
            },
            (Mode::Msix, Some(message)) => match table {
                Some(table) => table.fault(part, *message),
                None => Some("MSI-X table"),
            },
            _ => None,
        }
    }

    /// Polled: masked, messages off. Other modes: known to the handler.
    pub(super) fn use_mode(&mut self, mode: Mode) {
        if mode == Mode::Polled && self.interrupts.mode != Mode::Polled {
            self.design().silence(&self.part.registers);
            pci::disable_message_interrupts(&self.part.config, self.part.address);
        }
        self.use_line_mode(mode);
    }

    fn use_line_mode(&mut self, mode: Mode) {
        self.interrupts.mode = mode;
        self.interrupts.mask = Mask::default();
        if let Some(line) = self.interrupts.line {
            line.use_mode(mode);
        }
    }

    pub(super) fn say_unusable(&self, mode: Mode, why: &Unusable) {
        let Part { model, address, .. } = &self.part;
        log::warn!("{} {address}: {mode} cannot be used: {why}", model.name);
    }
}
