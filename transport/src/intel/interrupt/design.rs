//! How the parts turn causes into interrupts: what to program for each mode, and what must still
//! be there when an interrupt is missed.

use core::time::Duration;

use super::cause::icr;
use super::{Cause, Mode, read_and_clear};
use crate::hal::Hal;
use crate::intel::registers::{
    CTRL_EXT, EIAC, EIAC_82575, EIAM, EICS, EIMC, EIMS, EITR_82574, EITR_82575, GPIE, IAM, ICS,
    IMC, IMS, ITR, IVAR, IVAR_MISC, IVAR0, MSIXBM0, RFCTL, Register, Registers, ctrl_ext, rfctl,
};

/// Parts that interrupt alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Design {
    /// 82540 to 82547: the interrupt line, nothing else. Their PCI-X MSI capability never worked.
    /// Reading ICR clears it; nothing is masked by itself.
    I8254x,
    /// 82571 to 82573, 80003, ICH and PCH: line or MSI; reading ICR masks.
    I8257x,
    /// 82574 and 82583: as the 8257x, and MSI-X, each cause by its entry in IVAR (82574 §7.4).
    I82574,
    /// 82575: MSI-X by a bitmap for each vector.
    I82575,
    /// 82576 and later: MSI-X by IVAR0 and IVAR_MISC (I210 §7.3).
    I82576,
}

/// One register of a mode's set-up.
#[derive(Clone, Copy, Debug)]
struct Setting {
    register: Register,
    clear: u32,
    set: u32,
    /// Whether it must still read like this while the mode is in use.
    stays: bool,
}

const fn stays(register: Register, clear: u32, set: u32) -> Setting {
    Setting { register, clear, set, stays: true }
}

const fn moves(register: Register, clear: u32, set: u32) -> Setting {
    Setting { register, clear, set, stays: false }
}

/// What a line or an MSI reports. TXDW is added while the transmit ring is full.
const CAUSES: u32 = icr::RXT0 | icr::RXDMT0 | icr::RXO | icr::RXSEQ | icr::LSC;

/// What the 82574 reports by MSI-X. Every cause behind OTHER is enabled, although ACK_DIS and an
/// idle PHY keep most of them away: one that is not would leave ICR without INT_ASSERTED, and
/// reading ICR without it loses interrupts (82574 specification update).
const CAUSES_82574: u32 =
    icr::RXQ0 | icr::OTHER | icr::LSC | icr::RXO | icr::MDAC | icr::SRPD | icr::ACK | icr::MNG;

/// IVAR of the 82574 (§10.2.4.9): five entries of four bits, vector and valid bit. Those of the
/// queues that are not used are valid too: a cause without a valid entry is cleared and masked,
/// but interrupts nobody.
mod ivar {
    const VALID: u32 = 1 << 3;
    /// Receive queues 0 and 1, transmit queues 0 and 1, other causes: all by vector 0.
    pub(super) const ALL_BY_VECTOR_0: u32 =
        VALID | VALID << 4 | VALID << 8 | VALID << 12 | VALID << 16;
    /// Interrupt at every write-back of a transmit descriptor.
    pub(super) const EVERY_TRANSMIT_WRITE_BACK: u32 = 1 << 31;
}

/// IVAR0 and IVAR_MISC of the 82576 and later (I210 §8.8.15, §8.8.16): eight bits an entry.
mod ivar_82576 {
    const VALID: u32 = 1 << 7;
    /// Queue 0 in both directions.
    pub(super) const QUEUE_0: u32 = VALID | VALID << 8;
    /// Receive queue 0 by vector 0; transmit queue 0 by vector 1, which can be masked by itself.
    pub(super) const QUEUE_0_APART: u32 = VALID | (VALID | 1) << 8;
    /// Other causes by vector 0.
    pub(super) const OTHER: u32 = VALID << 8;
}

/// GPIE (I210 §8.8.13).
mod gpie {
    /// Every read of ICR clears it.
    pub(super) const NSICR: u32 = 1 << 0;
    pub(super) const MULTIPLE_MSIX: u32 = 1 << 4;
    pub(super) const EIAME: u32 = 1 << 30;
    pub(super) const PBA_SUPPORT: u32 = 1 << 31;
}

