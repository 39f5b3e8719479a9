//! The part that boots.

use std::time::Duration;

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

/// What one card takes in a round: two boots, of which one logs in, and either may be silent for a
/// second.
pub(crate) const CARD: Duration = Duration::from_millis(3500);
/// What a login from the host takes.
pub(crate) const LOGIN: Duration = Duration::from_millis(1100);
