//! The initiator as a process on this host, over the host's own sockets.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use isboot::boot::{BootPlan, Isboot, Parameters, State};
use isboot::disk::{Disk, DiskId, Finished, RequestError};
use isboot::login::{Authentication, Credentials, Name, Secret};
use isboot::pdu::digest::Crc32cFunction;
use isboot::session::Error;
use isboot_transport::std_tcp::StdTcp;

use crate::scratch::noise;
use crate::standing::{StandingChecks, Watched};

/// The name that the initiator logs in with.
pub const INITIATOR_NAME: &str = "iqn.2026-11.org.example:host";

const MIB: usize = 1 << 20;

/// No wait of a [`Host`] is longer than this: a hang is a failed test, not a stuck one.
const PATIENCE: Duration = Duration::from_secs(60);

/// An [`Isboot`] with room for what tests do.
pub type HostIsboot = Isboot<Watched<StdTcp>, Vec<u8>, 320, 64, 64>;

/// An initiator on this host, polled in the caller's thread.
pub struct Host {
    isboot: Box<HostIsboot>,
    standing: StandingChecks,
    start: Instant,
}

/// The standing checks hold against real targets too.
impl Drop for Host {
    fn drop(&mut self) {
        let violations = self.standing.violations();
        if !std::thread::panicking() {
            assert!(violations.is_empty(), "standing checks: {violations:#?}");
        }
    }
}

/// Where it stands; its buffers would fill the screen.
impl fmt::Debug for Host {
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

impl Host {
    /// An initiator that wants to connect; nothing has moved yet.
    ///
    /// # Panics
    /// When the target's name is none.
    #[must_use]
    pub fn new(access: &Access) -> Self {
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
        let stream = Watched::new(StdTcp::new());
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
    pub fn log_in(access: &Access) -> Result<Self, Error> {
        let mut host = Self::new(access);
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
    pub fn isboot(&mut self) -> &mut HostIsboot {
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

    /// Logs out.
    ///
    /// # Errors
    /// Why the logout was not clean.
    pub fn log_out(mut self) -> Result<(), Error> {
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
    pub fn run_until(&mut self, mut done: impl FnMut(&mut HostIsboot) -> bool) {
        let begin = Instant::now();
        loop {
            let now = self.now();
            self.isboot.poll(now);
            if done(&mut self.isboot) {
                return;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "still {:?} after {PATIENCE:?}",
                self.isboot.state()
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
