//! Boots a hosting kernel in QEMU from an iSCSI target, follows it on its serial port, and judges
//! the run from outside: what the guest claims is compared with the host's files, the target's log
//! and the frames on the wire.
//!
//! [`boot::run`] carries a [`plan::Plan`] out and returns what was seen; [`judge::judge`] turns it
//! into a list of checks. [`fault`] holds the plans that must fail, and how; [`matrix`] the
//! combinations of firmware, NIC and digests.
#![deny(missing_docs)]

pub mod boot;
pub mod degraded;
pub mod disk_image;
pub mod event;
pub mod fault;
pub mod interrupt;
pub mod judge;
pub mod knock;
pub mod machine;
pub mod matrix;
pub mod pcap;
pub mod plan;
pub mod qmp;
pub mod report;
pub mod screen;
pub mod stage;
pub mod switch;
pub mod table;
pub mod target;
pub mod watch;
