//! A switch between the machine and QEMU's user networking, for what that cannot do: carry a VLAN's
//! tag, and bring frames to a guest that has no IPv4 address.
//!
//! It is this process: QEMU hands frames over on two sockets, one for each side. No rights are
//! needed, and no module of the kernel.

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::knock;
use crate::plan::GUEST_MAC;

/// How often a socket that QEMU has not connected to yet is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// A machine that takes no frame for so long is gone, or hangs.
const STUCK: Duration = Duration::from_secs(10);
/// No frame is longer: QEMU's own limit is 69 KiB.
const LONGEST: usize = 70_000;
/// 802.1Q's tag protocol identifier.
const TPID: [u8; 2] = [0x81, 0x00];
/// The priority in the tags of the switch: any will do.
const PRIORITY: u8 = 5 << 5;

/// How the port that the machine is at treats tags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// The VLAN whose tag the machine must put on its frames, and gets on those that it receives;
    /// frames with another or none are dropped. `None`: frames pass as they are.
    pub vlan: Option<u16>,
    /// Set up wrong: what comes for the machine has no tag.
    pub forgets_tag: bool,
}

/// A running switch. It ends when it is dropped.
#[derive(Debug)]
pub struct Switch {
    machine: PathBuf,
    network: PathBuf,
    port: Port,
    /// The machine's side, once it is there.
    towards_machine: Side,
    enough: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A socket that several threads write frames to.
type Side = Arc<Mutex<Option<UnixStream>>>;

impl Switch {
    /// A switch whose sockets begin with `prefix`, which is short: a socket's path has 107 bytes.
    ///
    /// # Errors
    /// When the sockets cannot be made.
    pub fn start(prefix: &Path, port: Port) -> io::Result<Self> {
        let [machine, network] = ["machine", "network"].map(|side| prefix.with_extension(side));
        let listen = |path: &Path| {
            let _ = std::fs::remove_file(path);
            let listener = UnixListener::bind(path)?;
            listener.set_nonblocking(true).map(|()| listener)
        };
        let listeners = (listen(&machine)?, listen(&network)?);
        let enough = Arc::new(AtomicBool::new(false));
        let towards_machine = Side::default();
        let (told, side) = (Arc::clone(&enough), Arc::clone(&towards_machine));
        let thread = thread::spawn(move || {
            // It ends with QEMU's end of the sockets.
            let _ = run(&listeners, port, &side, &told);
        });
        Ok(Self { machine, network, port, towards_machine, enough, thread: Some(thread) })
    }

    /// QEMU's options: the backend `n` for the NIC, and `user` networking behind the switch.
    ///
    /// The hub at the machine's side has a port that leads nowhere, so that frames for a NIC that
    /// takes none still pass the capture.
    #[must_use]
    pub fn netdevs(&self, user: &str) -> Vec<String> {
        let stream = |id: &str, path: &Path| {
            format!("stream,id={id},server=off,addr.type=unix,addr.path={}", path.display())
        };
        vec![
            stream("machine", &self.machine),
            "hubport,id=n,hubid=1".to_owned(),
            "hubport,id=machine-port,hubid=1,netdev=machine".to_owned(),
            "hubport,id=nowhere,hubid=1".to_owned(),
            stream("network", &self.network),
            format!("{user},id=user"),
            "hubport,id=user-port,hubid=2,netdev=user".to_owned(),
            "hubport,id=network-port,hubid=2,netdev=network".to_owned(),
        ]
    }

    /// What sends a datagram for the machine's MAC address.
    pub fn knock(&self) -> impl FnMut() + Send + 'static {
        let (side, port) = (Arc::clone(&self.towards_machine), self.port);
        move || {
            if let Some(frame) = port.brought(knock::frame(GUEST_MAC)) {
                // Refused when QEMU is gone already: the run ends then anyway.
                let _ = send(&side, &frame);
            }
        }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.enough.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.machine);
        let _ = std::fs::remove_file(&self.network);
    }
}

impl Port {
    /// A frame of the machine as the network gets it.
    fn taken(self, mut frame: Vec<u8>) -> Option<Vec<u8>> {
        let Some(vlan) = self.vlan else { return Some(frame) };
        let tag = frame.get(12..16)?;
        let number = u16::from_be_bytes([tag[2] & 0x0f, tag[3]]);
        if tag[..2] != TPID || number != vlan {
            return None;
        }
        frame.drain(12..16);
        Some(frame)
    }

    /// A frame of the network as the machine gets it.
    fn brought(self, mut frame: Vec<u8>) -> Option<Vec<u8>> {
        let Some(vlan) = self.vlan else { return Some(frame) };
        if !self.forgets_tag {
            let [high, low] = vlan.to_be_bytes();
            frame.get(..12)?;
            frame.splice(12..12, [TPID[0], TPID[1], PRIORITY | high, low]);
        }
        Some(frame)
    }
}

fn run(
    (machine, network): &(UnixListener, UnixListener),
    port: Port,
    towards_machine: &Side,
    enough: &Arc<AtomicBool>,
) -> io::Result<()> {
    let from_machine = accept(machine, enough)?;
    let from_network = accept(network, enough)?;
    *lock(towards_machine) = Some(from_machine.try_clone()?);
    let towards_network: Side = Arc::new(Mutex::new(Some(from_network.try_clone()?)));
    let there = {
        let enough = Arc::clone(enough);
        thread::spawn(move || {
            forward(from_machine, &towards_network, &enough, |frame| port.taken(frame))
        })
    };
    let back = forward(from_network, towards_machine, enough, |frame| port.brought(frame));
    back.and(there.join().unwrap_or(Ok(())))
}

