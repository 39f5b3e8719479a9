//! What the core is measured at: commands of one kind over a session of one kind.

use std::io;
use std::rc::Rc;

use isboot::boot::{Isboot, Parameters, State};
use isboot::disk::{DiskId, Disks};
use isboot::login::{LoginConfig, Name};
use isboot::pdu::digest::Crc32cFunction;
use isboot::pdu::serial::SerialNumber;
use isboot::scsi::lun::LogicalUnitNumber;
use isboot::session::{Session, SessionConfig};
use isboot::time::{Duration, Instant};
use isboot_tests::target::{Backing, Lun, Target};

use super::tape::{Tape, TapeStream};
use crate::workload::{Digests, Operation, Workload};

/// Disks, requests and commands that there is room for: with these, cost may depend on how many
/// are in use, and not on the type.
const LUNS: usize = 320;
const REQUESTS: usize = 128;
const TASKS: usize = 129;

/// The initiator that is measured.
pub type Initiator = Isboot<TapeStream, Vec<u8>, LUNS, REQUESTS, TASKS>;

/// Commands of one kind over a session of one kind.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// Name, as tables show it.
    pub name: &'static str,
    /// What is read or written, how much of it at a time; requests go to each LUN in turn.
    pub workload: Workload,
    /// LUNs of the target.
    pub luns: u16,
    /// Most bytes of a Data-In PDU.
    pub segment: u32,
    /// Received bytes are lent up to a multiple of this: a ring's size, or a segment's.
    pub cut: usize,
    /// Every call of the initiator finds one answer, instead of all that the target has.
    pub one_at_a_time: bool,
}

/// The receive ring of a hosting kernel.
pub const RING: usize = 128 << 10;
/// The payload of an Ethernet frame with TCP's time stamps.
pub const MSS: usize = 1448;

impl Case {
    /// Over one LUN, with data segments of 64 KiB, out of a ring.
    pub const fn new(name: &'static str, workload: Workload) -> Self {
        Self { name, workload, luns: 1, segment: 64 << 10, cut: RING, one_at_a_time: false }
    }

    /// With this many LUNs.
    #[must_use]
    pub const fn luns(self, luns: u16) -> Self {
        Self { luns, ..self }
    }

    /// With Data-In PDUs of at most so many bytes.
    #[must_use]
    pub const fn segment(self, segment: u32) -> Self {
        Self { segment, ..self }
    }

    /// With received bytes cut at multiples of `cut`.
    #[must_use]
    pub const fn cut(self, cut: usize) -> Self {
        Self { cut, ..self }
    }

    /// With answers that come one at a time.
    #[must_use]
    pub const fn one_at_a_time(self) -> Self {
        Self { one_at_a_time: true, ..self }
    }

    /// Bytes that arrive at a time: a Data-In PDU, with its digests.
    const fn pace(&self) -> usize {
        let digests = match self.workload.digests {
            Digests::None => 0,
            Digests::Header => 4,
            Digests::Both => 8,
        };
        if self.one_at_a_time { 48 + digests + self.workload.block as usize } else { usize::MAX }
    }

    /// Has a target answer `commands` commands, and keeps what it said. An initiator that hears it
    /// runs as many, or fewer in whole batches of the depth.
    pub fn record(self, commands: usize, crc32c: Crc32cFunction) -> Recording {
        self.record_with(commands, 0, crc32c)
    }

    /// The same, and then so many pings.
    pub fn record_with(self, commands: usize, pings: usize, crc32c: Crc32cFunction) -> Recording {
        let mut builder = Target::builder(TARGET).seed(1).window(TASKS as u32);
        for number in 0..self.luns {
            let serial = format!("CORE-{number}");
            builder = builder.lun(Lun::over(Box::new(Pattern)).number(number).serial(&serial));
        }
        let stream = TapeStream::record(&builder.build(), self.cut, self.pace());
        let mut played = Played::over(self, stream, crc32c);
        played.run(commands);
        played.ping(pings);
        let tape = Rc::new(played.initiator.into_stream().into_tape());
        Recording { case: self, crc32c, tape, commands }
    }
}

const TARGET: &str = "iqn.2001-04.com.example:core";
/// As much as is under way at a time, and more: what is written stays in the caches.
const LUN_BYTES: u64 = 64 << 20;

/// What a target said to a number of commands.
#[derive(Debug)]
pub struct Recording {
    case: Case,
    crc32c: Crc32cFunction,
    tape: Rc<Tape>,
    commands: usize,
}

impl Recording {
    /// An initiator, logged in and its disks found, that hears the tape.
    pub fn play(&self) -> Played {
        let stream = TapeStream::play(&self.tape, self.case.cut, self.case.pace());
        Played::over(self.case, stream, self.crc32c)
    }

    /// Commands on the tape: as many as may be run.
    pub fn commands(&self) -> usize {
        self.commands
    }
}

/// An initiator at work on a case.
#[derive(Debug)]
pub struct Played {
    case: Case,
    initiator: Box<Initiator>,
    buffers: Vec<Vec<u8>>,
    now: Instant,
    submitted: usize,
    /// Calls in a row in which nothing moved.
    idle: usize,
}

