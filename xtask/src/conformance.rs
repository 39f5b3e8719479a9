//! `cargo xtask conformance`: every row of the conformance suites, its tests and its verdict.
//!
//! Rows are in tests/conformance/rows.csv; tests are in tests/tests/conformance, and a test's name
//! begins with its row's id. A row that applies and has no test fails, and so does a test that
//! names no row.

mod rules;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use clap::Args;

use crate::process::{Task, root};

/// What to print, and what to write.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only rows whose suite or id begins with this, as `FFP`, `B-RD` or `16.4`
    #[arg(value_name = "PREFIX")]
    prefix: Option<String>,
    /// Print the table as JSON
    #[arg(long)]
    json: bool,
    /// Fail when docs/CONFORMANCE.md or docs/RULES.md is not what would be written; write nothing
    #[arg(long)]
    check: bool,
}

/// A row of the suites.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    suite: String,
    id: String,
    title: String,
    /// Why it does not apply; empty when it does.
    not_applicable: String,
}

impl Row {
    /// As rules name it: `FFP-1.1`, `B-RD-01`.
    fn name(&self) -> String {
        if self.id.starts_with("B-") {
            self.id.clone()
        } else {
            format!("{}-{}", self.suite, self.id)
        }
    }
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    /// It applies, and nothing proves it.
    Untested,
    NotApplicable,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Untested => "FAILED: no test",
            Self::NotApplicable => "not applicable",
        }
    }
}

/// A row, how it ended, and the tests that say so.
#[derive(Debug)]
struct Judged<'a> {
    row: &'a Row,
    verdict: Verdict,
    tests: Vec<&'a str>,
}

const ROWS: &str = "tests/conformance/rows.csv";
const REPORT: &str = "docs/CONFORMANCE.md";

/// Runs the rows' tests, prints the table; the status is 1 when a row failed.
pub(crate) fn run(options: &Options) -> Result<u8, String> {
    let report = examine(options)?;
    print!("{}", report.table);
    for trouble in &report.troubles {
        eprintln!("{trouble}");
    }
    if !options.json {
        println!("{}", report.last_line);
    }
    Ok(u8::from(!report.troubles.is_empty()))
}

/// As a step of the test: every row passes, and the documents say so.
pub(crate) fn check() -> Result<String, String> {
    let report = examine(&Options { prefix: None, json: false, check: true })?;
    if report.troubles.is_empty() {
        Ok(report.last_line)
    } else {
        Err(format!("{}\n{}", report.troubles.join("\n"), report.last_line))
    }
}

/// What is to be said.
struct Report {
    table: String,
    /// What is wrong: rows, tests that name none, rules that nothing holds, documents out of date.
    troubles: Vec<String>,
    last_line: String,
}

fn examine(options: &Options) -> Result<Report, String> {
    let rows = parse_rows(&read(ROWS)?)?;
    let task = Task::cargo("test --package isboot-tests --test conformance --no-fail-fast");
    eprintln!("building and running the rows' tests: {task}");
    let ended = task.capture()?;
    let results = parse_results(&ended.output);
    if results.is_empty() {
        return Err(format!("{}\nno test ran; repeat: {task}", ended.output.trim_end()));
    }
    let (judged, strays) = judge(&rows, &results);
    let prefix = options.prefix.as_deref().unwrap_or_default();
    let wanted = |row: &Row| row.suite.starts_with(prefix) || row.id.starts_with(prefix);
    let shown: Vec<_> = judged.iter().filter(|judged| wanted(judged.row)).collect();
    let mut troubles = failures(&ended.output);
    for Judged { row, verdict, .. } in &shown {
        if matches!(verdict, Verdict::Failed | Verdict::Untested) {
            troubles.push(format!("{} {}: {}", row.name(), row.title, verdict.word()));
        }
    }
    troubles.extend(strays.iter().map(|test| format!("the test `{test}` names no row of {ROWS}")));
    if options.prefix.is_none() {
        let rules = rules::parse(&read(rules::RULES)?)?;
        let mistakes = rules::mistakes(&rules, &judged);
        troubles.extend(mistakes.iter().map(|mistake| format!("{}: {mistake}", rules::RULES)));
        let documents = [(REPORT, markdown(&judged)), (rules::REPORT, rules::markdown(&rules))];
        for (path, text) in documents {
            if !options.check {
                fs::write(root().join(path), text).map_err(|e| format!("writing {path}: {e}"))?;
            } else if read(path).unwrap_or_default() != text {
                troubles.push(format!("{path} is not true any more; cargo xtask conformance"));
            }
        }
    }
    let table = if options.json { json(&shown) } else { text(&shown) };
    Ok(Report { table, troubles, last_line: last_line(&shown) })
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(root().join(path)).map_err(|error| format!("reading {path}: {error}"))
}

