//! A controller that does anything, under driver, stack and stream: registers that lie, descriptors
//! with anything in them, frames of any kind, interrupts at any time. The other end of a connection
//! is as good or as bad as the script wants.

use std::net::SocketAddr;
use std::time::Duration;

use isboot_fake_nic::{ADDRESS, Behaviour, MESSAGE, Machine};
use isboot_transport::checksum;
use isboot_transport::device::NicDevice;
use isboot_transport::hal::Clock;
use isboot_transport::intel::interrupt::{Line, Mode};
use isboot_transport::intel::nic::{Nic, Options};
use isboot_transport::netstack::{Addressing, Configuration, NetStack, Sockets};
use isboot_transport::stream::{ByteStream, StreamState};
use isboot_transport::tcp::{TcpOptions, TcpStream};

use crate::Script;

/// One of each way to be programmed: 8254x, 82574, ICH, PCH, 82575, 82576, I210.
const PARTS: [u16; 8] = [0x100e, 0x10d3, 0x107d, 0x10bd, 0x10ef, 0x10a7, 0x10c9, 0x1533];
const OURS: [u8; 4] = [10, 0, 2, 15];
const THEIRS: [u8; 4] = [10, 0, 2, 2];
const THEIR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const PORT: u16 = 3260;
/// However long the registers lie, an attach or a detach ends.
const LONGEST: Duration = Duration::from_secs(120);

/// Byte 0: which part. Byte 1: how it behaves. Byte 2: how many registers lie from the first on,
/// which follow. Then steps.
pub(crate) fn nic(input: &[u8]) {
    let _ = opened(input);
}

/// Does it; says whether a connection was open at any time.
fn opened(input: &[u8]) -> bool {
    thread_local! {
        // One for all runs of a thread: nothing that a run leaves is kept.
        static MACHINE: Machine = Machine::new(Behaviour::default());
    }
    let mut script = Script(input);
    let part = script.byte().unwrap_or(0);
    let flags = script.byte().unwrap_or(0);
    let machine = MACHINE.with(|machine| *machine);
    machine.renew(behaviour(part, flags));
    lie(machine, &mut script);
    if flags & 1 << 7 != 0 {
        machine.leave_running();
    }
    let begin = machine.now();
    let opened = live(machine, flags, &mut script);
    assert!(machine.now() - begin < LONGEST * 4, "{:?}", machine.now() - begin);
    assert_eq!(machine.live_regions(), 0, "memory was kept");
    assert!(machine.freed_memory_is_untouched(), "freed memory was used");
    assert!(!machine.is_bus_master(), "it is still a bus master");
    opened
}

fn behaviour(part: u8, flags: u8) -> Behaviour {
    let on = |bit: u8| flags & 1 << bit != 0;
    Behaviour {
        is_hostile: true,
        // Waiting in vain is most of what lying registers lead to.
        tick: Duration::from_micros(100),
        checks_sums: on(0),
        reset_clears: !on(1),
        keeps_check_sequence: on(2),
        hold_transmit: on(3),
        link_up: !on(4),
        ..Behaviour::of(PARTS[usize::from(part) % PARTS.len()])
    }
}

/// The next reads are turned over: so many, then each as a place and a byte.
fn lie(machine: Machine, script: &mut Script<'_>) {
    let count = script.byte().unwrap_or(0) & 7;
    for _ in 0..count {
        let [skip, place, bits] = script.array();
        let mut state = machine.state_mut();
        state.lies.extend((0..skip).map(|_| 0));
        state.lies.push_back(u32::from(bits) << ((place & 3) * 8));
    }
}

fn live(machine: Machine, flags: u8, script: &mut Script<'_>) -> bool {
    static LINE: Line = Line::new();
    let options =
        Options { receive_descriptors: 16, transmit_descriptors: 16, ..Options::default() };
    let mut nic = match Nic::attach(machine, machine, ADDRESS, &options) {
        Ok(nic) => nic,
        Err(error) => {
            crate::shown(&error);
            return false;
        }
    };
    machine.install(nic.acknowledger(&LINE));
    if flags & 1 << 5 != 0 {
        let _ = nic.enable_interrupts(Mode::Msix, Some(MESSAGE));
    }
    let addressing =
        Addressing::Static { address: OURS.into(), prefix: 24, gateway: None, dns: None };
    let configuration = Configuration::new(nic.mac(), addressing, 42);
    let mut sockets = Sockets::new();
    let device = NicDevice::new(nic);
    let stack = match NetStack::new(device, &mut sockets, &configuration, Duration::ZERO) {
        Ok(stack) => stack,
        Err(error) => {
            crate::shown(&error);
            return false;
        }
    };
    let (mut receive, mut transmit) = ([0; 12 << 10], [0; 4 << 10]);
    let options = TcpOptions::default();
    let stream = TcpStream::new(stack, &mut receive, &mut transmit, options).expect("buffers");
    let (peer, now) = (Peer::default(), Duration::ZERO);
    let mut world = World { machine, stream, peer, now, was_open: false };
    let _ = world.stream.connect(Duration::ZERO, SocketAddr::from((THEIRS, PORT)));
    if flags & 1 << 6 == 0 {
        // An open connection, unless the registers lied too much.
        for _ in 0..8 {
            if !world.was_open {
                world.poll(20);
                world.answer(0, 0);
            }
        }
    }
    while let Some(operation) = script.byte() {
        world.step(operation, script);
    }
    world.poll(200);
    let nic = world.stream.into_device().into_nic();
    let _ = nic.detach();
    world.was_open
}

