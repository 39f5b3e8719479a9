//! Interrupts of the network card, and sleep between them.
//!
//! Interrupts are hints: what a card has done is read from its rings by the poll, in every mode.
//! A handler acknowledges the card, notes that there is work, and tells the interrupt controller;
//! the work itself is the main loop's, which sleeps in `hlt` when a poll has left nothing to do
//! ([`rest`]). Whatever cannot be set up or stops working ends in polling, and is told.

mod flag;
mod local_apic;
mod patience;
mod pic;

use core::arch::global_asm;
use core::fmt;
use core::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{AcqRel, Relaxed},
};
use core::time::Duration;

use isboot_transport::hal::wait_until;
use isboot_transport::intel::interrupt::{Acknowledger, InterruptError, Line, Mode};
use isboot_transport::pci::{ConfigSpace, Message, PciAddress};

use crate::boot_cell::BootCell;
use crate::breakage::{Breakage, NOBODY};
use crate::clock;
use crate::console::Event;
use crate::machine::Machine;
use crate::nic::Nic;
use crate::pci::ConfigPorts;

use flag::HandlerCell;
use local_apic::LocalApic;
pub(crate) use patience::Patience;
use pic::Pic;

global_asm!(include_str!("entry.s"), options(att_syntax));

/// The two 8259 controllers raise these and the 15 that follow.
const PIC_VECTORS: u8 = 0x20;
const TIMER_VECTOR: u8 = 0x40;
/// The card's message.
const NIC_VECTOR: u8 = 0x50;
/// What the local APIC raises when an interrupt went away before it was taken.
const SPURIOUS_VECTOR: u8 = 0xff;

/// The longest sleep. A card whose interrupts get lost is slow then, but not deaf.
const LONGEST_SLEEP: Duration = Duration::from_millis(10);

/// An interrupt may come so long after its frame: cards hold them back, and emulated ones get no
/// processor for a while. One that is later counts as lost.
const LATEST: Duration = Duration::from_millis(50);

/// So many interrupts of the card without one turn of the main loop are a storm: a line that
/// nobody lets go of. In time spent on one request's data some hundred may come.
const STORM: u32 = 10_000;

/// What the processor needs for it, once that is set up.
static CONTROLLERS: BootCell<Option<Controllers>> = BootCell::new(None);

/// What the handlers and the driver share.
static LINE: Line = Line::new();
/// The handlers' view of the card.
static CARD: HandlerCell<Acknowledger<Machine>> = HandlerCell::empty();
/// The card's interrupts so far.
static TAKEN: AtomicU64 = AtomicU64::new(0);
/// Of these, since the main loop came by.
static SINCE_REST: AtomicU32 = AtomicU32::new(0);
/// One came since the card was last let interrupt.
static WOKEN: AtomicBool = AtomicBool::new(false);
/// The timer's, to see that it works.
static TIMER: AtomicU64 = AtomicU64::new(0);
/// Vectors that nobody asked for.
static UNEXPECTED: AtomicU64 = AtomicU64::new(0);
/// Handlers let no more interrupts in.
static STORMED: AtomicBool = AtomicBool::new(false);
/// Handlers leave the card's line asserted, to show what comes of it.
static CARELESS: AtomicBool = AtomicBool::new(false);
/// Sleeps that ended at their time, though a frame had come whose interrupt never did.
static OVERSLEPT: AtomicU64 = AtomicU64::new(0);
/// Time asleep, in counts of the time stamp counter.
static ASLEEP: AtomicU64 = AtomicU64::new(0);

#[derive(Clone, Copy, Debug)]
struct Controllers {
    local_apic: LocalApic,
    pic: Option<Pic>,
    /// The line of the 8259s that firmware put the card on.
    line: u8,
    line_is_open: bool,
    /// How the card interrupts; [`Mode::Polled`] when it does not, or no more.
    mode: Mode,
    /// Which waits are slept through, where not all are.
    patience: Option<Patience>,
}

/// Lets the card interrupt in the wanted way, or the next that works, and tells how. Without `patience`
/// every wait is slept through.
pub(crate) fn start(
    nic: &mut Nic,
    wanted: Mode,
    patience: Option<Patience>,
    breakage: Option<Breakage>,
) {
    let mode = match wanted {
        Mode::Polled => Mode::Polled,
        _ => prepare(nic, wanted, patience, breakage).unwrap_or_else(|reason| {
            log::warn!("interrupts: {reason}: polling");
            stop();
            Mode::Polled
        }),
    };
    Event::new("interrupts").field("wanted", wanted).field("mode", mode);
}

/// No interrupt is let in any more. To be called before the card is let go.
pub(crate) fn stop() {
    flag::disable();
    CARD.set(None);
    if let Some(controllers) = CONTROLLERS.with(Option::take) {
        controllers.stop();
    }
    let unexpected = UNEXPECTED.swap(0, Relaxed);
    if unexpected > 0 {
        log::warn!("{unexpected} interrupts came that nobody had asked for");
    }
}

/// Forgets the message that the card may have sent last.
pub(crate) fn forget_pending() {
    if local_apic::is_started() {
        // SAFETY: every vector has its gate.
        unsafe { flag::enable() };
        flag::disable();
    }
}

