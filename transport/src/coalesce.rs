//! Data segments that follow one another reach smoltcp as one.
//!
//! A segment costs smoltcp much the same whether it carries one byte or as many as fit into an IP
//! packet, and that is several times what copying a full one takes. So segments that wait in the
//! receive ring one behind the other, and differ in nothing but where their data belongs, are put
//! together first, as Linux does it (generic receive offload). Nothing waits for what may still
//! come: with the last frame of a batch all of it is handed on.
//!
//! The first segment of a run goes on alone, where it lies: one that nothing follows is not copied,
//! and from the second on smoltcp acknowledges without delay (RFC 9293 §3.8.6.3).

use core::ops::Range;

use crate::checksum::sum;

/// Bytes of the largest frame made: headers, and sixteen full segments of the common length.
const ROOM: usize = 24 << 10;

const ETHERNET_HEADER: usize = 14;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const TCP_HEADER: usize = 20;
/// The longer headers. A frame that is no longer than them is not worth it.
const HEADERS: usize = ETHERNET_HEADER + IPV6_HEADER + TCP_HEADER;
const TCP: u8 = 6;
/// The data offset of a TCP header without options, and no reserved bit.
const NO_OPTIONS: u8 = 5 << 4;
const ACK: u8 = 0x10;
const PSH: u8 = 0x08;

/// Memory for one frame, supplied by the hosting kernel.
#[derive(Debug)]
pub(crate) struct Room([u8; ROOM]);

impl Room {
    pub(crate) const fn new() -> Self {
        Self([0; ROOM])
    }

    /// Whether it holds every frame that carries an IP packet of so many bytes, with a VLAN's tag.
    pub(crate) const fn fits(mtu: u16) -> bool {
        const MTU: usize = ROOM - ETHERNET_HEADER - 4;
        mtu as usize <= MTU
    }
}

/// What is to be done with a frame that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The stack gets it where it lies.
    InPlace,
    /// The frame in the room contains it now.
    Joined,
    /// The stack gets the frame in the room first; then this one is to be [held](Coalesce::hold).
    Behind,
}

/// Puts together what goes together.
#[derive(Debug)]
pub(crate) struct Coalesce<'a> {
    room: &'a mut [u8; ROOM],
    /// Bytes of the frame in the room; 0: there is none.
    length: usize,
    /// The frame in the room is of several segments, of this version of IP, and does not say how
    /// long it is yet.
    joined: Option<Version>,
    /// What came last, if the next frame may go on with it: it ends the frame in the room, where
    /// there is one.
    run: Option<Run>,
}

/// A run of segments, by its latest.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The begin of the frame: its headers, and over IPv4 some data.
    begin: [u8; HEADERS],
    version: Version,
    /// The sequence number behind it.
    next: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    Ipv4,
    Ipv6,
}

impl Version {
    /// Bytes of the headers, none of which has options.
    const fn headers(self) -> usize {
        match self {
            Self::Ipv4 => ETHERNET_HEADER + IPV4_HEADER + TCP_HEADER,
            Self::Ipv6 => ETHERNET_HEADER + IPV6_HEADER + TCP_HEADER,
        }
    }

    /// Where TCP's flags are.
    const fn flags(self) -> usize {
        match self {
            Self::Ipv4 => ETHERNET_HEADER + IPV4_HEADER + 13,
            Self::Ipv6 => ETHERNET_HEADER + IPV6_HEADER + 13,
        }
    }
}

impl<'a> Coalesce<'a> {
    pub(crate) const fn new(room: &'a mut Room) -> Self {
        Self { room: &mut room.0, length: 0, joined: None, run: None }
    }

    /// Whether nothing is in the room.
    pub(crate) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Decides about a frame of which the TCP checksum is known to be right, and takes it in where
    /// it goes on with the one before.
    pub(crate) fn take(&mut self, frame: &[u8]) -> Fate {
        let plain = Plain::read(frame);
        let goes_on = match (&plain, &self.run) {
            (Some(plain), Some(run)) => plain.goes_on_with(run),
            _ => false,
        };
        let joined = match &plain {
            Some(plain) if goes_on && self.is_empty() => self.begin(plain.whole(frame)),
            Some(plain) if goes_on => self.join(frame, plain),
            _ => false,
        };
        if !joined && !self.is_empty() {
            return Fate::Behind;
        }
        self.run = plain.map(|plain| plain.run());
        if joined { Fate::Joined } else { Fate::InPlace }
    }

    /// Puts a frame in the room, for the stack to get when those before it are through. It must be
    /// empty; a frame for which it is too small is lost.
    pub(crate) fn hold(&mut self, frame: &[u8]) {
        let plain = Plain::read(frame);
        let bytes = plain.as_ref().map_or(frame, |plain| plain.whole(frame));
        self.run = None;
        if self.begin(bytes) {
            self.run = plain.map(|plain| plain.run());
        }
    }

    /// The frame in the room, its lengths and header checksum those of the whole; nothing when there
    /// is none.
    pub(crate) fn frame(&mut self) -> &[u8] {
        let packet = self.room.get_mut(ETHERNET_HEADER..self.length).unwrap_or_default();
        match self.joined.take() {
            Some(Version::Ipv4) => complete_ipv4(packet),
            Some(Version::Ipv6) => complete_ipv6(packet),
            None => {}
        }
        self.room.get(..self.length).unwrap_or_default()
    }

