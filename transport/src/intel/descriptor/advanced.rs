//! Advanced descriptors, one buffer each (82576 §7.1.5 and §7.2.2, I210 §7.1.4 and §7.2.2).

use super::{DEXT, DTYP_SHIFT, Received, Transmit, extended};

/// DTYP of a data descriptor.
const DATA: u64 = 3 << DTYP_SHIFT;
/// Bytes of the packet, whatever the number of its descriptors.
const PAYLEN_SHIFT: u32 = 46;

/// The second word of the write-back is that of an extended descriptor. The first, whose packet
/// and RSS types differ, is not needed.
pub(super) const fn received(word: u64) -> Received {
    extended::received(word)
}

/// Length in 15:0, DTYP in 23:20, DCMD in 31:24, status in 35:32, POPTS in 45:40, PAYLEN in 63:46.
pub(super) const fn transmit(frame: Transmit) -> [u64; 2] {
    let len = frame.len as u64;
    [frame.address, len | DATA | frame.command() | DEXT | len << PAYLEN_SHIFT]
}
