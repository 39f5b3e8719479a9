//! The initiator as a process on this host, over the host's own sockets.

use std::fmt;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use isboot::boot::{BootPlan, Discovery, Found, Isboot, Parameters, State};
use isboot::disk::{CommandData, Disk, DiskId, Finished, RequestError, RequestId};
use isboot::login::{Authentication, Credentials, LoginConfig, Name, Secret};
use isboot::pdu::digest::Crc32cFunction;
use isboot::pdu::serial::SerialNumber;
use isboot::scsi::persistent_reservation::{
    Reservation, ReservationKeys, ReservationType, ReserveOut, read_keys, read_reservation,
};
use isboot::session::{Error, FoundTarget, SendTargets, SessionConfig};
use isboot_transport::std_tcp::StdTcp;
use isboot_transport::stream::ByteStream;

use crate::pair::Random;
use crate::scratch::noise;
use crate::standing::{StandingChecks, Watched};

/// The name that the initiator logs in with.
pub const INITIATOR_NAME: &str = "iqn.2026-11.org.example:host";

const MIB: usize = 1 << 20;

/// No wait of a [`Host`] is longer than this: a hang is a failed test, not a stuck one.
const PATIENCE: Duration = Duration::from_secs(60);

/// An [`Isboot`] with room for what tests do.
pub type HostIsboot<S = StdTcp> = Isboot<Watched<S>, Vec<u8>, 320, 64, 64>;

/// A stream that a thread can wait for.
pub trait Wait: ByteStream {
    /// Waits until there is something to do, or for as long as `limit`.
    fn wait(&self, limit: Duration);
}

impl Wait for StdTcp {
    fn wait(&self, limit: Duration) {
        self.wait(limit);
    }
}

/// An initiator on this host, polled in the caller's thread.
pub struct Host<S: ByteStream = StdTcp> {
    isboot: Box<HostIsboot<S>>,
    standing: StandingChecks,
    start: Instant,
}

/// The standing checks hold against real targets too.
impl<S: ByteStream> Drop for Host<S> {
    fn drop(&mut self) {
        let violations = self.standing.violations();
        if !std::thread::panicking() {
            assert!(violations.is_empty(), "standing checks: {violations:#?}");
        }
    }
}

/// Where it stands; its buffers would fill the screen.
impl<S: ByteStream> fmt::Debug for Host<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("state", &self.isboot.state()).finish_non_exhaustive()
    }
}

/// What to log in to, and how.
#[derive(Clone, Debug)]
pub struct Access {
    /// Where the target listens.
    pub portal: SocketAddr,
    /// The target's name.
    pub target_name: String,
    /// Who proves what to whom.
    pub authentication: Authentication,
    /// Everything else.
    pub parameters: Parameters,
}

impl Access {
    /// Access without authentication, with `name=value` parameters.
    ///
    /// # Panics
    /// When a parameter does not exist or does not take its value.
    #[must_use]
    pub fn new(portal: SocketAddr, target_name: &str, parameters: &[(&str, &str)]) -> Self {
        let mut set = Parameters::default();
        for (name, value) in parameters {
            if let Err(error) = set.set(name, value) {
                panic!("parameter {name}={value}: {error}");
            }
        }
        Self {
            portal,
            target_name: target_name.to_owned(),
            authentication: Authentication::None,
            parameters: set,
        }
    }
}

/// What the portal of `access` tells of its targets; the target's name is of no concern.
///
/// # Errors
/// The discovery's.
///
/// # Panics
/// When `what` cannot be asked in a Discovery session.
pub fn discover(access: &Access, what: SendTargets) -> Result<Vec<FoundTarget>, Error> {
    let name = Name::new(INITIATOR_NAME).expect("an iSCSI name");
    let mut login = LoginConfig::discovery(name, [0x00, 0x02, 0x3d, 0x00, 0x00, 0x01]);
    login.authentication = access.authentication.clone();
    login.header_digest = access.parameters.header_digest;
    login.data_digest = access.parameters.data_digest;
    let config = SessionConfig {
        portal: access.portal,
        login,
        timeouts: access.parameters.timeouts,
        escalation: access.parameters.escalation.clone(),
        initial_cmd_sn: SerialNumber(1),
        crc32c: Crc32cFunction::default(),
    };
    let stream = Watched::new(StdTcp::new());
    let standing = stream.checks();
    let start = Instant::now();
    let now = || isboot::time::Instant::ZERO.after(start.elapsed());
    let mut discovery =
        Discovery::new(config, what, entropy, stream, now()).expect("what can be asked");
    let mut found = Vec::new();
    let wait = |stream: &Watched<StdTcp>, until: Option<isboot::time::Instant>| {
        let limit = until.map_or(Duration::from_secs(1), |until| until.since(now()));
        stream.stream().wait(limit);
        now()
    };
    let outcome = discovery.finish(wait, |news| match news {
        Found::Target(target) => found.push(target.clone()),
        Found::StartsAgain => found.clear(),
    });
    let violations = standing.violations();
    assert!(violations.is_empty(), "standing checks: {violations:#?}");
    outcome.map(|discovered| {
        assert_eq!(discovered.found as usize, found.len());
        found
    })
}

