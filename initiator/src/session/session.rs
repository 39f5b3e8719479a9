//! The session's state, its phases, and what its caller tells it.

use heapless::{Deque, Vec};

use super::config::SessionConfig;
use super::connection::Connection;
use super::error::{Error, LinkFailure, TaskError};
use super::event::{Event, LinkWanted, SubmitError};
use super::exchange::Text;
use super::function::Management;
use super::owed::Owed;
use super::portals::Portals;
use super::recovery::Recovery;
use super::task::{Command, OUTSTANDING_R2T_LIMIT, TaskState, TaskTable, TaskTag, Unwanted};
use super::window::CommandWindow;
use crate::login::{Digest, Login, LoginError, Negotiated, Redirection};
use crate::pdu::digest::Digests;
use crate::time::Instant;

/// Sense data kept of a CHECK CONDITION, in bytes (SPC-4 allows 252).
pub(super) const SENSE_LIMIT: usize = 252;
/// How often one command goes on the wire before it fails.
pub(super) const ISSUE_LIMIT: u8 = 8;

/// Where the session stands.
#[derive(Debug)]
pub(super) enum Phase {
    Connecting {
        deadline: Instant,
    },
    LoggingIn {
        tag: u32,
        request_due: bool,
        answered: bool,
        deadline: Instant,
    },
    FullFeature {
        negotiated: Negotiated,
    },
    /// `requested` is the tag of the Logout Request once it was begun.
    LoggingOut {
        negotiated: Negotiated,
        requested: Option<u32>,
        deadline: Instant,
        purpose: LogoutPurpose,
    },
    Waiting {
        until: Instant,
    },
    Ended(Option<Error>),
}

impl Phase {
    /// The terms in full feature phase, to be changed by a negotiation there.
    pub(super) fn negotiated_mut(&mut self) -> Option<&mut Negotiated> {
        match self {
            Self::FullFeature { negotiated } | Self::LoggingOut { negotiated, .. } => {
                Some(negotiated)
            }
            _ => None,
        }
    }
}

/// What a logout leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogoutPurpose {
    /// The end of the session.
    End,
    /// The next login, for this reason: commands wait for it.
    Return(Error),
}

/// An iSCSI session with room for `TASKS` commands at a time.
#[derive(Debug)]
pub struct Session<const TASKS: usize> {
    pub(super) config: SessionConfig,
    pub(super) portals: Portals,
    pub(super) phase: Phase,
    pub(super) login: Login,
    pub(super) connection: Connection,
    pub(super) window: CommandWindow,
    pub(super) tasks: TaskTable<TASKS>,
    /// Commands to be sent, in the order of their submission.
    pub(super) queued: Deque<u16, TASKS>,
    /// Tasks with R2Ts to answer.
    pub(super) soliciting: Deque<u16, TASKS>,
    pub(super) failed: Deque<(u16, TaskError), TASKS>,
    pub(super) notices: Deque<Event<'static>, 8>,
    pub(super) management: Management,
    pub(super) sense: Vec<u8, SENSE_LIMIT>,
    pub(super) recovery: Recovery,
    pub(super) text: Text,
    last_tag: u16,
    pub(super) next_scan: Instant,
}

impl<const TASKS: usize> Session<TASKS> {
    /// A session that wants to connect at once.
    #[must_use]
    pub fn new(config: SessionConfig, now: Instant) -> Self {
        let config = within_limits(config);
        Self {
            portals: Portals::new(config.portal),
            login: Login::new(),
            phase: Phase::Connecting { deadline: now.after(config.timeouts.connect) },
            connection: Connection::new(config.crc32c, now),
            window: CommandWindow::new(config.initial_cmd_sn),
            tasks: TaskTable::new(),
            queued: Deque::new(),
            soliciting: Deque::new(),
            failed: Deque::new(),
            notices: Deque::new(),
            management: Management::default(),
            sense: Vec::new(),
            recovery: Recovery::new(now),
            text: Text::default(),
            last_tag: 0,
            next_scan: now,
            config,
        }
    }

