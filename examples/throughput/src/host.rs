//! On the host: our core over the host's own sockets, and what a user would pick instead there.
//!
//! All of them move data to and from one target; processor time is that of the initiator alone, and
//! only of the time that counts: ours as the clock of the thread that runs it, theirs as the
//! scheduler's account of their process (see [`peer`]). What starting and logging in take is in
//! neither.

pub mod bare;
pub mod ours;
pub mod peer;

use std::collections::VecDeque;
use std::time::Duration;

use isboot_tests::target::{Lun, Target};

use self::bare::Bare;
use self::ours::Ours;
use self::peer::{Peer, Program};
use crate::apart::Apart;
use crate::contender::{Contender, Turn, prepare, take_turns};
use crate::core::digest;
use crate::limit::Watched;
use crate::measurement::{Measurement, Quantity, Section, find};
use crate::processor;
use crate::progress::Tell;
use crate::rig::{Place, READ_LUN, Rig, WRITE_LUN};
use crate::sample::Series;
use crate::targets::{names, settings};
use crate::workload::{Digests, Workload};

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// How often each takes its turn.
    pub rounds: usize,
    /// How long a turn is.
    pub limit: Duration,
}

/// The load of which digests may not slow down a target that can compute them.
const LARGE: Workload = Workload::read(1 << 20, 4);

/// Measures `workloads` without digests in turns with libiscsi, with our own where they are there
/// with both digests too, and each of ours with bare iSCSI; then what digests cost us at a target that
/// computes them fast, and what istgt itself takes.
///
/// # Errors
///
/// Whoever failed, and why; what could be measured until then is in `measured`.
pub fn measure(
    rig: &Rig,
    workloads: &[Workload],
    effort: Effort,
    tell: Tell<'_>,
    measured: &mut Vec<Measurement>,
) -> Result<(), String> {
    let place = rig.place();
    let apart = Apart::from_target(rig.istgt_id())?;
    let (mut ours, mut digesting) = (Ours::new(&place), Ours::new(&place));
    let (mut bare, mut bare_digesting) = (Bare::new(&place), Bare::new(&place));
    let with_theirs = workloads.iter().filter(|workload| workload.digests == Digests::None);
    let mut peers: VecDeque<(&Workload, Peer)> = with_theirs
        .map(|workload| (workload, Peer::new(Program::for_a(workload), &place)))
        .collect();
    while let Some((workload, mut theirs)) = peers.pop_front() {
        tell(&format!("host istgt: {workload}"));
        let both = workload.with(Digests::Both);
        let has_both = workloads.contains(&both);
        let mut turns = vec![Turn::new(&mut ours, workload), Turn::new(&mut theirs, workload)];
        if has_both {
            turns.push(Turn::new(&mut digesting, &both));
        }
        let to_compare = turns.len();
        turns.push(Turn::new(&mut bare, workload));
        if has_both {
            turns.push(Turn::new(&mut bare_digesting, &both));
        }
        prepare(&mut turns);
        if let Some((workload, next)) = peers.front_mut() {
            // What does not work is told when it is its turn.
            let _ = next.knock(workload);
        }
        take_turns(&mut turns, effort.rounds, effort.limit);
        let of_bare = turns.split_off(to_compare);
        let compared = keep(measured, Section::Host, settings::ISTGT, turns);
        let bare = keep(measured, Section::Limit, &settings::bare(settings::ISTGT), of_bare);
        compared.and(bare)?;
        let added = with_computing(measured, both);
        measured.extend(added);
    }
    tell("host: what istgt itself takes");
    measured.push(of_istgt(rig, &mut ours, &LARGE, effort)?);
    measured.push(of_istgt(rig, &mut digesting, &LARGE.with(Digests::Both), effort)?);
    drop((ours, digesting, apart));
    tell("host: digests at the built-in target");
    digests_at_the_built_in_target(rig, effort, measured)
}

