//! A small disk: what each command does (SPC-4, SBC-3). Knows sessions only as nexuses that
//! unit attentions are queued for.

mod access;
mod inquiry;
mod media;
mod provisioning;
mod report;
mod reservation;
mod sense;

use super::lun::Lun;
use super::policy::SenseFormat;
use super::state::{LunState, Shared, State};
use sense::Sense;

/// Operation codes.
pub(super) mod operation {
    pub(in crate::target) const TEST_UNIT_READY: u8 = 0x00;
    pub(in crate::target) const REQUEST_SENSE: u8 = 0x03;
    pub(in crate::target) const INQUIRY: u8 = 0x12;
    pub(in crate::target) const MODE_SENSE_6: u8 = 0x1a;
    pub(in crate::target) const START_STOP_UNIT: u8 = 0x1b;
    pub(in crate::target) const READ_CAPACITY_10: u8 = 0x25;
    pub(in crate::target) const READ_10: u8 = 0x28;
    pub(in crate::target) const WRITE_10: u8 = 0x2a;
    pub(in crate::target) const SYNCHRONIZE_CACHE_10: u8 = 0x35;
    pub(in crate::target) const WRITE_SAME_10: u8 = 0x41;
    pub(in crate::target) const UNMAP: u8 = 0x42;
    pub(in crate::target) const MODE_SENSE_10: u8 = 0x5a;
    pub(in crate::target) const PERSISTENT_RESERVE_IN: u8 = 0x5e;
    pub(in crate::target) const PERSISTENT_RESERVE_OUT: u8 = 0x5f;
    pub(in crate::target) const READ_16: u8 = 0x88;
    pub(in crate::target) const WRITE_16: u8 = 0x8a;
    pub(in crate::target) const SYNCHRONIZE_CACHE_16: u8 = 0x91;
    pub(in crate::target) const WRITE_SAME_16: u8 = 0x93;
    pub(in crate::target) const SERVICE_ACTION_IN_16: u8 = 0x9e;
    pub(in crate::target) const REPORT_LUNS: u8 = 0xa0;
    pub(in crate::target) const MAINTENANCE_IN: u8 = 0xa3;
}

/// How a command ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) status: u8,
    /// Sense data, with CHECK CONDITION.
    pub(super) sense: Vec<u8>,
    /// All the data that the command moves in, cut to its allocation length.
    pub(super) data: Vec<u8>,
}

/// SAM-5 §5.3.1.
const CHECK_CONDITION: u8 = 0x02;

impl Outcome {
    pub(super) fn good(data: Vec<u8>) -> Self {
        Self { status: 0, sense: Vec::new(), data }
    }

    fn status(status: u8) -> Self {
        Self { status, sense: Vec::new(), data: Vec::new() }
    }

    fn check(sense: Sense, format: SenseFormat) -> Self {
        Self { status: CHECK_CONDITION, sense: sense.encode(format), data: Vec::new() }
    }
}

/// What a command is when it arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// It has ended already: refused, or a condition of the LUN was told.
    Done(Outcome),
    /// It moves so many bytes out first.
    WantsData(u64),
    /// It can be executed.
    Ready,
}

/// Takes a command in: conditions of the LUN come first, then the CDB is judged.
pub(super) fn start(shared: &Shared, nexus: u16, lun: [u8; 8], cdb: &[u8; 16]) -> Start {
    let format = shared.policy.sense_format;
    let mut state = shared.state();
    *state.statistics.commands.entry(cdb[0]).or_default() += 1;
    if state.unknown.contains(&cdb[0]) {
        return Start::Done(Outcome::check(Sense::INVALID_OPERATION, format));
    }
    let place = shared.place(lun);
    let bypasses =
        matches!(cdb[0], operation::INQUIRY | operation::REPORT_LUNS | operation::REQUEST_SENSE);
    let Some(place) = place else {
        return match bypasses {
            true => Start::Ready,
            false => Start::Done(Outcome::check(Sense::LUN_NOT_SUPPORTED, format)),
        };
    };
    if !bypasses && let Some(outcome) = condition(&mut state, nexus, place, format) {
        return Start::Done(outcome);
    }
    let disk = &shared.luns[place];
    if reservation::conflicts(&state, nexus, place, cdb) {
        return Start::Done(Outcome::status(reservation::CONFLICT));
    }
    match cdb[0] {
        operation::UNMAP => wants(u64::from(be16(cdb, 7))),
        operation::PERSISTENT_RESERVE_OUT => wants(u64::from(be32(cdb, 5))),
        operation::WRITE_SAME_10 | operation::WRITE_SAME_16 => {
            match provisioning::judge_write_same(&mut state, nexus, disk, cdb) {
                Err(sense) => Start::Done(Outcome::check(sense, format)),
                Ok(()) => wants(u64::from(disk.block_size)),
            }
        }
        operation::READ_10 | operation::READ_16 | operation::WRITE_10 | operation::WRITE_16 => {
            match media::judge(disk, cdb, shared.policy.max_transfer_blocks) {
                Err(sense) => Start::Done(Outcome::check(sense, format)),
                Ok(extent) if extent.is_write() && extent.bytes(disk) != 0 => {
                    state.statistics.forced_unit_accesses += u64::from(extent.is_through());
                    Start::WantsData(extent.bytes(disk))
                }
                Ok(_) => Start::Ready,
            }
        }
        _ => Start::Ready,
    }
}

