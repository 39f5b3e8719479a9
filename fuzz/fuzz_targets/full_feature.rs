//! Answers the commands of a session that is logged in, with anything.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| isboot_exercise::run("full_feature", bytes));
