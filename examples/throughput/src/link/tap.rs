//! A TAP device as our stack drives it: frames in place, and what a network card does for a stack.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use isboot_transport::checksum;
use isboot_transport::device::{EthernetDevice, ReceivedFrame};
use isboot_transport::link::Link;
use nix::libc;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// Bytes before every frame (virtio 1.2 §5.1.6, without `num_buffers`).
const HEADER: usize = 10;
/// `VIRTIO_NET_HDR_F_NEEDS_CSUM`: the sum is still to be put in. On what we get that means that
/// nothing could have changed the data: they never left this machine.
const NEEDS_CHECKSUM: u8 = 1;
/// `VIRTIO_NET_HDR_F_DATA_VALID`: somebody checked it.
const DATA_VALID: u8 = 2;
const ETHERNET_HEADER: usize = 14;
/// The largest IP packet of every Ethernet (RFC 894).
pub const ETHERNET_MTU: u16 = 1500;
/// Where the checksum stands in a TCP header.
const TCP_CHECKSUM: u16 = 16;
/// The longest frame that the kernel hands over.
const LONGEST: usize = 65536 + ETHERNET_HEADER;
/// Frames that the device holds for us, its `txqueuelen`.
const QUEUE: usize = 1000;
/// Frames that are dropped in one call for their checksum, before the stack has its turn again.
const DROPPED_AT_ONCE: usize = 64;

/// Our end of a TAP device, which is gone when this is.
pub struct Tap {
    file: File,
    mtu: u16,
    received: Box<[u8]>,
    sent: Box<[u8]>,
}

nix::ioctl_write_ptr_bad!(
    /// Makes an open `/dev/net/tun` one end of an interface.
    set_interface,
    libc::TUNSETIFF,
    libc::ifreq
);
nix::ioctl_write_int_bad!(
    /// Says what the stack behind the device does by itself.
    set_offload,
    // One of the kernel's numbers, which differ in type from C library to C library.
    libc::TUNSETOFFLOAD
);

impl Tap {
    /// Makes a TAP device of this name in the network of this thread. It computes TCP checksums both
    /// ways, as the controllers of the driver do, and hands over what the kernel sent or collected as
    /// one as a frame of up to 64 KiB.
    ///
    /// # Errors
    ///
    /// What the system said: it needs root and the device `/dev/net/tun`.
    pub fn open(name: &str, mtu: u16) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).custom_flags(libc::O_NONBLOCK);
        let file = options.open("/dev/net/tun")?;
        let mut name_of_it = [0; libc::IFNAMSIZ];
        if name.len() >= name_of_it.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "too long a name"));
        }
        for (to, from) in name_of_it.iter_mut().zip(name.bytes()) {
            *to = from.cast_signed();
        }
        let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
        let flags = libc::__c_anonymous_ifr_ifru { ifru_flags: flags as libc::c_short };
        let request = libc::ifreq { ifr_name: name_of_it, ifr_ifru: flags };
        // SAFETY: the file is open, and the request lives and is of the kind that TUNSETIFF reads.
        unsafe { set_interface(file.as_raw_fd(), &raw const request) }?;
        let features = libc::TUN_F_CSUM | libc::TUN_F_TSO4 | libc::TUN_F_TSO6;
        // SAFETY: the file is open, and TUNSETOFFLOAD takes a number.
        unsafe { set_offload(file.as_raw_fd(), features as libc::c_int) }?;
        let buffer = || vec![0; HEADER + LONGEST].into_boxed_slice();
        Ok(Self { file, mtu, received: buffer(), sent: buffer() })
    }

    /// The largest IP packet.
    #[must_use]
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    /// Waits until a frame came, or for as long as `limit`.
    pub fn wait(&self, limit: Duration) {
        let limit = Timespec::try_from(limit).ok();
        // An early return is harmless: the caller polls and waits again.
        let _ = poll(&mut [PollFd::new(&self.file, PollFlags::IN)], limit.as_ref());
    }

    /// The length of the next frame, its header before it in the buffer.
    fn read(&mut self) -> Option<usize> {
        for _ in 0..DROPPED_AT_ONCE {
            let length = rustix::io::read(self.file.as_fd(), &mut self.received[..]).ok()?;
            let frame = self.received.get(HEADER..length)?;
            if self.received[0] & (NEEDS_CHECKSUM | DATA_VALID) != 0 || checksum::is_good(frame) {
                return Some(length);
            }
        }
        None
    }
}

impl EthernetDevice for Tap {
    type Frame<'a> = Received<'a>;

    fn flush(&mut self) {}

    fn link(&mut self) -> Link {
        Link::Up { megabits: 1000, full_duplex: true }
    }

    fn receive_frames(&self) -> usize {
        QUEUE
    }

    fn max_mtu(&self) -> u16 {
        self.mtu
    }

    fn set_mtu(&mut self, mtu: u16) {
        self.mtu = mtu;
    }
}

impl Device for Tap {
    type RxToken<'a> = Received<'a>;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Sending<'_>)> {
        let length = self.read()?;
        let Self { file, received, sent, .. } = self;
        let frame = received.get_mut(HEADER..length)?;
        Some((Received(frame), Sending { file, buffer: sent }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        let Self { file, sent, .. } = self;
        Some(Sending { file, buffer: sent })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = usize::from(self.mtu) + ETHERNET_HEADER;
        // As with the driver's parts: verified before the stack sees a frame, put in after it wrote
        // one.
        capabilities.checksum.tcp = Checksum::None;
        capabilities.checksum.udp = Checksum::None;
        capabilities
    }
}

/// A frame that came.
pub struct Received<'a>(&'a mut [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

impl ReceivedFrame for Received<'_> {
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.0
    }
}

/// Room for a frame to be sent.
pub struct Sending<'a> {
    file: &'a File,
    buffer: &'a mut [u8],
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let (header, room) = self.buffer.split_at_mut(HEADER);
        let frame = &mut room[..length];
        let result = write(frame);
        header.fill(0);
        if let Some(insertion) = checksum::prepare(frame) {
            header[0] = NEEDS_CHECKSUM;
            header[6..8].copy_from_slice(&u16::from(insertion.tcp).to_le_bytes());
            header[8..10].copy_from_slice(&TCP_CHECKSUM.to_le_bytes());
        }
        // A full device drops it, as a wire does, and TCP sends it again.
        let _ = rustix::io::write(self.file.as_fd(), &self.buffer[..HEADER + length]);
        result
    }
}
