//! Reads sense data.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| isboot_exercise::run("sense", bytes));
