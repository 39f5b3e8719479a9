//! Reads login text, writes it again, and hears it whole and in parts.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| isboot_exercise::run("text", bytes));
