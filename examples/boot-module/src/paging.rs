//! The address space: everything at its physical address.
//!
//! The first 4 GiB are always there, in 2 MiB pages; more is added where it is asked for.

use core::arch::asm;
use core::ops::Range;

use crate::boot_cell::BootCell;

const PRESENT: u64 = 1;
const WRITABLE: u64 = 1 << 1;
/// PWT and PCD: uncached, whatever firmware said in the MTRRs.
const UNCACHED: u64 = 0b11 << 3;
const LARGE: u64 = 1 << 7;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

const LARGE_PAGE: u64 = 2 << 20;

type Table = [u64; 512];

unsafe extern "C" {
    /// PML4, page directory pointers, four page directories (start.s).
    static mut page_tables: [Table; 6];
    /// The page below the stack (start.s).
    static stack_guard: u8;
}

/// Tables for what lies above 4 GiB (each another GiB), the guard page, and a fifth level.
static MORE_TABLES: BootCell<Tables> =
    BootCell::new(Tables { tables: [const { PageTable([0; 512]) }; 16], used: 0 });

#[repr(align(4096))]
struct PageTable(Table);

struct Tables {
    tables: [PageTable; 16],
    used: usize,
}

/// Takes over from the tables of start.s or of firmware, and takes the guard page out.
pub(crate) fn start() {
    let tables = (&raw mut page_tables).cast::<Table>();
    // SAFETY: our own six tables. Where they are in use already, they get the values that they
    // have; nothing else holds a reference to them.
    let [root, pointers, directories @ ..] = unsafe { &mut *tables.cast::<[Table; 6]>() };
    for (index, entry) in directories.as_flattened_mut().iter_mut().enumerate() {
        *entry = (index as u64 * LARGE_PAGE) | PRESENT | WRITABLE | LARGE;
    }
    for (entry, directory) in pointers.iter_mut().zip(directories) {
        *entry = directory.as_ptr() as u64 | PRESENT | WRITABLE;
    }
    root[0] = pointers.as_ptr() as u64 | PRESENT | WRITABLE;

    let mut top = tables as u64;
    if has_five_levels() {
        let fifth = new_table().expect("tables are left at the start");
        // SAFETY: just made, nobody else's.
        unsafe { fifth.write(top | PRESENT | WRITABLE) };
        top = fifth as u64;
    }
    map_memory(&crate::physical::image()).expect("the image can be mapped");
    // SAFETY: maps all that is in use, at the same addresses as before.
    unsafe { asm!("mov cr3, {}", in(reg) top, options(nostack)) };

    remove_page(&raw const stack_guard as u64);
}

/// Makes memory reachable; `None` when no tables are left or the address is too high.
pub(crate) fn map_memory(range: &Range<u64>) -> Option<()> {
    map(range, PRESENT | WRITABLE | LARGE)
}

/// Makes device registers reachable, uncached.
pub(crate) fn map_registers(range: &Range<u64>) -> Option<()> {
    map(range, PRESENT | WRITABLE | LARGE | UNCACHED)
}

fn map(range: &Range<u64>, flags: u64) -> Option<()> {
    const FOUR_GIB: u64 = 4 << 30;
    if range.end <= FOUR_GIB && flags & UNCACHED == 0 {
        return Some(());
    }
    if range.end > 1 << 47 {
        return None;
    }
    let first = range.start & !(LARGE_PAGE - 1);
    for page in (first..range.end).step_by(LARGE_PAGE as usize) {
        let entry = directory_entry(page)?;
        // SAFETY: an entry of a live table.
        let old = unsafe { entry.read() };
        if old & LARGE == 0 && old & PRESENT != 0 {
            // Split for the guard page: the image's own memory, which stays as it is.
            continue;
        }
        // SAFETY: the same page at the same address as before, or one that was not there.
        unsafe { entry.write(page | flags | old & UNCACHED) };
        forget(page);
    }
    Some(())
}

/// The page directory entry for `address`; the tables above it are made if need be.
fn directory_entry(address: u64) -> Option<*mut u64> {
    let mut table = (&raw mut page_tables).cast::<u64>();
    for shift in [39, 30] {
        // SAFETY: nine bits of index, in a live table.
        let entry = unsafe { table.add(((address >> shift) & 511) as usize) };
        // SAFETY: as above.
        let old = unsafe { entry.read() };
        table = match old & PRESENT {
            0 => {
                let new = new_table()?;
                // SAFETY: an empty entry of a live table.
                unsafe { entry.write(new as u64 | PRESENT | WRITABLE) };
                new
            }
            _ => (old & ADDRESS) as *mut u64,
        };
    }
    // SAFETY: as above.
    Some(unsafe { table.add(((address >> 21) & 511) as usize) })
}

/// Splits the 2 MiB page around `address`, and takes the 4 KiB page there out.
fn remove_page(address: u64) {
    let first = address & !(LARGE_PAGE - 1);
    let (Some(entry), Some(pages)) = (directory_entry(first), new_table()) else { return };
    for index in 0..512 {
        let page = first + index * 4096;
        let value = if page == address { 0 } else { page | PRESENT | WRITABLE };
        // SAFETY: one of 512 entries of a new table.
        unsafe { pages.wrapping_add(index as usize).write(value) };
    }
    // SAFETY: a live entry; all that was mapped stays so, but for the page that nobody uses.
    unsafe { entry.write(pages as u64 | PRESENT | WRITABLE) };
    forget(address);
}

fn new_table() -> Option<*mut u64> {
    MORE_TABLES.with(|tables| {
        let table = tables.tables.get_mut(tables.used)?;
        tables.used += 1;
        Some(table.0.as_mut_ptr())
    })
}

/// Drops what the processor remembers about the page.
fn forget(address: u64) {
    // SAFETY: only makes the processor look at the tables again.
    unsafe { asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags)) };
}

/// Firmware may have turned on five-level paging, which cannot be turned off in long mode.
fn has_five_levels() -> bool {
    let cr4: u64;
    // SAFETY: reading changes nothing.
    unsafe { asm!("mov {}, cr4", out(reg) cr4, options(nomem, nostack, preserves_flags)) };
    cr4 & 1 << 12 != 0
}
