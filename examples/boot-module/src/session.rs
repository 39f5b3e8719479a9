//! The initiator on its way from nothing to disks, and to a clean end, told as events.

use core::time::Duration;

use isboot::boot::{BootPlan, Isboot, State, Status};
use isboot::disk::DiskId;
use isboot::session::Error;
use isboot::time::Instant;

use crate::arena;
use crate::buffer::Buffer;
use crate::clock;
use crate::console::Event;
use crate::failure::{During, Failure};
use crate::interrupt;
use crate::machine;
use crate::network::Stream;

/// Room for so many disks, requests of ours, and commands of the session at a time.
const LUNS: usize = 32;
const REQUESTS: usize = 32;
const TASKS: usize = 64;

pub(crate) type Initiator = Isboot<Stream, Buffer, LUNS, REQUESTS, TASKS>;

/// The bound of every wait here. The initiator's own bounds are shorter, and say more.
const PATIENCE: Duration = Duration::from_secs(300);

/// The time, as the initiator counts it.
pub(crate) fn now() -> Instant {
    Instant::from_micros(clock::now().as_micros() as u64)
}

/// Gives the initiator time. It says when it wants to be called next.
pub(crate) fn poll(initiator: &mut Initiator) -> Option<Instant> {
    initiator.poll(now())
}

/// What a kernel does that has nothing else to do: it sleeps until the card interrupts, or until
/// the initiator wants to be called. Whoever calls has seen what the last poll brought.
pub(crate) fn rest(initiator: &mut Initiator, until: Option<Instant>) {
    if initiator.finished() == 0 {
        let until = until.map(|at| Duration::from_micros(at.as_micros()));
        let requests = initiator.outstanding();
        interrupt::rest(initiator.stream_mut().stack_mut().device_mut().nic_mut(), until, requests);
    }
}

/// Polls until all logical units of the target are disks.
pub(crate) fn log_in(initiator: &mut Initiator) -> Result<(), Failure> {
    let patience = now().after(PATIENCE);
    let (mut portal_told, mut told_login) = (None, false);
    loop {
        let next = poll(initiator);
        let state = initiator.state();
        let portal = initiator.target().portal;
        // Told again where it is the alternative target's.
        let told_tcp =
            portal_told == Some(portal) || !matches!(state, State::Connecting | State::Ended(_));
        if told_tcp && portal_told != Some(portal) {
            portal_told = Some(portal);
            Event::new("tcp").field("portal", portal);
        }
        if !told_login && let Some(terms) = initiator.negotiated() {
            told_login = true;
            Event::new("login")
                .field("target", initiator.target().name)
                .field("header_digest", terms.header_digest)
                .field("data_digest", terms.data_digest);
        }
        let during = match (told_tcp, told_login) {
            (false, _) => "tcp",
            (true, false) => "login",
            (true, true) => "disk",
        };
        match state {
            State::Ready => return Ok(()),
            State::Ended(Some(error @ Error::Login(_))) => {
                return Err(Failure::new("login", error));
            }
            State::Ended(Some(error)) => return Err(Failure::new(during, error)),
            State::Ended(None) => return Err(Failure::new(during, "the session ended by itself")),
            _ if now() > patience => return Err(Failure::new(during, "nothing more happens")),
            _ => rest(initiator, next),
        }
    }
}

/// One event for each disk.
pub(crate) fn tell_disks(initiator: &Initiator) {
    for (index, disk) in initiator.disks().iter().enumerate() {
        Event::new("disk")
            .field("index", index)
            .field("lun", disk.lun)
            .field("vendor", &disk.vendor)
            .field("product", &disk.product)
            .field("revision", &disk.revision)
            .field("serial", &disk.serial)
            .field("block_size", disk.block_size)
            .field("blocks", disk.blocks)
            .field("read_only", if disk.read_only { "yes" } else { "no" });
    }
    Event::new("luns").field("count", initiator.disks().len());
}

/// What a shell or sysctl would show, as log lines.
pub(crate) fn tell_status(initiator: &Initiator, plan: &BootPlan) {
    let (target, disks) = (initiator.target(), initiator.disks());
    let status = Status { plan, target, nic: "net0", disks };
    for &name in Status::NAMES {
        if let Some(value) = status.value(name) {
            log::info!("{name}={value}");
        }
    }
}

/// What the session and the card have of the machine's memory.
pub(crate) fn tell_memory() {
    type Sized<const LUNS: usize, const REQUESTS: usize, const TASKS: usize> =
        Isboot<Stream, Buffer, LUNS, REQUESTS, TASKS>;
    let session = size_of::<Initiator>();
    let more = |larger: usize| larger - session;
    log::info!(
        "memory: {} bytes of the arena, {} of them for DMA; a session {session} bytes, with \
         {LUNS} LUNs of {}, {REQUESTS} requests of {} and {TASKS} tasks of {}",
        arena::used(),
        machine::dma_bytes(),
        more(size_of::<Sized<{ LUNS + 1 }, REQUESTS, TASKS>>()),
        more(size_of::<Sized<LUNS, { REQUESTS + 1 }, TASKS>>()),
        more(size_of::<Sized<LUNS, REQUESTS, { TASKS + 1 }>>()),
    );
}

/// Reads the first block of the disk that firmware booted from, as a boot loader would: blocking.
pub(crate) fn read_first_block(initiator: &mut Initiator) -> Result<&'static [u8], Failure> {
    let DiskId(index) = initiator.boot_disk().during("first-block")?;
    let block_size = initiator.disks()[usize::from(index)].block_size as usize;
    let block = arena::buffer(block_size).ok_or("no memory for a block").during("first-block")?;
    initiator.read_blocks(DiskId(index), 0, block, |_deadline| now()).during("first-block")?;
    // Enough to see whether it is that block.
    let begin = block.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
    Event::new("first-block").field("disk", index).field("begins", format_args!("{begin:#x}"));
    Ok(block)
}

/// Logs out and closes the connection; says how it went.
pub(crate) fn log_out(initiator: &mut Initiator) -> Result<(), Failure> {
    let patience = now().after(PATIENCE);
    initiator.detach(now());
    while !initiator.is_detached() {
        let next = poll(initiator);
        while initiator.take_completion().is_some() {}
        if now() > patience {
            return Err(Failure::new("detach", "the connection does not end"));
        }
        if !initiator.is_detached() {
            rest(initiator, next);
        }
    }
    match initiator.state() {
        State::Ended(Some(error)) => Err(Failure::new("detach", error)),
        _ => Ok(()),
    }
}
