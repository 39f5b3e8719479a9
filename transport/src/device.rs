//! A controller as the network stack sees it.

use core::num::{NonZeroU16, NonZeroUsize};

use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium, PacketMeta};
use smoltcp::time::Instant;

use crate::hal::Hal;
use crate::intel::nic::{Frame, Nic, Transmitter};
use crate::link::Link;
use crate::pci::ConfigSpace;

/// What [`NetStack`](crate::netstack::NetStack) needs of a device besides its frames.
pub trait EthernetDevice: phy::Device {
    /// A received frame: the device's own token, under a name that says what it can do besides.
    type Frame<'a>: ReceivedFrame + From<Self::RxToken<'a>>
    where
        Self: 'a;

    /// Whether a frame may wait to be received. Asked in each poll that has nothing else to do, so
    /// it must be cheap; a device that cannot tell without receiving says yes.
    fn may_have_received(&mut self) -> bool {
        true
    }

    /// Makes frames queued since the last call leave. Cheap when there are none.
    fn flush(&mut self);

    /// The state of the wire. May touch the hardware: asked a few times a second.
    fn link(&mut self) -> Link;

    /// How many full-sized frames may arrive between two polls without loss.
    fn receive_frames(&self) -> usize;

    /// The largest IP packet that its frames can carry, with a VLAN's tag besides.
    fn max_mtu(&self) -> u16 {
        ETHERNET_MTU
    }

    /// Limits IP packets to `mtu` bytes in both directions.
    fn set_mtu(&mut self, mtu: u16);

    /// Bytes of the longest frame that it takes to cut it into segments, as its capabilities say it
    /// now; `None`: it cuts none.
    fn longest_segmented(&self) -> Option<usize> {
        None
    }

    /// Whether it may cut long TCP segments, where it can.
    fn allow_segmentation(&mut self, is_allowed: bool) {
        let _ = is_allowed;
    }
}

/// A received frame that can be changed before the stack reads it: what lies between device and
/// stack can take a tag off without a copy.
pub trait ReceivedFrame: phy::RxToken {
    /// Its bytes, in the buffer where the device put them.
    fn bytes_mut(&mut self) -> &mut [u8];
}

/// The largest IP packet of every Ethernet (RFC 894).
pub const ETHERNET_MTU: u16 = 1500;

/// Bytes of an Ethernet header.
const ETHERNET_HEADER: usize = 14;
/// Slower links gain nothing by segmentation, which drivers leave alone there on PCI Express parts.
const GIGABIT: u16 = 1000;
/// Bytes of a VLAN's tag.
const VLAN_TAG: usize = 4;

/// A [`Nic`] under smoltcp.
///
/// Received frames are lent in place. The driver has dropped those with a wrong TCP or UDP
/// checksum, whoever computed it, so the stack does not verify these sums again; and the stack
/// leaves them out of what it sends, for the part to compute.
pub struct NicDevice<H: Hal + Clone, C: ConfigSpace> {
    nic: Nic<H, C>,
    mtu: u16,
    may_segment: bool,
    is_fast: bool,
}

impl<H: Hal + Clone, C: ConfigSpace> NicDevice<H, C> {
    /// Puts an attached controller under the stack.
    #[must_use]
    pub const fn new(nic: Nic<H, C>) -> Self {
        Self { nic, mtu: ETHERNET_MTU, may_segment: true, is_fast: false }
    }

    /// The controller.
    #[must_use]
    pub const fn nic(&self) -> &Nic<H, C> {
        &self.nic
    }

    /// The controller.
    pub const fn nic_mut(&mut self) -> &mut Nic<H, C> {
        &mut self.nic
    }

    /// Gives the controller back, to be detached.
    #[must_use]
    pub fn into_nic(self) -> Nic<H, C> {
        self.nic
    }
}

impl<H: Hal + Clone, C: ConfigSpace> EthernetDevice for NicDevice<H, C> {
    type Frame<'a>
        = RxToken<'a, H>
    where
        Self: 'a;

