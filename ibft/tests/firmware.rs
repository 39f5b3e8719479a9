//! What firmware in the field does to the table, case by case: a reader has to absorb all of it.
//! (Finding the table in memory, with the cases that belong to it, is in locate.rs.)

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use isboot_ibft::builder::{
    BuildError, ExtensionsRepr, InitiatorRepr, NicRepr, TableRepr, TargetRepr,
};
use isboot_ibft::{
    ChapType, Error, Ibft, Lun, LunEncoding, MAXIMUM_STRUCTURES, MacAddress, MatchedBy, Origin,
    PciAddress, Secret, Structure, StructureKind, TargetProblem, fix_checksum, wipe_secrets,
};

/// What iPXE's e1000 boot ROM left in a virtual machine.
const IPXE: &[u8] = include_bytes!("../../tests/data/ipxe-e1000.ibft");

/// Where iPXE put the structures.
const INITIATOR: usize = 80;
const NIC: usize = 160;
const TARGET: usize = 384;

/// iPXE's table with some bytes replaced and the checksum fixed.
fn ipxe_with(changes: &[(usize, &[u8])]) -> Vec<u8> {
    let mut bytes = IPXE.to_vec();
    for (at, value) in changes {
        bytes[*at..at + value.len()].copy_from_slice(value);
    }
    fix_checksum(&mut bytes).unwrap();
    bytes
}

fn built(table: &TableRepr<'_>) -> Vec<u8> {
    let mut bytes = vec![0; table.length().unwrap()];
    table.emit(&mut bytes).unwrap();
    bytes
}

fn mapped(address: [u8; 4]) -> [u8; 16] {
    Ipv4Addr::from(address).to_ipv6_mapped().octets()
}

fn target(index: u8, flags: u8, name: &[u8]) -> TargetRepr<'_> {
    TargetRepr { index, flags, address: Some([192, 0, 2, 1].into()), name, ..TargetRepr::default() }
}

fn names(table: &[u8]) -> Vec<String> {
    Ibft::new(table).unwrap().targets_in_order().map(|it| it.name().unwrap().to_string()).collect()
}

#[test]
fn the_real_table_reads_completely() {
    let ibft = Ibft::new(IPXE).unwrap();
    assert_eq!(ibft.to_string(), "iBFT of 579 bytes by FENSYS / iPXE: 1 NIC(s), 1 target(s)");
    assert_eq!(ibft.problems().count(), 0);
    assert_eq!(ibft.structures().count(), 3);

    let initiator = ibft.initiator().unwrap();
    assert_eq!(initiator.name().unwrap().to_string(), "iqn.2010-06.org.example:client");
    assert_eq!((initiator.offset(), initiator.flags()), (INITIATOR, 3));
    assert_eq!(initiator.isns_server(), None);

    let nic = ibft.nics().next().unwrap();
    assert_eq!(nic.address(), Some([10, 0, 2, 15].into()));
    assert_eq!((nic.prefix(), nic.origin()), (Some(24), Origin::Dhcp));
    assert_eq!(nic.gateway(), Some([10, 0, 2, 2].into()));
    assert_eq!(nic.primary_dns(), Some([10, 0, 2, 3].into()));
    assert_eq!(nic.secondary_dns(), None);
    assert_eq!(nic.dhcp_server(), Some([10, 0, 2, 2].into()));
    assert_eq!((nic.vlan(), nic.mac().to_string()), (None, "52:54:00:12:34:56".into()));
    assert_eq!(nic.pci_address().to_string(), "00:03.0");
    assert!(nic.host_name().unwrap().is_empty());

    let target = ibft.targets_in_order().next().unwrap();
    assert_eq!(target.name().unwrap().to_string(), "iqn.2007-09.jp.ne.peach.istgt:disk1");
    assert_eq!(target.portal(), Some("10.0.2.2:3260".parse().unwrap()));
    assert_eq!((target.lun().number(), target.chap_type()), (Some(0), ChapType::None));
    assert_eq!(ibft.nic_for(&target).unwrap().offset(), NIC);
}

