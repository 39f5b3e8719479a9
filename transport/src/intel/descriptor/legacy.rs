//! Legacy descriptors (8254x §3.2.3 and §3.3.3, 82574 §7.1.4 and §7.2.10).

use super::{Received, Transmit};

/// Length in 15:0, checksum in 31:16, status in 39:32, errors in 47:40, special in 63:48.
pub(super) const fn received(word: u64) -> Received {
    Received { len: word as u16, status: (word >> 32) as u8, errors: (word >> 40) as u8 }
}

/// Length in 15:0, CSO in 23:16, command in 31:24, status in 35:32; no checksum offload.
pub(super) const fn transmit(frame: Transmit) -> [u64; 2] {
    [frame.address, frame.len as u64 | frame.command()]
}
