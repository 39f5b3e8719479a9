//! What is known of a unit beyond what it says of itself: whether it is still the same, and how
//! many commands at a time it takes.

use super::request::RequestError;

/// Commands that must end well in a row before a unit gets one more at a time.
const RAISE_AFTER: u16 = 64;

/// Whether commands may go to a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// It is what it was.
    Known,
    /// It may have changed: it is looked at again before the next command goes to it.
    Suspect,
    /// It is another one. Nothing goes to it.
    Other,
    /// The target says that it is not there any more; it may be back in another session.
    Gone,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    pub(super) trust: Trust,
    /// Commands wait for it to be looked at.
    pub(super) is_wanted: bool,
    /// It said that it has to be started.
    pub(super) wants_start: bool,
    /// It does not know the 10-byte forms of READ and WRITE, or of SYNCHRONIZE CACHE.
    pub(super) only_long: bool,
    pub(super) long_flush: bool,
    /// An earlier command failed after it was reported as done; the next flush says so.
    pub(super) deferred: Option<RequestError>,
    /// Commands of requests that the session has, and that wait to be issued again.
    pub(super) in_flight: u16,
    pub(super) waiting: u16,
    /// How many of both there may be.
    limit: u16,
    good_in_a_row: u16,
}

impl Unit {
    /// A unit that was just found.
    pub(super) const NEW: Self = Self {
        trust: Trust::Known,
        is_wanted: false,
        wants_start: false,
        only_long: false,
        long_flush: false,
        deferred: None,
        in_flight: 0,
        waiting: 0,
        limit: u16::MAX,
        good_in_a_row: 0,
    };

    /// Whether it takes another part of a request.
    pub(super) fn has_room(&self) -> bool {
        self.in_flight.saturating_add(self.waiting) < self.limit
    }

    /// Whether a command that waited may be issued again.
    pub(super) fn has_room_again(&self) -> bool {
        self.in_flight < self.limit
    }

    /// A command ended well: slowly, more of them may go at a time.
    pub(super) fn did_well(&mut self) {
        if self.limit == u16::MAX {
            return;
        }
        self.good_in_a_row = self.good_in_a_row.saturating_add(1);
        if self.good_in_a_row >= RAISE_AFTER {
            self.good_in_a_row = 0;
            self.limit = self.limit.saturating_add(1);
        }
    }

    /// TASK SET FULL: the commands that it has now are as many as it takes.
    pub(super) fn is_full(&mut self) {
        self.limit = self.in_flight.max(1);
        self.good_in_a_row = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_depth_goes_down_at_once_and_up_slowly() {
        let mut unit = Unit { in_flight: 5, ..Unit::NEW };
        assert!(unit.has_room());
        unit.is_full();
        assert!(!unit.has_room() && !unit.has_room_again());
        for _ in 1..RAISE_AFTER {
            unit.did_well();
        }
        assert!(!unit.has_room());
        unit.did_well();
        assert!(unit.has_room());
        unit.waiting = 1;
        assert!(!unit.has_room() && unit.has_room_again(), "those that waited go first");
    }

    #[test]
    fn a_full_unit_with_nothing_of_ours_still_gets_one_command() {
        let mut unit = Unit::NEW;
        unit.is_full();
        assert!(unit.has_room() && unit.has_room_again());
        unit.in_flight = 1;
        assert!(!unit.has_room_again());
    }
}
