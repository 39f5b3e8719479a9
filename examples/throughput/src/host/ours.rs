//! isboot over the host's sockets, as a process embeds it: one thread that polls, submits, and
//! sleeps on the socket.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use isboot::boot::{BootPlan, Isboot, Parameters, State};
use isboot::disk::{DiskId, Finished, RequestId};
use isboot::login::{DigestOffer, Name};
use isboot::pdu::digest::Crc32cFunction;
use isboot_tests::pair::Random;
use isboot_transport::std_tcp::StdTcp;
use qemu_boot::disk_image::word;

use super::{Place, processor_time};
use crate::contender::Contender;
use crate::rig::{BLOCK_LENGTH, CONTENT, READ_LUN, WRITE_LUN};
use crate::sample::Sample;
use crate::targets::names;
use crate::workload::{Digests, Operation, Pattern, Workload};

/// Requests that can be under way.
const DEPTH: usize = 64;
/// No request takes longer than this, nor a login.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sessions so far: two with the same identifier would end each other.
static SESSIONS: AtomicU8 = AtomicU8::new(0);

/// Room for the LUNs of the rig, and for the commands of deep queues of large requests.
type HostIsboot = Isboot<StdTcp, Vec<u8>, 4, DEPTH, 160>;

/// isboot, logged in as the last workload wanted it.
pub struct Ours {
    place: Place,
    session: Option<(Digests, LoggedIn)>,
    /// Different data for each run that writes.
    runs: u64,
}

/// A session that is ready, and the clock that it lives by.
struct LoggedIn {
    isboot: Box<HostIsboot>,
    start: Instant,
}

impl Ours {
    /// isboot, to be logged in at `place`.
    #[must_use]
    pub fn new(place: &Place) -> Self {
        Self { place: place.clone(), session: None, runs: 0 }
    }
}

impl Contender for Ours {
    fn name(&self) -> &str {
        names::ISBOOT
    }

    fn prepare(&mut self, workload: &Workload) -> Result<(), String> {
        if self.session.as_ref().is_some_and(|(digests, _)| *digests == workload.digests) {
            return Ok(());
        }
        if let Some((_, session)) = self.session.take() {
            session.log_out()?;
        }
        let session = LoggedIn::new(&self.place, workload.digests)?;
        self.session = Some((workload.digests, session));
        Ok(())
    }

    fn run(&mut self, workload: &Workload, limit: Duration) -> Result<Sample, String> {
        let Some((_, session)) = &mut self.session else {
            return Err("there is no session: it was not prepared".to_owned());
        };
        self.runs += 1;
        let mut load = Load::new(workload, &self.place, self.runs)?;
        let sample = session.run(&mut load, limit)?;
        load.check(&self.place)?;
        Ok(sample)
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        if let Some((_, session)) = self.session.take() {
            // Whoever measures has its figures; the target is about to end too.
            let _ = session.log_out();
        }
    }
}

