//! Finding the table in a memory that looks like a machine's.

use isboot_ibft::builder::{ExtensionsRepr, TableRepr, TargetRepr};
use isboot_ibft::locate::{
    NotFound, PhysicalMemory, Reason, Rejected, RsdpSource, Search, Unreadable, Via, find, find_at,
    find_rsdp,
};
use isboot_ibft::{Error, TYPICAL_BUFFER_LENGTH, fix_checksum};

/// Pieces of memory; everything else below 1 MiB is zero, and above it there is none.
#[derive(Default)]
struct Memory {
    pieces: Vec<(u64, Vec<u8>)>,
    holes: Vec<std::ops::Range<u64>>,
    reads: Vec<(u64, usize)>,
}

impl Memory {
    fn put(&mut self, address: u64, bytes: impl Into<Vec<u8>>) -> &mut Self {
        self.pieces.push((address, bytes.into()));
        self
    }

    /// An XSDT or RSDT at `address`.
    fn root(&mut self, address: u64, tables: &[u64], entry_length: usize) -> &mut Self {
        let mut bytes = vec![0; 36];
        bytes[..4].copy_from_slice(if entry_length == 8 { b"XSDT" } else { b"RSDT" });
        for table in tables {
            bytes.extend(&table.to_le_bytes()[..entry_length]);
        }
        let length = u32::try_from(bytes.len()).unwrap();
        bytes[4..8].copy_from_slice(&length.to_le_bytes());
        self.put(address, bytes)
    }
}

impl PhysicalMemory for Memory {
    fn read(&mut self, address: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        self.reads.push((address, into.len()));
        let end = address.checked_add(into.len() as u64).ok_or(Unreadable)?;
        if self.holes.iter().any(|hole| address < hole.end && end > hole.start) {
            return Err(Unreadable);
        }
        let covered = |at| {
            self.pieces
                .iter()
                .any(|(start, bytes)| (*start..start + bytes.len() as u64).contains(&at))
        };
        for (at, byte) in (address..).zip(into) {
            if at >= 0x10_0000 && !covered(at) {
                return Err(Unreadable);
            }
            *byte = 0;
            for (start, bytes) in &self.pieces {
                if let Some(place) = at.checked_sub(*start)
                    && let Some(value) = bytes.get(place as usize)
                {
                    *byte = *value;
                }
            }
        }
        Ok(())
    }
}

fn ibft(name: &[u8]) -> Vec<u8> {
    let targets = [TargetRepr { address: Some([10, 0, 2, 2].into()), name, ..Default::default() }];
    let mut buffer = vec![0; 1024];
    let length = TableRepr { targets: &targets, ..Default::default() }.emit(&mut buffer).unwrap();
    buffer.truncate(length);
    buffer
}

fn bad_checksum(mut table: Vec<u8>) -> Vec<u8> {
    table[9] ^= 0x55;
    table
}

fn rsdp(revision: u8, rsdt: u32, xsdt: u64) -> Vec<u8> {
    let mut bytes = b"RSD PTR \0OEMOEM".to_vec();
    bytes.push(revision);
    bytes.extend(rsdt.to_le_bytes());
    let sum = |bytes: &[u8]| bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    bytes[8] = sum(&bytes).wrapping_neg();
    if revision >= 2 {
        bytes.extend(36u32.to_le_bytes());
        bytes.extend(xsdt.to_le_bytes());
        bytes.extend([0; 4]);
        bytes[32] = sum(&bytes).wrapping_neg();
    }
    bytes
}

/// How, where, and the name of the first target.
type Named = (Via, u64, String);

/// Searches and returns how, where and which, and everything that was refused.
fn run(memory: &mut Memory, search: &Search) -> (Result<Named, NotFound>, Vec<Rejected>) {
    let mut buffer = [0; TYPICAL_BUFFER_LENGTH];
    let mut rejected = Vec::new();
    let found = find(memory, search, &mut buffer, |it| rejected.push(*it)).map(|found| {
        let name = found.table.targets().next().unwrap().name().unwrap().to_string();
        (found.via, found.address, name)
    });
    (found, rejected)
}

