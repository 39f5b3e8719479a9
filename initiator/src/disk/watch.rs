//! Watching units: what they tell besides, and what becomes of their commands when one was looked
//! at again.

use super::disk::DiskId;
use super::disks::Disks;
use super::examine::Examined;
use super::notice::Notice;
use super::request::RequestError;
use super::slot::Owner;
use super::unit::{Trust, Unit};
use super::verdict::News;
use crate::session::{Session, TaskError};

impl<B, const LUNS: usize, const REQUESTS: usize, const TASKS: usize>
    Disks<B, LUNS, REQUESTS, TASKS>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
{
    pub(super) fn unit(&self, disk: DiskId) -> &Unit {
        self.units.get(usize::from(disk.0)).unwrap_or(&Unit::NEW)
    }

    /// The unit of a slot's disk.
    pub(super) fn unit_of(&mut self, slot: u16) -> Option<&mut Unit> {
        let disk = self.slots.get(usize::from(slot))?.disk;
        self.units.get_mut(usize::from(disk.0))
    }

    /// Every known unit is looked at again before it is next used.
    pub(super) fn doubt_all(&mut self) {
        let known = self.list().len();
        for unit in self.units.iter_mut().take(known) {
            unit.trust = Trust::Suspect;
        }
    }

    /// Takes what a unit told besides.
    pub(super) fn heed(&mut self, disk: Option<DiskId>, news: News) {
        if news == News::UnitsChanged {
            self.notices.push(Notice::UnitsChanged);
        }
        let Some(disk) = disk else { return };
        let Some(unit) = self.units.get_mut(usize::from(disk.0)) else { return };
        match news {
            News::Nothing => {}
            News::UnitChanged | News::UnitsChanged => {
                if unit.trust == Trust::Known {
                    unit.trust = Trust::Suspect;
                }
            }
            News::SpaceLow => self.notices.push(Notice::SpaceLow { disk }),
            News::Deferred(sense) => {
                if !sense.is_harmless() {
                    const CHECK_CONDITION: u8 = 0x02;
                    let sense = Some(sense);
                    unit.deferred = Some(RequestError::Scsi { status: CHECK_CONDITION, sense });
                }
                self.notices.push(Notice::DeferredError { disk, sense });
            }
        }
    }

    /// A unit was looked at again: its commands go on, or fail.
    pub(super) fn take_examined(&mut self, examined: Examined, session: &mut Session<TASKS>) {
        let Examined { index, result } = examined;
        let Ok(disk) = u16::try_from(index).map(DiskId) else { return };
        let blocks = self.disk(disk).map_or(0, |disk| disk.blocks);
        let Some(unit) = self.units.get_mut(index) else { return };
        (unit.is_wanted, unit.wants_start) = (false, false);
        match result {
            Ok(resized) => {
                unit.trust = Trust::Known;
                if resized {
                    self.notices.push(Notice::CapacityChanged { disk, blocks });
                }
                self.settle_held(disk, session, Ok(()));
            }
            Err(error) => {
                log::error!("disk {} cannot be used: {error}", disk.0);
                match error {
                    RequestError::OtherUnit => {
                        unit.trust = Trust::Other;
                        self.notices.push(Notice::OtherUnit { disk });
                    }
                    RequestError::Task(TaskError::NoSuchLogicalUnit) => unit.trust = Trust::Gone,
                    // It may well be the same: the next command asks again.
                    _ => {}
                }
                self.settle_held(disk, session, Err(error));
                self.fail_unsent(disk, error);
            }
        }
    }

    /// Commands of a disk that the session holds: they go, unless the disk's end has come nearer,
    /// or they fail.
    fn settle_held(
        &mut self,
        disk: DiskId,
        session: &mut Session<TASKS>,
        outcome: Result<(), RequestError>,
    ) {
        for task in 0..TASKS {
            let Some(&Owner::Request(tag, piece)) = self.owners.get(task) else { continue };
            if self.slots.get(usize::from(piece.slot)).map(|slot| slot.disk) != Some(disk) {
                continue;
            }
            let outcome = match outcome {
                Ok(()) if !self.is_within(piece) => Err(RequestError::OutOfRange),
                outcome => outcome,
            };
            match outcome {
                Ok(()) => session.release(tag),
                Err(_) => {
                    if session.withdraw(tag) {
                        if let Some(owner) = self.owners.get_mut(task) {
                            *owner = Owner::Nobody;
                        }
                        self.landed(piece);
                        self.piece_ended(piece.slot, outcome);
                    }
                }
            }
        }
    }

    /// Fails whatever of a disk the session does not have.
    fn fail_unsent(&mut self, disk: DiskId, error: RequestError) {
        for _ in 0..self.again.len() {
            let Some((piece, due)) = self.again.pop_front() else { break };
            if self.slots.get(usize::from(piece.slot)).map(|slot| slot.disk) != Some(disk) {
                let _ = self.again.push_back((piece, due));
                continue;
            }
            if let Some(unit) = self.unit_of(piece.slot) {
                unit.waiting = unit.waiting.saturating_sub(1);
            }
            self.piece_ended(piece.slot, Err(error));
        }
        // Their turn comes in `issue_more`, which finds nothing more to issue.
        for slot in &mut self.slots {
            if slot.is_issuing && slot.disk == disk && slot.outcome.is_ok() {
                slot.outcome = Err(error);
            }
        }
    }
}
