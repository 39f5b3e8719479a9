//! Descriptor rings in DMA memory: the only code that touches what the part reads and writes.
//!
//! One ring serves the three formats: how two words are composed and read is a [`Format`]'s
//! matter, which of them lies at what place and when it may be looked at is the ring's.
//!
//! Indexes are free-running `u32`s, masked on use, so that full and empty differ. The part's
//! head registers are never read: a descriptor's done bit in memory is completion. It is looked
//! at first; everything else is read after an acquire fence.

use core::ptr::NonNull;
use core::slice;
use core::sync::atomic::{Ordering, fence};

use crate::checksum::Insertion;
use crate::hal::{DmaLayout, DmaRegion, Hal};
use crate::intel::descriptor::{self, Format, Received, Transmit};
use crate::segmentation::Segmentation;

/// Bytes of one frame buffer, where frames are of the common length. Buffers are a power of two
/// in length, so that none crosses a 64 KiB boundary.
pub const BUFFER_SIZE: usize = 2048;

/// Bytes of the largest buffer that every part takes (RCTL.BSIZE with BSEX).
pub const LARGEST_BUFFER: usize = 16384;

/// Most bytes of one transmit descriptor: a longer frame is sent in pieces. What each part takes
/// is more, but less tried.
const LARGEST_PIECE: usize = 8192;

/// Shortest frame the wire carries, without the check sequence.
pub(crate) const SHORTEST_FRAME: usize = 60;

/// Why a ring could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingError {
    /// The number of descriptors is not a power of two from 8 to what the part takes.
    Count {
        /// What was asked for.
        count: u32,
        /// Most that the part takes.
        most: u32,
    },
    /// The hosting kernel has no such memory.
    NoMemory(DmaLayout),
    /// The hosting kernel's memory does not satisfy the layout.
    BadMemory(DmaLayout, u64),
}

/// What a ring is to be like.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// The descriptors that the part expects.
    pub(crate) format: Format,
    /// How many of them.
    pub(crate) count: u32,
    /// Most that the part takes.
    pub(crate) most: u32,
    /// Highest bus address that the part reaches.
    pub(crate) highest_address: u64,
    /// Bytes of each buffer: a power of two from [`BUFFER_SIZE`] to [`LARGEST_BUFFER`].
    pub(crate) buffer: usize,
    /// Bytes of the longest frame to be queued, where that is more than a buffer's; a transmit ring's.
    pub(crate) longest: usize,
}

/// The receive ring: `count` descriptors, each with a buffer of its own.
pub(crate) struct ReceiveRing<H: Hal> {
    ring: Ring<H>,
    /// The descriptor to look at next.
    next: u32,
    /// What the tail register was last told, free-running.
    told: u32,
    /// The part was seen to be done with the next descriptor.
    is_seen: bool,
}

impl<H: Hal + Clone> ReceiveRing<H> {
    pub(crate) fn new(hal: &H, shape: Shape) -> Result<Self, RingError> {
        let ring = Ring::new(hal, shape)?;
        for index in 0..ring.count() {
            ring.arm(index);
        }
        Ok(Self { ring, next: 0, told: 0, is_seen: false })
    }
}

impl<H: Hal> ReceiveRing<H> {
    /// Every descriptor armed and the first one next, for a part that starts anew.
    pub(crate) fn start_over(&mut self) {
        for index in 0..self.ring.count() {
            self.ring.arm(index);
        }
        (self.next, self.told, self.is_seen) = (0, 0, false);
    }

    pub(crate) fn base(&self) -> u64 {
        self.ring.descriptors.region.bus_address
    }

    pub(crate) fn count(&self) -> u32 {
        self.ring.count()
    }

    /// Bytes of each buffer.
    pub(crate) const fn buffer_size(&self) -> usize {
        self.ring.buffer_size
    }

    /// The write-back of the next descriptor, when the part is done with it.
    pub(crate) fn peek(&mut self) -> Option<Received> {
        self.is_seen = self.ring.received(self.next).is_done();
        if !self.is_seen {
            return None;
        }
        // The part wrote the buffer and the other fields before the done bit.
        fence(Ordering::Acquire);
        Some(self.ring.received(self.next))
    }

