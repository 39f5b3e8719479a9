//! The connection of bare iSCSI: bytes that go and bytes that come, each in a bounded time.

use core::fmt;
use core::time::Duration;

use heapless::Vec;
use isboot::boot::BootPlan;
use isboot::pdu::bhs::{BASIC_HEADER_SEGMENT_LENGTH, BasicHeaderSegment};
use isboot::pdu::digest::DIGEST_LENGTH;
use isboot::pdu::response::Response;
use isboot_transport::stream::{ByteStream, StreamState};

use super::{Bare, PATIENCE};
use crate::bench::STAGE;
use crate::clock;
use crate::failure::{During, Failure};
use crate::interrupt;
use crate::network::Stream;

/// What a login's text takes at most, either way.
pub(super) const TEXT: usize = 1024;

/// One that came whole.
pub(super) struct Pdu {
    pub(super) answer: Response,
    /// Bytes of all of it.
    pub(super) length: u64,
    /// Its data, as much of it as a login's text may have.
    pub(super) text: Vec<u8, TEXT>,
}

impl Bare<'_> {
    /// Sends as much as there is room for: how much that was.
    pub(super) fn send_some(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            let sent = self.stream.send(|room| {
                let count = room.len().min(rest.len());
                let (now, later) = rest.split_at(count);
                for (place, byte) in room.iter_mut().zip(now) {
                    *place = *byte;
                }
                (count, later)
            });
            let Some(later) = sent else { break };
            rest = later;
        }
        bytes.len() - rest.len()
    }

    /// Sends all of it.
    pub(super) fn send(&mut self, bytes: &[u8], until: Duration) -> Result<(), Failure> {
        let mut sent = 0;
        while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
            sent += self.send_some(rest);
            self.stream.poll(clock::now());
            if sent < bytes.len() {
                self.wait(0, until)?;
            }
        }
        Ok(())
    }

    /// A whole PDU, looked into.
    pub(super) fn receive_pdu(&mut self, until: Duration) -> Result<Pdu, Failure> {
        let mut header = Vec::<u8, BASIC_HEADER_SEGMENT_LENGTH>::new();
        self.receive(BASIC_HEADER_SEGMENT_LENGTH, until, |bytes| {
            drop(header.extend_from_slice(bytes));
        })?;
        let Ok(header) = header.into_array() else {
            return Err(Failure::new(STAGE, "a header is not whole"));
        };
        let header = BasicHeaderSegment::from_bytes(header);
        let answer = Response::parse(&header).during(STAGE)?;
        let data = header.data_segment_length() as usize;
        let digest = |is_there| if is_there { DIGEST_LENGTH } else { 0 };
        let before = 4 * usize::from(header.total_ahs_length()) + digest(self.digests.header);
        let behind = data.next_multiple_of(4) - data + digest(self.digests.data && data > 0);
        self.receive(before, until, |_| {})?;
        let mut text = Vec::new();
        self.receive(data, until, |bytes| {
            let room = TEXT - text.len();
            drop(text.extend_from_slice(bytes.get(..room).unwrap_or(bytes)));
        })?;
        self.receive(behind, until, |_| {})?;
        let length = (BASIC_HEADER_SEGMENT_LENGTH + before + data + behind) as u64;
        Ok(Pdu { answer, length, text })
    }

    /// The next `length` bytes, in pieces.
    fn receive(
        &mut self,
        length: usize,
        until: Duration,
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), Failure> {
        let mut left = length;
        while left > 0 {
            let received = self.stream.recv(|bytes| {
                let bytes = bytes.get(..left).unwrap_or(bytes);
                take(bytes);
                (bytes.len(), bytes.len())
            });
            if let Some(count) = received {
                left -= count;
                if clock::now() < until {
                    continue;
                }
            }
            self.stream.poll(clock::now());
            self.wait(left as u64, until)?;
        }
        Ok(())
    }

    /// Sleeps while there is hope for what is owed.
    pub(super) fn wait(&mut self, owed: u64, until: Duration) -> Result<(), Failure> {
        let fail = |why: fmt::Arguments<'_>| Err(Failure::new(STAGE, why));
        let seconds = PATIENCE.as_secs();
        match self.stream.state() {
            StreamState::Open if clock::now() < until => {
                rest(self.stream, self.under_way);
                Ok(())
            }
            StreamState::Open => fail(format_args!("owes {owed} bytes, and {seconds} s are over")),
            StreamState::Failed(error) => fail(format_args!("owes {owed} bytes: {error}")),
            _ => fail(format_args!("closed the connection and owes {owed} bytes")),
        }
    }
}

/// Waits for the target to accept. The stream has its own bound.
pub(super) fn connect(stream: &mut Stream, plan: &BootPlan) -> Result<(), Failure> {
    stream.connect(clock::now(), plan.portal).during(STAGE)?;
    loop {
        stream.poll(clock::now());
        match stream.state() {
            StreamState::Open => return Ok(()),
            StreamState::Connecting => rest(stream, 0),
            StreamState::Failed(error) => return Err(Failure::new(STAGE, error)),
            StreamState::PeerClosed | StreamState::Closed => {
                return Err(Failure::new(STAGE, "closed the connection at once"));
            }
        }
    }
}

/// Ends the connection. The stream has its own bound.
pub(super) fn close(stream: &mut Stream) {
    stream.close();
    while !matches!(stream.state(), StreamState::Closed | StreamState::Failed(_)) {
        stream.poll(clock::now());
        while stream.recv(|bytes| (bytes.len(), ())).is_some() {}
        rest(stream, 0);
    }
}

/// Sleeps until the card interrupts, or the stream wants to be called.
pub(super) fn rest(stream: &mut Stream, requests: u64) {
    let until = stream.poll_at(clock::now());
    interrupt::rest(stream.stack_mut().device_mut().nic_mut(), until, requests as usize);
}
