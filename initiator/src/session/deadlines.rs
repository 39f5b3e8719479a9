//! The passing of time: every wait has its bound here.

use super::connection::Control;
use super::error::{Error, TaskError, Waiting};
use super::event::{Completion, Event};
use super::session::{Phase, Session};
use super::task::TaskState;
use crate::keep::keep;
use crate::time::Instant;

impl<const TASKS: usize> Session<TASKS> {
    /// Lets time pass and reports what no received byte caused. Call until `None`, after
    /// [`receive`](Self::receive) has taken what was there.
    pub fn poll(&mut self, now: Instant) -> Option<Event<'static>> {
        self.check_deadlines(now);
        if let Some((index, error)) = self.failed.pop_front() {
            let task = self.tasks.tag(index)?;
            self.tasks.remove(index);
            return Some(Event::Completed { task, completion: Completion::Failed(error) });
        }
        self.notices.pop_front()
    }

    /// When [`poll`](Self::poll) wants to be called next even if nothing arrives.
    #[must_use]
    pub fn poll_at(&self) -> Option<Instant> {
        if !self.failed.is_empty() || !self.notices.is_empty() {
            return Some(Instant::ZERO);
        }
        let phase = match &self.phase {
            Phase::Connecting { deadline }
            | Phase::LoggingIn { deadline, .. }
            | Phase::LoggingOut { deadline, .. } => Some(*deadline),
            Phase::FullFeature { .. } => {
                let postponed = self.connection.postponed.front().map(|(due, _)| *due);
                let (pulse, pdu) = (self.pulse_deadline(), self.pdu_deadline());
                let others = [self.text_deadline(), self.management.wake_at(), postponed];
                [pulse, pdu].into_iter().chain(others).flatten().min()
            }
            Phase::Waiting { until } => Some(*until),
            Phase::Ended(_) => return None,
        };
        let scan = self.wants_scan().then_some(self.next_scan);
        [phase, scan].into_iter().flatten().min()
    }

    fn check_deadlines(&mut self, now: Instant) {
        let timeouts = self.config.timeouts;
        match &self.phase {
            Phase::Connecting { deadline } if now >= *deadline => {
                self.lose(now, Error::Timeout(Waiting::Connect));
            }
            Phase::LoggingIn { deadline, .. } if now >= *deadline => {
                self.lose(now, Error::Timeout(Waiting::Login));
            }
            Phase::LoggingOut { deadline, .. } if now >= *deadline => {
                self.lose(now, Error::Timeout(Waiting::Logout));
            }
            Phase::Waiting { until } if now >= *until => {
                self.phase = Phase::Connecting { deadline: now.after(timeouts.connect) };
            }
            Phase::FullFeature { .. } => {
                self.check_pulse(now);
                self.check_pdu(now);
                self.check_postponed(now);
                self.check_management(now);
                self.check_text(now);
            }
            _ => {}
        }
        if now >= self.next_scan && self.wants_scan() {
            self.check_tasks(now);
        }
    }

    /// Whether there is anything to look at.
    fn wants_scan(&self) -> bool {
        self.tasks.len() > 0 || self.management.is_wanted()
    }

    /// When to ping the target, or to give it up. There is no NOP-Out in a Discovery session
    /// (RFC 7143 §4.3).
    fn pulse_deadline(&self) -> Option<Instant> {
        let interval = self.config.timeouts.ping_interval;
        match self.connection.ping {
            Some((_, sent_at)) => Some(self.ping_deadline(sent_at)),
            None if self.is_discovery() => None,
            None => Some(self.connection.last_heard.after(interval)),
        }
    }

    /// Pings a silent target; gives it up when it stays silent (RFC 7143 §7.14).
    fn check_pulse(&mut self, now: Instant) {
        if self.pulse_deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        if self.connection.ping.is_some() {
            self.lose(now, Error::Timeout(Waiting::Ping));
            return;
        }
        let tag = self.control_tag();
        self.connection.ping = Some((tag, now));
        // Full when the target takes nothing: then the ping goes unanswered rightly.
        let _ = self.connection.control.push_back(Control::Ping { tag });
    }

    /// A PDU that comes a byte at a time is as good as silence, and never silent.
    fn check_pdu(&mut self, now: Instant) {
        if self.pdu_deadline().is_some_and(|deadline| now >= deadline) {
            self.lose(now, Error::Timeout(Waiting::Pdu));
        }
    }

    fn pdu_deadline(&self) -> Option<Instant> {
        self.connection.pdu_since.map(|since| since.after(self.config.timeouts.pdu))
    }

    /// Whatever is heard meanwhile is a sign of life too: the answer may stand behind it.
    fn ping_deadline(&self, sent_at: Instant) -> Instant {
        self.connection.last_heard.max(sent_at).after(self.config.timeouts.ping)
    }

    /// Looks at every task's time-out: the command time-out of those sent; without any of these,
    /// the outage limit of those that wait for a session or for its window. One task at a time is
    /// seen to; the end of that brings the next scan.
    fn check_tasks(&mut self, now: Instant) {
        let timeouts = self.config.timeouts;
        let up = matches!(self.phase, Phase::FullFeature { .. });
        let mut next = now.after(timeouts.command.min(timeouts.outage));
        // While logging out the end of that bounds them all.
        let watched = up && !self.management.is_active();
        let mut sent = false;
        let mut overdue: Option<(Instant, u16)> = None;
        for (index, task) in self.tasks.in_use().filter(|(_, task)| task.state == TaskState::Sent) {
            sent = true;
            let deadline = task.sent_at.after(timeouts.command);
            if watched && now >= deadline {
                overdue = Some(overdue.unwrap_or((deadline, index)).min((deadline, index)));
            } else if watched {
                next = next.min(deadline);
            }
        }
        let mut expired = false;
        if !sent {
            for index in (0u16..).take(TASKS) {
                let Some(task) = self.tasks.at(index) else { continue };
                if task.state != TaskState::Queued {
                    continue;
                }
                let deadline = self.recovery.expires(task.submitted_at, timeouts.outage);
                if now >= deadline {
                    expired = true;
                    self.fail(index, TaskError::Outage);
                } else {
                    next = next.min(deadline);
                }
            }
        }
        if expired {
            let tasks = &self.tasks;
            let waits = |index| tasks.at(index).is_some_and(|task| task.state == TaskState::Queued);
            keep(&mut self.queued, |&index| waits(index));
        }
        self.next_scan = next;
        if up && expired {
            self.lose(now, Error::Timeout(Waiting::Window));
        } else if watched {
            self.begin_wanted(now);
            if let Some((_, index)) = overdue
                && !self.management.is_active()
            {
                self.escalate(now, index);
            }
        }
    }
}
