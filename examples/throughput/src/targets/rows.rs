//! Every row there is.

use super::{Figure, Key, Target, Threshold};
use crate::core::digest;
use crate::measurement::{Quantity, Section};
use crate::plan::{BESIDE_BARE, Mode, Plan};
use crate::workload::{Digests, Operation, Workload};

use Quantity::{CpuPerGigabyte, NanosecondsPerCommand, Rate, Seconds, Throughput};

/// Whose a figure is.
pub mod names {
    /// Ours.
    pub const ISBOOT: &str = "isboot";
    /// Open-iscsi of a Linux guest, with fio.
    pub const LINUX: &str = "Linux";
    /// iPXE's INT 13h.
    pub const IPXE: &str = "iPXE";
    /// libiscsi over the host's sockets.
    pub const LIBISCSI: &str = "libiscsi";
    /// Commands and answers of istgt over the host's sockets, or over our stack in a guest, with nothing
    /// that looks into what comes.
    pub const BARE: &str = "bare iSCSI";
    /// The target that is built into the tests.
    pub const BUILT_IN: &str = "built-in target";
    /// The target.
    pub const ISTGT: &str = "istgt";
    /// The emulator.
    pub const QEMU: &str = "QEMU";
}

/// On what a figure was taken.
pub mod settings {
    /// [`Section::Guest`](crate::measurement::Section::Guest): sessions of ours with other digests,
    /// that took turns.
    pub fn in_turns(nic: &str) -> String {
        format!("{nic}, digests in turns")
    }
    /// [`Section::Host`](crate::measurement::Section::Host): against istgt.
    pub const ISTGT: &str = "istgt";
    /// The same against the target that is built into the tests.
    pub const BUILT_IN: &str = "builtin";
    /// [`Section::Link`](crate::measurement::Section::Link): shaped to this rate.
    pub const GIGABIT: &str = "1 Gb/s";
    /// The same, ten times as fast.
    pub const TEN_GIGABIT: &str = "10 Gb/s";
    /// [`Section::Core`](crate::measurement::Section::Core): framing, copy and both digests of a Data-In sequence.
    pub const DATA_IN: &str = "data-in";
    /// Submitting and completing a command.
    pub const COMMAND: &str = "command";
    /// [`Section::Growth`](crate::measurement::Section::Growth): with so many LUNs.
    pub fn luns(count: u32) -> String {
        format!("{count} LUNs")
    }
    /// With so many commands outstanding.
    pub fn depth(count: u32) -> String {
        format!("depth {count}")
    }
    /// [`Section::Limit`](crate::measurement::Section::Limit): what the target could give at most in
    /// this setting, had its busiest thread a processor all the time.
    pub fn busiest_thread(setting: &str) -> String {
        format!("{setting}, the target's busiest thread")
    }
    /// What istgt and the host's sockets, or in a guest card, emulator, its user network and our stack,
    /// leave to anybody in this setting, together.
    pub fn bare(setting: &str) -> String {
        format!("{setting}, bare iSCSI")
    }
    /// The same, and the fastest way to compute digests for as many bytes.
    pub fn bare_and_digests(setting: &str) -> String {
        format!("{setting}, bare iSCSI, and CRC32C")
    }
    /// [`Section::Limit`](crate::measurement::Section::Limit): what istgt's login takes.
    pub const LOGIN: &str = "istgt login";
    /// How long an emulated card hears nothing once it was started.
    pub fn silence(nic: &str) -> String {
        format!("{nic}, silent")
    }
    /// Both, one after the other.
    pub fn login_and_silence(nic: &str) -> String {
        format!("{nic}, silent, and istgt login")
    }
}

const KIB: u32 = 1 << 10;
const MIB: u32 = 1 << 20;
/// iPXE is as fast here as it gets.
const BEST_NIC_OF_IPXE: &str = "e1000e";

/// The rows of the sections that a plan measures.
pub fn all(plan: &Plan) -> Vec<Target> {
    let mut rows = Vec::new();
    for nic in &plan.nics {
        rows.extend(guest(nic.name()));
    }
    rows.push(ipxe());
    rows.extend(digests(plan));
    rows.extend(host(plan));
    rows.extend(link());
    rows.extend(core());
    for nic in &plan.nics {
        rows.push(start(nic.name()));
    }
    rows.extend(growth());
    rows.retain(|row| plan.measures(row.section));
    rows
}

