//! The page, made of made-up figures: left in the build folder, for who wants to look at it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use throughput::core::digest;
use throughput::facts;
use throughput::measurement::{Measurement, Quantity, Section};
use throughput::plan::{BESIDE_BARE, Part, Plan};
use throughput::report::dd::Dd;
use throughput::report::{Failure, Report, figure, table};
use throughput::sample::Series;
use throughput::targets::{Verdict, all, names, settings};
use throughput::workload::{Digests, Operation, Workload};

/// Five figures around one, always the same.
fn around(figure: f64) -> Series {
    Series([0.97, 1.0, 1.04, 0.99, 1.02].map(|noise| noise * figure).to_vec())
}

fn made_up(plan: &Plan) -> Vec<Measurement> {
    let mut all = Vec::new();
    let mut add = |section, setting: &str, contender: &str, workload, quantity, figure| {
        all.push(Measurement {
            section,
            setting: setting.to_owned(),
            contender: contender.to_owned(),
            workload,
            quantity,
            series: around(figure),
        });
    };
    let digest_cost = |digests, both| match digests {
        Digests::None => 1.0,
        Digests::Header => 0.98,
        Digests::Both => both,
    };
    for nic in &plan.nics {
        for (workload, _) in plan.guest_workloads(*nic) {
            let seconds = |latency: f64, rate: f64| {
                let moved = f64::from(workload.block);
                latency / f64::from(workload.depth.min(8)) + moved / rate
            };
            let write = if workload.operation == Operation::Write { 0.85 } else { 1.0 };
            let of = |latency, rate, both| {
                f64::from(workload.block) / seconds(latency, rate)
                    * digest_cost(workload.digests, both)
                    * write
            };
            for (contender, throughput) in
                [(names::ISBOOT, of(1.5e-4, 290e6, 0.74)), (names::LINUX, of(7e-4, 120e6, 0.66))]
            {
                let rate = throughput / f64::from(workload.block);
                let mut add = |quantity, figure| {
                    add(Section::Guest, nic.name(), contender, Some(workload), quantity, figure);
                };
                add(Quantity::Throughput, throughput);
                add(Quantity::Rate, rate);
            }
            if BESIDE_BARE.contains(&workload) {
                let (setting, limit) = (settings::bare(nic.name()), of(1e-4, 300e6, 1.0));
                let mut add = |quantity, figure| {
                    let name = names::BARE;
                    add(Section::Limit, &setting, name, Some(workload), quantity, figure);
                };
                add(Quantity::Throughput, limit);
                add(Quantity::Rate, limit / f64::from(workload.block));
            }
        }
        for digests in [Digests::None, Digests::Header, Digests::Both] {
            let workload = Some(Workload::read(1 << 20, 4).with(digests));
            let (setting, cost) = (settings::in_turns(nic.name()), digest_cost(digests, 0.74));
            let quantity = Quantity::Throughput;
            add(Section::Guest, &setting, names::ISBOOT, workload, quantity, 290e6 * cost);
        }
        add(Section::Start, nic.name(), names::ISBOOT, None, Quantity::Seconds, 1.06);
    }
    let login = (Section::Limit, settings::LOGIN, names::ISTGT);
    add(login.0, login.1, login.2, None, Quantity::Seconds, 1.006);
    let small = Some(Workload::read(32 << 10, 1));
    for (contender, figure) in [(names::ISBOOT, 150e6), (names::IPXE, 70e6)] {
        add(Section::Guest, "e1000e", contender, small, Quantity::Throughput, figure);
    }
    let setting = settings::bare("e1000e");
    add(Section::Limit, &setting, names::BARE, small, Quantity::Throughput, 155e6);
    for workload in plan.host_workloads() {
        let depth = f64::from(workload.depth.min(8)).sqrt();
        for (contender, latency, rate, cpu) in
            [(names::ISBOOT, 7e-5, 2.4e9, 0.19), (names::LIBISCSI, 8e-5, 2.2e9, 0.45)]
        {
            let block = f64::from(workload.block);
            let throughput =
                block / (latency / depth + block / rate) * digest_cost(workload.digests, 0.6);
            let mut add = |quantity, figure| {
                let workload = Some(workload);
                add(Section::Host, settings::ISTGT, contender, workload, quantity, figure);
            };
            add(Quantity::Throughput, throughput);
            add(Quantity::Rate, throughput / block);
            add(Quantity::CpuPerGigabyte, cpu + 2e4 / block / 20.0);
        }
    }
    let middle = Workload::read(64 << 10, 4);
    for (setting, theirs, ours) in
        [(settings::GIGABIT, 118e6, 117.5e6), (settings::TEN_GIGABIT, 900e6, 520e6)]
    {
        for digests in [Digests::None, Digests::Both] {
            let workload = Some(middle.with(digests));
            add(Section::Link, setting, names::ISBOOT, workload, Quantity::Throughput, ours);
        }
        add(Section::Link, setting, names::LIBISCSI, Some(middle), Quantity::Throughput, theirs);
    }
    for length in digest::LENGTHS {
        let figure = 20e9 * length as f64 / (length as f64 + 300.0);
        let setting = digest::setting(length);
        add(Section::Core, &setting, names::ISBOOT, None, Quantity::Throughput, figure);
    }
    all
}

