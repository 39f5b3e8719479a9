//! The TCP segment in a frame, for what lies between the device and smoltcp.

use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet,
    Ipv6Packet, TcpPacket,
};

/// A TCP segment, and who sent it to whom.
#[derive(Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) hardware: (EthernetAddress, EthernetAddress),
    pub(crate) addresses: (IpAddress, IpAddress),
    pub(crate) tcp: TcpPacket<&'a [u8]>,
}

impl<'a> Segment<'a> {
    pub(crate) fn parse(frame: &'a [u8]) -> Option<Self> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        let (addresses, payload) = match frame.ethertype() {
            EthernetProtocol::Ipv4 => {
                let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
                if packet.next_header() != IpProtocol::Tcp || packet.frag_offset() != 0 {
                    return None;
                }
                ((packet.src_addr().into(), packet.dst_addr().into()), packet.payload())
            }
            EthernetProtocol::Ipv6 => {
                let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
                if packet.next_header() != IpProtocol::Tcp {
                    return None;
                }
                ((packet.src_addr().into(), packet.dst_addr().into()), packet.payload())
            }
            _ => return None,
        };
        let hardware = (frame.src_addr(), frame.dst_addr());
        Some(Self { hardware, addresses, tcp: TcpPacket::new_checked(payload).ok()? })
    }
}
