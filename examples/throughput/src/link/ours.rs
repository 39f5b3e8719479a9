//! isboot on a TAP device: one thread that polls, submits, and sleeps on the device.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use isboot::boot::{BootPlan, Isboot, Parameters, State};
use isboot::disk::{DiskId, Finished, RequestId};
use isboot::login::{DigestOffer, Name};
use isboot::pdu::digest::Crc32cFunction;
use isboot_transport::netstack::{Addressing, Configuration, NetStack, Sockets};
use isboot_transport::tcp::{TcpOptions, TcpStream};
use qemu_boot::disk_image::word;
use rustix::time::{ClockId, clock_gettime};

use super::tap::Tap;
use super::{PREFIX, Place};
use crate::contender::Contender;
use crate::rig::{BLOCK_LENGTH, CONTENT, READ_LUN};
use crate::sample::Sample;
use crate::workload::{Digests, Operation, Pattern, Workload};

/// No request takes longer than this, nor a login.
const PATIENCE: Duration = Duration::from_secs(20);
/// The receive buffer, which is the window: what is under way at 10 Gb/s for 0.4 ms.
const RECEIVE: usize = 512 << 10;
const TRANSMIT: usize = 64 << 10;
const DEPTH: usize = 32;

type LinkIsboot = Isboot<TcpStream<'static, Tap>, Vec<u8>, 4, DEPTH, 64>;

/// isboot on a device of its own, logged in as its first workload wants it.
pub struct Ours {
    place: Place,
    /// Until it is logged in.
    tap: Option<Tap>,
    address: Ipv4Addr,
    /// Tells several of them apart.
    number: u8,
    session: Option<(Digests, LoggedIn)>,
}

impl Ours {
    /// To be logged in at `place` over this device, from `address`.
    #[must_use]
    pub fn new(place: &Place, tap: Tap, address: Ipv4Addr, number: u8) -> Self {
        Self { place: place.clone(), tap: Some(tap), address, number, session: None }
    }
}

impl Contender for Ours {
    fn name(&self) -> &str {
        crate::targets::names::ISBOOT
    }

    fn prepare(&mut self, workload: &Workload) -> Result<(), String> {
        match (&self.session, self.tap.take()) {
            (Some((digests, _)), _) if *digests == workload.digests => Ok(()),
            (None, Some(tap)) => {
                let stream = stream(tap, self.address, self.number)?;
                let session = LoggedIn::new(&self.place, stream, workload.digests, self.number)?;
                self.session = Some((workload.digests, session));
                Ok(())
            }
            _ => Err("each session with other digests has a device of its own".to_owned()),
        }
    }

    fn run(&mut self, workload: &Workload, limit: Duration) -> Result<Sample, String> {
        let Some((_, session)) = &mut self.session else {
            return Err("there is no session: it was not prepared".to_owned());
        };
        session.read(workload, self.place.bytes, limit)
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

/// A connection's end on the device.
fn stream(tap: Tap, address: Ipv4Addr, number: u8) -> Result<TcpStream<'static, Tap>, String> {
    let addressing =
        Addressing::Static { address: address.into(), prefix: PREFIX, gateway: None, dns: None };
    let seed = u64::from(std::process::id()) << 8 | u64::from(number);
    let configuration = Configuration {
        mtu: Some(tap.mtu()),
        ..Configuration::new([0x52, 0x54, 0, 0x12, 0x34, number], addressing, seed)
    };
    // A few sessions in the life of the process: what they leave is nothing.
    let sockets = Box::leak(Box::new(Sockets::new()));
    let buffer = |length: usize| vec![0; length].leak();
    let stack = NetStack::new(tap, sockets, &configuration, Duration::ZERO)
        .map_err(|error| format!("making a stack: {error}"))?;
    TcpStream::new(stack, buffer(RECEIVE), buffer(TRANSMIT), TcpOptions::default())
        .map_err(|error| format!("making a connection: {error}"))
}

/// A session that is ready, and the clock that it lives by.
struct LoggedIn {
    isboot: Box<LinkIsboot>,
    start: Instant,
}

impl LoggedIn {
    fn new(
        place: &Place,
        stream: TcpStream<'static, Tap>,
        digests: Digests,
        number: u8,
    ) -> Result<Self, String> {
        let name = |name: &str| Name::new(name).map_err(|error| format!("{name}: {error}"));
        let initiator = name("iqn.2026-11.org.example:bench")?;
        let target = name(&place.target_name)?;
        let isid = [0, 2, 0x3d, 0, 0x1b, number];
        let plan = BootPlan::without_table(initiator, target, place.portal, isid);
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
            stream,
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

    fn disk(&self) -> Result<DiskId, String> {
        let wanted = Some(u32::from(READ_LUN));
        let mut disks = (0_u16..).zip(self.isboot.disks());
        let found = disks.find(|(_, disk)| disk.lun.number() == wanted);
        found
            .map(|(index, _)| DiskId(index))
            .ok_or_else(|| format!("the target shows no disk with LUN {READ_LUN}"))
    }

    fn read(&mut self, workload: &Workload, bytes: u64, limit: Duration) -> Result<Sample, String> {
        let disk = self.disk()?;
        let mut reads = Reads::new(workload, bytes)?;
        let (began, processor) = (Instant::now(), processor_time());
        let mut heard = began;
        reads.submit_all(&mut self.isboot, disk)?;
        loop {
            let now = Instant::now();
            let next = self.isboot.poll(self.at(now));
            if self.isboot.finished() == 0 {
                if now.duration_since(heard) > PATIENCE {
                    return Err(self.stuck());
                }
                self.wait(next, now);
                continue;
            }
            heard = now;
            while let Some(finished) = self.isboot.take_completion() {
                reads.take(finished)?;
            }
            if now.duration_since(began) < limit {
                reads.submit_all(&mut self.isboot, disk)?;
            } else if reads.under_way.is_empty() {
                break;
            }
        }
        let (elapsed, cpu) = (began.elapsed(), processor_time().saturating_sub(processor));
        // Not in the time that counts.
        reads.check()?;
        let commands = reads.done;
        let bytes = commands * u64::from(workload.block);
        Ok(Sample { bytes, commands, elapsed, cpu: Some(cpu) })
    }

    fn poll_until<T>(
        &mut self,
        mut done: impl FnMut(&LinkIsboot) -> Option<T>,
    ) -> Result<T, String> {
        let began = Instant::now();
        loop {
            let now = Instant::now();
            let next = self.isboot.poll(self.at(now));
            if let Some(result) = done(&self.isboot) {
                return Ok(result);
            }
            if now.duration_since(began) > PATIENCE {
                return Err(self.stuck());
            }
            self.wait(next, now);
        }
    }

    /// Sleeps until a frame comes or something is due; not at all when that is now.
    fn wait(&mut self, next: Option<isboot::time::Instant>, now: Instant) {
        let limit = next.map_or(PATIENCE, |next| next.since(self.at(now))).min(PATIENCE);
        if !limit.is_zero() {
            self.isboot.stream_mut().stack().device().wait(limit);
        }
    }

    fn stuck(&self) -> String {
        let (state, error) = (self.isboot.state(), self.isboot.last_error());
        format!("nothing was completed for {PATIENCE:?}: {state:?}, last error {error:?}")
    }

    fn now(&self) -> isboot::time::Instant {
        self.at(Instant::now())
    }

    fn at(&self, now: Instant) -> isboot::time::Instant {
        isboot::time::Instant::ZERO.after(now.duration_since(self.start))
    }
}

/// Processor time of this thread so far, user and system.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// The sequential reads of one run.
struct Reads {
    /// Bytes of each.
    block: u32,
    /// How many the LUN has room for.
    span: u64,
    submitted: u64,
    done: u64,
    /// Buffers, and the block that each was last filled from.
    idle: Vec<(Vec<u8>, Option<u64>)>,
    under_way: Vec<(RequestId, u64)>,
}

impl Reads {
    fn new(workload: &Workload, bytes: u64) -> Result<Self, String> {
        let Workload { operation, pattern, block, depth, .. } = *workload;
        let fits = block > 0 && block % BLOCK_LENGTH == 0 && u64::from(block) <= bytes;
        let is_it = operation == Operation::Read && pattern == Pattern::Sequential;
        let depth = usize::from(depth);
        if !fits || !is_it || depth == 0 || depth > DEPTH {
            return Err(format!("up to {DEPTH} sequential reads of whole blocks are possible"));
        }
        Ok(Self {
            block,
            span: bytes / u64::from(block),
            submitted: 0,
            done: 0,
            // No block of the LUN looks like this.
            idle: vec![(vec![0xa5; block as usize], None); depth],
            under_way: Vec::with_capacity(depth),
        })
    }

