//! DHCPv4: smoltcp's client, its timers, and what it got (RFC 2131 §4.4).

use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use heapless::Vec;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::dhcpv4::{Event, RetryConfig, Socket};
use smoltcp::wire::{
    DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessageType, DhcpPacket, DhcpRepr, EthernetAddress,
    EthernetFrame, EthernetProtocol, EthernetRepr, IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket,
    UdpRepr,
};

use super::is_station;
use super::message::{BROADCAST, Mac};

/// The most name servers that smoltcp takes out of an answer.
const NAME_SERVER_LIMIT: usize = 3;
/// Between two questions of a client that has no address (RFC 2131 §4.1 begins with four seconds,
/// for networks slower than ours).
const DISCOVER_INTERVAL: Duration = Duration::from_secs(2);
const REQUEST_INTERVAL: Duration = Duration::from_secs(1);
/// The least time between two attempts to renew. RFC 2131 §4.4.5 says a minute; with short leases
/// two lost frames would then cost the address, and with it the disk.
const LEAST_RENEW_INTERVAL: Duration = Duration::from_secs(10);

/// A lease that ends sooner than this is not asked for again at once: a server that gives leases of
/// no time would be asked without end.
const SHORT_LEASE: Duration = Duration::from_secs(10);
const SHORT_LEASE_PAUSE: Duration = Duration::from_secs(2);
/// The wait after an address was declined (RFC 2131 §3.1.5).
const DECLINE_PAUSE: Duration = Duration::from_secs(10);

/// What a server gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) address: Ipv4Addr,
    pub(super) prefix: u8,
    pub(super) router: Option<Ipv4Addr>,
    pub(super) name_servers: Vec<Ipv4Addr, NAME_SERVER_LIMIT>,
    pub(super) server: Ipv4Addr,
}

/// The client.
#[derive(Debug)]
pub(super) struct Dhcp {
    client: Client,
    lease: Option<Lease>,
    /// When the lease came.
    since: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Client {
    Asking(SocketHandle),
    /// Begins anew then.
    Paused(Duration),
}

impl Dhcp {
    /// Begins to ask.
    pub(super) fn start(sockets: &mut SocketSet<'_>) -> Self {
        Self { client: ask(sockets), lease: None, since: Duration::ZERO }
    }

    /// What it has by now.
    pub(super) const fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Takes over what the client got or lost; says whether that was anything.
    pub(super) fn poll(&mut self, now: Duration, sockets: &mut SocketSet<'_>) -> bool {
        let socket = match self.client {
            Client::Asking(socket) => socket,
            Client::Paused(until) => {
                if now >= until {
                    self.client = ask(sockets);
                }
                return false;
            }
        };
        let lease = match sockets.get_mut::<Socket<'_>>(socket).poll() {
            None => return false,
            Some(Event::Deconfigured) => None,
            Some(Event::Configured(given)) => Some(Lease {
                address: given.address.address(),
                prefix: given.address.prefix_len(),
                // A router outside the station range is no reason to do without the address.
                router: given.router.filter(|router| is_station(IpAddr::V4(*router))),
                name_servers: given.dns_servers.iter().copied().collect(),
                server: given.server.identifier,
            }),
        };
        match (&self.lease, &lease) {
            (Some(had), Some(got)) if had.address != got.address => {
                log::warn!("DHCP: the address was {}, and is {} now", had.address, got.address);
            }
            (Some(had), None) => {
                log::warn!("DHCP: the lease of {} by {} is over", had.address, had.server);
                if now.saturating_sub(self.since) < SHORT_LEASE {
                    self.pause(sockets, now.saturating_add(SHORT_LEASE_PAUSE));
                }
            }
            (None, Some(_)) => self.since = now,
            _ => {}
        }
        let changed = self.lease != lease;
        self.lease = lease;
        changed
    }

    /// Somebody else has the address: gives the lease up, for the server to be told of that by a
    /// [`decline`], and begins anew later.
    pub(super) fn give_up(&mut self, now: Duration, sockets: &mut SocketSet<'_>) -> Option<Lease> {
        self.pause(sockets, now.saturating_add(DECLINE_PAUSE));
        self.lease.take()
    }

