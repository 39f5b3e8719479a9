//! The initiator at work in this process: one thread that polls, acts, and sleeps on the socket.

use std::io::Read as _;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use isboot::boot::{BootPlan, Isboot, Parameters, State};
use isboot::disk::{CommandData, Disk, DiskId, Finished, RequestError};
use isboot::login::{Authentication, Name, Negotiated};
use isboot::pdu::digest::Crc32cFunction;
use isboot::scsi::cdb::Cdb;
use isboot::scsi::lun::LogicalUnitNumber;
use isboot_transport::std_tcp::StdTcp;

use crate::failure::Failure;
use crate::progress::Activity;
use crate::url::Portal;

/// Most requests under way, which is how many slots there are.
pub(crate) const MAX_DEPTH: u16 = 64;

/// Room for 1024 disks, 64 requests, and as many commands as `queue_depth` may ask for.
pub(crate) type HostIsboot = Isboot<StdTcp, Vec<u8>, 1024, { MAX_DEPTH as usize }, 1024>;

/// The longest sleep, so that Ctrl-C is noticed.
pub(crate) const NAP: Duration = Duration::from_millis(50);
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

/// Who we are, and how we log in.
#[derive(Debug)]
pub(crate) struct Identity {
    pub(crate) initiator_name: Name,
    pub(crate) authentication: Authentication,
    pub(crate) parameters: Parameters,
    /// When disks that are not found yet are given up.
    pub(crate) give_up_at: Instant,
    /// Nothing about progress is shown.
    pub(crate) quiet: bool,
}

/// What to log in to.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) portal: Portal,
    pub(crate) target: Name,
    /// Looked for even when the target does not list it.
    pub(crate) lun: Option<LogicalUnitNumber>,
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
    /// Of the log, before the login raised it.
    level: log::LevelFilter,
    pub(crate) target: Name,
    pub(crate) portal: SocketAddr,
    pub(crate) timing: Timing,
    /// What the login agreed on.
    pub(crate) terms: Negotiated,
}

impl Initiator {
    /// Logs in at the first address of the host that takes the connection, and finds the disks.
    pub(crate) fn log_in(address: &Address, identity: &Identity) -> Result<Self, Failure> {
        let target = &address.target;
        at_first_of(&address.portal, &format!("log in to {target}"), |portal| {
            Self::log_in_at(portal, address, identity)
        })
    }

