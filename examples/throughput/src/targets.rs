//! What is to be reached, row by row, and whether it was.
//!
//! A [`Target`] is data: a sentence, which series it reads, and a threshold. [`judge`] finds the
//! series among the measurements. What is not there was not measured, and is never met.

mod rows;

use std::cmp::Ordering;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::measurement::{Measurement, Quantity, Section, find};
use crate::sample::Series;
use crate::workload::Workload;

pub use rows::{all, names, settings};

/// At what share of a measured limit a figure counts as being at it.
const AT_THE_LIMIT: f64 = 0.95;

/// Which series a row reads.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    /// Where.
    pub section: Section,
    /// On what.
    pub setting: String,
    /// Whose.
    pub contender: &'static str,
    /// Doing what.
    pub workload: Option<Workload>,
    /// Counting what.
    pub quantity: Quantity,
}

impl Key {
    /// The series, where it was measured: with figures in it, each of them a number.
    fn find<'a>(&self, measurements: &'a [Measurement]) -> Option<&'a Series> {
        let workload = self.workload.as_ref();
        find(measurements, self.section, &self.setting, self.contender, workload, self.quantity)
            .filter(|series| !series.0.is_empty() && series.0.iter().all(|one| one.is_finite()))
    }
}

/// How a row's figure comes from the series.
#[derive(Clone, Debug, PartialEq)]
pub enum Figure {
    /// One series divided by the other, round by round.
    Ratio(Key, Key),
    /// One less the other.
    Difference(Key, Key),
    /// The series itself.
    Value(Key),
}

/// What the figure must be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Threshold {
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
    /// Between the two.
    Within(f64, f64),
}

impl Threshold {
    fn holds(self, figure: f64) -> bool {
        match self {
            Self::AtLeast(least) => figure >= least,
            Self::AtMost(most) => figure <= most,
            Self::Within(least, most) => (least..=most).contains(&figure),
        }
    }

    /// How far the figure is from failing, as a share: the worst of several has the least.
    fn margin(self, figure: f64) -> f64 {
        match self {
            Self::AtLeast(least) => figure / least,
            Self::AtMost(most) => most / figure,
            Self::Within(least, most) => (figure / least).min(most / figure),
        }
    }
}

/// `≥ 2.20`, with the unit that the figure has
impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "≥ {least}"),
            Self::AtMost(most) => write!(f, "≤ {most}"),
            Self::Within(least, most) => write!(f, "{least} … {most}"),
        }
    }
}

/// One row.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    /// Short name, for scripts that read the report.
    pub id: String,
    /// Where it belongs.
    pub section: Section,
    /// What is to be reached, in words.
    pub sentence: String,
    /// Where the figure comes from; of several, the worst counts, and all must be there.
    pub figures: Vec<Figure>,
    /// What it must be.
    pub threshold: Threshold,
    /// What nobody can exceed here, for each figure in their order, in the quantity of ours; none
    /// where there are fewer.
    pub limits: Vec<Key>,
}

/// Whether a row's target was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It was.
    Met,
    /// It is beyond a limit that was measured in the same run, and ours is at that limit.
    AtTheLimit,
    /// It was not.
    NotMet,
    /// A series that it reads is not there.
    NotMeasured,
}

impl Verdict {
    /// In a table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::AtTheLimit => "at the limit",
            Self::NotMet => "NOT MET",
            Self::NotMeasured => "not measured",
        }
    }
}

/// How a row's figure is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// How many times as much.
    Times,
    /// What the series count.
    Own,
}

