//! All disks of a session and the requests under way: owned buffers in slots, split into
//! commands, handed back when done.

use heapless::Deque;

use super::bring_up::{BringUp, BringUpState};
use super::disk::{Disk, DiskId};
use super::fault::NoBootDisk;
use super::notice::{Notice, Notices};
use super::pieces::TransferLimit;
use super::request::{
    Finished, Lent, Rejected, RequestError, RequestId, RequestKind, SubmitRequestError,
};
use super::slot::{Buffer, Owner, Piece, Slot, range};
use super::unit::{Trust, Unit};
use super::verdict::{News, judge, news_of};
use crate::keep::{drop_item, keep};
use crate::scsi::lun::LogicalUnitNumber;
use crate::scsi::sense::Sense;
use crate::session::{Completion, Session, TaskError, TaskTag};
use crate::time::{Duration, Instant};

/// All disks of a session, and the requests under way.
///
/// `B` is the hosting kernel's buffer type; up to `LUNS` disks, `REQUESTS` requests and the
/// session's `TASKS` commands at a time.
#[derive(Debug)]
pub struct Disks<B, const LUNS: usize, const REQUESTS: usize, const TASKS: usize> {
    bring_up: BringUp<LUNS>,
    /// One for each disk.
    pub(super) units: [Unit; LUNS],
    /// Whether a unit may be wanted: without that none of them is looked at.
    pub(super) any_is_wanted: bool,
    pub(super) notices: Notices,
    rescan_due: bool,
    pub(super) slots: [Slot<B>; REQUESTS],
    /// Slots in use whose requests do more than read.
    pub(super) changing: u16,
    /// Requests taken so far.
    taken: u64,
    pub(super) free: Deque<u16, REQUESTS>,
    /// Slots with parts that no command has taken yet, served in turn.
    pub(super) issuing: Deque<u16, REQUESTS>,
    /// How many at the end of `issuing` came since the last call of `advance`.
    unseen: usize,
    done: Deque<u16, REQUESTS>,
    /// Pieces to be issued again, and when. With those in flight at most `MOST`.
    pub(super) again: Deque<(Piece, Instant), TASKS>,
    pub(super) owners: [Owner; TASKS],
    /// Commands of requests that may be outstanding at a time, and that are.
    pub(super) depth: usize,
    pub(super) in_flight: usize,
    pub(super) advanced_at: Instant,
    pub(super) transfer_limit: TransferLimit,
}

