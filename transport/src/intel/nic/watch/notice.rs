//! What the watchdog says.

use core::fmt;

use crate::intel::interrupt::Mode;

/// Something that the watchdog found, and what it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Frames were there and no interrupt said so; one was made by software.
    InterruptLost,
    /// The link changed and no interrupt said so.
    LinkChangeUnseen {
        /// Whether it is up now.
        is_up: bool,
    },
    /// A piece of the interrupt's set-up was gone and was written again.
    Repaired {
        /// A register, or a field of a capability.
        what: &'static str,
    },
    /// Causes were masked that should not have been, and are let through again.
    MaskRestored,
    /// Interrupts did not come, however often they were mended.
    FellBack {
        /// The mode that was given up.
        from: Mode,
        /// The mode in use.
        to: Mode,
    },
    /// The part was reset and works again.
    Restarted {
        /// Why.
        why: Trouble,
    },
    /// The part does not work, and another reset will be tried.
    NotRestarted {
        /// Why it was to be reset.
        why: Trouble,
    },
    /// Nothing answers at its address any more. For good.
    Removed,
    /// It did not come back. For good.
    GivenUp,
}

/// Why the part had to be reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Somebody else had reset it.
    Reset,
    /// Its registers read as all ones while it is still there: a deep power state, or windows
    /// that it forgot.
    Unanswered,
    /// Frames do not leave.
    TransmitStall,
    /// Frames do not come in.
    ReceiveStall,
}

impl Notice {
    pub(super) const KINDS: usize = 9;

    pub(super) const fn kind(self) -> usize {
        match self {
            Self::InterruptLost => 0,
            Self::LinkChangeUnseen { .. } => 1,
            Self::Repaired { .. } => 2,
            Self::MaskRestored => 3,
            Self::FellBack { .. } => 4,
            Self::Restarted { .. } => 5,
            Self::NotRestarted { .. } => 6,
            Self::Removed => 7,
            Self::GivenUp => 8,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InterruptLost => f.write_str("frames were there and no interrupt came"),
            Self::LinkChangeUnseen { is_up } => {
                let state = if *is_up { "up" } else { "down" };
                write!(f, "the link went {state} and no interrupt came")
            }
            Self::Repaired { what } => {
                write!(f, "{what} was not as it was set, and is written again")
            }
            Self::MaskRestored => f.write_str("interrupts were masked, and are let through again"),
            Self::FellBack { from, to } => {
                write!(f, "interrupts by {from} do not come: now by {to}")
            }
            Self::Restarted { why } => write!(f, "{why}: reset, and works again"),
            Self::NotRestarted { why } => {
                write!(f, "{why}: a reset did not help, another will be tried")
            }
            Self::Removed => f.write_str("it was removed: attach again when it is back"),
            Self::GivenUp => {
                f.write_str("it did not come back and is given up: a power cycle helps")
            }
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "it was reset by somebody else",
            Self::Unanswered => "its registers did not answer (all ones)",
            Self::TransmitStall => "frames did not leave",
            Self::ReceiveStall => "frames did not come in",
        })
    }
}
