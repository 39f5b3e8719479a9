//! isboot with a session, as a process embeds it: one thread that polls, submits, and sleeps on
//! whatever carries its bytes.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use isboot::boot::{BootPlan, Isboot, Parameters, State};
use isboot::disk::DiskId;
use isboot::login::{DigestOffer, Name};
use isboot::pdu::digest::Crc32cFunction;
use isboot::scsi::lun::LogicalUnitNumber;
use isboot_transport::stream::ByteStream;

use crate::buffer::Buffer;
use crate::load::Load;
use crate::processor;
use crate::rig::Place;
use crate::sample::Sample;
use crate::workload::Digests;

/// Requests that can be under way.
pub const DEPTH: usize = 64;
/// Commands that can be under way: large requests take more than one.
const TASKS: usize = 160;
/// A read is one command, as libiscsi has it: with a target whose disk is memory pieces only cost more.
pub const READ_LIMIT: u32 = 1024 * 1024;
/// Disks: the LUNs of the rig, and room.
const LUNS: usize = 4;
/// No request takes longer than this, nor a login.
const PATIENCE: Duration = Duration::from_secs(20);
/// A login is looked at this often even where nothing comes.
const NAP: Duration = Duration::from_millis(50);

/// Sessions so far: two with the same identifier would end each other.
static SESSIONS: AtomicU8 = AtomicU8::new(0);

/// Our core over a stream `S`.
pub type Initiator<S> = Isboot<S, Buffer, LUNS, DEPTH, TASKS>;

/// A session that is ready, and the clock that it lives by.
pub struct LoggedIn<S: ByteStream> {
    isboot: Box<Initiator<S>>,
    start: Instant,
    /// Sleeps until the stream has something to do, at most for so long.
    wait: fn(&S, Duration),
}

impl<S: ByteStream> LoggedIn<S> {
    /// Logs in at `place`; `wait` sleeps until the stream has something to do, at most for as long
    /// as it is told.
    ///
    /// # Errors
    ///
    /// What came instead of a session.
    pub fn new(
        place: &Place,
        stream: S,
        wait: fn(&S, Duration),
        digests: Digests,
    ) -> Result<Self, String> {
        let name = |name: &str| Name::new(name).map_err(|error| format!("{name}: {error}"));
        let initiator = name("iqn.2026-11.org.example:bench")?;
        let target = name(&place.target_name)?;
        let isid = [0, 2, 0x3d, 0, 0xbe, SESSIONS.fetch_add(1, Ordering::Relaxed)];
        let plan = BootPlan::without_table(initiator, target, place.portal, isid);
        let offer = |wanted| if wanted { DigestOffer::Crc32c } else { DigestOffer::None };
        let parameters = Parameters {
            header_digest: offer(digests != Digests::None),
            data_digest: offer(digests == Digests::Both),
            read_limit: READ_LIMIT,
            ..Parameters::default()
        };
        let isboot = Isboot::new(
            &plan,
            &parameters,
            Crc32cFunction::default(),
            |_| false,
            stream,
            isboot::time::Instant::ZERO,
        );
        let mut session = Self { isboot: Box::new(isboot), start: Instant::now(), wait };
        session.poll_until(|isboot| match isboot.state() {
            State::Ready => Some(Ok(())),
            State::Ended(error) => Some(Err(match error {
                Some(error) => format!("logging in to {}: {error}", place.portal),
                None => format!("logging in to {}: it logged out", place.portal),
            })),
            _ => None,
        })??;
        Ok(session)
    }

    /// Ends the session in good order.
    ///
    /// # Errors
    ///
    /// The target did not answer in a bounded time.
    pub fn log_out(mut self) -> Result<(), String> {
        let now = self.at(Instant::now());
        self.isboot.detach(now);
        self.poll_until(|isboot| isboot.is_detached().then_some(()))
    }

