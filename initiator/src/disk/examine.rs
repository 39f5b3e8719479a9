//! Looking again at a unit that is known: after a session was renewed, and when the unit says that
//! something about it changed. Everything is asked anew; what it is must be what it was.

use super::bring_up::{BringUp, Step};
use super::disk::DiskId;
use super::request::RequestError;

/// What the questions are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Finding units.
    Search,
    /// Finding out whether a known disk is still the same; it may have to be started first.
    Again { index: usize, start: bool },
}

/// What looking again at a known disk brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Examined {
    pub(super) index: usize,
    /// It is the same, and whether its size is another one; or why it cannot be used.
    pub(super) result: Result<bool, RequestError>,
}

impl<const LUNS: usize> BringUp<LUNS> {
    /// Whether there is nothing to ask.
    pub(super) fn is_idle(&self) -> bool {
        self.step == Step::Finished && self.examined.is_none()
    }

    /// The disk that is looked at again.
    pub(super) fn examining(&self) -> Option<DiskId> {
        match self.purpose {
            Purpose::Again { index, .. } => u16::try_from(index).ok().map(DiskId),
            Purpose::Search => None,
        }
    }

    /// Looks at a known disk again; [`take_examined`](Self::take_examined) has the result.
    pub(super) fn examine(&mut self, index: usize, start: bool) {
        if let Some(disk) = self.disks.get(index) {
            self.candidate.lun = disk.lun;
            self.purpose = Purpose::Again { index, start };
            self.begin_unit();
        }
    }

    /// The result, once.
    pub(super) fn take_examined(&mut self) -> Option<Examined> {
        self.examined.take()
    }

    /// The session is a new one: what the present unit said in the one before may no longer be so.
    pub(super) fn renewed(&mut self) {
        match self.step {
            Step::ReportLuns | Step::Inquiry | Step::Finished => {}
            _ if self.awaiting => self.is_stale = true,
            _ => self.begin_unit(),
        }
    }

    /// Whether the unit is started before it is asked whether it is ready.
    pub(super) fn is_to_be_started(&self) -> bool {
        matches!(self.purpose, Purpose::Again { start: true, .. }) && !self.started
    }

    /// Every question is answered: is it the disk that it was?
    pub(super) fn compare(&mut self, index: usize) {
        let result = match self.disks.get_mut(index) {
            Some(known) if known.is_same_unit_as(&self.candidate) => {
                let resized = known.blocks != self.candidate.blocks;
                *known = self.candidate.clone();
                Ok(resized)
            }
            _ => Err(RequestError::OtherUnit),
        };
        self.conclude(Examined { index, result });
    }

    pub(super) fn conclude(&mut self, examined: Examined) {
        self.examined = Some(examined);
        self.purpose = Purpose::Search;
        self.go(Step::Finished);
    }
}
