//! The announcement's dd, in its own words.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::workload::Digests;

/// What dd says after it has read a disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dd {
    /// Who read: `isboot, e1000e`.
    pub whose: String,
    /// Over a session with these digests.
    pub digests: Digests,
    /// Bytes read, in blocks of 1 MiB, one after the other.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
}

impl Dd {
    /// 10⁶ bytes a second, as the announcement counts.
    pub fn megabytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.seconds / 1e6
    }
}

/// As FreeBSD's dd puts it.
impl fmt::Display for Dd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.bytes as f64 / self.seconds;
        write!(
            f,
            "{} bytes transferred in {:.6} secs ({rate:.0} bytes/sec)",
            self.bytes, self.seconds
        )
    }
}

/// What isboot for FreeBSD was announced with: over gigabit NICs of Intel, against istgt, in 10⁶
/// bytes a second.
pub const ANNOUNCED: [(Digests, f64); 3] =
    [(Digests::None, 61.3), (Digests::Header, 60.7), (Digests::Both, 52.5)];

/// The announcement's figure for a session with these digests.
pub fn announced(digests: Digests) -> f64 {
    ANNOUNCED.iter().find(|(of, _)| *of == digests).map_or(0.0, |(_, figure)| *figure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_words_of_dd() {
        let digests = Digests::None;
        let dd = Dd { whose: "isboot".to_owned(), digests, bytes: 1 << 30, seconds: 17.5 };
        assert_eq!(
            dd.to_string(),
            "1073741824 bytes transferred in 17.500000 secs (61356676 bytes/sec)"
        );
        assert!((dd.megabytes_per_second() - announced(digests)).abs() < 0.1);
    }
}
