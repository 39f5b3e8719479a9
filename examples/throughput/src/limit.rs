//! What a target gives at most, whoever asks.

use std::time::Duration;

use crate::contender::Contender;
use crate::measurement::{Measurement, Quantity, Section};
use crate::processor::Threads;
use crate::sample::{Sample, Series};
use crate::targets::settings;
use crate::workload::Workload;

/// A contender under whom the target's threads are watched. It serves a connection from a few threads,
/// each with a part of the work, and none of them has more than one processor: bytes by the
/// time that the busiest took are what nobody exceeds.
pub struct Watched<'a> {
    contender: &'a mut dyn Contender,
    target: u32,
    at_most: Vec<f64>,
}

impl<'a> Watched<'a> {
    /// Watches the target of this process id.
    pub fn new(contender: &'a mut dyn Contender, target: u32) -> Self {
        Self { contender, target, at_most: Vec::new() }
    }

    /// What `target`, as it is named, could have given at most in each run, doing this.
    #[must_use]
    pub fn limit(self, target: &str, setting: &str, workload: &Workload) -> Measurement {
        Measurement {
            section: Section::Limit,
            setting: settings::busiest_thread(setting),
            contender: target.to_owned(),
            workload: Some(*workload),
            quantity: Quantity::Throughput,
            series: Series(self.at_most),
        }
    }
}

impl Contender for Watched<'_> {
    fn name(&self) -> &str {
        self.contender.name()
    }

    fn prepare(&mut self, workload: &Workload) -> Result<(), String> {
        self.contender.prepare(workload)
    }

    fn settle(&mut self, workload: &Workload) -> Result<(), String> {
        self.contender.settle(workload)
    }

    fn run(&mut self, workload: &Workload, limit: Duration) -> Result<Sample, String> {
        let before = Threads::of(self.target)?;
        let sample = self.contender.run(workload, limit)?;
        let busiest = Threads::of(self.target)?.busiest_since(&before);
        self.at_most.push(sample.bytes as f64 / busiest.as_secs_f64());
        Ok(sample)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};
    use std::thread;

    use nix::sys::signal::{Signal, kill};
    use nix::unistd::Pid;

    use super::*;

    /// Works half of the time, in a process, and moves 10⁶ bytes in a second.
    struct HalfIdle(Child);

    impl Contender for HalfIdle {
        fn name(&self) -> &str {
            "half idle"
        }
        fn run(&mut self, _: &Workload, limit: Duration) -> Result<Sample, String> {
            let worker = Pid::from_raw(self.0.id().cast_signed());
            for (signal, what) in [(Signal::SIGCONT, "continue"), (Signal::SIGSTOP, "stop")] {
                kill(worker, signal).map_err(|error| format!("{what}: {error}"))?;
                thread::sleep(limit / 2);
            }
            let bytes = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
            Ok(Sample { bytes, commands: 1, elapsed: limit, cpu: None })
        }
    }

    #[test]
    fn a_thread_that_is_half_idle_could_give_twice_as_much() {
        let works = Command::new("sh").args(["-c", "while :; do :; done"]).spawn().unwrap();
        let (process, mut half_idle) = (works.id(), HalfIdle(works));
        let workload = Workload::read(4096, 1);
        let mut watched = Watched::new(&mut half_idle, process);
        let sample = watched.run(&workload, Duration::from_millis(400));
        let limit = watched.limit("sh", "here", &workload);
        half_idle.0.kill().unwrap();
        half_idle.0.wait().unwrap();
        let factor = limit.series.median() / sample.unwrap().throughput();
        // Others on this machine may take some of its half.
        assert!((1.8..8.0).contains(&factor), "{factor}");
    }
}