#[test]
fn what_is_wrong_with_a_table_is_said() {
    let error = |changes: &[(usize, &[u8])]| Ibft::new(&ipxe_with(changes)).unwrap_err();
    assert_eq!(Ibft::new(b"iBF").unwrap_err(), Error::Truncated { available: 3 });
    assert_eq!(Ibft::new(&IPXE[..65]).unwrap_err(), Error::Truncated { available: 65 });
    assert_eq!(error(&[(0, b"FACP")]), Error::Signature { found: *b"FACP" });
    assert_eq!(error(&[(8, &[2])]), Error::Revision { found: 2 });
    let cut = Ibft::new(&IPXE[..578]).unwrap_err();
    assert_eq!(cut, Error::Length { found: 579, available: 578 });
    let mut short = IPXE.to_vec();
    short[4..8].copy_from_slice(&65u32.to_le_bytes());
    assert_eq!(Ibft::new(&short).unwrap_err(), Error::Length { found: 65, available: 579 });
    let mut long = vec![0; 0x1_0010];
    long[..579].copy_from_slice(IPXE);
    long[4..8].copy_from_slice(&0x1_0001u32.to_le_bytes());
    assert!(matches!(Ibft::new(&long).unwrap_err(), Error::Length { found: 0x1_0001, .. }));

    let mut damaged = IPXE.to_vec();
    damaged[200] ^= 1;
    let error_text = Ibft::new(&damaged).unwrap_err().to_string();
    assert!(error_text.starts_with("the iBFT's checksum is wrong: its 579 bytes sum to 0x"));

    assert_eq!(error(&[(48, &[9])]), Error::StructureId { offset: 48, found: 9 });
    let control = StructureKind::Control;
    let short = Error::StructureLength { kind: control, offset: 48, found: 17 };
    assert_eq!(error(&[(50, &[17])]), short);
    let beyond = Error::StructureBounds { offset: 48, length: 532, table_length: 579 };
    assert_eq!(error(&[(50, &[0x14, 2])]), beyond);
}

#[test]
fn row_01_three_signatures_are_known() {
    for signature in [b"iBFT", b"IBFT", b"BIFT"] {
        let bytes = ipxe_with(&[(0, signature)]);
        assert_eq!(Ibft::new(&bytes).unwrap().signature(), *signature);
    }
    assert!(Ibft::new(&ipxe_with(&[(0, b"ibft")])).is_err());
}

#[test]
fn row_04_edk2s_2048_bytes_with_the_heap_at_the_end_read_like_ipxes_exact_table() {
    // The strings move to the end, from the last one downwards; what lies between is filler.
    let mut bytes = IPXE.to_vec();
    bytes.resize(2048, 0);
    bytes.copy_within(512..543, 2048 - 31);
    bytes.copy_within(543..579, 2048 - 31 - 36);
    bytes[512..579].fill(0xee);
    bytes[4..8].copy_from_slice(&2048u32.to_le_bytes());
    bytes[INITIATOR + 72..INITIATOR + 74].copy_from_slice(&(2048u16 - 31).to_le_bytes());
    bytes[TARGET + 36..TARGET + 38].copy_from_slice(&(2048u16 - 67).to_le_bytes());
    fix_checksum(&mut bytes).unwrap();
    // The firmware's buffer may go on behind the table.
    bytes.extend([0xff; 100]);
    let ibft = Ibft::new(&bytes).unwrap();
    assert_eq!(ibft.as_bytes().len(), 2048);
    let name = ibft.initiator().unwrap().name().unwrap();
    assert_eq!(name.as_bytes(), b"iqn.2010-06.org.example:client");
    assert_eq!(names(&bytes), ["iqn.2007-09.jp.ne.peach.istgt:disk1"]);
}

#[test]
fn row_05_the_reserved_bytes_may_hold_an_oem_revision() {
    let bytes = ipxe_with(&[(24, &[1, 0, 0, 0, b'I', b'N', b'T', b'L', 9])]);
    let ibft = Ibft::new(&bytes).unwrap();
    assert_eq!(ibft.reserved()[..9], [1, 0, 0, 0, b'I', b'N', b'T', b'L', 9]);
    assert_eq!(ibft.targets_in_order().count(), 1);
}

