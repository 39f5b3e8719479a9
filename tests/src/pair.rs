//! Initiator and built-in target in one thread, under a clock that jumps.
//!
//! No socket, no sleep: bytes go through a [`Wire`] in pieces as small as a test wants them, and
//! when nothing moves any more the clock goes to the next deadline that somebody named. Nothing
//! moving with no deadline ahead is a hang, and fails the test with where everybody stands.

mod answers;
mod chart;
mod discovery;
mod wire;

use std::cell::Cell;
use std::time::Duration;

pub use answers::{asynchronous, good, scsi_response, status_pdu};
pub use chart::Chart;
pub use discovery::DiscoveryPair;
pub use wire::{Break, Direction, MemoryStream, Portal, Wire};

use isboot::boot::{BootPlan, Isboot, Parameters, State};
use isboot::disk::{DiskId, Disks, Finished, RequestError, RequestId};
use isboot::login::{LoginConfig, Name};
use isboot::pdu::digest::Crc32cFunction;
use isboot::pdu::response::SequenceNumbers;
use isboot::pdu::serial::SerialNumber;
use isboot::scsi::lun::LogicalUnitNumber;
use isboot::session::{Error, Session, SessionConfig};
use isboot::time::Instant;

use crate::standing::{StandingChecks, Watched};
use crate::target::{Builder, Lun, Target};

/// Tasks of a session: 32 commands of requests, and one that looks at units.
pub const TASKS: usize = 33;

/// The name of [`target`].
pub const NAME: &str = "iqn.2001-04.com.example:disks";
/// 2^20 bytes.
pub const MIB: u64 = 1 << 20;

/// The target that most tests start from: one LUN of a mebibyte in memory.
pub fn target() -> Builder {
    Target::builder(NAME).lun(Lun::memory(MIB))
}

/// Numbers of a PDU to inject, which the target fills in.
pub const NUMBERS: SequenceNumbers = SequenceNumbers {
    stat_sn: SerialNumber(0),
    exp_cmd_sn: SerialNumber(0),
    max_cmd_sn: SerialNumber(0),
};

/// An initiator over memory.
pub type PairIsboot<const LUNS: usize> = Isboot<Watched<MemoryStream>, Vec<u8>, LUNS, 64, TASKS>;

/// Both ends, and the clock.
#[derive(Debug)]
pub struct PairOf<const LUNS: usize> {
    /// The initiator.
    pub isboot: Box<PairIsboot<LUNS>>,
    /// What connects it to the target.
    pub wire: Wire,
    /// The target.
    pub target: Target,
    /// What every PDU of the initiator must obey; looked at when the pair goes.
    pub standing: StandingChecks,
    now: Instant,
    /// Requests under way.
    submitted: Vec<RequestId>,
}

/// Both ends, for a target of up to eight LUNs.
pub type Pair = PairOf<8>;
/// Both ends, for a target of many LUNs.
pub type LargePair = PairOf<320>;

/// What differs from the parameters' defaults.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The parameters.
    pub parameters: Parameters,
    /// CmdSN of the leading login.
    pub initial_cmd_sn: u32,
    /// The logical unit to boot from.
    pub boot_lun: LogicalUnitNumber,
}

impl Setting {
    /// The defaults, but for these `name=value` parameters.
    ///
    /// # Panics
    /// When a parameter does not exist or does not take its value.
    #[must_use]
    pub fn new(parameters: &[(&str, &str)]) -> Self {
        let mut set = Parameters::default();
        for (name, value) in parameters {
            // What login offers beyond the parameters.
            if *name == "time2wait" {
                set.offer.default_time2wait = value.parse().expect("seconds");
            } else if let Err(error) = set.set(name, value) {
                panic!("parameter {name}={value}: {error}");
            }
        }
        Self { parameters: set, initial_cmd_sn: 1, boot_lun: LogicalUnitNumber::ZERO }
    }
}

impl<const LUNS: usize> PairOf<LUNS> {
    /// Both ends; nothing has moved yet.
    #[must_use]
    pub fn new(target: &Target, parameters: &[(&str, &str)]) -> Self {
        Self::with(target, &Setting::new(parameters))
    }

    /// Both ends, with every setting.
    #[must_use]
    pub fn with(target: &Target, setting: &Setting) -> Self {
        Self::configured(target, setting, |_| {})
    }

