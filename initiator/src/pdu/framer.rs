//! From a byte stream to PDUs, piece by piece (RFC 7143 §11.1, §13.1).

use super::bhs::{BASIC_HEADER_SEGMENT_LENGTH, BasicHeaderSegment};
use super::digest::{Crc32c, Crc32cFunction, DIGEST_LENGTH, Digests};
use core::{fmt, mem};

/// A piece of the PDU that is arriving.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fragment<'b> {
    /// The header, after its digest was found right. Additional header segments were skipped.
    Header(BasicHeaderSegment),
    /// The next bytes of the data segment: never empty, never padding, borrowed from the input
    /// and as many as it holds.
    Data(&'b [u8]),
    /// The PDU is complete. Comes once for each, with or without data.
    End {
        /// Whether the data digest, if there is one, was right. When it was not, everything
        /// that this PDU brought must be taken back (§7.8).
        data_digest_ok: bool,
    },
}

/// The stream cannot be followed any further; the connection has to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// The header digest is wrong, so the length of this PDU is unknown (§7.8).
    HeaderDigest {
        /// The header as it arrived: for the log, not to be believed.
        header: BasicHeaderSegment,
        /// The digest that came with it, in wire order.
        received: [u8; DIGEST_LENGTH],
        /// The digest of what arrived, in wire order.
        computed: [u8; DIGEST_LENGTH],
    },
    /// The peer sends more in one PDU than the MaxRecvDataSegmentLength declared to it (§13.12).
    DataSegmentTooLong {
        /// Opcode of the PDU.
        opcode: u8,
        /// Its DataSegmentLength in bytes.
        length: u32,
        /// The limit in bytes.
        limit: u32,
    },
    /// A data digest is wrong in a PDU without which the connection cannot go on (§7.8).
    ///
    /// The framer itself reports every wrong data digest in [`Fragment::End`]; this is for its
    /// user, who knows what the PDU was, to say that it was one too many.
    DataDigest,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HeaderDigest { header, received, computed } => write!(
                f,
                "header digest is {received:02x?} but the header sums to {computed:02x?}: {header:?}"
            ),
            Self::DataSegmentTooLong { opcode, length, limit } => write!(
                f,
                "PDU with opcode {opcode:#04x} announces {length} bytes of data, more than the \
                 {limit} allowed"
            ),
            Self::DataDigest => f.write_str("the data digest of a PDU is wrong"),
        }
    }
}

impl core::error::Error for FrameError {}

/// Cuts a byte stream into [`Fragment`]s, whatever the portions in which it arrives.
///
/// It holds at most one header: data is lent from the input as it comes. After an error every
/// further call returns the same error.
#[derive(Clone, Debug)]
pub struct Framer {
    state: State,
    digests: Digests,
    limit: u32,
    function: Crc32cFunction,
}

#[derive(Clone, Debug)]
enum State {
    /// Gathering the Basic Header Segment.
    Header {
        gathered: Gathered<BASIC_HEADER_SEGMENT_LENGTH>,
    },
    /// Skipping additional header segments: `remaining` bytes of them.
    AdditionalHeader {
        header: BasicHeaderSegment,
        crc: Crc32c,
        remaining: usize,
    },
    HeaderDigest {
        header: BasicHeaderSegment,
        crc: Crc32c,
        gathered: Gathered<DIGEST_LENGTH>,
    },
    Data {
        remaining: usize,
        padding: usize,
        crc: Crc32c,
    },
    Padding {
        remaining: usize,
        crc: Crc32c,
    },
    DataDigest {
        crc: Crc32c,
        gathered: Gathered<DIGEST_LENGTH>,
    },
    End {
        data_digest_ok: bool,
    },
    Failed(FrameError),
}

impl Framer {
    /// A framer at the start of a connection: no digests, and data segments of at most `limit`
    /// bytes.
    #[must_use]
    pub fn new(function: Crc32cFunction, limit: u32) -> Self {
        Self { state: State::START, digests: Digests::default(), limit, function }
    }

