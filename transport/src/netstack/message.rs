//! What frames say about who has which address: ARP (RFC 826), neighbour discovery (RFC 4861 §4).

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    EthernetRepr, Icmpv6Message, Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet, Ipv6Repr,
    NdiscNeighborFlags, NdiscRepr,
};

/// A MAC address.
pub(super) type Mac = [u8; 6];

/// The MAC address of everyone.
pub(super) const BROADCAST: Mac = [0xff; 6];
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// What proves that no router passed the packet on (RFC 4861 §3.1).
const HOP_LIMIT: u8 = 255;

/// Somebody says that an address is at a MAC address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) address: IpAddr,
    pub(super) mac: Mac,
    /// Sent to us alone, as an answer is.
    pub(super) is_answer: bool,
}

/// Somebody asks who has an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) target: IpAddr,
    /// `None`: it wants the address for itself (RFC 5227 §1.1, RFC 4862 §5.4.2).
    pub(super) asker: Option<IpAddr>,
    pub(super) mac: Mac,
}

/// A router's word, its options still to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Advertisement<'a> {
    pub(super) router: Ipv6Addr,
    /// From the type field on, 16 bytes at least.
    pub(super) body: &'a [u8],
}

/// A frame, by what it is to the neighbourhood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received<'a> {
    /// Nothing: it is for the stack.
    Other,
    /// About addresses; who has one, who asks for one.
    Sighting(Option<Claim>, Option<Question>),
    /// A router's.
    Router(Advertisement<'a>),
}

/// About addresses, and nothing that counts.
const NOTHING: Received<'_> = Received::Sighting(None, None);

/// Reads a frame. Neighbour discovery that RFC 4861 §6.1 or §7.1 does not allow says nothing.
pub(super) fn read(frame: &[u8]) -> Received<'_> {
    let Ok(frame) = EthernetFrame::new_checked(frame) else { return Received::Other };
    let us_alone = frame.dst_addr().is_unicast();
    match frame.ethertype() {
        EthernetProtocol::Arp => read_arp(frame.payload(), us_alone).unwrap_or(NOTHING),
        // smoltcp would send to a DHCP server where an offer came from, and panics at no address.
        EthernetProtocol::Ipv4 if frame.payload().get(12..16) == Some(&[0; 4]) => NOTHING,
        EthernetProtocol::Ipv6 => read_ipv6(frame.payload(), frame.src_addr()),
        _ => Received::Other,
    }
}

fn read_arp(payload: &[u8], us_alone: bool) -> Option<Received<'_>> {
    let packet = ArpPacket::new_checked(payload).ok()?;
    let ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr,
        source_protocol_addr: source,
        target_protocol_addr: target,
        ..
    } = ArpRepr::parse(&packet).ok()?
    else {
        return None;
    };
    if !is_station_mac(source_hardware_addr) || source.is_multicast() || source.is_broadcast() {
        return None;
    }
    let mac = source_hardware_addr.0;
    let source = (!source.is_unspecified()).then_some(IpAddr::V4(source));
    let is_request = operation == ArpOperation::Request;
    let is_reply = operation == ArpOperation::Reply;
    let claim = source.filter(|_| is_request || is_reply);
    Some(Received::Sighting(
        claim.map(|address| Claim { address, mac, is_answer: is_reply && us_alone }),
        // Who asks for its own address announces it.
        (is_request && source != Some(target.into())).then_some(Question {
            target: target.into(),
            asker: source,
            mac,
        }),
    ))
}

fn read_ipv6(payload: &[u8], sender: EthernetAddress) -> Received<'_> {
    let Ok(packet) = Ipv6Packet::new_checked(payload) else { return Received::Other };
    let body = packet.payload();
    match packet.next_header() {
        IpProtocol::Icmpv6 if is_discovery(body) => {}
        // The stack would look behind the options and believe what it finds.
        IpProtocol::HopByHop if hides_discovery(body) => return NOTHING,
        _ => return Received::Other,
    }
    read_discovery(&packet, body, sender).unwrap_or(NOTHING)
}