/// Extended causes of the 82575 (EICR), all by vector 0.
mod eicr_82575 {
    const RX_QUEUE0: u32 = 1 << 0;
    const TX_QUEUE0: u32 = 1 << 8;
    const OTHER: u32 = 1 << 31;
    pub(super) const ALL: u32 = RX_QUEUE0 | TX_QUEUE0 | OTHER;
    /// All but that frames have left.
    pub(super) const NEEDED: u32 = RX_QUEUE0 | OTHER;
}

/// Vectors in EICR, EIMS, EIAC and EIAM of the 82576 and later.
const VECTOR_0: u32 = 1 << 0;
const VECTOR_1: u32 = 1 << 1;

const ALL: u32 = u32::MAX;

/// Reading ICR masks everything.
const LINE_8257X: &[Setting] =
    &[moves(IAM, ALL, ALL), stays(CTRL_EXT, ctrl_ext::EIAME | ctrl_ext::PBA_CLR, ctrl_ext::IAME)];

/// 82574 §7.4.3. OTHER is never in EIAC: some models then read as zero after a link change. A
/// message masks everything by IAM, which QEMU's model clears instead of IMS.
const MESSAGES_82574: &[Setting] = &[
    stays(IVAR, ALL, ivar::ALL_BY_VECTOR_0 | ivar::EVERY_TRANSMIT_WRITE_BACK),
    stays(EIAC, ALL, icr::RXQ0 | icr::TXQ0),
    moves(IAM, ALL, CAUSES_82574 | icr::TXQ0),
    stays(RFCTL, 0, rfctl::ACK_DIS),
    stays(CTRL_EXT, ctrl_ext::IAME, ctrl_ext::EIAME | ctrl_ext::PBA_CLR),
];

/// QEMU's model reports frames in every mode by way of IVAR0.
const LINE_82576: &[Setting] = &[
    stays(GPIE, ALL, gpie::NSICR),
    moves(EIAC_82575, ALL, 0),
    moves(EIAM, ALL, 0),
    stays(IVAR0, 0xffff, ivar_82576::QUEUE_0),
    stays(IVAR_MISC, 0xff00, ivar_82576::OTHER),
    moves(IAM, ALL, ALL),
];

const MESSAGES_82576: &[Setting] = &[
    stays(GPIE, ALL, gpie::NSICR | gpie::MULTIPLE_MSIX | gpie::EIAME | gpie::PBA_SUPPORT),
    stays(IVAR0, 0xffff, ivar_82576::QUEUE_0_APART),
    stays(IVAR_MISC, 0xff00, ivar_82576::OTHER),
    moves(EIAC_82575, ALL, VECTOR_0 | VECTOR_1),
    moves(EIAM, ALL, VECTOR_0 | VECTOR_1),
    moves(IAM, ALL, 0),
];

const LINE_82575: &[Setting] = &[
    stays(CTRL_EXT, ctrl_ext::EIAME | ctrl_ext::PBA_CLR | ctrl_ext::IRCA, 0),
    moves(EIAC_82575, ALL, 0),
    moves(EIAM, ALL, 0),
    moves(IAM, ALL, ALL),
];

const MESSAGES_82575: &[Setting] = &[
    stays(MSIXBM0, ALL, eicr_82575::ALL),
    stays(CTRL_EXT, 0, ctrl_ext::PBA_CLR | ctrl_ext::EIAME | ctrl_ext::IRCA),
    moves(EIAC_82575, ALL, eicr_82575::ALL),
    moves(EIAM, ALL, eicr_82575::ALL),
    moves(IAM, ALL, 0),
];

impl Design {
    /// Whether parts of this design can interrupt like this, as far as that is known without
    /// looking at the function's capabilities.
    pub(crate) const fn offers(self, mode: Mode) -> bool {
        match mode {
            Mode::Polled | Mode::Intx => true,
            Mode::Msi => !matches!(self, Self::I8254x),
            Mode::Msix => !matches!(self, Self::I8254x | Self::I8257x),
        }
    }