    /// Reads the first block of a LUN.
    ///
    /// # Errors
    ///
    /// What the target said, or that it said nothing in a bounded time.
    pub fn first_block(&mut self, lun: u8) -> Result<Vec<u8>, String> {
        let failed = |what: String| format!("reading the first block of LUN {lun}: {what}");
        let disk = self.disk(lun)?;
        let length = self.isboot.disks().get(usize::from(disk.0)).map_or(0, |disk| disk.block_size);
        self.isboot
            .submit_read(disk, 0, Buffer::Own(vec![0; length as usize]))
            .map_err(|rejected| failed(rejected.reason.to_string()))?;
        let finished = self.poll_until(Isboot::take_completion)?;
        finished.outcome.map_err(|error| failed(error.to_string()))?;
        let buffer =
            finished.buffer.ok_or_else(|| failed("its buffer did not come back".to_owned()))?;
        Ok(buffer.as_ref().to_vec())
    }

    /// Moves data as `load` says for about `limit`; what came is not checked yet.
    ///
    /// # Errors
    ///
    /// A request failed, or none was completed for a long time.
    pub fn run(&mut self, load: &mut Load, limit: Duration) -> Result<Sample, String> {
        let disk = self.disk(load.lun())?;
        let (mut bytes, mut commands) = (0, 0);
        let began = Instant::now();
        let processor = processor::time_of_this_thread();
        load.submit_all(&mut self.isboot, disk)?;
        let mut heard = began;
        let mut now = began;
        loop {
            let next = self.isboot.poll(self.at(now));
            if self.isboot.finished() == 0 {
                if now.duration_since(heard) > PATIENCE {
                    return Err(self.stuck());
                }
                self.sleep(next, now, PATIENCE);
                now = Instant::now();
                continue;
            }
            now = Instant::now();
            heard = now;
            let more = now.duration_since(began) < limit;
            while let Some(finished) = self.isboot.take_completion() {
                bytes += load.take(finished)?;
                commands += 1;
            }
            if more {
                load.submit_all(&mut self.isboot, disk)?;
            } else if self.isboot.outstanding() == 0 {
                break;
            }
        }
        let cpu = processor::time_of_this_thread().saturating_sub(processor);
        Ok(Sample { bytes, commands, elapsed: began.elapsed(), cpu: Some(cpu) })
    }

    fn disk(&self, lun: u8) -> Result<DiskId, String> {
        let is_it = |lun_of: LogicalUnitNumber| lun_of.number() == Some(u32::from(lun));
        let disks = (0u16..).zip(self.isboot.disks());
        let found = disks.into_iter().find(|(_, disk)| is_it(disk.lun));
        found
            .map(|(index, _)| DiskId(index))
            .ok_or_else(|| format!("the target shows no disk with LUN {lun}"))
    }

    fn poll_until<T>(
        &mut self,
        mut done: impl FnMut(&mut Initiator<S>) -> Option<T>,
    ) -> Result<T, String> {
        let began = Instant::now();
        loop {
            let now = Instant::now();
            let next = self.isboot.poll(self.at(now));
            if let Some(result) = done(&mut self.isboot) {
                return Ok(result);
            }
            if now.duration_since(began) > PATIENCE {
                return Err(self.stuck());
            }
            self.sleep(next, now, NAP);
        }
    }

    /// Sleeps until there is something to do; not at all when that is now.
    fn sleep(&self, next: Option<isboot::time::Instant>, now: Instant, most: Duration) {
        let limit = next.map_or(most, |next| next.since(self.at(now))).min(most);
        if !limit.is_zero() {
            (self.wait)(self.isboot.stream(), limit);
        }
    }

    fn stuck(&self) -> String {
        let (state, error) = (self.isboot.state(), self.isboot.last_error());
        format!("nothing came for {PATIENCE:?}: {state:?}, last error {error:?}")
    }

    fn at(&self, now: Instant) -> isboot::time::Instant {
        isboot::time::Instant::ZERO.after(now.duration_since(self.start))
    }
}
