//! What is done between frames: whatever one of them, or the clock, brought about.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use heapless::Vec;
use smoltcp::phy::{Device, TxToken};
use smoltcp::socket::Socket;
use smoltcp::wire::IpCidr;

use super::dhcp::{self, Dhcp};
use super::gate::Handing;
use super::message::{MESSAGE_LIMIT, Mac, Message};
use super::{Address, AddressState, EGRESS_LIMIT, NetStack, TEND_INTERVAL, instant};
use crate::device::EthernetDevice;

impl<D: EthernetDevice> NetStack<'_, D> {
    /// Goes on with a name that is asked for; time passes for that without a link, too.
    pub(super) fn ask_name_servers(&mut self, now: Duration) {
        let is_ipv6 = match self.state {
            AddressState::Configured(Address { address, .. }) => Some(address.is_ipv6()),
            _ => None,
        };
        let (sockets, servers) = (&mut self.sockets, &self.name_servers);
        self.resolver.poll(now, sockets, servers, is_ipv6, &mut self.random);
    }

    /// Does what the neighbourhood wants done: whatever a frame or the clock brought about.
    pub(super) fn tend(&mut self, now: Duration) {
        let changed = self.dhcp.as_mut().is_some_and(|dhcp| dhcp.poll(now, &mut self.sockets));
        let touched = core::mem::take(&mut self.gate.neighbourhood().touched);
        if !changed && !touched && now < self.tend_at {
            return;
        }
        if let Some(routers) = &mut self.gate.neighbourhood().routers {
            routers.expire(now);
        }
        self.limit_mtu(now);
        self.follow_addresses(now);
        self.send_messages(now);
        self.decline_duplicate(now);
        self.configure(now);
        self.need_next_hops(now);
        self.tell_stack(now);
        let latest = now.saturating_add(TEND_INTERVAL);
        self.tend_at = self.due(now).map_or(latest, |due| due.min(latest));
    }

    /// When something of the neighbourhood is due.
    pub(super) fn due(&mut self, now: Duration) -> Option<Duration> {
        let neighbourhood = self.gate.neighbourhood();
        let routers = neighbourhood.routers.as_ref().and_then(|routers| routers.due(now));
        let (neighbours, checks) = (neighbourhood.neighbours.due(), neighbourhood.checks.due());
        let dhcp = self.dhcp.as_ref().and_then(Dhcp::due);
        [routers, neighbours, checks, dhcp, self.resolver.due()].into_iter().flatten().min()
    }

    /// Sends what is due: answers, checks, questions for neighbours, questions for routers.
    pub(super) fn send_messages(&mut self, now: Duration) {
        let own = self.own_addresses(now);
        let neighbourhood = self.gate.neighbourhood();
        let mac = neighbourhood.mac;
        for _ in 0..EGRESS_LIMIT {
            // Room first: what is taken out of its queue is sent.
            let Some(token) = self.device.transmit(instant(now)) else { break };
            let random = &mut self.random;
            let message = neighbourhood
                .answers
                .pop()
                .or_else(|| neighbourhood.checks.message(now, || random.next()));
            let checks = &neighbourhood.checks;
            // Of the target's own network, or else the link-local one, which is the last.
            let usable = |target: IpAddr| {
                let mut usable = own
                    .iter()
                    .filter(|(own, _)| own.is_ipv4() == target.is_ipv4() && checks.may_use(*own));
                let is_near = |(own, prefix): &&(IpAddr, u8)| {
                    IpCidr::new((*own).into(), *prefix).contains_addr(&target.into())
                };
                let source = usable.clone().find(is_near).or_else(|| usable.next_back());
                source.map(|(own, _)| *own)
            };
            let neighbours = &mut neighbourhood.neighbours;
            let message = message.or_else(|| neighbours.question(now, usable)).or_else(|| {
                let IpAddr::V6(source) = usable(Ipv6Addr::UNSPECIFIED.into())? else { return None };
                neighbourhood.routers.as_mut()?.message(now, source)
            });
            let Some(message) = message else { break };
            token.consume(message.length(mac), |frame| message.write(mac, frame));
        }
    }

    /// A lease of an address that somebody else has is given back, for another one.
    pub(super) fn decline_duplicate(&mut self, now: Duration) {
        let Some(lease) = self.lease() else { return };
        let address = IpAddr::V4(lease.address);
        if self.gate.neighbourhood().checks.duplicate(address).is_none() {
            return;
        }
        let Some(token) = self.device.transmit(instant(now)) else { return };
        let lease = self.dhcp.as_mut().and_then(|dhcp| dhcp.give_up(now, &mut self.sockets));
        if let Some(lease) = lease {
            let [a, b, c, d, ..] = self.random.next().to_le_bytes();
            let transaction = u32::from_le_bytes([a, b, c, d]);
            let (length, write) = dhcp::decline(&lease, self.configuration.mac, transaction);
            token.consume(length, write);
        }
    }

    /// Those whom a connection goes through stay known, whoever else wants room.
    pub(super) fn need_next_hops(&mut self, now: Duration) {
        let mut needed: Vec<IpAddr, 4> = Vec::new();
        for (_, socket) in self.sockets.iter() {
            if let Socket::Tcp(socket) = socket
                && let Some(remote) = socket.remote_endpoint()
                && let Some(hop) = self.next_hop(remote.addr.into())
            {
                let _ = needed.push(hop);
            }
        }
        if let Some(hop) = self.resolver.server().and_then(|server| self.next_hop(server)) {
            let _ = needed.push(hop);
        }
        self.gate.neighbourhood().neighbours.need(now, &needed);
    }

    /// Tells the stack who is where, in the only words that it understands: an answer.
    pub(super) fn tell_stack(&mut self, now: Duration) {
        let our_mac = self.configuration.mac;
        for _ in 0..EGRESS_LIMIT {
            let Some((address, mac)) = self.gate.neighbourhood().neighbours.untold(now) else {
                break;
            };
            let Some(answer) = self.made_up_answer(address, our_mac) else { continue };
            let mut buffer = [0; MESSAGE_LIMIT];
            let Some(frame) = buffer.get_mut(..answer.length(mac)) else { continue };
            answer.write(mac, frame);
            let Some(transmit) = self.device.transmit(instant(now)) else {
                // No room to answer, says the device: again with the next poll.
                self.gate.neighbourhood().neighbours.forget_told();
                break;
            };
            let mut telling = Handing::new(frame, self.gate.watched(transmit));
            self.interface.poll_ingress_single(instant(now), &mut telling, &mut self.sockets);
        }
    }

    /// What a neighbour would answer if we had asked it from an address of the same network.
    pub(super) fn made_up_answer(&self, neighbour: IpAddr, our_mac: Mac) -> Option<Message> {
        match neighbour {
            IpAddr::V4(address) => {
                let asker: Ipv4Addr = self.interface.ipv4_addr()?;
                Some(Message::ArpReply { address, asker, to: our_mac })
            }
            IpAddr::V6(address) => {
                let asker: Ipv6Addr = self.interface.ipv6_addr()?;
                Some(Message::NeighbourAdvertisement { address, to: Some((asker, our_mac)) })
            }
        }
    }
}