    /// The inner error is the session's.
    fn log_in_at(
        portal: SocketAddr,
        address: &Address,
        identity: &Identity,
    ) -> Result<Result<Self, isboot::session::Error>, Failure> {
        let (initiator, target) = (identity.initiator_name.clone(), address.target.clone());
        let plan = BootPlan {
            lun: address.lun.unwrap_or(LogicalUnitNumber::ZERO),
            authentication: identity.authentication.clone(),
            ..BootPlan::without_table(initiator, target, portal, random_isid()?)
        };
        let start = Instant::now();
        let mut isboot = Box::new(HostIsboot::new(
            &plan,
            &identity.parameters,
            Crc32cFunction::default(),
            entropy,
            StdTcp::new(),
            isboot::time::Instant::ZERO,
        ));
        let level = log::max_level();
        let (mut connected, mut logged_in) = (None, None);
        let mut activity = Activity::new(identity.quiet);
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
            activity.is(|| match state {
                State::Connecting => format!("connecting to {portal}"),
                State::LoggingIn => format!("logging in to {} at {portal}", address.target),
                _ => format!("finding the disks of {}", address.target),
            });
            Ok(match (state, isboot.last_error()) {
                (State::Ready, _) => Step::Done(None),
                (State::Ended(Some(error)), _) => Step::Done(Some(error)),
                // Nobody at a prompt wants the first login tried again and again.
                (_, Some(error)) if logged_in.is_none() => Step::Done(Some(error)),
                (_, last) if Instant::now() >= identity.give_up_at => {
                    return Err(too_late(&address.target, portal, state, last));
                }
                _ => Step::Wait,
            })
        })?;
        drop(activity);
        if let Some(error) = outcome {
            log::set_max_level(level);
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
        let target = address.target.clone();
        Ok(Ok(Self { isboot, start, level, target, portal, timing, terms }))
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

    /// Gives a disk a command whose answer has at most `room` bytes, and waits for that.
    pub(crate) fn ask(
        &mut self,
        disk: DiskId,
        cdb: Cdb,
        room: usize,
    ) -> Result<Result<Vec<u8>, RequestError>, Failure> {
        let data = if room == 0 { CommandData::None } else { CommandData::In(vec![0; room]) };
        let id = match self.isboot.submit_command(disk, cdb, data) {
            Ok(id) => id,
            Err(rejected) => return Err(Failure::doing("cannot ask the disk", rejected.reason)),
        };
        self.run(|isboot| match isboot.take_completion() {
            Some(Finished { id: done, buffer, moved, outcome, .. }) if done == id => {
                let mut answer = buffer.unwrap_or_default();
                answer.truncate(moved as usize);
                Ok(Step::Done(outcome.map(|()| answer)))
            }
            Some(_) => Ok(Step::Again),
            None => Ok(Step::Wait),
        })
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
        self.end();
        log::set_max_level(self.level);
    }

    fn end(&mut self) {
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

/// Does `attempt` at one address of the portal's host after the other, until one is there at all.
pub(crate) fn at_first_of<T>(
    portal: &Portal,
    what: &str,
    mut attempt: impl FnMut(SocketAddr) -> Result<Result<T, isboot::session::Error>, Failure>,
) -> Result<T, Failure> {
    use isboot::session::{Error, Waiting};

    let Portal { host, port } = portal;
    let resolving = || format!("cannot resolve the host {host}");
    let addresses = (host.as_str(), *port).to_socket_addrs().map_err(|error| {
        let advice = "is it spelled right? An address does as well";
        Failure::doing(resolving(), format_args!("{error}; {advice}"))
    })?;
    let mut failures = Vec::new();
    for address in addresses {
        match attempt(address)? {
            Ok(result) => return Ok(result),
            Err(error) => {
                let advice = advice(error);
                failures.push(format!("cannot {what} at {address}: {error}{advice}"));
                if !matches!(error, Error::Link(_) | Error::Timeout(Waiting::Connect)) {
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

/// What to try next, where the error itself does not say.
fn advice(error: isboot::session::Error) -> &'static str {
    use isboot::login::{ConfigurationError, LoginError};
    use isboot::session::{Error, LinkFailure, Waiting};

    match error {
        Error::Login(LoginError::ApiMisuse(ConfigurationError::ShortSecret(_))) => {
            ": -p allow_short_secrets=yes"
        }
        Error::Link(LinkFailure::Reset | LinkFailure::ClosedByTarget) => {
            "; does iSCSI listen on this port? The target's log may say why"
        }
        Error::Link(LinkFailure::TimedOut) | Error::Timeout(Waiting::Connect) => {
            "; is the address right, and does a firewall let the port through?"
        }
        Error::Timeout(Waiting::Login) => {
            "; -p login_timeout=SECONDS waits longer, and the target's log may say more"
        }
        Error::Frame(_) | Error::Malformed(_) | Error::PeerMisbehaved(_) => {
            "; is it an iSCSI target that listens there?"
        }
        Error::Login(LoginError::Rejected { class: 2, detail: 3 }) => {
            "; `iscsi-tool ls` with the portal alone lists its targets"
        }
        _ => "",
    }
}

fn too_late(
    target: &Name,
    portal: SocketAddr,
    state: State,
    last: Option<isboot::session::Error>,
) -> Failure {
    let (doing, why) = match (state, last) {
        (_, Some(error)) => ("find the disks of", format!("the session came and went: {error}")),
        (State::Connecting, None) => ("connect to", "there is no answer".to_owned()),
        (State::LoggingIn, None) => ("log in to", "the login does not end".to_owned()),
        (_, None) => ("find the disks of", "a unit does not answer".to_owned()),
    };
    Failure::doing(
        format_args!("cannot {doing} {target} at {portal} in the time allowed"),
        format_args!("{why}; --timeout SECONDS waits longer"),
    )
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
        check_interrupted()?;
    }
}

/// Fails after Ctrl-C.
pub(crate) fn check_interrupted() -> Result<(), Failure> {
    if INTERRUPTED.load(Ordering::Relaxed) { Err(Failure::Interrupted) } else { Ok(()) }
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
pub(crate) fn random_isid() -> Result<[u8; 6], Failure> {
    let mut random = [0; 32];
    if !entropy(&mut random) {
        return Err(Failure::Failed("cannot read /dev/urandom".to_owned()));
    }
    let [a, b, c, d, e, ..] = random;
    Ok([0x80, a, b, c, d, e])
}

pub(crate) fn entropy(out: &mut [u8; 32]) -> bool {
    std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(out)).is_ok()
}
