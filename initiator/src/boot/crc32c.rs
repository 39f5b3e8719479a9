//! The fastest way to compute digests, for a hosting kernel that has this crate's transport.

use isboot_transport::crc32c;

use crate::pdu::digest::{Crc32cFunction, portable};
use crate::time::Instant;

impl Crc32cFunction {
    /// The faster of [`portable`] and the processor's own instruction, as this machine runs them
    /// now: an emulator has the instruction too, and is slow at it. Call it once, at the start.
    ///
    /// `now` is a clock that counts microseconds. It takes a third of a millisecond, and ten where
    /// the clock stands still: [`crc32c`] says how it decides, and which registers are used.
    #[must_use]
    pub fn fastest(now: impl Fn() -> Instant) -> Self {
        Self(crc32c::fastest(portable, || now().since(Instant::ZERO)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time;

    #[test]
    fn the_fastest_computes_the_same() {
        let start = time::Instant::now();
        let fastest = Crc32cFunction::fastest(|| Instant::ZERO.after(start.elapsed()));
        assert_eq!(fastest.append(0, b"123456789"), 0xe306_9283);
    }
}
