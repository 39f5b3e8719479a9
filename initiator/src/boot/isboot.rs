//! The whole thing: a session and its disks over a byte stream, moved by one call.

use core::fmt;
use core::net::SocketAddr;

use isboot_transport::stream::ByteStream;

use super::link::{EntropySource, Link, ROUNDS, Receiver};
use super::parameters::Parameters;
use super::plan::BootPlan;
use crate::disk::{
    BringUpState, CommandData, Disk, DiskId, Disks, Finished, Lent, NoBootDisk, Notice, Rejected,
    RequestError, RequestId, RequestKind, SubmitRequestError,
};
use crate::login::{Name, Negotiated};
use crate::pdu::digest::Crc32cFunction;
use crate::scsi::cdb::Cdb;
use crate::scsi::lun::LogicalUnitNumber;
use crate::session::{
    Error, Event, LinkWanted, Placement, Reset, Session, SessionConfig, SubmitError,
};
use crate::time::Instant;

/// An initiator at work: give it time with [`poll`](Self::poll), requests with `submit_*`.
///
/// `S` is the transport, `B` the hosting kernel's buffer type; up to `LUNS` disks, `REQUESTS`
/// requests and `TASKS` commands at a time. Nothing is allocated after [`new`](Self::new).
#[derive(Debug)]
pub struct Isboot<S, B, const LUNS: usize, const REQUESTS: usize, const TASKS: usize> {
    link: Link<S>,
    session: Session<TASKS>,
    disks: Disks<B, LUNS, REQUESTS, TASKS>,
    last_error: Option<Error>,
    alternative: Option<Alternative>,
}

/// The target that an [`Isboot`] wants to log in to, or did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetInUse<'a> {
    /// Its iSCSI name.
    pub name: &'a str,
    /// Where it listens, as configured: redirections are not counted.
    pub portal: SocketAddr,
    /// The logical unit to boot from, in the target's form once that is known.
    pub lun: LogicalUnitNumber,
}

/// Another target to boot from.
#[derive(Debug)]
struct Alternative {
    config: SessionConfig,
    boot_lun: LogicalUnitNumber,
    /// When it is given up in its turn.
    give_up_at: Instant,
}

/// Where an [`Isboot`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// On the way to the first or next full feature phase.
    Connecting,
    /// TCP is up, the login is under way.
    LoggingIn,
    /// Logged in, asking the logical units what they are.
    FindingDisks,
    /// Disks can be used.
    Ready,
    /// Over: `None` after a logout that the target confirmed.
    Ended(Option<Error>),
}

/// Why a blocking call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockError {
    /// The request was not taken.
    NotTaken(SubmitRequestError),
    /// The request failed.
    Failed(RequestError),
}

impl fmt::Display for BlockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTaken(reason) => write!(f, "{reason}"),
            Self::Failed(error) => write!(f, "{error}"),
        }
    }
}

impl core::error::Error for BlockError {}

impl<S, B, const LUNS: usize, const REQUESTS: usize, const TASKS: usize>
    Isboot<S, B, LUNS, REQUESTS, TASKS>