    /// The first `len` bytes of the next descriptor's buffer, at most all of it; nothing when the
    /// part was not [seen](Self::peek) to be done with it.
    pub(crate) fn frame(&self, len: usize) -> &[u8] {
        if !self.is_seen {
            return &[];
        }
        let buffer = self.ring.buffer(self.next);
        // SAFETY: the buffer is `buffer_size` initialised bytes of this ring's own memory; the part
        // is done with it, as was seen, and does not write to it again before `release`
        // gives the descriptor back, which takes `&mut self` and so ends this borrow.
        unsafe { slice::from_raw_parts(buffer.as_ptr(), len.min(self.ring.buffer_size)) }
    }

    /// The same, to be changed in place.
    pub(crate) fn frame_mut(&mut self, len: usize) -> &mut [u8] {
        if !self.is_seen {
            return &mut [];
        }
        let buffer = self.ring.buffer(self.next);
        // SAFETY: as in `frame`; and `&mut self` keeps every other borrow of the ring away.
        unsafe { slice::from_raw_parts_mut(buffer.as_ptr(), len.min(self.ring.buffer_size)) }
    }

    /// Arms the next descriptor again, whose address the part may have written over, and steps
    /// past it. The part learns of it from [`tail`](Self::tail).
    pub(crate) fn release(&mut self) {
        self.ring.arm(self.next);
        self.next = self.next.wrapping_add(1);
        self.is_seen = false;
    }

    /// Descriptors that are armed again without the part knowing.
    pub(crate) fn untold(&self) -> u32 {
        self.next.wrapping_sub(self.told)
    }

    /// What to write to the tail register: one behind the next descriptor, since equal head and
    /// tail mean an empty ring.
    pub(crate) fn tail(&mut self) -> u32 {
        self.told = self.next;
        // The part must find the descriptors armed before it sees the tail.
        fence(Ordering::Release);
        self.next.wrapping_sub(1) & self.ring.mask
    }
}

/// The transmit ring: `count` descriptors, each with a buffer of its own. A frame begins in the
/// buffer of the first descriptor that it takes. One that is longer than a buffer goes on in those of
/// the descriptors behind, of which it takes as many at least; behind the last buffer there is as
/// much memory as the longest frame then needs. The other buffers lie idle.
pub(crate) struct TransmitRing<H: Hal> {
    ring: Ring<H>,
    /// The descriptor to fill next.
    next: u32,
    /// The oldest descriptor that may still be in use by the part.
    oldest: u32,
    /// What the tail register was last told, free-running.
    told: u32,
    /// The piece queued last.
    last: Transmit,
    /// What the part was last told about checksums.
    context: Option<Insertion>,
    /// Bytes of the longest frame, a buffer's at least.
    longest: usize,
    /// Most bytes of one piece of a frame: no more than a buffer's, so that a frame takes as many
    /// descriptors as buffers.
    piece: usize,
    /// Whether a frame that is cut, and the one behind it, end with a sentinel: 8254x may report them
    /// before they have read all of the last descriptor, which then has only a few bytes that the
    /// part reads at once.
    has_sentinels: bool,
    /// Descriptors that a frame may take: its pieces, a context before them, and a sentinel behind.
    most_of_frame: u32,
    /// Behind the last frame that reports.
    reported: u32,
    /// The frame queued last was one to be cut.
    is_behind_cut: bool,
}

/// What the part is to do to a frame besides sending it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offload {
    /// Nothing.
    None,
    /// Put the TCP checksum in.
    Checksum(Insertion),
    /// Cut it into segments.
    Segmentation(Segmentation),
}

/// Bytes of the last piece where it is a sentinel.
const SENTINEL: usize = 4;

/// After so many descriptors the part reports completion, where a frame ends; besides the last of a
/// burst.
const REPORT_EVERY: u32 = 8;