/// Router and neighbour solicitations and advertisements, and redirects.
fn is_discovery(icmp: &[u8]) -> bool {
    icmp.first().is_some_and(|kind| (133..=137).contains(kind))
}

fn hides_discovery(options: &[u8]) -> bool {
    let [next, length, ..] = *options else { return false };
    let behind = usize::from(length).saturating_add(1).saturating_mul(8);
    next == u8::from(IpProtocol::Icmpv6) && options.get(behind..).is_some_and(is_discovery)
}

fn read_discovery<'a>(
    packet: &Ipv6Packet<&[u8]>,
    body: &'a [u8],
    sender: EthernetAddress,
) -> Option<Received<'a>> {
    let (source, destination) = (packet.src_addr(), packet.dst_addr());
    let icmp = Icmpv6Packet::new_checked(body).ok()?;
    let is_sound = packet.hop_limit() == HOP_LIMIT
        && icmp.msg_code() == 0
        && icmp.verify_checksum(&source, &destination)
        && is_station_mac(sender);
    if !is_sound {
        return None;
    }
    if icmp.msg_type() == Icmpv6Message::RouterAdvert {
        let is_router = source.is_unicast_link_local() && body.len() >= 16;
        return is_router.then_some(Received::Router(Advertisement { router: source, body }));
    }
    let (header, _) = body.split_first_chunk::<24>()?;
    let (_, target) = header.split_last_chunk::<16>()?;
    let target = Ipv6Addr::from_octets(*target);
    if target.is_multicast() || target.is_unspecified() {
        return None;
    }
    match icmp.msg_type() {
        Icmpv6Message::NeighborSolicit => {
            let link = link_address(body, SOURCE_LINK_ADDRESS)?;
            let question = |asker, mac| Question { target: target.into(), asker, mac };
            if source.is_unspecified() {
                let to_its_group = destination == solicited_node(target) && link.is_none();
                let question = question(None, sender.0);
                return to_its_group.then_some(Received::Sighting(None, Some(question)));
            }
            let mac = link.unwrap_or(sender.0);
            let claim = link.map(|mac| Claim { address: source.into(), mac, is_answer: false });
            Some(Received::Sighting(claim, Some(question(Some(source.into()), mac))))
        }
        Icmpv6Message::NeighborAdvert => {
            let flags = NdiscNeighborFlags::from_bits_truncate(*header.get(4)?);
            let solicited = flags.contains(NdiscNeighborFlags::SOLICITED);
            if solicited && destination.is_multicast() {
                return None;
            }
            // An answer to a question that was sent to its link address may leave that out.
            let mac = link_address(body, TARGET_LINK_ADDRESS)?.unwrap_or(sender.0);
            let claim = Claim { address: target.into(), mac, is_answer: solicited };
            Some(Received::Sighting(Some(claim), None))
        }
        _ => None,
    }
}

const SOURCE_LINK_ADDRESS: u8 = 1;
const TARGET_LINK_ADDRESS: u8 = 2;

/// The link address in a neighbour solicitation or advertisement, if there is one; nothing when
/// its options are malformed.
fn link_address(body: &[u8], kind: u8) -> Option<Option<Mac>> {
    let mut found = None;
    for option in options(body.get(24..)?) {
        let (option_kind, data) = option?;
        if option_kind == kind {
            let mac = *data.first_chunk::<6>()?;
            found = Some(is_station_mac(EthernetAddress(mac)).then_some(mac)?);
        }
    }
    Some(found)
}

/// The options of a discovery message (RFC 4861 §4.6): type and data. `None` ends a malformed list.
pub(super) fn options(mut bytes: &[u8]) -> impl Iterator<Item = Option<(u8, &[u8])>> {
    core::iter::from_fn(move || {
        let [kind, units, ..] = *bytes else {
            let is_cut = !core::mem::take(&mut bytes).is_empty();
            return is_cut.then_some(None);
        };
        let length = usize::from(units).saturating_mul(8);
        let option = bytes.get(2..length).map(|data| (kind, data));
        bytes = option.and_then(|_| bytes.get(length..)).unwrap_or_default();
        Some(option)
    })
}

