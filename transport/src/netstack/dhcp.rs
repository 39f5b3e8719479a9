//! DHCPv4: smoltcp's client, its timers, and what it got (RFC 2131 §4.4).

use core::net::{IpAddr, Ipv4Addr};

use heapless::Vec;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::dhcpv4::{Event, RetryConfig, Socket};
use smoltcp::time::Duration;

use super::is_station;

/// The most name servers that smoltcp takes out of an answer.
const NAME_SERVER_LIMIT: usize = 3;
/// Between two questions of a client that has no address (RFC 2131 §4.1 begins with four seconds,
/// for networks slower than ours).
const DISCOVER_INTERVAL: Duration = Duration::from_secs(2);
const REQUEST_INTERVAL: Duration = Duration::from_secs(1);
/// The least time between two attempts to renew. RFC 2131 §4.4.5 says a minute; with short leases
/// two lost frames would then cost the address, and with it the disk.
const LEAST_RENEW_INTERVAL: Duration = Duration::from_secs(10);

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
    socket: SocketHandle,
    lease: Option<Lease>,
}

impl Dhcp {
    /// Begins to ask.
    pub(super) fn start(sockets: &mut SocketSet<'_>) -> Self {
        let mut socket = Socket::new();
        let mut retry = RetryConfig::default();
        retry.discover_timeout = DISCOVER_INTERVAL;
        retry.initial_request_timeout = REQUEST_INTERVAL;
        retry.min_renew_timeout = LEAST_RENEW_INTERVAL;
        socket.set_retry_config(retry);
        Self { socket: sockets.add(socket), lease: None }
    }

    /// What it has by now.
    pub(super) const fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// Takes over what the client got or lost; says whether that was anything.
    pub(super) fn poll(&mut self, sockets: &mut SocketSet<'_>) -> bool {
        let lease = match sockets.get_mut::<Socket<'_>>(self.socket).poll() {
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
        if let Some(lease) = lease.as_ref().filter(|lease| !is_station(lease.address.into())) {
            log::warn!("DHCP: {} gave {}, no station's address", lease.server, lease.address);
            return false;
        }
        match (&self.lease, &lease) {
            (Some(had), Some(got)) if had.address != got.address => {
                log::warn!("DHCP: the address was {}, and is {} now", had.address, got.address);
            }
            (Some(had), None) => log::warn!("DHCP: the lease of {} is over", had.address),
            _ => {}
        }
        let changed = self.lease != lease;
        self.lease = lease;
        changed
    }

    /// The wire is back: a client without a lease does not wait for the retry of a question that
    /// went nowhere. A lease holds as long as it holds.
    pub(super) fn link_is_back(&mut self, sockets: &mut SocketSet<'_>) {
        if self.lease.is_none() {
            sockets.get_mut::<Socket<'_>>(self.socket).reset();
        }
    }
}
