//! What lies between the device and smoltcp: it sees every segment of the connection, once.
//!
//! On the way in the [`ResetGuard`] keeps guessed resets out, and what the [`LossRecovery`] has to
//! say is said in front of the device's own frames. Neither changes a frame.

use core::cell::Cell;
use core::time::Duration;

use smoltcp::phy::{Device, DeviceCapabilities, PacketMeta, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet,
    Ipv6Packet, TcpPacket,
};

use crate::loss_recovery::{LossRecovery, Prompt};
use crate::netstack::duration;
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
    /// The device, watched.
    pub(crate) fn before<'a, D: Device>(&'a self, device: &'a mut D) -> Watched<'a, D> {
        Watched { watch: self, device }
    }

    /// What is known of lost segments.
    pub(crate) fn recovery<R>(&self, change: impl FnOnce(&mut LossRecovery) -> R) -> R {
        within(&self.recovery, change)
    }

    fn sent(&self, frame: &[u8], now: Duration) {
        let Some(segment) = Segment::parse(frame) else { return };
        within(&self.guard, |guard| guard.sent(&segment.tcp));
        self.recovery(|recovery| recovery.sent(&segment, now));
    }

    /// Whether smoltcp must not see this frame.
    fn refuses(&self, frame: &[u8], now: Duration) -> bool {
        let Some(segment) = Segment::parse(frame) else { return false };
        let is_refused = within(&self.guard, |guard| guard.refuses(&segment.tcp));
        if !is_refused {
            self.recovery(|recovery| recovery.received(&segment, now));
        }
        is_refused
    }

    fn prompt(&self) -> Option<Prompt> {
        let due = within(&self.guard, |guard| guard.due())?;
        self.recovery(|recovery| recovery.prompt(due))
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

/// A device, watched.
#[derive(Debug)]
pub(crate) struct Watched<'a, D> {
    watch: &'a Watch,
    device: &'a mut D,
}

impl<D: Device> Device for Watched<'_, D> {
    type RxToken<'b>
        = Received<'b, D::RxToken<'b>>
    where
        Self: 'b;
    type TxToken<'b>
        = Sending<'b, D::TxToken<'b>>
    where
        Self: 'b;

    fn receive(&mut self, time: Instant) -> Option<(Self::RxToken<'_>, Self::TxToken<'_>)> {
        let (watch, now) = (self.watch, duration(time));
        if let Some(prompt) = watch.prompt() {
            // smoltcp sends nothing in answer to an acknowledgement, but wants to be able to.
            let token = self.device.transmit(time)?;
            return Some((Received::Ours(prompt), Sending { watch, now, token }));
        }
        let (receive, token) = self.device.receive(time)?;
        let receive = Received::Theirs { watch, now, token: receive };
        Some((receive, Sending { watch, now, token }))
    }

    fn transmit(&mut self, time: Instant) -> Option<Self::TxToken<'_>> {
        let (watch, now) = (self.watch, duration(time));
        self.device.transmit(time).map(|token| Sending { watch, now, token })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

/// A frame that came, or one that smoltcp is to take for one.
#[derive(Debug)]
pub(crate) enum Received<'a, T> {
    Theirs { watch: &'a Watch, now: Duration, token: T },
    Ours(Prompt),
}

impl<T: RxToken> RxToken for Received<'_, T> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        match self {
            // smoltcp has no way to say no: a frame of nothing is dropped by its first check.
            Self::Theirs { watch, now, token } => {
                token.consume(|frame| read(if watch.refuses(frame, now) { &[] } else { frame }))
            }
            Self::Ours(prompt) => read(prompt.bytes()),
        }
    }

    fn meta(&self) -> PacketMeta {
        match self {
            Self::Theirs { token, .. } => token.meta(),
            Self::Ours(_) => PacketMeta::default(),
        }
    }
}

/// Room for a frame to be sent.
#[derive(Debug)]
pub(crate) struct Sending<'a, T> {
    watch: &'a Watch,
    now: Duration,
    token: T,
}

impl<T: TxToken> TxToken for Sending<'_, T> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        self.token.consume(length, |frame| {
            let result = write(frame);
            self.watch.sent(frame, self.now);
            result
        })
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.token.set_meta(meta);
    }
}