fn is_station_mac(mac: EthernetAddress) -> bool {
    mac.is_unicast() && mac.0 != [0; 6]
}

/// The group that everyone with an address of these last 24 bits is in (RFC 4291 §2.7.1).
fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., a, b, c] = address.octets();
    Ipv6Addr::from_octets([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c])
}

/// The MAC address of an IPv6 group (RFC 2464 §7).
fn group_mac(group: Ipv6Addr) -> Mac {
    let [.., a, b, c, d] = group.octets();
    [0x33, 0x33, a, b, c, d]
}

/// A message of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// Who has `target`? Asked of one MAC address, or of everyone. An unspecified source wants
    /// the address for itself; a source that is the target announces itself.
    ArpRequest { source: Ipv4Addr, target: Ipv4Addr, to: Option<Mac> },
    /// `address` is here, told to `asker`, who asked.
    ArpReply { address: Ipv4Addr, asker: Ipv4Addr, to: Mac },
    /// Who has `target`? Asked of one MAC address, or of everyone.
    NeighbourSolicitation { source: Ipv6Addr, target: Ipv6Addr, to: Option<Mac> },
    /// `address` is here, told to somebody who asked, or to everyone.
    NeighbourAdvertisement { address: Ipv6Addr, to: Option<(Ipv6Addr, Mac)> },
    /// Is there a router?
    RouterSolicitation { source: Ipv6Addr },
}

/// More than any [`Message`] takes.
pub(super) const MESSAGE_LIMIT: usize = 96;
const ETHERNET_HEADER: usize = 14;
const IPV6_HEADER: usize = 40;

impl Message {
    /// The question who has `target`, from an address of ours of the same family.
    pub(super) fn question(source: IpAddr, target: IpAddr, to: Option<Mac>) -> Option<Self> {
        match (source, target) {
            (IpAddr::V4(source), IpAddr::V4(target)) => {
                Some(Self::ArpRequest { source, target, to })
            }
            (IpAddr::V6(source), IpAddr::V6(target)) => {
                Some(Self::NeighbourSolicitation { source, target, to })
            }
            _ => None,
        }
    }

    /// The answer that the address asked for is here.
    pub(super) fn answer(question: &Question) -> Option<Self> {
        let to = question.mac;
        match (question.target, question.asker) {
            (IpAddr::V4(address), Some(IpAddr::V4(asker))) => {
                Some(Self::ArpReply { address, asker, to })
            }
            (IpAddr::V4(address), None) => {
                Some(Self::ArpReply { address, asker: Ipv4Addr::UNSPECIFIED, to })
            }
            (IpAddr::V6(address), Some(IpAddr::V6(asker))) => {
                Some(Self::NeighbourAdvertisement { address, to: Some((asker, to)) })
            }
            (IpAddr::V6(address), None) => Some(Self::announcement(address.into())),
            _ => None,
        }
    }

