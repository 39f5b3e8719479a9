//! Builds the iBFT of a run that starts without iPXE.

use isboot_ibft::builder::{BuildError, InitiatorRepr, NicRepr, TableRepr, TargetRepr};
use isboot_ibft::{MacAddress, PciAddress, Secret};

use crate::machine::NIC_SLOT;
use crate::plan::{Chap, GUEST_ADDRESS, GUEST_MAC, HOST_ADDRESS, INITIATOR_NAME, Plan, TableFault};
use crate::target::{CHAP_INITIATOR, CHAP_TARGET, Target};

/// A MAC address that no NIC of the machine has.
pub const OTHER_MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x66, 0x66, 0x66];
/// A name that the portal does not have.
pub const OTHER_TARGET: &str = "iqn.2007-09.jp.ne.peach.istgt:no-such-disk";
/// Where the checksum stands in a table.
const CHECKSUM: usize = 9;

/// The table of a machine on QEMU's own network, whose disk is at `target_name` on `port` of the
/// host's loopback.
///
/// # Errors
/// When the table's writer refuses it.
pub fn for_loopback(port: u16, target_name: &str) -> Result<Vec<u8>, BuildError> {
    let nic = NicRepr {
        address: Some(GUEST_ADDRESS.into()),
        prefix_length: 24,
        gateway: Some(HOST_ADDRESS.into()),
        origin: 1,
        mac: MacAddress(GUEST_MAC),
        pci_address: PciAddress { bus: 0, device: NIC_SLOT, function: 0 },
        ..NicRepr::default()
    };
    let target = TargetRepr {
        address: Some(HOST_ADDRESS.into()),
        port,
        name: target_name.as_bytes(),
        ..TargetRepr::default()
    };
    emit(&nic, &target)
}

/// The table of a plan: what iPXE would write, CHAP besides, and wrong as the plan wants it.
///
/// # Errors
/// When the table's writer refuses it.
pub fn for_plan(plan: &Plan, target: &Target) -> Result<Vec<u8>, BuildError> {
    let fault = plan.table_fault;
    let dhcp = fault == TableFault::NoAddress;
    let other_nic = fault == TableFault::OtherMac;
    let (address, prefix) = plan.guest_address();
    let nic = NicRepr {
        address: (!dhcp).then_some(address),
        prefix_length: if dhcp { 0 } else { prefix },
        gateway: (!dhcp).then_some(plan.host_address()),
        origin: if dhcp { 3 } else { 1 },
        vlan: plan.vlan.unwrap_or(0),
        mac: MacAddress(if other_nic { OTHER_MAC } else { GUEST_MAC }),
        pci_address: if other_nic {
            PciAddress { bus: 0, device: 31, function: 7 }
        } else {
            PciAddress { bus: 0, device: NIC_SLOT, function: plan.nic_function() }
        },
        ..NicRepr::default()
    };
    let secret = match fault {
        TableFault::OtherSecret => "not-the-secret-",
        _ => CHAP_INITIATOR.1,
    };
    let target_secret = match fault {
        TableFault::OtherTargetSecret => "not-the-secret-",
        _ => CHAP_TARGET.1,
    };
    let mut row = TargetRepr {
        address: Some(target.address()),
        port: target.port(),
        name: if fault == TableFault::OtherTarget { OTHER_TARGET } else { target.name() }
            .as_bytes(),
        ..TargetRepr::default()
    };
    if plan.chap.is_some() {
        row.chap_type = 1;
        row.chap_name = CHAP_INITIATOR.0.as_bytes();
        row.chap_secret = Secret::new(secret.as_bytes());
    }
    if plan.chap == Some(Chap::Mutual) {
        row.chap_type = 2;
        row.reverse_chap_name = CHAP_TARGET.0.as_bytes();
        row.reverse_chap_secret = Secret::new(target_secret.as_bytes());
    }
    let mut bytes = emit(&nic, &row)?;
    if fault == TableFault::BadChecksum
        && let Some(checksum) = bytes.get_mut(CHECKSUM)
    {
        *checksum = checksum.wrapping_add(1);
    }
    Ok(bytes)
}

fn emit(nic: &NicRepr<'_>, target: &TargetRepr<'_>) -> Result<Vec<u8>, BuildError> {
    let table = TableRepr {
        initiator: Some(InitiatorRepr { name: INITIATOR_NAME.as_bytes(), ..Default::default() }),
        nics: std::slice::from_ref(nic),
        targets: std::slice::from_ref(target),
        ..TableRepr::default()
    };
    let mut bytes = vec![0; table.length()?];
    table.emit(&mut bytes)?;
    Ok(bytes)
}
