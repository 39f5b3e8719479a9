use isboot_ibft::builder::TableRepr;
use isboot_ibft::locate::{Search, Unreadable, find, find_at, find_rsdp};
use isboot_ibft::{Ibft, fix_checksum, wipe_secrets};

use crate::{seen, told};

#[unsafe(no_mangle)]
pub fn table(bytes: &[u8]) {
    let ibft = match Ibft::new(bytes) {
        Ok(ibft) => ibft,
        Err(error) => return told(error),
    };
    seen((ibft.as_bytes(), ibft.boot_failover(), ibft.checksum(), ibft.control()));
    seen((ibft.signature(), ibft.oem_id(), ibft.oem_table_id(), ibft.reserved()));
    ibft.problems().for_each(told);
    ibft.structures().for_each(seen);
    if let Some(initiator) = ibft.initiator() {
        seen(initiator.repr());
        seen((initiator.name(), initiator.isns_server(), initiator.slp_server()));
        seen((initiator.primary_radius_server(), initiator.secondary_radius_server()));
    }
    for nic in ibft.nics() {
        seen(nic.repr());
        seen((nic.prefix(), nic.vlan(), nic.host_name(), nic.uses_dhcp()));
        seen(nic.matches(nic.mac(), nic.pci_address()));
        seen((nic.origin(), nic.gateway(), nic.primary_dns(), nic.secondary_dns()));
        seen((nic.dhcp_server(), nic.vlan_tag()));
    }
    for target in ibft.targets_in_order() {
        seen(target.repr());
        seen((target.portal(), target.lun().to_wire(), target.problem()));
        seen((target.chap_secret(), target.reverse_chap_secret(), target.chap_type()));
        seen((target.chap_name(), target.reverse_chap_name(), target.nic_association()));
        seen(ibft.nic_for(&target).is_some());
    }
    ibft.extensions().for_each(|extensions| seen(extensions.repr()));
    told(ibft);
}

#[unsafe(no_mangle)]
pub fn table_change(bytes: &mut [u8], more: &mut [u8], repr: &TableRepr<'_>) {
    told(fix_checksum(bytes));
    told(wipe_secrets(bytes));
    told(repr.emit(more));
    told(repr.length());
}

#[unsafe(no_mangle)]
pub fn table_locate(
    mut memory: &mut dyn FnMut(u64, &mut [u8]) -> Result<(), Unreadable>,
    search: &Search,
    buffer: &mut [u8],
    other: &mut [u8],
    addresses: &[u64],
    instance: usize,
) {
    seen(find(&mut memory, search, buffer, |rejected| told(*rejected)));
    seen(find_rsdp(&mut memory));
    seen(find_at(&mut memory, addresses.iter().copied(), instance, other, |rejected| {
        told(*rejected)
    }));
}
