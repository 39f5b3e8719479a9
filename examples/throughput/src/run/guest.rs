//! The guests' part.

use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use qemu_boot::interrupt;
use qemu_boot::plan::Nic;

use super::Run;
use crate::apart::Apart;
use crate::contender::{Contender, Turn};
use crate::guest::bare::Bare;
use crate::guest::ipxe::Ipxe;
use crate::guest::kernel::Kernel;
use crate::guest::linux::Linux;
use crate::measurement::Section;
use crate::plan::{BESIDE_BARE, Part, Plan};
use crate::sample::Sample;
use crate::targets::{names, settings};
use crate::workload::{Digests, Workload};

/// What the cost of digests is seen by: sessions with each of them, in turns.
const DIGESTS: Workload = Workload::read(1 << 20, 4);
/// iPXE reads one block after the other, and no more than a BIOS takes at once.
const BESIDE_IPXE: Workload = Workload::read(32 << 10, 1);
const KINDS: [Digests; 3] = [Digests::None, Digests::Header, Digests::Both];

/// All guests on one card, held.
struct Guests {
    kernels: ByDigests<Kernel>,
    linux: Result<Linux, String>,
    /// Where it is measured on this card.
    ipxe: Option<Result<Ipxe, String>>,
    bare: Result<ByDigests<Bare>, String>,
}

