//! Calls a session in any order, with bytes that are nothing and PDUs that are nearly right.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../tests/tests/exercise/mod.rs"]
mod exercise;

fuzz_target!(|script: &[u8]| {
    exercise::session(script);
});