/// A row with what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// [`Target::id`].
    pub id: String,
    /// [`Target::section`].
    pub section: Section,
    /// [`Target::sentence`].
    pub sentence: String,
    /// [`Target::threshold`].
    pub threshold: Threshold,
    /// What is counted.
    pub quantity: Option<Quantity>,
    /// What `reached` counts.
    pub unit: Unit,
    /// Median of ours.
    pub ours: Option<f64>,
    /// Median of what it is held against, and whose that is.
    pub theirs: Option<f64>,
    /// Whose.
    pub against: Option<String>,
    /// The figure, as the median over the rounds.
    pub reached: Option<f64>,
    /// Its least and greatest.
    pub spread: Option<(f64, f64)>,
    /// Of several: what the worst was doing.
    pub worst: Option<String>,
    /// The limit, where one was measured.
    pub limit: Option<f64>,
    /// What a ratio would be at the limit, round by round as the ratio itself.
    pub reached_at_limit: Option<f64>,
    /// Ours as a share of the limit, round by round.
    pub share_of_limit: Option<f64>,
    /// And so.
    pub verdict: Verdict,
}

impl Row {
    /// Whose the other figure is, where it is not ours again.
    pub fn beside(&self) -> Option<&str> {
        self.against.as_deref().filter(|against| *against != names::ISBOOT)
    }
}

/// One figure of a row, found.
struct Found<'a> {
    ours: &'a Series,
    theirs: Option<&'a Series>,
    against: Option<&'static str>,
    series: Series,
    key: &'a Key,
}

impl Figure {
    fn find<'a>(&'a self, measurements: &'a [Measurement]) -> Option<Found<'a>> {
        let (key, other) = match self {
            Self::Value(key) => (key, None),
            Self::Ratio(key, other) | Self::Difference(key, other) => (key, Some(other)),
        };
        let ours = key.find(measurements)?;
        let Some(other) = other else {
            return Some(Found { ours, theirs: None, against: None, series: ours.clone(), key });
        };
        let theirs = other.find(measurements)?;
        let difference = |ours: f64, theirs: f64| ours - theirs;
        let ratio = |ours: f64, theirs: f64| ours / theirs;
        let series = match self {
            Self::Difference(..) => both(ours, theirs, difference),
            _ => both(ours, theirs, ratio),
        };
        // Nothing is a multiple of nothing.
        let is_number = series.0.iter().all(|one| one.is_finite());
        let against = Some(other.contender);
        is_number.then_some(Found { ours, theirs: Some(theirs), against, series, key })
    }

    fn key(&self) -> &Key {
        match self {
            Self::Value(key) | Self::Ratio(key, _) | Self::Difference(key, _) => key,
        }
    }

    fn unit(&self) -> Unit {
        if matches!(self, Self::Ratio(..)) { Unit::Times } else { Unit::Own }
    }
}

/// Round by round where both were measured in turns, else median by median.
fn both(ours: &Series, theirs: &Series, of: impl Fn(f64, f64) -> f64) -> Series {
    if ours.0.len() == theirs.0.len() {
        Series(ours.0.iter().zip(&theirs.0).map(|(ours, theirs)| of(*ours, *theirs)).collect())
    } else {
        Series(vec![of(ours.median(), theirs.median())])
    }
}