/// The table: suite, id, title, reason. Fields with commas are in double quotes.
fn parse_rows(table: &str) -> Result<Vec<Row>, String> {
    let lines = table.lines().skip(1).enumerate();
    lines
        .map(|(number, line)| match fields(line).as_slice() {
            [suite, id, title, reason] => Ok(Row {
                suite: suite.clone(),
                id: id.clone(),
                title: title.clone(),
                not_applicable: reason.clone(),
            }),
            _ => Err(format!("{ROWS}:{}: four fields, not `{line}`", number + 2)),
        })
        .collect()
}

fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            other => field.push(other),
        }
    }
    fields.push(field);
    fields
}

/// Names of tests and whether they passed, from libtest's `test name ... ok`.
fn parse_results(output: &str) -> BTreeMap<String, bool> {
    let tests = output.lines().filter_map(|line| {
        let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
        let name = name.split(" - ").next().unwrap_or(name);
        Some((name.to_owned(), result.trim() == "ok"))
    });
    tests.collect()
}

/// What a test's name begins with: `FFP 16.4.5` is `ffp_16_4_5_`, `B-RD-01` is `b_rd_01_`.
fn mark(row: &Row) -> String {
    format!("{}_", row.name().to_lowercase().replace(['.', '-'], "_"))
}

fn judge<'a>(
    rows: &'a [Row],
    results: &'a BTreeMap<String, bool>,
) -> (Vec<Judged<'a>>, Vec<&'a str>) {
    let marks: Vec<String> = rows.iter().map(mark).collect();
    let mut tests: Vec<Vec<(&str, bool)>> = vec![Vec::new(); rows.len()];
    let mut strays = Vec::new();
    for (path, &passed) in results {
        let name = path.rsplit("::").next().unwrap_or(path);
        // 1.2 and 1.2.1 are both rows: the longest mark counts.
        let row = (0..rows.len()).filter(|&at| name.starts_with(&marks[at]));
        match row.max_by_key(|&at| marks[at].len()) {
            Some(at) => tests[at].push((path, passed)),
            None => strays.push(path.as_str()),
        }
    }
    let judged = rows.iter().zip(tests).map(|(row, tests)| {
        let verdict = if !row.not_applicable.is_empty() {
            Verdict::NotApplicable
        } else if tests.is_empty() {
            Verdict::Untested
        } else if tests.iter().all(|(_, passed)| *passed) {
            Verdict::Passed
        } else {
            Verdict::Failed
        };
        Judged { row, verdict, tests: tests.into_iter().map(|(path, _)| path).collect() }
    });
    (judged.collect(), strays)
}

