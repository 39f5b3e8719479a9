//! Frames for the guest's NIC while it should be quiet: a NIC that nobody writes to proves nothing.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The guest's port that is knocked at: discard (RFC 863). Nobody listens there.
pub const PORT: u16 = 9;
/// Between two knocks.
const PAUSE: Duration = Duration::from_millis(10);

/// Sends a datagram to the guest every 10 ms until it is dropped.
#[derive(Debug)]
pub struct Knocker {
    enough: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Knocker {
    /// Knocks at `port` of loopback, which QEMU forwards to the guest.
    #[must_use]
    pub fn start(port: u16) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&enough);
        let thread = thread::spawn(move || {
            let Ok(socket) = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) else { return };
            while !told.load(Ordering::Relaxed) {
                // Refused when QEMU is gone already: the run ends then anyway.
                let _ = socket.send_to(b"knock", (Ipv4Addr::LOCALHOST, port));
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

/// A UDP port of loopback that nobody uses now.
///
/// # Errors
/// When the system gives out no port at all.
pub fn free_port() -> std::io::Result<u16> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
