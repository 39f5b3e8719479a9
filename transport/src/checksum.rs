//! TCP and UDP checksums of Ethernet frames: verified where the device did not look, completed
//! before a frame leaves.
//!
//! smoltcp can do both, but verifies per device, not per frame, and sums 16 bits at a time.

/// Whether the TCP or UDP checksum of an Ethernet frame holds (RFC 1071, RFC 9293 §3.1,
/// RFC 768, RFC 8200 §8.1). An 802.1Q tag may stand before the IP header.
///
/// Frames with neither pass, for the stack to judge; so do fragments, which it drops. A TCP or
/// UDP packet whose lengths do not fit the frame fails.
#[must_use]
pub fn is_good(frame: &[u8]) -> bool {
    match Covered::find(frame) {
        Err(DoesNotFit) => false,
        Ok(None) => true,
        Ok(Some(covered)) => {
            // A sender over IPv4 may have computed none (RFC 768); not so over IPv6.
            let is_left_out = covered.protocol == UDP && covered.addresses == 8;
            (is_left_out && covered.field(frame) == Some([0, 0])) || covered.sum(frame) == 0xffff
        }
    }
}

/// Writes the TCP or UDP checksum of an Ethernet frame, whatever stood in its place before.
///
/// Frames with neither, fragments, and frames whose lengths do not fit are left as they are.
pub fn complete(frame: &mut [u8]) {
    let Ok(Some(covered)) = Covered::find(frame) else { return };
    covered.set_field(frame, [0, 0]);
    // Over UDP, zero means that there is none, and the other zero of one's complement is sent.
    let checksum = match !covered.sum(frame) {
        0 if covered.protocol == UDP => 0xffff,
        checksum => checksum,
    };
    // The sum is of little-endian words, and so in the frame's order already.
    covered.set_field(frame, checksum.to_le_bytes());
}

/// Where a part that computes TCP checksums finds what it needs, as offsets into the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Insertion {
    /// The IP header.
    pub ip: u8,
    /// The TCP header: the sum runs from here to the end of the frame.
    pub tcp: u8,
    /// Whether the IP header is that of IPv4.
    pub is_ipv4: bool,
}

/// Prepares a frame for a part that computes TCP checksums: the sum of the pseudo-header stands
/// where the checksum will (82574 §7.2.11.2, 82576 §7.2.2.2).
///
/// `None`, and the frame [complete], when it is not TCP right behind an IP header, which
/// every segment of the stack is.
pub fn prepare(frame: &mut [u8]) -> Option<Insertion> {
    let Ok(Some(covered)) = Covered::find(frame) else { return None };
    match covered.insertion() {
        Some(insertion) => {
            covered.set_field(frame, fold(covered.pseudo_header).to_le_bytes());
            Some(insertion)
        }
        None => {
            complete(frame);
            None
        }
    }
}

const TCP: u8 = 6;
const UDP: u8 = 17;

/// The lengths in the headers do not fit the frame.
struct DoesNotFit;

/// What the checksum of a frame covers, as offsets into the frame.
#[derive(Clone, Copy)]
struct Covered {
    protocol: u8,
    /// The first byte of the TCP or UDP header.
    start: usize,
    /// The end of the payload.
    end: usize,
    /// The checksum itself.
    field: usize,
    /// The sum of the pseudo-header: addresses, protocol, length.
    pseudo_header: u64,
    /// Bytes of both addresses: 8 with IPv4, 32 with IPv6.
    addresses: usize,
}

impl Covered {
    /// `Ok(None)` for frames with neither TCP nor UDP, and for fragments.
    fn find(frame: &[u8]) -> Result<Option<Self>, DoesNotFit> {
        let Some((header, rest)) = frame.split_first_chunk::<14>() else { return Ok(None) };
        let [.., t0, t1] = *header;
        let (start, ethertype) = match ([t0, t1], rest) {
            // 802.1Q: the tag's type and value come first.
            ([0x81, 0x00], [_, _, t0, t1, ..]) => (18, [*t0, *t1]),
            (ethertype, _) => (14, ethertype),
        };
        let packet = frame.get(start..).unwrap_or_default();
        match ethertype {
            [0x08, 0x00] => ipv4(packet, start).ok_or(DoesNotFit),
            [0x86, 0xdd] => ipv6(packet, start).ok_or(DoesNotFit),
            _ => Ok(None),
        }
    }

