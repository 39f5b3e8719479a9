//! Gives a host frames from anybody.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| isboot_exercise::run("frames", bytes));
