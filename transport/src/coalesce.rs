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
//!
//! Its headers are read once, by everybody whom they concern. Those behind it say the same again but
//! for where their data belongs, so a few words are compared instead of all being read anew.

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

/// A run of segments.
#[derive(Clone, Copy, Debug)]
struct Run {
    /// The begin of its first frame: headers, and over IPv4 some data.
    begin: [u8; HEADERS],
    version: Version,
    /// Our port, the peer's.
    ports: (u16, u16),
    /// The sequence number behind its latest.
    next: u32,
}

/// A segment that goes on with a run, as far as it is not what those before it were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Following {
    /// Our port, the peer's.
    pub(crate) ports: (u16, u16),
    /// The sequence number of its first byte of data.
    pub(crate) begin: u32,
    /// The sequence number behind it.
    pub(crate) end: u32,
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

    /// Where the data lies, as the IP header says; whether all of it came is not looked at.
    fn data(self, begin: &[u8; HEADERS]) -> Range<usize> {
        let packet = match self {
            Self::Ipv4 => be16(begin[16], begin[17]),
            Self::Ipv6 => be16(begin[18], begin[19]).saturating_add(IPV6_HEADER),
        };
        self.headers()..packet.saturating_add(ETHERNET_HEADER)
    }

    /// Whether the IP header's checksum is right, where it has one.
    fn is_sound(self, begin: &[u8; HEADERS]) -> bool {
        match self {
            Self::Ipv4 => begin[ETHERNET_HEADER..]
                .first_chunk::<IPV4_HEADER>()
                .is_some_and(|header| sum([header.as_slice()]) == [0xff; 2]),
            Self::Ipv6 => true,
        }
    }

    /// The bits of a frame's begin that are the same in all of a run: not its lengths, identification
    /// and checksums, its sequence number and PSH, nor its data and the urgent pointer, which counts
    /// for nothing without its flag.
    const fn shared(self) -> &'static [[u8; 8]; WORDS] {
        const ALL: [u8; 8] = [0xff; 8];
        const NONE: [u8; 8] = [0; 8];
        const BUT_PSH: u8 = !PSH;
        const IPV4: [[u8; 8]; WORDS] = [
            ALL,
            ALL,
            [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff],
            [0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0],
            [0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, BUT_PSH],
            [0xff, 0xff, 0, 0, 0, 0, 0, 0],
            NONE,
            NONE,
        ];
        const IPV6: [[u8; 8]; WORDS] = [
            ALL,
            ALL,
            [0xff, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff],
            ALL,
            ALL,
            ALL,
            ALL,
            [0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff],
            [0xff, 0xff, 0xff, BUT_PSH, 0xff, 0xff, 0, 0],
        ];
        match self {
            Self::Ipv4 => &IPV4,
            Self::Ipv6 => &IPV6,
        }
    }
}

/// Whole words of a frame's begin: behind them is nothing that a run has in common.
const WORDS: usize = HEADERS / 8;

impl<'a> Coalesce<'a> {
    pub(crate) const fn new(room: &'a mut Room) -> Self {
        Self { room: &mut room.0, length: 0, joined: None, run: None }
    }

    /// Whether nothing is in the room.
    pub(crate) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Takes a frame in that goes on with the one before, its TCP checksum being known to be right: the
    /// frame in the room contains it from here on. `None` leaves everything as it was.
    pub(crate) fn join(&mut self, frame: &[u8]) -> Option<Following> {
        let run = self.run.as_mut()?;
        let data = run.data(frame)?;
        let is_first = self.length == 0;
        let bytes = frame.get(if is_first { 0 } else { data.start }..data.end)?;
        let end = self.length.saturating_add(bytes.len());
        self.room.get_mut(self.length..end)?.copy_from_slice(bytes);
        if !is_first {
            self.joined = Some(run.version);
            let flags = run.version.flags();
            if let (Some(flags), Some(added)) = (self.room.get_mut(flags), frame.get(flags)) {
                *flags |= added;
            }
        }
        self.length = end;
        let begin = run.next;
        // As IP counts, in 16 bits.
        run.next = begin.wrapping_add(data.len() as u32);
        Some(Following { ports: run.ports, begin, end: run.next })
    }

    /// Decides about a frame that does not [go on](Self::join) with the one before.
    pub(crate) fn take(&mut self, frame: &[u8]) -> Fate {
        if !self.is_empty() {
            return Fate::Behind;
        }
        self.run = Plain::read(frame).map(|plain| plain.run());
        Fate::InPlace
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
}

impl Run {
    /// Where the data of a frame lies that differs from those before it in nothing but length,
    /// identification, checksums and PSH, and begins where the latest ended: a [plain](Plain) one too,
    /// as what could make it something else is either the same or looked at here.
    fn data(&self, frame: &[u8]) -> Option<Range<usize>> {
        let begin = frame.first_chunk::<HEADERS>()?;
        let words = self.begin.as_chunks::<8>().0.iter().zip(begin.as_chunks::<8>().0);
        let differing = words.zip(self.version.shared()).fold(0, |differing, ((a, b), shared)| {
            let [a, b, shared] = [a, b, shared].map(|word| u64::from_ne_bytes(*word));
            differing | (a ^ b) & shared
        });
        if differing != 0 || !self.version.is_sound(begin) {
            return None;
        }
        let sequence = match self.version {
            Version::Ipv4 => &begin[38..42],
            Version::Ipv6 => &begin[58..62],
        };
        let data = self.version.data(begin);
        let goes_on = *sequence == self.next.to_be_bytes();
        (goes_on && !data.is_empty() && data.end <= frame.len()).then_some(data)
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
    /// Our port, the peer's.
    ports: (u16, u16),
    sequence: u32,
    /// Where in the frame its data lies; there is some.
    data: Range<usize>,
}

impl<'a> Plain<'a> {
    fn read(frame: &'a [u8]) -> Option<Self> {
        let begin = frame.first_chunk::<HEADERS>()?;
        let (version, tcp) = match begin[12..16] {
            [0x08, 0x00, 0x45, _] => (Version::Ipv4, &begin[34..]),
            [0x86, 0xdd, version, _] if version >> 4 == 6 => (Version::Ipv6, &begin[54..]),
            _ => return None,
        };
        let [s0, s1, d0, d1, n0, n1, n2, n3, _, _, _, _, offset, flags, ..] = *tcp else {
            return None;
        };
        let data = version.data(begin);
        let is_plain = offset == NO_OPTIONS
            && flags & !PSH == ACK
            && !data.is_empty()
            && data.end <= frame.len();
        let is_tcp = match version {
            // Neither a part of a packet nor one with parts to follow.
            Version::Ipv4 => begin[20] & 0x3f == 0 && begin[21] == 0 && begin[23] == TCP,
            Version::Ipv6 => begin[20] == TCP,
        };
        let sequence = u32::from_be_bytes([n0, n1, n2, n3]);
        let ports = (u16::from_be_bytes([d0, d1]), u16::from_be_bytes([s0, s1]));
        (is_plain && is_tcp && version.is_sound(begin)).then_some(Self {
            begin,
            version,
            ports,
            sequence,
            data,
        })
    }

    fn run(&self) -> Run {
        let length = u32::try_from(self.data.len()).unwrap_or(0);
        let next = self.sequence.wrapping_add(length);
        Run { begin: *self.begin, version: self.version, ports: self.ports, next }
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
