//! The announcement's dd, in a guest.

use qemu_boot::interrupt;

use super::Run;
use crate::plan::Part;
use crate::report::dd::Dd;
use crate::sample::Sample;
use crate::targets::names;
use crate::workload::Digests;

/// As the announcement has them.
const KINDS: [Digests; 3] = [Digests::None, Digests::Header, Digests::Both];

impl Run<'_> {
    /// The first bytes of the LUN, with each kind of digests, on the card that is plotted.
    pub(super) fn dd(&mut self) {
        let Some(nic) = self.plan.plotted() else { return };
        let _apart = self.beside_guests(Part::Dd);
        self.screen.tell("dd: isboot boots");
        let mut ours = match self.kernel(nic, &[], Digests::None) {
            Ok(kernel) => kernel,
            Err(error) => return self.fail(Part::Dd, format!("{}: {error}", names::ISBOOT)),
        };
        let bytes = self.plan.dd_bytes;
        for digests in KINDS {
            if interrupt::is_wanted() {
                return;
            }
            self.screen.tell(&format!("dd: {}", names::ISBOOT));
            let read = ours.dd(digests, bytes);
            self.dd_read(names::ISBOOT, nic.name(), digests, read);
        }
        self.screen.advance(self.plan.estimate_of(Part::Dd));
    }

    fn dd_read(&mut self, who: &str, nic: &str, digests: Digests, read: Result<Sample, String>) {
        match read {
            Ok(Sample { bytes, elapsed, .. }) => {
                let (whose, seconds) = (format!("{who}, {nic}"), elapsed.as_secs_f64());
                let dd = Dd { whose, digests, bytes, seconds };
                self.screen.found(&format!("{:<52} {dd}", format!("dd {}", dd.whose)));
                self.found.dd.push(dd);
            }
            Err(error) => self.fail(Part::Dd, format!("{who}: {error}")),
        }
    }
}