/// Holds one target against what was measured.
pub fn judge(target: &Target, measurements: &[Measurement]) -> Row {
    let first = target.figures.first();
    let mut row = Row {
        id: target.id.clone(),
        section: target.section,
        sentence: target.sentence.clone(),
        threshold: target.threshold,
        quantity: first.map(|figure| figure.key().quantity),
        unit: first.map_or(Unit::Own, Figure::unit),
        ours: None,
        theirs: None,
        against: None,
        reached: None,
        spread: None,
        worst: None,
        limit: None,
        reached_at_limit: None,
        share_of_limit: None,
        verdict: Verdict::NotMeasured,
    };
    let judged: Vec<Judged<'_>> = target
        .figures
        .iter()
        .enumerate()
        .filter_map(|(index, figure)| {
            let found = figure.find(measurements)?;
            let limit = target.limits.get(index).and_then(|limit| limit.find(measurements));
            Some(Judged::new(target.threshold, figure, found, limit))
        })
        .collect();
    let Some(worst) = judged.iter().min_by(|a, b| a.order(target.threshold, b)) else {
        // Ours is worth a look even so.
        row.ours = first.and_then(|first| first.key().find(measurements)).map(Series::median);
        return row;
    };
    let Found { ours, theirs, against, ref series, key } = worst.found;
    row.ours = Some(ours.median());
    row.theirs = theirs.map(Series::median);
    row.against = against.map(str::to_owned);
    row.reached = Some(series.median());
    row.spread = Some(series.spread());
    if target.figures.len() > 1 {
        row.worst = Some(match key.workload {
            Some(workload) => workload.to_string(),
            None => key.setting.clone(),
        });
    }
    row.limit = worst.limit.map(Series::median);
    row.reached_at_limit = worst.limit.zip(theirs).map(|(limit, theirs)| times(limit, theirs));
    row.share_of_limit = worst.limit.map(|limit| times(ours, limit));
    row.verdict =
        if judged.len() < target.figures.len() { Verdict::NotMeasured } else { worst.verdict };
    row
}

/// A figure that was found, held against its threshold and its limit.
struct Judged<'a> {
    found: Found<'a>,
    limit: Option<&'a Series>,
    verdict: Verdict,
}

impl<'a> Judged<'a> {
    fn new(
        threshold: Threshold,
        figure: &Figure,
        found: Found<'a>,
        limit: Option<&'a Series>,
    ) -> Self {
        let verdict = if threshold.holds(found.series.median()) {
            Verdict::Met
        } else if limit.is_some_and(|limit| is_beyond(threshold, figure, &found, limit)) {
            Verdict::AtTheLimit
        } else {
            Verdict::NotMet
        };
        Self { found, limit, verdict }
    }

    /// What is not met comes before what is at its limit, and that before what is met; among
    /// equals, what has the least margin.
    fn order(&self, threshold: Threshold, other: &Self) -> Ordering {
        let rank = |one: &Self| match one.verdict {
            Verdict::NotMeasured | Verdict::NotMet => 0,
            Verdict::AtTheLimit => 1,
            Verdict::Met => 2,
        };
        let margin = |one: &Self| threshold.margin(one.found.series.median());
        rank(self).cmp(&rank(other)).then(margin(self).total_cmp(&margin(other)))
    }
}

/// Whether the limit itself would miss the threshold, nobody exceeds it, and ours is at it: a
/// difference exceeds the limit by no more than it may exceed what it is held against.
fn is_beyond(threshold: Threshold, figure: &Figure, found: &Found<'_>, limit: &Series) -> bool {
    let (ours, theirs) = (found.ours, found.theirs);
    let of_the_limit = match (figure, theirs) {
        (Figure::Ratio(..), Some(theirs)) => times(limit, theirs),
        (Figure::Difference(..), Some(theirs)) => limit.median() - theirs.median(),
        _ => limit.median(),
    };
    // How far from the limit, where one is at it.
    let share = |one: &Series| match threshold {
        Threshold::AtLeast(_) => times(one, limit),
        Threshold::AtMost(_) => times(limit, one),
        Threshold::Within(..) => 0.0,
    };
    let is_exceeded = |one: &Series| share(one) > 1.0 / AT_THE_LIMIT;
    let is_at_it = match figure {
        Figure::Difference(..) => threshold.holds(ours.median() - limit.median()),
        // Theirs counts where it does the same, and not something that is easier.
        Figure::Ratio(one, other) if one.workload == other.workload => {
            share(ours) >= AT_THE_LIMIT && !is_exceeded(ours) && !theirs.is_some_and(is_exceeded)
        }
        _ => share(ours) >= AT_THE_LIMIT && !is_exceeded(ours),
    };
    is_at_it && !threshold.holds(of_the_limit)
}

