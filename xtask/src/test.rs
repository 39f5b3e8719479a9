//! `cargo xtask test`: every step, with its time; what failed and how to repeat it; a table.

use std::fs;
use std::time::{Duration, Instant};

use clap::Args;

use crate::process::{Task, build_folder, is_interrupted, root};
use crate::{boot, conformance, fuzz, images, instructions, newer_qemu, packages, panics, proof};

/// What to run.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Leave a step out; the summary says so. May be given several times
    #[arg(long, value_name = "STEP")]
    skip: Vec<String>,
    /// Run only this step. May be given several times
    #[arg(long, value_name = "STEP", conflicts_with = "skip")]
    only: Vec<String>,
    /// List the steps
    #[arg(long)]
    list: bool,
}

/// A step of the test.
struct Step {
    name: &'static str,
    what: &'static str,
    run: fn() -> Outcome,
}

/// A word on what was found, or the reason of the failure with the command that repeats it.
type Outcome = Result<String, String>;

const STEPS: [Step; 18] = [
    Step { name: "setup", what: "what the tests need is installed", run: setup },
    Step { name: "fmt", what: "formatting", run: fmt },
    Step { name: "clippy", what: "lints, warnings denied, in every member", run: clippy },
    Step { name: "doc", what: "documentation, warnings denied", run: doc },
    Step {
        name: "unit",
        what: "unit and property tests, and examples in the documentation",
        run: unit,
    },
    Step { name: "core", what: "the core depends on nothing that does input or output", run: core },
    Step {
        name: "bare-metal",
        what: "the crates build where there is no operating system",
        run: bare_metal,
    },
    Step { name: "panics", what: "no path of the core leads to a panic", run: panics::check },
    Step {
        name: "instructions",
        what: "the core's commands take the instructions and copies of the baseline",
        run: instructions::check,
    },
    Step {
        name: "sanitize",
        what: "the tests of core and driver under AddressSanitizer, where there is a nightly toolchain",
        run: sanitize,
    },
    Step {
        name: "fuzz",
        what: "every fuzz target for a minute, from its corpus",
        run: fuzz::check,
    },
    Step {
        name: "conformance",
        what: "every row of the conformance suites, and the documents about them",
        run: conformance::check,
    },
    Step { name: "integration", what: "real targets over std::net", run: integration },
    Step { name: "images", what: "the kernel's images, each under 1 MiB", run: image },
    Step { name: "boots", what: "QEMU boots: firmware, NICs, digests", run: boots },
    Step {
        name: "variants",
        what: "QEMU boots: CHAP, IPv6, VLAN, several NICs, 4096-byte blocks, interrupts, less than all",
        run: variants,
    },
    Step { name: "faults", what: "QEMU boots that must fail, and how", run: faults },
    Step { name: "package", what: "the three crates can be published", run: package },
];

/// Runs the steps that were asked for; the status is 1 when one failed.
pub(crate) fn run(options: &Options) -> Result<u8, String> {
    if options.list {
        for step in &STEPS {
            println!("{:<12} {}", step.name, step.what);
        }
        return Ok(0);
    }
    for name in options.skip.iter().chain(&options.only) {
        if !STEPS.iter().any(|step| step.name == name) {
            return Err(format!("there is no step `{name}`; `cargo xtask test --list` names them"));
        }
    }
    let wanted = |step: &Step| {
        let named = |names: &[String]| names.iter().any(|name| name == step.name);
        if options.only.is_empty() { !named(&options.skip) } else { named(&options.only) }
    };
    let start = Instant::now();
    let mut results: Vec<(&Step, Option<(Outcome, Duration)>)> = Vec::new();
    for (number, step) in STEPS.iter().enumerate() {
        if !wanted(step) || is_interrupted() {
            // With --only, the others were never meant to run.
            if options.only.is_empty() {
                results.push((step, None));
            }
            continue;
        }
        println!("[{:>2}/{}] {}: {}", number + 1, STEPS.len(), step.name, step.what);
        let step_start = Instant::now();
        let outcome = (step.run)();
        let taken = step_start.elapsed();
        match &outcome {
            Ok(detail) => println!("        ok in {:.1} s: {detail}", taken.as_secs_f64()),
            Err(reason) => println!(
                "{reason}\n        FAILED in {:.1} s; this step again: cargo xtask test --only {}",
                taken.as_secs_f64(),
                step.name
            ),
        }
        results.push((step, Some((outcome, taken))));
    }
    Ok(summary(&results, start.elapsed()))
}

