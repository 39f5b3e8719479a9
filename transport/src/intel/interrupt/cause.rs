//! Interrupt causes, as ICR holds them.

use core::fmt;

/// Why the part raised its interrupt: a set of causes, possibly empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cause(u32);

impl Cause {
    const TRANSMITTED: u32 = icr::TXDW | icr::TXQE | icr::TXQ0 | icr::TXQ1;
    const RECEIVED: u32 = icr::RXDMT0 | icr::RXO | icr::RXT0 | icr::RXQ0 | icr::RXQ1;

    /// The causes in a value of ICR.
    pub(crate) const fn new(bits: u32) -> Self {
        Self(bits)
    }

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
        self.0 & icr::LSC != 0
    }

    /// The part was reset by somebody else (82575 and later).
    #[must_use]
    pub const fn was_reset(self) -> bool {
        self.0 & icr::DRSTA != 0
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#010x}", self.0)
    }
}

/// Bits of ICR, ICS, IMS and IMC (8254x §13.4.17, 82574 §10.2.4.1, I210 §8.8.9).
pub mod icr {
    /// A transmit descriptor was written back.
    pub const TXDW: u32 = 1 << 0;
    /// The transmit queue is empty.
    pub const TXQE: u32 = 1 << 1;
    /// The link's state changed.
    pub const LSC: u32 = 1 << 2;
    /// A sequence error of the link.
    pub const RXSEQ: u32 = 1 << 3;
    /// Receive descriptors run low.
    pub const RXDMT0: u32 = 1 << 4;
    /// Receive overrun.
    pub const RXO: u32 = 1 << 6;
    /// A frame came in (RXT0; RXDW on the 82575 and later).
    pub const RXT0: u32 = 1 << 7;
    /// A PHY access is complete.
    pub const MDAC: u32 = 1 << 9;
    /// A small packet came in.
    pub const SRPD: u32 = 1 << 16;
    /// A TCP acknowledgement came in.
    pub const ACK: u32 = 1 << 17;
    /// A management event.
    pub const MNG: u32 = 1 << 18;
    /// Receive queue 0 (82574).
    pub const RXQ0: u32 = 1 << 20;
    /// Receive queue 1 (82574).
    pub const RXQ1: u32 = 1 << 21;
    /// Transmit queue 0 (82574).
    pub const TXQ0: u32 = 1 << 22;
    /// Transmit queue 1 (82574).
    pub const TXQ1: u32 = 1 << 23;
    /// Any cause that is no queue's (82574).
    pub const OTHER: u32 = 1 << 24;
    /// DMA out of sync (82575 and later).
    pub const DOUTSYNC: u32 = 1 << 28;
    /// The part was reset (82575 and later).
    pub const DRSTA: u32 = 1 << 30;
    /// The part has raised its interrupt (PCI Express parts).
    pub const INT_ASSERTED: u32 = 1 << 31;
}