impl Run<'_> {
    /// Ours beside the others on each card.
    pub(super) fn guests(&mut self) {
        let _apart = self.beside_guests(Part::Guest);
        for &nic in &self.plan.nics {
            if interrupt::is_wanted() {
                return;
            }
            let Guests { mut kernels, linux, ipxe, bare } = match self.boot(nic) {
                Ok(guests) => guests,
                Err(error) => {
                    self.fail(Part::Guest, format!("{}: isboot: {error}", nic.name()));
                    continue;
                }
            };
            let mut bare = match bare {
                Ok(bare) => Some(bare),
                Err(error) => {
                    self.fail(Part::Guest, format!("{}: {}: {error}", nic.name(), names::BARE));
                    None
                }
            };
            // First what is needed least: nobody is held for long.
            self.digests_in_turns(nic, &mut kernels, bare.as_mut());
            if let Some(ipxe) = ipxe {
                self.beside_ipxe(nic, &mut kernels, ipxe, bare.as_mut());
            }
            self.beside_linux(nic, kernels, linux, bare);
        }
    }

    /// istgt on processors of its own for as long as guests are measured.
    pub(super) fn beside_guests(&mut self, part: Part) -> Option<Apart> {
        let apart = Apart::target_alone(self.rig.istgt_id());
        apart.unwrap_or_else(|error| {
            self.fail(part, error);
            None
        })
    }

    /// Our kernel on a card, logged in and held.
    pub(super) fn kernel(
        &self,
        nic: Nic,
        words: &[&str],
        digests: Digests,
    ) -> Result<Kernel, String> {
        let (portal, name, bytes) = (self.rig.portal(), self.rig.target_name(), self.rig.bytes());
        let (hardware, image) = (self.equipment.hardware(nic), &self.equipment.kernel);
        Kernel::boot(&hardware, image, words, portal, name, bytes, digests)
    }

    /// Everybody on a card, Linux beside the others. Without a kernel of ours nothing is worth it.
    fn boot(&mut self, nic: Nic) -> Result<Guests, String> {
        self.screen.tell(&format!("guest {}: all guests boot", nic.name()));
        let (portal, name, bytes) = (self.rig.portal(), self.rig.target_name(), self.rig.bytes());
        let hardware = self.equipment.hardware(nic);
        thread::scope(|scope| {
            let linux = scope.spawn(|| {
                let mut linux = Linux::boot(&hardware, portal, name, bytes)?;
                linux.prepare(&DIGESTS)?;
                Ok(linux)
            });
            // istgt serves one login after the other, but the cards' silences pass side by side.
            let bare = scope.spawn(|| {
                let boot = |digests| {
                    let image = &self.equipment.kernel;
                    let bare = Bare::boot(&hardware, image, &[], portal, name, bytes, digests)?;
                    Ok((digests, bare))
                };
                let guests: Result<Vec<_>, String> =
                    [Digests::None, Digests::Both].into_iter().map(boot).collect();
                guests.map(ByDigests)
            });
            let boot = |digests| {
                // A session of its own: none is to end the other's.
                let own = format!("isboot.isid=80150b0700{:02x}", digests as u8);
                Ok((digests, self.kernel(nic, &[&own], digests)?))
            };
            let kernels: Result<Vec<_>, String> = KINDS.into_iter().map(boot).collect();
            let ipxe = Plan::has_ipxe(nic).then(|| Ipxe::boot(&hardware, portal, name, bytes));
            let bare = bare.join().unwrap_or_else(|panic| resume_unwind(panic));
            let linux = linux.join().unwrap_or_else(|panic| resume_unwind(panic));
            Ok(Guests { kernels: ByDigests(kernels?), linux, ipxe, bare })
        })
    }

    fn beside_linux(
        &mut self,
        nic: Nic,
        kernels: ByDigests<Kernel>,
        linux: Result<Linux, String>,
        bare: Option<ByDigests<Bare>>,
    ) {
        let mut contenders: Vec<Box<dyn Contender>> = vec![Box::new(kernels)];
        match linux {
            Ok(linux) => contenders.push(Box::new(linux)),
            Err(error) => self.fail(Part::Guest, format!("{}: Linux: {error}", nic.name())),
        }
        if let Some(bare) = bare {
            contenders.push(Box::new(bare));
        }
        self.all_workloads(nic, &mut contenders);
    }

    fn beside_ipxe(
        &mut self,
        nic: Nic,
        kernels: &mut ByDigests<Kernel>,
        ipxe: Result<Ipxe, String>,
        bare: Option<&mut ByDigests<Bare>>,
    ) {
        let mut ipxe = match ipxe {
            Ok(ipxe) => ipxe,
            Err(error) => return self.fail(Part::Guest, format!("{}: iPXE: {error}", nic.name())),
        };
        let mut turns = vec![Turn::new(kernels, &BESIDE_IPXE), Turn::new(&mut ipxe, &BESIDE_IPXE)];
        turns.extend(bare.map(|bare| Turn::new(bare, &BESIDE_IPXE)));
        let limit = self.plan.limit;
        self.turns((Part::Guest, Section::Guest, nic.name()), &mut turns, limit);
        self.screen.advance(self.plan.turns(3, limit));
    }

    /// Everything that is planned for a card. Who fails is out, the others go on.
    fn all_workloads(&mut self, nic: Nic, contenders: &mut Vec<Box<dyn Contender>>) {
        for (workload, limit) in self.plan.guest_workloads(nic) {
            if interrupt::is_wanted() || contenders.is_empty() {
                return;
            }
            let takes_part = |contender: &dyn Contender| {
                contender.name() != names::BARE || BESIDE_BARE.contains(&workload)
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

    /// Ours with each kind of digests, so that what they cost is seen in turns too; and somebody who
    /// has both, but computes none.
    fn digests_in_turns(
        &mut self,
        nic: Nic,
        kernels: &mut ByDigests<Kernel>,
        bare: Option<&mut ByDigests<Bare>>,
    ) {
        let mut turns: Vec<Turn<'_>> = kernels
            .0
            .iter_mut()
            .map(|(digests, kernel)| Turn::new(kernel, &DIGESTS.with(*digests)))
            .collect();
        let both = DIGESTS.with(Digests::Both);
        turns.extend(bare.map(|bare| Turn::new(bare, &both)));
        let setting = settings::in_turns(nic.name());
        let limit = self.plan.limit;
        self.turns((Part::Guest, Section::Guest, &setting), &mut turns, limit);
        self.screen.advance(self.plan.turns(4, limit));
    }
}

/// Guests that do the same, each with a session that has its own digests: nobody waits for a login.
struct ByDigests<C>(Vec<(Digests, C)>);

impl<C: Contender> ByDigests<C> {
    fn with(&mut self, digests: Digests) -> Result<&mut C, String> {
        let found = self.0.iter_mut().find(|(own, _)| *own == digests);
        found.map(|(_, guest)| guest).ok_or_else(|| format!("no guest has {digests:?} of them"))
    }
}

impl<C: Contender> Contender for ByDigests<C> {
    fn name(&self) -> &str {
        self.0.first().map_or("nobody", |(_, guest)| guest.name())
    }

    fn prepare(&mut self, workload: &Workload) -> Result<(), String> {
        self.with(workload.digests)?.prepare(workload)
    }

    fn run(&mut self, workload: &Workload, limit: Duration) -> Result<Sample, String> {
        self.with(workload.digests)?.run(workload, limit)
    }
}
