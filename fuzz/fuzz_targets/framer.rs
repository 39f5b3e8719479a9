//! Frames any stream in any cut, and holds what it says to an oracle.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| isboot_exercise::run("framer", bytes));