/// Whether a message of the card waits to be let in.
pub(crate) fn is_pending() -> bool {
    local_apic::is_started() && local_apic::is_requested(NIC_VECTOR)
}

/// Interrupts of the card so far.
pub(crate) fn taken() -> u64 {
    TAKEN.load(Relaxed)
}

/// Sleeps so far that a lost interrupt made too long.
pub(crate) fn overslept() -> u64 {
    OVERSLEPT.load(Relaxed)
}

/// Time asleep so far, in counts of the time stamp counter.
pub(crate) fn asleep() -> u64 {
    ASLEEP.load(Relaxed)
}

/// From now on handlers leave the card's causes as they are.
pub(crate) fn stop_acknowledging() {
    CARELESS.store(true, Relaxed);
}

/// How the card interrupts now.
pub(crate) fn mode() -> Mode {
    CONTROLLERS.with(|controllers| controllers.as_ref().map_or(Mode::Polled, |it| it.mode))
}

/// Sleeps until the card interrupts or `until` has come. Called after a poll that left nothing to
/// do; polled, it returns at once, and so it does where waits are too short to be slept through, with so
/// many `requests` under way ([`Patience`]).
///
/// No interrupt is lost: what came before the card was let interrupt again is in its ring, where
/// [`Nic::rearm`] looks; what comes after that sets [`WOKEN`]; and between the look at that and the
/// halt no interrupt is let in.
pub(crate) fn rest(nic: &mut Nic, until: Option<Duration>, requests: usize) {
    SINCE_REST.store(0, Relaxed);
    CONTROLLERS.with(|cell| {
        let Some(controllers) = cell else { return };
        if STORMED.load(Relaxed) {
            log::warn!(
                "interrupts: {STORM} came by {} without the card having work: polling",
                controllers.mode
            );
            controllers.mode = Mode::Polled;
        } else {
            controllers.follow(nic.interrupt_mode());
        }
        if controllers.mode == Mode::Polled {
            flag::disable();
            controllers.stop();
            *cell = None;
            return;
        }
        let received = nic.frames_received();
        if let Some(patience) = &mut controllers.patience
            && !patience.is_over(clock::now(), received, requests)
        {
            return;
        }
        WOKEN.store(false, Relaxed);
        if nic.rearm() {
            return;
        }
        let now = clock::now();
        let until = until.unwrap_or(Duration::MAX).min(now + LONGEST_SLEEP);
        if until <= now {
            return;
        }
        flag::disable();
        if !WOKEN.load(Relaxed) {
            controllers.local_apic.arm_timer(until - now);
            let begin = clock::counter();
            // SAFETY: every vector has its gate; interrupts are off; the timer's will come.
            unsafe { flag::enable_and_halt() };
            ASLEEP.fetch_add(clock::counter().wrapping_sub(begin), Relaxed);
        }
        // SAFETY: every vector has its gate.
        unsafe { flag::enable() };
        let is_late = !WOKEN.load(Relaxed) && nic.rearm();
        if is_late && !wait_until(&Machine, LATEST, || WOKEN.load(Relaxed)) {
            OVERSLEPT.fetch_add(1, Relaxed);
        }
    });
}

fn prepare(
    nic: &mut Nic,
    wanted: Mode,
    patience: Option<Patience>,
    breakage: Option<Breakage>,
) -> Result<Mode, Refused> {
    let (no_messages, no_line) = breakage.map_or((false, false), Breakage::at_start);
    let local_apic = LocalApic::start().map_err(Refused::LocalApic)?;
    let pic = Pic::start().filter(|_| !no_line);
    let line = interrupt_line(nic.address());
    CARD.set(Some(nic.acknowledger(&LINE)));
    SINCE_REST.store(0, Relaxed);
    STORMED.store(false, Relaxed);
    CARELESS.store(false, Relaxed);
    let mut controllers =
        Controllers { local_apic, pic, line, line_is_open: false, mode: wanted, patience };
    if wanted == Mode::Intx && !controllers.open_line() {
        return Err(if pic.is_some() { Refused::Line(line) } else { Refused::Pic });
    }
    CONTROLLERS.with(|cell| *cell = Some(controllers));
    // SAFETY: every vector has its gate, and handlers what they need.
    unsafe { flag::enable() };

    let before = TIMER.load(Relaxed);
    local_apic.arm_timer(Duration::from_millis(1));
    let limit = Duration::from_millis(100);
    if !wait_until(&Machine, limit, || TIMER.load(Relaxed) != before) {
        return Err(Refused::Timer);
    }
    let here = MESSAGE_ADDRESS | u64::from(local_apic.id()) << MESSAGE_DESTINATION;
    let address = if no_messages { NOBODY } else { here };
    let message = Message { address, data: u32::from(NIC_VECTOR) };
    let mut mode = nic.enable_interrupts(wanted, Some(message)).map_err(Refused::Card)?;
    if mode == Mode::Polled && wanted != Mode::Intx {
        // The line only now: another device of it may be at it already.
        let open = CONTROLLERS.with(|cell| cell.as_mut().is_some_and(Controllers::open_line));
        if open {
            mode = nic.enable_interrupts(Mode::Intx, None).map_err(Refused::Card)?;
        }
    }
    CONTROLLERS.with(|cell| {
        let controllers = cell.as_mut().filter(|_| mode != Mode::Polled).ok_or(Refused::None)?;
        controllers.mode = mode;
        Ok(mode)
    })
}

