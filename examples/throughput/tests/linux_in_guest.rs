//! Linux with open-iscsi and fio under measure: booted once in QEMU, against a real istgt.

mod loads;

use std::path::Path;
use std::time::Duration;

use isboot_tests::scratch::Scratch;
use qemu_boot::plan::Nic;
use throughput::guest::linux::Linux;
use throughput::guest::machine::Hardware;
use throughput::rig::Rig;
use throughput::workload::{Digests, Workload};

#[test]
fn one_boot_runs_several_loads_with_and_without_digests() {
    let scratch = Scratch::new(env!("CARGO_TARGET_TMPDIR"));
    let rig = Rig::start(scratch.path(), 8 << 20).unwrap();
    let hardware = Hardware::new(Path::new("qemu-system-x86_64"), Nic::E1000e);
    let mut linux = Linux::boot(&hardware, rig.portal(), rig.target_name(), rig.bytes()).unwrap();
    let limit = Duration::from_millis(100);
    let read = Workload::read(1 << 20, 4);
    let workloads = [
        read,
        Workload::random_read(4096, 32),
        Workload::write(64 << 10, 4),
        read.with(Digests::Both),
        Workload::write(4096, 1).with(Digests::Header),
    ];
    loads::run_each(&mut linux, &workloads, limit);
}