impl LoggedIn {
    fn new(place: &Place, digests: Digests) -> Result<Self, String> {
        let name = |name: &str| Name::new(name).map_err(|error| format!("{name}: {error}"));
        let (initiator, target) =
            (name("iqn.2026-11.org.example:bench")?, name(&place.target_name)?);
        let plan = BootPlan::without_table(
            initiator,
            target,
            place.portal,
            [0, 2, 0x3d, 0, 0xbe, SESSIONS.fetch_add(1, Ordering::Relaxed)],
        );
        let offer = |wanted| if wanted { DigestOffer::Crc32c } else { DigestOffer::None };
        let parameters = Parameters {
            header_digest: offer(digests != Digests::None),
            data_digest: offer(digests == Digests::Both),
            ..Parameters::default()
        };
        let isboot = Isboot::new(
            &plan,
            &parameters,
            Crc32cFunction::default(),
            |_| false,
            StdTcp::new(),
            isboot::time::Instant::ZERO,
        );
        let mut session = Self { isboot: Box::new(isboot), start: Instant::now() };
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

    fn log_out(mut self) -> Result<(), String> {
        let now = self.now();
        self.isboot.detach(now);
        self.poll_until(|isboot| isboot.is_detached().then_some(()))
    }

    fn disk(&self, lun: u8) -> Result<DiskId, String> {
        let is_it =
            |lun_of: isboot::scsi::lun::LogicalUnitNumber| lun_of.number() == Some(u32::from(lun));
        let disks = (0u16..).zip(self.isboot.disks());
        let found = disks.into_iter().find(|(_, disk)| is_it(disk.lun));
        found
            .map(|(index, _)| DiskId(index))
            .ok_or_else(|| format!("the target shows no disk with LUN {lun}"))
    }

    fn run(&mut self, load: &mut Load, limit: Duration) -> Result<Sample, String> {
        let disk = self.disk(load.lun())?;
        let (mut bytes, mut commands) = (0, 0);
        let began = Instant::now();
        let processor = processor_time();
        load.submit_all(&mut self.isboot, disk)?;
        let mut heard = began;
        let mut now = began;
        loop {
            let next = self.isboot.poll(self.at(now));
            if self.isboot.finished() == 0 {
                if now.duration_since(heard) > PATIENCE {
                    return Err(format!(
                        "nothing was completed for {PATIENCE:?}; last error: {:?}",
                        self.isboot.last_error()
                    ));
                }
                let wait = next.map_or(PATIENCE, |next| next.since(self.at(now)));
                self.isboot.stream().wait(wait.min(PATIENCE));
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
        let cpu = processor_time().saturating_sub(processor);
        Ok(Sample { bytes, commands, elapsed: began.elapsed(), cpu: Some(cpu) })
    }

    fn poll_until<T>(
        &mut self,
        mut done: impl FnMut(&HostIsboot) -> Option<T>,
    ) -> Result<T, String> {
        let began = Instant::now();
        loop {
            let now = self.now();
            let next = self.isboot.poll(now);
            if let Some(result) = done(&self.isboot) {
                return Ok(result);
            }
            if began.elapsed() > PATIENCE {
                return Err(format!(
                    "still {:?} after {PATIENCE:?}, last error {:?}",
                    self.isboot.state(),
                    self.isboot.last_error()
                ));
            }
            let wait = next.map_or(PATIENCE, |next| next.since(now));
            self.isboot.stream().wait(wait.min(Duration::from_millis(50)));
        }
    }

    fn now(&self) -> isboot::time::Instant {
        self.at(Instant::now())
    }

    fn at(&self, now: Instant) -> isboot::time::Instant {
        isboot::time::Instant::ZERO.after(now.duration_since(self.start))
    }
}

/// The requests of one run.
struct Load {
    workload: Workload,
    /// Requests that fit the LUN.
    span: u64,
    submitted: u64,
    random: Random,
    idle: Vec<Idle>,
    under_way: Vec<Request>,
}

/// A buffer that waits for its next request, and which one it was for last.
struct Idle {
    buffer: Vec<u8>,
    last: Option<Request>,
}

/// A request under way.
#[derive(Clone, Copy, Debug)]
struct Request {
    id: RequestId,
    lba: u64,
    /// Counts requests as they are submitted.
    order: u64,
}

impl Load {
    fn new(workload: &Workload, place: &Place, run: u64) -> Result<Self, String> {
        let block = workload.block;
        if block == 0 || !block.is_multiple_of(BLOCK_LENGTH) || u64::from(block) > place.bytes {
            return Err(format!("requests of {block} bytes do not fit the LUN"));
        }
        let depth = usize::from(workload.depth);
        if depth == 0 || depth > DEPTH {
            return Err(format!("{depth} requests at a time: 1 to {DEPTH} are possible"));
        }
        let buffer = |index| match workload.operation {
            // No block of the LUN looks like this.
            Operation::Read => vec![0xa5; block as usize],
            Operation::Write => Random(run << 32 | index << 16).bytes(block as usize),
        };
        Ok(Self {
            workload: *workload,
            span: place.bytes / u64::from(block),
            submitted: 0,
            random: Random(run),
            idle: (0..depth as u64)
                .map(|index| Idle { buffer: buffer(index), last: None })
                .collect(),
            under_way: Vec::with_capacity(depth),
        })
    }

    fn lun(&self) -> u8 {
        match self.workload.operation {
            Operation::Read => READ_LUN,
            Operation::Write => WRITE_LUN,
        }
    }

    /// Submits as many requests as there are idle buffers.
    fn submit_all(&mut self, isboot: &mut HostIsboot, disk: DiskId) -> Result<(), String> {
        while let Some(Idle { buffer, .. }) = self.idle.pop() {
            let place = match self.workload.pattern {
                Pattern::Sequential => self.submitted % self.span,
                Pattern::Random => self.random.below(self.span),
            };
            let lba = place * u64::from(self.workload.block / BLOCK_LENGTH);
            let taken = match self.workload.operation {
                Operation::Read => isboot.submit_read(disk, lba, buffer),
                Operation::Write => isboot.submit_write(disk, lba, buffer),
            };
            let id = taken.map_err(|rejected| format!("block {lba}: {}", rejected.reason))?;
            self.under_way.push(Request { id, lba, order: self.submitted });
            self.submitted += 1;
        }
        Ok(())
    }

    /// Takes a request that is done; how many bytes it moved.
    fn take(&mut self, finished: Finished<Vec<u8>>) -> Result<u64, String> {
        let place = self.under_way.iter().position(|request| request.id == finished.id);
        let Some(place) = place else {
            return Err("a request was completed that was not under way".to_owned());
        };
        let request = self.under_way.swap_remove(place);
        finished.outcome.map_err(|error| format!("block {}: {error}", request.lba))?;
        let Some(buffer) = finished.buffer else {
            return Err(format!("block {}: its buffer did not come back", request.lba));
        };
        let bytes = buffer.len() as u64;
        self.idle.push(Idle { buffer, last: Some(request) });
        Ok(bytes)
    }

    /// Whether the last that each buffer was read for is in it, or what was last written to each
    /// place is in the file.
    fn check(&self, place: &Place) -> Result<(), String> {
        let used = || self.idle.iter().filter_map(|idle| Some((&idle.buffer, idle.last?)));
        for (buffer, request) in used() {
            let offset = request.lba * u64::from(BLOCK_LENGTH);
            let wrong = |at| Err(format!("byte {} is not what it must be", offset + at as u64));
            let expected = match self.workload.operation {
                Operation::Read => content(offset, buffer.len()),
                Operation::Write => {
                    let later =
                        |other: Request| other.lba == request.lba && other.order > request.order;
                    if used().any(|(_, other)| later(other)) {
                        continue;
                    }
                    let mut found = vec![0; buffer.len()];
                    File::open(&place.written)
                        .and_then(|file| file.read_exact_at(&mut found, offset))
                        .map_err(|error| format!("reading {:?}: {error}", place.written))?;
                    found
                }
            };
            if let Some(at) = (0..buffer.len()).find(|&at| buffer[at] != expected[at]) {
                return wrong(at);
            }
        }
        Ok(())
    }
}

/// What the LUN that is read holds from byte `offset` on.
fn content(offset: u64, length: usize) -> Vec<u8> {
    let words = (offset / 8..).map(|k| word(CONTENT, k).to_le_bytes());
    words.flatten().take(length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rig::Rig;

    const LIMIT: Duration = Duration::from_millis(50);

    #[test]
    fn it_reads_and_writes_what_it_says_with_each_kind_of_digests() {
        let rig = Rig::start(&std::env::temp_dir(), 16 << 20).unwrap();
        let mut ours = Ours::new(&Place::istgt(&rig));
        for digests in [Digests::None, Digests::Both] {
            let reads = [Workload::read(65536, 4), Workload::random_read(4096, 32)];
            for workload in reads.into_iter().chain([Workload::write(1 << 20, 2)]) {
                let workload = workload.with(digests);
                ours.prepare(&workload).unwrap();
                let sample = ours.run(&workload, LIMIT).unwrap();
                assert_eq!(sample.bytes, sample.commands * u64::from(workload.block));
                assert!(sample.elapsed >= LIMIT && sample.cpu.unwrap() <= sample.elapsed);
            }
        }
    }

    #[test]
    fn wrong_data_is_an_error_however_fast_it_came() {
        let rig = Rig::start(&std::env::temp_dir(), 1 << 20).unwrap();
        std::fs::write(rig.image(READ_LUN), vec![0; 1 << 20]).unwrap();
        let workload = Workload::read(4096, 4);
        let mut ours = Ours::new(&Place::istgt(&rig));
        ours.prepare(&workload).unwrap();
        let error = ours.run(&workload, LIMIT).unwrap_err();
        assert!(error.contains("is not what it must be"), "{error}");
    }
}
