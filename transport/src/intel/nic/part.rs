//! The controller without its rings: take-over, reset, hand-back.

mod flush;
mod reset;

use core::cell::Cell;
use core::time::Duration;

use super::error::{AttachError, DetachError, Step};
use crate::hal::{Hal, wait_until};
use crate::intel::family::{DriverLoaded, Eeprom, Lock, Quirks};
use crate::intel::ids::{Model, Refused};
use crate::intel::registers::{
    CTRL_EXT, FWSM, MTA, Mapping, RAH0, RAL0, RDBAH, RDBAL, RDLEN, Register, STATUS, SWSM, TDBAH,
    TDBAL, TDLEN, WINDOW, ctrl_ext, fwsm, swsm,
};
use crate::intel::{nvm, semaphore};
use crate::pci::{self, ConfigSpace, PciAddress, PciFunction, SavedBars};
use reset::Reset;

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
    /// When registers could be used after the latest reset; where flash is read after that, when
    /// that began.
    reset_ended: Cell<Duration>,
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
        let Some(mut registers) = Mapping::new(hal.clone(), bar.address, WINDOW) else {
            return Err(AttachError::Unmapped { address, bus_address: bar.address });
        };
        let firmware_runs = registers.read(FWSM) & fwsm::FW_VALID != 0;
        if model.family.quirks().firmware_holds_registers && firmware_runs {
            registers.arbitrate();
        }
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
            reset_ended: Cell::new(Duration::ZERO),
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
        if matches!(quirks.lock, Lock::Swsm | Lock::SwFwSync) {
            semaphore::forget_stale(&self.hal, &self.registers, quirks.elects);
        }
        self.wake_phy();
        self.reset(Reset::TakeOver)?;
        pci::disable_bus_master(config, address);
        Ok(())
    }

    pub(super) fn mac_address(&self) -> Result<[u8; 6], AttachError> {
        let (address, quirks) = (self.address, self.quirks());
        if nvm::loaded_address(&self.registers).is_none() {
            self.await_flash();
        }
        if let Some(mac) = nvm::mac_address(&self.hal, &self.registers, quirks) {
            return Ok(mac);
        }
        // All ones are no address, and no fault of the EEPROM's.
        self.alive(Step::ReadEeprom)?;
        Err(match quirks.eeprom {
            Eeprom::ChipsetFlash => AttachError::MacInChipset { address },
            _ => AttachError::NoMac { address },
        })
    }

    /// Our address in the first receive address register, none in the others that are ours; the
    /// tables empty.
    pub(super) fn program_addresses(&self, mac: [u8; 6]) {
        const VALID: u32 = 1 << 31;
        let [a, b, c, d, e, f] = mac;
        self.registers.write(RAL0, u32::from_le_bytes([a, b, c, d]));
        self.registers.flush();
        self.registers.write(RAH0, u32::from_le_bytes([e, f, 0, 0]) | VALID);
        let Quirks { receive_addresses, spare_receive_address, multicast_words, .. } =
            *self.quirks();
        for index in 1..receive_addresses {
            self.registers.write(RAL0.nth(index, 8), 0);
            self.registers.write(RAH0.nth(index, 8), 0);
        }
        if spare_receive_address {
            let last = receive_addresses.saturating_sub(1);
            self.registers.write(RAL0.nth(last, 8), u32::from_le_bytes([a, b, c, d]));
            self.registers.write(RAH0.nth(last, 8), u32::from_le_bytes([e, f, 0, 0]) | VALID);
        }
        for index in 0..multicast_words {
            self.registers.write(MTA.nth(index, 4), 0);
        }
    }

    /// Tells firmware that a driver owns the part.
    pub(super) fn claim(&self) {
        self.tell_firmware(true);
    }

    fn tell_firmware(&self, is_loaded: bool) {
        let (register, bit) = match self.quirks().driver_loaded {
            DriverLoaded::Nowhere => return,
            DriverLoaded::CtrlExt => (CTRL_EXT, ctrl_ext::DRV_LOAD),
            DriverLoaded::Swsm => (SWSM, swsm::DRV_LOAD),
        };
        self.registers.update(register, bit, if is_loaded { bit } else { 0 });
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
            // Some parts must not be touched while they reset.
            self.registers.shut_handlers_out();
            let result = self.reset(Reset::HandBack);
            for register in [RDLEN, RDBAL, RDBAH, TDLEN, TDBAL, TDBAH] {
                self.registers.write(register, 0);
            }
            self.tell_firmware(false);
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

    pub(super) fn quirks(&self) -> &'static Quirks {
        self.model.family.quirks()
    }

    /// Time since the latest reset.
    pub(super) fn since_reset(&self) -> Duration {
        self.hal.now().saturating_sub(self.reset_ended.get())
    }

    /// Whether the part has read from its flash what the PHY needs: before that neither may be
    /// touched. Everything else may.
    pub(super) fn has_read_flash(&self) -> bool {
        self.since_reset() >= self.quirks().flash_wait
    }

    /// Waits until it has.
    pub(super) fn await_flash(&self) {
        let left = self.quirks().flash_wait.saturating_sub(self.since_reset());
        if !left.is_zero() {
            self.hal.wait(left);
        }
    }

    /// Waits until `register` is as `wanted`.
    pub(super) fn await_register(
        &self,
        step: Step,
        register: Register,
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

/// The function at this address, when this driver serves it.
pub(super) fn served<C: ConfigSpace>(
    config: &C,
    address: PciAddress,
) -> Result<&'static Model, AttachError> {
    let function = PciFunction::at(config, address).ok_or(AttachError::Absent { address })?;
    let PciFunction { vendor_id, device_id, .. } = function;
    if let Some(part) = Refused::find(vendor_id, device_id) {
        return Err(AttachError::Refused { address, part });
    }
    let unsupported = AttachError::Unsupported { address, vendor_id, device_id };
    Model::find(vendor_id, device_id).ok_or(unsupported)
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
