//! What istgt and the kernel's sockets leave to an initiator that costs nothing itself: it knows
//! beforehand what will come, sends commands that it need not think about, and counts bytes.
//!
//! It asks the same target for the same, at that target's pace, and does no more than must be done for
//! it with sockets: to send, to sleep until enough of the answers is there, to receive it. It keeps no
//! tasks, looks into nothing but requests for more write data, verifies nothing and places nothing. So
//! an initiator over these sockets can be as cheap as this, and hardly cheaper.
//!
//! Long write data leaves from where it lies, and an idle istgt has its header first, as with ours.

use std::io::{self, IoSlice, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use isboot::login::Digest;
use isboot::pdu::bhs::{BASIC_HEADER_SEGMENT_LENGTH, BasicHeaderSegment};
use isboot::pdu::digest::{Crc32c, Crc32cFunction, DIGEST_LENGTH};
use isboot::pdu::request::{DataOut, LoginRequest, Request, ScsiCommand, Stage, TaskAttribute};
use isboot::pdu::response::{ReadyToTransfer, Response};
use isboot::pdu::serial::SerialNumber;
use isboot::scsi::cdb;
use isboot::scsi::lun::LogicalUnitNumber;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, setsockopt};
use nix::{libc, setsockopt_impl, sockopt_impl};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::contender::Contender;
use crate::initiator::READ_LIMIT;
use crate::load::{Places, Walk};
use crate::processor;
use crate::rig::{BLOCK_LENGTH, Place, READ_LUN, WRITE_LUN};
use crate::sample::Sample;
use crate::targets::names;
use crate::workload::{Digests, Operation, Workload};

/// Neither end waits longer for the other.
const PATIENCE: Duration = Duration::from_secs(10);
/// Commands that istgt takes at once.
const WINDOW: usize = 32;
/// A unit tells no more things than this before it is ready.
const TOLD_AT_MOST: usize = 4;
/// More than this is not slept for, but a single answer.
const MARK: usize = 512 << 10;
/// More than this is not received at once: where it is copied to is to stay in the cache.
const RECEIVED_AT_ONCE: usize = 256 << 10;
/// Of so few answers the first byte wakes up, as of one of [`LONG`] bytes: whoever sleeps longer leaves
/// istgt with nothing to do. Not with digests, which istgt takes long for.
const FEW: usize = 4;
/// See [`FEW`]; and data of so many bytes is sent from where it lies.
const LONG: usize = 32 << 10;
/// Commands with data go out so many bytes at a time.
const SENT_AT_ONCE: usize = 64 << 10;
/// `MaxRecvDataSegmentLength` of both ends, and `MaxBurstLength`.
const SEGMENT: u32 = 256 << 10;
/// `FirstBurstLength`.
const FIRST_BURST: u32 = 64 << 10;

sockopt_impl!(
    /// Bytes that must have come before a socket counts as readable (`SO_RCVLOWAT`).
    ReceiveLowWater,
    SetOnly,
    libc::SOL_SOCKET,
    libc::SO_RCVLOWAT,
    usize
);

/// Sessions so far: two with the same identifier would end each other.
static SESSIONS: AtomicU8 = AtomicU8::new(0);

/// The bare exchange with istgt, logged in as the last workload wanted it.
pub struct Bare {
    place: Place,
    session: Option<(Digests, Session)>,
    walk: Walk,
}

impl Bare {
    /// To be logged in at `place`.
    #[must_use]
    pub fn new(place: &Place) -> Self {
        Self { place: place.clone(), session: None, walk: Walk::default() }
    }
}

impl Contender for Bare {
    fn name(&self) -> &str {
        names::BARE
    }

    fn prepare(&mut self, workload: &Workload) -> Result<(), String> {
        if self.session.as_ref().is_some_and(|(digests, _)| *digests == workload.digests) {
            return Ok(());
        }
        self.session = None;
        let session = Session::log_in(&self.place, workload.digests)
            .map_err(|error| format!("logging in to {}: {error}", self.place.portal))?;
        self.session = Some((workload.digests, session));
        Ok(())
    }

