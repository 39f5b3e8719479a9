//! Data of the connection that never reaches smoltcp.
//!
//! smoltcp copies what it receives into its ring, and whoever reads copies it from there to its place.
//! While segments come in order and are read as they come, the first copy is for nothing. Such data is
//! lent where the device put it, and smoltcp does not learn of it: the peer's sequence numbers are that
//! much smaller to smoltcp than on the wire, in what it is handed and in what it says of them.
//!
//! That holds as long as smoltcp has nothing of the peer's that lies behind what passes it by, which is
//! what the [`Bypass`] watches over.

use smoltcp::wire::{TcpPacket, TcpSeqNumber};

use crate::run::Following;
use crate::segment::is_after;

/// What is known of the latest connection that we began; there is one at a time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bypass {
    /// Bytes of the largest window that we ever grant.
    window: u32,
    connection: Option<Connection>,
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    /// Our port, the peer's.
    ports: (u16, u16),
    /// Bytes that passed smoltcp by, modulo 2^32.
    passed: u32,
    /// None before the peer's first segment was acknowledged.
    stand: Option<Stand>,
}

/// Sequence numbers of the peer's, as on the wire.
#[derive(Clone, Copy, Debug)]
struct Stand {
    /// The next byte due by our last acknowledgement.
    acknowledged: u32,
    /// What smoltcp may have ends before this.
    end: u32,
    /// Something that passed smoltcp by is not acknowledged.
    owes: bool,
}

impl Bypass {
    /// For connections whose window is at most so large.
    pub(crate) fn new(window: usize) -> Self {
        Self { window: u32::try_from(window).unwrap_or(u32::MAX), connection: None }
    }

    /// Makes of a segment of smoltcp's one for the wire.
    pub(crate) fn sent(&mut self, segment: &mut TcpPacket<&mut [u8]>) {
        let ports = (segment.src_port(), segment.dst_port());
        if segment.syn() {
            self.connection = Some(Connection { ports, passed: 0, stand: None });
            return;
        }
        let Some(connection) = self.connection.as_mut().filter(|known| known.ports == ports) else {
            return;
        };
        if !segment.ack() {
            return;
        }
        let passed = connection.passed;
        let acknowledged = number(segment.ack_number()).wrapping_add(passed);
        if passed != 0 {
            segment.set_ack_number(sequence(acknowledged));
            add_to_selective_acknowledgements(segment.options_mut(), passed);
        }
        let end = connection.stand.map_or(acknowledged, |stand| later(stand.end, acknowledged));
        connection.stand = Some(Stand { acknowledged, end, owes: false });
    }

    /// Makes of a segment of the peer's one for smoltcp.
    pub(crate) fn received(&mut self, segment: &mut TcpPacket<&mut [u8]>) {
        let ports = (segment.dst_port(), segment.src_port());
        let window = self.window;
        let Some(connection) = self.connection.as_mut().filter(|known| known.ports == ports) else {
            return;
        };
        let begin = number(segment.seq_number());
        if let Some(stand) = &mut connection.stand {
            let length = u32::try_from(segment.segment_len()).unwrap_or(0);
            // What was granted, and as much again that may have passed since; smoltcp takes nothing
            // that begins behind that.
            let limit = stand.acknowledged.wrapping_add(window.saturating_mul(2));
            if length != 0 && !is_after(begin, limit) {
                stand.end = later(stand.end, begin.wrapping_add(length));
            }
        }
        if connection.passed != 0 {
            segment.set_seq_number(sequence(begin.wrapping_sub(connection.passed)));
        }
    }

    /// Whether this may pass smoltcp by, which has all that comes before it: it has nothing besides,
    /// in order or not.
    pub(crate) fn may_begin(&self, following: &Following) -> bool {
        self.connection.is_some_and(|known| {
            known.ports == following.ports
                && known.stand.is_some_and(|stand| stand.end == following.begin)
        })
    }

    /// Whether the peer was allowed to send this.
    pub(crate) fn is_granted(&self, following: &Following) -> bool {
        self.connection
            .and_then(|connection| connection.stand)
            .is_some_and(|stand| following.end.wrapping_sub(stand.acknowledged) <= self.window)
    }

    /// Somebody read this, behind everything that smoltcp has.
    pub(crate) fn passed_by(&mut self, following: &Following) {
        if let Some(Connection { passed, stand: Some(stand), .. }) = &mut self.connection {
            *passed = passed.wrapping_add(following.end.wrapping_sub(following.begin));
            (stand.end, stand.owes) = (following.end, true);
        }
    }

    /// Whether something passed smoltcp by that no segment of ours has acknowledged.
    pub(crate) fn owes_acknowledgement(&self) -> bool {
        self.connection.and_then(|connection| connection.stand).is_some_and(|stand| stand.owes)
    }

    /// What smoltcp takes this sequence number of the peer's for.
    pub(crate) fn as_smoltcp_has_it(&self, wire: TcpSeqNumber) -> TcpSeqNumber {
        let passed = self.connection.map_or(0, |connection| connection.passed);
        sequence(number(wire).wrapping_sub(passed))
    }
}

/// The blocks of received data that the peer is told of (RFC 2018 §3).
fn add_to_selective_acknowledgements(mut options: &mut [u8], passed: u32) {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const SACK: u8 = 5;
    while let [kind, rest @ ..] = options {
        if *kind == END {
            return;
        }
        if *kind == NO_OPERATION {
            options = rest;
            continue;
        }
        let Some((length, rest)) = rest.split_first_mut() else { return };
        let Some((content, rest)) = usize::from(*length)
            .checked_sub(2)
            .and_then(|length| rest.split_at_mut_checked(length))
        else {
            return;
        };
        if *kind == SACK {
            for edge in content.as_chunks_mut().0 {
                *edge = u32::from_be_bytes(*edge).wrapping_add(passed).to_be_bytes();
            }
        }
        options = rest;
    }
}

fn number(sequence: TcpSeqNumber) -> u32 {
    sequence.0.cast_unsigned()
}

fn sequence(number: u32) -> TcpSeqNumber {
    TcpSeqNumber(number.cast_signed())
}

fn later(a: u32, b: u32) -> u32 {
    if is_after(a, b) { a } else { b }
}

#[cfg(test)]
mod tests;
