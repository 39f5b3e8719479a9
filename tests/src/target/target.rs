//! The handle of a target: what tests ask of it and tell it while it runs.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::Range;
use std::sync::Arc;

use super::builder::Builder;
use super::connection::Connection;
use super::frame::Pdu;
use super::hook::{Fate, Handling, Injection, Wire};
use super::policy::Redirect;
use super::rules::Violation;
use super::server::Server;
use super::state::{Control, Order, Shared};
use super::statistics::Statistics;

/// A target. Clones are handles of the same one.
#[derive(Clone, Debug)]
pub struct Target {
    pub(super) shared: Arc<Shared>,
}

impl Target {
    /// Starts a target with this iSCSI name.
    pub fn builder(name: &str) -> Builder {
        Builder::new(name)
    }

    /// Its iSCSI name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Listens on an address (port 0: a free one) and serves every connection in a thread.
    ///
    /// # Errors
    /// What the system says about the address.
    pub fn serve(&self, address: impl ToSocketAddrs) -> io::Result<Server> {
        Server::start(self.clone(), address)
    }

    /// A connection driven by hand: bytes in, bytes out. `portal` is the address that the
    /// initiator connected to.
    #[must_use]
    pub fn connect(&self, portal: SocketAddr) -> Connection {
        let mut state = self.shared.state();
        state.statistics.connections += 1;
        let number = state.statistics.connections;
        state.connections.insert(number, Control::default());
        drop(state);
        Connection::new(Arc::clone(&self.shared), number, portal)
    }

    /// The secrets of both sides.
    #[must_use]
    pub fn secrets(&self) -> Vec<Vec<u8>> {
        let chap = self.shared.policy.chap.iter();
        let credentials = chap.flat_map(|chap| [Some(&chap.initiator), chap.target.as_ref()]);
        credentials.flatten().map(|credentials| credentials.secret.clone()).collect()
    }

