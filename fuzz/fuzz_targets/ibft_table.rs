//! Reads, formats, wipes and locates a table made of any bytes: as they are and with their
//! checksum fixed.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| isboot_exercise::run("ibft_table", bytes));
