//! The TCP segment in a frame, for what lies between the device and smoltcp.

use core::ops::Range;

use smoltcp::wire::{
    ETHERNET_HEADER_LEN, EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpProtocol,
    Ipv4Packet, Ipv6Packet, TcpPacket,
};

/// A TCP segment, and who sent it to whom.
#[derive(Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) hardware: (EthernetAddress, EthernetAddress),
    pub(crate) addresses: (IpAddress, IpAddress),
    pub(crate) tcp: TcpPacket<&'a [u8]>,
    /// Where in the frame it lies.
    pub(crate) place: Range<usize>,
}

impl<'a> Segment<'a> {
    pub(crate) fn parse(frame: &'a [u8]) -> Option<Self> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        let (addresses, payload, header) = match frame.ethertype() {
            EthernetProtocol::Ipv4 => {
                let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
                if packet.next_header() != IpProtocol::Tcp || packet.frag_offset() != 0 {
                    return None;
                }
                let addresses = (packet.src_addr().into(), packet.dst_addr().into());
                (addresses, packet.payload(), usize::from(packet.header_len()))
            }
            EthernetProtocol::Ipv6 => {
                let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
                if packet.next_header() != IpProtocol::Tcp {
                    return None;
                }
                let addresses = (packet.src_addr().into(), packet.dst_addr().into());
                (addresses, packet.payload(), packet.header_len())
            }
            _ => return None,
        };
        let hardware = (frame.src_addr(), frame.dst_addr());
        let begin = ETHERNET_HEADER_LEN.saturating_add(header);
        let place = begin..begin.saturating_add(payload.len());
        Some(Self { hardware, addresses, tcp: TcpPacket::new_checked(payload).ok()?, place })
    }
}

/// Changes the segment that was found at this place of a frame.
pub(crate) fn change(
    frame: &mut [u8],
    place: Range<usize>,
    change: impl FnOnce(&mut TcpPacket<&mut [u8]>),
) {
    if let Some(bytes) = frame.get_mut(place) {
        change(&mut TcpPacket::new_unchecked(bytes));
    }
}

/// Sequence number `a` comes after `b` (RFC 9293 §3.4).
pub(crate) fn is_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}
