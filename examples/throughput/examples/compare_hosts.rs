//! Single points of the host's rows: ours over its sockets in turns with libiscsi and with bare iSCSI, or
//! alone, so that its system calls can be counted.
//!
//! ```text
//! cargo run --release -p throughput --example compare_hosts -- --only 'read 1 MiB'
//! strace -cf target/release/examples/compare_hosts --alone --only 'read 4 KiB ×1'
//! ```

mod points;

use clap::Parser;
use isboot_tests::scratch::Scratch;
use throughput::apart::Apart;
use throughput::contender::{Turn, take_turns};
use throughput::host::bare::Bare;
use throughput::host::ours::Ours;
use throughput::host::peer::{Peer, Program};
use throughput::network;
use throughput::rig::Rig;
use throughput::sample::{Sample, Series};
use throughput::workload::{Digests, Workload};

use points::Points;

/// Single points of the host's rows
#[derive(Debug, Parser)]
struct Options {
    #[command(flatten)]
    points: Points,
    /// Without libiscsi and bare iSCSI
    #[arg(long)]
    alone: bool,
    /// With both digests, when alone
    #[arg(long, requires = "alone")]
    both: bool,
}

fn main() -> Result<(), String> {
    let options = Options::parse();
    network::leave_for_an_unpaced_one()?;
    let folder = Scratch::create(&std::env::temp_dir()).map_err(|error| error.to_string())?;
    let rig = Rig::start(folder.path(), 64 << 20)?;
    let _apart = Apart::from_target(rig.istgt_id())?;
    let place = rig.place();
    let (mut ours, mut digesting) = (Ours::new(&place), Ours::new(&place));
    let (mut bare, mut bare_both) = (Bare::new(&place), Bare::new(&place));
    let limit = options.points.limit();
    for load in options.points.wanted(loads()) {
        let both = load.with(Digests::Both);
        let mut theirs = Peer::new(Program::for_a(&load), &place);
        let of_ours = if options.both { &both } else { &load };
        let mut turns = vec![Turn::new(&mut ours, of_ours)];
        if !options.alone {
            turns.push(Turn::new(&mut digesting, &both));
            turns.push(Turn::new(&mut theirs, &load));
            turns.push(Turn::new(&mut bare, &load));
            turns.push(Turn::new(&mut bare_both, &both));
        }
        take_turns(&mut turns, options.points.rounds, limit);
        let seen: Result<Vec<Vec<Sample>>, String> = turns.into_iter().map(|t| t.seen).collect();
        println!("{load}");
        let names = ["ours", "… both digests", "libiscsi", "bare iSCSI", "… both digests"];
        let [ours, others @ ..] = &seen?[..] else { continue };
        for (name, samples) in names.iter().zip(std::iter::once(ours).chain(others)) {
            let (speed, cpu) = (speed(samples), cpu(samples));
            let (least, most) = speed.spread();
            println!(
                "  {name:<16} {:>7.1} MB/s ({least:.0}–{most:.0}), ours {:.2} of it;  {:.3} s/GB, ours {:.2}",
                speed.median(),
                self::speed(ours).ratio(&speed).median(),
                cpu.median(),
                self::cpu(ours).ratio(&cpu).median(),
            );
        }
    }
    Ok(())
}

fn speed(samples: &[Sample]) -> Series {
    Series(samples.iter().map(|sample| sample.throughput() / 1e6).collect())
}

fn cpu(samples: &[Sample]) -> Series {
    Series(samples.iter().filter_map(Sample::cpu_per_gigabyte).collect())
}

fn loads() -> Vec<Workload> {
    let sizes = [4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
    let both = |size| [1, 4, 32].map(|depth| (size, depth));
    let points: Vec<(u32, u16)> = sizes.into_iter().flat_map(both).collect();
    let reads = points.iter().map(|&(size, depth)| Workload::read(size, depth));
    let writes = points.iter().map(|&(size, depth)| Workload::write(size, depth));
    reads.chain(writes).collect()
}
