//! What happens to frames on their way, in memory and on a real device.

use std::time::Duration;

use crate::frames;
use crate::pair::Random;

/// One of the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The initiator.
    Initiator,
    /// The target.
    Target,
}

/// What happens to frames on their way.
#[derive(Clone, Debug)]
pub struct Faults {
    /// How long each is on its way.
    pub delay: Duration,
    /// Of a hundred frames, so many are lost.
    pub lost: u64,
    /// Of a hundred frames, so many come twice.
    pub doubled: u64,
    /// Of a hundred frames, so many are overtaken by later ones.
    pub late: u64,
    /// Of a hundred frames, so many come with a bit turned over, which their checksums tell.
    pub flipped: u64,
    /// Of a hundred frames with data, so many come with a bit of it turned over and checksums that
    /// hold: what a switch or a controller does whose memory is bad.
    pub falsified: u64,
    /// Nothing happens to the frames of the other side, if there is one.
    pub only_from: Option<Side>,
    /// Largest IP packet.
    pub mtu: usize,
    /// The initiator's device cuts long segments, as most controllers do.
    pub cuts: bool,
    /// What the cable carries at once; anything, if none.
    pub capacity: Option<Capacity>,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            delay: Duration::from_micros(100),
            lost: 0,
            doubled: 0,
            late: 0,
            flipped: 0,
            falsified: 0,
            only_from: None,
            mtu: 1500,
            cuts: true,
            capacity: None,
        }
    }
}

/// What a cable carries each way.
#[derive(Clone, Copy, Debug)]
pub struct Capacity {
    /// Bits in a second.
    pub rate: u64,
    /// Frames that wait at its narrow end; more are lost.
    pub queue: usize,
}

impl Capacity {
    /// A gigabit a second, and the buffer of a small switch's port.
    pub const GIGABIT: Self = Self { rate: 1_000_000_000, queue: 128 };

    /// How long a frame occupies the cable: preamble, check sequence and gap included.
    pub(crate) fn time_of(self, frame: &[u8]) -> Duration {
        let bits = (frame.len().max(60) as u64 + 24) * 8;
        Duration::from_nanos(bits * 1_000_000_000 / self.rate)
    }
}

/// How much later a late frame comes: thousands overtake it on a gigabit.
pub(crate) const LATE: Duration = Duration::from_millis(2);

/// What happened to one frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Befallen {
    /// How often it comes.
    pub(crate) copies: usize,
    /// Later frames overtake it.
    pub(crate) is_late: bool,
    /// It was lost or changed.
    pub(crate) is_harmed: bool,
}

impl Faults {
    /// Lets happen to a frame of `from` what chance has for it.
    pub(crate) fn befall(&self, from: Side, frame: &mut [u8], random: &mut Random) -> Befallen {
        let mut befallen = Befallen { copies: 1, is_late: false, is_harmed: false };
        if self.only_from.is_some_and(|side| side != from) {
            return befallen;
        }
        let mut happens = |percent| percent > 0 && random.below(100) < percent;
        if happens(self.lost) {
            return Befallen { copies: 0, is_harmed: true, ..befallen };
        }
        befallen.is_late = happens(self.late);
        befallen.copies += usize::from(happens(self.doubled));
        let (is_flipped, is_falsified) = (happens(self.flipped), happens(self.falsified));
        if is_flipped {
            befallen.is_harmed = true;
            flip(frame, 0, random);
        }
        if is_falsified && frames::is_tcp(frame) && frames::payload(frame) > 0 {
            befallen.is_harmed = true;
            flip(frame, frame.len() - frames::payload(frame), random);
            frames::mend_tcp_checksum(frame);
        }
        befallen
    }
}

/// Turns a bit over, behind so many bytes.
fn flip(frame: &mut [u8], from: usize, random: &mut Random) {
    let place = from + random.below((frame.len() - from) as u64) as usize;
    frame[place] ^= 1 << random.below(8);
}
