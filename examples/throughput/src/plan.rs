//! What is measured in which mode. Time is the budget: quick in two minutes, full in fifteen.

use std::time::Duration;

use clap::ValueEnum;
use qemu_boot::plan::Nic;
use serde::{Deserialize, Serialize};

use crate::host::peer::SETTLE;
use crate::measurement::Section;
use crate::run::start;
use crate::workload::{Digests, Operation, Pattern, Workload};

/// A part that can be asked for alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// In a guest: ours beside Linux and iPXE
    Guest,
    /// Over the host's sockets: ours beside libiscsi
    Host,
    /// Over a shaped link: ours over smoltcp beside libiscsi
    Link,
    /// The core alone, and how its cost grows
    Core,
    /// From kernel entry to the first block
    Start,
    /// The announcement's dd
    Dd,
}

impl Part {
    /// As it is typed.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// How long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Two minutes: what the targets read, on one card.
    Quick,
    /// Fifteen minutes: three cards, and every size, depth and digest for the plots.
    Full,
}

impl Mode {
    /// What a run of this mode does not measure, for its readers.
    #[must_use]
    pub const fn left_out(self) -> Option<&'static str> {
        match self {
            Self::Full => None,
            Self::Quick => Some(
                "quick leaves out: the cards e1000 and igb; on the host every size between 4 KiB and \
                 1 MiB and every depth between 1 and 32; the other loads in the guest, and so the \
                 plots of them; all but 32 MiB of the dd",
            ),
        }
    }
}

/// What passes between two turns: a guest goes on and is held again, a check.
const BETWEEN: Duration = Duration::from_millis(40);
/// fio starts and ends in an emulator.
const FIO: Duration = Duration::from_millis(300);
/// Linux boots on a card, and meanwhile all others.
const BOOTS: Duration = Duration::from_secs(12);
/// istgt sleeps a second in each login, of one after the other; with what else a login takes.
const LOGIN: Duration = Duration::from_millis(1100);
/// The least that any of ours reads in a guest, in bytes a second.
const DD: u64 = 120_000_000;

const KIB: u32 = 1 << 10;
const MIB: u32 = 1 << 20;

/// What bare iSCSI also asks in a guest, in turns with ours and Linux: the reads that a target is about
/// and that istgt, card, emulator and its network may be the limit of.
pub const BESIDE_BARE: [Workload; 5] = [
    Workload::read(MIB, 1),
    Workload::read(MIB, 4),
    Workload::read(MIB, 1).with(Digests::Both),
    Workload::read(MIB, 4).with(Digests::Both),
    Workload::random_read(4 * KIB, 32),
];

/// What is measured.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How long it may take.
    pub mode: Mode,
    /// Which parts, in this order.
    pub parts: Vec<Part>,
    /// Cards of the guests whose targets are judged.
    pub nics: Vec<Nic>,
    /// How often each takes its turn.
    pub rounds: usize,
    /// How long a turn is, where a target reads it.
    pub limit: Duration,
    /// How long a turn is for plots.
    pub short: Duration,
    /// How often each takes its turn on the host, …
    pub host_rounds: usize,
    /// … and for how long: a request takes a tenth of what it takes in a guest, so more turns that are
    /// shorter tell more.
    pub host_limit: Duration,
    /// How long a turn is for the core, which needs no time to get under way.
    pub core_limit: Duration,
    /// Sizes of requests.
    pub sizes: Vec<u32>,
    /// Requests outstanding.
    pub depths: Vec<u16>,
    /// Bytes that dd reads.
    pub dd_bytes: u64,
    /// Bytes of each LUN.
    pub lun_bytes: u64,
}

impl Plan {
    /// Everything.
    pub fn full() -> Self {
        Self {
            mode: Mode::Full,
            parts: Part::value_variants().to_vec(),
            nics: vec![Nic::E1000, Nic::E1000e, Nic::Igb],
            rounds: 5,
            limit: Duration::from_millis(300),
            short: Duration::from_millis(150),
            host_rounds: 9,
            host_limit: Duration::from_millis(80),
            core_limit: Duration::from_millis(60),
            sizes: [4, 16, 64, 256, 1024].map(|kib| kib * KIB).to_vec(),
            depths: vec![1, 4, 32],
            dd_bytes: 1 << 30,
            lun_bytes: 1 << 30,
        }
    }