/// Hands frames on until QEMU closes a socket, or it is enough.
fn forward(
    mut from: UnixStream,
    to: &Side,
    enough: &AtomicBool,
    change: impl Fn(Vec<u8>) -> Option<Vec<u8>>,
) -> io::Result<()> {
    while let Some(frame) = receive(&mut from, enough)? {
        if let Some(frame) = change(frame) {
            send(to, &frame)?;
        }
    }
    Ok(())
}

/// QEMU's stream backend: the length in network order, then the frame.
fn send(to: &Side, frame: &[u8]) -> io::Result<()> {
    let mut to = lock(to);
    let stream = to.as_mut().ok_or(io::ErrorKind::NotConnected)?;
    let length = u32::try_from(frame.len()).map_err(io::Error::other)?;
    let sent = stream.write_all(&[&length.to_be_bytes(), frame].concat());
    if sent.is_err() {
        // Half a frame may be out: what followed would be read as nonsense.
        *to = None;
    }
    sent
}

fn receive(from: &mut UnixStream, enough: &AtomicBool) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    if !fill(from, &mut length, enough)? {
        return Ok(None);
    }
    let length = u32::from_be_bytes(length) as usize;
    if length > LONGEST {
        return Err(io::Error::other(format!("QEMU announced a frame of {length} bytes")));
    }
    let mut frame = vec![0; length];
    Ok(fill(from, &mut frame, enough)?.then_some(frame))
}

/// Reads until `bytes` are full; says whether they are.
fn fill(from: &mut UnixStream, mut bytes: &mut [u8], enough: &AtomicBool) -> io::Result<bool> {
    while !bytes.is_empty() {
        match from.read(bytes) {
            Ok(0) => return Ok(false),
            Ok(count) => bytes = &mut bytes[count..],
            Err(error) if is_pause(&error) && !enough.load(Ordering::Relaxed) => {}
            Err(error) if is_pause(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn accept(listener: &UnixListener, enough: &AtomicBool) -> io::Result<UnixStream> {
    while !enough.load(Ordering::Relaxed) {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                stream.set_read_timeout(Some(Duration::from_millis(100)))?;
                stream.set_write_timeout(Some(STUCK))?;
                return Ok(stream);
            }
            Err(error) if is_pause(&error) => thread::sleep(LOOK),
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotConnected.into())
}

/// Nothing came in time, or a signal did.
fn is_pause(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), Interrupted | TimedOut | WouldBlock)
}

fn lock(side: &Side) -> std::sync::MutexGuard<'_, Option<UnixStream>> {
    side.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESSES: [u8; 12] = [7; 12];

    fn frame(rest: &[u8]) -> Vec<u8> {
        [&ADDRESSES, rest].concat()
    }

    #[test]
    fn only_the_vlans_tag_goes_through_and_comes_back() {
        let port = Port { vlan: Some(0x107), forgets_tag: false };
        let plain = frame(&[8, 0, 1, 2]);
        let tagged = |priority, high, low| frame(&[0x81, 0, priority | high, low, 8, 0, 1, 2]);
        assert_eq!(port.taken(tagged(0, 1, 7)), Some(plain.clone()));
        assert_eq!(port.taken(tagged(0xe0, 1, 7)), Some(plain.clone()));
        for other in [tagged(0, 0, 7), tagged(0, 1, 8), plain.clone(), ADDRESSES.to_vec()] {
            assert_eq!(port.taken(other), None);
        }
        assert_eq!(port.brought(plain.clone()), Some(tagged(PRIORITY, 1, 7)));
        let wrong = Port { forgets_tag: true, ..port };
        assert_eq!(wrong.brought(plain.clone()), Some(plain.clone()));
        assert_eq!(Port::default().brought(plain.clone()), Some(plain));
    }

    #[test]
    fn frames_pass_between_the_sockets_and_the_end_is_quick() {
        let prefix = std::env::temp_dir().join(format!("qemu-boot-{}-switch", std::process::id()));
        let switch = Switch::start(&prefix, Port { vlan: Some(7), forgets_tag: false }).unwrap();
        let mut machine = UnixStream::connect(&switch.machine).unwrap();
        let mut network = UnixStream::connect(&switch.network).unwrap();
        machine.write_all(&[0, 0, 0, 18]).unwrap();
        machine.write_all(&frame(&[0x81, 0, 0, 7, 8, 0])).unwrap();
        let mut came = [0; 18];
        network.read_exact(&mut came).unwrap();
        assert_eq!(came, *[&[0, 0, 0, 14], &frame(&[8, 0])[..]].concat());
        switch.knock()();
        let mut came = [0; 20];
        machine.read_exact(&mut came).unwrap();
        assert_eq!((&came[4..10], &came[16..20]), (&GUEST_MAC[..], &[0x81, 0, 0xa0, 7][..]));
        let paths = [switch.machine.clone(), switch.network.clone()];
        drop(switch);
        assert!(paths.iter().all(|path| !path.exists()));
        // One that nobody came to ends as well.
        drop(Switch::start(&prefix, Port::default()).unwrap());
    }
}
