//! The life of one controller: taken over from firmware, used, handed back quiet.
//!
//! [`Nic::attach`] stops whatever firmware left running before it allocates anything, resets the
//! part and programs all of its state, since not every model resets all of it. [`Nic::detach`]
//! ends with the part unable to touch memory; dropping a [`Nic`] does the same. Attaching again
//! works.

mod error;
mod frames;
mod identify;
mod interrupts;
mod link;
mod part;
mod queue;
mod start;
mod watch;

use core::time::Duration;

use crate::hal::Hal;
use crate::intel::ids::Model;
use crate::intel::nvm;
use crate::intel::registers::MPC;
use crate::intel::ring::{BUFFER_SIZE, LARGEST_BUFFER, ReceiveRing, Shape, TransmitRing};
use crate::pci::{ConfigSpace, PciAddress};

pub use error::{AttachError, DetachError, Step};
pub use frames::{Frame, Receiver, Transmitter};
pub use identify::Identity;
use interrupts::Interrupts;
use link::{Wire, decode_link};
use part::Part;
use watch::Watchdog;
pub use watch::{Notice, Trouble};

/// Sizes to choose when attaching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Receive descriptors, a power of two from 8 to 4096; each has a buffer for one frame.
    pub receive_descriptors: u32,
    /// Transmit descriptors, a power of two from 8 to 4096; each has a buffer for one frame.
    pub transmit_descriptors: u32,
    /// The MAC address to use; `None`, or one that is no station's: its own. Firmware may have set
    /// another, which the reset takes back and the network expects: [`Nic::identify`] tells it.
    pub mac: Option<[u8; 6]>,
    /// The largest IP packet to have room for, up to 16000 bytes, in so far as the part takes it.
    /// Buffers are of 2 KiB to 1982 bytes, of 16 KiB for the 9000 of jumbo frames.
    pub mtu: u16,
    /// Whether the part computes the TCP checksums of what is sent, where that is left to it
    /// ([`send_without_checksum`](Transmitter::send_without_checksum)).
    pub checksum_offload: bool,
    /// Whether the part cuts long TCP segments into those that the wire takes
    /// ([`send_segmented`](Transmitter::send_segmented)), where it can and computes checksums. Takes
    /// 30 KiB more of memory.
    pub segmentation_offload: bool,
    /// The shortest time between two interrupts, up to 4 ms; zero for none, which suits one
    /// request at a time. 20 to 50 µs save processor time under load and cost as much for each
    /// answer.
    pub interrupt_spacing: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            receive_descriptors: 256,
            transmit_descriptors: 64,
            mac: None,
            mtu: 1500,
            checksum_offload: true,
            segmentation_offload: true,
            interrupt_spacing: Duration::ZERO,
        }
    }
}

/// Bytes of the longest frame to be cut into segments, of a ring of `count` descriptors: sixteen
/// buffers, which is as many pieces as suit every part, and no more than half a small ring.
fn longest_segmented(count: u32) -> usize {
    const PIECES: usize = 16;
    let half = usize::try_from(count / 2).unwrap_or(PIECES);
    BUFFER_SIZE.saturating_mul(half.min(PIECES))
}

/// What a frame has besides an IP packet: a header, a VLAN's tag, a check sequence.
const FRAME_OVERHEAD: u32 = 14 + 4 + 4;

/// What happened since the attach, for people and for tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Good frames received.
    pub received: u64,
    /// Frames handed to the part.
    pub transmitted: u64,
    /// Frames dropped because the part reported a CRC, symbol or other line error.
    pub damaged: u64,
    /// Frames dropped because they were longer than one buffer, empty, or in pieces.
    pub oversize: u64,
    /// Frames dropped for a wrong TCP or UDP checksum.
    pub bad_checksum: u64,
    /// Frames that the part dropped for want of a descriptor.
    pub missed: u64,
    /// Times that the link was seen to go down.
    pub link_losses: u32,
    /// Interrupts that the watchdog found missing.
    pub lost_interrupts: u32,
    /// Times that the watchdog reset the part.
    pub resets: u32,
    /// Descriptors that were in the transmit ring at such a reset: frames, or pieces of them, that may
    /// not have left.
    pub unsent: u64,
}

/// One attached controller.
pub struct Nic<H: Hal + Clone, C: ConfigSpace> {
    // Dropped first: stops the part, so that nothing uses the rings when they are freed.
    part: Part<H, C>,
    transmit: TransmitRing<H>,
    receive: ReceiveRing<H>,
    interrupts: Interrupts<H>,
    watchdog: Watchdog,
    mac: [u8; 6],
    wire: Wire,
    /// Pieces of a frame are being dropped until its last one.
    discarding: bool,
    /// Looks at the receive ring since the last frame.
    fruitless: u32,
    /// Longest frame to receive, with its tag and check sequence.
    longest_frame: u32,
    computes_checksums: bool,
    /// Longest frame to be cut by the part, where it does that.
    longest_segmented: Option<usize>,
    /// Of the next frame that is cut.
    identification: u16,
    statistics: Statistics,
}