    /// Begins anew with another configuration, in the same place: a session with another target.
    /// Only after the end, and when all that ended with it was reported; otherwise nothing happens.
    pub fn start_over(&mut self, config: SessionConfig, now: Instant) {
        if !matches!(self.phase, Phase::Ended(_)) || self.tasks.len() != 0 {
            return;
        }
        self.config = within_limits(config);
        self.portals = Portals::new(self.config.portal);
        self.login.forget();
        self.connection = Connection::new(self.config.crc32c, now);
        self.recovery = Recovery::new(now);
        self.text = Text::default();
        self.phase = Phase::Connecting { deadline: now.after(self.config.timeouts.connect) };
    }

    /// Unless a command was completed by then, the session is given up at `at` instead of after
    /// the outage limit: for a caller that has another target to turn to.
    pub fn give_up_at(&mut self, at: Instant) {
        self.recovery.give_up_at(at);
    }

    /// Whether the target ever completed a command: then the session is worth coming back to.
    #[must_use]
    pub fn has_worked(&self) -> bool {
        self.recovery.ever_worked()
    }

    /// What the transport should do now. Ask after every other call.
    #[must_use]
    pub fn link(&self) -> LinkWanted {
        match self.phase {
            Phase::Connecting { .. } => LinkWanted::Connect(self.portals.present()),
            Phase::LoggingIn { .. } | Phase::FullFeature { .. } | Phase::LoggingOut { .. } => {
                LinkWanted::Keep
            }
            Phase::Waiting { .. } | Phase::Ended(_) => LinkWanted::Close,
        }
    }

    /// The transport connected to the portal of [`LinkWanted::Connect`]: login starts.
    ///
    /// `entropy` is for the CHAP challenge of mutual authentication; without it such a login
    /// is refused. Fresh with each call.
    pub fn link_up(&mut self, now: Instant, entropy: Option<&[u8; 32]>) {
        if !matches!(self.phase, Phase::Connecting { .. }) {
            return;
        }
        self.connection = Connection::new(self.config.crc32c, now);
        self.window = CommandWindow::new(self.config.initial_cmd_sn);
        match self.login.begin(&self.config.login, entropy) {
            Ok(()) => {
                let deadline = now.after(self.config.timeouts.login);
                let tag = self.control_tag();
                self.phase = Phase::LoggingIn { tag, request_due: true, answered: false, deadline };
            }
            Err(error) => self.lose(now, Error::Login(error)),
        }
    }

    /// The transport lost the connection, or could not make it.
    pub fn link_down(&mut self, now: Instant, why: LinkFailure) {
        match self.phase {
            Phase::Waiting { .. } | Phase::Ended(_) => {}
            _ => self.lose(now, Error::Link(why)),
        }
    }

    /// Takes a command; it is sent when the window allows, and again after a lost connection.
    /// The outage limit counts from `since`: now, or when the caller itself was asked.
    ///
    /// # Errors
    /// [`SubmitError::Busy`] with all slots in use, [`SubmitError::Ended`] after the end, and in a
    /// Discovery session.
    pub fn submit(&mut self, since: Instant, command: Command) -> Result<TaskTag, SubmitError> {
        let ends = matches!(
            self.phase,
            Phase::Ended(_) | Phase::LoggingOut { purpose: LogoutPurpose::End, .. }
        );
        if ends || self.is_discovery() {
            return Err(SubmitError::Ended);
        }
        let tag = self.tasks.insert(command, since).ok_or(SubmitError::Busy)?;
        let expires = self.recovery.expires(since, self.config.timeouts.outage);
        self.next_scan = self.next_scan.min(expires);
        // As long as the table: it cannot be full.
        let _ = self.queued.push_back(tag.index);
        Ok(tag)
    }

    /// The terms of the present session, in full feature phase.
    #[must_use]
    pub fn negotiated(&self) -> Option<&Negotiated> {
        match &self.phase {
            Phase::FullFeature { negotiated } | Phase::LoggingOut { negotiated, .. } => {
                Some(negotiated)
            }
            _ => None,
        }
    }

