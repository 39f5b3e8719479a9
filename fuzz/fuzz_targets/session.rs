//! Calls a session in any order, with bytes that are nothing and PDUs that are nearly right.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| isboot_exercise::run("session", bytes));
