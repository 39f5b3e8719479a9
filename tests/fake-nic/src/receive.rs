//! Frames in: descriptors fetched ahead, filled, and written back in three formats.
//!
//! The device fetches every descriptor when the tail tells of it, as silicon does, and looks
//! again when it uses one: a descriptor that was changed while the device owned it fails the
//! test.

use std::collections::{BTreeSet, VecDeque};

use crate::device::State;
use crate::register::{
    CTRL, MPC, QUEUE_ENABLE, RAH0, RAL0, RCTL, RDBAL, RDH, RDLEN, RDT, RFCTL, RFCTL_EXTEN, RLPML,
    RNBC, RXCSUM, RXDCTL, SRRCTL, ctrl, icr, rctl,
};

pub(crate) const DD: u8 = 1 << 0;
pub(crate) const EOP: u8 = 1 << 1;
pub(crate) const IXSM: u8 = 1 << 2;
const VP: u8 = 1 << 3;
const UDPCS: u8 = 1 << 4;
const TCPCS: u8 = 1 << 5;
const IPCS: u8 = 1 << 6;
const TCPE: u8 = 1 << 5;

/// What the device has fetched.
#[derive(Default)]
pub(crate) struct Receive {
    /// Slot and content, in the order of the ring.
    fetched: VecDeque<(u32, [u8; 16])>,
    /// The slot to fetch next; the head, when nothing was fetched.
    next: Option<u32>,
    /// Slots that were filled before their turn.
    ahead: BTreeSet<u32>,
}

/// Formats of descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Legacy,
    Extended,
    Advanced,
}

/// What a descriptor says besides its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    pub(crate) status: u8,
    pub(crate) errors: u8,
    /// A length that may lie.
    pub(crate) len: Option<u16>,
    pub(crate) tag: u16,
}

impl State {
    /// Whether frames from the wire reach memory.
    pub(crate) fn is_receiving(&self) -> bool {
        let is_queue_on = !self.traits.is_advanced() || self.get(RXDCTL) & QUEUE_ENABLE != 0;
        self.get(RCTL) & rctl::EN != 0 && is_queue_on && self.may_dma() && self.slots() != 0
    }

    fn slots(&self) -> u32 {
        self.get(RDLEN) / 16
    }

    /// Descriptors between head and tail.
    fn free(&self) -> u32 {
        let slots = self.slots().max(1);
        (self.get(RDT) % slots + slots - self.get(RDH) % slots) % slots
    }

    /// A frame from the wire; says whether it reached memory.
    pub(crate) fn deliver(&mut self, frame: &[u8]) -> bool {
        if !self.is_receiving() || !self.behaviour.link_up {
            return false;
        }
        if self.behaviour.filters && !self.passes(frame) {
            return false;
        }
        let mut bytes = frame.to_vec();
        let mut written = Written { status: self.checked(frame), ..Written::default() };
        if !good_sums(frame) && written.status & (TCPCS | UDPCS) != 0 {
            written.errors |= TCPE;
        }
        if self.get(CTRL) & ctrl::VME != 0 && bytes.get(12..14) == Some(&[0x81, 0x00]) {
            written.tag = u16::from_be_bytes([bytes[14], bytes[15]]);
            written.status |= VP;
            bytes.drain(12..16);
        }
        if self.get(RCTL) & rctl::SECRC == 0 || self.behaviour.keeps_check_sequence {
            bytes.extend([0x12, 0x34, 0x56, 0x78]);
        }
        let size = self.buffer_size();
        if bytes.len().div_ceil(size) as u32 > self.free() {
            self.overrun();
            return false;
        }
        let last = bytes.len().div_ceil(size).max(1) - 1;
        for at in 0..=last {
            let piece = &bytes[at * size..bytes.len().min((at + 1) * size)];
            let ends = if at == last { written.status | EOP } else { 0 };
            self.fill_next(piece, Written { status: DD | ends, ..written });
        }
        self.raise_received();
        true
    }

    /// One descriptor is filled as told, whatever the formats say; whether there was one.
    pub(crate) fn deliver_piece(&mut self, bytes: &[u8], written: Written) -> bool {
        if !self.is_receiving() {
            return false;
        }
        if self.free() == 0 {
            self.overrun();
            return false;
        }
        self.fill_next(bytes, written);
        self.raise_received();
        true
    }

