//! The I219 hangs in a reset while its queues hold descriptors: they are emptied first
//! (I219 specification update; configuration word 0xe4 tells).

use core::time::Duration;

use super::Part;
use crate::hal::Hal;
use crate::intel::descriptor::Format;
use crate::intel::registers::{
    CTRL, FEXTNVM11, RCTL, RXDCTL, TCTL, TDBAH, TDBAL, TDH, TDLEN, TDT, ctrl, fextnvm11, rctl, tctl,
};
use crate::intel::ring::{BUFFER_SIZE, Offload, Shape, TransmitRing};
use crate::pci::{self, ConfigSpace};

impl<H: Hal + Clone, C: ConfigSpace> Part<H, C> {
    /// Empties the queues, if that is due. The ring that did it must live until the reset is done.
    ///
    /// The receiver is off by now, so that memory which firmware's ring may still name can be
    /// allocated: nothing is written there any more.
    pub(super) fn flush_queues(&self) -> Option<TransmitRing<H>> {
        let registers = &self.registers;
        if !self.quirks().flush_rings {
            return None;
        }
        registers.update(FEXTNVM11, 0, fextnvm11::DISABLE_MULR_FIX);
        if !self.is_flush_due() || registers.read(TDLEN) == 0 {
            return None;
        }
        let shape = Shape {
            format: Format::Legacy,
            count: 8,
            most: self.quirks().most_descriptors,
            highest_address: self.quirks().highest_address,
            buffer: BUFFER_SIZE,
            longest: BUFFER_SIZE,
        };
        let mut ring = match TransmitRing::new(&self.hal, shape) {
            Ok(ring) => ring,
            Err(error) => {
                let (name, address) = (self.model.name, self.address);
                log::warn!("{name} {address}: queues not emptied before the reset: {error}");
                return None;
            }
        };
        registers.update(CTRL, ctrl::MASTER_DISABLE, 0);
        pci::enable_bus_master(&self.config, self.address);
        self.flush_transmit(&mut ring);
        if self.is_flush_due() {
            self.flush_receive();
        }
        self.drain();
        Some(ring)
    }

    fn is_flush_due(&self) -> bool {
        const DESC_RING_STATUS: u16 = 0xe4;
        const FLUSH_DESC_REQUIRED: u32 = 1 << 8;
        self.config.read(self.address, DESC_RING_STATUS) & FLUSH_DESC_REQUIRED != 0
    }

    /// One descriptor of our own, of zeroes, pushes out what is left.
    fn flush_transmit(&self, ring: &mut TransmitRing<H>) {
        const LEN: usize = 512;
        const DESCRIPTOR: u32 = 16;
        const TRANSMISSION: Duration = Duration::from_micros(250);
        let registers = &self.registers;
        let base = ring.base();
        registers.write(TDBAL, (base & 0xffff_ffff) as u32);
        registers.write(TDBAH, (base >> 32) as u32);
        registers.write(TDLEN, ring.count().saturating_mul(DESCRIPTOR));
        registers.write(TDH, 0);
        registers.write(TDT, 0);
        registers.update(TCTL, 0, tctl::EN);
        if let Some(frame) = ring.buffer().get_mut(..LEN) {
            frame.fill(0);
        }
        ring.push(LEN, Offload::None);
        registers.write(TDT, ring.tail());
        registers.flush();
        self.hal.wait(TRANSMISSION);
        registers.update(TCTL, tctl::EN, 0);
    }

    /// Other thresholds make the part drop what it prefetched, once it is on for a moment.
    fn flush_receive(&self) {
        const THRESHOLDS: u32 = 0x3fff;
        /// Prefetch 31, host 1, counted in descriptors.
        const FLUSHING: u32 = 31 | 1 << 8 | 1 << 24;
        const MOMENT: Duration = Duration::from_micros(150);
        let registers = &self.registers;
        registers.update(RXDCTL, THRESHOLDS, FLUSHING);
        for (clear, set) in [(rctl::EN, 0), (0, rctl::EN), (rctl::EN, 0)] {
            registers.update(RCTL, clear, set);
            registers.flush();
            self.hal.wait(MOMENT);
        }
    }
}
