//! SCSI as disks need it (SAM-5, SPC-4, SBC-3): CDBs out, parameter data in.
//!
//! Pure: bytes to values and back. Parameter data comes from the target and is trusted in
//! nothing: every parser takes any bytes, and reads no more than the lengths in it and the bytes
//! that came both allow.

pub mod capacity;
pub mod cdb;
pub mod inquiry;
pub mod lun;
pub mod mode;
pub mod persistent_reservation;
pub mod provisioning;
pub mod report_luns;
pub mod sense;
pub mod target_port_groups;

#[cfg(test)]
mod tests;