impl Played {
    fn over(case: Case, stream: TapeStream, crc32c: Crc32cFunction) -> Self {
        let mut parameters = Parameters::default();
        let digest = |on| if on { "crc32c" } else { "none" };
        for (name, value) in [
            ("header_digest", digest(case.workload.digests != Digests::None)),
            ("data_digest", digest(case.workload.digests == Digests::Both)),
            ("max_recv_data_segment_length", &case.segment.to_string()),
            ("queue_depth", &case.workload.depth.to_string()),
            ("transfer_limit", "1048576"),
        ] {
            parameters.set(name, value).expect("a parameter and its value");
        }
        let name = |name: &str| Name::new(name).expect("an iSCSI name");
        let isid = [0x00, 0x02, 0x3d, 0x00, 0x00, 0x01];
        let mut login = LoginConfig::new(name("iqn.2026-11.org.example:host"), name(TARGET), isid);
        login.header_digest = parameters.header_digest;
        login.data_digest = parameters.data_digest;
        login.offer = parameters.offer;
        let config = SessionConfig {
            portal: "192.0.2.1:3260".parse().expect("an address"),
            login,
            timeouts: parameters.timeouts,
            escalation: parameters.escalation.clone(),
            initial_cmd_sn: SerialNumber(1),
            crc32c,
        };
        let disks = Disks::new(
            LogicalUnitNumber::ZERO,
            usize::from(case.workload.depth),
            parameters.transfer_limit(),
            parameters.ready_timeout,
        );
        let session = Session::new(config, Instant::ZERO);
        let initiator = Box::new(Isboot::over(stream, session, disks, |_| false));
        let mut buffer = vec![0; case.workload.block as usize];
        if case.workload.operation == Operation::Write {
            buffer.fill(WRITTEN);
        }
        let buffers = vec![buffer; usize::from(case.workload.depth)];
        let mut played =
            Self { case, initiator, buffers, now: Instant::ZERO, submitted: 0, idle: 0 };
        while played.initiator.state() != State::Ready {
            played.poll();
            assert!(
                played.submitted == 0 && played.now < Instant::from_millis(1000),
                "{:?}",
                played.initiator.state()
            );
        }
        assert_eq!(played.initiator.disks().len(), usize::from(case.luns));
        played
    }

    /// Runs so many commands, as many at a time as the depth says.
    ///
    /// # Panics
    /// When one fails, or nothing moves.
    pub fn run(&mut self, commands: usize) {
        let (mut due, mut done) = (commands, 0);
        while done < commands {
            while due > 0
                && let Some(buffer) = self.buffers.pop()
            {
                self.submit(buffer);
                due -= 1;
            }
            let moved = self.carried();
            self.poll();
            self.idle = if moved == self.carried() { self.idle + 1 } else { 0 };
            while let Some(finished) = self.initiator.take_completion() {
                finished.outcome.expect("the request is done");
                self.buffers.extend(finished.buffer);
                done += 1;
            }
            assert!(self.idle < 10, "nothing moves: {:?}", self.initiator.last_error());
        }
    }

    fn submit(&mut self, buffer: Vec<u8>) {
        let block = self.case.workload.block;
        let luns = usize::from(self.case.luns);
        let disk = DiskId((self.submitted % luns) as u16);
        let places = LUN_BYTES / u64::from(block);
        let place = (self.submitted / luns) as u64 % places;
        let lba = place * u64::from(block) / 512;
        self.submitted += 1;
        let taken = match self.case.workload.operation {
            Operation::Read => self.initiator.submit_read(disk, lba, buffer),
            Operation::Write => self.initiator.submit_write(disk, lba, buffer),
        };
        taken.expect("the request is taken");
    }

    fn poll(&mut self) {
        // A clock that moves, as every clock does.
        self.now = self.now.after(Duration::from_micros(10));
        self.initiator.poll(self.now);
    }

    /// Lets the target be silent and be pinged so many times (RFC 7143 §7.14).
    ///
    /// # Panics
    /// When a ping is not answered.
    pub fn ping(&mut self, times: usize) {
        for _ in 0..times {
            let (said, heard) = self.carried();
            self.now = self.now.after(Duration::from_secs(6));
            self.initiator.poll(self.now);
            assert!(self.carried() >= (said + 48, heard + 48), "no ping, or no answer");
        }
    }

    /// Looks whether the last reads brought what the disk holds.
    ///
    /// # Panics
    /// When they did not.
    pub fn check(&self) {
        if self.case.workload.operation == Operation::Write {
            return;
        }
        for buffer in &self.buffers {
            let words = buffer.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
            let first = u64::from_le_bytes(*buffer.first_chunk().expect("a block or more"));
            assert!(words.eq((first..).step_by(8).take(buffer.len() / 8)), "{}", self.case.name);
        }
    }

    /// Bytes that went out, and that came in.
    pub fn carried(&self) -> (u64, u64) {
        self.initiator.stream().carried()
    }
}

/// A disk whose 64-bit little-endian words hold their own offset, and that takes one kind of byte.
#[derive(Debug)]
struct Pattern;

const WRITTEN: u8 = 0x5a;

impl Backing for Pattern {
    fn length(&self) -> u64 {
        LUN_BYTES
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        for (word, offset) in out.as_chunks_mut::<8>().0.iter_mut().zip((offset..).step_by(8)) {
            *word = offset.to_le_bytes();
        }
        Ok(())
    }

    fn write(&self, _: u64, bytes: &[u8]) -> io::Result<()> {
        let is_right = bytes.iter().all(|byte| *byte == WRITTEN);
        if is_right { Ok(()) } else { Err(io::Error::other("not what was to be written")) }
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
