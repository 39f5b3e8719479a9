//! Properties over random input: nothing panics, what is written reads back equal, secrets stay
//! hidden.

mod exercise;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use isboot_ibft::builder::{ExtensionsRepr, InitiatorRepr, NicRepr, TableRepr, TargetRepr};
use isboot_ibft::{Ibft, Lun, MacAddress, PciAddress, Secret, fix_checksum, wipe_secrets};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

/// What iPXE's e1000 boot ROM left in a virtual machine.
const IPXE: &[u8] = include_bytes!("../../tests/data/ipxe-e1000.ibft");

#[derive(Clone, Debug)]
struct Strings {
    initiator: Vec<u8>,
    host: Vec<u8>,
    target: [Vec<u8>; 5],
}

fn string() -> impl Strategy<Value = Vec<u8>> {
    vec(1..=u8::MAX, 0..40)
}

fn strings() -> impl Strategy<Value = Strings> {
    (string(), string(), [string(), string(), string(), string(), string()])
        .prop_map(|(initiator, host, target)| Strings { initiator, host, target })
}

fn address() -> impl Strategy<Value = Option<IpAddr>> {
    // An IPv4-mapped address reads back as the IPv4 address it is.
    let v4 = any::<[u8; 4]>().prop_map(|octets| IpAddr::from(Ipv4Addr::from(octets)));
    let v6 =
        any::<[u8; 16]>().prop_map(|octets| IpAddr::from(Ipv6Addr::from(octets)).to_canonical());
    option::of(prop_oneof![v4, v6].prop_filter("means none", |address| !address.is_unspecified()))
}

type NicValues = ((u8, u8, u8, u8, u16), ([u8; 6], u16), [Option<IpAddr>; 5]);

fn nic() -> impl Strategy<Value = NicValues> {
    (
        any::<(u8, u8, u8, u8, u16)>(),
        any::<([u8; 6], u16)>(),
        [address(), address(), address(), address(), address()],
    )
}

type TargetValues = ((u8, u8, u16, [u8; 8], u8, u8), Option<IpAddr>);

fn target() -> impl Strategy<Value = TargetValues> {
    (any::<(u8, u8, u16, [u8; 8], u8, u8)>(), address())
}

fn nic_repr<'a>(values: &NicValues, strings: &'a Strings) -> NicRepr<'a> {
    let ((index, flags, prefix_length, origin, vlan), (mac, bits), addresses) = *values;
    let [address, gateway, primary_dns, secondary_dns, dhcp_server] = addresses;
    NicRepr {
        index,
        flags,
        address,
        prefix_length,
        origin,
        gateway,
        primary_dns,
        secondary_dns,
        dhcp_server,
        vlan,
        mac: MacAddress(mac),
        pci_address: PciAddress::from_bits(bits),
        host_name: &strings.host,
    }
}

