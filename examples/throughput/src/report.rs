//! What a run found: rows with their verdicts, dd's words, what failed, and where it was measured.
//! As a table for the terminal, as JSON, and as a page with plots.

pub mod dd;
pub mod figure;
pub mod page;
mod plot;
mod plots;
pub mod table;

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::facts::Fact;
use crate::measurement::Measurement;
use crate::plan::{Mode, Part, Plan};
use crate::targets::{self, Row, Verdict};
use dd::Dd;

/// Something that could not be measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// In which part.
    pub part: Part,
    /// What was being done, with whom, and what came back.
    pub error: String,
}

/// Everything that a run found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    /// Where it was measured, and with which versions.
    pub facts: Vec<Fact>,
    /// How long it was allowed to take.
    pub mode: Mode,
    /// Which parts ran.
    pub parts: Vec<Part>,
    /// How long it took.
    pub elapsed: Duration,
    /// Targets, met or not.
    pub rows: Vec<Row>,
    /// Reads of dd, in its words.
    pub dd: Vec<Dd>,
    /// What failed.
    pub failures: Vec<Failure>,
    /// All figures.
    pub measurements: Vec<Measurement>,
}

impl Report {
    /// Judges what was measured by a plan.
    pub fn new(
        plan: &Plan,
        facts: Vec<Fact>,
        elapsed: Duration,
        measurements: Vec<Measurement>,
        dd: Vec<Dd>,
        failures: Vec<Failure>,
    ) -> Self {
        let rows =
            targets::all(plan).iter().map(|row| targets::judge(row, &measurements)).collect();
        let (mode, parts) = (plan.mode, plan.parts.clone());
        Self { facts, mode, parts, elapsed, rows, dd, failures, measurements }
    }

    /// How many rows have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.rows.iter().filter(|row| row.verdict == verdict).count()
    }

    /// `39 rows: 30 met, 2 at the limit, 5 not met, 2 not measured`
    pub fn summary(&self) -> String {
        let mut words = Vec::new();
        for verdict in [Verdict::Met, Verdict::AtTheLimit, Verdict::NotMet, Verdict::NotMeasured] {
            let count = self.count(verdict);
            if count > 0 || verdict == Verdict::Met {
                words.push(format!("{count} {}", verdict.word().to_lowercase()));
            }
        }
        format!("{} targets: {}", self.rows.len(), words.join(", "))
    }

    /// Writes the page, the plots and the JSON into a folder, and returns the names of the files.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn write(&self, folder: &Path) -> Result<Vec<String>, String> {
        let failed = |what: &Path, error| format!("writing {}: {error}", what.display());
        fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
        let json = serde_json::to_string_pretty(self)
            .map_err(|error| format!("making JSON of the report: {error}"))?;
        let mut files = vec![
            ("report.html".to_owned(), page::page(self)),
            ("report.json".to_owned(), json + "\n"),
        ];
        for plot in plots::all(self) {
            files.push((format!("{}.svg", plot.name), plot.alone()));
        }
        for (name, text) in &files {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|error| failed(&path, error))?;
        }
        Ok(files.into_iter().map(|(name, _)| name).collect())
    }
}
