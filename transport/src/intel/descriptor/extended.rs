//! Extended receive descriptors, data and context descriptors (82574 §7.1.5 and §7.2.11).

use super::{DEXT, DTYP_SHIFT, Received, Transmit};
use crate::checksum::Insertion;
use crate::segmentation::Segmentation;

/// DTYP of a data descriptor.
const DATA: u64 = 1 << DTYP_SHIFT;

/// Status in 19:0 and errors in 31:20, of which 7:0 and 31:24 are as in a legacy descriptor;
/// length in 47:32, VLAN tag in 63:48.
pub(super) const fn received(word: u64) -> Received {
    Received { len: (word >> 32) as u16, status: word as u8, errors: (word >> 24) as u8 }
}

/// Length in 19:0, DTYP in 23:20, DCMD in 31:24, status in 35:32, POPTS in 47:40.
pub(super) const fn transmit(frame: Transmit) -> [u64; 2] {
    let cut = if frame.is_cut { TSE } else { 0 };
    [frame.address, frame.len as u64 | DATA | frame.command() | cut | DEXT | frame.options()]
}

/// TSE, in DCMD and in TUCMD.
const TSE: u64 = 1 << 26;

/// IPCSS, IPCSO, IPCSE, TUCSS, TUCSO, TUCSE in the first word; DTYP 0 and TUCMD in the second.
pub(super) const fn context(insertion: Insertion) -> [u64; 2] {
    const TCP: u64 = 1 << 24;
    const IPV4: u64 = 1 << 25;
    /// Where the checksum lies in an IPv4 and in a TCP header.
    const IP_CHECKSUM: u64 = 10;
    const TCP_CHECKSUM: u64 = 16;
    let (ip, tcp) = (insertion.ip as u64, insertion.tcp as u64);
    let end = tcp.saturating_sub(1);
    // TUCSE of zero: to the end of the frame.
    let first = ip
        | ip.saturating_add(IP_CHECKSUM) << 8
        | end << 16
        | tcp << 32
        | tcp.saturating_add(TCP_CHECKSUM) << 40;
    [first, TCP | if insertion.is_ipv4 { IPV4 } else { 0 } | DEXT]
}

/// The same with PAYLEN in 19:0, HDRLEN in 47:40 and MSS in 63:48 of the second word.
pub(super) const fn segmentation(how: Segmentation) -> [u64; 2] {
    let [first, second] = context(how.insertion);
    let lengths = how.payload as u64 | (how.header as u64) << 40 | (how.size as u64) << 48;
    [first, second | TSE | lengths]
}