fn count(judged: &[&Judged<'_>], verdicts: &[Verdict]) -> usize {
    judged.iter().filter(|judged| verdicts.contains(&judged.verdict)).count()
}

fn last_line(judged: &[&Judged<'_>]) -> String {
    format!(
        "{} passed, {} failed, {} not applicable",
        count(judged, &[Verdict::Passed]),
        count(judged, &[Verdict::Failed, Verdict::Untested]),
        count(judged, &[Verdict::NotApplicable]),
    )
}

fn text(judged: &[&Judged<'_>]) -> String {
    let mut out = format!("{:<6} {:<8} {:<64} verdict\n", "suite", "id", "title");
    for Judged { row, verdict, .. } in judged {
        let _ =
            writeln!(out, "{:<6} {:<8} {:<64} {}", row.suite, row.id, row.title, verdict.word());
    }
    out
}

fn json(judged: &[&Judged<'_>]) -> String {
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let rows = judged.iter().map(|Judged { row, verdict, tests }| {
        let tests: Vec<String> = tests.iter().map(|test| quote(test)).collect();
        format!(
            "  {{\"suite\": {}, \"id\": {}, \"title\": {}, \"verdict\": {}, \"reason\": {}, \"tests\": [{}]}}",
            quote(&row.suite),
            quote(&row.id),
            quote(&row.title),
            quote(verdict.word()),
            quote(&row.not_applicable),
            tests.join(", "),
        )
    });
    format!("[\n{}\n]\n", rows.collect::<Vec<_>>().join(",\n"))
}

fn markdown(judged: &[Judged<'_>]) -> String {
    let mut out = String::from(
        "# Conformance\n\n\
         Written by `cargo xtask conformance`; do not edit. FFP, Login and CHAP are the UNH-IOL suites\n\
         for initiators; what begins with B goes beyond them. A row is proven by the tests beside it,\n\
         in tests/tests/conformance; the standing checks run on every PDU of each.\n\n",
    );
    let suites: Vec<&str> = judged.iter().fold(Vec::new(), |mut suites, judged| {
        if suites.last() != Some(&judged.row.suite.as_str()) {
            suites.push(&judged.row.suite);
        }
        suites
    });
    out.push_str("| suite | passed | failed | not applicable |\n|---|---|---|---|\n");
    let mut line = |name: &str, rows: &[&Judged<'_>]| {
        let _ = writeln!(
            out,
            "| {name} | {} | {} | {} |",
            count(rows, &[Verdict::Passed]),
            count(rows, &[Verdict::Failed, Verdict::Untested]),
            count(rows, &[Verdict::NotApplicable]),
        );
    };
    for suite in &suites {
        line(suite, &of(judged, suite).collect::<Vec<_>>());
    }
    line("all", &judged.iter().collect::<Vec<_>>());
    for suite in &suites {
        let _ = write!(
            out,
            "\n## {suite}\n\n| id | title | verdict | proven by |\n|---|---|---|---|\n"
        );
        for Judged { row, verdict, tests } in of(judged, suite) {
            let proof = match tests.as_slice() {
                [] => row.not_applicable.clone(),
                tests => tests.iter().map(|test| format!("`{test}`")).collect::<Vec<_>>().join(" "),
            };
            let title = row.title.replace('|', "\\|");
            let _ = writeln!(out, "| {} | {title} | {} | {proof} |", row.id, verdict.word());
        }
    }
    out
}

fn of<'a>(judged: &'a [Judged<'a>], suite: &'a str) -> impl Iterator<Item = &'a Judged<'a>> {
    judged.iter().filter(move |judged| judged.row.suite == suite)
}

/// What libtest printed of each test that failed.
fn failures(output: &str) -> Vec<String> {
    let blocks = output.split("\n---- ").skip(1);
    blocks
        .map(|block| block.split("\n\nfailures:").next().unwrap_or(block).trim_end().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "suite,id,title,not_applicable\n\
        FFP,1.2,\"Two, of many\",\nFFP,1.2.1,Deeper,\nB-RD,B-RD-01,Move,\nLogin,2.3,Second,\"one, only\"\n";

    #[test]
    fn a_row_is_judged_by_the_tests_that_begin_with_its_id() {
        let rows = parse_rows(TABLE).unwrap();
        assert_eq!(rows[0].title, "Two, of many");
        let results = parse_results(
            "running 4 tests\ntest a::ffp_1_2_two ... ok\ntest a::ffp_1_2_1_deeper ... FAILED\n\
             test b::stray ... ok\ntest b::b_rd_01_moves - should panic ... ok\n",
        );
        let (judged, strays) = judge(&rows, &results);
        let verdicts: Vec<Verdict> = judged.iter().map(|judged| judged.verdict).collect();
        assert_eq!(
            verdicts,
            [Verdict::Passed, Verdict::Failed, Verdict::Passed, Verdict::NotApplicable]
        );
        assert_eq!(strays, ["b::stray"]);
        let all: Vec<_> = judged.iter().collect();
        assert_eq!(last_line(&all), "2 passed, 1 failed, 1 not applicable");
        assert!(markdown(&judged).contains("| FFP | 1 | 1 | 0 |"));
    }

    #[test]
    fn a_row_that_applies_and_has_no_test_fails() {
        let rows = parse_rows(TABLE).unwrap();
        let results = BTreeMap::new();
        let (judged, _) = judge(&rows, &results);
        assert_eq!(judged[2].verdict, Verdict::Untested);
        assert_eq!(judged[3].verdict, Verdict::NotApplicable);
    }

    #[test]
    fn a_row_with_a_field_too_many_is_named() {
        let error = parse_rows("suite,id,title,not_applicable\na,b,c,d,e\n").unwrap_err();
        assert!(error.contains("rows.csv:2"), "{error}");
    }
}