where
    S: ByteStream,
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    /// An initiator that wants to log in to `plan`'s target over `stream`.
    ///
    /// When the plan has an alternative, the first target gets half of the outage limit to let us
    /// in, and the other one the rest.
    #[must_use]
    pub fn new(
        plan: &BootPlan,
        parameters: &Parameters,
        crc32c: Crc32cFunction,
        entropy: EntropySource,
        stream: S,
        now: Instant,
    ) -> Self {
        let config: SessionConfig = plan.session_config(parameters, crc32c);
        let disks = Disks::new(
            plan.lun,
            usize::from(parameters.queue_depth),
            parameters.transfer_limit(),
            parameters.ready_timeout,
        );
        let mut isboot = Self::over(stream, Session::new(config, now), disks, entropy);
        if let Some((config, boot_lun)) = plan.alternative_config(parameters, crc32c) {
            let limit = parameters.timeouts.outage;
            isboot.session.give_up_at(now.after(limit.checked_div(2).unwrap_or(limit)));
            let give_up_at = now.after(limit);
            isboot.alternative = Some(Alternative { config, boot_lun, give_up_at });
        }
        isboot
    }

    /// An initiator made of parts, for what plan and parameters do not say.
    #[must_use]
    pub fn over(
        stream: S,
        session: Session<TASKS>,
        disks: Disks<B, LUNS, REQUESTS, TASKS>,
        entropy: EntropySource,
    ) -> Self {
        let (link, last_error, alternative) = (Link::new(stream, entropy), None, None);
        Self { link, session, disks, last_error, alternative }
    }

    /// Moves everything that can be moved now, and says when to call again even if no frame
    /// arrives and no request is submitted.
    ///
    /// When it has finished requests, which wait to be [taken](Self::take_completion), it returns at
    /// once and wants to be called again: what came is acknowledged by then, together with the next
    /// request if there is one.
    pub fn poll(&mut self, now: Instant) -> Option<Instant> {
        self.step(now, &mut Lent::Nothing, Leave::WhenSomethingIsDone)
    }

    /// Where the initiator stands.
    #[must_use]
    pub fn state(&self) -> State {
        match self.session.ended() {
            Some(_) if self.alternative.is_some() => return State::Connecting,
            Some(error) => return State::Ended(error),
            None => {}
        }
        match (self.session.negotiated(), self.disks.state()) {
            (Some(_), BringUpState::Finished) => State::Ready,
            (Some(_), BringUpState::Working) => State::FindingDisks,
            (None, _) if self.session.link() == LinkWanted::Keep => State::LoggingIn,
            (None, _) => State::Connecting,
        }
    }

    /// The target in use: the plan's, or its alternative once that has been turned to.
    #[must_use]
    pub fn target(&self) -> TargetInUse<'_> {
        let config = self.session.config();
        TargetInUse {
            name: config.login.target_name.as_ref().map_or("", Name::as_str),
            portal: config.portal,
            lun: self.disks.boot_lun(),
        }
    }

    /// What went wrong last, also when it was recovered from.
    #[must_use]
    pub fn last_error(&self) -> Option<Error> {
        self.last_error
    }

    /// The terms of the present session.
    #[must_use]
    pub fn negotiated(&self) -> Option<&Negotiated> {
        self.session.negotiated()
    }

    /// The disks found so far; a [`DiskId`] counts from the first.
    #[must_use]
    pub fn disks(&self) -> &[Disk] {
        self.disks.list()
    }

    /// The disk of the boot LUN, or why there is none.
    ///
    /// # Errors
    /// [`NoBootDisk`] says what the unit answered, and which units there are.
    pub fn boot_disk(&self) -> Result<DiskId, NoBootDisk<'_>> {
        self.disks.boot_disk()
    }

    /// The next thing that a disk or the target told and no request asked for.
    pub fn take_notice(&mut self) -> Option<Notice> {
        self.disks.take_notice()
    }

    /// Looks for disks that the target has now and had not before, as
    /// [`Notice::UnitsChanged`] suggests. The state is [`State::FindingDisks`] meanwhile; disks
    /// that are known can be used all the while, and keep their [`DiskId`].
    pub fn rescan(&mut self) {
        self.disks.rescan();
    }

    /// Requests taken and not yet handed back.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.disks.outstanding()
    }

    /// Reads `buffer.len()` bytes from block `lba` on.
    ///
    /// # Errors
    /// [`Rejected`] returns the buffer and says why.
    pub fn submit_read(
        &mut self,
        disk: DiskId,
        lba: u64,
        buffer: B,
    ) -> Result<RequestId, Rejected<B>> {
        self.disks.submit_read(disk, lba, buffer)
    }

    /// Writes `buffer` to block `lba` and on.
    ///
    /// # Errors
    /// [`Rejected`] returns the buffer and says why.
    pub fn submit_write(
        &mut self,
        disk: DiskId,
        lba: u64,
        buffer: B,
    ) -> Result<RequestId, Rejected<B>> {
        self.disks.submit_write(disk, lba, buffer)
    }

    /// Makes everything acknowledged so far durable.
    ///
    /// # Errors
    /// Says why it was not taken.
    pub fn submit_flush(&mut self, disk: DiskId) -> Result<RequestId, SubmitRequestError> {
        self.disks.submit_flush(disk)
    }

    /// Ends a request, at the target too. Its completion comes as always, with
    /// [`TaskError::Aborted`](crate::session::TaskError::Aborted) unless all of it was done before.
    /// A request that is done already changes nothing.
    pub fn abort(&mut self, request: RequestId) {
        self.disks.abort(request, &mut self.session);
    }

    /// Has the target reset a logical unit or itself. Requests that it disturbs are taken up
    /// again; nobody notices but by the time that they take.
    ///
    /// # Errors
    /// [`SubmitError::Busy`] while another reset waits, [`SubmitError::Ended`] after the end.
    pub fn reset(&mut self, reset: Reset) -> Result<(), SubmitError> {
        self.session.reset(reset)
    }

    /// As [`submit_write`](Self::submit_write), and durable when it is done.
    ///
    /// # Errors
    /// [`Rejected`] returns the buffer and says why.
    pub fn submit_write_through(
        &mut self,
        disk: DiskId,
        lba: u64,
        buffer: B,
    ) -> Result<RequestId, Rejected<B>> {
        self.disks.submit_write_through(disk, lba, buffer)
    }

    /// Releases `blocks` blocks from block `lba` on: see [`Disks::submit_unmap`].
    ///
    /// # Errors
    /// Says why it was not taken.
    pub fn submit_unmap(
        &mut self,
        disk: DiskId,
        lba: u64,
        blocks: u64,
    ) -> Result<RequestId, SubmitRequestError> {
        self.disks.submit_unmap(disk, lba, blocks)
    }

    /// Writes the same block of data to `blocks` blocks from block `lba` on: see
    /// [`Disks::submit_write_same`].
    ///
    /// # Errors
    /// [`Rejected`] returns the buffer and says why.
    pub fn submit_write_same(
        &mut self,
        disk: DiskId,
        lba: u64,
        blocks: u64,
        block: B,
        unmap: bool,
    ) -> Result<RequestId, Rejected<B>> {
        self.disks.submit_write_same(disk, lba, blocks, block, unmap)
    }

    /// Writes zeros to `blocks` blocks from block `lba` on: see [`Disks::submit_write_zeros`].
    ///
    /// # Errors
    /// Says why it was not taken.
    pub fn submit_write_zeros(
        &mut self,
        disk: DiskId,
        lba: u64,
        blocks: u64,
        unmap: bool,
    ) -> Result<RequestId, SubmitRequestError> {
        self.disks.submit_write_zeros(disk, lba, blocks, unmap)
    }

    /// Gives the unit a command of the host's own: see [`Disks::submit_command`].
    ///
    /// # Errors
    /// [`Rejected`] returns the data and says why.
    pub fn submit_command(
        &mut self,
        disk: DiskId,
        cdb: Cdb,
        data: CommandData<B>,
    ) -> Result<RequestId, Rejected<CommandData<B>>> {
        self.disks.submit_command(disk, cdb, data)
    }

    /// Requests that are done and wait to be taken: nothing to sleep on while there are any.
    #[must_use]
    pub fn finished(&self) -> usize {
        self.disks.finished()
    }

    /// The next request that is done.
    pub fn take_completion(&mut self) -> Option<Finished<B>> {
        self.disks.take_completion()
    }

    /// Reads `out.len()` bytes from block `lba` on, and returns when they are there.
    ///
    /// `wait` is called with the time of the next deadline, may spin, halt or schedule until
    /// then or until a frame arrives, and returns the present time.
    ///
    /// # Errors
    /// [`BlockError`]; `out` then holds nothing to rely on.
    pub fn read_blocks(
        &mut self,
        disk: DiskId,
        lba: u64,
        out: &mut [u8],
        wait: impl FnMut(Option<Instant>) -> Instant,
    ) -> Result<(), BlockError> {
        let id = self
            .disks
            .submit_lent(RequestKind::Read, disk, lba, out.len())
            .map_err(BlockError::NotTaken)?;
        self.finish(id, Lent::Into(out), wait)
    }

    /// Writes `data` to block `lba` and on, and returns when the disk acknowledged it. `wait` as
    /// in [`read_blocks`](Self::read_blocks).
    ///
    /// # Errors
    /// [`BlockError`]; the disk then may hold part of `data`.
    pub fn write_blocks(
        &mut self,
        disk: DiskId,
        lba: u64,
        data: &[u8],
        wait: impl FnMut(Option<Instant>) -> Instant,
    ) -> Result<(), BlockError> {
        let id = self
            .disks
            .submit_lent(RequestKind::Write, disk, lba, data.len())
            .map_err(BlockError::NotTaken)?;
        self.finish(id, Lent::From(data), wait)
    }

    /// Makes everything acknowledged so far durable, and returns when it is. `wait` as in
    /// [`read_blocks`](Self::read_blocks).
    ///
    /// # Errors
    /// [`BlockError`].
    pub fn flush(
        &mut self,
        disk: DiskId,
        wait: impl FnMut(Option<Instant>) -> Instant,
    ) -> Result<(), BlockError> {
        let id = self.disks.submit_flush(disk).map_err(BlockError::NotTaken)?;
        self.finish(id, Lent::Nothing, wait)
    }

    /// Starts the end: logout, then [`State::Ended`]. Requests still outstanding fail. Poll until
    /// [`is_detached`](Self::is_detached).
    pub fn detach(&mut self, now: Instant) {
        self.alternative = None;
        self.session.logout(now);
    }

    /// Whether session and connection are gone, and every request was handed back or waits to be
    /// taken.
    #[must_use]
    pub fn is_detached(&self) -> bool {
        matches!(self.state(), State::Ended(_))
            && self.session.outstanding() == 0
            && self.link.is_closed()
    }

    /// The transport, to be shut down or used again.
    #[must_use]
    pub fn into_stream(self) -> S {
        self.link.into_stream()
    }

    /// The transport, to look at.
    #[must_use]
    pub fn stream(&self) -> &S {
        self.link.stream()
    }

    /// The transport, for what it wants besides being polled, such as to let its NIC interrupt
    /// before a sleep. Its bytes are the session's.
    pub fn stream_mut(&mut self) -> &mut S {
        self.link.stream_mut()
    }

    // --- the pump ---

    fn step(&mut self, now: Instant, lent: &mut Lent<'_>, leave: Leave) -> Option<Instant> {
        // Before the stream is polled, so that what was submitted leaves by this poll, and takes the
        // acknowledgement of what came before along.
        self.transmit(now, lent);
        let finished_before = self.disks.finished();
        for _ in 0..ROUNDS {
            let wanted = self.session.link();
            self.link.follow(now, &mut self.session);
            let received = self.receive(now, lent);
            self.take_news(now);
            let turned = self.turn_to_alternative(now);
            let sent = self.transmit(now, lent);
            // Once: a host that polls on without taking what is done sees everything moved.
            let has_finished = self.disks.finished() > finished_before;
            if leave == Leave::WhenSomethingIsDone && has_finished && !sent && !turned {
                return Some(now);
            }
            // Only a round without news may be the last: what the stream's poll brought in the
            // session has seen, and what the session wants the stream knows.
            if !received && !sent && !turned && self.session.link() == wanted {
                let stream = self.link.poll_at(now);
                let deadlines = [self.session.poll_at(), self.disks.advance_at(), stream];
                return deadlines.into_iter().flatten().min();
            }
        }
        Some(now)
    }

    /// Lets the disks and the session say what they have to say; whether they said anything.
    fn transmit(&mut self, now: Instant, lent: &mut Lent<'_>) -> bool {
        self.disks.advance(now, &mut self.session);
        let mut data = self.disks.data_out(lent);
        self.link.transmit(now, &mut self.session, &mut data)
    }

    /// Hands what arrived to the session; whether anything had.
    fn receive(&mut self, now: Instant, lent: &mut Lent<'_>) -> bool {
        let receiver = DiskReceiver { disks: &mut self.disks, lent, now };
        self.link.receive(now, &mut self.session, receiver)
    }

    /// Takes what time, rather than a byte, brought about.
    fn take_news(&mut self, now: Instant) {
        while let Some(event) = self.session.poll(now) {
            match event {
                Event::Completed { task, completion } => {
                    self.disks.completed(now, task, completion, &[]);
                }
                Event::Lost { error, retry_at } => {
                    log::warn!(
                        "session with {} lost: {error}; next attempt in {} ms",
                        self.session.config().portal,
                        retry_at.since(now).as_millis()
                    );
                    self.last_error = Some(error);
                }
                Event::Managed { function, outcome: Ok(()), .. } => {
                    log::warn!("{function} done; what it ended is issued again");
                }
                Event::Managed { function, outcome: Err(error), .. } => {
                    log::warn!("{function} failed: {error}");
                }
                Event::Ended(Some(error)) => {
                    log::error!("session with {} ended: {error}", self.session.config().portal);
                    self.last_error = Some(error);
                }
                Event::Ended(None) => log::info!("logged out"),
                Event::LoggedIn
                | Event::DataIn { .. }
                | Event::AsyncSense { .. }
                | Event::TargetFound
                | Event::DiscoveryEnded(_) => {}
            }
        }
    }

    /// Goes on to the other target once the first is given up; whether that happened now. A target
    /// that worked once is never left: another one's disk is another disk.
    fn turn_to_alternative(&mut self, now: Instant) -> bool {
        if self.alternative.is_none() {
            return false;
        }
        if self.session.has_worked() {
            self.alternative = None;
            return false;
        }
        if self.session.ended().is_none() || self.session.outstanding() != 0 {
            return false;
        }
        let Some(Alternative { config, boot_lun, give_up_at }) = self.alternative.take() else {
            return false;
        };
        log::warn!("turning to the alternative target at {}", config.portal);
        self.link.start_over();
        self.disks.start_over(boot_lun);
        self.session.start_over(config, now);
        self.session.give_up_at(give_up_at);
        true
    }

    /// Polls until one request is done.
    fn finish(
        &mut self,
        id: RequestId,
        mut lent: Lent<'_>,
        mut wait: impl FnMut(Option<Instant>) -> Instant,
    ) -> Result<(), BlockError> {
        let mut now = wait(Some(Instant::ZERO));
        loop {
            let next = self.step(now, &mut lent, Leave::WhenNothingMoves);
            if let Some(finished) = self.disks.take_completion_of(id) {
                return finished.outcome.map_err(BlockError::Failed);
            }
            now = wait(next);
        }
    }
}

