//! The copper PHY: its registers, what each kind needs before it negotiates, and what both ends
//! agreed on (IEEE 802.3 clauses 22, 28 and 40).
//!
//! A [`Phy`] holds the part's lock for as long as it lives: make it, use it, drop it.

mod bus;
pub(crate) mod chipset;
mod gg82563;
mod kind;
mod kumeran;
pub(crate) mod pause;
mod setup;

use core::fmt;
use core::time::Duration;

use crate::hal::{Hal, wait_until};
use crate::intel::family::{PhyBus, PhyCare, Quirks};
use crate::intel::nvm;
use crate::intel::registers::Registers;
use crate::intel::semaphore::{self, Busy, Held, Resource};

use bus::Bus;
use kind::{Kind, PhyId};
use pause::Pause;

/// The basic mode control register (802.3 §22.2.4.1).
const BMCR: At = At::plain(0);
/// The basic mode status register (802.3 §22.2.4.2).
const BMSR: At = At::plain(1);
/// The two halves of the identifier (802.3 §22.2.4.3.1).
const ID1: At = At::plain(2);
const ID2: At = At::plain(3);
/// What we advertise (802.3 §28.2.4.1.3).
const ADVERTISEMENT: At = At::plain(4);
/// What the other end advertises (802.3 §28.2.4.1.4).
const PARTNER_ABILITY: At = At::plain(5);
/// 1000BASE-T control (802.3 §40.5.1.1).
const GIGABIT_CONTROL: At = At::plain(9);

const BMCR_RESET: u16 = 1 << 15;
const BMCR_AUTONEGOTIATION: u16 = 1 << 12;
const BMCR_POWER_DOWN: u16 = 1 << 11;
const BMCR_ISOLATE: u16 = 1 << 10;
const BMCR_RESTART: u16 = 1 << 9;
const BMSR_NEGOTIATED: u16 = 1 << 5;
const BMSR_LINK: u16 = 1 << 2;

/// A register of a PHY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct At {
    page: u16,
    register: u8,
}

impl At {
    /// Register 0 to 31 of a page.
    const fn page(page: u16, register: u8) -> Self {
        Self { page, register }
    }

    /// One of those that every PHY has.
    const fn plain(register: u8) -> Self {
        Self { page: 0, register }
    }
}

/// Why a PHY register could not be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PhyError {
    /// MDIC or KMRNCTRLSTA never became ready; its last value.
    Timeout(u32),
    /// MDIC reported an error: no PHY at this address, or no such register.
    Refused(u32),
    /// Firmware or the other port's driver did not let go of the PHY.
    Busy(Busy),
}

impl fmt::Display for PhyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout(value) => write!(f, "no answer, MDIC stayed {value:#010x}"),
            Self::Refused(value) => write!(f, "no such register, MDIC is {value:#010x}"),
            Self::Busy(Busy { register, value }) => {
                write!(f, "firmware or another driver holds {} ({value:#010x})", register.name())
            }
        }
    }
}

/// A PHY, and the part's lock on it.
pub(crate) struct Phy<'a, H: Hal> {
    bus: Bus<'a, H>,
    quirks: &'a Quirks,
    /// Where it answers on the bus; chipsets' have two addresses.
    address: u8,
    id: PhyId,
    _held: Held<'a, H>,
}

impl<'a, H: Hal> Phy<'a, H> {
    /// Takes the lock and finds out which PHY it is.
    pub(crate) fn open(
        hal: &'a H,
        registers: &'a Registers<H>,
        quirks: &'a Quirks,
    ) -> Result<Self, PhyError> {
        let mut phy = Self::open_unidentified(hal, registers, quirks)?;
        if quirks.assumed_phy == 0 {
            phy.identify()?;
        }
        Ok(phy)
    }

    /// Takes the lock of a PHY that may not answer.
    fn open_unidentified(
        hal: &'a H,
        registers: &'a Registers<H>,
        quirks: &'a Quirks,
    ) -> Result<Self, PhyError> {
        let resource = Resource::Phy(nvm::port(registers));
        let held =
            semaphore::take(hal, registers, quirks.lock, resource).map_err(PhyError::Busy)?;
        let bus = Bus { hal, registers, quirks };
        Ok(Self { bus, quirks, address: 1, id: PhyId(quirks.assumed_phy), _held: held })
    }

    /// Whether negotiation is on its way or done, so that restarting it would only lose time.
    pub(crate) fn is_negotiating(&self) -> Result<bool, PhyError> {
        let control = self.read(BMCR)?;
        let status = self.status()?;
        Ok(control & BMCR_AUTONEGOTIATION != 0
            && control & (BMCR_POWER_DOWN | BMCR_ISOLATE) == 0
            && status & (BMSR_NEGOTIATED | BMSR_LINK) != 0)
    }