    /// What to unmask. `transmit`: also tell when a frame has left.
    pub(crate) const fn mask(self, mode: Mode, transmit: bool) -> Mask {
        // Besides what vectors report.
        const OTHERS: u32 = icr::LSC | icr::DRSTA;
        let (causes, sent) = match (self, mode) {
            (_, Mode::Polled) => return Mask { causes: 0, vectors: 0 },
            (Self::I82574, Mode::Msix) => (CAUSES_82574, icr::TXQ0),
            (Self::I82575, Mode::Msix) => {
                let vectors = if transmit { eicr_82575::ALL } else { eicr_82575::NEEDED };
                return Mask { causes: OTHERS, vectors };
            }
            (Self::I82576, Mode::Msix) => {
                let vectors = if transmit { VECTOR_0 | VECTOR_1 } else { VECTOR_0 };
                return Mask { causes: OTHERS, vectors };
            }
            (Self::I82575 | Self::I82576, _) => (CAUSES | icr::DOUTSYNC | icr::DRSTA, icr::TXDW),
            _ => (CAUSES, icr::TXDW),
        };
        Mask { causes: if transmit { causes | sent } else { causes }, vectors: 0 }
    }

    /// How many entries of the MSI-X table are used, all with the same message.
    pub(crate) const fn vectors(self) -> u32 {
        match self {
            Self::I82576 => 2,
            _ => 1,
        }
    }

    /// Masks everything, and undoes what a mode set up, so that nothing is raised any more.
    pub(crate) fn silence<H: Hal>(self, registers: &Registers<H>) {
        self.mask_all(registers);
        match self {
            Self::I8254x => {}
            Self::I8257x => registers.update(CTRL_EXT, ctrl_ext::IAME, 0),
            Self::I82574 => {
                registers.update(CTRL_EXT, ctrl_ext::IAME | ctrl_ext::EIAME, 0);
                registers.write(EIAC, 0);
            }
            Self::I82575 | Self::I82576 => {
                registers.write(EIAC_82575, 0);
                registers.write(EIAM, 0);
                if self == Self::I82576 {
                    registers.write(GPIE, 0);
                } else {
                    registers.update(CTRL_EXT, ctrl_ext::EIAME | ctrl_ext::PBA_CLR, 0);
                }
            }
        }
        let _ = read_and_clear(registers);
    }

    fn mask_all<H: Hal>(self, registers: &Registers<H>) {
        registers.write(IMC, ALL);
        if matches!(self, Self::I82575 | Self::I82576) {
            registers.write(EIMC, ALL);
        }
    }

    /// Masks what interrupts in this mode, for a handler that sees that the part did not.
    pub(crate) fn mask_by_hand<H: Hal>(self, registers: &Registers<H>, mode: Mode) {
        let by_vector = self.mask(mode, false).vectors != 0;
        registers.write(if by_vector { EIMC } else { IMC }, ALL);
    }

    /// Programs causes and vectors for a mode, everything masked.
    pub(crate) fn program<H: Hal>(self, registers: &Registers<H>, mode: Mode, spacing: Duration) {
        self.silence(registers);
        for setting in self.settings(mode) {
            if setting.clear == ALL {
                registers.write(setting.register, setting.set);
            } else {
                registers.update(setting.register, setting.clear, setting.set);
            }
        }
        if let Some(setting) = self.throttle(mode, spacing) {
            registers.write(setting.register, setting.set);
        }
    }

    /// A register that is no longer as [`program`](Self::program) left it.
    pub(crate) fn fault<H: Hal>(self, registers: &Registers<H>, mode: Mode) -> Option<Register> {
        let stays = |setting: &&Setting| setting.stays;
        let lost = self.settings(mode).iter().filter(stays).find(|setting| {
            registers.read(setting.register) & (setting.clear | setting.set) != setting.set
        });
        lost.map(|setting| setting.register)
    }

    /// Makes the part raise an interrupt, if all is well.
    pub(crate) fn kick<H: Hal>(self, registers: &Registers<H>, mode: Mode) {
        match (self, mode) {
            (_, Mode::Polled) => {}
            (Self::I82575 | Self::I82576, Mode::Msix) => registers.write(EICS, VECTOR_0),
            _ => registers.write(ICS, self.kicked(mode)),
        }
    }

    /// Whether the cause of a [`kick`](Self::kick) is still pending.
    pub(crate) const fn was_kicked(self, mode: Mode, left: Cause) -> bool {
        !left.is_gone() && left.bits() & self.kicked(mode) != 0
    }

    const fn kicked(self, mode: Mode) -> u32 {
        match (self, mode) {
            (Self::I82574, Mode::Msix) => icr::RXQ0,
            _ => icr::RXDMT0,
        }
    }

