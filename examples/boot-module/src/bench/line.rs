//! Lines from bytes that come one at a time, of bounded length.

use heapless::Vec;

/// Bytes of a line without its end.
const LONGEST: usize = 200;

/// A line that is coming in.
#[derive(Debug, Default)]
pub(crate) struct Line {
    bytes: Vec<u8, LONGEST>,
    is_cut: bool,
}

/// A line is there that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    TooLong,
    NoText,
}

impl core::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::TooLong => write!(f, "the line is longer than {LONGEST} bytes"),
            Self::NoText => f.write_str("the line is not UTF-8"),
        }
    }
}

impl Line {
    /// Takes a byte; when it ends a line that is not empty, `use_it` gets that line. CR and LF both
    /// end one.
    pub(crate) fn push<R>(
        &mut self,
        byte: u8,
        use_it: impl FnOnce(Result<&str, Unreadable>) -> R,
    ) -> Option<R> {
        if byte != b'\n' && byte != b'\r' {
            self.is_cut |= self.bytes.push(byte).is_err();
            return None;
        }
        let line = core::mem::take(self);
        if line.bytes.is_empty() {
            return None;
        }
        Some(use_it(match line.is_cut {
            true => Err(Unreadable::TooLong),
            false => core::str::from_utf8(&line.bytes).map_err(|_| Unreadable::NoText),
        }))
    }
}
