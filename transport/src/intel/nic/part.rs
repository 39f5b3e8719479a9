//! The controller without its rings: take-over, reset, hand-back.

use core::time::Duration;

use super::error::{AttachError, DetachError, Step};
use super::identify::served;
use crate::hal::{Hal, wait_until};
use crate::intel::family::{DriverLoaded, EepromDone, Lock, Quirks};
use crate::intel::ids::Model;
use crate::intel::nvm;
use crate::intel::registers::{
    CTRL, CTRL_EXT, EECD, EXTCNF_CTRL, GCR, GCR2, MANC, Mapping, RAH0, RAL0, RCTL, RDBAH, RDBAL,
    RDLEN, STATUS, TCTL, TDBAH, TDBAL, TDLEN, WINDOW, ctrl, ctrl_ext, eecd, extcnf_ctrl, manc,
    rctl, status, tctl,
};
use crate::pci::{self, ConfigSpace, PciAddress, SavedBars};

/// A mapped controller. Dropping it stops it.
pub(super) struct Part<H: Hal + Clone, C: ConfigSpace> {
    pub(super) hal: H,
    pub(super) config: C,
    pub(super) address: PciAddress,
    pub(super) model: &'static Model,
    pub(super) registers: Mapping<H>,
    /// Where its windows are, should it forget them.
    windows: SavedBars,
    line_was_enabled: bool,
    stopped: bool,
}

impl<H: Hal + Clone, C: ConfigSpace> Part<H, C> {
    /// Finds the part, stops what firmware left running and resets it. No memory is allocated
    /// before that: firmware's rings may lie anywhere.
    pub(super) fn take_over(hal: H, config: C, address: PciAddress) -> Result<Self, AttachError> {
        let model = served(&config, address)?;
        if pci::power_on(&config, address) {
            hal.wait(Duration::from_millis(10));
        }
        let bar = pci::memory_bar(&config, address, 0)
            .map_err(|error| AttachError::Bar { address, error })?;
        pci::enable_memory(&config, address);
        let Some(registers) = Mapping::new(hal.clone(), bar.address, WINDOW) else {
            return Err(AttachError::Unmapped { address, bus_address: bar.address });
        };
        let windows = SavedBars::of(&config, address);
        let line_was_enabled = pci::is_interrupt_line_enabled(&config, address);
        let part = Self {
            hal,
            config,
            address,
            model,
            registers,
            windows,
            line_was_enabled,
            stopped: false,
        };
        part.make_quiet()?;
        Ok(part)
    }

    /// Takes a part over again that stopped working under us: wakes it up, gives it back the
    /// windows it may have lost, stops and resets it.
    pub(super) fn take_over_again(&self) -> Result<(), AttachError> {
        let (config, address) = (&self.config, self.address);
        if pci::power_on(config, address) {
            self.hal.wait(Duration::from_millis(10));
        }
        self.windows.restore(config, address);
        pci::enable_memory(config, address);
        self.make_quiet()
    }

    /// Stops what runs, resets the part, and cuts it off from memory.
    fn make_quiet(&self) -> Result<(), AttachError> {
        let (config, address, quirks) = (&self.config, self.address, self.quirks());
        self.alive(Step::Identify)?;
        pci::disable_message_interrupts(config, address);
        if quirks.link_power_states_off != 0 {
            pci::disable_link_power_states(config, address, quirks.link_power_states_off);
        }
        self.quiesce();
        self.alive(Step::Quiesce)?;
        self.reset()?;
        pci::disable_bus_master(config, address);
        Ok(())
    }

    pub(super) fn mac_address(&self) -> Result<[u8; 6], AttachError> {
        nvm::mac_address(&self.hal, &self.registers)
            .ok_or(AttachError::NoMac { address: self.address })
    }

    /// Our address in the first receive address register, none in the others.
    pub(super) fn program_addresses(&self, mac: [u8; 6]) {
        const VALID: u32 = 1 << 31;
        let [a, b, c, d, e, f] = mac;
        self.registers.write(RAL0, u32::from_le_bytes([a, b, c, d]));
        self.registers.flush();
        self.registers.write(RAH0, u32::from_le_bytes([e, f, 0, 0]) | VALID);
        for index in 1..self.quirks().receive_addresses {
            self.registers.write(RAL0.nth(index, 8), 0);
            self.registers.write(RAH0.nth(index, 8), 0);
        }
    }

    /// Tells firmware that a driver owns the part.
    pub(super) fn claim(&self) {
        if self.quirks().driver_loaded == DriverLoaded::CtrlExt {
            self.registers.update(CTRL_EXT, 0, ctrl_ext::DRV_LOAD);
        }
    }

    /// # Errors
    /// [`AttachError::Gone`] when the registers read as all ones.
    pub(super) fn alive(&self, step: Step) -> Result<(), AttachError> {
        if self.registers.read(STATUS) == u32::MAX {
            return Err(AttachError::Gone { address: self.address, step });
        }
        Ok(())
    }