    /// Causes that a message has cleared by itself before anybody could read them.
    pub(crate) const fn cleared_by_message(self, mode: Mode) -> u32 {
        match mode {
            Mode::Msix if !matches!(self, Self::I8254x | Self::I8257x) => icr::RXQ0,
            _ => 0,
        }
    }

    /// Whether a read of ICR that returned `causes` has cleared them (82574 §10.2.4.1, I210
    /// §8.8.9).
    pub(crate) const fn reading_clears(self, mode: Mode, causes: u32) -> bool {
        match self {
            Self::I8254x => true,
            // GPIE.NSICR.
            Self::I82576 => true,
            Self::I8257x | Self::I82574 | Self::I82575 => {
                causes & icr::INT_ASSERTED != 0 && !matches!(mode, Mode::Msix)
            }
        }
    }

    /// Whether the part says that somebody has reset it.
    pub(crate) const fn says_reset(self, causes: Cause) -> bool {
        matches!(self, Self::I82575 | Self::I82576) && causes.was_reset()
    }

    /// Lets through what a [`mask`](Self::mask) names.
    pub(crate) fn unmask<H: Hal>(self, registers: &Registers<H>, mask: Mask) {
        if mask.vectors != 0 {
            registers.write(IMS, mask.causes);
        }
        self.unmask_again(registers, mask);
    }

    /// Lets through what an interrupt has masked: the vector, where there are vectors.
    pub(crate) fn unmask_again<H: Hal>(self, registers: &Registers<H>, mask: Mask) {
        if mask.vectors != 0 {
            registers.write(EIMS, mask.vectors);
        } else if mask.causes != 0 {
            registers.write(IMS, mask.causes);
        }
    }

    /// Whether frames and link changes are let through, if `mask` names them. The other causes
    /// are not in every model's mask.
    pub(crate) fn is_unmasked<H: Hal>(self, registers: &Registers<H>, mask: Mask) -> bool {
        let needed = mask.causes & (icr::RXT0 | icr::RXQ0 | icr::OTHER | icr::LSC);
        (mask.vectors == 0 || registers.read(EIMS) & mask.vectors == mask.vectors)
            && registers.read(IMS) & needed == needed
    }

    const fn settings(self, mode: Mode) -> &'static [Setting] {
        match (self, mode) {
            (_, Mode::Polled) | (Self::I8254x, _) => &[],
            (Self::I82574, Mode::Msix) => MESSAGES_82574,
            (Self::I8257x | Self::I82574, _) => LINE_8257X,
            (Self::I82575, Mode::Msix) => MESSAGES_82575,
            (Self::I82575, _) => LINE_82575,
            (Self::I82576, Mode::Msix) => MESSAGES_82576,
            (Self::I82576, _) => LINE_82576,
        }
    }

    /// The shortest time between two interrupts: in 256 ns (8254x §13.4.18, 82574 §10.2.4.8) or,
    /// two bits up, in microseconds (I210 §8.8.14; twice in one word on the 82575).
    const fn throttle(self, mode: Mode, spacing: Duration) -> Option<Setting> {
        const LONGEST: u128 = 10_000_000;
        let nanoseconds = spacing.as_nanos();
        let nanoseconds = if nanoseconds > LONGEST { LONGEST } else { nanoseconds };
        let ticks = (nanoseconds / 256) as u32;
        // 12 bits.
        let microseconds = if nanoseconds > 4_000_000 { 4_000 } else { nanoseconds / 1000 };
        let microseconds = (microseconds as u32) << 2;
        match (self, mode) {
            (_, Mode::Polled) => None,
            (Self::I82574, Mode::Msix) => Some(moves(EITR_82574, ALL, ticks)),
            (Self::I8254x | Self::I8257x | Self::I82574, _) => Some(moves(ITR, ALL, ticks)),
            (Self::I82575, _) => Some(moves(EITR_82575, ALL, microseconds | microseconds << 16)),
            (Self::I82576, _) => Some(moves(EITR_82575, ALL, microseconds)),
        }
    }
}

/// What is let through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mask {
    /// In IMS.
    pub(crate) causes: u32,
    /// In EIMS, of the 82575 and later.
    pub(crate) vectors: u32,
}
