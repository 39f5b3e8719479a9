//! Started by multiboot 1 (§3.3): iPXE under BIOS, GRUB.

use super::handover::{Handover, Loader, MemoryMap, text_at, value_at};
use crate::ARENA_BYTES;
use crate::command_line::CommandLine;

const HAS_COMMAND_LINE: u32 = 1 << 2;
const HAS_MEMORY_MAP: u32 = 1 << 6;
const TYPE_RAM: u32 = 1;

#[derive(Clone, Copy)]
#[repr(C)]
struct Information {
    flags: u32,
    _memory: [u32; 2],
    _boot_device: u32,
    command_line: u32,
    _modules: [u32; 2],
    _symbols: [u32; 4],
    memory_map_length: u32,
    memory_map: u32,
}

#[derive(Clone, Copy)]
#[repr(C, packed)]
struct MemoryMapEntry {
    /// Of what follows: not of this field.
    size: u32,
    address: u64,
    length: u64,
    kind: u32,
}

/// # Safety
/// `information` is what the loader left in ebx.
pub(super) unsafe fn handover(information: u64) -> Handover {
    // SAFETY: the caller's promise.
    let information = unsafe { value_at::<Information>(information) };

    let mut memory = MemoryMap::new();
    if information.flags & HAS_MEMORY_MAP != 0 {
        let mut address = u64::from(information.memory_map);
        let end = address + u64::from(information.memory_map_length);
        while address + size_of::<MemoryMapEntry>() as u64 <= end {
            // SAFETY: within the length that the loader gives.
            let entry = unsafe { value_at::<MemoryMapEntry>(address) };
            if entry.kind == TYPE_RAM {
                memory.add(entry.address, entry.length);
            }
            address += u64::from(entry.size) + 4;
        }
    }
    let command_line = match information.flags & HAS_COMMAND_LINE {
        0 => 0,
        _ => u64::from(information.command_line),
    };
    // SAFETY: zero-terminated text, says the loader.
    let command_line = CommandLine::parse(unsafe { text_at(command_line) });
    let arena = memory.find(ARENA_BYTES);
    Handover { loader: Loader::Multiboot, command_line, memory, rsdp: None, arena }
}