/// When a step ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    /// When a round brought nothing: all that came is acknowledged, whenever the next step is.
    WhenNothingMoves,
    /// Also when a request was finished: the host has the next word, and it is soon.
    WhenSomethingIsDone,
}

/// Hands events to the disks, and read data to the buffers.
struct DiskReceiver<'r, 'l, B, const LUNS: usize, const REQUESTS: usize, const TASKS: usize> {
    disks: &'r mut Disks<B, LUNS, REQUESTS, TASKS>,
    lent: &'r mut Lent<'l>,
    now: Instant,
}

impl<B, const LUNS: usize, const REQUESTS: usize, const TASKS: usize> Receiver<TASKS>
    for DiskReceiver<'_, '_, B, LUNS, REQUESTS, TASKS>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    fn take(&mut self, session: &mut Session<TASKS>, event: Event<'_>) {
        match event {
            Event::DataIn { task, offset, bytes } => {
                self.disks.data_in(task, offset, bytes, self.lent);
            }
            Event::Completed { task, completion } => {
                self.disks.completed(self.now, task, completion, session.sense());
            }
            Event::LoggedIn => {
                self.disks.logged_in(session);
                log_login(session);
            }
            Event::AsyncSense { lun } => self.disks.reported(lun, session.sense()),
            Event::TargetFound
            | Event::DiscoveryEnded(_)
            | Event::Lost { .. }
            | Event::Managed { .. }
            | Event::Ended(_) => {}
        }
    }

    fn place(&mut self, placement: Placement) -> Option<&mut [u8]> {
        self.disks.place(placement.task, placement.offset, placement.length, self.lent)
    }
}

fn log_login<const TASKS: usize>(session: &Session<TASKS>) {
    if let Some(terms) = session.negotiated() {
        log::info!(
            "logged in to {}: header digest {}, data digest {}, immediate data {}, initial R2T {}, \
             segments {} in / {} out, bursts {} / {}",
            session.config().portal,
            terms.header_digest,
            terms.data_digest,
            terms.immediate_data,
            terms.initial_r2t,
            terms.max_recv_data_segment_length,
            terms.max_send_data_segment_length,
            terms.first_burst_length,
            terms.max_burst_length,
        );
    }
}