    /// What the targets read, on one card.
    pub fn quick() -> Self {
        Self {
            mode: Mode::Quick,
            nics: vec![Nic::E1000e],
            limit: Duration::from_millis(150),
            host_rounds: 5,
            core_limit: Duration::from_millis(15),
            sizes: vec![4 * KIB, MIB],
            depths: vec![1, 32],
            dd_bytes: 1 << 25,
            lun_bytes: 1 << 28,
            ..Self::full()
        }
    }

    /// Whether a section's rows belong to what is measured.
    pub fn measures(&self, section: Section) -> bool {
        let part = match section {
            Section::Guest => Part::Guest,
            Section::Host => Part::Host,
            Section::Link => Part::Link,
            Section::Core | Section::Growth => Part::Core,
            Section::Start => Part::Start,
            Section::Limit => return true,
        };
        self.parts.contains(&part)
    }

    /// The card whose plots are drawn: iPXE is at its best there, too.
    pub fn plotted(&self) -> Option<Nic> {
        let has = |nic| self.nics.contains(&nic).then_some(nic);
        has(Nic::E1000e).or(self.nics.first().copied())
    }

    /// Whether iPXE is measured on a card. It gets no link from QEMU's 82576, which negotiates only
    /// when its PHY is told to, and iPXE tells it nothing.
    pub fn has_ipxe(nic: Nic) -> bool {
        nic != Nic::Igb
    }

    /// What isboot and Linux do in turns on a card, and for how long each time. Neighbours have
    /// the same digests where that is possible: other digests cost a login, which takes a second.
    pub fn guest_workloads(&self, nic: Nic) -> Vec<(Workload, Duration)> {
        let mut workloads = Vec::new();
        for digests in [Digests::None, Digests::Both] {
            for depth in [1, 4] {
                workloads.push((Workload::read(MIB, depth).with(digests), self.limit));
                workloads.push((Workload::write(MIB, depth).with(digests), self.limit));
            }
        }
        workloads.push((Workload::random_read(4 * KIB, 1), self.limit));
        workloads.push((Workload::random_read(4 * KIB, 32), self.limit));
        if self.mode == Mode::Full && self.plotted() == Some(nic) {
            for workload in self.every_workload() {
                if !workloads.iter().any(|(one, _)| *one == workload) {
                    workloads.push((workload, self.short));
                }
            }
        }
        workloads.sort_by_key(|(workload, _)| workload.digests);
        workloads
    }

    /// How long it takes that so many take their turns for so long each; with what comes between.
    pub fn turns(&self, count: u32, limit: Duration) -> Duration {
        (limit + BETWEEN) * count * self.rounds()
    }

    fn rounds(&self) -> u32 {
        count(self.rounds)
    }

    /// How long a workload of ours and of Linux takes, of bare iSCSI besides where it is asked.
    pub fn beside_linux_takes(&self, workload: &Workload, limit: Duration) -> Duration {
        let contenders = if BESIDE_BARE.contains(workload) { 3 } else { 2 };
        self.turns(contenders, limit) + FIO * self.rounds()
    }

    /// About how long all of it takes.
    pub fn estimate(&self) -> Duration {
        self.parts.iter().map(|part| self.estimate_of(*part)).sum()
    }

    /// About how long a part takes.
    pub fn estimate_of(&self, part: Part) -> Duration {
        match part {
            Part::Guest => {
                let of_nic = |nic: &Nic| -> Duration {
                    let workloads = self.guest_workloads(*nic);
                    let turns = workloads
                        .iter()
                        .map(|(workload, limit)| self.beside_linux_takes(workload, *limit));
                    let ipxe = Self::has_ipxe(*nic).then(|| self.turns(3, self.limit));
                    // Ours with each kind of digests, and bare iSCSI with both.
                    let others = self.turns(4, self.limit) + ipxe.unwrap_or_default();
                    // Linux logs out and in again for other digests; of all others, there is one with each.
                    BOOTS + turns.sum::<Duration>() + others + 2 * LOGIN
                };
                self.nics.iter().map(of_nic).sum()
            }
            Part::Core => self.core_limit * 48 * self.rounds(),
            // Two of ours, two that are bare and the first of theirs log in, the others while these are
            // measured; each workload is done by one of us, by a bare one, and by libiscsi or with
            // digests. Ours and theirs settle.
            Part::Host => {
                let all = self.host_workloads();
                let beside_theirs = all.iter().filter(|one| one.digests == Digests::None).count();
                let (all, beside_theirs) = (count(all.len()), count(beside_theirs));
                let turns = (self.host_limit + BETWEEN) * (3 * all + 4);
                let settled = SETTLE * (all + beside_theirs);
                4 * LOGIN + (turns + settled) * count(self.host_rounds)
            }
            Part::Link => 3 * LOGIN + self.turns(2 * 3, self.limit),
            Part::Start => self.start_takes(),
            // It boots, and logs in anew for two of three.
            Part::Dd => 3 * LOGIN + Duration::from_secs(3 * self.dd_bytes / DD),
        }
    }

