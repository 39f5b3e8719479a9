//! Finds the table in a machine's memory: through ACPI, and by scanning low memory as BIOS boot
//! ROMs want it.
//!
//! The host lends its memory as a [`PhysicalMemory`] and says how it was started as a [`Search`]:
//!
//! ```
//! use isboot_ibft::locate::{Search, Unreadable, find};
//! # let ram = vec![0u8; 0x10_0000];
//! // A kernel with identity mapping copies from the address; one without maps the page first.
//! let mut memory = |address: u64, into: &mut [u8]| {
//!     let start = usize::try_from(address).map_err(|_| Unreadable)?;
//!     into.copy_from_slice(ram.get(start..start + into.len()).ok_or(Unreadable)?);
//!     Ok(())
//! };
//! let mut buffer = [0; isboot_ibft::TYPICAL_BUFFER_LENGTH];
//! match find(&mut memory, &Search::BIOS, &mut buffer, |rejected| println!("{rejected}")) {
//!     Ok(found) => println!("{} at {:#x}", found.table, found.address),
//!     Err(not_found) => println!("{not_found}"),
//! }
//! ```
//!
//! Every read is bounded and every table is checked before it is believed, because the addresses
//! come from firmware too. A candidate that fails a check is reported and the search goes on.
//!
//! The layouts of the RSDP and of the table header are the `acpi` crate's. Its walk is not used
//! here: it maps memory through `unsafe` functions and checks neither lengths nor checksums. A
//! kernel that already walks the tables with it passes their addresses to [`find_at`].

mod root;

use core::fmt;
use core::mem::{offset_of, size_of};

use acpi::sdt::SdtHeader;

use crate::field::read_u32;
use crate::table::{MAXIMUM_TABLE_LENGTH, checked_length};
use crate::{Error, Ibft, SIGNATURES};

pub use root::find_rsdp;
use root::{RootPointer, RootTable};

/// Memory by physical address, as the hosting kernel lends it for the search.
///
/// Reads never cross a 4 KiB boundary, so that a kernel without identity mapping can map one page,
/// copy, and unmap. Closures implement it.
pub trait PhysicalMemory {
    /// Fills `into` from memory at `address`.
    ///
    /// # Errors
    /// [`Unreadable`] when there is no memory at the address, or none to be read; the search then
    /// goes on elsewhere. `into` may be in any state then.
    fn read(&mut self, address: u64, into: &mut [u8]) -> Result<(), Unreadable>;
}

impl<F: FnMut(u64, &mut [u8]) -> Result<(), Unreadable>> PhysicalMemory for F {
    fn read(&mut self, address: u64, into: &mut [u8]) -> Result<(), Unreadable> {
        self(address, into)
    }
}

/// There is no memory to read at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable;

/// Where to search, and for which table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search {
    /// Where ACPI's root pointer is.
    pub rsdp: RsdpSource,
    /// Whether to scan low memory too. Not under UEFI: there the table is always ACPI's.
    pub low_memory: bool,
    /// Which of several valid tables to take, from 0: those in ACPI first, then by address.
    pub instance: usize,
}

/// Where ACPI's root pointer (RSDP) is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RsdpSource {
    /// At this physical address: EFI's configuration table, PVH's start info, or a boot loader told
    /// it. A copy of the structure does as well (multiboot2 tags 14 and 15).
    Given(u64),
    /// Where a BIOS puts it: the first KiB of the extended BIOS data area, or 0xE0000 to 0xFFFFF.
    BiosScan,
    /// There is no ACPI.
    None,
}

impl Search {
    /// For a machine that was started by a BIOS and told nothing else.
    pub const BIOS: Search = Search { rsdp: RsdpSource::BiosScan, low_memory: true, instance: 0 };

    /// For a machine that was started by UEFI, with the address from its configuration table.
    pub const fn uefi(rsdp: u64) -> Search {
        Search { rsdp: RsdpSource::Given(rsdp), low_memory: false, instance: 0 }
    }
}

/// How a table was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// Through ACPI's root tables.
    Acpi,
    /// By the scan of low memory.
    LowMemory,
}

impl fmt::Display for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Via::Acpi => "acpi",
            Via::LowMemory => "low-memory",
        })
    }
}

/// A table that was found, copied into the caller's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Found<'b> {
    /// How it was reached.
    pub via: Via,
    /// Its physical address.
    pub address: u64,
    /// The table.
    pub table: Ibft<'b>,
}

