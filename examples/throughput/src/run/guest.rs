//! The guests' part.

use std::time::Duration;
use std::{io, thread};

use qemu_boot::interrupt;
use qemu_boot::plan::Nic;

use super::{Run, point};
use crate::answers::Server;
use crate::contender::{Contender, Turn, take_turns};
use crate::guest::ipxe::Ipxe;
use crate::guest::kernel::Kernel;
use crate::guest::linux::Linux;
use crate::guest::plain::PlainTcp;
use crate::host;
use crate::host::ours::Ours;
use crate::measurement::{Measurement, Quantity, Section};
use crate::plan::{BESIDE_PLAIN_TCP, Part, Plan, SHORTER_ON_HOST};
use crate::sample::{Sample, Series};
use crate::targets::{names, settings};
use crate::workload::{Digests, Workload};

/// What the cost of digests is seen by: sessions with each of them, in turns.
const DIGESTS: Workload = Workload::read(1 << 20, 4);
/// iPXE reads one block after the other, and no more than a BIOS takes at once.
const BESIDE_IPXE: Workload = Workload::read(32 << 10, 1);
const KINDS: [Digests; 3] = [Digests::None, Digests::Header, Digests::Both];

/// All guests on one card, held.
struct Guests {
    /// With each kind of digests.
    kernels: Vec<Kernel>,
    linux: Result<Linux, String>,
    /// Where it is measured on this card; and a session of ours on the host beside it.
    ipxe: Option<(Result<Ipxe, String>, Ours)>,
    plain: Result<PlainTcp, String>,
}

