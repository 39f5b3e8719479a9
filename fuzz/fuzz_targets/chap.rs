//! Decodes numbers, hex and Base64, and what was encoded.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| isboot_exercise::run("chap", bytes));
