//! The guests' part.

use std::time::Duration;

use qemu_boot::interrupt;
use qemu_boot::plan::Nic;

use super::Run;
use crate::contender::{Contender, Turn};
use crate::guest::ipxe::Ipxe;
use crate::guest::kernel::Kernel;
use crate::guest::linux::Linux;
use crate::measurement::Section;
use crate::plan::Part;
use crate::targets::settings;
use crate::workload::{Digests, Workload};

impl Run<'_> {
    /// Ours beside the others on each card.
    pub(super) fn guests(&mut self) {
        for &nic in &self.plan.nics {
            if interrupt::is_wanted() {
                return;
            }
            self.beside_linux(nic);
            self.beside_ipxe(nic);
            self.digests_in_turns(nic);
        }
    }

    /// Our kernel on a card, logged in and held.
    pub(super) fn kernel(&mut self, nic: Nic, words: &[&str]) -> Result<Kernel, String> {
        self.screen.tell(&format!("guest {}: isboot boots", nic.name()));
        let (portal, name) = (self.rig.portal(), self.rig.target_name());
        let hardware = self.equipment.hardware(nic);
        Kernel::boot(&hardware, &self.equipment.kernel, words, portal, name, self.rig.bytes())
    }

    /// Linux on a card, held.
    fn linux(&mut self, nic: Nic) -> Result<Linux, String> {
        self.screen.tell(&format!("guest {}: Linux boots", nic.name()));
        let (portal, name) = (self.rig.portal(), self.rig.target_name());
        Linux::boot(&self.equipment.hardware(nic), portal, name, self.rig.bytes())
    }

    fn beside_linux(&mut self, nic: Nic) {
        let mut contenders: Vec<Box<dyn Contender>> = Vec::new();
        match self.kernel(nic, &[]) {
            Ok(kernel) => contenders.push(Box::new(kernel)),
            Err(error) => self.fail(Part::Guest, format!("{}: isboot: {error}", nic.name())),
        }
        match self.linux(nic) {
            Ok(linux) => contenders.push(Box::new(linux)),
            Err(error) => self.fail(Part::Guest, format!("{}: Linux: {error}", nic.name())),
        }
        self.all_workloads(nic, &mut contenders);
    }

    fn kernel_and_ipxe(&mut self, nic: Nic) -> Result<(Kernel, Ipxe), String> {
        let kernel = self.kernel(nic, &[])?;
        self.screen.tell(&format!("guest {}: iPXE boots", nic.name()));
        let (portal, name) = (self.rig.portal(), self.rig.target_name());
        let hardware = self.equipment.hardware(nic);
        Ok((kernel, Ipxe::boot(&hardware, portal, name, self.rig.bytes())?))
    }

    /// iPXE reads one block after the other, and no more than a BIOS takes at once.
    fn beside_ipxe(&mut self, nic: Nic) {
        let (mut kernel, mut ipxe) = match self.kernel_and_ipxe(nic) {
            Ok(both) => both,
            Err(error) => return self.fail(Part::Guest, format!("{}: iPXE: {error}", nic.name())),
        };
        let (workload, limit) = (Workload::read(32 << 10, 1), self.plan.limit);
        let mut turns = [Turn::new(&mut kernel, &workload), Turn::new(&mut ipxe, &workload)];
        self.turns((Part::Guest, Section::Guest, nic.name()), &mut turns, limit);
    }

    /// Everything that is planned for a card. Who fails is out, the others go on.
    fn all_workloads(&mut self, nic: Nic, contenders: &mut Vec<Box<dyn Contender>>) {
        for (workload, limit) in self.plan.guest_workloads(nic) {
            if interrupt::is_wanted() || contenders.is_empty() {
                return;
            }
            let mut turns: Vec<Turn<'_>> = contenders
                .iter_mut()
                .map(|contender| Turn::new(contender.as_mut(), &workload))
                .collect();
            let place = (Part::Guest, Section::Guest, nic.name());
            let mut stand = self.turns(place, &mut turns, limit).into_iter();
            contenders.retain(|_| stand.next().unwrap_or(false));
            self.screen.advance(self.plan.turns(2, limit));
        }
    }

    /// Three of ours, each with other digests, so that what digests cost is seen in turns too.
    fn digests_in_turns(&mut self, nic: Nic) {
        let kinds = [Digests::None, Digests::Header, Digests::Both];
        let mut kernels = Vec::new();
        for digests in kinds {
            // A session of its own: none is to end the other's.
            let own = format!("isboot.isid=80150b0700{:02x}", digests as u8);
            match self.kernel(nic, &[&own]) {
                Ok(kernel) => kernels.push(kernel),
                Err(error) => {
                    let what = format!("{}: digests in turns: {error}", nic.name());
                    return self.fail(Part::Guest, what);
                }
            }
        }
        let workload = Workload::read(1 << 20, 4);
        let mut turns: Vec<Turn<'_>> = kernels
            .iter_mut()
            .zip(kinds)
            .map(|(kernel, digests)| Turn::new(kernel, &workload.with(digests)))
            .collect();
        let setting = settings::in_turns(nic.name());
        let limit: Duration = self.plan.limit;
        self.turns((Part::Guest, Section::Guest, &setting), &mut turns, limit);
        self.screen.advance(self.plan.turns(3, limit));
    }
}