impl<H: Hal + Clone> TransmitRing<H> {
    pub(crate) fn new(hal: &H, shape: Shape) -> Result<Self, RingError> {
        let ring = Ring::new(hal, shape)?;
        let last = Transmit::whole(0, 0);
        let longest = shape.longest.max(shape.buffer);
        let piece = shape.buffer.min(LARGEST_PIECE);
        let has_sentinels = shape.format == Format::Legacy && longest > shape.buffer;
        const CONTEXT: u32 = 1;
        let pieces = u32::try_from(longest.div_ceil(piece)).unwrap_or(u32::MAX);
        let most_of_frame = pieces.saturating_add(CONTEXT).saturating_add(has_sentinels.into());
        Ok(Self {
            ring,
            next: 0,
            oldest: 0,
            told: 0,
            last,
            context: None,
            longest,
            piece,
            has_sentinels,
            most_of_frame,
            reported: 0,
            is_behind_cut: false,
        })
    }
}

impl<H: Hal> TransmitRing<H> {
    pub(crate) fn base(&self) -> u64 {
        self.ring.descriptors.region.bus_address
    }

    pub(crate) fn count(&self) -> u32 {
        self.ring.count()
    }

    /// Empty, for a part that was stopped: says how many frames may not have left.
    pub(crate) fn start_over(&mut self) -> u32 {
        let known = self.told.wrapping_sub(self.oldest);
        // One report covers all before it.
        let sent = (1..=known).rev().find(|sent| {
            let last = self.oldest.wrapping_add(*sent).wrapping_sub(1);
            self.is_done(last)
        });
        let left = self.next.wrapping_sub(self.oldest).wrapping_sub(sent.unwrap_or(0));
        (self.next, self.oldest, self.told, self.reported) = (0, 0, 0, 0);
        (self.context, self.is_behind_cut) = (None, false);
        left
    }

    /// Makes the part, which started anew, learn again of what was queued since
    /// [`start_over`](Self::start_over).
    pub(crate) const fn tell_again(&mut self) {
        self.told = self.oldest;
    }

    /// The oldest frame that the part knows of and has not reported, free-running.
    pub(crate) fn oldest_under_way(&mut self) -> Option<u32> {
        self.reclaim();
        (self.oldest != self.told).then_some(self.oldest)
    }

    /// Whether there is a buffer to fill, and descriptors for all that a frame may take. One
    /// descriptor stays unused.
    pub(crate) fn has_room(&self) -> bool {
        self.next.wrapping_sub(self.oldest).saturating_add(self.most_of_frame) <= self.ring.mask
    }

    /// Bytes of the longest frame.
    pub(crate) const fn longest(&self) -> usize {
        self.longest
    }

    /// The buffer to fill, as long as the longest frame where there is [room](Self::has_room); where
    /// there is none, that of the descriptor that stays unused.
    pub(crate) fn buffer(&mut self) -> &mut [u8] {
        let len = if self.has_room() { self.longest } else { self.ring.buffer_size };
        let buffer = self.ring.buffer(self.next);
        // SAFETY: these are initialised bytes of this ring's own memory: the last buffer has room
        // for the longest frame behind its begin. No frame of the part's lies in them, because the
        // descriptors from `next` on, as many as buffers are touched here, end before `oldest`,
        // which is the first descriptor of a frame, comes round again: `has_room` counted them, and
        // one is always free. Behind the last buffer lies only the frame whose descriptors go round
        // the end, which is one. And `&mut self` keeps every other borrow away.
        unsafe { slice::from_raw_parts_mut(buffer.as_ptr(), len) }
    }

