//! Interrupts as hints.
//!
//! Every cause stays masked: the driver is polled, and what is done is read from the rings. A
//! hosting kernel that unmasks causes one day calls [`Nic::acknowledge`] from its handler, which
//! only reads and clears them.
//!
//! [`Nic::acknowledge`]: crate::intel::nic::Nic::acknowledge

use core::fmt;

use crate::hal::Hal;
use crate::intel::registers::{ICR, IMC, Registers};

/// Why the part raised its interrupt: a set of causes, possibly empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cause(u32);

impl Cause {
    const TRANSMITTED: u32 = 1 << 0 | 1 << 1;
    const LINK_CHANGED: u32 = 1 << 2;
    const RECEIVED: u32 = 1 << 4 | 1 << 6 | 1 << 7 | 1 << 20 | 1 << 21;

    /// The causes as ICR holds them.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// No cause at all: the interrupt was another device's.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Every bit is set: the part no longer answers.
    #[must_use]
    pub const fn is_gone(self) -> bool {
        self.0 == u32::MAX
    }

    /// Frames came in, or the receive ring ran low or over.
    #[must_use]
    pub const fn received(self) -> bool {
        self.0 & Self::RECEIVED != 0
    }

    /// Frames went out.
    #[must_use]
    pub const fn transmitted(self) -> bool {
        self.0 & Self::TRANSMITTED != 0
    }

    /// The link went up or down.
    #[must_use]
    pub const fn link_changed(self) -> bool {
        self.0 & Self::LINK_CHANGED != 0
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// Masks every cause and forgets those pending.
pub(crate) fn mask_all<H: Hal>(registers: &Registers<H>) {
    registers.write(IMC, u32::MAX);
    let _ = acknowledge(registers);
}

/// Reads and clears the pending causes.
///
/// Reading clears on most parts and in most modes, but not in all of them: writing the bits back
/// clears what is left.
pub(crate) fn acknowledge<H: Hal>(registers: &Registers<H>) -> Cause {
    let causes = registers.read(ICR);
    if causes != 0 && causes != u32::MAX {
        registers.write(ICR, causes);
    }
    Cause(causes)
}
