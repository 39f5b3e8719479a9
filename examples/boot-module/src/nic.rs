//! The network card: the one that the plan wants, attached, with its link up.

use heapless::Vec;
use isboot::boot::{BootPlan, Parameters, PlanError, WantedNic};
use isboot_ibft::{MacAddress, PciAddress as TableAddress};
use isboot_transport::hal::wait_until;
use isboot_transport::intel::ids::Model;
use isboot_transport::intel::nic::Options;
use isboot_transport::link::Link;
use isboot_transport::pci::{PciFunction, ethernet_functions};

use crate::console::Event;
use crate::failure::{During, Failure};
use crate::machine::Machine;
use crate::pci::ConfigPorts;

pub(crate) type Nic = isboot_transport::intel::nic::Nic<Machine, ConfigPorts>;

/// Attaches the card that the plan wants. A card tells its MAC address only once it is attached:
/// one that is not wanted is let go again, and the one at the plan's PCI address comes first.
pub(crate) fn attach(plan: &mut BootPlan) -> Result<Nic, Failure> {
    let mut found: Vec<PciFunction, 32> = ethernet_functions(&ConfigPorts).take(32).collect();
    found.sort_unstable_by_key(|function| !is_expected(plan.nic, table_address(function)));
    for function in &found {
        let (vendor, device) = (function.vendor_id, function.device_id);
        if Model::find(vendor, device).is_none() {
            log::info!("{}: no driver for {vendor:04x}:{device:04x}", function.address);
            continue;
        }
        let nic = Nic::attach(Machine, ConfigPorts, function.address, &Options::default())
            .during("nic")?;
        let mac = MacAddress(nic.mac());
        if plan.choose_nic([(mac, table_address(function))].into_iter()).is_ok() {
            Event::new("nic")
                .field("name", nic.model().name)
                .field("bdf", nic.address())
                .field("mac", mac);
            return Ok(nic);
        }
        log::info!("{}: {mac} is not the one that is wanted", function.address);
        nic.detach().during("nic")?;
    }
    Err(Failure::new("nic", PlanError::NoSuchNic(plan.nic)))
}

/// Waits for the link.
pub(crate) fn wait_for_link(nic: &mut Nic, parameters: &Parameters) -> Result<(), Failure> {
    let limit = parameters.link_timeout;
    let mut link = Link::Down;
    wait_until(&Machine, limit, || {
        link = nic.link();
        link != Link::Down
    });
    match link {
        Link::Up { megabits, full_duplex } => {
            Event::new("link")
                .field("speed", megabits)
                .field("duplex", if full_duplex { "full" } else { "half" });
            Ok(())
        }
        Link::Gone => Err(Failure::new("link", "the network card no longer answers")),
        Link::Down => Err(Failure::new(
            "link",
            format_args!(
                "no link at {} ({}) within {} s: is the cable in, and the port on?",
                MacAddress(nic.mac()),
                nic.address(),
                limit.as_secs()
            ),
        )),
    }
}

/// Whether the plan names this PCI address.
fn is_expected(wanted: WantedNic, address: TableAddress) -> bool {
    match wanted {
        WantedNic::Table { pci, .. } | WantedNic::At(pci) => pci == address,
        WantedNic::Any => true,
    }
}

/// A function's address as the iBFT writes it.
fn table_address(function: &PciFunction) -> TableAddress {
    TableAddress::from_bits(function.address.to_bus_device_function())
}
