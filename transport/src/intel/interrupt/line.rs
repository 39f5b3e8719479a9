//! What a handler and the driver share, and all that a handler does.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::cause::icr;
use super::{Cause, Design, Mode};
use crate::hal::Hal;
use crate::intel::gate::Gate;
use crate::intel::registers::{ICR, Reach, Registers};

/// One controller's interrupts: a `static` of the hosting kernel, one for each controller.
///
/// It outlives the [`Nic`](crate::intel::nic::Nic), which is what makes a handler that comes too
/// late harmless.
#[derive(Debug, Default)]
pub struct Line {
    gate: Gate,
    /// The [`Mode`] in use.
    mode: AtomicU32,
    /// The causes let through, as IMS holds them.
    mask: AtomicU32,
    /// An interrupt may come.
    is_armed: AtomicBool,
    /// Reading ICR was seen not to clear it.
    writes_back: AtomicBool,
    interrupts: AtomicU32,
    spurious: AtomicU32,
    /// Every cause seen since the driver looked.
    causes: AtomicU32,
}

impl Line {
    /// A line of nobody yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            gate: Gate::new(),
            mode: AtomicU32::new(0),
            mask: AtomicU32::new(0),
            is_armed: AtomicBool::new(false),
            writes_back: AtomicBool::new(false),
            interrupts: AtomicU32::new(0),
            spurious: AtomicU32::new(0),
            causes: AtomicU32::new(0),
        }
    }

    /// Interrupts of the controller so far; wraps.
    #[must_use]
    pub fn interrupts(&self) -> u32 {
        self.interrupts.load(Ordering::Acquire)
    }

    /// Calls of the handler when the controller had no cause; wraps.
    #[must_use]
    pub fn spurious(&self) -> u32 {
        self.spurious.load(Ordering::Relaxed)
    }

    pub(crate) const fn gate(&'static self) -> &'static Gate {
        &self.gate
    }

    pub(crate) fn use_mode(&self, mode: Mode) {
        self.is_armed.store(false, Ordering::SeqCst);
        self.mode.store(mode as u32, Ordering::SeqCst);
    }

    /// Whether the handler must write causes back, since reading alone does not clear them.
    pub(crate) fn write_back(&self, is_needed: bool) {
        self.writes_back.store(is_needed, Ordering::SeqCst);
    }

    /// Before causes are let through: the interrupt may come at once.
    pub(crate) fn arm(&self, causes: u32) {
        self.mask.store(causes, Ordering::SeqCst);
        self.is_armed.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_armed(&self) -> bool {
        self.is_armed.load(Ordering::SeqCst)
    }

    /// The causes seen since the last call.
    pub(crate) fn take_causes(&self) -> Cause {
        Cause::new(self.causes.swap(0, Ordering::AcqRel))
    }
}

/// All that an interrupt handler needs: reads and clears the causes, and counts.
///
/// It never touches the rings or the stack, so it may run at any moment, on any processor, while
/// the stack owns the [`Nic`](crate::intel::nic::Nic). Once that was detached or dropped,
/// [`acknowledge`](Self::acknowledge) does nothing and returns no cause, for ever: registers are
/// unmapped only when no handler is inside, and a handler that comes later is turned away.
pub struct Acknowledger<H: Hal> {
    reach: Reach<H>,
    line: &'static Line,
    design: Design,
}

impl<H: Hal> Acknowledger<H> {
    pub(crate) const fn new(reach: Reach<H>, line: &'static Line, design: Design) -> Self {
        Self { reach, line, design }
    }

    /// Reads and clears the causes of an interrupt. When the result
    /// [is empty](Cause::is_empty), the interrupt was not this controller's.
    ///
    /// One register is read. The part masks further interrupts by itself, until
    /// [`Nic::rearm`](crate::intel::nic::Nic::rearm); an interrupt that comes all the same is
    /// masked here, at the price of two writes.
    pub fn acknowledge(&self) -> Cause {
        self.reach
            .with(|registers| acknowledge(registers, self.line, self.design))
            .unwrap_or_default()
    }

    /// What it counts.
    #[must_use]
    pub const fn line(&self) -> &'static Line {
        self.line
    }
}

impl<H: Hal + Clone> Clone for Acknowledger<H> {
    fn clone(&self) -> Self {
        Self { reach: self.reach.clone(), line: self.line, design: self.design }
    }
}

impl<H: Hal> fmt::Debug for Acknowledger<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acknowledger").field("line", &self.line).finish_non_exhaustive()
    }
}

pub(crate) fn acknowledge<H: Hal>(registers: &Registers<H>, line: &Line, design: Design) -> Cause {
    let mode = Mode::from_number(line.mode.load(Ordering::SeqCst));
    if mode == Mode::Polled {
        // Everything is masked: another device's interrupt.
        line.spurious.fetch_add(1, Ordering::Relaxed);
        return Cause::default();
    }
    let causes = registers.read(ICR);
    if causes == u32::MAX {
        // Nothing to clear, nobody to clear it; the watchdog finds out.
        line.spurious.fetch_add(1, Ordering::Relaxed);
        return Cause::new(causes);
    }
    let pending = causes & !icr::INT_ASSERTED;
    let enabled = pending & line.mask.load(Ordering::SeqCst);
    let is_ours = match mode {
        // Nobody else sends our message: queue causes may be cleared by its leaving.
        Mode::Msix => true,
        Mode::Msi => pending != 0,
        // A line is shared. INT_ASSERTED alone would do, if every model had it.
        Mode::Intx | Mode::Polled => causes & icr::INT_ASSERTED != 0 || enabled != 0,
    };
    line.causes.fetch_or(pending, Ordering::AcqRel);
    let is_first = is_ours && line.is_armed.swap(false, Ordering::SeqCst);
    if is_ours && !is_first {
        // The part did not mask itself: by hand, and whatever is left of its causes with it.
        registers.write(ICR, pending);
        design.mask_by_hand(registers, mode);
    } else if enabled != 0 {
        let is_cleared = design.reading_clears(mode, causes);
        if !is_cleared || line.writes_back.load(Ordering::SeqCst) {
            registers.write(ICR, pending);
        }
    }
    if !is_ours {
        line.spurious.fetch_add(1, Ordering::Relaxed);
        return Cause::default();
    }
    line.interrupts.fetch_add(1, Ordering::Release);
    Cause::new(pending | design.cleared_by_message(mode))
}