impl<H: Hal + Clone, C: ConfigSpace> Nic<H, C> {
    /// Takes the function at `address` over and starts it.
    ///
    /// Takes some tens of milliseconds, within bounds that do not depend on the part answering.
    /// A link that firmware left up stays up; otherwise negotiation is started and
    /// [`link`](Self::link) tells when it is done (1 to 4 s on copper).
    ///
    /// # Errors
    /// See [`AttachError`]: each names the step, and what to try. The part is then quiet.
    pub fn attach(
        hal: H,
        config: C,
        address: PciAddress,
        options: &Options,
    ) -> Result<Self, AttachError> {
        let part = Part::take_over(hal, config, address)?;
        let mac = match options.mac.filter(|mac| nvm::is_station(*mac)) {
            Some(mac) => mac,
            None => part.mac_address()?,
        };
        let quirks = part.model.family.quirks();
        // The common length is no question, whatever else the part takes.
        let most = quirks.longest_frame.max(start::LONGEST_COMMON_FRAME);
        let wanted = u32::from(options.mtu).saturating_add(FRAME_OVERHEAD);
        let longest_frame = wanted.clamp(start::LONGEST_COMMON_FRAME, most);
        let buffer = usize::try_from(longest_frame).unwrap_or(0).next_power_of_two();
        let shape = |count| Shape {
            format: quirks.format,
            count,
            most: quirks.most_descriptors,
            highest_address: quirks.highest_address,
            buffer: buffer.clamp(BUFFER_SIZE, LARGEST_BUFFER),
            longest: 0,
        };
        let cuts = options.segmentation_offload && options.checksum_offload && quirks.segmentation;
        let longest = if cuts { longest_segmented(options.transmit_descriptors) } else { 0 };
        let refused = |error| AttachError::Ring { address, error };
        let receive =
            ReceiveRing::new(&part.hal, shape(options.receive_descriptors)).map_err(refused)?;
        let transmit =
            TransmitRing::new(&part.hal, Shape { longest, ..shape(options.transmit_descriptors) })
                .map_err(refused)?;
        let mut nic = Self {
            part,
            transmit,
            receive,
            interrupts: Interrupts::new(options.interrupt_spacing),
            watchdog: Watchdog::default(),
            mac,
            wire: Wire::default(),
            discarding: false,
            fruitless: 0,
            longest_frame,
            computes_checksums: options.checksum_offload,
            longest_segmented: cuts.then_some(longest),
            identification: 0,
            statistics: Statistics::default(),
        };
        nic.start()?;
        Ok(nic)
    }

    /// Programs a part that was just taken over, and lets it run.
    fn start(&mut self) -> Result<(), AttachError> {
        self.part.program_addresses(self.mac);
        self.start_control();
        self.start_transmitter()?;
        self.start_receiver()?;
        self.part.claim();
        self.start_link();
        self.part.alive(Step::Start)
    }

    /// Stops the part and hands it back: no interrupt, no bus master, rings gone, link up.
    ///
    /// # Errors
    /// [`DetachError`] when the part did not confirm. Bus mastering is off even then.
    pub fn detach(mut self) -> Result<(), DetachError> {
        self.part.stop()
    }

    /// Which part it is.
    #[must_use]
    pub const fn model(&self) -> &'static Model {
        self.part.model
    }

    /// Where it is.
    #[must_use]
    pub const fn address(&self) -> PciAddress {
        self.part.address
    }

    /// Its MAC address.
    #[must_use]
    pub const fn mac(&self) -> [u8; 6] {
        self.mac
    }

    /// Receive descriptors.
    #[must_use]
    pub fn receive_descriptors(&self) -> u32 {
        self.receive.count()
    }

    /// How many frames may arrive between two polls: the part has all descriptors but those of a
    /// quarter of the ring, of which it is told at once.
    #[must_use]
    pub fn receive_room(&self) -> u32 {
        let count = self.receive.count();
        count.saturating_sub(frames::batch(count))
    }

    /// The largest IP packet that its frames carry, with a VLAN's tag besides.
    #[must_use]
    pub fn max_mtu(&self) -> u16 {
        u16::try_from(self.longest_frame.saturating_sub(FRAME_OVERHEAD)).unwrap_or(u16::MAX)
    }

    /// Bytes of the longest frame that the part takes to cut it into segments; `None`: it does not.
    ///
    /// On a link slower than a gigabit it gains nothing, and drivers leave it alone on PCI Express
    /// parts.
    #[must_use]
    pub const fn longest_segmented(&self) -> Option<usize> {
        self.longest_segmented
    }

    /// Good frames received since the attach; reads no register.
    #[must_use]
    pub const fn frames_received(&self) -> u64 {
        self.statistics.received
    }

    /// Counters since the attach. Reads a register of the part.
    pub fn statistics(&mut self) -> Statistics {
        self.count_missed();
        self.statistics
    }

    /// Frames that the part dropped since the last call.
    fn count_missed(&mut self) -> u32 {
        // Reading clears.
        let missed = self.part.registers.read(MPC);
        if missed == u32::MAX {
            return 0;
        }
        self.statistics.missed = self.statistics.missed.saturating_add(u64::from(missed));
        missed
    }

    /// Both directions, to be used side by side.
    pub fn split(&mut self) -> (Receiver<'_, H>, Transmitter<'_, H>) {
        self.note_unannounced();
        let registers = &self.part.registers;
        let Statistics { received, damaged, oversize, bad_checksum, transmitted, .. } =
            &mut self.statistics;
        (
            Receiver {
                registers,
                ring: &mut self.receive,
                discarding: &mut self.discarding,
                fruitless: &mut self.fruitless,
                received,
                damaged,
                oversize,
                bad_checksum,
            },
            Transmitter {
                registers,
                ring: &mut self.transmit,
                computes_checksums: self.computes_checksums,
                identification: &mut self.identification,
                transmitted,
            },
        )
    }
}
