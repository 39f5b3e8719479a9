//! Programming a part that a reset left with both directions off.

use super::Nic;
use crate::hal::Hal;
use crate::intel::registers::{
    CTRL, FCAH, FCAL, FCRTH, FCRTL, FCT, FCTTV, MRQC, PBA, RADV, RCTL, RDBAH, RDBAL, RDH, RDLEN,
    RDT, RDTR, RFCTL, RXCSUM, RXDCTL, TARC0, TCTL, TDBAH, TDBAL, TDH, TDLEN, TDT, TIPG, TXDCTL,
    TXDCTL1, ctrl, rctl, rfctl, rxcsum, tctl,
};
use crate::pci::{self, ConfigSpace};

impl<H: Hal + Clone, C: ConfigSpace> Nic<H, C> {
    /// CTRL, and flow control prepared but off: [`link`](Self::link) turns it on when both ends
    /// agreed (8254x §14.4, 82574 §4.6.4).
    pub(super) fn start_control(&self) {
        let registers = &self.part.registers;
        let quirks = self.part.model.family.quirks();
        let automatic = if quirks.no_auto_speed_detection { ctrl::ASDE } else { 0 };
        let clear = ctrl::FRCSPD | ctrl::FRCDPX | ctrl::LRST | ctrl::VME | ctrl::RFCE | ctrl::TFCE;
        registers.update(CTRL, clear | automatic | quirks.ctrl_clear, ctrl::SLU);
        registers.write(FCAL, 0x00c2_8001);
        registers.write(FCAH, 0x0100);
        registers.write(FCT, 0x8808);
        registers.write(FCTTV, 0x0680);
        // Pause when a tenth of the packet memory is left, go on two frames below that.
        let kilobytes = registers.read(PBA) & 0xff;
        let high = (kilobytes.saturating_mul(1024).saturating_mul(9) / 10) & !7;
        const XON: u32 = 1 << 31;
        registers.write(FCRTH, high);
        registers.write(FCRTL, (high.saturating_sub(3072) & !7) | XON);
    }

    /// The transmitter (8254x §14.5, 82574 §4.6.6).
    pub(super) fn start_transmitter(&self) {
        const COPPER_GAP: u32 = 0x0060_2008;
        let registers = &self.part.registers;
        let quirks = self.part.model.family.quirks();
        let base = self.transmit.base();
        registers.write(TDBAL, low(base));
        registers.write(TDBAH, high(base));
        registers.write(TDLEN, self.transmit.count().saturating_mul(16));
        registers.write(TDH, 0);
        registers.write(TDT, 0);
        registers.write(TIPG, COPPER_GAP);
        registers.update(TXDCTL, THRESHOLDS_CLEAR, THRESHOLDS | quirks.txdctl_set);
        if quirks.txdctl_set != 0 {
            registers.update(TXDCTL1, 0, quirks.txdctl_set);
        }
        if quirks.tarc0 != (0, 0) {
            registers.update(TARC0, quirks.tarc0.0, quirks.tarc0.1);
        }
        pci::enable_bus_master(&self.part.config, self.part.address);
        let value = tctl::EN | tctl::PSP | tctl::CT | tctl::COLD | tctl::RTLC;
        registers.write(TCTL, value);
    }

    /// The receiver (8254x §14.4, 82574 §4.6.5).
    ///
    /// RCTL is written with its enable bit exactly once: QEMU's e1000 stays deaf for a second
    /// after every write to it.
    pub(super) fn start_receiver(&mut self) {
        let registers = &self.part.registers;
        let base = self.receive.base();
        registers.write(RDBAL, low(base));
        registers.write(RDBAH, high(base));
        registers.write(RDLEN, self.receive.count().saturating_mul(16));
        registers.write(RDH, 0);
        registers.write(RDT, 0);
        registers.write(RDTR, 0);
        registers.write(RADV, 0);
        registers.write(RXDCTL, THRESHOLDS);
        registers.write(RXCSUM, rxcsum::IPOFL | rxcsum::TUOFL);
        if self.part.model.family.quirks().express {
            registers.write(MRQC, 0);
            registers.update(RFCTL, rfctl::EXTEN, 0);
        }
        // All multicast: IPv6 neighbour discovery needs its groups, and the stack filters.
        registers.write(RCTL, rctl::EN | rctl::BAM | rctl::MPE | rctl::SECRC);
        registers.write(RDT, self.receive.tail());
    }
}

/// Prefetch when 31 or fewer descriptors are held, fetch one at a time, write back at once,
/// counted in descriptors (8254x §13.4.46, 82574 §10.2.5.10).
const THRESHOLDS: u32 = 31 | 1 << 8 | 1 << 24;
const THRESHOLDS_CLEAR: u32 = 0x3f | 0x3f << 8 | 0x3f << 16 | 1 << 24;

fn low(address: u64) -> u32 {
    (address & 0xffff_ffff) as u32
}

fn high(address: u64) -> u32 {
    (address >> 32) as u32
}
