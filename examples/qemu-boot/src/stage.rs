//! The stages of a boot, from firmware to verdict: their names, their order, and how long each may
//! keep us waiting.

use std::time::Duration;

use serde::Serialize;

/// A stage of a boot. The first three are recognised in the firmware's text, the others are the
/// guest's own events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The firmware printed something.
    Firmware,
    /// iPXE runs.
    Ipxe,
    /// iPXE logged in to the target and hooked its disk, so there is an iBFT.
    Hook,
    /// The guest's first line.
    Kernel,
    /// The iBFT was found.
    Ibft,
    /// The NIC that the table names was found and started.
    Nic,
    /// The NIC has link.
    Link,
    /// It is settled how the NIC interrupts.
    Interrupts,
    /// The interface has its address.
    Address,
    /// The TCP connection to the portal stands.
    Tcp,
    /// The session is in full feature phase.
    Login,
    /// One LUN is ready.
    Disk,
    /// All LUNs are ready.
    Luns,
    /// The first block was read.
    FirstBlock,
    /// So many bytes of a transfer are done.
    Progress,
    /// A whole disk was read and hashed.
    Read,
    /// The pattern was written.
    Write,
    /// The write cache was flushed.
    Flush,
    /// All work is done; how much of the processor it left over.
    Idle,
    /// Logged out, the NIC stopped.
    Detach,
    /// The guest's own judgement.
    Verdict,
}

/// Stages that a guest reports, each exactly once, in this order; a read and a write are there
/// when they were asked for.
pub const GUEST_STAGES: [Stage; 16] = [
    Stage::Kernel,
    Stage::Ibft,
    Stage::Nic,
    Stage::Link,
    Stage::Interrupts,
    Stage::Address,
    Stage::Tcp,
    Stage::Login,
    Stage::Luns,
    Stage::FirstBlock,
    Stage::Read,
    Stage::Write,
    Stage::Flush,
    Stage::Idle,
    Stage::Detach,
    Stage::Verdict,
];

/// Stages that a guest reports once more when it attaches again after the detach.
pub const SECOND_ATTACH: [Stage; 9] = [
    Stage::Nic,
    Stage::Link,
    Stage::Interrupts,
    Stage::Address,
    Stage::Tcp,
    Stage::Login,
    Stage::Luns,
    Stage::FirstBlock,
    Stage::Detach,
];

impl Stage {
    /// The name in event lines and on the screen.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Firmware => "firmware",
            Self::Ipxe => "ipxe",
            Self::Hook => "hook",
            Self::Kernel => "kernel",
            Self::Ibft => "ibft",
            Self::Nic => "nic",
            Self::Link => "link",
            Self::Interrupts => "interrupts",
            Self::Address => "address",
            Self::Tcp => "tcp",
            Self::Login => "login",
            Self::Disk => "disk",
            Self::Luns => "luns",
            Self::FirstBlock => "first-block",
            Self::Progress => "progress",
            Self::Read => "read",
            Self::Write => "write",
            Self::Flush => "flush",
            Self::Idle => "idle",
            Self::Detach => "detach",
            Self::Verdict => "verdict",
        }
    }

    /// The stage of a guest's event.
    #[must_use]
    pub fn of_event(name: &str) -> Option<Self> {
        let others = [Self::Disk, Self::Progress];
        GUEST_STAGES.into_iter().chain(others).find(|stage| stage.name() == name)
    }

    /// The stage that a line of firmware or iPXE shows.
    #[must_use]
    pub fn of_firmware_text(text: &str) -> Option<Self> {
        let holds = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if holds(&["Registered SAN device"]) {
            Some(Self::Hook)
        } else if holds(&["Open Source Network Boot Firmware"]) {
            Some(Self::Ipxe)
        } else if holds(&["SeaBIOS (version", "BdsDxe:"]) {
            Some(Self::Firmware)
        } else {
            None
        }
    }

    /// After this stage (`None`: after power-on), what is waited for, and how long at most.
    ///
    /// Generous: an emulated machine on a loaded host is slow, and a hang is a hang. Where the
    /// guest has a bound of its own (by default it gives a target 120 s to come back), ours is
    /// longer, so that its sentence is the one that is shown.
    #[must_use]
    pub const fn wait_after(stage: Option<Self>) -> (&'static str, Duration) {
        let (what, seconds) = match stage {
            None => ("the firmware's first line", 60),
            Some(Self::Firmware) => ("iPXE or the kernel to start", 60),
            Some(Self::Ipxe) => ("iPXE to hook the target's disk", 60),
            Some(Self::Hook) => ("the kernel's first line", 30),
            Some(Self::Kernel) => ("the iBFT to be found", 15),
            Some(Self::Ibft) => ("the NIC to be found", 15),
            Some(Self::Nic) => ("the link", 30),
            Some(Self::Link) => ("the interrupts", 30),
            Some(Self::Interrupts) => ("the address", 60),
            Some(Self::Address) => ("the TCP connection", 150),
            Some(Self::Tcp) => ("the login", 150),
            Some(Self::Login | Self::Disk) => ("the LUNs", 150),
            Some(Self::Luns) => ("the first block", 150),
            Some(Self::FirstBlock) => ("the read to start", 150),
            Some(Self::Progress) => ("the transfer to go on", 150),
            Some(Self::Read) => ("the write", 150),
            Some(Self::Write) => ("the flush", 150),
            Some(Self::Flush) => ("the end of the work", 150),
            Some(Self::Idle) => ("the detach", 30),
            Some(Self::Detach) => ("the verdict", 15),
            Some(Self::Verdict) => ("the machine to switch itself off", 10),
        };
        (what, Duration::from_secs(seconds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn firmware_and_ipxe_are_recognised_in_their_own_text() {
        let stage = Stage::of_firmware_text;
        assert_eq!(stage("SeaBIOS (version 1.16.2-debian-1.16.2-1)"), Some(Stage::Firmware));
        assert_eq!(
            stage("BdsDxe: failed to load Boot0001 \"UEFI QEMU DVD-ROM QM00003 \""),
            Some(Stage::Firmware)
        );
        assert_eq!(
            stage(
                "iPXE 1.0.0+git-20190125.36a4c85-5.1 -- Open Source Network Boot Firmware -- http"
            ),
            Some(Stage::Ipxe)
        );
        assert_eq!(stage("Registered SAN device 0x80"), Some(Stage::Hook));
        assert_eq!(stage("iPXE (http://ipxe.org) 00:03.0 CA00 PCI2.10 PnP"), None);
    }

    #[test]
    fn every_guest_stage_is_found_by_its_name() {
        for stage in GUEST_STAGES {
            assert_eq!(Stage::of_event(stage.name()), Some(stage));
        }
        assert_eq!(Stage::of_event("disk"), Some(Stage::Disk));
        assert_eq!(Stage::of_event("firmware"), None, "not the guest's to report");
        assert_eq!(Stage::of_event("error"), None);
    }

    #[test]
    fn the_order_is_the_order_of_the_list() {
        assert!(GUEST_STAGES.is_sorted());
    }
}