impl Host {
    /// An initiator that wants to connect; nothing has moved yet.
    ///
    /// # Panics
    /// When the target's name is none.
    #[must_use]
    pub fn new(access: &Access) -> Self {
        Self::over(StdTcp::new(), access)
    }

    /// Logs in and finds the disks.
    ///
    /// # Errors
    /// Why the session ended instead.
    pub fn log_in(access: &Access) -> Result<Self, Error> {
        Self::log_in_over(StdTcp::new(), access)
    }
}

impl<S: Wait> Host<S> {
    /// An initiator over this stream that wants to connect; nothing has moved yet.
    ///
    /// # Panics
    /// When the target's name is none.
    #[must_use]
    pub fn over(stream: S, access: &Access) -> Self {
        let name = |name: &str| match Name::new(name) {
            Ok(name) => name,
            Err(error) => panic!("{name}: {error}"),
        };
        let isid = [0x00, 0x02, 0x3d, 0x00, 0x00, 0x01];
        let (initiator, target) = (name(INITIATOR_NAME), name(&access.target_name));
        let plan = BootPlan {
            authentication: access.authentication.clone(),
            ..BootPlan::without_table(initiator, target, access.portal, isid)
        };
        let start = Instant::now();
        let stream = Watched::new(stream);
        let standing = stream.checks();
        let isboot = Isboot::new(
            &plan,
            &access.parameters,
            Crc32cFunction::default(),
            entropy,
            stream,
            isboot::time::Instant::ZERO,
        );
        Self { isboot: Box::new(isboot), standing, start }
    }

    /// Logs in and finds the disks.
    ///
    /// # Errors
    /// Why the session ended instead.
    pub fn log_in_over(stream: S, access: &Access) -> Result<Self, Error> {
        let mut host = Self::over(stream, access);
        let mut ended = None;
        host.run_until(|isboot| match isboot.state() {
            State::Ready => true,
            State::Ended(error) => {
                ended = error;
                true
            }
            _ => false,
        });
        match ended {
            None => Ok(host),
            Some(error) => Err(error),
        }
    }

    /// The initiator itself.
    pub fn isboot(&mut self) -> &mut HostIsboot<S> {
        &mut self.isboot
    }

    /// The disks found.
    #[must_use]
    pub fn disks(&self) -> &[Disk] {
        self.isboot.disks()
    }

    /// Reads `length` bytes from byte `offset` of a disk on, as `depth` requests of `chunk` bytes
    /// at a time.
    ///
    /// # Errors
    /// The first request's that failed.
    pub fn read(
        &mut self,
        disk: DiskId,
        offset: u64,
        length: usize,
        chunk: usize,
        depth: usize,
    ) -> Result<Vec<u8>, RequestError> {
        let block = u64::from(self.disks()[usize::from(disk.0)].block_size);
        let mut data = vec![0; length];
        let mut under_way = Vec::new();
        let mut next = 0;
        let mut error = None;
        self.run_until(|isboot| {
            while let Some(Finished { id, buffer, outcome, .. }) = isboot.take_completion() {
                let place = under_way.iter().position(|(known, _)| *known == id);
                let (_, at): (_, usize) = under_way.swap_remove(place.unwrap_or_default());
                match (outcome, buffer) {
                    (Ok(()), Some(buffer)) => data[at..at + buffer.len()].copy_from_slice(&buffer),
                    (Err(failure), _) => error = Some(failure),
                    (Ok(()), None) => unreachable!("a read has a buffer"),
                }
            }
            while next < length && under_way.len() < depth && error.is_none() {
                let buffer = vec![0xa5; chunk.min(length - next)];
                let size = buffer.len();
                match isboot.submit_read(disk, (offset + next as u64) / block, buffer) {
                    Ok(id) => under_way.push((id, next)),
                    Err(rejected) => panic!("read at {next}: {}", rejected.reason),
                }
                next += size;
            }
            under_way.is_empty() && (next == length || error.is_some())
        });
        error.map_or(Ok(data), Err)
    }

