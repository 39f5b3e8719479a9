//! The initiator at work in this process: one thread that polls, acts, and sleeps on the socket.

use std::io::Read as _;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use isboot::boot::{BootPlan, Isboot, Parameters, State};
use isboot::disk::{Disk, DiskId};
use isboot::login::{Authentication, Name, Negotiated};
use isboot::pdu::digest::Crc32cFunction;
use isboot::scsi::lun::LogicalUnitNumber;
use isboot_transport::std_tcp::StdTcp;

use crate::failure::Failure;
use crate::url::Url;

/// Most requests under way, which is how many slots there are.
pub(crate) const MAX_DEPTH: u16 = 64;

/// Room for 1024 disks, 64 requests, and as many commands as `queue_depth` may ask for.
pub(crate) type HostIsboot = Isboot<StdTcp, Vec<u8>, 1024, { MAX_DEPTH as usize }, 1024>;

/// The longest sleep, so that Ctrl-C is noticed.
const NAP: Duration = Duration::from_millis(50);
/// Patience at the end, whatever `logout_timeout` says.
const LOGOUT: Duration = Duration::from_secs(6);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Makes Ctrl-C and SIGTERM end the run with a logout; the second time, at once.
pub(crate) fn catch_interrupts() -> Result<(), Failure> {
    ctrlc::set_handler(|| {
        if INTERRUPTED.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
    })
    .map_err(|error| Failure::doing("cannot catch Ctrl-C", error))
}

/// What to log in to, and how.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) url: Url,
    pub(crate) initiator_name: Name,
    pub(crate) authentication: Authentication,
    pub(crate) parameters: Parameters,
}

/// What is next after a look at the initiator.
#[derive(Debug)]
pub(crate) enum Step<T> {
    /// Nothing: this is the result.
    Done(T),
    /// Another poll at once: something was submitted.
    Again,
    /// Sleep until there is something to do.
    Wait,
}

/// How long each step took until the disks were there.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timing {
    pub(crate) connect: Duration,
    pub(crate) login: Duration,
    pub(crate) disks: Duration,
}

/// A session whose disks are known.
#[derive(Debug)]
pub(crate) struct Initiator {
    isboot: Box<HostIsboot>,
    start: Instant,
    pub(crate) portal: SocketAddr,
    pub(crate) timing: Timing,
    /// What the login agreed on.
    pub(crate) terms: Negotiated,
}

impl Initiator {
    /// Logs in at the first address of the host that takes the connection, and finds the disks.
    pub(crate) fn log_in(access: &Access) -> Result<Self, Failure> {
        let Url { host, port, target, .. } = &access.url;
        let resolving = || format!("cannot resolve the host {host}");
        let portals = (host.as_str(), *port)
            .to_socket_addrs()
            .map_err(|error| Failure::doing(resolving(), error))?;
        let mut failures = Vec::new();
        for portal in portals {
            match Self::log_in_at(portal, access)? {
                Ok(initiator) => return Ok(initiator),
                Err(error) => {
                    failures.push(format!("cannot log in to {target} at {portal}: {error}"));
                    if !matches!(error, isboot::session::Error::Link(_)) {
                        break;
                    }
                }
            }
        }
        match failures.is_empty() {
            true => Err(Failure::doing(resolving(), "it has no address")),
            false => Err(Failure::Failed(failures.join("; "))),
        }
    }

