//! What passes between the device and smoltcp of the connection, seen a segment at a time: the
//! [`ResetGuard`] keeps guessed resets out, and the [`LossRecovery`] learns what was lost.

use core::cell::RefCell;
use core::num::NonZeroU16;
use core::time::Duration;

use crate::coalesce::Following;
use crate::loss_recovery::{LossRecovery, Prompt};
use crate::reset_guard::ResetGuard;
use crate::segment::Segment;

/// What is known of the latest connection that we began; there is one at a time.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    guard: RefCell<ResetGuard>,
    recovery: RefCell<LossRecovery>,
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

    /// Takes note of a frame that was sent, cut into segments of `size` bytes of data where one is
    /// said.
    pub(crate) fn sent(&self, frame: &[u8], size: Option<NonZeroU16>, now: Duration) {
        let Some(segment) = Segment::parse(frame) else { return };
        within(&self.guard, |guard| guard.sent(&segment.tcp));
        self.recovery(|recovery| recovery.sent(&segment, size, now));
    }

    /// Whether smoltcp must not see this frame.
    pub(crate) fn refuses(&self, frame: &[u8], now: Duration) -> bool {
        let Some(segment) = Segment::parse(frame) else { return false };
        let is_refused = within(&self.guard, |guard| guard.refuses(&segment.tcp));
        if !is_refused {
            self.recovery(|recovery| recovery.received(&segment, now));
        }
        is_refused
    }

    /// Takes note of a segment that came behind one which was not refused, and which says nothing else
    /// than that but for its data.
    pub(crate) fn goes_on(&self, following: &Following) {
        within(&self.guard, |guard| guard.goes_on(following));
    }

    /// The frame of this number of those that make the socket send again.
    pub(crate) fn prompt(&self, number: usize) -> Option<Prompt> {
        let due = within(&self.guard, |guard| guard.due())?;
        self.recovery(|recovery| recovery.prompt(number, due))
    }
}
