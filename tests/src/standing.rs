//! The standing checks: what every PDU of every test must obey, whatever the test is about.
//!
//! [`Watched`] lies between an initiator and its stream and reads along, by the RFC's figures and
//! without the initiator's own encoders: a mistake that both ends share is still seen. What the
//! target sends is read too, up to the moment it stops making sense (tests make it lie).

mod cdb;
mod connection;
mod frames;
mod negotiated;
mod reserved;
mod sequences;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use isboot_transport::stream::{ByteStream, Expected, StreamError, StreamState};

use connection::Connection;

/// What one initiator did wrong over all its connections.
#[derive(Clone, Debug, Default)]
pub struct StandingChecks(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    connection: Option<Connection>,
    connections: u64,
    across: Across,
}

/// What outlives a connection.
#[derive(Debug, Default)]
struct Across {
    violations: Vec<String>,
    /// Challenges that the initiator made: none may come twice.
    challenges: BTreeSet<String>,
    /// What may never be sent.
    secrets: Vec<Vec<u8>>,
    /// The tail of what was sent, as long as a secret.
    tail: Vec<u8>,
    /// LUNs that a REPORT LUNS told of, and blocks per LUN as its capacity told.
    luns: cdb::Units,
}

impl Across {
    /// Notes that rule `id` was broken.
    fn broken(&mut self, id: &str, what: impl AsRef<str>) {
        // A storm of the same mistake says no more than its begin.
        if self.violations.len() < 20 {
            self.violations.push(format!("{id}: {}", what.as_ref()));
        }
    }

    fn look_for_secrets(&mut self, bytes: &[u8]) {
        let Some(longest) = self.secrets.iter().map(Vec::len).max() else { return };
        self.tail.extend(bytes);
        let found = self.secrets.iter().any(|secret| {
            self.tail.windows(secret.len()).any(|window| window.eq_ignore_ascii_case(secret))
        });
        if found {
            self.broken("S-17", "a secret is on the wire");
        }
        let keep = self.tail.len().min(longest - 1);
        self.tail.drain(..self.tail.len() - keep);
    }
}

impl StandingChecks {
    /// Bytes that must never be sent, as they are or in hexadecimal.
    pub fn add_secret(&self, secret: &[u8]) {
        // What is too short turns up by chance.
        if secret.len() < 8 {
            return;
        }
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        self.state().across.secrets.extend([secret.to_vec(), hex.into_bytes()]);
    }

    /// Rules that were broken so far, as sentences that begin with the rule's id.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.state().across.violations.clone()
    }

    /// The checks that hold in this test; those of `ids` may be broken. For tests in which the
    /// initiator is told to break a rule.
    pub fn forgive(&self, ids: &[&str]) {
        let across = &mut self.state().across;
        across.violations.retain(|violation| !ids.iter().any(|id| violation.starts_with(id)));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) {
        let state = &mut *self.state();
        state.connections += 1;
        state.across.tail.clear();
        state.connection = Some(Connection::new(state.connections));
    }

    fn end(&self) {
        self.state().connection = None;
    }

    fn sent(&self, bytes: &[u8]) {
        let State { connection, across, .. } = &mut *self.state();
        across.look_for_secrets(bytes);
        if let Some(connection) = connection {
            connection.sent(across, bytes);
        }
    }

    fn received(&self, bytes: &[u8]) {
        let State { connection, across, .. } = &mut *self.state();
        if let Some(connection) = connection {
            connection.received(across, bytes);
        }
    }
}

/// A stream with the standing checks on it.
#[derive(Debug)]
pub struct Watched<S> {
    stream: S,
    checks: StandingChecks,
}

impl<S> Watched<S> {
    /// Watches what goes over `stream`.
    #[must_use]
    pub fn new(stream: S) -> Self {
        Self { stream, checks: StandingChecks::default() }
    }

    /// The stream.
    pub fn stream(&self) -> &S {
        &self.stream
    }

    /// What is known so far; stays valid when the stream is gone.
    #[must_use]
    pub fn checks(&self) -> StandingChecks {
        self.checks.clone()
    }
}

impl<S: ByteStream> ByteStream for Watched<S> {
    const SENDS_IN_PLACE: u32 = S::SENDS_IN_PLACE;

    fn connect(&mut self, now: Duration, portal: SocketAddr) -> Result<(), StreamError> {
        self.checks.begin();
        self.stream.connect(now, portal)
    }

    fn poll(&mut self, now: Duration) {
        self.stream.poll(now);
    }

    fn state(&self) -> StreamState {
        self.stream.state()
    }

    fn recv<R>(&mut self, take: impl FnOnce(&[u8]) -> (usize, R)) -> Option<R> {
        let checks = &self.checks;
        self.stream.recv(|bytes| {
            let (count, result) = take(bytes);
            checks.received(&bytes[..count]);
            (count, result)
        })
    }

    fn recv_into(&mut self, place: &mut [u8]) -> Option<usize> {
        let count = self.stream.recv_into(place)?;
        self.checks.received(&place[..count]);
        Some(count)
    }

    fn expect(&mut self, expected: Expected) {
        self.stream.expect(expected);
    }

    fn send<R>(&mut self, fill: impl FnOnce(&mut [u8]) -> (usize, R)) -> Option<R> {
        let checks = &self.checks;
        self.stream.send(|out| {
            let (count, result) = fill(out);
            checks.sent(&out[..count]);
            (count, result)
        })
    }

    fn send_from(&mut self, bytes: &[u8]) -> Option<usize> {
        let count = self.stream.send_from(bytes)?;
        self.checks.sent(&bytes[..count]);
        Some(count)
    }

    fn close(&mut self) {
        self.checks.end();
        self.stream.close();
    }

    fn abort(&mut self) {
        self.checks.end();
        self.stream.abort();
    }

    fn poll_at(&self, now: Duration) -> Option<Duration> {
        self.stream.poll_at(now)
    }
}
