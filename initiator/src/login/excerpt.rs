//! A bounded look at what a peer sent, for errors.

use core::fmt;

/// The first bytes of a value that the target sent, for a message; never of a secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Excerpt {
    bytes: [u8; Excerpt::LENGTH],
    length: usize,
    cut: bool,
}

impl Excerpt {
    const LENGTH: usize = 24;

    /// The start of `value`.
    #[must_use]
    pub fn of(value: &[u8]) -> Excerpt {
        let mut bytes = [0; Excerpt::LENGTH];
        let length = value.len().min(Excerpt::LENGTH);
        for (to, from) in bytes.iter_mut().zip(value) {
            *to = *from;
        }
        Excerpt { bytes, length, cut: value.len() > length }
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.bytes.get(..self.length).unwrap_or_default();
        write!(f, "{}{}", shown.escape_ascii(), if self.cut { "…" } else { "" })
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}
