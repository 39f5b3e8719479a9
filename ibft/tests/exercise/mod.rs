//! Reads everything that can be read of bytes that may be a table. For the property tests and for
//! the fuzz target: what matters is that nothing panics and that every answer stays in bounds.

use isboot_ibft::locate::{Search, Unreadable, find};
use isboot_ibft::{Ibft, fix_checksum, wipe_secrets};

/// Reads bytes as they are, then with their checksum fixed, so that the checks behind it are
/// reached; wipes the secrets; finds the table again in a small memory.
pub(crate) fn table(bytes: &[u8]) {
    read(bytes);
    let mut copy = bytes.to_vec();
    if fix_checksum(&mut copy).is_ok() {
        read(&copy);
        let valid = Ibft::new(&copy).is_ok();
        assert_eq!(wipe_secrets(&mut copy).is_ok(), valid);
        read(&copy);
        if valid {
            locate(&copy);
        }
    }
}

fn read(bytes: &[u8]) {
    let ibft = match Ibft::new(bytes) {
        Ok(ibft) => ibft,
        Err(error) => {
            assert!(!format!("{error} {error:?}").is_empty());
            return;
        }
    };
    assert!(ibft.as_bytes().len() <= bytes.len());
    assert!(!format!("{ibft} {ibft:?} {ibft:#?}").is_empty());
    assert!(ibft.problems().all(|problem| !problem.to_string().is_empty()));
    assert!(ibft.structures().count() <= isboot_ibft::MAXIMUM_STRUCTURES + 1);
    if let Some(initiator) = ibft.initiator() {
        let _ = initiator.repr();
    }
    for nic in ibft.nics() {
        assert!(nic.prefix().is_none_or(|prefix| (1..=128).contains(&prefix)));
        assert!(nic.vlan().is_none_or(|vlan| (1..=4094).contains(&vlan)));
        let _ = (nic.repr(), nic.uses_dhcp(), nic.matches(nic.mac(), nic.pci_address()));
    }
    for target in ibft.targets() {
        let _ = (target.repr(), target.portal(), target.lun().to_wire(), target.lun().to_string());
        assert!(target.problem().is_none_or(|problem| !problem.to_string().is_empty()));
        assert_eq!(ibft.nic_for(&target).is_some(), ibft.nics().next().is_some());
    }
    for extensions in ibft.extensions() {
        let _ = extensions.repr();
    }
    for target in ibft.targets_in_order() {
        assert!(target.portal().is_some(), "a usable target has a portal");
    }
}

fn locate(table: &[u8]) {
    let start = 0x9_f000;
    let mut memory = |address: u64, into: &mut [u8]| {
        into.fill(0);
        let place = address.saturating_sub(start) as usize;
        if address >= start && place < table.len() {
            let length = into.len().min(table.len() - place);
            into[..length].copy_from_slice(&table[place..place + length]);
        }
        Ok::<(), Unreadable>(())
    };
    let mut buffer = [0; 4096];
    match find(&mut memory, &Search::BIOS, &mut buffer, |_| {}) {
        Ok(found) => assert_eq!(found.address, start),
        Err(not_found) => assert!(not_found.to_string().contains("refused at 0x9f000")),
    }
}
