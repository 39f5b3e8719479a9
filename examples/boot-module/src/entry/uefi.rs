//! Started as a UEFI application: what firmware knows is taken down, then firmware is left.

use core::ffi::c_void;
use core::ptr;
use core::slice;

use uefi_raw::protocol::loaded_image::LoadedImageProtocol;
use uefi_raw::protocol::rng::RngProtocol;
use uefi_raw::table::boot::{AllocateType, BootServices, MemoryDescriptor, MemoryType};
use uefi_raw::table::system::SystemTable;
use uefi_raw::{Guid, Handle, Status, guid};

use super::LOADER_UEFI;
use super::handover::{Handover, Loader, MemoryMap};
use crate::ARENA_BYTES;
use crate::boot_cell::BootCell;
use crate::command_line::CommandLine;
use crate::console;
use crate::entropy;

const ACPI_2: Guid = guid!("8868e871-e4f1-11d3-bc22-0080c73c8881");
const ACPI_1: Guid = guid!("eb9d2d30-2d88-11d3-9a16-0090273fc14d");

/// Filled before firmware is left, taken once our own stack stands.
static HANDOVER: BootCell<Option<Handover>> = BootCell::new(None);

/// Firmware's memory map, room for some 1300 entries. In .bss: the stack here is firmware's.
static MEMORY_MAP: BootCell<[u64; 8192]> = BootCell::new([0; 8192]);

pub(super) fn handover() -> Handover {
    HANDOVER.with(Option::take).expect("uefi_main fills it")
}

/// Called by start.s on firmware's stack, relocated, with .bss cleared.
///
/// # Safety
/// `image` and `system_table` are what firmware gave to the image's entry point.
#[unsafe(no_mangle)]
unsafe extern "efiapi" fn uefi_main(
    image: Handle,
    system_table: *const SystemTable,
    entry_time_stamp: u64,
) -> ! {
    console::start();
    // SAFETY: firmware's own table, valid until boot services are left.
    let system_table = unsafe { &*system_table };
    // SAFETY: as above.
    let boot_services = unsafe { &*system_table.boot_services };

    if let Some(seed) = random_seed(boot_services) {
        entropy::take_from_firmware(seed);
    }
    let command_line = command_line(boot_services, image);
    let rsdp = rsdp(system_table);
    let arena = allocate_below_4_gib(boot_services, ARENA_BYTES);
    let memory = leave_boot_services(boot_services, image);

    let arena = arena.map(|start| start..start + ARENA_BYTES);
    let handover = Handover { loader: Loader::Uefi, command_line, memory, rsdp, arena };
    HANDOVER.with(|cell| *cell = Some(handover));
    // SAFETY: firmware no longer runs; what this stack holds is not needed any more.
    unsafe { enter_kernel(LOADER_UEFI, 0, entry_time_stamp) }
}

unsafe extern "sysv64" {
    /// In start.s: turns interrupts off, takes our own stack and calls `kernel_start`.
    fn enter_kernel(loader: u64, information: u64, entry_time_stamp: u64) -> !;
}

fn command_line(boot_services: &BootServices, image: Handle) -> CommandLine {
    let mut loaded: *mut c_void = ptr::null_mut();
    // SAFETY: a boot service, called as UEFI 2.10 §7.3.7 says.
    let status = unsafe {
        (boot_services.handle_protocol)(image, &LoadedImageProtocol::GUID, &raw mut loaded)
    };
    if status != Status::SUCCESS {
        return CommandLine::parse(&[]);
    }
    // SAFETY: firmware gave this protocol for our own image.
    let loaded = unsafe { &*loaded.cast::<LoadedImageProtocol>() };
    if loaded.load_options.is_null() {
        return CommandLine::parse(&[]);
    }
    let units = loaded.load_options_size as usize / 2;
    let options = loaded.load_options.cast::<u16>();
    // SAFETY: so many bytes, says firmware; copied to where they are aligned.
    let unit = |index| unsafe { options.wrapping_add(index).read_unaligned() };
    let text = char::decode_utf16((0..units).map(unit).take_while(|&unit| unit != 0));
    CommandLine::from_chars(text.map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)))
}