struct World<'a> {
    machine: Machine,
    stream: TcpStream<'a, NicDevice<Machine, Machine>>,
    peer: Peer,
    now: Duration,
    was_open: bool,
}

/// What the other end knows of the connection.
#[derive(Default)]
struct Peer {
    /// Their port, the next sequence number from them, and from us.
    port: u16,
    expects: u32,
    next: u32,
}

mod tcp_flags {
    pub(super) const SYN: u8 = 1 << 1;
    pub(super) const ACK: u8 = 1 << 4;
}

impl World<'_> {
    fn step(&mut self, operation: u8, script: &mut Script<'_>) {
        let machine = self.machine;
        let how = operation >> 4;
        match operation & 15 {
            0 => self.poll(u64::from(script.byte().unwrap_or(0))),
            1 => self.answer(how, script.byte().unwrap_or(0)),
            2 => {
                let [high, low] = script.array();
                self.data(usize::from(u16::from_be_bytes([high & 7, low])));
            }
            3 => {
                let [flags, seq, ack, window, len] = script.array();
                let options = script.take(usize::from(how) & 12);
                self.segment(
                    flags,
                    self.peer.next.wrapping_add((seq as i8) as u32),
                    self.peer.expects.wrapping_add((ack as i8) as u32),
                    u16::from(window) << 5,
                    options,
                    &vec![0x5a; usize::from(len)],
                );
            }
            4 => {
                // Any frame.
                let len = script.byte().unwrap_or(0);
                let bytes = script.take(usize::from(len));
                machine.deliver(bytes);
            }
            5 => {
                // One descriptor, with any bytes and any claims about them.
                let [status, errors, low, high, len] = script.array();
                let bytes = script.take(usize::from(len));
                let claimed = u16::from_le_bytes([low, high]);
                machine.deliver_piece(bytes, status, errors, (how & 1 != 0).then_some(claimed));
            }
            6 => {
                let [slot, offset] = script.array();
                let bytes = script.take(1 + usize::from(how));
                machine.scribble(true, slot.into(), offset.into(), bytes);
            }
            7 => {
                let [slot, offset] = script.array();
                let bytes = script.take(1 + usize::from(how));
                machine.scribble(false, slot.into(), offset.into(), bytes);
            }
            8 => lie(machine, script),
            9 => machine.complete(how.into(), script.byte().unwrap_or(0) & 1 != 0),
            10 => {
                machine.raise(u32::from_le_bytes(script.array()));
                for _ in 0..3 {
                    machine.handle();
                }
                self.stream.stack_mut().device_mut().nic_mut().rearm();
            }
            11 => match how & 3 {
                0 => machine.set_link(false),
                1 => machine.set_link(true),
                2 => machine.reset_by_somebody(),
                _ => machine.lose_power(),
            },
            12 => machine.state_mut().all_ones_reads = u32::from(script.byte().unwrap_or(0)),
            13 => {
                let wanted = usize::from(script.byte().unwrap_or(0)) * 8;
                let _ = self.stream.send(|room| {
                    let len = room.len().min(wanted);
                    room[..len].fill(0x77);
                    (len, len)
                });
            }
            14 => while self.stream.recv(|bytes| (bytes.len(), ())).is_some() {},
            _ => match how & 3 {
                0 => self.stream.close(),
                1 => self.stream.abort(),
                2 => {
                    let portal = SocketAddr::from((THEIRS, PORT));
                    let _ = self.stream.connect(self.now, portal);
                }
                _ => drop(self.stream.stack_mut().device_mut().nic_mut().statistics()),
            },
        }
    }

    /// Time passes, quarter milliseconds squared, and everybody looks.
    fn poll(&mut self, ticks: u64) {
        let time = Duration::from_micros(250) * (ticks * ticks).min(40_000) as u32;
        self.now += time;
        self.machine.advance(time);
        self.stream.poll(self.now);
        match self.stream.state() {
            StreamState::Failed(error) => crate::shown(&error),
            state => {
                self.was_open |= state == StreamState::Open;
                let _ = self.stream.poll_at(self.now);
            }
        }
        let _ = self.stream.stack().link();
    }

    /// The other end answers what was sent, and bends its answers as told: in byte `place`.
    fn answer(&mut self, bend: u8, place: u8) {
        let sent = std::mem::take(&mut self.machine.state_mut().sent);
        for frame in sent {
            let answer = match frame.get(12..14) {
                Some([0x08, 0x06]) => arp_reply(&frame),
                Some([0x08, 0x00]) => self.peer.answer(&frame),
                _ => None,
            };
            let Some(mut answer) = answer else { continue };
            if let Some(byte) = answer.get_mut(usize::from(place)) {
                *byte ^= bend;
            }
            self.deliver(answer);
        }
    }

    /// What comes in order.
    fn data(&mut self, len: usize) {
        let (next, expects) = (self.peer.next, self.peer.expects);
        let bytes = vec![0xda; len.min(1460)];
        self.peer.next = next.wrapping_add(bytes.len() as u32);
        self.segment(tcp_flags::ACK, next, expects, 0xffff, &[], &bytes);
    }

    fn segment(&mut self, flags: u8, seq: u32, ack: u32, window: u16, options: &[u8], data: &[u8]) {
        let frame = self.peer.segment(flags, seq, ack, window, options, data);
        self.deliver(frame);
    }

    /// With its sums put right, so that it gets further than the first look.
    fn deliver(&mut self, mut frame: Vec<u8>) {
        if frame.get(12..14) == Some(&[8, 0]) && frame.len() >= 34 {
            frame[24..26].fill(0);
            let sum = !ones_complement_sum(&frame[14..34]);
            frame[24..26].copy_from_slice(&sum.to_be_bytes());
            checksum::complete(&mut frame);
        }
        self.machine.deliver(&frame);
        self.machine.interrupts();
    }
}