impl Controllers {
    /// The driver may have fallen back to another way.
    fn follow(&mut self, mode: Mode) {
        if mode == self.mode {
            return;
        }
        log::warn!("interrupts: the card now uses {mode} instead of {}", self.mode);
        self.mode = mode;
        if mode == Mode::Intx && !self.open_line() {
            log::warn!("interrupts: {}: polling", Refused::Line(self.line));
            self.mode = Mode::Polled;
        }
    }

    /// Lets the card's line of the 8259s through; says whether it has one.
    fn open_line(&mut self) -> bool {
        self.line_is_open = self.pic.is_some_and(|pic| pic.unmask(self.line));
        if self.line_is_open {
            self.local_apic.accept_pic();
        }
        self.line_is_open
    }

    /// Interrupts are off, and stay so.
    fn stop(&self) {
        if let Some(pic) = self.pic.filter(|_| self.line_is_open) {
            pic.mask(self.line);
            // The masked line may have gone as far as the master: taken now, it is spurious; left
            // there, QEMU's processor would ask for it in vain the next time it may.
            forget_pending();
        }
        self.local_apic.stop();
    }
}

/// The line of the 8259s that firmware routed the function's pin to (PCI Local Bus 3.0 §6.2.4).
fn interrupt_line(address: PciAddress) -> u8 {
    const INTERRUPT_LINE: u16 = 0x3c;
    (ConfigPorts.read(address, INTERRUPT_LINE) & 0xff) as u8
}

/// Why the kernel polls, though it was to sleep.
enum Refused {
    LocalApic(local_apic::Unusable),
    Timer,
    Pic,
    Line(u8),
    Card(InterruptError),
    None,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LocalApic(why) => write!(f, "{why}"),
            Self::Timer => f.write_str("the local APIC's timer does not interrupt"),
            Self::Pic => f.write_str(
                "intx comes by way of the 8259 interrupt controllers, and this machine has none: \
                 try msi",
            ),
            Self::Line(line) => write!(
                f,
                "firmware routed the card's interrupt pin to line {line}, which is none of the \
                 8259s for PCI: try msi"
            ),
            Self::Card(why) => write!(f, "{why}"),
            Self::None => f.write_str("the card has no way to interrupt that works"),
        }
    }
}

/// What a message is written to, and where the local APIC's number stands in it (Intel SDM 3A
/// §10.11.1): physical destination, no redirection. The data is the vector: edge, fixed.
const MESSAGE_ADDRESS: u64 = 0xfee0_0000;
const MESSAGE_DESTINATION: u32 = 12;

/// What lies on the interrupt stack when [`interrupt`] is called: entry.s pushes the first words,
/// the processor the rest.
#[derive(Debug)]
#[repr(C)]
struct InterruptFrame {
    _registers: [u64; 10],
    vector: u64,
    _instruction: u64,
    _code_segment: u64,
    flags: u64,
    _stack: u64,
    _stack_segment: u64,
}

/// Every vector that is no exception, with interrupts off. It touches what is shared with it, the
/// card's interrupt registers and the controllers, and nothing that the main loop may be at.
#[unsafe(no_mangle)]
extern "sysv64" fn interrupt(frame: &mut InterruptFrame) {
    const PIC_LAST: u8 = PIC_VECTORS + 15;
    match frame.vector as u8 {
        NIC_VECTOR => {
            acknowledge(frame);
            local_apic::end_of_interrupt();
        }
        TIMER_VECTOR => {
            TIMER.fetch_add(1, Relaxed);
            local_apic::end_of_interrupt();
        }
        vector @ PIC_VECTORS..=PIC_LAST => {
            let line = vector - PIC_VECTORS;
            let in_service = pic::is_in_service(line);
            if in_service {
                // Before the end of interrupt: the line must be let go of by then.
                acknowledge(frame);
            }
            pic::end_of_interrupt(line, in_service);
        }
        // No end of interrupt for it (Intel SDM 3A §10.9).
        SPURIOUS_VECTOR => {}
        _ => {
            UNEXPECTED.fetch_add(1, Relaxed);
            local_apic::end_of_interrupt();
        }
    }
}

/// The card has interrupted.
fn acknowledge(frame: &mut InterruptFrame) {
    if !CARELESS.load(Relaxed) {
        CARD.with(|card| card.acknowledge());
    }
    TAKEN.fetch_add(1, Relaxed);
    WOKEN.store(true, Relaxed);
    if SINCE_REST.fetch_add(1, AcqRel) >= STORM {
        STORMED.store(true, Relaxed);
        // The interrupted code goes on without interrupts, and finds out in `rest`.
        frame.flags &= !flag::INTERRUPT_FLAG;
    }
}