    /// Stops the part and hands it back quiet. Bus mastering is off in any case.
    pub(super) fn stop(&mut self) -> Result<(), DetachError> {
        self.stopped = true;
        let result = if self.registers.read(STATUS) == u32::MAX {
            Err(DetachError { address: self.address, register: STATUS, value: u32::MAX })
        } else {
            self.quiesce();
            pci::disable_message_interrupts(&self.config, self.address);
            if self.line_was_enabled {
                pci::enable_interrupt_line(&self.config, self.address);
            }
            let result = self.reset();
            for register in [RDLEN, RDBAL, RDBAH, TDLEN, TDBAL, TDBAH] {
                self.registers.write(register, 0);
            }
            if self.quirks().driver_loaded == DriverLoaded::CtrlExt {
                self.registers.update(CTRL_EXT, ctrl_ext::DRV_LOAD, 0);
            }
            result.map_err(|error| {
                let (register, value) = match error {
                    AttachError::Stuck { register, value, .. } => (register, value),
                    _ => (STATUS, u32::MAX),
                };
                DetachError { address: self.address, register, value }
            })
        };
        pci::disable_bus_master(&self.config, self.address);
        result
    }

    fn quirks(&self) -> &'static Quirks {
        self.model.family.quirks()
    }

    /// Masks interrupts, stops both directions and lets bus requests drain. Bus mastering stays
    /// as found: requests under way must be able to end.
    fn quiesce(&self) {
        let registers = &self.registers;
        self.quirks().interrupts.silence(registers);
        let receiving = registers.read(RCTL) & rctl::EN != 0;
        let transmitting = registers.read(TCTL) & tctl::EN != 0;
        if receiving && !self.quirks().keep_receiver_until_reset {
            registers.write(RCTL, 0);
        }
        registers.write(TCTL, tctl::PSP);
        registers.flush();
        if receiving || transmitting {
            self.hal.wait(Duration::from_millis(10));
        }
        if self.quirks().express {
            registers.update(CTRL, 0, ctrl::MASTER_DISABLE);
            // A part that does not drain is reset all the same.
            let _ = wait_until(&self.hal, Duration::from_millis(80), || {
                registers.read(STATUS) & status::MASTER_ENABLED == 0
            });
        }
    }

    /// Resets the part and brings back what a reset must, with both directions off.
    fn reset(&self) -> Result<(), AttachError> {
        let registers = &self.registers;
        let quirks = self.quirks();
        if quirks.reset_lock == Lock::MdioOwnership {
            self.own_management_bus();
        }
        registers.update(CTRL, 0, ctrl::RST);
        self.hal.wait(quirks.reset_wait);
        self.await_register(Step::Reset, CTRL, Duration::from_millis(100), |value| {
            value & ctrl::RST == 0
        })?;
        if quirks.reload_eeprom {
            registers.update(CTRL_EXT, 0, ctrl_ext::EE_RST);
            self.hal.wait(Duration::from_millis(2));
        }
        if quirks.eeprom_done != EepromDone::Silent {
            // Not fatal on these parts: some never say so.
            let limit = Duration::from_millis(10);
            let done = |value| value & eecd::AUTO_RD != 0;
            if let Err(error @ AttachError::Gone { .. }) =
                self.await_register(Step::ReadEeprom, EECD, limit, done)
            {
                return Err(error);
            }
        }
        if !quirks.flash_wait.is_zero() {
            self.hal.wait(quirks.flash_wait);
        }
        if quirks.reset_lock == Lock::MdioOwnership {
            registers.update(EXTCNF_CTRL, extcnf_ctrl::MDIO_SW_OWNERSHIP, 0);
        }
        quirks.interrupts.silence(registers);
        // Not every model resets these.
        if registers.read(RCTL) & rctl::EN != 0 {
            registers.write(RCTL, 0);
        }
        registers.write(TCTL, tctl::PSP);
        registers.update(CTRL, ctrl::MASTER_DISABLE, 0);
        registers.update(MANC, manc::ARP_EN, 0);
        let (clear, set) = quirks.ctrl_ext;
        if (clear, set) != (0, 0) {
            registers.update(CTRL_EXT, clear, set);
        }
        let (clear, set) = quirks.gcr;
        if (clear, set) != (0, 0) {
            registers.update(GCR, clear, set);
        }
        if quirks.gcr2_set != 0 {
            registers.update(GCR2, 0, quirks.gcr2_set);
        }
        self.alive(Step::Reset)
    }

    /// Takes the PHY's management bus from firmware; a reset in the middle of a transfer would
    /// hang it. Resets all the same when firmware does not let go.
    fn own_management_bus(&self) {
        const OWN: u32 = extcnf_ctrl::MDIO_SW_OWNERSHIP;
        for _ in 0..10 {
            self.registers.update(EXTCNF_CTRL, 0, OWN);
            if self.registers.read(EXTCNF_CTRL) & OWN != 0 {
                return;
            }
            self.hal.wait(Duration::from_millis(2));
        }
        log::warn!("{} {}: firmware holds the PHY's bus", self.model.name, self.address);
    }

    fn await_register(
        &self,
        step: Step,
        register: crate::intel::registers::Register,
        limit: Duration,
        wanted: impl Fn(u32) -> bool,
    ) -> Result<(), AttachError> {
        let mut value = 0;
        let done = wait_until(&self.hal, limit, || {
            value = self.registers.read(register);
            value != u32::MAX && wanted(value)
        });
        let address = self.address;
        match value {
            _ if done => Ok(()),
            u32::MAX => Err(AttachError::Gone { address, step }),
            value => Err(AttachError::Stuck { address, step, register, value, waited: limit }),
        }
    }
}

impl<H: Hal + Clone, C: ConfigSpace> Drop for Part<H, C> {
    fn drop(&mut self) {
        if !self.stopped
            && let Err(error) = self.stop()
        {
            log::warn!("{error}");
        }
    }
}
