//! Resets that somebody guessed are not taken (RFC 9293 §3.10.7.4, RFC 5961 §3).
//!
//! smoltcp ends a connection at a reset anywhere in its window, which with a window of 256 KiB a
//! stranger who knows the addresses hits in 16384 tries. This middleware lies between the device
//! and smoltcp and lets a reset through only where the next byte of the peer's is due: from what we
//! acknowledged last to what has come in order since. A genuine one that is refused, because data
//! before it was lost, comes again: the peer answers whatever we send next with one that fits.

use core::cell::Cell;

use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, TcpSeqNumber,
};

/// What is known of the latest connection that we began; there is one at a time.
#[derive(Debug, Default)]
pub(crate) struct ResetGuard(Cell<Option<Connection>>);

#[derive(Clone, Copy, Debug)]
struct Connection {
    /// Our port, the peer's.
    ports: (u16, u16),
    /// The next byte due by our last acknowledgement, and by what came in order since; none
    /// before the first.
    due: Option<(TcpSeqNumber, TcpSeqNumber)>,
}

impl ResetGuard {
    /// Takes note of a frame that was sent.
    pub(crate) fn sent(&self, frame: &[u8]) {
        let Some(segment) = segment(frame) else { return };
        let ports = (segment.src_port(), segment.dst_port());
        if segment.syn() {
            self.0.set(Some(Connection { ports, due: None }));
        } else if let Some(mut connection) = self.0.get()
            && connection.ports == ports
            && segment.ack()
        {
            let acknowledged = segment.ack_number();
            let received = match connection.due {
                Some((_, received)) if received > acknowledged => received,
                _ => acknowledged,
            };
            connection.due = Some((acknowledged, received));
            self.0.set(Some(connection));
        }
    }

    /// Whether smoltcp must not see this frame.
    pub(crate) fn refuses(&self, frame: &[u8]) -> bool {
        let Some(segment) = segment(frame) else { return false };
        let Some(mut connection) = self.0.get() else { return false };
        let Some((acknowledged, received)) = connection.due else { return false };
        if (segment.dst_port(), segment.src_port()) != connection.ports {
            return false;
        }
        let begin = segment.seq_number();
        if segment.rst() {
            return begin < acknowledged || begin > received;
        }
        if begin == received {
            let length = i32::try_from(segment.segment_len()).unwrap_or(0);
            connection.due = Some((acknowledged, TcpSeqNumber(begin.0.wrapping_add(length))));
            self.0.set(Some(connection));
        }
        false
    }
}

/// The TCP segment in a frame, as far as it is one.
fn segment(frame: &[u8]) -> Option<TcpPacket<&[u8]>> {
    let frame = EthernetFrame::new_checked(frame).ok()?;
    match frame.ethertype() {
        EthernetProtocol::Ipv4 => {
            let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
            let is_tcp = packet.next_header() == IpProtocol::Tcp && packet.frag_offset() == 0;
            TcpPacket::new_checked(packet.payload()).ok().filter(|_| is_tcp)
        }
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
            let is_tcp = packet.next_header() == IpProtocol::Tcp;
            TcpPacket::new_checked(packet.payload()).ok().filter(|_| is_tcp)
        }
        _ => None,
    }
}
