//! Advanced descriptors, one buffer each (82576 §7.1.5 and §7.2.2, I210 §7.1.4 and §7.2.2).

use super::{DEXT, DTYP_SHIFT, Received, Transmit, extended};
use crate::checksum::Insertion;
use crate::segmentation::Segmentation;

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
    let (len, frame_len) = (frame.len as u64, frame.frame_len as u64);
    let cut = if frame.is_cut { TSE } else { 0 };
    let command = DATA | frame.command() | cut | DEXT;
    [frame.address, len | command | frame.options() | frame_len << PAYLEN_SHIFT]
}

/// TSE, in DCMD.
const TSE: u64 = 1 << 31;

/// IPLEN in 8:0 and MACLEN in 15:9 of the first word; TUCMD and DTYP in the second.
pub(super) const fn context(insertion: Insertion) -> [u64; 2] {
    const MACLEN_SHIFT: u32 = 9;
    const CONTEXT: u64 = 2 << DTYP_SHIFT;
    const IPV4: u64 = 1 << 10;
    const L4T_TCP: u64 = 1 << 11;
    let ip_len = insertion.tcp.saturating_sub(insertion.ip) as u64;
    let first = ip_len | (insertion.ip as u64) << MACLEN_SHIFT;
    [first, CONTEXT | L4T_TCP | if insertion.is_ipv4 { IPV4 } else { 0 } | DEXT]
}

/// The same with L4LEN in 47:40 and MSS in 63:48 of the second word; the length is the data
/// descriptor's matter.
pub(super) const fn segmentation(how: Segmentation) -> [u64; 2] {
    let [first, second] = context(how.insertion);
    let tcp_len = how.header.saturating_sub(how.insertion.tcp) as u64;
    [first, second | tcp_len << 40 | (how.size as u64) << 48]
}