fn row(
    section: Section,
    id: impl Into<String>,
    sentence: impl Into<String>,
    figure: Figure,
    threshold: Threshold,
) -> Target {
    Target {
        id: id.into(),
        section,
        sentence: sentence.into(),
        figures: vec![figure],
        threshold,
        limits: Vec::new(),
    }
}

fn key(
    section: Section,
    setting: &str,
    contender: &'static str,
    workload: Workload,
    quantity: Quantity,
) -> Key {
    let setting = setting.to_owned();
    Key { section, setting, contender, workload: Some(workload), quantity }
}

/// Ours to theirs, doing the same.
fn ratio(
    section: Section,
    setting: &str,
    theirs: &'static str,
    workload: Workload,
    quantity: Quantity,
) -> Figure {
    let of = |contender| key(section, setting, contender, workload, quantity);
    Figure::Ratio(of(names::ISBOOT), of(theirs))
}

/// `guest-e1000-read-1-mib-1-both`
fn id(section: &str, setting: &str, workload: &Workload) -> String {
    let words = format!("{section} {setting} {workload}");
    let letters = words.to_lowercase().replace(['×', ','], "");
    letters.split([' ', '/']).filter(|word| *word != "digests").collect::<Vec<_>>().join("-")
}

fn guest(nic: &str) -> Vec<Target> {
    let mut rows = Vec::new();
    let mut beside_linux = |workload: Workload, quantity, least| {
        let row = row(
            Section::Guest,
            id("guest", nic, &workload),
            format!("{nic}: {workload}"),
            ratio(Section::Guest, nic, names::LINUX, workload, quantity),
            Threshold::AtLeast(least),
        );
        let is_limited = BESIDE_BARE.contains(&workload);
        let limits = is_limited.then(|| bare(nic, workload, quantity)).into_iter().collect();
        rows.push(Target { limits, ..row });
    };
    for digests in [Digests::None, Digests::Both] {
        for depth in [1, 4] {
            beside_linux(Workload::read(MIB, depth).with(digests), Throughput, 2.2);
        }
        for depth in [1, 4] {
            beside_linux(Workload::write(MIB, depth).with(digests), Throughput, 1.8);
        }
    }
    beside_linux(Workload::random_read(4 * KIB, 1), Rate, 4.0);
    beside_linux(Workload::random_read(4 * KIB, 32), Rate, 8.0);
    rows
}

/// What nobody exceeds against istgt on our stack in a guest.
fn bare(setting: &str, workload: Workload, quantity: Quantity) -> Key {
    key(Section::Limit, &settings::bare(setting), names::BARE, workload, quantity)
}

fn ipxe() -> Target {
    let (workload, nic) = (Workload::read(32 * KIB, 1), BEST_NIC_OF_IPXE);
    let row = row(
        Section::Guest,
        "guest-ipxe",
        format!("{nic}: {workload}"),
        ratio(Section::Guest, nic, names::IPXE, workload, Throughput),
        Threshold::AtLeast(2.5),
    );
    Target { limits: vec![bare(nic, workload, Throughput)], ..row }
}

/// What both digests leave of the throughput without them.
fn digests(plan: &Plan) -> Vec<Target> {
    let kept = |section, what: &str, setting: &str, workload: Workload, least| {
        let of = |digests| key(section, setting, names::ISBOOT, workload.with(digests), Throughput);
        row(
            section,
            id("digests", what, &workload),
            format!("{what}: {workload}, both digests to none"),
            Figure::Ratio(of(Digests::Both), of(Digests::None)),
            Threshold::AtLeast(least),
        )
    };
    let large = Workload::read(MIB, 4);
    let mut rows: Vec<Target> = Vec::new();
    for nic in plan.nics.iter().map(|nic| nic.name()) {
        let setting = settings::in_turns(nic);
        let row = kept(Section::Guest, nic, &setting, large, 0.7);
        // An initiator whose digests cost nothing: istgt's own are what is left.
        let limits = vec![bare(&setting, large.with(Digests::Both), Throughput)];
        rows.push(Target { limits, ..row });
    }
    let built_in = settings::BUILT_IN;
    let row = kept(Section::Host, names::BUILT_IN, built_in, large, 0.95);
    let of_target = Key {
        section: Section::Limit,
        setting: settings::busiest_thread(built_in),
        contender: names::BUILT_IN,
        workload: Some(large.with(Digests::Both)),
        quantity: Throughput,
    };
    rows.push(Target { limits: vec![of_target], ..row });
    let gigabit = settings::GIGABIT;
    rows.push(kept(Section::Link, gigabit, gigabit, Workload::read(64 * KIB, 4), 0.95));
    rows
}