    /// Sense data of the command whose completion was reported last.
    #[must_use]
    pub fn sense(&self) -> &[u8] {
        &self.sense
    }

    /// Why the session ended, when it has: `Some(None)` after a confirmed logout.
    #[must_use]
    pub fn ended(&self) -> Option<Option<Error>> {
        match self.phase {
            Phase::Ended(error) => Some(error),
            _ => None,
        }
    }

    /// Commands submitted and not yet reported as completed.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.tasks.len()
    }

    /// What the target sends before it wants anything more from us, unless something fails; nothing
    /// while a command waits to be asked for its data, nor in the middle of a header. Who sleeps
    /// meanwhile need not wake up for the first byte.
    #[must_use]
    pub fn owed(&self) -> Owed {
        let rest = self.connection.framer.rest();
        rest.map_or(Owed::default(), |rest| self.connection.ledger.with_rest(rest))
    }

    /// What the session was made with.
    #[must_use]
    pub fn config(&self) -> &SessionConfig {
        &self.config
    }

    /// A tag for a request that is no task: the index lies above every task's.
    pub(super) fn control_tag(&mut self) -> u32 {
        self.last_tag = self.last_tag.wrapping_add(1);
        u32::from(self.last_tag) << 16 | u32::from(TaskTable::<TASKS>::INDEX_LIMIT)
    }

    /// Ends a task without a status; [`poll`](Self::poll) reports it.
    pub(super) fn fail(&mut self, index: u16, error: TaskError) {
        if let Some(task) = self.tasks.at_mut(index)
            && task.state != TaskState::Failed
        {
            self.connection.ledger.ended(task);
            task.state = TaskState::Failed;
            task.bursts.clear();
            let _ = self.failed.push_back((index, error));
        }
    }

    /// Full feature phase begins: commands flow from here on.
    pub(super) fn logged_in(&mut self, now: Instant, negotiated: Negotiated) {
        self.connection.framer.set_limit(negotiated.max_recv_data_segment_length);
        let digests = Digests {
            header: negotiated.header_digest == Digest::Crc32c,
            data: negotiated.data_digest == Digest::Crc32c,
        };
        self.connection.framer.set_digests(digests);
        self.connection.serializer.set_digests(digests);
        self.connection.ledger.agreed(&negotiated, digests);
        self.portals.logged_in();
        self.next_scan = Instant::ZERO;
        self.release_all();
        self.phase = Phase::FullFeature { negotiated };
        self.open_exchange(now);
    }

    /// The target said where else to log in (RFC 7143 §11.13.5): connect there at once. A
    /// temporary move holds until the session that it leads to is lost.
    pub(super) fn redirected(&mut self, now: Instant, redirection: &Redirection) {
        match self.portals.follow(redirection) {
            Ok(()) => self.phase = Phase::Waiting { until: now },
            Err(error) => self.lose(now, error),
        }
    }

    /// Puts a sent command back in the queue for another issue, or fails it when it had enough.
    pub(super) fn issue_again(&mut self, index: u16) {
        let Some(task) = self.tasks.at_mut(index) else { return };
        self.connection.ledger.ended(task);
        task.rewind();
        task.state = TaskState::Queued;
        if task.unwanted != Unwanted::No {
            self.fail(index, TaskError::Aborted);
        } else if !task.command.idempotent {
            self.fail(index, TaskError::OutcomeUnknown);
        } else if task.issues >= ISSUE_LIMIT {
            self.fail(index, TaskError::RetriesExhausted);
        } else {
            let _ = self.queued.push_back(index);
        }
    }

    /// The connection is gone: decides whether and when to try again.
    pub(super) fn lose(&mut self, now: Instant, why: Error) {
        let (error, time2wait) = match &self.phase {
            Phase::LoggingOut { purpose: LogoutPurpose::End, .. } => {
                self.end((!self.is_logout_obeyed(why)).then_some(why));
                return;
            }
            // RFC 7143 §7.5.2: what was announced, else the default.
            Phase::LoggingOut { negotiated, purpose: LogoutPurpose::Return(asked), .. } => {
                (*asked, Some(self.connection.wait_before_login(negotiated)))
            }
            Phase::FullFeature { negotiated } => {
                (why, Some(self.connection.wait_before_login(negotiated)))
            }
            _ => (why, None),
        };
        if !self.may_ask_again() {
            self.give_up_discovery(error);
            if self.is_discovery() {
                self.end(Some(error));
                return;
            }
        }
        // A target that comes back half configured refuses at first what it allowed before: a
        // host that runs from this disk had better ask again. Failed authentication stays final.
        let may_pass = self.recovery.ever_worked() && !failed_authentication(error);
        if error.is_permanent() && !may_pass {
            self.end(Some(error));
            return;
        }
        self.connection = Connection::new(self.config.crc32c, now);
        self.lose_management();
        self.requeue_sent();
        self.portals.lost();
        let retry_at = match time2wait {
            Some(time2wait) => self.recovery.lost(now, time2wait),
            None => self.recovery.failed(now),
        };
        if self.recovery.is_hopeless(now, self.config.timeouts.outage) {
            self.end(Some(error));
            return;
        }
        self.phase = Phase::Waiting { until: retry_at };
        self.next_scan = now;
        self.notify(Event::Lost { error, retry_at });
    }

    /// The session is over.
    pub(super) fn end(&mut self, error: Option<Error>) {
        self.phase = Phase::Ended(error);
        if let Some(error) = error {
            self.give_up_discovery(error);
        }
        // Nothing of the old connection is sent any more, not even the rest of a PDU.
        self.connection = Connection::new(self.config.crc32c, self.connection.last_heard);
        self.management.forget();
        self.queued.clear();
        self.soliciting.clear();
        self.tasks.forget_connection();
        for index in (0u16..).take(TASKS) {
            self.fail(index, TaskError::SessionEnded);
        }
        self.notify(Event::Ended(error));
    }

    pub(super) fn notify(&mut self, event: Event<'static>) {
        if self.notices.is_full() {
            // The oldest news is the least useful.
            let _ = self.notices.pop_front();
        }
        let _ = self.notices.push_back(event);
    }

    /// Everything on the wire goes back to the queue.
    fn requeue_sent(&mut self) {
        self.soliciting.clear();
        self.tasks.forget_connection();
        let sent = self.tasks.indices(|_, task| task.state == TaskState::Sent);
        self.requeue(&sent);
    }

    /// These tasks that were sent go back to the queue, ahead of what was never sent, in the order
    /// of their CmdSN: the target sees the same order again.
    pub(super) fn requeue(&mut self, sent: &[u16]) {
        let mut unsent: Deque<u16, TASKS> = Deque::new();
        core::mem::swap(&mut unsent, &mut self.queued);
        // Each time the earliest of those left: issued again, it is not on the wire any more.
        for _ in 0..sent.len() {
            let left = sent.iter().filter_map(|&index| Some((index, self.tasks.at(index)?)));
            let earliest = left
                .filter(|(_, task)| task.state == TaskState::Sent)
                .reduce(|a, b| if b.1.cmd_sn.is_before(a.1.cmd_sn) { b } else { a });
            let Some((index, _)) = earliest else { break };
            self.issue_again(index);
        }
        for index in unsent {
            let _ = self.queued.push_back(index);
        }
    }
}

/// No more R2Ts of a command are announced than there is room for.
fn within_limits(mut config: SessionConfig) -> SessionConfig {
    let r2ts = &mut config.login.offer.max_outstanding_r2t;
    *r2ts = (*r2ts).min(OUTSTANDING_R2T_LIMIT as u16);
    config
}

/// Whether one side did not believe the other's identity: to insist would only give more
/// responses away, and can lock an account (RFC 7143 §9.2.1, §11.13.5).
fn failed_authentication(error: Error) -> bool {
    matches!(
        error,
        Error::Login(LoginError::AuthFailed(_) | LoginError::Rejected { class: 2, detail: 1 })
    )
}
