//! ACPI's root pointer (RSDP) and the two kinds of root tables it leads to.
//!
//! The layouts are the `acpi` crate's; the reads are bounded and go through the host's memory.

use core::mem::{offset_of, size_of};

use acpi::rsdp::Rsdp;
use acpi::sdt::SdtHeader;

use super::{Candidates, PhysicalMemory, Reason, Unreadable, read};
use crate::field::{read_array, read_u8, read_u16, read_u32};
use crate::table::sum;

/// Searches for ACPI's root pointer where a BIOS puts it (ACPI 6.5 §5.2.5.1): in the first KiB of
/// the extended BIOS data area, then from 0xE0000 to 0xFFFFF, on 16-byte boundaries. Both checksums
/// have to be good.
pub fn find_rsdp(memory: &mut impl PhysicalMemory) -> Option<u64> {
    let mut segment = [0; 2];
    let ebda = match memory.read(EBDA_SEGMENT_POINTER, &mut segment) {
        Ok(()) => u64::from(read_u16(&segment, 0..2)).checked_mul(16),
        Err(Unreadable) => None,
    };
    let ebda = ebda
        .filter(|start| EBDA_RANGE.contains(start))
        .map(|start| (start, start.saturating_add(1024)));
    ebda.into_iter().chain([BIOS_AREA]).find_map(|(start, end)| {
        Candidates::new(start, end).find(memory, |memory, address, head| {
            head.starts_with(RSDP_SIGNATURE)
                .then(|| RootPointer::read(memory, address).ok())?
                .filter(|pointer| pointer.checksums_good)
                .map(|_| address)
        })
    })
}

const BIOS_AREA: (u64, u64) = (0xe_0000, 0x10_0000);
/// The BIOS data area's word with the segment of the extended BIOS data area.
const EBDA_SEGMENT_POINTER: u64 = 0x40e;
const EBDA_RANGE: core::ops::Range<u64> = 0x8_0000..0xa_0000;
const RSDP_SIGNATURE: &[u8] = b"RSD PTR ";
/// An ACPI 1.0 RSDP ends before the length field.
const RSDP_REVISION_1_LENGTH: usize = offset_of!(Rsdp, length);
/// How many tables a root table may list: machines have dozens.
const MAXIMUM_ACPI_TABLES: usize = 1024;

/// What ACPI's root pointer says (ACPI 6.5 §5.2.5.3).
pub(super) struct RootPointer {
    pub(super) rsdt: Option<u64>,
    pub(super) xsdt: Option<u64>,
    checksums_good: bool,
}

impl RootPointer {
    /// Reads it. A wrong checksum is not refused here: a boot loader named the address, and such
    /// firmware exists.
    pub(super) fn read(memory: &mut impl PhysicalMemory, address: u64) -> Result<Self, Reason> {
        let mut bytes = [0; size_of::<Rsdp>()];
        let (first, second) = bytes.split_at_mut(RSDP_REVISION_1_LENGTH);
        read(memory, address, first).map_err(|Unreadable| Reason::Unreadable)?;
        if !first.starts_with(RSDP_SIGNATURE) {
            return Err(Reason::RsdpSignature);
        }
        let rsdt =
            u64::from(read_u32(first, offset_of!(Rsdp, rsdt_address)..RSDP_REVISION_1_LENGTH));
        let mut checksums_good = sum(first) == 0;
        let mut xsdt = 0;
        // Revision 0 is ACPI 1.0; the longer structure is revision 2.
        if read_u8(first, offset_of!(Rsdp, revision)) >= 2 {
            let rest = address.saturating_add(RSDP_REVISION_1_LENGTH as u64);
            read(memory, rest, second).map_err(|Unreadable| Reason::Unreadable)?;
            let field = offset_of!(Rsdp, xsdt_address)..offset_of!(Rsdp, ext_checksum);
            xsdt = u64::from_le_bytes(read_array(&bytes, field));
            checksums_good &= sum(&bytes) == 0;
        }
        let some = |address: u64| Some(address).filter(|address| *address != 0);
        Ok(RootPointer { rsdt: some(rsdt), xsdt: some(xsdt), checksums_good })
    }
}

/// A table of addresses of tables.
#[derive(Clone, Copy)]
pub(super) enum RootTable {
    /// With four bytes each.
    Rsdt(u64),
    /// With eight.
    Xsdt(u64),
}

impl RootTable {
    pub(super) fn address(self) -> u64 {
        let (RootTable::Rsdt(address) | RootTable::Xsdt(address)) = self;
        address
    }

    fn entry_length(self) -> usize {
        match self {
            RootTable::Rsdt(_) => 4,
            RootTable::Xsdt(_) => 8,
        }
    }

    /// How many addresses the table holds. Its checksum is not looked at: what the addresses lead
    /// to is checked.
    pub(super) fn entries(self, memory: &mut impl PhysicalMemory) -> Result<usize, Reason> {
        let mut head = [0; size_of::<SdtHeader>()];
        read(memory, self.address(), &mut head).map_err(|Unreadable| Reason::Unreadable)?;
        let signature = match self {
            RootTable::Rsdt(_) => b"RSDT",
            RootTable::Xsdt(_) => b"XSDT",
        };
        if !head.starts_with(signature) {
            return Err(Reason::NoRootTable);
        }
        let length = read_u32(&head, offset_of!(SdtHeader, length)..8);
        usize::try_from(length)
            .ok()
            .and_then(|length| {
                length.checked_sub(size_of::<SdtHeader>())?.checked_div(self.entry_length())
            })
            .map(|count| count.min(MAXIMUM_ACPI_TABLES))
            .ok_or(Reason::NoRootTable)
    }

    pub(super) fn entry(self, memory: &mut impl PhysicalMemory, index: usize) -> Option<u64> {
        let at = index.checked_mul(self.entry_length())?.checked_add(size_of::<SdtHeader>())?;
        let address = self.address().checked_add(u64::try_from(at).ok()?)?;
        let mut entry = [0; 8];
        read(memory, address, entry.get_mut(..self.entry_length())?).ok()?;
        Some(u64::from_le_bytes(entry)).filter(|address| *address != 0)
    }
}
