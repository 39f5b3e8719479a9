//! Reads, formats, wipes and locates a table made of any bytes: as they are and with their
//! checksum fixed.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../ibft/tests/exercise/mod.rs"]
mod exercise;

fuzz_target!(|bytes: &[u8]| exercise::table(bytes));