impl Peer {
    /// A SYN with SYN and ACK; data with an ACK; anything else with nothing.
    fn answer(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let segment = frame.get(34..)?;
        let header = segment.get(..20)?;
        let word = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| header[at + byte]));
        let total = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
        let len = total.checked_sub(20)?.checked_sub(usize::from(header[12] >> 4) * 4)?;
        self.port = u16::from_be_bytes([header[0], header[1]]);
        let (seq, flags) = (word(4), header[13]);
        if flags & tcp_flags::SYN != 0 {
            self.expects = seq.wrapping_add(1);
            let isn = 0x1000_0000;
            self.next = isn + 1;
            let flags = tcp_flags::SYN | tcp_flags::ACK;
            return Some(self.segment(flags, isn, self.expects, 0xffff, &[2, 4, 5, 0xb4], &[]));
        }
        if len == 0 && flags == tcp_flags::ACK {
            return None;
        }
        self.expects = seq.wrapping_add(len as u32);
        Some(self.segment(tcp_flags::ACK, self.next, self.expects, 0xffff, &[], &[]))
    }

    fn segment(
        &self,
        flags: u8,
        seq: u32,
        ack: u32,
        window: u16,
        options: &[u8],
        data: &[u8],
    ) -> Vec<u8> {
        let options = &options[..options.len() & !3];
        let len = 40 + options.len() + data.len();
        let mut frame = Vec::with_capacity(14 + len);
        frame.extend(isboot_fake_nic::MAC);
        frame.extend(THEIR_MAC);
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((len as u16).to_be_bytes());
        frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        frame.extend(THEIRS);
        frame.extend(OURS);
        frame.extend(PORT.to_be_bytes());
        frame.extend(self.port.to_be_bytes());
        frame.extend(seq.to_be_bytes());
        frame.extend(ack.to_be_bytes());
        frame.push(((20 + options.len()) as u8 / 4) << 4);
        frame.push(flags);
        frame.extend(window.to_be_bytes());
        frame.extend([0; 4]);
        frame.extend(options);
        frame.extend(data);
        frame
    }
}

fn arp_reply(request: &[u8]) -> Option<Vec<u8>> {
    const REPLY: u8 = 2;
    let asked = request.get(38..42)?;
    if asked != THEIRS {
        return None;
    }
    let mut frame = isboot_fake_nic::MAC.to_vec();
    frame.extend(THEIR_MAC);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, REPLY]);
    frame.extend(THEIR_MAC);
    frame.extend(THEIRS);
    frame.extend(&request[22..32]);
    frame.resize(60, 0);
    Some(frame)
}

fn ones_complement_sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
    let sum: u32 = words.sum();
    ((sum >> 16) + (sum & 0xffff)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_no_harm_opens_a_connection_on_every_part() {
        for part in 0..PARTS.len() as u8 {
            for flags in [0, 1 << 0, 1 << 1, 1 << 2, 1 << 5, 1 << 7] {
                let data = [0, 3, 2, 2, 0, 0, 3, 14];
                let input = [&[part, flags, 0][..], &data].concat();
                assert!(opened(&input), "{:04x}, {flags:#x}", PARTS[usize::from(part)]);
            }
        }
    }
}
