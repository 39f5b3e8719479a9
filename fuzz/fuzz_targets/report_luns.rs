//! Reads lists of logical units.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| isboot_exercise::run("report_luns", bytes));
