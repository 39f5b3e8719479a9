//! The part that boots.

use std::time::Duration;

use qemu_boot::plan::Nic;

use super::Run;
use crate::guest::machine::Hardware;
use crate::measurement::Section;
use crate::plan::Part;
use crate::report::figure;
use crate::start::measure;

impl Run<'_> {
    /// Kernel entry to first block on each card, beside what the target and the card take.
    pub(super) fn start(&mut self) {
        let cards: Vec<Hardware> =
            self.plan.nics.iter().map(|nic| self.equipment.hardware(*nic)).collect();
        let (image, place) = (&self.equipment.kernel, self.rig.place());
        let (rounds, screen) = (self.plan.rounds, &mut self.screen);
        let measured = measure(image, &place, &cards, rounds, &mut |what| screen.tell(what));
        match measured {
            Ok(all) => {
                for one in all.iter().filter(|one| one.section == Section::Start) {
                    let median = figure::with_unit(one.series.median(), one.quantity);
                    self.screen
                        .found(&format!("start {}: first block after {median}", one.setting));
                }
                self.found.measurements.extend(all);
            }
            Err(error) => self.fail(Part::Start, error),
        }
        self.screen.advance(self.plan.start_takes());
    }
}

/// What a card takes in a round: it boots twice, and may be silent each time.
pub(crate) fn takes(nic: Nic) -> Duration {
    let silence = match nic {
        Nic::E1000e => 0,
        Nic::Igb => 500,
        Nic::E1000 | Nic::I82544gc | Nic::I82545em => 1000,
    };
    Duration::from_millis(1300 + 2 * silence)
}
