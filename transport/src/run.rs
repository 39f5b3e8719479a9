//! Data segments that follow one another, and say the same but for their data.
//!
//! Of such a run the stack gets the first. The headers of those behind it are not read: they are
//! compared with those of the first, in a few words, but for where their data belongs.

use core::ops::Range;

use crate::checksum::sum;

const ETHERNET_HEADER: usize = 14;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const TCP_HEADER: usize = 20;
/// The longer headers. A frame that is no longer than them begins no run.
const HEADERS: usize = ETHERNET_HEADER + IPV6_HEADER + TCP_HEADER;
const TCP: u8 = 6;
/// The data offset of a TCP header without options, and no reserved bit.
const NO_OPTIONS: u8 = 5 << 4;
const ACK: u8 = 0x10;
const PSH: u8 = 0x08;

/// A run of segments: plain data, with no option, no flag but ACK and PSH, and in no fragment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// The begin of its first frame: headers, and over IPv4 some data.
    begin: [u8; HEADERS],
    version: Version,
    /// Our port, the peer's.
    ports: (u16, u16),
    /// The sequence number behind its latest.
    next: u32,
}

/// What goes on with a run, as far as it is not what was before it.
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

    /// Where TCP's sequence number is.
    const fn sequence(self) -> Range<usize> {
        match self {
            Self::Ipv4 => ETHERNET_HEADER + IPV4_HEADER + 4..ETHERNET_HEADER + IPV4_HEADER + 8,
            Self::Ipv6 => ETHERNET_HEADER + IPV6_HEADER + 4..ETHERNET_HEADER + IPV6_HEADER + 8,
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

impl Run {
    /// The run that a frame begins, and where its data lies; there is some.
    pub(crate) fn begin(frame: &[u8]) -> Option<(Self, Range<usize>)> {
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
        if !is_plain || !is_tcp || !version.is_sound(begin) {
            return None;
        }
        let ports = (u16::from_be_bytes([d0, d1]), u16::from_be_bytes([s0, s1]));
        // As IP counts, in 16 bits.
        let next = u32::from_be_bytes([n0, n1, n2, n3]).wrapping_add(data.len() as u32);
        Some((Self { begin: *begin, version, ports, next }, data))
    }

    /// Where the data lies of a frame that goes on with the run: that differs from its first in nothing
    /// but length, identification, checksums and PSH, and begins where its latest ended. What could make
    /// it something else than plain data is either the same or looked at here.
    pub(crate) fn data(&self, frame: &[u8]) -> Option<Range<usize>> {
        let begin = frame.first_chunk::<HEADERS>()?;
        let words = self.begin.as_chunks::<8>().0.iter().zip(begin.as_chunks::<8>().0);
        let differing = words.zip(self.version.shared()).fold(0, |differing, ((a, b), shared)| {
            let [a, b, shared] = [a, b, shared].map(|word| u64::from_ne_bytes(*word));
            differing | (a ^ b) & shared
        });
        if differing != 0 || !self.version.is_sound(begin) {
            return None;
        }
        let data = self.version.data(begin);
        let goes_on = begin.get(self.version.sequence()) == Some(&self.next.to_be_bytes());
        (goes_on && !data.is_empty() && data.end <= frame.len()).then_some(data)
    }

    /// The next bytes of the run, so many.
    pub(crate) fn following(&self, bytes: usize) -> Following {
        // As IP counts, in 16 bits.
        let end = self.next.wrapping_add(bytes as u32);
        Following { ports: self.ports, begin: self.next, end }
    }

    /// The run goes on behind this.
    pub(crate) const fn go_on(&mut self, following: &Following) {
        self.next = following.end;
    }

    /// Makes of a frame that goes on with the run one whose data begins here, at the byte that comes
    /// next.
    pub(crate) fn cut<'f>(&self, frame: &'f mut [u8], data: Range<usize>) -> &'f mut [u8] {
        let headers = self.version.headers();
        let Some(begin) = data.start.checked_sub(headers) else { return &mut [] };
        let Some(frame) = frame.get_mut(..data.end) else { return &mut [] };
        frame.copy_within(..headers, begin);
        let frame = frame.get_mut(begin..).unwrap_or_default();
        if let Some(sequence) = frame.get_mut(self.version.sequence()) {
            sequence.copy_from_slice(&self.next.to_be_bytes());
        }
        let packet = frame.get_mut(ETHERNET_HEADER..).unwrap_or_default();
        match self.version {
            Version::Ipv4 => complete_ipv4(packet),
            Version::Ipv6 => complete_ipv6(packet),
        }
        frame
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

fn be16(high: u8, low: u8) -> usize {
    u16::from_be_bytes([high, low]).into()
}

#[cfg(test)]
mod tests;
