//! What all connections of a target share.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::hook::{Hooks, Injection};
use super::lun::{Lun, decode_number};
use super::policy::{Policy, Redirect};
use super::rules::Violation;
use super::statistics::Statistics;

/// A target behind its handle.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) policy: Policy,
    pub(super) luns: Vec<Lun>,
    /// LUN number to place in `luns`, in the order of numbers.
    pub(super) numbers: BTreeMap<u16, usize>,
    /// The eight bytes of LUNs that do not go by their number.
    addresses: BTreeMap<[u8; 8], usize>,
    state: Mutex<State>,
    hooks: Mutex<Hooks>,
}

/// What changes while a target runs.
#[derive(Debug)]
pub(super) struct State {
    pub(super) violations: Vec<Violation>,
    pub(super) remarks: Vec<Violation>,
    pub(super) statistics: Statistics,
    /// Live connections by number.
    pub(super) connections: HashMap<u64, Control>,
    /// Sessions in the Full Feature Phase by TSIH.
    pub(super) sessions: BTreeMap<u16, Nexus>,
    pub(super) next_tsih: u16,
    /// One for each LUN.
    pub(super) luns: Vec<LunState>,
    /// Commands that a session may have outstanding.
    pub(super) window: u32,
    /// Commands are taken in and not executed.
    pub(super) paused: bool,
    pub(super) redirect: Option<Redirect>,
    /// Operation codes of commands that the target is not to know.
    pub(super) unknown: Vec<u8>,
    /// Statuses for the next logins.
    pub(super) refusals: VecDeque<(u8, u8)>,
    /// Source of challenges.
    pub(super) seed: u64,
}

/// How others reach a connection.
#[derive(Debug, Default)]
pub(super) struct Control {
    pub(super) orders: VecDeque<Order>,
    /// Somebody else ended it.
    pub(super) closed: bool,
}

/// What a connection is told to do when it is next looked at.
#[derive(Clone, Debug)]
pub(super) enum Order {
    Ping(Vec<u8>),
    Inject(Injection),
    ReleaseHeld,
}

/// One session as the SCSI side sees it (SAM-5: an I_T nexus).
#[derive(Debug)]
pub(super) struct Nexus {
    pub(super) connection: u64,
    pub(super) initiator: String,
    pub(super) isid: [u8; 6],
    /// Unit attentions still to be told, one queue for each LUN.
    pub(super) attentions: Vec<VecDeque<(u8, u8)>>,
}

/// What changes about a LUN.
#[derive(Debug)]
pub(super) struct LunState {
    pub(super) becoming_ready: u32,
    pub(super) bad_blocks: Vec<Range<u64>>,
    /// SCSI statuses for the next commands.
    pub(super) forced: VecDeque<u8>,
    /// Grows with each reset: tasks from before it are gone.
    pub(super) resets: u64,
    /// The thin pool behind it has no block left.
    pub(super) pool_full: bool,
    pub(super) reservations: Reservations,
}

/// Persistent reservations of a LUN.
#[derive(Debug, Default)]
pub(super) struct Reservations {
    /// PRGENERATION.
    pub(super) generation: u32,
    /// Keys by I_T nexus: the initiator's name and ISID outlive its sessions.
    pub(super) keys: BTreeMap<(String, [u8; 6]), u64>,
    /// Who holds the reservation, and its type.
    pub(super) holder: Option<((String, [u8; 6]), u8)>,
}

impl Shared {
    pub(super) fn new(
        name: String,
        policy: Policy,
        luns: Vec<Lun>,
        window: u32,
        seed: u64,
    ) -> Self {
        let mut numbers = BTreeMap::new();
        let mut addresses = BTreeMap::new();
        let mut next = 0;
        for (place, lun) in luns.iter().enumerate() {
            let number = lun.number.unwrap_or(next);
            assert!(numbers.insert(number, place).is_none(), "two LUNs with the number {number}");
            next = number + 1;
            if let Some(address) = lun.address {
                let other = addresses.insert(address, place);
                assert!(other.is_none(), "two LUNs at {address:02x?}");
            }
        }
        let states = luns.iter().map(|lun| LunState {
            becoming_ready: lun.becoming_ready,
            bad_blocks: lun.bad_blocks.clone(),
            forced: VecDeque::new(),
            resets: 0,
            pool_full: false,
            reservations: Reservations::default(),
        });
        let state = State {
            violations: Vec::new(),
            remarks: Vec::new(),
            statistics: Statistics::default(),
            connections: HashMap::new(),
            sessions: BTreeMap::new(),
            next_tsih: 1,
            luns: states.collect(),
            window,
            paused: false,
            redirect: None,
            unknown: Vec::new(),
            refusals: VecDeque::new(),
            seed,
        };
        let (state, hooks) = (Mutex::new(state), Mutex::default());
        Self { name, policy, luns, numbers, addresses, state, hooks }
    }

    /// The place of the LUN that these eight bytes name.
    pub(super) fn place(&self, lun: [u8; 8]) -> Option<usize> {
        let by_number = || {
            let place = *self.numbers.get(&decode_number(lun)?)?;
            self.luns[place].address.is_none().then_some(place)
        };
        self.addresses.get(&lun).copied().or_else(by_number)
    }

    /// A panic of another connection leaves the state usable: every change is small.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Never taken while the state is locked, so that a hook may use the target.
    pub(super) fn hooks(&self) -> MutexGuard<'_, Hooks> {
        self.hooks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes something that is no violation.
    pub(super) fn remark(&self, connection: u64, clause: &'static str, what: impl Into<String>) {
        self.state().remarks.push(Violation { clause, what: what.into(), connection });
    }
}

impl State {
    /// The next number of splitmix64: unforeseeable enough for a challenge in a test.
    pub(super) fn random(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Enters a session and ends the one that it replaces (RFC 7143 §6.3.5). Returns its TSIH.
    pub(super) fn enter_session(
        &mut self,
        connection: u64,
        initiator: &str,
        isid: [u8; 6],
        luns: &[Lun],
    ) -> u16 {
        let old: Vec<u16> = self
            .sessions
            .iter()
            .filter(|(_, nexus)| nexus.initiator == initiator && nexus.isid == isid)
            .map(|(&tsih, _)| tsih)
            .collect();
        for tsih in old {
            let Some(nexus) = self.sessions.remove(&tsih) else { continue };
            self.statistics.reinstatements += 1;
            if let Some(control) = self.connections.get_mut(&nexus.connection) {
                control.closed = true;
            }
        }
        let tsih = self.next_tsih;
        self.next_tsih = self.next_tsih.checked_add(1).unwrap_or(1);
        let attentions =
            luns.iter().map(|lun| lun.unit_attentions.iter().copied().collect()).collect();
        let initiator = initiator.to_owned();
        self.sessions.insert(tsih, Nexus { connection, initiator, isid, attentions });
        tsih
    }

    /// Tells every session of an event on a LUN.
    pub(super) fn raise_attention(&mut self, place: usize, code: u8, qualifier: u8) {
        for nexus in self.sessions.values_mut() {
            if let Some(queue) = nexus.attentions.get_mut(place) {
                queue.push_back((code, qualifier));
            }
        }
    }
}