const UEFI: Search = Search::uefi(0x7f00_0000);

#[test]
fn row_02_low_memory_is_scanned_on_16_byte_steps_without_the_video_memory() {
    for address in [0x8_0000, 0x9_e620, 0xc_0000, 0xf_fd00] {
        let mut memory = Memory::default();
        memory.put(address, ibft(b"it"));
        assert_eq!(
            run(&mut memory, &Search::BIOS).0.unwrap(),
            (Via::LowMemory, address, "it".into())
        );
    }
    for address in [0x7_fff0, 0x9_e628, 0xa_0000, 0xb_f000] {
        let mut memory = Memory::default();
        memory.put(address, ibft(b"it"));
        assert_eq!(
            run(&mut memory, &Search::BIOS),
            (Err(not_found(Search::BIOS)), vec![]),
            "{address:#x}"
        );
        let touched = |read: &(u64, usize)| (0xa_0000..0xc_0000).contains(&read.0);
        assert!(!memory.reads.iter().any(touched), "read video memory");
    }
}

fn not_found(search: Search) -> NotFound {
    NotFound { search, rsdp: None, valid: 0, rejected: None }
}

#[test]
fn row_02_the_scan_goes_on_after_a_bad_table_and_reports_it() {
    let mut revision = ibft(b"bad revision");
    revision[8] = 2;
    fix_checksum(&mut revision).unwrap();
    let mut memory = Memory::default();
    memory
        .put(0x9_0000, bad_checksum(ibft(b"bad checksum")))
        .put(0x9_1000, b"iBFT\xff\xff\xff\xff".to_vec())
        .put(0x9_2000, revision)
        .put(0x9_ff80, ibft(b"over the end of the region"))
        .put(0x9_3000, ibft(b"good"));
    let (found, rejected) = run(&mut memory, &Search::BIOS);
    assert_eq!(found.unwrap(), (Via::LowMemory, 0x9_3000, "good".into()));
    assert!(matches!(rejected[0].reason, Reason::Table(Error::Checksum { .. })));
    assert!(matches!(rejected[1].reason, Reason::Table(Error::Length { found: u32::MAX, .. })));
    assert!(matches!(rejected[2].reason, Reason::Table(Error::Revision { found: 2 })));
    assert_eq!(rejected.len(), 3);

    memory.pieces.pop();
    let (found, rejected) = run(&mut memory, &Search::BIOS);
    let found = found.unwrap_err();
    assert!(matches!(rejected[3].reason, Reason::BeyondRegion { end: 0xa_0000, .. }));
    assert_eq!(found.rejected, Some(rejected[0]));
    let text = found.to_string();
    assert!(
        text.contains("refused at 0x90000 (via low-memory): the iBFT's checksum is wrong"),
        "{text}"
    );
}

#[test]
fn row_02_low_memory_is_not_read_under_uefi() {
    let mut memory = Memory::default();
    memory
        .put(0x9_0000, ibft(b"stale"))
        .put(0x7f00_0000, rsdp(2, 0, 0x7f00_1000))
        .root(0x7f00_1000, &[0x7f00_2000], 8)
        .put(0x7f00_2000, ibft(b"published"));
    assert_eq!(run(&mut memory, &UEFI).0.unwrap(), (Via::Acpi, 0x7f00_2000, "published".into()));
    memory.pieces.pop();
    assert_eq!(run(&mut memory, &UEFI).0.unwrap_err().valid, 0);
    assert!(memory.reads.iter().all(|(address, _)| *address > 0x10_0000));
}