    fn may_have_received(&mut self) -> bool {
        self.nic.is_draining() || self.nic.split().0.has_frame()
    }

    fn flush(&mut self) {
        self.nic.split().1.flush();
    }

    fn link(&mut self) -> Link {
        let now = self.nic.now();
        // Said in the log as well.
        let _ = self.nic.watch(now);
        let link = match self.nic.link() {
            Link::Gone => {
                // Since the watchdog last looked: what it can mend is not gone.
                let _ = self.nic.watch_at_once(now);
                self.nic.link()
            }
            link => link,
        };
        self.is_fast = matches!(link, Link::Up { megabits: GIGABIT.., .. });
        link
    }

    fn receive_frames(&self) -> usize {
        usize::try_from(self.nic.receive_room()).unwrap_or(0)
    }

    fn max_mtu(&self) -> u16 {
        self.nic.max_mtu()
    }

    fn set_mtu(&mut self, mtu: u16) {
        self.mtu = mtu.min(self.nic.max_mtu());
    }

    fn longest_segmented(&self) -> Option<usize> {
        self.nic.longest_segmented().filter(|_| self.may_segment && self.is_fast)
    }

    fn allow_segmentation(&mut self, is_allowed: bool) {
        self.may_segment = is_allowed;
    }
}

impl<H: Hal + Clone, C: ConfigSpace> phy::Device for NicDevice<H, C> {
    type RxToken<'a>
        = RxToken<'a, H>
    where
        Self: 'a;
    type TxToken<'a>
        = TxToken<'a, H>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(RxToken<'_, H>, TxToken<'_, H>)> {
        if self.nic.is_draining() {
            let now = self.nic.now();
            let _ = self.nic.watch(now);
        }
        let (receiver, mut transmitter) = self.nic.split();
        if !transmitter.has_room() {
            // The stack may want to answer: let frames wait until it can.
            return None;
        }
        let frame = receiver.receive()?;
        Some((RxToken(frame), TxToken { transmitter, segment: None }))
    }

    fn transmit(&mut self, _: Instant) -> Option<TxToken<'_, H>> {
        let (_, mut transmitter) = self.nic.split();
        transmitter.has_room().then_some(TxToken { transmitter, segment: None })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = usize::from(self.mtu).saturating_add(ETHERNET_HEADER);
        // Verified before the stack sees the frame, completed after it wrote one.
        capabilities.checksum.tcp = Checksum::None;
        capabilities.checksum.udp = Checksum::None;
        let longest = self.longest_segmented().and_then(|longest| longest.checked_sub(VLAN_TAG));
        capabilities.segmentation.tcpv4 = longest.and_then(NonZeroUsize::new);
        capabilities
    }
}

/// A received frame, in the buffer where the controller put it; given back when dropped.
pub struct RxToken<'a, H: Hal>(Frame<'a, H>);

impl<H: Hal> phy::RxToken for RxToken<'_, H> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0.bytes())
    }
}

impl<H: Hal> ReceivedFrame for RxToken<'_, H> {
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.bytes_mut()
    }
}

/// Room for one frame to send.
pub struct TxToken<'a, H: Hal> {
    transmitter: Transmitter<'a, H>,
    /// Most bytes of data in one segment, where the frame is to be cut.
    segment: Option<NonZeroU16>,
}

impl<H: Hal> phy::TxToken for TxToken<'_, H> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(mut self, len: usize, f: F) -> R {
        match self.segment {
            Some(size) => self.transmitter.send_segmented(len, size, f),
            None => self.transmitter.send_without_checksum(len, f),
        }
    }

    fn set_meta(&mut self, meta: PacketMeta) {
        self.segment = meta.segmentation_offload_size;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tcp::TcpStream;

    /// A kernel may move the driver to another thread when its own handles allow that.
    fn _is_send<H: Hal + Clone + Send, C: ConfigSpace + Send>() {
        fn send<T: Send>() {}
        send::<TcpStream<'static, NicDevice<H, C>>>();
    }
}
