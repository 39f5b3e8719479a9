//! Frames out: legacy, extended and advanced descriptors, checksums put in, done bits written
//! where they were asked for.

use std::collections::VecDeque;

use crate::cut::{self, Cut};
use crate::device::State;
use crate::family::Bus;
use crate::register::{
    QUEUE_ENABLE, TARC_ENABLE, TARC0, TCTL, TDBAL, TDH, TDLEN, TDT, TXDCTL, icr, tctl,
};

const EOP: u8 = 1 << 0;
const IFCS: u8 = 1 << 1;
const INSERT_CHECKSUM: u8 = 1 << 2;
const RS: u8 = 1 << 3;
const DEXT: u8 = 1 << 5;
const VLE: u8 = 1 << 6;
const DD: u8 = 1;
/// Among a data descriptor's options: put the TCP or UDP sum in, and the IPv4 header's.
const TXSM: u8 = 1 << 1;
const IXSM: u8 = 1 << 0;
/// What 8254x have read of a descriptor for certain when they report it too early.
const SURE: usize = 8;

/// What the device has fetched, and the frame that it is putting together.
#[derive(Default)]
pub(crate) struct Transmit {
    fetched: VecDeque<(u32, [u8; 16])>,
    next: Option<u32>,
    frame: Vec<u8>,
    /// Where the last context wants the TCP or UDP sum: start, place.
    context: Option<(usize, usize)>,
    /// How the last context wants a frame to be cut; for one frame.
    cut: Option<Cut>,
    /// Whether a fragment of this frame asked for it.
    is_cut: bool,
    /// The frame before this one was cut.
    was_cut: bool,
    /// Whether a fragment of this frame asked for it.
    wants_sum: bool,
    /// Reports asked for and not given yet: where, and the byte.
    unreported: Vec<(u64, u8)>,
}

impl State {
    fn transmit_slots(&self) -> u32 {
        self.get(TDLEN) / 16
    }

    pub(crate) fn is_transmitting(&self) -> bool {
        let is_queue_on = if self.traits.is_advanced() {
            self.get(TXDCTL) & QUEUE_ENABLE != 0
        } else {
            self.traits.bus == Bus::Pci || self.get(TARC0) & TARC_ENABLE != 0
        };
        self.get(TCTL) & tctl::EN != 0 && is_queue_on && self.may_dma()
    }

    /// Descriptors between head and tail.
    pub(crate) fn transmit_backlog(&self) -> u32 {
        let slots = self.transmit_slots().max(1);
        (self.get(TDT) % slots + slots - self.get(TDH) % slots) % slots
    }

    pub(crate) fn prefetch_transmit(&mut self) {
        let slots = self.transmit_slots();
        if !self.is_transmitting() || slots == 0 {
            return;
        }
        let mut slot = self.transmit.next.unwrap_or(self.get(TDH)) % slots;
        while slot != self.get(TDT) % slots {
            let content = self.transmit_descriptor(slot);
            self.transmit.fetched.push_back((slot, content));
            slot = (slot + 1) % slots;
        }
        self.transmit.next = Some(slot);
    }

    pub(crate) fn transmit_descriptor(&self, slot: u32) -> [u8; 16] {
        let at = self.base(TDBAL) + u64::from(slot) * 16;
        self.dma_read(at, 16).try_into().expect("16 bytes")
    }

    /// What happens by itself: all of it, unless the test holds it or there is no link.
    pub(crate) fn advance_transmit(&mut self) {
        if !self.behaviour.hold_transmit {
            let report = !self.behaviour.no_reports;
            self.transmit(u32::MAX, report);
        }
    }

    /// Up to `count` descriptors, and whether their done bits are written.
    pub(crate) fn transmit(&mut self, count: u32, report: bool) {
        for _ in 0..count {
            let slots = self.transmit_slots();
            let head = self.get(TDH);
            let is_empty = slots == 0 || self.transmit_backlog() == 0;
            if is_empty || !self.is_transmitting() || !self.is_link_up() {
                return;
            }
            let content = self.transmit_descriptor(head);
            let fetched = self.transmit.fetched.iter().find(|(at, _)| *at == head);
            if let Some((_, then)) = fetched
                && !self.behaviour.is_hostile
            {
                assert_eq!(*then, content, "descriptor {head} was changed under the device");
            }
            self.transmit.fetched.retain(|(at, _)| *at != head);
            // A hostile device's own scribbling is no frame.
            let is_frame = !self.behaviour.is_hostile || self.is_plain(&content);
            let reports = is_frame && self.take(content);
            if reports {
                let at = self.base(TDBAL) + u64::from(head) * 16 + 12;
                self.transmit.unreported.push((at, content[12] | DD));
            }
            if report {
                self.report();
            }
            self.set(TDH, (head + 1) % slots);
            let is_idle = self.transmit_backlog() == 0;
            let cause = if reports && report { icr::TXDW } else { 0 };
            self.raise(cause | if is_idle { icr::TXQE } else { 0 });
        }
    }

    /// TSE, of a descriptor that is not a legacy one.
    fn segmentation_bit(&self) -> u8 {
        if self.traits.is_advanced() { 1 << 7 } else { 1 << 2 }
    }

