//! Our hosting kernel under measure: booted once in QEMU, against a real istgt.

mod image;
mod loads;

use std::path::Path;
use std::time::Duration;

use isboot_tests::scratch::Scratch;
use qemu_boot::plan::Nic;
use throughput::contender::Contender;
use throughput::guest::kernel::Kernel;
use throughput::guest::machine::Hardware;
use throughput::rig::Rig;
use throughput::workload::{Digests, Workload};

#[test]
fn one_boot_runs_several_loads_with_and_without_digests() {
    let image = image::image();
    let scratch = Scratch::new(env!("CARGO_TARGET_TMPDIR"));
    let rig = Rig::start(scratch.path(), 8 << 20).unwrap();
    let hardware = Hardware::new(Path::new("qemu-system-x86_64"), Nic::E1000e);
    let (portal, name) = (rig.portal(), rig.target_name());
    let mut kernel =
        Kernel::boot(&hardware, &image, &[], portal, name, rig.bytes(), Digests::None).unwrap();
    // What was measured at its start says so: ten times as fast as `rep movsb` where that is emulated.
    assert_eq!(kernel.last_answer().and_then(|answer| answer.field("copies")), Some("moves"));
    let limit = Duration::from_millis(50);
    let read = Workload::read(1 << 20, 4);
    let workloads = [
        read,
        Workload::random_read(4096, 32),
        Workload::write(64 << 10, 4),
        read.with(Digests::Both),
        Workload::write(4096, 1).with(Digests::Both),
    ];
    loads::run_each(&mut kernel, &workloads, limit);

    // dd ends with the bytes that it was to read, and not with the time.
    assert_eq!(kernel.dd(Digests::None, 5 << 20).unwrap().bytes, 5 << 20);

    // A load that does not fit is refused, and the next one runs.
    let error = kernel.run(&Workload::read(1 << 20, 33), limit).unwrap_err();
    assert!(error.starts_with("depth is out of bounds"), "{error}");
    kernel.run(&read, limit).unwrap();
    kernel.end().unwrap();
}
