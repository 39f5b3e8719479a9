//! The network stack over the card: an address, and a TCP connection to come.

use core::net::IpAddr;

use isboot::boot::{BootPlan, Parameters};
use isboot_transport::device::NicDevice;
use isboot_transport::hal::wait_until;
use isboot_transport::netstack::{AddressState, Addressing, NetStack, Sockets};
use isboot_transport::tcp::{TcpOptions, TcpStream, receive_limit};
use isboot_transport::vlan::{VlanDrops, VlanId};

use crate::arena;
use crate::clock;
use crate::console::Event;
use crate::entropy;
use crate::failure::{During, Failure};
use crate::interrupt;
use crate::machine::Machine;
use crate::nic::Nic;
use crate::pci::ConfigPorts;
use crate::profile::Watched;

type Device = NicDevice<Machine, ConfigPorts>;

/// The connection that the initiator moves its bytes over.
pub(crate) type Stream = Watched<TcpStream<'static, Device>>;

/// What the target may have under way to us, where the receive ring of the card holds as much.
const RECEIVE_BUFFER: usize = 256 * 1024;
const TRANSMIT_BUFFER: usize = 128 * 1024;

/// Gives the card an address: the plan's, or one from DHCP or a router. The plan gets the target's,
/// where it only has a name.
pub(crate) fn start(
    nic: Nic,
    plan: &mut BootPlan,
    parameters: &Parameters,
) -> Result<Stream, Failure> {
    let configuration = plan.network(nic.mac(), random_seed(parameters)?, parameters);
    let sockets = arena::place(Sockets::new()).ok_or("no memory for sockets").during("address")?;
    let mut stack = NetStack::new(NicDevice::new(nic), sockets, &configuration, clock::now())
        .during("address")?;

    wait_until(&Machine, parameters.address_timeout, || {
        let now = clock::now();
        stack.poll(now);
        let found = stack.address_state() != AddressState::Pending;
        if !found {
            let next = stack.poll_at(now);
            interrupt::rest(stack.device_mut().nic_mut(), next, 0);
        }
        found
    });
    let limit = parameters.address_timeout.as_secs();
    let address = match (stack.address_state(), plan.addressing) {
        (AddressState::Configured(address), _) => address,
        (AddressState::Duplicate(conflict), _) => return Err(Failure::new("address", conflict)),
        (AddressState::Pending, from) => {
            let what = match from {
                Addressing::Static { .. } => "it is not known whether the iBFT's address is free",
                Addressing::Dhcp => "no answer to DHCP",
                Addressing::Slaac => "no router advertises an address",
            };
            let text = format_args!("{what} within {limit} s{}", OnVlan::of(&stack));
            return Err(Failure::new("address", text));
        }
    };
    Event::new("address")
        .field("ip", format_args!("{}/{}", address.address, address.prefix))
        .field("gateway", OrNone(address.gateway))
        .field("origin", origin(plan.addressing));

    if let Some(name) = &plan.server_name {
        let found = resolve(&mut stack, name)?;
        Event::new("name").field("host", name).field("ip", found);
        plan.resolved(found);
    }

    let options =
        TcpOptions { connect_timeout: parameters.timeouts.connect, ..TcpOptions::default() };
    let memory = || "no memory for the TCP buffers";
    let window = RECEIVE_BUFFER.min(receive_limit(&stack));
    let receive = arena::buffer(window).ok_or_else(memory).during("tcp")?;
    let transmit = arena::buffer(TRANSMIT_BUFFER).ok_or_else(memory).during("tcp")?;
    TcpStream::new(stack, receive, transmit, options).map(Watched).during("tcp")
}

/// Who gave the address.
fn origin(addressing: Addressing) -> &'static str {
    match addressing {
        Addressing::Static { .. } => "ibft",
        Addressing::Dhcp => "dhcp",
        Addressing::Slaac => "routers",
    }
}

/// The address of the target's server. The name servers' own patience bounds the wait.
fn resolve(stack: &mut NetStack<'_, Device>, name: &str) -> Result<IpAddr, Failure> {
    let unresolved =
        |error| Failure::new("name", format_args!("{name} in parameter root_path: {error}"));
    stack.resolve(name).map_err(unresolved)?;
    loop {
        let now = clock::now();
        stack.poll(now);
        if let Some(result) = stack.resolved() {
            return result.map_err(unresolved);
        }
        let next = stack.poll_at(now);
        interrupt::rest(stack.device_mut().nic_mut(), next, 0);
    }
}

/// Where nobody answers in a VLAN: which, and what came instead. Nothing where there is none.
pub(crate) struct OnVlan(Option<(VlanId, VlanDrops)>);

impl OnVlan {
    fn of(stack: &NetStack<'_, Device>) -> Self {
        Self(stack.vlan().map(|vlan| (vlan, stack.vlan_drops())))
    }

    pub(crate) fn under(stream: &Stream) -> Self {
        Self::of(stream.stack())
    }
}

impl core::fmt::Display for OnVlan {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some((vlan, drops)) => write!(f, ", on VLAN {vlan} (frames dropped: {drops})"),
            None => Ok(()),
        }
    }
}

/// Takes the stack apart again.
pub(crate) fn end(stream: Stream) -> Nic {
    stream.0.into_device().into_nic()
}

/// What TCP makes its sequence numbers and ports of (RFC 6528, RFC 6056). Who can guess them can
/// write into the connection without seeing it; CHAP does not keep him out, and digests do not.
fn random_seed(parameters: &Parameters) -> Result<u64, Failure> {
    let mut seed = [0; 8];
    match entropy::fill(&mut seed) {
        Ok(()) => Ok(u64::from_le_bytes(seed)),
        Err(none) if parameters.require_entropy => {
            let text = format_args!("{none}, and isboot.require_entropy=yes wants one");
            Err(Failure::new("address", text))
        }
        Err(none) => {
            log::warn!(
                "{none}: TCP sequence numbers come from the jitter of the clock, and are weak"
            );
            Ok(entropy::jitter())
        }
    }
}

struct OrNone(Option<IpAddr>);

impl core::fmt::Display for OrNone {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.0 {
            Some(address) => write!(f, "{address}"),
            None => f.write_str("none"),
        }
    }
}
