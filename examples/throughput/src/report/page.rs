//! The page: everything in one file that can be mailed. It loads nothing and runs nothing.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::table::{SECTIONS, title};
use super::{Report, dd, figure, plot, plots};
use crate::measurement::{Measurement, Section};
use crate::plan::Mode;
use crate::targets::{Row, Verdict};

const STYLE: &str = "
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,-apple-system,'Segoe UI',
'DejaVu Sans',sans-serif}
main{max-width:1240px;margin:0 auto;padding:28px 24px 64px}
h1{font-size:27px;line-height:1.2;margin:0 0 6px}h2{font-size:19px;margin:40px 0 10px}
p{max-width:75ch;margin:8px 0}.soft{color:var(--soft)}
.tiles{display:flex;flex-wrap:wrap;gap:12px;margin:20px 0 8px}
.tile{border:1px solid var(--grid);border-radius:8px;padding:10px 18px;min-width:96px}
.tile b{display:block;font-size:26px;line-height:1.15}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:14px;font-variant-numeric:tabular-nums}
th,td{padding:4px 10px;border-bottom:1px solid var(--grid);text-align:right;white-space:nowrap}
th{color:var(--soft);font-weight:600}td:first-child,th:first-child{text-align:left;padding-left:0;
white-space:normal;min-width:320px}td.left,th.left{text-align:left}
tr.section th{color:var(--ink);font-size:15px;padding-top:18px}
.met{color:var(--met)}.at-the-limit{color:var(--limit)}
.not-met{color:var(--miss)}.not-measured{color:var(--soft)}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,500px),1fr));gap:18px}
figure{margin:0;border:1px solid var(--grid);border-radius:8px;padding:8px}figure svg{width:100%;height:auto}
code{font:13px ui-monospace,'DejaVu Sans Mono',monospace}
summary{cursor:pointer;color:var(--soft)}
:root{color-scheme:light dark;--met:#00734f;--limit:#8a5a00;--miss:#b3260e}
@media(prefers-color-scheme:dark){:root{--met:#3fd0a0;--limit:#e0b040;--miss:#ff8a70}}
@media print{figure,tr{break-inside:avoid}}";

/// The page of a report.
pub fn page(report: &Report) -> String {
    let heading = "isboot, beside what a user would pick instead";
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (heading) }
                style { (PreEscaped(plot::STYLE)) (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (heading) }
                    (introduction(report))
                    (tiles(report))
                    (failures(report))
                    (targets(report))
                    (dd_words(report))
                    (drawings(report))
                    (measurements(&report.measurements))
                    (machine(report))
                }
            }
        }
    }
    .into_string()
        + "\n"
}

fn introduction(report: &Report) -> Markup {
    let mode = match report.mode {
        Mode::Quick => "a quick run, of one card and the targets alone",
        Mode::Full => "a full run",
    };
    let minutes = report.elapsed.as_secs() / 60;
    let seconds = report.elapsed.as_secs() % 60;
    html! {
        p {
            "Ours and theirs took turns on one machine against one istgt, whose disks were in memory. "
            "A figure is the median of its rounds; a ratio is taken round by round, so that what the "
            "machine did to both cancels out; beside it stand the least and the greatest. This was "
            (mode) ", in " (minutes) " min " (seconds) " s."
        }
    }
}

fn tiles(report: &Report) -> Markup {
    html! {
        div.tiles {
            @for verdict in
                [Verdict::Met, Verdict::AtTheLimit, Verdict::NotMet, Verdict::NotMeasured] {
                @let count = report.count(verdict);
                @if count > 0 || verdict == Verdict::Met {
                    div.tile { b class=(class(verdict)) { (count) } (verdict.word().to_lowercase()) }
                }
            }
        }
    }
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Met => "met",
        Verdict::AtTheLimit => "at-the-limit",
        Verdict::NotMet => "not-met",
        Verdict::NotMeasured => "not-measured",
    }
}

fn failures(report: &Report) -> Markup {
    html! {
        @if !report.failures.is_empty() {
            h2 { "What failed" }
            div.wide {
                table {
                    @for failure in &report.failures {
                        tr { td { (failure.part.name()) } td.left.not-met { (failure.error) } }
                    }
                }
            }
        }
    }
}

