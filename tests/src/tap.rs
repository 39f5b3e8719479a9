//! Our stack on a real Ethernet device, opposite the kernel's: a TAP in a network of its own, with
//! a bad cable between.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::process::Command;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

use isboot_transport::device::EthernetDevice;
use isboot_transport::link::Link;
use isboot_transport::netstack::{Addressing, Configuration, NetStack, Sockets};
use isboot_transport::tcp::{TcpOptions, TcpStream};
use nix::sched::{CloneFlags, unshare};
use smoltcp::phy::{self, Device, DeviceCapabilities, Medium, RxToken, TunTapInterface, TxToken};

use crate::faults::{Faults, LATE, Side};
use crate::host::Wait;
use crate::pair::Random;
use crate::process::RigError;
use crate::segment::Received;

/// The kernel's address at its end of the device.
pub const TARGET: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
const OUR_MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const NAME: &str = "isboot0";
const CONGESTION_CONTROL: &str = "/proc/sys/net/ipv4/tcp_congestion_control";

/// Runs `test` in a thread with a network of its own, where the kernel is at [`TARGET`] behind a
/// TAP device. What the thread starts is in that network too; all of it is gone when the thread and
/// its children are.
///
/// # Errors
/// [`RigError::Failed`] when this needs rights or a device that are not there, and says which.
pub fn in_own_network<R: Send>(
    test: impl FnOnce(TunTapInterface) -> R + Send,
) -> Result<R, RigError> {
    thread::scope(|scope| {
        let thread = scope.spawn(|| Ok(test(open()?)));
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn open() -> Result<TunTapInterface, RigError> {
    let failed = |what: &str, error: &dyn fmt::Display| {
        RigError::Failed(format!(
            "NOT RUN: {what}: {error}; this needs root and the device /dev/net/tun"
        ))
    };
    unshare(CloneFlags::CLONE_NEWNET).map_err(|error| failed("making a network", &error))?;
    let tap = TunTapInterface::new(NAME, Medium::Ethernet);
    let tap = tap.map_err(|error| failed("making a TAP device", &error))?;
    ip("link set lo up")?;
    ip(&format!("address add {TARGET}/24 dev {NAME}"))?;
    ip(&format!("link set {NAME} up"))?;
    Ok(tap)
}

fn ip(line: &str) -> Result<(), RigError> {
    let output = Command::new("ip").args(line.split_whitespace()).output();
    let output = output.map_err(|_| RigError::Missing {
        program: "ip".to_owned(),
        package: "iproute2".to_owned(),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(RigError::Failed(format!("NOT RUN: ip {line}: {said}")))
}

/// Lets the kernel send again after ten milliseconds, not 200: what a test waits for at the
/// kernel's end of a lossy cable is not what it is about.
///
/// # Errors
/// What `ip` said.
pub fn hurry_the_kernel() -> Result<(), RigError> {
    ip(&format!("route replace 10.0.2.0/24 dev {NAME} src {TARGET} rto_min 10ms"))
}

/// How the kernel of this thread's network avoids congestion, by name; empty where it does not tell.
#[must_use]
pub fn congestion_control() -> String {
    std::fs::read_to_string(CONGESTION_CONTROL).unwrap_or_default().trim().to_owned()
}

/// Sets how the kernel of this thread's network avoids congestion.
///
/// # Errors
/// When the kernel does not know it, or lets only its first network use it.
pub fn set_congestion_control(name: &str) -> std::io::Result<()> {
    std::fs::write(CONGESTION_CONTROL, name)
}

/// What happens on the cable; tests hold one end of it.
#[derive(Clone, Debug)]
pub struct Line(Rc<RefCell<LineState>>);

#[derive(Debug)]
struct LineState {
    faults: Faults,
    random: Random,
    unplugged: Option<Range<Instant>>,
    /// The next frame of data from there is falsified.
    falsify: Option<Side>,
    harmed: u64,
}

impl Line {
    /// A cable with these faults.
    #[must_use]
    pub fn new(faults: Faults) -> Self {
        let random = Random(7);
        let (unplugged, falsify) = (None, None);
        Self(Rc::new(RefCell::new(LineState { faults, random, unplugged, falsify, harmed: 0 })))
    }

    /// What happens to frames from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.0.borrow_mut().faults = faults;
    }

    /// Pulls the plug, after a while and for a while.
    pub fn unplug_in(&self, after: Duration, time: Duration) {
        let begin = Instant::now() + after;
        self.0.borrow_mut().unplugged = Some(begin..begin + time);
    }

    /// Turns a bit over in the next full frame of `from`, and mends its checksums.
    pub fn falsify_next(&self, from: Side) {
        self.0.borrow_mut().falsify = Some(from);
    }

    /// Frames that were lost or changed so far.
    #[must_use]
    pub fn harmed(&self) -> u64 {
        self.0.borrow().harmed
    }

    fn is_plugged(&self) -> bool {
        !self.0.borrow().unplugged.as_ref().is_some_and(|time| time.contains(&Instant::now()))
    }

    /// Puts a frame of `from` where it waits for its time.
    fn carry(&self, from: Side, mut frame: Vec<u8>, to: &mut VecDeque<(Instant, Vec<u8>)>) {
        if !self.is_plugged() {
            return;
        }
        let LineState { faults, random, harmed, falsify, .. } = &mut *self.0.borrow_mut();
        let befallen = if *falsify == Some(from) && frame.len() > 1000 {
            *falsify = None;
            Faults { falsified: 100, ..faults.clone() }.befall(from, &mut frame, random)
        } else {
            faults.befall(from, &mut frame, random)
        };
        *harmed += u64::from(befallen.is_harmed);
        let late = if befallen.is_late { LATE } else { Duration::ZERO };
        let due = Instant::now() + faults.delay + late;
        for _ in 0..befallen.copies {
            let place = to.partition_point(|(other, _)| *other <= due);
            to.insert(place, (due, frame.clone()));
        }
    }
}

/// Our end of the device.
#[derive(Debug)]
pub struct TapDevice {
    tap: TunTapInterface,
    line: Line,
    received: VecDeque<(Instant, Vec<u8>)>,
    leaving: VecDeque<(Instant, Vec<u8>)>,
}

impl TapDevice {
    /// The device behind a cable.
    #[must_use]
    pub fn new(tap: TunTapInterface, line: &Line) -> Self {
        let queue = VecDeque::new;
        Self { tap, line: line.clone(), received: queue(), leaving: queue() }
    }

    /// A connection over it.
    ///
    /// # Panics
    /// Never: the configuration works.
    #[must_use]
    pub fn into_stream(self) -> TcpStream<'static, Self> {
        let addressing =
            Addressing::Static { address: OURS.into(), prefix: 24, gateway: None, dns: None };
        let seed = u64::from(std::process::id());
        let configuration = Configuration::new(OUR_MAC, addressing, seed);
        let sockets = Box::leak(Box::new(Sockets::new()));
        let stack = NetStack::new(self, sockets, &configuration, Duration::ZERO);
        let stack = stack.expect("a configuration that works");
        let buffer = |length: usize| vec![0; length].leak();
        TcpStream::new(stack, buffer(256 << 10), buffer(64 << 10), TcpOptions::default())
            .expect("buffers that fit")
    }
}

impl Wait for TcpStream<'static, TapDevice> {
    fn wait(&self, limit: Duration) {
        let device = self.stack().device();
        let next = device.received.front().into_iter().chain(device.leaving.front());
        let next = next.map(|(due, _)| due.saturating_duration_since(Instant::now())).min();
        let limit = next.map_or(limit, |next| next.min(limit));
        if limit >= Duration::from_millis(1) {
            let limit = smoltcp::time::Duration::from_millis(limit.as_millis() as u64);
            // An early return is harmless: the caller polls and waits again.
            let _ = phy::wait(device.tap.as_raw_fd(), Some(limit));
        }
    }
}

impl EthernetDevice for TapDevice {
    type Frame<'a> = Received;

    fn flush(&mut self) {
        while self.leaving.front().is_some_and(|(due, _)| *due <= Instant::now())
            && let Some((_, frame)) = self.leaving.pop_front()
            && let Some(token) = self.tap.transmit(smoltcp::time::Instant::ZERO)
        {
            token.consume(frame.len(), |to| to.copy_from_slice(&frame));
        }
    }

    fn link(&mut self) -> Link {
        if self.line.is_plugged() {
            Link::Up { megabits: 1000, full_duplex: true }
        } else {
            Link::Down
        }
    }

    fn receive_frames(&self) -> usize {
        1024
    }

    fn set_mtu(&mut self, _: u16) {}
}

impl Device for TapDevice {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, now: smoltcp::time::Instant) -> Option<(Received, Sending<'_>)> {
        while self.received.len() < 64
            && let Some((frame, _)) = self.tap.receive(now)
        {
            let frame = frame.consume(<[u8]>::to_vec);
            self.line.carry(Side::Target, frame, &mut self.received);
        }
        self.received.front().filter(|(due, _)| *due <= Instant::now())?;
        let (_, frame) = self.received.pop_front()?;
        Some((Received(frame), Sending(self)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Sending<'_>> {
        Some(Sending(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.tap.capabilities()
    }
}

/// Room for a frame to be sent.
#[derive(Debug)]
pub struct Sending<'a>(&'a mut TapDevice);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        let TapDevice { line, leaving, .. } = self.0;
        line.carry(Side::Initiator, frame, leaving);
        result
    }
}