#[test]
fn row_01_acpi_tables_are_taken_by_any_of_the_three_signatures() {
    for signature in [b"iBFT", b"IBFT", b"BIFT"] {
        let mut table = ibft(b"it");
        table[..4].copy_from_slice(signature);
        fix_checksum(&mut table).unwrap();
        let mut memory = Memory::default();
        memory
            .put(0x7f00_0000, rsdp(0, 0x7f00_1000, 0))
            .root(0x7f00_1000, &[0x7f00_3000, 0x7f00_2000], 4)
            .put(0x7f00_3000, b"SSDT".iter().copied().chain([0; 40]).collect::<Vec<_>>())
            .put(0x7f00_2000, table);
        assert_eq!(run(&mut memory, &UEFI).0.unwrap().1, 0x7f00_2000);
    }
}

#[test]
fn row_03_the_instance_is_chosen_among_valid_tables_acpi_first() {
    let mut memory = Memory::default();
    memory
        .put(0xf_5000, rsdp(2, 0, 0x7f00_1000))
        .root(0x7f00_1000, &[0x7f00_2000, 0x7f00_3000, 0x7f00_4000], 8)
        .put(0x7f00_2000, bad_checksum(ibft(b"bad")))
        .put(0x7f00_3000, ibft(b"first"))
        .put(0x7f00_4000, ibft(b"second"))
        .put(0x9_0000, ibft(b"third"));
    for (instance, name) in ["first", "second", "third"].into_iter().enumerate() {
        let (found, rejected) = run(&mut memory, &Search { instance, ..Search::BIOS });
        assert_eq!(found.unwrap().2, name);
        assert_eq!(rejected.len(), 1);
    }
    let text = run(&mut memory, &Search { instance: 3, ..Search::BIOS }).0.unwrap_err().to_string();
    assert!(text.contains("instance 3 was wanted, and there are only 3"), "{text}");
}

#[test]
fn row_03_what_lies_within_a_table_is_not_another_instance() {
    let inner = ibft(b"inner");
    let data: Vec<_> = [0; 10].into_iter().chain(inner).collect();
    let extensions = Some(ExtensionsRepr { data: &data, ..Default::default() });
    let mut outer = vec![0; 1024];
    let length = TableRepr { extensions, ..Default::default() }.emit(&mut outer).unwrap();
    outer.truncate(length);
    let mut memory = Memory::default();
    memory.put(0x9_0000, outer);
    let search = Search { instance: 1, ..Search::BIOS };
    assert_eq!(run(&mut memory, &search).0.unwrap_err().valid, 1);
}

#[test]
fn the_root_pointer_is_found_where_a_bios_puts_it() {
    let mut memory = Memory::default();
    memory.put(0x40e, [0xc0, 0x9f]).put(0x9_fc20, rsdp(0, 1, 0));
    assert_eq!(find_rsdp(&mut memory), Some(0x9_fc20));
    // Behind the first KiB, off the 16-byte steps, and with either checksum wrong.
    for (address, damage) in
        [(0x9_fc20 + 1024, None), (0xf_0008, None), (0xf_0000, Some(8)), (0xf_0000, Some(32))]
    {
        let mut memory = Memory::default();
        let mut bytes = rsdp(2, 1, 2);
        if let Some(at) = damage {
            bytes[at] ^= 1;
        }
        memory.put(0x40e, [0xc0, 0x9f]).put(address, bytes);
        assert_eq!(find_rsdp(&mut memory), None);
        memory.put(0xf_ffd0, rsdp(2, 1, 2));
        assert_eq!(find_rsdp(&mut memory), Some(0xf_ffd0));
    }
}

#[test]
fn a_given_root_pointer_is_followed_in_spite_of_its_checksum() {
    let mut memory = Memory::default();
    let mut bytes = rsdp(2, 0x7f00_8000, 0x7f00_1000);
    bytes[8] ^= 1;
    memory
        .put(0x7f00_0000, bytes)
        .put(0x7f00_1000, b"broken".to_vec())
        .root(0x7f00_8000, &[0x7f00_2000], 4)
        .put(0x7f00_2000, ibft(b"by RSDT"));
    let (found, rejected) = run(&mut memory, &UEFI);
    assert_eq!(found.unwrap().2, "by RSDT");
    assert_eq!(rejected.len(), 1, "the broken XSDT is reported");
    let text = run(&mut Memory::default(), &UEFI).0.unwrap_err().to_string();
    assert!(text.contains("at 0x7f000000 (via acpi): the memory cannot be read"), "{text}");
}