    /// A TCP or UDP packet of `frame[start..end]`; `None` when it has no room for its header.
    fn new(protocol: u8, addresses: &[u8], start: usize, packet: &[u8]) -> Option<Self> {
        let (field, len) = if protocol == UDP {
            let [_, _, _, _, l0, l1, ..] = packet.first_chunk::<8>()?;
            let len = u16::from_be_bytes([*l0, *l1]);
            packet.get(8..usize::from(len))?;
            (6, len)
        } else {
            packet.first_chunk::<20>()?;
            (16, u16::try_from(packet.len()).ok()?)
        };
        let numbers = [[0, protocol], len.to_be_bytes()].map(u16::from_le_bytes).map(u64::from);
        let pseudo_header = numbers.into_iter().fold(add(0, addresses), plus);
        Some(Self {
            protocol,
            start,
            end: start.wrapping_add(usize::from(len)),
            field: start.wrapping_add(field),
            pseudo_header,
            addresses: addresses.len(),
        })
    }

    /// What a part needs to know, when it can do this one: no extension headers, and no UDP, whose
    /// zero is special.
    fn insertion(&self) -> Option<Insertion> {
        let is_ipv4 = self.addresses == 8;
        let header = if is_ipv4 { 20 } else { 40 };
        let ip = u8::try_from(self.start.checked_sub(header)?).ok()?;
        let tcp = u8::try_from(self.start).ok()?;
        (self.protocol == TCP && matches!(ip, 14 | 18)).then_some(Insertion { ip, tcp, is_ipv4 })
    }

    /// The folded sum of everything covered, the checksum included.
    fn sum(&self, frame: &[u8]) -> u16 {
        fold(add(self.pseudo_header, frame.get(self.start..self.end).unwrap_or_default()))
    }

    fn field(&self, frame: &[u8]) -> Option<[u8; 2]> {
        frame.get(self.field..)?.first_chunk().copied()
    }

    fn set_field(&self, frame: &mut [u8], value: [u8; 2]) {
        if let Some(field) = frame.get_mut(self.field..).and_then(<[u8]>::first_chunk_mut) {
            *field = value;
        }
    }
}

/// The TCP or UDP packet in an IPv4 packet at `offset`; `None` when the lengths do not fit.
fn ipv4(packet: &[u8], offset: usize) -> Option<Option<Covered>> {
    let header = packet.first_chunk::<20>()?;
    let [version_length, _, l0, l1, _, _, f0, f1, _, protocol, _, _, addresses @ ..] = header;
    const MORE_OR_OFFSET: u16 = 0x3fff;
    let is_fragment = u16::from_be_bytes([*f0, *f1]) & MORE_OR_OFFSET != 0;
    if is_fragment || !matches!(*protocol, TCP | UDP) {
        return Some(None);
    }
    let start = usize::from(version_length & 0xf).wrapping_mul(4);
    let end = usize::from(u16::from_be_bytes([*l0, *l1]));
    let payload = packet.get(start..end)?;
    Covered::new(*protocol, addresses, offset.wrapping_add(start), payload).map(Some)
}

/// The TCP or UDP packet in an IPv6 packet at `offset`; `None` when the lengths do not fit.
fn ipv6(packet: &[u8], offset: usize) -> Option<Option<Covered>> {
    let (header, rest) = packet.split_first_chunk::<40>()?;
    let [_, _, _, _, l0, l1, next, _, addresses @ ..] = header;
    let mut next = *next;
    let mut start = 40_usize;
    let mut payload = rest.get(..usize::from(u16::from_be_bytes([*l0, *l1])))?;
    const HOP_BY_HOP: u8 = 0;
    if next == HOP_BY_HOP {
        let [after, length, ..] = payload.first_chunk::<2>()?;
        next = *after;
        let options = usize::from(*length).wrapping_add(1).wrapping_mul(8);
        payload = payload.get(options..)?;
        start = start.wrapping_add(options);
    }
    if !matches!(next, TCP | UDP) {
        return Some(None);
    }
    Covered::new(next, addresses, offset.wrapping_add(start), payload).map(Some)
}