    /// About how long the part that boots takes.
    pub fn start_takes(&self) -> Duration {
        let cards: Duration = self.nics.iter().map(|nic| start::takes(*nic)).sum();
        (LOGIN + cards) * self.rounds()
    }

    /// Every size, depth and digest, both ways.
    fn every_workload(&self) -> Vec<Workload> {
        let mut workloads = Vec::new();
        for digests in [Digests::None, Digests::Header, Digests::Both] {
            for &depth in &self.depths {
                for &block in &self.sizes {
                    workloads.push(Workload::read(block, depth).with(digests));
                    workloads.push(Workload::write(block, depth).with(digests));
                }
                workloads.push(Workload::random_read(4 * KIB, depth).with(digests));
            }
        }
        workloads
    }

    /// What isboot does over the host's sockets: without digests in turns with libiscsi, and
    /// reads with both as well.
    pub fn host_workloads(&self) -> Vec<Workload> {
        let wanted = |workload: &Workload| {
            let is_read = workload.operation == Operation::Read;
            workload.pattern == Pattern::Sequential
                && match workload.digests {
                    Digests::None => true,
                    Digests::Header => false,
                    Digests::Both => is_read,
                }
        };
        self.every_workload().into_iter().filter(wanted).collect()
    }
}

/// As a time is multiplied.
fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_for_has_no_rows() {
        let plan = Plan { parts: vec![Part::Core], ..Plan::full() };
        assert!(plan.measures(Section::Core) && plan.measures(Section::Growth));
        assert!(!plan.measures(Section::Guest) && !plan.measures(Section::Start));
    }

    #[test]
    fn plots_are_of_one_card_and_quick_has_none() {
        let full = Plan::full();
        assert_eq!(full.guest_workloads(Nic::E1000).len(), 10);
        // Five sizes both ways and random ones, at three depths, with three kinds of digests; of
        // the ten all but none are among them.
        assert_eq!(full.guest_workloads(Nic::E1000e).len(), (5 * 2 + 1) * 3 * 3);
        assert_eq!(Plan::quick().guest_workloads(Nic::E1000e).len(), 10);
    }

    #[test]
    fn ipxe_is_measured_where_it_gets_a_link() {
        let on = Plan::full().nics.into_iter().filter(|nic| Plan::has_ipxe(*nic));
        assert_eq!(on.collect::<Vec<_>>(), [Nic::E1000, Nic::E1000e]);
    }

    #[test]
    fn digests_change_as_seldom_as_they_can() {
        let workloads = Plan::full().guest_workloads(Nic::E1000e);
        let changes = workloads.windows(2).filter(|pair| pair[0].0.digests != pair[1].0.digests);
        assert_eq!(changes.count(), 2);
    }

    /// On two cores without KVM, with everything built, which is what the estimates are of.
    #[test]
    fn quick_is_done_in_two_minutes_and_everything_in_fifteen() {
        let seconds = |plan: Plan| plan.estimate().as_secs();
        assert!((90..120).contains(&seconds(Plan::quick())), "{}", seconds(Plan::quick()));
        assert!((600..840).contains(&seconds(Plan::full())), "{}", seconds(Plan::full()));
    }

    #[test]
    fn no_turn_is_too_short_to_be_seen() {
        for plan in [Plan::full(), Plan::quick()] {
            assert!(plan.limit.min(plan.short) >= Duration::from_millis(150));
            assert!(plan.host_limit >= Duration::from_millis(80));
        }
    }

    #[test]
    fn every_median_is_of_five() {
        for plan in [Plan::full(), Plan::quick()] {
            assert!(plan.rounds >= 5 && plan.host_rounds >= 5);
        }
    }
}
