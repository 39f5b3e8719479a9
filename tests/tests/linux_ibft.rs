//! Linux as a second opinion: a table injected into a machine's ACPI tables is read by a guest's
//! `iscsi_ibft` exactly as by ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ibft_dump::{Secrets, sysfs};
use isboot_ibft::builder::{InitiatorRepr, NicRepr, TableRepr, TargetRepr};
use isboot_ibft::{Ibft, Lun, MacAddress, PciAddress, Secret, flag};
use isboot_tests::linux_guest::LinuxGuest;

/// Prints every file below /sys/firmware/ibft.
const PRINT: &str = r#"
cd /sys/firmware/ibft || exit 1
find . -type f | while read file; do echo "ibft:${file#./}=$(cat "$file")"; done
"#;

/// What Linux shows for a table.
fn linux(name: &str, table: &[u8]) -> BTreeMap<String, String> {
    let path: PathBuf = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, table).unwrap();
    let guest = LinuxGuest::new(PRINT)
        .module("iscsi_ibft")
        .qemu(&["-acpitable", &format!("file={}", path.display())]);
    let console = guest.run().unwrap_or_else(|error| panic!("{error}"));
    console
        .lines()
        .filter_map(|line| line.strip_prefix("ibft:")?.split_once('='))
        .map(|(path, value)| (path.to_owned(), value.to_owned()))
        .collect()
}

/// Every kind of field that a table can have, in a table with two NICs and two targets: Linux 6.1
/// reads no more.
fn everything() -> Vec<u8> {
    let v6 = |text: &str| Some(text.parse().unwrap());
    let nics = [
        NicRepr {
            index: 0,
            address: Some([10, 0, 2, 15].into()),
            prefix_length: 20,
            origin: 3,
            gateway: Some([10, 0, 2, 2].into()),
            primary_dns: Some([10, 0, 2, 3].into()),
            secondary_dns: Some([10, 0, 2, 4].into()),
            dhcp_server: Some([10, 0, 2, 5].into()),
            vlan: 4093,
            mac: MacAddress([0x52, 0x54, 0x00, 0xab, 0xcd, 0xef]),
            pci_address: PciAddress { bus: 0, device: 3, function: 0 },
            host_name: b"node1.example.org",
            ..NicRepr::default()
        },
        NicRepr {
            index: 5,
            flags: flag::VALID,
            address: v6("2001:db8::15"),
            prefix_length: 64,
            gateway: v6("fe80::1"),
            mac: MacAddress([2, 0, 0, 0, 0, 1]),
            ..NicRepr::default()
        },
    ];
    let targets = [
        TargetRepr {
            address: Some([10, 0, 2, 2].into()),
            port: 3261,
            lun: Lun::from_number(300).unwrap(),
            chap_type: 2,
            name: b"iqn.2010-06.org.example:disk1",
            chap_name: b"initiator-user",
            chap_secret: Secret::new(b"initiator-secret"),
            reverse_chap_name: b"target-user",
            reverse_chap_secret: Secret::new(b"target-secret"),
            ..TargetRepr::default()
        },
        TargetRepr {
            index: 1,
            flags: flag::VALID | flag::RADIUS_CHAP,
            address: v6("2001:db8::2"),
            lun: Lun::from_number(200).unwrap(),
            nic_association: 5,
            name: b"iqn.2010-06.org.example:disk2",
            ..TargetRepr::default()
        },
    ];
    let initiator = InitiatorRepr {
        isns_server: Some([192, 0, 2, 1].into()),
        slp_server: Some([192, 0, 2, 2].into()),
        primary_radius_server: Some([192, 0, 2, 3].into()),
        secondary_radius_server: v6("2001:db8::3"),
        name: b"iqn.2010-06.org.example:client",
        ..InitiatorRepr::default()
    };
    let table = TableRepr {
        oem_id: *b"EXAMPL",
        oem_table_id: *b"table-12",
        initiator: Some(initiator),
        nics: &nics,
        targets: &targets,
        ..TableRepr::default()
    };
    let mut bytes = vec![0; table.length().unwrap()];
    table.emit(&mut bytes).unwrap();
    bytes
}

#[test]
fn linux_reads_a_built_table_as_we_do() {
    let table = everything();
    let ours = sysfs::attributes(&Ibft::new(&table).unwrap(), Secrets::Show);
    let theirs = linux("everything.ibft", &table);
    assert_eq!(theirs, ours);
    // Not only equal, but what was put in.
    for (path, value) in [
        ("initiator/initiator-name", "iqn.2010-06.org.example:client"),
        ("ethernet0/subnet-mask", "255.255.240.0"),
        ("ethernet5/ip-addr", "2001:0db8:0000:0000:0000:0000:0000:0015"),
        ("target0/lun", "412c000000"),
        ("target0/rev-chap-name-secret", "target-secret"),
        ("target1/nic-assoc", "5"),
    ] {
        assert_eq!(theirs.get(path).map(String::as_str), Some(value), "{path}");
    }
}

#[test]
fn linux_reads_a_real_table_as_we_do() {
    let table = include_bytes!("../data/ipxe-e1000.ibft");
    let ours = sysfs::attributes(&Ibft::new(table).unwrap(), Secrets::Show);
    assert_eq!(linux("real.ibft", table), ours);
}
