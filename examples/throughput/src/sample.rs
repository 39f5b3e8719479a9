//! What was seen once, and what is said of several times.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one run of a workload moved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Bytes moved.
    pub bytes: u64,
    /// Requests that ended well. One that did not makes the run an error, not a sample.
    pub commands: u64,
    /// From the first request to the last completion, by the contender's own clock.
    pub elapsed: Duration,
    /// Processor time that the contender's process took, user and system, where it is a process.
    pub cpu: Option<Duration>,
}

impl Sample {
    /// Bytes a second.
    pub fn throughput(&self) -> f64 {
        self.bytes as f64 / self.elapsed.as_secs_f64()
    }

    /// Requests a second.
    pub fn rate(&self) -> f64 {
        self.commands as f64 / self.elapsed.as_secs_f64()
    }

    /// Processor seconds for 10⁹ bytes.
    pub fn cpu_per_gigabyte(&self) -> Option<f64> {
        Some(self.cpu?.as_secs_f64() * 1e9 / self.bytes as f64)
    }
}

/// One figure, as often as it was taken, in the order of the rounds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Series(pub Vec<f64>);

impl Series {
    /// The middle one; the mean of the two middle ones; 0 of none.
    pub fn median(&self) -> f64 {
        let sorted = self.sorted();
        let middle = sorted.len() / 2;
        match sorted.as_slice() {
            [] => 0.0,
            odd if odd.len() % 2 == 1 => odd[middle],
            even => (even[middle - 1] + even[middle]) / 2.0,
        }
    }

    /// Least and greatest.
    pub fn spread(&self) -> (f64, f64) {
        let sorted = self.sorted();
        (sorted.first().copied().unwrap_or(0.0), sorted.last().copied().unwrap_or(0.0))
    }

    /// Ours to theirs, round by round: what the machine did to both in a round cancels out.
    pub fn ratio(&self, theirs: &Series) -> Series {
        Series(self.0.iter().zip(&theirs.0).map(|(ours, theirs)| ours / theirs).collect())
    }

    fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_does_not_see_an_outlier() {
        assert_eq!(Series(vec![3.0, 1.0, 100.0]).median(), 3.0);
        assert_eq!(Series(vec![4.0, 1.0, 2.0, 100.0]).median(), 3.0);
        assert_eq!(Series(vec![]).median(), 0.0);
        assert_eq!(Series(vec![3.0, 1.0, 100.0]).spread(), (1.0, 100.0));
    }

    #[test]
    fn a_ratio_is_taken_round_by_round() {
        let ours = Series(vec![20.0, 2.0, 30.0]);
        let theirs = Series(vec![10.0, 1.0, 10.0]);
        assert_eq!(ours.ratio(&theirs), Series(vec![2.0, 2.0, 3.0]));
    }

    #[test]
    fn figures_of_a_sample() {
        let sample = Sample {
            bytes: 500_000_000,
            commands: 1000,
            elapsed: Duration::from_secs(2),
            cpu: Some(Duration::from_secs(1)),
        };
        assert_eq!(sample.throughput(), 250e6);
        assert_eq!(sample.rate(), 500.0);
        assert_eq!(sample.cpu_per_gigabyte(), Some(2.0));
        assert_eq!(Sample { cpu: None, ..sample }.cpu_per_gigabyte(), None);
    }
}