#[test]
fn hostile_lengths_and_addresses_end_the_search_in_bounded_work() {
    let mut memory = Memory::default();
    let mut root = b"XSDT\xff\xff\xff\xff".to_vec();
    root.resize(1 << 20, 0xff);
    memory.put(0x7f00_0000, rsdp(2, 0, 0x7f00_1000)).put(0x7f00_1000, root);
    assert!(run(&mut memory, &UEFI).0.is_err());
    assert!(memory.reads.len() < 4000, "{} reads", memory.reads.len());

    for xsdt in [u64::MAX, u64::MAX - 40, 0x7f00_0000] {
        let mut memory = Memory::default();
        memory.put(0x7f00_0000, rsdp(2, u32::MAX, xsdt));
        assert!(run(&mut memory, &UEFI).0.is_err());
    }
    assert!(run(&mut Memory::default(), &Search::uefi(u64::MAX)).0.is_err());
}

#[test]
fn reads_never_cross_a_page_boundary() {
    let mut memory = Memory::default();
    memory
        .put(0x40e, [0x3f, 0x9f])
        .put(0xf_ffe0, rsdp(0, 0x7f00_0ff1, 0))
        .root(0x7f00_0ff1, &[0x7f00_2ffd, 0x7f00_3e01], 4)
        .put(0x7f00_3e01, ibft(b"across pages"));
    assert_eq!(run(&mut memory, &Search::BIOS).0.unwrap().2, "across pages");
    for (address, length) in memory.reads {
        assert!(address % 4096 + length as u64 <= 4096, "{length} bytes at {address:#x}");
    }
}

#[test]
fn unreadable_memory_is_passed_over() {
    let mut memory = Memory::default();
    memory.put(0x9_8000, ibft(b"behind the hole"));
    memory.holes = vec![0..0x1000, 0x8_0000..0x9_0000, 0xc_8000..0x10_0000];
    assert_eq!(run(&mut memory, &Search::BIOS).0.unwrap().2, "behind the hole");
}

#[test]
fn a_small_buffer_is_named() {
    let mut memory = Memory::default();
    memory.put(0x9_0000, ibft(b"it"));
    let mut buffer = [0; 100];
    let text = find(&mut memory, &Search::BIOS, &mut buffer, |_| {}).unwrap_err().to_string();
    assert!(text.contains("the buffer for it 100"), "{text}");
}

#[test]
fn known_addresses_are_taken_as_they_come() {
    let mut memory = Memory::default();
    memory
        .put(0x7f00_2000, ibft(b"it"))
        .put(0x7f00_3000, b"FACP".iter().copied().chain([0; 40]).collect::<Vec<_>>());
    let mut buffer = [0; 512];
    let found =
        find_at(&mut memory, [0x7f00_3000, 1, 0x7f00_2000], 0, &mut buffer, |_| {}).unwrap();
    assert_eq!(found.address, 0x7f00_2000);
    assert_eq!(
        find_at(&mut memory, [], 0, &mut buffer, |_| {}).unwrap_err().search.rsdp,
        RsdpSource::None
    );
}

#[test]
fn nothing_found_says_what_was_searched_and_what_to_try() {
    assert_eq!(
        run(&mut Memory::default(), &Search::BIOS).0.unwrap_err().to_string(),
        "no iSCSI boot firmware table (iBFT) found; searched ACPI (which has no root pointer) and \
         low memory 0x80000-0x9ffff, 0xc0000-0xfffff; did the firmware boot from an iSCSI target \
         (iPXE: sanboot, sanhook)?"
    );
}
