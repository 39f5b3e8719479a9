//! Stopping what runs, and the reset, in the order that every family can bear.

use core::time::Duration;

use super::{AttachError, Part, Step};
use crate::hal::{Hal, wait_until};
use crate::intel::descriptor::Format;
use crate::intel::family::{Eeprom, EepromDone, PhyBus, PhyCare, PhyReset, Quirks, ResetBy, Veto};
use crate::intel::ids::Media;
use crate::intel::nic::queue;
use crate::intel::nvm;
use crate::intel::phy::chipset::wake;
use crate::intel::registers::{
    CRC_OFFSET, CTRL, CTRL_DUP, CTRL_EXT, EECD, EEMNGCTL, FWSM, GCR, GCR2, IOSFPC, KABGTXD, MANC,
    PBA, PBS, RCTL, STATUS, TCTL, ctrl, ctrl_ext, eecd, eemngctl, fwsm, iosfpc, kabgtxd, manc,
    rctl, status, tctl,
};
use crate::intel::semaphore::{self, Resource};
use crate::pci::{self, ConfigSpace};

/// What a reset is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reset {
    /// To use the part.
    TakeOver,
    /// To leave it to somebody else, its link up if it is.
    HandBack,
}

impl<H: Hal + Clone, C: ConfigSpace> Part<H, C> {
    /// Masks interrupts, stops both directions and lets bus requests drain. Bus mastering stays
    /// as found: requests under way must be able to end.
    pub(super) fn quiesce(&self) {
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
        if self.quirks().format == Format::Advanced {
            queue::stop(self);
        }
        if self.quirks().express {
            self.drain();
        }
    }

    /// Lets bus requests end and allows no new ones. A part that does not drain is reset all the
    /// same.
    pub(super) fn drain(&self) {
        const LIMIT: Duration = Duration::from_millis(80);
        let registers = &self.registers;
        // A reset that never ended is not begun again by the way.
        registers.update(CTRL, ctrl::RST, ctrl::MASTER_DISABLE);
        let _ =
            wait_until(&self.hal, LIMIT, || registers.read(STATUS) & status::MASTER_ENABLED == 0);
    }

    /// Resets the part and brings back what a reset must, with both directions off.
    pub(super) fn reset(&self, purpose: Reset) -> Result<(), AttachError> {
        let registers = &self.registers;
        let quirks = self.quirks();
        let flushed = self.flush_queues();
        self.share_packet_memory(quirks);
        let with_phy = purpose == Reset::TakeOver && self.must_reset_phy(quirks);
        // A reset in the middle of a transfer would hang the PHY's bus. It is done all the same
        // when firmware does not let go.
        let held = self.hold_for_reset(quirks);
        if with_phy && quirks.phy_reset == PhyReset::Before {
            registers.update(CTRL, 0, ctrl::PHY_RST);
            registers.flush();
            self.hal.wait(Duration::from_millis(5));
        }
        let together = with_phy && quirks.phy_reset == PhyReset::Together;
        self.write_reset(quirks, if together { ctrl::PHY_RST } else { 0 });
        self.await_register(Step::Reset, CTRL, Duration::from_millis(100), |value| {
            value & ctrl::RST == 0
        })?;
        drop(flushed);
        self.reset_ended.set(self.hal.now());
        self.await_eeprom(quirks)?;
        if purpose == Reset::HandBack {
            // The next owner need not know.
            self.await_flash();
        }
        drop(held);
        quirks.interrupts.silence(registers);
        // Not every model resets these.
        if registers.read(RCTL) & rctl::EN != 0 {
            registers.write(RCTL, 0);
        }
        registers.write(TCTL, tctl::PSP);
        registers.update(CTRL, ctrl::MASTER_DISABLE, 0);
        self.set_bits(quirks);
        self.alive(Step::Reset)?;
        if purpose == Reset::TakeOver && quirks.phy_care != PhyCare::None {
            let cared = self.with_phy(|phy| phy.care_after_reset(with_phy));
            self.say_phy("take its settings", cared);
        }
        Ok(())
    }

    /// Makes a chipset's PHY answer, unless its link is up, which says that it does.
    pub(super) fn wake_phy(&self) {
        let quirks = self.quirks();
        let is_up = self.registers.read(STATUS) & status::LU != 0;
        if quirks.phy_bus == PhyBus::MdicTwoAddresses && !is_up && self.model.media == Media::Copper
        {
            let woken = wake::wake(&self.hal, &self.registers, quirks, self.may_reset_phy());
            self.say_phy("wake up", woken);
        }
    }

    /// Packet memory is shared out before a reset, which empties it and keeps the shares
    /// (8254x §13.4.35).
    fn share_packet_memory(&self, quirks: &Quirks) {
        if quirks.receive_kilobytes != 0 {
            self.registers.write(PBA, quirks.receive_kilobytes);
        }
        if quirks.packet_buffer_size != 0 {
            self.registers.write(PBS, quirks.packet_buffer_size);
        }
    }

    /// Whether the PHY is reset too: not when its link is up, which firmware took seconds to
    /// get, and not when firmware forbids it.
    fn must_reset_phy(&self, quirks: &Quirks) -> bool {
        let is_up = self.registers.read(STATUS) & status::LU != 0;
        quirks.phy_reset != PhyReset::Apart && !is_up && self.may_reset_phy()
    }