    /// The inner error is the session's.
    fn log_in_at(
        portal: SocketAddr,
        access: &Access,
    ) -> Result<Result<Self, isboot::session::Error>, Failure> {
        let (initiator, target) = (access.initiator_name.clone(), access.url.target.clone());
        let plan = BootPlan {
            lun: access.url.lun.unwrap_or(LogicalUnitNumber::ZERO),
            authentication: access.authentication.clone(),
            ..BootPlan::without_table(initiator, target, portal, random_isid()?)
        };
        let start = Instant::now();
        let mut isboot = Box::new(HostIsboot::new(
            &plan,
            &access.parameters,
            Crc32cFunction::default(),
            entropy,
            StdTcp::new(),
            isboot::time::Instant::ZERO,
        ));
        let (mut connected, mut logged_in) = (None, None);
        let outcome = run(&mut isboot, start, |isboot| {
            let state = isboot.state();
            if state != State::Connecting {
                connected.get_or_insert_with(|| start.elapsed());
            }
            if let (State::FindingDisks | State::Ready, Some(terms)) = (state, isboot.negotiated())
            {
                logged_in.get_or_insert_with(|| (start.elapsed(), terms.clone()));
                // From here on a warning tells what no error will.
                log::set_max_level(log::max_level().max(log::LevelFilter::Warn));
            }
            Ok(match (state, isboot.last_error()) {
                (State::Ready, _) => Step::Done(None),
                (State::Ended(Some(error)), _) => Step::Done(Some(error)),
                // Nobody at a prompt wants the first login tried again and again.
                (_, Some(error)) if logged_in.is_none() => Step::Done(Some(error)),
                _ => Step::Wait,
            })
        })?;
        if let Some(error) = outcome {
            return Ok(Err(error));
        }
        let ready = start.elapsed();
        let connect = connected.unwrap_or(ready);
        let (login, terms) = logged_in.ok_or_else(|| {
            Failure::Failed("the session became ready without a login".to_owned())
        })?;
        let timing = Timing {
            connect,
            login: login.saturating_sub(connect),
            disks: ready.saturating_sub(login),
        };
        Ok(Ok(Self { isboot, start, portal, timing, terms }))
    }

    /// The disks of the target.
    pub(crate) fn disks(&self) -> &[Disk] {
        self.isboot.disks()
    }

    /// The disk with this LUN.
    pub(crate) fn disk(&self, lun: LogicalUnitNumber) -> Result<(DiskId, Disk), Failure> {
        let found = (0u16..).zip(self.disks()).find(|(_, disk)| disk.lun == lun);
        // A target may number its units in another of the standard's forms.
        let same =
            || (0u16..).zip(self.disks()).find(|(_, d)| d.lun.to_string() == lun.to_string());
        match found.or_else(same) {
            Some((index, disk)) => Ok((DiskId(index), disk.clone())),
            None => {
                let luns: Vec<_> = self.disks().iter().map(|disk| disk.lun.to_string()).collect();
                Err(Failure::Failed(match luns.is_empty() {
                    true => format!("the target has no disk with LUN {lun}, nor any other"),
                    false => {
                        format!("the target has no disk with LUN {lun}; it has {}", luns.join(", "))
                    }
                }))
            }
        }
    }

    /// Polls until `step` is done.
    pub(crate) fn run<T>(
        &mut self,
        step: impl FnMut(&mut HostIsboot) -> Result<Step<T>, Failure>,
    ) -> Result<T, Failure> {
        run(&mut self.isboot, self.start, step)
    }

    /// Logs out, as well as the target lets us.
    pub(crate) fn log_out(mut self) {
        let begin = Instant::now();
        self.isboot.detach(now(self.start));
        while begin.elapsed() < LOGOUT {
            let next = self.isboot.poll(now(self.start));
            if self.isboot.is_detached() {
                return;
            }
            sleep(&self.isboot, self.start, next);
        }
        log::warn!("the logout from {} took too long and was given up", self.portal);
    }
}

fn run<T>(
    isboot: &mut HostIsboot,
    start: Instant,
    mut step: impl FnMut(&mut HostIsboot) -> Result<Step<T>, Failure>,
) -> Result<T, Failure> {
    loop {
        let next = isboot.poll(now(start));
        match step(isboot)? {
            Step::Done(result) => return Ok(result),
            Step::Again => {}
            Step::Wait => sleep(isboot, start, next),
        }
        if INTERRUPTED.load(Ordering::Relaxed) {
            return Err(Failure::Interrupted);
        }
    }
}

fn sleep(isboot: &HostIsboot, start: Instant, next: Option<isboot::time::Instant>) {
    let limit = next.map_or(NAP, |next| next.since(now(start))).min(NAP);
    isboot.stream().wait(limit);
}

fn now(start: Instant) -> isboot::time::Instant {
    isboot::time::Instant::ZERO.after(start.elapsed())
}

/// An ISID of the random format (RFC 7143 §11.12.5): two runs at a time are two sessions, where
/// the same ISID would make the second end the first.
fn random_isid() -> Result<[u8; 6], Failure> {
    let mut random = [0; 32];
    if !entropy(&mut random) {
        return Err(Failure::Failed("cannot read /dev/urandom".to_owned()));
    }
    let [a, b, c, d, e, ..] = random;
    Ok([0x80, a, b, c, d, e])
}

fn entropy(out: &mut [u8; 32]) -> bool {
    std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(out)).is_ok()
}