fn wants(bytes: u64) -> Start {
    if bytes == 0 { Start::Ready } else { Start::WantsData(bytes) }
}

/// Executes a command whose data, if it takes any, is complete.
pub(super) fn finish(
    shared: &Shared,
    nexus: u16,
    lun: [u8; 8],
    cdb: &[u8; 16],
    data: &[u8],
) -> Outcome {
    let format = shared.policy.sense_format;
    // Held while the medium is touched: a session that was replaced never writes again.
    let mut state = shared.state();
    if !state.sessions.contains_key(&nexus) {
        return Outcome::check(Sense::ABORTED, format);
    }
    let place = shared.place(lun);
    // Somebody may have reserved the LUN since.
    if let Some(place) = place
        && reservation::conflicts(&state, nexus, place, cdb)
    {
        return Outcome::status(reservation::CONFLICT);
    }
    if let (Some(place), operation::PERSISTENT_RESERVE_OUT) = (place, cdb[0]) {
        return match reservation::change(&mut state, nexus, place, cdb, data) {
            Ok(reservation::Change::Done) => Outcome::good(Vec::new()),
            Ok(reservation::Change::Conflict) => Outcome::status(reservation::CONFLICT),
            Err(sense) => Outcome::check(sense, format),
        };
    }
    let result = match place {
        Some(place) => execute(shared, &mut state, nexus, place, cdb, data),
        None => without_lun(shared, cdb),
    };
    result.map_or_else(|sense| Outcome::check(sense, format), Outcome::good)
}

/// How often a LUN was reset.
pub(super) fn resets(shared: &Shared, lun: [u8; 8]) -> u64 {
    let place = shared.place(lun);
    place.map_or(0, |place| shared.state().luns[place].resets)
}

/// Whether a command reads, and how many bytes its CDB says it moves; `None` for commands that
/// the target does not know.
pub(super) fn announced(shared: &Shared, lun: [u8; 8], cdb: &[u8; 16]) -> Option<(bool, u64)> {
    let place = shared.place(lun);
    let block_size = place.map_or(512, |place| u64::from(shared.luns[place].block_size));
    Some(match cdb[0] {
        operation::TEST_UNIT_READY
        | operation::START_STOP_UNIT
        | operation::SYNCHRONIZE_CACHE_10
        | operation::SYNCHRONIZE_CACHE_16 => (false, 0),
        operation::REQUEST_SENSE | operation::MODE_SENSE_6 => (true, u64::from(cdb[4])),
        operation::MODE_SENSE_10 => (true, u64::from(be16(cdb, 7))),
        operation::INQUIRY => (true, u64::from(be16(cdb, 3))),
        operation::READ_CAPACITY_10 => (true, 8),
        operation::SERVICE_ACTION_IN_16 => (true, u64::from(be32(cdb, 10))),
        operation::REPORT_LUNS | operation::MAINTENANCE_IN => (true, u64::from(be32(cdb, 6))),
        operation::PERSISTENT_RESERVE_IN => (true, u64::from(be16(cdb, 7))),
        operation::PERSISTENT_RESERVE_OUT => (false, u64::from(be32(cdb, 5))),
        operation::UNMAP => (false, u64::from(be16(cdb, 7))),
        operation::WRITE_SAME_10 | operation::WRITE_SAME_16 => (false, block_size),
        operation::READ_10 => (true, u64::from(be16(cdb, 7)) * block_size),
        operation::READ_16 => (true, u64::from(be32(cdb, 10)) * block_size),
        operation::WRITE_10 => (false, u64::from(be16(cdb, 7)) * block_size),
        operation::WRITE_16 => (false, u64::from(be32(cdb, 10)) * block_size),
        _ => return None,
    })
}