fn target_repr<'a>(values: &TargetValues, strings: &'a Strings) -> TargetRepr<'a> {
    let ((index, flags, port, lun, chap_type, nic_association), address) = *values;
    let [name, chap_name, secret, reverse_chap_name, reverse_secret] = &strings.target;
    TargetRepr {
        index,
        flags,
        address,
        port,
        lun: Lun::new(lun),
        chap_type,
        nic_association,
        name,
        chap_name,
        chap_secret: Secret::new(secret),
        reverse_chap_name,
        reverse_chap_secret: Secret::new(reverse_secret),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn arbitrary_bytes_never_panic(mut bytes in vec(any::<u8>(), 0..1200), length in 0..1200u32, sound in any::<bool>()) {
        if sound && bytes.len() > 54 {
            bytes[..4].copy_from_slice(b"iBFT");
            bytes[4..8].copy_from_slice(&length.to_le_bytes());
            bytes[8] = 1;
            let control_length = bytes[50];
            bytes[48..54].copy_from_slice(&[1, 1, control_length, 0, 0, 3]);
        }
        exercise::table(&bytes);
    }

    #[test]
    fn a_mutated_real_table_never_panics(changes in vec((0..IPXE.len(), any::<u8>()), 0..24), length in 0..=IPXE.len()) {
        let mut bytes = IPXE.to_vec();
        for (at, value) in changes {
            bytes[at] = value;
        }
        bytes.truncate(length);
        exercise::table(&bytes);
    }

    #[test]
    fn what_is_written_reads_back_equal(
        strings in strings(),
        nics in vec(nic(), 0..5),
        targets in vec(target(), 0..5),
        initiator in option::of((any::<(u8, u8)>(), [address(), address(), address(), address()])),
        extensions in option::of((any::<(u8, u8)>(), vec(any::<u8>(), 0..50))),
        header in any::<([u8; 6], [u8; 8], u8)>(),
    ) {
        let nics: Vec<_> = nics.iter().map(|values| nic_repr(values, &strings)).collect();
        let targets: Vec<_> = targets.iter().map(|values| target_repr(values, &strings)).collect();
        let table = TableRepr {
            signature: *b"iBFT",
            oem_id: header.0,
            oem_table_id: header.1,
            control_flags: header.2,
            initiator: initiator.map(|((index, flags), addresses)| InitiatorRepr {
                index,
                flags,
                isns_server: addresses[0],
                slp_server: addresses[1],
                primary_radius_server: addresses[2],
                secondary_radius_server: addresses[3],
                name: &strings.initiator,
            }),
            nics: &nics,
            targets: &targets,
            extensions: extensions.as_ref().map(|((index, flags), data)| ExtensionsRepr { index: *index, flags: *flags, data }),
        };
        let mut buffer = vec![0xa5; 8192];
        let length = table.emit(&mut buffer).unwrap();
        prop_assert_eq!(length, table.length().unwrap());
        prop_assert!(buffer[length..].iter().all(|byte| *byte == 0xa5), "wrote behind the table");

        let ibft = Ibft::new(&buffer).unwrap();
        prop_assert_eq!(ibft.as_bytes().len(), length);
        prop_assert_eq!(ibft.problems().collect::<Vec<_>>(), vec![]);
        prop_assert_eq!(ibft.control().flags, table.control_flags);
        prop_assert_eq!(ibft.oem_id().as_bytes(), isboot_ibft::Text::new(&table.oem_id).as_bytes());
        prop_assert_eq!(ibft.initiator().map(|it| it.repr().unwrap()), table.initiator);
        prop_assert_eq!(ibft.nics().map(|it| it.repr().unwrap()).collect::<Vec<_>>(), table.nics);
        prop_assert_eq!(ibft.targets().map(|it| it.repr().unwrap()).collect::<Vec<_>>(), table.targets);
        prop_assert_eq!(ibft.extensions().map(|it| it.repr()).next(), table.extensions);
        exercise::table(&buffer[..length]);
    }

    #[test]
    fn secrets_are_never_shown_and_can_be_wiped(
        secret in "[g-z]{12,20}",
        reverse_secret in "[G-Z]{12,20}",
        changes in vec((48usize..150, any::<u8>()), 0..6),
    ) {
        let targets = [TargetRepr {
            address: Some([192, 0, 2, 1].into()),
            name: b"iqn.2010-06.org.example:1",
            chap_type: 2,
            chap_name: b"100",
            chap_secret: Secret::new(secret.as_bytes()),
            reverse_chap_name: b"200",
            reverse_chap_secret: Secret::new(reverse_secret.as_bytes()),
            ..TargetRepr::default()
        }];
        let table = TableRepr { targets: &targets, ..TableRepr::default() };
        let mut buffer = [0; 512];
        let length = table.emit(&mut buffer).unwrap();
        let shows = |text: &str| text.contains(&secret) || text.contains(&reverse_secret);
        let text = format!("{table:?}");
        prop_assert!(!shows(&text));

        let ibft = Ibft::new(&buffer).unwrap();
        let target = ibft.targets().next().unwrap();
        prop_assert_eq!(target.chap_secret().unwrap().expose(), secret.as_bytes());
        prop_assert_eq!(target.reverse_chap_secret().unwrap().expose(), reverse_secret.as_bytes());
        let text = format!("{ibft} {ibft:?} {ibft:#?} {:?}", target.repr());
        prop_assert!(!shows(&text));
        let text = format!("{:?} {}", target.chap_secret(), target.chap_secret().unwrap());
        prop_assert!(!shows(&text));

        let mut wiped = buffer;
        prop_assert_eq!(wipe_secrets(&mut wiped), Ok(2));
        let ibft = Ibft::new(&wiped).unwrap();
        prop_assert!(ibft.targets().next().unwrap().chap_secret().unwrap().is_empty());
        prop_assert!(!shows(&String::from_utf8_lossy(&wiped)));
        prop_assert_eq!(wipe_secrets(&mut wiped), Ok(0));

        // Whatever else is wrong with a table that still reads.
        for (at, value) in changes {
            buffer[at] = value;
        }
        fix_checksum(&mut buffer).unwrap();
        if let Ok(ibft) = Ibft::new(&buffer[..length])
            && let Some(target) = ibft.targets().next()
            && [target.name(), target.chap_name(), target.reverse_chap_name()]
                .iter()
                .all(|text| text.is_ok_and(|text| !shows(&text.to_string())))
        {
            let text = format!("{ibft} {ibft:?}");
        prop_assert!(!shows(&text));
        }
    }
}
