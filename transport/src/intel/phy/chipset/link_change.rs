//! What a PCH chipset's PHY needs when its link comes up or goes down.

use super::super::kind::Kind;
use super::super::{At, Phy, PhyError};
use super::{KMRN_FIFO_CTRLSTA, LINK_STALL, PM_CTRL, PM_CTRL_K1_ENABLE};
use crate::hal::Hal;
use crate::intel::family::PhyCare;
use crate::intel::registers::{FEXTNVM4, TIPG, fextnvm4};
use crate::link::Link;

impl<H: Hal> Phy<'_, H> {
    /// Adapts to a link that came up or went down.
    pub(crate) fn care_after_link_change(&self, link: Link) -> Result<(), PhyError> {
        let Link::Up { megabits, full_duplex } = link else {
            return match self.quirks.phy_care {
                PhyCare::Pch => self.write(LINK_STALL, STALL_FIX_DOWN),
                _ => Ok(()),
            };
        };
        match self.quirks.phy_care {
            PhyCare::None | PhyCare::Igp1 => return Ok(()),
            PhyCare::Gg82563 => {
                self.follow_speed_80003(megabits == 1000);
                return Ok(());
            }
            PhyCare::Pch => {
                self.write(LINK_STALL, STALL_FIX_UP)?;
                self.turn_k1_off()?;
            }
            PhyCare::Pch2 => {
                self.follow_speed(megabits, full_duplex)?;
                if megabits == 10 {
                    self.set_beacon(fextnvm4::BEACON_16_US);
                } else {
                    // Frames are lost while the link to the controller sleeps.
                    self.update(PM_CTRL, PM_CTRL_K1_ENABLE, 0)?;
                }
            }
            PhyCare::Lpt | PhyCare::Spt => {
                self.follow_speed(megabits, full_duplex)?;
                self.follow_speed_i217(megabits)?;
                self.set_beacon(fextnvm4::BEACON_8_US);
                return Ok(());
            }
        }
        // In half duplex the controller would take frames for others with the preamble whole.
        const PREAMBLE: u16 = 7 << 12;
        const ONE_REMOVED: u16 = 1 << 12;
        let removed = if full_duplex { 0 } else { ONE_REMOVED };
        self.update(KMRN_FIFO_CTRLSTA, PREAMBLE, removed)
    }

    /// The 82578 stalls on a fresh link at 1000 Mbit/s until its transmit multiplexer is turned
    /// there and back; 200 ms after the link came up.
    pub(crate) fn unstall_82578(&self) -> Result<(), PhyError> {
        const MUX_DATA_CTRL: At = At::page(776, 16);
        const GEN_TO_MAC: u16 = 1 << 10;
        const FORCE_SPEED: u16 = 1 << 2;
        if !self.is_82578() {
            return Ok(());
        }
        self.write(MUX_DATA_CTRL, GEN_TO_MAC | FORCE_SPEED)?;
        self.write(MUX_DATA_CTRL, GEN_TO_MAC)
    }

    pub(crate) fn is_82578(&self) -> bool {
        self.kind() == Kind::I82578
    }

    /// At 10 Mbit/s half duplex the controller collides too often with the usual gap.
    fn follow_speed(&self, megabits: u16, full_duplex: bool) -> Result<(), PhyError> {
        const IPGT: u32 = 0x3ff;
        const RX_CONFIG_82579: u16 = 0x3412;
        const RX_CONFIG_I217: u16 = 0xb20c;
        let (gap, latency) = match (megabits, full_duplex) {
            (10, false) => (0xff, 0),
            (10 | 100, true) if self.quirks.phy_care == PhyCare::Spt => (0x0c, 1),
            _ => (0x08, 1),
        };
        self.bus.registers.update(TIPG, IPGT, gap);
        let register = match self.quirks.phy_care {
            PhyCare::Pch2 => RX_CONFIG_82579,
            _ => RX_CONFIG_I217,
        };
        self.write_emi(register, latency)
    }

    /// Clocks of I217 and later, which run too early or too late otherwise.
    fn follow_speed_i217(&self, megabits: u16) -> Result<(), PhyError> {
        const PLL_CLOCK_GATE: At = At::page(772, 28);
        const PLL_CLOCK_GATE_MASK: u16 = 0x07ff;
        const K1_CLK_REQ: u16 = 1 << 9;
        /// Distance of the FIFO's pointers (I219).
        const POINTER_GAP: At = At::page(776, 20);
        const GAP_SHIFT: u16 = 2;
        const GAP_MASK: u16 = 0x3ff << GAP_SHIFT;
        const SMALLEST_GAP: u16 = 0x18 << GAP_SHIFT;
        const GAP_BELOW_GIGABIT: u16 = 0xc023;
        let is_gigabit = megabits == 1000;
        let gate = if is_gigabit { 0x0fa } else { 0x3e8 };
        self.update(PLL_CLOCK_GATE, PLL_CLOCK_GATE_MASK, gate)?;
        if is_gigabit {
            self.update(PM_CTRL, 0, K1_CLK_REQ)?;
        }
        if self.quirks.phy_care != PhyCare::Spt {
            return Ok(());
        }
        if !is_gigabit {
            return self.write(POINTER_GAP, GAP_BELOW_GIGABIT);
        }
        let value = self.read(POINTER_GAP)?;
        if value & GAP_MASK < SMALLEST_GAP {
            return self.write(POINTER_GAP, value & !GAP_MASK | SMALLEST_GAP);
        }
        Ok(())
    }

    fn set_beacon(&self, duration: u32) {
        self.bus.registers.update(FEXTNVM4, fextnvm4::BEACON_DURATION, duration);
    }
}

const STALL_FIX_UP: u16 = 0x0100;
const STALL_FIX_DOWN: u16 = 0x4100;