    /// Tells everyone that `address` is here.
    pub(super) const fn announcement(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::ArpRequest { source: v4, target: v4, to: None },
            IpAddr::V6(address) => Self::NeighbourAdvertisement { address, to: None },
        }
    }

    /// Asks who has `address`, which we want for ourselves.
    pub(super) const fn probe(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(target) => {
                Self::ArpRequest { source: Ipv4Addr::UNSPECIFIED, target, to: None }
            }
            IpAddr::V6(target) => {
                Self::NeighbourSolicitation { source: Ipv6Addr::UNSPECIFIED, target, to: None }
            }
        }
    }

    /// Bytes of the frame.
    pub(super) fn length(&self, from: Mac) -> usize {
        let above = match self.parts(from) {
            Parts::Arp(_, arp) => arp.buffer_len(),
            Parts::Icmp(_, _, icmp) => icmp.buffer_len().saturating_add(IPV6_HEADER),
        };
        above.saturating_add(ETHERNET_HEADER)
    }

    /// Writes the frame, sent by `from`, into [`length`](Self::length) bytes.
    pub(super) fn write(&self, from: Mac, frame: &mut [u8]) {
        let parts = self.parts(from);
        let (to, ethertype) = match parts {
            Parts::Arp(to, _) => (to, EthernetProtocol::Arp),
            Parts::Icmp(to, ..) => (to, EthernetProtocol::Ipv6),
        };
        let mut frame = EthernetFrame::new_unchecked(frame);
        EthernetRepr { src_addr: EthernetAddress(from), dst_addr: EthernetAddress(to), ethertype }
            .emit(&mut frame);
        let payload = frame.payload_mut();
        match parts {
            Parts::Arp(_, arp) => arp.emit(&mut ArpPacket::new_unchecked(payload)),
            Parts::Icmp(_, ip, icmp) => {
                ip.emit(&mut Ipv6Packet::new_unchecked(&mut *payload));
                let (source, destination) = (ip.src_addr, ip.dst_addr);
                let mut packet = Ipv6Packet::new_unchecked(payload);
                let mut packet = Icmpv6Packet::new_unchecked(packet.payload_mut());
                let sums = ChecksumCapabilities::default();
                icmp.emit(&source, &destination, &mut packet, &sums);
            }
        }
    }

    fn parts(&self, from: Mac) -> Parts {
        let mac = EthernetAddress(from);
        let arp = |operation, source, target, target_mac: Option<Mac>| {
            let arp = ArpRepr::EthernetIpv4 {
                operation,
                source_hardware_addr: mac,
                source_protocol_addr: source,
                target_hardware_addr: EthernetAddress(target_mac.unwrap_or_default()),
                target_protocol_addr: target,
            };
            Parts::Arp(target_mac.unwrap_or(BROADCAST), arp)
        };
        let icmp = |source, destination, to: Option<Mac>, ndisc| {
            let icmp = Icmpv6Repr::Ndisc(ndisc);
            let ip = Ipv6Repr {
                src_addr: source,
                dst_addr: destination,
                next_header: IpProtocol::Icmpv6,
                payload_len: icmp.buffer_len(),
                hop_limit: HOP_LIMIT,
            };
            Parts::Icmp(to.unwrap_or_else(|| group_mac(destination)), ip, icmp)
        };
        match *self {
            Self::ArpRequest { source, target, to } => {
                arp(ArpOperation::Request, source, target, to)
            }
            Self::ArpReply { address, asker, to } => {
                arp(ArpOperation::Reply, address, asker, Some(to))
            }
            Self::NeighbourSolicitation { source, target, to } => {
                let destination = to.map_or_else(|| solicited_node(target), |_| target);
                let lladdr = (!source.is_unspecified()).then_some(mac.into());
                let ndisc = NdiscRepr::NeighborSolicit { target_addr: target, lladdr };
                icmp(source, destination, to, ndisc)
            }
            Self::NeighbourAdvertisement { address, to } => {
                let solicited = match to {
                    Some(_) => NdiscNeighborFlags::SOLICITED,
                    None => NdiscNeighborFlags::empty(),
                };
                let ndisc = NdiscRepr::NeighborAdvert {
                    flags: solicited | NdiscNeighborFlags::OVERRIDE,
                    target_addr: address,
                    lladdr: Some(mac.into()),
                };
                let (destination, to) = match to {
                    Some((asker, mac)) => (asker, Some(mac)),
                    None => (ALL_NODES, None),
                };
                icmp(address, destination, to, ndisc)
            }
            // Without its link address: the source may turn out to be somebody else's (RFC 4429
            // §3.2), and routers answer to everyone.
            Self::RouterSolicitation { source } => {
                icmp(source, ALL_ROUTERS, None, NdiscRepr::RouterSolicit { lladdr: None })
            }
        }
    }
}

/// A message in the stack's words.
enum Parts {
    Arp(Mac, ArpRepr),
    Icmp(Mac, Ipv6Repr, Icmpv6Repr<'static>),
}