/// What stands before any command: a status that a test wants, a unit attention, not ready yet.
fn condition(state: &mut State, nexus: u16, place: usize, format: SenseFormat) -> Option<Outcome> {
    if let Some(status) = state.luns[place].forced.pop_front() {
        return Some(Outcome::status(status));
    }
    let queue = state.sessions.get_mut(&nexus).and_then(|nexus| nexus.attentions.get_mut(place));
    if let Some((code, qualifier)) = queue.and_then(std::collections::VecDeque::pop_front) {
        return Some(Outcome::check(Sense::unit_attention(code, qualifier), format));
    }
    let LunState { becoming_ready, .. } = &mut state.luns[place];
    if *becoming_ready > 0 {
        *becoming_ready -= 1;
        return Some(Outcome::check(Sense::BECOMING_READY, format));
    }
    None
}

fn execute(
    shared: &Shared,
    state: &mut State,
    nexus: u16,
    place: usize,
    cdb: &[u8; 16],
    data: &[u8],
) -> Result<Vec<u8>, Sense> {
    let disk: &Lun = &shared.luns[place];
    match cdb[0] {
        operation::UNMAP => return provisioning::unmap(state, nexus, place, disk, data),
        operation::WRITE_SAME_10 | operation::WRITE_SAME_16 => {
            return provisioning::write_same(state, place, disk, cdb, data);
        }
        operation::PERSISTENT_RESERVE_IN => return reservation::answer(state, place, cdb),
        operation::MAINTENANCE_IN => return access::report_target_port_groups(disk, cdb),
        operation::WRITE_10 | operation::WRITE_16 if state.luns[place].pool_full => {
            return Err(Sense::SPACE_ALLOCATION_FAILED);
        }
        _ => {}
    }
    let bad_blocks = &state.luns[place].bad_blocks;
    match cdb[0] {
        operation::TEST_UNIT_READY | operation::START_STOP_UNIT => Ok(Vec::new()),
        operation::INQUIRY => inquiry::inquiry(shared, place, cdb),
        operation::REPORT_LUNS => report::report_luns(shared, cdb),
        operation::REQUEST_SENSE => {
            let queue = state.sessions.get_mut(&nexus).and_then(|n| n.attentions.get_mut(place));
            let pending = queue.and_then(std::collections::VecDeque::pop_front);
            let sense = pending
                .map_or(Sense::NONE, |(code, qualifier)| Sense::unit_attention(code, qualifier));
            Ok(report::request_sense(sense, cdb))
        }
        operation::MODE_SENSE_6 | operation::MODE_SENSE_10 => {
            report::mode_sense(disk, shared.policy.sense_format, cdb)
        }
        operation::READ_CAPACITY_10 => Ok(media::read_capacity_10(disk)),
        operation::SERVICE_ACTION_IN_16 if cdb[1] & 0x1f == 0x10 => {
            Ok(media::read_capacity_16(disk, cdb))
        }
        operation::READ_10 | operation::READ_16 => {
            let extent = media::judge(disk, cdb, shared.policy.max_transfer_blocks)?;
            media::read(disk, &extent, bad_blocks)
        }
        operation::WRITE_10 | operation::WRITE_16 => {
            let extent = media::judge(disk, cdb, shared.policy.max_transfer_blocks)?;
            media::write(disk, &extent, bad_blocks, data).map(|()| Vec::new())
        }
        operation::SYNCHRONIZE_CACHE_10 | operation::SYNCHRONIZE_CACHE_16 => {
            media::synchronize(disk, cdb).map(|()| Vec::new())
        }
        operation::SERVICE_ACTION_IN_16 => Err(Sense::INVALID_FIELD),
        _ => Err(Sense::INVALID_OPERATION),
    }
}

/// What a LUN that does not exist still answers (SPC-4 §6.4.2, SAM-5 §4.7.8).
fn without_lun(shared: &Shared, cdb: &[u8; 16]) -> Result<Vec<u8>, Sense> {
    match cdb[0] {
        operation::INQUIRY => inquiry::absent(cdb),
        operation::REPORT_LUNS => report::report_luns(shared, cdb),
        operation::REQUEST_SENSE => Ok(report::request_sense(Sense::LUN_NOT_SUPPORTED, cdb)),
        _ => Err(Sense::LUN_NOT_SUPPORTED),
    }
}

fn be16(cdb: &[u8; 16], at: usize) -> u16 {
    u16::from_be_bytes([cdb[at], cdb[at + 1]])
}

fn be32(cdb: &[u8; 16], at: usize) -> u32 {
    u32::from_be_bytes([cdb[at], cdb[at + 1], cdb[at + 2], cdb[at + 3]])
}

/// Data as far as the allocation length goes.
fn allocated(mut data: Vec<u8>, length: u32) -> Vec<u8> {
    data.truncate(length as usize);
    data
}
