//! How large a packet may be on the way to the target.
//!
//! Everybody on a link takes the link's MTU. Behind a router nobody knows, and smoltcp neither lets
//! routers cut its packets nor listens to those that cannot pass them on. So packets that a router
//! gets are small enough for every path, unless configured otherwise; and a router that says
//! what it can pass on is heard (RFC 1191, RFC 8201), if it quotes what is under way (RFC 5927 §4).

use core::net::IpAddr;
use core::time::Duration;

use smoltcp::wire::{
    Icmpv4Message, Icmpv4Packet, Icmpv6Message, Icmpv6Packet, Ipv4Packet, Ipv6Packet,
};

/// What a path of which nothing is known carries: IPv6 asks it of every link (RFC 8200 §5), and
/// tunnels that carry IPv4 leave as much.
pub(super) const ROUTED_MTU: u16 = 1280;
/// What every path of IPv4 carries, as near as matters: no router is believed that says less.
const LEAST_IPV4_MTU: u16 = 576;
/// The same for IPv6 (RFC 8201 §4).
const LEAST_IPV6_MTU: u16 = 1280;
/// After this a path may have become wider (RFC 1191 §6.3).
const FORGET: Duration = Duration::from_secs(600);

/// What routers said of the way to the target.
#[derive(Debug, Default)]
pub(super) struct Path {
    limit: Option<Limit>,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    target: IpAddr,
    mtu: u16,
    until: Duration,
}

/// A router's word for a TCP segment of ours that it could not pass on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooBig {
    /// Where the segment went.
    pub(super) target: IpAddr,
    /// Its ports: ours, the target's.
    pub(super) ports: (u16, u16),
    /// Where it begins.
    pub(super) sequence: u32,
    /// What the router can pass on, in bytes of an IP packet; 0: it does not say.
    mtu: u32,
}

impl Path {
    /// Takes a router's word for a packet of ours that is under way. Says whether it changes
    /// anything.
    pub(super) fn heard(&mut self, now: Duration, said: &TooBig) -> bool {
        let target = said.target;
        let least = if target.is_ipv4() { LEAST_IPV4_MTU } else { LEAST_IPV6_MTU };
        let mtu = u16::try_from(said.mtu).unwrap_or(u16::MAX).max(least);
        let is_news = self.limit(now, target).is_none_or(|limit| mtu < limit);
        if is_news {
            self.limit = Some(Limit { target, mtu, until: now.saturating_add(FORGET) });
        }
        is_news
    }

    /// What routers can pass on to `target`, where one said so.
    pub(super) fn limit(&self, now: Duration, target: IpAddr) -> Option<u16> {
        let limit = self.limit.filter(|limit| limit.target == target && now < limit.until);
        limit.map(|limit| limit.mtu)
    }
}

impl TooBig {
    /// The message in a frame, when it is one.
    pub(super) fn read(frame: &[u8]) -> Option<Self> {
        let (header, packet) = frame.split_first_chunk::<14>()?;
        let [.., t0, t1] = header;
        // Nearly every frame is something else, by its next header.
        match ([*t0, *t1], packet.get(9), packet.get(6)) {
            ([0x08, 0x00], Some(&ICMP), _) => Self::read_ipv4(packet),
            ([0x86, 0xdd], _, Some(&ICMPV6)) => Self::read_ipv6(packet),
            _ => None,
        }
    }

    /// Destination Unreachable, Fragmentation Needed (RFC 792, RFC 1191 §4).
    fn read_ipv4(packet: &[u8]) -> Option<Self> {
        const FRAGMENTATION_NEEDED: u8 = 4;
        let packet = Ipv4Packet::new_checked(packet).ok()?;
        let message = Icmpv4Packet::new_checked(packet.payload()).ok()?;
        let is_it = message.msg_type() == Icmpv4Message::DstUnreachable
            && message.msg_code() == FRAGMENTATION_NEEDED
            && !packet.more_frags()
            && packet.frag_offset() == 0
            && message.verify_checksum();
        let [_, _, _, _, _, _, m0, m1, quoted @ ..] = packet.payload() else { return None };
        let header = quoted.first_chunk::<20>()?;
        let [version_length, _, _, _, _, _, _, _, _, protocol, _, _, _, _, _, _, target @ ..] =
            header;
        let is_tcp = version_length >> 4 == 4 && *protocol == TCP;
        let segment = quoted.get(usize::from(version_length & 0x0f).wrapping_mul(4)..)?;
        let mtu = u16::from_be_bytes([*m0, *m1]).into();
        Self::of_segment((*target).into(), segment, mtu).filter(|_| is_it && is_tcp)
    }

    /// Packet Too Big (RFC 4443 §3.2).
    fn read_ipv6(packet: &[u8]) -> Option<Self> {
        let packet = Ipv6Packet::new_checked(packet).ok()?;
        let message = Icmpv6Packet::new_checked(packet.payload()).ok()?;
        let is_it = message.msg_type() == Icmpv6Message::PktTooBig
            && message.verify_checksum(&packet.src_addr(), &packet.dst_addr());
        let [_, _, _, _, m0, m1, m2, m3, quoted @ ..] = packet.payload() else { return None };
        let (header, segment) = quoted.split_first_chunk::<40>()?;
        let [version, _, _, _, _, _, next_header, ..] = header;
        let is_tcp = version >> 4 == 6 && *next_header == TCP;
        let target = *header.last_chunk::<16>()?;
        let mtu = u32::from_be_bytes([*m0, *m1, *m2, *m3]);
        Self::of_segment(target.into(), segment, mtu).filter(|_| is_it && is_tcp)
    }

    /// Of a quoted segment eight bytes are sure.
    fn of_segment(target: IpAddr, segment: &[u8], mtu: u32) -> Option<Self> {
        let [s0, s1, d0, d1, n0, n1, n2, n3] = segment.first_chunk::<8>()?;
        let ports = (u16::from_be_bytes([*s0, *s1]), u16::from_be_bytes([*d0, *d1]));
        let sequence = u32::from_be_bytes([*n0, *n1, *n2, *n3]);
        Some(Self { target, ports, sequence, mtu })
    }
}

const ICMP: u8 = 1;
const TCP: u8 = 6;
const ICMPV6: u8 = 58;
