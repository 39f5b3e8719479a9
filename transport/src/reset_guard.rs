//! Resets that somebody guessed are not taken (RFC 9293 §3.10.7.4, RFC 5961 §3).
//!
//! smoltcp ends a connection at a reset anywhere in its window, which with a window of 256 KiB a
//! stranger who knows the addresses hits in 16384 tries. This guard lets a reset through only where
//! the next byte of the peer's is due: from what we acknowledged last to what has come in order
//! since. A genuine one that is refused, because data before it was lost, comes again: the peer
//! answers whatever we send next with one that fits.

use smoltcp::wire::{TcpPacket, TcpSeqNumber};

/// What is known of the latest connection that we began; there is one at a time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ResetGuard(Option<Connection>);

#[derive(Clone, Copy, Debug)]
struct Connection {
    /// Our port, the peer's.
    ports: (u16, u16),
    /// The next byte due by our last acknowledgement, and by what came in order since; none
    /// before the first.
    due: Option<(TcpSeqNumber, TcpSeqNumber)>,
}

impl ResetGuard {
    /// A segment of ours.
    pub(crate) fn sent(&mut self, segment: &TcpPacket<&[u8]>) {
        let ports = (segment.src_port(), segment.dst_port());
        if segment.syn() {
            self.0 = Some(Connection { ports, due: None });
        } else if let Some(connection) = &mut self.0
            && connection.ports == ports
            && segment.ack()
        {
            let acknowledged = segment.ack_number();
            let received = match connection.due {
                Some((_, received)) if received > acknowledged => received,
                _ => acknowledged,
            };
            connection.due = Some((acknowledged, received));
        }
    }

    /// Whether smoltcp must not see this segment that came.
    pub(crate) fn refuses(&mut self, segment: &TcpPacket<&[u8]>) -> bool {
        let Some(connection) = &mut self.0 else { return false };
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
        }
        false
    }

    /// The peer's byte that is due next; none before its first segment was acknowledged.
    pub(crate) fn due(&self) -> Option<TcpSeqNumber> {
        Some(self.0?.due?.1)
    }
}
