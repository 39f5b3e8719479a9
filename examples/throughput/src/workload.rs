//! What is to be moved, and how.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Which way the data go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// From the target.
    Read,
    /// To the target.
    Write,
}

/// Where the next request lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pattern {
    /// Behind the one before, from the start again at the end of the span.
    Sequential,
    /// Anywhere in the span, on a multiple of its size.
    Random,
}

/// Which CRC32C digests the session has (RFC 7143 §13.1).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Digests {
    /// Neither.
    #[default]
    None,
    /// HeaderDigest=CRC32C.
    Header,
    /// HeaderDigest=CRC32C and DataDigest=CRC32C.
    Both,
}

/// One kind of load. Requests are all of one size, on a multiple of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Workload {
    /// Which way.
    pub operation: Operation,
    /// In which order.
    pub pattern: Pattern,
    /// Bytes of a request.
    pub block: u32,
    /// Requests outstanding.
    pub depth: u16,
    /// Digests of the session.
    pub digests: Digests,
}

impl Workload {
    /// Sequential reads.
    pub const fn read(block: u32, depth: u16) -> Self {
        let (operation, pattern) = (Operation::Read, Pattern::Sequential);
        Self { operation, pattern, block, depth, digests: Digests::None }
    }

    /// Sequential writes.
    pub const fn write(block: u32, depth: u16) -> Self {
        Self { operation: Operation::Write, ..Self::read(block, depth) }
    }

    /// Random reads.
    pub const fn random_read(block: u32, depth: u16) -> Self {
        Self { pattern: Pattern::Random, ..Self::read(block, depth) }
    }

    /// The same over a session with these digests.
    #[must_use]
    pub const fn with(self, digests: Digests) -> Self {
        Self { digests, ..self }
    }
}

/// `read 64 KiB ×4, both digests`
impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pattern == Pattern::Random {
            f.write_str("random ")?;
        }
        f.write_str(match self.operation {
            Operation::Read => "read ",
            Operation::Write => "write ",
        })?;
        match self.block {
            mib if mib % (1 << 20) == 0 => write!(f, "{} MiB", mib >> 20)?,
            kib if kib % 1024 == 0 => write!(f, "{} KiB", kib >> 10)?,
            bytes => write!(f, "{bytes} B")?,
        }
        write!(f, " ×{}", self.depth)?;
        f.write_str(match self.digests {
            Digests::None => "",
            Digests::Header => ", header digest",
            Digests::Both => ", both digests",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_named_as_people_say_it() {
        assert_eq!(Workload::read(1 << 20, 4).to_string(), "read 1 MiB ×4");
        let random = Workload::random_read(4096, 32).with(Digests::Both);
        assert_eq!(random.to_string(), "random read 4 KiB ×32, both digests");
        assert_eq!(
            Workload::write(512, 1).with(Digests::Header).to_string(),
            "write 512 B ×1, header digest"
        );
    }
}
