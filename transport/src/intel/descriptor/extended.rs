//! Extended receive descriptors and data descriptors (82574 §7.1.5 and §7.2.11).

use super::{DEXT, DTYP_SHIFT, Received, Transmit};

/// DTYP of a data descriptor.
const DATA: u64 = 1 << DTYP_SHIFT;

/// Status in 19:0 and errors in 31:20, of which 7:0 and 31:24 are as in a legacy descriptor;
/// length in 47:32, VLAN tag in 63:48.
pub(super) const fn received(word: u64) -> Received {
    Received { len: (word >> 32) as u16, status: word as u8, errors: (word >> 24) as u8 }
}

/// Length in 19:0, DTYP in 23:20, DCMD in 31:24, status in 35:32; POPTS in 47:40 asks for no
/// checksum, so that no context descriptor is needed.
pub(super) const fn transmit(frame: Transmit) -> [u64; 2] {
    [frame.address, frame.len as u64 | DATA | frame.command() | DEXT]
}