/// The one's complement sum of these pieces, each of an even number of bytes but the last, in the order
/// of the bytes of a frame (RFC 1071): `[0xff; 2]` of all that a checksum covers, itself included.
pub(crate) fn sum<const PIECES: usize>(pieces: [&[u8]; PIECES]) -> [u8; 2] {
    fold(pieces.into_iter().fold(0, add)).to_le_bytes()
}

/// Adds bytes to a sum of little-endian words, eight at a time, with the carry out of the top brought
/// in at the bottom: the one's complement sum depends neither on byte order nor on the width of its
/// words (RFC 1071 §2). Two instructions a word, which an emulator is as quick with as a processor.
fn add(total: u64, bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let (pairs, single) = words.as_chunks::<2>();
    // Two sums, so that neither waits for the other's carry.
    let (mut even, mut odd) = (total, 0);
    for [first, second] in pairs {
        even = plus(even, u64::from_le_bytes(*first));
        odd = plus(odd, u64::from_le_bytes(*second));
    }
    let mut total = plus(even, odd);
    for word in single {
        total = plus(total, u64::from_le_bytes(*word));
    }
    let (halves, rest) = rest.as_chunks::<4>();
    for half in halves {
        total = plus(total, u32::from_le_bytes(*half).into());
    }
    let mut last = [0; 4];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    plus(total, u32::from_le_bytes(last).into())
}

/// The one's complement sum.
const fn plus(one: u64, other: u64) -> u64 {
    let (sum, carry) = one.overflowing_add(other);
    sum.wrapping_add(carry as u64)
}

