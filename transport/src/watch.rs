//! What passes between the device and smoltcp of the connection, seen a segment at a time: the
//! [`ResetGuard`] keeps guessed resets out, and the [`LossRecovery`] learns what was lost.

use core::cell::Cell;
use core::time::Duration;

use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet,
    Ipv6Packet, TcpPacket,
};

use crate::loss_recovery::{LossRecovery, Prompt};
use crate::reset_guard::ResetGuard;

/// What is known of the latest connection that we began; there is one at a time.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    guard: Cell<ResetGuard>,
    recovery: Cell<LossRecovery>,
}

/// Borrows what is in a cell for as long as `change` takes.
fn within<T: Default, R>(cell: &Cell<T>, change: impl FnOnce(&mut T) -> R) -> R {
    let mut value = cell.take();
    let result = change(&mut value);
    cell.set(value);
    result
}

impl Watch {
    /// What is known of lost segments.
    pub(crate) fn recovery<R>(&self, change: impl FnOnce(&mut LossRecovery) -> R) -> R {
        within(&self.recovery, change)
    }

    /// Takes note of a frame that was sent.
    pub(crate) fn sent(&self, frame: &[u8], now: Duration) {
        let Some(segment) = Segment::parse(frame) else { return };
        within(&self.guard, |guard| guard.sent(&segment.tcp));
        self.recovery(|recovery| recovery.sent(&segment, now));
    }

    /// Whether smoltcp must not see this frame.
    pub(crate) fn refuses(&self, frame: &[u8], now: Duration) -> bool {
        let Some(segment) = Segment::parse(frame) else { return false };
        let is_refused = within(&self.guard, |guard| guard.refuses(&segment.tcp));
        if !is_refused {
            self.recovery(|recovery| recovery.received(&segment, now));
        }
        is_refused
    }

    /// The frame of this number of those that make the socket send again.
    pub(crate) fn prompt(&self, number: usize) -> Option<Prompt> {
        let due = within(&self.guard, |guard| guard.due())?;
        self.recovery(|recovery| recovery.prompt(number, due))
    }
}

/// The TCP segment in a frame, and who sent it to whom.
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
