//! Long TCP segments, which the part cuts into those that the wire takes (TCP segmentation offload).
//!
//! The stack makes one frame of many segments' data, with one set of headers; the part sends it as
//! segments, each with a copy of these headers in which lengths, identification, sequence number,
//! flags and checksums are its own. So a frame costs the stack once what segments cost it each.
//!
//! IPv4 alone: smoltcp makes no others.

use core::num::NonZeroU16;

use crate::checksum::{self, Insertion};

/// How a long frame is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segmentation {
    /// Where the headers are, which the part changes.
    pub insertion: Insertion,
    /// Bytes of all headers: those of Ethernet, IP and TCP.
    pub header: u8,
    /// Most bytes of data in one segment.
    pub size: u16,
    /// Bytes of data in all of them.
    pub payload: u16,
}

/// Prepares a frame for a part that cuts it into segments with at most `size` bytes of data each:
/// what depends on a segment's length is zero or left out, as the parts want it (8254x §3.5.6.1,
/// 82574 §7.3.6.2, 82576 §7.2.4.3).
///
/// The IPv4 header is given an identification. smoltcp leaves it zero, which is right where nobody
/// cuts packets (RFC 6864 §4.1); QEMU 7.2's e1000e makes IP fragments of the frame instead of
/// segments, and those of two frames must not be taken for one packet's.
///
/// `None`, and the frame as it was, when it is not TCP right behind a plain IPv4 header, or no data.
pub fn prepare(frame: &mut [u8], size: NonZeroU16, identification: u16) -> Option<Segmentation> {
    let ip = match frame.get(12..18)? {
        [0x08, 0x00, ..] => 14,
        // 802.1Q: a tag comes first.
        [0x81, 0x00, _, _, 0x08, 0x00] => 18,
        _ => return None,
    };
    let (before, packet) = frame.split_at_mut_checked(ip)?;
    let (header, segment) = packet.split_first_chunk_mut::<IPV4_HEADER>()?;
    let [version, _, l0, l1, i0, i1, f0, f1, _, protocol, c0, c1, addresses @ ..] = header;
    const MORE_OR_OFFSET: u8 = 0x3f;
    let is_plain = *version == 0x45 && *protocol == TCP && (*f0 & MORE_OR_OFFSET, *f1) == (0, 0);
    let length = usize::from(u16::from_be_bytes([*l0, *l1])).checked_sub(IPV4_HEADER)?;
    if !is_plain || segment.len() != length {
        return None;
    }
    let &mut [_, _, _, _, _, _, _, _, _, _, _, _, offset, _, _, _, ref mut s0, ref mut s1, ..] =
        segment
    else {
        return None;
    };
    let tcp_header = usize::from(offset >> 4).wrapping_mul(4);
    if tcp_header < TCP_HEADER {
        return None;
    }
    let payload = length.checked_sub(tcp_header).filter(|rest| *rest > 0)?;
    let all = before.len().wrapping_add(IPV4_HEADER).wrapping_add(tcp_header);
    let how = Segmentation {
        insertion: Insertion {
            ip: u8::try_from(before.len()).ok()?,
            tcp: u8::try_from(before.len().wrapping_add(IPV4_HEADER)).ok()?,
            is_ipv4: true,
        },
        header: u8::try_from(all).ok()?,
        size: size.get(),
        payload: u16::try_from(payload).ok()?,
    };
    [*s0, *s1] = checksum::sum([addresses.as_slice(), &[0, TCP]]);
    (*l0, *l1, *c0, *c1) = (0, 0, 0, 0);
    [*i0, *i1] = identification.to_be_bytes();
    Some(how)
}

const TCP: u8 = 6;
/// Bytes of a TCP header without options.
const TCP_HEADER: usize = 20;
/// Bytes of an IPv4 header without options.
const IPV4_HEADER: usize = 20;