    /// Whether the stream stands between two PDUs: the place for a clean end.
    #[must_use]
    pub fn is_between_pdus(&self) -> bool {
        matches!(&self.state, State::Header { gathered } if gathered.is_empty())
    }

    /// How many bytes of the data segment are still to come: the next input, if there are any.
    #[must_use]
    pub fn data_ahead(&self) -> usize {
        match &self.state {
            State::Data { remaining, .. } => *remaining,
            _ => 0,
        }
    }

    /// How many bytes of the PDU are still to come whose header has come; `None` in the middle of a
    /// header.
    #[must_use]
    pub fn rest(&self) -> Option<usize> {
        let digest = if self.digests.data { DIGEST_LENGTH } else { 0 };
        match &self.state {
            State::Header { gathered } if gathered.is_empty() => Some(0),
            State::Header { .. } | State::AdditionalHeader { .. } | State::HeaderDigest { .. } => {
                None
            }
            State::Data { remaining, padding, .. } => {
                Some(remaining.saturating_add(*padding).saturating_add(digest))
            }
            State::Padding { remaining, .. } => Some(remaining.saturating_add(digest)),
            State::DataDigest { gathered, .. } => Some(gathered.missing),
            State::End { .. } | State::Failed(_) => Some(0),
        }
    }

    /// Which digests the PDUs from the next one on carry. The header digest of a PDU that has
    /// begun to arrive changes too; call this before giving any input of the next PDU.
    pub fn set_digests(&mut self, digests: Digests) {
        self.digests = digests;
    }

    /// The longest data segment accepted from the next header on, in bytes: our
    /// MaxRecvDataSegmentLength.
    pub fn set_limit(&mut self, bytes: u32) {
        self.limit = bytes;
    }

