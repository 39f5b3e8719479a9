//! The network card: the one that the plan wants, attached, with its link up.

use heapless::Vec;
use isboot::boot::{BootPlan, NicFound, Parameters, WantedNic};
use isboot_ibft::{MacAddress, PciAddress as TableAddress};
use isboot_transport::hal::wait_until;
use isboot_transport::intel::nic::{AttachError, Options};
use isboot_transport::link::Link;
use isboot_transport::pci::{PciFunction, ethernet_functions};

use crate::console::Event;
use crate::failure::{During, Failure};
use crate::machine::Machine;
use crate::pci::ConfigPorts;

pub(crate) type Nic = isboot_transport::intel::nic::Nic<Machine, ConfigPorts>;

/// Attaches the card that the plan wants. The others are looked at and left as they are: they may
/// be somebody else's.
pub(crate) fn attach(plan: &mut BootPlan, parameters: &Parameters) -> Result<Nic, Failure> {
    let functions: Vec<PciFunction, NICS> = ethernet_functions(&ConfigPorts).take(NICS).collect();
    let found: Vec<NicFound, NICS> = functions.iter().map(look_at).collect();
    let place = plan.choose_nic(&found).during("nic")?;
    let address = functions[place].address;
    // An address that firmware set is gone with the reset, and is the one that the network knows.
    let is_wanted = |mac: &MacAddress| match plan.nic {
        WantedNic::Table { mac: wanted, .. } | WantedNic::Mac(wanted) => *mac == wanted,
        _ => false,
    };
    let wanted = found[place].mac.filter(is_wanted).map(|MacAddress(mac)| mac);
    let options = Options { mac: wanted, ..parameters.nic_options() };
    let nic = Nic::attach(Machine, ConfigPorts, address, &options).during("nic")?;
    let mac = MacAddress(nic.mac());
    if let WantedNic::Table { mac: named, .. } = plan.nic
        && named != mac
    {
        log::warn!("{address}: chosen by its place, though the iBFT names {named}");
    }
    Event::new("nic").field("name", nic.model().name).field("bdf", address).field("mac", mac);
    Ok(nic)
}

/// So many Ethernet functions are looked at.
const NICS: usize = 32;

/// What is known of a function without touching it.
fn look_at(function: &PciFunction) -> NicFound {
    let address = function.address;
    let pci = TableAddress::from_bits(address.to_bus_device_function());
    match Nic::identify(Machine, &ConfigPorts, address) {
        Ok(identity) => {
            let mac = identity.mac.map(MacAddress);
            let has_link = identity.link.is_up();
            let found = NicFound { name: Ok(identity.model.name), mac, pci, has_link };
            log::info!("{found}");
            found
        }
        Err(error) => {
            log::info!("{error}");
            let why = match error {
                AttachError::Refused { .. } | AttachError::Unsupported { .. } => "no driver for it",
                _ => "it does not answer",
            };
            NicFound { name: Err(why), mac: None, pci, has_link: false }
        }
    }
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