impl Run<'_> {
    /// Ours beside the others on each card.
    pub(super) fn guests(&mut self) {
        let server = Server::start();
        for &nic in &self.plan.nics {
            if interrupt::is_wanted() {
                return;
            }
            let Guests { mut kernels, linux, ipxe, plain } = match self.boot(nic, &server) {
                Ok(guests) => guests,
                Err(error) => {
                    self.fail(Part::Guest, format!("{}: isboot: {error}", nic.name()));
                    continue;
                }
            };
            // First what is needed least: nobody is held for long.
            self.digests_in_turns(nic, &mut kernels);
            kernels.truncate(1);
            let Some(mut kernel) = kernels.pop() else { continue };
            let mut plain = match plain {
                Ok(plain) => Some(plain),
                Err(error) => {
                    self.fail(Part::Guest, format!("{}: plain TCP: {error}", nic.name()));
                    None
                }
            };
            if let Some((ipxe, on_host)) = ipxe {
                self.beside_ipxe(nic, (&mut kernel, on_host), ipxe, plain.as_mut());
            }
            self.beside_linux(nic, kernel, linux, plain);
        }
    }

    /// Our kernel on a card, logged in and held.
    pub(super) fn kernel(&self, nic: Nic, words: &[&str]) -> Result<Kernel, String> {
        let (portal, name) = (self.rig.portal(), self.rig.target_name());
        let hardware = self.equipment.hardware(nic);
        Kernel::boot(&hardware, &self.equipment.kernel, words, portal, name, self.rig.bytes())
    }

    /// Everybody on a card, Linux beside the others. Without a kernel of ours nothing is worth it.
    fn boot(&mut self, nic: Nic, server: &io::Result<Server>) -> Result<Guests, String> {
        self.screen.tell(&format!("guest {}: all guests boot", nic.name()));
        let (portal, name, bytes) = (self.rig.portal(), self.rig.target_name(), self.rig.bytes());
        let hardware = self.equipment.hardware(nic);
        thread::scope(|scope| {
            let linux = scope.spawn(|| {
                let mut linux = Linux::boot(&hardware, portal, name, bytes)?;
                linux.prepare(&DIGESTS)?;
                Ok(linux)
            });
            let kernels = KINDS.map(|digests| {
                // A session of its own: none is to end the other's.
                let own = format!("isboot.isid=80150b0700{:02x}", digests as u8);
                let mut kernel = self.kernel(nic, &[&own])?;
                kernel.prepare(&DIGESTS.with(digests))?;
                Ok(kernel)
            });
            let ipxe = Plan::has_ipxe(nic).then(|| {
                let mut on_host = Ours::new(&self.rig.place());
                // What does not work is told when it is its turn.
                let _ = on_host.prepare(&BESIDE_IPXE);
                (Ipxe::boot(&hardware, portal, name, bytes), on_host)
            });
            let plain = match server {
                Ok(server) => PlainTcp::boot(&hardware, &self.equipment.kernel, server.address()),
                Err(error) => Err(format!("listening on the loopback: {error}")),
            };
            let linux = linux.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            let kernels: Result<Vec<Kernel>, String> = kernels.into_iter().collect();
            Ok(Guests { kernels: kernels?, linux, ipxe, plain })
        })
    }

    fn beside_linux(
        &mut self,
        nic: Nic,
        kernel: Kernel,
        linux: Result<Linux, String>,
        plain: Option<PlainTcp>,
    ) {
        let mut contenders: Vec<Box<dyn Contender>> = vec![Box::new(kernel)];
        match linux {
            Ok(linux) => contenders.push(Box::new(linux)),
            Err(error) => self.fail(Part::Guest, format!("{}: Linux: {error}", nic.name())),
        }
        if let Some(plain) = plain {
            contenders.push(Box::new(plain));
        }
        self.all_workloads(nic, &mut contenders);
    }

    /// One read at a time, of which istgt's own time is a good part, whoever reads: it is what ours
    /// on the host takes, where nobody emulates, beyond the sockets alone.
    fn beside_ipxe(
        &mut self,
        nic: Nic,
        (kernel, mut on_host): (&mut Kernel, Ours),
        ipxe: Result<Ipxe, String>,
        plain: Option<&mut PlainTcp>,
    ) {
        let mut ipxe = match ipxe {
            Ok(ipxe) => ipxe,
            Err(error) => return self.fail(Part::Guest, format!("{}: iPXE: {error}", nic.name())),
        };
        let mut turns = vec![Turn::new(kernel, &BESIDE_IPXE), Turn::new(&mut ipxe, &BESIDE_IPXE)];
        let mut sockets = host::plain::PlainTcp::default();
        let is_limited = plain.is_some();
        turns.extend(plain.map(|plain| Turn::new(plain, &BESIDE_IPXE)));
        let in_guest = turns.len();
        let (mut on_host, mut sockets) = (Briefly(&mut on_host), Briefly(&mut sockets));
        turns.push(Turn::new(&mut on_host, &BESIDE_IPXE));
        turns.push(Turn::new(&mut sockets, &BESIDE_IPXE));
        self.screen.tell(&point(Part::Guest, nic.name(), &BESIDE_IPXE));
        take_turns(&mut turns, self.plan.rounds, self.plan.limit);
        let on_host = turns.split_off(in_guest);
        self.keep_turns((Part::Guest, Section::Guest, nic.name()), &turns);
        // One that failed in a guest is told already.
        if let Some(plain) = turns.pop().filter(|last| is_limited && last.seen.is_ok()) {
            match with_istgt(nic, [&plain, &on_host[0], &on_host[1]]) {
                Ok(limit) => self.found.measurements.push(limit),
                Err(error) => self.fail(Part::Guest, format!("{}: {error}", nic.name())),
            }
        }
        self.screen.advance(self.plan.beside_ipxe_takes());
    }

    /// Everything that is planned for a card. Who fails is out, the others go on.
    fn all_workloads(&mut self, nic: Nic, contenders: &mut Vec<Box<dyn Contender>>) {
        for (workload, limit) in self.plan.guest_workloads(nic) {
            if interrupt::is_wanted() || contenders.is_empty() {
                return;
            }
            let takes_part = |contender: &dyn Contender| {
                contender.name() != names::PLAIN_TCP || BESIDE_PLAIN_TCP.contains(&workload)
            };
            let mut turns: Vec<Turn<'_>> = contenders
                .iter_mut()
                .filter(|contender| takes_part(contender.as_ref()))
                .map(|contender| Turn::new(contender.as_mut(), &workload))
                .collect();
            let place = (Part::Guest, Section::Guest, nic.name());
            let mut stand = self.turns(place, &mut turns, limit).into_iter();
            contenders.retain(|contender| {
                !takes_part(contender.as_ref()) || stand.next().unwrap_or(false)
            });
            self.screen.advance(self.plan.beside_linux_takes(&workload, limit));
        }
    }

    /// Ours with each kind of digests, so that what they cost is seen in turns too.
    fn digests_in_turns(&mut self, nic: Nic, kernels: &mut [Kernel]) {
        let mut turns: Vec<Turn<'_>> = kernels
            .iter_mut()
            .zip(KINDS)
            .map(|(kernel, digests)| Turn::new(kernel, &DIGESTS.with(digests)))
            .collect();
        let setting = settings::in_turns(nic.name());
        let limit = self.plan.limit;
        self.turns((Part::Guest, Section::Guest, &setting), &mut turns, limit);
        self.screen.advance(self.plan.turns(3, limit));
    }
}

