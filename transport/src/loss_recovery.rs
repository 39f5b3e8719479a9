//! Lost segments of ours are sent again in a round trip, not after a second.
//!
//! smoltcp sends a segment again at the third duplicate acknowledgement in a row, or after its
//! retransmission timeout, which is never below one second. That is a second for whatever is lost
//! at the end of a burst, a second for every loss but the first of a window, and a second for a
//! command that is lost while the target sends data, since a segment with data resets its count.
//!
//! This is the judgement that it lacks: what the peer says it has (SACK, RFC 2018; how much of it
//! proves a loss, RFC 6675 §5), and how long an answer takes (a probe timeout, RFC 8985 §7.2, with
//! the exponential backoff of RFC 6298 §5.5). When the oldest outstanding segment ought to go
//! again, smoltcp is shown three duplicate acknowledgements of the peer's last one, and sends it.
//! Nothing is stored, and no byte of data is touched: that smoltcp's buffer begins with this
//! segment is known of the socket itself, and never taken from a frame.

use core::num::NonZeroU16;
use core::time::Duration;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ETHERNET_HEADER_LEN, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    IPV6_HEADER_LEN, IpAddress, IpProtocol, IpRepr, TCP_HEADER_LEN, TcpControl, TcpPacket, TcpRepr,
    TcpSeqNumber,
};

use crate::congestion::CongestionWindow;
use crate::segment::{Segment, is_after};

/// Duplicates behind which more than this many segments' worth arrived are lost: DupThresh − 1
/// (RFC 6675 §4).
const REORDERED_SEGMENTS: u32 = 2;
/// A lone segment's acknowledgement may be held back for data to go with: by Linux for 40 ms,
/// which RFC 8985 §7.2 calls WCDelAckT.
const DELAYED_ACKNOWLEDGEMENT: Duration = Duration::from_millis(50);
/// With more than one segment under way, what timers and schedulers add to a round trip.
const SLACK: Duration = Duration::from_millis(10);
/// Once a loss is known, what answers take beyond a round trip is an ordering matter
/// (RFC 8985 §6.2): no less than this, for polls are not at once.
const LEAST_REORDERING_WAIT: Duration = Duration::from_millis(1);
/// Prompts by time that may be no more than probes.
const PROBES: u32 = 2;
/// So many segments that were sent again, each alone arriving, are no accident where nothing else
/// arrived before.
const FIRST_CREDIT: u32 = 8;
/// They are one where more did, up to this: a whole window may be lost.
const MOST_CREDIT: u32 = 512;
/// What every station takes (RFC 9293 §3.7.1).
const SMALLEST_FULL_SEGMENT: u16 = 536;
/// A peer without room is probed at least this often. smoltcp doubles the wait between its probes to
/// a minute, and would take the silence that it causes itself for the peer's: a window that opens
/// for no time and shuts makes it begin with a second again.
const SHUT_WINDOW_INTERVAL: Duration = Duration::from_secs(5);
/// Doubling ends here: a link that comes back is noticed soon.
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// A window that differs, the window as it was, and three duplicates: whatever smoltcp had counted
/// before, it starts anew.
pub(crate) const PROMPTS: usize = 5;

/// What is known of the latest connection that we began.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LossRecovery {
    path: Option<Path>,
    /// SND.UNA, as the socket has it.
    acknowledged: u32,
    /// SND.NXT, as the frames have it.
    next: u32,
    /// Most data in one segment on the wire.
    largest: u32,
    /// Something was left to the device to cut into segments.
    is_cut: bool,
    /// How much is to be expected of what the device cuts: segments that arrived at once, less those
    /// that arrived when sent again, and hardly anything behind them.
    credit: u32,
    /// The peer wants segments that are too small to be cut by a device.
    is_peer_tiny: bool,
    /// SEG.WND of the peer's latest segment.
    window: u16,
    /// Bytes behind the oldest outstanding segment that the peer has.
    sacked: u32,
    /// Behind which byte, and since when, a round trip is being measured.
    timed: Option<(u32, Duration)>,
    round_trip: Option<Duration>,
    /// Since when the oldest outstanding segment is waited for.
    since: Duration,
    /// It was sent a second time.
    is_resent: bool,
    /// What was outstanding at the last loss is acknowledged up to here when it is mended.
    mended_at: Option<u32>,
    /// Prompts by time, not by evidence, since the last progress.
    attempts: u32,
    /// There is something to send and the peer has no room.
    is_shut: bool,
    /// When the peer was last heard.
    heard: Duration,
    congestion: CongestionWindow,
}

