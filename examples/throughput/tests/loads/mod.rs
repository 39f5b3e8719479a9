//! What the tests of guests ask of each.

use std::time::Duration;

use throughput::contender::Contender;
use throughput::workload::Workload;

/// One load after the other; each moves whole blocks for as long as it is told.
pub(crate) fn run_each(contender: &mut dyn Contender, workloads: &[Workload], limit: Duration) {
    for workload in workloads {
        contender.prepare(workload).unwrap();
        let sample = contender.run(workload, limit).unwrap();
        println!("{workload}: {:.1} MB/s", sample.throughput() / 1e6);
        assert!(sample.elapsed >= limit, "{workload}: {sample:?}");
        assert_eq!(sample.bytes, sample.commands * u64::from(workload.block));
    }
}
