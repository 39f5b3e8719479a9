//! Which plots there are: of what was measured, and none of what was not.

use super::plot::{Bar, Dash, Line, Owner, Plot, Seen, Shape};
use super::{Report, dd, figure};
use crate::core::digest;
use crate::measurement::{Measurement, Quantity, Section};
use crate::sample::Series;
use crate::targets::{names, settings};
use crate::workload::{Digests, Operation, Pattern, Workload};

use Operation::{Read, Write};
use Pattern::{Random, Sequential};

const KIB: u32 = 1 << 10;

/// All plots of a report, in the order of the page.
pub(super) fn all(report: &Report) -> Vec<Plot> {
    let all = &report.measurements;
    let mut plots = Vec::new();
    plots.extend(dd_bars(report));
    if let Some(nic) = most_measured(all) {
        for (operation, word) in [(Read, "reads"), (Write, "writes")] {
            for depth in [1, 4] {
                let is_drawn = |one: &Workload| {
                    one.operation == operation && one.pattern == Sequential && one.depth == depth
                };
                plots.extend(by_size(
                    &in_guest(all, &nic, Quantity::Throughput, is_drawn),
                    format!("guest-{word}-depth-{depth}"),
                    format!("Guest, {nic}: sequential {word}, {depth} outstanding"),
                ));
            }
        }
        let is_random = |one: &Workload| one.pattern == Random && one.block == 4 * KIB;
        plots.extend(by_depth(
            &in_guest(all, &nic, Quantity::Rate, is_random),
            "guest-random".to_owned(),
            format!("Guest, {nic}: random reads of 4 KiB"),
        ));
        let is_middle = |one: &Workload| {
            one.operation == Read && one.pattern == Sequential && one.block == 64 * KIB
        };
        plots.extend(by_depth(
            &in_guest(all, &nic, Quantity::Throughput, is_middle),
            "guest-depth".to_owned(),
            format!("Guest, {nic}: sequential reads of 64 KiB"),
        ));
    }
    plots.extend(digest_bars(all));
    plots.extend(start_bars(report));
    plots.extend(host(all));
    plots.extend(link(all));
    plots.extend(core(all));
    plots
}

/// The card with most figures: the one that was measured for plots.
fn most_measured(all: &[Measurement]) -> Option<String> {
    let of = |setting: &str| all.iter().filter(|one| one.setting == setting).count();
    let guests = all.iter().filter(|one| one.section == Section::Guest);
    guests.map(|one| &one.setting).max_by_key(|setting| of(setting)).cloned()
}

fn selected<'a>(
    all: &'a [Measurement],
    section: Section,
    setting: &str,
    quantity: Quantity,
    is_drawn: impl Fn(&Workload) -> bool,
) -> Vec<&'a Measurement> {
    let wanted = |one: &&Measurement| {
        one.section == section
            && one.setting == setting
            && one.quantity == quantity
            && one.workload.as_ref().is_some_and(&is_drawn)
    };
    all.iter().filter(wanted).collect()
}

/// What guests on a card reached, and what istgt and our stack leave to them.
fn in_guest<'a>(
    all: &'a [Measurement],
    nic: &str,
    quantity: Quantity,
    is_drawn: impl Fn(&Workload) -> bool + Copy,
) -> Vec<&'a Measurement> {
    let mut figures = selected(all, Section::Guest, nic, quantity, is_drawn);
    figures.extend(selected(all, Section::Limit, &settings::bare(nic), quantity, is_drawn));
    figures
}

/// In the unit that an axis has: MB/s, thousands a second.
fn seen(series: &Series, quantity: Quantity) -> Seen {
    let divisor = match quantity {
        Quantity::Throughput => 1e6,
        Quantity::Rate => 1e3,
        _ => 1.0,
    };
    let (least, most) = series.spread();
    Seen { median: series.median() / divisor, least: least / divisor, most: most / divisor }
}

fn unit(quantity: Quantity) -> &'static str {
    match quantity {
        Quantity::Throughput => "MB/s",
        Quantity::Rate => "thousand requests a second",
        Quantity::CpuPerGigabyte => "processor seconds for 10⁹ bytes",
        Quantity::NanosecondsPerCommand => "ns for a command",
        Quantity::InstructionsPerCommand => "instructions for a command",
        Quantity::Seconds => "seconds",
        Quantity::Bytes => "bytes",
    }
}

fn size(bytes: f64) -> String {
    let bytes = bytes as u64;
    match bytes {
        mib if mib >= 1 << 20 && mib % (1 << 20) == 0 => format!("{} MiB", mib >> 20),
        kib if kib >= 1 << 10 && kib % (1 << 10) == 0 => format!("{} KiB", kib >> 10),
        _ => format!("{bytes} B"),
    }
}

/// A figure with its place on the horizontal axis.
struct Placed<'a> {
    at: f64,
    digests: Digests,
    measured: &'a Measurement,
}

fn by_size(measured: &[&Measurement], name: String, title: String) -> Option<Plot> {
    let placed = placed(measured, |one| f64::from(one.block));
    over(&placed, name, title, "bytes of a request", size)
}

