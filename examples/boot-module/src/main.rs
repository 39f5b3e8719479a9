#![no_std]
#![no_main]
use core::arch::global_asm;
global_asm!(include_str!("entry/start.s"), options(att_syntax));
fn put(s: &str) { for b in s.bytes() { unsafe { core::arch::asm!("out dx, al", in("dx") 0x3f8u16, in("al") b) } } }
static WORDS: [&str; 4] = ["none\n", "pvh\n", "multiboot\n", "uefi\n"];
#[unsafe(no_mangle)]
extern "sysv64" fn kernel_start(loader: u64, info: u64, tsc: u64) -> ! {
    put("hello "); put(WORDS[core::hint::black_box(loader) as usize & 3]);
    let _ = (info, tsc);
    unsafe { core::arch::asm!("out dx, al", in("dx") 0xf4u16, in("al") 0u8) }
    loop {}
}
#[unsafe(no_mangle)]
extern "efiapi" fn uefi_main(_h: u64, _s: u64, tsc: u64) -> ! { kernel_start(3, 0, tsc) }
#[panic_handler]
fn p(_: &core::panic::PanicInfo) -> ! { loop {} }
#[unsafe(no_mangle)] extern "C" fn rust_eh_personality() {}
