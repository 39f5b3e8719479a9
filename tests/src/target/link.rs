//! The way out of a connection: hooks, digests, bytes.

use std::sync::Arc;

use isboot::pdu::digest::Digests;
use isboot::pdu::response::Response;

use super::frame::Pdu;
use super::hook::{Fate, Handling, Wire};
use super::state::Shared;

/// What a connection sends through.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    pub(super) wire: Wire,
    output: Vec<u8>,
    held: Vec<Pdu>,
    /// A script cut the connection.
    pub(super) cut: bool,
}

impl Link {
    pub(super) fn new(shared: Arc<Shared>, connection: u64) -> Self {
        let wire = Wire { connection, digests: Digests::default() };
        Self { shared, wire, output: Vec::new(), held: Vec::new(), cut: false }
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
        let start = self.output.len();
        match fate {
            Fate::Send => self.encode(&pdu),
            Fate::Drop => {}
            Fate::Hold => self.held.push(pdu),
            Fate::Twice => {
                self.encode(&pdu);
                self.encode(&pdu);
            }
            Fate::CorruptHeader => {
                self.encode(&pdu);
                let header_length = 48 + pdu.additional.len();
                // Without a digest the lowest bit of the header's last byte stands in.
                let at = if self.wire.digests.header { header_length } else { header_length - 1 };
                self.output[start + at] ^= 1;
            }
            Fate::CorruptData => {
                self.encode(&pdu);
                let digest = if self.wire.digests.header { 4 } else { 0 };
                if let Some(byte) = self.output.get_mut(start + 48 + pdu.additional.len() + digest)
                {
                    *byte ^= 1;
                }
            }
            Fate::Bytes(bytes) => self.output.extend(bytes),
            Fate::CutAfter(count) => {
                self.encode(&pdu);
                self.output.truncate(start + count);
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
            self.encode(&pdu);
        }
    }

    pub(super) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    pub(super) fn remark(&self, clause: &'static str, what: impl Into<String>) {
        self.shared.remark(self.wire.connection, clause, what);
    }

    fn encode(&mut self, pdu: &Pdu) {
        pdu.encode(self.wire.digests, &mut self.output);
    }
}
