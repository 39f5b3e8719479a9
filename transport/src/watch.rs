//! What passes between the device and smoltcp of the connection, seen a segment at a time: the
//! [`ResetGuard`] keeps guessed resets out, the [`LossRecovery`] learns what was lost, and the
//! [`Bypass`] makes up for the data that smoltcp never sees.

use core::cell::RefCell;
use core::num::NonZeroU16;
use core::time::Duration;

use smoltcp::wire::TcpSeqNumber;

use crate::bypass::Bypass;
use crate::loss_recovery::{LossRecovery, Prompt};
use crate::reset_guard::ResetGuard;
use crate::run::Following;
use crate::segment::{Segment, change};

/// What is known of the latest connection that we began; there is one at a time.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    guard: RefCell<ResetGuard>,
    recovery: RefCell<LossRecovery>,
    bypass: RefCell<Bypass>,
}

/// Lends what is in a cell for as long as `change` takes, in place: each frame asks three times, and
/// what is known of a connection is some hundred bytes. Nobody asks while another one does; who did
/// would see a connection of which nothing is known.
fn within<T: Default, R>(cell: &RefCell<T>, change: impl FnOnce(&mut T) -> R) -> R {
    match cell.try_borrow_mut() {
        Ok(mut value) => change(&mut value),
        Err(_) => change(&mut T::default()),
    }
}

impl Watch {
    /// What is known of lost segments.
    pub(crate) fn recovery<R>(&self, change: impl FnOnce(&mut LossRecovery) -> R) -> R {
        within(&self.recovery, change)
    }

    /// What passed smoltcp by.
    pub(crate) fn bypass<R>(&self, change: impl FnOnce(&mut Bypass) -> R) -> R {
        within(&self.bypass, change)
    }

    /// Makes of a frame of smoltcp's what goes on the wire, and takes note of it; it is cut into
    /// segments of `size` bytes of data where one is said.
    pub(crate) fn sent(&self, frame: &mut [u8], size: Option<NonZeroU16>, now: Duration) {
        let Some(segment) = Segment::parse(frame) else { return };
        self.recovery(|recovery| recovery.sent(&segment, size, now));
        let place = segment.place;
        change(frame, place, |segment| {
            self.bypass(|bypass| bypass.sent(segment));
            // What is acknowledged is known only now.
            within(&self.guard, |guard| guard.sent(segment));
        });
    }

    /// Takes note of a frame that came, and makes of it one for smoltcp; says whether smoltcp must not
    /// see it.
    pub(crate) fn refuses(&self, frame: &mut [u8], now: Duration) -> bool {
        let Some(segment) = Segment::parse(frame) else { return false };
        if within(&self.guard, |guard| guard.refuses(&segment.tcp)) {
            return true;
        }
        self.recovery(|recovery| recovery.received(&segment, now));
        let place = segment.place;
        change(frame, place, |segment| self.bypass(|bypass| bypass.received(segment)));
        false
    }

    /// Takes note of data that was read without smoltcp, of a segment that came behind one which was
    /// not refused, and which says nothing else than that.
    pub(crate) fn passed_by(&self, following: &Following) {
        within(&self.guard, |guard| guard.goes_on(following));
        self.bypass(|bypass| bypass.passed_by(following));
    }

    /// The frame of this number of those that make the socket send again.
    pub(crate) fn prompt(&self, number: usize) -> Option<Prompt> {
        let due = self.due()?;
        self.recovery(|recovery| recovery.prompt(number, due))
    }

    /// The frame that makes the socket acknowledge what it has, `acknowledged` bytes of our data having
    /// been acknowledged since the connection began.
    pub(crate) fn reminder(&self, acknowledged: u32) -> Option<Prompt> {
        let due = self.due()?;
        self.recovery(|recovery| recovery.reminder(acknowledged, due))
    }

    /// The peer's byte that is due next, as smoltcp has it.
    fn due(&self) -> Option<TcpSeqNumber> {
        let due = within(&self.guard, |guard| guard.due())?;
        Some(self.bypass(|bypass| bypass.as_smoltcp_has_it(due)))
    }
}
