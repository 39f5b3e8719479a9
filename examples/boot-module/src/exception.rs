//! Descriptor tables, and what happens on a processor exception: it is printed, and the run ends.
//!
//! Exceptions and interrupts get stacks of their own, so that a stack that ran into its guard page
//! can still be reported, and because compiled code keeps values below its stack pointer (the red
//! zone). They are two: an exception in an interrupt handler is reported too.

use core::arch::{asm, global_asm};

use crate::boot_cell::BootCell;
use crate::exit::{ExitValue, exit};

global_asm!(include_str!("exception.s"), options(att_syntax));

/// What lies on the exception stack when [`exception`] is called: exception.s pushes the first
/// two words, the processor the rest.
#[derive(Debug)]
#[repr(C)]
struct ExceptionFrame {
    number: u64,
    error_code: u64,
    instruction: u64,
    _code_segment: u64,
    flags: u64,
    stack: u64,
    _stack_segment: u64,
}

const NAMES: [&str; 22] = [
    "division error",
    "debug",
    "non-maskable interrupt",
    "breakpoint",
    "overflow",
    "bound range exceeded",
    "invalid opcode",
    "no coprocessor",
    "double fault",
    "coprocessor segment overrun",
    "invalid TSS",
    "segment not present",
    "stack segment fault",
    "general protection",
    "page fault",
    "reserved",
    "x87 floating point",
    "alignment check",
    "machine check",
    "SIMD floating point",
    "virtualization",
    "control protection",
];

const PAGE_FAULT: u64 = 14;

#[unsafe(no_mangle)]
extern "sysv64" fn exception(frame: &ExceptionFrame) -> ! {
    let name = NAMES.get(frame.number as usize).unwrap_or(&"reserved");
    log::error!(
        "exception {} ({name}) at rip={:#x} error_code={:#x} rsp={:#x} rflags={:#x}",
        frame.number,
        frame.instruction,
        frame.error_code,
        frame.stack,
        frame.flags
    );
    if frame.number == PAGE_FAULT {
        let address: u64;
        // SAFETY: reading changes nothing.
        unsafe { asm!("mov {}, cr2", out(reg) address, options(nomem, nostack, preserves_flags)) };
        log::error!(
            "page fault address {address:#x}; the image starts at {:#x}",
            crate::physical::image().start
        );
    }
    exit(ExitValue::Panic)
}

/// Loads our descriptor tables in place of the loader's.
pub(crate) fn start() {
    TASK_STATE.with(|state| {
        for (entry, stack) in state.interrupt_stacks.iter_mut().zip(&STACKS) {
            let top = stack.as_mut_ptr() as u64 + size_of::<Stack>() as u64;
            *entry = [top as u32, (top >> 32) as u32];
        }
    });
    let state = TASK_STATE.as_mut_ptr() as u64;
    SEGMENTS.with(|segments| {
        let limit = size_of::<TaskState>() as u64 - 1;
        // Base and limit of an available 64-bit task state segment (Intel SDM 3A §8.2.3).
        segments.task = [
            limit | (state & 0xff_ffff) << 16 | 0x89 << 40 | (state >> 24 & 0xff) << 56,
            state >> 32,
        ];
    });
    INTERRUPTS.with(|gates| {
        let (exceptions, interrupts) = gates.split_at_mut(EXCEPTIONS);
        for (index, gate) in (0..).zip(exceptions) {
            *gate = Gate::new(&raw const exception_stubs as u64 + index * STUB, 1);
        }
        for (index, gate) in (0..).zip(interrupts) {
            *gate = Gate::new(&raw const interrupt_stubs as u64 + index * STUB, 2);
        }
    });

    let segments = TablePointer::new(&SEGMENTS);
    let interrupts = TablePointer::new(&INTERRUPTS);
    // SAFETY: both tables are complete and stay where they are.
    unsafe {
        asm!("lgdt [{}]", "lidt [{}]", in(reg) &raw const segments, in(reg) &raw const interrupts, options(nostack))
    };
    // SAFETY: the selectors that it loads are in the table just loaded; code and data go on flat.
    unsafe { load_segments() };
}

unsafe extern "sysv64" {
    fn load_segments();
    static exception_stubs: u8;
    /// In interrupt/entry.s.
    static interrupt_stubs: u8;
}

/// Vectors that are exceptions; the others are interrupts.
const EXCEPTIONS: usize = 32;
/// Bytes of an entry in exception.s and interrupt/entry.s.
const STUB: u64 = 16;

static SEGMENTS: BootCell<Segments> = BootCell::new(Segments {
    null: 0,
    code: 0x00af_9b00_0000_ffff,
    data: 0x00cf_9300_0000_ffff,
    task: [0; 2],
});
static TASK_STATE: BootCell<TaskState> = BootCell::new(TaskState::new());
static INTERRUPTS: BootCell<[Gate; 256]> = BootCell::new([const { Gate([0; 4]) }; 256]);
/// For exceptions, and for interrupts.
static STACKS: [BootCell<Stack>; 2] = [const { BootCell::new(Stack([0; 16384])) }; 2];

#[repr(align(16))]
struct Stack(#[expect(dead_code, reason = "the processor uses it")] [u8; 16384]);

/// The global descriptor table: selectors 0x08, 0x10, 0x18.
#[repr(C)]
struct Segments {
    null: u64,
    code: u64,
    data: u64,
    task: [u64; 2],
}

/// Intel SDM 3A §8.7. Addresses are pairs of words: the structure is not 8-byte aligned.
#[repr(C)]
struct TaskState {
    reserved_0: u32,
    stacks: [[u32; 2]; 3],
    reserved_1: [u32; 2],
    interrupt_stacks: [[u32; 2]; 7],
    reserved_2: [u32; 2],
    /// Low half reserved, high half the I/O map's offset: behind the end, there is none.
    io_map: u32,
}

impl TaskState {
    const fn new() -> Self {
        Self {
            reserved_0: 0,
            stacks: [[0; 2]; 3],
            reserved_1: [0; 2],
            interrupt_stacks: [[0; 2]; 7],
            reserved_2: [0; 2],
            io_map: (size_of::<Self>() as u32) << 16,
        }
    }
}

/// An entry of the interrupt descriptor table (Intel SDM 3A §6.14.1).
#[repr(C, align(16))]
struct Gate([u32; 4]);

impl Gate {
    /// An interrupt gate to our code segment, on that interrupt stack.
    const fn new(address: u64, stack: u32) -> Self {
        let low = address as u32;
        let high = (address >> 32) as u32;
        Self([0x08 << 16 | low & 0xffff, low & 0xffff_0000 | 0x8e00 | stack, high, 0])
    }
}

/// What `lgdt` and `lidt` take.
#[repr(C, packed)]
struct TablePointer {
    limit: u16,
    address: u64,
}

impl TablePointer {
    fn new<T>(table: &'static BootCell<T>) -> Self {
        Self { limit: (size_of::<T>() - 1) as u16, address: table.as_mut_ptr() as u64 }
    }
}