fn report() -> Report {
    let plan = Plan::full();
    let dd = [(Digests::None, 4.1), (Digests::Header, 4.2), (Digests::Both, 5.9)];
    let ours = dd.map(|(digests, seconds)| Dd {
        whose: "isboot, e1000e".to_owned(),
        digests,
        bytes: 1 << 30,
        seconds,
    });
    let theirs = ours.clone().map(|one| Dd {
        whose: "Linux, e1000e".to_owned(),
        seconds: one.seconds * 2.3,
        ..one
    });
    let failure =
        Failure { part: Part::Core, error: "valgrind <callgrind>: ended with status 1".to_owned() };
    let dd = ours.into_iter().chain(theirs).collect();
    let elapsed = Duration::from_secs(754);
    Report::new(&plan, facts::collect(&[]), elapsed, made_up(&plan), dd, vec![failure])
}

#[test]
fn the_page_has_everything_loads_nothing_and_names_no_path() {
    let report = report();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("made-up");
    let files = report.write(&folder).unwrap();
    assert!(files.contains(&"report.html".to_owned()), "{files:?}");
    assert!(files.iter().filter(|name| name.ends_with(".svg")).count() >= 10, "{files:?}");
    let page = fs::read_to_string(folder.join("report.html")).unwrap();
    for row in &report.rows {
        assert!(page.contains(&row.sentence), "{}", row.sentence);
    }
    let ipxe = report.rows.iter().find(|row| row.id == "guest-ipxe").unwrap();
    assert_eq!(
        ipxe.verdict,
        Verdict::AtTheLimit,
        "2.5 × are beyond the limit, and ours has 97 % of that"
    );
    let limited = report.rows.iter().find(|row| row.id == "guest-e1000e-read-1-mib-1").unwrap();
    let limit = figure::limit(limited).unwrap();
    assert_eq!(limit, "292 MB/s, which is 2.63 ×, ours has 95 %");
    assert!(page.contains(&limit), "{limit}");
    assert!(table::table(&report).contains(&limit), "{limit}");
    let plot = fs::read_to_string(folder.join("guest-reads-depth-1.svg")).unwrap();
    assert!(plot.contains(names::BARE), "{plot}");
    assert!(page.contains("1073741824 bytes transferred in 4.100000 secs (261888250 bytes/sec)"));
    assert!(page.contains("valgrind &lt;callgrind&gt;"), "words of others are escaped");
    for loads in ["<script", "src=", "href=", "url(", "@import", "http:", "https:"] {
        assert!(!page.contains(loads), "{loads}");
    }
    for own in [env!("CARGO_MANIFEST_DIR"), env!("CARGO_TARGET_TMPDIR")] {
        assert!(!page.contains(own), "{own}");
    }
    for wrong in ["NaN", ">inf", "-inf"] {
        assert!(!page.contains(wrong), "{wrong}");
    }
}

#[test]
fn what_was_written_is_read_again() {
    let report = report();
    let text = serde_json::to_string(&report).unwrap();
    let again: Report = serde_json::from_str(&text).unwrap();
    assert_eq!(table::table(&again), table::table(&report));
}

#[test]
fn a_run_of_nothing_has_met_nothing() {
    let plan = Plan::full();
    let none = || Report::new(&plan, vec![], Duration::ZERO, vec![], vec![], vec![]);
    assert_eq!(none().count(Verdict::NotMeasured), all(&plan).len());
    assert!(none().summary().contains("0 met"), "{}", none().summary());
    let table = table::table(&none());
    assert!(table.contains("not measured") && !table.contains("NaN"), "{table}");
}
