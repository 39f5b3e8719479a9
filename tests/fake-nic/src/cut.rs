//! Segmentation: one long frame in, the segments of it out (8254x §3.5, 82574 §7.3.6, 82576 §7.2.4).

use crate::transmit::insert_sum;

/// What a context says of the frame behind it.
pub(crate) struct Cut {
    /// Where the IP and the TCP header begin.
    ip: usize,
    tcp: usize,
    /// Bytes of all headers.
    header: usize,
    /// Most bytes of data of one segment.
    size: usize,
    /// Bytes of data; an advanced data descriptor says it.
    pub(crate) payload: usize,
}

impl Cut {
    /// Of a context descriptor; `None` when it is about checksums alone.
    pub(crate) fn read(descriptor: &[u8; 16], is_advanced: bool) -> Option<Self> {
        let size = usize::from(u16::from_le_bytes([descriptor[14], descriptor[15]]));
        if is_advanced {
            let lengths = u32::from_le_bytes(descriptor[..4].try_into().expect("4 bytes"));
            let ip = (lengths >> 9 & 0x7f) as usize;
            let tcp = ip + (lengths & 0x1ff) as usize;
            let header = tcp + usize::from(descriptor[13]);
            return (size != 0).then_some(Self { ip, tcp, header, size, payload: 0 });
        }
        const TSE: u8 = 1 << 2;
        const IPV4_AND_TCP: u8 = 3;
        if descriptor[11] & TSE == 0 {
            return None;
        }
        assert_eq!(descriptor[11] & IPV4_AND_TCP, IPV4_AND_TCP, "segments of something else");
        let word = u32::from_le_bytes(descriptor[8..12].try_into().expect("4 bytes"));
        Some(Self {
            ip: descriptor[0].into(),
            tcp: descriptor[4].into(),
            header: descriptor[13].into(),
            size,
            payload: (word & 0xf_ffff) as usize,
        })
    }
}

/// The segments of a frame over IPv4.
pub(crate) fn cut(frame: &[u8], cut: &Cut) -> Vec<Vec<u8>> {
    let Cut { ip, tcp, header, size, payload } = *cut;
    assert!(size != 0, "segments of nothing");
    assert_eq!(header + payload, frame.len(), "another length than the context's");
    assert_eq!(frame[ip + 2..ip + 4], [0; 2], "the length is not left to the part");
    assert_eq!(frame[ip + 10..ip + 12], [0; 2], "a checksum is not left to the part");
    assert_eq!(header, tcp + usize::from(frame[tcp + 12] >> 4) * 4, "where the data begins");
    let (headers, data) = frame.split_at(header);
    let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let long = |at: usize| u32::from(word(at)) << 16 | u32::from(word(at + 2));
    let pieces = data.chunks(size);
    let last = pieces.len() - 1;
    let segments = pieces.enumerate().map(|(number, piece)| {
        let mut segment = [headers, piece].concat();
        let ip_len = u16::try_from(segment.len() - ip).expect("a packet's length");
        segment[ip + 2..ip + 4].copy_from_slice(&ip_len.to_be_bytes());
        let identification = word(ip + 4).wrapping_add(number as u16);
        segment[ip + 4..ip + 6].copy_from_slice(&identification.to_be_bytes());
        insert_sum_of(&mut segment, ip, tcp, ip + 10);
        let sequence = long(tcp + 4).wrapping_add((number * size) as u32);
        segment[tcp + 4..tcp + 8].copy_from_slice(&sequence.to_be_bytes());
        if number != last {
            const FIN_AND_PSH: u8 = 0x09;
            segment[tcp + 13] &= !FIN_AND_PSH;
        }
        // The pseudo-header's sum stands there, but for the length.
        let tcp_len = u16::try_from(segment.len() - tcp).expect("a segment's length");
        let (seed, carry) = word(tcp + 16).overflowing_add(tcp_len);
        segment[tcp + 16..tcp + 18].copy_from_slice(&(seed + u16::from(carry)).to_be_bytes());
        insert_sum(&mut segment, tcp, tcp + 16);
        segment
    });
    segments.collect()
}

/// The sum of a header alone.
fn insert_sum_of(segment: &mut [u8], begin: usize, end: usize, place: usize) {
    insert_sum(&mut segment[..end], begin, place);
}

/// The segments, with at most `size` bytes of data each, of a frame of TCP over IPv4 as a stack
/// writes it that leaves checksums out. A tag may stand before the IP header.
///
/// # Panics
/// When it is something else.
#[must_use]
pub fn segments(frame: &[u8], size: usize) -> Vec<Vec<u8>> {
    let ip = if frame[12..14] == [0x81, 0x00] { 18 } else { 14 };
    assert_eq!((&frame[ip - 2..ip + 1], frame[ip + 9]), (&[0x08, 0x00, 0x45][..], 6), "no TCP");
    let tcp = ip + 20;
    let header = tcp + usize::from(frame[tcp + 12] >> 4) * 4;
    let mut frame = frame.to_vec();
    frame[ip + 2..ip + 4].fill(0);
    frame[ip + 10..ip + 12].fill(0);
    let numbers = [[0, 6], [0, 0]].concat();
    let words = [&frame[ip + 12..ip + 20], &numbers].concat();
    let sum: u32 = words.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    frame[tcp + 16..tcp + 18].copy_from_slice(&(sum as u16).to_be_bytes());
    let payload = frame.len() - header;
    cut(&frame, &Cut { ip, tcp, header, size, payload })
}