    /// When it begins anew.
    pub(super) const fn due(&self) -> Option<Duration> {
        match self.client {
            Client::Asking(_) => None,
            Client::Paused(until) => Some(until),
        }
    }

    /// The wire is back: a client without a lease does not wait for the retry of a question that
    /// went nowhere. A lease holds as long as it holds.
    pub(super) fn link_is_back(&mut self, sockets: &mut SocketSet<'_>) {
        if let (Client::Asking(socket), None) = (self.client, &self.lease) {
            sockets.get_mut::<Socket<'_>>(socket).reset();
        }
    }

    fn pause(&mut self, sockets: &mut SocketSet<'_>, until: Duration) {
        if let Client::Asking(socket) = self.client {
            drop(sockets.remove(socket));
        }
        self.client = Client::Paused(until);
    }
}

fn ask(sockets: &mut SocketSet<'_>) -> Client {
    let mut socket = Socket::new();
    let mut retry = RetryConfig::default();
    retry.discover_timeout = DISCOVER_INTERVAL.into();
    retry.initial_request_timeout = REQUEST_INTERVAL.into();
    retry.min_renew_timeout = LEAST_RENEW_INTERVAL.into();
    socket.set_retry_config(retry);
    Client::Asking(sockets.add(socket))
}

/// A message that says that somebody else has the address of a lease (RFC 2131 §4.4.4): its length
/// and what writes it.
pub(super) fn decline(
    lease: &Lease,
    mac: Mac,
    transaction_id: u32,
) -> (usize, impl FnOnce(&mut [u8]) + use<>) {
    /// Of Ethernet, IPv4 and UDP.
    const HEADERS: usize = 14 + 20 + 8;
    let nobody = Ipv4Addr::UNSPECIFIED;
    let client = EthernetAddress(mac);
    let dhcp = DhcpRepr {
        message_type: DhcpMessageType::Decline,
        transaction_id,
        secs: 0,
        client_hardware_address: client,
        client_ip: nobody,
        your_ip: nobody,
        server_ip: nobody,
        router: None,
        subnet_mask: None,
        relay_agent_ip: nobody,
        broadcast: false,
        requested_ip: Some(lease.address),
        client_identifier: Some(client),
        server_identifier: Some(lease.server),
        parameter_request_list: None,
        dns_servers: None,
        max_size: None,
        lease_duration: None,
        renew_duration: None,
        rebind_duration: None,
        additional_options: &[],
    };
    let udp = UdpRepr { src_port: DHCP_CLIENT_PORT, dst_port: DHCP_SERVER_PORT };
    let ip = Ipv4Repr {
        src_addr: nobody,
        dst_addr: Ipv4Addr::BROADCAST,
        next_header: IpProtocol::Udp,
        payload_len: dhcp.buffer_len().saturating_add(udp.header_len()),
        hop_limit: 64,
    };
    let length = dhcp.buffer_len().saturating_add(HEADERS);
    let write = move |frame: &mut [u8]| {
        let sums = ChecksumCapabilities::default();
        let mut frame = EthernetFrame::new_unchecked(frame);
        let (dst_addr, ethertype) = (EthernetAddress(BROADCAST), EthernetProtocol::Ipv4);
        EthernetRepr { src_addr: client, dst_addr, ethertype }.emit(&mut frame);
        let mut packet = Ipv4Packet::new_unchecked(frame.payload_mut());
        ip.emit(&mut packet, &sums);
        udp.emit(
            &mut UdpPacket::new_unchecked(packet.payload_mut()),
            &ip.src_addr.into(),
            &ip.dst_addr.into(),
            dhcp.buffer_len(),
            // Its buffer is as long as it asked for: nothing else can fail.
            |payload| {
                let _ = dhcp.emit(&mut DhcpPacket::new_unchecked(payload));
            },
            &sums,
        );
    };
    (length, write)
}