    /// Queues the first `len` bytes of [`buffer`](Self::buffer), padded to the shortest frame;
    /// drops them when there is no room. The part learns of it from [`tail`](Self::tail).
    ///
    /// The part keeps what it was told about checksums, so that a context goes before a frame only
    /// where it changes. One about segments is for a single frame, and may replace the other.
    pub(crate) fn push(&mut self, len: usize, offload: Offload) {
        if !self.has_room() {
            return;
        }
        let len = len.min(self.longest);
        if let Some(padding) = self.buffer().get_mut(len..SHORTEST_FRAME) {
            padding.fill(0);
        }
        let len = len.max(SHORTEST_FRAME);
        let frame = self.ring.buffer_bus(self.next);
        let mut frame_len = u16::try_from(len).unwrap_or(0);
        match offload {
            Offload::Checksum(insertion) if self.context != Some(insertion) => {
                self.put(self.ring.format.context(insertion));
                self.context = Some(insertion);
            }
            Offload::Segmentation(how) => {
                self.put(self.ring.format.segmentation(how));
                self.context = None;
                frame_len = how.payload;
            }
            Offload::Checksum(_) | Offload::None => {}
        }
        let is_cut = matches!(offload, Offload::Segmentation(_));
        let sentinel = self.has_sentinels && (is_cut || self.is_behind_cut);
        let body = if sentinel { len.saturating_sub(SENTINEL) } else { len };
        self.is_behind_cut = is_cut;
        let mut offset = 0_usize;
        while offset < len {
            let rest = len.wrapping_sub(offset);
            let piece = match body.saturating_sub(offset) {
                0 => rest,
                body => body.min(self.piece),
            };
            let end = piece == rest;
            // Only ends report: a report takes back whole frames.
            let behind = self.next.wrapping_add(1);
            let report = end && behind.wrapping_sub(self.reported) >= REPORT_EVERY;
            if report {
                self.reported = behind;
            }
            self.last = Transmit {
                address: frame.wrapping_add(offset as u64),
                len: u16::try_from(piece).unwrap_or(0),
                frame_len,
                end,
                insert_checksum: offload != Offload::None,
                is_cut,
                report,
            };
            self.put(self.ring.format.transmit(self.last));
            offset = offset.wrapping_add(piece);
        }
    }

    fn put(&mut self, descriptor: [u64; 2]) {
        self.ring.write(self.next, descriptor);
        self.next = self.next.wrapping_add(1);
    }

    /// Whether frames wait for the tail register.
    pub(crate) fn is_untold(&self) -> bool {
        self.told != self.next
    }

    /// What to write to the tail register. The last frame before it is made to report.
    pub(crate) fn tail(&mut self) -> u32 {
        if self.is_untold() {
            // From our own copy: what memory holds is what the part may have made of it.
            let last = Transmit { report: true, ..self.last };
            self.ring.write(self.next.wrapping_sub(1), self.ring.format.transmit(last));
            (self.told, self.reported) = (self.next, self.next);
        }
        // The part must find descriptors and frames written before it sees the tail.
        fence(Ordering::Release);
        self.next & self.ring.mask
    }

    /// Takes back the buffers of frames that are out.
    ///
    /// Completion is in order, so one report covers all before it: the end of the last burst is
    /// looked at first, then, of a long backlog, one descriptor after the other as far as the next
    /// report can be.
    pub(crate) fn reclaim(&mut self) {
        if self.oldest == self.told {
            return;
        }
        if self.is_done(self.told.wrapping_sub(1)) {
            self.oldest = self.told;
        } else {
            let most = REPORT_EVERY.saturating_add(self.most_of_frame);
            loop {
                let known = self.told.wrapping_sub(self.oldest);
                let done =
                    (0..known.min(most)).find(|at| self.is_done(self.oldest.wrapping_add(*at)));
                let Some(done) = done else { break };
                self.oldest = self.oldest.wrapping_add(done).wrapping_add(1);
            }
        }
        // Nothing of the freed buffers may be written before the done bits were read.
        fence(Ordering::Acquire);
    }

    fn is_done(&self, index: u32) -> bool {
        self.ring.format.is_sent(self.ring.read_status(index))
    }
}

/// Descriptors and buffers of either ring.
///
/// Memory goes back in the reverse order of its allocation, which suits stack-like allocators.
struct Ring<H: Hal> {
    buffers: Memory<H>,
    descriptors: Memory<H>,
    mask: u32,
    buffer_size: usize,
    format: Format,
}

impl<H: Hal + Clone> Ring<H> {
    fn new(hal: &H, shape: Shape) -> Result<Self, RingError> {
        let Shape { format, count, highest_address, buffer: buffer_size, longest, .. } = shape;
        if !count.is_power_of_two() || !(8..=shape.most).contains(&count) {
            return Err(RingError::Count { count, most: shape.most });
        }
        let entries =
            usize::try_from(count).map_err(|_| RingError::Count { count, most: shape.most })?;
        let len = entries.saturating_mul(descriptor::SIZE);
        // Aligned to its own size: some parts fault when a ring crosses a page or 64 KiB.
        let descriptors = Memory::new(hal, DmaLayout { len, align: len, highest_address })?;
        let beyond = longest.saturating_sub(buffer_size);
        let len = entries.saturating_mul(buffer_size).saturating_add(beyond);
        let buffers = Memory::new(hal, DmaLayout { len, align: buffer_size, highest_address })?;
        Ok(Self { buffers, descriptors, mask: count.wrapping_sub(1), buffer_size, format })
    }
}

