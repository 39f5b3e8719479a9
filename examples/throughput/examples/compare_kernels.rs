//! Compares images of the hosting kernel, or command lines of it, in turns against one istgt.
//!
//! ```text
//! cargo run --release -p throughput --example compare_kernels -- before/boot-module after/boot-module
//! … -- image --bare --nic e1000,e1000e --only read
//! … -- image "image isboot.receive_descriptors=512" --nic e1000 --only 'random read 4 KiB ×32'
//! ```

mod points;

use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};
use isboot_tests::scratch::Scratch;
use qemu_boot::event::Event;
use qemu_boot::plan::Nic;
use throughput::apart::Apart;
use throughput::contender::{Contender, Turn, take_turns};
use throughput::guest::bare::Bare;
use throughput::guest::kernel::Kernel;
use throughput::guest::machine::Hardware;
use throughput::network;
use throughput::rig::Rig;
use throughput::sample::{Sample, Series};
use throughput::workload::{Digests, Operation, Workload};

use points::Points;

/// Compares images of the hosting kernel in turns
#[derive(Debug, Parser)]
struct Options {
    /// An image, and words of its command line after a space; the first is what the others are
    /// compared with
    #[arg(required = true)]
    images: Vec<String>,
    /// Also bare iSCSI, in turns with the first: what the target leaves to an initiator on our stack
    #[arg(long)]
    bare: bool,
    /// The network cards
    #[arg(long, value_enum, value_delimiter = ',', default_value = "e1000e")]
    nic: Vec<Nic>,
    /// QEMU's processor model
    #[arg(long, default_value = "qemu64,+rdrand")]
    processor: String,
    /// The QEMU to run
    #[arg(long, default_value = "qemu-system-x86_64")]
    qemu: PathBuf,
    #[command(flatten)]
    points: Points,
}

fn main() -> Result<(), String> {
    let options = Options::parse();
    network::leave_for_an_unpaced_one()?;
    let folder = Scratch::create(&std::env::temp_dir()).map_err(|error| error.to_string())?;
    let rig = Rig::start(folder.path(), 64 << 20)?;
    let _apart = Apart::target_alone(rig.istgt_id())?;
    let loads = options.points.wanted(loads());
    for &nic in &options.nic {
        let hardware =
            Hardware { processor: options.processor.clone(), ..Hardware::new(&options.qemu, nic) };
        let (portal, name) = (rig.portal(), rig.target_name());
        let mut kernels = Vec::new();
        let mut bare = None;
        for (number, image) in options.images.iter().enumerate() {
            let mut words = image.split(' ');
            let path = Path::new(words.next().unwrap_or_default());
            // With the same session identifier each would end the other's session.
            let isid = format!("isboot.isid=800000be0c{number:02x}");
            let mut words: Vec<&str> = words.collect();
            let (bytes, digests) = (rig.bytes(), Digests::None);
            if options.bare && number == 0 {
                bare = Some(Bare::boot(&hardware, path, &words, portal, name, bytes, digests)?);
            }
            words.push(&isid);
            kernels.push(Kernel::boot(&hardware, path, &words, portal, name, bytes, digests)?);
        }
        println!("{}", nic.to_possible_value().map_or(String::new(), |n| n.get_name().to_owned()));
        let limit = options.points.limit();
        let [first, others @ ..] = &mut kernels[..] else { return Ok(()) };
        for load in &loads {
            if others.is_empty() && bare.is_none() {
                let mut turns = [Turn::new(first, load)];
                take_turns(&mut turns, options.points.rounds, limit);
                let [Turn { seen, .. }] = turns;
                let profile = profile(first.last_answer());
                println!("{load:<36} {}{profile}", shown(&throughput(&seen?)));
            }
            for other in &mut *others {
                let [before, after] = in_turns(first, other, load, &options.points)?;
                let ratio = times(&after, &before);
                println!("{load:<36} {}  {}  {ratio}", shown(&before), shown(&after));
            }
            if let Some(bare) = bare.as_mut().filter(|_| load.operation == Operation::Read) {
                let [ours, theirs] = in_turns(first, bare, load, &options.points)?;
                let ratio = times(&ours, &theirs);
                println!("{load:<36} {}  bare {}  {ratio}", shown(&ours), shown(&theirs));
                let profiles = [first.last_answer(), bare.last_answer()].map(profile);
                for profile in profiles.iter().filter(|profile| !profile.is_empty()) {
                    println!("{:<36}{profile}", "");
                }
            }
        }
    }
    Ok(())
}

/// What two reach with the same load, in MB/s.
fn in_turns(
    one: &mut dyn Contender,
    other: &mut dyn Contender,
    load: &Workload,
    points: &Points,
) -> Result<[Series; 2], String> {
    let mut turns = [Turn::new(one, load), Turn::new(other, load)];
    take_turns(&mut turns, points.rounds, points.limit());
    let [one, other] = turns.map(|turn| turn.seen);
    Ok([throughput(&one?), throughput(&other?)])
}

/// In MB/s.
fn throughput(samples: &[Sample]) -> Series {
    Series(samples.iter().map(|sample| sample.throughput() / 1e6).collect())
}

/// Where the time of the last run went, in percent, where the kernel was asked for that.
fn profile(answer: Option<&Event>) -> String {
    let Some(answer) = answer else { return String::new() };
    let Some(nanoseconds) = answer.number("nanoseconds") else { return String::new() };
    let stages = ["kernel", "stack", "registers", "session", "digest", "waiting"];
    let mut text = String::new();
    for stage in stages {
        if let Some(spent) = answer.number(stage) {
            let share = spent as f64 * 100_000.0 / nanoseconds as f64;
            text.push_str(&format!("  {stage} {share:.0} %"));
        }
    }
    if let (Some(accesses), Some(bytes)) =
        (answer.number("register_accesses"), answer.number("bytes"))
    {
        text.push_str(&format!(
            "  {:.3} register accesses/1448 B",
            accesses as f64 * 1448.0 / bytes as f64
        ));
    }
    text
}

/// How many times the other the one is, round by round.
fn times(one: &Series, other: &Series) -> String {
    let ratio = one.ratio(other);
    let (least, most) = ratio.spread();
    format!("×{:.3} ({least:.2}–{most:.2})", ratio.median())
}

/// Median and spread, in MB/s.
fn shown(series: &Series) -> String {
    let (least, most) = series.spread();
    format!("{:>6.1} MB/s ({least:.0}–{most:.0})", series.median())
}

fn loads() -> Vec<Workload> {
    let plain = [
        Workload::random_read(4096, 1),
        Workload::random_read(4096, 32),
        Workload::read(32 << 10, 1),
        Workload::read(1 << 20, 1),
        Workload::read(1 << 20, 4),
        Workload::write(4096, 1),
        Workload::write(64 << 10, 4),
        Workload::write(1 << 20, 1),
        Workload::write(1 << 20, 4),
    ];
    let both = [Workload::read(1 << 20, 4), Workload::write(1 << 20, 4)];
    plain.into_iter().chain(both.map(|load| load.with(Digests::Both))).collect()
}