    /// Takes bytes from the front of `input` until there is a fragment to report.
    ///
    /// Call it until it returns `None`, which means that all input is used up. Each PDU gives
    /// one `Header`, any number of `Data`, and one `End`; the last may come without input.
    ///
    /// # Errors
    /// The stream cannot be followed: see [`FrameError`]. Nothing of the offending PDU was
    /// reported.
    pub fn next<'b>(&mut self, input: &mut &'b [u8]) -> Result<Option<Fragment<'b>>, FrameError> {
        loop {
            match &mut self.state {
                State::Header { gathered } => {
                    let Some(bytes) = gathered.take(input) else { return Ok(None) };
                    let header = BasicHeaderSegment::from_bytes(bytes);
                    let mut crc = Crc32c::new(self.function);
                    if self.digests.header {
                        crc.update(&bytes);
                    }
                    let remaining = usize::from(header.total_ahs_length()).saturating_mul(4);
                    self.state = State::AdditionalHeader { header, crc, remaining };
                }
                State::AdditionalHeader { header, crc, remaining } => {
                    let piece = take_up_to(input, remaining);
                    if self.digests.header {
                        crc.update(piece);
                    }
                    if *remaining != 0 {
                        return Ok(None);
                    }
                    if self.digests.header {
                        let (header, crc) = (*header, *crc);
                        self.state = State::HeaderDigest { header, crc, gathered: Gathered::EMPTY };
                    } else {
                        let header = *header;
                        return self.accept(header).map(Some);
                    }
                }
                State::HeaderDigest { header, crc, gathered } => {
                    let Some(received) = gathered.take(input) else { return Ok(None) };
                    let (header, computed) = (*header, crc.wire_bytes());
                    if received != computed {
                        return self
                            .fail(FrameError::HeaderDigest { header, received, computed })
                            .map(Some);
                    }
                    return self.accept(header).map(Some);
                }
                State::Data { remaining: 0, padding, crc } => {
                    let (remaining, crc) = (*padding, *crc);
                    self.state = State::Padding { remaining, crc };
                }
                State::Data { .. } => return Ok(self.next_data(input).map(Fragment::Data)),
                State::Padding { remaining, crc } => {
                    let piece = take_up_to(input, remaining);
                    if self.digests.data {
                        crc.update(piece);
                    }
                    if *remaining != 0 {
                        return Ok(None);
                    }
                    self.state = match self.digests.data {
                        true => State::DataDigest { crc: *crc, gathered: Gathered::EMPTY },
                        false => State::End { data_digest_ok: true },
                    };
                }
                State::DataDigest { crc, gathered } => {
                    let Some(received) = gathered.take(input) else { return Ok(None) };
                    self.state = State::End { data_digest_ok: received == crc.wire_bytes() };
                }
                State::End { data_digest_ok } => {
                    let end = Fragment::End { data_digest_ok: *data_digest_ok };
                    self.state = State::START;
                    return Ok(Some(end));
                }
                State::Failed(error) => return Err(*error),
            }
        }
    }

    /// Takes the next bytes of a data segment that has begun, if that is what `input` begins with:
    /// what [`next`](Self::next) would report as [`Fragment::Data`], at less cost. `None` says
    /// nothing about what else `input` holds.
    #[inline]
    pub fn next_data<'b>(&mut self, input: &mut &'b [u8]) -> Option<&'b [u8]> {
        let State::Data { remaining, crc, .. } = &mut self.state else { return None };
        let piece = take_up_to(input, remaining);
        if piece.is_empty() {
            return None;
        }
        if self.digests.data {
            crc.update(piece);
        }
        Some(piece)
    }

    /// Whether bytes of a data segment are what comes next.
    #[must_use]
    #[inline]
    pub fn is_within_data(&self) -> bool {
        matches!(self.state, State::Data { remaining: 1.., .. })
    }

    /// The header is whole and right: reports it and makes ready for its data.
    fn accept(&mut self, header: BasicHeaderSegment) -> Result<Fragment<'static>, FrameError> {
        let length = header.data_segment_length();
        if length > self.limit {
            return self.fail(FrameError::DataSegmentTooLong {
                opcode: header.opcode(),
                length,
                limit: self.limit,
            });
        }
        self.state = match usize::try_from(length) {
            // An empty data segment has no data digest (§11.2.3).
            Ok(0) | Err(_) => State::End { data_digest_ok: true },
            Ok(remaining) => State::Data {
                remaining,
                padding: remaining.wrapping_neg() & 3,
                crc: Crc32c::new(self.function),
            },
        };
        Ok(Fragment::Header(header))
    }

    fn fail(&mut self, error: FrameError) -> Result<Fragment<'static>, FrameError> {
        self.state = State::Failed(error);
        Err(error)
    }
}

impl State {
    const START: Self = Self::Header { gathered: Gathered::EMPTY };
}

/// Splits off the front of `input`: at most `remaining` bytes, which it counts down.
#[inline]
fn take_up_to<'b>(input: &mut &'b [u8], remaining: &mut usize) -> &'b [u8] {
    let length = input.len().min(*remaining);
    let Some((piece, rest)) = input.split_at_checked(length) else { return &[] };
    *input = rest;
    *remaining = remaining.saturating_sub(length);
    piece
}

/// `N` bytes that may arrive in portions.
#[derive(Clone, Debug)]
struct Gathered<const N: usize> {
    bytes: [u8; N],
    missing: usize,
}

impl<const N: usize> Gathered<N> {
    const EMPTY: Self = Self { bytes: [0; N], missing: N };

    const fn is_empty(&self) -> bool {
        self.missing == N
    }

    /// Takes what is missing from the front of `input`; the bytes once there are `N`, after
    /// which this is empty again.
    fn take(&mut self, input: &mut &[u8]) -> Option<[u8; N]> {
        if self.is_empty()
            && let Some((whole, rest)) = input.split_first_chunk()
        {
            *input = rest;
            return Some(*whole);
        }
        let filled = N.saturating_sub(self.missing);
        let piece = take_up_to(input, &mut self.missing);
        if let Some(room) =
            self.bytes.get_mut(filled..).and_then(|tail| tail.get_mut(..piece.len()))
        {
            room.copy_from_slice(piece);
        }
        match self.missing {
            0 => Some(mem::replace(self, Self::EMPTY).bytes),
            _ => None,
        }
    }
}