    /// Whether firmware lets the PHY be reset.
    pub(in crate::intel::nic) fn may_reset_phy(&self) -> bool {
        /// The management engine needs it for so long at most.
        const LIMIT: Duration = Duration::from_millis(300);
        let registers = &self.registers;
        match self.quirks().phy_reset_veto {
            Veto::Nobody => true,
            Veto::Manc => registers.read(MANC) & manc::BLK_PHY_RST == 0,
            Veto::Fwsm => {
                wait_until(&self.hal, LIMIT, || registers.read(FWSM) & fwsm::RSPCIPHY != 0)
            }
        }
    }

    fn hold_for_reset(&self, quirks: &Quirks) -> Option<semaphore::Held<'_, H>> {
        let resource = Resource::Phy(nvm::port(&self.registers));
        match semaphore::take(&self.hal, &self.registers, quirks.reset_lock, resource) {
            Ok(held) => Some(held),
            Err(semaphore::Busy { register, value }) => {
                let (name, address) = (self.model.name, self.address);
                log::warn!(
                    "{name} {address}: firmware holds {} ({value:#010x}): resetting without",
                    register.name()
                );
                None
            }
        }
    }

    /// Sets CTRL.RST, and waits as long as nothing may be read.
    fn write_reset(&self, quirks: &Quirks, also: u32) {
        let registers = &self.registers;
        // A PHY's reset that went before does not end by itself (82541).
        let value = registers.read(CTRL) & !ctrl::PHY_RST | ctrl::RST | also;
        match quirks.reset_by {
            ResetBy::Ports if self.reset_by_ports(value, quirks.reset_wait) => return,
            ResetBy::Ports | ResetBy::Memory => registers.write(CTRL, value),
            ResetBy::Shadow => registers.write(CTRL_DUP, value),
        }
        self.hal.wait(quirks.reset_wait);
    }

    /// Resets through the I/O window (8254x §4.1.2.1: IOADDR, IODATA); says whether it did. Emulated
    /// parts have such a window without anything behind it.
    fn reset_by_ports(&self, value: u32, wait: Duration) -> bool {
        /// The port that selects a register.
        const IOADDR: u16 = 0;
        /// The port that reaches it.
        const IODATA: u16 = 4;
        /// A reset clears all of RCTL (8254x §13.4.22).
        const MARK: u32 = rctl::SECRC;
        let Some(base) = pci::port_bar(&self.config, self.address) else { return false };
        let registers = &self.registers;
        registers.write(RCTL, MARK);
        registers.flush();
        pci::enable_ports(&self.config, self.address);
        let port = |offset: u16, value: u32| self.hal.write_port(base.wrapping_add(offset), value);
        let written = port(IOADDR, CTRL.offset()) && port(IODATA, value);
        self.hal.wait(wait);
        pci::disable_ports(&self.config, self.address);
        if written && registers.read(RCTL) & MARK == 0 {
            return true;
        }
        registers.write(RCTL, 0);
        false
    }

    /// Waits until the part has read its EEPROM, by itself or told to.
    fn await_eeprom(&self, quirks: &Quirks) -> Result<(), AttachError> {
        const AUTO_READ: Duration = Duration::from_millis(10);
        const LAN_INIT: Duration = Duration::from_millis(150);
        const CONFIGURED: Duration = Duration::from_millis(100);
        let registers = &self.registers;
        if quirks.reload_eeprom {
            registers.update(CTRL_EXT, 0, ctrl_ext::EE_RST);
            self.hal.wait(Duration::from_millis(2));
        }
        let auto_read = |limit| {
            self.await_register(Step::ReadEeprom, EECD, limit, |value| value & eecd::AUTO_RD != 0)
        };
        match quirks.eeprom_done {
            EepromDone::Silent => {}
            EepromDone::Required => auto_read(AUTO_READ)?,
            EepromDone::Wished => tolerate(auto_read(AUTO_READ))?,
            EepromDone::LanInitDone => {
                tolerate(self.await_register(Step::ReadEeprom, STATUS, LAN_INIT, |value| {
                    value & status::LAN_INIT_DONE != 0
                }))?
            }
        }
        if !quirks.flash_wait.is_zero() {
            // The flash is read from here on.
            self.reset_ended.set(self.hal.now());
        }
        if quirks.eeprom_done == EepromDone::Required && quirks.eeprom == Eeprom::Eerd {
            // The part keeps what it was granted while it read.
            registers.update(EECD, eecd::REQ | eecd::GNT, 0);
        }
        if quirks.phy_configured_bit {
            let bit = eemngctl::CFG_DONE_PORT_0 << nvm::port(registers);
            tolerate(
                self.await_register(Step::ReadEeprom, EEMNGCTL, CONFIGURED, |value| {
                    value & bit != 0
                }),
            )?;
        }
        if quirks.status_clear != 0 {
            registers.update(STATUS, quirks.status_clear, 0);
        }
        Ok(())
    }

    /// Bits that a reset leaves as nobody wants them.
    fn set_bits(&self, quirks: &Quirks) {
        let registers = &self.registers;
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
        if quirks.iosf_override {
            registers.update(IOSFPC, 0, iosfpc::WITHOUT_NAME_16);
        }
        if quirks.link_bias {
            registers.update(KABGTXD, 0, kabgtxd::BGSQLBIAS);
        }
        if quirks.noise_offset != 0 {
            registers.write(CRC_OFFSET, quirks.noise_offset);
        }
    }
}

/// Goes on without what did not come, unless nothing comes any more.
fn tolerate(result: Result<(), AttachError>) -> Result<(), AttachError> {
    match result {
        Err(AttachError::Stuck { .. }) | Ok(()) => Ok(()),
        Err(error) => Err(error),
    }
}
