//! A controller that does anything, under driver, stack and stream.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| isboot_exercise::run("nic", bytes));