/// Each half added to the other, of ever shorter words: without a branch, at which an emulator ends a
/// block of code.
const fn fold(total: u64) -> u16 {
    const fn halve<const BITS: u32>(total: u64) -> u64 {
        let low = !(u64::MAX << BITS);
        (total & low).wrapping_add(total >> BITS)
    }
    // The first of each two may leave one bit more, which the second brings in.
    let word = halve::<32>(halve::<32>(total));
    (halve::<16>(halve::<16>(word)) & 0xffff) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use smoltcp::phy::ChecksumCapabilities;
    use smoltcp::wire::{
        EthernetAddress, EthernetProtocol, EthernetRepr, IpAddress, IpProtocol, IpRepr, TcpControl,
        TcpRepr, TcpSeqNumber, UdpRepr,
    };
    use std::vec;
    use std::vec::Vec;

    /// A frame as smoltcp writes it: the other implementation.
    fn frame(source: IpAddress, target: IpAddress, payload: &[u8], tcp: bool) -> Vec<u8> {
        let caps = ChecksumCapabilities::default();
        let segment = TcpRepr {
            src_port: 3260,
            dst_port: 50000,
            control: TcpControl::Psh,
            seq_number: TcpSeqNumber(7),
            ack_number: Some(TcpSeqNumber(9)),
            window_len: 1000,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload,
        };
        let datagram = UdpRepr { src_port: 67, dst_port: 68 };
        let protocol = if tcp { IpProtocol::Tcp } else { IpProtocol::Udp };
        let length = if tcp { segment.buffer_len() } else { 8 + payload.len() };
        let ip = IpRepr::new(source, target, protocol, length, 64);
        let mut bytes = vec![0; 14 + ip.header_len() + length];
        let v4 = matches!(source, IpAddress::Ipv4(_));
        let ethertype = if v4 { EthernetProtocol::Ipv4 } else { EthernetProtocol::Ipv6 };
        EthernetRepr {
            src_addr: EthernetAddress([2, 0, 0, 0, 0, 1]),
            dst_addr: EthernetAddress([2, 0, 0, 0, 0, 2]),
            ethertype,
        }
        .emit(&mut smoltcp::wire::EthernetFrame::new_unchecked(&mut bytes));
        ip.emit(&mut bytes[14..], &caps);
        let at = 14 + ip.header_len();
        if tcp {
            let mut packet = smoltcp::wire::TcpPacket::new_unchecked(&mut bytes[at..]);
            segment.emit(&mut packet, &source, &target, &caps);
        } else {
            let mut packet = smoltcp::wire::UdpPacket::new_unchecked(&mut bytes[at..]);
            let copy = |to: &mut [u8]| to.copy_from_slice(payload);
            datagram.emit(&mut packet, &source, &target, payload.len(), copy, &caps);
        }
        bytes
    }

    fn pairs() -> [(IpAddress, IpAddress); 2] {
        [
            (IpAddress::v4(10, 0, 2, 2), IpAddress::v4(10, 0, 2, 15)),
            (
                IpAddress::v6(0xfec0, 0, 0, 0, 0, 0, 0, 2),
                IpAddress::v6(0xfec0, 0, 0, 0, 1, 2, 3, 4),
            ),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_smoltcp_and_sees_every_flipped_bit(
            payload in prop::collection::vec(any::<u8>(), 0..1461),
            tcp in any::<bool>(),
            flip in any::<prop::sample::Index>(),
            bit in 0..8_u8,
        ) {
            for (source, target) in pairs() {
                let mut bytes = frame(source, target, &payload, tcp);
                prop_assert!(is_good(&bytes));
                // Padding behind the packet does not count.
                bytes.extend_from_slice(&[0xee; 7]);
                prop_assert!(is_good(&bytes));
                let payload_at = bytes.len() - 7 - payload.len();
                if !payload.is_empty() {
                    bytes[payload_at + flip.index(payload.len())] ^= 1 << bit;
                    prop_assert!(!is_good(&bytes));
                }
            }
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), v6 in any::<bool>()) {
            let mut framed = vec![0; 12];
            framed.extend_from_slice(if v6 { &[0x86, 0xdd] } else { &[0x08, 0x00] });
            framed.extend_from_slice(&bytes);
            let _ = is_good(&framed);
            let _ = is_good(&bytes);
            complete(&mut framed);
        }
    }

    /// A carry that was lost anywhere, of either sum, of both together or of what is left over,
    /// would show: all of these words carry.
    #[test]
    fn every_carry_comes_in_at_the_bottom() {
        for length in 0..64 {
            let bytes = vec![0xff; length];
            let words = bytes
                .chunks(2)
                .map(|word| u16::from_le_bytes([word[0], *word.get(1).unwrap_or(&0)]));
            let plain: u64 = words.map(u64::from).sum();
            for total in [0, 1, u64::MAX] {
                let wanted = fold(plain + u64::from(fold(total)));
                assert_eq!(fold(add(total, &bytes)), wanted, "{length} bytes on {total:#x}");
            }
        }
        // The addresses alone fill a word of the pseudo-header.
        let everywhere = IpAddress::v4(255, 255, 255, 255);
        let bytes = frame(everywhere, everywhere, &[0xff; 1460], true);
        assert!(is_good(&bytes));
        let mut blank = bytes.clone();
        complete(&mut blank);
        assert_eq!(blank, bytes);
    }

    /// The frame with an 802.1Q tag.
    fn tagged(frame: &[u8]) -> Vec<u8> {
        [&frame[..12], &[0x81, 0x00, 0x20, 0x07], &frame[12..]].concat()
    }

    proptest! {
        #[test]
        fn completes_as_smoltcp_does(
            payload in prop::collection::vec(any::<u8>(), 0..1461),
            (v6, tcp, tag) in any::<(bool, bool, bool)>(),
            before in any::<[u8; 2]>(),
        ) {
            let (source, target) = pairs()[usize::from(v6)];
            let mut wanted = frame(source, target, &payload, tcp);
            let field = if v6 { 54 } else { 34 } + if tcp { 16 } else { 6 };
            let mut bytes = wanted.clone();
            bytes[field..field + 2].copy_from_slice(&before);
            if tag {
                (wanted, bytes) = (tagged(&wanted), tagged(&bytes));
            }
            complete(&mut bytes);
            prop_assert_eq!(&bytes, &wanted);
            prop_assert!(is_good(&bytes));
        }
    }

    #[test]
    fn a_datagram_whose_sum_is_zero_says_so_with_all_ones() {
        let [(source, target), _] = pairs();
        // Chosen so that everything but the checksum adds up to zero.
        let mut bytes = frame(source, target, &[0, 0], false);
        let sum = u16::from_be_bytes([bytes[40], bytes[41]]);
        bytes[42..44].copy_from_slice(&sum.to_be_bytes());
        complete(&mut bytes);
        assert_eq!(bytes[40..42], [0xff, 0xff]);
        assert!(is_good(&bytes));
    }

    #[test]
    fn a_prepared_segment_needs_the_sum_from_its_header_on_and_nothing_else() {
        for (source, target) in pairs() {
            for tag in [false, true] {
                let mut wanted = frame(source, target, b"an odd payload", true);
                if tag {
                    wanted = tagged(&wanted);
                }
                let mut bytes = wanted.clone();
                let is_ipv4 = source.version() == smoltcp::wire::IpVersion::Ipv4;
                let ip = if tag { 18 } else { 14 };
                let tcp = ip + if is_ipv4 { 20 } else { 40 };
                assert_eq!(prepare(&mut bytes), Some(Insertion { ip, tcp, is_ipv4 }));
                // What the part does, bytes that pad the frame included.
                bytes.extend([0; 6]);
                let tcp = usize::from(tcp);
                let sum = !fold(add(0, &bytes[tcp..]));
                bytes[tcp + 16..tcp + 18].copy_from_slice(&sum.to_le_bytes());
                assert_eq!(bytes[..wanted.len()], wanted);
            }
        }
    }

    #[test]
    fn what_a_part_cannot_do_is_complete_instead() {
        for (source, target) in pairs() {
            let wanted = frame(source, target, b"a question", false);
            let mut bytes = wanted.clone();
            let field = bytes.len() - b"a question".len() - 2;
            bytes[field..field + 2].fill(0);
            assert_eq!(prepare(&mut bytes), None);
            assert_eq!(bytes, wanted);
        }
    }

    #[test]
    fn a_tag_hides_no_damage() {
        let [(source, target), _] = pairs();
        let mut bytes = tagged(&frame(source, target, b"payload", true));
        assert!(is_good(&bytes));
        *bytes.last_mut().unwrap() ^= 1;
        assert!(!is_good(&bytes));
    }

    #[test]
    fn what_cannot_be_completed_stays_as_it_is() {
        let [(source, target), _] = pairs();
        let whole = frame(source, target, b"payload", true);
        let mut fragment = whole.clone();
        fragment[14 + 6] = 0x20;
        for unchanged in [fragment, whole[..whole.len() - 1].to_vec(), vec![0xff; 42], vec![]] {
            let mut bytes = unchanged.clone();
            complete(&mut bytes);
            assert_eq!(bytes, unchanged);
        }
    }

    #[test]
    fn udp_without_checksum_is_for_ipv4_only() {
        let [(s4, t4), (s6, t6)] = pairs();
        let mut bytes = frame(s4, t4, b"dhcp", false);
        bytes[14 + 20 + 6..14 + 20 + 8].fill(0);
        assert!(is_good(&bytes));
        let mut bytes = frame(s6, t6, b"dhcp", false);
        bytes[14 + 40 + 6..14 + 40 + 8].fill(0);
        assert!(!is_good(&bytes));
    }

    #[test]
    fn a_hop_by_hop_header_hides_nothing() {
        let [_, (source, target)] = pairs();
        let plain = frame(source, target, b"payload", true);
        let mut bytes = plain[..54].to_vec();
        bytes[14 + 6] = 0;
        let length = u16::from_be_bytes([bytes[18], bytes[19]]) + 8;
        bytes[18..20].copy_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&[6, 0, 1, 4, 0, 0, 0, 0]);
        bytes.extend_from_slice(&plain[54..]);
        assert!(is_good(&bytes));
        *bytes.last_mut().unwrap() ^= 1;
        assert!(!is_good(&bytes));
    }

    #[test]
    fn a_length_beyond_the_frame_fails() {
        let [(source, target), _] = pairs();
        let bytes = frame(source, target, b"payload", true);
        assert!(!is_good(&bytes[..bytes.len() - 1]));
    }

    #[test]
    fn other_frames_pass() {
        assert!(is_good(&[]));
        assert!(is_good(&[0xff; 42]), "no IP");
        let [(source, target), _] = pairs();
        let mut fragment = frame(source, target, b"payload", true);
        fragment[14 + 6] = 0x20;
        fragment[60] ^= 1;
        assert!(is_good(&fragment), "the stack drops fragments");
    }
}