    /// Writes `data` at byte `offset` of a disk, as `depth` requests of `chunk` bytes at a time,
    /// then flushes.
    ///
    /// # Errors
    /// The first request's that failed.
    pub fn write(
        &mut self,
        disk: DiskId,
        offset: u64,
        data: &[u8],
        chunk: usize,
        depth: usize,
    ) -> Result<(), RequestError> {
        let block = u64::from(self.disks()[usize::from(disk.0)].block_size);
        let (mut under_way, mut next, mut flushing) = (0, 0, false);
        let mut error = None;
        self.run_until(|isboot| {
            while let Some(finished) = isboot.take_completion() {
                under_way -= 1;
                error = error.or(finished.outcome.err());
            }
            while next < data.len() && under_way < depth && error.is_none() {
                let piece = &data[next..data.len().min(next + chunk)];
                match isboot.submit_write(disk, (offset + next as u64) / block, piece.to_vec()) {
                    Ok(_) => under_way += 1,
                    Err(rejected) => panic!("write at {next}: {}", rejected.reason),
                }
                next += piece.len();
            }
            if next == data.len() && under_way == 0 && !flushing && error.is_none() {
                flushing = true;
                match isboot.submit_flush(disk) {
                    Ok(_) => under_way += 1,
                    Err(reason) => panic!("flush: {reason}"),
                }
            }
            under_way == 0 && (flushing || error.is_some())
        });
        error.map_or(Ok(()), Err)
    }

    /// Reads disk 0 whole, writes disk 1 unaligned to any burst, and looks at its file from the
    /// outside: what was written is there, and nothing else changed.
    ///
    /// # Panics
    /// When anything of it does not hold.
    pub fn exercise(&mut self, read: &Path, written: &Path) {
        let file = |path: &Path| match std::fs::read(path) {
            Ok(content) => content,
            Err(error) => panic!("reading {}: {error}", path.display()),
        };
        let content = file(read);
        let back = self.read(DiskId(0), 0, content.len(), 384 * 1024, 8);
        assert!(back == Ok(content), "the LUN reads as the file is");

        let before = file(written);
        let block = self.disks()[1].block_size as usize;
        let (offset, data) = (7 * block, noise(99, 3 * MIB + 5 * block));
        let outcome = self.write(DiskId(1), offset as u64, &data, 400 * 1024 / block * block, 8);
        assert_eq!(outcome, Ok(()));
        let after = file(written);
        let end = offset + data.len();
        assert!(after[offset..end] == data, "what was written is in the file");
        let rest_is_untouched =
            after[..offset] == before[..offset] && after[end..] == before[end..];
        assert!(rest_is_untouched, "nothing else is");
        let back = self.read(DiskId(1), offset as u64, data.len(), MIB, 2);
        assert!(back == Ok(data), "what was written reads back");
    }

    /// One request that `submit` submits, and its end.
    ///
    /// # Errors
    /// The request's.
    ///
    /// # Panics
    /// When it is not taken.
    pub fn request<E: fmt::Debug>(
        &mut self,
        submit: impl FnOnce(&mut HostIsboot<S>) -> Result<RequestId, E>,
    ) -> Result<Finished<Vec<u8>>, RequestError> {
        let id = submit(&mut self.isboot).expect("the request is taken");
        let mut finished = None;
        self.run_until(|isboot| {
            finished = isboot.take_completion();
            finished.is_some()
        });
        let finished = finished.expect("run_until returns with one");
        assert_eq!(finished.id, id, "the only request under way");
        finished.outcome?;
        Ok(finished)
    }

    /// Writes to a disk so that it is durable at once, and looks at its file from the outside.
    ///
    /// # Panics
    /// When anything of it does not hold.
    pub fn exercise_write_through(&mut self, disk: DiskId, image: &Path) {
        let data = noise(5, 300 * 1024);
        let submitted = data.clone();
        let finished = self.request(|isboot| isboot.submit_write_through(disk, 40, submitted));
        assert_eq!(finished.map(|finished| finished.buffer), Ok(Some(data.clone())));
        let content = std::fs::read(image).expect("the image is there");
        assert!(content[40 * 512..40 * 512 + data.len()] == data, "it is in the file");
    }

