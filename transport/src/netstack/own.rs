//! Which addresses and routes the interface is to have, of all that was configured and heard, and how
//! it comes to have them.

use core::net::{IpAddr, Ipv6Addr};
use core::time::Duration;

use heapless::Vec;
use smoltcp::iface::Route;
use smoltcp::wire::{IpAddress, IpCidr};

use super::configuration::{identifier, link_local};
use super::dhcp::{Dhcp, Lease};
use super::path::ROUTED_MTU;
use super::router::Routers;
use super::{
    ADDRESS_LIMIT, Address, AddressState, Addressing, NAME_SERVER_LIMIT, NetStack, new_interface,
    usual_mtu,
};
use crate::device::EthernetDevice;

impl<D: EthernetDevice> NetStack<'_, D> {
    /// Begins checks for the addresses that are ours by now.
    pub(super) fn follow_addresses(&mut self, now: Duration) {
        let addresses = self.own_addresses(now);
        let random = &mut self.random;
        let checks = &mut self.gate.neighbourhood().checks;
        let how = self.configuration.address_check;
        checks.follow(now, addresses.iter().map(|(address, _)| *address), how, || random.next());
        self.configure(now);
    }

    /// The addresses that we are to have, with their prefix lengths; what names us comes first.
    pub(super) fn own_addresses(&mut self, now: Duration) -> Vec<(IpAddr, u8), ADDRESS_LIMIT> {
        let mac = self.configuration.mac;
        let link_local = (IpAddr::V6(link_local(mac)), 64);
        let mut own = Vec::new();
        match self.configuration.addressing {
            Addressing::Static { address, prefix, .. } => {
                let _ = own.push((address, prefix));
                // Routers speak from link-local addresses and expect us to have one.
                let is_link_local = |v6: &Ipv6Addr| v6.is_unicast_link_local();
                if matches!(&address, IpAddr::V6(v6) if !is_link_local(v6)) {
                    let _ = own.push(link_local);
                }
            }
            Addressing::Dhcp => {
                if let Some(lease) = self.lease() {
                    let _ = own.push((IpAddr::V4(lease.address), lease.prefix));
                }
            }
            Addressing::Slaac => {
                if let Some(routers) = &self.gate.neighbourhood().routers {
                    for made in routers.addresses(now, identifier(mac)) {
                        let _ = own.push((IpAddr::V6(made.address), made.prefix));
                    }
                }
                let _ = own.push(link_local);
            }
        }
        own
    }

    pub(super) fn lease(&self) -> Option<&Lease> {
        self.dhcp.as_ref().and_then(Dhcp::lease)
    }

    /// Gives the interface the addresses and routes that it is to have by now. What is the same
    /// stays as it is: a change of addresses costs the stack all its neighbours.
    pub(super) fn configure(&mut self, now: Duration) {
        let own = self.own_addresses(now);
        let checks = &self.gate.neighbourhood().checks;
        let usable = own.iter().filter(|(address, _)| checks.may_use(*address));
        let usable = usable.map(|(address, prefix)| IpCidr::new((*address).into(), *prefix));
        let usable: Vec<IpCidr, ADDRESS_LIMIT> = usable.collect();
        let duplicate = own.iter().find_map(|(address, _)| checks.duplicate(*address));
        if self.interface.ip_addrs() != usable.as_slice() {
            self.interface.update_ip_addrs(|addresses| {
                addresses.clear();
                let _ = addresses.extend_from_slice(&usable);
            });
            self.gate.neighbourhood().neighbours.forget_told();
        }
        self.configure_routes(now);
        self.name_servers = self.known_name_servers();
        self.state = match (self.main_address(&usable), duplicate) {
            (_, Some(conflict)) => AddressState::Duplicate(conflict),
            (Some(address), None) => AddressState::Configured(address),
            (None, None) => AddressState::Pending,
        };
    }

    pub(super) fn configure_routes(&mut self, now: Duration) {
        let mut wanted: Vec<Route, 3> = Vec::new();
        match self.gateway() {
            Some(IpAddr::V4(gateway)) if self.is_on_our_network(gateway.into()) => {
                let _ = wanted.push(Route::new_ipv4_gateway(gateway));
            }
            Some(IpAddr::V6(gateway)) => {
                let _ = wanted.push(Route::new_ipv6_gateway(gateway));
            }
            _ => {}
        }
        // What is on the link by a router's word, and by no address of ours, is its own next hop.
        self.direct = None;
        if let Some(IpAddr::V6(destination)) = self.destination
            && !self.is_on_our_network(destination.into())
            && let Some(routers) = &self.gate.neighbourhood().routers
            && routers.is_on_link(now, destination)
        {
            let mut route = Route::new_ipv6_gateway(destination);
            route.cidr = IpCidr::new(destination.into(), 128);
            let _ = wanted.push(route);
            self.direct = Some(destination.into());
        }
        self.interface.routes_mut().update(|routes| {
            let key = |route: &Route| (route.cidr, route.via_router);
            if !routes.iter().map(key).eq(wanted.iter().map(key)) {
                routes.clear();
                let _ = routes.extend_from_slice(&wanted);
            }
        });
    }

    /// The router for what is not on the link.
    pub(super) fn gateway(&mut self) -> Option<IpAddr> {
        if let Addressing::Static { gateway: Some(gateway), .. } = self.configuration.addressing {
            return Some(gateway);
        }
        if let Some(lease) = self.lease() {
            return lease.router.map(IpAddr::V4);
        }
        let neighbourhood = self.gate.neighbourhood();
        let neighbours = &neighbourhood.neighbours;
        let is_lost = |router: Ipv6Addr| neighbours.is_lost(router.into());
        let router = neighbourhood.routers.as_ref()?.default_router(is_lost);
        router.map(IpAddr::V6)
    }

    pub(super) fn known_name_servers(&mut self) -> Vec<IpAddr, NAME_SERVER_LIMIT> {
        let mut known = Vec::new();
        if let Some(dns) = self.configuration.dns {
            let _ = known.push(dns);
        }
        if let Addressing::Static { dns: Some(dns), .. } = self.configuration.addressing {
            let _ = known.push(dns);
        }
        if let Some(lease) = self.lease() {
            for server in &lease.name_servers {
                let _ = known.push(IpAddr::V4(*server));
            }
        }
        if let Some(routers) = &self.gate.neighbourhood().routers {
            for server in routers.dns() {
                let _ = known.push(IpAddr::V6(server));
            }
        }
        known
    }

    /// The address that names us, if it can be used.
    pub(super) fn main_address(&mut self, usable: &[IpCidr]) -> Option<Address> {
        let (address, prefix) = match self.configuration.addressing {
            Addressing::Static { address, prefix, .. } => (address, prefix),
            Addressing::Dhcp => {
                let lease = self.lease()?;
                (IpAddr::V4(lease.address), lease.prefix)
            }
            Addressing::Slaac => {
                let cidr = usable.iter().find(|cidr| {
                    matches!(cidr.address(), IpAddress::Ipv6(v6) if !v6.is_unicast_link_local())
                })?;
                (cidr.address().into(), cidr.prefix_len())
            }
        };
        let is_usable = usable.iter().any(|cidr| IpAddr::from(cidr.address()) == address);
        is_usable.then_some(Address {
            address,
            prefix,
            gateway: self.gateway(),
            dns: self.name_servers.first().copied(),
            dhcp_server: self.lease().map(|lease| IpAddr::V4(lease.server)),
        })
    }

    /// Whether frames to `address` need no router, by our addresses or by a router's word.
    pub(super) fn is_on_link(&mut self, now: Duration, address: IpAddr) -> bool {
        if self.is_on_our_network(address) {
            return true;
        }
        let routers = self.gate.neighbourhood().routers.as_ref();
        match (address, routers) {
            (IpAddr::V6(v6), Some(routers)) => routers.is_on_link(now, v6),
            _ => false,
        }
    }

    pub(super) fn is_on_our_network(&self, address: IpAddr) -> bool {
        let address = IpAddress::from(address);
        self.interface.ip_addrs().iter().any(|cidr| cidr.contains_addr(&address))
    }

    /// Whom frames to `address` are handed to.
    pub(super) fn next_hop(&self, address: IpAddr) -> Option<IpAddr> {
        let addresses = self.interface.ip_addrs();
        let family = |own: &IpCidr| IpAddr::from(own.address()).is_ipv4() == address.is_ipv4();
        if !addresses.iter().any(family) {
            return None;
        }
        if self.is_on_our_network(address) || self.direct == Some(address) {
            return Some(address);
        }
        let routes = self.interface.routes();
        let router = match address {
            IpAddr::V4(_) => routes.get_default_ipv4_route(),
            IpAddr::V6(_) => routes.get_default_ipv6_route(),
        };
        router.map(|route| route.via_router.into())
    }

    /// smoltcp takes the MTU once, when an interface is made, and whether the device cuts segments:
    /// another one needs another interface. Sockets live outside of it; its addresses and routes come
    /// back with the next look at them.
    pub(super) fn limit_mtu(&mut self, now: Duration) {
        let is_in_vain = self.recovery(|recovery| recovery.is_cut_in_vain());
        self.device.allow_segmentation(!is_in_vain);
        let (mtu, segmentation) = (self.path_mtu(now), self.device.longest_segmented());
        if (mtu, segmentation) != (self.mtu, self.segmentation) {
            if is_in_vain && self.segmentation.is_some() {
                log::warn!(
                    "nothing arrives of what the network interface cuts into segments: it no \
                     longer does for this connection (isboot.segmentation_offload=no: never)"
                );
            }
            (self.mtu, self.segmentation) = (mtu, segmentation);
            self.device.set_mtu(mtu);
            self.begin_anew(now);
        }
    }

    /// The largest packet that may go to the target, and come from there.
    pub(super) fn path_mtu(&mut self, now: Duration) -> u16 {
        let is_near = match self.destination {
            Some(target) => self.is_on_link(now, target),
            None => true,
        };
        let unknown = match self.configuration.mtu {
            Some(mtu) => mtu,
            None if is_near => usual_mtu(&self.device),
            None => usual_mtu(&self.device).min(ROUTED_MTU),
        };
        let neighbourhood = self.gate.neighbourhood();
        let advertised = neighbourhood.routers.as_ref().and_then(Routers::mtu);
        let said = self.destination.and_then(|target| neighbourhood.path.limit(now, target));
        [advertised, said].into_iter().flatten().fold(unknown, u16::min)
    }

    /// Before a connection: what smoltcp's numbers were so far, such as those of DHCP that the
    /// whole network hears, tells nothing of the next initial sequence number (RFC 6528 §3).
    pub(crate) fn renew_numbers(&mut self, now: Duration) {
        self.begin_anew(now);
        self.configure(now);
    }

    pub(super) fn begin_anew(&mut self, now: Duration) {
        let seed = self.random.next();
        self.interface = new_interface(self.configuration.mac, seed, &mut self.device, now);
    }
}