fn by_depth(measured: &[&Measurement], name: String, title: String) -> Option<Plot> {
    let placed = placed(measured, |one| f64::from(one.depth));
    over(&placed, name, title, "requests outstanding", |depth| format!("{depth}"))
}

/// By what the workload says. Those with a header digest lie upon those without: the plot of
/// digests tells them apart.
fn placed<'a>(measured: &[&'a Measurement], at: impl Fn(&Workload) -> f64) -> Vec<Placed<'a>> {
    let of = |measured: &&'a Measurement| {
        let workload = measured.workload?;
        let placed = Placed { at: at(&workload), digests: workload.digests, measured };
        (workload.digests != Digests::Header).then_some(placed)
    };
    measured.iter().filter_map(of).collect()
}

/// A line for each contender and its digests. One point is no plot.
fn over(
    all: &[Placed<'_>],
    name: String,
    title: String,
    horizontal: &'static str,
    words: impl Fn(f64) -> String,
) -> Option<Plot> {
    let quantity = all.first()?.measured.quantity;
    let mut lines: Vec<Line> = Vec::new();
    let mut places: Vec<f64> = Vec::new();
    for Placed { at, digests, measured } in all {
        let (with, dash) = match digests {
            Digests::None => (String::new(), Dash::Solid),
            other => (format!(", {}", figure::digests(*other)), Dash::Dashed),
        };
        let line_name = format!("{}{with}", measured.contender);
        let number = lines.iter().position(|line| line.name == line_name).unwrap_or_else(|| {
            let owner = Owner::of(&measured.contender);
            lines.push(Line { name: line_name, owner, dash, points: Vec::new() });
            lines.len() - 1
        });
        lines[number].points.push((*at, seen(&measured.series, quantity)));
        if !places.contains(at) {
            places.push(*at);
        }
    }
    places.sort_by(f64::total_cmp);
    if places.len() < 2 {
        return None;
    }
    for line in &mut lines {
        line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    lines.sort_by_key(|line| (line.owner, line.name.len()));
    let marks = places.into_iter().map(|place| (place, words(place))).collect();
    let shape = Shape::Lines { lines, marks, horizontal };
    Some(Plot { name, title, unit: unit(quantity), shape })
}

fn dd_bars(report: &Report) -> Option<Plot> {
    let mut groups = Vec::new();
    for (digests, announced) in dd::ANNOUNCED {
        let exactly = |median| Seen { median, least: median, most: median };
        let mut bars: Vec<Bar> = report
            .dd
            .iter()
            .filter(|one| one.digests == digests)
            .map(|one| Bar {
                name: one.whose.clone(),
                owner: Owner::of(one.whose.split([',', ' ']).next().unwrap_or_default()),
                pale: false,
                seen: exactly(one.megabytes_per_second()),
                mark: None,
            })
            .collect();
        if bars.is_empty() {
            continue;
        }
        bars.push(Bar {
            name: "announced".to_owned(),
            owner: Owner::Other,
            pale: false,
            seen: exactly(announced),
            mark: None,
        });
        groups.push((figure::digests(digests).to_owned(), bars));
    }
    bars("dd", "dd of the whole disk in blocks of 1 MiB", "MB/s", groups)
}

/// What header and both digests leave of the throughput without.
fn digest_bars(all: &[Measurement]) -> Option<Plot> {
    let mut groups: Vec<(String, Vec<Bar>)> = Vec::new();
    for without in all {
        let Some(workload) = without.workload else { continue };
        let is_wanted = without.quantity == Quantity::Throughput
            && workload.digests == Digests::None
            && match without.section {
                Section::Guest => {
                    workload == Workload::read(1 << 20, 4) && !has_taken_turns(all, without)
                }
                Section::Host => workload == Workload::read(1 << 20, 4),
                Section::Link => workload == Workload::read(64 * KIB, 4),
                _ => false,
            };
        if !is_wanted {
            continue;
        }
        let mut bars = Vec::new();
        for digests in [Digests::Header, Digests::Both] {
            let with = all.iter().find(|one| {
                one.section == without.section
                    && one.setting == without.setting
                    && one.contender == without.contender
                    && one.quantity == without.quantity
                    && one.workload == Some(workload.with(digests))
            });
            let Some(with) = with else { continue };
            bars.push(Bar {
                name: figure::digests(digests).to_owned(),
                owner: Owner::of(&without.contender),
                pale: digests == Digests::Header,
                seen: seen(&with.series.ratio(&without.series), Quantity::Seconds),
                mark: None,
            });
        }
        if !bars.is_empty() {
            let setting = without.setting.split(',').next().unwrap_or_default();
            groups.push((format!("{}, {setting}", without.contender), bars));
        }
    }
    if groups.is_empty() {
        return None;
    }
    let announced = |digests| {
        let share = dd::announced(digests) / dd::announced(Digests::None);
        Bar {
            name: figure::digests(digests).to_owned(),
            owner: Owner::Other,
            pale: digests == Digests::Header,
            seen: Seen { median: share, least: share, most: share },
            mark: None,
        }
    };
    let both = [Digests::Header, Digests::Both].map(announced).to_vec();
    groups.push(("announced, GbE".to_owned(), both));
    bars("digests", "What digests leave", "throughput, as a share of that without digests", groups)
}

/// Whether the same was measured with other digests in turns, which says more.
fn has_taken_turns(all: &[Measurement], one: &Measurement) -> bool {
    let in_turns = settings::in_turns(&one.setting);
    one.contender == names::ISBOOT
        && all.iter().any(|other| other.section == one.section && other.setting == in_turns)
}

fn start_bars(report: &Report) -> Option<Plot> {
    let all = &report.measurements;
    let is_login =
        |one: &&Measurement| one.section == Section::Limit && one.setting == settings::LOGIN;
    let login = all.iter().find(is_login).map(|one| one.series.median());
    let of_nic = |one: &Measurement| Bar {
        name: one.contender.clone(),
        owner: Owner::of(&one.contender),
        pale: false,
        seen: seen(&one.series, Quantity::Seconds),
        mark: login.filter(|_| one.contender == names::ISBOOT).map(|login| login + 0.1),
    };
    let is_start = |one: &&Measurement| {
        one.section == Section::Start && one.quantity == Quantity::Seconds && one.workload.is_none()
    };
    let groups: Vec<(String, Vec<Bar>)> =
        all.iter().filter(is_start).map(|one| (one.setting.clone(), vec![of_nic(one)])).collect();
    let unit = "seconds; the mark is istgt's own login and 100 ms";
    bars("start", "From kernel entry to the first block", unit, groups)
}

fn bars(
    name: &str,
    title: &str,
    unit: &'static str,
    groups: Vec<(String, Vec<Bar>)>,
) -> Option<Plot> {
    let shape = Shape::Bars(groups);
    let is_empty = matches!(&shape, Shape::Bars(groups) if groups.is_empty());
    (!is_empty).then(|| Plot { name: name.to_owned(), title: title.to_owned(), unit, shape })
}

fn host(all: &[Measurement]) -> Vec<Plot> {
    let mut plots = Vec::new();
    let selected = |quantity, is_drawn: &dyn Fn(&Workload) -> bool| {
        selected(all, Section::Host, settings::ISTGT, quantity, is_drawn)
    };
    for depth in [1, 32] {
        for (operation, word) in [(Read, "reads"), (Write, "writes")] {
            let is_drawn = |one: &Workload| {
                one.operation == operation && one.pattern == Sequential && one.depth == depth
            };
            plots.extend(by_size(
                &selected(Quantity::Throughput, &is_drawn),
                format!("host-{word}-depth-{depth}"),
                format!("Host: sequential {word}, {depth} outstanding"),
            ));
        }
    }
    let is_read =
        |one: &Workload| one.operation == Read && one.pattern == Sequential && one.depth == 32;
    plots.extend(by_size(
        &selected(Quantity::CpuPerGigabyte, &is_read),
        "host-cpu".to_owned(),
        "Host: processor time of sequential reads, 32 outstanding".to_owned(),
    ));
    let is_small =
        |one: &Workload| one.operation == Read && one.pattern == Sequential && one.block == 4 * KIB;
    plots.extend(by_depth(
        &selected(Quantity::Rate, &is_small),
        "host-depth".to_owned(),
        "Host: reads of 4 KiB".to_owned(),
    ));
    plots
}

fn link(all: &[Measurement]) -> Option<Plot> {
    let mut groups: Vec<(String, Vec<Bar>)> = Vec::new();
    let is_drawn =
        |one: &&Measurement| one.section == Section::Link && one.quantity == Quantity::Throughput;
    for one in all.iter().filter(is_drawn) {
        let Some(workload) = one.workload else { continue };
        // The names of the bars stand in the same line: the load is in the title.
        let group = one.setting.clone();
        let digests = match workload.digests {
            Digests::None => String::new(),
            other => format!(", {}", figure::digests(other)),
        };
        let bar = Bar {
            name: format!("{}{digests}", one.contender),
            owner: Owner::of(&one.contender),
            pale: workload.digests != Digests::None,
            seen: seen(&one.series, Quantity::Throughput),
            mark: None,
        };
        match groups.iter_mut().find(|(name, _)| *name == group) {
            Some((_, bars)) => bars.push(bar),
            None => groups.push((group, vec![bar])),
        }
    }
    let title = "Shaped link: read 64 KiB ×4, ours over smoltcp, libiscsi over the kernel's TCP";
    bars("link", title, "MB/s", groups)
}

fn core(all: &[Measurement]) -> Option<Plot> {
    let of_length = |length: usize| {
        let setting = digest::setting(length);
        all.iter()
            .filter(move |one| one.section == Section::Core && one.setting == setting)
            .map(move |measured| Placed { at: length as f64, digests: Digests::None, measured })
    };
    let placed: Vec<Placed<'_>> = digest::LENGTHS.into_iter().flat_map(of_length).collect();
    let title = "Core: CRC32C, and copying as much".to_owned();
    over(&placed, "core-crc32c".to_owned(), title, "bytes", size)
}
