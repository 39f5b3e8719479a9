//! Which points of the bench an example measures, and how long.

use std::time::Duration;

use clap::Args;
use throughput::workload::Workload;

/// Which loads, how often, how long.
#[derive(Debug, Args)]
pub(crate) struct Points {
    /// Rounds of each load
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// Milliseconds of each sample
    #[arg(long, default_value_t = 300)]
    milliseconds: u64,
    /// Only loads whose name has one of these in it, such as 'write', '4 KiB ×32', 'both'
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
}

impl Points {
    /// How long each sample takes.
    pub(crate) fn limit(&self) -> Duration {
        Duration::from_millis(self.milliseconds)
    }

    /// Those of the loads that are wanted.
    pub(crate) fn wanted(&self, mut loads: Vec<Workload>) -> Vec<Workload> {
        loads.retain(|load| {
            let name = load.to_string();
            self.only.is_empty() || self.only.iter().any(|part| name.contains(part.as_str()))
        });
        loads
    }
}