fn summary(results: &[(&Step, Option<(Outcome, Duration)>)], taken: Duration) -> u8 {
    println!("\n{:<12} {:<8} {:>8}  what", "step", "result", "time");
    let (mut passed, mut failed, mut skipped) = (0, 0, Vec::new());
    for (step, result) in results {
        let (word, time) = match result {
            None => {
                skipped.push(step.name);
                ("skipped", "–".to_owned())
            }
            Some((outcome, taken)) => {
                let word = if outcome.is_ok() { "passed" } else { "FAILED" };
                *(if outcome.is_ok() { &mut passed } else { &mut failed }) += 1;
                (word, format!("{:.1} s", taken.as_secs_f64()))
            }
        };
        println!("{:<12} {word:<8} {time:>8}  {}", step.name, step.what);
    }
    if !skipped.is_empty() {
        println!("skipped: {}", skipped.join(", "));
    }
    println!("in {:.0} s:\n{passed} passed, {failed} failed", taken.as_secs_f64());
    u8::from(failed > 0)
}

fn setup() -> Outcome {
    packages::ensure(packages::Purpose::Test)?;
    fuzz::ensure_fuzzer()?;
    newer_qemu::ensure()?;
    Ok("everything is there".to_owned())
}

fn fmt() -> Outcome {
    // What formats takes no configuration of cargo's.
    let kernel = Task::cargo("fmt --check --manifest-path examples/boot-module/Cargo.toml");
    all(&[Task::cargo("fmt --all --check"), kernel])
}

fn clippy() -> Outcome {
    let deny = |task: Task| task.argument("--").argument("-D").argument("warnings");
    all(&[
        deny(Task::cargo("clippy --quiet --workspace --all-targets --all-features")),
        deny(Task::cargo("clippy --quiet --package isboot --no-default-features")),
        deny(built_aside(images::in_kernel("clippy --quiet --release"))),
    ])
}

fn doc() -> Outcome {
    let deny = |task: Task| task.variable("RUSTDOCFLAGS", "-D warnings");
    all(&[
        deny(Task::cargo("doc --quiet --workspace --no-deps --all-features")),
        deny(built_aside(images::in_kernel("doc --quiet --no-deps --document-private-items"))),
    ])
}

fn unit() -> Outcome {
    all(&[
        runner("--workspace --exclude isboot-tests --all-features"),
        runner("--package isboot --no-default-features"),
        built_aside(images::in_kernel("test --quiet")),
        Task::cargo("test --quiet --doc --workspace --all-features"),
    ])
}

fn core() -> Outcome {
    let task = proof::tree_task();
    let ended = task.capture()?;
    if !ended.is_success() {
        return Err(failure(&task, &ended.output));
    }
    proof::check_tree(&ended.output)
}

fn bare_metal() -> Outcome {
    all(&proof::bare_metal_tasks())
}

/// Safe code needs it least; what it stands on is not all safe.
fn sanitize() -> Outcome {
    const NO_MIRI: &str = "Miri is not run: it needs a component that toolchains seldom have";
    if !fuzz::has_nightly() {
        return Ok(format!("SKIPPED: there is no nightly toolchain. {NO_MIRI}"));
    }
    let packages = "--package isboot --package isboot-ibft --package isboot-transport \
                    --package isboot-exercise --lib --tests";
    let words = ["run", "nightly", "cargo", "test", "--quiet", "--target", SANITIZED];
    let task = Task::new("rustup", words.into_iter().chain(packages.split_whitespace()))
        .argument("--target-dir")
        .argument(build_folder().join("sanitize"))
        .variable("RUSTFLAGS", "-Zsanitizer=address");
    all(&[task]).map(|_| format!("AddressSanitizer found nothing. {NO_MIRI}"))
}

/// Named, so that build scripts are built without the sanitizer.
const SANITIZED: &str = "x86_64-unknown-linux-gnu";

fn integration() -> Outcome {
    all(&[runner("--package isboot-tests")])
}

fn image() -> Outcome {
    images::build()?;
    images::sizes()
}

fn boots() -> Outcome {
    // With --only, nobody fetched it.
    newer_qemu::ensure()?;
    shown(&["--matrix=ci"], "boots.json")
}

fn variants() -> Outcome {
    newer_qemu::ensure()?;
    for (options, report) in VARIANTS {
        brief(options, report)?;
    }
    for options in INTERRUPTS {
        brief(options, &(options.replace("--", "").replace(' ', "-") + ".json"))?;
    }
    shown(&["--degraded", "all"], "degraded.json")
}

/// What the matrix leaves out, and the report of each.
const VARIANTS: [(&str, &str); 9] = [
    ("--start direct --chap one-way", "chap.json"),
    ("--start direct --chap mutual --digest both", "mutual-chap.json"),
    ("--start direct --ip v6 --nic e1000e", "ipv6.json"),
    ("--start direct --ip v6 --vlan 7 --nic e1000e -- isboot.address=slaac", "slaac.json"),
    ("--start direct --vlan 7 --digest both", "vlan.json"),
    (
        "--start direct --ip v6 --vlan 4094 --chap mutual --digest both --nic e1000e",
        "ipv6-vlan-mutual-chap.json",
    ),
    ("--start direct --block-size 4096 --nic e1000e", "blocks.json"),
    ("--start direct --more-nics --nic e1000e", "more-nics.json"),
    ("--target builtin --nic e1000e --digest both", "builtin.json"),
];

