//! The table in words, for a person.

use std::fmt::{self, Write as _};

use isboot_ibft::{
    Error, Ibft, Initiator, LunEncoding, Nic, Origin, Structure, StructureHeader, Target, Text,
    flag, is_host_address,
};

use crate::Secrets;

/// Explains everything in the table, structure by structure, then the order to try the targets in
/// and what is wrong.
pub fn explain(ibft: &Ibft<'_>, origin: &str, secrets: Secrets) -> String {
    let mut page = Page::default();
    page.line(format_args!(
        "iBFT of {} bytes, checksum good, from {origin}",
        ibft.as_bytes().len()
    ));
    page.item("signature", ibft.signature().escape_ascii());
    page.item("firmware", format_args!("{} / {}", ibft.oem_id(), ibft.oem_table_id()));
    if ibft.boot_failover() {
        page.item("failover", "the next target is to be tried when one fails");
    }
    for structure in ibft.structures().flatten() {
        match structure {
            Structure::Initiator(it) => initiator(&it, &mut page),
            Structure::Nic(it) => nic(&it, &mut page),
            Structure::Target(it) => target(ibft, &it, secrets, &mut page),
            Structure::Extensions(it) => {
                page.heading(
                    format_args!("Extensions {}", it.index()),
                    it.offset(),
                    it.header(),
                    &[],
                );
                page.item("data", format_args!("{} bytes of the vendor's own", it.data().len()));
            }
            _ => {}
        }
    }
    boot_order(ibft, &mut page);
    if ibft.problems().next().is_some() {
        page.line("\nProblems");
        for problem in ibft.problems() {
            page.line(format_args!("  {problem}"));
        }
    }
    page.0
}

fn initiator(it: &Initiator<'_>, page: &mut Page) {
    page.heading("Initiator", it.offset(), it.header(), &[]);
    page.text("name", it.name());
    page.optional("iSNS server", it.isns_server());
    page.optional("SLP server", it.slp_server());
    page.optional("RADIUS server", it.primary_radius_server());
    page.optional("RADIUS server", it.secondary_radius_server());
}

fn nic(it: &Nic<'_>, page: &mut Page) {
    let scope = [(flag::GLOBAL, "global")];
    page.heading(format_args!("NIC {}", it.index()), it.offset(), it.header(), &scope);
    page.item("MAC address", it.mac());
    page.item("PCI address", it.pci_address());
    match (it.address(), it.prefix()) {
        (Some(address), Some(prefix)) => page.item("address", format_args!("{address}/{prefix}")),
        (Some(address), None) => {
            page.item("address", address);
            page.note(format_args!(
                "prefix length {} does not fit the address",
                it.prefix_length()
            ));
        }
        (None, _) => page.item("address", "none"),
    }
    page.item("origin", format_args!("{} ({})", it.origin(), it.origin_byte()));
    page.optional("gateway", it.gateway());
    page.optional("DNS server", it.primary_dns());
    page.optional("DNS server", it.secondary_dns());
    page.optional("DHCP server", it.dhcp_server());
    match it.vlan() {
        Some(vlan) => page.item("VLAN", vlan),
        None => page.item("VLAN", "none"),
    }
    page.text("host name", it.host_name());
    if it.uses_dhcp() {
        let why = if it.origin() == Origin::Dhcp { "origin 3" } else { "a server is named" };
        page.note(format_args!("DHCP in use ({why}), the address is a lease to be renewed"));
    }
    if !it.mac().is_usable() {
        page.note("no interface can have this MAC address");
    }
}