/// Addresses and ports, ours first, as in the frames that we send.
#[derive(Clone, Copy, Debug)]
struct Path {
    hardware: (EthernetAddress, EthernetAddress),
    addresses: (IpAddress, IpAddress),
    ports: (u16, u16),
    /// The sequence number of the first byte of data.
    first: u32,
}

fn part(time: Duration, of: u32) -> Duration {
    time.checked_div(of).unwrap_or_default()
}

impl LossRecovery {
    /// A segment of ours; `size`: the device cuts it into such with at most so many bytes of data.
    pub(crate) fn sent(&mut self, segment: &Segment<'_>, size: Option<NonZeroU16>, now: Duration) {
        let tcp = &segment.tcp;
        let ports = (tcp.src_port(), tcp.dst_port());
        let begin = tcp.seq_number().0.cast_unsigned();
        let length = u32::try_from(tcp.segment_len()).unwrap_or(0);
        let end = begin.wrapping_add(length);
        if tcp.syn() {
            let full = tcp.options_summary().ok().and_then(|options| options.max_segment_size);
            let is_again = self.path.is_some_and(|path| path.ports == ports);
            *self = Self {
                path: Some(Path {
                    hardware: segment.hardware,
                    addresses: segment.addresses,
                    ports,
                    first: end,
                }),
                acknowledged: begin,
                next: end,
                // Of two SYNs nobody knows which was answered (RFC 6298 §3).
                timed: (!is_again).then_some((end, now)),
                since: now,
                heard: now,
                credit: FIRST_CREDIT,
                congestion: CongestionWindow::new(full.unwrap_or(SMALLEST_FULL_SEGMENT).into()),
                ..Self::default()
            };
            return;
        }
        let Some(path) = self.path.as_mut().filter(|path| path.ports == ports) else { return };
        // The neighbour may have moved.
        path.hardware = segment.hardware;
        if length == 0 {
            return;
        }
        self.is_cut |= size.is_some();
        self.largest = self.largest.max(size.map_or(length, |size| length.min(size.get().into())));
        if is_after(end, self.next) {
            if self.next == self.acknowledged {
                (self.since, self.is_resent) = (now, false);
            }
            self.next = end;
            if self.timed.is_none() {
                self.timed = Some((end, now));
            }
        } else if begin == self.acknowledged {
            if !self.is_resent {
                // smoltcp's own idea: it has seen three duplicates itself.
                self.congestion.lost();
            }
            (self.since, self.is_resent) = (now, true);
            self.timed = None;
        }
    }

    /// A segment of the peer's, which nobody has vouched for: it may bring about that a segment is
    /// sent again, and nothing else.
    pub(crate) fn received(&mut self, segment: &Segment<'_>, now: Duration) {
        let tcp = &segment.tcp;
        let ports = (tcp.dst_port(), tcp.src_port());
        let Some(path) = self.path.filter(|path| path.ports == ports) else { return };
        if (segment.addresses.1, segment.addresses.0) != path.addresses {
            return;
        }
        self.heard = now;
        if tcp.syn() {
            // Not scaled yet (RFC 7323 §2.2), as all that follow are.
            let options = tcp.options_summary().ok();
            let scale = options.as_ref().and_then(|options| options.window_scale);
            self.window = (tcp.window_len() >> scale.unwrap_or(0).min(14)).max(1);
            let largest = options.and_then(|options| options.max_segment_size);
            self.is_peer_tiny = largest.is_some_and(|largest| largest < SMALLEST_FULL_SEGMENT);
            return;
        }
        let acknowledged = tcp.ack_number().0.cast_unsigned();
        if !tcp.ack()
            || is_after(self.acknowledged, acknowledged)
            || is_after(acknowledged, self.next)
        {
            return;
        }
        self.window = tcp.window_len();
        let ranges = tcp.selective_ack_ranges().unwrap_or_default();
        self.sacked = ranges
            .iter()
            .flatten()
            // A duplicate that is reported (RFC 2883) lies before what is outstanding.
            .filter(|(left, right)| is_after(*left, acknowledged) && is_after(*right, *left))
            .filter(|(_, right)| !is_after(*right, self.next))
            .fold(0, |sum: u32, (left, right)| sum.saturating_add(right.wrapping_sub(*left)));
    }

