//! The watchdog: notices what interrupts did not say, and mends it.

use core::fmt;
use core::time::Duration;

use super::Nic;
use crate::hal::Hal;
use crate::intel::interrupt::Mode;
use crate::pci::ConfigSpace;

/// Something that the watchdog found and mended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A part of the interrupt's set-up was gone, and was written again.
    Repaired {
        /// A register, or a part of a capability.
        what: &'static str,
    },
    /// Causes were masked that should not have been.
    MaskRestored,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repaired { what } => write!(f, "{what} was lost and is written again"),
            Self::MaskRestored => f.write_str("the interrupt mask was lost and is set again"),
        }
    }
}

impl<H: Hal + Clone, C: ConfigSpace> Nic<H, C> {
    /// Looks whether interrupts still come and the part still works, and mends what it can. To
    /// be called a few times a second from where the stack is polled;
    /// [`NicDevice`](crate::device::NicDevice) does.
    pub fn watch(&mut self, now: Duration) -> Option<Notice> {
        let _ = now;
        let line = self.interrupts.line?;
        let mode = self.interrupts.mode;
        if mode == Mode::Polled {
            return None;
        }
        let _ = line.take_causes();
        let notice = if let Some(what) = self.fault() {
            // Nothing is said when it cannot be: the mode is polled from then on.
            let _ = self.program(mode);
            Notice::Repaired { what }
        } else if line.is_armed()
            && !self.design().is_unmasked(&self.part.registers, self.interrupts.mask)
            && line.is_armed()
        {
            Notice::MaskRestored
        } else {
            return None;
        };
        log::warn!("{} {}: {notice}", self.part.model.name, self.part.address);
        self.rearm();
        Some(notice)
    }
}