/// Something on the way that could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// How it was reached.
    pub via: Via,
    /// Its physical address.
    pub address: u64,
    /// What is wrong with it.
    pub reason: Reason,
}

/// Why something could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// There is no memory to read.
    Unreadable,
    /// The RSDP has another signature.
    RsdpSignature,
    /// The RSDP or root table names no table, or has an impossible length.
    NoRootTable,
    /// The bytes are no valid iBFT.
    Table(Error),
    /// The iBFT would reach beyond the region where it was found.
    BeyondRegion {
        /// Its length in bytes.
        length: usize,
        /// The region's end.
        end: u64,
    },
    /// The iBFT is longer than the buffer it was to be copied to.
    BufferTooSmall {
        /// Its length in bytes.
        needed: usize,
        /// The buffer's.
        available: usize,
    },
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {:#x} (via {}): ", self.address, self.via)?;
        match self.reason {
            Reason::Unreadable => f.write_str("the memory cannot be read"),
            Reason::RsdpSignature => f.write_str("no ACPI root pointer: another signature"),
            Reason::NoRootTable => f.write_str("ACPI's root pointer leads to no usable table"),
            Reason::Table(error) => error.fmt(f),
            Reason::BeyondRegion { length, end } => {
                write!(f, "an iBFT of {length} bytes would reach beyond {end:#x}")
            }
            Reason::BufferTooSmall { needed, available } => {
                write!(f, "the iBFT has {needed} bytes, the buffer for it {available}")
            }
        }
    }
}

/// No table was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotFound {
    /// What was searched.
    pub search: Search,
    /// The RSDP that was used, if any.
    pub rsdp: Option<u64>,
    /// How many valid tables there were: all before the wanted instance.
    pub valid: usize,
    /// The first iBFT that could not be used, if any; else the first obstacle on the way.
    pub rejected: Option<Rejected>,
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no iSCSI boot firmware table (iBFT) found; searched")?;
        match (self.search.rsdp, self.rsdp) {
            (RsdpSource::None, _) => {}
            (_, Some(address)) => write!(f, " ACPI (root pointer at {address:#x})")?,
            (_, None) => f.write_str(" ACPI (which has no root pointer)")?,
        }
        if self.search.low_memory {
            f.write_str(if self.search.rsdp == RsdpSource::None { " " } else { " and " })?;
            f.write_str("low memory 0x80000-0x9ffff, 0xc0000-0xfffff")?;
        }
        if self.valid > 0 {
            let (valid, instance) = (self.valid, self.search.instance);
            write!(f, "; instance {instance} was wanted, and there are only {valid}")?;
        }
        match self.rejected {
            Some(rejected) => write!(f, "; refused {rejected}"),
            None if self.valid == 0 => f.write_str(
                "; did the firmware boot from an iSCSI target (iPXE: sanboot, sanhook)?",
            ),
            None => Ok(()),
        }
    }
}

impl core::error::Error for NotFound {}

/// Searches as told and copies the table into `buffer`.
///
/// `rejected` hears of everything that could not be used, for the log: the search goes on after
/// each. [`TYPICAL_BUFFER_LENGTH`](crate::TYPICAL_BUFFER_LENGTH) bytes of buffer are enough for all
/// known firmware, [`MAXIMUM_TABLE_LENGTH`] for every table.
///
/// # Errors
/// [`NotFound`], which says what was searched and what was refused.
pub fn find<'b>(
    memory: &mut impl PhysicalMemory,
    search: &Search,
    buffer: &'b mut [u8],
    rejected: impl FnMut(&Rejected),
) -> Result<Found<'b>, NotFound> {
    let mut hunt = Hunt::new(memory, *search, buffer, rejected);
    hunt.rsdp = match search.rsdp {
        RsdpSource::Given(address) => Some(address),
        RsdpSource::BiosScan => find_rsdp(hunt.memory),
        RsdpSource::None => None,
    };
    let mut place = None;
    if let Some(rsdp) = hunt.rsdp {
        place = hunt.acpi(rsdp);
    }
    if place.is_none() && search.low_memory {
        place = LOW_MEMORY.iter().find_map(|&(start, end)| hunt.scan(start, end));
    }
    hunt.finish(place)
}