    /// Fills the descriptor `ahead` of the head without moving the head.
    pub(crate) fn deliver_ahead(&mut self, ahead: u32, bytes: &[u8]) {
        let slot = (self.get(RDH) + ahead) % self.slots();
        let status = DD | EOP | IXSM;
        self.fill(slot, bytes, Written { status, ..Written::default() });
        self.receive.ahead.insert(slot);
    }

    fn overrun(&mut self) {
        for counter in [MPC, RNBC] {
            let more = self.get(counter) + 1;
            self.set(counter, more);
        }
        self.raise(icr::RXO);
    }

    fn raise_received(&mut self) {
        let threshold = (self.slots() / 2) >> (self.get(RCTL) >> 8 & 3);
        let is_low = self.free() <= threshold;
        self.raise(icr::RXT0 | if is_low { icr::RXDMT0 } else { 0 });
    }

    /// Fetches what the tail has told of.
    pub(crate) fn prefetch_receive(&mut self) {
        let slots = self.slots();
        if !self.is_receiving() {
            return;
        }
        let mut slot = self.receive.next.unwrap_or(self.get(RDH)) % slots;
        while slot != self.get(RDT) % slots {
            let content = self.descriptor(slot);
            self.check_given(&content);
            self.receive.fetched.push_back((slot, content));
            slot = (slot + 1) % slots;
        }
        self.receive.next = Some(slot);
    }

    fn descriptor(&self, slot: u32) -> [u8; 16] {
        let at = self.base(RDBAL) + u64::from(slot) * 16;
        self.dma_read(at, 16).try_into().expect("16 bytes")
    }

    /// A descriptor that is given to the device has nothing in it that looks done.
    fn check_given(&self, content: &[u8; 16]) {
        let is_clean = match self.format() {
            Format::Legacy => content[12] & DD == 0,
            // The header's address, of which bit 0 is DD.
            Format::Extended | Format::Advanced => content[8] & DD == 0,
        };
        let is_hostile = self.behaviour.is_hostile;
        assert!(
            is_clean || is_hostile,
            "a descriptor was given back that looks done: {content:02x?}"
        );
    }

    fn format(&self) -> Format {
        let is_advanced = self.get(SRRCTL) >> 25 & 7 == 1;
        if self.traits.is_advanced() && is_advanced {
            Format::Advanced
        } else if self.traits.has_extended() && self.get(RFCTL) & RFCTL_EXTEN != 0 {
            Format::Extended
        } else {
            Format::Legacy
        }
    }

    fn buffer_size(&self) -> usize {
        let kilobytes = self.get(SRRCTL) & 0x7f;
        if self.traits.is_advanced() && kilobytes != 0 {
            return kilobytes as usize * 1024;
        }
        let control = self.get(RCTL);
        let size = 2048 >> (control >> rctl::BSIZE_SHIFT & 3);
        if control & rctl::BSEX != 0 { size * 16 } else { size }
    }

    fn fill_next(&mut self, bytes: &[u8], written: Written) {
        let slots = self.slots();
        while self.receive.ahead.remove(&self.get(RDH)) {
            self.step(slots);
        }
        self.fill(self.get(RDH), bytes, written);
        self.step(slots);
    }

    fn step(&mut self, slots: u32) {
        let head = self.get(RDH);
        self.receive.fetched.retain(|(slot, _)| *slot != head);
        self.set(RDH, (head + 1) % slots);
    }

    fn fill(&mut self, slot: u32, bytes: &[u8], written: Written) {
        let now = self.descriptor(slot);
        let fetched = self.receive.fetched.iter().find(|(at, _)| *at == slot);
        if let Some((_, then)) = fetched
            && !self.behaviour.is_hostile
        {
            assert_eq!(*then, now, "descriptor {slot} was changed while the device owned it");
        }
        self.check_given(&now);
        let [address, _] = halves(now);
        // All of a buffer is the device's, however short the frame.
        self.dma_check(address, self.buffer_size());
        self.dma_write(address, bytes);
        let Written { status, errors, len, tag } = written;
        let [l0, l1] = len.unwrap_or(bytes.len() as u16).to_le_bytes();
        let [t0, t1] = tag.to_le_bytes();
        let at = self.base(RDBAL) + u64::from(slot) * 16;
        match self.format() {
            Format::Legacy => {
                self.dma_write(at + 8, &[l0, l1, 0, 0, status, errors, t0, t1]);
            }
            Format::Extended | Format::Advanced => {
                // Packet type and hash lie where the address was.
                self.dma_write(at, &[0x10, 0x01, 0, 0, 0xde, 0xad, 0xbe, 0xef]);
                self.dma_write(at + 8, &[status, 0, 0, errors, l0, l1, t0, t1]);
            }
        }
    }