    /// Both ends, with what no setting says: names, authentication, anything of the session's.
    ///
    /// # Panics
    /// When the target's name is none.
    #[must_use]
    pub fn configured(
        target: &Target,
        setting: &Setting,
        configure: impl FnOnce(&mut SessionConfig),
    ) -> Self {
        let name = |name: &str| Name::new(name).expect("an iSCSI name");
        let Setting { parameters, initial_cmd_sn, boot_lun } = setting;
        let isid = [0x00, 0x02, 0x3d, 0x00, 0x00, 0x01];
        let mut login =
            LoginConfig::new(name("iqn.2026-11.org.example:host"), name(target.name()), isid);
        login.chap_algorithms = parameters.chap_algorithms;
        login.allow_short_secrets = parameters.allow_short_secrets;
        login.header_digest = parameters.header_digest;
        login.data_digest = parameters.data_digest;
        login.offer = parameters.offer;
        let mut config = SessionConfig {
            portal: Wire::PORTAL,
            login,
            timeouts: parameters.timeouts,
            escalation: parameters.escalation.clone(),
            initial_cmd_sn: SerialNumber(*initial_cmd_sn),
            crc32c: Crc32cFunction::default(),
        };
        configure(&mut config);
        let disks = Disks::new(
            *boot_lun,
            usize::from(parameters.queue_depth),
            parameters.transfer_limit(),
            parameters.ready_timeout,
        );
        let session = Session::new(config, Instant::ZERO);
        Self::made(target, |stream| Isboot::over(stream, session, disks, entropy))
    }

    /// Both ends, as a kernel makes the initiator: of a plan.
    #[must_use]
    pub fn planned(target: &Target, plan: &BootPlan, setting: &Setting) -> Self {
        let crc32c = Crc32cFunction::default();
        Self::made(target, |stream| {
            Isboot::new(plan, &setting.parameters, crc32c, entropy, stream, Instant::ZERO)
        })
    }

    fn made(target: &Target, make: impl FnOnce(Watched<MemoryStream>) -> PairIsboot<LUNS>) -> Self {
        let wire = Wire::new(target);
        let stream = Watched::new(wire.stream());
        let standing = stream.checks();
        for secret in target.secrets() {
            standing.add_secret(&secret);
        }
        Self {
            isboot: Box::new(make(stream)),
            wire,
            target: target.clone(),
            standing,
            now: Instant::ZERO,
            submitted: Vec::new(),
        }
    }

    /// Both ends, logged in, all disks found.
    #[must_use]
    pub fn ready(target: &Target, parameters: &[(&str, &str)]) -> Self {
        let mut pair = Self::new(target, parameters);
        pair.become_ready();
        pair
    }

    /// The virtual time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Runs until the disks can be used.
    ///
    /// # Panics
    /// When the session ends instead.
    pub fn become_ready(&mut self) {
        self.run_until("the disks", |isboot| match isboot.state() {
            State::Ended(error) => panic!("ended: {error:?}"),
            state => state == State::Ready,
        });
    }

    /// Runs until the session is over, and says why it is.
    pub fn end(&mut self) -> Option<Error> {
        let mut why = None;
        self.run_until("the end", |isboot| match isboot.state() {
            State::Ended(error) => {
                why = error;
                true
            }
            _ => false,
        });
        why
    }

