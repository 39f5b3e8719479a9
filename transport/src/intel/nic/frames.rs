//! Frames in and out, in place, with as few register writes as possible.

use core::num::NonZeroU16;

use crate::checksum;
use crate::hal::Hal;
use crate::intel::descriptor::{Checksum, Received};
use crate::intel::registers::{RDT, Registers, TDT};
use crate::intel::ring::{Offload, ReceiveRing, SHORTEST_FRAME, TransmitRing};
use crate::segmentation;

/// So many looks in a row that find nothing are a rest: some 100 µs of a stack that is polled
/// without a pause.
const FRUITLESS_LOOKS: u32 = 64;

/// Descriptors of which the part is told at once, of so many in the ring.
pub(super) const fn batch(count: u32) -> u32 {
    count / 4
}

/// The receiving half of a [`Nic`](super::Nic).
pub struct Receiver<'a, H: Hal> {
    pub(super) registers: &'a Registers<H>,
    pub(super) ring: &'a mut ReceiveRing<H>,
    pub(super) discarding: &'a mut bool,
    pub(super) fruitless: &'a mut u32,
    pub(super) received: &'a mut u64,
    pub(super) damaged: &'a mut u64,
    pub(super) oversize: &'a mut u64,
    pub(super) bad_checksum: &'a mut u64,
}

impl<'a, H: Hal> Receiver<'a, H> {
    /// Whether the part has written a frame, good or not: one look at memory. In vain, it counts as
    /// one of [`receive`](Self::receive)'s.
    pub fn has_frame(&mut self) -> bool {
        let has_frame = self.ring.peek().is_some();
        if !has_frame {
            self.rest();
        }
        has_frame
    }

    /// The next good frame. Frames that are damaged, too long, in pieces or with a wrong TCP or
    /// UDP checksum are dropped and counted; one call looks at no more descriptors than the ring
    /// has.
    ///
    /// When nothing comes for a while, the part is told of every descriptor that was given back.
    #[must_use]
    pub fn receive(mut self) -> Option<Frame<'a, H>> {
        for _ in 0..self.ring.count() {
            let Some(received) = self.ring.peek() else {
                self.rest();
                return None;
            };
            *self.fruitless = 0;
            if self.is_good(received) {
                *self.received = self.received.wrapping_add(1);
                return Some(Frame { len: received.len(), receiver: self });
            }
            self.rearm();
        }
        None
    }

    fn is_good(&mut self, received: Received) -> bool {
        let is_rest = *self.discarding;
        *self.discarding = !received.is_end();
        if is_rest {
            return false;
        }
        let count = if received.is_damaged() {
            &mut *self.damaged
        } else if !received.is_end()
            || received.len() > self.ring.buffer_size()
            || received.is_empty()
        {
            &mut *self.oversize
        } else {
            let is_good = match received.checksum() {
                Checksum::Good => true,
                Checksum::Bad => false,
                // Some models never look (QEMU's e1000), others only at plain TCP and UDP.
                Checksum::Unchecked => checksum::is_good(self.ring.frame(received.len())),
            };
            if is_good {
                return true;
            }
            &mut *self.bad_checksum
        };
        *count = count.wrapping_add(1);
        false
    }

    fn rearm(&mut self) {
        self.ring.release();
        if self.ring.untold() >= batch(self.ring.count()) {
            self.write_tail();
        }
    }

    /// A register write between a question and its answer makes the answer late: what a few frames
    /// have freed the part need not know before they are many, or the conversation rests.
    fn rest(&mut self) {
        *self.fruitless = self.fruitless.saturating_add(1);
        if *self.fruitless >= FRUITLESS_LOOKS && self.ring.untold() != 0 {
            self.write_tail();
        }
    }

    fn write_tail(&mut self) {
        let tail = self.ring.tail();
        self.registers.write_tail(RDT, tail);
    }
}

/// A received frame, lent where the part put it. Dropping it gives the buffer back; the part is
/// told once per quarter of the ring.
pub struct Frame<'a, H: Hal> {
    len: usize,
    receiver: Receiver<'a, H>,
}

impl<H: Hal> Frame<'_, H> {
    /// The frame, without its check sequence.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.receiver.ring.frame(self.len)
    }

    /// The same, to be changed in place.
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.receiver.ring.frame_mut(self.len)
    }
}

impl<H: Hal> Drop for Frame<'_, H> {
    fn drop(&mut self) {
        self.receiver.rearm();
    }
}

/// The transmitting half of a [`Nic`](super::Nic).
pub struct Transmitter<'a, H: Hal> {
    pub(super) registers: &'a Registers<H>,
    pub(super) ring: &'a mut TransmitRing<H>,
    pub(super) computes_checksums: bool,
    pub(super) identification: &'a mut u16,
    pub(super) transmitted: &'a mut u64,
}

impl<H: Hal> Transmitter<'_, H> {
    /// Whether a frame can be queued. A full ring is flushed and its finished frames taken back
    /// first, so that this becomes true as soon as the part has sent something.
    pub fn has_room(&mut self) -> bool {
        if self.ring.has_room() {
            return true;
        }
        self.flush();
        self.ring.reclaim();
        self.ring.has_room()
    }

    /// Queues a frame of `len` bytes, at most a buffer's, that `fill` writes. The part sees
    /// it at the next [`flush`](Self::flush). A longer one, or one
    /// without [room](Self::has_room), is lost.
    pub fn send<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let result = fill(self.room(len));
        self.push(len, Offload::None);
        result
    }

    /// The same, for a stack that leaves TCP and UDP checksums out: the part computes them, or the
    /// processor where the part cannot.
    pub fn send_without_checksum<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let result = fill(self.room(len));
        // A short frame is padded, and QEMU's e1000e takes the padding for payload.
        let offload = if self.computes_checksums && len >= SHORTEST_FRAME {
            checksum::prepare(self.room(len)).map_or(Offload::None, Offload::Checksum)
        } else {
            checksum::complete(self.room(len));
            Offload::None
        };
        self.push(len, offload);
        result
    }

    /// The same for a TCP segment over IPv4 of up to
    /// [`longest_segmented`](super::Nic::longest_segmented) bytes, VLAN tag included, which the part
    /// cuts into segments with at most `size` bytes of data each. One that cannot be cut is lost.
    pub fn send_segmented<R>(
        &mut self,
        len: usize,
        size: NonZeroU16,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        let result = fill(self.room(len));
        let identification = *self.identification;
        if let Some(how) = segmentation::prepare(self.room(len), size, identification) {
            *self.identification = identification.wrapping_add(1);
            self.push(len, Offload::Segmentation(how));
        }
        result
    }

    /// Where the next frame goes: nothing for one that is too long.
    fn room(&mut self, len: usize) -> &mut [u8] {
        self.ring.buffer().get_mut(..len).unwrap_or_default()
    }

    fn push(&mut self, len: usize, offload: Offload) {
        if len <= self.ring.longest() && self.ring.has_room() {
            *self.transmitted = self.transmitted.wrapping_add(1);
            self.ring.push(len, offload);
        }
    }

    /// Tells the part about the frames queued since the last time: one register write for all of
    /// them, none when there are none.
    pub fn flush(&mut self) {
        if self.ring.is_untold() {
            let tail = self.ring.tail();
            self.registers.write_tail(TDT, tail);
        }
    }
}