    /// Fills blocks of a disk with one block's data and with zeros, and looks at its file from the
    /// outside.
    ///
    /// # Panics
    /// When anything of it does not hold.
    pub fn exercise_filling(&mut self, disk: DiskId, image: &Path) {
        let mut content = std::fs::read(image).expect("the image is there");
        let block = noise(6, 512);
        let submitted = block.clone();
        let filled =
            self.request(|isboot| isboot.submit_write_same(disk, 100, 200, submitted, false));
        assert_eq!(filled.err(), None);
        let zeroed = self.request(|isboot| isboot.submit_write_zeros(disk, 150, 50, false));
        assert_eq!(zeroed.err(), None);
        content[100 * 512..300 * 512].copy_from_slice(&block.repeat(200));
        content[150 * 512..200 * 512].fill(0);
        let after = std::fs::read(image).expect("the image is there");
        assert!(after == content, "these blocks, and no others");
    }

    /// Registers with a disk, reserves it, and gives it back.
    ///
    /// # Panics
    /// When anything of it does not hold.
    pub fn exercise_reservation(&mut self, disk: DiskId) {
        const KEY: u64 = 0x1234_5678_9abc_def0;
        let kind = ReservationType::WriteExclusive;
        let change = |host: &mut Self, out: ReserveOut| {
            let data = CommandData::Out(out.parameter_list().to_vec());
            let changed = host.request(|isboot| isboot.submit_command(disk, out.cdb(), data));
            assert_eq!(changed.err(), None, "{out:?}");
        };
        let ask = |host: &mut Self, cdb| {
            let data = CommandData::In(vec![0; 64]);
            let asked = host.request(|isboot| isboot.submit_command(disk, cdb, data));
            let finished = asked.unwrap_or_else(|error| panic!("{cdb:02x?}: {error}"));
            let mut answer = finished.buffer.expect("there was a buffer");
            answer.truncate(finished.moved as usize);
            answer
        };
        let keys = |host: &mut Self| {
            let answer = ask(host, read_keys(64));
            let keys = ReservationKeys::parse(&answer).expect("a list of keys");
            keys.keys().collect::<Vec<_>>()
        };
        let held = |host: &mut Self| {
            let answer = ask(host, read_reservation(64));
            Reservation::parse(&answer).expect("a reservation or none").held
        };
        assert_eq!(keys(self), []);
        change(self, ReserveOut::Register { key: 0, new: KEY, persist: false });
        assert_eq!(keys(self), [KEY]);
        change(self, ReserveOut::Reserve { key: KEY, kind });
        assert_eq!(held(self), Some((KEY, Some(kind))));
        self.write(disk, 0, &noise(7, 4096), 4096, 1).expect("the holder writes");
        change(self, ReserveOut::Release { key: KEY, kind });
        assert_eq!(held(self), None);
        change(self, ReserveOut::Register { key: KEY, new: 0, persist: false });
        assert_eq!(keys(self), []);
    }

