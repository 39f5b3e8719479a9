//! From PDUs to a byte stream, in whatever room there is (RFC 7143 §11.1, §13.1).

use super::bhs::{BASIC_HEADER_SEGMENT_LENGTH, BasicHeaderSegment};
use super::digest::{Crc32c, Crc32cFunction, DIGEST_LENGTH, Digests};

/// Writes one PDU after another: header, header digest, data, padding, data digest.
///
/// It never holds data: bytes are asked for when there is room, and land where they are sent
/// from.
#[derive(Clone, Debug)]
pub struct Serializer {
    state: State,
    digests: Digests,
    function: Crc32cFunction,
}

/// Padding and data digest at most.
const TAIL_LENGTH: usize = 3 + DIGEST_LENGTH;

#[derive(Clone, Debug)]
enum State {
    Idle,
    /// Header and header digest, then `data`.
    Head {
        head: Pending<{ BASIC_HEADER_SEGMENT_LENGTH + DIGEST_LENGTH }>,
        data: Data,
    },
    Data(Data),
    /// Padding and data digest.
    Tail {
        tail: Pending<TAIL_LENGTH>,
    },
}

/// What is left of a data segment.
#[derive(Clone, Debug)]
struct Data {
    offset: u32,
    remaining: u32,
    /// Present when there is a data digest.
    crc: Option<Crc32c>,
}

impl Serializer {
    /// A serializer at the start of a connection: idle, no digests.
    #[must_use]
    pub fn new(function: Crc32cFunction) -> Self {
        Self { state: State::Idle, digests: Digests::default(), function }
    }

    /// Which digests the PDUs that begin from now on carry; none at first.
    pub fn set_digests(&mut self, digests: Digests) {
        self.digests = digests;
    }

    /// Whether the PDU before is written to its end, so that the next can begin.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Begins a PDU with this header and a data segment of `data_segment_length` bytes, which
    /// goes into the header (limited to the 24 bits of the field).
    ///
    /// Only an idle serializer begins a PDU; otherwise nothing changes and the answer is
    /// `false`.
    pub fn begin(&mut self, mut header: BasicHeaderSegment, data_segment_length: u32) -> bool {
        if !self.is_idle() {
            return false;
        }
        header.set_data_segment_length(data_segment_length);
        let mut head = Pending::EMPTY;
        head.push(header.as_bytes());
        if self.digests.header {
            let mut crc = Crc32c::new(self.function);
            crc.update(header.as_bytes());
            head.push(&crc.wire_bytes());
        }
        let data = Data {
            offset: 0,
            remaining: header.data_segment_length(),
            crc: self.digests.data.then(|| Crc32c::new(self.function)),
        };
        self.state = State::Head { head, data };
        true
    }

    /// What of the data segment is not written yet, if anything: where that begins in the segment, and
    /// how many bytes it has.
    #[must_use]
    pub fn data_left(&self) -> Option<(u32, u32)> {
        match &self.state {
            State::Head { data: Data { remaining: 0, .. }, .. } => None,
            State::Head { data, .. } | State::Data(data) => Some((data.offset, data.remaining)),
            State::Idle | State::Tail { .. } => None,
        }
    }

    /// Whether the data segment goes next.
    #[must_use]
    pub fn is_at_data(&self) -> bool {
        matches!(self.state, State::Data(_))
    }

    /// Writes as much as fits of what is before the data segment, as [`write`](Self::write) does.
    pub fn write_head(&mut self, out: &mut [u8]) -> usize {
        let mut room = &mut *out;
        self.write_head_into(&mut room);
        let left = room.len();
        out.len().saturating_sub(left)
    }

    /// A piece of the data segment that [goes next](Self::is_at_data), the front of
    /// [what is left](Self::data_left), was sent from where it lay.
    pub fn sent_in_place(&mut self, piece: &[u8]) {
        let State::Data(data) = &mut self.state else { return };
        data.wrote(piece);
        if data.remaining == 0 {
            self.state = State::Tail { tail: data.tail() };
        }
    }