impl<B, const LUNS: usize, const REQUESTS: usize, const TASKS: usize>
    Disks<B, LUNS, REQUESTS, TASKS>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    /// No disks yet: [`advance`](Self::advance) finds them once the session is logged in.
    ///
    /// `boot_lun` is looked at even when the target does not report it. At most `depth` commands
    /// of requests are outstanding at a time (1 to `TASKS` - 1: one is kept for looking at
    /// units), each moving no more than `transfer_limit`. A unit that is not ready is waited for up to
    /// `ready_timeout`.
    #[must_use]
    pub fn new(
        boot_lun: LogicalUnitNumber,
        depth: usize,
        transfer_limit: TransferLimit,
        ready_timeout: Duration,
    ) -> Self {
        const { assert!(REQUESTS > 0 && REQUESTS < 0xffff && LUNS > 0 && LUNS < 0xffff) }
        const { assert!(TASKS > 1) }
        let mut free = Deque::new();
        for slot in (0u16..).take(REQUESTS) {
            // As long as the array: it cannot be full.
            let _ = free.push_back(slot);
        }
        Self {
            bring_up: BringUp::new(boot_lun, ready_timeout),
            units: [Unit::NEW; LUNS],
            any_is_wanted: false,
            notices: Notices::new(),
            rescan_due: false,
            slots: [const { Slot::EMPTY }; REQUESTS],
            changing: 0,
            taken: 0,
            free,
            issuing: Deque::new(),
            unseen: 0,
            done: Deque::new(),
            again: Deque::new(),
            owners: [Owner::Nobody; TASKS],
            depth: depth.clamp(1, Self::MOST),
            in_flight: 0,
            advanced_at: Instant::ZERO,
            transfer_limit,
        }
    }

    /// Looks for the disks from the beginning, with a session that started over at another
    /// target; for as long as none was found.
    pub fn start_over(&mut self, boot_lun: LogicalUnitNumber) {
        self.bring_up.start_over(boot_lun);
    }

    /// Commands of requests that the session, and the queue of those to be issued again, hold.
    pub(super) const MOST: usize = TASKS.saturating_sub(1);

    /// The disks found so far; a [`DiskId`] counts from the first.
    #[must_use]
    pub fn list(&self) -> &[Disk] {
        self.bring_up.disks()
    }

    /// One disk.
    #[must_use]
    pub fn disk(&self, id: DiskId) -> Option<&Disk> {
        self.list().get(usize::from(id.0))
    }

    /// The boot LUN, in the target's form once that is known.
    #[must_use]
    pub fn boot_lun(&self) -> LogicalUnitNumber {
        self.bring_up.boot_lun()
    }

    /// The disk of the boot LUN, or why there is none.
    ///
    /// # Errors
    /// [`NoBootDisk`] says what the unit answered, and which units there are.
    pub fn boot_disk(&self) -> Result<DiskId, NoBootDisk<'_>> {
        self.bring_up.boot_disk()
    }

    /// How far the search for disks has come.
    #[must_use]
    pub fn state(&self) -> BringUpState {
        if self.rescan_due { BringUpState::Working } else { self.bring_up.state() }
    }

    /// Requests taken and not yet handed back.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        REQUESTS.saturating_sub(self.free.len())
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
        self.submit_owned(RequestKind::Read, disk, lba, buffer)
    }

    /// Writes `buffer` to block `lba` and on. It comes back once the unit acknowledged all of it.
    ///
    /// Requests for the same blocks are carried out in the order of their submission, whatever has
    /// to be issued again meanwhile.
    ///
    /// # Errors
    /// [`Rejected`] returns the buffer and says why.
    pub fn submit_write(
        &mut self,
        disk: DiskId,
        lba: u64,
        buffer: B,
    ) -> Result<RequestId, Rejected<B>> {
        self.submit_owned(RequestKind::Write, disk, lba, buffer)
    }

    /// As [`submit_write`](Self::submit_write), and durable when it is done: by the FUA bit, or by a
    /// flush where the unit does not obey it.
    ///
    /// # Errors
    /// [`Rejected`] returns the buffer and says why.
    pub fn submit_write_through(
        &mut self,
        disk: DiskId,
        lba: u64,
        buffer: B,
    ) -> Result<RequestId, Rejected<B>> {
        self.submit_owned(RequestKind::WriteThrough, disk, lba, buffer)
    }

    /// Makes everything acknowledged so far durable.
    ///
    /// # Errors
    /// Says why it was not taken.
    pub fn submit_flush(&mut self, disk: DiskId) -> Result<RequestId, SubmitRequestError> {
        self.present(disk)?;
        let index = self.free.pop_front().ok_or(SubmitRequestError::Busy)?;
        Ok(self.occupy(index, RequestKind::Flush, disk, 0, 0, Buffer::None))
    }

    /// A read or write whose buffer is lent at each step instead of moved in.
    ///
    /// # Errors
    /// Says why it was not taken.
    pub fn submit_lent(
        &mut self,
        kind: RequestKind,
        disk: DiskId,
        lba: u64,
        length: usize,
    ) -> Result<RequestId, SubmitRequestError> {
        let length = self.check(kind, disk, lba, length)?;
        let index = self.free.pop_front().ok_or(SubmitRequestError::Busy)?;
        Ok(self.occupy(index, kind, disk, lba, length, Buffer::Lent))
    }

    /// Requests that are done and wait to be taken.
    #[must_use]
    pub fn finished(&self) -> usize {
        self.done.len()
    }

    /// The next request that is done.
    pub fn take_completion(&mut self) -> Option<Finished<B>> {
        let index = self.done.pop_front()?;
        self.vacate(index)
    }

    /// One request, once it is done; other completions stay where they are.
    pub fn take_completion_of(&mut self, id: RequestId) -> Option<Finished<B>> {
        let slot = self.slots.get(usize::from(id.slot))?;
        if slot.generation != id.generation || !self.done.iter().any(|&done| done == id.slot) {
            return None;
        }
        drop_item(&mut self.done, &id.slot);
        self.vacate(id.slot)
    }

    /// Ends a request: what no command has taken of it is dropped, its commands are aborted at the
    /// target ([`Session::abort`]). Its completion comes as always, with [`TaskError::Aborted`]
    /// unless all of it was done before.
    ///
    /// A request that is done already changes nothing.
    pub fn abort(&mut self, request: RequestId, session: &mut Session<TASKS>) {
        let index = request.slot;
        let idle = self.free.iter().chain(&self.done).any(|&other| other == index);
        let Some(slot) = self.slots.get_mut(usize::from(index)) else { return };
        if slot.generation != request.generation || idle {
            return;
        }
        slot.unwanted = true;
        let waiting = self.again.len();
        keep(&mut self.again, |(piece, _)| piece.slot != index);
        let dropped = waiting.saturating_sub(self.again.len());
        let dropped = u16::try_from(dropped).unwrap_or(u16::MAX);
        slot.outstanding = slot.outstanding.saturating_sub(dropped);
        if let Some(unit) = self.units.get_mut(usize::from(slot.disk.0)) {
            unit.waiting = unit.waiting.saturating_sub(dropped);
        }
        if slot.outcome.is_ok() && (dropped > 0 || slot.has_more_to_issue()) {
            slot.outcome = Err(RequestError::Task(TaskError::Aborted));
        }
        slot.is_issuing = false;
        if let Some(place) = self.issuing.iter().position(|&other| other == index) {
            let seen = self.issuing.len().saturating_sub(self.unseen);
            self.unseen = self.unseen.saturating_sub(usize::from(place >= seen));
            keep(&mut self.issuing, |&other| other != index);
        }
        self.settle(index);
        for owner in &self.owners {
            if let Owner::Request(tag, piece) = owner
                && piece.slot == index
            {
                session.abort(*tag);
            }
        }
    }

    /// Looks for units that the target has now and had not before; they become further disks, as
    /// far as there is room. [`state`](Self::state) tells when that is done. Those that are known
    /// keep their [`DiskId`], and are looked at again before they are next used.
    pub fn rescan(&mut self) {
        self.rescan_due = true;
        self.doubt_all();
    }

    /// The next thing that a unit told and no request asked for.
    pub fn take_notice(&mut self) -> Option<Notice> {
        self.notices.take()
    }

    /// The session reached full feature phase ([`Event::LoggedIn`](crate::session::Event)); call
    /// before [`Session::transmit`]. After an outage anything may answer under a known number:
    /// what is to be sent again waits until it is known that it is the same unit.
    pub fn logged_in(&mut self, session: &mut Session<TASKS>) {
        self.bring_up.renewed();
        self.doubt_all();
        for owner in &self.owners {
            if let Owner::Request(tag, piece) = owner {
                session.hold(*tag);
                let disk = self.slots.get(usize::from(piece.slot)).map(|slot| slot.disk);
                if let Some(unit) = disk.and_then(|d| self.units.get_mut(usize::from(d.0))) {
                    unit.is_wanted = true;
                    self.any_is_wanted = true;
                }
            }
        }
    }

    /// Gives the session the commands that are due. Call after events and after submissions.
    pub fn advance(&mut self, now: Instant, session: &mut Session<TASKS>) {
        self.advanced_at = now;
        for &index in self.issuing.iter().rev().take(core::mem::take(&mut self.unseen)) {
            if let Some(slot) = self.slots.get_mut(usize::from(index)) {
                slot.submitted_at = now;
            }
        }
        if let Some(examined) = self.bring_up.take_examined() {
            self.take_examined(examined, session);
        }
        self.issue_again(now, session);
        self.issue_more(session);
        // Last: what could not be issued may want its unit looked at.
        self.advance_bring_up(now, session);
    }

    /// When [`advance`](Self::advance) wants to be called next even if nothing happens. What was
    /// due at the last call waits for something else: a session, or a free task.
    #[must_use]
    pub fn advance_at(&self) -> Option<Instant> {
        let again = self.again.iter().map(|(_, due)| *due);
        again.chain(self.bring_up.wake_at()).filter(|&due| due > self.advanced_at).min()
    }

    /// Where `length` bytes of a command's read data belong, from `offset` on: there they may be
    /// received at once ([`Session::placement`]). None when nobody waits for them, or not in a
    /// buffer: then [`data_in`](Self::data_in) knows what to do with them.
    pub fn place<'d>(
        &'d mut self,
        task: TaskTag,
        offset: u32,
        length: usize,
        lent: &'d mut Lent<'_>,
    ) -> Option<&'d mut [u8]> {
        let Owner::Request(_, piece) = self.owner(task) else { return None };
        let slot = self.slots.get_mut(usize::from(piece.slot))?;
        let whole: &mut [u8] = match (&mut slot.buffer, lent) {
            (Buffer::Owned(buffer), _) => buffer.as_mut(),
            (Buffer::Lent, Lent::Into(buffer)) => buffer,
            _ => return None,
        };
        whole.get_mut(range(piece.offset, offset, length)?)
    }

    /// Stores a piece of read data where it belongs.
    pub fn data_in(&mut self, task: TaskTag, offset: u32, bytes: &[u8], lent: &mut Lent<'_>) {
        match self.owner(task) {
            Owner::Nobody => {}
            Owner::BringUp(_) => self.bring_up.data_in(offset, bytes),
            Owner::Request(_, piece) => {
                if let Some(place) = self.place(task, offset, bytes.len(), lent) {
                    return place.copy_from_slice(bytes);
                }
                // The buffer was not lent this time, or is not what it was.
                if let Some(slot) = self.slots.get_mut(usize::from(piece.slot)) {
                    slot.outcome = Err(RequestError::Short);
                }
            }
        }
    }

    /// Takes the end of a command. `sense` is [`Session::sense`].
    pub fn completed(&mut self, now: Instant, task: TaskTag, completion: Completion, sense: &[u8]) {
        let owner = self.owner(task);
        if let Some(owner) = self.owners.get_mut(task.index()) {
            *owner = Owner::Nobody;
        }
        match owner {
            Owner::Nobody => {}
            Owner::BringUp(_) => {
                let disk = self.bring_up.examining();
                let news = self.bring_up.completed(now, completion, sense);
                self.heed(disk, news);
            }
            Owner::Request(_, piece) => {
                self.landed(piece);
                if completion == Completion::Failed(TaskError::NoSuchLogicalUnit)
                    && let Some(unit) = self.unit_of(piece.slot)
                {
                    unit.trust = Trust::Gone;
                }
                self.piece_completed(now, piece, judge(completion, sense));
            }
        }
    }

    /// Takes sense data that belongs to no command (asynchronous event 0, RFC 7143 §11.9.1).
    pub fn reported(&mut self, lun: [u8; 8], sense: &[u8]) {
        let lun = LogicalUnitNumber::from_bytes(lun);
        match Sense::parse(sense) {
            Some(sense) => {
                log::warn!("LUN {lun} reports, outside of any command: {sense}");
                let place = self.list().iter().position(|disk| disk.lun == lun);
                let news = if sense.deferred { News::Deferred(sense) } else { news_of(sense) };
                self.heed(place.and_then(|place| u16::try_from(place).ok()).map(DiskId), news);
            }
            None => log::warn!("LUN {lun} reports something that is no sense data"),
        }
    }

    // --- requests and slots ---

    fn submit_owned(
        &mut self,
        kind: RequestKind,
        disk: DiskId,
        lba: u64,
        buffer: B,
    ) -> Result<RequestId, Rejected<B>> {
        let length = match self.check(kind, disk, lba, buffer.as_ref().len()) {
            Ok(length) => length,
            Err(reason) => return Err(Rejected { buffer, reason }),
        };
        match self.free.pop_front() {
            Some(index) => Ok(self.occupy(index, kind, disk, lba, length, Buffer::Owned(buffer))),
            None => Err(Rejected { buffer, reason: SubmitRequestError::Busy }),
        }
    }

    /// A disk that is still there, and itself.
    pub(super) fn present(&self, id: DiskId) -> Result<&Disk, SubmitRequestError> {
        let disk = self.disk(id).ok_or(SubmitRequestError::NoSuchDisk)?;
        match self.unit(id).trust {
            Trust::Known | Trust::Suspect => Ok(disk),
            Trust::Other => Err(SubmitRequestError::OtherUnit),
            Trust::Gone => Err(SubmitRequestError::Gone),
        }
    }

    /// Whether a request fits its disk; its length in bytes.
    pub(super) fn check(
        &self,
        kind: RequestKind,
        disk: DiskId,
        lba: u64,
        length: usize,
    ) -> Result<u64, SubmitRequestError> {
        let disk = self.present(disk)?;
        if kind != RequestKind::Read && disk.read_only {
            return Err(SubmitRequestError::ReadOnly);
        }
        let bytes = u32::try_from(length).map_err(|_| SubmitRequestError::BadLength)?;
        let (Some(blocks @ 1..), Some(0)) =
            (bytes.checked_div(disk.block_size), bytes.checked_rem(disk.block_size))
        else {
            return Err(SubmitRequestError::BadLength);
        };
        match lba.checked_add(u64::from(blocks)) {
            Some(end) if end <= disk.blocks => Ok(u64::from(bytes)),
            _ => Err(SubmitRequestError::OutOfRange),
        }
    }

    /// Fills the free slot `index`.
    pub(super) fn occupy(
        &mut self,
        index: u16,
        kind: RequestKind,
        disk: DiskId,
        lba: u64,
        length: u64,
        buffer: Buffer<B>,
    ) -> RequestId {
        let mut generation = 0;
        self.taken = self.taken.saturating_add(1);
        let obeys_fua = self.disk(disk).is_some_and(|disk| disk.force_unit_access);
        if let Some(slot) = self.slots.get_mut(usize::from(index)) {
            generation = slot.generation.wrapping_add(1);
            *slot = Slot {
                generation,
                kind,
                disk,
                lba,
                order: self.taken,
                buffer,
                length,
                single_due: matches!(kind, RequestKind::Flush | RequestKind::Command),
                flush_after: kind == RequestKind::WriteThrough && !obeys_fua,
                is_issuing: true,
                ..Slot::EMPTY
            };
            let _ = self.issuing.push_back(index);
            self.unseen = self.unseen.saturating_add(1);
            self.changing = self.changing.saturating_add(u16::from(kind != RequestKind::Read));
        }
        RequestId { slot: index, generation }
    }

    /// Empties a slot whose request is done.
    fn vacate(&mut self, index: u16) -> Option<Finished<B>> {
        let slot = self.slots.get_mut(usize::from(index))?;
        let buffer = match core::mem::replace(&mut slot.buffer, Buffer::None) {
            Buffer::Owned(buffer) => Some(buffer),
            Buffer::Lent | Buffer::None => None,
        };
        let id = RequestId { slot: index, generation: slot.generation };
        let Slot { kind, moved, outcome, .. } = *slot;
        let finished = Finished { id, kind, buffer, moved, outcome };
        let _ = self.free.push_back(index);
        self.changing = self.changing.saturating_sub(u16::from(kind != RequestKind::Read));
        Some(finished)
    }

    /// Moves a slot to the completions once nothing of it is under way any more, nor to follow.
    pub(super) fn settle(&mut self, index: u16) {
        let Some(slot) = self.slots.get_mut(usize::from(index)) else { return };
        if slot.outstanding > 0 || slot.is_issuing {
            return;
        }
        let flush_follows = core::mem::take(&mut slot.flush_after) && slot.outcome.is_ok();
        if flush_follows && slot.unwanted {
            slot.outcome = Err(RequestError::Task(TaskError::Aborted));
        }
        if flush_follows && !slot.unwanted {
            (slot.single_due, slot.is_issuing) = (true, true);
            let _ = self.issuing.push_back(index);
            self.unseen = self.unseen.saturating_add(1);
        } else {
            let _ = self.done.push_back(index);
        }
    }

    // --- bring-up ---

    fn advance_bring_up(&mut self, now: Instant, session: &mut Session<TASKS>) {
        if session.negotiated().is_none() {
            return;
        }
        if self.bring_up.is_idle() {
            if let Some(index) = self.wanted_unit() {
                let start = self.units.get(index).is_some_and(|unit| unit.wants_start);
                self.bring_up.examine(index, start);
            } else if core::mem::take(&mut self.rescan_due) {
                self.bring_up.search();
            }
        }
        let Some(command) = self.bring_up.due(now) else { return };
        if let Ok(tag) = session.submit(now, command) {
            self.bring_up.submitted(&command);
            if let Some(owner) = self.owners.get_mut(tag.index()) {
                *owner = Owner::BringUp(tag);
            }
        }
    }

    /// A unit that is in doubt, and that commands wait for.
    fn wanted_unit(&mut self) -> Option<usize> {
        if !self.any_is_wanted {
            return None;
        }
        self.any_is_wanted = self.units.iter().any(|unit| unit.is_wanted);
        let is_due = |unit: &Unit| unit.is_wanted && unit.trust == Trust::Suspect;
        self.units.iter().position(is_due)
    }

    pub(super) fn owner(&self, task: TaskTag) -> Owner {
        match self.owners.get(task.index()) {
            Some(owner @ (Owner::BringUp(tag) | Owner::Request(tag, _))) if *tag == task => *owner,
            _ => Owner::Nobody,
        }
    }
}
