//! A plot as SVG: lines over a logarithmic axis, or bars.
//!
//! Colours are custom properties of CSS, so that one drawing serves light and dark; the palette is
//! Okabe and Ito's, which colour-blind people tell apart, and shape and dash say the same again.
//! That, and error bars on logarithmic axes, is why no plotting library draws this.

use maud::{Markup, PreEscaped, html};

use super::figure::digits;
use crate::targets::names;

const WIDTH: f64 = 560.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 14.0;
const BOTTOM: f64 = 46.0;
/// Of a plot with lines, without its legend.
const INNER_HEIGHT: f64 = 240.0;
const TITLE: f64 = 46.0;
const LEGEND_LINE: f64 = 19.0;
/// About the width of a letter of the legend.
const LETTER: f64 = 6.4;
const SAMPLE: f64 = 34.0;
const BAR: f64 = 17.0;
const BAR_STEP: f64 = 21.0;
const GROUP_GAP: f64 = 12.0;
const BAR_LABELS: f64 = 224.0;

/// Who a line or a bar belongs to: colour and shape follow it through all plots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    Isboot,
    Linux,
    Libiscsi,
    Ipxe,
    /// A limit, an announcement.
    Other,
}

impl Owner {
    pub(super) fn of(contender: &str) -> Self {
        match contender {
            names::ISBOOT => Self::Isboot,
            names::LINUX => Self::Linux,
            names::LIBISCSI => Self::Libiscsi,
            names::IPXE => Self::Ipxe,
            _ => Self::Other,
        }
    }

    fn class(self) -> &'static str {
        match self {
            Self::Isboot => "o0",
            Self::Linux => "o1",
            Self::Libiscsi => "o2",
            Self::Ipxe => "o3",
            Self::Other => "o4",
        }
    }
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dash {
    Solid,
    Dashed,
}

impl Dash {
    fn class(self) -> &'static str {
        match self {
            Self::Solid => "d0",
            Self::Dashed => "d1",
        }
    }
}

/// A figure with the least and the greatest that was seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) median: f64,
    pub(super) least: f64,
    pub(super) most: f64,
}

/// What one contender reached along the axis.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) owner: Owner,
    pub(super) dash: Dash,
    /// By what stands on the horizontal axis.
    pub(super) points: Vec<(f64, Seen)>,
}

/// One bar.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) name: String,
    pub(super) owner: Owner,
    /// Paler: with digests.
    pub(super) pale: bool,
    pub(super) seen: Seen,
    /// A mark on it: where its target is.
    pub(super) mark: Option<f64>,
}