/// Every way to interrupt, every card, every firmware, and each card handed on.
const INTERRUPTS: [&str; 10] = [
    "--interrupts none --nic e1000 --start direct --twice",
    "--interrupts intx --nic e1000 --start direct --twice",
    "--interrupts intx --nic e1000e --firmware uefi",
    "--interrupts intx --nic e1000-82544gc --start direct --twice",
    "--interrupts intx --nic e1000-82545em --start direct --twice",
    "--interrupts msi --nic e1000e --start direct --twice",
    "--interrupts msi --nic igb --start direct",
    "--interrupts msix --nic igb --start direct --twice --digest both",
    "--interrupts msix --nic e1000e --start direct --twice --digest both",
    "--interrupts msix --nic e1000e --firmware uefi",
];

fn faults() -> Outcome {
    shown(&["--fault", "all"], "faults.json")
}

/// Packs the three crates, and builds what was packed as one workspace.
///
/// Cargo's own verification unpacks them below its home and never looks again: a later run would be
/// told about the sources of an earlier one. (Times in an archive are all the same: cargo would see no
/// change, hence `--touch`.)
fn package() -> Outcome {
    const CRATES: [&str; 3] = ["isboot-ibft", "isboot-transport", "isboot"];
    let publish = build_folder().join("publish");
    let unpacked = publish.join("unpacked");
    let failed = |what: &str, error| format!("{what} {}: {error}", unpacked.display());
    if unpacked.exists() {
        fs::remove_dir_all(&unpacked).map_err(|error| failed("removing", error))?;
    }
    fs::create_dir_all(&unpacked).map_err(|error| failed("creating", error))?;
    let packed = CRATES.map(|name| format!("{name}-{}", env!("CARGO_PKG_VERSION")));
    let members = packed.each_ref().map(|folder| format!("{folder:?}")).join(", ");
    let mut manifest =
        format!("[workspace]\nresolver = \"3\"\nmembers = [{members}]\n\n[patch.crates-io]\n");
    for (name, folder) in CRATES.iter().zip(&packed) {
        manifest += &format!("{name} = {{ path = {folder:?} }}\n");
    }
    fs::write(unpacked.join("Cargo.toml"), manifest)
        .map_err(|error| failed("writing in", error))?;
    fs::copy(root().join("Cargo.lock"), unpacked.join("Cargo.lock"))
        .map_err(|error| failed("copying Cargo.lock to", error))?;

    let mut pack = Task::cargo("package --quiet --allow-dirty --no-verify");
    for name in CRATES {
        pack = pack.argument("--package").argument(name);
    }
    let mut tasks = vec![pack.argument("--target-dir").argument(&publish)];
    for folder in &packed {
        let archive = publish.join("package").join(format!("{folder}.crate"));
        tasks.push(
            Task::new("tar", ["--extract", "--touch", "--gzip", "--file"])
                .argument(archive)
                .argument("--directory")
                .argument(&unpacked),
        );
    }
    tasks.push(
        Task::cargo("check --quiet --workspace --manifest-path")
            .argument(unpacked.join("Cargo.toml"))
            .argument("--target-dir")
            .argument(&publish),
    );
    all(&tasks)
}

/// Runs the tasks until one fails.
fn all(tasks: &[Task]) -> Outcome {
    for task in tasks {
        let ended = task.capture()?;
        if !ended.is_success() {
            return Err(failure(task, &ended.output));
        }
    }
    Ok(match tasks {
        [task] => task.to_string(),
        _ => format!("{} commands", tasks.len()),
    })
}

/// A run of qemu-boot that is shown while it happens, with its report left in the build folder.
fn shown(options: &[&str], report: &str) -> Outcome {
    let folder = build_folder().join("reports");
    fs::create_dir_all(&folder)
        .map_err(|error| format!("creating {}: {error}", folder.display()))?;
    let report = folder.join(report);
    let path = report.to_string_lossy();
    // First: what comes after `--` is for the kernel.
    let options = [&["--report", &path], options].concat();
    let task = boot::task(&options);
    let ended = task.show()?;
    if !ended.is_success() {
        return Err(failure(&task, &ended.output));
    }
    Ok(format!("report in {}", report.strip_prefix(root()).unwrap_or(&report).display()))
}

/// The same, in a line.
fn brief(options: &str, report: &str) -> Outcome {
    shown(&[&["--brief"], &options.split(' ').collect::<Vec<_>>()[..]].concat(), report)
}

fn failure(task: &Task, output: &str) -> String {
    format!("{}\n        repeat: {task}", output.trim_end())
}

/// Tests by nextest where it is installed: it tells which test hangs.
fn runner(packages: &str) -> Task {
    if packages::has_program("cargo-nextest") {
        Task::cargo(&format!("nextest run --no-fail-fast --status-level fail {packages}"))
    } else {
        Task::cargo(&format!("test --quiet --no-fail-fast --lib --bins --tests {packages}"))
    }
}

fn built_aside(task: Task) -> Task {
    task.argument("--target-dir").argument(images::kernel_build_folder())
}