/// Takes the iBFT among ACPI tables whose addresses are known already, for instance from the
/// `acpi` crate: `tables.table_headers().map(|(address, _)| address as u64)`.
///
/// # Errors
/// [`NotFound`], which says what was refused.
pub fn find_at<'b>(
    memory: &mut impl PhysicalMemory,
    addresses: impl IntoIterator<Item = u64>,
    instance: usize,
    buffer: &'b mut [u8],
    rejected: impl FnMut(&Rejected),
) -> Result<Found<'b>, NotFound> {
    let search = Search { rsdp: RsdpSource::None, low_memory: false, instance };
    let mut hunt = Hunt::new(memory, search, buffer, rejected);
    let place = addresses.into_iter().find_map(|address| hunt.acpi_table(address));
    hunt.finish(place)
}

/// Where boot ROMs put the table: 0x80000 to 0xFFFFF without the video memory in between.
const LOW_MEMORY: [(u64, u64); 2] = [(0x8_0000, 0xa_0000), (0xc_0000, 0x10_0000)];
const PAGE: u64 = 4096;

/// One run of [`find`] or [`find_at`].
struct Hunt<'m, 'b, M, R> {
    memory: &'m mut M,
    buffer: &'b mut [u8],
    search: Search,
    report: R,
    rsdp: Option<u64>,
    valid: usize,
    rejected: Option<Rejected>,
}

/// A valid table whose copy is at the start of the buffer.
struct Place {
    via: Via,
    address: u64,
    length: usize,
}

impl<'m, 'b, M: PhysicalMemory, R: FnMut(&Rejected)> Hunt<'m, 'b, M, R> {
    fn new(memory: &'m mut M, search: Search, buffer: &'b mut [u8], report: R) -> Self {
        Hunt { memory, buffer, search, report, rsdp: None, valid: 0, rejected: None }
    }

    fn finish(self, place: Option<Place>) -> Result<Found<'b>, NotFound> {
        let Hunt { search, rsdp, valid, rejected, .. } = self;
        let not_found = NotFound { search, rsdp, valid, rejected };
        let Place { via, address, length } = place.ok_or(not_found)?;
        let bytes: &'b [u8] = self.buffer;
        match Ibft::new(bytes.get(..length).unwrap_or_default()) {
            Ok(table) => Ok(Found { via, address, table }),
            Err(error) => {
                let rejected = Some(Rejected { via, address, reason: Reason::Table(error) });
                Err(NotFound { rejected, ..not_found })
            }
        }
    }

    fn reject(&mut self, via: Via, address: u64, reason: Reason) {
        let rejected = Rejected { via, address, reason };
        (self.report)(&rejected);
        let is_table = |reason| {
            !matches!(reason, Reason::Unreadable | Reason::RsdpSignature | Reason::NoRootTable)
        };
        match self.rejected {
            Some(earlier) if is_table(earlier.reason) || !is_table(reason) => {}
            _ => self.rejected = Some(rejected),
        }
    }

    /// Walks from the root pointer over the XSDT, or the RSDT when there is no usable XSDT.
    fn acpi(&mut self, rsdp: u64) -> Option<Place> {
        let pointer = match RootPointer::read(self.memory, rsdp) {
            Ok(pointer) => pointer,
            Err(reason) => {
                self.reject(Via::Acpi, rsdp, reason);
                return None;
            }
        };
        let roots = [pointer.xsdt.map(RootTable::Xsdt), pointer.rsdt.map(RootTable::Rsdt)];
        for root in roots.into_iter().flatten() {
            match root.entries(self.memory) {
                Ok(count) => {
                    return (0..count).find_map(|index| {
                        let address = root.entry(self.memory, index)?;
                        self.acpi_table(address)
                    });
                }
                Err(reason) => self.reject(Via::Acpi, root.address(), reason),
            }
        }
        if pointer.xsdt.or(pointer.rsdt).is_none() {
            self.reject(Via::Acpi, rsdp, Reason::NoRootTable);
        }
        None
    }

    fn acpi_table(&mut self, address: u64) -> Option<Place> {
        let mut head = [0; size_of::<SdtHeader>()];
        if read(self.memory, address, &mut head).is_err() || !has_signature(&head) {
            return None;
        }
        let length = read_u32(&head, offset_of!(SdtHeader, length)..8);
        self.candidate(Via::Acpi, address, length, u64::MAX)
    }

    /// Scans a region of low memory on 16-byte boundaries and goes on after a bad table.
    fn scan(&mut self, start: u64, end: u64) -> Option<Place> {
        let mut candidates = Candidates::new(start, end);
        loop {
            // The signature and the length stand in the first eight of the sixteen bytes.
            let (address, length) = candidates.find(self.memory, |_, address, head| {
                has_signature(head).then(|| (address, read_u32(head, 4..8)))
            })?;
            let valid = self.valid;
            if let Some(place) = self.candidate(Via::LowMemory, address, length, end) {
                return Some(place);
            }
            if self.valid > valid {
                // Nothing within a valid table is another one.
                candidates.skip_to(address.saturating_add(u64::from(length)));
            }
        }
    }

    /// Copies and checks what has the signature. `Some` only for the wanted instance.
    fn candidate(&mut self, via: Via, address: u64, length: u32, end: u64) -> Option<Place> {
        match self.copy(address, length, end) {
            Err(reason) => {
                self.reject(via, address, reason);
                None
            }
            Ok(length) => {
                let wanted = self.valid == self.search.instance;
                self.valid = self.valid.saturating_add(1);
                wanted.then_some(Place { via, address, length })
            }
        }
    }

    fn copy(&mut self, address: u64, length: u32, end: u64) -> Result<usize, Reason> {
        let found = length;
        let length = checked_length(length)
            .ok_or(Reason::Table(Error::Length { found, available: MAXIMUM_TABLE_LENGTH }))?;
        if address.checked_add(u64::from(found)).is_none_or(|last| last > end) {
            return Err(Reason::BeyondRegion { length, end });
        }
        let available = self.buffer.len();
        let bytes = self
            .buffer
            .get_mut(..length)
            .ok_or(Reason::BufferTooSmall { needed: length, available })?;
        read(self.memory, address, bytes).map_err(|Unreadable| Reason::Unreadable)?;
        Ibft::new(bytes).map(|_| length).map_err(Reason::Table)
    }
}

