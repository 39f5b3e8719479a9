//! The state of the wire.

/// The state of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Frames pass.
    Up {
        /// 10, 100 or 1000 Mb/s.
        megabits: u16,
        /// Both ways at once.
        full_duplex: bool,
    },
    /// No carrier, or still negotiating.
    Down,
    /// The device no longer answers: its registers read as all ones.
    Gone,
}

impl Link {
    /// Whether frames pass.
    #[must_use]
    pub const fn is_up(self) -> bool {
        matches!(self, Self::Up { .. })
    }
}
