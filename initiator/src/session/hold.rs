//! Commands kept back after a session was renewed, until it is known that the same unit answers.
//!
//! A renewed session sends again what the lost one had outstanding. A write that goes to another
//! unit, now at the same number, would destroy that unit's data. Only the caller can tell units
//! apart, so it holds back what it cannot vouch for when it hears
//! [`Event::LoggedIn`](super::Event::LoggedIn): nothing was sent by then. What is held keeps its
//! place in the queue, its count of issues and its outage clock.

use super::session::Session;
use super::task::{Task, TaskState, TaskTag};

impl<const TASKS: usize> Session<TASKS> {
    /// Keeps a command back until [`release`](Self::release), or until the session is lost. A
    /// command that is on the wire, or done, is not affected.
    pub fn hold(&mut self, tag: TaskTag) {
        if let Some(task) = self.unsent_mut(tag) {
            task.is_held = true;
        }
    }

    /// Lets a command go that was held.
    pub fn release(&mut self, tag: TaskTag) {
        if let Some(task) = self.unsent_mut(tag) {
            task.is_held = false;
        }
    }

    /// Takes back a command that is held; whether it was. Its completion is not reported.
    pub fn withdraw(&mut self, tag: TaskTag) -> bool {
        let is_held = self.unsent_mut(tag).is_some_and(|task| task.is_held);
        if is_held {
            crate::keep::keep(&mut self.queued, |&index| index != tag.index);
            self.tasks.remove(tag.index);
        }
        is_held
    }

    /// Nothing is held in a session that just began.
    pub(super) fn release_all(&mut self) {
        for index in (0u16..).take(TASKS) {
            if let Some(task) = self.tasks.at_mut(index) {
                task.is_held = false;
            }
        }
    }

    /// The first command that may be sent.
    pub(super) fn next_queued(&self) -> Option<u16> {
        let is_held = |index| self.tasks.at(index).is_some_and(|task| task.is_held);
        self.queued.iter().copied().find(|&index| !is_held(index))
    }

    fn unsent_mut(&mut self, tag: TaskTag) -> Option<&mut Task> {
        if self.tasks.tag(tag.index) != Some(tag) {
            return None;
        }
        self.tasks.at_mut(tag.index).filter(|task| task.state == TaskState::Queued)
    }
}
