//! How much of the processor the work left over.

use core::fmt;

use crate::clock;
use crate::console::Event;
use crate::interrupt;

/// What was at a moment, to be compared with later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    counter: u64,
    asleep: u64,
    interrupts: u64,
    overslept: u64,
}

impl Idle {
    pub(crate) fn begin() -> Self {
        Self {
            counter: clock::counter(),
            asleep: interrupt::asleep(),
            interrupts: interrupt::taken(),
            overslept: interrupt::overslept(),
        }
    }

    /// Tells the share of the time since that the processor slept, how often the card interrupted,
    /// and how often it should have.
    pub(crate) fn tell(self) {
        let wall = clock::counter().wrapping_sub(self.counter);
        let asleep = interrupt::asleep() - self.asleep;
        Event::new("idle")
            .field("share", Percent { part: asleep, whole: wall })
            .field("mode", interrupt::mode())
            .field("interrupts", interrupt::taken() - self.interrupts)
            .field("overslept", interrupt::overslept() - self.overslept);
    }
}

/// A share in percent, with one decimal.
struct Percent {
    part: u64,
    whole: u64,
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = u128::from(self.part) * 1000 / u128::from(self.whole.max(1));
        write!(f, "{}.{}", tenths / 10, tenths % 10)
    }
}
