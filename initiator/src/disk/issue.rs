//! Giving the session the commands that are due, and what becomes of a part of a request when its
//! command ended.

use super::disks::Disks;
use super::pieces::is_flush;
use super::request::RequestError;
use super::slot::{Owner, Piece};
use super::unit::{Trust, Unit};
use super::verdict::{Repeat, Verdict};
use crate::pdu::response::Residual;
use crate::session::{Session, SubmitError, TaskError};
use crate::time::Instant;

/// Why a command was not given to the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// All its task slots are in use.
    Busy,
    /// And never will be.
    Never(RequestError),
}

impl<B, const LUNS: usize, const REQUESTS: usize, const TASKS: usize>
    Disks<B, LUNS, REQUESTS, TASKS>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    /// Gives the session what was put off and is due.
    pub(super) fn issue_again(&mut self, now: Instant, session: &mut Session<TASKS>) {
        let ended = session.ended().is_some();
        for _ in 0..self.again.len() {
            let Some((piece, due)) = self.again.pop_front() else { break };
            let waits = !ended
                && (due > now
                    || self.in_flight >= self.depth
                    || !self.may_issue(session, piece.slot, Unit::has_room_again));
            if waits {
                let _ = self.again.push_back((piece, due));
                continue;
            }
            let issued = self.issue(session, piece);
            if issued == Err(Refusal::Busy) {
                let _ = self.again.push_back((piece, due));
                continue;
            }
            if let Some(unit) = self.unit_of(piece.slot) {
                unit.waiting = unit.waiting.saturating_sub(1);
            }
            if let Err(Refusal::Never(error)) = issued {
                self.piece_ended(piece.slot, Err(error));
            }
        }
    }

    /// Gives the session parts of requests that no command has taken yet.
    pub(super) fn issue_more(&mut self, session: &mut Session<TASKS>) {
        let ended = session.ended().is_some();
        // Requests in a row whose units take no more, or whose blocks are others' first.
        let mut waiting = 0;
        while waiting < self.issuing.len() && (self.has_room() || ended) {
            let Some(&index) = self.issuing.front() else { break };
            let next = self.next_piece(index);
            let waits = next.is_some()
                && !ended
                && (self.waits_for_another(index)
                    || !self.may_issue(session, index, Unit::has_room));
            if waits {
                let _ = self.issuing.pop_front();
                let _ = self.issuing.push_back(index);
                waiting = waiting.saturating_add(1);
                continue;
            }
            let issued = next.map(|piece| self.issue(session, piece).map(|()| piece.length));
            if issued == Some(Err(Refusal::Busy)) {
                break;
            }
            waiting = 0;
            let _ = self.issuing.pop_front();
            let Some(slot) = self.slots.get_mut(usize::from(index)) else { continue };
            match issued {
                Some(Ok(length)) => {
                    slot.issued = slot.issued.saturating_add(u64::from(length));
                    slot.outstanding = slot.outstanding.saturating_add(1);
                    slot.single_due = false;
                }
                Some(Err(Refusal::Never(error))) => slot.outcome = Err(error),
                // Another part failed already.
                Some(Err(Refusal::Busy)) | None => {}
            }
            slot.is_issuing = slot.has_more_to_issue();
            if slot.is_issuing {
                let _ = self.issuing.push_back(index);
            } else {
                self.settle(index);
            }
        }
    }

    /// Whether another part of a request may go: those to be issued again have their place.
    fn has_room(&self) -> bool {
        self.in_flight < self.depth && self.in_flight.saturating_add(self.again.len()) < Self::MOST
    }

    /// Whether a slot's unit may have a command now. One in doubt is looked at first, but not
    /// while there is no session: then commands wait in the session, which counts the time.
    pub(super) fn may_issue(
        &mut self,
        session: &Session<TASKS>,
        slot: u16,
        has_room: fn(&Unit) -> bool,
    ) -> bool {
        let Some(unit) = self.unit_of(slot) else { return true };
        if unit.trust == Trust::Suspect && session.negotiated().is_some() {
            unit.is_wanted = true;
            self.any_is_wanted = true;
            return false;
        }
        has_room(unit)
    }

    /// Gives one command to the session.
    fn issue(&mut self, session: &mut Session<TASKS>, piece: Piece) -> Result<(), Refusal> {
        match self.unit_of(piece.slot).map(|unit| unit.trust) {
            Some(Trust::Other) => return Err(Refusal::Never(RequestError::OtherUnit)),
            Some(Trust::Gone) => {
                return Err(Refusal::Never(RequestError::Task(TaskError::NoSuchLogicalUnit)));
            }
            Some(Trust::Known | Trust::Suspect) | None => {}
        }
        let command = match self.command_for(piece) {
            Some(command) if self.is_within(piece) => command,
            _ => return Err(Refusal::Never(RequestError::OutOfRange)),
        };
        let slot = self.slots.get(usize::from(piece.slot));
        let since = slot.map_or(self.advanced_at, |slot| slot.submitted_at);
        let tag = session.submit(since, command).map_err(|error| match error {
            SubmitError::Busy => Refusal::Busy,
            SubmitError::Ended => Refusal::Never(RequestError::SessionEnded),
        })?;
        if let Some(owner) = self.owners.get_mut(tag.index()) {
            *owner = Owner::Request(tag, piece);
        }
        self.in_flight = self.in_flight.saturating_add(1);
        if let Some(unit) = self.unit_of(piece.slot) {
            unit.in_flight = unit.in_flight.saturating_add(1);
        }
        Ok(())
    }

    /// The session has a part's command no more.
    pub(super) fn landed(&mut self, piece: Piece) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(unit) = self.unit_of(piece.slot) {
            unit.in_flight = unit.in_flight.saturating_sub(1);
        }
    }

    pub(super) fn piece_completed(&mut self, now: Instant, mut piece: Piece, verdict: Verdict) {
        let unwanted = self.slots.get(usize::from(piece.slot)).is_some_and(|slot| slot.unwanted);
        if let Verdict::Again { news, .. } = verdict {
            let disk = self.slots.get(usize::from(piece.slot)).map(|slot| slot.disk);
            self.heed(disk, news);
        }
        if let Some(piece) = self.in_long_form(piece, &verdict) {
            log::info!("a disk does not know a 10-byte command: the 16-byte form is used instead");
            return self.put_off(piece, now);
        }
        match self.settled_verdict(piece, verdict) {
            Verdict::Again { .. } if unwanted => {
                self.piece_ended(piece.slot, Err(RequestError::Task(TaskError::Aborted)));
            }
            Verdict::Good(Residual::Underflow(1..)) => {
                self.piece_ended(piece.slot, Err(RequestError::Short));
            }
            Verdict::Good(Residual::Overflow(1..)) => {
                self.piece_ended(piece.slot, Err(RequestError::Long));
            }
            Verdict::Good(_) => self.piece_did_well(piece),
            Verdict::Again { repeat, error, .. } => match self.again_at(now, &mut piece, repeat) {
                Some(due) => self.put_off(piece, due),
                None => self.piece_ended(piece.slot, Err(error)),
            },
            Verdict::Failed(error) => self.piece_ended(piece.slot, Err(error)),
        }
    }

    fn piece_did_well(&mut self, piece: Piece) {
        let slot = self.slots.get(usize::from(piece.slot));
        let is_flush = slot.is_some_and(|slot| is_flush(slot, piece));
        let mut outcome = Ok(());
        if let Some(unit) = self.unit_of(piece.slot) {
            unit.did_well();
            if is_flush && let Some(error) = unit.deferred.take() {
                outcome = Err(error);
            }
        }
        self.piece_ended(piece.slot, outcome);
    }

    /// When a part may be issued again, if it may.
    fn again_at(&mut self, now: Instant, piece: &mut Piece, repeat: Repeat) -> Option<Instant> {
        let unit = self.unit_of(piece.slot)?;
        match repeat {
            Repeat::WithFewer => {
                unit.is_full();
                if unit.in_flight > 0 {
                    return piece.patience.again_after_another(now);
                }
            }
            Repeat::WhenStarted => unit.wants_start = true,
            _ => {}
        }
        piece.patience.again(now, repeat)
    }

    fn put_off(&mut self, piece: Piece, due: Instant) {
        // With those in flight at most `MOST` entries: it cannot be full.
        let _ = self.again.push_back((piece, due));
        if let Some(unit) = self.unit_of(piece.slot) {
            unit.waiting = unit.waiting.saturating_add(1);
        }
    }

    pub(super) fn piece_ended(&mut self, index: u16, outcome: Result<(), RequestError>) {
        let Some(slot) = self.slots.get_mut(usize::from(index)) else { return };
        slot.outstanding = slot.outstanding.saturating_sub(1);
        if slot.outcome.is_ok() {
            slot.outcome = outcome;
        }
        self.settle(index);
    }
}