    /// Submits as many as there are idle buffers.
    fn submit_all(&mut self, isboot: &mut LinkIsboot, disk: DiskId) -> Result<(), String> {
        while let Some((buffer, _)) = self.idle.pop() {
            let lba = self.submitted % self.span * u64::from(self.block / BLOCK_LENGTH);
            let id = isboot
                .submit_read(disk, lba, buffer)
                .map_err(|rejected| format!("block {lba}: {}", rejected.reason))?;
            self.under_way.push((id, lba));
            self.submitted += 1;
        }
        Ok(())
    }

    fn take(&mut self, finished: Finished<Vec<u8>>) -> Result<(), String> {
        let place = self.under_way.iter().position(|(id, _)| *id == finished.id);
        let place = place.ok_or("a request was completed that was not under way")?;
        let (_, lba) = self.under_way.swap_remove(place);
        finished.outcome.map_err(|error| format!("block {lba}: {error}"))?;
        let buffer = finished.buffer.ok_or_else(|| format!("block {lba}: no buffer came back"))?;
        self.idle.push((buffer, Some(lba)));
        self.done += 1;
        Ok(())
    }

    /// Whether each buffer holds what it was filled with last.
    fn check(&self) -> Result<(), String> {
        for (buffer, lba) in &self.idle {
            let Some(lba) = lba else { continue };
            let offset = lba * u64::from(BLOCK_LENGTH);
            let expected = (offset / 8..).map(|k| word(CONTENT, k).to_le_bytes());
            let mut pairs = expected.flatten().zip(buffer);
            if let Some(at) = pairs.position(|(expected, found)| expected != *found) {
                return Err(format!("byte {} is not what it must be", offset + at as u64));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_byte_is_seen_wherever_it_is() {
        let mut reads = Reads::new(&Workload::read(4096, 1), 1 << 20).unwrap();
        assert_eq!(reads.check(), Ok(()), "nothing was read yet");
        let lba = 8;
        let content = (512..1024).flat_map(|k| word(CONTENT, k).to_le_bytes());
        reads.idle[0] = (content.collect(), Some(lba));
        assert_eq!(reads.check(), Ok(()));
        reads.idle[0].0[4095] ^= 1;
        assert_eq!(reads.check(), Err("byte 8191 is not what it must be".to_owned()));
    }

    #[test]
    fn what_it_cannot_do_is_refused() {
        for workload in [
            Workload::read(0, 1),
            Workload::read(4096, 0),
            Workload::read(4096, 1000),
            Workload::read(100, 1),
            Workload::write(4096, 1),
            Workload::random_read(4096, 1),
        ] {
            assert!(Reads::new(&workload, 1 << 20).is_err(), "{workload}");
        }
    }
}
