//! A peer made by hand, which does what no stack would: our end is a [`TcpStream`] of its own.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use isboot_tests::frames::{is_tcp, mend_ip_checksum, mend_tcp_checksum, payload, sequence};
use isboot_transport::device::{EthernetDevice, ReceivedFrame};
use isboot_transport::link::Link;
use isboot_transport::netstack::{Addressing, Configuration, NetStack, Sockets};
use isboot_transport::stream::{ByteStream, StreamState};
use isboot_transport::tcp::{TcpOptions, TcpStream};
use smoltcp::phy::{self, DeviceCapabilities, Medium};

const OUR_MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const PEER_MAC: [u8; 6] = [0x52, 0x55, 0x0a, 0, 2, 2];
const PEER: [u8; 4] = [10, 0, 2, 2];
/// The peer's initial sequence number.
const ISS: u32 = 0xffff_fff0;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

/// Frames between the two.
#[derive(Debug, Default)]
struct Cable {
    to_us: VecDeque<Vec<u8>>,
    to_peer: VecDeque<Vec<u8>>,
}

/// Our end.
#[derive(Debug)]
pub(crate) struct End(Rc<RefCell<Cable>>);

/// What the peer does; everything that it should, if nothing is changed.
#[derive(Debug)]
pub(crate) struct Manner {
    /// It says nothing any more, not even who has its address.
    pub(crate) is_dead: bool,
    /// So many of our segments from now on are lost.
    pub(crate) deaf_for: usize,
    /// So many of its own from now on are lost.
    pub(crate) dumb_for: usize,
    /// It has forgotten the connection.
    pub(crate) has_rebooted: bool,
    /// Option of its SYN.
    pub(crate) mss: Option<u16>,
    /// Its window, not scaled.
    pub(crate) window: u16,
}

/// Both, and the time.
pub(crate) struct World {
    pub(crate) now: Duration,
    pub(crate) stream: TcpStream<'static, End>,
    pub(crate) manner: Manner,
    /// What came in order.
    pub(crate) received: Vec<u8>,
    /// Segments of ours, lost ones too: when, flags, sequence number, bytes.
    pub(crate) seen: Vec<(Duration, u8, u32, usize)>,
    /// What we acknowledged last, and the window that we gave.
    pub(crate) acknowledged: u32,
    pub(crate) our_window: u32,
    cable: Rc<RefCell<Cable>>,
    due: u32,
    port: u16,
}

impl World {
    pub(crate) fn new() -> Self {
        let cable = Rc::new(RefCell::new(Cable::default()));
        let addressing = Addressing::Static {
            address: [10, 0, 2, 15].into(),
            prefix: 24,
            gateway: None,
            dns: None,
        };
        let configuration = Configuration::new(OUR_MAC, addressing, 42);
        let sockets = Box::leak(Box::new(Sockets::new()));
        let end = End(Rc::clone(&cable));
        let stack = NetStack::new(end, sockets, &configuration, Duration::ZERO);
        let buffer = |length: usize| vec![0; length].leak();
        let stream = TcpStream::new(
            stack.expect("a configuration that works"),
            buffer(256 << 10),
            buffer(64 << 10),
            TcpOptions::default(),
        );
        Self {
            now: Duration::from_secs(1),
            stream: stream.expect("buffers that fit"),
            manner: Manner {
                is_dead: false,
                deaf_for: 0,
                dumb_for: 0,
                has_rebooted: false,
                mss: Some(1460),
                window: 0xffff,
            },
            received: Vec::new(),
            seen: Vec::new(),
            acknowledged: 0,
            our_window: 0,
            cable,
            due: 0,
            port: 0,
        }
    }

    /// A world with an open connection.
    pub(crate) fn open() -> Self {
        let mut world = Self::new();
        world.connect();
        world.run_until(Duration::from_secs(1), |world| world.stream.state() == StreamState::Open);
        world
    }

    pub(crate) fn connect(&mut self) {
        let portal = SocketAddr::from((PEER, 3260));
        self.stream.connect(self.now, portal).expect("there is a way");
    }

    /// The peer's next byte in order, counted from its SYN.
    pub(crate) fn first_byte() -> u32 {
        ISS.wrapping_add(1)
    }

    /// Time passes until `done`, and tells how much did.
    pub(crate) fn run_until(
        &mut self,
        limit: Duration,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> Duration {
        let begin = self.now;
        loop {
            self.stream.poll(self.now);
            self.answer();
            if done(self) {
                return self.now - begin;
            }
            assert!(self.now - begin <= limit, "still {:?}", self.stream.state());
            let step = self.now + Duration::from_micros(100);
            let next = self.stream.poll_at(self.now).unwrap_or(step);
            let is_quiet = self.cable.borrow().to_us.is_empty();
            self.now =
                if is_quiet { next.clamp(step, step + Duration::from_millis(10)) } else { step };
        }
    }

    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        self.run_until(time * 2, |world| world.now >= until);
    }

