//! Frames for the guest's NIC while it should be quiet: a NIC that nobody writes to proves nothing.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::plan::{GUEST_ADDRESS, HOST_ADDRESS};

/// The guest's port that is knocked at: discard (RFC 863). Nobody listens there.
pub const PORT: u16 = 9;
/// Between two knocks.
const PAUSE: Duration = Duration::from_millis(10);

/// Knocks every 10 ms until it is dropped.
#[derive(Debug)]
pub struct Knocker {
    enough: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Knocker {
    /// Knocks by calling `knock`.
    #[must_use]
    pub fn start(mut knock: impl FnMut() + Send + 'static) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&enough);
        let thread = thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                knock();
                thread::sleep(PAUSE);
            }
        });
        Self { enough, thread: Some(thread) }
    }
}

impl Drop for Knocker {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What sends a datagram to `port` of loopback, which QEMU forwards to the guest.
pub fn at_port(port: u16) -> impl FnMut() + Send + 'static {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).ok();
    move || {
        // Refused when QEMU is gone already: the run ends then anyway.
        if let Some(socket) = &socket {
            let _ = socket.send_to(b"knock", (Ipv4Addr::LOCALHOST, port));
        }
    }
}

/// The frame of such a datagram for a MAC address, where QEMU forwards nothing. Its sums are not
/// computed: nobody is to take it.
#[must_use]
pub fn frame(mac: [u8; 6]) -> Vec<u8> {
    const FROM: [u8; 6] = [0x52, 0x55, 0x0a, 0, 2, 2];
    let mut frame = [&mac[..], &FROM, &[8, 0]].concat();
    // IPv4 with 33 bytes, 64 hops, UDP; then UDP with 13 bytes.
    frame.extend([0x45, 0, 0, 33, 0, 0, 0x40, 0, 64, 17, 0, 0]);
    frame.extend([HOST_ADDRESS, GUEST_ADDRESS].concat());
    frame.extend([PORT, PORT].map(u16::to_be_bytes).concat());
    frame.extend([0, 13, 0, 0]);
    frame.extend(b"knock");
    frame.resize(60, 0);
    frame
}

/// A UDP port of loopback that nobody uses now.
///
/// # Errors
/// When the system gives out no port at all.
pub fn free_port() -> std::io::Result<u16> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