#[test]
fn row_06_more_than_two_nics_and_targets_are_found() {
    let nics = [0, 1, 2, 3].map(|index| NicRepr { index, ..NicRepr::default() });
    let targets = [target(0, 3, b"a"), target(1, 3, b"b"), target(2, 3, b"c")];
    let extensions = Some(ExtensionsRepr { index: 7, flags: 0, data: b"vendor" });
    let bytes =
        built(&TableRepr { nics: &nics, targets: &targets, extensions, ..Default::default() });
    let ibft = Ibft::new(&bytes).unwrap();
    assert_eq!(ibft.control().length, 26);
    assert_eq!(ibft.nics().map(|nic| nic.index()).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(names(&bytes), ["a", "b", "c"]);
    assert_eq!(ibft.extensions().next().unwrap().data(), b"vendor");
    assert_eq!(ibft.nic_for(&ibft.targets().nth(2).unwrap()).unwrap().index(), 0);
}

#[test]
fn row_06_offsets_of_any_kind_may_stand_at_any_place() {
    // The NIC's place and the target's exchanged, and the target listed a second time.
    let bytes = ipxe_with(&[(58, &[0x80, 1]), (60, &[160, 0]), (62, &[0x80, 1])]);
    let ibft = Ibft::new(&bytes).unwrap();
    assert_eq!((ibft.nics().count(), ibft.targets().count(), ibft.problems().count()), (1, 1, 0));
}

#[test]
fn row_07_longer_structures_are_read_and_shorter_ones_refused() {
    let bytes = ipxe_with(&[(NIC + 2, &[110]), (TARGET + 2, &[64]), (INITIATOR + 2, &[80])]);
    let ibft = Ibft::new(&bytes).unwrap();
    assert_eq!(ibft.problems().count(), 0);
    assert_eq!(ibft.nics().next().unwrap().prefix(), Some(24));
    assert_eq!(names(&bytes).len(), 1);

    let bytes = ipxe_with(&[(NIC + 2, &[101])]);
    let ibft = Ibft::new(&bytes).unwrap();
    assert_eq!(ibft.nics().count(), 0);
    let problem = Error::StructureLength { kind: StructureKind::Nic, offset: NIC, found: 101 };
    assert_eq!(ibft.problems().collect::<Vec<_>>(), [problem]);
    assert_eq!(
        problem.to_string(),
        "the NIC structure at offset 160 says it has 101 bytes; its fields take 102"
    );
    assert_eq!(names(&bytes).len(), 1, "the target is still there");
}

#[test]
fn row_08_offsets_outside_the_table_are_named_and_passed_over() {
    for (offset, why) in [
        (0xffff_u16, "beyond"),
        (578, "no room for a header"),
        (500, "no room for its fields"),
        (1, "over the header"),
        (48, "the control structure itself"),
        (60, "within the control structure"),
    ] {
        let mut bytes = ipxe_with(&[(58, &offset.to_le_bytes())]);
        if offset == 500 {
            bytes[500..503].copy_from_slice(&[3, 1, 102]);
            fix_checksum(&mut bytes).unwrap();
        }
        let ibft = Ibft::new(&bytes).unwrap();
        let problems: Vec<_> = ibft.problems().collect();
        let [Error::StructureBounds { offset: at, table_length: 579, .. }] = problems[..] else {
            panic!("{why}: {problems:?}")
        };
        assert_eq!(at, usize::from(offset));
        assert_eq!((ibft.nics().count(), ibft.targets().count()), (0, 1), "{why}");
    }
    let bytes = ipxe_with(&[(NIC, &[77])]);
    let problems: Vec<_> = Ibft::new(&bytes).unwrap().problems().collect();
    assert_eq!(problems, [Error::StructureId { offset: NIC, found: 77 }]);
}

#[test]
fn row_08_strings_outside_the_table_are_errors() {
    let place = |length: u16, offset: u16| {
        let mut place = length.to_le_bytes().to_vec();
        place.extend(offset.to_le_bytes());
        place
    };
    for (length, offset) in
        [(35, 545), (u16::MAX, 543), (1, 579), (1, u16::MAX), (4, 0x30), (1, 65)]
    {
        let bytes = ipxe_with(&[(TARGET + 34, &place(length, offset))]);
        let ibft = Ibft::new(&bytes).unwrap();
        let error = ibft.targets().next().unwrap().name().unwrap_err();
        let wanted = Error::StringBounds {
            field: "target name",
            structure_offset: TARGET,
            offset,
            length,
            table_length: 579,
        };
        assert_eq!(error, wanted);
        assert_eq!(ibft.problems().collect::<Vec<_>>(), [wanted]);
        assert_eq!(ibft.targets().next().unwrap().problem(), Some(TargetProblem::Name(wanted)));
        assert_eq!(ibft.targets_in_order().count(), 0);
    }
}

#[test]
fn row_08_the_index_is_a_name_and_not_a_place() {
    let bytes = ipxe_with(&[(NIC + 4, &[200]), (TARGET + 4, &[255]), (TARGET + 33, &[200])]);
    let ibft = Ibft::new(&bytes).unwrap();
    let target = ibft.targets_in_order().next().unwrap();
    assert_eq!(ibft.nic_for(&target).unwrap().index(), 200);
}

#[test]
fn row_08_a_control_structure_full_of_offsets_is_read_up_to_a_bound() {
    let mut bytes = vec![0; 0x1_0000];
    bytes[..48].copy_from_slice(&IPXE[..48]);
    bytes[4..8].copy_from_slice(&0x1_0000u32.to_le_bytes());
    bytes[48..54].copy_from_slice(&[1, 1, 0x00, 0xf0, 0, 0]);
    for (place, at) in (54..0xf000).step_by(2).enumerate() {
        bytes[at..at + 2].copy_from_slice(&(place as u16 + 1).to_le_bytes());
    }
    fix_checksum(&mut bytes).unwrap();
    let ibft = Ibft::new(&bytes).unwrap();
    assert_eq!(ibft.structures().count(), MAXIMUM_STRUCTURES + 1);
    assert_eq!(ibft.problems().last(), Some(Error::StructureCount { found: (0xf000 - 6) / 2 }));
}

#[test]
fn row_09_zeros_and_mapped_zeros_are_no_address() {
    for nothing in [[0; 16], mapped([0, 0, 0, 0])] {
        let bytes = ipxe_with(&[(NIC + 6, &nothing), (NIC + 24, &nothing), (TARGET + 6, &nothing)]);
        let ibft = Ibft::new(&bytes).unwrap();
        let nic = ibft.nics().next().unwrap();
        assert_eq!((nic.address(), nic.prefix(), nic.gateway()), (None, None, None));
        let target = ibft.targets().next().unwrap();
        assert_eq!((target.portal(), target.problem()), (None, Some(TargetProblem::NoAddress)));
    }
}

#[test]
fn row_10_the_remains_of_an_ipv6_target_are_not_dialled() {
    // iPXE writes the first bytes of the IPv6 address as if they were an IPv4 one.
    let bytes = ipxe_with(&[(TARGET + 6, &mapped([0, 0, 0x20, 0x01]))]);
    let ibft = Ibft::new(&bytes).unwrap();
    let target = ibft.targets().next().unwrap();
    let garbage = IpAddr::from([0, 0, 0x20, 0x01]);
    assert_eq!(target.address(), Some(garbage));
    assert_eq!(target.problem(), Some(TargetProblem::UnusableAddress(garbage)));
    assert_eq!((target.portal(), ibft.targets_in_order().count()), (None, 0));
    assert!(target.problem().unwrap().to_string().contains("0.0.32.1"));

    let good: Ipv6Addr = "2001:db8::2".parse().unwrap();
    let bytes = ipxe_with(&[(TARGET + 6, &good.octets())]);
    let portal = Ibft::new(&bytes).unwrap().targets_in_order().next().unwrap().portal();
    assert_eq!(portal, Some("[2001:db8::2]:3260".parse().unwrap()));
}

#[test]
fn row_11_an_impossible_prefix_is_no_prefix() {
    let six: Ipv6Addr = "2001:db8::15".parse().unwrap();
    for (address, length, prefix) in [
        (mapped([10, 0, 2, 15]), 32, Some(32)),
        (mapped([10, 0, 2, 15]), 33, None),
        (mapped([10, 0, 2, 15]), 255, None),
        (mapped([10, 0, 2, 15]), 0, None),
        (six.octets(), 33, Some(33)),
        (six.octets(), 128, Some(128)),
        (six.octets(), 129, None),
        ([0; 16], 24, None),
    ] {
        let bytes = ipxe_with(&[(NIC + 6, &address), (NIC + 22, &[length])]);
        let nic = Ibft::new(&bytes).unwrap().nics().next().unwrap();
        assert_eq!((nic.prefix(), nic.prefix_length()), (prefix, length));
    }
}

#[test]
fn row_12_dhcp_is_in_use_by_origin_or_by_server() {
    let server = mapped([10, 0, 2, 2]);
    for (origin, dhcp, wanted) in [
        (3, [0; 16], true),
        (1, server, true),
        (3, server, true),
        (1, [0; 16], false),
        (1, mapped([0; 4]), false),
    ] {
        let bytes = ipxe_with(&[(NIC + 23, &[origin]), (NIC + 72, &dhcp)]);
        assert_eq!(Ibft::new(&bytes).unwrap().nics().next().unwrap().uses_dhcp(), wanted);
    }
}

#[test]
fn row_13_any_flag_makes_a_target_usable_and_valid_and_selected_comes_first() {
    let targets = [
        target(0, 2, b"selected only"),
        target(1, 0, b"empty"),
        target(2, 1, b"valid only"),
        target(3, 3, b"both"),
        target(4, 7, b"both and RADIUS"),
    ];
    let bytes = built(&TableRepr { targets: &targets, ..Default::default() });
    assert_eq!(names(&bytes), ["both", "both and RADIUS", "selected only", "valid only"]);
    let ibft = Ibft::new(&bytes).unwrap();
    assert_eq!(ibft.targets().nth(1).unwrap().problem(), Some(TargetProblem::NotValid));
    assert_eq!(ibft.targets().count(), 5, "all of them can be listed");
}

#[test]
fn row_13_a_target_without_a_name_is_left_out() {
    let targets = [target(0, 3, b""), target(1, 1, b"named")];
    assert_eq!(names(&built(&TableRepr { targets: &targets, ..Default::default() })), ["named"]);
}

#[test]
fn row_14_boot_failover_is_reported_and_changes_nothing() {
    let targets = [target(0, 1, b"a"), target(1, 3, b"b")];
    for control_flags in [0, 1] {
        let table = TableRepr { targets: &targets, control_flags, ..Default::default() };
        let bytes = built(&table);
        assert_eq!(Ibft::new(&bytes).unwrap().boot_failover(), control_flags == 1);
        assert_eq!(names(&bytes), ["b", "a"]);
    }
}

#[test]
fn row_15_a_targets_nic_is_named_by_the_nics_index() {
    let mac = |last| MacAddress([2, 0, 0, 0, 0, last]);
    let nic = |index, flags, last| NicRepr { index, flags, mac: mac(last), ..NicRepr::default() };
    // Indices that are not places; one NIC listed once per attempt, the first time not valid.
    let nics = [nic(4, 3, 1), nic(9, 0, 2), nic(9, 1, 3), nic(9, 3, 4)];
    let associated = |nic_association| TargetRepr { nic_association, ..target(0, 3, b"t") };
    let targets = [associated(9), associated(4), associated(2), associated(77), associated(1)];
    let bytes = built(&TableRepr { nics: &nics, targets: &targets, ..Default::default() });
    let ibft = Ibft::new(&bytes).unwrap();
    let macs: Vec<_> =
        ibft.targets().map(|target| ibft.nic_for(&target).map(|nic| nic.mac().0[5])).collect();
    // By index, preferred first; by index; by place; the best there is; the place is not valid.
    assert_eq!(macs, [Some(4), Some(1), Some(3), Some(1), Some(1)]);
    let alone = built(&TableRepr { targets: &targets, ..Default::default() });
    let ibft = Ibft::new(&alone).unwrap();
    assert!(ibft.nic_for(&ibft.targets().next().unwrap()).is_none());
}

#[test]
fn row_16_luns_are_sam_first_then_small_little_endian_numbers() {
    let read = |raw: [u8; 8]| {
        let bytes = ipxe_with(&[(TARGET + 24, &raw)]);
        let lun = Ibft::new(&bytes).unwrap().targets().next().unwrap().lun();
        assert_eq!(lun.raw(), raw);
        lun
    };
    for (raw, encoding, wire) in [
        ([0, 3, 0, 0, 0, 0, 0, 0], LunEncoding::Sam(3), [0, 3, 0, 0, 0, 0, 0, 0]),
        ([0x41, 2, 0, 0, 0, 0, 0, 0], LunEncoding::Sam(0x102), [0x41, 2, 0, 0, 0, 0, 0, 0]),
        ([0xd2, 1, 2, 3, 0, 0, 0, 0], LunEncoding::Sam(0x1_0203), [0xd2, 1, 2, 3, 0, 0, 0, 0]),
        ([3, 0, 0, 0, 0, 0, 0, 0], LunEncoding::LittleEndian(3), [0, 3, 0, 0, 0, 0, 0, 0]),
        ([3, 1, 0, 0, 0, 0, 0, 0], LunEncoding::Opaque, [3, 1, 0, 0, 0, 0, 0, 0]),
        ([0, 3, 0, 4, 0, 0, 0, 0], LunEncoding::Opaque, [0, 3, 0, 4, 0, 0, 0, 0]),
    ] {
        let lun = read(raw);
        assert_eq!((lun.encoding(), lun.to_wire()), (encoding, wire));
    }
    assert_eq!(read([3, 0, 0, 0, 0, 0, 0, 0]).to_string(), "3");
}

#[test]
fn row_17_the_mac_decides_and_the_pci_address_is_second() {
    let nic = Ibft::new(IPXE).unwrap().nics().next().unwrap();
    let (mac, other) = (nic.mac(), MacAddress([2, 0, 0, 0, 0, 9]));
    let (here, elsewhere) = (nic.pci_address(), PciAddress { bus: 5, device: 0, function: 0 });
    assert_eq!(nic.matches(mac, elsewhere), Some(MatchedBy::MacAddress));
    assert_eq!(nic.matches(other, here), Some(MatchedBy::PciAddress));
    assert_eq!(nic.matches(other, elsewhere), None);
    assert!(nic.matches(mac, here) > nic.matches(other, here));

    // Nothing given is nothing in common.
    let bytes = ipxe_with(&[(NIC + 90, &[0; 6]), (NIC + 96, &[0; 2])]);
    let nic = Ibft::new(&bytes).unwrap().nics().next().unwrap();
    assert_eq!(nic.matches(MacAddress([0; 6]), PciAddress::default()), None);
}

#[test]
fn row_18_unaligned_structures_strings_without_nul_and_odd_host_names_are_read() {
    // Everything behind the control structure moves by one byte, and the NULs of the strings go.
    let mut bytes = IPXE[..66].to_vec();
    bytes.extend([0; 15]);
    bytes.extend(&IPXE[80..512]);
    bytes.extend(b"iqn.a:clientiqn.a:diskna\xefve\x07host");
    let length = u32::try_from(bytes.len()).unwrap();
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    for at in [56, 58, 60] {
        bytes[at] += 1;
    }
    let mut string = |structure: usize, field: usize, length: u16, offset: u16| {
        let at = structure + 1 + field;
        bytes[at..at + 2].copy_from_slice(&length.to_le_bytes());
        bytes[at + 2..at + 4].copy_from_slice(&offset.to_le_bytes());
    };
    string(INITIATOR, 70, 12, 513);
    string(TARGET, 34, 10, 525);
    string(NIC, 98, 10, 535);
    fix_checksum(&mut bytes).unwrap();
    let ibft = Ibft::new(&bytes).unwrap();
    assert_eq!(ibft.initiator().unwrap().name().unwrap().as_bytes(), b"iqn.a:client");
    assert_eq!(names(&bytes), ["iqn.a:disk"]);
    let host_name = ibft.nics().next().unwrap().host_name().unwrap();
    assert_eq!(host_name.as_bytes(), b"na\xefve\x07host");
    assert_eq!(host_name.to_string(), "na\u{fffd}ve\u{fffd}host");
}

#[test]
fn row_18_a_length_that_counts_the_nul_gives_the_same_name() {
    let bytes = ipxe_with(&[(INITIATOR + 70, &[31]), (TARGET + 34, &[36])]);
    let name = Ibft::new(&bytes).unwrap().initiator().unwrap().name().unwrap();
    assert_eq!(name.as_bytes(), b"iqn.2010-06.org.example:client");
    assert_eq!(names(&bytes), ["iqn.2007-09.jp.ne.peach.istgt:disk1"]);
}

#[test]
fn row_19_secrets_are_hidden_and_can_be_wiped() {
    let secret = TargetRepr {
        chap_type: 2,
        chap_name: b"user",
        chap_secret: Secret::new(b"open sesame"),
        reverse_chap_name: b"disk",
        reverse_chap_secret: Secret::new(b"shazam!"),
        ..target(0, 3, b"iqn.a:disk")
    };
    let targets = [secret.clone(), target(1, 3, b"without"), secret];
    let mut bytes = built(&TableRepr { targets: &targets, ..Default::default() });
    let shown = format!("{:?}", Ibft::new(&bytes).unwrap());
    assert!(shown.contains("chap_secret: Ok([hidden])"), "{shown}");
    assert!(!shown.contains("sesame") && !shown.contains("shazam"), "{shown}");

    assert_eq!(wipe_secrets(&mut bytes), Ok(4));
    let ibft = Ibft::new(&bytes).expect("the checksum is fixed");
    let target = ibft.targets().next().unwrap();
    assert!(target.chap_secret().unwrap().is_empty());
    assert_eq!(target.chap_name().unwrap().as_bytes(), b"user", "the rest stays");
    assert!(!bytes.windows(6).any(|window| window == b"sesame" || window == b"shazam"));
}

#[test]
fn a_bad_table_is_not_touched_by_wiping() {
    let mut bytes = IPXE.to_vec();
    bytes[9] ^= 1;
    let before = bytes.clone();
    assert!(wipe_secrets(&mut bytes).is_err());
    assert_eq!(bytes, before);
}

#[test]
fn a_real_table_rewritten_says_the_same() {
    let ibft = Ibft::new(IPXE).unwrap();
    let nics: Vec<_> = ibft.nics().map(|nic| nic.repr().unwrap()).collect();
    let targets: Vec<_> = ibft.targets().map(|target| target.repr().unwrap()).collect();
    let initiator = ibft.initiator().map(|initiator| initiator.repr().unwrap());
    let table = TableRepr {
        oem_id: *b"FENSYS",
        oem_table_id: *b"iPXE\0\0\0\0",
        initiator,
        nics: &nics,
        targets: &targets,
        ..Default::default()
    };
    let again = built(&table);
    let again = Ibft::new(&again).unwrap();
    let of = |ibft: &Ibft<'_>| {
        ibft.structures()
            .map(|structure| match structure.unwrap() {
                Structure::Initiator(it) => format!("{:?}", it.repr()),
                Structure::Nic(it) => format!("{:?}", it.repr()),
                Structure::Target(it) => format!("{:?}", it.repr()),
                other => panic!("{other:?}"),
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&ibft), of(&again));
    assert_eq!(ibft.to_string().replace("579", "N"), again.to_string().replace("403", "N"));
}

#[test]
fn a_table_is_written_as_strict_readers_want_it() {
    let initiator = InitiatorRepr { name: b"iqn.a:b", ..Default::default() };
    let nics = [NicRepr::default(), NicRepr::default()];
    let targets = [target(0, 3, b"t"), target(1, 3, b"u")];
    let bytes = built(&TableRepr {
        initiator: Some(initiator),
        nics: &nics,
        targets: &targets,
        ..Default::default()
    });
    // The control structure's exact length, aligned structures of exact lengths, NULs.
    assert_eq!(bytes[48..54], [1, 1, 18, 0, 0, 0]);
    let offsets: Vec<_> =
        bytes[56..66].chunks(2).map(|at| u16::from_le_bytes([at[0], at[1]])).collect();
    assert_eq!(offsets, [80, 160, 384, 272, 448]);
    assert!(bytes.ends_with(b"\0iqn.a:b\0t\0u\0") || bytes.ends_with(b"iqn.a:b\0t\0u\0"));
}

#[test]
fn what_cannot_be_written_is_refused() {
    let mut small = [0xa5; 100];
    let needed = TableRepr::default().length().unwrap();
    assert_eq!(needed, 80);
    let table = TableRepr { initiator: Some(InitiatorRepr::default()), ..Default::default() };
    assert_eq!(
        table.emit(&mut small),
        Err(BuildError::BufferTooSmall { needed: 160, available: 100 })
    );
    assert_eq!(small, [0xa5; 100]);
    let nul = [target(0, 3, b"a\0b")];
    let table = TableRepr { targets: &nul, ..Default::default() };
    assert_eq!(table.length(), Err(BuildError::NulInString { field: "target name" }));
    let long = vec![b'x'; 70_000];
    let targets = [target(0, 3, &long)];
    let table = TableRepr { targets: &targets, ..Default::default() };
    assert_eq!(table.length(), Err(BuildError::TooLong));
    let many = vec![target(0, 3, &long[..1000]); 100];
    let table = TableRepr { targets: &many, ..Default::default() };
    assert_eq!(table.length(), Err(BuildError::TooLong));
    assert_eq!(Lun::from_number(u32::MAX), None);
}
