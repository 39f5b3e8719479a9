//! Programming a part that a reset left with both directions off.
//!
//! Everything is written, also what a reset should have left right: not every model resets all
//! of its state.

use super::error::AttachError;
use super::part::Part;
use super::{Nic, queue};
use crate::hal::Hal;
use crate::intel::descriptor::{self, Format};
use crate::intel::family::{PacketMemory, tarc};
use crate::intel::registers::{
    CTRL, FCAH, FCAL, FCRTH, FCRTL, FCT, FCTTV, FFLT_DBG, MRQC, PBA, PBA_ECC, PBECCSTS, RADV, RCTL,
    RDBAH, RDBAL, RDH, RDLEN, RDT, RDTR, RFCTL, RXCSUM, RXDCTL, RXPBS, TARC0, TARC1, TCTL, TDBAH,
    TDBAL, TDH, TDLEN, TDT, TIPG, TXDCTL, TXDCTL1, TXPBS, ctrl, fflt_dbg, pba_ecc, pbeccsts, rctl,
    rfctl, rxcsum, tctl,
};
use crate::link::Link;
use crate::pci::{self, ConfigSpace};

/// With a VLAN's tag and a check sequence; longer ones come in only where RCTL says so.
pub(super) const LONGEST_COMMON_FRAME: u32 = 1522;

impl<H: Hal + Clone, C: ConfigSpace> Nic<H, C> {
    /// CTRL, and flow control prepared but off: [`link`](Self::link) turns it on when both ends
    /// agreed (8254x §14.4, 82574 §4.6.4, I210 §3.7.5).
    pub(super) fn start_control(&self) {
        // IEEE 802.3 annex 31B: the address and the type of a pause frame.
        const PAUSE_ADDRESS_LOW: u32 = 0x00c2_8001;
        const PAUSE_ADDRESS_HIGH: u32 = 0x0100;
        const PAUSE_TYPE: u32 = 0x8808;
        const XON: u32 = 1 << 31;
        // Both in units of 16 bytes.
        const GRAIN: u32 = !0xf;
        /// Two frames.
        const HYSTERESIS: u32 = 3072;
        let registers = &self.part.registers;
        let quirks = self.part.model.family.quirks();
        let automatic = if quirks.no_auto_speed_detection { ctrl::ASDE } else { 0 };
        let clear = ctrl::FRCSPD | ctrl::FRCDPX | ctrl::LRST | ctrl::VME | ctrl::RFCE | ctrl::TFCE;
        let clear = clear | automatic | quirks.ctrl_clear;
        registers.update(CTRL, clear, ctrl::SLU | quirks.ctrl_set);
        if !quirks.fixed_pause_address {
            registers.write(FCAL, PAUSE_ADDRESS_LOW);
            registers.write(FCAH, PAUSE_ADDRESS_HIGH);
            registers.write(FCT, PAUSE_TYPE);
        }
        registers.write(FCTTV, quirks.pause_time);
        // Pause when a tenth of the packet memory is left, go on two frames below that.
        let bytes = packet_memory(&self.part).saturating_mul(1024);
        // The frame that the other end has begun by then must find room.
        let longest = bytes.saturating_sub(self.longest_frame);
        let high = (bytes.saturating_mul(9) / 10).min(longest) & GRAIN;
        registers.write(FCRTH, high);
        registers.write(FCRTL, (high.saturating_sub(HYSTERESIS) & GRAIN) | XON);
        if quirks.correct_packet_memory {
            registers.update(PBA_ECC, 0, pba_ecc::CORR_EN);
        }
        if quirks.packet_memory_ecc {
            registers.update(PBECCSTS, 0, pbeccsts::ECC_ENABLE);
        }
        if quirks.wake_clock_on {
            registers.update(FFLT_DBG, 0, fflt_dbg::DONT_GATE_WAKE_DMA_CLK);
        }
        queue::start_control(&self.part);
    }

    /// The transmitter (8254x §14.5, 82574 §4.6.6, I210 §4.5.10).
    ///
    /// # Errors
    /// [`AttachError::Stuck`] when the queue does not turn on.
    pub(super) fn start_transmitter(&self) -> Result<(), AttachError> {
        let registers = &self.part.registers;
        let quirks = self.part.model.family.quirks();
        let base = self.transmit.base();
        registers.write(TDBAL, low(base));
        registers.write(TDBAH, high(base));
        registers.write(TDLEN, ring_bytes(self.transmit.count()));
        registers.write(TDH, 0);
        registers.write(TDT, 0);
        registers.write(TIPG, quirks.gap);
        for (register, (clear, set)) in [(TARC0, quirks.tarc0), (TARC1, quirks.tarc1)] {
            if (clear, set) != (0, 0) {
                registers.update(register, clear, set);
            }
        }
        pci::enable_bus_master(&self.part.config, self.part.address);
        let value = tctl::EN | tctl::PSP | tctl::CT | tctl::COLD | tctl::RTLC;
        if quirks.format == Format::Advanced {
            queue::start_transmit(&self.part)?;
        } else {
            registers.update(TXDCTL, queue::THRESHOLDS_MASK, queue::THRESHOLDS | quirks.txdctl_set);
            if quirks.txdctl_set != 0 {
                registers.update(TXDCTL1, 0, quirks.txdctl_set);
            }
        }
        registers.write(TCTL, value);
        Ok(())
    }