    /// Writes as much of the PDU as fits in `out`, and says how many bytes that was.
    ///
    /// `fill(offset, piece)` is called for each piece of the data segment, in order and without
    /// gaps: it has to fill all of `piece` with the data that begins at `offset`.
    pub fn write(&mut self, out: &mut [u8], mut fill: impl FnMut(u32, &mut [u8])) -> usize {
        let mut room = &mut *out;
        loop {
            match &mut self.state {
                State::Idle => break,
                State::Head { .. } => {
                    self.write_head_into(&mut room);
                    if matches!(self.state, State::Head { .. }) {
                        break;
                    }
                }
                State::Data(data) => {
                    let wanted = usize::try_from(data.remaining).unwrap_or(usize::MAX);
                    let piece = take_room(&mut room, wanted);
                    if piece.is_empty() {
                        break;
                    }
                    fill(data.offset, piece);
                    data.wrote(piece);
                    if data.remaining == 0 {
                        self.state = State::Tail { tail: data.tail() };
                    }
                }
                State::Tail { tail } => {
                    tail.write(&mut room);
                    if !tail.is_empty() {
                        break;
                    }
                    self.state = State::Idle;
                }
            }
        }
        let left = room.len();
        out.len().saturating_sub(left)
    }

    fn write_head_into(&mut self, room: &mut &mut [u8]) {
        let State::Head { head, data } = &mut self.state else { return };
        head.write(room);
        if head.is_empty() {
            self.state = match data.remaining {
                0 => State::Idle,
                _ => State::Data(data.clone()),
            };
        }
    }
}

impl Data {
    /// Counts and sums up a piece that was written.
    fn wrote(&mut self, piece: &[u8]) {
        let length = u32::try_from(piece.len()).unwrap_or(u32::MAX);
        self.offset = self.offset.saturating_add(length);
        self.remaining = self.remaining.saturating_sub(length);
        if let Some(crc) = &mut self.crc {
            crc.update(piece);
        }
    }

    /// What follows the data, once it is all written; the digest covers the padding (§13.1).
    fn tail(&self) -> Pending<TAIL_LENGTH> {
        let mut tail = Pending::EMPTY;
        let padding: &[u8] = match self.offset & 3 {
            1 => &[0; 3],
            2 => &[0; 2],
            3 => &[0; 1],
            _ => &[],
        };
        tail.push(padding);
        if let Some(mut crc) = self.crc {
            crc.update(padding);
            tail.push(&crc.wire_bytes());
        }
        tail
    }
}

/// At most `N` bytes that wait to be written.
#[derive(Clone, Debug)]
struct Pending<const N: usize> {
    bytes: [u8; N],
    start: usize,
    end: usize,
}

impl<const N: usize> Pending<N> {
    const EMPTY: Self = Self { bytes: [0; N], start: 0, end: 0 };

    const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Adds `bytes`, which fit by the choice of `N`.
    fn push(&mut self, bytes: &[u8]) {
        if let Some(room) =
            self.bytes.get_mut(self.end..).and_then(|tail| tail.get_mut(..bytes.len()))
        {
            room.copy_from_slice(bytes);
            self.end = self.end.saturating_add(bytes.len());
        }
    }

    /// Moves as much as fits to the front of `room`.
    fn write(&mut self, room: &mut &mut [u8]) {
        let waiting = self.bytes.get(self.start..self.end).unwrap_or(&[]);
        let place = take_room(room, waiting.len());
        if let Some(piece) = waiting.get(..place.len()) {
            place.copy_from_slice(piece);
            self.start = self.start.saturating_add(piece.len());
        }
    }
}

/// Splits off the front of `room`: at most `wanted` bytes.
fn take_room<'b>(room: &mut &'b mut [u8], wanted: usize) -> &'b mut [u8] {
    let length = room.len().min(wanted);
    room.split_off_mut(..length).unwrap_or(&mut [])
}