fn host(plan: &Plan) -> Vec<Target> {
    let workloads = plan.host_workloads();
    let every = |operation: Operation, digests: Digests| {
        let wanted = move |one: &&Workload| one.operation == operation && one.digests == digests;
        workloads.iter().filter(wanted).copied()
    };
    let section = Section::Host;
    let mut rows = Vec::new();
    let mut of_all = |id: String, sentence: String, figures: Vec<Figure>, threshold| {
        if !figures.is_empty() {
            let limits: Vec<Key> = figures.iter().filter_map(beside_bare).collect();
            rows.push(Target { id, section, sentence, figures, threshold, limits });
        }
    };
    let which = match plan.mode {
        Mode::Full => "every size and depth",
        Mode::Quick => "least and greatest size and depth",
    };
    for (operation, word) in [(Operation::Read, "reads"), (Operation::Write, "writes")] {
        let beside_libiscsi = |quantity| {
            let beside =
                |workload| ratio(section, settings::ISTGT, names::LIBISCSI, workload, quantity);
            every(operation, Digests::None).map(beside).collect()
        };
        of_all(
            format!("host-{word}"),
            format!("{word}, {which}"),
            beside_libiscsi(Throughput),
            Threshold::AtLeast(1.0),
        );
        of_all(
            format!("host-{word}-cpu"),
            format!("{word}, {which}: CPU per GB"),
            beside_libiscsi(CpuPerGigabyte),
            Threshold::AtMost(0.5),
        );
    }
    let cpu = |workload, digests| {
        key(
            section,
            settings::ISTGT,
            names::ISBOOT,
            Workload::with(workload, digests),
            CpuPerGigabyte,
        )
    };
    let both_to_none = every(Operation::Read, Digests::Both)
        .map(|workload| Figure::Ratio(cpu(workload, Digests::Both), cpu(workload, Digests::None)));
    of_all(
        "host-digests-cpu".to_owned(),
        "reads: CPU per GB, both digests to none".to_owned(),
        both_to_none.collect(),
        Threshold::AtMost(1.15),
    );
    rows
}

/// What nobody exceeds against istgt over the host's sockets: with both digests, computing them comes on
/// top of the processor time of one who computes none.
fn beside_bare(figure: &Figure) -> Option<Key> {
    let Figure::Ratio(ours, _) = figure else { return None };
    let setting = match ours.workload?.digests {
        Digests::None => settings::bare(settings::ISTGT),
        _ => settings::bare_and_digests(settings::ISTGT),
    };
    Some(Key { section: Section::Limit, setting, contender: names::BARE, ..ours.clone() })
}

fn link() -> Vec<Target> {
    let section = Section::Link;
    let workload = Workload::read(64 * KIB, 4);
    let ours = |setting: &str| {
        key(section, setting, names::ISBOOT, workload.with(Digests::Both), Throughput)
    };
    let with_both_to_theirs = |setting: &str, least| {
        let theirs = key(section, setting, names::LIBISCSI, workload, Throughput);
        row(
            section,
            id("link", setting, &workload),
            format!("{setting}: {workload}, ours with both digests"),
            Figure::Ratio(ours(setting), theirs),
            Threshold::AtLeast(least),
        )
    };
    let (slow, fast) = (settings::GIGABIT, settings::TEN_GIGABIT);
    // The slow link is its own limit, and theirs; on the fast one istgt computes digests.
    let of_istgt = Key {
        section: Section::Limit,
        setting: settings::busiest_thread(fast),
        contender: names::ISTGT,
        ..ours(fast)
    };
    let fast = Target { limits: vec![of_istgt], ..with_both_to_theirs(fast, 0.5) };
    vec![with_both_to_theirs(slow, 0.99), fast]
}

fn core() -> Vec<Target> {
    let section = Section::Core;
    let value = |id: &str, sentence: &str, setting: &str, workload, quantity, threshold| {
        let (setting, contender) = (setting.to_owned(), names::ISBOOT);
        let figure = Figure::Value(Key { section, setting, contender, workload, quantity });
        row(section, id, sentence, figure, threshold)
    };
    let data_in = Workload::read(256 * KIB, 1).with(Digests::Both);
    vec![
        value(
            "core-crc32c",
            "CRC32C of 8 KiB, no_std",
            &digest::setting(8192),
            None,
            Throughput,
            Threshold::AtLeast(15e9),
        ),
        value(
            "core-data-in",
            "Data-In of 256 KiB: framing, copy, both digests",
            settings::DATA_IN,
            Some(data_in),
            Throughput,
            Threshold::AtLeast(5e9),
        ),
        value(
            "core-command",
            "command of 4 KiB",
            settings::COMMAND,
            Some(Workload::read(4 * KIB, 1)),
            NanosecondsPerCommand,
            Threshold::AtMost(1000.0),
        ),
    ]
}