    /// Gives all of `data` to the stream as there is room, and waits until the peer has it.
    pub(crate) fn deliver(&mut self, data: &[u8], limit: Duration) -> Duration {
        let (mut given, begin) = (0, self.received.len());
        let took = self.run_until(limit, |world| {
            while given < data.len()
                && let Some(count) = world.stream.send(|room| {
                    let count = room.len().min(data.len() - given);
                    room[..count].copy_from_slice(&data[given..given + count]);
                    (count, count)
                })
            {
                given += count;
            }
            world.received.len() - begin >= data.len()
        });
        assert!(&self.received[begin..] == data, "what came is what was sent");
        took
    }

    /// The peer says this.
    pub(crate) fn say(&mut self, flags: u8, sequence: u32, data: &[u8]) {
        let options = match self.manner.mss {
            Some(mss) if flags & SYN != 0 => [&[2, 4][..], &mss.to_be_bytes()].concat(),
            _ => Vec::new(),
        };
        let mut frame = vec![0; 14 + 20 + 20];
        frame[..6].copy_from_slice(&OUR_MAC);
        frame[6..12].copy_from_slice(&PEER_MAC);
        frame[12..14].copy_from_slice(&[8, 0]);
        let total = (40 + options.len() + data.len()) as u16;
        frame[14] = 0x45;
        frame[16..18].copy_from_slice(&total.to_be_bytes());
        (frame[22], frame[23]) = (64, 6);
        frame[26..30].copy_from_slice(&PEER);
        frame[30..34].copy_from_slice(&[10, 0, 2, 15]);
        frame[34..36].copy_from_slice(&3260_u16.to_be_bytes());
        frame[36..38].copy_from_slice(&self.port.to_be_bytes());
        frame[38..42].copy_from_slice(&sequence.to_be_bytes());
        frame[42..46].copy_from_slice(&self.due.to_be_bytes());
        (frame[46], frame[47]) = (0x50 + (options.len() as u8 / 4 * 0x10), flags);
        frame[48..50].copy_from_slice(&self.manner.window.to_be_bytes());
        frame.extend(options);
        frame.extend(data);
        mend_ip_checksum(&mut frame);
        mend_tcp_checksum(&mut frame);
        if self.manner.dumb_for > 0 {
            self.manner.dumb_for -= 1;
        } else {
            self.cable.borrow_mut().to_us.push_back(frame);
        }
    }

    fn answer(&mut self) {
        loop {
            let Some(frame) = self.cable.borrow_mut().to_peer.pop_front() else { return };
            if is_tcp(&frame) {
                self.take(&frame);
            } else if !self.manner.is_dead && frame[12..14] == [8, 6] && frame[20..22] == [0, 1] {
                self.resolve(&frame);
            }
        }
    }

    /// Tells who has the peer's address.
    fn resolve(&mut self, question: &[u8]) {
        if question[38..42] != PEER {
            return;
        }
        let mut frame = question[..42].to_vec();
        frame[..6].copy_from_slice(&OUR_MAC);
        frame[6..12].copy_from_slice(&PEER_MAC);
        frame[21] = 2;
        frame[22..28].copy_from_slice(&PEER_MAC);
        frame[28..32].copy_from_slice(&PEER);
        frame[32..42].copy_from_slice(&question[22..32]);
        self.cable.borrow_mut().to_us.push_back(frame);
    }

    fn take(&mut self, frame: &[u8]) {
        let (flags, begin, length) = (frame[47], sequence(frame), payload(frame));
        self.seen.push((self.now, flags, begin, length));
        if self.manner.deaf_for > 0 {
            self.manner.deaf_for -= 1;
            return;
        }
        if self.manner.is_dead {
            return;
        }
        self.port = u16::from_be_bytes([frame[34], frame[35]]);
        self.acknowledged = u32::from_be_bytes([frame[42], frame[43], frame[44], frame[45]]);
        let window = u32::from(u16::from_be_bytes([frame[48], frame[49]]));
        if self.manner.has_rebooted {
            if flags & RST == 0 {
                self.say(RST, self.acknowledged, &[]);
            }
        } else if flags & SYN != 0 {
            self.due = begin.wrapping_add(1);
            self.say(SYN | ACK, ISS, &[]);
        } else {
            // The peer offers no scale, so none is used.
            self.our_window = window;
            let is_due = begin == self.due && length <= usize::from(self.manner.window);
            if is_due {
                self.received.extend(&frame[frame.len() - length..]);
                self.due = self.due.wrapping_add(length as u32);
            }
            if length > 0 || flags & FIN != 0 {
                self.say(ACK, self.acknowledged, &[]);
            }
        }
    }
}

impl EthernetDevice for End {
    type Frame<'a> = Received;

    fn flush(&mut self) {}

    fn link(&mut self) -> Link {
        Link::Up { megabits: 1000, full_duplex: true }
    }

    fn receive_frames(&self) -> usize {
        1024
    }

    fn set_mtu(&mut self, _: u16) {}
}

impl phy::Device for End {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Received, Sending<'_>)> {
        let frame = self.0.borrow_mut().to_us.pop_front()?;
        Some((Received(frame), Sending(self)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Sending<'_>> {
        Some(Sending(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

#[derive(Debug)]
pub(crate) struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

impl ReceivedFrame for Received {
    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

#[derive(Debug)]
pub(crate) struct Sending<'a>(&'a mut End);

impl phy::TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        self.0.0.borrow_mut().to_peer.push_back(frame);
        result
    }
}