/// What all of them reached, but for who failed; the error is of the first of those.
fn keep(
    measured: &mut Vec<Measurement>,
    section: Section,
    setting: &str,
    turns: Vec<Turn<'_>>,
) -> Result<(), String> {
    let mut failed = None;
    for turn in turns {
        match turn.figures(section, setting) {
            Ok(figures) => measured.extend(figures),
            Err(error) => failed = failed.or(Some(format!("{setting}: {error}"))),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// What a workload with both digests takes at least: what bare iSCSI takes, which computes none, and
/// computing as many bytes' CRC32C, from the cache, as fast as it goes here.
fn with_computing(measured: &[Measurement], both: Workload) -> Option<Measurement> {
    let quantity = Quantity::CpuPerGigabyte;
    let setting = settings::bare(settings::ISTGT);
    let bare = find(measured, Section::Limit, &setting, names::BARE, Some(&both), quantity)?;
    let crc = digest::seconds_per_gigabyte();
    Some(Measurement {
        section: Section::Limit,
        setting: settings::bare_and_digests(settings::ISTGT),
        contender: names::BARE.to_owned(),
        workload: Some(both),
        quantity,
        series: Series(bare.0.iter().map(|bare| bare + crc).collect()),
    })
}

/// Processor time of all of istgt for a gigabyte: where that is a second or more with one of its
/// threads at work, nobody gets more than a gigabyte a second out of it.
fn of_istgt(
    rig: &Rig,
    ours: &mut Ours,
    workload: &Workload,
    effort: Effort,
) -> Result<Measurement, String> {
    ours.prepare(workload)?;
    let mut series = Vec::new();
    for _ in 0..effort.rounds {
        let before = processor::time_of(rig.istgt_id())?;
        let sample = ours.run(workload, effort.limit)?;
        let cpu = processor::time_of(rig.istgt_id())?.saturating_sub(before);
        series.push(cpu.as_secs_f64() * 1e9 / sample.bytes as f64);
    }
    Ok(Measurement {
        section: Section::Limit,
        setting: settings::ISTGT.to_owned(),
        contender: names::ISTGT.to_owned(),
        workload: Some(*workload),
        quantity: Quantity::CpuPerGigabyte,
        series: Series(series),
    })
}

/// Ours with each kind of digests in turns, against the target of the tests: it runs in threads of
/// this process and shares the processors with us, and computes CRC32C by the instruction.
fn digests_at_the_built_in_target(
    rig: &Rig,
    effort: Effort,
    measured: &mut Vec<Measurement>,
) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("the built-in target: {error}");
    let mut builder = Target::builder("iqn.2026-11.org.example:built-in");
    for lun in [READ_LUN, WRITE_LUN] {
        let file = Lun::file(rig.image(lun)).map_err(failed)?;
        builder = builder.lun(file.number(lun.into()));
    }
    let target = builder.build();
    let server = target.serve("127.0.0.1:0").map_err(failed)?;
    let place =
        Place { portal: server.portal(), target_name: target.name().to_owned(), ..rig.place() };
    let (mut none, mut both) = (Ours::new(&place), Ours::new(&place));
    let with_both = LARGE.with(Digests::Both);
    // Its threads are this process's; ours, which is one of them, works less than the busiest.
    let mut both = Watched::new(&mut both, std::process::id());
    let mut turns = vec![Turn::new(&mut none, &LARGE), Turn::new(&mut both, &with_both)];
    take_turns(&mut turns, effort.rounds, effort.limit);
    keep(measured, Section::Host, settings::BUILT_IN, turns)?;
    measured.push(both.limit(names::BUILT_IN, settings::BUILT_IN, &with_both));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::contender::tests::Scripted;

    #[test]
    fn what_others_reached_is_kept_when_one_fails() {
        let order = Arc::default();
        let [mut first, mut second, mut well] =
            [("first", true), ("second", true), ("well", false)]
                .map(|(name, fails)| Scripted(name, Arc::clone(&order), fails));
        let workload = Workload::read(4096, 1);
        let mut turns: Vec<_> = [&mut first, &mut second, &mut well]
            .map(|contender| Turn::new(contender, &workload))
            .into();
        take_turns(&mut turns, 2, Duration::from_secs(1));
        let mut measured = Vec::new();
        let error = keep(&mut measured, Section::Host, "there", turns).unwrap_err();
        assert_eq!(error, "there: first: read 4 KiB ×1: READ(10) came back with BUSY");
        assert!(!measured.is_empty() && measured.iter().all(|one| one.contender == "well"));
    }
}
