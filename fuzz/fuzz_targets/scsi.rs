//! Reads what logical units say of themselves.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| isboot_exercise::run("scsi", bytes));