/// Walks a region in steps of 16 bytes, reading a KiB at a time.
struct Candidates {
    next: u64,
    end: u64,
}

/// How much is read at a time: it divides a page.
const CHUNK: usize = 1024;
const STEP: usize = 16;

impl Candidates {
    fn new(start: u64, end: u64) -> Self {
        Candidates { next: start, end }
    }

    fn skip_to(&mut self, address: u64) {
        let step = address.checked_next_multiple_of(STEP as u64).unwrap_or(self.end);
        self.next = self.next.max(step);
    }

    /// Shows each step's sixteen bytes until `wanted` returns something, and stands behind it then.
    /// What cannot be read is left out.
    fn find<M: PhysicalMemory, T>(
        &mut self,
        memory: &mut M,
        mut wanted: impl FnMut(&mut M, u64, &[u8]) -> Option<T>,
    ) -> Option<T> {
        let mut chunk = [0; CHUNK];
        while self.next < self.end {
            let boundary = self.next.saturating_add(1).next_multiple_of(CHUNK as u64).min(self.end);
            let length = usize::try_from(boundary.saturating_sub(self.next)).ok()?;
            let bytes = chunk.get_mut(..length)?;
            if memory.read(self.next, bytes).is_err() {
                self.next = boundary;
                continue;
            }
            for step in bytes.chunks_exact(STEP) {
                let address = self.next;
                self.next = address.saturating_add(STEP as u64);
                if let Some(found) = wanted(memory, address, step) {
                    return Some(found);
                }
            }
            self.next = boundary;
        }
        None
    }
}

fn has_signature(head: &[u8]) -> bool {
    head.first_chunk::<4>().is_some_and(|signature| SIGNATURES.contains(signature))
}

/// Reads in pieces that do not cross a page boundary.
fn read(memory: &mut impl PhysicalMemory, address: u64, into: &mut [u8]) -> Result<(), Unreadable> {
    let (mut address, mut into) = (address, into);
    while !into.is_empty() {
        let page_end = address
            .checked_add(1)
            .and_then(|next| next.checked_next_multiple_of(PAGE))
            .ok_or(Unreadable)?;
        let room = usize::try_from(page_end.saturating_sub(address)).map_err(|_| Unreadable)?;
        let (piece, rest) = into.split_at_mut(room.min(into.len()));
        memory.read(address, piece)?;
        (address, into) = (page_end, rest);
    }
    Ok(())
}
