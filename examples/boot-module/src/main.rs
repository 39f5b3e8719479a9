//! A small hosting kernel: the story of a boot from iSCSI, from entry to a quiet network card.
#![no_std]
#![no_main]

mod boot_cell;
mod clock;
mod command_line;
mod console;
mod entry;
mod exception;
mod exit;
mod failure;
mod memory_functions;
mod paging;
mod physical;
mod port;
mod serial;

use isboot_ibft::TYPICAL_BUFFER_LENGTH;
use isboot_ibft::locate::{self, RsdpSource, Search};

use console::Event;
use entry::{Handover, Loader};
use exit::{ExitValue, exit};
use failure::{During, Failure};
use physical::FirmwareMemory;

/// Memory for the NIC's rings, the TCP windows and the disks' buffers.
const ARENA_BYTES: u64 = 8 << 20;

/// Everything from here on runs on our own stack, with our own page tables, and is polled.
fn main(handover: &Handover) -> ! {
    let image = physical::image();
    Event::new("kernel")
        .field("loader", handover.loader)
        .field("image_bytes", image.end - image.start)
        .field("memory_kib", handover.memory.kib());
    log::info!("command line: {}", handover.command_line);

    let outcome = boot(handover);

    if let Err(failure) = &outcome {
        Event::new("error").field("during", failure.during).field("text", &failure.text);
    }
    let (result, value) = match outcome {
        Ok(()) => ("pass", ExitValue::Pass),
        Err(_) => ("fail", ExitValue::Fail),
    };
    Event::new("verdict").field("result", result);
    exit(value)
}

/// From the firmware's table to the disks and back to quiet hardware.
fn boot(handover: &Handover) -> Result<(), Failure> {
    // iBFT: in ACPI, and in low memory where a BIOS started us.
    let search = Search {
        rsdp: match handover.rsdp {
            Some(address) => RsdpSource::Given(address),
            None if handover.loader == Loader::Uefi => RsdpSource::None,
            None => RsdpSource::BiosScan,
        },
        low_memory: handover.loader != Loader::Uefi,
        instance: 0,
    };
    let mut table = [0; TYPICAL_BUFFER_LENGTH];
    let found = locate::find(&mut FirmwareMemory, &search, &mut table, |rejected| {
        log::warn!("passing over an iBFT {rejected}");
    })
    .during("ibft")?;
    Event::new("ibft")
        .field("via", found.via)
        .field("address", format_args!("{:#x}", found.address))
        .field("length", found.table.as_bytes().len())
        .field("oem", found.table.oem_id());
    log::info!("{}", found.table);
    Ok(())
}