/// 32 bytes of firmware's own randomness, where it has any (UEFI 2.10 §37.5).
fn random_seed(boot_services: &BootServices) -> Option<[u8; 32]> {
    let mut found: *mut c_void = ptr::null_mut();
    // SAFETY: a boot service, called as UEFI 2.10 §7.3.16 says.
    let status = unsafe {
        (boot_services.locate_protocol)(&RngProtocol::GUID, ptr::null_mut(), &raw mut found)
    };
    if status != Status::SUCCESS || found.is_null() {
        return None;
    }
    let protocol = found.cast::<RngProtocol>();
    // SAFETY: firmware gave this protocol.
    let get_rng = unsafe { (*protocol).get_rng };
    let mut seed = [0; 32];
    // SAFETY: the protocol's function with its own `this`, firmware's default algorithm, and room
    // for so many bytes.
    let status = unsafe { get_rng(protocol, ptr::null(), seed.len(), seed.as_mut_ptr()) };
    let is_filled = seed.as_chunks::<8>().0.iter().all(|word| *word != [0; 8]);
    (status == Status::SUCCESS && is_filled).then_some(seed)
}

fn rsdp(system_table: &SystemTable) -> Option<u64> {
    let count = system_table.number_of_configuration_table_entries;
    if count == 0 {
        return None;
    }
    // SAFETY: so many entries, says firmware.
    let tables = unsafe { slice::from_raw_parts(system_table.configuration_table, count) };
    let find = |wanted| tables.iter().find(|table| table.vendor_guid == wanted);
    find(ACPI_2).or_else(|| find(ACPI_1)).map(|table| table.vendor_table as u64)
}

fn allocate_below_4_gib(boot_services: &BootServices, length: u64) -> Option<u64> {
    let mut address = 0xffff_ffff;
    let pages = length.div_ceil(4096) as usize;
    // SAFETY: a boot service, called as UEFI 2.10 §7.2.1 says.
    let status = unsafe {
        (boot_services.allocate_pages)(
            AllocateType::MAX_ADDRESS,
            MemoryType::LOADER_DATA,
            pages,
            &raw mut address,
        )
    };
    (status == Status::SUCCESS).then_some(address)
}

/// Takes the memory map and leaves boot services: firmware's drivers, the NIC's among them, stop.
fn leave_boot_services(boot_services: &BootServices, image: Handle) -> MemoryMap {
    // Leaving may change the map once more, which makes its key stale: then both again.
    for _ in 0..4 {
        let mut size = size_of::<[u64; 8192]>();
        let (mut key, mut descriptor_size, mut version) = (0, 0, 0);
        let map = MEMORY_MAP.as_mut_ptr().cast::<MemoryDescriptor>();
        // SAFETY: a boot service, called as UEFI 2.10 §7.2.3 says, with a buffer of `size` bytes.
        let status = unsafe {
            (boot_services.get_memory_map)(
                &raw mut size,
                map,
                &raw mut key,
                &raw mut descriptor_size,
                &raw mut version,
            )
        };
        assert!(status == Status::SUCCESS, "UEFI gave no memory map: {status:?}");

        // SAFETY: a boot service, called as UEFI 2.10 §7.4.6 says.
        let status = unsafe { (boot_services.exit_boot_services)(image, key) };
        if status != Status::SUCCESS {
            continue;
        }
        let mut memory = MemoryMap::new();
        for offset in (0..size).step_by(descriptor_size) {
            // SAFETY: firmware filled `size` bytes with descriptors of `descriptor_size` bytes.
            let entry = unsafe { &*map.wrapping_byte_add(offset) };
            if is_free(entry.ty) {
                memory.add(entry.phys_start, entry.page_count * 4096);
            }
        }
        return memory;
    }
    panic!("UEFI does not let go of boot services");
}

/// Whether memory of this type is the kernel's once boot services are left.
fn is_free(kind: MemoryType) -> bool {
    matches!(
        kind,
        MemoryType::CONVENTIONAL
            | MemoryType::LOADER_CODE
            | MemoryType::LOADER_DATA
            | MemoryType::BOOT_SERVICES_CODE
            | MemoryType::BOOT_SERVICES_DATA
    )
}
