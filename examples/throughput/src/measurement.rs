//! What is known at the end: a flat list, from which tables, plots and verdicts are made.

use serde::{Deserialize, Serialize};

use crate::sample::{Sample, Series};
use crate::workload::Workload;

/// Where it was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Section {
    /// In a guest under QEMU; the setting is the NIC.
    Guest,
    /// On the host, over its own sockets; the setting is the target's name.
    Host,
    /// Over a link of a given rate between two network namespaces; the setting is the rate.
    Link,
    /// The core alone; the setting is the path that is measured.
    Core,
    /// From kernel entry to the first block; the setting is the NIC.
    Start,
    /// How cost and memory grow; the setting says with what.
    Growth,
    /// What a row cannot exceed here, whoever does it: the setting says which limit.
    Limit,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quantity {
    /// Bytes a second.
    Throughput,
    /// Requests a second.
    Rate,
    /// Processor seconds for 10⁹ bytes.
    CpuPerGigabyte,
    /// Nanoseconds for one command.
    NanosecondsPerCommand,
    /// Instructions for one command, as callgrind counts them.
    InstructionsPerCommand,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// One figure of one contender, with all the times it was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// Where.
    pub section: Section,
    /// On what: see [`Section`].
    pub setting: String,
    /// Whose: `isboot`, or what a user would pick instead.
    pub contender: String,
    /// Doing what, where that is a workload.
    pub workload: Option<Workload>,
    /// Counting what.
    pub quantity: Quantity,
    /// The figures, in the order of the rounds.
    pub series: Series,
}

impl Measurement {
    /// Every figure that the samples of one contender hold: throughput, rate, and processor time
    /// where all of them know it.
    pub fn of_samples(
        section: Section,
        setting: &str,
        contender: &str,
        workload: &Workload,
        samples: &[Sample],
    ) -> Vec<Measurement> {
        let one = |quantity, series: Vec<f64>| Measurement {
            section,
            setting: setting.to_owned(),
            contender: contender.to_owned(),
            workload: Some(*workload),
            quantity,
            series: Series(series),
        };
        let cpu: Option<Vec<f64>> = samples.iter().map(Sample::cpu_per_gigabyte).collect();
        let mut figures = vec![
            one(Quantity::Throughput, samples.iter().map(Sample::throughput).collect()),
            one(Quantity::Rate, samples.iter().map(Sample::rate).collect()),
        ];
        figures.extend(cpu.map(|cpu| one(Quantity::CpuPerGigabyte, cpu)));
        figures
    }
}

/// Finds the series of one figure.
pub fn find<'a>(
    measurements: &'a [Measurement],
    section: Section,
    setting: &str,
    contender: &str,
    workload: Option<&Workload>,
    quantity: Quantity,
) -> Option<&'a Series> {
    let found = measurements.iter().find(|one| {
        one.section == section
            && one.setting == setting
            && one.contender == contender
            && one.workload.as_ref() == workload
            && one.quantity == quantity
    })?;
    Some(&found.series)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn samples_become_figures_that_are_found_again() {
        let workload = Workload::read(4096, 1);
        let sample =
            Sample { bytes: 4096, commands: 1, elapsed: Duration::from_secs(1), cpu: None };
        let all = Measurement::of_samples(Section::Guest, "e1000", "isboot", &workload, &[sample]);
        let find =
            |quantity| find(&all, Section::Guest, "e1000", "isboot", Some(&workload), quantity);
        assert_eq!(find(Quantity::Throughput), Some(&Series(vec![4096.0])));
        assert_eq!(find(Quantity::Rate), Some(&Series(vec![1.0])));
        assert_eq!(find(Quantity::CpuPerGigabyte), None, "no sample knows its processor time");
    }
}
