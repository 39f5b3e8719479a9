//! What a line of the serial port asks for. It comes from outside: nothing in it is believed.
//!
//! ```text
//! run read sequential disk=0 block=1048576 depth=4 span=67108864 milliseconds=500 seed=7
//! run write random disk=1 block=4096 depth=32 span=67108864 milliseconds=500
//! run read sequential disk=0 block=1048576 depth=1 span=67108864 milliseconds=60000 count=64
//! digests both
//! end
//! ```

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

/// Requests under way at a time.
pub(crate) const DEEPEST: u16 = 32;
/// Bytes of a request.
pub(crate) const LARGEST: u32 = 1 << 20;
/// No run is longer.
const LONGEST: u64 = 60_000;

/// One line, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Moves data and tells how much in which time.
    Run(Run),
    /// Goes on with a session that has these digests.
    Digests(Digests),
    /// Detaches, and ends the run of the kernel.
    End,
}

/// One load: requests of one size, on a multiple of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) operation: Operation,
    pub(crate) pattern: Pattern,
    pub(crate) disk: u16,
    /// Bytes of a request.
    pub(crate) block: u32,
    /// Requests under way.
    pub(crate) depth: u16,
    /// Bytes from the start of the disk that take part.
    pub(crate) span: u64,
    /// No request is begun later.
    pub(crate) limit: Duration,
    /// No more requests than this.
    pub(crate) count: u64,
    /// The seed of what the disk holds, where what is read is to be checked.
    pub(crate) seed: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Read,
    Write,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    Sequential,
    Random,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Digests {
    None,
    Header,
    Both,
}

/// Why a line asks for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotUnderstood {
    /// It is none of the three.
    NoRequest,
    /// A word that belongs nowhere, or that is there twice.
    Word,
    /// This is missing.
    Missing(&'static str),
    /// This is no number, or beyond its bounds.
    Value(&'static str),
}

impl fmt::Display for NotUnderstood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRequest => f.write_str(
                "there are: run read|write sequential|random …, digests none|header|both, end",
            ),
            Self::Word => f.write_str(
                "a run takes, each once: disk, block, depth, span, milliseconds, to end early \
                 count and, to check what is read, seed",
            ),
            Self::Missing(name) => write!(f, "{name} is missing"),
            Self::Value(name) => write!(
                f,
                "{name} is out of bounds: block is 512 to {LARGEST} bytes and a multiple of 512, \
                 depth 1 to {DEEPEST}, span at least block, milliseconds 1 to {LONGEST}"
            ),
        }
    }
}

impl Request {
    pub(crate) fn parse(line: &str) -> Result<Self, NotUnderstood> {
        let mut words = line.split_ascii_whitespace();
        let request = match words.next() {
            Some("run") => return Run::parse(words).map(Self::Run),
            Some("digests") => Self::Digests(match words.next() {
                Some("none") => Digests::None,
                Some("header") => Digests::Header,
                Some("both") => Digests::Both,
                _ => return Err(NotUnderstood::NoRequest),
            }),
            Some("end") => Self::End,
            _ => return Err(NotUnderstood::NoRequest),
        };
        match words.next() {
            None => Ok(request),
            Some(_) => Err(NotUnderstood::NoRequest),
        }
    }
}

impl Run {
    fn parse<'a>(mut words: impl Iterator<Item = &'a str>) -> Result<Self, NotUnderstood> {
        let operation = match words.next() {
            Some("read") => Operation::Read,
            Some("write") => Operation::Write,
            _ => return Err(NotUnderstood::NoRequest),
        };
        let pattern = match words.next() {
            Some("sequential") => Pattern::Sequential,
            Some("random") => Pattern::Random,
            _ => return Err(NotUnderstood::NoRequest),
        };
        let (mut disk, mut block, mut depth) = (None, None, None);
        let (mut span, mut milliseconds, mut count, mut seed) = (None, None, None, None);
        for word in words {
            let (name, value) = word.split_once('=').ok_or(NotUnderstood::Word)?;
            match name {
                "disk" => take(&mut disk, "disk", value)?,
                "block" => take(&mut block, "block", value)?,
                "depth" => take(&mut depth, "depth", value)?,
                "span" => take(&mut span, "span", value)?,
                "milliseconds" => take(&mut milliseconds, "milliseconds", value)?,
                "count" => take(&mut count, "count", value)?,
                "seed" => take(&mut seed, "seed", value)?,
                _ => return Err(NotUnderstood::Word),
            }
        }
        let block: u32 = given(block, "block")?;
        let is_whole = block.is_multiple_of(512) && (512..=LARGEST).contains(&block);
        let depth = given(depth, "depth")?;
        let span = given(span, "span")?;
        let milliseconds = given(milliseconds, "milliseconds")?;
        for (holds, name) in [
            (is_whole, "block"),
            ((1..=DEEPEST).contains(&depth), "depth"),
            (span >= u64::from(block), "span"),
            ((1..=LONGEST).contains(&milliseconds), "milliseconds"),
        ] {
            if !holds {
                return Err(NotUnderstood::Value(name));
            }
        }
        Ok(Self {
            operation,
            pattern,
            disk: given(disk, "disk")?,
            block,
            depth,
            span,
            limit: Duration::from_millis(milliseconds),
            count: count.unwrap_or(u64::MAX),
            seed,
        })
    }
}

fn take<T: FromStr>(
    place: &mut Option<T>,
    name: &'static str,
    value: &str,
) -> Result<(), NotUnderstood> {
    if place.is_some() {
        return Err(NotUnderstood::Word);
    }
    *place = Some(value.parse().map_err(|_| NotUnderstood::Value(name))?);
    Ok(())
}

fn given<T>(value: Option<T>, name: &'static str) -> Result<T, NotUnderstood> {
    value.ok_or(NotUnderstood::Missing(name))
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sequential => "sequential",
            Self::Random => "random",
        })
    }
}

impl fmt::Display for Digests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Header => "header",
            Self::Both => "both",
        })
    }
}
