//! Resets that somebody guessed are not taken (RFC 9293 §3.10.7.4, RFC 5961 §3).
//!
//! smoltcp ends a connection at a reset anywhere in its window, which with a window of 256 KiB a
//! stranger who knows the addresses hits in 16384 tries. This guard lets a reset through only where
//! the next byte of the peer's is due: from what we acknowledged last to what has come in order
//! since. A genuine one that is refused, because data before it was lost, comes again: the peer
//! answers whatever we send next with one that fits.

use smoltcp::wire::{TcpPacket, TcpSeqNumber};

use crate::run::Following;

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
    pub(crate) fn sent(&mut self, segment: &TcpPacket<impl AsRef<[u8]>>) {
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

    /// Data that somebody read of a segment which is neither a reset nor an end.
    pub(crate) fn goes_on(&mut self, following: &Following) {
        if let Some(Connection { ports, due: Some((_, received)) }) = &mut self.0
            && *ports == following.ports
            && received.0 == following.begin.cast_signed()
        {
            *received = TcpSeqNumber(following.end.cast_signed());
        }
    }

    /// The peer's byte that is due next; none before its first segment was acknowledged.
    pub(crate) fn due(&self) -> Option<TcpSeqNumber> {
        Some(self.0?.due?.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: u16 = 49152;
    const THEIRS: u16 = 3260;
    const DUE: u32 = u32::MAX - 99;

    /// A segment's header.
    fn segment(from: u16, to: u16, sequence: u32, acknowledged: u32, flags: u8) -> [u8; 20] {
        let mut header = [0; 20];
        header[..2].copy_from_slice(&from.to_be_bytes());
        header[2..4].copy_from_slice(&to.to_be_bytes());
        header[4..8].copy_from_slice(&sequence.to_be_bytes());
        header[8..12].copy_from_slice(&acknowledged.to_be_bytes());
        (header[12], header[13]) = (5 << 4, flags);
        header
    }

    /// A guard of a connection on which we acknowledged up to [`DUE`].
    fn guard() -> ResetGuard {
        const SYN: u8 = 0x02;
        const ACK: u8 = 0x10;
        let mut guard = ResetGuard::default();
        for header in [segment(OURS, THEIRS, 7, 0, SYN), segment(OURS, THEIRS, 8, DUE, ACK)] {
            guard.sent(&TcpPacket::new_unchecked(&header[..]));
        }
        guard
    }

    fn refuses_reset(guard: &mut ResetGuard, sequence: u32) -> bool {
        const RST: u8 = 0x04;
        let header = segment(THEIRS, OURS, sequence, 0, RST);
        guard.refuses(&TcpPacket::new_unchecked(&header[..]))
    }

    fn following(ports: (u16, u16), begin: u32, length: u32) -> Following {
        Following { ports, begin, end: begin.wrapping_add(length) }
    }

    #[test]
    fn a_reset_fits_behind_what_went_on_with_a_run() {
        let mut guard = guard();
        assert!(refuses_reset(&mut guard, DUE.wrapping_add(1)));
        for begin in [DUE, DUE.wrapping_add(200)] {
            guard.goes_on(&following((OURS, THEIRS), begin, 200));
        }
        assert_eq!(guard.due(), Some(TcpSeqNumber(300)));
        for (offset, is_refused) in [(0, false), (400, false), (401, true)] {
            let sequence = DUE.wrapping_add(offset);
            assert_eq!(refuses_reset(&mut guard, sequence), is_refused, "{offset}");
        }
    }

    #[test]
    fn what_goes_on_elsewhere_moves_nothing() {
        let mut guard = guard();
        guard.goes_on(&following((OURS, THEIRS), DUE.wrapping_add(200), 200));
        guard.goes_on(&following((OURS, THEIRS + 1), DUE, 200));
        guard.goes_on(&following((OURS + 1, THEIRS), DUE, 200));
        assert_eq!(guard.due(), Some(TcpSeqNumber(DUE.cast_signed())));
    }
}
