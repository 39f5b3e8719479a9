//! Logs in to a target that says anything.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| isboot_exercise::run("login", bytes));
