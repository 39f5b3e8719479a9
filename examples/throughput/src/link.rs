//! On a link of a given rate: our core over smoltcp on a TAP device, beside libiscsi over the kernel's
//! TCP.
//!
//! Two networks of their own (namespaces), which nothing outside sees and which are gone with this
//! process, whatever ends it; a pair of veth between them, each end shaped by a token bucket. In the
//! one istgt; in the other a bridge, which has the veth's end, the address that libiscsi speaks
//! from, and our TAP devices as ports. So both come over the same shaped device, bucket and bridge,
//! and the target cannot tell them apart.
//!
//! Neither computes or verifies TCP checksums: between veth, bridge and TAP the kernel says of every
//! frame that its data never left the machine, and our frames go out with the sum left to be put in,
//! as an Intel controller would do it. The target sends up to 64 KiB at once (GSO), and both are
//! handed that whole: libiscsi's kernel by the bridge, ours by the TAP device, which offers large
//! receive.

pub mod ours;
pub mod shaped;
pub mod tap;

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::contender::{Turn, take_turns};
use crate::host::peer::{Peer, Program};
use crate::limit::Watched;
use crate::measurement::{Measurement, Section};
use crate::progress::Tell;
use crate::rig::{Place, Rig};
use crate::targets::{names, settings};
use crate::workload::{Digests, Workload};
use ours::Ours;
use shaped::{Rate, Shaped};
use tap::Tap;

/// The target's address, and libiscsi's; those of our stacks follow.
const TARGET: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 1);
const LIBISCSI: Ipv4Addr = Ipv4Addr::new(10, 213, 0, 2);
const PREFIX: u8 = 24;
/// Bytes of each LUN.
const LUN: u64 = 64 << 20;
/// What is measured: 64 KiB, four at a time.
const WORKLOAD: Workload = Workload::read(64 << 10, 4);

/// The link's rates, by the name that [`settings`] has for them.
#[must_use]
pub fn rates() -> [(&'static str, Rate); 2] {
    [(settings::GIGABIT, Rate::gigabits(1)), (settings::TEN_GIGABIT, Rate::gigabits(10))]
}

/// Measures all of it: at each rate ours with both digests, ours without and libiscsi, in turns.
/// The target's files go into memory or `folder`.
///
/// # Errors
///
/// What could not be set up, and what it needs: root, `/dev/net/tun`, and the programs `ip` and `tc`.
pub fn measure(
    folder: &Path,
    rounds: usize,
    limit: Duration,
    tell: Tell<'_>,
) -> Result<Vec<Measurement>, String> {
    tell("link: making two networks and a target");
    let shaped = Shaped::new(TARGET, LIBISCSI, PREFIX)?;
    let rig = shaped.at_target(|| Rig::start_at(folder, LUN, TARGET))?;
    // Progress is told here, while the thread that is in the other network measures.
    let (sender, news) = mpsc::channel();
    let turns = || every_rate(&shaped, &rig, rounds, limit, sender);
    thread::scope(|scope| {
        let worker = scope.spawn(|| shaped.at_initiator(turns));
        for line in news {
            tell(&format!("link: {line}"));
        }
        worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Ours on a device of its own, which is a port of the bridge; the numbers tell several apart.
fn ours(shaped: &Shaped, place: &Place, number: u8) -> Result<Ours, String> {
    let name = format!("isboot{number}");
    let open = Tap::open(&name, tap::ETHERNET_MTU);
    let tap = open.map_err(|error| format!("making a TAP device: {error}"))?;
    shaped.add_port(&name)?;
    let [a, b, c, d] = LIBISCSI.octets();
    Ok(Ours::new(place, tap, Ipv4Addr::new(a, b, c, d + number), number))
}

/// All turns at all rates, in the initiators' network.
fn every_rate(
    shaped: &Shaped,
    rig: &Rig,
    rounds: usize,
    limit: Duration,
    news: mpsc::Sender<String>,
) -> Result<Vec<Measurement>, String> {
    let place = rig.place();
    let say = |what: &str| {
        // Nobody listens any more: then nobody wants to know.
        let _ = news.send(what.to_owned());
    };
    say("isboot and libiscsi log in");
    let (mut both, mut none) = (ours(shaped, &place, 1)?, ours(shaped, &place, 2)?);
    let mut libiscsi = Peer::new(Program::IscsiPerf, &place);
    let with_both = WORKLOAD.with(Digests::Both);
    let mut measured = Vec::new();
    for (setting, rate) in rates() {
        shaped.limit_to(rate)?;
        say(&format!("{setting}: {WORKLOAD}, three take turns, {rounds} rounds"));
        let mut both = Watched::new(&mut both, rig.istgt_id());
        let mut turns = [
            Turn::new(&mut both, &with_both),
            Turn::new(&mut libiscsi, &WORKLOAD),
            Turn::new(&mut none, &WORKLOAD),
        ];
        take_turns(&mut turns, rounds, limit);
        for turn in turns {
            measured.extend(turn.figures(Section::Link, setting)?);
        }
        measured.push(both.limit(names::ISTGT, setting, &with_both));
    }
    Ok(measured)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::contender::Contender;

    /// TCP segments that this process's kernel network sent, and sent again (proc_pid_net(5)).
    fn segments(process: u32) -> (u64, u64) {
        let counts = fs::read_to_string(format!("/proc/{process}/net/snmp")).unwrap();
        let mut lines = counts.lines().filter(|line| line.starts_with("Tcp:"));
        let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
        let count = |name| {
            let pairs = names.split(' ').zip(values.split(' '));
            pairs
                .filter(|(known, _)| *known == name)
                .map(|(_, value)| value.parse::<u64>().unwrap())
                .sum()
        };
        (count("OutSegs"), count("RetransSegs"))
    }

    /// A stack that takes a frame for no longer than the MTU loses those that the kernel hands over as
    /// one, and nothing but the speed shows it.
    #[test]
    fn on_a_link_that_loses_nothing_next_to_nothing_is_sent_again() {
        let shaped = Shaped::new(TARGET, LIBISCSI, PREFIX).expect("needs root, ip and tc");
        let folder = std::env::temp_dir();
        let rig = shaped.at_target(|| Rig::start_at(&folder, 4 << 20, TARGET)).unwrap();
        let (place, limit) = (rig.place(), Duration::from_millis(200));
        let read = || {
            let mut ours = ours(&shaped, &place, 1)?;
            ours.prepare(&WORKLOAD)?;
            shaped.limit_to(Rate::gigabits(10))?;
            let (sent, again) = segments(rig.istgt_id());
            ours.run(&WORKLOAD, limit)?;
            let now = segments(rig.istgt_id());
            Ok((now.0 - sent, now.1 - again))
        };
        let (sent, again) = shaped.at_initiator(read).unwrap();
        assert!(sent > 1000 && again * 100 < sent, "{again} of {sent} segments again");
    }
}