    /// Whether a segment of ours to `target`, between these ports, that begins here may be under way:
    /// who tells of it was on its path (RFC 5927 §4.1).
    pub(crate) fn is_under_way(&self, target: IpAddress, ports: (u16, u16), begin: u32) -> bool {
        self.path.is_some_and(|path| path.addresses.1 == target && path.ports == ports)
            && !is_after(self.acknowledged, begin)
            && is_after(self.next, begin)
    }

    /// Looks at what the socket knows: `acknowledged` bytes of data since the connection began, of
    /// which `outstanding` more wait in its buffer. Whether there is something to say to smoltcp.
    pub(crate) fn look(&mut self, now: Duration, acknowledged: u32, outstanding: usize) -> bool {
        let Some(path) = self.path else { return false };
        let acknowledged = path.first.wrapping_add(acknowledged);
        if is_after(acknowledged, self.acknowledged) {
            let outstanding = u32::try_from(outstanding).unwrap_or(u32::MAX);
            let bytes = acknowledged.wrapping_sub(self.acknowledged);
            self.congestion.delivered(bytes, outstanding);
            self.progress(now, acknowledged);
        }
        if outstanding == 0 {
            // What is left is an end without data, for smoltcp to send again.
            self.next = acknowledged;
        }
        self.is_shut = self.window == 0 && outstanding > 0;
        if self.is_shut {
            let is_due = self.poll_at().is_some_and(|due| now >= due);
            if is_due {
                self.since = now;
            }
            return is_due;
        }
        if !is_after(self.next, acknowledged) {
            return false;
        }
        let proof = self.largest.saturating_mul(REORDERED_SEGMENTS);
        let is_proven = self.sacked > proof && !self.is_resent;
        if !is_proven {
            match self.poll_at() {
                Some(due) if now >= due => self.attempts = self.attempts.saturating_add(1),
                _ => return false,
            }
        }
        // A probe of something that may only be late counts for nothing.
        if is_proven || self.mended_at.is_some() {
            self.congestion.lost();
        }
        if self.attempts > PROBES {
            self.congestion.timed_out();
        }
        self.since = now;
        self.is_resent = true;
        self.timed = None;
        self.mended_at.get_or_insert(self.next);
        true
    }

    fn progress(&mut self, now: Duration, acknowledged: u32) {
        if let Some((behind, begin)) = self.timed
            && !is_after(behind, acknowledged)
        {
            let sample = now.saturating_sub(begin);
            // RFC 6298 §2.3, alpha = 1/8.
            self.round_trip = Some(match self.round_trip {
                Some(smoothed) => {
                    smoothed.saturating_sub(part(smoothed, 8)).saturating_add(part(sample, 8))
                }
                None => sample,
            });
            self.timed = None;
        }
        // What is used up stays so: then nothing is cut that could say otherwise.
        if self.is_cut && self.credit > 0 {
            let bytes = acknowledged.wrapping_sub(self.acknowledged);
            let segments = bytes.checked_div(self.largest).unwrap_or(0);
            if !self.is_resent {
                self.credit = self.credit.saturating_add(segments).min(MOST_CREDIT);
            } else if segments <= 2 {
                // What follows it may have been too short to be cut.
                self.credit = self.credit.saturating_sub(1);
            }
        }
        self.acknowledged = acknowledged;
        if is_after(acknowledged, self.next) {
            self.next = acknowledged;
        }
        self.mended_at = self.mended_at.filter(|end| is_after(*end, acknowledged));
        (self.since, self.is_resent, self.attempts) = (now, false, 0);
    }