fn target(ibft: &Ibft<'_>, it: &Target<'_>, secrets: Secrets, page: &mut Page) {
    let radius =
        [(flag::RADIUS_CHAP, "RADIUS CHAP"), (flag::RADIUS_REVERSE_CHAP, "RADIUS reverse CHAP")];
    page.heading(format_args!("Target {}", it.index()), it.offset(), it.header(), &radius);
    page.text("name", it.name());
    match it.address() {
        Some(address) => page.item("portal", std::net::SocketAddr::new(address, it.port())),
        None => page.item("portal", "none"),
    }
    page.item("LUN", it.lun());
    match it.lun().encoding() {
        LunEncoding::Sam(_) => {}
        LunEncoding::LittleEndian(_) => {
            page.note("the LUN is a little-endian number instead of SAM's eight bytes");
        }
        LunEncoding::Opaque => page.note("the LUN is hierarchical and is passed on as it stands"),
    }
    page.item("through", through(ibft, it));
    page.item("CHAP", it.chap_type());
    for (what, name, secret) in [
        ("CHAP", it.chap_name(), it.chap_secret()),
        ("reverse CHAP", it.reverse_chap_name(), it.reverse_chap_secret()),
    ] {
        if !matches!(name, Ok(name) if name.is_empty()) {
            page.text(&format!("{what} name"), name);
        }
        if let Ok(secret) = secret
            && !secret.is_empty()
        {
            page.item(&format!("{what} secret"), secrets.print(secret));
        }
    }
    if let Some(address) = it.address().filter(|address| !is_host_address(*address)) {
        page.note(format_args!("no host can have the address {address}"));
    }
}

fn through(ibft: &Ibft<'_>, target: &Target<'_>) -> String {
    let association = target.nic_association();
    match ibft.nic_for(target) {
        Some(nic) if nic.index() == association => format!("NIC {association} ({})", nic.mac()),
        Some(nic) => {
            format!("NIC {} ({}), as there is no NIC {association}", nic.index(), nic.mac())
        }
        None => format!("NIC {association}, which the table does not have"),
    }
}

fn boot_order(ibft: &Ibft<'_>, page: &mut Page) {
    page.line("\nBoot order");
    for (place, target) in (1..).zip(ibft.targets_in_order()) {
        let (name, portal) = (target.name().unwrap_or_default(), target.portal());
        let portal = portal.map(|portal| portal.to_string()).unwrap_or_default();
        page.line(format_args!("  {place}. {name} at {portal}, LUN {}", target.lun()));
        page.line(format_args!("     through {}", through(ibft, &target)));
    }
    for target in ibft.targets() {
        if let Some(problem) = target.problem() {
            page.line(format_args!("  -  not target {}: {problem}", target.index()));
        }
    }
    if ibft.targets().next().is_none() {
        page.line("  -  nothing: the table has no target");
    }
}

/// Lines with aligned values.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, text: impl fmt::Display) {
        // Writing into a String does not fail.
        let _ = writeln!(self.0, "{text}");
    }

    fn heading(
        &mut self,
        title: impl fmt::Display,
        offset: usize,
        header: StructureHeader,
        more: &[(u8, &'static str)],
    ) {
        let common = [(flag::VALID, "valid"), (flag::BOOT_SELECTED, "boot selected")];
        let set: Vec<_> = common
            .iter()
            .chain(more)
            .filter(|(bit, _)| header.flags & bit != 0)
            .map(|(_, name)| *name)
            .collect();
        let set = if set.is_empty() { "not valid".to_owned() } else { set.join(", ") };
        self.line(format_args!("\n{title}: {set} (offset {offset}, {} bytes)", header.length));
    }

    fn item(&mut self, name: &str, value: impl fmt::Display) {
        self.line(format_args!("  {name:<20}{value}"));
    }

    fn optional(&mut self, name: &str, value: Option<impl fmt::Display>) {
        if let Some(value) = value {
            self.item(name, value);
        }
    }

    fn text(&mut self, name: &str, value: Result<Text<'_>, Error>) {
        match value {
            Ok(text) if text.is_empty() => self.item(name, "none"),
            Ok(text) => self.item(name, text),
            Err(_) => self.item(name, "unreadable, see Problems"),
        }
    }

    fn note(&mut self, text: impl fmt::Display) {
        self.item("note", text);
    }
}