    /// The receiver (8254x §14.4, 82574 §4.6.5, I210 §4.5.9).
    ///
    /// RCTL is written with its enable bit exactly once: QEMU's e1000 stays deaf for a second
    /// after every write to it.
    ///
    /// # Errors
    /// [`AttachError::Stuck`] when the queue does not turn on.
    pub(super) fn start_receiver(&mut self) -> Result<(), AttachError> {
        let registers = &self.part.registers;
        let quirks = self.part.model.family.quirks();
        let base = self.receive.base();
        registers.write(RDBAL, low(base));
        registers.write(RDBAH, high(base));
        registers.write(RDLEN, ring_bytes(self.receive.count()));
        registers.write(RDH, 0);
        registers.write(RDT, 0);
        registers.write(RXCSUM, rxcsum::IPOFL | rxcsum::TUOFL);
        if quirks.express {
            registers.write(MRQC, 0);
            let extended = if quirks.format == Format::Extended { rfctl::EXTEN } else { 0 };
            registers.update(RFCTL, rfctl::EXTEN, extended | quirks.rfctl_set);
        }
        if quirks.format == Format::Advanced {
            queue::start_receive(&self.part, self.longest_frame, self.receive.buffer_size())?;
        } else {
            registers.write(RDTR, 0);
            registers.write(RADV, 0);
            registers.write(RXDCTL, queue::THRESHOLDS);
        }
        // All multicast: IPv6 neighbour discovery needs its groups, and the stack filters.
        let control = rctl::EN | rctl::BAM | rctl::MPE | rctl::SECRC;
        registers.write(RCTL, control | self.frame_sizes());
        if quirks.flush_receive_memory {
            queue::flush_receive_memory(&self.part, self.longest_frame);
        }
        registers.write(RDT, self.receive.tail());
        Ok(())
    }

    /// RCTL's fields for frames longer than the common ones, and for the buffers that they need;
    /// where descriptors are advanced, SRRCTL has the latter.
    fn frame_sizes(&self) -> u32 {
        let long = if self.longest_frame > LONGEST_COMMON_FRAME { rctl::LPE } else { 0 };
        let buffers = match self.receive.buffer_size() {
            _ if self.part.model.family.quirks().format == Format::Advanced => 0,
            16384 => rctl::BSEX | rctl::BSIZE_16384,
            8192 => rctl::BSEX | rctl::BSIZE_8192,
            4096 => rctl::BSEX | rctl::BSIZE_4096,
            _ => rctl::BSIZE_2048,
        };
        long | buffers
    }

    /// What depends on the speed of a link that came up.
    pub(super) fn adapt_to_speed(&self, link: Link) {
        let quirks = self.part.model.family.quirks();
        if let (true, Link::Up { megabits, .. }) = (quirks.tarc0_speed_mode, link) {
            let set = if megabits == 1000 { tarc::SPEED_MODE } else { 0 };
            self.part.registers.update(TARC0, tarc::SPEED_MODE, set);
        }
    }
}

/// Kilobytes that the part gives to received frames.
fn packet_memory<H: Hal + Clone, C: ConfigSpace>(part: &Part<H, C>) -> u32 {
    /// Time stamps off, 34 KiB (I210 §8.3.1).
    const RXPBS_I210: u32 = 34 | 1 << 7;
    /// 20 KiB for the only queue, 4 KiB for firmware (I210 §8.3.2).
    const TXPBS_I210: u32 = 20 | 1 << 26;
    let registers = &part.registers;
    match part.model.family.quirks().packet_memory {
        PacketMemory::Pba => registers.read(PBA) & 0xff,
        PacketMemory::Rxpbs => registers.read(RXPBS) & 0x7f,
        PacketMemory::RxpbsIndex => {
            let index = usize::try_from(registers.read(RXPBS) & 0xf).unwrap_or(0);
            let [smallest, ..] = PacketMemory::SIZES;
            PacketMemory::SIZES.get(index).copied().unwrap_or(smallest)
        }
        PacketMemory::Written => {
            registers.write(RXPBS, RXPBS_I210);
            registers.write(TXPBS, TXPBS_I210);
            RXPBS_I210 & 0x3f
        }
    }
}

const fn ring_bytes(count: u32) -> u32 {
    count.saturating_mul(descriptor::SIZE as u32)
}

fn low(address: u64) -> u32 {
    (address & 0xffff_ffff) as u32
}

fn high(address: u64) -> u32 {
    (address >> 32) as u32
}
