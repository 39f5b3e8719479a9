//! The way out of a connection: hooks, digests, bytes.

use std::sync::Arc;

use isboot::pdu::digest::Digests;
use isboot::pdu::response::Response;

use super::frame::Pdu;
use super::hook::{Fate, Handling, Wire};
use super::output::Output;
use super::state::Shared;

/// What a connection sends through.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    pub(super) wire: Wire,
    output: Output,
    held: Vec<Pdu>,
    /// A script cut the connection.
    pub(super) cut: bool,
}

impl Link {
    pub(super) fn new(shared: Arc<Shared>, connection: u64) -> Self {
        let wire = Wire { connection, digests: Digests::default() };
        Self { shared, wire, output: Output::default(), held: Vec::new(), cut: false }
    }

    /// Sends a response, past the script.
    pub(super) fn respond(&mut self, response: Response, data: Vec<u8>) {
        self.send(Pdu::new(response.emit(), data));
    }

    pub(super) fn send(&mut self, mut pdu: Pdu) {
        if self.cut {
            return;
        }
        let shared = Arc::clone(&self.shared);
        let fate = match &mut shared.hooks().response {
            Some(hook) => hook(&self.wire, &mut pdu),
            None => Fate::Send,
        };
        let header_length = 48 + pdu.additional.len();
        match fate {
            Fate::Send => self.put(pdu),
            Fate::Drop => {}
            Fate::Hold => self.held.push(pdu),
            Fate::Twice => {
                self.put(pdu.clone());
                self.put(pdu);
            }
            Fate::CorruptHeader => {
                let mut bytes = self.encoded(&pdu);
                // Without a digest the lowest bit of the header's last byte stands in.
                let at = if self.wire.digests.header { header_length } else { header_length - 1 };
                bytes[at] ^= 1;
                self.output.push(bytes);
            }
            Fate::CorruptData => {
                let mut bytes = self.encoded(&pdu);
                let digest = if self.wire.digests.header { 4 } else { 0 };
                if let Some(byte) = bytes.get_mut(header_length + digest) {
                    *byte ^= 1;
                }
                self.output.push(bytes);
            }
            Fate::Bytes(bytes) => self.output.push(bytes),
            Fate::CutAfter(count) => {
                let mut bytes = self.encoded(&pdu);
                bytes.truncate(count);
                self.output.push(bytes);
                self.cut = true;
            }
        }
    }

    /// What the script wants done with a request.
    pub(super) fn handling(&self, pdu: &Pdu) -> Handling {
        match &mut self.shared.hooks().request {
            Some(hook) => hook(&self.wire, pdu),
            None => Handling::Proceed,
        }
    }

    /// Sends what a script held back; the hook has seen it already.
    pub(super) fn release_held(&mut self) {
        for pdu in std::mem::take(&mut self.held) {
            self.put(pdu);
        }
    }

    pub(super) fn take_output(&mut self) -> Output {
        std::mem::take(&mut self.output)
    }

    pub(super) fn remark(&self, clause: &'static str, what: impl Into<String>) {
        self.shared.remark(self.wire.connection, clause, what);
    }

    fn put(&mut self, pdu: Pdu) {
        let (head, tail) = (pdu.head(self.wire.digests), pdu.tail(self.wire.digests));
        [head, pdu.data, tail].into_iter().for_each(|part| self.output.push(part));
    }

    fn encoded(&self, pdu: &Pdu) -> Vec<u8> {
        let mut bytes = Vec::new();
        pdu.encode(self.wire.digests, &mut bytes);
        bytes
    }
}
