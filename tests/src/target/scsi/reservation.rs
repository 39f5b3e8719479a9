//! Persistent reservations, of whole LUNs (SPC-4 §5.13, 6.15, 6.16).

use super::sense::Sense;
use super::{allocated, be16, operation};
use crate::target::state::{Reservations, State};

/// RESERVATION CONFLICT (SAM-5 §5.3.1).
pub(super) const CONFLICT: u8 = 0x18;

/// RESERVATIONS PREEMPTED, RESERVATIONS RELEASED, REGISTRATIONS PREEMPTED.
const PREEMPTED: (u8, u8) = (0x2a, 0x03);
const REGISTRATIONS_PREEMPTED: (u8, u8) = (0x2a, 0x05);

/// Who holds keys: name and ISID of an initiator.
type Holder = (String, [u8; 6]);

fn holder(state: &State, nexus: u16) -> Option<Holder> {
    let nexus = state.sessions.get(&nexus)?;
    Some((nexus.initiator.clone(), nexus.isid))
}

/// Types by which every registrant holds the reservation.
const fn is_of_all(kind: u8) -> bool {
    matches!(kind, 0x7 | 0x8)
}

impl Reservations {
    fn held_by(&self, who: &Holder) -> Option<u8> {
        let (owner, kind) = self.holder.as_ref()?;
        let holds = owner == who || (is_of_all(*kind) && self.keys.contains_key(who));
        holds.then_some(*kind)
    }
}

/// Whether a command meets somebody else's reservation (SPC-4 table 58, SBC-3 table 6). PERSISTENT
/// RESERVE OUT is judged by itself.
pub(super) fn conflicts(state: &State, nexus: u16, place: usize, cdb: &[u8; 16]) -> bool {
    let reservations = &state.luns[place].reservations;
    let (Some((_, kind)), Some(who)) = (&reservations.holder, holder(state, nexus)) else {
        return false;
    };
    let registrants_only = matches!(kind, 0x5..=0x8);
    if reservations.held_by(&who).is_some()
        || (registrants_only && reservations.keys.contains_key(&who))
    {
        return false;
    }
    let writes_only = matches!(kind, 0x1 | 0x5 | 0x7);
    match cdb[0] {
        operation::READ_10 | operation::READ_16 => !writes_only,
        operation::WRITE_10
        | operation::WRITE_16
        | operation::WRITE_SAME_10
        | operation::WRITE_SAME_16
        | operation::UNMAP
        | operation::SYNCHRONIZE_CACHE_10
        | operation::SYNCHRONIZE_CACHE_16 => true,
        operation::PERSISTENT_RESERVE_OUT => {
            // REGISTER and REGISTER AND IGNORE EXISTING KEY are for all.
            !matches!(cdb[1] & 0x1f, 0x00 | 0x06) && !reservations.keys.contains_key(&who)
        }
        _ => false,
    }
}

/// PERSISTENT RESERVE IN.
pub(super) fn answer(state: &State, place: usize, cdb: &[u8; 16]) -> Result<Vec<u8>, Sense> {
    let reservations = &state.luns[place].reservations;
    let content: Vec<u8> = match cdb[1] & 0x1f {
        0x00 => reservations.keys.values().flat_map(|key| key.to_be_bytes()).collect(),
        0x01 => match &reservations.holder {
            Some((who, kind)) => {
                let key = match is_of_all(*kind) {
                    true => 0,
                    false => reservations.keys.get(who).copied().unwrap_or(0),
                };
                [&key.to_be_bytes()[..], &[0, 0, 0, 0, 0, *kind, 0, 0]].concat()
            }
            None => Vec::new(),
        },
        // TMV, and every type.
        0x02 => return Ok(allocated(vec![0, 8, 0, 0x80, 0xea, 0x01, 0, 0], be16(cdb, 7).into())),
        _ => return Err(Sense::INVALID_FIELD),
    };
    let generation = reservations.generation.to_be_bytes();
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes();
    Ok(allocated([&generation[..], &length, &content].concat(), be16(cdb, 7).into()))
}

/// PERSISTENT RESERVE OUT.
pub(super) fn change(
    state: &mut State,
    nexus: u16,
    place: usize,
    cdb: &[u8; 16],
    list: &[u8],
) -> Result<Change, Sense> {
    let Some(who) = holder(state, nexus) else { return Err(Sense::ABORTED) };
    if list.len() != 24 {
        return Err(Sense::PARAMETER_LIST_LENGTH);
    }
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&list[at..at + 8]);
        u64::from_be_bytes(bytes)
    };
    let (key, other, action, kind) = (word(0), word(8), cdb[1] & 0x1f, cdb[2] & 0x0f);
    let typed = matches!(action, 0x01 | 0x02 | 0x04 | 0x05);
    if cdb[2] >> 4 != 0 || (typed && !matches!(kind, 0x1 | 0x3 | 0x5..=0x8)) {
        return Err(Sense::INVALID_FIELD);
    }
    let reservations = &mut state.luns[place].reservations;
    let registered = reservations.keys.get(&who).copied();
    let mut told: Vec<(Holder, (u8, u8))> = Vec::new();
    match action {
        0x00 | 0x06 => {
            if action == 0x00 && key != registered.unwrap_or(0) {
                return Ok(Change::Conflict);
            }
            if other == 0 {
                reservations.keys.remove(&who);
                let mut only_all = reservations.keys.is_empty();
                if let Some((owner, kind)) = &reservations.holder {
                    only_all |= *owner == who && !is_of_all(*kind);
                }
                if only_all {
                    reservations.holder = None;
                }
            } else {
                reservations.keys.insert(who, other);
            }
            reservations.generation += 1;
        }
        _ if registered != Some(key) => return Ok(Change::Conflict),
        0x01 => match &reservations.holder {
            None => reservations.holder = Some((who, kind)),
            Some(_) if reservations.held_by(&who) == Some(kind) => {}
            Some(_) => return Ok(Change::Conflict),
        },
        0x02 => match reservations.held_by(&who) {
            Some(held) if held == kind => reservations.holder = None,
            Some(_) => return Err(Sense::INVALID_RELEASE),
            None => {}
        },
        0x03 => {
            let others = reservations.keys.keys().filter(|other| **other != who);
            told = others.map(|other| (other.clone(), PREEMPTED)).collect();
            reservations.keys.clear();
            reservations.holder = None;
            reservations.generation += 1;
        }
        0x04 | 0x05 => {
            let mut ended = Vec::new();
            for (holder, &held) in &reservations.keys {
                if held == other && *holder != who {
                    ended.push(holder.clone());
                }
            }
            if ended.is_empty() && other != key {
                return Ok(Change::Conflict);
            }
            let takes_over = match &reservations.holder {
                Some((owner, _)) => ended.contains(owner) || *owner == who,
                None => false,
            };
            for holder in ended {
                reservations.keys.remove(&holder);
                told.push((holder, REGISTRATIONS_PREEMPTED));
            }
            if takes_over {
                reservations.holder = Some((who, kind));
            }
            reservations.generation += 1;
        }
        _ => return Err(Sense::INVALID_FIELD),
    }
    for nexus in state.sessions.values_mut() {
        for (_, attention) in told
            .iter()
            .filter(|((initiator, isid), _)| *initiator == nexus.initiator && *isid == nexus.isid)
        {
            nexus.attentions[place].push_back(*attention);
        }
    }
    Ok(Change::Done)
}

/// How PERSISTENT RESERVE OUT ended, if without sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Done,
    Conflict,
}
