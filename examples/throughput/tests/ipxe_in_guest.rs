//! iPXE's INT 13h under measure, against a real istgt.

use std::path::Path;
use std::time::Duration;

use isboot_tests::scratch::Scratch;
use qemu_boot::plan::Nic;
use throughput::contender::Contender;
use throughput::guest::ipxe::Ipxe;
use throughput::guest::machine::Hardware;
use throughput::rig::Rig;
use throughput::workload::Workload;

#[test]
fn one_boot_reads_several_times_and_what_it_reads_is_right() {
    let scratch = Scratch::new(env!("CARGO_TARGET_TMPDIR"));
    let rig = Rig::start(scratch.path(), 8 << 20).unwrap();
    let hardware = Hardware::new(Path::new("qemu-system-x86_64"), Nic::E1000e);
    let mut ipxe = Ipxe::boot(&hardware, rig.portal(), rig.target_name(), rig.bytes()).unwrap();
    let limit = Duration::from_millis(200);
    for workload in [Workload::read(32 << 10, 1), Workload::read(4096, 1)] {
        ipxe.prepare(&workload).unwrap();
        let sample = ipxe.run(&workload, limit).unwrap();
        println!("{workload}: {:.1} MB/s, {:?}", sample.throughput() / 1e6, sample.elapsed);
        assert!(sample.elapsed >= limit * 99 / 100, "{workload}: {sample:?}");
        assert!(sample.elapsed < limit * 4, "{workload}: {sample:?}");
    }
    assert!(ipxe.run(&Workload::read(64 << 10, 1), limit).is_err());
}
