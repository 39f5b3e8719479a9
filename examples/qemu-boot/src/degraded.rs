//! Runs that must succeed with less: something breaks, the guest says so, goes on without it, and
//! everything else holds as ever.

use crate::boot::Seen;
use crate::judge::{Check, judge};
use crate::plan::{Breakage, Disturbance, Firmware, Interrupts, Nic, Plan, Start};

/// A run that must succeed with less.
#[derive(Debug)]
pub struct Degraded {
    /// Its name on the command line.
    pub name: &'static str,
    /// What breaks, for people.
    pub what: &'static str,
    /// What one of the guest's warnings must hold.
    pub says: &'static str,
    disturbance: Disturbance,
    interrupts: Interrupts,
    nic: Nic,
    /// Bytes of LUN 0: enough reading for the guest to notice.
    lun_bytes: u64,
    /// BIOS is passed by; UEFI starts the kernel by way of iPXE.
    firmware: Firmware,
    words: &'static [&'static str],
}

const MIB: u64 = 1 << 20;

const WHOLE: Degraded = Degraded {
    name: "",
    what: "",
    says: "",
    disturbance: Disturbance::Nothing,
    interrupts: Interrupts::None,
    nic: Nic::E1000e,
    lun_bytes: 64 * MIB,
    firmware: Firmware::Bios,
    words: &[],
};

/// All of them.
pub static DEGRADED: [Degraded; 8] = [
    Degraded {
        name: "no-entropy",
        what: "the processor has no random numbers, and nobody insists on them",
        says: "no source of randomness",
        disturbance: Disturbance::NoEntropy,
        ..WHOLE
    },
    Degraded {
        name: "firmware-entropy",
        what: "the processor has no random numbers, but firmware has, and they are insisted on",
        says: "the processor has no randomness",
        disturbance: Disturbance::FirmwareEntropy,
        firmware: Firmware::Uefi,
        words: &["isboot.require_entropy=yes"],
        ..WHOLE
    },
    Degraded {
        name: "no-local-apic",
        what: "the processor has no local APIC to send messages to",
        says: "no local APIC: polling",
        disturbance: Disturbance::NoLocalApic,
        interrupts: Interrupts::Msix,
        ..WHOLE
    },
    Degraded {
        name: "no-messages",
        what: "messages go where nobody listens: MSI-X and MSI fail, the line does not",
        says: "msi cannot be used: no interrupt reached the handler",
        disturbance: Disturbance::Broken(Breakage::NoMessages),
        interrupts: Interrupts::Msix,
        ..WHOLE
    },
    Degraded {
        name: "deaf",
        what: "no interrupt of the NIC ever reaches the processor",
        says: "no way to interrupt that works: polling",
        disturbance: Disturbance::Broken(Breakage::Deaf),
        interrupts: Interrupts::Msix,
        ..WHOLE
    },
    Degraded {
        name: "masked-vector",
        what: "the MSI-X table's entries get masked while the read runs",
        says: "was not as it was set",
        disturbance: Disturbance::Broken(Breakage::MaskedVector),
        interrupts: Interrupts::Msix,
        lun_bytes: 256 * MIB,
        ..WHOLE
    },
    Degraded {
        name: "lost-vector",
        what: "the MSI-X table's entries get another address while the read runs",
        says: "interrupts by msix do not come: now by msi",
        disturbance: Disturbance::Broken(Breakage::LostVector),
        interrupts: Interrupts::Msix,
        lun_bytes: 256 * MIB,
        ..WHOLE
    },
    Degraded {
        name: "storm",
        what: "nobody takes back the interrupt line while the read runs",
        says: "polling",
        disturbance: Disturbance::Broken(Breakage::Storm),
        interrupts: Interrupts::Intx,
        nic: Nic::E1000,
        ..WHOLE
    },
];

impl Degraded {
    /// The case of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        DEGRADED.iter().find(|degraded| degraded.name == name)
    }

    /// `plan` with this broken, started without iPXE where that is possible.
    #[must_use]
    pub fn applied_to(&self, plan: &Plan) -> Plan {
        Plan {
            start: match self.firmware {
                Firmware::Bios => Start::Direct,
                Firmware::Uefi => Start::Ipxe,
            },
            disturbance: self.disturbance,
            interrupts: self.interrupts,
            nic: self.nic,
            lun_bytes: self.lun_bytes,
            firmware: self.firmware,
            memory_mib: self.firmware.least_memory_mib().max(plan.memory_mib),
            words: self.words.iter().map(|word| (*word).to_owned()).collect(),
            ..plan.clone()
        }
    }

    /// Everything that had to hold: all that holds in a good run, and that the guest noticed.
    #[must_use]
    pub fn judge(&self, plan: &Plan, seen: &Seen) -> Vec<Check> {
        let mut checks = judge(plan, seen);
        checks.push(Check::new("the guest says what it does without", self.warning(seen)));
        checks
    }

    fn warning(&self, seen: &Seen) -> Result<String, String> {
        let found = seen.warnings.iter().find(|warning| warning.contains(self.says));
        found.cloned().ok_or_else(|| {
            let count = seen.warnings.len();
            format!("no `{}` in any of {count} warnings", self.says)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot::End;
    use crate::machine::Ending;
    use crate::plan::tests::plan;
    use crate::watch::tests::watched;

    #[test]
    fn what_is_not_said_is_missed() {
        let storm = Degraded::named("storm").unwrap();
        let said = |console: &str| {
            let seen = watched(console).into_seen(End::Machine(Ending::Pass));
            storm.warning(&seen)
        };
        assert!(said("[  1.0] WARN  k: interrupts: too many: polling\n").is_ok());
        assert!(said("[  1.0] INFO  k: interrupts: too many: polling\n").is_err());
        assert!(said("[  1.0] WARN  k: something else\n").unwrap_err().contains("1 warnings"));
    }

    #[test]
    fn names_are_unique_and_plans_are_changed() {
        for degraded in &DEGRADED {
            assert!(std::ptr::eq(Degraded::named(degraded.name).unwrap(), degraded));
            let changed = degraded.applied_to(&plan());
            assert_ne!(changed.disturbance, Disturbance::Nothing, "{}", degraded.name);
            let broken = matches!(changed.disturbance, Disturbance::Broken(_));
            assert!(!broken || changed.kernel_words().join(" ").contains("demo.break="));
        }
    }
}