/// One whose turns are shorter, as it is on the host.
struct Briefly<'a>(&'a mut dyn Contender);

impl Contender for Briefly<'_> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn prepare(&mut self, workload: &Workload) -> Result<(), String> {
        self.0.prepare(workload)
    }

    fn run(&mut self, workload: &Workload, limit: Duration) -> Result<Sample, String> {
        self.0.run(workload, limit / SHORTER_ON_HOST)
    }
}

/// What is left of plain TCP in a guest once istgt takes its own time for each request, one at a time:
/// what ours takes on the host beyond its sockets.
fn with_istgt(nic: Nic, [plain, ours, sockets]: [&Turn<'_>; 3]) -> Result<Measurement, String> {
    // What a request took in each round.
    let seconds = |turn: &Turn<'_>| -> Result<Vec<f64>, String> {
        let samples = turn.seen.as_ref().map_err(String::clone)?;
        Ok(samples.iter().map(|sample| 1.0 / sample.rate()).collect())
    };
    let (own, ours, sockets) = (seconds(plain)?, seconds(ours)?, seconds(sockets)?);
    let istgt = ours.iter().zip(&sockets).map(|(ours, sockets)| (ours - sockets).max(0.0));
    let block = f64::from(plain.workload.block);
    let series = own.iter().zip(istgt).map(|(own, istgt)| block / (own + istgt));
    Ok(Measurement {
        section: Section::Limit,
        setting: settings::plain_tcp_and_istgt(nic.name()),
        contender: names::PLAIN_TCP.to_owned(),
        workload: Some(plain.workload),
        quantity: Quantity::Throughput,
        series: Series(series.collect()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many microseconds for a request.
    struct Takes(u64);

    impl Contender for Takes {
        fn name(&self) -> &str {
            "takes"
        }
        fn run(&mut self, workload: &Workload, _: Duration) -> Result<Sample, String> {
            let commands = 10;
            if self.0 == 0 {
                return Err("the server is gone".to_owned());
            }
            let elapsed = Duration::from_micros(self.0 * commands);
            Ok(Sample { bytes: commands * u64::from(workload.block), commands, elapsed, cpu: None })
        }
    }

    fn limit(microseconds: [u64; 3]) -> Result<Measurement, String> {
        let mut all = microseconds.map(Takes);
        let mut turns: Vec<Turn<'_>> =
            all.iter_mut().map(|one| Turn::new(one, &BESIDE_IPXE)).collect();
        take_turns(&mut turns, 3, Duration::ZERO);
        with_istgt(Nic::E1000e, [&turns[0], &turns[1], &turns[2]])
    }

    #[test]
    fn istgts_own_time_comes_on_top_of_plain_tcp() {
        // 32 KiB in 120 µs, and 112 - 12 µs.
        let measured = limit([120, 112, 12]).unwrap();
        let expected = f64::from(32 << 10) / 220e-6;
        assert_eq!(measured.series.0.len(), 3);
        assert!((measured.series.median() / expected - 1.0).abs() < 1e-9, "{measured:?}");
        // The sockets alone took longer by chance: istgt takes no less than nothing.
        let expected = f64::from(32 << 10) / 120e-6;
        assert!((limit([120, 10, 12]).unwrap().series.median() / expected - 1.0).abs() < 1e-9);
        assert!(limit([120, 0, 12]).unwrap_err().contains("the server is gone"));
    }
}
