//! The copper PHY behind MDIC (8254x §13.4.6, 82574 §10.2.2.7; IEEE 802.3 clause 22).

use core::time::Duration;

use crate::hal::{Hal, wait_until};
use crate::intel::registers::{MDIC, Registers};

/// The basic mode control register.
const BMCR: u8 = 0;
/// The basic mode status register.
const BMSR: u8 = 1;
/// What we advertise.
const ADVERTISEMENT: u8 = 4;
/// What the other end advertises.
const PARTNER_ABILITY: u8 = 5;
/// 1000BASE-T control.
const GIGABIT_CONTROL: u8 = 9;

const BMCR_AUTONEGOTIATION: u16 = 1 << 12;
const BMCR_POWER_DOWN: u16 = 1 << 11;
const BMCR_ISOLATE: u16 = 1 << 10;
const BMCR_RESTART: u16 = 1 << 9;
const PAUSE: u16 = 1 << 10;
const ASYMMETRIC_PAUSE: u16 = 1 << 11;

/// Why a PHY register could not be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PhyError {
    /// MDIC never became ready; its last value.
    Timeout(u32),
    /// MDIC reported an error: no PHY at this address, or no such register.
    Refused(u32),
}

/// The PHY at address 1, where every copper part served here has it.
pub(crate) struct Phy<'a, H: Hal> {
    hal: &'a H,
    registers: &'a Registers<H>,
}

impl<'a, H: Hal> Phy<'a, H> {
    pub(crate) fn new(hal: &'a H, registers: &'a Registers<H>) -> Self {
        Self { hal, registers }
    }

    /// Negotiates speed and duplex anew, advertising everything copper Ethernet has and
    /// symmetric pause. Does not wait: seconds may pass before the link is up.
    pub(crate) fn restart_autonegotiation(&self) -> Result<(), PhyError> {
        const SELECTOR_802_3: u16 = 1;
        const ALL_10_100: u16 = 0xf << 5;
        const GIGABIT_FULL: u16 = 1 << 9;
        self.write(ADVERTISEMENT, SELECTOR_802_3 | ALL_10_100 | PAUSE | ASYMMETRIC_PAUSE)?;
        self.write(GIGABIT_CONTROL, GIGABIT_FULL)?;
        let control = self.read(BMCR)? & !(BMCR_POWER_DOWN | BMCR_ISOLATE);
        self.write(BMCR, control | BMCR_AUTONEGOTIATION | BMCR_RESTART)
    }

    /// Whether negotiation is on its way or done, so that restarting it would only lose time.
    pub(crate) fn is_negotiating(&self) -> Result<bool, PhyError> {
        const BMSR_COMPLETE_OR_LINK: u16 = 1 << 5 | 1 << 2;
        let control = self.read(BMCR)?;
        // The link bit latches low: the second read is the state now.
        let _ = self.read(BMSR)?;
        let status = self.read(BMSR)?;
        Ok(control & BMCR_AUTONEGOTIATION != 0
            && control & (BMCR_POWER_DOWN | BMCR_ISOLATE) == 0
            && status & BMSR_COMPLETE_OR_LINK != 0)
    }

    /// Whether both ends agreed to honour and to send pause frames (IEEE 802.3 table 28B-3, the
    /// symmetric row).
    pub(crate) fn pause_agreed(&self) -> Result<bool, PhyError> {
        let ours = self.read(ADVERTISEMENT)?;
        let theirs = self.read(PARTNER_ABILITY)?;
        Ok(ours & theirs & PAUSE != 0)
    }

    fn read(&self, register: u8) -> Result<u16, PhyError> {
        const READ: u32 = 2 << 26;
        let value = self.transfer(READ | Self::select(register))?;
        Ok((value & 0xffff) as u16)
    }

    fn write(&self, register: u8, value: u16) -> Result<(), PhyError> {
        const WRITE: u32 = 1 << 26;
        self.transfer(WRITE | Self::select(register) | u32::from(value)).map(drop)
    }

    fn select(register: u8) -> u32 {
        const PHY_ADDRESS: u32 = 1;
        PHY_ADDRESS << 21 | u32::from(register & 0x1f) << 16
    }

    /// One exchange: 64 bits at 2.5 MHz are 26 µs; 100 ms is far beyond any arbitration.
    fn transfer(&self, command: u32) -> Result<u32, PhyError> {
        const READY: u32 = 1 << 28;
        const ERROR: u32 = 1 << 30;
        self.registers.write(MDIC, command);
        let mut value = 0;
        let ready = wait_until(self.hal, Duration::from_millis(100), || {
            value = self.registers.read(MDIC);
            value & READY != 0
        });
        if value & ERROR != 0 {
            Err(PhyError::Refused(value))
        } else if ready {
            Ok(value)
        } else {
            Err(PhyError::Timeout(value))
        }
    }
}
