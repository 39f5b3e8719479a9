//! Compares images of the hosting kernel, or command lines of it, in turns against one istgt.
//!
//! ```text
//! cargo run --release -p throughput --example compare_kernels -- before/boot-module after/boot-module
//! … -- image "image isboot.receive_descriptors=512" --nic e1000 --only 'random read 4 KiB ×32'
//! ```

mod points;

use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};
use isboot_tests::scratch::Scratch;
use qemu_boot::plan::Nic;
use throughput::contender::{Turn, take_turns};
use throughput::guest::kernel::Kernel;
use throughput::guest::machine::Hardware;
use throughput::rig::Rig;
use throughput::sample::{Sample, Series};
use throughput::workload::{Digests, Workload};

use points::Points;

/// Compares images of the hosting kernel in turns
#[derive(Debug, Parser)]
struct Options {
    /// An image, and words of its command line after a space; the first is what the others are
    /// compared with
    #[arg(required = true)]
    images: Vec<String>,
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
    let folder = Scratch::create(&std::env::temp_dir()).map_err(|error| error.to_string())?;
    let rig = Rig::start(folder.path(), 64 << 20)?;
    let loads = options.points.wanted(loads());
    for &nic in &options.nic {
        let hardware =
            Hardware { processor: options.processor.clone(), ..Hardware::new(&options.qemu, nic) };
        let mut kernels = Vec::new();
        for (number, image) in options.images.iter().enumerate() {
            let mut words = image.split(' ');
            let path = Path::new(words.next().unwrap_or_default());
            // With the same session identifier each would end the other's session.
            let isid = format!("isboot.isid=800000be0c{number:02x}");
            let words: Vec<&str> = words.chain([isid.as_str()]).collect();
            let (portal, name) = (rig.portal(), rig.target_name());
            kernels.push(Kernel::boot(&hardware, path, &words, portal, name, rig.bytes())?);
        }
        println!("{}", nic.to_possible_value().map_or(String::new(), |n| n.get_name().to_owned()));
        let limit = options.points.limit();
        let [first, others @ ..] = &mut kernels[..] else { return Ok(()) };
        for load in &loads {
            if others.is_empty() {
                let mut turns = [Turn::new(first, load)];
                take_turns(&mut turns, options.points.rounds, limit);
                let [Turn { seen, .. }] = turns;
                println!("{load:<36} {}{}", shown(&throughput(&seen?)), profile(first));
            }
            for other in &mut *others {
                let mut turns = [Turn::new(first, load), Turn::new(other, load)];
                take_turns(&mut turns, options.points.rounds, limit);
                let [before, after] = turns.map(|turn| turn.seen);
                let (before, after) = (throughput(&before?), throughput(&after?));
                let ratio = after.ratio(&before);
                println!(
                    "{load:<36} {}  {}  ×{:.3} ({:.2}–{:.2})",
                    shown(&before),
                    shown(&after),
                    ratio.median(),
                    ratio.spread().0,
                    ratio.spread().1
                );
            }
        }
    }
    Ok(())
}

/// In MB/s.
fn throughput(samples: &[Sample]) -> Series {
    Series(samples.iter().map(|sample| sample.throughput() / 1e6).collect())
}

/// Where the time of the last run went, in percent, where the kernel was asked for that.
fn profile(kernel: &Kernel) -> String {
    let Some(answer) = kernel.last_answer() else { return String::new() };
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
