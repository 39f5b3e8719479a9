//! Blocks without storage: UNMAP, WRITE SAME, and what tells of them (SBC-3 §4.7, 5.28, 5.40).

use super::media::extent_of;
use super::operation;
use super::sense::Sense;
use crate::target::lun::{Lun, Thin};
use crate::target::rules::Violation;
use crate::target::state::State;

/// Content of the Logical Block Provisioning page (B2h).
pub(super) fn page(lun: &Lun) -> Vec<u8> {
    let flags = lun.thin.map_or(0, |thin| {
        u8::from(thin.unmap) << 7
            | u8::from(thin.write_same_16) << 6
            | u8::from(thin.write_same_10) << 5
            | u8::from(thin.reads_zeros) << 2
    });
    // Thin provisioning is type 2.
    vec![0, flags, u8::from(lun.thin.is_some()) << 1, 0]
}

/// The blocks of a WRITE SAME, as far as the LUN can do it. What the LUN told before is a rule.
pub(super) fn judge_write_same(
    state: &mut State,
    nexus: u16,
    lun: &Lun,
    cdb: &[u8; 16],
) -> Result<(), Sense> {
    let (start, count) = extent_of(cdb);
    if lun.read_only {
        return Err(Sense::WRITE_PROTECTED);
    }
    if count == 0 || cdb[1] & !0x08 != 0 {
        note(state, nexus, format!("WRITE SAME of {count} blocks, flags {:#04x}", cdb[1]));
        return Err(Sense::INVALID_FIELD);
    }
    if start.checked_add(u64::from(count)).is_none_or(|end| end > lun.blocks()) {
        return Err(Sense::OUT_OF_RANGE);
    }
    if lun.write_same_blocks != 0 && u64::from(count) > lun.write_same_blocks {
        let most = lun.write_same_blocks;
        note(
            state,
            nexus,
            format!("WRITE SAME of {count} blocks, MAXIMUM WRITE SAME LENGTH {most}"),
        );
        return Err(Sense::INVALID_FIELD);
    }
    let releases = |thin: &Thin| match cdb[0] {
        operation::WRITE_SAME_10 => thin.write_same_10,
        _ => thin.write_same_16,
    };
    if cdb[1] & 0x08 != 0 && !lun.thin.as_ref().is_some_and(releases) {
        note(state, nexus, "WRITE SAME with UNMAP where page B2h does not tell of it".to_owned());
        return Err(Sense::INVALID_FIELD);
    }
    Ok(())
}

/// Writes the block to all of them, or releases them when it is zeros and that is wanted.
pub(super) fn write_same(
    state: &mut State,
    place: usize,
    lun: &Lun,
    cdb: &[u8; 16],
    block: &[u8],
) -> Result<Vec<u8>, Sense> {
    let (start, count) = extent_of(cdb);
    let size = u64::from(lun.block_size);
    if cdb[1] & 0x08 != 0 && block.iter().all(|&byte| byte == 0) {
        state.statistics.unmapped_blocks += u64::from(count);
        let discarded = lun.backing.discard(start * size, u64::from(count) * size);
        return discarded.map(|()| Vec::new()).map_err(|_| Sense::unwritable(start));
    }
    if state.luns[place].pool_full {
        return Err(Sense::SPACE_ALLOCATION_FAILED);
    }
    state.statistics.same_blocks += u64::from(count);
    for at in start..start + u64::from(count) {
        lun.backing.write(at * size, block).map_err(|_| Sense::unwritable(at))?;
    }
    Ok(Vec::new())
}

/// Releases the whole granules of each descriptor. Limits that page B0h told of are rules.
pub(super) fn unmap(
    state: &mut State,
    nexus: u16,
    place: usize,
    lun: &Lun,
    list: &[u8],
) -> Result<Vec<u8>, Sense> {
    let Some(thin) = lun.thin.filter(|thin| thin.unmap) else {
        note(state, nexus, "UNMAP where page B2h does not tell of it".to_owned());
        return Err(Sense::INVALID_OPERATION);
    };
    if lun.read_only {
        return Err(Sense::WRITE_PROTECTED);
    }
    let Some((header, descriptors)) = list.split_at_checked(8) else {
        note(state, nexus, format!("UNMAP parameter list of {} bytes", list.len()));
        return Err(Sense::PARAMETER_LIST_LENGTH);
    };
    let told = |at: usize| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
    if told(0) + 2 != list.len() || told(2) != descriptors.len() || descriptors.len() % 16 != 0 {
        note(state, nexus, format!("UNMAP parameter list {list:02x?}"));
        return Err(Sense::INVALID_PARAMETER);
    }
    let mut extents = Vec::new();
    for descriptor in descriptors.chunks_exact(16) {
        let word = |at: usize| {
            let bytes =
                [descriptor[at], descriptor[at + 1], descriptor[at + 2], descriptor[at + 3]];
            u64::from(u32::from_be_bytes(bytes))
        };
        let (start, count) = (word(0) << 32 | word(4), word(8));
        if start.checked_add(count).is_none_or(|end| end > lun.blocks()) {
            return Err(Sense::OUT_OF_RANGE);
        }
        extents.push((start, count));
    }
    let blocks: u64 = extents.iter().map(|(_, count)| count).sum();
    if blocks > u64::from(thin.unmap_blocks)
        || extents.len() as u64 > u64::from(thin.unmap_descriptors)
    {
        let descriptors = extents.len();
        note(
            state,
            nexus,
            format!("UNMAP of {blocks} blocks by {descriptors} descriptors: {thin:?}"),
        );
        return Err(Sense::INVALID_PARAMETER);
    }
    state.statistics.unmapped_blocks += blocks;
    if state.luns[place].bad_blocks.iter().any(|bad| {
        extents.iter().any(|(start, count)| bad.start < start + count && *start < bad.end)
    }) {
        return Err(Sense::HARDWARE);
    }
    let (size, granule) = (u64::from(lun.block_size), u64::from(thin.granularity.max(1)));
    let shift = u64::from(thin.alignment) % granule;
    for (start, count) in extents {
        let first = (start + granule - shift).div_ceil(granule) * granule + shift - granule;
        let whole = (start + count + granule - shift) / granule;
        let end = (whole * granule + shift).saturating_sub(granule);
        if first < end {
            let discarded = lun.backing.discard(first * size, (end - first) * size);
            discarded.map_err(|_| Sense::unwritable(first))?;
        }
    }
    Ok(Vec::new())
}

fn note(state: &mut State, nexus: u16, what: String) {
    let connection = state.sessions.get(&nexus).map_or(0, |nexus| nexus.connection);
    state.violations.push(Violation { clause: "SBC-3 §6.6.4", what, connection });
}