    /// Runs until `done`, and tells how long that took.
    ///
    /// # Panics
    /// When nothing moves and nobody names a deadline (a hang), when a deadline that has passed is
    /// named over and over (a spin), and after a virtual day.
    pub fn run_until(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut PairIsboot<LUNS>) -> bool,
    ) -> Duration {
        let begin = self.now;
        let mut idle = 0;
        loop {
            let before = self.wire.carried(Direction::ToInitiator);
            let deadline = self.isboot.poll(self.now);
            if done(&mut self.isboot) {
                return self.now.since(begin);
            }
            if self.wire.exchange() || self.wire.carried(Direction::ToInitiator) != before {
                idle = 0;
                continue;
            }
            match deadline {
                None => panic!("hang: {what} never comes, {}", self.stand()),
                Some(at) if at > self.now => {
                    self.now = at;
                    idle = 0;
                }
                Some(_) => {
                    idle += 1;
                    assert!(idle < 100, "spin: no time passes before {what}, {}", self.stand());
                }
            }
            let waited = self.now.since(begin);
            assert!(waited < Duration::from_secs(86_400), "{what} never comes, {}", self.stand());
        }
    }

    /// Lets `duration` pass.
    pub fn pass(&mut self, duration: Duration) {
        let until = self.now.after(duration);
        loop {
            let deadline = self.isboot.poll(self.now);
            if self.wire.exchange() {
                continue;
            }
            match deadline {
                Some(at) if at <= self.now => {}
                Some(at) if at < until => self.now = at,
                _ => break,
            }
        }
        self.now = until;
        self.isboot.poll(self.now);
    }

    /// The clock goes ahead at once, as when the machine was stopped meanwhile.
    pub fn jump(&mut self, duration: Duration) {
        self.now = self.now.after(duration);
    }

    fn stand(&self) -> String {
        format!(
            "state {:?}, {} requests outstanding, last error {:?}, at {} ms; {:?}; violations {:#?}",
            self.isboot.state(),
            self.isboot.outstanding(),
            self.isboot.last_error(),
            self.now.as_millis(),
            self.wire,
            self.target.violations(),
        )
    }

    /// Submits a read.
    ///
    /// # Panics
    /// When it is not taken.
    pub fn submit_read(&mut self, disk: u16, lba: u64, length: usize) -> RequestId {
        let id = self.isboot.submit_read(DiskId(disk), lba, vec![0xa5; length]);
        let id = id.expect("the read is taken");
        self.submitted.push(id);
        id
    }

    /// Submits a write.
    ///
    /// # Panics
    /// When it is not taken.
    pub fn submit_write(&mut self, disk: u16, lba: u64, data: &[u8]) -> RequestId {
        let id = self.isboot.submit_write(DiskId(disk), lba, data.to_vec());
        let id = id.expect("the write is taken");
        self.submitted.push(id);
        id
    }

    /// Runs until some request is done.
    ///
    /// # Panics
    /// When a request is handed back that is not under way: a second time, or never submitted.
    pub fn finish_one(&mut self) -> Finished<Vec<u8>> {
        let mut finished = None;
        self.run_until("a completion", |isboot| {
            finished = isboot.take_completion();
            finished.is_some()
        });
        let finished = finished.expect("run_until returns with one");
        self.check_off(&finished);
        finished
    }

    /// A completion if there is one already.
    pub fn take_completion(&mut self) -> Option<Finished<Vec<u8>>> {
        let finished = self.isboot.take_completion()?;
        self.check_off(&finished);
        Some(finished)
    }

    fn check_off(&mut self, finished: &Finished<Vec<u8>>) {
        let place = self.submitted.iter().position(|&id| id == finished.id);
        self.submitted.remove(place.expect("a request is handed back once"));
    }

    /// Reads, and waits for it.
    ///
    /// # Errors
    /// The request's.
    pub fn read(&mut self, disk: u16, lba: u64, length: usize) -> Result<Vec<u8>, RequestError> {
        let id = self.submit_read(disk, lba, length);
        self.wait_for(id).map(|finished| finished.buffer.expect("a read has a buffer"))
    }

    /// Writes, and waits for it.
    ///
    /// # Errors
    /// The request's.
    pub fn write(&mut self, disk: u16, lba: u64, data: &[u8]) -> Result<(), RequestError> {
        let id = self.submit_write(disk, lba, data);
        self.wait_for(id).map(|_| ())
    }

    /// Flushes, and waits for it.
    ///
    /// # Errors
    /// The request's.
    ///
    /// # Panics
    /// When it is not taken.
    pub fn flush(&mut self, disk: u16) -> Result<(), RequestError> {
        let id = self.isboot.submit_flush(DiskId(disk)).expect("the flush is taken");
        self.submitted.push(id);
        self.wait_for(id).map(|_| ())
    }

    /// Waits for a request that was submitted past these methods.
    ///
    /// # Errors
    /// The request's.
    ///
    /// # Panics
    /// When it was not taken.
    pub fn finish<E: std::fmt::Debug>(
        &mut self,
        submitted: Result<RequestId, E>,
    ) -> Result<Finished<Vec<u8>>, RequestError> {
        let id = submitted.expect("the request is taken");
        self.submitted.push(id);
        self.wait_for(id)
    }

    fn wait_for(&mut self, id: RequestId) -> Result<Finished<Vec<u8>>, RequestError> {
        let finished = self.finish_one();
        assert_eq!(finished.id, id, "the only request under way");
        finished.outcome?;
        Ok(finished)
    }

    /// Logs out and waits for the end, which is a clean one.
    ///
    /// # Panics
    /// When it is not.
    pub fn log_out(&mut self) {
        let now = self.now;
        self.isboot.detach(now);
        assert_eq!(self.end(), None, "a clean logout");
        self.run_until("the close", |isboot| isboot.is_detached());
        self.assert_no_violations();
    }

    /// The initiator broke no rule that the target knows.
    ///
    /// # Panics
    /// When it did.
    #[track_caller]
    pub fn assert_no_violations(&self) {
        let sentences: Vec<String> =
            self.target.violations().iter().map(ToString::to_string).collect();
        assert!(sentences.is_empty(), "{sentences:#?}");
    }
}

/// The standing checks held, also in a test that looked at other things.
impl<const LUNS: usize> Drop for PairOf<LUNS> {
    fn drop(&mut self) {
        let violations = self.standing.violations();
        if !std::thread::panicking() {
            assert!(violations.is_empty(), "standing checks: {violations:#?}");
        }
    }
}

/// Entropy for mutual CHAP: never the same twice in a test.
fn entropy(out: &mut [u8; 32]) -> bool {
    thread_local! {
        static NEXT: Cell<u64> = const { Cell::new(1) };
    }
    let seed = NEXT.replace(NEXT.get().wrapping_add(1));
    out.copy_from_slice(&Random(seed).bytes(32));
    true
}

/// splitmix64: content of disks, sizes of pieces, the same in every run.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.next_number() % limit
    }

    /// So many bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let words = std::iter::repeat_with(|| self.next_number().to_le_bytes());
        words.flatten().take(length).collect()
    }
}
