//! The table of targets for a terminal.

use console::{Alignment, Style, pad_str};

use super::{Report, dd, figure};
use crate::measurement::Section;
use crate::targets::{Row, Verdict};

const SENTENCE: usize = 58;
const FIGURE: usize = 11;
const RATIO: usize = 9;
const SPREAD: usize = 15;
const THRESHOLD: usize = 13;

/// The section in words.
pub(super) fn title(section: Section) -> &'static str {
    match section {
        Section::Guest => "In the guest",
        Section::Host => "On the host, over its sockets",
        Section::Link => "Over a shaped link, ours over smoltcp",
        Section::Core => "The core alone",
        Section::Start => "Time to the first block",
        Section::Growth => "Growth",
        Section::Limit => "Limits",
    }
}

/// Sections in the order of the rows.
pub(super) const SECTIONS: [Section; 6] =
    [Section::Guest, Section::Host, Section::Link, Section::Core, Section::Start, Section::Growth];

/// What a person reads first.
pub fn table(report: &Report) -> String {
    let mut text = String::new();
    for section in SECTIONS {
        let rows: Vec<&Row> = report.rows.iter().filter(|row| row.section == section).collect();
        if rows.is_empty() {
            continue;
        }
        text += &heading(title(section));
        for row in rows {
            text += &line(row);
        }
    }
    text += &dd_table(report);
    if !report.failures.is_empty() {
        text += &format!("\n{}\n", Style::new().bold().apply_to("What failed"));
        for failure in &report.failures {
            text += &format!("  {}: {}\n", failure.part.name(), failure.error);
        }
    }
    text += &format!("\n{}\n", Style::new().bold().apply_to(report.summary()));
    if let Some(left_out) = report.mode.left_out() {
        text += &format!("{left_out}\n");
    }
    text
}

fn heading(title: &str) -> String {
    let columns = cells(title, ["ours", "theirs", "reached", "least – most", "target"]);
    format!("\n{}\n", Style::new().bold().apply_to(columns.trim_end()))
}

fn line(row: &Row) -> String {
    let unknown = || "–".to_owned();
    let figure_of = |figure: Option<f64>| match (figure, row.quantity) {
        (Some(figure), Some(quantity)) => figure::with_unit(figure, quantity),
        _ => unknown(),
    };
    let style = match row.verdict {
        Verdict::Met => Style::new().green(),
        Verdict::AtTheLimit => Style::new().yellow(),
        Verdict::NotMet => Style::new().red().bold(),
        Verdict::NotMeasured => Style::new().dim(),
    };
    let columns = cells(
        &format!("  {}", row.sentence),
        [
            &figure_of(row.ours),
            &figure_of(row.theirs),
            &figure::reached(row).unwrap_or_else(unknown),
            &figure::spread(row).unwrap_or_default(),
            &figure::threshold(row),
        ],
    );
    let mut line = format!("{columns}  {}", style.apply_to(row.verdict.word()));
    if let Some(worst) = &row.worst {
        line += &format!(" (worst: {worst})");
    }
    if let Some(limit) = figure::limit(row) {
        line += &format!(" (limit {limit})");
    }
    line + "\n"
}

fn cells(first: &str, [ours, theirs, reached, spread, threshold]: [&str; 5]) -> String {
    let right = |text: &str, width| pad_str(text, width, Alignment::Right, None).into_owned();
    format!(
        "{}{} {} {} {} {}",
        pad_str(first, SENTENCE, Alignment::Left, None),
        right(ours, FIGURE),
        right(theirs, FIGURE),
        right(reached, RATIO),
        right(spread, SPREAD),
        right(threshold, THRESHOLD)
    )
}

fn dd_table(report: &Report) -> String {
    if report.dd.is_empty() {
        return String::new();
    }
    let title = "dd if=/dev/disk of=/dev/null bs=1M, beside what the announcement says";
    let mut text = format!("\n{}\n", Style::new().bold().apply_to(title));
    for one in &report.dd {
        text += &format!(
            "  {:<18} {:<14} {one}; announced: {} MB/s\n",
            one.whose,
            figure::digests(one.digests),
            dd::announced(one.digests)
        );
    }
    text
}