/// What a plot shows.
#[derive(Clone, Debug)]
pub(super) enum Shape {
    /// Both axes logarithmic; marks of the horizontal one with their words.
    Lines { lines: Vec<Line>, marks: Vec<(f64, String)>, horizontal: &'static str },
    /// Groups of bars from 0.
    Bars(Vec<(String, Vec<Bar>)>),
}

/// A plot.
#[derive(Clone, Debug)]
pub(super) struct Plot {
    /// Of its file, without extension.
    pub(super) name: String,
    pub(super) title: String,
    /// What the vertical axis, or the length of a bar, counts.
    pub(super) unit: &'static str,
    pub(super) shape: Shape,
}

/// For the page, and for each plot alone.
pub(super) const STYLE: &str = "
:root{--paper:#ffffff;--ink:#1d2329;--soft:#5b6670;--grid:#dfe3e7;
--o0:#0072b2;--o1:#d55e00;--o2:#00865f;--o3:#b4568c;--o4:#6b737b}
@media(prefers-color-scheme:dark){:root{--paper:#14181c;--ink:#e6e9ec;--soft:#9aa5af;--grid:#2c343b;
--o0:#56b4e9;--o1:#f0943a;--o2:#2fc79a;--o3:#e39ac4;--o4:#98a2ab}}
svg{font:12px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif}
svg text{fill:var(--ink)}svg .soft{fill:var(--soft)}svg .title{font-size:14px;font-weight:600}
svg .grid{stroke:var(--grid);stroke-width:1}svg .axis{stroke:var(--soft);stroke-width:1}
svg .line{fill:none;stroke-width:2;stroke-linejoin:round}
svg .range{stroke-width:1.2;opacity:.55}svg .mark{stroke:var(--ink);stroke-width:2}
svg .o0{stroke:var(--o0)}svg .o1{stroke:var(--o1)}svg .o2{stroke:var(--o2)}svg .o3{stroke:var(--o3)}
svg .o4{stroke:var(--o4)}svg .f.o0{fill:var(--o0)}svg .f.o1{fill:var(--o1)}svg .f.o2{fill:var(--o2)}
svg .f.o3{fill:var(--o3)}svg .f.o4{fill:var(--o4)}svg .f.hollow{fill:var(--paper)}
svg .bar{stroke:none}svg .pale{opacity:.55}
svg .d1{stroke-dasharray:7 4}svg .f{stroke-dasharray:none}";

impl Plot {
    /// A file of its own.
    pub(super) fn alone(&self) -> String {
        let (height, inside) = self.drawn();
        html! {
            svg xmlns="http://www.w3.org/2000/svg" width=(WIDTH) height=(height)
                viewBox=(format!("0 0 {WIDTH} {height}")) {
                style { (PreEscaped(STYLE)) }
                rect width=(WIDTH) height=(height) style="fill:var(--paper)" {}
                (inside)
            }
        }
        .into_string()
            + "\n"
    }

    /// For a page, which has the style.
    pub(super) fn inline(&self) -> Markup {
        let (height, inside) = self.drawn();
        html! {
            svg role="img" viewBox=(format!("0 0 {WIDTH} {height}")) aria-label=(self.title) {
                (inside)
            }
        }
    }

    fn drawn(&self) -> (f64, Markup) {
        let (height, body) = match &self.shape {
            Shape::Lines { lines, marks, horizontal } => {
                draw_lines(lines, marks, horizontal, self.unit)
            }
            Shape::Bars(groups) => draw_bars(groups),
        };
        let heading = html! {
            text.title x="10" y="20" { (self.title) }
            text.soft x="10" y="37" { (self.unit) }
            (body)
        };
        (height, heading)
    }
}

/// A logarithmic axis: where a figure lies between the two ends.
#[derive(Clone, Copy)]
struct Logarithmic {
    least: f64,
    most: f64,
}

impl Logarithmic {
    fn share(self, figure: f64) -> f64 {
        (figure / self.least).ln() / (self.most / self.least).ln()
    }

    /// Around all figures, and to the next 1, 2 or 5 on both sides.
    fn around(figures: impl Iterator<Item = f64>) -> Self {
        let (mut least, mut most) = (f64::MAX, f64::MIN_POSITIVE);
        for figure in figures.filter(|figure| *figure > 0.0) {
            (least, most) = (least.min(figure), most.max(figure));
        }
        if least > most {
            (least, most) = (1.0, 10.0);
        }
        let steps = steps(least / 10.0, most * 10.0);
        let below = steps.iter().rev().find(|step| **step <= least * 1.0001);
        let above = steps.iter().find(|step| **step >= most * 0.9999);
        let (least, most) = (below.copied().unwrap_or(least), above.copied().unwrap_or(most));
        if least < most { Self { least, most } } else { Self { least: most / 2.0, most } }
    }
}

/// 1, 2, 5, 10, 20, … between the two.
fn steps(least: f64, most: f64) -> Vec<f64> {
    let mut steps = Vec::new();
    let mut power = 10f64.powf(least.log10().floor());
    while power <= most {
        steps.extend([1.0, 2.0, 5.0].map(|one| one * power));
        power *= 10.0;
    }
    steps.retain(|step| (least * 0.999..=most * 1.001).contains(step));
    steps
}

fn draw_lines(
    lines: &[Line],
    marks: &[(f64, String)],
    horizontal: &str,
    unit: &str,
) -> (f64, Markup) {
    let (legend_height, legend) = legend(lines);
    let top = TITLE + legend_height;
    let height = top + INNER_HEIGHT + BOTTOM;
    let seen = || lines.iter().flat_map(|line| &line.points);
    let vertical = Logarithmic::around(seen().flat_map(|(_, seen)| [seen.least, seen.most]));
    let ends = marks.first().zip(marks.last());
    let (first, last) = ends.map_or((1.0, 2.0), |(first, last)| (first.0, last.0));
    let across = Logarithmic { least: first, most: if last > first { last } else { first * 2.0 } };
    // Room for half a marker at both ends.
    let (begin, width) = (LEFT + 16.0, WIDTH - LEFT - RIGHT - 32.0);
    let x = |at: f64| begin + across.share(at) * width;
    let y = |at: f64| top + (1.0 - vertical.share(at)) * INNER_HEIGHT;
    let floor = top + INNER_HEIGHT;
    let body = html! {
        (legend)
        @for step in steps(vertical.least, vertical.most) {
            line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(short(y(step))) y2=(short(y(step))) {}
            text.soft x=(LEFT - 8.0) y=(short(y(step) + 4.0)) text-anchor="end" { (step_words(step)) }
        }
        line.axis x1=(LEFT) x2=(WIDTH - RIGHT) y1=(floor) y2=(floor) {}
        @for (at, words) in marks {
            line.axis x1=(short(x(*at))) x2=(short(x(*at))) y1=(floor) y2=(floor + 4.0) {}
            text.soft x=(short(x(*at))) y=(floor + 18.0) text-anchor="middle" { (words) }
        }
        text.soft x=(short(LEFT + (WIDTH - LEFT - RIGHT) / 2.0)) y=(floor + 37.0)
            text-anchor="middle" { (horizontal) }
        @for line in lines {
            @let class = format!("{} {}", line.owner.class(), line.dash.class());
            @let points: Vec<String> = line
                .points
                .iter()
                .map(|(at, seen)| format!("{},{}", short(x(*at)), short(y(seen.median))))
                .collect();
            @for (at, seen) in &line.points {
                line class=(format!("range {}", line.owner.class()))
                    x1=(short(x(*at))) x2=(short(x(*at)))
                    y1=(short(y(seen.least))) y2=(short(y(seen.most))) {}
            }
            polyline class=(format!("line {class}")) points=(points.join(" ")) {}
            @for (at, seen) in &line.points {
                @let mark = marks.iter().find(|(mark, _)| mark == at);
                @let place = mark.map_or("", |(_, words)| words.as_str());
                (marker(line, x(*at), y(seen.median), &html! {
                    title { (tip(&format!("{}, {place}", line.name), *seen, unit)) }
                }))
            }
        }
    };
    (height, body)
}

/// A shape for each owner; hollow with digests.
fn marker(line: &Line, x: f64, y: f64, inside: &Markup) -> Markup {
    let hollow = if line.dash == Dash::Solid { "" } else { "hollow" };
    let class = format!("f {} {hollow}", line.owner.class());
    let corners = |corners: &[(f64, f64)]| -> String {
        let corner = |(dx, dy): &(f64, f64)| format!("{},{}", short(x + dx), short(y + dy));
        corners.iter().map(corner).collect::<Vec<_>>().join(" ")
    };
    let polygon = |points: &[(f64, f64)]| {
        html! {
            polygon class=(class) stroke-width="1.6" points=(corners(points)) { (inside) }
        }
    };
    match line.owner {
        Owner::Isboot | Owner::Other => html! {
            circle class=(class) stroke-width="1.6" cx=(short(x)) cy=(short(y)) r="4" { (inside) }
        },
        Owner::Linux => polygon(&[(-3.6, -3.6), (3.6, -3.6), (3.6, 3.6), (-3.6, 3.6)]),
        Owner::Libiscsi => polygon(&[(0.0, -4.8), (4.5, 3.4), (-4.5, 3.4)]),
        Owner::Ipxe => polygon(&[(0.0, -5.0), (5.0, 0.0), (0.0, 5.0), (-5.0, 0.0)]),
    }
}

/// Samples of all lines, in as many rows as they need.
fn legend(lines: &[Line]) -> (f64, Markup) {
    let (mut x, mut row) = (10.0, 0.0);
    let mut places = Vec::new();
    for line in lines {
        let width = SAMPLE + line.name.chars().count() as f64 * LETTER + 18.0;
        if x > 10.0 && x + width > WIDTH {
            (x, row) = (10.0, row + 1.0);
        }
        places.push((line, x, TITLE + 8.0 + row * LEGEND_LINE));
        x += width;
    }
    let body = html! {
        @for (line, x, y) in places {
            line class=(format!("line {} {}", line.owner.class(), line.dash.class()))
                x1=(short(x)) x2=(short(x + 26.0)) y1=(y) y2=(y) {}
            (marker(line, x + 13.0, y, &html! {}))
            text x=(short(x + SAMPLE)) y=(y + 4.0) { (line.name) }
        }
    };
    ((row + 1.0) * LEGEND_LINE + 12.0, body)
}

fn draw_bars(groups: &[(String, Vec<Bar>)]) -> (f64, Markup) {
    let all = || groups.iter().flat_map(|(_, bars)| bars);
    let most = all().map(|bar| bar.seen.most.max(bar.mark.unwrap_or(0.0))).fold(0.0, f64::max);
    // The figure stands behind the bar.
    let width = WIDTH - BAR_LABELS - RIGHT - 58.0;
    let x = |at: f64| BAR_LABELS + if most > 0.0 { at / most * width } else { 0.0 };
    let mut y = TITLE + 2.0;
    let mut places = Vec::new();
    for (group, bars) in groups {
        for (number, bar) in bars.iter().enumerate() {
            places.push((if number == 0 { group.as_str() } else { "" }, bar, y));
            y += BAR_STEP;
        }
        y += GROUP_GAP;
    }
    let floor = y - GROUP_GAP + 4.0;
    let body = html! {
        @for (group, bar, y) in &places {
            @let middle = y + BAR / 2.0;
            @let owner = bar.owner.class();
            @let pale = if bar.pale { "pale" } else { "" };
            text x="10" y=(middle + 4.0) { (group) }
            text.soft x=(BAR_LABELS - 8.0) y=(middle + 4.0) text-anchor="end" { (bar.name) }
            rect class=(format!("bar f {owner} {pale}")) x=(BAR_LABELS) y=(y) height=(BAR)
                width=(short(x(bar.seen.median) - BAR_LABELS)) rx="2" {
                title { (tip(&format!("{group} {}", bar.name), bar.seen, "")) }
            }
            @if bar.seen.least < bar.seen.most {
                line.axis x1=(short(x(bar.seen.least))) x2=(short(x(bar.seen.most)))
                    y1=(middle) y2=(middle) {}
            }
            @if let Some(mark) = bar.mark {
                line.mark x1=(short(x(mark))) x2=(short(x(mark))) y1=(y - 2.0)
                    y2=(y + BAR + 2.0) { title { "target " (digits(mark)) } }
            }
            text x=(short(x(bar.seen.most.max(bar.mark.unwrap_or(0.0))) + 6.0)) y=(middle + 4.0) {
                (digits(bar.seen.median))
            }
        }
        line.axis x1=(BAR_LABELS) x2=(BAR_LABELS) y1=(TITLE - 2.0) y2=(floor) {}
    };
    (floor + 12.0, body)
}

fn tip(what: &str, seen: Seen, unit: &str) -> String {
    let spread = if seen.least < seen.most {
        format!(" ({} – {})", digits(seen.least), digits(seen.most))
    } else {
        String::new()
    };
    format!("{}: {} {unit}{spread}", what.trim(), digits(seen.median))
}

/// A step of an axis: a 1, a 2 or a 5 needs no more digits than it has.
fn step_words(step: f64) -> String {
    let decimals = if step >= 0.999 { 0 } else { (-step.log10()).ceil().max(0.0) as usize };
    format!("{step:.decimals$}")
}

/// A coordinate: a tenth of a pixel is enough.
fn short(coordinate: f64) -> f64 {
    (coordinate * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_one_a_two_or_a_five() {
        let axis = Logarithmic::around([12.0, 430.0].into_iter());
        assert_eq!((axis.least, axis.most), (10.0, 500.0));
        assert_eq!(steps(10.0, 500.0), [10.0, 20.0, 50.0, 100.0, 200.0, 500.0]);
        assert!((axis.share(10.0), axis.share(500.0)) == (0.0, 1.0));
        let one = Logarithmic::around([5.0].into_iter());
        assert!(one.least < one.most, "a single figure has an axis too");
        assert_eq!([0.05, 0.2, 1.0, 500.0].map(step_words), ["0.05", "0.2", "1", "500"]);
        let none = Logarithmic::around([].into_iter());
        assert!(none.least < none.most);
    }

    #[test]
    fn a_plot_is_xml_with_every_figure_and_escaped_words() {
        let seen = Seen { median: 20.0, least: 18.0, most: 21.0 };
        let line = Line {
            name: "a < b & c".to_owned(),
            owner: Owner::Linux,
            dash: Dash::Dashed,
            points: vec![(4096.0, seen), (65536.0, seen)],
        };
        let marks = vec![(4096.0, "4 KiB".to_owned()), (65536.0, "64 KiB".to_owned())];
        let shape = Shape::Lines { lines: vec![line], marks, horizontal: "block" };
        let (name, title) = ("n".to_owned(), "t".to_owned());
        let text = Plot { name, title, unit: "MB/s", shape }.alone();
        assert!(text.contains("a &lt; b &amp; c, 64 KiB: 20.0 MB/s (18.0 – 21.0)"), "{text}");
        assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    }
}
