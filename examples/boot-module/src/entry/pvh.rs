//! Started by PVH (Xen's public/arch-x86/hvm/start_info.h): `qemu -kernel`, Cloud Hypervisor,
//! Firecracker, Xen.

use super::handover::{Handover, Loader, MemoryMap, text_at, value_at};
use crate::ARENA_BYTES;
use crate::command_line::CommandLine;

const MAGIC: u32 = 0x336e_c578;
const TYPE_RAM: u32 = 1;

#[derive(Clone, Copy)]
#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    _flags: u32,
    _module_count: u32,
    _modules: u64,
    command_line: u64,
    rsdp: u64,
    /// From version 1 on.
    memory_map: u64,
    memory_map_entries: u32,
    _reserved: u32,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct MemoryMapEntry {
    address: u64,
    size: u64,
    kind: u32,
    _reserved: u32,
}

/// # Safety
/// `information` is what the loader left in ebx.
pub(super) unsafe fn handover(information: u64) -> Handover {
    // SAFETY: the caller's promise.
    let start_info = unsafe { value_at::<StartInfo>(information) };
    assert!(start_info.magic == MAGIC, "no PVH start information at {information:#x}");

    let mut memory = MemoryMap::new();
    if start_info.version >= 1 {
        for index in 0..u64::from(start_info.memory_map_entries) {
            let address = start_info.memory_map + index * size_of::<MemoryMapEntry>() as u64;
            // SAFETY: the loader says that there are so many entries.
            let entry = unsafe { value_at::<MemoryMapEntry>(address) };
            if entry.kind == TYPE_RAM {
                memory.add(entry.address, entry.size);
            }
        }
    }
    // SAFETY: zero-terminated text, says the loader.
    let command_line = CommandLine::parse(unsafe { text_at(start_info.command_line) });
    let arena = memory.find(ARENA_BYTES);
    let rsdp = Some(start_info.rsdp).filter(|&address| address != 0);
    Handover { loader: Loader::Pvh, command_line, memory, rsdp, arena }
}
