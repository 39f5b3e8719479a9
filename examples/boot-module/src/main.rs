//! A small hosting kernel: the story of a boot from iSCSI, from entry to a quiet network card.
#![no_std]
#![no_main]
#![expect(clippy::result_large_err, reason = "a failure ends the run: there is one at most")]

mod arena;
mod bench;
mod boot_cell;
mod breakage;
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
mod idle;
mod interrupt;
mod machine;
mod memory_functions;
mod network;
mod nic;
mod paging;
mod pattern;
mod pci;
mod physical;
mod port;
mod profile;
mod quiet;
mod serial;
mod session;
mod silence;
mod workload;

use core::fmt::Write;
use core::ops::Range;

use isboot::boot::{BootPlan, Parameters};
use isboot::pdu::digest::Crc32cFunction;
use isboot_ibft::locate::{self, RsdpSource, Search};
use isboot_ibft::{TYPICAL_BUFFER_LENGTH, wipe_secrets};
use isboot_transport::pci::PciAddress;

use command_line::CommandLine;
use console::Event;
use demo::Demo;
use entry::{Handover, Loader};
use exit::{ExitValue, exit};
use failure::{During, Failure};
use interrupt::Patience;
use network::{OnVlan, Stream};
use physical::FirmwareMemory;
use quiet::Quiet;
use serial::Serial;
use session::Initiator;

/// Memory for the NIC's rings, the TCP windows and the disks' buffers.
const ARENA_BYTES: u64 = 8 << 20;

/// Everything from here on runs on our own stack, with our own page tables.
fn main(handover: &Handover) -> ! {
    Event::new("kernel")
        .field("loader", handover.loader)
        .field("image_bytes", physical::loaded_bytes())
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
    if demo.profile {
        profile::start();
    }
    memory_functions::choose(clock::counter);
    let arena = memory_for(&demo, handover).ok_or("no 8 MiB of memory below 4 GiB");
    let arena = arena.during("kernel")?;
    // SAFETY: the loader left it to us, all memory below 4 GiB is mapped, and we come here once.
    unsafe { arena::start(arena) };

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
    // The plan has what it needs; secrets need not lie around twice.
    let _ = wipe_secrets(&mut table);

    if demo.silence {
        return silence::tell(&mut plan, &parameters);
    }
    if demo.bare {
        let (mut stream, card) = bring_up(&mut plan, &parameters, Some(&demo))?;
        bench::bare::run(&mut stream, &plan, &parameters)?;
        return leave(stream, card, "none");
    }
    let block = visit(&mut plan, &parameters, Some(&demo))?;
    if demo.twice {
        // As the next owner of the card, who knows nothing of us.
        if visit(&mut plan, &parameters, None)? != block {
            return Err(Failure::new("first-block", "it is another one after the second attach"));
        }
    }
    Ok(())
}

/// Memory for the arena: more of it for loads, where the machine has it.
fn memory_for(demo: &Demo, handover: &Handover) -> Option<Range<u64>> {
    // What UEFI firmware left of its memory, only it can tell.
    let more = demo.bench && handover.loader != Loader::Uefi;
    let found = if more { handover.memory.find(bench::MEMORY) } else { None };
    found.or_else(|| handover.arena.clone())
}

/// From the card to the disks and back to quiet hardware; what the first block holds.
fn visit(
    plan: &mut BootPlan,
    parameters: &Parameters,
    demo: Option<&Demo>,
) -> Result<&'static [u8], Failure> {
    let (stream, card) = bring_up(plan, parameters, demo)?;

    // Login, disks, work. Everything from here on concerns the target.
    let crc32c = profile::watched(Crc32cFunction::fastest(session::now));
    let mut initiator =
        Initiator::new(plan, parameters, crc32c, entropy::challenge, stream, session::now());
    let whose = |failure: Failure, stream: &Stream| {
        let vlan = OnVlan::under(stream);
        failure.with(format_args!("target {} at {}{vlan}", plan.target_name, plan.portal))
    };
    let block = use_target(&mut initiator, plan, demo)
        .map_err(|failure| whose(failure, initiator.stream()))?;
    if demo.is_some_and(|demo| demo.bench) {
        initiator = bench::run(initiator, plan, parameters, crc32c)?;
    }
    session::log_out(&mut initiator).map_err(|failure| whose(failure, initiator.stream()))?;

    leave(initiator.into_stream(), card, "clean")?;
    Ok(block)
}

/// NIC, address, TCP: a connection to come, and where the card is.
fn bring_up(
    plan: &mut BootPlan,
    parameters: &Parameters,
    demo: Option<&Demo>,
) -> Result<(Stream, PciAddress), Failure> {
    let mut nic = nic::attach(plan, parameters)?;
    let card = nic.address();
    nic::wait_for_link(&mut nic, parameters)?;
    let patience = demo.is_some_and(|demo| demo.patience).then(Patience::default);
    let breakage = demo.and_then(|demo| demo.breakage);
    interrupt::start(&mut nic, parameters.interrupts, patience, breakage);
    Ok((network::start(nic, plan, parameters)?, card))
}

/// Away: the connection is gone, the card is let go, and must stay quiet.
fn leave(stream: Stream, card: PciAddress, logout: &str) -> Result<(), Failure> {
    interrupt::stop();
    network::end(stream).detach().during("detach")?;
    let quiet = quiet::watch(card);
    Event::new("detach").field("logout", logout).field("nic", quiet);
    match quiet {
        Quiet::Yes => Ok(()),
        _ => Err(Failure::new("detach", format_args!("the card at {card} is not quiet: {quiet}"))),
    }
}

/// From login to the end of all work; what the first block holds.
fn use_target(
    initiator: &mut Initiator,
    plan: &BootPlan,
    demo: Option<&Demo>,
) -> Result<&'static [u8], Failure> {
    session::log_in(initiator)?;
    session::tell_disks(initiator);
    let block = session::read_first_block(initiator)?;
    session::tell_status(initiator, plan);
    session::tell_memory();
    if let Some(demo) = demo {
        workload::run(initiator, demo, &mut demo.buffers()?)?;
    }
    Ok(block)
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