fn targets(report: &Report) -> Markup {
    html! {
        @if !report.rows.is_empty() {
            h2 { "Targets" }
            div.wide {
                table {
                    @for section in SECTIONS {
                        @let rows: Vec<&Row> =
                            report.rows.iter().filter(|row| row.section == section).collect();
                        @if !rows.is_empty() {
                            tr.section {
                                th { (title(section)) }
                                th { "ours" } th { "theirs" } th {} th { "reached" }
                                th { "least – greatest" } th { "target" } th.left { "" }
                            }
                            @for row in rows { (target(row)) }
                        }
                    }
                }
            }
            @if report.count(Verdict::AtTheLimit) > 0 {
                p.soft {
                    "At the limit: the target lies beyond something that nobody exceeds here and that "
                    "was measured in the same run, and ours has at least 95 % of it."
                }
            }
        }
    }
}

fn target(row: &Row) -> Markup {
    let with_unit = |value: Option<f64>| {
        value.zip(row.quantity).map(|(value, quantity)| figure::with_unit(value, quantity))
    };
    let unknown = || "–".to_owned();
    html! {
        tr {
            td { (row.sentence) }
            td { (with_unit(row.ours).unwrap_or_else(unknown)) }
            td { (with_unit(row.theirs).unwrap_or_else(unknown)) }
            td.left.soft { @if let Some(against) = row.beside() { (against) } }
            td { b { (figure::reached(row).unwrap_or_else(unknown)) } }
            td.soft { (figure::spread(row).unwrap_or_default()) }
            td { (figure::threshold(row)) }
            td.left {
                span class=(class(row.verdict)) { b { (row.verdict.word()) } }
                @if let Some(worst) = &row.worst { span.soft { " worst: " (worst) } }
                @if let Some(limit) = figure::limit(row) { span.soft { " limit: " (limit) } }
            }
        }
    }
}

fn dd_words(report: &Report) -> Markup {
    html! {
        @if !report.dd.is_empty() {
            h2 { "dd of the announcement" }
            p {
                "isboot for FreeBSD was announced with the whole disk read by dd in blocks of 1 MiB, one "
                "command at a time, over gigabit cards of Intel, from istgt: 61.3 MB/s, 60.7 with "
                "header digest, 52.5 with both. The same here, in emulated machines."
            }
            div.wide {
                table {
                    tr {
                        th { "who" } th.left { "session" } th.left { "in its words" }
                        th { "MB/s" } th { "announced" } th { "times" }
                    }
                    @for one in &report.dd {
                        @let announced = dd::announced(one.digests);
                        tr {
                            td { (one.whose) }
                            td.left { (figure::digests(one.digests)) }
                            td.left { code { (one) } }
                            td { b { (figure::digits(one.megabytes_per_second())) } }
                            td.soft { (announced) }
                            td.soft { (figure::digits(one.megabytes_per_second() / announced)) }
                        }
                    }
                }
            }
        }
    }
}

fn drawings(report: &Report) -> Markup {
    let plots = plots::all(report);
    html! {
        @if !plots.is_empty() {
            h2 { "Plots" }
            p.soft {
                "A thin line is what was seen from the least to the greatest. Point at a figure to read "
                "it."
            }
            div.plots { @for plot in plots { figure { (plot.inline()) } } }
        }
    }
}

fn measurements(all: &[Measurement]) -> Markup {
    let section = |section: Section| format!("{section:?}").to_lowercase();
    html! {
        @if !all.is_empty() {
            h2 { "All figures" }
            details {
                summary { (all.len()) " of them" }
                div.wide {
                    table {
                        tr {
                            th { "section" } th.left { "on" } th.left { "whose" } th.left { "doing" }
                            th { "median" } th { "least" } th { "greatest" } th { "rounds" }
                        }
                        @for one in all {
                            @let (least, most) = one.series.spread();
                            @let words = |value| figure::with_unit(value, one.quantity);
                            tr {
                                td { (section(one.section)) }
                                td.left { (one.setting) }
                                td.left { (one.contender) }
                                td.left { @if let Some(workload) = one.workload { (workload) } }
                                td { (words(one.series.median())) }
                                td.soft { (words(least)) }
                                td.soft { (words(most)) }
                                td.soft { (one.series.0.len()) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn machine(report: &Report) -> Markup {
    html! {
        h2 { "The machine" }
        table {
            @for fact in &report.facts {
                tr { td { (fact.name) } td.left { (fact.value) } }
            }
        }
        p.soft { "Again, on any machine: " code { "cargo xtask bench" } }
    }
}
