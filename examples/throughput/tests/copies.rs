//! How often the core copies a byte on its way: once, from the ring of received bytes into the
//! buffer of the request, or from there into the ring of bytes to be sent.

use std::process::Command;

/// Commands of the case, of 256 KiB each.
const COMMANDS: f64 = 4.0;

fn copies_per_byte(case: &str) -> f64 {
    let output =
        Command::new(env!("CARGO_BIN_EXE_core-cases")).args(["run", case, "1"]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let copied: f64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
    copied / (COMMANDS * f64::from(256 << 10))
}

/// Headers and structures on the move are the hundredth.
#[test]
fn every_byte_is_copied_once() {
    for case in [
        "read 256 KiB",
        "read 256 KiB, both digests",
        "read 256 KiB, cut at frames",
        "write 256 KiB",
        "write 256 KiB, both digests",
    ] {
        let copies = copies_per_byte(case);
        assert!((1.0..1.01).contains(&copies), "{case}: {copies} copies of every byte");
    }
}