    /// Random reads and writes all over disk 0, small ones and now and then one of many bursts,
    /// `depth` at a time; every read is compared, and in the end the whole LUN and its file. Tells
    /// `progress` after each how many are done.
    ///
    /// # Panics
    /// When a request fails or a byte is wrong.
    pub fn random_io(
        &mut self,
        image: &Path,
        count: usize,
        depth: usize,
        seed: u64,
        mut progress: impl FnMut(usize),
    ) {
        let file = |path: &Path| match std::fs::read(path) {
            Ok(content) => content,
            Err(error) => panic!("reading {}: {error}", path.display()),
        };
        let block = self.disks()[0].block_size as usize;
        let mut model = file(image);
        let blocks = model.len() / block;
        let mut random = Random(seed);
        let mut below = move |limit: usize| random.below(limit as u64) as usize;
        let mut under_way: Vec<(RequestId, Range<usize>, bool)> = Vec::new();
        let (mut submitted, mut done) = (0, 0);
        self.run_until(|isboot| {
            while let Some(Finished { id, buffer, outcome, .. }) = isboot.take_completion() {
                let place = under_way.iter().position(|(known, ..)| *known == id);
                let (_, range, is_read) = under_way.swap_remove(place.unwrap_or(usize::MAX));
                assert_eq!(outcome, Ok(()), "{range:?}, read: {is_read}");
                if is_read {
                    assert!(buffer.as_deref() == Some(&model[range.clone()]), "read {range:?}");
                }
                done += 1;
                progress(done);
            }
            while under_way.len() < depth && submitted < count {
                let longest = if below(20) == 0 { 2048 } else { 64 };
                let length = 1 + below(longest);
                let first = below(blocks - length);
                let range = first * block..(first + length) * block;
                // What would touch another's blocks has no outcome that is known beforehand.
                let meets =
                    |other: &Range<usize>| range.start < other.end && other.start < range.end;
                if under_way.iter().any(|(_, other, _)| meets(other)) {
                    continue;
                }
                let is_read = below(2) == 0;
                let taken = if is_read {
                    isboot.submit_read(DiskId(0), first as u64, vec![0xa5; range.len()])
                } else {
                    model[range.clone()]
                        .copy_from_slice(&noise(submitted as u64 + 1000, range.len()));
                    isboot.submit_write(DiskId(0), first as u64, model[range.clone()].to_vec())
                };
                match taken {
                    Ok(id) => under_way.push((id, range, is_read)),
                    Err(rejected) => panic!("{range:?}: {}", rejected.reason),
                }
                submitted += 1;
            }
            done == count
        });
        let back = self.read(DiskId(0), 0, model.len(), 256 * 1024, 8);
        assert!(back.as_ref() == Ok(&model), "the whole LUN reads as the model says");
        assert!(file(image) == model, "the file is as the model says");
    }

    /// [`random_io`](Self::random_io) with a `disturbance` in the middle that costs the session.
    ///
    /// # Panics
    /// As `random_io`, and when nothing was disturbed.
    pub fn survive(&mut self, image: &Path, seed: u64, disturbance: impl FnOnce()) {
        let mut disturbance = Some(disturbance);
        self.random_io(image, 800, 8, seed, |done| {
            if done == 400
                && let Some(disturbance) = disturbance.take()
            {
                disturbance();
            }
        });
        assert!(self.isboot.last_error().is_some(), "the disturbance came while requests ran");
    }

    /// Logs out.
    ///
    /// # Errors
    /// Why the logout was not clean.
    pub fn log_out(mut self) -> Result<(), Error> {
        self.leave()
    }

    /// Logs out, and may be looked at after.
    ///
    /// # Errors
    /// Why the logout was not clean.
    pub fn leave(&mut self) -> Result<(), Error> {
        let now = self.now();
        self.isboot.detach(now);
        self.run_until(|isboot| isboot.is_detached());
        match self.isboot.state() {
            State::Ended(Some(error)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Polls until `done`.
    ///
    /// # Panics
    /// When it takes longer than a minute.
    pub fn run_until(&mut self, mut done: impl FnMut(&mut HostIsboot<S>) -> bool) {
        let begin = Instant::now();
        loop {
            let now = self.now();
            self.isboot.poll(now);
            if done(&mut self.isboot) {
                return;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "still {:?} after {PATIENCE:?}, last error {:?}",
                self.isboot.state(),
                self.isboot.last_error()
            );
            // Whatever `done` submitted goes out before anything is waited for.
            let now = self.now();
            let next = self.isboot.poll(now);
            if self.isboot.finished() > 0 {
                continue;
            }
            let limit = next.map_or(PATIENCE, |next| next.since(now));
            self.isboot.stream().stream().wait(limit.min(Duration::from_millis(50)));
        }
    }

    fn now(&self) -> isboot::time::Instant {
        isboot::time::Instant::ZERO.after(self.start.elapsed())
    }
}

/// One side's CHAP identity.
///
/// # Panics
/// When name or secret cannot be used.
#[must_use]
pub fn credentials(name: &str, secret: &str) -> Credentials {
    match (name.try_into(), Secret::new(secret.as_bytes())) {
        (Ok(name), Ok(secret)) => Credentials { name: Some(name), secret },
        _ => panic!("{name} and its secret are no CHAP identity"),
    }
}

fn entropy(out: &mut [u8; 32]) -> bool {
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| std::io::Read::read_exact(&mut file, out))
        .is_ok()
}