    /// The stack has the frame that was in the room.
    pub(crate) const fn clear(&mut self) {
        self.length = 0;
    }

    /// All of a batch is through: what comes next begins a run.
    pub(crate) const fn end_run(&mut self) {
        self.run = None;
    }

    fn begin(&mut self, frame: &[u8]) -> bool {
        let Some(room) = self.room.get_mut(..frame.len()) else { return false };
        room.copy_from_slice(frame);
        (self.length, self.joined) = (frame.len(), None);
        true
    }

    fn join(&mut self, frame: &[u8], plain: &Plain<'_>) -> bool {
        let data = plain.data(frame);
        let end = self.length.saturating_add(data.len());
        let Some(room) = self.room.get_mut(self.length..end) else { return false };
        room.copy_from_slice(data);
        (self.length, self.joined) = (end, Some(plain.version));
        if let Some(flags) = self.room.get_mut(plain.version.flags()) {
            *flags |= plain.flags();
        }
        true
    }
}

/// Total length and header checksum (RFC 791 §3.1).
fn complete_ipv4(packet: &mut [u8]) {
    let Ok(length) = u16::try_from(packet.len()) else { return };
    let Some(header) = packet.first_chunk_mut::<IPV4_HEADER>() else { return };
    [header[2], header[3]] = length.to_be_bytes();
    [header[10], header[11]] = [0, 0];
    [header[10], header[11]] = sum([header.as_slice()]).map(|byte| !byte);
}

/// Payload length (RFC 8200 §3).
fn complete_ipv6(packet: &mut [u8]) {
    let Some((header, payload)) = packet.split_first_chunk_mut::<IPV6_HEADER>() else { return };
    let Ok(length) = u16::try_from(payload.len()) else { return };
    [header[4], header[5]] = length.to_be_bytes();
}

/// A segment with data and nothing else to it: no option, no flag but ACK and PSH, no fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plain<'a> {
    begin: &'a [u8; HEADERS],
    version: Version,
    sequence: u32,
    /// Where in the frame its data lies; there is some.
    data: Range<usize>,
}

impl<'a> Plain<'a> {
    fn read(frame: &'a [u8]) -> Option<Self> {
        let begin = frame.first_chunk::<HEADERS>()?;
        let (version, tcp, packet) = match begin[12..16] {
            [0x08, 0x00, 0x45, _] => (Version::Ipv4, &begin[34..], be16(begin[16], begin[17])),
            [0x86, 0xdd, version, _] if version >> 4 == 6 => {
                let payload = be16(begin[18], begin[19]);
                (Version::Ipv6, &begin[54..], payload.saturating_add(IPV6_HEADER))
            }
            _ => return None,
        };
        let [_, _, _, _, n0, n1, n2, n3, _, _, _, _, offset, flags, ..] = *tcp else {
            return None;
        };
        let end = packet.saturating_add(ETHERNET_HEADER);
        let data = version.headers()..end;
        let is_plain =
            offset == NO_OPTIONS && flags & !PSH == ACK && !data.is_empty() && end <= frame.len();
        let is_sound = match version {
            Version::Ipv4 => {
                // Neither a part of a packet nor one with parts to follow.
                let is_whole = begin[20] & 0x3f == 0 && begin[21] == 0;
                let header = begin[14..].first_chunk::<IPV4_HEADER>()?;
                is_whole && begin[23] == TCP && sum([header.as_slice()]) == [0xff; 2]
            }
            Version::Ipv6 => begin[20] == TCP,
        };
        let sequence = u32::from_be_bytes([n0, n1, n2, n3]);
        (is_plain && is_sound).then_some(Self { begin, version, sequence, data })
    }

    /// Whether it differs from the run's latest in nothing but length, identification, checksums
    /// and PSH, and begins where that ended.
    fn goes_on_with(&self, run: &Run) -> bool {
        let (a, b) = (self.begin, &run.begin);
        self.version == run.version
            && self.sequence == run.next
            && match self.version {
                // Up to the length; flags and hop limit; addresses and ports; acknowledgement and
                // data offset; window.
                Version::Ipv4 => {
                    a[..16] == b[..16]
                        && a[20..24] == b[20..24]
                        && a[26..38] == b[26..38]
                        && a[42..47] == b[42..47]
                        && a[48..50] == b[48..50]
                }
                // Up to the length; what follows up to the ports; the same of TCP.
                Version::Ipv6 => {
                    a[..18] == b[..18]
                        && a[20..58] == b[20..58]
                        && a[62..67] == b[62..67]
                        && a[68..70] == b[68..70]
                }
            }
    }

    fn run(&self) -> Run {
        let length = u32::try_from(self.data.len()).unwrap_or(0);
        let next = self.sequence.wrapping_add(length);
        Run { begin: *self.begin, version: self.version, next }
    }

    /// ACK, and PSH or not.
    fn flags(&self) -> u8 {
        self.begin.get(self.version.flags()).copied().unwrap_or(ACK)
    }

    fn data<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        frame.get(self.data.clone()).unwrap_or_default()
    }

    /// The frame without what pads it.
    fn whole<'f>(&self, frame: &'f [u8]) -> &'f [u8] {
        frame.get(..self.data.end).unwrap_or_default()
    }
}

fn be16(high: u8, low: u8) -> usize {
    u16::from_be_bytes([high, low]).into()
}

#[cfg(test)]
mod tests;