    /// When the oldest outstanding segment has been waited for long enough; nothing before a round
    /// trip was measured: smoltcp has a timer for that.
    pub(crate) fn poll_at(&self) -> Option<Duration> {
        if self.is_shut {
            return Some(self.heard.max(self.since).saturating_add(SHUT_WINDOW_INTERVAL));
        }
        if !is_after(self.next, self.acknowledged) {
            return None;
        }
        let round_trip = self.round_trip?;
        let wait = if self.mended_at.is_some() || self.sacked > 0 {
            round_trip.saturating_add(part(round_trip, 4).max(LEAST_REORDERING_WAIT))
        } else {
            let is_lone = self.next.wrapping_sub(self.acknowledged) <= self.largest;
            let slack = if is_lone { DELAYED_ACKNOWLEDGEMENT } else { SLACK };
            round_trip.saturating_mul(2).saturating_add(slack)
        };
        let wait = wait.saturating_mul(1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX));
        Some(self.since.saturating_add(wait.min(LONGEST_WAIT.max(round_trip))))
    }

    /// Whether the device had better not cut what is sent into segments. What it made of it may not
    /// arrive, be it for a fault of the device or, where an emulated one makes IP fragments, for a
    /// firewall: then each segment arrives that goes again, alone and uncut, and nothing else does.
    pub(crate) const fn is_cut_in_vain(&self) -> bool {
        self.is_peer_tiny || (self.is_cut && self.credit == 0)
    }

    /// There is no connection any more.
    pub(crate) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Bytes that may be under way at once.
    pub(crate) const fn congestion_window(&self) -> u32 {
        self.congestion.window()
    }

    /// When the peer was last heard, or the connection begun.
    pub(crate) const fn heard(&self) -> Duration {
        self.heard
    }

    /// Of [`PROMPTS`] frames that smoltcp is to take for the peer's, the one of this number, `due`
    /// being the peer's next byte.
    pub(crate) fn prompt(&self, number: usize, due: TcpSeqNumber) -> Option<Prompt> {
        let path = self.path?;
        if self.is_shut && number > 1 {
            return None;
        }
        let is_first = number == 0;
        let window = match self.window {
            0 if is_first => 1,
            1 if is_first => 2,
            window if is_first => window.saturating_sub(1),
            window => window,
        };
        let acknowledged = TcpSeqNumber(self.acknowledged.cast_signed());
        Some(Prompt::new(&path, due, acknowledged, window, &[]))
    }

    /// A byte that came before, which is answered by an acknowledgement at once (RFC 9293 §3.10.7.4);
    /// `acknowledged` and `due` as for [`look`](Self::look) and [`prompt`](Self::prompt).
    pub(crate) fn reminder(&self, acknowledged: u32, due: TcpSeqNumber) -> Option<Prompt> {
        let path = self.path?;
        let acknowledged = TcpSeqNumber(path.first.wrapping_add(acknowledged).cast_signed());
        let before = TcpSeqNumber(due.0.wrapping_sub(1));
        Some(Prompt::new(&path, before, acknowledged, self.window, &[0]))
    }
}

/// A frame of the peer's that it could have sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prompt {
    bytes: [u8; Self::ROOM],
    length: usize,
}

impl Prompt {
    const ROOM: usize = ETHERNET_HEADER_LEN + IPV6_HEADER_LEN + TCP_HEADER_LEN + 1;

    fn new(
        path: &Path,
        begin: TcpSeqNumber,
        acknowledged: TcpSeqNumber,
        window: u16,
        data: &[u8],
    ) -> Self {
        let (ours, theirs) = path.addresses;
        let tcp = TcpRepr {
            src_port: path.ports.1,
            dst_port: path.ports.0,
            control: TcpControl::None,
            seq_number: begin,
            ack_number: Some(acknowledged),
            window_len: window,
            window_scale: None,
            max_seg_size: None,
            sack_permitted: false,
            sack_ranges: [None; 3],
            timestamp: None,
            payload: data,
        };
        let length = TCP_HEADER_LEN.saturating_add(data.len());
        let ip = IpRepr::new(theirs, ours, IpProtocol::Tcp, length, 64);
        let ethernet = EthernetRepr {
            src_addr: path.hardware.1,
            dst_addr: path.hardware.0,
            ethertype: match ours {
                IpAddress::Ipv4(_) => EthernetProtocol::Ipv4,
                IpAddress::Ipv6(_) => EthernetProtocol::Ipv6,
            },
        };
        let mut prompt = Self { bytes: [0; Self::ROOM], length: 0 };
        let checksums = ChecksumCapabilities::default();
        ethernet.emit(&mut EthernetFrame::new_unchecked(&mut prompt.bytes[..]));
        let Some(packet) = prompt.bytes.get_mut(ETHERNET_HEADER_LEN..) else { return prompt };
        ip.emit(&mut *packet, &checksums);
        let header = ip.header_len();
        let end = header.saturating_add(length);
        let Some(segment) = packet.get_mut(header..end) else { return prompt };
        tcp.emit(&mut TcpPacket::new_unchecked(segment), &theirs, &ours, &checksums);
        prompt.length = ETHERNET_HEADER_LEN.saturating_add(end);
        prompt
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }
}