    /// Prepares the PHY as its kind needs it, and negotiates speed and duplex anew, advertising
    /// everything it has and pause of both kinds. Does not wait: seconds may pass before the link
    /// is up.
    pub(crate) fn negotiate(&self) -> Result<(), PhyError> {
        const SELECTOR_802_3: u16 = 1;
        const ALL_10_100: u16 = 0xf << 5;
        const GIGABIT_FULL: u16 = 1 << 9;
        self.set_up()?;
        self.write(ADVERTISEMENT, SELECTOR_802_3 | ALL_10_100 | Pause::BOTH.to_advertisement())?;
        if self.kind() != Kind::Ife {
            self.write(GIGABIT_CONTROL, GIGABIT_FULL)?;
        }
        let control = self.read(BMCR)? & !(BMCR_POWER_DOWN | BMCR_ISOLATE | BMCR_RESET);
        self.write(BMCR, control | BMCR_AUTONEGOTIATION | BMCR_RESTART)
    }

    /// What both ends advertise of pause frames: ours, theirs. `None` while they negotiate, or
    /// when the other end does not.
    pub(crate) fn pause(&self) -> Result<Option<(Pause, Pause)>, PhyError> {
        if self.status()? & BMSR_NEGOTIATED == 0 {
            return Ok(None);
        }
        let ours = Pause::of_advertisement(self.read(ADVERTISEMENT)?);
        let theirs = Pause::of_advertisement(self.read(PARTNER_ABILITY)?);
        Ok(Some((ours, theirs)))
    }

    const fn kind(&self) -> Kind {
        self.id.kind()
    }

    /// BMSR as it is now: the link bit latches low, so it takes two reads.
    fn status(&self) -> Result<u16, PhyError> {
        let _ = self.read(BMSR)?;
        self.read(BMSR)
    }

    /// Resets the PHY's logic, which makes its settings take effect.
    fn commit(&self) -> Result<(), PhyError> {
        /// 802.3 allows five times as much; those of this family take microseconds.
        const LIMIT: Duration = Duration::from_millis(100);
        self.update(BMCR, 0, BMCR_RESET)?;
        let _ = wait_until(
            self.bus.hal,
            LIMIT,
            || matches!(self.read(BMCR), Ok(control) if control & BMCR_RESET == 0),
        );
        Ok(())
    }

    fn identify(&mut self) -> Result<(), PhyError> {
        let candidates: &[u8] = match self.quirks.phy_bus {
            PhyBus::MdicScanned => &[1, 2, 0, 3, 4, 5, 6, 7],
            _ => &[1],
        };
        let mut result = Ok(());
        for address in candidates {
            self.address = *address;
            result = match self.read_id() {
                Ok(id) => {
                    self.id = id;
                    Ok(())
                }
                Err(error) => Err(error),
            };
            if candidates.len() == 1 || self.kind() != Kind::Unknown {
                break;
            }
        }
        if self.kind() == Kind::Bm && self.quirks.phy_bus == PhyBus::MdicScanned {
            /// Where the 82567 has everything but its wake-up registers.
            const BM_ADDRESS: u8 = 2;
            self.address = BM_ADDRESS;
        }
        if self.kind() == Kind::Unknown
            && matches!(self.quirks.phy_care, PhyCare::Pch | PhyCare::Pch2)
        {
            // It may only be too slow.
            self.use_slow_mode()?;
            self.id = self.read_id()?;
            return Ok(());
        }
        result
    }

    fn read_id(&self) -> Result<PhyId, PhyError> {
        let high = self.read(ID1)?;
        let low = self.read(ID2)?;
        Ok(PhyId(u32::from(high) << 16 | u32::from(low)))
    }

    fn read(&self, at: At) -> Result<u16, PhyError> {
        let address = self.select(at)?;
        self.bus.read(address, at.register)
    }

    fn write(&self, at: At, value: u16) -> Result<(), PhyError> {
        let address = self.select(at)?;
        self.bus.write(address, at.register, value)
    }

    fn update(&self, at: At, clear: u16, set: u16) -> Result<(), PhyError> {
        let value = self.read(at)?;
        self.write(at, (value & !clear) | set)
    }

    /// Turns to the register's page; says at which address of the bus it is.
    fn select(&self, at: At) -> Result<u8, PhyError> {
        const LAST_WITHOUT_PAGE: u8 = 15;
        const IGP_PAGE_SELECT: u8 = 31;
        const BM_PAGE_SELECT: u8 = 22;
        /// The first page at the other address of a chipset's PHY, where it counts as page 0.
        const FIRST_COMMON_PAGE: u16 = 768;
        let paged = at.register > LAST_WITHOUT_PAGE;
        if self.quirks.phy_bus == PhyBus::MdicTwoAddresses {
            let is_common = at.page >= FIRST_COMMON_PAGE;
            if paged {
                let page = if at.page == FIRST_COMMON_PAGE { 0 } else { at.page };
                self.bus.write(1, IGP_PAGE_SELECT, page << 5)?;
            }
            return Ok(if is_common { 1 } else { 2 });
        }
        match self.kind() {
            Kind::Igp if paged => {
                let page = at.page << 5 | u16::from(at.register);
                self.bus.write(self.address, IGP_PAGE_SELECT, page)?;
            }
            Kind::Bm if paged => self.bus.write(self.address, BM_PAGE_SELECT, at.page)?,
            Kind::Gg82563 => self.select_gg82563(at)?,
            _ => {}
        }
        Ok(self.address)
    }
}