    /// Whether it is one whole frame, as long as frames are, or a context.
    fn is_plain(&self, descriptor: &[u8; 16]) -> bool {
        let word = u32::from_le_bytes(descriptor[8..12].try_into().expect("4 bytes"));
        let command = (word >> 24) as u8;
        let (context, data) = if self.traits.is_advanced() { (2, 3) } else { (0, 1) };
        let kind = word >> 20 & 0xf;
        let is_extended = command & DEXT != 0;
        let is_cut = command & self.segmentation_bit() != 0;
        if is_extended && kind == context {
            return !is_cut;
        }
        let len = (word & 0xffff) as usize;
        let sum = match is_extended {
            true if descriptor[13] & TXSM != 0 => self.transmit.context,
            false if command & INSERT_CHECKSUM != 0 => {
                Some((usize::from(descriptor[13]), usize::from(descriptor[10])))
            }
            _ => Some((0, 0)),
        };
        let has_sum = sum.is_some_and(|(start, place)| start <= len && place + 2 <= len);
        let is_known = !is_extended || (kind == data && !is_cut);
        has_sum && is_known && (14..=2048).contains(&len) && command & 3 == EOP | IFCS
    }

    /// Writes the done bits that are due, in order.
    pub(crate) fn report(&mut self) {
        for (at, status) in std::mem::take(&mut self.transmit.unreported) {
            self.dma_write(at, &[status]);
        }
    }

    /// One descriptor; whether it asked for a report.
    fn take(&mut self, descriptor: [u8; 16]) -> bool {
        let address = u64::from_le_bytes(descriptor[..8].try_into().expect("8 bytes"));
        let word = u32::from_le_bytes(descriptor[8..12].try_into().expect("4 bytes"));
        let command = (word >> 24) as u8;
        let kind = word >> 20 & 0xf;
        let is_advanced = self.traits.is_advanced();
        let len = match (command & DEXT != 0, is_advanced, kind) {
            (false, ..) => (word & 0xffff) as usize,
            (true, true, 2) | (true, false, 0) => {
                self.transmit.context = Some(if is_advanced {
                    // MACLEN and IPLEN; the sum's place by the protocol in bit 11 of the command.
                    let lengths = u32::from_le_bytes(descriptor[..4].try_into().expect("4 bytes"));
                    let start = ((lengths >> 9 & 0x7f) + (lengths & 0x1ff)) as usize;
                    (start, start + if word & 1 << 11 != 0 { 16 } else { 6 })
                } else {
                    (usize::from(descriptor[4]), usize::from(descriptor[5]))
                });
                self.transmit.cut = Cut::read(&descriptor, is_advanced);
                return command & RS != 0;
            }
            (true, true, 3) => (word & 0xffff) as usize,
            (true, false, 1) => (word & 0xf_ffff) as usize,
            _ => panic!("a transmit descriptor of no known kind: {descriptor:02x?}"),
        };
        assert!(len != 0, "an empty transmit descriptor");
        let bytes = self.dma_read(address, len);
        self.transmit.frame.extend(bytes);
        let options = descriptor[13];
        if command & DEXT != 0 && options & TXSM != 0 {
            self.transmit.wants_sum = true;
        }
        if command & DEXT == 0 && command & INSERT_CHECKSUM != 0 {
            self.transmit.context =
                Some((usize::from(descriptor[13]), usize::from(descriptor[10])));
            self.transmit.wants_sum = true;
        }
        self.transmit.is_cut |= command & DEXT != 0 && command & self.segmentation_bit() != 0;
        if self.transmit.is_cut {
            assert!(options & (TXSM | IXSM) == TXSM | IXSM, "segments need sums of their own");
            if is_advanced && let Some(cut) = &mut self.transmit.cut {
                cut.payload = (u32::from_le_bytes(descriptor[12..].try_into().expect("4 bytes"))
                    >> 14) as usize;
            }
        }
        if command & EOP != 0 {
            let is_early = self.transmit.is_cut || self.transmit.was_cut;
            if is_early && self.traits.bus == Bus::Pci {
                assert!(len <= SURE, "what the part may report too early has {len} bytes");
            }
            self.transmit.was_cut = self.transmit.is_cut;
            assert!(command & IFCS != 0, "a frame without a check sequence");
            let mut frame = std::mem::take(&mut self.transmit.frame);
            if std::mem::take(&mut self.transmit.is_cut) {
                self.transmit.wants_sum = false;
                // Whether it survives its frame differs: the driver must not count on it.
                self.transmit.context = None;
                let cut = self.transmit.cut.take().expect("cut by what no context says");
                self.sent.extend(cut::cut(&frame, &cut));
                return command & RS != 0;
            }
            if std::mem::take(&mut self.transmit.wants_sum) {
                let (start, place) = self.transmit.context.expect("a sum was asked for by nothing");
                insert_sum(&mut frame, start, place);
            }
            if command & VLE != 0 {
                let tag = [0x81, 0, descriptor[15], descriptor[14]];
                frame.splice(12..12, tag);
            }
            let longest = self.traits.longest as usize;
            let is_hostile = self.behaviour.is_hostile;
            assert!(frame.len() + 4 <= longest || is_hostile, "longer than the part can");
            self.sent.push(frame);
        }
        command & RS != 0
    }
}

/// The ones' complement sum from `start` to the end, put at `place`, where the pseudo-header's
/// was.
pub(crate) fn insert_sum(frame: &mut [u8], start: usize, place: usize) {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low));
    let mut sum: u32 = frame[start..].chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    frame[place..place + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}