    /// Every rule that an initiator broke so far; each ended its connection.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.shared.state().violations.clone()
    }

    /// Habits that are allowed and worth knowing, such as padding that is not zero.
    #[must_use]
    pub fn remarks(&self) -> Vec<Violation> {
        self.shared.state().remarks.clone()
    }

    /// What was counted so far.
    #[must_use]
    pub fn statistics(&self) -> Statistics {
        self.shared.state().statistics.clone()
    }

    /// Sessions in the Full Feature Phase now, Discovery sessions excluded.
    #[must_use]
    pub fn live_sessions(&self) -> usize {
        self.shared.state().sessions.len()
    }

    /// Bytes of a LUN, past every policy.
    ///
    /// # Errors
    /// What the medium says; no such LUN.
    pub fn read_lun(&self, number: u16, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.shared.luns[self.place(number)?].backing.read(offset, &mut bytes)?;
        Ok(bytes)
    }

    /// Changes bytes of a LUN, past every policy.
    ///
    /// # Errors
    /// What the medium says; no such LUN.
    pub fn write_lun(&self, number: u16, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.shared.luns[self.place(number)?].backing.write(offset, bytes)
    }

    /// The next commands to a LUN end with this SCSI status (BUSY 08h, TASK SET FULL 28h, …);
    /// INQUIRY, REPORT LUNS and REQUEST SENSE are not meant.
    ///
    /// # Panics
    /// No such LUN.
    pub fn force_status(&self, number: u16, status: u8, commands: usize) {
        let place = self.place(number).expect("a LUN of this target");
        self.shared.state().luns[place].forced.extend(std::iter::repeat_n(status, commands));
    }

    /// A unit attention for every session there is (ASC, ASCQ).
    ///
    /// # Panics
    /// No such LUN.
    pub fn raise_unit_attention(&self, number: u16, code: u8, qualifier: u8) {
        let place = self.place(number).expect("a LUN of this target");
        self.shared.state().raise_attention(place, code, qualifier);
    }

    /// The next commands find the LUN becoming ready.
    ///
    /// # Panics
    /// No such LUN.
    pub fn become_ready_after(&self, number: u16, commands: u32) {
        let place = self.place(number).expect("a LUN of this target");
        self.shared.state().luns[place].becoming_ready = commands;
    }

    /// Commands with these operation codes are unknown from now on.
    pub fn refuse_commands(&self, codes: &[u8]) {
        self.shared.state().unknown = codes.to_vec();
    }

    /// Whether the thin pool behind a LUN has no block left: writes find no space.
    ///
    /// # Panics
    /// No such LUN.
    pub fn set_pool_full(&self, number: u16, full: bool) {
        let place = self.place(number).expect("a LUN of this target");
        self.shared.state().luns[place].pool_full = full;
    }

    /// The blocks of a LUN that cannot be read or written from now on.
    ///
    /// # Panics
    /// No such LUN.
    pub fn set_bad_blocks(&self, number: u16, blocks: &[Range<u64>]) {
        let place = self.place(number).expect("a LUN of this target");
        self.shared.state().luns[place].bad_blocks = blocks.to_vec();
    }

    /// Sends the next logins elsewhere; `None` stops that.
    pub fn set_redirect(&self, redirect: Option<Redirect>) {
        self.shared.state().redirect = redirect;
    }

    /// The next logins end with this status class and detail.
    pub fn refuse_logins(&self, class: u8, detail: u8, times: usize) {
        self.shared.state().refusals.extend(std::iter::repeat_n((class, detail), times));
    }

    /// Commands that a session may have outstanding. MaxCmdSN never goes back (RFC 7143
    /// §4.2.2.1), so a smaller window takes effect as commands use up the old one; a window that
    /// opens again is told by a NOP-In.
    pub fn set_window(&self, commands: u32) {
        self.shared.state().window = commands;
    }

    /// Takes commands in without executing them, until [`resume`](Self::resume).
    pub fn pause(&self) {
        self.shared.state().paused = true;
    }

    /// Executes what waits, in order.
    pub fn resume(&self) {
        self.shared.state().paused = false;
    }

    /// Sends a NOP-In that asks for an answer on every connection in the Full Feature Phase.
    pub fn ping(&self, data: &[u8]) {
        self.order_all(&Order::Ping(data.to_vec()));
    }

    /// Sends a PDU of the script's own on every connection.
    pub fn inject(&self, injection: Injection) {
        self.order_all(&Order::Inject(injection));
    }

    /// Sends a PDU of the script's own on one connection.
    pub fn inject_on(&self, connection: u64, injection: Injection) {
        if let Some(control) = self.shared.state().connections.get_mut(&connection) {
            control.orders.push_back(Order::Inject(injection));
        }
    }

    /// Sends what [`Fate::Hold`] kept back, in its order.
    pub fn release_held(&self) {
        self.order_all(&Order::ReleaseHeld);
    }

    /// Shows every PDU to `hook` before it is sent. The hook may use this target but not set
    /// hooks.
    pub fn on_response(&self, hook: impl FnMut(&Wire, &mut Pdu) -> Fate + Send + 'static) {
        self.shared.hooks().response = Some(Box::new(hook));
    }

    /// Shows every request to `hook` before it is served. The hook may use this target but not
    /// set hooks.
    pub fn on_request(&self, hook: impl FnMut(&Wire, &Pdu) -> Handling + Send + 'static) {
        self.shared.hooks().request = Some(Box::new(hook));
    }

    /// Takes both hooks away.
    pub fn clear_hooks(&self) {
        *self.shared.hooks() = super::hook::Hooks::default();
    }

    fn order_all(&self, order: &Order) {
        for control in self.shared.state().connections.values_mut() {
            control.orders.push_back(order.clone());
        }
    }

    fn place(&self, number: u16) -> io::Result<usize> {
        let place = self.shared.numbers.get(&number).copied();
        place.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no LUN {number}")))
    }
}