/// How many times the other the one is, as the median over the rounds.
fn times(one: &Series, other: &Series) -> f64 {
    one.ratio(other).median()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKLOAD: Workload = Workload::read(1 << 20, 1);

    fn key(contender: &'static str, workload: Workload) -> Key {
        Key {
            section: Section::Guest,
            setting: "e1000".to_owned(),
            contender,
            workload: Some(workload),
            quantity: Quantity::Throughput,
        }
    }

    fn measured(key: &Key, figures: &[f64]) -> Measurement {
        Measurement {
            section: key.section,
            setting: key.setting.clone(),
            contender: key.contender.to_owned(),
            workload: key.workload,
            quantity: key.quantity,
            series: Series(figures.to_vec()),
        }
    }

    fn target(figures: Vec<Figure>, threshold: Threshold) -> Target {
        let sentence = "guest reads".to_owned();
        let (id, section) = ("guest-read".to_owned(), Section::Guest);
        Target { id, section, sentence, figures, threshold, limits: Vec::new() }
    }

    fn ours_to_theirs() -> Target {
        let pair = Figure::Ratio(key("isboot", WORKLOAD), key("linux", WORKLOAD));
        target(vec![pair], Threshold::AtLeast(2.2))
    }

    #[test]
    fn a_ratio_is_the_median_of_the_rounds_with_their_spread() {
        let target = ours_to_theirs();
        let theirs = measured(&key("linux", WORKLOAD), &[100.0, 50.0, 100.0]);
        let ours = measured(&key("isboot", WORKLOAD), &[230.0, 120.0, 225.0]);
        let row = judge(&target, &[theirs.clone(), ours]);
        assert_eq!((row.reached, row.spread), (Some(2.3), Some((2.25, 2.4))));
        assert_eq!((row.ours, row.theirs), (Some(225.0), Some(100.0)));
        assert_eq!(row.against.as_deref(), Some("linux"));
        assert_eq!((row.verdict, row.unit), (Verdict::Met, Unit::Times));

        let slower = measured(&key("isboot", WORKLOAD), &[210.0, 120.0, 215.0]);
        assert_eq!(judge(&target, &[theirs, slower]).verdict, Verdict::NotMet);
    }

    #[test]
    fn what_is_missing_is_not_measured_and_never_met() {
        let target = ours_to_theirs();
        let ours = measured(&key("isboot", WORKLOAD), &[1e9]);
        let others = [
            vec![],
            vec![ours.clone()],
            vec![measured(&key("linux", WORKLOAD), &[1.0])],
            vec![ours.clone(), measured(&key("linux", Workload::read(1 << 20, 4)), &[1.0])],
            vec![ours.clone(), measured(&key("linux", WORKLOAD), &[])],
            vec![ours.clone(), measured(&key("linux", WORKLOAD), &[f64::NAN])],
            vec![ours, measured(&key("linux", WORKLOAD), &[0.0])],
        ];
        for measurements in others {
            let row = judge(&target, &measurements);
            assert_eq!(row.verdict, Verdict::NotMeasured, "{measurements:?}");
            assert_eq!(row.reached, None, "{measurements:?}");
        }
    }

    #[test]
    fn of_several_the_worst_counts_and_all_must_be_there() {
        let other = Workload::read(4096, 1);
        let pair = |workload| Figure::Ratio(key("isboot", workload), key("linux", workload));
        let target = target(vec![pair(WORKLOAD), pair(other)], Threshold::AtLeast(1.0));
        let mut measurements = vec![
            measured(&key("isboot", WORKLOAD), &[3.0]),
            measured(&key("linux", WORKLOAD), &[1.0]),
            measured(&key("isboot", other), &[2.0]),
            measured(&key("linux", other), &[1.0]),
        ];
        let row = judge(&target, &measurements);
        assert_eq!((row.reached, row.verdict), (Some(2.0), Verdict::Met));
        assert_eq!(row.worst.as_deref(), Some("read 4 KiB ×1"));
        measurements.pop();
        assert_eq!(judge(&target, &measurements).verdict, Verdict::NotMeasured);
    }

    #[test]
    fn a_target_beyond_a_measured_limit_reads_against_that_limit() {
        let limit = Key { section: Section::Limit, ..key("crc", WORKLOAD) };
        let target = Target { limits: vec![limit.clone()], ..ours_to_theirs() };
        let theirs = measured(&key("linux", WORKLOAD), &[100.0]);
        let ours = measured(&key("isboot", WORKLOAD), &[195.0]);
        let judged = |limits: &[f64], ours: &Measurement| {
            judge(&target, &[theirs.clone(), ours.clone(), measured(&limit, limits)])
        };
        let row = judged(&[200.0], &ours);
        assert_eq!(row.verdict, Verdict::AtTheLimit);
        assert_eq!((row.limit, row.share_of_limit), (Some(200.0), Some(0.975)));
        // The limit would allow it, or ours is not at it, or nobody measured it.
        assert_eq!(judged(&[230.0], &ours).verdict, Verdict::NotMet);
        let slower = measured(&key("isboot", WORKLOAD), &[180.0]);
        assert_eq!(judged(&[200.0], &slower).verdict, Verdict::NotMet);
        assert_eq!(judged(&[], &ours).verdict, Verdict::NotMet);
        // A limit never takes away what was reached.
        let faster = measured(&key("isboot", WORKLOAD), &[230.0]);
        assert_eq!(judged(&[200.0], &faster).verdict, Verdict::Met);
    }

    /// As the ratio is taken: a machine that halves its speed in some rounds makes other medians.
    #[test]
    fn a_limit_is_held_against_what_was_reached_in_the_same_round() {
        let limit = Key { section: Section::Limit, ..key("crc", WORKLOAD) };
        let target = Target { limits: vec![limit.clone()], ..ours_to_theirs() };
        let judged = |ours: &[f64]| {
            let ours = measured(&key("isboot", WORKLOAD), ours);
            let theirs = measured(&key("linux", WORKLOAD), &[100.0, 60.0, 50.0]);
            judge(&target, &[theirs, ours, measured(&limit, &[140.0, 132.0, 100.0])])
        };
        // By their medians the limit would allow it: 132 of 60.
        let row = judged(&[139.0, 130.0, 95.0]);
        assert_eq!((row.verdict, row.reached_at_limit), (Verdict::AtTheLimit, Some(2.0)));
        assert_eq!(row.share_of_limit, Some(130.0 / 132.0));
        assert_eq!(judged(&[120.0, 118.0, 95.0]).verdict, Verdict::NotMet);
    }

    #[test]
    fn a_limit_that_somebody_exceeds_is_none() {
        let limit = Key { section: Section::Limit, ..key("crc", WORKLOAD) };
        let target = Target { limits: vec![limit.clone()], ..ours_to_theirs() };
        let judged = |ours: f64, theirs: f64| {
            let series = [(&limit, 100.0), (&key("isboot", WORKLOAD), ours)];
            let mut measured: Vec<_> =
                series.map(|(key, figure)| measured(key, &[figure])).into_iter().collect();
            measured.push(self::measured(&key("linux", WORKLOAD), &[theirs]));
            judge(&target, &measured).verdict
        };
        assert_eq!(judged(98.0, 80.0), Verdict::AtTheLimit);
        assert_eq!(judged(98.0, 110.0), Verdict::NotMet);
        assert_eq!(judged(110.0, 80.0), Verdict::NotMet);
        // Theirs does something else there, which may be easier.
        let easier = key("linux", Workload::read(1 << 20, 4));
        let figures = vec![Figure::Ratio(key("isboot", WORKLOAD), easier.clone())];
        let target = Target { figures, ..target };
        let measured = [(&limit, 100.0), (&key("isboot", WORKLOAD), 98.0), (&easier, 110.0)]
            .map(|(key, figure)| measured(key, &[figure]));
        assert_eq!(judge(&target, &measured).verdict, Verdict::AtTheLimit);
    }

    #[test]
    fn of_several_one_that_is_missed_is_not_hidden_by_limits_of_others() {
        let other = Workload::read(4096, 1);
        let pair = |workload| Figure::Ratio(key("isboot", workload), key("linux", workload));
        let limit = |workload| Key { section: Section::Limit, ..key("crc", workload) };
        let figures = vec![pair(WORKLOAD), pair(other)];
        let limits = vec![limit(WORKLOAD), limit(other)];
        let target = Target { limits, ..target(figures, Threshold::AtMost(0.5)) };
        let judged = |second: f64| {
            let row = judge(
                &target,
                &[
                    // By far the worst of both, and at its limit.
                    (key("isboot", WORKLOAD), 0.98),
                    (key("linux", WORKLOAD), 1.0),
                    (limit(WORKLOAD), 0.97),
                    (key("isboot", other), second),
                    (key("linux", other), 1.0),
                    (limit(other), 0.3),
                ]
                .map(|(key, figure)| measured(&key, &[figure])),
            );
            (row.verdict, row.reached)
        };
        assert_eq!(judged(0.6), (Verdict::NotMet, Some(0.6)));
        assert_eq!(judged(0.4), (Verdict::AtTheLimit, Some(0.98)));
    }

    #[test]
    fn at_most_within_and_differences() {
        let [ours, theirs] = [key("isboot", WORKLOAD), key("istgt", WORKLOAD)];
        let measurements = [measured(&ours, &[1.09]), measured(&theirs, &[1.0])];
        let judged = |figure: fn(Key, Key) -> Figure, threshold| {
            judge(&target(vec![figure(ours.clone(), theirs.clone())], threshold), &measurements)
        };
        assert_eq!(judged(Figure::Ratio, Threshold::Within(0.9, 1.1)).verdict, Verdict::Met);
        assert_eq!(judged(Figure::Ratio, Threshold::Within(0.95, 1.05)).verdict, Verdict::NotMet);
        assert_eq!(judged(Figure::Ratio, Threshold::AtMost(1.0)).verdict, Verdict::NotMet);
        let late = judged(Figure::Difference, Threshold::AtMost(0.1));
        assert_eq!((late.verdict, late.unit), (Verdict::Met, Unit::Own));
        assert_eq!(judged(Figure::Difference, Threshold::AtMost(0.08)).verdict, Verdict::NotMet);
    }

    #[test]
    fn a_difference_beyond_a_limit_is_taken_from_the_limit() {
        let [ours, theirs, limit] =
            ["isboot", "istgt", "QEMU"].map(|contender| key(contender, WORKLOAD));
        let figures = vec![Figure::Difference(ours.clone(), theirs.clone())];
        let target =
            Target { limits: vec![limit.clone()], ..target(figures, Threshold::AtMost(0.1)) };
        // istgt's login takes a second, and the card hears nothing for another one.
        let verdict = |seconds: f64| {
            let measured = [(&ours, seconds), (&theirs, 1.0), (&limit, 2.0)]
                .map(|(key, seconds)| measured(key, &[seconds]));
            judge(&target, &measured).verdict
        };
        assert_eq!(verdict(2.09), Verdict::AtTheLimit);
        assert_eq!(verdict(2.11), Verdict::NotMet);
        assert_eq!(verdict(1.09), Verdict::Met);
    }

    #[test]
    fn series_of_different_lengths_compare_by_their_medians() {
        let [ours, theirs] = [key("isboot", WORKLOAD), key("linux", WORKLOAD)];
        let measurements = [measured(&ours, &[5.0, 6.0, 7.0]), measured(&theirs, &[2.0])];
        assert_eq!(judge(&ours_to_theirs(), &measurements).reached, Some(3.0));
    }
}