fn start(nic: &str) -> Target {
    let of = |section, setting: &str, contender| {
        let setting = setting.to_owned();
        Key { section, setting, contender, workload: None, quantity: Seconds }
    };
    let first_block = of(Section::Start, nic, names::ISBOOT);
    let login = of(Section::Limit, settings::LOGIN, names::ISTGT);
    let limit = of(Section::Limit, &settings::login_and_silence(nic), names::QEMU);
    let row = row(
        Section::Start,
        format!("start-{nic}"),
        format!("{nic}: kernel entry to first block, less istgt's login"),
        Figure::Difference(first_block, login),
        Threshold::AtMost(0.1),
    );
    Target { limits: vec![limit], ..row }
}

fn growth() -> Vec<Target> {
    let of = |setting, depth| Key {
        section: Section::Growth,
        setting,
        contender: names::ISBOOT,
        workload: Some(Workload::read(4 * KIB, depth)),
        quantity: NanosecondsPerCommand,
    };
    let flat = |id: &str, sentence: &str, many: Key, one: Key| {
        let figure = Figure::Ratio(many, one);
        row(Section::Growth, id, sentence, figure, Threshold::Within(0.9, 1.1))
    };
    let (luns, depth) = (settings::luns, settings::depth);
    vec![
        flat("growth-luns", "command with 300 LUNs to 1", of(luns(300), 8), of(luns(1), 8)),
        flat("growth-depth", "command at depth 128 to 1", of(depth(128), 128), of(depth(1), 1)),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own_and_reads_something() {
        for plan in [Plan::full(), Plan::quick()] {
            let rows = all(&plan);
            let ids: HashSet<&str> = rows.iter().map(|row| row.id.as_str()).collect();
            assert_eq!(ids.len(), rows.len());
            assert!(rows.iter().all(|row| !row.figures.is_empty()));
            let words =
                |row: &Target| row.id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            assert!(rows.iter().all(words), "{ids:?}");
        }
    }

    #[test]
    fn bare_iscsi_is_the_limit_of_large_reads_and_of_many_small_ones_in_a_guest() {
        let limited: Vec<String> = all(&Plan::quick())
            .into_iter()
            .filter(|row| row.section == Section::Guest && !row.limits.is_empty())
            .map(|row| row.id)
            .collect();
        let expected = [
            "guest-e1000e-read-1-mib-1",
            "guest-e1000e-read-1-mib-4",
            "guest-e1000e-read-1-mib-1-both",
            "guest-e1000e-read-1-mib-4-both",
            "guest-e1000e-random-read-4-kib-32",
            "guest-ipxe",
            "e1000e-read-1-mib-4",
        ];
        assert_eq!(limited, expected);
    }

    #[test]
    fn digests_in_a_guest_read_against_one_that_computes_none_in_the_same_turns() {
        let rows = all(&Plan::quick());
        let row = rows.iter().find(|row| row.id == "e1000e-read-1-mib-4").unwrap();
        let [limit] = row.limits.as_slice() else { panic!("{:?}", row.limits) };
        assert_eq!(limit.setting, "e1000e, digests in turns, bare iSCSI");
        assert_eq!(limit.workload.map(|workload| workload.digests), Some(Digests::Both));
        assert_eq!(limit.contender, names::BARE);
    }

    #[test]
    fn the_full_plan_has_every_row_of_the_work() {
        let rows = all(&Plan::full());
        let count = |section| rows.iter().filter(|row| row.section == section).count();
        // Ten beside Linux and one for the digests on each of three cards, and one beside iPXE.
        assert_eq!(count(Section::Guest), 3 * 11 + 1);
        // Throughput and processor time of reads and writes, and twice the digests.
        assert_eq!(count(Section::Host), 6);
        assert_eq!(count(Section::Link), 3);
        assert_eq!(count(Section::Core), 3);
        assert_eq!(count(Section::Start), 3);
        assert_eq!(count(Section::Growth), 2);
        assert!(rows.iter().any(|row| row.id == "guest-igb-write-1-mib-4-both"), "{rows:?}");
    }
}
