//! The rules that bind an initiator, and what holds each: rows, standing checks, or a reason.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Judged, Verdict, fields};

/// Where the rules are, and where they go.
pub(super) const RULES: &str = "tests/conformance/rules.csv";
pub(super) const REPORT: &str = "docs/RULES.md";

/// A rule, in short words.
#[derive(Debug)]
pub(super) struct Rule {
    id: String,
    /// MUST, SHOULD, MAY, or `def` for what the wire depends on.
    level: String,
    /// Of RFC 7143 unless another is named.
    clause: String,
    words: String,
    /// Rows (`FFP-1.1`, `B-RD-01`) and standing checks (`S-05`).
    held_by: Vec<String>,
    /// Why it does not apply, or what was decided.
    otherwise: String,
}

/// The table; fields as those of the rows.
pub(super) fn parse(table: &str) -> Result<Vec<Rule>, String> {
    let lines = table.lines().skip(1).enumerate();
    let rule = |(number, line): (usize, &str)| match fields(line).as_slice() {
        [id, level, clause, words, held_by, otherwise] => Ok(Rule {
            id: id.clone(),
            level: level.clone(),
            clause: clause.clone(),
            words: words.clone(),
            held_by: held_by.split_whitespace().map(str::to_owned).collect(),
            otherwise: otherwise.clone(),
        }),
        _ => Err(format!("{RULES}:{}: six fields, not `{line}`", number + 2)),
    };
    lines.map(rule).collect()
}

/// What is wrong with the mapping: a rule that nothing holds, or a row that is not proven.
pub(super) fn mistakes(rules: &[Rule], rows: &[Judged<'_>]) -> Vec<String> {
    let verdicts: BTreeMap<String, Verdict> =
        rows.iter().map(|judged| (judged.row.name(), judged.verdict)).collect();
    let mut mistakes = Vec::new();
    for rule in rules {
        if rule.held_by.is_empty() && rule.otherwise.is_empty() {
            mistakes.push(format!("{}: nothing holds it, and no reason is given", rule.id));
        }
        for row in rule.held_by.iter().filter(|row| !is_standing_check(row)) {
            match verdicts.get(row) {
                Some(Verdict::Passed) => {}
                Some(verdict) => mistakes.push(format!("{}: {row} is {}", rule.id, verdict.word())),
                None => mistakes.push(format!("{}: there is no row {row}", rule.id)),
            }
        }
    }
    mistakes
}

/// S-01 to S-18, in tests/src/standing.
fn is_standing_check(name: &str) -> bool {
    let number = name.strip_prefix("S-").and_then(|number| number.parse::<u8>().ok());
    number.is_some_and(|number| (1..=18).contains(&number))
}

pub(super) fn markdown(rules: &[Rule]) -> String {
    let mut out = String::from(
        "# Rules\n\n\
         Written by `cargo xtask conformance` from tests/conformance/rules.csv; do not edit. What RFC 7143\n\
         (a clause without a name), RFC 7144, RFC 4173 and RFC 3721 ask of an initiator, in short words,\n\
         and what holds it: rows of [CONFORMANCE.md](CONFORMANCE.md), standing checks (S-01 to S-18, in\n\
         tests/src/standing, on every PDU of every test), or the reason why there is nothing to hold.\n\n\
         | id | level | clause | rule | held by |\n|---|---|---|---|---|\n",
    );
    for rule in rules {
        let held_by = rule.held_by.join(", ");
        let separator = if held_by.is_empty() || rule.otherwise.is_empty() { "" } else { "; " };
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {held_by}{separator}{} |",
            rule.id,
            rule.level,
            rule.clause,
            rule.words.replace('|', "\\|"),
            rule.otherwise,
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::Row;
    use super::*;

    #[test]
    fn a_rule_is_held_by_rows_that_pass_or_has_its_reason() {
        let table = "id,level,clause,rule,held_by,otherwise\n\
            A-01,MUST,1,One,FFP-1.1 S-05,\nA-02,MUST,1,Two,,does not apply: no\n\
            A-03,MUST,1,Three,,\nA-04,MUST,1,\"Four, five\",FFP-9.9 S-19,\nA-05,MUST,1,Six,B-RD-01,\n";
        let rules = parse(table).unwrap();
        let row = |suite: &str, id: &str| Row {
            suite: suite.to_owned(),
            id: id.to_owned(),
            title: String::new(),
            not_applicable: String::new(),
        };
        let (one, two) = (row("FFP", "1.1"), row("B-RD", "B-RD-01"));
        let judged = [
            Judged { row: &one, verdict: Verdict::Passed, tests: Vec::new() },
            Judged { row: &two, verdict: Verdict::Failed, tests: Vec::new() },
        ];
        let mistakes = mistakes(&rules, &judged);
        assert_eq!(
            mistakes,
            [
                "A-03: nothing holds it, and no reason is given",
                "A-04: there is no row FFP-9.9",
                "A-04: there is no row S-19",
                "A-05: B-RD-01 is FAILED",
            ]
        );
        assert!(markdown(&rules).contains("| A-01 | MUST | 1 | One | FFP-1.1, S-05 |"));
        assert!(parse("\na,b\n").is_err());
    }
}