    fn run(&mut self, workload: &Workload, limit: Duration) -> Result<Sample, String> {
        let Some((_, session)) = &mut self.session else {
            return Err("there is no session: it was not prepared".to_owned());
        };
        let places = self.walk.begin(workload, self.place.bytes);
        let ran = match workload.operation {
            Operation::Read => session.read(workload, places, limit),
            Operation::Write => session.write(workload, places, limit),
        };
        let sample = ran.map_err(|error| format!("from {}: {error}", self.place.portal))?;
        self.walk.end(sample.commands);
        Ok(sample)
    }
}

/// A session of one connection.
struct Session {
    stream: TcpStream,
    digests: Digests,
    /// The next command's CmdSN and tag.
    next: u32,
    /// ExpStatSN.
    answers: SerialNumber,
    received: Vec<u8>,
    /// Bytes that wake up, as the socket was told.
    mark: usize,
}

impl Session {
    fn log_in(place: &Place, digests: Digests) -> io::Result<Self> {
        let stream = TcpStream::connect(place.portal)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let offer = |wanted| if wanted { Digest::Crc32c } else { Digest::None };
        let header_digest = format!("HeaderDigest={}\0", offer(digests != Digests::None));
        let data_digest = format!("DataDigest={}\0", offer(digests == Digests::Both));
        let text = format!(
            "InitiatorName=iqn.2026-11.org.example:bare\0TargetName={}\0SessionType=Normal\0\
             {header_digest}{data_digest}InitialR2T=Yes\0ImmediateData=Yes\0\
             MaxRecvDataSegmentLength={SEGMENT}\0MaxBurstLength={SEGMENT}\0\
             FirstBurstLength={FIRST_BURST}\0MaxOutstandingR2T=1\0MaxConnections=1\0\
             ErrorRecoveryLevel=0\0DefaultTime2Wait=0\0DefaultTime2Retain=0\0\
             DataPDUInOrder=Yes\0DataSequenceInOrder=Yes\0",
            place.target_name,
        );
        let request = Request::Login(LoginRequest {
            transit: true,
            text_continues: false,
            current_stage: Stage::OperationalNegotiation,
            next_stage: Stage::FullFeaturePhase,
            version_max: 0,
            version_min: 0,
            isid: [0, 2, 0x3d, 0, 0xba, SESSIONS.fetch_add(1, Ordering::Relaxed)],
            tsih: 0,
            initiator_task_tag: 0,
            cid: 0,
            cmd_sn: SerialNumber(1),
            exp_stat_sn: SerialNumber(0),
            data_segment_length: u32::try_from(text.len()).unwrap_or(0),
        });
        let mut login = request.emit().as_bytes().to_vec();
        login.extend(text.as_bytes());
        login.resize(login.len().next_multiple_of(4), 0);
        let mut session = Self {
            stream,
            digests: Digests::None,
            next: 1,
            answers: SerialNumber(0),
            received: vec![0; RECEIVED_AT_ONCE],
            mark: 1,
        };
        // The socket's buffer grows with it: while it is small, the kernel wakes up for any byte.
        session.wake_for(2 * MARK)?;
        session.wake_for(1)?;
        session.stream.write_all(&login)?;
        let (answer, terms) = session.receive_pdu()?;
        match answer {
            Response::Login(answer) if answer.status_class == 0 && answer.transit => {
                let terms = String::from_utf8_lossy(&terms);
                if !terms.contains(&header_digest) || !terms.contains(&data_digest) {
                    return Err(io::Error::other(format!("it wants other digests: {terms:?}")));
                }
                session.answers = answer.numbers.stat_sn.next();
                session.digests = digests;
                Ok(session)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Reads one block behind the other; how long an answer is, one that comes first says.
    fn read(&mut self, workload: &Workload, places: Places, limit: Duration) -> io::Result<Sample> {
        self.make_ready(READ_LUN)?;
        let size = workload.block.min(READ_LIMIT);
        if !workload.block.is_multiple_of(size) {
            return Err(io::Error::other(format!("{workload}: no multiple of {size} bytes")));
        }
        let pieces = (workload.block / size) as usize;
        let of_answer = self.learn(size)?;
        let depth = (usize::from(workload.depth) * pieces).min(WINDOW);
        let blocks = size / BLOCK_LENGTH;
        let places = places.in_pieces(pieces as u64);
        let mut requests = Vec::with_capacity(depth * 64);

        let began = Instant::now();
        let processor = processor::time_of_this_thread();
        // Commands that were sent; whole answers, and what came of the next.
        let (mut asked, mut answered, mut came) = (0usize, 0, 0);
        loop {
            // A request that was begun is ended, and the next begins when a whole one was answered.
            let is_over = began.elapsed() >= limit;
            let most = if is_over { asked.next_multiple_of(pieces) } else { usize::MAX };
            requests.clear();
            let begun = (answered / pieces + usize::from(workload.depth)) * pieces;
            while asked < (answered + depth).min(begun).min(most) {
                let lba = places.of(asked as u64) * u64::from(blocks);
                let cdb = cdb::read(lba, blocks);
                self.append_command(&mut requests, READ_LUN, cdb, Transfer::Read(size));
                asked += 1;
            }
            if !requests.is_empty() {
                self.stream.write_all(&requests)?;
            }
            if asked == answered {
                break;
            }
            let owed = (asked - answered) * of_answer - came;
            came += self.receive_some(owed, of_answer - came, of_answer)?;
            while came >= of_answer {
                (came, answered) = (came - of_answer, answered + 1);
                self.answers = self.answers.next();
            }
        }
        let cpu = processor::time_of_this_thread().saturating_sub(processor);
        Ok(Sample {
            bytes: answered as u64 * u64::from(size),
            commands: (answered / pieces) as u64,
            elapsed: began.elapsed(),
            cpu: Some(cpu),
        })
    }

    /// Writes blocks one behind the other, all of the same data.
    fn write(
        &mut self,
        workload: &Workload,
        places: Places,
        limit: Duration,
    ) -> io::Result<Sample> {
        self.make_ready(WRITE_LUN)?;
        let size = workload.block;
        let immediate = size.min(FIRST_BURST);
        let depth = usize::from(workload.depth).min(WINDOW);
        let blocks = size / BLOCK_LENGTH;
        let data = vec![0xa5; size as usize];
        let digest = self.data_digest(&data[..immediate as usize]);
        let of_answer = BASIC_HEADER_SEGMENT_LENGTH + self.header_digest_length();
        let mut requests = Vec::with_capacity(2 * SENT_AT_ONCE);

        let began = Instant::now();
        let processor = processor::time_of_this_thread();
        let (mut asked, mut answered, mut came) = (0, 0, 0);
        loop {
            if began.elapsed() < limit {
                while asked < answered + depth {
                    let lba = places.of(asked as u64) * u64::from(blocks);
                    let cdb = cdb::write(lba, blocks);
                    let transfer = Transfer::Write { size, immediate };
                    self.append_command(&mut requests, WRITE_LUN, cdb, transfer);
                    let is_idle = asked - answered < FEW;
                    self.send_data(&mut requests, &data[..immediate as usize], is_idle)?;
                    requests.extend_from_slice(&digest);
                    asked += 1;
                    if requests.len() >= SENT_AT_ONCE {
                        self.stream.write_all(&requests)?;
                        requests.clear();
                    }
                }
            }
            if !requests.is_empty() {
                self.stream.write_all(&requests)?;
                requests.clear();
            }
            if asked == answered {
                break;
            }
            let owed = (asked - answered) * of_answer - came;
            let mark = if size > immediate { 1 } else { owed };
            came += self.receive_more(mark, came, of_answer)?;
            let whole = came / of_answer * of_answer;
            for at in (0..whole).step_by(of_answer) {
                match parse(&self.received[at..])? {
                    Response::Scsi(answer) if answer.status == 0 && answer.response == 0 => {
                        answered += 1;
                        self.answers = self.answers.next();
                    }
                    Response::ReadyToTransfer(wanted) => {
                        let is_idle = asked - answered <= FEW;
                        self.answer(&wanted, &mut requests, &data, is_idle)?;
                    }
                    other => return Err(unexpected(&other)),
                }
            }
            self.received.copy_within(whole..came, 0);
            came -= whole;
        }
        let cpu = processor::time_of_this_thread().saturating_sub(processor);
        Ok(Sample {
            bytes: answered as u64 * u64::from(size),
            commands: answered as u64,
            elapsed: began.elapsed(),
            cpu: Some(cpu),
        })
    }

    /// Takes what a unit has to tell before it moves data: that it has just come up, for one.
    fn make_ready(&mut self, lun: u8) -> io::Result<()> {
        // A receive that blocks is not woken up for less than the mark.
        self.wake_for(1)?;
        for _ in 0..TOLD_AT_MOST {
            let mut request = Vec::new();
            self.append_command(&mut request, lun, cdb::test_unit_ready(), Transfer::None);
            self.stream.write_all(&request)?;
            let (answer, _) = self.receive_pdu()?;
            self.answers = self.answers.next();
            match answer {
                Response::Scsi(answer) if answer.response == 0 && answer.status == 0 => {
                    return Ok(());
                }
                Response::Scsi(_) => {}
                other => return Err(unexpected(&other)),
            }
        }
        Err(io::Error::other(format!("LUN {lun} is not ready")))
    }

    /// Bytes of the whole answer to a read of `size` bytes.
    fn learn(&mut self, size: u32) -> io::Result<usize> {
        let mut request = Vec::new();
        let blocks = size / BLOCK_LENGTH;
        let cdb = cdb::read(0, blocks);
        self.append_command(&mut request, READ_LUN, cdb, Transfer::Read(size));
        self.stream.write_all(&request)?;
        let mut length = 0;
        loop {
            let (answer, rest) = self.receive_pdu()?;
            length += BASIC_HEADER_SEGMENT_LENGTH + rest.len();
            match answer {
                Response::DataIn(data) if data.status.is_none() => {}
                Response::DataIn(_) => break,
                Response::Scsi(answer) if answer.status == 0 && answer.response == 0 => break,
                other => return Err(unexpected(&other)),
            }
        }
        self.answers = self.answers.next();
        Ok(length)
    }

    fn append_command(
        &mut self,
        requests: &mut Vec<u8>,
        lun: u8,
        cdb: [u8; 16],
        transfer: Transfer,
    ) {
        let (size, immediate) = match transfer {
            Transfer::None => (0, 0),
            Transfer::Read(size) => (size, 0),
            Transfer::Write { size, immediate } => (size, immediate),
        };
        let lun = LogicalUnitNumber::from_number(lun.into());
        let command = ScsiCommand {
            immediate: false,
            last: true,
            read: matches!(transfer, Transfer::Read(_)),
            write: matches!(transfer, Transfer::Write { .. }),
            attribute: TaskAttribute::Simple,
            lun: lun.map_or([0; 8], LogicalUnitNumber::to_bytes),
            initiator_task_tag: self.next,
            expected_data_transfer_length: size,
            cmd_sn: SerialNumber(self.next),
            exp_stat_sn: self.answers,
            cdb,
            data_segment_length: immediate,
        };
        self.next = self.next.wrapping_add(1);
        self.append_header(requests, &Request::ScsiCommand(command).emit());
    }

    fn answer(
        &mut self,
        wanted: &ReadyToTransfer,
        requests: &mut Vec<u8>,
        data: &[u8],
        is_idle: bool,
    ) -> io::Result<()> {
        let (from, length) = (wanted.buffer_offset, wanted.desired_data_transfer_length);
        let data = data
            .get(from as usize..)
            .and_then(|data| data.get(..length as usize))
            .ok_or_else(|| io::Error::other(format!("it wants {length} bytes from {from}")))?;
        let header = Request::DataOut(DataOut {
            last: true,
            lun: wanted.lun,
            initiator_task_tag: wanted.initiator_task_tag,
            target_transfer_tag: wanted.target_transfer_tag,
            exp_stat_sn: self.answers,
            data_sn: 0,
            buffer_offset: from,
            data_segment_length: length,
        });
        self.append_header(requests, &header.emit());
        self.send_data(requests, data, is_idle)?;
        let digest = self.data_digest(data);
        requests.extend_from_slice(&digest);
        Ok(())
    }

    /// Data behind what is to be sent: what is long leaves at once, from where it lies, and an idle istgt
    /// wakes up for the header while it is being copied.
    fn send_data(&mut self, requests: &mut Vec<u8>, data: &[u8], is_idle: bool) -> io::Result<()> {
        if data.len() < LONG {
            requests.extend_from_slice(data);
            return Ok(());
        }
        if is_idle {
            self.stream.write_all(requests)?;
            requests.clear();
        }
        let sent = self.stream.write_vectored(&[IoSlice::new(requests), IoSlice::new(data)])?;
        // All of it, if the socket has room.
        self.stream.write_all(&requests[sent.min(requests.len())..])?;
        self.stream.write_all(&data[sent.saturating_sub(requests.len())..])?;
        requests.clear();
        Ok(())
    }

    fn append_header(&self, requests: &mut Vec<u8>, header: &BasicHeaderSegment) {
        requests.extend_from_slice(header.as_bytes());
        if self.digests != Digests::None {
            requests.extend_from_slice(&digest_of(header.as_bytes()));
        }
    }

    fn data_digest(&self, data: &[u8]) -> Vec<u8> {
        if self.digests == Digests::Both { digest_of(data).to_vec() } else { Vec::new() }
    }

    fn header_digest_length(&self) -> usize {
        if self.digests == Digests::None { 0 } else { DIGEST_LENGTH }
    }

    /// Sleeps for a good part of `owed` bytes, the first answer of which has `first` more and the others
    /// `each`, and drops what is there then; how much that was.
    fn receive_some(&mut self, owed: usize, first: usize, each: usize) -> io::Result<usize> {
        let half = (owed / 2).min(MARK);
        let more = half.saturating_sub(first).div_ceil(each) * each;
        let few = if owed == first { each >= LONG } else { owed <= FEW * each };
        let mark = if few && self.digests != Digests::Both {
            1
        } else if owed == first {
            first
        } else {
            first + more
        };
        self.sleep_for(mark.min(owed))?;
        let mut came = 0;
        loop {
            let room = self.received.len().min(owed - came);
            let count = self.take(0, room)?;
            came += count;
            if count < room || came == owed || came >= mark {
                return Ok(came);
            }
        }
    }

    /// Sleeps for a quarter of `owed` bytes, or any of [`FEW`] answers, and receives what is there
    /// behind the first `have`.
    fn receive_more(&mut self, owed: usize, have: usize, each: usize) -> io::Result<usize> {
        let few = owed <= FEW * each;
        let mark = if few { 1 } else { (owed / 4).next_multiple_of(each).min(owed) };
        self.sleep_for(mark)?;
        self.take(have, self.received.len())
    }

    /// What is there by now, to this part of the buffer.
    fn take(&mut self, from: usize, to: usize) -> io::Result<usize> {
        let room = &mut self.received[from..to];
        match recv(self.stream.as_raw_fd(), room, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => Ok(count),
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    fn sleep_for(&mut self, mark: usize) -> io::Result<()> {
        self.wake_for(mark)?;
        let patience = Timespec::try_from(PATIENCE).ok();
        let ready = poll(&mut [PollFd::new(&self.stream, PollFlags::IN)], patience.as_ref())?;
        if ready == 0 { Err(io::ErrorKind::TimedOut.into()) } else { Ok(()) }
    }

    fn wake_for(&mut self, mark: usize) -> io::Result<()> {
        if mark != self.mark {
            setsockopt(&self.stream, ReceiveLowWater, &mark)?;
            self.mark = mark;
        }
        Ok(())
    }

    /// A whole PDU: what it says, and what came behind its header.
    fn receive_pdu(&mut self) -> io::Result<(Response, Vec<u8>)> {
        let mut header = [0; BASIC_HEADER_SEGMENT_LENGTH];
        self.stream.read_exact(&mut header)?;
        let answer = parse(&header)?;
        let data = BasicHeaderSegment::from_bytes(header).data_segment_length() as usize;
        let digest = if self.digests == Digests::Both && data > 0 { DIGEST_LENGTH } else { 0 };
        let mut rest = vec![0; self.header_digest_length() + data.next_multiple_of(4) + digest];
        self.stream.read_exact(&mut rest)?;
        Ok((answer, rest))
    }
}

/// What a command moves.
#[derive(Clone, Copy)]
enum Transfer {
    None,
    /// So many bytes.
    Read(u32),
    /// So many bytes, the first of them right behind the command.
    Write {
        size: u32,
        immediate: u32,
    },
}

fn unexpected(answer: &Response) -> io::Error {
    io::Error::other(format!("it answered {answer:?}"))
}

fn digest_of(bytes: &[u8]) -> [u8; DIGEST_LENGTH] {
    let mut crc = Crc32c::new(Crc32cFunction::default());
    crc.update(bytes);
    crc.wire_bytes()
}

fn parse(bytes: &[u8]) -> io::Result<Response> {
    let header = bytes.first_chunk().ok_or(io::ErrorKind::UnexpectedEof)?;
    Response::parse(&BasicHeaderSegment::from_bytes(*header)).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::rig::Rig;

    const LIMIT: Duration = Duration::from_millis(50);

    #[test]
    fn it_moves_what_it_says_with_each_kind_of_digests() {
        let rig = Rig::start(&std::env::temp_dir(), 16 << 20).unwrap();
        let mut bare = Bare::new(&rig.place());
        for digests in [Digests::None, Digests::Both] {
            for (block, depth) in [(4096, 1), (16384, 32), (1 << 20, 4)] {
                for workload in [Workload::read(block, depth), Workload::write(block, depth)] {
                    let workload = workload.with(digests);
                    bare.prepare(&workload).unwrap();
                    let sample = bare.run(&workload, LIMIT).unwrap();
                    assert!(sample.commands > 0 && sample.elapsed >= LIMIT, "{workload}");
                    assert_eq!(sample.bytes, sample.commands * u64::from(block), "{workload}");
                }
            }
        }
    }

    #[test]
    fn what_it_writes_is_on_the_target() {
        let rig = Rig::start(&std::env::temp_dir(), 4 << 20).unwrap();
        let mut bare = Bare::new(&rig.place());
        let workload = Workload::write(1 << 20, 2).with(Digests::Both);
        bare.prepare(&workload).unwrap();
        let sample = bare.run(&workload, LIMIT).unwrap();
        let written = fs::read(rig.image(WRITE_LUN)).unwrap();
        let places = (sample.bytes as usize).min(written.len());
        assert!(written[..places].iter().all(|byte| *byte == 0xa5));
    }

    #[test]
    fn a_target_that_is_gone_is_told() {
        let rig = Rig::start(&std::env::temp_dir(), 1 << 20).unwrap();
        let (place, workload) = (rig.place(), Workload::read(4096, 1));
        let mut bare = Bare::new(&place);
        bare.prepare(&workload).unwrap();
        drop(rig);
        let error = bare.run(&workload, LIMIT).unwrap_err();
        assert!(error.contains(&place.portal.to_string()), "{error}");
    }
}
