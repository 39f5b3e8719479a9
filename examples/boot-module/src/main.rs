//! A small hosting kernel: the story of a boot from iSCSI, from entry to a quiet network card.
#![no_std]
#![no_main]

mod arena;
mod boot_cell;
mod buffer;
mod clock;
mod command_line;
mod console;
mod demo;
mod entropy;
mod entry;
mod exception;
mod exit;
mod failure;
mod machine;
mod memory_functions;
mod nic;
mod paging;
mod pattern;
mod pci;
mod physical;
mod port;
mod serial;
mod session;
mod workload;

use core::fmt::Write;

use isboot::boot::{BootPlan, Parameters};
use isboot_ibft::TYPICAL_BUFFER_LENGTH;
use isboot_ibft::locate::{self, RsdpSource, Search};

use command_line::CommandLine;
use console::Event;
use demo::Demo;
use entry::{Handover, Loader};
use exit::{ExitValue, exit};
use failure::{During, Failure};
use physical::FirmwareMemory;
use serial::Serial;

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
    let parameters = parameters(&handover.command_line)?;
    let demo = Demo::parse(&handover.command_line)?;
    if handover.command_line.words().any(|word| word == "isboot.help") {
        tell_parameters();
        return Ok(());
    }
    let arena = handover.arena.clone().ok_or("no 8 MiB of memory below 4 GiB").during("kernel")?;
    arena::start(arena);

    // iBFT: in ACPI, and in low memory where a BIOS started us.
    let search = Search {
        rsdp: match handover.rsdp {
            Some(address) => RsdpSource::Given(address),
            None if handover.loader == Loader::Uefi => RsdpSource::None,
            None => RsdpSource::BiosScan,
        },
        low_memory: handover.loader != Loader::Uefi,
        instance: usize::from(parameters.instance),
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
    let mut plan = BootPlan::new(&found.table, &parameters).during("ibft")?;

    // NIC.
    let mut nic = nic::attach(&mut plan)?;
    nic::wait_for_link(&mut nic, &parameters)?;

    // Address.

    nic.detach().during("detach")?;
    Ok(())
}

/// The words `isboot.<parameter>=<value>`.
fn parameters(line: &CommandLine) -> Result<Parameters, Failure> {
    let mut parameters = Parameters::default();
    let words = line.words().filter_map(|word| word.strip_prefix("isboot."));
    for word in words.filter(|&word| word != "help") {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        parameters.set(name, value).map_err(|error| {
            Failure::new("kernel", format_args!("isboot.{name}={value}: {error}"))
        })?;
    }
    if line.is_cut() {
        return Err(Failure::new("kernel", "the command line is longer than 2048 bytes"));
    }
    Ok(parameters)
}

/// `isboot.help`: every parameter with its default, range and meaning.
fn tell_parameters() {
    let defaults = Parameters::default();
    for info in Parameters::list() {
        let (name, default) = (info.name, defaults.value(info));
        let _ = writeln!(Serial, "isboot.{name}={default}");
        let _ = writeln!(Serial, "    {}; {} {}", info.meaning, info.range, info.unit);
    }
}