impl<H: Hal> Ring<H> {
    fn count(&self) -> u32 {
        self.mask.wrapping_add(1)
    }

    /// The masked index, always below the count.
    fn slot(&self, index: u32) -> usize {
        (index & self.mask) as usize
    }

    fn buffer_bus(&self, index: u32) -> u64 {
        let offset = self.slot(index).wrapping_mul(self.buffer_size) as u64;
        self.buffers.region.bus_address.wrapping_add(offset)
    }

    fn buffer(&self, index: u32) -> NonNull<u8> {
        let offset = self.slot(index).wrapping_mul(self.buffer_size);
        // SAFETY: the region holds count × `buffer_size` bytes and the slot is below the count.
        unsafe { self.buffers.region.pointer.add(offset) }
    }

    /// The two words of a descriptor.
    fn words(&self, index: u32) -> NonNull<[u64; 2]> {
        let offset = self.slot(index).wrapping_mul(descriptor::SIZE);
        // SAFETY: the region holds count × SIZE bytes and the slot is below the count.
        unsafe { self.descriptors.region.pointer.add(offset) }.cast()
    }

    fn write(&self, index: u32, words: [u64; 2]) {
        let words = [words[0].to_le(), words[1].to_le()];
        // SAFETY: inside the region, aligned to 16 because the region is aligned to its size.
        // Volatile: the part reads it.
        unsafe { self.words(index).write_volatile(words) }
    }

    /// Lends the part the buffer of a receive descriptor.
    fn arm(&self, index: u32) {
        self.write(index, self.format.receive(self.buffer_bus(index)));
    }

    /// What the part wrote back, if it did.
    fn received(&self, index: u32) -> Received {
        self.format.received(self.read_status(index))
    }

    /// The second word of a descriptor: length, command or errors, status.
    fn read_status(&self, index: u32) -> u64 {
        let words = self.words(index).cast::<u64>();
        // SAFETY: the second of the two words of a descriptor inside the region.
        let status = unsafe { words.add(1) };
        // SAFETY: inside the region and aligned. Volatile: the part writes it.
        u64::from_le(unsafe { status.read_volatile() })
    }
}

/// DMA memory that frees itself. The owner must see to it that the part no longer uses it:
/// [`Nic`](crate::intel::nic::Nic) stops the part before its rings are dropped.
struct Memory<H: Hal> {
    hal: H,
    region: DmaRegion,
}

impl<H: Hal + Clone> Memory<H> {
    /// Allocates zeroed memory and checks that it is what was asked for.
    fn new(hal: &H, layout: DmaLayout) -> Result<Self, RingError> {
        let region = hal.allocate(layout).ok_or(RingError::NoMemory(layout))?;
        let memory = Self { hal: hal.clone(), region };
        let low_bits = layout.align.wrapping_sub(1);
        let bus = region.bus_address;
        let last = bus.checked_add(layout.len as u64).and_then(|end| end.checked_sub(1));
        let fits = last.is_some_and(|last| last <= layout.highest_address)
            && bus & low_bits as u64 == 0
            && region.pointer.addr().get() & low_bits == 0
            && region.len >= layout.len;
        if !fits {
            return Err(RingError::BadMemory(layout, bus));
        }
        // SAFETY: the hosting kernel promises `len` writable bytes that nothing else uses.
        unsafe { region.pointer.write_bytes(0, layout.len) };
        Ok(memory)
    }
}

// SAFETY: the memory is this value's alone, and the hosting kernel promises that it is mapped on
// every processor.
unsafe impl<H: Hal + Send> Send for Memory<H> {}

impl<H: Hal> Drop for Memory<H> {
    fn drop(&mut self) {
        // SAFETY: the region came from `allocate` of a clone of this instance and is freed here
        // only; rings are dropped after the part was stopped.
        unsafe { self.hal.free(self.region) }
    }
}
