//! Status by name, for any kernel's sysctl, sysfs or shell.

use core::fmt;

use isboot_transport::netstack::Addressing;

use super::isboot::TargetInUse;
use super::plan::BootPlan;
use crate::disk::Disk;

/// What the initiator found and uses, under the names that operators know.
#[derive(Clone, Copy, Debug)]
pub struct Status<'a> {
    /// What the iBFT asked for.
    pub plan: &'a BootPlan,
    /// The target in use, which [`Isboot::target`](super::Isboot::target) tells: that of the plan
    /// or its alternative.
    pub target: TargetInUse<'a>,
    /// The network interface in use, as the hosting kernel names it.
    pub nic: &'a str,
    /// The disks found so far.
    pub disks: &'a [Disk],
}

impl Status<'_> {
    /// Every name there is.
    pub const NAMES: &'static [&'static str] = &[
        "net.isboot.version",
        "net.isboot.nic",
        "net.isboot.device",
        "net.isboot.device_identity",
        "net.isboot.access_state",
        "hw.ibft.initiator_name",
        "hw.ibft.initiator_address",
        "hw.ibft.nic_prefix",
        "hw.ibft.nic_gateway",
        "hw.ibft.target_name",
        "hw.ibft.target_address",
        "hw.ibft.target_port",
        "hw.ibft.target_lun",
    ];

    /// The value of one name; empty when there is nothing to tell, `None` when there is no such
    /// name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<impl fmt::Display + '_> {
        let name = Self::NAMES.iter().find(|known| **known == name)?;
        Some(Value { status: self, name })
    }

    /// The boot LUN's disk and its place: the LUN as the plan has it, else the same number in the
    /// target's form.
    fn boot_disk(&self) -> Option<(usize, &Disk)> {
        let lun = self.target.lun;
        let mut disks = self.disks.iter().enumerate();
        disks
            .clone()
            .find(|(_, disk)| disk.lun == lun)
            .or_else(|| disks.find(|(_, disk)| disk.lun.is_same_unit(lun)))
    }
}

struct Value<'a> {
    status: &'a Status<'a>,
    name: &'static str,
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status { plan, target, .. } = self.status;
        let boot = self.status.boot_disk();
        let address = match plan.addressing {
            Addressing::Static { address, prefix, gateway, .. } => Some((address, prefix, gateway)),
            Addressing::Dhcp | Addressing::Slaac => None,
        };
        match (self.name, address) {
            ("net.isboot.version", _) => f.write_str(env!("CARGO_PKG_VERSION")),
            ("net.isboot.nic", _) => f.write_str(self.status.nic),
            ("net.isboot.device", _) => boot.map_or(Ok(()), |(index, _)| write!(f, "disk{index}")),
            ("net.isboot.device_identity", _) => match boot {
                Some((_, Disk { identity: Some(identity), .. })) => write!(f, "{identity}"),
                _ => Ok(()),
            },
            ("net.isboot.access_state", _) => match boot {
                Some((_, Disk { access_state: Some(state), .. })) => write!(f, "{state}"),
                _ => Ok(()),
            },
            ("hw.ibft.initiator_name", _) => write!(f, "{}", plan.initiator_name),
            ("hw.ibft.initiator_address", Some((address, _, _))) => write!(f, "{address}"),
            ("hw.ibft.nic_prefix", Some((_, prefix, _))) => write!(f, "{prefix}"),
            ("hw.ibft.nic_gateway", Some((_, _, Some(gateway)))) => write!(f, "{gateway}"),
            ("hw.ibft.target_name", _) => write!(f, "{}", target.name),
            ("hw.ibft.target_address", _) => write!(f, "{}", target.portal.ip()),
            ("hw.ibft.target_port", _) => write!(f, "{}", target.portal.port()),
            ("hw.ibft.target_lun", _) => write!(f, "{}", target.lun),
            _ => Ok(()),
        }
    }
}