    /// Whether the filters let a frame through.
    fn passes(&self, frame: &[u8]) -> bool {
        const CHECK_SEQUENCE: usize = 4;
        let Some(destination) = frame.get(..6) else { return false };
        let control = self.get(RCTL);
        let on = |bit| control & bit != 0;
        let is_ours = (0..15).any(|at| {
            let [low, high] = [self.get(RAL0 + 8 * at), self.get(RAH0 + 8 * at)];
            high >> 31 != 0
                && destination[..4] == low.to_le_bytes()
                && destination[4..] == high.to_le_bytes()[..2]
        });
        let is_wanted = match destination {
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff] => on(rctl::BAM) || on(rctl::MPE),
            [first, ..] if first & 1 != 0 => on(rctl::MPE),
            _ => is_ours || on(rctl::UPE),
        };
        let len = frame.len() + CHECK_SEQUENCE;
        let longest = match self.get(RLPML) as usize {
            _ if !on(rctl::LPE) => 1522,
            limit if self.traits.is_advanced() && limit != 0 => limit,
            _ => self.traits.longest as usize,
        };
        is_wanted && len <= longest
    }

    /// What the device looked at.
    fn checked(&self, frame: &[u8]) -> u8 {
        const TUOFL: u32 = 1 << 9;
        if !self.behaviour.checks_sums || self.get(RXCSUM) & TUOFL == 0 {
            return IXSM;
        }
        match (frame.get(12..14), frame.get(23)) {
            (Some(&[8, 0]), Some(6)) => IPCS | TCPCS,
            (Some(&[8, 0]), Some(17)) => IPCS | UDPCS,
            (Some(&[8, 0]), _) => IPCS,
            _ => 0,
        }
    }

    /// What firmware's rings get as long as they run: a frame with each look at the machine.
    pub(crate) fn foreign_traffic(&mut self) {
        let base = self.base(RDBAL);
        let is_foreign = |region: &crate::memory::Region| region.is_foreign && region.bus == base;
        if self.is_receiving() && self.memory.regions.iter().any(is_foreign) {
            let slots = self.slots();
            let behind = (self.get(RDH) + slots - 1) % slots;
            self.set(RDT, behind);
            self.fill_again();
        }
    }

    /// Writes into the next descriptor, done or not.
    fn fill_again(&mut self) {
        let slot = self.get(RDH);
        let at = self.base(RDBAL) + u64::from(slot) * 16;
        let [address, _] = halves(self.descriptor(slot));
        self.dma_write(address, &[0xff; 60]);
        self.dma_write(at + 8, &[60, 0, 0, 0, DD | EOP, 0, 0, 0]);
        self.step(self.slots());
    }
}

fn halves(descriptor: [u8; 16]) -> [u64; 2] {
    let half = |at: usize| {
        let bytes = descriptor[at..at + 8].try_into().expect("8 bytes");
        u64::from_le_bytes(bytes)
    };
    [half(0), half(8)]
}

/// Whether the TCP or UDP sum of an IPv4 frame is right; true for every other frame.
fn good_sums(frame: &[u8]) -> bool {
    let is_ipv4 = frame.get(12..14) == Some(&[8, 0]);
    let Some(&protocol @ (6 | 17)) = frame.get(23).filter(|_| is_ipv4 && frame.len() > 34) else {
        return true;
    };
    let len = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
    let header = usize::from(frame[14] & 0xf) * 4;
    let Some(segment) = frame.get(14 + header..14 + len) else { return false };
    let pseudo = [&frame[26..34], &[0, protocol], &(segment.len() as u16).to_be_bytes()].concat();
    let words = |bytes: &[u8]| -> u32 {
        bytes
            .chunks(2)
            .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)))
            .sum()
    };
    let mut sum = words(&pseudo) + words(segment);
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum == 0xffff
}
